//! `distill reindex`.

use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _};

use crate::cli::error::CommandError;
use crate::cli::table::{counted, size};
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::reindex::{Findings, Rebuild, ReindexReport, Unconfirmed, survey};
use crate::ops::{ErrorKind, OpError};

/// Rebuild a lost or damaged store.redb from packs/ and ops/
///
/// Says first what it found: the operations, refs and packs, a pack that no operation names, an operation whose pack is
/// missing. Only store.redb knew whether the last operation was finished, so it asks before it applies it. An old file is
/// moved aside and never deleted. Does nothing where store.redb is sound. Exits 4 when packs are missing or damaged, or
/// the log is.
#[derive(Clone, Debug, clap::Args)]
pub struct ReindexArgs {
    /// Apply the last operation without asking
    #[arg(long, short = 'y')]
    yes: bool,
    /// Leave the last operation out without asking; the next writer removes what it left
    #[arg(long, conflicts_with = "yes")]
    without_last: bool,
}

pub(super) fn run(context: &Context, args: &ReindexArgs) -> Result<Outcome, CommandError> {
    let ui = &context.ui;
    let reindex = survey(&context.start)?;
    let found = reindex.findings.clone();
    if !ui.is_json() {
        ui.raw(findings_text(ui, &found).as_bytes())?;
    }
    let report = if found.is_needed {
        let apply_last = match &found.unconfirmed {
            Some(last) => decide(ui, args, last)?,
            None => true,
        };
        reindex.rebuild(apply_last)?
    } else {
        ReindexReport { findings: found.clone(), done: None }
    };
    let text = report.done.as_ref().map_or_else(String::new, |done| done_text(ui, done));
    ui.answer("distill.reindex.v1", &report, &text)?;
    Ok(if found.missing_packs.is_empty() { Outcome::Done } else { Outcome::Damaged })
}

/// Whether the last operation is applied.
fn decide(ui: &Ui, args: &ReindexArgs, last: &Unconfirmed) -> Result<bool, CommandError> {
    if args.yes || args.without_last {
        return Ok(args.yes);
    }
    let undecided = || {
        OpError::new(
            ErrorKind::Refused,
            format!(
                "nothing says whether operation {} ({}) was finished; store.redb is as it was",
                last.number, last.operation
            ),
            "`--yes` applies it; `--without-last` leaves it out, and the next writer removes what it brought",
        )
    };
    if ui.is_json() || !std::io::stdin().is_terminal() {
        return Err(undecided().into());
    }
    ui.complain(&format!(
        "Apply operation {} ({})? y applies it, n leaves it out, anything else stops.",
        last.number, last.operation
    ));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "n" | "no" => Ok(false),
        _ => Err(undecided().into()),
    }
}

fn findings_text(ui: &Ui, found: &Findings) -> String {
    let mut text = String::new();
    let detail = found.detail.as_deref().map_or_else(String::new, |detail| format!(": {detail}"));
    let style = if found.is_needed { Style::Red } else { Style::Green };
    writeln!(text, "store.redb  {}{detail}", ui.paint(style, found.catalogue)).ok();
    let span = match &found.span {
        Some((first, last)) => format!(", {first} to {last}"),
        None => String::new(),
    };
    writeln!(text, "log         {}{span}; the chain is whole", counted(found.operations, "operation")).ok();
    if let Some(torn) = &found.torn {
        writeln!(text, "            {} was torn by a crash and is left out", torn.display()).ok();
    }
    let missing = found.missing_packs.len() as u64;
    let state = if missing == 0 { "all there".to_owned() } else { format!("{missing} missing or damaged") };
    writeln!(text, "packs       {}, {}: {state}", counted(found.packs, "pack"), size(found.pack_bytes)).ok();
    for pack in &found.missing_packs {
        writeln!(text, "            {} packs/{pack}.pack", ui.paint(Style::Red, "missing or damaged")).ok();
    }
    for path in &found.unnamed_packs {
        writeln!(text, "            no operation names {}", path.display()).ok();
    }
    writeln!(text, "HEAD        {}", found.head).ok();
    let mut label = "refs";
    for (name, id) in &found.refs {
        writeln!(text, "{label:<10}  {} {name}", id.short(12)).ok();
        label = "";
    }
    if let Some(last) = &found.unconfirmed {
        let message = last.message.as_deref().and_then(|message| message.lines().next());
        let message = message.map_or_else(String::new, |message| format!(" ({message})"));
        writeln!(
            text,
            "last        operation {}, {}{message}, {}; applied above",
            last.number, last.operation, last.at
        )
        .ok();
        for change in &last.ref_changes {
            let shown = |id: Option<crate::object::ObjectId>| {
                id.map_or_else(|| "nothing".to_owned(), |id| id.short(12))
            };
            writeln!(
                text,
                "            moves {} from {} to {}",
                change.name,
                shown(change.old),
                shown(change.new)
            )
            .ok();
        }
        writeln!(
            text,
            "            brings {}; only store.redb knew whether it was finished",
            counted(last.packs, "pack")
        )
        .ok();
    }
    if !found.is_needed {
        writeln!(text, "Nothing to rebuild.").ok();
    }
    text
}

fn done_text(ui: &Ui, done: &Rebuild) -> String {
    let sentence = format!(
        "store.redb is there again: {}, {}, HEAD {}.",
        counted(done.operations, "operation"),
        counted(done.refs, "ref"),
        done.head
    );
    let mut text = format!("{}\n", ui.paint(Style::Green, sentence));
    if let Some(old) = &done.moved_aside {
        writeln!(text, "The old file is {}; remove it when you no longer want it.", old.display()).ok();
    }
    text.push_str("`distill verify` checks every byte.\n");
    text
}
