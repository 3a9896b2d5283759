//! Commit and row stay together: cassettes, kills, concurrent replays, runs between.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use super::Desk;
use super::server::Order;

const TASK: &str = "Why does the lookup of merge_stock fail?";

#[test]
fn a_cassette_is_played_back_byte_for_byte() {
    let desk = Desk::new();
    let other = Desk::new();
    let suite = "{\"task\":\"Why does the lookup of merge_stock fail?\"}\n{\"task\":\"Why is rebuild_carts slow?\",\"format\":\"line\"}\n";
    for desk in [&desk, &other] {
        desk.bench.write("suite.jsonl", suite);
    }
    let told =
        desk.bench.ok(&["replay", "--suite", "suite.jsonl", "--ab", "--record", "tape.jsonl", "--json"]);
    let tape = fs::read_to_string(desk.bench.path().join("tape.jsonl")).expect("a cassette");
    assert_eq!(tape.lines().count(), 4);
    other.bench.write("tape.jsonl", &tape);
    // Another store with the same corpus, and no model anywhere.
    other.configure("");
    let config = fs::read_to_string(desk.bench.path().join(".distill/config.toml")).expect("text");
    other.bench.write(".distill/config.toml", &config);
    let asked = desk.server.heard().len();
    let played =
        other.bench.ok(&["replay", "--suite", "suite.jsonl", "--ab", "--cassette", "tape.jsonl", "--json"]);
    assert_eq!(played, told, "the same answer, ids and all");
    assert_eq!(other.rows(), desk.rows());
    assert_eq!((desk.server.heard().len(), other.server.heard().len()), (asked, 0), "nobody was asked");

    // A prompt that changed is said to have.
    other.bench.write("suite.jsonl", &suite.replace("slow?", "slow now?"));
    let before = other.state();
    let answer =
        other.bench.fails(3, &["replay", "--suite", "suite.jsonl", "--ab", "--cassette", "tape.jsonl"]);
    answer.says(
        "the prompt of call 3 changed since tape.jsonl was recorded: message 2 (user) differs from byte",
        "--record",
    );
    answer.says("it was `? Answer in one line.`, and is `now? Answer in one line.`", "");
    assert_eq!(other.state(), before);
    other.bench.write("suite.jsonl", suite);
    let answer = other
        .bench
        .fails(3, &["replay", "--suite", "suite.jsonl", "--model", "big", "--cassette", "tape.jsonl"]);
    answer.says("`model` was \"tiny\", and is \"big\"", "--record");
    let more = format!("{suite}{{\"task\":\"How are partitions dropped?\"}}\n");
    other.bench.write("suite.jsonl", &more);
    let answer =
        other.bench.fails(3, &["replay", "--suite", "suite.jsonl", "--ab", "--cassette", "tape.jsonl"]);
    answer.says("tape.jsonl holds 4 exchanges, and this is call 5", "--record");
    other
        .bench
        .fails(3, &["replay", "--task", TASK, "--record", "tape.jsonl"])
        .says("there is such a file already", "");
    other
        .bench
        .fails(3, &["replay", "--task", TASK, "--cassette", "none.jsonl"])
        .says("cannot read the cassette none.jsonl", "");
    other.bench.fails(2, &["replay", "--task", TASK, "--record", "a", "--cassette", "b"]);
}

#[test]
fn a_replay_that_is_killed_while_the_model_speaks_leaves_nothing() {
    let desk = Desk::new();
    desk.server.slow(Duration::from_millis(200), Duration::ZERO);
    let before = desk.state();
    let mut child = (desk.bench.command(&["replay", "--task", TASK]))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    while desk.server.heard().is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert_eq!(desk.state(), before);
    desk.server.slow(Duration::ZERO, Duration::ZERO);
    assert_eq!(desk.replay(TASK, &[]).status, 0, "and is in nobody's way");
    desk.bench.ok(&["verify"]);
}

