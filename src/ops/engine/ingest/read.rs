//! Reading for an ingest: files in the order of their keys become chunks, each with what the last commit has there.
//!
//! Rests on the unit readers and on ranges of the old tree. Invariants: a file whose known bytes still have their hash is
//! read from where they end; a plain file of lines is read and hashed in one pass; keys that the last commit has and the
//! files have not are handed on as gone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::mpsc::SyncSender;

use crate::object::{ObjectId, RootId};
use crate::ops::engine::feed::stopped;
use crate::ops::engine::ingest::Ingest;
use crate::ops::engine::inputs::{Prefix, SourceFile, hash_prefix, read_units};
use crate::ops::engine::stored::{Stored, StoredFile, count};
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
    /// Number of the first unit.
    pub(super) first: u64,
    pub(super) content: Content,
    /// The units that the last commit has among these, in order.
    pub(super) known: Vec<(u64, ObjectId)>,
}

pub(super) enum Content {
    /// Whole lines; only the last one of a file may have no end.
    Lines(Vec<u8>),
    /// Units that were cut already.
    Units(Vec<Vec<u8>>),
    /// Numbers of units that are there no more.
    Gone(Vec<u64>),
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
    let mut feeder = Feeder { plan, base, senders, turn: 0, place: 0, next: 0, fresh: 0, old: None };
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
    all.fresh = feeder.fresh;
    all.inputs.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

/// The units of one file in the old tree.
type Old<'a> = Peekable<Box<dyn Iterator<Item = Result<(u64, ObjectId), OpError>> + 'a>>;

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
}

impl Feeder<'_> {
    /// Begins with unit `first` of a file.
    fn begin(&mut self, place: &Place, first: u64) {
        self.next = first;
        let store = self.plan.store;
        self.old = self.base.map(|root| old_units(store, root, place, first).peekable());
    }

    /// Reads a plain file of lines, from where its known bytes end.
    fn lines(&mut self, place: &Place, file: &SourceFile) -> Result<Prefix, OpError> {
        let failed = |error: &io::Error| OpError::io("read", &file.path, error);
        let mut input = File::open(&file.path).map_err(|e| failed(&e))?;
        let mut hasher = blake3::Hasher::new();
        let (mut bytes, mut units) = (0, 0);
        if let Some(known) = place.known {
            if hash_into(&mut hasher, &mut input, known.bytes).map_err(|e| failed(&e))? == known.hash {
                (bytes, units) = (known.bytes, known.units);
                self.plan.progress.advance(units, bytes);
            } else {
                hasher.reset();
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
                hasher.update(&text[whole..=start + at]);
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
                let hash = ObjectId::from_bytes(*hasher.finalize().as_bytes());
                return Ok(Prefix { hash, bytes, units });
            }
            if (text.len() - whole) as u64 > UNIT_BYTES_LIMIT {
                let error = ReadError::TooLarge { number: self.next, offset: bytes + whole as u64 };
                return Err(too_large(file, &error));
            }
        }
    }

    fn send_lines(&mut self, text: Vec<u8>) -> Result<(), OpError> {
        let ends = memchr::memchr_iter(b'\n', &text).count() as u64;
        let tail = u64::from(text.last().is_some_and(|last| *last != b'\n'));
        if ends + tail == 0 { Ok(()) } else { self.send(ends + tail, Content::Lines(text)) }
    }

    /// Reads any other file, unless its bytes are known.
    fn units(&mut self, place: &Place, file: &SourceFile) -> Result<Prefix, OpError> {
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
                self.send(units.len() as u64, Content::Units(units))?;
            }
            Ok(())
        })?;
        if !units.is_empty() {
            self.send(units.len() as u64, Content::Units(units))?;
        }
        Ok(extent.prefix)
    }

    /// Leaves the rows of a file that is not here as they are; where the tree is made anew, takes them from the old one.
    fn held(
        &mut self,
        place: &Place,
        file: &SourceFile,
        stored: &Stored<'_>,
        content: &StoredFile,
    ) -> Result<Prefix, OpError> {
        if self.base.is_some() {
            self.begin(place, content.units);
            return Ok(content.prefix);
        }
        self.begin(place, 0);
        stored.raw(file, &mut |bytes| self.send(1, Content::Units(vec![bytes])))?;
        Ok(content.prefix)
    }

    /// Hands on what the old tree has beyond the last unit of the file.
    fn gone(&mut self) -> Result<(), OpError> {
        loop {
            let old = self.old.iter_mut().flatten().take(CHUNK_UNITS);
            let numbers = old.map(|old| old.map(|(number, _)| number)).collect::<Result<Vec<_>, _>>()?;
            if numbers.is_empty() {
                return Ok(());
            }
            self.send(0, Content::Gone(numbers))?;
        }
    }

    /// Sends a chunk of so many units to the thread whose turn it is.
    fn send(&mut self, units: u64, content: Content) -> Result<(), OpError> {
        let first = self.next;
        self.next += units;
        self.fresh += units;
        let end = self.next;
        let mut known = Vec::new();
        if let Some(old) = &mut self.old {
            let among = |old: &Result<(u64, ObjectId), OpError>| old.as_ref().map_or(true, |old| old.0 < end);
            while let Some(old) = old.next_if(among) {
                known.push(old?);
            }
        }
        let sender = &self.senders[self.turn % self.senders.len()];
        self.turn += 1;
        // The thread that failed says why; this only ends the reading.
        sender.send(Chunk { place: self.place, first, content, known }).map_err(|_| stopped())
    }
}

/// The units of a place in the old tree, from number `first` on.
fn old_units<'a>(
    store: &'a Store,
    root: RootId,
    place: &Place,
    first: u64,
) -> Box<dyn Iterator<Item = Result<(u64, ObjectId), OpError>> + 'a> {
    // The character after `/` ends what begins with the folder.
    let end = format!("{}0", place.folder);
    let start = place.key(first);
    let bounds = (Bound::Included(start.as_str()), Bound::Excluded(end.as_str()));
    let rows = tree::range(store, root, bounds);
    Box::new(rows.map(|row| {
        let row = row?;
        let number = row.key.rsplit('/').next().and_then(|digits| digits.parse().ok());
        let number = number.ok_or_else(|| {
            OpError::new(
                ErrorKind::Damaged,
                format!("the dataset `sources` has the key {}, which ends with no unit number", row.key),
                "run `distill verify`, and `distill run-all` to make the dataset anew",
            )
        })?;
        Ok((number, row.id))
    }))
}

/// Hashes so many bytes of a file; the digest so far.
fn hash_into(hasher: &mut blake3::Hasher, input: &mut File, bytes: u64) -> io::Result<ObjectId> {
    let mut buffer = vec![0; READ_BYTES];
    let mut left = bytes;
    while left > 0 {
        let want = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
        let read = read_some(input, &mut buffer[..want])?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        left -= read as u64;
    }
    Ok(ObjectId::from_bytes(*hasher.finalize().as_bytes()))
}

fn read_some(input: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn too_large(file: &SourceFile, error: &ReadError) -> OpError {
    OpError::new(
        ErrorKind::Outside,
        format!("{}: {error}", file.path.display()),
        "cut the file into smaller units, or exclude it in its spec",
    )
}
