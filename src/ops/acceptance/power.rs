//! `acceptance --power`: one planted defect for each invariant, to show that the gate can fail, and where.
//!
//! Rests on [`Fault`] and on the same scene and checks as a plain acceptance. Invariant: a defect counts as caught when the
//! invariant of its number falls and no other does.

use serde::Serialize;

use super::{Options, judge};
use crate::ops::error::OpError;
use crate::ops::fault::Fault;
use crate::ops::progress::Progress;

/// One defect, and what it felled.
#[derive(Clone, Debug, Serialize)]
pub struct Planting {
    /// The invariant that it should fell.
    pub number: u8,
    /// What was planted.
    pub defect: &'static str,
    /// The invariants that fell.
    pub fell: Vec<u8>,
    /// Whether exactly the right one did.
    pub caught: bool,
    /// What the right one said first; null where it held.
    pub said: Option<super::Breach>,
}

/// The defects, in order of the invariants that they break.
pub(super) const DEFECTS: [(Fault, &str); 22] = [
    (Fault::LosesUnit, "a unit that repeats another is left out without a word"),
    (Fault::MendsBytes, "the bytes of an unreadable unit are mended before they are kept"),
    (Fault::BlankMarker, "evidence carries a field that its schema forbids"),
    (Fault::WrongSignature, "evidence carries another sig_hash than that of its row"),
    (Fault::LeaksRun, "evidence says which run made it"),
    (Fault::OrderByThreads, "with several threads, files are taken in another order"),
    (Fault::Unscored, "evidence is left without a scored run"),
    (Fault::StrangeRule, "a scored run names a rule that the policy does not have"),
    (Fault::DeafToPeople, "scoring does not hear a person"),
    (Fault::Mislabels, "the SFT exporter calls a partially accepted run accepted"),
    (Fault::OpensTheDoor, "--include-partial lets in a run that nobody has judged"),
    (Fault::LaxType, "the type of an SFT row takes any word for a quality"),
    (Fault::NoNeverList, "the exporter's list of forbidden categories is not asked"),
    (Fault::NoReadBack, "the written SFT file is not read back"),
    (Fault::BlankContent, "a RAG row has white space for content"),
    (Fault::PairsWithItself, "a pair's rejected side is its chosen side"),
    (Fault::ComparesRawText, "white space tells two answers apart"),
    (Fault::SwapsSides, "the sides of a pair are exchanged"),
    (Fault::WrongLine, "an export row names the line after its own"),
    (Fault::LosesRefusal, "a refusal is counted and not kept"),
    (Fault::BrokenChain, "the receipt of scoring names other evidence than was made"),
    (Fault::BlindDrift, "drift is blind to losses"),
];

/// Plants each defect in turn.
///
/// # Errors
/// As [`super::acceptance`].
pub(super) fn power(options: &Options, progress: &dyn Progress) -> Result<Vec<Planting>, OpError> {
    let mut plantings = Vec::with_capacity(DEFECTS.len());
    for (number, (fault, defect)) in (1_u8..).zip(DEFECTS) {
        progress.begin(&format!("defect {number} of {}", DEFECTS.len()), None);
        let items = judge(options, &[fault])?;
        progress.end();
        let fell: Vec<u8> = items.iter().filter(|item| !item.holds).map(|item| item.number).collect();
        let said = items.iter().find(|item| item.number == number).and_then(|i| i.breaches.first().cloned());
        plantings.push(Planting { number, defect, caught: fell == [number], fell, said });
    }
    Ok(plantings)
}
