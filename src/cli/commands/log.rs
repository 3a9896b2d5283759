//! `distill log` and `distill reflog`.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::error::CommandError;
use crate::cli::table::{Table, count};
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::log::{LogLine, ReflogLine, log, reflog};
use crate::ops::open::open;

/// List commits, the latest first
///
/// REV is a branch, tag, run id, commit id or its abbreviation, `HEAD`, `REV~N`, `REV^`, `@{N}`; `A..B` lists the commits
/// of B that A has not.
#[derive(Clone, Debug, clap::Args)]
pub struct LogArgs {
    /// Where to start; HEAD when left out
    rev: Option<String>,
    /// At most so many commits
    #[arg(short = 'n', long = "limit", value_name = "N")]
    limit: Option<usize>,
    /// One line for each commit
    #[arg(long)]
    oneline: bool,
}

/// List where HEAD or a branch has stood, the latest first
///
/// The number of an entry is the N of `@{N}` or `NAME@{N}`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReflogArgs {
    /// A branch or another ref, deleted ones too; HEAD when left out
    name: Option<String>,
}

#[derive(Serialize)]
struct List<T> {
    items: Vec<T>,
}

pub(super) fn run_log(context: &Context, args: &LogArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let items = log(&repo, args.rev.as_deref(), args.limit)?;
    let mut text = String::new();
    for line in &items {
        if args.oneline {
            oneline(&context.ui, line, &mut text);
        } else {
            whole(&context.ui, line, &mut text);
        }
    }
    context.ui.answer("distill.log.v1", &List { items }, &text)?;
    Ok(Outcome::Done)
}

fn refs(ui: &Ui, line: &LogLine) -> String {
    let mut names: Vec<String> = (line.refs.iter())
        .filter(|name| **name != format!("runs/{}", line.run_id))
        .map(|name| match name.split_once('/') {
            Some(("heads", branch)) => branch.to_owned(),
            Some(("tags", tag)) => format!("tag: {tag}"),
            _ => name.clone(),
        })
        .collect();
    if line.head {
        names.insert(0, "HEAD".to_owned());
    }
    if names.is_empty() { String::new() } else { ui.paint(Style::Green, format!(" ({})", names.join(", "))) }
}

fn oneline(ui: &Ui, line: &LogLine, text: &mut String) {
    let id = ui.paint(Style::Yellow, line.commit_id.object().short(12));
    let subject = line.message.lines().next().unwrap_or("");
    writeln!(text, "{id} {}{} {subject}", line.run_id, refs(ui, line)).ok();
}

fn whole(ui: &Ui, line: &LogLine, text: &mut String) {
    if !text.is_empty() {
        text.push('\n');
    }
    let id = ui.paint(Style::Yellow, format!("commit {}", line.commit_id));
    writeln!(text, "{id}{}", refs(ui, line)).ok();
    writeln!(text, "Run:    {} ({})", line.run_id, line.operation).ok();
    if !line.author.is_empty() {
        writeln!(text, "Author: {}", line.author).ok();
    }
    writeln!(text, "Date:   {}", line.committed_at).ok();
    if let Some(m) = &line.metrics {
        writeln!(
            text,
            "Rows:   {} evidence, {} RAG, {} SFT, {} pairs, {} quarantined",
            count(m.p2_evidence_rows),
            count(m.p4_rag_rows),
            count(m.p4_sft_rows),
            count(m.p4_pref_pairs),
            count(m.p4_total_quarantined)
        )
        .ok();
    }
    if !line.message.is_empty() {
        text.push('\n');
        for words in line.message.lines() {
            writeln!(text, "    {words}").ok();
        }
    }
}

pub(super) fn run_reflog(context: &Context, args: &ReflogArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let items = reflog(&repo, args.name.as_deref())?;
    let name = args.name.as_deref().filter(|name| *name != "HEAD").unwrap_or("");
    let mut table = Table::plain(&[false; 5]);
    for line in &items {
        table.row(reflog_cells(&context.ui, name, line));
    }
    context.ui.answer("distill.reflog.v1", &List { items }, &table)?;
    Ok(Outcome::Done)
}

fn reflog_cells(ui: &Ui, name: &str, line: &ReflogLine) -> [String; 5] {
    let id = line.commit_id.map_or_else(|| "nowhere".to_owned(), |id| id.object().short(12));
    [
        ui.paint(Style::Yellow, id),
        format!("{name}@{{{}}}", line.index),
        line.at.clone(),
        line.operation.clone(),
        line.message.as_deref().and_then(|message| message.lines().next()).unwrap_or("").to_owned(),
    ]
}
