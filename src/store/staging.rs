//! Objects being written: packs under `tmp/`, readable at once, not yet part of the store.
//!
//! Rests on packs, and on an OS lock that tells other processes that the files have a living owner. Invariants: an
//! object is in the table of at most one staged pack; dropping a staging removes its files.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::error::StoreError;
use super::hold::Hold;
use super::lock::LockFile;
use super::many::Holder;
use super::many::Place;
use super::opened::Store;
use super::operation::PackEntry;
use super::pack::BlockBuilder;
use super::pack::Entry;
use super::pack::PackReader;
use super::pack::PackWriter;
use super::pack::SealedBlock;
use super::pack::next_serial;
use super::pack::slice_of;
use crate::object::Exists;
use crate::object::Find;
use crate::object::Kind;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::object::OdbError;
use crate::object::Write;

/// A pack is sealed and the next one opened at this many objects, which bounds the table in memory (45 bytes a row, at
/// a load of a half or more: 190 MB).
const PACK_OBJECTS_MAX: usize = 1 << 21;
/// … or at this many bytes.
const PACK_BYTES_MAX: u64 = 1 << 30;

/// A collection is waited for this long; a run waits longer before it begins to stage.
const HOLD_WAIT: Duration = Duration::from_mins(1);

/// Tells apart the stagings of one process.
static SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// A staged pack whose table is written.
#[derive(Debug)]
pub(super) struct StagedPack {
    pub(super) path: PathBuf,
    pub(super) entry: PackEntry,
    reader: Arc<PackReader>,
}

/// Objects being written, readable at once, not yet part of the store. Dropping it unpublished removes its files.
#[derive(Debug)]
pub struct Staging {
    store: Store,
    rewrite: bool,
    prefix: PathBuf,
    lock: Option<LockFile>,
    /// What is looked up and not staged again stays until this is published; nothing is relied on by a rewrite.
    _hold: Option<Hold>,
    builder: BlockBuilder,
    current: Option<Current>,
    done: Vec<StagedPack>,
    packs_begun: u64,
    objects: u64,
    packed_bytes: u64,
    /// Packs of the store that hold objects which were not staged because they are there.
    relied_on: FxHashSet<ObjectId>,
}

#[derive(Debug)]
struct Current {
    writer: PackWriter,
    serial: u64,
}

impl Store {
    /// Begins to write objects. What the store already has is not written again.
    ///
    /// # Errors
    /// I/O, as on a read-only directory.
    pub fn staging(&self) -> Result<Staging, StoreError> {
        Staging::new(self.clone(), false)
    }

    /// Like [`Self::staging`], but writes objects that the store already has too: for rewriting packs.
    ///
    /// # Errors
    /// As [`Self::staging`].
    pub fn staging_for_rewrite(&self) -> Result<Staging, StoreError> {
        Staging::new(self.clone(), true)
    }
}

impl Staging {
    fn new(store: Store, rewrite: bool) -> Result<Self, StoreError> {
        let hold = if rewrite { None } else { Some(store.hold(HOLD_WAIT, &mut |_| {})?) };
        let tmp = store.tmp_dir()?;
        let (prefix, lock) = loop {
            let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
            let prefix = tmp.join(format!("staging-{}-{sequence}", std::process::id()));
            if let Some(lock) = LockFile::try_take(&prefix.with_extension("lock"), "a run that is writing")? {
                break (prefix, lock);
            }
        };
        Ok(Self {
            store,
            rewrite,
            prefix,
            lock: Some(lock),
            _hold: hold,
            builder: BlockBuilder::new(),
            current: None,
            done: Vec::new(),
            packs_begun: 0,
            objects: 0,
            packed_bytes: 0,
            relied_on: FxHashSet::default(),
        })
    }

    /// Appends blocks in order. A block whose objects are all there already is dropped.
    ///
    /// # Errors
    /// I/O; the staging is then of no further use but to be dropped.
    pub fn append(&mut self, blocks: Vec<SealedBlock>) -> Result<(), StoreError> {
        for block in blocks {
            self.append_block(&block)?;
        }
        Ok(())
    }

    fn append_block(&mut self, block: &SealedBlock) -> Result<(), StoreError> {
        let mut wanted = Vec::with_capacity(block.slots.len());
        for slot in &block.slots {
            wanted.push(!self.has_appended(&slot.id)? && !self.store_has(&slot.id)?);
        }
        if !wanted.contains(&true) {
            return Ok(());
        }
        if self.current.as_ref().is_some_and(|current| {
            current.writer.objects() + block.slots.len() > PACK_OBJECTS_MAX
                || current.writer.bytes() + block.packed_len() as u64 > PACK_BYTES_MAX
        }) {
            self.seal_current()?;
        }
        let current = match &mut self.current {
            Some(current) => current,
            none => {
                self.packs_begun += 1;
                let writer = PackWriter::create(staged_path(&self.prefix, self.packs_begun))?;
                none.insert(Current { writer, serial: next_serial() })
            }
        };
        self.objects += current.writer.append(block, &wanted)?;
        self.packed_bytes += block.packed_len() as u64;
        Ok(())
    }

