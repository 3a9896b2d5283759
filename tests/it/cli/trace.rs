//! `trace`: from a row to its line, from a line to its rows, and what is said where the chain is broken.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Answer, Bench};
use crate::forge::forge;

const N3: &str = "2026/01/03/notes/n3";

/// Runs with `line` on stdin.
fn piped(bench: &Bench, args: &[&str], line: &[u8]) -> Answer {
    let mut child = (bench.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()))
        .spawn()
        .expect("the program runs");
    child.stdin.take().expect("piped").write_all(line).ok();
    Answer::of(child.wait_with_output().expect("it ends"))
}

/// The hop of this role on the way down.
fn below<'a>(hop: &'a Value, role: &str) -> &'a Value {
    let found = hop["below"].as_array().expect("hops").iter().find(|hop| hop["role"] == role);
    found.unwrap_or_else(|| panic!("no {role} below {hop}"))
}

fn checks(hop: &Value) -> Vec<&str> {
    let checks = hop["checks"].as_array().expect("checks").iter();
    checks.map(|check| check["check"].as_str().expect("a name")).collect()
}

#[test]
fn an_export_row_is_followed_to_its_line() {
    let bench = Bench::with_runs();
    let told = bench.json("distill.trace.v1", &["trace", &format!("HEAD:sft/{N3}")]);
    assert_eq!((&told["holds"], &told["faults"]), (&json!(true), &json!([])));
    let scored = below(&told["row"], "scored_run");
    let evidence = below(scored, "evidence");
    let source = below(evidence, "source");
    assert!(checks(scored).contains(&"category") && checks(evidence).contains(&"provenance"), "{told}");
    assert_eq!(checks(source), ["in_tree", "link", "hash", "sig_hash"]);
    let place = &source["source"];
    assert_eq!(
        [&place["file"], &place["line"], &place["line_offset"]],
        [&json!("notes.jsonl"), &json!(3), &json!(2)]
    );
    assert_eq!(place["on_disk"], "same");
    let text = bench.ok(&["trace", &format!("HEAD:exports/sft/{N3}")]);
    assert!(text.contains("notes.jsonl, line 3") && text.ends_with("Every link holds.\n"), "{text}");
    // The ways to name a row.
    let id = told["row"]["id"].as_str().expect("an id");
    for way in [id, &id[..12]] {
        assert_eq!(bench.json("distill.trace.v1", &["trace", way])["row"], told["row"]);
    }
    let line = bench.ok(&["cat", id]);
    let from_stdin = piped(&bench, &["trace", "-", "--json"], format!("{line}\n").as_bytes());
    let from_stdin: Value = serde_json::from_str(&from_stdin.stdout).expect("JSON");
    assert_eq!(from_stdin["row"], told["row"]);
    // The file may change; the chain does not rest on it.
    bench.write("notes.jsonl", "gone\n");
    let told = bench.json("distill.trace.v1", &["trace", id]);
    let on_disk = |told: &Value| {
        below(below(below(&told["row"], "scored_run"), "evidence"), "source")["source"]["on_disk"].clone()
    };
    assert_eq!((&told["holds"], on_disk(&told)), (&json!(true), json!("differs")));
    std::fs::remove_file(bench.path().join("notes.jsonl")).expect("there");
    assert_eq!(on_disk(&bench.json("distill.trace.v1", &["trace", id])), "absent");
}

#[test]
fn a_pair_is_followed_on_both_sides() {
    let bench = Bench::with_runs();
    let pairs = bench.ok(&["ls", "HEAD:preference"]);
    let key = pairs.split_whitespace().nth(2).expect("a pair");
    let told = bench.json("distill.trace.v1", &["trace", &format!("HEAD:preference/{key}")]);
    let [chosen, rejected] = ["chosen", "rejected"].map(|side| {
        let source = below(below(below(&told["row"], side), "evidence"), "source");
        source["source"]["line"].as_u64().expect("a line")
    });
    assert_eq!((told["holds"].as_bool(), chosen, rejected), (Some(true), 1, 2));
}

