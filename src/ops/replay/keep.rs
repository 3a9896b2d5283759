//! The end of a replay: objects, receipt, summary, drift, commit, rows, report, in one transaction.
//!
//! Rests on the store's publish and on `rows`. Invariants: the commit has the datasets of the one before it and the replays beside
//! them; its receipt names every prompt, answer and row; what fails before the publish leaves store, file and reports as they were.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::clock::{Clock, rfc3339};
use crate::model::Caller;
use crate::object::{CommitId, FindExt as _, Kind, ObjectId, RootId, Write as _};
use crate::ops::engine::Dataset;
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::progress::Progress;
use crate::ops::receipting::{changes, last_receipt};
use crate::ops::replay::ask::{Answered, Exchanged};
use crate::ops::replay::page::{self, PAGE};
use crate::ops::replay::rows::{FILE, Frame, Rows, row};
use crate::ops::replay::{Arm, Attempt, Options, Rate, Replayed, Report, SearchedSnapshot};
use crate::ops::run::{nearest_whole, tool};
use crate::ops::search::Corpus;
use crate::ops::setup::Setup;
use crate::ops::snapshot::{self, REPORTS, RunRecords};
use crate::pipeline::drift;
use crate::record::{
    Baseline, CategoryCounts, Counts, DriftReport, Exchange, InputSnapshot, Metrics, OutputSnapshot,
    PassFail, Record as _, RunSummary, SchemaTag, StageReceipt, StageSummary,
};
use crate::repo::{Commit, CommitSchema, REPLAY, REPLAYS, RefName, Repo, RepoError};
use crate::store::{OpRequest, RefChange, Staging};
use crate::tree;

/// What is to be kept, and where.
pub(super) struct Keep<'a> {
    pub repo: &'a Repo,
    pub options: &'a Options,
    pub branch: RefName,
    pub started: i64,
    pub clock: Clock,
    pub searched: Option<Corpus>,
    pub progress: &'a dyn Progress,
}

/// A replay with its row.
pub(super) struct Kept {
    pub exchanged: Exchanged,
    pub replayed: Replayed,
    row: Vec<u8>,
}

/// The latest receipt of each stage.
type Receipts = BTreeMap<String, (ObjectId, StageReceipt)>;

