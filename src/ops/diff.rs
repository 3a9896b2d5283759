//! `diff`: what is different between two commits: metrics, datasets, configuration, rows.
//!
//! Rests on `tree::diff`, which reads only the nodes in which two datasets differ, and on `pipeline::drift` for the
//! limits. Invariants: the counts read no row; rows are compared one at a time.

mod config;
mod fields;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::object::CommitId;
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::explain::Explanation;
use crate::ops::{ErrorKind, OpError};
use crate::pipeline::drift::compare;
use crate::record::DriftMetric;
use crate::record::Metrics;
use crate::record::Severity;
use crate::repo::Commit;
use crate::repo::Repo;
use crate::repo::split_range;
use crate::tree;
use crate::tree::Totals;

pub use config::ConfigChange;
pub use fields::FieldChange;

/// One of the two commits.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Side {
    /// The commit.
    pub commit_id: CommitId,
    /// The run that made it.
    pub run_id: String,
    /// RFC 3339, UTC.
    pub committed_at: String,
}

/// What is different.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DiffReport {
    /// The commit that is compared with; null for what is before the first commit.
    pub before: Option<Side>,
    /// The other one.
    pub after: Side,
    /// Whether anything is different: a dataset, the configuration or a metric.
    pub differs: bool,
    /// The ten metrics by name; empty where the later commit has no summary.
    pub metrics: BTreeMap<String, DriftMetric>,
    /// The highest severity of a metric.
    pub severity: Severity,
    /// Each dataset, unchanged ones too.
    pub datasets: BTreeMap<String, DatasetDiff>,
    /// Whether what can change a dataset is configured differently.
    pub config_changed: bool,
    /// What of it: options, the policy, specs.
    pub config: Vec<ConfigChange>,
    /// Tree nodes that were read.
    pub nodes_read: u64,
    /// Why the metrics moved, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub explanation: Option<Explanation>,
}

/// How a dataset changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DatasetDiff {
    /// Keys that are new.
    pub added: u64,
    /// Keys that are gone.
    pub removed: u64,
    /// Keys that name another object.
    pub modified: u64,
    /// Rows before.
    pub rows_before: u64,
    /// Rows after.
    pub rows_after: u64,
    /// The root before; null where there was no such dataset.
    pub root_before: Option<RootId>,
    /// The root after; null where there is none any more.
    pub root_after: Option<RootId>,
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowChange {
    /// The key is new.
    Added,
    /// The key is gone.
    Removed,
    /// The key names another object.
    Modified,
}

/// A row that changed.
#[derive(Clone, Debug, Serialize)]
pub struct RecordChange {
    /// Its dataset.
    pub dataset: String,
    /// Its key.
    pub key: String,
    /// What happened.
    pub change: RowChange,
    /// The object before.
    pub before: Option<ObjectId>,
    /// The object after.
    pub after: Option<ObjectId>,
    /// The fields that differ, for a modified row that is JSON on both sides.
    pub fields: Vec<FieldChange>,
}

/// The commits to compare.
pub struct Pair {
    before: Option<(CommitId, Commit)>,
    after: (CommitId, Commit),
    /// The datasets to look at.
    datasets: Vec<String>,
}

