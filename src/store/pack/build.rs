//! Gathering objects into compressed blocks, in the worker that made them.
//!
//! Rests on zstd. Invariants: a block is unpacked again and compared as soon as it is made; which objects share a block depends on the order of `push` alone, so the same objects in
//! the same order give the same blocks on any machine.

use std::io;

use rustc_hash::FxHashSet;

use super::format::DATA_BLOCK_BYTES;
use super::format::NODE_BLOCK_BYTES;
use super::format::OBJECT_BYTES_MAX;
use super::format::ZSTD_LEVEL;
use super::read::unpack;
use crate::object::Kind;
use crate::object::ObjectId;
use crate::store::error::StoreError;

/// One object's place within an unpacked block.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Slot {
    pub(in crate::store) id: ObjectId,
    pub(in crate::store) offset: u32,
    pub(in crate::store) len: u32,
}

/// A compressed block and the objects in it.
#[derive(Debug)]
pub struct SealedBlock {
    pub(super) kind: Kind,
    pub(super) packed: Vec<u8>,
    pub(super) unpacked_len: u32,
    pub(in crate::store) slots: Vec<Slot>,
}

impl SealedBlock {
    /// How many objects it holds.
    pub fn objects(&self) -> usize {
        self.slots.len()
    }

    /// Its size in the pack, in bytes.
    pub fn packed_len(&self) -> usize {
        self.packed.len()
    }
}

#[derive(Debug, Default)]
struct OpenBlock {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

/// Gathers objects into compressed blocks; worker-local, so that compression runs on every core.
#[derive(Default)]
pub struct BlockBuilder {
    data: OpenBlock,
    node: OpenBlock,
    sealed: Vec<SealedBlock>,
    seen: FxHashSet<ObjectId>,
    compressor: Option<zstd::bulk::Compressor<'static>>,
}

impl std::fmt::Debug for BlockBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockBuilder").field("objects", &self.seen.len()).finish_non_exhaustive()
    }
}

