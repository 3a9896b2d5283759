//! One file on its way into a working tree.
//!
//! Rests on BLAKE3. Invariant: the digest is that of all bytes that were added, whether they were written already or not.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::error::WorktreeError;
use crate::base::fs::EarlySync;
use crate::object::ObjectId;

/// Bytes of a file that are gathered before they are hashed and written; large additions go as they come.
const PENDING_BYTES: usize = 128 << 10;

/// The content that a file is to have.
#[derive(Debug)]
pub(super) struct Staged {
    /// Where the content is; `None` for content that is in place already.
    pub(super) temporary: Option<PathBuf>,
    file: Option<File>,
    /// What is neither hashed nor written yet. Hashing a line at a time would leave the lanes of BLAKE3 empty.
    pending: Vec<u8>,
    /// Of what was written.
    hasher: Box<blake3::Hasher>,
    /// Of content that was made elsewhere.
    known: Option<ObjectId>,
    bytes: u64,
}

impl Staged {
    /// An empty file, which is made.
    pub(super) fn create(temporary: PathBuf) -> Result<Self, WorktreeError> {
        let file = File::create_new(&temporary).map_err(WorktreeError::io("write", &temporary))?;
        Ok(Self {
            temporary: Some(temporary),
            file: Some(file),
            pending: Vec::new(),
            hasher: Box::default(),
            known: None,
            bytes: 0,
        })
    }

    /// Content that was made elsewhere.
    pub(super) fn known(temporary: Option<PathBuf>, digest: ObjectId, bytes: u64) -> Self {
        Self {
            temporary,
            file: None,
            pending: Vec::new(),
            hasher: Box::default(),
            known: Some(digest),
            bytes,
        }
    }

    /// Whether bytes can be added.
    pub(super) fn grows(&self) -> bool {
        self.known.is_none()
    }

    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Length in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn digest(&self) -> ObjectId {
        self.known.unwrap_or_else(|| {
            let mut hasher = self.hasher.clone();
            ObjectId::from_bytes(*hasher.update(&self.pending).finalize().as_bytes())
        })
    }

    /// Adds bytes to the end of an open file.
    pub(super) fn append(&mut self, bytes: &[u8], early: &mut EarlySync) -> Result<(), WorktreeError> {
        self.pending.extend_from_slice(bytes);
        self.bytes += bytes.len() as u64;
        if self.pending.len() >= PENDING_BYTES {
            let bytes = self.pending.len();
            self.write_out()?;
            if let (Some(file), Some(temporary)) = (&self.file, &self.temporary) {
                early.wrote(temporary, file, bytes);
            }
        }
        Ok(())
    }

    /// Opens a closed file again.
    pub(super) fn reopen(&mut self) -> Result<(), WorktreeError> {
        if let Some(temporary) = &self.temporary {
            let file = File::options().append(true).open(temporary);
            self.file = Some(file.map_err(WorktreeError::io("write", temporary))?);
        }
        Ok(())
    }

    /// Writes what is pending and closes the file; there may be thousands of closed ones.
    pub(super) fn close(&mut self) -> Result<(), WorktreeError> {
        self.write_out()?;
        (self.file, self.pending) = (None, Vec::new());
        Ok(())
    }

    /// Removes the temporary file, unless it was moved into place.
    pub(super) fn discard(&mut self) {
        self.file = None;
        if let Some(temporary) = self.temporary.take() {
            std::fs::remove_file(temporary).ok();
        }
    }

    fn write_out(&mut self) -> Result<(), WorktreeError> {
        if let Some(file) = &mut self.file {
            let place = self.temporary.as_deref().unwrap_or(Path::new(""));
            file.write_all(&self.pending).map_err(WorktreeError::io("write", place))?;
            self.hasher.update(&self.pending);
            self.pending.clear();
        }
        Ok(())
    }
}
