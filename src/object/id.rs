//! Object ids, their kinds and their abbreviations.
//!
//! Rests on BLAKE3. Invariant: text is always 64 lower-case hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// BLAKE3-256 of an object's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId([u8; 32]);

/// Text that is not an id or an abbreviation of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an object id: 64 lower-case hexadecimal digits are, or an abbreviation of 4 or more")]
pub struct ParseIdError(String);

impl ObjectId {
    /// The id of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The ids of objects, in their order: as [`Self::of`] for each, in a fraction of the time where there are many small ones.
    pub fn of_each(objects: &[&[u8]]) -> Vec<Self> {
        super::batch::ids(objects)
    }

    /// Wraps a digest that the caller has computed or read.
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first half as a number, in the order of ids: enough to tell any two apart, in tables that hold many.
    pub(crate) fn leading(&self) -> u128 {
        let mut half = [0; 16];
        half.copy_from_slice(&self.0[..16]);
        u128::from_be_bytes(half)
    }

    /// The first `digits` hexadecimal digits, for lines that people read.
    pub fn short(&self, digits: usize) -> String {
        let mut text = hex::encode(self.0);
        text.truncate(digits);
        text
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; 64];
        hex::encode_to_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short(12))
    }
}

impl FromStr for ObjectId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let mut digest = [0; 32];
        let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut digest) {
            Ok(()) if lower => Ok(Self(digest)),
            _ => Err(ParseIdError(text.to_owned())),
        }
    }
}

impl Serialize for ObjectId {
    /// Digits where people read (JSON, TOML), the digest itself where only programs do.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for ObjectId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 32]>::deserialize(deserializer).map(Self);
        }
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl schemars::JsonSchema for ObjectId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ObjectId".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[0-9a-f]{64}$",
            "description": "BLAKE3-256 of the object's bytes, 64 lower-case hexadecimal digits"
        })
    }
}

macro_rules! id_kinds {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        pub struct $name(ObjectId);

        impl $name {
            /// Wraps an id that the caller knows to be of this kind.
            pub const fn new(id: ObjectId) -> Self {
                Self(id)
            }

            /// The untyped id.
            pub const fn object(&self) -> &ObjectId {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

id_kinds! {
    /// Names the root node of a prolly tree, and with it a whole dataset snapshot.
    RootId;
    /// Names a commit: an object that a ref or another commit names as one.
    CommitId;
}

/// An abbreviation of an object id: 4 to 64 hexadecimal digits, odd lengths included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPrefix(String);

impl IdPrefix {
    /// The fewest digits accepted.
    pub const DIGITS_MIN: usize = 4;

    /// Parses an abbreviation. Upper-case digits are refused, as in full ids.
    ///
    /// # Errors
    /// When `text` is too short, too long or not lower-case hexadecimal.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if digits && (Self::DIGITS_MIN..=64).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseIdError(text.to_owned()))
        }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id itself, where no digit is missing.
    pub fn whole(&self) -> Option<ObjectId> {
        self.0.parse().ok()
    }

    /// The smallest and largest id that begin with these digits.
    pub fn bounds(&self) -> (ObjectId, ObjectId) {
        let fill = |digit: char| {
            let mut text = self.0.clone();
            text.extend(std::iter::repeat_n(digit, 64 - text.len()));
            text.parse().unwrap_or(ObjectId([0; 32]))
        };
        (fill('0'), fill('f'))
    }

    /// Whether `id` begins with these digits.
    pub fn matches(&self, id: &ObjectId) -> bool {
        let (low, high) = self.bounds();
        (low..=high).contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_refuses_everything_else() {
        let id = ObjectId::of(b"");
        let text = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
        for bad in ["", "af13", &text.to_uppercase(), &format!("{text}0")] {
            assert!(bad.parse::<ObjectId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes_of_odd_length_match() {
        let id = ObjectId::of(b"");
        assert!(IdPrefix::parse("af134").expect("valid").matches(&id));
        assert!(!IdPrefix::parse("af135").expect("valid").matches(&id));
        assert!(IdPrefix::parse("af1").is_err(), "too short");
        assert!(IdPrefix::parse("main").is_err(), "not hexadecimal");
    }
}
