//! The crew of a pass: threads that compute chunks, decide about them in turn, and hand the results over in order.
//!
//! Rests on the turnstiles. Invariants: deciding and handing over happen in chunk order, whatever the threads do; a
//! thread that fails stops the others and the reader.

use crate::object::FindExt as _;
use crate::ops::engine::edits::{Dataset, Edits};
use crate::ops::engine::facts::{UnitFact, UnitVerdict};
use crate::ops::engine::feed::{Chunk, Slot, Work};
use crate::ops::engine::inputs::{Prefix, ReadUnit, SourceFile};
use crate::ops::engine::ledger::{Ledger, Streams, key_order};
use crate::ops::engine::maker::{Delivery, deliver};
use crate::ops::engine::memo::{FileMemo, MemoWriter};
use crate::ops::engine::pairs::{Pairing, Position, State};
use crate::ops::engine::pass::Plan;
use crate::ops::engine::pool::{Guard, Stopped, Turnstile};
use crate::ops::engine::removals::removals;
use crate::ops::engine::tally::Tallies;
use crate::ops::engine::watch::{Watchbook, Watched};
use crate::ops::engine::worker::{Computed, Context, Worker, bad_key};
use crate::ops::error::{ErrorKind, OpError};
use crate::pipeline::source::{Unit, UnitFlags};
use crate::record::source_key;
use crate::store::Staging;
use crate::tree;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

/// What is changed in order, one chunk at a time.
pub(super) struct Ordered<'a> {
    pub(super) staging: &'a mut Staging,
    pub(super) edits: Edits,
    pub(super) pairing: Pairing,
    pub(super) memo: MemoWriter,
    pub(super) tallies: Tallies,
    pub(super) inputs: Vec<(String, Prefix)>,
    pub(super) watchbook: Watchbook,
    pub(super) computed: u64,
}

/// Everything the workers share.
pub(super) struct Crew<'a, 's> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) context: &'a Context<'a>,
    pub(super) slots: &'a [Slot],
    pub(super) streams: &'a Streams<'a>,
    pub(super) ledger: &'a Mutex<Ledger>,
    pub(super) ordered: &'a Mutex<Ordered<'s>>,
    pub(super) decide: &'a Turnstile,
    pub(super) deliver: &'a Turnstile,
    pub(super) stop: &'a AtomicBool,
    pub(super) receiver: &'a Mutex<Receiver<Chunk>>,
}

/// What became of a chunk, ready to be delivered.
pub(super) struct Outcome {
    file: u32,
    rows: u64,
    bytes: u64,
    delivery: Delivery,
    removals: Vec<(Dataset, String)>,
    /// Facts that no longer hold, with their units.
    gone: Vec<(u64, UnitFact)>,
    /// The number of the first unit in `memo`.
    first: u64,
    /// The facts that hold now, unit after unit.
    memo: Vec<(State, UnitFact)>,
    watched: Watched,
    end: Option<FileMemo>,
    computed: u64,
}

/// Stops the reader when dropped without having been disarmed.
pub(super) struct Drain<'c, 'a, 's> {
    crew: &'c Crew<'a, 's>,
    armed: bool,
}

impl Drop for Drain<'_, '_, '_> {
    fn drop(&mut self) {
        if self.armed {
            self.crew.stop.store(true, Ordering::Relaxed);
            while self.crew.receive().is_some() {}
        }
    }
}

/// Runs something on the ledger when the chunk's turn has come.
pub(super) type InTurn<'a> = dyn Fn(&mut Deciding<'_>) -> Result<(), Option<OpError>> + 'a;

/// What is decided in turn.
pub(super) type Deciding<'a> = dyn FnMut(&mut Ledger) -> Result<(), OpError> + 'a;

impl Crew<'_, '_> {
    /// Works until the reader is done or somebody fails.
    pub(super) fn work(&self) -> Result<(), OpError> {
        // Dropped last, and by a panic too: the reader may wait for room, so what it sends is taken until it sees the sign.
        let mut drain = Drain { crew: self, armed: true };
        let mut guard = Guard { gates: [self.decide, self.deliver], armed: true };
        let result = self.work_chunks();
        if result.is_ok() {
            guard.armed = false;
            drain.armed = false;
        }
        drop(guard);
        drop(drain);
        match result {
            Err(Some(error)) => Err(error),
            Ok(()) | Err(None) => Ok(()),
        }
    }

