//! What a run costs as the input grows: a table, and a plot of it.
//!
//! `cargo bench --bench curve` runs `run-all` over samples of `DISTILL_BENCH_SIZES` rows ("10000,100000"): into an empty
//! store, again over the same files, and again with 0.3 % new rows. With `DISTILL_BENCH_SVG` the plot goes to that file;
//! samples and stores go below `DISTILL_BENCH_DIR` (the system's place for temporary files): a row takes three
//! kilobytes there. CPU time is that of the program alone, user and system; memory is the most that it ever held.
//! Rests on the program itself, as a user starts it. `docs/benchmarks.md` keeps one output and its plot.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

type Done<T> = Result<T, Box<dyn Error>>;

/// One row in so many is appended again, as another row, for the last run.
const NEW_EACH: usize = 333;
/// Kernel ticks in a second, as `/proc` counts them everywhere.
const TICKS: f64 = 100.0;

/// What one run took.
#[derive(Clone, Copy, Default)]
struct Cost {
    wall: f64,
    cpu: f64,
    peak_mb: f64,
}

/// The three runs over one sample.
struct Point {
    rows: u64,
    input_mb: f64,
    packs_mb: f64,
    first: Cost,
    again: Cost,
    grown: Cost,
}

fn main() -> Done<()> {
    let sizes = std::env::var("DISTILL_BENCH_SIZES").unwrap_or_else(|_| "10000,100000".to_owned());
    let folder = match std::env::var_os("DISTILL_BENCH_DIR") {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:>10} {:>9} {:>9} | {:^27} | {:^18} | {:^18}",
        "", "", "", "first", "unchanged", "0.3 % new"
    )?;
    writeln!(
        out,
        "{:>10} {:>9} {:>9} | {:>8} {:>8} {:>9} | {:>8} {:>9} | {:>8} {:>9}",
        "rows",
        "input MB",
        "packs MB",
        "wall s",
        "CPU s",
        "peak MB",
        "CPU s",
        "of first",
        "CPU s",
        "of first"
    )?;
    let mut points = Vec::new();
    for size in sizes.split(',') {
        let point = measure(&folder.path().join(size.trim()), size.trim().parse()?)?;
        let Point { rows, input_mb, packs_mb, first, again, grown } = &point;
        writeln!(
            out,
            "{rows:>10} {input_mb:>9.1} {packs_mb:>9.1} | {:>8.1} {:>8.1} {:>9.0} | {:>8.2} {:>9.3} | {:>8.2} {:>9.3}",
            first.wall,
            first.cpu,
            first.peak_mb,
            again.cpu,
            again.cpu / first.cpu,
            grown.cpu,
            grown.cpu / first.cpu
        )?;
        points.push(point);
    }
    if let Some(path) = std::env::var_os("DISTILL_BENCH_SVG") {
        fs::write(path, plot(&points)?)?;
    }
    Ok(())
}

fn measure(place: &Path, rows: u64) -> Done<Point> {
    run(Path::new("."), &["sample", &place.to_string_lossy(), "--rows", &rows.to_string()])?;
    let dot = place.join(".distill");
    fs::create_dir_all(dot.join("sources"))?;
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(".distill");
    fs::copy(ours.join("policy.toml"), dot.join("policy.toml"))?;
    for spec in fs::read_dir(ours.join("sources"))? {
        let spec = spec?;
        fs::copy(spec.path(), dot.join("sources").join(spec.file_name()))?;
    }
    let files = files_below(&place.join("data"))?;
    let input: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    let first = run(place, &["run-all", "--quiet"])?;
    let packs: u64 = files_below(&dot.join("packs"))?.iter().map(|(_, bytes)| bytes).sum();
    let again = run(place, &["run-all", "--quiet"])?;
    for (path, _) in files.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "jsonl")) {
        append(path)?;
    }
    let grown = run(place, &["run-all", "--quiet"])?;
    fs::remove_dir_all(place)?;
    Ok(Point { rows, input_mb: mb(input), packs_mb: mb(packs), first, again, grown })
}

/// Appends one row in [`NEW_EACH`] of the file again, with a member that makes it another row.
fn append(path: &Path) -> Done<()> {
    // Some rows of the sample are not UTF-8, on purpose.
    let text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
    let mut new = String::new();
    for line in text.lines().step_by(NEW_EACH).filter(|line| line.starts_with('{')) {
        writeln!(new, "{}", line.replacen('{', "{\"new\":true,", 1))?;
    }
    if !text.ends_with('\n') {
        new.insert(0, '\n');
    }
    OpenOptions::new().append(true).open(path)?.write_all(new.as_bytes())?;
    Ok(())
}

