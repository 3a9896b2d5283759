//! Which row an object is: its dataset and key, from its own bytes.
//!
//! Rests on the `schema` that every record carries. Invariant: what an object says of its place is a claim; the caller looks
//! whether the tree agrees.

use serde::Deserialize;

use crate::object::ObjectId;
use crate::ops::OpError;
use crate::ops::verify::RECORDS;
use crate::repo::{Commit, Repo};
use crate::tree;

/// What an object says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A row.
    Row { dataset: &'static str, key: String },
    /// Something else that distill made.
    NoRow(String),
}

#[derive(Deserialize)]
struct Head {
    schema: String,
    key: Option<String>,
    id: Option<String>,
}

/// Where an object of these bytes says that it stands; `None` for what is not distill's own.
pub(super) fn place_of(bytes: &[u8]) -> Option<Place> {
    if bytes.first() != Some(&b'{') {
        return None;
    }
    let Head { schema, key, id } = serde_json::from_slice(bytes).ok()?;
    match RECORDS.iter().find(|(_, name)| *name == schema) {
        Some((dataset, _)) => Some(Place::Row { dataset, key: key.or(id)? }),
        None if schema.starts_with("distill.") => Some(Place::NoRow(schema)),
        None => None,
    }
}

/// The first key of `sources` that names `raw`. Reads the nodes of the tree, and no row.
pub(super) fn key_of_raw(repo: &Repo, commit: &Commit, raw: &ObjectId) -> Result<Option<String>, OpError> {
    let Some(root) = commit.dataset("sources") else { return Ok(None) };
    for entry in tree::iter(repo.store(), root) {
        let entry = entry?;
        if entry.id == *raw {
            return Ok(Some(entry.key));
        }
    }
    Ok(None)
}
