//! Making the union: rows and configuration joined, then one pass of the engine over what they came to.
//!
//! Rests on the engine, which reads the rows from the store. Invariants: the tree of sources that the pass makes is the
//! joined one; the pass starts from the side whose memo is here, which changes the time and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::base::clock::Clock;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::engine;
use crate::ops::engine::{Dataset, Plan, Prefix, SourceFile, Stored, StoredFile, Wanted};
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::files::Files;
use crate::ops::loss::{file_input, known_inputs, merged_input};
use crate::ops::merge::config;
use crate::ops::merge::sides::Loaded;
use crate::ops::merge::sources::{Known, Union, UnionFile, changed, files};
use crate::ops::merge::{MERGE, MergeOptions, MergeOutcome, MergeReport, TakenPart};
use crate::ops::progress::Progress;
use crate::ops::run::{What, run_id};
use crate::ops::scratch::Scratch;
use crate::ops::seal::{Made, Seal};
use crate::ops::setup::Setup;
use crate::record::{RunSummary, source_key};
use crate::repo::{RefName, Repo};
use crate::store::Staging;
use crate::tree;

/// How many files an error names.
const NAMED_MAX: usize = 5;

/// A merge that needs a commit.
pub(super) struct Job<'a> {
    pub repo: &'a Repo,
    pub options: &'a MergeOptions,
    pub branch: &'a RefName,
    pub tip: Option<ObjectId>,
    pub sides: &'a [Loaded],
    pub started: i64,
    pub clock: Clock,
    pub progress: &'a dyn Progress,
}

/// What the sides come to, before anything is made of it.
struct Joined {
    setup: Setup,
    /// The joined `sources`.
    root: RootId,
    /// Those of the sides.
    roots: Vec<RootId>,
    files: BTreeMap<String, UnionFile>,
    claimed: Vec<SourceFile>,
}

