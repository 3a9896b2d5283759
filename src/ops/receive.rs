//! `receive`: packs that somebody sent, and the refs that need them, become part of a repository.
//!
//! Rests on `remote`, which hashes every object and looks at the closure of every new value. Invariants: all ref changes or
//! none; branches only go on from where they are; `tags/` and `runs/` are given once; what is said of a refusal tells whose
//! fault it is, so that nobody takes damage of his own store for a bad push.

use std::path::PathBuf;

use crate::base::clock::Clock;
use crate::ops::OpError;
use crate::remote;
use crate::remote::RemoteError;
use crate::repo::Repo;
use crate::store::RefChange;
use crate::tree::TreeError;

pub use crate::remote::Received;

/// Why nothing was received.
#[derive(Debug)]
pub struct NotReceived {
    /// Whether it lies in what was sent, and not in the repository that was to take it.
    pub is_senders: bool,
    /// The refusal.
    pub error: OpError,
}

impl From<RemoteError> for NotReceived {
    fn from(error: RemoteError) -> Self {
        // Everything that came was hashed when it was looked at first; what cannot be read later is what was there before.
        let is_own = matches!(
            error,
            RemoteError::Store(_)
                | RemoteError::Odb(_)
                | RemoteError::Repo(_)
                | RemoteError::Io { .. }
                | RemoteError::Tree(TreeError::Odb(_))
        );
        Self { is_senders: !is_own, error: error.into() }
    }
}

/// Takes over the packs at `packs`, which leave their places, and moves refs by compare-and-swap.
///
/// # Errors
/// `Refused` for a ref that moved, a branch that would lose commits or a name that is given already; `Damaged` for what does not
/// verify or is not complete. The repository is then as it was.
pub fn receive(
    repo: &Repo,
    packs: &[PathBuf],
    changes: &[RefChange],
    message: Option<String>,
    clock: &Clock,
) -> Result<Received, NotReceived> {
    Ok(remote::receive(repo, packs, changes, message, clock.now_rfc3339(), false)?)
}
