//! Files that were made of snapshots and are kept for the next who asks: Parquet and zstd cannot begin in the middle, JSONL
//! can.
//!
//! Rests on one directory that is a cache: deleting it loses nothing. Invariants: a file there is whole, or has a temporary
//! name; what another process left there is not trusted but made anew; the shelf stays below its size, the files that
//! were not asked for longest going first, and unfinished ones of a process that died after a day.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Format;
use super::digest::{Digested, Digester, Digests};
use super::jsonl::each_piece;
use super::parquet;
use crate::base::clock::Clock;
use crate::object::Find;
use crate::object::RootId;
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::progress::Progress;
use crate::tree;

const ZSTD_LEVEL: i32 = 3;
/// An unfinished file of this age belongs to nobody.
const ABANDONED_AFTER: Duration = Duration::from_hours(24);

/// A file on the shelf.
#[derive(Clone, Debug)]
pub struct Shelved {
    /// Where it lies.
    pub path: PathBuf,
    /// Its length and digests.
    pub digests: Digests,
}

/// One slot for each file: whoever makes it holds the slot, the others wait for it.
type Slot = Arc<Mutex<Option<Digests>>>;

/// The files that were made.
#[derive(Debug)]
pub struct Shelf {
    dir: PathBuf,
    bytes_max: u64,
    slots: Mutex<BTreeMap<String, (Slot, u64)>>,
    /// Counts the questions, which tells what was asked for last.
    asked: std::sync::atomic::AtomicU64,
}

impl Shelf {
    /// The shelf in `dir`, which is made when it is first needed and holds at most `bytes_max` bytes.
    pub fn new(dir: PathBuf, bytes_max: u64) -> Self {
        Self { dir, bytes_max, slots: Mutex::default(), asked: std::sync::atomic::AtomicU64::new(0) }
    }

    /// The snapshot `root` of `dataset` as a file of this form, made now if it is not there.
    ///
    /// # Errors
    /// When the dataset has no such form, a row is missing or damaged, or the file cannot be written.
    pub fn file(
        &self,
        find: &dyn Find,
        root: RootId,
        dataset: &str,
        format: Format,
        progress: &dyn Progress,
    ) -> Result<Shelved, OpError> {
        let name = name(root, dataset, format);
        let path = self.dir.join(&name);
        let asked = self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = slots.entry(name.clone()).or_default();
            slot.1 = asked;
            Arc::clone(&slot.0)
        };
        let mut known = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digests) = known.as_ref()
            && fs::metadata(&path).is_ok_and(|meta| meta.len() == digests.bytes)
        {
            return Ok(Shelved { path, digests: digests.clone() });
        }
        let digests = self.make(find, root, dataset, format, &name, progress)?;
        *known = Some(digests.clone());
        drop(known);
        self.make_room(&name);
        Ok(Shelved { path, digests })
    }

    /// Writes the file under a temporary name and gives it its own.
    fn make(
        &self,
        find: &dyn Find,
        root: RootId,
        dataset: &str,
        format: Format,
        name: &str,
        progress: &dyn Progress,
    ) -> Result<Digests, OpError> {
        fs::create_dir_all(&self.dir).map_err(|e| OpError::io("make", &self.dir, &e))?;
        let tmp = self.dir.join(format!(".{}-{name}", std::process::id()));
        let written = write_file(find, root, dataset, format, &tmp, progress).and_then(|digests| {
            let path = self.dir.join(name);
            fs::rename(&tmp, &path).map_err(|e| OpError::io("rename", &tmp, &e))?;
            Ok(digests)
        });
        if written.is_err() {
            fs::remove_file(&tmp).ok();
        }
        written
    }

    /// Removes the files that were not asked for longest, until the rest fits; `keep` stays.
    fn make_room(&self, keep: &str) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files: Vec<(u64, String, u64)> = (entries.flatten())
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let meta = entry.metadata().ok()?;
                let bytes = meta.len();
                if name.starts_with('.') && is_abandoned(&meta) {
                    fs::remove_file(entry.path()).ok();
                }
                // What nobody asked this process for goes first.
                let asked = slots.get(&name).map_or(0, |(_, asked)| asked + 1);
                (!name.starts_with('.')).then_some((asked, name, bytes))
            })
            .collect();
        files.sort();
        let mut total: u64 = files.iter().map(|(.., bytes)| bytes).sum();
        for (_, name, bytes) in files {
            if total <= self.bytes_max || name == keep {
                continue;
            }
            // Whoever reads it has it open, and reads on.
            if fs::remove_file(self.dir.join(&name)).is_ok() {
                slots.remove(&name);
                total -= bytes;
            }
        }
    }
}

/// Whether an unfinished file was not written to for so long that whoever began it must have died.
fn is_abandoned(meta: &fs::Metadata) -> bool {
    let now = Duration::from_millis(u64::try_from(Clock::System.now_ms()).unwrap_or(0));
    let written = meta.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    written.is_some_and(|written| now.saturating_sub(written) > ABANDONED_AFTER)
}

/// Only an empty dataset shares its root with another, and its Parquet has other columns.
fn name(root: RootId, dataset: &str, format: Format) -> String {
    format!("{root}-{}-{}.{}", dataset.replace('/', "-"), format.writer(), format.ending())
}

/// Writes the rows of `root` to `path` in one of the forms, and says what was written.
///
/// # Errors
/// As [`Shelf::file`].
pub fn write_file(
    find: &dyn Find,
    root: RootId,
    dataset: &str,
    format: Format,
    path: &Path,
    progress: &dyn Progress,
) -> Result<Digests, OpError> {
    let cannot = |e: &std::io::Error| OpError::io("write", path, e);
    let file = File::create(path).map_err(|e| cannot(&e))?;
    let mut out = Digested::new(BufWriter::with_capacity(1 << 20, file));
    match format {
        Format::Parquet => out = parquet::write(find, root, dataset, out, progress)?,
        Format::Jsonl => each_piece(find, root, |piece| {
            progress.advance(0, piece.len() as u64);
            out.write_all(piece).map_err(|e| cannot(&e))
        })?,
        Format::JsonlZst => {
            let bytes = tree::totals(find, root)?.jsonl_bytes();
            let mut packed = zstd::Encoder::new(out, ZSTD_LEVEL).map_err(|e| cannot(&e))?;
            packed.include_checksum(true).map_err(|e| cannot(&e))?;
            packed.set_pledged_src_size(Some(bytes)).map_err(|e| cannot(&e))?;
            each_piece(find, root, |piece| {
                progress.advance(0, piece.len() as u64);
                packed.write_all(piece).map_err(|e| cannot(&e))
            })?;
            out = packed.finish().map_err(|e| cannot(&e))?;
        }
    }
    out.flush().map_err(|e| cannot(&e))?;
    Ok(out.finish().0)
}

/// The digests of the file at `path`.
///
/// # Errors
/// When it cannot be read.
pub fn digest_file(path: &Path) -> Result<Digests, OpError> {
    let read = || Digester::read(File::open(path)?);
    read().map_err(|e| OpError::io("read", path, &e))
}

/// No form cannot be had for want of room on this shelf.
pub const BYTES_MAX: u64 = 4 << 30;

/// The refusal of a form that nobody knows.
pub fn unknown_format(ending: &str) -> OpError {
    let known: Vec<_> = Format::ALL.iter().map(|format| format.ending()).collect();
    let message = format!("there is no form called `{ending}`");
    OpError::new(ErrorKind::Usage, message, format!("the forms are {}", known.join(", ")))
}
