//! `distill log` and `distill reflog`.

mod life;
mod series;

use std::collections::HashSet;
use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::error::CommandError;
use crate::cli::graph::{Glyphs, Graph};
use crate::cli::table::{Table, count};
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::log::{LogLine, LogOptions, ReflogLine, log, reflog};
use crate::ops::open::open;

/// List commits, the latest first; or the life of a record, or a metric over time
///
/// REV is a branch, tag, run id, commit id or its abbreviation, `HEAD`, `REV~N`, `REV^`, `@{N}`; `A..B` lists the commits
/// of B that A has not.
///
/// With `--record KEY`, the runs in which that record appeared, changed (with the fields), was re-scored (with category and
/// rule), entered or left an export, and left. With `--metric NAME`, the values of one of the ten metrics along first parents, and the
/// run at which it last moved beyond the limits in config.toml.
#[derive(Clone, Debug, clap::Args)]
pub struct LogArgs {
    /// Where to start; HEAD when left out
    rev: Option<String>,
    /// At most so many commits, events or values
    #[arg(short = 'n', long = "limit", value_name = "N")]
    limit: Option<usize>,
    /// One line for each commit
    #[arg(long)]
    oneline: bool,
    /// Start from HEAD and every branch, tag and run
    #[arg(long, conflicts_with_all = ["rev", "record", "metric"])]
    all: bool,
    /// Draw the history beside the commits; a horizontal line belongs to the commit above it
    #[arg(long, conflicts_with_all = ["record", "metric"])]
    graph: bool,
    /// Draw with `|`, `-`, `+` and the like alone
    #[arg(long, requires = "graph")]
    ascii: bool,
    /// The life of the record with this key, in evidence, scored runs and exports
    #[arg(long, value_name = "KEY", conflicts_with_all = ["metric", "oneline"])]
    record: Option<String>,
    /// Look for the record in this dataset alone
    #[arg(long, value_name = "NAME", requires = "record")]
    dataset: Option<String>,
    /// One of the ten metrics over time, such as `p3_accepted`
    #[arg(long, value_name = "NAME", conflicts_with = "oneline")]
    metric: Option<String>,
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
    if let Some(key) = &args.record {
        return life::run(context, &repo, args.rev.as_deref(), key, args.dataset.as_deref(), args.limit);
    }
    if let Some(metric) = &args.metric {
        return series::run(context, &repo, args.rev.as_deref(), metric, args.limit);
    }
    let options =
        LogOptions { rev: args.rev.clone(), all: args.all, limit: args.limit, topological: args.graph };
    let items = log(&repo, &options)?;
    let text = if args.graph {
        let glyphs = if args.ascii { Glyphs::Ascii } else { Glyphs::Unicode };
        graph(&context.ui, &items, args.oneline, glyphs)
    } else {
        list(&context.ui, &items, args.oneline)
    };
    context.ui.answer("distill.log.v1", &List { items }, &text)?;
    Ok(Outcome::Done)
}

fn list(ui: &Ui, items: &[LogLine], one: bool) -> String {
    let mut text = String::new();
    for line in items {
        if one {
            oneline(ui, line, &mut text);
        } else {
            if !text.is_empty() {
                text.push('\n');
            }
            whole(ui, line, &mut text);
        }
    }
    text
}

fn graph(ui: &Ui, items: &[LogLine], one: bool, glyphs: Glyphs) -> String {
    let listed: HashSet<_> = items.iter().map(|line| line.header.commit_id).collect();
    let mut graph = Graph::new(glyphs);
    let mut text = String::new();
    for (n, line) in items.iter().enumerate() {
        let header = &line.header;
        let parents: Vec<_> = header.parents.iter().filter(|id| listed.contains(id)).copied().collect();
        let rows = graph.commit(&header.commit_id, &parents, line.head);
        let mut words = String::new();
        if one {
            oneline(ui, line, &mut words);
        } else {
            whole(ui, line, &mut words);
            if n + 1 < items.len() {
                words.push('\n');
            }
        }
        text.push_str(&rows.beside(&words));
    }
    text
}

fn refs(ui: &Ui, line: &LogLine) -> String {
    let mut names: Vec<String> = (line.header.refs.iter())
        .filter(|name| **name != format!("runs/{}", line.header.run_id))
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
    let id = ui.paint(Style::Yellow, line.header.commit_id.object().short(12));
    let subject = line.header.message.lines().next().unwrap_or("");
    writeln!(text, "{id} {}{} {subject}", line.header.run_id, refs(ui, line)).ok();
}

fn whole(ui: &Ui, line: &LogLine, text: &mut String) {
    let id = ui.paint(Style::Yellow, format!("commit {}", line.header.commit_id));
    writeln!(text, "{id}{}", refs(ui, line)).ok();
    if line.header.parents.len() > 1 {
        let parents: Vec<String> = line.header.parents.iter().map(|id| id.object().short(12)).collect();
        writeln!(text, "Merge:  {}", parents.join(" ")).ok();
    }
    writeln!(text, "Run:    {} ({})", line.header.run_id, line.header.operation).ok();
    if !line.header.author.is_empty() {
        writeln!(text, "Author: {}", line.header.author).ok();
    }
    writeln!(text, "Date:   {}", line.header.committed_at).ok();
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
    if !line.header.message.is_empty() {
        text.push('\n');
        for words in line.header.message.lines() {
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
