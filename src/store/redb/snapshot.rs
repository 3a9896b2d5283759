//! A consistent view of a redb file, taken without a lock while others may be committing: page by page for readers, and as a
//! copy in memory where redb insists on writing.
//!
//! Rests on the commit protocol of redb 4.6.0 (pinned exactly). Invariant: the file is only ever read.
//!
//! Why both are sound. redb is copy-on-write: a commit T+1 writes its pages only to places that are free in T, and
//! what T itself freed is reused by T+2 at the earliest (`design document`, "MVCC"; reuse waits until T+1 is
//! committed). The only bytes changed in place are the header's 320 (`page_store/header.rs`: `DB_HEADER_SIZE`), and
//! every commit changes them: first the secondary slot, with its transaction id and checksum, then the byte that swaps
//! the slots. So if the header was the same before and after the rest was read, no commit happened between, and every
//! page reachable from the primary slot of that header was constant all the while. Other pages may be torn, exactly as
//! after a crash, and are not reachable. Transaction ids only grow among commits, so "the same" is not "changed and
//! changed back". Two-phase commit (used by every commit of ours) means that the primary is never in doubt, and quick
//! repair that its allocator state is one of its own pages. The file's length is compared too, since a writer grows it
//! before it commits, and redb rebuilds its layout from the length when the file was not closed (`finalize`).
//!
//! So whatever was made of pages that were read between two looks at the same header is believed, and everything else,
//! errors and panics too, is thrown away and made again.
//!
//! A view is opened as a read-only member of the multi-process protocol, which serves the primary slot as it stands and
//! repairs nothing, so a store left by a killed process opens, and so does a read-only directory. That open asks whether
//! a live writer vouches for a file that was not closed (`CONSISTENT_BYTE`, `design document`, "Locking protocol"); for
//! the copy, the reasoning above does. A writable handle would not do: it commits when it is dropped, and with a damaged
//! page that was seen to panic inside a destructor, which aborts the process.
//!
//! In `MultiWriter` mode the swap is visible before it is durable, marked by a bit of the header
//! (`PRIMARY_UNFLUSHED`); a copy waits for the bit to clear, so that nobody acts on what a power loss could still take.
//! If it stays, its writer has died there, and the next writer will publish that commit; so does the copy.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use ::redb::BackendError;
use ::redb::StorageBackend;

use crate::store::error::StoreError;

const HEADER_BYTES: usize = 4096;
/// Offset of the header's flags, behind the nine bytes of magic.
const FLAGS_AT: usize = 9;
const PRIMARY_UNFLUSHED: u8 = 8;
/// The lock by which a live writer vouches for its file.
const CONSISTENT_BYTE: u64 = (1 << 62) + 4;
/// Attempts before giving up; the waits between them grow to 20 ms, four seconds in all.
const ATTEMPTS: u32 = 250;
/// Attempts after which an unflushed primary is taken as left by a dead writer.
const UNFLUSHED_ATTEMPTS: u32 = 25;
/// A catalogue beyond this size is refused; it holds a row of 100 bytes per ref and pack.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// What a repair in memory may add to the file.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

/// Copies the file at `path`.
pub(super) fn copy(path: &Path) -> Result<Overlay, StoreError> {
    let file = File::open(path).map_err(StoreError::io("read", path))?;
    for attempt in 0..ATTEMPTS {
        if let Some(bytes) = attempt_copy(&file, path, attempt, || {})? {
            return Ok(Overlay { limit: bytes.len() as u64 + GROWTH_BYTES_MAX, bytes: Mutex::new(bytes) });
        }
        pause(attempt);
    }
    Err(busy(path))
}

