//! A dataset as one file for somebody who has no store: its rows as JSONL, as JSONL compressed by zstd, or as Parquet.
//!
//! Rests on trees and receipts. Invariants: the bytes of a form depend on the rows alone (and, for Parquet and zstd, on the
//! version of their writer); rows are streamed from the tree, so memory does not grow with them; every row that is given
//! out was hashed again on the way.

pub mod catalog;
pub mod columns;
pub mod digest;
pub mod jsonl;
pub mod parquet;
pub mod receipted;
pub mod shelf;

use schemars::JsonSchema;
use serde::Serialize;

pub use digest::Digester;
pub use digest::Digests;

/// Counts up whenever the bytes of a Parquet file of the same rows change, a newer writing library included.
pub const PARQUET_WRITER: u32 = 1;
/// The same for JSONL compressed by zstd.
pub const ZSTD_WRITER: u32 = 1;

/// A form in which the rows of a dataset are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One row a line, each the exact bytes of its object, in key order.
    Jsonl,
    /// The same, compressed by zstd.
    JsonlZst,
    /// Apache Parquet, with the columns of `docs/http.md`.
    Parquet,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Jsonl, Self::JsonlZst, Self::Parquet];

    /// How the name of such a file ends, without the leading dot.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::JsonlZst => "jsonl.zst",
            Self::Parquet => "parquet",
        }
    }

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jsonl => "application/x-ndjson",
            Self::JsonlZst => "application/zstd",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// The version of the writer that the bytes depend on besides the rows; 0 for JSONL, which depends on nothing else.
    pub const fn writer(self) -> u32 {
        match self {
            Self::Jsonl => 0,
            Self::JsonlZst => ZSTD_WRITER,
            Self::Parquet => PARQUET_WRITER,
        }
    }

    /// The form whose files end like this.
    pub fn of_ending(ending: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.ending() == ending)
    }
}
