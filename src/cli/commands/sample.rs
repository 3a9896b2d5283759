//! `distill sample`: the seeded generator of lakehouse traces.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::error::CommandError;
use crate::cli::{Context, Outcome};
use crate::ops::OpError;
use crate::ops::sample::{SampleOptions, Shape, write_files};

/// Write generated lakehouse traces into a folder, to try distill on
///
/// Without `--rows` writes the bundled sample: 1,052 rows over twelve streams, with the dirt of real logs. With it, as
/// many rows of about 1 KB each as asked for, the same bytes for the same seed on every machine.
#[derive(Clone, Debug, clap::Args)]
pub struct SampleArgs {
    /// Where to write `data/_kb/*.jsonl`
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// How many rows
    #[arg(long, value_name = "N")]
    rows: Option<u64>,
    /// The seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Overwrite files that are there
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    rows: u64,
    bytes: u64,
    folder: &'a str,
}

pub(super) fn run(context: &Context, args: &SampleArgs) -> Result<Outcome, CommandError> {
    let mut options = SampleOptions::default();
    if let Some(rows) = args.rows {
        (options.rows, options.shape) = (rows, Shape::Bulk);
    }
    options.seed = args.seed.unwrap_or(options.seed);
    let report = write_files(options, &args.folder, args.force).map_err(OpError::from)?;
    let rows = report.files.iter().map(|f| f.rows).sum();
    let bytes = report.files.iter().map(|f| f.bytes).sum();
    let folder = args.folder.display().to_string();
    let text = format!("Wrote {rows} rows, {} below {folder}", super::run::human_bytes(bytes));
    context.ui.answer("distill.sample.v1", &Answer { rows, bytes, folder: &folder }, &text)?;
    Ok(Outcome::Done)
}
