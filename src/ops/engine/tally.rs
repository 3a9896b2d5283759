//! Counting fates: how many units a stage took in and what became of each.
//!
//! Rests on `record`. Invariant: every unit is counted under exactly one fate; records made are counted apart.

use std::collections::BTreeMap;

use crate::ops::engine::facts::{ExportFact, PairFact, UnitFact, UnitVerdict};
use crate::record::CategoryCounts;
use crate::record::Counts;

/// The counts of one stage, with the rules and reasons behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub counts: Counts,
    pub skipped_by: BTreeMap<String, u64>,
    pub quarantined_by: BTreeMap<String, u64>,
}

impl Tally {
    /// One unit that became `records` records.
    pub(crate) fn consumed(&mut self, records: u64) {
        self.counts.rows_in += 1;
        self.counts.consumed += 1;
        self.counts.records += records;
    }

    /// One unit that repeats another.
    pub(crate) fn duplicate(&mut self) {
        self.counts.rows_in += 1;
        self.counts.duplicates += 1;
    }

    /// One unit left out by a rule.
    pub(crate) fn skipped(&mut self, rule: &str) {
        self.counts.rows_in += 1;
        self.counts.skipped += 1;
        bump(&mut self.skipped_by, rule, 1);
    }

    /// One unit refused for a reason.
    pub(crate) fn quarantined(&mut self, reason: &str) {
        self.counts.rows_in += 1;
        self.counts.quarantined += 1;
        bump(&mut self.quarantined_by, reason, 1);
    }

    /// Adds the counts of another part of the stage.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.counts = self.counts.plus(&other.counts);
        for (rule, n) in &other.skipped_by {
            bump(&mut self.skipped_by, rule, *n);
        }
        for (reason, n) in &other.quarantined_by {
            bump(&mut self.quarantined_by, reason, *n);
        }
    }
}

fn bump(map: &mut BTreeMap<String, u64>, name: &str, n: u64) {
    match map.get_mut(name) {
        Some(count) => *count += n,
        None => {
            map.insert(name.to_owned(), n);
        }
    }
}

/// The counts of all stages of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tallies {
    pub sources: Tally,
    pub evidence: Tally,
    pub score: Tally,
    pub rag: Tally,
    pub sft: Tally,
    pub preference: Tally,
    pub categories: CategoryCounts,
}

impl Tallies {
    /// Counts one decided unit in every stage it reaches; pairing is counted when groups are.
    pub(crate) fn unit(&mut self, fact: &UnitFact) {
        self.sources.consumed(1);
        match (&fact.verdict, &fact.duplicate_of) {
            (UnitVerdict::Refused(reason), _) => return self.evidence.quarantined(reason),
            (UnitVerdict::Skipped(rule), _) => return self.evidence.skipped(rule),
            (UnitVerdict::Records, Some(_)) => return self.evidence.duplicate(),
            (UnitVerdict::Records, None) => self.evidence.consumed(fact.outputs.len() as u64),
        }
        for output in &fact.outputs {
            self.score.consumed(1);
            self.categories.add(output.category);
            export(&mut self.rag, &output.rag);
            export(&mut self.sft, &output.sft);
            self.pair(&output.pair);
        }
    }

    /// Counts a record that cannot pair; candidates are counted when their group is.
    pub(crate) fn pair(&mut self, pair: &PairFact) {
        match pair {
            PairFact::Candidate { .. } => {}
            PairFact::Refused(reason) => self.preference.quarantined(reason),
            PairFact::Skipped(rule) => self.preference.skipped(rule),
        }
    }

    /// Adds the counts of another part of the run.
    pub(crate) fn add(&mut self, other: &Self) {
        self.sources.merge(&other.sources);
        self.evidence.merge(&other.evidence);
        self.score.merge(&other.score);
        self.rag.merge(&other.rag);
        self.sft.merge(&other.sft);
        self.preference.merge(&other.preference);
        self.categories.accepted += other.categories.accepted;
        self.categories.partially_accepted += other.categories.partially_accepted;
        self.categories.rejected += other.categories.rejected;
        self.categories.needs_human_review += other.categories.needs_human_review;
    }
}

/// Counts one record in one export.
pub(crate) fn export(tally: &mut Tally, fact: &ExportFact) {
    match fact {
        ExportFact::Row(_, None) => tally.consumed(1),
        ExportFact::Row(_, Some(_)) => tally.duplicate(),
        ExportFact::Refused(reason) => tally.quarantined(reason),
        ExportFact::Skipped(rule) => tally.skipped(rule),
    }
}
