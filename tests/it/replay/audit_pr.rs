//! `audit-pr`: a change, what a model says of it, and what of that can be seen.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::Desk;
use super::server::Order;

const DIFF: &str = "diff --git a/src/load.sql b/src/load.sql\n--- a/src/load.sql\n+++ b/src/load.sql\n@@ -1,2 +1,2 @@ -- merge_stock\n select\n\
    -  cast(customer_key as BIGINT)\n+  customer_key\n\
    diff --git a/retention.py b/retention.py\n--- a/retention.py\n+++ b/retention.py\n@@ -10,1 +10,2 @@\n def drop():\n+    days = 90\n\
    diff --git a/logo.png b/logo.png\nBinary files a/logo.png and b/logo.png differ\n";

const FINDINGS: &str = r#"{"findings": [
  {"file": "src/load.sql", "line": 2, "severity": "error", "text": "customer_key is compared as text again", "records": [1]},
  {"file": "retention.py", "line": 11, "severity": "note", "text": "days is 90, and was 30 before"},
  {"file": "src/other.sql", "line": 1, "severity": "error", "text": "look here"}
]}"#;

#[test]
fn findings_cite_records_and_stand_in_the_change() {
    let desk = Desk::new();
    desk.bench.write("change.diff", DIFF);
    let before = desk.state();
    desk.server.orders([Order::Say(FINDINGS.to_owned())]);
    let told = desk.bench.json("distill.audit_pr.v1", &["audit-pr", "--diff", "change.diff"]);
    let files = |name: &str| -> Vec<String> {
        let found = told[name].as_array().expect("findings").clone();
        found.iter().map(|finding| finding["file"].as_str().expect("a file").to_owned()).collect()
    };
    assert_eq!(
        (files("findings"), files("doubtful")),
        (vec!["src/load.sql".to_owned()], vec!["retention.py".to_owned(), "src/other.sql".to_owned()])
    );
    assert_eq!(told["doubtful"][0]["unsupported"][0]["text"], "30");
    assert_eq!((&told["cost"]["calls"], &told["cost"]["searches"]), (&1.into(), &2.into()));
    assert_eq!(told["left_out"][0], "logo.png");
    assert_eq!(told["records"][0]["key"], "2026/01/02/notes/n1");
    assert_eq!(desk.state(), before, "it stores nothing");
    let heard = desk.server.heard();
    assert!(
        heard[0].user().contains("+  customer_key\n") && heard[0].user().starts_with("Records:"),
        "{}",
        heard[0].user()
    );

    desk.server.orders([Order::Say(FINDINGS.to_owned())]);
    let text = desk.bench.ok(&["audit-pr", "--diff", "change.diff"]);
    assert!(
        text.contains(
            "src/load.sql:2 error: customer_key is compared as text again\n    [1] 2026/01/02/notes/n1"
        ),
        "{text}"
    );
    assert!(text.contains("Said too, and not supported:"), "{text}");
    assert!(text.contains("2 files looked at"), "{text}");
}

#[test]
fn tree_split_asks_once_for_each_part_and_merges() {
    let desk = Desk::new();
    let mut diff = String::new();
    for n in 0..20 {
        let line = "x".repeat(900);
        diff.push_str(&format!("--- a/f{n}.txt\n+++ b/f{n}.txt\n@@ -0,0 +1,1 @@\n+{line} customer_key\n"));
    }
    desk.bench.write("change.diff", &diff);
    let say = |text: &str| Order::Say(text.to_owned());
    // Twenty parts, three summaries of eight, the conclusion.
    desk.server.orders((0..23).map(|_| say("It adds customer_key.")));
    desk.server.orders([say("{\"findings\": []}")]);
    let split =
        desk.bench.json("distill.audit_pr.v1", &["audit-pr", "--diff", "change.diff", "--tree-split"]);
    assert_eq!(split["cost"]["calls"], 24);
    assert!(desk.server.heard()[23].user().contains("Summaries of the change:\n- It adds customer_key."));
    desk.server.orders([say("{\"findings\": []}")]);
    let once = desk.bench.json("distill.audit_pr.v1", &["audit-pr", "--diff", "change.diff"]);
    assert_eq!(once["cost"]["calls"], 1);
    assert!(
        desk.bench
            .ok(&["audit-pr", "--diff", "change.diff", "--cassette", &recorded(&desk)])
            .contains("Nothing found")
    );
}

/// The name of a cassette of the one-call way.
fn recorded(desk: &Desk) -> String {
    desk.server.orders([Order::Say("{\"findings\": []}".to_owned())]);
    desk.bench.ok(&["audit-pr", "--diff", "change.diff", "--record", "tape.jsonl"]);
    "tape.jsonl".to_owned()
}

#[test]
fn an_answer_in_another_form_is_no_finding() {
    let desk = Desk::new();
    desk.bench.write("change.diff", DIFF);
    desk.server.orders([Order::Say("Looks good to me.".to_owned())]);
    let answer = desk.bench.run(&["audit-pr", "--diff", "change.diff"]);
    assert_eq!(answer.status, 1, "{answer:?}");
    assert!(
        answer.stdout.contains("not of the form that was asked for")
            && answer.stdout.contains("Looks good to me."),
        "{answer:?}"
    );
    desk.server.orders([
        Order::Status(500, Vec::new(), String::new()),
        Order::Status(500, Vec::new(), String::new()),
        Order::Status(500, Vec::new(), String::new()),
    ]);
    desk.bench.fails(3, &["audit-pr", "--diff", "change.diff"]).says("did not answer in 3 attempts", "");
    desk.bench.write("empty.diff", "nothing\n");
    desk.bench.fails(2, &["audit-pr", "--diff", "empty.diff"]).says("holds no hunk", "unified");
    desk.bench.fails(2, &["audit-pr", "--", "-x"]).says("no range of revisions", "main..HEAD");
}

#[test]
fn two_revisions_of_a_git_repository_are_a_change() {
    let desk = Desk::new();
    let folder = desk.bench.path().join("code");
    fs::create_dir_all(folder.join("src")).expect("folders");
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(&folder)
            .args(["-c", "user.name=A", "-c", "user.email=a@example.org"])
            .args(args);
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", &folder).output()
    };
    if git(&["init", "-q", "-b", "main"]).map_or(true, |output| !output.status.success()) {
        println!("skipped: git is not installed");
        return;
    }
    for text in ["select\n  cast(customer_key as BIGINT)\n", "select\n  customer_key\n"] {
        fs::write(folder.join("src/load.sql"), text).expect("a file");
        for args in [&["add", "-A"][..], &["commit", "-q", "-m", "x"]] {
            assert!(git(args).expect("git runs").status.success());
        }
    }
    desk.server.orders([Order::Say(FINDINGS.to_owned())]);
    let path = std::env::var("PATH").expect("a path");
    let args = ["audit-pr", "--git", "code", "HEAD~1..HEAD", "--json"];
    let output = desk.bench.command(&args).env("PATH", &path).output().expect("it runs");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(told["findings"][0]["file"], "src/load.sql");
    let output = desk
        .bench
        .command(&["audit-pr", "--git", "code", "nope..HEAD"])
        .env("PATH", &path)
        .output()
        .expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(
        output.status.code() == Some(3) && said.contains("git cannot tell `nope..HEAD` in code"),
        "{said}"
    );
}
