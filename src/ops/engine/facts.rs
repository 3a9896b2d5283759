//! What a run remembers of each unit: enough to decide about it again without computing it again.
//!
//! Rests on `record` and the exporters' fingerprints. A fact has a computed part, which depends on the unit and its
//! spec, policy and options alone, and a decided part, which depends on what came before it in source order. Invariant:
//! deciding is a pure function of the computed parts, in order; so a run that computes only what changed and decides
//! about everything ends where a full run ends.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::object::ObjectId;
use crate::pipeline::export::TextHash;
use crate::pipeline::export::preference::GroupKind;
use crate::record::Category;

/// One unit of a source file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct UnitFact {
    /// SHA-256 of the canonical row; `None` when it does not parse.
    pub sig: Option<[u8; 32]>,
    /// What tells the row from others where `sig` alone does not.
    pub row_id: Option<[u8; 32]>,
    /// For a value of a map: its key there.
    pub unit_key: Option<String>,
    /// What the spec made of it.
    pub verdict: UnitVerdict,
    /// Decided: the key of the record that an identical earlier row became.
    pub duplicate_of: Option<String>,
    /// Its records, also when it is a duplicate.
    pub outputs: Vec<OutputFact>,
}

/// What a spec made of a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum UnitVerdict {
    /// Evidence.
    Records,
    /// Refused, with the reason code.
    Refused(String),
    /// Left out by the rule of this name.
    Skipped(String),
}

/// One record of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OutputFact {
    /// The key its spec gives it.
    pub wanted: String,
    /// Decided: the key it has.
    pub key: String,
    /// The evidence record's object id, under the decided key.
    pub evidence_id: ObjectId,
    /// What scoring made of it.
    pub category: Category,
    /// Fingerprint of everything else that scoring says: rule, reasons, scores. An edited policy may change these and
    /// not the category.
    pub scoring: TextHash,
    /// What the RAG exporter made of it.
    pub rag: ExportFact,
    /// What the SFT exporter made of it.
    pub sft: ExportFact,
    /// What pairing may make of it.
    pub pair: PairFact,
}

/// What an exporter made of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ExportFact {
    /// A row, by its text; decided: the key of the earlier row with the same text.
    Row(TextHash, Option<String>),
    /// Refused, with the reason code.
    Refused(Cow<'static, str>),
    /// Left out by the rule of this name.
    Skipped(Cow<'static, str>),
}

/// What pairing may make of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PairFact {
    /// A candidate.
    Candidate {
        /// Task or comparison.
        kind: PairKind,
        /// Fingerprint of the group.
        group: TextHash,
        /// How good within the group.
        standing: i64,
        /// Whether it may be the chosen side.
        can_win: bool,
        /// Fingerprint of the run's id.
        run: TextHash,
        /// Fingerprint of the response.
        text: TextHash,
    },
    /// Refused, with the reason code.
    Refused(Cow<'static, str>),
    /// Left out by the rule of this name.
    Skipped(Cow<'static, str>),
}

/// [`GroupKind`] as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PairKind {
    /// Runs of one task.
    Task,
    /// Sides of one comparison.
    Comparison,
}

impl From<GroupKind> for PairKind {
    fn from(kind: GroupKind) -> Self {
        match kind {
            GroupKind::Task => Self::Task,
            GroupKind::Comparison => Self::Comparison,
        }
    }
}

impl From<PairKind> for GroupKind {
    fn from(kind: PairKind) -> Self {
        match kind {
            PairKind::Task => Self::Task,
            PairKind::Comparison => Self::Comparison,
        }
    }
}
