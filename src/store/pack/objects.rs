//! Walking every object of a pack in the order in which it lies there, one block unpacked at a time.
//!
//! Rests on the reader. Invariant: every object that the table names is yielded once, as its bytes or as an error.

use std::sync::Arc;

use super::format::Entry;
use super::read::PackReader;
use super::read::slice_of;
use crate::object::Kind;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::store::error::StoreError;

/// A block with its kind, or why it could not be unpacked.
type Loaded = Result<(Kind, Arc<Vec<u8>>), String>;

/// Iterator over the objects of one pack; see [`crate::store::Store::iter_objects`].
#[derive(Debug)]
pub struct PackObjects {
    reader: Arc<PackReader>,
    entries: std::vec::IntoIter<Entry>,
    faults: std::vec::IntoIter<StoreError>,
    block: Option<(u32, Loaded)>,
}

impl PackObjects {
    /// Reads the table; its damaged buckets come first, as errors.
    pub fn new(reader: Arc<PackReader>) -> Self {
        let (entries, faults) = rows_in_order(&reader);
        Self { reader, entries: entries.into_iter(), faults: faults.into_iter(), block: None }
    }

    /// As [`Self::new`], for the rows whose number in the table (from 0) `wanted` names. A damaged bucket is an error.
    ///
    /// # Errors
    /// When a bucket cannot be read or does not match its check.
    pub(in crate::store) fn chosen(
        reader: Arc<PackReader>,
        wanted: impl Fn(u32) -> bool,
    ) -> Result<Self, StoreError> {
        let mut entries = Vec::new();
        let mut position = 0;
        for bucket in 0..reader.buckets() {
            for entry in reader.entries_of(bucket)? {
                if wanted(position) {
                    entries.push(entry);
                }
                position += 1;
            }
        }
        entries.sort_unstable_by_key(|entry| (entry.block, entry.offset, entry.id));
        Ok(Self { reader, entries: entries.into_iter(), faults: Vec::new().into_iter(), block: None })
    }

    /// As [`Self::new`], cut at block borders into about `parts` walks over equal shares.
    pub(super) fn in_parts(reader: &Arc<PackReader>, parts: usize) -> Vec<Self> {
        let (mut entries, faults) = rows_in_order(reader);
        let share = entries.len() / parts.max(1) + 1;
        let mut walks = vec![Self {
            reader: Arc::clone(reader),
            entries: Vec::new().into_iter(),
            faults: faults.into_iter(),
            block: None,
        }];
        while !entries.is_empty() {
            let first = entries.len().saturating_sub(share);
            let cut = entries.partition_point(|entry| entry.block < entries[first].block);
            walks.push(Self {
                reader: Arc::clone(reader),
                entries: entries.split_off(cut).into_iter(),
                faults: Vec::new().into_iter(),
                block: None,
            });
        }
        walks
    }

    fn load(&mut self, index: u32) -> &Loaded {
        let reader = &self.reader;
        let block = match self.block.take() {
            Some((loaded, block)) if loaded == index => block,
            _ => reader
                .block(index)
                .and_then(|row| Ok((row.kind, Arc::new(reader.read_block(index)?))))
                .map_err(|error| match error {
                    StoreError::Damaged { detail, .. } => detail,
                    other => other.to_string(),
                }),
        };
        &self.block.insert((index, block)).1
    }
}

/// The rows of the table in the order in which the objects lie, and the buckets that are damaged.
fn rows_in_order(reader: &PackReader) -> (Vec<Entry>, Vec<StoreError>) {
    let mut entries = Vec::with_capacity(reader.objects() as usize);
    let mut faults = Vec::new();
    for bucket in 0..reader.buckets() {
        match reader.entries_of(bucket) {
            Ok(rows) => entries.extend(rows),
            Err(fault) => faults.push(fault),
        }
    }
    entries.sort_unstable_by_key(|entry| (entry.block, entry.offset, entry.id));
    (entries, faults)
}

impl Iterator for PackObjects {
    type Item = Result<(ObjectId, Kind, ObjectBytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(fault) = self.faults.next() {
            return Some(Err(fault));
        }
        let entry = self.entries.next()?;
        let place = self.reader.path().to_owned();
        Some(match self.load(entry.block) {
            Ok((kind, block)) => slice_of(block, &entry, &place).map(|bytes| (entry.id, *kind, bytes)),
            Err(detail) => Err(StoreError::Corrupt { id: entry.id, place, detail: detail.clone() }),
        })
    }
}
