//! Deciding, in source order, about what depends on what came before: duplicates and wanted keys.
//!
//! Rests on facts alone. Invariant: decisions are a function of the computed parts of the facts, in order; fingerprints
//! are 128 bits of a cryptographic hash, so two different texts are never taken for one.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::ops::engine::facts::{ExportFact, OutputFact, UnitFact, UnitVerdict};
use crate::pipeline::export::TextHash;

/// Everything seen so far. About 130 bytes for each record.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    rows: FxHashMap<(u32, u128), u32>,
    keys: FxHashSet<u128>,
    rag: FxHashMap<u128, u32>,
    sft: FxHashMap<u128, u32>,
    names: Names,
}

/// Record keys, each once, end to end.
#[derive(Debug, Default)]
struct Names {
    text: String,
    ends: Vec<usize>,
}

impl Names {
    fn add(&mut self, name: &str) -> u32 {
        self.text.push_str(name);
        self.ends.push(self.text.len());
        u32::try_from(self.ends.len() - 1).unwrap_or(u32::MAX)
    }

    fn get(&self, index: u32) -> &str {
        let index = index as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }
}

impl Ledger {
    /// Fills the decided part of `fact`. `stream` numbers the unit's stream.
    pub(crate) fn decide(&mut self, stream: u32, fact: &mut UnitFact) {
        fact.duplicate_of = None;
        if fact.verdict != UnitVerdict::Records {
            return;
        }
        let id = fact.row_id.or(fact.sig).unwrap_or_default();
        let row = (stream, u128_of(&id));
        if let Some(first) = self.rows.get(&row) {
            fact.duplicate_of = Some(self.names.get(*first).to_owned());
            return;
        }
        let mut first_name = None;
        let mut names = Vec::with_capacity(fact.outputs.len());
        for output in &mut fact.outputs {
            output.key = self.claim(&output.wanted, &id);
            let name = self.names.add(&output.key);
            first_name.get_or_insert(name);
            names.push(name);
        }
        for at in key_order(&fact.outputs) {
            let output = &mut fact.outputs[at];
            self.decide_texts(names[at], &mut output.rag, &mut output.sft);
        }
        // A unit without records is no row of evidence, so nothing can be its duplicate.
        if let Some(name) = first_name {
            self.rows.insert(row, name);
        }
    }

    /// Decides about the exports of a record that has its key already.
    pub(crate) fn decide_exports(&mut self, key: &str, rag: &mut ExportFact, sft: &mut ExportFact) {
        let name = self.names.add(key);
        self.decide_texts(name, rag, sft);
    }

    fn decide_texts(&mut self, name: u32, rag: &mut ExportFact, sft: &mut ExportFact) {
        for (export, seen) in [(rag, &mut self.rag), (sft, &mut self.sft)] {
            if let ExportFact::Row(text, repeats) = export {
                *repeats = first_of(seen, text, name).map(|first| self.names.get(first).to_owned());
            }
        }
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

/// The earlier record with this text, if any; otherwise this one becomes the first.
fn first_of(seen: &mut FxHashMap<u128, u32>, text: &TextHash, name: u32) -> Option<u32> {
    match seen.entry(u128::from_le_bytes(*text)) {
        std::collections::hash_map::Entry::Occupied(first) => Some(*first.get()),
        std::collections::hash_map::Entry::Vacant(slot) => {
            slot.insert(name);
            None
        }
    }
}

fn u128_of(digest: &[u8; 32]) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    u128::from_le_bytes(half)
}

fn key_hash(key: &str) -> u128 {
    u128_of(blake3::hash(key.as_bytes()).as_bytes())
}
