//! The streams of agents at work: edits, comparisons of modes, tasks with a reward.
//!
//! Rests on the row. Invariant: gates are words (`pass`, `fail`, or null for not run), rewards are numbers, a
//! comparison has ranks and no verdict.

use crate::ops::sample::json::Json;
use crate::ops::sample::plan::Body;
use crate::ops::sample::plan::Signal;
use crate::ops::sample::plan::Tri;
use crate::ops::sample::row::Row;
use crate::ops::sample::words::ASK_EDIT;
use crate::ops::sample::words::ASK_HELP;
use crate::ops::sample::words::ASK_STORY;

use super::MODELS;
use super::hash;
use super::human;
use super::some;

/// `auto_apply`: epoch seconds, numbers as ids, gates as words.
pub fn auto_apply(row: &Row, json: &mut Json<'_>) {
    let mut rng = row.measures();
    let topic = row.topic();
    json.int("apply_id", row.big_or(70_000 + row.key));
    row.epoch(json, "ts", 1);
    json.str("run_id", row.run_id().as_deref().unwrap_or(""));
    json.str("task_id", &row.task_id("edit"));
    json.int("attempt", i64::try_from(row.trial + 1).unwrap_or(1));
    json.str("instruction", &row.prompt(ASK_EDIT));
    json.str("file", &topic.path);
    json.object("before", |o| {
        o.str("blob", &hash(&mut rng, 40));
        o.str("log", &topic.log(&mut row.material(), 2));
    });
    json.str("explanation", &row.answer());
    json.object("gates", |o| {
        let odd = rng.below(3);
        for (at, name) in (0..).zip(["lint", "build", "tests"]) {
            let passed = match row.checks() {
                None => None,
                Some(Tri::Good) => Some(true),
                Some(Tri::Bad) => Some(false),
                Some(Tri::Mixed) => Some(at != odd),
            };
            o.str_or_null(name, passed.map(|p| if p { "pass" } else { "fail" }));
        }
    });
    json.bool("rolled_back", row.checks() == Some(Tri::Bad));
    let (provider, model) = rng.pick(MODELS);
    json.str("model", &format!("{provider}/{model}"));
    json.object("cost", |o| {
        o.int("prompt_tokens", row.tokens(rng.between(900, 12_000)));
        o.int("completion_tokens", some(&mut rng, 60, 1500));
        o.decimal("wall_s", rng.between(700, 90_000), 3);
    });
    human(row, json, "reverted_or_kept", "verdict", [&["kept"], &["kept_in_part"], &["reverted"]]);
}

/// `mode_experiments`: arms of one experiment, ranked by a judge who compares and does not decide.
pub fn mode_experiment(row: &Row, json: &mut Json<'_>) {
    const MODES: [&str; 4] = ["plan-first", "direct", "with-tools", "two-pass"];
    let mut rng = row.measures();
    row.time(json, "judged_at", 60);
    json.str("arm_id", &row.key("arm"));
    json.str("phase", "main");
    json.str("mode", MODES[usize::try_from(rng.below(4)).unwrap_or(0)]);
    match row.group {
        None => json.null("experiment"),
        Some((group, rank)) => json.object("experiment", |o| {
            o.str("id", &format!("exp-{group:05}"));
            if row.wrong_type {
                o.str("rank", "first");
            } else {
                o.int("rank", i64::try_from(rank).unwrap_or(0));
            }
            o.decimal("judge_score", 1000 - (90 * rank + rng.below(80)).min(999), 3);
        }),
    }
    json.object("run", |o| {
        o.str_or_null("id", row.run_id().as_deref());
        o.str("model", rng.pick(MODELS).1);
        o.str("config", &hash(&mut rng, 32));
    });
    json.str("prompt", &row.prompt(ASK_HELP));
    json.str("background", &row.topic().log(&mut row.material(), 3));
    json.str("output", &row.answer());
    human(row, json, "curator", "verdict", [&["accept"], &["partial"], &["reject"]]);
    json.object("timing", |o| {
        o.int("first_token_ms", some(&mut rng, 40, 2000));
        o.int("total_ms", some(&mut rng, 2100, 60_000));
    });
}

/// `outcomes`: tasks tried several times; the reward is the source's own final result.
pub fn outcome(row: &Row, json: &mut Json<'_>) {
    let mut rng = row.measures();
    let topic = row.topic();
    json.str("outcome_id", &row.key("out"));
    json.str("task_id", &row.task_id("task"));
    json.int("trial", i64::try_from(row.trial).unwrap_or(0));
    json.str_or_null("run_id", row.run_id().as_deref());
    row.time(json, "finished_at", 0);
    json.int("env_seed", row.big_or(rng.below(1 << 31)));
    json.str("agent", rng.pick(MODELS).1);
    json.str("question", &row.prompt(if row.topic.is_multiple_of(2) { ASK_EDIT } else { ASK_STORY }));
    json.str("environment", &topic.log(&mut row.material(), 3));
    if row.body == Body::Empty {
        json.null("final_answer");
    } else {
        json.str("final_answer", &row.answer());
    }
    match row.signal {
        Signal::Outcome(true) => json.raw("reward", "1.0"),
        Signal::Outcome(false) => json.raw("reward", rng.pick(&["0.0", "0", "0.25"])),
        // Taken back by a person although the environment paid.
        Signal::Human(_) => json.raw("reward", "1"),
        _ => json.null("reward"),
    }
    human(row, json, "appeal", "verdict", [&["accept"], &["partial"], &["reject"]]);
    json.int("steps", some(&mut rng, 2, 60));
    json.str("trace", &hash(&mut rng, 32));
}
