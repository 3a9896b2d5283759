//! `log --record`, `log --metric`, `log --graph` and `bisect`: long histories, and histories with merges.

use std::fmt::Write as _;

use distill::object::{CommitId, Kind, Write as _};
use distill::repo::{Commit, Repo, Site};
use distill::store::{OpRequest, RefChange};
use serde_json::{Value, json};

use super::Bench;

fn row(id: &str, passed: Option<bool>, answer: &str) -> String {
    let passed = passed.map_or("null".to_owned(), |passed| passed.to_string());
    format!(
        "{{\"id\":\"{id}\",\"ts\":\"2026-01-02T03:04:05Z\",\"task\":\"t\",\"prompt\":\"Say {id}\",\
         \"answer\":\"{answer} {id}\",\"passed\":{passed}}}\n"
    )
}

/// A run over `rows`, which need not be those of the run before.
fn run(bench: &Bench, run_id: &str, rows: &str) {
    bench.write("notes.jsonl", rows);
    bench.ok(&["run-all", "--run-id", run_id, "--no-files", "--accept-source-loss"]);
}

/// Rows of which `accepted` passed and `rejected` did not.
fn rows(accepted: usize, rejected: usize) -> String {
    let mut text = String::new();
    for n in 0..accepted + rejected {
        text.push_str(&row(&format!("n{n:02}"), Some(n < accepted), "an answer to"));
    }
    text
}

/// Runs in which `p3_accepted` is what `accepted` says, one after the other: `r0`, `r1` …
fn series(accepted: &[usize]) -> Bench {
    let bench = Bench::new();
    for (n, accepted) in accepted.iter().enumerate() {
        run(&bench, &format!("r{n}"), &rows(*accepted, 12 - *accepted));
    }
    bench
}

fn repo(bench: &Bench) -> Repo {
    Site::at(bench.path()).and_then(Site::open).expect("a repository")
}

/// Commits what `like` has, under another name and with other parents, on a branch of that name; HEAD stays.
fn commit(bench: &Bench, name: &str, like: &str, parents: &[&str]) -> CommitId {
    let repo = repo(bench);
    let parents: Vec<_> = parents.iter().map(|rev| repo.resolve(rev).expect(rev)).collect();
    let generation = |id: &CommitId| repo.commit(*id).expect("a commit").generation;
    let commit = Commit {
        run_id: name.to_owned(),
        message: format!("this is {name}"),
        generation: parents.iter().map(generation).max().map_or(0, |most| most + 1),
        parents,
        ..repo.commit(repo.resolve(like).expect(like)).expect("a commit")
    };
    let mut staging = repo.store().staging().expect("writable");
    let id = staging.write(Kind::Data, &commit.to_bytes().expect("JSON")).expect("written");
    let change = |name: String| RefChange { old: repo.store().get_ref(&name), name, new: Some(id) };
    let request = OpRequest {
        operation: "test".to_owned(),
        at: "2026-01-01T00:00:00Z".to_owned(),
        ref_changes: vec![change(format!("heads/{name}"))],
        ..OpRequest::default()
    };
    repo.store().publish(Some(staging), request).expect("published");
    CommitId::new(id)
}

fn strings<'v>(items: &'v Value, name: &str) -> Vec<&'v str> {
    items.as_array().expect("a list").iter().map(|item| item[name].as_str().expect(name)).collect()
}

const KEY: &str = "2026/01/02/notes/a";

/// r1: it appears, accepted. r2: nothing of it. r3: rejected. r4: gone. r5: back, with another answer.
fn life() -> Bench {
    let bench = Bench::new();
    let other = |n: usize| rows(n, 0);
    run(&bench, "r1", &(row("a", Some(true), "x") + &other(1)));
    run(&bench, "r2", &(row("a", Some(true), "x") + &other(2)));
    run(&bench, "r3", &(row("a", Some(false), "x") + &other(2)));
    run(&bench, "r4", &other(2));
    run(&bench, "r5", &(row("a", Some(true), "y") + &other(2)));
    bench
}