impl Keep<'_> {
    /// Stores everything.
    pub(super) fn commit(self, exchanged: Vec<Exchanged>, caller: Caller) -> Result<Report, OpError> {
        let repo = self.repo;
        let timeout = Duration::from_secs(repo.config().run.lease_timeout_s);
        let branch = self.branch.as_str().to_owned();
        let progress = self.progress;
        let _lease = repo.store().lease(&branch, REPLAY, timeout, &mut |holder| {
            progress.note(&format!("waiting for {holder}, which runs on {branch}"));
        })?;
        let _hold =
            repo.store().hold(timeout, &mut |holder| progress.note(&format!("waiting for {holder}")))?;
        let rows = Rows::begin(repo)?;
        // The branch may have moved while the model was asked: the replay stands behind what is there now.
        let tip = repo.store().get_ref(&branch);
        let parent = tip.map(CommitId::new).ok_or_else(|| {
            let message = format!("the branch {branch} is not there any more");
            OpError::new(ErrorKind::Outside, message, "look at `distill branch`, and run the command again")
        })?;
        let base = repo.commit(parent)?;
        let run_id = self.run_id();
        let ended = self.clock.now_ms().max(self.started);
        let ts = rfc3339(ended);
        let snapshot = self.searched.as_ref().map(|corpus| SearchedSnapshot {
            name: corpus.name.clone(),
            commit_id: corpus.commit,
            root: corpus.root,
        });
        let mut kept = Vec::new();
        for (n, exchanged) in (1..).zip(exchanged) {
            kept.push(keep(&run_id, &ts, n, snapshot.as_ref(), exchanged)?);
        }

        let mut staging = repo.store().staging()?;
        let replays = write_replays(&kept, &mut staging)?;
        let mut receipts = before(repo, &base)?;
        let receipt = self.receipt(&run_id, ended, &base, &receipts, (&kept, replays), &staging)?;
        let receipt_bytes = receipt.to_object_bytes()?;
        let receipt_id = staging.write(Kind::Data, &receipt_bytes)?;
        receipts.insert(REPLAY.to_owned(), (receipt_id, receipt.clone()));
        let summary = summary(repo, &base, &run_id, receipt_id, &receipt)?;
        let drift = self.drift(&run_id, parent, &base, &summary.metrics, &staging)?;
        let passed = kept.iter().filter(|kept| kept.replayed.judgement.passes()).count();
        let message = self.options.message.clone();
        let message = message.unwrap_or_else(|| format!("replay: {passed} of {} answers passed", kept.len()));
        let mut datasets = base.made();
        datasets.insert(REPLAYS.to_owned(), replays);
        let commit = Commit {
            schema: CommitSchema::V1,
            run_id: run_id.clone(),
            operation: REPLAY.to_owned(),
            parents: vec![parent],
            generation: base.generation + 1,
            committed_at: ts.clone(),
            author: repo.config().author.clone(),
            message: message.clone(),
            datasets,
            receipts: receipts_tree(&receipts, &mut staging)?,
            summary_id: Some(staging.write(Kind::Data, &summary.to_object_bytes()?)?),
            drift_id: Some(staging.write(Kind::Data, &drift.to_object_bytes()?)?),
            config_id: base.config_id,
            config_files: base.config_files,
            tool: tool(),
        };
        let commit_bytes = commit.to_bytes().map_err(|error| {
            let message = format!("the commit cannot be written: {error}");
            OpError::new(ErrorKind::Usage, message, "check the message and the author")
        })?;
        let commit_id = staging.write(Kind::Data, &commit_bytes)?;

        let rates = rates(&kept);
        let page = page::markdown(repo, &commit, parent, &kept, &rates, snapshot.as_ref())?;
        let mut files = snapshot::worktree(repo)?.begin()?;
        for (file, bytes) in RunRecords::load(&staging, &commit)?.files() {
            files.put(&file, &bytes)?;
        }
        let report = format!("{REPORTS}{PAGE}");
        files.put(&report, page.as_bytes())?;
        files.check(self.options.force, &|_| false)?;

        caller.finish()?;
        let lines: Vec<Vec<u8>> = kept.iter().map(|kept| kept.row.clone()).collect();
        rows.announce(&run_id, &lines)?;
        let change = |name: &str, old| RefChange { name: name.to_owned(), old, new: Some(commit_id) };
        let run_ref = RefName::run(&run_id).map_err(RepoError::from)?;
        let request = OpRequest {
            operation: REPLAY.to_owned(),
            message: Some(message),
            at: ts,
            ref_changes: vec![change(&branch, tip), change(run_ref.as_str(), None)],
            head: None,
            drop_packs: Vec::new(),
        };
        if let Err(error) = repo.store().publish(Some(staging), request) {
            // Where the store cannot be asked, the note stays, and whoever comes next looks again.
            if repo.store().refresh().is_ok() && repo.store().get_ref(run_ref.as_str()).is_none() {
                rows.forget()?;
            }
            return Err(error.into());
        }
        let committed = |mut error: OpError, rest: &str| {
            error.hint.push_str(rest);
            error
        };
        rows.append()
            .map_err(|e| committed(e, "; the replay is committed, and the next one appends its rows"))?;
        files.commit(self.options.force, &|_| false).map_err(|e| {
            committed(e.into(), "; the replay is committed, and `distill checkout` completes the files")
        })?;
        let all = |arm| rates.iter().filter(|rate| rate.arm == arm).all(|rate| rate.passed == rate.of);
        let helped = rates.iter().any(|rate| rate.arm == Arm::Retrieval);
        Ok(Report {
            run_id,
            commit_id: CommitId::new(commit_id),
            branch,
            snapshot,
            passed: all(if helped { Arm::Retrieval } else { Arm::Baseline }),
            rates,
            items: kept.into_iter().map(|kept| kept.replayed).collect(),
            report,
            rows: FILE.to_owned(),
            rows_are_read: rows_are_read(repo),
        })
    }

    /// An id from the time; the same instant twice gets a number.
    fn run_id(&self) -> String {
        let time: String = rfc3339(self.started).chars().filter(|c| !"-:.".contains(*c)).collect();
        let stem = format!("{REPLAY}-{}", &time[..15]);
        let taken = |id: &str| self.repo.store().get_ref(&format!("runs/{id}")).is_some();
        if !taken(&stem) {
            return stem;
        }
        (2..=u64::MAX).map(|n| format!("{stem}-{n}")).find(|id| !taken(id)).unwrap_or(stem)
    }

    fn receipt(
        &self,
        run_id: &str,
        ended: i64,
        base: &Commit,
        before: &Receipts,
        (kept, replays): (&[Kept], RootId),
        staging: &Staging,
    ) -> Result<StageReceipt, OpError> {
        let config_id = base.config_id.ok_or_else(|| {
            let message = format!("the commit of `{}` holds no run", base.run_id);
            OpError::new(ErrorKind::Usage, message, "run `distill run-all` first")
        })?;
        let mut inputs = Vec::new();
        if let Some(corpus) = &self.searched {
            let totals = tree::totals(self.repo.store(), corpus.root)?;
            let dataset = format!("corpus:{}:{}", corpus.commit.object(), corpus.dataset);
            inputs.push(InputSnapshot { bytes: totals.bytes, dataset, root: corpus.root, rows: totals.rows });
        }
        let totals = tree::totals(staging, replays)?;
        let count = kept.len() as u64;
        let mut receipt = StageReceipt {
            config_id,
            counts: Counts { consumed: count, records: count, rows_in: count, ..Counts::default() },
            coverage: Vec::new(),
            duration_ms: u64::try_from(ended - self.started).unwrap_or(0),
            ended_at: rfc3339(ended),
            errors: Vec::new(),
            exchanges: kept.iter().flat_map(exchanges).collect(),
            inputs,
            outputs: vec![OutputSnapshot {
                bytes: totals.bytes,
                dataset: REPLAYS.to_owned(),
                jsonl_blake3: None,
                jsonl_sha256: None,
                root: replays,
                rows: totals.rows,
            }],
            previous: last_receipt(base, before),
            quarantined_by: BTreeMap::new(),
            run_id: run_id.to_owned(),
            schema: SchemaTag::new(),
            skipped_by: BTreeMap::new(),
            stage: REPLAY.to_owned(),
            started_at: rfc3339(self.started),
            tool: tool(),
            validation_pass: true,
            warnings: Vec::new(),
        };
        let failed = kept.iter().filter(|kept| !kept.replayed.judgement.passes()).count();
        if failed > 0 {
            receipt.warnings.push(format!("{failed} of {count} answers did not pass and need a person"));
        }
        for violation in receipt.validate() {
            receipt.errors.push(violation.to_string());
        }
        receipt.validation_pass = receipt.errors.is_empty();
        Ok(receipt)
    }

    /// What moved since the nearest earlier run of everything: nothing that this commit did.
    fn drift(
        &self,
        run_id: &str,
        parent: CommitId,
        base: &Commit,
        metrics: &Metrics,
        staging: &Staging,
    ) -> Result<DriftReport, OpError> {
        let mut datasets = Vec::new();
        let mut compared = None;
        if let Some((id, whole)) = nearest_whole(self.repo, Some(parent))? {
            for dataset in Dataset::ALL {
                let name = dataset.name();
                if let (Some(a), Some(b)) = (whole.dataset(name), base.dataset(name)) {
                    datasets.push(changes(staging, name, a, b)?);
                }
            }
            if let Some(before) = self.repo.metrics(&whole)? {
                compared = Some((Baseline { commit_id: id, run_id: whole.run_id.clone() }, before));
            }
        }
        let baseline = compared.as_ref().map(|(baseline, metrics)| (baseline.clone(), metrics));
        Ok(drift::report(run_id, baseline, metrics, &self.repo.config().drift, datasets, false))
    }
}

