//! Receipts: each stage read what the stage before put out, counts are those of the trees, and the chain is whole.
//!
//! Rests on the commit's own roots: a receipt is true when it says of the commit what the commit is.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::checks::{Breach, Found, Subject};
use crate::ops::error::OpError;
use crate::pipeline::metrics::metrics;
use crate::record::CategoryCounts;
use crate::record::DriftReport;
use crate::record::Record as _;
use crate::record::RunSummary;
use crate::record::ScoredRun;
use crate::record::StageReceipt;
use crate::repo::worktree::single_file;
use crate::repo::{REPLAY, STAGES};
use crate::tree;

/// Receipts chain: each stage's inputs are the roots that the stage before put out, and these are the commit's; and each
/// names the receipt before it.
pub(crate) fn chain(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    let mut made: BTreeMap<&str, RootId> = BTreeMap::new();
    let own_replay = subject.receipts.get(REPLAY).filter(|(_, r)| r.run_id == subject.commit.run_id);
    for stage in STAGES.into_iter().chain(own_replay.map(|_| REPLAY)) {
        let Some((_, receipt)) = subject.receipts.get(stage) else {
            found.push(Breach::new(format!("there is no receipt of the stage `{stage}`")));
            continue;
        };
        let breach = |detail: String| Breach::of("receipts", stage, detail);
        for input in receipt.inputs.iter().filter(|input| !is_outside(&input.dataset)) {
            let before = made.get(input.dataset.as_str());
            found.require(before == Some(&input.root), || {
                let said = before.map_or_else(|| "nothing".to_owned(), ToString::to_string);
                breach(format!("it read {} {}, but {said} was put out", input.dataset, input.root))
            });
            size(subject, found, stage, (&input.dataset, input.root), (input.rows, input.bytes))?;
        }
        for output in &receipt.outputs {
            let held = subject.commit.dataset(&output.dataset);
            found.require(held == Some(output.root), || {
                breach(format!(
                    "it put out {} {}, which the commit does not have",
                    output.dataset, output.root
                ))
            });
            size(subject, found, stage, (&output.dataset, output.root), (output.rows, output.bytes))?;
            made.insert(&output.dataset, output.root);
        }
    }
    for (dataset, root) in &subject.commit.datasets {
        found.require(made.get(dataset.as_str()) == Some(root), || {
            Breach::new(format!("no receipt says that `{dataset}` {root} was put out"))
        });
    }
    links(subject, found)
}

/// Whether an input is a file, a run or a snapshot that was searched, and no dataset of the commit.
fn is_outside(dataset: &str) -> bool {
    ["file:", "merged:", "run:", "corpus:"].iter().any(|kind| dataset.starts_with(kind))
}

/// The rows and bytes that a receipt gives a dataset are those of its tree.
fn size(
    subject: &Subject<'_>,
    found: &mut Found,
    stage: &str,
    (dataset, root): (&str, RootId),
    (rows, bytes): (u64, u64),
) -> Result<(), OpError> {
    // A root that is not there is a finding of its own.
    if subject.find.try_find(root.object())?.is_none() {
        found.push(Breach::of(
            "receipts",
            stage,
            format!("the tree {root} of {dataset} is not in the store"),
        ));
        return Ok(());
    }
    let totals = tree::totals(subject.find, root)?;
    found.require((rows, bytes) == (totals.rows, totals.bytes), || {
        let detail = format!(
            "it gives {dataset} {rows} rows and {bytes} bytes, but its tree has {} and {}",
            totals.rows, totals.bytes
        );
        Breach::of("receipts", stage, detail)
    });
    Ok(())
}

