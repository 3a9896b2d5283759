//! Drift: the metrics of a run compared with those of an earlier one.
//!
//! Rests on `record`. What always holds: a pure function of the two runs and the limits; every severity above `none`
//! has a cause in words; the first run has no drift.

use serde::{Deserialize, Serialize};

use crate::record::Baseline;
use crate::record::DatasetChanges;
use crate::record::DriftMetric;
use crate::record::DriftReport;
use crate::record::Metrics;
use crate::record::SchemaTag;
use crate::record::Severity;

/// How much a metric may change, as fractions of its earlier value, before it is worth a word.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Limits")]
pub struct DriftLimits {
    warn: f64,
    alert: f64,
}

/// What stands in the configuration, unchecked; what is left out has its default.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limits {
    warn: f64,
    alert: f64,
}

/// Limits that make no sense.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("drift limits warn = {warn} and alert = {alert} are not 0 <= warn <= alert")]
pub struct DriftLimitsError {
    warn: f64,
    alert: f64,
}

impl Default for DriftLimits {
    fn default() -> Self {
        Self { warn: 0.20, alert: 0.50 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let DriftLimits { warn, alert } = DriftLimits::default();
        Self { warn, alert }
    }
}

impl TryFrom<Limits> for DriftLimits {
    type Error = DriftLimitsError;
    fn try_from(Limits { warn, alert }: Limits) -> Result<Self, DriftLimitsError> {
        Self::new(warn, alert)
    }
}

impl DriftLimits {
    /// Limits as fractions: 0.2 is 20 %.
    ///
    /// # Errors
    /// Unless 0 <= `warn` <= `alert`, both finite.
    pub fn new(warn: f64, alert: f64) -> Result<Self, DriftLimitsError> {
        if warn >= 0.0 && warn <= alert && alert.is_finite() {
            Ok(Self { warn, alert })
        } else {
            Err(DriftLimitsError { warn, alert })
        }
    }

    /// A change beyond this is a warning.
    pub const fn warn(&self) -> f64 {
        self.warn
    }

    /// A change beyond this is an alert.
    pub const fn alert(&self) -> f64 {
        self.alert
    }

    /// The severity of one metric's way from `before` to `after`. From zero to anything is a warning, whatever the
    /// limits; without a `before` there is nothing to compare with.
    pub fn severity(&self, before: Option<u64>, after: u64) -> Severity {
        match (before, DriftMetric::change(before, after)) {
            (Some(0), _) if after > 0 => Severity::Warn,
            (_, Some(change)) if change.abs() > self.alert => Severity::Alert,
            (_, Some(change)) if change.abs() > self.warn => Severity::Warn,
            _ => Severity::None,
        }
    }
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// All ten metrics, in the order of reports.
    pub metrics: Vec<DriftMetric>,
    /// The highest severity of all.
    pub severity: Severity,
    /// What raised it, in words.
    pub causes: Vec<String>,
}

/// Compares a run with an earlier one. `same_input_different_hash` says that the inputs and configuration of both are
/// identical and yet a dataset's root is not; `dataset_changes` then names the datasets.
pub fn compare(
    before: Option<&Metrics>,
    after: &Metrics,
    limits: &DriftLimits,
    dataset_changes: &[DatasetChanges],
    same_input_different_hash: bool,
) -> Drift {
    let mut drift = Drift { metrics: Vec::new(), severity: Severity::None, causes: Vec::new() };
    let earlier = before.map(Metrics::values);
    for (n, (name, after)) in after.iter().enumerate() {
        let before = earlier.map(|values| values[n]);
        let severity = limits.severity(before, after);
        let change = DriftMetric::change(before, after);
        if severity > Severity::None {
            drift.severity = drift.severity.max(severity);
            drift.causes.push(metric_cause(name, before.unwrap_or(0), after, change, severity));
        }
        drift.metrics.push(DriftMetric { after, before, change, name: name.to_owned(), severity });
    }
    if same_input_different_hash {
        drift.severity = Severity::Alert;
        drift.causes.push(hash_cause(dataset_changes));
    }
    drift
}

/// The drift report of a run; `baseline` is the nearest earlier run and its metrics.
pub fn report(
    run_id: &str,
    baseline: Option<(Baseline, &Metrics)>,
    after: &Metrics,
    limits: &DriftLimits,
    datasets: Vec<DatasetChanges>,
    same_input_different_hash: bool,
) -> DriftReport {
    let (baseline, before) = baseline.unzip();
    let Drift { metrics, severity, causes } =
        compare(before, after, limits, &datasets, same_input_different_hash);
    DriftReport {
        baseline,
        causes,
        datasets,
        metrics,
        run_id: run_id.to_owned(),
        schema: SchemaTag::new(),
        severity,
    }
}

/// What a change is due to, in words, where `parts` are the names of what changed since the earlier run: one alone did it
/// all, and what each of several did is for whoever asks.
pub fn due_to(parts: &[&str]) -> Option<String> {
    match parts {
        [] => None,
        [one] => Some(format!("all of it is due to the {one}: nothing else changed")),
        several => {
            let names = several.join(", ");
            Some(format!("changed: {names}; `distill diff --explain` says how much is due to which"))
        }
    }
}

fn metric_cause(name: &str, before: u64, after: u64, change: Option<f64>, severity: Severity) -> String {
    let severity = severity.as_str();
    match change {
        Some(change) => {
            format!("{severity}: {name} changed by {:+.1} %, from {before} to {after}", change * 100.0)
        }
        None => format!("{severity}: {name} rose from {before} to {after}"),
    }
}

fn hash_cause(dataset_changes: &[DatasetChanges]) -> String {
    let changed: Vec<_> = dataset_changes
        .iter()
        .filter(|changes| [changes.added, changes.removed, changes.modified] != [0; 3])
        .map(|c| format!("{} (added {}, removed {}, modified {})", c.dataset, c.added, c.removed, c.modified))
        .collect();
    let mut cause = "alert: identical input gave a different dataset hash".to_owned();
    if !changed.is_empty() {
        cause.push_str(": ");
        cause.push_str(&changed.join(", "));
    }
    cause
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::CommitId;
    use crate::object::ObjectId;
    use crate::record::Record;

    fn rows(count: u64) -> Metrics {
        Metrics { p4_rag_rows: count, ..Metrics::default() }
    }

    #[test]
    fn severity_by_change() {
        use Severity::{Alert, None as Calm, Warn};
        let table = [
            (100, 100, Some(0.0), Calm),
            (100, 120, Some(0.2), Calm),
            (100, 121, Some(0.21), Warn),
            (100, 80, Some(-0.2), Calm),
            (100, 79, Some(-0.21), Warn),
            (100, 150, Some(0.5), Warn),
            (100, 151, Some(0.51), Alert),
            (100, 50, Some(-0.5), Warn),
            (100, 49, Some(-0.51), Alert),
            (5, 6, Some(0.2), Calm),
            (1, 0, Some(-1.0), Alert),
            (1, 2, Some(1.0), Alert),
            (0, 0, None, Calm),
            (0, 1, None, Warn),
            (0, u64::MAX, None, Warn),
        ];
        for (before, after, change, severity) in table {
            let place = format!("{before} -> {after}");
            let drift = compare(Some(&rows(before)), &rows(after), &DriftLimits::default(), &[], false);
            let metric =
                drift.metrics.iter().find(|metric| metric.name == "p4_rag_rows").expect("one of the ten");
            assert_eq!((metric.before, metric.after), (Some(before), after), "{place}");
            assert_eq!(metric.change, change, "{place}");
            assert_eq!((metric.severity, drift.severity), (severity, severity), "{place}");
            assert_eq!(drift.causes.len(), usize::from(severity > Calm), "{place}: {:?}", drift.causes);
            assert_eq!(drift.metrics.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), Metrics::NAMES);
            assert!(drift.metrics.iter().filter(|m| m.name != "p4_rag_rows").all(|m| m.severity == Calm));
        }
    }

