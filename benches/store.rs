//! What the store costs: rows kept, a second version, verification, checkout, diff, and small questions.
//!
//! `cargo bench --bench store` prints medians, with `git add` and `git commit` over the same files in the same run where
//! git is there. `DISTILL_BENCH_ROWS` sets the rows of the sample (20,000), `DISTILL_BENCH_TIMES` how often each thing is
//! done (3). CPU time is that of the program alone, user and system, from `/proc/self/stat` (ticks of 10 ms, so that
//! small samples are coarse). Rests on the program itself, as a user starts it. `docs/benchmarks.md` keeps one output.

use std::error::Error;
use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

type Done<T> = Result<T, Box<dyn Error>>;

/// Times a question that takes milliseconds is asked.
const QUESTIONS: usize = 21;
/// Rows that differ between the two commits that are compared.
const CHANGES: usize = 100;
/// One row in so many is changed for a second version.
const CHANGED_EACH: usize = 333;

fn main() -> Done<()> {
    let mut out = io::stdout().lock();
    let rows: u32 = setting("DISTILL_BENCH_ROWS", 20_000)?;
    let times: usize = setting("DISTILL_BENCH_TIMES", 3)?;
    let sample = Place::new()?;
    sample.distill(&["sample", "fixtures/lakehouse", "--rows", &rows.to_string()])?;
    let input = bytes_below(&sample.sources())?;
    writeln!(out, "sample                    {rows} rows, {:.1} MB, medians of {times}", mb(input))?;

    let mut repository = sample.copy()?;
    let git = median(times, || {
        repository = sample.copy()?;
        repository.git()
    })?;
    if let Some((cpu, bytes)) = git {
        line(&mut out, "git add, git commit", cpu, bytes, input)?;
    }
    let mut kept = sample.copy()?;
    let first = median(times, || {
        kept = sample.copy()?;
        kept.ingest()
    })?;
    line(&mut out, "ingest", first.0, first.1, input)?;
    if let Some((cpu, _)) = git {
        writeln!(out, "  CPU, of git's           {:>8.2}", first.0 / cpu)?;
    }
    let versions: [(&str, fn(&[u8]) -> Vec<u8>); 3] =
        [("0.3 % appended", appended), ("0.3 % edited, together", together), ("0.3 % edited, apart", apart)];
    for (name, edit) in versions {
        let (cpu, bytes) = median(times, || {
            let place = kept.copy()?;
            place.edit(edit)?;
            place.ingest()
        })?;
        let growth = bytes - first.1;
        writeln!(
            out,
            "{name:<24}{cpu:>8.2} s CPU {:>8.2} MB  {:>5.2} of the first",
            mb(growth),
            cpu / first.0
        )?;
    }

    let compared = kept.copy()?;
    compared.edit(few)?;
    compared.ingest()?;
    let report = compared.json(&["diff", "HEAD~1", "HEAD", "--records"])?;
    let changed = report["records"].as_array().map_or(0, Vec::len);
    let wall = compared.asked(&["diff", "HEAD~1", "HEAD"])?;
    let records = compared.asked(&["diff", "HEAD~1", "HEAD", "--records"])?;
    writeln!(out, "diff, {changed} rows changed   {:>8} nodes read", report["nodes_read"])?;
    writeln!(out, "  counts                {wall:>8.1} ms")?;
    writeln!(out, "  --records             {records:>8.1} ms")?;
    let id = report["records"][0]["after"].as_str().unwrap_or_default().to_owned();

    sample.distill(&["run-all"])?;
    let store = bytes_below(&sample.path().join(".distill"))?;
    writeln!(out, "run-all, whole store    {:>8.1} MB {:>14.2} of the input", mb(store), store / input)?;
    let content = sample.json(&["verify"])?["covered"]["packed_bytes"].as_f64().unwrap_or(0.0);
    let verify = median(times, || Ok(cpu_of(|| sample.distill(&["verify"]))?.0))?;
    writeln!(out, "verify                  {:>8.1} MB/s of content for each core", mb(content) / verify)?;
    let (wall, written) = median(times, || {
        let target = TempDir::new()?;
        let folder = target.path().join("out");
        let start = Instant::now();
        sample.distill(&["checkout", "HEAD", "--to", &folder.to_string_lossy()])?;
        Ok((start.elapsed().as_secs_f64(), bytes_below(&folder.join("exports"))?))
    })?;
    writeln!(out, "checkout of exports     {:>8.1} MB/s, {:.1} MB", mb(written) / wall, mb(written))?;

    let file = format!("HEAD:{}", repository.first_source()?);
    let theirs = |args: &[&str]| git.map(|_| repository.git_asked(args)).transpose();
    question(
        &mut out,
        "cat of a record",
        compared.asked(&["cat", &id])?,
        theirs(&["cat-file", "blob", &file])?,
    )?;
    question(&mut out, "log -n 1", sample.asked(&["log", "-n", "1"])?, theirs(&["log", "-n", "1"])?)?;
    let start = asked(|| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
        command.arg("--version");
        command
    })?;
    question(&mut out, "--version", start, theirs(&["--version"])?)?;
    question(&mut out, "the smallest program", asked(|| Command::new("true"))?, None)?;
    Ok(())
}

