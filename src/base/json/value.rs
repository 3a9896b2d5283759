//! A JSON value that borrows from canonical bytes and keeps numbers as their canonical text.
//!
//! Rests on `string` and `number`. Reading is strict: bytes are accepted exactly where [`super::canonicalize`] would
//! leave them as they are. A value that was parsed, or built by the constructors here, is written back to the same bytes.

use std::borrow::Cow;

use super::string::{compare_keys, write_string};
use super::{JsonError, JsonErrorCode, read};

/// A parsed canonical JSON value. Object members are in canonical (UTF-16) order, keys unique.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as its canonical text, so that no digit is lost.
    Number(Cow<'a, str>),
    /// A string, unescaped; borrowed where it holds no escape.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// Parses canonical bytes (the output of [`super::canonicalize`]).
    ///
    /// # Errors
    /// When the bytes are not canonical JSON: [`JsonErrorCode::NotCanonical`] where they are JSON in another form,
    /// otherwise the code that [`super::canonicalize`] has for them.
    pub fn parse(canonical: &'a [u8]) -> Result<Self, JsonError> {
        read::parse(canonical)
    }

    /// An object of these members, put in canonical order.
    ///
    /// # Errors
    /// When two members have the same key (the offset is 0).
    pub fn object(mut members: Vec<(Cow<'a, str>, Value<'a>)>) -> Result<Self, JsonError> {
        members.sort_by(|a, b| compare_keys(a.0.as_bytes(), b.0.as_bytes()));
        if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(JsonError { code: JsonErrorCode::DuplicateKey, offset: 0 });
        }
        Ok(Self::Object(members))
    }

    /// A number from a binary64; `None` where JSON has no form for it (infinite, not a number).
    pub fn from_f64(number: f64) -> Option<Self> {
        number
            .is_finite()
            .then(|| Self::Number(Cow::Owned(ryu_js::Buffer::new().format_finite(number).to_owned())))
    }

    /// Appends the canonical bytes of this value to `out`. Members must be in canonical order.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(text) => out.extend_from_slice(text.as_bytes()),
            Self::String(text) => write_string(text, out),
            Self::Array(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (i, (key, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    write_string(key, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// The canonical bytes of this value. Members must be in canonical order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// The member `key` of an object; `None` for anything else.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        // Rows have a dozen members, where looking at each is the fastest way; maps keyed by data have thousands.
        const LINEAR_MAX: usize = 16;
        match self {
            Self::Object(members) if members.len() <= LINEAR_MAX => {
                members.iter().find(|(k, _)| k == key).map(|(_, v)| v)
            }
            Self::Object(members) => members
                .binary_search_by(|(k, _)| compare_keys(k.as_bytes(), key.as_bytes()))
                .ok()
                .map(|i| &members[i].1),
            _ => None,
        }
    }

    /// The members of an object in canonical order; none for anything else.
    pub fn iter_members(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        let members = match self {
            Self::Object(members) => members.as_slice(),
            _ => &[],
        };
        members.iter().map(|(key, value)| (key.as_ref(), value))
    }

    /// The items of an array; `None` for anything else.
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The characters of a string; `None` for anything else.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// `true` or `false`; `None` for anything else.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    /// The canonical text of a number; `None` for anything else.
    pub fn as_number(&self) -> Option<&str> {
        match self {
            Self::Number(text) => Some(text),
            _ => None,
        }
    }

    /// A number that is a whole one of 0 to 2^64 − 1, exactly; `None` for anything else.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number()?.parse().ok()
    }

    /// A number that is a whole one of −2^63 to 2^63 − 1, exactly; `None` for anything else.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number()?.parse().ok()
    }

    /// The binary64 nearest to a number; `None` for anything else, and for an integer beyond the largest binary64.
    pub fn as_f64(&self) -> Option<f64> {
        self.as_number()?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The same value with nothing borrowed.
    pub fn into_owned(self) -> Value<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        match self {
            Self::Null => Value::Null,
            Self::Bool(bool) => Value::Bool(bool),
            Self::Number(text) => Value::Number(own(text)),
            Self::String(text) => Value::String(own(text)),
            Self::Array(items) => Value::Array(items.into_iter().map(Value::into_owned).collect()),
            Self::Object(members) => Value::Object(
                members.into_iter().map(|(key, value)| (own(key), value.into_owned())).collect(),
            ),
        }
    }
}

impl From<bool> for Value<'_> {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Number(Cow::Owned(number.to_string()))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(Cow::Owned(number.to_string()))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::String(Cow::Owned(text))
    }
}

impl<'a> From<Vec<Value<'a>>> for Value<'a> {
    fn from(items: Vec<Value<'a>>) -> Self {
        Self::Array(items)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    /// `None` is `null`.
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
