//! Changes a tree: reads and writes the nodes on the paths to the changes, takes over all others unread.
//!
//! Rests on `build` and `load`. Walks the old tree and the sorted edits side by side; a node of the old tree in which no
//! edit falls, and which begins where a new node would begin, is adopted whole: cut by the same keys from the same start,
//! it would come out the same. Invariant: the result is the tree that a full build gives; nodes just written are never
//! read.

use super::Edit;
use super::Snapshot;
use super::TreeError;
use super::build::Levels;
use super::encode::check_key;
use super::load;
use super::node::Node;
use crate::object::Find;
use crate::object::RootId;
use crate::object::Write;

/// Applies `edits`, in strictly ascending order of key, to the tree `base` and returns the new tree.
///
/// Costs O(edits · height) nodes read and written; nodes that come out unchanged are not written. `E` is the error of
/// whoever yields the edits. Where one value is both store and sink, see [`Shared`](super::Shared).
///
/// # Errors
/// The first error of `edits`; [`TreeError::Unsorted`] and [`TreeError::BadKey`] as in
/// [`Builder::push`](super::Builder::push), removals included; otherwise when a node is missing, damaged or cannot be
/// written.
pub fn apply<E: From<TreeError>>(
    find: &dyn Find,
    sink: &mut dyn Write,
    base: RootId,
    edits: impl IntoIterator<Item = Result<Edit, E>>,
) -> Result<Snapshot, E> {
    let root = load::root(find, base)?;
    let edits = Edits::new(edits.into_iter())?;
    if edits.head.is_none() {
        return Ok(Snapshot { root: base, totals: root.totals() });
    }
    let mut change = Application { find, out: Levels::new(sink), edits };
    change.node(&root, true)?;
    while let Some(edit) = change.edits.next()? {
        change.insert(&edit)?;
    }
    let top = change.out.finish()?;
    let link = if top.adopted { load::collapse(find, top.link)? } else { top.link };
    Ok(Snapshot { root: RootId::new(link.id), totals: link.totals })
}

struct Application<'a, I> {
    find: &'a dyn Find,
    out: Levels<'a>,
    edits: Edits<I>,
}

impl<E: From<TreeError>, I: Iterator<Item = Result<Edit, E>>> Application<'_, I> {
    /// Goes through a node; `is_last` when nothing lies to the right of it.
    fn node(&mut self, node: &Node, is_last: bool) -> Result<(), E> {
        self.out.set_base(node);
        for at in 0..node.len() {
            if node.level() == 0 {
                self.row(node, at)?;
            } else {
                self.child(node, at, is_last && at + 1 == node.len())?;
            }
        }
        Ok(())
    }

    fn child(&mut self, parent: &Node, at: usize, is_last: bool) -> Result<(), E> {
        let level = parent.level() - 1;
        if self.out.is_aligned(level) && self.is_untouched(parent.key_bytes(at), is_last) {
            self.out.adopt(level, parent.key(at), parent.target(at), parent.totals_at(at))?;
            return Ok(());
        }
        let child = load::child(self.find, parent, at)?;
        self.node(&child, is_last)
    }

    /// Whether no edit falls into the node that ends with `last_key`. The last node of a level ended for want of
    /// entries, so anything that comes after it may change it too.
    fn is_untouched(&self, last_key: &[u8], is_last: bool) -> bool {
        self.edits.head.as_ref().is_none_or(|edit| !is_last && edit.key.as_bytes() > last_key)
    }

    fn row(&mut self, leaf: &Node, at: usize) -> Result<(), E> {
        let key = leaf.key_bytes(at);
        while let Some(head) = &self.edits.head {
            let order = head.key.as_bytes().cmp(key);
            if order.is_gt() {
                break;
            }
            if let Some(edit) = self.edits.next()? {
                self.insert(&edit)?;
            }
            if order.is_eq() {
                return Ok(());
            }
        }
        self.out.push_row(leaf.key(at), leaf.target(at), leaf.totals_at(at).bytes)?;
        Ok(())
    }

    fn insert(&mut self, edit: &Edit) -> Result<(), TreeError> {
        match &edit.change {
            Some((id, bytes)) => self.out.push_row(&edit.key, id, *bytes),
            None => Ok(()),
        }
    }
}

/// The edits, with their order and keys checked, one ahead.
struct Edits<I> {
    source: I,
    head: Option<Edit>,
}

impl<E: From<TreeError>, I: Iterator<Item = Result<Edit, E>>> Edits<I> {
    fn new(mut source: I) -> Result<Self, E> {
        let head = source.next().transpose()?;
        if let Some(edit) = &head {
            check_key(&edit.key)?;
        }
        Ok(Self { source, head })
    }

    /// Takes the head and moves the next edit up.
    fn next(&mut self) -> Result<Option<Edit>, E> {
        let Some(edit) = self.head.take() else { return Ok(None) };
        if let Some(next) = self.source.next().transpose()? {
            check_key(&next.key)?;
            if next.key <= edit.key {
                return Err(TreeError::Unsorted { key: next.key, after: edit.key }.into());
            }
            self.head = Some(next);
        }
        Ok(Some(edit))
    }
}
