//! The JSON texts of a unit: one, or one on each line of a file.
//!
//! Rests on `base::json`. Invariants: every line that is not blank is one text, read or not; the canonical form of a file
//! of several texts is their canonical forms, a line each, and a line that cannot be read stands in it as it is: so two
//! files have one hash exactly where they say the same.

use std::ops::Range;

use crate::base::json::JsonError;
use crate::base::json::JsonErrorCode;
use crate::base::json::canonicalize;

/// One JSON text of a unit.
#[derive(Clone, Debug)]
pub(in crate::pipeline::source) struct Text {
    /// Its line in the unit, from 1; 1 where the unit is one text.
    pub(super) line: u64,
    /// Where its canonical form stands.
    pub(super) place: Range<usize>,
    /// Why it cannot be read.
    pub(super) error: Option<JsonErrorCode>,
}

impl Text {
    /// The one text of a unit that is one.
    pub(in crate::pipeline::source) const fn whole(canonical: &[u8]) -> Self {
        Self { line: 1, place: 0..canonical.len(), error: None }
    }
}

/// Reads a whole file: one JSON text if that is what it is, or else one on each line. The canonical form goes to
/// `canonical`.
///
/// # Errors
/// When no line of the file can be read: what is wrong with it as one text.
pub(in crate::pipeline::source) fn texts(
    bytes: &[u8],
    canonical: &mut Vec<u8>,
) -> Result<Vec<Text>, JsonError> {
    canonical.clear();
    let whole = match canonicalize(bytes, canonical) {
        Ok(()) => return Ok(vec![Text::whole(canonical)]),
        Err(error) => error,
    };
    canonical.clear();
    let mut texts = Vec::new();
    for (number, line) in (1_u64..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let start = canonical.len();
        let error = canonicalize(line, canonical).err().map(|error| error.code);
        if error.is_some() {
            canonical.truncate(start);
            canonical.extend_from_slice(line);
        }
        texts.push(Text { line: number, place: start..canonical.len(), error });
        canonical.push(b'\n');
    }
    if texts.iter().all(|text| text.error.is_some()) { Err(whole) } else { Ok(texts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (String, Vec<(u64, bool)>) {
        let mut canonical = Vec::new();
        let texts = texts(bytes, &mut canonical).expect("a text");
        let lines = texts.iter().map(|text| (text.line, text.error.is_none())).collect();
        (String::from_utf8(canonical).expect("UTF-8"), lines)
    }

    #[test]
    fn a_file_is_one_text_or_a_text_on_each_line() {
        assert_eq!(read(b"{\n \"b\": 1,\n \"a\": 2\n}\n"), ("{\"a\":2,\"b\":1}".into(), vec![(1, true)]));
        let lines = read(b"{ \"a\": 1 }\r\n\n{\"b\n[2 ]");
        assert_eq!(lines, ("{\"a\":1}\n{\"b\n[2]\n".into(), vec![(1, true), (3, false), (4, true)]));
    }

    #[test]
    fn a_file_of_which_nothing_can_be_read_is_refused_as_one_text() {
        let code = |bytes: &[u8]| texts(bytes, &mut Vec::new()).expect_err("no text").code;
        assert_eq!(code(b" \n"), JsonErrorCode::Empty);
        assert_eq!(code(b"what\nis this"), JsonErrorCode::Syntax);
    }
}
