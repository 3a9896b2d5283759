//! Merge bases: the best common ancestors of commits that grew apart.
//!
//! Rests on commits, whose generation is greater than that of every parent. Invariants: a walk stops where all that is
//! left is behind a base, so it costs the history since the sides parted; the answer does not depend on the order in
//! which parents or sides are named.

use std::collections::{BTreeSet, BinaryHeap, HashMap};

use crate::object::CommitId;
use crate::repo::Repo;
use crate::repo::RepoError;

/// Reachable from the one side, from the other, or behind a base.
const ONE: u8 = 1;
const OTHER: u8 = 2;
const BEHIND: u8 = 4;

impl Repo {
    /// The best common ancestors of `one` and of any of `others` together: common ancestors that lie behind no other.
    /// None where the histories never met; several where they crossed. In order of their ids.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn merge_bases(&self, one: CommitId, others: &[CommitId]) -> Result<Vec<CommitId>, RepoError> {
        let mut walk = Walk { repo: self, marks: HashMap::new(), queue: BinaryHeap::new() };
        walk.mark(one, ONE)?;
        for other in others {
            walk.mark(*other, OTHER)?;
        }
        let mut bases = BTreeSet::new();
        // A later generation is never reached from an earlier one, so a commit's marks are complete when it is taken.
        while walk.queue.iter().any(|(_, id)| walk.marks[id].0 & BEHIND == 0) {
            let Some((_, id)) = walk.queue.pop() else { break };
            let (mark, parents) = walk.marks[&id].clone();
            let common = mark & (ONE | OTHER) == ONE | OTHER;
            if common && mark & BEHIND == 0 {
                bases.insert(id);
            }
            for parent in parents {
                walk.mark(parent, if common { mark | BEHIND } else { mark })?;
            }
        }
        Ok(bases.into_iter().collect())
    }

    /// Those of `commits` that lie behind no other of them, in their order, each once.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn independent(&self, commits: &[CommitId]) -> Result<Vec<CommitId>, RepoError> {
        let mut kept: Vec<CommitId> = Vec::new();
        for commit in commits {
            let mut behind = kept.contains(commit);
            for other in commits {
                behind = behind || (other != commit && self.is_ancestor(*commit, *other)?);
            }
            if !behind {
                kept.push(*commit);
            }
        }
        Ok(kept)
    }
}

/// A walk from several commits, the latest generation first.
struct Walk<'a> {
    repo: &'a Repo,
    /// Marks and parents of the commits seen.
    marks: HashMap<CommitId, (u8, Vec<CommitId>)>,
    queue: BinaryHeap<(u64, CommitId)>,
}

impl Walk<'_> {
    fn mark(&mut self, id: CommitId, mark: u8) -> Result<(), RepoError> {
        if let Some((marks, _)) = self.marks.get_mut(&id) {
            *marks |= mark;
            return Ok(());
        }
        let commit = self.repo.commit(id)?;
        self.queue.push((commit.generation, id));
        self.marks.insert(id, (mark, commit.parents));
        Ok(())
    }
}
