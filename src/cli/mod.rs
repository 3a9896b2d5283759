//! The terminal over `ops`: parse, call one operation, render, exit.
//!
//! Rests on `ops` alone for everything it does. Invariant: nothing is computed here that `--json` or a server would have
//! to compute again; the only words made here are those of help, tables and sentences around numbers.

mod args;
mod columns;
mod commands;
mod error;
pub mod graph;
mod pretty;
mod spark;
mod table;
pub mod ui;

pub use args::Cli;

use std::process::ExitCode;

use crate::base::clock::Clock;
use crate::cli::error::CommandError;
use crate::cli::ui::{Manners, Ui};

/// How a command ended when nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Exit 0.
    Done,
    /// The answer is no: exit 1.
    No,
    /// The answer is that stored data is damaged: exit 4.
    Damaged,
}

/// What every command gets besides its own arguments.
#[derive(Debug)]
pub struct Context {
    /// The terminal.
    pub ui: Ui,
    /// Where to look for the repository: `--repo`, or the current folder.
    pub start: std::path::PathBuf,
    /// The clock, pinned by `SOURCE_DATE_EPOCH`.
    pub clock: Clock,
}

/// Runs the command line and returns its exit status.
pub fn main() -> ExitCode {
    let print_panic = std::panic::take_hook();
    // Damage inside redb panics; the store reports it as damage, so the panic itself is not news.
    std::panic::set_hook(Box::new(move |info| {
        if !crate::ops::panics_are_quiet() {
            print_panic(info);
        }
    }));
    let args: Vec<_> = std::env::args_os().collect();
    let cli = match Cli::read(&args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers (stdout, 0); everything else is wrong usage (stderr, 2).
            error.print().ok();
            if error.use_stderr() && asks_for_json() {
                // The parser's words are on stderr already.
                error::answer_usage(&error);
            }
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let ui = Ui::new(Manners { json: cli.globals.json, quiet: cli.globals.quiet }, no_color);
    let start = cli.globals.repo.clone().unwrap_or_else(|| std::path::PathBuf::from("."));
    let clock = match std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|v| v.trim().parse::<i64>().ok()) {
        Some(seconds) => Clock::Fixed(seconds.saturating_mul(1000)),
        None => Clock::System,
    };
    let context = Context { ui, start, clock };
    match commands::run(&context, cli.command) {
        Ok(Outcome::Done) | Err(CommandError::BrokenPipe) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Ok(Outcome::Damaged) => ExitCode::from(4),
        Err(error) => {
            error.report(&context.ui);
            ExitCode::from(error.exit_status())
        }
    }
}

/// Whether a command line that could not be parsed asks for JSON. After `--` nothing is an option.
fn asks_for_json() -> bool {
    std::env::args_os().skip(1).take_while(|arg| arg != "--").any(|arg| arg == "--json")
}
