//! One change of a working tree: files are written beside their places, checked, and renamed into them.
//!
//! Rests on `state` for what is distill's own and on `path` for what is inside. Invariants: before
//! [`Transaction::commit`] nothing that a person sees changes; a transaction that is dropped removes its temporary
//! files; every refusal comes before the first rename.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde::Serialize;

use super::error::WorktreeError;
use super::path;
use super::plan::plan;
use super::staged::Staged;
use super::{Scope, Standing, Worktree};
use crate::base::fs::{EarlySync, sync_dir};
use crate::object::ObjectId;

/// At most this many temporary files are open at a time.
const OPEN_FILES_MAX: usize = 16;
/// Files that are synced at a time.
const SYNCS_AT_A_TIME: usize = 8;
/// What the name of a transaction's folder begins with.
const STAGING_PREFIX: &str = ".distill-tmp-";
/// And before it is locked.
const MAKING_PREFIX: &str = ".distill-new-";

/// Tells transactions of one process apart.
static SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// What a commit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Files that are new or have new content.
    pub written: u64,
    /// Files that were right already and were not touched.
    pub unchanged: u64,
    /// Files of earlier snapshots that went.
    pub removed: u64,
    /// Bytes of the files that were written.
    pub bytes_written: u64,
}

/// Files on their way into a directory.
#[derive(Debug)]
pub struct Transaction {
    worktree: Worktree,
    staging: Option<Staging>,
    files: BTreeMap<String, Staged>,
    /// The files that are open, the one used longest ago first.
    open: VecDeque<String>,
    early: EarlySync,
}

/// A folder of temporary files that goes with the transaction.
#[derive(Debug)]
struct Staging {
    folder: PathBuf,
    /// Held as long as the process lives, so that others can tell leftovers.
    _lock: File,
}

/// Writes one file of a transaction, hashing as it goes. Nothing needs to be closed.
#[derive(Debug)]
pub struct FileSink<'a> {
    transaction: &'a mut Transaction,
    rel: String,
}

