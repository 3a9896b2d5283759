//! The published schemas.
//!
//! Rests on the registry of `record`. Invariant: what is listed can be printed.

use serde::Serialize;

use crate::ops::{ErrorKind, OpError};
use crate::record::{SCHEMAS, schema_json};

/// One line of the list.
#[derive(Clone, Debug, Serialize)]
pub struct SchemaLine {
    /// The short name.
    pub name: &'static str,
    /// What stands in the `schema` field of such a record.
    pub schema_id: String,
    /// Its version.
    pub version: u32,
}

/// Every schema.
pub fn list() -> Vec<SchemaLine> {
    (SCHEMAS.iter())
        .map(|info| SchemaLine {
            name: info.name,
            schema_id: format!("distill.{}.v{}", info.name, info.version),
            version: info.version,
        })
        .collect()
}

/// The JSON Schema of one record type.
///
/// # Errors
/// When there is none of that name.
pub fn schema(name: &str) -> Result<serde_json::Value, OpError> {
    schema_json(name).ok_or_else(|| {
        let known: Vec<&str> = SCHEMAS.iter().map(|info| info.name).collect();
        let message = format!("there is no schema called `{name}`");
        OpError::new(ErrorKind::Usage, message, format!("the schemas are {}", known.join(", ")))
    })
}
