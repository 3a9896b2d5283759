//! `evidence_record`: what one agent run left behind, whatever stream it came from.
//!
//! Rests on `provenance` and `key`. What always holds: what the trace does not say is null or an empty array, never
//! zero or an empty string; a tool call's arguments stand as the raw text and, where that is an object, as the object.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::key::{RECORD_KEY_BYTES_MAX, RECORD_KEY_PATTERN, RecordKey};
use super::provenance::Provenance;
use super::schema::{Record, SchemaTag, nullable};
use super::time::TIME_PATTERN;
use super::validate::{Checks, PassFail, Violation};
use crate::base::json::RawJson;

/// One piece of evidence, normalised from one output of one source unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRecord {
    /// The comparison that this run is one side of.
    #[serde(deserialize_with = "nullable")]
    pub comparison: Option<Comparison>,
    /// What the model was given besides the instruction.
    #[serde(deserialize_with = "nullable")]
    pub context: Option<String>,
    /// What speaks for a failure, in the source's own words.
    #[schemars(inner(length(min = 1)))]
    pub failure_markers: Vec<String>,
    /// A person's verdict, above every other signal.
    #[serde(deserialize_with = "nullable")]
    pub human_override: Option<HumanOverride>,
    /// What the model was asked.
    #[serde(deserialize_with = "nullable")]
    pub instruction: Option<String>,
    /// Record key: `YYYY/MM/DD/<stream>/<row key>`.
    #[schemars(length(max = RECORD_KEY_BYTES_MAX), regex(pattern = RECORD_KEY_PATTERN))]
    pub key: String,
    /// The whole conversation, tool calls included.
    pub messages: Vec<Message>,
    /// The model that answered.
    pub model: Model,
    /// An observer's verdict.
    #[serde(deserialize_with = "nullable")]
    pub observer: Option<Observer>,
    /// Where it comes from.
    pub provenance: Provenance,
    /// The row's own time, RFC 3339 in UTC, or null where it has none that parses.
    #[serde(deserialize_with = "nullable")]
    #[schemars(regex(pattern = TIME_PATTERN))]
    pub recorded_at: Option<String>,
    /// What the model answered.
    #[serde(deserialize_with = "nullable")]
    pub response: Option<String>,
    /// What retrieval brought, best first.
    pub retrieved_context: Vec<RetrievedContext>,
    /// The trace's own id of the run.
    #[serde(deserialize_with = "nullable")]
    #[schemars(length(min = 1))]
    pub run_id: Option<String>,
    /// Always `distill.evidence_record.v1`.
    pub schema: SchemaTag<EvidenceRecord>,
    /// The source's stream.
    #[schemars(regex(pattern = "^[a-z0-9_-]+$"))]
    pub stream: String,
    /// What speaks for a success, in the source's own words.
    #[schemars(inner(length(min = 1)))]
    pub success_markers: Vec<String>,
    /// How many generations of model output lie between this and human-made data; 0 for a plain trace.
    pub synthetic_depth: u64,
    /// Free labels.
    #[schemars(inner(length(min = 1)))]
    pub tags: Vec<String>,
    /// The trace's own id of the task.
    #[serde(deserialize_with = "nullable")]
    #[schemars(length(min = 1))]
    pub task_id: Option<String>,
    /// What the run cost.
    pub usage: Usage,
    /// Deterministic checks by name; `outcome` is the source's own final result.
    pub validation_results: BTreeMap<String, PassFail>,
}

/// The model that answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name as the provider spells it.
    #[serde(deserialize_with = "nullable")]
    pub name: Option<String>,
    /// Who runs it.
    #[serde(deserialize_with = "nullable")]
    pub provider: Option<String>,
    /// What it was used as, such as `executor` or `judge`.
    #[serde(deserialize_with = "nullable")]
    pub role: Option<String>,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Its text; null where it only calls tools.
    #[serde(deserialize_with = "nullable")]
    pub content: Option<String>,
    /// The speaker's or tool's name.
    #[serde(deserialize_with = "nullable")]
    pub name: Option<String>,
    /// Who speaks: `system`, `user`, `assistant`, `tool` or what the source says.
    #[schemars(length(min = 1))]
    pub role: String,
    /// The call that this message answers.
    #[serde(deserialize_with = "nullable")]
    pub tool_call_id: Option<String>,
    /// The tools that it calls.
    pub tool_calls: Vec<ToolCall>,
}

/// One call of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The arguments exactly as the trace has them, JSON or not.
    pub arguments: String,
    /// The arguments as a JSON object, or null where they are none.
    #[serde(deserialize_with = "nullable")]
    #[schemars(schema_with = "object_or_null")]
    pub arguments_object: Option<RawJson>,
    /// The call's id, which the answer repeats.
    #[serde(deserialize_with = "nullable")]
    pub id: Option<String>,
    /// The tool.
    #[schemars(length(min = 1))]
    pub name: String,
}

fn object_or_null(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["object", "null"] })
}

