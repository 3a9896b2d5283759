//! Looking objects up: asking the packs, latest first, and hashing what they give.
//!
//! Rests on the opened packs. Invariants: every object returned has been hashed again; a damaged or missing pack does not
//! hide objects that lie in others, and is an error where it might hold what was asked for; a reader that loses a pack to
//! a merge or a collection loads the catalogue again and looks again. Of many packs, those are asked that the map names; it
//! only saves work, and where one of them fails, all are asked.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::StoreError;
use super::opened::PackSlot;
use super::opened::Snapshot;
use super::opened::Store;
use super::pack::Entry;
use super::pack::PackReader;
use super::pack::slice_of;
use crate::object::Exists;
use crate::object::Find;
use crate::object::IdPrefix;
use crate::object::Kind;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::object::OdbError;

/// How often a look-up that loses a pack to a merge or collection loads the catalogue again.
const RELOADS_MAX: usize = 8;

/// Where an object lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: ObjectId,
    /// Its file.
    pub path: PathBuf,
    /// Index of the block within the pack.
    pub block: u32,
    /// Offset of the object within the unpacked block, in bytes.
    pub offset: u32,
    /// Length of the object in bytes.
    pub len: u32,
}

impl Store {
    /// How many ids [`Self::resolve_prefix`] returns at most.
    pub const PREFIX_MATCHES_MAX: usize = 16;

    /// Where `id` lies, for messages about damage.
    ///
    /// # Errors
    /// When no pack has it and a pack cannot be asked.
    pub fn locate(&self, id: &ObjectId) -> Result<Option<Location>, StoreError> {
        let found = self.search(id, |reader, pack, entry| {
            Ok(Location {
                pack: *pack,
                path: reader.path().to_owned(),
                block: entry.block,
                offset: entry.offset,
                len: entry.len,
            })
        })?;
        Ok(found)
    }

    /// The pack that holds `id`, its block there and the offset in it: an order in which objects are read quickly.
    ///
    /// # Errors
    /// As [`Self::locate`].
    pub fn locate_briefly(&self, id: &ObjectId) -> Result<Option<(ObjectId, u32, u32)>, StoreError> {
        self.search(id, |_, pack, entry| Ok((*pack, entry.block, entry.offset)))
    }

    /// The length of `id` in bytes, from the pack's table; its bytes are not read.
    ///
    /// # Errors
    /// As [`Self::locate`].
    pub fn object_len(&self, id: &ObjectId) -> Result<Option<u64>, StoreError> {
        self.search(id, |_, _, entry| Ok(u64::from(entry.len)))
    }

    /// What `id` was stored as; its bytes are not read.
    ///
    /// # Errors
    /// As [`Self::locate`].
    pub fn kind_of(&self, id: &ObjectId) -> Result<Option<Kind>, StoreError> {
        self.search(id, |reader, _, entry| reader.kind_of(entry.block))
    }

    /// The pack that holds `id`.
    pub(super) fn pack_of(&self, id: &ObjectId) -> Result<Option<ObjectId>, StoreError> {
        self.search(id, |_, pack, _| Ok(*pack))
    }

    /// Up to [`Self::PREFIX_MATCHES_MAX`] ids that begin with `prefix`, in order.
    ///
    /// # Errors
    /// When a pack cannot be asked: an abbreviation is unique only if every pack was.
    pub fn resolve_prefix(&self, prefix: &IdPrefix) -> Result<Vec<ObjectId>, StoreError> {
        if let Some(id) = prefix.whole() {
            return Ok(if self.pack_of(&id)?.is_some() { vec![id] } else { Vec::new() });
        }
        let (low, high) = prefix.bounds();
        self.retrying(|snapshot| {
            let mut ids = BTreeSet::new();
            let mut erased: Vec<Arc<PackReader>> = Vec::new();
            for slot in snapshot.packs.iter().rev() {
                let reader = slot.reader()?;
                let mut found = Vec::new();
                if reader.has_tombstones() {
                    erased.push(Arc::clone(&reader));
                }
                reader.ids_between(&low, &high, Self::PREFIX_MATCHES_MAX, &mut found)?;
                ids.extend(found.into_iter().filter(|id| !erased.iter().any(|pack| pack.is_tombstone(id))));
            }
            Ok(ids.into_iter().take(Self::PREFIX_MATCHES_MAX).collect())
        })
    }

    /// Asks the packs for `id`, latest first, and hands the row to `take`. A fault (of a pack, or of `take`) is an
    /// error only if no other pack answers.
    fn search<T>(
        &self,
        id: &ObjectId,
        take: impl Fn(&Arc<PackReader>, &ObjectId, &Entry) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.retrying(|snapshot| {
            if let Some(asked) = snapshot.map().and_then(|map| map.ask(id)) {
                let some = asked.iter().rev().map(|at| &snapshot.packs[*at]);
                if let (answer, None) = Self::ask(some, id, &take) {
                    return Ok(answer);
                }
            }
            let (answer, fault) = Self::ask(snapshot.packs.iter().rev(), id, &take);
            match (answer, fault) {
                (Some(found), _) => Ok(Some(found)),
                (None, None) => Ok(None),
                (None, Some(StoreError::Damaged { place, detail })) => {
                    Err(StoreError::Damaged { place, detail: format!("{detail} (looking for object {id})") })
                }
                (None, Some(fault)) => Err(fault),
            }
        })
        .map_err(|error| match error {
            StoreError::Io { path, .. } if error_is_missing_pack(&path) => StoreError::Damaged {
                place: path,
                detail: format!("the pack is catalogued and its file is missing (looking for object {id})"),
            },
            other => other,
        })
    }

