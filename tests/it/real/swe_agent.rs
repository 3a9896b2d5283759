//! SWE-agent: runs without a verdict beside them, and with one as its evaluation writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use distill::ops::run::What;
use distill::record::{Category, EvidenceRecord, PassFail, ScoredRun};
use serde_json::{Value, json};

use super::{categories, count, folder, jq, refined_in, unread};
use crate::conservation::{check, embedded_in};
use crate::engine::Place;

const FOLDER: &str = "swe-agent-traj";

fn trajectories() -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(folder(FOLDER)).sort_by_file_name().into_iter();
    files
        .map(|e| e.expect("a listing").into_path())
        .filter(|p| p.extension().is_some_and(|e| e == "traj"))
        .collect()
}

#[test]
fn swe_agent_without_results_is_for_a_person() {
    let Some((_dir, view)) = refined_in("swe-agent", FOLDER) else { return };
    let files = trajectories();
    let results = walkdir::WalkDir::new(folder(FOLDER)).into_iter().filter_map(Result::ok);
    assert_eq!(results.filter(|e| e.file_name() == "results.json").count(), 0, "the data holds no verdict");
    assert_eq!(count(r#"[.[] | select(.info.exit_status == "submitted")] | length"#, &files), 21);
    assert_eq!(categories(&view), BTreeMap::from([(Category::NeedsHumanReview, 22)]));

    let evidence = view.records::<EvidenceRecord>("evidence");
    let by_run: BTreeMap<&str, &EvidenceRecord> =
        evidence.values().map(|r| (r.run_id.as_deref().expect("a run"), r)).collect();
    assert_eq!(by_run.len(), files.len());
    let facts = jq(
        r#"[.[] | {
            items: [.history[] | select(.is_demo | not)] | length, demos: [.history[] | select(.is_demo) | .content],
            asked: first(.history[] | select(.role == "user" and (.is_demo | not)) | .content),
            patch: .info.submission, stats: .info.model_stats,
            seconds: ([.trajectory[]? | .execution_time // empty] | add)
        }]"#,
        &files,
    );
    let (mut demos, mut measured) = (0, 0);
    for (path, fact) in files.iter().zip(facts.as_array().expect("runs")) {
        let run = path.strip_prefix(folder(FOLDER)).expect("below").with_extension("");
        let record = by_run[run.to_str().expect("UTF-8")];
        assert_eq!(record.messages.len() as u64, fact["items"].as_u64().expect("a count"), "{run:?}");
        assert_eq!(record.instruction.as_deref(), fact["asked"].as_str());
        assert_eq!(record.response.as_deref(), fact["patch"].as_str());
        assert_eq!(record.validation_results, BTreeMap::new(), "an exit status is no verdict");
        for demo in fact["demos"].as_array().expect("items") {
            demos += 1;
            assert!(
                record.messages.iter().all(|m| m.content.as_deref() != demo.as_str()),
                "a worked example stayed"
            );
        }
        let number = |name: &str| fact["stats"][name].as_f64().filter(|n| *n > 0.0);
        let usage = &record.usage;
        #[expect(clippy::cast_precision_loss, reason = "token counts of one run")]
        let tokens = (usage.prompt_tokens.map(|n| n as f64), usage.completion_tokens.map(|n| n as f64));
        assert_eq!(tokens, (number("tokens_sent"), number("tokens_received")), "0 is not measured: {run:?}");
        assert_eq!(usage.cost_usd, number("instance_cost"));
        measured += usize::from(usage.cost_usd.is_some());
        match (usage.latency_ms, fact["seconds"].as_f64()) {
            (Some(ms), Some(seconds)) => assert!((ms - seconds * 1000.0).abs() < 1e-6, "{ms} of {seconds} s"),
            (ms, seconds) => assert_eq!((ms, seconds), (None, None)),
        }
    }
    assert_eq!((demos, measured), (2, 3), "two worked examples; three runs asked a model");
    let timed = evidence.values().filter(|r| r.usage.latency_ms.is_some()).count();
    assert_eq!(timed, 4);
    let models: BTreeSet<_> = evidence.values().filter_map(|r| r.model.name.as_deref()).collect();
    assert_eq!(models, BTreeSet::from(["gpt-4o"]), "a replay names no model");
    let called = evidence.values().flat_map(|r| &r.messages).filter(|m| !m.tool_calls.is_empty()).count();
    let answered = evidence.values().flat_map(|r| &r.messages).filter(|m| m.tool_call_id.is_some()).count();
    assert_eq!((called, answered), (44, 44));
}

#[test]
fn swe_agent_leaves_out_what_its_header_says() {
    let Some(unread) = unread("swe-agent", FOLDER) else { return };
    let patch = ["info.edited_files30", "info.edited_files50", "info.edited_files70"];
    let said_twice = ["history[].action", "history[].message_type", "history[].thought"];
    let steps = ["action", "messages", "observation", "response", "state", "thought"];
    let steps = steps.map(|name| format!("trajectory[].{name}"));
    let expected =
        ["environment"].into_iter().chain(patch).chain(said_twice).chain(steps.iter().map(String::as_str));
    let unread: BTreeSet<&str> = unread.iter().map(String::as_str).collect();
    assert_eq!(unread, expected.collect());
}

/// A run as SWE-agent writes it, as small as it can be.
fn run(said: &str) -> Vec<u8> {
    let run = json!({
        "trajectory": [{"action": "submit", "observation": "", "response": said, "thought": said, "state": "{}"}],
        "history": [
            {"role": "system", "content": "Use one command at a time.", "agent": "primary"},
            {"role": "user", "content": "A demonstration", "agent": "primary", "is_demo": true},
            {"role": "user", "content": [{"type": "text", "text": "Fix the issue."}], "agent": "primary"},
            {"role": "assistant", "content": said, "agent": "primary"},
        ],
        "info": {"exit_status": "submitted", "submission": format!("diff of {said}"),
            "model_stats": {"instance_cost": 0.5, "tokens_sent": 10, "tokens_received": 2, "api_calls": 1}},
    });
    serde_json::to_vec(&run).expect("JSON")
}

/// Runs of the instances `names` with the lists of `results` above them (since 1.0) or beside them.
fn outcomes(results: &Value, names: &[&str], nested: bool) -> Vec<(Option<PassFail>, Category)> {
    let dir = tempfile::tempdir().expect("a folder");
    let place: Place = embedded_in(dir.path(), "swe-agent");
    for name in names {
        let folder = if nested { format!("runs/r1/{name}") } else { "runs/r1".to_owned() };
        place.write(&format!("{folder}/{name}.traj"), run(name));
        // Another run, which nobody judged: verdicts stay within their folder.
        place.write(&format!("runs/r2/{name}.traj"), run(&format!("{name} again")));
    }
    place.write("runs/r1/results.json", serde_json::to_vec(results).expect("JSON"));
    place.run(What::All);
    let view = check(&place);
    let evidence = view.records::<EvidenceRecord>("evidence");
    let scored = view.records::<ScoredRun>("scored-runs");
    assert_eq!(evidence.len(), names.len() * 2);
    let fate = |name: &str| {
        let of_run =
            |run: &str| evidence.iter().find(|(_, r)| r.run_id.as_deref() == Some(run)).expect("the run");
        let (_, other) = of_run(&format!("runs/r2/{name}"));
        assert!(other.validation_results.is_empty() && other.provenance.lookup_ids.is_empty());
        let (key, record) =
            of_run(&if nested { format!("runs/r1/{name}/{name}") } else { format!("runs/r1/{name}") });
        assert_eq!(record.provenance.lookup_ids.len(), 1, "results.json is named");
        assert_eq!(record.instruction.as_deref(), Some("Fix the issue."));
        assert_eq!(record.messages.len(), 3);
        (record.validation_results.get("outcome").copied(), scored[key].category)
    };
    names.iter().map(|name| fate(name)).collect()
}

#[test]
fn lists_of_instances_in_another_file_decide() {
    let (passed, failed, unknown) = (
        (Some(PassFail::Pass), Category::Accepted),
        (Some(PassFail::Fail), Category::Rejected),
        (None, Category::NeedsHumanReview),
    );
    let new = json!({
        "total_instances": 6, "resolved_instances": 1, "schema_version": 2,
        "submitted_ids": ["a", "b", "c", "d"], "completed_ids": ["a", "b"], "resolved_ids": ["a"],
        "unresolved_ids": ["b"], "empty_patch_ids": ["c"], "error_ids": ["d"], "incomplete_ids": ["e"],
    });
    let names = ["a", "b", "c", "d", "e", "f"];
    let expected = [passed, failed, failed, unknown, unknown, unknown];
    assert_eq!(outcomes(&new, &names, true), expected);
    assert_eq!(outcomes(&new, &names, false), expected);
    let old = json!({
        "generated": ["a", "b", "c", "d"], "with_logs": ["a", "b", "c", "d"], "applied": ["a", "b", "d"],
        "resolved": ["a"], "no_apply": ["c"], "test_timeout": ["d"], "no_generation": ["e"],
    });
    assert_eq!(outcomes(&old, &names, false), [passed, failed, failed, unknown, failed, unknown]);
}
