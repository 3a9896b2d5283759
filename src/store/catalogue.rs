//! What `store.redb` says: the packs that belong to the store, the refs, HEAD, the end of the operation log.
//!
//! Rests on plain maps. Invariant: a value here is a copy; only a redb transaction changes what is stored.

use std::collections::BTreeMap;

use super::operation::Head;
use super::operation::PackEntry;
use crate::object::ObjectId;

/// One pack of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CataloguedPack {
    pub(super) entry: PackEntry,
    /// Number of the operation that brought it.
    pub(super) operation: u64,
}

/// The whole catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Catalogue {
    /// Number and file hash of the last confirmed operation.
    pub(super) last_operation: Option<(u64, ObjectId)>,
    pub(super) head: Head,
    pub(super) refs: BTreeMap<String, ObjectId>,
    /// In the order in which they were published.
    pub(super) packs: Vec<CataloguedPack>,
    /// Packs that left, with the pack that holds their objects now, if they were merged.
    pub(super) dropped: BTreeMap<ObjectId, Option<ObjectId>>,
}

impl Catalogue {
    /// The catalogue of a new store.
    pub(super) fn new() -> Self {
        Self {
            last_operation: None,
            head: Head::Branch("heads/main".to_owned()),
            refs: BTreeMap::new(),
            packs: Vec::new(),
            dropped: BTreeMap::new(),
        }
    }

    /// Whether a pack is catalogued.
    pub(super) fn has_pack(&self, id: &ObjectId) -> bool {
        self.packs.iter().any(|pack| pack.entry.id == *id)
    }

    /// Whether what the pack held is still in the store: itself, or the pack it was merged into, and so on.
    pub(super) fn holds_objects_of(&self, id: &ObjectId) -> bool {
        let mut at = *id;
        // A chain is at most as long as the table, so a cycle (damage) ends too.
        for _ in 0..=self.dropped.len() {
            if self.has_pack(&at) {
                return true;
            }
            match self.dropped.get(&at) {
                Some(Some(successor)) => at = *successor,
                _ => return false,
            }
        }
        false
    }
}
