//! `phase6-acceptance-report.md`: every invariant, and what broke those that do not hold.
//!
//! Rests on the answer alone. Invariant: the same answer gives the same bytes; no time stands in it.

use std::fmt::Write as _;

use super::{Acceptance, Breach};
use crate::ops::report::text::{Align, Table, code, escape};

/// The report.
pub(super) fn markdown(accepted: &Acceptance) -> String {
    let mut out = String::from("# Phase 6: acceptance\n\n");
    let verdict = if accepted.accepted { "Accepted" } else { "Not accepted" };
    writeln!(out, "**{verdict}.** {} of {} invariants hold.\n", accepted.held, accepted.of).ok();
    writeln!(out, "Fixture `{}`. Another fixture is another bar.\n", accepted.fixture).ok();
    let mut table = Table::new(&[
        ("", Align::Right),
        ("invariant", Align::Left),
        ("protects", Align::Left),
        ("holds", Align::Left),
    ]);
    for item in &accepted.items {
        table.row(&[
            item.number.to_string(),
            escape(item.name),
            escape(item.protects),
            if item.holds { "yes" } else { "**no**" }.to_owned(),
        ]);
    }
    table.write(&mut out);
    for item in accepted.items.iter().filter(|item| !item.holds) {
        writeln!(out, "## What broke {}\n", item.number).ok();
        breaches(&mut out, &item.breaches, item.breaches_total);
    }
    if let Some(power) = &accepted.power {
        let caught = power.iter().filter(|planting| planting.caught).count();
        writeln!(out, "## Power\n\n{} defects planted, {caught} caught.\n", power.len()).ok();
        let mut table = Table::new(&[
            ("", Align::Right),
            ("defect", Align::Left),
            ("felled", Align::Left),
            ("caught", Align::Left),
        ]);
        for planting in power {
            let fell: Vec<String> = planting.fell.iter().map(ToString::to_string).collect();
            table.row(&[
                planting.number.to_string(),
                escape(planting.defect),
                if fell.is_empty() { "nothing".to_owned() } else { fell.join(", ") },
                if planting.caught { "yes" } else { "**no**" }.to_owned(),
            ]);
        }
        table.write(&mut out);
    }
    out
}

/// A list of breaches: record, file and line, and what is wrong.
pub(crate) fn breaches(out: &mut String, breaches: &[Breach], total: u64) {
    for breach in breaches {
        let mut line = String::from("- ");
        if let Some(record) = &breach.record {
            write!(line, "{}: ", code(record)).ok();
        }
        line.push_str(&escape(&breach.detail));
        if let Some(file) = &breach.file {
            let number = breach.line.map_or_else(String::new, |number| format!(" line {number}"));
            write!(line, " ({}{number})", code(file)).ok();
        }
        writeln!(out, "{line}").ok();
    }
    let more = total - breaches.len() as u64;
    if more > 0 {
        writeln!(out, "- and {more} more").ok();
    }
    out.push('\n');
}
