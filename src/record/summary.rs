//! `run_summary`: a whole run in one record: its stages, totals, the ten metrics and the verdict.
//!
//! Rests on `receipt` and `category`. What always holds: totals are the sums over the stages, and the metrics that
//! count categories agree with `categories`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::category::CategoryCounts;
use super::receipt::Counts;
use super::schema::{Record, SchemaTag};
use super::validate::{Checks, PassFail, Violation};
use crate::object::ObjectId;

/// One run in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunSummary {
    /// Scored runs by category.
    pub categories: CategoryCounts,
    /// The ten metrics.
    pub metrics: Metrics,
    /// What a person should know.
    #[schemars(inner(length(min = 1)))]
    pub notes: Vec<String>,
    /// distill's own id of the run.
    #[schemars(length(min = 1))]
    pub run_id: String,
    /// Always `distill.run_summary.v1`.
    pub schema: SchemaTag<RunSummary>,
    /// The stages, in the order in which they ran.
    #[schemars(length(min = 1))]
    pub stages: Vec<StageSummary>,
    /// The counts of all stages together, field by field.
    pub totals: Counts,
    /// Whether every stage passed.
    pub verdict: PassFail,
}

/// One stage of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageSummary {
    /// What became of its units.
    pub counts: Counts,
    /// Object of its receipt.
    pub receipt: ObjectId,
    /// The stage.
    #[schemars(regex(pattern = "^[a-z0-9_-]+$"))]
    pub stage: String,
}

/// The ten tracked metrics of a run, in the order of reports. Its JSON form is the map of the ten names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Units that the evidence stage refused.
    pub p2_evidence_quarantined: u64,
    /// Evidence records.
    pub p2_evidence_rows: u64,
    /// Scored runs that are accepted.
    pub p3_accepted: u64,
    /// Scored runs that need a person.
    pub p3_human: u64,
    /// Scored runs that are accepted in part.
    pub p3_partial: u64,
    /// Scored runs that are rejected.
    pub p3_rejected: u64,
    /// Pairs of the preference export.
    pub p4_pref_pairs: u64,
    /// Rows of the RAG export.
    pub p4_rag_rows: u64,
    /// Rows of the SFT export.
    pub p4_sft_rows: u64,
    /// Units refused by any stage.
    pub p4_total_quarantined: u64,
}

impl Metrics {
    /// The ten names, in the order of reports.
    pub const NAMES: [&'static str; 10] = [
        "p2_evidence_rows",
        "p2_evidence_quarantined",
        "p3_accepted",
        "p3_partial",
        "p3_rejected",
        "p3_human",
        "p4_rag_rows",
        "p4_sft_rows",
        "p4_pref_pairs",
        "p4_total_quarantined",
    ];

    /// The ten values, in the order of [`Metrics::NAMES`].
    pub const fn values(&self) -> [u64; 10] {
        [
            self.p2_evidence_rows,
            self.p2_evidence_quarantined,
            self.p3_accepted,
            self.p3_partial,
            self.p3_rejected,
            self.p3_human,
            self.p4_rag_rows,
            self.p4_sft_rows,
            self.p4_pref_pairs,
            self.p4_total_quarantined,
        ]
    }

    /// Names and values, in the order of reports.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Self::NAMES.into_iter().zip(self.values())
    }
}

impl Record for RunSummary {
    const NAME: &'static str = "run_summary";
    const SCHEMA_VERSION: u32 = 1;
    const SCHEMA: &'static str = "distill.run_summary.v1";

    fn validate(&self) -> Vec<Violation> {
        let mut checks = Checks::new();
        checks.text(&self.run_id, "run_id");
        checks.require(!self.stages.is_empty(), "stages", "is empty");
        for (n, stage) in self.stages.iter().enumerate() {
            checks.code(&stage.stage, format!("stages[{n}].stage"));
            stage.counts.check(&mut checks, &format!("stages[{n}].counts"));
            let again = self.stages[..n].iter().any(|earlier| earlier.stage == stage.stage);
            checks.require(!again, format!("stages[{n}].stage"), "is named twice");
        }
        let sum = self.stages.iter().fold(Counts::default(), |sum, stage| sum.plus(&stage.counts));
        checks.require(sum == self.totals, "totals", "is not the sum of the stages' counts");
        let agree = [
            ("metrics.p3_accepted", self.metrics.p3_accepted, self.categories.accepted),
            ("metrics.p3_partial", self.metrics.p3_partial, self.categories.partially_accepted),
            ("metrics.p3_rejected", self.metrics.p3_rejected, self.categories.rejected),
            ("metrics.p3_human", self.metrics.p3_human, self.categories.needs_human_review),
        ];
        for (field, metric, count) in agree {
            checks.require(metric == count, field, format!("is {metric}, but categories says {count}"));
        }
        checks.texts(&self.notes, "notes");
        checks.into_violations()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_those_of_the_json_form() {
        let metrics = Metrics {
            p2_evidence_rows: 1,
            p2_evidence_quarantined: 2,
            p3_accepted: 3,
            p3_partial: 4,
            p3_rejected: 5,
            p3_human: 6,
            p4_rag_rows: 7,
            p4_sft_rows: 8,
            p4_pref_pairs: 9,
            p4_total_quarantined: 10,
        };
        let json = serde_json::to_value(metrics).expect("plain numbers");
        let members = json.as_object().expect("a struct");
        assert_eq!(members.len(), Metrics::NAMES.len());
        for (name, value) in metrics.iter() {
            assert_eq!(members.get(name), Some(&value.into()), "{name}");
        }
        assert_eq!(metrics.values(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }
}
