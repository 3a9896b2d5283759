//! Where rows are fetched from: what a source must be able to do, and what every source can then do.
//!
//! Rests on `Find`, whose objects were hashed. Invariant: a source is believed in one thing only, which commit a name
//! stands for; what that commit holds is proved by hashes.

use std::collections::BTreeMap;
use std::io::Read;

use rustc_hash::FxHashSet;

use crate::object::{CommitId, Find, FindExt as _, ObjectId, RootId};
use crate::ops::delivery::receipted;
use crate::ops::error::{ErrorKind, OpError};
use crate::repo::{Base, Commit, RevSpec, Step, Tag};
use crate::store::Head;

/// A store somewhere.
pub trait Origin {
    /// What it is called in sentences.
    fn place(&self) -> String;

    /// Its refs by full name.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn refs(&self) -> Result<BTreeMap<String, ObjectId>, OpError>;

    /// Where its HEAD points; `None` where it has none, as a bucket.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn head(&self) -> Result<Option<Head>, OpError>;

    /// Its objects, each hashed on the way.
    fn find(&self) -> &dyn Find;

    /// The JSONL of a snapshot from byte `offset` on. What it gives is not trusted.
    ///
    /// # Errors
    /// When it cannot be asked, or has no such snapshot.
    fn rows(&self, root: RootId, offset: u64) -> Result<Box<dyn Read + '_>, OpError>;

    /// The export whose JSONL is said to have this digest. What it says is not trusted.
    ///
    /// # Errors
    /// When it cannot be asked; commits or receipts that are missing or damaged.
    fn root_of_digest(&self, digest: &str) -> Result<Option<RootId>, OpError> {
        let find = self.find();
        let mut seen = FxHashSet::default();
        let mut todo: Vec<CommitId> = Vec::new();
        for (name, id) in self.refs()? {
            todo.push(peel(find, &name, id)?);
        }
        while let Some(id) = todo.pop() {
            if !seen.insert(id) {
                continue;
            }
            let commit = commit(find, id)?;
            let found = (receipted::datasets(find, &commit)?.into_iter())
                .find(|dataset| dataset.jsonl.as_ref().is_some_and(|jsonl| jsonl.has(digest)));
            if let Some(found) = found {
                return Ok(Some(found.root));
            }
            todo.extend(commit.parents);
        }
        Ok(None)
    }

    /// The commit that a revision names. Abbreviations of ids and `@{n}` are for whoever has the store.
    ///
    /// # Errors
    /// When it names nothing here.
    fn resolve(&self, text: &str) -> Result<CommitId, OpError> {
        let spec = RevSpec::parse(text).map_err(crate::repo::RepoError::from)?;
        let find = self.find();
        let refs = self.refs()?;
        let mut id = match &spec.base {
            Base::Head => match self.head()? {
                Some(Head::Branch(name)) => {
                    peel(find, &name, *refs.get(&name).ok_or_else(|| self.unknown(text))?)?
                }
                Some(Head::Detached(id)) => CommitId::new(id),
                None => peel(find, "heads/main", *refs.get("heads/main").ok_or_else(|| self.unknown(text))?)?,
            },
            Base::Name(name) => match name.parse::<ObjectId>() {
                Ok(id) => CommitId::new(id),
                Err(_) => self.named(name, &refs)?,
            },
            Base::Reflog(..) => return Err(self.unknown(text)),
        };
        for step in &spec.steps {
            let (times, nth) = match *step {
                Step::Parent(0) | Step::Ancestor(0) => (0, 0),
                Step::Parent(n) => (1, usize::try_from(n - 1).unwrap_or(usize::MAX)),
                Step::Ancestor(n) => (n, 0),
            };
            for _ in 0..times {
                id = *commit(find, id)?.parents.get(nth).ok_or_else(|| self.unknown(text))?;
            }
        }
        Ok(id)
    }

    /// The one commit that refs of this name stand for.
    ///
    /// # Errors
    /// When there is none, or there are several.
    fn named(&self, name: &str, refs: &BTreeMap<String, ObjectId>) -> Result<CommitId, OpError> {
        let full = [name.to_owned(), format!("tags/{name}"), format!("heads/{name}"), format!("runs/{name}")];
        let mut commits = Vec::new();
        for full in &full {
            if let Some(id) = refs.get(full) {
                let commit = peel(self.find(), full, *id)?;
                if !commits.contains(&commit) {
                    commits.push(commit);
                }
            }
        }
        match commits.as_slice() {
            [one] => Ok(*one),
            [] => Err(self.unknown(name)),
            _ => Err(OpError::new(
                ErrorKind::Usage,
                format!("`{name}` names several commits of {}", self.place()),
                "write the full name, such as `tags/NAME`",
            )),
        }
    }

    /// The refusal of a name that stands for nothing.
    fn unknown(&self, name: &str) -> OpError {
        OpError::new(
            ErrorKind::Usage,
            format!("{} has nothing called `{name}`", self.place()),
            "name a tag, a branch, a run, or a whole id of 64 digits",
        )
    }
}

/// Reads a commit.
///
/// # Errors
/// When the object is missing, damaged or no commit.
pub fn commit(find: &dyn Find, id: CommitId) -> Result<Commit, OpError> {
    let bytes = find.find(id.object())?;
    Ok(Commit::parse(id.object(), &bytes).map_err(crate::repo::RepoError::from)?)
}

/// The commit that the ref `name` stands for when its value is `id`; a tag must carry the name it stands under.
fn peel(find: &dyn Find, name: &str, id: ObjectId) -> Result<CommitId, OpError> {
    let Some(short) = name.strip_prefix("tags/") else { return Ok(CommitId::new(id)) };
    let tag = Tag::parse(&id, &find.find(&id)?).map_err(crate::repo::RepoError::from)?;
    if tag.name != short {
        let message =
            format!("the tag object {id} was made for the name `{}`, but stands under `{short}`", tag.name);
        return Err(OpError::new(
            ErrorKind::Damaged,
            message,
            "ask whoever keeps the source what happened to the tag",
        ));
    }
    Ok(tag.target)
}