#[test]
fn the_life_of_a_record_is_told_by_the_runs_that_changed_it() {
    let bench = life();
    let told = bench.json("distill.log_record.v1", &["log", "--record", KEY]);
    assert_eq!(strings(&told["items"], "run_id"), ["r5", "r4", "r3", "r1"]);
    let steps: Vec<_> = told["items"].as_array().expect("items").iter().map(|e| e["steps"].clone()).collect();
    let expect = [
        json!(["returned"]),
        json!(["left"]),
        json!(["changed", "rescored", "withdrawn"]),
        json!(["appeared"]),
    ];
    assert_eq!(steps, expect);
    assert_eq!(told["commits_read"], 5);
    let rejected = &told["items"][2];
    assert_eq!(rejected["verdict_before"]["category"], "accepted");
    assert_eq!(rejected["verdict_after"]["category"], "rejected");
    assert_ne!(rejected["verdict_before"]["deciding_rule"], rejected["verdict_after"]["deciding_rule"]);
    let changes = rejected["changes"].as_array().expect("changes");
    let seen: Vec<_> = changes.iter().map(|c| (c["dataset"].as_str(), c["change"].as_str())).collect();
    let all = [
        (Some("evidence"), Some("modified")),
        (Some("scored-runs"), Some("modified")),
        (Some("exports/rag"), Some("removed")),
        (Some("exports/sft"), Some("removed")),
    ];
    assert_eq!(seen, all);
    let pointers = strings(&changes[0]["fields"], "pointer");
    assert!(pointers.contains(&"/validation_results/outcome"), "{pointers:?}");
    let present: Vec<_> = strings(&told["present"], "dataset");
    assert_eq!(present, ["evidence", "scored-runs", "exports/rag", "exports/sft"]);
    let text = bench.ok(&["log", "--record", KEY]);
    for words in ["returned", "left", "re-scored", "withdrawn", "appeared", "/validation_results/outcome: "] {
        assert!(text.contains(words), "`{words}`: {text}");
    }
}

