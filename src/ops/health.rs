//! `health`: what every spec reads of its stream and what it leaves, over the files as they are now, and what changed
//! between the last two runs.
//!
//! Rests on the counting of `pipeline::source`, on the engine's reader, and on what runs recorded. Invariants: nothing is
//! written; memory is bounded by the distinct names that the counts tell apart.

mod history;

pub use history::{RunName, Runs};

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ops::ErrorKind;
use crate::ops::OpError;
use crate::ops::Progress;
use crate::ops::engine;
use crate::ops::engine::inputs::read_units;
use crate::ops::setup::Setup;
use crate::pipeline::evidence::Field;
use crate::pipeline::policy::Words;
use crate::pipeline::shift::{self, Change};
use crate::pipeline::signals::Level;
use crate::pipeline::source::Coverage;
use crate::pipeline::source::KeySeen;
use crate::pipeline::source::KindSeen;
use crate::pipeline::source::Tally;
use crate::pipeline::source::UnitInput;
use crate::pipeline::source::decode::BAD_COMPRESSION;
use crate::record::StreamCoverage;
use crate::repo::Site;

/// The streams of a configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// One line a spec, in order of name.
    pub items: Vec<StreamHealth>,
    /// The runs whose recorded coverage is compared; null before the first.
    pub runs: Option<Runs>,
    /// Whether a member, a field or a kind of row came or went between them, in any stream that is shown.
    pub alarm: bool,
}

/// One stream.
#[derive(Clone, Debug, Serialize)]
pub struct StreamHealth {
    /// The spec's name.
    pub spec: String,
    /// Its stream.
    pub stream: String,
    /// Files that belong to it, in source order.
    pub files: Vec<String>,
    /// Units in them.
    pub units: u64,
    /// Records made of them, duplicates included.
    pub records: u64,
    /// Bytes of all members of the rows, in canonical form.
    pub bytes: u64,
    /// Those of them that are in members that an expression reads.
    pub bytes_read: u64,
    /// Distinct members of the rows.
    pub keys: u64,
    /// Those of them that an expression reads.
    pub keys_read: u64,
    /// Every evidence field, in the order of the format.
    pub coverage: Vec<FieldCoverage>,
    /// Members of the rows that no expression reads.
    pub unread: Vec<KeySeen>,
    /// How often a member beyond those that are told apart was there.
    pub other_keys: u64,
    /// Members whose values tell kinds of rows apart.
    pub kinds: Vec<KindSeen>,
    /// Verdict words that the policy does not know, by field: each sends its run to a person.
    pub unknown_verdicts: BTreeMap<String, BTreeMap<String, u64>>,
    /// Units left out, by rule.
    pub skipped: BTreeMap<String, u64>,
    /// Units refused, by reason.
    pub quarantined: BTreeMap<String, u64>,
    /// What came and went between the last two runs; null where there are no two to compare.
    pub changes: Option<Vec<Change>>,
    /// Whether the spec means something else than it did in the earlier of them.
    pub spec_changed: bool,
    /// What the spec's shape met inside the units, by name; empty for a spec without one.
    pub noted: BTreeMap<String, u64>,
    /// How often something beyond those that are told apart was met.
    pub other_noted: u64,
}

/// How often an evidence field is filled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldCoverage {
    /// The field.
    pub field: String,
    /// Whether the spec says where it comes from.
    pub mapped: bool,
    /// Records that have it.
    pub filled: u64,
}

