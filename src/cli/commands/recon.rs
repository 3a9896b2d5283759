//! `distill recon`: what data lies here.

use std::fmt::Write as _;

use crate::cli::error::CommandError;
use crate::cli::ui::Style;
use crate::cli::{Context, Outcome};
use crate::ops::OpError;
use crate::ops::recon::Recon;
use crate::ops::recon::recon;
use crate::ops::report::bytes;
use crate::ops::report::count;
use crate::repo::Site;

/// Take an inventory of the data: files, rows, time spans, keys, and what has a spec
///
/// Looks at every file below the base that looks like data (.jsonl, .ndjson, .json, also .gz and .zst) or that a spec
/// names, and writes docs/recon/local-distillation-recon.md. Every row is counted; keys and times come from the first
/// 10,000 rows of each file.
#[derive(Clone, Debug, clap::Args)]
pub struct ReconArgs {
    /// Print the inventory and write no page
    #[arg(long)]
    no_page: bool,
    /// Overwrite the page although it was changed by hand
    #[arg(long)]
    force: bool,
}

pub(super) fn run(context: &Context, args: &ReconArgs) -> Result<Outcome, CommandError> {
    let site = Site::discover(&context.start).map_err(OpError::from)?;
    let found = recon(&site, !args.no_page, args.force, &context.ui)?;
    context.ui.answer("distill.recon.v1", &found, &render(context, &found))?;
    if let Some(page) = &found.page {
        context.ui.say(&format!("The whole inventory is in {page}"));
    }
    Ok(Outcome::Done)
}

fn render(context: &Context, found: &Recon) -> String {
    let width = found.items.iter().map(|stream| stream.name.chars().count()).max().unwrap_or(0).max(6);
    let mut text = String::new();
    let heading = format!(
        "{:<width$}  {:>5} {:>12} {:>10}  {:<10} {:<10}  spec",
        "stream", "files", "rows", "size", "from", "to"
    );
    writeln!(text, "{}", context.ui.paint(Style::Bold, heading)).ok();
    for stream in &found.items {
        let day =
            |time: &Option<String>| time.as_deref().and_then(|time| time.get(..10)).unwrap_or("-").to_owned();
        let spec = match (stream.has_spec, stream.files.is_empty()) {
            (true, true) => context.ui.paint(Style::Yellow, "no file matches"),
            (true, false) => "yes".to_owned(),
            (false, _) => context.ui.paint(Style::Yellow, "none"),
        };
        writeln!(
            text,
            "{:<width$}  {:>5} {:>12} {:>10}  {:<10} {:<10}  {spec}",
            stream.name,
            stream.files.len(),
            count(stream.rows),
            bytes(stream.bytes),
            day(&stream.first),
            day(&stream.last),
        )
        .ok();
        for file in stream.files.iter().filter(|file| file.problem.is_some()) {
            let problem = file.problem.as_deref().unwrap_or_default();
            writeln!(text, "  {} {}: {problem}", context.ui.paint(Style::Red, "problem:"), file.path).ok();
        }
        if stream.sampled < stream.rows {
            let note = format!("  keys and times from {} of its rows", count(stream.sampled));
            writeln!(text, "{}", context.ui.paint(Style::Dim, note)).ok();
        }
    }
    text
}
