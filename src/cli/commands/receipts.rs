//! `distill receipts`.

use std::fmt::Write as _;

use crate::cli::error::CommandError;
use crate::cli::table::{Table, count};
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::open::open;
use crate::ops::receipts::{Receipts, Which, receipts};
use crate::record::{Counts, PassFail, Severity};

/// Show what each stage of a run took and gave, and that nothing was lost
///
/// At every stage, what came in is the sum of what was consumed, a duplicate, quarantined, skipped or redacted.
#[derive(Clone, Debug, clap::Args)]
pub struct ReceiptsArgs {
    /// The revision; HEAD when left out
    #[arg(default_value = "HEAD")]
    rev: String,
    /// The run, by its id
    #[arg(long, value_name = "ID", conflicts_with = "rev")]
    run_id: Option<String>,
}

pub(super) fn run(context: &Context, args: &ReceiptsArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let which = args.run_id.as_deref().map_or(Which::Rev(&args.rev), Which::Run);
    let found = receipts(&repo, which)?;
    context.ui.answer("distill.receipts.v1", &found, &render(&context.ui, &found))?;
    Ok(Outcome::Done)
}

fn cells(name: &str, counts: &Counts) -> Vec<String> {
    let n = |n: u64| if n == 0 { "·".to_owned() } else { count(n) };
    let sign = if counts.fates() == counts.rows_in { "=" } else { "≠" };
    vec![
        name.to_owned(),
        count(counts.rows_in),
        sign.to_owned(),
        n(counts.consumed),
        n(counts.duplicates),
        n(counts.quarantined),
        n(counts.skipped),
        n(counts.redacted),
        count(counts.records),
    ]
}

fn render(ui: &Ui, found: &Receipts) -> String {
    let id = ui.paint(Style::Yellow, found.commit_id.object().short(12));
    let mut text = format!("Run {} ({id})", ui.paint(Style::Bold, &found.run_id));
    if let Some(summary) = &found.summary {
        let verdict = match summary.verdict {
            PassFail::Pass => ui.paint(Style::Green, "pass"),
            PassFail::Fail => ui.paint(Style::Red, "fail"),
        };
        write!(text, ": {verdict}").ok();
    }
    text.push_str("\n\n");
    let mut table = Table::new(&[
        "stage",
        ">rows in",
        "",
        ">consumed",
        ">duplicate",
        ">quarantined",
        ">skipped",
        ">redacted",
        ">records out",
        "of run",
    ]);
    for line in &found.receipts {
        let mut row = cells(&line.receipt.stage, &line.receipt.counts);
        if !line.of_this_run {
            row.push(line.receipt.run_id.clone());
        }
        table.row(row);
    }
    write!(text, "{table}").ok();
    let reasons: Vec<_> = (found.receipts.iter())
        .flat_map(|line| {
            let receipt = &line.receipt;
            let why = |what: &'static str| {
                move |(name, n): (&String, &u64)| (receipt.stage.clone(), what, name.clone(), *n)
            };
            let quarantined = receipt.quarantined_by.iter().map(why("quarantined"));
            quarantined.chain(receipt.skipped_by.iter().map(why("skipped"))).collect::<Vec<_>>()
        })
        .collect();
    if !reasons.is_empty() {
        let mut table = Table::new(&["stage", "fate", "reason", ">rows"]);
        for (stage, fate, reason, n) in reasons {
            table.row([stage, fate.to_owned(), reason, count(n)]);
        }
        write!(text, "\n{table}").ok();
    }
    for line in &found.receipts {
        let stage = &line.receipt.stage;
        for error in &line.receipt.errors {
            writeln!(text, "{} {stage}: {error}", ui.paint(Style::Red, "error:")).ok();
        }
        for warning in &line.receipt.warnings {
            writeln!(text, "{} {stage}: {warning}", ui.paint(Style::Yellow, "warning:")).ok();
        }
    }
    if let Some(drift) = &found.drift {
        match &drift.baseline {
            None => text.push_str("\nThe first run: nothing to compare with.\n"),
            Some(baseline) if drift.severity == Severity::None => {
                writeln!(text, "\nCompared with {}: no metric moved beyond the limits.", baseline.run_id)
                    .ok();
            }
            Some(baseline) => {
                writeln!(text, "\nCompared with {}:", baseline.run_id).ok();
                for cause in &drift.causes {
                    writeln!(text, "  {cause}").ok();
                }
            }
        }
    }
    text
}
