//! `init`, and what `status` says on the way to the first run.

use std::collections::BTreeMap;
use std::fs;

use super::Bench;

#[test]
fn init_makes_a_whole_repository_and_says_what_to_do_next() {
    let bench = Bench::empty();
    let answer = bench.run(&["init", "traces", "--with", "tau-bench", "--base", "data"]);
    assert_eq!(answer.status, 0, "{answer:?}");
    assert!(answer.stderr.contains("distill run-all"), "{answer:?}");
    let dot = bench.path().join("traces/.distill");
    let ignored = fs::read_to_string(dot.join(".gitignore")).expect("a .gitignore");
    for name in ["store.redb", "packs/", "ops/", "index/", "tmp/"] {
        assert!(ignored.contains(name), "{name} is not ignored");
        assert!(dot.join(name).exists() || name.ends_with('/'), "{name} is not made");
    }
    assert!(dot.join("sources/tau-bench.toml").exists());
    let config = fs::read_to_string(dot.join("config.toml")).expect("a config.toml");
    assert!(config.contains("base = \"../data\""), "relative to the folder that holds .distill: {config}");
    let status = bench.json("distill.status.v1", &["-C", "traces", "status"]);
    assert_eq!(status["branch"], "main");
    assert_eq!(status["config"], "new");
    assert_eq!(status["sources"][0]["name"], "tau-bench");
}

#[test]
fn init_overwrites_nothing() {
    let bench = Bench::new();
    bench.fails(1, &["init"]).says("already holds a store", "distill status");
    let other = Bench::empty();
    other.write(".distill/policy.toml", "# mine\n");
    other.fails(1, &["init"]).says("policy.toml, which init would overwrite", "nothing was changed");
    let left: Vec<_> = fs::read_dir(other.path().join(".distill")).expect("a folder").collect();
    assert_eq!(left.len(), 1, "the refusal wrote nothing: {left:?}");
}

#[test]
fn an_init_that_was_killed_can_be_run_again() {
    let bench = Bench::empty();
    bench.ok(&["init"]);
    fs::remove_file(bench.path().join(".distill/store.redb")).expect("there");
    fs::remove_file(bench.path().join(".distill/policy.toml")).expect("there");
    bench.ok(&["init"]);
    assert_eq!(bench.json("distill.status.v1", &["status"])["branch"], "main");
}

#[test]
fn an_unknown_spec_lists_the_known_ones() {
    let bench = Bench::empty();
    bench.fails(2, &["init", "--with", "tau"]).says("no source spec called `tau`", "tau-bench");
    assert!(!bench.path().join(".distill").exists(), "nothing is made");
}

#[test]
fn status_tells_files_apart() {
    let bench = Bench::with_runs();
    let states = || -> BTreeMap<String, String> {
        let status = bench.json("distill.status.v1", &["status"]);
        let files = status["sources"][0]["files"].as_array().expect("files").clone();
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        let mut states: BTreeMap<_, _> =
            files.iter().map(|f| (text(&f["path"]), text(&f["state"]))).collect();
        for path in status["vanished"].as_array().expect("a list") {
            states.insert(text(path), "vanished".to_owned());
        }
        states
    };
    let path = bench.path().join("notes.jsonl");
    let rows = fs::read_to_string(&path).expect("rows");
    assert_eq!(states()["notes.jsonl"], "unchanged");
    bench.write("more.jsonl", "{}\n");
    assert_eq!(states()["more.jsonl"], "new");
    bench.write("notes.jsonl", &(rows.clone() + "{}\n"));
    assert_eq!(states()["notes.jsonl"], "grown");
    bench.write("notes.jsonl", &rows.replace("Say one", "Say 111"));
    assert_eq!(states()["notes.jsonl"], "changed", "of the same size, but written since");
    assert!(bench.ok(&["status"]).contains("--accept-source-loss"));
    fs::remove_file(&path).expect("there");
    assert_eq!(states()["notes.jsonl"], "vanished");
    assert!(bench.ok(&["status"]).contains("vanished: notes.jsonl"));
}

#[test]
fn status_sees_a_configuration_that_changed_or_cannot_be_used() {
    let bench = Bench::with_runs();
    let config = || bench.json("distill.status.v1", &["status"])["config"].clone();
    assert_eq!(config(), "unchanged");
    let spec = bench.path().join(".distill/sources/notes.toml");
    let text = fs::read_to_string(&spec).expect("a spec");
    bench.write(".distill/sources/notes.toml", &format!("# a comment\n{text}"));
    assert_eq!(config(), "unchanged", "a comment changes no dataset");
    bench.write(".distill/sources/notes.toml", &format!("{text}tags = '[\"x\"]'\n"));
    assert_eq!(config(), "changed");
    bench.write(".distill/sources/notes.toml", &format!("{text}tegs = '.x'\n"));
    assert_eq!(config(), "unusable");
    let shown = bench.ok(&["status"]);
    assert!(shown.contains("notes.toml") && shown.contains("tegs"), "{shown}");
}
