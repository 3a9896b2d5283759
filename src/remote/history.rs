//! Questions to history that may lie partly in a store and partly in packs that just came.
//!
//! Rests on commits, whose generation is greater than that of every parent. Invariants: a walk reads a commit once, and none
//! behind the generation that it asks about; what [`Reached`] says is true of refs, not of what merely lies in a store.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::hash_map::Entry;

use rustc_hash::FxHashSet;

use super::error::RemoteError;
use crate::object::CommitId;
use crate::object::Exists as _;
use crate::object::Find;
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::repo::Commit;
use crate::repo::Tag;
use crate::store::Head;
use crate::store::Store;

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

/// The commits that the refs of a store reach, looked for as far back as they are asked about. What a ref reaches is there
/// with everything that it needs; of another commit in a pack that somebody sent, nobody knows.
pub(super) struct Reached<'a> {
    store: &'a Store,
    /// The values of all refs, and of a detached HEAD.
    values: FxHashSet<ObjectId>,
    queue: Option<Queue>,
}

impl<'a> Reached<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        let mut values: FxHashSet<ObjectId> = store.refs().into_values().collect();
        if let Head::Detached(id) = store.head() {
            values.insert(id);
        }
        Self { store, values, queue: None }
    }

    /// Whether a ref reaches the commit `id`.
    ///
    /// # Errors
    /// When it is in the store and is no commit; when history cannot be read.
    pub(super) fn has(&mut self, id: CommitId) -> Result<bool, RemoteError> {
        if !self.store.exists(id.object())? {
            return Ok(false);
        }
        let generation = commit(self.store, id)?.generation;
        if self.values.contains(id.object()) {
            return Ok(true);
        }
        let queue = match &mut self.queue {
            Some(queue) => queue,
            none => none.insert(Self::starts(self.store, &self.values)),
        };
        while let Some(last) = queue.ahead.last().copied().filter(|(last, _)| *last > generation) {
            queue.ahead.remove(&last);
            let parents = queue.loaded.get(&last.1).map(|commit| commit.parents.clone()).unwrap_or_default();
            for parent in parents {
                queue.add(self.store, parent)?;
            }
        }
        Ok(queue.loaded.contains_key(&id))
    }

    /// Whether what a ref of this name and value needs is here for certain.
    ///
    /// # Errors
    /// As [`Self::has`].
    pub(super) fn has_ref(&mut self, name: &str, id: &ObjectId) -> Result<bool, RemoteError> {
        if self.values.contains(id) {
            return Ok(true);
        }
        if !self.store.exists(id)? {
            return Ok(false);
        }
        let target = if name.starts_with("tags/") {
            Tag::parse(id, &self.store.find(id)?)?.target
        } else {
            CommitId::new(*id)
        };
        self.has(target)
    }

    /// What the refs name. One that cannot be read reaches nothing, and what it would have reached is looked at anew.
    fn starts(store: &Store, values: &FxHashSet<ObjectId>) -> Queue {
        let mut queue = Queue::default();
        for id in values {
            let Ok(Some(bytes)) = store.try_find(id) else { continue };
            let target = Tag::parse(id, &bytes).map_or(CommitId::new(*id), |tag| tag.target);
            queue.add(store, target).ok();
        }
        queue
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
