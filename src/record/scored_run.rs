//! `scored_run`: what the policy decided about one piece of evidence, by which rule and why.
//!
//! Rests on `category` and `provenance`. What always holds: reasons are never empty; no policy id stands here, so that
//! an edit of the policy changes only the rows that it decides differently.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::category::Category;
use super::key::{RECORD_KEY_BYTES_MAX, RECORD_KEY_PATTERN};
use super::provenance::Provenance;
use super::schema::{Record, SchemaTag};
use super::validate::{Checks, Violation};
use crate::object::ObjectId;

/// The verdict on one piece of evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoredRun {
    /// The verdict.
    pub category: Category,
    /// Id of the policy rule that matched first.
    #[schemars(length(min = 1))]
    pub deciding_rule: String,
    /// Object of the evidence record.
    pub evidence_id: ObjectId,
    /// Record key, the same as the evidence's.
    #[schemars(length(max = RECORD_KEY_BYTES_MAX), regex(pattern = RECORD_KEY_PATTERN))]
    pub key: String,
    /// Where the evidence comes from.
    pub provenance: Provenance,
    /// Why, in the order of trust; never empty.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    pub reasons: Vec<String>,
    /// Always `distill.scored_run.v1`.
    pub schema: SchemaTag<ScoredRun>,
    /// Scores by name that went into the decision.
    pub sub_scores: BTreeMap<String, f64>,
}

impl Record for ScoredRun {
    const NAME: &'static str = "scored_run";
    const SCHEMA_VERSION: u32 = 1;
    const SCHEMA: &'static str = "distill.scored_run.v1";

    fn validate(&self) -> Vec<Violation> {
        let mut checks = Checks::new();
        checks.record_key(&self.key, self.provenance.recorded_at.as_deref(), "key");
        checks.text(&self.deciding_rule, "deciding_rule");
        checks.require(!self.reasons.is_empty(), "reasons", "is empty; a verdict without a reason is none");
        checks.texts(&self.reasons, "reasons");
        for (name, score) in &self.sub_scores {
            checks.text(name, "sub_scores");
            checks.require(score.is_finite(), format_args!("sub_scores.{name}"), "is not a finite number");
        }
        self.provenance.check(&mut checks, "provenance", false);
        checks.into_violations()
    }
}
