//! The roll: every object of every pack, held against what somebody says of some of them.
//!
//! Rests on sorting by spilled runs and on the packs' own sorted tables, which are merged in one pass. Invariants: memory
//! is bounded by a buffer and the directories of the packs, whatever the number of objects; no object is read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::StoreError;
use super::lookup::missing_pack_is_damage;
use super::opened::PackInfo;
use super::opened::Store;
use super::pack::PackReader;
use super::pack::PackRow;
use super::pack::PackRows;
use crate::base::sort::Sorted;
use crate::base::sort::Sorter;
use crate::object::Kind;
use crate::object::ObjectId;

/// Labels beyond this are spilled: 64 MiB hold a million.
const LABEL_MEMORY_BYTES: usize = 64 << 20;
/// An id and a label.
const RECORD_BYTES: usize = 32 + 8;
/// This many labelled objects that no pack holds are named.
const MISSING_MAX: usize = 20;

/// What is said of objects: a number for each id, of which the smallest counts where one is named repeatedly.
pub struct Labels {
    sorter: Sorter,
    tmp: PathBuf,
}

impl std::fmt::Debug for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Labels").field("tmp", &self.tmp).finish_non_exhaustive()
    }
}

impl Labels {
    /// No labels; what memory does not hold goes to files in `tmp`.
    pub fn new(tmp: &Path) -> Self {
        Self { sorter: Sorter::new(tmp.to_owned(), LABEL_MEMORY_BYTES), tmp: tmp.to_owned() }
    }

    /// Labels an object.
    ///
    /// # Errors
    /// When what memory does not hold cannot be written.
    pub fn add(&mut self, id: &ObjectId, label: u64) -> Result<(), StoreError> {
        let mut record = [0; RECORD_BYTES];
        record[..32].copy_from_slice(id.as_bytes());
        // Big-endian, so that of one id the smallest label comes first.
        record[32..].copy_from_slice(&label.to_be_bytes());
        self.sorter.push(&record).map_err(StoreError::io("write", &self.tmp))
    }
}

/// The labels in order of id, each id once.
struct Stream {
    sorted: Sorted,
    tmp: PathBuf,
    record: Vec<u8>,
    next: Option<(ObjectId, u64)>,
}

impl Stream {
    fn new(labels: Labels) -> Result<Self, StoreError> {
        let Labels { sorter, tmp } = labels;
        let sorted = sorter.finish().map_err(StoreError::io("sort", &tmp))?;
        let mut stream = Self { sorted, tmp, record: Vec::new(), next: None };
        stream.advance()?;
        Ok(stream)
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        let before = self.next.take().map(|(id, _)| id);
        while self.sorted.next_into(&mut self.record).map_err(StoreError::io("read", &self.tmp))? {
            let (mut id, mut label) = ([0; 32], [0; 8]);
            id.copy_from_slice(&self.record[..32]);
            label.copy_from_slice(&self.record[32..]);
            let id = ObjectId::from_bytes(id);
            if before != Some(id) {
                self.next = Some((id, u64::from_be_bytes(label)));
                break;
            }
        }
        Ok(())
    }
}

/// One object of one pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollRow {
    /// Which of [`Roll::packs`].
    pub pack: usize,
    /// Number of its row in the pack's table, from 0.
    pub position: u32,
    /// The object.
    pub id: ObjectId,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its share of its block as packed, in thousandths of a byte.
    pub packed_milli: u64,
    /// What it is packed with.
    pub kind: Kind,
    /// What was said of it.
    pub label: Option<u64>,
    /// Whether a later pack holds it too, so that this copy is not the one that is read.
    pub is_copy: bool,
}

/// What was gone through.
#[derive(Clone, Debug, Default)]
pub struct Roll {
    /// The packs, in the order in which they were published.
    pub packs: Vec<PackInfo>,
    /// Labelled objects that no pack holds, with their labels: the first few.
    pub missing: Vec<(ObjectId, u64)>,
}

/// The walk of one pack and its next row.
struct Turn {
    rows: PackRows,
    row: PackRow,
}

