//! Why the other side could not be used, or would not do what was asked.
//!
//! Rests on the errors below. Every variant names the place and the cause; what to do next is said in `ops`.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use super::web::WebError;
use crate::object::ObjectId;
use crate::object::OdbError;
use crate::repo::NotA;
use crate::repo::RepoError;
use crate::store::StoreError;
use crate::tree::TreeError;

/// A refusal of a remote, or of what came from one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// Text that is no place.
    #[error("`{text}` is no place of a remote: {why}")]
    BadPlace {
        /// As it was typed.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// A name that no remote can have.
    #[error("`{name}` cannot be the name of a remote: {why}")]
    BadName {
        /// The name.
        name: String,
        /// The rule it breaks.
        why: String,
    },
    /// `remotes.toml` cannot be used.
    #[error("{}: {message}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// There is nothing of distill's at the place.
    #[error("{place} holds no distill remote")]
    NotARemote {
        /// Where.
        place: String,
    },
    /// A folder with other things in it was to become a remote.
    #[error("{place} holds other files and no distill remote")]
    NotEmpty {
        /// Where.
        place: String,
    },
    /// The remote was made by a later distill.
    #[error("{place} has format {found} of remotes, this distill reads {supported}")]
    NewerFormat {
        /// Where.
        place: String,
        /// Its format.
        found: u64,
        /// The one that is read.
        supported: u64,
    },
    /// The store does not refuse to create what exists, so two pushes at once could undo each other.
    #[error("{place} let {winners} of {racers} writers create the same object at the same time")]
    NotExclusive {
        /// Where.
        place: String,
        /// How many were told that they had created it.
        winners: usize,
        /// How many tried.
        racers: usize,
    },
    /// The place does not allow it.
    #[error("{place} does not allow it: {detail}")]
    Denied {
        /// Where.
        place: String,
        /// In the place's words.
        detail: String,
    },
    /// The place cannot be reached, or fails.
    #[error("cannot {action} {place}: {detail}")]
    Unreachable {
        /// What was being done.
        action: &'static str,
        /// Where, object and all.
        place: String,
        /// Why.
        detail: String,
    },
    /// Something that the remote says it has is not there.
    #[error("{place} is missing")]
    Gone {
        /// Which object.
        place: String,
    },
    /// The remote's own files contradict themselves or what they are named by.
    #[error("{place} is damaged: {detail}")]
    Damaged {
        /// Which object.
        place: String,
        /// How.
        detail: String,
    },
    /// What came is not whole: something that a new ref needs is in neither side.
    #[error("{what} needs object {id}, which did not come: {detail}")]
    Incomplete {
        /// The ref or the commit.
        what: String,
        /// The object.
        id: ObjectId,
        /// Why it cannot be had.
        detail: String,
    },
    /// A ref is not what it should be.
    #[error("{name} has moved there: it is at {}, not at {}", short(found.as_ref()), short(expected.as_ref()))]
    Moved {
        /// The ref.
        name: String,
        /// Where it should be.
        expected: Option<ObjectId>,
        /// Where it is.
        found: Option<ObjectId>,
    },
    /// A branch would lose commits.
    #[error("{name} would lose what it has there: {} does not go on from {}", new.short(12), old.short(12))]
    NotFastForward {
        /// The ref.
        name: String,
        /// Where it is.
        old: ObjectId,
        /// Where it was to go.
        new: ObjectId,
    },
    /// A name that never moves exists and means something else.
    #[error("{name} exists there and names {}, not {}", old.short(12), new.as_ref().map_or_else(|| "nothing".to_owned(), |id| id.short(12)))]
    Fixed {
        /// The ref.
        name: String,
        /// What it names.
        old: ObjectId,
        /// What it was to name.
        new: Option<ObjectId>,
    },
    /// A ref that is not for others to move.
    #[error("{name} is not for others to move")]
    OwnRef {
        /// The ref.
        name: String,
    },
    /// A server was to let a branch lose commits.
    #[error("{place} is a server, which takes no push that lets a branch lose commits")]
    NeverForced {
        /// Where.
        place: String,
    },
    /// A server did not do what it was asked for.
    #[error(transparent)]
    Web(#[from] WebError),
    /// An object of another kind.
    #[error(transparent)]
    NotA(#[from] NotA),
    /// The repository refused.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object database refused.
    #[error(transparent)]
    Odb(#[from] OdbError),
    /// A tree is damaged.
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

fn short(id: Option<&ObjectId>) -> String {
    id.map_or_else(|| "nothing".to_owned(), |id| id.short(12))
}

impl RemoteError {
    /// Wraps an I/O error with what was being done to which file.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Damage of something at the remote.
    pub(super) fn damaged(place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Damaged { place: place.into(), detail: detail.into() }
    }
}
