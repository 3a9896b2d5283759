//! What people, machines and disks do to a repository, with the real binary: kills, full disks, damage, odd files.
//!
//! `DISTILL_TEST_LONG=1` makes more rounds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use distill::store::Store;

use crate::cli::Bench;

const WIDE: &str = r#"
stream = "notes"
files = ["**/*.jsonl"]
[record]
key = ".id"
[fields]
run_id = ".id"
instruction = ".prompt"
response = ".answer"
validation.outcome = ".passed"
"#;

/// Unmounts when the test ends, however it ends.
struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0).status().ok();
    }
}

fn rounds(short: u32, long: u32) -> u32 {
    if std::env::var_os("DISTILL_TEST_LONG").is_some() { long } else { short }
}

fn datasets(bench: &Bench) -> serde_json::Value {
    bench.json("distill.show.v1", &["show", "HEAD"])["datasets"].clone()
}

/// Files that a run leaves only when it is cut off.
fn leftovers(root: &Path) -> Vec<String> {
    let kept = |name: &str| ["publish.lock", "gc.lock"].contains(&name) || name.starts_with("lease-");
    let entries = walkdir::WalkDir::new(root).into_iter().map(|e| e.expect("listable"));
    let names = entries.filter(|e| e.file_type().is_file()).map(|e| e.path().to_string_lossy().into_owned());
    names
        .filter(|path| path.contains(".distill-tmp-") || path.contains("/.distill/tmp/"))
        .filter(|path| !kept(path.rsplit('/').next().unwrap_or_default()))
        .collect()
}

#[test]
fn an_unknown_word_on_the_command_line_is_one_json_object_when_json_was_asked_for() {
    let bench = Bench::empty();
    for args in [
        &["frobnicate", "--json"][..],
        &["log", "--json", "--nope"],
        &["--json"],
        &["log", "-n", "x", "--json"],
    ] {
        let answer = bench.fails(2, args);
        assert_eq!(answer.stdout.lines().count(), 1, "{args:?}: {answer:?}");
        let told: serde_json::Value = serde_json::from_str(&answer.stdout).expect("JSON");
        assert_eq!(
            (told["schema"].as_str(), told["kind"].as_str()),
            (Some("distill.error.v1"), Some("usage"))
        );
        assert!(told["message"].as_str().is_some_and(|m| !m.is_empty() && !m.starts_with("error")), "{told}");
    }
    assert_eq!(bench.fails(2, &["show", "--nope", "--", "--json"]).stdout, "", "a name is not an option");
}

#[test]
fn an_error_brings_no_control_characters_to_the_terminal() {
    let bench = Bench::with_runs();
    let answer = bench.fails(2, &["show", "a\u{1b}[2Jb"]);
    assert!(!answer.stderr.contains('\u{1b}') && answer.stderr.contains("[2Jb"), "{answer:?}");
}

#[test]
fn a_wide_glob_does_not_take_in_what_distill_wrote() {
    let bench = Bench::new();
    bench.write(".distill/sources/notes.toml", WIDE);
    bench.ok(&["run-all", "--run-id", "r1"]);
    bench.ok(&["checkout", "HEAD", "--all"]);
    assert!(bench.path().join("exports/rag/playbooks.jsonl").exists(), "there is something to take in");
    let before = datasets(&bench);
    bench.ok(&["run-all", "--run-id", "r2"]);
    assert_eq!(datasets(&bench), before, "the products of r1 are no sources of r2");
    // A folder that a glob names is a person's word for it.
    bench.write(
        "data/sources/mine.jsonl",
        "{\"id\":\"m1\",\"prompt\":\"p\",\"answer\":\"a\",\"passed\":true}\n",
    );
    bench.write(".distill/sources/mine.toml", &WIDE.replace("**/", "data/sources/").replace("notes", "mine"));
    bench.write(".distill/sources/notes.toml", &WIDE.replace("**/", ""));
    bench.ok(&["run-all", "--run-id", "r3"]);
    assert!(bench.ok(&["ls", "HEAD:evidence"]).contains("/mine/m1"));
}

