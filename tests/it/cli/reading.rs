//! `log`, `show`, `cat`, `ls`, `diff`, `receipts`, and the manners of all answers.

use std::process::Stdio;

use serde_json::json;

use super::Bench;

#[test]
fn log_lists_commits_the_latest_first() {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1.0.0", "r1"]);
    let items = bench.json("distill.log.v1", &["log"])["items"].clone();
    assert_eq!([&items[0]["run_id"], &items[1]["run_id"]], ["r2", "r1"]);
    assert_eq!(items[0]["head"], true);
    assert_eq!(items[1]["refs"], json!(["runs/r1", "tags/v1.0.0"]));
    assert_eq!(items[0]["metrics"]["p2_evidence_rows"], 4);
    let one = bench.ok(&["log", "-n", "1", "--oneline"]);
    assert_eq!(one, format!("{} r2 (HEAD, main) one row more\n", &bench.id("r2")[..12]));
    let range = bench.ok(&["log", "v1.0.0..main", "--oneline"]);
    assert_eq!(range, one, "of B and not of A");
    assert_eq!(bench.ok(&["log", "main..v1.0.0"]), "", "an empty range");
    assert!(bench.ok(&["log"]).contains("    one row more\n"));
}

#[test]
fn show_json_has_what_others_build_on() {
    let bench = Bench::with_runs();
    let shown = bench.json("distill.show.v1", &["show", "r1"]);
    assert_eq!(shown["kind"], "commit");
    let metrics = shown["metrics"].as_object().expect("the metrics");
    assert_eq!((metrics.len(), &metrics["p3_accepted"], &metrics["p3_rejected"]), (10, &json!(2), &json!(1)));
    let datasets = shown["datasets"].as_object().expect("the datasets");
    for name in [
        "sources",
        "evidence",
        "scored-runs",
        "exports/rag",
        "exports/sft",
        "exports/preference",
        "quarantine",
    ] {
        assert_eq!(datasets[name].as_str().map(str::len), Some(64), "{name}");
    }
    assert_eq!(shown["totals"]["sources"]["rows"], 4);
    let text = bench.ok(&["show", "r1"]);
    assert!(text.contains("Run:     r1 (run-all)") && text.contains("exports/sft"), "{text}");
    bench.ok(&["tag", "v1.0.0", "r1", "-m", "the first release"]);
    let tagged = bench.json("distill.show.v1", &["show", "v1.0.0"]);
    assert_eq!(tagged["tag"]["message"], "the first release");
    assert_eq!(tagged["commit_id"], shown["commit_id"]);
}

#[test]
fn a_row_is_shown_as_json_and_given_as_exact_bytes() {
    let bench = Bench::with_runs();
    let rev = "HEAD:sft/2026/01/03/notes/n3";
    let row = bench.json("distill.show.v1", &["show", rev]);
    assert_eq!((&row["kind"], &row["dataset"]), (&json!("row"), &json!("exports/sft")));
    assert_eq!(row["record"]["response"], "three");
    let bytes = bench.ok(&["cat", rev]);
    assert_eq!(blake3::hash(bytes.as_bytes()).to_hex().as_str(), row["id"], "nothing is added");
    assert_eq!(bench.ok(&["cat", row["id"].as_str().expect("an id")]), bytes);
    assert!(bench.ok(&["show", rev]).contains("\n  \"response\": \"three\",\n"));
    let raw = bench.ok(&["cat", "HEAD:sources/notes.jsonl/0000000003"]);
    assert_eq!(
        raw,
        "{\"id\":\"n4\",\"ts\":\"2026-01-03T00:00:01Z\",\"task\":\"t3\",\"prompt\":\"Say four\",\"passed\":true"
    );
    let shown = bench.json("distill.show.v1", &["show", "HEAD:sources/notes.jsonl/0000000003"]);
    assert_eq!((&shown["record"], &shown["text"]), (&json!(null), &json!(raw)), "it is text and no JSON");
    assert_eq!(bench.json("distill.cat.v1", &["cat", rev])["text"], bytes);
}

