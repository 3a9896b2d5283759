//! Files whose rows are read from the store: those that a merge brings, and those that an earlier merge brought and
//! that are not in this folder.
//!
//! Rests on a `sources` tree, which has every unit of every file. Invariant: a unit that comes from the store is what
//! the reader of its file handed out, so that a pass over stored rows ends where a pass over the files ends. What a row
//! alone does not say (it had no line ending, its array broke off, its file could not be unpacked) is read from the
//! quarantine of the commits that it comes from.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use crate::object::Find;
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::engine::facts::UnitFact;
use crate::ops::engine::feed::{Feeder, Slot, Stamps, Work, unreadable};
use crate::ops::engine::inputs::{Prefix, ReadUnit, SourceFile};
use crate::ops::engine::memo::{FileMemo, MemoReader};
use crate::ops::engine::watch::Watched;
use crate::ops::engine::worker::bad_key;
use crate::ops::error::{ErrorKind, OpError};
use crate::pipeline::source::decode::BAD_COMPRESSION;
use crate::pipeline::source::{UNIT_BYTES_MAX, Unit, UnitFlags};
use crate::record::QuarantineEntry;
use crate::record::Record as _;
use crate::record::{quarantine_key, source_key};
use crate::tree;
use crate::tree::{Entry, TreeError};

/// Rows in the store that stand for files.
pub(crate) struct Stored<'a> {
    /// Where nodes and rows are.
    pub find: &'a (dyn Find + Sync),
    /// The `sources` tree that has the rows.
    pub root: RootId,
    /// The quarantines of the commits that the rows come from.
    pub quarantines: Vec<RootId>,
    /// The files by name.
    pub files: BTreeMap<String, StoredFile>,
}

/// One file whose rows are in the store.
#[derive(Clone, Debug)]
pub(crate) struct StoredFile {
    /// What the receipt of the run that read the file says of it.
    pub prefix: Prefix,
    /// Its units.
    pub units: u64,
    /// The numbers of those that are not as in the base of the pass, in order.
    pub changed: Vec<u64>,
    /// Whether its rows are values of a map whose keys are asked for, and so cannot be mapped without the file.
    pub needs_keys: bool,
}

/// The rows of one file in a `sources` tree, in the order of their numbers.
pub(crate) fn rows<'a>(
    find: &'a dyn Find,
    root: RootId,
    file: &str,
    units: &Range<u64>,
) -> Result<impl Iterator<Item = Result<(u64, Entry), TreeError>> + use<'a>, OpError> {
    let key = |unit: u64| source_key(file, unit.min(9_999_999_999)).map_err(|e| bad_key(&e));
    let (from, to) = (key(units.start)?, key(units.end)?);
    let bounds = (Bound::Included(from.as_str()), Bound::Excluded(to.as_str()));
    Ok(tree::range(find, root, bounds).filter_map(|entry| match entry {
        // A folder of the same name is not this file.
        Ok(entry) => entry.key.rsplit_once('/')?.1.parse().ok().map(|unit| Ok((unit, entry))),
        Err(error) => Some(Err(error)),
    }))
}

/// How many units of `file` a `sources` tree has. Reads two paths.
pub(crate) fn count(find: &dyn Find, root: RootId, file: &str) -> Result<u64, OpError> {
    let key = |unit| source_key(file, unit).map_err(|e| bad_key(&e));
    let before = tree::rank(find, root, &key(0)?)?.rows;
    Ok(tree::rank(find, root, &key(9_999_999_999)?)?.rows - before)
}

impl Stored<'_> {
    pub(super) fn has(&self, slot: &Slot) -> bool {
        self.files.contains_key(&slot.name)
    }

    /// Hands out the units of `file` whose numbers lie in `units`.
    pub(crate) fn read(
        &self,
        file: &SourceFile,
        units: Range<u64>,
        take: &mut dyn FnMut(ReadUnit) -> Result<(), OpError>,
    ) -> Result<(), OpError> {
        let (end, known_units) = match self.files.get(&file.name) {
            Some(content) if content.needs_keys && content.units > 0 => return Err(keyless(&file.name)),
            content => content.map_or((0, 0), |content| (content.units, content.prefix.units)),
        };
        for row in rows(self.find, self.root, &file.name, &(units.start..units.end.min(end)))? {
            let (number, entry) = row?;
            let bytes = self.find.find(&entry.id)?.to_vec();
            let too_large = bytes.len() as u64 > UNIT_BYTES_MAX;
            let flags = UnitFlags { too_large, ..UnitFlags::default() };
            let mut unit = Unit { number, offset: 0, bytes, terminated: true, key: None, flags };
            let mut refused = None;
            // Only the last unit of a file can be cut off, or be the file itself.
            if number + 1 == end {
                let refusal = |reason| self.refusal(&entry.key, reason, &entry.id);
                unit.terminated =
                    if file.resumable() { number < known_units } else { refusal("unterminated")?.is_none() };
                unit.flags.broken_container = refusal("broken_container")?.is_some();
                refused = refusal(BAD_COMPRESSION)?;
                // A spec that reads what stands beside the rows has it as the last unit, unless the file broke off.
                unit.flags.beside = file.beside && !unit.flags.broken_container && refused.is_none();
            }
            take(ReadUnit { unit, refused })?;
        }
        Ok(())
    }

    /// Hands out the bytes of every unit of `file`, in order.
    pub(super) fn raw(
        &self,
        file: &SourceFile,
        take: &mut dyn FnMut(Vec<u8>) -> Result<(), OpError>,
    ) -> Result<(), OpError> {
        for row in rows(self.find, self.root, &file.name, &(0..u64::MAX))? {
            take(self.find.find(&row?.1.id)?.to_vec())?;
        }
        Ok(())
    }

    /// The detail with which this very row was refused for `reason`, if it was.
    fn refusal(&self, source: &str, reason: &str, id: &ObjectId) -> Result<Option<String>, OpError> {
        let key = quarantine_key("evidence", reason, source).map_err(|e| bad_key(&e))?;
        for root in &self.quarantines {
            if let Some(found) = tree::get(self.find, *root, &key)? {
                let entry = QuarantineEntry::parse(&self.find.find(&found.id)?)?;
                if entry.refused_id == *id {
                    return Ok(Some(entry.detail));
                }
            }
        }
        Ok(None)
    }
}

