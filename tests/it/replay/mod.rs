//! Replay as a user types it, against a model on a script, and against a real inference server where there is one.

mod ab;
mod attacks;
mod audit_pr;
mod failures;
mod kept;
mod llama;
mod servers;
pub mod server;
mod together;

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::{Answer, Bench, SPEC};
use server::Server;

const ROWS: &str = r#"{"id":"n1","ts":"2026-01-02T03:04:05Z","task":"t1","prompt":"Why does the lookup of merge_stock fail?","answer":"In merge_stock the customer_key is compared as text, so '9' sorts after '10'. Cast it to BIGINT in src/load.sql.","passed":true}
{"id":"n2","ts":"2026-01-02T03:04:06Z","task":"t2","prompt":"Why is rebuild_carts slow?","answer":"The planner of rebuild_carts never uses the index on hash_key and reads 4,750,311 rows. Build it on the expression.","passed":true}
{"id":"n3","ts":"2026-01-03T00:00:00Z","task":"t3","prompt":"How are partitions dropped?","answer":"Partitions of telemetry are dropped by retention.py after 90 days.","passed":true}
"#;

/// A repository with a corpus of three rows, the spec that reads replays, and a model.
pub struct Desk {
    pub bench: Bench,
    pub server: Server,
}

impl Desk {
    pub fn new() -> Self {
        let bench = Bench::empty();
        bench.ok(&["init"]);
        bench.write(".distill/sources/notes.toml", SPEC);
        let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join(".distill/sources/replay_runs.toml");
        bench.write(".distill/sources/replay_runs.toml", &fs::read_to_string(spec).expect("the spec"));
        bench.write("notes.jsonl", ROWS);
        bench.ok(&["run-all", "--run-id", "r1"]);
        let desk = Self { bench, server: Server::start() };
        desk.configure("");
        desk
    }

    /// Points `[replay]` at the server; `more` is added to the section.
    pub fn configure(&self, more: &str) {
        let text =
            format!("[replay]\nendpoint = \"{}\"\nmodel = \"tiny\"\nretries = 2\n{more}", self.server.url());
        self.bench.write(".distill/config.toml", &text);
    }

    /// Replays one task.
    pub fn replay(&self, task: &str, more: &[&str]) -> Answer {
        let args: Vec<&str> = ["replay", "--task", task].iter().chain(more).copied().collect();
        self.bench.run(&args)
    }

    /// Replays one task that ends with this status; the answer as JSON.
    #[track_caller]
    pub fn json(&self, status: i32, task: &str, more: &[&str]) -> Value {
        let args: Vec<&str> = more.iter().copied().chain(["--json"]).collect();
        let answer = self.replay(task, &args);
        assert_eq!(answer.status, status, "{answer:?}");
        let value: Value = serde_json::from_str(&answer.stdout).expect("JSON");
        assert_eq!(value["schema"], "distill.replay.v1");
        value
    }

    /// The lines of the file of rows.
    pub fn rows(&self) -> Vec<String> {
        let text =
            fs::read_to_string(self.bench.path().join("data/_kb/replay_runs.jsonl")).unwrap_or_default();
        assert!(text.is_empty() || text.ends_with('\n'), "every row has its ending");
        text.lines().map(str::to_owned).collect()
    }

    /// Everything that a replay may change: the commit of HEAD, the operations, the rows, the reports.
    pub fn state(&self) -> (String, usize, Vec<String>, bool) {
        let root = self.bench.path();
        let operations = fs::read_dir(root.join(".distill/ops")).expect("operations").count();
        let page = root.join("reports/distillation/phase7-replay-report.md").exists();
        (self.bench.id("HEAD"), operations, self.rows(), page)
    }
}
