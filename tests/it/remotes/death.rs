//! Sudden death: a remote is as it was or as it should be, and whoever comes back finishes.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{Place, one_more, packs_of, with_runs};
use crate::cli::Bench;
use crate::store_damage::{Random, long};

/// Runs a command and kills it after a random part of a little more than `window`; whether it was killed.
fn strike(place: &Place, bench: &Bench, args: &[&str], window: Duration, random: &mut Random) -> bool {
    let mut child = place
        .command(bench, args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let limit = u64::try_from(window.as_micros()).expect("short") * 5 / 4 + 1000;
    std::thread::sleep(Duration::from_micros(random.below(limit)));
    child.kill().ok();
    !child.wait().expect("waited for").success()
}

/// A push killed at many moments: the remote stays old or is new, and the next push finishes.
pub fn pushes(place: &Place, moments: u64) {
    let ours = with_runs(place);
    place.ok(&ours, &["push"]);
    one_more(&ours, "warm");
    let begun = Instant::now();
    place.ok(&ours, &["push"]);
    // How long a push takes depends on what else the machine does, so the window follows: half of them should be hit.
    let mut window = begun.elapsed();
    let mut random = Random(11);
    let mut killed = 0;
    for moment in 0..moments {
        let old = ours.id("HEAD");
        one_more(&ours, &format!("m{moment}"));
        let new = ours.id("HEAD");
        let is_hit = strike(place, &ours, &["push"], window, &mut random);
        killed += u64::from(is_hit);
        window = if is_hit { window * 5 / 4 } else { window * 2 / 3 };
        // A clone reads everything and verifies it.
        let theirs = place.clone();
        let there = theirs.id("HEAD");
        assert!(there == old || there == new, "moment {moment}: torn");
        place.ok(&ours, &["push"]);
        assert_eq!(place.json(&theirs, &["pull", "--no-files"])["remote_commit_id"], new, "moment {moment}");
        theirs.ok(&["verify"]);
    }
    assert!(killed * 3 >= moments, "{killed} of {moments} pushes were killed: they are over too soon");
    ours.ok(&["verify"]);
}

#[test]
fn a_push_killed_at_any_moment_leaves_the_remote_old_or_new() {
    pushes(&Place::folder(), if long() { 50 } else { 8 });
}

#[test]
fn a_push_goes_on_where_it_was_interrupted() {
    let place = Place::folder();
    let ours = with_runs(&place);
    let first = place.json(&ours, &["push"]);
    // All but the operation is there: what a push leaves that died right before its last step.
    fs::remove_file(place.path().join("ops/0000000001.json")).expect("removed");
    let again = place.json(&ours, &["push"]);
    assert_eq!(again["sent_bytes"], 0, "{again}");
    assert_eq!(again["resumed_bytes"], first["sent_bytes"]);
    assert_eq!(packs_of(place.path()).len(), 1);
    assert_eq!(place.clone().id("HEAD"), ours.id("HEAD"));
}

#[test]
fn a_clone_that_died_before_it_named_its_remote_is_made_again() {
    let place = Place::folder();
    let ours = with_runs(&place);
    place.ok(&ours, &["push"]);
    let theirs = Bench::empty();
    theirs.write(".distill/.tmp-1-remotes.toml", "");
    place.ok(&theirs, &["clone", &place.text, "."]);
    assert_eq!(theirs.id("HEAD"), ours.id("HEAD"));
    let other = Bench::empty();
    other.write(".distill/config.toml", "");
    place.fails(1, &other, &["clone", &place.text, "."]).says("holds something else", "another folder");
}

#[test]
fn a_clone_killed_at_any_moment_is_finished_by_the_next() {
    let place = Place::folder();
    let ours = with_runs(&place);
    place.ok(&ours, &["push"]);
    let begun = Instant::now();
    place.clone();
    let usual = begun.elapsed();
    let mut random = Random(7);
    for moment in 0..if long() { 50 } else { 8 } {
        let theirs = Bench::empty();
        strike(&place, &theirs, &["clone", &place.text, "."], usual, &mut random);
        place.ok(&theirs, &["clone", &place.text, "."]);
        assert_eq!(theirs.id("HEAD"), ours.id("HEAD"), "moment {moment}");
        assert!(theirs.path().join("exports/sft/instruction_response.jsonl").exists());
        theirs.ok(&["verify"]);
    }
}
