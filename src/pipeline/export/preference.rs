//! Preference pairs: two runs of one task of which one was judged strictly better, or the two sides of a comparison.
//!
//! Rests on `record`. A group is all candidates of one task or of one comparison; [`select`] is a pure function of the
//! group, so a group is computed again only when a member changed. Invariants: null tasks never pair; no run pairs with
//! itself or with its own text; at most `max_pairs` pairs for a group, chosen by a fixed order.

use serde::{Deserialize, Serialize};

use crate::object::ObjectId;
use crate::pipeline::export::{self, Refusal, Screen, TextHash};
use crate::record::Category;
use crate::record::EvidenceRecord;
use crate::record::KeyError;
use crate::record::PreferenceSample;
use crate::record::Provenance;
use crate::record::SchemaTag;
use crate::record::Sides;
use crate::record::preference_key;

/// What may pair with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupKind {
    /// Runs of one task, compared by category.
    Task,
    /// Sides of one comparison, compared by rank.
    Comparison,
}

/// A candidate for pairing: the little that [`select`] needs of an evidence record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its group's kind.
    pub kind: GroupKind,
    /// Fingerprint of the task id, or of stream and comparison group.
    pub group: TextHash,
    /// How good it is within the group; larger is better, equal never pairs.
    pub standing: i64,
    /// Whether it may be the chosen side.
    pub can_win: bool,
    /// Fingerprint of its run's id: a run that was logged twice is still one run.
    pub run: TextHash,
    /// Fingerprint of its response.
    pub text: TextHash,
    /// The evidence's record key.
    pub key: String,
}

/// What became of one evidence record before pairing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It may pair.
    Candidate(Candidate),
    /// Not eligible, by the rule of this name.
    Skipped(&'static str),
    /// Eligible, but it fails this gate.
    Refused(Refusal),
}

/// The skip rule for a candidate that found no partner.
pub const UNPAIRED: &str = "unpaired";
/// The skip rule for a candidate whose only pairs lie beyond the cap.
pub const OVER_CAP: &str = "over_pair_limit";
/// The skip rule for evidence with neither a task nor a comparison.
pub const NO_TASK: &str = "no_task";

/// Judges whether `evidence`, which `screen` looks at too, may pair. A comparison, where there is one, takes precedence over the task.
pub fn candidate(evidence: &EvidenceRecord, category: Category, screen: &Screen<'_>) -> Entry {
    let (kind, group, standing, can_win) = match (&evidence.comparison, evidence.task_id.as_deref()) {
        (Some(comparison), _) => {
            if category == Category::Rejected && evidence.human_override.is_some() {
                return Entry::Skipped(export::category_rule(category));
            }
            let rank = i64::try_from(comparison.rank).unwrap_or(i64::MAX);
            let group = export::text_hash(&["comparison", &evidence.stream, &comparison.group]);
            (GroupKind::Comparison, group, -rank, category != Category::Rejected)
        }
        (None, Some(task)) if !task.is_empty() => {
            let standing = match category {
                Category::Accepted => 2,
                Category::PartiallyAccepted => 1,
                Category::Rejected => 0,
                Category::NeedsHumanReview => return Entry::Skipped(export::category_rule(category)),
            };
            (GroupKind::Task, export::text_hash(&["task", task]), standing, standing > 0)
        }
        _ => return Entry::Skipped(NO_TASK),
    };
    if screen.is_synthetic() {
        return Entry::Skipped(export::SYNTHETIC);
    }
    let gates = || -> Result<(TextHash, TextHash), Refusal> {
        let run = export::grounded(evidence)?;
        let prompt = export::present("instruction", "empty_prompt", evidence.instruction.as_deref())?;
        let response = export::present("response", "empty_response", evidence.response.as_deref())?;
        debug_assert!(!prompt.is_empty());
        screen.row()?;
        Ok((export::text_hash(&[run]), export::text_hash(&[&normalised(response)])))
    };
    match gates() {
        Ok((run, text)) => {
            let key = evidence.key.clone();
            Entry::Candidate(Candidate { kind, group, standing, can_win, run, text, key })
        }
        Err(refusal) => Entry::Refused(refusal),
    }
}

