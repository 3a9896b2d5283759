//! Hashing many small objects at once: BLAKE3's lanes are filled with blocks of different objects.
//!
//! Rests on the compression functions of the `blake3` crate, which hashes one input at a time: an object of a kilobyte is one chunk, whose
//! blocks depend on each other, so that seven of eight lanes stay empty. Those functions are no promise of the crate, so its version is pinned.
//! Invariant: the ids are those of [`ObjectId::of`], which a test holds for all lengths; whoever finds another id than he expected asks
//! that function before he speaks of damage.
//!
//! Source: O'Connor, Aumasson, Neves, Wilcox-O'Hearn, "BLAKE3: one function, fast everywhere" (2020), sections 2.1 to 2.5.

use blake3::IncrementCounter;
use blake3::platform::Platform;

use super::id::ObjectId;

/// A chaining value.
type Words = [u32; 8];

const IV: Words =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 2;
const PARENT: u8 = 4;
const ROOT: u8 = 8;

const BLOCK_LEN: usize = 64;
const CHUNK_LEN: usize = 1024;
/// The number of blocks of a chunk that is hashed to its end in the lanes.
const WHOLE: usize = CHUNK_LEN / BLOCK_LEN;
/// Chunks of the largest object that is hashed here; larger ones fill the lanes by themselves.
const CHUNKS_MAX: usize = 8;
/// Objects that are hashed at a time: more fill the lanes no better, and a forged table may name the bytes of a block a million times.
const OBJECTS_AT_A_TIME: usize = 1024;

/// A chunk of an object.
struct Chunk<'a> {
    bytes: &'a [u8],
    /// Its number within its object.
    counter: u64,
    /// It is all of its object.
    is_root: bool,
    value: Words,
}

impl Chunk<'_> {
    /// How many blocks go through the lanes: all of a whole chunk, which lies beside others; else all but the last one.
    fn blocks(&self) -> usize {
        match self.bytes.len() {
            CHUNK_LEN if !self.is_root => WHOLE,
            len => len.saturating_sub(1) / BLOCK_LEN,
        }
    }
}

/// The ids of `objects`, in their order.
pub(super) fn ids(objects: &[&[u8]]) -> Vec<ObjectId> {
    let platform = Platform::detect();
    let mut ids = Vec::with_capacity(objects.len());
    for batch in objects.chunks(OBJECTS_AT_A_TIME) {
        add_batch(platform, batch, &mut ids);
    }
    ids
}

fn add_batch(platform: Platform, objects: &[&[u8]], ids: &mut Vec<ObjectId>) {
    let mut chunks: Vec<Chunk<'_>> = Vec::with_capacity(objects.len() * 2);
    for object in objects.iter().filter(|object| is_small(object)) {
        let is_root = object.len() <= CHUNK_LEN;
        let chunk = |(counter, bytes)| Chunk { bytes, counter, is_root, value: IV };
        match object.len() {
            0 => chunks.push(chunk((0, *object))),
            _ => chunks.extend((0..).zip(object.chunks(CHUNK_LEN)).map(chunk)),
        }
    }
    // What goes through the lanes together has the same length and the same place in its object.
    let mut order: Vec<(usize, u64, u32)> =
        (0..).zip(&chunks).map(|(at, chunk)| (chunk.blocks(), chunk.counter, at)).collect();
    order.sort_unstable();
    for together in order.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        lanes(platform, &mut chunks, together);
    }
    for chunk in &mut chunks {
        finish(platform, chunk);
    }
    let mut rest = chunks.as_slice();
    let mut values = Vec::with_capacity(CHUNKS_MAX);
    let id = |object: &&[u8]| {
        if !is_small(object) {
            return ObjectId::of(object);
        }
        let (own, others) = rest.split_at(object.len().div_ceil(CHUNK_LEN).max(1));
        rest = others;
        values.clear();
        values.extend(own.iter().map(|chunk| chunk.value));
        ObjectId::from_bytes(bytes_of(&subtree(platform, &values, ROOT)))
    };
    ids.extend(objects.iter().map(id));
}

