//! Pure functions from values to values: source specs and readers, evidence, score, export, drift, and what an answer is worth.
//!
//! Rests on `base`, `object` and `record`. Invariants: nothing here opens a file, reads a clock, the environment or the
//! network, or knows that there is a store; the same inputs give the same outputs.

pub mod answer;
pub mod evidence;
pub mod drift;
pub mod metrics;
pub mod source;
pub mod signals;
pub mod policy;
pub mod score;
pub mod secret;
pub mod export;
pub mod shift;

/// The version of the evidence stage: part of what an unchanged result is recognised by.
pub const EVIDENCE_VERSION: u32 = 1;
