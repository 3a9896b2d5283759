//! From the values that a spec's expressions give to an evidence record.
//!
//! Rests on `record` and `base::json`. Invariants: null and absent are the same and stay null (never 0, never an empty
//! string); a value of another kind than its field takes is refused with the field's name; text is taken as it is.

use std::borrow::Cow;

use crate::base::json::RawJson;
use crate::base::json::Value;
use crate::record::Comparison;
use crate::record::EvidenceRecord;
use crate::record::HumanOverride;
use crate::record::Message;
use crate::record::Model;
use crate::record::Observer;
use crate::record::PassFail;
use crate::record::Provenance;
use crate::record::RetrievedContext;
use crate::record::SchemaTag;
use crate::record::ToolCall;
use crate::record::Usage;

/// A field of evidence that a spec can fill.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// A field with a fixed name: its place in [`Field::KNOWN`].
    Known(usize),
    /// `validation.<name>`
    Validation(String),
}

impl Field {
    /// The names as a spec writes them. `validation.outcome` stands for `validation.<any name>`.
    pub const KNOWN: &'static [&'static str] = &[
        "run_id",
        "task_id",
        "instruction",
        "context",
        "response",
        "messages",
        "retrieved_context",
        "success_markers",
        "failure_markers",
        "tags",
        "synthetic_depth",
        "model.provider",
        "model.name",
        "model.role",
        "observer.verdict",
        "observer.confidence",
        "observer.by",
        "human.verdict",
        "human.by",
        "human.at",
        "human.reason",
        "comparison.group",
        "comparison.rank",
        "usage.prompt_tokens",
        "usage.completion_tokens",
        "usage.cached_tokens",
        "usage.latency_ms",
        "usage.cost_usd",
        "validation.outcome",
    ];

    /// The field of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name.strip_prefix("validation.") {
            Some("") => None,
            Some(check) => Some(Self::Validation(check.to_owned())),
            None => Self::KNOWN.iter().position(|known| *known == name).map(Self::Known),
        }
    }

    /// Its name.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Known(at) => Cow::Borrowed(Self::KNOWN[*at]),
            Self::Validation(check) => Cow::Owned(format!("validation.{check}")),
        }
    }
}

/// A value that its field does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, found {found}")]
pub struct FieldError {
    /// The field, with the place inside it: `messages[3].role`.
    pub field: String,
    /// What it takes.
    pub expected: &'static str,
    /// What was found.
    pub found: String,
}

