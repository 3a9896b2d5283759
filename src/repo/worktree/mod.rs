//! The working tree: writing snapshots into a directory so that nothing of a person's is ever lost.
//!
//! Rests on `tree` and on rename within one file system. Invariants: a file is overwritten or removed only where its
//! content is known to be distill's own, or a person said so (`force`); everything is written beside its place and
//! renamed into it; a file whose content is already right is left untouched; nothing leaves the target directory.
//!
//! ```text
//! let mut transaction = worktree.begin()?;
//! write_dataset(&mut transaction, store, "exports/rag", root)?;   // temporary files
//! transaction.check(force, &stale)?;                              // refuse before anything is published
//! store.publish(...)?;
//! transaction.commit(force, &stale)?;                             // renames; dropping it instead leaves no trace
//! ```

mod error;
mod layout;
mod path;
mod plan;
mod staged;
mod state;
mod transaction;

pub use error::WorktreeError;
pub use layout::{digests, file_of, folder_of, single_file, write_dataset, write_datasets};
pub use transaction::{FileSink, Summary, Transaction};

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::object::ObjectId;
use state::State;

/// Chooses files by their path relative to the target directory.
pub type Scope<'a> = &'a dyn Fn(&str) -> bool;

/// A directory that snapshots are written into.
#[derive(Clone, Debug)]
pub struct Worktree {
    target: PathBuf,
    /// Where temporary files go; on the same file system as the target, as a rule.
    staging: PathBuf,
    /// Held while files are renamed; `None` for a directory that is nobody's working tree.
    lock: Option<PathBuf>,
    state: State,
    known: Arc<BTreeSet<ObjectId>>,
}

/// What stands where a file belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing.
    Absent,
    /// The wanted content.
    Right,
    /// Something that distill wrote or can write again.
    Ours,
    /// What a person made or changed.
    ByHand,
    /// A folder.
    Folder,
}

impl Worktree {
    /// The repository's own working tree, which remembers in `state_dir` (`.distill/index`) what distill wrote. The
    /// memory is a cache: a file it does not speak of is a person's, unless its digest is known ([`Self::knowing`]).
    ///
    /// # Errors
    /// When `root` does not exist.
    pub fn open(root: &Path, state_dir: &Path) -> Result<Self, WorktreeError> {
        let target = fs::canonicalize(root).map_err(WorktreeError::io("open", root))?;
        let dot = state_dir.parent().unwrap_or(state_dir);
        Ok(Self {
            staging: dot.join("tmp"),
            lock: Some(state_dir.join("worktree.lock")),
            state: State::load(state_dir.join("worktree.json")),
            known: Arc::default(),
            target,
        })
    }

    /// Any other directory, made where there is none. Nothing is remembered: every file that is there with other
    /// content is a conflict.
    ///
    /// # Errors
    /// When it cannot be made or opened.
    pub fn detached(dir: &Path) -> Result<Self, WorktreeError> {
        Self::remembering(dir, BTreeMap::new())
    }

    /// A directory whose files the caller knows: `files` names by relative path the content that may be replaced or
    /// removed. Nothing is remembered beyond that.
    ///
    /// # Errors
    /// As [`Self::detached`].
    pub fn remembering(dir: &Path, files: BTreeMap<String, ObjectId>) -> Result<Self, WorktreeError> {
        fs::create_dir_all(dir).map_err(WorktreeError::io("make", dir))?;
        let target = fs::canonicalize(dir).map_err(WorktreeError::io("open", dir))?;
        Ok(Self {
            staging: target.clone(),
            lock: None,
            state: State::unkept(files),
            known: Arc::default(),
            target,
        })
    }

    /// The same, with digests of content that can be made again: a file with such content may be replaced.
    pub fn knowing(mut self, known: BTreeSet<ObjectId>) -> Self {
        self.known = Arc::new(known);
        self
    }

    /// The directory, as a canonical path.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Whether the memory of what distill wrote was found and is sound. Where it is not, callers supply
    /// [`Self::knowing`] what they can.
    pub fn has_memory(&self) -> bool {
        self.state.was_there()
    }

    /// The files that distill remembers having written.
    pub fn tracked(&self) -> BTreeSet<String> {
        self.state.tracked().map(str::to_owned).collect()
    }

    /// The files within `scope` that distill wrote and that no longer hold what it wrote, in order. One that was deleted
    /// is no loss and not named.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn changed_by_hand(&self, scope: Scope<'_>) -> Result<Vec<PathBuf>, WorktreeError> {
        let mut changed = Vec::new();
        for rel in self.state.tracked().filter(|rel| scope(rel)) {
            if matches!(self.standing(rel, None)?, Standing::ByHand | Standing::Folder) {
                changed.push(PathBuf::from(rel));
            }
        }
        Ok(changed)
    }

    /// Begins to write. Nothing below the target but temporary files changes before [`Transaction::commit`].
    ///
    /// # Errors
    /// When no temporary files can be made.
    pub fn begin(&self) -> Result<Transaction, WorktreeError> {
        Transaction::begin(self.clone())
    }

    /// What stands at `rel`, where `wanted` is to stand.
    fn standing(&self, rel: &str, wanted: Option<&ObjectId>) -> Result<Standing, WorktreeError> {
        let path = self.target.join(rel);
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Standing::Absent);
            }
            Err(source) => return Err(WorktreeError::Io { action: "look at", path, source }),
        };
        if meta.is_dir() {
            return Ok(Standing::Folder);
        }
        if !meta.is_file() {
            return Ok(Standing::ByHand);
        }
        let digest = self.state.digest(rel, &path, &meta)?;
        Ok(if wanted == Some(&digest) {
            Standing::Right
        } else if self.state.wrote(rel, &digest) || self.known.contains(&digest) {
            Standing::Ours
        } else {
            Standing::ByHand
        })
    }
}
