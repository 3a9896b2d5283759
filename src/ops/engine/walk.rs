//! Reads a file of lines again, beside its outline: which rows are as they were, and the text of the others.
//!
//! Rests on [`Outline`]. A part is looked for where it was; after one that changed, at the row that has the number that the next
//! part begins in, since a row is known by its number. Invariants: the file is read once, from start to end, and what is handed out
//! is what was hashed; a row is as it was only if every byte of it, and of its line end, lies in parts that have their hash; what
//! is not known to be as it was is handed out, so that an outline saves work and decides nothing.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};

use crate::ops::engine::inputs::{Prefix, SourceFile, too_large};
use crate::ops::engine::outline::{Outline, Outliner, Part};
use crate::ops::error::OpError;
use crate::pipeline::source::{ReadError, UNIT_BYTES_LIMIT};

/// Bytes that are read at once.
const READ_BYTES: u64 = 256 << 10;
/// Bytes of rows that are handed out at once, about.
const FRESH_BYTES: u64 = 1 << 20;
/// Bytes that were read and are needed no more, before the others are moved to the front.
const SLACK_BYTES: usize = 1 << 20;

/// Some rows, one after the other.
pub(super) enum Rows<'a> {
    /// They are as they were.
    Known {
        /// How many.
        count: u64,
        /// Their bytes, with line ends.
        bytes: u64,
    },
    /// They may be others. Only the last line of the file may have no end.
    Fresh {
        /// Number of the first one.
        first: u64,
        /// Whole lines.
        text: &'a [u8],
    },
}

/// What a file is now.
pub(super) struct Walked {
    pub(super) prefix: Prefix,
    pub(super) outline: Option<Outline>,
}

type Take<'a> = &'a mut dyn FnMut(Rows<'_>) -> Result<(), OpError>;

/// Reads `input` from its start; hands out all rows, in order.
///
/// # Errors
/// When the file cannot be read, a line is too long to be held, or `take` stops.
pub(super) fn walk<'a>(
    file: &'a SourceFile,
    input: &'a mut File,
    old: &Outline,
    take: Take<'a>,
) -> Result<Walked, OpError> {
    let window = Window { input, text: Vec::new(), base: 0, complete: 0, at_end: false };
    let outliner = Outliner::with_part(old.part);
    let mut walk = Walk { file, window, outliner, hashed: VecDeque::new(), cursor: 0, number: 0, take };
    walk.parts(old)?;
    walk.rest()
}

struct Walk<'a> {
    file: &'a SourceFile,
    window: Window<'a>,
    outliner: Outliner,
    /// Parts that lie where they lay, with their place: hashed already, and not yet known to end before the last line end.
    hashed: VecDeque<(u64, Part)>,
    /// Where the first row begins that was not handed out, and its number.
    cursor: u64,
    number: u64,
    take: Take<'a>,
}

