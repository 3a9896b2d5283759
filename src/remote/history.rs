//! Questions to history that may lie partly in a store and partly in packs that just came.
//!
//! Rests on commits, whose generation is greater than that of every parent. Invariant: a walk reads a commit once, and none
//! behind the generation that it asks about.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::hash_map::Entry;

use super::error::RemoteError;
use crate::object::CommitId;
use crate::object::Find;
use crate::object::FindExt as _;
use crate::repo::Commit;

/// Reads a commit.
///
/// # Errors
/// When the object is missing, damaged or no commit.
pub(super) fn commit(find: &dyn Find, id: CommitId) -> Result<Commit, RemoteError> {
    let bytes = find.find(id.object())?;
    Ok(Commit::parse(id.object(), &bytes)?)
}

/// Whether `ancestor` is `of` or lies behind it.
///
/// # Errors
/// When history cannot be read.
pub fn is_ancestor(find: &dyn Find, ancestor: CommitId, of: CommitId) -> Result<bool, RemoteError> {
    let generation = commit(find, ancestor)?.generation;
    let mut todo = vec![of];
    let mut seen: HashSet<CommitId> = todo.iter().copied().collect();
    while let Some(id) = todo.pop() {
        if id == ancestor {
            return Ok(true);
        }
        let found = commit(find, id)?;
        if found.generation > generation {
            todo.extend(found.parents.into_iter().filter(|parent| seen.insert(*parent)));
        }
    }
    Ok(false)
}

/// Commits that were read, and those of them that are still to be gone through, by generation.
#[derive(Default)]
struct Queue {
    loaded: HashMap<CommitId, Commit>,
    ahead: BTreeSet<(u64, CommitId)>,
}

impl Queue {
    fn add(&mut self, find: &dyn Find, id: CommitId) -> Result<(), RemoteError> {
        if let Entry::Vacant(slot) = self.loaded.entry(id) {
            let commit = slot.insert(commit(find, id)?);
            self.ahead.insert((commit.generation, id));
        }
        Ok(())
    }
}

/// The commits behind `wants` that are neither in `haves` nor behind them, parents before children.
///
/// # Errors
/// When history cannot be read.
pub(super) fn missing(
    find: &dyn Find,
    wants: &[CommitId],
    haves: &[CommitId],
) -> Result<Vec<(CommitId, Commit)>, RemoteError> {
    let mut queue = Queue::default();
    let mut known: HashSet<CommitId> = haves.iter().copied().collect();
    // Commits in the queue that may have to be sent.
    let mut open: HashSet<CommitId> = wants.iter().copied().filter(|want| !known.contains(want)).collect();
    for id in wants.iter().chain(haves) {
        queue.add(find, *id)?;
    }
    let mut taken = Vec::new();
    while !open.is_empty() {
        // Children before parents, so that what is known of a commit is complete when it is taken.
        let Some((_, id)) = queue.ahead.pop_last() else { break };
        open.remove(&id);
        let is_known = known.contains(&id);
        let parents = queue.loaded.get(&id).map(|commit| commit.parents.clone()).unwrap_or_default();
        for parent in parents {
            queue.add(find, parent)?;
            if is_known {
                known.insert(parent);
                open.remove(&parent);
            } else if !known.contains(&parent) {
                open.insert(parent);
            }
        }
        if !is_known {
            taken.push(id);
        }
    }
    taken.reverse();
    Ok(taken.into_iter().filter_map(|id| queue.loaded.remove_entry(&id)).collect())
}
