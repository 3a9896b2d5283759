//! The clap tree: global flags and the list of verbs.
//!
//! Rests on the argument structs of `commands`, whose doc comments are the help. Invariant: nothing here touches the
//! world; parsing only validates what was typed.

use std::path::PathBuf;

use clap::Parser;

use crate::cli::commands::Command;

/// Turn agent traces into gated training datasets, and keep every byte of the way.
#[derive(Clone, Debug, Parser)]
#[command(name = "distill", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// Use the repository at or above this folder instead of the current one
    #[arg(long, short = 'C', global = true, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// Answer as one JSON object with a "schema"
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but answers and errors
    #[arg(long, short = 'q', global = true)]
    pub quiet: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}