#[test]
fn a_lost_catalogue_is_damage_and_not_an_invitation_to_begin_again() {
    let bench = Bench::with_runs();
    fs::remove_file(bench.path().join(".distill/store.redb")).expect("there");
    for args in [&["log"][..], &["status"], &["show"], &["verify"], &["run-all"], &["tag", "x"], &["undo"]] {
        bench.fails(4, args).says("store.redb is damaged: it is missing", "");
    }
}

#[test]
fn a_store_that_lost_its_end_is_damage() {
    let bench = Bench::with_runs();
    let path = bench.path().join(".distill/store.redb");
    let whole = fs::read(&path).expect("there");
    for len in [0, 1, 100, 4096, 8192, whole.len() / 2] {
        for args in [&["log"][..], &["cat", "HEAD"], &["status"], &["verify"], &["run-all"], &["tag", "x"]] {
            fs::write(&path, &whole[..len]).expect("ours");
            let answer = bench.fails(4, args);
            assert!(
                answer.stderr.contains("store.redb") && !answer.stderr.contains("panicked"),
                "{answer:?}"
            );
        }
    }
}

#[test]
fn a_last_line_without_an_end_is_news_only_when_it_changes() {
    let bench = Bench::new();
    let row = |n: u8| format!("{{\"id\":\"u{n}\",\"prompt\":\"p\",\"answer\":\"a{n}\",\"passed\":true}}");
    let told =
        |args: &[&str]| bench.json("distill.status.v1", args)["sources"][0]["files"][0]["state"].clone();
    let both = || [told(&["status"]), told(&["status", "--check"])];
    bench.write("notes.jsonl", &format!("{}\n{}", row(1), row(2)));
    // The pinned clock of a run lies before the file's time: the file counts as touched.
    bench.ok(&["run-all"]);
    assert_eq!(both(), ["unchanged", "unchanged"]);
    for text in [format!("{}\n{} ", row(1), row(2)), format!("{}\n{}\n", row(1), row(2))] {
        bench.write("notes.jsonl", &text);
        assert_eq!(both(), ["grown", "grown"], "{text}");
    }
}

#[test]
fn links_that_lead_nowhere_are_named_once_and_others_do_not_matter() {
    let bench = Bench::new();
    symlink("b", bench.path().join("a")).expect("a link");
    symlink("a", bench.path().join("b")).expect("a link");
    symlink(".", bench.path().join("here")).expect("a link");
    symlink("gone.txt", bench.path().join("dangling.txt")).expect("a link");
    for args in [&["run-all"][..], &["status"], &["health"], &["recon"]] {
        bench.ok(args);
    }
    symlink("gone.jsonl", bench.path().join("x.jsonl")).expect("a link");
    for args in [&["run-all"][..], &["status"], &["health"], &["recon"]] {
        let answer = bench.fails(3, args);
        answer.says("cannot follow the link", "exclude");
        assert_eq!(answer.stderr.matches("x.jsonl").count(), 1, "{answer:?}");
    }
}