/// Makes the row of one replay.
fn keep(
    run_id: &str,
    ts: &str,
    n: u64,
    snapshot: Option<&SearchedSnapshot>,
    exchanged: Exchanged,
) -> Result<Kept, OpError> {
    let replay_id = format!("{run_id}-{n:04}");
    let attempts: Vec<Attempt> = exchanged.answers.iter().map(attempt).collect();
    let frame = Frame { replay_id: &replay_id, run_id, ts, snapshot, attempts: &attempts };
    let row = row(&frame, &exchanged)?;
    let last = exchanged.last();
    let judgement = last
        .map(|last| last.judgement.clone())
        .ok_or_else(|| OpError::new(ErrorKind::Outside, "a task was not asked", "run the command again"))?;
    let replayed = Replayed {
        task_id: exchanged.task.id.clone(),
        task: exchanged.task.text.clone(),
        arm: exchanged.arm,
        verdict: if judgement.passes() { "accepted" } else { "needs_human_review" },
        answer: last.map(|last| last.completion.text.clone()).unwrap_or_default(),
        judgement,
        records: exchanged.prompt.records.clone(),
        attempts,
        prompt_id: exchanged.prompt.id,
        row_id: ObjectId::of(&row),
        synthetic_depth: exchanged.synthetic_depth,
        replay_id,
    };
    Ok(Kept { exchanged, replayed, row })
}

fn attempt(answered: &Answered) -> Attempt {
    let Answered { role, provider, model, completion, judgement, id, .. } = answered;
    Attempt {
        role: *role,
        provider: provider.clone(),
        model: model.clone(),
        latency_ms: completion.latency_ms,
        prompt_tokens: completion.prompt_tokens,
        completion_tokens: completion.completion_tokens,
        faults: judgement.faults.clone(),
        answer_id: *id,
    }
}

