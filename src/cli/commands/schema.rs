//! `distill schema`: the published JSON Schemas.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::error::CommandError;
use crate::cli::{Context, Outcome};
use crate::ops::{ErrorKind, OpError, schema};

/// Print the JSON Schema of a record, or list the schemas
///
/// With a name (`sft_sample`) prints the JSON Schema (draft 2020-12) on stdout. Without one lists every schema that
/// distill reads and writes.
#[derive(Clone, Debug, clap::Args)]
pub struct SchemaArgs {
    /// The schema's name, such as `evidence_record`
    name: Option<String>,
}

#[derive(Serialize)]
struct List {
    items: Vec<schema::SchemaLine>,
}

pub(super) fn run(context: &Context, args: &SchemaArgs) -> Result<Outcome, CommandError> {
    match &args.name {
        Some(name) => {
            let schema = schema::schema(name)?;
            let text = serde_json::to_string_pretty(&schema).map_err(|e| {
                OpError::new(
                    ErrorKind::Outside,
                    format!("the schema cannot be printed: {e}"),
                    "please report this",
                )
            })?;
            context.ui.raw(text.as_bytes())?;
            context.ui.raw(b"\n")?;
        }
        None => {
            let items = schema::list();
            let mut text = String::new();
            for line in &items {
                writeln!(text, "{:<20} {}", line.name, line.schema_id).ok();
            }
            context.ui.answer("distill.schema_list.v1", &List { items }, &text)?;
        }
    }
    Ok(Outcome::Done)
}
