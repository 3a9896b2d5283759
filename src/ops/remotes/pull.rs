//! `pull`: fetch, and bring the current branch to where the remote's is, if it only has to go on.
//!
//! Rests on `fetch` and on the merge's own step forward. Invariant: a branch that has commits of its own is left alone: that is
//! a fork, and `merge` joins it.

use serde::Serialize;

use crate::base::clock::Clock;
use crate::object::CommitId;
use crate::object::ObjectId;
use crate::ops::ErrorKind;
use crate::ops::OpError;
use crate::ops::merge::MergeOptions;
use crate::ops::merge::MergeReport;
use crate::ops::merge::merge;
use crate::ops::progress::Progress;
use crate::ops::remotes::FetchReport;
use crate::ops::remotes::fetch;
use crate::ops::remotes::tracking;
use crate::remote::Access;
use crate::repo::Repo;
use crate::repo::RepoError;
use crate::repo::Site;
use crate::store::Head;

/// What to pull.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// The remote; the only one, or `origin`, where none is named.
    pub remote: Option<String>,
    /// Whether the working tree follows.
    pub write_files: bool,
    /// Whether files changed by hand are overwritten.
    pub force: bool,
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PullOutcome {
    /// The branch stands where the remote's does.
    UpToDate,
    /// The branch has commits that the remote lacks, and lacks none.
    Ahead,
    /// The branch moved to where the remote's is.
    FastForward,
    /// Both have commits that the other lacks; the branch stayed.
    Forked,
}

/// What a pull did.
#[derive(Clone, Debug, Serialize)]
pub struct PullReport {
    /// What was fetched.
    pub fetched: FetchReport,
    /// How it ended.
    pub outcome: PullOutcome,
    /// The branch, by full name.
    pub branch: String,
    /// The remote's branch as it is known here.
    pub tracking: String,
    /// Where the branch stands now.
    pub commit_id: Option<CommitId>,
    /// Where the remote's stands.
    pub remote_commit_id: CommitId,
    /// What the step forward brought.
    pub merge: Option<MergeReport>,
}

/// Fetches and steps forward.
///
/// # Errors
/// A detached HEAD, a remote without the branch; as `fetch`; files changed by hand.
pub fn pull(
    site: Site,
    options: &PullOptions,
    access: &Access,
    clock: Clock,
    progress: &dyn Progress,
) -> Result<PullReport, OpError> {
    let repo = site.clone().open()?;
    let Head::Branch(branch) = repo.store().head() else {
        return Err(OpError::new(
            ErrorKind::Usage,
            "HEAD is on no branch, so there is nothing to bring forward",
            "switch to one with `distill checkout BRANCH`, or use `distill fetch`",
        ));
    };
    let fetched = fetch(&repo, options.remote.as_deref(), access, clock, progress)?;
    let tracking = tracking(&fetched.remote, branch.strip_prefix("heads/").unwrap_or(&branch));
    let Some(theirs) = repo.store().get_ref(&tracking) else {
        return Err(OpError::new(
            ErrorKind::Refused,
            format!("{} has no {branch}", fetched.remote),
            format!("`distill push {}` puts it there", fetched.remote),
        ));
    };
    let ours: Option<ObjectId> = repo.store().get_ref(&branch);
    let theirs = CommitId::new(theirs);
    let outcome = outcome(&repo, ours.map(CommitId::new), theirs)?;
    let mut report = PullReport {
        fetched,
        outcome,
        branch,
        tracking: tracking.clone(),
        commit_id: ours.map(CommitId::new),
        remote_commit_id: theirs,
        merge: None,
    };
    if outcome == PullOutcome::FastForward {
        let mut step = MergeOptions::new([tracking]);
        step.run.write_files = options.write_files;
        step.run.force = options.force;
        let merged = merge(site, &step, clock, progress)?;
        report.commit_id = merged.commit_id;
        report.merge = Some(merged);
    }
    Ok(report)
}

fn outcome(repo: &Repo, ours: Option<CommitId>, theirs: CommitId) -> Result<PullOutcome, RepoError> {
    Ok(match ours {
        None => PullOutcome::FastForward,
        Some(ours) if ours == theirs => PullOutcome::UpToDate,
        Some(ours) if repo.is_ancestor(ours, theirs)? => PullOutcome::FastForward,
        Some(ours) if repo.is_ancestor(theirs, ours)? => PullOutcome::Ahead,
        Some(_) => PullOutcome::Forked,
    })
}
