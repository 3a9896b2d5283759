//! The parallel part of a run: from units to facts, and from decided facts to objects.
//!
//! Rests on the pure stages and on block builders. A worker computes a chunk, waits for its turn, lets the ledger decide,
//! and makes the objects of what was decided. Invariants: nothing here depends on other chunks; the objects of one unit
//! (raw row, evidence, scored run, export rows) lie next to each other in one block, since they repeat each other's text.

use std::collections::BTreeMap;

use crate::base::json;
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::ops::engine::facts::{ExportFact, OutputFact, PairFact, UnitFact, UnitVerdict};
use crate::ops::engine::inputs::{ReadUnit, SourceFile};
use crate::ops::engine::maker::{Delivery, Maker, Wanted};
use crate::ops::engine::sabotage;
use crate::ops::engine::watch::Watch;
use crate::ops::error::OpError;
use crate::ops::fault::Planted;
use crate::pipeline::export::preference::{self, Entry};
use crate::pipeline::export::{Screen, TextHash, Verdict, rag, sft, text_hash};
use crate::pipeline::policy::Policy;
use crate::pipeline::score;
use crate::pipeline::secret::Scanner;
use crate::pipeline::source::decode::BAD_COMPRESSION;
use crate::pipeline::source::{Adapter, Lookups, Outcome, Spec, UnitInput, UnitKind};
use crate::record::EvidenceRecord;
use crate::record::RagSample;
use crate::record::Record;
use crate::record::ScoredRun;
use crate::record::SftSample;
use crate::repo::Options;
use crate::store::Store;

/// The skip rule of a row that only lookups read.
const LOOKUP_ROW: &str = "lookup_row";

/// What all workers share.
pub(crate) struct Context<'a> {
    pub store: &'a Store,
    /// Whether the store holds anything: if not, nothing needs to be looked up before it is written.
    pub store_is_empty: bool,
    pub specs: &'a [(String, Spec)],
    pub lookups: &'a [Lookups],
    pub policy: &'a Policy,
    pub options: &'a Options,
    pub scanner: &'a Scanner,
    pub wanted: Wanted,
    /// The defects that the run was given.
    pub planted: Option<&'a Planted>,
}

/// A unit computed, with all that its objects are made from.
pub(crate) struct Computed {
    pub(super) number: u64,
    /// The raw bytes; `None` where the row is stored already and its evidence was enough.
    pub(super) raw: Option<Vec<u8>>,
    pub(super) raw_id: ObjectId,
    pub fact: UnitFact,
    pub(super) refusal: String,
    pub(super) outputs: Vec<Output>,
}

/// One record of a unit and what the later stages made of it.
pub(crate) struct Output {
    pub evidence: EvidenceRecord,
    pub bytes: Vec<u8>,
    pub scored: ScoredRun,
    pub rag: Option<RagSample>,
    pub sft: Option<SftSample>,
    /// What gates found, by stage.
    pub refusals: BTreeMap<&'static str, (String, String)>,
}