/// What a process leaves that died between the commit and the rows: the file as it was, or with a part of the row, and the note.
#[test]
fn rows_of_a_commit_whose_process_died_are_appended_by_whoever_comes_next() {
    let desk = Desk::new();
    let file = desk.bench.path().join("data/_kb/replay_runs.jsonl");
    let note = desk.bench.path().join(".distill/tmp/replay-rows.json");
    desk.json(0, TASK, &[]);
    let first = fs::read_to_string(&file).expect("rows");
    let told = desk.json(0, TASK, &[]);
    let whole = fs::read_to_string(&file).expect("rows");
    assert!(!note.exists() && whole.starts_with(&first));
    let begun = |run_id: &Value| {
        json!({"run_id": run_id, "offset": first.len(), "text": &whole[first.len()..]}).to_string()
    };
    for kept in [first.len(), first.len() + 7, whole.len()] {
        fs::write(&file, &whole[..kept]).expect("written");
        fs::write(&note, begun(&told["run_id"])).expect("written");
        desk.bench.ok(&["run-all"]);
        assert_eq!(fs::read_to_string(&file).expect("rows"), whole, "{kept}: once and whole");
        assert!(!note.exists());
    }
    // Of a commit that was not published, nothing is appended.
    fs::write(&file, &first).expect("written");
    fs::write(&note, begun(&"replay-never".into())).expect("written");
    desk.json(0, "How are partitions dropped?", &[]);
    let rows = desk.rows();
    assert_eq!(rows.len(), 2);
    assert!(rows[1].contains("How are partitions dropped?"), "{rows:?}");
}

#[test]
fn replays_at_the_same_time_all_keep_their_rows() {
    let desk = Desk::new();
    let children: Vec<_> = (0..4)
        .map(|n| {
            let task = format!("Why does the lookup of merge_stock fail, for the time number {n}?");
            let mut command = desk.bench.command(&["replay", "--task", &task]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs")
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    let rows = desk.rows();
    assert_eq!(rows.len(), 4);
    let mut ids: Vec<String> = (rows.iter())
        .map(|row| {
            serde_json::from_str::<Value>(row).expect("JSON")["replay_id"].as_str().expect("an id").to_owned()
        })
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "one id each");
    let log = desk.bench.json("distill.log.v1", &["log"]);
    let operations: Vec<&str> = log["items"]
        .as_array()
        .expect("commits")
        .iter()
        .filter_map(|commit| commit["operation"].as_str())
        .collect();
    assert_eq!(operations.iter().filter(|name| **name == "replay").count(), 4);
    assert_eq!(desk.bench.json("distill.audit_full.v1", &["audit-full"])["passed"], true);
}

#[test]
fn an_open_last_line_is_ended_before_a_row_is_appended() {
    let desk = Desk::new();
    desk.bench.write("data/_kb/replay_runs.jsonl", "{\"no_model\":true}");
    desk.json(0, TASK, &[]);
    let rows = desk.rows();
    assert_eq!((rows.len(), rows[0].as_str()), (2, "{\"no_model\":true}"));
}

#[test]
fn a_report_that_was_changed_by_hand_stops_a_replay_before_it_asks() {
    let desk = Desk::new();
    desk.json(0, TASK, &[]);
    let asked = desk.server.heard().len();
    let page = "reports/distillation/phase7-replay-report.md";
    desk.bench.write(page, "mine\n");
    desk.bench.fails(1, &["replay", "--task", TASK]).says("phase7-replay-report.md", "--force");
    assert_eq!(desk.server.heard().len(), asked);
    desk.json(0, TASK, &["--force"]);
    let text = fs::read_to_string(desk.bench.path().join(page)).expect("a report");
    assert!(text.contains("## Earlier replays"), "{text}");
    // A run leaves it alone.
    desk.bench.ok(&["run-all"]);
    assert!(desk.bench.path().join(page).exists());
}

#[test]
fn a_run_after_a_replay_costs_what_changed() {
    let desk = Desk::new();
    desk.json(0, TASK, &[]);
    desk.bench.ok(&["gc"]);
    let told = desk.bench.json("distill.run.v1", &["run-all"]);
    assert_eq!(told["units_computed"], 1, "the row alone: {told:#}");
    desk.server.orders([Order::Copy]);
    desk.json(0, TASK, &[]);
    desk.bench.ok(&["undo"]);
    assert_eq!(desk.rows().len(), 2, "what was asked was asked");
}
