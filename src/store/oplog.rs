//! The operation log: numbered files, each naming the one before it by hash.
//!
//! Rests on the catalogue for the hash of the last one. Invariant: an operation that is returned hashes to what the one
//! after it (or the catalogue) says.

use std::path::Path;
use std::path::PathBuf;

use super::OPS_DIR;
use super::error::StoreError;
use super::opened::Store;
use super::operation::LoggedOperation;
use super::operation::Operation;
use crate::object::ObjectId;

/// An operation names a few refs and packs; a larger file is none.
const OPERATION_BYTES_MAX: u64 = 64 << 20;

/// `ops/<10 digits>.json` under the store's directory.
pub(super) fn operation_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(OPS_DIR).join(Operation::file_name(number))
}

/// Reads one operation file and its hash.
pub(super) fn read_operation(dir: &Path, number: u64) -> Result<LoggedOperation, StoreError> {
    let path = operation_path(dir, number);
    let len = std::fs::metadata(&path).map_err(StoreError::io("read", &path))?.len();
    if len > OPERATION_BYTES_MAX {
        return Err(StoreError::damaged(&path, format!("{len} bytes are too many for an operation")));
    }
    let bytes = std::fs::read(&path).map_err(StoreError::io("read", &path))?;
    let operation = Operation::parse(&bytes, &path)?;
    if operation.number != number {
        let detail = format!("it says that it is operation {}", operation.number);
        return Err(StoreError::damaged(&path, detail));
    }
    Ok(LoggedOperation { id: ObjectId::of(&bytes), operation })
}

/// Reads one operation file, which must hash to `id`.
fn read_expected(dir: &Path, number: u64, id: &ObjectId) -> Result<LoggedOperation, StoreError> {
    let path = operation_path(dir, number);
    let logged = read_operation(dir, number).map_err(|error| {
        if error.is_missing_file() {
            return StoreError::damaged(&path, format!("operation {number} ({id}) is missing"));
        }
        error
    })?;
    if logged.id == *id {
        Ok(logged)
    } else {
        let detail = format!("operation {number} hashes to {}, the log says {id}", logged.id);
        Err(StoreError::damaged(&path, detail))
    }
}

/// The operation log, newest first. Ends after the first error, for what lies before it can no longer be checked.
#[derive(Debug)]
pub struct Operations {
    dir: PathBuf,
    next: Option<(u64, ObjectId)>,
}

impl Iterator for Operations {
    type Item = Result<LoggedOperation, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (number, id) = self.next.take()?;
        let read = read_expected(&self.dir, number, &id).and_then(|logged| {
            self.next = match (number.checked_sub(1), logged.operation.previous) {
                (Some(0) | None, None) => None,
                (Some(before @ 1..), Some(previous)) => Some((before, previous)),
                _ => {
                    let place = operation_path(&self.dir, number);
                    return Err(StoreError::damaged(&place, "the first operation alone has no previous one"));
                }
            };
            Ok(logged)
        });
        Some(read)
    }
}

impl Store {
    /// The operation log as of the last refresh, newest first; each file is checked against the hash that the later
    /// one (for the last: the catalogue) gives it.
    pub fn operations(&self) -> Operations {
        Operations { dir: self.dir().to_owned(), next: self.last_operation() }
    }
}
