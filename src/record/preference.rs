//! `preference_sample`: two answers to one prompt, of which one was judged strictly better.
//!
//! Rests on `key` and `provenance`. What always holds: the two answers differ, and the id names both sides: the chosen
//! record's key, `+`, the first 16 digits of the rejected side's `sig_hash`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::key::{KEY_BYTES_MAX, PREFERENCE_KEY_PATTERN, preference_key};
use super::provenance::Provenance;
use super::schema::{Record, SchemaTag};
use super::validate::{Checks, Violation, is_digest};
use crate::object::ObjectId;

/// One value for each side of a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sides<T> {
    /// Of the better side.
    pub chosen: T,
    /// Of the worse side.
    pub rejected: T,
}

/// Two answers to one prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreferenceSample {
    /// The better answer.
    #[schemars(length(min = 1))]
    pub chosen: String,
    /// Objects of both evidence records.
    pub evidence_ids: Sides<ObjectId>,
    /// Key of the pair: `<chosen key>+<16 digits of the rejected sig_hash>`, or of the rejected evidence id where two
    /// rejected sides come from one source row.
    #[schemars(length(max = KEY_BYTES_MAX), regex(pattern = PREFERENCE_KEY_PATTERN))]
    pub id: String,
    /// What both were asked.
    #[schemars(length(min = 1))]
    pub prompt: String,
    /// Where both come from.
    pub provenance: Sides<Provenance>,
    /// Why one is better.
    #[schemars(length(min = 1))]
    pub reason: String,
    /// The worse answer.
    #[schemars(length(min = 1))]
    pub rejected: String,
    /// Always `distill.preference_sample.v1`.
    pub schema: SchemaTag<PreferenceSample>,
    /// The traces' own ids of both runs.
    pub source_run_ids: Sides<String>,
}

impl Record for PreferenceSample {
    const NAME: &'static str = "preference_sample";
    const SCHEMA_VERSION: u32 = 1;
    const SCHEMA: &'static str = "distill.preference_sample.v1";

    fn validate(&self) -> Vec<Violation> {
        let mut checks = Checks::new();
        let (chosen, other) = self.id.rsplit_once('+').unwrap_or((&self.id, ""));
        checks.record_key(chosen, self.provenance.chosen.recorded_at.as_deref(), "id");
        if let Some(sig_hash) = self.provenance.rejected.sig_hash.as_deref().filter(|hash| is_digest(hash)) {
            // One source row can give two rejected sides: the second pair is named by its evidence.
            let matches = preference_key(chosen, sig_hash).is_ok_and(|key| key == self.id)
                || self.evidence_ids.rejected.short(16) == other;
            let why = format!("ends with `+{other}`, not with 16 digits of the rejected side's sig_hash");
            checks.require(matches, "id", &why);
        }
        checks.text(&self.prompt, "prompt");
        checks.text(&self.chosen, "chosen");
        checks.text(&self.rejected, "rejected");
        checks.require(self.chosen != self.rejected, "rejected", "is the same text as chosen");
        checks.text(&self.reason, "reason");
        checks.text(&self.source_run_ids.chosen, "source_run_ids.chosen");
        checks.text(&self.source_run_ids.rejected, "source_run_ids.rejected");
        let differ = self.evidence_ids.chosen != self.evidence_ids.rejected;
        checks.require(differ, "evidence_ids.rejected", "is the same evidence as chosen");
        self.provenance.chosen.check(&mut checks, "provenance.chosen", false);
        self.provenance.rejected.check(&mut checks, "provenance.rejected", false);
        checks.into_violations()
    }
}
