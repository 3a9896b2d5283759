//! Walking every object of a pack in the order in which it lies there, one block unpacked at a time.
//!
//! Rests on the reader. Invariant: every object that the table names is yielded once, as its bytes or as an error.

use std::sync::Arc;

use super::read::PackReader;
use super::read::slice_of;
use super::table::Table;
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
    table: Table,
    order: std::vec::IntoIter<u32>,
    faults: std::vec::IntoIter<StoreError>,
    block: Option<(u32, Loaded)>,
}

impl PackObjects {
    /// Reads the table; its damaged buckets come first, as errors.
    ///
    /// # Errors
    /// When the table cannot be read at all.
    pub fn new(reader: Arc<PackReader>) -> Result<Self, StoreError> {
        let table = Table::read(&reader)?;
        let faults: Vec<_> = table.damaged_buckets().iter().map(|at| reader.damaged_bucket(*at)).collect();
        let order = table.in_pack_order(reader.blocks()).into_iter();
        Ok(Self { reader, table, order, faults: faults.into_iter(), block: None })
    }

    /// As [`Self::new`], for the rows whose number in the table (from 0) `wanted` names. A damaged bucket is an error.
    ///
    /// # Errors
    /// When the table cannot be read, or a bucket does not match its check.
    pub(in crate::store) fn chosen(
        reader: Arc<PackReader>,
        wanted: impl Fn(u32) -> bool,
    ) -> Result<Self, StoreError> {
        let mut objects = Self::new(reader)?;
        if let Some(fault) = objects.faults.next() {
            return Err(fault);
        }
        let order: Vec<u32> = objects.order.filter(|row| wanted(*row)).collect();
        Ok(Self { order: order.into_iter(), ..objects })
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

impl Iterator for PackObjects {
    type Item = Result<(ObjectId, Kind, ObjectBytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(fault) = self.faults.next() {
            return Some(Err(fault));
        }
        let entry = self.table.entry(self.order.next()?);
        let reader = Arc::clone(&self.reader);
        Some(match self.load(entry.block) {
            Ok((kind, block)) => slice_of(block, &entry, reader.path()).map(|bytes| (entry.id, *kind, bytes)),
            Err(detail) => {
                let place = reader.path().to_owned();
                Err(StoreError::Corrupt { id: entry.id, place, detail: detail.clone() })
            }
        })
    }
}
