//! Violations and the checks that validators are made of.
//!
//! Rests on `key` and `time` of this module. What always holds: a violation names one field by its path
//! (`messages[2].role`) and says what is wrong with it; checks go on after the first failure.

use std::fmt;
use std::fmt::Display;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::key::RecordKey;
use super::time::is_canonical_time;

/// One field that fails, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Path of the field, such as `messages[2].role`; empty for the record itself.
    pub field: String,
    /// What is wrong with it.
    pub why: String,
}

impl Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.field.is_empty() { "the record" } else { &self.field };
        write!(f, "{field}: {}", self.why)
    }
}

/// The result of a check: of one validation, or of a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PassFail {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
}

/// Collects violations.
#[derive(Debug, Default)]
pub struct Checks(Vec<Violation>);

impl Checks {
    /// No violation yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was found, in the order of the checks.
    pub fn into_violations(self) -> Vec<Violation> {
        self.0
    }

    /// Notes a violation of `field`.
    pub fn fail(&mut self, field: impl Into<String>, why: impl Into<String>) {
        self.0.push(Violation { field: field.into(), why: why.into() });
    }

    /// Notes a violation unless `holds`.
    pub fn require(&mut self, holds: bool, field: impl Display, why: impl Display) {
        // Texts are made where something is wrong alone: every record of every run comes through here.
        if !holds {
            self.fail(field.to_string(), why.to_string());
        }
    }

    /// Text must not be empty or blank.
    pub fn text(&mut self, text: &str, field: impl Display) {
        self.require(!text.trim().is_empty(), field, "is empty");
    }

    /// Text may be null, but not empty: one way to say "absent" is enough.
    pub fn text_or_null(&mut self, text: Option<&str>, field: impl Display) {
        if let Some(text) = text {
            self.require(!text.is_empty(), field, "is empty; absent is null");
        }
    }

    /// Each of several texts must not be blank.
    pub fn texts(&mut self, texts: &[String], field: impl Display) {
        for (n, text) in texts.iter().enumerate() {
            if text.trim().is_empty() {
                self.fail(format!("{field}[{n}]"), "is empty");
            }
        }
    }

    /// A number must be finite and not negative.
    pub fn not_negative(&mut self, number: Option<f64>, field: impl Display) {
        if let Some(number) = number {
            self.require(
                number.is_finite() && number >= 0.0,
                field,
                format_args!("is {number}; it cannot be negative"),
            );
        }
    }

    /// A number must lie within 0 and 1.
    pub fn fraction(&mut self, number: Option<f64>, field: impl Display) {
        if let Some(number) = number {
            self.require(
                (0.0..=1.0).contains(&number),
                field,
                format_args!("is {number}, not within 0 and 1"),
            );
        }
    }

    /// A digest must be 64 lower-case hexadecimal digits.
    pub fn digest(&mut self, digest: Option<&str>, field: impl Display) {
        if let Some(digest) = digest {
            self.require(is_digest(digest), field, "is not 64 lower-case hexadecimal digits");
        }
    }

    /// A time must be in its canonical form: RFC 3339, UTC, `Z`, a fraction only where there is one.
    pub fn canonical_time(&mut self, time: Option<&str>, field: impl Display) {
        if let Some(time) = time {
            let why = format_args!("`{time}` is not a canonical RFC 3339 time in UTC");
            self.require(is_canonical_time(time), field, why);
        }
    }

    /// A record key must parse and lie under the date of `recorded_at`.
    pub fn record_key(&mut self, key: &str, recorded_at: Option<&str>, field: impl Display) {
        match RecordKey::parse(key) {
            Err(error) => self.fail(field.to_string(), error.to_string()),
            Ok(parsed) => {
                let date = RecordKey::date_of(recorded_at);
                let why = format_args!("lies under {}, but recorded_at puts it under {date}", parsed.date());
                self.require(parsed.date() == date, field, why);
            }
        }
    }

    /// A name in lower case, digits, `-` and `_`: a stage, a reason code, a stream.
    pub fn code(&mut self, code: &str, field: impl Display) {
        self.require(
            is_code(code),
            field,
            format_args!("`{code}` is not a name of lower-case letters, digits, `-` and `_`"),
        );
    }
}

/// Whether `text` is 64 lower-case hexadecimal digits.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether `text` is a name of lower-case letters, digits, `-` and `_`.
pub(super) fn is_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_go_on_after_the_first_failure() {
        let mut checks = Checks::new();
        checks.text(" ", "a");
        checks.fraction(Some(f64::NAN), "b");
        checks.not_negative(Some(f64::INFINITY), "c");
        checks.digest(Some("AB"), "d");
        checks.canonical_time(Some("2026-01-02T03:04:05+00:00"), "e");
        checks.texts(&["x".to_owned(), String::new()], "f");
        checks.code("No", "g");
        let fields: Vec<_> = checks.into_violations().into_iter().map(|v| v.field).collect();
        assert_eq!(fields, ["a", "b", "c", "d", "e", "f[1]", "g"]);
    }

    #[test]
    fn what_is_right_is_not_a_violation() {
        let mut checks = Checks::new();
        checks.text("x", "a");
        checks.text_or_null(None, "a");
        checks.fraction(Some(1.0), "a");
        checks.not_negative(Some(0.0), "a");
        checks.digest(None, "a");
        checks.canonical_time(Some("2026-01-02T03:04:05.500Z"), "a");
        checks.record_key("2026/01/02/s/k", Some("2026-01-02T03:04:05Z"), "a");
        checks.record_key("0000/00/00/s/k", None, "a");
        assert_eq!(checks.into_violations(), []);
    }
}
