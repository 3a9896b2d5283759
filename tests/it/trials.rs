//! `sources` as a person writes a spec with it: list, show, add, test.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::cli::{Answer, Bench};

const SPEC: &str = r#"
stream = "chats"
files = ["logs/*.jsonl*"]

[record]
key = ".id"
skip = [{ rule = "heartbeat", when = '.kind == "heartbeat"' }]

[lookup.tasks]
files = ["tasks.jsonl"]
key = ".id"
on = ".task"

[fields]
instruction = "$tasks.text // .ask"
response = ".said"
task_id = ".task"
validation.outcome = ".ok"
usage.latency_ms = ".ms"
"#;

const ROWS: &str = r#"{"id":"c1","kind":"chat","task":"t1","said":"Forty-two, I should think, though it took a while to be sure.","ok":true,"mood":"calm","meta":{"host":"a","ms":3}}
{"kind":"heartbeat"}
{"id":"c2","kind":"chat","ask":"And?","ok":false,"ms":-1}
not JSON at all
{"id":"c3","kind":"chat","said":"yes","ok":true}
"#;

/// A folder without a repository.
fn folder() -> Bench {
    let bench = Bench::empty();
    bench.write("chats.toml", SPEC);
    bench.write("logs/a.jsonl", ROWS);
    bench.write("tasks.jsonl", "{\"id\":\"t1\",\"text\":\"What is six times seven?\"}\n");
    bench
}

