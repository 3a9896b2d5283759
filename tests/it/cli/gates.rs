//! The gates as an operator types them: `acceptance` and `audit-full`.

use std::fs;
use std::path::Path;

use super::Bench;
use distill::object::ObjectId;

const BASELINES: &str = "data/_kb/audit_baselines.jsonl";
const ACCEPTED: &str = "reports/distillation/phase6-acceptance-report.md";
const AUDITED: &str = "reports/distillation/phase8-full-audit-report.md";

fn read(bench: &Bench, name: &str) -> String {
    fs::read_to_string(bench.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The numbers of the checks that failed.
fn failed(audit: &serde_json::Value) -> Vec<u64> {
    let items = audit["items"].as_array().expect("checks");
    assert_eq!(items.len(), 16);
    items.iter().filter(|i| i["holds"] == false).map(|i| i["number"].as_u64().expect("a number")).collect()
}

/// Audits what must not pass, and answers with what it said.
#[track_caller]
fn refused(bench: &Bench, args: &[&str]) -> serde_json::Value {
    let args: Vec<&str> = [&["audit-full", "--json"], args].concat();
    serde_json::from_str(&bench.fails(1, &args).stdout).expect("an answer is JSON")
}

/// A repository with one run, its exports checked out.
fn with_files() -> Bench {
    let bench = Bench::new();
    bench.ok(&["run-all", "--run-id", "r1"]);
    bench
}

#[test]
fn acceptance_holds_anywhere_and_reports_in_a_repository() {
    let bench = Bench::empty();
    let text = bench.ok(&["acceptance"]);
    assert!(text.contains("\n22/22 invariants hold on fixture "), "{text}");
    assert_eq!(text.matches("  holds  ").count(), 22, "{text}");
    assert_eq!(fs::read_dir(bench.path()).expect("a folder").count(), 0, "nothing is written outside one");

    bench.ok(&["init"]);
    let answer = bench.json("distill.acceptance.v1", &["acceptance"]);
    assert_eq!((&answer["held"], &answer["of"], &answer["accepted"]), (&22.into(), &22.into(), &true.into()));
    assert_eq!(answer["report"], ACCEPTED);
    let report = read(&bench, ACCEPTED);
    assert!(report.contains("**Accepted.** 22 of 22"), "{report}");
    assert!(report.contains(answer["fixture"].as_str().expect("a hash")), "{report}");
    for number in 1..=22 {
        assert!(report.contains(&format!("\n| {number:>3} | ")), "{number} is in the report: {report}");
    }
    // It stays where runs and checkouts bring other files, and is not overwritten when a person wrote in it.
    bench.write(".distill/sources/notes.toml", super::SPEC);
    bench.write("notes.jsonl", super::ROWS);
    bench.ok(&["run-all", "--run-id", "r1"]);
    assert_eq!(read(&bench, ACCEPTED), report);
    bench.write(ACCEPTED, "mine\n");
    bench.fails(1, &["acceptance"]).says("changed by hand", "--force");
    bench.ok(&["acceptance", "--force"]);
    assert_eq!(read(&bench, ACCEPTED), report);
}

#[test]
fn an_audit_passes_reports_and_leaves_a_baseline() {
    let bench = with_files();
    let before = (bench.id("HEAD"), bench.ok(&["branch"]), bench.ok(&["tag"]));
    let text = bench.ok(&["audit-full"]);
    assert!(text.contains("\n16/16 required checks hold for r1"), "{text}");
    let first = bench.json("distill.audit_full.v1", &["audit-full"]);
    assert_eq!((bench.id("HEAD"), bench.ok(&["branch"]), bench.ok(&["tag"])), before, "no branch moves");
    assert_eq!(failed(&first), Vec::<u64>::new());
    assert_eq!(first["compared_with"]["number"], 1);
    assert_eq!((&first["baseline"]["number"], &first["severity"]), (&2.into(), &"none".into()));
    let report = read(&bench, AUDITED);
    assert!(report.contains("**Passed.** 16 of 16") && report.contains("p4_sft_rows"), "{report}");

    // Each row is chained to the one before, and is an object of the store.
    let rows = read(&bench, BASELINES);
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!(rows.len(), 2);
    let ids: Vec<String> = rows.iter().map(|row| ObjectId::of(row.as_bytes()).to_string()).collect();
    let second: serde_json::Value = serde_json::from_str(rows[1]).expect("JSON");
    assert_eq!(second["previous"], ids[0].as_str());
    assert_eq!(first["baseline_id"], ids[1].as_str());
    for (row, id) in rows.iter().zip(&ids) {
        assert_eq!(bench.ok(&["cat", id]), *row);
    }
    bench.ok(&["verify"]);
    bench.ok(&["gc", "--grace", "0"]);
    assert_eq!(bench.ok(&["cat", &ids[0]]), rows[0], "a collection keeps what audits found");
    // `undo` takes back the run, not the audit.
    bench.ok(&["undo"]);
    assert_eq!(read(&bench, BASELINES).lines().count(), 2);
}

#[test]
fn nothing_is_written_when_nothing_is_to_be() {
    let bench = with_files();
    let answer = bench.json("distill.audit_full.v1", &["audit-full", "--no-write"]);
    assert!(answer["baseline"].is_null() && answer["report"].is_null());
    assert!(!bench.path().join(BASELINES).exists() && !bench.path().join(AUDITED).exists());
}

#[test]
fn a_changed_baseline_file_is_named() {
    let bench = with_files();
    for _ in 0..3 {
        bench.ok(&["audit-full"]);
    }
    let whole = read(&bench, BASELINES);
    let rows: Vec<&str> = whole.lines().collect();
    let forged = rows[1].replace("\"p3_accepted\":2", "\"p3_accepted\":9");
    assert_ne!(forged, rows[1]);
    let cases = [
        (format!("{}\n{}\n", rows[0], rows[1]), "truncated", 3),
        (format!("{}\n{forged}\n{}\n", rows[0], rows[2]), "edited", 2),
        (format!("{}\n{}\n{}\n", rows[1], rows[0], rows[2]), "reordered", 1),
    ];
    for (text, word, line) in cases {
        bench.write(BASELINES, &text);
        let audit = refused(&bench, &[]);
        assert_eq!(failed(&audit), [16], "{word}");
        let breach = &audit["items"][15]["breaches"][0];
        assert!(breach["detail"].as_str().expect("words").contains(word), "{breach}");
        assert_eq!((&breach["file"], &breach["line"]), (&BASELINES.into(), &line.into()), "{word}");
        assert!(audit["baseline"].is_null(), "nothing is appended to a broken chain");
        assert_eq!(read(&bench, BASELINES), text, "and nothing is mended in silence");
    }
    bench.write(BASELINES, &whole);
    bench.ok(&["audit-full"]);
}

#[test]
fn an_old_release_is_held_against_its_own_configuration_and_ancestors() {
    let bench = with_files();
    bench.ok(&["tag", "v1.0.0", "-m", "the first"]);
    bench.ok(&["audit-full"]);
    // Later: other rows, another policy, and a baseline that is none of the release's.
    let policy = read(&bench, ".distill/policy.toml").replacen(
        "category = \"accepted\"",
        "category = \"rejected\"",
        5,
    );
    bench.write(".distill/policy.toml", &policy);
    let more = super::ROWS.to_owned()
        + "{\"id\":\"n5\",\"ts\":\"2026-01-04T00:00:00Z\",\"task\":\"t4\",\"prompt\":\"Say five\",\"answer\":\"five\",\"passed\":true}\n";
    bench.write("notes.jsonl", &more);
    bench.ok(&["run-all", "--run-id", "r2"]);
    let later = bench.json("distill.audit_full.v1", &["audit-full"]);
    assert_eq!(later["compared_with"]["run_id"], "r1", "the release is an ancestor of it");
    assert_ne!(later["severity"], "none");
    assert!(read(&bench, AUDITED).contains("warn") || read(&bench, AUDITED).contains("alert"));

    bench.ok(&["checkout", "v1.0.0"]);
    let audit = bench.json("distill.audit_full.v1", &["audit-full"]);
    assert_eq!((&audit["run_id"], failed(&audit)), (&"r1".into(), Vec::new()));
    assert_eq!(audit["compared_with"]["number"], 1, "not baseline 2, which is of a later run");
    assert_eq!(audit["severity"], "none");
    bench.ok(&["audit-full", "r2"]);
}

#[test]
fn a_tampered_export_in_the_working_tree_fails_the_audit() {
    let bench = with_files();
    let file = "exports/sft/instruction_response.jsonl";
    let text = read(&bench, file);
    bench.write(file, &text.replacen("accepted", "rejected", 1));
    let audit = refused(&bench, &[]);
    assert_eq!(failed(&audit), [12]);
    assert_eq!(audit["items"][11]["breaches"][0]["file"], file);
    let report = read(&bench, AUDITED);
    assert!(report.contains("**Not passed.** 15 of 16") && report.contains(file), "{report}");
}

#[test]
fn a_stage_alone_leaves_receipts_that_do_not_chain() {
    let bench = with_files();
    let more = super::ROWS.to_owned()
        + "{\"id\":\"n5\",\"ts\":\"2026-01-04T00:00:00Z\",\"task\":\"t4\",\"prompt\":\"Say five\",\"answer\":\"five\",\"passed\":true}\n";
    bench.write("notes.jsonl", &more);
    bench.ok(&["ingest"]);
    let failed = failed(&refused(&bench, &[]));
    assert!(failed.contains(&12) && failed.contains(&4), "evidence is of the rows before: {failed:?}");
    bench.ok(&["run-all"]);
    bench.ok(&["audit-full"]);
}

#[test]
fn what_audits_append_is_never_a_source() {
    let bench = Bench::new();
    let spec = super::SPEC.replace("[\"*.jsonl\"]", "[\"**/*.jsonl\"]");
    bench.write(".distill/sources/notes.toml", &spec);
    bench.ok(&["run-all", "--run-id", "r1"]);
    bench.ok(&["audit-full"]);
    assert!(Path::new(&bench.path().join(BASELINES)).exists());
    let run = bench.json("distill.run.v1", &["run-all", "--run-id", "r2"]);
    assert_eq!(run["summary"]["metrics"]["p2_evidence_quarantined"], 1, "the row that was broken before");
    let recon = bench.json("distill.recon.v1", &["recon", "--no-page"]);
    assert!(!recon.to_string().contains("audit_baselines"), "{recon}");
    bench.ok(&["audit-full"]);
}

#[test]
fn drift_is_explained_where_somebody_asks() {
    let bench = Bench::with_runs();
    let text = bench.ok(&["diff", "--explain", "r1..r2"]);
    assert!(text.contains("p2_evidence_rows") && text.contains("data"), "{text}");
    let answer = bench.json("distill.diff.v1", &["diff", "--explain", "r1..r2"]);
    let shares = &answer["explanation"]["metrics"]["p2_evidence_rows"];
    assert_eq!(
        (&shares["before"], &shares["after"], &shares["data"]),
        (&3.into(), &4.into(), &1.into()),
        "{answer}"
    );
    for part in ["tool", "specs", "policy", "unattributed"] {
        assert_eq!(shares[part], 0, "{part}: {answer}");
    }
    assert!(bench.json("distill.diff.v1", &["diff", "r1..r2"]).get("explanation").is_none());
    let policy = fs::read_to_string(bench.path().join(".distill/policy.toml")).expect("a policy");
    bench.write("other.toml", &policy.replace("category = \"accepted\"", "category = \"rejected\""));
    let text = bench.ok(&["whatif", "--policy", "other.toml"]);
    assert!(text.contains("p3_accepted"), "{text}");
    bench.fails(2, &["diff", "--explain", "r1..nothing"]);
}