fn exchanges(kept: &Kept) -> impl Iterator<Item = Exchange> {
    let Kept { exchanged, replayed, .. } = kept;
    exchanged.answers.iter().map(move |answered| Exchange {
        answer_id: answered.id,
        complete: answered.judgement.complete,
        completion_tokens: answered.completion.completion_tokens,
        grounded: answered.judgement.grounded,
        latency_ms: answered.completion.latency_ms,
        model: answered.model.clone(),
        prompt_id: exchanged.prompt.id,
        prompt_tokens: answered.completion.prompt_tokens,
        provider: answered.provider.clone(),
        replay_id: replayed.replay_id.clone(),
        retrieved: exchanged.prompt.records.iter().map(|record| record.id).collect(),
        role: answered.role,
        row_id: replayed.row_id,
        task_id: replayed.task_id.clone(),
    })
}

/// Writes the dataset: `<replay id>/answer-<n>`, `…/prompt` and `…/row`.
fn write_replays(kept: &[Kept], staging: &mut Staging) -> Result<RootId, OpError> {
    let mut entries = BTreeMap::new();
    for Kept { exchanged, replayed, row } in kept {
        let answers = (1..).zip(&exchanged.answers).map(|(n, a)| (format!("answer-{n}"), a.bytes.as_slice()));
        let others =
            [("prompt".to_owned(), exchanged.prompt.bytes.as_slice()), ("row".to_owned(), row.as_slice())];
        for (part, bytes) in answers.chain(others) {
            let key = format!("{}/{part}", replayed.replay_id);
            let id = staging.write(Kind::Data, bytes)?;
            entries.insert(key.clone(), tree::Entry { key, id, bytes: bytes.len() as u64 });
        }
    }
    let mut builder = tree::Builder::new(staging);
    for entry in entries.values() {
        builder.push(entry)?;
    }
    Ok(builder.finish()?.root)
}

fn before(repo: &Repo, base: &Commit) -> Result<Receipts, OpError> {
    let receipts = repo.receipts(base)?;
    Ok(receipts.into_iter().map(|(id, receipt)| (receipt.stage.clone(), (id, receipt))).collect())
}

fn receipts_tree(receipts: &Receipts, staging: &mut Staging) -> Result<RootId, OpError> {
    let mut builder = tree::Builder::new(staging);
    for (stage, (id, receipt)) in receipts {
        let bytes = receipt.to_object_bytes()?.len() as u64;
        builder.push(&tree::Entry { key: stage.clone(), id: *id, bytes })?;
    }
    Ok(builder.finish()?.root)
}

/// The summary: the metrics are those of the datasets, which are as they were.
fn summary(
    repo: &Repo,
    base: &Commit,
    run_id: &str,
    receipt_id: ObjectId,
    receipt: &StageReceipt,
) -> Result<RunSummary, OpError> {
    let earlier = match base.summary_id {
        Some(id) => Some(RunSummary::parse(&repo.store().find(&id)?)?),
        None => None,
    };
    let none = (CategoryCounts::default(), Metrics::default());
    let (categories, metrics) = earlier.map_or(none, |earlier| (earlier.categories, earlier.metrics));
    let counts = receipt.counts;
    Ok(RunSummary {
        categories,
        metrics,
        notes: vec!["replay alone: the other datasets are as they were".to_owned()],
        run_id: run_id.to_owned(),
        schema: SchemaTag::new(),
        stages: vec![StageSummary { counts, receipt: receipt_id, stage: REPLAY.to_owned() }],
        totals: counts,
        verdict: if receipt.validation_pass { PassFail::Pass } else { PassFail::Fail },
    })
}

fn rates(kept: &[Kept]) -> Vec<Rate> {
    let mut rates = Vec::new();
    for arm in [Arm::Retrieval, Arm::Baseline] {
        let of_arm = || kept.iter().filter(|kept| kept.replayed.arm == arm);
        let of = of_arm().count() as u64;
        if of > 0 {
            let passed = of_arm().filter(|kept| kept.replayed.judgement.passes()).count() as u64;
            rates.push(Rate { arm, passed, of });
        }
    }
    rates
}

/// Whether a spec reads the file of rows.
fn rows_are_read(repo: &Repo) -> bool {
    // A configuration that cannot be used is said by the next run; the replay is committed.
    let setup = Setup::load(&repo.dot(), repo.config().exports.clone());
    setup.is_ok_and(|setup| setup.specs.iter().any(|(_, spec)| spec.files().contains(FILE)))
}
