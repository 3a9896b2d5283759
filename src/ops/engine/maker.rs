//! Making objects: decided facts and their records become blocks of objects and puts into datasets.
//!
//! Rests on block builders. Invariants: what the store has is not compressed again; every refusal and every repeat is an
//! object of its own, with the reason and the provenance.

use crate::object::Exists as _;
use crate::object::Kind;
use crate::object::ObjectId;
use crate::ops::engine::edits::{Dataset, Edits, Put};
use crate::ops::engine::facts::{ExportFact, OutputFact, PairFact, UnitFact, UnitVerdict};
use crate::ops::engine::inputs::SourceFile;
use crate::ops::engine::sabotage;
use crate::ops::engine::tally::Tallies;
use crate::ops::engine::worker::{Computed, Context, Output, bad_key, derive};
use crate::ops::error::OpError;
use crate::ops::fault::{self, Fault, Planted};
use crate::record::DuplicateEntry;
use crate::record::Provenance;
use crate::record::QuarantineEntry;
use crate::record::Record;
use crate::record::SchemaTag;
use crate::record::{duplicate_key, quarantine_key, source_key};
use crate::store::{BlockBuilder, SealedBlock, Staging, Store};

/// Which datasets a run makes anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub evidence: bool,
    pub score: bool,
    pub rag: bool,
    pub sft: bool,
    pub preference: bool,
}

impl Wanted {
    pub(crate) const ALL: Self = Self { evidence: true, score: true, rag: true, sft: true, preference: true };
}

/// What a worker delivers for one chunk.
#[derive(Default)]
pub(crate) struct Delivery {
    pub blocks: Vec<SealedBlock>,
    /// What each dataset gets, in the order of [`Dataset::ALL`].
    pub puts: [Vec<Put>; Dataset::ALL.len()],
    pub tallies: Tallies,
}

/// Takes a delivery in.
pub(crate) fn deliver(delivery: Delivery, staging: &mut Staging, edits: &mut Edits) -> Result<(), OpError> {
    staging.append(delivery.blocks)?;
    for (dataset, puts) in Dataset::ALL.into_iter().zip(&delivery.puts) {
        for (key, id, bytes) in puts {
            edits.put(dataset, key, id, *bytes)?;
        }
    }
    Ok(())
}

/// Makes objects into blocks and edits.
pub(crate) struct Maker<'a> {
    store: Option<&'a Store>,
    wanted: Wanted,
    blocks: BlockBuilder,
    /// Refusals and repeats: every run writes all of them as files, and finds them in few blocks of their own.
    aside: BlockBuilder,
    delivery: Delivery,
    /// Where objects are written before their hash is known.
    scratch: Vec<u8>,
    planted: Option<&'a Planted>,
}

impl<'a> Maker<'a> {
    /// For the units of a run.
    pub(super) fn new(context: &Context<'a>) -> Self {
        let maker = Self::with(context.store, context.store_is_empty, context.wanted);
        Self { planted: context.planted, ..maker }
    }

    pub(crate) fn with(store: &'a Store, store_is_empty: bool, wanted: Wanted) -> Self {
        let store = (!store_is_empty).then_some(store);
        Self {
            store,
            wanted,
            blocks: BlockBuilder::new(),
            aside: BlockBuilder::new(),
            delivery: Delivery::default(),
            scratch: Vec::new(),
            planted: None,
        }
    }

    pub(crate) fn finish(mut self) -> Result<Delivery, OpError> {
        self.delivery.blocks = self.blocks.finish()?;
        self.delivery.blocks.extend(self.aside.finish()?);
        // The others come in the order of the records' keys; rows lie between them in nearly that of their numbers.
        self.delivery.puts[Dataset::Sources as usize].sort_by(|a, b| a.0.cmp(&b.0));
        Ok(self.delivery)
    }

    fn object(&mut self, dataset: Dataset, id: ObjectId, bytes: &[u8]) -> Result<(), OpError> {
        // What an earlier run stored is not compressed again.
        if let Some(store) = self.store
            && store.exists(&id)?
        {
            return Ok(());
        }
        let blocks = match dataset {
            Dataset::Quarantine | Dataset::Duplicates => &mut self.aside,
            _ => &mut self.blocks,
        };
        Ok(blocks.push(Kind::Data, id, bytes)?)
    }

    fn put(&mut self, dataset: Dataset, key: String, id: ObjectId, bytes: usize) {
        self.delivery.puts[dataset as usize].push((key, id, bytes as u64));
    }

    /// Makes one row of `dataset`.
    pub(crate) fn row<R: Record>(
        &mut self,
        dataset: Dataset,
        key: String,
        record: &R,
    ) -> Result<(), OpError> {
        self.record(dataset, key, record)
    }

    fn record<R: Record>(&mut self, dataset: Dataset, key: String, record: &R) -> Result<(), OpError> {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        record.write_object_bytes(&mut bytes)?;
        let id = ObjectId::of(&bytes);
        self.object(dataset, id, &bytes)?;
        self.put(dataset, key, id, bytes.len());
        self.scratch = bytes;
        Ok(())
    }

