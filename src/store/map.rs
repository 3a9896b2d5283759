//! Which pack holds an object, where there are many: a look-up then opens one of them, and not all.
//!
//! Rests on the tables of the packs. `index/packs.map` is a cache: writers make it anew when it has fallen behind, readers go without it
//! where it is missing, damaged or of another version. Invariants: what a map says follows from the packs that it names alone, and those
//! never change, so that an old map is as right as a new one, about fewer packs; no pack with tombstones is in a map, since what these erase depends
//! on the order of all packs; every part that is believed has matched its check.
//!
//! The file, with all integers little-endian: magic, version, bits, packs, zero, rows (32 bytes in all); the ids of the packs in the order of the
//! catalogue; BLAKE3 of all this; 2^bits buckets by the first bits of an id, each with the number of rows up to its end and the first eight bytes
//! of BLAKE3 of its rows; the rows in order of id, each an id and the number of the latest pack that holds it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use super::INDEX_DIR;
use super::error::StoreError;
use super::opened::{Snapshot, Store};
use crate::object::ObjectId;

/// So few packs are asked one by one.
pub(super) const ASKED_MAX: usize = 24;
/// A map is made anew when it leaves out more packs than this, and these are not few beside what it has …
const BEHIND_PACKS: usize = 24;
/// … or more than this.
const BEHIND_PACKS_MAX: usize = 128;
/// No map is made of more objects than this: the file takes 36 bytes for each.
const OBJECTS_MAX: u64 = 1 << 26;
/// Rows that are sorted at a time.
const SORTED_ROWS: u64 = 1 << 20;

const MAGIC: [u8; 8] = *b"DSTLPMAP";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 32;
const BUCKET_LEN: usize = 16;
const ROW_LEN: usize = 36;
const BITS_MAX: u32 = 24;
/// A bucket holds about this many rows.
const BUCKET_ROWS: u64 = 64;

/// A map, as far as it goes for the packs that are catalogued now.
#[derive(Debug)]
pub(super) struct PackMap {
    file: File,
    bits: u32,
    buckets_at: u64,
    /// For every pack of the map its place in the catalogue; `None` where it has left.
    places: Vec<Option<usize>>,
    /// The places in the catalogue that the map does not tell of, in order.
    pub(super) others: Vec<usize>,
}

fn path(dir: &Path) -> PathBuf {
    dir.join(INDEX_DIR).join("packs.map")
}

fn bucket_of(id: &ObjectId, bits: u32) -> u64 {
    let [a, b, c, d, ..] = *id.as_bytes();
    u64::from(u32::from_be_bytes([a, b, c, d])) >> (32 - bits)
}

