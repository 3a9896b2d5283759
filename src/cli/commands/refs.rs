//! `distill tag`, `distill branch`, `distill reset` and `distill undo`.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::error::CommandError;
use crate::cli::table::Table;
use crate::cli::ui::Style;
use crate::cli::{Context, Outcome};
use crate::object::CommitId;
use crate::ops::open::open;
use crate::ops::refs::{
    Moved, NewRef, branches, create_branch, create_tag, delete_branch, delete_tag, reset, tags, undo,
};
use crate::ops::{ErrorKind, OpError};
use crate::repo::worktree::Summary;

/// Give a commit a name that stays, or list the names
///
/// A tag never moves: a second one of the same name needs --force. Without NAME lists the tags.
#[derive(Clone, Debug, clap::Args)]
pub struct TagArgs {
    /// The tag, such as `v1.0.0`
    name: Option<String>,
    /// The revision it names; HEAD when left out
    rev: Option<String>,
    /// What for
    #[arg(long, short = 'm', value_name = "MSG", conflicts_with = "delete")]
    message: Option<String>,
    /// Delete the tag
    #[arg(long, short = 'd', requires = "name", conflicts_with_all = ["rev", "force"])]
    delete: bool,
    /// Move a tag that exists
    #[arg(long, short = 'f', requires = "name")]
    force: bool,
}

/// Make a branch, or list the branches
///
/// Makes it and stays where HEAD is; `distill checkout NAME` switches. Without NAME lists the branches.
#[derive(Clone, Debug, clap::Args)]
pub struct BranchArgs {
    /// The branch
    name: Option<String>,
    /// The revision it starts from; HEAD when left out
    rev: Option<String>,
    /// Delete the branch; its runs keep their names
    #[arg(long, short = 'd', requires = "name", conflicts_with_all = ["rev", "force"])]
    delete: bool,
    /// Move a branch that exists
    #[arg(long, short = 'f', requires = "name")]
    force: bool,
}

/// Move the current branch, and the working tree with it, to a revision
///
/// What the branch leaves behind keeps its run's name and stands in `distill reflog`; `distill undo` moves it back.
#[derive(Clone, Debug, clap::Args)]
pub struct ResetArgs {
    /// Say that the branch itself moves; required
    #[arg(long, required = true)]
    hard: bool,
    /// Where to
    rev: String,
    /// Overwrite files that were changed by hand
    #[arg(long)]
    force: bool,
}

/// Take back the last operation that moved a branch, a tag or HEAD
///
/// Works as a new operation, so undoing once more does it again.
#[derive(Clone, Debug, clap::Args)]
pub struct UndoArgs {
    /// Overwrite files that were changed by hand
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Reset {
    #[serde(flatten)]
    moved: Moved,
    files: Summary,
}

#[derive(Serialize)]
struct List<T> {
    items: Vec<T>,
}

pub(super) fn run_tag(context: &Context, args: TagArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let Some(name) = args.name else {
        if args.message.is_some() {
            return Err(nameless("tag"));
        }
        let items = tags(&repo)?;
        let mut table = Table::plain(&[false; 4]);
        for line in &items {
            let subject = line.message.lines().next().unwrap_or("");
            let id = context.ui.paint(Style::Yellow, line.commit_id.object().short(12));
            table.row([line.name.as_str(), &id, &line.run_id, subject]);
        }
        context.ui.answer("distill.tag_list.v1", &List { items }, &table)?;
        return Ok(Outcome::Done);
    };
    let moved = if args.delete {
        delete_tag(&repo, &name, context.clock)?
    } else {
        let new = NewRef { name, rev: args.rev, message: args.message, force: args.force };
        create_tag(&repo, &new, context.clock)?
    };
    context.ui.answer("distill.tag.v1", &moved, &sentence(&moved))?;
    Ok(Outcome::Done)
}

pub(super) fn run_branch(context: &Context, args: BranchArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let Some(name) = args.name else {
        let items = branches(&repo)?;
        let mut table = Table::plain(&[false; 4]);
        for line in &items {
            let id = line.commit_id.map_or_else(|| "no commit yet".to_owned(), |id| id.object().short(12));
            let name = if line.current {
                context.ui.paint(Style::Green, format!("* {}", line.name))
            } else {
                format!("  {}", line.name)
            };
            let run = line.run_id.as_deref().unwrap_or("");
            table.row([&name, &id, run, line.message.as_deref().unwrap_or("")]);
        }
        context.ui.answer("distill.branch_list.v1", &List { items }, &table)?;
        return Ok(Outcome::Done);
    };
    let moved = if args.delete {
        delete_branch(&repo, &name, context.clock)?
    } else {
        let new = NewRef { name, rev: args.rev, message: None, force: args.force };
        create_branch(&repo, &new, context.clock)?
    };
    context.ui.answer("distill.branch.v1", &moved, &sentence(&moved))?;
    Ok(Outcome::Done)
}

pub(super) fn run_reset(context: &Context, args: &ResetArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let (moved, files) = reset(&repo, &args.rev, args.force, context.clock)?;
    let text = format!("{}\n{}", sentence(&moved), files_text(&files));
    context.ui.answer("distill.reset.v1", &Reset { moved, files }, &text)?;
    Ok(Outcome::Done)
}

pub(super) fn run_undo(context: &Context, args: &UndoArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let undone = undo(&repo, args.force, context.clock)?;
    let mut text = format!("Took back operation {}: {}", undone.undone, undone.operation);
    if let Some(message) = undone.message.as_deref().and_then(|message| message.lines().next()) {
        write!(text, " ({message})").ok();
    }
    text.push('\n');
    let mut table = Table::plain(&[false; 4]);
    let short =
        |id: Option<crate::object::ObjectId>| id.map_or_else(|| "nothing".to_owned(), |id| id.short(12));
    for change in &undone.ref_changes {
        table.row(["  ", &change.name, "is now", &short(change.new)]);
    }
    if let Some(head) = &undone.head {
        table.row(["  ", "HEAD", "is now", &head.new.to_string()]);
    }
    text.push_str(&table.to_string());
    if let Some(files) = &undone.files {
        text.push_str(&files_text(files));
    }
    context.ui.answer("distill.undo.v1", &undone, &text)?;
    context.ui.say("`distill undo` once more does it again.");
    Ok(Outcome::Done)
}

fn sentence(moved: &Moved) -> String {
    let id = |id: CommitId| id.object().short(12);
    let run = moved.run_id.as_deref().map_or_else(String::new, |run| format!(" ({run})"));
    match (moved.before, moved.after) {
        (before, Some(after)) if before == Some(after) && moved.operation.is_none() => {
            format!("{} is already at {}{run}", moved.name, id(after))
        }
        (Some(before), Some(after)) => {
            format!("{} moved from {} to {}{run}", moved.name, id(before), id(after))
        }
        (None, Some(after)) => format!("{} is at {}{run}", moved.name, id(after)),
        (Some(before), None) => format!("{} is gone; it was at {}", moved.name, id(before)),
        (None, None) => format!("{} is gone", moved.name),
    }
}

fn files_text(files: &Summary) -> String {
    let Summary { written, unchanged, removed, .. } = files;
    format!("files: {written} written, {unchanged} right already, {removed} removed\n")
}

fn nameless(what: &str) -> CommandError {
    OpError::new(ErrorKind::Usage, format!("a {what} needs a name"), format!("distill {what} NAME -m MSG"))
        .into()
}
