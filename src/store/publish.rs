//! Publishing: staged objects, ref changes and an operation file become part of the store, whole or not at all.
//!
//! Rests on one redb write transaction, which is what makes the rest visible. Invariants: until it commits, no file
//! that was put in place is referred to; after it, every one is there and synced; an error leaves the store as it was.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use super::OPS_DIR;
use super::PACKS_DIR;
use super::catalogue::Catalogue;
use super::catalogue::CataloguedPack;
use super::error::StoreError;
use super::lock::LockFile;
use super::merge;
use super::merge::Merge;
use super::opened::Store;
use super::opened::pack_path;
use super::operation::OPERATION_SCHEMA;
use super::operation::OpRequest;
use super::operation::Operation;
use super::operation::PackEntry;
use super::operation::Published;
use super::oplog::operation_path;
use super::pack::check_written;
use super::redb;
use super::refname::check_ref_name;
use super::staging::Staging;
use super::sweep;
use crate::base::fs::sync_dir;
use crate::object::ObjectId;

/// A publish waits this long for another to finish; each takes milliseconds.
const PUBLISH_WAIT: Duration = Duration::from_mins(1);

impl Store {
    /// Makes staged objects, ref changes and an operation file part of the store, whole or not at all; `self` sees the
    /// new state on return.
    ///
    /// # Errors
    /// [`StoreError::RefConflict`] when a ref or HEAD moved, [`StoreError::PackGone`] when the work must be staged
    /// again, [`StoreError::Busy`], damage of what was staged, I/O. The store is then as it was.
    pub fn publish(&self, staging: Option<Staging>, request: OpRequest) -> Result<Published, StoreError> {
        for change in &request.ref_changes {
            check_ref_name(&change.name)?;
        }
        let mut staging = staging;
        let mut incoming = Incoming::default();
        if let Some(staging) = &mut staging {
            incoming.take(staging)?;
        }
        self.refresh()?;
        // A collection has rewritten what is worth it.
        let (merge, merge_skipped) =
            if request.drop_packs.is_empty() { self.stage_merge(incoming.packs.len()) } else { (None, None) };

        let lock_path = self.tmp_dir()?.join("publish.lock");
        let what = format!("a publish of `{}`", request.operation);
        let lock = LockFile::take(&lock_path, "the store", &what, PUBLISH_WAIT, &mut |_| {})?;
        sweep::sweep_tmp(self.dir());
        let published = self.commit(&incoming, merge.as_ref(), request)?;
        for pack in &published.dropped_packs {
            fs::remove_file(pack_path(self.dir(), pack)).ok();
        }
        drop(lock);
        // What is published is published: a catalogue that cannot be read again is met by the next read.
        self.refresh().ok();
        // A look-up does without the map; it then asks every pack.
        self.keep_map().ok();
        Ok(Published { merge_skipped, ..published })
    }

    /// A merge that fails is no reason not to publish: the small packs stay, and the caller hears of it.
    fn stage_merge(&self, incoming: usize) -> (Option<StagedMerge>, Option<String>) {
        let staged = merge::plan(self, incoming).and_then(|merge| {
            let Some(Merge { mut staging, inputs }) = merge else { return Ok(None) };
            let mut packs = Incoming::default();
            packs.take(&mut staging)?;
            Ok(Some(StagedMerge { _files: staging, inputs, packs }))
        });
        match staged {
            Ok(merge) => (merge, None),
            Err(error) => (None, Some(error.to_string())),
        }
    }

