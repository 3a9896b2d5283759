//! What a reader remembers of its table once it has been asked often enough to pay for it.
//!
//! Rests on the reader. Invariants: a filter is made of buckets that match their checks, so that damage is met by look-ups and never
//! turned into "absent"; rows in memory are believed by nobody who does not hash the object; all tables of the process
//! together hold no more than [`TABLE_BYTES_MAX`].

use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::format;
use super::read::PackReader;
use crate::object::ObjectId;
use crate::store::error::StoreError;

/// Bytes that the tables in memory may have together: those of 1.5 million objects, a run over some 350,000 rows.
const TABLE_BYTES_MAX: usize = 64 << 20;

/// Bytes that they have.
static TABLE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// How often a table was asked, and what is remembered of it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    checked: AtomicU32,
    filter: OnceLock<Option<Filter>>,
    unchecked: AtomicU32,
    table: OnceLock<Option<HeldTable>>,
}

impl Asked {
    /// Whether the pack has no such object, known without a read; counts as a question.
    pub(super) fn surely_absent(&self, reader: &PackReader, id: &ObjectId) -> bool {
        let filter = || self.filter.get_or_init(|| Filter::build(reader).ok()).as_ref();
        is_often(&self.checked, reader) && filter().is_some_and(|filter| !filter.may_contain(id))
    }

    /// The rows of the table, unchecked, where they are in memory; counts as a question.
    pub(super) fn table(&self, reader: &PackReader) -> Option<&[u8]> {
        if !is_often(&self.unchecked, reader) {
            return None;
        }
        self.table.get_or_init(|| HeldTable::read(reader)).as_ref().map(|table| table.rows.as_slice())
    }
}

/// Whether so many questions came that reading the whole table costs less than the reads for them did.
fn is_often(questions: &AtomicU32, reader: &PackReader) -> bool {
    let enough = reader.objects() / 64 + 64;
    // Not counted on: the count must not come round to nothing.
    questions.load(Ordering::Relaxed) >= enough || questions.fetch_add(1, Ordering::Relaxed) >= enough
}

/// The rows of a table, within what all tables may hold.
#[derive(Debug)]
struct HeldTable {
    rows: Vec<u8>,
}

impl HeldTable {
    /// `None` where there is no room for it, or it cannot be read.
    fn read(reader: &PackReader) -> Option<Self> {
        let bytes = reader.objects() as usize * format::ENTRY_LEN;
        let room = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= TABLE_BYTES_MAX);
        TABLE_BYTES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        let table = reader.table().ok().map(|rows| Self { rows });
        if table.is_none() {
            give_back(bytes);
        }
        table
    }
}

impl Drop for HeldTable {
    fn drop(&mut self) {
        give_back(self.rows.len());
    }
}

fn give_back(bytes: usize) {
    TABLE_BYTES.fetch_sub(bytes, Ordering::Relaxed);
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
