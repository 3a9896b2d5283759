//! Rebuilding a lost `store.redb` from `ops/` and `packs/`.
//!
//! Rests on the operation log: applying every operation in turn gives refs, HEAD and the packs. Invariant: only a chain
//! in which every file hashes to what the next one says is applied.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use super::CATALOGUE_FILE;
use super::catalogue::Catalogue;
use super::catalogue::CataloguedPack;
use super::error::StoreError;
use super::init::build_in;
use super::opened::Store;
use super::opened::pack_path;
use super::operation::LoggedOperation;
use super::oplog::operation_path;
use super::oplog::read_operation;
use super::pack::PackReader;
use crate::object::ObjectId;

/// What the log says, before anything is written. Nothing but `store.redb` knows whether the last operation was
/// confirmed, so the caller decides whether it is applied.
#[derive(Clone, Debug)]
pub struct ReindexPlan {
    dir: PathBuf,
    /// All operations, oldest first.
    pub operations: Vec<LoggedOperation>,
    /// Packs that would be catalogued and whose file is missing or damaged, if all operations are applied.
    pub missing_packs: Vec<ObjectId>,
}

impl ReindexPlan {
    /// Reads the whole log of the store in `dir` and checks its chain.
    ///
    /// # Errors
    /// When a file of the log is missing, is damaged, or does not name the one before it; I/O.
    pub fn read(dir: &Path) -> Result<Self, StoreError> {
        let mut operations: Vec<LoggedOperation> = Vec::new();
        for number in 1.. {
            let path = operation_path(dir, number);
            if !path.exists() {
                break;
            }
            let logged = read_operation(dir, number)?;
            if logged.operation.previous != operations.last().map(|last| last.id) {
                return Err(StoreError::damaged(&path, "it does not name the operation before it"));
            }
            operations.push(logged);
        }
        let missing_packs = apply(&operations)
            .packs
            .iter()
            .filter(|pack| {
                let path = pack_path(dir, &pack.entry.id);
                let whole = fs::metadata(&path).is_ok_and(|meta| meta.len() == pack.entry.bytes);
                !whole || PackReader::open(&path).is_err()
            })
            .map(|pack| pack.entry.id)
            .collect();
        Ok(Self { dir: dir.to_owned(), operations, missing_packs })
    }

    /// Writes a new `store.redb` from the log, without its last operation if `apply_last` is false (its file and packs
    /// then stay where they are, as after a crash). An old catalogue is kept beside it as `store.redb.old`.
    ///
    /// # Errors
    /// I/O.
    pub fn write(&self, apply_last: bool) -> Result<Store, StoreError> {
        let count = self.operations.len().saturating_sub(usize::from(!apply_last));
        let catalogue = apply(&self.operations[..count]);
        let path = self.dir.join(CATALOGUE_FILE);
        if path.exists() {
            let old = path.with_extension("redb.old");
            fs::rename(&path, &old).map_err(StoreError::io("rename", &path))?;
        }
        build_in(&self.dir, &catalogue)?;
        let store = Store::open(&self.dir)?;
        store.keep_map().ok();
        Ok(store)
    }
}

fn apply(operations: &[LoggedOperation]) -> Catalogue {
    let mut catalogue = Catalogue::new();
    for LoggedOperation { id, operation } in operations {
        for change in &operation.ref_changes {
            match change.new {
                Some(id) => catalogue.refs.insert(change.name.clone(), id),
                None => catalogue.refs.remove(&change.name),
            };
        }
        if let Some(head) = &operation.head {
            catalogue.head = head.new.clone();
        }
        catalogue.packs.retain(|pack| !operation.dropped_packs.contains(&pack.entry.id));
        for pack in &operation.dropped_packs {
            catalogue.dropped.insert(*pack, None);
        }
        for pack in &operation.packs {
            catalogue.dropped.remove(&pack.id);
            catalogue.packs.push(CataloguedPack { entry: pack.clone(), operation: operation.number });
        }
        catalogue.last_operation = Some((operation.number, *id));
    }
    catalogue
}
