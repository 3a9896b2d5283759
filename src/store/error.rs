//! Why the store refused.
//!
//! Rests on `object`. Every variant names the file or the thing and the cause; nothing here is a panic.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::object::ObjectId;
use crate::object::OdbError;

/// A refusal of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory holds no `store.redb`.
    #[error("{} holds no store", dir.display())]
    NotAStore {
        /// The directory that was opened.
        dir: PathBuf,
    },
    /// `init` found a store.
    #[error("{} already holds a store", dir.display())]
    AlreadyExists {
        /// The directory that was to be initialised.
        dir: PathBuf,
    },
    /// The store was written by a later distill.
    #[error("the store has format {found}, this distill reads formats up to {supported}")]
    NewerFormat {
        /// Format of the store.
        found: u32,
        /// The newest format understood here.
        supported: u32,
    },
    /// A ref (or HEAD) no longer has the value the caller expected: somebody else moved it.
    #[error("{name} has moved: expected {}, found {}", show(expected.as_ref()), show(found.as_ref()))]
    RefConflict {
        /// The ref, or `HEAD`.
        name: String,
        /// What the caller had seen; `None` for absence.
        expected: Option<String>,
        /// What is there now.
        found: Option<String>,
    },
    /// A ref name breaks Git's rules.
    #[error("`{name}` is not a valid ref name: {why}")]
    BadRefName {
        /// The name.
        name: String,
        /// The broken rule.
        why: &'static str,
    },
    /// A pack whose objects the staged work relies on was deleted meanwhile; the work must be staged again.
    #[error("pack {pack} was removed while objects that rely on it were being written")]
    PackGone {
        /// The pack.
        pack: ObjectId,
    },
    /// Somebody holds the lease (or the write transaction) and did not release it in time.
    #[error("{what} is in use by {owner}; gave up after {waited_ms} ms")]
    Busy {
        /// What was waited for: a branch, or the store.
        what: String,
        /// Who holds it, as that process described itself.
        owner: String,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// An object is larger than a pack can hold.
    #[error("an object of {bytes} bytes is too large, the limit is {limit}")]
    ObjectTooLarge {
        /// Its size.
        bytes: u64,
        /// The largest size allowed.
        limit: u64,
    },
    /// A stored object does not hash to its name, or cannot be unpacked.
    #[error("object {id} is damaged in {}: {detail}", place.display())]
    Corrupt {
        /// The name it was asked for by.
        id: ObjectId,
        /// The pack it lies in.
        place: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A container (pack, `store.redb`, operation file) is damaged or missing.
    #[error("{} is damaged: {detail}", place.display())]
    Damaged {
        /// The file.
        place: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The operating system refused. A full disk is this, and leaves the store as it was.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done: `read`, `write`, `rename` …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

fn show(value: Option<&String>) -> &str {
    value.map_or("nothing", String::as_str)
}

impl StoreError {
    /// Wraps an I/O error with what was being done to which file.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Damage of a container.
    pub(super) fn damaged(place: &Path, detail: impl Into<String>) -> Self {
        Self::Damaged { place: place.to_owned(), detail: detail.into() }
    }

    /// Whether this is the operating system saying that a file is not there.
    pub(super) fn is_missing_file(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl From<StoreError> for OdbError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt { id, place, detail } => Self::Corrupt { id, place, detail },
            StoreError::Damaged { place, detail } => Self::Damaged { place, detail },
            StoreError::Io { path, source, .. } => Self::Io { path, source },
            other => Self::Io { path: "the store".into(), source: io::Error::other(other) },
        }
    }
}
