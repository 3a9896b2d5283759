//! `distill show`, `distill cat` and `distill ls`.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::error::CommandError;
use crate::cli::pretty::pretty;
use crate::cli::table::{Table, count, counted, size};
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::object::ObjectId;
use crate::ops::OpError;
use crate::ops::open::open;
use crate::ops::show::{
    DatasetLine, Listing, RowsOf, Shown, ShownCommit, ShownDataset, ShownObject, cat, ls, rows, show,
};
use crate::record::PassFail;
use crate::repo::Repo;

/// Show a commit, a tag, a dataset, a row or any object
///
/// REV shows the commit: who, when, what for, the ten metrics, the datasets. REV:DATASET/KEY shows one row, REV:DATASET a
/// dataset; an object id shows that object.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// A revision, `REV:DATASET`, `REV:DATASET/KEY`, or an object id
    #[arg(default_value = "HEAD")]
    rev: String,
}

/// Print the exact bytes of an object, and nothing else
///
/// `distill cat ID | b3sum` prints ID.
#[derive(Clone, Debug, clap::Args)]
pub struct CatArgs {
    /// An object id or its abbreviation, a revision (its commit), or `REV:DATASET/KEY`
    object: String,
}

/// List the datasets of a revision, or the rows of a dataset
#[derive(Clone, Debug, clap::Args)]
pub struct LsArgs {
    /// `REV`, `REV:DATASET` or `REV:DATASET/PREFIX`; HEAD when left out
    rev: Option<String>,
    /// At most so many rows
    #[arg(short = 'n', long = "limit", value_name = "N")]
    limit: Option<usize>,
}

pub(super) fn run_show(context: &Context, args: &ShowArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let shown = show(&repo, &args.rev)?;
    let text = match &shown {
        Shown::Commit(commit) => commit_text(&context.ui, commit),
        Shown::Dataset(dataset) => dataset_text(dataset),
        Shown::Row(row) => {
            let id = context.ui.paint(Style::Yellow, row.object.id);
            format!("{id} {}/{}\n{}", row.dataset, row.key, object_text(&row.object))
        }
        Shown::Object(object) => {
            let id = context.ui.paint(Style::Yellow, object.id);
            format!("{id} {}\n{}", size(object.bytes), object_text(object))
        }
    };
    context.ui.answer("distill.show.v1", &shown, &text)?;
    Ok(Outcome::Done)
}

fn commit_text(ui: &Ui, commit: &ShownCommit) -> String {
    let mut text = String::new();
    let header = &commit.header;
    if let Some(tag) = &commit.tag {
        writeln!(text, "{}", ui.paint(Style::Yellow, format!("tag {}", tag.name))).ok();
        let tagger = if tag.tagger.is_empty() { String::new() } else { format!(" by {}", tag.tagger) };
        writeln!(text, "Tagged:  {}{tagger}", tag.tagged_at).ok();
        for words in tag.message.lines() {
            writeln!(text, "    {words}").ok();
        }
        text.push('\n');
    }
    writeln!(text, "{}", ui.paint(Style::Yellow, format!("commit {}", header.commit_id))).ok();
    for parent in &header.parents {
        writeln!(text, "Parent:  {parent}").ok();
    }
    writeln!(text, "Run:     {} ({})", header.run_id, header.operation).ok();
    if !header.refs.is_empty() {
        writeln!(text, "Refs:    {}", header.refs.join(", ")).ok();
    }
    if !header.author.is_empty() {
        writeln!(text, "Author:  {}", header.author).ok();
    }
    writeln!(text, "Date:    {}", header.committed_at).ok();
    writeln!(text, "Tool:    {} {}", commit.tool.name, commit.tool.version).ok();
    if let Some(verdict) = commit.verdict {
        let word = match verdict {
            PassFail::Pass => ui.paint(Style::Green, "pass"),
            PassFail::Fail => ui.paint(Style::Red, "fail"),
        };
        writeln!(text, "Verdict: {word}").ok();
    }
    for words in header.message.lines() {
        writeln!(text, "\n    {words}").ok();
    }
    if let Some(metrics) = &commit.metrics {
        let mut table = Table::new(&["metric", ">value"]);
        for (name, value) in metrics.iter() {
            table.row([name.to_owned(), count(value)]);
        }
        write!(text, "\n{table}").ok();
    }
    let mut table = Table::new(&["dataset", ">rows", ">bytes", "root"]);
    for (name, root) in &commit.datasets {
        let totals = commit.totals.get(name).copied().unwrap_or_default();
        table.row([name.clone(), count(totals.rows), count(totals.bytes), root.object().short(12)]);
    }
    write!(text, "\n{table}").ok();
    text
}