/// White space folded: two answers that differ only in it are the same answer.
fn normalised(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What became of each member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A side of at least one pair.
    Paired,
    /// The same text as the member at this index.
    Duplicate(usize),
    /// In no pair, by the rule of this name.
    Skipped(&'static str),
}

/// The pairs of one group, and what became of each member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Indices of (chosen, rejected).
    pub pairs: Vec<(usize, usize)>,
    /// One for each member.
    pub fates: Vec<Fate>,
}

/// Pairs the members of one group, which are in source order. Pairs are taken by the larger gap in standing, then by
/// the chosen key, then by the rejected key, `max_pairs` at most.
pub fn select(members: &[Candidate], max_pairs: usize) -> Selection {
    let mut fates = vec![Fate::Skipped(UNPAIRED); members.len()];
    let mut first_with_text = std::collections::BTreeMap::new();
    let mut distinct = Vec::new();
    for (index, member) in members.iter().enumerate() {
        // The same text on both sides of a judgement is no duplicate but a contradiction: it must not pair with
        // itself, yet it may pair with others; only the same text at the same standing repeats anything.
        match first_with_text.entry((member.standing, member.text)) {
            std::collections::btree_map::Entry::Occupied(first) => {
                fates[index] = Fate::Duplicate(*first.get());
            }
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert(index);
                distinct.push(index);
            }
        }
    }
    // Best first and worst first: the largest gaps come out early, so that a task with thousands of runs is not
    // multiplied out before the cap cuts it.
    let mut by_standing: std::collections::BTreeMap<i64, Vec<usize>> = std::collections::BTreeMap::new();
    for &index in &distinct {
        by_standing.entry(members[index].standing).or_default().push(index);
    }
    for level in by_standing.values_mut() {
        level.sort_by(|&a, &b| members[a].key.cmp(&members[b].key));
    }
    let mut levels: Vec<(i64, i64)> = Vec::new();
    // In a comparison, the best side against each worse one: middle ranks were not judged against each other.
    let comparison = members.first().is_some_and(|m| m.kind == GroupKind::Comparison);
    for &better in by_standing.keys().rev().take(if comparison { 1 } else { usize::MAX }) {
        for &worse in by_standing.keys().filter(|w| **w < better) {
            levels.push((better, worse));
        }
    }
    levels.sort_by_key(|(better, worse)| (std::cmp::Reverse(better - worse), std::cmp::Reverse(*better)));
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for gap in levels.chunk_by(|a, b| a.0 - a.1 == b.0 - b.1) {
        let taken = pairs.len();
        for (better, worse) in gap {
            let (chosen, rejected) = (&by_standing[better], &by_standing[worse]);
            let may_pair = |c: &usize, r: &usize| {
                let (c, r) = (&members[*c], &members[*r]);
                c.can_win && c.text != r.text && c.run != r.run
            };
            // Each search ends at the first partner, and both lists are in key order, so the first `max_pairs` found
            // are the first in order: a task with thousands of runs is never multiplied out.
            for c in chosen.iter().filter(|c| rejected.iter().any(|r| may_pair(c, r))) {
                fates[*c] = Fate::Skipped(OVER_CAP);
            }
            for r in rejected.iter().filter(|r| chosen.iter().any(|c| may_pair(c, r))) {
                fates[*r] = Fate::Skipped(OVER_CAP);
            }
            let found = chosen.iter().flat_map(|c| rejected.iter().map(move |r| (*c, *r)));
            pairs.extend(found.filter(|(c, r)| may_pair(c, r)).take(max_pairs - taken));
        }
        pairs[taken..].sort_by(|a, b| {
            (&members[a.0].key, &members[a.1].key).cmp(&(&members[b.0].key, &members[b.1].key))
        });
        pairs.truncate(max_pairs);
    }
    for &(chosen, rejected) in &pairs {
        fates[chosen] = Fate::Paired;
        fates[rejected] = Fate::Paired;
    }
    Selection { pairs, fates }
}

/// One side of a pair: what the row takes from an evidence record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The evidence's object id.
    pub id: ObjectId,
    /// The run.
    pub run_id: String,
    /// What was asked.
    pub instruction: String,
    /// What was answered.
    pub response: String,
    /// Its rank in the comparison; 0 without one.
    pub rank: u64,
    /// Where it comes from.
    pub provenance: Provenance,
}

