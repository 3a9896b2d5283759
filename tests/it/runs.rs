//! Runs that must not happen, and what the stages do on their own.

use std::process::{Command, Stdio};
use std::time::Duration;

use distill::object::FindExt as _;
use distill::ops::ErrorKind;
use distill::ops::OpError;
use distill::ops::run::{RunOptions, What};
use distill::record::PreferenceSample;
use distill::record::Record as _;
use distill::store::{Head, HeadChange, OpRequest};
use distill::tree;

use crate::engine::{LINES, POLICY, Place, result};

const ROWS: &str = concat!(
    r#"{"id":"a","run":"r1","task":"t","ask":"q","say":"right","ok":true}"#,
    "\n",
    r#"{"id":"b","run":"r2","task":"t","ask":"q","say":"wrong","ok":false}"#,
    "\n",
    r#"{"id":"c","run":"r3","task":"t","ask":"q","say":"nice","verdict":"good","sure":0.9}"#,
    "\n",
);

fn place(dir: &tempfile::TempDir) -> Place {
    let place = Place::new(dir.path(), &[("lines", LINES)]);
    place.write("in/a.jsonl", ROWS);
    place.write("in/b.jsonl", ROWS.replace("right", "fine"));
    place
}

/// The run fails so, and leaves the store as it was.
#[track_caller]
fn refused(place: &Place, options: &RunOptions, kind: ErrorKind, parts: &[&str]) -> OpError {
    let has_store = place.root.join(".distill/store.redb").exists();
    let before = has_store.then(|| place.store_state());
    let error = place.try_run(options).expect_err("it must fail");
    assert_eq!(error.kind, kind, "{error}");
    for part in parts {
        assert!(error.message.contains(part), "{error} does not say {part}");
    }
    assert!(!error.hint.is_empty(), "{error}");
    match before {
        Some(before) => assert_eq!(place.store_state(), before),
        None => assert!(!place.root.join(".distill/store.redb").exists(), "a store was made for nothing"),
    }
    assert_eq!(place.left_in_tmp(), Vec::<String>::new());
    error
}

#[test]
fn stages_alone_end_where_run_all_ends() {
    let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (staged, whole) = (place(&dir), place(&other));
    staged.run(What::All);
    let policy = POLICY.replace("[\"good\"]", "[\"fine\"]").replace("[\"meh\"]", "[\"good\"]");
    for place in [&staged, &whole] {
        place.write(".distill/policy.toml", &policy);
    }
    whole.run(What::All);
    for what in [What::Score, What::Rag, What::Sft, What::Preference] {
        staged.run(what);
    }
    assert_eq!(result(&staged), result(&whole));
    staged.run(What::Exports);
    assert_eq!(result(&staged), result(&whole));
    let parents = staged.head().parents.len();
    assert_eq!((parents, staged.head().generation), (1, 5));
}

#[test]
fn an_export_of_evidence_that_was_not_scored_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = place(&dir);
    place.run(What::Evidence);
    refused(&place, &RunOptions::new(What::Rag), ErrorKind::Usage, &["no scored run"]);
    place.run(What::Score);
    place.run(What::Exports);
    // The same keys, other evidence: the old scores speak of what is no longer there.
    place.write(".distill/sources/lines.toml", LINES.replace("\".say\"", "'.say + \"!\"'"));
    place.run(What::Evidence);
    refused(&place, &RunOptions::new(What::Sft), ErrorKind::Usage, &["other evidence"]);
}

