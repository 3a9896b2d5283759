//! Joins two trees that grew from one or several: key by key.
//!
//! Rests on `diff` and `apply`. Invariant: costs what differs between the two and what ours changed, in nodes and in
//! time, and nothing is lost: what cannot be decided is named.

use std::cmp::Ordering;
use std::iter::Peekable;

use super::Change;
use super::Diff;
use super::Edit;
use super::Snapshot;
use super::TreeError;
use super::Value;
use super::apply;
use super::diff;
use crate::object::Find;
use crate::object::RootId;
use crate::object::Write;

/// A key that both sides changed, each in its own way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Where.
    pub key: String,
    /// The value in the common ancestor, the first where there are several.
    pub base: Option<Value>,
    /// The value on our side; the merged tree has it.
    pub ours: Option<Value>,
    /// The value on their side.
    pub theirs: Option<Value>,
}

/// The outcome of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Ours, with all of their changes that do not conflict.
    pub snapshot: Snapshot,
    /// What is left to decide, in key order; empty when the merge is clean.
    pub conflicts: Vec<Conflict>,
}

/// Applies to `ours` what `theirs` changed since `bases`. Equal changes on both sides are no conflict.
///
/// A side that has the value of one of the bases did not change it, so the other side's value stands. Without a base
/// both sides grew from nothing. With several (histories that crossed), a key for which each side has the value of
/// another base is a conflict.
///
/// # Errors
/// When a node is missing, damaged or cannot be written.
pub fn merge(
    find: &dyn Find,
    sink: &mut dyn Write,
    bases: &[RootId],
    ours: RootId,
    theirs: RootId,
) -> Result<Merged, TreeError> {
    let mut sides = Sides {
        apart: diff(find, ours, theirs),
        since: bases.iter().map(|base| diff(find, *base, ours).peekable()).collect(),
        conflicts: Vec::new(),
    };
    let snapshot = apply(find, sink, ours, &mut sides)?;
    Ok(Merged { snapshot, conflicts: sides.conflicts })
}

/// Yields their changes that ours do not touch, and keeps the conflicts.
struct Sides<'a> {
    /// From ours to theirs.
    apart: Diff<'a>,
    /// From each base to ours.
    since: Vec<Peekable<Diff<'a>>>,
    conflicts: Vec<Conflict>,
}

impl Sides<'_> {
    fn advance(&mut self) -> Result<Option<Edit>, TreeError> {
        while let Some(Change { key, before: ours, after: theirs }) = self.apart.next().transpose()? {
            let mut bases = Vec::with_capacity(self.since.len());
            for since in &mut self.since {
                // Where ours did not change since that base, it still has its value.
                bases.push(change_of(since, &key)?.map_or(ours, |change| change.before));
            }
            let base = bases.first().copied().flatten();
            if bases.is_empty() {
                bases.push(None);
            }
            match (bases.contains(&ours), bases.contains(&theirs)) {
                (true, false) => return Ok(Some(Edit { key, change: theirs })),
                (false, true) => {}
                _ => self.conflicts.push(Conflict { key, base, ours, theirs }),
            }
        }
        Ok(None)
    }
}

/// The change of `key`, if there is one. Asked for ever later keys.
fn change_of(changes: &mut Peekable<Diff<'_>>, key: &str) -> Result<Option<Change>, TreeError> {
    while let Some(change) = changes.peek() {
        let order = change.as_ref().map_or(Ordering::Less, |change| change.key.as_str().cmp(key));
        if order.is_gt() {
            break;
        }
        let change = changes.next().transpose()?;
        if order.is_eq() {
            return Ok(change);
        }
    }
    Ok(None)
}

impl Iterator for Sides<'_> {
    type Item = Result<Edit, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
