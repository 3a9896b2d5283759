//! Keys: the names of records within a dataset.
//!
//! Rests on `time` and BLAKE3. What always holds: a key is at most [`KEY_BYTES_MAX`] bytes of `A-Za-z0-9-_.%/~+`, so it
//! is safe as a file name, in a shell and in a URL path; no segment is empty, `.` or `..`. Whatever else stands in a row
//! key or path is percent-encoded; `~`, `+`, `%` and `/` are syntax of the key itself and therefore always encoded.
//!
//! | key | form |
//! |---|---|
//! | record | `YYYY/MM/DD/<stream>/<row key>[.n][~<8 digits of the row id>]` |
//! | preference pair | `<chosen key>+<16 digits of the rejected sig_hash>` |
//! | quarantine entry | `<stage>/<reason>/<source or record key>` |
//! | duplicate entry | `<stage>/<source or record key>` |
//! | source unit | `<path>/<10-digit unit number>` |
//!
//! What is too long (a row key, a path, a key inside a quarantine key) is cut and ends with `~` and the first 16 digits
//! of the BLAKE3 of the whole encoded text. Record keys stop 17 bytes short of the limit, so that a preference key
//! always begins with the whole key of the chosen record.

use std::fmt;

use super::time::{calendar_date, is_calendar_date};
use super::validate::{Checks, is_code, is_digest};

/// The longest key of any kind, in bytes.
pub const KEY_BYTES_MAX: usize = 200;
/// The longest record key: leaves room for `+` and 16 digits.
pub const RECORD_KEY_BYTES_MAX: usize = KEY_BYTES_MAX - 17;
/// The longest stream name: leaves room for a row key that still tells rows apart.
pub const STREAM_BYTES_MAX: usize = 64;
/// What a conflict suffix takes: `~` and 8 digits.
const CONFLICT_BYTES: usize = 9;
/// What a cut takes: `~` and 16 digits.
const CUT_BYTES: usize = 17;
/// What a source key ends with at most: `/` and the digits of a `u64`.
const UNIT_BYTES: usize = 21;
/// The shape of a record key, for JSON Schemas.
pub(super) const RECORD_KEY_PATTERN: &str = "^[0-9]{4}/[0-9]{2}/[0-9]{2}/[a-z0-9_-]+/[A-Za-z0-9._~%-]+$";
/// The shape of a preference key, for JSON Schemas.
pub(super) const PREFERENCE_KEY_PATTERN: &str =
    r"^[0-9]{4}/[0-9]{2}/[0-9]{2}/[a-z0-9_-]+/[A-Za-z0-9._~%-]+\+[0-9a-f]{16}$";
/// The shape of a quarantine or duplicate key, for JSON Schemas.
pub(super) const NESTED_KEY_PATTERN: &str = "^[a-z0-9_-]+(/[A-Za-z0-9._~%+-]+)+$";
/// The date of a record that has none.
const NO_DATE: &str = "0000/00/00";

