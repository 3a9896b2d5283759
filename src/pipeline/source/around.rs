//! What tells a row from others besides its bytes.
//!
//! Rests on the expressions' text. Two equal rows are one row and its duplicate, unless the spec reads something of them
//! that differs: their key in a map, a part of their path, what stands beside them. Invariant: what no expression reads
//! tells nothing apart, so that a file may be moved.

use std::borrow::Cow;
use std::collections::BTreeSet;

use sha2::Digest;
use sha2::Sha256;

use crate::base::json::Value;
use crate::object::ObjectId;

use super::jq;

/// What the spec's expressions see of a unit besides its row: two equal rows that differ here are two rows.
#[derive(Default)]
pub(super) struct Around {
    /// Members of `$path` that some expression names.
    path: BTreeSet<String>,
    /// Some expression takes `$path` as a whole.
    whole_path: bool,
    /// Some expression names `$key`.
    key: bool,
}

impl Around {
    /// Adds what `code` names.
    pub(super) fn add(&mut self, code: &str) {
        let variables = jq::variables(code);
        let members = jq::path_members(code);
        self.key |= variables.contains(&"key");
        self.whole_path |= variables.iter().filter(|name| **name == "path").count() > members.len();
        self.path.extend(members.into_iter().map(|(member, _)| member.to_owned()));
    }

    /// See [`super::Mapped::row_id`]; `beside` is the id of what stands beside the row, where the spec reads it.
    pub(super) fn row_id(
        &self,
        key: Option<&str>,
        beside: Option<ObjectId>,
        path: Option<&Value<'static>>,
        sig_hash: &[u8; 32],
    ) -> Option<[u8; 32]> {
        let mut members = Vec::new();
        if let Some(id) = beside {
            members.push((Cow::Borrowed("beside"), Value::String(Cow::Owned(id.to_string()))));
        }
        if let Some(key) = key.filter(|_| self.key) {
            members.push((Cow::Borrowed("key"), Value::String(Cow::Borrowed(key))));
        }
        if let Some(Value::Object(path)) = path {
            let told = path.iter().filter(|(name, _)| self.whole_path || self.path.contains(&**name));
            let told: Vec<_> = told.cloned().collect();
            if !told.is_empty() {
                members.push((Cow::Borrowed("path"), Value::Object(told)));
            }
        }
        if members.is_empty() {
            return None;
        }
        members.push((Cow::Borrowed("sig_hash"), Value::String(Cow::Owned(hex::encode(sig_hash)))));
        let mut canonical = Vec::new();
        Value::Object(members).write(&mut canonical);
        Some(Sha256::digest(&canonical).into())
    }
}
