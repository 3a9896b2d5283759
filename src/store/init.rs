//! Making a store.
//!
//! Rests on rename and link within one directory. Invariant: killed at any moment, it leaves no store or a whole one;
//! creation of a redb file is not atomic, so that file gets its name only when it is complete and synced.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use super::CATALOGUE_FILE;
use super::INDEX_DIR;
use super::OPS_DIR;
use super::PACKS_DIR;
use super::TMP_DIR;
use super::catalogue::Catalogue;
use super::error::StoreError;
use super::lock::LockFile;
use super::opened::Store;
use super::redb;
use crate::base::fs::sync_dir;

static SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// Held in `tmp/` of a directory that is being built, so that others can tell it from one whose builder died. It moves
/// with the directory, and goes then; if its builder dies there, the first publish sweeps it.
const INIT_LOCK: &str = "init-lock";

impl Store {
    /// Makes a store in `dir` (the `.distill` directory itself, which may exist with configuration files in it) and
    /// opens it.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`]; [`StoreError::Damaged`] when there are operations or packs without a catalogue,
    /// which [`super::ReindexPlan`] is for; I/O.
    pub fn init(dir: &Path) -> Result<Self, StoreError> {
        if dir.join(CATALOGUE_FILE).exists() {
            return Err(StoreError::AlreadyExists { dir: dir.to_owned() });
        }
        match dir.file_name() {
            Some(name) if !dir.exists() => {
                let parent =
                    dir.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
                build_beside(dir, parent, &name.to_string_lossy())?;
            }
            _ => {
                refuse_lost_catalogue(dir)?;
                build_in(dir, &Catalogue::new())?;
            }
        }
        Self::open(dir)
    }
}

/// Builds the whole directory under a sibling's name and renames it.
fn build_beside(dir: &Path, parent: &Path, name: &str) -> Result<(), StoreError> {
    fs::create_dir_all(parent).map_err(StoreError::io("create", parent))?;
    let prefix = format!("{name}.init-");
    remove_abandoned(parent, &prefix);
    let (sibling, lock) = loop {
        let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        let sibling = parent.join(format!("{prefix}{}-{sequence}", std::process::id()));
        match fs::create_dir(&sibling) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            other => other.map_err(StoreError::io("create", &sibling))?,
        }
        // Another process may take the empty directory for abandoned before the lock is there.
        let tmp = sibling.join(TMP_DIR);
        let locked = fs::create_dir(&tmp)
            .map_err(StoreError::io("create", &tmp))
            .and_then(|()| LockFile::try_take(&tmp.join(INIT_LOCK), "init"));
        match locked {
            Ok(Some(lock)) => break (sibling, lock),
            Ok(None) => {}
            Err(error) if error.is_missing_file() => {}
            Err(error) => {
                fs::remove_dir_all(&sibling).ok();
                return Err(error);
            }
        }
    };
    let built = build_in(&sibling, &Catalogue::new()).and_then(|()| {
        fs::rename(&sibling, dir).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists
            | io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::NotADirectory => StoreError::AlreadyExists { dir: dir.to_owned() },
            _ => StoreError::io("rename", dir)(error),
        })
    });
    if built.is_err() {
        fs::remove_dir_all(&sibling).ok();
    }
    built?;
    fs::remove_file(dir.join(TMP_DIR).join(INIT_LOCK)).ok();
    drop(lock);
    sync_dir(parent).map_err(StoreError::io("sync", parent))
}

/// Removes what an init left that was killed. Only directories of ours, and only what init makes.
fn remove_abandoned(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let tmp = entry.path().join(TMP_DIR);
        if let Some(lock) = LockFile::take_abandoned(&tmp.join(INIT_LOCK)) {
            fs::remove_dir_all(entry.path()).ok();
            drop(lock);
        } else {
            // Held by a living builder, or its builder got no further than these: only empty ones go.
            fs::remove_dir(&tmp).ok();
            fs::remove_dir(entry.path()).ok();
        }
    }
}

/// A directory with a log or packs but no catalogue has lost it; an empty one put in its place would hide that.
pub(super) fn refuse_lost_catalogue(dir: &Path) -> Result<(), StoreError> {
    for part in [OPS_DIR, PACKS_DIR] {
        let path = dir.join(part);
        if fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
            let detail = format!("it is missing, but {part}/ holds files: rebuild it by reindex");
            return Err(StoreError::damaged(&dir.join(CATALOGUE_FILE), detail));
        }
    }
    Ok(())
}

/// Makes the folders and then the catalogue, whose name appears last.
pub(super) fn build_in(dir: &Path, catalogue: &Catalogue) -> Result<(), StoreError> {
    for part in [TMP_DIR, PACKS_DIR, OPS_DIR, INDEX_DIR] {
        let path = dir.join(part);
        fs::create_dir_all(&path).map_err(StoreError::io("create", &path))?;
    }
    let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
    let tmp: PathBuf = dir.join(TMP_DIR).join(format!("init-{}-{sequence}.redb", std::process::id()));
    // Left by a killed process that had our number.
    fs::remove_file(&tmp).ok();
    let target = dir.join(CATALOGUE_FILE);
    let built = redb::create(&tmp, catalogue)
        .and_then(|()| {
            fs::File::open(&tmp).and_then(|file| file.sync_all()).map_err(StoreError::io("sync", &tmp))
        })
        .and_then(|()| name_exclusively(&tmp, &target, dir));
    fs::remove_file(&tmp).ok();
    built?;
    sync_dir(dir).map_err(StoreError::io("sync", dir))
}

/// Gives `tmp` the name `target` unless that exists: a link fails where a rename would replace.
fn name_exclusively(tmp: &Path, target: &Path, dir: &Path) -> Result<(), StoreError> {
    match fs::hard_link(tmp, target) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(StoreError::AlreadyExists { dir: dir.to_owned() })
        }
        // A file system without links: the small race of two inits at once is left to the rename.
        Err(_) if !target.exists() => fs::rename(tmp, target).map_err(StoreError::io("rename", target)),
        Err(_) => Err(StoreError::AlreadyExists { dir: dir.to_owned() }),
    }
}
