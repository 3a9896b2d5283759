//! Iterates over the rows of several trees together, in the order of their keys.
//!
//! Rests on `range`. Rows of one key lie next to each other in the store whatever their dataset, so whoever reads several
//! datasets reads them so. Invariant: of rows with one key, that of the tree named first comes first.

use std::iter::Peekable;

use super::Entry;
use super::Rows;
use super::TreeError;
use super::iter;
use crate::object::Find;
use crate::object::RootId;

/// The rows of `roots`, each with the number of its tree.
pub fn together(find: &dyn Find, roots: impl IntoIterator<Item = RootId>) -> Together<'_> {
    Together { trees: roots.into_iter().map(|root| iter(find, root).peekable()).collect() }
}

/// Rows of several trees, in the order of their keys.
pub struct Together<'a> {
    trees: Vec<Peekable<Rows<'a>>>,
}

impl Together<'_> {
    /// The tree whose next key is the least; one that cannot be read comes first, to say so.
    fn least(&mut self) -> Option<usize> {
        let mut least: Option<(usize, &str)> = None;
        for (at, rows) in self.trees.iter_mut().enumerate() {
            match rows.peek() {
                None => {}
                Some(Err(_)) => return Some(at),
                Some(Ok(entry)) if least.is_some_and(|(_, key)| key <= entry.key.as_str()) => {}
                Some(Ok(entry)) => least = Some((at, &entry.key)),
            }
        }
        least.map(|(at, _)| at)
    }
}

impl Iterator for Together<'_> {
    type Item = Result<(usize, Entry), TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.least()?;
        let entry = self.trees[at].next()?;
        Some(entry.map(|entry| (at, entry)))
    }
}
