//! The outline of a file: the hashes of its parts, by which the next ingest tells which of them an edit left alone.
//!
//! Rests on BLAKE3 being a tree: the hash of a file's known bytes is made of the hashes of its parts, so that these cost nothing
//! when the file is hashed, and an outline is proved by the hash that a receipt has of the file. A part that is looked for
//! elsewhere, behind a row that became longer, is hashed as if it lay where it was. Outlines lie below `index/parts/`, which is a
//! cache. Invariants: one whose parts do not add up to the file is taken for absent; where lines end within a part is counted
//! again in every part that is taken over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use blake3::hazmat::{HasherExt as _, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};

use crate::object::ObjectId;
use crate::ops::engine::inputs::Prefix;

/// Bytes of a part, where a file has not too many of them.
pub(super) const PART_BYTES: u64 = 16 << 10;
/// Most parts that an outline is meant to have; larger files have larger parts.
const PARTS: u64 = 1 << 20;

const MAGIC: [u8; 8] = *b"DSTLPART";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 24;
const ROW_LEN: usize = 40;

/// One part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// BLAKE3 of its bytes at their place in the file, as the hash of the whole is made of them.
    pub(super) hash: [u8; 32],
    /// Line ends in it.
    pub(super) lines: u32,
    /// Bytes between the last line end at or before its end and its end.
    pub(super) tail: u32,
}

/// The parts of the first bytes of a file, all of one length but the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    /// Bytes of a part; a power of two.
    pub(super) part: u64,
    /// Bytes that the parts cover, up to the end of a line.
    pub(super) bytes: u64,
    pub(super) parts: Vec<Part>,
}

impl Part {
    /// The part that `text` is at `offset`, behind `tail` bytes of an unfinished line.
    pub(super) fn of(text: &[u8], offset: u64, tail: u64) -> Self {
        let mut open = Open::at(offset, tail);
        open.update(text);
        open.close()
    }
}

/// Hashes a file and outlines it on the way.
#[derive(Clone)]
pub(super) struct Outliner {
    part: u64,
    /// Bytes so far.
    bytes: u64,
    parts: Vec<Part>,
    open: Open,
}

/// The part that is being hashed.
#[derive(Clone)]
struct Open {
    hasher: blake3::Hasher,
    filled: u64,
    lines: u32,
    tail: u64,
}

impl Open {
    fn at(offset: u64, tail: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(offset);
        Self { hasher, filled: 0, lines: 0, tail }
    }

    fn update(&mut self, text: &[u8]) {
        self.hasher.update(text);
        self.filled += text.len() as u64;
        let ends = memchr::memchr_iter(b'\n', text).count();
        self.lines += u32::try_from(ends).unwrap_or(u32::MAX);
        match memchr::memrchr(b'\n', text) {
            Some(last) => self.tail = (text.len() - last - 1) as u64,
            None => self.tail += text.len() as u64,
        }
    }

    fn close(&self) -> Part {
        let tail = u32::try_from(self.tail).unwrap_or(u32::MAX);
        Part { hash: self.hasher.finalize_non_root(), lines: self.lines, tail }
    }
}

impl Outliner {
    /// For a file of about `len` bytes.
    pub(super) fn new(len: u64) -> Self {
        Self::with_part((len / PARTS).next_power_of_two().max(PART_BYTES))
    }

    /// With parts of so many bytes, a power of two.
    pub(super) fn with_part(part: u64) -> Self {
        Self { part, bytes: 0, parts: Vec::new(), open: Open::at(0, 0) }
    }

    /// Bytes of a part.
    pub(super) const fn part(&self) -> u64 {
        self.part
    }

    /// Bytes taken in so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes in the next bytes.
    pub(super) fn update(&mut self, mut text: &[u8]) {
        while !text.is_empty() {
            if self.open.filled == self.part {
                self.parts.push(self.open.close());
                self.open = Open::at(self.bytes, self.open.tail);
            }
            let space = usize::try_from(self.part - self.open.filled).unwrap_or(usize::MAX);
            let (now, later) = text.split_at(space.min(text.len()));
            self.open.update(now);
            self.bytes += now.len() as u64;
            text = later;
        }
    }

