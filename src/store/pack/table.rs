//! The whole table of one pack in memory, for whoever goes through every object.
//!
//! Rests on the reader. Invariant: rows of a bucket that does not match its check are there as bytes and believed by
//! nobody: they are left out of the order in which objects lie.

use super::format;
use super::format::ENTRY_LEN;
use super::format::Entry;
use super::read::PackReader;
use crate::store::error::StoreError;

/// The rows of a table, in order of id.
#[derive(Debug)]
pub(in crate::store) struct Table {
    rows: Vec<u8>,
    /// Rows up to the end of each bucket.
    ends: Vec<u32>,
    damaged: Vec<u32>,
}

impl Table {
    /// Reads the table, and holds each bucket against its check.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub(super) fn read(reader: &PackReader) -> Result<Self, StoreError> {
        let rows = reader.table()?;
        let mut damaged = Vec::new();
        let (mut ends, mut start) = (Vec::with_capacity(reader.fan_out().len()), 0);
        for (bucket, (end, check)) in (0..).zip(reader.fan_out()) {
            if format::bucket_check(&rows[start as usize * ENTRY_LEN..*end as usize * ENTRY_LEN]) != *check {
                damaged.push(bucket);
            }
            ends.push(*end);
            start = *end;
        }
        Ok(Self { rows, ends, damaged })
    }

    /// How many rows there are.
    pub(in crate::store) fn len(&self) -> u32 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// One row.
    pub(in crate::store) fn entry(&self, row: u32) -> Entry {
        Entry::decode(&self.rows[row as usize * ENTRY_LEN..][..ENTRY_LEN])
    }

    /// The buckets that do not match their checks.
    pub(super) fn damaged_buckets(&self) -> &[u32] {
        &self.damaged
    }

    /// The bucket that holds a row.
    pub(super) fn bucket_holding(&self, row: u32) -> usize {
        self.ends.partition_point(|end| *end <= row)
    }

    fn start_of(&self, bucket: usize) -> u32 {
        bucket.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    /// The rows of sound buckets in the order in which their objects lie in a pack of so many blocks.
    pub(super) fn in_pack_order(&self, blocks: u32) -> Vec<u32> {
        // By counting: the number of a row's block is all but its place. A block that is not there comes last.
        let place = |row: u32| self.entry(row).block.min(blocks) as usize;
        let sound = || {
            (0..self.ends.len())
                .filter(|bucket| {
                    self.damaged.binary_search(&u32::try_from(*bucket).unwrap_or(u32::MAX)).is_err()
                })
                .flat_map(|bucket| self.start_of(bucket)..self.ends[bucket])
        };
        let mut ends = vec![0_u32; blocks as usize + 2];
        for row in sound() {
            ends[place(row) + 1] += 1;
        }
        for block in 1..ends.len() {
            ends[block] += ends[block - 1];
        }
        let mut order = vec![0; ends[blocks as usize + 1] as usize];
        let mut next = ends.clone();
        for row in sound() {
            let slot = &mut next[place(row)];
            order[*slot as usize] = row;
            *slot += 1;
        }
        for block in 0..=blocks as usize {
            let rows = &mut order[ends[block] as usize..ends[block + 1] as usize];
            rows.sort_unstable_by_key(|row| {
                let entry = self.entry(*row);
                (entry.block, entry.offset, entry.id)
            });
        }
        order
    }
}
