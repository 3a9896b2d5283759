//! Receiving: packs that somebody sent become part of a repository with the refs that need them, whole or not at all.
//!
//! Rests on the store's publish. Invariants: every pack is hashed, and every object in it, before it is taken over; nothing
//! that a new ref needs is missing; a branch only goes on from where it is unless forced; `tags/` and `runs/` are given once; no
//! other ref is for others to move.

use std::cell::RefCell;
use std::path::Path;
use std::path::PathBuf;

use super::closure::Closure;
use super::closure::Overlay;
use super::error::RemoteError;
use super::history::is_ancestor;
use crate::object::CommitId;
use crate::object::ObjectId;
use crate::repo::Repo;
use crate::store::OpRequest;
use crate::store::RefChange;
use crate::store::StoreError;
use crate::store::inspect_pack;

/// What was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Number of the operation; `None` where there was nothing to do.
    pub operation: Option<u64>,
    /// Packs that became part of the store.
    pub packs: u64,
    /// Their objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What kind of name a ref is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Branch,
    Fixed,
}

fn family(name: &str) -> Result<Family, RemoteError> {
    match name.split_once('/') {
        Some(("heads", _)) => Ok(Family::Branch),
        Some(("tags" | "runs", _)) => Ok(Family::Fixed),
        _ => Err(RemoteError::OwnRef { name: name.to_owned() }),
    }
}

/// Refuses what no state of the receiving side could allow, and what its refs do not allow now.
fn check_names(repo: &Repo, changes: &[RefChange], force: bool) -> Result<(), RemoteError> {
    for change in changes {
        let family = family(&change.name)?;
        let found = repo.store().get_ref(&change.name);
        if found != change.old {
            return Err(RemoteError::Moved { name: change.name.clone(), expected: change.old, found });
        }
        match (change.old, change.new, family) {
            (Some(old), new, Family::Fixed) if new != Some(old) => {
                return Err(RemoteError::Fixed { name: change.name.clone(), old, new });
            }
            (_, None, Family::Branch) if !force => {
                return Err(RemoteError::OwnRef { name: change.name.clone() });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Takes over the packs at `packs` (which leave their places) and moves refs, in one publish.
///
/// # Errors
/// [`RemoteError::Moved`], [`RemoteError::NotFastForward`], [`RemoteError::Fixed`], [`RemoteError::OwnRef`]: the refs are not as
/// was thought; [`RemoteError::Incomplete`] and damage of what came; a full disk. The repository is then as it was.
pub fn receive(
    repo: &Repo,
    packs: &[PathBuf],
    changes: &[RefChange],
    message: Option<String>,
    at: String,
    force: bool,
) -> Result<Received, RemoteError> {
    let store = repo.store();
    let mut received = Received { operation: None, packs: 0, objects: 0, bytes: 0 };
    let staging = store.staging()?;
    check_names(repo, changes, force)?;
    let changes: Vec<RefChange> = changes.iter().filter(|change| change.old != change.new).cloned().collect();
    if changes.is_empty() {
        return Ok(received);
    }
    let staging = RefCell::new(staging);
    for path in packs {
        let entry = inspect_pack(path, None).map_err(|error| of_sender(path, error))?;
        if store.holds_pack(&entry.id) {
            continue;
        }
        received.packs += 1;
        received.objects += entry.objects;
        received.bytes += entry.bytes;
        staging.borrow_mut().adopt(path, entry)?;
    }
    let mut closure = Closure::new(store, Overlay { staging: &staging, mirror: None });
    for change in &changes {
        if let Some(new) = &change.new {
            closure.of_ref(&change.name, new)?;
        }
    }
    drop(closure);
    let overlay = Overlay { staging: &staging, mirror: None };
    for change in &changes {
        let (Some(old), Some(new), Family::Branch) = (change.old, change.new, family(&change.name)?) else {
            continue;
        };
        if !force && !is_ancestor(&overlay, CommitId::new(old), CommitId::new(new))? {
            return Err(RemoteError::NotFastForward { name: change.name.clone(), old, new });
        }
    }
    let request =
        OpRequest { operation: "push".to_owned(), message, at, ref_changes: changes, ..OpRequest::default() };
    let published = store.publish(Some(staging.into_inner()), request).map_err(moved)?;
    received.operation = Some(published.number);
    Ok(received)
}

/// What is wrong with a pack that was sent, by its name: where it lies here is nobody's concern.
fn of_sender(path: &Path, error: StoreError) -> RemoteError {
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let place = format!("pack {}", name.rsplit('-').next().unwrap_or_default());
    match error {
        StoreError::Corrupt { id, detail, .. } => {
            RemoteError::damaged(place, format!("object {id}: {detail}"))
        }
        StoreError::Damaged { detail, .. } => RemoteError::damaged(place, detail),
        error @ StoreError::NewerFormat { .. } => RemoteError::damaged(place, error.to_string()),
        other => other.into(),
    }
}

/// A ref that somebody moved meanwhile, in the words of a remote.
fn moved(error: StoreError) -> RemoteError {
    match error {
        StoreError::RefConflict { name, expected, found } => {
            let id = |text: Option<String>| text.and_then(|text| text.parse::<ObjectId>().ok());
            RemoteError::Moved { name, expected: id(expected), found: id(found) }
        }
        other => other.into(),
    }
}
