//! JSON strings: finding their end, reading and writing escapes, and the order of keys.
//!
//! Rests on nothing. Every function takes the bytes of a text that is already known to be UTF-8 and never reads
//! past it; the written form is the one of RFC 8785 §3.2.2.2 and no other.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{JsonError, JsonErrorCode};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES * 0x80;

/// Where the next quote, backslash or control character lies at or after `from`; the end of `bytes` if nowhere.
///
/// Eight bytes at a time. A subtraction borrows only from higher bytes, so what it marks wrongly lies above a byte
/// that it marks rightly, and the lowest mark is exact.
pub(super) fn find_special(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * 0x22);
        let backslash = word ^ (ONES * 0x5c);
        let hits = ((quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word))
            & HIGHS;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < bytes.len() && !matches!(bytes[at], b'"' | b'\\' | 0..0x20) {
        at += 1;
    }
    at
}

/// An escape as it was read.
pub(super) enum Escape {
    /// `\b \t \n \f \r \" \\`: what the canonical form writes too. Two bytes.
    Canonical(char),
    /// `\/` or `\u....` (one or two of them): the character and how many bytes spelled it.
    Other(char, usize),
}

/// Reads the escape whose backslash is at `at`.
pub(super) fn read_escape(bytes: &[u8], at: usize) -> Result<Escape, JsonError> {
    let Some(&letter) = bytes.get(at + 1) else {
        return Err(JsonError::syntax(bytes.len()));
    };
    Ok(match letter {
        b'"' => Escape::Canonical('"'),
        b'\\' => Escape::Canonical('\\'),
        b'b' => Escape::Canonical('\u{8}'),
        b'f' => Escape::Canonical('\u{c}'),
        b'n' => Escape::Canonical('\n'),
        b'r' => Escape::Canonical('\r'),
        b't' => Escape::Canonical('\t'),
        b'/' => Escape::Other('/', 2),
        b'u' => {
            let (character, len) = read_unicode(bytes, at)?;
            Escape::Other(character, len)
        }
        _ => return Err(JsonError::syntax(at + 1)),
    })
}

fn read_unicode(bytes: &[u8], at: usize) -> Result<(char, usize), JsonError> {
    let lone = JsonError { code: JsonErrorCode::LoneSurrogate, offset: at };
    let first = hex4(bytes, at + 2)?;
    let (point, len) = match first {
        0xD800..=0xDBFF => match bytes.get(at + 6..) {
            None | Some([]) => return Err(JsonError::syntax(bytes.len())),
            Some([b'\\', b'u', ..]) => match hex4(bytes, at + 8)? {
                low @ 0xDC00..=0xDFFF => (0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00), 12),
                _ => return Err(lone),
            },
            Some(_) => return Err(lone),
        },
        other => (other, 6),
    };
    char::from_u32(point).map(|character| (character, len)).ok_or(lone)
}

fn hex4(bytes: &[u8], at: usize) -> Result<u32, JsonError> {
    let mut unit = 0;
    for place in at..at + 4 {
        let digit = bytes.get(place).and_then(|&byte| char::from(byte).to_digit(16));
        unit = unit << 4 | digit.ok_or_else(|| JsonError::syntax(place.min(bytes.len())))?;
    }
    Ok(unit)
}

/// Appends one character as it stands inside a canonical string.
pub(super) fn write_char(character: char, out: &mut Vec<u8>) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\u{8}' => out.extend_from_slice(b"\\b"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\u{c}' => out.extend_from_slice(b"\\f"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\0'..'\u{20}' => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            let code = character as usize;
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[DIGITS[code >> 4], DIGITS[code & 15]]);
        }
        _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Appends `text` as a canonical string, quotes included.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    out.push(b'"');
    loop {
        let at = find_special(bytes, copied);
        out.extend_from_slice(&bytes[copied..at]);
        let Some(&byte) = bytes.get(at) else { break };
        write_char(char::from(byte), out);
        copied = at + 1;
    }
    out.push(b'"');
}

/// The characters that `raw`, the inside of a string that was already read without error, stands for.
pub(super) fn unescape(raw: &str) -> Cow<'_, str> {
    let bytes = raw.as_bytes();
    let Some(mut at) = memchr::memchr(b'\\', bytes) else {
        return Cow::Borrowed(raw);
    };
    let mut text = String::with_capacity(raw.len());
    let mut copied = 0;
    loop {
        text.push_str(&raw[copied..at]);
        let (character, len) = match read_escape(bytes, at) {
            Ok(Escape::Canonical(character)) => (character, 2),
            Ok(Escape::Other(character, len)) => (character, len),
            // Unreachable for a string that was read; the rest stays as it is rather than be lost.
            Err(_) => break,
        };
        text.push(character);
        copied = at + len;
        match memchr::memchr(b'\\', &bytes[copied..]) {
            Some(next) => at = copied + next,
            None => break,
        }
    }
    text.push_str(&raw[copied..]);
    Cow::Owned(text)
}

/// The order of object members: by UTF-16 code units (RFC 8785 §3.2.3), computed on UTF-8.
///
/// UTF-8 order is code point order. UTF-16 differs from it in one thing: characters beyond U+FFFF (first byte 0xF0
/// to 0xF4), spelled with surrogates, come before U+E000 to U+FFFF (first byte 0xEE or 0xEF).
pub(super) fn compare_keys(a: &[u8], b: &[u8]) -> Ordering {
    fn rank(byte: u8) -> u8 {
        if byte & 0xFE == 0xEE { byte | 0x10 } else { byte }
    }
    for (&x, &y) in a.iter().zip(b) {
        if x != y {
            return rank(x).cmp(&rank(y));
        }
    }
    a.len().cmp(&b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_special_byte_is_found_at_every_distance() {
        for special in [b'"', b'\\', 0x00, 0x1f, b'\n'] {
            for len in 0..40 {
                for at in 0..len {
                    let mut bytes = vec![0xFF; len];
                    bytes[at] = special;
                    // Another one behind it, which must not be mistaken for the first.
                    if at + 1 < len {
                        bytes[at + 1] = b'"' ^ 1;
                    }
                    assert_eq!(find_special(&bytes, 0), at, "{special:#x} at {at} of {len}");
                }
                assert_eq!(find_special(&vec![0x20; len], 0), len);
            }
        }
    }

    #[test]
    fn keys_compare_as_their_utf_16_units_do() {
        let keys = [
            "",
            "\0",
            "a",
            "aa",
            "ab",
            "\u{7f}",
            "\u{80}",
            "é",
            "\u{d7ff}",
            "\u{e000}",
            "\u{fb33}",
            "\u{ffff}",
            "😀",
            "😀a",
            "\u{10ffff}",
            "a😀",
            "a\u{e000}",
            "€",
            "\u{7ff}",
            "\u{800}",
        ];
        for a in keys {
            for b in keys {
                let units = a.encode_utf16().cmp(b.encode_utf16());
                assert_eq!(compare_keys(a.as_bytes(), b.as_bytes()), units, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let every: String = (0..0x3000).filter_map(char::from_u32).chain(['😀', '\u{10ffff}']).collect();
        let mut out = Vec::new();
        write_string(&every, &mut out);
        let inside = std::str::from_utf8(&out[1..out.len() - 1]).expect("canonical text is UTF-8");
        assert_eq!(unescape(inside), every);
    }
}
