//! Locks on files, which the operating system releases when their holder dies.
//!
//! Rests on `std::fs::File::lock`. Invariant: whoever holds a [`LockFile`] holds the lock of the file that its path
//! names; a lock on a file that somebody removed meanwhile is not counted as one.

use std::fs::File;
use std::fs::TryLockError;
use std::io;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use serde::Deserialize;
use serde::Serialize;

use super::TMP_DIR;
use super::error::StoreError;
use super::opened::Store;
use crate::base::clock::Clock;

/// How often a waiter tries again.
const POLL: Duration = Duration::from_millis(50);
/// What a lock file says about its holder is not read beyond this many bytes.
const OWNER_BYTES_MAX: u64 = 4096;

/// What a lock file says about its holder.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    pid: u32,
    since: String,
    what: String,
}

/// A lock that is held; released on drop and on the death of the process. The file stays, so that nobody can lock a
/// file that is about to go.
#[derive(Debug)]
pub(super) struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Takes the lock at `path` if it is free, and writes down who holds it.
    pub(super) fn try_take(path: &Path, what: &str) -> Result<Option<Self>, StoreError> {
        let Some(lock) = Self::try_open(path, File::try_lock)? else { return Ok(None) };
        let owner =
            Owner { pid: std::process::id(), since: Clock::System.now_rfc3339(), what: what.to_owned() };
        // Who holds it is a courtesy to people who wait: a full disk must not refuse the lock.
        if let Ok(text) = serde_json::to_vec(&owner) {
            lock.file.set_len(0).and_then(|()| lock.file.write_all_at(&text, 0)).ok();
        }
        Ok(Some(lock))
    }

    /// Takes the lock at `path` together with others, unless somebody holds it alone.
    pub(super) fn try_take_shared(path: &Path) -> Result<Option<Self>, StoreError> {
        Self::try_open(path, File::try_lock_shared)
    }

    fn try_open(
        path: &Path,
        try_lock: impl Fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Option<Self>, StoreError> {
        let io = |action| StoreError::io(action, path);
        loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(io("open"))?;
            match try_lock(&file) {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(io("lock")(error)),
            }
            // Somebody may have removed the file between our opening and locking it.
            match std::fs::metadata(path) {
                Ok(named) if named.ino() == file.metadata().map_err(io("read"))?.ino() => {}
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io("read")(error)),
            }
            return Ok(Some(Self { file, path: path.to_owned() }));
        }
    }

    /// Takes the lock, trying again until `timeout`. `on_wait` is called once, with who holds it.
    pub(super) fn take(
        path: &Path,
        subject: &str,
        what: &str,
        timeout: Duration,
        on_wait: &mut dyn FnMut(&str),
    ) -> Result<Self, StoreError> {
        Self::wait(|| Self::try_take(path, what), subject, &|| describe_owner(path), timeout, on_wait)
    }

    /// Calls `attempt` until it gives a lock, or until `timeout`. `on_wait` is called once, with what `owner` says.
    pub(super) fn wait(
        attempt: impl Fn() -> Result<Option<Self>, StoreError>,
        subject: &str,
        owner: &dyn Fn() -> String,
        timeout: Duration,
        on_wait: &mut dyn FnMut(&str),
    ) -> Result<Self, StoreError> {
        let start = Instant::now();
        let mut told = false;
        loop {
            if let Some(lock) = attempt()? {
                return Ok(lock);
            }
            let waited = start.elapsed();
            if waited >= timeout {
                return Err(StoreError::Busy {
                    what: subject.to_owned(),
                    owner: owner(),
                    waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
                });
            }
            if !told {
                on_wait(&owner());
                told = true;
            }
            std::thread::sleep(POLL.min(timeout.saturating_sub(waited)));
        }
    }

    /// Whether the file is there and nobody holds its lock: its owner has died. Returns the lock, so that the caller
    /// can clean up behind the dead.
    pub(super) fn take_abandoned(path: &Path) -> Option<Self> {
        let file = File::options().read(true).write(true).open(path).ok()?;
        file.try_lock().ok()?;
        Some(Self { file, path: path.to_owned() })
    }

    /// Removes the file while the lock is held.
    pub(super) fn remove(self) {
        std::fs::remove_file(&self.path).ok();
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        self.file.set_len(0).ok();
        self.file.unlock().ok();
    }
}

/// Who holds the lock at `path` alone, as that process described itself.
pub(super) fn describe_owner(path: &Path) -> String {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(OWNER_BYTES_MAX).read_to_end(&mut text));
    match (read, serde_json::from_slice::<Owner>(&text)) {
        (Ok(_), Ok(owner)) => format!("{} (process {}, since {})", owner.what, owner.pid, owner.since),
        _ => "another process".to_owned(),
    }
}

/// The right to run on a branch; released on drop and on the death of the process.
#[derive(Debug)]
pub struct Lease {
    _lock: LockFile,
}

impl Store {
    /// Waits for the right to run on `branch`. `owner` describes the caller to others that wait; `on_wait` is called
    /// once, with the holder's description.
    ///
    /// # Errors
    /// [`StoreError::Busy`] after `timeout`; I/O, as on a read-only directory.
    pub fn lease(
        &self,
        branch: &str,
        owner: &str,
        timeout: Duration,
        on_wait: &mut dyn FnMut(&str),
    ) -> Result<Lease, StoreError> {
        let encoded = percent_encoding::utf8_percent_encode(branch, percent_encoding::NON_ALPHANUMERIC);
        let path = self.tmp_dir()?.join(format!("lease-{encoded}"));
        let lock = LockFile::take(&path, &format!("branch {branch}"), owner, timeout, on_wait)?;
        Ok(Lease { _lock: lock })
    }

    /// `tmp/`, made again if somebody cleared it away.
    pub(super) fn tmp_dir(&self) -> Result<PathBuf, StoreError> {
        let tmp = self.dir().join(TMP_DIR);
        std::fs::create_dir_all(&tmp).map_err(StoreError::io("create", &tmp))?;
        Ok(tmp)
    }
}
