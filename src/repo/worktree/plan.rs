//! What a transaction would do to a directory: which files are written, kept, removed, and which stand in the way.
//!
//! Rests on what is remembered of distill's own files, and on what stands in the directory now. Invariant: nothing is changed; every refusal
//! is found here, before the first file is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::error::WorktreeError;
use super::path::{self, Way};
use super::staged::Staged;
use super::{Scope, Standing, Worktree};

/// What a commit would do, found without doing it.
pub(super) struct Plan {
    pub(super) write: Vec<String>,
    pub(super) keep: Vec<String>,
    pub(super) remove: Vec<String>,
    /// Files that were written once and are gone already.
    pub(super) forget: Vec<String>,
}

/// Decides what becomes of every file.
pub(super) fn plan(
    worktree: &Worktree,
    files: &BTreeMap<String, Staged>,
    force: bool,
    stale: Scope<'_>,
) -> Result<Plan, WorktreeError> {
    let mut plan = Plan { write: Vec::new(), keep: Vec::new(), remove: Vec::new(), forget: Vec::new() };
    let mut conflicts = BTreeSet::new();
    for rel in worktree.state.tracked().filter(|rel| !files.contains_key(*rel) && stale(rel)) {
        // The memory is a file that anybody can write: what it says is checked like any other path.
        path::check(rel)?;
        if matches!(path::parent(&worktree.target, rel)?, Way::File(_)) {
            plan.forget.push(rel.to_owned());
            continue;
        }
        match worktree.standing(rel, None)? {
            Standing::Absent | Standing::Folder => plan.forget.push(rel.to_owned()),
            Standing::ByHand if !force => {
                conflicts.insert(PathBuf::from(rel));
            }
            Standing::ByHand | Standing::Ours | Standing::Right => plan.remove.push(rel.to_owned()),
        }
    }
    let goes = |rel: &str| plan.remove.iter().any(|gone| gone == rel);
    for (rel, staged) in files {
        if let Way::File(inside) = path::parent(&worktree.target, rel)? {
            if !goes(&inside) {
                return Err(WorktreeError::Blocked { path: worktree.target.join(inside) });
            }
            plan.write.push(rel.clone());
            continue;
        }
        match worktree.standing(rel, Some(&staged.digest()))? {
            Standing::Right => plan.keep.push(rel.clone()),
            Standing::ByHand if !force => {
                conflicts.insert(PathBuf::from(rel));
            }
            Standing::Folder if !only_holds(&worktree.target.join(rel), &worktree.target, &goes) => {
                return Err(WorktreeError::Blocked { path: worktree.target.join(rel) });
            }
            // Content that was in place a moment ago and has changed since.
            _ if staged.temporary.is_none() => {
                conflicts.insert(PathBuf::from(rel));
            }
            _ => plan.write.push(rel.clone()),
        }
    }
    if conflicts.is_empty() {
        return Ok(plan);
    }
    Err(WorktreeError::Conflicts { paths: conflicts.into_iter().collect() })
}

/// Whether a folder holds files that go and nothing else, so that it goes too. An empty one stays: nobody removes it.
fn only_holds(folder: &Path, target: &Path, goes: &dyn Fn(&str) -> bool) -> bool {
    let Ok(mut entries) = fs::read_dir(folder).map(Iterator::peekable) else { return false };
    entries.peek().is_some()
        && entries.all(|entry| {
            let Ok(entry) = entry else { return false };
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let rel = path.strip_prefix(target).ok().and_then(Path::to_str);
            if is_folder { only_holds(&path, target, goes) } else { rel.is_some_and(goes) }
        })
}
