//! Whether everything that a new ref needs is there: in the store, among what was staged, or still with the other side.
//!
//! Rests on trees and commits. Invariants: a commit that a ref of the store reaches is taken to be there with everything it
//! needs, since no ref is moved otherwise; a commit or a node that merely lies in the store, because a pack had it that
//! somebody sent, is looked at as one that came; what is still with the other side is staged as it is met; a commit's
//! generation is one more than the largest of its parents', so that later walks can rely on it.

use std::cell::RefCell;

use rustc_hash::FxHashMap;
use rustc_hash::FxHashSet;

use super::error::RemoteError;
use super::history;
use super::history::Reached;
use super::mirror::Mirror;
use super::mirror::as_odb;
use crate::object::CommitId;
use crate::object::Exists as _;
use crate::object::Find;
use crate::object::FindExt as _;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::object::OdbError;
use crate::object::RootId;
use crate::object::Write as _;
use crate::repo::Commit;
use crate::repo::Tag;
use crate::store::Staging;
use crate::store::Store;
use crate::tree;
use crate::tree::Completion;
use crate::tree::Entry;
use crate::tree::Novel;
use crate::tree::TreeError;

/// What is staged, with the store beneath it and the other side behind it: what the latter gives is staged.
pub(super) struct Overlay<'a> {
    pub(super) staging: &'a RefCell<Staging>,
    pub(super) mirror: Option<&'a Mirror<'a>>,
}

impl Overlay<'_> {
    fn mirrored(&self, id: &ObjectId) -> Result<Option<ObjectBytes>, RemoteError> {
        let Some(mirror) = self.mirror else { return Ok(None) };
        let Some((kind, bytes)) = mirror.get(id)? else { return Ok(None) };
        self.staging.borrow_mut().write(kind, &bytes)?;
        Ok(Some(bytes))
    }
}

impl Find for Overlay<'_> {
    fn try_find(&self, id: &ObjectId) -> Result<Option<ObjectBytes>, OdbError> {
        let staged = self.staging.borrow().try_find(id)?;
        match staged {
            Some(bytes) => Ok(Some(bytes)),
            None => self.mirrored(id).map_err(as_odb),
        }
    }
}

/// A walk that remembers what it has found whole.
pub(super) struct Closure<'a> {
    store: &'a Store,
    overlay: Overlay<'a>,
    reached: Reached<'a>,
    /// Nodes that were looked at, with their rows.
    nodes: FxHashSet<ObjectId>,
    commits: FxHashMap<CommitId, Commit>,
    /// What is being looked at, for errors.
    what: String,
}

impl<'a> Closure<'a> {
    pub(super) fn new(store: &'a Store, overlay: Overlay<'a>) -> Self {
        Self {
            store,
            overlay,
            reached: Reached::new(store),
            nodes: FxHashSet::default(),
            commits: FxHashMap::default(),
            what: String::new(),
        }
    }

    /// Makes sure of everything that the ref `name` needs when it has the value `id`.
    ///
    /// # Errors
    /// [`RemoteError::Incomplete`]; damage; an object of another kind.
    pub(super) fn of_ref(&mut self, name: &str, id: &ObjectId) -> Result<(), RemoteError> {
        name.clone_into(&mut self.what);
        let start = match name.strip_prefix("tags/") {
            None => CommitId::new(*id),
            Some(short) => {
                let bytes = self.find(id)?;
                let tag = Tag::parse(id, &bytes)?;
                if tag.name != short {
                    let detail = format!("it was made for the name `{}`, not for `{short}`", tag.name);
                    return Err(crate::repo::NotA { id: *id, wanted: "tag of this name", detail }.into());
                }
                tag.target
            }
        };
        self.history(start)
    }

    fn history(&mut self, start: CommitId) -> Result<(), RemoteError> {
        let mut todo = vec![start];
        let mut new = Vec::new();
        while let Some(id) = todo.pop() {
            if self.commits.contains_key(&id) || self.reached.has(id)? {
                continue;
            }
            let bytes = self.find(id.object())?;
            let commit = Commit::parse(id.object(), &bytes)?;
            self.what = format!("commit {}", id.object().short(12));
            self.commit(&commit)?;
            todo.extend(&commit.parents);
            self.commits.insert(id, commit);
            new.push(id);
        }
        let mut by_generation = Vec::new();
        for id in new {
            let commit = self.commits[&id].clone();
            let parents = self.parents(&commit)?;
            let above = parents.iter().map(|parent| parent.generation.saturating_add(1)).max();
            let generation = above.unwrap_or(0);
            if commit.generation != generation {
                return Err(RemoteError::damaged(
                    format!("commit {id}"),
                    format!("its generation is {}, its parents make it {generation}", commit.generation),
                ));
            }
            by_generation.push((generation, id, commit, parents));
        }
        // In an empty store there is nothing that was taken to be whole.
        if !self.store.packs().is_empty() {
            by_generation.sort_by_key(|(generation, id, ..)| (*generation, *id));
            for (_, id, commit, parents) in by_generation {
                self.what = format!("commit {}", id.object().short(12));
                self.nothing_taken_for_granted(&commit, &parents)?;
            }
        }
        Ok(())
    }

    fn parents(&self, commit: &Commit) -> Result<Vec<Commit>, RemoteError> {
        let parents = commit.parents.iter().map(|id| match self.commits.get(id) {
            Some(parent) => Ok(parent.clone()),
            None => history::commit(self.store, *id),
        });
        parents.collect()
    }

