//! Operations: what a publish changes, and the numbered file that records it.
//!
//! Rests on `object` and on `serde_json`, whose compact output over structs with members in alphabetical order *is* the
//! canonical form (RFC 8785): the escapes agree and all numbers are integers. Invariant: an operation file is byte for
//! byte what [`Operation::to_bytes`] gives for what it says, and is named by BLAKE3 of those bytes.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::Error as _;

use super::error::StoreError;
use crate::object::ObjectId;

/// The schema every operation file names.
pub const OPERATION_SCHEMA: &str = "distill.operation.v1";

/// Where HEAD points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// At a branch, by its ref name: `heads/main`. The branch need not exist yet.
    Branch(String),
    /// At a commit, with no branch to move.
    Detached(ObjectId),
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(name) => write!(f, "ref: {name}"),
            Self::Detached(id) => id.fmt(f),
        }
    }
}

impl FromStr for Head {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("ref: ") {
            Some(name) => Ok(Self::Branch(name.to_owned())),
            None => text.parse().map(Self::Detached).map_err(|_| format!("`{text}` is no HEAD")),
        }
    }
}

impl Serialize for Head {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Head {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// One ref's step from a value to a value; `None` is absence (creation, deletion).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefChange {
    /// The ref: `heads/main`, `tags/v1.0.0`, `runs/<run id>`.
    pub name: String,
    /// What it becomes.
    pub new: Option<ObjectId>,
    /// What it must be now, or the publish is refused.
    pub old: Option<ObjectId>,
}

/// HEAD's step from a value to a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadChange {
    /// What it becomes.
    pub new: Head,
    /// What it must be now, or the publish is refused.
    pub old: Head,
}

/// A pack as the operation that brought it names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackEntry {
    /// Size of the file in bytes.
    pub bytes: u64,
    /// BLAKE3 of the file; its name is `packs/<id>.pack`.
    pub id: ObjectId,
    /// How many objects its table names.
    pub objects: u64,
}

/// What a caller wants published, besides the staged objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpRequest {
    /// What was done: `run-all`, `tag`, `undo` …
    pub operation: String,
    /// A person's message.
    pub message: Option<String>,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Compare-and-swap of refs; all of them hold, or nothing happens.
    pub ref_changes: Vec<RefChange>,
    /// Compare-and-swap of HEAD.
    pub head: Option<HeadChange>,
    /// Packs to drop from the catalogue and delete (garbage collection). What they held and must live on is staged.
    pub drop_packs: Vec<ObjectId>,
}

/// One entry of the operation log, as its file says it. Members stand in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Packs that left the catalogue: merged into others, or collected as garbage.
    pub dropped_packs: Vec<ObjectId>,
    /// HEAD's step, if it moved.
    pub head: Option<HeadChange>,
    /// A person's message.
    pub message: Option<String>,
    /// Counts from 1; the file is `ops/<10 digits>.json`.
    pub number: u64,
    /// What was done.
    pub operation: String,
    /// Packs that entered the catalogue.
    pub packs: Vec<PackEntry>,
    /// BLAKE3 of the previous operation file; `None` for the first.
    pub previous: Option<ObjectId>,
    /// The refs that moved.
    pub ref_changes: Vec<RefChange>,
    /// Always [`OPERATION_SCHEMA`].
    pub schema: String,
}

impl Operation {
    /// The canonical bytes of the operation file.
    ///
    /// # Errors
    /// Never in practice: every member has a JSON form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Parses an operation file, refusing anything that is not its canonical form.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with `place` when the bytes are not an operation in canonical form.
    pub fn parse(bytes: &[u8], place: &Path) -> Result<Self, StoreError> {
        let operation: Self = serde_json::from_slice(bytes)
            .map_err(|e| StoreError::damaged(place, format!("not an operation: {e}")))?;
        if operation.schema != OPERATION_SCHEMA {
            return Err(StoreError::damaged(place, format!("unknown schema `{}`", operation.schema)));
        }
        match operation.to_bytes() {
            Ok(canonical) if canonical == bytes => Ok(operation),
            _ => Err(StoreError::damaged(place, "not in canonical form")),
        }
    }

    /// The file name of operation `number`: 10 digits, so that names sort as numbers do.
    pub fn file_name(number: u64) -> String {
        format!("{number:010}.json")
    }
}

/// An operation together with the hash of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedOperation {
    /// BLAKE3 of the file's bytes.
    pub id: ObjectId,
    /// What it says.
    pub operation: Operation,
}

/// What a publish did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The operation's number.
    pub number: u64,
    /// BLAKE3 of the operation file.
    pub operation_id: ObjectId,
    /// Packs that were brought in, merged ones included.
    pub packs: Vec<PackEntry>,
    /// Packs that were dropped.
    pub dropped_packs: Vec<ObjectId>,
    /// Why small packs were not merged although there are many: damage in one of them. The publish itself is done.
    pub merge_skipped: Option<String>,
}