    /// Whether a block that was appended holds `id`.
    fn has_appended(&self, id: &ObjectId) -> Result<bool, StoreError> {
        if self.current.as_ref().is_some_and(|current| current.writer.lookup(id).is_some()) {
            return Ok(true);
        }
        for pack in &self.done {
            if pack.reader.lookup(id)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the store has `id`, so that it need not be staged; remembers the pack that says so.
    fn store_has(&mut self, id: &ObjectId) -> Result<bool, StoreError> {
        if self.rewrite {
            return Ok(false);
        }
        let pack = self.store.pack_of(id)?;
        self.relied_on.extend(pack);
        Ok(pack.is_some())
    }

    /// Whether this staging (not the store) holds `id`.
    pub fn contains(&self, id: &ObjectId) -> bool {
        // A staged pack that cannot be read is met again, as an error, when it is published.
        self.builder.contains(id) || self.has_appended(id).unwrap_or(false)
    }

    /// How many objects were staged, without those in blocks that are still filling.
    pub fn objects(&self) -> u64 {
        self.objects
    }

    /// As [`Self::objects`], with those in blocks that are still filling.
    pub fn objects_begun(&self) -> u64 {
        self.objects + self.builder.open_objects()
    }

    /// How many bytes their blocks take.
    pub fn packed_bytes(&self) -> u64 {
        self.packed_bytes
    }

    /// Takes over a pack file that was checked ([`super::inspect_pack`]): it leaves its place, and goes when this is dropped
    /// unpublished. Objects that the store holds already come along.
    ///
    /// # Errors
    /// I/O.
    pub fn adopt(&mut self, path: &Path, entry: PackEntry) -> Result<(), StoreError> {
        self.packs_begun += 1;
        let own = staged_path(&self.prefix, self.packs_begun);
        if std::fs::rename(path, &own).is_err() {
            // Another file system: a copy does it.
            std::fs::copy(path, &own).map_err(StoreError::io("copy", path))?;
            std::fs::remove_file(path).ok();
        }
        std::fs::File::open(&own).and_then(|file| file.sync_all()).map_err(StoreError::io("sync", &own))?;
        let reader = Arc::new(PackReader::open(&own)?);
        self.objects += entry.objects;
        self.packed_bytes += entry.bytes;
        self.done.push(StagedPack { path: own, entry, reader });
        Ok(())
    }

    /// The length of an object of this staging or of the store beneath it, from a pack's table. Objects in blocks that are
    /// still filling are known too.
    ///
    /// # Errors
    /// When a pack cannot be asked.
    pub fn object_len(&self, id: &ObjectId) -> Result<Option<u64>, StoreError> {
        if let Some(bytes) = self.builder.find_open(id) {
            return Ok(Some(bytes.len() as u64));
        }
        match self.staged_place(id)? {
            Some((_, entry)) => Ok(Some(entry.len.into())),
            None => self.store.object_len(id),
        }
    }

    fn seal_current(&mut self) -> Result<(), StoreError> {
        if let Some(current) = self.current.take() {
            let (path, entry) = current.writer.finish()?;
            let reader = Arc::new(PackReader::open(&path)?);
            self.done.push(StagedPack { path, entry, reader });
        }
        Ok(())
    }

    /// Writes everything out, tables and all, synced.
    pub(super) fn seal(&mut self) -> Result<&[StagedPack], StoreError> {
        let rest = self.builder.drain()?;
        self.append(rest)?;
        self.seal_current()?;
        Ok(&self.done)
    }

    /// The packs of the store without which what is staged is not whole.
    pub(super) fn relied_on(&self) -> &FxHashSet<ObjectId> {
        &self.relied_on
    }

    /// Stages an object that was read (and hashed) from a pack.
    pub(super) fn rewrite_object(
        &mut self,
        kind: Kind,
        id: ObjectId,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        if self.builder.contains(&id) || self.has_appended(&id)? {
            return Ok(());
        }
        self.builder.push(kind, id, bytes)?;
        let sealed = self.builder.take_sealed();
        self.append(sealed)
    }

    fn write_object(&mut self, kind: Kind, bytes: &[u8]) -> Result<ObjectId, StoreError> {
        let id = ObjectId::of(bytes);
        if self.builder.contains(&id) || self.has_appended(&id)? || self.store_has(&id)? {
            return Ok(id);
        }
        self.builder.push(kind, id, bytes)?;
        let sealed = self.builder.take_sealed();
        self.append(sealed)?;
        Ok(id)
    }

    fn read(&self, id: &ObjectId) -> Result<Option<ObjectBytes>, StoreError> {
        if let Some(bytes) = self.builder.find_open(id) {
            return Ok(Some(bytes.to_vec().into()));
        }
        if let Some(current) = &self.current
            && let Some(entry) = current.writer.lookup(id)
        {
            return self.read_current(current, &entry).map(Some);
        }
        for pack in &self.done {
            if let Some(entry) = pack.reader.lookup(id)? {
                return self.store.read_entry(&pack.reader, &entry).map(Some);
            }
        }
        self.store.read(id)
    }

    fn read_many(&self, ids: &[ObjectId]) -> Result<Vec<Option<ObjectBytes>>, StoreError> {
        let mut places: Vec<Place<Holding<'_>>> = Vec::new();
        let mut elsewhere = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            match self.staged_place(id)? {
                Some((holding, entry)) => places.push((at, holding, entry)),
                None => elsewhere.push((at, *id)),
            }
        }
        let mut answers = vec![None; ids.len()];
        self.store.fill(places, &mut answers);
        let (places, ids_elsewhere): (Vec<_>, Vec<_>) = elsewhere.into_iter().unzip();
        for (at, found) in places.into_iter().zip(self.store.read_many(&ids_elsewhere)?) {
            answers[at] = found;
        }
        for (answer, id) in answers.iter_mut().zip(ids) {
            if answer.is_none() {
                *answer = self.read(id)?;
            }
        }
        Ok(answers)
    }

    /// Where a block that was appended holds `id`.
    fn staged_place(&self, id: &ObjectId) -> Result<Option<(Holding<'_>, Entry)>, StoreError> {
        if let Some(current) = &self.current
            && let Some(entry) = current.writer.lookup(id)
        {
            return Ok(Some((Holding::Current(&current.writer, current.serial), entry)));
        }
        for pack in &self.done {
            if let Some(entry) = pack.reader.lookup(id)? {
                return Ok(Some((Holding::Done(&pack.reader), entry)));
            }
        }
        Ok(None)
    }

    fn read_current(&self, current: &Current, entry: &Entry) -> Result<ObjectBytes, StoreError> {
        let key = (current.serial, entry.block);
        let cached = self.store.cache().get(key);
        let block = if let Some(block) = cached {
            block
        } else {
            let block = Arc::new(current.writer.read_block(entry.block)?);
            self.store.cache().put(key, &block);
            block
        };
        slice_of(&block, entry, current.writer.path())
    }
}

/// Who holds a staged block.
enum Holding<'a> {
    /// The pack that is being written, under its serial.
    Current(&'a PackWriter, u64),
    Done(&'a Arc<PackReader>),
}

impl Holder for Holding<'_> {
    fn serial(&self) -> u64 {
        match self {
            Self::Current(_, serial) => *serial,
            Self::Done(reader) => reader.serial(),
        }
    }

    fn read_block(&self, index: u32) -> Result<Vec<u8>, StoreError> {
        match self {
            Self::Current(writer, _) => writer.read_block(index),
            Self::Done(reader) => reader.read_block(index),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // A published pack has left its path; what cannot be removed is swept by the next writer.
        for number in 1..=self.packs_begun {
            std::fs::remove_file(staged_path(&self.prefix, number)).ok();
        }
        if let Some(lock) = self.lock.take() {
            lock.remove();
        }
    }
}

/// Where the pack with this number (from 1) of a staging lies.
fn staged_path(prefix: &Path, number: u64) -> PathBuf {
    let mut path = prefix.to_owned().into_os_string();
    path.push(format!("-{number}.pack"));
    path.into()
}

impl Exists for Staging {
    /// Whether the staging or the store beneath it holds `id`.
    fn exists(&self, id: &ObjectId) -> Result<bool, OdbError> {
        Ok(self.builder.contains(id) || self.has_appended(id)? || self.store.exists(id)?)
    }
}

impl Find for Staging {
    /// From the staging, or from the store beneath it.
    fn try_find(&self, id: &ObjectId) -> Result<Option<ObjectBytes>, OdbError> {
        Ok(self.read(id)?)
    }

    fn try_find_many(&self, ids: &[ObjectId]) -> Result<Vec<Option<ObjectBytes>>, OdbError> {
        Ok(self.read_many(ids)?)
    }
}

impl Write for Staging {
    fn write(&mut self, kind: Kind, bytes: &[u8]) -> Result<ObjectId, OdbError> {
        Ok(self.write_object(kind, bytes)?)
    }
}
