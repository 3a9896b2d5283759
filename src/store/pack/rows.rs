//! The table of a pack in order of id, with what each object takes on disk.
//!
//! Rests on the reader. Invariant: a bucket is held against its check before a row of it is told.

use std::sync::Arc;

use super::format::Entry;
use super::read::PackReader;
use crate::object::Kind;
use crate::store::error::StoreError;

/// A walk over the rows of one pack, in order of id.
#[derive(Debug)]
pub(in crate::store) struct PackRows {
    reader: Arc<PackReader>,
    /// Kind, packed and unpacked length of each block.
    blocks: Vec<(Kind, u32, u32)>,
    bucket: usize,
    rows: std::vec::IntoIter<Entry>,
    position: u32,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct PackRow {
    pub(in crate::store) entry: Entry,
    /// Its number in the table, from 0.
    pub(in crate::store) position: u32,
    pub(in crate::store) kind: Kind,
    /// Its share of its block as packed, in thousandths of a byte.
    pub(in crate::store) packed_milli: u64,
}

impl PackRows {
    /// Reads the directory.
    pub(in crate::store) fn new(reader: Arc<PackReader>) -> Result<Self, StoreError> {
        let mut blocks = Vec::with_capacity(reader.blocks() as usize);
        for index in 0..reader.blocks() {
            let block = reader.block(index)?;
            blocks.push((block.kind, block.packed_len, block.unpacked_len));
        }
        Ok(Self { reader, blocks, bucket: 0, rows: Vec::new().into_iter(), position: 0 })
    }

    /// The next row.
    pub(in crate::store) fn next_row(&mut self) -> Result<Option<PackRow>, StoreError> {
        loop {
            if let Some(entry) = self.rows.next() {
                let position = self.position;
                self.position += 1;
                let Some(&(kind, packed, unpacked)) = self.blocks.get(entry.block as usize) else {
                    let detail = format!("object {} is said to lie in a block that is not there", entry.id);
                    return Err(StoreError::damaged(self.reader.path(), detail));
                };
                let packed_milli = (u64::from(packed) * 1000)
                    .checked_mul(u64::from(entry.len))
                    .and_then(|share| share.checked_div(u64::from(unpacked)))
                    .unwrap_or(0);
                return Ok(Some(PackRow { entry, position, kind, packed_milli }));
            }
            if self.bucket == self.reader.fan_out().len() {
                return Ok(None);
            }
            self.rows = self.reader.entries_of(self.bucket)?.into_iter();
            self.bucket += 1;
        }
    }
}