fn is_small(object: &[u8]) -> bool {
    object.len() <= CHUNKS_MAX * CHUNK_LEN
}

/// Takes the first blocks of chunks of one length and one number through the lanes.
fn lanes(platform: Platform, chunks: &mut [Chunk<'_>], together: &[(usize, u64, u32)]) {
    let (blocks, counter, _) = together[0];
    macro_rules! of_length {
        ($($blocks:literal)*) => {
            match blocks {
                $($blocks => same_length::<{ $blocks * BLOCK_LEN }>(platform, chunks, together, counter),)*
                _ => {}
            }
        };
    }
    of_length!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
}

fn same_length<const N: usize>(
    platform: Platform,
    chunks: &mut [Chunk<'_>],
    together: &[(usize, u64, u32)],
    counter: u64,
) {
    let inputs: Vec<&[u8; N]> =
        together.iter().filter_map(|(.., at)| chunks[*at as usize].bytes.first_chunk::<N>()).collect();
    let mut out = vec![0; inputs.len() * 32];
    let end = if N == CHUNK_LEN { CHUNK_END } else { 0 };
    platform.hash_many(&inputs, &IV, counter, IncrementCounter::No, 0, CHUNK_START, end, &mut out);
    for ((.., at), value) in together.iter().zip(out.chunks_exact(32)) {
        chunks[*at as usize].value = words_of(value);
    }
}

/// The last block of a chunk that did not go through the lanes as a whole.
fn finish(platform: Platform, chunk: &mut Chunk<'_>) {
    let blocks = chunk.blocks();
    if blocks == WHOLE {
        return;
    }
    let last = &chunk.bytes[blocks * BLOCK_LEN..];
    let mut block = [0; BLOCK_LEN];
    block[..last.len()].copy_from_slice(last);
    let start = if blocks == 0 { CHUNK_START } else { 0 };
    let root = if chunk.is_root { ROOT } else { 0 };
    // A block has 64 bytes at most.
    let len = u8::try_from(last.len()).unwrap_or(u8::MAX);
    platform.compress_in_place(&mut chunk.value, &block, len, chunk.counter, start | CHUNK_END | root);
}

/// The value of chunks that lie beside each other; of several, the left subtree has the largest power of two that leaves something for the
/// right one. `flags` are those of the topmost node.
fn subtree(platform: Platform, chunks: &[Words], flags: u8) -> Words {
    if let [alone] = chunks {
        return *alone;
    }
    let (left, right) = chunks.split_at(chunks.len().next_power_of_two() / 2);
    let mut block = [0; BLOCK_LEN];
    block[..32].copy_from_slice(&bytes_of(&subtree(platform, left, 0)));
    block[32..].copy_from_slice(&bytes_of(&subtree(platform, right, 0)));
    let mut value = IV;
    platform.compress_in_place(&mut value, &block, 64, 0, PARENT | flags);
    value
}

fn words_of(bytes: &[u8]) -> Words {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    words
}

fn bytes_of(words: &Words) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn same(objects: &[&[u8]]) {
        let alone: Vec<_> = objects.iter().map(|object| ObjectId::of(object)).collect();
        assert_eq!(
            ids(objects),
            alone,
            "{:?}",
            objects.iter().map(|object| object.len()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn ids_of_all_lengths_are_those_of_the_objects_alone() {
        let bytes: Vec<u8> =
            (0..20_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let longest = CHUNKS_MAX * CHUNK_LEN + 70;
        // Each alone, where no lane is filled, and all in one batch, where all are.
        let objects: Vec<&[u8]> = (0..=longest).map(|len| &bytes[len % 97..][..len]).collect();
        for object in &objects {
            same(&[object]);
        }
        same(&objects);
        same(&[]);
    }

    proptest! {
        #[test]
        fn ids_of_a_batch_are_those_of_the_objects_alone(
            objects in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4000), 0..60),
        ) {
            let objects: Vec<&[u8]> = objects.iter().map(Vec::as_slice).collect();
            same(&objects);
        }
    }
}