/// Each receipt of a run names the one before it, and all of them lead back to the first.
fn links(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    let run = &subject.commit.run_id;
    let own: Vec<(&str, ObjectId, &StageReceipt)> = (STAGES.iter().chain(&[REPLAY]))
        .filter_map(|stage| subject.receipts.get(*stage).map(|(id, receipt)| (*stage, *id, receipt)))
        .filter(|(_, _, receipt)| receipt.run_id == *run)
        .collect();
    for pair in own.windows(2) {
        let ((_, before, _), (stage, _, receipt)) = (pair[0], pair[1]);
        found.require(receipt.previous == Some(before), || {
            let detail = format!("the receipt before it is {before}, but it names {:?}", receipt.previous);
            Breach::of("receipts", stage, detail)
        });
    }
    let Some((_, _, first)) = own.first() else {
        found.push(Breach::new(format!("no receipt is of the run `{run}`")));
        return Ok(());
    };
    let mut previous = first.previous;
    while let Some(id) = previous {
        let Some(bytes) = subject.find.try_find(&id)? else {
            found.push(Breach::new(format!("the receipt {id}, earlier in the chain, is not in the store")));
            return Ok(());
        };
        match StageReceipt::parse(&bytes) {
            Ok(receipt) => previous = receipt.previous,
            Err(error) => {
                found.push(Breach::new(format!("{id}, earlier in the chain, is no receipt: {error}")));
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The commit has a summary and a drift report, both valid, and the summary counts what the datasets hold.
pub(crate) fn reports(subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    let commit = &subject.commit;
    match commit.drift_id {
        None => found.push(Breach::new("the commit has no drift report")),
        Some(id) => match DriftReport::parse(&subject.bytes(&id)?) {
            Err(error) => found.push(Breach::new(error.to_string())),
            Ok(report) => {
                for violation in report.validate() {
                    found.push(Breach::new(format!("the drift report: {violation}")));
                }
            }
        },
    }
    let Some(id) = commit.summary_id else {
        found.push(Breach::new("the commit has no summary"));
        return Ok(());
    };
    let summary = match RunSummary::parse(&subject.bytes(&id)?) {
        Ok(summary) => summary,
        Err(error) => {
            found.push(Breach::new(error.to_string()));
            return Ok(());
        }
    };
    for violation in summary.validate() {
        found.push(Breach::new(format!("the summary: {violation}")));
    }
    for stage in &summary.stages {
        let receipt = subject.receipts.get(&stage.stage);
        found
            .require(receipt.is_some_and(|(id, r)| *id == stage.receipt && r.counts == stage.counts), || {
                Breach::of("receipts", &stage.stage, "the summary says otherwise of it")
            });
    }
    let mut categories = CategoryCounts::default();
    subject.each::<ScoredRun>("scored-runs", found, |_, run, _| {
        categories.add(run.category);
        Ok(())
    })?;
    found.require(categories == summary.categories, || {
        Breach::new(format!("the summary counts {:?}, and there are {categories:?}", summary.categories))
    });
    let counts = subject.receipts.iter().map(|(stage, (_, receipt))| (stage.as_str(), &receipt.counts));
    let again = metrics(counts, &categories);
    for ((name, said), (_, counted)) in summary.metrics.iter().zip(again.iter()) {
        found.require(said == counted, || {
            let detail = format!("the summary says {said}, and the receipts add up to {counted}");
            Breach { record: Some(name.to_owned()), ..Breach::new(detail) }
        });
    }
    Ok(())
}

/// The digests of exports are those of their rows, and of the files in the working tree `root` where they are there.
pub(crate) fn digests(subject: &Subject<'_>, root: Option<&Path>, found: &mut Found) -> Result<(), OpError> {
    let outputs = subject
        .receipts
        .iter()
        .flat_map(|(stage, (_, receipt))| receipt.outputs.iter().map(move |output| (stage, output)));
    for (stage, output) in outputs.filter(|(_, output)| output.dataset.starts_with("exports/")) {
        let (mut blake3, mut sha256) = (blake3::Hasher::new(), Sha256::new());
        for entry in subject.entries(&output.dataset) {
            let bytes = subject.bytes(&entry?.id)?;
            for part in [&bytes[..], b"\n"] {
                blake3.update(part);
                sha256.update(part);
            }
        }
        let blake3 = ObjectId::from_bytes(*blake3.finalize().as_bytes());
        let said = (output.jsonl_blake3.clone(), output.jsonl_sha256.clone());
        found.require(said == (Some(blake3.to_string()), Some(hex::encode(sha256.finalize()))), || {
            let detail = format!("its digests of {} are not those of the rows", output.dataset);
            Breach::of("receipts", stage, detail)
        });
        let Some((root, file)) = root.zip(single_file(&output.dataset)) else { continue };
        let mut hasher = blake3::Hasher::new();
        let path = root.join(file);
        match std::fs::File::open(&path).and_then(|file| hasher.update_reader(file).map(|_| ())) {
            Ok(()) => found.require(hasher.finalize().as_bytes() == blake3.as_bytes(), || Breach {
                file: Some(file.to_owned()),
                ..Breach::new("the file in the working tree is not the export of the audited commit")
            }),
            // Exports need not be checked out.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(OpError::io("read", &path, &error)),
        }
    }
    Ok(())
}
