//! The end of a run or a merge: receipts, summary, drift, commit, files, and the one publish.
//!
//! Rests on what the engine made. Invariant: everything is computed, read back and judged before the publish that moves
//! the branch; what fails before it leaves the store and the working tree as they were.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::clock::Clock;
use crate::base::clock::rfc3339;
use crate::object::CommitId;
use crate::object::Kind;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::object::Write as _;
use crate::ops::engine;
use crate::ops::engine::{Prefix, Tallies};
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::fault::Planted;
use crate::ops::files::Files;
use crate::ops::progress::Progress;
use crate::ops::receipting::{Ledgered, Receipting};
use crate::ops::run::{RunReport, tool};
use crate::ops::setup::Setup;
use crate::record::{RunSummary, StreamCoverage};
use crate::repo::{Commit, CommitSchema, RefName, Repo};
use crate::store::{OpRequest, RefChange, Staging};
use crate::tree;

/// What the engine made, whichever way.
pub(crate) struct Made {
    pub roots: BTreeMap<String, RootId>,
    pub tallies: Tallies,
    /// The inputs of the `sources` receipt by name: `file:<path>`, `merged:<path>`, `run:<run id>`.
    pub inputs: Vec<(String, Prefix)>,
    /// What the rows of each stream hold, where evidence was made.
    pub coverage: Vec<StreamCoverage>,
    pub memo: Option<engine::MemoWriter>,
    /// What the next ingest knows files by, where this was one.
    pub outlines: Option<engine::Outlines>,
    pub computed: u64,
}

/// What is to be committed, and as what.
pub(crate) struct Seal<'a> {
    pub repo: &'a Repo,
    pub setup: &'a Setup,
    /// What made it: `run-all`, `merge` …
    pub operation: &'a str,
    /// The stages whose receipts are new, in order.
    pub stages: &'a [&'static str],
    pub run_id: String,
    pub branch: &'a RefName,
    /// Where the branch stands.
    pub tip: Option<ObjectId>,
    /// The commits before it; receipts go on from those of the first.
    pub parents: Vec<(CommitId, Commit)>,
    /// What drift is measured against.
    pub baseline: Option<(CommitId, Commit)>,
    /// What the summary says of the run besides its counts.
    pub note: Option<String>,
    /// What for; says what was made when absent.
    pub message: Option<String>,
    pub started: i64,
    pub clock: Clock,
    pub scratch: &'a Path,
    /// The defects that the run was given.
    pub planted: Option<&'a Planted>,
    pub progress: &'a dyn Progress,
}

impl Seal<'_> {
    /// Commits what was made, publishes it and brings the working tree to it.
    ///
    /// # Errors
    /// The SFT firewall, files changed by hand, another writer, a full disk, damage.
    pub(crate) fn commit(
        self,
        made: Made,
        default_message: impl FnOnce(&RunSummary) -> String,
        mut staging: Staging,
        files: Files,
    ) -> Result<RunReport, OpError> {
        let Self { repo, setup, .. } = self;
        let base = self.parents.first().map(|(_, commit)| commit);
        let receipting = Receipting::new(repo, setup, &self.run_id, self.started, base, self.planted)?;
        let exports = receipting.exports(&made.roots, self.scratch, &staging, self.progress)?;
        let ended = self.clock.now_ms();
        let ledgered = Ledgered {
            stages: self.stages,
            tallies: &made.tallies,
            roots: &made.roots,
            inputs: made.inputs,
            coverage: &made.coverage,
            exports: &exports,
        };
        let receipts = receipting.receipts(&ledgered, ended, &mut staging)?;
        let summary = receipting.summary(&receipts, &made.tallies, self.note, &mut staging)?;
        let drift = receipting.drift(&summary.1, &made.roots, setup, self.baseline.as_ref(), &mut staging)?;
        let config_id = staging.write(Kind::Data, &setup.config_object)?;
        let config_files = config_tree(setup, &mut staging)?;
        let receipts_root = receipting.receipts_tree(&receipts, &mut staging)?;
        let message = self.message.unwrap_or_else(|| default_message(&summary.1));
        let commit = Commit {
            schema: CommitSchema::V1,
            run_id: self.run_id.clone(),
            operation: self.operation.to_owned(),
            parents: self.parents.iter().map(|(id, _)| *id).collect(),
            generation: self.parents.iter().map(|(_, parent)| parent.generation + 1).max().unwrap_or(0),
            committed_at: rfc3339(ended),
            author: repo.config().author.clone(),
            message: message.clone(),
            datasets: made.roots.clone(),
            receipts: receipts_root,
            summary_id: Some(summary.0),
            drift_id: Some(drift.0),
            config_id: Some(config_id),
            config_files: Some(config_files),
            tool: tool(),
        };
        let bytes = commit.to_bytes().map_err(|e| {
            OpError::new(
                ErrorKind::Usage,
                format!("the commit cannot be written: {e}"),
                "check the message and the author",
            )
        })?;
        let commit_id = staging.write(Kind::Data, &bytes)?;
        let files = files.prepare(repo, &staging, &commit, exports)?;
        let run_ref = RefName::run(&self.run_id).map_err(crate::repo::RepoError::from)?;
        let published = repo.store().publish(
            Some(staging),
            OpRequest {
                operation: self.operation.to_owned(),
                message: Some(message),
                at: rfc3339(ended),
                ref_changes: vec![
                    RefChange { name: self.branch.as_str().to_owned(), old: self.tip, new: Some(commit_id) },
                    RefChange { name: run_ref.as_str().to_owned(), old: None, new: Some(commit_id) },
                ],
                head: None,
                drop_packs: Vec::new(),
            },
        )?;
        if let Some(memo) = made.memo {
            // A memo that cannot be put in place costs the next run time, nothing else.
            memo.finish(
                &repo.dot().join("index"),
                &engine::memo_key(&made.roots, setup.options.max_pairs_per_task),
            )
            .ok();
        }
        if let Some(outlines) = made.outlines {
            // So do outlines.
            outlines.keep(&repo.dot().join("index")).ok();
        }
        let files_written = files.commit()?;
        Ok(RunReport {
            run_id: self.run_id,
            commit_id: CommitId::new(commit_id),
            branch: self.branch.as_str().to_owned(),
            operation: self.operation.to_owned(),
            datasets: made.roots,
            summary: summary.1,
            drift: drift.1,
            units_computed: made.computed,
            duration_ms: u64::try_from(self.clock.now_ms() - self.started).unwrap_or(0),
            bytes_stored: published.packs.iter().map(|pack| pack.bytes).sum(),
            files_written,
        })
    }
}

/// A tree from file name to raw text.
fn config_tree(setup: &Setup, staging: &mut Staging) -> Result<RootId, OpError> {
    let mut entries = Vec::new();
    for (name, text) in &setup.files {
        let id = staging.write(Kind::Data, text)?;
        entries.push(tree::Entry { key: name.clone(), id, bytes: text.len() as u64 });
    }
    let mut builder = tree::Builder::new(staging);
    for entry in &entries {
        builder.push(entry)?;
    }
    Ok(builder.finish()?.root)
}
