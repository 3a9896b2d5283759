//! Merging small packs, so that a look-up asks few of them.
//!
//! Rests on staging. Invariants: the merged pack holds exactly the objects of its inputs, each hashed again on the way;
//! sizes grow geometrically, so that an object is rewritten a logarithmic number of times.

use std::collections::BTreeSet;

use super::error::StoreError;
use super::opened::PackInfo;
use super::opened::Store;
use super::pack::PackObjects;
use super::staging::Staging;
use crate::object::ObjectId;

/// More packs than this are merged.
const PACKS_MAX: usize = 16;
/// What is merged together does not exceed this many bytes and objects, so that it fits one pack: the catalogue names
/// one successor for each pack that was merged.
const MERGED_BYTES_MAX: u64 = 512 << 20;
/// See [`MERGED_BYTES_MAX`].
const MERGED_OBJECTS_MAX: u64 = 1 << 20;

/// A merge that is staged and waits for the publish.
#[derive(Debug)]
pub(super) struct Merge {
    pub(super) staging: Staging,
    pub(super) inputs: Vec<ObjectId>,
}

/// Stages a merge if the store has more than [`PACKS_MAX`] packs once `incoming` more have come.
pub(super) fn plan(store: &Store, incoming: usize) -> Result<Option<Merge>, StoreError> {
    let packs = store.packs();
    if packs.len() + incoming <= PACKS_MAX {
        return Ok(None);
    }
    let inputs = choose(&packs);
    if inputs.len() < 2 {
        return Ok(None);
    }
    let mut staging = store.staging_for_rewrite()?;
    // In the order of the catalogue, so that objects that were written together stay together.
    for pack in packs.iter().filter(|pack| inputs.contains(&pack.id)) {
        let Some(reader) = store.open_pack(&pack.id)? else { return Ok(None) };
        if reader.has_tombstones() {
            // What a tombstone erases depends on the order of packs, which a merge changes.
            return Ok(None);
        }
        for object in PackObjects::new(reader)? {
            let (id, kind, bytes) = object?;
            staging.rewrite_object(kind, id, &bytes)?;
        }
    }
    Ok(Some(Merge { staging, inputs: inputs.into_iter().collect() }))
}

/// The smallest packs, up to the first that is more than twice as large as all smaller ones together.
fn choose(packs: &[PackInfo]) -> BTreeSet<ObjectId> {
    let mut by_size: Vec<_> = packs.iter().map(|pack| (pack.bytes, pack.id, pack.objects)).collect();
    by_size.sort_unstable();
    let mut chosen = BTreeSet::new();
    let (mut sum, mut sum_objects) = (0, 0);
    for (bytes, id, objects) in by_size {
        let full = sum + bytes > MERGED_BYTES_MAX || sum_objects + objects > MERGED_OBJECTS_MAX;
        if full || (chosen.len() >= 2 && bytes > 2 * sum) {
            break;
        }
        sum += bytes;
        sum_objects += objects;
        chosen.insert(id);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(bytes: &[u64]) -> usize {
        let packs: Vec<_> = bytes
            .iter()
            .enumerate()
            .map(|(n, &bytes)| PackInfo {
                id: ObjectId::of(&n.to_le_bytes()),
                path: "f".into(),
                bytes,
                objects: 1,
                operation: 1,
            })
            .collect();
        choose(&packs).len()
    }

    #[test]
    fn the_small_are_merged_and_the_large_stay() {
        assert_eq!(sizes(&[1; 17]), 17);
        assert_eq!(sizes(&[1, 1, 1, 100, 1000]), 3);
        assert_eq!(sizes(&[1, 100, 10_000]), 2, "two at least, or the number would not fall");
        assert_eq!(sizes(&[1 << 29, 1 << 29, 1 << 29]), 1, "full packs stay, and one alone is no merge");
    }
}
