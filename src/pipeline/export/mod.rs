//! Exports: what of the scored evidence may become a corpus row, and why the rest may not.
//!
//! Rests on `record` and `score`. Invariants: a category that is not eligible is *skipped* under the rule's name; what
//! was eligible and fails a gate is *quarantined* with a reason; nothing is dropped in silence. Nothing here writes.

pub mod preference;
pub mod rag;
mod screen;
pub mod sft;

use crate::record::Category;
use crate::record::EvidenceRecord;

pub use screen::Screen;

/// The version of the three exporters: part of what an unchanged result is recognised by.
pub const VERSION: u32 = 3;

/// What became of one evidence record in one export.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<T> {
    /// A row, and the fingerprint of its text: two rows of one export with the same text are duplicates.
    Row(Box<T>, TextHash),
    /// Not eligible, by the rule of this name.
    Skipped(&'static str),
    /// Eligible, but it fails this gate.
    Refused(Refusal),
}

/// A gate's refusal: reason code and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason code, a path segment of the quarantine key.
    pub reason: &'static str,
    /// What was found, for a person.
    pub detail: String,
}

/// The first 16 bytes of the BLAKE3 of a text, each part preceded by its length.
pub type TextHash = [u8; 16];

/// Fingerprints `parts` as one text; `("ab", "c")` and `("a", "bc")` differ.
pub fn text_hash(parts: &[&str]) -> TextHash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut hash = [0; 16];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    hash
}

/// The skip rule for a category that an export does not take.
pub(crate) const fn category_rule(category: Category) -> &'static str {
    match category {
        Category::Accepted => "category_accepted",
        Category::PartiallyAccepted => "category_partially_accepted",
        Category::Rejected => "category_rejected",
        Category::NeedsHumanReview => "category_needs_human_review",
    }
}

/// The skip rule for model output that would be trained on again.
pub(crate) const SYNTHETIC: &str = "synthetic";

/// The reason code of a row that holds what looks like a credential.
pub const SECRET_SUSPECTED: &str = "secret_suspected";

/// A text with something to read, or the refusal that names the field.
pub(crate) fn present<'a>(
    field: &'static str,
    reason: &'static str,
    text: Option<&'a str>,
) -> Result<&'a str, Refusal> {
    match text {
        Some(text) if !text.trim().is_empty() => Ok(text),
        Some(_) => Err(Refusal { reason, detail: format!("`{field}` holds nothing but white space") }),
        None => Err(Refusal { reason, detail: format!("the source gives no `{field}`") }),
    }
}

/// The gate every export shares: a row must say which run it came from and which source bytes it rests on.
pub(crate) fn grounded(evidence: &EvidenceRecord) -> Result<&str, Refusal> {
    let run_id = present("run_id", "ungrounded", evidence.run_id.as_deref())?;
    let provenance = &evidence.provenance;
    if provenance.sig_hash.is_none() || provenance.source_file.is_empty() {
        return Err(Refusal {
            reason: "bad_provenance",
            detail: "the evidence does not name its source row".to_owned(),
        });
    }
    Ok(run_id)
}
