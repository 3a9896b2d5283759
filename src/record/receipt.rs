//! `stage_receipt`: what one run of one stage took, gave and counted.
//!
//! Rests on `object`. What always holds: every unit that came in has exactly one fate, so the counts add up; receipts
//! of a branch form one chain through `previous`, whatever their stages. Times and run ids live here, never in a dataset.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::coverage::StreamCoverage;
use super::exchange::Exchange;
use super::schema::{Record, SchemaTag, nullable};
use super::time::{TIME_PATTERN, parse_time_text};
use super::validate::{Checks, Violation};
use crate::object::ObjectId;
use crate::object::RootId;

/// The receipt of one run of one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageReceipt {
    /// Object with the configuration that the datasets depend on.
    pub config_id: ObjectId,
    /// What became of the units.
    pub counts: Counts,
    /// For the evidence stage: what the rows of each stream hold and what its spec reads of it, in order of spec. Left
    /// out where there is nothing to say, so that receipts without it are, byte for byte, what they always were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coverage: Vec<StreamCoverage>,
    /// From start to end, in milliseconds.
    pub duration_ms: u64,
    /// When it ended, RFC 3339 in UTC.
    #[schemars(regex(pattern = TIME_PATTERN))]
    pub ended_at: String,
    /// What failed; empty for a stage that passed.
    #[schemars(inner(length(min = 1)))]
    pub errors: Vec<String>,
    /// For a replay: what was asked and answered, in order. Left out by all others, so that their receipts are, byte for
    /// byte, what they always were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exchanges: Vec<Exchange>,
    /// The snapshots that it read.
    pub inputs: Vec<InputSnapshot>,
    /// The snapshots that it made.
    pub outputs: Vec<OutputSnapshot>,
    /// Object of the receipt made before it on the branch, of whatever stage, or null for the first of all.
    #[serde(deserialize_with = "nullable")]
    pub previous: Option<ObjectId>,
    /// Quarantined units by reason code.
    pub quarantined_by: BTreeMap<String, u64>,
    /// distill's own id of the run.
    #[schemars(length(min = 1))]
    pub run_id: String,
    /// Always `distill.stage_receipt.v1`.
    pub schema: SchemaTag<StageReceipt>,
    /// Skipped units by rule.
    pub skipped_by: BTreeMap<String, u64>,
    /// The stage.
    #[schemars(regex(pattern = "^[a-z0-9_-]+$"))]
    pub stage: String,
    /// When it started, RFC 3339 in UTC.
    #[schemars(regex(pattern = TIME_PATTERN))]
    pub started_at: String,
    /// The program that ran it.
    pub tool: Tool,
    /// Whether every check of the stage held.
    pub validation_pass: bool,
    /// What a person should look at.
    #[schemars(inner(length(min = 1)))]
    pub warnings: Vec<String>,
}

/// The program that made something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its version.
    #[schemars(length(min = 1))]
    pub version: String,
}

/// A dataset as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputSnapshot {
    /// Bytes of all rows.
    pub bytes: u64,
    /// Name of the dataset.
    #[schemars(length(min = 1))]
    pub dataset: String,
    /// Its root.
    pub root: RootId,
    /// Number of rows.
    pub rows: u64,
}

/// A dataset as it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputSnapshot {
    /// Bytes of all rows.
    pub bytes: u64,
    /// Name of the dataset.
    #[schemars(length(min = 1))]
    pub dataset: String,
    /// BLAKE3 of the whole JSONL, for exports.
    #[serde(deserialize_with = "nullable")]
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub jsonl_blake3: Option<String>,
    /// SHA-256 of the whole JSONL, for exports.
    #[serde(deserialize_with = "nullable")]
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub jsonl_sha256: Option<String>,
    /// Its root.
    pub root: RootId,
    /// Number of rows.
    pub rows: u64,
}

/// What became of the units of a stage. Every unit has one fate; records made are counted apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Units that became records.
    pub consumed: u64,
    /// Units that repeat an earlier one.
    pub duplicates: u64,
    /// Units that were refused and kept.
    pub quarantined: u64,
    /// Records made; one unit may yield several.
    pub records: u64,
    /// Units whose bytes were erased.
    pub redacted: u64,
    /// Units that came in.
    pub rows_in: u64,
    /// Units left out by a named rule.
    pub skipped: u64,
}

impl Counts {
    /// The units that have a fate; equals `rows_in` in a receipt that adds up.
    pub const fn fates(&self) -> u64 {
        self.consumed
            .saturating_add(self.duplicates)
            .saturating_add(self.quarantined)
            .saturating_add(self.skipped)
            .saturating_add(self.redacted)
    }

