//! Scoring: one evidence record in, one scored run out, by the policy alone.
//!
//! Rests on `policy` and `signals`. Invariants: no model is asked; every scored run names the rule that decided and at
//! least one reason; the policy's id stands in receipt and commit, not here, so that an edit changes only the rows it
//! decides differently.

use std::collections::BTreeMap;

use crate::object::ObjectId;
use crate::pipeline::policy::Policy;
use crate::pipeline::signals::{Level, Mixture, Outcome, Signals, Text};
use crate::record::EvidenceRecord;
use crate::record::PassFail;
use crate::record::SchemaTag;
use crate::record::ScoredRun;

/// The version of this stage: part of what an unchanged result is recognised by.
pub const VERSION: u32 = 1;

/// Scores `evidence`, whose object id is `evidence_id`, under `policy`.
pub fn score(policy: &Policy, evidence_id: ObjectId, evidence: &EvidenceRecord) -> ScoredRun {
    let signals = Signals::of(evidence, &policy.words);
    let rule = policy.decide(&signals);
    ScoredRun {
        category: rule.category,
        deciding_rule: rule.id.clone(),
        evidence_id,
        key: evidence.key.clone(),
        provenance: evidence.provenance.clone(),
        reasons: reasons(evidence, &signals),
        schema: SchemaTag::new(),
        sub_scores: sub_scores(&signals),
    }
}

/// How well the run did, 0 to 1, by the most trusted signal it has; 0 when it has none.
pub fn success_score(sub_scores: &BTreeMap<String, f64>) -> f64 {
    ["human", "outcome", "validation", "observer", "markers"]
        .iter()
        .find_map(|name| sub_scores.get(*name))
        .copied()
        .unwrap_or(0.0)
}

fn sub_scores(signals: &Signals) -> BTreeMap<String, f64> {
    let mut scores = BTreeMap::new();
    let mut put = |name: &str, value: Option<f64>| {
        if let Some(value) = value {
            scores.insert(name.to_owned(), value);
        }
    };
    put("human", level_score(signals.human));
    put(
        "outcome",
        match signals.outcome {
            Outcome::None => None,
            Outcome::Pass => Some(1.0),
            Outcome::Fail => Some(0.0),
        },
    );
    put("validation", share(signals.checks));
    // A sure rejection is as far from success as a sure acceptance is near it: confidence moves away from one half.
    put(
        "observer",
        level_score(signals.observer).map(|s| match signals.confidence {
            Some(confidence) => 0.5 + (s - 0.5) * confidence,
            None => s,
        }),
    );
    put("markers", share(signals.marker_counts));
    scores
}

fn level_score(level: Level) -> Option<f64> {
    match level {
        Level::Accept => Some(1.0),
        Level::Partial => Some(0.5),
        Level::Reject => Some(0.0),
        Level::None | Level::Review | Level::Unknown => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of checks and markers are far below 2^53")]
fn share((good, all): (usize, usize)) -> Option<f64> {
    (all > 0).then(|| good as f64 / all as f64)
}

/// Every signal the run has, the most trusted first, in words that name their source.
fn reasons(evidence: &EvidenceRecord, signals: &Signals) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(human) = &evidence.human_override {
        let by = human.by.as_deref().unwrap_or("an unnamed person");
        let why = human.reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default();
        reasons.push(format!("human override `{}` by {by}{why}", human.verdict));
    }
    let failed: Vec<&str> = (evidence.validation_results.iter())
        .filter(|(_, result)| **result == PassFail::Fail)
        .map(|(name, _)| name.as_str())
        .collect();
    match signals.validation {
        Mixture::None => {}
        Mixture::Pass => reasons.push(format!("all {} checks passed", signals.checks.1)),
        Mixture::Fail | Mixture::Mixed => {
            reasons.push(format!(
                "{} of {} checks failed: {}",
                failed.len(),
                signals.checks.1,
                failed.join(", ")
            ));
        }
    }
    if let Some(observer) = &evidence.observer {
        let by = observer.by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
        let sure = observer.confidence.map(|c| format!(", confidence {c}")).unwrap_or_default();
        let known = if signals.observer == Level::Unknown { ", a word the policy does not know" } else { "" };
        reasons.push(format!("observer verdict `{}`{by}{sure}{known}", observer.verdict));
    }
    if !evidence.success_markers.is_empty() {
        reasons.push(format!("success markers: {}", evidence.success_markers.join(", ")));
    }
    if !evidence.failure_markers.is_empty() {
        reasons.push(format!("failure markers: {}", evidence.failure_markers.join(", ")));
    }
    if let Some(comparison) = &evidence.comparison {
        reasons.push(format!("rank {} in comparison {}", comparison.rank, comparison.group));
    }
    if reasons.is_empty() {
        reasons.push("no outcome signal".to_owned());
    }
    if signals.response == Text::Empty {
        reasons.push("the response is empty".to_owned());
    }
    reasons
}
