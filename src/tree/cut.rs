//! Where one node ends and the next begins: a function of the keys in the node so far, and of nothing else.
//!
//! After each entry a 32-bit hash of (level, key) is compared with a threshold that grows with the third power of the
//! size reached, which makes node sizes Weibull-distributed (shape 4) instead of geometric: a quarter of the spread.
//! Rests on BLAKE3. Invariants: integers only, so every platform cuts alike; values never move a boundary; a node that
//! was cut has at least [`SIZE_MIN`] of size, which is four entries, so that the height is logarithmic.

/// The longest key in bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// The longest node in bytes. No sequence of keys reaches it; a reader refuses more.
pub const NODE_BYTES_MAX: usize = 32 * 1024;

/// No tree that fits in 2^64 rows is higher: all nodes of a level but its last have at least four entries.
pub(super) const LEVEL_MAX: u8 = 40;

/// What an entry is taken to cost beside its key: two brackets, four quotes, the commas, 64 digits of id, and 4 of length.
const ENTRY_OVERHEAD: u64 = 77;

/// No node is cut below this size.
const SIZE_MIN: u64 = 1024;

/// Every node that reaches this size is cut.
const SIZE_MAX: u64 = 20 * 1024;

/// The scale of the distribution: with a hazard of 4x³/λ⁴ for each byte and λ⁴ = 3·2⁵¹ (λ = 9,066, mean 8,217 bytes), the
/// threshold for an entry of size s is s·4x³/λ⁴·2³² = s·x³ / (3·2¹⁷).
const SCALE: u64 = 3 << 17;

const ENTRY_SIZE_MAX: u64 = KEY_BYTES_MAX as u64 + ENTRY_OVERHEAD;
// Four entries at least in a node that was cut.
const _: () = assert!(3 * ENTRY_SIZE_MAX < SIZE_MIN);
// The product below fits.
const _: () = assert!((SIZE_MAX + ENTRY_SIZE_MAX).pow(3) < u64::MAX / ENTRY_SIZE_MAX);
// The longest node: each entry has at most 37 digits more than its size allows for, and is of size 78 at least.
const _: () =
    assert!((SIZE_MAX + ENTRY_SIZE_MAX) + (SIZE_MAX + ENTRY_SIZE_MAX) / 78 * 37 + 64 < NODE_BYTES_MAX as u64);

/// Decides, entry by entry, where the nodes of one level end.
#[derive(Debug)]
pub(super) struct Cutter {
    level: u8,
    size: u64,
}

impl Cutter {
    pub(super) const fn new(level: u8) -> Self {
        Self { level, size: 0 }
    }

    /// Whether the node ends after `key`; if so, the next key begins a new one. The key has at most [`KEY_BYTES_MAX`] bytes.
    pub(super) fn ends_after(&mut self, key: &[u8]) -> bool {
        let entry_size = key.len() as u64 + ENTRY_OVERHEAD;
        self.size += entry_size;
        let ends = self.size >= SIZE_MIN
            && (self.size >= SIZE_MAX
                || u64::from(key_hash(self.level, key)) < threshold(entry_size, self.size));
        if ends {
            self.size = 0;
        }
        ends
    }
}

/// Of 2^32 hashes, how many end a node that has reached `size` with an entry of `entry_size`.
const fn threshold(entry_size: u64, size: u64) -> u64 {
    entry_size * (size * size * size) / SCALE
}

/// The first four bytes, little-endian, of BLAKE3(level as one byte ‖ key).
fn key_hash(level: u8, key: &[u8]) -> u32 {
    let mut input = [0; 1 + KEY_BYTES_MAX];
    input[0] = level;
    input[1..=key.len()].copy_from_slice(key);
    let digest = blake3::hash(&input[..=key.len()]);
    let [a, b, c, d, ..] = *digest.as_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_pinned() {
        for (entry_size, size, expect) in [
            (78, 1024, 212_992),
            (110, 4096, 19_223_893),
            (110, 8192, 153_791_146),
            (332, 20_480, 7_252_650_666),
        ] {
            assert_eq!(threshold(entry_size, size), expect, "threshold({entry_size}, {size})");
        }
        for (level, key, expect) in
            [(0, "a", 3_995_203_103), (1, "a", 1_251_544_136), (0, "2026/01/31/runs/4f", 113_035_383)]
        {
            assert_eq!(key_hash(level, key.as_bytes()), expect, "hash({level}, {key})");
        }
    }

    #[test]
    fn a_node_is_never_cut_below_the_minimum_and_always_at_the_maximum() {
        for key_bytes in [1, 32, KEY_BYTES_MAX] {
            let mut cutter = Cutter::new(0);
            let mut size = 0;
            for n in 0..50_000 {
                let key = format!("{n:0key_bytes$}");
                let key = &key.as_bytes()[key.len() - key_bytes..];
                size += key.len() as u64 + ENTRY_OVERHEAD;
                assert_eq!(cutter.size + key.len() as u64 + ENTRY_OVERHEAD, size);
                if cutter.ends_after(key) {
                    assert!((SIZE_MIN..SIZE_MAX + ENTRY_SIZE_MAX).contains(&size), "{size}");
                    size = 0;
                }
                assert!(size < SIZE_MAX, "{size}");
            }
        }
    }
}