impl BlockBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an object whose id the caller has computed. The same id pushed twice is kept once.
    ///
    /// # Errors
    /// [`StoreError::ObjectTooLarge`]; an I/O error when compression runs out of memory.
    pub fn push(&mut self, kind: Kind, id: ObjectId, bytes: &[u8]) -> Result<(), StoreError> {
        let too_large = StoreError::ObjectTooLarge { bytes: bytes.len() as u64, limit: OBJECT_BYTES_MAX };
        if bytes.len() as u64 > OBJECT_BYTES_MAX {
            return Err(too_large);
        }
        let Ok(len) = u32::try_from(bytes.len()) else { return Err(too_large) };
        if !self.seen.insert(id) {
            return Ok(());
        }
        let target = match kind {
            Kind::Data => DATA_BLOCK_BYTES,
            Kind::Node => NODE_BLOCK_BYTES,
        };
        if bytes.len() >= target {
            let alone = Slot { id, offset: 0, len };
            let block = self.seal(kind, bytes, vec![alone])?;
            self.sealed.push(block);
            return Ok(());
        }
        if self.open(kind).bytes.len() + bytes.len() > target {
            self.seal_open(kind)?;
        }
        let open = self.open(kind);
        let offset = u32::try_from(open.bytes.len()).unwrap_or(u32::MAX);
        open.bytes.extend_from_slice(bytes);
        open.slots.push(Slot { id, offset, len });
        Ok(())
    }

    /// Compresses what is left and returns every block, in the order in which they filled.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(mut self) -> Result<Vec<SealedBlock>, StoreError> {
        self.drain()
    }

    /// As [`Self::finish`], and the builder can be used again.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn drain(&mut self) -> Result<Vec<SealedBlock>, StoreError> {
        self.seal_open(Kind::Data)?;
        self.seal_open(Kind::Node)?;
        Ok(self.take_sealed())
    }

    /// The blocks that are full by now.
    pub fn take_sealed(&mut self) -> Vec<SealedBlock> {
        for slot in self.sealed.iter().flat_map(|block| &block.slots) {
            self.seen.remove(&slot.id);
        }
        std::mem::take(&mut self.sealed)
    }

    /// The objects in blocks that are still filling, in the order in which they came, data first. The builder is empty
    /// afterwards but for sealed blocks.
    pub fn take_open(&mut self) -> Vec<Vec<u8>> {
        let mut objects = Vec::new();
        for open in [std::mem::take(&mut self.data), std::mem::take(&mut self.node)] {
            for slot in open.slots {
                self.seen.remove(&slot.id);
                let start = slot.offset as usize;
                objects.push(open.bytes[start..start + slot.len as usize].to_vec());
            }
        }
        objects
    }

    /// How many objects lie in blocks that are still filling.
    pub(in crate::store) fn open_objects(&self) -> u64 {
        (self.data.slots.len() + self.node.slots.len()) as u64
    }

    /// Whether `id` was pushed and not yet handed out in a block.
    pub(in crate::store) fn contains(&self, id: &ObjectId) -> bool {
        self.seen.contains(id)
    }

    /// The bytes of an object in a block that is still filling.
    pub(in crate::store) fn find_open(&self, id: &ObjectId) -> Option<&[u8]> {
        [&self.data, &self.node].into_iter().find_map(|open| {
            let slot = open.slots.iter().find(|slot| slot.id == *id)?;
            let start = slot.offset as usize;
            Some(&open.bytes[start..start + slot.len as usize])
        })
    }

    fn open(&mut self, kind: Kind) -> &mut OpenBlock {
        match kind {
            Kind::Data => &mut self.data,
            Kind::Node => &mut self.node,
        }
    }

    fn seal_open(&mut self, kind: Kind) -> Result<(), StoreError> {
        let mut open = std::mem::take(self.open(kind));
        if open.slots.is_empty() {
            return Ok(());
        }
        let block = self.seal(kind, &open.bytes, open.slots)?;
        self.sealed.push(block);
        open.bytes.clear();
        *self.open(kind) = OpenBlock { bytes: open.bytes, slots: Vec::new() };
        Ok(())
    }

    fn seal(&mut self, kind: Kind, bytes: &[u8], slots: Vec<Slot>) -> Result<SealedBlock, StoreError> {
        let fail = |source| StoreError::Io { action: "compress a block for", path: "packs".into(), source };
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => none.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(fail)?),
        };
        let packed = compressor.compress(bytes).map_err(fail)?;
        let unpacked_len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        // Before anything is published: what was packed can be unpacked. That the disk has it is checked at the end.
        if unpack(&packed, unpacked_len).is_ok_and(|unpacked| unpacked == bytes) {
            return Ok(SealedBlock { kind, packed, unpacked_len, slots });
        }
        Err(fail(io::Error::other("what was packed does not unpack to the same bytes")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> ObjectId {
        ObjectId::of(&n.to_le_bytes())
    }

    #[test]
    fn blocks_fill_to_their_target_and_large_objects_stand_alone() {
        let mut builder = BlockBuilder::new();
        for n in 0..100 {
            builder.push(Kind::Data, id(n), &[7; 4000]).expect("fits");
            builder.push(Kind::Data, id(n), &[7; 4000]).expect("a repeat is nothing");
        }
        builder.push(Kind::Data, id(1000), &vec![1; 270_000]).expect("fits");
        builder.push(Kind::Node, id(1001), &[1; 10]).expect("fits");
        let blocks = builder.finish().expect("compresses");
        let shape: Vec<_> = blocks.iter().map(|b| (b.kind, b.objects(), b.unpacked_len)).collect();
        assert_eq!(
            shape,
            [
                (Kind::Data, 65, 260_000),
                (Kind::Data, 1, 270_000),
                (Kind::Data, 35, 140_000),
                (Kind::Node, 1, 10)
            ]
        );
    }

    #[test]
    fn builders_move_between_threads() {
        fn send<T: Send>() {}
        send::<BlockBuilder>();
        send::<SealedBlock>();
    }
}