#[test]
fn what_names_no_row_says_what_to_name() {
    let bench = Bench::with_runs();
    bench.fails(2, &["trace"]);
    bench.fails(2, &["trace", "HEAD"]).says("a commit, not a row", "REV:DATASET/KEY");
    bench.fails(2, &["trace", "HEAD:sft"]).says("names exports/sft, not a row", "distill ls HEAD:sft");
    bench.fails(2, &["trace", "HEAD:sft/2026/01/03/notes/nobody"]).says("has no", "");
    bench.fails(2, &["trace", "abcdef012345"]).says("abcdef012345", "");
    bench.fails(2, &["trace", "HEAD:sft/x", "--at", "r1"]).says("named twice", "--at");
    let id = bench.json("distill.show.v1", &["show", "HEAD:sft/2026/01/04/notes/n5"])["id"].clone();
    let id = id.as_str().expect("an id");
    bench.ok(&["trace", id]);
    // A row that another commit has, a line that somebody edited, and lines that are none.
    bench.fails(1, &["trace", id, "--at", "r1"]).says("is no row of commit", "--at REV");
    let line = bench.ok(&["cat", id]).replace("five", "six");
    piped(&bench, &["trace", "-"], line.as_bytes()).says("is no row of commit", "--at REV");
    assert_eq!(piped(&bench, &["trace", "-"], line.as_bytes()).status, 1);
    for (line, status) in [(&b"{}\n"[..], 2), (b"", 2), (b"{}\n{}\n", 2), (b"\xff\xfe", 2)] {
        assert_eq!(piped(&bench, &["trace", "-"], line).status, status, "{line:?}");
    }
}

#[test]
fn a_row_that_does_not_rest_on_its_evidence_is_a_broken_chain() {
    let bench = Bench::with_runs();
    let (_, forged) = forge(bench.path(), "exports/sft", N3, |row| {
        row["provenance"]["line_offset"] = json!(0);
        row["quality_score"] = json!("partially_accepted");
        Some(())
    });
    let forged = forged.expect("a row").to_string();
    let answer = bench.fails(4, &["trace", &format!("HEAD:sft/{N3}"), "--json"]);
    let told: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!(told["row"]["id"], json!(forged));
    let scored = below(&told["row"], "scored_run");
    let faults = told["faults"].as_array().expect("faults");
    let named: Vec<_> =
        faults.iter().map(|fault| (&fault["check"], &fault["object"], &fault["key"])).collect();
    let key = json!(N3);
    let expected = [json!("provenance"), json!("category")];
    assert_eq!(
        named,
        expected.iter().map(|check| (check, &scored["id"], &key)).collect::<Vec<_>>(),
        "{told}"
    );
    // The walk goes on to the line.
    assert_eq!(below(below(scored, "evidence"), "source")["source"]["line"], 3);
    let text = bench.fails(4, &["trace", &format!("HEAD:sft/{N3}")]).stdout;
    assert!(text.contains("BROKEN category") && text.contains(&forged), "{text}");
    assert!(text.ends_with("The chain is broken: 2 checks failed.\n"), "{text}");
}