/// Runs the program in `place`.
fn run(place: &Path, args: &[&str]) -> Done<Cost> {
    let before = cpu_of_children()?;
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_distill"))
        .args(args)
        .current_dir(place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kb = 0;
    let ended = loop {
        // A process that has ended has no memory; what it held last is what was read before.
        let held = fs::read_to_string(&status).ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("VmHWM:"))?.to_owned();
            line.split_whitespace().nth(1)?.parse::<u32>().ok()
        });
        peak_kb = held.unwrap_or(0).max(peak_kb);
        match child.try_wait()? {
            Some(ended) => break ended,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let wall = start.elapsed().as_secs_f64();
    if !ended.success() {
        return Err(format!("distill {} ended with {ended}", args.join(" ")).into());
    }
    Ok(Cost { wall, cpu: cpu_of_children()? - before, peak_mb: f64::from(peak_kb) / 1000.0 })
}

/// User and system seconds of all children that have ended.
fn cpu_of_children() -> Done<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name, in parentheses, may hold anything; cutime and cstime are the 14th and 15th field after it.
    let after = stat.rsplit_once(')').ok_or("no name")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |at: usize| -> Done<f64> { Ok(fields.get(at).ok_or("too few fields")?.parse()?) };
    Ok((ticks(13)? + ticks(14)?) / TICKS)
}

fn files_below(folder: &Path) -> Done<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(files)
}

#[expect(clippy::cast_precision_loss, reason = "sizes to print")]
fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const MARGIN: (f64, f64) = (60.0, 40.0);

/// A line of the plot: name, colour, and its figure of a point.
type Kind<'a> = (&'a str, &'a str, fn(&Point) -> f64);

/// The plot: CPU seconds over rows, both in powers of ten, a line for each kind of run.
fn plot(points: &[Point]) -> Done<String> {
    #[expect(clippy::cast_precision_loss, reason = "a place on a plot")]
    let rows = |point: &Point| (point.rows as f64).log10();
    let kinds: [Kind<'_>; 3] = [
        ("first run", "#1b6ca8", |p| p.first.cpu),
        ("0.3 % new rows", "#c7702b", |p| p.grown.cpu),
        ("unchanged", "#4a8f4d", |p| p.again.cpu),
    ];
    let costs = || points.iter().flat_map(|p| [p.first.cpu, p.again.cpu, p.grown.cpu]);
    let low = costs().fold(f64::MAX, f64::min).max(0.01).log10().floor();
    let high = costs().fold(0.1, f64::max).log10().ceil();
    let (left, right) = (rows(&points[0]).floor(), rows(&points[points.len() - 1]).ceil());
    let x = |rows: f64| MARGIN.0 + (rows - left) / (right - left).max(1.0) * (WIDTH - 2.0 * MARGIN.0 - 60.0);
    let y = |cpu: f64| HEIGHT - MARGIN.1 - (cpu - low) / (high - low).max(1.0) * (HEIGHT - 2.0 * MARGIN.1);
    let mut svg = String::new();
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">"
    )?;
    writeln!(svg, "<title>CPU seconds of run-all over rows</title>")?;
    writeln!(svg, "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>")?;
    let mut tick = low;
    while tick <= high {
        let at = y(tick);
        writeln!(svg, "<path d=\"M{:.1} {at:.1}H{:.1}\" stroke=\"#ddd\"/>", x(left), x(right))?;
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{} s</text>",
            x(left) - 6.0,
            at + 4.0,
            10_f64.powf(tick)
        )?;
        tick += 1.0;
    }
    for point in points {
        let at = x(rows(point));
        writeln!(svg, "<path d=\"M{at:.1} {:.1}V{:.1}\" stroke=\"#ddd\"/>", y(low), y(high))?;
        writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} rows</text>",
            y(low) + 18.0,
            point.rows
        )?;
    }
    for (name, colour, cost) in kinds {
        let places: Vec<String> =
            points.iter().map(|p| format!("{:.1},{:.1}", x(rows(p)), y(cost(p).max(0.01).log10()))).collect();
        writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            places.join(" ")
        )?;
        for place in &places {
            let (cx, cy) = place.split_once(',').unwrap_or_default();
            writeln!(svg, "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3.5\" fill=\"{colour}\"/>")?;
        }
        if let Some((cx, cy)) = places.last().and_then(|place| place.split_once(',')) {
            let (cx, cy): (f64, f64) = (cx.parse()?, cy.parse()?);
            writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
                cx + 8.0,
                cy + 4.0
            )?;
        }
    }
    writeln!(svg, "<text x=\"{:.1}\" y=\"20\">CPU seconds of run-all</text>", MARGIN.0)?;
    writeln!(svg, "</svg>")?;
    Ok(svg)
}
