//! The SFT corpus: accepted evidence as instruction and response.
//!
//! Rests on the shared gates. This is the second layer of the firewall: [`SFT_NEVER`] is compared with the category's
//! *word*, so it holds even where the type [`TrainableCategory`] (the first layer) is bypassed. The third layer reads
//! the written bytes back and lives with the engine. The three share no code.

use crate::object::ObjectId;
use crate::pipeline::export::{self, Refusal, Screen, Verdict};
use crate::record::EvidenceRecord;
use crate::record::SchemaTag;
use crate::record::ScoredRun;
use crate::record::SftSample;
use crate::record::TrainableCategory;

/// Category words that never enter the SFT corpus, whatever the options.
pub const SFT_NEVER: [&str; 2] = ["rejected", "needs_human_review"];

/// Which of the two layers that stand here are asked. Exports ask both; a gate leaves one out to see that the other
/// holds alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// The type that cannot hold a forbidden category.
    pub types: bool,
    /// [`SFT_NEVER`].
    pub never: bool,
}

impl Layers {
    /// Both.
    pub const ALL: Self = Self { types: true, never: true };
}

/// Judges one evidence record for the SFT corpus; `screen` looks at the same record. `include_partial` opens it to
/// partially accepted evidence.
pub fn export(
    evidence_id: ObjectId,
    evidence: &EvidenceRecord,
    scored: &ScoredRun,
    screen: &Screen<'_>,
    include_partial: bool,
) -> Verdict<SftSample> {
    export_through(Layers::ALL, evidence_id, evidence, scored, screen, include_partial)
}

/// As [`export()`], asking only some of the firewall's layers.
pub fn export_through(
    layers: Layers,
    evidence_id: ObjectId,
    evidence: &EvidenceRecord,
    scored: &ScoredRun,
    screen: &Screen<'_>,
    include_partial: bool,
) -> Verdict<SftSample> {
    if layers.never && SFT_NEVER.contains(&scored.category.as_str()) {
        return Verdict::Skipped(export::category_rule(scored.category));
    }
    let category = match TrainableCategory::try_from(scored.category) {
        Ok(TrainableCategory::Accepted) => TrainableCategory::Accepted,
        Ok(TrainableCategory::PartiallyAccepted) if include_partial => TrainableCategory::PartiallyAccepted,
        // Whoever left the type out calls it what it is not.
        Err(_) if !layers.types => TrainableCategory::Accepted,
        _ => return Verdict::Skipped(export::category_rule(scored.category)),
    };
    if screen.is_synthetic() {
        return Verdict::Skipped(export::SYNTHETIC);
    }
    match row(evidence_id, evidence, screen, category) {
        Ok(row) => {
            let text = export::text_hash(&[
                &row.instruction,
                row.context.as_deref().unwrap_or_default(),
                &row.response,
            ]);
            Verdict::Row(Box::new(row), text)
        }
        Err(refusal) => Verdict::Refused(refusal),
    }
}

fn row(
    evidence_id: ObjectId,
    evidence: &EvidenceRecord,
    screen: &Screen<'_>,
    category: TrainableCategory,
) -> Result<SftSample, Refusal> {
    let run_id = export::grounded(evidence)?;
    let instruction = export::present("instruction", "empty_instruction", evidence.instruction.as_deref())?;
    let response = export::present("response", "empty_response", evidence.response.as_deref())?;
    screen.row()?;
    screen.conversation()?;
    Ok(SftSample {
        context: evidence.context.clone(),
        evidence_id,
        id: evidence.key.clone(),
        instruction: instruction.to_owned(),
        messages: evidence.messages.clone(),
        provenance: evidence.provenance.clone(),
        quality_score: category,
        response: response.to_owned(),
        schema: SchemaTag::new(),
        source_run_id: run_id.to_owned(),
    })
}
