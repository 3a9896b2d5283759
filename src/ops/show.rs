//! `show`, `cat` and `ls`: what a revision holds, one row, one object.
//!
//! Rests on `repo` and `tree`. Invariants: `cat` gives exactly the bytes that the id names; long lists are handed out
//! row by row.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::object::CommitId;
use crate::object::FindExt as _;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::OpError;
use crate::ops::header::CommitHeader;
use crate::record::Metrics;
use crate::record::PassFail;
use crate::record::Tool;
use crate::repo::Located;
use crate::repo::Repo;
use crate::repo::Tag;
use crate::repo::Target;
use crate::tree;
use crate::tree::Entry;
use crate::tree::Totals;

/// What `show` found.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Shown {
    /// A commit, and the tag that it was asked for by.
    Commit(Box<ShownCommit>),
    /// A dataset, or a part of one.
    Dataset(ShownDataset),
    /// One row of a dataset.
    Row(ShownRow),
    /// Any other object.
    Object(ShownObject),
}

/// A commit.
#[derive(Clone, Debug, Serialize)]
pub struct ShownCommit {
    /// Who, when, what for.
    #[serde(flatten)]
    pub header: CommitHeader,
    /// The tag that was asked for.
    pub tag: Option<ShownTag>,
    /// The root of each dataset.
    pub datasets: BTreeMap<String, RootId>,
    /// Rows and bytes of each dataset.
    pub totals: BTreeMap<String, Totals>,
    /// The ten metrics, where the commit has a summary.
    pub metrics: Option<Metrics>,
    /// Whether every stage passed, where the commit has a summary.
    pub verdict: Option<PassFail>,
    /// The tree of receipts.
    pub receipts: RootId,
    /// The run summary.
    pub summary_id: Option<ObjectId>,
    /// The drift report.
    pub drift_id: Option<ObjectId>,
    /// The parsed configuration.
    pub config_id: Option<ObjectId>,
    /// The tree of configuration files.
    pub config_files: Option<RootId>,
    /// The program that wrote it.
    pub tool: Tool,
}

/// A tag.
#[derive(Clone, Debug, Serialize)]
pub struct ShownTag {
    /// Its object.
    pub tag_id: ObjectId,
    /// Its name.
    pub name: String,
    /// What for.
    pub message: String,
    /// Who; empty when not configured.
    pub tagger: String,
    /// RFC 3339, UTC.
    pub tagged_at: String,
}

/// A dataset.
#[derive(Clone, Debug, Serialize)]
pub struct ShownDataset {
    /// The commit it was asked for in.
    pub commit_id: CommitId,
    /// Its name.
    pub dataset: String,
    /// What the keys must begin with; empty for all.
    pub prefix: String,
    /// The root of the whole dataset.
    pub root: RootId,
    /// Rows and bytes of the whole dataset.
    pub totals: Totals,
    /// Levels of the tree.
    pub height: u32,
}

/// A row.
#[derive(Clone, Debug, Serialize)]
pub struct ShownRow {
    /// The commit it was asked for in.
    pub commit_id: CommitId,
    /// Its dataset.
    pub dataset: String,
    /// Its key.
    pub key: String,
    /// The object.
    #[serde(flatten)]
    pub object: ShownObject,
}

/// An object.
#[derive(Clone, Debug, Serialize)]
pub struct ShownObject {
    /// Its id.
    pub id: ObjectId,
    /// Its length.
    pub bytes: u64,
    /// The pack it lies in.
    pub place: Option<PathBuf>,
    /// Its content, when that is JSON.
    pub record: Option<Box<RawValue>>,
    /// Its content, when that is text and no JSON.
    pub text: Option<String>,
}

