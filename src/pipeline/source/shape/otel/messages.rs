//! What was said in a span: input and output as plain messages, whatever the dialect.
//!
//! Rests on the tree of attributes. A conversation may be a tree of indexed attributes, a JSON text in a string, or a plain
//! text; a message may have `content`, `parts` or `contents`, and its parts have a type by which they are known in one
//! dialect or another. The richest attribute wins; nothing is read from two. Invariants: a message has a role; the model's
//! reasoning and the bytes of media are left out; what is no message is a text, as it stands.

use std::borrow::Cow;

use crate::base::json::Value;
use crate::base::json::canonicalize;

use super::super::arguments;
use super::super::json_text;
use super::super::object;
use super::super::word;
use super::attributes::Tree;

/// Where the input stands, the richest first.
const INPUT: [&str; 6] = [
    "gen_ai.input.messages",
    "llm.input_messages",
    "gen_ai.prompt",
    "ai.prompt.messages",
    "ai.prompt._",
    "input.value",
];

/// Where the output stands, the richest first. `ai.response` is an object of several.
const OUTPUT: [&str; 5] =
    ["gen_ai.output.messages", "llm.output_messages", "gen_ai.completion", "ai.response", "output.value"];

/// Input and output of a span.
pub(super) fn conversation<'t>(
    attributes: Tree<'_, 't>,
    events: &[Value<'t>],
) -> (Vec<Value<'t>>, Vec<Value<'t>>) {
    let of_events =
        |name: &str| events.iter().filter_map(|e| e.get("attributes")).find_map(|a| Tree(a).at(name));
    let find = |names: &[&str], role: &'static str| {
        let places = names.iter().filter_map(|name| attributes.at(name).or_else(|| of_events(name)));
        places.map(|value| said(value, role)).find(|messages| !messages.is_empty()).unwrap_or_default()
    };
    // A prompt that is a plain attribute, with no messages beside it, is a leaf and has no `_`.
    let mut input = find(&INPUT, "user");
    if input.is_empty()
        && let Some(prompt @ Value::String(_)) = attributes.at("ai.prompt")
    {
        input = said(prompt, "user");
    }
    let mut output = find(&OUTPUT, "assistant");
    if let Some(system) = attributes.at("gen_ai.system_instructions")
        && let Some(system) =
            message(&object([("role", "system".into()), ("parts", parsed(system))]), "system")
    {
        input.splice(0..0, system);
    }
    if input.is_empty() && output.is_empty() {
        (input, output) = told(events);
    }
    (input, output)
}

/// The older convention: an event for each message.
fn told<'t>(events: &[Value<'t>]) -> (Vec<Value<'t>>, Vec<Value<'t>>) {
    let (mut input, mut output) = (Vec::new(), Vec::new());
    for event in events {
        let Some(name) = word(event.get("name")) else { continue };
        let Some(body) = event.get("attributes") else { continue };
        let role = match name {
            "gen_ai.system.message" => "system",
            "gen_ai.user.message" => "user",
            "gen_ai.assistant.message" => "assistant",
            "gen_ai.tool.message" => "tool",
            "gen_ai.choice" => {
                let inner = body.get("message").map_or_else(|| body.clone(), parsed);
                output.extend(message(&inner, "assistant").unwrap_or_default());
                continue;
            }
            _ => continue,
        };
        input.extend(message(body, role).unwrap_or_default());
    }
    (input, output)
}

/// The value itself, or what the JSON text in a string says where it says an array or an object.
fn parsed<'t>(value: &Value<'t>) -> Value<'t> {
    let Value::String(text) = value else { return value.clone() };
    if !text.trim_start().starts_with(['[', '{']) {
        return value.clone();
    }
    let mut canonical = Vec::new();
    if canonicalize(text.as_bytes(), &mut canonical).is_err() {
        return value.clone();
    }
    match Value::parse(&canonical) {
        Ok(inner) => inner.into_owned(),
        Err(_) => value.clone(),
    }
}

/// The messages that a value says: an array of them, an object that holds one, or a text in the voice of `role`.
fn said<'t>(given: &Value<'t>, role: &'static str) -> Vec<Value<'t>> {
    let value = parsed(given);
    let messages = match &value {
        Value::Array(items) => {
            items.iter().flat_map(|item| message(item, role).unwrap_or_default()).collect()
        }
        Value::Object(_) => {
            let of = |name: &str| value.get(name).map(|inner| said(inner, role)).unwrap_or_default();
            let mut messages = Vec::new();
            if value.get("role").is_none() {
                messages.extend(value.get("system").map(|s| said(s, "system")).unwrap_or_default());
                messages.extend(of("messages"));
                messages.extend(of("choices"));
                if !messages.iter().any(|m| word(m.get("role")) != Some("system")) {
                    messages.extend(of("prompt"));
                }
            }
            if messages.is_empty() { message(&value, role).unwrap_or_default() } else { messages }
        }
        _ => Vec::new(),
    };
    match given {
        // A text, or a JSON text that is no message: an answer in a form that was asked for.
        Value::String(text) if messages.is_empty() && !text.trim().is_empty() => {
            vec![plain(role, given.clone())]
        }
        _ => messages,
    }
}

