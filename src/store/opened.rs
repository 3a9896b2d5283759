//! An opened store: the catalogue as last loaded, the packs it names, a cache of unpacked blocks.
//!
//! Rests on packs and the catalogue. Invariants: nothing here writes; what is answered is the state of one moment, that of
//! the last refresh; a store never goes back to an earlier one.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::RwLock;

use rustc_hash::FxHashMap;

use super::CATALOGUE_FILE;
use super::PACKS_DIR;
use super::cache::BlockCache;
use super::catalogue::Catalogue;
use super::error::StoreError;
use super::init::refuse_lost_catalogue;
use super::map::ASKED_MAX;
use super::map::PackMap;
use super::operation::Head;
use super::pack::PackReader;
use super::redb;
use crate::object::ObjectId;

/// Budget of the cache of unpacked blocks, shared by all clones of a store.
const CACHE_BYTES: usize = 32 << 20;

/// An opened `.distill` directory. Cheap to clone; clones share the catalogue and the block cache.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    dir: PathBuf,
    snapshot: RwLock<Arc<Snapshot>>,
    cache: Mutex<BlockCache>,
}

/// The catalogue as loaded at one moment, with its packs (opened when first needed).
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) catalogue: Catalogue,
    pub(super) packs: Vec<Arc<PackSlot>>,
    dir: PathBuf,
    /// Opened when it is first needed.
    map: OnceLock<Option<PackMap>>,
}

/// A catalogued pack, opened when it is first needed.
#[derive(Debug)]
pub(super) struct PackSlot {
    pub(super) id: ObjectId,
    path: PathBuf,
    bytes: u64,
    reader: OnceLock<Arc<PackReader>>,
}

impl PackSlot {
    pub(super) fn reader(&self) -> Result<Arc<PackReader>, StoreError> {
        if let Some(reader) = self.reader.get() {
            return Ok(Arc::clone(reader));
        }
        let len = std::fs::metadata(&self.path).map_err(StoreError::io("read", &self.path))?.len();
        if len != self.bytes {
            let detail = format!("it has {len} bytes, the catalogue says {}", self.bytes);
            return Err(StoreError::damaged(&self.path, detail));
        }
        let opened = Arc::new(PackReader::open(&self.path)?);
        Ok(Arc::clone(self.reader.get_or_init(|| opened)))
    }
}

/// One catalogued pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackInfo {
    /// BLAKE3 of the file.
    pub id: ObjectId,
    /// Where it lies.
    pub path: PathBuf,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// How many objects its table names.
    pub objects: u64,
    /// Number of the operation that brought it.
    pub operation: u64,
}

