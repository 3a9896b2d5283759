//! `rag_sample`: one document of the RAG corpus.
//!
//! Rests on `category` and `provenance`. What always holds: it is grounded, that is, it has content, a run and a
//! provenance, and its category is one that a corpus may hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::category::TrainableCategory;
use super::key::{RECORD_KEY_BYTES_MAX, RECORD_KEY_PATTERN};
use super::provenance::Provenance;
use super::schema::{Record, SchemaTag};
use super::validate::{Checks, Violation};
use crate::object::ObjectId;

/// One document for retrieval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RagSample {
    /// The text that retrieval returns.
    #[schemars(length(min = 1))]
    pub content: String,
    /// Object of the evidence record.
    pub evidence_id: ObjectId,
    /// Record key, the same as the evidence's.
    #[schemars(length(max = RECORD_KEY_BYTES_MAX), regex(pattern = RECORD_KEY_PATTERN))]
    pub id: String,
    /// Where the evidence comes from.
    pub provenance: Provenance,
    /// Always `distill.rag_sample.v1`.
    pub schema: SchemaTag<RagSample>,
    /// What scoring decided.
    pub source_category: TrainableCategory,
    /// The trace's own id of the run.
    #[schemars(length(min = 1))]
    pub source_run_id: String,
    /// How well the run did, within 0 and 1.
    #[schemars(range(min = 0, max = 1))]
    pub success_score: f64,
    /// Free labels.
    #[schemars(inner(length(min = 1)))]
    pub tags: Vec<String>,
    /// A line that says what the content is about.
    #[schemars(length(min = 1))]
    pub title: String,
}

impl Record for RagSample {
    const NAME: &'static str = "rag_sample";
    const SCHEMA_VERSION: u32 = 1;
    const SCHEMA: &'static str = "distill.rag_sample.v1";

    fn validate(&self) -> Vec<Violation> {
        let mut checks = Checks::new();
        checks.record_key(&self.id, self.provenance.recorded_at.as_deref(), "id");
        checks.text(&self.title, "title");
        checks.text(&self.content, "content");
        checks.text(&self.source_run_id, "source_run_id");
        checks.fraction(Some(self.success_score), "success_score");
        checks.texts(&self.tags, "tags");
        self.provenance.check(&mut checks, "provenance", false);
        checks.into_violations()
    }
}
