//! Looks single things up: a row by key or by number, where a key stands, how much a tree holds.
//!
//! Rests on `load`. Invariant: each answer reads one node a level, and none more.

use super::Entry;
use super::Totals;
use super::TreeError;
use super::load;
use super::node::Node;
use crate::object::Find;
use crate::object::ObjectId;
use crate::object::RootId;

/// The row of `key`, if there is one.
///
/// # Errors
/// When a node on the path is missing or damaged.
pub fn get(find: &dyn Find, root: RootId, key: &str) -> Result<Option<Entry>, TreeError> {
    let mut node = load::root(find, root)?;
    loop {
        let at = node.lower_bound(key);
        if at == node.len() {
            return Ok(None);
        }
        if node.level() == 0 {
            return Ok((node.key(at) == key).then(|| entry(&node, at)));
        }
        node = load::child(find, &node, at)?;
    }
}

/// What the whole tree holds; reads one node.
///
/// # Errors
/// When the root is missing or damaged.
pub fn totals(find: &dyn Find, root: RootId) -> Result<Totals, TreeError> {
    Ok(load::root(find, root)?.totals())
}

/// Number of levels, leaves included: 1 or more.
///
/// # Errors
/// When the root is missing or damaged.
pub fn height(find: &dyn Find, root: RootId) -> Result<u32, TreeError> {
    Ok(u32::from(load::root(find, root)?.level()) + 1)
}

/// The row with `row` rows before it.
///
/// # Errors
/// When a node on the path is missing or damaged.
pub fn nth(find: &dyn Find, root: RootId, row: u64) -> Result<Option<Entry>, TreeError> {
    Ok(select(find, root, |before| before.rows <= row)?.map(|(_, entry)| entry))
}

/// The rows with so many rows before them, in the order in which they are asked for; `None` where one of them is beyond the end.
/// Each node on the way is read once.
///
/// # Errors
/// When a node on a path is missing or damaged.
pub fn nth_many(find: &dyn Find, root: RootId, rows: &[u64]) -> Result<Option<Vec<Entry>>, TreeError> {
    let mut wanted: Vec<(u64, usize)> = rows.iter().copied().zip(0..).collect();
    wanted.sort_unstable();
    let Some((last, _)) = wanted.last() else { return Ok(Some(Vec::new())) };
    let node = load::root(find, root)?;
    if *last >= node.totals().rows {
        return Ok(None);
    }
    let mut found = vec![None; rows.len()];
    gather(find, &node, 0, &wanted, &mut found)?;
    Ok(found.into_iter().collect())
}

/// Puts the `wanted` rows, all of which lie below `node`, before which lie `before`, in their places.
fn gather(
    find: &dyn Find,
    node: &Node,
    before: u64,
    wanted: &[(u64, usize)],
    found: &mut [Option<Entry>],
) -> Result<(), TreeError> {
    let (mut rest, mut before) = (wanted, before);
    for at in 0..node.len() {
        let end = before + node.totals_at(at).rows;
        let (within, after) = rest.split_at(rest.partition_point(|(row, _)| *row < end));
        if !within.is_empty() && node.level() == 0 {
            for (_, place) in within {
                found[*place] = Some(entry(node, at));
            }
        } else if !within.is_empty() {
            gather(find, &load::child(find, node, at)?, before, within, found)?;
        }
        if after.is_empty() {
            break;
        }
        (rest, before) = (after, end);
    }
    Ok(())
}

/// The ids of the leaves, in order. None of them is read, but where one is the root.
///
/// # Errors
/// When an interior node is missing or damaged.
pub fn leaves(find: &dyn Find, root: RootId) -> Result<Vec<ObjectId>, TreeError> {
    fn below(find: &dyn Find, node: &Node, leaves: &mut Vec<ObjectId>) -> Result<(), TreeError> {
        for at in 0..node.len() {
            if node.level() == 1 {
                leaves.push(*node.target(at));
            } else {
                below(find, &load::child(find, node, at)?, leaves)?;
            }
        }
        Ok(())
    }
    let node = load::root(find, root)?;
    if node.level() == 0 {
        return Ok(vec![*root.object()]);
    }
    let mut leaves = Vec::new();
    below(find, &node, &mut leaves)?;
    Ok(leaves)
}

/// The row that holds byte `offset` of the tree's JSONL, and what comes before that row.
///
/// # Errors
/// When a node on the path is missing or damaged.
pub fn row_at(find: &dyn Find, root: RootId, offset: u64) -> Result<Option<(Totals, Entry)>, TreeError> {
    select(find, root, |before| before.jsonl_bytes() <= offset)
}

/// What comes before `key`, whether or not the key is there: its `rows` is the row number of the key, its
/// [`jsonl_bytes`](Totals::jsonl_bytes) the offset of its line.
///
/// # Errors
/// When a node on the path is missing or damaged.
pub fn rank(find: &dyn Find, root: RootId, key: &str) -> Result<Totals, TreeError> {
    let mut node = load::root(find, root)?;
    let mut before = Totals::default();
    loop {
        let at = node.lower_bound(key);
        before = sum(before, &node, at);
        if node.level() == 0 || at == node.len() {
            return Ok(before);
        }
        node = load::child(find, &node, at)?;
    }
}

/// The last row for which `reached` holds of what comes before it, unless it holds of the end of the tree too.
fn select(
    find: &dyn Find,
    root: RootId,
    reached: impl Fn(Totals) -> bool,
) -> Result<Option<(Totals, Entry)>, TreeError> {
    let mut node = load::root(find, root)?;
    let mut before = Totals::default();
    if reached(node.totals()) {
        return Ok(None);
    }
    loop {
        let mut at = 0;
        while at + 1 < node.len() && reached(sum(before, &node, at + 1)) {
            at += 1;
        }
        before = sum(before, &node, at);
        if node.level() == 0 {
            return Ok(Some((before, entry(&node, at))));
        }
        node = load::child(find, &node, at)?;
    }
}

pub(super) fn entry(leaf: &Node, at: usize) -> Entry {
    Entry { key: leaf.key(at).to_owned(), id: *leaf.target(at), bytes: leaf.totals_at(at).bytes }
}

/// `before` and the first `count` entries of `node`.
fn sum(before: Totals, node: &Node, count: usize) -> Totals {
    // The parsed root has shown that no sum within the tree overflows.
    (0..count).fold(before, |sum, at| sum.plus(node.totals_at(at)).unwrap_or(sum))
}