#[test]
fn every_kind_of_object_prints_to_its_id() {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1", "-m", "m"]);
    let shown = bench.json("distill.show.v1", &["show", "v1"]);
    let receipts = bench.json("distill.receipts.v1", &["receipts"]);
    let mut ids = vec![shown["tag"]["tag_id"].clone(), receipts["receipts"][0]["id"].clone()];
    for part in ["commit_id", "receipts", "summary_id", "drift_id", "config_id", "config_files"] {
        ids.push(shown[part].clone());
    }
    ids.extend(shown["datasets"].as_object().expect("datasets").values().cloned());
    for id in ids {
        let id = id.as_str().expect("an id");
        let output = bench.command(&["cat", id]).output().expect("runs");
        assert_eq!(blake3::hash(&output.stdout).to_hex().as_str(), id);
        bench.ok(&["show", id]);
    }
}

#[test]
fn ls_lists_datasets_and_rows() {
    let bench = Bench::with_runs();
    let listed = bench.json("distill.ls.v1", &["ls", "r1"]);
    let evidence = listed["items"].as_array().expect("items").iter().find(|i| i["dataset"] == "evidence");
    assert_eq!(evidence.expect("evidence")["rows"], 3);
    let rows = bench.json("distill.ls.v1", &["ls", "HEAD:evidence"]);
    assert_eq!(rows["items"].as_array().map(Vec::len), Some(4));
    assert_eq!(rows["items"][0]["key"], "2026/01/02/notes/n1");
    let part = bench.ok(&["ls", "HEAD:evidence/2026/01/03", "-n", "5"]);
    assert_eq!(part.lines().count(), 1);
    assert!(part.ends_with(" 2026/01/03/notes/n3\n"), "{part}");
    assert_eq!(bench.ok(&["ls", "HEAD:evidence", "-n", "2"]).lines().count(), 2);
    bench.fails(2, &["ls", "HEAD:evidense"]).says("has no `evidense`", "`evidence`");
}

#[test]
fn diff_counts_what_changed_and_names_the_fields() {
    let bench = Bench::with_runs();
    let told = bench.json("distill.diff.v1", &["diff", "r1", "r2"]);
    let evidence = &told["datasets"]["evidence"];
    assert_eq!([&evidence["added"], &evidence["removed"], &evidence["modified"]], [1, 0, 0]);
    assert_eq!(told["metrics"].as_object().map(serde_json::Map::len), Some(10));
    let rows = &told["metrics"]["p2_evidence_rows"];
    assert_eq!([&rows["before"], &rows["after"]], [3, 4]);
    assert_eq!(rows["severity"], "warn", "a third is more than 20 %");
    assert_eq!((&told["config_changed"], &told["differs"]), (&json!(false), &json!(true)));
    for same in [&["diff", "r1..r2"][..], &["diff", "HEAD"], &["diff"]] {
        assert_eq!(bench.json("distill.diff.v1", same), told, "{same:?}");
    }
    let back = bench.json("distill.diff.v1", &["diff", "r2", "r1"]);
    assert_eq!(back["datasets"]["evidence"]["removed"], 1);

    let spec = std::fs::read_to_string(bench.path().join(".distill/sources/notes.toml")).expect("a spec");
    bench.write(".distill/sources/notes.toml", &format!("{spec}tags = '[\"x\"]'\n"));
    bench.ok(&["run-all", "--run-id", "r3", "--no-files"]);
    let told = bench.json("distill.diff.v1", &["diff", "--records", "--dataset", "evidence"]);
    assert_eq!(told["config_changed"], true);
    assert_eq!(told["config"][0]["part"], "sources/notes");
    assert_eq!(told["config"][0]["fields"][0]["pointer"], "/fields/tags");
    let records = told["records"].as_array().expect("records");
    assert_eq!(records.len(), 4, "of one dataset");
    assert_eq!(records[0]["fields"], json!([{"pointer": "/tags/0", "before": null, "after": "\"x\""}]));
    let text = bench.ok(&["diff", "--records"]);
    assert!(text.contains("~ evidence/2026/01/02/notes/n1\n    /tags/0: absent → \"x\"\n"), "{text}");
    assert!(bench.ok(&["diff", "--stat"]).contains("the configuration changed"));
}

