//! Evidence that is there already, in source order, judged once more: what a stage run alone and a pass that only counts have in
//! common.
//!
//! Rests on the same functions as a run. Invariants: records are taken in source order, which their provenance tells; what is decided
//! about one depends on those before it alone, so that the counts, and what a sink makes, are those of a run over the same evidence.

use std::path::Path;

use crate::base::sort::{Sorted, Sorter};
use crate::object::{FindExt as _, ObjectId, RootId};
use crate::ops::engine::edits::spill_failed;
use crate::ops::engine::facts::OutputFact;
use crate::ops::engine::ledger::Ledger;
use crate::ops::engine::pairs::{Pairing, Position, State};
use crate::ops::engine::tally::{Tallies, export};
use crate::ops::engine::worker::{Output, judge};
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::pipeline::policy::Policy;
use crate::pipeline::secret::Scanner;
use crate::record::{EvidenceRecord, Record as _, ScoredRun};
use crate::repo::Options;
use crate::store::Store;
use crate::tree;

/// Memory of the sort into source order, in bytes.
const MEMORY_BYTES: usize = 64 << 20;

/// What is gone through, and what it is judged by.
pub(super) struct Walk<'a> {
    pub store: &'a Store,
    /// The evidence.
    pub root: RootId,
    /// Where sorts spill.
    pub spill: &'a Path,
    pub policy: &'a Policy,
    pub options: &'a Options,
    pub scanner: &'a Scanner,
    /// Whether members of pairs are gathered.
    pub pairs: bool,
    pub progress: &'a dyn Progress,
}

/// What becomes of the records.
pub(super) trait Sink {
    /// The score of the record `key`.
    fn score(&mut self, key: &str, id: ObjectId, evidence: &EvidenceRecord) -> Result<ScoredRun, OpError>;

    /// Takes a record about which everything is decided.
    fn take(&mut self, output: &Output, fact: &OutputFact) -> Result<(), OpError>;
}

/// Goes through all evidence; the counts, but for those of pairs, and what pairs are made of.
pub(super) fn rejudge(walk: &Walk<'_>, sink: &mut dyn Sink) -> Result<(Tallies, Pairing), OpError> {
    let mut ledger = Ledger::default();
    let mut tallies = Tallies::default();
    let mut pairing = Pairing::new(walk.spill);
    walk.progress.begin("reading evidence", None);
    let ordered = in_source_order(walk)?;
    walk.progress.end();
    walk.progress.begin("scores and exports", None);
    for (number, record) in (0_u64..).zip(ordered) {
        let (key, evidence_id) = decode(&record.map_err(|e| spill_failed(&e))?)?;
        let bytes = walk.store.find(&evidence_id)?.to_vec();
        let evidence = EvidenceRecord::parse(&bytes)?;
        let scored = sink.score(&key, evidence_id, &evidence)?;
        let mut sig = [0; 32];
        if walk.pairs {
            hex::decode_to_slice(evidence.provenance.sig_hash.as_deref().unwrap_or_default(), &mut sig).ok();
        }
        let by = (walk.policy, walk.options, walk.scanner);
        let (output, mut fact) = judge(by, evidence, bytes, evidence_id, scored);
        ledger.decide_exports(&key, &mut fact.rag, &mut fact.sft)?;
        sink.take(&output, &fact)?;
        tallies.score.consumed(1);
        tallies.categories.add(fact.category);
        export(&mut tallies.rag, &fact.rag);
        export(&mut tallies.sft, &fact.sft);
        tallies.pair(&fact.pair);
        if walk.pairs {
            // Records come in source order, so their number is their position, as if all stood in one file.
            pairing.add(State::New, Position { file: 0, unit: number, output: 0 }, &sig, &fact)?;
        }
        walk.progress.advance(1, 0);
    }
    walk.progress.end();
    Ok((tallies, pairing))
}

/// Keys and ids of all evidence in source order: path as bytes, unit, key.
fn in_source_order(walk: &Walk<'_>) -> Result<Sorted, OpError> {
    let mut sorter = Sorter::new(walk.spill.to_owned(), MEMORY_BYTES);
    let mut record = Vec::new();
    for entry in tree::iter(walk.store, walk.root) {
        let entry = entry?;
        let evidence = EvidenceRecord::parse(&walk.store.find(&entry.id)?)?;
        record.clear();
        record.extend_from_slice(evidence.provenance.source_file.as_bytes());
        record.push(0);
        record.extend_from_slice(&evidence.provenance.line_offset.to_be_bytes());
        record.extend_from_slice(entry.key.as_bytes());
        // Ends the key, so that one which begins another comes before it.
        record.push(0);
        record.extend_from_slice(entry.id.as_bytes());
        sorter.push(&record).map_err(|e| spill_failed(&e))?;
        walk.progress.advance(1, entry.bytes);
    }
    sorter.finish().map_err(|e| spill_failed(&e))
}

fn decode(record: &[u8]) -> Result<(String, ObjectId), OpError> {
    let bad = || spill_failed(&std::io::Error::other("a spilled record was changed on disk"));
    let start = record.iter().position(|b| *b == 0).ok_or_else(bad)? + 9;
    let (key, id) = record.split_at_checked(record.len().saturating_sub(32)).ok_or_else(bad)?;
    let key = key.get(start..).and_then(|key| key.strip_suffix(&[0])).ok_or_else(bad)?;
    let key = std::str::from_utf8(key).map_err(|_| bad())?;
    let id: [u8; 32] = id.try_into().map_err(|_| bad())?;
    Ok((key.to_owned(), ObjectId::from_bytes(id)))
}
