//! `merge`: the union of runs that were made apart, as one run over the union of their sources would have made it.
//!
//! Rests on the engine. Source rows and configuration are joined key by key, which costs what the sides changed; then
//! the engine passes over the union, with what the memo of a side knows, and decides again about everything that
//! depends on more than one row. Invariants: what follows from sources is never merged but made, so a merge has no
//! conflicts in evidence, scores or exports; with a conflict, nothing is written; rows that only a merge brought are
//! called `merged:` in the receipt, for the runs after it.

mod config;
mod sides;
mod sources;
mod union;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::base::clock::Clock;
use crate::object::CommitId;
use crate::object::ObjectId;
use crate::ops::checkout::follow;
use crate::ops::engine::Dataset;
use crate::ops::error::OpError;
use crate::ops::loss::known_inputs;
use crate::ops::merge::sides::{Loaded, sides};
use crate::ops::merge::sources::{ChangedRows, changed};
use crate::ops::merge::union::Job;
use crate::ops::progress::Progress;
use crate::ops::run::{RunOptions, RunReport, What, branch_of};
use crate::repo::{RefName, Repo, Site};
use crate::store::{OpRequest, RefChange};

pub use sources::{ConflictLine, Resolution};

/// The operation's name in commits and in the operation log.
pub(crate) const MERGE: &str = "merge";

/// One of the two sides of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The branch that is merged into.
    Ours,
    /// The revision that is merged.
    Theirs,
}

/// What to merge, and how.
#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// The revisions, in order.
    pub revs: Vec<String>,
    /// The side that decides conflicts; without one they stop the merge.
    pub favour: Option<Side>,
    /// Whether to stop before anything is made.
    pub dry_run: bool,
    /// Whether a commit is made where the branch could simply move.
    pub no_ff: bool,
    /// Message, run id, threads and files, as for a run; always of the branch of HEAD.
    pub run: RunOptions,
}

impl MergeOptions {
    /// Merges `revs` with everything else as configured.
    pub fn new(revs: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            revs: revs.into_iter().map(Into::into).collect(),
            favour: None,
            dry_run: false,
            no_ff: false,
            run: RunOptions::new(What::All),
        }
    }
}

/// How a merge ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeOutcome {
    /// The branch has everything already.
    UpToDate,
    /// The branch moved to the revision; no commit was needed.
    FastForward,
    /// The union was made, or would be.
    Merged,
    /// The sides disagree; nothing was written.
    Conflicts,
}

/// One side of a merge.
#[derive(Clone, Debug, Serialize)]
pub struct MergeParent {
    /// As it was asked for; the branch for the first.
    pub rev: String,
    /// The commit.
    pub commit_id: CommitId,
    /// The run that made it.
    pub run_id: String,
    /// The best common ancestors with the sides before it; none for the first and for histories that never met.
    pub bases: Vec<CommitId>,
}

/// A part of the configuration that came from another side than the first.
#[derive(Clone, Debug, Serialize)]
pub struct TakenPart {
    /// `options`, `policy` or `sources/<name>`.
    pub part: String,
    /// The revision it came from.
    pub rev: String,
}

/// What a merge did, or would do.
#[derive(Clone, Debug, Serialize)]
pub struct MergeReport {
    /// How it ended.
    pub outcome: MergeOutcome,
    /// Whether nothing was to be written.
    pub dry_run: bool,
    /// The branch.
    pub branch: String,
    /// Where the branch stands now.
    pub commit_id: Option<CommitId>,
    /// The sides, the branch first.
    pub parents: Vec<MergeParent>,
    /// What stops the merge.
    pub conflicts: Vec<ConflictLine>,
    /// What `--ours` or `--theirs` decided.
    pub resolutions: Vec<Resolution>,
    /// Parts of the configuration that only another side had changed.
    pub config_taken: Vec<TakenPart>,
    /// Whether `.distill` holds another configuration than the merge was made with.
    pub config_differs: bool,
    /// Source rows of the union that the branch had not, or had otherwise.
    pub rows_brought: u64,
    /// Source rows of the branch that the union has not.
    pub rows_gone: u64,
    /// Files whose rows come from elsewhere and that are not in this folder.
    pub files_elsewhere: Vec<String>,
    /// The merge's own run.
    pub run: Option<RunReport>,
}

