//! A directory as a bucket: on this machine, or on a disk that several share.
//!
//! Rests on hard links, which fail where the name exists. Invariants: a name appears with all of its bytes, synced, or not at
//! all; a file that is there is never written again; unfinished files lie in `tmp/` and go when they are a day old.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bucket::Bucket;
use super::bucket::GET_BYTES_MAX;
use super::bucket::too_long;
use super::error::RemoteError;
use super::peer::unique;
use crate::base::clock::Clock;
use crate::base::fs::sync_dir;

/// Unfinished files.
const TMP: &str = "tmp";
/// An unfinished file of this age belongs to nobody.
const ABANDONED_AFTER: Duration = Duration::from_hours(24);

static SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// A directory.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// The directory at `root`, which need not exist.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Whether there is nothing in it, or nothing at all.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn is_empty(&self) -> Result<bool, RemoteError> {
        match fs::read_dir(&self.root) {
            Ok(mut entries) => Ok(entries.next().is_none()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(RemoteError::io("list", &self.root)(error)),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a temporary file by `fill`, syncs it and gives it its name; `false` where the name is taken.
    fn put(&self, name: &str, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<bool, RemoteError> {
        let path = self.path(name);
        if path.exists() {
            return Ok(false);
        }
        let parent = path.parent().unwrap_or(&self.root).to_owned();
        for folder in [&parent, &self.root.join(TMP)] {
            make_folders(folder)?;
        }
        let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        let tmp = self.root.join(TMP).join(format!("{}-{sequence}-{}", std::process::id(), unique()));
        let written = File::options().write(true).create_new(true).open(&tmp).and_then(|mut file| {
            fill(&mut file)?;
            file.sync_all()
        });
        let linked = written.and_then(|()| fs::hard_link(&tmp, &path));
        fs::remove_file(&tmp).ok();
        match linked {
            Ok(()) => {
                sync_dir(&parent).map_err(RemoteError::io("sync", &parent))?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(self.failed("write", &path)(error)),
        }
    }

    fn failed(&self, action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RemoteError {
        let (place, path) = (self.place(), path.to_owned());
        move |error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                RemoteError::Denied { place, detail: format!("cannot {action} {}: {error}", path.display()) }
            }
            _ => RemoteError::Io { action, path, source: error },
        }
    }

    /// Removes what pushes left that died a day ago or earlier.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.root.join(TMP)) else { return };
        let now = u64::try_from(Clock::System.now_ms()).unwrap_or(0);
        for entry in entries.flatten() {
            let age = entry
                .metadata()
                .and_then(|meta| meta.modified())
                .ok()
                .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
                .map(|at| Duration::from_millis(now).saturating_sub(at));
            if age.is_some_and(|age| age > ABANDONED_AFTER) {
                fs::remove_file(entry.path()).ok();
            }
        }
    }
}

/// Makes a folder and those above it; each new name is synced in its parent.
fn make_folders(folder: &Path) -> Result<(), RemoteError> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_folders(parent)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => {
            if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                sync_dir(parent).map_err(RemoteError::io("sync", parent))?;
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(RemoteError::Denied {
            place: folder.display().to_string(),
            detail: format!("cannot create the folder: {error}"),
        }),
        Err(error) => Err(RemoteError::io("create", folder)(error)),
    }
}

impl Bucket for Directory {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RemoteError> {
        let path = self.path(name);
        let read = File::open(&path).and_then(|file| {
            let len = file.metadata()?.len();
            let mut bytes = Vec::new();
            if len <= GET_BYTES_MAX {
                file.take(GET_BYTES_MAX).read_to_end(&mut bytes)?;
            }
            Ok((len, bytes))
        });
        match read {
            Ok((len, _)) if len > GET_BYTES_MAX => Err(too_long(path.display().to_string(), len)),
            Ok((_, bytes)) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", &path)(error)),
        }
    }

    fn get_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, RemoteError> {
        let path = self.path(name);
        let read = File::open(&path).and_then(|file| {
            // What others say of a length is held against the file before memory is taken for it.
            if file.metadata()?.len() < range.end {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let len = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, range.start)?;
            Ok(bytes)
        });
        match read {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(RemoteError::Gone { place: path.display().to_string() })
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(RemoteError::damaged(
                path.display().to_string(),
                format!("it ends before byte {}", range.end),
            )),
            Err(error) => Err(self.failed("read", &path)(error)),
        }
    }

    fn size(&self, name: &str) -> Result<Option<u64>, RemoteError> {
        let path = self.path(name);
        match fs::metadata(&path) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", &path)(error)),
        }
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool, RemoteError> {
        // Short objects are few: one for each push.
        self.sweep();
        self.put(name, |file| file.write_all(bytes))
    }

    fn create_from(&self, name: &str, path: &Path) -> Result<bool, RemoteError> {
        let mut from = File::open(path).map_err(RemoteError::io("read", path))?;
        self.put(name, |file| io::copy(&mut from, file).map(drop))
    }

    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<String>, RemoteError> {
        let path = self.path(folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed("list", &path)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(self.failed("list", &path))?;
            if let Ok(name) = entry.file_name().into_string()
                && name.as_str() > after
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<(), RemoteError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed("remove", &path)(error)),
            _ => Ok(()),
        }
    }
}
