//! Feeding a pass: files and the memo are read in source order and cut into numbered chunks.
//!
//! Rests on the readers and on the memo. Invariants: chunks are numbered without gaps, in source order; a file whose
//! known part still has its hash, under the same stamps, is not read again.

use crate::base::json;
use crate::object::ObjectId;
use crate::ops::engine::facts::UnitFact;
use crate::ops::engine::inputs::{Extent, Prefix, ReadUnit, SourceFile, hash_prefix, read_units};
use crate::ops::engine::memo::{FileMemo, MemoReader};
use crate::ops::engine::pass::Plan;
use crate::ops::engine::stored::{Stored, feed_stored};
use crate::ops::engine::watch::Watched;
use crate::ops::error::{ErrorKind, OpError};
use crate::pipeline::{EVIDENCE_VERSION, export, score};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

/// Bytes of units in one chunk, about.
const CHUNK_BYTES: usize = 1 << 20;
/// Most units in one chunk.
const CHUNK_UNITS: usize = 2048;

/// One chunk on its way to a worker.
pub(super) struct Chunk {
    pub(super) number: u64,
    pub(super) file: u32,
    pub(super) work: Work,
}

pub(super) enum Work {
    /// Units just read.
    Fresh(Vec<ReadUnit>),
    /// Units that the memo knows; `rederive` when scores and exports must be made again.
    Known { first: u64, facts: Vec<UnitFact>, rederive: bool },
    /// Units that are no longer there, or are read again.
    Gone { first: u64, facts: Vec<UnitFact> },
    /// The file is done.
    End(Box<FileMemo>),
}

/// A file of this run or of the one before.
pub(super) struct Slot {
    pub(super) name: String,
    /// `None` when it has vanished.
    pub(super) file: Option<SourceFile>,
    pub(super) memo: bool,
}

/// Files of this run and of the memo, in source order.
pub(super) fn slots(files: &[SourceFile], memos: &[FileMemo]) -> Vec<Slot> {
    let mut slots: BTreeMap<Vec<u8>, Slot> = BTreeMap::new();
    for file in files {
        let slot = Slot { name: file.name.clone(), file: Some(file.clone()), memo: false };
        slots.insert(file.name.clone().into_bytes(), slot);
    }
    for memo in memos {
        (slots.entry(memo.name.clone().into_bytes()))
            .or_insert_with(|| Slot { name: memo.name.clone(), file: None, memo: true })
            .memo = true;
    }
    slots.into_values().collect()
}

/// What a known result is recognised by, besides the bytes it was made from.
pub(super) struct Stamps {
    map: Vec<ObjectId>,
    pub(super) derive: ObjectId,
}

impl Stamps {
    /// `joined` says what each spec's lookups hold.
    pub(super) fn new(plan: &Plan<'_>, joined: &[ObjectId]) -> Result<Self, OpError> {
        let mut map = Vec::new();
        for ((_, spec), joined) in plan.specs.iter().zip(joined) {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&EVIDENCE_VERSION.to_le_bytes());
            hasher.update(spec.id().as_bytes());
            hasher.update(joined.as_bytes());
            map.push(ObjectId::from_bytes(*hasher.finalize().as_bytes()));
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&score::VERSION.to_le_bytes());
        hasher.update(&export::VERSION.to_le_bytes());
        hasher.update(plan.policy_id.as_bytes());
        hasher.update(plan.scanner.id().as_bytes());
        let options = json::to_canonical(plan.options).map_err(|e| {
            OpError::new(
                ErrorKind::Usage,
                format!("options cannot be written: {e}"),
                "correct .distill/config.toml",
            )
        })?;
        hasher.update(&options);
        Ok(Self { map, derive: ObjectId::from_bytes(*hasher.finalize().as_bytes()) })
    }

    pub(super) fn of(&self, file: &SourceFile) -> ObjectId {
        // A file that only lookups read is known by how it is cut.
        let cut = || ObjectId::of(format!("{} {:?}", file.kind.as_str(), file.at).as_bytes());
        file.spec.map_or_else(cut, |spec| self.map[spec])
    }
}

