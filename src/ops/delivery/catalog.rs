//! Which snapshots there are: every dataset of every commit that a ref reaches, by root and by the digest of its JSONL.
//!
//! Rests on history and receipts. Invariants: what no ref reaches any more is not listed; a commit is read once, however
//! often the catalog is brought up to date; receipts are read when a digest is first asked for.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::receipted;
use super::receipted::Receipted;
use crate::object::CommitId;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::error::OpError;
use crate::repo::Repo;

/// Where a snapshot stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The dataset it is one of.
    pub dataset: String,
    /// A commit that has it.
    pub commit_id: CommitId,
}

/// The snapshots that the refs of a store reach.
#[derive(Debug, Default)]
pub struct Catalog {
    refs: BTreeMap<String, ObjectId>,
    commits: FxHashSet<CommitId>,
    /// One place for each dataset that has it: only empty datasets share a root.
    roots: FxHashMap<RootId, Vec<Place>>,
    /// Of exports, by both digests of their JSONL.
    digests: FxHashMap<String, RootId>,
    /// Roots of exports whose receipts were not looked at yet.
    unread: Vec<RootId>,
}

impl Catalog {
    /// Takes in what the refs reach now.
    ///
    /// # Errors
    /// A commit or tag that is missing or damaged; the catalog is then to be made anew.
    pub fn update(&mut self, repo: &Repo) -> Result<(), OpError> {
        let refs = repo.store().refs();
        if refs == self.refs {
            return Ok(());
        }
        let mut met = FxHashSet::default();
        self.take(repo, &refs, &mut met)?;
        // A ref that went, or that moved to what does not descend from where it was, may leave snapshots behind.
        let left_behind = self.refs.iter().any(|(name, id)| {
            let now = refs.get(name);
            now != Some(id) && (now.is_none() || !met.contains(&CommitId::new(*id)))
        });
        if left_behind {
            *self = Self::default();
            self.take(repo, &refs, &mut met)?;
        }
        self.refs = refs;
        Ok(())
    }

    /// Reads the commits that are new; `met` learns which known ones their parents are.
    fn take(
        &mut self,
        repo: &Repo,
        refs: &BTreeMap<String, ObjectId>,
        met: &mut FxHashSet<CommitId>,
    ) -> Result<(), OpError> {
        let mut todo = Vec::new();
        for (name, id) in refs {
            let is_tag = name.starts_with("tags/");
            todo.push(if is_tag { repo.tag(id)?.target } else { CommitId::new(*id) });
        }
        while let Some(id) = todo.pop() {
            if self.commits.contains(&id) {
                met.insert(id);
                continue;
            }
            let commit = repo.commit(id)?;
            for (dataset, root) in &commit.datasets {
                let places = self.roots.entry(*root).or_default();
                if !places.iter().any(|place| place.dataset == *dataset) {
                    places.push(Place { dataset: dataset.clone(), commit_id: id });
                    if dataset.starts_with("exports/") {
                        self.unread.push(*root);
                    }
                }
            }
            self.commits.insert(id);
            todo.extend(commit.parents);
        }
        Ok(())
    }

    /// Where the snapshot `root` stands, as one of `dataset` where that is said.
    pub fn place(&self, root: RootId, dataset: Option<&str>) -> Option<&Place> {
        let places = self.roots.get(&root)?;
        match dataset {
            Some(name) => places.iter().find(|place| place.dataset == name),
            // An empty dataset may be any; an export is what people come for.
            None => places.iter().min_by_key(|place| !place.dataset.starts_with("exports/")),
        }
    }

    /// How many snapshots there are.
    pub fn len(&self) -> usize {
        self.roots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// The export whose JSONL has this digest, BLAKE3 or SHA-256.
    ///
    /// # Errors
    /// A receipt that is missing or damaged.
    pub fn by_digest(&mut self, repo: &Repo, digest: &str) -> Result<Option<RootId>, OpError> {
        while let Some(root) = self.unread.last().copied() {
            if let Some(digests) = self.describe(repo, root, None)?.and_then(|found| found.jsonl) {
                self.digests.insert(digests.blake3.to_string(), root);
                self.digests.insert(digests.sha256, root);
            }
            self.unread.pop();
        }
        Ok(self.digests.get(digest).copied())
    }

    /// What is known of the snapshot `root`; `None` where no commit that a ref reaches has it.
    ///
    /// # Errors
    /// A commit, tree or receipt that is missing or damaged.
    pub fn describe(
        &self,
        repo: &Repo,
        root: RootId,
        dataset: Option<&str>,
    ) -> Result<Option<Receipted>, OpError> {
        let Some(place) = self.place(root, dataset) else { return Ok(None) };
        let commit = repo.commit(place.commit_id)?;
        receipted::dataset(repo.store(), place.commit_id, &commit, &place.dataset).map(Some)
    }
}