fn plain<'t>(role: &'static str, content: Value<'t>) -> Value<'t> {
    object([
        ("role", role.into()),
        ("content", content),
        ("name", Value::Null),
        ("tool_call_id", Value::Null),
        ("tool_calls", Value::Array(Vec::new())),
    ])
}

/// One message, with a message for each result of a tool that it carries; nothing when it says nothing.
fn message<'t>(value: &Value<'t>, role: &'static str) -> Option<Vec<Value<'t>>> {
    if let Value::String(_) = value {
        return Some(said(value, role));
    }
    let value = value.get("message").filter(|inner| matches!(inner, Value::Object(_))).unwrap_or(value);
    if !matches!(value, Value::Object(_)) {
        return None;
    }
    let mut draft = Draft::default();
    let mut part = |part: &Value<'t>| draft.part(part);
    for name in ["content", "contents", "parts", "text", "object"] {
        // A content that is a JSON text is an answer like any other; `parts` are never one.
        let inner = value.get(name).map(|inner| if name == "parts" { parsed(inner) } else { inner.clone() });
        match inner {
            Some(Value::Array(parts)) => parts.iter().for_each(&mut part),
            Some(one) => part(&one),
            None => {}
        }
    }
    for name in ["tool_calls", "toolCalls"] {
        if let Some(Value::Array(calls)) = value.get(name).map(parsed) {
            draft.calls.extend(calls.iter().filter_map(call));
        }
    }
    let answer = word(value.get("tool_call_id")).or_else(|| word(value.get("id")).filter(|_| role == "tool"));
    let role = word(value.get("role")).map_or(Cow::Borrowed(role), |role| Cow::Owned(role.to_owned()));
    draft.finish(&role, word(value.get("name")), answer)
}

/// A call of a tool in any dialect; nothing when it has no name.
fn call<'t>(value: &Value<'t>) -> Option<Value<'t>> {
    let value = value.get("tool_call").unwrap_or(value);
    let function = value.get("function").filter(|f| matches!(f, Value::Object(_))).unwrap_or(value);
    let name = ["name", "toolName"].iter().find_map(|key| word(function.get(key)))?;
    let id = ["id", "toolCallId"].iter().find_map(|key| word(value.get(key)));
    let given = ["arguments", "args", "input"].iter().find_map(|key| function.get(key));
    Some(object([
        ("id", Value::from(id.map(str::to_owned))),
        ("name", Value::from(name.to_owned())),
        ("arguments", arguments(given)),
    ]))
}

/// A message being read.
#[derive(Default)]
struct Draft<'t> {
    texts: Vec<Value<'t>>,
    calls: Vec<Value<'t>>,
    results: Vec<Value<'t>>,
}

impl<'t> Draft<'t> {
    fn part(&mut self, part: &Value<'t>) {
        let part = part.get("message_content").unwrap_or(part);
        let text =
            || ["text", "content"].iter().find_map(|key| part.get(key)).filter(|v| v.as_str().is_some());
        match word(part.get("type")) {
            None => match part {
                Value::String(text) if text.is_empty() => {}
                Value::String(_) => self.texts.push(part.clone()),
                Value::Null => {}
                other => self.texts.push(text().cloned().unwrap_or_else(|| Value::from(json_text(other)))),
            },
            Some("text" | "input_text" | "output_text") => self.texts.extend(text().cloned()),
            Some("reasoning" | "thinking" | "redacted_thinking") => {}
            Some("tool_call" | "tool-call" | "tool_use" | "function_call") => self.calls.extend(call(part)),
            Some("tool_call_response" | "tool-result" | "tool_result") => {
                let id = ["id", "toolCallId", "tool_use_id"].iter().find_map(|key| word(part.get(key)));
                let result =
                    ["response", "result", "output", "content"].iter().find_map(|key| part.get(key)).cloned();
                let content = match result {
                    None => Value::Null,
                    Some(text @ Value::String(_)) => text,
                    Some(other) => Value::from(json_text(&other)),
                };
                self.results.push(object([
                    ("role", "tool".into()),
                    ("content", content),
                    ("name", Value::from(word(part.get("toolName")).map(str::to_owned))),
                    ("tool_call_id", Value::from(id.map(str::to_owned))),
                    ("tool_calls", Value::Array(Vec::new())),
                ]));
            }
            // Media: that it was there, without its bytes.
            Some(kind) => self.texts.push(object([("type", Value::from(kind.to_owned()))])),
        }
    }

    fn finish(self, role: &str, name: Option<&str>, answers: Option<&str>) -> Option<Vec<Value<'t>>> {
        let mut messages = Vec::new();
        if !self.texts.is_empty() || !self.calls.is_empty() {
            messages.push(object([
                ("role", Value::from(role.to_owned())),
                ("content", if self.texts.is_empty() { Value::Null } else { Value::Array(self.texts) }),
                ("name", Value::from(name.map(str::to_owned))),
                ("tool_call_id", Value::from(answers.map(str::to_owned))),
                ("tool_calls", Value::Array(self.calls)),
            ]));
        }
        messages.extend(self.results);
        (!messages.is_empty()).then_some(messages)
    }
}
