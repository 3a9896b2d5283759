//! Why a tree could not be built, read or believed.
//!
//! Rests on the errors of `object`. Every message names the node or the key it is about.

use crate::object::ObjectId;
use crate::object::OdbError;

/// A refusal of the tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The store has lost a node, or could not be read or written.
    #[error(transparent)]
    Odb(#[from] OdbError),
    /// An object that should be a node is not what the writer would have written, or not what its parent says of it.
    #[error("tree node {id} is not well formed: {detail}")]
    BadNode {
        /// Which one.
        id: ObjectId,
        /// What is wrong with it.
        detail: String,
    },
    /// Entries or edits did not come in strictly ascending byte order of their keys.
    #[error("key `{key}` does not come after `{after}`")]
    Unsorted {
        /// The offender.
        key: String,
        /// The key before it.
        after: String,
    },
    /// A key that no entry may have.
    #[error("`{}` cannot be a key: {reason}", key.escape_debug())]
    BadKey {
        /// The offender.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The rows of a tree, as JSONL, would be longer than 2^64 - 1 bytes.
    #[error("the rows up to `{key}` are longer than 2^64 - 1 bytes")]
    TooLarge {
        /// The entry that was one too many.
        key: String,
    },
    /// A proof does not prove what it is asked for.
    #[error("the proof for `{key}` does not hold: {detail}")]
    BadProof {
        /// What it should have been about.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
}
