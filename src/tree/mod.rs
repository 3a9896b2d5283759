//! Prolly trees: a sorted map from record key to (object id, length), cut into nodes where the keys alone say.
//!
//! Rests on the capability traits of `object`; knows nothing of what a record means. `docs/format.md` is the format
//! byte for byte. Invariant: two trees with the same entries have the same root, however and in whatever order they were
//! made; so unchanged regions are shared, and what differs is found by comparing ids.

mod apply;
mod build;
mod cut;
mod diff;
mod encode;
mod error;
mod load;
mod merge;
mod node;
mod novel;
mod proof;
mod range;
mod read;
mod shared;
mod together;
mod walk;

pub use apply::apply;
pub use build::Builder;
pub use cut::{KEY_BYTES_MAX, NODE_BYTES_MAX};
pub use diff::{Diff, diff};
pub use error::TreeError;
pub use merge::{Conflict, Merged, merge};
pub use novel::{Completion, Novel, complete, novel};
pub use proof::{Proof, prove};
pub use range::{Rows, iter, prefix, range, rows_from};
pub use read::{get, height, leaves, nth, nth_many, rank, row_at, totals};
pub use shared::Shared;
pub use together::{Together, together};
pub use walk::{Visitor, Walker};

use serde::{Deserialize, Serialize};

use crate::object::ObjectId;
use crate::object::RootId;

/// What a key maps to: the object's id and its length in bytes.
pub type Value = (ObjectId, u64);

/// One row of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The record key: 1 to [`KEY_BYTES_MAX`] bytes of UTF-8 without control characters, `"` or `\`.
    pub key: String,
    /// The record.
    pub id: ObjectId,
    /// Length of the record in bytes, without a line ending.
    pub bytes: u64,
}

/// How much a tree, or a part of it, holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Entries.
    pub rows: u64,
    /// Sum of the lengths of their objects in bytes, without line endings.
    pub bytes: u64,
}

impl Totals {
    /// Length in bytes of these rows as JSONL: each object followed by one `\n`.
    pub const fn jsonl_bytes(self) -> u64 {
        // `plus` refuses sums for which this would overflow; a value made by hand saturates.
        self.bytes.saturating_add(self.rows)
    }

    /// The sum, or `None` when its JSONL would be longer than 2^64 - 1 bytes.
    fn plus(self, other: Self) -> Option<Self> {
        let rows = self.rows.checked_add(other.rows)?;
        let bytes = self.bytes.checked_add(other.bytes)?;
        bytes.checked_add(rows).map(|_| Self { rows, bytes })
    }
}

/// A finished tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Names the tree.
    pub root: RootId,
    /// What it holds.
    pub totals: Totals,
}

/// One change to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Where.
    pub key: String,
    /// The value it has afterwards; `None` removes it, and removing what is not there is no error.
    pub change: Option<Value>,
}

/// One difference between two trees: never with both sides equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Where.
    pub key: String,
    /// The value in the first tree.
    pub before: Option<Value>,
    /// The value in the second tree.
    pub after: Option<Value>,
}
