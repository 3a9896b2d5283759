//! The record schemas against their fixtures: `fixtures/records/<schema>/{ok,bad}/*.json`, with `expect.json` naming for
//! each bad file the field that must be named and whether the published JSON Schema refuses it too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use distill::base::json::canonicalize;
use distill::record::{
    DriftReport, DuplicateEntry, EvidenceRecord, KEY_BYTES_MAX, PreferenceSample, QuarantineEntry,
    RECORD_KEY_BYTES_MAX, RagSample, Record, RecordKey, RunSummary, SCHEMAS, ScoredRun, SftSample,
    StageReceipt, TrainableCategory, Violation, duplicate_key, parse_time_number, parse_time_text,
    preference_key, quarantine_key, schema_json, source_key, validate_bytes,
};
use proptest::prelude::*;
use serde_json::Value;

/// What `expect.json` says of one bad file.
#[derive(serde::Deserialize)]
struct Expected {
    field: String,
    json_schema: bool,
}

fn folder(schema: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/records").join(schema)
}

/// Name and bytes of every file in a folder, in order.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("a listable folder");
            let name = entry.file_name().into_string().expect("a plain file name");
            (name, std::fs::read(entry.path()).expect("a readable fixture"))
        })
        .collect();
    files.sort();
    files
}

fn expectations(schema: &str) -> BTreeMap<String, Expected> {
    let bytes = std::fs::read(folder(schema).join("expect.json")).expect("each schema has its expect.json");
    serde_json::from_slice(&bytes).expect("expect.json maps files to expectations")
}

fn json_schema(name: &str) -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema_json(name).expect("a registered schema"))
        .expect("a valid JSON Schema")
}

/// Reads a record of the schema `name` and writes it again.
fn round_trip(name: &str, bytes: &[u8]) -> Vec<u8> {
    fn through<R: Record>(bytes: &[u8]) -> Vec<u8> {
        R::parse(bytes).expect("a good fixture").to_object_bytes().expect("writable")
    }
    match name {
        "evidence_record" => through::<EvidenceRecord>(bytes),
        "scored_run" => through::<ScoredRun>(bytes),
        "rag_sample" => through::<RagSample>(bytes),
        "sft_sample" => through::<SftSample>(bytes),
        "preference_sample" => through::<PreferenceSample>(bytes),
        "quarantine_entry" => through::<QuarantineEntry>(bytes),
        "duplicate_entry" => through::<DuplicateEntry>(bytes),
        "stage_receipt" => through::<StageReceipt>(bytes),
        "run_summary" => through::<RunSummary>(bytes),
        "drift_report" => through::<DriftReport>(bytes),
        _ => panic!("no type for schema `{name}`"),
    }
}

fn names(violations: &[Violation]) -> Vec<&str> {
    violations.iter().map(|violation| violation.field.as_str()).collect()
}

#[test]
fn ten_schemas_have_fixtures() {
    assert!(SCHEMAS.len() >= 10);
    let mut known: Vec<_> = SCHEMAS.iter().map(|info| info.name.to_owned()).collect();
    known.sort();
    let root = folder("");
    let mut folders: Vec<_> = std::fs::read_dir(root)
        .expect("the fixtures are there")
        .map(|entry| entry.expect("listable").file_name().into_string().expect("a plain name"))
        .collect();
    folders.sort();
    assert_eq!(folders, known, "one folder of fixtures for each schema");
    for name in &known {
        assert!(files(&folder(name).join("ok")).len() >= 2, "{name}: at least two good records");
        assert!(files(&folder(name).join("bad")).len() >= 4, "{name}: at least four bad ones");
    }
}

#[test]
fn good_records_pass_both_validators_and_round_trip() {
    for info in SCHEMAS {
        let schema = json_schema(info.name);
        for (file, bytes) in files(&folder(info.name).join("ok")) {
            let place = format!("{}/ok/{file}", info.name);
            assert_eq!(validate_bytes(info.name, &bytes), Ok(()), "{place}");
            let value: Value = serde_json::from_slice(&bytes).expect("JSON");
            let errors: Vec<_> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{place}: {errors:?}");
            let mut canonical = Vec::new();
            canonicalize(&bytes, &mut canonical).expect("canonicalisable");
            let written = round_trip(info.name, &bytes);
            assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&canonical), "{place}");
            assert_eq!(round_trip(info.name, &written), written, "{place}");
        }
    }
}

