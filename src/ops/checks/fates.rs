//! Conservation: every unit has exactly one fate, and what comes into a stage is the sum of its fates.
//!
//! Rests on the datasets, which are counted again: a receipt is held against the rows, never against itself alone. Memory
//! is 16 bytes for each source unit. What quarantine says of single rows is for `refusals`, scored runs are for `scores`.

use rustc_hash::FxHashSet;

use crate::ops::checks::{Breach, Found, Subject};
use crate::ops::error::OpError;
use crate::record::DuplicateEntry;
use crate::record::EvidenceRecord;
use crate::record::PreferenceSample;
use crate::record::Provenance;
use crate::record::QuarantineEntry;
use crate::record::source_key;

/// Stage, and the dataset whose rows come into it.
const TAKES: [(&str, &str); 6] = [
    ("sources", "sources"),
    ("evidence", "sources"),
    ("score", "evidence"),
    ("export-rag", "evidence"),
    ("export-sft", "evidence"),
    ("export-preference", "evidence"),
];

/// Every unit has exactly one fate, and `rows_in` is their sum, at every stage.
pub(crate) fn one_each(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    for (stage, dataset) in TAKES {
        if !subject.receipts.contains_key(stage) {
            found.push(Breach::new(format!("there is no receipt of the stage `{stage}`")));
            continue;
        }
        let rows = subject.rows(dataset)?;
        let rows_in = subject.receipts[stage].1.counts.rows_in;
        found.require(rows_in == rows, || {
            let detail = format!("{rows_in} units came in, but `{dataset}` has {rows} rows");
            Breach::of("receipts", stage, detail)
        });
    }
    for (stage, (_, receipt)) in &subject.receipts {
        let c = &receipt.counts;
        found.require(c.fates() == c.rows_in, || {
            let detail = format!("rows_in is {}, but the fates add up to {}", c.rows_in, c.fates());
            Breach::of("receipts", stage, detail)
        });
        for (name, parts, whole) in [
            ("skipped_by", &receipt.skipped_by, c.skipped),
            ("quarantined_by", &receipt.quarantined_by, c.quarantined),
        ] {
            let sum: u64 = parts.values().sum();
            found.require(sum == whole, || {
                Breach::of("receipts", stage, format!("{name} adds up to {sum}, but there are {whole}"))
            });
        }
    }
    units(subject, found)?;
    for (stage, dataset) in [("export-rag", "exports/rag"), ("export-sft", "exports/sft")] {
        rows(subject, found, stage, dataset)?;
    }
    sides(subject, found)
}

/// The fates of the source units: consumed, repeated or refused, one of them at most; the others are skips.
fn units(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    let mut consumed = FxHashSet::default();
    subject.each::<EvidenceRecord>("evidence", found, |entry, record, found| {
        match unit(&record.provenance) {
            Some((unit, hash)) => {
                if consumed.insert(hash) && subject.get("sources", &unit)?.is_none() {
                    let breach = Breach::of("evidence", &entry.key, "its source unit is not in `sources`");
                    found.push(breach.from(&record.provenance));
                }
            }
            None => found.push(Breach::of("evidence", &entry.key, "it names no source unit")),
        }
        Ok(())
    })?;
    let made = consumed.len() as u64;
    let mut others = FxHashSet::default();
    let mut other = |dataset: &str, key: &str, provenance: &Provenance, found: &mut Found| {
        let Some((_, hash)) = unit(provenance) else { return };
        let fates = u64::from(consumed.contains(&hash)) + u64::from(!others.insert(hash));
        found.require(fates == 0, || {
            Breach::of(dataset, key, "its unit has another fate besides this one").from(provenance)
        });
    };
    let mut repeated = 0;
    for entry in subject.below("duplicates", "evidence/") {
        let entry = entry?;
        repeated += 1;
        if let Some((_, record)) = subject.record::<DuplicateEntry>("duplicates", &entry.key)? {
            other("duplicates", &entry.key, &record.provenance, found);
        }
    }
    for entry in subject.below("quarantine", "evidence/") {
        let entry = entry?;
        if let Some((_, record)) = subject.record::<QuarantineEntry>("quarantine", &entry.key)? {
            other("quarantine", &entry.key, &record.provenance, found);
        }
    }
    let Some((_, receipt)) = subject.receipts.get("evidence") else { return Ok(()) };
    let counts = receipt.counts;
    let records = subject.rows("evidence")?;
    for (what, counted, there) in [
        ("consumed units", counts.consumed, made),
        ("records", counts.records, records),
        ("duplicates", counts.duplicates, repeated),
    ] {
        found.require(counted == there, || {
            let detail = format!("it counts {counted} {what}, but the datasets hold {there}");
            Breach::of("receipts", "evidence", detail)
        });
    }
    Ok(())
}