#[test]
fn diff_answers_with_its_exit_code_and_refuses_what_makes_no_sense() {
    let bench = Bench::with_runs();
    assert!(bench.ok(&["diff", "r1", "r1", "--exit-code"]).contains("No difference."));
    bench.fails(1, &["diff", "r1", "r2", "--exit-code"]);
    bench.ok(&["diff", "r1", "r2"]);
    bench.fails(2, &["diff", "r1..r2", "r1"]).says("a range and another revision", "`A B` or `A..B`");
    bench.fails(2, &["diff", "HEAD:evidence"]).says("is not a commit", "--dataset evidence");
    bench.fails(2, &["diff", "--dataset", "evidenc"]).says("a dataset called `evidenc`", "evidence");
    let first = bench.json("distill.diff.v1", &["diff", "r1"]);
    assert_eq!(first["before"], json!(null), "the first commit is compared with nothing");
    assert_eq!(first["datasets"]["evidence"]["added"], 3);
    let stats = bench.run(&["diff", "r1", "r1", "--stats"]);
    assert!(stats.stderr.contains("tree nodes read"), "{stats:?}");
}

#[test]
fn receipts_conserve_every_row() {
    let bench = Bench::with_runs();
    let told = bench.json("distill.receipts.v1", &["receipts", "--run-id", "r1"]);
    let receipts = told["receipts"].as_array().expect("receipts");
    let stages: Vec<_> = receipts.iter().map(|r| r["stage"].as_str().expect("a stage")).collect();
    let order =
        ["sources", "evidence", "score", "export-rag", "export-sft", "export-preference", "quarantine"];
    assert_eq!(stages, order);
    for receipt in receipts {
        let count = |name: &str| receipt["counts"][name].as_u64().expect("a count");
        let fates = ["consumed", "duplicates", "quarantined", "skipped", "redacted"].map(count);
        assert_eq!(count("rows_in"), fates.iter().sum::<u64>(), "{}", receipt["stage"]);
    }
    assert_eq!(told["summary"]["run_id"], "r1");
    assert_eq!(told["drift"]["baseline"], json!(null));
    assert_eq!(bench.json("distill.receipts.v1", &["receipts", "HEAD"])["drift"]["baseline"]["run_id"], "r1");
    let text = bench.ok(&["receipts", "r1"]);
    assert!(text.contains("json_syntax"), "why a row was refused: {text}");
    assert!(!text.contains('≠'), "{text}");
    bench.fails(2, &["receipts", "--run-id", "r11"]).says("no revision is called `r11`", "`r1`");
}

#[test]
fn a_broken_pipe_is_no_error() {
    let bench = Bench::with_runs();
    for args in [
        &["log"][..],
        &["ls", "HEAD:evidence"],
        &["cat", "HEAD"],
        &["diff", "--records"],
        &["show", "--json"],
    ] {
        let mut child =
            (bench.command(args).stdout(Stdio::piped()).stderr(Stdio::piped())).spawn().expect("runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("ends");
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}

#[test]
fn answers_carry_no_colour_into_a_pipe_and_quiet_says_nothing() {
    let bench = Bench::with_runs();
    for args in [&["log"][..], &["show"], &["diff"], &["receipts"], &["status"], &["verify"]] {
        let plain = bench.ok(args);
        assert!(!plain.contains('\u{1b}'), "{args:?}");
        let output = bench.command(args).env("NO_COLOR", "1").output().expect("runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), plain, "{args:?}");
    }
    let answer = bench.run(&["-q", "diff", "--stats"]);
    assert_eq!(answer.stderr, "", "talk is silenced, the answer is not");
    assert!(!answer.stdout.is_empty());
}

#[test]
fn outside_of_a_repository_the_hint_says_how_to_make_one() {
    let bench = Bench::empty();
    bench.fails(3, &["log"]).says("no .distill folder at or above", "distill init");
    bench.write(".distill/config.toml", "");
    bench.fails(3, &["log"]).says("holds no store", "distill run-all");
    let error = bench.fails(3, &["log", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&error.stdout).expect("an object");
    assert_eq!((&value["schema"], &value["kind"]), (&json!("distill.error.v1"), &json!("outside")));
    bench.write(".distill/config.toml", "bsae = 1\n");
    bench.fails(2, &["log"]).says("line 1, column 1", "correct the file");
    let fresh = Bench::new();
    fresh.fails(2, &["log"]).says("no commit yet", "distill run-all");
}
