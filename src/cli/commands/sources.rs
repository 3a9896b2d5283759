//! `distill sources`: the specs there are, and what one makes of real rows.

mod trial;

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::cli::columns::visible;
use crate::cli::error::CommandError;
use crate::cli::table::{Table, count};
use crate::cli::ui::Style;
use crate::cli::{Context, Outcome};
use crate::ops::OpError;
use crate::ops::sources::test::{Fate, Head, TestOptions, Totals, Trial, UnitShown};
use crate::ops::sources::{Listed, add, list, show};
use crate::repo::RepoError;
use crate::repo::Site;

/// List, show, add and try source specs
///
/// A spec says which files hold a stream and how a row becomes evidence. `sources test` is the loop in which one is
/// written: docs/sources.md goes through it.
#[derive(Clone, Debug, clap::Args)]
pub struct SourcesArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    List,
    Show(ShowArgs),
    Add(AddArgs),
    Test(TestArgs),
}

/// Print a spec, and what it matches here
///
/// The text goes to stdout as it stands; the files that it reads are told on stderr.
#[derive(Clone, Debug, clap::Args)]
struct ShowArgs {
    /// A spec of the repository, one that comes with distill, or a path
    name: String,
}

/// Copy a spec that comes with distill to .distill/sources, to be used and edited
///
/// Overwrites nothing.
#[derive(Clone, Debug, clap::Args)]
struct AddArgs {
    /// The spec; `distill sources list` names them
    name: String,
}

