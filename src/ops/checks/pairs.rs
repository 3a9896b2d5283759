//! Preference pairs: two different runs, two different texts, one task, and a judgement between them.
//!
//! Rests on evidence and scored runs, never on what the pair says of itself. Invariant: each check looks at one thing, so
//! that a pair which is wrong in one way fails one check.

use crate::ops::checks::{Breach, Found, Subject};
use crate::ops::error::OpError;
use crate::record::Category;
use crate::record::EvidenceRecord;
use crate::record::PreferenceSample;
use crate::record::Record as _;
use crate::record::ScoredRun;
use crate::tree;

/// No pair of a run with itself: the sides are other evidence, of other runs.
pub(crate) fn no_self(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    subject.each::<PreferenceSample>("exports/preference", found, |entry, pair, found| {
        let same = pair.evidence_ids.chosen == pair.evidence_ids.rejected
            || pair.source_run_ids.chosen == pair.source_run_ids.rejected;
        found.require(!same, || {
            let detail = format!("both sides are the run `{}`", pair.source_run_ids.chosen);
            breach(entry, &pair, detail)
        });
        Ok(())
    })
}

/// No pair of identical text, white space apart.
pub(crate) fn no_same_text(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    subject.each::<PreferenceSample>("exports/preference", found, |entry, pair, found| {
        let same = pair.chosen.split_whitespace().eq(pair.rejected.split_whitespace());
        found.require(!same, || breach(entry, &pair, "both answers are one text".to_owned()));
        Ok(())
    })
}

/// Pairs join one task, or one comparison, and the chosen side was judged strictly better. What pairs with itself is
/// left to [`no_self`].
pub(crate) fn judged(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    subject.each::<PreferenceSample>("exports/preference", found, |entry, pair, found| {
        let ids = [pair.evidence_ids.chosen, pair.evidence_ids.rejected];
        if ids[0] == ids[1] {
            return Ok(());
        }
        let mut sides = Vec::new();
        for id in ids {
            let Ok(evidence) = EvidenceRecord::parse(&subject.bytes(&id)?) else {
                found.push(breach(entry, &pair, format!("{id} is no evidence")));
                return Ok(());
            };
            let scored = subject.record::<ScoredRun>("scored-runs", &evidence.key)?;
            sides.push((evidence, scored.map(|(_, run)| run.category)));
        }
        let [(a, a_category), (b, b_category)] = &sides[..] else { return Ok(()) };
        let detail = match (&a.comparison, &b.comparison) {
            (Some(x), Some(y)) if x.group != y.group || a.stream != b.stream => {
                "its sides are of two comparisons".to_owned()
            }
            (Some(x), Some(y)) if x.rank >= y.rank => {
                format!("it chose rank {} over rank {}", x.rank, y.rank)
            }
            (Some(_), Some(_)) => return Ok(()),
            _ if a.task_id.as_deref().is_none_or(str::is_empty) => "its chosen side has no task".to_owned(),
            _ if a.task_id != b.task_id => "its sides are of two tasks".to_owned(),
            _ => match (a_category.and_then(standing), b_category.and_then(standing)) {
                (Some(better), Some(worse)) if better > worse => return Ok(()),
                _ => "its chosen side was not judged strictly better".to_owned(),
            },
        };
        found.push(breach(entry, &pair, detail));
        Ok(())
    })
}

/// How good a run of a category is; nothing where nobody judged.
const fn standing(category: Category) -> Option<u8> {
    match category {
        Category::Accepted => Some(2),
        Category::PartiallyAccepted => Some(1),
        Category::Rejected => Some(0),
        Category::NeedsHumanReview => None,
    }
}

fn breach(entry: &tree::Entry, pair: &PreferenceSample, detail: String) -> Breach {
    Breach::of("exports/preference", &entry.key, detail).from(&pair.provenance.chosen)
}
