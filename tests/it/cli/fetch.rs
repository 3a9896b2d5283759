//! `fetch` from a directory, as a user types it.

use std::fs;
use std::process::Stdio;

use super::Bench;

/// A repository, the id of its commit and the digests of its SFT export.
fn source() -> (Bench, String, serde_json::Value) {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1.0.0", "-m", "the first"]);
    let commit = bench.id("v1.0.0");
    let receipts = bench.json("distill.receipts.v1", &["receipts", "v1.0.0"]);
    let outputs = receipts["receipts"].as_array().expect("receipts").iter();
    let output = outputs
        .flat_map(|receipt| receipt["outputs"].as_array().expect("outputs"))
        .find(|output| output["dataset"] == "exports/sft")
        .expect("an export")
        .clone();
    (bench, commit, output)
}

#[test]
fn a_tag_a_commit_a_root_and_a_digest_give_the_same_bytes() {
    let (source, commit, output) = source();
    let place = source.path().to_str().expect("text");
    let consumer = Bench::empty();
    let text = |key: &str| output[key].as_str().expect("text").to_owned();
    let dot = format!("{place}/.distill");
    let by_dataset = ["--dataset", "sft"];
    for (from, what, more, proof) in [
        (place, "v1.0.0", &by_dataset[..], "receipt"),
        (place, "v1.0.0:sft", &[], "receipt"),
        (&dot, "main:exports/sft", &[], "receipt"),
        (place, &commit, &by_dataset[..], "receipt"),
        (place, &text("root"), &[], "tree"),
        (place, &text("jsonl_blake3"), &[], "digest"),
        (place, &text("jsonl_sha256"), &[], "digest"),
    ] {
        let args: Vec<&str> = ["fetch", from, what, "-o", "out.jsonl"].iter().chain(more).copied().collect();
        let fetched = consumer.json("distill.fetch.v1", &args);
        assert_eq!(fetched["proof"], proof, "{what}");
        assert_eq!(fetched["root"], output["root"], "{what}");
        assert_eq!(fetched["written"]["blake3"], output["jsonl_blake3"], "{what}");
        assert_eq!(fetched["written"]["sha256"], output["jsonl_sha256"], "{what}");
        let bytes = fs::read(consumer.path().join("out.jsonl")).expect("a file");
        assert_eq!(blake3::hash(&bytes).to_string(), text("jsonl_blake3"), "{what}");
        fs::remove_file(consumer.path().join("out.jsonl")).expect("removed");
    }
    assert_eq!(fs::read_dir(consumer.path()).expect("a folder").count(), 0, "nothing else was left");
}

#[test]
fn other_datasets_are_proved_by_their_tree() {
    let (source, ..) = source();
    let place = source.path().to_str().expect("text");
    let consumer = Bench::empty();
    for dataset in ["sources", "evidence", "scored-runs", "quarantine"] {
        let fetched = consumer.json("distill.fetch.v1", &["fetch", place, "HEAD", "--dataset", dataset]);
        assert_eq!(fetched["proof"], "tree", "{dataset}");
        assert_eq!(fetched["file"], format!("{dataset}.jsonl"));
        let listed = source.ok(&["ls", &format!("HEAD:{dataset}")]);
        assert_eq!(fetched["rows"], listed.lines().count(), "{dataset}");
    }
}

#[test]
fn parquet_is_made_of_verified_rows() {
    let (source, _, output) = source();
    let place = source.path().to_str().expect("text");
    let consumer = Bench::empty();
    let root = output["root"].as_str().expect("text");
    let named = consumer.json("distill.fetch.v1", &["fetch", place, "v1.0.0:sft", "--format", "parquet"]);
    assert_eq!(named["jsonl"]["blake3"], output["jsonl_blake3"]);
    assert_eq!(named["file"], "sft.parquet");
    let by_root = consumer
        .json("distill.fetch.v1", &["fetch", place, root, "--format", "parquet", "-o", "root.parquet"]);
    assert_eq!(by_root["dataset"], "exports/sft", "the rows say what they are");
    let read = |name: &str| fs::read(consumer.path().join(name)).expect("a file");
    assert_eq!(read("sft.parquet"), read("root.parquet"));
    assert!(read("sft.parquet").starts_with(b"PAR1"));
    consumer
        .fails(2, &["fetch", place, "HEAD:sources", "--format", "parquet"])
        .says("no Parquet form", "JSONL");
    assert_eq!(fs::read_dir(consumer.path()).expect("a folder").count(), 2, "nothing was fetched");
}

