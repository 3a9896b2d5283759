//! `bisect`: the run after which a metric had moved, and what it changed.
//!
//! Rests on the summaries that commits name. A search by halves finds a run that crossed the threshold only where none
//! crossed back; a metric may. To know the commits between two ends, each must be read anyhow, since it names its parents;
//! its summary costs as much again. So every run is looked at, and the answer is the first one beyond the threshold, whatever
//! came after it. Invariant: the threshold follows from the good end alone.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::object::{CommitId, RootId};
use crate::ops::diff::{ConfigChange, DatasetDiff, diff, pair_of};
use crate::ops::header::CommitHeader;
use crate::ops::loss::FILE;
use crate::ops::metric::Metric;
use crate::ops::open::resolve;
use crate::ops::{ErrorKind, OpError};
use crate::record::{DriftMetric, Metrics, Severity};
use crate::repo::{Commit, Repo};

/// How far a metric must have moved from its value at the good end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// By this share of it: 0.2 is 20 %.
    Share(f64),
    /// By this many rows.
    Rows(u64),
}

/// Which way a metric must have moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Down.
    Drop,
    /// Up.
    Rise,
}

/// What to look for, and where.
#[derive(Clone, Debug)]
pub struct BisectOptions {
    /// The metric.
    pub metric: Metric,
    /// Which way.
    pub direction: Direction,
    /// How far.
    pub by: Amount,
    /// Where it was good: the first run when absent.
    pub good: Option<String>,
    /// Where it is bad: HEAD when absent.
    pub bad: Option<String>,
}

/// A run and its value.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// The commit.
    pub commit_id: CommitId,
    /// The run that made it.
    pub run_id: String,
    /// The metric.
    pub value: u64,
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct Bisected {
    /// The metric.
    pub metric: Metric,
    /// Which way it was to move.
    pub direction: Direction,
    /// How far.
    pub by: Amount,
    /// The value at and beyond which it has moved; null where no value is, as below a drop from 0.
    pub threshold: Option<u64>,
    /// The end that was good.
    pub good: Measured,
    /// The other end.
    pub bad: Measured,
    /// The first run that had moved; null where none had.
    pub found: Option<Found>,
    /// Commits that were read.
    pub commits_read: u64,
    /// Summaries that were read: those of runs.
    pub summaries_read: u64,
}

/// The first run beyond the threshold, and what it changed.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// The run.
    #[serde(flatten)]
    pub header: CommitHeader,
    /// The run before it.
    pub before: Measured,
    /// Its value.
    pub value: u64,
    /// (value - good) / good; null where good is 0.
    pub change: Option<f64>,
    /// The first later run that was within the threshold again; null where the metric stayed beyond it.
    pub recovered: Option<Measured>,
    /// The lines that it merged in, where it is a merge.
    pub merged: Vec<Measured>,
    /// What it changed.
    #[serde(flatten)]
    pub causes: Causes,
}

/// What a run changed, compared with its first parent.
#[derive(Clone, Debug, Serialize)]
pub struct Causes {
    /// The severity that the run's own drift report gave.
    pub drift_severity: Severity,
    /// The causes that it names.
    pub drift_causes: Vec<String>,
    /// Whether what can change a dataset is configured differently.
    pub config_changed: bool,
    /// What of it.
    pub config: Vec<ConfigChange>,
    /// The source files that are not as they were.
    pub files: Vec<FileDiff>,
    /// How each dataset changed.
    pub datasets: BTreeMap<String, DatasetDiff>,
}

/// A source file that a run read otherwise than the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileDiff {
    /// Relative to the base.
    pub path: String,
    /// `added`, `removed`, `grown` or `changed`.
    pub change: &'static str,
    /// Units before.
    pub rows_before: u64,
    /// Units after.
    pub rows_after: u64,
}

