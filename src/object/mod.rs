//! Objects and their names: an object is a byte string, its id is BLAKE3-256 of exactly those bytes.
//!
//! Rests on `base` alone and does no I/O; the capability traits [`Exists`], [`Find`] and [`Write`] are what the layers
//! above need of a store. Invariant: whoever returns bytes for an id has hashed them again.

mod batch;
mod id;
mod memory;

pub use id::{CommitId, IdPrefix, ObjectId, ParseIdError, RootId};
pub use memory::MemoryStore;

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

/// What an object is packed with: tree nodes lie in small blocks of their own, so that a lookup unpacks little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Raw units, records, receipts, commits: everything but tree nodes.
    Data,
    /// A node of a prolly tree.
    Node,
}

/// The bytes of one object, shared with the unpacked block they lie in.
#[derive(Clone, Debug)]
pub struct ObjectBytes {
    block: Arc<Vec<u8>>,
    start: usize,
    len: usize,
}

impl ObjectBytes {
    /// A slice of an unpacked block. The range must lie inside the block.
    pub fn new(block: Arc<Vec<u8>>, start: usize, len: usize) -> Self {
        assert!(start.checked_add(len).is_some_and(|end| end <= block.len()), "range outside its block");
        Self { block, start, len }
    }
}

impl From<Vec<u8>> for ObjectBytes {
    fn from(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self { block: Arc::new(bytes), start: 0, len }
    }
}

impl AsRef<[u8]> for ObjectBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Deref for ObjectBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.block[self.start..self.start + self.len]
    }
}

/// Why an object database could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OdbError {
    /// The id is well formed but nothing holds it.
    #[error("object {id} is not in the store")]
    NotFound {
        /// Which one.
        id: ObjectId,
    },
    /// Stored bytes do not hash to their name, or cannot be unpacked.
    #[error("object {id} is damaged in {}: {detail}", place.display())]
    Corrupt {
        /// The name it was asked for by.
        id: ObjectId,
        /// The file it lies in.
        place: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A container (pack, catalogue, operation file) is damaged.
    #[error("{} is damaged: {detail}", place.display())]
    Damaged {
        /// The file.
        place: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The operating system refused.
    #[error("cannot read or write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: std::io::Error,
    },
}

/// Answers whether an object is there.
pub trait Exists {
    /// Whether the store holds `id`; its bytes are not read.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn exists(&self, id: &ObjectId) -> Result<bool, OdbError>;
}

/// Returns objects by id, each one hashed again on the way.
pub trait Find {
    /// The bytes of `id`, or `None` when the store has no such object.
    ///
    /// # Errors
    /// [`OdbError::Corrupt`] when the stored bytes do not hash to `id`; otherwise when the store cannot be read.
    fn try_find(&self, id: &ObjectId) -> Result<Option<ObjectBytes>, OdbError>;

    /// [`Self::try_find`] for each of `ids`, in their order, all in memory at once. A store may answer faster than one by
    /// one.
    ///
    /// # Errors
    /// As [`Self::try_find`], for any of them.
    fn try_find_many(&self, ids: &[ObjectId]) -> Result<Vec<Option<ObjectBytes>>, OdbError> {
        ids.iter().map(|id| self.try_find(id)).collect()
    }
}

/// Comforts over [`Find`].
pub trait FindExt: Find {
    /// Like [`Find::try_find`], with absence as [`OdbError::NotFound`].
    ///
    /// # Errors
    /// As [`Find::try_find`].
    fn find(&self, id: &ObjectId) -> Result<ObjectBytes, OdbError> {
        self.try_find(id)?.ok_or(OdbError::NotFound { id: *id })
    }
}

impl<T: Find + ?Sized> FindExt for T {}

/// Takes objects in.
pub trait Write {
    /// Stores `bytes` and returns their id. Storing an object twice is not an error and stores it once.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn write(&mut self, kind: Kind, bytes: &[u8]) -> Result<ObjectId, OdbError>;
}