impl MergeReport {
    /// Takes in how the branch's source rows change.
    fn count_rows(&mut self, changed: &BTreeMap<String, ChangedRows>) {
        for rows in changed.values() {
            self.rows_brought += rows.there;
            self.rows_gone += rows.units.len() as u64 - rows.there;
        }
    }
}

/// Merges revisions into the branch of HEAD.
///
/// # Errors
/// A detached HEAD, a revision that names nothing, files changed by hand, files that no spec of the union reads, another
/// run that does not end, a full disk, damage. Nothing is committed then. Conflicts are no error: they are the answer.
pub fn merge(
    site: Site,
    options: &MergeOptions,
    clock: Clock,
    progress: &dyn Progress,
) -> Result<MergeReport, OpError> {
    let repo = site.open()?;
    let started = clock.now_ms();
    let branch = branch_of(&repo, &options.run)?;
    let timeout = Duration::from_secs(repo.config().run.lease_timeout_s);
    let lease = (!options.dry_run).then(|| {
        repo.store().lease(branch.as_str(), MERGE, timeout, &mut |holder| {
            progress.note(&format!("waiting for {holder}, which runs on {}", branch.as_str()));
        })
    });
    let _lease = lease.transpose()?;
    let _hold = repo.store().hold(timeout, &mut |holder| progress.note(&format!("waiting for {holder}")))?;
    let tip = repo.store().get_ref(branch.as_str());
    let sides = sides(&repo, &branch, tip.map(CommitId::new), &options.revs)?;
    let mut report = MergeReport {
        outcome: MergeOutcome::UpToDate,
        dry_run: options.dry_run,
        branch: branch.as_str().to_owned(),
        commit_id: tip.map(CommitId::new),
        parents: sides.iter().map(Loaded::line).collect(),
        conflicts: Vec::new(),
        resolutions: Vec::new(),
        config_taken: Vec::new(),
        config_differs: false,
        rows_brought: 0,
        rows_gone: 0,
        files_elsewhere: Vec::new(),
        run: None,
    };
    match (tip, sides.as_slice()) {
        (_, []) | (Some(_), [_]) => {}
        (None, [target]) => fast_forward(&repo, options, (&branch, tip), target, &mut report, clock)?,
        (Some(_), [ours, target]) if target.goes_on_from(ours) && !options.no_ff => {
            fast_forward(&repo, options, (&branch, tip), target, &mut report, clock)?;
        }
        _ => {
            let job =
                Job { repo: &repo, options, branch: &branch, tip, sides: &sides, started, clock, progress };
            job.run(&mut report)?;
        }
    }
    Ok(report)
}

/// Moves the branch to a commit that has all of it.
fn fast_forward(
    repo: &Repo,
    options: &MergeOptions,
    (branch, tip): (&RefName, Option<ObjectId>),
    target: &Loaded,
    report: &mut MergeReport,
    clock: Clock,
) -> Result<(), OpError> {
    report.outcome = MergeOutcome::FastForward;
    let before = match tip {
        Some(tip) => repo.commit(CommitId::new(tip))?.dataset(Dataset::Sources.name()),
        None => None,
    };
    match (before, target.commit.dataset(Dataset::Sources.name())) {
        (Some(before), Some(after)) => report.count_rows(&changed(repo.store(), before, after)?),
        (None, Some(after)) => report.rows_brought = crate::tree::totals(repo.store(), after)?.rows,
        (_, None) => {}
    }
    report.files_elsewhere = known_inputs(repo, Some(&target.commit))?
        .into_keys()
        .filter(|name| !repo.base().join(name).exists())
        .collect();
    if options.dry_run {
        return Ok(());
    }
    let request = OpRequest {
        operation: MERGE.to_owned(),
        message: Some(format!("fast-forward to {}", target.rev)),
        at: clock.now_rfc3339(),
        ref_changes: vec![RefChange {
            name: branch.as_str().to_owned(),
            old: tip,
            new: Some(*target.id.object()),
        }],
        ..OpRequest::default()
    };
    let publish = || Ok(repo.store().publish(None, request)?);
    if options.run.write_files {
        follow(repo, Some(target.id), options.run.force, publish)?;
    } else {
        publish()?;
    }
    report.commit_id = Some(target.id);
    Ok(())
}
