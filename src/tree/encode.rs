//! Writes nodes: canonical JSON, byte for byte as `docs/format.md` says.
//!
//! Rests on the boundary rule. Invariant: the text is what a canonicaliser would make of it, since keys that would need an
//! escape are refused.

use super::Totals;
use super::TreeError;
use super::cut::Cutter;
use super::cut::KEY_BYTES_MAX;
use crate::object::ObjectId;

pub(super) const HEAD: &[u8] = br#"{"entries":["#;
pub(super) const LEVEL: &[u8] = br#"],"level":"#;
pub(super) const TAIL: &[u8] = br#","schema":"distill.tree_node.v1"}"#;

/// What a parent says of a child, or a leaf of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The last key below, or the row's.
    pub(super) key: String,
    /// The child node, or the record.
    pub(super) id: ObjectId,
    /// What is below; one row for a row.
    pub(super) totals: Totals,
}

/// The node that is being written on one level.
#[derive(Debug)]
pub(super) struct NodeWriter {
    level: u8,
    cutter: Cutter,
    text: Vec<u8>,
    entries: u64,
    totals: Totals,
    /// Outlives the node, so that order is checked across nodes.
    last_key: String,
}

impl NodeWriter {
    pub(super) fn new(level: u8) -> Self {
        Self {
            level,
            cutter: Cutter::new(level),
            text: HEAD.to_vec(),
            entries: 0,
            totals: Totals::default(),
            last_key: String::new(),
        }
    }

    pub(super) const fn entries(&self) -> u64 {
        self.entries
    }

    pub(super) const fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn last_key(&self) -> &str {
        &self.last_key
    }

    /// Appends an entry; `true` when the node ends with it.
    pub(super) fn push(&mut self, key: &str, id: &ObjectId, totals: Totals) -> Result<bool, TreeError> {
        check_key(key)?;
        // No key is empty, so the first one is greater than the initial last key.
        if key <= self.last_key.as_str() {
            return Err(TreeError::Unsorted { key: key.to_owned(), after: self.last_key.clone() });
        }
        self.totals = self.totals.plus(totals).ok_or_else(|| TreeError::TooLarge { key: key.to_owned() })?;
        self.last_key.clear();
        self.last_key.push_str(key);
        if self.entries > 0 {
            self.text.push(b',');
        }
        self.entries += 1;
        write_entry(&mut self.text, self.level, key, id, totals);
        Ok(self.cutter.ends_after(key.as_bytes()))
    }

    /// The bytes of the finished node.
    pub(super) fn finish(&mut self) -> &[u8] {
        self.text.extend_from_slice(LEVEL);
        write_u64(&mut self.text, u64::from(self.level));
        self.text.extend_from_slice(TAIL);
        &self.text
    }

    /// Begins the next node.
    pub(super) fn reset(&mut self) {
        self.text.truncate(HEAD.len());
        self.cutter = Cutter::new(self.level);
        self.entries = 0;
        self.totals = Totals::default();
    }
}

/// Refuses what no key may be.
pub(super) fn check_key(key: &str) -> Result<(), TreeError> {
    match key_fault(key.as_bytes()) {
        Some(reason) => Err(TreeError::BadKey { key: key.to_owned(), reason }),
        None => Ok(()),
    }
}

/// What is wrong with a key that is known to be UTF-8.
pub(super) fn key_fault(key: &[u8]) -> Option<&'static str> {
    if key.is_empty() {
        return Some("it is empty");
    }
    if key.len() > KEY_BYTES_MAX {
        return Some("it is longer than 255 bytes");
    }
    let forbidden = |&byte: &u8| byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f);
    key.iter().any(forbidden).then_some("it has a control character, a quotation mark or a backslash")
}

fn write_entry(text: &mut Vec<u8>, level: u8, key: &str, id: &ObjectId, totals: Totals) {
    text.extend_from_slice(b"[\"");
    text.extend_from_slice(key.as_bytes());
    text.extend_from_slice(b"\",\"");
    for byte in id.as_bytes() {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    text.extend_from_slice(b"\",");
    if level > 0 {
        write_u64(text, totals.rows);
        text.push(b',');
    }
    write_u64(text, totals.bytes);
    text.push(b']');
}

fn write_u64(text: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        // A remainder by ten fits into a byte.
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[start..]);
}
