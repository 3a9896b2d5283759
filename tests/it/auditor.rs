//! What an auditor does without distill: the walk of `docs/audit.md`, typed as it stands there, and the second verifier beside
//! ours, on sound stores and on damaged ones.
//!
//! `DISTILL_AUDIT_PYTHON` names an interpreter that has `blake3` and `zstandard`; without it `python3` is tried. A tool that is
//! missing is named, and its test skipped.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::cli::Bench;
use crate::common_checkout::Sandbox;
use crate::forge::forge;
use crate::store_damage::{Random, long};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[expect(clippy::print_stderr, reason = "a test that did nothing says so")]
fn skip(what: &str) {
    eprintln!("skipped: {what}");
}

/// An interpreter with the two packages.
fn python() -> Option<String> {
    let named = std::env::var("DISTILL_AUDIT_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(&named);
    command.args(["-c", "import blake3, zstandard"]).stdout(Stdio::null()).stderr(Stdio::null());
    if command.status().is_ok_and(|status| status.success()) {
        return Some(named);
    }
    assert!(
        std::env::var_os("DISTILL_AUDIT_PYTHON").is_none(),
        "{named} has not the packages blake3 and zstandard"
    );
    skip("no python3 with the packages blake3 and zstandard (DISTILL_AUDIT_PYTHON names one)");
    None
}

/// Whether a tool is on the path; says so where it is not.
fn have(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        skip(&format!("there is no {tool} for the walk of docs/audit.md"));
    }
    found
}

/// What each of the two verifiers said of one store.
struct Both {
    ours: Value,
    theirs: Value,
}

fn verify_both(python: &str, root: &Path) -> Both {
    let answer = |command: &mut Command| {
        let Output { status, stdout, stderr } = command.output().expect("it runs");
        let code = status.code();
        assert!(matches!(code, Some(0 | 4)), "{code:?}: {}", String::from_utf8_lossy(&stderr));
        let value: Value = serde_json::from_slice(&stdout).expect("JSON");
        assert_eq!(value["sound"].as_bool(), Some(code == Some(0)), "{value}");
        value
    };
    let ours =
        answer(Command::new(env!("CARGO_BIN_EXE_distill")).args(["verify", "--json"]).current_dir(root));
    let script = project().join("docs/audit/verify.py");
    let theirs = answer(Command::new(python).arg(script).arg(root).arg("--json"));
    Both { ours, theirs }
}

impl Both {
    /// The objects that findings of these levels name.
    fn named(said: &Value, levels: &[&str]) -> BTreeSet<String> {
        let findings = said["findings"].as_array().expect("findings").iter();
        let of = findings.filter(|finding| levels.contains(&finding["level"].as_str().unwrap_or_default()));
        of.filter_map(|finding| finding["object"].as_str().map(ToOwned::to_owned)).collect()
    }

    /// The levels with findings of their own.
    fn broken(said: &Value) -> BTreeSet<String> {
        let findings = said["findings"].as_array().expect("findings").iter();
        findings.map(|finding| finding["level"].as_str().expect("a level").to_owned()).collect()
    }

    /// One verdict, and the same objects.
    #[track_caller]
    fn agree(&self, what: &str) {
        let Self { ours, theirs } = self;
        assert_eq!(ours["sound"], theirs["sound"], "{what}: {ours}\n{theirs}");
        if ours["sound"] == true {
            for count in ["operations", "packs", "packed_objects", "refs", "tags", "commits", "nodes", "rows"]
            {
                assert_eq!(ours["covered"][count], theirs["covered"][count], "{what}: {count}");
            }
            return;
        }
        // Objects that do not hash, and rows that are not what they rest on, are the same ones by name.
        let both = [Self::named(ours, &["V1"]), Self::named(theirs, &["V1"])];
        assert_eq!(both[0], both[1], "{what}: {ours}\n{theirs}");
        assert_eq!(
            Self::broken(ours).contains("V3"),
            Self::broken(theirs).contains("V3"),
            "{what}: {ours}\n{theirs}"
        );
    }
}

/// A store with all that history may hold: runs, a tag, a one-shot stage, a reset, an undo, a merge of a branch.
fn busy() -> Bench {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1", "r1", "-m", "the first"]);
    bench.ok(&["score", "--run-id", "r3"]);
    bench.ok(&["export-sft", "--run-id", "r4"]);
    let rows = fs::read_to_string(bench.path().join("notes.jsonl")).expect("rows");
    bench.write("notes.jsonl", &rows.replace("\"answer\":\"two\"", "\"answer\":\"zwei\""));
    bench.ok(&["run-all", "--run-id", "r5", "--no-files", "--accept-source-loss"]);
    bench.ok(&["branch", "side", "r2"]);
    bench.ok(&["undo"]);
    bench
}

