//! What a run said of itself: its summary, its metrics, its drift and the receipts of its stages.
//!
//! Rests on commits and the report records. Invariant: a report that a commit names and that cannot be read is an error,
//! never an absence.

use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::record::DriftReport;
use crate::record::Metrics;
use crate::record::Record;
use crate::record::RunSummary;
use crate::record::StageReceipt;
use crate::repo::Commit;
use crate::repo::NotA;
use crate::repo::Repo;
use crate::repo::RepoError;
use crate::tree;

/// The stages in the order in which a run goes through them.
pub const STAGES: [&str; 7] =
    ["sources", "evidence", "score", "export-rag", "export-sft", "export-preference", "quarantine"];

/// The stage, and the operation, of a replay. It is no part of a run, so that a commit need not have a receipt of it.
pub const REPLAY: &str = "replay";

impl Repo {
    /// The summary of a commit's run; `None` for a commit that ran nothing.
    ///
    /// # Errors
    /// When the object is missing, damaged or no summary.
    pub fn summary(&self, commit: &Commit) -> Result<Option<RunSummary>, RepoError> {
        commit.summary_id.map(|id| self.record(&id)).transpose()
    }

    /// The ten metrics of a commit's run.
    ///
    /// # Errors
    /// As [`Repo::summary`].
    pub fn metrics(&self, commit: &Commit) -> Result<Option<Metrics>, RepoError> {
        Ok(self.summary(commit)?.map(|summary| summary.metrics))
    }

    /// The drift report of a commit's run.
    ///
    /// # Errors
    /// When the object is missing, damaged or no drift report.
    pub fn drift(&self, commit: &Commit) -> Result<Option<DriftReport>, RepoError> {
        commit.drift_id.map(|id| self.record(&id)).transpose()
    }

    /// The latest receipt of each stage with the id of its object, in the order of stages.
    ///
    /// # Errors
    /// When the tree or a receipt is missing or damaged.
    pub fn receipts(&self, commit: &Commit) -> Result<Vec<(ObjectId, StageReceipt)>, RepoError> {
        let mut receipts = Vec::new();
        for entry in tree::iter(self.store(), commit.receipts) {
            let id = entry?.id;
            receipts.push((id, self.record::<StageReceipt>(&id)?));
        }
        let place = |stage: &str| STAGES.iter().position(|known| *known == stage).unwrap_or(STAGES.len());
        receipts.sort_by(|(_, a), (_, b)| (place(&a.stage), &a.stage).cmp(&(place(&b.stage), &b.stage)));
        Ok(receipts)
    }

    /// The latest receipt of one stage.
    ///
    /// # Errors
    /// As [`Repo::receipts`].
    pub fn receipt(&self, commit: &Commit, stage: &str) -> Result<Option<StageReceipt>, RepoError> {
        match tree::get(self.store(), commit.receipts, stage)? {
            Some(entry) => Ok(Some(self.record(&entry.id)?)),
            None => Ok(None),
        }
    }

    /// Reads an object as a record of type `T`.
    ///
    /// # Errors
    /// When it is missing, damaged or of another schema.
    pub fn record<T: Record>(&self, id: &ObjectId) -> Result<T, RepoError> {
        let bytes = self.store().find(id)?;
        T::parse(&bytes)
            .map_err(|error| NotA { id: *id, wanted: T::SCHEMA, detail: error.to_string() }.into())
    }

    /// The refs that stand at `commit`, by full name; tags are peeled.
    ///
    /// # Errors
    /// When a tag object cannot be read.
    pub fn refs_at(&self, commit: crate::object::CommitId) -> Result<Vec<String>, RepoError> {
        let mut names = Vec::new();
        for (name, id) in self.store().refs() {
            let stands_at = if name.starts_with("tags/") { *self.tag(&id)?.target.object() } else { id };
            if stands_at == *commit.object() {
                names.push(name);
            }
        }
        Ok(names)
    }
}