impl Write for FileSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.transaction.append(&self.rel, bytes).map_err(|error| match error {
            WorktreeError::Io { source, .. } => source,
            other => io::Error::other(other),
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transaction {
    pub(super) fn begin(worktree: Worktree) -> Result<Self, WorktreeError> {
        let staging = Some(Staging::new(&worktree)?);
        Ok(Self {
            worktree,
            staging,
            files: BTreeMap::new(),
            open: VecDeque::new(),
            early: EarlySync::default(),
        })
    }

    /// The directory, as a canonical path.
    pub fn target(&self) -> &Path {
        self.worktree.target()
    }

    /// The files that this transaction would leave in place, in order, each with its BLAKE3 and length in bytes.
    pub fn files(&self) -> impl Iterator<Item = (&str, ObjectId, u64)> {
        self.files.iter().map(|(rel, staged)| (rel.as_str(), staged.digest(), staged.bytes()))
    }

    /// Begins the file `rel`, empty, whatever was written to it before.
    ///
    /// # Errors
    /// When the path is not one below the target, or no temporary file can be made.
    pub fn file(&mut self, rel: &str) -> Result<FileSink<'_>, WorktreeError> {
        path::check(rel)?;
        self.discard(rel);
        let staged = Staged::create(self.temporary()?)?;
        self.files.insert(rel.to_owned(), staged);
        self.opened(rel)?;
        Ok(FileSink { transaction: self, rel: rel.to_owned() })
    }

    /// Adds `bytes` to the end of the file `rel`, which begins empty where this transaction has not begun it. Any number
    /// of files can be written in turn.
    ///
    /// # Errors
    /// As [`Self::file`]; a full disk.
    pub fn append(&mut self, rel: &str, bytes: &[u8]) -> Result<(), WorktreeError> {
        if !self.files.get(rel).is_some_and(Staged::grows) {
            self.file(rel)?;
        }
        self.reopen(rel)?;
        match self.files.get_mut(rel) {
            Some(staged) => staged.append(bytes, &mut self.early),
            None => Ok(()),
        }
    }

    /// Makes `bytes` the content of the file `rel`.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn put(&mut self, rel: &str, bytes: &[u8]) -> Result<(), WorktreeError> {
        self.file(rel)?;
        self.append(rel, bytes)
    }

    /// Makes a file that the caller has written the content of the file `rel`. From now on it belongs to the transaction:
    /// it is moved into place, or removed.
    ///
    /// # Errors
    /// When the path is not one below the target.
    pub fn adopt(
        &mut self,
        rel: &str,
        temporary: &Path,
        blake3: ObjectId,
        bytes: u64,
    ) -> Result<(), WorktreeError> {
        path::check(rel)?;
        self.discard(rel);
        let staged = Staged::known(Some(temporary.to_owned()), blake3, bytes);
        self.files.insert(rel.to_owned(), staged);
        Ok(())
    }

    /// Says that the file `rel` is to hold content of this digest, and whether it holds it already. Where it does, there
    /// is nothing to write; where it does not, nothing has happened.
    ///
    /// # Errors
    /// When the path is not one below the target, or the file cannot be read.
    pub fn holds(&mut self, rel: &str, blake3: ObjectId) -> Result<bool, WorktreeError> {
        path::check(rel)?;
        if self.worktree.standing(rel, Some(&blake3))? != Standing::Right {
            return Ok(false);
        }
        let file = self.worktree.target.join(rel);
        let bytes = fs::symlink_metadata(&file).map_err(WorktreeError::io("look at", &file))?.len();
        self.discard(rel);
        let staged = Staged::known(None, blake3, bytes);
        self.files.insert(rel.to_owned(), staged);
        Ok(true)
    }

    /// Looks for what a commit must not do, without doing anything: files changed by hand that would be overwritten, or
    /// removed because `stale` chooses them and this transaction does not write them.
    ///
    /// # Errors
    /// [`WorktreeError::Conflicts`] unless `force`; links out of the target and folders in the way in any case.
    pub fn check(&self, force: bool, stale: Scope<'_>) -> Result<(), WorktreeError> {
        plan(&self.worktree, &self.files, force, stale).map(drop)
    }

    /// Brings everything into place, removes the files of earlier snapshots that `stale` chooses and that this
    /// transaction does not write, and remembers what it wrote.
    ///
    /// # Errors
    /// As [`Self::check`], with nothing changed; I/O, with some files in place. Running it again then is safe.
    pub fn commit(mut self, force: bool, stale: Scope<'_>) -> Result<Summary, WorktreeError> {
        let rels: Vec<String> = self.open.drain(..).collect();
        for rel in rels {
            self.close(&rel)?;
        }
        let _lock = self.worktree.lock()?;
        self.worktree.state = self.worktree.state.reload();
        let plan = plan(&self.worktree, &self.files, force, stale)?;
        let mut summary = Summary { unchanged: plan.keep.len() as u64, ..Summary::default() };
        self.sync(&plan.write)?;
        self.worktree.state.announce(plan.write.iter().map(|rel| (rel.clone(), self.files[rel].digest())));
        if !plan.write.is_empty() || !plan.remove.is_empty() {
            self.worktree.state.save()?;
        }

        let mut folders = BTreeSet::new();
        for rel in &plan.remove {
            self.remove(rel, &mut folders)?;
            summary.removed += 1;
        }
        for rel in plan.forget {
            self.worktree.state.forget(&rel);
        }
        for rel in plan.write {
            summary.bytes_written += self.place(&rel, &mut folders)?;
            summary.written += 1;
        }
        for rel in plan.keep {
            let file = self.worktree.target.join(&rel);
            let meta = fs::symlink_metadata(&file).map_err(WorktreeError::io("look at", &file))?;
            self.worktree.state.record(&rel, self.files[&rel].digest(), &meta);
        }
        for folder in folders {
            match sync_dir(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(WorktreeError::Io { action: "sync", path: folder, source: error });
                }
                _ => {}
            }
        }
        self.worktree.state.save()?;
        Ok(summary)
    }

    /// Makes the content of the files durable, before any name points to it. Several wait at a time: the disk does not
    /// take longer for them together.
    fn sync(&mut self, rels: &[String]) -> Result<(), WorktreeError> {
        self.early.finish().map_err(|(path, source)| WorktreeError::Io { action: "sync", path, source })?;
        let temporaries: Vec<&PathBuf> =
            rels.iter().filter_map(|rel| self.files[rel].temporary.as_ref()).collect();
        let next = AtomicUsize::new(0);
        let work = || -> Result<(), WorktreeError> {
            while let Some(temporary) = temporaries.get(next.fetch_add(1, Ordering::Relaxed)) {
                let sync = || File::open(temporary)?.sync_all();
                sync().map_err(WorktreeError::io("sync", temporary))?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let waiting = SYNCS_AT_A_TIME.min(temporaries.len()).saturating_sub(1);
            let others: Vec<_> = (0..waiting).map(|_| scope.spawn(work)).collect();
            let own = work();
            let joined = others.into_iter().map(|other| match other.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.fold(own, Result::and)
        })
    }

    /// Moves one file into its place; returns its length.
    fn place(&mut self, rel: &str, folders: &mut BTreeSet<PathBuf>) -> Result<u64, WorktreeError> {
        let file = self.worktree.target.join(rel);
        let folder = file.parent().unwrap_or(&self.worktree.target).to_owned();
        make_folders(&self.worktree.target, &folder, folders)?;
        let Some(staged) = self.files.get_mut(rel) else { return Ok(0) };
        let Some(temporary) = staged.temporary.take() else { return Ok(0) };
        if let Err(error) = move_file(&temporary, &file) {
            staged.temporary = Some(temporary);
            return Err(WorktreeError::Io { action: "write", path: file, source: error });
        }
        let (digest, bytes) = (staged.digest(), staged.bytes());
        folders.insert(folder);
        let meta = fs::symlink_metadata(&file).map_err(WorktreeError::io("look at", &file))?;
        self.worktree.state.record(rel, digest, &meta);
        Ok(bytes)
    }

    /// Removes one file and the folders that it leaves empty.
    fn remove(&mut self, rel: &str, folders: &mut BTreeSet<PathBuf>) -> Result<(), WorktreeError> {
        let file = self.worktree.target.join(rel);
        fs::remove_file(&file).map_err(WorktreeError::io("remove", &file))?;
        self.worktree.state.forget(rel);
        for folder in file.ancestors().skip(1).take_while(|folder| *folder != self.worktree.target) {
            // Refused for a folder that is not empty, and for a link: both stay.
            if fs::remove_dir(folder).is_err() {
                folders.insert(folder.to_owned());
                break;
            }
            folders.remove(folder);
        }
        Ok(())
    }

    fn temporary(&self) -> Result<PathBuf, WorktreeError> {
        let number = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        match &self.staging {
            Some(staging) => Ok(staging.folder.join(number.to_string())),
            None => Err(WorktreeError::Io {
                action: "write in",
                path: self.worktree.staging.clone(),
                source: io::ErrorKind::NotFound.into(),
            }),
        }
    }

    /// Makes room among the open files and notes that `rel` is one.
    fn opened(&mut self, rel: &str) -> Result<(), WorktreeError> {
        if self.open.len() >= OPEN_FILES_MAX
            && let Some(oldest) = self.open.pop_front()
        {
            self.close(&oldest)?;
        }
        self.open.push_back(rel.to_owned());
        Ok(())
    }

    fn reopen(&mut self, rel: &str) -> Result<(), WorktreeError> {
        if self.files.get(rel).is_none_or(Staged::is_open) {
            return Ok(());
        }
        self.opened(rel)?;
        self.files.get_mut(rel).map_or(Ok(()), Staged::reopen)
    }

    /// Writes out what is pending and closes the file.
    fn close(&mut self, rel: &str) -> Result<(), WorktreeError> {
        self.files.get_mut(rel).map_or(Ok(()), Staged::close)
    }

    /// Forgets what was staged for `rel`.
    fn discard(&mut self, rel: &str) {
        self.open.retain(|open| open != rel);
        if let Some(mut staged) = self.files.remove(rel) {
            staged.discard();
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.files.values_mut().for_each(Staged::discard);
        if let Some(staging) = self.staging.take() {
            fs::remove_dir_all(&staging.folder).ok();
        }
    }
}

/// Makes the folders from `target` to `folder`, noting those whose names are to be made durable.
fn make_folders(target: &Path, folder: &Path, folders: &mut BTreeSet<PathBuf>) -> Result<(), WorktreeError> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent()
        && folder != target
    {
        make_folders(target, above, folders)?;
        folders.insert(above.to_owned());
    }
    match fs::create_dir(folder) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(WorktreeError::Io { action: "make", path: folder.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Renames, or copies beside the place and renames where the two lie on different file systems.
fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
        done => return done,
    }
    let number = SEQUENCE.fetch_add(1, Ordering::Relaxed);
    let beside = to.with_file_name(format!("{STAGING_PREFIX}{}-{number}", std::process::id()));
    let copied = (|| {
        fs::copy(from, &beside)?;
        File::open(&beside)?.sync_all()?;
        fs::rename(&beside, to)
    })();
    match copied {
        Ok(()) => fs::remove_file(from),
        Err(error) => {
            fs::remove_file(&beside).ok();
            Err(error)
        }
    }
}

impl Staging {
    fn new(worktree: &Worktree) -> Result<Self, WorktreeError> {
        let parent = &worktree.staging;
        fs::create_dir_all(parent).map_err(WorktreeError::io("make", parent))?;
        sweep(parent);
        let name = format!("{}-{}", std::process::id(), SEQUENCE.fetch_add(1, Ordering::Relaxed));
        // It gets the name that others look at when it is locked, so that nobody takes it for abandoned.
        let (making, folder) =
            (parent.join(format!("{MAKING_PREFIX}{name}")), parent.join(format!("{STAGING_PREFIX}{name}")));
        // What a dead process with our id left behind.
        fs::remove_dir_all(&making).ok();
        fs::remove_dir_all(&folder).ok();
        fs::create_dir(&making).map_err(WorktreeError::io("make", &making))?;
        let path = making.join("lock");
        let lock = File::create(&path).map_err(WorktreeError::io("write", &path))?;
        // Where the disk knows no locks, nobody can tell that it is abandoned, and it stays.
        lock.lock().ok();
        fs::rename(&making, &folder).map_err(WorktreeError::io("make", &folder))?;
        Ok(Self { folder, _lock: lock })
    }
}

/// Removes the temporary files of processes that died.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let is_staging = entry.file_name().to_string_lossy().starts_with(STAGING_PREFIX);
        let abandoned = || match File::open(entry.path().join("lock")) {
            Ok(lock) => lock.try_lock().is_ok(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if is_staging && abandoned() {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

impl Worktree {
    /// Waits until nobody else changes this working tree.
    fn lock(&self) -> Result<Option<File>, WorktreeError> {
        let Some(path) = &self.lock else { return Ok(None) };
        let lock = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let file = File::options().write(true).create(true).truncate(false).open(path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map(Some).map_err(WorktreeError::io("lock", path))
    }
}
