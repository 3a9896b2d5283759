//! `checkout`, `recon` and `health` as a person uses them.

use std::fs;

use crate::common_checkout::Sandbox;
use crate::common_checkout::tree;

const SFT: &str = "exports/sft/instruction_response.jsonl";
const AUDITS: &str = "fixtures/lakehouse/data/_kb/pr_audits.jsonl";

/// Two runs, the second over some more rows; `first` and `second` name them.
fn two_runs() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.run(&["run-all", "--run-id", "first"]).done();
    let rows = sandbox.read(AUDITS);
    let again: Vec<String> = (rows.lines().filter(|line| line.contains("audit_id")).take(5))
        .map(|line| line.replace("\"audit_id\":\"", "\"audit_id\":\"again-").replace(" the ", " that "))
        .collect();
    assert_eq!(again.len(), 5, "the sample has rows to repeat");
    sandbox.append(AUDITS, &format!("{}\n", again.join("\n")));
    sandbox.run(&["run-all", "--run-id", "second"]).done();
    sandbox
}

#[test]
fn a_run_writes_exports_and_reports_whose_digests_its_receipts_name() {
    let sandbox = Sandbox::new();
    sandbox.run(&["run-all", "--run-id", "first"]).done();
    let receipt = sandbox.read("reports/distillation/first/receipts/export-sft.json");
    let receipt: serde_json::Value = serde_json::from_str(&receipt).expect("JSON");
    let bytes = fs::read(sandbox.root().join(SFT)).expect("read");
    assert_eq!(receipt["outputs"][0]["jsonl_blake3"], blake3::hash(&bytes).to_hex().to_string());
    let lines = memchr::memchr_iter(b'\n', &bytes).count();
    assert_eq!(receipt["outputs"][0]["rows"], lines);
    for report in [
        "first/summary.md",
        "first/summary.json",
        "first/drift.json",
        "phase4-export-report.md",
        "phase5-receipts-report.md",
    ] {
        assert!(sandbox.exists(&format!("reports/distillation/{report}")), "{report}");
    }
    let quarantined: usize =
        sandbox.tree("exports/quarantine").iter().map(|(_, b)| memchr::memchr_iter(b'\n', b).count()).sum();
    let summary: serde_json::Value =
        serde_json::from_str(&sandbox.read("reports/distillation/first/summary.json")).expect("JSON");
    assert_eq!(summary["metrics"]["p4_total_quarantined"], quarantined, "each refused unit has its line");
}

#[test]
fn an_earlier_run_comes_back_byte_for_byte_and_head_is_detached() {
    let sandbox = Sandbox::new();
    sandbox.run(&["run-all", "--run-id", "first"]).done();
    let exports = sandbox.tree("exports");
    drop(sandbox);
    let sandbox = two_runs();
    assert!(sandbox.tree("exports") != exports, "the second run changed something");
    let said = sandbox.run(&["checkout", "first"]);
    assert!(said.err.contains("checkout main"), "says how to return: {said:?}");
    assert!(said.done().contains("detached"));
    assert!(sandbox.tree("exports") == exports, "not the bytes of the first run");
    assert!(sandbox.exists("reports/distillation/second/summary.md"), "another run's report stays");
    assert!(sandbox.read("reports/distillation/phase5-receipts-report.md").contains("`first`"));
    sandbox.run(&["run-all"]).failed(1);
    let back = sandbox.run(&["checkout", "main", "--json"]).json();
    assert_eq!(back["schema"], "distill.checkout.v1");
    assert_eq!((&back["branch"], &back["head_moved"]), (&"main".into(), &true.into()));
    assert_eq!(back["run_id"], "second");
    let again = sandbox.run(&["checkout", "--json"]).json();
    assert_eq!((&again["head_moved"], &again["files"]["written"]), (&false.into(), &0.into()));
}