impl Job<'_> {
    /// Joins, and unless there are conflicts or it is a dry run, makes the union and commits it.
    pub(super) fn run(&self, report: &mut MergeReport) -> Result<(), OpError> {
        let (repo, options) = (self.repo, self.options);
        let tmp = repo.dot().join("tmp");
        // A dry run holds no lease, so its folder is no run's.
        let own = format!("{} dry {}", self.branch.as_str(), std::process::id());
        let scratch = Scratch::new(&tmp, if options.dry_run { &own } else { self.branch.as_str() })?;
        let mut nodes = repo.store().staging()?;
        let Some(joined) = self.join(&mut nodes, scratch.path(), report)? else {
            report.outcome = MergeOutcome::Conflicts;
            return Ok(());
        };
        report.outcome = MergeOutcome::Merged;
        if options.dry_run {
            return Ok(());
        }
        let files = Files::begin(repo, self.branch, &options.run)?;
        let mut staging = repo.store().staging()?;
        let made = self.make(&joined, &nodes, scratch.path(), &mut staging)?;
        drop(nodes);
        let parents: Vec<_> = self.sides.iter().map(|side| (side.id, side.commit.clone())).collect();
        let runs: Vec<&str> = self.sides.iter().map(|side| side.commit.run_id.as_str()).collect();
        let seal = Seal {
            repo,
            setup: &joined.setup,
            operation: MERGE,
            stages: What::All.stages(),
            run_id: run_id(repo, &options.run, self.started)?,
            branch: self.branch,
            tip: self.tip,
            baseline: parents.first().cloned(),
            parents,
            note: Some(format!("the union of {}", runs.join(", "))),
            message: options.run.message.clone(),
            started: self.started,
            clock: self.clock,
            scratch: scratch.path(),
            planted: None,
            progress: self.progress,
        };
        let run = seal.commit(made, |summary| self.message(summary), staging, files)?;
        report.commit_id = Some(run.commit_id);
        report.run = Some(run);
        Ok(())
    }

    /// Joins rows and configuration; `None` when there are conflicts, which are in the report then.
    fn join(
        &self,
        nodes: &mut Staging,
        scratch: &Path,
        report: &mut MergeReport,
    ) -> Result<Option<Joined>, OpError> {
        let (repo, favour) = (self.repo, self.options.favour);
        let empty = tree::Builder::new(nodes).finish()?.root;
        let mut union = Union { staging: nodes, root: empty, conflicts: Vec::new(), resolutions: Vec::new() };
        let (mut roots, mut parts) = (Vec::new(), config::Parts::new());
        let mut own_parts = Vec::new();
        let mut decided = config::Decided::default();
        for side in self.sides {
            let theirs = union.sources(&side.commit)?;
            let their_parts = config::parts(repo, &side.commit)?;
            own_parts.push(their_parts.clone());
            if roots.is_empty() {
                (union.root, parts) = (theirs, their_parts);
            } else {
                let (mut bases, mut base_parts) = (Vec::new(), Vec::new());
                for (_, base) in &side.bases {
                    bases.push(union.sources(base)?);
                    base_parts.push(config::parts(repo, base)?);
                }
                union.join(&side.rev, &bases, theirs, favour)?;
                config::join(&side.rev, &base_parts, &mut parts, &their_parts, favour, &mut decided);
            }
            roots.push(theirs);
        }
        let Union { root, mut conflicts, mut resolutions, .. } = union;
        conflicts.extend(decided.conflicts);
        resolutions.extend(decided.resolutions);
        report.conflicts = conflicts;
        report.resolutions = resolutions;
        report.config_taken = decided.taken.into_iter().map(|(part, rev)| TakenPart { part, rev }).collect();
        if let Some(first) = roots.first() {
            report.count_rows(&changed(nodes, *first, root)?);
        }
        if !report.conflicts.is_empty() {
            return Ok(None);
        }
        let setup = config::setup(&parts, &scratch.join("config"))?;
        let own = Setup::load(&repo.dot(), repo.config().exports.clone());
        report.config_differs = own.map_or(true, |own| own.config_id() != setup.config_id());
        let mut known = Vec::new();
        for (side, sources) in self.sides.iter().zip(&roots) {
            known.push(Known { sources: *sources, inputs: known_inputs(repo, Some(&side.commit))? });
        }
        let files = files(nodes, root, &known)?;
        let named = files.keys().map(|name| (name.clone(), repo.base().join(name)));
        let claimed = engine::claim(&setup.specs, named.collect::<Vec<_>>())?;
        refuse_unclaimed(&files, &claimed)?;
        for ((at, side), (parts, known)) in self.sides.iter().enumerate().zip(own_parts.iter().zip(&known)) {
            let theirs = config::setup(parts, &scratch.join(format!("config-{at}")))?;
            let named = known.inputs.keys().map(|name| (name.clone(), repo.base().join(name)));
            let cut = engine::claim(&theirs.specs, named.collect::<Vec<_>>())?;
            refuse_other_cut(side, &cut, &claimed)?;
            refuse_bare_rows(side, &cut)?;
        }
        report.files_elsewhere = (files.iter())
            .filter(|(name, file)| !file.is_ours && !repo.base().join(name).exists())
            .map(|(name, _)| name.clone())
            .collect();
        Ok(Some(Joined { setup, root, roots, files, claimed }))
    }

    /// Passes over the union.
    fn make(
        &self,
        joined: &Joined,
        nodes: &Staging,
        scratch: &Path,
        staging: &mut Staging,
    ) -> Result<Made, OpError> {
        let (repo, setup) = (self.repo, &joined.setup);
        let index_dir = repo.dot().join("index");
        let start = self.start(setup, &index_dir);
        let mut apart = changed(nodes, joined.roots[start], joined.root)?;
        let mut stored = BTreeMap::new();
        for file in &joined.claimed {
            let content = &joined.files[&file.name];
            let key = source_key(&file.name, 0).map_err(|e| engine::worker::bad_key(&e))?;
            let folder = key.rsplit_once('/').map_or(key.as_str(), |(folder, _)| folder);
            let changed = apart.remove(folder).map(|rows| rows.units).unwrap_or_default();
            let needs_keys = setup.needs_keys(file);
            let (prefix, units) = (content.prefix, content.units);
            stored.insert(file.name.clone(), StoredFile { prefix, units, changed, needs_keys });
        }
        let quarantine = Dataset::Quarantine.name();
        let datasets = &self.sides[start].commit.datasets;
        let plan = Plan {
            store: repo.store(),
            index_dir,
            tmp_dir: scratch.to_owned(),
            specs: &setup.specs,
            files: joined.claimed.clone(),
            policy: &setup.policy,
            policy_id: setup.policy_id,
            options: &setup.options,
            scanner: setup.scanner()?,
            wanted: Wanted::ALL,
            threads: self.options.run.threads.unwrap_or(repo.config().run.threads),
            base: Some((datasets.clone(), engine::memo_key(datasets, setup.options.max_pairs_per_task))),
            stored: Some(Stored {
                find: nodes,
                root: joined.root,
                quarantines: self.sides.iter().filter_map(|side| side.commit.dataset(quarantine)).collect(),
                files: stored,
            }),
            planted: None,
            progress: self.progress,
        };
        let made = engine::run(&plan, staging)?;
        if made.roots.get(Dataset::Sources.name()) != Some(&joined.root) {
            return Err(OpError::new(
                ErrorKind::Outside,
                "the pass over the union made other sources than the sides have; nothing was committed",
                "delete .distill/index and merge again; please report it if that does not help",
            ));
        }
        let mut inputs = Vec::new();
        for (name, file) in &joined.files {
            let label = if file.is_ours { file_input(name) } else { merged_input(name) };
            inputs.push((label, file.prefix));
        }
        for (side, root) in self.sides.iter().zip(&joined.roots) {
            let totals = tree::totals(nodes, *root)?;
            let whole = Prefix { hash: *root.object(), bytes: totals.bytes, units: totals.rows };
            inputs.push((format!("run:{}", side.commit.run_id), whole));
        }
        let engine::Made { roots, tallies, coverage, memo, computed, .. } = made;
        Ok(Made { roots, tallies, inputs, coverage, memo: Some(memo), outlines: None, computed })
    }

    /// The side that the pass starts from: the first whose memo is here.
    fn start(&self, setup: &Setup, index_dir: &Path) -> usize {
        let has_memo = |side: &Loaded| {
            let key = engine::memo_key(&side.commit.datasets, setup.options.max_pairs_per_task);
            engine::memo_path(index_dir, &key).exists()
        };
        self.sides.iter().position(has_memo).unwrap_or(0)
    }

    fn message(&self, summary: &RunSummary) -> String {
        let revs: Vec<&str> = self.sides.iter().skip(1).map(|side| side.rev.as_str()).collect();
        let m = &summary.metrics;
        format!(
            "merge {} into {}: {} RAG, {} SFT, {} preference pairs",
            revs.join(", "),
            self.sides.first().map_or("", |side| side.rev.as_str()),
            m.p4_rag_rows,
            m.p4_sft_rows,
            m.p4_pref_pairs
        )
    }
}

