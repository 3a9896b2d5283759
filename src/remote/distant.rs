//! Objects of a remote, read one by one without a store of one's own.
//!
//! Rests on a mirror of all its packs. Invariants: every object is hashed; a table is fetched once for each folder it is kept
//! in, and of the packs only the blocks in which something was wanted.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::RemoteError;
use super::mirror::Mirror;
use super::peer::Peer;
use super::peer::State;
use super::place::Access;
use super::place::Place;
use super::place::open;
use crate::object::Find;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::object::OdbError;

/// A remote as it was when it was opened.
pub struct Distant {
    peer: Box<dyn Peer>,
    state: State,
    cache: std::path::PathBuf,
}

impl Distant {
    /// Opens the remote at `place`; tables and blocks are kept in `cache_dir`, which is made.
    ///
    /// # Errors
    /// A place that is none; when it cannot be reached.
    pub fn open(place: &str, access: &Access, cache_dir: &Path) -> Result<Self, RemoteError> {
        let peer = open(&Place::parse(place)?, access, Some(cache_dir))?.into_peer();
        let state = peer.state()?;
        Ok(Self { peer, state, cache: cache_dir.to_owned() })
    }

    /// Its refs by full name.
    pub fn refs(&self) -> &BTreeMap<String, ObjectId> {
        &self.state.refs
    }

    /// The branch that a clone starts on.
    pub fn head(&self) -> Option<&str> {
        self.state.head.as_deref()
    }

    /// Its objects.
    ///
    /// # Errors
    /// When `cache_dir` cannot be made.
    pub fn objects(&self) -> Result<impl Find + '_, RemoteError> {
        Ok(Objects(Mirror::new(&*self.peer, &self.cache, self.state.packs.clone(), &|_| {})?))
    }
}

struct Objects<'a>(Mirror<'a>);

impl Find for Objects<'_> {
    fn try_find(&self, id: &ObjectId) -> Result<Option<ObjectBytes>, OdbError> {
        self.0.try_find(id)
    }

    fn try_find_many(&self, ids: &[ObjectId]) -> Result<Vec<Option<ObjectBytes>>, OdbError> {
        self.0.ensure(&mut ids.iter().copied()).map_err(super::mirror::as_odb)?;
        ids.iter().map(|id| self.0.try_find(id)).collect()
    }
}
