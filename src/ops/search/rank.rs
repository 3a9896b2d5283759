//! Which rows answer a question best: BM25, where words that nearly every row has do not choose the rows but only rank them.
//!
//! Rests on tantivy's lists of rows for a word. A question's rarer words, as many as stand in [`CHOOSING_MAX`] rows together, choose
//! candidates; all its words rank those. Where all of them choose, that is BM25 over the whole snapshot, exactly. Invariants: what
//! chooses and what ranks follows from the snapshot and the question alone, never from how the index is cut into segments; scores
//! are compared in steps, and equal ones come in the order of the tree.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::Bound;

use tantivy::query::{BooleanQuery, ConstScoreQuery, EnableScoring, Occur, Query, RangeQuery, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet as _, TERMINATED, TantivyError, Term};

use super::Limits;
use super::index::{Fields, Opened, ROW};

/// Words of a question that are looked up; of more, the rarest.
const WORDS_MAX: usize = 64;
/// Words choose candidates, rarest first, while the rows that they stand in are no more than this in all. The rarest always does.
const CHOOSING_MAX: u64 = 75_000;
/// Candidates that all words rank, at least …
const CANDIDATES: usize = 128;
/// … and for each row that is wanted.
const CANDIDATES_A_HIT: usize = 4;
/// Scores are compared in steps of one in so many: sums of the same parts in another order differ by less.
const STEPS: f32 = 4096.0;

/// A row that may be among the best.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    score: f32,
    segment: u32,
    doc: DocId,
    row: u64,
}

impl Candidate {
    /// Best first, when compared by this downwards.
    fn place(&self) -> (f32, Reverse<u64>) {
        (step(self.score), Reverse(self.row))
    }
}

fn step(score: f32) -> f32 {
    (score * STEPS).round()
}

/// Scores and numbers of the `k` best rows, the best first.
pub(super) fn rows(
    opened: &Opened,
    asked: &BTreeSet<String>,
    k: usize,
    limits: &Limits,
) -> Result<Vec<(f32, u64)>, TantivyError> {
    rows_within(opened, asked, k, limits, CHOOSING_MAX)
}

/// As [`rows`], with words that stand in `room` rows together to choose at first.
fn rows_within(
    opened: &Opened,
    asked: &BTreeSet<String>,
    k: usize,
    limits: &Limits,
    mut room: u64,
) -> Result<Vec<(f32, u64)>, TantivyError> {
    let mut words = Vec::with_capacity(asked.len());
    for word in asked {
        let term = Term::from_field_text(opened.fields.text, word);
        match opened.searcher.doc_freq(&term)? {
            0 => {}
            rows => words.push((rows, term)),
        }
    }
    // Rare words tell more; among as many, the order of words.
    words.sort_by_key(|(rows, _)| *rows);
    words.truncate(WORDS_MAX);
    let mut chosen = 0;
    let mut best = Vec::new();
    // Of rows that pass a narrow filter the rare words may not find enough.
    while chosen < words.len() && best.len() < k {
        chosen = choosing(&words, room);
        let wanted = if chosen == words.len() { k } else { CANDIDATES.max(k * CANDIDATES_A_HIT) };
        best = candidates(opened, &words[..chosen], wanted, limits)?;
        room = room.saturating_mul(4);
    }
    rank(opened, &words[chosen..], k, &mut best)?;
    best.truncate(k);
    Ok(best.into_iter().map(|found| (found.score, found.row)).collect())
}

/// How many of the words, rarest first, choose.
fn choosing(words: &[(u64, Term)], room: u64) -> usize {
    let mut sum = 0_u64;
    let within = words.iter().take_while(|(rows, _)| {
        sum = sum.saturating_add(*rows);
        sum <= room
    });
    within.count().max(1).min(words.len())
}

