//! Whether the corpus helps: a suite made from the fixture corpus, asked with records and without.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::server::Server;
use crate::cli::Bench;

/// So many tasks, spread over the corpus.
const TASKS: usize = 24;

/// The bundled sample as a repository of its own.
pub fn sample() -> Bench {
    let bench = Bench::empty();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (from, to) in [(".distill/sources", ".distill/sources"), ("fixtures/lakehouse/data/_kb", "data/_kb")]
    {
        for entry in fs::read_dir(root.join(from)).expect("files") {
            let path = entry.expect("a file").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
            // Runs of this test must not find what an audit left.
            if name != "audit_baselines.jsonl" {
                let to = bench.path().join(to);
                fs::create_dir_all(&to).expect("folders");
                // Some of the dirt in it is no UTF-8.
                fs::copy(&path, to.join(name)).expect("copied");
            }
        }
    }
    let policy = fs::read_to_string(root.join(".distill/policy.toml")).expect("the policy");
    bench.write(".distill/policy.toml", &policy);
    bench.ok(&["run-all", "--run-id", "r1", "--no-files"]);
    bench
}

#[test]
fn with_records_answers_are_grounded_and_without_they_are_refused() {
    let (bench, server) = (sample(), Server::start());
    let config = format!("[replay]\nendpoint = \"{}\"\nmodel = \"tiny\"\n", server.url());
    bench.write(".distill/config.toml", &config);
    let rows: Vec<Value> = bench
        .ok(&["ls", "HEAD:exports/rag"])
        .lines()
        .map(|line| {
            let id = line.split_whitespace().next().expect("an id");
            json!(id)
        })
        .collect();
    assert_eq!(rows.len(), 446);
    let mut suite = String::new();
    let mut seen = std::collections::BTreeSet::new();
    for row in rows.iter().step_by(rows.len() / TASKS).take(TASKS) {
        let row: Value =
            serde_json::from_str(&bench.ok(&["cat", row.as_str().expect("an id")])).expect("JSON");
        let title = row["title"].as_str().expect("a title");
        if seen.insert(title.to_owned()) {
            suite.push_str(&format!("{}\n", json!({"task": title})));
        }
    }
    bench.write("suite.jsonl", &suite);
    let answer = bench.run(&["replay", "--suite", "suite.jsonl", "--ab", "--json"]);
    let told: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    let rate = |arm: &str| {
        let rates = told["rates"].as_array().expect("rates");
        let rate = rates.iter().find(|rate| rate["arm"] == arm).expect("a rate");
        (rate["passed"].as_u64().expect("a number"), rate["of"].as_u64().expect("a number"))
    };
    let (with, without) = (rate("retrieval"), rate("baseline"));
    println!("A/B on {} tasks: with records {} passed, without {}", with.1, with.0, without.0);
    for item in told["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter(|i| i["arm"] == "retrieval" && i["verdict"] != "accepted")
    {
        println!("not passed: {} | {} | {}", item["task"], item["answer"], item["judgement"]);
    }
    assert!(with.1 >= 18, "a suite");
    assert_eq!(without.0, 0, "without records it can only repeat the question");
    assert_eq!(with.0, with.1, "with records it can repeat the answer");
    assert_eq!(answer.status, 0);
    let side = bench.run(&["replay", "--task", seen.first().expect("a task"), "--ab"]);
    assert!(
        side.stdout.contains("with records: 1 of 1 passed")
            && side.stdout.contains("without records: 0 of 1 passed"),
        "{side:?}"
    );
}
