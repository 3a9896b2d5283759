//! `reindex`: a store that lost its catalogue gets it back, and nothing is thrown away on the way.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::Bench;

fn catalogue(bench: &Bench) -> PathBuf {
    bench.path().join(".distill/store.redb")
}

/// Refs, HEAD and log as programs see them.
fn state(bench: &Bench) -> [String; 3] {
    [&["log", "--json"][..], &["branch", "--json"], &["reflog", "--json"]].map(|args| bench.ok(args))
}

#[test]
fn a_lost_catalogue_is_hinted_at_and_rebuilt_refs_and_all() {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1", "r1", "-m", "first"]);
    let before = state(&bench);
    fs::remove_file(catalogue(&bench)).expect("there");
    for args in [&["log"][..], &["run-all"], &["verify"], &["status"], &["gc"], &["init"]] {
        let answer = bench.fails(4, args);
        assert!(answer.stderr.contains("hint: `distill reindex` rebuilds"), "{args:?}: {answer:?}");
    }
    let answer = bench.fails(1, &["reindex"]);
    assert!(answer.stdout.contains("store.redb  missing") && answer.stdout.contains("tags/v1"), "{answer:?}");
    assert!(answer.stderr.contains("nothing says whether operation 3 (tag) was finished"), "{answer:?}");
    assert!(answer.stderr.contains("`--yes` applies it; `--without-last` leaves it out"), "{answer:?}");
    assert!(!catalogue(&bench).exists(), "nothing is done without an answer");
    let text = bench.ok(&["reindex", "--yes"]);
    let found = text.find("3 operations").expect("what was found");
    assert!(found < text.find("store.redb is there again").expect("the outcome"), "{text}");
    assert_eq!(state(&bench), before);
    bench.ok(&["verify"]);
    assert!(bench.ok(&["reindex"]).contains("Nothing to rebuild."));
}

#[test]
fn without_the_last_operation_the_store_is_as_before_it() {
    let bench = Bench::with_runs();
    let r1 = bench.id("r1");
    fs::remove_file(catalogue(&bench)).expect("there");
    let told = bench.json("distill.reindex.v1", &["reindex", "--without-last"]);
    assert_eq!(
        (&told["catalogue"], &told["is_needed"], &told["operations"]),
        (&json!("missing"), &json!(true), &json!(2))
    );
    assert_eq!(
        (&told["unconfirmed"]["operation"], &told["unconfirmed"]["number"]),
        (&json!("run-all"), &json!(2))
    );
    assert_eq!((&told["done"]["operations"], &told["done"]["moved_aside"]), (&json!(1), &json!(null)));
    assert_eq!(bench.id("HEAD"), r1);
    bench.fails(2, &["show", "r2"]);
    // The next writer drops what the crash left, and goes on.
    bench.ok(&["run-all", "--run-id", "r2", "--no-files"]);
    assert_eq!(bench.json("distill.verify.v1", &["verify"])["uncatalogued"], json!([]));
}

#[test]
fn a_damaged_catalogue_is_moved_aside_and_kept() {
    let bench = Bench::with_runs();
    let before = state(&bench);
    for (round, damage) in [&b"not a database at all"[..], b""].into_iter().enumerate() {
        fs::write(catalogue(&bench), damage).expect("writable");
        bench.fails(4, &["log"]).says("store.redb is damaged", "distill reindex");
        let told = bench.json("distill.reindex.v1", &["reindex", "--yes"]);
        assert_eq!(told["catalogue"], "damaged");
        let old = told["done"]["moved_aside"].as_str().expect("a path").to_owned();
        assert!(old.ends_with(&format!("store.redb.old-{}", round + 1)), "{old}");
        assert_eq!(fs::read(old).expect("kept"), damage);
        assert_eq!(state(&bench), before);
    }
    // A page in the middle, which only a look at every page finds.
    let mut bytes = fs::read(catalogue(&bench)).expect("there");
    for byte in bytes.iter_mut().skip(4096) {
        *byte ^= 0x5a;
    }
    fs::write(catalogue(&bench), bytes).expect("writable");
    bench.ok(&["reindex", "--yes"]);
    assert_eq!(state(&bench), before);
}