/// The `wanted` best rows by these words alone, the best first.
fn candidates(
    opened: &Opened,
    words: &[(u64, Term)],
    wanted: usize,
    limits: &Limits,
) -> Result<Vec<Candidate>, TantivyError> {
    let any = words.iter().map(|(_, term)| Box::new(query(term)) as Box<dyn Query>);
    let query = limited(BooleanQuery::union(any.collect()), &opened.fields, limits);
    let weight = query.weight(EnableScoring::enabled_from_searcher(&opened.searcher))?;
    let mut best: Vec<Candidate> = Vec::with_capacity(wanted + 1);
    // A row as good as the last may come before it in the tree: it must be looked at.
    let least = |best: &[Candidate]| match best.last() {
        Some(last) if best.len() == wanted => (step(last.score) - 0.75) / STEPS,
        _ => f32::MIN,
    };
    for (number, segment) in (0..).zip(opened.searcher.segment_readers()) {
        let numbers = segment.fast_fields().u64(ROW)?;
        let mut is_whole = true;
        let start = least(&best);
        weight.for_each_pruning(start, segment, &mut |doc, score| {
            let Some(row) = numbers.first(doc) else {
                is_whole = false;
                return score;
            };
            let found = Candidate { score, segment: number, doc, row };
            let at = best.partition_point(|other| other.place() > found.place());
            if at < wanted {
                best.insert(at, found);
                best.truncate(wanted);
            }
            least(&best)
        })?;
        if !is_whole {
            return Err(TantivyError::InternalError("a document has no row".to_owned()));
        }
    }
    Ok(best)
}

/// Adds to the scores what the other words give, rarest first, and puts the best first. Candidates that cannot be among the `k` best
/// any more, whatever the words that are left give, are dropped on the way.
fn rank(
    opened: &Opened,
    words: &[(u64, Term)],
    k: usize,
    best: &mut Vec<Candidate>,
) -> Result<(), TantivyError> {
    if words.is_empty() {
        return Ok(());
    }
    let total = opened.searcher.num_docs();
    let mut left: f32 = words.iter().map(|(rows, _)| most(*rows, total)).sum();
    best.sort_by_key(|found| (found.segment, found.doc));
    for (rows, term) in words {
        if let Some(least) = kth_score(best, k) {
            best.retain(|found| found.score + left + 1.0 / STEPS >= least);
        }
        let weight = query(term).weight(EnableScoring::enabled_from_searcher(&opened.searcher))?;
        for within in best.chunk_by_mut(|a, b| a.segment == b.segment) {
            let segment = opened.searcher.segment_reader(within[0].segment);
            let mut rows = weight.scorer(segment, 1.0)?;
            for found in within {
                if rows.doc() < found.doc && rows.seek(found.doc) == TERMINATED {
                    break;
                }
                if rows.doc() == found.doc {
                    found.score += rows.score();
                }
            }
        }
        left -= most(*rows, total);
    }
    best.sort_by(|a, b| step(b.score).total_cmp(&step(a.score)).then(a.row.cmp(&b.row)));
    Ok(())
}

/// What a word that so many of `total` rows have can add to a score: BM25 with k1 = 1.2, where a row has nothing else.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of rows; a bound that is a millionth too low is within a step"
)]
fn most(rows: u64, total: u64) -> f32 {
    let (rows, total) = (rows as f32, total as f32);
    2.2 * (1.0 + (total - rows + 0.5) / (rows + 0.5)).ln()
}

/// The `k`th score from above, where there are more than `k`.
fn kth_score(best: &[Candidate], k: usize) -> Option<f32> {
    let mut scores: Vec<f32> = best.iter().map(|found| found.score).collect();
    (scores.len() > k).then(|| *scores.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1)
}

fn query(term: &Term) -> TermQuery {
    TermQuery::new(term.clone(), IndexRecordOption::WithFreqs)
}

/// `any`, where all limits hold; they add nothing to scores.
fn limited(any: BooleanQuery, fields: &Fields, limits: &Limits) -> Box<dyn Query> {
    let mut all: Vec<Box<dyn Query>> = Vec::new();
    for label in &limits.labels {
        let term = Term::from_field_text(fields.label, label);
        all.push(Box::new(TermQuery::new(term, IndexRecordOption::Basic)));
    }
    if let Some((since, until)) = limits.time {
        all.push(Box::new(RangeQuery::new(
            Bound::Included(Term::from_field_u64(fields.time, since)),
            Bound::Excluded(Term::from_field_u64(fields.time, until)),
        )));
    }
    if all.is_empty() {
        return Box::new(any);
    }
    let without_score = |limit| (Occur::Must, Box::new(ConstScoreQuery::new(limit, 0.0)) as Box<dyn Query>);
    let mut parts: Vec<(Occur, Box<dyn Query>)> = vec![(Occur::Must, Box::new(any))];
    parts.extend(all.into_iter().map(without_score));
    Box::new(BooleanQuery::new(parts))
}

