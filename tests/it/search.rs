//! `search`: which rows are found, in which order, and what becomes of a damaged, poisoned or shared index.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use distill::ops::Silent;
use distill::ops::search::{Filter, Searcher, corpus};
use distill::repo::Site;

use crate::cli::{Answer, Bench};

/// A repository with rows that talk of code.
fn bench() -> Bench {
    let bench = Bench::new();
    let mut rows = String::new();
    let answers = [
        (
            "e1",
            "2026-01-05",
            "Why does the build fail?",
            "src/store/pack_file.rs:12 gives error[E0308]: expected `ObjectId`.",
        ),
        (
            "e2",
            "2026-01-06",
            "Why is the test slow?",
            "The function readBlock in src/store/pack.rs unpacks each block twice.",
        ),
        (
            "e3",
            "2026-01-07",
            "Where do we retry?",
            "http_client.py retries on ECONNRESET, three times with backoff.",
        ),
        ("e4", "2026-01-08", "What does the block hold?", "A block holds objects; read it once."),
        ("e5", "2026-01-08", "What does the block hold?", "A block holds objects; read it once, or twice."),
    ];
    for (id, day, ask, say) in answers {
        let row = serde_json::json!({
            "id": id, "ts": format!("{day}T00:00:00Z"), "task": id, "prompt": ask, "answer": say, "passed": true
        });
        rows.push_str(&format!("{row}\n"));
    }
    bench.write("notes.jsonl", &rows);
    bench.ok(&["run-all", "--no-files"]);
    bench
}

#[track_caller]
fn found(bench: &Bench, args: &[&str]) -> Vec<String> {
    let answer = bench.json("distill.search.v1", &[&["search"], args].concat());
    keys(&answer)
}

fn keys(answer: &Value) -> Vec<String> {
    let items = answer["items"].as_array().expect("items");
    let key =
        |item: &Value| item["key"].as_str().expect("a key").rsplit('/').next().unwrap_or_default().to_owned();
    items.iter().map(key).collect()
}

#[test]
fn a_row_whose_question_is_one_endless_word_stops_no_audit() {
    let bench = Bench::new();
    let row = |id: &str, ask: &str| serde_json::json!({"id": id, "ts": "2026-01-05T00:00:00Z", "task": id, "prompt": ask, "answer": "It reads a block.", "passed": true});
    let endless = "x".repeat(150);
    bench.write("notes.jsonl", &format!("{}\n{}\n", row("e1", &endless), row("e2", "What is read?")));
    bench.ok(&["run-all", "--no-files"]);
    let told = bench.ok(&["search", "--self-recall"]);
    assert!(
        told.contains("1 of 2 rows were asked for by their own instructions, 1 more have none."),
        "{told}"
    );
    assert_eq!(bench.json("distill.audit_full.v1", &["audit-full", "--no-write"])["passed"], true);
    let nothing = bench.fails(1, &["search", "--stream", "reviews", "block"]);
    assert!(nothing.stdout.contains("No row that the filters let through has a word of it."), "{nothing:?}");
}

/// The folder of the one index.
fn index(bench: &Bench) -> PathBuf {
    let entries = fs::read_dir(bench.path().join(".distill/index")).expect("a folder");
    let mut indexes: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("distill.json").exists())
        .collect();
    assert_eq!(indexes.len(), 1, "{indexes:?}");
    indexes.remove(0)
}

#[test]
fn names_paths_and_codes_find_their_row_whole_and_by_their_parts() {
    let bench = bench();
    for (query, first) in [
        ("src/store/pack_file.rs", "e1"),
        ("pack_file", "e1"),
        ("E0308", "e1"),
        ("ObjectId", "e1"),
        ("readblock", "e2"),
        ("readBlock", "e2"),
        ("econnreset", "e3"),
        ("http_client", "e3"),
        ("client.py", "e3"),
        ("slow test", "e2"),
    ] {
        assert_eq!(found(&bench, &[query]).first().map(String::as_str), Some(first), "{query}");
    }
    let text = bench.ok(&["search", "-k", "1", "why", "is", "the", "test", "slow"]);
    assert!(text.contains("Why is the test slow?") && text.contains("2026/01/06/notes/e2"), "{text}");
}

