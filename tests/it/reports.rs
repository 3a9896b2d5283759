//! The reports, word for word. `DISTILL_BLESS=1 cargo test --test it reports` writes the expected pages anew.

use std::fs;
use std::path::Path;

use distill::ops::report;
use distill::ops::report::Run;
use distill::record::DriftReport;
use distill::record::Record as _;
use distill::record::RunSummary;
use distill::record::StageReceipt;
use serde_json::Value;
use serde_json::json;

fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn counts(rows_in: u64, [consumed, duplicates, quarantined, skipped]: [u64; 4], records: u64) -> Value {
    json!({"rows_in": rows_in, "consumed": consumed, "duplicates": duplicates, "quarantined": quarantined,
           "skipped": skipped, "redacted": 0, "records": records})
}

fn receipt(stage: &str, run_id: &str, counts: &Value, outputs: &Value) -> StageReceipt {
    let (skipped, quarantined) = (&counts["skipped"], &counts["quarantined"]);
    let by = |name: &str, n: &Value| if *n == 0 { json!({}) } else { json!({ name: n }) };
    let value = json!({
        "schema": "distill.stage_receipt.v1", "stage": stage, "run_id": run_id,
        "tool": {"name": "distill", "version": "1.2.3"}, "config_id": id('c'),
        "inputs": [{"dataset": "file:a|b_c.jsonl", "root": id('1'), "rows": 1234, "bytes": 2_000_000}],
        "outputs": outputs, "counts": counts, "skipped_by": by("category_rejected", skipped),
        "quarantined_by": by("empty_response", quarantined), "started_at": "2026-01-01T00:00:00Z",
        "ended_at": "2026-01-01T00:00:02Z", "duration_ms": 2000, "validation_pass": true, "errors": [],
        "warnings": if stage == "evidence" { json!(["a <b>warning</b> of a source"]) } else { json!([]) },
        "previous": null,
    });
    let receipt: StageReceipt = serde_json::from_value(value).expect("a receipt");
    assert_eq!(receipt.validate(), [], "{stage}");
    receipt
}

struct Records {
    summary: RunSummary,
    drift: DriftReport,
    receipts: Vec<StageReceipt>,
}

fn records() -> Records {
    let evidence = counts(1234, [1200, 20, 4, 10], 1200);
    let sft = counts(1200, [700, 0, 100, 400], 700);
    let output = |dataset: &str| {
        json!([{"dataset": dataset, "root": id('2'), "rows": 700, "bytes": 1_500_000,
                "jsonl_blake3": id('b'), "jsonl_sha256": id('a')}])
    };
    let metrics = json!({"p2_evidence_rows": 1200, "p2_evidence_quarantined": 4, "p3_accepted": 800, "p3_partial": 0,
        "p3_rejected": 399, "p3_human": 1, "p4_rag_rows": 0, "p4_sft_rows": 700, "p4_pref_pairs": 0,
        "p4_total_quarantined": 104});
    let summary = json!({
        "schema": "distill.run_summary.v1", "run_id": "now",
        "stages": [{"stage": "evidence", "counts": evidence, "receipt": id('e')}],
        "totals": evidence, "metrics": metrics, "verdict": "pass", "notes": ["a note"],
        "categories": {"accepted": 800, "partially_accepted": 0, "rejected": 399, "needs_human_review": 1},
    });
    let before = [1000, 4, 800, 0, 199, 1, 0, 350, 0, 104];
    let after = [1200, 4, 800, 0, 399, 1, 0, 700, 0, 104];
    let metrics: Vec<Value> = (distill::record::Metrics::NAMES.iter().zip(before.iter().zip(after)))
        .map(|(name, (before, after))| {
            let change = if *before == 0 {
                Value::Null
            } else {
                ((f64::from(after) - f64::from(*before)) / f64::from(*before)).into()
            };
            let severity = if *before == after {
                "none"
            } else if after >= *before * 2 {
                "alert"
            } else {
                "none"
            };
            json!({"name": name, "before": before, "after": after, "change": change, "severity": severity})
        })
        .collect();
    let drift = json!({
        "schema": "distill.drift_report.v1", "run_id": "now", "baseline": {"commit_id": id('d'), "run_id": "before"},
        "metrics": metrics, "severity": "alert", "causes": ["p4_sft_rows doubled"],
        "datasets": [{"dataset": "evidence", "added": 200, "removed": 0, "modified": 3},
                     {"dataset": "exports/rag", "added": 0, "removed": 0, "modified": 0}],
    });
    let records = Records {
        summary: serde_json::from_value(summary).expect("a summary"),
        drift: serde_json::from_value(drift).expect("a drift report"),
        receipts: vec![
            receipt("evidence", "now", &evidence, &json!([])),
            receipt("export-sft", "before", &sft, &output("exports/sft")),
        ],
    };
    assert_eq!(records.summary.validate(), []);
    assert_eq!(records.drift.validate(), []);
    records
}

fn check(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/reports").join(name);
    if std::env::var_os("DISTILL_BLESS").is_some() {
        fs::create_dir_all(path.parent().expect("has a folder")).expect("make the folder");
        fs::write(&path, page).expect("write");
    }
    let expected = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(page, expected, "{name}");
}

#[test]
fn pages_are_as_expected() {
    let records = records();
    let run = Run {
        summary: &records.summary,
        drift: Some(&records.drift),
        receipts: records.receipts.iter().collect(),
    };
    check("summary.md", &report::summary(&run));
    check("phase4-export-report.md", &report::exports(&run));
    check("phase5-receipts-report.md", &report::receipts(&run));
    let first = Run { drift: None, receipts: Vec::new(), ..run };
    check("summary-first.md", &report::summary(&first));
}

#[test]
fn counts_that_do_not_add_up_are_said_aloud() {
    let mut records = records();
    records.receipts[0].counts.consumed -= 1;
    let receipts = records.receipts.iter().collect();
    let run = Run { summary: &records.summary, drift: Some(&records.drift), receipts };
    let page = report::receipts(&run);
    assert!(page.contains("**The counts of evidence do not add up.**"), "{page}");
    assert!(page.contains("**no**") && !page.contains("Nothing was lost"), "{page}");
}