#[test]
fn a_verdict_that_is_gone_and_a_source_row_that_is_another_are_named() {
    let bench = Bench::with_runs();
    forge(bench.path(), "scored-runs", N3, |_| None);
    // What the export was made from is told by its receipt, and is still there.
    bench.ok(&["trace", &format!("HEAD:sft/{N3}")]);
    forge(bench.path(), "exports/sft", N3, |row| {
        row["context"] = json!("more");
        Some(())
    });
    // No receipt knows this export: it rests on what the commit has.
    let text = bench.fails(4, &["trace", &format!("HEAD:sft/{N3}")]).stdout;
    assert!(text.contains(&format!("scored-runs has no key `{N3}`")), "{text}");
    assert!(text.contains("notes.jsonl, line 3"), "what lies beyond is still looked at: {text}");
    let bench = Bench::with_runs();
    let before =
        bench.json("distill.show.v1", &["show", "HEAD:sources/notes.jsonl/0000000002"])["id"].clone();
    forge(bench.path(), "sources", "notes.jsonl/0000000002", |row| {
        row["answer"] = json!("four");
        Some(())
    });
    // The evidence rests on the sources that its receipt names, which are untouched; the commit's own are another thing.
    bench.ok(&["trace", &format!("HEAD:sft/{N3}")]);
    let told = bench.json("distill.trace.v1", &["trace", &format!("r2:sft/{N3}")]);
    assert_eq!(below(below(below(&told["row"], "scored_run"), "evidence"), "source")["id"], before);
}

#[test]
fn the_exports_of_earlier_evidence_are_followed_in_the_trees_they_were_made_from() {
    let bench = Bench::with_runs();
    let spec = std::fs::read_to_string(bench.path().join(".distill/sources/notes.toml")).expect("a spec");
    bench.write(".distill/sources/notes.toml", &spec.replace("run_id = \".id\"", "run_id = \".task\""));
    bench.ok(&["build-evidence", "--run-id", "r3"]);
    let now = bench.json("distill.show.v1", &["show", &format!("HEAD:evidence/{N3}")])["id"].clone();
    let told = bench.json("distill.trace.v1", &["trace", &format!("HEAD:sft/{N3}")]);
    let evidence = below(below(&told["row"], "scored_run"), "evidence");
    assert_eq!((&told["holds"], evidence["id"] != now), (&json!(true), true), "{told}");
    assert_eq!(bench.json("distill.verify.v1", &["verify"])["sound"], true);
    bench.ok(&["score", "--run-id", "r4"]);
    let scored = bench.json("distill.trace.v1", &["trace", &format!("HEAD:scored-runs/{N3}")]);
    assert_eq!((&scored["holds"], &below(&scored["row"], "evidence")["id"]), (&json!(true), &now));
    bench.ok(&["verify"]);
}

#[test]
fn a_line_tells_what_became_of_it() {
    let bench = Bench::new();
    let again = "{ \"ts\":\"2026-01-03T00:00:00Z\", \"id\":\"n3\",\"task\":\"t2\",\"prompt\":\"Say three\",\"answer\":\"three\",\"passed\":true}\n\n";
    let rows = std::fs::read_to_string(bench.path().join("notes.jsonl")).expect("rows");
    bench.write("notes.jsonl", &(rows + again));
    bench.ok(&["run-all", "--run-id", "r1", "--no-files"]);
    let reverse = |line: u64| {
        bench.json("distill.trace_reverse.v1", &["trace", "--reverse", &format!("notes.jsonl:{line}")])
    };
    let fates: Vec<_> = (1..=6).map(|line| reverse(line)["fate"].clone()).collect();
    assert_eq!(fates, ["consumed", "consumed", "consumed", "quarantined", "duplicate", "skipped"]);
    let first = reverse(1);
    assert_eq!((&first["holds"], &first["scanned"]), (&json!(true), &json!(["exports/preference (keys)"])));
    let record = &first["records"][0];
    assert_eq!(
        (&record["key"], &record["exports"][1]["fate"]),
        (&json!("2026/01/02/notes/n1"), &json!("exported"))
    );
    assert_eq!(record["exports"][2]["rows"][0]["says"], json!([["side", "chosen"]]));
    let second = &reverse(2)["records"][0];
    assert_eq!(
        second["exports"][1],
        json!({"dataset": "exports/sft", "fate": "skipped", "rule": "category_rejected", "detail": null, "rows": []})
    );
    assert_eq!(second["exports"][2]["rows"][0]["says"], json!([["side", "rejected"]]));
    assert_eq!(reverse(3)["records"][0]["exports"][2]["fate"], "unpaired");
    assert_eq!((&reverse(4)["rule"], &reverse(6)["rule"]), (&json!("json_syntax"), &json!("blank_line")));
    assert_eq!(reverse(5)["detail"], N3);
    let text = bench.ok(&["trace", "--reverse", "notes.jsonl:5"]);
    assert!(text.contains(&format!("a duplicate of {N3}")), "{text}");
    // The path as a person has it at hand.
    let typed = format!("{}:3", bench.path().join("notes.jsonl").display());
    assert!(bench.ok(&["trace", "--reverse", &typed]).contains("It is consumed"));
    bench.fails(2, &["trace", "--reverse", "notes.jsonl:7"]).says("has 6 rows", "counted from 1");
    bench.fails(2, &["trace", "--reverse", "notes.jsonl:0"]).says("no line 0", "from 1");
    bench
        .fails(2, &["trace", "--reverse", "other.jsonl:1"])
        .says("no source file `other.jsonl`", "relative to");
    bench.fails(2, &["trace", "--reverse", "notes.jsonl"]).says("is not FILE:LINE", "counted from 1");
    bench.fails(2, &["trace", "--reverse", "notes.jsonl:1", "HEAD:sft"]);
}

