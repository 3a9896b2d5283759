//! `duplicate_entry`: something that repeats a record that is already there.
//!
//! Rests on `provenance`. What always holds: it names the record that it repeats, which comes first in source order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::key::{KEY_BYTES_MAX, NESTED_KEY_PATTERN, check_nested_key};
use super::provenance::Provenance;
use super::schema::{Record, SchemaTag};
use super::validate::{Checks, Violation};
use crate::object::ObjectId;

/// Something that repeats a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DuplicateEntry {
    /// Key of the record that it repeats.
    #[schemars(length(max = KEY_BYTES_MAX), regex(pattern = NESTED_KEY_PATTERN))]
    pub duplicate_of: String,
    /// Key of the entry: `<stage>/<source or record key>`.
    #[schemars(length(max = KEY_BYTES_MAX), regex(pattern = NESTED_KEY_PATTERN))]
    pub id: String,
    /// Where the repetition comes from.
    pub provenance: Provenance,
    /// Object of the repetition.
    pub refused_id: ObjectId,
    /// Always `distill.duplicate_entry.v1`.
    pub schema: SchemaTag<DuplicateEntry>,
    /// The stage that saw it.
    #[schemars(regex(pattern = "^[a-z0-9_-]+$"))]
    pub stage: String,
}

impl Record for DuplicateEntry {
    const NAME: &'static str = "duplicate_entry";
    const SCHEMA_VERSION: u32 = 1;
    const SCHEMA: &'static str = "distill.duplicate_entry.v1";

    fn validate(&self) -> Vec<Violation> {
        let mut checks = Checks::new();
        checks.code(&self.stage, "stage");
        let prefix = format!("{}/", self.stage);
        check_nested_key(&self.id, &prefix, &mut checks);
        checks.text(&self.duplicate_of, "duplicate_of");
        let itself = self.id.strip_prefix(&prefix) == Some(self.duplicate_of.as_str());
        checks.require(!itself, "duplicate_of", "is the record itself");
        self.provenance.check(&mut checks, "provenance", false);
        checks.into_violations()
    }
}
