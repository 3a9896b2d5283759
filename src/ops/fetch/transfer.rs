//! Rows on their way: into a file beside the one they are for, from where an earlier attempt stopped, and then verified.
//!
//! Rests on [`Origin`] and hashes. Invariants: never more than the announced length is written, and by one process alone; a connection that
//! breaks is tried again from where it broke; what arrived stays, under its temporary name, only while nothing shows it to be wrong.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::address::Wanted;
use super::origin::Origin;
use crate::object::ObjectId;
use crate::ops::delivery::{Digester, Digests};
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::progress::Progress;
use crate::tree;

/// How often a broken connection is tried again without a single new byte.
const TRIES_MAX: u32 = 4;
/// Before the first of them; each later one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const BUFFER_BYTES: usize = 256 << 10;

/// What lies in the temporary file.
pub struct Arrived {
    pub digests: Digests,
    /// How much of it was there before.
    pub resumed_from: u64,
}

/// Opens the temporary file, made where it is not there, and holds it alone until it is closed.
///
/// # Errors
/// When somebody else holds it: a second writer would add to what the first one has verified.
pub fn take_part(part: &Path) -> Result<File, OpError> {
    loop {
        let file = (OpenOptions::new().read(true).append(true).create(true).open(part))
            .map_err(|e| OpError::io("write", part, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpError::new(
                    ErrorKind::Outside,
                    format!("another `distill fetch` is writing {}", part.display()),
                    "wait for it to end, or name another file with `-o FILE`",
                ));
            }
            // A file system without locks, on which nobody can be told apart.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(OpError::io("lock", part, &error)),
        }
        // Whoever held it before may have given it its name, or removed it.
        let is_ours = file.metadata().and_then(|ours| Ok((ours.dev(), ours.ino(), std::fs::metadata(part)?)));
        match is_ours {
            Ok((device, inode, there)) if (there.dev(), there.ino()) == (device, inode) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(OpError::io("read", part, &error)),
        }
    }
}

/// Brings all rows into `part`, which is open as `file`.
///
/// # Errors
/// A source that cannot be asked, or that has fewer or more bytes than the tree says; a full disk.
pub fn receive(
    origin: &dyn Origin,
    wanted: &Wanted,
    part: &Path,
    file: &mut File,
    progress: &dyn Progress,
) -> Result<Arrived, OpError> {
    let whole = wanted.totals.jsonl_bytes();
    let write = |e: &io::Error| OpError::io("write", part, e);
    if file.metadata().map_err(|e| write(&e))?.len() > whole {
        file.set_len(0).map_err(|e| write(&e))?;
    }
    let mut digester = Digester::default();
    io::copy(&mut BufReader::with_capacity(BUFFER_BYTES, &*file), &mut digester).map_err(|e| write(&e))?;
    let resumed_from = digester.bytes();
    progress.begin("fetch", Some(whole));
    progress.advance(0, resumed_from);
    let mut tries = 0;
    let mut buffer = vec![0; BUFFER_BYTES];
    while digester.bytes() < whole {
        let before = digester.bytes();
        let outcome = origin
            .rows(wanted.root, before)
            .and_then(|rows| take(rows, whole, &mut buffer, file, part, &mut digester, progress));
        if digester.bytes() > before {
            tries = 0;
        }
        match outcome {
            Err(error) if error.kind != ErrorKind::Outside || tries == TRIES_MAX => {
                progress.end();
                return Err(error);
            }
            Err(_) => {
                std::thread::sleep(FIRST_WAIT * 2_u32.pow(tries));
                tries += 1;
            }
            Ok(()) if digester.bytes() == before => {
                progress.end();
                return Err(wrong(origin, &format!("it ends after {before} of {whole} bytes")));
            }
            Ok(()) => {}
        }
    }
    progress.end();
    file.sync_all().map_err(|e| OpError::io("sync", part, &e))?;
    Ok(Arrived { digests: digester.finish(), resumed_from })
}

fn take(
    rows: Box<dyn Read + '_>,
    whole: u64,
    buffer: &mut [u8],
    file: &mut File,
    part: &Path,
    digester: &mut Digester,
    progress: &dyn Progress,
) -> Result<(), OpError> {
    let mut rows = rows.take(whole - digester.bytes());
    loop {
        let taken = match rows.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(error)),
        };
        file.write_all(&buffer[..taken]).map_err(|e| OpError::io("write", part, &e))?;
        digester.update(&buffer[..taken]);
        progress.advance(0, taken as u64);
    }
}

