//! One-shot stages: scores and exports made again from the evidence that HEAD has.
//!
//! Rests on the same functions as a run. Invariant: the datasets are those that `run-all` would make of the same
//! evidence; records are taken in source order, which their provenance tells.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::sort::{Sorted, Sorter};
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::engine::edits::{Dataset, Edits, spill_failed};
use crate::ops::engine::grow::grow;
use crate::ops::engine::ledger::Ledger;
use crate::ops::engine::maker::{Maker, Wanted, deliver};
use crate::ops::engine::pairs::{Pairing, Position, State};
use crate::ops::engine::tally::{Tallies, export};
use crate::ops::engine::worker::judge;
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::progress::Progress;
use crate::pipeline::policy::Policy;
use crate::pipeline::score;
use crate::pipeline::secret::Scanner;
use crate::record::EvidenceRecord;
use crate::record::Record as _;
use crate::record::ScoredRun;
use crate::repo::Options;
use crate::store::{Staging, Store};
use crate::tree;

/// Memory of the sort into source order, in bytes.
const MEMORY_BYTES: usize = 64 << 20;
/// Records between two deliveries to the pack.
const RECORDS_PER_DELIVERY: u64 = 1024;

/// What to make again.
pub(crate) struct Rework<'a> {
    pub store: &'a Store,
    pub tmp_dir: PathBuf,
    pub policy: &'a Policy,
    pub options: &'a Options,
    pub scanner: &'a Scanner,
    pub wanted: Wanted,
    /// The datasets of HEAD.
    pub bases: BTreeMap<String, RootId>,
    pub threads: usize,
    pub progress: &'a dyn Progress,
}

/// Makes the wanted datasets again; the others keep their roots.
pub(crate) fn rework(
    plan: &Rework<'_>,
    staging: &mut Staging,
) -> Result<(BTreeMap<String, RootId>, Tallies), OpError> {
    let wanted = plan.wanted;
    let base = |dataset: Dataset| {
        plan.bases.get(dataset.name()).copied().ok_or_else(|| {
            let message = format!("HEAD has no dataset `{}`", dataset.name());
            OpError::new(ErrorKind::Usage, message, "run `distill run-all` first")
        })
    };
    let evidence_root = base(Dataset::Evidence)?;
    let scored_root = if wanted.score { None } else { Some(base(Dataset::ScoredRuns)?) };
    let mut edits = Edits::new(&plan.tmp_dir);
    let mut pairing = Pairing::new(&plan.tmp_dir);
    let mut ledger = Ledger::default();
    let mut tallies = Tallies::default();
    let empty = plan.store.packs().is_empty();
    let mut maker = Maker::with(plan.store, empty, wanted);
    plan.progress.begin("reading evidence", None);
    let ordered = in_source_order(plan.store, &plan.tmp_dir, plan.progress, evidence_root)?;
    plan.progress.end();
    plan.progress.begin("scores and exports", None);
    let mut files: BTreeMap<String, u32> = BTreeMap::new();
    for (number, record) in (0_u64..).zip(ordered) {
        let (key, evidence_id) = decode(&record.map_err(|e| spill_failed(&e))?)?;
        let bytes = plan.store.find(&evidence_id)?.to_vec();
        let evidence = EvidenceRecord::parse(&bytes)?;
        let scored = match scored_root {
            None => score::score(plan.policy, evidence_id, &evidence),
            Some(root) => {
                let entry = tree::get(plan.store, root, &key)?.ok_or_else(|| {
                    let message = format!("the evidence {key} has no scored run in HEAD");
                    OpError::new(ErrorKind::Usage, message, "run `distill score` first")
                })?;
                let scored = ScoredRun::parse(&plan.store.find(&entry.id)?)?;
                if scored.evidence_id != evidence_id {
                    let message =
                        format!("the scored run of {key} in HEAD speaks of other evidence than HEAD has");
                    return Err(OpError::new(ErrorKind::Usage, message, "run `distill score` first"));
                }
                scored
            }
        };
        let provenance = evidence.provenance.clone();
        let (output, mut fact) =
            judge((plan.policy, plan.options, plan.scanner), evidence, bytes, evidence_id, scored);
        ledger.decide_exports(&key, &mut fact.rag, &mut fact.sft)?;
        maker.output(&output, &fact)?;
        tallies.score.consumed(1);
        tallies.categories.add(fact.category);
        export(&mut tallies.rag, &fact.rag);
        export(&mut tallies.sft, &fact.sft);
        tallies.pair(&fact.pair);
        if wanted.preference {
            // Records come in source order, so their number is a position within any one file index.
            let next = u32::try_from(files.len()).unwrap_or(u32::MAX);
            let file = *files.entry(provenance.source_file.clone()).or_insert(next);
            let mut sig = [0; 32];
            hex::decode_to_slice(provenance.sig_hash.as_deref().unwrap_or_default(), &mut sig).ok();
            pairing.add(State::New, Position { file, unit: number, output: 0 }, &sig, &fact)?;
        }
        if number % RECORDS_PER_DELIVERY == RECORDS_PER_DELIVERY - 1 {
            let full = std::mem::replace(&mut maker, Maker::with(plan.store, empty, wanted));
            deliver(full.finish()?, staging, &mut edits)?;
        }
        plan.progress.advance(1, 0);
    }
    deliver(maker.finish()?, staging, &mut edits)?;
    plan.progress.end();
    let mut bases = plan.bases.clone();
    for (made, stage, dataset) in [
        (wanted.score, "score", Dataset::ScoredRuns),
        (wanted.rag, "export-rag", Dataset::Rag),
        (wanted.sft, "export-sft", Dataset::Sft),
        (wanted.preference, "export-preference", Dataset::Preference),
    ] {
        if made {
            bases.remove(dataset.name());
            drop_stage(plan.store, &plan.bases, stage, &mut edits)?;
        }
    }
    let pairing = wanted.preference.then_some((pairing, plan.options.max_pairs_per_task, None));
    let (roots, paired) = grow(plan.store, &plan.tmp_dir, plan.threads, &bases, edits, pairing, staging)?;
    tallies.preference.merge(&paired);
    Ok((roots, tallies))
}

