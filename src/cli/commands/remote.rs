//! `distill remote`, `distill push`, `distill pull` and `distill clone`, and the half of `distill fetch` that names a remote.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::cli::columns::visible;
use crate::cli::error::CommandError;
use crate::cli::table::{Table, counted, size};
use crate::cli::ui::Style;
use crate::cli::{Context, Outcome};
use crate::object::ObjectId;
use crate::ops::open::{open, site};
use crate::ops::remotes::{
    CloneOptions, FetchReport, PullOptions, PullOutcome, PushOptions, PushReport, RemoteLine, add, clone,
    fetch, list, pull, push, remove,
};
use crate::remote::Access;
use crate::remote::web::Token;

/// Make remotes known, list them, or take them off the list
///
/// A remote is a folder, `s3://BUCKET/PREFIX`, another repository, or the http(s):// address of a `distill serve`. For
/// buckets, endpoint and credentials come from the environment (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`,
/// `AWS_SECRET_ACCESS_KEY`, `AWS_REGION` …), for servers a token from `DISTILL_TOKEN`. docs/remotes.md describes the layout.
#[derive(Clone, Debug, clap::Args)]
pub struct RemoteArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    Add(AddArgs),
    List,
    Remove(RemoveArgs),
}

/// Make a place known, and an empty one a remote
///
/// Before anything relies on it, eight writers race to create one name there: a store that lets more than one of them is
/// refused, since two pushes at once could undo each other.
#[derive(Clone, Debug, clap::Args)]
struct AddArgs {
    /// What to call it, such as `origin`
    name: String,
    /// A folder, `s3://BUCKET/PREFIX`, or an http(s):// address
    place: String,
}

/// Take a remote off the list; the remote itself stays as it is
#[derive(Clone, Debug, clap::Args)]
struct RemoveArgs {
    /// The remote
    name: String,
}

/// Send runs, branches and tags to a remote
///
/// Sends only what the remote lacks, then moves the refs there, all or none. The current branch where no REF is named. A
/// branch goes on from where it is there; a tag or run never means something else. The runs of the commits that are sent
/// get their names there too. A push that was interrupted goes on where it ended when it is made again.
#[derive(Clone, Debug, clap::Args)]
pub struct PushArgs {
    /// The remote (the only one, or `origin`, when left out), then branches, tags or runs
    #[arg(value_name = "REMOTE|REF")]
    names: Vec<String>,
    /// Every branch, tag and run
    #[arg(long)]
    all: bool,
    /// Every tag too
    #[arg(long)]
    tags: bool,
    /// Let a branch lose commits there, if it stands where it was last seen
    #[arg(long)]
    force_with_lease: bool,
    /// Say what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// What for, for the remote's log
    #[arg(long, short = 'm', value_name = "MSG")]
    message: Option<String>,
}

/// Fetch from a remote, and bring the current branch to where it is there
///
/// Only steps forward: where both sides have commits of their own, the branch stays, the exit status is 1, and
/// `distill merge` joins them.
#[derive(Clone, Debug, clap::Args)]
pub struct PullArgs {
    /// The remote; the only one, or `origin`, when left out
    remote: Option<String>,
    /// Overwrite files of the working tree that were changed by hand
    #[arg(long)]
    force: bool,
    /// Leave the working tree alone
    #[arg(long)]
    no_files: bool,
}

/// Make a repository with all that a remote has
///
/// Fetches and verifies everything, puts HEAD on the remote's branch, and writes configuration, exports and reports. A
/// clone that was interrupted goes on where it ended when it is made again.
#[derive(Clone, Debug, clap::Args)]
pub struct CloneArgs {
    /// A folder, `s3://BUCKET/PREFIX`, or an http(s):// address
    source: String,
    /// The new folder; named like the source when left out
    dir: Option<PathBuf>,
    /// The branch to start on
    #[arg(long, short = 'b', value_name = "NAME")]
    branch: Option<String>,
    /// Write the configuration alone, no exports and reports
    #[arg(long)]
    no_files: bool,
}

#[derive(Serialize)]
struct List {
    items: Vec<RemoteLine>,
}

/// What remotes may need from the environment.
pub(super) fn access() -> Access {
    let aws = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        name.starts_with("AWS_").then_some((name, value))
    });
    let token = std::env::var("DISTILL_TOKEN").ok().and_then(|text| Token::parse(&text));
    Access { aws: aws.collect(), token }
}

