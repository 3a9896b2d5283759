//! Rebuilding a lost `store.redb` from `ops/` and `packs/`.
//!
//! Rests on the operation log: applying every operation in turn gives refs, HEAD and the packs. Invariant: only a chain
//! in which every file hashes to what the next one says is applied.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use super::CATALOGUE_FILE;
use super::OPS_DIR;
use super::PACKS_DIR;
use super::TMP_DIR;
use super::catalogue::Catalogue;
use super::catalogue::CataloguedPack;
use super::error::StoreError;
use super::hold::Sole;
use super::init::build_in;
use super::lock::LockFile;
use super::opened::Store;
use super::opened::pack_path;
use super::operation::Head;
use super::operation::LoggedOperation;
use super::operation::Operation;
use super::oplog::operation_path;
use super::oplog::read_operation;
use super::pack::PackReader;
use super::redb;
use super::sweep::is_pack_name;
use crate::object::ObjectId;

/// Writers that still go on are waited for this long.
const WRITERS_WAIT: Duration = Duration::from_secs(10);

/// What the log says, before anything is written. Nothing but `store.redb` knows whether the last operation was
/// confirmed, so the caller decides whether it is applied.
#[derive(Clone, Debug)]
pub struct ReindexPlan {
    dir: PathBuf,
    /// All operations, oldest first.
    pub operations: Vec<LoggedOperation>,
    /// A last file of the log that cannot be read as an operation, and why: a crash left it, so it is not applied.
    pub torn: Option<(PathBuf, String)>,
    /// Whether the last operation was confirmed for certain: packs that it dropped are gone, and they go after its commit.
    pub last_is_confirmed: bool,
    /// Packs that would be catalogued and whose file is missing or damaged, if all operations are applied.
    pub missing_packs: Vec<ObjectId>,
    /// Files in `packs/`, named like packs, that no operation left in the catalogue.
    pub unnamed_packs: Vec<PathBuf>,
}

/// What there is of `store.redb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogueState {
    /// No file.
    Missing,
    /// A file that cannot be used, and why.
    Damaged(String),
    /// A file without a fault, and the number of the last operation that it confirms (0 before the first).
    Sound(u64),
}

/// What the log would make of the catalogue.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// The refs.
    pub refs: BTreeMap<String, ObjectId>,
    /// HEAD.
    pub head: Head,
    /// How many packs.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
}

impl ReindexPlan {
    /// Reads the whole log of the store in `dir` and checks its chain.
    ///
    /// # Errors
    /// When a file of the log is missing, is damaged (but for the last, which a crash may have torn), or does not name
    /// the one before it; I/O.
    pub fn read(dir: &Path) -> Result<Self, StoreError> {
        let last = last_number(dir)?;
        let mut operations: Vec<LoggedOperation> = Vec::new();
        let mut torn = None;
        for number in 1..=last {
            let path = operation_path(dir, number);
            let logged = match read_operation(dir, number) {
                Ok(logged) => logged,
                Err(StoreError::Damaged { detail, .. }) if number == last => {
                    torn = Some((path, detail));
                    break;
                }
                Err(error) if error.is_missing_file() => {
                    let detail = format!("operation {number} is missing, and later ones are there");
                    return Err(StoreError::damaged(&path, detail));
                }
                Err(error) => return Err(error),
            };
            if logged.operation.previous != operations.last().map(|last| last.id) {
                return Err(StoreError::damaged(&path, "it does not name the operation before it"));
            }
            operations.push(logged);
        }
        let catalogue = apply(&operations);
        let missing_packs = catalogue
            .packs
            .iter()
            .filter(|pack| {
                let path = pack_path(dir, &pack.entry.id);
                let whole = fs::metadata(&path).is_ok_and(|meta| meta.len() == pack.entry.bytes);
                !whole || PackReader::open(&path).is_err()
            })
            .map(|pack| pack.entry.id)
            .collect();
        let known: BTreeSet<_> = catalogue.packs.iter().map(|pack| pack_path(dir, &pack.entry.id)).collect();
        let mut unnamed_packs = listed(&dir.join(PACKS_DIR))?;
        unnamed_packs.retain(|path| is_pack_name(path) && !known.contains(path));
        unnamed_packs.sort();
        let gone = |pack: &ObjectId| !pack_path(dir, pack).exists();
        let last_is_confirmed =
            operations.last().is_some_and(|last| last.operation.dropped_packs.iter().any(gone));
        Ok(Self { dir: dir.to_owned(), operations, torn, last_is_confirmed, missing_packs, unnamed_packs })
    }