/// What `text` names: a revision, a tag, a dataset, a row, or any object.
///
/// # Errors
/// When it names nothing or several things, or what it names is damaged.
pub fn show(repo: &Repo, text: &str) -> Result<Shown, OpError> {
    let located = match repo.locate(text) {
        Ok(located) => located,
        // An object that is no commit has an id, too.
        Err(unknown) => {
            let Ok(id) = repo.resolve_object(text) else { return Err(unknown.into()) };
            return Ok(Shown::Object(object(repo, id)?));
        }
    };
    let Located { commit_id, commit, target } = located;
    Ok(match target {
        Target::Commit => {
            let mut totals = BTreeMap::new();
            for (name, root) in &commit.datasets {
                totals.insert(name.clone(), tree::totals(repo.store(), *root)?);
            }
            let (metrics, verdict) = repo.summary(&commit)?.map(|s| (s.metrics, s.verdict)).unzip();
            Shown::Commit(Box::new(ShownCommit {
                header: CommitHeader::new(commit_id, &commit, repo.refs_at(commit_id)?),
                tag: tag_called(repo, text)?,
                datasets: commit.datasets,
                totals,
                metrics,
                verdict,
                receipts: commit.receipts,
                summary_id: commit.summary_id,
                drift_id: commit.drift_id,
                config_id: commit.config_id,
                config_files: commit.config_files,
                tool: commit.tool,
            }))
        }
        Target::Dataset { dataset, root, prefix } => Shown::Dataset(ShownDataset {
            commit_id,
            dataset,
            prefix,
            root,
            totals: tree::totals(repo.store(), root)?,
            height: tree::height(repo.store(), root)?,
        }),
        Target::Row { dataset, key, id, .. } => {
            Shown::Row(ShownRow { commit_id, dataset, key, object: object(repo, id)? })
        }
    })
}

/// The tag that `text` is the name of.
fn tag_called(repo: &Repo, text: &str) -> Result<Option<ShownTag>, OpError> {
    let full = if text.starts_with("tags/") { text.to_owned() } else { format!("tags/{text}") };
    let Some(tag_id) = repo.store().get_ref(&full) else { return Ok(None) };
    let Tag { name, message, tagger, tagged_at, .. } = repo.tag(&tag_id)?;
    Ok(Some(ShownTag { tag_id, name, message, tagger, tagged_at }))
}

fn object(repo: &Repo, id: ObjectId) -> Result<ShownObject, OpError> {
    let bytes = repo.store().find(&id)?;
    let text = std::str::from_utf8(&bytes).ok();
    let record = text.and_then(|text| RawValue::from_string(text.to_owned()).ok());
    let text = if record.is_some() { None } else { text.map(ToOwned::to_owned) };
    let place = repo.store().locate(&id)?.map(|location| location.path);
    Ok(ShownObject { id, bytes: bytes.len() as u64, place, record, text })
}

/// The exact bytes of the object that `text` names: an id, an abbreviation, a revision (its commit) or a row.
///
/// # Errors
/// When it names nothing or several objects, or the object is missing or damaged.
pub fn cat(repo: &Repo, text: &str) -> Result<(ObjectId, ObjectBytes), OpError> {
    let id = repo.resolve_object(text)?;
    Ok((id, repo.store().find(&id)?))
}

/// One dataset of a list.
#[derive(Clone, Debug, Serialize)]
pub struct DatasetLine {
    /// Its name.
    pub dataset: String,
    /// Its root.
    pub root: RootId,
    /// Rows and bytes.
    #[serde(flatten)]
    pub totals: Totals,
}

/// What `ls` lists.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Listing {
    /// The datasets of a commit.
    Datasets {
        /// The commit.
        commit_id: CommitId,
        /// One for each.
        items: Vec<DatasetLine>,
    },
    /// The rows of a dataset, which [`rows`] hands out.
    Rows(RowsOf),
}

/// Which rows are listed.
#[derive(Clone, Debug, Serialize)]
pub struct RowsOf {
    /// The commit.
    pub commit_id: CommitId,
    /// The dataset.
    pub dataset: String,
    /// Its root.
    pub root: RootId,
    /// What the keys begin with; empty for all.
    pub prefix: String,
}

/// What is in `text`: a revision (HEAD by default), or one of its datasets, or the rows below a key prefix.
///
/// # Errors
/// When it names nothing, or a tree is damaged.
pub fn ls(repo: &Repo, text: Option<&str>) -> Result<Listing, OpError> {
    let Located { commit_id, commit, target } = repo.locate(text.unwrap_or("HEAD"))?;
    Ok(match target {
        Target::Commit => {
            let mut items = Vec::new();
            for (dataset, root) in commit.datasets {
                items.push(DatasetLine { dataset, root, totals: tree::totals(repo.store(), root)? });
            }
            Listing::Datasets { commit_id, items }
        }
        Target::Dataset { dataset, root, prefix } => {
            Listing::Rows(RowsOf { commit_id, dataset, root, prefix })
        }
        Target::Row { dataset, root, key, .. } => {
            Listing::Rows(RowsOf { commit_id, dataset, root, prefix: key })
        }
    })
}

/// The rows of a listing, in key order, one at a time.
pub fn rows<'a>(repo: &'a Repo, of: &RowsOf) -> impl Iterator<Item = Result<Entry, OpError>> + 'a {
    tree::prefix(repo.store(), of.root, &of.prefix).map(|entry| entry.map_err(OpError::from))
}
