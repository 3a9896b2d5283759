//! What a reader remembers of its table once it has been asked often enough to pay for it.
//!
//! Rests on the reader. Invariants: a filter is made of buckets that match their checks, so that damage is met by look-ups and never
//! turned into "absent"; places in memory are believed by nobody who does not hash the object; those of all packs of the process
//! together hold no more than [`PLACES_MAX`].

use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::format;
use super::format::Entry;
use super::read::PackReader;
use crate::object::ObjectId;
use crate::store::error::StoreError;

/// Places that may be in memory together, 16 bytes each: 96 MiB, enough for a run over some 1.5 million rows.
const PLACES_MAX: usize = 6 << 20;
/// Buckets that are read at a time, some 64 objects of 44 bytes each.
const BUCKETS_AT_A_TIME: usize = 256;

/// Places that are in memory.
static PLACES: AtomicUsize = AtomicUsize::new(0);

/// How often a table was asked, and what is remembered of it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    checked: AtomicU32,
    filter: OnceLock<Option<Filter>>,
    unchecked: AtomicU32,
    places: OnceLock<Option<Places>>,
}

impl Asked {
    /// Whether the pack has no such object, known without a read; counts as a question.
    pub(super) fn surely_absent(&self, reader: &PackReader, id: &ObjectId) -> bool {
        let filter = || self.filter.get_or_init(|| Filter::build(reader).ok()).as_ref();
        is_often(&self.checked, reader) && filter().is_some_and(|filter| !filter.may_contain(id))
    }

    /// Where each object lies, where that is in memory; counts as a question.
    pub(super) fn places(&self, reader: &PackReader) -> Option<&Places> {
        if !is_often(&self.unchecked, reader) {
            return None;
        }
        self.places.get_or_init(|| Places::read(reader)).as_ref()
    }
}

/// Whether so many questions came that reading the whole table costs less than the reads for them did.
fn is_often(questions: &AtomicU32, reader: &PackReader) -> bool {
    let enough = reader.objects() / 64 + 64;
    // Not counted on: the count must not come round to nothing.
    questions.load(Ordering::Relaxed) >= enough || questions.fetch_add(1, Ordering::Relaxed) >= enough
}

/// Where the objects of a pack lie, in the order of its table; of an id it has what tells it from others of its bucket.
#[derive(Debug)]
pub(super) struct Places {
    places: Vec<Place>,
    /// What they count for, of [`PLACES_MAX`].
    count: usize,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// See [`tail_of`].
    tail: u32,
    block: u32,
    offset: u32,
    len: u32,
}

/// The 32 bits of an id after those that choose its bucket: in order within a bucket. That two objects of a bucket share them happens
/// in one of some thirty packs of four million objects; then one of them does not hash to its name, and is looked up in the file.
fn tail_of(id: &ObjectId, fan_bits: u32) -> u32 {
    let bits = format::u64_at(id.as_bytes(), 0).swap_bytes();
    u32::try_from(bits << fan_bits >> 32).unwrap_or(u32::MAX)
}

impl Places {
    /// `None` where there is no room for them, or the table cannot be read.
    fn read(reader: &PackReader) -> Option<Self> {
        let count = reader.objects() as usize;
        let room = |held: usize| held.checked_add(count).filter(|sum| *sum <= PLACES_MAX);
        PLACES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        // From here on its end gives back what it took.
        let mut held = Self { places: Vec::with_capacity(count), count };
        let buckets = reader.fan_out().len();
        for first in (0..buckets).step_by(BUCKETS_AT_A_TIME) {
            let rows = reader.rows_of(first..buckets.min(first + BUCKETS_AT_A_TIME)).ok()?;
            held.places.extend(rows.chunks_exact(format::ENTRY_LEN).map(|row| {
                let Entry { id, block, offset, len } = Entry::decode(row);
                Place { tail: tail_of(&id, reader.fan_bits()), block, offset, len }
            }));
        }
        Some(held)
    }

    /// Where `id` probably lies; `rows` are those of its bucket.
    pub(super) fn find(&self, rows: std::ops::Range<u32>, id: &ObjectId, fan_bits: u32) -> Option<Entry> {
        let bucket = &self.places[rows.start as usize..rows.end as usize];
        let tail = tail_of(id, fan_bits);
        let found = bucket.binary_search_by_key(&tail, |place| place.tail).ok()?;
        let Place { block, offset, len, .. } = bucket[found];
        Some(Entry { id: *id, block, offset, len })
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        PLACES.fetch_sub(self.count, Ordering::Relaxed);
    }
}

/// Two bits per object in a bitmap of 16 bits per object: says "absent" without a read for 98.6 of 100 absent ids.
#[derive(Debug)]
struct Filter {
    bits: Vec<u64>,
    mask: u64,
}

impl Filter {
    /// Reads every bucket, each against its check: a damaged one must be met by look-ups, not turned into "absent".
    fn build(reader: &PackReader) -> Result<Self, StoreError> {
        let size = (u64::from(reader.objects()) * 16).next_power_of_two().max(64);
        let mut filter = Self { bits: vec![0; usize::try_from(size / 64).unwrap_or(1)], mask: size - 1 };
        for bucket in 0..reader.fan_out().len() {
            for row in reader.bucket(bucket)?.chunks_exact(format::ENTRY_LEN) {
                for probe in Self::probes(&ObjectId::from_bytes(format::digest_at(row, 0))) {
                    let bit = probe & filter.mask;
                    filter.bits[(bit / 64) as usize] |= 1 << (bit % 64);
                }
            }
        }
        Ok(filter)
    }

    fn probes(id: &ObjectId) -> [u64; 2] {
        [format::u64_at(id.as_bytes(), 8), format::u64_at(id.as_bytes(), 16)]
    }

    fn may_contain(&self, id: &ObjectId) -> bool {
        Self::probes(id).iter().all(|probe| {
            let bit = probe & self.mask;
            self.bits[(bit / 64) as usize] & (1 << (bit % 64)) != 0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_bucket_are_in_order_of_its_ids() {
        let mut ids: Vec<_> = (0..5000_u32).map(|n| ObjectId::of(&n.to_le_bytes())).collect();
        ids.sort_unstable();
        for fan_bits in [0, 1, 5, 8, 24] {
            let places: Vec<_> =
                ids.iter().map(|id| (format::bucket_of(id, fan_bits), tail_of(id, fan_bits))).collect();
            assert!(places.is_sorted_by(|a, b| a < b), "{fan_bits}");
        }
    }
}
