//! The streams in which somebody judges: stories, other agents' answers, escalations to a larger model.
//!
//! Rests on the row. Invariant: a review's verdict is a word; an escalation has none, only markers.

use crate::ops::sample::json::Json;
use crate::ops::sample::plan::Body;
use crate::ops::sample::plan::Signal;
use crate::ops::sample::plan::Tri;
use crate::ops::sample::row::Row;
use crate::ops::sample::words::ASK_HELP;
use crate::ops::sample::words::ASK_STORY;
use crate::ops::sample::words::CAUSE;
use crate::ops::sample::words::PROOF;

use super::MODELS;
use super::hash;
use super::human;
use super::some;
use super::word;

/// `scrum_reviews`: times at +02:00, scores beside words, decisions of the product owner.
pub fn scrum_review(row: &Row, json: &mut Json<'_>) {
    let mut rng = row.measures();
    let topic = row.topic();
    json.str("review_id", &row.key("scr"));
    row.time(json, "time", 120);
    json.str_or_null("run_id", row.run_id().as_deref());
    json.str("sprint", &format!("2026-{:02}", rng.between(1, 26)));
    json.object("story", |o| {
        o.str("id", &row.task_id("story"));
        o.str("file", &topic.path);
        o.int("points", rng.pick(&[1, 2, 3, 5, 8]));
    });
    json.str("question", &row.prompt(ASK_STORY));
    json.array("criteria", |list| {
        let mut words = row.material();
        for _ in 0..2 {
            list.str("", &topic.one_of(&mut words, PROOF));
        }
    });
    if row.body == Body::Empty {
        json.null("review");
    } else {
        json.str("review", &row.answer());
    }
    let words: [&[&str]; 3] = [&["ship", "approve"], &["ship_with_nits"], &["needs_work", "block"]];
    let observer = row.observer();
    json.str_or_null("verdict", observer.map(|(verdict, _)| word(&mut rng, verdict, words)));
    if let Some(percent) = observer.and_then(|(_, confidence)| confidence) {
        json.decimal("confidence", percent, 2);
        json.decimal("score", percent, 1);
    }
    human(row, json, "product_owner", "decision", [&["accepted"], &["partial"], &["sent_back"]]);
    json.object("reviewer", |o| {
        o.str("model", rng.pick(MODELS).1);
        o.str("session", &hash(&mut rng, 24));
        o.int("tokens_in", row.tokens(rng.between(400, 6000)));
        o.int("tokens_out", some(&mut rng, 60, 700));
    });
}

/// `observer_reviews`: the judged answer lies inside, under `subject`.
pub fn observer_review(row: &Row, json: &mut Json<'_>) {
    let mut rng = row.measures();
    let topic = row.topic();
    json.str("observation_id", &row.key("obs"));
    row.time(json, "observed_at", 0);
    let (provider, model) = rng.pick(MODELS);
    json.object("subject", |o| {
        o.str_or_null("run_id", row.run_id().as_deref());
        o.str("task", &row.task_id("q"));
        o.object("model", |m| {
            m.str("provider", provider);
            m.str("name", model);
        });
        o.str("prompt", &row.prompt(ASK_HELP));
        o.array("documents", |list| {
            let mut words = row.material();
            for _ in 0..words.between(1, 2) {
                let id = hash(&mut words, 16);
                let score = words.between(310, 990);
                list.object("", |d| {
                    d.str("ref", &id);
                    d.str("text", &topic.one_of(&mut words, CAUSE));
                    d.decimal("score", score, 3);
                });
            }
        });
        o.str("answer", &row.answer());
    });
    let words: [&[&str]; 3] =
        [&["accept", "good"], &["partial", "accept_with_changes"], &["reject", "wrong"]];
    if let Some((verdict, confidence)) = row.observer() {
        json.str("verdict", word(&mut rng, verdict, words));
        if let Some(percent) = confidence {
            json.decimal("confidence", percent, 2);
        }
    } else {
        json.null("verdict");
    }
    json.str("observer", rng.pick(&["observer-small", "observer-large"]));
    json.object("notes", |o| {
        o.str("evidence", &topic.one_of(&mut rng, PROOF));
        o.int("read_ms", some(&mut rng, 200, 20_000));
        o.str("trace", &hash(&mut rng, 32));
    });
    if row.human().is_some() {
        human(row, json, "appeal", "verdict", [&["accept"], &["partial"], &["reject"]]);
    }
}

/// `observer_escalations`: a diagnosis of a failing cluster; no prompt, markers only.
pub fn escalation(row: &Row, json: &mut Json<'_>) {
    let mut rng = row.measures();
    let topic = row.topic();
    row.time(json, "ts", 0);
    json.str("escalation", &row.key("esc"));
    json.str_or_null("run_id", row.run_id().as_deref());
    json.object("cluster", |o| {
        o.str("service", topic.service);
        o.int("failures", some(&mut rng, 3, 160));
        o.str("fingerprint", &hash(&mut rng, 32));
    });
    json.str("samples", &topic.log(&mut row.material(), 4));
    json.str("analysis", &row.answer());
    json.array("facts", |list| {
        for _ in 0..rng.between(1, 3) {
            list.str("", &topic.one_of(&mut rng, CAUSE));
        }
    });
    let (good, bad) = match row.signal {
        Signal::Markers(Tri::Good) => (true, false),
        Signal::Markers(Tri::Bad) => (false, true),
        Signal::Markers(Tri::Mixed) => (true, true),
        _ => (false, false),
    };
    json.strings("resolved_by", if good { &["remedy_applied", "cluster_closed"][..] } else { &[] });
    json.strings("reopened_by", if bad { &["failures_returned"][..] } else { &[] });
    human(row, json, "sign_off", "verdict", [&["accept", "confirmed"], &["partial"], &["reject"]]);
    json.object("model", |o| {
        o.str("name", "reasoner-120b");
        o.decimal("seconds", rng.between(900, 90_000), 3);
    });
}