pub(super) fn run_remote(context: &Context, args: RemoteArgs) -> Result<Outcome, CommandError> {
    let ui = &context.ui;
    match args.verb {
        Verb::Add(args) => {
            // A remote may be named before the first run.
            let repo = site(&context.start)?.open_or_init().map_err(crate::ops::OpError::from)?;
            let added = add(&repo, &context.start, &args.name, &args.place, &access())?;
            let what = if added.is_new { "new and empty" } else { added.kind };
            let mut text = format!("{} is {} ({what})", visible(&added.name), visible(&added.place));
            if added.branches > 0 {
                write!(text, ", with {}", counted(added.branches, "branch").replace("branchs", "branches"))
                    .ok();
            }
            ui.answer("distill.remote_add.v1", &added, &text)?;
            if added.is_writable == Some(false) {
                ui.say("it cannot be written from here: fetch and pull will do, push will not");
            } else {
                ui.say(&format!("next: `distill push {0}`, or `distill fetch {0}`", visible(&added.name)));
            }
        }
        Verb::List => {
            let items = list(&open(&context.start)?)?;
            let mut table = Table::plain(&[false; 3]);
            for line in &items {
                let branches: Vec<String> = line
                    .branches
                    .iter()
                    .map(|(name, id)| format!("{}@{}", visible(name), id.short(8)))
                    .collect();
                table.row([
                    ui.paint(Style::Bold, visible(&line.name)),
                    visible(&line.place),
                    ui.paint(Style::Dim, branches.join(" ")),
                ]);
            }
            ui.answer("distill.remote_list.v1", &List { items }, &table)?;
        }
        Verb::Remove(args) => {
            let removed = remove(&open(&context.start)?, &args.name, context.clock)?;
            let text = format!(
                "{} is off the list; {} stays as it is",
                visible(&removed.name),
                visible(&removed.place)
            );
            ui.answer("distill.remote_remove.v1", &removed, &text)?;
        }
    }
    Ok(Outcome::Done)
}

fn short(id: Option<ObjectId>) -> String {
    id.map_or_else(|| "nothing".to_owned(), |id| id.short(12))
}

pub(super) fn run_push(context: &Context, args: PushArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let options = PushOptions {
        names: args.names,
        all: args.all,
        tags: args.tags,
        force_with_lease: args.force_with_lease,
        dry_run: args.dry_run,
        message: args.message,
    };
    let report = push(&repo, &options, &access(), context.clock, &context.ui)?;
    context.ui.answer("distill.push.v1", &report, &push_text(context, &report))?;
    Ok(Outcome::Done)
}

fn push_text(context: &Context, report: &PushReport) -> String {
    let mut text = String::new();
    let place = format!("{} ({})", visible(&report.remote), visible(&report.place));
    if report.refs.is_empty() {
        writeln!(text, "{place} is up to date").ok();
        return text;
    }
    let done = if report.dry_run { "would push to" } else { "pushed to" };
    writeln!(text, "{} {place}", context.ui.paint(Style::Bold, done)).ok();
    let mut table = Table::plain(&[false; 3]);
    let (runs, others): (Vec<_>, Vec<_>) =
        report.refs.iter().partition(|moved| moved.name.starts_with("runs/") && moved.before.is_none());
    for moved in others {
        let step = match moved.before {
            None => format!("new, at {}", moved.after.short(12)),
            before => format!("{} to {}", short(before), moved.after.short(12)),
        };
        let note = if moved.forced {
            context.ui.paint(Style::Yellow, "gave up commits there")
        } else {
            String::new()
        };
        table.row([format!("  {}", visible(&moved.name)), step, note]);
    }
    text.push_str(&table.to_string());
    if !runs.is_empty() {
        writeln!(text, "  {} named", counted(runs.len() as u64, "run")).ok();
    }
    for run in &report.runs_taken {
        writeln!(text, "  run {} is another commit there, and stays that", visible(run)).ok();
    }
    let sent = if report.dry_run { "would send" } else { "sent" };
    writeln!(
        text,
        "{sent} {}: {} ({} unpacked) in {}, {} travelled",
        counted(report.commits, "commit"),
        counted(report.objects, "object"),
        size(report.object_bytes),
        counted(report.packs, "pack"),
        size(report.sent_bytes)
    )
    .ok();
    if report.resumed_bytes > 0 {
        writeln!(text, "{} of packs lay there already", size(report.resumed_bytes)).ok();
    }
    if report.rows_skipped > 0 {
        writeln!(
            text,
            "skipped {} ({}) that are there",
            counted(report.rows_skipped, "row"),
            size(report.row_bytes_skipped)
        )
        .ok();
    }
    text
}

