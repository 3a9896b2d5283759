//! Cleaning up behind processes that died while writing.
//!
//! Rests on locks: whatever has a living owner is locked. Invariant: nothing is removed but files that this program
//! makes, that have no living owner and that the catalogue does not name.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use super::CATALOGUE_FILE;
use super::PACKS_DIR;
use super::TMP_DIR;
use super::catalogue::Catalogue;
use super::error::StoreError;
use super::lock::LockFile;
use super::opened::Store;
use super::opened::pack_path;
use super::oplog::operation_path;
use super::oplog::read_operation;
use super::redb;
use crate::object::ObjectId;

/// Removes unfinished writes under `tmp/` whose process is gone. Called by the holder of the publish lock.
pub(super) fn sweep_tmp(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir.join(TMP_DIR)) else { return };
    let paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for path in &paths {
        let own = name(path);
        if own.starts_with("op-") || own.starts_with("init-") {
            fs::remove_file(path).ok();
        }
        let Some(staging) = own.strip_suffix(".lock").filter(|own| own.starts_with("staging-")) else {
            continue;
        };
        if let Some(lock) = LockFile::take_abandoned(path) {
            let packs = format!("{staging}-");
            for pack in paths.iter().filter(|path| name(path).starts_with(&packs)) {
                fs::remove_file(pack).ok();
            }
            lock.remove();
        }
    }
    // Packs whose lock file has gone: nobody can be writing them.
    for path in &paths {
        let own = name(path);
        if let Some((staging, _)) = own.strip_suffix(".pack").and_then(|stem| stem.rsplit_once('-'))
            && staging.starts_with("staging-")
            && !dir.join(TMP_DIR).join(format!("{staging}.lock")).exists()
        {
            fs::remove_file(path).ok();
        }
    }
}

/// Removes packs that were merged or collected and whose file is still there.
pub(super) fn sweep_dropped(dir: &Path, catalogue: &Catalogue) {
    let Ok(entries) = fs::read_dir(dir.join(PACKS_DIR)) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let id = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if id.is_some_and(|id| catalogue.dropped.contains_key(&id) && !catalogue.has_pack(&id)) {
            fs::remove_file(&path).ok();
        }
    }
}

impl Store {
    /// Removes files in `packs/` that are named like packs and that the catalogue does not name: what a crash leaves between two steps of a publish.
    /// Runs inside a write transaction, so that no publish is between those steps. Returns what was removed.
    ///
    /// # Errors
    /// When the log goes beyond the catalogue (the files may then belong to what the catalogue has lost); I/O.
    pub fn sweep_uncatalogued(&self) -> Result<Vec<PathBuf>, StoreError> {
        let dir = self.dir().join(PACKS_DIR);
        redb::update(&self.catalogue_path(), |catalogue| {
            sweep_unconfirmed(self.dir(), catalogue)?;
            let mut removed = Vec::new();
            for entry in fs::read_dir(&dir).map_err(StoreError::io("list", &dir))?.flatten() {
                let path = entry.path();
                if is_pack_name(&path)
                    && catalogue.packs.iter().all(|pack| pack_path(self.dir(), &pack.entry.id) != path)
                {
                    fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
                    removed.push(path);
                }
            }
            removed.sort();
            Ok((catalogue.clone(), removed))
        })
    }
}

/// Whether a file is named as a pack is: by an id.
pub(super) fn is_pack_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "pack")
        && path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .is_some_and(|stem| stem.parse::<ObjectId>().is_ok())
}

/// Removes the operation file (and the packs it brought) that a crash left beyond the last confirmed operation. Runs
/// inside the write transaction.
///
/// # Errors
/// When there is more than one: a crash leaves one at most, so `store.redb` is older than the log beside it (a restored
/// copy, say), and going on would overwrite history.
pub(super) fn sweep_unconfirmed(dir: &Path, catalogue: &Catalogue) -> Result<(), StoreError> {
    let last = catalogue.last_operation.map_or(0, |(number, _)| number);
    let path = operation_path(dir, last + 1);
    if operation_path(dir, last + 2).exists() {
        let detail = format!(
            "it confirms operations up to {last}, but later ones lie in ops/: it is older than they are; \
             rebuild it by reindex"
        );
        return Err(StoreError::damaged(&dir.join(CATALOGUE_FILE), detail));
    }
    if !path.exists() {
        return Ok(());
    }
    // A file that cannot be read as an operation was torn; it names no packs.
    if let Ok(left) = read_operation(dir, last + 1) {
        for pack in left.operation.packs.iter().filter(|pack| !catalogue.has_pack(&pack.id)) {
            fs::remove_file(pack_path(dir, &pack.id)).ok();
        }
    }
    fs::remove_file(&path).map_err(StoreError::io("remove", &path))
}
