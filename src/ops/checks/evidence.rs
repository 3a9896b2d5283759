//! Evidence: each record is valid, lies under its date, and carries the hash of the row it was made from.
//!
//! Rests on the schemas' own validators and on the canonicaliser. Invariant: a hash is computed from the stored bytes of
//! the source unit, never taken from another record.

use crate::ops::checks::{Breach, Found, Subject};
use crate::ops::error::OpError;
use crate::pipeline::source::sig_hash;
use crate::record::EvidenceRecord;
use crate::record::Provenance;
use crate::record::Record;
use crate::record::source_key;

/// Every evidence record validates, is canonical, and has the key under which it lies.
pub(crate) fn valid(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    subject.each::<EvidenceRecord>("evidence", found, |entry, record, found| {
        let breach = |detail| Breach::of("evidence", &entry.key, detail).from(&record.provenance);
        for violation in record.validate() {
            found.push(breach(violation.to_string()));
        }
        found.require(record.key == entry.key, || breach(format!("it calls itself `{}`", record.key)));
        let again = record.to_object_bytes().ok();
        found.require(again.as_deref() == Some(&*subject.bytes(&entry.id)?), || {
            breach("it is not in its canonical form".to_owned())
        });
        Ok(())
    })
}

/// Every `sig_hash` recomputes from the stored bytes of its row.
pub(crate) fn signatures(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    subject.each::<EvidenceRecord>("evidence", found, |entry, record, found| {
        if let Some(detail) = signature(subject, &record.provenance)? {
            found.push(Breach::of("evidence", &entry.key, detail).from(&record.provenance));
        }
        Ok(())
    })
}

/// What is wrong with the `sig_hash` of `provenance`, if anything is.
pub(crate) fn signature(subject: &Subject<'_>, provenance: &Provenance) -> Result<Option<String>, OpError> {
    let raw = subject.bytes(&provenance.raw_id)?;
    let sig_hash = match sig_hash(&raw, provenance.unit) {
        Ok(sig_hash) => hex::encode(sig_hash),
        Err(error) => {
            return Ok(Some(format!("its source row {} has no canonical form: {error}", provenance.raw_id)));
        }
    };
    let claimed = provenance.sig_hash.as_deref().unwrap_or("null");
    Ok((claimed != sig_hash).then(|| format!("its sig_hash is {claimed}, but its row has {sig_hash}")))
}

/// What is wrong with the way from `provenance` to the source unit, if anything is.
pub(crate) fn source(subject: &Subject<'_>, provenance: &Provenance) -> Result<Option<String>, OpError> {
    let Ok(unit) = source_key(&provenance.source_file, provenance.line_offset) else {
        return Ok(Some("its provenance names no source unit".to_owned()));
    };
    match subject.get("sources", &unit)? {
        Some(entry) if entry.id == provenance.raw_id => signature(subject, provenance),
        Some(entry) => Ok(Some(format!(
            "its row is said to be {}, but `sources` has {} at {unit}",
            provenance.raw_id, entry.id
        ))),
        None => Ok(Some(format!("`sources` has no unit {unit}"))),
    }
}
