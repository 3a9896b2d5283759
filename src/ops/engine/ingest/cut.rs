//! One thread of an ingest: chunks of bytes become hashed units, compressed blocks and edits of the tree.
//!
//! Rests on block builders. Invariants: lines are cut as the unit reader cuts them; what the last commit has under the
//! same key is left alone; the blocks depend on the chunk alone.

use std::sync::mpsc::{Receiver, SyncSender};

use crate::object::{Exists as _, Kind, ObjectId};
use crate::ops::engine::ingest::read::{Chunk, Content, Place};
use crate::ops::error::OpError;
use crate::store::{BlockBuilder, SealedBlock, Store};
use crate::tree;

/// What became of a chunk.
pub(super) struct Done {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) blocks: Vec<SealedBlock>,
    /// In the order of keys.
    pub(super) edits: Vec<tree::Edit>,
}

/// Works until there are no more chunks, or nobody wants the results.
pub(super) fn cut_chunks(
    store: &Store,
    places: &[Place],
    chunks: &Receiver<Chunk>,
    results: &SyncSender<Result<Done, OpError>>,
) {
    let mut cutter =
        Cutter { store: (!store.packs().is_empty()).then_some(store), blocks: BlockBuilder::new() };
    for chunk in chunks {
        let done = cutter.chunk(&places[chunk.place], chunk);
        let failed = done.is_err();
        if results.send(done).is_err() || failed {
            return;
        }
    }
}

struct Cutter<'a> {
    /// `None` where it holds nothing.
    store: Option<&'a Store>,
    blocks: BlockBuilder,
}

impl Cutter<'_> {
    fn chunk(&mut self, place: &Place, chunk: Chunk) -> Result<Done, OpError> {
        let Chunk { content, known, .. } = chunk;
        let mut done = Done { rows: 0, bytes: 0, blocks: Vec::new(), edits: Vec::new() };
        let mut known = known.into_iter().peekable();
        let mut unit = |number: u64, bytes: &[u8]| -> Result<(), OpError> {
            done.rows += 1;
            let id = ObjectId::of(bytes);
            while known.next_if(|(before, _)| *before < number).is_some() {}
            if known.next_if_eq(&(number, id)).is_some() {
                return Ok(());
            }
            let stored = match self.store {
                Some(store) => store.exists(&id)?,
                None => false,
            };
            if !stored {
                self.blocks.push(Kind::Data, id, bytes)?;
            }
            done.edits.push(tree::Edit { key: place.key(number), change: Some((id, bytes.len() as u64)) });
            Ok(())
        };
        match content {
            Content::Lines { text, pieces } => {
                let ends = pieces.iter().skip(1).map(|piece| piece.start).chain([text.len()]);
                for (piece, piece_end) in pieces.iter().zip(ends) {
                    let text = &text[piece.start..piece_end];
                    let (mut start, mut number) = (0, piece.first);
                    for end in memchr::memchr_iter(b'\n', text) {
                        let line = &text[start..end];
                        unit(number, line.strip_suffix(b"\r").unwrap_or(line))?;
                        (start, number) = (end + 1, number + 1);
                    }
                    // The last line of a file may have no end; nothing is taken from it.
                    if start < text.len() {
                        unit(number, &text[start..])?;
                    }
                }
                done.bytes = text.len() as u64;
            }
            Content::Units { first, units } => {
                for (number, bytes) in (first..).zip(units) {
                    unit(number, &bytes)?;
                    done.bytes += bytes.len() as u64;
                }
            }
            Content::Gone(numbers) => {
                let gone = |number| tree::Edit { key: place.key(number), change: None };
                done.edits.extend(numbers.into_iter().map(gone));
            }
        }
        done.blocks = self.blocks.drain()?;
        Ok(done)
    }
}
