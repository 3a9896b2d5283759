//! Fetches nodes and holds them against what is said of them.
//!
//! Rests on `node` and the `Find` trait, which has hashed the bytes again. Invariant: a child that comes out of here has
//! the level, last key and totals that its parent gives it, so that counts and binary searches can be relied on.

use super::TreeError;
use super::encode::Link;
use super::node::Node;
use crate::object::Find;
use crate::object::FindExt;
use crate::object::ObjectId;
use crate::object::RootId;

/// Reads the root of a tree.
pub(super) fn root(find: &dyn Find, root: RootId) -> Result<Node, TreeError> {
    let node = any(find, root.object())?;
    match root_fault(&node) {
        Some(detail) => Err(bad(node.id(), detail.to_owned())),
        None => Ok(node),
    }
}

/// Why no root can be like `node`.
pub(super) fn root_fault(node: &Node) -> Option<&'static str> {
    (node.level() > 0 && node.len() == 1)
        .then_some("it is the root and has one child, which should be the root")
}

/// Reads the child at `at` of an interior node.
pub(super) fn child(find: &dyn Find, parent: &Node, at: usize) -> Result<Node, TreeError> {
    let node = any(find, parent.target(at))?;
    match fault(&node, parent, at) {
        Some(detail) => Err(bad(node.id(), detail)),
        None => Ok(node),
    }
}

/// What of `child` is not as the entry at `at` of its parent says.
pub(super) fn fault(child: &Node, parent: &Node, at: usize) -> Option<String> {
    if child.level() + 1 != parent.level() {
        return Some(format!("its level is {}, below a node of level {}", child.level(), parent.level()));
    }
    if child.last_key() != Some(parent.key(at)) {
        return Some(format!("its last key is not `{}`, as its parent {} says", parent.key(at), parent.id()));
    }
    if at > 0 && child.len() > 0 && child.key(0) <= parent.key(at - 1) {
        return Some(format!(
            "its first key does not come after `{}`, the last one before it",
            parent.key(at - 1)
        ));
    }
    if child.totals() != parent.totals_at(at) {
        return Some(format!("it has not the rows and bytes that its parent {} gives it", parent.id()));
    }
    None
}

/// Reads a node of which nothing is known.
pub(super) fn any(find: &dyn Find, id: &ObjectId) -> Result<Node, TreeError> {
    Node::parse(*id, find.find(id)?)
}

/// The root of the tree that consists of what is below `link` alone: a node of one child gives way to that child.
pub(super) fn collapse(find: &dyn Find, link: Link) -> Result<Link, TreeError> {
    let mut node = any(find, &link.id)?;
    let mut link = link;
    while node.level() > 0 && node.len() == 1 {
        link = node.link(0);
        node = child(find, &node, 0)?;
    }
    Ok(link)
}

pub(super) fn bad(id: &ObjectId, detail: String) -> TreeError {
    TreeError::BadNode { id: *id, detail }
}
