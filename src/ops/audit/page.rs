//! `phase8-full-audit-report.md`: every required check, the drift of the ten metrics, and the baseline that was appended.
//!
//! Rests on the answer alone. Invariant: what stands in it stands in the answer.

use std::fmt::Write as _;

use super::{Audit, BASELINES};
use crate::ops::acceptance::page::breaches;
use crate::ops::report::moves;
use crate::ops::report::text::{Align, Table, code, escape};

/// The report.
pub(super) fn markdown(audit: &Audit) -> String {
    let mut out = String::from("# Phase 8: full audit\n\n");
    let verdict = if audit.passed { "Passed" } else { "Not passed" };
    writeln!(
        out,
        "**{verdict}.** {} of {} required checks hold for run {} (commit `{}`).\n",
        audit.held,
        audit.of,
        code(&audit.run_id),
        audit.commit_id
    )
    .ok();
    let mut table = Table::new(&[
        ("", Align::Right),
        ("phase", Align::Right),
        ("check", Align::Left),
        ("what it asks", Align::Left),
        ("holds", Align::Left),
    ]);
    for item in &audit.items {
        table.row(&[
            item.number.to_string(),
            item.phase.to_string(),
            code(item.name),
            escape(item.asks),
            if item.holds { "yes" } else { "**no**" }.to_owned(),
        ]);
    }
    table.write(&mut out);
    for item in audit.items.iter().filter(|item| !item.holds) {
        writeln!(out, "## What broke {}, {}\n", item.number, code(item.name)).ok();
        breaches(&mut out, &item.breaches, item.breaches_total);
    }
    out.push_str("## Drift\n\n");
    match &audit.compared_with {
        None => out.push_str("There is no baseline of this commit or of an ancestor to compare with.\n\n"),
        Some(baseline) => {
            writeln!(
                out,
                "Compared with baseline {} of run {} (commit `{}`), made at {}: **{}**. More than 20 % is a warning.\n",
                baseline.number,
                code(&baseline.run_id),
                baseline.commit_id.object().short(12),
                baseline.audited_at,
                audit.severity.as_str(),
            )
            .ok();
        }
    }
    moves("baseline", &audit.drift).write(&mut out);
    out.push_str("## Baseline\n\n");
    match (&audit.baseline, audit.baseline_id) {
        (Some(row), Some(id)) => {
            writeln!(out, "Row {} of `{BASELINES}`, `{id}`. The row before it: {}.", row.number, {
                row.previous.map_or_else(|| "none".to_owned(), |id| format!("`{id}`"))
            })
            .ok();
        }
        _ => {
            writeln!(out, "None was appended: `{BASELINES}` is not what earlier audits wrote.").ok();
        }
    }
    out
}
