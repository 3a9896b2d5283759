//! Credentials that were planted, in every form and in every field, and what the exports make of them.
//!
//! `fixtures/secrets/planted.json` has them in pieces. None belongs to anybody.

use std::collections::{BTreeMap, BTreeSet};

use distill::object::FindExt as _;
use distill::ops::run::What;
use distill::pipeline::secret::{Scanner, Table};
use distill::record::QuarantineEntry;
use distill::record::Record as _;
use distill::tree;

use crate::engine::{LINES, Place, result};

/// Rule, text, secret.
fn planted() -> Vec<(String, String, String)> {
    let fixture = fixture();
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let case = |case: &serde_json::Value| {
        let secret: String = case["pieces"].as_array().expect("pieces").iter().map(text).collect();
        (text(&case["rule"]), text(&case["text"]).replace("{}", &secret), secret)
    };
    fixture["planted"].as_array().expect("cases").iter().map(case).collect()
}

fn fixture() -> serde_json::Value {
    serde_json::from_str(include_str!("../../fixtures/secrets/planted.json")).expect("JSON")
}

fn scanner() -> Scanner {
    Scanner::new(&Table::embedded().expect("the table is good")).expect("its patterns compile")
}

fn base64(text: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for n in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * n)) as usize & 63];
            out.push(if n <= three.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn in_json(text: &str) -> String {
    serde_json::to_string(text).expect("a string")
}

#[test]
fn every_planted_credential_is_found_in_every_form() {
    let scanner = scanner();
    let forms: [(&str, fn(&str) -> String); 8] = [
        ("plain", |text| text.to_owned()),
        ("JSON", in_json),
        ("JSON in JSON", |text| in_json(&in_json(text))),
        ("letters as escapes", |text| text.bytes().map(|b| format!("\\u{b:04x}")).collect()),
        ("percent", |text| format!("https://host/path?q={}&x=y", percent(text))),
        ("base64", |text| format!("echo {} | base64 -d", base64(text))),
        ("base64 of JSON", |text| base64(&in_json(text))),
        ("base64, wrapped", |text| {
            let all = base64(&format!("{} {text}", "some words before the thing itself ".repeat(3)));
            let lines: Vec<&str> =
                all.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
            lines.join("\n")
        }),
    ];
    let mut missed = Vec::new();
    let planted = planted();
    for (rule, text, secret) in &planted {
        for (form, hide) in forms {
            match scanner.scan(&hide(text)) {
                Some(finding) => {
                    assert_eq!(finding.rule, *rule, "{form}: {text}");
                    assert!(form != "plain" || finding.forms.is_empty(), "{text}");
                    let shown = finding.masked.split('*').next().expect("a part");
                    assert!(shown.len() * 2 <= secret.len(), "{} shows too much", finding.masked);
                    assert!(secret.starts_with(shown), "{}", finding.masked);
                }
                None => missed.push(format!("{form}: {text}")),
            }
        }
        assert!(!scanner.masked(text).contains(secret.as_str()), "{text}");
    }
    assert!(missed.is_empty(), "{} of {}:\n{}", missed.len(), planted.len() * forms.len(), missed.join("\n"));
    // Every rule of the table has a case: one that could find nothing would be seen here.
    let tried: BTreeSet<&str> = planted.iter().map(|(rule, ..)| rule.as_str()).collect();
    let table = Table::embedded().expect("good");
    let untried: Vec<&str> =
        table.rules.iter().map(|rule| rule.id.as_str()).filter(|id| !tried.contains(id)).collect();
    assert_eq!(untried, [""; 0]);
}

#[test]
fn what_only_looks_so_is_left_alone() {
    let scanner = scanner();
    for text in fixture()["clean"].as_array().expect("texts") {
        let text = text.as_str().expect("a text");
        assert_eq!(scanner.scan(text), None, "{text}");
        assert_eq!(scanner.scan(&in_json(text)), None, "{text}");
    }
}

const SPEC: &str = r#"
context = ".context"
messages = ".messages"
tags = ".tags"
"#;

/// One good and one bad run of each task, so that every export has something to take.
fn rows(secret: &str) -> String {
    let mut rows = String::new();
    let mut row = |id: &str, value: serde_json::Value| {
        let mut row = serde_json::json!({
            "id": id, "run": id, "task": format!("task {id}"), "ask": format!("ask {id}"), "say": format!("say {id}"),
            "ok": true, "context": "", "tags": [],
            "messages": [],
        });
        let members = value.as_object().expect("an object").clone();
        row.as_object_mut().expect("an object").extend(members);
        rows.push_str(&format!("{row}\n"));
        row["ok"] = false.into();
        // Another run of the task: a run is no pair with itself.
        row["run"] = format!("{}-bad", row["run"].as_str().expect("a run")).into();
        row["id"] = format!("{id}-bad").into();
        row["say"] = format!("worse {id}").into();
        rows.push_str(&format!("{row}\n"));
    };
    let tool = |arguments: String| {
        serde_json::json!({"messages": [{"role": "assistant", "content": null, "tool_calls":
            [{"id": "c", "function": {"name": "sh", "arguments": arguments}}]}]})
    };
    row("clean", serde_json::json!({}));
    row("ask", serde_json::json!({"ask": format!("use {secret} for it")}));
    row("say", serde_json::json!({"say": format!("I used {}", base64(&format!("the key {secret}")))}));
    row("run", serde_json::json!({"run": secret}));
    row("context", serde_json::json!({"context": format!("env: {secret}")}));
    row("content", serde_json::json!({"messages": [{"role": "tool", "content": format!("KEY={secret}\n")}]}));
    row("call", tool(format!("{{\"cmd\":\"echo\\n{secret}\\n\"}}")));
    rows
}

fn place(dir: &tempfile::TempDir, secret: &str) -> Place {
    let place = Place::new(dir.path(), &[("lines", &format!("{LINES}{SPEC}"))]);
    place.write("in/a.jsonl", rows(secret));
    place
}

/// Reason and detail of what the exports refused, by stage and row.
fn refused(place: &Place) -> BTreeMap<String, String> {
    let (repo, head) = (place.repo(), place.head());
    let root = head.dataset("quarantine").expect("the dataset");
    let entries = tree::iter(repo.store(), root).map(|entry| {
        let entry = entry.expect("an entry");
        let row = QuarantineEntry::parse(&repo.store().find(&entry.id).expect("a row")).expect("an entry");
        let name = entry.key.rsplit('/').next().expect("a row key");
        (format!("{} {} {name}", row.stage, row.reason), row.detail)
    });
    entries.collect()
}

#[test]
fn a_planted_credential_reaches_no_export_and_no_report() {
    let secret = planted()[0].2.clone();
    let dir = tempfile::tempdir().expect("a folder");
    let place = place(&dir, &secret);
    let report = place.run(What::All);
    let refused = refused(&place);
    let expected = |export: &str, rows: &[&str]| -> Vec<String> {
        rows.iter().map(|row| format!("export-{export} secret_suspected {row}")).collect()
    };
    let mut all = expected("rag", &["ask", "run", "say"]);
    all.extend(expected("sft", &["ask", "call", "content", "context", "run", "say"]));
    // Both sides of a pair hold what was asked; the worse answer of `say` is clean.
    all.extend(expected("preference", &["ask", "ask-bad", "run", "run-bad", "say"]));
    all.sort();
    assert_eq!(refused.keys().cloned().collect::<Vec<_>>(), all);
    for (row, detail) in &refused {
        assert!(detail.contains("aws-access-key-id") && !detail.contains(&secret[4..]), "{row}: {detail}");
    }
    let said = |row: &str| refused[row].as_str();
    assert_eq!(
        said("export-sft secret_suspected call"),
        "`messages[0].tool_calls[0].arguments` holds what looks like a credential: aws-access-key-id, in escaped: \
         AKIA******** (20 characters)"
    );
    assert!(said("export-rag secret_suspected say").starts_with("`response` holds"));
    assert!(said("export-rag secret_suspected say").contains(", in base64: AKIA********"));
    assert!(said("export-rag secret_suspected run").starts_with("`run_id` holds"));
    // Four rows are in the RAG corpus, of which the SFT corpus has the clean one.
    let metrics = &report.summary.metrics;
    assert_eq!((metrics.p4_rag_rows, metrics.p4_sft_rows, metrics.p4_pref_pairs), (4, 1, 4));
    // Nothing that a run writes beside the store holds it, in no form that is tried here.
    let hidden = base64(&format!("the key {secret}"));
    let mut files = 0;
    for folder in ["exports", "reports"] {
        for entry in walkdir::WalkDir::new(place.root.join(folder)) {
            let entry = entry.expect("an entry");
            if entry.file_type().is_file() {
                let text = std::fs::read_to_string(entry.path()).expect("text");
                assert!(!text.contains(&secret) && !text.contains(&hidden), "{}", entry.path().display());
                files += 1;
            }
        }
    }
    assert!(files > 10, "{files}");
}

#[test]
fn what_an_expression_failed_on_is_masked() {
    let secret = planted()[0].2.clone();
    let dir = tempfile::tempdir().expect("a folder");
    let spec = LINES.replace("\".say\"", "'.say + 1'");
    let place = Place::new(dir.path(), &[("lines", &spec)]);
    place.write("in/a.jsonl", format!("{{\"id\":\"a\",\"say\":\"{secret}\"}}\n"));
    place.run(What::All);
    let refused = refused(&place);
    let detail = refused.values().next().expect("one");
    assert!(refused.len() == 1 && !detail.contains(&secret[4..]), "{refused:?}");
}

#[test]
fn a_table_of_ones_own_is_part_of_the_configuration_and_the_memo_knows_it() {
    let secret = planted()[0].2.clone();
    let own = "[extend]\nuseDefault = true\ndisabledRules = [\"aws-access-key-id\"]\n\
               [[rules]]\nid = \"house-words\"\nregex = '''say (clean)'''\nkeywords = [\"say \"]\n";
    let dir = tempfile::tempdir().expect("a folder");
    let first = place(&dir, &secret);
    let before = first.run(What::All);
    let config = first.head().config_id;
    first.write(".distill/secrets.toml", own);
    let after = first.run(What::All);
    assert_ne!(first.head().config_id, config);
    assert_eq!(before.datasets["evidence"], after.datasets["evidence"]);
    let expected =
        ["preference", "rag", "sft"].map(|export| format!("export-{export} secret_suspected clean"));
    assert_eq!(refused(&first).into_keys().collect::<Vec<_>>(), expected);
    assert_eq!(refused(&first).into_values().next().as_deref(), {
        Some("`response` holds what looks like a credential: house-words: ******** (5 characters)")
    });
    // The memo of the first run knows other verdicts; a run without it ends in the same place.
    let again = tempfile::tempdir().expect("a folder");
    let fresh = place(&again, &secret);
    fresh.write(".distill/secrets.toml", own);
    fresh.run(What::All);
    assert_eq!(result(&fresh), result(&first));
    first.run(What::Exports);
    assert_eq!(result(&fresh), result(&first));
    // And back: what was refused is free again.
    std::fs::remove_file(first.root.join(".distill/secrets.toml")).expect("removed");
    assert_eq!(first.run(What::All).datasets, before.datasets);
    assert_eq!(first.head().config_id, config);
    first.write(".distill/secrets.toml", "[[rules]]\nid = \"r\"\nregex = '('\n");
    let error = first.try_run(&distill::ops::run::RunOptions::new(What::All)).expect_err("a bad pattern");
    assert!(error.message.contains("`r`") && error.hint.contains("secrets.toml"), "{error}");
}
