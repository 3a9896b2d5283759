//! Whether a long history is as quick as a short one.
//!
//! `cargo bench --bench history` makes a history of ten runs and one of a thousand, and of the latter a second store whose
//! packs were never merged: a thousand commits in a thousand packs, which small publishes cannot make (they are merged), but which large
//! ones can. Then it starts the program as a user does, in turns on each store, and prints medians and ratios. `docs/benchmarks.md` keeps
//! one output. `DISTILL_BENCH_RUNS` sets the length of the long history; in `DISTILL_BENCH_FOLDER` the histories are kept and found again;
//! `DISTILL_BENCH_PROGRAM` is started instead of this build. Rests on the program, and on the library for the store that is not
//! merged.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use distill::store::{Operation, ReindexPlan};
use tempfile::TempDir;

/// Runs of the short history.
const SHORT: usize = 10;
/// Rows of the source file at the first run; each run appends one.
const ROWS: usize = 500;
/// How often each store has its turn, and how often the program is started in a turn.
const TURNS: usize = 9;
const STARTS: u32 = 20;
/// The record that is looked at.
const KEY: &str = "2026/01/02/notes/n00001";

const SPEC: &str = r#"
stream = "notes"
files = ["*.jsonl"]
unit = "line"
[record]
key = ".id"
time = ".ts"
[fields]
run_id = ".id"
task_id = ".task"
instruction = ".prompt"
response = ".answer"
validation.outcome = ".passed"
"#;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let long = match std::env::var("DISTILL_BENCH_RUNS") {
        Ok(runs) => runs.parse()?,
        Err(_) => 1000,
    };
    let temporary = TempDir::new()?;
    let folder = std::env::var_os("DISTILL_BENCH_FOLDER").map_or(temporary.path().to_owned(), PathBuf::from);
    let stores = ["short", "long", "long-unmerged"].map(|name| Place { path: folder.join(name) });
    for (store, runs) in stores.iter().zip([SHORT, long]).filter(|(store, _)| !store.path.exists()) {
        store.fill(runs)?;
    }
    if !stores[2].path.exists() {
        stores[1].unmerge(&stores[2].path)?;
    }

    let mut out = io::stdout().lock();
    write!(out, "{:<28}", "")?;
    for store in &stores {
        write!(out, "{:>30}", store.describe()?)?;
    }
    writeln!(out, "\n{:<28}{}", "", "      wall ms   cpu ms  ratio".repeat(stores.len()))?;
    let id = stores[0].ask(&["show", &format!("HEAD:scored-runs/{KEY}")])?;
    let id = id.split(' ').next().unwrap_or_default().to_owned();
    let row = format!("HEAD:scored-runs/{KEY}");
    let commands: [&[&str]; 9] = [
        &["--version"],
        &["log", "-n", "1"],
        &["log", "-n", "10", "--graph"],
        &["cat", &id],
        &["cat", &row],
        &["show"],
        &["diff", "--records"],
        &["status"],
        &["log", "--metric", "p3_accepted", "-n", "10"],
    ];
    for command in commands {
        compare(&mut out, &stores, command)?;
    }
    writeln!(out, "and what reads the whole history:")?;
    for command in [
        &["log"][..],
        &["log", "--record", KEY],
        &["log", "--metric", "p3_accepted"],
        &["bisect", "--metric", "p3_accepted", "--rise", "1"],
    ] {
        compare(&mut out, &stores, command)?;
    }
    Ok(())
}

/// Medians of one command on each store, and their ratios to those on the first.
fn compare(out: &mut impl io::Write, stores: &[Place], command: &[&str]) -> Outcome<()> {
    let mut walls = vec![Vec::new(); stores.len()];
    let mut cpus = vec![Vec::new(); stores.len()];
    for _ in 0..TURNS {
        for (n, store) in stores.iter().enumerate() {
            let before = children_cpu()?;
            for _ in 0..STARTS {
                let start = Instant::now();
                store.distill(command)?;
                walls[n].push(start.elapsed());
            }
            cpus[n].push(children_cpu()?.saturating_sub(before) / STARTS);
        }
    }
    let mut line = String::new();
    let mut first = None;
    for (walls, cpus) in walls.iter_mut().zip(&mut cpus) {
        let (wall, cpu) = (middle(walls).as_secs_f64() * 1e3, middle(cpus).as_secs_f64() * 1e3);
        let first = *first.get_or_insert(wall);
        write!(line, "{wall:>13.2}{cpu:>9.2}{:>7.2}", wall / first)?;
    }
    let name = command.join(" ").replace(KEY, "KEY");
    let name: String =
        name.split(' ').map(|word| if word.len() == 64 { "ID" } else { word }).collect::<Vec<_>>().join(" ");
    writeln!(out, "{name:<28.28} {}", &line[1..])?;
    Ok(())
}