    fn commit(
        &self,
        incoming: &Incoming,
        merge: Option<&StagedMerge>,
        request: OpRequest,
    ) -> Result<Published, StoreError> {
        let mut undo = Undo::default();
        let outcome = redb::update(&self.catalogue_path(), |before| {
            let (after, operation) = next_state(before, incoming, merge, request)?;
            sweep::sweep_unconfirmed(self.dir(), before)?;
            sweep::sweep_dropped(self.dir(), before);
            self.put_packs(
                incoming.packs.iter().chain(merge.iter().flat_map(|m| &m.packs.packs)),
                &operation,
                &mut undo,
            )?;
            let operation_id = self.put_operation(&operation, &mut undo)?;
            let after = Catalogue { last_operation: Some((operation.number, operation_id)), ..after };
            Ok((after, (operation, operation_id)))
        });
        let published = |operation: Operation, operation_id| Published {
            number: operation.number,
            operation_id,
            packs: operation.packs,
            dropped_packs: operation.dropped_packs,
            merge_skipped: None,
        };
        match outcome {
            Ok((operation, id)) => {
                undo.disarm();
                Ok(published(operation, id))
            }
            Err(error) => {
                // The commit itself may have failed after its swap took hold. What the file says now decides.
                let Some((operation, id)) = undo.operation.clone() else { return Err(error) };
                match redb::load(&self.catalogue_path()) {
                    Ok(now) if now.last_operation == Some((operation.number, id)) => {
                        undo.disarm();
                        Ok(published(operation, id))
                    }
                    Ok(_) => Err(error),
                    Err(_) => {
                        // Nobody can tell; the files may be referred to, so they stay.
                        undo.disarm();
                        Err(error)
                    }
                }
            }
        }
    }

