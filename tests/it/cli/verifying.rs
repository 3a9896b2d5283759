//! `verify` level by level, what it says of refs and snapshots, and `verify --against`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::Bench;
use crate::forge::forge;

const N3: &str = "2026/01/03/notes/n3";

fn damaged(bench: &Bench, args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&bench.fails(4, &args).stdout).expect("JSON")
}

fn levels(told: &Value) -> Vec<(String, Option<bool>)> {
    let levels = told["levels"].as_array().expect("levels").iter();
    levels
        .map(|level| (level["level"].as_str().expect("a name").to_owned(), level["holds"].as_bool()))
        .collect()
}

fn holds(levels: [Option<bool>; 4]) -> Vec<(String, Option<bool>)> {
    ["V0", "V1", "V2", "V3"].map(str::to_owned).into_iter().zip(levels).collect()
}

/// Overwrites a file that the store made read-only.
fn spoil(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("readable");
    change(&mut bytes);
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("ours");
    fs::write(path, bytes).expect("writable");
}

/// Every file below the folder: its bytes, when it was changed, its mode.
fn state(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime, u32)> {
    let entries = walkdir::WalkDir::new(dir).into_iter().map(|entry| entry.expect("listable"));
    let state = entries.map(|entry| {
        let meta = entry.metadata().expect("there");
        let bytes = if meta.is_file() { fs::read(entry.path()).expect("readable") } else { Vec::new() };
        (entry.into_path(), (bytes, meta.modified().expect("known"), meta.permissions().mode()))
    });
    state.collect()
}

#[test]
fn each_level_is_reported_and_a_revision_is_looked_at_in_part() {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1", "r1"]);
    let told = bench.json("distill.verify.v1", &["verify"]);
    assert_eq!(levels(&told), holds([Some(true); 4]));
    assert!(told["covered"]["links"].as_u64() > Some(8), "{told}");
    let refs = told["refs"].as_array().expect("refs");
    assert_eq!(refs.len(), 4);
    assert!(refs.iter().all(|state| state["holds"] == true && state["history_holds"] == true), "{told}");
    let snapshots = &told["snapshots"];
    assert_eq!(snapshots["total"], snapshots["intact"]);
    let part = bench.json("distill.verify.v1", &["verify", "r1"]);
    assert_eq!(levels(&part), holds([None, Some(true), Some(true), None]));
    let named: Vec<_> =
        part["refs"].as_array().expect("refs").iter().map(|state| state["name"].clone()).collect();
    assert_eq!(named, ["runs/r1", "tags/v1"]);
    let text = bench.ok(&["verify", "r1"]);
    assert!(text.contains("V3  log       not looked at"), "{text}");
}

#[test]
fn damage_is_told_of_with_what_is_hit_and_what_is_whole() {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1", "r1"]);
    let row = bench.json("distill.show.v1", &["show", "r2:sft/2026/01/04/notes/n5"]);
    spoil(Path::new(row["place"].as_str().expect("a pack")), |bytes| bytes[200] ^= 0x40);
    let told = damaged(&bench, &["verify"]);
    assert_eq!(levels(&told), holds([Some(false), Some(false), Some(false), Some(true)]));
    let refs: BTreeMap<_, _> = (told["refs"].as_array().expect("refs").iter())
        .map(|state| (state["name"].as_str().expect("a name"), &state["holds"]))
        .collect();
    assert_eq!(refs["tags/v1"], &json!(true), "the first run's objects lie in another pack");
    assert_eq!((refs["heads/main"], refs["runs/r2"]), (&json!(false), &json!(false)));
    let affected = told["snapshots"]["affected"].as_array().expect("snapshots");
    assert!(
        affected
            .iter()
            .any(|s| s["dataset"] == "exports/sft" && s["refs"] == json!(["heads/main", "runs/r2"]))
    );
    assert!(
        affected
            .iter()
            .all(|s| s["root"] != bench_root(&bench, "r1", s["dataset"].as_str().expect("a name")))
    );
    let total = told["snapshots"]["intact"].as_u64().expect("a count") + affected.len() as u64;
    assert_eq!(told["snapshots"]["total"], total);
    let text = bench.fails(4, &["verify"]).stdout;
    assert!(
        text.contains("Affected   heads/main: ") && text.contains("Whole, history too: runs/r1, tags/v1"),
        "{text}"
    );
}