/// `distill fetch REMOTE`.
pub(super) fn run_fetch(context: &Context, name: Option<&str>) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let report = fetch(&repo, name, &access(), context.clock, &context.ui)?;
    context.ui.answer("distill.fetch_remote.v1", &report, &fetch_text(&report))?;
    Ok(Outcome::Done)
}

fn fetch_text(report: &FetchReport) -> String {
    let mut text = String::new();
    let place = format!("{} ({})", visible(&report.remote), visible(&report.place));
    if report.refs.is_empty() {
        writeln!(text, "nothing new at {place}").ok();
    } else {
        writeln!(
            text,
            "fetched from {place}: {} in {}",
            counted(report.objects, "object"),
            size(report.bytes)
        )
        .ok();
        let mut table = Table::plain(&[false; 2]);
        let is_new_run = |name: &str| name.starts_with("runs/");
        for changed in report.refs.iter().filter(|changed| !is_new_run(&changed.name)) {
            let step = match (changed.before, changed.after) {
                (None, after) => format!("new, at {}", short(after)),
                (_, None) => "gone there".to_owned(),
                (before, after) => format!("{} to {}", short(before), short(after)),
            };
            table.row([format!("  {}", visible(&changed.name)), step]);
        }
        text.push_str(&table.to_string());
        let runs = report.refs.iter().filter(|changed| is_new_run(&changed.name)).count() as u64;
        if runs > 0 {
            writeln!(text, "  {} named", counted(runs, "run")).ok();
        }
    }
    for name in &report.differ {
        writeln!(text, "  {} is another one there, and stays what it is here", visible(name)).ok();
    }
    text
}

pub(super) fn run_pull(context: &Context, args: PullArgs) -> Result<Outcome, CommandError> {
    let options = PullOptions { remote: args.remote, write_files: !args.no_files, force: args.force };
    let report = pull(site(&context.start)?, &options, &access(), context.clock, &context.ui)?;
    let mut text = fetch_text(&report.fetched);
    let branch = visible(report.branch.strip_prefix("heads/").unwrap_or(&report.branch));
    let there = report.remote_commit_id.object().short(12);
    match report.outcome {
        PullOutcome::UpToDate => writeln!(text, "{branch} is up to date, at {there}"),
        PullOutcome::Ahead => writeln!(text, "{branch} is ahead of {there}: `distill push` sends the rest"),
        PullOutcome::FastForward => writeln!(text, "{branch} moved to {there}"),
        PullOutcome::Forked => writeln!(
            text,
            "{branch} and {} have grown apart; the branch stays where it is",
            visible(&report.tracking)
        ),
    }
    .ok();
    context.ui.answer("distill.pull.v1", &report, &text)?;
    if report.outcome == PullOutcome::Forked {
        let hint = context.ui.paint(Style::Yellow, "hint:");
        context.ui.complain(&format!(
            "{hint} `distill merge {}` joins them, then `distill push`",
            visible(&report.tracking)
        ));
        return Ok(Outcome::No);
    }
    if let Some(elsewhere) = report.merge.as_ref().map(|merge| merge.files_elsewhere.len()).filter(|n| *n > 0)
    {
        context.ui.say(&format!(
            "{} that the runs there read are not in this folder: a run here would stop for their sake; `distill merge --no-ff` \
             makes a commit that holds their rows",
            counted(elsewhere as u64, "file")
        ));
    }
    Ok(Outcome::Done)
}

pub(super) fn run_clone(context: &Context, args: CloneArgs) -> Result<Outcome, CommandError> {
    let options =
        CloneOptions { source: args.source, dir: args.dir, branch: args.branch, write_files: !args.no_files };
    let report = clone(&context.start, &options, &access(), context.clock, &context.ui)?;
    let mut text = String::new();
    let done = if report.resumed { "finished the clone in" } else { "cloned into" };
    writeln!(text, "{done} {}", report.root.display()).ok();
    text.push_str(&fetch_text(&report.fetched));
    match report.commit_id {
        Some(id) => writeln!(text, "on {} at {}", visible(&report.branch), id.object().short(12)).ok(),
        None => writeln!(text, "the remote has no commit yet").ok(),
    };
    context.ui.answer("distill.clone.v1", &report, &text)?;
    Ok(Outcome::Done)
}
