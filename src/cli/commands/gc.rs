//! `distill gc`.

use std::fmt::Write as _;

use crate::base::duration::{in_words, parse_seconds};
use crate::cli::error::CommandError;
use crate::cli::table::{Table, count, counted, size};
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::gc::{Done, GcOptions, GcPlan, Reason, collect, plan};
use crate::ops::open::open;

/// Remove what nothing has named for two weeks: runs that were undone, tags and branches that were deleted
///
/// Says first what goes and why, pack by pack, then does it. Kept is all that a branch, a tag, a run or HEAD names, now
/// or at any moment within the grace period, so that `undo` and `@{n}` work that far back. Packs that hold something to
/// remove are written anew without it, and need room for that; one operation replaces them all. Caches that no run would
/// use and what killed runs left go, too. Waits for runs to end, and runs wait for it; readers go on. Reads every tree
/// node and the tables of all packs.
#[derive(Clone, Debug, clap::Args)]
pub struct GcArgs {
    /// Say what would go and why, and remove nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Keep what was named so long ago or later, such as 2w, 36h or 0; `gc.grace` of config.toml when left out
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds)]
    grace: Option<u64>,
}

pub(super) fn run(context: &Context, args: &GcArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let options = GcOptions { grace_s: args.grace, spill_dir: std::env::temp_dir() };
    let ui = &context.ui;
    if args.dry_run {
        let report = plan(&repo, &options, context.clock, ui)?;
        ui.answer("distill.gc.v1", &report, &plan_text(ui, &report.plan, true))?;
        return Ok(Outcome::Done);
    }
    let report = collect(&repo, &options, context.clock, ui, |plan| {
        if !ui.is_json() {
            ui.raw(plan_text(ui, plan, false).as_bytes())?;
        }
        Ok::<(), CommandError>(())
    })?;
    let text = report.done.as_ref().map_or_else(String::new, |done| done_text(ui, &report.plan, done));
    ui.answer("distill.gc.v1", &report, &text)?;
    Ok(Outcome::Done)
}

fn plan_text(ui: &Ui, plan: &GcPlan, is_dry: bool) -> String {
    let mut text = String::new();
    let grace = in_words(plan.grace_s);
    if plan.removed.objects == 0 {
        let kept = counted(plan.kept.objects, "object");
        writeln!(
            text,
            "Everything in the packs is named, or was within {grace}: {kept}, {}.",
            size(plan.kept.bytes)
        )
        .ok();
    } else {
        let verb = if is_dry { "would go" } else { "goes" };
        let heading = format!("What nothing has named since {} (grace: {grace}) {verb}:", plan.since);
        writeln!(text, "{}", ui.paint(Style::Bold, heading)).ok();
        let mut table = Table::new(&[">objects", ">size", ">in packs", "from"]);
        for reason in &plan.reasons {
            let amount = reason.amount;
            table.row([count(amount.objects), size(amount.bytes), size(amount.stored_bytes), cause(reason)]);
        }
        text.push_str(&table.to_string());
        let mut table = Table::new(&["pack", ">file", ">kept", ">removed", ">size", ""]);
        for pack in &plan.packs {
            table.row([
                pack.pack.short(12),
                size(pack.file_bytes),
                counted(pack.kept.objects, "object"),
                counted(pack.removed.objects, "object"),
                size(pack.removed.bytes),
                pack.fate.to_owned(),
            ]);
        }
        write!(text, "\n{table}").ok();
        if plan.packs_untouched > 0 {
            writeln!(text, "{} with nothing to remove", counted(plan.packs_untouched, "pack")).ok();
        }
    }
    if !plan.leftovers.is_empty() {
        let verb = if is_dry { "would go" } else { "go" };
        writeln!(text, "\n{}", ui.paint(Style::Bold, format!("Files beside the packs that {verb}:"))).ok();
        let mut table = Table::plain(&[true, false, false]);
        for leftover in &plan.leftovers {
            table.row([size(leftover.bytes), leftover.path.display().to_string(), leftover.why.to_owned()]);
        }
        text.push_str(&table.to_string());
    }
    text
}

fn cause(reason: &Reason) -> String {
    let (Some(number), Some(what), Some(at)) = (reason.operation, &reason.what, &reason.at) else {
        return "never named by anything".to_owned();
    };
    let mut text = format!("{}: left by operation {number}, {what}", reason.refs.join(", "));
    if let Some(message) = reason.message.as_deref().and_then(|message| message.lines().next()) {
        write!(text, " ({message})").ok();
    }
    write!(text, ", {}", at.split('T').next().unwrap_or(at)).ok();
    text
}

fn done_text(ui: &Ui, plan: &GcPlan, done: &Done) -> String {
    let Some(number) = done.operation else {
        return if plan.leftovers.is_empty() {
            String::new()
        } else {
            "\nDone; no pack changed.\n".to_owned()
        };
    };
    let sentence = format!(
        "Removed {}: {} left and {} came; {} before, {} now (operation {number}).",
        counted(plan.removed.objects, "object"),
        counted(done.packs_removed, "pack"),
        count(done.packs_written),
        size(done.bytes_before),
        size(done.bytes_after),
    );
    format!("\n{}\n", ui.paint(Style::Green, sentence))
}
