//! What a source holds and what its spec makes of it: the figures behind `health`.
//!
//! Rests on plain counting. Invariant: merging the counts of several workers gives the same report in any order. Lists
//! that the data could make endless keep their first names in order and count the rest together.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde::Serialize;

use crate::base::json::Value;
use crate::pipeline::evidence::Field;
use crate::record::EvidenceRecord;
use crate::record::PassFail;

use super::adapter::Reads;
use super::fate::Outcome;
use super::members::Members;
use super::shape::Notes;

/// The most source keys, and the most values of one verdict field, that are told apart.
pub const NAMES_MAX: usize = 1_000;

/// Counts under names. Past [`NAMES_MAX`] names, those that come last in order are counted together; since a name that
/// was pushed out stays after all that are kept, the counts of the kept ones are exact in any order of counting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Count by name.
    pub counts: BTreeMap<String, u64>,
    /// Sum of the counts of all other names.
    pub others: u64,
}

impl Tally {
    fn add(&mut self, name: &str, count: u64) {
        self.add_within(name, count, NAMES_MAX);
    }

    /// Counts under `name`, of which `max` are told apart.
    pub(super) fn add_within(&mut self, name: &str, count: u64, max: usize) {
        if let Some(known) = self.counts.get_mut(name) {
            *known += count;
            return;
        }
        self.counts.insert(name.to_owned(), count);
        if self.counts.len() > max
            && let Some((_, last)) = self.counts.pop_last()
        {
            self.others += last;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.merge_within(other, NAMES_MAX);
    }

    pub(super) fn merge_within(&mut self, other: &Self, max: usize) {
        for (name, count) in &other.counts {
            self.add_within(name, *count, max);
        }
        self.others += other.others;
    }
}

/// Counts of one source, or of one worker's part of it.
///
/// What its spec reads is not part of the counts: written and read again they know it no more, until they are merged
/// into [`super::Adapter::coverage`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    units: u64,
    records: u64,
    fields: BTreeMap<String, u64>,
    members: Members,
    verdicts: BTreeMap<String, Tally>,
    skipped: BTreeMap<String, u64>,
    quarantined: BTreeMap<String, u64>,
    noted: Tally,
    #[serde(skip)]
    read: BTreeSet<(String, bool)>,
    #[serde(skip)]
    named: BTreeSet<String>,
    #[serde(skip)]
    everything: bool,
    #[serde(skip)]
    each: bool,
}

/// A member name of the source rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeySeen {
    /// `name`, or `name.nested`; `name[].nested` inside the elements of an array.
    pub key: String,
    /// How often it was there.
    pub seen: u64,
    /// Bytes of its names and values in canonical form, without those of nested members that have a line of their own.
    pub bytes: u64,
    /// Does any expression read it?
    pub read: bool,
}

/// A member whose values are words that tell kinds of rows apart, such as `type` or `messages[].role`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KindSeen {
    /// Its path.
    pub key: String,
    /// Its values, in order.
    pub values: Vec<KindValue>,
    /// How often it had a value beyond those told apart; above 0 it is no discriminator.
    pub others: u64,
}

/// One value of a discriminator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KindValue {
    /// The value.
    pub value: String,
    /// How often it was there.
    pub seen: u64,
    /// Does the word stand in an expression of the spec?
    pub named: bool,
}

/// The figures of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CoverageReport {
    /// Units seen.
    pub units: u64,
    /// Records made.
    pub records: u64,
    /// For each evidence field that any record filled: how many did.
    pub fields: BTreeMap<String, u64>,
    /// Member names of the rows, in order.
    pub keys: Vec<KeySeen>,
    /// How often a name beyond the first [`NAMES_MAX`] was there.
    pub other_keys: u64,
    /// Bytes of all members, in canonical form.
    pub bytes: u64,
    /// Those of them that are in members that an expression reads.
    pub bytes_read: u64,
    /// Members that tell kinds of rows apart.
    pub kinds: Vec<KindSeen>,
    /// Values of the fields that carry a verdict.
    pub verdicts: BTreeMap<String, Tally>,
    /// Units left out, by rule.
    pub skipped: BTreeMap<String, u64>,
    /// Units refused, by reason.
    pub quarantined: BTreeMap<String, u64>,
    /// What the spec's shape met inside the units: kinds of lines and spans, and what it could not make sense of.
    pub noted: Tally,
}