/// One piece of retrieved context.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetrievedContext {
    /// Its text.
    #[serde(deserialize_with = "nullable")]
    pub content: Option<String>,
    /// Its id in the index that it came from.
    #[serde(deserialize_with = "nullable")]
    pub id: Option<String>,
    /// The retriever's score; the scale is the retriever's own.
    #[serde(deserialize_with = "nullable")]
    pub score: Option<f64>,
}

/// An observer's verdict on a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Observer {
    /// Who observed.
    #[serde(deserialize_with = "nullable")]
    pub by: Option<String>,
    /// How sure, within 0 and 1.
    #[serde(deserialize_with = "nullable")]
    #[schemars(range(min = 0, max = 1))]
    pub confidence: Option<f64>,
    /// The verdict in the source's own word.
    #[schemars(length(min = 1))]
    pub verdict: String,
}

/// A person's verdict on a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HumanOverride {
    /// When, as the source says it.
    #[serde(deserialize_with = "nullable")]
    pub at: Option<String>,
    /// Who.
    #[serde(deserialize_with = "nullable")]
    pub by: Option<String>,
    /// Why.
    #[serde(deserialize_with = "nullable")]
    pub reason: Option<String>,
    /// The verdict in the source's own word.
    #[schemars(length(min = 1))]
    pub verdict: String,
}

/// One side of a comparison of several answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// What all sides share.
    #[schemars(length(min = 1))]
    pub group: String,
    /// The place among them; 1 is the best.
    #[schemars(range(min = 1))]
    pub rank: u64,
}

/// What a run cost; what is not known is null, never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Prompt tokens that came from a cache.
    #[serde(deserialize_with = "nullable")]
    pub cached_tokens: Option<u64>,
    /// Tokens of the answer.
    #[serde(deserialize_with = "nullable")]
    pub completion_tokens: Option<u64>,
    /// Price in US dollars.
    #[serde(deserialize_with = "nullable")]
    #[schemars(range(min = 0))]
    pub cost_usd: Option<f64>,
    /// Wall-clock time in milliseconds.
    #[serde(deserialize_with = "nullable")]
    #[schemars(range(min = 0))]
    pub latency_ms: Option<f64>,
    /// Tokens of the prompt.
    #[serde(deserialize_with = "nullable")]
    pub prompt_tokens: Option<u64>,
}

impl Record for EvidenceRecord {
    const NAME: &'static str = "evidence_record";
    const SCHEMA_VERSION: u32 = 1;
    const SCHEMA: &'static str = "distill.evidence_record.v1";

    fn validate(&self) -> Vec<Violation> {
        let mut checks = Checks::new();
        checks.code(&self.stream, "stream");
        checks.record_key(&self.key, self.recorded_at.as_deref(), "key");
        if let Ok(key) = RecordKey::parse(&self.key) {
            checks.require(key.stream() == self.stream, "key", "names another stream than `stream`");
        }
        checks.canonical_time(self.recorded_at.as_deref(), "recorded_at");
        checks.require(
            self.recorded_at == self.provenance.recorded_at,
            "recorded_at",
            "differs from provenance.recorded_at",
        );
        checks.text_or_null(self.run_id.as_deref(), "run_id");
        checks.text_or_null(self.task_id.as_deref(), "task_id");
        checks.texts(&self.success_markers, "success_markers");
        checks.texts(&self.failure_markers, "failure_markers");
        checks.texts(&self.tags, "tags");
        check_messages(&self.messages, &mut checks);
        for (n, piece) in self.retrieved_context.iter().enumerate() {
            let finite = piece.score.is_none_or(f64::is_finite);
            checks.require(finite, format_args!("retrieved_context[{n}].score"), "is not a finite number");
        }
        for name in self.validation_results.keys() {
            checks.text(name, "validation_results");
        }
        if let Some(observer) = &self.observer {
            checks.text(&observer.verdict, "observer.verdict");
            checks.fraction(observer.confidence, "observer.confidence");
        }
        if let Some(human) = &self.human_override {
            checks.text(&human.verdict, "human_override.verdict");
        }
        if let Some(comparison) = &self.comparison {
            checks.text(&comparison.group, "comparison.group");
            checks.require(comparison.rank >= 1, "comparison.rank", "is 0; the best is 1");
        }
        checks.not_negative(self.usage.cost_usd, "usage.cost_usd");
        checks.not_negative(self.usage.latency_ms, "usage.latency_ms");
        self.provenance.check(&mut checks, "provenance", false);
        checks.into_violations()
    }
}

/// Checks a conversation under the path `messages`.
pub(super) fn check_messages(messages: &[Message], checks: &mut Checks) {
    for (n, message) in messages.iter().enumerate() {
        if message.role.trim().is_empty() {
            checks.fail(format!("messages[{n}].role"), "is empty");
        }
        for (m, call) in message.tool_calls.iter().enumerate() {
            if call.name.trim().is_empty() {
                checks.fail(format!("messages[{n}].tool_calls[{m}].name"), "is empty");
            }
            if call.arguments_object.as_ref().is_some_and(|json| !is_object(json)) {
                checks.fail(format!("messages[{n}].tool_calls[{m}].arguments_object"), "is not an object");
            }
        }
    }
}

fn is_object(json: &RawJson) -> bool {
    json.as_str().starts_with('{')
}
