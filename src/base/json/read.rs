//! The strict reader behind [`Value::parse`].
//!
//! Rests on `string` and `number`. Accepts exactly the texts that are their own canonical form, checking as it goes,
//! so that a stored object needs no second pass to be known canonical.

use std::borrow::Cow;

use super::number;
use super::string::{Escape, compare_keys, find_special, read_escape, unescape};
use super::{DEPTH_MAX, JsonError, JsonErrorCode, Value};

/// Reads one canonical text. See [`Value::parse`].
pub(super) fn parse(canonical: &[u8]) -> Result<Value<'_>, JsonError> {
    let text = std::str::from_utf8(canonical)
        .map_err(|error| JsonError { code: JsonErrorCode::InvalidUtf8, offset: error.valid_up_to() })?;
    if text.bytes().all(is_space) {
        return Err(JsonError { code: JsonErrorCode::Empty, offset: text.len() });
    }
    let mut reader = Reader { text, bytes: canonical, pos: 0 };
    let value = reader.value(0)?;
    let rest = &canonical[reader.pos..];
    match rest.iter().position(|&byte| !is_space(byte)) {
        Some(at) => Err(JsonError { code: JsonErrorCode::TrailingBytes, offset: reader.pos + at }),
        None if !rest.is_empty() => Err(not_canonical(reader.pos)),
        None => Ok(value),
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

fn not_canonical(offset: usize) -> JsonError {
    JsonError { code: JsonErrorCode::NotCanonical, offset }
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        match self.bytes.get(self.pos) {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => self.open(depth).and_then(|()| self.object(depth + 1)),
            Some(b'[') => self.open(depth).and_then(|()| self.array(depth + 1)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.unexpected()),
        }
    }

    fn open(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth == DEPTH_MAX {
            return Err(JsonError { code: JsonErrorCode::TooDeep, offset: self.pos });
        }
        self.pos += 1;
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.take(b']') {
                return Ok(Value::Array(items));
            }
            if !self.take(b',') {
                return Err(self.unexpected());
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        let mut members: Vec<(Cow<'a, str>, Value<'a>)> = Vec::new();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            let start = self.pos;
            if self.bytes.get(start) != Some(&b'"') {
                return Err(self.unexpected());
            }
            let key = self.string()?;
            if let Some((before, _)) = members.last() {
                match compare_keys(before.as_bytes(), key.as_bytes()) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => {
                        return Err(JsonError { code: JsonErrorCode::DuplicateKey, offset: start });
                    }
                    std::cmp::Ordering::Greater => return Err(not_canonical(start)),
                }
            }
            if !self.take(b':') {
                return Err(self.unexpected());
            }
            members.push((key, self.value(depth)?));
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.take(b',') {
                return Err(self.unexpected());
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let inside = self.pos + 1;
        let mut at = inside;
        let mut escaped = false;
        loop {
            at = find_special(self.bytes, at);
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += match read_escape(self.bytes, at)? {
                        Escape::Canonical(_) => 2,
                        Escape::Other(character, len) if self.is_written_so(character, at, len) => len,
                        Escape::Other(..) => return Err(not_canonical(at)),
                    };
                }
                _ => return Err(JsonError::syntax(at)),
            }
        }
        self.pos = at + 1;
        let raw = &self.text[inside..at];
        Ok(if escaped { unescape(raw) } else { Cow::Borrowed(raw) })
    }

    /// Whether the canonical form spells this character by an escape, and by this one.
    fn is_written_so(&self, character: char, at: usize, len: usize) -> bool {
        let mut canonical = Vec::with_capacity(6);
        super::string::write_char(character, &mut canonical);
        self.bytes[at..at + len] == canonical
    }

    fn number(&mut self) -> Result<Value<'a>, JsonError> {
        let start = self.pos;
        let token = number::scan(self.bytes, start)?;
        let text = &self.text[start..token.end];
        if token.canonical != Some(true) && number::print(text, start, &mut ryu_js::Buffer::new())? != text {
            return Err(not_canonical(start));
        }
        self.pos = token.end;
        Ok(Value::Number(Cow::Borrowed(text)))
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, JsonError> {
        if !self.bytes[self.pos..].starts_with(word.as_bytes()) {
            return Err(JsonError::syntax(self.pos));
        }
        self.pos += word.len();
        Ok(value)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.bytes.get(self.pos) == Some(&byte);
        self.pos += usize::from(found);
        found
    }

    /// What to say of a byte that does not belong here: white space is JSON, only not canonical.
    fn unexpected(&self) -> JsonError {
        match self.bytes.get(self.pos) {
            Some(&byte) if is_space(byte) => not_canonical(self.pos),
            _ => JsonError::syntax(self.pos),
        }
    }
}