impl Coverage {
    /// Adds the counts of another worker.
    pub fn merge(&mut self, other: &Self) {
        self.units += other.units;
        self.records += other.records;
        self.members.merge(&other.members);
        self.noted.merge(&other.noted);
        for (mine, theirs) in [
            (&mut self.fields, &other.fields),
            (&mut self.skipped, &other.skipped),
            (&mut self.quarantined, &other.quarantined),
        ] {
            for (name, count) in theirs {
                *mine.entry(name.clone()).or_default() += count;
            }
        }
        for (field, tally) in &other.verdicts {
            self.verdicts.entry(field.clone()).or_default().merge(tally);
        }
        self.read.extend(other.read.iter().cloned());
        self.named.extend(other.named.iter().cloned());
        self.everything |= other.everything;
        self.each |= other.each;
    }

    /// No counts, and what `reads` says.
    pub(super) fn of(reads: &Reads) -> Self {
        let mut coverage = Self::default();
        coverage.know(reads);
        coverage
    }

    fn know(&mut self, reads: &Reads) {
        self.read.extend(reads.names.iter().cloned());
        self.named.extend(reads.literals.iter().cloned());
        self.everything |= reads.everything;
        self.each |= reads.each;
    }

    /// The figures.
    pub fn report(&self) -> CoverageReport {
        let keys = self.members.weights.iter().map(|(key, weight)| KeySeen {
            key: key.clone(),
            seen: weight.seen,
            bytes: weight.bytes,
            read: self.is_read(key),
        });
        let keys: Vec<KeySeen> = keys.collect();
        let others = self.members.others;
        let kinds = self.members.kinds.iter().map(|(key, words)| KindSeen {
            key: key.clone(),
            values: (words.counts.iter())
                .map(|(word, seen)| KindValue {
                    value: word.clone(),
                    seen: *seen,
                    named: self.named.contains(word),
                })
                .collect(),
            others: words.others,
        });
        CoverageReport {
            units: self.units,
            records: self.records,
            fields: self.fields.clone(),
            bytes: keys.iter().map(|key| key.bytes).sum::<u64>() + others.bytes,
            bytes_read: keys.iter().filter(|key| key.read).map(|key| key.bytes).sum::<u64>()
                + if self.everything { others.bytes } else { 0 },
            kinds: kinds.collect(),
            keys,
            other_keys: others.seen,
            verdicts: self.verdicts.clone(),
            skipped: self.skipped.clone(),
            quarantined: self.quarantined.clone(),
            noted: self.noted.clone(),
        }
    }

    fn is_read(&self, key: &str) -> bool {
        let named = |name: &str| {
            self.read.contains(&(name.to_owned(), true)) || self.read.contains(&(name.to_owned(), false))
        };
        if self.everything {
            return true;
        }
        match key.split_once("[].").or_else(|| key.split_once('.')) {
            None => self.each || named(key),
            Some((outer, inner)) => {
                self.read.contains(&(outer.to_owned(), true)) || named(inner) || named(key)
            }
        }
    }

    /// Counts the member names of a row.
    pub(super) fn see(&mut self, row: &Value<'_>, reads: &Reads) {
        if self.units == 0 || self.read.is_empty() {
            self.know(reads);
        }
        self.members.see(row);
    }

    /// Counts what a shape met inside a unit.
    pub(super) fn note(&mut self, notes: &Notes) {
        for (name, count) in &notes.0 {
            self.noted.add(name, *count);
        }
    }

