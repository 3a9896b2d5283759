//! Checking every pack of the store.
//!
//! Rests on the check of one pack. Invariant: it never stops at the first finding, and what cannot be read is a finding,
//! not an end.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::PACKS_DIR;
use super::census::Census;
use super::error::StoreError;
use super::opened::Store;
use super::pack::PackObjects;
use super::pack::check_pack;
use crate::object::ObjectId;

/// Something [`Store::verify_packs`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackReport {
    /// A pack was gone through.
    Checked {
        /// Which one.
        pack: ObjectId,
        /// Objects that were hashed again and hold.
        objects: u64,
        /// Their bytes.
        bytes: u64,
        /// How many findings it had.
        findings: u64,
    },
    /// Something is wrong.
    Finding {
        /// The pack.
        pack: ObjectId,
        /// Its file.
        path: PathBuf,
        /// The object that is hit, if it is one.
        object: Option<ObjectId>,
        /// What is wrong.
        detail: String,
    },
    /// A file in `packs/` that the catalogue does not name: left by a crash between two steps of a publish, or put
    /// there by hand. It is not part of the store and does it no harm.
    Uncatalogued {
        /// The file.
        path: PathBuf,
    },
}

impl Store {
    /// Checks every pack: file hash, footer, table, blocks, objects. Never stops at the first finding. What is returned
    /// knows the objects of the sound packs; it knows none where a pack erases objects of others.
    ///
    /// # Errors
    /// When the catalogue cannot be read or `packs/` cannot be listed; whatever is wrong with a pack is reported.
    pub fn verify_packs(&self, report: &mut dyn FnMut(PackReport)) -> Result<Census, StoreError> {
        self.verify_packs_seeing(&|_, _| (), report)
    }

    /// As [`Self::verify_packs`]; `see` gets the bytes of every object that holds, from several threads, so that who
    /// wants to look into objects need not have them unpacked and hashed again. The census keeps what it makes of them. An
    /// object that lies in two packs is seen twice.
    ///
    /// # Errors
    /// As [`Self::verify_packs`].
    pub fn verify_packs_seeing<T: Default + Send>(
        &self,
        see: &(impl Fn(&ObjectId, &[u8]) -> T + Sync),
        report: &mut dyn FnMut(PackReport),
    ) -> Result<Census<T>, StoreError> {
        let mut known = BTreeSet::new();
        let mut census = Census::default();
        let mut erased = false;
        // A publish elsewhere may merge packs meanwhile: then the one that holds their objects now is checked too.
        while let Some(pack) = self.packs().into_iter().find(|pack| !known.contains(&pack.path)) {
            known.insert(pack.path.clone());
            let (mut check, seen) = check_pack(&pack.path, &pack.id, see);
            if !check.findings.is_empty() {
                self.refresh()?;
                if self.packs().iter().all(|current| current.id != pack.id) {
                    continue;
                }
            }
            if check.findings.is_empty() && check.objects != pack.objects {
                let detail =
                    format!("it holds {} objects, the catalogue says {}", check.objects, pack.objects);
                check.findings.push((None, detail));
            }
            let findings = check.findings.len() as u64;
            erased |= check.has_tombstones;
            if let Some((table, order)) = check.table.take()
                && findings == 0
            {
                census.add(&table, &order, seen);
            }
            for (object, detail) in check.findings {
                report(PackReport::Finding { pack: pack.id, path: pack.path.clone(), object, detail });
            }
            report(PackReport::Checked {
                pack: pack.id,
                objects: check.objects,
                bytes: check.bytes,
                findings,
            });
        }
        let dir = self.dir().join(PACKS_DIR);
        let entries = std::fs::read_dir(&dir).map_err(StoreError::io("list", &dir))?;
        let mut strangers: Vec<_> =
            entries.flatten().map(|entry| entry.path()).filter(|path| !known.contains(path)).collect();
        strangers.sort();
        for path in strangers {
            report(PackReport::Uncatalogued { path });
        }
        Ok(if erased { Census::default() } else { census })
    }

    /// Every object of one catalogued pack in the order in which it lies there, hashed again. An object that is damaged
    /// is an error item, and the walk goes on.
    ///
    /// # Errors
    /// When the catalogue has no such pack, or its footer or fan-out is damaged.
    pub fn iter_objects(&self, pack: &ObjectId) -> Result<PackObjects, StoreError> {
        match self.open_pack(pack)? {
            Some(reader) => PackObjects::new(Arc::clone(&reader)),
            None => Err(StoreError::PackGone { pack: *pack }),
        }
    }
}