/// A source on this machine says what is wrong with it; of a connection only its end is known.
fn broken(error: io::Error) -> OpError {
    let kind = error.kind();
    match error.downcast::<OpError>() {
        Ok(inner) => inner,
        Err(error) => OpError::new(
            ErrorKind::Outside,
            format!("the transfer was interrupted ({kind}): {error}"),
            "run the same command again: it goes on from where it stopped",
        ),
    }
}

/// Holds what arrived against what was asked for.
///
/// # Errors
/// When it is something else; when the tree cannot be read.
pub fn verify(
    origin: &dyn Origin,
    wanted: &Wanted,
    part: &Path,
    arrived: Digests,
    progress: &dyn Progress,
) -> Result<Digests, OpError> {
    if let Some(said) = &wanted.jsonl {
        if arrived != *said {
            return Err(wrong(
                origin,
                &format!(
                    "the rows have the BLAKE3 digest {}, the receipt says {}",
                    arrived.blake3, said.blake3
                ),
            ));
        }
    } else if let Some(digest) = &wanted.digest {
        if !arrived.has(digest) {
            return Err(wrong(
                origin,
                &format!("the rows have the digests {} and {}, not {digest}", arrived.blake3, arrived.sha256),
            ));
        }
    } else {
        by_tree(origin, wanted, part, progress)?;
    }
    Ok(arrived)
}

/// Holds every line against the tree.
fn by_tree(
    origin: &dyn Origin,
    wanted: &Wanted,
    part: &Path,
    progress: &dyn Progress,
) -> Result<(), OpError> {
    let mut entries = tree::iter(origin.find(), wanted.root);
    let mut file =
        BufReader::with_capacity(BUFFER_BYTES, File::open(part).map_err(|e| OpError::io("read", part, &e))?);
    progress.begin("verify", Some(wanted.totals.jsonl_bytes()));
    let mut row = Vec::new();
    let outcome = loop {
        let Some(entry) = entries.next() else { break Ok(()) };
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => break Err(error.into()),
        };
        // A row may hold anything, line ends too (a whole file is a unit), so its length says where it ends.
        row.clear();
        let read = file.by_ref().take(entry.bytes + 1).read_to_end(&mut row);
        if let Err(error) = read {
            break Err(OpError::io("read", part, &error));
        }
        let ended = row.pop() == Some(b'\n') && row.len() as u64 == entry.bytes;
        if !ended || ObjectId::of(&row) != entry.id {
            break Err(wrong(origin, &format!("the row `{}` is not the object {}", entry.key, entry.id)));
        }
        progress.advance(1, entry.bytes + 1);
    };
    progress.end();
    outcome?;
    match file.fill_buf() {
        Ok([]) => Ok(()),
        Ok(_) => Err(wrong(origin, "there is more than the tree names")),
        Err(error) => Err(OpError::io("read", part, &error)),
    }
}

fn wrong(origin: &dyn Origin, detail: &str) -> OpError {
    OpError::new(
        ErrorKind::Damaged,
        format!("what {} sent is not what was asked for: {detail}", origin.place()),
        "",
    )
}

/// The first line of a file, without its ending; `None` of an empty file.
///
/// # Errors
/// When it cannot be read.
pub fn first_line(path: &Path) -> Result<Option<Vec<u8>>, OpError> {
    let read = || {
        let mut line = Vec::new();
        BufReader::new(File::open(path)?).read_until(b'\n', &mut line)?;
        Ok(line)
    };
    let line = read().map_err(|e| OpError::io("read", path, &e))?;
    Ok((!line.is_empty()).then_some(line))
}

/// Hands out every line of a file, without its ending.
///
/// # Errors
/// When it cannot be read; those of `take`.
pub fn each_line(path: &Path, mut take: impl FnMut(&[u8]) -> Result<(), OpError>) -> Result<(), OpError> {
    let mut lines =
        BufReader::with_capacity(BUFFER_BYTES, File::open(path).map_err(|e| OpError::io("read", path, &e))?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).map_err(|e| OpError::io("read", path, &e))? == 0 {
            return Ok(());
        }
        take(line.strip_suffix(b"\n").unwrap_or(&line))?;
    }
}