    /// Both together, field by field.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            consumed: self.consumed.saturating_add(other.consumed),
            duplicates: self.duplicates.saturating_add(other.duplicates),
            quarantined: self.quarantined.saturating_add(other.quarantined),
            records: self.records.saturating_add(other.records),
            redacted: self.redacted.saturating_add(other.redacted),
            rows_in: self.rows_in.saturating_add(other.rows_in),
            skipped: self.skipped.saturating_add(other.skipped),
        }
    }

    /// Checks under the path `field` that every unit has one fate.
    pub fn check(&self, checks: &mut Checks, field: &str) {
        let fates = self.fates();
        if fates != self.rows_in {
            checks.fail(
                format!("{field}.rows_in"),
                format!(
                    "is {}, but consumed + duplicates + quarantined + skipped + redacted is {fates}",
                    self.rows_in
                ),
            );
        }
    }
}

impl Record for StageReceipt {
    const NAME: &'static str = "stage_receipt";
    const SCHEMA_VERSION: u32 = 1;
    const SCHEMA: &'static str = "distill.stage_receipt.v1";

    fn validate(&self) -> Vec<Violation> {
        let mut checks = Checks::new();
        checks.code(&self.stage, "stage");
        checks.text(&self.run_id, "run_id");
        checks.text(&self.tool.name, "tool.name");
        checks.text(&self.tool.version, "tool.version");
        for (n, input) in self.inputs.iter().enumerate() {
            checks.text(&input.dataset, format!("inputs[{n}].dataset"));
        }
        for (n, output) in self.outputs.iter().enumerate() {
            output.check(&mut checks, &format!("outputs[{n}]"));
        }
        self.counts.check(&mut checks, "counts");
        for (n, stream) in self.coverage.iter().enumerate() {
            stream.check(&mut checks, &format!("coverage[{n}]"));
        }
        for (n, exchange) in self.exchanges.iter().enumerate() {
            exchange.check(&mut checks, &format!("exchanges[{n}]"));
        }
        let in_order = self.coverage.is_sorted_by(|a, b| a.spec < b.spec);
        checks.require(in_order, "coverage", "is not in order of spec, each once");
        check_sum(&self.skipped_by, self.counts.skipped, "skipped", &mut checks);
        check_sum(&self.quarantined_by, self.counts.quarantined, "quarantined", &mut checks);
        let started = check_instant(&self.started_at, "started_at", &mut checks);
        let ended = check_instant(&self.ended_at, "ended_at", &mut checks);
        checks.require(
            started.is_none() || ended.is_none() || started <= ended,
            "ended_at",
            "is before started_at",
        );
        checks.texts(&self.errors, "errors");
        checks.texts(&self.warnings, "warnings");
        let agree = self.validation_pass == self.errors.is_empty();
        checks.require(agree, "validation_pass", "must be true without errors, false with some");
        checks.into_violations()
    }
}

impl OutputSnapshot {
    fn check(&self, checks: &mut Checks, field: &str) {
        checks.text(&self.dataset, format!("{field}.dataset"));
        let digests =
            [("jsonl_blake3", self.jsonl_blake3.as_deref()), ("jsonl_sha256", self.jsonl_sha256.as_deref())];
        for (name, digest) in digests {
            let path = format!("{field}.{name}");
            checks.digest(digest, &path);
            let missing = digest.is_none() && self.dataset.starts_with("exports/");
            checks.require(!missing, &path, "is null, but an export names the digests of its JSONL");
        }
    }
}

/// Checks that the counts by name add up to the whole.
fn check_sum(parts: &BTreeMap<String, u64>, whole: u64, name: &str, checks: &mut Checks) {
    let sum = parts.values().fold(0_u64, |sum, part| sum.saturating_add(*part));
    if sum != whole {
        checks.fail(format!("{name}_by"), format!("adds up to {sum}, but counts.{name} is {whole}"));
    }
    if parts.keys().any(|key| key.trim().is_empty()) {
        checks.fail(format!("{name}_by"), "has an empty name");
    }
}

/// The instant that a receipt's time names, in seconds and nanoseconds.
fn check_instant(text: &str, field: &str, checks: &mut Checks) -> Option<(i64, u32)> {
    let parsed = parse_time_text(text).filter(|_| text.contains('T') && text.ends_with('Z'));
    checks.require(parsed.is_some(), field, format_args!("`{text}` is not an RFC 3339 time in UTC"));
    parsed.map(|time| (time.instant.timestamp(), time.instant.timestamp_subsec_nanos()))
}