/// One thread's worker.
pub(crate) struct Worker<'a> {
    context: &'a Context<'a>,
    adapters: Vec<Option<Adapter>>,
    pub(super) watch: Watch,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(context: &'a Context<'a>) -> Self {
        Self { context, adapters: context.specs.iter().map(|_| None).collect(), watch: Watch::default() }
    }

    /// Computes one unit of `file`.
    pub(crate) fn compute(&mut self, file: &SourceFile, read: ReadUnit) -> Result<Computed, OpError> {
        let context = self.context;
        let ReadUnit { unit, refused } = read;
        let mut fact = UnitFact {
            sig: None,
            row_id: None,
            unit_key: unit.key.clone(),
            verdict: UnitVerdict::Skipped(LOOKUP_ROW.to_owned()),
            duplicate_of: None,
            outputs: Vec::new(),
        };
        let mut refusal = String::new();
        let mut outputs = Vec::new();
        let raw_id = match (file.spec, refused) {
            (None, None) => {
                // Nothing maps a row that only lookups read; whether it can be read is still said.
                if let Err(error) = json::canonicalize(&unit.bytes, &mut Vec::new())
                    && !unit.bytes.trim_ascii().is_empty()
                {
                    refusal = error.to_string();
                    let cut = file.kind == UnitKind::Line && !unit.terminated;
                    let reason = if cut { "unterminated" } else { error.code.as_str() };
                    fact.verdict = UnitVerdict::Refused(reason.to_owned());
                }
                ObjectId::of(&unit.bytes)
            }
            (_, Some(detail)) => {
                fact.verdict = UnitVerdict::Refused(BAD_COMPRESSION.to_owned());
                refusal = detail;
                ObjectId::of(&unit.bytes)
            }
            (Some(index), None) => {
                let adapter = match &mut self.adapters[index] {
                    Some(adapter) => adapter,
                    slot => slot.insert(context.specs[index].1.compile()?),
                };
                let input = UnitInput::new(&file.name, &unit, &context.lookups[index]);
                let mapped = self.watch.map(adapter, &input);
                (fact.sig, fact.row_id) = (mapped.sig_hash, mapped.row_id);
                fact.verdict = match mapped.outcome {
                    Outcome::Records(drafts) => {
                        for draft in drafts {
                            let (output, derived) = derive(context, draft.record)?;
                            outputs.push(output);
                            fact.outputs.push(derived);
                        }
                        UnitVerdict::Records
                    }
                    Outcome::Skipped { rule } => UnitVerdict::Skipped(rule),
                    Outcome::Quarantined { reason, detail } => {
                        refusal = detail;
                        UnitVerdict::Refused(reason.to_owned())
                    }
                };
                mapped.raw_id
            }
        };
        if !refusal.is_empty() {
            // What an expression failed on is quoted, and may be a credential.
            refusal = context.scanner.masked(&refusal).into_owned();
        }
        Ok(Computed { number: unit.number, raw: Some(unit.bytes), raw_id, fact, refusal, outputs })
    }

    /// Scores and judges again what a known unit became.
    pub(crate) fn rederive(&self, number: u64, known: &UnitFact) -> Result<Computed, OpError> {
        let mut fact = UnitFact { outputs: Vec::new(), ..known.clone() };
        let mut outputs = Vec::new();
        let mut raw_id = ObjectId::from_bytes([0; 32]);
        for old in &known.outputs {
            let evidence = EvidenceRecord::parse(&self.context.store.find(&old.evidence_id)?)?;
            raw_id = evidence.provenance.raw_id;
            let (output, mut derived) = derive(self.context, evidence)?;
            derived.wanted.clone_from(&old.wanted);
            outputs.push(output);
            fact.outputs.push(derived);
        }
        Ok(Computed { number, raw: None, raw_id, fact, refusal: String::new(), outputs })
    }

    /// Makes the objects of decided units; returns their facts in source order.
    pub(crate) fn finish(
        &self,
        file: &SourceFile,
        mut units: Vec<Computed>,
    ) -> Result<(Delivery, Vec<UnitFact>), OpError> {
        let mut maker = Maker::new(self.context);
        // Key order within the chunk; units without a record come first, in source order.
        units.sort_by(|a, b| {
            let [a_key, b_key] = [a, b].map(|c| c.fact.outputs.first().map(|o| o.key.as_str()));
            a_key.cmp(&b_key).then(a.number.cmp(&b.number))
        });
        let mut facts = Vec::with_capacity(units.len());
        for unit in units {
            let number = unit.number;
            facts.push((number, maker.unit(self.context, file, unit)?));
        }
        facts.sort_by_key(|(number, _)| *number);
        Ok((maker.finish()?, facts.into_iter().map(|(_, fact)| fact).collect()))
    }
}

impl Computed {
    /// Takes the decisions of `fact`, which was made from the same bytes.
    pub(crate) fn decided(&mut self, fact: UnitFact) {
        self.fact.duplicate_of = fact.duplicate_of;
        for (mine, theirs) in self.fact.outputs.iter_mut().zip(fact.outputs) {
            mine.key = theirs.key;
            mine.rag = theirs.rag;
            mine.sft = theirs.sft;
        }
    }
}

