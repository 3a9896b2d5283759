//! Where a record comes from: file, line and hashes of the original source unit.
//!
//! Rests on `object`. What always holds: paths are relative with `/`, so that the same data in another place gives the
//! same hashes; only a row that does not parse has no `sig_hash`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::nullable;
use super::time::TIME_PATTERN;
use super::validate::Checks;
use crate::object::ObjectId;

/// What one input unit of a source file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A line, without its ending.
    Line,
    /// An element of an array inside the file.
    Element,
    /// A value of an object inside the file.
    Value,
    /// The whole file.
    File,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Line => "line",
            Self::Element => "element",
            Self::Value => "value",
            Self::File => "file",
        })
    }
}

/// The original source unit of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Number of the line, element or value in its file, from 0.
    pub line_offset: u64,
    /// Objects of the lookup rows that were joined.
    pub lookup_ids: Vec<ObjectId>,
    /// Object of the raw unit, byte for byte.
    pub raw_id: ObjectId,
    /// The row's own time, RFC 3339 in UTC, or null where it has none.
    #[serde(deserialize_with = "nullable")]
    #[schemars(regex(pattern = TIME_PATTERN))]
    pub recorded_at: Option<String>,
    /// SHA-256 of the unit's canonical JSON, or null where the unit does not parse.
    #[serde(deserialize_with = "nullable")]
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sig_hash: Option<String>,
    /// The file, relative to the base of its source, with `/`.
    #[schemars(length(min = 1))]
    pub source_file: String,
    /// What `line_offset` counts.
    pub unit: Unit,
}

impl Provenance {
    /// Checks the fields under the path `field`. A null `sig_hash` passes only where `unparsed` rows may stand.
    pub fn check(&self, checks: &mut Checks, field: &str, unparsed: bool) {
        checks.text(&self.source_file, format_args!("{field}.source_file"));
        let relative =
            !self.source_file.starts_with('/') && !self.source_file.split('/').any(|segment| segment == "..");
        let path = format_args!("{field}.source_file");
        checks.require(relative, path, "is not a relative path with `/` inside the base");
        let path = format_args!("{field}.sig_hash");
        checks.require(unparsed || self.sig_hash.is_some(), path, "is null, but the row was parsed");
        checks.digest(self.sig_hash.as_deref(), path);
        checks.canonical_time(self.recorded_at.as_deref(), format_args!("{field}.recorded_at"));
        if self.unit == Unit::File {
            checks.require(
                self.line_offset == 0,
                format_args!("{field}.line_offset"),
                "is not 0, but the unit is a file",
            );
        }
    }
}
