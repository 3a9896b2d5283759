//! Packs that somebody brought and that are no part of the store yet.
//!
//! Rests on one folder below `.distill/tmp`, named by nothing but the hashes of its files. Invariants: a file there hashes to
//! its name, or is somebody's who is at work; there are so many bytes of them at most; what nobody took in within a day goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use crate::base::clock::Clock;
use crate::object::ObjectId;
use crate::ops::delivery::shelf::digest_file;
use crate::ops::error::{ErrorKind, OpError};
use crate::repo::Repo;

/// So much may lie there.
const BYTES_MAX: u64 = 16 << 30;
/// So long.
const AGE_MAX: Duration = Duration::from_hours(24);

/// Tells uploads of one process apart.
static SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// The time since 1970 by the clock that files are dated by, whatever time the command was given.
fn now() -> Duration {
    Duration::from_millis(u64::try_from(Clock::System.now_ms()).unwrap_or(0))
}

/// A file that is removed with this, unless it has gone elsewhere.
#[derive(Debug)]
pub struct Passing(PathBuf);

impl Passing {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// What is to be done about a pack that is brought.
#[derive(Debug)]
pub enum Begun {
    /// Nothing: it is there, with so many bytes.
    There(u64),
    /// It is to be written to this file.
    At(Passing),
}

/// The folder.
#[derive(Clone, Debug)]
pub struct Quarantine {
    dir: PathBuf,
}

impl Quarantine {
    /// That of a repository.
    pub fn of(repo: &Repo) -> Self {
        Self { dir: repo.dot().join("tmp").join("quarantine") }
    }

    /// Where the pack `id` lies, or would.
    pub fn path(&self, id: ObjectId) -> PathBuf {
        self.dir.join(format!("{id}.pack"))
    }

    /// Where the bytes of `id`, of which so many are announced, are to be written first.
    ///
    /// # Errors
    /// When too much lies there; when the folder cannot be made.
    pub fn begin(&self, id: ObjectId, announced: u64) -> Result<Begun, OpError> {
        fs::create_dir_all(&self.dir).map_err(|e| OpError::io("make", &self.dir, &e))?;
        let path = self.path(id);
        if let Ok(file) = fs::File::open(&path) {
            let bytes = file.metadata().map_err(|e| OpError::io("read", &path, &e))?.len();
            // Its day begins anew.
            file.set_modified(UNIX_EPOCH + now()).ok();
            return Ok(Begun::There(bytes));
        }
        if self.sweep()?.saturating_add(announced) > BYTES_MAX {
            let message = "too many packs wait to be taken in";
            return Err(OpError::new(
                ErrorKind::Outside,
                message,
                "push what was brought, or try again tomorrow",
            ));
        }
        Ok(Begun::At(self.unfinished(id)))
    }

    /// A name that nobody has and that goes with whoever has it.
    fn unfinished(&self, id: ObjectId) -> Passing {
        let n = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        Passing(self.dir.join(format!(".{}-{n}-{id}.pack", std::process::id())))
    }

    /// Another name for the pack `id`, for somebody who takes it away from there; `None` where the pack is not there. The pack
    /// stays as it is, for it may be wanted again.
    ///
    /// # Errors
    /// When it cannot be linked or copied.
    pub fn lend(&self, id: ObjectId) -> Result<Option<Passing>, OpError> {
        let (path, lent) = (self.path(id), self.unfinished(id));
        let made = fs::hard_link(&path, lent.path()).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Err(error),
            // A file system without links.
            _ => fs::copy(&path, lent.path()).map(drop),
        });
        match made {
            Ok(()) => Ok(Some(lent)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpError::io("read", &path, &error)),
        }
    }

    /// Removes what is too old; the bytes of the rest.
    fn sweep(&self) -> Result<u64, OpError> {
        let entries = fs::read_dir(&self.dir).map_err(|e| OpError::io("list", &self.dir, &e))?;
        let mut bytes = 0;
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            let written = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            if written.is_some_and(|written| now().saturating_sub(written) > AGE_MAX) {
                fs::remove_file(entry.path()).ok();
            } else {
                bytes += meta.len();
            }
        }
        Ok(bytes)
    }

    /// Gives a file that was written its name, if it hashes to it; its length.
    ///
    /// # Errors
    /// When it hashes to something else, in which case it stays where it is; when it cannot be read.
    pub fn keep(&self, id: ObjectId, tmp: &Passing) -> Result<u64, OpError> {
        let digests = digest_file(tmp.path())?;
        if digests.blake3 != id {
            let message = format!("what arrived hashes to {}, not to {id}", digests.blake3);
            return Err(OpError::new(ErrorKind::Damaged, message, "bring it again"));
        }
        fs::rename(tmp.path(), self.path(id)).map_err(|e| OpError::io("rename", tmp.path(), &e))?;
        Ok(digests.bytes)
    }

    /// Removes packs that were taken in.
    pub fn drop_packs(&self, ids: &[ObjectId]) {
        for id in ids {
            fs::remove_file(self.path(*id)).ok();
        }
    }
}
