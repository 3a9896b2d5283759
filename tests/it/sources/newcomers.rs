//! Formats that nobody who wrote distill had seen: three specs, no Rust.
//!
//! `fixtures/sources/newcomers/<name>/` holds the spec and the files of each; docs/sources.md shows the specs as worked
//! examples, and a test keeps the two the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use distill::ops::run::What;
use distill::record::{Category, EvidenceRecord, PreferenceSample, ScoredRun, SftSample};

use crate::conservation::{View, check};
use crate::engine::{Place, receipts};

const NAMES: [&str; 3] = ["gateway", "nightly", "tickets"];

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sources/newcomers").join(name)
}

fn spec(name: &str) -> String {
    std::fs::read_to_string(case(name).join("spec.toml")).expect("a spec")
}

/// The files of a newcomer, refined with the policy that ships and checked from end to end.
fn refined(name: &str) -> (tempfile::TempDir, View) {
    let dir = tempfile::tempdir().expect("a folder");
    let place = Place::new(dir.path(), &[(name, &spec(name))]);
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join(".distill/policy.toml");
    place.write(".distill/policy.toml", std::fs::read(policy).expect("the policy"));
    for entry in walkdir::WalkDir::new(case(name)) {
        let entry = entry.expect("a listing");
        let relative = entry.path().strip_prefix(case(name)).expect("below");
        if entry.file_type().is_file() && relative != Path::new("spec.toml") {
            place.write(relative.to_str().expect("UTF-8"), std::fs::read(entry.path()).expect("a fixture"));
        }
    }
    place.run(What::All);
    let view = check(&place);
    (dir, view)
}

/// Category of every scored run, by the part of its key that the spec gives.
fn decided(view: &View) -> Vec<(String, Category)> {
    let scored = view.records::<ScoredRun>("scored-runs");
    scored
        .iter()
        .map(|(key, run)| (key.rsplit('/').next().expect("a key").to_owned(), run.category))
        .collect()
}

#[track_caller]
fn expect_decided(view: &View, expected: &[(&str, Category)]) {
    let expected: Vec<_> = expected.iter().map(|(key, category)| ((*key).to_owned(), *category)).collect();
    assert_eq!(decided(view), expected);
}

/// What left rows out, and why rows were refused.
#[track_caller]
fn expect_left(view: &View, skipped: &[(&str, u64)], refused: &[(&str, u64)]) {
    let table = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    let receipt = &receipts(&view.repo, &view.head)["evidence"];
    assert_eq!((&receipt.skipped_by, &receipt.quarantined_by), (&table(skipped), &table(refused)));
}

fn evidence(view: &View, key: &str) -> EvidenceRecord {
    let end = format!("/{key}");
    let mut records = view.records::<EvidenceRecord>("evidence").into_iter();
    records.find(|(k, _)| k.ends_with(&end)).unwrap_or_else(|| panic!("no record {key}")).1
}

fn pairs(view: &View) -> Vec<(String, String)> {
    view.records::<PreferenceSample>("exports/preference")
        .into_values()
        .map(|p| (p.chosen, p.rejected))
        .collect()
}

#[test]
fn a_gateway_log_of_requests_responses_and_thumbs() {
    let (_dir, view) = refined("gateway");
    expect_decided(
        &view,
        &[
            ("rq-0001", Category::Accepted),
            ("rq-0002", Category::Rejected),
            ("rq-0003", Category::NeedsHumanReview),
            ("rq-0006", Category::Rejected),
            ("rq-0007", Category::NeedsHumanReview),
        ],
    );
    let skipped = [("not_a_response", 8), ("not_answered", 1), ("not_chat", 1)];
    expect_left(&view, &skipped, &[("json_syntax", 1)]);
    assert_eq!(pairs(&view), [("Ten per cent.".to_owned(), "Twenty per cent.".to_owned())]);
    let down = evidence(&view, "rq-0002");
    assert_eq!(
        down.messages.iter().map(|m| m.role.as_str()).collect::<Vec<_>>(),
        ["system", "user", "assistant"]
    );
    assert_eq!(down.instruction.as_deref(), Some("What is the VAT on books in Austria?"));
    let human = down.human_override.as_ref().expect("a thumb");
    assert_eq!(
        (human.by.as_deref(), human.reason.as_deref()),
        (Some("u-2"), Some("that is the standard rate"))
    );
    assert_eq!(down.provenance.lookup_ids.len(), 2, "the request and the thumb");
    // Its request was rotated away: what is left says so by its absence.
    let orphan = evidence(&view, "rq-0007");
    assert_eq!((orphan.instruction.as_deref(), orphan.messages.len()), (None, 1));
}

