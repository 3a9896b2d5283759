//! `distill trace`.

use std::fmt::Write as _;
use std::io::Read as _;

use crate::cli::error::CommandError;
use crate::cli::table::counted;
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::open::open;
use crate::ops::trace::{
    ExportFate, Hop, OnDisk, Reverse, SourceFate, SourceLine, Trace, reverse, trace, trace_line,
};
use crate::ops::{ErrorKind, OpError};
use crate::record::Unit;

/// Follow a row to the line it was made from, or a line to what became of it
///
/// Goes from an export row to its scored run, its evidence and its source row, and computes every hash on the way again:
/// object ids, the tree nodes that put each object in its dataset, the `sig_hash` from the source row's own bytes; and
/// compares what the objects say of each other. A preference pair is followed on both sides; a row of evidence,
/// scored-runs, quarantine or duplicates from where it stands. Exits 4 where anything does not hold, 1 where a line or object
/// is no row of the commit, 2 where nothing has that name.
///
/// With --reverse tells what became of a source row in every dataset. LINE counts from 1, as editors and `sed -n LINEp` do
/// (`provenance.line_offset` counts from 0); in a file that is an array or a map it counts the elements or values.
#[derive(Clone, Debug, clap::Args)]
pub struct TraceArgs {
    /// The id of a row or its abbreviation, `REV:DATASET/KEY`, or `-` for a line of an export file on stdin
    #[arg(required_unless_present = "reverse", conflicts_with = "reverse")]
    row: Option<String>,
    /// The commit in which an id, a line or --reverse is looked up; HEAD when left out
    #[arg(long, value_name = "REV")]
    at: Option<String>,
    /// What became of this line of a source file
    #[arg(long, value_name = "FILE:LINE")]
    reverse: Option<String>,
}

/// More than the longest row takes.
const LINE_BYTES_MAX: u64 = 1 << 30;

pub(super) fn run(context: &Context, args: &TraceArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let at = args.at.as_deref();
    let holds = if let Some(place) = &args.reverse {
        let (file, line) = file_and_line(place)?;
        let told = reverse(&repo, file, line, at, &context.ui)?;
        context.ui.answer("distill.trace_reverse.v1", &told, &reverse_text(&context.ui, &told))?;
        told.holds
    } else {
        let row = args.row.as_deref().unwrap_or_default();
        let told = if row == "-" {
            trace_line(&repo, &read_line()?, at)?
        } else {
            if at.is_some() && row.contains(':') {
                let hint = "`REV:DATASET/KEY` names its commit itself: leave out --at";
                return Err(OpError::new(ErrorKind::Usage, "the commit is named twice", hint).into());
            }
            trace(&repo, row, at)?
        };
        context.ui.answer("distill.trace.v1", &told, &trace_text(&context.ui, &told))?;
        told.holds
    };
    Ok(if holds { Outcome::Done } else { Outcome::Damaged })
}

fn file_and_line(place: &str) -> Result<(&str, u64), OpError> {
    let parsed = place.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?)));
    parsed.filter(|(file, _)| !file.is_empty()).ok_or_else(|| {
        let hint = "write the file, a colon and the line's number, counted from 1: `data/runs.jsonl:12`";
        OpError::new(ErrorKind::Usage, format!("`{place}` is not FILE:LINE"), hint)
    })
}

/// The one line on stdin, without its ending.
fn read_line() -> Result<Vec<u8>, OpError> {
    let mut line = Vec::new();
    std::io::stdin()
        .lock()
        .take(LINE_BYTES_MAX)
        .read_to_end(&mut line)
        .map_err(|error| OpError::new(ErrorKind::Outside, format!("cannot read stdin: {error}"), ""))?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    if line.is_empty() || line.contains(&b'\n') {
        let what = if line.is_empty() { "nothing" } else { "more than one line" };
        let hint = "pipe one line in: `sed -n 3p exports/sft/instruction_response.jsonl | distill trace -`";
        return Err(OpError::new(ErrorKind::Usage, format!("stdin has {what}"), hint));
    }
    Ok(line)
}

fn trace_text(ui: &Ui, told: &Trace) -> String {
    let mut text = head(ui, &told.commit_id.object().short(12), &told.run_id);
    draw(ui, &mut text, &told.row, "", "");
    text.push_str(&verdict(ui, told.faults.len()));
    text
}

fn head(ui: &Ui, commit: &str, run_id: &str) -> String {
    format!("{}\n\n", ui.paint(Style::Dim, format!("in commit {commit} ({run_id})")))
}

fn verdict(ui: &Ui, faults: usize) -> String {
    if faults == 0 {
        return format!("\n{}\n", ui.paint(Style::Green, "Every link holds."));
    }
    let found = counted(faults as u64, "check");
    format!("\n{}\n", ui.paint(Style::Red, format!("The chain is broken: {found} failed.")))
}

