//! Cutting the elements of an array, or the values of a map, out of a JSON file without loading it.
//!
//! Rests on `BufRead`. It looks at brackets, quotes and backslashes only: whether an element is valid JSON is decided
//! when it is parsed. Invariant: every byte that is not white space, comma, bracket, colon or key of the container
//! itself is in exactly one cut; where the container is broken or missing, the rest is one cut. What stands beside the
//! container is a cut too where it is wanted, and no cut where it is not.

use std::io;
use std::io::BufRead;

use crate::base::json::Value;
use crate::base::json::canonicalize;

/// What the scanner found next.
pub(super) enum Cut {
    /// A whole element or value.
    Whole { offset: u64, bytes: Vec<u8>, key: Option<String> },
    /// What is left of a file that is not as it should be.
    Rest { offset: u64, bytes: Vec<u8> },
    /// The file without the elements, or all of a file in which the container was not found.
    Beside { bytes: Vec<u8> },
    /// An element larger than the limit.
    TooLarge { offset: u64 },
    /// Nothing is left.
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the container.
    Start,
    /// Inside, before the first element or the closing bracket.
    First,
    /// Inside, after an element.
    Between,
    /// After the container, or after the rest was handed out.
    Done,
}

/// What a step of the scan met.
enum Step<T> {
    Found(T),
    /// The text is not as it should be from here, or from the start of `pending`.
    Broken,
    TooLarge,
}

pub(super) struct Scanner<'r> {
    reader: &'r mut dyn BufRead,
    offset: u64,
    path: Vec<String>,
    map: bool,
    state: State,
    /// What stands before the container, with its opening bracket; `None` where it is not wanted.
    beside: Option<Vec<u8>>,
    /// Bytes consumed that belong to no cut yet, in case the container breaks before one is complete.
    pending: Vec<u8>,
    pending_offset: u64,
}

impl<'r> Scanner<'r> {
    pub(super) fn new(reader: &'r mut dyn BufRead, path: Vec<String>, map: bool) -> Self {
        let (pending, pending_offset) = (Vec::new(), 0);
        Self { reader, offset: 0, path, map, state: State::Start, beside: None, pending, pending_offset }
    }

    /// Hands out what stands beside the container, as the last cut.
    pub(super) fn want_beside(&mut self) {
        self.beside = Some(Vec::new());
    }

    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next cut; `limit` bounds the bytes of one.
    pub(super) fn next_cut(&mut self, limit: u64) -> io::Result<Cut> {
        if self.state == State::Done {
            return Ok(Cut::End);
        }
        self.drop_pending();
        if self.state == State::Start {
            match self.find_container(limit)? {
                Step::Found(()) => self.state = State::First,
                Step::Broken => {
                    let cut = self.rest(limit)?;
                    return Ok(match (cut, &self.beside) {
                        (Cut::Rest { bytes, .. }, Some(_)) => Cut::Beside { bytes },
                        (cut, _) => cut,
                    });
                }
                Step::TooLarge => return Ok(self.too_large()),
            }
        }
        match self.next_element(limit)? {
            Step::Found(Some((offset, bytes, key))) => Ok(Cut::Whole { offset, bytes, key }),
            Step::Found(None) => self.after(limit),
            Step::Broken => self.rest(limit),
            Step::TooLarge => Ok(self.too_large()),
        }
    }

    fn too_large(&mut self) -> Cut {
        self.state = State::Done;
        Cut::TooLarge { offset: self.pending_offset }
    }

    /// After the closing bracket. At the top nothing may follow; inside, the rest of the file stands beside.
    fn after(&mut self, limit: u64) -> io::Result<Cut> {
        self.state = State::Done;
        if let Some(mut beside) = self.beside.take() {
            beside.push(if self.map { b'}' } else { b']' });
            let before = beside.len();
            let whole = super::unit::read_limited(self.reader, None, limit, &mut beside)?;
            self.offset += (beside.len() - before) as u64;
            return Ok(if whole {
                Cut::Beside { bytes: beside }
            } else {
                Cut::TooLarge { offset: self.offset }
            });
        }
        self.drop_pending();
        if !self.path.is_empty() || self.peek_solid()?.is_none() {
            return Ok(Cut::End);
        }
        self.drop_pending();
        self.rest(limit)
    }

