//! Run files and their merge.
//!
//! Rests on the file system alone. A run knows how many records it holds and how long the longest is, so that damage is
//! an error and never fewer records. Its file goes when the run goes, whatever became of the sort.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// Read and write buffers of run files: large enough that a read of a disk is worth it.
pub(super) const BUFFER_BYTES_MIN: usize = 4 << 10;
const BUFFER_BYTES_MAX: usize = 256 << 10;

/// What happened to a run file. Becomes an [`io::Error`] of the cause's kind.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} the sorted run {}", path.display())]
struct RunError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn because(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |source| io::Error::new(source.kind(), RunError { action, path: path.to_owned(), source })
}

/// A file of sorted records, each behind its length (u32, little-endian). The file goes when this goes.
pub(super) struct Run {
    path: PathBuf,
    records: u64,
    longest: usize,
}

impl Run {
    /// The length of its longest record.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    #[cfg(test)]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A run that cannot be removed is a leftover in a folder of leftovers; nothing else depends on it.
        let _ = fs::remove_file(&self.path);
    }
}

/// A run that is being written.
pub(super) struct RunWriter {
    run: Run,
    file: BufWriter<File>,
}

impl RunWriter {
    /// Makes a file in `dir`, and `dir` where it is missing.
    pub(super) fn create(dir: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(dir).map_err(because("make the folder of", dir))?;
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = dir.join(format!("sort-{}-{number}.run", process::id()));
            match File::create_new(&path) {
                Ok(file) => {
                    let run = Run { path, records: 0, longest: 0 };
                    return Ok(Self { run, file: BufWriter::with_capacity(BUFFER_BYTES_MAX, file) });
                }
                // Left by a killed process that had our number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(because("create", &path)(error)),
            }
        }
    }

    /// Appends one record of less than 4 GiB; not less than the one before.
    pub(super) fn push(&mut self, record: &[u8]) -> io::Result<()> {
        let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.file
            .write_all(&len.to_le_bytes())
            .and_then(|()| self.file.write_all(record))
            .map_err(because("write", &self.run.path))?;
        self.run.records += 1;
        self.run.longest = self.run.longest.max(record.len());
        Ok(())
    }

    /// Writes what is still buffered.
    pub(super) fn finish(mut self) -> io::Result<Run> {
        self.file.flush().map_err(because("write", &self.run.path))?;
        Ok(self.run)
    }
}

struct RunReader {
    run: Run,
    file: BufReader<File>,
    left: u64,
}

impl RunReader {
    fn open(run: Run, buffer_bytes: usize) -> io::Result<Self> {
        let file = File::open(&run.path).map_err(because("open", &run.path))?;
        Ok(Self { file: BufReader::with_capacity(buffer_bytes, file), left: run.records, run })
    }

    /// The number of records is known, so that a file cut short is an error and not an early end.
    fn next_into(&mut self, record: &mut Vec<u8>) -> io::Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        self.read_record(record).map_err(because("read", &self.run.path))?;
        Ok(true)
    }

    fn read_record(&mut self, record: &mut Vec<u8>) -> io::Result<()> {
        let mut len = [0; 4];
        self.file.read_exact(&mut len)?;
        let len = u32::from_le_bytes(len) as usize;
        if len > self.run.longest {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a length is not what was written"));
        }
        record.resize(len, 0);
        self.file.read_exact(record)
    }
}

/// Runs being merged: the next record of each lies in a heap.
pub(super) struct Merge {
    runs: Vec<RunReader>,
    heads: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
}

impl Merge {
    /// Reads the first record of each run. The read buffers share `memory_bytes`.
    pub(super) fn open(runs: Vec<Run>, memory_bytes: usize) -> io::Result<Self> {
        let buffer_bytes = (memory_bytes / (runs.len() + 1)).clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX);
        let mut merge = Self { runs: Vec::with_capacity(runs.len()), heads: BinaryHeap::new() };
        for (i, run) in runs.into_iter().enumerate() {
            let mut reader = RunReader::open(run, buffer_bytes)?;
            let mut record = Vec::new();
            if reader.next_into(&mut record)? {
                merge.heads.push(Reverse((record, i)));
            }
            merge.runs.push(reader);
        }
        Ok(merge)
    }

    /// Replaces `record` by the least that is left; `false` at the end.
    pub(super) fn next_into(&mut self, record: &mut Vec<u8>) -> io::Result<bool> {
        let Some(mut head) = self.heads.peek_mut() else {
            return Ok(false);
        };
        let Reverse((next, run)) = &mut *head;
        // The caller's buffer becomes the one that the run's following record is read into.
        std::mem::swap(record, next);
        if !self.runs[*run].next_into(next)? {
            PeekMut::pop(head);
        }
        Ok(true)
    }
}