fn refuse<T>(field: impl Into<String>, expected: &'static str, found: &Value<'_>) -> Result<T, FieldError> {
    let found = match found {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => format!("the number {}", shortened(n)),
        Value::String(s) => format!("the string {:?}", shortened(s)),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    Err(FieldError { field: field.into(), expected, found })
}

fn shortened(text: &str) -> String {
    const SHOWN_CHARS: usize = 40;
    let mut short: String = text.chars().take(SHOWN_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// An evidence record being filled.
pub struct Builder {
    record: EvidenceRecord,
    verdict: Option<String>,
    confidence: Option<f64>,
    observed_by: Option<String>,
    human: [Option<String>; 4],
    group: Option<String>,
    rank: Option<u64>,
}

impl Builder {
    /// A record of `stream` that holds nothing but its key and provenance.
    pub fn new(stream: &str, key: String, provenance: Provenance) -> Self {
        let record = EvidenceRecord {
            comparison: None,
            context: None,
            failure_markers: Vec::new(),
            human_override: None,
            instruction: None,
            key,
            messages: Vec::new(),
            model: Model::default(),
            observer: None,
            recorded_at: provenance.recorded_at.clone(),
            provenance,
            response: None,
            retrieved_context: Vec::new(),
            run_id: None,
            schema: SchemaTag::new(),
            stream: stream.to_owned(),
            success_markers: Vec::new(),
            synthetic_depth: 0,
            tags: Vec::new(),
            task_id: None,
            usage: Usage::default(),
            validation_results: std::collections::BTreeMap::new(),
        };
        Self {
            record,
            verdict: None,
            confidence: None,
            observed_by: None,
            human: [None, None, None, None],
            group: None,
            rank: None,
        }
    }

    /// Fills one field; null leaves it as it is.
    ///
    /// # Errors
    /// When the field does not take such a value.
    pub fn set(&mut self, field: &Field, value: Cow<'_, Value<'_>>) -> Result<(), FieldError> {
        if matches!(*value, Value::Null) {
            return Ok(());
        }
        let at = match field {
            Field::Validation(check) => {
                let result = pass_fail(field, &value)?;
                self.record.validation_results.insert(check.clone(), result);
                return Ok(());
            }
            Field::Known(at) => Field::KNOWN[*at],
        };
        let record = &mut self.record;
        match at {
            "run_id" => record.run_id = word(at, value)?,
            "task_id" => record.task_id = word(at, value)?,
            "instruction" => record.instruction = Some(text(at, value)?),
            "context" => record.context = Some(text(at, value)?),
            "response" => record.response = Some(text(at, value)?),
            "messages" => record.messages = messages(&value)?,
            "retrieved_context" => record.retrieved_context = retrieved(&value)?,
            "success_markers" => record.success_markers = words(at, &value)?,
            "failure_markers" => record.failure_markers = words(at, &value)?,
            "tags" => record.tags = words(at, &value)?,
            "synthetic_depth" => record.synthetic_depth = count(at, &value)?,
            "model.provider" => record.model.provider = word(at, value)?,
            "model.name" => record.model.name = word(at, value)?,
            "model.role" => record.model.role = word(at, value)?,
            "observer.verdict" => self.verdict = word(at, value)?,
            "observer.confidence" => self.confidence = Some(number(at, &value)?),
            "observer.by" => self.observed_by = word(at, value)?,
            "human.verdict" => self.human[0] = word(at, value)?,
            "human.by" => self.human[1] = word(at, value)?,
            "human.at" => self.human[2] = word(at, value)?,
            "human.reason" => self.human[3] = word(at, value)?,
            "comparison.group" => self.group = word(at, value)?,
            "comparison.rank" => self.rank = Some(count(at, &value)?),
            "usage.prompt_tokens" => record.usage.prompt_tokens = Some(count(at, &value)?),
            "usage.completion_tokens" => record.usage.completion_tokens = Some(count(at, &value)?),
            "usage.cached_tokens" => record.usage.cached_tokens = Some(count(at, &value)?),
            "usage.latency_ms" => record.usage.latency_ms = Some(amount(at, &value)?),
            "usage.cost_usd" => record.usage.cost_usd = Some(amount(at, &value)?),
            // `validation.outcome` is the one name left, and it parses as `Field::Validation`.
            _ => {}
        }
        Ok(())
    }

    /// The record. An observer or a human without a verdict said nothing; a comparison needs group and rank.
    pub fn finish(self) -> EvidenceRecord {
        let mut record = self.record;
        record.observer = self.verdict.map(|verdict| Observer {
            by: self.observed_by,
            confidence: self.confidence,
            verdict,
        });
        let [verdict, by, at, reason] = self.human;
        record.human_override = verdict.map(|verdict| HumanOverride { at, by, reason, verdict });
        record.comparison = self.group.zip(self.rank).map(|(group, rank)| Comparison { group, rank });
        record
    }
}

/// A string as it is; a number as its canonical text.
fn text(field: &str, value: Cow<'_, Value<'_>>) -> Result<String, FieldError> {
    match value {
        Cow::Borrowed(Value::String(s) | Value::Number(s)) => Ok(s.as_ref().to_owned()),
        Cow::Owned(Value::String(s) | Value::Number(s)) => Ok(s.into_owned()),
        other => refuse(field, "a string", &other),
    }
}

/// As [`text`], where an empty string says nothing.
fn word(field: &str, value: Cow<'_, Value<'_>>) -> Result<Option<String>, FieldError> {
    text(field, value).map(|text| Some(text).filter(|t| !t.trim().is_empty()))
}

/// A string or an array of strings; empty ones say nothing.
fn words(field: &str, value: &Value<'_>) -> Result<Vec<String>, FieldError> {
    let one = |field: &str, value: &Value<'_>| match value {
        Value::Null => Ok(None),
        other => word(field, Cow::Borrowed(other)),
    };
    match value {
        Value::Array(items) => {
            let each = items.iter().enumerate().map(|(n, item)| one(&format!("{field}[{n}]"), item));
            each.filter_map(Result::transpose).collect()
        }
        Value::String(_) | Value::Number(_) => Ok(one(field, value)?.into_iter().collect()),
        other => refuse(field, "a string or an array of strings", other),
    }
}

/// A whole number that is not negative; a string of digits too.
fn count(field: &str, value: &Value<'_>) -> Result<u64, FieldError> {
    let digits = match value {
        Value::Number(n) => n,
        Value::String(s) => s,
        other => return refuse(field, "a whole number, not negative", other),
    };
    if digits.bytes().all(|b| b.is_ascii_digit())
        && let Ok(count) = digits.parse()
    {
        return Ok(count);
    }
    refuse(field, "a whole number, not negative", value)
}

/// A number; a string that is one too.
fn number(field: &str, value: &Value<'_>) -> Result<f64, FieldError> {
    let digits = match value {
        Value::Number(n) => n,
        Value::String(s) => s,
        other => return refuse(field, "a number", other),
    };
    // Rust also reads `inf`, `nan` and `+1`; JSON does not.
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'e' | b'E' | b'+'));
    match digits.parse::<f64>() {
        Ok(number) if plain && number.is_finite() && !digits.starts_with('+') => Ok(number),
        _ => refuse(field, "a number", value),
    }
}

