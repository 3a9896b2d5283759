//! What a unit has put into the datasets: what goes when it goes, or is made again.
//!
//! Rests on facts and keys. Invariant: the entries named here are those that the worker makes of the same fact.

use crate::ops::engine::edits::Dataset;
use crate::ops::engine::facts::{ExportFact, PairFact, UnitFact, UnitVerdict};
use crate::ops::engine::worker::bad_key;
use crate::ops::error::OpError;
use crate::record::{duplicate_key, quarantine_key, source_key};

/// The entries that a unit has in the datasets below `sources`.
pub(crate) fn removals(
    file: &str,
    unit: u64,
    fact: &UnitFact,
    out: &mut Vec<(Dataset, String)>,
) -> Result<(), OpError> {
    let source = source_key(file, unit).map_err(|e| bad_key(&e))?;
    match (&fact.verdict, &fact.duplicate_of) {
        (UnitVerdict::Skipped(_), _) => return Ok(()),
        (UnitVerdict::Refused(reason), _) => {
            let key = quarantine_key("evidence", reason, &source).map_err(|e| bad_key(&e))?;
            out.push((Dataset::Quarantine, key));
            return Ok(());
        }
        (UnitVerdict::Records, Some(_)) => {
            out.push((Dataset::Duplicates, duplicate_key("evidence", &source).map_err(|e| bad_key(&e))?));
            return Ok(());
        }
        (UnitVerdict::Records, None) => {}
    }
    for output in &fact.outputs {
        let key = &output.key;
        out.push((Dataset::Evidence, key.clone()));
        out.push((Dataset::ScoredRuns, key.clone()));
        for (dataset, stage, export) in
            [(Dataset::Rag, "export-rag", &output.rag), (Dataset::Sft, "export-sft", &output.sft)]
        {
            match export {
                ExportFact::Row(_, None) => out.push((dataset, key.clone())),
                ExportFact::Row(_, Some(_)) => {
                    out.push((Dataset::Duplicates, duplicate_key(stage, key).map_err(|e| bad_key(&e))?));
                }
                ExportFact::Refused(reason) => {
                    out.push((
                        Dataset::Quarantine,
                        quarantine_key(stage, reason, key).map_err(|e| bad_key(&e))?,
                    ));
                }
                ExportFact::Skipped(_) => {}
            }
        }
        if let PairFact::Refused(reason) = &output.pair {
            let key = quarantine_key("export-preference", reason, key).map_err(|e| bad_key(&e))?;
            out.push((Dataset::Quarantine, key));
        }
    }
    Ok(())
}
