//! The streams of operations: playbooks that were run, and answers that distill replayed from its own corpus.
//!
//! Rests on the row. Invariant: a playbook's result is its `ok` or, where it has none, the words in `events`; a replay
//! says how far it is from the world (`synthetic_depth` of at least 1).

use crate::ops::sample::json::Json;
use crate::ops::sample::plan::Signal;
use crate::ops::sample::plan::Tri;
use crate::ops::sample::plan::Verdict;
use crate::ops::sample::row::Row;
use crate::ops::sample::words::ASK_HELP;
use crate::ops::sample::words::ASK_OPERATE;
use crate::ops::sample::words::CAUSE;

use super::MODELS;
use super::hash;
use super::human;
use super::some;

/// `playbook_runs`: an event list, a result that may be missing, a sign-off by the operator.
pub fn playbook_run(row: &Row, json: &mut Json<'_>) {
    let mut rng = row.measures();
    let topic = row.topic();
    json.str("execution", &row.key("pb"));
    row.time(json, "at", -300);
    json.str_or_null("run_id", row.run_id().as_deref());
    json.str("task", &row.task_id("op"));
    json.str(
        "playbook",
        rng.pick(&["recover-lease", "rotate-partition", "drain-node", "replay-feed", "free-disk"]),
    );
    json.str("goal", &row.prompt(ASK_OPERATE));
    json.str("state_before", &topic.log(&mut row.material(), 3));
    json.array("events", |list| {
        list.str("", "started");
        if matches!(row.signal, Signal::Markers(Tri::Good | Tri::Mixed)) {
            list.str("", "goal_met");
        }
        if matches!(row.signal, Signal::Markers(Tri::Bad | Tri::Mixed)) {
            list.str("", "rolled_back");
        }
        list.str("", "ended");
    });
    json.str("report", &row.answer());
    json.bool_or_null(
        "ok",
        match row.signal {
            Signal::Outcome(ok) => Some(ok),
            Signal::Human(Verdict::Accept) => Some(false),
            Signal::Human(Verdict::Reject) => Some(true),
            _ => None,
        },
    );
    human(row, json, "sign_off", "verdict", [&["accept", "approved"], &["partial"], &["reject"]]);
    json.object("meter", |o| {
        o.int("tokens", row.tokens(rng.between(300, 9000)));
        o.decimal("seconds", rng.between(2000, 900_000), 3);
        o.str("host", &hash(&mut rng, 12));
    });
}

/// `replay_runs`: what `distill replay` appends.
pub fn replay_run(row: &Row, json: &mut Json<'_>) {
    let mut rng = row.measures();
    let topic = row.topic();
    json.str("replay_id", &row.key("rep"));
    row.time(json, "ts", 0);
    json.str_or_null("run_id", row.run_id().as_deref());
    json.str("task_id", &row.task_id("replay"));
    json.int("synthetic_depth", if row.serial % 9 == 4 { 2 } else { 1 });
    json.str("prompt", &row.prompt(ASK_HELP));
    json.object("retrieval", |o| {
        o.str("snapshot", &hash(&mut rng, 64));
        o.array("hits", |list| {
            let mut words = row.material();
            for _ in 0..words.between(1, 2) {
                let id = hash(&mut words, 16);
                let score = words.between(2_000, 19_000);
                list.object("", |hit| {
                    hit.str("id", &id);
                    hit.str("content", &topic.one_of(&mut words, CAUSE));
                    hit.decimal("score", score, 3);
                });
            }
        });
    });
    json.str("answer", &row.answer());
    json.object("checks", |o| {
        let (grounded, complete) = match row.checks() {
            None => return,
            Some(Tri::Good) => (true, true),
            Some(Tri::Bad) => (false, false),
            Some(Tri::Mixed) => (true, false),
        };
        o.bool("grounded", grounded);
        o.bool("complete", complete);
    });
    let (provider, model) = rng.pick(MODELS);
    json.object("model", |o| {
        o.str("provider", provider);
        o.str("name", model);
    });
    json.object("usage", |o| {
        o.int("prompt_tokens", row.tokens(rng.between(300, 4000)));
        o.int("completion_tokens", some(&mut rng, 40, 700));
        o.int("latency_ms", some(&mut rng, 300, 40_000));
    });
}
