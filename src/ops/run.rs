//! `run-all` and the one-shot stages: from files to a commit.
//!
//! Rests on the engine for the datasets; this file orders the steps. Invariants: everything is computed, read back and
//! judged before the one publish that moves the branch; a run that stops for any reason leaves the store and the working
//! tree as they were; the wall clock and the run id reach receipts, summary and commit only.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::base::clock::Clock;
use crate::base::clock::rfc3339;
use crate::object::CommitId;
use crate::object::RootId;
use crate::ops::engine;
use crate::ops::engine::{Dataset, Plan, Prefix, Rework, SourceFile, Stored, Tallies, Wanted};
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::fault::{Fault, Planted};
use crate::ops::loss::{
    KnownInput, file_input, held, known_inputs, merged_input, no_sources, refuse_loss, refuse_vanished,
};
use crate::ops::merge::MERGE;
use crate::ops::progress::Progress;
use crate::ops::replay;
use crate::ops::scratch::Scratch;
use crate::ops::seal::{Made, Seal};
use crate::ops::setup::Setup;
use crate::record::DriftReport;
use crate::record::RunSummary;
use crate::record::Tool;
use crate::repo::{Commit, REPLAY, RefName, Repo, Site};
use crate::store::{Head, Staging};

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Everything, from files to exports.
    All,
    /// The source rows alone.
    Ingest,
    /// Sources and evidence.
    Evidence,
    /// Scored runs, from the evidence of HEAD.
    Score,
    /// The RAG corpus, from the scored evidence of HEAD.
    Rag,
    /// The SFT corpus.
    Sft,
    /// The preference corpus.
    Preference,
    /// The three corpora.
    Exports,
}

impl What {
    /// The operation's name in commits and in the operation log.
    pub const fn operation(self) -> &'static str {
        match self {
            Self::All => "run-all",
            Self::Ingest => "ingest",
            Self::Evidence => "build-evidence",
            Self::Score => "score",
            Self::Rag => "export-rag",
            Self::Sft => "export-sft",
            Self::Preference => "export-preference",
            Self::Exports => "export-all",
        }
    }

    const fn wanted(self) -> Wanted {
        let exports = matches!(self, Self::All | Self::Exports);
        Wanted {
            evidence: matches!(self, Self::All | Self::Evidence),
            score: matches!(self, Self::All | Self::Score),
            rag: exports || matches!(self, Self::Rag),
            sft: exports || matches!(self, Self::Sft),
            preference: exports || matches!(self, Self::Preference),
        }
    }

    /// Whether it reads source files; the others work on what HEAD holds.
    const fn reads_sources(self) -> bool {
        matches!(self, Self::All | Self::Ingest | Self::Evidence)
    }

    /// The stages whose receipts are new, in order.
    pub(crate) const fn stages(self) -> &'static [&'static str] {
        match self {
            Self::All => &[
                "sources",
                "evidence",
                "score",
                "export-rag",
                "export-sft",
                "export-preference",
                "quarantine",
            ],
            Self::Ingest => &["sources", "quarantine"],
            Self::Evidence => &["sources", "evidence", "quarantine"],
            Self::Score => &["score", "quarantine"],
            Self::Rag => &["export-rag", "quarantine"],
            Self::Sft => &["export-sft", "quarantine"],
            Self::Preference => &["export-preference", "quarantine"],
            Self::Exports => &["export-rag", "export-sft", "export-preference", "quarantine"],
        }
    }
}

/// How to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What to run.
    pub what: What,
    /// The run's id; made from the time when absent.
    pub run_id: Option<String>,
    /// The commit's message; says what ran when absent.
    pub message: Option<String>,
    /// The branch to commit to; HEAD's when absent.
    pub branch: Option<String>,
    /// Whether files may have vanished or lost rows since the last run.
    pub accept_source_loss: bool,
    /// Whether files of the working tree that were changed by hand may be overwritten.
    pub force: bool,
    /// Overrides `exports.include_partial`.
    pub include_partial: Option<bool>,
    /// Overrides `run.threads`.
    pub threads: Option<usize>,
    /// Whether the exports and reports are written to the working tree.
    pub write_files: bool,
    /// Defects to plant: none, but where `acceptance --power` shows that its checks can fail.
    pub faults: Vec<Fault>,
}

