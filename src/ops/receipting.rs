//! Receipts, summary and drift: what a run says of itself.
//!
//! Rests on counts and trees. Invariants: each stage's inputs are the roots that the stage before put out; every receipt
//! names the one before it, across runs; counts and digests are those of the bytes that were stored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::clock::rfc3339;
use crate::object::CommitId;
use crate::object::FindExt as _;
use crate::object::Kind;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::object::Write as _;
use crate::ops::engine::exports;
use crate::ops::engine::{Dataset, Prefix, Tallies, Tally};
use crate::ops::error::OpError;
use crate::ops::explain::changed_parts;
use crate::ops::fault::{self, Fault, Planted};
use crate::ops::progress::Progress;
use crate::ops::run::tool;
use crate::ops::setup::Setup;
use crate::pipeline::drift;
use crate::pipeline::metrics::metrics;
use crate::record::Baseline;
use crate::record::Counts;
use crate::record::DatasetChanges;
use crate::record::DriftReport;
use crate::record::InputSnapshot;
use crate::record::OutputSnapshot;
use crate::record::PassFail;
use crate::record::Record;
use crate::record::RunSummary;
use crate::record::SchemaTag;
use crate::record::Severity;
use crate::record::StageReceipt;
use crate::record::StageSummary;
use crate::record::StreamCoverage;
use crate::repo::worktree::single_file;
use crate::repo::{Commit, REPLAY, Repo};
use crate::store::Staging;
use crate::tree;

/// The export datasets with the stages that make them.
const EXPORTS: [(&str, Dataset); 3] =
    [("export-rag", Dataset::Rag), ("export-sft", Dataset::Sft), ("export-preference", Dataset::Preference)];

/// The digests of an export's JSONL, and where it lies if this run wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    pub dataset: &'static str,
    pub blake3: ObjectId,
    pub sha256: String,
    pub path: Option<PathBuf>,
}

/// What receipts are made from.
pub(crate) struct Ledgered<'a> {
    pub stages: &'a [&'static str],
    pub tallies: &'a Tallies,
    pub roots: &'a BTreeMap<String, RootId>,
    pub inputs: Vec<(String, Prefix)>,
    pub exports: &'a [Export],
    /// What the rows of each stream hold; part of the evidence stage's receipt.
    pub coverage: &'a [StreamCoverage],
}

/// Makes a run's receipts, summary and drift report.
pub(crate) struct Receipting<'a> {
    repo: &'a Repo,
    config_id: ObjectId,
    include_partial: bool,
    run_id: &'a str,
    started: i64,
    base: Option<&'a Commit>,
    planted: Option<&'a Planted>,
    /// The latest receipt of each stage before this run.
    before: BTreeMap<String, (ObjectId, StageReceipt)>,
}

impl<'a> Receipting<'a> {
    pub(crate) fn new(
        repo: &'a Repo,
        setup: &Setup,
        run_id: &'a str,
        started: i64,
        base: Option<&'a Commit>,
        planted: Option<&'a Planted>,
    ) -> Result<Self, OpError> {
        let mut before = BTreeMap::new();
        if let Some(base) = base {
            for entry in tree::iter(repo.store(), base.receipts) {
                let entry = entry?;
                let receipt = StageReceipt::parse(&repo.store().find(&entry.id)?)?;
                before.insert(entry.key, (entry.id, receipt));
            }
        }
        let include_partial = setup.options.include_partial;
        Ok(Self {
            repo,
            config_id: setup.config_id(),
            include_partial,
            run_id,
            started,
            base,
            planted,
            before,
        })
    }