fn middle(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// What the children that have ended took of all processors. The system counts in hundredths of a second.
fn children_cpu() -> Outcome<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| -> Outcome<u64> { Ok(fields.get(at).ok_or("no such field")?.parse()?) };
    Ok(Duration::from_millis((ticks(13)? + ticks(14)?) * 10))
}

/// A repository.
struct Place {
    path: PathBuf,
}

impl Place {
    /// Makes a history of so many runs; the packs that each brought are kept apart.
    fn fill(&self, runs: usize) -> Outcome<()> {
        let path = &self.path;
        fs::create_dir_all(path)?;
        self.distill(&["init"])?;
        fs::write(path.join(".distill/sources/notes.toml"), SPEC)?;
        fs::create_dir(self.brought())?;
        let mut rows = String::new();
        for n in 0..ROWS {
            row(&mut rows, &format!("n{n:05}"), &format!("2026-01-{:02}", 1 + n % 28), n)?;
        }
        for n in 1..=runs {
            row(&mut rows, &format!("m{n:05}"), &format!("2026-02-{:02}", 1 + n % 28), n)?;
            fs::write(path.join("notes.jsonl"), &rows)?;
            self.distill(&["run-all", "--no-files", "--run-id", &format!("r{n}")])?;
            let operation = self.operation(n)?;
            // The first pack is that of the run; what it was merged with follows.
            let pack = format!("{}.pack", operation.packs.first().ok_or("a run without a pack")?.id);
            fs::copy(path.join(".distill/packs").join(&pack), self.brought().join(&pack))?;
        }
        Ok(())
    }

    fn brought(&self) -> PathBuf {
        self.path.join("brought")
    }

    fn operation(&self, number: usize) -> Outcome<Operation> {
        let path = self.path.join(".distill/ops").join(Operation::file_name(number as u64));
        Ok(Operation::parse(&fs::read(&path)?, &path)?)
    }

    /// The same history in a store whose packs were never merged: its operation log is this one's without the merges.
    fn unmerge(&self, to: &Path) -> Outcome<()> {
        let dot = to.join(".distill");
        fs::create_dir_all(dot.join("ops"))?;
        fs::rename(self.brought(), dot.join("packs"))?;
        fs::create_dir_all(dot.join("sources"))?;
        for file in ["config.toml", "policy.toml", "sources/notes.toml"] {
            fs::copy(self.path.join(".distill").join(file), dot.join(file))?;
        }
        fs::copy(self.path.join("notes.jsonl"), to.join("notes.jsonl"))?;
        let mut previous = None;
        for number in 1.. {
            let Ok(operation) = self.operation(number) else { break };
            let packs = operation.packs.into_iter().take(1).collect();
            let operation = Operation { dropped_packs: Vec::new(), packs, previous, ..operation };
            let bytes = operation.to_bytes()?;
            previous = Some(distill::object::ObjectId::of(&bytes));
            fs::write(dot.join("ops").join(Operation::file_name(operation.number)), bytes)?;
        }
        ReindexPlan::read(&dot)?.write(true)?;
        Ok(())
    }

    fn describe(&self) -> Outcome<String> {
        let packs = fs::read_dir(self.path.join(".distill/packs"))?.count();
        let commits = fs::read_dir(self.path.join(".distill/ops"))?.count();
        Ok(format!("{commits} commits, {packs} packs"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let other = std::env::var_os("DISTILL_BENCH_PROGRAM");
        let mut command = Command::new(other.as_deref().unwrap_or(env!("CARGO_BIN_EXE_distill").as_ref()));
        command.args(args).current_dir(&self.path).stdin(Stdio::null());
        command
    }

    fn distill(&self, args: &[&str]) -> Outcome<()> {
        let status = self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(format!("distill {args:?}: {status}").into()) }
    }

    fn ask(&self, args: &[&str]) -> Outcome<String> {
        Ok(String::from_utf8(self.command(args).output()?.stdout)?)
    }
}

fn row(text: &mut String, id: &str, day: &str, n: usize) -> Outcome<()> {
    let (task, passed, filler) = (n % 90, !n.is_multiple_of(3), "x".repeat(n % 200));
    writeln!(
        text,
        "{{\"id\":\"{id}\",\"ts\":\"{day}T03:04:05Z\",\"task\":\"t{task}\",\"prompt\":\"Say {id} {filler}\",\
         \"answer\":\"answer {id}\",\"passed\":{passed}}}"
    )?;
    Ok(())
}
