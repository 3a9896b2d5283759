//! `distill checkout`: the working tree at a revision.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::cli::error::CommandError;
use crate::cli::ui::Style;
use crate::cli::{Context, Outcome};
use crate::ops::checkout::CheckoutOptions;
use crate::ops::checkout::CheckoutReport;
use crate::ops::checkout::checkout;
use crate::ops::report::bytes;
use crate::ops::snapshot::Selection;
use crate::repo::Site;
use crate::repo::worktree::Summary;

/// Write the files of a revision, and move HEAD there
///
/// Writes exports, quarantine and reports, byte for byte as they were, and removes what an earlier checkout or run wrote
/// and no longer belongs. A branch name switches HEAD to that branch; any other revision detaches HEAD. A file that was
/// changed by hand is never overwritten without --force: the command lists such files and exits 1, and nothing has
/// changed.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckoutArgs {
    /// The revision: a branch, a tag, a run id, a commit; HEAD when left out
    rev: Option<String>,
    /// Only these datasets, such as `exports/sft` or `evidence`
    #[arg(value_name = "DATASET", conflicts_with = "all")]
    datasets: Vec<String>,
    /// Write into this directory instead of the working tree; HEAD stays
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "new_branch"])]
    to: Option<PathBuf>,
    /// Write evidence, scored runs and duplicates too
    #[arg(long)]
    all: bool,
    /// Overwrite files that were changed by hand
    #[arg(long)]
    force: bool,
    /// Restore the configuration of the revision too: config.toml, policy.toml, sources/*.toml
    #[arg(long)]
    config: bool,
    /// Make a branch of this name at the revision and switch to it
    #[arg(short = 'b', value_name = "NAME")]
    new_branch: Option<String>,
}

pub(super) fn run(context: &Context, args: CheckoutArgs) -> Result<Outcome, CommandError> {
    let selection = if args.all { Selection::All } else { Selection::named(&args.datasets)? };
    let options = CheckoutOptions {
        rev: args.rev,
        selection,
        to: args.to,
        force: args.force,
        config: args.config,
        new_branch: args.new_branch,
    };
    let open = || Site::discover(&context.start)?.open();
    let repo = open().map_err(crate::ops::OpError::from)?;
    let report = checkout(&repo, &options, context.clock)?;
    let text = render(context, &options, &report);
    context.ui.answer("distill.checkout.v1", &report, &text)?;
    Ok(Outcome::Done)
}

fn render(context: &Context, options: &CheckoutOptions, report: &CheckoutReport) -> String {
    let ui = &context.ui;
    let mut text = String::new();
    let commit = report.commit_id.object().short(12);
    let at = format!("{} ({})", ui.paint(Style::Yellow, &commit), report.run_id);
    match (&options.to, &report.branch) {
        (Some(_), _) => writeln!(text, "{at} is in {}", report.target.display()),
        (None, Some(branch)) => writeln!(text, "HEAD is on {} at {at}", ui.paint(Style::Bold, branch)),
        (None, None) => writeln!(text, "HEAD is detached at {at}"),
    }
    .ok();
    writeln!(text, "{}", files("files", &report.files)).ok();
    if let Some(config) = &report.config {
        writeln!(text, "{}", files("configuration files", config)).ok();
    }
    if options.to.is_none() && report.branch.is_none() {
        ui.say(
            "A run needs a branch: `distill checkout main` returns to one, `distill checkout -b NAME` makes one here.",
        );
    }
    text
}

fn files(what: &str, summary: &Summary) -> String {
    let Summary { written, unchanged, removed, bytes_written } = summary;
    format!(
        "{what}: {written} written ({}), {unchanged} right already, {removed} removed",
        bytes(*bytes_written)
    )
}
