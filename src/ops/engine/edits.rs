//! Edits of datasets, gathered in any order and applied to trees in key order.
//!
//! Rests on the spill sorter and on `tree::apply`. Invariants: memory is bounded whatever the number of edits; where a
//! key is both removed and put, the put stands, since removals speak of what was and puts of what is. Edits of a dataset
//! come in long runs that are sorted already, file by file, which the sort makes use of.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::sort::{Sorted, Sorter};
use crate::object::Find;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::object::Write;
use crate::ops::error::OpError;
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
    pub(crate) const ALL: [Self; crate::repo::DATASETS.len()] = [
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

/// Most memory that the edits of each dataset take before they spill, in MiB, in the order of [`Dataset::ALL`].
const MEMORY_MIB: [usize; Dataset::ALL.len()] = [40, 48, 48, 22, 22, 8, 8, 8];
const PUT: u8 = 0;
const REMOVE: u8 = 1;
/// What follows a key in a sorted edit: an end, the operation, the id, the length.
const TAIL_BYTES: usize = 1 + 1 + 32 + 8;

/// One row that a dataset gets: key, object, its bytes.
pub(crate) type Put = (String, ObjectId, u64);

/// Edits of all datasets.
pub(crate) struct Edits {
    lanes: Vec<Lane>,
    scratch: Vec<u8>,
}

/// The edits of one dataset.
struct Lane {
    sorter: Sorter,
    edits: u64,
}

impl Edits {
    /// No edits yet; spills go below `tmp`.
    pub(crate) fn new(tmp: &Path) -> Self {
        let lane = |mib: usize| Lane { sorter: Sorter::new(tmp.to_owned(), mib << 20), edits: 0 };
        Self { lanes: MEMORY_MIB.map(lane).into(), scratch: Vec::new() }
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
        record.extend_from_slice(key.as_bytes());
        // Keys hold no control characters, so 0 ends them and sorts before every continuation.
        record.extend_from_slice(&[0, op]);
        record.extend_from_slice(id.as_bytes());
        record.extend_from_slice(&bytes.to_le_bytes());
        let lane = &mut self.lanes[dataset as usize];
        lane.edits += 1;
        lane.sorter.push(record).map_err(|e| spill_failed(&e))
    }

    /// Takes the edits of one dataset out, to be applied to its root in `bases`, where it has one, else to an empty tree.
    pub(crate) fn take(&mut self, dataset: Dataset, bases: &BTreeMap<String, RootId>, tmp: &Path) -> Lot {
        let empty = Lane { sorter: Sorter::new(tmp.to_owned(), 0), edits: 0 };
        let Lane { sorter, edits } = std::mem::replace(&mut self.lanes[dataset as usize], empty);
        Lot { dataset, base: bases.get(dataset.name()).copied(), edits, sorter }
    }
}

/// All edits of one dataset and what they are applied to. Datasets do not know of each other, so that each lot can be
/// worked off on a thread of its own.
pub(crate) struct Lot {
    pub(crate) dataset: Dataset,
    base: Option<RootId>,
    edits: u64,
    sorter: Sorter,
}

impl Lot {
    /// Applies the edits: nodes of the base are read from `find`, new ones are written to `sink`.
    pub(crate) fn apply(self, find: &dyn Find, sink: &mut dyn Write) -> Result<RootId, OpError> {
        let base = match self.base {
            Some(root) if self.edits == 0 => return Ok(root),
            base => base,
        };
        let mut sorted = self.sorter.finish().map_err(|e| spill_failed(&e))?;
        let Some(base) = base else { return build(&mut sorted, sink) };
        let mut last_key: Option<String> = None;
        let edits = std::iter::from_fn(|| {
            loop {
                let record = sorted.next()?;
                let edit = record.map_err(|e| spill_failed(&e)).and_then(|record| {
                    let (key, change) = decode(&record)?;
                    Ok(tree::Edit { key: key.to_owned(), change })
                });
                match edit {
                    Ok(edit) if last_key.as_ref() == Some(&edit.key) => {}
                    Ok(edit) => {
                        last_key = Some(edit.key.clone());
                        return Some(Ok(edit));
                    }
                    Err(error) => return Some(Err(error)),
                }
            }
        });
        Ok(tree::apply::<OpError>(find, sink, base, edits)?.root)
    }
}

/// A tree of what is put, with nothing beneath it.
fn build(sorted: &mut Sorted, sink: &mut dyn Write) -> Result<RootId, OpError> {
    let mut builder = tree::Builder::new(sink);
    let (mut record, mut last) = (Vec::new(), Vec::new());
    while sorted.next_into(&mut record).map_err(|e| spill_failed(&e))? {
        let (key, change) = decode(&record)?;
        if key.as_bytes() == last {
            continue;
        }
        if let Some((id, bytes)) = change {
            builder.push_row(key, &id, bytes)?;
        }
        last.clear();
        last.extend_from_slice(key.as_bytes());
    }
    Ok(builder.finish()?.root)
}

fn decode(record: &[u8]) -> Result<(&str, Option<tree::Value>), OpError> {
    let bad = || spill_failed(&std::io::Error::other("a spilled edit was changed on disk"));
    let (key, tail) = record.split_at_checked(record.len().saturating_sub(TAIL_BYTES)).ok_or_else(bad)?;
    let key = std::str::from_utf8(key).map_err(|_| bad())?;
    let id: [u8; 32] = tail.get(2..34).and_then(|id| id.try_into().ok()).ok_or_else(bad)?;
    let bytes: [u8; 8] = tail.get(34..).and_then(|n| n.try_into().ok()).ok_or_else(bad)?;
    let change = (tail[1] == PUT).then(|| (ObjectId::from_bytes(id), u64::from_le_bytes(bytes)));
    Ok((key, change))
}

pub(crate) fn spill_failed(error: &std::io::Error) -> OpError {
    OpError::io("sort through", Path::new(".distill/tmp"), error)
}
