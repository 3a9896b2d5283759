//! The union of source rows: trees joined key by key, and what receipts say of the files.
//!
//! Rests on `tree::merge`. Invariants: costs what the sides changed; a file of the union has all its rows from the first
//! to the last, so that a run over it could have been one over a real file; a file over which the sides disagree is
//! taken whole from one of them, or the merge stops.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::object::Find;
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::engine::stored::{count, rows};
use crate::ops::engine::{Dataset, Prefix};
use crate::ops::error::OpError;
use crate::ops::loss::KnownInput;
use crate::ops::merge::Side;
use crate::record::source_key;
use crate::repo::Commit;
use crate::store::Staging;
use crate::tree;
use crate::tree::{Conflict, Edit, Shared};

/// Something that two sides have in different ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConflictLine {
    /// `sources`, or `config`.
    pub dataset: String,
    /// The row's key, or the part of the configuration.
    pub key: String,
    /// The revision that disagrees with what was merged before it.
    pub rev: String,
    /// The object in the common ancestor; null where it had none.
    pub base: Option<ObjectId>,
    /// The object on this side; null where it is gone or never was.
    pub ours: Option<ObjectId>,
    /// The object on the side of `rev`.
    pub theirs: Option<ObjectId>,
}

/// What `--ours` or `--theirs` decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resolution {
    /// `sources`, or `config`.
    pub dataset: String,
    /// The file, or the part of the configuration, that was taken from one side.
    pub what: String,
    /// The side that it was taken from.
    pub taken: Side,
    /// The revision on the other end.
    pub rev: String,
    /// Rows of the other side that the union has not; they stay in its history.
    pub rows_left_out: u64,
}

/// The union so far.
pub(super) struct Union<'a> {
    /// Where its nodes are, on top of the store.
    pub staging: &'a mut Staging,
    pub root: RootId,
    pub conflicts: Vec<ConflictLine>,
    pub resolutions: Vec<Resolution>,
}

/// The folder of keys that the rows of a file lie in.
fn folder(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(folder, _)| folder)
}

impl Union<'_> {
    /// The `sources` of a commit; the empty tree where it has none.
    pub(super) fn sources(&mut self, commit: &Commit) -> Result<RootId, OpError> {
        match commit.dataset(Dataset::Sources.name()) {
            Some(root) => Ok(root),
            None => Ok(tree::Builder::new(self.staging).finish()?.root),
        }
    }

    /// Joins the rows of `theirs`, which `rev` names, since `bases`.
    pub(super) fn join(
        &mut self,
        rev: &str,
        bases: &[RootId],
        theirs: RootId,
        favour: Option<Side>,
    ) -> Result<(), OpError> {
        let ours = self.root;
        let shared = Shared::new(self.staging);
        let merged = tree::merge(&shared, &mut &shared, bases, ours, theirs)?;
        let mut root = merged.snapshot.root;
        let mut conflicts = merged.conflicts;
        let mut torn: BTreeSet<String> = conflicts.iter().map(|c| folder(&c.key).to_owned()).collect();
        for touched in changed(&shared, ours, root)?.into_keys() {
            if !torn.contains(&touched)
                && let Some(conflict) = gap(&shared, root, bases, (ours, theirs), &touched)?
            {
                conflicts.push(conflict);
                torn.insert(touched);
            }
        }
        if let Some(side) = favour {
            let (taken, other) = if side == Side::Ours { (ours, theirs) } else { (theirs, ours) };
            let edits = tree::diff(&shared, root, taken).filter_map(|change| match change {
                Ok(change) if !torn.contains(folder(&change.key)) => None,
                Ok(change) => Some(Ok(Edit { key: change.key, change: change.after })),
                Err(error) => Some(Err(error)),
            });
            root = tree::apply(&shared, &mut &shared, root, edits)?.root;
            let mut left_out = changed(&shared, root, other)?;
            for file in torn {
                let rows_left_out = left_out.remove(&file).map_or(0, |rows| rows.there);
                let (dataset, rev) = (Dataset::Sources.name().to_owned(), rev.to_owned());
                self.resolutions.push(Resolution { dataset, what: file, taken: side, rev, rows_left_out });
            }
        } else {
            self.conflicts.extend(conflicts.into_iter().map(|conflict| ConflictLine {
                dataset: Dataset::Sources.name().to_owned(),
                key: conflict.key,
                rev: rev.to_owned(),
                base: conflict.base.map(|(id, _)| id),
                ours: conflict.ours.map(|(id, _)| id),
                theirs: conflict.theirs.map(|(id, _)| id),
            }));
        }
        self.root = root;
        Ok(())
    }
}

