//! `distill bisect`.

use std::fmt::Write as _;

use crate::cli::error::CommandError;
use crate::cli::table::{change, count, counted};
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::bisect::{
    Amount, BisectOptions, Bisected, Causes, Direction, FileDiff, Found, Measured, bisect,
};
use crate::ops::metric::Metric;
use crate::ops::open::open;

/// How many fields of a changed configuration are shown to people; `--json` has all.
const FIELDS_SHOWN: usize = 8;

/// Find the run after which a metric had moved
///
/// Compares every run from the good end to the bad one, along first parents, with the good end, and names the first that is beyond the
/// threshold, with what it changed. Exit 0 where there is one, 1 where there is none.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("how").required(true).args(["drop", "rise"]))]
pub struct BisectArgs {
    /// One of the ten metrics, such as `p3_accepted`
    #[arg(long, value_name = "NAME")]
    metric: String,
    /// It fell by at least so much: a share (`20%`) or rows (`50`)
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    drop: Option<Amount>,
    /// It rose by at least so much
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    rise: Option<Amount>,
    /// A revision at which it was good; the first run when left out
    #[arg(long, value_name = "REV")]
    good: Option<String>,
    /// A revision at which it is bad; HEAD when left out
    #[arg(long, value_name = "REV")]
    bad: Option<String>,
}

/// A share such as `20%`, or a number of rows.
fn amount(text: &str) -> Result<Amount, String> {
    let say = || "write a share such as `20%`, or a number of rows such as `50`, above 0".to_owned();
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent: f64 = percent.trim_end().parse().map_err(|_| say())?;
            if percent > 0.0 && percent.is_finite() { Ok(Amount::Share(percent / 100.0)) } else { Err(say()) }
        }
        None => match text.parse() {
            Ok(rows @ 1..) => Ok(Amount::Rows(rows)),
            _ => Err(say()),
        },
    }
}

pub(super) fn run(context: &Context, args: BisectArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let (direction, by) = match (args.drop, args.rise) {
        (Some(by), _) => (Direction::Drop, by),
        // The parser has seen to it that there is one.
        (None, rise) => (Direction::Rise, rise.unwrap_or(Amount::Rows(1))),
    };
    let options = BisectOptions {
        metric: Metric::called(&args.metric)?,
        direction,
        by,
        good: args.good,
        bad: args.bad,
    };
    let bisected = bisect(&repo, &options)?;
    context.ui.answer("distill.bisect.v1", &bisected, &text(&context.ui, &bisected))?;
    Ok(if bisected.found.is_some() { Outcome::Done } else { Outcome::No })
}

fn text(ui: &Ui, bisected: &Bisected) -> String {
    let mut text = String::new();
    let end = |run: &Measured| format!("{} at {}", count(run.value), run.run_id);
    let name = bisected.metric.name();
    writeln!(text, "{name}: {} (good), {} (bad)", end(&bisected.good), end(&bisected.bad)).ok();
    let verb = if bisected.direction == Direction::Drop { "fell" } else { "rose" };
    let by = match bisected.by {
        Amount::Share(share) => format!("{} %", (share * 1e4).round() / 1e2),
        Amount::Rows(rows) => counted(rows, "row"),
    };
    let to = match (bisected.threshold, bisected.direction) {
        (Some(threshold), Direction::Drop) => format!(", to {} or less", count(threshold)),
        (Some(threshold), Direction::Rise) => format!(", to {} or more", count(threshold)),
        (None, _) => String::new(),
    };
    match &bisected.found {
        Some(found) => {
            writeln!(text, "The first run after which it {verb} by {by} or more{to}:\n").ok();
            found_text(ui, bisected, found, &mut text);
        }
        None => {
            writeln!(text, "In no run it {verb} by {by} or more{to}").ok();
        }
    }
    let (commits, runs) = (bisected.commits_read, bisected.summaries_read);
    writeln!(text, "\n{} looked at, of which {} ran", counted(commits, "commit"), count(runs)).ok();
    text
}

fn found_text(ui: &Ui, bisected: &Bisected, found: &Found, text: &mut String) {
    let header = &found.header;
    let id = ui.paint(Style::Yellow, format!("commit {}", header.commit_id));
    writeln!(text, "{id}").ok();
    writeln!(text, "Run:     {} ({})", header.run_id, header.operation).ok();
    writeln!(text, "Date:    {}", header.committed_at).ok();
    writeln!(
        text,
        "Value:   {}; {} at {} before it; {} since the good end",
        count(found.value),
        count(found.before.value),
        found.before.run_id,
        change(found.change, Some(bisected.good.value), found.value),
    )
    .ok();
    for words in header.message.lines() {
        writeln!(text, "\n    {words}").ok();
    }
    for side in &found.merged {
        let name = &side.run_id;
        writeln!(
            text,
            "\nIt merges {name}, which has {}: `distill bisect --bad {name}` looks there",
            side.value
        )
        .ok();
    }
    causes_text(ui, &found.causes, text);
    match &found.recovered {
        Some(run) => writeln!(text, "\nIt was back at {} in {}", count(run.value), run.run_id).ok(),
        None => None,
    };
}

fn causes_text(ui: &Ui, causes: &Causes, text: &mut String) {
    if !causes.drift_causes.is_empty() {
        writeln!(text, "\n{}", ui.paint(Style::Bold, "Drift of the run")).ok();
        for cause in &causes.drift_causes {
            writeln!(text, "  {cause}").ok();
        }
    }
    writeln!(text, "\n{}", ui.paint(Style::Bold, "What changed in it")).ok();
    if causes.config_changed {
        writeln!(text, "  the configuration:").ok();
    }
    let fields = (causes.config.iter())
        .flat_map(|part| part.fields.iter().map(move |field| (part, field)))
        .collect::<Vec<_>>();
    for part in causes.config.iter().filter(|part| part.fields.is_empty()) {
        writeln!(text, "    {} {}", part.part, part.change).ok();
    }
    for (part, field) in fields.iter().take(FIELDS_SHOWN) {
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
        let (before, after) = (side(&field.before), side(&field.after));
        writeln!(text, "    {} {}: {before} → {after}", part.part, field.pointer).ok();
    }
    if fields.len() > FIELDS_SHOWN {
        writeln!(text, "    … and {} more", fields.len() - FIELDS_SHOWN).ok();
    }
    for FileDiff { path, change, rows_before, rows_after } in &causes.files {
        let rows = format!("{} → {}", count(*rows_before), count(*rows_after));
        writeln!(text, "  the source {path}: {change}, {rows} rows").ok();
    }
    for (name, diff) in causes.datasets.iter().filter(|(_, d)| d.root_before != d.root_after) {
        writeln!(text, "  {name}: +{} ~{} -{}", diff.added, diff.modified, diff.removed).ok();
    }
    if !causes.config_changed && causes.files.is_empty() {
        writeln!(text, "  neither the configuration nor a source file").ok();
    }
}
