//! Exports: what a row of a corpus may be, and that it walks to the line it was made from.
//!
//! Rests on the raw JSON for the SFT quality, since a type would hide what stands there. Invariant: what a row may be is told
//! by the options of the commit, and by the scored run of its key, never by the row alone.

use serde::Deserialize;

use crate::object::ObjectId;
use crate::ops::checks::evidence::source;
use crate::ops::checks::{Breach, Found, Subject};
use crate::ops::error::OpError;
use crate::record::Category;
use crate::record::EvidenceRecord;
use crate::record::PreferenceSample;
use crate::record::Provenance;
use crate::record::RagSample;
use crate::record::Record as _;
use crate::record::ScoredRun;
use crate::record::SftSample;

/// The quality of an SFT row, whatever word stands there.
#[derive(Deserialize)]
pub(crate) struct Quality {
    #[serde(default)]
    pub quality_score: String,
}

/// SFT holds accepted runs only, and partially accepted ones where the commit's options say so; each row says of itself
/// what scoring said.
pub(crate) fn sft_is_trainable(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    for entry in subject.entries("exports/sft") {
        let entry = entry?;
        let bytes = subject.bytes(&entry.id)?;
        let quality: Quality =
            serde_json::from_slice(&bytes).unwrap_or(Quality { quality_score: String::new() });
        let word = quality.quality_score;
        let run = subject.record::<ScoredRun>("scored-runs", &entry.key)?.map(|(_, run)| run);
        let breach = |detail: String| {
            let breach = Breach::of("exports/sft", &entry.key, detail);
            run.iter().fold(breach, |breach, run| breach.from(&run.provenance))
        };
        let allowed = word == Category::Accepted.as_str()
            || (subject.options.include_partial && word == Category::PartiallyAccepted.as_str());
        found.require(allowed, || breach(format!("its quality is `{word}`, which this export never holds")));
        match &run {
            Some(run) if run.category.as_str() == word => {}
            Some(run) => {
                found.push(breach(format!("its quality is `{word}`, but scoring said `{}`", run.category)));
            }
            None => found.push(breach("there is no scored run under its key".to_owned())),
        }
    }
    Ok(())
}

/// RAG rows are non-empty and grounded: they have content, a title, the run of their evidence and its category.
pub(crate) fn rag_is_grounded(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    subject.each::<RagSample>("exports/rag", found, |entry, row, found| {
        let mut require = |holds: bool, detail: &str| {
            found.require(holds, || Breach::of("exports/rag", &entry.key, detail).from(&row.provenance));
        };
        require(!row.content.trim().is_empty(), "its content is empty");
        require(!row.title.trim().is_empty(), "its title is empty");
        require(!row.source_run_id.trim().is_empty(), "it names no run");
        require(row.id == entry.key, "it calls itself by another key");
        let evidence = subject.record::<EvidenceRecord>("evidence", &entry.key)?;
        let run = evidence.and_then(|(_, evidence)| evidence.run_id);
        require(run.as_deref() == Some(&row.source_run_id), "it names another run than its evidence");
        let scored = subject.record::<ScoredRun>("scored-runs", &entry.key)?;
        let category = scored.map(|(_, run)| run.category);
        require(
            category == Some(row.source_category.into()),
            "its category is not the one of its scored run",
        );
        Ok(())
    })
}

/// Every export row walks to its source row by hashes: evidence, scored run, source unit, canonical form.
pub(crate) fn rows_walk(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    let dataset = "exports/rag";
    subject.each::<RagSample>(dataset, found, |entry, row, found| {
        walk(subject, found, (dataset, &entry.key), &entry.key, row.evidence_id, &row.provenance)
    })?;
    let dataset = "exports/sft";
    subject.each::<SftSample>(dataset, found, |entry, row, found| {
        walk(subject, found, (dataset, &entry.key), &entry.key, row.evidence_id, &row.provenance)
    })?;
    let dataset = "exports/preference";
    subject.each::<PreferenceSample>(dataset, found, |entry, row, found| {
        let sides = [
            (row.evidence_ids.chosen, &row.provenance.chosen),
            (row.evidence_ids.rejected, &row.provenance.rejected),
        ];
        for (id, provenance) in sides {
            let evidence = match EvidenceRecord::parse(&subject.bytes(&id)?) {
                Ok(evidence) => evidence,
                Err(error) => {
                    found.push(Breach::of(dataset, &entry.key, error.to_string()).from(provenance));
                    continue;
                }
            };
            walk(subject, found, (dataset, &entry.key), &evidence.key, id, provenance)?;
        }
        Ok(())
    })
}

/// Walks from a row to its source unit; `key` is that of its evidence.
fn walk(
    subject: &Subject<'_>,
    found: &mut Found,
    (dataset, row): (&str, &str),
    key: &str,
    evidence_id: ObjectId,
    provenance: &Provenance,
) -> Result<(), OpError> {
    let breach = |detail: String| Breach::of(dataset, row, detail).from(provenance);
    match subject.record::<EvidenceRecord>("evidence", key)? {
        Some((id, _)) if id != evidence_id => {
            found.push(breach(format!("it was made of evidence {evidence_id}, but `{key}` is {id}")));
        }
        Some((_, evidence)) => found.require(evidence.provenance == *provenance, || {
            breach("its provenance is not that of its evidence".to_owned())
        }),
        None => found.push(breach(format!("there is no evidence `{key}`"))),
    }
    let scored = subject.record::<ScoredRun>("scored-runs", key)?;
    found.require(scored.is_some_and(|(_, run)| run.evidence_id == evidence_id), || {
        breach(format!("no scored run of `{key}` is of its evidence"))
    });
    if let Some(detail) = source(subject, provenance)? {
        found.push(breach(detail));
    }
    Ok(())
}
