//! Reading many objects at once: each block is unpacked once, on all cores.
//!
//! Rests on the look-up of single objects, which answers wherever anything is unusual. Invariants: every object is
//! hashed; the answers come in the order of the questions; what is returned holds no block, so memory is that of the
//! objects and of one block a thread.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::error::StoreError;
use super::opened::Store;
use super::pack::Entry;
use super::pack::PackReader;
use super::pack::each_checked;
use crate::object::ObjectBytes;
use crate::object::ObjectId;

/// More threads than this do not make reading from one disk faster.
const THREADS_MAX: usize = 8;
/// Fewer objects than this are not worth a thread each.
const OBJECTS_A_THREAD: usize = 64;
/// Ids that a thread takes at a time.
const IDS_AT_A_TIME: usize = 256;

/// An object that was found: which question it answers, who holds its block, and where it lies.
pub(super) type Place<H> = (usize, H, Entry);

/// Somebody who holds blocks.
pub(super) trait Holder: Sync {
    /// Tells its blocks from those of others.
    fn serial(&self) -> u64;
    /// Unpacks a block.
    fn read_block(&self, index: u32) -> Result<Vec<u8>, StoreError>;
}

impl Holder for Arc<PackReader> {
    fn serial(&self) -> u64 {
        PackReader::serial(self)
    }

    fn read_block(&self, index: u32) -> Result<Vec<u8>, StoreError> {
        PackReader::read_block(self, index)
    }
}

impl Store {
    /// As [`Store::read`] for each of `ids`.
    pub(super) fn read_many(&self, ids: &[ObjectId]) -> Result<Vec<Option<ObjectBytes>>, StoreError> {
        let snapshot = self.snapshot();
        let shares: Vec<_> = ids.chunks(IDS_AT_A_TIME).enumerate().collect();
        let places: Vec<Place<_>> = in_parallel(threads_for(ids.len()), &shares, |(share, ids), out| {
            let find = |(at, id)| snapshot.find_unchecked(id).map(|(reader, entry)| (at, reader, entry));
            out.extend((share * IDS_AT_A_TIME..).zip(ids.iter()).filter_map(find));
        });
        let mut answers = vec![None; ids.len()];
        self.fill(places, &mut answers);
        for (answer, id) in answers.iter_mut().zip(ids) {
            if answer.is_none() {
                *answer = self.read(id)?;
            }
        }
        Ok(answers)
    }

    /// Reads the objects at `places` into the answers that they belong to; what cannot be read, or is not what it
    /// should be, leaves its answer as it is.
    pub(super) fn fill<H: Holder + Send>(
        &self,
        mut places: Vec<Place<H>>,
        answers: &mut [Option<ObjectBytes>],
    ) {
        places.sort_unstable_by_key(|(_, holder, entry)| (holder.serial(), entry.block, entry.offset));
        let blocks: Vec<_> =
            places.chunk_by(|a, b| (a.1.serial(), a.2.block) == (b.1.serial(), b.2.block)).collect();
        let found = in_parallel(threads_for(places.len()), &blocks, |block, out| {
            let (_, holder, first) = &block[0];
            let cached = self.cache().get((holder.serial(), first.block));
            let read = if cached.is_none() { holder.read_block(first.block).ok() } else { None };
            let Some(bytes) = cached.as_deref().or(read.as_ref()) else { return };
            let entries: Vec<_> = block.iter().map(|(.., entry)| *entry).collect();
            let objects = block.iter().zip(each_checked(bytes, &entries));
            out.extend(objects.filter_map(|((at, ..), object)| Some((*at, object.ok()?.to_vec()))));
        });
        for (at, bytes) in found {
            answers[at] = Some(ObjectBytes::from(bytes));
        }
    }
}

fn threads_for(objects: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    (objects / OBJECTS_A_THREAD).clamp(1, cores)
}

/// Does `work` for each item, on so many threads; the results come in no order.
fn in_parallel<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T, &mut Vec<R>) + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Vec::new());
    let run = || {
        let mut results = Vec::new();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item, &mut results);
        }
        all.lock().unwrap_or_else(PoisonError::into_inner).append(&mut results);
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}
