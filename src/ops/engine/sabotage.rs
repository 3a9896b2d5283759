//! Where planted defects spoil what the engine makes.
//!
//! Rests on [`Planted`]. Each defect has a victim in the acceptance fixture, a run of its own name, so that it breaks what
//! it is meant to break and nothing that another row rests on. Invariants: nothing here runs unless a run was given
//! defects; spoiling twice is spoiling once, since a record may be made again of what was stored.

use crate::ops::engine::facts::{ExportFact, OutputFact, PairFact};
use crate::ops::engine::worker::{Context, Output};
use crate::ops::fault::{Fault, Planted};
use crate::pipeline::export::preference::Side;
use crate::pipeline::export::sft::{self, Layers};
use crate::pipeline::export::{Screen, Verdict, text_hash};
use crate::pipeline::policy::Policy;
use crate::pipeline::score;
use crate::record::Category;
use crate::record::EvidenceRecord;
use crate::record::ScoredRun;

/// Whether `evidence` is the victim of `fault`, which this run has.
fn hits(planted: &Planted, fault: Fault, evidence: &EvidenceRecord, victim: &str) -> bool {
    planted.has(fault) && evidence.run_id.as_deref() == Some(victim)
}

/// Spoils evidence before it has an id.
pub(super) fn evidence(planted: &Planted, evidence: &mut EvidenceRecord) {
    if hits(planted, Fault::BlankMarker, evidence, "victim-marker")
        && !evidence.success_markers.iter().any(|marker| marker == " ")
    {
        evidence.success_markers.push(" ".to_owned());
    }
    if hits(planted, Fault::WrongSignature, evidence, "victim-signature")
        && let Some(sig_hash) = &mut evidence.provenance.sig_hash
    {
        sig_hash.replace_range(..8, "00000000");
    }
    if hits(planted, Fault::LeaksRun, evidence, "victim-leak") {
        evidence.tags.retain(|tag| !tag.starts_with("run:"));
        evidence.tags.push(format!("run:{}", planted.run_id));
    }
}

/// Spoils what scoring made of `evidence`.
pub(super) fn scored(planted: &Planted, policy: &Policy, evidence: &EvidenceRecord, scored: &mut ScoredRun) {
    if hits(planted, Fault::StrangeRule, evidence, "victim-rule") {
        "because".clone_into(&mut scored.deciding_rule);
    }
    if hits(planted, Fault::DeafToPeople, evidence, "victim-person") {
        let without = EvidenceRecord { human_override: None, ..evidence.clone() };
        *scored = score::score(policy, scored.evidence_id, &without);
    }
}

/// Spoils what the exporters made of a record.
pub(super) fn exports(planted: &Planted, context: &Context<'_>, output: &mut Output, fact: &mut OutputFact) {
    let evidence = output.evidence.clone();
    let (evidence, scored) = (&evidence, &output.scored);
    let screen = &Screen::new(context.scanner, evidence);
    let include_partial = context.options.include_partial;
    let forced = |category| ScoredRun { category, ..scored.clone() };
    let mut sft_verdict = None;
    if hits(planted, Fault::Mislabels, evidence, "victim-partial") {
        sft_verdict = Some(sft::export(
            fact.evidence_id,
            evidence,
            &forced(Category::Accepted),
            screen,
            include_partial,
        ));
    }
    if include_partial && hits(planted, Fault::OpensTheDoor, evidence, "victim-door") {
        sft_verdict =
            Some(sft::export(fact.evidence_id, evidence, &forced(Category::PartiallyAccepted), screen, true));
    }
    if planted.has(Fault::LaxType) || planted.has(Fault::NoNeverList) {
        let layers = Layers { types: !planted.has(Fault::LaxType), never: !planted.has(Fault::NoNeverList) };
        sft_verdict =
            Some(sft::export_through(layers, fact.evidence_id, evidence, scored, screen, include_partial));
    }
    if hits(planted, Fault::ComparesRawText, evidence, "victim-spaced")
        && let (PairFact::Candidate { text, .. }, Some(response)) = (&mut fact.pair, &evidence.response)
    {
        *text = text_hash(&[response]);
    }
    let (blank, line) = (
        hits(planted, Fault::BlankContent, evidence, "victim-content"),
        hits(planted, Fault::WrongLine, evidence, "victim-line"),
    );
    if let Some(rag) = &mut output.rag {
        if blank {
            " \n ".clone_into(&mut rag.content);
        }
        rag.provenance.line_offset += u64::from(line);
    }
    match sft_verdict {
        Some(Verdict::Row(row, text)) => {
            output.sft = Some(*row);
            fact.sft = ExportFact::Row(text, None);
        }
        Some(Verdict::Skipped(rule)) => {
            output.sft = None;
            fact.sft = ExportFact::Skipped(rule.into());
        }
        Some(Verdict::Refused(_)) | None => {}
    }
}

/// Whether the unit whose records are `outputs`, which repeats another, is to be lost.
pub(super) fn loses_unit(planted: Option<&Planted>, outputs: &[Output]) -> bool {
    planted.is_some_and(|planted| {
        outputs.iter().any(|output| hits(planted, Fault::LosesUnit, &output.evidence, "victim-unit"))
    })
}

/// Whether a record is to stay without its scored run.
pub(super) fn stays_unscored(planted: Option<&Planted>, evidence: &EvidenceRecord) -> bool {
    planted.is_some_and(|planted| hits(planted, Fault::Unscored, evidence, "victim-score"))
}

/// Whether the refusal of a record by an export is to be lost.
pub(super) fn loses_refusal(planted: Option<&Planted>, evidence: &EvidenceRecord) -> bool {
    planted.is_some_and(|planted| hits(planted, Fault::LosesRefusal, evidence, "victim-refusal"))
}

/// Spoils the sides of a pair before its row is made.
pub(super) fn pair(
    planted: &Planted,
    chosen: &mut Side,
    rejected: &mut Side,
    categories: &mut (Category, Category),
) {
    if planted.has(Fault::PairsWithItself) && chosen.run_id == "victim-self" {
        let Side { id, run_id, provenance, .. } = chosen.clone();
        (rejected.id, rejected.run_id, rejected.provenance) = (id, run_id, provenance);
    }
    if planted.has(Fault::SwapsSides) && chosen.run_id == "victim-swap" {
        std::mem::swap(chosen, rejected);
        *categories = (categories.1, categories.0);
    }
}