#[test]
fn rows_that_answer_alike_come_in_the_order_of_keys_and_limits_hold() {
    let bench = bench();
    let all = found(&bench, &["block holds objects"]);
    assert_eq!(all[..2], ["e4", "e5"], "the shorter one is better");
    assert_eq!(found(&bench, &["block", "-k", "1"]).len(), 1);
    assert_eq!(found(&bench, &["block", "--stream", "notes", "--since", "2026-01-08"]), ["e4", "e5"]);
    assert_eq!(found(&bench, &["block", "--until", "2026-01-06"]), ["e2"]);
    bench.fails(1, &["search", "block", "--until", "2026-01-06T00:00:00Z", "--stream", "notes"]);
    assert_eq!(found(&bench, &["block", "--category", "accepted"]).len(), 3);
    let none = bench.fails(1, &["search", "block", "--category", "partially_accepted"]);
    assert!(none.stdout.contains("No row"), "{none:?}");
    let none = bench.fails(1, &["search", "zebra"]);
    assert_eq!(none.stderr, "");
}

/// 300 rows that differ in a word that is not asked for: what decides is the order of keys, across whatever segments there are.
#[test]
fn equal_scores_are_ordered_by_key() {
    let bench = Bench::new();
    let row = |n: u32| {
        format!(
            "{{\"id\":\"k{n:03}\",\"ts\":\"2026-01-02T03:04:05Z\",\"task\":\"t{n:03}\",\"prompt\":\"Say word\",\"answer\":\"word u{n:03}\",\"passed\":true}}\n"
        )
    };
    bench.write("notes.jsonl", &(0..300).rev().map(row).collect::<String>());
    bench.ok(&["run-all", "--no-files"]);
    let expected: Vec<String> = (0..20).map(|n| format!("k{n:03}")).collect();
    assert_eq!(found(&bench, &["word", "-k", "20"]), expected);
}

#[test]
fn a_damaged_index_is_built_again_and_gives_the_same() {
    let bench = bench();
    let before = bench.ok(&["search", "block", "--json"]);
    let folder = index(&bench);
    let files: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
        .collect();
    assert!(files.len() > 5, "{files:?}");
    let files: Vec<(PathBuf, Vec<u8>)> =
        files.into_iter().map(|file| (file.clone(), fs::read(file).expect("a file"))).collect();
    for (file, bytes) in files.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        let mut flipped = bytes.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x10;
        for damaged in [flipped, bytes[..middle].to_vec(), Vec::new()] {
            // An index that was made again has files of other names, but of the same kinds.
            let kind = |path: &Path| {
                (path.extension().map(ToOwned::to_owned), path.file_stem().map(std::ffi::OsStr::len))
            };
            let victim = fs::read_dir(&folder)
                .expect("a folder")
                .map(|entry| entry.expect("an entry").path())
                .find(|path| kind(path) == kind(file))
                .expect("a file of this kind");
            fs::write(&victim, &damaged).expect("written");
            assert_eq!(bench.ok(&["search", "block", "--json"]), before, "{}", victim.display());
        }
    }
    fs::remove_dir_all(&folder).expect("removed");
    assert_eq!(bench.ok(&["search", "block", "--json"]), before);
}

