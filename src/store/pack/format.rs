//! The numbers and records of the pack format, version 1.
//!
//! Rests on nothing but byte order: all integers are little-endian. Invariant: encoding what was decoded gives the same
//! bytes.

use crate::object::Kind;
use crate::object::ObjectId;

/// The store format written here, and the newest one read.
pub const FORMAT_VERSION: u32 = 1;

/// The largest object, in bytes: 1 GiB.
pub const OBJECT_BYTES_MAX: u64 = 1 << 30;

/// The first bytes of a pack.
pub(super) const MAGIC: [u8; 8] = *b"DSTLPACK";
/// The last bytes of a pack.
pub(super) const TAIL_MAGIC: [u8; 8] = *b"DSTLTAIL";
/// Magic, version, four reserved zero bytes.
pub(super) const HEADER_LEN: usize = 16;
/// See [`Footer::encode`].
pub(super) const FOOTER_LEN: usize = 144;
/// Bytes of the footer that its own hash covers.
const FOOTER_HASHED_LEN: usize = 104;
/// One block of the directory.
pub(super) const BLOCK_LEN: usize = 20;
/// One object of the table.
pub(super) const ENTRY_LEN: usize = 44;
/// One bucket of the fan-out.
pub(super) const BUCKET_LEN: usize = 12;
/// A bucket holds about this many objects, so that a look-up reads one or two pages.
const BUCKET_OBJECTS: u32 = 64;
/// The finest fan-out that is read.
pub(super) const FAN_BITS_MAX: u32 = 24;

/// Data objects are gathered into blocks of up to this many unpacked bytes. Rows of one file repeat each other: measured
/// over a run of a million rows, blocks of 64 KiB pack to 13.6 % and these to 10.8 %, and unpacking one for a single
/// object takes a tenth of a millisecond.
pub(super) const DATA_BLOCK_BYTES: usize = 256 << 10;
/// Tree nodes are gathered into smaller blocks, so that a look-up unpacks one or two nodes.
pub(super) const NODE_BLOCK_BYTES: usize = 8 << 10;
/// zstd level: measured as the best of speed for size on agent traces, and compression is on the path of every run.
pub(super) const ZSTD_LEVEL: i32 = 1;

const _: () = assert!(NODE_BLOCK_BYTES <= DATA_BLOCK_BYTES && (DATA_BLOCK_BYTES as u64) < OBJECT_BYTES_MAX);
const _: () = assert!(OBJECT_BYTES_MAX <= u32::MAX as u64);

/// The 16 bytes a pack opens with.
pub(super) fn header() -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes
}

/// Reads a little-endian `u32`; the caller has checked the length.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// Reads a little-endian `u64`; the caller has checked the length.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Reads a digest; the caller has checked the length.
pub(super) fn digest_at(bytes: &[u8], at: usize) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(&bytes[at..at + 32]);
    digest
}

/// Where a block lies, one row of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Offset of the zstd frame in the file.
    pub(super) offset: u64,
    /// Length of the frame.
    pub(super) packed_len: u32,
    /// Length of what it unpacks to.
    pub(super) unpacked_len: u32,
    /// What it holds.
    pub(super) kind: Kind,
}

impl Block {
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.packed_len.to_le_bytes());
        out.extend_from_slice(&self.unpacked_len.to_le_bytes());
        let kind: u32 = match self.kind {
            Kind::Data => 0,
            Kind::Node => 1,
        };
        out.extend_from_slice(&kind.to_le_bytes());
    }

    /// `None` for a kind that version 1 does not have.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let kind = match u32_at(bytes, 16) {
            0 => Kind::Data,
            1 => Kind::Node,
            _ => return None,
        };
        Some(Self {
            offset: u64_at(bytes, 0),
            packed_len: u32_at(bytes, 8),
            unpacked_len: u32_at(bytes, 12),
            kind,
        })
    }
}

/// Where an object lies within its pack, one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The object.
    pub id: ObjectId,
    /// Index of its block in the directory.
    pub block: u32,
    /// Offset within the unpacked block, in bytes.
    pub offset: u32,
    /// Length in bytes.
    pub len: u32,
}

impl Entry {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&self.block.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
    }

    pub(super) fn decode(bytes: &[u8]) -> Self {
        Self {
            id: ObjectId::from_bytes(digest_at(bytes, 0)),
            block: u32_at(bytes, 32),
            offset: u32_at(bytes, 36),
            len: u32_at(bytes, 40),
        }
    }
}

/// The fewest bits of an id that split `objects` into buckets of about [`BUCKET_OBJECTS`].
pub(super) fn fan_bits(objects: u32) -> u32 {
    (0..FAN_BITS_MAX).find(|bits| objects >> bits <= BUCKET_OBJECTS).unwrap_or(FAN_BITS_MAX)
}

