//! Writing files so that they are there whole or not at all, syncing them as they grow, and hashing them.
//!
//! Rests on rename within one directory and on `fsync`. Invariants: a name never points at half-written bytes; a file that failed to
//! reach the disk fails for whoever waits for it, whichever sync met the fault.

use std::fs::{self, File};
use std::io::{self, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Writes `bytes` under a temporary name beside `path`, syncs, renames over `path` and syncs the directory.
///
/// # Errors
/// Any I/O error; the temporary file is removed and `path` is as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let mut name = std::ffi::OsString::from(".tmp-");
    name.push(std::process::id().to_string());
    name.push("-");
    name.push(path.file_name().unwrap_or_default());
    let tmp = parent.join(name);
    let result = (|| {
        let mut file = File::create(&tmp)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&tmp, path)?;
        sync_dir(parent)
    })();
    if result.is_err() {
        fs::remove_file(&tmp).ok();
    }
    result
}

/// Makes the names in a directory durable.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Sends large files to the disk while they are being written, so that the sync at their end has little left to wait for.
///
/// Left to itself the system keeps pages for half a minute, and a writer that syncs when it is done stands still while the disk
/// takes all of it. It does not make a file durable: whoever needs that syncs it in the end.
#[derive(Debug, Default)]
pub struct EarlySync {
    bytes: u64,
    thread: Option<(SyncSender<Growing>, JoinHandle<Synced>)>,
}

/// A file that is being written, and its name for messages.
type Growing = (PathBuf, File);
/// The first fault, with the file that had it.
type Synced = Result<(), (PathBuf, io::Error)>;

impl EarlySync {
    /// Bytes that are written between two requests to the disk.
    const BYTES: u64 = 16 << 20;

    /// Says that `bytes` more were written to `file`. At times hands the file to a thread that syncs; where that is still busy, the file
    /// waits for the next time.
    pub fn wrote(&mut self, path: &Path, file: &File, bytes: usize) {
        self.bytes += bytes as u64;
        if self.bytes < Self::BYTES {
            return;
        }
        // Nothing depends on it: what cannot be cloned or handed over, or has no thread, is synced at the end.
        let Ok(file) = file.try_clone() else { return };
        if self.thread.is_none() {
            let (sender, files) = sync_channel::<Growing>(1);
            let sync = move || {
                files.into_iter().try_for_each(|(path, file)| file.sync_data().map_err(|error| (path, error)))
            };
            self.thread = std::thread::Builder::new().spawn(sync).ok().map(|thread| (sender, thread));
        }
        let Some((sender, _)) = &self.thread else { return };
        if sender.try_send((path.to_owned(), file)).is_ok() {
            self.bytes = 0;
        }
    }

    /// Waits for what is under way. The system tells a fault of the disk once: if it told it here, the sync at the end of the file would
    /// not hear of it.
    ///
    /// # Errors
    /// The first fault of a sync, with the file that had it.
    pub fn finish(&mut self) -> Result<(), (PathBuf, io::Error)> {
        let Some((sender, thread)) = self.thread.take() else { return Ok(()) };
        drop(sender);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// BLAKE3-256 of a whole file, which is streamed.
///
/// # Errors
/// When it cannot be opened or read.
pub fn hash(path: &Path) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    // Pieces of this size keep the lanes of BLAKE3 full; an interrupted read is made again.
    io::copy(&mut BufReader::with_capacity(256 << 10, File::open(path)?), &mut hasher)?;
    Ok(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_an_early_sync_is_told_at_the_end() {
        // A pipe cannot be synced, which stands for a disk that fails.
        let (_reader, writer) = io::pipe().expect("a pipe");
        let pipe = File::from(std::os::fd::OwnedFd::from(writer));
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("f");
        let file = File::create(&path).expect("a file");
        let mut early = EarlySync::default();
        early.wrote(&path, &file, 1);
        assert!(early.thread.is_none(), "a little is not worth a thread");
        early.wrote(&path, &file, 16 << 20);
        early.finish().expect("the file can be synced");
        early.wrote(Path::new("pipe"), &pipe, 16 << 20);
        let (path, error) = early.finish().expect_err("the pipe cannot be synced");
        assert_eq!((path, error.kind()), (PathBuf::from("pipe"), io::ErrorKind::InvalidInput));
        early.finish().expect("it is told once");
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("f");
        write_atomic(&path, b"one").expect("first write");
        write_atomic(&path, b"two").expect("second write");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert!(write_atomic(&dir.path().join("f/g"), b"x").is_err(), "a file is no directory");
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 1, "no leftovers");
    }
}
