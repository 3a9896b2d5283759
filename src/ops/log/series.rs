//! `log --metric`: one metric over the runs of a branch, and the run that broke it.
//!
//! Rests on the summaries that commits name. Invariants: runs follow first parents, so that the series is that of one line
//! of work; each is compared as its own drift report compares it, with the nearest earlier `run-all`, by the limits of the
//! configuration as it is now.

use serde::Serialize;

use crate::object::CommitId;
use crate::ops::OpError;
use crate::ops::metric::Metric;
use crate::ops::open::resolve;
use crate::ops::run::is_whole;
use crate::pipeline::drift::DriftLimits;
use crate::record::{DriftMetric, Severity};
use crate::repo::Repo;

/// A metric over time.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// Its name.
    pub metric: Metric,
    /// The limits that severities follow from.
    pub limits: DriftLimits,
    /// The highest severity.
    pub severity: Severity,
    /// The latest run at which the metric moved beyond a limit; null where it never did.
    pub broken_by: Option<CommitId>,
    /// Commits that were read.
    pub commits_read: u64,
    /// One for each commit with a summary, the latest first.
    pub items: Vec<Point>,
}

/// One run of a series.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// The commit.
    pub commit_id: CommitId,
    /// The run that made it.
    pub run_id: String,
    /// What made it.
    pub operation: String,
    /// RFC 3339, UTC.
    pub committed_at: String,
    /// The metric.
    pub value: u64,
    /// The metric at the nearest earlier `run-all`; null where there is none.
    pub before: Option<u64>,
    /// (value - before) / before; null where before is 0 or null.
    pub change: Option<f64>,
    /// How much the change matters.
    pub severity: Severity,
}

/// The latest `limit` values of `metric` along the first parents of `rev` (HEAD by default).
///
/// # Errors
/// A revision that names nothing, damage.
pub fn series(
    repo: &Repo,
    rev: Option<&str>,
    metric: Metric,
    limit: Option<usize>,
) -> Result<Series, OpError> {
    let limits = repo.config().drift;
    let limit = limit.unwrap_or(usize::MAX);
    let mut items: Vec<Point> = Vec::new();
    // Points before this one have met the run that they are compared with.
    let mut compared = 0;
    let mut commits_read = 0;
    let mut next = Some(resolve(repo, rev)?);
    while let Some(commit_id) = next {
        if items.len() >= limit && compared == items.len() {
            break;
        }
        let commit = repo.commit(commit_id)?;
        commits_read += 1;
        next = commit.parents.first().copied();
        let Some(metrics) = repo.metrics(&commit)? else { continue };
        let value = metric.of(&metrics);
        if is_whole(&commit.operation) {
            for point in &mut items[compared..] {
                point.before = Some(value);
                point.change = DriftMetric::change(point.before, point.value);
                point.severity = limits.severity(point.before, point.value);
            }
            compared = items.len();
        }
        if items.len() < limit {
            items.push(Point {
                commit_id,
                run_id: commit.run_id,
                operation: commit.operation,
                committed_at: commit.committed_at,
                value,
                before: None,
                change: None,
                severity: Severity::None,
            });
        }
    }
    Ok(Series {
        metric,
        limits,
        severity: items.iter().map(|point| point.severity).max().unwrap_or_default(),
        broken_by: items.iter().find(|point| point.severity > Severity::None).map(|point| point.commit_id),
        commits_read,
        items,
    })
}