/// Why something is not a key, or no key can be made of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Nothing to make a key of.
    #[error("the row key is empty")]
    EmptyRow,
    /// Nothing to make a key of.
    #[error("the path is empty")]
    EmptyPath,
    /// A stream, stage or reason that is not a plain name.
    #[error("`{0}` is not a name of at most {STREAM_BYTES_MAX} lower-case letters, digits, `-` and `_`")]
    Name(String),
    /// Not 64 lower-case hexadecimal digits.
    #[error("`{0}` is not a sig_hash")]
    SigHash(String),
    /// Text that is no key of any kind, and so cannot stand inside another key.
    #[error("`{0}` is not a key: a segment is empty or not percent-encoded")]
    Nested(String),
    /// Text that has not the form of a record key.
    #[error("`{key}` is not a record key: {why}")]
    Form {
        /// The text.
        key: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The key of a record: `YYYY/MM/DD/<stream>/<row key>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    text: String,
    stream_end: usize,
}

impl RecordKey {
    /// The key of output `output` (from 0) of a row. `recorded_at` is the row's own time; one that is absent or does
    /// not parse puts the record under `0000/00/00`. A row key that is too long is cut.
    ///
    /// # Errors
    /// An empty row key, or a stream that is not `[a-z0-9_-]+` of at most [`STREAM_BYTES_MAX`] bytes.
    pub fn build(recorded_at: Option<&str>, stream: &str, row: &str, output: u64) -> Result<Self, KeyError> {
        check_name(stream)?;
        if row.is_empty() {
            return Err(KeyError::EmptyRow);
        }
        let mut text = Self::date_of(recorded_at);
        text.push('/');
        text.push_str(stream);
        let stream_end = text.len();
        let suffix = if output > 0 { format!(".{output}") } else { String::new() };
        let room = RECORD_KEY_BYTES_MAX - CONFLICT_BYTES - suffix.len() - text.len() - 1;
        text.push('/');
        text.push_str(&cut(encode_segment(row), room));
        text.push_str(&suffix);
        Ok(Self { text, stream_end })
    }

    /// The key of a record whose own key was taken by one that comes earlier in source order.
    ///
    /// # Errors
    /// When `row_id` is not 64 lower-case hexadecimal digits, or this key has such a suffix already.
    pub fn in_conflict(&self, row_id: &str) -> Result<Self, KeyError> {
        let digits = digits_of(row_id, CONFLICT_BYTES - 1)?;
        let text = format!("{}~{digits}", self.text);
        if text.len() > RECORD_KEY_BYTES_MAX {
            return Err(KeyError::Form { key: text, why: "it is too long" });
        }
        Ok(Self { text, stream_end: self.stream_end })
    }

    /// Reads a record key.
    ///
    /// # Errors
    /// [`KeyError::Form`], with what is wrong.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let fail = |why| KeyError::Form { key: text.to_owned(), why };
        if text.is_empty() {
            return Err(fail("it is empty"));
        }
        if text.len() > RECORD_KEY_BYTES_MAX {
            return Err(fail("it is too long"));
        }
        let (date, rest) = text.split_at_checked(NO_DATE.len()).ok_or_else(|| fail("it has no date"))?;
        if date != NO_DATE && !is_calendar_date(date) {
            return Err(fail("it does not begin with a date, YYYY/MM/DD or 0000/00/00"));
        }
        let (stream, row) = rest
            .strip_prefix('/')
            .and_then(|rest| rest.split_once('/'))
            .ok_or_else(|| fail("it has no stream or row key"))?;
        check_name(stream)
            .map_err(|_| fail("its stream is not a name of lower-case letters, digits, `-` and `_`"))?;
        if !is_encoded_segment(row) {
            return Err(fail("its row key is empty or not percent-encoded"));
        }
        Ok(Self { stream_end: NO_DATE.len() + 1 + stream.len(), text: text.to_owned() })
    }

    /// `YYYY/MM/DD` of a row's own time in UTC, or `0000/00/00`.
    pub fn date_of(recorded_at: Option<&str>) -> String {
        recorded_at.and_then(calendar_date).unwrap_or_else(|| NO_DATE.to_owned())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The date: `YYYY/MM/DD`, or `0000/00/00`.
    pub fn date(&self) -> &str {
        &self.text[..NO_DATE.len()]
    }

    /// The stream.
    pub fn stream(&self) -> &str {
        &self.text[NO_DATE.len() + 1..self.stream_end]
    }

    /// The row key, encoded, with its suffixes.
    pub fn row(&self) -> &str {
        &self.text[self.stream_end + 1..]
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl From<RecordKey> for String {
    fn from(key: RecordKey) -> Self {
        key.text
    }
}

/// The key of a preference pair: `<chosen key>+<16 digits of the rejected sig_hash>`.
///
/// # Errors
/// When `chosen_key` is not a record key or `rejected_sig_hash` not 64 lower-case hexadecimal digits.
pub fn preference_key(chosen_key: &str, rejected_sig_hash: &str) -> Result<String, KeyError> {
    let chosen = RecordKey::parse(chosen_key)?;
    Ok(format!("{chosen}+{}", digits_of(rejected_sig_hash, 16)?))
}

/// The key of a quarantine entry: `<stage>/<reason>/<source or record key>`.
///
/// # Errors
/// When stage or reason are not plain names, or `key` is not a key.
pub fn quarantine_key(stage: &str, reason: &str, key: &str) -> Result<String, KeyError> {
    check_name(reason)?;
    nested_key(stage, &format!("{reason}/"), key)
}

/// The key of a duplicate entry: `<stage>/<source or record key>`.
///
/// # Errors
/// When the stage is not a plain name, or `key` is not a key.
pub fn duplicate_key(stage: &str, key: &str) -> Result<String, KeyError> {
    nested_key(stage, "", key)
}

/// The key of a source unit: `<path>/<10-digit unit number>`, each segment of the path percent-encoded. Empty segments
/// and `.` are left out, as file systems do.
///
/// # Errors
/// When the path has no segment.
pub fn source_key(path: &str, unit_number: u64) -> Result<String, KeyError> {
    let segments: Vec<_> =
        path.split('/').filter(|s| !s.is_empty() && *s != ".").map(encode_segment).collect();
    if segments.is_empty() {
        return Err(KeyError::EmptyPath);
    }
    Ok(format!("{}/{unit_number:010}", cut(segments.join("/"), KEY_BYTES_MAX - UNIT_BYTES)))
}

/// Percent-encodes everything but `A-Za-z0-9-_.`, and the dots of `.` and `..`; hexadecimal digits are upper-case.
pub fn encode_segment(text: &str) -> String {
    let dots = matches!(text, "." | "..");
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'.' if dots => out.push_str("%2E"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            _ => out.push_str(percent_encoding::percent_encode_byte(byte)),
        }
    }
    out
}

/// Checks under the path `id` that a nested key begins with its own prefix and goes on.
pub(super) fn check_nested_key(id: &str, prefix: &str, checks: &mut Checks) {
    checks.require(id.len() <= KEY_BYTES_MAX, "id", format_args!("is longer than {KEY_BYTES_MAX} bytes"));
    match id.strip_prefix(prefix) {
        None => checks.fail("id", format!("does not begin with `{prefix}`")),
        Some(key) => {
            checks.require(is_encoded_key(key), "id", "has a segment that is empty or not percent-encoded");
        }
    }
}

fn nested_key(stage: &str, middle: &str, key: &str) -> Result<String, KeyError> {
    check_name(stage)?;
    if !is_encoded_key(key) {
        return Err(KeyError::Nested(key.to_owned()));
    }
    let prefix = format!("{stage}/{middle}");
    let room = KEY_BYTES_MAX - prefix.len();
    Ok(prefix + &cut(key.to_owned(), room))
}

fn check_name(name: &str) -> Result<(), KeyError> {
    if is_code(name) && name.len() <= STREAM_BYTES_MAX {
        Ok(())
    } else {
        Err(KeyError::Name(name.to_owned()))
    }
}

fn digits_of(sig_hash: &str, count: usize) -> Result<&str, KeyError> {
    if is_digest(sig_hash) { Ok(&sig_hash[..count]) } else { Err(KeyError::SigHash(sig_hash.to_owned())) }
}

/// Shortens encoded text to `room` bytes: whole characters of it, `~`, 16 digits of the BLAKE3 of all of it.
fn cut(mut encoded: String, room: usize) -> String {
    if encoded.len() <= room {
        return encoded;
    }
    let digest = blake3::hash(encoded.as_bytes()).to_hex();
    let mut end = room.saturating_sub(CUT_BYTES);
    // `%XX` stays whole, so that what is left still decodes.
    if let Some(at) = encoded.as_bytes()[..end].iter().rposition(|b| *b == b'%').filter(|at| at + 3 > end) {
        end = at;
    }
    encoded.truncate(end);
    encoded.push('~');
    encoded.push_str(&digest[..CUT_BYTES - 1]);
    encoded
}

/// Whether `key` is made of encoded segments, as keys of every kind are.
fn is_encoded_key(key: &str) -> bool {
    key.split('/').all(|segment| segment.split('+').all(is_encoded_segment))
}

/// Whether `text` is what encoding, cutting and the suffixes of a conflict can yield: never empty, `.` or `..`.
fn is_encoded_segment(text: &str) -> bool {
    let mut bytes = text.bytes();
    let upper_hex = |byte: Option<u8>| byte.is_some_and(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    while let Some(byte) = bytes.next() {
        let fine = match byte {
            b'%' => upper_hex(bytes.next()) && upper_hex(bytes.next()),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => true,
            _ => false,
        };
        if !fine {
            return false;
        }
    }
    !matches!(text, "" | "." | "..")
}
