//! Deciding, in source order, about what depends on what came before: duplicates and wanted keys.
//!
//! Rests on facts alone. Invariant: decisions are a function of the computed parts of the facts, in order; fingerprints
//! are 128 bits of a cryptographic hash, so two different texts are never taken for one.

use std::io;

use crate::ops::engine::facts::{ExportFact, OutputFact, UnitFact, UnitVerdict};
use crate::ops::engine::inputs::SourceFile;
use crate::ops::engine::names::Names;
use crate::ops::engine::prints::{PrintMap, PrintSet};
use crate::ops::error::{ErrorKind, OpError};
use crate::pipeline::source::Spec;

/// Everything seen so far. About 85 bytes for each record.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    rows: PrintMap,
    keys: PrintSet,
    rag: PrintMap,
    sft: PrintMap,
    names: Names,
}

/// The streams of some specs by number, which a ledger tells them apart by: several specs may feed one.
pub(crate) struct Streams<'a> {
    specs: &'a [(String, Spec)],
    names: Vec<&'a str>,
}

impl<'a> Streams<'a> {
    /// Numbers the streams of `specs`, by their names.
    pub(crate) fn of(specs: &'a [(String, Spec)]) -> Self {
        let mut names: Vec<&str> = specs.iter().map(|(_, spec)| spec.stream()).collect();
        names.sort_unstable();
        names.dedup();
        Self { specs, names }
    }

    /// The number of the stream that `file` feeds; one of its own for all that feed none.
    pub(crate) fn number(&self, file: &SourceFile) -> u32 {
        let name = file.spec.map(|spec| self.specs[spec].1.stream());
        let at = name.and_then(|name| self.names.binary_search(&name).ok());
        at.and_then(|at| u32::try_from(at).ok()).unwrap_or(u32::MAX)
    }
}

impl Ledger {
    /// Fills the decided part of `fact`. `stream` numbers the unit's stream.
    ///
    /// # Errors
    /// When memory runs out.
    pub(crate) fn decide(&mut self, stream: u32, fact: &mut UnitFact) -> Result<(), OpError> {
        fact.duplicate_of = None;
        if fact.verdict != UnitVerdict::Records {
            return Ok(());
        }
        let id = fact.row_id.or(fact.sig).unwrap_or_default();
        let row = row_print(stream, &id);
        if let Some(first) = self.rows.get(row) {
            fact.duplicate_of = Some(self.names.get(first).map_err(|e| lost(&e))?);
            return Ok(());
        }
        let mut first_name = None;
        let mut names = Vec::with_capacity(fact.outputs.len());
        for output in &mut fact.outputs {
            output.key = self.claim(&output.wanted, &id);
            let name = self.names.add(&output.key).map_err(|e| lost(&e))?;
            first_name.get_or_insert(name);
            names.push(name);
        }
        for at in key_order(&fact.outputs) {
            let output = &mut fact.outputs[at];
            self.decide_texts(names[at], &mut output.rag, &mut output.sft)?;
        }
        // A unit without records is no row of evidence, so nothing can be its duplicate.
        if let Some(name) = first_name {
            self.rows.insert(row, name);
        }
        Ok(())
    }

    /// Decides about the exports of a record that has its key already.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub(crate) fn decide_exports(
        &mut self,
        key: &str,
        rag: &mut ExportFact,
        sft: &mut ExportFact,
    ) -> Result<(), OpError> {
        let name = self.names.add(key).map_err(|e| lost(&e))?;
        self.decide_texts(name, rag, sft)
    }

    fn decide_texts(&mut self, name: u32, rag: &mut ExportFact, sft: &mut ExportFact) -> Result<(), OpError> {
        for (export, seen) in [(rag, &mut self.rag), (sft, &mut self.sft)] {
            if let ExportFact::Row(text, repeats) = export {
                // The earlier record with this text, if any; otherwise this one becomes the first.
                let first = seen.insert(u128::from_le_bytes(*text), name);
                *repeats = first.map(|first| self.names.get(first)).transpose().map_err(|e| lost(&e))?;
            }
        }
        Ok(())
    }

    /// The wanted key for the first that wants it; for the others, the key with digits of what tells their row from
    /// others.
    fn claim(&mut self, wanted: &str, id: &[u8; 32]) -> String {
        if self.keys.insert(key_hash(wanted)) {
            return wanted.to_owned();
        }
        let digits = hex::encode(id);
        // Eight digits do in all but 1 of 4 billion conflicts; the later windows keep even that one apart.
        for start in (0..64).step_by(8) {
            let key = format!("{wanted}~{}", &digits[start..start + 8]);
            if self.keys.insert(key_hash(&key)) {
                return key;
            }
        }
        format!("{wanted}~{digits}")
    }
}

/// The records of one unit in the order in which their texts are compared and paired: by key. Their keys are all that
/// the evidence says of their order, so that a stage that starts from evidence ends where a full run ends.
pub(crate) fn key_order(outputs: &[OutputFact]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..outputs.len()).collect();
    order.sort_by(|a, b| outputs[*a].key.cmp(&outputs[*b].key));
    order
}

/// What tells a row of a stream from all others. Streams are set apart in the upper bits, so that those of two rows are
/// equal only where 128 bits of two hashes differ in just this.
fn row_print(stream: u32, id: &[u8; 32]) -> u128 {
    u128_of(id) ^ (u128::from(stream) << 96)
}

fn lost(error: &io::Error) -> OpError {
    let hint = "free some memory and run again; nothing was committed";
    OpError::new(ErrorKind::Outside, format!("cannot keep the keys of the records in memory: {error}"), hint)
}

fn u128_of(digest: &[u8; 32]) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    u128::from_le_bytes(half)
}

fn key_hash(key: &str) -> u128 {
    u128_of(blake3::hash(key.as_bytes()).as_bytes())
}
