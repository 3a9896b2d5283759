//! Scored runs: one for each piece of evidence, of a legal category, by a rule that the policy has.
//!
//! Rests on the raw JSON where a type would hide what stands there: a fifth category is no `Category`, and has to be named.

use serde::Deserialize;

use crate::ops::checks::{Breach, Found, Subject};
use crate::ops::error::OpError;
use crate::pipeline::signals::Level;
use crate::record::Category;
use crate::record::EvidenceRecord;
use crate::record::Provenance;
use crate::record::Record as _;
use crate::record::ScoredRun;
use crate::tree;

/// Every evidence record has exactly one scored run, and every scored run its evidence.
pub(crate) fn one_each(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    let roots = ["evidence", "scored-runs"].map(|dataset| subject.commit.dataset(dataset));
    let [Some(evidence), Some(scored)] = roots else {
        let missing = if roots[0].is_none() { "evidence" } else { "scored-runs" };
        found.push(Breach::new(format!("the commit has no dataset `{missing}`")));
        return Ok(());
    };
    let mut waiting: Option<tree::Entry> = None;
    let unscored = |entry: &tree::Entry| Breach::of("evidence", &entry.key, "it has no scored run");
    for entry in tree::together(subject.find, [evidence, scored]) {
        let (at, entry) = entry?;
        if at == 0 {
            if let Some(entry) = waiting.replace(entry) {
                found.push(placed(subject, unscored(&entry), &entry)?);
            }
            continue;
        }
        let of = waiting.take_if(|evidence| evidence.key == entry.key);
        let Ok(run) = ScoredRun::parse(&subject.bytes(&entry.id)?) else {
            found.push(Breach::of("scored-runs", &entry.key, "it is no scored run"));
            continue;
        };
        let detail = match of {
            Some(evidence) if run.evidence_id == evidence.id && run.key == entry.key => continue,
            Some(evidence) => {
                format!("it is of evidence {}, but {} lies under its key", run.evidence_id, evidence.id)
            }
            None => "there is no evidence under its key".to_owned(),
        };
        found.push(Breach::of("scored-runs", &entry.key, detail).from(&run.provenance));
    }
    if let Some(entry) = waiting {
        found.push(placed(subject, unscored(&entry), &entry)?);
    }
    Ok(())
}

/// The breach, with the source row of the evidence that it is about.
fn placed(subject: &Subject<'_>, breach: Breach, evidence: &tree::Entry) -> Result<Breach, OpError> {
    Ok(match EvidenceRecord::parse(&subject.bytes(&evidence.id)?) {
        Ok(record) => breach.from(&record.provenance),
        Err(_) => breach,
    })
}

/// What a scored run says, whatever words stand there.
#[derive(Deserialize)]
struct Plain {
    category: String,
    deciding_rule: String,
    reasons: Vec<String>,
    provenance: Provenance,
}

/// Only the four categories, each with a deciding rule that the policy has and that gives this category.
pub(crate) fn legal(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    for entry in subject.entries("scored-runs") {
        let entry = entry?;
        let breach = |detail: String| Breach::of("scored-runs", &entry.key, detail);
        let plain: Plain = match serde_json::from_slice(&subject.bytes(&entry.id)?) {
            Ok(plain) => plain,
            Err(error) => {
                found.push(breach(format!("it cannot be read: {error}")));
                continue;
            }
        };
        let breach = |detail: String| breach(detail).from(&plain.provenance);
        let word = &plain.category;
        found.require(Category::ALL.iter().any(|category| category.as_str() == word), || {
            breach(format!("its category is `{word}`, which is none of the four"))
        });
        match subject.policy.rules.iter().find(|rule| rule.id == plain.deciding_rule) {
            None => found.push(breach(format!("the policy has no rule `{}`", plain.deciding_rule))),
            Some(rule) => found.require(rule.category.as_str() == word, || {
                breach(format!("the rule `{}` gives `{}`, not `{word}`", rule.id, rule.category))
            }),
        }
        found.require(plain.reasons.iter().any(|reason| !reason.trim().is_empty()), || {
            breach("it gives no reason".to_owned())
        });
    }
    Ok(())
}

/// A human override decides alone, whatever machines say: so it is under a policy that keeps the order of trust.
pub(crate) fn people_decide(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    subject.each::<EvidenceRecord>("evidence", found, |entry, record, found| {
        let Some(human) = &record.human_override else { return Ok(()) };
        let Some((_, run)) = subject.record::<ScoredRun>("scored-runs", &entry.key)? else {
            return Ok(());
        };
        let wanted = match subject.policy.words.level(&human.verdict) {
            Level::Accept => Category::Accepted,
            Level::Partial => Category::PartiallyAccepted,
            Level::Reject => Category::Rejected,
            Level::None | Level::Review | Level::Unknown => Category::NeedsHumanReview,
        };
        found.require(run.category == wanted, || {
            let detail = format!(
                "a person said `{}`, and the rule `{}` made it `{}`",
                human.verdict, run.deciding_rule, run.category
            );
            Breach::of("scored-runs", &entry.key, detail).from(&record.provenance)
        });
        Ok(())
    })
}
