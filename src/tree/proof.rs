//! Proves to somebody without the store that a row is, or is not, in a snapshot.
//!
//! Rests on `node`. A proof is the nodes on the path from the root to where the key is or would be; whoever trusts the root
//! id can check it with BLAKE3 alone. Invariant: checking reads nothing but the proof.

use serde::Deserialize;
use serde::Serialize;

use super::Entry;
use super::TreeError;
use super::load;
use super::node::Node;
use super::read;
use crate::object::Find;
use crate::object::ObjectId;
use crate::object::RootId;

/// The path to one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Always [`Proof::SCHEMA`].
    pub schema: String,
    /// The exact text of each node, the root's first. It ends with the leaf, or with the root where the key comes after
    /// all others.
    pub nodes: Vec<String>,
}

/// The path to `key` in the tree `root`, whether or not the key is there.
///
/// # Errors
/// When a node on the path is missing or damaged.
pub fn prove(find: &dyn Find, root: RootId, key: &str) -> Result<Proof, TreeError> {
    let mut nodes = Vec::new();
    let mut node = load::root(find, root)?;
    loop {
        nodes.push(String::from_utf8_lossy(node.text()).into_owned());
        let at = node.lower_bound(key);
        if node.level() == 0 || at == node.len() {
            return Ok(Proof { schema: Proof::SCHEMA.to_owned(), nodes });
        }
        node = load::child(find, &node, at)?;
    }
}

impl Proof {
    /// The schema of the JSON form.
    pub const SCHEMA: &'static str = "distill.tree_proof.v1";

    /// Checks the path and returns what it proves of `key` in the tree `root`: its row, or that it has none.
    ///
    /// # Errors
    /// [`TreeError::BadProof`] and [`TreeError::BadNode`] when it proves neither.
    pub fn verify(&self, root: RootId, key: &str) -> Result<Option<Entry>, TreeError> {
        let bad = |detail: &str| TreeError::BadProof { key: key.to_owned(), detail: detail.to_owned() };
        if self.schema != Self::SCHEMA {
            return Err(bad("its schema is another"));
        }
        let mut texts = self.nodes.iter();
        let mut next = |id: &ObjectId| {
            let text = texts.next().ok_or_else(|| bad("a node is missing"))?;
            if ObjectId::of(text.as_bytes()) != *id {
                return Err(bad(&format!("node {id} has another text")));
            }
            Node::parse(*id, text.clone().into_bytes().into())
        };
        let mut node = next(root.object())?;
        if let Some(detail) = load::root_fault(&node) {
            return Err(bad(detail));
        }
        let found = loop {
            let at = node.lower_bound(key);
            if at == node.len() {
                break None;
            }
            if node.level() == 0 {
                break (node.key(at) == key).then(|| read::entry(&node, at));
            }
            let child = next(node.target(at))?;
            if let Some(detail) = load::fault(&child, &node, at) {
                return Err(load::bad(child.id(), detail));
            }
            node = child;
        };
        if texts.next().is_some() {
            return Err(bad("it goes on where the path ends"));
        }
        Ok(found)
    }
}