/// Show what a spec makes of the rows of a file: row and evidence side by side
///
/// Reads the whole file and writes nothing; works outside a repository too. Shows the first rows with their fate, the
/// record and the category that the policy would give; every field that stayed empty and every member that nothing reads
/// is marked. Then the figures of the whole file. Lookups are read from the base.
#[derive(Clone, Debug, clap::Args)]
struct TestArgs {
    /// A spec of the repository, one that comes with distill, or the path of a TOML file (with a `/` or `.toml`)
    spec: String,
    /// The file with rows; .gz and .zst are unpacked
    file: PathBuf,
    /// How many units to show
    #[arg(short = 'n', long = "units", value_name = "N", default_value_t = 5)]
    units: usize,
    /// Show units of this fate only
    #[arg(long, value_enum)]
    fate: Option<FateArg>,
    /// Show long values whole
    #[arg(long)]
    full: bool,
    /// Where the globs of the spec start; the repository's base, or the nearest folder from which they reach FILE
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FateArg {
    Records,
    Skipped,
    Quarantined,
}

impl From<FateArg> for Fate {
    fn from(fate: FateArg) -> Self {
        match fate {
            FateArg::Records => Self::Records,
            FateArg::Skipped => Self::Skipped,
            FateArg::Quarantined => Self::Quarantined,
        }
    }
}

pub(super) fn run(context: &Context, args: SourcesArgs) -> Result<Outcome, CommandError> {
    match args.verb {
        Verb::List => run_list(context),
        Verb::Show(args) => run_show(context, &args),
        Verb::Add(args) => run_add(context, &args),
        Verb::Test(args) => run_test(context, args),
    }
}

/// The repository at or above the start; `None` where there is none.
fn site(context: &Context) -> Result<Option<Site>, OpError> {
    match Site::discover(&context.start) {
        Ok(site) => Ok(Some(site)),
        Err(RepoError::NotARepository { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn run_list(context: &Context) -> Result<Outcome, CommandError> {
    let ui = &context.ui;
    let site = site(context)?;
    let list = list(site.as_ref(), &context.start)?;
    let mut text = String::new();
    let mut own = Table::new(&["spec", "stream", ">files", ">units", ">records", ""]);
    let mut other = Table::new(&["comes with distill", "stream", ">files", ""]);
    let (mut has_own, mut has_other) = (false, false);
    for item in &list.items {
        match item {
            Listed::Configured(spec) => {
                has_own = true;
                let number = |n: Option<u64>| n.map_or_else(|| "·".to_owned(), count);
                let note = match (&spec.error, spec.unchanged) {
                    (Some(error), _) => ui.paint(Style::Red, visible(error)),
                    (None, Some(false)) => ui.paint(Style::Yellow, "edited since the last run"),
                    (None, None) => ui.paint(Style::Yellow, "no run with it yet"),
                    (None, Some(true)) => ui.paint(Style::Dim, visible(&spec.description)),
                };
                own.row([
                    ui.paint(Style::Bold, visible(&spec.name)),
                    spec.stream.clone().unwrap_or_default(),
                    count(spec.files),
                    number(spec.units),
                    number(spec.records),
                    note,
                ]);
            }
            Listed::Embedded(spec) => {
                has_other = true;
                other.row([
                    ui.paint(Style::Bold, &spec.name),
                    spec.stream.clone(),
                    spec.files.map_or_else(|| "·".to_owned(), count),
                    ui.paint(Style::Dim, &spec.description),
                ]);
            }
        }
    }
    if has_own {
        writeln!(text, "{own}").ok();
    } else if site.is_some() {
        writeln!(text, "No spec in .distill/sources yet.\n").ok();
    }
    if has_other {
        write!(text, "{other}").ok();
    }
    ui.answer("distill.sources_list.v1", &list, &text.trim_end())?;
    if site.is_some() && has_other {
        ui.say("next: `distill sources add NAME` takes one over; `distill sources test NAME FILE` tries one");
    }
    Ok(Outcome::Done)
}

fn run_show(context: &Context, args: &ShowArgs) -> Result<Outcome, CommandError> {
    let site = site(context)?;
    let shown = show(site.as_ref(), &context.start, &args.name)?;
    if context.ui.is_json() {
        context.ui.answer("distill.sources_show.v1", &shown, &"")?;
        return Ok(Outcome::Done);
    }
    context.ui.raw(shown.text.as_bytes())?;
    let ui = &context.ui;
    let place = shown.path.as_deref().unwrap_or("comes with distill");
    ui.say(&format!("{} ({})", visible(&shown.name), visible(place)));
    if let Some(error) = &shown.error {
        ui.say(&format!("cannot be used: {}", visible(error)));
    }
    for (what, files) in [("reads", &shown.files), ("looks up in", &shown.lookup_files)] {
        match files {
            Some(files) if files.is_empty() && what == "reads" => ui.say("reads no file here"),
            Some(files) if !files.is_empty() => ui.say(&format!("{what} {}", first(files))),
            _ => {}
        }
    }
    Ok(Outcome::Done)
}

/// The first of many files, and how many more there are.
fn first(files: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = files.iter().take(SHOWN).map(|file| visible(file)).collect::<Vec<_>>().join(", ");
    if files.len() > SHOWN {
        write!(text, " and {} more", count((files.len() - SHOWN) as u64)).ok();
    }
    text
}

fn run_add(context: &Context, args: &AddArgs) -> Result<Outcome, CommandError> {
    let site = Site::discover(&context.start).map_err(OpError::from)?;
    let added = add(&site, &args.name)?;
    let text = format!("Wrote {}", added.file);
    context.ui.answer("distill.sources_add.v1", &added, &text)?;
    let next = match added.files.first() {
        None => format!("It reads no file below {}: edit `files` in it.", added.base),
        Some(file) => format!(
            "It reads {}. Next: `distill sources test {} {}`, then `distill run-all`.",
            first(&added.files),
            added.name,
            visible(file)
        ),
    };
    context.ui.say(&next);
    Ok(Outcome::Done)
}

/// The whole answer, for a program.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    head: &'a Head,
    units: Vec<UnitShown>,
    totals: Totals,
}

fn run_test(context: &Context, args: TestArgs) -> Result<Outcome, CommandError> {
    let ui = &context.ui;
    let site = site(context)?;
    let options = TestOptions {
        spec: args.spec,
        file: args.file,
        base: args.base,
        units: args.units,
        fate: args.fate.map(Fate::from),
    };
    let trial = Trial::new(site.as_ref(), &context.start, options)?;
    if ui.is_json() {
        let mut units = Vec::new();
        let totals = trial.run(ui, &mut |unit| {
            units.push(unit);
            true
        })?;
        ui.answer("distill.sources_test.v1", &Answer { head: trial.head(), units, totals }, &"")?;
        return Ok(Outcome::Done);
    }
    let view = trial::View { ui, head: trial.head(), width: ui.width(), full: args.full };
    ui.raw(view.head().as_bytes())?;
    let mut gone = None;
    // Rows appear while the file is still being read.
    let totals = trial.run(ui, &mut |unit| {
        let printed = ui.raw(view.unit(&unit).as_bytes());
        printed.map_err(|error| gone = Some(error)).is_ok()
    })?;
    if let Some(error) = gone {
        return Err(error.into());
    }
    ui.raw(view.totals(&totals).as_bytes())?;
    Ok(Outcome::Done)
}
