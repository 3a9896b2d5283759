//! The end of a pass: the trees of all datasets, and preference pairs beside them.
//!
//! Rests on edits and pairs. A tree is built, hashed and packed on a thread of its own; one thread appends the blocks,
//! dataset after dataset, while another reads what pairs are made of. Invariants: blocks are appended in an order that
//! threads have no part in, so the same run writes the same packs; no more than some blocks of a dataset wait for their
//! turn, whatever its size.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError, RwLock};

use crate::object::Exists as _;
use crate::object::Kind;
use crate::object::ObjectId;
use crate::object::OdbError;
use crate::object::RootId;
use crate::object::Write;
use crate::ops::engine::edits::{Dataset, Edits, Lot};
use crate::ops::engine::pairs::Pairing;
use crate::ops::engine::tally::Tally;
use crate::ops::error::OpError;
use crate::ops::fault::Planted;
use crate::store::{BlockBuilder, SealedBlock, Staging, Store};

/// Blocks of one dataset that wait for the datasets before it.
const WAITING_BLOCKS: usize = 64;
/// Datasets that get rows when pairs are made; the others have all of theirs before.
const OF_PAIRS: [Dataset; 2] = [Dataset::Preference, Dataset::Duplicates];

/// Applies all edits to `bases` on so many threads, at least one, and makes the pairs of `pairing`, of which a task has at most so
/// many and which are spoiled by what is planted. Returns the roots and the counts of pairs.
///
/// # Errors
/// What is missing, damaged or cannot be written.
pub(super) fn grow(
    store: &Store,
    tmp: &Path,
    threads: usize,
    bases: &BTreeMap<String, RootId>,
    mut edits: Edits,
    pairing: Option<(Pairing, u32, Option<&Planted>)>,
    staging: &mut Staging,
) -> Result<(BTreeMap<String, RootId>, Tally), OpError> {
    let apart = Dataset::ALL.into_iter().filter(|dataset| !OF_PAIRS.contains(dataset));
    let mut lots: Vec<Lot> = apart.map(|dataset| edits.take(dataset, bases, tmp)).collect();
    let (mut roots, mut tally) = (BTreeMap::new(), Tally::default());
    if let Some((pairing, max_pairs, planted)) = pairing {
        let shared = RwLock::new(&mut *staging);
        let (grown, gathered) = std::thread::scope(|scope| {
            let gathered = scope.spawn(|| pairing.gather(&shared, &mut edits, max_pairs));
            let grown = trees(store, std::mem::take(&mut lots), threads.saturating_sub(1), &shared);
            (grown, gathered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        roots = grown?;
        tally = gathered?.make(store, staging, &mut edits, threads, planted)?;
    }
    lots.extend(OF_PAIRS.map(|dataset| edits.take(dataset, bases, tmp)));
    roots.extend(trees(store, lots, threads, &RwLock::new(staging))?);
    Ok((roots, tally))
}

/// Builds the tree of each lot on one of so many threads; the blocks are appended here.
fn trees(
    store: &Store,
    lots: Vec<Lot>,
    threads: usize,
    staging: &RwLock<&mut Staging>,
) -> Result<BTreeMap<String, RootId>, OpError> {
    let known = (!store.packs().is_empty()).then_some(store);
    let (mut lanes, mut jobs) = (Vec::new(), Vec::new());
    for lot in lots {
        let (sender, receiver) = sync_channel(WAITING_BLOCKS);
        lanes.push((lot.dataset, receiver));
        jobs.push((lot, sender));
    }
    let threads = threads.clamp(1, jobs.len().max(1));
    let jobs = Jobs(Mutex::new(jobs.into_iter()));
    let build = || -> Result<Vec<(Dataset, RootId)>, OpError> {
        let _rest = Rest(&jobs);
        let mut roots = Vec::new();
        while let Some((lot, sender)) = jobs.next() {
            let dataset = lot.dataset;
            let mut sink = Sink { known, builder: BlockBuilder::new(), sender };
            roots.push((dataset, lot.apply(store, &mut sink)?));
            sink.finish();
        }
        Ok(roots)
    };
    std::thread::scope(|scope| {
        let builders: Vec<_> = (0..threads).map(|_| scope.spawn(build)).collect();
        let appended = append(lanes, staging);
        // Done, or failed: then those who wait to send see that nobody listens, and what was not begun is not begun.
        drop(Rest(&jobs));
        let mut roots = BTreeMap::new();
        let mut failed = None;
        for builder in builders {
            match builder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
                Ok(built) => roots.extend(built.into_iter().map(|(set, root)| (set.name().to_owned(), root))),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        appended?;
        failed.map_or(Ok(roots), Err)
    })
}

/// Trees to build, each with the way to its lane.
struct Jobs(Mutex<std::vec::IntoIter<(Lot, SyncSender<Grown>)>>);

impl Jobs {
    fn next(&self) -> Option<(Lot, SyncSender<Grown>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

/// Drops the jobs that nobody began, when their builder ends, however it ends: their lanes would be waited for.
struct Rest<'a>(&'a Jobs);

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        while self.0.next().is_some() {}
    }
}

/// Appends what the lanes bring, lane after lane.
fn append(lanes: Vec<(Dataset, Receiver<Grown>)>, staging: &RwLock<&mut Staging>) -> Result<(), OpError> {
    for (_, lane) in lanes {
        for grown in lane {
            let mut staging = staging.write().unwrap_or_else(PoisonError::into_inner);
            match grown {
                Grown::Block(block) => staging.append(vec![block])?,
                Grown::Node(bytes) => drop(staging.write(Kind::Node, &bytes)?),
            }
        }
    }
    Ok(())
}

/// What a tree brings.
enum Grown {
    /// Nodes that fill a block.
    Block(SealedBlock),
    /// A node of the last block, which others may share.
    Node(Vec<u8>),
}

/// Takes the nodes of one tree in and packs them where they are made.
struct Sink<'a> {
    /// The store, if it holds anything: what it has is not packed again.
    known: Option<&'a Store>,
    builder: BlockBuilder,
    sender: SyncSender<Grown>,
}

impl Write for Sink<'_> {
    fn write(&mut self, kind: Kind, bytes: &[u8]) -> Result<ObjectId, OdbError> {
        let id = ObjectId::of(bytes);
        if let Some(store) = self.known
            && store.exists(&id)?
        {
            return Ok(id);
        }
        self.builder.push(kind, id, bytes)?;
        for block in self.builder.take_sealed() {
            // Nobody listens when appending failed, which is said there.
            let _ = self.sender.send(Grown::Block(block));
        }
        Ok(id)
    }
}

impl Sink<'_> {
    /// Hands over what does not fill a block.
    fn finish(mut self) {
        for bytes in self.builder.take_open() {
            let _ = self.sender.send(Grown::Node(bytes));
        }
    }
}
