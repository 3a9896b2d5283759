//! Whole sources against files that show every fate: `fixtures/sources/<case>/`.
//!
//! `expected.jsonl` has one line for each unit. To write it anew after a deliberate change, run this test with
//! `DISTILL_BLESS=1` and read the difference.

use std::fs;
use std::path::{Path, PathBuf};

use distill::base::json::to_canonical;
use distill::pipeline::source::{LookupRow, Lookups, Mapped, Outcome, Spec, Unit, UnitInput, UnitReader};
use serde_json::json;

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sources").join(name)
}

fn line(unit: &Unit, mapped: &Mapped) -> String {
    let fate = match &mapped.outcome {
        Outcome::Records(drafts) => {
            json!({"records": drafts.iter().map(|d| json!({"row_key": d.row_key, "record": d.record})).collect::<Vec<_>>()})
        }
        Outcome::Skipped { rule } => json!({"skipped": rule}),
        Outcome::Quarantined { reason, detail } => json!({"quarantined": reason, "detail": detail}),
    };
    let line = json!({
        "unit": unit.number, "offset": unit.offset, "raw_id": mapped.raw_id, "sig_hash": mapped.sig_hash.map(hex::encode),
        "fate": fate,
    });
    String::from_utf8(to_canonical(&line).expect("plain JSON")).expect("UTF-8")
}

fn check(name: &str, file: &str, rows: &str, lookup: Option<(&str, &str)>) {
    let dir = case(name);
    let read = |file: &str| fs::read(dir.join(file)).unwrap_or_else(|e| panic!("{name}/{file}: {e}"));
    let text = String::from_utf8(read("spec.toml")).expect("UTF-8");
    let spec = Spec::parse(name, &text).unwrap_or_else(|e| panic!("{e}"));
    assert!(spec.files().contains(file), "{file} is read");
    let mut lookups = Lookups::default();
    let mut adapter = super::adapter(&spec);
    if let Some((table, file)) = lookup {
        let (bytes, none) = (read(file), Lookups::default());
        let mut input = &bytes[..];
        let declared = &spec.lookups()[table];
        let mut reader = UnitReader::new(&mut input, declared.unit(), declared.at());
        while let Some(unit) = reader.next_unit().expect("memory") {
            match adapter.lookup_row(table, &UnitInput::new(file, &unit, &none)) {
                LookupRow::Row { key, raw_id, canonical } => {
                    lookups.table(table).insert(key, canonical, raw_id);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let bytes = read(rows);
    let fates = super::map_all(&spec, file, &bytes, &lookups);
    let found: String = fates.iter().map(|(unit, mapped)| line(unit, mapped) + "\n").collect();
    if std::env::var_os("DISTILL_BLESS").is_some() {
        fs::write(dir.join("expected.jsonl"), &found).expect("a writable fixture");
    }
    let expected = String::from_utf8(read("expected.jsonl")).expect("UTF-8");
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

#[test]
fn runs_of_an_agent_joined_with_their_tasks() {
    check("agent_runs", "runs/core.jsonl", "rows.jsonl", Some(("tasks", "tasks.jsonl")));
}

#[test]
fn evaluations_in_a_map_that_breaks_off() {
    check("evaluations", "judges/j1.json", "rows.json", None);
}
