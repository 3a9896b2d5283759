//! Pushing, cloning, fetching and pulling, and what is refused.

use std::fs;

use super::{Place, one_more, own_source, with_runs};
use crate::cli::Bench;

/// What every kind of remote must do.
pub fn goes_round(place: &Place) {
    let ours = with_runs(place);
    ours.ok(&["tag", "v1", "-m", "the first"]);
    let pushed = place.json(&ours, &["push", "--tags"]);
    assert_eq!(pushed["commits"], 2, "{pushed}");
    assert_eq!(pushed["operation"].as_u64().map(|n| n > 0), Some(true));
    let again = place.json(&ours, &["push", "--tags"]);
    assert_eq!(again["refs"].as_array().map(Vec::len), Some(0));
    assert_eq!(again["sent_bytes"], 0);

    let theirs = place.clone();
    for rev in ["main", "v1", "r1", "r2", "origin/main"] {
        assert_eq!(theirs.id(rev), ours.id(rev), "{rev}");
    }
    assert_eq!(theirs.ok(&["ls", "HEAD:sft"]), ours.ok(&["ls", "HEAD:sft"]));
    assert!(theirs.path().join("exports/sft/instruction_response.jsonl").exists());
    assert_eq!(
        fs::read(theirs.path().join(".distill/sources/notes.toml")).expect("the spec came"),
        fs::read(ours.path().join(".distill/sources/notes.toml")).expect("ours")
    );
    assert_eq!(theirs.json("distill.status.v1", &["status"])["branch"], "main");

    // Here goes on, there follows.
    one_more(&ours, "r3");
    let pushed = place.json(&ours, &["push", "-m", "one more"]);
    assert_eq!(pushed["commits"], 1);
    assert!(pushed["rows_skipped"].as_u64() > Some(0), "{pushed}");
    let pulled = place.json(&theirs, &["pull"]);
    assert_eq!(pulled["outcome"], "fast_forward");
    assert_eq!(theirs.id("HEAD"), ours.id("HEAD"));
    assert_eq!(theirs.id("r3"), ours.id("r3"));
    assert_eq!(place.json(&theirs, &["pull"])["outcome"], "up_to_date");
    assert_eq!(place.json(&theirs, &["fetch"])["refs"].as_array().map(Vec::len), Some(0));
    theirs.ok(&["verify"]);
}

#[test]
fn a_folder_takes_runs_and_gives_them_back() {
    goes_round(&Place::folder());
}

/// A fork is refused there, told here, and joined by a merge.
pub fn forks(place: &Place) {
    let ours = with_runs(place);
    place.ok(&ours, &["push"]);
    let theirs = place.clone();
    fs::copy(ours.path().join("notes.jsonl"), theirs.path().join("notes.jsonl")).expect("the source");
    own_source(&theirs, "theirs");
    theirs.ok(&["run-all", "--run-id", "t3", "--no-files"]);
    own_source(&ours, "ours");
    ours.ok(&["run-all", "--run-id", "o3", "--no-files"]);
    place.ok(&theirs, &["push"]);
    let there = theirs.id("HEAD");

    place.fails(1, &ours, &["push"]).says("would lose what it has there", "distill pull");
    let pulled = place.fails(1, &ours, &["pull"]);
    assert!(pulled.stdout.contains("have grown apart"), "{pulled:?}");
    assert!(pulled.stderr.contains("distill merge remotes/origin/main"), "{pulled:?}");
    assert_eq!(ours.id("origin/main"), there);
    ours.ok(&["merge", "origin/main", "--run-id", "joined", "--no-files"]);
    place.ok(&ours, &["push"]);
    assert_eq!(place.json(&theirs, &["pull", "--no-files"])["outcome"], "fast_forward");
    assert_eq!(theirs.id("HEAD"), ours.id("HEAD"));
    for bench in [&ours, &theirs, &place.clone()] {
        let log = bench.ok(&["log", "--json"]);
        assert!(log.contains("\"t3\"") && log.contains("\"o3\"") && log.contains("\"joined\""), "{log}");
    }
}

#[test]
fn two_sites_that_grew_apart_are_joined() {
    forks(&Place::folder());
}

#[test]
fn names_that_are_given_once_stay() {
    let place = Place::folder();
    let ours = with_runs(&place);
    ours.ok(&["tag", "v1", "r1"]);
    place.ok(&ours, &["push", "v1"]);
    ours.ok(&["tag", "v1", "r2", "--force"]);
    place.fails(1, &ours, &["push", "v1"]).says("tags/v1 exists there", "never move");
    let theirs = place.clone();
    assert_eq!(theirs.id("v1"), ours.id("r1"));

    // A tag that is another one there stays what it is here.
    place.ok(&ours, &["push"]);
    let answer = place.json(&ours, &["fetch"]);
    assert_eq!(answer["differ"], serde_json::json!(["tags/v1"]));
    assert_eq!(ours.id("v1"), ours.id("r2"));
}

