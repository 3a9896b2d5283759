//! Walking history: ancestors of a commit, and where HEAD and branches have been.
//!
//! Rests on commits and the operation log. Invariants: a walk reads a commit once; memory is bounded by the frontier
//! and the commits already seen.

use std::collections::{BTreeSet, BinaryHeap, HashSet};

use crate::object::CommitId;
use crate::object::ObjectId;
use crate::repo::Commit;
use crate::repo::Repo;
use crate::repo::RepoError;
use crate::store::Head;
use crate::store::LoggedOperation;

/// Commits reachable from some start, the latest generation first, ties by time and then by id.
pub struct Ancestors<'a> {
    repo: &'a Repo,
    frontier: BinaryHeap<(u64, String, CommitId)>,
    loaded: std::collections::HashMap<CommitId, Commit>,
    seen: HashSet<CommitId>,
    failed: Option<RepoError>,
}

impl Ancestors<'_> {
    fn add(&mut self, id: CommitId) {
        if self.seen.insert(id) {
            match self.repo.commit(id) {
                Ok(commit) => {
                    self.frontier.push((commit.generation, commit.committed_at.clone(), id));
                    self.loaded.insert(id, commit);
                }
                Err(error) => self.failed = Some(error),
            }
        }
    }
}

impl Iterator for Ancestors<'_> {
    type Item = Result<(CommitId, Commit), RepoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            self.frontier.clear();
            return Some(Err(error));
        }
        let (_, _, id) = self.frontier.pop()?;
        let commit = self.loaded.remove(&id)?;
        for parent in &commit.parents {
            self.add(*parent);
        }
        Some(Ok((id, commit)))
    }
}

/// One step of HEAD or of a branch, as the operation log tells it.
#[derive(Clone, Debug)]
pub struct HeadMove {
    /// 0 is the latest.
    pub index: u64,
    /// Where it stood after the operation; `None` for nowhere.
    pub commit: Option<CommitId>,
    /// The operation.
    pub operation: LoggedOperation,
}

impl Repo {
    /// Every commit reachable from `starts`, latest first.
    pub fn ancestors(&self, starts: impl IntoIterator<Item = CommitId>) -> Ancestors<'_> {
        let mut walk = Ancestors {
            repo: self,
            frontier: BinaryHeap::new(),
            loaded: std::collections::HashMap::new(),
            seen: HashSet::new(),
            failed: None,
        };
        for id in starts {
            walk.add(id);
        }
        walk
    }

    /// The commits that refs name: branches, runs, detached HEAD and the targets of tags.
    ///
    /// # Errors
    /// When a tag object cannot be read.
    pub fn tips(&self) -> Result<BTreeSet<CommitId>, RepoError> {
        let mut tips = BTreeSet::new();
        for (name, id) in self.store().refs() {
            tips.insert(if name.starts_with("tags/") { self.tag(&id)?.target } else { CommitId::new(id) });
        }
        tips.extend(self.head_commit());
        Ok(tips)
    }

    /// Whether a ref or another commit names `id` as a commit.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn is_commit(&self, id: &ObjectId) -> Result<bool, RepoError> {
        let wanted = CommitId::new(*id);
        let Ok(commit) = self.commit(wanted) else { return Ok(false) };
        let tips = self.tips()?;
        if tips.contains(&wanted) {
            return Ok(true);
        }
        for found in self.ancestors(tips) {
            let (found, ancestor) = found?;
            if found == wanted {
                return Ok(true);
            }
            if ancestor.generation < commit.generation {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Whether `ancestor` is `of` or lies behind it.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn is_ancestor(&self, ancestor: CommitId, of: CommitId) -> Result<bool, RepoError> {
        let generation = self.commit(ancestor)?.generation;
        for found in self.ancestors([of]) {
            let (id, commit) = found?;
            if id == ancestor {
                return Ok(true);
            }
            if commit.generation < generation {
                break;
            }
        }
        Ok(false)
    }

    /// Where HEAD (`None`) or the ref of that full name stood after each operation that moved it, latest first.
    ///
    /// # Errors
    /// When the operation log is damaged.
    pub fn head_moves(&self, name: Option<&str>) -> Result<Vec<HeadMove>, RepoError> {
        let mut refs = self.store().refs();
        let mut head = self.store().head();
        let mut moves: Vec<HeadMove> = Vec::new();
        for logged in self.store().operations() {
            let logged = logged?;
            let at = |head: &Head, refs: &std::collections::BTreeMap<String, ObjectId>| match (name, head) {
                (Some(name), _) => refs.get(name).copied(),
                (None, Head::Branch(branch)) => refs.get(branch).copied(),
                (None, Head::Detached(id)) => Some(*id),
            };
            let after = at(&head, &refs);
            let head_moved = name.is_none() && logged.operation.head.is_some();
            for change in &logged.operation.ref_changes {
                match change.old {
                    Some(old) => refs.insert(change.name.clone(), old),
                    None => refs.remove(&change.name),
                };
            }
            if let Some(change) = &logged.operation.head {
                head = change.old.clone();
            }
            if at(&head, &refs) != after || head_moved {
                let index = moves.len() as u64;
                moves.push(HeadMove { index, commit: after.map(CommitId::new), operation: logged });
            }
        }
        Ok(moves)
    }
}
