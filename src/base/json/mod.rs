//! Canonical JSON (RFC 8785, with integers of any size kept digit for digit) and a borrowed value over it.
//!
//! Rests on nothing of distill. `canon` turns any JSON text into its one canonical form in a single pass, `Value`
//! reads that form and no other, `RawJson` carries it through serde unread. Invariants: a canonical text is its own
//! canonical form; no input panics or overflows the stack; every refusal has a code and a byte offset.

mod canon;
mod number;
mod raw;
mod read;
mod string;
mod value;
mod write;

pub use canon::canonicalize;
pub use raw::RawJson;
pub use value::Value;

/// Why bytes are not canonicalisable JSON. Each is a reason code of quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonErrorCode {
    /// Nothing but white space.
    Empty,
    /// Not UTF-8.
    InvalidUtf8,
    /// Not JSON by RFC 8259.
    Syntax,
    /// One object names a key twice (after unescaping).
    DuplicateKey,
    /// `\uD800` to `\uDFFF` without its partner.
    LoneSurrogate,
    /// A number whose binary64 value is infinite.
    NumberOverflow,
    /// More nested arrays and objects than [`DEPTH_MAX`].
    TooDeep,
    /// A whole JSON text followed by something that is not white space.
    TrailingBytes,
    /// JSON, but not in the canonical form that was asked for. Only reading stored bytes gives it; it is no
    /// refusal of [`canonicalize`].
    NotCanonical,
}

/// The deepest nesting of arrays and objects that is read.
pub const DEPTH_MAX: usize = 256;

impl JsonErrorCode {
    /// The reason code, as it stands in quarantine entries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "json_empty",
            Self::InvalidUtf8 => "json_invalid_utf8",
            Self::Syntax => "json_syntax",
            Self::DuplicateKey => "json_duplicate_key",
            Self::LoneSurrogate => "json_lone_surrogate",
            Self::NumberOverflow => "json_number_overflow",
            Self::TooDeep => "json_too_deep",
            Self::TrailingBytes => "json_trailing_bytes",
            Self::NotCanonical => "json_not_canonical",
        }
    }
}

/// A refusal of the canonicaliser: the code and where it struck.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} at byte {offset}", code.as_str())]
pub struct JsonError {
    /// What is wrong.
    pub code: JsonErrorCode,
    /// Byte offset into the input, from 0.
    pub offset: usize,
}

impl JsonError {
    /// A [`JsonErrorCode::Syntax`] at `offset`.
    const fn syntax(offset: usize) -> Self {
        Self { code: JsonErrorCode::Syntax, offset }
    }
}

/// The canonical bytes of a serialisable value.
///
/// # Errors
/// See [`write_canonical`].
pub fn to_canonical<T: serde::Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, JsonError> {
    let mut out = Vec::with_capacity(1 << 10);
    write_canonical(value, &mut out)?;
    Ok(out)
}

/// Appends the canonical bytes of a serialisable value to `out`; one pass where its members come in canonical order.
///
/// # Errors
/// [`JsonErrorCode::NumberOverflow`] for a number that is not finite, [`JsonErrorCode::Syntax`] for a value that has
/// no JSON form otherwise (a map key that is no string), and whatever [`canonicalize`] refuses in what raw values or
/// map keys hold. The offset counts in the value's JSON before it was made canonical. `out` is then as long as it was.
pub fn write_canonical<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let start = out.len();
    let mut writer = write::Writer::new(out);
    let result = value.serialize(&mut writer);
    let settled = writer.settled();
    match result {
        Ok(()) if settled => Ok(()),
        Ok(()) => {
            let plain = out.split_off(start);
            canonicalize(&plain, out)
        }
        Err(write::Refusal(code)) => {
            let offset = out.len() - start;
            out.truncate(start);
            Err(JsonError { code, offset })
        }
    }
}
