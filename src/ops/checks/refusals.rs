//! Refusals: what was refused is in quarantine, with reason and provenance, its bytes are kept, and receipts count it.
//!
//! Rests on the canonicaliser for rows that cannot be read: it is asked again, and must refuse with the same words.

use std::collections::BTreeMap;

use crate::base::json;
use crate::ops::checks::{Breach, Found, Subject};
use crate::ops::error::OpError;
use crate::record::QuarantineEntry;
use crate::record::Record as _;
use crate::record::Unit;
use crate::record::source_key;

/// Unreadable rows are quarantined with file, line and byte offset, and their bytes are kept.
pub(crate) fn unreadable(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    for entry in subject.below("quarantine", "evidence/") {
        let entry = entry?;
        let Some((_, record)) = subject.record::<QuarantineEntry>("quarantine", &entry.key)? else {
            continue;
        };
        if !record.reason.starts_with("json_") && record.reason != "unterminated" {
            continue;
        }
        let provenance = &record.provenance;
        let breach = |detail: String| Breach::of("quarantine", &entry.key, detail).from(provenance);
        let unit = source_key(&provenance.source_file, provenance.line_offset).unwrap_or_default();
        let kept = subject.get("sources", &unit)?;
        let held = kept.is_some_and(|kept| kept.id == record.refused_id && kept.id == provenance.raw_id);
        found.require(held, || breach("its bytes are not what `sources` keeps of its unit".to_owned()));
        let raw = subject.bytes(&record.refused_id)?;
        match json::canonicalize(&raw, &mut Vec::new()) {
            Err(error) => {
                let same = record.reason == "unterminated" || record.reason == error.code.as_str();
                found.require(same, || breach(format!("its bytes are refused as {error}")));
                let offset = format!("at byte {}", error.offset);
                found.require(record.detail.contains(&offset), || {
                    breach(format!("its detail does not say `{offset}`: {}", record.detail))
                });
            }
            // A file of several texts is refused for what is wrong with it as one.
            Ok(()) => found.require(provenance.unit == Unit::File, || {
                breach("the bytes that are kept can be read, so they are not what was refused".to_owned())
            }),
        }
    }
    Ok(())
}

/// Every refusal is in quarantine, with reason and provenance, and what was refused is kept; the receipts count the same.
pub(crate) fn kept(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    subject.each::<QuarantineEntry>("quarantine", found, |entry, record, found| {
        let provenance = &record.provenance;
        let breach = |detail: String| Breach::of("quarantine", &entry.key, detail).from(provenance);
        for violation in record.validate() {
            found.push(breach(violation.to_string()));
        }
        found.require(record.id == entry.key, || breach(format!("it calls itself `{}`", record.id)));
        let unit = source_key(&provenance.source_file, provenance.line_offset).unwrap_or_default();
        found.require(subject.get("sources", &unit)?.is_some(), || {
            breach("its source unit is not in `sources`".to_owned())
        });
        found.require(subject.find.try_find(&record.refused_id)?.is_some(), || {
            breach("what was refused is not kept".to_owned())
        });
        *counts.entry((record.stage, record.reason)).or_default() += 1;
        Ok(())
    })?;
    for (stage, (_, receipt)) in &subject.receipts {
        let there: BTreeMap<String, u64> = (counts.iter().filter(|((of, _), _)| of == stage))
            .map(|((_, reason), n)| (reason.clone(), *n))
            .collect();
        found.require(there == receipt.quarantined_by, || {
            let counted = &receipt.quarantined_by;
            let detail = format!("it counts refusals {counted:?}, but quarantine holds {there:?}");
            Breach::of("receipts", stage, detail)
        });
    }
    Ok(())
}