/// Takes what `stage` left in the shared datasets out of them.
pub(crate) fn drop_stage(
    store: &Store,
    bases: &BTreeMap<String, RootId>,
    stage: &str,
    edits: &mut Edits,
) -> Result<(), OpError> {
    for dataset in [Dataset::Quarantine, Dataset::Duplicates] {
        let Some(root) = bases.get(dataset.name()) else { continue };
        for entry in tree::prefix(store, *root, &format!("{stage}/")) {
            edits.remove(dataset, &entry?.key)?;
        }
    }
    Ok(())
}

/// Keys and ids of all evidence in source order: path as bytes, unit, key.
pub(super) fn in_source_order(
    store: &Store,
    spill: &Path,
    progress: &dyn Progress,
    root: RootId,
) -> Result<Sorted, OpError> {
    let mut sorter = Sorter::new(spill.to_owned(), MEMORY_BYTES);
    let mut record = Vec::new();
    for entry in tree::iter(store, root) {
        let entry = entry?;
        let evidence = EvidenceRecord::parse(&store.find(&entry.id)?)?;
        record.clear();
        record.extend_from_slice(evidence.provenance.source_file.as_bytes());
        record.push(0);
        record.extend_from_slice(&evidence.provenance.line_offset.to_be_bytes());
        record.extend_from_slice(entry.key.as_bytes());
        // Ends the key, so that one which begins another comes before it.
        record.push(0);
        record.extend_from_slice(entry.id.as_bytes());
        sorter.push(&record).map_err(|e| spill_failed(&e))?;
        progress.advance(1, entry.bytes);
    }
    sorter.finish().map_err(|e| spill_failed(&e))
}

pub(super) fn decode(record: &[u8]) -> Result<(String, ObjectId), OpError> {
    let bad = || spill_failed(&std::io::Error::other("a spilled record was changed on disk"));
    let start = record.iter().position(|b| *b == 0).ok_or_else(bad)? + 9;
    let (key, id) = record.split_at_checked(record.len().saturating_sub(32)).ok_or_else(bad)?;
    let key = key.get(start..).and_then(|key| key.strip_suffix(&[0])).ok_or_else(bad)?;
    let key = std::str::from_utf8(key).map_err(|_| bad())?;
    let id: [u8; 32] = id.try_into().map_err(|_| bad())?;
    Ok((key.to_owned(), ObjectId::from_bytes(id)))
}
