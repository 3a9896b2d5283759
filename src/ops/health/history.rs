//! The coverage that runs recorded: of HEAD, and of the `run-all` before it.
//!
//! Rests on receipts. Invariant: both sides are what a run wrote down when it ran; nothing is counted here.

use serde::Serialize;

use crate::object::CommitId;
use crate::ops::OpError;
use crate::ops::run::is_whole;
use crate::record::StageReceipt;
use crate::record::StreamCoverage;
use crate::repo::Repo;
use crate::repo::Site;

/// Two runs that are compared.
#[derive(Clone, Debug, Serialize)]
pub struct Runs {
    /// The earlier `run-all`; null where there is none.
    pub before: Option<RunName>,
    /// The run that made the evidence of HEAD.
    pub after: RunName,
}

/// A run by name.
#[derive(Clone, Debug, Serialize)]
pub struct RunName {
    /// The commit whose receipt was read.
    pub commit_id: CommitId,
    /// The run.
    pub run_id: String,
}

/// What both runs recorded.
pub(super) struct Recorded {
    pub(super) runs: Runs,
    pub(super) before: Vec<StreamCoverage>,
    pub(super) after: Vec<StreamCoverage>,
}

/// The evidence of HEAD and the nearest earlier `run-all` that made other evidence; `None` before the first run, and
/// where HEAD's evidence was made before runs recorded coverage.
///
/// # Errors
/// A store that cannot be opened, a report that is missing or damaged.
pub(super) fn recorded(site: &Site) -> Result<Option<Recorded>, OpError> {
    if !site.has_store() {
        return Ok(None);
    }
    let repo = site.clone().open()?;
    let Some(head) = repo.head_commit() else { return Ok(None) };
    let Some(after) = evidence(&repo, head)?.filter(|receipt| !receipt.coverage.is_empty()) else {
        return Ok(None);
    };
    let mut before = None;
    for found in repo.ancestors([head]) {
        let (id, commit) = found?;
        if !is_whole(&commit.operation) || commit.run_id == after.run_id {
            continue;
        }
        // A one-shot stage after a run keeps its receipt; then the run itself is not the one before.
        if let Some(receipt) = evidence(&repo, id)?.filter(|receipt| receipt.run_id != after.run_id) {
            before = Some((id, receipt));
            break;
        }
    }
    let name = |commit_id, receipt: &StageReceipt| RunName { commit_id, run_id: receipt.run_id.clone() };
    let runs =
        Runs { before: before.as_ref().map(|(id, receipt)| name(*id, receipt)), after: name(head, &after) };
    let before = before.map(|(_, receipt)| receipt.coverage).unwrap_or_default();
    Ok(Some(Recorded { runs, before, after: after.coverage }))
}

fn evidence(repo: &Repo, commit: CommitId) -> Result<Option<StageReceipt>, OpError> {
    Ok(repo.receipt(&repo.commit(commit)?, "evidence")?)
}
