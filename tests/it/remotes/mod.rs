//! Remotes as a user meets them: folders in the layout of a bucket, other repositories, buckets.

mod bucket;
mod cost;
mod damage;
mod death;
mod hostile;
mod moving;
mod race;
mod repository;
mod s3;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{Answer, Bench};

/// A place that several repositories push to, with what the program needs to reach it.
pub struct Place {
    pub text: String,
    pub env: Vec<(String, String)>,
    _dir: Option<tempfile::TempDir>,
}

impl Place {
    /// A folder that does not exist yet.
    pub fn folder() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let text = dir.path().join("remote").to_str().expect("text").to_owned();
        Self { text, env: Vec::new(), _dir: Some(dir) }
    }

    /// A place that is reached with these variables.
    pub fn elsewhere(text: String, env: Vec<(String, String)>) -> Self {
        Self { text, env, _dir: None }
    }

    pub fn path(&self) -> &Path {
        Path::new(&self.text)
    }

    /// The program in the folder of `bench`.
    pub fn command(&self, bench: &Bench, args: &[&str]) -> Command {
        let mut command = bench.command(args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn run(&self, bench: &Bench, args: &[&str]) -> Answer {
        Answer::of(self.command(bench, args).output().expect("the program runs"))
    }

    #[track_caller]
    pub fn ok(&self, bench: &Bench, args: &[&str]) -> String {
        let answer = self.run(bench, args);
        assert_eq!(answer.status, 0, "{args:?}: {answer:?}");
        answer.stdout
    }

    #[track_caller]
    pub fn json(&self, bench: &Bench, args: &[&str]) -> serde_json::Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.ok(bench, &args)).expect("an answer is JSON")
    }

    #[track_caller]
    pub fn fails(&self, status: i32, bench: &Bench, args: &[&str]) -> Answer {
        let answer = self.run(bench, args);
        assert_eq!(answer.status, status, "{args:?}: {answer:?}");
        answer
    }

    /// A clone of the place in a folder of its own, found sound.
    #[track_caller]
    pub fn clone(&self) -> Bench {
        let bench = Bench::empty();
        self.ok(&bench, &["clone", &self.text, "."]);
        bench.ok(&["verify"]);
        bench
    }
}

/// Two runs, with `place` as the remote `origin`.
#[track_caller]
pub fn with_runs(place: &Place) -> Bench {
    let bench = Bench::with_runs();
    place.ok(&bench, &["remote", "add", "origin", &place.text]);
    bench
}

/// Adds a row to the source file and runs.
#[track_caller]
pub fn one_more(bench: &Bench, id: &str) {
    let path = bench.path().join("notes.jsonl");
    let mut text = fs::read_to_string(&path).expect("the source file");
    text.push_str(&format!(
        "{{\"id\":\"{id}\",\"ts\":\"2026-02-01T00:00:00Z\",\"task\":\"{id}\",\"prompt\":\"Say {id}\",\"answer\":\"{id}\",\"passed\":true}}\n"
    ));
    fs::write(&path, text).expect("the source file");
    bench.ok(&["run-all", "--run-id", id, "--no-files"]);
}

/// A source file of one's own, with a spec, as another site has it.
pub fn own_source(bench: &Bench, name: &str) {
    let spec = fs::read_to_string(bench.path().join(".distill/sources/notes.toml")).expect("the spec");
    let own =
        spec.replace("\"notes\"", &format!("\"{name}\"")).replace("*.jsonl", &format!("{name}/*.jsonl"));
    bench.write(&format!(".distill/sources/{name}.toml"), &own);
    bench.write(
        &format!("{name}/rows.jsonl"),
        &format!(
            "{{\"id\":\"{name}\",\"ts\":\"2026-03-01T00:00:00Z\",\"task\":\"{name}\",\"prompt\":\"Say {name}\",\"answer\":\"{name}\",\"passed\":true}}\n"
        ),
    );
}

/// The packs of a remote in a folder.
pub fn packs_of(place: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(place.join("packs")).sort_by_file_name().into_iter();
    files
        .filter_map(|entry| Some(entry.ok()?.into_path()))
        .filter(|path| path.extension().is_some_and(|end| end == "pack"))
        .collect()
}
