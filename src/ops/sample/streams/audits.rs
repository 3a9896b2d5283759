//! The three streams of the auditors: pull requests, single findings, discrepancies between two auditors.
//!
//! Rests on the row. Invariant: pull requests and discrepancies are judged by checks, findings by triage.

use crate::ops::sample::json::Json;
use crate::ops::sample::plan::Signal;
use crate::ops::sample::plan::Tri;
use crate::ops::sample::plan::Twist;
use crate::ops::sample::rng::Rng;
use crate::ops::sample::row::Row;
use crate::ops::sample::words::ASK_REVIEW;
use crate::ops::sample::words::FOUND;
use crate::ops::sample::words::VAGUE;

use super::MODELS;
use super::hash;
use super::human;
use super::some;
use super::word;

/// Writes checks of these names as booleans: all true, all false, or some of each.
fn checks(rng: &mut Rng, json: &mut Json<'_>, names: [&str; 3], result: Option<Tri>) {
    let odd = rng.below(3);
    for (at, name) in (0..).zip(names) {
        match result {
            Some(Tri::Good) => json.bool(name, true),
            Some(Tri::Bad) => json.bool(name, false),
            Some(Tri::Mixed) => json.bool(name, at == odd),
            None => {}
        }
    }
}

/// `pr_audits`: times in UTC, checks as booleans, a second opinion where there are none.
pub fn pr_audit(row: &Row, json: &mut Json<'_>) {
    let mut rng = row.measures();
    let topic = row.topic();
    json.str("audit_id", &row.key("pra"));
    row.time(json, "ts", 0);
    json.str("kind", "audit");
    json.str_or_null("run_id", row.run_id().as_deref());
    json.object("pull", |o| {
        o.int("number", some(&mut rng, 100, 4999));
        o.str("path", &topic.path);
        o.str("head", &hash(&mut rng, 40));
        o.str("task", &row.task_id("pr"));
    });
    let (provider, model) = rng.pick(MODELS);
    json.object("auditor", |o| {
        o.str("provider", provider);
        o.str("model", model);
    });
    json.str("prompt", &row.prompt(ASK_REVIEW));
    json.str("diff_excerpt", &diff(row));
    json.object("report", |o| {
        o.str("summary", &row.answer());
        o.int("findings", some(&mut rng, 0, 7));
    });
    json.object("checks", |o| checks(&mut rng, o, ["build", "tests", "claims"], row.checks()));
    match row.observer().filter(|_| matches!(row.signal, Signal::Observer(_) | Signal::ObserverLow)) {
        None => json.null("second_opinion"),
        Some((verdict, confidence)) => json.object("second_opinion", |o| {
            let words: [&[&str]; 3] =
                [&["approve", "lgtm"], &["approve_with_notes"], &["request_changes", "block"]];
            o.str("verdict", word(&mut rng, verdict, words));
            if let Some(percent) = confidence {
                o.decimal("confidence", percent, 2);
            }
            o.str("by", "observer-large");
        }),
    }
    human(row, json, "override", "decision", [&["accept", "merge"], &["accept_with_changes"], &["reject"]]);
    json.object("usage", |o| {
        o.int("input", row.tokens(rng.between(700, 9000)));
        o.int("output", some(&mut rng, 80, 900));
        o.int("latency_ms", some(&mut rng, 900, 60_000));
        o.decimal("cost_usd", rng.between(3, 900), 5);
    });
}

/// A hunk of a diff.
fn diff(row: &Row) -> String {
    let mut rng = row.material();
    let topic = row.topic();
    let (at, len) = (rng.between(10, 800), rng.between(3, 9));
    let id = hash(&mut rng, 16);
    let mut out =
        format!("--- a/{0}\n+++ b/{0}\n@@ -{at},{len} +{at},{1} @@ index {id}\n", topic.path, len + 2);
    topic.say(
        &mut rng,
        "-    {f}(batch, {n})?;\n+    let seen = {f}(batch, {l})?;\n+    ensure(seen == {k})?;",
        &mut out,
    );
    out
}

/// `audit_findings`: epoch milliseconds, numbers as ids, no prompt, triage words.
pub fn finding(row: &Row, json: &mut Json<'_>) {
    let mut rng = row.measures();
    let topic = row.topic();
    json.int("finding_id", row.big_or(500_000 + row.key));
    row.epoch(json, "detected_at", 1000);
    json.str_or_null("run", row.run_id().as_deref());
    json.str("task", &row.task_id("scan"));
    let severity = rng.pick(&["low", "medium", "medium", "high", "critical"]);
    json.str("severity", severity);
    json.object("where", |o| {
        o.str("file", &topic.path);
        o.int("line", some(&mut rng, 1, 1200));
        o.str("commit", &hash(&mut rng, 12));
    });
    json.strings("labels", &[severity, topic.service]);
    json.str("message", &row.answer());
    json.str("evidence", &topic.log(&mut row.material(), 3));
    match row.observer() {
        None => json.null("triage"),
        Some((verdict, confidence)) => json.object("triage", |o| {
            let words: [&[&str]; 3] =
                [&["confirmed", "true_positive"], &["partly_confirmed"], &["false_positive", "wontfix"]];
            o.str("state", word(&mut rng, verdict, words));
            if let Some(percent) = confidence {
                o.decimal("certainty", percent, 2);
            }
            o.str("who", rng.pick(&["observer-small", "observer-large"]));
        }),
    }
    if row.human().is_some() {
        human(row, json, "owner_says", "verdict", [&["accepted"], &["partial"], &["rejected"]]);
    }
    json.str("detector", rng.pick(MODELS).1);
}

/// `audit_discrepancies`: local times with offsets, a list of checks, two opinions.
pub fn discrepancy(row: &Row, json: &mut Json<'_>) {
    let mut rng = row.measures();
    let topic = row.topic();
    json.str("id", &row.key("disc"));
    row.time(json, "at", if row.twist == Some(Twist::OddOffset) { 0 } else { 330 });
    json.str("kind", "discrepancy");
    // A run that is not known is left out here, not null.
    if let Some(run_id) = row.run_id() {
        json.str("run_id", &run_id);
    }
    json.str("claim", &row.prompt(ASK_REVIEW));
    json.object("left", |o| {
        o.str("auditor", "static-rules");
        o.str("finding", &topic.one_of(&mut row.material(), FOUND));
    });
    json.object("right", |o| {
        o.str("auditor", rng.pick(MODELS).1);
        o.str("finding", &topic.one_of(&mut rng, VAGUE));
    });
    json.object("resolution", |o| {
        o.str("text", &row.answer());
        o.array("checks", |list| {
            let odd = rng.below(3);
            for (at, name) in (0..).zip(["rerun", "row_counts", "checksum"]) {
                let ok = match row.checks() {
                    None => break,
                    Some(Tri::Good) => true,
                    Some(Tri::Bad) => false,
                    Some(Tri::Mixed) => at == odd,
                };
                list.object("", |check| {
                    check.str("name", name);
                    check.bool("ok", ok);
                    check.str("digest", &hash(&mut rng, 16));
                });
            }
        });
        human(row, o, "human", "verdict", [&["accept"], &["partial", "partly"], &["reject"]]);
    });
}