/// The bucket of `id`: its first `bits` bits.
pub(super) fn bucket_of(id: &ObjectId, bits: u32) -> usize {
    let [a, b, c, d, ..] = *id.as_bytes();
    (u32::from_be_bytes([a, b, c, d]).checked_shr(32 - bits).unwrap_or(0)) as usize
}

/// The first eight bytes of BLAKE3 over a bucket's rows: damage in the table is found by the look-up that meets it.
pub(super) fn bucket_check(rows: &[u8]) -> u64 {
    u64_at(blake3::hash(rows).as_bytes(), 0)
}

/// The fixed-size end of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    /// How many bits of an id choose its bucket.
    pub(super) fan_bits: u32,
    /// Rows of the directory.
    pub(super) blocks: u32,
    /// Rows of the table.
    pub(super) objects: u32,
    /// Ids that this pack erases.
    pub(super) tombstones: u32,
    /// Where the directory begins, which is where the blocks end.
    pub(super) directory_at: u64,
    /// Sum of the lengths of all objects.
    pub(super) object_bytes: u64,
    /// BLAKE3 of everything from the directory to the footer.
    pub(super) table_hash: [u8; 32],
    /// BLAKE3 of tombstones and fan-out, which is what a reader loads.
    pub(super) index_hash: [u8; 32],
}

impl Footer {
    pub(super) fn encode(&self) -> [u8; FOOTER_LEN] {
        let mut bytes = [0; FOOTER_LEN];
        bytes[0..4].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.fan_bits.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.blocks.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.objects.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.tombstones.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.directory_at.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.object_bytes.to_le_bytes());
        bytes[40..72].copy_from_slice(&self.table_hash);
        bytes[72..104].copy_from_slice(&self.index_hash);
        let check = Self::check(&header(), &bytes);
        bytes[FOOTER_HASHED_LEN..136].copy_from_slice(&check);
        bytes[136..].copy_from_slice(&TAIL_MAGIC);
        bytes
    }

    fn check(header: &[u8], footer: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(header).update(&footer[..FOOTER_HASHED_LEN]);
        *hasher.finalize().as_bytes()
    }

    /// Reads the footer of a file of `file_len` bytes that opens with `header`.
    ///
    /// # Errors
    /// What is wrong, in words; a newer version is told apart by the number.
    pub(super) fn decode(header: &[u8], bytes: &[u8], file_len: u64) -> Result<Self, FooterError> {
        let wrong = |what: &str| Err(FooterError::Damaged(what.to_owned()));
        if header[..8] != MAGIC || bytes[136..] != TAIL_MAGIC {
            return wrong("not a pack: the magic numbers are missing");
        }
        if Self::check(header, bytes)[..] != bytes[FOOTER_HASHED_LEN..136] {
            return wrong("the footer does not match its hash");
        }
        let version = u32_at(bytes, 0);
        if version != u32_at(header, 8) || version == 0 {
            return wrong("header and footer name different versions");
        }
        if version > FORMAT_VERSION {
            return Err(FooterError::Newer(version));
        }
        let footer = Self {
            fan_bits: u32_at(bytes, 4),
            blocks: u32_at(bytes, 8),
            objects: u32_at(bytes, 12),
            tombstones: u32_at(bytes, 16),
            directory_at: u64_at(bytes, 24),
            object_bytes: u64_at(bytes, 32),
            table_hash: digest_at(bytes, 40),
            index_hash: digest_at(bytes, 72),
        };
        let fits = footer.fan_bits <= FAN_BITS_MAX
            && footer.directory_at >= HEADER_LEN as u64
            && footer.directory_at <= file_len
            && footer.footer_at() + FOOTER_LEN as u64 == file_len;
        if fits { Ok(footer) } else { wrong("the footer's counts do not fit the file's length") }
    }

    /// Where the rows of the objects begin.
    pub(super) fn entries_at(&self) -> u64 {
        self.directory_at + u64::from(self.blocks) * BLOCK_LEN as u64
    }

    /// Where the tombstones begin; the fan-out follows them.
    pub(super) fn tombstones_at(&self) -> u64 {
        self.entries_at() + u64::from(self.objects) * ENTRY_LEN as u64
    }

    /// Where the footer begins.
    pub(super) fn footer_at(&self) -> u64 {
        self.tombstones_at()
            + u64::from(self.tombstones) * 32
            + (BUCKET_LEN as u64) * (1 << self.fan_bits.min(32))
    }
}

/// Why a footer was refused.
#[derive(Debug)]
pub(super) enum FooterError {
    /// In words.
    Damaged(String),
    /// The pack has this later version.
    Newer(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fan_out_grows_with_the_objects() {
        assert_eq!([0, 64, 65, 128, 130, 1 << 20].map(fan_bits), [0, 0, 1, 1, 2, 14]);
        assert_eq!(bucket_of(&ObjectId::from_bytes([0xff; 32]), 0), 0);
        assert_eq!(bucket_of(&ObjectId::from_bytes([0xff; 32]), 14), (1 << 14) - 1);
    }
}