fn keyless(file: &str) -> OpError {
    OpError::new(
        ErrorKind::Refused,
        format!("{file} is a map whose keys its spec asks for (`$key`), and the store has its values alone"),
        "copy the file into this folder and run `distill run-all`, which maps it with its keys",
    )
}

/// Feeds a stored file: units as in the base of the pass from the memo, where it knows them, the others from the store.
pub(super) fn feed_stored(
    stored: &Stored<'_>,
    file: &SourceFile,
    known: Option<(FileMemo, &mut MemoReader)>,
    stamps: &Stamps,
    feeder: &mut Feeder<'_>,
) -> Result<FileMemo, OpError> {
    let content = &stored.files[&file.name];
    let map_stamp = stamps.of(file);
    let mut fed = Fed { stored, file, feeder, next: 0 };
    let mut extent = None;
    let mut watched = Watched::default();
    if let Some((known, memo)) = known {
        let rederive = known.derive_stamp != stamps.derive;
        let complete = known.prefix.units;
        let mut keep = 0;
        if known.map_stamp != map_stamp {
            // Nothing that was made of the rows holds.
        } else if content.changed.is_empty() && known.facts == content.units && known.prefix == content.prefix
        {
            (keep, extent) = (content.units, Some((known.prefix, known.whole)));
            watched = known.watched;
        } else if file.resumable()
            && content.prefix.units >= complete
            && content.changed.first().is_none_or(|first| *first >= complete)
        {
            // As for a file that has grown: what the rows hold is counted by file, so that one that changed in its
            // midst is mapped whole.
            (keep, watched) = (complete, known.watched.without_tail());
        }
        let mut first = 0;
        while first < known.facts {
            let mut facts = memo.next_facts().map_err(|e| unreadable(&e))?;
            let (count, left) = (facts.len(), keep.saturating_sub(first));
            let kept = usize::try_from(left).unwrap_or(usize::MAX).min(count);
            let gone = facts.split_off(kept);
            if !facts.is_empty() {
                fed.known(first, facts, rederive)?;
            }
            if !gone.is_empty() {
                fed.feeder.send(Work::Gone { first: first + kept as u64, facts: gone })?;
            }
            first += count as u64;
        }
    }
    fed.fresh(content.units)?;
    let (prefix, whole) = extent.unwrap_or_else(|| {
        let prefix = content.prefix;
        // A last line without an end is in no receipt: no file on disk is taken for this one by its length.
        let is_cut_off = file.resumable() && prefix.units != content.units;
        let bytes = if is_cut_off { u64::MAX } else { prefix.bytes };
        (prefix, Prefix { hash: prefix.hash, bytes, units: content.units })
    });
    let (name, derive_stamp) = (file.name.clone(), stamps.derive);
    Ok(FileMemo { name, map_stamp, derive_stamp, prefix, whole, facts: 0, watched })
}

/// How far a file was fed.
struct Fed<'a, 'f, 's> {
    stored: &'a Stored<'a>,
    file: &'a SourceFile,
    feeder: &'f mut Feeder<'s>,
    next: u64,
}

impl Fed<'_, '_, '_> {
    /// Facts of the memo that stand.
    fn known(&mut self, first: u64, facts: Vec<UnitFact>, rederive: bool) -> Result<(), OpError> {
        self.next = first + facts.len() as u64;
        self.feeder.send(Work::Known { first, facts, rederive })
    }

    /// Reads the units before `end` that were not fed yet.
    fn fresh(&mut self, end: u64) -> Result<(), OpError> {
        if self.next < end {
            self.stored.read(self.file, self.next..end, &mut |read| self.feeder.unit(read))?;
            self.feeder.flush()?;
            self.next = end;
        }
        Ok(())
    }
}
