//! The canonicaliser: one pass over the bytes, no parsed value in between.
//!
//! Rests on `string` and `number`. Input that already stands in canonical form is not copied token by token: the
//! run `input[copied..pos]` is pending, and is appended whole when something has to change. Members of an object
//! are sorted afterwards, in the output, and only where they came out of order. Invariant: what was written reads
//! back to itself, and an error leaves the output as long as it was.

use std::cell::Cell;

use super::number;
use super::string::{Escape, compare_keys, find_special, read_escape, unescape, write_char};
use super::{DEPTH_MAX, JsonError, JsonErrorCode};

/// Scratch that grew beyond this by one huge text is given back rather than kept for each thread's life.
const SCRATCH_BYTES_KEPT_MAX: usize = 1 << 20;

/// One member of an object that is being read.
struct Member {
    /// The inside of its key in the input, escapes not resolved.
    key: (usize, usize),
    escaped: bool,
    /// `"key":value` in the output.
    written: (usize, usize),
}

#[derive(Default)]
struct Scratch {
    /// Members of all objects that are open, innermost last.
    members: Vec<Member>,
    /// One object's members in their new order.
    sorted: Vec<u8>,
}

thread_local! {
    /// A row has a few dozen members: allocating for each would cost as much as sorting them.
    static SCRATCH: Cell<Scratch> = const { Cell::new(Scratch { members: Vec::new(), sorted: Vec::new() }) };
}

/// Appends the canonical form of the one JSON text in `input` to `out`.
///
/// # Errors
/// See [`JsonErrorCode`]; `out` is then as long as it was. Bytes that are not UTF-8 are reported before anything
/// else, a key that is named twice only where its object ends.
pub fn canonicalize(input: &[u8], out: &mut Vec<u8>) -> Result<(), JsonError> {
    let text = std::str::from_utf8(input)
        .map_err(|error| JsonError { code: JsonErrorCode::InvalidUtf8, offset: error.valid_up_to() })?;
    let mut scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
    scratch.members.clear();
    let len_before = out.len();
    out.reserve(input.len());
    let mut pass = Pass { text, bytes: input, pos: 0, copied: 0, out, scratch: &mut scratch };
    let result = pass.text();
    if result.is_err() {
        out.truncate(len_before);
    }
    let kept = scratch.members.capacity() * size_of::<Member>() + scratch.sorted.capacity();
    if kept <= SCRATCH_BYTES_KEPT_MAX {
        // Fails only while the thread is being torn down, when there is nobody left to keep it for.
        let _ = SCRATCH.try_with(|cell| cell.set(scratch));
    }
    result
}

struct Pass<'i, 'o> {
    text: &'i str,
    bytes: &'i [u8],
    /// The next byte to read.
    pos: usize,
    /// Where the pending run begins. All of `copied..pos` is canonical as it stands.
    copied: usize,
    out: &'o mut Vec<u8>,
    scratch: &'o mut Scratch,
}

impl Pass<'_, '_> {
    fn text(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.pos == self.bytes.len() {
            return Err(JsonError { code: JsonErrorCode::Empty, offset: self.pos });
        }
        self.value(0)?;
        self.skip_space();
        if self.pos < self.bytes.len() {
            return Err(JsonError { code: JsonErrorCode::TrailingBytes, offset: self.pos });
        }
        self.flush_to(self.pos);
        Ok(())
    }

