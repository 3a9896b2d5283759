//! `log` and `reflog`: what was committed, and where HEAD and branches have stood.
//!
//! Rests on `repo`. Invariant: a log shows every commit of its range once, and none before one of its children.

pub mod record;
pub mod series;

use std::collections::BTreeMap;
use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::object::CommitId;
use crate::ops::OpError;
use crate::ops::header::CommitHeader;
use crate::ops::open::resolve;
use crate::record::Metrics;
use crate::repo::Commit;
use crate::repo::Repo;
use crate::repo::RepoError;
use crate::repo::split_range;

/// One commit of a log.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LogLine {
    /// Who, when, what for.
    #[serde(flatten)]
    pub header: CommitHeader,
    /// Whether HEAD stands here.
    pub head: bool,
    /// The ten metrics, where the commit has a summary.
    pub metrics: Option<Metrics>,
}

/// Which commits to list, and how.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// A revision, or a range `A..B`: what is of B and not of A. HEAD when absent.
    pub rev: Option<String>,
    /// Start from HEAD and every ref instead.
    pub all: bool,
    /// At most so many.
    pub limit: Option<usize>,
    /// Children before parents and each line of work in one piece, as a graph wants it, instead of the latest first.
    pub topological: bool,
}

/// The commits that `options` ask for.
///
/// # Errors
/// A revision that names nothing, damage.
pub fn log(repo: &Repo, options: &LogOptions) -> Result<Vec<LogLine>, OpError> {
    let (starts, left_out) = if options.all {
        (repo.tips()?.into_iter().collect(), HashSet::new())
    } else {
        let (start, from) = range(repo, options.rev.as_deref())?;
        (vec![start], from.map(|from| reachable(repo, from)).transpose()?.unwrap_or_default())
    };
    let limit = options.limit.unwrap_or(usize::MAX);
    let found: Vec<(CommitId, Commit)> = if options.topological {
        repo.topological(starts, left_out)?.take(limit).collect::<Result<_, _>>()?
    } else {
        (repo.ancestors(starts))
            .filter(|found| !found.as_ref().is_ok_and(|(id, _)| left_out.contains(id)))
            .take(limit)
            .collect::<Result<_, _>>()?
    };
    let mut decorations = decorations(repo)?;
    let head = repo.head_commit();
    let mut lines = Vec::new();
    for (commit_id, commit) in found {
        let refs = decorations.remove(&commit_id).unwrap_or_default();
        lines.push(LogLine {
            header: CommitHeader::new(commit_id, &commit, refs),
            head: head == Some(commit_id),
            metrics: repo.metrics(&commit)?,
        });
    }
    Ok(lines)
}

/// Where a walk starts, and the commit whose history it leaves out.
fn range(repo: &Repo, rev: Option<&str>) -> Result<(CommitId, Option<CommitId>), RepoError> {
    match rev.and_then(split_range) {
        Some((from, to)) => Ok((repo.resolve(to)?, Some(repo.resolve(from)?))),
        None => Ok((resolve(repo, rev)?, None)),
    }
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
