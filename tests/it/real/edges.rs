//! What the formats of the embedded specs allow and the real files do not hold, in rows made here.

use distill::ops::run::What;
use distill::pipeline::source::embedded;
use distill::record::{Category, EvidenceRecord, PassFail, ScoredRun};
use serde_json::{Value, json};

use super::unread_of;
use crate::conservation::{View, check};
use crate::engine::{Place, receipts};

/// `files` refined by the embedded spec `name`, under the policy of a new repository.
fn refined(name: &str, files: &[(&str, String)]) -> (tempfile::TempDir, View) {
    let dir = tempfile::tempdir().expect("a folder");
    let (_, spec) = embedded().iter().find(|(known, _)| *known == name).expect("an embedded spec");
    let place = Place::new(dir.path(), &[(name, spec)]);
    place.write(".distill/policy.toml", include_str!("../../../.distill/policy.toml"));
    for (file, text) in files {
        place.write(file, text);
    }
    place.run(What::All);
    let view = check(&place);
    (dir, view)
}

fn jsonl(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// The evidence and its category, in order of key.
fn judged(view: &View) -> Vec<(EvidenceRecord, Category)> {
    let scored = view.records::<ScoredRun>("scored-runs");
    let evidence = view.records::<EvidenceRecord>("evidence");
    evidence.into_iter().map(|(key, record)| (record, scored[&key].category)).collect()
}

#[test]
fn mt_bench_failed_judges_are_skipped_and_unrated_answers_reviewed() {
    let judgment = |n: u64, score: Value, said: &str, about: &str| {
        json!({"question_id": n, "model": "m", "judge": ["j", "single-v1"], "turn": 1, "score": score, "tstamp": 1.5,
            "judgment": said, "user_prompt": format!("Question: q{n}? Answer: {about}")})
    };
    let judgments = [
        judgment(1, json!(-1), "$ERROR$", "a1"),
        judgment(2, json!(-1), "It is hard to say.", "a2"),
        judgment(3, json!(2), "Rating: [[2]]", "a3"),
        judgment(4, json!(9), "Rating: [[9]]", "what was answered before"),
    ];
    let questions: Vec<Value> =
        (1..5).map(|n| json!({"question_id": n, "category": "c", "turns": [format!("q{n}?")]})).collect();
    let answers: Vec<Value> = (1..5)
        .map(|n| {
            json!({"question_id": n, "answer_id": format!("id{n}"), "model_id": "org/m",
                "choices": [{"index": 0, "turns": [format!("a{n}")]}]})
        })
        .collect();
    let (_dir, view) = refined(
        "mt-bench",
        &[
            ("mt_bench/model_judgment/j_single.jsonl", jsonl(&judgments)),
            ("mt_bench/question.jsonl", jsonl(&questions)),
            ("mt_bench/model_answer/m.jsonl", jsonl(&answers)),
        ],
    );
    assert_eq!(receipts(&view.repo, &view.head)["evidence"].skipped_by["judge_failed"], 1);
    let judged = judged(&view);
    let seen: Vec<_> = judged.iter().map(|(r, c)| (r.run_id.as_deref(), r.response.as_deref(), *c)).collect();
    assert_eq!(
        seen,
        [
            (Some("id2"), Some("a2"), Category::NeedsHumanReview),
            (Some("id3"), Some("a3"), Category::Rejected),
            (Some("id4"), None, Category::PartiallyAccepted),
        ]
    );
    // The answer was made again after the judge had seen another: its verdict is no verdict on this one.
    assert!(view.entries("exports/rag").is_empty());
}

#[test]
fn wildbench_scores_that_are_no_scores_are_reviewed() {
    let row = |session: &str, score: Value, error: Value| {
        json!({"session_id": session, "model_test": "lone", "model_output": "o", "score": score,
            "meta_data": {"error": error}})
    };
    let rows = json!([
        row("a", json!("10"), Value::Null),
        row("b", json!("N/A"), Value::Null),
        row("c", json!("11"), Value::Null),
        row("d", Value::Null, Value::Null),
        row("e", json!(3), Value::Null),
        row("f", Value::Null, json!({"message": "timeout"})),
    ]);
    let (_dir, view) = refined("wildbench", &[("v2/score.v2/eval=j/lone.json", rows.to_string())]);
    assert_eq!(receipts(&view.repo, &view.head)["evidence"].skipped_by["judge_failed"], 1);
    let categories: Vec<_> = judged(&view).into_iter().map(|(_, category)| category).collect();
    let review = Category::NeedsHumanReview;
    assert_eq!(categories, [Category::PartiallyAccepted, review, review, review, Category::Rejected]);
    let record = &judged(&view)[0].0;
    assert_eq!((record.model.provider.as_deref(), record.model.name.as_deref()), (None, Some("lone")));
}

#[test]
fn code_review_findings_without_a_sound_verdict_are_reviewed() {
    let review = json!({"https://github.com/o/r/pull/1": {
        "one": {"skipped": false,
            "true_positives": [
                {"golden_comment": "g1", "severity": "High", "matched_candidate": "leak", "confidence": 0.6},
                {"golden_comment": "g2", "severity": "Low", "matched_candidate": "leak", "confidence": 0.9},
                {"golden_comment": "g3", "severity": null, "matched_candidate": "race", "confidence": 0.5},
            ],
            "false_positives": [{"candidate": "style"}, {"candidate": "unsure"}],
            "errors": [{"golden": "g4", "candidate": "unsure", "error": "timeout"}]},
        "two": {"skipped": true, "reason": "No golden comments"},
    }});
    let (dir, view) = refined("code-review-benchmark", &[("results/j/evaluations.json", review.to_string())]);
    // `to_entries` reads every tool; what it does not read of a review is named.
    assert_eq!(unread_of(dir.path()), ["one.skipped", "two.reason", "two.skipped"]);
    let seen: Vec<_> = judged(&view)
        .into_iter()
        .map(|(r, category)| (r.response.unwrap_or_default(), category, r.tags[2..].join(" ")))
        .collect();
    let seen: Vec<_> =
        seen.iter().map(|(text, category, tags)| (text.as_str(), *category, tags.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("leak", Category::Accepted, "severity-high severity-low"),
            ("race", Category::PartiallyAccepted, ""),
            ("style", Category::Rejected, ""),
            ("unsure", Category::NeedsHumanReview, ""),
        ]
    );
}

#[test]
fn vexp_reports_that_contradict_the_run_are_not_read() {
    let run =
        |task: &str, resolved: Value| json!({"instanceId": task, "modelPatch": "p", "resolved": resolved});
    let runs =
        [run("t1", json!(true)), run("t2", json!(false)), run("t3", Value::Null), run("t4", json!(true))];
    let report = |task: &str, passed: &[&str]| {
        let tests =
            json!({"FAIL_TO_PASS": {"success": passed, "failure": []}, "PASS_TO_PASS": {"success": []}});
        let report = json!({"resolved": true, "patch_successfully_applied": true, "tests_status": tests});
        (format!("logs/run_evaluation/r/m/{task}/report.json"), json!({task: report}).to_string())
    };
    let tasks: Vec<Value> = (1..5)
        .map(|n| {
            // A list in a string, as SWE-bench has it; other copies of it have the list.
            let tests = if n == 4 { json!(["a", "b"]) } else { json!("[\"a\", \"b\"]") };
            json!({"instance_id": format!("t{n}"), "problem_statement": "?", "FAIL_TO_PASS": tests})
        })
        .collect();
    let reports = [
        report("t1", &["a", "b", "c"]),
        report("t2", &["a", "b"]),
        report("t3", &["a", "b"]),
        report("t4", &["a"]),
    ];
    let mut files =
        vec![("results/swebench-2026-01-01.jsonl", jsonl(&runs)), ("data/swe-bench-4.jsonl", jsonl(&tasks))];
    files.extend(reports.iter().map(|(path, text)| (path.as_str(), text.clone())));
    let (_dir, view) = refined("vexp-swe-bench", &files);
    let judged = judged(&view);
    let checks = |n: usize| {
        let checks = judged[n].0.validation_results.iter();
        checks.map(|(name, result)| (name.as_str(), *result == PassFail::Pass)).collect::<Vec<_>>()
    };
    assert_eq!(checks(0), [("fail_to_pass", true), ("outcome", true), ("patch_applied", true)]);
    assert_eq!(checks(1), [("outcome", false)], "the report is of another run");
    assert_eq!((checks(2), judged[2].1), (vec![], Category::NeedsHumanReview), "nobody ran the tests");
    assert_eq!(checks(3)[0], ("fail_to_pass", false), "a test that the report does not name did not pass");
}
