//! Edits of datasets, gathered in any order and applied to trees in key order.
//!
//! Rests on the spill sorter and on `tree::apply`. Invariants: memory is bounded whatever the number of edits; where a
//! key is both removed and put, the put stands, since removals speak of what was and puts of what is.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::sort::Sorter;
use crate::object::Find;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::error::OpError;
use crate::store::Staging;
use crate::tree;

/// The datasets a run writes, as they are numbered in sorted edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Dataset {
    Sources,
    Evidence,
    ScoredRuns,
    Rag,
    Sft,
    Preference,
    Quarantine,
    Duplicates,
}

impl Dataset {
    pub(crate) const ALL: [Self; 8] = [
        Self::Sources,
        Self::Evidence,
        Self::ScoredRuns,
        Self::Rag,
        Self::Sft,
        Self::Preference,
        Self::Quarantine,
        Self::Duplicates,
    ];

    /// Its name in a commit.
    pub(crate) const fn name(self) -> &'static str {
        crate::repo::DATASETS[self as usize]
    }
}

/// Most memory that edits take before they spill, in bytes.
const MEMORY_BYTES: usize = 192 << 20;
const PUT: u8 = 0;
const REMOVE: u8 = 1;

/// Edits of all datasets.
pub(crate) struct Edits {
    sorter: Sorter,
    scratch: Vec<u8>,
    counts: [u64; 8],
}

impl Edits {
    /// No edits yet; spills go below `tmp`.
    pub(crate) fn new(tmp: &Path) -> Self {
        Self { sorter: Sorter::new(tmp.to_owned(), MEMORY_BYTES), scratch: Vec::new(), counts: [0; 8] }
    }

    /// `key` of `dataset` names `id`, whose object has `bytes` bytes.
    pub(crate) fn put(
        &mut self,
        dataset: Dataset,
        key: &str,
        id: &ObjectId,
        bytes: u64,
    ) -> Result<(), OpError> {
        self.push(dataset, key, PUT, id, bytes)
    }

    /// `key` leaves `dataset`.
    pub(crate) fn remove(&mut self, dataset: Dataset, key: &str) -> Result<(), OpError> {
        self.push(dataset, key, REMOVE, &ObjectId::from_bytes([0; 32]), 0)
    }

    fn push(
        &mut self,
        dataset: Dataset,
        key: &str,
        op: u8,
        id: &ObjectId,
        bytes: u64,
    ) -> Result<(), OpError> {
        let record = &mut self.scratch;
        record.clear();
        record.push(dataset as u8);
        record.extend_from_slice(key.as_bytes());
        // Keys hold no control characters, so 0 ends them and sorts before every continuation.
        record.extend_from_slice(&[0, op]);
        record.extend_from_slice(id.as_bytes());
        record.extend_from_slice(&bytes.to_le_bytes());
        self.counts[dataset as usize] += 1;
        self.sorter.push(record).map_err(|e| spill_failed(&e))
    }

    /// Applies all edits: each dataset's to its root in `bases`, where it has one, else to an empty tree. Nodes of the
    /// bases are read from `find`, new ones are written to `sink`.
    pub(crate) fn apply(
        self,
        bases: &BTreeMap<String, RootId>,
        find: &dyn Find,
        sink: &mut Staging,
    ) -> Result<BTreeMap<String, RootId>, OpError> {
        let mut sorted = self.sorter.finish().map_err(|e| spill_failed(&e))?.peekable();
        let mut roots = BTreeMap::new();
        for dataset in Dataset::ALL {
            let base = match bases.get(dataset.name()) {
                Some(root) if self.counts[dataset as usize] == 0 => {
                    roots.insert(dataset.name().to_owned(), *root);
                    continue;
                }
                base => base.copied(),
            };
            let mut last_key: Option<String> = None;
            let edits = std::iter::from_fn(|| {
                loop {
                    let record = sorted.next_if(|r| r.as_ref().map_or(true, |r| r[0] == dataset as u8))?;
                    match record.map_err(|e| spill_failed(&e)).and_then(|r| decode(&r)) {
                        Ok(edit) if last_key.as_ref() == Some(&edit.key) => {}
                        Ok(edit) => {
                            last_key = Some(edit.key.clone());
                            return Some(Ok(edit));
                        }
                        Err(error) => return Some(Err(error)),
                    }
                }
            });
            let snapshot = match base {
                Some(root) => tree::apply::<OpError>(find, sink, root, edits)?,
                None => {
                    let mut builder = tree::Builder::new(sink);
                    for edit in edits {
                        let tree::Edit { key, change } = edit?;
                        if let Some((id, bytes)) = change {
                            builder.push(&tree::Entry { key, id, bytes })?;
                        }
                    }
                    builder.finish()?
                }
            };
            roots.insert(dataset.name().to_owned(), snapshot.root);
        }
        Ok(roots)
    }
}

fn decode(record: &[u8]) -> Result<tree::Edit, OpError> {
    let bad = || spill_failed(&std::io::Error::other("a spilled edit was changed on disk"));
    let (key, tail) = record.split_at_checked(record.len().saturating_sub(42)).ok_or_else(bad)?;
    let key = key.get(1..).and_then(|key| std::str::from_utf8(key).ok()).ok_or_else(bad)?;
    let id: [u8; 32] = tail.get(2..34).and_then(|id| id.try_into().ok()).ok_or_else(bad)?;
    let bytes: [u8; 8] = tail.get(34..).and_then(|n| n.try_into().ok()).ok_or_else(bad)?;
    let change = (tail[1] == PUT).then(|| (ObjectId::from_bytes(id), u64::from_le_bytes(bytes)));
    Ok(tree::Edit { key: key.to_owned(), change })
}

pub(crate) fn spill_failed(error: &std::io::Error) -> OpError {
    OpError::io("sort through", Path::new(".distill/tmp"), error)
}
