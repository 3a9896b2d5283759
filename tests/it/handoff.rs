//! The recipes of `docs/handoff.md`, run as they stand there, in a repository over the bundled sample.
//!
//! Whoever picks distill up cold types these. Tools that are missing here are said so, and the rest is checked in this
//! process.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

/// A repository over the bundled sample, after one run and a tag.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for sub in [".distill/sources", "fixtures/lakehouse/data/_kb"] {
            fs::create_dir_all(folder.path().join(sub)).expect("folders");
            for entry in fs::read_dir(root.join(sub)).expect(sub) {
                let entry = entry.expect("an entry");
                fs::copy(entry.path(), folder.path().join(sub).join(entry.file_name())).expect("copied");
            }
        }
        for file in [".distill/config.toml", ".distill/policy.toml"] {
            fs::copy(root.join(file), folder.path().join(file)).expect(file);
        }
        let place = Self { folder };
        place.distill(&["run-all", "--run-id", "r1", "--quiet"]);
        place.distill(&["tag", "v1.0.0"]);
        place
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What `distill` prints; it must succeed.
    fn distill(&self, args: &[&str]) -> Vec<u8> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
        let output = command.args(args).current_dir(self.path()).output().expect("it starts");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_slice(&self.distill(args)).expect("JSON")
    }
}

/// Whether a tool is on the path; says so where it is not.
fn have(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        #[expect(clippy::print_stderr, reason = "a test that did less says so")]
        {
            eprintln!("skipped: there is no {tool} here");
        }
    }
    found.is_ok()
}

/// The shell blocks below a heading of the handoff.
fn recipe(heading: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/handoff.md");
    let text = fs::read_to_string(page).expect("the handoff");
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    section
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

/// Runs `script` by bash in `place`, with distill on the path.
fn bash(place: &Place, script: &str) -> String {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_distill"));
    let mut path = binary.parent().expect("its folder").as_os_str().to_owned();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    let script = format!("set -euo pipefail; base=fixtures/lakehouse\n{script}");
    let mut command = Command::new("bash");
    command.args(["-c", &script]).env("PATH", path).current_dir(place.path());
    let output = command.output().expect("bash starts");
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_recipe_leads_from_an_sft_row_to_its_source_line() {
    let blocks = recipe("Follow a row to its source");
    let [source, decision] = blocks.as_slice() else { panic!("two blocks, not {}", blocks.len()) };
    if !have("jq") || !have("sed") || !have("bash") {
        return;
    }
    let place = Place::new();
    let export =
        fs::read_to_string(place.path().join("exports/sft/instruction_response.jsonl")).expect("SFT");
    let rows: Vec<&str> = export.lines().collect();
    assert!(source.contains("sed -n 200p exports/sft/instruction_response.jsonl"), "{source}");
    for number in [1, 200, rows.len()] {
        let script = source.replace("sed -n 200p", &format!("sed -n {number}p"));
        let line = bash(&place, &script);
        let row: Value = serde_json::from_str(rows[number - 1]).expect("a row");
        let unit = line.strip_suffix('\n').expect("one line");
        let raw_id = blake3::hash(unit.as_bytes()).to_hex().to_string();
        assert_eq!(row["provenance"]["raw_id"], raw_id, "row {number} does not come from\n{unit}");
        assert_eq!(place.distill(&["cat", &raw_id]), unit.as_bytes());
        let decision = bash(&place, &format!("{{ {script} }} >/dev/null\n{decision}"));
        let mut decision = decision.lines();
        assert_eq!(decision.next(), Some("accepted"), "row {number}");
        assert!(decision.count() >= 2, "a rule and a reason");
    }
}

#[test]
fn cat_prints_the_bytes_that_hash_to_the_id() {
    let place = Place::new();
    let commit = place.json(&["show", "v1.0.0", "--json"]);
    let text = |value: &Value| value.as_str().expect("an id").to_owned();
    let mut ids = vec![
        ("commit", text(&commit["commit_id"])),
        ("summary", text(&commit["summary_id"])),
        ("drift", text(&commit["drift_id"])),
        ("configuration", text(&commit["config_id"])),
        ("tree of receipts", text(&commit["receipts"])),
    ];
    for (dataset, root) in commit["datasets"].as_object().expect("datasets") {
        let rows = place.json(&["ls", &format!("v1.0.0:{dataset}"), "-n", "1", "--json"]);
        ids.push(("tree node", root.as_str().map_or_else(|| text(&root["root"]), ToOwned::to_owned)));
        ids.push(("row", text(&rows["items"][0]["id"])));
    }
    let b3sum = have("b3sum");
    for (what, id) in ids {
        let bytes = place.distill(&["cat", &id]);
        assert_eq!(blake3::hash(&bytes).to_hex().as_str(), id, "{what}");
        if b3sum {
            let mut command = Command::new("b3sum");
            command.arg("--no-names").stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().expect("b3sum starts");
            child.stdin.take().expect("piped").write_all(&bytes).expect("it reads");
            let output = child.wait_with_output().expect("it ends");
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), id, "{what}");
        }
    }
}

/// The metrics and roots that the handoff promises for a fresh clone.
#[test]
fn the_known_good_figures_are_those_of_the_sample() {
    let place = Place::new();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/handoff.md");
    let page = fs::read_to_string(page).expect("the handoff");
    let listing = String::from_utf8(place.distill(&["ls", "HEAD"])).expect("text");
    assert!(page.contains(&listing), "docs/handoff.md shows other roots than\n{listing}");
    let commit = place.json(&["show", "HEAD", "--json"]);
    let metrics = serde_json::to_string(&commit["metrics"]).expect("JSON");
    assert!(page.contains(&metrics), "docs/handoff.md shows other metrics than\n{metrics}");
}