/// Scores a record and judges it for every export.
pub(crate) fn derive(
    context: &Context<'_>,
    mut evidence: EvidenceRecord,
) -> Result<(Output, OutputFact), OpError> {
    let Context { policy, options, scanner, planted, .. } = context;
    if let Some(planted) = planted {
        sabotage::evidence(planted, &mut evidence);
    }
    let bytes = evidence.to_object_bytes()?;
    let evidence_id = ObjectId::of(&bytes);
    let mut scored = score::score(policy, evidence_id, &evidence);
    if let Some(planted) = planted {
        sabotage::scored(planted, policy, &evidence, &mut scored);
    }
    let (mut output, mut fact) = judge((policy, options, scanner), evidence, bytes, evidence_id, scored);
    if let Some(planted) = planted {
        sabotage::exports(planted, context, &mut output, &mut fact);
    }
    Ok((output, fact))
}

/// Judges scored evidence for every export.
pub(crate) fn judge(
    (policy, options, scanner): (&Policy, &Options, &Scanner),
    evidence: EvidenceRecord,
    bytes: Vec<u8>,
    evidence_id: ObjectId,
    scored: ScoredRun,
) -> (Output, OutputFact) {
    let mut refusals = BTreeMap::new();
    let mut export = |stage, verdict: Verdict<()>| match verdict {
        Verdict::Row(_, text) => ExportFact::Row(text, None),
        Verdict::Skipped(rule) => ExportFact::Skipped(rule.into()),
        Verdict::Refused(refusal) => {
            refusals.insert(stage, (refusal.reason.to_owned(), refusal.detail));
            ExportFact::Refused(refusal.reason.into())
        }
    };
    let admits = policy.admits_synthetic(&scored.deciding_rule);
    let screen = Screen::new(scanner, &evidence).admitting_synthetic(admits);
    let (rag_row, rag_verdict) = split(rag::export(evidence_id, &evidence, &scored, &screen));
    let rag = export("export-rag", rag_verdict);
    let (sft_row, sft_verdict) =
        split(sft::export(evidence_id, &evidence, &scored, &screen, options.include_partial));
    let sft = export("export-sft", sft_verdict);
    let pair = match preference::candidate(&evidence, scored.category, &screen) {
        Entry::Candidate(candidate) => PairFact::Candidate {
            kind: candidate.kind.into(),
            group: candidate.group,
            standing: candidate.standing,
            can_win: candidate.can_win,
            run: candidate.run,
            text: candidate.text,
        },
        Entry::Skipped(rule) => PairFact::Skipped(rule.into()),
        Entry::Refused(refusal) => {
            refusals.insert("export-preference", (refusal.reason.to_owned(), refusal.detail));
            PairFact::Refused(refusal.reason.into())
        }
    };
    let fact = OutputFact {
        wanted: evidence.key.clone(),
        key: evidence.key.clone(),
        evidence_id,
        category: scored.category,
        scoring: scoring(&scored),
        rag,
        sft,
        pair,
    };
    (Output { evidence, bytes, scored, rag: rag_row, sft: sft_row, refusals }, fact)
}

/// See [`OutputFact::scoring`].
fn scoring(scored: &ScoredRun) -> TextHash {
    let mut parts: Vec<&str> = vec![&scored.deciding_rule];
    parts.extend(scored.reasons.iter().map(String::as_str));
    let scores: Vec<String> =
        scored.sub_scores.iter().map(|(name, score)| format!("{name}={:x}", score.to_bits())).collect();
    parts.extend(scores.iter().map(String::as_str));
    text_hash(&parts)
}

fn split<T>(verdict: Verdict<T>) -> (Option<T>, Verdict<()>) {
    match verdict {
        Verdict::Row(row, text) => (Some(*row), Verdict::Row(Box::new(()), text)),
        Verdict::Skipped(rule) => (None, Verdict::Skipped(rule)),
        Verdict::Refused(refusal) => (None, Verdict::Refused(refusal)),
    }
}

/// A key that cannot be built from parts that were checked before: a fault of this program, reported as such.
pub(crate) fn bad_key(error: &crate::record::KeyError) -> OpError {
    OpError::new(
        crate::ops::error::ErrorKind::Outside,
        format!("cannot build a record key: {error}"),
        "please report this with the source row",
    )
}
