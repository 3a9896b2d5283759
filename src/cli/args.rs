//! The clap tree: global flags and the list of verbs.
//!
//! Rests on the argument structs of `commands`, whose doc comments are the help. Invariant: nothing here touches the
//! world; parsing only validates what was typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, FromArgMatches as _, Parser};

use crate::cli::commands::{Command, definition};

/// Turn agent traces into gated training datasets, and keep every byte of the way.
#[derive(Clone, Debug, Parser)]
#[command(name = "distill", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// Flags of every verb.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every verb.
#[derive(Clone, Debug, Args)]
pub struct Globals {
    /// Use the repository at or above this folder instead of the current one
    #[arg(long, short = 'C', global = true, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// Answer as one JSON object with a "schema"
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but answers and errors
    #[arg(long, short = 'q', global = true)]
    pub quiet: bool,
}

impl Cli {
    /// Parses a command line. Where it names a verb and is right, only that verb is defined, and where it asks for the
    /// version alone, none: defining all takes longer than most questions do. Help and errors come from the whole.
    ///
    /// # Errors
    /// Wrong usage; help and version, which are answers.
    pub fn read(args: &[OsString]) -> Result<Self, clap::Error> {
        if let [_, flag] = args
            && (flag == "--version" || flag == "-V")
        {
            let bare = clap::Command::new("distill").version(env!("CARGO_PKG_VERSION"));
            return bare.try_get_matches_from(args).and_then(|matches| Self::from_arg_matches(&matches));
        }
        let verb = args.iter().skip(1).find_map(|arg| definition(arg.to_str()?));
        if let Some(verb) = verb {
            let alone = Globals::augment_args(clap::Command::new("distill")).subcommand(verb);
            let alone = alone.disable_help_subcommand(true).subcommand_required(true);
            if let Ok(matches) = alone.try_get_matches_from(args)
                && let Ok(cli) = Self::from_arg_matches(&matches)
            {
                return Ok(cli);
            }
        }
        Self::try_parse_from(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn a_verb_alone_is_the_verb_among_the_others() {
        let mut all = Cli::command().term_width(100);
        all.build();
        for verb in all.get_subcommands() {
            let name = verb.get_name();
            let verb_alone = definition(name).unwrap_or_else(|| panic!("{name} is no verb alone"));
            let mut alone = Globals::augment_args(clap::Command::new("distill"))
                .disable_help_subcommand(true)
                .subcommand(verb_alone)
                .term_width(100);
            alone.build();
            let alone = alone.find_subcommand(name).expect("it was put in");
            let help = |verb: &clap::Command| verb.clone().render_long_help().to_string();
            assert_eq!(help(alone), help(verb), "{name}");
        }
    }

    #[test]
    fn what_is_typed_means_the_same_with_one_verb_and_with_all() {
        let lines = [
            "cat HEAD",
            "-C cat log -n 1",
            "--repo log cat HEAD --json",
            "log --json -q -n 3 --graph",
            "-q log",
            "cat",
            "cat HEAD log",
            "log log",
            "",
            "help",
            "cat --help",
            "--version",
            "-V",
            "--version --json",
            "cat --version",
            "nonsense cat",
            "cta HEAD",
            "sources list",
            "sources",
            "diff A..B --records --stats",
            "run-all --no-files -m run-all",
            "tag -- -x",
        ];
        for line in lines {
            let args: Vec<OsString> =
                ["distill"].into_iter().chain(line.split_whitespace()).map(OsString::from).collect();
            match (Cli::read(&args), Cli::try_parse_from(&args)) {
                (Ok(one), Ok(all)) => assert_eq!(format!("{one:?}"), format!("{all:?}"), "{line}"),
                (Err(one), Err(all)) => assert_eq!(one.to_string(), all.to_string(), "{line}"),
                (one, all) => panic!("{line}: {one:?} and {all:?}"),
            }
        }
    }
}
