//! The registered schemas against a good and a bad fixture each, embedded, so that an installed program checks them too.
//!
//! Rests on the registry. The tests read every fixture of the folder; these are the ones that travel with the program.

use crate::ops::checks::{Breach, Found};
use crate::record::{SCHEMAS, schema_info};

/// The fewest schemas that there may be.
const SCHEMAS_MIN: usize = 9;

/// A good and a bad fixture of the schema, and the field that the bad one fails at.
macro_rules! fixtures {
    ($($schema:literal: $good:literal, $bad:literal at $field:literal;)+) => {
        [$((
            $schema,
            include_bytes!(concat!("../../../fixtures/records/", $schema, "/ok/", $good)),
            include_bytes!(concat!("../../../fixtures/records/", $schema, "/bad/", $bad)),
            $field,
        ),)+]
    };
}

const FIXTURES: [(&str, &[u8], &[u8], &str); 10] = fixtures! {
    "evidence_record": "all-null.json", "confidence-above-one.json" at "observer.confidence";
    "scored_run": "accepted.json", "category-unknown.json" at "category";
    "rag_sample": "accepted.json", "content-blank.json" at "content";
    "sft_sample": "accepted.json", "quality-needs-human-review.json" at "quality_score";
    "preference_sample": "two-runs.json", "chosen-empty.json" at "chosen";
    "quarantine_entry": "export-refusal.json", "detail-empty.json" at "detail";
    "duplicate_entry": "repeated-row.json", "of-itself.json" at "duplicate_of";
    "stage_receipt": "export.json", "counts-do-not-add-up.json" at "counts.rows_in";
    "run_summary": "empty-run-that-failed.json", "stage-counts-do-not-add-up.json" at "stages[1].counts.rows_in";
    "drift_report": "second-run.json", "no-cause.json" at "causes";
};

/// Notes what is wrong with the registry: too few schemas, one without fixtures, a validator that does not tell good from
/// bad or does not name the field.
pub(super) fn registered(found: &mut Found) {
    found.require(SCHEMAS.len() >= SCHEMAS_MIN, || {
        Breach::new(format!("{} schemas are registered, and there should be {SCHEMAS_MIN}", SCHEMAS.len()))
    });
    for info in SCHEMAS {
        let fixtures = FIXTURES.iter().find(|(name, ..)| *name == info.name);
        let Some((_, good, bad, field)) = fixtures else {
            found.push(Breach::of("schemas", info.name, "it has no fixtures"));
            continue;
        };
        if let Err(violations) = info.validate(good) {
            let why = violations.first().map_or_else(String::new, ToString::to_string);
            found.push(Breach::of("schemas", info.name, format!("its good fixture is refused: {why}")));
        }
        let named = info.validate(bad).is_err_and(|all| all.iter().any(|v| v.field == *field));
        found.require(named, || {
            let detail = format!("its bad fixture is not refused for `{field}`");
            Breach::of("schemas", info.name, detail)
        });
        let title = info.json_schema()["title"].as_str().map(ToOwned::to_owned);
        found.require(title.as_deref() == Some(info.schema), || {
            Breach::of("schemas", info.name, "its published JSON Schema is of another name")
        });
        found.require(schema_info(info.schema).is_some_and(|other| other.name == info.name), || {
            Breach::of("schemas", info.name, "it is not found by its schema string")
        });
    }
}
