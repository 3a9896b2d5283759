//! Reading many objects at once: each block is unpacked once, on all cores.
//!
//! Rests on the look-up of single objects, which answers wherever anything is unusual. Invariants: every object is
//! hashed; the answers come in the order of the questions; what is returned holds no block, so memory is that of the
//! objects and of one block a thread.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::error::StoreError;
use super::opened::Store;
use super::pack::Entry;
use super::pack::PackReader;
use super::pack::checked;
use crate::object::ObjectBytes;
use crate::object::ObjectId;

/// More threads than this do not make reading from one disk faster.
const THREADS_MAX: usize = 8;
/// Fewer objects than this are not worth a thread each.
const OBJECTS_A_THREAD: usize = 64;
/// Ids that a thread takes at a time.
const IDS_AT_A_TIME: usize = 256;

/// An object that was found: which question it answers, and where it lies.
type Place = (usize, std::sync::Arc<PackReader>, Entry);

impl Store {
    /// As [`Store::read`] for each of `ids`.
    pub(super) fn read_many(&self, ids: &[ObjectId]) -> Result<Vec<Option<ObjectBytes>>, StoreError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let threads = (ids.len() / OBJECTS_A_THREAD).clamp(1, cores);
        let snapshot = self.snapshot();
        let shares: Vec<_> = ids.chunks(IDS_AT_A_TIME).enumerate().collect();
        let mut places: Vec<Place> = in_parallel(threads, &shares, |(share, ids), out| {
            let find = |(at, id)| snapshot.find_unchecked(id).map(|(reader, entry)| (at, reader, entry));
            out.extend((share * IDS_AT_A_TIME..).zip(ids.iter()).filter_map(find));
        });
        places.sort_unstable_by_key(|(_, reader, entry)| (reader.serial(), entry.block, entry.offset));
        let blocks: Vec<_> =
            places.chunk_by(|a, b| (a.1.serial(), a.2.block) == (b.1.serial(), b.2.block)).collect();
        let found = in_parallel(threads, &blocks, |block, out| {
            let (_, reader, first) = &block[0];
            let cached = self.cache().get((reader.serial(), first.block));
            let read = if cached.is_none() { reader.read_block(first.block).ok() } else { None };
            let Some(bytes) = cached.as_deref().or(read.as_ref()) else { return };
            for (at, _, entry) in *block {
                if let Ok(object) = checked(bytes, entry) {
                    out.push((*at, object.to_vec()));
                }
            }
        });
        let mut answers = vec![None; ids.len()];
        for (at, bytes) in found {
            answers[at] = Some(ObjectBytes::from(bytes));
        }
        for (answer, id) in answers.iter_mut().zip(ids) {
            if answer.is_none() {
                *answer = self.read(id)?;
            }
        }
        Ok(answers)
    }
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