#[test]
fn a_life_can_be_cut_by_dataset_range_and_number() {
    let bench = life();
    let told = |args: &[&str]| {
        let args: Vec<&str> = ["log", "--record", KEY].into_iter().chain(args.iter().copied()).collect();
        let told = bench.json("distill.log_record.v1", &args);
        strings(&told["items"], "run_id").iter().map(|id| (*id).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(&["--dataset", "sft"]), ["r5", "r3", "r1"]);
    assert_eq!(told(&["r1..r3"]), ["r3"]);
    assert_eq!(told(&["r4"]), ["r4", "r3", "r1"]);
    assert_eq!(told(&["-n", "1"]), ["r5"]);
    bench.fails(2, &["log", "--record", "2026/01/02/notes/b"]).says("no commit of this history", KEY);
    bench.fails(2, &["log", "--record", KEY, "--dataset", "nope"]).says("called `nope`", "exports/sft");
    bench.fails(2, &["log", "--record", KEY, "--metric", "p3_accepted"]);
}

#[test]
fn a_pair_belongs_to_the_record_that_was_chosen() {
    let bench = Bench::with_runs();
    let told = bench.json("distill.log_record.v1", &["log", "--record", "2026/01/02/notes/n1"]);
    let pair =
        told["present"].as_array().expect("rows").iter().find(|p| p["dataset"] == "exports/preference");
    let key = pair.expect("n1 was chosen over n2")["key"].as_str().expect("a key");
    assert!(key.starts_with("2026/01/02/notes/n1+"), "{key}");
}

#[test]
fn a_look_up_reads_a_path_and_not_the_dataset() {
    let bench = Bench::new();
    let mut text = String::new();
    for n in 0..3000 {
        write!(text, "{}", row(&format!("n{n:04}"), Some(true), "an answer to")).expect("a string");
    }
    run(&bench, "r1", &text);
    // Nothing of the record, but every dataset has another root.
    run(&bench, "r2", &(text.clone() + &row("z", Some(true), "")));
    bench.ok(&["score", "--run-id", "r3"]);
    let told = bench.json("distill.log_record.v1", &["log", "--record", "2026/01/02/notes/n1234"]);
    assert_eq!((strings(&told["items"], "run_id"), &told["commits_read"]), (vec!["r1"], &json!(3)));
    let show = bench.json("distill.show.v1", &["show", ":evidence"]);
    let height = show["height"].as_u64().expect("a number");
    let nodes = told["nodes_read"].as_u64().expect("a number");
    assert!(height >= 2, "a tree of more than one node");
    // Two commits with roots of their own, five datasets, and the pairs once more; r3 has the roots of r2.
    assert!(nodes > 0 && nodes <= 2 * 6 * height, "{nodes} nodes, {height} levels");
}

#[test]
fn a_merge_tells_nothing_that_a_line_has_told() {
    let bench = life();
    // One line goes from r2 to r3; another from r2 to a side that is as r2. The merge takes what r3 has.
    commit(&bench, "side", "r2", &["r2"]);
    commit(&bench, "merged", "r3", &["side", "r3"]);
    let told = bench.json("distill.log_record.v1", &["log", "merged", "--record", KEY]);
    assert_eq!(strings(&told["items"], "run_id"), ["r3", "r1"], "r3 made the change, the merge took it");
    // A merge that is like neither side is told of, compared with its first parent.
    commit(&bench, "evil", "r5", &["side", "r3"]);
    let told = bench.json("distill.log_record.v1", &["log", "evil", "--record", KEY]);
    assert_eq!(strings(&told["items"], "run_id"), ["evil", "r3", "r1"]);
    assert_eq!(told["items"][0]["parent"], json!(bench.id("side")));
}

#[test]
fn a_series_has_its_values_marks_and_the_run_that_broke_it() {
    let bench = series(&[10, 10, 9, 3, 4]);
    let told = bench.json("distill.log_metric.v1", &["log", "--metric", "p3_accepted"]);
    let values: Vec<_> =
        told["items"].as_array().expect("items").iter().map(|p| p["value"].clone()).collect();
    assert_eq!(values, [4, 3, 9, 10, 10].map(Value::from));
    let marks = strings(&told["items"], "severity");
    assert_eq!(marks, ["warn", "alert", "none", "none", "none"]);
    assert_eq!((&told["broken_by"], &told["severity"]), (&json!(bench.id("r4")), &json!("alert")));
    assert_eq!(told["items"][1]["before"], 9);
    let text = bench.ok(&["log", "--metric", "p3_accepted"]);
    assert!(text.lines().next().is_some_and(|line| line == "p3_accepted  ██▇▁▂"), "{text}");
    assert!(text.contains("5 runs, from 3 to 10"), "{text}");
    let cut = bench.json("distill.log_metric.v1", &["log", "--metric", "p3_accepted", "-n", "2", "r3"]);
    assert_eq!(strings(&cut["items"], "run_id"), ["r3", "r2"]);
    assert_eq!(cut["items"][1]["before"], 10, "the oldest value is compared with one that is not listed");
    bench.write(".distill/config.toml", "[drift]\nwarn = 0.4\nalert = 0.9\n");
    let told = bench.json("distill.log_metric.v1", &["log", "--metric", "p3_accepted"]);
    assert_eq!(strings(&told["items"], "severity"), ["none", "warn", "none", "none", "none"]);
}

#[test]
fn an_unknown_metric_is_answered_with_the_nearest_and_the_ten() {
    let bench = Bench::with_runs();
    for verb in [&["log"][..], &["bisect", "--drop", "1"]] {
        for (typed, near) in
            [("accepted", "p3_accepted"), ("p4_sft", "p4_sft_rows"), ("quarantine", "p4_total_quarantined")]
        {
            let args: Vec<&str> = verb.iter().copied().chain(["--metric", typed]).collect();
            let answer = bench.fails(2, &args);
            answer.says(&format!("no metric called `{typed}`"), "the ten are p2_evidence_rows, ");
            if typed != "quarantine" {
                answer.says("no metric", &format!("did you mean `{near}`?"));
            }
        }
    }
}

#[test]
fn bisect_finds_the_first_run_beyond_the_threshold_and_says_why() {
    let bench = series(&[10, 10, 9, 7, 6, 9, 5]);
    let args = ["bisect", "--metric", "p3_accepted", "--drop", "20%"];
    let told = bench.json("distill.bisect.v1", &args);
    let found = &told["found"];
    assert_eq!((&found["run_id"], &found["value"], &told["threshold"]), (&json!("r3"), &json!(7), &json!(8)));
    assert_eq!((&found["before"]["run_id"], &found["before"]["value"]), (&json!("r2"), &json!(9)));
    assert_eq!(found["recovered"]["run_id"], "r5", "it is no monotone series");
    assert_eq!((&told["commits_read"], &told["summaries_read"]), (&json!(7), &json!(7)));
    assert_eq!(found["files"][0]["path"], "notes.jsonl");
    assert_eq!(found["config_changed"], false);
    assert_eq!(found["datasets"]["scored-runs"]["modified"], 2);
    let causes = found["drift_causes"].as_array().expect("causes");
    assert!(
        causes.iter().any(|c| c.as_str().is_some_and(|c| c.contains("p3_accepted changed by -22.2 %"))),
        "{causes:?}"
    );
    let text = bench.ok(&args);
    for words in
        ["p3_accepted: 10 at r0 (good), 5 at r6 (bad)", "to 8 or less", "the source notes.jsonl", "7 commits"]
    {
        assert!(text.contains(words), "`{words}`: {text}");
    }
    let run = |how: [&str; 2], ends: &[&str]| {
        let args: Vec<&str> = ["bisect", "--metric", "p3_accepted"]
            .into_iter()
            .chain(how)
            .chain(ends.iter().copied())
            .collect();
        bench.json("distill.bisect.v1", &args)["found"]["run_id"].clone()
    };
    assert_eq!(run(["--drop", "5"], &[]), "r6", "half of the rows, as a number");
    assert_eq!(run(["--rise", "50%"], &["--good", "r4"]), "r5");
    assert_eq!(run(["--drop", "20%"], &["--good", "r2", "--bad", "r4"]), "r3");
    assert_eq!(run(["--rise", "1"], &["--good", "r3", "--bad", "r5"]), "r5");
}

#[test]
fn bisect_says_no_with_exit_1_and_refuses_what_makes_no_sense() {
    let bench = series(&[10, 9]);
    let none = bench.fails(1, &["bisect", "--metric", "p3_accepted", "--drop", "50%", "--json"]);
    let told: Value = serde_json::from_str(&none.stdout).expect("JSON");
    assert_eq!((&told["found"], &told["threshold"]), (&json!(null), &json!(5)));
    let none = bench.fails(1, &["bisect", "--metric", "p3_partial", "--drop", "50%"]);
    assert!(none.stdout.contains("In no run it fell by 50 % or more"), "{none:?}");
    let back = ["bisect", "--metric", "p3_accepted", "--drop", "1", "--good", "r1", "--bad", "r0"];
    bench.fails(2, &back).says("r1 is not behind r0", "--good");
    for bad in [["--drop", "0"], ["--drop", "-3"], ["--drop", "x%"], ["--rise", "0%"]] {
        bench.fails(2, &["bisect", "--metric", "p3_accepted", bad[0], bad[1]]);
    }
    bench.fails(2, &["bisect", "--metric", "p3_accepted"]);
    bench.fails(2, &["bisect", "--metric", "p3_accepted", "--drop", "1", "--rise", "1"]);
}

#[test]
fn bisect_explains_a_change_of_the_configuration() {
    let bench = series(&[10]);
    let policy = std::fs::read_to_string(bench.path().join(".distill/policy.toml")).expect("a policy");
    bench.write(
        ".distill/policy.toml",
        &policy.replacen("category = \"accepted\"", "category = \"rejected\"", 9),
    );
    bench.ok(&["score", "--run-id", "s1"]);
    let found =
        bench.json("distill.bisect.v1", &["bisect", "--metric", "p3_accepted", "--drop", "1"])["found"]
            .clone();
    assert_eq!((&found["run_id"], &found["config_changed"]), (&json!("s1"), &json!(true)));
    assert_eq!(found["config"][0]["part"], "policy");
    assert_eq!(found["files"], json!([]), "no source changed");
}

#[test]
fn bisect_follows_first_parents_and_points_into_merges() {
    let bench = series(&[10, 9, 3]);
    // main: r0, r1. A side line of r0 falls to 3 and is merged into r1.
    commit(&bench, "side", "r2", &["r0"]);
    commit(&bench, "merged", "r2", &["r1", "side"]);
    let bisect = |ends: &[&str]| {
        let args: Vec<&str> = ["bisect", "--metric", "p3_accepted", "--drop", "20%"]
            .into_iter()
            .chain(ends.iter().copied())
            .collect();
        bench.json("distill.bisect.v1", &args)["found"].clone()
    };
    let found = bisect(&["--bad", "merged"]);
    assert_eq!((&found["run_id"], &found["before"]["run_id"]), (&json!("merged"), &json!("r1")));
    assert_eq!(found["merged"][0]["run_id"], "side");
    assert_eq!(bisect(&["--bad", "side"])["run_id"], "side");
    // A good end off the line of first parents is behind the merge all the same.
    commit(&bench, "fine", "r1", &["r0"]);
    commit(&bench, "later", "r2", &["r1", "fine"]);
    assert_eq!(bisect(&["--good", "fine", "--bad", "later"])["run_id"], "later");
}

#[test]
fn a_graph_draws_merges_with_children_before_parents() {
    let bench = series(&[10, 9]);
    commit(&bench, "side", "r1", &["r0"]);
    commit(&bench, "side2", "r1", &["side"]);
    commit(&bench, "merged", "r1", &["r1", "side2"]);
    let text = bench.ok(&["log", "merged", "--graph", "--oneline"]);
    let drawn: Vec<&str> =
        text.lines().map(|line| line.split("  ").next().unwrap_or("").trim_end()).collect();
    assert_eq!(drawn, ["○", "├─╮", "│ ○", "│ ○", "● │", "├─╯", "○"], "{text}");
    let ascii = bench.ok(&["log", "merged", "--graph", "--oneline", "--ascii"]);
    assert!(ascii.is_ascii() && ascii.starts_with("*    ") && ascii.contains("\n+-.\n"), "{ascii}");
    let items = bench.json("distill.log.v1", &["log", "merged", "--graph"])["items"].clone();
    assert_eq!(strings(&items, "run_id"), ["merged", "side2", "side", "r1", "r0"]);
    let range = bench.ok(&["log", "r0..merged", "--graph", "--oneline"]);
    assert_eq!(range.lines().count(), 5, "{range}");
    assert!(!range.contains(" r0 "), "{range}");
    let all = bench.json("distill.log.v1", &["log", "--graph", "--all"])["items"].clone();
    assert_eq!(all.as_array().map(Vec::len), Some(5), "a branch that HEAD has not is listed");
    let whole = bench.ok(&["log", "merged", "--graph"]);
    assert!(
        whole.lines().all(|line| line.is_empty() || line.starts_with(['○', '●', '│', '├', ' '])),
        "{whole}"
    );
}