/// Rows of the store are units as they were cut. A spec that cuts a file another way would read them as what they are
/// not, so its side has to cut the file itself first.
fn refuse_other_cut(side: &Loaded, stored: &[SourceFile], claimed: &[SourceFile]) -> Result<(), OpError> {
    let cut = |file: &SourceFile| (file.kind, file.at.clone(), file.beside);
    let by_name: BTreeMap<&str, &SourceFile> =
        claimed.iter().map(|file| (file.name.as_str(), file)).collect();
    let other =
        stored.iter().find(|file| by_name.get(file.name.as_str()).is_some_and(|now| cut(now) != cut(file)));
    let Some(file) = other else { return Ok(()) };
    Err(OpError::new(
        ErrorKind::Refused,
        format!(
            "{} of {} was cut into units in another way than the merged specs cut it",
            file.name, side.rev
        ),
        "give both sides the same spec for it, run `distill run-all` on each, and merge again",
    ))
}

/// `ingest` stores rows and says nothing of what was wrong with their files; for a file of lines the rows say it
/// themselves.
fn refuse_bare_rows(side: &Loaded, stored: &[SourceFile]) -> Result<(), OpError> {
    let Some(file) = stored.iter().find(|file| !file.resumable()) else { return Ok(()) };
    if side.commit.operation != What::Ingest.operation() {
        return Ok(());
    }
    Err(OpError::new(
        ErrorKind::Refused,
        format!("{} is an `ingest`, which does not say whether {} was whole", side.rev, file.name),
        format!("run `distill run-all` on {} first, and merge what it commits", side.rev),
    ))
}

/// Stops where rows of the union would be left out because no spec reads their file.
fn refuse_unclaimed(files: &BTreeMap<String, UnionFile>, claimed: &[SourceFile]) -> Result<(), OpError> {
    let read: BTreeSet<&str> = claimed.iter().map(|file| file.name.as_str()).collect();
    let unread: Vec<&str> = files.keys().map(String::as_str).filter(|name| !read.contains(name)).collect();
    if unread.is_empty() {
        return Ok(());
    }
    let more = unread.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let shown = &unread[..unread.len().min(NAMED_MAX)];
    Err(OpError::new(
        ErrorKind::Refused,
        format!("no spec of the union reads {}{more}; their rows would be lost", shown.join(", ")),
        "a side took away the spec or narrowed its `files`: widen it there, run, and merge again",
    ))
}