#[test]
fn what_is_there_is_not_overwritten() {
    let (source, ..) = source();
    let place = source.path().to_str().expect("text");
    let consumer = Bench::empty();
    let ask = ["fetch", place, "v1.0.0:sft"];
    let first = consumer.json("distill.fetch.v1", &ask);
    let again = consumer.json("distill.fetch.v1", &ask);
    assert_eq!((&first["was_there"], &again["was_there"]), (&false.into(), &true.into()));
    consumer.write("sft.jsonl", "my own\n");
    consumer.fails(1, &ask).says("sft.jsonl is there already", "--force");
    assert_eq!(fs::read_to_string(consumer.path().join("sft.jsonl")).expect("a file"), "my own\n");
    consumer.ok(&["fetch", place, "v1.0.0:sft", "--force"]);
    assert!(fs::read_to_string(consumer.path().join("sft.jsonl")).expect("a file").starts_with('{'));
}

#[test]
fn an_interrupted_transfer_goes_on_and_a_wrong_beginning_is_found() {
    let (source, _, output) = source();
    let place = source.path().to_str().expect("text");
    let consumer = Bench::empty();
    consumer.ok(&["fetch", place, "v1.0.0:sft", "-o", "whole"]);
    let whole = fs::read(consumer.path().join("whole")).expect("a file");
    let root = output["root"].as_str().expect("text");
    let part = format!("sft.jsonl.{}.part", &root[..16]);
    for cut in [0, 1, whole.len() / 2, whole.len() - 1, whole.len()] {
        fs::write(consumer.path().join(&part), &whole[..cut]).expect("written");
        let fetched = consumer.json("distill.fetch.v1", &["fetch", place, "v1.0.0:sft", "--force"]);
        assert_eq!(fetched["resumed_from"], cut);
        assert_eq!(fs::read(consumer.path().join("sft.jsonl")).expect("a file"), whole);
        fs::remove_file(consumer.path().join("sft.jsonl")).expect("removed");
    }
    for what in ["v1.0.0:sft", root] {
        let mut wrong = whole[..whole.len() / 2].to_vec();
        wrong[7] ^= 1;
        fs::write(consumer.path().join(&part), &wrong).expect("written");
        let answer = consumer.fails(4, &["fetch", place, what, "-o", "sft.jsonl"]);
        answer.says("not what was asked for", "nothing that did not verify was kept");
        assert!(!consumer.path().join("sft.jsonl").exists() && !consumer.path().join(&part).exists());
        consumer.ok(&["fetch", place, what, "-o", "sft.jsonl"]);
        fs::remove_file(consumer.path().join("sft.jsonl")).expect("removed");
    }
    // More than there is to get is no beginning of it.
    fs::write(consumer.path().join(&part), [&whole[..], b"more"].concat()).expect("written");
    consumer.ok(&["fetch", place, "v1.0.0:sft"]);
}

#[test]
fn what_names_nothing_says_so() {
    let (source, commit, output) = source();
    let place = source.path().to_str().expect("text");
    let consumer = Bench::empty();
    let other = "0".repeat(64);
    consumer.fails(2, &["fetch", place, "v9:sft"]).says("nothing called `v9`", "name a tag");
    consumer.fails(2, &["fetch", place, "v1.0.0"]).says("several datasets", "exports/sft");
    consumer.fails(2, &["fetch", place, "v1.0.0:sfd"]).says("no dataset called `sfd`", "exports/sft");
    consumer.fails(2, &["fetch", place, "v1.0.0:sft", "--dataset", "rag"]).says("named twice", "leave out");
    consumer.fails(2, &["fetch", place, &other]).says("neither an object nor an export", "check the id");
    consumer
        .fails(2, &["fetch", place, output["root"].as_str().expect("text"), "--dataset", "rag"])
        .says("one snapshot", "leave out");
    source.fails(2, &["fetch", "nothing"]).says("no remote called `nothing`", "distill fetch SOURCE");
    consumer.fails(3, &["fetch", "nowhere", "v1"]).says("no repository in nowhere", "http://");
    consumer.fails(2, &["fetch", "ftp://x", "v1"]).says("ftp://", "");
    let row = source.ok(&["ls", "v1.0.0:sft", "-n", "1"]);
    consumer.fails(2, &["fetch", place, &row[..64]]).says("no commit, tag or dataset", "name a commit");
    consumer.ok(&["fetch", place, &format!("{}~1:sft", &commit), "-o", "before"]);
    assert_eq!(fs::read_dir(consumer.path()).expect("a folder").count(), 1);
}

#[test]
fn damage_at_the_source_is_found_and_leaves_nothing() {
    let (source, ..) = source();
    // A byte in the middle of every pack.
    for pack in source.packs() {
        let mut bytes = fs::read(&pack).expect("a pack");
        let middle = bytes.len() / 3;
        bytes[middle] ^= 0x40;
        let mut permissions = fs::metadata(&pack).expect("a pack").permissions();
        #[expect(clippy::permissions_set_readonly_false, reason = "a file of this test")]
        permissions.set_readonly(false);
        fs::set_permissions(&pack, permissions).expect("writable");
        fs::write(&pack, bytes).expect("written");
    }
    let consumer = Bench::empty();
    let mut failed = 0;
    for dataset in ["sources", "evidence", "scored-runs", "sft", "rag", "preference", "quarantine"] {
        let answer =
            consumer.run(&["fetch", source.path().to_str().expect("text"), "v1.0.0", "--dataset", dataset]);
        if answer.status != 0 {
            assert_eq!(answer.status, 4, "{answer:?}");
            failed += 1;
        }
    }
    assert!(failed > 0);
    let left = fs::read_dir(consumer.path()).expect("a folder").count();
    assert!(left <= 7 - failed, "{left} files after {failed} failures");
}

