//! History in the order in which a graph is drawn: every commit before its parents, and a line of work in one piece.
//!
//! Rests on [`Ancestors`], which hands commits out by falling generation: once it has handed out a commit, it has handed
//! out all of its descendants. Invariants: no commit comes before one of its children, or twice; no more of history is read than
//! down to the generation of the last commit handed out.

use std::collections::{HashMap, HashSet};

use crate::object::CommitId;
use crate::repo::Ancestors;
use crate::repo::Commit;
use crate::repo::Repo;
use crate::repo::RepoError;

/// Commits with children first; of two lines that meet in a merge, the one merged in comes first, whole.
pub struct Topological<'a> {
    walk: Ancestors<'a>,
    left_out: HashSet<CommitId>,
    /// Known, and not handed out.
    explored: HashMap<CommitId, Commit>,
    /// How many known children are still to be handed out.
    waiting: HashMap<CommitId, usize>,
    /// Commits without a known child to wait for; the last comes next.
    ready: Vec<CommitId>,
    given: HashSet<CommitId>,
}

impl Repo {
    /// Every commit reachable from `starts` and not in `left_out`, which must hold the ancestors of all that it holds.
    ///
    /// # Errors
    /// When a start cannot be read; the walk itself hands out later errors.
    pub fn topological(
        &self,
        starts: impl IntoIterator<Item = CommitId>,
        left_out: HashSet<CommitId>,
    ) -> Result<Topological<'_>, RepoError> {
        let mut ready = Vec::new();
        for id in starts {
            if !left_out.contains(&id) {
                let commit = self.commit(id)?;
                ready.push((commit.generation, commit.committed_at, id));
            }
        }
        ready.sort();
        let ready: Vec<_> = ready.into_iter().map(|(_, _, id)| id).collect();
        Ok(Topological {
            walk: self.ancestors(ready.iter().copied()),
            left_out,
            explored: HashMap::new(),
            waiting: HashMap::new(),
            ready,
            given: HashSet::new(),
        })
    }
}

impl Topological<'_> {
    /// Walks on until `id` is known, and with it every descendant of it.
    fn explore(&mut self, id: CommitId) -> Result<(), RepoError> {
        while !self.explored.contains_key(&id) {
            let Some(found) = self.walk.next() else { return Ok(()) };
            let (found, commit) = found?;
            if !self.left_out.contains(&found) {
                for parent in &commit.parents {
                    *self.waiting.entry(*parent).or_default() += 1;
                }
                self.explored.insert(found, commit);
            }
        }
        Ok(())
    }
}

impl Iterator for Topological<'_> {
    type Item = Result<(CommitId, Commit), RepoError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(id) = self.ready.pop() {
            if self.given.contains(&id) {
                continue;
            }
            if let Err(error) = self.explore(id) {
                self.ready.clear();
                return Some(Err(error));
            }
            // A child that has just become known will make it ready again.
            if self.waiting.get(&id).is_some_and(|children| *children > 0) {
                continue;
            }
            let Some(commit) = self.explored.remove(&id) else { continue };
            self.given.insert(id);
            for parent in &commit.parents {
                if let Some(children) = self.waiting.get_mut(parent) {
                    *children -= 1;
                    if *children == 0 && !self.left_out.contains(parent) {
                        self.ready.push(*parent);
                    }
                }
            }
            return Some(Ok((id, commit)));
        }
        None
    }
}
