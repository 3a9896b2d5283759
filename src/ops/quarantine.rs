//! Packs that somebody brought and that are no part of the store yet.
//!
//! Rests on one folder below `.distill/tmp`, named by nothing but the hashes of its files. Invariants: a file there hashes to
//! its name; there are so many bytes of them at most; what nobody took in within a day goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use crate::base::clock::Clock;
use crate::object::ObjectId;
use crate::ops::delivery::shelf::digest_file;
use crate::ops::error::{ErrorKind, OpError};
use crate::repo::Repo;

/// So much may lie there.
const BYTES_MAX: u64 = 16 << 30;
/// So long, in milliseconds.
const AGE_MAX_MS: i64 = 24 * 60 * 60 * 1000;

/// Tells uploads of one process apart.
static SEQUENCE: AtomicU64 = AtomicU64::new(0);

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

    /// Where the bytes of `id` are to be written first; `None` where the pack is there already.
    ///
    /// # Errors
    /// When too much lies there; when the folder cannot be made.
    pub fn begin(&self, id: ObjectId, clock: Clock) -> Result<Option<PathBuf>, OpError> {
        fs::create_dir_all(&self.dir).map_err(|e| OpError::io("make", &self.dir, &e))?;
        if self.path(id).exists() {
            return Ok(None);
        }
        if self.sweep(clock)? > BYTES_MAX {
            let message = "too many packs wait to be taken in";
            return Err(OpError::new(
                ErrorKind::Outside,
                message,
                "push what was brought, or try again tomorrow",
            ));
        }
        let n = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        Ok(Some(self.dir.join(format!(".{}-{n}-{}", std::process::id(), id.short(16)))))
    }

    /// Removes what is too old; the bytes of the rest.
    fn sweep(&self, clock: Clock) -> Result<u64, OpError> {
        let entries = fs::read_dir(&self.dir).map_err(|e| OpError::io("list", &self.dir, &e))?;
        let mut bytes = 0;
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            let written = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let written = written.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
            if clock.now_ms().saturating_sub(written) > AGE_MAX_MS {
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
    pub fn keep(&self, id: ObjectId, tmp: &Path) -> Result<u64, OpError> {
        let digests = digest_file(tmp)?;
        if digests.blake3 != id {
            let message = format!("what arrived hashes to {}, not to {id}", digests.blake3);
            return Err(OpError::new(ErrorKind::Damaged, message, "bring it again"));
        }
        fs::rename(tmp, self.path(id)).map_err(|e| OpError::io("rename", tmp, &e))?;
        Ok(digests.bytes)
    }

    /// Removes packs that were taken in.
    pub fn drop_packs(&self, ids: &[ObjectId]) {
        for id in ids {
            fs::remove_file(self.path(*id)).ok();
        }
    }
}