impl Store {
    /// Tells `visit` of every object of every pack as of the last refresh, in order of id; of an object in several
    /// packs, the copy of the latest pack comes first. `tell_missing` says which labels a pack must hold.
    ///
    /// # Errors
    /// When a pack is missing or its table is damaged; what `visit` says; I/O.
    pub fn roll_call<E: From<StoreError>>(
        &self,
        labels: Labels,
        tell_missing: impl Fn(u64) -> bool,
        mut visit: impl FnMut(&RollRow) -> Result<(), E>,
    ) -> Result<Roll, E> {
        let (packs, readers) = self.all_readers()?;
        let mut turns: Vec<Option<Turn>> = Vec::with_capacity(readers.len());
        let mut heap = BinaryHeap::with_capacity(readers.len());
        for (pack, reader) in readers.into_iter().enumerate() {
            let mut rows = PackRows::new(reader)?;
            let first = rows.next_row()?;
            heap.extend(first.map(|row| Reverse((row.entry.id, Reverse(pack)))));
            turns.push(first.map(|row| Turn { rows, row }));
        }
        let mut labels = Stream::new(labels)?;
        let mut roll = Roll { packs, missing: Vec::new() };
        let mut last: Option<(ObjectId, Option<u64>)> = None;
        while let Some(Reverse((id, Reverse(pack)))) = heap.pop() {
            let Some(turn) = &mut turns[pack] else { continue };
            let PackRow { entry, position, kind, packed_milli } = turn.row;
            let (label, is_copy) = match last {
                Some((before, label)) if before == id => (label, true),
                _ => (labels.upto(&id, &tell_missing, &mut roll.missing)?, false),
            };
            last = Some((id, label));
            let bytes = u64::from(entry.len);
            visit(&RollRow { pack, position, id, bytes, packed_milli, kind, label, is_copy })?;
            if let Some(row) = turn.rows.next_row()? {
                if row.entry.id <= id {
                    let detail = format!("object {} stands in the wrong place of the table", row.entry.id);
                    return Err(StoreError::damaged(&roll.packs[pack].path, detail).into());
                }
                turn.row = row;
                heap.push(Reverse((row.entry.id, Reverse(pack))));
            }
        }
        labels.rest(&tell_missing, &mut roll.missing)?;
        Ok(roll)
    }

    /// Every pack, opened: one that a merge or a collection takes away later can still be read.
    fn all_readers(&self) -> Result<(Vec<PackInfo>, Vec<Arc<PackReader>>), StoreError> {
        self.retrying(|snapshot| {
            let readers = snapshot.packs.iter().map(|slot| slot.reader()).collect::<Result<_, _>>()?;
            Ok((self.pack_infos(snapshot), readers))
        })
        .map_err(missing_pack_is_damage)
    }
}

impl Stream {
    /// The label of `id`, if it has one; labels before it belong to nothing that is stored.
    fn upto(
        &mut self,
        id: &ObjectId,
        tell: &impl Fn(u64) -> bool,
        missing: &mut Vec<(ObjectId, u64)>,
    ) -> Result<Option<u64>, StoreError> {
        while let Some((labelled, label)) = self.next {
            match labelled.cmp(id) {
                std::cmp::Ordering::Greater => return Ok(None),
                std::cmp::Ordering::Equal => {
                    self.advance()?;
                    return Ok(Some(label));
                }
                std::cmp::Ordering::Less => self.pass(labelled, label, tell, missing)?,
            }
        }
        Ok(None)
    }

    fn rest(
        &mut self,
        tell: &impl Fn(u64) -> bool,
        missing: &mut Vec<(ObjectId, u64)>,
    ) -> Result<(), StoreError> {
        while let Some((labelled, label)) = self.next {
            self.pass(labelled, label, tell, missing)?;
        }
        Ok(())
    }

    fn pass(
        &mut self,
        id: ObjectId,
        label: u64,
        tell: &impl Fn(u64) -> bool,
        missing: &mut Vec<(ObjectId, u64)>,
    ) -> Result<(), StoreError> {
        if tell(label) && missing.len() < MISSING_MAX {
            missing.push((id, label));
        }
        self.advance()
    }
}
