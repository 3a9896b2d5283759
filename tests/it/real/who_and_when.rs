//! Who&When: 184 failed runs, each with a person's verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use distill::record::{Category, EvidenceRecord, PassFail};

use super::{categories, count, folder, jq, refined, unread};

fn files(subset: &str) -> Vec<PathBuf> {
    let folder = folder("who-and-when").join("Who&When").join(subset);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("one").path()).collect();
    files.sort();
    files
}

#[test]
fn who_and_when_is_rejected_by_its_annotators() {
    let Some((_dir, view)) = refined("who-and-when") else { return };
    let (generated, crafted) = (files("Algorithm-Generated"), files("Hand-Crafted"));
    let failed = count("[.[] | select(.is_correct == false)] | length", &generated)
        + count("[.[] | select(.is_corrected == false)] | length", &crafted);
    assert_eq!(failed, 184);
    assert_eq!(categories(&view), BTreeMap::from([(Category::Rejected, failed)]));

    let evidence = view.records::<EvidenceRecord>("evidence");
    assert_eq!(evidence.len(), failed, "a key for each run: none is suffixed");
    assert!(evidence.keys().all(|key| !key.contains('~')));
    for (subset, files) in [("Algorithm-Generated", &generated), ("Hand-Crafted", &crafted)] {
        let source = jq(
            "[.[] | {question, ground_truth, mistake_step, mistake_agent, mistake_reason, level, history}]",
            files,
        );
        for (path, run) in files.iter().zip(source.as_array().expect("runs")) {
            let number = path.file_stem().expect("a name").to_string_lossy();
            let record = &evidence[&format!("0000/00/00/who_and_when/{subset}-{number}")];
            let text = |field: &str| run[field].as_str().expect(field);
            assert_eq!(record.instruction.as_deref(), Some(text("question")));
            assert_eq!(record.validation_results, BTreeMap::from([("outcome".to_owned(), PassFail::Fail)]));
            let step: usize = text("mistake_step").parse().expect("digits");
            let human = record.human_override.as_ref().expect("a verdict");
            assert_eq!((human.verdict.as_str(), human.by.as_deref()), ("failed", Some("annotator")));
            let agent = text("mistake_agent");
            let reason = format!("step {step}, {agent}: {}", text("mistake_reason"));
            assert_eq!(human.reason.as_deref(), Some(reason.as_str()));
            assert_eq!(record.failure_markers, [format!("step {step}: {agent}")]);

            let turns = run["history"].as_array().expect("a history");
            assert_eq!(record.messages.len(), turns.len());
            for (message, turn) in record.messages.iter().zip(turns) {
                assert_eq!(message.content.as_deref(), turn["content"].as_str());
                let said_by = if subset == "Hand-Crafted" { &turn["role"] } else { &turn["name"] };
                assert_eq!(message.name.as_deref(), said_by.as_str());
                assert!(matches!(message.role.as_str(), "user" | "assistant"), "{}", message.role);
            }
            assert!(turns.len() > step, "the step is a message of the history");

            // What leaks a reference is a field that holds it where the source says it nowhere else.
            let truth = text("ground_truth");
            if !text("question").contains(truth) {
                assert!(!record.instruction.as_deref().unwrap_or_default().contains(truth), "{}", record.key);
            }
            let said = turns.iter().any(|t| t["content"].as_str().is_some_and(|c| c.contains(truth)));
            assert!(
                said || !record.response.as_deref().unwrap_or_default().contains(truth),
                "{}",
                record.key
            );
            assert_eq!(record.context, None);
        }
    }
    // Two runs of the second team ended without an answer: one broke off, one printed something else.
    let silent = count(
        r#"[.[] | select(.history[-1].content | contains("FINAL ANSWER: ") | not)] | length"#,
        &crafted,
    );
    assert_eq!(evidence.values().filter(|r| r.response.is_none()).count(), silent);
    assert!(evidence.values().all(|r| r.response.as_deref().is_none_or(|t| t.trim() != "TERMINATE")));
    assert!(evidence.values().all(|r| {
        (r.model.name.as_ref(), r.recorded_at.as_ref(), r.usage.cost_usd, r.usage.prompt_tokens)
            == (None, None, None, None)
    }));
    // The same question went to both teams: runs of it share a task, never a run.
    let tasks: BTreeSet<_> = evidence.values().map(|r| r.task_id.as_deref()).collect();
    let runs: BTreeSet<_> = evidence.values().map(|r| r.run_id.as_deref()).collect();
    assert!(tasks.len() < runs.len() && runs.len() == failed);
    for export in ["exports/rag", "exports/sft", "exports/preference"] {
        assert!(view.entries(export).is_empty(), "a failed run is no example: {export}");
    }
}

#[test]
fn who_and_when_leaves_out_what_its_header_says() {
    let Some(unread) = unread("who-and-when", "who-and-when") else { return };
    let (other, prompts): (Vec<_>, Vec<_>) =
        unread.into_iter().partition(|key| !key.starts_with("system_prompt."));
    assert_eq!(other, ["ground_truth", "labels", "mistake_type", "system_prompt"]);
    assert!(prompts.len() > 100, "a prompt for each agent");
}
