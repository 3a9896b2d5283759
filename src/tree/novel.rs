//! What one side of a transfer must send, and whether the other side has got all of it.
//!
//! Rests on `load`, whose nodes are hashed and fit what their parents say. Invariants: [`novel`] reads the nodes that no base
//! has and, of the bases, those over the same keys, so its cost is that of the change; [`complete`] enters what is not known
//! and looks at the border, and passes a tree only if every node below is there, fits its parent and is cut where the
//! boundary rule says.

use std::collections::HashMap;
use std::rc::Rc;

use rustc_hash::FxHashSet;

use super::Entry;
use super::Totals;
use super::TreeError;
use super::cut::Cutter;
use super::load;
use super::node::Node;
use super::read;
use crate::object::Find;
use crate::object::ObjectId;
use crate::object::RootId;

/// Something that [`novel`] came across.
#[derive(Debug)]
pub enum Novel<'a> {
    /// A node that no base has, with its bytes.
    Node(&'a ObjectId, &'a [u8]),
    /// Objects of rows that no base has near their keys, with their lengths in bytes.
    Rows(&'a [(ObjectId, u64)]),
    /// What a base has too, and what is below it.
    Shared(Totals),
}

/// Told of what is novel.
type Tell<'a, E> = dyn FnMut(Novel<'_>) -> Result<(), E> + 'a;

/// Tells of everything in `root` that lies in none of `bases`, parents before children. A row object that a base has under
/// another key, far away, is told of all the same.
///
/// # Errors
/// A node that is missing or damaged; what `tell` says.
pub fn novel<E: From<TreeError>>(
    find: &dyn Find,
    bases: &[RootId],
    root: RootId,
    tell: &mut Tell<'_, E>,
) -> Result<(), E> {
    let top = load::root(find, root)?;
    let mut level_bases = Vec::new();
    for base in bases {
        if *base == root {
            return tell(Novel::Shared(top.totals()));
        }
        let mut nodes = vec![Rc::new(load::root(find, *base)?)];
        // A higher tree is entered down to the level of ours.
        while nodes.first().is_some_and(|node| node.level() > top.level()) {
            let mut below = Vec::new();
            for node in &nodes {
                for at in 0..node.len() {
                    if node.target(at) == root.object() {
                        return tell(Novel::Shared(top.totals()));
                    }
                    if overlaps(node, at, None, top.last_key().unwrap_or_default()) {
                        below.push(Rc::new(load::child(find, node, at)?));
                    }
                }
            }
            nodes = below;
        }
        level_bases.extend(nodes);
    }
    tell(Novel::Node(top.id(), top.text()))?;
    enter(find, &top, None, &level_bases, tell)
}

/// Whether the child at `at` of `node` may hold keys behind `after` and up to `last`.
fn overlaps(node: &Node, at: usize, after: Option<&str>, last: &str) -> bool {
    after.is_none_or(|after| node.key(at) > after) && (at == 0 || node.key(at - 1) < last)
}

/// Goes through a node of which it was told. `bases` are nodes of its level or lower over its keys.
fn enter<E: From<TreeError>>(
    find: &dyn Find,
    node: &Node,
    after: Option<&str>,
    bases: &[Rc<Node>],
    tell: &mut Tell<'_, E>,
) -> Result<(), E> {
    if node.level() == 0 {
        let known: FxHashSet<&ObjectId> =
            bases.iter().flat_map(|base| (0..base.len()).map(|at| base.target(at))).collect();
        let mut rows = Vec::new();
        let mut shared = Totals::default();
        for at in 0..node.len() {
            let totals = node.totals_at(at);
            if known.contains(node.target(at)) {
                shared = shared.plus(totals).unwrap_or(shared);
            } else {
                rows.push((*node.target(at), totals.bytes));
            }
        }
        tell(Novel::Rows(&rows))?;
        return tell(Novel::Shared(shared));
    }
    let mut known: FxHashSet<ObjectId> = FxHashSet::default();
    for base in bases {
        if base.level() == node.level() {
            known.extend((0..base.len()).map(|at| *base.target(at)));
        } else {
            known.insert(*base.id());
        }
    }
    let mut loaded: HashMap<ObjectId, Rc<Node>> = HashMap::new();
    for at in 0..node.len() {
        if known.contains(node.target(at)) {
            tell(Novel::Shared(node.totals_at(at)))?;
            continue;
        }
        let child = load::child(find, node, at)?;
        let child_after = at.checked_sub(1).map_or(after, |before| Some(node.key(before)));
        let mut below: Vec<Rc<Node>> = Vec::new();
        for base in bases {
            if base.level() < node.level() {
                below.push(Rc::clone(base));
                continue;
            }
            for there in 0..base.len() {
                if !overlaps(base, there, child_after, node.key(at)) {
                    continue;
                }
                let id = *base.target(there);
                let same = match loaded.get(&id) {
                    Some(same) => Rc::clone(same),
                    None => {
                        let same = Rc::new(load::child(find, base, there)?);
                        loaded.insert(id, Rc::clone(&same));
                        same
                    }
                };
                below.push(same);
            }
        }
        tell(Novel::Node(child.id(), child.text()))?;
        enter(find, &child, child_after, &below, tell)?;
    }
    Ok(())
}

