//! code-review-benchmark: one finding, one record, out of maps in maps.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use distill::record::EvidenceRecord;
use serde_json::{Value, json};

use super::{around, assert_categories, folder, jq, refined, unread_of};
use crate::engine::receipts;

#[test]
fn code_review_findings_are_judged_one_by_one() {
    let Some((dir, view)) = refined("code-review-benchmark") else { return };
    let results = folder("code-review-benchmark").join("offline/results");
    let judges =
        ["anthropic_claude-opus-4-5-20251101", "anthropic_claude-sonnet-4-5-20250929", "openai_gpt-5.2"];
    let files = judges.map(|judge| results.join(judge).join("evaluations.json"));
    let category = r#".[][][]
        | (reduce .true_positives[] as $t ({}; .[$t.matched_candidate] |= ([., $t.confidence] | max)) | .[]
           | if . >= 0.75 then "accepted" else "partially_accepted" end),
          (.false_positives[] | "rejected")"#;
    assert_categories(&view, category, &files);

    let maps: BTreeMap<&str, Value> = judges
        .iter()
        .zip(&files)
        .map(|(judge, path)| {
            (*judge, serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON"))
        })
        .collect();
    let evidence = view.records::<EvidenceRecord>("evidence");
    let (mut judged, mut tools) = (BTreeSet::new(), BTreeSet::new());
    for (key, record) in &evidence {
        assert!(!key.contains('~'), "{key}");
        let observer = record.observer.as_ref().expect("a verdict");
        let (judge, tool) =
            (observer.by.as_deref().expect("a judge"), record.model.name.as_deref().expect("a tool"));
        let pr = record.task_id.as_deref().expect("a pull request");
        let review = &maps[judge][pr][tool];
        let response = record.response.as_deref();
        let among = |list: &str, member: &str| -> Vec<&Value> {
            let list = review[list].as_array().expect("a list").iter();
            list.filter(|finding| finding[member].as_str() == response).collect()
        };
        let (hits, misses) =
            (among("true_positives", "matched_candidate"), among("false_positives", "candidate"));
        match observer.verdict.as_str() {
            "true_positive" => {
                let best = hits.iter().filter_map(|hit| hit["confidence"].as_f64()).fold(0.0, f64::max);
                assert_eq!((observer.confidence, misses.len()), (Some(best), 0), "{key}");
            }
            "false_positive" => {
                assert_eq!((observer.confidence, hits.len(), misses.len()), (None, 0, 1), "{key}");
            }
            other => panic!("{key}: {other}"),
        }
        assert!(judged.insert((judge, pr, tool, response)), "{key}: one finding, one record");
        tools.insert(tool);
        let around = around(record);
        for list in ["true_positives", "false_negatives"] {
            for golden in review[list].as_array().expect("a list") {
                let golden = golden["golden_comment"].as_str().expect("text");
                assert!(
                    !around.contains(golden) && response != Some(golden),
                    "{key}: the gold answer leaked"
                );
            }
        }
        assert!(record.instruction.is_none() && record.usage == distill::record::Usage::default());
    }
    // A tool without a finding anywhere has no record: graphite found nothing in any review.
    let found =
        jq("[.[][] | to_entries[] | select(.value.tp + .value.fp > 0) | .key] | unique | length", &files);
    assert_eq!(json!(tools.len()), found);

    let receipts = receipts(&view.repo, &view.head);
    let counts = receipts["evidence"].counts;
    assert_eq!((counts.rows_in, counts.consumed, counts.records), (150, 150, evidence.len() as u64));
    for stage in ["export-sft", "export-preference"] {
        assert_eq!(receipts[stage].counts.records, 0, "{stage}: what was reviewed is not in the data");
    }
    assert_eq!(receipts["export-sft"].quarantined_by.keys().collect::<Vec<_>>(), ["empty_instruction"]);
    // The tools are gone over whatever they are called; of a review, these members are not read.
    let unread = unread_of(dir.path());
    let members: BTreeSet<_> =
        unread.iter().map(|key| key.split_once('.').map(|(_, member)| member)).collect();
    let counts = [
        "errors_count",
        "false_negatives",
        "fn",
        "fp",
        "pr_url",
        "precision",
        "recall",
        "repo_name",
        "skipped",
        "total_candidates",
        "total_golden",
        "tp",
    ];
    assert_eq!(members, counts.into_iter().map(Some).collect());
}
