//! The pass of `run-all`: every unit of every file, in source order, computed where it is new and decided about always.
//!
//! Rests on the memo for what is known. Invariants: deciding sees all units in source order, whoever computed them; a
//! known unit whose decision changed is computed again; so the datasets are those of a full run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;

use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::engine::crew::{Crew, Ordered};
use crate::ops::engine::edits::{Dataset, Edits};
use crate::ops::engine::feed::{Chunk, Stamps, feed, slots};
use crate::ops::engine::grow::grow;
use crate::ops::engine::inputs::{Prefix, ReadUnit, SourceFile, read_units};
use crate::ops::engine::ledger::{Ledger, Streams};
use crate::ops::engine::maker::Wanted;
use crate::ops::engine::memo::{MEMO_VERSION, MemoReader, MemoWriter};
use crate::ops::engine::pairs::Pairing;
use crate::ops::engine::pool::{Turnstile, thread_count};
use crate::ops::engine::rework::drop_stage;
use crate::ops::engine::stored::Stored;
use crate::ops::engine::tally::Tallies;
use crate::ops::engine::watch::Watchbook;
use crate::ops::engine::worker::Context;
use crate::ops::error::OpError;
use crate::ops::fault::{self, Fault, Planted};
use crate::ops::progress::Progress;
use crate::pipeline::policy::Policy;
use crate::pipeline::secret::Scanner;
use crate::pipeline::source::{LookupRow, Lookups, Spec};
use crate::pipeline::{export, source};
use crate::record::StreamCoverage;
use crate::repo::Options;
use crate::repo::REPLAYS;
use crate::store::{Staging, Store};

/// What a run works on.
pub(crate) struct Plan<'a> {
    pub store: &'a Store,
    /// `.distill/index`.
    pub index_dir: PathBuf,
    /// `.distill/tmp`.
    pub tmp_dir: PathBuf,
    pub specs: &'a [(String, Spec)],
    pub files: Vec<SourceFile>,
    pub policy: &'a Policy,
    pub policy_id: ObjectId,
    pub options: &'a Options,
    pub scanner: &'a Scanner,
    pub wanted: Wanted,
    pub threads: usize,
    /// The datasets of HEAD and the key of the memo that speaks of them.
    pub base: Option<(BTreeMap<String, RootId>, ObjectId)>,
    /// The files among `files` whose rows are read from the store.
    pub stored: Option<Stored<'a>>,
    /// The defects that the run was given.
    pub planted: Option<Planted>,
    pub progress: &'a dyn Progress,
}

/// What a pass made.
pub(crate) struct Made {
    /// The root of every dataset.
    pub roots: BTreeMap<String, RootId>,
    pub tallies: Tallies,
    /// The known part of every file.
    pub inputs: Vec<(String, Prefix)>,
    /// What the rows of each stream hold, in order of spec.
    pub coverage: Vec<StreamCoverage>,
    /// Facts for the next run, to be put in place once this one is published.
    pub memo: MemoWriter,
    /// Units computed, as against known.
    pub computed: u64,
}

/// The name of the memo that belongs to these datasets. What a memo cannot say of itself is part of its name: how facts
/// are written, and what pairs were selected by, since facts are of single records and pairs are of groups.
pub(crate) fn memo_key(datasets: &BTreeMap<String, RootId>, max_pairs: u32) -> ObjectId {
    let mut hasher = blake3::Hasher::new();
    for number in [MEMO_VERSION, export::VERSION, max_pairs] {
        hasher.update(&number.to_le_bytes());
    }
    // What a replay put beside them is none of a run's datasets.
    for (name, root) in datasets.iter().filter(|(name, _)| *name != REPLAYS) {
        hasher.update(name.as_bytes());
        hasher.update(b"\0");
        hasher.update(root.object().as_bytes());
    }
    ObjectId::from_bytes(*hasher.finalize().as_bytes())
}

