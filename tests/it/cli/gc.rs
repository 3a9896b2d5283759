//! `gc` as a user meets it: it says what goes and why, takes that and nothing else, and what it keeps keeps working.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::Value;

use super::Bench;

/// Two runs, the second one taken back: nothing but the log names it.
fn undone() -> Bench {
    let bench = Bench::with_runs();
    bench.ok(&["undo"]);
    bench
}

fn objects(value: &Value) -> u64 {
    value["objects"].as_u64().expect("a number")
}

fn packed(bench: &Bench) -> u64 {
    bench.json("distill.verify.v1", &["verify"])["covered"]["packed_objects"].as_u64().expect("a number")
}

fn reached(bench: &Bench) -> u64 {
    bench.json("distill.verify.v1", &["verify"])["covered"]["objects"].as_u64().expect("a number")
}

#[test]
fn what_was_undone_goes_after_the_grace_and_is_told_first() {
    let bench = undone();
    let r1 = bench.id("r1");
    let (before, alive) = (packed(&bench), reached(&bench));
    assert!(before > alive, "the undone run lies about");
    let dry = bench.json("distill.gc.v1", &["gc", "--dry-run", "--grace", "0"]);
    assert_eq!((objects(&dry["removed"]), objects(&dry["kept"])), (before - alive, alive));
    assert_eq!(dry["done"], Value::Null);
    let reason = &dry["reasons"][0];
    assert_eq!((&reason["what"], &reason["operation"]), (&"undo".into(), &3.into()), "{reason}");
    assert_eq!(reason["refs"], serde_json::json!(["heads/main", "runs/r2"]));
    assert_eq!(objects(reason), before - alive, "all of it comes from there");
    assert_eq!(packed(&bench), before, "a dry run removes nothing");

    let text = bench.ok(&["gc", "--grace", "0"]);
    let told = text.find("heads/main, runs/r2: left by operation 3, undo").expect("the reason");
    let done = text.find("Removed ").expect("the outcome");
    assert!(told < done, "first said, then done: {text}");
    assert_eq!((packed(&bench), reached(&bench)), (alive, alive));
    assert_eq!(bench.id("HEAD"), r1);
    assert_eq!(bench.json("distill.reflog.v1", &["reflog"])["items"].as_array().expect("a list").len(), 3);
    // The next run works on what is left, and makes what was removed again.
    bench.ok(&["run-all", "--run-id", "r3", "--no-files"]);
    bench.ok(&["verify"]);
}

#[test]
fn within_the_grace_undo_and_the_reflog_still_reach_it() {
    let bench = undone();
    let before = packed(&bench);
    let told = bench.json("distill.gc.v1", &["gc"]);
    assert_eq!((objects(&told["removed"]), &told["grace_s"]), (0, &1_209_600.into()));
    assert_eq!(told["done"]["operation"], Value::Null, "nothing to do is no operation");
    assert_eq!(packed(&bench), before);
    let r2 = bench.id("@{1}");
    bench.ok(&["undo"]);
    assert_eq!(bench.id("HEAD"), r2);
    bench.ok(&["verify"]);
}

#[test]
fn after_it_an_undo_and_a_reflog_entry_say_that_it_is_gone() {
    let bench = undone();
    bench.ok(&["gc", "--grace", "0", "-q"]);
    bench.fails(1, &["undo"]).says("cannot be undone", "collected as garbage");
    bench.fails(2, &["show", "@{1}"]).says("is no longer in the store", "gc");
    // What was collected is not looked for again, whatever the grace.
    let again = bench.json("distill.gc.v1", &["gc", "--grace", "52w"]);
    assert_eq!((objects(&again["removed"]), &again["done"]["operation"]), (0, &Value::Null));
}

