//! Commits, tags and configuration objects: the objects that history is made of.
//!
//! Rests on `object` and canonical JSON. Invariant: an object is a commit only where a ref or another commit names it
//! as one; the wall clock and the run id appear here and in receipts, never in a dataset.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::json;
use crate::object::CommitId;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::record::Tool;

/// The datasets of a commit, in the order in which people read them.
pub const DATASETS: [&str; 8] = [
    "sources",
    "evidence",
    "scored-runs",
    "exports/rag",
    "exports/sft",
    "exports/preference",
    "quarantine",
    "duplicates",
];

/// The dataset of a replay's commit: prompt, answers and row of each replay. It is of that commit alone, since no run makes it.
pub const REPLAYS: &str = "replays";

/// One commit: a run, a stage, or the first, empty one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// `distill.commit.v1`
    pub schema: CommitSchema,
    /// The run that made it.
    pub run_id: String,
    /// What made it: `init`, `run-all`, `score` …
    pub operation: String,
    /// The commits before it; none for the first.
    pub parents: Vec<CommitId>,
    /// One more than the largest generation among the parents; 0 for the first.
    pub generation: u64,
    /// RFC 3339, UTC.
    pub committed_at: String,
    /// Who, as configured; empty when not.
    pub author: String,
    /// What for.
    pub message: String,
    /// The root of each dataset.
    pub datasets: BTreeMap<String, RootId>,
    /// A tree from stage name to the latest receipt of that stage.
    pub receipts: RootId,
    /// The run summary.
    pub summary_id: Option<ObjectId>,
    /// The drift report.
    pub drift_id: Option<ObjectId>,
    /// The parsed configuration that can change a dataset.
    pub config_id: Option<ObjectId>,
    /// A tree from file name to the raw text of each configuration file.
    pub config_files: Option<RootId>,
    /// The tool.
    pub tool: Tool,
}

/// A name that never moves without `--force`, with who gave it and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tag {
    /// `distill.tag.v1`
    pub schema: TagSchema,
    /// The tag's own name: a tag object moved to another name does not pass for it.
    pub name: String,
    /// The commit.
    pub target: CommitId,
    /// What for.
    pub message: String,
    /// Who, as configured; empty when not.
    pub tagger: String,
    /// RFC 3339, UTC.
    pub tagged_at: String,
}

/// Declares a unit type that is one fixed schema string in JSON.
macro_rules! schema_marker {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            #[doc = $text]
            #[default]
            #[serde(rename = $text)]
            V1,
        }
    )+};
}

schema_marker! {
    /// The schema of [`Commit`].
    CommitSchema = "distill.commit.v1";
    /// The schema of [`Tag`].
    TagSchema = "distill.tag.v1";
}

/// Bytes that are not the object they were taken for.
#[derive(Debug, thiserror::Error)]
#[error("object {id} is not a {wanted}: {detail}")]
pub struct NotA {
    /// The object.
    pub id: ObjectId,
    /// What it was taken for.
    pub wanted: &'static str,
    /// Why it is none.
    pub detail: String,
}

impl Commit {
    /// Parses the bytes of object `id`.
    ///
    /// # Errors
    /// When they are no commit.
    pub fn parse(id: &ObjectId, bytes: &[u8]) -> Result<Self, NotA> {
        serde_json::from_slice(bytes).map_err(|e| NotA { id: *id, wanted: "commit", detail: e.to_string() })
    }

    /// The canonical bytes.
    ///
    /// # Errors
    /// Never in practice: every field has a JSON form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, json::JsonError> {
        json::to_canonical(self)
    }

    /// The datasets that runs make: what a later run may go on from.
    pub fn made(&self) -> BTreeMap<String, RootId> {
        let of_runs = self.datasets.iter().filter(|(name, _)| DATASETS.contains(&name.as_str()));
        of_runs.map(|(name, root)| (name.clone(), *root)).collect()
    }

    /// The root of `dataset`, where the commit has one.
    pub fn dataset(&self, dataset: &str) -> Option<RootId> {
        self.datasets.get(dataset).copied()
    }
}

impl Tag {
    /// Parses the bytes of object `id`.
    ///
    /// # Errors
    /// When they are no tag.
    pub fn parse(id: &ObjectId, bytes: &[u8]) -> Result<Self, NotA> {
        serde_json::from_slice(bytes).map_err(|e| NotA { id: *id, wanted: "tag", detail: e.to_string() })
    }

    /// The canonical bytes.
    ///
    /// # Errors
    /// Never in practice: every field has a JSON form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, json::JsonError> {
        json::to_canonical(self)
    }
}
