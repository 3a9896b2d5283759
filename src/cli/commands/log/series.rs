//! `distill log --metric`.

use std::fmt::Write as _;

use crate::cli::error::CommandError;
use crate::cli::spark::sparkline;
use crate::cli::table::{Table, change, count, counted};
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::log::series::{Series, series};
use crate::ops::metric::Metric;
use crate::record::Severity;
use crate::repo::Repo;

/// The widest sparkline.
const BARS_MAX: usize = 80;

pub(super) fn run(
    context: &Context,
    repo: &Repo,
    rev: Option<&str>,
    metric: &str,
    limit: Option<usize>,
) -> Result<Outcome, CommandError> {
    let series = series(repo, rev, Metric::called(metric)?, limit)?;
    context.ui.answer("distill.log_metric.v1", &series, &text(&context.ui, &series))?;
    Ok(Outcome::Done)
}

fn text(ui: &Ui, series: &Series) -> String {
    let values: Vec<u64> = series.items.iter().rev().map(|point| point.value).collect();
    let mut text = String::new();
    let name = ui.paint(Style::Bold, series.metric.name());
    let (Some(low), Some(high)) = (values.iter().min(), values.iter().max()) else {
        return format!("{name}: no run has a summary\n");
    };
    writeln!(text, "{name}  {}", sparkline(&values, BARS_MAX)).ok();
    let runs = counted(values.len() as u64, "run");
    writeln!(text, "{runs}, from {} to {}, the oldest at the left\n", count(*low), count(*high)).ok();
    let mut table = Table::plain(&[false, false, false, true, true, false]);
    for point in &series.items {
        let mark = match point.severity {
            Severity::None => String::new(),
            Severity::Warn => ui.paint(Style::Yellow, "warn"),
            Severity::Alert => ui.paint(Style::Red, "alert"),
        };
        table.row([
            ui.paint(Style::Yellow, point.commit_id.object().short(12)),
            point.run_id.clone(),
            point.committed_at.clone(),
            count(point.value),
            change(point.change, point.before, point.value),
            mark,
        ]);
    }
    writeln!(text, "{table}").ok();
    let limits = format!(
        "the limits (warn {}, alert {})",
        percent(series.limits.warn()),
        percent(series.limits.alert())
    );
    let broken = series.items.iter().find(|point| Some(point.commit_id) == series.broken_by);
    match broken {
        Some(point) => writeln!(
            text,
            "It last moved beyond {limits} at {}: `distill diff {}` says what else did",
            point.run_id,
            point.commit_id.object().short(12)
        ),
        None => writeln!(text, "It never moved beyond {limits}"),
    }
    .ok();
    text
}

fn percent(share: f64) -> String {
    format!("{} %", (share * 1e4).round() / 1e2)
}
