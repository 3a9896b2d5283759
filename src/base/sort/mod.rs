//! Sorting more than memory holds, by spilled runs.
//!
//! Rests on the file system alone. Records are byte strings; they are collected in one buffer, which is sorted and
//! written out as a run whenever it is full, and the runs are merged at the end. What fits is only sorted. Invariant:
//! what comes out is exactly what went in, in byte order, or an error; run files are gone when the sort is dropped.

mod run;

use std::io;
use std::path::PathBuf;

use run::{BUFFER_BYTES_MIN, Merge, Run, RunWriter};

/// The most runs that are merged at once. Each keeps a file open, a read buffer and its next record.
const FAN_IN_MAX: usize = 64;

/// Collects records to be sorted.
pub struct Sorter {
    tmp_dir: PathBuf,
    memory_bytes: usize,
    buffer: Buffer,
    runs: Vec<Run>,
}

impl Sorter {
    /// A sorter that holds about `memory_bytes` of records and spills the others to files in `tmp_dir`, which is made
    /// when the first is written.
    pub fn new(tmp_dir: PathBuf, memory_bytes: usize) -> Self {
        Self { tmp_dir, memory_bytes, buffer: Buffer::default(), runs: Vec::new() }
    }

    /// Adds one record of less than 4 GiB.
    ///
    /// # Errors
    /// When a run cannot be written (disk full, no permission); the sorter is then of no more use.
    pub fn push(&mut self, record: &[u8]) -> io::Result<()> {
        if u32::try_from(record.len()).is_err() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a record to be sorted is 4 GiB or longer",
            ));
        }
        if !self.buffer.entries.is_empty() && self.buffer.bytes_with(record) > self.memory_bytes {
            self.spill()?;
        }
        self.buffer.push(record, self.memory_bytes);
        Ok(())
    }

    /// Ends the input. Where runs were spilled, the first merges happen here.
    ///
    /// # Errors
    /// When a run cannot be written or read back.
    pub fn finish(mut self) -> io::Result<Sorted> {
        self.buffer.sort();
        if self.runs.is_empty() {
            return Ok(Sorted(Source::Memory { buffer: self.buffer, next: 0 }));
        }
        if !self.buffer.entries.is_empty() {
            self.spill()?;
        }
        self.buffer = Buffer::default();
        let mut record = Vec::new();
        loop {
            let fan_in = self.fan_in();
            if self.runs.len() <= fan_in {
                return Merge::open(self.runs, self.memory_bytes).map(|merge| Sorted(Source::Merge(merge)));
            }
            // The oldest runs, and only as many as have to go: what is merged here is written twice.
            let count = fan_in.min(self.runs.len() - fan_in + 1);
            let mut merge = Merge::open(self.runs.drain(..count).collect(), self.memory_bytes)?;
            let mut run = RunWriter::create(&self.tmp_dir)?;
            while merge.next_into(&mut record)? {
                run.push(&record)?;
            }
            self.runs.push(run.finish()?);
        }
    }

    /// How many runs can be merged at once without their next records outgrowing the memory.
    fn fan_in(&self) -> usize {
        let longest = self.runs.iter().map(Run::longest).max().unwrap_or(0);
        (self.memory_bytes / (longest + BUFFER_BYTES_MIN)).clamp(2, FAN_IN_MAX)
    }

    fn spill(&mut self) -> io::Result<()> {
        self.buffer.sort();
        let mut run = RunWriter::create(&self.tmp_dir)?;
        for i in 0..self.buffer.entries.len() {
            run.push(self.buffer.get(i))?;
        }
        self.runs.push(run.finish()?);
        self.buffer.clear(self.memory_bytes);
        Ok(())
    }
}

/// The records in byte order, equal ones as often as they were pushed.
pub struct Sorted(Source);

enum Source {
    Memory {
        buffer: Buffer,
        next: usize,
    },
    Merge(Merge),
    /// An error was given out; whatever followed would have a gap.
    Failed,
}

impl Sorted {
    /// Replaces `record` by the next one; `false` at the end. Saves the allocation that the iterator makes.
    ///
    /// # Errors
    /// When a run cannot be read back. Nothing follows an error.
    pub fn next_into(&mut self, record: &mut Vec<u8>) -> io::Result<bool> {
        let result = match &mut self.0 {
            Source::Memory { buffer, next } if *next < buffer.entries.len() => {
                record.clear();
                record.extend_from_slice(buffer.get(*next));
                *next += 1;
                Ok(true)
            }
            Source::Memory { .. } | Source::Failed => Ok(false),
            Source::Merge(merge) => merge.next_into(record),
        };
        if result.is_err() {
            self.0 = Source::Failed;
        }
        result
    }
}

impl Iterator for Sorted {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut record = Vec::new();
        self.next_into(&mut record).map(|some| some.then_some(record)).transpose()
    }
}

/// Records one behind the other, and where each lies.
#[derive(Default)]
struct Buffer {
    arena: Vec<u8>,
    entries: Vec<(usize, u32)>,
}

impl Buffer {
    const ENTRY_BYTES: usize = size_of::<(usize, u32)>();

    fn bytes_with(&self, record: &[u8]) -> usize {
        self.arena.len() + record.len() + (self.entries.len() + 1) * Self::ENTRY_BYTES
    }

