//! Compares two trees by walking both at once and skipping every subtree that they share.
//!
//! Rests on `load`. Each side is a path of nodes; what is next on it is a row or a whole subtree. Equal subtrees are
//! dropped on both sides unread; else the higher one is opened. Invariant: nodes read are those on which the trees
//! differ, and the few that border on them.

use std::cmp::Ordering;

use super::Change;
use super::TreeError;
use super::load;
use super::node::Node;
use crate::object::Find;
use crate::object::ObjectId;
use crate::object::RootId;

/// The changes that lead from the tree `before` to the tree `after`, in key order. Nothing is read until the first one is
/// asked for, and nothing at all when both are the same.
pub fn diff(find: &dyn Find, before: RootId, after: RootId) -> Diff<'_> {
    Diff {
        find,
        roots: Some((before, after)),
        before: Side::default(),
        after: Side::default(),
        nodes_read: 0,
    }
}

/// Changes in key order; nothing comes after an error.
pub struct Diff<'a> {
    find: &'a dyn Find,
    roots: Option<(RootId, RootId)>,
    before: Side,
    after: Side,
    nodes_read: u64,
}

impl Diff<'_> {
    /// How many nodes have been read so far.
    pub const fn nodes_read(&self) -> u64 {
        self.nodes_read
    }

    fn advance(&mut self) -> Result<Option<Change>, TreeError> {
        if let Some((before, after)) = self.roots.take()
            && before != after
        {
            self.before.0.push((load::root(self.find, before)?, 0));
            self.after.0.push((load::root(self.find, after)?, 0));
            self.nodes_read += 2;
        }
        loop {
            self.before.rise();
            self.after.rise();
            let (old, new) = (self.before.head(), self.after.head());
            let (old_level, new_level) = match (&old, &new) {
                (None, None) => return Ok(None),
                // 0 stands for a row, and for the end.
                _ => (old.as_ref().map_or(0, Head::level), new.as_ref().map_or(0, Head::level)),
            };
            if old_level == 0 && new_level == 0 {
                if let Some(change) = self.row() {
                    return Ok(Some(change));
                }
            } else if !self.skip_shared() {
                if old_level >= new_level {
                    self.nodes_read += 1;
                    self.before.descend(self.find)?;
                }
                if new_level >= old_level {
                    self.nodes_read += 1;
                    self.after.descend(self.find)?;
                }
            }
        }
    }

    /// Takes the lesser of two rows, or both when they have the same key; `None` when there is no change.
    fn row(&mut self) -> Option<Change> {
        let order = match (self.before.head(), self.after.head()) {
            (Some(old), Some(new)) => old.key().cmp(new.key()),
            (Some(_), None) => Ordering::Less,
            _ => Ordering::Greater,
        };
        let old = if order.is_le() { self.before.take_row() } else { None };
        let new = if order.is_ge() { self.after.take_row() } else { None };
        let key = old.as_ref().or(new.as_ref())?.0.clone();
        let (before, after) = (old.map(|row| row.1), new.map(|row| row.1));
        (before != after).then_some(Change { key, before, after })
    }

    /// Drops what both sides are about to enter, or what one is and the other has just entered.
    fn skip_shared(&mut self) -> bool {
        if let (Some(old), Some(new)) = (self.before.head(), self.after.head())
            && old.subtree().is_some_and(|id| new.subtree() == Some(id))
        {
            self.before.step();
            self.after.step();
            return true;
        }
        skip_entered(&mut self.before, &mut self.after) || skip_entered(&mut self.after, &mut self.before)
    }
}

/// Where `next` is about to enter a node that `other` has entered without taking a row from it, drops it on both sides.
fn skip_entered(next: &mut Side, other: &mut Side) -> bool {
    let Some(id) = next.head().and_then(|head| head.subtree().copied()) else { return false };
    // The nodes on the other path of which nothing is consumed: the last one, and above it those that have given up only
    // their first child.
    let entered = other.0.iter().enumerate().rev().map_while(|(depth, (node, at))| {
        let consumed = *at - usize::from(depth + 1 < other.0.len());
        (consumed == 0).then_some((depth, node.id()))
    });
    let Some((depth, _)) = entered.into_iter().find(|(_, entered)| **entered == id) else { return false };
    other.0.truncate(depth);
    next.step();
    true
}

/// A path: each node with the entry that comes next in it.
#[derive(Default)]
struct Side(Vec<(Node, usize)>);

/// What comes next on a side.
struct Head<'a> {
    node: &'a Node,
    at: usize,
}

impl Head<'_> {
    /// 0 for a row, else one more than the level of the node that is next.
    fn level(&self) -> u8 {
        self.node.level()
    }

    fn key(&self) -> &[u8] {
        self.node.key_bytes(self.at)
    }

    fn subtree(&self) -> Option<&ObjectId> {
        (self.node.level() > 0).then(|| self.node.target(self.at))
    }
}

impl Side {
    /// Leaves the nodes that are used up.
    fn rise(&mut self) {
        while self.0.last().is_some_and(|(node, at)| *at == node.len()) {
            self.0.pop();
        }
    }

    fn head(&self) -> Option<Head<'_>> {
        self.0.last().map(|(node, at)| Head { node, at: *at })
    }

    fn step(&mut self) {
        if let Some((_, at)) = self.0.last_mut() {
            *at += 1;
        }
    }

    fn descend(&mut self, find: &dyn Find) -> Result<(), TreeError> {
        if let Some((node, at)) = self.0.last_mut() {
            let child = load::child(find, node, *at)?;
            *at += 1;
            self.0.push((child, 0));
        }
        Ok(())
    }

    fn take_row(&mut self) -> Option<(String, super::Value)> {
        let (node, at) = self.0.last_mut()?;
        let row = (node.key(*at).to_owned(), (*node.target(*at), node.totals_at(*at).bytes));
        *at += 1;
        Some(row)
    }
}

impl Iterator for Diff<'_> {
    type Item = Result<Change, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if !matches!(next, Ok(Some(_))) {
            self.before.0.clear();
            self.after.0.clear();
        }
        next.transpose()
    }
}