    /// Makes the objects of one decided unit; returns its fact as it stands now.
    pub(super) fn unit(
        &mut self,
        context: &Context<'_>,
        file: &SourceFile,
        computed: Computed,
    ) -> Result<UnitFact, OpError> {
        let Computed { number, mut raw, mut raw_id, mut fact, refusal, outputs } = computed;
        if fault::has(self.planted, Fault::MendsBytes)
            && matches!(fact.verdict, UnitVerdict::Refused(_))
            && let Some(raw) = &mut raw
        {
            *raw = String::from_utf8_lossy(raw).into_owned().into_bytes();
            raw_id = ObjectId::of(raw);
        }
        let source = source_key(&file.name, number).map_err(|e| bad_key(&e))?;
        if let Some(raw) = raw {
            self.object(Dataset::Sources, raw_id, &raw)?;
            self.put(Dataset::Sources, source.clone(), raw_id, raw.len());
        }
        let provenance = Provenance {
            line_offset: number,
            lookup_ids: Vec::new(),
            raw_id,
            recorded_at: None,
            sig_hash: fact.sig.map(hex::encode),
            source_file: file.name.clone(),
            unit: file.kind.provenance(),
        };
        match (&fact.verdict, &fact.duplicate_of) {
            (UnitVerdict::Skipped(_), _) => {}
            (UnitVerdict::Refused(reason), _) => {
                self.quarantine("evidence", reason, &refusal, &source, raw_id, provenance)?;
            }
            (UnitVerdict::Records, Some(_)) if sabotage::loses_unit(self.planted, &outputs) => {}
            (UnitVerdict::Records, Some(of)) => {
                let provenance = outputs.first().map_or(provenance, |o| o.evidence.provenance.clone());
                self.duplicate("evidence", &source, of, raw_id, provenance)?;
            }
            (UnitVerdict::Records, None) => {
                for (mut output, decided) in outputs.into_iter().zip(&mut fact.outputs) {
                    if output.evidence.key != decided.key {
                        // The key it wanted belongs to an earlier row: everything that carries the key is made again.
                        let mut evidence = output.evidence;
                        evidence.key.clone_from(&decided.key);
                        let (again, fresh) = derive(context, evidence)?;
                        (output, decided.evidence_id) = (again, fresh.evidence_id);
                    }
                    self.output(&output, decided)?;
                }
            }
        }
        self.delivery.tallies.unit(&fact);
        Ok(fact)
    }

    /// Makes the objects of one record that has its key.
    pub(crate) fn output(&mut self, output: &Output, fact: &OutputFact) -> Result<(), OpError> {
        let key = &fact.key;
        if self.wanted.evidence {
            self.object(Dataset::Evidence, fact.evidence_id, &output.bytes)?;
            self.put(Dataset::Evidence, key.clone(), fact.evidence_id, output.bytes.len());
        }
        if self.wanted.score && !sabotage::stays_unscored(self.planted, &output.evidence) {
            self.record(Dataset::ScoredRuns, key.clone(), &output.scored)?;
        }
        if self.wanted.rag {
            self.export(Dataset::Rag, "export-rag", output, fact, &fact.rag, output.rag.as_ref())?;
        }
        if self.wanted.sft {
            self.export(Dataset::Sft, "export-sft", output, fact, &fact.sft, output.sft.as_ref())?;
        }
        if self.wanted.preference
            && let PairFact::Refused(reason) = &fact.pair
        {
            self.refuse("export-preference", reason, output, fact)?;
        }
        Ok(())
    }

    fn export<R: Record>(
        &mut self,
        dataset: Dataset,
        stage: &'static str,
        output: &Output,
        fact: &OutputFact,
        export: &ExportFact,
        row: Option<&R>,
    ) -> Result<(), OpError> {
        match (export, row) {
            (ExportFact::Row(_, None), Some(row)) => self.record(dataset, fact.key.clone(), row),
            (ExportFact::Row(_, Some(of)), _) => {
                self.duplicate(stage, &fact.key, of, fact.evidence_id, output.evidence.provenance.clone())
            }
            (ExportFact::Refused(reason), _) => self.refuse(stage, reason, output, fact),
            (ExportFact::Skipped(_) | ExportFact::Row(..), _) => Ok(()),
        }
    }

    fn refuse(
        &mut self,
        stage: &'static str,
        reason: &str,
        output: &Output,
        fact: &OutputFact,
    ) -> Result<(), OpError> {
        if sabotage::loses_refusal(self.planted, &output.evidence) {
            return Ok(());
        }
        let detail = output.refusals.get(stage).map_or("", |(_, detail)| detail.as_str());
        let provenance = output.evidence.provenance.clone();
        self.quarantine(stage, reason, detail, &fact.key, fact.evidence_id, provenance)
    }

    fn quarantine(
        &mut self,
        stage: &str,
        reason: &str,
        detail: &str,
        key: &str,
        refused_id: ObjectId,
        provenance: Provenance,
    ) -> Result<(), OpError> {
        let id = quarantine_key(stage, reason, key).map_err(|e| bad_key(&e))?;
        let entry = QuarantineEntry {
            detail: detail.to_owned(),
            id: id.clone(),
            provenance,
            reason: reason.to_owned(),
            refused_id,
            schema: SchemaTag::new(),
            stage: stage.to_owned(),
        };
        self.record(Dataset::Quarantine, id, &entry)
    }

    pub(crate) fn duplicate(
        &mut self,
        stage: &str,
        key: &str,
        of: &str,
        refused_id: ObjectId,
        provenance: Provenance,
    ) -> Result<(), OpError> {
        let id = duplicate_key(stage, key).map_err(|e| bad_key(&e))?;
        let entry = DuplicateEntry {
            duplicate_of: of.to_owned(),
            id: id.clone(),
            provenance,
            refused_id,
            schema: SchemaTag::new(),
            stage: stage.to_owned(),
        };
        self.record(Dataset::Duplicates, id, &entry)
    }
}
