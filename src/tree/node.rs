//! Reads nodes, and refuses every byte that the writer would not have written.
//!
//! Rests on `encode` for the constant parts. Invariants of a parsed node: its text is canonical, its keys ascend
//! strictly, its children have rows, its totals do not overflow. What its parent says of it is checked in `load`.

use super::Totals;
use super::TreeError;
use super::cut::LEVEL_MAX;
use super::cut::NODE_BYTES_MAX;
use super::encode::HEAD;
use super::encode::LEVEL;
use super::encode::Link;
use super::encode::TAIL;
use super::encode::key_fault;
use crate::object::ObjectBytes;
use crate::object::ObjectId;

/// One parsed node; keys stay in the object's bytes.
#[derive(Clone, Debug)]
pub(super) struct Node {
    id: ObjectId,
    text: ObjectBytes,
    level: u8,
    slots: Vec<Slot>,
    totals: Totals,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    key_start: usize,
    key_end: usize,
    id: ObjectId,
    totals: Totals,
}

impl Node {
    /// Parses the bytes of the object `id`.
    pub(super) fn parse(id: ObjectId, text: ObjectBytes) -> Result<Self, TreeError> {
        match parse_text(&text) {
            Ok((level, slots, totals)) => Ok(Self { id, text, level, slots, totals }),
            Err(detail) => Err(TreeError::BadNode { id, detail }),
        }
    }

    pub(super) const fn id(&self) -> &ObjectId {
        &self.id
    }

    pub(super) const fn text(&self) -> &ObjectBytes {
        &self.text
    }

    /// 0 for a leaf.
    pub(super) const fn level(&self) -> u8 {
        self.level
    }

    pub(super) const fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn key(&self, at: usize) -> &str {
        std::str::from_utf8(self.key_bytes(at))
            .expect("a node is parsed as UTF-8 and keys end at ASCII quotes")
    }

    pub(super) fn key_bytes(&self, at: usize) -> &[u8] {
        let slot = &self.slots[at];
        &self.text[slot.key_start..slot.key_end]
    }

    pub(super) fn last_key(&self) -> Option<&str> {
        self.slots.len().checked_sub(1).map(|at| self.key(at))
    }

    /// The record or child node at `at`.
    pub(super) fn target(&self, at: usize) -> &ObjectId {
        &self.slots[at].id
    }

    /// What is below the entry at `at`.
    pub(super) fn totals_at(&self, at: usize) -> Totals {
        self.slots[at].totals
    }

    /// Everything said of the entry at `at`.
    pub(super) fn link(&self, at: usize) -> Link {
        Link { key: self.key(at).to_owned(), id: *self.target(at), totals: self.totals_at(at) }
    }

    /// The first entry whose key is not less than `key`; in an interior node, the only child that can hold `key`.
    pub(super) fn lower_bound(&self, key: &str) -> usize {
        self.slots.partition_point(|slot| self.text[slot.key_start..slot.key_end] < *key.as_bytes())
    }
}

type Parsed = (u8, Vec<Slot>, Totals);

fn parse_text(text: &[u8]) -> Result<Parsed, String> {
    if text.len() > NODE_BYTES_MAX {
        return Err(format!("{} bytes are more than {NODE_BYTES_MAX}", text.len()));
    }
    if std::str::from_utf8(text).is_err() {
        return Err("it is not UTF-8".to_owned());
    }
    let frame = "its frame is not that of a tree node";
    let inner = text.strip_suffix(TAIL).ok_or(frame)?;
    let digits = inner.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (inner, digits) = inner.split_at(inner.len() - digits);
    let level = match digits {
        [one] => one - b'0',
        [ten @ b'1'..=b'9', one] => (ten - b'0') * 10 + (one - b'0'),
        _ => return Err("its level is not a small number".to_owned()),
    };
    if level > LEVEL_MAX {
        return Err(format!("its level is {level}, more than {LEVEL_MAX}"));
    }
    let body = inner.strip_suffix(LEVEL).ok_or(frame)?;
    if !body.starts_with(HEAD) {
        return Err(frame.to_owned());
    }
    let (slots, totals) = parse_entries(body, level)?;
    if level > 0 && slots.is_empty() {
        return Err("it is an interior node without children".to_owned());
    }
    Ok((level, slots, totals))
}

