//! Why a repository could not answer.
//!
//! Rests on the errors of the layers below. Every variant names the thing; what to do about it is said in `ops`.

use std::io;
use std::path::PathBuf;

use crate::object::ObjectId;
use crate::object::OdbError;
use crate::repo::commit::NotA;
use crate::repo::refname::RefNameError;
use crate::repo::revspec::RevSpecError;
use crate::store::StoreError;
use crate::tree::TreeError;

/// A refusal of the repository layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepoError {
    /// No `.distill` at or above the folder.
    #[error("no .distill folder at or above {}", start.display())]
    NotARepository {
        /// Where the search began.
        start: PathBuf,
    },
    /// `config.toml` cannot be used.
    #[error("{}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why, with line and column.
        message: String,
    },
    /// A revision that names nothing.
    #[error("no revision is called `{name}`")]
    UnknownRevision {
        /// As typed.
        name: String,
        /// Names that look like it.
        near: Vec<String>,
    },
    /// A revision that names several things.
    #[error("`{name}` is ambiguous: {}", candidates.join(", "))]
    Ambiguous {
        /// As typed.
        name: String,
        /// What it may mean.
        candidates: Vec<String>,
    },
    /// A walk beyond the first commit.
    #[error("`{rev}` goes beyond the first commit")]
    BeyondRoot {
        /// As typed.
        rev: String,
    },
    /// HEAD or a branch that has no commit yet.
    #[error("there is no commit yet")]
    NoCommit,
    /// A reflog entry that does not exist.
    #[error("`{name}` has no entry {n} in the operation log")]
    NoReflogEntry {
        /// HEAD or the ref.
        name: String,
        /// The entry asked for.
        n: u64,
    },
    /// A reflog entry whose commit was collected.
    #[error("entry {n} of `{name}` is commit {}, which is no longer in the store", commit.short(12))]
    Collected {
        /// HEAD or the ref.
        name: String,
        /// The entry asked for.
        n: u64,
        /// What it names.
        commit: ObjectId,
    },
    /// A dataset or a key that the commit does not have.
    #[error("{commit} has no `{path}`")]
    NoSuchPath {
        /// The commit, abbreviated.
        commit: String,
        /// What followed the colon.
        path: String,
        /// Paths that look like it.
        near: Vec<String>,
    },
    /// Malformed revision.
    #[error(transparent)]
    RevSpec(#[from] RevSpecError),
    /// Malformed ref name.
    #[error(transparent)]
    RefName(#[from] RefNameError),
    /// An object of another kind.
    #[error(transparent)]
    NotA(#[from] NotA),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object database refused.
    #[error(transparent)]
    Odb(#[from] OdbError),
    /// A tree is damaged or was misused.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
}
