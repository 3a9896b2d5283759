//! Visits every node of trees once, checks all that can be checked, and goes on where something is damaged.
//!
//! Rests on `load` and on the boundary rule. A tree in which a walk finds no fault is the one tree that a build of its rows
//! gives. Invariant: damage is reported, never raised, and what is not below it is still visited.

use std::collections::HashMap;

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

/// What a walk tells of.
pub trait Visitor {
    /// A sound node, before what is below it; `false` leaves out what is below.
    fn node(&mut self, id: &ObjectId, level: u8) -> bool;
    /// A row of a leaf.
    fn row(&mut self, row: &Entry);
    /// A node that is missing, damaged, or not what its parent or the boundary rule says.
    fn damage(&mut self, id: &ObjectId, error: TreeError);
}

/// Walks any number of trees and visits what they share once.
pub struct Walker<'a> {
    find: &'a dyn Find,
    /// `None` for a node that could not be read and has been reported.
    seen: HashMap<ObjectId, Option<Seen>>,
}

/// What is remembered of a node, so that every parent's claim about it can be checked without reading it again.
struct Seen {
    level: u8,
    entries: usize,
    /// The least key below and the last one; `None` for the empty leaf.
    keys: Option<(String, String)>,
    totals: Totals,
    /// Whether the boundary rule ends the node after its last entry.
    is_cut: bool,
}

/// What a node's place in the tree says of it.
struct Claim<'a> {
    /// The node above, and which of its entries this is; `None` for the root.
    parent: Option<(&'a Node, usize)>,
    /// The key before the first one below.
    after: Option<&'a str>,
    /// Nothing lies to the right of it.
    is_last: bool,
}

impl<'a> Walker<'a> {
    /// A walker that has seen nothing.
    pub fn new(find: &'a dyn Find) -> Self {
        Self { find, seen: HashMap::new() }
    }

    /// How many different nodes have been asked for, damaged ones included.
    pub fn nodes_seen(&self) -> usize {
        self.seen.len()
    }

    /// Visits the nodes of `root` that have not been seen. What a visitor has left out counts as seen.
    pub fn walk(&mut self, root: RootId, visitor: &mut dyn Visitor) {
        self.visit(root.object(), &Claim { parent: None, after: None, is_last: true }, visitor);
    }

    fn visit(&mut self, id: &ObjectId, claim: &Claim, visitor: &mut dyn Visitor) {
        if !self.seen.contains_key(id) {
            let seen = match load::any(self.find, id) {
                // Levels that fall bound the depth, whatever an attacker has linked together.
                Ok(node) if claim.parent.is_some_and(|(parent, _)| node.level() >= parent.level()) => {
                    return visitor
                        .damage(id, load::bad(id, format!("its level is {}, too high", node.level())));
                }
                Ok(node) => Some(self.enter(&node, claim, visitor)),
                Err(error) => {
                    visitor.damage(id, error);
                    None
                }
            };
            self.seen.insert(*id, seen);
        }
        if let Some(Some(seen)) = self.seen.get(id)
            && let Some(detail) = seen.fault(claim)
        {
            visitor.damage(id, load::bad(id, detail));
        }
    }

    fn enter(&mut self, node: &Node, claim: &Claim, visitor: &mut dyn Visitor) -> Seen {
        let mut cutter = Cutter::new(node.level());
        let mut is_cut = false;
        for at in 0..node.len() {
            if is_cut {
                let detail = format!("it should have ended before `{}`", node.key(at));
                visitor.damage(node.id(), load::bad(node.id(), detail));
            }
            is_cut = cutter.ends_after(node.key_bytes(at));
        }
        if visitor.node(node.id(), node.level()) {
            for at in 0..node.len() {
                if node.level() == 0 {
                    visitor.row(&read::entry(node, at));
                    continue;
                }
                let after = at.checked_sub(1).map_or(claim.after, |before| Some(node.key(before)));
                let is_last = claim.is_last && at + 1 == node.len();
                self.visit(node.target(at), &Claim { parent: Some((node, at)), after, is_last }, visitor);
            }
        }
        let keys = node.last_key().map(|last| (self.least_key(node).to_owned(), last.to_owned()));
        Seen { level: node.level(), entries: node.len(), keys, totals: node.totals(), is_cut }
    }

    /// The least key below a node with entries, or the next best known where its first leaf is damaged or left out.
    fn least_key<'b>(&'b self, node: &'b Node) -> &'b str {
        let first_child = if node.level() > 0 { self.seen.get(node.target(0)) } else { None };
        match first_child {
            Some(Some(Seen { keys: Some((least, _)), .. })) => least,
            _ => node.key(0),
        }
    }
}

impl Seen {
    fn fault(&self, claim: &Claim) -> Option<String> {
        let (least, last) = match &self.keys {
            Some((least, last)) => (Some(least.as_str()), Some(last.as_str())),
            None => (None, None),
        };
        match claim.parent {
            Some((parent, at)) => {
                if self.level + 1 != parent.level() {
                    return Some(format!(
                        "its level is {}, below a node of level {}",
                        self.level,
                        parent.level()
                    ));
                }
                if last != Some(parent.key(at)) || self.totals != parent.totals_at(at) {
                    return Some(format!(
                        "it has not the last key, rows and bytes that {} gives it",
                        parent.id()
                    ));
                }
            }
            None if self.level > 0 && self.entries == 1 => {
                return Some("it is the root and has one child, which should be the root".to_owned());
            }
            None => {}
        }
        if let (Some(least), Some(after)) = (least, claim.after)
            && least <= after
        {
            return Some(format!(
                "its first key `{least}` does not come after `{after}`, the last one before it"
            ));
        }
        (!self.is_cut && !claim.is_last).then(|| "it ends where no node should end".to_owned())
    }
}
