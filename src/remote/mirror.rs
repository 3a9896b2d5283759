//! The other side's packs as far as they are here: their tables, and those of their blocks that were needed.
//!
//! Rests on sparse files, each a pack with holes, so that the store's own reader looks objects up in it. Invariants: a table is
//! fetched once and kept in a cache; a block is fetched when one of its objects is wanted, together with its neighbours; what
//! is returned was hashed; a whole pack is fetched beside, resumes where it was interrupted, and counts only when it hashes to
//! its name.

use std::cell::OnceCell;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use rustc_hash::FxHashMap;

use super::error::RemoteError;
use super::peer::PIECE_BYTES;
use super::peer::Peer;
use super::peer::Tick;
use crate::object::Find;
use crate::object::Kind;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::object::OdbError;
use crate::store::Bundled;
use crate::store::Entry;
use crate::store::PackEntry;
use crate::store::PackReader;
use crate::store::StoreError;
use crate::store::TAIL_GUESS;
use crate::store::inspect_pack;
use crate::store::plant_tail;

/// Transfers at once.
const LANES: usize = 4;
/// Blocks with no more than this between them are fetched together.
const GAP_BYTES: u64 = 64 << 10;

/// A pack of the other side.
struct Slot {
    entry: PackEntry,
    reader: OnceCell<PackReader>,
    /// Blocks that are known to be here.
    filled: RefCell<BTreeSet<u32>>,
}

/// Packs of the other side, seen through a folder of sparse files.
pub(super) struct Mirror<'a> {
    peer: &'a dyn Peer,
    dir: PathBuf,
    slots: Vec<Slot>,
    fetched: RefCell<u64>,
    tick: Tick<'a>,
}

impl<'a> Mirror<'a> {
    /// Sees `packs` through `dir`, which is made.
    pub(super) fn new(
        peer: &'a dyn Peer,
        dir: &Path,
        packs: Vec<PackEntry>,
        tick: Tick<'a>,
    ) -> Result<Self, RemoteError> {
        fs::create_dir_all(dir).map_err(RemoteError::io("create", dir))?;
        let slots = packs
            .into_iter()
            .map(|entry| Slot { entry, reader: OnceCell::new(), filled: RefCell::default() })
            .collect();
        Ok(Self { peer, dir: dir.to_owned(), slots, fetched: RefCell::new(0), tick })
    }

    /// Bytes that travelled.
    pub(super) fn fetched(&self) -> u64 {
        *self.fetched.borrow()
    }

    fn count(&self, bytes: u64) {
        *self.fetched.borrow_mut() += bytes;
    }

    /// Fetches the tables that are not here yet, several at a time.
    pub(super) fn load_tables(&self) -> Result<(), RemoteError> {
        let todo: Vec<&PackEntry> = (self.slots.iter())
            .map(|slot| &slot.entry)
            .filter(|entry| open_tail(&self.dir, entry).is_none())
            .collect();
        let (peer, dir, tick) = (self.peer, &*self.dir, self.tick);
        let bytes = in_lanes(&todo, |entry| plant(peer, dir, entry, tick))?;
        self.count(bytes.into_iter().sum());
        Ok(())
    }