/// The two commits of `A B` or `A..B`; one revision is compared with its first parent, HEAD where none is given. A first
/// commit is compared with nothing.
///
/// # Errors
/// A revision that names nothing, a dataset that neither has.
pub fn pair(
    repo: &Repo,
    first: Option<&str>,
    second: Option<&str>,
    dataset: Option<&str>,
) -> Result<Pair, OpError> {
    if let Some((rev, path)) = first.into_iter().chain(second).find_map(|rev| rev.split_once(':')) {
        let name = path.split('/').next().unwrap_or(path);
        return Err(OpError::new(
            ErrorKind::Usage,
            format!("`{rev}:{path}` is not a commit, and diff compares commits"),
            format!("name the dataset apart: `--dataset {name}`"),
        ));
    }
    let (before, after) = match (first, second) {
        (Some(_), Some(b)) if split_range(b).is_some() => return Err(two_ranges()),
        (Some(a), Some(b)) if split_range(a).is_none() => (Some(repo.resolve(a)?), repo.resolve(b)?),
        (Some(_), Some(_)) => return Err(two_ranges()),
        (Some(range), None) if split_range(range).is_some() => {
            let (a, b) = split_range(range).unwrap_or(("HEAD", "HEAD"));
            (Some(repo.resolve(a)?), repo.resolve(b)?)
        }
        (one, _) => {
            let after = repo.resolve(one.unwrap_or("HEAD"))?;
            (repo.commit(after)?.parents.first().copied(), after)
        }
    };
    let before = before.map(|id| Ok::<_, OpError>((id, repo.commit(id)?))).transpose()?;
    let after = (after, repo.commit(after)?);
    let mut datasets: Vec<String> = after.1.datasets.keys().cloned().collect();
    for name in before.iter().flat_map(|(_, commit)| commit.datasets.keys()) {
        if !datasets.contains(name) {
            datasets.push(name.clone());
        }
    }
    datasets.sort();
    if let Some(wanted) = dataset {
        let full = [wanted.to_owned(), format!("exports/{wanted}")];
        let Some(one) = full.iter().find(|name| datasets.contains(name)) else {
            let message = format!("neither commit has a dataset called `{wanted}`");
            let hint = format!("they have {}", datasets.join(", "));
            return Err(OpError::new(ErrorKind::Usage, message, hint));
        };
        datasets = vec![one.clone()];
    }
    Ok(Pair { before, after, datasets })
}

fn two_ranges() -> OpError {
    OpError::new(ErrorKind::Usage, "a range and another revision cannot be compared", "write `A B` or `A..B`")
}

impl Pair {
    /// The two commits; the first is absent before a first commit.
    pub fn commit_ids(&self) -> (Option<CommitId>, CommitId) {
        (self.before.as_ref().map(|(id, _)| *id), self.after.0)
    }

    fn roots(&self, dataset: &str) -> (Option<RootId>, Option<RootId>) {
        (self.before.as_ref().and_then(|(_, commit)| commit.dataset(dataset)), self.after.1.dataset(dataset))
    }
}

/// A commit and its first parent, or nothing before a first commit.
pub(super) fn pair_of(repo: &Repo, commit_id: CommitId, commit: Commit) -> Result<Pair, OpError> {
    let before = commit.parents.first().map(|id| Ok::<_, OpError>((*id, repo.commit(*id)?))).transpose()?;
    let datasets = commit.datasets.keys().cloned().collect();
    Ok(Pair { before, after: (commit_id, commit), datasets })
}

/// Everything but the rows.
///
/// # Errors
/// When a tree, a summary or a configuration is missing or damaged.
pub fn diff(repo: &Repo, pair: &Pair) -> Result<DiffReport, OpError> {
    let mut nodes_read = 0;
    let mut datasets = BTreeMap::new();
    for name in &pair.datasets {
        let (before, after) = pair.roots(name);
        datasets.insert(name.clone(), dataset_diff(repo, before, after, &mut nodes_read)?);
    }
    let metrics_after = repo.metrics(&pair.after.1)?;
    let metrics_before: Option<Metrics> = match &pair.before {
        Some((_, commit)) => repo.metrics(commit)?,
        None => None,
    };
    let (mut metrics, mut severity) = (BTreeMap::new(), Severity::None);
    if let Some(after) = &metrics_after {
        let drift = compare(metrics_before.as_ref(), after, &repo.config().drift, &[], false);
        severity = drift.severity;
        metrics.extend(drift.metrics.into_iter().map(|metric| (metric.name.clone(), metric)));
    }
    let config_before = pair.before.as_ref().and_then(|(_, commit)| commit.config_id);
    let config = match (config_before, pair.after.1.config_id) {
        (before, after) if before == after => Vec::new(),
        (before, after) => config::changes(repo, before, after)?,
    };
    let config_changed = config_before != pair.after.1.config_id;
    let moved = datasets.values().any(|d| d.root_before != d.root_after);
    let measured = metrics.values().any(|metric| metric.before != Some(metric.after));
    let side = |(id, commit): &(CommitId, Commit)| Side {
        commit_id: *id,
        run_id: commit.run_id.clone(),
        committed_at: commit.committed_at.clone(),
    };
    Ok(DiffReport {
        before: pair.before.as_ref().map(side),
        after: side(&pair.after),
        differs: moved || config_changed || measured,
        metrics,
        severity,
        datasets,
        config_changed,
        config,
        nodes_read,
        explanation: None,
    })
}