    /// Looks at `store.redb` as it is, every page of it. Writes nothing.
    ///
    /// # Errors
    /// A store of a later format, which is no damage; I/O.
    pub fn catalogue_state(&self) -> Result<CatalogueState, StoreError> {
        let path = self.dir.join(CATALOGUE_FILE);
        if !path.exists() {
            return Ok(CatalogueState::Missing);
        }
        match redb::load(&path).and_then(|catalogue| redb::check(&path).map(|()| catalogue)) {
            Ok(catalogue) => {
                Ok(CatalogueState::Sound(catalogue.last_operation.map_or(0, |(number, _)| number)))
            }
            Err(StoreError::Damaged { detail, .. }) => Ok(CatalogueState::Damaged(detail)),
            Err(other) => Err(other),
        }
    }

    /// What the catalogue becomes, without the last operation if `apply_last` is false.
    pub fn outcome(&self, apply_last: bool) -> Rebuilt {
        let catalogue = apply(self.applied(apply_last));
        Rebuilt {
            refs: catalogue.refs.to_map(),
            head: catalogue.head,
            packs: catalogue.packs.len() as u64,
            pack_bytes: catalogue.packs.iter().map(|pack| pack.entry.bytes).sum(),
        }
    }

    fn applied(&self, apply_last: bool) -> &[LoggedOperation] {
        &self.operations[..self.operations.len().saturating_sub(usize::from(!apply_last))]
    }

    /// Writes a new `store.redb` from the log, without its last operation if `apply_last` is false (its file and packs
    /// then stay where they are, as after a crash). An old catalogue is moved aside, to the path that is returned.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when somebody writes; I/O.
    pub fn write(&self, apply_last: bool) -> Result<(Store, Option<PathBuf>), StoreError> {
        let what = "a rebuild of store.redb";
        let _alone = Sole::take(&self.dir, what, WRITERS_WAIT, &mut |_| {})?;
        let lock = self.dir.join(TMP_DIR).join("publish.lock");
        let _lock = LockFile::take(&lock, "the store", what, WRITERS_WAIT, &mut |_| {})?;
        let catalogue = apply(self.applied(apply_last));
        let path = self.dir.join(CATALOGUE_FILE);
        let mut aside = None;
        if path.exists() {
            let free = (1..=u32::MAX)
                .map(|n| self.dir.join(format!("{CATALOGUE_FILE}.old-{n}")))
                .find(|old| !old.exists());
            let old = free.unwrap_or_else(|| path.with_extension("redb.old"));
            fs::rename(&path, &old).map_err(StoreError::io("rename", &path))?;
            aside = Some(old);
        }
        build_in(&self.dir, &catalogue)?;
        let store = Store::open(&self.dir)?;
        store.keep_map().ok();
        Ok((store, aside))
    }
}

/// The highest number of a file in `ops/`; 0 where there is none.
fn last_number(dir: &Path) -> Result<u64, StoreError> {
    let files = listed(&dir.join(OPS_DIR))?;
    Ok(files.iter().filter_map(|path| number_of(path)).max().unwrap_or(0))
}

fn number_of(path: &Path) -> Option<u64> {
    let number = path.file_stem()?.to_str()?.parse().ok()?;
    (path.file_name()?.to_str()? == Operation::file_name(number)).then_some(number)
}

/// The paths in a folder; none where it is not there.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StoreError::io("list", folder)(error)),
    }
}

/// What the operations, oldest first, make of an empty catalogue.
pub(super) fn apply(operations: &[LoggedOperation]) -> Catalogue {
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