    fn reader<'s>(&self, slot: &'s Slot) -> Result<&'s PackReader, RemoteError> {
        if let Some(reader) = slot.reader.get() {
            return Ok(reader);
        }
        let reader = match open_tail(&self.dir, &slot.entry) {
            Some(reader) => reader,
            None => {
                self.count(plant(self.peer, &self.dir, &slot.entry, self.tick)?);
                PackReader::open(&tail_path(&self.dir, &slot.entry.id))?
            }
        };
        Ok(slot.reader.get_or_init(|| reader))
    }

    /// A fault of what lies here of a pack. It is the other side's: what is here came from there, and is not kept.
    fn fault(&self, slot: &Slot, error: StoreError) -> RemoteError {
        fs::remove_file(tail_path(&self.dir, &slot.entry.id)).ok();
        foreign(self.peer, &slot.entry.id, error)
    }

    /// The share of a pack's objects (of a sample of them) that `is_here` does not know, in percent.
    pub(super) fn unknown_percent(
        &self,
        pack: &ObjectId,
        is_here: impl Fn(&ObjectId) -> Result<bool, RemoteError>,
    ) -> Result<u64, RemoteError> {
        let Some(slot) = self.slots.iter().find(|slot| slot.entry.id == *pack) else { return Ok(0) };
        let sample = self.reader(slot)?.sample(SAMPLE).map_err(|error| self.fault(slot, error))?;
        let mut unknown = 0;
        for id in &sample {
            unknown += u64::from(!is_here(id)?);
        }
        Ok(unknown * 100 / (sample.len() as u64).max(1))
    }

    /// Where an object lies.
    fn locate(&self, id: &ObjectId) -> Result<Option<(&Slot, Entry)>, RemoteError> {
        for slot in self.slots.iter().rev() {
            if let Some(entry) = self.reader(slot)?.lookup(id).map_err(|error| self.fault(slot, error))? {
                return Ok(Some((slot, entry)));
            }
        }
        Ok(None)
    }

    /// Fetches the blocks of those of `ids` that lie in a pack here and are not here yet, several at a time.
    pub(super) fn ensure(&self, ids: &mut dyn Iterator<Item = ObjectId>) -> Result<(), RemoteError> {
        let mut wanted: FxHashMap<ObjectId, (&Slot, BTreeSet<u32>)> = FxHashMap::default();
        for id in ids {
            if let Some((slot, entry)) = self.locate(&id)?
                && !slot.filled.borrow().contains(&entry.block)
            {
                wanted.entry(slot.entry.id).or_insert_with(|| (slot, BTreeSet::new())).1.insert(entry.block);
            }
        }
        let mut spans: Vec<(ObjectId, Range<u64>)> = Vec::new();
        for (slot, blocks) in wanted.values() {
            let reader = self.reader(slot)?;
            let mut own: Vec<Range<u64>> = Vec::new();
            for block in blocks {
                // A block may be here from a command that was interrupted.
                if reader.read_block(*block).is_ok() {
                    continue;
                }
                let (span, _) = reader.block_span(*block).map_err(|error| self.fault(slot, error))?;
                match own.last_mut() {
                    Some(last)
                        if span.start >= last.end
                            && span.start - last.end <= GAP_BYTES
                            && span.end - last.start <= PIECE_BYTES =>
                    {
                        last.end = span.end;
                    }
                    _ => own.push(span),
                }
            }
            spans.extend(own.into_iter().map(|span| (slot.entry.id, span)));
        }
        let (peer, dir, tick) = (self.peer, &*self.dir, self.tick);
        let bytes = in_lanes(&spans, |(id, span)| {
            let bytes = peer.read(id, span.clone())?;
            if bytes.len() as u64 != span.end - span.start {
                let detail = format!("{} bytes came of {}", bytes.len(), span.end - span.start);
                return Err(RemoteError::damaged(format!("pack {id} of {}", peer.place()), detail));
            }
            let path = tail_path(dir, id);
            (File::options().write(true).open(&path))
                .and_then(|file| file.write_all_at(&bytes, span.start))
                .map_err(RemoteError::io("write", &path))?;
            tick(bytes.len() as u64);
            Ok(bytes.len() as u64)
        })?;
        self.count(bytes.into_iter().sum());
        for (slot, blocks) in wanted.into_values() {
            slot.filled.borrow_mut().extend(blocks);
        }
        Ok(())
    }

    /// An object with its kind, hashed; `None` where none of the packs has it.
    pub(super) fn get(&self, id: &ObjectId) -> Result<Option<(Kind, ObjectBytes)>, RemoteError> {
        let Some((slot, entry)) = self.locate(id)? else { return Ok(None) };
        self.ensure(&mut std::iter::once(*id))?;
        let reader = self.reader(slot)?;
        let read =
            reader.block_span(entry.block).and_then(|(_, kind)| Ok((kind, reader.read_object(&entry)?)));
        read.map(Some).map_err(|error| self.fault(slot, error))
    }

    /// Forgets the blocks of every pack, and keeps the tables.
    pub(super) fn drop_blocks(self) {
        for slot in &self.slots {
            if slot.filled.borrow().is_empty() {
                continue;
            }
            let path = tail_path(&self.dir, &slot.entry.id);
            if copy_tail(&path, &path, &slot.entry).is_err() {
                fs::remove_file(&path).ok();
            }
        }
    }
}

/// So many objects of a pack stand for all.
const SAMPLE: usize = 128;

impl Find for Mirror<'_> {
    fn try_find(&self, id: &ObjectId) -> Result<Option<ObjectBytes>, OdbError> {
        Ok(self.get(id).map_err(as_odb)?.map(|(_, bytes)| bytes))
    }
}

/// The error of a remote where only an object database's may be given.
pub(super) fn as_odb(error: RemoteError) -> OdbError {
    match error {
        RemoteError::Odb(error) => error,
        RemoteError::Store(error) => error.into(),
        RemoteError::Damaged { place, detail } => OdbError::Damaged { place: place.into(), detail },
        RemoteError::Io { path, source, .. } => OdbError::Io { path, source },
        other => OdbError::Io { path: "the remote".into(), source: std::io::Error::other(other) },
    }
}

/// Damage of what came of a pack is damage there.
fn foreign(peer: &dyn Peer, pack: &ObjectId, error: StoreError) -> RemoteError {
    let place = || format!("pack {pack} of {}", peer.place());
    match error {
        StoreError::Corrupt { id, detail, .. } => {
            RemoteError::damaged(place(), format!("object {id}: {detail}"))
        }
        StoreError::Damaged { detail, .. } => RemoteError::damaged(place(), detail),
        other => other.into(),
    }
}

fn tail_path(dir: &Path, id: &ObjectId) -> PathBuf {
    dir.join(format!("{id}.table"))
}

/// The table of a pack, if it is here and of the right size.
fn open_tail(dir: &Path, entry: &PackEntry) -> Option<PackReader> {
    let path = tail_path(dir, &entry.id);
    let len = fs::metadata(&path).ok()?.len();
    if len != entry.bytes {
        return None;
    }
    PackReader::open(&path).ok()
}