fn bench_root(bench: &Bench, rev: &str, dataset: &str) -> Value {
    bench.json("distill.show.v1", &["show", rev])["datasets"][dataset].clone()
}

#[test]
fn a_lost_commit_leaves_the_tags_before_it_whole() {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1", "r1"]);
    let second = bench.json("distill.show.v1", &["show", "HEAD:evidence/2026/01/04/notes/n5"]);
    fs::remove_file(second["place"].as_str().expect("a pack")).expect("there");
    let text = bench.fails(4, &["verify"]).stdout;
    assert!(text.contains("Affected   heads/main: its commit"), "{text}");
    assert!(text.contains("Whole, history too: runs/r1, tags/v1"), "{text}");
}

#[test]
fn a_row_that_differs_from_what_it_rests_on_breaks_the_closure_alone() {
    for (dataset, key, what) in [
        ("evidence", N3, "line_offset"),
        ("scored-runs", N3, "line_offset"),
        ("exports/sft", N3, "line_offset"),
        ("exports/rag", N3, "evidence_id"),
        ("quarantine", "evidence/json_syntax/notes.jsonl/0000000003", "line_offset"),
        ("exports/sft", N3, "id"),
        ("exports/sft", N3, "schema"),
    ] {
        let bench = Bench::with_runs();
        let (_, forged) = forge(bench.path(), dataset, key, |row| {
            match what {
                "line_offset" => row["provenance"]["line_offset"] = json!(7),
                "evidence_id" => row["evidence_id"] = json!("0".repeat(64)),
                "schema" => row["schema"] = json!("distill.rag_sample.v1"),
                _ => row["id"] = json!("2026/01/03/notes/n4"),
            }
            Some(())
        });
        let told = damaged(&bench, &["verify"]);
        assert_eq!(
            levels(&told),
            holds([Some(true), Some(true), Some(false), Some(true)]),
            "{dataset} {what}"
        );
        let forged = json!(forged.expect("a row").to_string());
        let finding = told["findings"].as_array().expect("findings").iter().find(|f| f["object"] == forged);
        let finding = finding.unwrap_or_else(|| panic!("{dataset} {what}: {told}"));
        assert_eq!(finding["level"], "V2");
        assert_eq!(finding["needed_by"][0]["refs"], json!(["heads/main"]), "{finding}");
        assert_eq!(finding["needed_by"][0]["key"], json!(key));
        // The runs before it are whole, and said to be.
        let whole = told["refs"].as_array().expect("refs").iter().filter(|state| state["holds"] == true);
        assert_eq!(whole.map(|state| state["name"].clone()).collect::<Vec<_>>(), ["runs/r1", "runs/r2"]);
        assert_eq!(
            damaged(&bench, &["verify", "HEAD"])["findings"].as_array().map(Vec::len),
            told["findings"].as_array().map(Vec::len)
        );
        bench.ok(&["verify", "r2"]);
    }
}

#[test]
fn a_pair_without_one_of_its_sides_is_found() {
    let bench = Bench::with_runs();
    let pairs = bench.ok(&["ls", "HEAD:preference"]);
    let key = pairs.split_whitespace().nth(2).expect("a pair").to_owned();
    for side in ["chosen", "rejected"] {
        let bench = Bench::with_runs();
        let (_, forged) = forge(bench.path(), "exports/preference", &key, |row| {
            row["provenance"][side]["recorded_at"] = json!("2026-01-02T03:04:07.000Z");
            Some(())
        });
        let told = damaged(&bench, &["verify"]);
        let forged = json!(forged.expect("a row").to_string());
        assert!(
            told["findings"].as_array().expect("findings").iter().any(|f| f["object"] == forged),
            "{side}: {told}"
        );
    }
}