#[test]
fn a_file_changed_by_hand_stops_checkouts_and_runs() {
    let sandbox = two_runs();
    sandbox.append(SFT, "{\"mine\":true}\n");
    let before = (sandbox.tree("exports"), sandbox.tree("reports"), sandbox.tree(".distill/ops"));
    for command in [&["checkout", "first"][..], &["run-all"], &["checkout", "main"]] {
        let words = sandbox.run(command).failed(1);
        assert!(words.contains(SFT) && words.contains("--force"), "{words}");
        let after = (sandbox.tree("exports"), sandbox.tree("reports"), sandbox.tree(".distill/ops"));
        assert!(after == before, "{command:?} changed something");
    }
    // The memory is a cache: without it the file is still a person's, and the others are still distill's.
    fs::remove_file(sandbox.root().join(".distill/index/worktree.json")).expect("remove");
    let words = sandbox.run(&["checkout", "first"]).failed(1);
    assert!(words.contains("a file changed by hand") && words.contains(SFT), "{words}");
    sandbox.run(&["checkout", "first", "--force"]).done();
    assert!(!sandbox.read(SFT).contains("mine"));
}

#[test]
fn datasets_are_chosen_and_leave_when_they_no_longer_belong() {
    let sandbox = two_runs();
    sandbox.run(&["checkout", "main", "--all"]).done();
    for folder in ["data/evidence", "data/scored-runs", "exports/duplicates", "exports/rag"] {
        assert!(!sandbox.tree(folder).is_empty(), "{folder}");
    }
    assert!(!sandbox.exists("data/sources"), "sources lie in the source files already");
    sandbox.run(&["checkout", "main"]).done();
    assert!(!sandbox.exists("data"), "what the usual checkout does not hold is gone, folders too");
    // The same commit: what is not named stays. Another commit: nothing of two commits is mixed.
    sandbox.run(&["checkout", "main", "evidence"]).done();
    assert!(sandbox.exists("data/evidence") && sandbox.exists(SFT));
    sandbox.run(&["checkout", "first", "sft"]).done();
    assert!(!sandbox.exists("data/evidence") && !sandbox.exists("exports/rag") && sandbox.exists(SFT));
    let words = sandbox.run(&["checkout", "main", "nonsense"]).failed(2);
    assert!(words.contains("exports/sft"), "names the datasets: {words}");
}

#[test]
fn sources_come_back_as_the_bytes_that_were_read() {
    let sandbox = Sandbox::new();
    sandbox.run(&["run-all", "--run-id", "first"]).done();
    sandbox.run(&["checkout", "main", "sources"]).done();
    for (name, bytes) in sandbox.tree("data/sources") {
        let mut source =
            fs::read(sandbox.root().join("fixtures/lakehouse").join(&name)).expect("the source file");
        if source.last() != Some(&b'\n') {
            source.push(b'\n');
        }
        assert!(bytes == source, "{name}");
    }
    assert_eq!(sandbox.tree("data/sources").len(), 12);
}

#[test]
fn another_directory_moves_nothing() {
    let sandbox = two_runs();
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let target = elsewhere.path().join("deep/first");
    let dir = target.to_str().expect("text");
    let before = (sandbox.tree("exports"), sandbox.tree(".distill/ops"));
    let said = sandbox.run(&["checkout", "first", "--to", dir, "--json"]).json();
    assert_eq!((&said["head_moved"], &said["branch"]), (&false.into(), &"main".into()));
    assert!((sandbox.tree("exports"), sandbox.tree(".distill/ops")) == before);
    let written = tree(&target);
    assert!(written.iter().all(|(name, _)| name.starts_with("exports/") || name.starts_with("reports/")));
    sandbox.run(&["checkout", "first"]).done();
    assert!(tree(&target.join("exports")) == sandbox.tree("exports"), "the same bytes wherever they go");
    sandbox.run(&["checkout", "first", "--to", dir]).done();
    let words = sandbox.run(&["checkout", "second", "--to", dir]).failed(1);
    assert!(words.contains("--force"), "{words}");
    assert!(tree(&target) == written, "a refused checkout wrote something");
    sandbox.run(&["checkout", "first", "--to", ".distill/deep"]).failed(2);
    assert!(!sandbox.exists(".distill/deep"));
}

