//! Opening a repository.
//!
//! Rests on `repo`. Invariant: nothing is made by opening.

use std::path::Path;
use std::time::Duration;

use crate::ops::OpError;
use crate::repo::Repo;
use crate::repo::RepoError;
use crate::repo::Site;
use crate::store::Hold;

/// A collection is waited for this long.
const HOLD_WAIT: Duration = Duration::from_mins(1);

/// The place of the repository at or above `start`, its store unopened.
///
/// # Errors
/// When there is no `.distill`, or its `config.toml` cannot be used.
pub fn site(start: &Path) -> Result<Site, OpError> {
    Ok(Site::discover(start)?)
}

/// The repository at or above `start`.
///
/// # Errors
/// As [`site`], and when there is no store, or it is damaged or newer than this program.
pub fn open(start: &Path) -> Result<Repo, OpError> {
    Ok(site(start)?.open()?)
}

/// The commit that `rev` names; HEAD's where none is given.
pub(super) fn resolve(repo: &Repo, rev: Option<&str>) -> Result<crate::object::CommitId, RepoError> {
    repo.resolve(rev.unwrap_or("HEAD"))
}

/// Keeps what is stored now from being collected, until dropped: for whoever looks a commit up and then publishes a name
/// for it. A run says whom it waits for, and has a longer patience.
pub(super) fn hold(repo: &Repo) -> Result<Hold, OpError> {
    Ok(repo.store().hold(HOLD_WAIT, &mut |_| {})?)
}