/// Whoever receives a tree.
pub trait Completion {
    /// Why it stops.
    type Error: From<TreeError>;

    /// Whether the node is there with everything below it.
    ///
    /// # Errors
    /// When that cannot be said.
    fn is_known(&mut self, id: &ObjectId) -> Result<bool, Self::Error>;

    /// These nodes or rows will be asked for next.
    ///
    /// # Errors
    /// When they cannot be fetched.
    fn soon(&mut self, ids: &mut dyn Iterator<Item = ObjectId>) -> Result<(), Self::Error>;

    /// A node that is not known, sound and in its place.
    ///
    /// # Errors
    /// When it cannot be taken.
    fn node(&mut self, id: &ObjectId, bytes: &[u8]) -> Result<(), Self::Error>;

    /// A row of such a leaf, whose object must be there.
    ///
    /// # Errors
    /// When it is not.
    fn row(&mut self, row: &Entry) -> Result<(), Self::Error>;
}

/// Goes through what is not known of `root`, and fails where anything is missing or is not what it should be.
///
/// # Errors
/// A node that is missing, damaged or in the wrong place; what `taker` says.
pub fn complete<C: Completion>(find: &dyn Find, root: RootId, taker: &mut C) -> Result<(), C::Error> {
    if taker.is_known(root.object())? {
        return Ok(());
    }
    taker.soon(&mut std::iter::once(*root.object()))?;
    let top = load::root(find, root)?;
    take(find, &top, true, taker)
}

fn take<C: Completion>(find: &dyn Find, node: &Node, is_last: bool, taker: &mut C) -> Result<(), C::Error> {
    if let Some(detail) = cut_fault(node, is_last) {
        return Err(load::bad(node.id(), detail).into());
    }
    taker.node(node.id(), node.text())?;
    if node.level() == 0 {
        taker.soon(&mut (0..node.len()).map(|at| *node.target(at)))?;
        for at in 0..node.len() {
            taker.row(&read::entry(node, at))?;
        }
        return Ok(());
    }
    let mut is_known = Vec::with_capacity(node.len());
    for at in 0..node.len() {
        is_known.push(taker.is_known(node.target(at))?);
    }
    taker.soon(&mut (0..node.len()).filter(|at| !is_known[*at]).map(|at| *node.target(at)))?;
    for (at, is_known) in is_known.into_iter().enumerate() {
        // A known child is held against this parent too: what a parent says of rows and bytes is relied on.
        let child = load::child(find, node, at)?;
        if !is_known {
            take(find, &child, is_last && at + 1 == node.len(), taker)?;
        }
    }
    Ok(())
}

/// Where a node does not end as the boundary rule says.
fn cut_fault(node: &Node, is_last: bool) -> Option<String> {
    let mut cutter = Cutter::new(node.level());
    let mut is_cut = false;
    for at in 0..node.len() {
        if is_cut {
            return Some(format!("it should have ended before `{}`", node.key(at)));
        }
        is_cut = cutter.ends_after(node.key_bytes(at));
    }
    (!is_cut && !is_last).then(|| "it ends where no node should end".to_owned())
}
