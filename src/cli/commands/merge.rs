//! `distill merge`.

use std::fmt::Write as _;

use crate::cli::commands::run::render;
use crate::cli::error::CommandError;
use crate::cli::table::{Table, count, counted};
use crate::cli::ui::Style;
use crate::cli::{Context, Outcome};
use crate::object::ObjectId;
use crate::ops::merge::{MergeOptions, MergeOutcome, MergeReport, Side, merge};
use crate::ops::open::site;
use crate::record::PassFail;

/// Conflicts and files that are listed for a person; `--json` lists all.
const LISTED_MAX: usize = 20;

/// Merge the runs of other branches or sites into the current branch
///
/// Makes the union of the source rows and of the specs, and from it what one run over all of them would have made:
/// duplicates, keys, scores, exports and pairs are decided again. The same row or the same part of the configuration,
/// changed in two ways, is a conflict: they are listed, nothing is written, and the exit status is 1.
///
/// Rows of files that are not in this folder stay: later runs here take them from the store, and their receipts call the
/// files `merged:`. A revision that goes on from the branch only moves it.
#[derive(Clone, Debug, clap::Args)]
pub struct MergeArgs {
    /// Branches, tags, run ids or other revisions; several make one commit
    #[arg(required = true, value_name = "REV")]
    revs: Vec<String>,
    /// Where the sides disagree, take the file or the part of the configuration from the current branch
    #[arg(long, conflicts_with = "theirs")]
    ours: bool,
    /// Where the sides disagree, take the file or the part of the configuration from the revision
    #[arg(long)]
    theirs: bool,
    /// The commit's message
    #[arg(long, short = 'm', value_name = "MSG")]
    message: Option<String>,
    /// Say what would be merged and what disagrees, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Make a commit where the branch could simply move
    #[arg(long)]
    no_ff: bool,
    /// The id of the merge's own run; made from the time when left out
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// Overwrite files of the working tree that were changed by hand
    #[arg(long)]
    force: bool,
    /// Leave the working tree alone: write the store only
    #[arg(long)]
    no_files: bool,
    /// Worker threads; one a core when left out
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

pub(super) fn run(context: &Context, args: MergeArgs) -> Result<Outcome, CommandError> {
    let mut options = MergeOptions::new(args.revs);
    options.favour = match (args.ours, args.theirs) {
        (true, _) => Some(Side::Ours),
        (_, true) => Some(Side::Theirs),
        _ => None,
    };
    options.dry_run = args.dry_run;
    options.no_ff = args.no_ff;
    options.run.message = args.message;
    options.run.run_id = args.run_id;
    options.run.force = args.force;
    options.run.write_files = !args.no_files;
    options.run.threads = args.threads;
    let report = merge(site(&context.start)?, &options, context.clock, &context.ui)?;
    context.ui.answer("distill.merge.v1", &report, &text(context, &report))?;
    advise(context, &report);
    let failed = report.run.as_ref().is_some_and(|run| run.summary.verdict == PassFail::Fail);
    Ok(if failed || report.outcome == MergeOutcome::Conflicts { Outcome::No } else { Outcome::Done })
}

fn text(context: &Context, report: &MergeReport) -> String {
    let mut text = String::new();
    let branch = report.branch.trim_start_matches("heads/");
    let would = |done: &str, would: &str| if report.dry_run { would.to_owned() } else { done.to_owned() };
    match report.outcome {
        MergeOutcome::UpToDate => return format!("Already up to date: {branch} has all of it.\n"),
        MergeOutcome::FastForward => {
            let target = report.parents.last();
            let id = target.map_or(String::new(), |target| target.commit_id.object().short(12));
            let run = target.map_or("", |target| target.run_id.as_str());
            writeln!(
                text,
                "{branch} {} to {id} ({run}): it goes on from there",
                would("moved", "would move")
            )
            .ok();
        }
        MergeOutcome::Conflicts => conflicts(context, report, &mut text),
        MergeOutcome::Merged => {
            let revs: Vec<&str> = report.parents.iter().map(|side| side.rev.as_str()).collect();
            let with = context.ui.paint(Style::Bold, would("merged", "would merge"));
            writeln!(text, "{with} {}", revs.join(" + ")).ok();
        }
    }
    if report.outcome != MergeOutcome::Conflicts {
        let gone = match report.rows_gone {
            0 => String::new(),
            n => format!(", takes away {}", count(n)),
        };
        writeln!(text, "  sources  brings {}{gone}", counted(report.rows_brought, "row")).ok();
    }
    for part in &report.config_taken {
        writeln!(text, "  config   {} as {} has it", part.part, part.rev).ok();
    }
    for decided in &report.resolutions {
        let (taken, other) = match decided.taken {
            Side::Ours => ("ours", decided.rev.as_str()),
            Side::Theirs => (decided.rev.as_str(), "ours"),
        };
        let lost = match decided.rows_left_out {
            0 => String::new(),
            n => format!("; {} of {other} left out", counted(n, "row")),
        };
        writeln!(text, "  decided  {}: {} from {taken}{lost}", decided.dataset, decided.what).ok();
    }
    if let Some(run) = &report.run {
        write!(text, "\n{}", render(context, run)).ok();
    }
    text
}

fn conflicts(context: &Context, report: &MergeReport, text: &mut String) {
    let total = counted(report.conflicts.len() as u64, "conflict");
    writeln!(text, "{}: nothing was written", context.ui.paint(Style::Red, total)).ok();
    let id = |id: Option<ObjectId>| id.map_or_else(|| "not there".to_owned(), |id| id.short(12));
    let mut table = Table::new(&["row", "ours", "theirs", "rev"]);
    for conflict in report.conflicts.iter().take(LISTED_MAX) {
        let row = format!("{}/{}", conflict.dataset, conflict.key);
        table.row([row, id(conflict.ours), id(conflict.theirs), conflict.rev.clone()]);
    }
    write!(text, "{table}").ok();
    if report.conflicts.len() > LISTED_MAX {
        writeln!(text, "and {} more: --json lists all", report.conflicts.len() - LISTED_MAX).ok();
    }
}

/// What to know and do next, beside the answer.
fn advise(context: &Context, report: &MergeReport) {
    let ui = &context.ui;
    if report.outcome == MergeOutcome::Conflicts {
        let hint = ui.paint(Style::Yellow, "hint:");
        ui.complain(&format!(
            "{hint} `distill cat ID` shows each side; --ours or --theirs takes the whole file (or part of the configuration) \
             from one side; two sites that write different files of one name should write to folders of their own"
        ));
    }
    let elsewhere = &report.files_elsewhere;
    if !elsewhere.is_empty() {
        let shown: Vec<&str> = elsewhere.iter().take(3).map(String::as_str).collect();
        let more = if elsewhere.len() > shown.len() { " …" } else { "" };
        let files = format!(
            "{} not in this folder ({}{more})",
            counted(elsewhere.len() as u64, "file"),
            shown.join(", ")
        );
        ui.say(&if report.outcome == MergeOutcome::FastForward {
            format!(
                "{files}: the branch was made where they are, so a run here would stop for their sake; \
                 `--no-ff` makes a commit that holds their rows for runs here"
            )
        } else {
            format!("{files}: runs on this branch keep their rows, from the store")
        });
    }
    if report.config_differs && report.outcome == MergeOutcome::Merged {
        ui.say(
            "the configuration of the merge is not the one in .distill: `distill checkout --config` restores it, \
             or the next run goes on with yours",
        );
    }
}