#[test]
fn bad_records_are_refused_by_the_field_that_is_wrong() {
    for info in SCHEMAS {
        let schema = json_schema(info.name);
        let mut expected = expectations(info.name);
        for (file, bytes) in files(&folder(info.name).join("bad")) {
            let place = format!("{}/bad/{file}", info.name);
            let Expected { field, json_schema } =
                expected.remove(&file).unwrap_or_else(|| panic!("{place} in expect.json"));
            let violations = validate_bytes(info.name, &bytes).expect_err(&place);
            assert!(names(&violations).contains(&field.as_str()), "{place}: `{field}` not in {violations:?}");
            assert!(violations.iter().all(|violation| !violation.why.is_empty()), "{place}: says why");
            let value: Value = serde_json::from_slice(&bytes).expect("JSON");
            assert_eq!(!schema.is_valid(&value), json_schema, "{place}: refused by the JSON Schema");
        }
        assert!(expected.is_empty(), "{}: no file for {:?}", info.name, expected.keys());
    }
}

#[test]
fn every_field_of_every_good_record_is_required_and_no_other_is_allowed() {
    for info in SCHEMAS {
        let schema = json_schema(info.name);
        for (file, bytes) in files(&folder(info.name).join("ok")) {
            let value: Value = serde_json::from_slice(&bytes).expect("JSON");
            let members = value.as_object().expect("an object");
            for name in members.keys() {
                let mut without = members.clone();
                without.remove(name);
                let without = Value::Object(without);
                let violations = validate_bytes(info.name, without.to_string().as_bytes()).expect_err(name);
                assert_eq!(names(&violations), [name.as_str()], "{}/{file}", info.name);
                assert!(!schema.is_valid(&without), "{}/{file} without {name}", info.name);
            }
            let mut more = members.clone();
            more.insert("zzz".to_owned(), Value::Null);
            let more = Value::Object(more);
            let violations = validate_bytes(info.name, more.to_string().as_bytes()).expect_err("zzz");
            assert_eq!(names(&violations), ["zzz"], "{}/{file}", info.name);
            assert!(!schema.is_valid(&more), "{}/{file} with zzz", info.name);
        }
    }
}

#[test]
fn published_schemas_are_strict_and_documented() {
    for info in SCHEMAS {
        let schema = info.json_schema();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{}", info.name);
        assert_eq!(schema["title"], info.schema);
        assert_eq!(schema["properties"]["schema"]["const"], info.schema);
        assert!(jsonschema::meta::is_valid(&schema), "{}", info.name);
        let definitions =
            schema["$defs"].as_object().into_iter().flatten().map(|(name, def)| (name.as_str(), def));
        for (name, definition) in std::iter::once((info.name, &schema)).chain(definitions) {
            assert!(definition["description"].is_string(), "{}: {name} has no description", info.name);
            let Some(properties) = definition["properties"].as_object() else { continue };
            assert_eq!(definition["additionalProperties"], false, "{}: {name}", info.name);
            // A receipt without coverage and exchanges is, byte for byte, what receipts were before they had any.
            let left_out = if name == "stage_receipt" { 2 } else { 0 };
            let required = definition["required"].as_array().map(Vec::len);
            assert_eq!(required, Some(properties.len() - left_out), "{name}");
            for (field, property) in properties {
                assert!(
                    property["description"].is_string(),
                    "{}: {name}.{field} has no description",
                    info.name
                );
            }
        }
    }
}

#[test]
fn the_firewall_holds_where_records_are_read() {
    let (_, bytes) = files(&folder("sft_sample").join("ok")).remove(0);
    let sample = SftSample::parse(&bytes).expect("a good fixture");
    assert_eq!(sample.quality_score, TrainableCategory::Accepted);
    let text = String::from_utf8(bytes).expect("UTF-8");
    for forbidden in ["rejected", "needs_human_review", "REJECTED", " accepted", ""] {
        let edited =
            text.replace("\"quality_score\": \"accepted\"", &format!("\"quality_score\": \"{forbidden}\""));
        assert_ne!(edited, text, "the edit took");
        let error = SftSample::parse(edited.as_bytes()).expect_err(forbidden);
        assert!(error.to_string().contains("quality_score"), "{error}");
    }
}

#[test]
fn what_is_no_json_is_a_violation_of_the_whole_record() {
    for (bytes, why) in [
        (&b""[..], "json_empty"),
        (b"{\"schema\":1,\"schema\":1}", "json_duplicate_key"),
        (b"{", "json_syntax"),
        (b"\xff", "json_invalid_utf8"),
    ] {
        let violations = validate_bytes("rag_sample", bytes).expect_err(why);
        assert_eq!(names(&violations), [""], "{why}");
        assert!(violations[0].why.contains(why), "{violations:?}");
    }
}

