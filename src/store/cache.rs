//! The unpacked blocks that were used last, within a budget of bytes.
//!
//! Rests on a map and a queue of uses. Invariant: what is held never exceeds the budget by more than one block.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

/// Names a block: the reader's serial and the block's index.
pub(super) type BlockKey = (u64, u32);

/// Least recently used blocks leave first.
#[derive(Debug)]
pub(super) struct BlockCache {
    blocks: FxHashMap<BlockKey, (u64, Arc<Vec<u8>>)>,
    uses: BTreeMap<u64, BlockKey>,
    clock: u64,
    bytes: usize,
    budget: usize,
}

impl BlockCache {
    pub(super) fn new(budget: usize) -> Self {
        Self { blocks: FxHashMap::default(), uses: BTreeMap::new(), clock: 0, bytes: 0, budget }
    }

    pub(super) fn get(&mut self, key: BlockKey) -> Option<Arc<Vec<u8>>> {
        let (used, block) = self.blocks.get_mut(&key)?;
        self.uses.remove(used);
        self.clock += 1;
        *used = self.clock;
        self.uses.insert(self.clock, key);
        Some(Arc::clone(block))
    }

    /// Keeps a block, unless it is so large that it would push out most others.
    pub(super) fn put(&mut self, key: BlockKey, block: &Arc<Vec<u8>>) {
        if block.len() > self.budget / 4 {
            return;
        }
        self.remove(key);
        self.clock += 1;
        self.bytes += block.len();
        self.uses.insert(self.clock, key);
        self.blocks.insert(key, (self.clock, Arc::clone(block)));
        while self.bytes > self.budget
            && let Some((_, oldest)) = self.uses.pop_first()
        {
            if let Some((_, block)) = self.blocks.remove(&oldest) {
                self.bytes -= block.len();
            }
        }
    }

    pub(super) fn remove(&mut self, key: BlockKey) {
        if let Some((used, block)) = self.blocks.remove(&key) {
            self.uses.remove(&used);
            self.bytes -= block.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_block_leaves() {
        let mut cache = BlockCache::new(1000);
        for n in 0..4 {
            cache.put((0, n), &Arc::new(vec![0; 250]));
        }
        assert!(cache.get((0, 0)).is_some());
        cache.put((0, 4), &Arc::new(vec![0; 250]));
        cache.put((0, 5), &Arc::new(vec![0; 251]));
        let held: Vec<_> = (0..6).map(|n| cache.get((0, n)).is_some()).collect();
        assert_eq!(held, [true, false, true, true, true, false], "1 was oldest, 5 is over a quarter");
        assert_eq!((cache.bytes, cache.uses.len()), (1000, 4));
    }
}