#[test]
fn a_row_is_read_once_by_a_process_that_is_asked_again() {
    let bench = bench();
    let repo = Site::at(bench.path()).expect("a place").open().expect("a repository");
    let snapshot = corpus(&repo, None, None).expect("a corpus");
    let searcher = Searcher::open(&repo, snapshot, &Silent).expect("an index");
    let ask = |question: &str, k| searcher.search(question, k, &Filter::default());
    let first = ask("block", 10).expect("an answer");
    assert_eq!(first.len(), 3, "{first:?}");
    for pack in fs::read_dir(bench.path().join(".distill/packs")).expect("packs") {
        fs::write(pack.expect("a pack").path(), b"").expect("emptied");
    }
    assert_eq!(ask("block", 10).expect("kept"), first);
    assert_eq!(ask("block", 1).expect("kept"), first[..1]);
    ask("ECONNRESET", 10).expect_err("a row that was not read before");
}

#[test]
fn a_poisoned_index_brings_no_word_that_the_snapshot_has_not() {
    let (bench, other) = (bench(), Bench::new());
    other.write(
        "notes.jsonl",
        "{\"id\":\"p1\",\"ts\":\"2026-01-02T03:04:05Z\",\"task\":\"t\",\"prompt\":\"Ask\",\"answer\":\"block poison\",\"passed\":true}\n",
    );
    other.ok(&["run-all", "--no-files"]);
    other.ok(&["search", "poison"]);
    bench.ok(&["search", "block"]);
    // The index of another corpus under this one's name, with a manifest that says that it is in order.
    let (mine, theirs) = (index(&bench), index(&other));
    let manifest = fs::read_to_string(theirs.join("distill.json")).expect("a manifest");
    let id = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    fs::remove_dir_all(&mine).expect("removed");
    fs::create_dir(&mine).expect("made");
    for entry in fs::read_dir(&theirs).expect("a folder").map(|entry| entry.expect("an entry")) {
        fs::copy(entry.path(), mine.join(entry.file_name())).expect("copied");
    }
    fs::write(mine.join("distill.json"), manifest.replace(&id(&theirs), &id(&mine))).expect("written");
    let poisoned = bench.json("distill.search.v1", &["search", "poison"]);
    assert!(!poisoned.to_string().contains("block poison"), "{poisoned}");
    for item in poisoned["items"].as_array().expect("items") {
        let key = item["key"].as_str().expect("a key");
        let stored = bench.ok(&["cat", &format!("HEAD:exports/rag/{key}")]);
        let stored: Value = serde_json::from_str(&stored).expect("a row");
        assert_eq!(stored["content"], item["row"]["content"], "a row of this snapshot, word for word");
    }
}

