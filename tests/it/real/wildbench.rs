//! `WildBench`: scores that are strings of digits; the judge's tokens beside the model's answer; no prompt.

use distill::ops::run::{RunOptions, What};
use distill::record::{EvidenceRecord, RagSample};
use serde_json::json;

use super::{assert_categories, folder, jq, refined_in, unread_of};
use crate::engine::{Place, receipts};

#[test]
fn wildbench_is_judged_by_its_scores() {
    let Some((dir, view)) = refined_in("wildbench", "wildbench-scores") else { return };
    let file = folder("wildbench-scores")
        .join("eval_results/v2.0625/score.v2/eval=gpt-4o-2024-05-13/reka-edge.json");
    let category = r#".[0][].score | {"1": "rejected", "2": "rejected", "3": "rejected", "4": "rejected",
        "5": "needs_human_review", "6": "needs_human_review"}[.] // "partially_accepted""#;
    assert_categories(&view, category, &[&file]);

    let source = jq(".[0]", &[&file]);
    let rows = source.as_array().expect("an array");
    let evidence = view.records::<EvidenceRecord>("evidence");
    assert_eq!(evidence.len(), rows.len());
    for (key, record) in &evidence {
        let row = &rows[usize::try_from(record.provenance.line_offset).expect("fits")];
        assert!(!key.contains('~'), "{key}");
        assert_eq!(record.response.as_deref(), row["model_output"].as_str());
        assert_eq!(record.task_id, Some(format!("wildbench-{}", row["session_id"].as_str().expect("an id"))));
        assert_eq!(record.model.provider.as_deref(), Some("reka"));
        assert_eq!(record.model.name.as_deref(), Some("reka-edge"));
        let observer = record.observer.as_ref().expect("a verdict");
        assert_eq!((observer.by.as_deref(), observer.confidence), (Some("gpt-4o-2024-05-13"), None));
        assert_eq!(record.usage, distill::record::Usage::default(), "the judge's tokens are not the model's");
        assert!(record.instruction.is_none() && record.messages.is_empty() && record.recorded_at.is_none());
        let whole = serde_json::to_string(record).expect("JSON");
        assert!(!whole.contains(row["parsed_result"]["weaknesses"].as_str().expect("text")), "{key}");
    }

    // Empty answers are there, and no corpus has one, whatever the judge thought of them.
    let empty = jq("[.[0][] | select(.model_output == \"\")] | length", &[&file]);
    let silent = evidence.values().filter(|r| r.response.as_deref() == Some("")).count();
    assert_eq!((json!(silent), silent), (empty, 29));
    for row in view.records::<RagSample>("exports/rag").values() {
        assert_ne!(evidence[&row.id].response.as_deref(), Some(""));
    }

    // Without the request there is nothing to train on: not even when SFT is opened to partly accepted answers.
    let place = Place { root: dir.path().to_owned() };
    place
        .try_run(&RunOptions { include_partial: Some(true), ..RunOptions::new(What::All) })
        .expect("a second run");
    let (repo, head) = (place.repo(), place.head());
    let receipts = receipts(&repo, &head);
    let good = jq("[.[0][] | select(.score | tonumber > 6)] | length", &[&file]);
    assert_eq!(json!(receipts["export-sft"].quarantined_by["empty_instruction"]), good);
    assert_eq!((receipts["export-sft"].counts.records, receipts["export-preference"].counts.records), (0, 0));

    // Twice the judge added members of its own.
    let judge =
        ["`Filtered Rows 2", "analysis", "strengths", "weaknesses"].map(|k| format!("parsed_result.{k}"));
    let unread = unread_of(dir.path());
    assert_eq!(unread[..3], ["meta_data.batch_req_id", "meta_data.usage", "parsed_result"]);
    assert_eq!(unread[3..], judge);
}
