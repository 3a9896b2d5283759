//! `distill init`.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::cli::error::CommandError;
use crate::cli::{Context, Outcome};
use crate::ops::init::{InitOptions, init};

/// Make a repository: commented configuration, a scoring policy, and the store
///
/// Writes DIR/.distill and overwrites nothing that is there. With `--with` it starts from a source spec that comes with
/// distill; an unknown name lists them. Afterwards edit .distill/sources/*.toml, then `distill run-all`.
#[derive(Clone, Debug, clap::Args)]
pub struct InitArgs {
    /// The folder that holds your traces; the current one when left out
    dir: Option<PathBuf>,
    /// Write this source spec, such as `tau-bench`; may be given several times
    #[arg(long, value_name = "NAME")]
    with: Vec<String>,
    /// Where the paths of source specs start, when that is not DIR
    #[arg(long, value_name = "PATH")]
    base: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: InitArgs) -> Result<Outcome, CommandError> {
    let dir = args.dir.map_or_else(|| context.start.clone(), |dir| context.start.join(dir));
    let report = init(&InitOptions { dir, with: args.with, base: args.base })?;
    let mut text = String::new();
    writeln!(text, "Made a repository in {}", report.root.display()).ok();
    for file in &report.files {
        writeln!(text, "  {file}").ok();
    }
    context.ui.answer("distill.init.v1", &report, &text)?;
    let next = if report.sources.is_empty() {
        "Next: write .distill/sources/NAME.toml (docs/sources.md teaches how), then `distill run-all`."
    } else {
        "Next: look at .distill/sources, then `distill run-all`."
    };
    context.ui.say(next);
    Ok(Outcome::Done)
}