#[test]
fn a_branch_may_be_pushed_back_where_it_was_last_seen() {
    let place = Place::folder();
    let ours = with_runs(&place);
    place.ok(&ours, &["push"]);
    ours.ok(&["reset", "--hard", "r1"]);
    place.fails(1, &ours, &["push"]).says("would lose", "pull");
    let forced = place.json(&ours, &["push", "--force-with-lease"]);
    assert_eq!(forced["refs"][0]["forced"], true);
    assert_eq!(place.clone().id("HEAD"), ours.id("r1"));

    // Somebody else was there meanwhile: what was last seen is not what is there.
    let theirs = place.clone();
    fs::copy(ours.path().join("notes.jsonl"), theirs.path().join("notes.jsonl")).expect("the source");
    one_more(&theirs, "t1");
    place.ok(&theirs, &["push"]);
    own_source(&ours, "ours");
    ours.ok(&["run-all", "--run-id", "o1", "--no-files"]);
    place.fails(1, &ours, &["push", "--force-with-lease"]).says("last seen", "distill fetch origin");
    assert_eq!(place.clone().id("HEAD"), theirs.id("HEAD"));
}

#[test]
fn a_dry_run_sends_nothing() {
    let place = Place::folder();
    let ours = with_runs(&place);
    let would = place.json(&ours, &["push", "--dry-run"]);
    assert!(would["sent_bytes"].as_u64() > Some(0));
    assert!(super::packs_of(place.path()).is_empty());
    let did = place.json(&ours, &["push"]);
    assert_eq!(did["sent_bytes"], would["sent_bytes"]);
}

#[test]
fn remotes_are_known_by_name() {
    let place = Place::folder();
    let ours = with_runs(&place);
    place.ok(&ours, &["push"]);
    let list = ours.json("distill.remote_list.v1", &["remote", "list"]);
    assert_eq!(list["items"][0]["name"], "origin");
    assert_eq!(list["items"][0]["place"], place.text);
    assert_eq!(list["items"][0]["branches"][0][0], "main");

    ours.fails(1, &["remote", "add", "origin", "elsewhere"]).says("already", "remote remove");
    ours.fails(2, &["remote", "add", "a/b", "elsewhere"]).says("slash", "origin");
    ours.fails(2, &["remote", "add", "x", "ftp://h/x"]).says("ftp://", "s3://");
    ours.fails(2, &["push", "nowhere"]).says("no branch, tag or run is called `nowhere`", "distill branch");
    ours.fails(2, &["fetch", "nowhere"]).says("no remote called `nowhere`", "distill remote list");
    ours.ok(&["remote", "remove", "origin"]);
    ours.fails(2, &["push"]).says("no remote", "remote add");
    assert_eq!(ours.json("distill.remote_list.v1", &["remote", "list"])["items"], serde_json::json!([]));
    assert!(!ours.ok(&["reflog"]).is_empty());
}

#[test]
fn a_folder_with_other_things_in_it_is_left_alone() {
    let ours = Bench::with_runs();
    let other = Bench::empty();
    other.write("letter.txt", "mine");
    let folder = other.path().to_str().expect("text");
    ours.fails(1, &["remote", "add", "origin", folder]).says("holds other files", "empty folder");
    ours.fails(3, &["clone", folder, "copy"]).says("holds no distill remote", "remote add");
    assert!(!ours.path().join("copy").exists());
    let place = Place::folder();
    place.ok(&ours, &["remote", "add", "origin", &place.text]);
    ours.fails(1, &["clone", &place.text, folder]).says("holds something else", "another folder");
}

#[test]
fn an_empty_remote_can_be_cloned_and_filled() {
    let place = Place::folder();
    let ours = with_runs(&place);
    let theirs = Bench::empty();
    let said = place.ok(&theirs, &["clone", &place.text, "."]);
    assert!(said.contains("no commit yet"), "{said}");
    place.ok(&ours, &["push"]);
    assert_eq!(place.json(&theirs, &["pull"])["outcome"], "fast_forward");
    assert_eq!(theirs.id("HEAD"), ours.id("HEAD"));
}

#[test]
fn undo_passes_over_what_was_seen_of_remotes() {
    let place = Place::folder();
    let ours = with_runs(&place);
    place.ok(&ours, &["push"]);
    let undone = ours.json("distill.undo.v1", &["undo"]);
    assert_eq!(undone["operation"], "run-all");
}
