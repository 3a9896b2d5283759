//! `audit-full`: 16 required checks over phases 0 to 8, on the store and the working tree as they are.
//!
//! Rests on `checks`, which `acceptance` shares, on `verify` and on `acceptance` itself. A commit is held against the policy
//! and the options that were stored with it, never against those of today. Invariants: it moves no branch; a baseline is
//! appended and nothing before it is touched; what cannot be checked does not pass.

mod baseline;
mod page;
mod required;
mod schemas;

use std::path::PathBuf;

use serde::Serialize;

use crate::base::clock::Clock;
use crate::object::CommitId;
use crate::object::ObjectId;
use crate::ops::acceptance;
use crate::ops::checks::{Breach, Found, Subject};
use crate::ops::error::OpError;
use crate::ops::open::{hold, resolve};
use crate::ops::progress::Progress;
use crate::ops::snapshot::REPORTS;
use crate::pipeline::drift::{self, DriftLimits};
use crate::record::{DriftMetric, Metrics, Severity};
use crate::repo::Site;
use crate::repo::worktree::Worktree;
use baseline::{Baselines, NewBaseline};
use required::REQUIRED;

pub use baseline::{Baseline, FILE as BASELINES};

/// The report's name below the folder of reports.
pub const PAGE: &str = "phase8-full-audit-report.md";

/// How to audit.
#[derive(Clone, Debug)]
pub struct Options {
    /// The revision; HEAD where none is given.
    pub rev: Option<String>,
    /// A folder for temporary files.
    pub tmp: PathBuf,
    /// Whether the report and a baseline are written. Without, a read-only copy can be audited.
    pub write: bool,
    /// Whether a report that was changed by hand may be overwritten.
    pub force: bool,
}

/// What an audit found.
#[derive(Clone, Debug, Serialize)]
pub struct Audit {
    /// The audited commit.
    pub commit_id: CommitId,
    /// The run that made it.
    pub run_id: String,
    /// Whether every required check holds.
    pub passed: bool,
    /// How many checks hold.
    pub held: usize,
    /// How many there are.
    pub of: usize,
    /// The checks, in order of number.
    pub items: Vec<Checked>,
    /// The baseline that metrics are compared with: the latest that passed, on this commit or an ancestor of it.
    pub compared_with: Option<Baseline>,
    /// The ten metrics, compared with it.
    pub drift: Vec<DriftMetric>,
    /// The highest severity among them.
    pub severity: Severity,
    /// The baseline that was appended; null where nothing was written, or the chain before it is broken.
    pub baseline: Option<Baseline>,
    /// The object of that baseline.
    pub baseline_id: Option<ObjectId>,
    /// The report that was written.
    pub report: Option<String>,
}

/// One required check.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// Its number, from 1.
    pub number: u8,
    /// The phase that it is about, from 0.
    pub phase: u8,
    /// Its name.
    pub name: &'static str,
    /// What it asks.
    pub asks: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// What broke it: the first of them.
    pub breaches: Vec<Breach>,
    /// How many things broke it.
    pub breaches_total: u64,
}

/// What the checks look at.
pub(crate) struct Scope<'a> {
    pub site: &'a Site,
    pub subject: Subject<'a>,
    pub repo: &'a crate::repo::Repo,
    /// The audited commit.
    pub commit_id: CommitId,
    /// Whether the audited commit is HEAD's, so that the working tree should be of it.
    pub is_head: bool,
    pub options: &'a Options,
    pub baselines: &'a Baselines,
    pub progress: &'a dyn Progress,
}

/// Audits a revision, writes the report and appends a baseline.
///
/// # Errors
/// A revision that names nothing, a commit that ran nothing, a working tree that cannot be written, a report that was
/// changed by hand. What does not hold is part of the answer.
pub fn audit_full(
    site: &Site,
    options: &Options,
    clock: Clock,
    progress: &dyn Progress,
) -> Result<Audit, OpError> {
    let repo = site.clone().open()?;
    // What is looked at stays until the baseline that speaks of it is published.
    let _hold = if options.write { Some(hold(&repo)?) } else { None };
    let commit_id = resolve(&repo, options.rev.as_deref())?;
    let commit = repo.commit(commit_id)?;
    let baselines = Baselines::load(&repo)?;
    let metrics = repo.metrics(&commit)?.unwrap_or_default();
    let scope = Scope {
        site,
        subject: Subject::load(&repo, commit)?,
        repo: &repo,
        commit_id,
        is_head: repo.head_commit() == Some(commit_id),
        options,
        baselines: &baselines,
        progress,
    };
    let items = check(&scope);
    let held = items.iter().filter(|item| item.holds).count();
    let compared_with = baselines.compared_with(&repo, commit_id)?;
    let before = compared_with.as_ref().map(|baseline| &baseline.metrics);
    let moved = drift::compare(before, &metrics, &DriftLimits::default(), &[], false);
    let mut audit = Audit {
        commit_id,
        run_id: scope.subject.commit.run_id.clone(),
        passed: held == items.len(),
        held,
        of: items.len(),
        items,
        compared_with,
        drift: moved.metrics,
        severity: moved.severity,
        baseline: None,
        baseline_id: None,
        report: None,
    };
    if options.write {
        if baselines.faults().is_empty() {
            let new = new_baseline(&audit, metrics, scope.subject.commit.config_id, clock);
            let (id, row) = baselines.append(&repo, new)?;
            (audit.baseline, audit.baseline_id) = (Some(row), Some(id));
        }
        let rel = format!("{REPORTS}{PAGE}");
        let worktree = Worktree::open(&site.root, &site.dot().join("index"))?;
        let mut transaction = worktree.begin()?;
        transaction.put(&rel, page::markdown(&audit).as_bytes())?;
        transaction.commit(options.force, &|_| false)?;
        audit.report = Some(rel);
    }
    Ok(audit)
}

fn new_baseline(audit: &Audit, metrics: Metrics, config_id: Option<ObjectId>, clock: Clock) -> NewBaseline {
    NewBaseline {
        audited_at: clock.now_rfc3339(),
        commit_id: audit.commit_id,
        config_id,
        failed: audit.items.iter().filter(|item| !item.holds).map(|item| item.number).collect(),
        fixture: acceptance::fixture_hash(),
        metrics,
        run_id: audit.run_id.clone(),
    }
}

fn check(scope: &Scope<'_>) -> Vec<Checked> {
    let checked = REQUIRED.iter().map(|required| {
        scope.progress.begin(&format!("check {} of {}", required.number, REQUIRED.len()), None);
        let mut found = Found::default();
        if let Err(error) = (required.check)(scope, &mut found) {
            found.push(Breach::new(error.message));
        }
        scope.progress.end();
        Checked {
            number: required.number,
            phase: required.phase,
            name: required.name,
            asks: required.asks,
            holds: found.total == 0,
            breaches: found.named,
            breaches_total: found.total,
        }
    });
    checked.collect()
}
