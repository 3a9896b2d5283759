//! Passes that only count: what another policy, or other specs, would make of rows and evidence in the store.
//!
//! Rests on the same functions as a run. What always holds: the counts are those of a run over the same rows under the
//! same configuration; nothing is written but what a sort spills.

use std::path::Path;

use crate::object::{ObjectId, RootId};
use crate::ops::engine::SourceFile;
use crate::ops::engine::facts::OutputFact;
use crate::ops::engine::ledger::{Ledger, Streams, key_order};
use crate::ops::engine::maker::Wanted;
use crate::ops::engine::pairs::{Pairing, Position, State};
use crate::ops::engine::pass::load_lookups;
use crate::ops::engine::rejudge::{Sink, Walk, rejudge};
use crate::ops::engine::stored::Stored;
use crate::ops::engine::tally::Tallies;
use crate::ops::engine::worker::{Context, Output, Worker};
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::setup::Setup;
use crate::pipeline::policy::Policy;
use crate::pipeline::score;
use crate::record::{EvidenceRecord, ScoredRun};
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
    let walk = Walk {
        store,
        root,
        spill,
        policy: &setup.policy,
        options: &setup.options,
        scanner: setup.scanner()?,
        pairs: true,
        progress,
    };
    let (mut tallies, pairing) = rejudge(&walk, &mut Counting { policy: &setup.policy, take })?;
    tallies.preference.merge(&pairing.count(setup.options.max_pairs_per_task)?);
    Ok(tallies)
}

/// Shows scores, and writes nothing.
struct Counting<'a> {
    policy: &'a Policy,
    take: &'a mut dyn FnMut(&ScoredRun) -> Result<(), OpError>,
}

impl Sink for Counting<'_> {
    fn score(&mut self, _: &str, id: ObjectId, evidence: &EvidenceRecord) -> Result<ScoredRun, OpError> {
        let scored = score::score(self.policy, id, evidence);
        (self.take)(&scored)?;
        Ok(scored)
    }

    fn take(&mut self, _: &Output, _: &OutputFact) -> Result<(), OpError> {
        Ok(())
    }
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
    let streams = Streams::of(&setup.specs);
    let mut worker = Worker::new(&context);
    let mut ledger = Ledger::default();
    let mut tallies = Tallies::default();
    let mut pairing = Pairing::new(spill);
    progress.begin("sources → evidence → score → exports", None);
    for (number, file) in (0_u32..).zip(files) {
        let stream = streams.number(file);
        worker.watch.begin();
        stored.read(file, 0..u64::MAX, &mut |read| {
            let mut computed = worker.compute(file, read)?;
            ledger.decide(stream, &mut computed.fact)?;
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
