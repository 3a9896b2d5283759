//! The columns of each dataset as Parquet.
//!
//! Rests on Arrow's types. Invariants: the columns are the members of the row, in the order in which its JSON has them; a
//! column may be null exactly where the member may; nothing is left out, and nothing but a tool call's `arguments_object`,
//! whose members are the trace's own, is kept as JSON text.

use std::sync::Arc;

use arrow_schema::DataType;
use arrow_schema::Field;
use arrow_schema::Fields;
use arrow_schema::Schema;

use crate::ops::error::{ErrorKind, OpError};
use crate::record::{
    DuplicateEntry, EvidenceRecord, PreferenceSample, QuarantineEntry, RagSample, Record, ScoredRun,
    SftSample,
};

/// The datasets that have columns, with the schema of their rows. Source rows are whatever the trace wrote.
pub const TABLES: [(&str, &str); 7] = [
    ("evidence", EvidenceRecord::SCHEMA),
    ("scored-runs", ScoredRun::SCHEMA),
    ("exports/rag", RagSample::SCHEMA),
    ("exports/sft", SftSample::SCHEMA),
    ("exports/preference", PreferenceSample::SCHEMA),
    ("quarantine", QuarantineEntry::SCHEMA),
    ("duplicates", DuplicateEntry::SCHEMA),
];

/// The dataset whose rows have the schema string `schema`.
pub fn dataset_of(schema: &str) -> Option<&'static str> {
    TABLES.iter().find(|(_, of)| *of == schema).map(|(dataset, _)| *dataset)
}

/// The columns of `dataset`, by its full name; `None` for one that has none.
pub fn columns(dataset: &str) -> Option<Schema> {
    let fields = match dataset {
        "evidence" => evidence(),
        "scored-runs" => scored_run(),
        "exports/rag" => rag(),
        "exports/sft" => sft(),
        "exports/preference" => preference(),
        "quarantine" => quarantine(),
        "duplicates" => duplicate(),
        _ => return None,
    };
    Some(Schema::new(fields))
}

