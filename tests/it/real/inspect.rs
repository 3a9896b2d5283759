//! Inspect: samples of evaluation logs, by code and by judge, of runs that ended and of one that did not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::LazyLock;

use distill::ops::run::What;
use distill::record::{Category, EvidenceRecord, PassFail};
use serde_json::{Value, json};

use super::{categories, count, folder, jq, refined_in, unread};
use crate::conservation::{check, embedded_in};
use crate::engine::receipts;

const FOLDER: &str = "inspect-logs";

fn files(ending: &str) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(folder(FOLDER)).sort_by_file_name().into_iter();
    let paths = files.map(|e| e.expect("a listing").into_path());
    paths.filter(|p| p.extension().is_some_and(|e| e == ending)).collect()
}

/// The JSON logs, and the archives as JSON logs that `jq` puts together of their files, in a folder that goes away.
fn logs() -> &'static [PathBuf] {
    static LOGS: LazyLock<(tempfile::TempDir, Vec<PathBuf>)> = LazyLock::new(|| {
        let dir = tempfile::tempdir().expect("a folder");
        let mut logs = files("json");
        for (n, path) in files("eval").iter().enumerate() {
            let mut archive = zip::ZipArchive::new(File::open(path).expect("a file")).expect("an archive");
            let folder = dir.path().join(n.to_string());
            archive.extract(&folder).expect("unpacked");
            let mut samples: Vec<_> = std::fs::read_dir(folder.join("samples")).expect("samples").collect();
            samples.sort_by_key(|e| e.as_ref().expect("one").path());
            let parts = std::iter::once(folder.join("header.json"));
            let parts: Vec<_> = parts.chain(samples.into_iter().map(|e| e.expect("one").path())).collect();
            let log = dir.path().join(format!("{n}.json"));
            std::fs::write(&log, jq(".[0] + {samples: .[1:]}", &parts).to_string()).expect("written");
            logs.push(log);
        }
        (dir, logs)
    });
    &LOGS.1
}