/// Looks at every stream, or at those called `streams` (by spec or stream name).
///
/// # Errors
/// Configuration that cannot be used, a stream that does not exist, files that cannot be read.
pub fn health(site: &Site, streams: &[String], progress: &dyn Progress) -> Result<Health, OpError> {
    let setup = Setup::load(&site.dot(), site.config.exports.clone())?;
    let is_named = |name: &str, stream: &str| streams.iter().any(|s| s == name || s == stream);
    for wanted in streams {
        if !setup.specs.iter().any(|(name, spec)| wanted == name || wanted == spec.stream()) {
            let known: Vec<&str> = setup.specs.iter().map(|(name, _)| name.as_str()).collect();
            return Err(OpError::new(
                ErrorKind::Usage,
                format!("there is no stream called `{wanted}`"),
                format!("the specs are {}", known.join(", ")),
            ));
        }
    }
    let files = engine::discover(&site.root, &site.base, &setup.specs)?;
    let (lookups, _) = engine::load_lookups(&setup.specs, &files, None)?;
    let recorded = history::recorded(site)?;
    let mut items = Vec::new();
    for (index, (name, spec)) in setup.specs.iter().enumerate() {
        if !streams.is_empty() && !is_named(name, spec.stream()) {
            continue;
        }
        progress.begin(&format!("health of {name}"), None);
        let mut adapter = spec.compile()?;
        let mut coverage = Coverage::default();
        let mut damaged = 0;
        let own: Vec<_> = files.iter().filter(|file| file.spec == Some(index)).collect();
        for file in &own {
            read_units(file, None, &mut |read| {
                if read.refused.is_some() {
                    damaged += 1;
                    return Ok(());
                }
                let bytes = read.unit.bytes.len() as u64;
                adapter.observe(&UnitInput::new(&file.name, &read.unit, &lookups[index]), &mut coverage);
                progress.advance(1, bytes);
                Ok(())
            })?;
        }
        progress.end();
        let mut report = coverage.report();
        if damaged > 0 {
            *report.quarantined.entry(BAD_COMPRESSION.to_owned()).or_default() += damaged;
        }
        let mapped: Vec<String> = spec.fields().map(|field| field.name().into_owned()).collect();
        let of = |all: &'_ [StreamCoverage]| all.iter().find(|stream| stream.spec == *name).cloned();
        let pair = recorded.as_ref().and_then(|r| Some((of(&r.before)?, of(&r.after)?)));
        items.push(StreamHealth {
            spec: name.clone(),
            stream: spec.stream().to_owned(),
            files: own.iter().map(|file| file.name.clone()).collect(),
            units: report.units + damaged,
            records: report.records,
            bytes: report.bytes,
            bytes_read: report.bytes_read,
            keys: report.keys.len() as u64,
            keys_read: report.keys.iter().filter(|key| key.read).count() as u64,
            coverage: field_coverage(&report.fields, &mapped),
            unread: report.keys.into_iter().filter(|key| !key.read).collect(),
            other_keys: report.other_keys,
            kinds: report.kinds,
            unknown_verdicts: unknown(&report.verdicts, &setup.policy.words),
            skipped: report.skipped,
            quarantined: report.quarantined,
            changes: pair.as_ref().map(|(before, after)| shift::compare(before, after)),
            spec_changed: pair.as_ref().is_some_and(|(before, after)| before.spec_id != after.spec_id),
            noted: report.noted.counts,
            other_noted: report.noted.others,
        });
    }
    let alarm = items.iter().any(|item| item.changes.as_ref().is_some_and(|changes| !changes.is_empty()));
    Ok(Health { items, runs: recorded.map(|recorded| recorded.runs), alarm })
}

/// The known fields in order, then `recorded_at` and the checks that the stream names itself.
fn field_coverage(filled: &BTreeMap<String, u64>, mapped: &[String]) -> Vec<FieldCoverage> {
    let own = filled.keys().map(String::as_str).filter(|field| !Field::KNOWN.contains(field));
    (Field::KNOWN.iter().copied().chain(own))
        .map(|field| FieldCoverage {
            field: field.to_owned(),
            mapped: field == "recorded_at" || mapped.iter().any(|mapped| mapped == field),
            filled: filled.get(field).copied().unwrap_or(0),
        })
        .collect()
}

/// The words that observers and persons used and that the policy's table does not hold.
fn unknown(verdicts: &BTreeMap<String, Tally>, words: &Words) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut unknown = BTreeMap::new();
    for field in ["observer.verdict", "human.verdict"] {
        let Some(tally) = verdicts.get(field) else { continue };
        let left: BTreeMap<String, u64> = (tally.counts.iter())
            .filter(|(word, _)| words.level(word) == Level::Unknown)
            .map(|(word, n)| (word.clone(), *n))
            .collect();
        if !left.is_empty() {
            unknown.insert(field.to_owned(), left);
        }
    }
    unknown
}
