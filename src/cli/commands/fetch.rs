//! `distill fetch REMOTE`.

use crate::cli::commands::remote;
use crate::cli::error::CommandError;
use crate::cli::{Context, Outcome};

/// Bring here what a remote has, without moving any branch of this repository
///
/// The remote's branches are then known as `remotes/NAME/BRANCH`; its tags and runs have their own names, unless they
/// mean something else here.
#[derive(Clone, Debug, clap::Args)]
pub struct FetchArgs {
    /// The remote; the only one, or `origin`, when left out
    remote: Option<String>,
}

pub(super) fn run(context: &Context, args: &FetchArgs) -> Result<Outcome, CommandError> {
    remote::run_fetch(context, args.remote.as_deref())
}
