//! Makes the bundled sample: twelve streams that stand for what an agent platform logs.
//!
//! Rests on a seeded generator of its own and on nothing that it is used to test: not the canonicaliser, not the
//! pipeline, no clock. Invariant: the same options give the same bytes. [`Shape::Freeze`] is the fixture of 1,052 rows
//! whose exports are foretold by its [`plan`]; [`Shape::Bulk`] is as long as asked and streams in constant memory.

mod bulk;
mod dirt;
mod freeze;
mod json;
pub mod plan;
mod rng;
mod row;
mod streams;
mod tables;
mod text;
mod words;

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::BufWriter;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

pub use tables::STREAMS;

use bulk::Bulk;
use plan::FREEZE_ROWS;

/// The seed of the fixture in `fixtures/lakehouse`.
pub const FREEZE_SEED: u64 = 20_260_105;

/// What the sample looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// 1,052 rows with every kind of dirt, from which 446 RAG rows, 351 SFT rows and 83 pairs come.
    #[default]
    Freeze,
    /// Any number of rows of about 1 KB, a similar mix with little dirt.
    Bulk,
}

/// What to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleOptions {
    /// Lines over all streams; the freeze sample has [`FREEZE_ROWS`].
    pub rows: u64,
    /// Another seed gives other texts and another order, and the same counts.
    pub seed: u64,
    /// The shape.
    pub shape: Shape,
}

impl Default for SampleOptions {
    /// The committed fixture.
    fn default() -> Self {
        Self { rows: FREEZE_ROWS, seed: FREEZE_SEED, shape: Shape::Freeze }
    }
}

/// What was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleReport {
    /// Each file, relative to the folder written to, with its lines and bytes; in the order of writing.
    pub files: Vec<SampleFile>,
}

/// One file of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleFile {
    /// Path with `/`.
    pub path: String,
    /// Lines, an unterminated one included.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Why no sample was made.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The freeze sample is what it is.
    #[error("the freeze sample has {FREEZE_ROWS} rows, not {0}")]
    FreezeRows(u64),
    /// Files there are not written over unless that is asked for.
    #[error("{0} exists already")]
    Exists(PathBuf),
    /// A file could not be written.
    #[error("cannot write {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Calls `sink` with each line of the sample, its line ending included, stream after stream: the file, relative to the
/// base folder, and the bytes.
///
/// # Errors
/// [`SampleError::FreezeRows`], or what `sink` says, as [`SampleError::Io`] with the file it was given.
pub fn generate(
    options: SampleOptions,
    sink: &mut dyn FnMut(&str, &[u8]) -> io::Result<()>,
) -> Result<SampleReport, SampleError> {
    if options.shape == Shape::Freeze && options.rows != FREEZE_ROWS {
        return Err(SampleError::FreezeRows(options.rows));
    }
    let mut report = SampleReport::default();
    let mut before = 0;
    for plan in &STREAMS {
        let mut file = SampleFile { path: plan.file(), rows: 0, bytes: 0 };
        let path = file.path.clone();
        let mut line = |bytes: &[u8]| {
            file.rows += 1;
            file.bytes += bytes.len() as u64;
            sink(&path, bytes).map_err(|source| SampleError::Io { path: PathBuf::from(&path), source })
        };
        let share = (share_of(options.rows, before), share_of(options.rows, before + plan.rows()));
        before += plan.rows();
        match options.shape {
            Shape::Freeze => freeze::each_line(plan, options.seed, &mut line)?,
            Shape::Bulk => {
                let rows = share.1 - share.0;
                let bulk = Bulk::new(plan.stream, options.seed, rows);
                let mut out = Vec::with_capacity(2048);
                for serial in 0..rows {
                    out.clear();
                    bulk.write(serial, &mut out);
                    line(&out)?;
                }
            }
        }
        if file.rows > 0 {
            report.files.push(file);
        }
    }
    Ok(report)
}

/// How many of `rows` fall to the first `part` rows of the plan.
fn share_of(rows: u64, part: u64) -> u64 {
    u64::try_from(u128::from(rows) * u128::from(part) / u128::from(FREEZE_ROWS)).unwrap_or(u64::MAX)
}

/// Writes the sample's files below `folder`, made where it is missing. Without `overwrite`, a file that is there
/// already stops the work before anything is written.
///
/// # Errors
/// See [`SampleError`]. After an error of the disk, files may be incomplete.
pub fn write_files(
    options: SampleOptions,
    folder: &Path,
    overwrite: bool,
) -> Result<SampleReport, SampleError> {
    if !overwrite && let Some(plan) = STREAMS.iter().find(|plan| folder.join(plan.file()).exists()) {
        return Err(SampleError::Exists(folder.join(plan.file())));
    }
    let mut open: Option<(String, BufWriter<File>)> = None;
    let report = generate(options, &mut |name, bytes| {
        if open.as_ref().is_none_or(|(current, _)| current != name) {
            if let Some((_, mut done)) = open.take() {
                done.flush()?;
            }
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
            open = Some((name.to_owned(), BufWriter::with_capacity(1 << 18, file)));
        }
        open.as_mut().map_or(Ok(()), |(_, writer)| writer.write_all(bytes))
    })?;
    if let Some((name, mut last)) = open {
        last.flush().map_err(|source| SampleError::Io { path: folder.join(name), source })?;
    }
    Ok(report)
}