impl Store {
    /// Opens the store in `dir` for reading and publishing. Writes nothing, and works on a read-only directory.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::NewerFormat`], [`StoreError::Damaged`], I/O.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        if !dir.join(CATALOGUE_FILE).exists() {
            refuse_lost_catalogue(dir)?;
            return Err(StoreError::NotAStore { dir: dir.to_owned() });
        }
        let catalogue = redb::load(&dir.join(CATALOGUE_FILE))?;
        let snapshot = Snapshot::new(dir, catalogue, &[]);
        Ok(Self {
            inner: Arc::new(Inner {
                dir: dir.to_owned(),
                snapshot: RwLock::new(Arc::new(snapshot)),
                cache: Mutex::new(BlockCache::new(CACHE_BYTES)),
            }),
        })
    }

    /// Whether `dir` holds a store, sound or not: a catalogue, or what only a catalogue can have named.
    pub fn is_in(dir: &Path) -> bool {
        dir.join(CATALOGUE_FILE).exists() || refuse_lost_catalogue(dir).is_err()
    }

    /// The `.distill` directory.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    pub(super) fn catalogue_path(&self) -> PathBuf {
        self.inner.dir.join(CATALOGUE_FILE)
    }

    /// Loads the catalogue again, so that what others have published since is seen.
    ///
    /// # Errors
    /// As [`Self::open`]; the store then goes on with what it had.
    pub fn refresh(&self) -> Result<(), StoreError> {
        let catalogue = redb::load(&self.catalogue_path())?;
        let mut current = self.inner.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        let number = |catalogue: &Catalogue| catalogue.last_operation.map_or(0, |(number, _)| number);
        // Another thread may have loaded a later one meanwhile; a store never goes back.
        if number(&catalogue) >= number(&current.catalogue) && catalogue != current.catalogue {
            *current = Arc::new(Snapshot::new(&self.inner.dir, catalogue, &current.packs));
        }
        Ok(())
    }

    /// Whether the operation log may have gone on since the last refresh: a look at one file name, far cheaper than a
    /// refresh. It errs on the side of yes: a file that a crash left behind says yes until the next writer drops it.
    pub fn may_be_behind(&self) -> bool {
        let next = self.last_operation().map_or(1, |(number, _)| number + 1);
        super::oplog::operation_path(&self.inner.dir, next).exists()
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.inner.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// HEAD as of the last refresh.
    pub fn head(&self) -> Head {
        self.snapshot().catalogue.head.clone()
    }

    /// All refs as of the last refresh, in order of name.
    pub fn refs(&self) -> BTreeMap<String, ObjectId> {
        self.snapshot().catalogue.refs.to_map()
    }

    /// One ref as of the last refresh.
    pub fn get_ref(&self, name: &str) -> Option<ObjectId> {
        self.snapshot().catalogue.refs.find(name)
    }

    /// Number and file hash of the last confirmed operation, as of the last refresh.
    pub fn last_operation(&self) -> Option<(u64, ObjectId)> {
        self.snapshot().catalogue.last_operation
    }

    /// The catalogued packs, in the order in which they were published.
    pub fn packs(&self) -> Vec<PackInfo> {
        self.pack_infos(&self.snapshot())
    }

    pub(super) fn pack_infos(&self, snapshot: &Snapshot) -> Vec<PackInfo> {
        let path = |id| pack_path(&self.inner.dir, id);
        snapshot
            .catalogue
            .packs
            .iter()
            .map(|pack| PackInfo {
                id: pack.entry.id,
                path: path(&pack.entry.id),
                bytes: pack.entry.bytes,
                objects: pack.entry.objects,
                operation: pack.operation,
            })
            .collect()
    }

    /// Opens one catalogued pack; `None` if the catalogue has no such pack.
    ///
    /// # Errors
    /// When the pack is missing or damaged.
    pub fn open_pack(&self, id: &ObjectId) -> Result<Option<Arc<PackReader>>, StoreError> {
        self.snapshot().packs.iter().find(|slot| slot.id == *id).map(|slot| slot.reader()).transpose()
    }

    /// Lets the map be opened again, which has just been made anew.
    pub(super) fn forget_map(&self) {
        let mut current = self.inner.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        let again = Snapshot::new(&self.inner.dir, current.catalogue.clone(), &current.packs);
        *current = Arc::new(again);
    }

    pub(super) fn cache(&self) -> MutexGuard<'_, BlockCache> {
        self.inner.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `packs/<id>.pack` under the store's directory.
pub(super) fn pack_path(dir: &Path, id: &ObjectId) -> PathBuf {
    dir.join(PACKS_DIR).join(format!("{id}.pack"))
}

impl Snapshot {
    /// Readers that `before` has opened are kept, with their cached blocks.
    fn new(dir: &Path, catalogue: Catalogue, before: &[Arc<PackSlot>]) -> Self {
        let before: FxHashMap<ObjectId, &Arc<PackSlot>> = before.iter().map(|slot| (slot.id, slot)).collect();
        let packs = catalogue
            .packs
            .iter()
            .map(|pack| match before.get(&pack.entry.id).copied() {
                Some(slot) => Arc::clone(slot),
                None => Arc::new(PackSlot {
                    id: pack.entry.id,
                    path: pack_path(dir, &pack.entry.id),
                    bytes: pack.entry.bytes,
                    reader: OnceLock::new(),
                }),
            })
            .collect();
        Self { catalogue, packs, dir: dir.to_owned(), map: OnceLock::new() }
    }

    /// The map of the packs, where there are enough of them for one.
    pub(super) fn map(&self) -> Option<&PackMap> {
        if self.packs.len() <= ASKED_MAX {
            return None;
        }
        let open = || {
            let ids: Vec<_> = self.packs.iter().map(|slot| slot.id).collect();
            PackMap::open(&self.dir, &ids)
        };
        self.map.get_or_init(open).as_ref()
    }
}