/// `body` is the text up to the bracket that closes the entries.
fn parse_entries(body: &[u8], level: u8) -> Result<(Vec<Slot>, Totals), String> {
    let mut reader = Reader { body, at: HEAD.len() };
    let mut slots: Vec<Slot> = Vec::with_capacity(body.len() / 100);
    let mut totals = Totals::default();
    while reader.at < body.len() {
        if !slots.is_empty() {
            reader.expect(b",")?;
        }
        let slot = reader.slot(level)?;
        let key = &body[slot.key_start..slot.key_end];
        if let Some(last) = slots.last()
            && body[last.key_start..last.key_end] >= *key
        {
            return Err(format!("its keys do not ascend at byte {}", slot.key_start));
        }
        if slot.totals.rows == 0 {
            return Err(format!("a child has no rows at byte {}", slot.key_start));
        }
        totals = totals.plus(slot.totals).ok_or("its totals overflow")?;
        slots.push(slot);
    }
    Ok((slots, totals))
}

struct Reader<'a> {
    body: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &[u8] {
        &self.body[self.at..]
    }

    fn expect(&mut self, token: &[u8]) -> Result<(), String> {
        if !self.rest().starts_with(token) {
            return Err(format!("`{}` is missing at byte {}", token.escape_ascii(), self.at));
        }
        self.at += token.len();
        Ok(())
    }

    fn slot(&mut self, level: u8) -> Result<Slot, String> {
        self.expect(b"[\"")?;
        let key_start = self.at;
        let key_bytes = memchr::memchr(b'"', self.rest()).ok_or("a key has no end")?;
        let key_end = key_start + key_bytes;
        if let Some(fault) = key_fault(&self.body[key_start..key_end]) {
            return Err(format!("the key at byte {key_start} is refused: {fault}"));
        }
        self.at = key_end;
        self.expect(b"\",\"")?;
        let id = self.id()?;
        self.expect(b"\",")?;
        let mut rows = 1;
        if level > 0 {
            rows = self.number()?;
            self.expect(b",")?;
        }
        let bytes = self.number()?;
        self.expect(b"]")?;
        Ok(Slot { key_start, key_end, id, totals: Totals { rows, bytes } })
    }

    fn id(&mut self) -> Result<ObjectId, String> {
        let refused = || format!("there are not 64 lower-case hexadecimal digits at byte {}", self.at);
        let text = self.rest().get(..64).ok_or_else(refused)?;
        let mut digest = [0; 32];
        // No branch for each digit: a tree is read at the speed of this loop. A bad digit has bits that none has.
        let mut seen = 0;
        for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
            let (high, low) = (DIGITS[usize::from(pair[0])], DIGITS[usize::from(pair[1])]);
            seen |= high | low;
            *byte = high << 4 | low;
        }
        if seen > 15 {
            return Err(refused());
        }
        self.at += 64;
        Ok(ObjectId::from_bytes(digest))
    }

    fn number(&mut self) -> Result<u64, String> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = &self.rest()[..digits];
        let plain = digits == 1 || (digits > 1 && text[0] != b'0');
        let value = text
            .iter()
            .try_fold(0_u64, |value, byte| value.checked_mul(10)?.checked_add(u64::from(byte - b'0')));
        match value {
            Some(value) if plain => {
                self.at += digits;
                Ok(value)
            }
            _ => Err(format!("there is no canonical 64-bit number at byte {}", self.at)),
        }
    }
}

/// The value of each lower-case hexadecimal digit, [`NO_DIGIT`] for every other byte.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

const NO_DIGIT: u8 = 0xff;
