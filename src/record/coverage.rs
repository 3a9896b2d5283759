//! What a receipt of the evidence stage says of each stream: which members its rows have, what of them the spec reads,
//! and which evidence fields were filled.
//!
//! Rests on plain counts. What always holds: a function of files and specs alone; of a long file a fixed part of the units
//! is looked into, which depends on their place in it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::validate::Checks;
use crate::object::ObjectId;

/// The coverage of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamCoverage {
    /// Bytes of all members of the rows looked into, in canonical form.
    pub bytes: u64,
    /// Those of them that are in members that an expression reads.
    pub bytes_read: u64,
    /// For each evidence field: how many of the records have it.
    pub fields: BTreeMap<String, u64>,
    /// The members of the rows: `name`, `name.nested`, `name[].nested`; the first 256 in order.
    #[schemars(extend("maxProperties" = 256))]
    pub keys: BTreeMap<String, KeyCoverage>,
    /// Members whose values tell kinds of rows apart, such as `type` and `messages[].role`.
    pub kinds: BTreeMap<String, KindCoverage>,
    /// Units looked into: the first 1,024 of each file and one of sixteen of the others.
    pub observed: u64,
    /// How often a member beyond those of `keys` was there.
    pub other_keys: u64,
    /// Records made of the units looked into, repetitions included.
    pub records: u64,
    /// Name of the spec.
    #[schemars(length(min = 1))]
    pub spec: String,
    /// What the spec means, by hash: another id is another spec.
    pub spec_id: ObjectId,
    /// The stream.
    #[schemars(length(min = 1))]
    pub stream: String,
    /// Units that the spec was asked about.
    pub units: u64,
}

/// One member of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyCoverage {
    /// Bytes of its names and values, without those of nested members that have a line of their own.
    pub bytes: u64,
    /// Whether an expression reads it.
    pub read: bool,
    /// How often it was there.
    pub seen: u64,
}

/// The values of one discriminator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KindCoverage {
    /// How often it had a value beyond those of `values`; above 0 it is no discriminator.
    pub others: u64,
    /// How often it had each value.
    pub values: BTreeMap<String, u64>,
}

impl StreamCoverage {
    /// The most members that are told apart.
    pub const KEYS_MAX: usize = 256;

    /// Checks the counts under the path `field`.
    pub(super) fn check(&self, checks: &mut Checks, field: &str) {
        checks.text(&self.spec, format!("{field}.spec"));
        checks.text(&self.stream, format!("{field}.stream"));
        let of = |name: &str| format!("{field}.{name}");
        checks.require(self.observed <= self.units, of("observed"), "is more than units");
        checks.require(self.bytes_read <= self.bytes, of("bytes_read"), "is more than bytes");
        checks.require(self.keys.len() <= Self::KEYS_MAX, of("keys"), "names more than 256 members");
        for (name, filled) in &self.fields {
            checks.require(*filled <= self.records, of(&format!("fields.{name}")), "is more than records");
        }
        for (name, key) in &self.keys {
            checks.require(key.seen > 0, of(&format!("keys.{name}.seen")), "is 0: it was not there");
        }
    }
}
