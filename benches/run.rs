//! How fast the two things are that every byte passes through: canonical JSON, and a whole run.
//!
//! `cargo bench --bench run` prints medians of five and ratios, all measured in one process on one machine, so that the
//! ratios mean something where the absolute figures do not. `docs/benchmarks.md` keeps one output. Rests on the
//! library for the first half and on the program itself, as a user starts it, for the second.

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::io;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use distill::base::json::canonicalize;
use tempfile::TempDir;

/// Rows of the sample.
const ROWS: u32 = 20_000;
/// Times that everything is done.
const TIMES: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    let sample = Place::new()?;
    let rows = sample.rows()?;
    let bytes: usize = rows.iter().map(Vec::len).sum();
    let mebibytes = f64::from(u32::try_from(bytes)?) / f64::from(1 << 20);
    writeln!(out, "sample                 {ROWS} rows, {mebibytes:.1} MiB, medians of {TIMES}")?;

    let own = median(|| Ok(timed(|| canonical(&rows))))?;
    let serde = median(|| Ok(timed(|| parsed_and_written(&rows))))?;
    let speed = |time: Duration| mebibytes / time.as_secs_f64();
    writeln!(out, "canonicalise           {:>8.1} MiB/s", speed(own))?;
    writeln!(out, "serde_json, sorted     {:>8.1} MiB/s", speed(serde))?;
    writeln!(out, "  ratio                {:>8.2}", serde.as_secs_f64() / own.as_secs_f64())?;

    let mut unchanged = Vec::new();
    let first = median(|| {
        let place = Place::new()?;
        let first = place.run_all()?;
        unchanged.push(place.run_all()?);
        Ok(first)
    })?;
    let unchanged = middle(&mut unchanged);
    let speed = |time: Duration| f64::from(ROWS) / time.as_secs_f64();
    writeln!(out, "run-all, first         {:>8.0} rows/s  {:>7.3} s", speed(first), first.as_secs_f64())?;
    writeln!(
        out,
        "run-all, unchanged     {:>8.0} rows/s  {:>7.3} s",
        speed(unchanged),
        unchanged.as_secs_f64()
    )?;
    writeln!(out, "  ratio                {:>8.2}", first.as_secs_f64() / unchanged.as_secs_f64())?;
    Ok(())
}

/// A repository with this one's configuration over a generated sample; gone when it is dropped.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Result<Self, Box<dyn Error>> {
        let place = Self { folder: TempDir::new()? };
        let (from, to) =
            (Path::new(env!("CARGO_MANIFEST_DIR")).join(".distill"), place.path().join(".distill"));
        fs::create_dir_all(to.join("sources"))?;
        for file in ["config.toml", "policy.toml"] {
            fs::copy(from.join(file), to.join(file))?;
        }
        for spec in fs::read_dir(from.join("sources"))? {
            let spec = spec?;
            fs::copy(spec.path(), to.join("sources").join(spec.file_name()))?;
        }
        place.distill(&["sample", "fixtures/lakehouse", "--rows", &ROWS.to_string()])?;
        Ok(place)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn distill(&self, args: &[&str]) -> Result<(), Box<dyn Error>> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
        let status =
            command.args(args).arg("--quiet").current_dir(self.path()).stdout(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(format!("distill {args:?}: {status}").into()) }
    }

    /// From the start of the program to its end: everything is published and synced then.
    fn run_all(&self) -> Result<Duration, Box<dyn Error>> {
        let start = Instant::now();
        self.distill(&["run-all"])?;
        Ok(start.elapsed())
    }

    /// The lines of all streams.
    fn rows(&self) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
        let mut rows = Vec::new();
        for file in fs::read_dir(self.path().join("fixtures/lakehouse/data/_kb"))? {
            let bytes = fs::read(file?.path())?;
            rows.extend(bytes.split(|&b| b == b'\n').filter(|row| !row.is_empty()).map(<[u8]>::to_vec));
        }
        Ok(rows)
    }
}

/// The canonical form of each row, as a run makes it; what is no JSON is refused and costs what refusing costs.
fn canonical(rows: &[Vec<u8>]) {
    let mut out = Vec::new();
    for row in rows {
        out.clear();
        black_box(canonicalize(black_box(row), &mut out).is_ok());
        black_box(&out);
    }
}

/// The same by `serde_json`: parsed into its map, which is ordered, and written. Not the canonical form: bytes order the
/// keys, integers beyond 64 bits become floats, keys that occur twice pass.
fn parsed_and_written(rows: &[Vec<u8>]) {
    let mut out = Vec::new();
    for row in rows {
        out.clear();
        if let Ok(value) = serde_json::from_slice::<serde_json::Value>(black_box(row)) {
            black_box(serde_json::to_writer(&mut out, &value).is_ok());
        }
        black_box(&out);
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut work: impl FnMut() -> Result<Duration, Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let mut times = (0..TIMES).map(|_| work()).collect::<Result<Vec<_>, _>>()?;
    Ok(middle(&mut times))
}

fn middle(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
