//! Packs for elsewhere: objects gathered into pack files of a bounded size, outside of any store.
//!
//! Rests on the pack writer. Invariants: the same objects in the same order give the same files, so that work which was
//! interrupted and is done again makes packs of the same names; a file gets its own name only when it is whole and synced.

use std::path::Path;
use std::path::PathBuf;

use super::error::StoreError;
use super::operation::PackEntry;
use super::pack::BlockBuilder;
use super::pack::PackWriter;
use super::pack::SealedBlock;
use crate::object::Kind;
use crate::object::ObjectId;

/// A pack is closed at this many objects, which bounds its table in memory.
const PACK_OBJECTS_MAX: usize = 1 << 20;

/// A finished pack file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundled {
    /// `<id>.pack` in the bundler's folder.
    pub path: PathBuf,
    /// What it is.
    pub entry: PackEntry,
}

/// Gathers objects into packs.
#[derive(Debug)]
pub struct Bundler {
    dir: PathBuf,
    pack_bytes: u64,
    builder: BlockBuilder,
    writer: Option<PackWriter>,
    begun: u64,
    objects: u64,
    object_bytes: u64,
    done: Vec<Bundled>,
}

impl Bundler {
    /// Writes packs of about `pack_bytes` into `dir`, which exists and is nobody else's.
    pub fn new(dir: &Path, pack_bytes: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            pack_bytes,
            builder: BlockBuilder::new(),
            writer: None,
            begun: 0,
            objects: 0,
            object_bytes: 0,
            done: Vec::new(),
        }
    }

    /// Adds an object that was hashed. One that the current pack holds already is left out.
    ///
    /// # Errors
    /// An object that is too large; a full disk.
    pub fn push(&mut self, kind: Kind, id: ObjectId, bytes: &[u8]) -> Result<(), StoreError> {
        let is_there = self.builder.contains(&id)
            || self.writer.as_ref().is_some_and(|writer| writer.lookup(&id).is_some());
        if is_there {
            return Ok(());
        }
        self.builder.push(kind, id, bytes)?;
        self.objects += 1;
        self.object_bytes += bytes.len() as u64;
        let sealed = self.builder.take_sealed();
        self.append(&sealed)?;
        let is_full = self
            .writer
            .as_ref()
            .is_some_and(|writer| writer.bytes() >= self.pack_bytes || writer.objects() >= PACK_OBJECTS_MAX);
        if is_full { self.close() } else { Ok(()) }
    }

    /// How many objects were added.
    pub fn objects(&self) -> u64 {
        self.objects
    }

    /// Their bytes.
    pub fn object_bytes(&self) -> u64 {
        self.object_bytes
    }

    fn append(&mut self, blocks: &[SealedBlock]) -> Result<(), StoreError> {
        for block in blocks {
            let writer = match &mut self.writer {
                Some(writer) => writer,
                none => {
                    self.begun += 1;
                    none.insert(PackWriter::create(self.dir.join(format!("unfinished-{}", self.begun)))?)
                }
            };
            writer.append(block, &vec![true; block.slots.len()])?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), StoreError> {
        let rest = self.builder.drain()?;
        self.append(&rest)?;
        if let Some(writer) = self.writer.take() {
            let (unfinished, entry) = writer.finish()?;
            let path = self.dir.join(format!("{}.pack", entry.id));
            std::fs::rename(&unfinished, &path).map_err(StoreError::io("rename", &unfinished))?;
            self.done.push(Bundled { path, entry });
        }
        Ok(())
    }

    /// Closes the last pack and returns all of them, in the order in which they were filled.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(mut self) -> Result<Vec<Bundled>, StoreError> {
        self.close()?;
        Ok(self.done)
    }
}
