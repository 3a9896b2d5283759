//! Joins two trees that grew from one: three-way, key by key.
//!
//! Rests on `diff` and `apply`. Invariant: costs what both sides changed, in nodes and in time, and nothing is lost: what
//! cannot be decided is named.

use std::cmp::Ordering;
use std::iter::Peekable;

use super::Change;
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
    /// The value in the common ancestor.
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

/// Applies to `ours` what `theirs` changed since `base`. Equal changes on both sides are no conflict.
///
/// # Errors
/// When a node is missing, damaged or cannot be written.
pub fn merge(
    find: &dyn Find,
    sink: &mut dyn Write,
    base: RootId,
    ours: RootId,
    theirs: RootId,
) -> Result<Merged, TreeError> {
    let mut sides = Sides {
        ours: diff(find, base, ours).peekable(),
        theirs: diff(find, base, theirs),
        conflicts: Vec::new(),
    };
    let snapshot = apply(find, sink, ours, &mut sides)?;
    Ok(Merged { snapshot, conflicts: sides.conflicts })
}

/// Yields their changes that ours do not touch, and keeps the conflicts.
struct Sides<O: Iterator, T> {
    ours: Peekable<O>,
    theirs: T,
    conflicts: Vec<Conflict>,
}

impl<O, T> Sides<O, T>
where
    O: Iterator<Item = Result<Change, TreeError>>,
    T: Iterator<Item = Result<Change, TreeError>>,
{
    /// Our change of `key`, if there is one.
    fn our_change(&mut self, key: &str) -> Result<Option<Change>, TreeError> {
        while let Some(ours) = self.ours.peek() {
            let order = ours.as_ref().map_or(Ordering::Less, |ours| ours.key.as_str().cmp(key));
            if order.is_gt() {
                break;
            }
            let ours = self.ours.next().transpose()?;
            if order.is_eq() {
                return Ok(ours);
            }
        }
        Ok(None)
    }

    fn advance(&mut self) -> Result<Option<Edit>, TreeError> {
        while let Some(theirs) = self.theirs.next().transpose()? {
            match self.our_change(&theirs.key)? {
                None => return Ok(Some(Edit { key: theirs.key, change: theirs.after })),
                Some(ours) if ours.after == theirs.after => {}
                Some(ours) => self.conflicts.push(Conflict {
                    key: theirs.key,
                    base: theirs.before,
                    ours: ours.after,
                    theirs: theirs.after,
                }),
            }
        }
        Ok(None)
    }
}

impl<O, T> Iterator for Sides<O, T>
where
    O: Iterator<Item = Result<Change, TreeError>>,
    T: Iterator<Item = Result<Change, TreeError>>,
{
    type Item = Result<Edit, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
