//! The registry of schemas: what `distill schema` and `distill validate` look names up in.
//!
//! Rests on the record types of this module. What always holds: one entry for each schema; a JSON Schema is derived
//! from the type that reads the record, so the two cannot drift apart.

use serde_json::Value;

use super::drift::DriftReport;
use super::duplicate::DuplicateEntry;
use super::evidence::EvidenceRecord;
use super::locate;
use super::preference::PreferenceSample;
use super::quarantine::QuarantineEntry;
use super::rag::RagSample;
use super::receipt::StageReceipt;
use super::schema::{Record, RecordError};
use super::scored_run::ScoredRun;
use super::sft::SftSample;
use super::summary::RunSummary;
use super::validate::Violation;
use crate::base::json::canonicalize;

/// One schema of the registry.
#[derive(Clone, Copy, Debug)]
pub struct SchemaInfo {
    /// Short name, such as `rag_sample`.
    pub name: &'static str,
    /// Version.
    pub version: u32,
    /// The `schema` string of its records, such as `distill.rag_sample.v1`.
    pub schema: &'static str,
    json_schema: fn() -> Value,
    validate: fn(&[u8]) -> Result<(), Vec<Violation>>,
}

impl SchemaInfo {
    const fn of<R: Record>() -> Self {
        Self {
            name: R::NAME,
            version: R::SCHEMA_VERSION,
            schema: R::SCHEMA,
            json_schema: json_schema::<R>,
            validate: validate::<R>,
        }
    }

    /// The published JSON Schema, draft 2020-12.
    pub fn json_schema(&self) -> Value {
        (self.json_schema)()
    }

    /// Checks that `bytes` are one valid record of this schema, in any JSON spelling.
    ///
    /// # Errors
    /// Every field that fails; a record of the wrong shape yields the first one only.
    pub fn validate(&self, bytes: &[u8]) -> Result<(), Vec<Violation>> {
        (self.validate)(bytes)
    }
}

/// Every schema, in the order of the pipeline.
pub const SCHEMAS: &[SchemaInfo] = &[
    SchemaInfo::of::<EvidenceRecord>(),
    SchemaInfo::of::<ScoredRun>(),
    SchemaInfo::of::<RagSample>(),
    SchemaInfo::of::<SftSample>(),
    SchemaInfo::of::<PreferenceSample>(),
    SchemaInfo::of::<QuarantineEntry>(),
    SchemaInfo::of::<DuplicateEntry>(),
    SchemaInfo::of::<StageReceipt>(),
    SchemaInfo::of::<RunSummary>(),
    SchemaInfo::of::<DriftReport>(),
];

/// The entry of a schema, by its short name (`rag_sample`) or its schema string (`distill.rag_sample.v1`).
pub fn schema_info(name: &str) -> Option<&'static SchemaInfo> {
    SCHEMAS.iter().find(|info| info.name == name || info.schema == name)
}

/// The JSON Schema of the schema `name`; `None` for a name that is not in the registry.
pub fn schema_json(name: &str) -> Option<Value> {
    schema_info(name).map(SchemaInfo::json_schema)
}

/// Checks that `bytes` are one valid record of the schema `name`.
///
/// # Errors
/// Every field that fails; one violation of the whole record where the name is not in the registry.
pub fn validate_bytes(name: &str, bytes: &[u8]) -> Result<(), Vec<Violation>> {
    match schema_info(name) {
        Some(info) => info.validate(bytes),
        None => Err(vec![whole(format!("there is no schema `{name}`"))]),
    }
}

fn json_schema<R: Record>() -> Value {
    let mut schema = schemars::generate::SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<R>();
    schema.insert("title".to_owned(), R::SCHEMA.into());
    schema.to_value()
}

fn validate<R: Record>(bytes: &[u8]) -> Result<(), Vec<Violation>> {
    let mut canonical = Vec::with_capacity(bytes.len());
    canonicalize(bytes, &mut canonical).map_err(|error| vec![whole(error.to_string())])?;
    let record = R::parse(&canonical).map_err(unfit)?;
    let mut violations = record.validate();
    // What serde reads leniently (an array for a struct, digits past binary64) does not come back as it was.
    if violations.is_empty()
        && let Some(field) = locate::difference(&canonical, &record.to_object_bytes().map_err(unfit)?)
    {
        violations
            .push(Violation { field, why: "is not written the way that this schema writes it".to_owned() });
    }
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

fn unfit(error: RecordError) -> Vec<Violation> {
    match error {
        RecordError::Shape { violation, .. } => vec![violation],
        other @ RecordError::Unwritable { .. } => vec![whole(other.to_string())],
    }
}

fn whole(why: String) -> Violation {
    Violation { field: String::new(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_string_says_its_name_and_version() {
        for info in SCHEMAS {
            assert_eq!(info.schema, format!("distill.{}.v{}", info.name, info.version));
            assert_eq!(schema_info(info.schema).map(|found| found.name), Some(info.name));
        }
        assert!(schema_json("nothing").is_none());
    }

    #[test]
    fn an_unknown_name_is_a_violation() {
        let violations = validate_bytes("nothing", b"{}").expect_err("there is no such schema");
        assert!(violations[0].why.contains("nothing"), "{violations:?}");
    }
}
