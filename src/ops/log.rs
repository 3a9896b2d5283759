//! `log` and `reflog`: what was committed, and where HEAD and branches have stood.
//!
//! Rests on `repo`. Invariant: a log shows every commit of its range once, the latest first.

use std::collections::BTreeMap;
use std::collections::HashSet;

use serde::Serialize;

use crate::object::CommitId;
use crate::ops::OpError;
use crate::ops::open::resolve;
use crate::record::Metrics;
use crate::repo::Repo;
use crate::repo::RepoError;
use crate::repo::split_range;

/// One commit of a log.
#[derive(Clone, Debug, Serialize)]
pub struct LogLine {
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
    /// Whether HEAD stands here.
    pub head: bool,
    /// The ten metrics, where the commit has a summary.
    pub metrics: Option<Metrics>,
}

/// The commits of `rev` (HEAD by default) or of a range `A..B` (of B and not of A), the latest first, at most `limit`.
///
/// # Errors
/// A revision that names nothing, damage.
pub fn log(repo: &Repo, rev: Option<&str>, limit: Option<usize>) -> Result<Vec<LogLine>, OpError> {
    let (start, left_out) = match rev.and_then(split_range) {
        Some((from, to)) => (repo.resolve(to)?, reachable(repo, repo.resolve(from)?)?),
        None => (resolve(repo, rev)?, HashSet::new()),
    };
    let decorations = decorations(repo)?;
    let head = repo.head_commit();
    let mut lines = Vec::new();
    for found in repo.ancestors([start]) {
        if limit.is_some_and(|limit| lines.len() >= limit) {
            break;
        }
        let (commit_id, commit) = found?;
        if left_out.contains(&commit_id) {
            continue;
        }
        let metrics = repo.metrics(&commit)?;
        lines.push(LogLine {
            commit_id,
            run_id: commit.run_id,
            operation: commit.operation,
            parents: commit.parents,
            generation: commit.generation,
            committed_at: commit.committed_at,
            author: commit.author,
            message: commit.message,
            refs: decorations.get(&commit_id).cloned().unwrap_or_default(),
            head: head == Some(commit_id),
            metrics,
        });
    }
    Ok(lines)
}

fn reachable(repo: &Repo, start: CommitId) -> Result<HashSet<CommitId>, RepoError> {
    repo.ancestors([start]).map(|found| found.map(|(id, _)| id)).collect()
}

/// The full names of the refs at each commit.
pub(super) fn decorations(repo: &Repo) -> Result<BTreeMap<CommitId, Vec<String>>, RepoError> {
    let mut at: BTreeMap<CommitId, Vec<String>> = BTreeMap::new();
    for (name, id) in repo.store().refs() {
        let commit = if name.starts_with("tags/") { repo.tag(&id)?.target } else { CommitId::new(id) };
        at.entry(commit).or_default().push(name);
    }
    Ok(at)
}

/// One step of HEAD or of a branch.
#[derive(Clone, Debug, Serialize)]
pub struct ReflogLine {
    /// The n of `@{n}`: 0 is the latest.
    pub index: u64,
    /// Where it stood after the operation; null for nowhere.
    pub commit_id: Option<CommitId>,
    /// Number of the operation.
    pub number: u64,
    /// What was done.
    pub operation: String,
    /// A person's message.
    pub message: Option<String>,
    /// RFC 3339, UTC.
    pub at: String,
}

/// Where HEAD, or the ref that `name` means, has stood, the latest first.
///
/// # Errors
/// A name that no ref has had, a damaged operation log.
pub fn reflog(repo: &Repo, name: Option<&str>) -> Result<Vec<ReflogLine>, OpError> {
    let full = match name {
        None | Some("HEAD" | "@") => None,
        Some(name) => Some(once_called(repo, name)?),
    };
    let moves = repo.head_moves(full.as_deref())?;
    Ok((moves.into_iter())
        .map(|step| {
            let operation = step.operation.operation;
            ReflogLine {
                index: step.index,
                commit_id: step.commit,
                number: operation.number,
                operation: operation.operation,
                message: operation.message,
                at: operation.at,
            }
        })
        .collect())
}

/// The full name of a ref that exists, or that the operation log tells of: a deleted branch has a past, too.
fn once_called(repo: &Repo, name: &str) -> Result<String, RepoError> {
    let candidates =
        [name.to_owned(), format!("heads/{name}"), format!("tags/{name}"), format!("runs/{name}")];
    if let Some(full) = candidates.iter().find(|full| repo.store().get_ref(full).is_some()) {
        return Ok(full.clone());
    }
    for logged in repo.store().operations() {
        let changes = logged?.operation.ref_changes;
        if let Some(full) = candidates.iter().find(|full| changes.iter().any(|change| change.name == **full))
        {
            return Ok(full.clone());
        }
    }
    // Says that it is unknown, and suggests near names.
    repo.resolve(name)?;
    Ok(name.to_owned())
}