    /// Looks at the nodes of a commit that lie in the store but in no tree of its parents. They may be another branch's, or have
    /// come in a pack without what is below them. The parents are sound already.
    fn nothing_taken_for_granted(&mut self, commit: &Commit, parents: &[Commit]) -> Result<(), RemoteError> {
        let of =
            |base: &dyn Fn(&Commit) -> Option<RootId>| parents.iter().filter_map(base).collect::<Vec<_>>();
        let mut trees = vec![(commit.receipts, of(&|parent| Some(parent.receipts)))];
        trees.extend(commit.config_files.map(|root| (root, of(&|parent| parent.config_files))));
        for (dataset, root) in &commit.datasets {
            trees.push((*root, of(&|parent| parent.dataset(dataset))));
        }
        for (root, bases) in trees {
            let find = Overlay { staging: self.overlay.staging, mirror: self.overlay.mirror };
            let mut novel = FxHashSet::default();
            tree::novel(&find, &bases, root, &mut |found: Novel<'_>| -> Result<(), RemoteError> {
                if let Novel::Node(id, _) = found {
                    novel.insert(*id);
                }
                Ok(())
            })
            .map_err(|error| self.incomplete_tree(error))?;
            if novel.iter().any(|id| !self.nodes.contains(id)) {
                let mut again = Again { closure: self, novel: &novel, is_checked: false };
                let walked = tree::complete(&find, root, &mut again);
                walked.map_err(|error| self.incomplete_tree(error))?;
            }
        }
        Ok(())
    }

    fn incomplete_tree(&self, error: RemoteError) -> RemoteError {
        match error {
            RemoteError::Tree(TreeError::Odb(OdbError::NotFound { id })) => {
                self.incomplete(&id, OdbError::NotFound { id })
            }
            other => other,
        }
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), RemoteError> {
        for id in [commit.summary_id, commit.drift_id, commit.config_id].into_iter().flatten() {
            self.object(&id, None)?;
        }
        let roots = std::iter::once(commit.receipts)
            .chain(commit.config_files)
            .chain(commit.datasets.values().copied());
        for root in roots {
            let find = Overlay { staging: self.overlay.staging, mirror: self.overlay.mirror };
            tree::complete(&find, root, self).map_err(|error| self.incomplete_tree(error))?;
        }
        Ok(())
    }

    fn find(&self, id: &ObjectId) -> Result<ObjectBytes, RemoteError> {
        self.overlay.find(id).map_err(|error| self.incomplete(id, error))
    }

    fn incomplete(&self, id: &ObjectId, error: OdbError) -> RemoteError {
        match error {
            OdbError::NotFound { .. } => RemoteError::Incomplete {
                what: self.what.clone(),
                id: *id,
                detail: "neither side has it".to_owned(),
            },
            other => other.into(),
        }
    }

    /// Makes sure of an object below which nothing is, and of its length.
    fn object(&self, id: &ObjectId, bytes: Option<u64>) -> Result<(), RemoteError> {
        let len = self.overlay.staging.borrow().object_len(id)?;
        let found = match len {
            Some(len) => len,
            None => self.find(id)?.len() as u64,
        };
        match bytes {
            Some(bytes) if bytes != found => Err(RemoteError::damaged(
                self.what.clone(),
                format!("a row says that object {id} has {bytes} bytes, it has {found}"),
            )),
            _ => Ok(()),
        }
    }
}

/// A second walk, into all that the parents lack.
struct Again<'c, 'a> {
    closure: &'c mut Closure<'a>,
    novel: &'c FxHashSet<ObjectId>,
    /// Whether the rows of this leaf were looked at.
    is_checked: bool,
}

impl Completion for Again<'_, '_> {
    type Error = RemoteError;

    fn is_known(&mut self, id: &ObjectId) -> Result<bool, RemoteError> {
        Ok(!self.novel.contains(id))
    }

    fn soon(&mut self, ids: &mut dyn Iterator<Item = ObjectId>) -> Result<(), RemoteError> {
        self.closure.soon(ids)
    }

    fn node(&mut self, id: &ObjectId, _: &[u8]) -> Result<(), RemoteError> {
        self.is_checked = !self.closure.nodes.insert(*id);
        Ok(())
    }

    fn row(&mut self, row: &Entry) -> Result<(), RemoteError> {
        if self.is_checked { Ok(()) } else { self.closure.row(row) }
    }
}

impl Completion for Closure<'_> {
    type Error = RemoteError;

    fn is_known(&mut self, id: &ObjectId) -> Result<bool, RemoteError> {
        Ok(self.nodes.contains(id) || self.store.exists(id)?)
    }

    fn soon(&mut self, ids: &mut dyn Iterator<Item = ObjectId>) -> Result<(), RemoteError> {
        let Some(mirror) = self.overlay.mirror else { return Ok(()) };
        let mut absent = Vec::new();
        for id in ids {
            if self.overlay.staging.borrow().object_len(&id)?.is_none() {
                absent.push(id);
            }
        }
        mirror.ensure(&mut absent.into_iter())
    }

    fn node(&mut self, id: &ObjectId, _: &[u8]) -> Result<(), RemoteError> {
        self.nodes.insert(*id);
        Ok(())
    }

    fn row(&mut self, row: &Entry) -> Result<(), RemoteError> {
        self.object(&row.id, Some(row.bytes))
    }
}