/// As [`number`], not negative.
fn amount(field: &str, value: &Value<'_>) -> Result<f64, FieldError> {
    let amount = number(field, value)?;
    if amount < 0.0 { refuse(field, "a number, not negative", value) } else { Ok(amount) }
}

fn pass_fail(field: &Field, value: &Value<'_>) -> Result<PassFail, FieldError> {
    let is = |text: &str, word: &str| text.eq_ignore_ascii_case(word);
    match value {
        Value::Bool(true) => Ok(PassFail::Pass),
        Value::Bool(false) => Ok(PassFail::Fail),
        Value::String(s) if is(s, "pass") || is(s, "passed") => Ok(PassFail::Pass),
        Value::String(s) if is(s, "fail") || is(s, "failed") => Ok(PassFail::Fail),
        other => refuse(field.name(), "true, false, \"pass\", \"fail\" or null", other),
    }
}

/// The member of an object, where null is as good as absent.
fn member<'v>(object: &'v Value<'v>, name: &str) -> Option<&'v Value<'v>> {
    object.get(name).filter(|value| !matches!(value, Value::Null))
}

fn member_word(object: &Value<'_>, name: &str, field: &str) -> Result<Option<String>, FieldError> {
    member(object, name).map_or(Ok(None), |v| word(&format!("{field}.{name}"), Cow::Borrowed(v)))
}

fn messages(value: &Value<'_>) -> Result<Vec<Message>, FieldError> {
    let Value::Array(items) = value else { return refuse("messages", "an array of messages", value) };
    items.iter().enumerate().map(|(n, item)| message(&format!("messages[{n}]"), item)).collect()
}

fn message(field: &str, value: &Value<'_>) -> Result<Message, FieldError> {
    if !matches!(value, Value::Object(_)) {
        return refuse(field, "a message with a role", value);
    }
    let Some(role) = member_word(value, "role", field)? else {
        return refuse(format!("{field}.role"), "a role", value.get("role").unwrap_or(&Value::Null));
    };
    let calls = match member(value, "tool_calls") {
        None => Vec::new(),
        Some(Value::Array(items)) => items
            .iter()
            .enumerate()
            .map(|(n, item)| tool_call(&format!("{field}.tool_calls[{n}]"), item))
            .collect::<Result<_, _>>()?,
        Some(other) => return refuse(format!("{field}.tool_calls"), "an array of tool calls", other),
    };
    Ok(Message {
        content: content(&format!("{field}.content"), value.get("content").unwrap_or(&Value::Null))?,
        name: member_word(value, "name", field)?,
        role,
        tool_call_id: member_word(value, "tool_call_id", field)?,
        tool_calls: calls,
    })
}

