//! A repository in a directory as a source of rows.
//!
//! Rests on the store, which hashes every object again. Invariant: nothing is written there; a read-only copy will do.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use super::origin::Origin;
use crate::object::{Find, ObjectId, RootId};
use crate::ops::delivery::jsonl::Cursor;
use crate::ops::error::{ErrorKind, OpError};
use crate::repo::{DOT, Repo, Site};
use crate::store::Head;

/// A repository on this machine.
#[derive(Debug)]
pub struct Directory {
    repo: Repo,
}

impl Directory {
    /// The repository in `path`, or whose `.distill` is `path`.
    ///
    /// # Errors
    /// When there is none, or its store cannot be opened.
    pub fn open(path: &Path) -> Result<Self, OpError> {
        let root = match path.parent() {
            Some(parent) if path.ends_with(DOT) && !path.join(DOT).exists() => {
                if parent.as_os_str().is_empty() { Path::new(".") } else { parent }
            }
            _ => path,
        };
        if !root.join(DOT).is_dir() {
            return Err(OpError::new(
                ErrorKind::Outside,
                format!("there is no repository in {}", path.display()),
                "name a folder that holds `.distill`, a remote that was pushed to, or the address of a server: http://HOST:PORT",
            ));
        }
        Ok(Self { repo: Site::at(root)?.open()? })
    }
}

impl Origin for Directory {
    fn place(&self) -> String {
        self.repo.root().display().to_string()
    }

    fn refs(&self) -> Result<BTreeMap<String, ObjectId>, OpError> {
        Ok(self.repo.store().refs())
    }

    fn head(&self) -> Result<Option<Head>, OpError> {
        Ok(Some(self.repo.store().head()))
    }

    fn find(&self) -> &dyn Find {
        self.repo.store()
    }

    fn rows(&self, root: RootId, offset: u64) -> Result<Box<dyn Read + '_>, OpError> {
        let cursor = Cursor::at(self.find(), root, offset)?;
        Ok(Box::new(Rows::new(self.find(), cursor)))
    }
}

/// A cursor as a reader.
pub struct Rows<'a> {
    find: &'a dyn Find,
    cursor: Cursor,
    piece: io::Cursor<Vec<u8>>,
}

impl<'a> Rows<'a> {
    /// The bytes from the cursor on.
    pub fn new(find: &'a dyn Find, cursor: Cursor) -> Self {
        Self { find, cursor, piece: io::Cursor::default() }
    }
}

impl Read for Rows<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let taken = self.piece.read(out)?;
            if taken > 0 || out.is_empty() {
                return Ok(taken);
            }
            match self.cursor.next(self.find).map_err(io::Error::other)? {
                Some(piece) => self.piece = io::Cursor::new(piece),
                None => return Ok(0),
            }
        }
    }
}
