//! What records say of each other, in 48 bytes each: read while their bytes are at hand, compared later.
//!
//! Rests on whoever has just hashed the bytes. A record's *link* is a hash over the id of
//! the evidence that it rests on and its provenance, as it carries both: evidence, scored run and export row of one key must
//! have one link. Invariants: hashes are 128 bits of `SipHash` under keys that only this process knows, so that nobody can look for
//! two texts that share one, and none is compared with one of another process; what has not the form of its schema is kept as flawed.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::OnceLock;

use crate::object::ObjectId;
use crate::record::{
    DuplicateEntry, EvidenceRecord, PreferenceSample, Provenance, QuarantineEntry, RagSample, Record as _,
    ScoredRun, SftSample, source_key,
};

/// The datasets whose rows are records, by their schema.
pub(crate) const RECORDS: [(&str, &str); 7] = [
    ("evidence", EvidenceRecord::SCHEMA),
    ("scored-runs", ScoredRun::SCHEMA),
    ("exports/rag", RagSample::SCHEMA),
    ("exports/sft", SftSample::SCHEMA),
    ("exports/preference", PreferenceSample::SCHEMA),
    ("quarantine", QuarantineEntry::SCHEMA),
    ("duplicates", DuplicateEntry::SCHEMA),
];

/// What is known of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Which of [`RECORDS`] it is.
    pub(super) kind: u8,
    /// Whether it has not the form of its schema.
    pub(super) flawed: bool,
    /// The key that it carries.
    pub(super) key: u64,
    /// The evidence that it rests on and its provenance; of a pair, those of the chosen side. 0 where it rests on a source
    /// row alone.
    pub(super) link: u128,
    /// Of evidence and of what its stage did not take, key and id of the source row; of a pair, the link of the rejected
    /// side. Else 0.
    pub(super) other: u128,
}

/// Reads what records say of each other.
pub(super) struct Linker {
    needle: memchr::memmem::Finder<'static>,
}

impl Linker {
    pub(super) fn new() -> Self {
        Self { needle: memchr::memmem::Finder::new(b"\"schema\":\"distill.") }
    }

    /// What an object that hashes to `id` says, if it is a record.
    pub(super) fn read(&self, id: &ObjectId, bytes: &[u8]) -> Option<Row> {
        if bytes.first() != Some(&b'{') || self.needle.find(bytes).is_none() {
            return None;
        }
        row(id, bytes)
    }
}

/// Hashes the parts; no part is empty, and their lengths are fixed but for the last. The keys of these hashes are drawn when the process
/// begins and are told to nobody: whoever forges a store cannot look for two texts that share one, and no cryptographic hash is needed.
pub(super) fn mix(parts: &[&[u8]]) -> u128 {
    static KEYS: OnceLock<[RandomState; 2]> = OnceLock::new();
    let halves = KEYS.get_or_init(Default::default).each_ref().map(|key| {
        let mut hasher = key.build_hasher();
        for part in parts {
            hasher.write(part);
        }
        hasher.finish()
    });
    u128::from(halves[0]) << 64 | u128::from(halves[1])
}

/// A key, hashed.
pub(super) fn key_hash(key: &[u8]) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the hash")]
    let half = mix(&[key]) as u64;
    half
}

/// The key that a pair's own begins with, hashed.
pub(super) fn chosen_hash(key: &str) -> u64 {
    key_hash(key.rsplit_once('+').map_or("", |(chosen, _)| chosen).as_bytes())
}

/// A source row by its id and key, hashed.
pub(super) fn source_hash(raw_id: &ObjectId, key: &str) -> u128 {
    mix(&[raw_id.as_bytes(), key.as_bytes()])
}

/// The members of a record that name others.
#[derive(Default)]
struct Parts<'a> {
    schema: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    stage: Option<&'a [u8]>,
    evidence_id: Option<&'a [u8]>,
    evidence_ids: Option<&'a [u8]>,
    refused_id: Option<&'a [u8]>,
    provenance: Option<&'a [u8]>,
}

fn row(id: &ObjectId, bytes: &[u8]) -> Option<Row> {
    let mut parts = Parts::default();
    members(bytes, |name, value| {
        let place = match name {
            b"schema" => &mut parts.schema,
            b"key" | b"id" => &mut parts.key,
            b"stage" => &mut parts.stage,
            b"evidence_id" => &mut parts.evidence_id,
            b"evidence_ids" => &mut parts.evidence_ids,
            b"refused_id" => &mut parts.refused_id,
            b"provenance" => &mut parts.provenance,
            _ => return,
        };
        *place = Some(value);
    })?;
    let schema = text(parts.schema?)?;
    let kind = RECORDS.iter().position(|(_, name)| name.as_bytes() == schema)?;
    let kind_byte = u8::try_from(kind).ok()?;
    let flawed = Row { kind: kind_byte, flawed: true, key: 0, link: 0, other: 0 };
    Some(linked(id, kind, &parts).map_or(flawed, |(key, link, other)| Row {
        flawed: false,
        key,
        link,
        other,
        ..flawed
    }))
}