/// The rows of one file that differ between two trees.
#[derive(Default)]
pub(super) struct ChangedRows {
    /// Their numbers, in order.
    pub units: Vec<u64>,
    /// How many of them the second tree has.
    pub there: u64,
}

/// The rows that differ between two `sources` trees, by the folder of their file. Reads the nodes that differ.
pub(super) fn changed(
    find: &dyn Find,
    before: RootId,
    after: RootId,
) -> Result<BTreeMap<String, ChangedRows>, OpError> {
    let mut files: BTreeMap<String, ChangedRows> = BTreeMap::new();
    for change in tree::diff(find, before, after) {
        let change = change?;
        let Some((folder, unit)) = change.key.rsplit_once('/') else { continue };
        let rows = match files.get_mut(folder) {
            Some(rows) => rows,
            None => files.entry(folder.to_owned()).or_default(),
        };
        rows.units.extend(unit.parse::<u64>());
        rows.there += u64::from(change.after.is_some());
    }
    Ok(files)
}

/// The first row that a file of the union lacks before its last one: the one side took it away while the other went on.
fn gap(
    find: &dyn Find,
    root: RootId,
    bases: &[RootId],
    (ours, theirs): (RootId, RootId),
    folder: &str,
) -> Result<Option<Conflict>, OpError> {
    let key = |unit: u64| format!("{folder}/{unit:010}");
    let first = tree::rank(find, root, &key(0))?.rows;
    let rows = tree::rank(find, root, &key(9_999_999_999))?.rows - first;
    if rows == 0 || tree::get(find, root, &key(rows - 1))?.is_some() {
        return Ok(None);
    }
    let mut missing = 0;
    while tree::get(find, root, &key(missing))?.is_some() {
        missing += 1;
    }
    let key = key(missing);
    let value = |root| -> Result<_, OpError> {
        Ok(tree::get(find, root, &key)?.map(|entry| (entry.id, entry.bytes)))
    };
    let base = bases.first().map(|base| value(*base)).transpose()?.flatten();
    Ok(Some(Conflict { base, ours: value(ours)?, theirs: value(theirs)?, key: key.clone() }))
}

/// One side of a merge and what its receipt says of its files.
pub(super) struct Known {
    pub sources: RootId,
    pub inputs: BTreeMap<String, KnownInput>,
}

/// One file of the union.
pub(super) struct UnionFile {
    pub prefix: Prefix,
    pub units: u64,
    /// Whether it is, row for row, a file that the first side read in its own folder.
    pub is_ours: bool,
}

/// The files of the union by name. A side that has just these rows of a file speaks for it, the one that knew more of
/// them for complete, the first where that is all the same; where none has, the file is described as the JSON lines that
/// it would be.
pub(super) fn files(
    find: &dyn Find,
    root: RootId,
    sides: &[Known],
) -> Result<BTreeMap<String, UnionFile>, OpError> {
    let mut apart = Vec::new();
    for side in sides {
        apart.push(changed(find, side.sources, root)?);
    }
    let names: BTreeSet<&String> = sides.iter().flat_map(|side| side.inputs.keys()).collect();
    let mut files = BTreeMap::new();
    for name in names {
        let key = source_key(name, 0).map_err(|e| crate::ops::engine::worker::bad_key(&e))?;
        let units = count(find, root, name)?;
        let same = (sides.iter().zip(&apart).enumerate())
            .filter(|(_, (_, apart))| !apart.contains_key(folder(&key)))
            .filter_map(|(at, (side, _))| Some((at, side.inputs.get(name)?)))
            .max_by_key(|(at, known)| (known.snapshot.rows, Reverse(*at)));
        let file = match same {
            Some((at, known)) => {
                let snapshot = &known.snapshot;
                let hash = *snapshot.root.object();
                let prefix = Prefix { hash, bytes: snapshot.bytes, units: snapshot.rows };
                UnionFile { prefix, units, is_ours: at == 0 && !known.merged }
            }
            // Its rows went with a side that lost it.
            None if units == 0 => continue,
            None => UnionFile { prefix: as_lines(find, root, name, units)?, units, is_ours: false },
        };
        files.insert(name.clone(), file);
    }
    Ok(files)
}

/// What a file of these rows would be, one to a line.
fn as_lines(find: &dyn Find, root: RootId, name: &str, units: u64) -> Result<Prefix, OpError> {
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    for row in rows(find, root, name, &(0..units))? {
        let row = find.find(&row?.1.id)?;
        hasher.update(&row).update(b"\n");
        bytes += row.len() as u64 + 1;
    }
    Ok(Prefix { hash: ObjectId::from_bytes(*hasher.finalize().as_bytes()), bytes, units })
}
