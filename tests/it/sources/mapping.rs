//! From a row to its fate.

use std::collections::BTreeMap;

use distill::object::ObjectId;
use distill::pipeline::source::{
    Coverage, LookupRow, Lookups, OUTPUTS_MAX, Outcome, Spec, Unit, UnitFlags, UnitInput, UnitReader,
};
use distill::record::PassFail;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::{adapter, drafts, map_all, map_row, refusal, spec};

/// A spec that fills one field.
fn field(name: &str, code: &str) -> Spec {
    spec(&format!("[fields]\n{name} = '''{code}'''"))
}

#[test]
fn a_row_becomes_a_record_with_its_provenance() {
    let spec = spec(
        "[record]\nkey = \".id\"\ntime = \".ts\"\n[fields]\nrun_id = \".run\"\nresponse = \".answer // .output\"\n",
    );
    let row = r#"{"id": "a/b", "ts": "2026-01-02T23:30:00-01:00", "run": 7, "output": "o"}"#;
    let fates = map_all(&spec, "data/s.jsonl", format!("{row}\n").as_bytes(), &Lookups::default());
    let mapped = &fates[0].1;
    let canonical = r#"{"id":"a/b","output":"o","run":7,"ts":"2026-01-02T23:30:00-01:00"}"#;
    assert_eq!(mapped.sig_hash, Some(Sha256::digest(canonical).into()));
    assert_eq!(mapped.raw_id, ObjectId::of(row.as_bytes()));
    let Outcome::Records(drafts) = &mapped.outcome else { panic!("{mapped:?}") };
    let draft = &drafts[0];
    assert_eq!((draft.output, draft.date.as_str(), draft.row_key.as_str()), (0, "2026/01/03", "a/b"));
    assert_eq!(draft.record.key, "2026/01/03/s/a%2Fb");
    assert_eq!(draft.record.run_id.as_deref(), Some("7"), "a number where text is wanted is its digits");
    assert_eq!(draft.record.response.as_deref(), Some("o"));
    let provenance = &draft.record.provenance;
    assert_eq!(provenance.source_file, "data/s.jsonl");
    assert_eq!(provenance.sig_hash, mapped.sig_hash.map(hex::encode));
    assert_eq!(provenance.recorded_at.as_deref(), Some("2026-01-03T00:30:00Z"));
    assert_eq!((provenance.raw_id, provenance.line_offset), (mapped.raw_id, 0));
    assert_eq!(draft.record.usage.prompt_tokens, None, "absent is never 0");
}