#[test]
fn configuration_is_left_alone_until_asked_for() {
    let sandbox = Sandbox::new();
    let policy = sandbox.read(".distill/policy.toml");
    sandbox.run(&["run-all", "--run-id", "first"]).done();
    sandbox.append(".distill/policy.toml", "# another thought\n");
    sandbox.append(".distill/sources/extra.toml", "stream = \"extra\"\ndescription = \"\"\nfiles = [\"extra.jsonl\"]\nunit = \"line\"\n\n[fields]\nresponse = \".r\"\n");
    sandbox.run(&["run-all", "--run-id", "second"]).done();
    sandbox.run(&["checkout", "first"]).done();
    assert!(sandbox.read(".distill/policy.toml").ends_with("thought\n"), "left alone");
    sandbox.run(&["checkout", "main"]).done();
    sandbox.run(&["checkout", "first", "--config"]).done();
    assert_eq!(sandbox.read(".distill/policy.toml"), policy);
    assert!(!sandbox.exists(".distill/sources/extra.toml"), "a spec that the commit did not have");
    sandbox.append(".distill/policy.toml", "# not committed\n");
    let words = sandbox.run(&["checkout", "main", "--config"]).failed(1);
    assert!(words.contains(".distill/policy.toml"), "{words}");
    assert!(sandbox.read(".distill/policy.toml").ends_with("# not committed\n"));
    assert!(sandbox.run(&["checkout", "--json"]).json()["branch"].is_null(), "a refused checkout moved HEAD");
}

#[test]
fn a_new_branch_is_made_where_it_is_asked_for() {
    let sandbox = two_runs();
    let said = sandbox.run(&["checkout", "first", "-b", "trial", "--json"]).json();
    assert_eq!((&said["branch"], &said["run_id"]), (&"trial".into(), &"first".into()));
    sandbox.run(&["checkout", "first", "-b", "trial"]).failed(1);
    sandbox.run(&["checkout", "-b", "a..b"]).failed(2);
    sandbox.run(&["run-all", "--run-id", "third"]).done();
    assert_eq!(sandbox.run(&["checkout", "main", "--json"]).json()["run_id"], "second");
    sandbox.run(&["checkout", "nowhere"]).failed(2);
}

#[test]
fn recon_counts_everything_and_names_what_has_no_spec() {
    let sandbox = Sandbox::new();
    let base = "fixtures/lakehouse/";
    sandbox.append(
        &format!("{base}loose/a.jsonl"),
        "{\"ts\":\"2026-01-02T03:04:05Z\",\"x\":1}\n{\"ts\":1767225600,\"y\":2}\nbroken\n",
    );
    sandbox.append(&format!("{base}loose/b.json"), "[{\"k\":1},{\"k\":2}]");
    sandbox.append(&format!("{base}loose/notes.txt"), "not data");
    fs::write(sandbox.root().join(base).join("loose/c.jsonl.gz"), b"\x1f\x8bnot gzip").expect("write");
    sandbox.run(&["run-all", "--run-id", "first"]).done();
    let said = sandbox.run(&["recon", "--json"]).json();
    assert_eq!(said["schema"], "distill.recon.v1");
    let items = said["items"].as_array().expect("a list");
    let find = |name: &str| {
        items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{name}: {said}"))
    };
    let (specs, loose): (Vec<_>, Vec<_>) = items.iter().partition(|item| item["has_spec"] == true);
    assert_eq!((specs.len(), loose.len()), (12, 3), "exports are not data that lies here: {said}");
    let rows: u64 = specs.iter().map(|item| item["rows"].as_u64().expect("a count")).sum();
    assert_eq!(rows, 1052);
    assert_eq!(find("outcomes")["time_keys"], serde_json::json!(["record.time"]), "the spec knows the time");
    let lines = find("loose/*.jsonl");
    assert_eq!((&lines["rows"], &lines["unreadable"]), (&3.into(), &1.into()));
    assert_eq!(lines["first"], "2026-01-01T00:00:00Z");
    assert_eq!(lines["keys"], serde_json::json!({"ts": 2, "x": 1, "y": 1}));
    assert_eq!(find("loose/*.json")["files"][0]["unit"], "element");
    assert_eq!(find("loose/*.json")["rows"], 2);
    assert!(find("loose/*.jsonl.gz")["files"][0]["problem"].is_string());
    let page = "docs/recon/local-distillation-recon.md";
    assert!(sandbox.read(page).contains("`loose/*.jsonl`"));
    assert!(sandbox.run(&["recon"]).done().contains("loose/*.jsonl"));
    // The page is no snapshot: other commands leave it, and recon itself does not overwrite a person's notes.
    sandbox.run(&["checkout", "main"]).done();
    sandbox.append(page, "my note\n");
    sandbox.run(&["run-all", "--run-id", "second"]).done();
    assert!(sandbox.run(&["recon"]).failed(1).contains(page));
    assert!(sandbox.read(page).ends_with("my note\n"));
    sandbox.run(&["recon", "--no-page"]).done();
    sandbox.run(&["recon", "--force"]).done();
}