fn linked(id: &ObjectId, kind: usize, parts: &Parts<'_>) -> Option<(u64, u128, u128)> {
    let key = key_hash(text(parts.key?)?);
    let provenance = parts.provenance?;
    let link = |evidence: &[u8], provenance: &[u8]| Some(mix(&[text(evidence)?, provenance]));
    let source = |provenance: &[u8]| {
        let said: Provenance = serde_json::from_slice(provenance).ok()?;
        let key = source_key(&said.source_file, said.line_offset).ok()?;
        Some((source_hash(&said.raw_id, &key), said.raw_id))
    };
    Some(match RECORDS[kind].0 {
        "evidence" => (key, mix(&[id.to_string().as_bytes(), provenance]), source(provenance)?.0),
        "exports/preference" => {
            let ids = parts.evidence_ids?;
            let side = |name: &[u8]| link(member(ids, name)?, member(provenance, name)?);
            (key, side(b"chosen")?, side(b"rejected")?)
        }
        "quarantine" | "duplicates" => {
            let refused = parts.refused_id?;
            if text(parts.stage?)? == b"evidence" {
                let (hash, raw_id) = source(provenance)?;
                // The entry must name the row that its provenance names.
                (text(refused)? == raw_id.to_string().as_bytes()).then_some((key, 0, hash))?
            } else {
                (key, link(refused, provenance)?, 0)
            }
        }
        _ => (key, link(parts.evidence_id?, provenance)?, 0),
    })
}

/// What stands between the quotes of a string that has no escapes.
fn text(value: &[u8]) -> Option<&[u8]> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    (!inner.contains(&b'\\')).then_some(inner)
}

fn member<'a>(object: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut found = None;
    members(object, |name, value| {
        if name == wanted {
            found = found.or(Some(value));
        }
    })?;
    found
}

/// Hands on the members of an object in canonical form, names without their quotes; `None` where it has another form.
fn members<'a>(bytes: &'a [u8], mut take: impl FnMut(&'a [u8], &'a [u8])) -> Option<()> {
    let mut at = 1;
    if bytes == b"{}" {
        return Some(());
    }
    loop {
        let colon = string_end(bytes, at)?;
        let name = &bytes[at + 1..colon - 1];
        if bytes.get(colon) != Some(&b':') {
            return None;
        }
        let end = value_end(bytes, colon + 1)?;
        take(name, &bytes[colon + 1..end]);
        match bytes.get(end) {
            Some(b',') => at = end + 1,
            Some(b'}') if end + 1 == bytes.len() => return Some(()),
            _ => return None,
        }
    }
}

/// The end of the string that begins at `at`.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The end of the value that begins at `at`.
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    let mut depth = 0_usize;
    loop {
        match *bytes.get(at)? {
            b'"' => at = string_end(bytes, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
                continue;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b',' | b':' if depth > 0 => {
                at += 1;
                continue;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => return None,
            _ => at += bytes[at..].iter().position(|b| b",]}:".contains(b)).unwrap_or(bytes.len() - at),
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
        let mut found = Vec::new();
        members(bytes, |name, value| found.push((name, value))).map(|()| found)
    }

    #[test]
    fn members_are_cut_at_the_top_level() {
        let text = br#"{"a":{"key":"no","b":["}",1,{}]},"key":"x\"y","n":-1.5e-7,"z":null}"#;
        let found = all(text).expect("an object");
        let names: Vec<_> =
            found.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(names, ["a", "key", "n", "z"]);
        assert_eq!(found[0].1, br#"{"key":"no","b":["}",1,{}]}"#);
        assert_eq!((found[1].1, found[2].1, found[3].1), (&br#""x\"y""#[..], &b"-1.5e-7"[..], &b"null"[..]));
        assert_eq!(all(b"{}").map(|found| found.len()), Some(0));
        for bad in [
            &b"{"[..],
            b"{\"a\"",
            b"{\"a\":",
            b"{\"a\":1",
            b"{\"a\": 1}",
            b"{\"a\":1} ",
            b"{\"a\":]}",
            b"{\"a\":\"\\",
        ] {
            assert_eq!(all(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }
}
