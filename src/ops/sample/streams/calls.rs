//! Model calls as a gateway logs them: the chat API's request and response, with tool calls.
//!
//! Rests on the row. Invariant: the last message of the role `user` is the row's prompt, and the first choice's
//! content is its answer; conversation and tool results are training text, so they depend on topic and text alone.

use crate::ops::sample::json::Json;
use crate::ops::sample::plan::Body;
use crate::ops::sample::plan::Tri;
use crate::ops::sample::row::Row;
use crate::ops::sample::words::ASK_HELP;

use super::MODELS;
use super::hash;
use super::human;
use super::some;

/// Writes one tool call. Now and then a model writes arguments that are no JSON; they are kept as they came.
fn tool_call(json: &mut Json<'_>, id: &str, column: u64) {
    json.object("", |call| {
        call.str("id", id);
        call.str("type", "function");
        call.object("function", |f| {
            f.str("name", "run_query");
            if column % 17 == 3 {
                f.str("arguments", &format!("{{\"sql\": \"SELECT count(*) FROM staging LIMIT {column}\""));
            } else {
                f.str(
                    "arguments",
                    &format!("{{\"sql\": \"SELECT count(*) FROM staging\", \"limit\": {column}}}"),
                );
            }
        });
    });
}

fn message(json: &mut Json<'_>, role: &str, content: &str) {
    json.object("", |m| {
        m.str("role", role);
        m.str("content", content);
    });
}

/// `model_calls`: epoch seconds, ratings by users, checks of the gateway.
pub fn model_call(row: &Row, json: &mut Json<'_>) {
    let mut rng = row.measures();
    let mut words = row.material();
    let topic = row.topic();
    let with_tools = words.chance(40);
    let call_id = format!("call_{}", hash(&mut words, 12));
    let (provider, model) = rng.pick(MODELS);
    json.str("id", &row.key("chatcmpl"));
    json.str("object", "chat.completion");
    row.epoch(json, "created", 1);
    json.object("session", |o| {
        o.str_or_null("run_id", row.run_id().as_deref());
        o.str("task_id", &row.task_id("chat"));
    });
    json.object("request", |o| {
        o.str("model", model);
        o.array("messages", |list| {
            message(
                list,
                "system",
                "You are the data platform's assistant. Answer from facts and name tables.",
            );
            message(list, "user", &row.prompt(ASK_HELP));
            if with_tools {
                let column = words.between(1, 500);
                list.object("", |m| {
                    m.str("role", "assistant");
                    m.null("content");
                    m.array("tool_calls", |calls| tool_call(calls, &call_id, column));
                });
                list.object("", |m| {
                    m.str("role", "tool");
                    m.str("tool_call_id", &call_id);
                    m.str("name", "run_query");
                    m.str("content", &topic.log(&mut words, 2));
                });
            }
        });
        o.int("seed", row.big_or(rng.below(1 << 20)));
        o.decimal("temperature", rng.below(10), 1);
    });
    json.object("response", |o| {
        let empty = row.body == Body::Empty;
        o.array("choices", |list| {
            list.object("", |choice| {
                choice.int("index", 0);
                choice.object("message", |m| {
                    m.str("role", "assistant");
                    if empty {
                        m.null("content");
                        m.array("tool_calls", |calls| tool_call(calls, &call_id, 20));
                    } else {
                        m.str("content", &row.answer());
                    }
                });
                choice.str("finish_reason", if empty { "tool_calls" } else { "stop" });
            });
        });
        o.object("usage", |u| {
            u.int("prompt_tokens", row.tokens(rng.between(120, 5000)));
            u.int("completion_tokens", some(&mut rng, 30, 800));
            u.object("prompt_tokens_details", |d| d.int("cached_tokens", some(&mut rng, 0, 100)));
        });
    });
    json.str("provider", provider);
    json.int("latency_ms", some(&mut rng, 150, 30_000));
    if row.human().is_none() {
        // Only calls that nobody rated are checked by the gateway.
        match row.checks() {
            None => {}
            Some(result) => json.object("checks", |o| {
                o.bool("schema_valid", result != Tri::Bad);
                o.bool("tables_exist", result == Tri::Good);
            }),
        }
    }
    human(row, json, "feedback", "rating", [&["up"], &["mixed"], &["down"]]);
}
