//! `distill merge` as a person and a program meet it.

use std::process::Stdio;

use super::bring;
use crate::cli::Bench;

fn row(id: &str, answer: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"task\":\"{id}\",\"prompt\":\"Say {id}\",\"answer\":\"{answer}\",\"passed\":true}}\n"
    )
}

/// Two sites with these files, each run once; the second one's history is in the first as the branch `b`.
fn sites(a: &[(&str, &str)], b: &[(&str, &str)]) -> (Bench, Bench) {
    let pair = [a, b].map(|files| {
        let bench = Bench::new();
        std::fs::remove_file(bench.path().join("notes.jsonl")).expect("removed");
        for (name, text) in files {
            bench.write(name, text);
        }
        bench
    });
    let [one, two] = pair;
    one.ok(&["run-all", "--run-id", "a1"]);
    two.ok(&["run-all", "--run-id", "b1"]);
    bring(two.path(), one.path(), "b");
    (one, two)
}

fn datasets(bench: &Bench) -> serde_json::Value {
    bench.json("distill.show.v1", &["show", "HEAD"])["datasets"].clone()
}

#[test]
fn two_sites_become_one() {
    let (bench, _) = sites(&[("a.jsonl", &row("a", "x"))], &[("b.jsonl", &(row("b", "y") + &row("a", "x")))]);
    let before = datasets(&bench);
    let dry = bench.run(&["merge", "b", "--dry-run"]);
    assert_eq!(dry.status, 0);
    assert!(dry.stdout.contains("would merge main + b") && dry.stdout.contains("brings 2 rows"), "{dry:?}");
    assert_eq!(datasets(&bench), before);
    let answer = bench.run(&["merge", "b", "-m", "both sites"]);
    assert_eq!(answer.status, 0, "{answer:?}");
    assert!(answer.stdout.contains("merged main + b"), "{answer:?}");
    assert!(answer.stderr.contains("1 file not in this folder (b.jsonl)"), "{answer:?}");
    // The same row on both sides is one record and a duplicate.
    let shown = bench.json("distill.show.v1", &["show", "HEAD"]);
    assert_eq!(
        (&shown["totals"]["evidence"]["rows"], &shown["totals"]["duplicates"]["rows"]),
        (&2.into(), &1.into())
    );
    assert_eq!(shown["parents"].as_array().map(Vec::len), Some(2));
    let log = bench.ok(&["log"]);
    assert!(log.contains("Merge:") && log.contains("both sites") && log.contains("b1"), "{log}");
    assert_eq!(
        bench.json("distill.diff.v1", &["diff"])["before"],
        bench.json("distill.diff.v1", &["diff", "a1", "HEAD"])["before"]
    );
    assert!(bench.ok(&["verify"]).contains("Everything holds"));
    let status = bench.json("distill.status.v1", &["status"]);
    assert_eq!(status["held"], serde_json::json!(["b.jsonl"]));
    assert_eq!(status["vanished"], serde_json::json!([]));
    assert!(bench.ok(&["status"]).contains("b.jsonl"));
    assert_eq!(bench.run(&["merge", "b"]).stdout, "Already up to date: main has all of it.\n");
    assert!(bench.path().join("exports/sft/instruction_response.jsonl").exists());
    bench.ok(&["undo"]);
    assert_eq!(datasets(&bench), before);
    bench.ok(&["undo"]);
    let fresh = Bench::new();
    std::fs::remove_file(fresh.path().join("notes.jsonl")).expect("removed");
    fresh.write("a.jsonl", &row("a", "x"));
    fresh.write("b.jsonl", &(row("b", "y") + &row("a", "x")));
    fresh.ok(&["run-all"]);
    assert_eq!(datasets(&bench), datasets(&fresh));
}