#[test]
fn a_catalogue_that_is_older_than_the_log_is_brought_up_to_it() {
    let bench = Bench::new();
    bench.ok(&["run-all", "--run-id", "r1", "--no-files"]);
    let old = fs::read(catalogue(&bench)).expect("there");
    bench.ok(&["tag", "v1"]);
    bench.ok(&["tag", "v2"]);
    let before = state(&bench);
    fs::write(catalogue(&bench), old).expect("writable");
    bench.fails(4, &["tag", "v3"]).says("it is older than they are", "distill reindex");
    let told = bench.json("distill.reindex.v1", &["reindex", "--yes"]);
    assert_eq!(
        (&told["catalogue"], &told["detail"]),
        (&json!("older"), &json!("it confirms 1 of 3 operations"))
    );
    assert_eq!(state(&bench), before);
}

#[test]
fn a_missing_pack_and_one_that_nobody_names_are_told() {
    let bench = Bench::with_runs();
    fs::remove_file(catalogue(&bench)).expect("there");
    let stray = ".distill/packs/0000000000000000000000000000000000000000000000000000000000000000.pack";
    bench.write(stray, "a stray");
    let lost = bench.packs().into_iter().find(|path| *path != bench.path().join(stray)).expect("a pack");
    fs::remove_file(&lost).expect("there");
    let answer = bench.fails(4, &["reindex", "--yes", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!(told["missing_packs"], json!([lost.file_stem().expect("a name").to_str()]));
    assert!(told["unnamed_packs"][0].as_str().is_some_and(|path| path.ends_with(stray)), "{told}");
    assert_eq!(told["done"]["operations"], 2, "what can be rebuilt is");
    assert!(bench.path().join(stray).exists());
    bench.fails(4, &["verify"]);
}

#[test]
fn a_log_with_a_hole_is_refused_and_a_torn_end_left_out() {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1"]);
    fs::remove_file(catalogue(&bench)).expect("there");
    bench.write(".distill/ops/0000000004.json", "{\"at\":");
    let told = bench.json("distill.reindex.v1", &["reindex"]);
    assert_eq!((&told["done"]["operations"], &told["unconfirmed"]), (&json!(3), &json!(null)));
    assert!(told["torn"].as_str().is_some_and(|path| path.ends_with("0000000004.json")));
    bench.ok(&["tag", "v2"]);
    fs::remove_file(catalogue(&bench)).expect("there");
    fs::remove_file(bench.path().join(".distill/ops/0000000002.json")).expect("there");
    bench.fails(4, &["reindex", "--yes"]).says("operation 2 is missing, and later ones are there", "backup");
    assert!(!catalogue(&bench).exists());
}

#[test]
fn an_operation_whose_dropped_packs_are_gone_needs_no_question() {
    let bench = Bench::with_runs();
    bench.ok(&["undo"]);
    bench.ok(&["gc", "--grace", "0"]);
    let before = state(&bench);
    fs::remove_file(catalogue(&bench)).expect("there");
    let told = bench.json("distill.reindex.v1", &["reindex"]);
    assert_eq!((&told["unconfirmed"], &told["missing_packs"]), (&json!(null), &json!([])));
    assert_eq!(state(&bench), before);
    bench.ok(&["verify"]);
}

#[test]
fn there_must_be_something_to_rebuild_from() {
    let bench = Bench::empty();
    bench.fails(3, &["reindex"]).says("no .distill folder", "distill init");
    bench.write(".distill/config.toml", "");
    bench.fails(3, &["reindex"]).says("holds no store", "distill init");
    let bench = Bench::with_runs();
    fs::remove_dir_all(bench.path().join(".distill/ops")).expect("there");
    bench.fails(4, &["reindex", "--yes"]).says("ops/ holds 0", "backup");
    fs::remove_file(catalogue(&bench)).expect("there");
    bench.fails(4, &["reindex", "--yes"]).says("nothing says what the refs were", "backup");
}
