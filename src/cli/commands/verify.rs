//! `distill verify`.

use std::fmt::Write as _;

use crate::cli::error::CommandError;
use crate::cli::table::{counted, size};
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::open::open;
use crate::ops::verify::{Dependant, VerifyReport, verify};

/// Hash and walk everything, and say what it covered
///
/// Hashes every pack and every object in it, then walks all that refs reach: tags, commits, receipts, reports, trees and
/// rows. Names what is damaged or missing, the file it lies in and what depends on it, and goes on. Writes nothing. With
/// REV looks at what that revision reaches. Exits 4 when anything is damaged.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    /// Look only at what this revision reaches
    rev: Option<String>,
}

pub(super) fn run(context: &Context, args: &VerifyArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let report = verify(&repo, args.rev.as_deref(), &context.ui)?;
    context.ui.answer("distill.verify.v1", &report, &render(&context.ui, &report))?;
    Ok(if report.sound { Outcome::Done } else { Outcome::Damaged })
}

fn render(ui: &Ui, report: &VerifyReport) -> String {
    let mut text = String::new();
    let c = &report.covered;
    if report.rev.is_none() {
        writeln!(
            text,
            "Hashed   {} with {}, {}; {} of the log",
            counted(c.packs, "pack"),
            counted(c.packed_objects, "object"),
            size(c.packed_bytes),
            counted(c.operations, "operation"),
        )
        .ok();
    }
    writeln!(
        text,
        "Reached  {}, {}, {}, {}",
        counted(c.refs, "ref"),
        counted(c.tags, "tag"),
        counted(c.commits, "commit"),
        counted(c.receipts, "receipt"),
    )
    .ok();
    writeln!(
        text,
        "         {}, {}: {} in all, {} beside the nodes",
        counted(c.nodes, "tree node"),
        counted(c.rows, "row"),
        counted(c.objects, "object"),
        size(c.bytes),
    )
    .ok();
    for path in &report.uncatalogued {
        writeln!(text, "Not part of the store: {}", path.display()).ok();
    }
    if report.sound {
        writeln!(text, "{}", ui.paint(Style::Green, "Everything holds.")).ok();
        return text;
    }
    for finding in &report.findings {
        let id = finding.object.map_or_else(String::new, |id| format!(" {id}"));
        writeln!(text, "\n{}{id}", ui.paint(Style::Red, &finding.kind)).ok();
        writeln!(text, "  {}", finding.detail).ok();
        if let Some(place) = &finding.place {
            writeln!(text, "  in {}", place.display()).ok();
        }
        for dependant in &finding.needed_by {
            writeln!(text, "  needed by {}", dependant_text(dependant)).ok();
        }
        let more = finding.needed_by_total - finding.needed_by.len() as u64;
        if more > 0 {
            writeln!(text, "  and by {more} more").ok();
        }
    }
    let found = counted(report.findings.len() as u64, "finding");
    writeln!(text, "\n{}", ui.paint(Style::Red, format!("The store is damaged: {found}."))).ok();
    text
}

fn dependant_text(dependant: &Dependant) -> String {
    let mut text = match dependant.commit_id {
        Some(id) => format!("commit {}", id.object().short(12)),
        None => "refs".to_owned(),
    };
    if !dependant.refs.is_empty() {
        write!(text, " ({})", dependant.refs.join(", ")).ok();
    }
    if dependant.commit_id.is_some() {
        write!(text, ": {}", dependant.part).ok();
    }
    if let Some(key) = &dependant.key {
        write!(text, "/{key}").ok();
    }
    text
}
