//! Unpacking gzip, zstd and Inspect's archives by the ending of a file's name.
//!
//! Rests on `flate2`, `zstd` and `archive`. Invariant: an error of the packed stream (damaged, cut off) is told apart from an error
//! of reading the file, so that the one is the file's fate and the other is the machine's.

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::archive::Log;
use super::archive::MAGIC;

/// Reason code of a file whose packed stream is damaged or cut off.
pub const BAD_COMPRESSION: &str = "bad_compression";

const BUFFER_BYTES: usize = 256 << 10;

/// A reader of the unpacked bytes: `.gz` is gzip (several members are one stream), `.zst` is zstd, `.eval` is the JSON
/// log in an archive of Inspect, all else is read as it is.
///
/// # Errors
/// When a zstd decoder cannot be set up, or the first bytes of a `.eval` file cannot be read.
pub fn decoder<'r>(name: &str, reader: impl Read + 'r) -> io::Result<Box<dyn BufRead + 'r>> {
    let ending =
        name.rsplit('/').next().and_then(|file| file.rsplit_once('.')).map_or("", |(_, ending)| ending);
    let failed = Arc::new(AtomicBool::new(false));
    let tap = Tap { reader, failed: Arc::clone(&failed) };
    Ok(match ending {
        "gz" => {
            let inner = flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, tap));
            Box::new(BufReader::with_capacity(BUFFER_BYTES, Unpacked { inner, failed }))
        }
        "zst" => {
            let inner = zstd::stream::read::Decoder::new(tap)?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, Unpacked { inner, failed }))
        }
        "eval" => {
            let mut packed = BufReader::with_capacity(BUFFER_BYTES, tap);
            if !packed.fill_buf()?.starts_with(MAGIC) {
                return Ok(Box::new(packed));
            }
            let inner = Log::new(packed);
            Box::new(BufReader::with_capacity(BUFFER_BYTES, Unpacked { inner, failed }))
        }
        _ => Box::new(BufReader::with_capacity(BUFFER_BYTES, tap)),
    })
}

/// Does this error say that the packed stream is damaged or cut off?
pub fn is_bad_compression(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<BadCompression>()).is_some()
}

#[derive(Debug, thiserror::Error)]
#[error("the compressed stream is damaged or cut off: {0}")]
struct BadCompression(io::Error);

/// Remembers whether the file itself failed.
struct Tap<R> {
    reader: R,
    failed: Arc<AtomicBool>,
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.reader.read(buffer);
        if result.as_ref().is_err_and(|e| e.kind() != io::ErrorKind::Interrupted) {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }
}

/// Names the errors that come from unpacking.
struct Unpacked<D> {
    inner: D,
    failed: Arc<AtomicBool>,
}

impl<D: Read> Read for Unpacked<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|e| {
            if e.kind() == io::ErrorKind::Interrupted || self.failed.load(Ordering::Relaxed) {
                e
            } else {
                io::Error::new(io::ErrorKind::InvalidData, BadCompression(e))
            }
        })
    }
}
