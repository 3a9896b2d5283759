//! `distill verify`.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::cli::error::CommandError;
use crate::cli::table::{counted, size};
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::open::open;
use crate::ops::verify::{
    AgainstReport, Dependant, Extent, Finding, RefState, VerifyReport, against, verify,
};

/// Hash and walk everything, and say level by level what holds
///
/// V0, the container: store.redb and every pack open and match their own checksums. V1, objects: every stored object
/// hashes to its id. V2, closure: what every ref names is there and is what it is named as; export rows rest on their scored
/// runs, those on their evidence, that on its source rows. V3, the log: the operations are all there, chained by hash,
/// and make the refs that the store has. Names what is damaged or missing, the file it lies in, what depends on it, which
/// refs are hit and which are whole; lists at most 10,000 findings and goes on. Writes nothing. With REV looks at V1 and V2 of
/// what that revision reaches. Exits 4 when anything is damaged.
///
/// With --against compares the files of a folder with those that REV (HEAD when left out) would be checked out as, names
/// those that are missing, changed or too many, and exits 1 when there are any.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    /// Look only at what this revision reaches
    rev: Option<String>,
    /// Compare the files in this folder with the revision
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &VerifyArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    if let Some(dir) = &args.against {
        let report = against(&repo, args.rev.as_deref(), dir, &context.ui)?;
        context.ui.answer("distill.verify_against.v1", &report, &against_text(&context.ui, &report))?;
        return Ok(if report.holds { Outcome::Done } else { Outcome::No });
    }
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
    writeln!(text, "Compared {} with what they rest on", counted(c.links, "row")).ok();
    for level in &report.levels {
        let verdict = match (level.holds, level.checked) {
            (None, _) => ui.paint(Style::Dim, "not looked at"),
            (Some(true), Extent::Reached) => ui.paint(Style::Green, "holds, for what the revision reaches"),
            (Some(true), _) => ui.paint(Style::Green, "holds"),
            (Some(false), _) if level.findings == 0 => {
                ui.paint(Style::Red, "does not hold: it needs what is damaged")
            }
            (Some(false), _) => {
                ui.paint(Style::Red, format!("does not hold: {}", counted(level.findings, "finding")))
            }
        };
        writeln!(text, "{}  {:<9} {verdict}", level.level, level.name).ok();
    }
    for path in &report.uncatalogued {
        writeln!(text, "Not part of the store: {}", path.display()).ok();
    }
    if report.sound {
        writeln!(text, "{}", ui.paint(Style::Green, "Everything holds.")).ok();
        return text;
    }
    for finding in &report.findings {
        finding_text(ui, &mut text, finding);
    }
    let unlisted = report.findings_total - report.findings.len() as u64;
    if unlisted > 0 {
        writeln!(text, "\nand {} more that are not listed", counted(unlisted, "finding")).ok();
    }
    refs_text(ui, &mut text, report);
    let found = counted(report.findings_total, "finding");
    writeln!(text, "\n{}", ui.paint(Style::Red, format!("The store is damaged: {found}."))).ok();
    text
}

fn finding_text(ui: &Ui, text: &mut String, finding: &Finding) {
    let id = finding.object.map_or_else(String::new, |id| format!(" {id}"));
    writeln!(text, "\n{} {}{id}", finding.level, ui.paint(Style::Red, &finding.kind)).ok();
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

/// Which refs are hit, and which are whole.
fn refs_text(ui: &Ui, text: &mut String, report: &VerifyReport) {
    let names = |wanted: &dyn Fn(&RefState) -> bool| {
        let names: Vec<_> =
            report.refs.iter().filter(|state| wanted(state)).map(|state| state.name.clone()).collect();
        names.join(", ")
    };
    text.push('\n');
    for state in report.refs.iter().filter(|state| !state.holds) {
        let what = if state.damaged.is_empty() { "its commit".to_owned() } else { state.damaged.join(", ") };
        writeln!(text, "{}   {}: {what}", ui.paint(Style::Red, "Affected"), state.name).ok();
    }
    let behind = names(&|state| state.holds && !state.history_holds);
    if !behind.is_empty() {
        writeln!(text, "Whole, with damage behind them: {behind}").ok();
    }
    let whole = names(&|state| state.holds && state.history_holds);
    if !whole.is_empty() {
        writeln!(text, "{} {whole}", ui.paint(Style::Green, "Whole, history too:")).ok();
    }
    let snapshots = &report.snapshots;
    writeln!(text, "{} of {} are whole", snapshots.intact, counted(snapshots.total, "snapshot")).ok();
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

fn against_text(ui: &Ui, report: &AgainstReport) -> String {
    let commit = report.commit_id.object().short(12);
    let mut text = format!(
        "{} with commit {commit} ({}): {} as they should be\n",
        report.dir,
        report.run_id,
        counted(report.same, "file"),
    );
    for file in &report.missing {
        writeln!(text, "{}  {file}", ui.paint(Style::Red, "missing")).ok();
    }
    for changed in &report.changed {
        let found = changed.found.map_or_else(|| "no file".to_owned(), |id| id.short(12));
        let wanted = changed.expected.short(12);
        writeln!(text, "{}  {} ({found}, should be {wanted})", ui.paint(Style::Red, "changed"), changed.file)
            .ok();
    }
    for file in &report.extra {
        writeln!(text, "{}  {file}", ui.paint(Style::Red, "too many")).ok();
    }
    for export in &report.exports {
        let verdict = match (export.holds, &export.receipt_blake3) {
            (true, _) => ui.paint(Style::Green, "has the digests of its receipt"),
            (false, None) => "has no receipt that names its digest".to_owned(),
            (false, Some(_)) => ui.paint(Style::Red, "has not the digests of its receipt"),
        };
        writeln!(text, "{} {verdict}", export.file).ok();
    }
    let (style, verdict) = if report.holds {
        (Style::Green, "The folder is this revision.")
    } else {
        (Style::Red, "The folder is not this revision.")
    };
    writeln!(text, "{}", ui.paint(style, verdict)).ok();
    text
}
