//! What is known of objects without reading them again: their lengths, what their records say, and the rows of each leaf.
//!
//! Rests on the census of the packs. Invariants: an object has one number, whoever names it, and is ticked off once; a leaf is kept
//! only where each of its rows is a record of its dataset that carries the key it stands under, so that whoever compares rows
//! by their numbers has nothing left to ask but what they say of each other.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

use super::links::{Linker, RECORDS, Row, chosen_hash, key_hash, source_hash};
use crate::object::{ObjectId, RootId};
use crate::store::{Census, Store};
use crate::tree::{self, Entry};

/// All objects that were looked at.
pub(super) struct Known {
    census: Census<Option<Row>>,
    linker: Linker,
    /// Those that the census does not have.
    others: Mutex<Others>,
}

#[derive(Default)]
struct Others {
    /// By the first 16 bytes of the id.
    places: FxHashMap<u128, usize>,
    rows: Vec<Option<Row>>,
}

/// What is known of an object before it is read.
pub(super) struct Look {
    /// Its number.
    pub(super) number: u32,
    /// Whether nobody has looked at it before.
    pub(super) first: bool,
    /// Its length, where its pack was checked.
    pub(super) len: Option<u64>,
}

impl Known {
    pub(super) fn new(census: Census<Option<Row>>) -> Self {
        Self { census, linker: Linker::new(), others: Mutex::default() }
    }

    /// Ticks an object off.
    pub(super) fn look(&self, id: &ObjectId) -> Look {
        if let Some(counted) = self.census.tick(id) {
            return Look { number: counted.number, first: counted.first, len: Some(counted.len) };
        }
        let mut others = self.others();
        let next = others.rows.len();
        let place = *others.places.entry(id.leading()).or_insert(next);
        if place == next {
            others.rows.push(None);
        }
        let place_number = u32::try_from(place).unwrap_or(u32::MAX);
        let number = self.census.total().saturating_add(place_number);
        Look { number, first: place == next, len: None }
    }

    /// Keeps what an object says that the census does not have.
    pub(super) fn see(&self, number: u32, id: &ObjectId, bytes: &[u8]) {
        let row = self.linker.read(id, bytes);
        if let Some(place) = number.checked_sub(self.census.total())
            && let Some(kept) = self.others().rows.get_mut(place as usize)
        {
            *kept = row;
        }
    }

    /// What the object with this number says; `None` where it is no record.
    pub(super) fn row(&self, number: u32) -> Option<Row> {
        match number.checked_sub(self.census.total()) {
            None => self.census.seen(number).copied().flatten(),
            Some(place) => self.others().rows.get(place as usize).copied().flatten(),
        }
    }

    /// What `id` says as a row of the dataset at `kind`; `None` for what is no such record.
    pub(super) fn get(&self, id: &ObjectId, kind: usize) -> Option<Row> {
        let number = self.census.number(id).or_else(|| {
            let place = *self.others().places.get(&id.leading())?;
            Some(self.census.total().saturating_add(u32::try_from(place).ok()?))
        })?;
        self.row(number).filter(|row| usize::from(row.kind) == kind)
    }

    fn others(&self) -> MutexGuard<'_, Others> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows of one leaf, in order.
#[derive(Debug, Default)]
struct Leaf {
    numbers: Vec<u32>,
    /// Of source rows, key and id; of pairs, the key of the chosen side. Of others, nothing.
    marks: Vec<u128>,
}

/// What the rows of a dataset are to be.
#[derive(Clone, Copy)]
enum Shape {
    Sources,
    Pairs(u8),
    Records(u8),
}

/// The leaves of one dataset whose rows are as they should be.
#[derive(Default)]
pub(super) struct Leaves {
    shape: Option<Shape>,
    whole: FxHashMap<u128, Leaf>,
    /// The leaf whose rows are coming; `None` where one of them was not as it should be.
    open: Option<(u128, Leaf)>,
}

impl Leaves {
    /// For the trees that stand under `name`; nothing is kept of trees whose rows no other row names.
    pub(super) fn of(name: &str) -> Self {
        let record = RECORDS.iter().position(|(dataset, _)| *dataset == name);
        let kind = record.and_then(|kind| u8::try_from(kind).ok());
        let shape = match kind {
            Some(kind) if name == "exports/preference" => Some(Shape::Pairs(kind)),
            Some(kind) => Some(Shape::Records(kind)),
            None => (name == "sources").then_some(Shape::Sources),
        };
        Self { shape, ..Self::default() }
    }

    /// A node begins.
    pub(super) fn node(&mut self, id: &ObjectId, level: u8) {
        self.end();
        if level == 0 && self.shape.is_some() {
            self.open = Some((id.leading(), Leaf::default()));
        }
    }

    /// A row of the leaf that was begun last, and what is known of it.
    pub(super) fn row(&mut self, known: &Known, entry: &Entry, number: u32) {
        let (Some(shape), Some((_, leaf))) = (self.shape, &mut self.open) else { return };
        leaf.numbers.push(number);
        let kind = match shape {
            Shape::Sources => return leaf.marks.push(source_hash(&entry.id, &entry.key)),
            Shape::Pairs(kind) => {
                leaf.marks.push(chosen_hash(&entry.key).into());
                kind
            }
            Shape::Records(kind) => kind,
        };
        let is_sound = known
            .row(number)
            .is_some_and(|row| row.kind == kind && !row.flawed && row.key == key_hash(entry.key.as_bytes()));
        if !is_sound {
            self.open = None;
        }
    }

    /// The row that was to come cannot be used.
    pub(super) fn spoil(&mut self) {
        self.open = None;
    }

    /// No more rows come for now.
    pub(super) fn end(&mut self) {
        if let Some((id, mut leaf)) = self.open.take() {
            leaf.numbers.shrink_to_fit();
            leaf.marks.shrink_to_fit();
            self.whole.insert(id, leaf);
        }
    }
}

/// The rows of whole datasets, by number.
pub(super) struct Rows<'a> {
    pub(super) store: &'a Store,
    pub(super) known: &'a Known,
    pub(super) leaves: &'a BTreeMap<String, Leaves>,
}

impl Rows<'_> {
    /// The numbers and marks of all rows of a dataset, in order; `None` where a row or a node is not as it should be.
    pub(super) fn of(&self, dataset: &str, root: RootId) -> Option<(Vec<u32>, Vec<u128>)> {
        let leaves = self.leaves.get(dataset)?;
        let (mut numbers, mut marks) = (Vec::new(), Vec::new());
        for id in tree::leaves(self.store, root).ok()? {
            let leaf = leaves.whole.get(&id.leading())?;
            numbers.extend_from_slice(&leaf.numbers);
            marks.extend_from_slice(&leaf.marks);
        }
        Some((numbers, marks))
    }
}