#[test]
fn a_table_of_tickets_with_stars_and_corrections() {
    let (_dir, view) = refined("tickets");
    expect_decided(
        &view,
        &[
            ("T-101", Category::Accepted),
            ("T-102", Category::Rejected),
            ("T-103", Category::Rejected),
            ("T-103.1", Category::Accepted),
            ("T-104", Category::NeedsHumanReview),
            ("T-105", Category::NeedsHumanReview),
        ],
    );
    expect_left(&view, &[("beside", 1)], &[("bad_columns", 1)]);
    assert_eq!(receipts(&view.repo, &view.head)["evidence"].counts.duplicates, 1);
    let better = "Yes, companies can: choose “Invoice” at the checkout.".to_owned();
    assert_eq!(pairs(&view), [(better.clone(), "No.".to_owned())]);
    let sft = view.records::<SftSample>("exports/sft");
    assert!(sft.values().any(|row| row.response == better && row.instruction == "Can I pay by invoice?"));
    let (bot, agent) = (evidence(&view, "T-103"), evidence(&view, "T-103.1"));
    assert_eq!((bot.model.name.as_deref(), agent.model.name.as_deref()), (Some("small-8b"), None));
    assert_eq!(agent.human_override.and_then(|h| h.by).as_deref(), Some("mara"));
    assert_eq!(bot.recorded_at.as_deref(), Some("2026-03-01T09:00:00Z"));
}

#[test]
fn a_nightly_harness_with_nested_steps_and_test_results() {
    let (_dir, view) = refined("nightly");
    expect_decided(
        &view,
        &[
            ("coder-32b-add-flag", Category::NeedsHumanReview),
            ("coder-32b-fix-import", Category::Accepted),
            ("coder-7b-fix-import", Category::Rejected),
        ],
    );
    expect_left(&view, &[("aborted", 1)], &[("json_syntax", 1)]);
    assert_eq!(pairs(&view), [("-import jsn\n+import json".to_owned(), "-import jsn".to_owned())]);
    let failed = evidence(&view, "coder-7b-fix-import");
    assert_eq!(failed.failure_markers, ["test_answers: NameError: json"]);
    let roles: Vec<_> = failed.messages.iter().map(|m| m.role.as_str()).collect();
    assert_eq!(
        roles,
        ["user", "assistant", "assistant", "tool", "assistant"],
        "outer steps before inner ones"
    );
    assert_eq!(failed.messages[2].tool_calls[0].name, "read_file");
    let usage = &failed.usage;
    assert_eq!(
        (usage.prompt_tokens, usage.completion_tokens, usage.latency_ms),
        (Some(660), Some(84), Some(2100.0))
    );
}

#[test]
fn the_worked_examples_are_the_specs_that_run() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sources.md")).expect("docs");
    for name in NAMES {
        assert!(
            page.contains(&format!("```toml\n{}```\n", spec(name))),
            "docs/sources.md shows another `{name}`"
        );
    }
}

/// Columns that the spec names itself, and what does not fit them.
#[test]
fn rows_that_are_arrays_get_their_names() {
    let spec = super::spec("columns = [\"b\", \"a\"]\n[fields]\nrun_id = \".a\"\ntask_id = \".b\"");
    let draft = &super::drafts(&spec, r#"["x", 2]"#)[0].record;
    assert_eq!((draft.run_id.as_deref(), draft.task_id.as_deref()), (Some("2"), Some("x")));
    let draft = &super::drafts(&spec, r#"{"a": "an object is taken as it is"}"#)[0].record;
    assert!(draft.run_id.is_some() && draft.task_id.is_none());
    let refusal = super::refusal(&spec, "[1,2,3]");
    assert_eq!(refusal, ("bad_columns", "the row has 3 cells for 2 columns".to_owned()));
    assert_eq!(super::refusal(&spec, "1").0, "not_an_object");
    for (columns, why) in [
        ("[]", "columns must be names that differ, at least one"),
        (r#"["a", "a"]"#, "columns must be names that differ, at least one"),
        ("\"$unit.a\"", "columns must be names, or a plain path such as $beside.columns"),
        ("\"$beside.a\"", "nothing stands beside the rows"),
    ] {
        let text = format!("stream = \"s\"\nfiles = [\"a\"]\ncolumns = {columns}\n[fields]\n");
        let error = distill::pipeline::source::Spec::parse("s", &text).expect_err("refused").to_string();
        assert!(error.starts_with("s.toml:3:11: ") && error.contains(why), "{error}");
    }
    let plain = super::spec("[fields]\nrun_id = \".a\"");
    assert!(plain.to_value().get("columns").is_none(), "a spec without columns keeps its id");
}