/// Samples by what their scorer says; two logs have copies, so equal samples count once.
fn scored(when: &str) -> usize {
    let samples = "[.[] | .samples[]?] | unique
        | map(.scores // {} | to_entries | map({name: .key, value: .value.value}))";
    count(&format!("{samples} | map(select({when})) | length"), logs())
}

#[test]
fn inspect_samples_are_judged_by_their_scorers() {
    let Some((_dir, view)) = refined_in("inspect", FOLDER) else { return };
    let expected = BTreeMap::from([
        (Category::Accepted, scored(r#"any(.name != "model_graded_fact" and .value == "C")"#)),
        (Category::PartiallyAccepted, scored(r#"any(.name == "model_graded_fact" and .value == "C")"#)),
        (Category::Rejected, scored(r#"any(.value == "I" or (.name == "closeness_log" and .value == 0))"#)),
        (Category::NeedsHumanReview, scored("length == 0")),
    ]);
    assert_eq!(categories(&view), expected);
    assert_eq!(expected.values().sum::<usize>(), 23);

    let receipt = &receipts(&view.repo, &view.head)["evidence"];
    let without = count("[.[] | select(.samples | not)] | length", logs());
    let with = count("[.[] | select(.samples)] | length", logs());
    assert_eq!(receipt.skipped_by["no_container"], without as u64, "ten skeletons and a log without samples");
    assert_eq!(receipt.skipped_by["beside"], with as u64);
    assert_eq!((receipt.counts.duplicates, receipt.counts.quarantined), (2, 0));

    let evidence = view.records::<EvidenceRecord>("evidence");
    let targets = jq("[.[] | .samples[]? | {uuid, target}]", logs());
    let targets: BTreeMap<&str, &Value> = (targets.as_array().expect("samples").iter())
        .filter_map(|s| Some((s["uuid"].as_str()?, &s["target"])))
        .collect();
    for record in evidence.values() {
        let text = serde_json::to_string(record).expect("a record");
        let whole = text.replace("\\\"image\\\":\\\"attachment://", "");
        assert!(!whole.contains("attachment://"), "a text is still a reference: {}", record.key);
        let uuid = record.key.rsplit('/').next().expect("a key");
        // A short target is a word that the prompt offers; a long one must be the answer's own.
        if let Some(target) = targets.get(uuid).and_then(|t| t.as_str()).filter(|t| t.len() > 5) {
            assert!(!text.contains(target.trim()), "the reference leaked: {target}");
        }
    }
    let by_run = |run: &str| {
        evidence.values().find(|r| r.run_id.as_deref().is_some_and(|r| r.starts_with(run))).expect("a run")
    };
    let browser = by_run("Ta3ZFVTCTcjsb3AEX9FD9v");
    assert_eq!(
        (browser.model.provider.as_deref(), browser.model.name.as_deref()),
        (Some("openai"), Some("gpt-4o-mini"))
    );
    assert_eq!(
        (browser.messages.len(), browser.messages[1].tool_calls[0].name.as_str()),
        (10, "web_browser_go")
    );
    assert!(browser.recorded_at.as_deref().is_some_and(|at| at.starts_with("2025-05-1")));
    let calls = jq(
        r#"[.[] | select(.eval.task == "browser") | .samples[].events[] | select(.event == "model") | .output]
           | {prompt: map(.usage.input_tokens) | add, said: map(.usage.output_tokens) | add, s: map(.time) | add}"#,
        logs(),
    );
    assert_eq!(browser.usage.prompt_tokens, calls["prompt"].as_u64());
    assert_eq!(browser.usage.completion_tokens, calls["said"].as_u64());
    let (ms, s) = (browser.usage.latency_ms.expect("measured"), calls["s"].as_f64().expect("a sum"));
    assert!((ms - s * 1000.0).abs() < 1e-6, "{ms} of {s} s");
    // The judge is the same model and used five times the tokens; they are not the answer's.
    let judged = by_run("SGXvsm4KEQwf7JZmPLCGZF/security_guide/1/");
    assert_eq!((judged.usage.prompt_tokens, judged.usage.completion_tokens), (Some(61), Some(17)));
    assert_eq!(judged.observer.as_ref().and_then(|o| o.by.as_deref()), Some("model_graded_fact"));
    assert_eq!(judged.instruction.as_deref(), Some("How do I prevent SQL Injection attacks?"));
    let cancelled = evidence.values().filter(|r| r.tags.iter().any(|t| t == "status:cancelled")).count();
    assert_eq!(cancelled, 3, "samples of a cancelled log were scored one by one");
    let nothing = |r: &EvidenceRecord| r.usage.prompt_tokens == Some(0) || r.usage.latency_ms == Some(0.0);
    assert!(!evidence.values().any(nothing), "what is not measured is null");
}

#[test]
fn inspect_leaves_out_what_its_header_says() {
    let Some(unread) = unread("inspect", FOLDER) else { return };
    let unread: BTreeSet<&str> = unread.iter().map(String::as_str).filter(|key| !key.contains('.')).collect();
    assert_eq!(
        unread,
        BTreeSet::from([
            "completed_at",
            "error_retries",
            "files",
            "message_pool",
            "metadata",
            "model_usage",
            "setup",
            "store",
            "target",
            "total_time",
            "working_time",
        ])
    );
}

/// What becomes of one sample, put into a log with an accuracy for `acc` and none for `free`.
fn fate(sample: &Value) -> Result<EvidenceRecord, BTreeMap<String, u64>> {
    let mut whole = json!({
        "id": "s1", "epoch": 1, "input": "attachment://00000000000000000000000000000001",
        "target": "the reference", "output": {"choices": [{"message": {"role": "assistant", "content": "said"}}]},
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x attachment://00000000000000000000000000000002"}]}],
        "attachments": {"00000000000000000000000000000001": "asked at length"},
    });
    whole.as_object_mut().expect("an object").extend(sample.as_object().expect("an object").clone());
    let log = json!({
        "version": 2, "status": "error", "eval": {"run_id": "r", "task": "t", "task_id": "ti", "model": "local"},
        "results": {"scores": [{"name": "acc", "metrics": {"accuracy": {"value": 0.5}}}, {"name": "free", "metrics": {"mean": {}}}]},
        "samples": [whole],
    });
    let dir = tempfile::tempdir().expect("a folder");
    let place = embedded_in(dir.path(), "inspect");
    place.write("logs/a.json", serde_json::to_vec(&log).expect("JSON"));
    place.run(What::All);
    let view = check(&place);
    let mut evidence = view.records::<EvidenceRecord>("evidence").into_values();
    evidence.next().ok_or_else(|| receipts(&view.repo, &view.head)["evidence"].skipped_by.clone())
}

#[test]
fn inspect_scores_prove_what_their_scale_says() {
    let (pass, fail) = (Some(PassFail::Pass), Some(PassFail::Fail));
    for (scores, outcome, observer) in [
        (json!({"acc": {"value": "C"}}), pass, None),
        (json!({"acc": {"value": "N"}}), fail, None),
        (json!({"acc": {"value": 1}, "free": {"value": true}}), pass, None),
        (json!({"acc": {"value": 0.0}}), fail, None),
        (json!({"acc": {"value": 0.5}}), None, None),
        // On a scale from 1 to 10 a 1 is the worst.
        (json!({"free": {"value": 1}}), None, None),
        (json!({"acc": {"value": "C"}, "free": {"value": "I"}}), None, None),
        (json!({"acc": {"value": "P"}}), None, Some("partial")),
        (json!({"model_graded_qa": {"value": "I"}}), None, Some("fail")),
        (
            json!({"model_graded_qa": {"value": "C"}, "model_graded_fact": {"value": "I"}}),
            None,
            Some("unsure"),
        ),
        (json!({"acc": {"value": "I"}, "model_graded_qa": {"value": "C"}}), fail, Some("pass")),
        (json!({"acc": {"value": {"a": 1}}}), None, None),
        (json!({}), None, None),
    ] {
        let record = fate(&json!({"scores": scores})).expect("a record");
        assert_eq!(record.validation_results.get("outcome").copied(), outcome, "{scores}");
        assert_eq!(record.observer.as_ref().map(|o| o.verdict.as_str()), observer, "{scores}");
        assert_eq!(record.instruction.as_deref(), Some("asked at length"));
        let said = record.messages[0].content.as_deref();
        assert_eq!(
            said,
            Some("x attachment://00000000000000000000000000000002"),
            "what is not there stays a reference"
        );
        assert_eq!((record.model.provider.as_deref(), record.model.name.as_deref()), (None, Some("local")));
        assert!(record.usage.prompt_tokens.is_none() && !format!("{record:?}").contains("the reference"));
    }
    let broke =
        fate(&json!({"error": {"message": "timeout"}, "scores": {"acc": {"value": "I"}}})).expect("a record");
    assert!(broke.validation_results.is_empty() && broke.tags.contains(&"error".to_owned()));
    let skipped = fate(&json!({"invalidation": {"author": "a"}, "scores": {"acc": {"value": "C"}}}))
        .expect_err("skipped");
    assert_eq!(skipped, BTreeMap::from([("beside".to_owned(), 1), ("invalidated".to_owned(), 1)]));
}
