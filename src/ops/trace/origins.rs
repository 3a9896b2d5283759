//! Which trees a dataset was made from.
//!
//! Rests on receipts: each names the roots that its stage read and put out. A one-shot stage commits its own result with the
//! other datasets as they were, so that a commit's export may rest on the scored runs of an earlier commit. Invariant: what no
//! receipt tells is taken from the commit itself.

use std::collections::BTreeMap;

use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::OpError;
use crate::record::StageReceipt;
use crate::repo::{Commit, Repo};

/// More receipts than this are not gone through.
const RECEIPTS_MAX: usize = 100_000;

/// The receipts of one commit, and those before them where these do not tell.
pub(crate) struct Origins<'a> {
    repo: &'a Repo,
    commit: &'a Commit,
    latest: BTreeMap<String, StageReceipt>,
}

impl<'a> Origins<'a> {
    /// Reads the latest receipt of each stage.
    pub(crate) fn new(repo: &'a Repo, commit: &'a Commit) -> Result<Self, OpError> {
        let receipts = repo.receipts(commit)?;
        let latest = receipts.into_iter().map(|(_, receipt)| (receipt.stage.clone(), receipt)).collect();
        Ok(Self { repo, commit, latest })
    }

    /// The tree of `input` that `stage` read when it made the tree `root` of `output`; where no receipt tells, the
    /// commit's own.
    pub(crate) fn input(&self, stage: &str, output: &str, root: RootId, input: &str) -> Option<RootId> {
        let made = |receipt: &StageReceipt| {
            receipt.stage == stage && receipt.outputs.iter().any(|o| o.dataset == output && o.root == root)
        };
        let named = |receipt: &StageReceipt| {
            receipt.inputs.iter().find(|read| read.dataset == input).map(|read| read.root)
        };
        let latest = self.latest.get(stage)?;
        if made(latest) {
            return named(latest).or_else(|| self.commit.dataset(input));
        }
        // A dataset of before: its receipt lies further back in the chain.
        let mut next: Option<ObjectId> = latest.previous;
        for _ in 0..RECEIPTS_MAX {
            let Some(id) = next else { break };
            let Ok(receipt) = self.repo.record::<StageReceipt>(&id) else { break };
            if made(&receipt) {
                return named(&receipt).or_else(|| self.commit.dataset(input));
            }
            next = receipt.previous;
        }
        self.commit.dataset(input)
    }

    /// The tree of `input` that the latest receipt of `stage` names as read.
    pub(crate) fn latest_input(&self, stage: &str, input: &str) -> Option<RootId> {
        let read =
            self.latest.get(stage).and_then(|receipt| receipt.inputs.iter().find(|i| i.dataset == input));
        read.map(|read| read.root).or_else(|| self.commit.dataset(input))
    }

    /// The tree of `output` that the latest receipt of `stage` names as made.
    pub(crate) fn latest_output(&self, stage: &str, output: &str) -> Option<RootId> {
        let made =
            self.latest.get(stage).and_then(|receipt| receipt.outputs.iter().find(|o| o.dataset == output));
        made.map(|made| made.root).or_else(|| self.commit.dataset(output))
    }

    /// Whether the latest receipt of some stage names the tree `root` of `dataset` as made.
    pub(crate) fn put_out(&self, dataset: &str, root: RootId) -> bool {
        self.latest
            .values()
            .flat_map(|receipt| &receipt.outputs)
            .any(|o| o.dataset == dataset && o.root == root)
    }
}
