//! The JSON of the chat protocol: what is sent, and what is read of an answer.
//!
//! Rests on canonical JSON, so that one prompt is one sequence of bytes. Invariants: of an answer only what is needed is read, so
//! that a server may add what it likes; an answer without a text is no answer.

use serde::Serialize;
use serde_json::Value;

use super::endpoint::Dialect;
use super::error::ModelError;
use super::error::shortened;
use super::{Message, Request};
use crate::base::json;

#[derive(Serialize)]
struct Body<'a> {
    max_tokens: u32,
    messages: &'a [Message],
    model: &'a str,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    temperature: f64,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// The body of a request.
pub(super) fn body(request: &Request, model: &str, dialect: Dialect) -> Result<Vec<u8>, ModelError> {
    let stream = dialect == Dialect::OpenAi;
    let body = Body {
        max_tokens: request.max_tokens,
        messages: &request.messages,
        model,
        stream,
        stream_options: stream.then_some(StreamOptions { include_usage: true }),
        temperature: request.temperature,
    };
    json::to_canonical(&body).map_err(|error| ModelError::Unwritable { detail: error.to_string() })
}

/// What one JSON object of an answer says: the whole of it, or one event of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// Text, where it has some.
    pub text: Option<String>,
    pub finish_reason: Option<String>,
    pub model: Option<String>,
    pub prompt_tokens: Option<u64>,
    pub completion_tokens: Option<u64>,
    /// What the server complains of in place of an answer.
    pub error: Option<String>,
    /// It has the form of Ollama's own API, which heeds neither `max_tokens` nor `temperature` where they stand.
    pub is_own_of_ollama: bool,
}

/// Reads one JSON object.
pub(super) fn piece(value: &Value) -> Piece {
    let usage = &value["usage"];
    let choice = &value["choices"][0];
    let from_choice = [&choice["delta"]["content"], &choice["message"]["content"], &choice["text"]];
    let from_gateway = [
        &value["content"],
        &value["message"]["content"],
        &value["response"],
        &value["text"],
        &value["answer"],
    ];
    let mut places = from_choice.into_iter().chain(from_gateway);
    let reason = [&choice["finish_reason"], &value["finish_reason"], &value["done_reason"]];
    Piece {
        text: places.find_map(content),
        finish_reason: reason.into_iter().find_map(Value::as_str).map(str::to_owned),
        model: value["model"].as_str().map(str::to_owned),
        prompt_tokens: count(usage, &["prompt_tokens", "input_tokens"]),
        completion_tokens: count(usage, &["completion_tokens", "output_tokens"]),
        error: complaint(value),
        is_own_of_ollama: value["done"].is_boolean()
            && value.get("choices").is_none()
            && value["created_at"].is_string(),
    }
}

/// A text, or the texts of a list of parts.
fn content(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            (!texts.is_empty()).then(|| texts.concat())
        }
        _ => None,
    }
}

fn count(usage: &Value, names: &[&str]) -> Option<u64> {
    names.iter().find_map(|name| usage[name].as_u64())
}

/// What a server says in place of an answer: `{"error": "…"}` or `{"error": {"message": "…"}}`.
pub(super) fn complaint(value: &Value) -> Option<String> {
    let error = value.get("error").filter(|error| !error.is_null())?;
    let text = error.as_str().or_else(|| error["message"].as_str());
    Some(text.map_or_else(|| shortened(&error.to_string()), shortened))
}

/// What the body of a refusal says, in whatever form.
pub(super) fn refusal(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let other = || ["message", "detail"].iter().find_map(|name| value[name].as_str()).map(shortened);
    complaint(&value).or_else(other).unwrap_or_else(|| shortened(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_sequence_of_bytes() {
        let request =
            Request { messages: vec![Message::new("user", "Say \"one\"")], max_tokens: 9, temperature: 0.0 };
        let text = |dialect| String::from_utf8(body(&request, "m", dialect).expect("JSON")).expect("UTF-8");
        assert_eq!(
            text(Dialect::OpenAi),
            "{\"max_tokens\":9,\"messages\":[{\"content\":\"Say \\\"one\\\"\",\"role\":\"user\"}],\"model\":\"m\",\
             \"stream\":true,\"stream_options\":{\"include_usage\":true},\"temperature\":0}"
        );
        assert!(text(Dialect::Plain).contains("\"stream\":false,\"temperature\""));
    }

    #[test]
    fn every_form_of_an_answer_is_read() {
        for (answer, text) in [
            (r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#, Some("a")),
            (r#"{"choices":[{"delta":{"content":"b"}}]}"#, Some("b")),
            (r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#, None),
            (
                r#"{"choices":[{"message":{"content":[{"type":"text","text":"c"},{"text":"d"}]}}]}"#,
                Some("cd"),
            ),
            (r#"{"content":"e"}"#, Some("e")),
            (r#"{"message":{"role":"assistant","content":"f"},"done_reason":"stop"}"#, Some("f")),
            (r#"{"choices":[],"usage":{"prompt_tokens":3}}"#, None),
        ] {
            let value = serde_json::from_str(answer).expect("JSON");
            assert_eq!(piece(&value).text.as_deref(), text, "{answer}");
        }
        let value = serde_json::json!({"usage": {"prompt_tokens": 3, "completion_tokens": 4}, "model": "m"});
        let read = piece(&value);
        assert_eq!(
            (read.prompt_tokens, read.completion_tokens, read.model.as_deref()),
            (Some(3), Some(4), Some("m"))
        );
    }

    #[test]
    fn every_form_of_a_refusal_is_read() {
        for (body, said) in [
            (r#"{"error":{"message":"model 'x' not found"}}"#, "model 'x' not found"),
            (r#"{"error":"no"}"#, "no"),
            (r#"{"detail":"gone"}"#, "gone"),
            ("<html>\n  Bad Gateway", "<html> Bad Gateway"),
            ("", ""),
        ] {
            assert_eq!(refusal(body.as_bytes()), said);
        }
    }
}