impl Walk<'_> {
    /// Goes through the parts of the file as it was.
    fn parts(&mut self, old: &Outline) -> Result<(), OpError> {
        // Of the old file: where the part lies, the number of the row that it begins in, and the bytes of that row before it.
        let (mut offset, mut row, mut tail) = (0, 0, 0);
        // Where the part should be now, unless the one before it was not found.
        let mut expected = Some(0);
        // Whether the row at the cursor has bytes in a part that was not found.
        let mut is_fresh = false;
        for part in &old.parts {
            let len = old.part.min(old.bytes - offset);
            if expected.is_none() {
                if !self.fresh_until(row)? {
                    return Ok(());
                }
                let at = self.cursor + tail;
                if !self.fill(at)? {
                    return Ok(());
                }
                // A row that ends before would put the part into another one.
                if memchr::memchr(b'\n', self.window.bytes(self.cursor, at)).is_none() {
                    expected = Some(at);
                    is_fresh = tail > 0;
                }
            }
            let mut found = false;
            if let Some(at) = expected
                && self.fill(at + len)?
            {
                let now = Part::of(self.window.bytes(at, at + len), offset, tail);
                found = now == *part;
                if len == old.part && at == offset {
                    self.hashed.push_back((at, now));
                }
            }
            if let (Some(at), true) = (expected, found) {
                let end = at + len;
                if part.lines > 0 {
                    self.known(at, row + u64::from(part.lines), end - u64::from(part.tail), is_fresh)?;
                    is_fresh = false;
                }
                expected = Some(end);
            } else {
                expected = None;
            }
            self.hash(expected.unwrap_or(self.cursor));
            offset += len;
            row += u64::from(part.lines);
            tail = u64::from(part.tail);
        }
        Ok(())
    }

    /// Hands out the rows up to number `row`, which begins at `next`: the first one anew if it is fresh, the others as known.
    /// The part that was found begins at `at`.
    fn known(&mut self, at: u64, row: u64, next: u64, is_fresh: bool) -> Result<(), OpError> {
        if is_fresh && let Some(end) = memchr::memchr(b'\n', self.window.bytes(at, next)) {
            self.fresh(at + end as u64 + 1, 1)?;
        }
        if row > self.number {
            (self.take)(Rows::Known { count: row - self.number, bytes: next - self.cursor })?;
        }
        (self.cursor, self.number) = (next, row);
        Ok(())
    }

    /// Hands out so many rows, which end at `end`.
    fn fresh(&mut self, end: u64, count: u64) -> Result<(), OpError> {
        if count > 0 {
            let text = self.window.bytes(self.cursor, end);
            (self.take)(Rows::Fresh { first: self.number, text })?;
        }
        (self.cursor, self.number) = (end, self.number + count);
        Ok(())
    }

    /// Hands out the rows before number `row`; false when there are fewer.
    fn fresh_until(&mut self, row: u64) -> Result<bool, OpError> {
        let (mut end, mut count) = (self.cursor, 0);
        while self.number + count < row {
            if !self.line_ends(end)? {
                self.fresh(end, count)?;
                return Ok(false);
            }
            let text = self.window.bytes(end, self.window.complete);
            let wanted = row - self.number - count;
            let most = usize::try_from(wanted).unwrap_or(usize::MAX);
            let mut last = 0;
            for at in memchr::memchr_iter(b'\n', text).take(most) {
                (last, count) = (at + 1, count + 1);
            }
            end += last as u64;
            if end - self.cursor >= FRESH_BYTES {
                self.fresh(end, std::mem::take(&mut count))?;
                self.hash(end);
            }
        }
        self.fresh(end, count)?;
        Ok(true)
    }

    /// Takes into the hash of the file what ends before `end`, and before the last line end that was read. A part that was
    /// hashed already waits until it does.
    fn hash(&mut self, end: u64) {
        let end = end.min(self.window.complete);
        while self.outliner.bytes() < end {
            let start = self.outliner.bytes();
            while self.hashed.front().is_some_and(|(at, _)| *at < start) {
                self.hashed.pop_front();
            }
            let mut stop = end;
            if let Some((at, part)) = self.hashed.front() {
                if *at > start {
                    stop = end.min(*at);
                } else if at + self.outliner.part() > end {
                    break;
                } else if self.outliner.take(*part) {
                    continue;
                }
            }
            self.outliner.update(self.window.bytes(start, stop));
        }
        self.window.forget(self.cursor.min(self.outliner.bytes()));
    }

    /// Reads up to `end`; false when the file ends before.
    fn fill(&mut self, end: u64) -> Result<bool, OpError> {
        while self.window.end() < end && !self.window.at_end {
            self.read()?;
        }
        Ok(self.window.end() >= end)
    }

    /// Reads until a line ends after `start`; false when none does.
    fn line_ends(&mut self, start: u64) -> Result<bool, OpError> {
        while self.window.complete <= start && !self.window.at_end {
            self.read()?;
        }
        Ok(self.window.complete > start)
    }

    fn read(&mut self) -> Result<(), OpError> {
        self.window.read().map_err(|e| OpError::io("read", &self.file.path, &e))?;
        let complete = self.window.complete;
        if self.window.end() - complete <= UNIT_BYTES_LIMIT {
            return Ok(());
        }
        let lines = memchr::memchr_iter(b'\n', self.window.bytes(self.cursor, complete)).count() as u64;
        Err(too_large(self.file, &ReadError::TooLarge { number: self.number + lines, offset: complete }))
    }

    /// Hands out what comes after the rows that were known, and ends.
    fn rest(mut self) -> Result<Walked, OpError> {
        self.fresh_until(u64::MAX)?;
        let end = self.window.end();
        let units = self.number;
        if end > self.cursor {
            self.fresh(end, 1)?;
        }
        // What was hashed and ends after the last line end is hashed up to there.
        self.hash(end);
        self.hashed.clear();
        self.hash(end);
        let bytes = self.outliner.bytes();
        let (hash, outline) = self.outliner.finish();
        Ok(Walked { prefix: Prefix { hash, bytes, units }, outline })
    }
}

/// The part of the file that is in memory.
struct Window<'a> {
    input: &'a mut File,
    text: Vec<u8>,
    /// Where `text` begins in the file.
    base: u64,
    /// Where the last whole line ends that was read.
    complete: u64,
    at_end: bool,
}

impl Window<'_> {
    fn end(&self) -> u64 {
        self.base + self.text.len() as u64
    }

    /// The bytes from `start` to `end`, which were read and not forgotten.
    fn bytes(&self, start: u64, end: u64) -> &[u8] {
        let at = |offset: u64| usize::try_from(offset - self.base).unwrap_or(usize::MAX);
        &self.text[at(start)..at(end)]
    }

    fn read(&mut self) -> io::Result<()> {
        let before = self.text.len();
        self.at_end = (&mut *self.input).take(READ_BYTES).read_to_end(&mut self.text)? == 0;
        if let Some(last) = memchr::memrchr(b'\n', &self.text[before..]) {
            self.complete = self.base + (before + last + 1) as u64;
        }
        Ok(())
    }

    /// Lets go of what lies before `start`.
    fn forget(&mut self, start: u64) {
        let gone = usize::try_from(start - self.base).unwrap_or(usize::MAX);
        if gone >= SLACK_BYTES {
            self.text.drain(..gone);
            self.base = start;
        }
    }
}