#[test]
fn a_folder_that_was_pushed_to_gives_the_same_bytes() {
    let (source, commit, output) = source();
    source.ok(&["remote", "add", "shelf", "shelf"]);
    source.ok(&["push", "shelf", "main", "v1.0.0"]);
    let place = source.path().join("shelf");
    let place = place.to_str().expect("text");
    let consumer = Bench::empty();
    for (what, proof) in [
        ("v1.0.0:sft".to_owned(), "receipt"),
        (format!("{commit}:exports/sft"), "receipt"),
        (output["root"].as_str().expect("text").to_owned(), "tree"),
        (output["jsonl_sha256"].as_str().expect("text").to_owned(), "digest"),
    ] {
        let fetched = consumer.json("distill.fetch.v1", &["fetch", place, &what, "-o", "out"]);
        assert_eq!((&fetched["proof"], &fetched["root"]), (&proof.into(), &output["root"]), "{what}");
        assert_eq!(fetched["written"]["blake3"], output["jsonl_blake3"], "{what}");
        fs::remove_file(consumer.path().join("out")).expect("removed");
    }
    assert_eq!(fs::read_dir(consumer.path()).expect("a folder").count(), 0, "nothing else was left");
}

#[test]
fn two_commands_do_not_write_one_file() {
    let (source, _, output) = source();
    let place = source.path().to_str().expect("text");
    let consumer = Bench::empty();
    let root = output["root"].as_str().expect("text");
    let part = consumer.path().join(format!("sft.jsonl.{}.part", &root[..16]));
    // Another one is at it: it would go on adding to what this one has verified.
    let held = fs::File::create(&part).expect("a file");
    held.lock().expect("locked");
    consumer
        .fails(3, &["fetch", place, "v1.0.0:sft"])
        .says("another `distill fetch` is writing", "wait for it to end");
    assert!(!consumer.path().join("sft.jsonl").exists());
    drop(held);
    consumer.ok(&["fetch", place, "v1.0.0:sft"]);
    assert_eq!(fs::read_dir(consumer.path()).expect("a folder").count(), 1);
    // Many at once: one file, and it is the right one.
    for round in 0..4 {
        fs::remove_file(consumer.path().join("sft.jsonl")).expect("removed");
        let all: Vec<_> = (0..6)
            .map(|_| {
                let mut one = consumer.command(&["fetch", place, "v1.0.0:sft"]);
                one.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs")
            })
            .collect();
        let done = all.into_iter().map(|mut one| one.wait().expect("waited for").code());
        let done: Vec<Option<i32>> = done.collect();
        assert!(done.iter().all(|code| matches!(code, Some(0 | 1 | 3))), "round {round}: {done:?}");
        assert!(done.contains(&Some(0)), "round {round}: {done:?}");
        let bytes = fs::read(consumer.path().join("sft.jsonl")).expect("a file");
        assert_eq!(blake3::hash(&bytes).to_string(), output["jsonl_blake3"], "round {round}");
    }
}

#[test]
fn a_folder_that_somebody_prepared_is_not_used() {
    let (source, _, output) = source();
    source.ok(&["remote", "add", "shelf", "shelf"]);
    source.ok(&["push", "shelf", "main", "v1.0.0"]);
    let place = source.path().join("shelf");
    let tmp = tempfile::tempdir().expect("a folder");
    let consumer = Bench::empty();
    // The number of the process is known before it is one: tables and a state that somebody else has put there.
    let script = "mkdir \"$TMPDIR/distill-fetch-$$\" && echo mine > \"$TMPDIR/distill-fetch-$$/state.json\" && exec \"$0\" \"$@\"";
    let answer = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_distill"), "fetch"])
        .arg(&place)
        .args(["v1.0.0:sft"])
        .env("TMPDIR", tmp.path())
        .current_dir(consumer.path())
        .output()
        .expect("sh runs");
    assert!(answer.status.success(), "{answer:?}");
    let bytes = fs::read(consumer.path().join("sft.jsonl")).expect("a file");
    assert_eq!(blake3::hash(&bytes).to_string(), output["jsonl_blake3"]);
    let left: Vec<_> = fs::read_dir(tmp.path()).expect("a folder").map(|e| e.expect("one").path()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(fs::read_to_string(left[0].join("state.json")).expect("a file"), "mine\n");
}