#[test]
fn lost_sources_stop_the_run() {
    type Loses = fn(&Place);
    let cut = |p: &Place| {
        let two: Vec<&str> = ROWS.split_inclusive('\n').take(2).collect();
        p.write("in/a.jsonl", two.concat());
    };
    let loses: [(&str, Loses); 3] = [
        ("are gone: in/a.jsonl", |p| std::fs::remove_file(p.root.join("in/a.jsonl")).expect("removed")),
        ("in/a.jsonl (unit 2)", cut),
        ("in/a.jsonl (unit 0)", |p| p.write("in/a.jsonl", ROWS.replace("right", "wight"))),
    ];
    for (says, lose) in loses {
        for forget in [false, true] {
            let dir = tempfile::tempdir().expect("a folder");
            let place = place(&dir);
            place.run(What::All);
            if forget {
                std::fs::remove_dir_all(place.root.join(".distill/index")).expect("removed");
            }
            lose(&place);
            let mut options = RunOptions::new(What::All);
            let error = refused(&place, &options, ErrorKind::Refused, &[says]);
            assert!(error.hint.contains("--accept-source-loss"), "{}", error.hint);
            options.accept_source_loss = true;
            place.try_run(&options).unwrap_or_else(|e| panic!("{e}"));
            place.run(What::All);
        }
    }
}

#[test]
fn configuration_that_cannot_be_used_is_named() {
    type Breaks = fn(&Place);
    let cases: [(Breaks, ErrorKind, &[&str]); 7] = [
        (
            |p| p.write(".distill/sources/lines.toml", LINES.replace("[fields]", "[field]")),
            ErrorKind::Usage,
            &["lines.toml:"],
        ),
        (
            |p| p.write(".distill/sources/lines.toml", LINES.replace("\".say\"", "'.say | nope('")),
            ErrorKind::Usage,
            &["lines.toml:"],
        ),
        (|p| p.write(".distill/policy.toml", "rule = 1"), ErrorKind::Usage, &["policy.toml"]),
        (
            |p| std::fs::remove_file(p.root.join(".distill/policy.toml")).expect("removed"),
            ErrorKind::Outside,
            &["policy.toml"],
        ),
        (
            |p| std::fs::remove_file(p.root.join(".distill/sources/lines.toml")).expect("removed"),
            ErrorKind::Usage,
            &["no source spec"],
        ),
        (
            |p| p.write(".distill/config.toml", "[exports]\nmax = 1"),
            ErrorKind::Usage,
            &["config.toml", "line 2"],
        ),
        (
            |p| p.write(".distill/sources/other.toml", LINES),
            ErrorKind::Usage,
            &["in/a.jsonl", "lines", "other"],
        ),
    ];
    for first in [true, false] {
        for (breaks, kind, parts) in cases {
            let dir = tempfile::tempdir().expect("a folder");
            let place = place(&dir);
            if !first {
                place.run(What::All);
            }
            breaks(&place);
            refused(&place, &RunOptions::new(What::All), kind, parts);
        }
    }
}

#[test]
fn nothing_to_work_on_is_an_error() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = Place::new(dir.path(), &[("lines", LINES)]);
    refused(&place, &RunOptions::new(What::All), ErrorKind::Outside, &["in/*.jsonl"]);
    place.write("in/a.jsonl", ROWS);
    refused(&place, &RunOptions::new(What::Score), ErrorKind::Outside, &[]);
    place.run(What::All);
    // A folder in the place of a known file is no file.
    std::fs::remove_file(place.root.join("in/a.jsonl")).expect("removed");
    std::fs::create_dir(place.root.join("in/a.jsonl")).expect("made");
    refused(&place, &RunOptions::new(What::All), ErrorKind::Refused, &["in/a.jsonl"]);
}

#[cfg(unix)]
#[test]
fn a_link_to_nowhere_matters_only_where_a_spec_reads_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = place(&dir);
    std::os::unix::fs::symlink("nowhere", place.root.join("in/notes.txt")).expect("a link");
    std::os::unix::fs::symlink(".", place.root.join("in/round")).expect("a link");
    place.run(What::All);
    std::os::unix::fs::symlink("nowhere", place.root.join("in/c.jsonl")).expect("a link");
    refused(&place, &RunOptions::new(What::All), ErrorKind::Outside, &["in/c.jsonl"]);
}