impl Side {
    /// Takes the side of a record whose object id is `id`.
    pub fn of(id: ObjectId, evidence: EvidenceRecord) -> Self {
        Self {
            id,
            run_id: evidence.run_id.unwrap_or_default(),
            instruction: evidence.instruction.unwrap_or_default(),
            response: evidence.response.unwrap_or_default(),
            rank: evidence.comparison.map_or(0, |c| c.rank),
            provenance: evidence.provenance,
        }
    }
}

/// The row of a selected pair under `key`.
pub fn row(
    key: String,
    kind: GroupKind,
    chosen: Side,
    rejected: Side,
    categories: (Category, Category),
) -> PreferenceSample {
    let reason = match kind {
        GroupKind::Task => {
            format!("same task: {} beats {}", categories.0.as_str(), categories.1.as_str())
        }
        GroupKind::Comparison => {
            format!("one comparison: rank {} beats rank {}", chosen.rank, rejected.rank)
        }
    };
    PreferenceSample {
        chosen: chosen.response,
        evidence_ids: Sides { chosen: chosen.id, rejected: rejected.id },
        id: key,
        prompt: chosen.instruction,
        provenance: Sides { chosen: chosen.provenance, rejected: rejected.provenance },
        reason,
        rejected: rejected.response,
        schema: SchemaTag::new(),
        source_run_ids: Sides { chosen: chosen.run_id, rejected: rejected.run_id },
    }
}

/// The key of a pair: `<chosen key>+<16 digits of the rejected sig_hash>`.
pub fn pair_key(chosen_key: &str, rejected_sig_hash: &str) -> Result<String, KeyError> {
    preference_key(chosen_key, rejected_sig_hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(key: &str, standing: i64, text: u8) -> Candidate {
        let (kind, group) = (GroupKind::Task, [0; 16]);
        let run = export::text_hash(&[key]);
        let key = key.to_owned();
        Candidate { kind, group, standing, can_win: standing > 0, run, text: [text; 16], key }
    }

    #[track_caller]
    fn check(members: &[Candidate], max_pairs: usize, pairs: &[(usize, usize)], fates: &[Fate]) {
        let selection = select(members, max_pairs);
        assert_eq!(selection.pairs, pairs);
        assert_eq!(selection.fates, fates);
    }

    #[test]
    fn the_larger_gap_comes_first_then_key_order() {
        let members = [member("b", 2, 1), member("a", 2, 2), member("c", 1, 3), member("d", 0, 4)];
        let all = [(1, 3), (0, 3), (1, 2), (0, 2), (2, 3)];
        check(&members, 8, &all, &[Fate::Paired, Fate::Paired, Fate::Paired, Fate::Paired]);
        let over = Fate::Skipped(OVER_CAP);
        check(&members, 1, &all[..1], &[over.clone(), Fate::Paired, over, Fate::Paired]);
    }

    #[test]
    fn equals_never_pair_and_repeats_are_duplicates() {
        let unpaired = Fate::Skipped(UNPAIRED);
        check(&[member("a", 2, 1), member("b", 2, 2)], 8, &[], &[unpaired.clone(), unpaired.clone()]);
        check(&[member("a", 2, 1), member("b", 0, 1)], 8, &[], &[unpaired.clone(), unpaired]);
        let fates = [Fate::Paired, Fate::Duplicate(0), Fate::Paired];
        check(&[member("a", 2, 1), member("b", 2, 1), member("c", 0, 3)], 8, &[(0, 2)], &fates);
        check(&[], 8, &[], &[]);
    }

    #[test]
    fn a_run_that_was_logged_twice_never_pairs_with_itself() {
        let mut members = [member("a", 2, 1), member("b", 0, 2), member("c", 0, 3)];
        members[1].run = members[0].run;
        let fates = [Fate::Paired, Fate::Skipped(UNPAIRED), Fate::Paired];
        check(&members, 8, &[(0, 2)], &fates);
        check(&members[..2], 8, &[], &[Fate::Skipped(UNPAIRED), Fate::Skipped(UNPAIRED)]);
    }

    #[test]
    fn a_comparison_pairs_its_best_side_only() {
        let mut members = [member("a", -2, 1), member("b", -1, 2), member("c", -3, 3)];
        for m in &mut members {
            (m.kind, m.can_win) = (GroupKind::Comparison, true);
        }
        check(&members, 8, &[(1, 2), (1, 0)], &[Fate::Paired, Fate::Paired, Fate::Paired]);
    }
}