#[test]
fn every_operation_is_checked_and_refs_are_what_the_log_makes_them() {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1", "r1"]);
    let op = |number: u64| bench.path().join(format!(".distill/ops/{number:010}.json"));
    let sound: Vec<_> = (1..=3).map(|number| fs::read(op(number)).expect("an operation")).collect();
    for (number, named) in [(1, 1), (2, 1), (3, 1)] {
        spoil(&op(number), |bytes| {
            let at = memchr::memmem::find(bytes, b"\"at\":\"20").expect("a time");
            bytes[at + 8] = b'9';
        });
        let told = damaged(&bench, &["verify"]);
        assert_eq!(
            levels(&told),
            holds([Some(true), Some(true), Some(true), Some(false)]),
            "operation {number}"
        );
        let findings = told["findings"].as_array().expect("findings");
        assert_eq!(findings.len(), named, "{told}");
        assert_eq!(findings[0]["place"], json!(op(number)));
        fs::write(op(number), &sound[usize::try_from(number - 1).expect("small")]).expect("writable");
    }
    // Two at once are two findings: it does not stop at the first.
    spoil(&op(1), |bytes| bytes.truncate(40));
    fs::remove_file(op(2)).expect("there");
    let told = damaged(&bench, &["verify"]);
    assert_eq!(
        (told["findings_total"].as_u64(), told["covered"]["operations"].as_u64()),
        (Some(2), Some(1)),
        "{told}"
    );
    for (number, bytes) in (1..).zip(&sound) {
        fs::write(op(number), bytes).expect("writable");
    }
    bench.ok(&["verify"]);
    // A crash's leftover is no damage.
    fs::write(op(4), b"{").expect("writable");
    assert!(bench.ok(&["verify"]).contains("Not part of the store: "));
}

#[test]
fn an_older_catalogue_beside_a_newer_log_is_told_of() {
    let bench = Bench::with_runs();
    let catalogue = bench.path().join(".distill/store.redb");
    let before = fs::read(&catalogue).expect("a catalogue");
    bench.ok(&["tag", "v1", "r1"]);
    fs::write(&catalogue, before).expect("writable");
    let text = bench.ok(&["verify"]);
    assert!(text.contains("Not part of the store: ") && text.contains("0000000003.json"), "{text}");
}

#[test]
fn verifying_a_read_only_copy_changes_no_byte_and_no_time() {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1", "r1"]);
    bench.ok(&["checkout", "--all"]);
    let modes = |dir: u32, file: u32| {
        for entry in walkdir::WalkDir::new(bench.path()).into_iter().map(|entry| entry.expect("listable")) {
            let mode = if entry.file_type().is_dir() { dir } else { file };
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode)).expect("ours");
        }
    };
    modes(0o555, 0o444);
    let before = state(bench.path());
    let sft = format!("HEAD:sft/{N3}");
    for args in [
        &["verify"][..],
        &["verify", "v1"],
        &["verify", "--against", "."],
        &["trace", &sft],
        &["trace", "--reverse", "notes.jsonl:3"],
    ] {
        bench.ok(args);
    }
    assert!(state(bench.path()) == before, "verifying wrote something");
    modes(0o755, 0o644);
}

