//! The documents that describe the command line: they say what the program does, or these tests fail.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use distill::cli::Cli;

use super::Bench;

const HEAD: &str = "# The command line

Generated from the program's own help; a test compares them (`DISTILL_UPDATE_GOLDEN=1 cargo test` writes this file anew).

Answers go to stdout, everything else to stderr. With `--json` an answer is one object with a `\"schema\"`; `docs/json.md`
describes each. A broken pipe is not an error.

## Exit status

| status | meaning |
|---|---|
| 0 | done |
| 1 | the answer is no: a gate, a claim that does not hold, `diff --exit-code`, a refusal to overwrite |
| 2 | wrong usage: an unknown verb, flag, revision or name, a configuration that cannot be used |
| 3 | something outside failed: a file, the network, a lock, a full disk |
| 4 | stored data is damaged or missing |

A failure prints `error:` with what happened to what, and `hint:` with what to do next.

## Environment

| variable | effect |
|---|---|
| `AWS_*` | endpoint, region and credentials of buckets: `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID` … |
| `COLUMNS` | how wide text may be; otherwise as wide as the terminal, or 100 columns |
| `DISTILL_TOKEN` | the token for a server, where no file of one is given |
| `NO_COLOR` | when set and not empty, no colour |
| `SOURCE_DATE_EPOCH` | seconds since 1970: every time that is written down is this one |

";

fn reference() -> String {
    let mut text = HEAD.to_owned();
    let mut cli = Cli::command().term_width(100);
    cli.build();
    write!(text, "## distill\n\n```text\n{}```\n", cli.render_long_help()).expect("a string");
    let verbs: Vec<_> = cli.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().collect();
    for verb in verbs {
        describe(&mut text, "distill", &verb);
    }
    text
}

/// The help of a verb and of the verbs below it.
fn describe(text: &mut String, above: &str, verb: &clap::Command) {
    let mut verb = verb.clone().term_width(100);
    let help = verb.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let name = format!("{above} {}", verb.get_name());
    write!(text, "\n## {name}\n\n```text\n{}\n```\n", lines.join("\n")).expect("a string");
    for below in verb.get_subcommands().filter(|verb| verb.get_name() != "help") {
        describe(text, &name, below);
    }
}

#[test]
fn the_reference_is_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let now = reference();
    if std::env::var_os("DISTILL_UPDATE_GOLDEN").is_some() {
        fs::write(&path, &now).expect("writable");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differs = now.lines().zip(written.lines()).find(|(now, written)| now != written);
    assert_eq!(differs, None, "docs/cli.md is out of date: DISTILL_UPDATE_GOLDEN=1 writes it anew");
    assert_eq!(
        now.len(),
        written.len(),
        "docs/cli.md is out of date: DISTILL_UPDATE_GOLDEN=1 writes it anew"
    );
}

#[test]
fn every_answer_is_described_with_its_members() {
    let doc =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md")).expect("docs/json.md");
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1", "-m", "m"]);
    let sample = tempfile::tempdir().expect("a folder");
    let sample = sample.path().join("sample").to_str().expect("UTF-8").to_owned();
    let asked: &[(&str, &[&str])] = &[
        ("distill.status.v1", &["status"]),
        ("distill.log.v1", &["log"]),
        ("distill.log_record.v1", &["log", "--record", "2026/01/02/notes/n1"]),
        ("distill.log_metric.v1", &["log", "--metric", "p3_accepted"]),
        ("distill.bisect.v1", &["bisect", "--metric", "p3_accepted", "--rise", "1"]),
        ("distill.show.v1", &["show"]),
        ("distill.show.v1", &["show", ":evidence"]),
        ("distill.show.v1", &["show", ":evidence/2026/01/02/notes/n1"]),
        ("distill.ls.v1", &["ls"]),
        ("distill.ls.v1", &["ls", ":evidence"]),
        ("distill.cat.v1", &["cat", "HEAD"]),
        ("distill.diff.v1", &["diff", "--records"]),
        ("distill.receipts.v1", &["receipts"]),
        ("distill.trace.v1", &["trace", ":sft/2026/01/03/notes/n3"]),
        ("distill.trace_reverse.v1", &["trace", "--reverse", "notes.jsonl:3"]),
        ("distill.verify.v1", &["verify"]),
        ("distill.acceptance.v1", &["acceptance"]),
        ("distill.audit_full.v1", &["audit-full"]),
        ("distill.stats.v1", &["stats"]),
        ("distill.stats.v1", &["stats", "r1"]),
        ("distill.gc.v1", &["gc", "--grace", "0"]),
        ("distill.reindex.v1", &["reindex"]),
        ("distill.tag_list.v1", &["tag"]),
        ("distill.branch_list.v1", &["branch"]),
        ("distill.branch.v1", &["branch", "b"]),
        ("distill.reset.v1", &["reset", "--hard", "r1"]),
        ("distill.reflog.v1", &["reflog"]),
        ("distill.undo.v1", &["undo"]),
        ("distill.run.v1", &["run-all"]),
        ("distill.run.v1", &["score"]),
        ("distill.checkout.v1", &["checkout", "r1"]),
        ("distill.verify_against.v1", &["verify", "--against", "."]),
        ("distill.recon.v1", &["recon", "--no-page"]),
        ("distill.health.v1", &["health"]),
        ("distill.sources_list.v1", &["sources", "list"]),
        ("distill.sources_show.v1", &["sources", "show", "notes"]),
        ("distill.sources_test.v1", &["sources", "test", "notes", "notes.jsonl"]),
        ("distill.schema_list.v1", &["schema"]),
        ("distill.sample.v1", &["sample", &sample]),
    ];
    for (schema, args) in asked {
        let section = section(&doc, schema);
        let answer = bench.json(schema, args);
        for member in answer.as_object().expect("an object").keys().filter(|member| *member != "schema") {
            assert!(
                section.contains(&format!("`{member}`")),
                "{schema} has `{member}`, which docs/json.md does not tell of"
            );
        }
        let items =
            answer["items"].as_array().and_then(|items| items.first()).and_then(|item| item.as_object());
        for member in items.into_iter().flat_map(serde_json::Map::keys) {
            assert!(
                section.contains(&format!("`{member}`")),
                "an item of {schema} has `{member}`, which docs/json.md does not tell of"
            );
        }
    }
}

fn section<'a>(doc: &'a str, schema: &str) -> &'a str {
    let start = doc.find(&format!("`{schema}`")).unwrap_or_else(|| panic!("docs/json.md has no {schema}"));
    let rest = &doc[start..];
    rest.find("\n## ").map_or(rest, |end| &rest[..end])
}
