//! `distill diff`.

use std::fmt::Write as _;

use crate::cli::commands::whatif::explained;
use crate::cli::error::CommandError;
use crate::cli::table::{Table, change, count};
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::diff::{DatasetDiff, DiffReport, FieldChange, Pair, RecordChange, RowChange, Side};
use crate::ops::diff::{diff, pair, records};
use crate::ops::explain::explain;
use crate::ops::open::open;
use crate::record::{Metrics, Severity};
use crate::repo::Repo;

/// Compare two revisions: metrics, datasets, configuration, rows
///
/// `diff A B` and `diff A..B` compare A with B. One revision is compared with its first parent: what did that run change?
/// Without one that is HEAD. Costs what is different, not what is there: no row is read without --records.
///
/// --explain exchanges one part at a time, in the order tool, specs, policy, data, and counts what a run would have made in between:
/// so the shares of a metric add up to its change. Where one part alone changed nothing is made again; where the policy
/// changed with the data, the evidence of A is scored again; where specs or the tool did, its rows are mapped again.
#[derive(Clone, Debug, clap::Args)]
pub struct DiffArgs {
    /// The earlier revision, or the only one, or `A..B`
    a: Option<String>,
    /// The later revision
    b: Option<String>,
    /// List the rows that changed, and the fields that changed in them
    #[arg(long)]
    records: bool,
    /// Say why metrics moved: how much is due to the tool, the specs, the policy and the data
    #[arg(long)]
    explain: bool,
    /// One line for each dataset that changed
    #[arg(long)]
    stat: bool,
    /// Only this dataset
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Exit 1 when anything differs
    #[arg(long)]
    exit_code: bool,
    /// Say how many tree nodes were read
    #[arg(long)]
    stats: bool,
}

pub(super) fn run(context: &Context, args: &DiffArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let pair = pair(&repo, args.a.as_deref(), args.b.as_deref(), args.dataset.as_deref())?;
    let mut report = diff(&repo, &pair)?;
    if args.explain {
        let (before, after) = pair.commit_ids();
        report.explanation = Some(explain(&repo, before, after, &std::env::temp_dir(), &context.ui)?);
    }
    if context.ui.is_json() {
        json(context, args, &repo, &pair, &report)?;
    } else {
        let text = if args.stat { stat(&context.ui, &report) } else { render(&context.ui, &report) };
        context.ui.raw(text.as_bytes())?;
        if let Some(explanation) = &report.explanation {
            context.ui.raw(explained(explanation).as_bytes())?;
        }
        if args.records {
            let mut out = Chunks { ui: &context.ui, text: String::new() };
            records(&repo, &pair, |record| out.add(&record_text(&context.ui, &record)))?;
            out.flush()?;
        }
    }
    if args.stats {
        context.ui.say(&format!("{} tree nodes read.", count(report.nodes_read)));
    }
    Ok(if args.exit_code && report.differs { Outcome::No } else { Outcome::Done })
}

/// Text on its way to stdout.
struct Chunks<'a> {
    ui: &'a Ui,
    text: String,
}

impl Chunks<'_> {
    fn add(&mut self, text: &str) -> Result<(), CommandError> {
        self.text.push_str(text);
        if self.text.len() >= 64 << 10 { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), CommandError> {
        self.ui.raw(self.text.as_bytes())?;
        self.text.clear();
        Ok(())
    }
}

fn json(
    context: &Context,
    args: &DiffArgs,
    repo: &Repo,
    pair: &Pair,
    report: &DiffReport,
) -> Result<(), CommandError> {
    if !args.records {
        context.ui.answer("distill.diff.v1", report, &"")?;
        return Ok(());
    }
    // The rows follow one by one: there may be more of them than memory holds.
    let body = serde_json::to_string(report).map_err(std::io::Error::from)?;
    let mut out = Chunks { ui: &context.ui, text: String::new() };
    out.add(&format!("{{\"schema\":\"distill.diff.v1\",{},\"records\":[", &body[1..body.len() - 1]))?;
    let mut first = true;
    records(repo, pair, |record| {
        let row = serde_json::to_string(&record).map_err(std::io::Error::from)?;
        let comma = if std::mem::take(&mut first) { "" } else { "," };
        out.add(&format!("{comma}{row}"))
    })?;
    out.add("]}\n")?;
    out.flush()
}

