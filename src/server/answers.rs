//! The JSON answers that the command line has no verb for.
//!
//! Rests on `ops`. Invariant: each says its schema, as every answer does.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{CommitId, ObjectId, RootId};
use crate::ops::delivery::receipted::Receipted;
use crate::ops::delivery::{Digests, Format};
use crate::ops::header::CommitHeader;
use crate::ops::log::LogLine;
use crate::record::Metrics;
use crate::store::RefChange;

/// The refs of the store.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RefList {
    /// The branch that HEAD names, such as `heads/main`; null where it is detached.
    pub head: Option<String>,
    /// The commit that HEAD stands at; null before the first.
    pub head_commit: Option<CommitId>,
    /// The last operation of the store.
    pub operation: Option<LastOperation>,
    /// Every ref, by name.
    pub refs: Vec<RefLine>,
}

/// An operation of the store's log.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LastOperation {
    /// Its number, from 1.
    pub number: u64,
    /// BLAKE3 of its file.
    pub id: ObjectId,
}

/// One ref.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RefLine {
    /// Its full name, such as `tags/v1.0.0`.
    pub name: String,
    /// Its value: a tag object for a tag, otherwise a commit.
    pub id: ObjectId,
    /// The commit that it stands for.
    pub commit_id: CommitId,
}

/// A commit with its datasets.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CommitAnswer {
    /// Who, when, what for.
    #[serde(flatten)]
    pub header: CommitHeader,
    /// The ten metrics, where the commit has a summary.
    pub metrics: Option<Metrics>,
    /// Its datasets, by name.
    pub datasets: Vec<Receipted>,
}

/// The commits of a history, the latest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogAnswer {
    /// One for each.
    pub items: Vec<LogLine>,
}

/// The corpora of the configuration.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CorpusList {
    /// By name.
    pub items: Vec<CorpusLine>,
}

/// One corpus.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CorpusLine {
    /// Its name.
    pub name: String,
    /// The RAG snapshot that it is, such as `main:exports/rag`.
    pub rev: String,
}

/// A snapshot and the files that it can be had as.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SnapshotAnswer {
    /// What it is.
    #[serde(flatten)]
    pub snapshot: Receipted,
    /// A commit that has it.
    pub commit_id: CommitId,
    /// The files.
    pub files: Vec<FileLine>,
}

/// One form of a snapshot.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FileLine {
    /// The form.
    pub format: Format,
    /// Version of its writer; the same rows and version give the same bytes.
    pub writer: u32,
    /// Where it is had, relative to the server.
    pub path: String,
    /// Length and digests, where they are known without making the file.
    pub digests: Option<Digests>,
}

/// The snapshot with a digest.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DigestAnswer {
    /// What was asked for.
    pub digest: String,
    /// The snapshot whose JSONL has it.
    pub root: RootId,
}

/// Ids to ask about.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    /// The objects.
    pub ids: Vec<ObjectId>,
}

/// Objects that the store has not.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MissingAnswer {
    /// Those of the ids asked about, in their order.
    pub missing: Vec<ObjectId>,
}

/// The packs of the store.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PackList {
    /// The last operation of the store.
    pub operation: Option<LastOperation>,
    /// In the order in which they were published.
    pub packs: Vec<PackLine>,
}

/// One pack.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PackLine {
    /// BLAKE3 of the file.
    pub id: ObjectId,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many objects its table names.
    pub objects: u64,
    /// Number of the operation that brought it.
    pub operation: u64,
}

/// What a push asks for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// Always `distill.push.v1`.
    pub schema: String,
    /// Packs that were put in quarantine, in the order in which they are taken.
    pub packs: Vec<ObjectId>,
    /// Refs that move; all of them, or none.
    pub ref_changes: Vec<RefChange>,
    /// What for.
    #[serde(default)]
    pub message: Option<String>,
}

/// What a push did.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pushed {
    /// Number of the operation; null where there was nothing to do.
    pub operation: Option<u64>,
    /// Objects that were brought.
    pub objects: u64,
}

/// The values of refs that were not what a push said they were.
pub type Current = BTreeMap<String, Option<ObjectId>>;

/// A pack in quarantine.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Quarantined {
    /// BLAKE3 of the file.
    pub id: ObjectId,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The server's state.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Health {
    /// `ok`.
    pub status: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// The last operation of the store.
    pub operation: Option<u64>,
}
