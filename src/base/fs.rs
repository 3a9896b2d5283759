//! Writing files so that they are there whole or not at all, and hashing them.
//!
//! Rests on rename within one directory and on `fsync`. Invariant: a name never points at half-written bytes.

use std::fs::{self, File};
use std::io::{self, BufReader, Write as _};
use std::path::Path;

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