fn dataset_diff(
    repo: &Repo,
    before: Option<RootId>,
    after: Option<RootId>,
    nodes_read: &mut u64,
) -> Result<DatasetDiff, OpError> {
    let mut totals = |root: Option<RootId>| -> Result<Totals, OpError> {
        *nodes_read += u64::from(root.is_some());
        Ok(root.map(|root| tree::totals(repo.store(), root)).transpose()?.unwrap_or_default())
    };
    let mut diff = DatasetDiff {
        rows_before: totals(before)?.rows,
        rows_after: totals(after)?.rows,
        root_before: before,
        root_after: after,
        ..DatasetDiff::default()
    };
    let (Some(before), Some(after)) = (before, after) else {
        (diff.added, diff.removed) = (diff.rows_after, diff.rows_before);
        return Ok(diff);
    };
    let mut changes = tree::diff(repo.store(), before, after);
    for change in changes.by_ref() {
        let change = change?;
        *match (change.before, change.after) {
            (None, _) => &mut diff.added,
            (_, None) => &mut diff.removed,
            _ => &mut diff.modified,
        } += 1;
    }
    *nodes_read += changes.nodes_read();
    Ok(diff)
}

/// What happened to one row, which is not on both sides the same.
pub(super) fn record_change(
    repo: &Repo,
    dataset: &str,
    key: String,
    before: Option<ObjectId>,
    after: Option<ObjectId>,
) -> Result<RecordChange, OpError> {
    let (change, fields) = match (before, after) {
        (Some(before), Some(after)) => {
            let (old, new) = (repo.store().find(&before)?, repo.store().find(&after)?);
            (RowChange::Modified, fields::changes(&old, &new))
        }
        (None, _) => (RowChange::Added, Vec::new()),
        (_, None) => (RowChange::Removed, Vec::new()),
    };
    Ok(RecordChange { dataset: dataset.to_owned(), key, change, before, after, fields })
}

/// The rows that changed, dataset by dataset in key order; `take` gets them one at a time and may stop by an error.
///
/// # Errors
/// When a tree or a row is missing or damaged, and whatever `take` gives.
pub fn records<E: From<OpError>>(
    repo: &Repo,
    pair: &Pair,
    mut take: impl FnMut(RecordChange) -> Result<(), E>,
) -> Result<(), E> {
    for dataset in &pair.datasets {
        let record =
            |key: String, before, after| record_change(repo, dataset, key, before, after).map_err(E::from);
        match pair.roots(dataset) {
            (Some(before), Some(after)) => {
                for change in tree::diff(repo.store(), before, after) {
                    let change = change.map_err(OpError::from)?;
                    let id = |value: Option<tree::Value>| value.map(|(id, _)| id);
                    take(record(change.key, id(change.before), id(change.after))?)?;
                }
            }
            (before, after) => {
                let Some(root) = before.or(after) else { continue };
                for entry in tree::iter(repo.store(), root) {
                    let entry = entry.map_err(OpError::from)?;
                    let side = |root: Option<RootId>| root.map(|_| entry.id);
                    take(record(entry.key.clone(), side(before), side(after))?)?;
                }
            }
        }
    }
    Ok(())
}
