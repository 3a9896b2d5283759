//! Both digests of a file at once, as it goes by.
//!
//! Rests on BLAKE3 and SHA-256. Invariant: what is digested is exactly what was handed on.

use std::io;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::object::ObjectId;

/// Length and digests of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Digests {
    /// Its length in bytes.
    pub bytes: u64,
    /// BLAKE3-256, as `b3sum` prints it.
    pub blake3: ObjectId,
    /// SHA-256 in hexadecimal digits, as `sha256sum` prints it.
    pub sha256: String,
}

impl Digests {
    /// Whether `digest` (64 hexadecimal digits) is one of the two.
    pub fn has(&self, digest: &str) -> bool {
        self.sha256 == digest || self.blake3.to_string() == digest
    }
}

/// Counts and digests bytes.
#[derive(Clone, Debug, Default)]
pub struct Digester {
    bytes: u64,
    blake3: blake3::Hasher,
    sha256: Sha256,
}

impl Digester {
    /// Takes bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.blake3.update(bytes);
        self.sha256.update(bytes);
    }

    /// How many bytes were taken in.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digests of all that was taken in.
    pub fn finish(self) -> Digests {
        Digests {
            bytes: self.bytes,
            blake3: ObjectId::from_bytes(*self.blake3.finalize().as_bytes()),
            sha256: hex::encode(self.sha256.finalize()),
        }
    }

    /// The digests of all that a reader gives.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn read(mut from: impl io::Read) -> io::Result<Digests> {
        let mut digester = Self::default();
        io::copy(&mut from, &mut digester)?;
        Ok(digester.finish())
    }
}

impl io::Write for Digester {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes on to `inner` and digests what it took.
#[derive(Debug)]
pub struct Digested<W> {
    inner: W,
    digester: Digester,
}

impl<W: io::Write> Digested<W> {
    /// Nothing is digested yet.
    pub fn new(inner: W) -> Self {
        Self { inner, digester: Digester::default() }
    }

    /// The digests of what was written, and the writer.
    pub fn finish(self) -> (Digests, W) {
        (self.digester.finish(), self.inner)
    }
}

impl<W: io::Write> io::Write for Digested<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.inner.write(bytes)?;
        self.digester.update(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// Takes three bytes at a time.
    struct Slow(Vec<u8>);

    impl io::Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(3);
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_was_taken_is_digested_once() {
        let mut out = Digested::new(Slow(Vec::new()));
        out.write_all(b"abcdefgh").expect("memory");
        let (digests, inner) = out.finish();
        assert_eq!(inner.0, b"abcdefgh");
        assert_eq!(digests, Digester::read(&b"abcdefgh"[..]).expect("memory"));
        assert_eq!(digests.blake3, ObjectId::of(b"abcdefgh"));
        assert!(digests.sha256.starts_with("9c56cc51") && digests.bytes == 8);
        assert!(digests.has(&digests.sha256) && !digests.has("00"));
    }
}