    fn push(&mut self, record: &[u8], memory_bytes: usize) {
        // Doubling, but not beyond the budget: the last doubling would otherwise exceed it by half.
        let needed = self.arena.len() + record.len();
        if needed > self.arena.capacity() {
            let doubled = (self.arena.capacity() * 2).min(memory_bytes).max(needed);
            self.arena.reserve_exact(doubled - self.arena.len());
        }
        // Less than 4 GiB, as `Sorter::push` has checked.
        let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.entries.push((self.arena.len(), len));
        self.arena.extend_from_slice(record);
    }

    fn get(&self, i: usize) -> &[u8] {
        slice(&self.arena, self.entries[i])
    }

    fn sort(&mut self) {
        let Self { arena, entries } = self;
        // The stable sort makes use of runs that are sorted already, of which most callers have long ones.
        entries.sort_by(|&a, &b| slice(arena, a).cmp(slice(arena, b)));
    }

    /// Empties the buffer; memory beyond the budget, which one long record may have taken, is given back.
    fn clear(&mut self, memory_bytes: usize) {
        self.arena.clear();
        self.entries.clear();
        if self.arena.capacity() + self.entries.capacity() * Self::ENTRY_BYTES > memory_bytes {
            *self = Self::default();
        }
    }
}

fn slice(arena: &[u8], (start, len): (usize, u32)) -> &[u8] {
    &arena[start..start + len as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs::{self, File};
    use std::path::Path;

    fn run_files(dir: &Path) -> usize {
        fs::read_dir(dir).map_or(0, Iterator::count)
    }

    fn sort(records: &[Vec<u8>], memory_bytes: usize) -> io::Result<Vec<Vec<u8>>> {
        let dir = tempfile::tempdir()?;
        let tmp_dir = dir.path().join("made/when/needed");
        let mut sorter = Sorter::new(tmp_dir.clone(), memory_bytes);
        for record in records {
            sorter.push(record)?;
        }
        let sorted = sorter.finish()?.collect();
        assert_eq!(run_files(&tmp_dir), 0, "no run file outlives the sort");
        sorted
    }

    /// Deterministic records of 0 to 12 bytes with many that are equal or a prefix of another.
    fn records(count: usize) -> Vec<Vec<u8>> {
        let mut state = 7_u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..count).map(|_| (0..byte() % 13).map(|_| byte() & 3).collect()).collect()
    }

    #[test]
    fn one_pass_and_several_passes_of_merging_give_the_sorted_records() {
        let records = records(600);
        let mut expected = records.clone();
        expected.sort();
        // From everything in memory down to a run for each record, which takes merges of merges.
        for memory_bytes in [usize::MAX, 20_000, 2_000, 100, 0] {
            let sorted = sort(&records, memory_bytes).expect("sorted");
            assert_eq!(sorted, expected, "{memory_bytes} bytes of memory");
        }
    }

    #[test]
    fn what_fits_makes_no_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let tmp_dir = dir.path().join("tmp");
        let mut sorter = Sorter::new(tmp_dir.clone(), 1 << 20);
        for record in records(1_000) {
            sorter.push(&record).expect("pushed");
        }
        assert_eq!(sorter.finish().expect("sorted").count(), 1_000);
        assert!(!tmp_dir.exists());
    }

    #[test]
    fn a_record_longer_than_the_memory_is_sorted_too() {
        let records = vec![vec![9; 100_000], vec![1], vec![9; 99_999], vec![0; 50_000], Vec::new()];
        let mut expected = records.clone();
        expected.sort();
        assert_eq!(sort(&records, 1_000).expect("sorted"), expected);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("in-the-way");
        fs::write(&file, b"").expect("written");
        let mut sorter = Sorter::new(file.clone(), 0);
        sorter.push(b"b").expect("the first record is only kept");
        let error = sorter.push(b"a").expect_err("no run can be written");
        assert!(error.to_string().contains("in-the-way"), "{error}");
    }

    /// Whatever is cut off a run, the sort ends in one error and never in fewer records.
    #[test]
    fn a_run_that_was_cut_short_is_an_error() {
        for cut in 1..=10 {
            let dir = tempfile::tempdir().expect("a folder");
            let mut sorter = Sorter::new(dir.path().to_owned(), 0);
            for record in [b"c", b"b", b"a"] {
                sorter.push(record).expect("pushed");
            }
            // Two runs of one record of five bytes each are written by now.
            let run = &sorter.runs[cut / 6];
            let file = File::options().write(true).open(run.path()).expect("a run");
            file.set_len(5 - ((cut - 1) % 5 + 1) as u64).expect("cut");
            let items: Vec<_> = match sorter.finish() {
                Ok(sorted) => sorted.collect(),
                Err(error) => vec![Err(error)],
            };
            let (last, others) = items.split_last().expect("at least the error");
            let error = last.as_ref().expect_err("the last item is the error");
            assert!(error.to_string().contains("read the sorted run"), "{error}");
            assert!(others.iter().all(Result::is_ok));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_agrees_with_sorting_in_memory(
            records in prop::collection::vec(prop::collection::vec(0_u8..4, 0..8), 0..200),
            memory_bytes in 0_usize..2_000,
        ) {
            let mut expected = records.clone();
            expected.sort();
            prop_assert_eq!(sort(&records, memory_bytes).expect("sorted"), expected);
        }
    }
}
