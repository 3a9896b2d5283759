//! The record schemas: what the canonical JSON objects of distill's datasets look like, and what makes one valid.
//!
//! Rests on `base` (canonical JSON) and `object` (ids); does no I/O. What always holds: every type writes explicit
//! nulls and explicit empty arrays, refuses fields it does not know and fields that are missing, and carries its own
//! `schema` string; a validator names each field that fails and says why; the JSON Schema is derived from the type.

mod category;
mod coverage;
mod drift;
mod duplicate;
mod evidence;
mod exchange;
mod key;
mod locate;
mod preference;
mod provenance;
mod quarantine;
mod rag;
mod receipt;
mod registry;
mod schema;
mod scored_run;
mod sft;
mod summary;
mod time;
mod validate;

pub use category::{Category, CategoryCounts, NotTrainable, TrainableCategory};
pub use coverage::{KeyCoverage, KindCoverage, StreamCoverage};
pub use drift::{Baseline, DatasetChanges, DriftMetric, DriftReport, Severity};
pub use duplicate::DuplicateEntry;
pub use evidence::{
    Comparison, EvidenceRecord, HumanOverride, Message, Model, Observer, RetrievedContext, ToolCall, Usage,
};
pub use exchange::{Exchange, ExchangeRole};
pub use key::{
    KEY_BYTES_MAX, KeyError, RECORD_KEY_BYTES_MAX, RecordKey, STREAM_BYTES_MAX, duplicate_key,
    encode_segment, preference_key, quarantine_key, source_key,
};
pub use preference::{PreferenceSample, Sides};
pub use provenance::{Provenance, Unit};
pub use quarantine::QuarantineEntry;
pub use rag::RagSample;
pub use receipt::{Counts, InputSnapshot, OutputSnapshot, StageReceipt, Tool};
pub use registry::{SCHEMAS, SchemaInfo, schema_info, schema_json, validate_bytes};
pub use schema::{Record, RecordError, SchemaTag};
pub use scored_run::ScoredRun;
pub use sft::SftSample;
pub use summary::{Metrics, RunSummary, StageSummary};
pub use time::{RecordedAt, parse_time, parse_time_number, parse_time_text};
pub use validate::{Checks, PassFail, Violation};