    /// Gives the packs that the operation brings their names, and syncs the directory.
    fn put_packs<'a>(
        &self,
        staged: impl Iterator<Item = &'a (PathBuf, PackEntry)>,
        operation: &Operation,
        undo: &mut Undo,
    ) -> Result<(), StoreError> {
        let dir = self.dir().join(PACKS_DIR);
        fs::create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
        for (from, pack) in staged.filter(|(_, pack)| operation.packs.contains(pack)) {
            let to = pack_path(self.dir(), &pack.id);
            fs::rename(from, &to).map_err(StoreError::io("rename", from))?;
            undo.packs.push((from.clone(), to));
        }
        sync_dir(&dir).map_err(StoreError::io("sync", &dir))
    }

    /// Creates the operation file, whole or not at all, and never over another one.
    fn put_operation(&self, operation: &Operation, undo: &mut Undo) -> Result<ObjectId, StoreError> {
        let dir = self.dir().join(OPS_DIR);
        fs::create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
        let path = operation_path(self.dir(), operation.number);
        let bytes =
            operation.to_bytes().map_err(|error| StoreError::io("write", &path)(io::Error::other(error)))?;
        let id = ObjectId::of(&bytes);
        let tmp = self.tmp_dir()?.join(format!("op-{}.json", std::process::id()));
        let created = write_synced(&tmp, &bytes).and_then(|()| match fs::hard_link(&tmp, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // A file system without links: the write transaction alone keeps others away.
            Err(_) if !path.exists() => fs::rename(&tmp, &path),
            other => other,
        });
        fs::remove_file(&tmp).ok();
        created.map_err(StoreError::io("create", &path))?;
        undo.operation_path = Some(path);
        undo.operation = Some((operation.clone(), id));
        sync_dir(&dir).map_err(StoreError::io("sync", &dir))?;
        Ok(id)
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Staged packs, read back and found whole, and what they rely on.
#[derive(Debug, Default)]
struct Incoming {
    packs: Vec<(PathBuf, PackEntry)>,
    relied_on: Vec<ObjectId>,
}

impl Incoming {
    /// Seals a staging, and reads back and hashes what the disk now holds: what is damaged is not published.
    fn take(&mut self, staging: &mut Staging) -> Result<(), StoreError> {
        for pack in staging.seal()? {
            let check = check_written(&pack.path, &pack.entry.id);
            if let Some((object, detail)) = check.findings.into_iter().next() {
                let place = pack.path.clone();
                return Err(match object {
                    Some(id) => StoreError::Corrupt { id, place, detail },
                    None => StoreError::Damaged { place, detail },
                });
            }
            self.packs.push((pack.path.clone(), pack.entry.clone()));
        }
        self.relied_on.extend(staging.relied_on());
        Ok(())
    }
}

#[derive(Debug)]
struct StagedMerge {
    /// Removes what was not published.
    _files: Staging,
    inputs: Vec<ObjectId>,
    packs: Incoming,
}

/// What the catalogue becomes, and the operation that says so (its hash is not known yet).
fn next_state(
    before: &Catalogue,
    incoming: &Incoming,
    merge: Option<&StagedMerge>,
    request: OpRequest,
) -> Result<(Catalogue, Operation), StoreError> {
    let mut after = before.clone();
    swap_refs(&mut after.refs, &request)?;
    if let Some(head) = &request.head {
        if head.old != after.head {
            return Err(StoreError::RefConflict {
                name: "HEAD".to_owned(),
                expected: Some(head.old.to_string()),
                found: Some(after.head.to_string()),
            });
        }
        after.head = head.new.clone();
    }
    if let Some(gone) = incoming.relied_on.iter().find(|pack| !before.holds_objects_of(pack)) {
        return Err(StoreError::PackGone { pack: *gone });
    }
    if let Some(gone) = request.drop_packs.iter().find(|pack| !before.has_pack(pack)) {
        return Err(StoreError::PackGone { pack: *gone });
    }

    let number = before.last_operation.map_or(0, |(number, _)| number) + 1;
    // Packs merged by somebody else meanwhile, or collected by this very operation, make the merge void.
    let merge = merge.filter(|merge| {
        merge.inputs.iter().all(|input| before.has_pack(input) && !request.drop_packs.contains(input))
    });
    let successor = merge.and_then(|merge| merge.packs.packs.first()).map(|(_, pack)| pack.id);
    let mut dropped = BTreeMap::new();
    dropped.extend(request.drop_packs.iter().map(|pack| (*pack, None)));
    dropped.extend(merge.iter().flat_map(|merge| &merge.inputs).map(|pack| (*pack, successor)));

    let mut packs: Vec<PackEntry> = Vec::new();
    for (_, pack) in incoming.packs.iter().chain(merge.iter().flat_map(|merge| &merge.packs.packs)) {
        // The same objects in the same order give the same file: then it stays, and is not dropped either.
        dropped.remove(&pack.id);
        if !before.has_pack(&pack.id) && !packs.contains(pack) {
            packs.push(pack.clone());
        }
    }
    after.packs.retain(|pack| !dropped.contains_key(&pack.entry.id));
    for entry in &packs {
        after.dropped.remove(&entry.id);
        after.packs.push(CataloguedPack { entry: entry.clone(), operation: number });
    }
    after.dropped.extend(&dropped);

    let operation = Operation {
        at: request.at,
        dropped_packs: dropped.into_keys().collect(),
        head: request.head,
        message: request.message,
        number,
        operation: request.operation,
        packs,
        previous: before.last_operation.map(|(_, id)| id),
        ref_changes: request.ref_changes,
        schema: OPERATION_SCHEMA.to_owned(),
    };
    Ok((after, operation))
}

fn swap_refs(refs: &mut BTreeMap<String, ObjectId>, request: &OpRequest) -> Result<(), StoreError> {
    for change in &request.ref_changes {
        let found = refs.get(&change.name).copied();
        if found != change.old {
            return Err(StoreError::RefConflict {
                name: change.name.clone(),
                expected: change.old.map(|id| id.to_string()),
                found: found.map(|id| id.to_string()),
            });
        }
        match change.new {
            Some(id) => refs.insert(change.name.clone(), id),
            None => refs.remove(&change.name),
        };
    }
    Ok(())
}

/// Takes back what was put in place, unless the commit made it part of the store.
#[derive(Debug, Default)]
struct Undo {
    packs: Vec<(PathBuf, PathBuf)>,
    operation_path: Option<PathBuf>,
    operation: Option<(Operation, ObjectId)>,
}

impl Undo {
    fn disarm(&mut self) {
        self.packs.clear();
        self.operation_path = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(path) = &self.operation_path {
            fs::remove_file(path).ok();
        }
        // Back under tmp/, where their staging removes them.
        for (from, to) in &self.packs {
            fs::rename(to, from).ok();
        }
    }
}