    /// Counts a unit's fate and what its records hold.
    pub(super) fn count(&mut self, outcome: &Outcome) {
        self.units += 1;
        match outcome {
            Outcome::Skipped { rule } => *self.skipped.entry(rule.clone()).or_default() += 1,
            Outcome::Quarantined { reason, .. } => {
                *self.quarantined.entry((*reason).to_owned()).or_default() += 1;
            }
            Outcome::Records(drafts) => {
                for draft in drafts {
                    self.records += 1;
                    self.count_record(&draft.record);
                }
            }
        }
    }

    fn count_record(&mut self, record: &EvidenceRecord) {
        for name in Field::KNOWN.iter().filter(|name| is_filled(record, name)) {
            bump(&mut self.fields, name);
        }
        if record.recorded_at.is_some() {
            bump(&mut self.fields, "recorded_at");
        }
        let mut verdicts: Vec<(String, &str)> = Vec::new();
        for (check, result) in &record.validation_results {
            let field = format!("validation.{check}");
            if check != "outcome" {
                bump(&mut self.fields, &field);
            }
            verdicts.push((field, if *result == PassFail::Pass { "pass" } else { "fail" }));
        }
        verdicts.extend(record.observer.iter().map(|o| ("observer.verdict".to_owned(), o.verdict.as_str())));
        verdicts
            .extend(record.human_override.iter().map(|h| ("human.verdict".to_owned(), h.verdict.as_str())));
        for (field, markers) in
            [("success_markers", &record.success_markers), ("failure_markers", &record.failure_markers)]
        {
            verdicts.extend(markers.iter().map(|marker| (field.to_owned(), marker.as_str())));
        }
        for (field, verdict) in verdicts {
            self.verdicts.entry(field).or_default().add(verdict, 1);
        }
    }
}

fn bump(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.to_owned(), 1);
        }
    }
}

/// The names of the evidence fields that `record` has: the known ones in order, `recorded_at`, then its other checks.
pub fn filled(record: &EvidenceRecord) -> Vec<String> {
    let known = Field::KNOWN.iter().filter(|name| is_filled(record, name)).map(|name| (*name).to_owned());
    let time = record.recorded_at.iter().map(|_| "recorded_at".to_owned());
    let checks = record.validation_results.keys().filter(|check| *check != "outcome");
    known.chain(time).chain(checks.map(|check| format!("validation.{check}"))).collect()
}

fn is_filled(record: &EvidenceRecord, field: &str) -> bool {
    let (observer, human) = (record.observer.as_ref(), record.human_override.as_ref());
    match field {
        "run_id" => record.run_id.is_some(),
        "task_id" => record.task_id.is_some(),
        "instruction" => record.instruction.is_some(),
        "context" => record.context.is_some(),
        "response" => record.response.is_some(),
        "messages" => !record.messages.is_empty(),
        "retrieved_context" => !record.retrieved_context.is_empty(),
        "success_markers" => !record.success_markers.is_empty(),
        "failure_markers" => !record.failure_markers.is_empty(),
        "tags" => !record.tags.is_empty(),
        "synthetic_depth" => record.synthetic_depth > 0,
        "model.provider" => record.model.provider.is_some(),
        "model.name" => record.model.name.is_some(),
        "model.role" => record.model.role.is_some(),
        "observer.verdict" => observer.is_some(),
        "observer.confidence" => observer.is_some_and(|o| o.confidence.is_some()),
        "observer.by" => observer.is_some_and(|o| o.by.is_some()),
        "human.verdict" => human.is_some(),
        "human.by" => human.is_some_and(|h| h.by.is_some()),
        "human.at" => human.is_some_and(|h| h.at.is_some()),
        "human.reason" => human.is_some_and(|h| h.reason.is_some()),
        "comparison.group" | "comparison.rank" => record.comparison.is_some(),
        "usage.prompt_tokens" => record.usage.prompt_tokens.is_some(),
        "usage.completion_tokens" => record.usage.completion_tokens.is_some(),
        "usage.cached_tokens" => record.usage.cached_tokens.is_some(),
        "usage.latency_ms" => record.usage.latency_ms.is_some(),
        "usage.cost_usd" => record.usage.cost_usd.is_some(),
        "validation.outcome" => record.validation_results.contains_key("outcome"),
        _ => false,
    }
}
