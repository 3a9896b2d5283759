//! `distill stats`.

use std::fmt::Write as _;

use crate::cli::error::CommandError;
use crate::cli::table::{Table, count, counted, size};
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::gc::Amount;
use crate::ops::open::open;
use crate::ops::stats::{Stats, stats};

/// Runs shown unless `--all-runs` is given.
const RUNS_SHOWN: usize = 10;

/// Say what takes the space: by dataset, stream and run, and how much is shared
///
/// Counts every object of every pack once, for the earliest commit that names it, with its length and with its share of
/// the compressed block it lies in. Says what nothing names any more, which `gc` removes. With REV counts what that
/// revision and those before it name. Reads every tree node once and the tables of all packs, and no row; what memory
/// does not hold goes to temporary files. Writes nothing into the store.
#[derive(Clone, Debug, clap::Args)]
pub struct StatsArgs {
    /// Count only what this revision names, and tell of its datasets instead of HEAD's
    rev: Option<String>,
    /// List all runs, not only the latest ten
    #[arg(long)]
    all_runs: bool,
}

pub(super) fn run(context: &Context, args: &StatsArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let found = stats(&repo, args.rev.as_deref(), &std::env::temp_dir(), context.clock, &context.ui)?;
    context.ui.answer("distill.stats.v1", &found, &render(&context.ui, &found, args.all_runs))?;
    let cost = found.cost;
    context.ui.say(&format!(
        "Read {} and {} of the packs' tables.",
        counted(cost.nodes_read, "tree node"),
        counted(cost.table_rows, "row")
    ));
    Ok(Outcome::Done)
}

fn amount(amount: Amount) -> [String; 3] {
    [count(amount.objects), size(amount.bytes), size(amount.stored_bytes)]
}

fn render(ui: &Ui, found: &Stats, all_runs: bool) -> String {
    let mut text = String::new();
    let heading = |text: &mut String, words: &str| writeln!(text, "\n{}", ui.paint(Style::Bold, words)).ok();
    let files = found.files;
    let mut table = Table::plain(&[false, true, false]);
    let tables = size(files.pack_bytes.saturating_sub(files.block_bytes));
    let packs = format!("{}, {tables} of it tables of ids", counted(files.packs, "pack"));
    table.row(["packs", &size(files.pack_bytes), &packs]);
    table.row(["store.redb", &size(files.catalogue_bytes), "which packs belong, refs"]);
    table.row(["ops", &size(files.log_bytes), "the operation log"]);
    table.row([
        "index",
        &size(files.memo_bytes + files.cache_bytes),
        "caches; memos make the next run quick",
    ]);
    table.row(["tmp", &size(files.tmp_bytes), "unfinished writes"]);
    write!(text, "{table}").ok();

    heading(&mut text, "Objects");
    let mut table = Table::new(&["", ">objects", ">size", ">in packs"]);
    let mut line = |name: &str, of: Amount| {
        let [objects, bytes, stored] = amount(of);
        table.row([name.to_owned(), objects, bytes, stored]);
    };
    line("all", found.objects);
    line("  tree nodes among them", found.nodes);
    line(if found.rev.is_some() { "named by the revision" } else { "named by refs" }, found.named);
    for (name, of) in [
        ("kept for undo and @{n}", found.kept_for_undo),
        ("dead: `gc` would remove them", found.dead),
        ("not named by the revision", found.elsewhere),
    ] {
        if let Some(of) = of {
            line(name, of);
        }
    }
    if found.copies.objects > 0 {
        line("second copies", found.copies);
    }
    write!(text, "{table}").ok();

    let of = found
        .commit_id
        .map_or_else(String::new, |id| format!(" (rows and new: of {})", id.object().short(12)));
    heading(&mut text, &format!("By dataset{of}"));
    let mut table =
        Table::new(&["", ">rows", ">their size", ">objects ever", ">size", ">in packs", ">new in packs"]);
    for dataset in &found.datasets {
        if dataset.all.objects == 0 && dataset.rows.is_none() {
            continue;
        }
        let [objects, bytes, stored] = amount(dataset.all);
        table.row([
            dataset.dataset.clone(),
            dataset.rows.map_or_else(String::new, count),
            dataset.bytes_at_commit.map_or_else(String::new, size),
            objects,
            bytes,
            stored,
            size(dataset.new.stored_bytes),
        ]);
    }
    write!(text, "{table}").ok();

    heading(&mut text, "By stream (rows of all datasets)");
    let mut table = Table::new(&["", ">objects", ">size", ">in packs", ">source rows in packs"]);
    for stream in &found.streams {
        let [objects, bytes, stored] = amount(stream.amount);
        let name = stream.stream.clone().unwrap_or_else(|| "(none)".to_owned());
        table.row([name, objects, bytes, stored, size(stream.sources.stored_bytes)]);
    }
    write!(text, "{table}").ok();

    heading(&mut text, "By run (what it was the first to bring)");
    let shown = if all_runs { found.runs.len() } else { RUNS_SHOWN };
    let mut table = Table::new(&["", ">objects", ">size", ">in packs"]);
    for run in found.runs.iter().take(shown) {
        let [objects, bytes, stored] = amount(run.amount);
        table.row([run.run_id.clone(), objects, bytes, stored]);
    }
    write!(text, "{table}").ok();
    if found.runs.len() > shown {
        writeln!(
            text,
            "and {} more: --all-runs lists them",
            counted((found.runs.len() - shown) as u64, "run")
        )
        .ok();
    }

    let sharing = found.sharing;
    heading(&mut text, "Sharing");
    writeln!(
        text,
        "The datasets of {} add up to {} of {}; stored once each, the rows are {}{}.",
        counted(sharing.commits, "commit"),
        counted(sharing.rows, "row"),
        size(sharing.bytes),
        size(sharing.stored_once_bytes),
        share(sharing.bytes, sharing.stored_once_bytes),
    )
    .ok();
    text
}

/// How many times the smaller number the larger one is, where that says something.
fn share(all: u64, once: u64) -> String {
    match (u128::from(all) * 10).checked_div(u128::from(once)) {
        Some(tenths) if tenths > 10 => format!(": {}.{} times less", tenths / 10, tenths % 10),
        _ => String::new(),
    }
}
