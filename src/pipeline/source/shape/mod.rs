//! Shapes: native readings of formats for which jq is the wrong tool, named by `shape` in a spec.
//!
//! Rests on `base::json`. A shape turns a unit into one normalised JSON object, the row, which the expressions of the
//! spec then see as any other row: so an operator changes what a field means without Rust. Invariants: a pure function of
//! the unit's bytes; whatever the format did not promise is counted by name in [`Shaped::noted`], never a panic and never
//! silence; name and version are part of the spec's id, so that no result of an older reading is taken over.

mod claude_code;
mod otel;
mod texts;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::base::json::Value;

pub(super) use texts::Text;
pub(super) use texts::texts;

/// A native reading of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A session of Claude Code: lines that form a tree.
    ClaudeCode,
    /// Spans of OpenTelemetry, with `GenAI` or `OpenInference` attributes.
    OtelSpans,
}

/// A unit in its normal form.
#[derive(Debug)]
pub(super) struct Shaped<'t> {
    /// The row.
    pub(super) value: Value<'t>,
    /// What was met inside the unit, by name: kinds of lines and spans, and what could not be made sense of.
    pub(super) noted: Notes,
}

/// Counts by name.
#[derive(Debug, Default)]
pub(super) struct Notes(pub(super) BTreeMap<String, u64>);

impl Notes {
    fn add(&mut self, name: impl Into<String>) {
        *self.0.entry(name.into()).or_default() += 1;
    }

    /// Counts `what` under a word that the data chose, of which only the beginning is kept.
    fn add_word(&mut self, what: &str, word: &str) {
        const WORD_CHARS_MAX: usize = 60;
        self.add(format!("{what} {:?}", word.chars().take(WORD_CHARS_MAX).collect::<String>()));
    }
}

/// Why a unit has no normal form: reason code and detail.
pub(super) type Refusal = (&'static str, String);

impl Shape {
    pub(super) const NAMES: [&'static str; 2] = ["claude-code", "otel-spans"];

    /// The shape of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::ClaudeCode, Self::OtelSpans].into_iter().find(|shape| shape.as_str() == name)
    }

    /// Its name in specs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClaudeCode => Self::NAMES[0],
            Self::OtelSpans => Self::NAMES[1],
        }
    }

    /// Counts up with every change of what it makes of the same bytes.
    pub const fn version(self) -> u32 {
        match self {
            Self::ClaudeCode => claude_code::VERSION,
            Self::OtelSpans => otel::VERSION,
        }
    }

    /// The normal form of a unit, given as the JSON texts that it holds. `canonical` has the canonical bytes.
    ///
    /// # Errors
    /// When the unit as a whole must be refused.
    pub(super) fn apply<'t>(self, canonical: &'t [u8], texts: &[Text]) -> Result<Shaped<'t>, Refusal> {
        match self {
            Self::ClaudeCode => claude_code::shape(canonical, texts),
            Self::OtelSpans => otel::shape(canonical, texts),
        }
    }
}

/// An object with these ASCII members, which differ.
fn object<'t, const N: usize>(members: [(&'static str, Value<'t>); N]) -> Value<'t> {
    let mut members: Vec<(Cow<'t, str>, Value<'t>)> =
        members.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect();
    // ASCII names in byte order are in canonical order.
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
    Value::Object(members)
}

/// The text of a string that says something.
fn word<'v>(value: Option<&'v Value<'_>>) -> Option<&'v str> {
    value.and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}

/// The arguments of a call in a form that evidence takes: an object, or text.
fn arguments<'t>(value: Option<&Value<'t>>) -> Value<'t> {
    match value {
        None | Some(Value::Null) => Value::Null,
        Some(value @ (Value::Object(_) | Value::String(_))) => value.clone(),
        Some(other) => Value::from(json_text(other)),
    }
}

/// A value as its canonical JSON.
fn json_text(value: &Value<'_>) -> String {
    // Canonical JSON is UTF-8 by definition.
    String::from_utf8(value.to_bytes()).unwrap_or_default()
}