#[test]
fn a_deleted_tag_goes_alone_and_names_itself() {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1", "r1", "-m", "first"]);
    bench.ok(&["tag", "-d", "v1"]);
    let told = bench.json("distill.gc.v1", &["gc", "--grace", "0"]);
    assert_eq!(objects(&told["removed"]), 1, "the commit has other names: {told}");
    assert_eq!(told["reasons"][0]["refs"], serde_json::json!(["tags/v1"]));
    assert_eq!(told["packs"][0]["fate"], "deleted", "the tag lay in a pack of its own");
    assert_eq!(told["packs_untouched"], 2);
    bench.ok(&["verify"]);
}

#[test]
fn the_grace_is_configured_and_refused_where_it_makes_no_sense() {
    let bench = undone();
    bench.write(".distill/config.toml", "[gc]\ngrace = \"0\"\n");
    let told = bench.json("distill.gc.v1", &["gc", "--dry-run"]);
    assert!(objects(&told["removed"]) > 0);
    let kept = bench.json("distill.gc.v1", &["gc", "--dry-run", "--grace", "1h"]);
    assert_eq!(objects(&kept["removed"]), 0, "the option wins");
    bench.write(".distill/config.toml", "[gc]\ngrace = \"soon\"\n");
    let answer = bench.fails(2, &["gc"]);
    assert!(answer.stderr.contains("`soon` is no span of time: write 2w"), "{answer:?}");
    bench.write(".distill/config.toml", "");
    assert_eq!(bench.run(&["gc", "--grace", "2 weeks"]).status, 2);
}

#[test]
fn a_damaged_pack_that_would_be_rewritten_stops_it_before_anything_is_removed() {
    let bench = undone();
    let row = bench.json("distill.show.v1", &["show", "r1:sources/notes.jsonl/0000000000"]);
    let pack = row["place"].as_str().expect("a pack").to_owned();
    let mut bytes = fs::read(&pack).expect("a pack");
    // The footer: the table cannot be trusted any more.
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o644)).expect("ours");
    fs::write(&pack, &bytes).expect("writable");
    let before = bench.packs();
    let answer = bench.fails(4, &["gc", "--grace", "0"]);
    answer.says(&pack, "distill verify");
    assert_eq!(bench.packs(), before);
    fs::remove_file(&pack).expect("there");
    bench.fails(4, &["gc", "--grace", "0"]).says(&pack, "distill verify");
}

#[test]
fn caches_and_leftovers_go_too_and_the_memory_of_written_files_stays() {
    let bench = Bench::new();
    bench.ok(&["run-all", "--run-id", "r1"]);
    let memos = || fs::read_dir(bench.path().join(".distill/index/memo")).expect("memos").count();
    bench.ok(&["score", "--run-id", "s1"]);
    assert_eq!(memos(), 1);
    bench.write(".distill/tmp/run-0123456789abcdef/spill", "left by a killed run");
    let stray = ".distill/packs/0000000000000000000000000000000000000000000000000000000000000000.pack";
    bench.write(stray, "left between two steps");
    bench.write(".distill/packs/README", "somebody's own");
    bench.write(
        "notes.jsonl",
        &(fs::read_to_string(bench.path().join("notes.jsonl")).expect("rows") + "{\"id\":\"x\"}\n"),
    );
    bench.ok(&["run-all", "--run-id", "r2"]);
    let dry = bench.ok(&["gc", "--dry-run"]);
    for named in ["index/memo/", "tmp/run-0123456789abcdef", "packs/0000"] {
        assert!(dry.contains(named), "{named}: {dry}");
    }
    assert!(bench.path().join(stray).exists());
    bench.ok(&["gc"]);
    assert_eq!(memos(), 1, "that of the branch stays");
    assert!(!bench.path().join(stray).exists());
    assert!(!bench.path().join(".distill/tmp/run-0123456789abcdef").exists());
    assert!(bench.path().join(".distill/packs/README").exists(), "not ours");
    let next = bench.json("distill.run.v1", &["run-all", "--run-id", "r3"]);
    assert_eq!(next["units_computed"], 0, "the next run used it");
    bench.write("exports/rag/playbooks.jsonl", "changed by hand\n");
    assert_eq!(bench.run(&["checkout"]).status, 1, "it still knows what it had written");
}

