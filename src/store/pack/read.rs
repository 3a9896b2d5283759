//! Reading a pack: one small read to find an object, one block to unpack.
//!
//! Rests on positioned reads, never on mapped memory, and on what is remembered of a table that is asked often. Invariants: footer,
//! tombstones and fan-out are checked when the pack is opened, a bucket of the table before anything is said of it (but for rows whose
//! object is hashed at once, which proves them), an object's bytes (by the store) when they are returned; no length from the file is
//! believed before it is compared with the file.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use super::asked::Asked;
use super::format;
use super::format::Block;
use super::format::Entry;
use super::format::Footer;
use super::format::FooterError;
use crate::object::Kind;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::store::error::StoreError;

/// Numbers readers, so that cached blocks of different packs are never confused.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// A number no other reader or writer of this process has.
pub(in crate::store) fn next_serial() -> u64 {
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

/// An opened pack.
#[derive(Debug)]
pub struct PackReader {
    path: PathBuf,
    file: File,
    footer: Footer,
    tombstones: Vec<ObjectId>,
    /// For every bucket: rows up to its end, and the check of its rows.
    fan_out: Vec<(u32, u64)>,
    serial: u64,
    asked: Asked,
}

impl PackReader {
    /// Opens a pack by reading its header, footer, tombstones and fan-out.
    ///
    /// # Errors
    /// When the file cannot be read or one of these parts is damaged.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let read = || StoreError::io("read", path);
        let file = File::open(path).map_err(read())?;
        let len = file.metadata().map_err(read())?.len();
        if len < (format::HEADER_LEN + format::FOOTER_LEN) as u64 {
            return Err(StoreError::damaged(path, format!("{len} bytes are too few for a pack")));
        }
        let mut header = [0; format::HEADER_LEN];
        file.read_exact_at(&mut header, 0).map_err(read())?;
        let mut bytes = [0; format::FOOTER_LEN];
        file.read_exact_at(&mut bytes, len - format::FOOTER_LEN as u64).map_err(read())?;
        let footer = Footer::decode(&header, &bytes, len).map_err(|error| match error {
            FooterError::Damaged(detail) => StoreError::damaged(path, detail),
            FooterError::Newer(found) => StoreError::NewerFormat { found, supported: format::FORMAT_VERSION },
        })?;

        let index_len = usize::try_from(footer.footer_at() - footer.tombstones_at())
            .map_err(|_| StoreError::damaged(path, "the fan-out is too large for this machine"))?;
        let mut index = vec![0; index_len];
        file.read_exact_at(&mut index, footer.tombstones_at()).map_err(read())?;
        if *blake3::hash(&index).as_bytes() != footer.index_hash {
            return Err(StoreError::damaged(path, "tombstones or fan-out do not match their hash"));
        }
        let (erased, buckets) = index.split_at(footer.tombstones as usize * 32);
        let tombstones: Vec<_> =
            erased.chunks_exact(32).map(|id| ObjectId::from_bytes(format::digest_at(id, 0))).collect();
        let fan_out: Vec<_> = buckets
            .chunks_exact(format::BUCKET_LEN)
            .map(|bucket| (format::u32_at(bucket, 0), format::u64_at(bucket, 4)))
            .collect();
        let sorted = fan_out.is_sorted_by_key(|bucket| bucket.0)
            && fan_out.last().is_some_and(|bucket| bucket.0 == footer.objects)
            && tombstones.is_sorted();
        if !sorted {
            return Err(StoreError::damaged(path, "tombstones or fan-out are out of order"));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            footer,
            tombstones,
            fan_out,
            serial: next_serial(),
            asked: Asked::default(),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many objects the table names.
    pub fn objects(&self) -> u32 {
        self.footer.objects
    }

    /// How many blocks the pack has.
    pub fn blocks(&self) -> u32 {
        self.footer.blocks
    }

    /// Sum of the lengths of all objects, in bytes.
    pub fn object_bytes(&self) -> u64 {
        self.footer.object_bytes
    }

    /// What the objects of a block were stored as.
    pub(in crate::store) fn kind_of(&self, index: u32) -> Result<Kind, StoreError> {
        Ok(self.block(index)?.kind)
    }

    /// Tells this reader's blocks apart in a cache.
    pub(in crate::store) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn footer(&self) -> &Footer {
        &self.footer
    }

    /// How many bits of an id choose its bucket.
    pub(super) fn fan_bits(&self) -> u32 {
        self.footer.fan_bits
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether the pack erases `id`: it is then absent from this pack and from every pack catalogued before it.
    pub fn is_tombstone(&self, id: &ObjectId) -> bool {
        self.tombstones.binary_search(id).is_ok()
    }

    /// Whether the pack erases anything.
    pub fn has_tombstones(&self) -> bool {
        !self.tombstones.is_empty()
    }

    /// Where `id` lies, by one read of its bucket.
    ///
    /// # Errors
    /// When the bucket cannot be read or does not match its check.
    pub fn lookup(&self, id: &ObjectId) -> Result<Option<Entry>, StoreError> {
        if self.asked.surely_absent(self, id) {
            return Ok(None);
        }
        Ok(find_row(&self.bucket(format::bucket_of(id, self.footer.fan_bits))?, id))
    }

    /// Where `id` probably lies: the row is not held against its check. For whoever hashes the object all the same, and
    /// asks [`Self::lookup`] where that fails or nothing is found.
    pub(in crate::store) fn lookup_unchecked(&self, id: &ObjectId) -> Option<Entry> {
        let bucket = format::bucket_of(id, self.footer.fan_bits);
        match self.asked.places(self) {
            Some(places) => places.find(self.span_of(bucket..bucket + 1), id, self.footer.fan_bits),
            None => find_row(&self.rows_of(bucket..bucket + 1).ok()?, id),
        }
    }

    /// Appends up to `limit` ids from `low` to `high` (both included) to `out`, in order.
    ///
    /// # Errors
    /// As [`Self::lookup`].
    pub fn ids_between(
        &self,
        low: &ObjectId,
        high: &ObjectId,
        limit: usize,
        out: &mut Vec<ObjectId>,
    ) -> Result<(), StoreError> {
        let mut left = limit;
        let bits = self.footer.fan_bits;
        for bucket in format::bucket_of(low, bits)..=format::bucket_of(high, bits) {
            for row in self.bucket(bucket)?.chunks_exact(format::ENTRY_LEN) {
                let id = Entry::decode(row).id;
                if left > 0 && id >= *low && id <= *high && !self.is_tombstone(&id) {
                    out.push(id);
                    left -= 1;
                }
            }
            if left == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Which rows of the table the buckets have.
    fn span_of(&self, buckets: std::ops::Range<usize>) -> std::ops::Range<u32> {
        let ends_before = |bucket: usize| bucket.checked_sub(1).map_or(0, |before| self.fan_out[before].0);
        ends_before(buckets.start)..ends_before(buckets.end)
    }

    /// The rows of one bucket, held against their check.
    pub(super) fn bucket(&self, bucket: usize) -> Result<Vec<u8>, StoreError> {
        let rows = self.rows_of(bucket..bucket + 1)?;
        if format::bucket_check(&rows) == self.fan_out[bucket].1 {
            Ok(rows)
        } else {
            Err(self.damaged_bucket(bucket))
        }
    }

    /// The bytes of the rows of some buckets, one after another; nothing of them is checked.
    pub(super) fn rows_of(&self, buckets: std::ops::Range<usize>) -> Result<Vec<u8>, StoreError> {
        let span = self.span_of(buckets);
        let mut rows = vec![0; span.len() * format::ENTRY_LEN];
        let at = self.footer.entries_at() + u64::from(span.start) * format::ENTRY_LEN as u64;
        self.file.read_exact_at(&mut rows, at).map_err(StoreError::io("read", &self.path))?;
        Ok(rows)
    }

    /// What is said of a bucket that does not match its check.
    pub(super) fn damaged_bucket(&self, bucket: impl std::fmt::Display) -> StoreError {
        let detail = format!("bucket {bucket} of the object table does not match its check");
        StoreError::damaged(&self.path, detail)
    }

    /// For every bucket: rows up to its end, and the check of its rows.
    pub(super) fn fan_out(&self) -> &[(u32, u64)] {
        &self.fan_out
    }

    /// The bytes of all rows; nothing of them is checked.
    pub(super) fn table(&self) -> Result<Vec<u8>, StoreError> {
        self.rows_of(0..self.fan_out.len())
    }

    /// The rows of one bucket, in order of id.
    pub(super) fn entries_of(&self, bucket: usize) -> Result<Vec<Entry>, StoreError> {
        Ok(self.bucket(bucket)?.chunks_exact(format::ENTRY_LEN).map(Entry::decode).collect())
    }

    /// The directory row of block `index`.
    pub(super) fn block(&self, index: u32) -> Result<Block, StoreError> {
        let wrong = |detail: &str| StoreError::damaged(&self.path, format!("block {index}: {detail}"));
        if index >= self.footer.blocks {
            return Err(wrong("there is no such block"));
        }
        let mut row = [0; format::BLOCK_LEN];
        let at = self.footer.directory_at + u64::from(index) * format::BLOCK_LEN as u64;
        self.file.read_exact_at(&mut row, at).map_err(StoreError::io("read", &self.path))?;
        let block = Block::decode(&row).ok_or_else(|| wrong("its kind is unknown"))?;
        let inside = block.offset >= format::HEADER_LEN as u64
            && block
                .offset
                .checked_add(block.packed_len.into())
                .is_some_and(|end| end <= self.footer.directory_at);
        if !inside || u64::from(block.unpacked_len) > format::OBJECT_BYTES_MAX {
            return Err(wrong("its directory row points outside the pack"));
        }
        Ok(block)
    }

    /// Where the packed bytes of block `index` lie in the file.
    ///
    /// # Errors
    /// When there is no such block, or its row points outside the pack.
    pub fn block_span(&self, index: u32) -> Result<(std::ops::Range<u64>, Kind), StoreError> {
        let block = self.block(index)?;
        Ok((block.offset..block.offset + u64::from(block.packed_len), block.kind))
    }

    /// Where the table begins, which is where the blocks end.
    pub fn tail_at(&self) -> u64 {
        self.footer.directory_at
    }

    /// About `count` of the ids that the table names, spread evenly over it; all of them where there are no more.
    ///
    /// # Errors
    /// A damaged bucket.
    pub fn sample(&self, count: usize) -> Result<Vec<ObjectId>, StoreError> {
        let every = (self.footer.objects as usize / count.max(1)).max(1);
        let (mut ids, mut start) = (Vec::new(), 0_usize);
        for (bucket, (end, _)) in self.fan_out.iter().enumerate() {
            let end = *end as usize;
            if start.next_multiple_of(every) < end {
                let entries = self.entries_of(bucket)?;
                let rows = (start.next_multiple_of(every)..end).step_by(every);
                ids.extend(rows.filter_map(|row| entries.get(row - start)).map(|entry| entry.id));
            }
            start = end;
        }
        Ok(ids)
    }

    /// One object, unpacked and hashed; nothing is cached.
    ///
    /// # Errors
    /// When its block cannot be unpacked, or it does not hash to its name.
    pub fn read_object(&self, entry: &Entry) -> Result<ObjectBytes, StoreError> {
        let block = Arc::new(self.read_block(entry.block)?);
        slice_of(&block, entry, &self.path)
    }

    /// Unpacks block `index`.
    ///
    /// # Errors
    /// When it cannot be read, or its frame is damaged.
    pub fn read_block(&self, index: u32) -> Result<Vec<u8>, StoreError> {
        let block = self.block(index)?;
        let mut packed = vec![0; block.packed_len as usize];
        self.file.read_exact_at(&mut packed, block.offset).map_err(StoreError::io("read", &self.path))?;
        unpack(&packed, block.unpacked_len)
            .map_err(|detail| StoreError::damaged(&self.path, format!("block {index}: {detail}")))
    }
}

/// From the last bytes of a pack of `len` bytes: the header it must have, and where its table begins. Nothing of it is
/// checked but that it fits.
pub(in crate::store) fn tail_of(tail: &[u8], len: u64) -> Result<([u8; format::HEADER_LEN], u64), String> {
    if tail.len() < format::FOOTER_LEN || len < (format::HEADER_LEN + format::FOOTER_LEN) as u64 {
        return Err(format!("{len} bytes are too few for a pack"));
    }
    let footer = &tail[tail.len() - format::FOOTER_LEN..];
    if footer[format::FOOTER_LEN - 8..] != format::TAIL_MAGIC {
        return Err("not a pack: the magic number at its end is missing".to_owned());
    }
    let mut header = format::header();
    header[8..12].copy_from_slice(&footer[..4]);
    let at = format::u64_at(footer, 24);
    if at < format::HEADER_LEN as u64 || at > len - format::FOOTER_LEN as u64 {
        return Err("its table lies outside the file".to_owned());
    }
    Ok((header, at))
}

/// The row of `id` among those of its bucket.
fn find_row(rows: &[u8], id: &ObjectId) -> Option<Entry> {
    let (mut low, mut high) = (0, rows.len() / format::ENTRY_LEN);
    while low < high {
        let middle = low.midpoint(high);
        let row = &rows[middle * format::ENTRY_LEN..][..format::ENTRY_LEN];
        match row[..32].cmp(id.as_bytes()) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => return Some(Entry::decode(row)),
        }
    }
    None
}

/// The object of `entry` in its unpacked block, hashed again.
pub(in crate::store) fn slice_of(
    block: &Arc<Vec<u8>>,
    entry: &Entry,
    place: &Path,
) -> Result<ObjectBytes, StoreError> {
    let corrupt = |detail: String| StoreError::Corrupt { id: entry.id, place: place.to_owned(), detail };
    let bytes = checked(block, entry).map_err(corrupt)?;
    let len = bytes.len();
    Ok(ObjectBytes::new(Arc::clone(block), entry.offset as usize, len))
}

/// The bytes of `entry` in its unpacked block, if they hash to its name.
fn checked<'a>(block: &'a [u8], entry: &Entry) -> Result<&'a [u8], String> {
    let bytes = bytes_of(block, entry)?;
    let found = ObjectId::of(bytes);
    if found == entry.id {
        Ok(bytes)
    } else {
        Err(format!("the bytes in block {} hash to {found}", entry.block))
    }
}

/// As [`checked`] for each of `entries`, which lie in one block.
pub(in crate::store) fn each_checked<'a>(
    block: &'a [u8],
    entries: &[Entry],
) -> Vec<Result<&'a [u8], String>> {
    let spans: Vec<_> = entries.iter().map(|entry| bytes_of(block, entry).ok()).collect();
    let objects: Vec<&[u8]> = spans.iter().map(|span| span.unwrap_or_default()).collect();
    let each = entries.iter().zip(spans).zip(ObjectId::of_each(&objects));
    each.map(|((entry, span), id)| match span {
        Some(bytes) if id == entry.id => Ok(bytes),
        _ => checked(block, entry),
    })
    .collect()
}

fn bytes_of<'a>(block: &'a [u8], entry: &Entry) -> Result<&'a [u8], String> {
    let start = entry.offset as usize;
    start
        .checked_add(entry.len as usize)
        .and_then(|end| block.get(start..end))
        .ok_or_else(|| format!("its row points outside block {}", entry.block))
}

thread_local! {
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Unpacks one zstd frame that must give exactly `unpacked_len` bytes; the frame is asked before memory is taken.
pub(super) fn unpack(packed: &[u8], unpacked_len: u32) -> Result<Vec<u8>, String> {
    let claimed = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten();
    if claimed != Some(unpacked_len.into()) {
        return Err("the frame and the directory disagree about its length".to_owned());
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(decompressor) => decompressor,
            none => none.insert(zstd::bulk::Decompressor::new().map_err(|e| e.to_string())?),
        };
        let bytes = decompressor
            .decompress(packed, unpacked_len as usize)
            .map_err(|error| format!("cannot be unpacked: {error}"))?;
        if bytes.len() == unpacked_len as usize {
            Ok(bytes)
        } else {
            Err("unpacks to the wrong length".to_owned())
        }
    })
}
