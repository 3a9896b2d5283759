//! Units: what one row of a source file is, and the reader that cuts a file into them.
//!
//! Rests on any `BufRead`. Invariants: the bytes of a unit are exactly as read (a line without its `\n` or `\r\n`, a
//! value without the white space around it; what stands beside a container without the elements between its brackets);
//! memory is bounded by one unit; nothing is dropped: what cannot be cut is handed out as the last unit, flagged.

use std::io;
use std::io::BufRead;

use crate::record::Unit as UnitName;

use super::scan::Cut;
use super::scan::Scanner;

/// A unit larger than this is handed out whole, flagged [`UnitFlags::too_large`].
pub const UNIT_BYTES_MAX: u64 = 64 << 20;

/// A unit larger than this stops reading: it is not held in memory at all.
pub const UNIT_BYTES_LIMIT: u64 = 1 << 30;

/// What one input unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// A line.
    Line,
    /// An element of an array.
    Element,
    /// A value of an object; its key is `$key`.
    Value,
    /// The whole file.
    File,
}

impl UnitKind {
    pub(super) const NAMES: [&'static str; 4] = ["line", "element", "value", "file"];

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Line, Self::Element, Self::Value, Self::File].into_iter().find(|kind| kind.as_str() == name)
    }

    /// Its name in specs and in provenance.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Line => Self::NAMES[0],
            Self::Element => Self::NAMES[1],
            Self::Value => Self::NAMES[2],
            Self::File => Self::NAMES[3],
        }
    }

    /// Its name in provenance.
    pub const fn provenance(self) -> UnitName {
        match self {
            Self::Line => UnitName::Line,
            Self::Element => UnitName::Element,
            Self::Value => UnitName::Value,
            Self::File => UnitName::File,
        }
    }
}

/// What is unusual about a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitFlags {
    /// Larger than [`UNIT_BYTES_MAX`].
    pub too_large: bool,
    /// The rest of a file whose array or map is broken or is not there.
    pub broken_container: bool,
    /// What stands beside the array or map: the file with the container emptied.
    pub beside: bool,
}

/// One unit as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its number in the file, from 0; blank lines count.
    pub number: u64,
    /// Offset of its first byte in the (unpacked) file.
    pub offset: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// For a line: did a line ending follow? True for every other kind.
    pub terminated: bool,
    /// The key under which a `value` stands in its map, unescaped.
    pub key: Option<String>,
    /// What is unusual about it.
    pub flags: UnitFlags,
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read, or its compression is damaged (see [`super::decode::is_bad_compression`]).
    #[error("after unit {units} at byte {offset}: {source}")]
    Read {
        /// Units handed out before.
        units: u64,
        /// Bytes of the unpacked file handed out or passed over before.
        offset: u64,
        /// What the reader said.
        source: io::Error,
    },
    /// A unit is larger than [`UNIT_BYTES_LIMIT`].
    #[error("unit {number} at byte {offset} is larger than {UNIT_BYTES_LIMIT} bytes")]
    TooLarge {
        /// The unit's number.
        number: u64,
        /// Offset of its first byte.
        offset: u64,
    },
}

/// Cuts a byte stream into units.
pub struct UnitReader<'r> {
    input: Input<'r>,
    kind: UnitKind,
    number: u64,
    limit: u64,
    max: u64,
}

