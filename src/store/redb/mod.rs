//! The catalogue in `store.redb`: the only code that names redb.
//!
//! Rests on redb 4.6.0, whose pages are not verified on read and which may panic on damaged ones. So: raw byte keys and
//! values, a digest over all rows that every load checks, every call inside [`guard`], two-phase commit with quick
//! repair, no savepoints. Invariants: loading never writes and never locks anybody out; an update is one transaction.

mod guard;
mod rows;
mod snapshot;

use std::path::Path;

use ::redb::ConcurrencyMode;
use ::redb::Database;
use ::redb::ReadableDatabase as _;
use ::redb::ReadableTable as _;
use ::redb::TableDefinition;
use ::redb::TableError;

pub(super) use guard::guarded;

use super::catalogue::Catalogue;
use super::error::StoreError;
use rows::Rows;
use rows::TABLES;

/// Page cache of a handle. A catalogue is far smaller; the default would be 1 GiB.
const CACHE_BYTES: usize = 4 << 20;

type Definition<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

fn damaged(path: &Path, error: &impl std::fmt::Display) -> StoreError {
    StoreError::damaged(path, error.to_string())
}

/// An error of redb as ours: what the operating system said stays an I/O error, everything else is damage (redb wraps
/// its own refusals, such as a wrong magic number, in I/O errors that have no system code).
fn ours(path: &Path) -> impl Fn(::redb::Error) -> StoreError {
    let path = path.to_owned();
    move |error| match error {
        ::redb::Error::Io(source) if source.raw_os_error().is_some() => {
            StoreError::Io { action: "use", path: path.clone(), source }
        }
        other => damaged(&path, &other),
    }
}

/// Reads the catalogue without a lock; see [`snapshot`] for why that is sound.
pub(super) fn load(path: &Path) -> Result<Catalogue, StoreError> {
    snapshot::stable(path, |view| rows_of(path, view))?.decode(path)
}

fn rows_of(path: &Path, view: snapshot::View) -> Result<Rows, StoreError> {
    guarded(path, || {
        let fail = ours(path);
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_concurrency_mode(ConcurrencyMode::MultiWriter)
            .open_read_only_with_backend(view)
            .map_err(|e| fail(e.into()))?;
        let reading = database.begin_read().map_err(|e| fail(e.into()))?;
        let mut rows = Rows::default();
        for (n, name) in TABLES.into_iter().enumerate() {
            let opened = match reading.open_table(Definition::new(name)) {
                Ok(opened) => opened,
                Err(TableError::TableDoesNotExist(_)) => continue,
                Err(error) => return Err(fail(error.into())),
            };
            for row in opened.iter().map_err(|e| fail(e.into()))? {
                let (key, value) = row.map_err(|e| fail(e.into()))?;
                rows.push(n, key.value(), value.value());
            }
        }
        Ok(rows)
    })
}

/// Makes a new file with `catalogue` in it, synced. `path` must not exist.
pub(super) fn create(path: &Path, catalogue: &Catalogue) -> Result<(), StoreError> {
    guarded(path, || {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_concurrency_mode(ConcurrencyMode::MultiWriter)
            .create(path)
            .map_err(|e| ours(path)(e.into()))?;
        transact(path, &database, |_| Ok((catalogue.clone(), ())))
    })
}

/// One write transaction: `change` sees the catalogue as it is and says what it becomes. An error of `change` leaves
/// everything as it was; so does a crash at any moment.
pub(super) fn update<T>(
    path: &Path,
    change: impl FnOnce(&Catalogue) -> Result<(Catalogue, T), StoreError>,
) -> Result<T, StoreError> {
    check(path)?;
    guarded(path, || {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_concurrency_mode(ConcurrencyMode::MultiWriter)
            .open(path)
            .map_err(|e| ours(path)(e.into()))?;
        transact(path, &database, |rows| change(&rows.clone().decode(path)?))
    })
}

/// Verifies the checksum of every page, on a copy. Writing to a damaged file is what must not happen: redb would trust
/// its pages, and was seen to panic in a destructor over them, which aborts the process.
pub(super) fn check(path: &Path) -> Result<(), StoreError> {
    let backend = snapshot::copy(path)?;
    guarded(path, || {
        Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)
            .map(drop)
            .map_err(|e| ours(path)(e.into()))
    })
}

fn transact<T>(
    path: &Path,
    database: &Database,
    change: impl FnOnce(&Rows) -> Result<(Catalogue, T), StoreError>,
) -> Result<T, StoreError> {
    let fail = ours(path);
    let mut writing = database.begin_write().map_err(|e| fail(e.into()))?;
    writing.set_two_phase_commit(true);
    writing.set_quick_repair(true);
    let mut before = Rows::default();
    for (n, name) in TABLES.into_iter().enumerate() {
        let opened = writing.open_table(Definition::new(name)).map_err(|e| fail(e.into()))?;
        for row in opened.iter().map_err(|e| fail(e.into()))? {
            let (key, value) = row.map_err(|e| fail(e.into()))?;
            before.push(n, key.value(), value.value());
        }
    }
    // Dropping the transaction on an error of `change` aborts it.
    let (catalogue, answer) = change(&before)?;
    let after = Rows::encode(&catalogue);
    for (n, name) in TABLES.into_iter().enumerate() {
        let mut opened = writing.open_table(Definition::new(name)).map_err(|e| fail(e.into()))?;
        for (key, _) in before.stored(n).filter(|(key, _)| after.get(n, key).is_none()) {
            opened.remove(key).map_err(|e| fail(e.into()))?;
        }
        for (key, value) in after.stored(n).filter(|(key, value)| before.get(n, key) != Some(value)) {
            opened.insert(key, value).map_err(|e| fail(e.into()))?;
        }
    }
    writing.commit().map_err(|e| fail(e.into()))?;
    Ok(answer)
}