    /// Takes in a whole part that was hashed already; `false`, and nothing is done, where no part begins here.
    pub(super) fn take(&mut self, mut part: Part) -> bool {
        if self.open.filled == self.part {
            self.parts.push(self.open.close());
        } else if self.open.filled > 0 {
            return false;
        }
        if part.lines == 0 {
            // The line that goes on here may have begun elsewhere when the part was hashed.
            part.tail = u32::try_from(self.open.tail + self.part).unwrap_or(u32::MAX);
        }
        self.parts.push(part);
        self.bytes += self.part;
        self.open = Open::at(self.bytes, u64::from(part.tail));
        true
    }

    /// The hash of all bytes, and their outline where they have more than one part.
    pub(super) fn finish(mut self) -> (ObjectId, Option<Outline>) {
        if self.parts.is_empty() {
            return (ObjectId::from_bytes(*self.open.hasher.finalize().as_bytes()), None);
        }
        if self.open.filled > 0 {
            self.parts.push(self.open.close());
        }
        let outline = Outline { part: self.part, bytes: self.bytes, parts: self.parts };
        let hash = outline.hash().unwrap_or_else(|| ObjectId::from_bytes([0; 32]));
        (hash, Some(outline))
    }
}

impl Outline {
    /// The hash of the bytes that have these parts; `None` for fewer than two.
    fn hash(&self) -> Option<ObjectId> {
        let len = left_len(self.bytes, self.parts.len())?;
        let (left, right) = self.parts.split_at(usize::try_from(len / self.part).ok()?);
        let (left, right) = (subtree(left, len, self.part), subtree(right, self.bytes - len, self.part));
        let root = merge_subtrees_root(&left?, &right?, Mode::Hash);
        Some(ObjectId::from_bytes(*root.as_bytes()))
    }

    /// Whether this is the outline of the file that a receipt speaks of.
    fn is_of(&self, known: &Prefix) -> bool {
        let lines: u64 = self.parts.iter().map(|part| u64::from(part.lines)).sum();
        self.bytes == known.bytes
            && lines == known.units
            && self.parts.last().is_some_and(|last| last.tail == 0)
            && self.hash() == Some(known.hash)
    }

    /// What is kept of the file `name`, whose known bytes are these; `None` where that is nothing, or is not about them.
    pub(super) fn load(index_dir: &Path, name: &str, known: &Prefix) -> Option<Self> {
        let bytes = fs::read(path(index_dir, name)).ok()?;
        Self::decode(&bytes).filter(|outline| outline.is_of(known))
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN + self.parts.len() * ROW_LEN + 32);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.part.trailing_zeros().to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        for part in &self.parts {
            out.extend_from_slice(&part.hash);
            out.extend_from_slice(&part.lines.to_le_bytes());
            out.extend_from_slice(&part.tail.to_le_bytes());
        }
        let check = blake3::hash(&out);
        out.extend_from_slice(check.as_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        let (head, rows) = body.split_at_checked(HEADER_LEN)?;
        let word =
            |bytes: &[u8], at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        if head[..8] != MAGIC || word(head, 8)? != VERSION || blake3::hash(body).as_bytes() != check {
            return None;
        }
        if rows.len() % ROW_LEN != 0 {
            return None;
        }
        let part = 1_u64.checked_shl(word(head, 12)?)?;
        let bytes = u64::from_le_bytes(head[16..].try_into().ok()?);
        if part < PART_BYTES || bytes.div_ceil(part) != (rows.len() / ROW_LEN) as u64 {
            return None;
        }
        let row = |row: &[u8]| {
            Some(Part { hash: row[..32].try_into().ok()?, lines: word(row, 32)?, tail: word(row, 36)? })
        };
        let parts = rows.chunks(ROW_LEN).map(row).collect::<Option<_>>()?;
        Some(Self { part, bytes, parts })
    }
}

/// Bytes of the left of the two subtrees that so many bytes in so many parts consist of; `None` for one part.
fn left_len(bytes: u64, parts: usize) -> Option<u64> {
    (parts > 1).then(|| left_subtree_len(bytes))
}

