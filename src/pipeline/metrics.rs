//! The ten tracked metrics of a run, taken from what its stages counted.
//!
//! Rests on `record` (counts, categories, [`Metrics`]). What always holds: a pure function of the counts; a stage that
//! did not run counts as zero, and stages are told apart by name, not by place.

use crate::record::CategoryCounts;
use crate::record::Counts;
use crate::record::Metrics;

/// The stage that makes evidence of source units.
pub const EVIDENCE: &str = "evidence";
/// The stage that makes the RAG corpus.
pub const EXPORT_RAG: &str = "export-rag";
/// The stage that makes the SFT corpus.
pub const EXPORT_SFT: &str = "export-sft";
/// The stage that makes preference pairs.
pub const EXPORT_PREFERENCE: &str = "export-preference";

/// The metrics of a run: rows and pairs are the records that a stage made, `p4_total_quarantined` is what all stages
/// together refused, `p3_*` are the scored runs by category.
pub fn metrics<'a>(
    stages: impl IntoIterator<Item = (&'a str, &'a Counts)>,
    categories: &CategoryCounts,
) -> Metrics {
    let mut metrics = Metrics {
        p3_accepted: categories.accepted,
        p3_human: categories.needs_human_review,
        p3_partial: categories.partially_accepted,
        p3_rejected: categories.rejected,
        ..Metrics::default()
    };
    for (stage, counts) in stages {
        metrics.p4_total_quarantined = metrics.p4_total_quarantined.saturating_add(counts.quarantined);
        match stage {
            EVIDENCE => {
                metrics.p2_evidence_rows = counts.records;
                metrics.p2_evidence_quarantined = counts.quarantined;
            }
            EXPORT_RAG => metrics.p4_rag_rows = counts.records,
            EXPORT_SFT => metrics.p4_sft_rows = counts.records,
            EXPORT_PREFERENCE => metrics.p4_pref_pairs = counts.records,
            _ => {}
        }
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(records: u64, quarantined: u64) -> Counts {
        // `consumed` differs from `records`, so that a test cannot take one for the other.
        let consumed = records + 100;
        Counts { records, quarantined, consumed, rows_in: consumed + quarantined, ..Counts::default() }
    }

    #[test]
    fn each_metric_has_its_own_stage() {
        let categories =
            CategoryCounts { accepted: 11, partially_accepted: 12, rejected: 13, needs_human_review: 14 };
        let (evidence, score, rag, sft, pairs) =
            (counts(50, 1), counts(51, 2), counts(52, 4), counts(53, 8), counts(54, 16));
        let stages = [
            (EXPORT_PREFERENCE, &pairs),
            (EVIDENCE, &evidence),
            ("score", &score),
            (EXPORT_SFT, &sft),
            (EXPORT_RAG, &rag),
        ];
        let found: Vec<_> = metrics(stages, &categories).iter().collect();
        let expected = [
            ("p2_evidence_rows", 50),
            ("p2_evidence_quarantined", 1),
            ("p3_accepted", 11),
            ("p3_partial", 12),
            ("p3_rejected", 13),
            ("p3_human", 14),
            ("p4_rag_rows", 52),
            ("p4_sft_rows", 53),
            ("p4_pref_pairs", 54),
            ("p4_total_quarantined", 31),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn stages_that_did_not_run_count_as_zero() {
        assert_eq!(metrics([], &CategoryCounts::default()), Metrics::default());
    }
}
