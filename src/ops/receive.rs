//! `receive`: packs that somebody sent, and the refs that need them, become part of a repository.
//!
//! Rests on `remote`, which hashes every object and looks at the closure of every new value. Invariants: all ref changes or
//! none; branches only go on from where they are; `tags/` and `runs/` are given once.

use std::path::PathBuf;

use crate::base::clock::Clock;
use crate::ops::OpError;
use crate::remote;
use crate::repo::Repo;
use crate::store::RefChange;

pub use crate::remote::Received;

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
) -> Result<Received, OpError> {
    Ok(remote::receive(repo, packs, changes, message, clock.now_rfc3339(), false)?)
}
