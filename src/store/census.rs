//! What the sound packs hold, in memory: a verification asks about every row of every dataset, and a look-up in a file
//! for each would cost more than hashing all of them.
//!
//! Rests on the tables that a check of packs has read. Invariants: only packs in which every object was just hashed are
//! in it; an id is known by its first 16 bytes, so that two objects are never taken for one by accident or by anything
//! short of 2^64 hashes; 20 bytes and a bit an object.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use super::pack::Table;
use crate::object::ObjectId;

/// The objects of sound packs, each of which can be ticked off once; threads may share it.
#[derive(Debug, Default)]
pub struct Census {
    packs: Vec<PackCensus>,
}

/// An object that a sound pack holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Its length in bytes.
    pub len: u64,
    /// Whether nobody has ticked it off before.
    pub first: bool,
}

#[derive(Debug)]
struct PackCensus {
    prefixes: Vec<u128>,
    lens: Vec<u32>,
    /// Where the prefixes with these leading bits begin, one more for the end.
    starts: Vec<u32>,
    shift: u32,
    ticked: Vec<AtomicU64>,
}

impl Census {
    /// Takes in a pack in which every object was hashed and holds; it erases nothing.
    pub(super) fn add(&mut self, table: &Table) {
        let rows = table.len();
        let (mut prefixes, mut lens) = (Vec::with_capacity(rows as usize), Vec::with_capacity(rows as usize));
        for row in 0..rows {
            let entry = table.entry(row);
            prefixes.push(prefix(&entry.id));
            lens.push(entry.len);
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
        self.packs.push(PackCensus { prefixes, lens, starts, shift, ticked });
    }

    /// Ticks off `id`; `None` where no sound pack holds it.
    pub fn tick(&self, id: &ObjectId) -> Option<Counted> {
        let prefix = prefix(id);
        // An object that lies in several packs is always ticked off in the same one.
        self.packs.iter().rev().find_map(|pack| pack.tick(prefix))
    }
}

impl PackCensus {
    fn tick(&self, prefix: u128) -> Option<Counted> {
        let bucket = usize::try_from(prefix >> self.shift).ok()?;
        let (start, end) = (self.starts[bucket] as usize, self.starts[bucket + 1] as usize);
        let at = start + self.prefixes[start..end].binary_search(&prefix).ok()?;
        let bit = 1 << (at % 64);
        let before = self.ticked[at / 64].fetch_or(bit, Ordering::Relaxed);
        Some(Counted { len: self.lens[at].into(), first: before & bit == 0 })
    }
}

/// The first 16 bytes of an id, in the order of ids.
fn prefix(id: &ObjectId) -> u128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&id.as_bytes()[..16]);
    u128::from_be_bytes(bytes)
}