/// The runs from the good end to the bad one along first parents, and the first of them that had moved.
///
/// # Errors
/// A revision that names nothing or no run, a good end that is not behind the bad one, damage.
pub fn bisect(repo: &Repo, options: &BisectOptions) -> Result<Bisected, OpError> {
    let metric = options.metric;
    let line = line(repo, options)?;
    let mut commits_read = line.len() as u64;
    let mut runs = Vec::new();
    for (id, commit) in line {
        if let Some(metrics) = repo.metrics(&commit)? {
            runs.push(Run { id, commit, metrics });
        }
    }
    let mut summaries_read = runs.len() as u64;
    let measured = |run: &Run| Measured {
        commit_id: run.id,
        run_id: run.commit.run_id.clone(),
        value: metric.of(&run.metrics),
    };
    let (Some(good), Some(bad)) = (runs.first().map(measured), runs.last().map(measured)) else {
        return Err(OpError::new(
            ErrorKind::Usage,
            "there is no run to look at",
            "`distill log` lists the commits; those of runs show their rows",
        ));
    };
    let threshold = threshold(good.value, options.direction, options.by);
    let moved = |value: u64| match (threshold, options.direction) {
        (None, _) => false,
        (Some(threshold), Direction::Drop) => value <= threshold,
        (Some(threshold), Direction::Rise) => value >= threshold,
    };
    let at = runs.iter().position(|run| moved(metric.of(&run.metrics)));
    let found = match at {
        Some(at) if at > 0 => {
            let run = &runs[at];
            let mut merged = Vec::new();
            for parent in run.commit.parents.iter().skip(1) {
                let commit = repo.commit(*parent)?;
                commits_read += 1;
                if let Some(metrics) = repo.metrics(&commit)? {
                    summaries_read += 1;
                    merged.push(measured(&Run { id: *parent, commit, metrics }));
                }
            }
            Some(Found {
                header: CommitHeader::new(run.id, &run.commit, repo.refs_at(run.id)?),
                before: measured(&runs[at - 1]),
                value: metric.of(&run.metrics),
                change: DriftMetric::change(Some(good.value), metric.of(&run.metrics)),
                recovered: runs[at..].iter().find(|run| !moved(metric.of(&run.metrics))).map(measured),
                merged,
                causes: causes(repo, run)?,
            })
        }
        _ => None,
    };
    Ok(Bisected {
        metric,
        direction: options.direction,
        by: options.by,
        threshold,
        good,
        bad,
        found,
        commits_read,
        summaries_read,
    })
}

struct Run {
    id: CommitId,
    commit: Commit,
    metrics: Metrics,
}

/// The commits from the good end to the bad one, both included, along the first parents of the bad one.
fn line(repo: &Repo, options: &BisectOptions) -> Result<Vec<(CommitId, Commit)>, OpError> {
    let bad = resolve(repo, options.bad.as_deref())?;
    let good = options.good.as_deref().map(|rev| repo.resolve(rev)).transpose()?;
    let mut line = Vec::new();
    let mut next = Some(bad);
    let floor = good.map(|good| repo.commit(good)).transpose()?;
    while let Some(id) = next {
        let commit = repo.commit(id)?;
        let below = floor.as_ref().is_some_and(|good| commit.generation <= good.generation);
        if below && Some(id) != good {
            break;
        }
        next = if Some(id) == good { None } else { commit.parents.first().copied() };
        line.push((id, commit));
    }
    if let (Some(good), Some(floor)) = (good, floor)
        && line.last().is_none_or(|(last, _)| *last != good)
    {
        // Not on the line: then it must be behind it, and the line is what came after.
        if !repo.is_ancestor(good, bad)? {
            let name = |rev: &Option<String>| rev.clone().unwrap_or_else(|| "HEAD".to_owned());
            return Err(OpError::new(
                ErrorKind::Usage,
                format!("{} is not behind {}", name(&options.good), name(&options.bad)),
                "name the earlier run with --good and the later one with --bad; `distill log --graph` shows both",
            ));
        }
        let behind = |id: CommitId| repo.is_ancestor(id, good);
        while let Some((last, _)) = line.last()
            && behind(*last)?
        {
            line.pop();
        }
        line.push((good, floor));
    }
    line.reverse();
    Ok(line)
}

