//! `fetch REMOTE`: what a remote has and this repository lacks comes here, and its branches become known.
//!
//! Rests on `remote`. Invariants: no branch of this repository moves; a tag or a run that is another here stays what it is,
//! and is told of; refs are published with the objects that they need, in one step.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::clock::Clock;
use crate::object::ObjectId;
use crate::ops::OpError;
use crate::ops::progress::Progress;
use crate::ops::remotes::cache_dir;
use crate::ops::remotes::configured;
use crate::ops::remotes::lease;
use crate::ops::remotes::opened;
use crate::ops::remotes::tracking;
use crate::remote;
use crate::remote::Access;
use crate::remote::Fetched;
use crate::remote::Peer;
use crate::remote::RemoteError;
use crate::remote::State;
use crate::repo::Repo;
use crate::store::OpRequest;
use crate::store::RefChange;

/// A server may merge packs while they are read; it is then asked again, so often.
const ATTEMPTS: u32 = 5;

/// What became of one ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FetchedRef {
    /// Its full name here: `remotes/NAME/BRANCH`, `tags/…` or `runs/…`.
    pub name: String,
    /// What it named; null where it is new.
    pub before: Option<ObjectId>,
    /// What it names; null where the remote has it no more.
    pub after: Option<ObjectId>,
}

/// What a fetch did.
#[derive(Clone, Debug, Serialize)]
pub struct FetchReport {
    /// The remote's name.
    pub remote: String,
    /// Where it is.
    pub place: String,
    /// The refs that changed here.
    pub refs: Vec<FetchedRef>,
    /// Tags and runs that are others there, and stay what they are here.
    pub differ: Vec<String>,
    /// Objects that came.
    pub objects: u64,
    /// Packs that came whole.
    pub packs: u64,
    /// Bytes that travelled, tables of packs included.
    pub bytes: u64,
    /// Number of the operation; null where nothing changed.
    pub operation: Option<u64>,
}

/// Fetches all that a remote has; the only remote, or `origin`, where none is named.
///
/// # Errors
/// A remote that is not known or cannot be reached; what came and does not verify. Nothing has changed then.
pub fn fetch(
    repo: &Repo,
    remote: Option<&str>,
    access: &Access,
    clock: Clock,
    progress: &dyn Progress,
) -> Result<FetchReport, OpError> {
    let (name, place) = configured(repo, remote)?;
    let _lease = lease(repo, &place, "fetch", progress)?;
    repo.store().refresh()?;
    let opened = opened(repo, &place, access)?;
    let (state, fetched) = transfer(repo, opened.peer(), &cache_dir(repo, &place), progress)?;
    let (ref_changes, differ) = changes(repo, &name, &state.refs);
    let mut report = FetchReport {
        remote: name.clone(),
        place: place.to_string(),
        refs: Vec::new(),
        differ,
        objects: fetched.objects,
        packs: fetched.packs,
        bytes: fetched.bytes,
        operation: None,
    };
    report.refs = (ref_changes.iter())
        .map(|change| FetchedRef { name: change.name.clone(), before: change.old, after: change.new })
        .collect();
    if !ref_changes.is_empty() {
        let request = OpRequest {
            operation: "fetch".to_owned(),
            message: Some(format!("from {name}")),
            at: clock.now_rfc3339(),
            ref_changes,
            ..OpRequest::default()
        };
        report.operation = Some(repo.store().publish(Some(fetched.staging), request)?.number);
    }
    Ok(report)
}

/// Brings everything that the refs of a peer need; its state, and what came.
pub(super) fn transfer(
    repo: &Repo,
    peer: &dyn Peer,
    cache: &std::path::Path,
    progress: &dyn Progress,
) -> Result<(State, Fetched), OpError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let state = peer.state()?;
        let wants: Vec<(String, ObjectId)> =
            state.refs.iter().map(|(name, id)| (name.clone(), *id)).collect();
        progress.begin("fetching", None);
        let fetched = remote::fetch(repo, peer, &state, &wants, cache, &|bytes| progress.advance(0, bytes));
        progress.end();
        match fetched {
            Ok(fetched) => return Ok((state, fetched)),
            Err(RemoteError::Gone { .. }) if attempt < ATTEMPTS => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// How refs here change when a remote's are `refs`; and the names that are given once and mean something else there.
fn changes(repo: &Repo, remote: &str, refs: &BTreeMap<String, ObjectId>) -> (Vec<RefChange>, Vec<String>) {
    let own = repo.store().refs();
    let (mut changes, mut differ) = (Vec::new(), Vec::new());
    for (name, id) in refs {
        let (name, is_fixed) = match name.strip_prefix("heads/") {
            Some(branch) => (tracking(remote, branch), false),
            None => (name.clone(), true),
        };
        let old = own.get(&name).copied();
        match old {
            Some(old) if old == *id => {}
            Some(_) if is_fixed => differ.push(name),
            old => changes.push(RefChange { name, old, new: Some(*id) }),
        }
    }
    let family = tracking(remote, "");
    for (name, id) in own.range(family.clone()..) {
        let Some(branch) = name.strip_prefix(&family) else { break };
        if !refs.contains_key(&format!("heads/{branch}")) {
            changes.push(RefChange { name: name.clone(), old: Some(*id), new: None });
        }
    }
    (changes, differ)
}
