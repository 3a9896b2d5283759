//! Fetching: what the store lacks of the other side's refs, verified and staged, and nothing else.
//!
//! Rests on the mirror of the other side's packs. Invariants: a pack whose objects the store holds is not looked at; of the
//! others, one that is mostly new comes whole, and of one that is mostly known the needed blocks alone; nothing becomes visible
//! here: the staging is handed back with everything that the refs need in it or beneath it.

use std::cell::RefCell;
use std::path::Path;

use super::closure::Closure;
use super::closure::Overlay;
use super::error::RemoteError;
use super::history::Reached;
use super::mirror::Mirror;
use super::mirror::download;
use super::peer::Peer;
use super::peer::State;
use super::peer::Tick;
use crate::object::Exists as _;
use crate::object::ObjectId;
use crate::repo::Repo;
use crate::store::PackEntry;
use crate::store::Staging;

/// A pack of which this share of a sample is new comes whole, in percent.
const WHOLE_FROM_PERCENT: u64 = 50;

/// What was fetched.
#[derive(Debug)]
pub struct Fetched {
    /// Everything that came, or nothing; publish it with the refs. While it lives, nothing is collected.
    pub staging: Staging,
    /// Packs that came whole.
    pub packs: u64,
    /// Packs whose objects were here already.
    pub packs_known: u64,
    /// Objects that came: those of whole packs, and single ones.
    pub objects: u64,
    /// Bytes that travelled, tables included.
    pub bytes: u64,
}

/// Fetches what `wants` need, full names with their values. `cache` is a folder of this remote's own, in which tables and
/// unfinished packs are kept.
///
/// # Errors
/// When the other side cannot be reached; [`RemoteError::Incomplete`] and damage of what came. The store is as it was.
pub fn fetch(
    repo: &Repo,
    peer: &dyn Peer,
    state: &State,
    wants: &[(String, ObjectId)],
    cache: &Path,
    tick: Tick<'_>,
) -> Result<Fetched, RemoteError> {
    let store = repo.store();
    let staging = store.staging()?;
    let mut lacking = Vec::new();
    let mut reached = Reached::new(store);
    for (name, id) in wants {
        if !reached.has_ref(name, id)? {
            lacking.push((name, id));
        }
    }
    let (mut whole_packs, mut bytes) = (0, 0);
    if lacking.is_empty() {
        return Ok(Fetched { staging, packs: 0, packs_known: state.packs.len() as u64, objects: 0, bytes });
    }
    let (known, candidates): (Vec<PackEntry>, Vec<PackEntry>) =
        state.packs.iter().cloned().partition(|pack| store.holds_pack(&pack.id));
    let mut whole = Vec::new();
    let mut partly = Vec::new();
    if store.packs().is_empty() {
        whole = candidates;
    } else {
        let tables = Mirror::new(peer, cache, candidates.clone(), tick)?;
        tables.load_tables()?;
        for pack in candidates {
            let unknown = tables.unknown_percent(&pack.id, |id| Ok(store.exists(id)?))?;
            if unknown >= WHOLE_FROM_PERCENT { whole.push(pack) } else { partly.push(pack) }
        }
        bytes += tables.fetched();
    }
    let staging = RefCell::new(staging);
    for (path, entry, travelled) in download(peer, cache, &whole, tick)? {
        whole_packs += 1;
        bytes += travelled;
        staging.borrow_mut().adopt(&path, entry)?;
    }
    let mirror = Mirror::new(peer, cache, partly, tick)?;
    let overlay = Overlay { staging: &staging, mirror: Some(&mirror) };
    let mut closure = Closure::new(store, overlay);
    for (name, id) in lacking {
        closure.of_ref(name, id)?;
    }
    drop(closure);
    bytes += mirror.fetched();
    mirror.drop_blocks();
    let staging = staging.into_inner();
    let objects = staging.objects_begun();
    Ok(Fetched { staging, packs: whole_packs, packs_known: known.len() as u64, objects, bytes })
}