    #[test]
    fn the_highest_severity_counts_and_each_cause_is_named() {
        let before = Metrics { p3_accepted: 10, p3_rejected: 10, ..Metrics::default() };
        let after = Metrics { p3_accepted: 2, p3_rejected: 13, p4_sft_rows: 1, ..Metrics::default() };
        let drift = compare(Some(&before), &after, &DriftLimits::default(), &[], false);
        assert_eq!(drift.severity, Severity::Alert);
        let causes = [
            "alert: p3_accepted changed by -80.0 %, from 10 to 2",
            "warn: p3_rejected changed by +30.0 %, from 10 to 13",
            "warn: p4_sft_rows rose from 0 to 1",
        ];
        assert_eq!(drift.causes, causes);
    }

    #[test]
    fn the_first_run_has_no_drift() {
        let drift = compare(None, &rows(7), &DriftLimits::default(), &[], false);
        assert_eq!((drift.severity, drift.causes.len()), (Severity::None, 0));
        assert!(drift.metrics.iter().all(|metric| metric.before.is_none() && metric.change.is_none()));
    }

    #[test]
    fn a_different_hash_from_identical_input_is_an_alert() {
        let changes = |dataset: &str, modified| DatasetChanges {
            dataset: dataset.to_owned(),
            added: 0,
            removed: 0,
            modified,
        };
        let datasets = [changes("evidence", 0), changes("exports/rag", 3)];
        let drift = compare(Some(&rows(7)), &rows(7), &DriftLimits::default(), &datasets, true);
        assert_eq!(drift.severity, Severity::Alert);
        let cause = "alert: identical input gave a different dataset hash: exports/rag (added 0, removed 0, modified 3)";
        assert_eq!(drift.causes, [cause]);
        assert_eq!(
            compare(Some(&rows(7)), &rows(7), &DriftLimits::default(), &datasets, false).causes.len(),
            0
        );
    }

    #[test]
    fn limits_are_configuration() {
        let read = |text: &str| toml::from_str::<DriftLimits>(text);
        assert_eq!(read("").expect("defaults"), DriftLimits::new(0.2, 0.5).expect("valid"));
        let tight = read("warn = 0.01").expect("the other one has its default");
        assert_eq!((tight.warn(), tight.alert()), (0.01, 0.5));
        let drift = compare(Some(&rows(100)), &rows(102), &tight, &[], false);
        assert_eq!(drift.severity, Severity::Warn);
        for text in ["warn = 0.6", "warn = -0.1", "alert = nan", "alert = inf", "warn = nan", "wran = 0.1"] {
            assert!(read(text).is_err(), "{text}");
        }
        let written = serde_json::to_string(&tight).expect("plain numbers");
        assert_eq!(serde_json::from_str::<DriftLimits>(&written).expect("its own text"), tight);
    }

    #[test]
    fn reports_are_valid_records() {
        let baseline = Baseline { commit_id: CommitId::new(ObjectId::of(b"c")), run_id: "r1".to_owned() };
        let (before, after) = (rows(3), rows(9));
        for (baseline, different) in [(None, false), (None, true), (Some((baseline, &before)), false)] {
            let compared = baseline.is_some();
            let report = report("r2", baseline, &after, &DriftLimits::default(), Vec::new(), different);
            assert_eq!(report.validate(), [], "{report:?}");
            assert_eq!(report.severity == Severity::Alert, compared || different);
        }
    }
}