#[test]
fn a_run_id_is_used_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = place(&dir);
    let options = RunOptions { run_id: Some("one".to_owned()), ..RunOptions::new(What::All) };
    place.try_run(&options).unwrap_or_else(|e| panic!("{e}"));
    refused(&place, &options, ErrorKind::Refused, &["`one`"]);
    let options = RunOptions { run_id: Some("no way".to_owned()), ..options };
    refused(&place, &options, ErrorKind::Usage, &["no way"]);
}

#[test]
fn a_detached_head_needs_a_branch_which_begins_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = place(&dir);
    place.run(What::All);
    let (repo, at) = (place.repo(), place.head().committed_at);
    let commit = repo.head_commit().expect("a commit");
    let request = OpRequest {
        operation: "checkout".to_owned(),
        message: None,
        at,
        ref_changes: Vec::new(),
        head: Some(HeadChange {
            new: Head::Detached(*commit.object()),
            old: Head::Branch("heads/main".to_owned()),
        }),
        drop_packs: Vec::new(),
    };
    repo.store().publish(None, request).expect("detached");
    drop(repo);
    refused(&place, &RunOptions::new(What::All), ErrorKind::Refused, &["detached"]);
    for (what, parent) in [(What::Score, Some(commit)), (What::All, None)] {
        let options = RunOptions { branch: Some("fix".to_owned()), ..RunOptions::new(what) };
        let report = place.try_run(&options).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(report.branch, "heads/fix");
        let made = place.repo().commit(report.commit_id).expect("a commit");
        assert_eq!(made.parents.len(), 1);
        if let Some(parent) = parent {
            assert_eq!(made.parents, [parent], "the branch begins where HEAD stands");
        }
    }
    let options = RunOptions { branch: Some("no..way".to_owned()), ..RunOptions::new(What::All) };
    refused(&place, &options, ErrorKind::Usage, &["no..way"]);
}

#[test]
fn a_second_run_waits_and_says_for_whom() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = place(&dir);
    place.run(What::All);
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_distill"))
            .arg("run-all")
            .current_dir(&place.root)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started")
    };
    place.write(".distill/config.toml", "[run]\nlease_timeout_s = 1\n");
    let repo = place.repo();
    let lease = repo
        .store()
        .lease("heads/main", "night shift (process 7)", Duration::ZERO, &mut |_| {})
        .expect("the lease is free");
    let output = start().wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("night shift"), "{said}");
    place.write(".distill/config.toml", "[run]\nlease_timeout_s = 60\n");
    let child = start();
    std::thread::sleep(Duration::from_millis(300));
    drop(lease);
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Two rejected answers in one row: two pairs with one chosen, under two keys.
#[test]
fn rejected_sides_of_one_row_make_pairs_of_their_own() {
    const MANY: &str = r#"
        stream = "many"
        files = ["many/*.jsonl"]
        [record]
        emit = ".runs[]"
        [fields]
        run_id = ".run"
        task_id = ".task"
        instruction = ".ask"
        response = ".say"
        validation.outcome = ".ok"
    "#;
    let dir = tempfile::tempdir().expect("a folder");
    let place = Place::new(dir.path(), &[("many", MANY)]);
    let run = |n: usize, ok: bool| format!(r#"{{"run":"r{n}","task":"t","ask":"q","say":"s{n}","ok":{ok}}}"#);
    let rejected: Vec<String> = (1..4).map(|n| run(n, false)).collect();
    place.write("many/a.jsonl", format!("{{\"runs\":[{},{}]}}\n", run(0, true), rejected.join(",")));
    let report = place.run(What::All);
    assert_eq!(report.summary.metrics.p4_pref_pairs, 3);
    let (repo, head) = (place.repo(), place.head());
    let root = head.dataset("exports/preference").expect("the dataset");
    for entry in tree::iter(repo.store(), root) {
        let entry = entry.expect("an entry");
        let row = PreferenceSample::parse(&repo.store().find(&entry.id).expect("a row")).expect("a pair");
        assert_eq!(row.id, entry.key);
        assert_eq!(row.validate(), Vec::new());
    }
}
