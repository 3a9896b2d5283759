//! Tables of fingerprints: what a pass remembers of every record, in as little memory as it goes.
//!
//! Rests on nothing. A fingerprint is 128 bits of a cryptographic hash, so its own bits say where it stands. The table
//! is cut into shards that grow one by one, each by a third: a table of ten million is never copied as a whole, and
//! three quarters of it are in use where a power of two would leave half empty. Invariant: it answers as a map does.

/// Shards, by the last byte of a fingerprint.
const SHARDS: usize = 256;
/// Places of a shard that is new.
const PLACES_MIN: usize = 8;

/// A map from fingerprints to numbers. About 27 bytes an entry.
#[derive(Debug)]
pub(super) struct PrintMap {
    shards: Vec<Shard>,
}

/// A set of fingerprints. About 21 bytes an entry.
#[derive(Debug)]
pub(super) struct PrintSet {
    shards: Vec<Shard>,
}

/// Open addressing with linear probing: a fingerprint stands at its home or in the next place that was free.
#[derive(Debug, Default)]
struct Shard {
    /// 0 where nobody stands.
    prints: Vec<u128>,
    /// The numbers of a map; empty in a set.
    numbers: Vec<u32>,
    used: usize,
}

fn shards() -> Vec<Shard> {
    (0..SHARDS).map(|_| Shard::default()).collect()
}

/// What stands for 0, which means that a place is free; nobody ever finds a text whose hash begins with either.
const ZERO: u128 = 1 << 64;

fn shard_of(shards: &mut [Shard], print: u128) -> (&mut Shard, u128) {
    // The lowest byte: the highest ones say where in the shard.
    (&mut shards[usize::from(print.to_le_bytes()[0])], if print == 0 { ZERO } else { print })
}

impl Default for PrintMap {
    fn default() -> Self {
        Self { shards: shards() }
    }
}

impl PrintMap {
    /// The number of `print`, if it has one.
    pub(super) fn get(&mut self, print: u128) -> Option<u32> {
        let (shard, print) = shard_of(&mut self.shards, print);
        shard.find(print).ok().map(|at| shard.numbers[at])
    }

    /// Gives `print` a number; the one that it has already is returned, and stays.
    pub(super) fn insert(&mut self, print: u128, number: u32) -> Option<u32> {
        let (shard, print) = shard_of(&mut self.shards, print);
        match shard.enter(print, true) {
            (at, true) => {
                shard.numbers[at] = number;
                None
            }
            (at, false) => Some(shard.numbers[at]),
        }
    }
}

impl Default for PrintSet {
    fn default() -> Self {
        Self { shards: shards() }
    }
}

impl PrintSet {
    /// Enters `print`; `false` when it was there.
    pub(super) fn insert(&mut self, print: u128) -> bool {
        let (shard, print) = shard_of(&mut self.shards, print);
        shard.enter(print, false).1
    }
}

impl Shard {
    /// Where `print` stands, or the free place where it would.
    fn find(&self, print: u128) -> Result<usize, usize> {
        let places = self.prints.len();
        if places == 0 {
            return Err(0);
        }
        // The first 64 bits as a fraction of 2^64, of the places there are: always less than their number.
        let share = ((print >> 64) * places as u128) >> 64;
        let mut at = usize::try_from(share).unwrap_or_default();
        loop {
            match self.prints[at] {
                0 => return Err(at),
                other if other == print => return Ok(at),
                _ => at = if at + 1 == places { 0 } else { at + 1 },
            }
        }
    }

    /// Where `print` stands now, and whether it is new there.
    fn enter(&mut self, print: u128, numbered: bool) -> (usize, bool) {
        match self.find(print) {
            Ok(at) => return (at, false),
            // Seven of eight places at most, so that what is looked for is found, or missed, after a few.
            Err(at) if (self.used + 1) * 8 <= self.prints.len() * 7 => {
                self.prints[at] = print;
                self.used += 1;
                return (at, true);
            }
            Err(_) => {}
        }
        self.grow(numbered);
        self.enter(print, numbered)
    }

    fn grow(&mut self, numbered: bool) {
        let places = (self.prints.len() * 4 / 3).max(PLACES_MIN);
        let numbers = if numbered { vec![0; places] } else { Vec::new() };
        let old = std::mem::replace(self, Self { prints: vec![0; places], numbers, used: self.used });
        for (from, print) in old.prints.iter().enumerate().filter(|(_, print)| **print != 0) {
            let (Ok(at) | Err(at)) = self.find(*print);
            self.prints[at] = *print;
            if numbered {
                self.numbers[at] = old.numbers[from];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn print(n: u64) -> u128 {
        let mut half = [0; 16];
        half.copy_from_slice(&blake3::hash(&n.to_le_bytes()).as_bytes()[..16]);
        u128::from_le_bytes(half)
    }

    #[test]
    fn it_answers_as_a_map_does() {
        let (mut map, mut set) = (PrintMap::default(), PrintSet::default());
        let mut model = HashMap::new();
        // Every print comes twice or three times, and some of them share their first or last bits.
        for n in 0..60_000_u32 {
            let print = match n % 7 {
                0 => u128::from(n / 14),
                1 => u128::from(n / 14) << 100,
                _ => print(u64::from(n % 20_000)),
            };
            let before = model.get(&print).copied();
            assert_eq!(map.get(print), before, "{print:x}");
            assert_eq!(map.insert(print, n), before);
            assert_eq!(set.insert(print), before.is_none());
            model.entry(print).or_insert(n);
        }
        assert!(model.len() > 20_000);
        assert!(model.iter().all(|(print, n)| map.get(*print) == Some(*n)));
    }

    #[test]
    fn most_places_are_in_use() {
        let mut map = PrintMap::default();
        for n in 0..500_000 {
            map.insert(print(n), 0);
        }
        let places: usize = map.shards.iter().map(|shard| shard.prints.len()).sum();
        assert!(places < 500_000 * 3 / 2, "{places} places");
        assert!(map.shards.iter().all(|shard| shard.used * 8 <= shard.prints.len() * 7));
    }
}