fn side(side: &Side) -> String {
    format!("{} ({})", side.run_id, side.commit_id.object().short(12))
}

fn render(ui: &Ui, report: &DiffReport) -> String {
    let before = report.before.as_ref().map_or_else(|| "nothing".to_owned(), side);
    let mut text =
        format!("{} → {}\n", ui.paint(Style::Bold, before), ui.paint(Style::Bold, side(&report.after)));
    if !report.differs {
        text.push_str("No difference.\n");
        return text;
    }
    if !report.metrics.is_empty() {
        let mut table = Table::new(&["metric", ">before", ">after", ">change", ""]);
        for name in Metrics::NAMES {
            let Some(metric) = report.metrics.get(name) else { continue };
            let severity = match metric.severity {
                Severity::None => String::new(),
                Severity::Warn => ui.paint(Style::Yellow, "warn"),
                Severity::Alert => ui.paint(Style::Red, "alert"),
            };
            let before = metric.before.map_or_else(|| "-".to_owned(), count);
            let moved = change(metric.change, metric.before, metric.after);
            table.row([name.to_owned(), before, count(metric.after), moved, severity]);
        }
        write!(text, "\n{table}").ok();
    }
    let mut table = Table::new(&["dataset", ">added", ">removed", ">modified", ">rows"]);
    for (name, d) in &report.datasets {
        let n = |n: u64| if n == 0 { "·".to_owned() } else { count(n) };
        table.row([name.clone(), n(d.added), n(d.removed), n(d.modified), count(d.rows_after)]);
    }
    write!(text, "\n{table}").ok();
    if report.config_changed {
        text.push_str("\nConfiguration\n");
        for part in &report.config {
            writeln!(text, "  {} {}", part.part, part.change).ok();
            for field in &part.fields {
                writeln!(text, "    {}", field_text(ui, field)).ok();
            }
        }
    }
    text
}

fn stat(ui: &Ui, report: &DiffReport) -> String {
    let changed = |d: &DatasetDiff| d.added + d.removed + d.modified;
    let most = report.datasets.values().map(changed).max().unwrap_or(0).max(1);
    let mut table = Table::plain(&[false, true, false]);
    for (name, d) in report.datasets.iter().filter(|(_, d)| changed(d) > 0) {
        // At most 40 signs, at least one for what is there at all.
        let signs = |n: u64, sign: &str| {
            let width = usize::try_from((u128::from(n) * 40).div_ceil(u128::from(most))).unwrap_or(40);
            sign.repeat(width)
        };
        let bar = format!(
            "{}{}{}",
            ui.paint(Style::Green, signs(d.added, "+")),
            ui.paint(Style::Yellow, signs(d.modified, "~")),
            ui.paint(Style::Red, signs(d.removed, "-"))
        );
        table.row([name.clone(), count(changed(d)), bar]);
    }
    let mut text = table.to_string();
    let sum = |of: fn(&DatasetDiff) -> u64| count(report.datasets.values().map(of).sum());
    writeln!(
        text,
        "{} added, {} modified, {} removed{}",
        sum(|d| d.added),
        sum(|d| d.modified),
        sum(|d| d.removed),
        if report.config_changed { "; the configuration changed" } else { "" }
    )
    .ok();
    text
}

fn record_text(ui: &Ui, record: &RecordChange) -> String {
    let sign = match record.change {
        RowChange::Added => ui.paint(Style::Green, "+"),
        RowChange::Removed => ui.paint(Style::Red, "-"),
        RowChange::Modified => ui.paint(Style::Yellow, "~"),
    };
    let mut text = format!("{sign} {}/{}\n", record.dataset, record.key);
    for field in &record.fields {
        writeln!(text, "    {}", field_text(ui, field)).ok();
    }
    text
}

fn field_text(ui: &Ui, field: &FieldChange) -> String {
    let absent = || ui.paint(Style::Dim, "absent");
    let before = field.before.clone().unwrap_or_else(absent);
    let after = field.after.clone().unwrap_or_else(absent);
    let pointer = if field.pointer.is_empty() { "(whole)" } else { &field.pointer };
    format!("{pointer}: {before} → {after}")
}
