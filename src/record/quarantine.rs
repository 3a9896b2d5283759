//! `quarantine_entry`: something that was refused, kept with the reason.
//!
//! Rests on `provenance`. What always holds: it names the stage, a reason code and the object that was refused, and
//! that object is kept byte for byte.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::key::{KEY_BYTES_MAX, NESTED_KEY_PATTERN, check_nested_key};
use super::provenance::Provenance;
use super::schema::{Record, SchemaTag};
use super::validate::{Checks, Violation};
use crate::object::ObjectId;

/// Something that was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuarantineEntry {
    /// What exactly is wrong, for a person.
    #[schemars(length(min = 1))]
    pub detail: String,
    /// Key of the entry: `<stage>/<reason>/<source or record key>`.
    #[schemars(length(max = KEY_BYTES_MAX), regex(pattern = NESTED_KEY_PATTERN))]
    pub id: String,
    /// Where the refused thing comes from; `sig_hash` is null where the row does not parse.
    pub provenance: Provenance,
    /// Reason code.
    #[schemars(regex(pattern = "^[a-z0-9_-]+$"))]
    pub reason: String,
    /// Object of what was refused.
    pub refused_id: ObjectId,
    /// Always `distill.quarantine_entry.v1`.
    pub schema: SchemaTag<QuarantineEntry>,
    /// The stage that refused it.
    #[schemars(regex(pattern = "^[a-z0-9_-]+$"))]
    pub stage: String,
}

impl Record for QuarantineEntry {
    const NAME: &'static str = "quarantine_entry";
    const SCHEMA_VERSION: u32 = 1;
    const SCHEMA: &'static str = "distill.quarantine_entry.v1";

    fn validate(&self) -> Vec<Violation> {
        let mut checks = Checks::new();
        checks.code(&self.stage, "stage");
        checks.code(&self.reason, "reason");
        check_nested_key(&self.id, &format!("{}/{}/", self.stage, self.reason), &mut checks);
        checks.text(&self.detail, "detail");
        self.provenance.check(&mut checks, "provenance", true);
        checks.into_violations()
    }
}
