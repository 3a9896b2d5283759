//! What runs record of their streams, and the alarms that `health` raises from it.

use serde_json::{Value, json};

use crate::cli::Bench;

/// `count` rows from number `from` on, each with these members beside its own.
fn rows(from: usize, count: usize, members: &str) -> String {
    let each = (from..from + count).map(|n| {
        format!("{{\"id\":\"n{n}\",\"task\":\"t{n}\",\"prompt\":\"Say {n}\",\"answer\":\"word {n}\",\"passed\":true,{members}}}\n")
    });
    each.collect()
}

fn health(bench: &Bench) -> Value {
    bench.json("distill.health.v1", &["health"])
}

fn changes(bench: &Bench) -> Vec<String> {
    let said = health(bench);
    let changes = said["items"][0]["changes"].as_array().cloned().unwrap_or_default();
    assert_eq!(said["alarm"], json!(!changes.is_empty()), "{said}");
    let word = |change: &Value, name: &str| change[name].as_str().expect("a word").to_owned();
    changes
        .iter()
        .map(|change| format!("{} {} {}", word(change, "what"), word(change, "name"), word(change, "how")))
        .collect()
}

/// The coverage that the evidence receipt of HEAD keeps.
fn recorded(bench: &Bench) -> Value {
    let said = bench.json("distill.receipts.v1", &["receipts"]);
    let receipts = said["receipts"].as_array().expect("receipts");
    let evidence = receipts.iter().find(|receipt| receipt["stage"] == "evidence").expect("evidence");
    evidence["coverage"].clone()
}

#[test]
fn a_member_that_comes_and_one_that_stops_are_alarms() {
    let bench = Bench::new();
    let first = rows(0, 30, "\"type\":\"chat\",\"mood\":\"fine\"");
    bench.write("notes.jsonl", &first);
    assert_eq!(health(&bench)["runs"], Value::Null, "nothing is compared before the first run");
    bench.ok(&["run-all", "--run-id", "r1", "--no-files"]);
    assert!(bench.ok(&["health"]).contains("r1 is the first run: nothing to compare with"));

    let same = rows(30, 20, "\"type\":\"chat\",\"mood\":\"fine\"");
    bench.write("notes.jsonl", &(first.clone() + &same));
    bench.ok(&["run-all", "--run-id", "r2", "--no-files"]);
    assert_eq!(changes(&bench), [""; 0]);
    let text = bench.ok(&["health", "--exit-code"]);
    assert!(text.contains("r2 compared with r1: no member, field or kind of row came or went"), "{text}");

    let other = rows(50, 20, "\"type\":\"tool\",\"weather\":\"grey\"").replace("\"answer\"", "\"reply\"");
    bench.write("notes.jsonl", &(first + &same + &other));
    bench.ok(&["run-all", "--run-id", "r3", "--no-files"]);
    let expected = [
        "key answer stopped",
        "key mood stopped",
        "key reply appeared",
        "key weather appeared",
        "field response stopped",
        "value type=tool appeared",
    ];
    assert_eq!(changes(&bench), expected);
    let said = health(&bench);
    assert_eq!(
        (&said["runs"]["before"]["run_id"], &said["runs"]["after"]["run_id"]),
        (&json!("r2"), &json!("r3"))
    );
    let answer = bench.fails(1, &["health", "--exit-code"]);
    for line in [
        "ALARM: member `answer` is in none of the rows that came since (50 before); the spec reads it",
        "ALARM: member `weather` is new (20 now); nothing reads it",
        "ALARM: evidence field `response` is in none of the rows that came since (50 before)",
        "ALARM: kind `type=tool` is new (20 now)",
        "kinds by type: chat (50), tool (20)",
        "r3 compared with r2: alarms above",
    ] {
        assert!(answer.stdout.contains(line), "{line}: {}", answer.stdout);
    }
    // A stage alone keeps the receipt: the run that made the evidence is still the one that is compared.
    bench.ok(&["score", "--run-id", "s1"]);
    assert_eq!(health(&bench)["runs"]["before"]["run_id"], "r2");
    assert_eq!(changes(&bench), expected);
}

#[test]
fn a_member_that_vanishes_and_a_spec_that_was_edited() {
    let bench = Bench::new();
    bench.write("notes.jsonl", &rows(0, 5, "\"mood\":\"fine\""));
    bench.ok(&["run-all", "--run-id", "r1", "--no-files"]);
    let spec = std::fs::read_to_string(bench.path().join(".distill/sources/notes.toml")).expect("a spec");
    bench.write(".distill/sources/notes.toml", &spec.replace("task_id = \".task\"\n", "tags = \".mood\"\n"));
    bench.ok(&["run-all", "--run-id", "r2", "--no-files"]);
    assert_eq!(changes(&bench), ["field tags appeared", "field task_id vanished"]);
    let text = bench.ok(&["health"]);
    assert!(text.contains("`task_id` is gone (5 before); the spec was edited between the runs"), "{text}");

    bench.write("notes.jsonl", &rows(0, 5, "\"n\":1"));
    bench.ok(&["run-all", "--run-id", "r3", "--no-files", "--accept-source-loss"]);
    assert_eq!(changes(&bench), ["key mood vanished", "key n appeared", "field tags vanished"]);
}

#[test]
fn what_a_run_took_over_counts_as_what_it_computed() {
    let steps = Bench::new();
    let whole = Bench::new();
    let mut text = String::new();
    for step in 0..3 {
        text += &rows(step * 900, 900, &format!("\"step{step}\":{{\"role\":\"r{step}\"}}"));
        // The last line has no end: it is read again, and must not count twice.
        steps.write("notes.jsonl", &format!("{text}{{\"id\":\"cut\",\"tail\":{step}}}"));
        steps.write(&format!("more-{step}.jsonl"), &rows(10_000 + step, 1, "\"alone\":[{\"kind\":\"k\"}]"));
        steps.ok(&["run-all", "--no-files", "--accept-source-loss"]);
    }
    whole.write("notes.jsonl", &format!("{text}{{\"id\":\"cut\",\"tail\":2}}"));
    for step in 0..3 {
        whole.write(&format!("more-{step}.jsonl"), &rows(10_000 + step, 1, "\"alone\":[{\"kind\":\"k\"}]"));
    }
    whole.ok(&["run-all", "--no-files"]);
    let coverage = recorded(&whole);
    assert_eq!(recorded(&steps), coverage);
    assert_eq!(coverage[0]["units"], 2704);
    // The first 1,024 units of the long file, a sixteenth of the others, and all of the short files.
    let observed = coverage[0]["observed"].as_u64().expect("a count");
    assert!((1027 + 80..1027 + 130).contains(&observed), "{observed}");
    assert_eq!(coverage[0]["keys"]["alone[].kind"]["seen"], 3);
    assert_eq!(coverage[0]["kinds"]["step0.role"]["values"], json!({"r0": 900}));
    // Nothing new: everything is taken over, and says the same.
    steps.ok(&["run-all", "--no-files"]);
    assert_eq!(recorded(&steps), coverage);
    steps.ok(&["verify"]);
}