#[test]
fn a_run_that_waits_says_for_whom_once() {
    let bench = Bench::with_runs();
    bench.write(".distill/config.toml", "[run]\nlease_timeout_s = 1\n");
    let store = Store::open(&bench.path().join(".distill")).expect("a store");
    let lease = store.lease("heads/main", "run-all", Duration::ZERO, &mut |_| {}).expect("free");
    let answer = bench.fails(3, &["run-all"]);
    answer.says("branch heads/main is in use by run-all (process ", "lease_timeout_s");
    assert!(answer.stderr.contains("waiting for run-all (process "), "{answer:?}");
    drop(lease);
    let command = |id| {
        let mut command = bench.command(&["run-all", "--run-id", id]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("it starts")
    };
    let (one, two) = (command("one"), command("two"));
    for child in [one, two] {
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(output.status.success(), "{said}");
        assert!(said.matches("(process ").count() <= 1, "{said}");
    }
    let log = bench.ok(&["log", "--oneline"]);
    assert!(log.contains(" one ") && log.contains(" two "), "{log}");
}

#[test]
fn a_run_killed_anywhere_leaves_the_old_or_the_new_state() {
    let bench = Bench::new();
    let rows = |from: u32, to: u32| -> String {
        let row = |n| {
            format!(
                "{{\"id\":\"k{n}\",\"task\":\"t{n}\",\"prompt\":\"Say {n}\",\"answer\":\"a {n}\",\"passed\":true}}\n"
            )
        };
        (from..to).map(row).collect()
    };
    bench.write("notes.jsonl", &rows(0, 1500));
    bench.ok(&["run-all"]);
    let start = std::time::Instant::now();
    bench.write("notes.jsonl", &rows(0, 3000));
    bench.ok(&["run-all"]);
    let whole = start.elapsed();
    let mut text = rows(0, 3000);
    for round in 0..rounds(6, 60) {
        let first = 3000 + round * 300;
        text += &rows(first, first + 300);
        bench.write("notes.jsonl", &text);
        let before = datasets(&bench);
        let mut child =
            bench.command(&["run-all"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        std::thread::sleep(whole.mul_f64(f64::from((round * 7 + 3) % 19) / 19.0));
        child.kill().ok();
        child.wait().expect("it ends");
        bench.ok(&["verify"]);
        let after = datasets(&bench);
        bench.ok(&["checkout", "HEAD"]);
        bench.ok(&["run-all"]);
        let done = datasets(&bench);
        assert!(after == before || after == done, "round {round}: HEAD is neither old nor new");
        assert_eq!(leftovers(bench.path()), Vec::<String>::new(), "round {round}");
    }
    let fresh = Bench::new();
    fresh.write("notes.jsonl", &text);
    fresh.ok(&["run-all"]);
    assert_eq!(datasets(&fresh), datasets(&bench), "a repository that nobody disturbed");
}

#[test]
fn a_full_disk_is_one_error_and_afterwards_all_goes_on() {
    let bench = Bench::empty();
    let disk = bench.path().join("disk");
    fs::create_dir(&disk).expect("a folder");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(&disk).output();
    if !mounted.is_ok_and(|o| o.status.success()) {
        println!("skipped: a small file system cannot be mounted here");
        return;
    }
    let _unmount = Unmount(&disk);
    let at = |args: &[&str]| {
        let output = bench.command(args).current_dir(&disk).output().expect("it runs");
        let stderr = String::from_utf8(output.stderr).expect("text");
        (output.status.code().expect("not killed"), stderr, output.stdout)
    };
    let head = || at(&["show", "HEAD", "--json"]).2;
    let fill = disk.join("fill");
    // All but so many KiB.
    let leave = |free: u64| {
        fs::remove_file(&fill).ok();
        let mut file = fs::File::create(&fill).expect("a file");
        std::io::copy(&mut std::io::repeat(0), &mut file).expect_err("the disk is finite");
        let len = file.metadata().expect("there").len();
        file.set_len(len.saturating_sub(free * 1024)).expect("shrinks");
    };
    assert_eq!(at(&["init"]).0, 0);
    bench.write("disk/.distill/sources/notes.toml", &WIDE.replace("**/", ""));
    let mut text = String::new();
    for (round, free) in [0, 4, 24, 64, 160, 400].into_iter().enumerate() {
        for n in 0..200 {
            text += &format!(
                "{{\"id\":\"d{round}-{n}\",\"prompt\":\"Say {n}\",\"answer\":\"{round} {n}\",\"passed\":true}}\n"
            );
        }
        fs::write(disk.join("notes.jsonl"), &text).expect("room");
        let before = head();
        leave(free);
        for args in [&["run-all"][..], &["tag", &format!("t{round}"), "HEAD"]] {
            let (status, stderr, _) = at(args);
            if status == 0 || (round == 0 && args[0] == "tag") {
                continue;
            }
            assert_eq!(status, 3, "{free} KiB, {args:?}: {stderr}");
            assert_eq!(stderr.matches("error: ").count(), 1, "{stderr}");
            assert!(stderr.contains("No space left"), "{stderr}");
            assert!(args[0] == "tag" || round == 0 || head() == before, "the branch moved: {stderr}");
        }
        fs::remove_file(&fill).expect("there");
        let (status, stderr, _) = at(&["run-all"]);
        assert_eq!(status, 0, "space again: {stderr}");
        assert_eq!(at(&["verify"]).0, 0);
        assert_eq!(leftovers(&disk), Vec::<String>::new());
    }
}