    /// Writes each export that changed as JSONL into `scratch`, and takes the digests of the others from their receipts.
    pub(crate) fn exports(
        &self,
        roots: &BTreeMap<String, RootId>,
        scratch: &Path,
        staging: &Staging,
        progress: &dyn Progress,
    ) -> Result<Vec<Export>, OpError> {
        let words = exports::allowed_words(self.include_partial);
        let (mut made, mut datasets, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for (stage, dataset) in EXPORTS {
            let dataset = dataset.name();
            let Some(root) = roots.get(dataset).copied() else { continue };
            if let Some(known) = self.known_export(stage, dataset, root) {
                made.push(known);
                continue;
            }
            datasets.push(dataset);
            wanted.push(exports::Wanted {
                root,
                path: scratch.join(format!("{}.jsonl", dataset.replace('/', "-"))),
                allowed: (dataset == Dataset::Sft.name()).then_some(words),
                before: self.exported_before(dataset),
            });
        }
        let files = exports::write(staging, &wanted, self.planted, progress)?;
        for (dataset, file) in datasets.into_iter().zip(files) {
            made.push(Export { dataset, blake3: file.blake3, sha256: file.sha256, path: Some(file.path) });
        }
        Ok(made)
    }

    /// The root of an export at the commit before this run, and the file that should hold its rows.
    fn exported_before(&self, dataset: &str) -> Option<(RootId, PathBuf)> {
        let root = self.base?.dataset(dataset)?;
        Some((root, self.repo.root().join(single_file(dataset)?)))
    }

    fn known_export(&self, stage: &str, dataset: &'static str, root: RootId) -> Option<Export> {
        let (_, receipt) = self.before.get(stage)?;
        let output = receipt.outputs.iter().find(|o| o.dataset == dataset && o.root == root)?;
        let blake3 = output.jsonl_blake3.as_deref()?.parse().ok()?;
        Some(Export { dataset, blake3, sha256: output.jsonl_sha256.clone()?, path: None })
    }

    /// Makes one receipt a stage, in order, and stores them.
    pub(crate) fn receipts(
        &self,
        run: &Ledgered<'_>,
        ended: i64,
        staging: &mut Staging,
    ) -> Result<Vec<(ObjectId, StageReceipt)>, OpError> {
        let mut previous = self.base.and_then(|base| last_receipt(base, &self.before));
        let mut made = Vec::new();
        for stage in run.stages {
            let mut receipt = self.receipt(stage, run, ended, staging)?;
            receipt.previous = previous;
            let id = staging.write(Kind::Data, &receipt.to_object_bytes()?)?;
            previous = Some(id);
            made.push((id, receipt));
        }
        Ok(made)
    }

    fn receipt(
        &self,
        stage: &str,
        run: &Ledgered<'_>,
        ended: i64,
        staging: &Staging,
    ) -> Result<StageReceipt, OpError> {
        let (evidence, scored) = (Dataset::Evidence, Dataset::ScoredRuns);
        let (inputs, outputs, tally): (&[Dataset], &[Dataset], Tally) = match stage {
            "sources" => (&[], &[Dataset::Sources], run.tallies.sources.clone()),
            "evidence" => (&[Dataset::Sources], &[evidence], run.tallies.evidence.clone()),
            "score" => (&[evidence], &[scored], run.tallies.score.clone()),
            "export-rag" => (&[evidence, scored], &[Dataset::Rag], run.tallies.rag.clone()),
            "export-sft" => (&[evidence, scored], &[Dataset::Sft], run.tallies.sft.clone()),
            "export-preference" => {
                (&[evidence, scored], &[Dataset::Preference], run.tallies.preference.clone())
            }
            _ => (&[], &[Dataset::Quarantine, Dataset::Duplicates], refused(run.roots, staging)?),
        };
        let mut receipt = StageReceipt {
            config_id: self.config_id,
            counts: tally.counts,
            coverage: if stage == "evidence" { run.coverage.to_vec() } else { Vec::new() },
            duration_ms: u64::try_from(ended - self.started).unwrap_or(0),
            ended_at: rfc3339(ended),
            errors: Vec::new(),
            exchanges: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            previous: None,
            quarantined_by: tally.quarantined_by,
            run_id: self.run_id.to_owned(),
            schema: SchemaTag::new(),
            skipped_by: tally.skipped_by,
            stage: stage.to_owned(),
            started_at: rfc3339(self.started),
            tool: tool(),
            validation_pass: true,
            warnings: Vec::new(),
        };
        if stage == "sources" {
            for (name, prefix) in &run.inputs {
                receipt.inputs.push(InputSnapshot {
                    bytes: prefix.bytes,
                    dataset: name.clone(),
                    root: RootId::new(prefix.hash),
                    rows: prefix.units,
                });
            }
        }
        for dataset in inputs {
            let Some(root) = run.roots.get(dataset.name()).copied() else { continue };
            let totals = tree::totals(staging, root)?;
            let dataset = dataset.name().to_owned();
            receipt.inputs.push(InputSnapshot { bytes: totals.bytes, dataset, root, rows: totals.rows });
            if stage == "score"
                && fault::has(self.planted, Fault::BrokenChain)
                && let (Some(input), Some(other)) = (receipt.inputs.last_mut(), run.roots.get("sources"))
            {
                input.root = *other;
            }
        }
        for dataset in outputs {
            let Some(root) = run.roots.get(dataset.name()).copied() else { continue };
            let totals = tree::totals(staging, root)?;
            let export = run.exports.iter().find(|e| e.dataset == dataset.name());
            receipt.outputs.push(OutputSnapshot {
                bytes: totals.bytes,
                dataset: dataset.name().to_owned(),
                jsonl_blake3: export.map(|e| e.blake3.to_string()),
                jsonl_sha256: export.map(|e| e.sha256.clone()),
                root,
                rows: totals.rows,
            });
        }
        for violation in receipt.validate() {
            receipt.errors.push(violation.to_string());
        }
        receipt.validation_pass = receipt.errors.is_empty();
        Ok(receipt)
    }

    /// Makes the run summary and stores it.
    pub(crate) fn summary(
        &self,
        receipts: &[(ObjectId, StageReceipt)],
        tallies: &Tallies,
        note: Option<String>,
        staging: &mut Staging,
    ) -> Result<(ObjectId, RunSummary), OpError> {
        let scored = receipts.iter().any(|(_, r)| r.stage == "score");
        let earlier = self
            .base
            .and_then(|b| b.summary_id)
            .map(|id| -> Result<_, OpError> { Ok(RunSummary::parse(&self.repo.store().find(&id)?)?) });
        let earlier = earlier.transpose()?;
        let categories = match (&earlier, scored) {
            (Some(earlier), false) => earlier.categories,
            _ => tallies.categories,
        };
        let mut latest: BTreeMap<&str, &Counts> =
            self.before.iter().map(|(stage, (_, r))| (stage.as_str(), &r.counts)).collect();
        latest.extend(receipts.iter().map(|(_, r)| (r.stage.as_str(), &r.counts)));
        let stages: Vec<StageSummary> = (receipts.iter())
            .map(|(id, r)| StageSummary { counts: r.counts, receipt: *id, stage: r.stage.clone() })
            .collect();
        let passed = receipts.iter().all(|(_, r)| r.validation_pass);
        let summary = RunSummary {
            categories,
            metrics: metrics(latest, &categories),
            notes: note.into_iter().collect(),
            run_id: self.run_id.to_owned(),
            schema: SchemaTag::new(),
            totals: stages.iter().fold(Counts::default(), |sum, s| sum.plus(&s.counts)),
            stages,
            verdict: if passed { PassFail::Pass } else { PassFail::Fail },
        };
        let id = staging.write(Kind::Data, &summary.to_object_bytes()?)?;
        Ok((id, summary))
    }

    /// Compares with `baseline` and stores the report.
    pub(crate) fn drift(
        &self,
        summary: &RunSummary,
        roots: &BTreeMap<String, RootId>,
        setup: &Setup,
        baseline: Option<&(CommitId, Commit)>,
        staging: &mut Staging,
    ) -> Result<(ObjectId, DriftReport), OpError> {
        let mut datasets = Vec::new();
        let mut compared = None;
        let mut same_input_other_hash = false;
        let mut parts = Vec::new();
        if let Some((id, commit)) = baseline {
            for dataset in Dataset::ALL {
                let name = dataset.name();
                if let (Some(a), Some(b)) = (commit.dataset(name), roots.get(name)) {
                    datasets.push(changes(staging, name, a, *b)?);
                }
            }
            let same_input = commit.config_id == Some(setup.config_id())
                && commit.tool == tool()
                && commit.datasets.get("sources") == roots.get("sources");
            same_input_other_hash = same_input && commit.datasets != *roots;
            parts = changed_parts(self.repo, commit, setup, roots)?;
            if let Some(summary_id) = commit.summary_id {
                let before = RunSummary::parse(&self.repo.store().find(&summary_id)?)?.metrics;
                compared = Some((Baseline { commit_id: *id, run_id: commit.run_id.clone() }, before));
            }
        }
        let mut limits = self.repo.config().drift;
        if fault::has(self.planted, Fault::BlindDrift) {
            limits = drift::DriftLimits::new(f64::MAX, f64::MAX).unwrap_or_default();
        }
        let mut report = drift::report(
            self.run_id,
            compared.as_ref().map(|(baseline, metrics)| (baseline.clone(), metrics)),
            &summary.metrics,
            &limits,
            datasets,
            same_input_other_hash,
        );
        if report.severity > Severity::None {
            report.causes.extend(drift::due_to(&parts));
        }
        let id = staging.write(Kind::Data, &report.to_object_bytes()?)?;
        Ok((id, report))
    }

    /// A tree from stage name to the latest receipt of that stage.
    pub(crate) fn receipts_tree(
        &self,
        receipts: &[(ObjectId, StageReceipt)],
        staging: &mut Staging,
    ) -> Result<RootId, OpError> {
        let mut latest: BTreeMap<&str, (ObjectId, u64)> = BTreeMap::new();
        // A replay's receipt is of its own commit, as what it put out is.
        for (stage, (id, receipt)) in self.before.iter().filter(|(stage, _)| *stage != REPLAY) {
            latest.insert(stage, (*id, receipt.to_object_bytes()?.len() as u64));
        }
        for (id, receipt) in receipts {
            latest.insert(&receipt.stage, (*id, receipt.to_object_bytes()?.len() as u64));
        }
        let mut builder = tree::Builder::new(staging);
        for (stage, (id, bytes)) in latest {
            builder.push(&tree::Entry { key: stage.to_owned(), id, bytes })?;
        }
        Ok(builder.finish()?.root)
    }
}

/// The last receipt of a commit, of whose receipts `latest` has the newest of each stage: a replay's own, or that of the
/// stage that every run ends with.
pub(crate) fn last_receipt(
    commit: &Commit,
    latest: &BTreeMap<String, (ObjectId, StageReceipt)>,
) -> Option<ObjectId> {
    let own = latest.get(REPLAY).filter(|(_, receipt)| receipt.run_id == commit.run_id);
    own.or_else(|| latest.get("quarantine")).map(|(id, _)| *id)
}

/// The counts of the stage that gathers what was refused and repeated: all of it is kept.
fn refused(roots: &BTreeMap<String, RootId>, staging: &Staging) -> Result<Tally, OpError> {
    let mut tally = Tally::default();
    for dataset in [Dataset::Quarantine, Dataset::Duplicates] {
        if let Some(root) = roots.get(dataset.name()) {
            let rows = tree::totals(staging, *root)?.rows;
            tally.counts.rows_in += rows;
            tally.counts.consumed += rows;
            tally.counts.records += rows;
        }
    }
    Ok(tally)
}

/// How many rows of a dataset differ between two roots; reads only nodes that differ.
pub(crate) fn changes(
    staging: &Staging,
    dataset: &str,
    a: RootId,
    b: RootId,
) -> Result<DatasetChanges, OpError> {
    let mut counts = DatasetChanges { added: 0, dataset: dataset.to_owned(), modified: 0, removed: 0 };
    for change in tree::diff(staging, a, b) {
        let change = change?;
        match (change.before, change.after) {
            (None, _) => counts.added += 1,
            (_, None) => counts.removed += 1,
            _ => counts.modified += 1,
        }
    }
    Ok(counts)
}
