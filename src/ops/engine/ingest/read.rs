//! Reading for an ingest: files in the order of their keys become chunks, each with what the last commit has there.
//!
//! Rests on the unit readers, on outlines of files and on ranges of the old tree. Invariants: a plain file of lines is read and
//! hashed in one pass; of one whose outline is kept only rows are handed on that lie in parts that changed, of one whose known bytes
//! still have their hash only those that come after; keys that the last commit has and the files have not are handed on as
//! gone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::ops::Bound;
use std::sync::mpsc::SyncSender;

use crate::object::{ObjectId, RootId};
use crate::ops::engine::feed::stopped;
use crate::ops::engine::ingest::Ingest;
use crate::ops::engine::inputs::{Prefix, SourceFile, hash_prefix, read_units, too_large};
use crate::ops::engine::outline::{Outline, Outliner, Outlines};
use crate::ops::engine::stored::{Stored, StoredFile, count};
use crate::ops::engine::walk::{Rows, walk};
use crate::ops::engine::worker::bad_key;
use crate::ops::error::{ErrorKind, OpError};
use crate::pipeline::source::{ReadError, UNIT_BYTES_LIMIT};
use crate::record::source_key;
use crate::store::Store;
use crate::tree;

/// Bytes of one chunk, about.
const CHUNK_BYTES: usize = 2 << 20;
/// Most units of one chunk, where they are handed on one by one.
const CHUNK_UNITS: usize = 4096;
/// Bytes that are read at once; hashed while they are in the processor's cache.
const READ_BYTES: usize = 256 << 10;

/// Where the units of one file stand in the tree.
pub(super) struct Place {
    /// What their keys begin with.
    folder: String,
    name: String,
    /// `None` when the file has vanished.
    file: Option<SourceFile>,
    known: Option<Prefix>,
}

impl Place {
    /// The key of a unit.
    pub(super) fn key(&self, number: u64) -> String {
        format!("{}/{number:010}", self.folder)
    }
}

/// A part of a file on its way to a thread.
pub(super) struct Chunk {
    /// Index of the place.
    pub(super) place: usize,
    pub(super) content: Content,
    /// The units that the last commit has among these, in order.
    pub(super) known: Vec<(u64, ObjectId)>,
}

pub(super) enum Content {
    /// Whole lines; only the last one of a file may have no end.
    Lines { text: Vec<u8>, pieces: Vec<Piece> },
    /// Units that were cut already, and the number of the first.
    Units { first: u64, units: Vec<Vec<u8>> },
    /// Numbers of units that are there no more.
    Gone(Vec<u64>),
}

/// Lines that stand one after the other in their file.
pub(super) struct Piece {
    /// Number of the first line.
    pub(super) first: u64,
    /// How many there are.
    pub(super) count: u64,
    /// Where they begin in the text of the chunk.
    pub(super) start: usize,
}

/// What was read.
#[derive(Default)]
pub(super) struct ReadAll {
    /// The known part of every file, in source order.
    pub(super) inputs: Vec<(String, Prefix)>,
    /// Units of all files.
    pub(super) units: u64,
    /// Units that were read.
    pub(super) fresh: u64,
    pub(super) outlines: Outlines,
}