/// The columns of `dataset`.
///
/// # Errors
/// When it has none.
pub fn of(dataset: &str) -> Result<Schema, OpError> {
    columns(dataset).ok_or_else(|| {
        let message = format!("{dataset} has no Parquet form: its rows are whatever the source wrote");
        OpError::new(ErrorKind::Usage, message, "take it as JSONL")
    })
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

fn maybe_text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn count(name: &str) -> Field {
    Field::new(name, DataType::UInt64, false)
}

fn maybe_count(name: &str) -> Field {
    Field::new(name, DataType::UInt64, true)
}

fn number(name: &str) -> Field {
    Field::new(name, DataType::Float64, false)
}

fn maybe_number(name: &str) -> Field {
    Field::new(name, DataType::Float64, true)
}

fn list(name: &str, of: DataType) -> Field {
    Field::new(name, DataType::List(Arc::new(Field::new("element", of, false))), false)
}

fn texts(name: &str) -> Field {
    list(name, DataType::Utf8)
}

fn members(fields: Vec<Field>) -> DataType {
    DataType::Struct(Fields::from(fields))
}

fn group(name: &str, fields: Vec<Field>) -> Field {
    Field::new(name, members(fields), false)
}

fn maybe_group(name: &str, fields: Vec<Field>) -> Field {
    Field::new(name, members(fields), true)
}

/// A map from text to values of one type.
fn map(name: &str, value: DataType) -> Field {
    let entries = members(vec![text("key"), Field::new("value", value, false)]);
    Field::new(name, DataType::Map(Arc::new(Field::new("key_value", entries, false)), false), false)
}

fn provenance(name: &str) -> Field {
    group(
        name,
        vec![
            count("line_offset"),
            texts("lookup_ids"),
            text("raw_id"),
            maybe_text("recorded_at"),
            maybe_text("sig_hash"),
            text("source_file"),
            text("unit"),
        ],
    )
}

fn messages() -> Field {
    let call = vec![text("arguments"), maybe_text("arguments_object"), maybe_text("id"), text("name")];
    let message = vec![
        maybe_text("content"),
        maybe_text("name"),
        text("role"),
        maybe_text("tool_call_id"),
        list("tool_calls", members(call)),
    ];
    list("messages", members(message))
}

fn evidence() -> Vec<Field> {
    vec![
        maybe_group("comparison", vec![text("group"), count("rank")]),
        maybe_text("context"),
        texts("failure_markers"),
        maybe_group(
            "human_override",
            vec![maybe_text("at"), maybe_text("by"), maybe_text("reason"), text("verdict")],
        ),
        maybe_text("instruction"),
        text("key"),
        messages(),
        group("model", vec![maybe_text("name"), maybe_text("provider"), maybe_text("role")]),
        maybe_group("observer", vec![maybe_text("by"), maybe_number("confidence"), text("verdict")]),
        provenance("provenance"),
        maybe_text("recorded_at"),
        maybe_text("response"),
        list(
            "retrieved_context",
            members(vec![maybe_text("content"), maybe_text("id"), maybe_number("score")]),
        ),
        maybe_text("run_id"),
        text("schema"),
        text("stream"),
        texts("success_markers"),
        count("synthetic_depth"),
        texts("tags"),
        maybe_text("task_id"),
        group(
            "usage",
            vec![
                maybe_count("cached_tokens"),
                maybe_count("completion_tokens"),
                maybe_number("cost_usd"),
                maybe_number("latency_ms"),
                maybe_count("prompt_tokens"),
            ],
        ),
        map("validation_results", DataType::Utf8),
    ]
}

fn scored_run() -> Vec<Field> {
    vec![
        text("category"),
        text("deciding_rule"),
        text("evidence_id"),
        text("key"),
        provenance("provenance"),
        texts("reasons"),
        text("schema"),
        map("sub_scores", DataType::Float64),
    ]
}

fn rag() -> Vec<Field> {
    vec![
        text("content"),
        text("evidence_id"),
        text("id"),
        provenance("provenance"),
        text("schema"),
        text("source_category"),
        text("source_run_id"),
        number("success_score"),
        texts("tags"),
        text("title"),
    ]
}

fn sft() -> Vec<Field> {
    vec![
        maybe_text("context"),
        text("evidence_id"),
        text("id"),
        text("instruction"),
        messages(),
        provenance("provenance"),
        text("quality_score"),
        text("response"),
        text("schema"),
        text("source_run_id"),
    ]
}

fn preference() -> Vec<Field> {
    let sides = |name| group(name, vec![text("chosen"), text("rejected")]);
    vec![
        text("chosen"),
        sides("evidence_ids"),
        text("id"),
        text("prompt"),
        group("provenance", vec![provenance("chosen"), provenance("rejected")]),
        text("reason"),
        text("rejected"),
        text("schema"),
        sides("source_run_ids"),
    ]
}

fn quarantine() -> Vec<Field> {
    vec![
        text("detail"),
        text("id"),
        provenance("provenance"),
        text("reason"),
        text("refused_id"),
        text("schema"),
        text("stage"),
    ]
}

fn duplicate() -> Vec<Field> {
    vec![
        text("duplicate_of"),
        text("id"),
        provenance("provenance"),
        text("refused_id"),
        text("schema"),
        text("stage"),
    ]
}

/// The columns as a table for people: `docs/http.md` has it, and a test compares them.
pub fn table(dataset: &str) -> Option<String> {
    let schema = columns(dataset)?;
    let rows = schema.fields().iter().map(|field| format!("| `{}` | {} |\n", field.name(), spelled(field)));
    Some(format!("| column | type |\n|---|---|\n{}", rows.collect::<String>()))
}

fn spelled(field: &Field) -> String {
    let kind = match field.data_type() {
        DataType::Utf8 => "string".to_owned(),
        DataType::UInt64 => "uint64".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::List(of) => format!("list of {}", spelled(of)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => format!("map of string to {}", spelled(&pair[1])),
            other => other.to_string(),
        },
        DataType::Struct(members) => {
            let named = members.iter().map(|member| format!("{}: {}", member.name(), spelled(member)));
            format!("{{{}}}", named.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    };
    if field.is_nullable() { format!("{kind} or null") } else { kind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::schema_json;

    /// A member that is added to a record is missed here.
    #[test]
    fn the_columns_are_the_members_of_the_record() {
        for (dataset, schema) in TABLES {
            let columns = columns(dataset).expect("a table");
            let published = schema_json(schema).expect("a schema");
            let members: Vec<&String> =
                published["properties"].as_object().expect("an object").keys().collect();
            let mut sorted = members.clone();
            sorted.sort();
            let names: Vec<&String> = columns.fields().iter().map(|field| field.name()).collect();
            assert_eq!(names, sorted, "{dataset}");
            assert_eq!(dataset_of(schema), Some(dataset));
        }
        assert!(columns("sources").is_none());
    }
}