#[cfg(test)]
mod tests {
    use tantivy::indexer::NoMergePolicy;
    use tantivy::{Index, IndexWriter, ReloadPolicy, TantivyDocument};

    use super::super::index::{register, schema};
    use super::*;

    /// Row `number`: a few words, of which the first ones stand in most rows and the last in few.
    fn words_of(number: u64) -> Vec<String> {
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d;
        let mut words = Vec::new();
        for _ in 0..4 + number % 9 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let rare = (state >> 33) % 1000 + 1;
            words.push(format!("w{}", 3000 / rare / rare.min(40)));
        }
        words
    }

    /// An index of `rows`, cut into segments after each `cut` of them.
    fn index(rows: &[u64], cut: usize) -> Opened {
        let mut index = Index::create_in_ram(schema());
        let fields = register(&mut index).expect("fields");
        let mut writer: IndexWriter = index.writer_with_num_threads(1, 15 << 20).expect("a writer");
        writer.set_merge_policy(Box::new(NoMergePolicy));
        for within in rows.chunks(cut) {
            for row in within {
                let mut document = TantivyDocument::default();
                document.add_text(fields.text, words_of(*row).join(" "));
                document.add_text(fields.label, format!("stream:s{}", row % 7));
                document.add_u64(fields.row, *row);
                document.add_u64(fields.time, *row);
                writer.add_document(document).expect("is added");
            }
            writer.commit().expect("is written");
        }
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().expect("opens");
        Opened { searcher: reader.searcher(), fields }
    }

    fn ask(opened: &Opened, question: u64, room: u64, limits: &Limits) -> Vec<(String, u64)> {
        let asked = words_of(question).into_iter().collect();
        let found = rows_within(opened, &asked, 10, limits, room).expect("an answer");
        found.into_iter().map(|(score, row)| (format!("{:.3}", step(score) / STEPS), row)).collect()
    }

    #[test]
    fn the_order_does_not_depend_on_segments() {
        let all: Vec<u64> = (0..3000).collect();
        let shuffled: Vec<u64> = all.iter().map(|n| n * 1213 % 3000).collect();
        let indexes = [index(&all, 3000), index(&all, 700), index(&shuffled, 450)];
        let none = Limits { labels: Vec::new(), time: None };
        let some = Limits { labels: vec!["stream:s3".to_owned()], time: Some((100, 2500)) };
        for question in 0..200 {
            for (room, limits) in [(u64::MAX, &none), (900, &none), (900, &some), (1, &none)] {
                let answers = indexes.each_ref().map(|index| ask(index, question, room, limits));
                assert_eq!(answers[0], answers[1], "question {question}, room {room}");
                assert_eq!(answers[0], answers[2], "question {question}, room {room}");
            }
        }
    }

    #[test]
    fn rarer_words_choose_nearly_what_all_words_would() {
        let all: Vec<u64> = (0..3000).collect();
        let index = index(&all, 1000);
        let none = Limits { labels: Vec::new(), time: None };
        let (mut own, mut same, mut questions) = (0, 0, 0);
        for question in (0..3000).step_by(10) {
            let exact = ask(&index, question, u64::MAX, &none);
            let quick = ask(&index, question, 900, &none);
            assert_eq!(exact.len(), quick.len(), "question {question}");
            let scores: Vec<f32> = quick.iter().filter_map(|(score, _)| score.parse().ok()).collect();
            assert!(scores.len() == quick.len() && scores.is_sorted_by(|a, b| a >= b), "{quick:?}");
            // What both name has one score, whichever words chose it.
            for (score, row) in &quick {
                assert!(
                    exact.iter().all(|(other, same)| same != row || other == score),
                    "question {question}"
                );
            }
            own += usize::from(quick[0].0 == exact[0].0);
            same += quick.iter().filter(|(_, row)| exact.iter().any(|(_, other)| row == other)).count();
            questions += 1;
        }
        assert!(own * 100 >= questions * 97, "{own} of {questions} with the best score");
        assert!(same * 100 >= questions * 10 * 90, "{same} of {} rows", questions * 10);
    }
}