/// Runs the pass and builds the trees. The objects are in `staging`; nothing is published.
pub(crate) fn run(plan: &Plan<'_>, staging: &mut Staging) -> Result<Made, OpError> {
    let known = plan.base.as_ref().filter(|_| plan.wanted == Wanted::ALL);
    let memo_reader = known.and_then(|(_, key)| MemoReader::open(&plan.index_dir, key));
    let incremental = memo_reader.is_some();
    let mut slots = slots(&plan.files, memo_reader.as_ref().map_or(&[][..], MemoReader::files));
    let threads = thread_count(plan.threads);
    if threads > 1 && fault::has(plan.planted.as_ref(), Fault::OrderByThreads) {
        slots.reverse();
    }
    let (lookups, joined) = load_lookups(plan.specs, &plan.files, plan.stored.as_ref())?;
    let stamps = Stamps::new(plan, &joined)?;
    let context = Context {
        store: plan.store,
        store_is_empty: plan.store.packs().is_empty(),
        specs: plan.specs,
        lookups: &lookups,
        policy: plan.policy,
        options: plan.options,
        scanner: plan.scanner,
        wanted: plan.wanted,
        planted: plan.planted.as_ref(),
    };
    let streams = Streams::of(plan.specs);
    let ordered = Mutex::new(Ordered {
        staging,
        edits: Edits::new(&plan.tmp_dir),
        pairing: Pairing::new(&plan.tmp_dir),
        memo: MemoWriter::new(&plan.tmp_dir)?,
        tallies: Tallies::default(),
        inputs: Vec::new(),
        watchbook: Watchbook::new(plan.specs.len()),
        computed: 0,
    });
    let ledger = Mutex::new(Ledger::default());
    let (decide, deliver) = (Turnstile::default(), Turnstile::default());
    let stop = AtomicBool::new(false);
    let (sender, receiver) = sync_channel::<Chunk>(threads * 2);
    let receiver = Mutex::new(receiver);
    let total = plan.files.iter().filter_map(|f| std::fs::metadata(&f.path).ok()).map(|m| m.len()).sum();
    plan.progress.begin("sources → evidence → score → exports", Some(total));
    let crew = Crew {
        plan,
        context: &context,
        slots: &slots,
        streams: &streams,
        ledger: &ledger,
        ordered: &ordered,
        decide: &decide,
        deliver: &deliver,
        stop: &stop,
        receiver: &receiver,
    };
    let outcome = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| crew.work())).collect();
        let read = feed(&slots, plan.stored.as_ref(), &stamps, memo_reader, &sender, &stop);
        drop(sender);
        let mut worked = Ok(());
        for worker in workers {
            match worker.join() {
                Ok(result) => worked = worked.and(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        worked.and(read)
    });
    plan.progress.end();
    let ordered = ordered.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome?;
    let Ordered { staging, mut edits, pairing, memo, mut tallies, inputs, watchbook, computed } = ordered;
    plan.progress.begin("preference pairs and trees", None);
    let bases = match &plan.base {
        Some((datasets, _)) if incremental => datasets.clone(),
        Some((datasets, _)) if plan.wanted != Wanted::ALL => {
            // Evidence alone is made anew; what the later stages made of the old stays as it was.
            drop_stage(plan.store, datasets, "evidence", &mut edits)?;
            let mut kept = datasets.clone();
            kept.remove(Dataset::Sources.name());
            kept.remove(Dataset::Evidence.name());
            kept
        }
        _ => BTreeMap::new(),
    };
    let max_pairs = plan.options.max_pairs_per_task;
    let pairing = plan.wanted.preference.then_some((pairing, max_pairs, plan.planted.as_ref()));
    let (roots, paired) = grow(plan.store, &plan.tmp_dir, threads, &bases, edits, pairing, staging)?;
    tallies.preference.merge(&paired);
    plan.progress.end();
    Ok(Made { roots, tallies, inputs, coverage: watchbook.finish(plan.specs)?, memo, computed })
}

/// The lookup tables of every spec, among them what stands beside the rows of its files, for a spec that reads that; and
/// for each spec what names the content of its lookup files. What stands beside is not in that: it is a unit of the file
/// whose rows see it, and a file in which it changes is mapped anew.
pub(crate) fn load_lookups(
    specs: &[(String, Spec)],
    files: &[SourceFile],
    stored: Option<&Stored<'_>>,
) -> Result<(Vec<Lookups>, Vec<ObjectId>), OpError> {
    let (mut all, mut names) = (Vec::new(), Vec::new());
    for (index, (_, spec)) in specs.iter().enumerate() {
        let mut lookups = Lookups::default();
        let mut content = blake3::Hasher::new();
        if spec.reads_beside() {
            let adapter = spec.compile()?;
            for file in files.iter().filter(|f| f.spec == Some(index)) {
                let mut take = |read: ReadUnit| {
                    let empty = Lookups::default();
                    let input = source::UnitInput::new(&file.name, &read.unit, &empty);
                    if read.unit.flags.beside
                        && let LookupRow::Row { key, raw_id, canonical } = adapter.beside_row(&input)
                    {
                        lookups.table(source::BESIDE).insert(key, canonical, raw_id);
                    }
                    Ok(())
                };
                match stored.and_then(|stored| Some((stored, stored.files.get(&file.name)?))) {
                    Some((stored, content)) => {
                        stored.read(file, content.units.saturating_sub(1)..u64::MAX, &mut take)?;
                    }
                    None => drop(read_units(file, None, &mut take)?),
                }
            }
        }
        if !spec.lookups().is_empty() {
            let mut adapter = spec.compile()?;
            for (name, lookup) in spec.lookups() {
                for file in files.iter().filter(|f| lookup.files().contains(&f.name)) {
                    // Named by its rows, so that a file on disk and the same rows in the store are one.
                    content.update(file.name.as_bytes()).update(b"\0");
                    let mut take = |read: ReadUnit| {
                        content.update(&(read.unit.bytes.len() as u64).to_le_bytes());
                        content.update(&read.unit.bytes);
                        if read.refused.is_none() {
                            let empty = Lookups::default();
                            let input = source::UnitInput::new(&file.name, &read.unit, &empty);
                            if let LookupRow::Row { key, raw_id, canonical } =
                                adapter.lookup_row(name, &input)
                            {
                                lookups.table(name).insert(key, canonical, raw_id);
                            }
                        }
                        Ok(())
                    };
                    match stored.filter(|stored| stored.files.contains_key(&file.name)) {
                        Some(stored) => stored.read(file, 0..u64::MAX, &mut take)?,
                        None => drop(read_units(file, None, &mut take)?),
                    }
                }
            }
        }
        all.push(lookups);
        names.push(ObjectId::from_bytes(*content.finalize().as_bytes()));
    }
    Ok((all, names))
}
