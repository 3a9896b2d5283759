//! `sft_sample`: one instruction with its answer, for supervised fine-tuning.
//!
//! Rests on `category`, `evidence` (messages) and `provenance`. What always holds: `quality_score` is an enum that has
//! no value for rejected runs or for those that need a person.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::category::TrainableCategory;
use super::evidence::{Message, check_messages};
use super::key::{RECORD_KEY_BYTES_MAX, RECORD_KEY_PATTERN};
use super::provenance::Provenance;
use super::schema::{Record, SchemaTag, nullable};
use super::validate::{Checks, Violation};
use crate::object::ObjectId;

/// One instruction with its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SftSample {
    /// What the model was given besides the instruction.
    #[serde(deserialize_with = "nullable")]
    pub context: Option<String>,
    /// Object of the evidence record.
    pub evidence_id: ObjectId,
    /// Record key, the same as the evidence's.
    #[schemars(length(max = RECORD_KEY_BYTES_MAX), regex(pattern = RECORD_KEY_PATTERN))]
    pub id: String,
    /// What the model was asked.
    #[schemars(length(min = 1))]
    pub instruction: String,
    /// The whole conversation, tool calls included.
    pub messages: Vec<Message>,
    /// Where the evidence comes from.
    pub provenance: Provenance,
    /// What scoring decided; nothing else than these two can stand here.
    pub quality_score: TrainableCategory,
    /// What the model answered.
    #[schemars(length(min = 1))]
    pub response: String,
    /// Always `distill.sft_sample.v1`.
    pub schema: SchemaTag<SftSample>,
    /// The trace's own id of the run.
    #[schemars(length(min = 1))]
    pub source_run_id: String,
}

impl Record for SftSample {
    const NAME: &'static str = "sft_sample";
    const SCHEMA_VERSION: u32 = 1;
    const SCHEMA: &'static str = "distill.sft_sample.v1";

    fn validate(&self) -> Vec<Violation> {
        let mut checks = Checks::new();
        checks.record_key(&self.id, self.provenance.recorded_at.as_deref(), "id");
        checks.text(&self.instruction, "instruction");
        checks.text(&self.response, "response");
        checks.text(&self.source_run_id, "source_run_id");
        check_messages(&self.messages, &mut checks);
        self.provenance.check(&mut checks, "provenance", false);
        checks.into_violations()
    }
}