    /// Everything pending and everything to come.
    fn rest(&mut self, limit: u64) -> io::Result<Cut> {
        self.state = State::Done;
        let offset = self.pending_offset;
        let before = self.pending.len();
        let whole = super::unit::read_limited(self.reader, None, limit, &mut self.pending)?;
        self.offset += (self.pending.len() - before) as u64;
        if !whole {
            return Ok(Cut::TooLarge { offset });
        }
        let mut bytes = std::mem::take(&mut self.pending);
        while bytes.last().is_some_and(|b| is_space(*b)) {
            bytes.pop();
        }
        Ok(if bytes.is_empty() { Cut::End } else { Cut::Rest { offset, bytes } })
    }

    /// Goes down `path` to the bracket that opens the container, keeping what it passes in `pending`.
    fn find_container(&mut self, limit: u64) -> io::Result<Step<()>> {
        for step in std::mem::take(&mut self.path) {
            match self.find_member(&step, limit)? {
                Step::Found(()) => self.path.push(step),
                other => {
                    self.path.push(step);
                    return Ok(other);
                }
            }
        }
        let open = if self.map { b'{' } else { b'[' };
        if self.peek_solid()? != Some(open) {
            return Ok(Step::Broken);
        }
        self.take_byte()?;
        if let Some(beside) = &mut self.beside {
            beside.extend_from_slice(&self.pending);
        }
        // From here on, only what belongs to no element yet is kept.
        self.drop_pending();
        Ok(Step::Found(()))
    }

    /// Inside an object whose brace comes next: goes to the value of member `name`.
    fn find_member(&mut self, name: &str, limit: u64) -> io::Result<Step<()>> {
        if self.peek_solid()? != Some(b'{') {
            return Ok(Step::Broken);
        }
        self.take_byte()?;
        loop {
            let key = match self.take_key(limit)? {
                Step::Found(key) => key,
                Step::Broken => return Ok(Step::Broken),
                Step::TooLarge => return Ok(Step::TooLarge),
            };
            if key == name {
                return Ok(Step::Found(()));
            }
            if self.peek_solid()?.is_none() {
                return Ok(Step::Broken);
            }
            match self.take_value(limit)? {
                Step::Found(()) => {}
                other => return Ok(other),
            }
            if self.peek_solid()? != Some(b',') {
                return Ok(Step::Broken);
            }
            self.take_byte()?;
        }
    }