/// The files in the order of their keys, those that have vanished too, and the tree that they change.
pub(super) fn places(plan: &Ingest<'_>) -> Result<(Vec<Place>, Option<RootId>), OpError> {
    let mut names: BTreeMap<&str, (Option<SourceFile>, Option<Prefix>)> = BTreeMap::new();
    for (name, prefix) in plan.base.iter().flat_map(|(_, known)| known) {
        names.insert(name, (None, Some(*prefix)));
    }
    for file in plan.files {
        names.entry(&file.name).or_default().0 = Some(file.clone());
    }
    let mut places = Vec::new();
    for (name, (file, known)) in names {
        let mut folder = source_key(name, 0).map_err(|e| bad_key(&e))?;
        folder.truncate(folder.rfind('/').unwrap_or(folder.len()));
        places.push(Place { folder, name: name.to_owned(), file, known: known.filter(|_| plan.same_cut) });
    }
    places.sort_by(|a, b| a.folder.bytes().chain([b'/']).cmp(b.folder.bytes().chain([b'/'])));
    let within = |pair: &[Place]| {
        pair[1]
            .folder
            .strip_prefix(&pair[0].folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if places.windows(2).any(within) {
        // Where a file has become a folder, keys of the two lie among each other; then the tree is made anew.
        places.retain(|place| place.file.is_some());
        places.iter_mut().for_each(|place| place.known = None);
        return Ok((places, None));
    }
    Ok((places, plan.base.as_ref().map(|(root, _)| *root)))
}

/// Reads all files, and sends chunks to the threads in turn.
pub(super) fn read_places(
    plan: &Ingest<'_>,
    places: &[Place],
    base: Option<RootId>,
    senders: &[SyncSender<Chunk>],
) -> Result<ReadAll, OpError> {
    let mut all = ReadAll::default();
    let outlines = Outlines::default();
    let mut feeder =
        Feeder { plan, base, senders, turn: 0, place: 0, next: 0, fresh: 0, old: None, outlines };
    for (index, place) in places.iter().enumerate() {
        feeder.place = index;
        let held = plan.stored.and_then(|stored| Some((stored, stored.files.get(&place.name)?)));
        let prefix = match &place.file {
            Some(file) if let Some((stored, content)) = held => {
                Some(feeder.held(place, file, stored, content)?)
            }
            Some(file) if file.resumable() => Some(feeder.lines(place, file)?),
            Some(file) => Some(feeder.units(place, file)?),
            None => {
                feeder.begin(place, 0);
                None
            }
        };
        feeder.gone()?;
        all.units += feeder.next;
        all.inputs.extend(prefix.map(|prefix| (place.name.clone(), prefix)));
    }
    (all.fresh, all.outlines) = (feeder.fresh, feeder.outlines);
    all.inputs.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

struct Feeder<'a> {
    plan: &'a Ingest<'a>,
    base: Option<RootId>,
    senders: &'a [SyncSender<Chunk>],
    /// Chunks sent so far: says whose turn it is.
    turn: usize,
    place: usize,
    /// Number of the next unit of the file.
    next: u64,
    fresh: u64,
    old: Option<Old<'a>>,
    outlines: Outlines,
}

impl<'a> Feeder<'a> {
    /// Begins with unit `first` of a file.
    fn begin(&mut self, place: &'a Place, first: u64) {
        self.next = first;
        let store = self.plan.store;
        self.old = self.base.map(|root| Old::new(store, root, place, first));
    }

    /// Reads a plain file of lines, and hands on what is not known.
    fn lines(&mut self, place: &'a Place, file: &SourceFile) -> Result<Prefix, OpError> {
        let failed = |error: &io::Error| OpError::io("read", &file.path, error);
        let mut input = File::open(&file.path).map_err(|e| failed(&e))?;
        if let Some(known) = &place.known
            && let Some(old) = Outline::load(self.plan.index_dir, &place.name, known)
        {
            return self.changes(place, file, &mut input, &old);
        }
        let len = input.metadata().map_err(|e| failed(&e))?.len();
        let mut outliner = Outliner::new(len);
        let (mut bytes, mut units) = (0, 0);
        if let Some(known) = place.known {
            let (hash, outline) = outline_of(&mut input, len, known.bytes).map_err(|e| failed(&e))?;
            if hash == known.hash {
                (bytes, units) = (known.bytes, known.units);
                outliner = outline;
                self.plan.progress.advance(units, bytes);
            } else {
                input.rewind().map_err(|e| failed(&e))?;
            }
        }
        self.begin(place, units);
        let mut text = Vec::with_capacity(CHUNK_BYTES + READ_BYTES);
        // Up to the end of the last whole line of `text`; all of it is hashed.
        let mut whole = 0;
        loop {
            let start = text.len();
            text.resize(start + READ_BYTES, 0);
            let read = read_some(&mut input, &mut text[start..]).map_err(|e| failed(&e))?;
            text.truncate(start + read);
            if let Some(at) = memchr::memrchr(b'\n', &text[start..]) {
                outliner.update(&text[whole..=start + at]);
                whole = start + at + 1;
            }
            let at_end = read == 0;
            if at_end || (text.len() >= CHUNK_BYTES && whole > 0) {
                bytes += whole as u64;
                let mut rest = Vec::with_capacity(if at_end { 0 } else { CHUNK_BYTES + READ_BYTES });
                if at_end {
                    // A last line without an end goes with the others, and counts as not known yet.
                    units = self.next + memchr::memchr_iter(b'\n', &text).count() as u64;
                } else {
                    rest.extend_from_slice(&text[whole..]);
                    text.truncate(whole);
                }
                self.send_lines(std::mem::replace(&mut text, rest))?;
                whole = 0;
            }
            if at_end {
                let (hash, outline) = outliner.finish();
                let prefix = Prefix { hash, bytes, units };
                self.outlines.push(&place.name, outline);
                return Ok(prefix);
            }
            if (text.len() - whole) as u64 > UNIT_BYTES_LIMIT {
                let error = ReadError::TooLarge { number: self.next, offset: bytes + whole as u64 };
                return Err(too_large(file, &error));
            }
        }
    }

    /// Reads a file whose outline is kept, and hands on the rows in parts that changed.
    fn changes(
        &mut self,
        place: &'a Place,
        file: &SourceFile,
        input: &mut File,
        old: &Outline,
    ) -> Result<Prefix, OpError> {
        self.begin(place, 0);
        let (mut text, mut pieces) = (Vec::new(), Vec::<Piece>::new());
        let walked = walk(file, input, old, &mut |rows| {
            match rows {
                Rows::Known { count, bytes } => {
                    self.next += count;
                    self.plan.progress.advance(count, bytes);
                }
                Rows::Fresh { first, text: lines } => {
                    let count = count_lines(lines);
                    match pieces.last_mut() {
                        Some(last) if last.first + last.count == first => last.count += count,
                        _ => pieces.push(Piece { first, count, start: text.len() }),
                    }
                    text.extend_from_slice(lines);
                    self.next = first + count;
                    if text.len() >= CHUNK_BYTES {
                        let (text, pieces) = (std::mem::take(&mut text), std::mem::take(&mut pieces));
                        self.send(Content::Lines { text, pieces })?;
                    }
                }
            }
            Ok(())
        })?;
        if !pieces.is_empty() {
            self.send(Content::Lines { text, pieces })?;
        }
        self.outlines.push(&place.name, walked.outline.filter(|outline| outline != old));
        Ok(walked.prefix)
    }

    fn send_lines(&mut self, text: Vec<u8>) -> Result<(), OpError> {
        let count = count_lines(&text);
        if count == 0 {
            return Ok(());
        }
        let first = self.next;
        self.next += count;
        self.send(Content::Lines { text, pieces: vec![Piece { first, count, start: 0 }] })
    }

    fn send_units(&mut self, units: Vec<Vec<u8>>) -> Result<(), OpError> {
        let first = self.next;
        self.next += units.len() as u64;
        self.send(Content::Units { first, units })
    }

    /// Reads any other file, unless its bytes are known.
    fn units(&mut self, place: &'a Place, file: &SourceFile) -> Result<Prefix, OpError> {
        if let Some(known) = place.known {
            let len = std::fs::metadata(&file.path).map_err(|e| OpError::io("read", &file.path, &e))?.len();
            if len == known.bytes && hash_prefix(&file.path, len)? == Some(known.hash) {
                self.plan.progress.advance(known.units, known.bytes);
                // What stands beside the rows is a unit too, and not among those that are known.
                let units = self.base.map(|root| count(self.plan.store, root, &place.name)).transpose()?;
                self.begin(place, units.unwrap_or(known.units));
                return Ok(known);
            }
        }
        self.begin(place, 0);
        let (mut units, mut bytes) = (Vec::new(), 0);
        let extent = read_units(file, None, &mut |read| {
            bytes += read.unit.bytes.len();
            units.push(read.unit.bytes);
            if bytes >= CHUNK_BYTES || units.len() == CHUNK_UNITS {
                bytes = 0;
                let units = std::mem::take(&mut units);
                self.send_units(units)?;
            }
            Ok(())
        })?;
        if !units.is_empty() {
            self.send_units(units)?;
        }
        Ok(extent.prefix)
    }

    /// Leaves the rows of a file that is not here as they are; where the tree is made anew, takes them from the old one.
    fn held(
        &mut self,
        place: &'a Place,
        file: &SourceFile,
        stored: &Stored<'_>,
        content: &StoredFile,
    ) -> Result<Prefix, OpError> {
        if self.base.is_some() {
            self.begin(place, content.units);
            return Ok(content.prefix);
        }
        self.begin(place, 0);
        stored.raw(file, &mut |bytes| self.send_units(vec![bytes]))?;
        Ok(content.prefix)
    }

    /// Hands on what the old tree has beyond the last unit of the file.
    fn gone(&mut self) -> Result<(), OpError> {
        let Some(old) = &mut self.old else { return Ok(()) };
        old.skip_to(self.next)?;
        loop {
            let Some(old) = &mut self.old else { return Ok(()) };
            let mut numbers = Vec::new();
            while numbers.len() < CHUNK_UNITS
                && let Some((number, _)) = old.next_before(u64::MAX)?
            {
                numbers.push(number);
            }
            if numbers.is_empty() {
                return Ok(());
            }
            self.send(Content::Gone(numbers))?;
        }
    }

    /// Sends a chunk to the thread whose turn it is.
    fn send(&mut self, content: Content) -> Result<(), OpError> {
        let (mut known, mut fresh) = (Vec::new(), 0);
        let mut look = |first: u64, count: u64| -> Result<(), OpError> {
            fresh += count;
            let Some(old) = &mut self.old else { return Ok(()) };
            old.skip_to(first)?;
            while let Some(row) = old.next_before(first + count)? {
                known.push(row);
            }
            Ok(())
        };
        match &content {
            Content::Lines { pieces, .. } => {
                pieces.iter().try_for_each(|piece| look(piece.first, piece.count))?;
            }
            Content::Units { first, units } => look(*first, units.len() as u64)?,
            Content::Gone(_) => {}
        }
        self.fresh += fresh;
        let sender = &self.senders[self.turn % self.senders.len()];
        self.turn += 1;
        // The thread that failed says why; this only ends the reading.
        sender.send(Chunk { place: self.place, content, known }).map_err(|_| stopped())
    }
}

/// The units of one place in the old tree.
struct Old<'a> {
    place: &'a Place,
    rows: tree::Rows<'a>,
    next: Option<(u64, ObjectId)>,
}

impl<'a> Old<'a> {
    /// From number `first` on.
    fn new(store: &'a Store, root: RootId, place: &'a Place, first: u64) -> Self {
        // The character after `/` ends what begins with the folder.
        let end = format!("{}0", place.folder);
        let start = place.key(first);
        let rows = tree::range(store, root, (Bound::Included(start.as_str()), Bound::Excluded(end.as_str())));
        Self { place, rows, next: None }
    }

    /// Passes over what comes before `number`.
    fn skip_to(&mut self, number: u64) -> Result<(), OpError> {
        if self.next.is_none_or(|(next, _)| next < number) {
            self.next = None;
            self.rows.skip_to(&self.place.key(number))?;
        }
        Ok(())
    }

    /// The next unit, if its number is less than `end`.
    fn next_before(&mut self, end: u64) -> Result<Option<(u64, ObjectId)>, OpError> {
        if self.next.is_none() {
            self.next = self.rows.next().map(|row| numbered(&row?)).transpose()?;
        }
        Ok(self.next.take_if(|(number, _)| *number < end))
    }
}

fn numbered(row: &tree::Entry) -> Result<(u64, ObjectId), OpError> {
    let number = row.key.rsplit('/').next().and_then(|digits| digits.parse().ok());
    let number = number.ok_or_else(|| {
        OpError::new(
            ErrorKind::Damaged,
            format!("the dataset `sources` has the key {}, which ends with no unit number", row.key),
            "run `distill verify`, and `distill run-all` to make the dataset anew",
        )
    })?;
    Ok((number, row.id))
}

/// Lines of a text, one without an end counted.
fn count_lines(text: &[u8]) -> u64 {
    let tail = text.last().is_some_and(|last| *last != b'\n');
    memchr::memchr_iter(b'\n', text).count() as u64 + u64::from(tail)
}

/// The hash of the first `bytes` bytes of a file of `len` bytes, and what goes on from there.
fn outline_of(input: &mut File, len: u64, bytes: u64) -> io::Result<(ObjectId, Outliner)> {
    let mut outliner = Outliner::new(len);
    let mut buffer = vec![0; READ_BYTES];
    let mut left = bytes;
    while left > 0 {
        let want = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
        let read = read_some(input, &mut buffer[..want])?;
        if read == 0 {
            break;
        }
        outliner.update(&buffer[..read]);
        left -= read as u64;
    }
    Ok((outliner.clone().finish().0, outliner))
}

fn read_some(input: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
