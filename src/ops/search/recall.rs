//! How well the corpus is found by what was asked when its rows were made.
//!
//! Rests on the searcher. Invariant: which rows are asked about follows from the snapshot alone: all, or as many as are wanted at
//! even distances, so that the same snapshot gives the same figures.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Corpus, Filter, Searcher};
use crate::object::FindExt as _;
use crate::ops::{OpError, Progress};
use crate::record::{EvidenceRecord, RagSample, Record as _, RecordKey};
use crate::repo::Repo;
use crate::tree;

/// How many hits are looked at.
const HITS: usize = 10;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct RecallOptions {
    /// Rows to ask about, at most.
    pub rows_max: u64,
}

impl Default for RecallOptions {
    fn default() -> Self {
        Self { rows_max: 2000 }
    }
}

/// How well rows are found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recall {
    /// The snapshot.
    #[serde(flatten)]
    pub corpus: Corpus,
    /// Its rows.
    pub rows: u64,
    /// All streams together.
    pub total: StreamRecall,
    /// Each stream.
    pub items: Vec<StreamRecall>,
    /// Keys of rows that were asked about, where not even another answer to the question was found; at most a hundred.
    pub lost: Vec<String>,
}

/// How well the rows of a stream are found by their own instructions. Where several rows answer one question word for word, each
/// may be found for it: `question_hit_10` counts that, the other figures are of the row itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StreamRecall {
    /// The stream; `*` for all.
    pub stream: String,
    /// Rows that were asked about.
    pub asked: u64,
    /// Rows passed over, since their evidence has no instruction, or one without a word.
    pub without_instruction: u64,
    /// Share of rows that come first.
    pub hit_1: f64,
    /// Share of rows among the first five.
    pub hit_5: f64,
    /// Share of rows among the first ten.
    pub hit_10: f64,
    /// Share of rows where the first ten have an answer to the same instruction, be it another row's.
    pub question_hit_10: f64,
    /// Mean of one over the rank, 0 beyond ten.
    pub mrr: f64,
}

/// Sums of one stream.
#[derive(Clone, Copy, Default)]
struct Sums {
    asked: u64,
    without: u64,
    hits: [u64; 3],
    question: u64,
    inverse_ranks: f64,
}

/// Keys that are named, at most.
const LOST_MAX: usize = 100;

/// Asks for rows with their own instructions.
///
/// # Errors
/// When rows, evidence or index cannot be read.
pub fn recall(
    repo: &Repo,
    searcher: &Searcher,
    options: RecallOptions,
    progress: &dyn Progress,
) -> Result<Recall, OpError> {
    let (store, root) = (repo.store(), searcher.corpus().root);
    let rows = tree::totals(store, root)?.rows;
    let asked = rows.min(options.rows_max.max(1));
    let mut streams: BTreeMap<String, Sums> = BTreeMap::new();
    let mut lost = Vec::new();
    progress.begin("asking for rows by their instructions", None);
    for number in 0..asked {
        let row = u64::try_from(u128::from(number) * u128::from(rows) / u128::from(asked)).unwrap_or(number);
        let Some(entry) = tree::nth(store, root, row)? else { continue };
        let sample = RagSample::parse(&store.find(&entry.id)?)?;
        let stream =
            RecordKey::parse(&entry.key).map_or_else(|_| String::new(), |key| key.stream().to_owned());
        let sums = streams.entry(stream).or_default();
        let evidence = EvidenceRecord::parse(&store.find(&sample.evidence_id)?)?;
        let instruction = evidence.instruction.filter(|text| Searcher::has_word(text));
        let Some(instruction) = instruction else {
            sums.without += 1;
            continue;
        };
        sums.asked += 1;
        let hits = searcher.search(&instruction, HITS, &Filter::default())?;
        if let Some(hit) = hits.iter().find(|hit| hit.key == entry.key) {
            for (sum, within) in sums.hits.iter_mut().zip([1, 5, 10]) {
                *sum += u64::from(hit.rank <= within);
            }
            sums.inverse_ranks += 1.0 / as_float(hit.rank as u64);
        }
        if hits.iter().any(|hit| hit.row.content.starts_with(&instruction)) {
            sums.question += 1;
        } else if lost.len() < LOST_MAX {
            lost.push(entry.key);
        }
        progress.advance(1, 0);
    }
    progress.end();
    let mut total = Sums::default();
    for sums in streams.values() {
        total.asked += sums.asked;
        total.without += sums.without;
        total.question += sums.question;
        total.inverse_ranks += sums.inverse_ranks;
        for (all, one) in total.hits.iter_mut().zip(sums.hits) {
            *all += one;
        }
    }
    Ok(Recall {
        corpus: searcher.corpus().clone(),
        rows,
        total: shares("*", &total),
        items: streams.iter().map(|(stream, sums)| shares(stream, sums)).collect(),
        lost,
    })
}

fn shares(stream: &str, sums: &Sums) -> StreamRecall {
    let share = |part: f64| if sums.asked == 0 { 0.0 } else { part / as_float(sums.asked) };
    let [hit_1, hit_5, hit_10] = sums.hits.map(|hits| share(as_float(hits)));
    StreamRecall {
        stream: stream.to_owned(),
        asked: sums.asked,
        without_instruction: sums.without,
        hit_1,
        hit_5,
        hit_10,
        question_hit_10: share(as_float(sums.question)),
        mrr: share(sums.inverse_ranks),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows that were asked about")]
fn as_float(count: u64) -> f64 {
    count as f64
}
