//! What goes into an adapter and what comes out: a unit, and its one fate.
//!
//! Rests on `record` and ids. Invariant: a fate that makes records makes at least one.

use crate::object::ObjectId;
use crate::record::EvidenceRecord;

use super::lookup::Lookups;
use super::unit::Unit;
use super::unit::UnitFlags;

/// One unit, as the adapter takes it.
#[derive(Clone, Copy, Debug)]
pub struct UnitInput<'u> {
    /// The file, relative to the base, with `/`.
    pub file: &'u str,
    /// The unit's number in the file, from 0.
    pub number: u64,
    /// Its bytes exactly as read.
    pub bytes: &'u [u8],
    /// For a line: did a line ending follow?
    pub terminated: bool,
    /// What is unusual about it.
    pub flags: UnitFlags,
    /// For a `value`: its key in the map.
    pub key: Option<&'u str>,
    /// The joined rows of the spec.
    pub lookups: &'u Lookups,
}

impl<'u> UnitInput<'u> {
    /// The input for a unit that was read from `file`.
    pub fn new(file: &'u str, unit: &'u Unit, lookups: &'u Lookups) -> Self {
        Self {
            file,
            number: unit.number,
            bytes: &unit.bytes,
            terminated: unit.terminated,
            flags: unit.flags,
            key: unit.key.as_deref(),
            lookups,
        }
    }
}

/// What became of a unit.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// The id of the raw object: the unit's bytes.
    pub raw_id: ObjectId,
    /// SHA-256 of the unit's canonical form; `None` where it has none.
    pub sig_hash: Option<[u8; 32]>,
    /// What makes this row this row where its bytes alone do not, because expressions read `$key`, `$beside` or parts
    /// of `$path`: SHA-256 of the canonical `{"beside", "key", "path": {…}, "sig_hash"}` with what they read (of what
    /// stands beside, its id). `None` where they read none of them.
    pub row_id: Option<[u8; 32]>,
    /// Its fate.
    pub outcome: Outcome,
}

/// The fate of a unit.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Evidence, in the order of `emit`; never empty.
    Records(Vec<Draft>),
    /// Left out by a named rule.
    Skipped {
        /// The rule.
        rule: String,
    },
    /// Refused.
    Quarantined {
        /// The reason code.
        reason: &'static str,
        /// What and where, for people.
        detail: String,
    },
}

/// A record before conflicts of keys are settled.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Which output of its unit it is, from 0.
    pub output: u32,
    /// `YYYY/MM/DD` of the row's own time in UTC, or `0000/00/00`.
    pub date: String,
    /// The row key before encoding: what the spec's `key` gives, or the first 16 digits of `sig_hash`.
    pub row_key: String,
    /// The record; its `key` is the one it wants, which another record may hold already.
    pub record: EvidenceRecord,
}
