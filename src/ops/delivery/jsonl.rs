//! Rows as JSONL, from any byte on, a piece at a time.
//!
//! Rests on the tree, whose inner nodes say how many rows and bytes lie below, so that a byte is found without a walk.
//! Invariants: what is given is each row's exact bytes and one `\n`; a row whose length is not what the tree says is damage;
//! between two pieces nothing is held but a row number.

use crate::object::Find;
use crate::object::OdbError;
use crate::object::RootId;
use crate::ops::error::{ErrorKind, OpError};
use crate::tree;

/// A piece ends with the row that makes it this long.
pub const PIECE_BYTES: u64 = 128 << 10;
/// … or with this many rows.
const PIECE_ROWS: usize = 512;

/// A place in the JSONL of a dataset.
#[derive(Clone, Debug)]
pub struct Cursor {
    root: RootId,
    /// The next row.
    row: u64,
    /// Bytes of it that are not wanted.
    skip: u64,
}

impl Cursor {
    /// The first byte.
    pub const fn start(root: RootId) -> Self {
        Self { root, row: 0, skip: 0 }
    }

    /// Byte `offset`; beyond the last one there is nothing more to read.
    ///
    /// # Errors
    /// When a node on the way is missing or damaged.
    pub fn at(find: &dyn Find, root: RootId, offset: u64) -> Result<Self, OpError> {
        if offset == 0 {
            return Ok(Self::start(root));
        }
        Ok(match tree::row_at(find, root, offset)? {
            Some((before, _)) => Self { root, row: before.rows, skip: offset - before.jsonl_bytes() },
            None => Self { root, row: tree::totals(find, root)?.rows, skip: 0 },
        })
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Nodes or rows that are missing or damaged.
    pub fn next(&mut self, find: &dyn Find) -> Result<Option<Vec<u8>>, OpError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        for entry in tree::rows_from(find, self.root, self.row) {
            let entry = entry?;
            bytes += entry.bytes + 1;
            entries.push(entry);
            if bytes >= PIECE_BYTES || entries.len() == PIECE_ROWS {
                break;
            }
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
        let mut piece = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0).min(4 << 20));
        for (entry, row) in entries.iter().zip(find.try_find_many(&ids)?) {
            let row = row.ok_or(OdbError::NotFound { id: entry.id })?;
            if row.len() as u64 != entry.bytes {
                let message =
                    format!("row `{}` has {} bytes, its tree says {}", entry.key, row.len(), entry.bytes);
                let hint = "run `distill verify` to see what is damaged and what depends on it";
                return Err(OpError::new(ErrorKind::Damaged, message, hint));
            }
            piece.extend_from_slice(&row);
            piece.push(b'\n');
        }
        self.row += entries.len() as u64;
        let skip = usize::try_from(std::mem::take(&mut self.skip)).unwrap_or(usize::MAX).min(piece.len());
        piece.drain(..skip);
        Ok(Some(piece))
    }
}

/// Hands out the whole JSONL piece by piece; each piece is whole lines.
///
/// # Errors
/// As [`Cursor::next`], and those of `take`.
pub fn each_piece(
    find: &dyn Find,
    root: RootId,
    mut take: impl FnMut(&[u8]) -> Result<(), OpError>,
) -> Result<(), OpError> {
    let mut cursor = Cursor::start(root);
    while let Some(piece) = cursor.next(find)? {
        take(&piece)?;
    }
    Ok(())
}