#[test]
fn it_waits_for_a_run_and_gives_up_naming_it() {
    let bench = undone();
    bench.write(".distill/config.toml", "[run]\nlease_timeout_s = 1\n");
    let store = distill::store::Store::open(&bench.path().join(".distill")).expect("opens");
    let lease = store.lease("heads/main", "run-all", std::time::Duration::ZERO, &mut |_| {}).expect("free");
    let hold = store.hold(std::time::Duration::ZERO, &mut |_| {}).expect("free");
    let before = bench.packs();
    let answer = bench.fails(3, &["gc", "--grace", "0"]);
    answer.says("the store is in use by run-all (process", "lease_timeout_s");
    assert!(answer.stderr.contains("waiting for run-all"), "{answer:?}");
    assert_eq!(bench.packs(), before);
    bench.ok(&["gc", "--grace", "0", "--dry-run"]);
    bench.ok(&["log"]);
    drop((lease, hold));
    bench.ok(&["gc", "--grace", "0"]);
}

#[test]
fn killed_at_any_moment_it_loses_nothing_and_the_next_one_finishes() {
    let long = std::env::var_os("DISTILL_TEST_LONG").is_some();
    let mut interrupted = 0;
    for round in 0..if long { 60 } else { 6 } {
        let bench = undone();
        let alive = reached(&bench);
        let mut child = (bench.command(&["gc", "--grace", "0"]).stdout(Stdio::piped()).stderr(Stdio::null()))
            .spawn()
            .expect("starts");
        // Strike right after the plan was told, or a moment later: in the midst of rewriting and publishing.
        let mut first = [0; 1];
        child.stdout.as_mut().expect("piped").read_exact(&mut first).expect("a plan");
        std::thread::sleep(std::time::Duration::from_micros(round * 1500));
        child.kill().expect("kill");
        child.wait().expect("ends");
        let told = bench.json("distill.verify.v1", &["verify"]);
        assert_eq!(told["covered"]["objects"], alive, "round {round}: nothing that is named is lost");
        interrupted += u32::from(told["covered"]["packed_objects"] != alive);
        bench.ok(&["gc", "--grace", "0"]);
        let after = bench.json("distill.verify.v1", &["verify"]);
        assert_eq!(
            (&after["covered"]["packed_objects"], &after["uncatalogued"]),
            (&alive.into(), &serde_json::json!([]))
        );
    }
    assert!(interrupted > 0, "at least the first blow came before the end");
}

#[test]
fn two_causes_are_told_apart_the_latest_first() {
    let bench = undone();
    bench.ok(&["tag", "v1", "r1", "-m", "first"]);
    bench.ok(&["tag", "-d", "v1"]);
    let told = bench.json("distill.gc.v1", &["gc", "--grace", "0", "--dry-run"]);
    let reasons = told["reasons"].as_array().expect("reasons");
    let shown: Vec<_> = reasons.iter().map(|r| (r["operation"].clone(), r["refs"][0].clone())).collect();
    assert_eq!(shown, [(5.into(), "tags/v1".into()), (3.into(), "heads/main".into())]);
    let sum: u64 = reasons.iter().map(objects).sum();
    assert_eq!(sum, objects(&told["removed"]), "every object has one cause");
}

#[test]
fn what_no_operation_named_is_told_as_such() {
    let bench = Bench::with_runs();
    let store = distill::store::Store::open(&bench.path().join(".distill")).expect("opens");
    let mut staging = store.staging().expect("staging");
    distill::object::Write::write(&mut staging, distill::object::Kind::Data, b"nobody's").expect("written");
    let request =
        distill::store::OpRequest { at: "2026-01-01T00:00:00.000Z".to_owned(), ..Default::default() };
    store.publish(Some(staging), request).expect("published");
    let told = bench.json("distill.gc.v1", &["gc", "--dry-run"]);
    assert_eq!((objects(&told["removed"]), &told["reasons"][0]["operation"]), (1, &Value::Null));
    assert!(bench.ok(&["gc"]).contains("never named by anything"));
}
