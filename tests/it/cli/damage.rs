//! `verify`: what it covers, and what it says of a store that is damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::Bench;

#[test]
fn a_sound_store_is_covered_whole() {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1", "r1"]);
    let told = bench.json("distill.verify.v1", &["verify"]);
    let covered = &told["covered"];
    assert_eq!([&covered["refs"], &covered["tags"], &covered["commits"]], [4, 1, 2]);
    assert_eq!([&covered["receipts"], &covered["operations"]], [14, 3]);
    assert_eq!(covered["objects"], covered["packed_objects"], "nothing lies about unreached");
    assert_eq!((&told["sound"], &told["findings"]), (&json!(true), &json!([])));
    let part = bench.json("distill.verify.v1", &["verify", "r1"]);
    assert_eq!([&part["covered"]["commits"], &part["covered"]["packs"]], [1, 0], "only what r1 reaches");
    assert!(part["covered"]["objects"].as_u64() < covered["objects"].as_u64());
    assert!(bench.ok(&["verify"]).ends_with("Everything holds.\n"));
}

#[test]
fn a_damaged_pack_is_named_with_what_depends_on_it() {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1", "r1"]);
    let row = bench.json("distill.show.v1", &["show", "r1:sft/2026/01/03/notes/n3"]);
    let pack = row["place"].as_str().expect("a pack").to_owned();
    let sound = fs::read(&pack).expect("a pack");
    // The first block of a pack holds data objects; its bytes begin after the header.
    let mut bytes = sound.clone();
    bytes[200] ^= 0x40;
    let writable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(&pack, writable).expect("ours");
    fs::write(&pack, &bytes).expect("writable");
    let answer = bench.fails(4, &["verify", "--json"]);
    assert_eq!(answer.stdout.lines().count(), 1, "one answer: {answer:?}");
    let told: serde_json::Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!(told["sound"], false);
    let findings = told["findings"].as_array().expect("findings");
    assert!(findings.len() > 1, "it goes on after the first: {told}");
    assert!(findings.iter().any(|f| f["kind"] == "pack" && f["place"] == json!(pack)), "{told}");
    let hit = findings.iter().find(|f| f["object"] == row["id"]).expect("the row is in the damaged block");
    assert_eq!((&hit["kind"], &hit["place"]), (&json!("row of exports/sft"), &json!(pack)));
    let needed = hit["needed_by"].as_array().expect("dependants");
    assert!(
        needed.iter().any(|d| d["part"] == "exports/sft"
            && d["key"] == "2026/01/03/notes/n3"
            && d["refs"].as_array().is_some_and(|refs| refs.contains(&json!("tags/v1")))),
        "{hit}"
    );
    let text = bench.fails(4, &["verify"]).stdout;
    assert!(text.contains("needed by commit") && text.contains(&pack), "{text}");
    let read = bench.fails(4, &["cat", "r1:sft/2026/01/03/notes/n3"]);
    read.says("is damaged", "distill verify");
    fs::write(&pack, &sound).expect("writable");
    bench.ok(&["verify"]);
}

#[test]
fn a_missing_pack_is_damage_and_the_rest_is_still_looked_at() {
    let bench = Bench::with_runs();
    let packs = bench.packs();
    assert!(packs.len() > 1, "a pack for each run");
    let row = bench.json("distill.show.v1", &["show", "r2:evidence/2026/01/04/notes/n5"]);
    fs::remove_file(row["place"].as_str().expect("a pack")).expect("there");
    let answer = bench.fails(4, &["verify"]);
    assert!(answer.stdout.contains("The store is damaged"), "{answer:?}");
    bench.ok(&["verify", "r1"]);
    bench.fails(4, &["show", "r2"]);
}

#[test]
fn a_read_only_copy_can_be_verified() {
    let bench = Bench::with_runs();
    let walk =
        || walkdir::WalkDir::new(bench.path().join(".distill")).into_iter().map(|e| e.expect("listable"));
    let set = |dir: u32, file: u32| {
        for entry in walk() {
            let mode = if entry.file_type().is_dir() { dir } else { file };
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode)).expect("ours");
        }
    };
    let state = || {
        walk()
            .map(|e| (e.path().to_owned(), fs::metadata(e.path()).expect("there").modified().expect("known")))
            .collect::<Vec<_>>()
    };
    set(0o555, 0o444);
    let before = state();
    for args in [
        &["verify"][..],
        &["stats"],
        &["gc", "--dry-run", "--grace", "0"],
        &["reindex"],
        &["log"],
        &["diff"],
        &["status", "--check"],
        &["receipts"],
    ] {
        bench.ok(args);
    }
    assert_eq!(state(), before, "reading writes nothing");
    set(0o755, 0o644);
}