/// The value that is reached by moving `by` from `good`; `None` where nothing can be moved so far.
fn threshold(good: u64, direction: Direction, by: Amount) -> Option<u64> {
    match (by, direction) {
        (Amount::Rows(rows), Direction::Drop) => good.checked_sub(rows),
        (Amount::Rows(rows), Direction::Rise) => good.checked_add(rows),
        // From 0 no share leads anywhere: nothing drops, and everything has risen.
        (Amount::Share(_), Direction::Drop) if good == 0 => None,
        (Amount::Share(_), Direction::Rise) if good == 0 => Some(1),
        (Amount::Share(share), direction) => share_of(good, direction, share),
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts stay far below 2^53, and what is below 0 is no value"
)]
fn share_of(good: u64, direction: Direction, share: f64) -> Option<u64> {
    // A thousandth of a millionth forgives 0.2 for not being a fifth.
    let moved = good as f64 * share * (1.0 - 1e-9);
    match direction {
        Direction::Drop => {
            let left = good as f64 - moved;
            (left >= 0.0).then(|| left.floor() as u64).or((share <= 1.0).then_some(0))
        }
        Direction::Rise => Some((good as f64 + moved).ceil() as u64),
    }
}

fn causes(repo: &Repo, run: &Run) -> Result<Causes, OpError> {
    let report = diff(repo, &pair_of(repo, run.id, run.commit.clone())?)?;
    let drift = repo.drift(&run.commit)?;
    let (drift_severity, drift_causes) = drift.map(|d| (d.severity, d.causes)).unwrap_or_default();
    let parent = run.commit.parents.first().map(|id| repo.commit(*id)).transpose()?;
    let old = parent.map(|parent| files(repo, &parent)).transpose()?.unwrap_or_default();
    Ok(Causes {
        drift_severity,
        drift_causes,
        config_changed: report.config_changed,
        config: report.config,
        files: file_diffs(&old, &files(repo, &run.commit)?),
        datasets: report.datasets,
    })
}

/// Rows and hash of each source file, as the latest `sources` receipt knows them.
fn files(repo: &Repo, commit: &Commit) -> Result<BTreeMap<String, (u64, RootId)>, OpError> {
    let inputs = repo.receipt(commit, "sources")?.map(|receipt| receipt.inputs).unwrap_or_default();
    let file = |dataset: &str| dataset.strip_prefix(FILE).map(ToOwned::to_owned);
    Ok((inputs.into_iter())
        .filter_map(|input| Some((file(&input.dataset)?, (input.rows, input.root))))
        .collect())
}

fn file_diffs(old: &BTreeMap<String, (u64, RootId)>, new: &BTreeMap<String, (u64, RootId)>) -> Vec<FileDiff> {
    let paths: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let mut diffs = Vec::new();
    for path in paths {
        let change = match (old.get(path), new.get(path)) {
            (None, _) => "added",
            (_, None) => "removed",
            (Some(before), Some(after)) if before == after => continue,
            (Some((before, _)), Some((after, _))) if before < after => "grown",
            _ => "changed",
        };
        let rows = |side: &BTreeMap<String, (u64, RootId)>| side.get(path).map_or(0, |(rows, _)| *rows);
        diffs.push(FileDiff { path: path.clone(), change, rows_before: rows(old), rows_after: rows(new) });
    }
    diffs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_is_where_the_amount_is_reached() {
        let (drop, rise) = (Direction::Drop, Direction::Rise);
        assert_eq!(threshold(10, drop, Amount::Share(0.2)), Some(8));
        assert_eq!(threshold(416, drop, Amount::Share(0.2)), Some(332));
        assert_eq!(threshold(10, rise, Amount::Share(0.2)), Some(12));
        assert_eq!(threshold(3, rise, Amount::Share(0.5)), Some(5), "4 are a third more");
        assert_eq!(threshold(7, drop, Amount::Share(1.0)), Some(0));
        assert_eq!(threshold(7, drop, Amount::Share(1.5)), None, "nothing drops by more than all");
        assert_eq!(threshold(7, drop, Amount::Rows(8)), None);
        assert_eq!(threshold(7, rise, Amount::Rows(8)), Some(15));
        assert_eq!(threshold(0, drop, Amount::Share(0.2)), None);
        assert_eq!(threshold(0, rise, Amount::Share(0.2)), Some(1), "from nothing, anything is a rise");
    }
}