/// A string, or parts: the text of text parts and the canonical JSON of others, one line each.
fn content(field: &str, value: &Value<'_>) -> Result<Option<String>, FieldError> {
    match value {
        Value::Null => Ok(None),
        Value::String(s) => Ok(Some(s.as_ref().to_owned())),
        Value::Object(_) => Ok(Some(part(value))),
        Value::Array(parts) if parts.is_empty() => Ok(None),
        Value::Array(parts) => Ok(Some(parts.iter().map(part).collect::<Vec<_>>().join("\n"))),
        other => refuse(field, "a string, null or an array of parts", other),
    }
}

fn part(value: &Value<'_>) -> String {
    if let Value::String(text) = value {
        return text.as_ref().to_owned();
    }
    let is_text = match value.get("type") {
        None => true,
        Some(Value::String(kind)) => matches!(kind.as_ref(), "text" | "input_text" | "output_text"),
        Some(_) => false,
    };
    match value.get("text") {
        Some(Value::String(text)) if is_text => text.as_ref().to_owned(),
        _ => json_text(value),
    }
}

fn json_text(value: &Value<'_>) -> String {
    let mut bytes = Vec::new();
    value.write(&mut bytes);
    // Canonical JSON is UTF-8 by definition.
    String::from_utf8(bytes).unwrap_or_default()
}

/// `{id, function: {name, arguments}}` or `{id, name, arguments}`.
fn tool_call(field: &str, value: &Value<'_>) -> Result<ToolCall, FieldError> {
    if !matches!(value, Value::Object(_)) {
        return refuse(field, "a tool call with a name", value);
    }
    let function = member(value, "function").unwrap_or(value);
    let Some(name) = member_word(function, "name", field)? else {
        return refuse(format!("{field}.name"), "a name", function.get("name").unwrap_or(&Value::Null));
    };
    let (arguments, arguments_object) = match member(function, "arguments") {
        None => (String::new(), None),
        Some(Value::String(raw)) => {
            let object = raw.trim_start().starts_with('{').then(|| RawJson::new(raw.as_bytes()).ok());
            (raw.as_ref().to_owned(), object.flatten())
        }
        Some(object @ Value::Object(_)) => (json_text(object), RawJson::try_from(object).ok()),
        Some(other) => return refuse(format!("{field}.arguments"), "a string or an object", other),
    };
    Ok(ToolCall { arguments, arguments_object, id: member_word(value, "id", field)?, name })
}

fn retrieved(value: &Value<'_>) -> Result<Vec<RetrievedContext>, FieldError> {
    let Value::Array(items) = value else {
        return refuse("retrieved_context", "an array of strings or objects", value);
    };
    let one = |(n, item): (usize, &Value<'_>)| {
        let field = format!("retrieved_context[{n}]");
        match item {
            Value::String(s) => {
                Ok(RetrievedContext { content: Some(s.as_ref().to_owned()), ..RetrievedContext::default() })
            }
            Value::Object(_) => Ok(RetrievedContext {
                content: match member(item, "content").or_else(|| member(item, "text")) {
                    None => None,
                    Some(v) => Some(text(&format!("{field}.content"), Cow::Borrowed(v))?),
                },
                id: member_word(item, "id", &field)?,
                score: match member(item, "score") {
                    None => None,
                    Some(v) => Some(number(&format!("{field}.score"), v)?),
                },
            }),
            other => refuse(field, "a string or an object", other),
        }
    };
    items.iter().enumerate().map(one).collect()
}