/// `None` when somebody committed while the copy was made; `meanwhile` runs before that is asked.
fn attempt_copy(
    file: &File,
    path: &Path,
    attempt: u32,
    meanwhile: impl FnOnce(),
) -> Result<Option<Vec<u8>>, StoreError> {
    let io = || StoreError::io("read", path);
    let (len, header) = head(file).map_err(io())?;
    check_len(path, len)?;
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    match file.read_exact_at(&mut bytes, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other.map_err(io())?,
    }
    meanwhile();
    if !is_settled(&header, attempt) || head(file).map_err(io())? != (len, header) {
        return Ok(None);
    }
    bytes[..HEADER_BYTES].copy_from_slice(&header);
    bytes[FLAGS_AT] &= !PRIMARY_UNFLUSHED;
    Ok(Some(bytes))
}

/// What `read` makes of the file at `path`, which it sees as it was at one moment. It is run again when somebody committed
/// meanwhile, and what it gave, be it an error, is forgotten.
pub(super) fn stable<T>(path: &Path, read: impl Fn(View) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let io = || StoreError::io("read", path);
    let file = Arc::new(File::open(path).map_err(io())?);
    for attempt in 0..ATTEMPTS {
        let (len, mut header) = head(&file).map_err(io())?;
        check_len(path, len)?;
        if is_settled(&header, attempt) {
            let before = header;
            header[FLAGS_AT] &= !PRIMARY_UNFLUSHED;
            let outcome = read(View { file: Arc::clone(&file), len, header });
            if head(&file).map_err(io())? == (len, before) {
                return outcome;
            }
        }
        pause(attempt);
    }
    Err(busy(path))
}

fn check_len(path: &Path, len: u64) -> Result<(), StoreError> {
    if len > FILE_BYTES_MAX {
        return Err(StoreError::damaged(path, format!("{len} bytes are too many for a catalogue")));
    }
    if len < HEADER_BYTES as u64 {
        return Err(StoreError::damaged(path, format!("{len} bytes are too few for a catalogue")));
    }
    Ok(())
}

/// Whether the primary slot is durable, or will not become so because its writer is dead.
fn is_settled(header: &[u8; HEADER_BYTES], attempt: u32) -> bool {
    header[FLAGS_AT] & PRIMARY_UNFLUSHED == 0 || attempt >= UNFLUSHED_ATTEMPTS
}

fn pause(attempt: u32) {
    std::thread::sleep(Duration::from_millis(u64::from(attempt.min(20))));
}

fn busy(path: &Path) -> StoreError {
    StoreError::Busy {
        what: path.display().to_string(),
        owner: "writers that commit without a pause".to_owned(),
        waited_ms: 4000,
    }
}

fn head(file: &File) -> io::Result<(u64, [u8; HEADER_BYTES])> {
    let len = file.metadata()?.len();
    let mut header = [0; HEADER_BYTES];
    if len >= HEADER_BYTES as u64 {
        match file.read_exact_at(&mut header, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            other => other?,
        }
    }
    Ok((len, header))
}

/// The file as redb wants to see it, its header as it was at first. Nobody writes through it.
#[derive(Debug)]
pub(super) struct View {
    file: Arc<File>,
    len: u64,
    header: [u8; HEADER_BYTES],
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "a view is only read")
}

/// The locks of a backend that nobody else has.
macro_rules! every_lock_is_granted {
    () => {
        fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
            Ok(true)
        }

        fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
            Ok(true)
        }

        fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
            Ok(())
        }

        fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
            Ok(())
        }

        fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
            Ok(())
        }

        fn query_lock_range(&self, start: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
            Ok(start == Bound::Included(CONSISTENT_BYTE))
        }
    };
}

/// No lock is taken of the file, so every lock is granted.
impl StorageBackend for View {
    every_lock_is_granted!();

    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let size = usize::try_from(self.len).unwrap_or(usize::MAX);
        let range = range(offset, out.len(), size)?;
        let known = HEADER_BYTES.saturating_sub(range.start).min(out.len());
        if known > 0 {
            out[..known].copy_from_slice(&self.header[range.start..range.start + known]);
        }
        self.file.read_exact_at(&mut out[known..], offset + known as u64)
    }

    fn set_len(&self, _: u64) -> Result<(), io::Error> {
        Err(read_only())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, _: u64, _: &[u8]) -> Result<(), io::Error> {
        Err(read_only())
    }
}