impl RunOptions {
    /// Runs `what` with everything else as configured.
    pub const fn new(what: What) -> Self {
        Self {
            what,
            run_id: None,
            message: None,
            branch: None,
            accept_source_loss: false,
            force: false,
            include_partial: None,
            threads: None,
            write_files: true,
            faults: Vec::new(),
        }
    }
}

/// What a run did.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The run.
    pub run_id: String,
    /// Its commit.
    pub commit_id: CommitId,
    /// The branch it moved.
    pub branch: String,
    /// The operation.
    pub operation: String,
    /// The root of each dataset.
    pub datasets: BTreeMap<String, RootId>,
    /// Stages, totals, metrics, verdict.
    pub summary: RunSummary,
    /// What moved since the nearest earlier run-all.
    pub drift: DriftReport,
    /// Units computed in this run; the others were known from the last.
    pub units_computed: u64,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
    /// Bytes that this run added to the store.
    pub bytes_stored: u64,
    /// What was written to the working tree.
    pub files_written: Vec<String>,
}

/// Runs.
///
/// # Errors
/// Configuration that cannot be used, sources that cannot be read or were lost, files changed by hand, another run that
/// does not end, a full disk, damage. The store is then as it was.
pub fn run(
    site: Site,
    options: &RunOptions,
    clock: Clock,
    progress: &dyn Progress,
) -> Result<RunReport, OpError> {
    let mut exports = site.config.exports.clone();
    if let Some(include_partial) = options.include_partial {
        exports.include_partial = include_partial;
    }
    let setup = Setup::load(&site.dot(), exports)?;
    let reads_sources = options.what.reads_sources();
    if reads_sources && !site.has_store() {
        // No store is made for a run that has nothing to work on.
        no_sources(&site.base, &setup, &engine::discover(&site.root, &site.base, &setup.specs)?, None)?;
    }
    let repo = if reads_sources { site.open_or_init()? } else { site.open()? };
    let started = clock.now_ms();
    let branch = branch_of(&repo, options)?;
    let timeout = Duration::from_secs(repo.config().run.lease_timeout_s);
    let _lease = repo.store().lease(branch.as_str(), options.what.operation(), timeout, &mut |holder| {
        progress.note(&format!("waiting for {holder}, which runs on {}", branch.as_str()));
    })?;
    let _hold = repo.store().hold(timeout, &mut |holder| progress.note(&format!("waiting for {holder}")))?;
    if reads_sources {
        // What a replay committed and could not append any more is read by this run.
        replay::settle(&repo)?;
    }
    let tip = repo.store().get_ref(branch.as_str());
    // A branch that is not there yet begins where HEAD stands.
    let parent = tip.map(CommitId::new).or_else(|| repo.head_commit());
    let base = parent.map(|id| repo.commit(id)).transpose()?;
    if base.is_none() && !reads_sources {
        return Err(OpError::new(
            ErrorKind::Usage,
            format!("{} works on the evidence of HEAD, and there is no commit yet", options.what.operation()),
            "run `distill run-all` first",
        ));
    }
    let files = crate::ops::files::Files::begin(&repo, &branch, options)?;
    let run_id = run_id(&repo, options, started)?;
    let scratch = Scratch::new(&repo.dot().join("tmp"), branch.as_str())?;
    let mut staging = repo.store().staging()?;
    let planted = Planted::new(&options.faults, &run_id);
    let place = (scratch.path(), planted.as_ref());
    let made = make(&repo, options, &setup, base.as_ref(), place, &mut staging, progress)?;

    let note = (options.what != What::All)
        .then(|| format!("{} alone: the other datasets are as they were", options.what.operation()));
    let seal = Seal {
        repo: &repo,
        setup: &setup,
        operation: options.what.operation(),
        stages: options.what.stages(),
        run_id,
        branch: &branch,
        tip,
        baseline: nearest_whole(&repo, parent)?,
        parents: parent.into_iter().zip(base).collect(),
        note,
        message: options.message.clone(),
        started,
        clock,
        scratch: scratch.path(),
        planted: planted.as_ref(),
        progress,
    };
    seal.commit(made, |summary| default_message(options.what, summary), staging, files)
}

/// Whether an operation of this name makes every dataset.
pub(crate) fn is_whole(operation: &str) -> bool {
    [What::All.operation(), MERGE].contains(&operation)
}

