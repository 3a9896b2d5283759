//! Remotes, pushers and neighbours that mean ill: what they say is not believed, and what they leave is not used.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use distill::base::clock::Clock;
use distill::object::{Find as _, Kind, ObjectId};
use distill::ops::receive::{NotReceived, receive};
use distill::remote::Received;
use distill::repo::{Commit, Site};
use distill::store::{Bundler, RefChange, Store};

use super::{Place, own_source, packs_of, with_runs};
use crate::cli::Bench;

/// Every object of a store.
fn objects(store: &Store) -> Vec<ObjectId> {
    let mut ids: Vec<ObjectId> = Vec::new();
    for pack in store.packs() {
        ids.extend(store.iter_objects(&pack.id).expect("objects").map(|object| object.expect("sound").0));
    }
    ids.sort();
    ids.dedup();
    ids
}

/// Sends these objects of `from` with one ref to the repository of `to`.
fn send(
    from: &Store,
    ids: &[ObjectId],
    to: &Bench,
    name: &str,
    new: ObjectId,
) -> Result<Received, NotReceived> {
    let work = tempfile::tempdir().expect("a folder");
    let mut bundler = Bundler::new(work.path(), 1 << 20);
    for id in ids {
        let bytes = from.try_find(id).expect("readable").expect("there");
        let kind = if bytes.starts_with(b"{\"entries\"") { Kind::Node } else { Kind::Data };
        bundler.push(kind, *id, &bytes).expect("room");
    }
    let packs: Vec<PathBuf> = bundler.finish().expect("written").into_iter().map(|pack| pack.path).collect();
    let repo = Site::at(to.path()).expect("a repository").open().expect("opened");
    let change = RefChange { name: name.to_owned(), old: repo.store().get_ref(name), new: Some(new) };
    receive(&repo, &packs, &[change], None, &Clock::Fixed(0))
}

/// A store takes in whole packs, and with them what no ref of that push needs. So a commit may lie there, and the nodes of
/// its trees too, without the rows below them. The next push names them.
#[test]
fn what_came_along_unasked_is_not_taken_for_whole() {
    let ours = Bench::with_runs();
    let store = Store::open(&ours.path().join(".distill")).expect("a store");
    let first: ObjectId = ours.id("r1").parse().expect("an id");
    let before = objects(&store);
    own_source(&ours, "more");
    ours.ok(&["run-all", "--run-id", "r3", "--no-files"]);
    let store = Store::open(&ours.path().join(".distill")).expect("a store");
    let last: ObjectId = ours.id("r3").parse().expect("an id");
    let added: Vec<ObjectId> = objects(&store).into_iter().filter(|id| !before.contains(id)).collect();
    let bytes = store.try_find(&last).expect("readable").expect("there");
    let commit = Commit::parse(&last, &bytes).expect("a commit");
    let evidence = *commit.datasets["evidence"].object();
    let row = ours.json("distill.ls.v1", &["ls", "r3:evidence"]);
    let rows = row["items"].as_array().expect("rows");
    let row =
        rows.iter().find(|row| row["key"].as_str().is_some_and(|key| key.contains("/more/"))).expect("a row");
    let row: ObjectId = row["id"].as_str().expect("text").parse().expect("an id");
    assert!(added.contains(&row) && added.contains(&evidence));

    // First everything but the new row, under a ref that needs none of it; then the ref that does.
    for left_out in [vec![row], vec![row, last], vec![row, evidence]] {
        let theirs = Bench::empty();
        theirs.ok(&["init"]);
        let some: Vec<ObjectId> = objects(&store).into_iter().filter(|id| !left_out.contains(id)).collect();
        send(&store, &some, &theirs, "heads/main", first).expect("r1 is whole");
        theirs.ok(&["verify"]);
        let rest: Vec<ObjectId> = left_out.iter().copied().filter(|id| *id != row).collect();
        let refusal = send(&store, &rest, &theirs, "heads/other", last).expect_err("the row never came");
        assert!(refusal.is_senders && refusal.error.message.contains(&row.to_string()), "{refusal:?}");
        theirs.fails(2, &["show", "other"]);
        // With the row it is whole, and what lay there is used.
        let mut rest = rest;
        rest.push(row);
        send(&store, &rest, &theirs, "heads/other", last).expect("whole");
        theirs.ok(&["verify", "other"]);
    }
}

/// What a repository fetches is looked at in the same way: the pusher may be the remote.
#[test]
fn a_ref_that_names_what_lies_here_unnamed_is_looked_at() {
    let ours = Bench::with_runs();
    let theirs = Bench::empty();
    theirs.ok(&["clone", ours.path().to_str().expect("text"), "."]);
    // What undo left unnamed is still whole, and is found to be.
    theirs.ok(&["branch", "aside", "r2"]);
    ours.ok(&["branch", "again", "r1"]);
    let fetched = theirs.json("distill.fetch_remote.v1", &["fetch"]);
    assert_eq!(fetched["refs"][0]["name"], "remotes/origin/again", "{fetched}");
    theirs.ok(&["verify"]);
}

