//! From what a person typed to a snapshot, and to what will prove its bytes.
//!
//! Rests on [`Origin`]. Invariant: every object on the way was hashed, and every step is named by the one before it.

use super::Proof;
use super::origin::{self, Origin};
use crate::object::{CommitId, ObjectId, OdbError, RootId};
use crate::ops::delivery::{Digests, receipted};
use crate::ops::error::{ErrorKind, OpError};
use crate::repo::{Commit, Tag};
use crate::tree;
use crate::tree::Totals;

/// A snapshot that is to be fetched.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The commit, where one was named.
    pub commit_id: Option<CommitId>,
    /// The dataset's full name, where a commit says it.
    pub dataset: Option<String>,
    /// The snapshot.
    pub root: RootId,
    /// What its root node says that it holds.
    pub totals: Totals,
    /// What the JSONL must be, where that is known beforehand.
    pub jsonl: Option<Digests>,
    /// The digest that was asked for.
    pub digest: Option<String>,
    /// What will prove the bytes.
    pub proof: Proof,
}

/// What `what` names: a revision with `:DATASET` or beside `dataset`, or an id.
pub fn resolve(origin: &dyn Origin, what: &str, dataset: Option<&str>) -> Result<Wanted, OpError> {
    let (rev, path) = what.split_once(':').map_or((what, None), |(rev, path)| (rev, Some(path)));
    if dataset.is_some() && path.is_some() {
        let hint = "leave out --dataset, or the part from the colon on";
        return Err(OpError::new(ErrorKind::Usage, "the dataset is named twice", hint));
    }
    let dataset = dataset.or(path).filter(|name| !name.is_empty());
    if path.is_none()
        && let Ok(id) = rev.parse::<ObjectId>()
    {
        return of_id(origin, id, dataset);
    }
    of_commit(origin, origin.resolve(if rev.is_empty() { "HEAD" } else { rev })?, dataset)
}

/// A commit, a tag, a root, or the digest of an export.
fn of_id(origin: &dyn Origin, id: ObjectId, dataset: Option<&str>) -> Result<Wanted, OpError> {
    let find = origin.find();
    let Some(bytes) = find.try_find(&id)? else { return of_digest(origin, &id.to_string(), dataset) };
    if Commit::parse(&id, &bytes).is_ok() {
        return of_commit(origin, CommitId::new(id), dataset);
    }
    if let Ok(tag) = Tag::parse(&id, &bytes) {
        return of_commit(origin, tag.target, dataset);
    }
    let root = RootId::new(id);
    let totals = tree::totals(find, root).map_err(|_| {
        OpError::new(
            ErrorKind::Usage,
            format!("object {id} is no commit, tag or dataset"),
            "name a commit with --dataset, the root of a dataset, or the digest of an export's JSONL",
        )
    })?;
    no_dataset(dataset)?;
    let wanted = Wanted {
        commit_id: None,
        dataset: None,
        root,
        totals,
        jsonl: None,
        digest: None,
        proof: Proof::Tree,
    };
    Ok(wanted)
}

fn of_digest(origin: &dyn Origin, digest: &str, dataset: Option<&str>) -> Result<Wanted, OpError> {
    let root = origin.root_of_digest(digest)?.ok_or_else(|| {
        let message = format!("{} has neither an object nor an export called {digest}", origin.place());
        OpError::new(ErrorKind::Usage, message, "check the id, and that it is of this source")
    })?;
    no_dataset(dataset)?;
    let totals = tree::totals(origin.find(), root)?;
    let digest = Some(digest.to_owned());
    Ok(Wanted { commit_id: None, dataset: None, root, totals, jsonl: None, digest, proof: Proof::Digest })
}

fn no_dataset(dataset: Option<&str>) -> Result<(), OpError> {
    match dataset {
        None => Ok(()),
        Some(_) => Err(OpError::new(
            ErrorKind::Usage,
            "the id names one snapshot already",
            "leave out --dataset, or name a commit",
        )),
    }
}

fn of_commit(origin: &dyn Origin, commit_id: CommitId, dataset: Option<&str>) -> Result<Wanted, OpError> {
    let find = origin.find();
    let commit = origin::commit(find, commit_id).map_err(|error| absent(origin, commit_id, error))?;
    let Some(dataset) = dataset else {
        let names: Vec<&str> = commit.datasets.keys().map(String::as_str).collect();
        let hint = format!("add --dataset; the commit has {}", names.join(", "));
        return Err(OpError::new(ErrorKind::Usage, "a commit holds several datasets", hint));
    };
    let found = receipted::dataset(find, commit_id, &commit, dataset)?;
    let proof = if found.jsonl.is_some() { Proof::Receipt } else { Proof::Tree };
    Ok(Wanted {
        commit_id: Some(commit_id),
        dataset: Some(found.dataset),
        root: found.root,
        totals: tree::totals(find, found.root)?,
        jsonl: found.jsonl,
        digest: None,
        proof,
    })
}

fn absent(origin: &dyn Origin, commit_id: CommitId, error: OpError) -> OpError {
    match origin.find().try_find(commit_id.object()) {
        Ok(None) => OpError::new(
            ErrorKind::Usage,
            OdbError::NotFound { id: *commit_id.object() }.to_string(),
            format!("check the id, and that {} has it", origin.place()),
        ),
        _ => error,
    }
}
