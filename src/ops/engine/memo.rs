//! The memo: the facts of the last run, so that the next one computes only what changed.
//!
//! Rests on a file below `.distill/index/memo/`, which is a cache: named by the datasets it speaks of, hashed as a whole,
//! and taken for absent when anything about it is wrong. Invariant: a run with a memo and a run without one end with the
//! same datasets; only the time differs.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::object::ObjectId;
use crate::ops::engine::facts::UnitFact;
use crate::ops::engine::inputs::Prefix;
use crate::ops::engine::watch::Watched;
use crate::ops::error::OpError;

/// How facts are written; a memo of another version is taken for absent.
pub(crate) const MEMO_VERSION: u32 = 6;
/// Facts to a frame.
pub(crate) const FRAME_UNITS: usize = 2048;
/// Memos kept: enough to step back and forth between a few commits.
const KEPT: usize = 4;
/// Longest frame that is believed, in bytes.
const FRAME_BYTES_MAX: u32 = 1 << 30;

/// What a memo says of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileMemo {
    /// The file's name.
    pub name: String,
    /// Names everything that evidence depends on besides the file: spec, lookups, stage version.
    pub map_stamp: ObjectId,
    /// Names everything that scores and exports depend on besides the evidence.
    pub derive_stamp: ObjectId,
    /// The known part of the file.
    pub prefix: Prefix,
    /// All of the file that was read.
    pub whole: Prefix,
    /// Facts in the memo: the units of the prefix, and those read beyond it.
    pub facts: u64,
    /// What its rows hold.
    pub watched: Watched,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Index {
    files: Vec<FileMemo>,
}

/// The name of the memo that speaks of these datasets under this configuration.
pub(crate) fn path(index_dir: &Path, key: &ObjectId) -> PathBuf {
    index_dir.join("memo").join(format!("{}.memo", key.short(32)))
}

/// Writes a memo, frame by frame, in source order.
pub(crate) struct MemoWriter {
    tmp: PathBuf,
    output: zstd::stream::write::Encoder<'static, BufWriter<File>>,
    frame: Vec<UnitFact>,
    index: Index,
    facts: u64,
}

impl MemoWriter {
    /// Begins a memo under a temporary name in `tmp_dir`.
    pub(crate) fn new(tmp_dir: &Path) -> Result<Self, OpError> {
        let tmp = tmp_dir.join("memo");
        let begin = || -> io::Result<_> {
            fs::create_dir_all(tmp_dir)?;
            zstd::stream::write::Encoder::new(BufWriter::new(File::create(&tmp)?), 1)
        };
        let output = begin().map_err(|e| OpError::io("write", &tmp, &e))?;
        Ok(Self { tmp, output, frame: Vec::new(), index: Index::default(), facts: 0 })
    }

    /// Appends the fact of the current file's next unit.
    pub(crate) fn push(&mut self, fact: UnitFact) -> Result<(), OpError> {
        self.frame.push(fact);
        self.facts += 1;
        if self.frame.len() >= FRAME_UNITS { self.flush() } else { Ok(()) }
    }

    /// Ends the current file.
    pub(crate) fn end_file(&mut self, mut file: FileMemo) -> Result<(), OpError> {
        self.flush()?;
        file.facts = std::mem::take(&mut self.facts);
        self.index.files.push(file);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), OpError> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let frame = std::mem::take(&mut self.frame);
        self.frame_bytes(&encode(&frame)).map_err(|e| OpError::io("write", &self.tmp, &e))
    }

    fn frame_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.output.write_all(&len.to_le_bytes())?;
        self.output.write_all(bytes)
    }

    /// Puts the memo in place under the name for `key`, and drops the oldest ones.
    pub(crate) fn finish(self, index_dir: &Path, key: &ObjectId) -> io::Result<()> {
        let Self { tmp, output, index, .. } = self;
        let mut file = output.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        let index = encode(&index);
        file.write_all(&index)?;
        file.write_all(&(index.len() as u64).to_le_bytes())?;
        file.flush()?;
        let hash = ObjectId::from_bytes(crate::base::fs::hash(&tmp)?);
        file.write_all(hash.as_bytes())?;
        drop(file);
        let path = path(index_dir, key);
        let folder = index_dir.join("memo");
        fs::create_dir_all(&folder)?;
        fs::rename(&tmp, &path)?;
        let mut memos: Vec<_> = fs::read_dir(&folder)?
            .filter_map(|entry| {
                entry.ok().and_then(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
            })
            .collect();
        memos.sort();
        for (_, old) in memos.iter().rev().skip(KEPT) {
            fs::remove_file(old).ok();
        }
        Ok(())
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Facts are plain data; there is nothing in them that this encoding refuses.
    postcard::to_stdvec(value).unwrap_or_default()
}

/// Reads a memo in source order.
pub(crate) struct MemoReader {
    files: std::vec::IntoIter<FileMemo>,
    input: zstd::stream::read::Decoder<'static, BufReader<io::Take<File>>>,
}

impl MemoReader {
    /// Opens the memo for `key`; `None` when there is none or it is not whole.
    pub(crate) fn open(index_dir: &Path, key: &ObjectId) -> Option<Self> {
        let path = path(index_dir, key);
        let mut file = File::open(&path).ok()?;
        let len = file.metadata().ok()?.len();
        let body = len.checked_sub(32)?;
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut BufReader::with_capacity(256 << 10, (&mut file).take(body)), &mut hasher).ok()?;
        let mut hash = [0; 32];
        file.read_exact(&mut hash).ok()?;
        if hasher.finalize() != blake3::Hash::from_bytes(hash) {
            return None;
        }
        file.seek(io::SeekFrom::Start(body.checked_sub(8)?)).ok()?;
        let mut size = [0; 8];
        file.read_exact(&mut size).ok()?;
        let frames = body.checked_sub(8)?.checked_sub(u64::from_le_bytes(size))?;
        file.seek(io::SeekFrom::Start(frames)).ok()?;
        let mut index = Vec::new();
        (&mut file).take(u64::from_le_bytes(size)).read_to_end(&mut index).ok()?;
        let index: Index = postcard::from_bytes(&index).ok()?;
        file.rewind().ok()?;
        let input = zstd::stream::read::Decoder::new(file.take(frames)).ok()?;
        Some(Self { files: index.files.into_iter(), input })
    }

    /// What the memo says of each file, in source order.
    pub(crate) fn files(&self) -> &[FileMemo] {
        self.files.as_slice()
    }

    /// The next file; its facts must all be read before the one after it.
    pub(crate) fn next_file(&mut self) -> Option<FileMemo> {
        self.files.next()
    }

    /// The next facts of the current file, [`FRAME_UNITS`] at most.
    pub(crate) fn next_facts(&mut self) -> io::Result<Vec<UnitFact>> {
        let mut len = [0; 4];
        self.input.read_exact(&mut len)?;
        let len = u32::from_le_bytes(len);
        if len > FRAME_BYTES_MAX {
            return Err(io::Error::other("a frame of the memo is too long"));
        }
        let mut frame = vec![0; len as usize];
        self.input.read_exact(&mut frame)?;
        postcard::from_bytes(&frame).map_err(io::Error::other)
    }
}