fn at_width(bench: &Bench, width: &str, args: &[&str]) -> String {
    let output = bench.command(args).env("COLUMNS", width).output().expect("the program runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn tested(bench: &Bench, args: &[&str]) -> Value {
    bench.json("distill.sources_test.v1", &[&["sources", "test"], args].concat())
}

#[test]
fn rows_and_evidence_stand_side_by_side_where_there_is_room() {
    let bench = folder();
    let text = at_width(&bench, "100", &["sources", "test", "chats.toml", "logs/a.jsonl", "-n", "2"]);
    let expected = "\
chats (chats.toml) on logs/a.jsonl, one line at a time; policy: default
lookup $tasks: 1 row from tasks.jsonl

line 1, 159 bytes → 1 record
  row                                            │   evidence 0000/00/00/chats/c1
  id: \"c1\"                                       │   accepted by rule outcome-pass: all 1 checks
  kind: \"chat\"                                   │     passed
○ meta:                                          │ ● task_id: \"t1\"
○   host: \"a\"                                    │ ● instruction: \"What is six times seven?\"
    ms: 3                                        │ ● response: \"Forty-two, I should think, though
○ mood: \"calm\"                                   │     it took a while to be sure.\"
  ok: true                                       │ ● validation.outcome: \"pass\"
  said: \"Forty-two, I should think, though it    │ ○ usage.latency_ms is empty: .ms
    took a while to be sure.\"                    │
  task: \"t1\"                                     │

line 2, 20 bytes → skipped by heartbeat
  row
  kind: \"heartbeat\"

the whole file  5 lines → 2 records, 1 skipped, 2 quarantined
  skipped: heartbeat 1
";
    assert!(text.starts_with(expected), "{text}");
    for part in [
        "quarantined: field_type 1, json_syntax 1",
        "scored: 2 accepted, 0 partially accepted, 0 rejected, 0 need a person",
        "8 of 11 members",
        "unread: meta (1), meta.host (1), mood (1)",
        "filled in a part of the records: instruction 50.0 %, task_id 50.0 %",
        "never filled: usage.latency_ms",
        "no expression: run_id, context",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn one_below_the_other_where_it_is_narrow_and_no_line_is_wider() {
    let bench = folder();
    for width in [30, 60, 99, 100, 160] {
        let args = ["sources", "test", "chats.toml", "logs/a.jsonl"];
        let text = at_width(&bench, &width.to_string(), &args);
        let body = text.split_once("\nline 1").expect("the first unit").1;
        for line in body.lines().filter(|line| line.starts_with("  ") || line.starts_with(['○', '●'])) {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
        assert_eq!(text.contains(" │ "), width >= 100, "{width}");
        assert!(!text.contains('\u{1b}'), "no colour where there is no terminal");
    }
}

#[test]
fn every_fate_is_told_with_its_reason() {
    let bench = folder();
    let said = tested(&bench, &["./chats.toml", "logs/a.jsonl"]);
    let fates: Vec<&str> = (said["units"].as_array().expect("units").iter())
        .map(|unit| unit["fate"].as_str().expect("a fate"))
        .collect();
    assert_eq!(fates, ["records", "skipped", "quarantined", "quarantined", "records"]);
    let unit = |at: usize| &said["units"][at];
    assert_eq!(unit(1)["rule"], "heartbeat");
    assert_eq!(unit(2)["reason"], "field_type");
    assert!(unit(2)["detail"].as_str().expect("words").contains("usage.latency_ms"), "{said}");
    assert_eq!((&unit(3)["text"], &unit(3)["row"]), (&json!("not JSON at all"), &Value::Null));
    let record = &unit(0)["records"][0];
    assert_eq!(record["evidence"]["schema"], "distill.evidence_record.v1");
    assert_eq!((&record["category"], &record["empty"]), (&json!("accepted"), &json!(["usage.latency_ms"])));
    assert_eq!(unit(0)["unread"][2], json!({"key": "mood", "seen": 1, "bytes": 13, "read": false}));
    assert_eq!(said["lookups"][0]["files"], json!(["tasks.jsonl"]));
    assert_eq!(
        (&said["origin"], &said["matched"], &said["file"]),
        (&json!("file"), &json!(true), &json!("logs/a.jsonl"))
    );
    let only = tested(&bench, &["./chats.toml", "logs/a.jsonl", "--fate", "quarantined", "-n", "1"]);
    assert_eq!((only["units"].as_array().map(Vec::len), &only["units"][0]["unit"]), (Some(1), &json!(2)));
    assert_eq!(only["totals"], said["totals"], "the figures are those of the whole file");
}

#[test]
fn a_lookup_without_files_and_a_file_that_no_glob_takes_are_said() {
    let bench = folder();
    std::fs::remove_file(bench.path().join("tasks.jsonl")).expect("there");
    bench.write("elsewhere/b.jsonl", ROWS);
    let text = bench.ok(&["sources", "test", "./chats.toml", "elsewhere/b.jsonl", "-n", "0"]);
    assert!(text.contains("`files` does not take this file"), "{text}");
    assert!(text.contains("lookup `$tasks`: no file below"), "{text}");
    let said = tested(&bench, &["./chats.toml", "elsewhere/b.jsonl", "--base", "."]);
    assert_eq!((&said["file"], &said["lookups"][0]["rows"]), (&json!("elsewhere/b.jsonl"), &json!(0)));
    assert!(said["base"].as_str().expect("a folder").len() > 1);
    assert!(
        bench
            .fails(2, &["sources", "test", "./chats.toml", "logs/a.jsonl", "--base", "elsewhere"])
            .stderr
            .contains("does not lie below")
    );
}

#[test]
fn garbage_and_nothing_are_answers() {
    let bench = folder();
    let garbage: Vec<u8> = (0..5000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    std::fs::write(bench.path().join("logs/g.jsonl"), &garbage).expect("written");
    std::fs::write(bench.path().join("logs/g.jsonl.gz"), &garbage).expect("written");
    bench.write("logs/e.jsonl", "");
    let said = tested(&bench, &["./chats.toml", "logs/g.jsonl"]);
    let refused: u64 =
        said["totals"]["quarantined"].as_object().expect("reasons").values().filter_map(Value::as_u64).sum();
    let skipped: u64 =
        said["totals"]["skipped"].as_object().expect("rules").values().filter_map(Value::as_u64).sum();
    assert_eq!(said["totals"]["units"].as_u64(), Some(refused + skipped));
    let text = bench.ok(&["sources", "test", "./chats.toml", "logs/g.jsonl"]);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    let packed = bench.ok(&["sources", "test", "./chats.toml", "logs/g.jsonl.gz"]);
    assert!(packed.contains("quarantined: bad_compression"), "{packed}");
    assert!(bench.ok(&["sources", "test", "./chats.toml", "logs/e.jsonl"]).contains("0 lines → 0 records"));
    assert_eq!(tested(&bench, &["./chats.toml", "logs/e.jsonl"])["units"], json!([]));
}

#[test]
fn packed_files_are_unpacked() {
    let bench = folder();
    let file = std::fs::File::create(bench.path().join("logs/p.jsonl.gz")).expect("a file");
    let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gz.write_all(ROWS.as_bytes()).expect("written");
    gz.finish().expect("written");
    let zst = zstd::encode_all(ROWS.as_bytes(), 1).expect("packed");
    std::fs::write(bench.path().join("logs/p.jsonl.zst"), zst).expect("written");
    let plain = tested(&bench, &["./chats.toml", "logs/a.jsonl"]);
    for file in ["logs/p.jsonl.gz", "logs/p.jsonl.zst"] {
        assert_eq!(tested(&bench, &["./chats.toml", file])["totals"], plain["totals"], "{file}");
    }
}

#[test]
fn mistakes_name_file_line_and_column() {
    let bench = folder();
    bench.write("bad.toml", &SPEC.replace("response", "responce"));
    let Answer { stderr, .. } = bench.fails(2, &["sources", "test", "bad.toml", "logs/a.jsonl"]);
    assert!(stderr.contains("bad.toml:16:1: unknown field `responce`; did you mean `response`?"), "{stderr}");
    let shown = bench.json("distill.sources_show.v1", &["sources", "show", "./bad.toml"]);
    assert!(shown["error"].as_str().expect("a mistake").contains("bad.toml:16:1"), "{shown}");
    assert!(
        bench
            .fails(2, &["sources", "test", "tau-bnch", "logs/a.jsonl"])
            .stderr
            .contains("did you mean `tau-bench`?")
    );
    assert!(bench.fails(3, &["sources", "test", "none.toml", "logs/a.jsonl"]).stderr.contains("none.toml"));
    assert!(bench.fails(3, &["sources", "test", "chats.toml", "none.jsonl"]).stderr.contains("none.jsonl"));
    assert!(bench.fails(2, &["sources", "test", "chats.toml", "logs"]).stderr.contains("is no file"));
}

#[test]
fn specs_are_listed_shown_and_added() {
    let bench = folder();
    let outside = bench.json("distill.sources_list.v1", &["sources", "list"]);
    assert!(outside["items"].as_array().expect("items").iter().all(|item| item["origin"] == "embedded"));
    bench.fails(3, &["sources", "add", "hh-rlhf"]);
    bench.ok(&["init"]);
    bench.write(".distill/sources/chats.toml", SPEC);
    bench.write(".distill/sources/broken.toml", "stream = 1\n");
    let item = |name: &str| {
        let said = bench.json("distill.sources_list.v1", &["sources", "list"]);
        let items = said["items"].as_array().expect("items").clone();
        items.into_iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{name}: {said}"))
    };
    assert!(item("broken")["error"].as_str().expect("a mistake").contains("broken.toml:1:"));
    assert_eq!((&item("chats")["files"], &item("chats")["units"]), (&json!(1), &Value::Null));
    std::fs::remove_file(bench.path().join(".distill/sources/broken.toml")).expect("there");
    bench.ok(&["run-all", "--no-files"]);
    let chats = item("chats");
    assert_eq!(
        (&chats["units"], &chats["records"], &chats["unchanged"]),
        (&json!(5), &json!(2), &json!(true))
    );
    let text = bench.ok(&["sources", "list"]);
    assert!(
        text.contains("chats") && text.contains("comes with distill") && text.contains("tau-bench"),
        "{text}"
    );

    bench.write("harmless-base/test.jsonl", "{\"chosen\":\"\\n\\nHuman: a\\n\\nAssistant: b\",\"rejected\":\"\\n\\nHuman: a\\n\\nAssistant: c\"}\n");
    let shown = bench.json("distill.sources_show.v1", &["sources", "show", "hh-rlhf"]);
    assert_eq!((&shown["origin"], &shown["path"]), (&json!("embedded"), &Value::Null));
    let added = bench.json("distill.sources_add.v1", &["sources", "add", "hh-rlhf"]);
    assert_eq!(added["file"], ".distill/sources/hh-rlhf.toml");
    assert_eq!(bench.ok(&["sources", "show", "hh-rlhf"]), shown["text"].as_str().expect("text"));
    assert_eq!(item("hh-rlhf")["origin"], "configured");
    bench.write(".distill/sources/hh-rlhf.toml", "mine");
    assert!(bench.fails(1, &["sources", "add", "hh-rlhf"]).stderr.contains("is there already"));
    assert_eq!(bench.ok(&["sources", "show", "hh-rlhf"]), "mine", "nothing is overwritten");
    assert!(bench.fails(2, &["sources", "add", "nothing"]).stderr.contains("tau-bench"));
}
