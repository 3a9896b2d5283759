//! `distill run-all` and the one-shot stages.

use std::fmt::Write as _;

use crate::cli::error::CommandError;
use crate::cli::ui::Style;
use crate::cli::{Context, Outcome};
use crate::ops::run::{RunOptions, RunReport, What, run as run_op};
use crate::record::{PassFail, Severity};
use crate::repo::Site;

/// What every run takes.
#[derive(Clone, Debug, clap::Args)]
pub struct CommonArgs {
    /// The run's id; made from the time when left out
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// The commit's message
    #[arg(long, short = 'm', value_name = "MSG")]
    message: Option<String>,
    /// Commit to this branch instead of HEAD's
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Overwrite files of the working tree that were changed by hand
    #[arg(long)]
    force: bool,
    /// Leave the working tree alone: write the store only
    #[arg(long)]
    no_files: bool,
    /// Worker threads; one a core when left out
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Run the whole pipeline: sources, evidence, scores, exports, receipts, one commit
///
/// Reads what is new in the source files, decides about everything, writes the datasets into the store, commits them to
/// the branch and writes exports and reports to the working tree. Over unchanged input it is quick and ends with the same
/// datasets. Makes the store on its first run.
#[derive(Clone, Debug, clap::Args)]
pub struct RunAllArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Go on although known source files or rows are gone; history keeps them
    #[arg(long)]
    accept_source_loss: bool,
    /// Let partially accepted runs into the SFT corpus (part of the config id)
    #[arg(long)]
    include_partial: bool,
}

/// Store the source rows, and nothing else
///
/// Reads what is new in the source files and commits the dataset `sources` with its receipt; all other datasets stay as
/// they are. For keeping logs safe at once: the next `run-all` goes on from there.
#[derive(Clone, Debug, clap::Args)]
pub struct IngestArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Go on although known source files or rows are gone; history keeps them
    #[arg(long)]
    accept_source_loss: bool,
}

/// Read the sources and build evidence, and nothing else
#[derive(Clone, Debug, clap::Args)]
pub struct BuildEvidenceArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Go on although known source files or rows are gone; history keeps them
    #[arg(long)]
    accept_source_loss: bool,
}

/// Score the evidence of HEAD under the current policy
#[derive(Clone, Debug, clap::Args)]
pub struct ScoreArgs {
    #[command(flatten)]
    common: CommonArgs,
}

/// Export the RAG corpus from the scored evidence of HEAD
#[derive(Clone, Debug, clap::Args)]
pub struct ExportRagArgs {
    #[command(flatten)]
    common: CommonArgs,
}

/// Export the SFT corpus from the scored evidence of HEAD
#[derive(Clone, Debug, clap::Args)]
pub struct ExportSftArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Let partially accepted runs in too (part of the config id)
    #[arg(long)]
    include_partial: bool,
}

/// Export the preference corpus from the scored evidence of HEAD
#[derive(Clone, Debug, clap::Args)]
pub struct ExportPreferenceArgs {
    #[command(flatten)]
    common: CommonArgs,
}

/// Export all three corpora from the scored evidence of HEAD
#[derive(Clone, Debug, clap::Args)]
pub struct ExportAllArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Let partially accepted runs into the SFT corpus (part of the config id)
    #[arg(long)]
    include_partial: bool,
}

pub(super) fn run_all(context: &Context, args: RunAllArgs) -> Result<Outcome, CommandError> {
    let mut options = options(What::All, args.common);
    options.accept_source_loss = args.accept_source_loss;
    options.include_partial = args.include_partial.then_some(true);
    run(context, &options)
}

pub(super) fn ingest(context: &Context, args: IngestArgs) -> Result<Outcome, CommandError> {
    let mut options = options(What::Ingest, args.common);
    options.accept_source_loss = args.accept_source_loss;
    run(context, &options)
}

pub(super) fn build_evidence(context: &Context, args: BuildEvidenceArgs) -> Result<Outcome, CommandError> {
    let mut options = options(What::Evidence, args.common);
    options.accept_source_loss = args.accept_source_loss;
    run(context, &options)
}

pub(super) fn score(context: &Context, args: ScoreArgs) -> Result<Outcome, CommandError> {
    run(context, &options(What::Score, args.common))
}

pub(super) fn export_rag(context: &Context, args: ExportRagArgs) -> Result<Outcome, CommandError> {
    run(context, &options(What::Rag, args.common))
}

pub(super) fn export_sft(context: &Context, args: ExportSftArgs) -> Result<Outcome, CommandError> {
    let mut options = options(What::Sft, args.common);
    options.include_partial = args.include_partial.then_some(true);
    run(context, &options)
}

pub(super) fn export_preference(
    context: &Context,
    args: ExportPreferenceArgs,
) -> Result<Outcome, CommandError> {
    run(context, &options(What::Preference, args.common))
}

pub(super) fn export_all(context: &Context, args: ExportAllArgs) -> Result<Outcome, CommandError> {
    let mut options = options(What::Exports, args.common);
    options.include_partial = args.include_partial.then_some(true);
    run(context, &options)
}