/// The name of a source unit, and its fingerprint.
fn unit(provenance: &Provenance) -> Option<(String, u128)> {
    let key = source_key(&provenance.source_file, provenance.line_offset).ok()?;
    let hash = blake3::hash(key.as_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    Some((key, u128::from_le_bytes(half)))
}

/// The fates of evidence in an export of single rows.
fn rows(subject: &Subject<'_>, found: &mut Found, stage: &str, dataset: &str) -> Result<(), OpError> {
    let Some((_, receipt)) = subject.receipts.get(stage) else { return Ok(()) };
    let mut repeated = 0;
    for entry in subject.below("duplicates", &format!("{stage}/")) {
        let entry = entry?;
        repeated += 1;
        two_fates(subject, found, dataset, &entry.key, entry.key.get(stage.len() + 1..))?;
    }
    for entry in subject.below("quarantine", &format!("{stage}/")) {
        let key = entry?.key;
        let record = key.splitn(3, '/').nth(2).map(str::to_owned);
        two_fates(subject, found, dataset, &key, record.as_deref())?;
    }
    let counts = receipt.counts;
    let there = subject.rows(dataset)?;
    for (what, counted, there) in [
        ("consumed records", counts.consumed, there),
        ("rows", counts.records, there),
        ("duplicates", counts.duplicates, repeated),
    ] {
        found.require(counted == there, || {
            let detail = format!("it counts {counted} {what}, but the datasets hold {there}");
            Breach::of("receipts", stage, detail)
        });
    }
    Ok(())
}

/// Notes evidence that is a row of an export and was refused or repeated there as well.
fn two_fates(
    subject: &Subject<'_>,
    found: &mut Found,
    dataset: &str,
    entry: &str,
    record: Option<&str>,
) -> Result<(), OpError> {
    if let Some(record) = record
        && subject.get(dataset, record)?.is_some()
    {
        found.push(Breach::of(dataset, record, format!("it is a row, and `{entry}` says otherwise")));
    }
    Ok(())
}

/// Evidence that was used in pairs is counted once, whatever the number of pairs.
fn sides(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    let stage = "export-preference";
    let Some((_, receipt)) = subject.receipts.get(stage) else { return Ok(()) };
    let (mut used, mut rows) = (FxHashSet::default(), 0);
    subject.each::<PreferenceSample>("exports/preference", found, |_, pair, _| {
        rows += 1;
        used.insert(pair.evidence_ids.chosen);
        used.insert(pair.evidence_ids.rejected);
        Ok(())
    })?;
    let repeated = subject.below("duplicates", "export-preference/").count() as u64;
    let counts = receipt.counts;
    for (what, counted, there) in [
        ("consumed records", counts.consumed, used.len() as u64),
        ("pairs", counts.records, rows),
        ("duplicates", counts.duplicates, repeated),
    ] {
        found.require(counted == there, || {
            let detail = format!("it counts {counted} {what}, but the datasets hold {there}");
            Breach::of("receipts", stage, detail)
        });
    }
    Ok(())
}
