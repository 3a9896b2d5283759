//! What every record type shares: its schema string, parsing, writing.
//!
//! Rests on serde, schemars and the canonicaliser. What always holds: a record that was parsed carried exactly the
//! schema string of its type, and every nullable field was there, as a value or as `null`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::locate;
use super::validate::Violation;
use crate::base::json::JsonError;
use crate::base::json::write_canonical;

/// Why bytes are not a record, or a record cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes are JSON of another shape, or no JSON at all.
    #[error("not a `{schema}`: {violation}")]
    Shape {
        /// The schema string it was read as.
        schema: &'static str,
        /// The field and what is wrong with it; an empty field is the record itself.
        violation: Violation,
    },
    /// The record has no canonical form (a tool call's arguments nest too deep).
    #[error("a `{schema}` cannot be written: {source}")]
    Unwritable {
        /// The schema string of the record.
        schema: &'static str,
        /// What the canonicaliser refused.
        source: JsonError,
    },
}

/// A record type: one schema, version and validator.
pub trait Record: Serialize + DeserializeOwned + JsonSchema {
    /// The schema's short name, such as `evidence_record`.
    const NAME: &'static str;
    /// The version that this type reads and writes.
    const SCHEMA_VERSION: u32;
    /// The `schema` string of every such record: `distill.<name>.v<version>`.
    const SCHEMA: &'static str;

    /// Every field that fails a rule, in the order of the rules; empty when the record is valid.
    fn validate(&self) -> Vec<Violation>;

    /// Reads one record. The shape is checked, the rules of [`Record::validate`] are not.
    ///
    /// # Errors
    /// [`RecordError::Shape`], naming the field.
    fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let shape = |violation| RecordError::Shape { schema: Self::SCHEMA, violation };
        // Serde would take an array of the fields' values for a struct.
        if bytes.trim_ascii_start().first() == Some(&b'[') {
            return Err(shape(Violation {
                field: String::new(),
                why: "is an array, not an object".to_owned(),
            }));
        }
        serde_json::from_slice(bytes).map_err(|error| shape(locate::violation(bytes, &error)))
    }

    /// The record as an object: canonical JSON, explicit nulls, explicit empty arrays.
    ///
    /// # Errors
    /// [`RecordError::Unwritable`].
    fn to_object_bytes(&self) -> Result<Vec<u8>, RecordError> {
        let mut out = Vec::with_capacity(1 << 10);
        self.write_object_bytes(&mut out)?;
        Ok(out)
    }

    /// As [`Record::to_object_bytes`], appended to `out`.
    ///
    /// # Errors
    /// As there; `out` is then as long as it was.
    fn write_object_bytes(&self, out: &mut Vec<u8>) -> Result<(), RecordError> {
        write_canonical(self, out).map_err(|source| RecordError::Unwritable { schema: Self::SCHEMA, source })
    }
}

/// The `schema` field of record type `T`: takes no room, writes [`Record::SCHEMA`], refuses to be read from any other.
pub struct SchemaTag<T>(PhantomData<fn() -> T>);

impl<T> SchemaTag<T> {
    /// The one value.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for SchemaTag<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for SchemaTag<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SchemaTag<T> {}

impl<T> PartialEq for SchemaTag<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for SchemaTag<T> {}

impl<T: Record> fmt::Debug for SchemaTag<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::SCHEMA)
    }
}

impl<T: Record> Serialize for SchemaTag<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(T::SCHEMA)
    }
}

impl<'de, T: Record> Deserialize<'de> for SchemaTag<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == T::SCHEMA {
            Ok(Self::new())
        } else {
            Err(D::Error::custom(format_args!("schema is `{text}`, not `{}`", T::SCHEMA)))
        }
    }
}

impl<T: Record> JsonSchema for SchemaTag<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("SchemaTag_{}", T::NAME).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "const": T::SCHEMA })
    }
}

/// Reads a nullable field that must be there: for a plain `Option`, serde takes absence for `null`.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}