/// A copy that can be spoiled.
fn copy(root: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("a folder");
    for entry in
        walkdir::WalkDir::new(root.join(".distill")).into_iter().map(|entry| entry.expect("listable"))
    {
        let path = to.path().join(entry.path().strip_prefix(root).expect("below"));
        if entry.file_type().is_dir() {
            fs::create_dir_all(path).expect("folders");
        } else {
            fs::copy(entry.path(), &path).expect("copied");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
        }
    }
    to
}

fn files(root: &Path, folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = (fs::read_dir(root.join(".distill").join(folder)).expect("listable"))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

#[test]
fn the_second_verifier_agrees_on_sound_stores() {
    let Some(python) = python() else { return };
    let bench = busy();
    let both = verify_both(&python, bench.path());
    both.agree("a busy store");
    assert_eq!(
        (&both.ours["sound"], both.theirs["covered"]["links"].as_u64() > Some(20)),
        (&json!(true), true)
    );
    let refs = &both.theirs["refs"];
    for state in both.ours["refs"].as_array().expect("refs") {
        let name = state["name"].as_str().expect("a name");
        if !name.starts_with("tags/") {
            assert_eq!(refs[name], state["commit_id"], "{name}: the log makes the ref");
        }
    }
    let empty = Bench::new();
    verify_both(&python, empty.path()).agree("a store before its first run");
    let sample = Sandbox::new();
    sample.run(&["run-all", "--run-id", "first"]).done();
    sample.run(&["tag", "v1.0.0"]).done();
    sample.run(&["run-all", "--include-partial", "--run-id", "second"]).done();
    let both = verify_both(&python, sample.root());
    both.agree("the bundled sample");
    assert!(both.theirs["covered"]["rows"].as_u64() > Some(4000), "{}", both.theirs["covered"]);
}

#[test]
fn the_second_verifier_agrees_on_damaged_stores() {
    let Some(python) = python() else { return };
    let bench = busy();
    let mut random = Random(31);
    let rounds = if long() { 12 } else { 2 };
    let check = |what: &str, spoil: &mut dyn FnMut(&Path)| {
        let copied = copy(bench.path());
        spoil(copied.path());
        let both = verify_both(&python, copied.path());
        assert_eq!(both.ours["sound"], false, "{what}");
        both.agree(what);
        both
    };
    for folder in ["packs", "ops"] {
        for (n, path) in files(bench.path(), folder).iter().enumerate() {
            let name = path.file_name().expect("a name").to_owned();
            let below = |root: &Path| root.join(".distill").join(folder).join(&name);
            for _ in 0..rounds {
                check(&format!("a flipped bit of {folder} {n}"), &mut |root| {
                    let mut bytes = fs::read(below(root)).expect("readable");
                    let bit = usize::try_from(random.below(bytes.len() as u64 * 8)).expect("small");
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    fs::write(below(root), bytes).expect("writable");
                });
            }
            if n == 0 || long() {
                check(&format!("a lost file of {folder}"), &mut |root| {
                    fs::remove_file(below(root)).expect("there");
                });
            }
        }
    }
}

#[test]
fn the_second_verifier_finds_the_rows_that_ours_finds() {
    let Some(python) = python() else { return };
    let n3 = "2026/01/03/notes/n3";
    let pairs = Bench::with_runs().ok(&["ls", "HEAD:preference"]);
    let pair = pairs.split_whitespace().nth(2).expect("a pair").to_owned();
    let other = json!("2026-01-02T03:04:07.000Z");
    for (dataset, key) in [
        ("evidence", n3),
        ("scored-runs", n3),
        ("exports/rag", n3),
        ("exports/sft", n3),
        ("exports/preference", &pair),
        ("quarantine", "evidence/json_syntax/notes.jsonl/0000000003"),
    ] {
        let bench = Bench::with_runs();
        let (_, forged) = forge(bench.path(), dataset, key, |row| {
            match dataset {
                "exports/preference" => row["provenance"]["rejected"]["recorded_at"] = other.clone(),
                _ => row["provenance"]["line_offset"] = json!(9),
            }
            Some(())
        });
        let forged = forged.expect("a row").to_string();
        let both = verify_both(&python, bench.path());
        both.agree(dataset);
        assert_eq!(both.ours["sound"], false, "{dataset}");
        for said in [&both.ours, &both.theirs] {
            assert!(Both::named(said, &["V2"]).contains(&forged), "{dataset}: {said}");
        }
    }
    // A sig_hash that is another row's is for the second verifier, and for `trace`.
    let bench = Bench::with_runs();
    for dataset in ["evidence", "scored-runs", "exports/sft", "exports/rag"] {
        forge(bench.path(), dataset, n3, |row| {
            row["provenance"]["sig_hash"] = json!("0".repeat(64));
            Some(())
        });
    }
    let both = verify_both(&python, bench.path());
    assert_eq!(both.theirs["sound"], false);
    bench.fails(4, &["trace", &format!("HEAD:evidence/{n3}")]);
}

#[test]
fn the_second_verifier_is_short_and_stands_on_its_own() {
    let text = fs::read_to_string(project().join("docs/audit/verify.py")).expect("the program");
    assert!(text.lines().count() <= 600, "{} lines", text.lines().count());
    let imports: BTreeSet<&str> = (text.lines())
        .filter_map(|line| line.strip_prefix("import ").or_else(|| line.strip_prefix("from ")))
        .map(|rest| rest.split_whitespace().next().expect("a module"))
        .collect();
    let known = ["blake3", "decimal", "hashlib", "json", "os", "re", "struct", "sys", "zstandard"];
    assert_eq!(imports, BTreeSet::from(known));
}

/// Runs the walk in a folder.
fn walk(root: &Path, lines: &str) -> Output {
    let mut command = Command::new("bash");
    command.arg(project().join("tests/audit/walk.sh")).arg(root);
    command.envs([("base", "fixtures/lakehouse"), ("run", "first"), ("lines", lines)]);
    command.output().expect("bash runs")
}

#[test]
fn the_walk_of_the_page_holds_and_finds_what_was_changed() {
    if !["b3sum", "jq"].into_iter().all(have) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.run(&["run-all", "--run-id", "first"]).done();
    sandbox.run(&["checkout", "--all"]).done();
    let said = |output: &Output| {
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
    };
    let output = walk(sandbox.root(), "1 100 300");
    assert!(output.status.success(), "{}", said(&output));
    let text = said(&output);
    assert!(
        text.matches(", sig_hash ").count() >= 5 && text.ends_with("everything that was looked at holds\n"),
        "{text}"
    );
    let first: Value = {
        let row = sandbox.read("exports/sft/instruction_response.jsonl");
        serde_json::from_str(row.lines().next().expect("a row")).expect("JSON")
    };
    let source =
        format!("fixtures/lakehouse/{}", first["provenance"]["source_file"].as_str().expect("a file"));
    let key = first["id"].as_str().expect("a key").to_owned();
    let day = Path::new(&key).parent().expect("a day").to_str().expect("text").to_owned();
    let offset =
        usize::try_from(first["provenance"]["line_offset"].as_u64().expect("a number")).expect("small");
    let edits: [(&str, String, Box<dyn Fn(&str) -> String>); 4] = [
        (
            "BLAKE3 of",
            "exports/sft/instruction_response.jsonl".to_owned(),
            Box::new(|text| text.replacen('a', "e", 1)),
        ),
        (
            "the receipt before",
            "reports/distillation/first/receipts/score.json".to_owned(),
            Box::new(|text| text.replacen("\"previous\":\"", "\"previous\":\"0", 1)),
        ),
        ("the evidence of", format!("data/evidence/{day}.jsonl"), {
            let key = format!("\"key\":\"{key}\"");
            Box::new(move |text| {
                let edited = |line: &str| {
                    if line.contains(&key) {
                        line.replacen("\"tags\":[", "\"tags\":[\"x\",", 1)
                    } else {
                        line.to_owned()
                    }
                };
                text.lines().map(edited).collect::<Vec<_>>().join("\n") + "\n"
            })
        }),
        (
            "line ",
            source,
            Box::new(move |text| {
                let edited = |(n, line): (usize, &str)| {
                    if n == offset { line.replacen(' ', "  ", 1) } else { line.to_owned() }
                };
                text.lines().enumerate().map(edited).collect::<Vec<_>>().join("\n") + "\n"
            }),
        ),
    ];
    for (what, file, edit) in edits {
        let path = sandbox.root().join(&file);
        let sound = fs::read_to_string(&path).expect("text");
        let spoiled = edit(&sound);
        assert_ne!(sound, spoiled, "{file}");
        fs::write(&path, spoiled).expect("writable");
        let output = walk(sandbox.root(), "1");
        assert!(
            !output.status.success() && said(&output).contains(&format!("DIFFERS: {what}")),
            "{file}: {}",
            said(&output)
        );
        fs::write(&path, sound).expect("writable");
    }
    assert!(walk(sandbox.root(), "1").status.success());
}
