//! `drift_report`: a run compared with the nearest earlier one.
//!
//! Rests on `summary` (the ten metrics). What always holds: all ten metrics are there in the order of reports, changes
//! follow from the values, and nothing is raised above `none` without a cause.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{Record, SchemaTag, nullable};
use super::summary::Metrics;
use super::validate::{Checks, Violation};
use crate::object::CommitId;

/// A run compared with the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DriftReport {
    /// The run compared with, or null for the first one.
    #[serde(deserialize_with = "nullable")]
    pub baseline: Option<Baseline>,
    /// What raised the severity, in words.
    #[schemars(inner(length(min = 1)))]
    pub causes: Vec<String>,
    /// What changed in each dataset.
    pub datasets: Vec<DatasetChanges>,
    /// All ten metrics, in the order of reports.
    #[schemars(length(min = 10, max = 10))]
    pub metrics: Vec<DriftMetric>,
    /// distill's own id of the run.
    #[schemars(length(min = 1))]
    pub run_id: String,
    /// Always `distill.drift_report.v1`.
    pub schema: SchemaTag<DriftReport>,
    /// The highest of all.
    pub severity: Severity,
}

/// The run that another one is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Its commit.
    pub commit_id: CommitId,
    /// distill's own id of the run.
    #[schemars(length(min = 1))]
    pub run_id: String,
}

/// One metric, before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DriftMetric {
    /// Its value now.
    pub after: u64,
    /// Its value in the baseline, or null where there is none.
    #[serde(deserialize_with = "nullable")]
    pub before: Option<u64>,
    /// (after - before) / before, or null where before is 0 or null.
    #[serde(deserialize_with = "nullable")]
    pub change: Option<f64>,
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// How much the change matters.
    pub severity: Severity,
}

impl DriftMetric {
    /// The relative change, or `None` where there is nothing to relate to.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people; counts stay far below 2^53")]
    pub fn change(before: Option<u64>, after: u64) -> Option<f64> {
        let before = before.filter(|count| *count > 0)? as f64;
        Some((after as f64 - before) / before)
    }
}

/// How many rows of a dataset changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetChanges {
    /// Keys that are new.
    pub added: u64,
    /// Name of the dataset.
    #[schemars(length(min = 1))]
    pub dataset: String,
    /// Keys that name another object.
    pub modified: u64,
    /// Keys that are gone.
    pub removed: u64,
}

/// How much a change matters.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Within the limits.
    #[default]
    None,
    /// Worth a look.
    Warn,
    /// Worth stopping for.
    Alert,
}

impl Severity {
    /// The text that stands in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Warn => "warn",
            Self::Alert => "alert",
        }
    }
}

impl Record for DriftReport {
    const NAME: &'static str = "drift_report";
    const SCHEMA_VERSION: u32 = 1;
    const SCHEMA: &'static str = "distill.drift_report.v1";

    fn validate(&self) -> Vec<Violation> {
        let mut checks = Checks::new();
        checks.text(&self.run_id, "run_id");
        if let Some(baseline) = &self.baseline {
            checks.text(&baseline.run_id, "baseline.run_id");
        }
        let names = self.metrics.iter().map(|metric| metric.name.as_str());
        checks.require(
            names.eq(Metrics::NAMES),
            "metrics",
            "are not the ten metrics in the order of reports",
        );
        for (n, metric) in self.metrics.iter().enumerate() {
            let known = metric.before.is_some() == self.baseline.is_some();
            checks.require(
                known,
                format!("metrics[{n}].before"),
                "is null exactly where there is no baseline",
            );
            let change = DriftMetric::change(metric.before, metric.after);
            checks.require(
                change == metric.change,
                format!("metrics[{n}].change"),
                "does not follow from the values",
            );
            checks.require(
                metric.severity <= self.severity,
                "severity",
                format!("is lower than that of {}", metric.name),
            );
        }
        for (n, changes) in self.datasets.iter().enumerate() {
            checks.text(&changes.dataset, format!("datasets[{n}].dataset"));
        }
        let explained = self.severity == Severity::None || !self.causes.is_empty();
        checks.require(explained, "causes", "is empty, but the severity is not none");
        checks.texts(&self.causes, "causes");
        checks.into_violations()
    }
}