/// A hop and all below it. `first` stands before its first line, `rest` before the others.
fn draw(ui: &Ui, text: &mut String, hop: &Hop, first: &str, rest: &str) {
    let place = format!("{}/{}", hop.dataset, hop.key);
    writeln!(text, "{first}{} {}", hop.role.as_str(), ui.paint(Style::Bold, place)).ok();
    let bar = if hop.below.is_empty() { format!("{rest}   ") } else { format!("{rest}│  ") };
    facts(ui, text, hop, &bar);
    for (n, below) in hop.below.iter().enumerate() {
        let last = n + 1 == hop.below.len();
        let (branch, stem) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw(ui, text, below, &format!("{rest}{branch}"), &format!("{rest}{stem}"));
    }
}

fn facts(ui: &Ui, text: &mut String, hop: &Hop, bar: &str) {
    if let Some(id) = hop.id {
        writeln!(text, "{bar}{}", ui.paint(Style::Yellow, id)).ok();
    }
    for (name, said) in &hop.says {
        writeln!(text, "{bar}{name}: {said}").ok();
    }
    if let Some(source) = &hop.source {
        writeln!(text, "{bar}{}", source_text(source)).ok();
    }
    let held: Vec<_> =
        hop.checks.iter().filter(|check| check.holds).map(|check| check.check.as_str()).collect();
    if !held.is_empty() {
        writeln!(text, "{bar}{} {}", ui.paint(Style::Green, "checked:"), held.join(", ")).ok();
    }
    for check in hop.checks.iter().filter(|check| !check.holds) {
        let detail = check.detail.as_deref().unwrap_or_default();
        writeln!(text, "{bar}{} {}: {detail}", ui.paint(Style::Red, "BROKEN"), check.check.as_str()).ok();
    }
}

fn source_text(source: &SourceLine) -> String {
    let what = match source.unit {
        Some(Unit::Line) | None => "line",
        Some(Unit::Element) => "element",
        Some(Unit::Value) => "value",
        Some(Unit::File) => return format!("{}, the whole file{}", source.file, disk(source.on_disk)),
    };
    format!("{}, {what} {}{}", source.file, source.line, disk(source.on_disk))
}

const fn disk(on_disk: OnDisk) -> &'static str {
    match on_disk {
        OnDisk::Same => " (the file still has it)",
        OnDisk::Differs => " (the file has something else there now)",
        OnDisk::Absent => " (the file is not here)",
        OnDisk::NotCompared => "",
    }
}

fn reverse_text(ui: &Ui, told: &Reverse) -> String {
    let mut text = head(ui, &told.commit_id.object().short(12), &told.run_id);
    draw(ui, &mut text, &told.row, "", "");
    let fate = match (&told.rule, &told.detail, told.fate) {
        (Some(rule), Some(detail), _) => format!("{}: {rule}: {detail}", told.fate.as_str()),
        (Some(rule), None, _) => format!("{} by the rule `{rule}`", told.fate.as_str()),
        (None, Some(of), SourceFate::Duplicate) => format!("a duplicate of {of}"),
        _ => told.fate.as_str().to_owned(),
    };
    let reader = told.spec.as_ref().map_or_else(String::new, |spec| format!(" (spec {spec})"));
    writeln!(text, "\nIt is {}{reader}.", ui.paint(Style::Bold, fate)).ok();
    for entry in &told.entries {
        draw(ui, &mut text, entry, "└─ ", "   ");
    }
    for (n, record) in told.records.iter().enumerate() {
        let (branch, stem) =
            if n + 1 == told.records.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw(ui, &mut text, &record.evidence, branch, stem);
        if let Some(scored) = &record.scored {
            draw(ui, &mut text, scored, &format!("{stem}├─ "), &format!("{stem}│  "));
        }
        for (n, export) in record.exports.iter().enumerate() {
            let last = n + 1 == record.exports.len();
            let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            writeln!(text, "{stem}{branch}{}", export_text(ui, export)).ok();
            for row in &export.rows {
                draw(ui, &mut text, row, &format!("{stem}{below}└─ "), &format!("{stem}{below}   "));
            }
        }
    }
    if !told.joined_by.is_empty() {
        writeln!(text, "Joined by {}:", counted(told.joined_by.len() as u64, "record")).ok();
        for key in &told.joined_by {
            writeln!(text, "   evidence/{key}").ok();
        }
    }
    if !told.scanned.is_empty() {
        let all = told.scanned.join(", ");
        writeln!(text, "{}", ui.paint(Style::Dim, format!("gone through as a whole: {all}"))).ok();
    }
    text.push_str(&verdict(ui, told.faults.len()));
    text
}

fn export_text(ui: &Ui, export: &ExportFate) -> String {
    let mut text = format!("{}: {}", export.dataset, ui.paint(Style::Bold, export.fate));
    if let Some(rule) = &export.rule {
        write!(text, " ({rule})").ok();
    }
    if let Some(detail) = &export.detail {
        write!(text, ": {detail}").ok();
    }
    text
}