    /// Asks these packs in turn; the first fault, if any, comes beside what was found.
    fn ask<'a, T>(
        slots: impl Iterator<Item = &'a Arc<PackSlot>>,
        id: &ObjectId,
        take: impl Fn(&Arc<PackReader>, &ObjectId, &Entry) -> Result<T, StoreError>,
    ) -> (Option<T>, Option<StoreError>) {
        let mut fault = None;
        for slot in slots {
            let answer = slot.reader().and_then(|reader| {
                if reader.is_tombstone(id) {
                    return Ok(Answer::Erased);
                }
                match reader.lookup(id)? {
                    Some(entry) => take(&reader, &slot.id, &entry).map(Answer::Found),
                    None => Ok(Answer::Absent),
                }
            });
            match answer {
                Ok(Answer::Found(found)) => return (Some(found), fault),
                Ok(Answer::Erased) => break,
                Ok(Answer::Absent) => {}
                Err(error) => fault = Some(fault.unwrap_or(error)),
            }
        }
        (None, fault)
    }

    /// Runs `ask` on the current snapshot, and again on a newer one when a pack's file has gone.
    pub(super) fn retrying<T>(
        &self,
        ask: impl Fn(&Snapshot) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 0..RELOADS_MAX {
            let asked = self.snapshot();
            match ask(&asked) {
                Err(error) if error.is_missing_file() => {
                    self.refresh()?;
                    // Another thread may have loaded the newer one: what counts is that there is one.
                    if Arc::ptr_eq(&asked, &self.snapshot()) {
                        return Err(error);
                    }
                }
                answer => return answer,
            }
        }
        ask(&self.snapshot())
    }

    /// The object of `entry`, from the cache or the file. What does not hash to its name is read once more, so that a
    /// fault of memory is not reported as one of the disk.
    pub(super) fn read_entry(&self, reader: &PackReader, entry: &Entry) -> Result<ObjectBytes, StoreError> {
        let key = (reader.serial(), entry.block);
        let cached = self.cache().get(key);
        if let Some(block) = cached
            && let Ok(bytes) = slice_of(&block, entry, reader.path())
        {
            return Ok(bytes);
        }
        let read = || {
            let block = Arc::new(reader.read_block(entry.block).map_err(|error| match error {
                StoreError::Damaged { place, detail } => StoreError::Corrupt { id: entry.id, place, detail },
                other => other,
            })?);
            let bytes = slice_of(&block, entry, reader.path())?;
            Ok((block, bytes))
        };
        let (block, bytes) = read().or_else(|_: StoreError| read())?;
        self.cache().put(key, &block);
        Ok(bytes)
    }

    /// As [`Find::try_find`], with the store's own error.
    pub(super) fn read(&self, id: &ObjectId) -> Result<Option<ObjectBytes>, StoreError> {
        if let Some((reader, entry)) = self.snapshot().find_unchecked(id)
            && let Ok(bytes) = self.read_entry(&reader, &entry)
        {
            return Ok(Some(bytes));
        }
        self.search(id, |reader, _, entry| self.read_entry(reader, entry))
    }
}

impl Snapshot {
    /// Where `id` probably lies; `None` also where only a careful look can say. What is found must be hashed.
    pub(super) fn find_unchecked(&self, id: &ObjectId) -> Option<(Arc<PackReader>, Entry)> {
        match self.map().and_then(|map| map.ask(id)) {
            Some(asked) => first_unchecked(asked.iter().rev().map(|at| &self.packs[*at]), id),
            None => first_unchecked(self.packs.iter().rev(), id),
        }
    }
}

fn first_unchecked<'a>(
    slots: impl Iterator<Item = &'a Arc<PackSlot>>,
    id: &ObjectId,
) -> Option<(Arc<PackReader>, Entry)> {
    for slot in slots {
        let reader = slot.reader().ok()?;
        if reader.is_tombstone(id) {
            return None;
        }
        if let Some(entry) = reader.lookup_unchecked(id) {
            return Some((reader, entry));
        }
    }
    None
}

enum Answer<T> {
    Found(T),
    Absent,
    Erased,
}

/// A pack that is catalogued and not there is damage, not a matter of the file system.
pub(super) fn missing_pack_is_damage(error: StoreError) -> StoreError {
    match error {
        StoreError::Io { path, .. } if error_is_missing_pack(&path) => StoreError::Damaged {
            place: path,
            detail: "the pack is catalogued and its file is missing".to_owned(),
        },
        other => other,
    }
}

/// Whether the path of a failed read is a pack that is not there.
fn error_is_missing_pack(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "pack") && !path.exists()
}

impl Exists for Store {
    fn exists(&self, id: &ObjectId) -> Result<bool, OdbError> {
        Ok(self.pack_of(id)?.is_some())
    }
}

impl Find for Store {
    fn try_find(&self, id: &ObjectId) -> Result<Option<ObjectBytes>, OdbError> {
        Ok(self.read(id)?)
    }

    fn try_find_many(&self, ids: &[ObjectId]) -> Result<Vec<Option<ObjectBytes>>, OdbError> {
        Ok(self.read_many(ids)?)
    }
}
