//! `receipts`: what a run took, gave and counted, stage by stage.
//!
//! Rests on `repo`. Invariant: what is shown is what the commit names, every object hashed again on the way.

use serde::Serialize;

use crate::object::CommitId;
use crate::object::ObjectId;
use crate::ops::OpError;
use crate::ops::open::resolve;
use crate::record::DriftReport;
use crate::record::RunSummary;
use crate::record::StageReceipt;
use crate::repo::RefName;
use crate::repo::Repo;
use crate::repo::RepoError;

/// The receipts of one commit.
#[derive(Clone, Debug, Serialize)]
pub struct Receipts {
    /// The commit.
    pub commit_id: CommitId,
    /// The run that made it.
    pub run_id: String,
    /// The run in short; null for a commit that ran nothing.
    pub summary: Option<RunSummary>,
    /// The run compared with the one before.
    pub drift: Option<DriftReport>,
    /// The latest receipt of each stage, in the order of stages.
    pub receipts: Vec<ReceiptLine>,
}

/// One receipt.
#[derive(Clone, Debug, Serialize)]
pub struct ReceiptLine {
    /// The object of the receipt.
    pub id: ObjectId,
    /// Whether it is of this commit's run; a one-shot stage keeps the other stages' earlier receipts.
    pub of_this_run: bool,
    /// The receipt.
    #[serde(flatten)]
    pub receipt: StageReceipt,
}

/// Which receipts.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// Those of a run.
    Run(&'a str),
    /// Those of a revision.
    Rev(&'a str),
}

/// The receipts of a run or a revision.
///
/// # Errors
/// When it names nothing, or a report is missing or damaged.
pub fn receipts(repo: &Repo, which: Which) -> Result<Receipts, OpError> {
    let commit_id = match which {
        Which::Run(id) => {
            let name = RefName::run(id).map_err(RepoError::from)?;
            match repo.store().get_ref(name.as_str()) {
                Some(_) => repo.peel(name.as_str())?,
                // Says that it is unknown, and suggests near names.
                None => repo.resolve(id)?,
            }
        }
        Which::Rev(rev) => resolve(repo, Some(rev))?,
    };
    let commit = repo.commit(commit_id)?;
    let receipts = (repo.receipts(&commit)?.into_iter())
        .map(|(id, receipt)| ReceiptLine { id, of_this_run: receipt.run_id == commit.run_id, receipt })
        .collect();
    Ok(Receipts {
        commit_id,
        summary: repo.summary(&commit)?,
        drift: repo.drift(&commit)?,
        run_id: commit.run_id,
        receipts,
    })
}
