//! `distill audit-full`.

use std::fmt::Write as _;

use crate::cli::commands::acceptance::breaches;
use crate::cli::error::CommandError;
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::audit::{Audit, BASELINES, Options, audit_full};
use crate::ops::open::site;
use crate::ops::report::count;
use crate::record::Severity;

/// Check the store and the working tree over all phases, against the baseline before
///
/// 16 required checks over phases 0 to 8, against the policy and options that are stored in the audited commit. Writes
/// reports/distillation/phase8-full-audit-report.md with the drift of the ten metrics, and appends a row to
/// `data/_kb/audit_baselines.jsonl`, chained to the row before it and kept in the store as well. Moves no branch. Exits 0 only
/// when every check holds.
#[derive(Clone, Debug, clap::Args)]
pub struct AuditFullArgs {
    /// The revision; HEAD where none is given
    rev: Option<String>,
    /// Write nothing: no report, no baseline
    #[arg(long)]
    no_write: bool,
    /// Overwrite the report although it was changed by hand
    #[arg(long)]
    force: bool,
}

pub(super) fn run(context: &Context, args: AuditFullArgs) -> Result<Outcome, CommandError> {
    let site = site(&context.start)?;
    let options =
        Options { rev: args.rev, tmp: std::env::temp_dir(), write: !args.no_write, force: args.force };
    let audit = audit_full(&site, &options, context.clock, &context.ui)?;
    context.ui.answer("distill.audit_full.v1", &audit, &render(&context.ui, &audit))?;
    if let Some(report) = &audit.report {
        context.ui.say(&format!("The report is in {report}"));
    }
    Ok(if audit.passed { Outcome::Done } else { Outcome::No })
}

fn render(ui: &Ui, audit: &Audit) -> String {
    let mut text = String::new();
    for item in &audit.items {
        let mark = if item.holds { ui.paint(Style::Green, "holds") } else { ui.paint(Style::Red, "FAILS") };
        writeln!(text, "{:>3}  P{}  {mark}  {}", item.number, item.phase, item.name).ok();
        breaches(&mut text, &item.breaches, item.breaches_total);
    }
    writeln!(text).ok();
    match &audit.compared_with {
        None => writeln!(text, "No baseline of this commit or of an ancestor to compare with").ok(),
        Some(baseline) => {
            writeln!(text, "Compared with baseline {}, of {}", baseline.number, baseline.run_id).ok()
        }
    };
    for metric in &audit.drift {
        let before = metric.before.map_or_else(|| "·".to_owned(), count);
        let change = metric.change.filter(|change| *change != 0.0).map(|c| format!("{:+.1} %", c * 100.0));
        let severity = match metric.severity {
            Severity::None => String::new(),
            other => ui.paint(Style::Yellow, other.as_str()),
        };
        writeln!(
            text,
            "  {:<24} {before:>9} {:>9} {:>9}  {severity}",
            metric.name,
            count(metric.after),
            change.unwrap_or_default(),
        )
        .ok();
    }
    writeln!(text).ok();
    if let (Some(row), Some(id)) = (&audit.baseline, audit.baseline_id) {
        writeln!(text, "Baseline {} appended to {BASELINES}: {}", row.number, id.short(12)).ok();
    }
    let style = if audit.passed { Style::Green } else { Style::Red };
    let held = ui.paint(style, format!("{}/{}", audit.held, audit.of));
    writeln!(
        text,
        "{held} required checks hold for {} ({})",
        audit.run_id,
        audit.commit_id.object().short(12)
    )
    .ok();
    text
}
