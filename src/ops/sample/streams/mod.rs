//! How each stream spells its rows.
//!
//! Rests on [`super::row`] and the JSON writer. Invariant: what a spec in `.distill/sources/` reads is written here and
//! nowhere else; a row's signal can be read back from the fields that the stream has for it.

mod agents;
mod audits;
mod calls;
mod operations;
mod reviews;

use super::json::Json;
use super::plan::Stream;
use super::plan::Verdict;
use super::rng::Rng;
use super::row::Row;
use super::row::local_time;
use super::text::hex;

/// Writes the members of `row`.
pub fn write(row: &Row, json: &mut Json<'_>) {
    match row.stream {
        Stream::AuditDiscrepancies => audits::discrepancy(row, json),
        Stream::AuditFindings => audits::finding(row, json),
        Stream::AutoApply => agents::auto_apply(row, json),
        Stream::ModeExperiments => agents::mode_experiment(row, json),
        Stream::ModelCalls => calls::model_call(row, json),
        Stream::ObserverEscalations => reviews::escalation(row, json),
        Stream::ObserverReviews => reviews::observer_review(row, json),
        Stream::Outcomes => agents::outcome(row, json),
        Stream::PlaybookRuns => operations::playbook_run(row, json),
        Stream::PrAudits => audits::pr_audit(row, json),
        Stream::ReplayRuns => operations::replay_run(row, json),
        Stream::ScrumReviews => reviews::scrum_review(row, json),
    }
}

/// Writes the members of a row that says no more than that the writer is alive; the stream's spec skips it.
pub fn write_heartbeat(row: &Row, json: &mut Json<'_>) {
    let mut rng = row.measures();
    let queued = i64::try_from(rng.below(40)).unwrap_or(0);
    match row.stream {
        Stream::AuditDiscrepancies | Stream::PrAudits => {
            row.time(json, "ts", 0);
            json.str("kind", "heartbeat");
            json.int("queued", queued);
        }
        Stream::AuditFindings
        | Stream::ObserverEscalations
        | Stream::ObserverReviews
        | Stream::ScrumReviews => {
            row.time(json, "ts", 0);
            json.str("event", "ping");
            json.int("seq", i64::try_from(row.serial).unwrap_or(0));
        }
        Stream::AutoApply => {
            row.epoch(json, "ts", 1);
            json.bool("dry_run", true);
            json.int("planned", queued);
        }
        Stream::ModeExperiments => {
            row.time(json, "judged_at", 0);
            json.str("phase", "warmup");
            json.int("arms", 3);
        }
        Stream::ModelCalls => {
            row.epoch(json, "created", 1);
            json.str("object", "health.check");
            json.int("latency_ms", queued);
        }
        Stream::Outcomes => {
            row.time(json, "finished_at", 0);
            json.str("state", "never_started");
            json.int("queued", queued);
        }
        Stream::PlaybookRuns => {
            row.time(json, "at", 0);
            json.bool("drill", true);
            json.int("steps", queued);
        }
        Stream::ReplayRuns => {
            row.time(json, "ts", 0);
            json.bool("no_model", true);
            json.int("hits", queued);
        }
    }
}

const MODELS: &[(&str, &str)] = &[
    ("local", "coder-32b"),
    ("gateway", "reasoner-120b"),
    ("local", "general-8b"),
    ("hosted", "large-2"),
    ("gateway", "coder-480b"),
    ("local", "tiny-3b"),
];

const REASONS: &[&str] = &[
    "checked against the snapshot by hand",
    "the failing check was a flaky runner",
    "reads well, but the remedy would lose rows",
    "claim and diff do not fit together",
    "good diagnosis, remedy only half of it",
    "agreed in the weekly review",
    "the gate measured the wrong branch",
];

/// One of a verdict's usual words. Unclear verdicts are words that the policy knows as undecided, or does not know.
fn word(rng: &mut Rng, verdict: Verdict, words: [&[&'static str]; 3]) -> &'static str {
    match verdict {
        Verdict::Accept => rng.pick(words[0]),
        Verdict::Partial => rng.pick(words[1]),
        Verdict::Reject => rng.pick(words[2]),
        Verdict::Unclear => rng.pick(&["unsure", "cycle", "see thread", "needs_info", "¯\\_(ツ)_/¯"]),
    }
}

/// Writes a person's decision, or `null`.
fn human(row: &Row, json: &mut Json<'_>, key: &str, verdict: &str, words: [&[&'static str]; 3]) {
    let Some(decided) = row.human() else { return json.null(key) };
    let mut rng = row.measures();
    json.object(key, |o| {
        o.str(verdict, word(&mut rng, decided, words));
        o.str("by", &format!("reviewer-{}", rng.between(1, 9)));
        let hours = i64::try_from(rng.between(1, 72)).unwrap_or(1);
        o.str("at", &local_time(row.time_ms + hours * 3_600_000, 0));
        o.str("reason", rng.pick(REASONS));
    });
}

/// `digits` hexadecimal digits.
fn hash(rng: &mut Rng, digits: u32) -> String {
    let mut text = String::with_capacity(40);
    let mut left = digits;
    while left > 0 {
        hex(&mut text, rng.next(), left.min(16));
        left = left.saturating_sub(16);
    }
    text
}

/// A number drawn as the JSON writer takes it.
fn some(rng: &mut Rng, low: u64, high: u64) -> i64 {
    i64::try_from(rng.between(low, high)).unwrap_or(0)
}
