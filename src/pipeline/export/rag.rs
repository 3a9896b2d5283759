//! The RAG corpus: accepted and partially accepted evidence as documents to retrieve from.
//!
//! Rests on the shared gates. Invariant: every row is non-empty, names its run and walks back to its source row.

use crate::object::ObjectId;
use crate::pipeline::export::{self, Refusal, Screen, Verdict};
use crate::pipeline::score;
use crate::record::EvidenceRecord;
use crate::record::RagSample;
use crate::record::SchemaTag;
use crate::record::ScoredRun;
use crate::record::TrainableCategory;

/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 120;

/// Judges one evidence record for the RAG corpus; `screen` looks at the same record.
pub fn export(
    evidence_id: ObjectId,
    evidence: &EvidenceRecord,
    scored: &ScoredRun,
    screen: &Screen<'_>,
) -> Verdict<RagSample> {
    let Ok(category) = TrainableCategory::try_from(scored.category) else {
        return Verdict::Skipped(export::category_rule(scored.category));
    };
    if screen.is_synthetic() {
        return Verdict::Skipped(export::SYNTHETIC);
    }
    match row(evidence_id, evidence, scored, screen, category) {
        Ok(row) => {
            let text = export::text_hash(&[&row.title, &row.content]);
            Verdict::Row(Box::new(row), text)
        }
        Err(refusal) => Verdict::Refused(refusal),
    }
}

fn row(
    evidence_id: ObjectId,
    evidence: &EvidenceRecord,
    scored: &ScoredRun,
    screen: &Screen<'_>,
    category: TrainableCategory,
) -> Result<RagSample, Refusal> {
    let run_id = export::grounded(evidence)?;
    let response = export::present("response", "empty_content", evidence.response.as_deref())?;
    screen.row()?;
    let mut content = String::new();
    for part in [evidence.instruction.as_deref(), Some(response)].into_iter().flatten() {
        if !part.trim().is_empty() {
            if !content.is_empty() {
                content.push_str("\n\n");
            }
            content.push_str(part);
        }
    }
    Ok(RagSample {
        content,
        evidence_id,
        id: evidence.key.clone(),
        provenance: evidence.provenance.clone(),
        schema: SchemaTag::new(),
        source_category: category,
        source_run_id: run_id.to_owned(),
        success_score: score::success_score(&scored.sub_scores),
        tags: evidence.tags.clone(),
        title: title(evidence, response),
    })
}

/// The first line of what was asked, or of the answer where nothing says what was asked.
fn title(evidence: &EvidenceRecord, response: &str) -> String {
    let text = evidence.instruction.as_deref().filter(|t| !t.trim().is_empty()).unwrap_or(response);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    match line.char_indices().nth(TITLE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line.to_owned(),
    }
}
