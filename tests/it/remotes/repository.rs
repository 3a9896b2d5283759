//! Another repository as a remote.

use std::fs;

use super::{Place, own_source};
use crate::cli::Bench;

#[test]
fn a_repository_is_cloned_pulled_and_pushed_to() {
    let ours = Bench::with_runs();
    let place = Place::elsewhere(ours.path().to_str().expect("text").to_owned(), Vec::new());
    let theirs = place.clone();
    assert_eq!(theirs.id("HEAD"), ours.id("HEAD"));
    fs::copy(ours.path().join("notes.jsonl"), theirs.path().join("notes.jsonl")).expect("the source");
    own_source(&theirs, "theirs");
    theirs.ok(&["run-all", "--run-id", "t3", "--no-files"]);
    let pushed = theirs.json("distill.push.v1", &["push"]);
    assert_eq!(pushed["commits"], 1);
    assert_eq!(ours.id("HEAD"), theirs.id("HEAD"));
    assert_eq!(ours.id("t3"), theirs.id("t3"));
    ours.ok(&["verify"]);

    // A pack that was merged there holds what is known here.
    own_source(&ours, "ours");
    fs::create_dir_all(ours.path().join("theirs")).expect("a folder");
    fs::copy(theirs.path().join("theirs/rows.jsonl"), ours.path().join("theirs/rows.jsonl")).expect("copied");
    fs::copy(
        theirs.path().join(".distill/sources/theirs.toml"),
        ours.path().join(".distill/sources/theirs.toml"),
    )
    .expect("copied");
    for round in 0..20 {
        super::one_more(&ours, &format!("o{round}"));
    }
    assert!(ours.packs().len() < 20, "packs were merged");
    assert_eq!(theirs.json("distill.pull.v1", &["pull", "--no-files"])["outcome"], "fast_forward");
    assert_eq!(theirs.id("HEAD"), ours.id("HEAD"));
    theirs.ok(&["verify"]);
    let idle = theirs.json("distill.fetch_remote.v1", &["fetch"]);
    assert_eq!((&idle["bytes"], &idle["objects"]), (&0.into(), &0.into()));
}

#[test]
fn what_is_pushed_to_a_repository_is_looked_at() {
    let ours = Bench::with_runs();
    let theirs = Bench::empty();
    theirs.ok(&["clone", ours.path().to_str().expect("text"), "."]);
    ours.ok(&["undo"]);
    fs::copy(ours.path().join("notes.jsonl"), theirs.path().join("notes.jsonl")).expect("the source");
    // The branch went back there; going on from where it was is going on from where it is.
    own_source(&theirs, "theirs");
    theirs.ok(&["run-all", "--run-id", "t3", "--no-files"]);
    theirs.ok(&["push"]);
    ours.ok(&["verify"]);
    ours.ok(&["branch", "other", "r1"]);
    theirs.ok(&["branch", "other", "r2"]);
    theirs.ok(&["push", "other"]);
    ours.ok(&["branch", "other", "t3", "--force"]);
    theirs.ok(&["branch", "other", "r1", "--force"]);
    theirs.fails(1, &["push", "other"]).says("would lose", "pull");
}
