//! Files beside the packs that a collection takes along: memos of states that no branch is at, what killed processes left.
//!
//! Rests on the rule that everything here can be made again or was never finished. Invariant: the memory of the working
//! tree, which tells files that were written from files that a person changed, is no such file and stays.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use super::Leftover;
use crate::object::CommitId;
use crate::ops::OpError;
use crate::ops::engine;
use crate::repo::Repo;
use crate::store::Sole;

/// What there is, in order of path.
pub(super) fn find(repo: &Repo) -> Result<Vec<Leftover>, OpError> {
    let dot = repo.dot();
    let mut found: Vec<(PathBuf, &'static str)> = Vec::new();
    let wanted = wanted_memos(repo)?;
    for path in entries(&dot.join("index").join("memo")) {
        if !wanted.contains(&path) {
            found.push((path, "a memo of a state that no branch is at: the next run would not use it"));
        }
    }
    for path in repo.store().uncatalogued()? {
        found.push((
            path,
            "a pack that is not part of the store: a crash left it between two steps of a publish",
        ));
    }
    if !repo.store().has_runs() {
        let runs = entries(&dot.join("tmp")).into_iter();
        for path in runs.filter(|path| path.is_dir() && name(path).starts_with("run-")) {
            found.push((path, "unfinished work of a run that was killed"));
        }
    }
    found.sort();
    Ok((found.into_iter())
        .map(|(path, why)| {
            let bytes = size_of(&path);
            Leftover { path: path.strip_prefix(&dot).unwrap_or(&path).to_owned(), bytes, why }
        })
        .collect())
}

/// Removes them. A cache that cannot be removed is no reason to fail.
pub(super) fn remove(repo: &Repo, alone: &Sole, leftovers: &[Leftover]) -> Result<(), OpError> {
    for leftover in leftovers.iter().filter(|leftover| leftover.path.starts_with("index")) {
        fs::remove_file(repo.dot().join(&leftover.path)).ok();
    }
    repo.store().sweep_leftovers(alone);
    if leftovers.iter().any(|leftover| leftover.path.starts_with("packs")) {
        repo.store().sweep_uncatalogued()?;
    }
    Ok(())
}

/// The memos that the next run on a branch, or on a detached HEAD, would look for.
fn wanted_memos(repo: &Repo) -> Result<BTreeSet<PathBuf>, OpError> {
    let index = repo.dot().join("index");
    let mut tips: BTreeSet<CommitId> = repo.head_commit().into_iter().collect();
    let refs = repo.store().refs();
    tips.extend(refs.iter().filter(|(name, _)| name.starts_with("heads/")).map(|(_, id)| CommitId::new(*id)));
    let mut wanted = BTreeSet::new();
    for tip in tips {
        let key = engine::memo_key(&repo.commit(tip)?.datasets, repo.config().exports.max_pairs_per_task);
        wanted.insert(engine::memo_path(&index, &key));
    }
    Ok(wanted)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map_or_else(|_| Vec::new(), |entries| entries.flatten().map(|e| e.path()).collect())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Bytes of a file, or of all files below a folder.
pub(in crate::ops) fn size_of(path: &Path) -> u64 {
    let files = walkdir::WalkDir::new(path).into_iter().flatten().filter_map(|entry| entry.metadata().ok());
    files.filter(fs::Metadata::is_file).map(|meta| meta.len()).sum()
}