enum Input<'r> {
    Plain { reader: &'r mut dyn BufRead, offset: u64, done: bool },
    Container(Scanner<'r>),
}

impl<'r> UnitReader<'r> {
    /// A reader from the start of a file. `at` is the plain path of the array or map (see
    /// [`super::Spec::at`]); a path that is none finds nothing, which is a broken container.
    pub fn new(reader: &'r mut dyn BufRead, kind: UnitKind, at: Option<&str>) -> Self {
        let input = match kind {
            UnitKind::Line | UnitKind::File => Input::Plain { reader, offset: 0, done: false },
            UnitKind::Element | UnitKind::Value => {
                let steps = at.map_or_else(|| Some(Vec::new()), at_steps).unwrap_or_default();
                Input::Container(Scanner::new(reader, steps, kind == UnitKind::Value))
            }
        };
        Self { input, kind, number: 0, limit: UNIT_BYTES_LIMIT, max: UNIT_BYTES_MAX }
    }

    /// A reader of lines that goes on where the last complete line ended: `reader` stands at byte `offset`, and
    /// `number` lines lie before it.
    pub fn line_at(reader: &'r mut dyn BufRead, number: u64, offset: u64) -> Self {
        Self {
            input: Input::Plain { reader, offset, done: false },
            kind: UnitKind::Line,
            number,
            limit: UNIT_BYTES_LIMIT,
            max: UNIT_BYTES_MAX,
        }
    }

    /// Hands out what stands beside the container, as the last unit (see [`super::Spec::reads_beside`]). Where there is
    /// no container, that is all of the file.
    pub fn with_beside(mut self) -> Self {
        if let Input::Container(scanner) = &mut self.input {
            scanner.want_beside();
        }
        self
    }

    /// Other sizes than [`UNIT_BYTES_MAX`] and [`UNIT_BYTES_LIMIT`], for a machine with little memory.
    pub fn with_sizes(mut self, max: u64, limit: u64) -> Self {
        (self.max, self.limit) = (max, limit);
        self
    }

    /// Offset of the byte after the last unit handed out and its line ending.
    pub fn offset(&self) -> u64 {
        match &self.input {
            Input::Plain { offset, .. } => *offset,
            Input::Container(scanner) => scanner.offset(),
        }
    }

    /// The next unit; `None` at the end.
    ///
    /// # Errors
    /// When reading fails or a unit is larger than [`UNIT_BYTES_LIMIT`].
    pub fn next_unit(&mut self) -> Result<Option<Unit>, ReadError> {
        let number = self.number;
        let failed = |offset: u64, source| ReadError::Read { units: number, offset, source };
        let unit = match &mut self.input {
            Input::Plain { done: true, .. } => None,
            Input::Plain { reader, offset, done } => {
                let start = *offset;
                let mut bytes = Vec::new();
                let read = if self.kind == UnitKind::Line {
                    read_limited(*reader, Some(b'\n'), self.limit, &mut bytes)
                } else {
                    *done = true;
                    read_limited(*reader, None, self.limit, &mut bytes)
                };
                *offset += bytes.len() as u64;
                if !read.map_err(|e| failed(start, e))? {
                    *done = true;
                    return Err(ReadError::TooLarge { number, offset: start });
                }
                if self.kind == UnitKind::File {
                    Some(Unit {
                        number,
                        offset: start,
                        bytes,
                        terminated: true,
                        key: None,
                        flags: UnitFlags::default(),
                    })
                } else if bytes.is_empty() {
                    *done = true;
                    None
                } else {
                    let terminated = bytes.last() == Some(&b'\n');
                    if terminated {
                        bytes.pop();
                        bytes.pop_if(|last| *last == b'\r');
                    }
                    Some(Unit {
                        number,
                        offset: start,
                        bytes,
                        terminated,
                        key: None,
                        flags: UnitFlags::default(),
                    })
                }
            }
            Input::Container(scanner) => {
                let start = scanner.offset();
                match scanner.next_cut(self.limit).map_err(|e| failed(start, e))? {
                    Cut::End => None,
                    Cut::TooLarge { offset } => return Err(ReadError::TooLarge { number, offset }),
                    Cut::Whole { offset, bytes, key } => Some(Unit {
                        number,
                        offset,
                        bytes,
                        terminated: true,
                        key,
                        flags: UnitFlags::default(),
                    }),
                    Cut::Rest { offset, bytes } => Some(Unit {
                        number,
                        offset,
                        bytes,
                        terminated: true,
                        key: None,
                        flags: UnitFlags { broken_container: true, ..UnitFlags::default() },
                    }),
                    Cut::Beside { bytes } => Some(Unit {
                        number,
                        offset: 0,
                        bytes,
                        terminated: true,
                        key: None,
                        flags: UnitFlags { beside: true, ..UnitFlags::default() },
                    }),
                }
            }
        };
        let Some(mut unit) = unit else { return Ok(None) };
        unit.flags.too_large = unit.bytes.len() as u64 > self.max;
        self.number += 1;
        Ok(Some(unit))
    }
}

/// Reads up to and with `end` (or to the end of the file) into `out`; false when more than `limit` bytes come.
pub(super) fn read_limited(
    reader: &mut dyn BufRead,
    end: Option<u8>,
    limit: u64,
    out: &mut Vec<u8>,
) -> io::Result<bool> {
    loop {
        let chunk = match reader.fill_buf() {
            Ok(chunk) => chunk,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if chunk.is_empty() {
            return Ok(true);
        }
        let found = end.and_then(|end| memchr::memchr(end, chunk));
        let take = found.map_or(chunk.len(), |at| at + 1);
        if out.len() as u64 + take as u64 > limit {
            return Ok(false);
        }
        out.extend_from_slice(&chunk[..take]);
        reader.consume(take);
        if found.is_some() {
            return Ok(true);
        }
    }
}

/// The member names of a plain path such as `.data."the items"`; `None` for anything else.
pub(super) fn at_steps(path: &str) -> Option<Vec<String>> {
    super::path::member_names(path)
}