#[test]
fn a_row_that_lookups_read_is_found_by_going_through_the_evidence() {
    let bench = Bench::new();
    let spec = std::fs::read_to_string(bench.path().join(".distill/sources/notes.toml")).expect("a spec");
    let lookup =
        "\n[lookup.task]\nfiles = [\"tasks/*.jsonl\"]\nunit = \"line\"\nkey = \".id\"\non = \".task\"\n";
    let spec = spec.replace("files = [\"*.jsonl\"]", "files = [\"notes.jsonl\"]");
    bench.write(".distill/sources/notes.toml", &(spec + "context = \"$task.text\"\n" + lookup));
    bench.write(
        "tasks/all.jsonl",
        "{\"id\":\"t1\",\"text\":\"the first\"}\n{\"id\":\"t9\",\"text\":\"nobody's\"}\n",
    );
    bench.ok(&["run-all", "--run-id", "r1", "--no-files"]);
    let joined = bench.json("distill.trace_reverse.v1", &["trace", "--reverse", "tasks/all.jsonl:1"]);
    assert_eq!((&joined["fate"], &joined["scanned"]), (&json!("lookup"), &json!(["evidence"])));
    assert_eq!(joined["joined_by"], json!(["2026/01/02/notes/n1", "2026/01/02/notes/n2"]));
    let unused = bench.json("distill.trace_reverse.v1", &["trace", "--reverse", "tasks/all.jsonl:2"]);
    assert_eq!((&unused["fate"], &unused["joined_by"]), (&json!("lookup"), &json!([])));
    let row = bench.json("distill.trace_reverse.v1", &["trace", "--reverse", "notes.jsonl:1"]);
    assert_eq!(row["records"][0]["key"], "2026/01/02/notes/n1");
    let told = bench.json("distill.trace.v1", &["trace", "HEAD:evidence/2026/01/02/notes/n1"]);
    assert!(checks(below(&told["row"], "source")).contains(&"lookups"), "{told}");
}

#[test]
fn what_was_refused_and_what_repeats_is_followed_too() {
    let bench = Bench::with_runs();
    let told = bench
        .json("distill.trace.v1", &["trace", "HEAD:quarantine/evidence/json_syntax/notes.jsonl/0000000003"]);
    let refused = below(&told["row"], "refused");
    assert_eq!((&told["holds"], &refused["source"]["line"]), (&json!(true), &json!(4)));
    let source = bench.json("distill.trace.v1", &["trace", refused["id"].as_str().expect("an id")]);
    assert_eq!(source["row"]["dataset"], "sources", "a raw object is found by the keys of sources");
}