#[test]
fn health_shows_what_is_filled_unread_unknown_and_refused() {
    let sandbox = Sandbox::new();
    let spec = "stream = \"extra\"\ndescription = \"\"\nfiles = [\"extra.jsonl\"]\nunit = \"line\"\n\n[record]\nskip = [ { rule = \"noise\", when = '.noise == true' } ]\n\n[fields]\nresponse = \".r\"\ntask_id = \".t\"\n\"observer.verdict\" = \".v\"\n";
    sandbox.append(".distill/sources/extra.toml", spec);
    sandbox.append("fixtures/lakehouse/extra.jsonl", "{\"r\":\"a\",\"v\":\"Approved\"}\n{\"r\":\"b\",\"v\":\"splendid\",\"lost\":1}\n{\"noise\":true}\n{\n");
    let said = sandbox.run(&["health", "extra", "--json"]).json();
    assert_eq!(said["schema"], "distill.health.v1");
    let stream = &said["items"][0];
    assert_eq!((&stream["units"], &stream["records"]), (&4.into(), &2.into()));
    let field = |name: &str| {
        let all = stream["coverage"].as_array().expect("a list");
        all.iter().find(|field| field["field"] == name).unwrap_or_else(|| panic!("{name}: {stream}")).clone()
    };
    assert_eq!(field("response"), serde_json::json!({"field": "response", "mapped": true, "filled": 2}));
    assert_eq!(field("task_id"), serde_json::json!({"field": "task_id", "mapped": true, "filled": 0}));
    assert_eq!(
        field("usage.cost_usd"),
        serde_json::json!({"field": "usage.cost_usd", "mapped": false, "filled": 0})
    );
    assert_eq!(stream["unread"], serde_json::json!([{"key": "lost", "seen": 1, "bytes": 8, "read": false}]));
    assert_eq!((&stream["keys"], &stream["keys_read"], &stream["runs"]), (&4.into(), &3.into(), &().into()));
    assert_eq!(stream["unknown_verdicts"], serde_json::json!({"observer.verdict": {"splendid": 1}}));
    assert_eq!(stream["skipped"], serde_json::json!({"noise": 1}));
    assert_eq!(stream["quarantined"], serde_json::json!({"json_syntax": 1}));
    let text = sandbox.run(&["health", "extra"]).done();
    for part in [
        "never filled: task_id",
        "unread: lost (1)",
        "unknown observer.verdict: \"splendid\" (1)",
        "skipped: noise 1",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(sandbox.run(&["health", "--json"]).json()["items"].as_array().expect("a list").len(), 13);
    assert!(sandbox.run(&["health", "nothing"]).failed(2).contains("extra"));
    assert!(!sandbox.exists(".distill/store.redb"), "reading makes nothing");
}