fn line(out: &mut impl Write, name: &str, cpu: f64, bytes: f64, input: f64) -> io::Result<()> {
    writeln!(out, "{name:<24}{cpu:>8.2} s CPU {:>8.1} MB  {:>5.2} of the input", mb(bytes), bytes / input)
}

fn question(out: &mut impl Write, name: &str, wall: f64, git: Option<f64>) -> io::Result<()> {
    let git = git.map_or_else(String::new, |git| format!("   git {git:>6.1} ms, ratio {:.2}", wall / git));
    writeln!(out, "{name:<24}{wall:>8.1} ms{git}")
}

/// Milliseconds from the start of a program to its end, in the median.
fn asked(program: impl Fn() -> Command) -> Done<f64> {
    median(QUESTIONS, || {
        let mut command = program();
        let start = Instant::now();
        let status = command.stdout(Stdio::null()).status()?;
        let wall = start.elapsed().as_secs_f64() * 1000.0;
        if status.success() { Ok(wall) } else { Err(format!("{command:?}: {status}").into()) }
    })
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> Done<T>
where
    T::Err: Error + 'static,
{
    std::env::var(name).map_or(Ok(default), |text| Ok(text.parse()?))
}

fn mb(bytes: f64) -> f64 {
    bytes / 1e6
}

/// The row with one byte more, which makes another row of it. Broken rows stay as broken as they are.
fn other(line: &[u8]) -> Vec<u8> {
    let at = line.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
    [&line[..at], b" ", &line[at..]].concat()
}

fn appended(text: &[u8]) -> Vec<u8> {
    let mut all = text.to_vec();
    if all.last().is_some_and(|last| *last != b'\n') {
        all.push(b'\n');
    }
    for line in text.split_inclusive(|byte| *byte == b'\n').step_by(CHANGED_EACH) {
        all.extend(other(line));
        if all.last().is_some_and(|last| *last != b'\n') {
            all.push(b'\n');
        }
    }
    all
}

fn lines(text: &[u8]) -> usize {
    text.split_inclusive(|byte| *byte == b'\n').count()
}

fn together(text: &[u8]) -> Vec<u8> {
    let count = lines(text) / CHANGED_EACH;
    edited(text, |number| number < count)
}

fn apart(text: &[u8]) -> Vec<u8> {
    edited(text, |number| number % CHANGED_EACH == 0)
}

/// The share of one file, where there are twelve.
fn few(text: &[u8]) -> Vec<u8> {
    let each = lines(text) / CHANGES.div_ceil(12) + 1;
    edited(text, |number| number % each == 0)
}

fn edited(text: &[u8], chosen: impl Fn(usize) -> bool) -> Vec<u8> {
    let lines = text.split_inclusive(|byte| *byte == b'\n').enumerate();
    lines.flat_map(|(n, line)| if chosen(n) { other(line) } else { line.to_vec() }).collect()
}

/// A repository with this one's configuration; gone when it is dropped.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Done<Self> {
        let place = Self { folder: TempDir::new()? };
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(".distill");
        for part in ["config.toml", "policy.toml", "sources"] {
            copy(&from.join(part), &place.path().join(".distill").join(part))?;
        }
        Ok(place)
    }

    fn copy(&self) -> Done<Self> {
        let place = Self { folder: TempDir::new()? };
        copy(self.path(), place.path())?;
        Ok(place)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn sources(&self) -> PathBuf {
        self.path().join("fixtures/lakehouse")
    }

    fn edit(&self, edit: fn(&[u8]) -> Vec<u8>) -> Done<()> {
        for file in fs::read_dir(self.sources().join("data/_kb"))? {
            let path = file?.path();
            fs::write(&path, edit(&fs::read(&path)?))?;
        }
        Ok(())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
        command.args(args).arg("--quiet").current_dir(self.path()).stdout(Stdio::null());
        command
    }

    fn distill(&self, args: &[&str]) -> Done<()> {
        let status = self.command(args).status()?;
        if status.success() { Ok(()) } else { Err(format!("distill {args:?}: {status}").into()) }
    }

    fn json(&self, args: &[&str]) -> Done<Value> {
        let output = self.command(args).arg("--json").stdout(Stdio::piped()).output()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// CPU seconds of an ingest, and the bytes of the packs after it.
    fn ingest(&self) -> Done<(f64, f64)> {
        let args = ["ingest", "--accept-source-loss", "--no-files"];
        let (cpu, ()) = cpu_of(|| self.distill(&args))?;
        Ok((cpu, bytes_below(&self.path().join(".distill/packs"))?))
    }

    /// The same for git; nothing where there is no git.
    fn git(&self) -> Done<Option<(f64, f64)>> {
        let git = |args: &[&str]| {
            let mut command = Command::new("git");
            command.args(["-c", "gc.auto=0", "-c", "user.name=bench", "-c", "user.email=bench@localhost"]);
            command.args(args).current_dir(self.sources()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status()
        };
        if git(&["init", "-q"]).is_err() {
            return Ok(None);
        }
        let (cpu, ()) = cpu_of(|| {
            let ended = git(&["add", "-A"])?.success() && git(&["commit", "-qm", "one"])?.success();
            if ended { Ok(()) } else { Err("git failed".into()) }
        })?;
        Ok(Some((cpu, bytes_below(&self.sources().join(".git"))?)))
    }

    fn asked(&self, args: &[&str]) -> Done<f64> {
        asked(|| self.command(args))
    }

    fn git_asked(&self, args: &[&str]) -> Done<f64> {
        asked(|| {
            let mut command = Command::new("git");
            command.args(args).current_dir(self.sources());
            command
        })
    }

    /// A source file, as git names it.
    fn first_source(&self) -> Done<String> {
        let mut names = fs::read_dir(self.sources().join("data/_kb"))?
            .map(|file| Ok(file?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(format!("data/_kb/{}", names.first().ok_or("no source file")?))
    }
}

fn copy(from: &Path, to: &Path) -> Done<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        fs::copy(from, to)?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "sizes for people")]
fn bytes_below(folder: &Path) -> Done<f64> {
    let mut bytes = 0.0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { bytes_below(&entry.path())? } else { meta.len() as f64 };
    }
    Ok(bytes)
}

/// What `work` returns, and the CPU seconds of the programs that it started and waited for.
fn cpu_of<T>(work: impl FnOnce() -> Done<T>) -> Done<(f64, T)> {
    let children = || -> Done<f64> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        // The name in brackets may hold anything; what follows it is numbers. cutime and cstime are fields 16 and 17.
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let ticks: f64 = rest.split_whitespace().skip(13).take(2).filter_map(|n| n.parse::<f64>().ok()).sum();
        Ok(ticks / 100.0)
    };
    let before = children()?;
    let value = work()?;
    Ok((children()? - before, value))
}

fn median<T: PartialOrd + Copy>(times: usize, mut work: impl FnMut() -> Done<T>) -> Done<T> {
    let mut all = (0..times.max(1)).map(|_| work()).collect::<Done<Vec<_>>>()?;
    all.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    Ok(all[all.len() / 2])
}