    fn receive(&self) -> Option<Chunk> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    fn work_chunks(&self) -> Result<(), Option<OpError>> {
        let mut worker = Worker::new(self.context);
        while let Some(chunk) = self.receive() {
            let number = chunk.number;
            let result = self.chunk(&mut worker, chunk)?;
            let delivered = self.deliver.pass(number, || self.hand_over(result));
            delivered.map_err(|Stopped| None)?.map_err(Some)?;
        }
        Ok(())
    }

    /// Computes a chunk, decides about it in turn, and makes its objects.
    fn chunk(&self, worker: &mut Worker<'_>, chunk: Chunk) -> Result<Outcome, Option<OpError>> {
        let Chunk { number, file, work } = chunk;
        let slot = &self.slots[file as usize];
        let mut result = Outcome {
            file,
            rows: 0,
            bytes: 0,
            delivery: Delivery::default(),
            removals: Vec::new(),
            gone: Vec::new(),
            first: 0,
            memo: Vec::new(),
            watched: Watched::default(),
            end: None,
            computed: 0,
        };
        let in_turn = |work: &mut Deciding<'_>| {
            let mut run = || work(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner));
            self.decide.pass(number, &mut run).map_err(|Stopped| None)?.map_err(Some)
        };
        match (work, &slot.file) {
            (Work::Fresh(units), Some(source)) => {
                result.rows = units.len() as u64;
                result.bytes = units.iter().map(|u| u.unit.bytes.len() as u64 + 1).sum();
                result.first = units.first().map_or(0, |u| u.unit.number);
                let mut computed = Vec::with_capacity(units.len());
                worker.watch.begin();
                for unit in units {
                    computed.push(worker.compute(source, unit)?);
                }
                result.watched = worker.watch.end();
                let stream = self.streams.number(source);
                in_turn(&mut |ledger| {
                    computed.iter_mut().try_for_each(|unit| ledger.decide(stream, &mut unit.fact))
                })?;
                result.computed = computed.len() as u64;
                let (delivery, facts) = worker.finish(source, computed)?;
                result.delivery = delivery;
                result.memo = facts.into_iter().map(|fact| (State::New, fact)).collect();
            }
            (Work::Known { first, facts, rederive }, Some(source)) => {
                result.rows = facts.len() as u64;
                result.first = first;
                self.known(worker, source, facts, rederive, &mut result, &in_turn)?;
            }
            (Work::Gone { first, facts }, _) => {
                in_turn(&mut |_| Ok(()))?;
                for (offset, fact) in facts.into_iter().enumerate() {
                    let unit = first + offset as u64;
                    let key = source_key(&slot.name, unit).map_err(|e| bad_key(&e))?;
                    result.removals.push((Dataset::Sources, key));
                    removals(&slot.name, unit, &fact, &mut result.removals)?;
                    result.gone.push((unit, fact));
                }
            }
            (Work::End(memo), _) => {
                in_turn(&mut |_| Ok(()))?;
                result.end = Some(*memo);
            }
            (Work::Fresh(_) | Work::Known { .. }, None) => in_turn(&mut |_| Ok(()))?,
        }
        Ok(result)
    }

    /// Decides again about units that the memo knows, and computes those about which the decision changed.
    fn known(
        &self,
        worker: &mut Worker<'_>,
        source: &SourceFile,
        facts: Vec<UnitFact>,
        rederive: bool,
        result: &mut Outcome,
        in_turn: &InTurn<'_>,
    ) -> Result<(), Option<OpError>> {
        let stream = self.streams.number(source);
        let first = result.first;
        let mut units: Vec<(UnitFact, Option<Computed>)> = Vec::with_capacity(facts.len());
        for (offset, old) in facts.iter().enumerate() {
            let number = first + offset as u64;
            if rederive && old.verdict == UnitVerdict::Records {
                let again = match old.duplicate_of {
                    // The evidence of a duplicate is not stored; its row is.
                    Some(_) => worker.compute(source, self.raw(source, number, old)?)?,
                    None => worker.rederive(number, old)?,
                };
                units.push((again.fact.clone(), Some(again)));
            } else {
                units.push((old.clone(), None));
            }
        }
        in_turn(&mut |ledger| units.iter_mut().try_for_each(|(fact, _)| ledger.decide(stream, fact)))?;
        let mut changed = Vec::new();
        for (offset, ((fact, computed), old)) in units.into_iter().zip(facts).enumerate() {
            if fact == old {
                result.delivery.tallies.unit(&fact);
                result.memo.push((State::Unchanged, fact));
                continue;
            }
            let number = first + offset as u64;
            let mut again = match computed {
                Some(computed) => computed,
                None => worker.compute(source, self.raw(source, number, &old)?)?,
            };
            again.decided(fact);
            removals(&source.name, number, &old, &mut result.removals)?;
            changed.push((offset, again));
            // Stands here until the new one takes its place.
            result.memo.push((State::Gone, old));
        }
        if !changed.is_empty() {
            result.computed = changed.len() as u64;
            let (places, units): (Vec<usize>, Vec<Computed>) = changed.into_iter().unzip();
            let (delivery, facts) = worker.finish(source, units)?;
            let unchanged = std::mem::take(&mut result.delivery.tallies);
            result.delivery = delivery;
            result.delivery.tallies.add(&unchanged);
            for (at, fact) in places.into_iter().zip(facts) {
                let (_, old) = std::mem::replace(&mut result.memo[at], (State::New, fact));
                result.gone.push((first + at as u64, old));
            }
        }
        Ok(())
    }

    /// The raw row of a known unit, from the store.
    fn raw(&self, source: &SourceFile, number: u64, fact: &UnitFact) -> Result<ReadUnit, OpError> {
        let key = source_key(&source.name, number).map_err(|e| bad_key(&e))?;
        let root = self.plan.base.as_ref().and_then(|(datasets, _)| datasets.get(Dataset::Sources.name()));
        let entry = match root {
            Some(root) => tree::get(self.plan.store, *root, &key)?,
            None => None,
        };
        let Some(entry) = entry else {
            let hint = "delete .distill/index and run again; nothing is lost by that";
            return Err(OpError::new(
                ErrorKind::Damaged,
                format!("the memo names a row {key} that HEAD has not"),
                hint,
            ));
        };
        let bytes = self.plan.store.find(&entry.id)?.to_vec();
        // Units that were refused for their file's sake are never computed again: their facts do not change.
        let unit = Unit {
            number,
            offset: 0,
            bytes,
            terminated: true,
            key: fact.unit_key.clone(),
            flags: UnitFlags::default(),
        };
        Ok(ReadUnit { unit, refused: None })
    }

    /// Takes a chunk's result in; called in turn.
    fn hand_over(&self, result: Outcome) -> Result<(), OpError> {
        let mut ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        let ordered = &mut *ordered;
        ordered.tallies.add(&result.delivery.tallies);
        deliver(result.delivery, ordered.staging, &mut ordered.edits)?;
        for (dataset, key) in &result.removals {
            ordered.edits.remove(*dataset, key)?;
        }
        let gone = result.gone.iter().map(|(unit, fact)| (State::Gone, *unit, fact));
        let here = (result.first..).zip(&result.memo).map(|(unit, (state, fact))| (*state, unit, fact));
        for (state, unit, fact) in gone.chain(here) {
            if fact.duplicate_of.is_some() {
                continue;
            }
            for (place, index) in (0_u32..).zip(key_order(&fact.outputs)) {
                let at = Position { file: result.file, unit, output: place };
                ordered.pairing.add(state, at, &fact.sig.unwrap_or_default(), &fact.outputs[index])?;
            }
        }
        ordered.computed += result.computed;
        for (_, fact) in result.memo {
            ordered.memo.push(fact)?;
        }
        ordered.watchbook.add(&result.watched);
        if let Some(mut end) = result.end {
            let spec = self.slots[result.file as usize].file.as_ref().and_then(|file| file.spec);
            end.watched = ordered.watchbook.end_file(spec, end.watched);
            ordered.inputs.push((end.name.clone(), end.prefix));
            ordered.memo.end_file(end)?;
        }
        self.plan.progress.advance(result.rows, result.bytes);
        Ok(())
    }
}
