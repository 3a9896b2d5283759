//! Any JSON value, carried through serde as its canonical text.
//!
//! Rests on `canon`. Invariant: the text inside is canonical, so that two equal values are equal text.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::de::Error as _;
use serde_json::value::RawValue;

use super::{JsonError, Value, canonicalize};

/// Any JSON value as its canonical text: written into JSON as it stands, made canonical when read.
///
/// It goes through `serde_json` only (its raw values do), and not through `#[serde(flatten)]` or an untagged enum.
#[derive(Clone)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// The canonical form of one JSON text.
    ///
    /// # Errors
    /// When the text is refused by [`canonicalize`].
    pub fn new(json: &[u8]) -> Result<Self, JsonError> {
        let mut canonical = Vec::with_capacity(json.len());
        canonicalize(json, &mut canonical)?;
        Self::from_canonical(canonical)
    }

    fn from_canonical(canonical: Vec<u8>) -> Result<Self, JsonError> {
        let text = String::from_utf8(canonical).map_err(|_| JsonError::syntax(0))?;
        RawValue::from_string(text).map(Self).map_err(|_| JsonError::syntax(0))
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The text, parsed.
    pub fn value(&self) -> Value<'_> {
        Value::parse(self.as_str().as_bytes()).expect("the text inside is canonical")
    }
}

impl TryFrom<&Value<'_>> for RawJson {
    type Error = JsonError;
    /// Fails when `value` was built with members that are out of order or named twice.
    fn try_from(value: &Value<'_>) -> Result<Self, JsonError> {
        let mut text = Vec::new();
        value.write(&mut text);
        Value::parse(&text)?;
        Self::from_canonical(text)
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawJson({})", self.as_str())
    }
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for RawJson {}

impl Hash for RawJson {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl serde::Serialize for RawJson {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for RawJson {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::new(raw.get().as_bytes()).map_err(D::Error::custom)
    }
}

impl schemars::JsonSchema for RawJson {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "AnyJson".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        true.into()
    }
}
