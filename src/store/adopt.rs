//! Packs from elsewhere: checked as a whole, and taken over as they are.
//!
//! Rests on the pack reader and on staging. Invariants: nothing of a foreign pack becomes part of a store before its name,
//! its table and every object in it were hashed; a foreign pack that erases objects is refused, since what it erases is
//! not its sender's to decide.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::error::StoreError;
use super::opened::Store;
use super::operation::PackEntry;
use super::pack::PackReader;
use super::pack::check_pack;
use super::pack::tail_of;
use crate::object::ObjectId;

/// The end of a pack that is asked for first, in bytes: footer, all of the table of a small pack, all of a very small pack.
pub const TAIL_GUESS: u64 = 64 << 10;
/// No end of a pack is longer, in bytes: ten times what the fullest pack has. Its length is the other side's to say.
const TAIL_BYTES_MAX: u64 = 1 << 30;

/// Checks a pack file from elsewhere: its hash (which must be `expected`, where given), footer, table, blocks, and the hash
/// of every object.
///
/// # Errors
/// [`StoreError::Corrupt`] or [`StoreError::Damaged`] with the first fault; a pack with tombstones; I/O.
pub fn inspect_pack(path: &Path, expected: Option<&ObjectId>) -> Result<PackEntry, StoreError> {
    let id = match expected {
        Some(id) => *id,
        None => ObjectId::from_bytes(crate::base::fs::hash(path).map_err(StoreError::io("read", path))?),
    };
    let (check, _) = check_pack(path, &id, &|_, _| ());
    if let Some((object, detail)) = check.findings.into_iter().next() {
        let place = path.to_owned();
        return Err(match object {
            Some(id) => StoreError::Corrupt { id, place, detail },
            None => StoreError::Damaged { place, detail },
        });
    }
    if check.has_tombstones {
        return Err(StoreError::damaged(path, "it erases objects, which only a store's own packs may do"));
    }
    let bytes = std::fs::metadata(path).map_err(StoreError::io("read", path))?.len();
    Ok(PackEntry { bytes, id, objects: check.objects })
}

/// Makes a file at `path` that is the pack of `len` bytes with a hole where its blocks lie, from its end alone: enough to
/// look objects up. `fetch` gives bytes of the pack.
///
/// # Errors
/// What `fetch` says; an end that is no pack's; a full disk.
pub fn plant_tail<E: From<StoreError>>(
    path: &Path,
    len: u64,
    mut fetch: impl FnMut(Range<u64>) -> Result<Vec<u8>, E>,
) -> Result<PackReader, E> {
    let damaged = |detail: String| E::from(StoreError::damaged(path, detail));
    let mut start = len.saturating_sub(TAIL_GUESS);
    let mut tail = fetch(start..len)?;
    if tail.len() as u64 != len - start {
        return Err(damaged(format!("{} of its last {} bytes came", tail.len(), len - start)));
    }
    let (header, tail_at) = tail_of(&tail, len).map_err(damaged)?;
    if len - tail_at > TAIL_BYTES_MAX {
        return Err(damaged(format!("a table of {} bytes is none that fits a pack", len - tail_at)));
    }
    if tail_at < start {
        let mut whole = fetch(tail_at..start)?;
        if whole.len() as u64 != start - tail_at {
            return Err(damaged("a part of its table is missing".to_owned()));
        }
        whole.append(&mut tail);
        (tail, start) = (whole, tail_at);
    }
    let mut tmp = path.to_owned().into_os_string();
    tmp.push(".new");
    let tmp = Path::new(&tmp);
    let written = File::create(tmp).and_then(|file| {
        file.set_len(len)?;
        file.write_all_at(&header, 0)?;
        // Blocks that came along may be of use.
        file.write_all_at(&tail, start)
    });
    written.map_err(StoreError::io("write", tmp))?;
    std::fs::rename(tmp, path).map_err(StoreError::io("rename", tmp))?;
    Ok(PackReader::open(path)?)
}

impl Store {
    /// Whether what the pack `id` held is in the store: as the pack itself, or merged into another.
    pub fn holds_pack(&self, id: &ObjectId) -> bool {
        self.snapshot().catalogue.holds_objects_of(id)
    }
}