/// An operation of a remote in a folder, with these members changed.
fn operation(place: &Path, number: u64, change: impl FnOnce(&mut serde_json::Value)) {
    let path = place.join(format!("ops/{number:010}.json"));
    let mut operation: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("an operation")).expect("JSON");
    change(&mut operation);
    fs::write(&path, operation.to_string()).expect("written");
}

#[test]
fn a_remote_gives_no_refs_but_its_own() {
    let place = Place::folder();
    let ours = with_runs(&place);
    place.ok(&ours, &["push"]);
    let path = place.path().join("ops/0000000001.json");
    let sound = fs::read(&path).expect("an operation");
    for (name, says) in [
        ("remotes/upstream/main", "is no branch, tag or run"),
        ("secret/x", "is no branch, tag or run"),
        ("heads/../../x", "heads/../../x"),
    ] {
        operation(place.path(), 1, |operation| {
            let new = operation["ref_changes"][0]["new"].clone();
            let more = serde_json::json!({"name": name, "new": new, "old": null});
            operation["ref_changes"].as_array_mut().expect("changes").push(more);
        });
        place.fails(4, &Bench::empty(), &["clone", &place.text, "."]).says(says, "verify");
        fs::write(&path, &sound).expect("mended");
    }
    operation(place.path(), 1, |operation| operation["head"] = "runs/r1".into());
    place.fails(4, &Bench::empty(), &["clone", &place.text, "."]).says("no branch to start on", "verify");
    fs::write(&path, &sound).expect("mended");
    place.clone();
}

#[test]
fn what_a_remote_says_of_lengths_takes_no_memory() {
    let place = Place::folder();
    let ours = with_runs(&place);
    place.ok(&ours, &["push"]);
    let pack = packs_of(place.path()).pop().expect("a pack");
    let sound = fs::read(&pack).expect("a pack");
    // A pack of four tebibytes, most of them a hole, whose table begins at its beginning.
    let len = 4_u64 << 40;
    let footer_at = sound.len() - 144;
    let mut tail = sound[footer_at..].to_vec();
    assert_eq!(&tail[tail.len() - 8..], b"DSTLTAIL");
    tail[24..32].copy_from_slice(&4096_u64.to_le_bytes());
    let file = fs::File::create(&pack).expect("a file");
    if file.set_len(len).is_err() {
        println!("skipped: this file system has no files of 4 TiB");
        return;
    }
    file.write_all_at(&tail, len - tail.len() as u64).expect("written");
    operation(place.path(), 1, |operation| operation["packs"][0]["bytes"] = len.into());
    let consumer = Bench::empty();
    place
        .fails(4, &consumer, &["fetch", &place.text, "main:sft"])
        .says("none that fits a pack", "nothing that did not verify");
    assert_eq!(fs::read_dir(consumer.path()).expect("a folder").count(), 0);
}

#[test]
fn what_pushes_left_that_died_goes_after_a_day() {
    let place = Place::folder();
    let ours = with_runs(&place);
    let tmp = place.path().join("tmp");
    fs::create_dir_all(&tmp).expect("a folder");
    let old = SystemTime::now() - Duration::from_hours(25);
    for (name, at) in [("old", old), ("new", SystemTime::now())] {
        let file = fs::File::create(tmp.join(name)).expect("a file");
        file.set_modified(at).expect("a time");
    }
    place.ok(&ours, &["push"]);
    assert!(!tmp.join("old").exists() && tmp.join("new").exists());
}

#[test]
fn two_names_of_one_place_wait_for_each_other() {
    let place = Place::folder();
    let ours = with_runs(&place);
    place.ok(&ours, &["push"]);
    ours.ok(&["remote", "add", "same", &place.text]);
    let config = fs::read_to_string(ours.path().join(".distill/config.toml")).expect("a configuration");
    assert!(config.contains("# lease_timeout_s = 600"));
    ours.write(".distill/config.toml", &config.replace("# lease_timeout_s = 600", "lease_timeout_s = 1"));
    // Whoever fetches by the other name holds this.
    let leases: Vec<PathBuf> = fs::read_dir(ours.path().join(".distill/tmp"))
        .expect("a folder")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.to_string_lossy().contains("lease-remotes%2F"))
        .collect();
    assert_eq!(leases.len(), 1, "{leases:?}");
    let held = fs::File::open(&leases[0]).expect("a lock");
    held.lock().expect("locked");
    for name in ["origin", "same"] {
        ours.fails(3, &["fetch", name]);
    }
    drop(held);
    ours.ok(&["fetch", "same"]);
}