#[test]
fn numbers_that_json_cannot_hold_are_violations() {
    let (_, bytes) = files(&folder("rag_sample").join("ok")).remove(0);
    let mut sample = RagSample::parse(&bytes).expect("a good fixture");
    for score in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        sample.success_score = score;
        assert_eq!(names(&sample.validate()), ["success_score"]);
    }
}

const SIG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn record_keys_by_example() {
    let long = "é".repeat(100);
    let table = [
        (Some("2026-01-02T23:30:00-02:00"), "a", 0, "2026/01/03/s/a"),
        (Some("yesterday"), "a", 0, "0000/00/00/s/a"),
        (None, "a", 2, "0000/00/00/s/a.2"),
        (None, "a b/c~d+e%f:g", 0, "0000/00/00/s/a%20b%2Fc%7Ed%2Be%25f%3Ag"),
        (None, "..", 0, "0000/00/00/s/%2E%2E"),
        (None, "v1.0_x-y", 0, "0000/00/00/s/v1.0_x-y"),
        (None, "ü\n", 0, "0000/00/00/s/%C3%BC%0A"),
    ];
    for (time, row, output, text) in table {
        assert_eq!(RecordKey::build(time, "s", row, output).expect(row).as_str(), text);
    }
    let cut = RecordKey::build(None, "s", &long, 0).expect("cut");
    let encoded = "%C3%A9".repeat(100);
    let digits = &blake3::hash(encoded.as_bytes()).to_hex()[..16];
    assert!(cut.row().ends_with(&format!("~{digits}")), "{cut}");
    assert!(encoded.starts_with(cut.row().split('~').next().expect("a part before the cut")), "{cut}");
    let conflict = cut.in_conflict(SIG).expect("room is kept for it");
    assert_eq!(conflict.as_str(), format!("{cut}~01234567"));
    assert_eq!(
        preference_key(conflict.as_str(), SIG).expect("room is kept for it"),
        format!("{conflict}+0123456789abcdef")
    );
}

#[test]
fn other_keys_by_example() {
    assert_eq!(source_key("data/a b.jsonl", 7).as_deref(), Ok("data/a%20b.jsonl/0000000007"));
    assert_eq!(source_key("./data//x", 0).as_deref(), Ok("data/x/0000000000"));
    assert_eq!(source_key("../x", u64::MAX).as_deref(), Ok("%2E%2E/x/18446744073709551615"));
    assert_eq!(quarantine_key("score", "bad", "k/1").as_deref(), Ok("score/bad/k/1"));
    assert_eq!(duplicate_key("score", "k/1").as_deref(), Ok("score/k/1"));
    let long = "x/".repeat(300) + "x";
    assert_eq!(quarantine_key("score", "bad", &long).expect("cut").len(), KEY_BYTES_MAX);
    for refused in [
        source_key("/", 0),
        quarantine_key("Score", "bad", "k"),
        quarantine_key("score", "", "k"),
        duplicate_key("score", ""),
        duplicate_key("score", "a b"),
        duplicate_key("score", "a/../b"),
        preference_key("k", SIG),
        preference_key("0000/00/00/s/k", "0123"),
        RecordKey::build(None, "s", "", 0).map(String::from),
        RecordKey::build(None, "S", "k", 0).map(String::from),
        RecordKey::build(None, &"s".repeat(65), "k", 0).map(String::from),
    ] {
        refused.expect_err("not a key");
    }
}

#[test]
fn texts_that_are_no_record_keys() {
    let long = format!("0000/00/00/s/{}", "k".repeat(RECORD_KEY_BYTES_MAX));
    for text in [
        "",
        "k",
        "2026/01/02",
        "2026/01/02/s",
        "2026/01/02/s/",
        "2026/13/02/s/k",
        "2026-01-02/s/k",
        "1969/01/01/s/k",
        "0000/00/01/s/k",
        "2026/01/02/S/k",
        "2026/01/02//k",
        "2026/01/02/s/k/l",
        "2026/01/02/s/..",
        "2026/01/02/s/%zz",
        "2026/01/02/s/%2e",
        "2026/01/02/s/%2",
        "2026/01/02/s/a+b",
        "2026/01/02/s/a b",
        "éééééé/s/k",
        &long,
    ] {
        let error = RecordKey::parse(text).expect_err(text);
        assert!(error.to_string().contains("is not a record key"), "{error}");
    }
}