#[test]
fn the_same_row_in_two_ways_is_a_conflict_that_a_side_resolves() {
    let ours = row("1", "ours") + &row("2", "both");
    let theirs = row("1", "theirs") + &row("2", "both") + &row("3", "more");
    let (bench, _) = sites(&[("log.jsonl", &ours)], &[("log.jsonl", &theirs), ("b.jsonl", &row("b", "y"))]);
    let before = bench.ok(&["log", "--oneline"]);
    let answer = bench.fails(1, &["merge", "b"]);
    assert!(answer.stdout.contains("1 conflict: nothing was written"), "{answer:?}");
    assert!(answer.stdout.contains("sources/log.jsonl/0000000000"), "{answer:?}");
    assert!(answer.stderr.contains("hint: ") && answer.stderr.contains("--ours"), "{answer:?}");
    let answer = bench.fails(1, &["merge", "b", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&answer.stdout).expect("JSON");
    let conflict = &json["conflicts"][0];
    assert_eq!((&json["schema"], &json["outcome"]), (&"distill.merge.v1".into(), &"conflicts".into()));
    assert_eq!((&conflict["key"], &conflict["rev"]), (&"log.jsonl/0000000000".into(), &"b".into()));
    for (side, text) in [("ours", row("1", "ours")), ("theirs", row("1", "theirs"))] {
        let id = conflict[side].as_str().expect("an id");
        assert_eq!(bench.ok(&["cat", id]), text.trim_end());
    }
    assert_eq!(bench.ok(&["log", "--oneline"]), before, "nothing was written");
    // The file is taken whole from one side: the union is over files that there were.
    for (side, text, out) in [("--ours", &ours, 2), ("--theirs", &theirs, 1)] {
        let json = bench.json("distill.merge.v1", &["merge", "b", side]);
        assert_eq!(json["resolutions"][0]["what"], "log.jsonl");
        assert_eq!(json["resolutions"][0]["rows_left_out"], out, "{side}");
        let fresh = Bench::new();
        std::fs::remove_file(fresh.path().join("notes.jsonl")).expect("removed");
        fresh.write("log.jsonl", text);
        fresh.write("b.jsonl", &row("b", "y"));
        fresh.ok(&["run-all"]);
        assert_eq!(datasets(&bench), datasets(&fresh), "{side}");
        bench.ok(&["undo"]);
    }
    assert_eq!(bench.fails(2, &["merge", "b", "--ours", "--theirs"]).status, 2);
}

#[test]
fn a_file_that_one_side_shortened_and_the_other_extended_is_a_conflict() {
    let (bench, other) = {
        let pair = [Bench::new(), Bench::new()];
        for bench in &pair {
            bench.write("notes.jsonl", &(row("1", "x") + &row("2", "x") + &row("3", "x")));
            bench.ok(&["run-all", "--run-id", "base"]);
        }
        let [one, two] = pair;
        (one, two)
    };
    bench.write("notes.jsonl", &row("1", "x"));
    bench.ok(&["run-all", "--run-id", "short", "--accept-source-loss"]);
    other.write("notes.jsonl", &(row("1", "x") + &row("2", "x") + &row("3", "x") + &row("4", "x")));
    other.ok(&["run-all", "--run-id", "long"]);
    bring(other.path(), bench.path(), "b");
    let answer = bench.fails(1, &["merge", "b"]);
    assert!(
        answer.stdout.contains("sources/notes.jsonl/0000000001") && answer.stdout.contains("not there"),
        "{answer:?}"
    );
    let json = bench.json("distill.merge.v1", &["merge", "b", "--theirs"]);
    assert_eq!(json["run"]["summary"]["metrics"]["p2_evidence_rows"], 4);
}

#[test]
fn specs_of_both_sites_are_kept_and_two_policies_are_a_conflict() {
    const OTHER: &str = "stream = \"other\"\nfiles = [\"other/*.jsonl\"]\n[record]\nkey = \".id\"\n[fields]\nrun_id = \".id\"\ninstruction = \".prompt\"\nresponse = \".answer\"\nvalidation.outcome = \".passed\"\n";
    let (bench, other) = sites(&[("a.jsonl", &row("a", "x"))], &[("b.jsonl", &row("b", "y"))]);
    other.write(".distill/sources/other.toml", OTHER);
    other.write("other/c.jsonl", &row("c", "z"));
    other.ok(&["run-all"]);
    bring(other.path(), bench.path(), "b");
    let json = bench.json("distill.merge.v1", &["merge", "b"]);
    assert_eq!(json["config_taken"], serde_json::json!([{"part": "sources/other", "rev": "b"}]));
    assert_eq!(json["config_differs"], true);
    assert_eq!(json["run"]["summary"]["metrics"]["p2_evidence_rows"], 3);
    // Going on without the other site's spec would lose its rows.
    let answer = bench.fails(1, &["run-all"]);
    assert!(
        answer.stderr.contains("no spec reads the files that a merge brought: other/c.jsonl"),
        "{answer:?}"
    );
    bench.ok(&["checkout", "--config"]);
    bench.ok(&["run-all"]);

    let policy = std::fs::read_to_string(bench.path().join(".distill/policy.toml")).expect("a policy");
    for (bench, id) in [(&bench, "mine"), (&other, "yours")] {
        let text = policy.replacen("id = \"", &format!("id = \"{id}-"), 1);
        bench.write(".distill/policy.toml", &text);
        bench.ok(&["run-all"]);
    }
    bring(other.path(), bench.path(), "b");
    let answer = bench.fails(1, &["merge", "b"]);
    assert!(answer.stdout.contains("config/policy"), "{answer:?}");
    let json = bench.json("distill.merge.v1", &["merge", "b", "--theirs"]);
    assert_eq!(json["resolutions"][0]["what"], "policy");
    bench.ok(&["checkout", "--config", "--force"]);
    let restored = std::fs::read_to_string(bench.path().join(".distill/policy.toml")).expect("a policy");
    assert!(restored.contains("yours-") && !restored.contains("mine-"));
    assert_eq!(bench.json("distill.status.v1", &["status"])["config"], "unchanged");
}

#[test]
fn a_fast_forward_to_another_site_says_what_runs_here_will_meet() {
    let bench = Bench::new();
    bench.ok(&["run-all", "--run-id", "base", "--no-files"]);
    bench.ok(&["branch", "ahead"]);
    bench.write("elsewhere.jsonl", &row("e", "x"));
    bench.ok(&["run-all", "--branch", "ahead"]);
    std::fs::remove_file(bench.path().join("elsewhere.jsonl")).expect("removed");
    let answer = bench.run(&["merge", "ahead"]);
    assert_eq!(answer.status, 0, "{answer:?}");
    assert!(answer.stdout.contains("main moved to"), "{answer:?}");
    assert!(answer.stderr.contains("elsewhere.jsonl") && answer.stderr.contains("--no-ff"), "{answer:?}");
    bench.fails(1, &["run-all"]);
    bench.ok(&["undo"]);
    bench.ok(&["merge", "ahead", "--no-ff"]);
    bench.ok(&["run-all"]);
}

#[test]
fn a_merge_needs_a_branch_and_a_revision() {
    let bench = Bench::with_runs();
    assert!(bench.fails(2, &["merge"]).stderr.contains("<REV>"));
    assert!(bench.fails(2, &["merge", "nowhere"]).stderr.contains("no revision is called `nowhere`"));
    bench.ok(&["checkout", "r1"]);
    assert!(bench.fails(1, &["merge", "r2"]).stderr.contains("HEAD is detached"));
}

#[test]
fn a_merge_killed_anywhere_leaves_the_old_or_the_new_state() {
    let rows =
        |from: u32, to: u32| (from..to).map(|n| row(&format!("k{n}"), &n.to_string())).collect::<String>();
    let (bench, _) = sites(&[("a.jsonl", &rows(0, 500))], &[("b.jsonl", &rows(400, 900))]);
    let before = datasets(&bench);
    let start = std::time::Instant::now();
    bench.ok(&["merge", "b"]);
    let whole = start.elapsed();
    let done = datasets(&bench);
    assert_ne!(before, done);
    bench.ok(&["undo"]);
    for part in [1, 4, 7] {
        let mut child = bench
            .command(&["merge", "b"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(whole.mul_f64(f64::from(part) / 8.0));
        child.kill().ok();
        child.wait().expect("it ends");
        bench.ok(&["verify"]);
        let after = datasets(&bench);
        assert!(after == before || after == done, "HEAD is neither old nor new");
        bench.ok(&["merge", "b", "--force"]);
        assert_eq!(datasets(&bench), done);
        bench.ok(&["reset", "--hard", "a1", "--force"]);
    }
}