/// The copy, as redb wants to see a file: what it writes stays here.
pub(super) struct Overlay {
    bytes: Mutex<Vec<u8>>,
    limit: u64,
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Overlay {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn outside() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a page lies outside the file")
}

fn range(offset: u64, len: usize, size: usize) -> io::Result<std::ops::Range<usize>> {
    let start = usize::try_from(offset).map_err(|_| outside())?;
    let end = start.checked_add(len).filter(|end| *end <= size).ok_or_else(outside)?;
    Ok(start..end)
}

/// Nobody else has the copy, so every lock is granted.
impl StorageBackend for Overlay {
    every_lock_is_granted!();

    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.bytes().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let bytes = self.bytes();
        let range = range(offset, out.len(), bytes.len())?;
        out.copy_from_slice(&bytes[range]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let size = usize::try_from(len).ok().filter(|_| len <= self.limit).ok_or_else(outside)?;
        self.bytes().resize(size, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut bytes = self.bytes();
        let range = range(offset, data.len(), bytes.len())?;
        bytes[range].copy_from_slice(data);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectId;
    use crate::store::catalogue::Catalogue;

    fn touch(path: &Path, name: &str) {
        super::super::update(path, |before| {
            let mut after = before.clone();
            after.refs.insert(name.to_owned(), ObjectId::of(name.as_bytes()));
            Ok((after, ()))
        })
        .expect("commit");
    }

    #[test]
    fn a_copy_that_a_commit_may_have_torn_is_thrown_away() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("store.redb");
        super::super::create(&path, &Catalogue::new()).expect("create");
        let file = File::open(&path).expect("open");
        let copy = |meanwhile: &dyn Fn()| attempt_copy(&file, &path, 0, meanwhile).expect("reads");
        assert!(copy(&|| {}).is_some());
        assert!(copy(&|| touch(&path, "heads/a")).is_none(), "a commit changes the header");
        assert!(copy(&|| file_grows(&path)).is_none(), "a growing file is in the middle of a commit");
    }

    #[test]
    fn what_was_read_while_somebody_committed_is_read_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("store.redb");
        super::super::create(&path, &Catalogue::new()).expect("create");
        let runs = std::cell::Cell::new(0);
        let seen = stable(&path, |view| {
            runs.set(runs.get() + 1);
            if runs.get() == 1 {
                touch(&path, "heads/a");
                return Err(StoreError::damaged(&path, "a torn page"));
            }
            let mut header = [0; HEADER_BYTES];
            view.read(0, &mut header).map_err(StoreError::io("read", &path))?;
            Ok(header)
        });
        let now = std::fs::read(&path).expect("read");
        assert_eq!(
            (runs.get(), seen.expect("sound at the second time").as_slice()),
            (2, &now[..HEADER_BYTES])
        );
        let fails = stable(&path, |_| Err::<(), _>(StoreError::damaged(&path, "really")));
        assert!(fails.is_err(), "damage that stays is told");
    }

    fn file_grows(path: &Path) {
        let file = File::options().write(true).open(path).expect("open");
        let len = file.metadata().expect("there").len();
        file.set_len(len + 4096).expect("grow");
    }

    #[test]
    fn a_commit_that_is_not_durable_yet_is_waited_for_unless_its_writer_is_dead() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("store.redb");
        super::super::create(&path, &Catalogue::new()).expect("create");
        touch(&path, "heads/a");
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[FLAGS_AT] |= PRIMARY_UNFLUSHED;
        std::fs::write(&path, bytes).expect("write");
        let file = File::open(&path).expect("open");
        assert!(attempt_copy(&file, &path, 0, || {}).expect("reads").is_none());
        assert!(attempt_copy(&file, &path, UNFLUSHED_ATTEMPTS, || {}).expect("reads").is_some());
        assert_eq!(super::super::load(&path).expect("loads").refs.len(), 1);
        touch(&path, "heads/b");
        assert_eq!(super::super::load(&path).expect("loads").refs.len(), 2, "the next writer published both");
    }
}