fn check(rows: &[u8]) -> [u8; 8] {
    let mut check = [0; 8];
    check.copy_from_slice(&blake3::hash(rows).as_bytes()[..8]);
    check
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

impl PackMap {
    /// The map in `dir` for a catalogue of these packs; `None` where there is none that can be used.
    pub(super) fn open(dir: &Path, catalogued: &[ObjectId]) -> Option<Self> {
        let file = File::open(path(dir)).ok()?;
        let mut header = [0; HEADER_LEN];
        file.read_exact_at(&mut header, 0).ok()?;
        let (bits, packs, rows) = (u32_at(&header, 12)?, u32_at(&header, 16)?, u64_at(&header, 24)?);
        if header[..8] != MAGIC || u32_at(&header, 8)? != VERSION || bits > BITS_MAX || rows > OBJECTS_MAX {
            return None;
        }
        let ids_len = u64::from(packs) * 32;
        let buckets_at = HEADER_LEN as u64 + ids_len + 32;
        let len = buckets_at + ((BUCKET_LEN as u64) << bits) + rows * ROW_LEN as u64;
        if file.metadata().ok()?.len() != len {
            return None;
        }
        let mut ids = vec![0; usize::try_from(ids_len + 32).ok()?];
        file.read_exact_at(&mut ids, HEADER_LEN as u64).ok()?;
        let (ids, hash) = ids.split_at(packs as usize * 32);
        let found = blake3::Hasher::new().update(&header).update(ids).finalize();
        if found.as_bytes() != hash {
            return None;
        }
        let place: FxHashMap<&[u8], usize> =
            catalogued.iter().enumerate().map(|(at, id)| (&id.as_bytes()[..], at)).collect();
        let places: Vec<Option<usize>> = ids.chunks_exact(32).map(|id| place.get(id).copied()).collect();
        let mut told = vec![false; catalogued.len()];
        for at in places.iter().flatten() {
            told[*at] = true;
        }
        let others = (0..catalogued.len()).filter(|at| !told[*at]).collect();
        Some(Self { file, bits, buckets_at, places, others })
    }

    /// The places in the catalogue of the packs that may hold or erase `id`, in order; `None` where the map cannot tell.
    pub(super) fn ask(&self, id: &ObjectId) -> Option<Vec<usize>> {
        let rows = self.bucket(bucket_of(id, self.bits))?;
        let mut asked = self.others.clone();
        let row = rows.chunks_exact(ROW_LEN).find(|row| row[..32] == *id.as_bytes());
        if let Some(row) = row {
            // A pack that has left was merged with others, or collected: then all are asked.
            let place = (*self.places.get(u32_at(row, 32)? as usize)?)?;
            asked.push(place);
            asked.sort_unstable();
        }
        Some(asked)
    }

    fn bucket(&self, bucket: u64) -> Option<Vec<u8>> {
        let end_of = |bucket: u64| {
            let mut row = [0; BUCKET_LEN];
            self.file.read_exact_at(&mut row, self.buckets_at + bucket * BUCKET_LEN as u64).ok()?;
            Some((u64_at(&row, 0).filter(|end| *end <= OBJECTS_MAX)?, row))
        };
        let start = if bucket == 0 { 0 } else { end_of(bucket - 1)?.0 };
        let (end, row) = end_of(bucket)?;
        let mut rows = vec![0; usize::try_from(end.checked_sub(start)?).ok()? * ROW_LEN];
        let rows_at = self.buckets_at + ((BUCKET_LEN as u64) << self.bits);
        self.file.read_exact_at(&mut rows, rows_at + start * ROW_LEN as u64).ok()?;
        (check(&rows) == row[8..]).then_some(rows)
    }
}

impl Store {
    /// Makes the map anew if there are many packs and it leaves out too many of them.
    ///
    /// # Errors
    /// I/O, a damaged pack. The old map stays, and nothing depends on either.
    pub(super) fn keep_map(&self) -> Result<(), StoreError> {
        let snapshot = self.snapshot();
        let packs = &snapshot.catalogue.packs;
        if packs.len() <= ASKED_MAX {
            return Ok(());
        }
        let objects = |at: &usize| packs[*at].entry.objects;
        let all: u64 = packs.iter().map(|pack| pack.entry.objects).sum();
        if let Some(map) = snapshot.map() {
            let behind: u64 = map.others.iter().map(objects).sum();
            let few = map.others.len() <= BEHIND_PACKS || behind * 4 < all - behind;
            if few && map.others.len() <= BEHIND_PACKS_MAX {
                return Ok(());
            }
        }
        if all > OBJECTS_MAX {
            return Ok(());
        }
        build(self.dir(), &snapshot, all)?;
        self.forget_map();
        Ok(())
    }
}

/// Writes a map of all packs without tombstones, which hold at most `objects` objects.
fn build(dir: &Path, snapshot: &Snapshot, objects: u64) -> Result<(), StoreError> {
    let mut told = Vec::new();
    for slot in &snapshot.packs {
        let reader = slot.reader()?;
        if !reader.has_tombstones() {
            told.push((slot.id, reader));
        }
    }
    let bits = (0..BITS_MAX).find(|bits| objects >> bits <= BUCKET_ROWS).unwrap_or(BITS_MAX);
    let parts = (0..bits).find(|part| objects >> part <= SORTED_ROWS).unwrap_or(bits);

    let to = path(dir);
    let tmp = to.with_extension(format!("tmp-{}", std::process::id()));
    let write = || StoreError::io("write", &tmp);
    fs::create_dir_all(dir.join(INDEX_DIR)).map_err(StoreError::io("create", &dir.join(INDEX_DIR)))?;
    let mut out = BufWriter::new(File::create(&tmp).map_err(write())?);
    let buckets_at = (HEADER_LEN + told.len() * 32 + 32) as u64;
    out.seek(SeekFrom::Start(buckets_at + ((BUCKET_LEN as u64) << bits))).map_err(write())?;

    let (mut buckets, mut count) = (Vec::new(), 0_u64);
    for part in 0..1_u64 << parts {
        let mut rows: Vec<(ObjectId, u32)> = Vec::new();
        let (low, high) = bounds(part, parts);
        for (number, (_, reader)) in (0_u32..).zip(&told) {
            let mut ids = Vec::new();
            reader.ids_between(&low, &high, usize::MAX, &mut ids)?;
            rows.extend(ids.into_iter().map(|id| (id, number)));
        }
        rows.sort_unstable();
        let mut rows = rows.into_iter().peekable();
        for bucket in part << (bits - parts)..(part + 1) << (bits - parts) {
            let mut bytes = Vec::new();
            while let Some((id, number)) = rows.next_if(|(id, _)| bucket_of(id, bits) == bucket) {
                // Of several packs with one object, the latest comes last.
                if rows.peek().is_none_or(|(next, _)| *next != id) {
                    bytes.extend_from_slice(id.as_bytes());
                    bytes.extend_from_slice(&number.to_le_bytes());
                    count += 1;
                }
            }
            out.write_all(&bytes).map_err(write())?;
            buckets.extend_from_slice(&count.to_le_bytes());
            buckets.extend_from_slice(&check(&bytes));
        }
    }
    let finish = |out: BufWriter<File>| -> io::Result<()> {
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&bits.to_le_bytes());
        head.extend_from_slice(&u32::try_from(told.len()).unwrap_or(u32::MAX).to_le_bytes());
        head.extend_from_slice(&[0; 4]);
        head.extend_from_slice(&count.to_le_bytes());
        head.extend(told.iter().flat_map(|(id, _)| *id.as_bytes()));
        let hash = blake3::hash(&head);
        head.extend_from_slice(hash.as_bytes());
        head.extend_from_slice(&buckets);
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&head)?;
        // Every part has its check, so that what a power loss takes is noticed; the name need not be durable.
        fs::rename(&tmp, &to)
    };
    finish(out).map_err(|error| {
        fs::remove_file(&tmp).ok();
        write()(error)
    })
}

/// The first and the last id whose first `parts` bits are `part`.
fn bounds(part: u64, parts: u32) -> (ObjectId, ObjectId) {
    let first = part << (32 - parts);
    let last = first | (u64::from(u32::MAX) >> parts);
    let id = |start: u64, fill: u8| {
        let mut bytes = [fill; 32];
        bytes[..4].copy_from_slice(&start.to_be_bytes()[4..]);
        ObjectId::from_bytes(bytes)
    };
    (id(first, 0), id(last, 0xff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_all_ids_and_do_not_overlap() {
        for parts in [0, 1, 5, 24] {
            let last = (1_u64 << parts) - 1;
            assert_eq!(bounds(0, parts).0, ObjectId::from_bytes([0; 32]));
            assert_eq!(bounds(last, parts).1, ObjectId::from_bytes([0xff; 32]));
            for part in [0, last / 2, last] {
                let (low, high) = bounds(part, parts);
                assert_eq!((bucket_of(&low, parts), bucket_of(&high, parts)), (part, part), "{parts}");
            }
        }
    }
}
