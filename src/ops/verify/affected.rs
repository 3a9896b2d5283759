//! Which refs and snapshots are hit by what was found, and which were gone through whole and hold.
//!
//! Rests on the walk and on the parts that it found hit. Invariant: a ref is said to hold only when its commit and every
//! object below it were looked at in this very run.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::dependants::parts;
use super::reach::Reached;
use crate::object::{CommitId, RootId};
use crate::repo::Repo;

/// A ref, and whether what it names is whole.
#[derive(Clone, Debug, Serialize)]
pub struct RefState {
    /// Its full name, or `HEAD` where that is detached.
    pub name: String,
    /// Its commit; null where its tag cannot be read.
    pub commit_id: Option<CommitId>,
    /// Whether the commit and all that it holds is whole.
    pub holds: bool,
    /// The parts of it that are hit.
    pub damaged: Vec<String>,
    /// Whether every commit behind it is whole, too.
    pub history_holds: bool,
}

/// The snapshots that were gone through.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshots {
    /// How many different ones the commits have.
    pub total: u64,
    /// How many of them are whole.
    pub intact: u64,
    /// The others.
    pub affected: Vec<SnapshotState>,
}

/// A snapshot that is hit.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotState {
    /// The dataset.
    pub dataset: String,
    /// Its root.
    pub root: RootId,
    /// How many commits have it.
    pub commits: u64,
    /// The refs that stand at one of those.
    pub refs: Vec<String>,
}

/// The state of every ref that was followed.
pub(super) fn refs(repo: &Repo, reached: &Reached) -> Vec<RefState> {
    let mut behind = HashMap::new();
    let mut states = Vec::new();
    for (commit, names) in &reached.refs {
        for name in names {
            states.push(RefState {
                name: name.clone(),
                commit_id: Some(*commit),
                holds: whole(reached, *commit),
                damaged: reached.hit.get(commit).into_iter().flatten().cloned().collect(),
                history_holds: history(reached, *commit, &mut behind),
            });
        }
    }
    for name in &reached.broken_tags {
        let damaged = vec!["tag".to_owned()];
        states.push(RefState {
            name: name.clone(),
            commit_id: None,
            holds: false,
            damaged,
            history_holds: false,
        });
    }
    states.sort_by(|a, b| a.name.cmp(&b.name));
    debug_assert!(states.len() <= repo.store().refs().len() + 1);
    states
}

fn whole(reached: &Reached, commit: CommitId) -> bool {
    reached.commits.contains_key(&commit) && !reached.hit.contains_key(&commit)
}

/// Whether a commit and all behind it are whole; `known` has the answers so far.
fn history(reached: &Reached, start: CommitId, known: &mut HashMap<CommitId, bool>) -> bool {
    let mut todo = vec![start];
    while let Some(id) = todo.last().copied() {
        if known.contains_key(&id) {
            todo.pop();
            continue;
        }
        let parents = reached.commits.get(&id).map_or(&[][..], |commit| &commit.parents);
        let unknown: Vec<_> = parents.iter().filter(|parent| !known.contains_key(*parent)).copied().collect();
        if unknown.is_empty() {
            let holds = whole(reached, id) && parents.iter().all(|parent| known[parent]);
            known.insert(id, holds);
            todo.pop();
        } else {
            todo.extend(unknown);
        }
    }
    known[&start]
}

/// The state of every snapshot of the commits that were read.
pub(super) fn snapshots(reached: &Reached) -> Snapshots {
    let mut all: BTreeMap<(&str, RootId), (u64, bool, BTreeSet<&String>)> = BTreeMap::new();
    for (id, commit) in &reached.commits {
        for (part, root) in parts(commit).filter(|(part, _)| commit.datasets.contains_key(*part)) {
            let (commits, hit, refs) = all.entry((part, root)).or_default();
            *commits += 1;
            *hit |= reached.hit.get(id).is_some_and(|parts| parts.contains(part));
            refs.extend(reached.refs.get(id).into_iter().flatten());
        }
    }
    let mut told = Snapshots { total: all.len() as u64, ..Snapshots::default() };
    for ((dataset, root), (commits, hit, refs)) in all {
        if hit {
            let refs = refs.into_iter().cloned().collect();
            told.affected.push(SnapshotState { dataset: dataset.to_owned(), root, commits, refs });
        } else {
            told.intact += 1;
        }
    }
    told
}
