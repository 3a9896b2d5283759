//! The binary as a person and a program meet it: stdout, stderr, exit status.

mod damage;
mod docs;
mod fetch;
mod gates;
mod gc;
mod history;
mod making;
mod moving;
mod reading;
mod reindex;
mod revisions;
mod stats;
mod trace;
mod verifying;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A temporary folder with a repository and one source file.
pub struct Bench {
    dir: tempfile::TempDir,
}

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    pub stdout: String,
    pub stderr: String,
    pub status: i32,
}

pub const SPEC: &str = r#"
stream = "notes"
files = ["*.jsonl"]
unit = "line"
[record]
key = ".id"
time = ".ts"
[fields]
run_id = ".id"
task_id = ".task"
instruction = ".prompt"
response = ".answer"
validation.outcome = ".passed"
"#;

const ROWS: &str = r#"{"id":"n1","ts":"2026-01-02T03:04:05Z","task":"t1","prompt":"Say one","answer":"one","passed":true}
{"id":"n2","ts":"2026-01-02T03:04:06Z","task":"t1","prompt":"Say one","answer":"two","passed":false}
{"id":"n3","ts":"2026-01-03T00:00:00Z","task":"t2","prompt":"Say three","answer":"three","passed":true}
{"id":"n4","ts":"2026-01-03T00:00:01Z","task":"t3","prompt":"Say four","passed":true
"#;

impl Bench {
    /// An empty folder.
    pub fn empty() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A repository with a spec and a source file, before its first run.
    pub fn new() -> Self {
        let bench = Self::empty();
        bench.ok(&["init"]);
        bench.write(".distill/sources/notes.toml", SPEC);
        bench.write("notes.jsonl", ROWS);
        bench
    }

    /// Two runs, `r1` and `r2`; the second one has a row more and one that changed its judgement.
    pub fn with_runs() -> Self {
        let bench = Self::new();
        bench.ok(&["run-all", "--run-id", "r1", "--no-files"]);
        let more = ROWS.to_owned()
            + "{\"id\":\"n5\",\"ts\":\"2026-01-04T00:00:00Z\",\"task\":\"t4\",\"prompt\":\"Say five\",\"answer\":\"five\",\"passed\":true}\n";
        bench.write("notes.jsonl", &more);
        bench.ok(&["run-all", "--run-id", "r2", "-m", "one row more", "--no-files"]);
        bench
    }

    /// This project's configuration over a generated sample of so many rows, after the run `r1`.
    pub fn sampled(rows: u32) -> Self {
        let bench = Self::empty();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(".distill");
        let names = ["config.toml", "policy.toml"].map(str::to_owned);
        let specs = fs::read_dir(from.join("sources")).expect("specs").map(|spec| {
            format!("sources/{}", spec.expect("a spec").file_name().into_string().expect("text"))
        });
        for name in specs.chain(names) {
            bench.write(&format!(".distill/{name}"), &fs::read_to_string(from.join(&name)).expect("text"));
        }
        bench.ok(&["sample", "fixtures/lakehouse", "--rows", &rows.to_string()]);
        bench.ok(&["run-all", "--run-id", "r1", "--no-files"]);
        bench
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, text).expect("a file");
    }

    /// The program with a clear environment and a pinned clock.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
        command.args(args).current_dir(self.path()).env_clear().env("SOURCE_DATE_EPOCH", "1780000000");
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Answer {
        Answer::of(self.command(args).output().expect("the program runs"))
    }

    /// Runs what must succeed and returns its stdout.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let answer = self.run(args);
        assert_eq!(answer.status, 0, "{args:?}: {answer:?}");
        answer.stdout
    }

    /// Runs what must be refused with this status.
    #[track_caller]
    pub fn fails(&self, status: i32, args: &[&str]) -> Answer {
        let answer = self.run(args);
        assert_eq!(answer.status, status, "{args:?}: {answer:?}");
        answer
    }

    /// Runs with `--json`, and checks that stdout is one object of this schema.
    #[track_caller]
    pub fn json(&self, schema: &str, args: &[&str]) -> serde_json::Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let stdout = self.ok(&args);
        assert_eq!(stdout.lines().count(), 1, "one line: {stdout}");
        let value: serde_json::Value = serde_json::from_str(&stdout).expect("an answer is JSON");
        assert_eq!(value["schema"], schema, "{args:?}");
        value
    }

    /// The commit id of a revision.
    #[track_caller]
    pub fn id(&self, rev: &str) -> String {
        self.json("distill.show.v1", &["show", rev])["commit_id"].as_str().expect("an id").to_owned()
    }

    /// The files under `packs/`.
    pub fn packs(&self) -> Vec<PathBuf> {
        let mut packs: Vec<PathBuf> = (fs::read_dir(self.path().join(".distill/packs")).expect("packs"))
            .map(|entry| entry.expect("listable").path())
            .collect();
        packs.sort();
        packs
    }
}

impl Answer {
    pub fn of(output: Output) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
            status: output.status.code().expect("not killed"),
        }
    }

    /// Checks the error line and the hint.
    #[track_caller]
    pub fn says(&self, error: &str, hint: &str) {
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert!(lines.iter().any(|line| line.starts_with("error: ") && line.contains(error)), "{self:?}");
        assert!(lines.iter().any(|line| line.starts_with("hint: ") && line.contains(hint)), "{self:?}");
        assert_eq!(self.stdout, "", "an error is not an answer");
    }
}