fn options(what: What, common: CommonArgs) -> RunOptions {
    let mut options = RunOptions::new(what);
    options.run_id = common.run_id;
    options.message = common.message;
    options.branch = common.branch;
    options.force = common.force;
    options.threads = common.threads;
    options.write_files = !common.no_files;
    options
}

fn run(context: &Context, options: &RunOptions) -> Result<Outcome, CommandError> {
    let site = Site::discover(&context.start).map_err(crate::ops::OpError::from)?;
    let report = run_op(site, options, context.clock, &context.ui)?;
    let text = render(context, &report);
    context.ui.answer("distill.run.v1", &report, &text)?;
    Ok(if report.summary.verdict == PassFail::Pass { Outcome::Done } else { Outcome::No })
}

/// A screen: what came in, what went where, what moved, what to do next.
pub(super) fn render(context: &Context, report: &RunReport) -> String {
    let ui = &context.ui;
    let mut text = String::new();
    let seconds = seconds(report.duration_ms);
    let head = format!("{} {}", report.operation, report.run_id);
    let short = report.commit_id.object().short(12);
    let on = report.branch.trim_start_matches("heads/");
    writeln!(text, "{}  commit {short} on {on}  {seconds}", ui.paint(Style::Bold, head)).ok();
    writeln!(text).ok();
    let columns = ["stage", "in", "consumed", "duplicate", "quarantined", "skipped", "records"];
    let [stage, rest @ ..] = columns;
    write!(text, "  {}", ui.paint(Style::Dim, format!("{stage:<18}"))).ok();
    for column in rest {
        write!(text, "{}", ui.paint(Style::Dim, format!("{column:>12}"))).ok();
    }
    writeln!(text).ok();
    for stage in &report.summary.stages {
        let c = &stage.counts;
        write!(text, "  {:<18}", stage.stage).ok();
        for count in [c.rows_in, c.consumed, c.duplicates, c.quarantined, c.skipped, c.records] {
            let cell = format!("{count:>12}");
            if count == 0 {
                write!(text, "{}", ui.paint(Style::Dim, cell)).ok()
            } else {
                write!(text, "{cell}").ok()
            };
        }
        writeln!(text).ok();
    }
    writeln!(text).ok();
    if report.operation == What::Ingest.operation() {
        let (stored, read) = (human_bytes(report.bytes_stored), report.units_computed);
        writeln!(text, "  stored   {stored}; {read} rows read, the others known").ok();
        writeln!(text, "\nnext: `distill run-all` makes evidence, scores and exports of them").ok();
        return text;
    }
    let c = &report.summary.categories;
    writeln!(
        text,
        "  scored   {} accepted, {} partially accepted, {} rejected, {} need a person",
        ui.paint(Style::Green, c.accepted),
        c.partially_accepted,
        ui.paint(Style::Red, c.rejected),
        ui.paint(Style::Yellow, c.needs_human_review)
    )
    .ok();
    let m = &report.summary.metrics;
    writeln!(
        text,
        "  exports  {} RAG, {} SFT, {} preference pairs; {} quarantined in all",
        m.p4_rag_rows, m.p4_sft_rows, m.p4_pref_pairs, m.p4_total_quarantined
    )
    .ok();
    match &report.drift.baseline {
        None => {
            writeln!(text, "  drift    first run: nothing to compare with").ok();
        }
        Some(baseline) => {
            let moved: Vec<String> = (report.drift.metrics.iter())
                .filter(|m| m.before != Some(m.after))
                .map(|m| {
                    let change = match m.change {
                        Some(change) => format!("{:+.1} %", change * 100.0),
                        None => "from zero".to_owned(),
                    };
                    let line = format!("{} {} → {} ({change})", m.name, m.before.unwrap_or(0), m.after);
                    match m.severity {
                        Severity::None => line,
                        Severity::Warn => ui.paint(Style::Yellow, line),
                        Severity::Alert => ui.paint(Style::Red, line),
                    }
                })
                .collect();
            if moved.is_empty() {
                writeln!(text, "  drift    none since {}", baseline.run_id).ok();
            } else {
                writeln!(text, "  drift    since {}: {}", baseline.run_id, moved.join("\n           ")).ok();
            }
        }
    }
    for cause in &report.drift.causes {
        writeln!(text, "           {cause}").ok();
    }
    writeln!(
        text,
        "  stored   {} in {} units computed",
        human_bytes(report.bytes_stored),
        report.units_computed
    )
    .ok();
    writeln!(text).ok();
    writeln!(text, "next: {}", next(report)).ok();
    text
}

fn next(report: &RunReport) -> &'static str {
    if report.summary.metrics.p4_total_quarantined > 0 && report.drift.baseline.is_none() {
        "`distill receipts` shows why rows were refused, `distill health` what each spec reads; `distill tag v1.0.0` names this state"
    } else if report.drift.severity == Severity::None {
        "`distill log`, `distill show`; `distill tag NAME` names this state"
    } else {
        "`distill diff HEAD~1 HEAD --records` shows what moved"
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}

/// Bytes in the unit that reads best.
pub(super) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{size:.1} {}", UNITS[unit]) }
}