proptest! {
    #[test]
    fn any_row_makes_a_safe_key(
        row in ".{1,300}", stream in "[a-z0-9_-]{1,64}", time in proptest::option::of(".{0,30}"), output in any::<u64>(),
    ) {
        let key = RecordKey::build(time.as_deref(), &stream, &row, output).expect("any row has a key");
        prop_assert!(key.as_str().len() <= RECORD_KEY_BYTES_MAX - 9);
        prop_assert_eq!(RecordKey::parse(key.as_str()), Ok(key.clone()));
        prop_assert_eq!(key.stream(), stream);
        let conflict = key.in_conflict(SIG).expect("room is kept for it");
        prop_assert_eq!(RecordKey::parse(conflict.as_str()), Ok(conflict.clone()));
        let pair = preference_key(conflict.as_str(), SIG).expect("room is kept for it");
        prop_assert!(pair.len() <= KEY_BYTES_MAX);
        prop_assert!(pair.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.%/~+".contains(&b)), "{}", pair);
        let refused = quarantine_key("evidence", "reason", &pair).expect("nests");
        prop_assert!(refused.len() <= KEY_BYTES_MAX);
    }

    #[test]
    fn different_rows_have_different_keys(a in ".{1,200}", b in ".{1,200}") {
        prop_assume!(a != b);
        prop_assert_ne!(RecordKey::build(None, "s", &a, 0), RecordKey::build(None, "s", &b, 0));
    }

    #[test]
    fn short_rows_decode_from_their_keys(row in ".{1,20}") {
        let key = RecordKey::build(None, "s", &row, 0).expect("any row has a key");
        let decoded = percent_encoding::percent_decode_str(key.row()).decode_utf8().expect("UTF-8");
        prop_assert_eq!(decoded, row);
    }

    #[test]
    fn any_path_makes_a_source_key(path in ".{0,300}", number in any::<u64>()) {
        if let Ok(key) = source_key(&path, number) {
            prop_assert!(key.len() <= KEY_BYTES_MAX, "{}", key);
            let ending = format!("/{number:010}");
            prop_assert!(key.ends_with(&ending), "{}", key);
            prop_assert!(!key.split('/').any(|segment| matches!(segment, "" | "." | "..")), "{}", key);
        }
    }

    #[test]
    fn any_text_is_a_key_or_a_refusal(text in ".{0,250}") {
        if let Ok(key) = RecordKey::parse(&text) {
            prop_assert_eq!(key.as_str(), text);
        }
    }

    #[test]
    fn any_text_is_a_time_or_none(text in "[0-9TtZz: .+-]{0,40}|.{0,40}") {
        for time in [parse_time_text(&text), parse_time_number(&text)].into_iter().flatten() {
            prop_assert_eq!(parse_time_text(&time.text), Some(time.clone()));
        }
    }

    #[test]
    fn canonical_time_does_not_depend_on_spelling(ms in 0..253_402_300_800_000_i64, east in -1439..1440_i32) {
        let instant = chrono::DateTime::from_timestamp_millis(ms).expect("in range");
        let zone = chrono::FixedOffset::east_opt(east * 60).expect("less than a day");
        let utc = parse_time_text(&instant.to_rfc3339()).expect("RFC 3339");
        prop_assert_eq!(utc.instant, instant);
        let local = instant.with_timezone(&zone);
        if (0..=9999).contains(&chrono::Datelike::year(&local)) {
            prop_assert_eq!(parse_time_text(&local.to_rfc3339()), Some(utc.clone()));
        }
        if (100_000_000_000..100_000_000_000_000).contains(&ms) {
            prop_assert_eq!(parse_time_number(&ms.to_string()), Some(utc.clone()));
        }
        let naive = utc.text.trim_end_matches('Z').replace('T', " ");
        prop_assert_eq!(parse_time_text(&naive), Some(utc));
    }

    #[test]
    fn damaged_records_never_panic(at in 0..4000_usize, byte in any::<u8>()) {
        for info in SCHEMAS {
            let (_, mut bytes) = files(&folder(info.name).join("ok")).remove(0);
            let at = at % bytes.len();
            bytes[at] = byte;
            // Either answer is fine: what counts is that there is one, and that a refusal says why.
            if let Err(violations) = validate_bytes(info.name, &bytes) {
                prop_assert!(!violations.is_empty());
            }
        }
    }
}
