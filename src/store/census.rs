//! What the sound packs hold, in memory: a verification asks about every row of every dataset, and a look-up in a file
//! for each would cost more than hashing all of them.
//!
//! Rests on the tables that a check of packs has read. Invariants: only packs in which every object was just hashed are
//! in it; an id is known by its first 16 bytes, so that two objects are never taken for one by accident or by anything
//! short of 2^64 hashes; objects are numbered as they lie in the packs, so that what rows of one dataset lead to lies
//! together; 24 bytes and a bit an object, and what was seen of it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use super::pack::Table;
use crate::object::ObjectId;

/// The objects of sound packs, each of which can be ticked off once, with what was seen of them; threads may share it.
#[derive(Debug)]
pub struct Census<T = ()> {
    packs: Vec<PackCensus<T>>,
    total: u32,
}

impl<T> Default for Census<T> {
    fn default() -> Self {
        Self { packs: Vec::new(), total: 0 }
    }
}

/// An object that a sound pack holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Its number in the census.
    pub number: u32,
    /// Its length in bytes.
    pub len: u64,
    /// Whether nobody has ticked it off before.
    pub first: bool,
}

#[derive(Debug)]
struct PackCensus<T> {
    /// In order of id.
    prefixes: Vec<u128>,
    /// Length, and place in the pack, of each of these.
    places: Vec<(u32, u32)>,
    /// Where the prefixes with these leading bits begin, one more for the end.
    starts: Vec<u32>,
    shift: u32,
    /// By place.
    ticked: Vec<AtomicU64>,
    /// By place.
    seen: Vec<T>,
    /// The number of the object in its first place.
    first: u32,
}

impl<T> Census<T> {
    /// Takes in a pack in which every object was hashed and holds; it erases nothing. `order` are the rows of its table as
    /// their objects lie, `seen` what was seen of each of those.
    pub(super) fn add(&mut self, table: &Table, order: &[u32], seen: Vec<T>) {
        let rows = table.len();
        // What cannot be numbered is read where it is asked for.
        let Some(total) = self.total.checked_add(rows) else { return };
        let (mut prefixes, mut places) =
            (Vec::with_capacity(rows as usize), Vec::with_capacity(rows as usize));
        for row in 0..rows {
            let entry = table.entry(row);
            prefixes.push(entry.id.leading());
            places.push((entry.len, 0));
        }
        for (place, row) in (0..).zip(order) {
            places[*row as usize].1 = place;
        }
        // About four to a bucket.
        let bits = (rows / 4).checked_ilog2().unwrap_or(0).clamp(1, 24);
        let shift = 128 - bits;
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        let mut at = 0;
        for bucket in 0..=1_u32 << bits {
            while at < rows && prefixes[at as usize] >> shift < u128::from(bucket) {
                at += 1;
            }
            starts.push(at);
        }
        let ticked = (0..rows.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let first = std::mem::replace(&mut self.total, total);
        self.packs.push(PackCensus { prefixes, places, starts, shift, ticked, seen, first });
    }

    /// How many objects have a number.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Ticks off `id`; `None` where no sound pack holds it.
    pub fn tick(&self, id: &ObjectId) -> Option<Counted> {
        let prefix = id.leading();
        // An object that lies in several packs is always ticked off in the same one.
        self.packs.iter().rev().find_map(|pack| pack.tick(prefix))
    }

    /// The number of `id`; `None` where no sound pack holds it.
    pub fn number(&self, id: &ObjectId) -> Option<u32> {
        let prefix = id.leading();
        self.packs.iter().rev().find_map(|pack| Some(pack.first + pack.places[pack.find(prefix)?].1))
    }

    /// What was seen of the object with this number.
    pub fn seen(&self, number: u32) -> Option<&T> {
        let after = self.packs.partition_point(|pack| pack.first <= number);
        let pack = self.packs.get(after.checked_sub(1)?)?;
        pack.seen.get((number - pack.first) as usize)
    }
}

impl<T> PackCensus<T> {
    fn find(&self, prefix: u128) -> Option<usize> {
        let bucket = usize::try_from(prefix >> self.shift).ok()?;
        let (start, end) = (self.starts[bucket] as usize, self.starts[bucket + 1] as usize);
        Some(start + self.prefixes[start..end].binary_search(&prefix).ok()?)
    }

    fn tick(&self, prefix: u128) -> Option<Counted> {
        let (len, place) = self.places[self.find(prefix)?];
        let bit = 1 << (place % 64);
        let before = self.ticked[place as usize / 64].fetch_or(bit, Ordering::Relaxed);
        Some(Counted { number: self.first + place, len: len.into(), first: before & bit == 0 })
    }
}