#[test]
fn a_folder_is_compared_with_a_revision() {
    let bench = Bench::with_runs();
    bench.ok(&["checkout", "--all"]);
    let told = bench.json("distill.verify_against.v1", &["verify", "r2", "--against", "."]);
    assert_eq!(
        (&told["holds"], &told["missing"], &told["changed"], &told["extra"]),
        (&json!(true), &json!([]), &json!([]), &json!([]))
    );
    assert!(told["datasets"].as_array().expect("names").contains(&json!("evidence")));
    assert!(
        told["exports"].as_array().expect("exports").iter().all(|export| export["holds"] == true),
        "{told}"
    );
    let out = |file: &str| bench.path().join(file);
    let sft = "exports/sft/instruction_response.jsonl";
    spoil(&out(sft), |bytes| bytes[10] ^= 1);
    fs::remove_file(out("exports/rag/playbooks.jsonl")).expect("there");
    fs::write(out("exports/sft/more.jsonl"), "{}\n").expect("writable");
    fs::write(out("reports/distillation/r2/receipts/other.json"), "{}\n").expect("writable");
    fs::write(out("reports/distillation/phase6-acceptance-report.md"), "not ours\n").expect("writable");
    let answer = bench.fails(1, &["verify", "r2", "--against", ".", "--json"]);
    let told: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!(told["missing"], json!(["exports/rag/playbooks.jsonl"]));
    assert_eq!(told["changed"].as_array().map(Vec::len), Some(1));
    assert_eq!(told["changed"][0]["file"], json!(sft));
    assert_eq!(
        told["extra"],
        json!(["exports/sft/more.jsonl", "reports/distillation/r2/receipts/other.json"])
    );
    let text = bench.fails(1, &["verify", "r2", "--against", "."]).stdout;
    assert!(
        text.contains("missing  exports/rag/playbooks.jsonl")
            && text.contains(&format!("{sft} has not the digests")),
        "{text}"
    );
    bench.fails(1, &["verify", "r1", "--against", "."]);
    bench.fails(3, &["verify", "--against", "nowhere"]).says("nowhere", "");
}

#[test]
fn ten_thousand_findings_are_listed_and_all_are_counted() {
    if !crate::store_damage::long() {
        return;
    }
    let bench = Bench::new();
    let rows: String = (0..6000)
        .map(|n| format!("{{\"id\":\"m{n}\",\"ts\":\"2026-01-02T03:04:05Z\",\"task\":\"t{n}\",\"prompt\":\"Say {n}\",\"answer\":\"{n}\",\"passed\":true}}\n"))
        .collect();
    bench.write("notes.jsonl", &rows);
    bench.ok(&["run-all", "--run-id", "r1", "--no-files"]);
    for pack in bench.packs() {
        // Every block is spoiled, and none of the tables.
        spoil(&pack, |bytes| {
            let foot = bytes.len() - 144;
            let directory = u64::from_le_bytes(bytes[foot + 24..foot + 32].try_into().expect("eight bytes"));
            let directory = usize::try_from(directory).expect("small");
            let blocks =
                u32::from_le_bytes(bytes[foot + 8..foot + 12].try_into().expect("four bytes")) as usize;
            for block in 0..blocks {
                let row = directory + 20 * block;
                let at = u64::from_le_bytes(bytes[row..row + 8].try_into().expect("eight bytes"));
                bytes[usize::try_from(at).expect("small") + 12] ^= 0x55;
            }
        });
    }
    let told = damaged(&bench, &["verify"]);
    assert_eq!(told["findings"].as_array().map(Vec::len), Some(10_000));
    assert!(told["findings_total"].as_u64() > Some(20_000), "{}", told["findings_total"]);
    assert!(bench.fails(4, &["verify"]).stdout.contains("more that are not listed"));
}

/// A commit whose dataset no receipt speaks of: every hash is right, and nothing says how it came about.
#[test]
fn a_dataset_that_no_receipt_put_out_is_found() {
    let bench = Bench::with_runs();
    let forged = forge(bench.path(), "quarantine", &quarantined(&bench), |_| None);
    let answer: Value =
        serde_json::from_str(&bench.fails(4, &["verify", "--json"]).stdout).expect("an answer is JSON");
    let findings = answer["findings"].as_array().expect("findings");
    let own =
        findings.iter().find(|f| f["object"] == forged.0.to_string()).unwrap_or_else(|| panic!("{answer}"));
    assert_eq!((&own["level"], &own["kind"]), (&"V2".into(), &"commit".into()));
    let detail = own["detail"].as_str().expect("a detail");
    assert!(detail.contains("no receipt") && detail.contains("`quarantine`"), "{detail}");
}

/// The key of a row in quarantine.
fn quarantined(bench: &Bench) -> String {
    let listed = bench.json("distill.ls.v1", &["ls", "HEAD:quarantine"]);
    listed["items"][0]["key"].as_str().unwrap_or_else(|| panic!("{listed}")).to_owned()
}
