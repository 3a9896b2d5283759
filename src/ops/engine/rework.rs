//! One-shot stages: scores and exports made again from the evidence that HEAD has.
//!
//! Rests on the walk over stored evidence. Invariant: the datasets are those that `run-all` would make of the same evidence.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::engine::edits::{Dataset, Edits};
use crate::ops::engine::facts::OutputFact;
use crate::ops::engine::grow::grow;
use crate::ops::engine::maker::{Maker, Wanted, deliver};
use crate::ops::engine::pool::thread_count;
use crate::ops::engine::rejudge::{Sink, Walk, rejudge};
use crate::ops::engine::tally::Tallies;
use crate::ops::engine::worker::Output;
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
    let root = base(Dataset::Evidence)?;
    let scored_root = if wanted.score { None } else { Some(base(Dataset::ScoredRuns)?) };
    let walk = Walk {
        store: plan.store,
        root,
        spill: &plan.tmp_dir,
        policy: plan.policy,
        options: plan.options,
        scanner: plan.scanner,
        pairs: wanted.preference,
        progress: plan.progress,
    };
    let mut making = Making {
        plan,
        scored_root,
        maker: Maker::with(plan.store, plan.store.packs().is_empty(), wanted),
        taken: 0,
        edits: Edits::new(&plan.tmp_dir),
        staging,
    };
    let (mut tallies, pairing) = rejudge(&walk, &mut making)?;
    let Making { maker, mut edits, staging, .. } = making;
    deliver(maker.finish()?, staging, &mut edits)?;
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
    let threads = thread_count(plan.threads);
    let (roots, paired) = grow(plan.store, &plan.tmp_dir, threads, &bases, edits, pairing, staging)?;
    tallies.preference.merge(&paired);
    Ok((roots, tallies))
}

/// Writes what is judged.
struct Making<'a, 'p> {
    plan: &'a Rework<'p>,
    /// The scores of HEAD, where they are not made again.
    scored_root: Option<RootId>,
    maker: Maker<'p>,
    taken: u64,
    edits: Edits,
    staging: &'a mut Staging,
}

impl Sink for Making<'_, '_> {
    fn score(&mut self, key: &str, id: ObjectId, evidence: &EvidenceRecord) -> Result<ScoredRun, OpError> {
        let Some(root) = self.scored_root else { return Ok(score::score(self.plan.policy, id, evidence)) };
        let unusable = |message: String| OpError::new(ErrorKind::Usage, message, "run `distill score` first");
        let entry = tree::get(self.plan.store, root, key)?;
        let entry = entry.ok_or_else(|| unusable(format!("the evidence {key} has no scored run in HEAD")))?;
        let scored = ScoredRun::parse(&self.plan.store.find(&entry.id)?)?;
        if scored.evidence_id != id {
            let message = format!("the scored run of {key} in HEAD speaks of other evidence than HEAD has");
            return Err(unusable(message));
        }
        Ok(scored)
    }

    fn take(&mut self, output: &Output, fact: &OutputFact) -> Result<(), OpError> {
        self.maker.output(output, fact)?;
        self.taken += 1;
        if self.taken.is_multiple_of(RECORDS_PER_DELIVERY) {
            let plan = self.plan;
            let next = Maker::with(plan.store, plan.store.packs().is_empty(), plan.wanted);
            deliver(std::mem::replace(&mut self.maker, next).finish()?, self.staging, &mut self.edits)?;
        }
        Ok(())
    }
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
