//! The datasets of a commit with the digests that its receipts give their JSONL.
//!
//! Rests on the commit, its receipts and any [`Find`], so that it works the same from a store, a server or a bucket.
//! Invariant: a digest is believed only where a receipt that the commit names says it of this very root.

use schemars::JsonSchema;
use serde::Serialize;

use super::digest::Digests;
use crate::object::CommitId;
use crate::object::Find;
use crate::object::FindExt as _;
use crate::object::RootId;
use crate::ops::error::{ErrorKind, OpError};
use crate::record::Record as _;
use crate::record::StageReceipt;
use crate::repo::Commit;
use crate::tree;
use crate::tree::Totals;

/// A dataset of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Receipted {
    /// Its full name, such as `exports/sft`.
    pub dataset: String,
    /// Names the snapshot.
    pub root: RootId,
    /// How many rows it has.
    pub rows: u64,
    /// Length of its JSONL in bytes.
    pub jsonl_bytes: u64,
    /// The digests of its JSONL, where a receipt of the commit says them: for exports.
    pub jsonl: Option<Digests>,
}

/// The full name of the dataset that is called `name` in `commit`: `sft` stands for `exports/sft`.
///
/// # Errors
/// When the commit has none of that name.
pub fn full_name(commit_id: CommitId, commit: &Commit, name: &str) -> Result<String, OpError> {
    let name = name.trim_end_matches('/');
    let candidates = [name.to_owned(), format!("exports/{name}")];
    candidates.into_iter().find(|full| commit.datasets.contains_key(full)).ok_or_else(|| {
        let all: Vec<&str> = commit.datasets.keys().map(String::as_str).collect();
        let message = format!("commit {} has no dataset called `{name}`", commit_id.object().short(12));
        let hint =
            if all.is_empty() { "it has none".to_owned() } else { format!("it has {}", all.join(", ")) };
        OpError::new(ErrorKind::Usage, message, hint)
    })
}

/// The dataset of this full name.
///
/// # Errors
/// When the commit has none, or its tree or a receipt is missing or damaged.
pub fn dataset(
    find: &dyn Find,
    commit_id: CommitId,
    commit: &Commit,
    name: &str,
) -> Result<Receipted, OpError> {
    let dataset = full_name(commit_id, commit, name)?;
    let root = commit.datasets[&dataset];
    let totals = tree::totals(find, root)?;
    let jsonl = digests(find, commit, &dataset, root, totals)?;
    Ok(Receipted { dataset, root, rows: totals.rows, jsonl_bytes: totals.jsonl_bytes(), jsonl })
}

/// Every dataset of a commit, by name.
///
/// # Errors
/// When a tree or a receipt is missing or damaged.
pub fn datasets(find: &dyn Find, commit: &Commit) -> Result<Vec<Receipted>, OpError> {
    let receipts = receipts(find, commit)?;
    let mut all = Vec::new();
    for (dataset, root) in &commit.datasets {
        let totals = tree::totals(find, *root)?;
        let jsonl = said(&receipts, dataset, *root, totals);
        all.push(Receipted {
            dataset: dataset.clone(),
            root: *root,
            rows: totals.rows,
            jsonl_bytes: totals.jsonl_bytes(),
            jsonl,
        });
    }
    Ok(all)
}

/// The digests of the JSONL of `root`, where a receipt of `commit` says them.
fn digests(
    find: &dyn Find,
    commit: &Commit,
    dataset: &str,
    root: RootId,
    totals: Totals,
) -> Result<Option<Digests>, OpError> {
    Ok(if dataset.starts_with("exports/") {
        said(&receipts(find, commit)?, dataset, root, totals)
    } else {
        None
    })
}

fn receipts(find: &dyn Find, commit: &Commit) -> Result<Vec<StageReceipt>, OpError> {
    let mut all = Vec::new();
    for entry in tree::iter(find, commit.receipts) {
        all.push(StageReceipt::parse(&find.find(&entry?.id)?)?);
    }
    Ok(all)
}

fn said(receipts: &[StageReceipt], dataset: &str, root: RootId, totals: Totals) -> Option<Digests> {
    let output = (receipts.iter().flat_map(|receipt| &receipt.outputs))
        .find(|output| output.dataset == dataset && output.root == root)?;
    Some(Digests {
        bytes: totals.jsonl_bytes(),
        blake3: output.jsonl_blake3.as_deref()?.parse().ok()?,
        sha256: output.jsonl_sha256.clone()?,
    })
}
