//! `distill audit-pr`.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;

use super::replay::{AskingArgs, Watcher};
use crate::cli::error::{CommandError, printable};
use crate::cli::table::counted;
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::OpError;
use crate::ops::audit_pr::{DIFF_BYTES_MAX, Finding, Options, Report, Severity, audit_pr, git};
use crate::ops::open::open;
use crate::ops::report::count;

/// Let a model review a change with what the corpus knows
///
/// Looks records up for each group of hunks, asks the model once with the change and all of them, and shows what it found. A finding
/// must name a file and a line that the change shows, and may claim only what stands there or in a record that it cites; the others
/// are listed apart. Nothing is stored. Exits 0 when the model answered in the form that it was asked for, 1 when it did not.
#[derive(Clone, Debug, clap::Args)]
pub struct AuditPrArgs {
    /// Two revisions of the Git repository in --git
    #[arg(value_name = "A..B", required_unless_present = "diff", conflicts_with = "diff")]
    range: Option<String>,
    /// A unified diff; `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    diff: Option<PathBuf>,
    /// The folder of the Git repository; that of --repo when left out
    #[arg(long, value_name = "DIR", conflicts_with = "diff")]
    git: Option<PathBuf>,
    /// Ask about every part of the change and merge the answers, instead of once about all of it
    #[arg(long)]
    tree_split: bool,
    /// Search the RAG export of this revision instead of HEAD's
    #[arg(long, value_name = "REV")]
    at: Option<String>,
    /// Search this corpus of config.toml
    #[arg(long, value_name = "NAME", conflicts_with = "at")]
    corpus: Option<String>,
    /// Records for each group of hunks
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    k: Option<u16>,
    /// Records in the prompt, at most
    #[arg(long, value_name = "N", default_value_t = 12)]
    records: usize,
    #[command(flatten)]
    asking: AskingArgs,
}

pub(super) fn run(context: &Context, args: AuditPrArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let diff = match (&args.diff, &args.range) {
        (Some(path), _) => read(path)?,
        (None, Some(range)) => git::diff(args.git.as_deref().unwrap_or(&context.start), range)?,
        (None, None) => String::new(),
    };
    let (caller, asking) = args.asking.prepare(context, &repo, false)?;
    let config = &repo.config().replay;
    let configured = Some(config.corpus.clone()).filter(|name| !name.is_empty() && args.at.is_none());
    let options = Options {
        diff,
        at: args.at,
        corpus: args.corpus.or(configured),
        k: args.k.map_or(config.k, usize::from),
        records_max: args.records,
        tree_split: args.tree_split,
        asking,
    };
    let mut watcher = Watcher::new(&context.ui);
    let report = audit_pr(&repo, &options, caller, &context.ui, &mut |token| watcher.piece(token))?;
    watcher.end();
    context.ui.answer("distill.audit_pr.v1", &report, &render(&context.ui, &report))?;
    Ok(if report.answered { Outcome::Done } else { Outcome::No })
}

fn read(path: &std::path::Path) -> Result<String, OpError> {
    let most = DIFF_BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|error| OpError::io("read", path, &error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn render(ui: &Ui, report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        one(ui, &mut text, finding);
        for number in &finding.cites {
            if let Some(record) = report.records.iter().find(|record| record.number == *number) {
                writeln!(
                    text,
                    "    [{number}] {}  {}",
                    record.key,
                    ui.paint(Style::Dim, record.id.short(12))
                )
                .ok();
            }
        }
    }
    if report.answered && report.findings.is_empty() {
        writeln!(text, "Nothing found that the change and the records support.").ok();
    }
    if !report.doubtful.is_empty() {
        writeln!(text, "\n{}", ui.paint(Style::Dim, "Said too, and not supported:")).ok();
        for finding in &report.doubtful {
            one(ui, &mut text, finding);
            for doubt in &finding.doubts {
                writeln!(text, "    {doubt}").ok();
            }
        }
    }
    if let Some(answer) = &report.answer {
        writeln!(
            text,
            "{}\n\n{}",
            ui.paint(Style::Red, "The answer is not of the form that was asked for:"),
            printable(answer)
        )
        .ok();
    }
    for file in &report.left_out {
        writeln!(text, "{}", ui.paint(Style::Dim, format!("left out, it has no text: {}", printable(file))))
            .ok();
    }
    let cost = &report.cost;
    writeln!(
        text,
        "\n{} looked at; {} for {}; {}, {} + {} tokens, {} ms",
        counted(report.files.len() as u64, "file"),
        counted(report.records.len() as u64, "record"),
        counted(cost.searches, "search").replace("searchs", "searches"),
        counted(cost.calls, "call"),
        count(cost.prompt_tokens),
        count(cost.completion_tokens),
        count(cost.latency_ms),
    )
    .ok();
    text
}

fn one(ui: &Ui, text: &mut String, finding: &Finding) {
    let style = match finding.severity {
        Severity::Error => Style::Red,
        Severity::Warning => Style::Yellow,
        Severity::Note => Style::Dim,
    };
    let place = finding.line.map_or_else(|| finding.file.clone(), |line| format!("{}:{line}", finding.file));
    let severity = ui.paint(style, finding.severity.as_str());
    writeln!(
        text,
        "{} {severity}: {}",
        ui.paint(Style::Bold, printable(&place)),
        printable(finding.text.trim())
    )
    .ok();
}
