//! Writing one pack: blocks as they come, the table at the end.
//!
//! Rests on positioned writes. Invariant: a pack under construction can be read back at any time, block by block.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::path::PathBuf;

use rustc_hash::FxHashMap;

use super::build::SealedBlock;
use super::format;
use super::format::Block;
use super::format::Entry;
use super::format::Footer;
use super::read::unpack;
use crate::base::fs::EarlySync;
use crate::object::ObjectId;
use crate::store::error::StoreError;
use crate::store::operation::PackEntry;

/// A pack being written. Dropping it leaves the file to its owner, who removes it.
#[derive(Debug)]
pub(in crate::store) struct PackWriter {
    path: PathBuf,
    file: File,
    hasher: blake3::Hasher,
    len: u64,
    blocks: Vec<Block>,
    table: FxHashMap<ObjectId, (u32, u32, u32)>,
    object_bytes: u64,
    early: EarlySync,
}

impl PackWriter {
    /// Creates the file, which must not exist.
    pub(in crate::store) fn create(path: PathBuf) -> Result<Self, StoreError> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(StoreError::io("create", &path))?;
        let mut writer = Self {
            path,
            file,
            hasher: blake3::Hasher::new(),
            len: 0,
            blocks: Vec::new(),
            table: FxHashMap::default(),
            object_bytes: 0,
            early: EarlySync::default(),
        };
        writer.put(&format::header())?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all_at(bytes, self.len).map_err(StoreError::io("write", &self.path))?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        self.early.wrote(&self.path, &self.file, bytes.len());
        Ok(())
    }

    /// Appends a block; its objects that are not `wanted`, one word each, are left out of the table.
    pub(in crate::store) fn append(
        &mut self,
        block: &SealedBlock,
        wanted: &[bool],
    ) -> Result<u64, StoreError> {
        let index = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        let offset = self.len;
        let packed_len = u32::try_from(block.packed.len()).map_err(|_| StoreError::ObjectTooLarge {
            bytes: block.packed.len() as u64,
            limit: u32::MAX.into(),
        })?;
        self.put(&block.packed)?;
        self.blocks.push(Block { offset, packed_len, unpacked_len: block.unpacked_len, kind: block.kind });
        let mut added = 0;
        for (slot, wanted) in block.slots.iter().zip(wanted) {
            if *wanted && self.table.insert(slot.id, (index, slot.offset, slot.len)).is_none() {
                self.object_bytes += u64::from(slot.len);
                added += 1;
            }
        }
        Ok(added)
    }

    /// The file.
    pub(in crate::store) fn path(&self) -> &Path {
        &self.path
    }

    /// How many objects the table will name.
    pub(in crate::store) fn objects(&self) -> usize {
        self.table.len()
    }

    /// Bytes written so far.
    pub(in crate::store) fn bytes(&self) -> u64 {
        self.len
    }

    /// Where an object lies.
    pub(in crate::store) fn lookup(&self, id: &ObjectId) -> Option<Entry> {
        self.table.get(id).map(|&(block, offset, len)| Entry { id: *id, block, offset, len })
    }

    /// Unpacks a block that was written.
    pub(in crate::store) fn read_block(&self, index: u32) -> Result<Vec<u8>, StoreError> {
        let block = self.blocks[index as usize];
        let mut packed = vec![0; block.packed_len as usize];
        self.file.read_exact_at(&mut packed, block.offset).map_err(StoreError::io("read", &self.path))?;
        unpack(&packed, block.unpacked_len)
            .map_err(|detail| StoreError::damaged(&self.path, format!("block {index}: {detail}")))
    }

    /// Writes the table and syncs the file. The file's name is the caller's business.
    pub(in crate::store) fn finish(mut self) -> Result<(PathBuf, PackEntry), StoreError> {
        let mut entries: Vec<Entry> =
            self.table.drain().map(|(id, (block, offset, len))| Entry { id, block, offset, len }).collect();
        entries.sort_unstable_by_key(|entry| entry.id);
        let objects = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let fan_bits = format::fan_bits(objects);

        let mut rows = Vec::with_capacity(self.blocks.len() * format::BLOCK_LEN);
        for block in &self.blocks {
            block.encode(&mut rows);
        }
        let mut table_hasher = blake3::Hasher::new();
        let directory_at = self.len;
        table_hasher.update(&rows);
        self.put(&rows)?;

        let mut fan_out = Vec::with_capacity(format::BUCKET_LEN << fan_bits);
        let mut from = 0;
        let mut out = Vec::new();
        for bucket in 0..1_usize << fan_bits {
            let count =
                entries[from..].partition_point(|entry| format::bucket_of(&entry.id, fan_bits) <= bucket);
            let start = out.len();
            for entry in &entries[from..from + count] {
                entry.encode(&mut out);
            }
            from += count;
            fan_out.extend_from_slice(&u32::try_from(from).unwrap_or(u32::MAX).to_le_bytes());
            fan_out.extend_from_slice(&format::bucket_check(&out[start..]).to_le_bytes());
            if out.len() >= 1 << 20 {
                table_hasher.update(&out);
                self.put(&out)?;
                out.clear();
            }
        }
        table_hasher.update(&out).update(&fan_out);
        self.put(&out)?;
        self.put(&fan_out)?;
        let footer = Footer {
            fan_bits,
            blocks: u32::try_from(self.blocks.len()).unwrap_or(u32::MAX),
            objects,
            tombstones: 0,
            directory_at,
            object_bytes: self.object_bytes,
            table_hash: *table_hasher.finalize().as_bytes(),
            index_hash: *blake3::hash(&fan_out).as_bytes(),
        };
        self.put(&footer.encode())?;
        self.early.finish().map_err(|(path, source)| StoreError::io("sync", &path)(source))?;
        self.file.sync_all().map_err(StoreError::io("sync", &self.path))?;
        let id = ObjectId::from_bytes(*self.hasher.finalize().as_bytes());
        Ok((self.path, PackEntry { bytes: self.len, id, objects: objects.into() }))
    }
}
