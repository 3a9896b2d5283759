//! Builds trees from sorted entries, bottom up, with one unfinished node for each level in memory.
//!
//! Rests on `encode`. Invariant: the root depends on the entries alone.

use super::Entry;
use super::Snapshot;
use super::Totals;
use super::TreeError;
use super::encode::Link;
use super::encode::NodeWriter;
use super::node::Node;
use crate::object::Kind;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::object::Write;

/// Makes a tree of entries that come in strictly ascending order of key. Memory: O(height · node).
pub struct Builder<'a> {
    levels: Levels<'a>,
}

impl<'a> Builder<'a> {
    /// Begins a tree whose nodes go to `sink`.
    pub fn new(sink: &'a mut dyn Write) -> Self {
        Self { levels: Levels::new(sink) }
    }

    /// Appends a row.
    ///
    /// # Errors
    /// [`TreeError::Unsorted`] when the key is not greater than the one before, [`TreeError::BadKey`] when no key may be
    /// like that; otherwise when the sink refuses.
    pub fn push(&mut self, entry: &Entry) -> Result<(), TreeError> {
        self.push_row(&entry.key, &entry.id, entry.bytes)
    }

    /// As [`Self::push`], of a row that is only lent.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_row(&mut self, key: &str, id: &ObjectId, bytes: u64) -> Result<(), TreeError> {
        self.levels.push_row(key, id, bytes)
    }

    /// Writes what is left and names the tree.
    ///
    /// # Errors
    /// When the sink refuses.
    pub fn finish(self) -> Result<Snapshot, TreeError> {
        let top = self.levels.finish()?;
        Ok(Snapshot { root: RootId::new(top.link.id), totals: top.link.totals })
    }
}

/// The unfinished node of each level, lowest first.
pub(super) struct Levels<'a> {
    sink: &'a mut dyn Write,
    levels: Vec<Level>,
}

struct Level {
    writer: NodeWriter,
    /// Whether a node of this level exists already, so that it cannot be the root alone.
    emitted: bool,
    /// The id of the last entry, and whether it names a node that was taken over unread.
    last: Option<(ObjectId, bool)>,
    /// The node last read from the tree that is being changed; what comes out the same is not written again.
    base: Option<(ObjectId, ObjectBytes)>,
}

/// What [`Levels::finish`] ends with.
pub(super) struct Top {
    pub(super) link: Link,
    /// The root is a node that was taken over unread, and may have one child.
    pub(super) adopted: bool,
}

impl<'a> Levels<'a> {
    pub(super) fn new(sink: &'a mut dyn Write) -> Self {
        Self { sink, levels: Vec::new() }
    }

    pub(super) fn push_row(&mut self, key: &str, id: &ObjectId, bytes: u64) -> Result<(), TreeError> {
        self.push(0, key, id, Totals { rows: 1, bytes }, false)
    }

    /// Takes over a whole node of `level` that begins where the last one ended; see [`Self::is_aligned`].
    pub(super) fn adopt(
        &mut self,
        level: u8,
        key: &str,
        id: &ObjectId,
        totals: Totals,
    ) -> Result<(), TreeError> {
        for below in 0..=usize::from(level) {
            self.level(below).emitted = true;
        }
        self.push(usize::from(level) + 1, key, id, totals, true)
    }

    /// Whether no node of `level` or below is unfinished.
    pub(super) fn is_aligned(&self, level: u8) -> bool {
        self.levels.iter().take(usize::from(level) + 1).all(|level| level.writer.entries() == 0)
    }

    /// Says which node of the old tree is being gone through.
    pub(super) fn set_base(&mut self, node: &Node) {
        self.level(usize::from(node.level())).base = Some((*node.id(), node.text().clone()));
    }

    fn level(&mut self, at: usize) -> &mut Level {
        while self.levels.len() <= at {
            let level = u8::try_from(self.levels.len()).expect("four entries a node bound the height");
            self.levels.push(Level {
                writer: NodeWriter::new(level),
                emitted: false,
                last: None,
                base: None,
            });
        }
        &mut self.levels[at]
    }

    fn push(
        &mut self,
        at: usize,
        key: &str,
        id: &ObjectId,
        totals: Totals,
        adopted: bool,
    ) -> Result<(), TreeError> {
        let level = self.level(at);
        level.last = Some((*id, adopted));
        if level.writer.push(key, id, totals)? { self.close(at) } else { Ok(()) }
    }

    /// Ends the node of a level and enters it into the level above.
    fn close(&mut self, at: usize) -> Result<(), TreeError> {
        let link = self.emit(at)?;
        self.level(at).emitted = true;
        self.push(at + 1, &link.key, &link.id, link.totals, false)
    }

    /// Writes the unfinished node of a level.
    fn emit(&mut self, at: usize) -> Result<Link, TreeError> {
        self.level(at);
        let level = &mut self.levels[at];
        let (key, totals) = (level.writer.last_key().to_owned(), level.writer.totals());
        let text = level.writer.finish();
        let id = match &level.base {
            Some((id, base)) if **base == *text => *id,
            _ => self.sink.write(Kind::Node, text)?,
        };
        level.writer.reset();
        Ok(Link { key, id, totals })
    }

    /// Ends every level and returns the root.
    pub(super) fn finish(mut self) -> Result<Top, TreeError> {
        let mut at = 0;
        loop {
            let Level { writer, emitted, last, .. } = self.level(at);
            if *emitted {
                if writer.entries() > 0 {
                    self.close(at)?;
                }
                at += 1;
                continue;
            }
            return match *last {
                // One node on the level below: it is the root itself.
                Some((id, adopted)) if at > 0 && writer.entries() == 1 => {
                    let link = Link { key: writer.last_key().to_owned(), id, totals: writer.totals() };
                    Ok(Top { link, adopted })
                }
                _ => Ok(Top { link: self.emit(at)?, adopted: false }),
            };
        }
    }
}
