//! Taking out of packs what is not kept.
//!
//! Rests on staging, publish and the right to be alone ([`Sole`]). Invariants: what is kept is hashed on the way to its
//! new pack, and that pack is read back before the old one leaves the catalogue; killed at any moment, the store is as
//! it was or as it should be after.

use std::path::PathBuf;

use super::PACKS_DIR;
use super::TMP_DIR;
use super::error::StoreError;
use super::hold::Sole;
use super::lock::LockFile;
use super::opened::Store;
use super::operation::OpRequest;
use super::operation::Published;
use super::pack::PackObjects;
use super::sweep;
use crate::object::ObjectId;

/// What of one pack is kept: a bit for each row of its table.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    bits: Vec<u64>,
    kept: u64,
}

impl Keep {
    /// Nothing is kept.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Keeps the row with this number, from 0.
    pub fn keep(&mut self, position: u32) {
        let (word, bit) = (position as usize / 64, position % 64);
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        self.kept += u64::from(self.bits[word] & (1 << bit) == 0);
        self.bits[word] |= 1 << bit;
    }

    /// How many rows are kept.
    pub fn kept(&self) -> u64 {
        self.kept
    }

    fn has(&self, position: u32) -> bool {
        self.bits.get(position as usize / 64).is_some_and(|word| word & (1 << (position % 64)) != 0)
    }
}

impl Store {
    /// Replaces packs by new ones that hold only what is kept of them, as one publish of `request`. `progress` is told
    /// the bytes of each object that was written anew.
    ///
    /// # Errors
    /// Damage of anything that is kept, with its pack; a pack that is not catalogued; as [`Self::publish`]. The store is
    /// then as it was.
    pub fn collect(
        &self,
        _alone: &Sole,
        packs: &[(ObjectId, Keep)],
        request: OpRequest,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Published, StoreError> {
        let mut staging = None;
        for (pack, keep) in packs.iter().filter(|(_, keep)| keep.kept() > 0) {
            let reader = self.open_pack(pack)?.ok_or(StoreError::PackGone { pack: *pack })?;
            let staging = match &mut staging {
                Some(staging) => staging,
                none => none.insert(self.staging_for_rewrite()?),
            };
            for object in PackObjects::chosen(reader, |position| keep.has(position))? {
                let (id, kind, bytes) = object?;
                staging.rewrite_object(kind, id, &bytes)?;
                progress(bytes.len() as u64);
            }
        }
        self.publish(
            staging,
            OpRequest { drop_packs: packs.iter().map(|(pack, _)| *pack).collect(), ..request },
        )
    }

    /// Whether a pack erases objects of earlier packs; what it erases depends on the order of packs, so such a store is
    /// not rewritten.
    ///
    /// # Errors
    /// When a pack cannot be opened.
    pub fn has_tombstones(&self) -> Result<bool, StoreError> {
        for pack in self.packs() {
            if self.open_pack(&pack.id)?.is_some_and(|reader| reader.has_tombstones()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Files in `packs/` that are named like packs and that the catalogue does not name, in order.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn uncatalogued(&self) -> Result<Vec<PathBuf>, StoreError> {
        let dir = self.dir().join(PACKS_DIR);
        let known: std::collections::BTreeSet<PathBuf> =
            self.packs().into_iter().map(|pack| pack.path).collect();
        let entries = std::fs::read_dir(&dir).map_err(StoreError::io("list", &dir))?;
        let mut strangers: Vec<_> = (entries.flatten().map(|entry| entry.path()))
            .filter(|path| sweep::is_pack_name(path) && !known.contains(path))
            .collect();
        strangers.sort();
        Ok(strangers)
    }

    /// Removes what died processes left under `tmp/`: unfinished writes, folders of runs, locks that nobody holds.
    pub fn sweep_leftovers(&self, _alone: &Sole) {
        sweep::sweep_tmp(self.dir());
        let Ok(entries) = std::fs::read_dir(self.dir().join(TMP_DIR)) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("run-") && path.is_dir() {
                // Whoever writes there holds the store, and nobody does.
                std::fs::remove_dir_all(&path).ok();
            } else if name.starts_with("lease-")
                && let Some(lock) = LockFile::take_abandoned(&path)
            {
                lock.remove();
            }
        }
    }
}
