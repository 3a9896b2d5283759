//! What every answer about a commit begins with.
//!
//! Rests on `repo`. Invariant: `log`, `show` and what else tells of commits call the same thing by the same name.

use schemars::JsonSchema;
use serde::Serialize;

use crate::object::CommitId;
use crate::repo::Commit;

/// Who, when, what for, and where it stands in history.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CommitHeader {
    /// The commit.
    pub commit_id: CommitId,
    /// The run that made it.
    pub run_id: String,
    /// What made it: `run-all`, `score` …
    pub operation: String,
    /// The commits before it.
    pub parents: Vec<CommitId>,
    /// Steps from the first commit, by the longest way.
    pub generation: u64,
    /// RFC 3339, UTC.
    pub committed_at: String,
    /// Who; empty when not configured.
    pub author: String,
    /// What for.
    pub message: String,
    /// The refs that stand here, by full name.
    pub refs: Vec<String>,
}

impl CommitHeader {
    /// The header of `commit`, at which `refs` stand.
    pub fn new(commit_id: CommitId, commit: &Commit, refs: Vec<String>) -> Self {
        Self {
            commit_id,
            run_id: commit.run_id.clone(),
            operation: commit.operation.clone(),
            parents: commit.parents.clone(),
            generation: commit.generation,
            committed_at: commit.committed_at.clone(),
            author: commit.author.clone(),
            message: commit.message.clone(),
            refs,
        }
    }
}
