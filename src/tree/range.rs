//! Iterates over rows in key order, holding one path of nodes.
//!
//! Rests on `load`. Invariants: nothing is read before the first row is asked for; nothing comes after an error.

use std::ops::Bound;
use std::ops::RangeBounds;

use super::Entry;
use super::TreeError;
use super::load;
use super::node::Node;
use super::read;
use crate::object::Find;
use crate::object::RootId;

/// All rows.
pub fn iter(find: &dyn Find, root: RootId) -> Rows<'_> {
    rows_from(find, root, 0)
}

/// The rows from number `row` (counted from 0) on.
pub fn rows_from(find: &dyn Find, root: RootId, row: u64) -> Rows<'_> {
    Rows { find, stack: Vec::new(), start: Some((root, Seek::Row(row))), end: End::Tree }
}

/// The rows whose keys lie in `bounds`, compared as bytes. An empty or inverted range has no rows.
pub fn range(find: &dyn Find, root: RootId, bounds: impl RangeBounds<str>) -> Rows<'_> {
    let seek = match bounds.start_bound() {
        Bound::Included(key) => Seek::From(key.to_owned()),
        Bound::Excluded(key) => Seek::After(key.to_owned()),
        Bound::Unbounded => Seek::Row(0),
    };
    let end = match bounds.end_bound() {
        Bound::Included(key) => End::Through(key.to_owned()),
        Bound::Excluded(key) => End::Before(key.to_owned()),
        Bound::Unbounded => End::Tree,
    };
    Rows { find, stack: Vec::new(), start: Some((root, seek)), end }
}

/// The rows whose keys begin with `prefix`.
pub fn prefix<'a>(find: &'a dyn Find, root: RootId, prefix: &str) -> Rows<'a> {
    let seek = Seek::From(prefix.to_owned());
    Rows { find, stack: Vec::new(), start: Some((root, seek)), end: End::Prefix(prefix.to_owned()) }
}

/// Rows in key order.
pub struct Rows<'a> {
    find: &'a dyn Find,
    /// The path to the next row: each node with the entry to visit next.
    stack: Vec<(Node, usize)>,
    start: Option<(RootId, Seek)>,
    end: End,
}

enum Seek {
    Row(u64),
    From(String),
    After(String),
}

enum End {
    Tree,
    Before(String),
    Through(String),
    Prefix(String),
}

impl End {
    fn admits(&self, key: &str) -> bool {
        match self {
            Self::Tree => true,
            Self::Before(end) => key < end.as_str(),
            Self::Through(end) => key <= end.as_str(),
            Self::Prefix(prefix) => key.starts_with(prefix.as_str()),
        }
    }
}

impl Rows<'_> {
    /// Descends to the first row wanted.
    fn seek(&mut self, root: RootId, seek: &Seek) -> Result<(), TreeError> {
        let mut node = load::root(self.find, root)?;
        let mut row = if let Seek::Row(row) = seek { *row } else { 0 };
        loop {
            let at = match seek {
                Seek::Row(_) => skip_rows(&node, &mut row),
                Seek::From(key) => node.lower_bound(key),
                Seek::After(key) => {
                    let at = node.lower_bound(key);
                    at + usize::from(at < node.len() && node.key(at) == key)
                }
            };
            if node.level() == 0 || at == node.len() {
                self.stack.push((node, at));
                return Ok(());
            }
            let child = load::child(self.find, &node, at)?;
            self.stack.push((node, at + 1));
            node = child;
        }
    }

    /// Passes over the rows whose keys are less than `key`; of the nodes between, those that hold none of the rows that come
    /// next are not read.
    ///
    /// # Errors
    /// When a node is missing or damaged.
    pub fn skip_to(&mut self, key: &str) -> Result<(), TreeError> {
        if let Some((root, seek)) = self.start.take() {
            let seek = match seek {
                Seek::From(from) if from.as_str() < key => Seek::From(key.to_owned()),
                other => other,
            };
            self.seek(root, &seek)?;
        }
        while self.stack.last().is_some_and(|(node, _)| node.last_key().is_none_or(|last| last < key)) {
            self.stack.pop();
        }
        while let Some((node, at)) = self.stack.last_mut() {
            let here = node.lower_bound(key);
            if here < *at {
                // What is below the entry before has been gone into, or passed.
                break;
            }
            *at = here;
            if node.level() == 0 || here == node.len() {
                break;
            }
            *at += 1;
            let child = load::child(self.find, node, here)?;
            self.stack.push((child, 0));
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Entry>, TreeError> {
        if let Some((root, seek)) = self.start.take() {
            self.seek(root, &seek)?;
        }
        while let Some((node, at)) = self.stack.last_mut() {
            if *at == node.len() {
                self.stack.pop();
                continue;
            }
            let here = *at;
            *at += 1;
            if node.level() > 0 {
                let child = load::child(self.find, node, here)?;
                self.stack.push((child, 0));
                continue;
            }
            return Ok(self.end.admits(node.key(here)).then(|| read::entry(node, here)));
        }
        Ok(None)
    }
}

/// The entry of `node` that holds the row with `row` rows before it; takes the rows skipped off `row`.
fn skip_rows(node: &Node, row: &mut u64) -> usize {
    for at in 0..node.len() {
        match row.checked_sub(node.totals_at(at).rows) {
            Some(left) => *row = left,
            None => return at,
        }
    }
    node.len()
}

impl Iterator for Rows<'_> {
    type Item = Result<Entry, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if !matches!(next, Ok(Some(_))) {
            self.stack.clear();
        }
        next.transpose()
    }
}