#[test]
fn processes_share_one_index() {
    let bench = bench();
    let searches: Vec<_> = (0..6)
        .map(|_| {
            let mut command = bench.command(&["search", "block", "--json"]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().expect("started")
        })
        .collect();
    let mut answers: Vec<String> = Vec::new();
    for search in searches {
        let output = search.wait_with_output().expect("ended");
        assert!(output.status.success(), "{output:?}");
        answers.push(String::from_utf8(output.stdout).expect("UTF-8"));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    index(&bench);
}

#[test]
fn a_corpus_by_name_follows_its_branch_or_stays() {
    let bench = bench();
    bench.ok(&["tag", "v1.0.0"]);
    let config = fs::read_to_string(bench.path().join(".distill/config.toml")).expect("a configuration");
    bench.write(
        ".distill/config.toml",
        &config.replace(
            "\n[corpora]\n",
            "\n[corpora]\nliving = \"main:exports/rag\"\nfixed = \"v1.0.0\"\nsft = \"main:exports/sft\"",
        ),
    );
    let notes = fs::read_to_string(bench.path().join("notes.jsonl")).expect("rows");
    let more = "{\"id\":\"n9\",\"ts\":\"2026-02-02T03:04:05Z\",\"task\":\"t9\",\"prompt\":\"New\",\"answer\":\"A zebra crossed\",\"passed\":true}\n";
    bench.write("notes.jsonl", &(notes + more));
    bench.ok(&["run-all", "--no-files"]);
    assert_eq!(found(&bench, &["zebra", "--corpus", "living"]), ["n9"]);
    let before = bench.fails(1, &["search", "zebra", "--corpus", "fixed", "--json"]);
    assert_eq!(keys(&serde_json::from_str(&before.stdout).expect("JSON")), Vec::<String>::new());
    assert_eq!(found(&bench, &["zebra", "--at", "HEAD"]), ["n9"]);
    let unknown = bench.fails(2, &["search", "zebra", "--corpus", "lost"]);
    assert!(
        unknown.stderr.contains("no corpus `lost`") && unknown.stderr.contains("`fixed`, `living`"),
        "{unknown:?}"
    );
    let wrong = bench.fails(2, &["search", "zebra", "--corpus", "sft"]);
    assert!(wrong.stderr.contains("no RAG snapshot"), "{wrong:?}");
    bench.fails(2, &["search", "zebra", "--corpus", "living", "--at", "HEAD"]);
    bench.fails(2, &["search", "..."]);
    bench.fails(2, &["search", "zebra", "-k", "0"]);
    bench.fails(2, &["search", "zebra", "--since", "yesterday"]);
    bench.fails(2, &["search", "zebra", "--category", "rejected"]);
    bench.fails(2, &["search"]);
}

#[test]
fn rows_are_found_by_their_own_instructions() {
    let bench = bench();
    let recall = bench.json("distill.search_recall.v1", &["search", "--self-recall"]);
    assert_eq!((&recall["rows"], &recall["total"]["asked"]), (&Value::from(5), &Value::from(5)));
    // e4 and e5 answer one question: each is among the first two, and both are answers to it.
    assert_eq!(recall["total"]["question_hit_10"], 1.0);
    assert_eq!(recall["total"]["hit_5"], 1.0);
    assert_eq!(recall["total"]["hit_1"], 0.8);
    assert_eq!(recall["total"]["mrr"], 0.9);
    assert_eq!(recall["items"][0]["stream"], "notes");
    let text = bench.ok(&["search", "--self-recall", "--rows", "2"]);
    assert!(text.contains("2 of 5 rows"), "{text}");
}

/// Somebody who may read a repository and not write to it. A process of root would be let through everything.
fn stranger(bench: &Bench, temporary: &Path, args: &[&str]) -> Option<Answer> {
    let mut command = bench.command(args);
    command.env("TMPDIR", temporary);
    if fs::metadata("/proc/self").expect("Linux").uid() == 0 {
        command.uid(65_534).gid(65_534);
    }
    match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            println!("skipped: the program lies where others may not look");
            None
        }
        output => Some(Answer::of(output.expect("it runs"))),
    }
}

#[test]
fn a_repository_that_cannot_be_written_to_is_searched() {
    let bench = bench();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    };
    mode(temporary.path(), 0o777);
    let modes = |dir: u32, file: u32| {
        for entry in walkdir::WalkDir::new(bench.path()).into_iter().map(|entry| entry.expect("listable")) {
            mode(entry.path(), if entry.file_type().is_dir() { dir } else { file });
        }
    };
    let state = || {
        let entries = walkdir::WalkDir::new(bench.path()).into_iter().map(|entry| entry.expect("listable"));
        entries
            .map(|e| (e.path().to_owned(), e.metadata().expect("there").modified().expect("known")))
            .collect::<Vec<_>>()
    };
    let note = "the repository cannot be written to: its search index is built for this time only";
    for has_index in [false, true] {
        modes(0o555, 0o444);
        let before = state();
        let Some(answer) = stranger(&bench, temporary.path(), &["search", "readBlock", "-n", "1"]) else {
            return;
        };
        assert_eq!(answer.status, 0, "{answer:?}");
        assert!(answer.stdout.contains("2026/01/06/notes/e2"), "{answer:?}");
        assert_eq!(answer.stderr.contains(note), !has_index, "{answer:?}");
        assert!(state() == before, "asking wrote something");
        assert_eq!(fs::read_dir(temporary.path()).expect("listable").count(), 0, "something was left");
        modes(0o755, 0o644);
        bench.ok(&["search", "readBlock"]);
    }
}