fn dataset_text(dataset: &ShownDataset) -> String {
    let mut text = format!(
        "{} {}\n{}, {}, a tree of {}\n",
        dataset.root,
        dataset.dataset,
        counted(dataset.totals.rows, "row"),
        size(dataset.totals.bytes),
        counted(u64::from(dataset.height), "level"),
    );
    let commit = dataset.commit_id.object().short(12);
    let path = if dataset.prefix.is_empty() { String::new() } else { format!("/{}", dataset.prefix) };
    writeln!(text, "`distill ls {commit}:{}{path}` lists the rows", dataset.dataset).ok();
    text
}

fn object_text(object: &ShownObject) -> String {
    match (&object.record, &object.text) {
        (Some(record), _) => pretty(record.get()),
        (None, Some(text)) => text.clone(),
        (None, None) => {
            format!("{} that are no text; `distill cat` prints them", counted(object.bytes, "byte"))
        }
    }
}

#[derive(Serialize)]
struct Cat {
    id: ObjectId,
    bytes: u64,
    text: Option<String>,
    hex: Option<String>,
}

pub(super) fn run_cat(context: &Context, args: &CatArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let (id, bytes) = cat(&repo, &args.object)?;
    if context.ui.is_json() {
        let text = std::str::from_utf8(&bytes).ok().map(ToOwned::to_owned);
        let hex = if text.is_none() { Some(hex::encode(&*bytes)) } else { None };
        let answer = Cat { id, bytes: bytes.len() as u64, text, hex };
        context.ui.answer("distill.cat.v1", &answer, &"")?;
    } else {
        context.ui.raw(&bytes)?;
    }
    Ok(Outcome::Done)
}

pub(super) fn run_ls(context: &Context, args: &LsArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let listing = ls(&repo, args.rev.as_deref())?;
    match &listing {
        Listing::Datasets { items, .. } => {
            context.ui.answer("distill.ls.v1", &listing, &datasets_text(items))?;
        }
        Listing::Rows(of) => list_rows(context, &repo, of, args.limit)?,
    }
    Ok(Outcome::Done)
}

fn datasets_text(items: &[DatasetLine]) -> Table {
    let mut table = Table::new(&["dataset", ">rows", ">bytes", "root"]);
    for line in items {
        let root = line.root.object().short(12);
        table.row([line.dataset.clone(), count(line.totals.rows), count(line.totals.bytes), root]);
    }
    table
}

/// Bytes gathered before they are written.
const CHUNK_BYTES: usize = 64 << 10;

fn list_rows(context: &Context, repo: &Repo, of: &RowsOf, limit: Option<usize>) -> Result<(), CommandError> {
    let json = context.ui.is_json();
    let mut out = String::new();
    if json {
        // The members of `of`, then the rows one by one: a dataset may be longer than memory.
        let head = serde_json::to_string(of).map_err(std::io::Error::from)?;
        write!(out, "{{\"schema\":\"distill.ls.v1\",{},\"items\":[", &head[1..head.len() - 1]).ok();
    }
    for (n, entry) in rows(repo, of).take(limit.unwrap_or(usize::MAX)).enumerate() {
        let entry = entry.map_err(|error: OpError| error)?;
        if json {
            let row = serde_json::to_string(&entry).map_err(std::io::Error::from)?;
            write!(out, "{}{row}", if n == 0 { "" } else { "," }).ok();
        } else {
            writeln!(out, "{} {:>9} {}", entry.id, entry.bytes, entry.key).ok();
        }
        if out.len() >= CHUNK_BYTES {
            context.ui.raw(out.as_bytes())?;
            out.clear();
        }
    }
    if json {
        out.push_str("]}\n");
    }
    context.ui.raw(out.as_bytes())?;
    Ok(())
}
