//! Normalised signals: what a policy sees of an evidence record.
//!
//! Rests on `record`. Invariant: absence is a value of its own (`none`), never a pass and never a zero.

use serde::{Deserialize, Serialize};

use crate::pipeline::policy::Words;
use crate::record::EvidenceRecord;
use crate::record::PassFail;

/// What a judge said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// No judge.
    #[default]
    None,
    /// Good as it is.
    Accept,
    /// Good in part.
    Partial,
    /// Not good.
    Reject,
    /// The judge would not say.
    Review,
    /// A word that the policy does not know.
    Unknown,
}

/// The source's own final result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The source says nothing.
    #[default]
    None,
    /// Passed.
    Pass,
    /// Failed.
    Fail,
}

/// Several signals of one kind together. `success` and `failure` are accepted for markers, `pass` and `fail` for checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mixture {
    /// None at all.
    #[default]
    None,
    /// All good.
    #[serde(alias = "success")]
    Pass,
    /// All bad.
    #[serde(alias = "failure")]
    Fail,
    /// Some good, some bad: a contradiction.
    Mixed,
}

impl Mixture {
    fn of(good: usize, bad: usize) -> Self {
        match (good, bad) {
            (0, 0) => Self::None,
            (_, 0) => Self::Pass,
            (0, _) => Self::Fail,
            _ => Self::Mixed,
        }
    }
}

/// Whether a text is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Text {
    /// Null, or nothing but white space.
    #[default]
    Empty,
    /// Something to read.
    Present,
}

impl Text {
    /// Whether `text` has anything to read.
    pub fn of(text: Option<&str>) -> Self {
        if text.is_some_and(|t| !t.trim().is_empty()) { Self::Present } else { Self::Empty }
    }
}

/// All that a rule may ask about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signals {
    /// The stream.
    pub stream: String,
    /// A person's override.
    pub human: Level,
    /// The check called `outcome`.
    pub outcome: Outcome,
    /// All checks together.
    pub validation: Mixture,
    /// How many checks passed, of how many.
    pub checks: (usize, usize),
    /// An observer's verdict.
    pub observer: Level,
    /// The observer's confidence, 0 to 1.
    pub confidence: Option<f64>,
    /// Markers together.
    pub markers: Mixture,
    /// How many markers speak for success, of how many.
    pub marker_counts: (usize, usize),
    /// A side of a comparison.
    pub comparison: bool,
    /// Whether there is a response.
    pub response: Text,
    /// Generations of model output behind it.
    pub synthetic_depth: u64,
}

impl Signals {
    /// Reads the signals of `evidence` with the policy's word table.
    pub fn of(evidence: &EvidenceRecord, words: &Words) -> Self {
        let checks = &evidence.validation_results;
        let passed = checks.values().filter(|r| **r == PassFail::Pass).count();
        let (good, bad) = (evidence.success_markers.len(), evidence.failure_markers.len());
        Self {
            stream: evidence.stream.clone(),
            human: evidence.human_override.as_ref().map_or(Level::None, |h| words.level(&h.verdict)),
            outcome: match checks.get("outcome") {
                None => Outcome::None,
                Some(PassFail::Pass) => Outcome::Pass,
                Some(PassFail::Fail) => Outcome::Fail,
            },
            validation: Mixture::of(passed, checks.len() - passed),
            checks: (passed, checks.len()),
            observer: evidence.observer.as_ref().map_or(Level::None, |o| words.level(&o.verdict)),
            confidence: evidence.observer.as_ref().and_then(|o| o.confidence),
            markers: Mixture::of(good, bad),
            marker_counts: (good, good + bad),
            comparison: evidence.comparison.is_some(),
            response: Text::of(evidence.response.as_deref()),
            synthetic_depth: evidence.synthetic_depth,
        }
    }
}
