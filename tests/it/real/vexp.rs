//! vexp on SWE-bench Verified: runs joined to their tasks and to the reports of the hidden tests.

use std::collections::BTreeMap;

use distill::record::{EvidenceRecord, PassFail, SftSample};
use serde_json::{Value, json};

use super::{around, assert_categories, folder, health_of, jq, lines, refined, unread_of};

#[test]
fn vexp_is_judged_by_the_hidden_tests() {
    let Some((dir, view)) = refined("vexp-swe-bench") else { return };
    let base = folder("vexp-swe-bench");
    let runs = base.join("results/swebench-2026-03-22.jsonl");
    let verdict = r#".[] | {"true": "accepted", "false": "rejected"}[.resolved | tostring]"#;
    assert_categories(&view, verdict, &[&runs]);

    let by_id = |rows: Vec<Value>, id: &str| -> BTreeMap<String, Value> {
        rows.into_iter().map(|row| (row[id].as_str().expect("an id").to_owned(), row)).collect()
    };
    let tasks = by_id(lines(&base.join("data/swe-bench-100.jsonl")), "instance_id");
    let rows = by_id(lines(&runs), "instanceId");
    let evidence = view.records::<EvidenceRecord>("evidence");
    assert_eq!(
        (evidence.len(), rows.len()),
        (100, 100),
        "one run for each task, each under a key of its own"
    );
    let mut said: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (key, record) in &evidence {
        let task = record.task_id.as_deref().expect("a task");
        let (row, task) = (&rows[task], &tasks[task]);
        assert!(key.contains("/vexp_swe_bench/swebench-2026-03-22-") && !key.contains('~'), "{key}");
        assert_eq!(record.instruction.as_deref(), task["problem_statement"].as_str(), "{key}");
        assert_eq!(record.response.as_deref(), row["modelPatch"].as_str(), "{key}");
        let usage = &record.usage;
        assert_eq!(usage.prompt_tokens, row["inputTokens"].as_u64());
        assert_eq!(usage.completion_tokens, row["outputTokens"].as_u64());
        assert_eq!(usage.cached_tokens, row["cacheReadTokens"].as_u64());
        assert_eq!(usage.latency_ms, row["durationMs"].as_f64());
        assert_eq!(usage.cost_usd, row["costUsd"].as_f64());
        assert_eq!(record.model.name.as_deref(), row["model"].as_str());
        let (joined, checks) = (record.provenance.lookup_ids.len(), record.validation_results.len());
        assert!(matches!((joined, checks), (1, 1) | (2, 4)), "{key}: {joined} rows joined, {checks} checks");
        let around = around(record);
        for gold in ["patch", "test_patch", "hints_text"] {
            let gold = task[gold].as_str().expect("text").trim();
            assert!(gold.is_empty() || !around.contains(gold), "{key}: the gold answer leaked");
        }
        for (check, result) in &record.validation_results {
            let count = said.entry(check).or_default();
            if *result == PassFail::Pass { count.0 += 1 } else { count.1 += 1 }
        }
    }

    // The checks, counted from the reports alone.
    let reports: Vec<_> = walkdir::WalkDir::new(base.join("logs"))
        .into_iter()
        .map(|entry| entry.expect("a listing").into_path())
        .filter(|path| path.ends_with("report.json"))
        .collect();
    let counted = jq(
        "def tally(f): [.[][] | f] | [(map(select(.)) | length), (map(select(. | not)) | length)];
         {fail_to_pass: tally(.tests_status.FAIL_TO_PASS.failure == []),
          pass_to_pass: tally(.tests_status.PASS_TO_PASS.failure == []),
          patch_applied: tally(.patch_successfully_applied)}",
        &reports,
    );
    let checks = ["fail_to_pass", "pass_to_pass", "patch_applied"];
    let made: serde_json::Map<_, _> =
        checks.iter().map(|check| ((*check).to_owned(), json!([said[check].0, said[check].1]))).collect();
    assert_eq!(Value::Object(made), counted);

    let doubtful = evidence.values().filter(|r| r.tags.iter().any(|t| t == "usage-implausible")).count();
    let counted = jq("map(select(.outputTokens * 8 < (.modelPatch | length))) | length", &[&runs]);
    assert_eq!((json!(doubtful), doubtful > 10), (counted, true));

    let sft = view.records::<SftSample>("exports/sft");
    assert_eq!(sft.len(), 73, "every resolved run has a prompt and a patch");
    for (key, row) in &sft {
        let task = evidence[key].task_id.as_deref().expect("a task");
        assert_eq!(rows[task]["resolved"], json!(true), "{key}");
        assert_eq!(row.instruction, tasks[task]["problem_statement"], "{key}");
    }
    assert!(view.entries("exports/preference").is_empty(), "one run for each task");

    assert_eq!(health_of(dir.path()).files, ["results/swebench-2026-03-22.jsonl"]);
    let tools = "toolCalls.";
    let (calls, others): (Vec<_>, Vec<_>) =
        unread_of(dir.path()).into_iter().partition(|k| k.starts_with(tools));
    assert_eq!(others, ["cacheCreationTokens", "numTurns", "toolCalls", "vexpMetrics"]);
    assert!(calls.contains(&"toolCalls.Bash".to_owned()), "{calls:?}");
}
