//! Who may rely on what is stored, and who may remove it.
//!
//! Rests on one lock file, `tmp/gc.lock`: held together by everybody who looks objects up in order to publish something
//! that names them, and alone by a collection. Invariant: between the look-up and the publish of whoever holds it, no
//! object leaves the store.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::TMP_DIR;
use super::error::StoreError;
use super::lock::LockFile;
use super::lock::describe_owner;
use super::opened::Store;

/// The lock file's name below `tmp/`.
const GC_LOCK: &str = "gc.lock";

/// What is stored now stays, until this is dropped or its process dies. Any number may be held at once.
#[derive(Debug)]
pub struct Hold {
    _lock: LockFile,
}

/// The right to remove what nothing names; nobody else relies on anything meanwhile.
#[derive(Debug)]
pub struct Sole {
    _lock: LockFile,
}

impl Store {
    /// Waits until no collection is under way, keeps others away, and loads the catalogue again. `on_wait` is called
    /// once, with who holds things up.
    ///
    /// # Errors
    /// [`StoreError::Busy`] after `timeout`; I/O, as on a read-only directory; as [`Self::refresh`].
    pub fn hold(&self, timeout: Duration, on_wait: &mut dyn FnMut(&str)) -> Result<Hold, StoreError> {
        let path = self.tmp_dir()?.join(GC_LOCK);
        let lock = LockFile::wait(
            || LockFile::try_take_shared(&path),
            "the store",
            &|| describe_owner(&path),
            timeout,
            on_wait,
        )?;
        self.refresh()?;
        Ok(Hold { _lock: lock })
    }

    /// Waits until nobody relies on what is stored, keeps others away, and loads the catalogue again. `what` describes
    /// the caller to them.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub fn hold_alone(
        &self,
        what: &str,
        timeout: Duration,
        on_wait: &mut dyn FnMut(&str),
    ) -> Result<Sole, StoreError> {
        let sole = Sole::take(self.dir(), what, timeout, on_wait)?;
        self.refresh()?;
        Ok(sole)
    }

    /// Whether a run holds the lease of a branch. Opens lock files and writes nothing.
    pub fn has_runs(&self) -> bool {
        !living_leases(self.dir()).is_empty()
    }
}

impl Sole {
    /// Takes the lock of the store in `dir`, whose catalogue may be lost.
    pub(super) fn take(
        dir: &Path,
        what: &str,
        timeout: Duration,
        on_wait: &mut dyn FnMut(&str),
    ) -> Result<Self, StoreError> {
        let tmp = dir.join(TMP_DIR);
        std::fs::create_dir_all(&tmp).map_err(StoreError::io("create", &tmp))?;
        let path = tmp.join(GC_LOCK);
        // Who shares a lock does not write into it; a run says who it is in the lease of its branch.
        let who = || {
            let owners = living_leases(dir);
            if owners.is_empty() { describe_owner(&path) } else { owners.join(" and ") }
        };
        let lock = LockFile::wait(|| LockFile::try_take(&path, what), "the store", &who, timeout, on_wait)?;
        Ok(Self { _lock: lock })
    }
}

/// Who holds leases, as they describe themselves.
fn living_leases(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir.join(TMP_DIR)) else { return Vec::new() };
    let mut owners: Vec<String> = (entries.flatten())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("lease-"))
        .map(|entry| entry.path())
        .filter(|path| File::open(path).is_ok_and(|file| file.try_lock_shared().is_err()))
        .map(|path| describe_owner(&path))
        .collect();
    owners.sort();
    owners
}