#[test]
fn without_key_and_time_the_hash_names_the_record() {
    let spec = field("run_id", ".r");
    let draft = &drafts(&spec, r#"{"r":"x"}"#)[0];
    let digits = hex::encode(Sha256::digest(r#"{"r":"x"}"#));
    assert_eq!(draft.row_key, digits[..16]);
    assert_eq!((draft.date.as_str(), draft.record.recorded_at.as_deref()), ("0000/00/00", None));
    let timed = super::spec("[record]\ntime = \".t\"\n[fields]\nrun_id = \".r\"");
    for (time, recorded_at) in [
        ("1767323045", Some("2026-01-02T03:04:05Z")),
        ("1767323045000", Some("2026-01-02T03:04:05Z")),
        ("\"2026-01-02 03:04:05\"", Some("2026-01-02T03:04:05Z")),
        ("\"yesterday\"", None),
        ("null", None),
        ("true", None),
        ("[1]", None),
    ] {
        let draft = &drafts(&timed, &format!("{{\"r\":1,\"t\":{time}}}"))[0];
        assert_eq!(draft.record.recorded_at.as_deref(), recorded_at, "{time}");
    }
}

#[test]
fn every_refusal_has_its_reason() {
    let plain = field("run_id", ".r");
    let cases: &[(&Spec, &str, &str, &str)] = &[
        (&plain, r#"{"r":}"#, "json_syntax", "json_syntax at byte 5"),
        (&plain, r#"{"r":1,"r":2}"#, "json_duplicate_key", "json_duplicate_key at byte 7"),
        (&plain, r#"{"r":"\ud800"}"#, "json_lone_surrogate", ""),
        (&plain, r#"{"r":1e999}"#, "json_number_overflow", ""),
        (&plain, r"{} {}", "json_trailing_bytes", ""),
        (&plain, "[1]", "not_an_object", "the line is an array"),
        (&plain, "null", "not_an_object", "the line is null"),
        (&plain, r#"{"r":true}"#, "field_type", "run_id: expected a string, found true"),
        (&plain, r#"{"r":["x"]}"#, "field_type", "run_id: expected a string, found an array"),
        (
            &field("run_id", ".r.s"),
            r#"{"r":"x"}"#,
            "jq_error",
            "run_id: cannot take member \"s\" of a string",
        ),
        (&field("run_id", ".r + 1"), r#"{"r":"x"}"#, "jq_error", "run_id: cannot calculate \"x\" + 1"),
        (
            &field("run_id", ".r[]"),
            r#"{"r":[1,2]}"#,
            "jq_error",
            "run_id: the expression gives more than one value; wrap it in [ ] or first( )",
        ),
        (&field("run_id", "error(\"why\")"), "{}", "jq_error", "run_id: why"),
        (
            &spec("[record]\nkey = \".k\"\n[fields]\n"),
            "{}",
            "bad_key",
            "key must be a string or a number, found null",
        ),
        (&spec("[record]\nkey = \".k\"\n[fields]\n"), r#"{"k":" "}"#, "bad_key", "key is an empty string"),
        (
            &spec("[record]\nkey = \".k?\"\n[fields]\n"),
            r#"{"k":{}}"#,
            "bad_key",
            "key must be a string or a number, found an object",
        ),
        (
            &spec("[record]\nskip = [{ rule = \"r\", when = \".a.b\" }]\n[fields]\n"),
            r#"{"a":1}"#,
            "jq_error",
            "skip r: cannot take member \"b\" of a number",
        ),
        (
            &spec("[record]\nemit = \".a[]\"\n[fields]\n"),
            r#"{"a":1}"#,
            "jq_error",
            "emit: cannot iterate over a number",
        ),
        (
            &spec("[record]\nemit = \".a[]\"\n[fields]\nrun_id = \".\""),
            r#"{"a":["x",{}]}"#,
            "field_type",
            "output 1: run_id: expected a string, found an object",
        ),
        (&spec("[record]\nemit = \"range(10001)\"\n[fields]\n"), "{}", "too_many_outputs", ""),
        (
            &spec("path = \"runs/{m}.jsonl\"\n[fields]\n"),
            "{}",
            "path_mismatch",
            "data/s.jsonl does not have the form of the spec's path",
        ),
        (
            &field("usage.prompt_tokens", ".n"),
            r#"{"n":-1}"#,
            "field_type",
            "usage.prompt_tokens: expected a whole number, not negative, found the number -1",
        ),
        (&field("usage.prompt_tokens", ".n"), r#"{"n":1.5}"#, "field_type", ""),
        (&field("usage.prompt_tokens", ".n"), r#"{"n":"12x"}"#, "field_type", ""),
        (&field("usage.prompt_tokens", ".n"), r#"{"n":""}"#, "field_type", ""),
        (&field("usage.prompt_tokens", ".n"), r#"{"n":18446744073709551616}"#, "field_type", ""),
        (&field("usage.cost_usd", ".n"), r#"{"n":-0.5}"#, "field_type", ""),
        (&field("usage.cost_usd", ".n"), r#"{"n":"inf"}"#, "field_type", ""),
        (
            &field("validation.x", ".n"),
            r#"{"n":1}"#,
            "field_type",
            "validation.x: expected true, false, \"pass\", \"fail\" or null, found the number 1",
        ),
        (&field("validation.x", ".n"), r#"{"n":"ok"}"#, "field_type", ""),
        (&field("tags", ".n"), r#"{"n":{"a":1}}"#, "field_type", ""),
        (&field("tags", ".n"), r#"{"n":["a",true]}"#, "field_type", "tags[1]: expected a string, found true"),
        (
            &field("messages", ".n"),
            r#"{"n":"hi"}"#,
            "field_type",
            "messages: expected an array of messages, found the string \"hi\"",
        ),
        (
            &field("messages", ".n"),
            r#"{"n":[{"role":"user"},{"content":"x"}]}"#,
            "field_type",
            "messages[1].role: expected a role, found null",
        ),
        (&field("messages", ".n"), r#"{"n":[{"role":"user","content":5}]}"#, "field_type", ""),
        (
            &field("messages", ".n"),
            r#"{"n":[{"role":"a","tool_calls":[{"function":{}}]}]}"#,
            "field_type",
            "messages[0].tool_calls[0].name: expected a name, found null",
        ),
        (
            &field("messages", ".n"),
            r#"{"n":[{"role":"a","tool_calls":[{"name":"f","arguments":[]}]}]}"#,
            "field_type",
            "",
        ),
        (&field("retrieved_context", ".n"), r#"{"n":[3]}"#, "field_type", ""),
        (&field("synthetic_depth", ".n"), r#"{"n":"deep"}"#, "field_type", ""),
    ];
    for (spec, row, reason, detail) in cases {
        let (said, why) = refusal(spec, row);
        assert_eq!(said, *reason, "{row}: {why}");
        assert!(detail.is_empty() || why == *detail, "{row}\n  said     {why}\n  expected {detail}");
    }
    let spec = spec(
        "[fields]\nobserver.verdict = \".v\"\nobserver.confidence = \".c\"\ncomparison.group = \".g\"\ncomparison.rank = \".k\"",
    );
    let (reason, why) = refusal(&spec, r#"{"v":"good","c":1.5,"g":"x","k":0}"#);
    assert_eq!(reason, "invalid_evidence");
    assert!(
        why.contains("observer.confidence") && why.contains("comparison.rank"),
        "every failure is named: {why}"
    );
}

#[test]
fn what_is_skipped_names_its_rule() {
    let spec = spec(
        "[record]\nemit = \".items[]?\"\nskip = [{ rule = \"a\", when = \".a\" }, { rule = \"b\", when = \".b == 1\" }]\n[fields]\n",
    );
    let rule = |row: &str| match map_row(&spec, row) {
        Outcome::Skipped { rule } => rule,
        other => panic!("{row}: {other:?}"),
    };
    assert_eq!(rule(r#"{"a":true,"b":1}"#), "a", "the first rule that holds");
    assert_eq!(rule(r#"{"a":false,"b":1}"#), "b");
    assert_eq!(rule(r#"{"items":[]}"#), "emit_empty");
    assert_eq!(rule(" \t"), "blank_line");
    assert_eq!(drafts(&spec, r#"{"a":null,"items":[1,2]}"#).len(), 2);
}

#[test]
fn one_unit_may_be_several_records_or_none_at_all() {
    let spec = spec(
        "[record]\nkey = \"$unit.id\"\nemit = \".runs[]\"\n[fields]\nrun_id = \".r\"\ntask_id = \"$unit.id\"",
    );
    let several = drafts(&spec, r#"{"id":"t","runs":[{"r":"a"},{"r":"b"}]}"#);
    let keys: Vec<_> = several.iter().map(|d| (d.output, d.record.key.as_str())).collect();
    assert_eq!(keys, [(0, "0000/00/00/s/t"), (1, "0000/00/00/s/t.1")]);
    assert!(several.iter().all(|d| d.record.task_id.as_deref() == Some("t")));
    let (reason, detail) = refusal(&spec, r#"{"id":"t","runs":[{"r":"a"},{"r":{}}]}"#);
    assert_eq!(reason, "field_type", "one bad output refuses the unit: {detail}");
    let many = super::spec(&format!("[record]\nemit = \"range({OUTPUTS_MAX})\"\n[fields]\n"));
    assert_eq!(drafts(&many, "{}").len(), OUTPUTS_MAX);
}

#[test]
fn conversations_keep_their_tool_calls() {
    let spec = field("messages", ".m");
    let row = r#"{"m":[
        {"role":"system","content":"s"},
        {"role":"user","content":[{"type":"text","text":"a"},"b",{"type":"image_url","image_url":{"url":"u"}}],"name":"n"},
        {"role":"assistant","content":null,"tool_calls":[
            {"id":"1","type":"function","function":{"name":"f","arguments":"{\"b\": 1.0, \"a\":2}"}},
            {"id":"2","name":"g","arguments":{"z":[1],"y":12345678901234567890}},
            {"name":"h","arguments":"not json"},
            {"name":"i","arguments":"[1]"},
            {"name":"j"}]},
        {"role":"tool","tool_call_id":"1","content":""},
        {"role":"assistant","content":[]}]}"#
        .replace('\n', " ");
    let record = drafts(&spec, &row).remove(0).record;
    assert_eq!(record.messages.len(), 5);
    assert_eq!(
        record.messages[1].content.as_deref(),
        Some("a\nb\n{\"image_url\":{\"url\":\"u\"},\"type\":\"image_url\"}")
    );
    assert_eq!(record.messages[1].name.as_deref(), Some("n"));
    assert_eq!(
        (record.messages[2].content.as_deref(), record.messages[3].content.as_deref()),
        (None, Some(""))
    );
    assert_eq!(record.messages[4].content, None);
    assert_eq!(record.messages[3].tool_call_id.as_deref(), Some("1"));
    let calls: Vec<_> = record.messages[2]
        .tool_calls
        .iter()
        .map(|c| {
            (
                c.id.as_deref(),
                c.name.as_str(),
                c.arguments.as_str(),
                c.arguments_object.as_ref().map(distill::base::json::RawJson::as_str),
            )
        })
        .collect();
    assert_eq!(
        calls,
        [
            (Some("1"), "f", "{\"b\": 1.0, \"a\":2}", Some("{\"a\":2,\"b\":1}")),
            (
                Some("2"),
                "g",
                "{\"y\":12345678901234567890,\"z\":[1]}",
                Some("{\"y\":12345678901234567890,\"z\":[1]}")
            ),
            (None, "h", "not json", None),
            (None, "i", "[1]", None),
            (None, "j", "", None),
        ]
    );
}

#[test]
fn fields_take_what_sources_write() {
    let spec = spec(
        "[fields]\nsuccess_markers = \".s\"\nfailure_markers = \".f\"\nretrieved_context = \".c\"\n\
         validation.a = \".a\"\nvalidation.b = \".b\"\nvalidation.c = \".none\"\nvalidation.outcome = \".o\"\n\
         usage.prompt_tokens = \".p\"\nusage.latency_ms = \".l\"\nobserver.verdict = \".none\"\nobserver.by = '\"judge\"'\n\
         human.verdict = \".h\"\nhuman.by = '\"ann\"'\ncomparison.rank = \"1\"\nsynthetic_depth = \".none\"\ntask_id = \".empty\"\nresponse = \".empty\"",
    );
    let row = r#"{"s":"done","f":["x","",null,3],"c":["t",{"id":1,"text":"u","score":"0.5"},{"content":"v","score":1}],
        "a":true,"b":"FAILED","o":"passed","p":"12","l":1.5e1,"h":"ok","empty":""}"#
        .replace('\n', " ");
    let record = drafts(&spec, &row).remove(0).record;
    assert_eq!(
        (record.success_markers, record.failure_markers),
        (vec!["done".to_owned()], vec!["x".to_owned(), "3".to_owned()])
    );
    let context: Vec<_> =
        record.retrieved_context.iter().map(|c| (c.id.as_deref(), c.content.as_deref(), c.score)).collect();
    assert_eq!(
        context,
        [(None, Some("t"), None), (Some("1"), Some("u"), Some(0.5)), (None, Some("v"), Some(1.0))]
    );
    let checks = [("a", PassFail::Pass), ("b", PassFail::Fail), ("outcome", PassFail::Pass)];
    assert_eq!(record.validation_results, checks.map(|(name, result)| (name.to_owned(), result)).into());
    assert_eq!((record.usage.prompt_tokens, record.usage.latency_ms), (Some(12), Some(15.0)));
    assert_eq!(record.observer, None, "who observed without a verdict said nothing");
    assert_eq!(record.human_override.expect("a verdict").by.as_deref(), Some("ann"));
    assert_eq!(record.comparison, None, "a rank without a group compares nothing");
    assert_eq!((record.synthetic_depth, record.task_id, record.response.as_deref()), (0, None, Some("")));
}

#[test]
fn the_path_and_the_key_are_seen() {
    let text = "stream = \"s\"\nfiles = [\"*/*.json\"]\nunit = \"value\"\nat = \".runs\"\npath = \"{judge}/{model}-{domain}.json\"\n\
                [record]\nkey = \"$key\"\n[fields]\nmodel.name = \"$path.model\"\ntags = '[$path.domain, $path.judge, $path.file]'\n\
                task_id = \"$key\"\nrun_id = '$sig_hash[:8]'";
    let spec = Spec::parse("s", text).unwrap_or_else(|e| panic!("{e}"));
    let fates =
        map_all(&spec, "j/gpt-4o-air.json", br#"{"runs":{"one":{"a":1},"two":[2]}}"#, &Lookups::default());
    let Outcome::Records(drafts) = &fates[0].1.outcome else { panic!("{:?}", fates[0].1) };
    let record = &drafts[0].record;
    assert_eq!(record.model.name.as_deref(), Some("gpt-4o"));
    assert_eq!(record.tags, ["air", "j", "j/gpt-4o-air.json"]);
    assert_eq!((record.task_id.as_deref(), record.key.as_str()), (Some("one"), "0000/00/00/s/one"));
    assert_eq!(record.run_id, record.provenance.sig_hash.as_ref().map(|h| h[..8].to_owned()));
    assert!(matches!(&fates[1].1.outcome, Outcome::Quarantined { reason: "not_an_object", .. }));
}

#[test]
fn lookups_join_rows_and_are_named() {
    let spec = spec(
        "[lookup.tasks]\nfiles = [\"tasks.jsonl\"]\nkey = \".id\"\non = \".task\"\n\
         [lookup.unused]\nfiles = [\"other.jsonl\"]\nkey = \".id\"\non = \".nonsense.deep\"\n\
         [fields]\ninstruction = \"$tasks.text // .task\"\ncontext = '$tasks | if . then \"n\\(.n)\" else null end'",
    );
    let mut adapter = adapter(&spec);
    let mut lookups = Lookups::default();
    let none = Lookups::default();
    let rows = [
        "{\"id\": 1, \"text\":\"one\", \"n\": 1}",
        "{\"id\":\"1\",\"text\":\"again\"}",
        "{\"id\":2,\"text\":\"two\"}",
    ];
    let mut taken = Vec::new();
    for (n, row) in (0_u64..).zip(rows) {
        let unit = Unit {
            number: n,
            offset: 0,
            bytes: row.as_bytes().to_vec(),
            terminated: true,
            key: None,
            flags: UnitFlags::default(),
        };
        match adapter.lookup_row("tasks", &UnitInput::new("tasks.jsonl", &unit, &none)) {
            LookupRow::Row { key, raw_id, canonical } => {
                assert_eq!(raw_id, ObjectId::of(row.as_bytes()));
                taken.push(lookups.table("tasks").insert(key, canonical, raw_id));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(taken, [true, false, true], "the first row of a key stays");
    let fates = map_all(&spec, "data/s.jsonl", b"{\"task\":\"1\"}\n{\"task\":3}\n{}\n", &lookups);
    let records: Vec<_> = fates
        .iter()
        .map(|(_, mapped)| match &mapped.outcome {
            Outcome::Records(drafts) => drafts[0].record.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(records[0].instruction.as_deref(), Some("one"));
    assert_eq!(records[0].context.as_deref(), Some("n1"));
    assert_eq!(records[0].provenance.lookup_ids, [ObjectId::of(rows[0].as_bytes())]);
    assert_eq!((records[1].instruction.as_deref(), records[1].context.as_deref()), (Some("3"), None));
    assert!(records[1].provenance.lookup_ids.is_empty() && records[2].provenance.lookup_ids.is_empty());

    let bad = |row: &str| {
        let unit = Unit {
            number: 0,
            offset: 0,
            bytes: row.as_bytes().to_vec(),
            terminated: true,
            key: None,
            flags: UnitFlags::default(),
        };
        super::adapter(&spec).lookup_row("tasks", &UnitInput::new("tasks.jsonl", &unit, &none))
    };
    for (row, reason) in [("{", "json_syntax"), ("{}", "bad_key"), ("[]", "not_an_object")] {
        assert!(matches!(bad(row), LookupRow::Quarantined { reason: said, .. } if said == reason), "{row}");
    }
    assert!(matches!(bad(" "), LookupRow::Skipped { rule } if rule == "blank_line"));
}

#[test]
fn odd_units_are_quarantined_with_their_bytes() {
    let lines = spec("[fields]\nrun_id = \".r\"");
    let fates = map_all(&lines, "data/s.jsonl", b"{\"r\":1}\r\n{\"r\":2}", &Lookups::default());
    assert!(
        fates.iter().all(|(_, m)| matches!(m.outcome, Outcome::Records(_))),
        "an unterminated row that parses is a row"
    );
    let fates = map_all(&lines, "data/s.jsonl", b"{\"r\":1}\n{\"r\":", &Lookups::default());
    assert!(matches!(fates[1].1.outcome, Outcome::Quarantined { reason: "unterminated", .. }));
    assert_eq!(fates[1].1.raw_id, ObjectId::of(b"{\"r\":"));

    let text = "stream = \"s\"\nfiles = [\"a.json\"]\nunit = \"element\"\n[fields]\nrun_id = \".r\"";
    let elements = Spec::parse("s", text).unwrap_or_else(|e| panic!("{e}"));
    let fates = map_all(&elements, "a.json", b"[{\"r\":1},{\"r\":", &Lookups::default());
    assert!(matches!(fates[0].1.outcome, Outcome::Records(_)));
    assert!(matches!(fates[1].1.outcome, Outcome::Quarantined { reason: "broken_container", .. }));

    let mut input = &b"{\"r\":12345}\n"[..];
    let mut reader = UnitReader::new(&mut input, lines.unit(), None).with_sizes(5, 100);
    let unit = reader.next_unit().expect("memory").expect("a line");
    let mapped = adapter(&lines).map(&UnitInput::new("data/s.jsonl", &unit, &Lookups::default()));
    assert!(matches!(mapped.outcome, Outcome::Quarantined { reason: "unit_too_large", .. }));
    assert_eq!(mapped.raw_id, ObjectId::of(b"{\"r\":12345}"));
}

#[test]
fn coverage_is_the_same_however_the_work_is_shared() {
    let spec = spec(
        "[record]\nskip = [{ rule = \"beat\", when = \".kind == \\\"beat\\\"\" }]\n\
         [fields]\nresponse = \".out.text\"\nobserver.verdict = \".v\"\nvalidation.lint = \".lint\"\ncontext = '.meta | .who + \"!\"'",
    );
    let rows = [
        r#"{"kind":"beat"}"#,
        r#"{"out":{"text":"a","cost":1},"v":"good","lint":true,"meta":{"who":"x"}}"#,
        r#"{"out":{"text":"b"},"v":"bad","extra":[{"deep":1}],"meta":{"who":"x","when":1}}"#,
        r#"{"out":"#,
        r#"{"out":{},"v":"good","meta":{"who":"y"}}"#,
    ];
    let count = |rows: &[&str]| {
        let mut coverage = Coverage::default();
        let mut adapter = adapter(&spec);
        for row in rows {
            let unit = Unit {
                number: 0,
                offset: 0,
                bytes: row.as_bytes().to_vec(),
                terminated: true,
                key: None,
                flags: UnitFlags::default(),
            };
            adapter.observe(&UnitInput::new("data/s.jsonl", &unit, &Lookups::default()), &mut coverage);
        }
        coverage
    };
    let whole = count(&rows).report();
    for split in 0..rows.len() {
        let mut second = count(&rows[split..]);
        second.merge(&count(&rows[..split]));
        assert_eq!(second.report(), whole, "split at {split}");
    }
    assert_eq!((whole.units, whole.records), (5, 3));
    assert_eq!(whole.fields["response"], 2);
    assert_eq!(whole.fields["validation.lint"], 1);
    assert_eq!(whole.skipped, BTreeMap::from([("beat".to_owned(), 1)]));
    assert_eq!(whole.quarantined, BTreeMap::from([("json_syntax".to_owned(), 1)]));
    assert_eq!(
        whole.verdicts["observer.verdict"].counts,
        BTreeMap::from([("bad".to_owned(), 1), ("good".to_owned(), 2)])
    );
    let unread: Vec<_> = whole.keys.iter().filter(|k| !k.read).map(|k| (k.key.as_str(), k.seen)).collect();
    assert_eq!(unread, [("extra", 1), ("extra[].deep", 1), ("out.cost", 1)], "of {:?}", whole.keys);
}

proptest! {
    #[test]
    fn any_bytes_have_a_fate(bytes in proptest::collection::vec(any::<u8>(), 0..60), terminated: bool) {
        let spec = spec("[record]\nkey = \".a\"\n[fields]\nresponse = \".b | tostring\"");
        let unit = Unit { number: 3, offset: 9, bytes, terminated, key: None, flags: UnitFlags::default() };
        let mapped = adapter(&spec).map(&UnitInput::new("data/s.jsonl", &unit, &Lookups::default()));
        prop_assert_eq!(mapped.raw_id, ObjectId::of(&unit.bytes));
        if let Outcome::Records(drafts) = &mapped.outcome {
            prop_assert!(!drafts.is_empty() && mapped.sig_hash.is_some());
        }
    }
}
