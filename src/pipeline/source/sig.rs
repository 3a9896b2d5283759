//! The `sig_hash` of a unit, from its bytes and its kind alone: what whoever checks a record recomputes.
//!
//! Rests on the canonicaliser. Invariant: it is what [`super::Adapter::map`] gives for the same unit, whatever the spec.

use sha2::Digest;
use sha2::Sha256;

use crate::base::json::JsonError;
use crate::base::json::canonicalize;
use crate::record::Unit;

use super::shape::texts;

/// SHA-256 of the canonical form of a unit's bytes. Of a file that is not one JSON text, the canonical form is that of
/// the texts on its lines, a line each.
///
/// # Errors
/// What the canonicaliser refuses: such a unit has no `sig_hash`.
pub fn sig_hash(bytes: &[u8], unit: Unit) -> Result<[u8; 32], JsonError> {
    let mut canonical = Vec::with_capacity(bytes.len());
    if unit == Unit::File {
        texts(bytes, &mut canonical)?;
    } else {
        canonicalize(bytes, &mut canonical)?;
    }
    Ok(Sha256::digest(&canonical).into())
}
