//! Passes that only count: what another policy, or other specs, would make of rows and evidence in the store.
//!
//! Rests on the same functions as a run. What always holds: the counts are those of a run over the same rows under the
//! same configuration; nothing is written but what a sort spills.

use std::path::Path;

use crate::object::FindExt as _;
use crate::object::RootId;
use crate::ops::engine::ledger::{Ledger, key_order};
use crate::ops::engine::maker::Wanted;
use crate::ops::engine::pairs::{Pairing, Position, State};
use crate::ops::engine::pass::load_lookups;
use crate::ops::engine::rework::{decode, in_source_order};
use crate::ops::engine::stored::Stored;
use crate::ops::engine::tally::{Tallies, export};
use crate::ops::engine::worker::{Context, Worker, judge};
use crate::ops::engine::{SourceFile, edits::spill_failed};
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::setup::Setup;
use crate::pipeline::score;
use crate::record::EvidenceRecord;
use crate::record::Record as _;
use crate::record::ScoredRun;
use crate::store::Store;

/// Scores all evidence below `root` anew and judges it for every export. `take` sees each score, in source order.
///
/// # Errors
/// Damage, and whatever `take` gives.
pub(crate) fn rescore(
    store: &Store,
    root: RootId,
    setup: &Setup,
    spill: &Path,
    progress: &dyn Progress,
    take: &mut dyn FnMut(&ScoredRun) -> Result<(), OpError>,
) -> Result<Tallies, OpError> {
    let scanner = setup.scanner()?;
    let mut ledger = Ledger::default();
    let mut tallies = Tallies::default();
    let mut pairing = Pairing::new(spill);
    progress.begin("reading evidence", None);
    let ordered = in_source_order(store, spill, progress, root)?;
    progress.end();
    progress.begin("scores and exports", None);
    for (unit, record) in (0_u64..).zip(ordered) {
        let (key, evidence_id) = decode(&record.map_err(|e| spill_failed(&e))?)?;
        let bytes = store.find(&evidence_id)?.to_vec();
        let evidence = EvidenceRecord::parse(&bytes)?;
        let scored = score::score(&setup.policy, evidence_id, &evidence);
        take(&scored)?;
        let (_, mut fact) =
            judge((&setup.policy, &setup.options, scanner), evidence, bytes, evidence_id, scored);
        ledger.decide_exports(&key, &mut fact.rag, &mut fact.sft)?;
        tallies.score.consumed(1);
        tallies.categories.add(fact.category);
        export(&mut tallies.rag, &fact.rag);
        export(&mut tallies.sft, &fact.sft);
        tallies.pair(&fact.pair);
        pairing.add(State::New, Position { file: 0, unit, output: 0 }, &[0; 32], &fact)?;
        progress.advance(1, 0);
    }
    progress.end();
    tallies.preference.merge(&pairing.count(setup.options.max_pairs_per_task)?);
    Ok(tallies)
}

/// Maps all rows of `files`, which are in the store, anew, scores them and judges them for every export.
///
/// # Errors
/// Damage, and a file whose rows cannot be mapped without it.
pub(crate) fn remap(
    store: &Store,
    files: &[SourceFile],
    stored: &Stored<'_>,
    setup: &Setup,
    spill: &Path,
    progress: &dyn Progress,
) -> Result<Tallies, OpError> {
    let (lookups, _) = load_lookups(&setup.specs, files, Some(stored))?;
    let context = Context {
        store,
        store_is_empty: false,
        specs: &setup.specs,
        lookups: &lookups,
        policy: &setup.policy,
        options: &setup.options,
        scanner: setup.scanner()?,
        wanted: Wanted::ALL,
        planted: None,
    };
    let mut streams: Vec<&str> = setup.specs.iter().map(|(_, spec)| spec.stream()).collect();
    streams.sort_unstable();
    streams.dedup();
    let mut worker = Worker::new(&context);
    let mut ledger = Ledger::default();
    let mut tallies = Tallies::default();
    let mut pairing = Pairing::new(spill);
    progress.begin("sources → evidence → score → exports", None);
    for (number, file) in (0_u32..).zip(files) {
        let stream = file.spec.map_or("", |spec| setup.specs[spec].1.stream());
        let stream = streams.binary_search(&stream).ok().and_then(|at| u32::try_from(at).ok());
        worker.watch.begin();
        stored.read(file, 0..u64::MAX, &mut |read| {
            let mut computed = worker.compute(file, read)?;
            ledger.decide(stream.unwrap_or(u32::MAX), &mut computed.fact)?;
            let fact = &computed.fact;
            tallies.unit(fact);
            if fact.duplicate_of.is_none() {
                for (place, index) in (0_u32..).zip(key_order(&fact.outputs)) {
                    let at = Position { file: number, unit: computed.number, output: place };
                    pairing.add(State::New, at, &fact.sig.unwrap_or_default(), &fact.outputs[index])?;
                }
            }
            progress.advance(1, 0);
            Ok(())
        })?;
        worker.watch.end();
    }
    progress.end();
    tallies.preference.merge(&pairing.count(setup.options.max_pairs_per_task)?);
    Ok(tallies)
}