    /// Reads one value, `depth` arrays and objects down; white space before it is already skipped.
    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.open(depth).and_then(|()| self.object(depth + 1)),
            Some(b'[') => self.open(depth).and_then(|()| self.array(depth + 1)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(JsonError::syntax(self.pos)),
        }
    }

    fn open(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth == DEPTH_MAX {
            return Err(JsonError { code: JsonErrorCode::TooDeep, offset: self.pos });
        }
        self.pos += 1;
        self.skip_space();
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        if self.peek() == Some(b']') {
            self.pos += 1;
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.pos += 1,
                Some(b']') => break,
                _ => return Err(JsonError::syntax(self.pos)),
            }
            self.skip_space();
        }
        self.pos += 1;
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonError> {
        if self.peek() == Some(b'}') {
            self.pos += 1;
            return Ok(());
        }
        let first = self.scratch.members.len();
        let mut in_order = true;
        loop {
            let start = self.written();
            if self.peek() != Some(b'"') {
                return Err(JsonError::syntax(self.pos));
            }
            let (key, escaped) = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(JsonError::syntax(self.pos));
            }
            self.pos += 1;
            self.skip_space();
            self.value(depth)?;
            let member = Member { key, escaped, written: (start, self.written()) };
            if in_order && let Some(before) = self.scratch.members[first..].last() {
                in_order = compare(self.text, before, &member).is_lt();
            }
            self.scratch.members.push(member);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.pos += 1,
                Some(b'}') => break,
                _ => return Err(JsonError::syntax(self.pos)),
            }
            self.skip_space();
        }
        if !in_order {
            self.flush_to(self.pos);
            self.sort_members(first)?;
        }
        self.scratch.members.truncate(first);
        self.pos += 1;
        Ok(())
    }

    /// Puts the members from `first` on, which end the output, in order.
    fn sort_members(&mut self, first: usize) -> Result<(), JsonError> {
        let Scratch { members, sorted } = &mut *self.scratch;
        let members = &mut members[first..];
        let body = members[0].written.0;
        members.sort_unstable_by(|a, b| compare(self.text, a, b).then(a.key.cmp(&b.key)));
        for pair in members.windows(2) {
            if compare(self.text, &pair[0], &pair[1]).is_eq() {
                return Err(JsonError { code: JsonErrorCode::DuplicateKey, offset: pair[1].key.0 - 1 });
            }
        }
        sorted.clear();
        for (i, member) in members.iter().enumerate() {
            if i > 0 {
                sorted.push(b',');
            }
            sorted.extend_from_slice(&self.out[member.written.0..member.written.1]);
        }
        self.out[body..].copy_from_slice(sorted);
        Ok(())
    }

    /// Reads a string; returns where its inside lies in the input and whether there are escapes in it.
    fn string(&mut self) -> Result<((usize, usize), bool), JsonError> {
        let inside = self.pos + 1;
        let mut escaped = false;
        self.pos = inside;
        loop {
            let at = find_special(self.bytes, self.pos);
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.pos = at + 1;
                    return Ok(((inside, at), escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    match read_escape(self.bytes, at)? {
                        Escape::Canonical(_) => self.pos = at + 2,
                        Escape::Other(character, len) => {
                            self.flush_to(at);
                            write_char(character, self.out);
                            self.resume_at(at + len);
                        }
                    }
                }
                _ => return Err(JsonError::syntax(at)),
            }
        }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.pos;
        let token = number::scan(self.bytes, start)?;
        if token.canonical == Some(true) {
            self.pos = token.end;
            return Ok(());
        }
        let text = &self.text[start..token.end];
        let mut buffer = ryu_js::Buffer::new();
        let printed = number::print(text, start, &mut buffer)?;
        if printed == text {
            self.pos = token.end;
        } else {
            self.flush_to(start);
            self.out.extend_from_slice(printed.as_bytes());
            self.resume_at(token.end);
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        for (i, expected) in word.iter().enumerate() {
            if self.bytes.get(self.pos + i) != Some(expected) {
                return Err(JsonError::syntax(self.pos + i));
            }
        }
        self.pos += word.len();
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    fn skip_space(&mut self) {
        if let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.flush_to(self.pos);
            let mut at = self.pos + 1;
            while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(at) {
                at += 1;
            }
            self.resume_at(at);
        }
    }

    /// How long the output is once the pending run is appended.
    fn written(&self) -> usize {
        self.out.len() + (self.pos - self.copied)
    }

    /// Appends the pending run up to `end`.
    fn flush_to(&mut self, end: usize) {
        self.out.extend_from_slice(&self.bytes[self.copied..end]);
        self.copied = end;
    }

    /// Leaves out what lies before `pos`, and goes on there.
    fn resume_at(&mut self, pos: usize) {
        self.pos = pos;
        self.copied = pos;
    }
}

fn compare(text: &str, a: &Member, b: &Member) -> std::cmp::Ordering {
    let (x, y) = (&text[a.key.0..a.key.1], &text[b.key.0..b.key.1]);
    if a.escaped || b.escaped {
        compare_keys(unescape(x).as_bytes(), unescape(y).as_bytes())
    } else {
        compare_keys(x.as_bytes(), y.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole text as it comes out behind what was there, and again from its own form.
    fn canonical(input: &str) -> Result<String, JsonError> {
        let mut out = b"kept".to_vec();
        let result = canonicalize(input.as_bytes(), &mut out);
        let text = String::from_utf8(out).expect("UTF-8 in, UTF-8 out");
        let text = text.strip_prefix("kept").expect("only appended to").to_owned();
        assert!(result.is_ok() || text.is_empty(), "an error leaves the output as it was");
        result.map(|()| text)
    }

    #[test]
    fn nested_objects_are_sorted_in_place() {
        let input =
            r#" { "b" : [ { "z" : 1.0 , "y" : "\/" } , 2 ] , "a" : { } , "B" : { "d" : -0 , "c" : 1e2 } } "#;
        let output = r#"{"B":{"c":100,"d":0},"a":{},"b":[{"y":"/","z":1},2]}"#;
        assert_eq!(canonical(input).as_deref(), Ok(output));
        assert_eq!(canonical(output).as_deref(), Ok(output));
    }

    #[test]
    fn a_refusal_says_where() {
        let refused = |input| canonical(input).map_err(|error| (error.code, error.offset));
        assert_eq!(refused(r#"{"a":1,"b":2,"a":3}"#), Err((JsonErrorCode::DuplicateKey, 13)));
        assert_eq!(refused(r#"{"a":1,"\u0061":3}"#), Err((JsonErrorCode::DuplicateKey, 7)));
        assert_eq!(refused(r#"["\ud800"]"#), Err((JsonErrorCode::LoneSurrogate, 2)));
        assert_eq!(refused("[1,-1e999]"), Err((JsonErrorCode::NumberOverflow, 3)));
        assert_eq!(refused("[1] x"), Err((JsonErrorCode::TrailingBytes, 4)));
        assert_eq!(refused("[1,]"), Err((JsonErrorCode::Syntax, 3)));
        assert_eq!(refused(" \n"), Err((JsonErrorCode::Empty, 2)));
        let deep = "[".repeat(DEPTH_MAX + 1);
        assert_eq!(refused(&deep), Err((JsonErrorCode::TooDeep, DEPTH_MAX)));
    }
}