    /// The next element; `None` after the closing bracket was taken.
    #[expect(
        clippy::type_complexity,
        reason = "offset, bytes and key of one element, named by its only caller"
    )]
    fn next_element(&mut self, limit: u64) -> io::Result<Step<Option<(u64, Vec<u8>, Option<String>)>>> {
        let close = if self.map { b'}' } else { b']' };
        let Some(mut next) = self.peek_solid()? else { return Ok(Step::Broken) };
        if next == close {
            self.take_byte()?;
            return Ok(Step::Found(None));
        }
        if self.state == State::Between {
            if next != b',' {
                // `[1 2]`: what was cut before stands; the rest begins here.
                self.drop_pending();
                return Ok(Step::Broken);
            }
            self.take_byte()?;
            self.drop_pending();
            match self.peek_solid()? {
                Some(b) => next = b,
                None => return Ok(Step::Broken),
            }
        }
        self.drop_pending();
        let mut key = None;
        if self.map {
            match self.take_key(limit)? {
                Step::Found(found) => key = Some(found),
                Step::Broken => return Ok(Step::Broken),
                Step::TooLarge => return Ok(Step::TooLarge),
            }
            match self.peek_solid()? {
                Some(b) => next = b,
                None => return Ok(Step::Broken),
            }
        }
        if matches!(next, b',' | b']' | b'}' | b':') {
            return Ok(Step::Broken);
        }
        let start = self.pending.len();
        let offset = self.offset;
        match self.take_value(limit)? {
            Step::Found(()) => {}
            Step::Broken => return Ok(Step::Broken),
            Step::TooLarge => return Ok(Step::TooLarge),
        }
        // A value is complete where the container goes on; `[1 2]` breaks at the next call, `["a"b]` too.
        let mut bytes = self.pending.split_off(start);
        self.pending.clear();
        self.pending_offset = self.offset;
        self.state = State::Between;
        bytes.shrink_to_fit();
        Ok(Step::Found(Some((offset, bytes, key))))
    }

    /// A string and the colon after it; the string unescaped.
    fn take_key(&mut self, limit: u64) -> io::Result<Step<String>> {
        if self.peek_solid()? != Some(b'"') {
            return Ok(Step::Broken);
        }
        let start = self.pending.len();
        match self.take_value(limit)? {
            Step::Found(()) => {}
            Step::Broken => return Ok(Step::Broken),
            Step::TooLarge => return Ok(Step::TooLarge),
        }
        let mut canonical = Vec::new();
        let key = match canonicalize(&self.pending[start..], &mut canonical)
            .and_then(|()| Value::parse(&canonical))
        {
            Ok(Value::String(key)) => key.into_owned(),
            _ => return Ok(Step::Broken),
        };
        if self.peek_solid()? != Some(b':') {
            return Ok(Step::Broken);
        }
        self.take_byte()?;
        Ok(Step::Found(key))
    }

    /// Moves one value, which begins at the next byte, into `pending`.
    fn take_value(&mut self, limit: u64) -> io::Result<Step<()>> {
        let (mut depth, mut in_string, mut escaped, mut scalar) = (0_u64, false, false, false);
        loop {
            let chunk = fill(self.reader)?;
            if chunk.is_empty() {
                // A scalar at the end of the file is whole, but its container is not: the next step says so.
                return Ok(if scalar && depth == 0 { Step::Found(()) } else { Step::Broken });
            }
            let mut at = 0;
            let mut end = None;
            while at < chunk.len() {
                let byte = chunk[at];
                if in_string {
                    if escaped {
                        escaped = false;
                        at += 1;
                        continue;
                    }
                    match memchr::memchr2(b'"', b'\\', &chunk[at..]) {
                        None => at = chunk.len(),
                        Some(skip) => {
                            at += skip + 1;
                            if chunk[at - 1] == b'\\' {
                                escaped = true;
                            } else {
                                in_string = false;
                                if depth == 0 {
                                    end = Some(at);
                                    break;
                                }
                            }
                        }
                    }
                    continue;
                }
                match byte {
                    // What ends a scalar is not part of it.
                    b'"' | b'{' | b'[' if scalar => {
                        end = Some(at);
                        break;
                    }
                    b'"' => in_string = true,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' if depth > 0 => {
                        depth -= 1;
                        if depth == 0 {
                            end = Some(at + 1);
                            break;
                        }
                    }
                    b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => {
                        end = Some(at);
                        break;
                    }
                    _ if depth == 0 => scalar = true,
                    _ => {}
                }
                at += 1;
            }
            let take = end.unwrap_or(chunk.len());
            if self.pending.len() as u64 + take as u64 > limit {
                return Ok(Step::TooLarge);
            }
            self.pending.extend_from_slice(&chunk[..take]);
            self.reader.consume(take);
            self.offset += take as u64;
            if end.is_some() {
                return Ok(Step::Found(()));
            }
        }
    }

    /// The next byte that is not white space, which goes to `pending`.
    fn peek_solid(&mut self) -> io::Result<Option<u8>> {
        loop {
            let chunk = fill(self.reader)?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let spaces = chunk.iter().position(|b| !is_space(*b)).unwrap_or(chunk.len());
            let found = chunk.get(spaces).copied();
            self.pending.extend_from_slice(&chunk[..spaces]);
            self.reader.consume(spaces);
            self.offset += spaces as u64;
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Moves the next byte into `pending`.
    fn take_byte(&mut self) -> io::Result<()> {
        if let Some(byte) = fill(self.reader)?.first().copied() {
            self.pending.push(byte);
            self.reader.consume(1);
            self.offset += 1;
        }
        Ok(())
    }

    /// What was pending belongs to the container itself.
    fn drop_pending(&mut self) {
        self.pending.clear();
        self.pending_offset = self.offset;
    }
}

fn fill(reader: &mut dyn BufRead) -> io::Result<&[u8]> {
    loop {
        match reader.fill_buf() {
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    // Asked again because a borrow cannot leave a loop; a filled buffer is returned as it is.
    reader.fill_buf()
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