/// Fetches the table of a pack; how many bytes that took.
fn plant(peer: &dyn Peer, dir: &Path, entry: &PackEntry, tick: Tick<'_>) -> Result<u64, RemoteError> {
    let mut sum = 0;
    let planted =
        plant_tail(&tail_path(dir, &entry.id), entry.bytes, |range| -> Result<Vec<u8>, RemoteError> {
            let bytes = peer.read(&entry.id, range)?;
            sum += bytes.len() as u64;
            tick(bytes.len() as u64);
            Ok(bytes)
        });
    match planted {
        Ok(_) => Ok(sum),
        Err(RemoteError::Store(error)) => Err(foreign(peer, &entry.id, error)),
        Err(error) => Err(error),
    }
}

/// Keeps the table of a pack file that is here, so that it need not be fetched.
pub(super) fn keep_table(dir: &Path, pack: &Bundled) -> Result<(), RemoteError> {
    fs::create_dir_all(dir).map_err(RemoteError::io("create", dir))?;
    copy_tail(&pack.path, &tail_path(dir, &pack.entry.id), &pack.entry)
}

fn copy_tail(from: &Path, to: &Path, entry: &PackEntry) -> Result<(), RemoteError> {
    let file = File::open(from).map_err(RemoteError::io("read", from))?;
    plant_tail(to, entry.bytes, |range| -> Result<Vec<u8>, RemoteError> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
        file.read_exact_at(&mut bytes, range.start).map_err(RemoteError::io("read", from))?;
        Ok(bytes)
    })?;
    Ok(())
}

/// Fetches whole packs into `dir`, several at a time, going on where an earlier attempt ended, and checks each: its hash and
/// that of every object.
pub(super) fn download(
    peer: &dyn Peer,
    dir: &Path,
    packs: &[PackEntry],
    tick: Tick<'_>,
) -> Result<Vec<(PathBuf, PackEntry, u64)>, RemoteError> {
    fs::create_dir_all(dir).map_err(RemoteError::io("create", dir))?;
    let packs: Vec<&PackEntry> = packs.iter().collect();
    in_lanes(&packs, |entry| {
        let whole = dir.join(format!("{}.whole", entry.id));
        // All of a very small pack has come with its table.
        let table = tail_path(dir, &entry.id);
        if !whole.exists() && entry.bytes <= TAIL_GUESS && inspect_pack(&table, Some(&entry.id)).is_ok() {
            fs::rename(&table, &whole).map_err(RemoteError::io("rename", &table))?;
        }
        let bytes = if whole.exists() { 0 } else { download_one(peer, entry, &whole, tick)? };
        match inspect_pack(&whole, Some(&entry.id)) {
            Ok(found) => Ok((whole, found, bytes)),
            Err(error) => {
                // Kept, it would be met again by every attempt.
                fs::remove_file(&whole).ok();
                Err(foreign(peer, &entry.id, error))
            }
        }
    })
}

fn download_one(
    peer: &dyn Peer,
    entry: &PackEntry,
    whole: &Path,
    tick: Tick<'_>,
) -> Result<u64, RemoteError> {
    let part = whole.with_extension("part");
    let mut file =
        (File::options().append(true).create(true).open(&part)).map_err(RemoteError::io("write", &part))?;
    let mut at = file.metadata().map_err(RemoteError::io("read", &part))?.len();
    if at > entry.bytes {
        file.set_len(0).map_err(RemoteError::io("write", &part))?;
        at = 0;
    }
    let mut sum = 0;
    while at < entry.bytes {
        let end = entry.bytes.min(at + PIECE_BYTES);
        let bytes = peer.read(&entry.id, at..end)?;
        if bytes.len() as u64 != end - at {
            let detail = format!("{} bytes came of {}", bytes.len(), end - at);
            return Err(RemoteError::damaged(format!("pack {} of {}", entry.id, peer.place()), detail));
        }
        file.write_all(&bytes).map_err(RemoteError::io("write", &part))?;
        tick(bytes.len() as u64);
        sum += bytes.len() as u64;
        at = end;
    }
    file.sync_all().map_err(RemoteError::io("sync", &part))?;
    fs::rename(&part, whole).map_err(RemoteError::io("rename", &part))?;
    Ok(sum)
}

/// Does `work` for each item, a few at a time; the results come in the order of the items. After an error no other item is
/// begun.
pub(super) fn in_lanes<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, RemoteError> + Sync,
) -> Result<Vec<R>, RemoteError> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<R, RemoteError>>>> =
        items.iter().map(|_| Mutex::new(None)).collect();
    let run = || {
        while let Some((item, slot)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            items.get(at).zip(results.get(at))
        } {
            let result = work(item);
            if result.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..LANES.min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    let done = results.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
    // An item that was not begun is missing only where another one failed.
    let mut answers = Vec::with_capacity(items.len());
    let mut failed = None;
    for result in done {
        match result {
            Some(Ok(answer)) => answers.push(answer),
            Some(Err(error)) => failed = failed.or(Some(error)),
            None => {}
        }
    }
    failed.map_or(Ok(answers), Err)
}