/// Reads files and the memo, and sends chunks in source order.
pub(super) fn feed(
    slots: &[Slot],
    stored: Option<&Stored<'_>>,
    stamps: &Stamps,
    mut memo: Option<MemoReader>,
    sender: &SyncSender<Chunk>,
    stop: &AtomicBool,
) -> Result<(), OpError> {
    let mut feeder = Feeder { sender, stop, number: 0, file: 0, units: Vec::new(), bytes: 0 };
    for (index, slot) in slots.iter().enumerate() {
        feeder.file = u32::try_from(index).unwrap_or(u32::MAX);
        let known = if slot.memo { memo.as_mut().and_then(MemoReader::next_file) } else { None };
        if let (Some(file), Some(stored)) = (&slot.file, stored.filter(|stored| stored.has(slot))) {
            let known = known.zip(memo.as_mut());
            let end = feed_stored(stored, file, known, stamps, &mut feeder)?;
            feeder.send(Work::End(Box::new(end)))?;
            continue;
        }
        let mut from = None;
        if let (Some(known), Some(memo)) = (&known, memo.as_mut()) {
            from = feed_known(slot, known, memo, stamps, &mut feeder)?;
        }
        let Some(file) = &slot.file else { continue };
        let watched = match (&from, known) {
            (Some(Reuse::All(_)), Some(known)) => known.watched,
            (Some(Reuse::Prefix(_)), Some(known)) => known.watched.without_tail(),
            _ => Watched::default(),
        };
        let Extent { prefix, whole } = match from {
            Some(Reuse::All(extent)) => extent,
            from => {
                let start = match from {
                    Some(Reuse::Prefix(prefix)) => Some(prefix),
                    _ => None,
                };
                let extent = read_units(file, start, &mut |read| feeder.unit(read))?;
                feeder.flush()?;
                extent
            }
        };
        let (map_stamp, derive_stamp) = (stamps.of(file), stamps.derive);
        let name = file.name.clone();
        let end = FileMemo { name, map_stamp, derive_stamp, prefix, whole, facts: 0, watched };
        feeder.send(Work::End(Box::new(end)))?;
    }
    Ok(())
}

/// How much of a known file stands.
#[derive(Clone, Copy)]
pub(super) enum Reuse {
    /// All of it, and nothing was added.
    All(Extent),
    /// The lines up to here.
    Prefix(Prefix),
}

pub(super) fn feed_known(
    slot: &Slot,
    known: &FileMemo,
    memo: &mut MemoReader,
    stamps: &Stamps,
    feeder: &mut Feeder<'_>,
) -> Result<Option<Reuse>, OpError> {
    let mut reuse = None;
    let mut rederive = false;
    if let Some(file) = &slot.file
        && known.map_stamp == stamps.of(file)
    {
        rederive = known.derive_stamp != stamps.derive;
        let len = std::fs::metadata(&file.path).map_err(|e| OpError::io("read", &file.path, &e))?.len();
        let (prefix, whole) = (known.prefix, known.whole);
        if len == whole.bytes && hash_prefix(&file.path, len)? == Some(whole.hash) {
            reuse = Some(Reuse::All(Extent { prefix, whole }));
        } else if file.resumable()
            && len > prefix.bytes
            && hash_prefix(&file.path, prefix.bytes)? == Some(prefix.hash)
        {
            reuse = Some(Reuse::Prefix(prefix));
        }
    }
    let keep = match reuse {
        Some(Reuse::All(extent)) => extent.whole.units,
        Some(Reuse::Prefix(prefix)) => prefix.units,
        None => 0,
    };
    let mut first = 0;
    while first < known.facts {
        let mut facts = memo.next_facts().map_err(|e| unreadable(&e))?;
        let count = facts.len() as u64;
        let kept = usize::try_from(keep.saturating_sub(first)).unwrap_or(usize::MAX).min(facts.len());
        let gone = facts.split_off(kept);
        if !facts.is_empty() {
            feeder.send(Work::Known { first, facts, rederive })?;
        }
        if !gone.is_empty() {
            feeder.send(Work::Gone { first: first + kept as u64, facts: gone })?;
        }
        first += count;
    }
    Ok(reuse)
}

pub(super) fn unreadable(error: &std::io::Error) -> OpError {
    let hint = "delete .distill/index and run again; nothing is lost by that";
    OpError::new(ErrorKind::Outside, format!("the memo of the last run cannot be read: {error}"), hint)
}

/// Gathers units into chunks.
pub(super) struct Feeder<'a> {
    sender: &'a SyncSender<Chunk>,
    stop: &'a AtomicBool,
    number: u64,
    file: u32,
    units: Vec<ReadUnit>,
    bytes: usize,
}

impl Feeder<'_> {
    pub(super) fn unit(&mut self, read: ReadUnit) -> Result<(), OpError> {
        self.bytes += read.unit.bytes.len();
        self.units.push(read);
        if self.bytes >= CHUNK_BYTES || self.units.len() >= CHUNK_UNITS { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> Result<(), OpError> {
        self.bytes = 0;
        let units = std::mem::take(&mut self.units);
        if units.is_empty() { Ok(()) } else { self.send(Work::Fresh(units)) }
    }

    pub(super) fn send(&mut self, work: Work) -> Result<(), OpError> {
        let chunk = Chunk { number: self.number, file: self.file, work };
        self.number += 1;
        if self.stop.load(Ordering::Relaxed) || self.sender.send(chunk).is_err() {
            // The worker that failed says why; this only ends the reading.
            return Err(stopped());
        }
        Ok(())
    }
}

pub(super) fn stopped() -> OpError {
    OpError::new(ErrorKind::Outside, "the run was stopped", "run the command again")
}