/// The hash of a subtree below the root.
fn subtree(parts: &[Part], bytes: u64, part: u64) -> Option<[u8; 32]> {
    let Some(len) = left_len(bytes, parts.len()) else { return Some(parts.first()?.hash) };
    let (left, right) = parts.split_at_checked(usize::try_from(len / part).ok()?)?;
    Some(merge_subtrees_non_root(&subtree(left, len, part)?, &subtree(right, bytes - len, part)?, Mode::Hash))
}

fn folder(index_dir: &Path) -> PathBuf {
    index_dir.join("parts")
}

fn path(index_dir: &Path, name: &str) -> PathBuf {
    folder(index_dir).join(format!("{}.parts", ObjectId::of(name.as_bytes()).short(32)))
}

/// What the outlines of all files are after a run.
#[derive(Default)]
pub(crate) struct Outlines {
    /// Every file that has one, and those that are new.
    files: Vec<(String, Option<Outline>)>,
}

impl Outlines {
    /// Files that were known, of which `new` says the outline where it is another than before.
    pub(super) fn push(&mut self, name: &str, new: Option<Outline>) {
        self.files.push((name.to_owned(), new));
    }

    /// Puts the new ones in place, and removes those of other files.
    pub(crate) fn keep(self, index_dir: &Path) -> io::Result<()> {
        let mut stale: Vec<PathBuf> = match fs::read_dir(folder(index_dir)) {
            Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let kept: std::collections::BTreeSet<PathBuf> =
            self.files.iter().map(|(name, _)| path(index_dir, name)).collect();
        stale.retain(|path| !kept.contains(path));
        stale.iter().try_for_each(fs::remove_file)?;
        for (name, outline) in self.files {
            let Some(outline) = outline else { continue };
            let path = path(index_dir, &name);
            fs::create_dir_all(folder(index_dir))?;
            // It has a check of its own, so what a power loss leaves of it is noticed.
            let tmp = path.with_extension(format!("tmp-{}", std::process::id()));
            fs::write(&tmp, outline.encode())?;
            fs::rename(&tmp, &path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(len: usize) -> Vec<u8> {
        let mut text: Vec<u8> = (0..len).map(|n| u8::try_from(n * n / 7 % 251).unwrap_or_default()).collect();
        if let Some(last) = text.last_mut() {
            *last = b'\n';
        }
        text
    }

    #[test]
    fn the_parts_add_up_to_the_hash_of_the_whole() {
        let part = usize::try_from(PART_BYTES).expect("small");
        for len in [0, 1, 1024, part - 1, part, part + 1, 2 * part, 5 * part + 77, 8 * part, 21 * part + 1] {
            let text = text(len);
            for step in [1000, part, 7 * part + 3] {
                let mut outliner = Outliner::new(len as u64);
                text.chunks(step).for_each(|piece| outliner.update(piece));
                let (hash, outline) = outliner.finish();
                assert_eq!(hash, ObjectId::of(&text), "{len} bytes by {step}");
                assert_eq!(outline.is_some(), len > part);
                let Some(outline) = outline else { continue };
                let units = memchr::memchr_iter(b'\n', &text).count() as u64;
                let known = Prefix { hash, bytes: len as u64, units };
                assert!(outline.is_of(&known));
                let read = Outline::decode(&outline.encode()).expect("sound");
                assert_eq!(read, outline);
                let mut again = Outliner::with_part(outline.part);
                for (at, part_) in outline.parts.iter().enumerate() {
                    let end = ((at + 1) * part).min(len);
                    if end - at * part == part {
                        assert!(again.take(*part_));
                    } else {
                        again.update(&text[at * part..end]);
                    }
                }
                assert_eq!(again.finish(), (hash, Some(outline.clone())), "from parts");
                for part in 0..outline.parts.len() {
                    let mut wrong = outline.clone();
                    wrong.parts[part].hash[7] ^= 1;
                    assert!(!wrong.is_of(&known), "another hash");
                }
            }
        }
    }

    #[test]
    fn what_is_no_outline_is_none() {
        let mut outliner = Outliner::new(0);
        outliner.update(&text(100_000));
        let sound = outliner.finish().1.expect("several parts").encode();
        for at in (0..sound.len()).step_by(13) {
            let mut wrong = sound.clone();
            wrong[at] ^= 4;
            assert_eq!(Outline::decode(&wrong), None, "byte {at}");
            assert_eq!(Outline::decode(&sound[..at]), None, "cut at {at}");
        }
    }
}