/// The nearest commit at or behind `start` that made every dataset: what drift is measured against.
pub(crate) fn nearest_whole(
    repo: &Repo,
    start: Option<CommitId>,
) -> Result<Option<(CommitId, Commit)>, OpError> {
    for found in repo.ancestors(start) {
        let (id, commit) = found?;
        if is_whole(&commit.operation) {
            return Ok(Some((id, commit)));
        }
    }
    Ok(None)
}

/// Name and version of this program.
pub(crate) fn tool() -> Tool {
    Tool { name: "distill".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}

/// The branch a run commits to.
pub(crate) fn branch_of(repo: &Repo, options: &RunOptions) -> Result<RefName, OpError> {
    let name = match (&options.branch, repo.store().head()) {
        (Some(name), _) => name.clone(),
        (None, Head::Branch(full)) => full.trim_start_matches("heads/").to_owned(),
        (None, Head::Detached(id)) => {
            return Err(OpError::new(
                ErrorKind::Refused,
                format!("HEAD is detached at {}: a run needs a branch to commit to", id.short(12)),
                "name one with `--branch NAME`, or return with `distill checkout main`",
            ));
        }
    };
    Ok(RefName::branch(&name).map_err(crate::repo::RepoError::from)?)
}

/// The id asked for, or one from the time; the same instant twice gets a number.
pub(crate) fn run_id(repo: &Repo, options: &RunOptions, started: i64) -> Result<String, OpError> {
    if let Some(id) = &options.run_id {
        let name = RefName::run(id).map_err(crate::repo::RepoError::from)?;
        if repo.store().get_ref(name.as_str()).is_some() {
            return Err(OpError::new(
                ErrorKind::Refused,
                format!("there is a run called `{id}` already"),
                "choose another --run-id, or leave it out",
            ));
        }
        return Ok(id.clone());
    }
    let time: String = rfc3339(started).chars().filter(|c| !"-:.".contains(*c)).collect();
    let stem = format!("run-{}", &time[..15]);
    let taken = |id: &str| repo.store().get_ref(&format!("runs/{id}")).is_some();
    if !taken(&stem) {
        return Ok(stem);
    }
    Ok((2..=u64::MAX).map(|n| format!("{stem}-{n}")).find(|id| !taken(id)).unwrap_or(stem))
}

fn make(
    repo: &Repo,
    options: &RunOptions,
    setup: &Setup,
    base: Option<&Commit>,
    (scratch, planted): (&Path, Option<&Planted>),
    staging: &mut Staging,
    progress: &dyn Progress,
) -> Result<Made, OpError> {
    let threads = options.threads.unwrap_or(repo.config().run.threads);
    let tmp_dir = scratch.to_owned();
    let wanted = options.what.wanted();
    if !options.what.reads_sources() {
        let bases = base.map(Commit::made).unwrap_or_default();
        let plan = Rework {
            store: repo.store(),
            tmp_dir,
            policy: &setup.policy,
            options: &setup.options,
            scanner: setup.scanner()?,
            wanted,
            bases,
            threads,
            progress,
        };
        let (roots, tallies) = engine::rework(&plan, staging)?;
        let computed = tallies.score.counts.rows_in;
        return Ok(Made {
            roots,
            tallies,
            inputs: Vec::new(),
            coverage: Vec::new(),
            memo: None,
            outlines: None,
            computed,
        });
    }
    let mut files = engine::discover(repo.root(), repo.base(), &setup.specs)?;
    no_sources(repo.base(), setup, &files, base)?;
    let known = known_inputs(repo, base)?;
    let stored = held(repo, base, &known, setup, &mut files)?;
    if !options.accept_source_loss {
        refuse_vanished(&files, &known)?;
    }
    if options.what == What::Ingest {
        let made = ingest(repo, setup, base, &known, (&files, stored.as_ref(), threads), staging, progress)?;
        if !options.accept_source_loss
            && let Some(base) = base
        {
            refuse_loss(base, &made.roots, &known, staging)?;
        }
        return Ok(made);
    }
    // What an ingest changed since the last full run is in the files, and a replay changed nothing; what that run knows of
    // them still holds.
    let mut known_by = base.cloned();
    while let Some(commit) = &known_by
        && (options.what == What::All && commit.operation == What::Ingest.operation()
            || commit.operation == REPLAY)
        && let Some(parent) = commit.parents.first()
    {
        known_by = Some(repo.commit(*parent)?);
    }
    let plan = Plan {
        store: repo.store(),
        index_dir: repo.dot().join("index"),
        tmp_dir,
        specs: &setup.specs,
        files,
        policy: &setup.policy,
        policy_id: setup.policy_id,
        options: &setup.options,
        scanner: setup.scanner()?,
        wanted,
        threads,
        base: known_by
            .map(|b| (engine::memo_key(&b.datasets, setup.options.max_pairs_per_task), b.datasets))
            .map(|(key, datasets)| (datasets, key)),
        stored,
        planted: planted.cloned(),
        progress,
    };
    let made = engine::run(&plan, staging)?;
    if !options.accept_source_loss
        && let Some(base) = base
    {
        refuse_loss(base, &made.roots, &known, staging)?;
    }
    let memo = if wanted == Wanted::ALL { Some(made.memo) } else { None };
    let inputs = labelled(made.inputs, plan.stored.as_ref());
    Ok(Made {
        roots: made.roots,
        tallies: made.tallies,
        inputs,
        coverage: made.coverage,
        memo,
        outlines: None,
        computed: made.computed,
    })
}

/// The inputs of a `sources` receipt: files that were read here, and those whose rows a merge brought.
fn labelled(inputs: Vec<(String, Prefix)>, stored: Option<&Stored<'_>>) -> Vec<(String, Prefix)> {
    let label = |name: String| {
        let merged = stored.is_some_and(|stored| stored.files.contains_key(&name));
        if merged { merged_input(&name) } else { file_input(&name) }
    };
    inputs.into_iter().map(|(name, prefix)| (label(name), prefix)).collect()
}

/// The dataset `sources` alone; the others are as they were.
fn ingest(
    repo: &Repo,
    setup: &Setup,
    base: Option<&Commit>,
    known: &BTreeMap<String, KnownInput>,
    (files, stored, threads): (&[SourceFile], Option<&Stored<'_>>, usize),
    staging: &mut Staging,
    progress: &dyn Progress,
) -> Result<Made, OpError> {
    let mut roots = base.map(Commit::made).unwrap_or_default();
    let receipt = base.map(|base| repo.receipt(base, "sources")).transpose()?.flatten();
    let sources = Dataset::Sources.name();
    // What a receipt says of files speaks of the dataset that it put out, and of no other.
    let receipt = receipt.filter(|receipt| {
        roots.get(sources).is_some_and(|root| receipt.outputs.iter().any(|output| output.root == *root))
    });
    let prefix = |known: &KnownInput| {
        let input = &known.snapshot;
        Prefix { hash: *input.root.object(), bytes: input.bytes, units: input.rows }
    };
    let index_dir = repo.dot().join("index");
    let plan = engine::Ingest {
        store: repo.store(),
        files,
        index_dir: &index_dir,
        stored,
        base: (roots.get(sources).filter(|_| receipt.is_some()))
            .map(|root| (*root, known.iter().map(|(name, input)| (name.clone(), prefix(input))).collect())),
        same_cut: receipt.is_some_and(|r| r.config_id == setup.config_id() && r.tool == tool()),
        threads,
        progress,
    };
    let made = engine::ingest(&plan, staging)?;
    roots.insert(sources.to_owned(), made.root);
    let tallies = Tallies { sources: made.tally, ..Tallies::default() };
    let (computed, inputs) = (made.read, labelled(made.inputs, stored));
    let outlines = Some(made.outlines);
    Ok(Made { roots, tallies, inputs, coverage: Vec::new(), memo: None, outlines, computed })
}

fn default_message(what: What, summary: &RunSummary) -> String {
    let m = &summary.metrics;
    match what {
        What::All | What::Exports => format!(
            "{}: {} RAG, {} SFT, {} preference pairs",
            what.operation(),
            m.p4_rag_rows,
            m.p4_sft_rows,
            m.p4_pref_pairs
        ),
        What::Ingest => format!("ingest: {} rows", summary.totals.rows_in),
        What::Evidence => format!("build-evidence: {} records", m.p2_evidence_rows),
        What::Score => {
            format!("score: {} accepted, {} partial, {} rejected", m.p3_accepted, m.p3_partial, m.p3_rejected)
        }
        What::Rag => format!("export-rag: {} rows", m.p4_rag_rows),
        What::Sft => format!("export-sft: {} rows", m.p4_sft_rows),
        What::Preference => format!("export-preference: {} pairs", m.p4_pref_pairs),
    }
}
