//! `search`: the rows of a RAG snapshot that answer a question best, by BM25.
//!
//! Rests on the index, which is a cache, and on the store, from which every hit is read. Invariants: the same snapshot and question
//! give the same rows in the same order on every machine; what is returned was hashed on the way and is a row of the snapshot,
//! whatever the index says; a damaged index is built again and never an error.

mod index;
mod recall;
mod token;

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use schemars::JsonSchema;
use serde::Serialize;
use tantivy::collector::{Collector as _, TopDocs};
use tantivy::query::{BooleanQuery, ConstScoreQuery, EnableScoring, Occur, Query, RangeQuery, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{TantivyError, Term};

use crate::base::panics::caught;
use crate::object::{CommitId, FindExt as _, ObjectId, RootId};
use crate::ops::search::index::Opened;
use crate::ops::{ErrorKind, OpError, Progress};
use crate::record::{Category, RagSample, Record as _};
use crate::repo::{Repo, Target};
use crate::tree;

pub use recall::{Recall, RecallOptions, StreamRecall, recall};

/// The dataset that is searched.
pub const DATASET: &str = "exports/rag";
/// Hits, where nobody says how many.
pub const HITS_DEFAULT: usize = 10;
/// Hits at most.
pub const HITS_MAX: usize = 1000;
/// Words of a question that are looked up; of more, the rarest.
const WORDS_MAX: usize = 64;
/// Candidates beyond those wanted, so that where scores are equal the order of keys decides and not that of segments.
const SPARE: usize = 16;
/// Scores are compared in steps of one in so many: sums of the same parts in another order differ by less.
const STEPS: f32 = 4096.0;

/// A RAG snapshot that can be searched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Corpus {
    /// Its name in `config.toml`, or the revision as typed.
    pub name: String,
    /// The revision.
    pub rev: String,
    /// The commit that it is now.
    pub commit: CommitId,
    /// The dataset, always [`DATASET`].
    pub dataset: String,
    /// Its root.
    pub root: RootId,
}

/// What hits must be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this stream.
    pub stream: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// `accepted` or `partially_accepted`.
    pub category: Option<String>,
    /// Recorded at this time or later: a date or RFC 3339.
    pub since: Option<String>,
    /// Recorded before this time, or on this day or before: a date or RFC 3339.
    pub until: Option<String>,
}

/// A row that answers.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Hit {
    /// 1 for the best.
    pub rank: usize,
    /// BM25, higher is better; comparable within one snapshot and question.
    pub score: f32,
    /// Its key.
    pub key: String,
    /// Its object.
    pub id: ObjectId,
    /// The row as the store has it.
    pub row: RagSample,
}

/// What `search` answers.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Found {
    /// The snapshot that was searched.
    #[serde(flatten)]
    pub corpus: Corpus,
    /// The question.
    pub query: String,
    /// The best first.
    pub items: Vec<Hit>,
}

/// The snapshot that is meant: the corpus `name` of `config.toml`, or `exports/rag` of the revision `at` (HEAD).
///
/// # Errors
/// A name that is not configured, a revision or dataset that is not there, or both a name and a revision.
pub fn corpus(repo: &Repo, name: Option<&str>, at: Option<&str>) -> Result<Corpus, OpError> {
    let spec = match (name, at) {
        (Some(_), Some(_)) => {
            let hint = "a corpus of config.toml says itself which revision it is: leave out --at or --corpus";
            return Err(OpError::new(ErrorKind::Usage, "the snapshot is named twice", hint));
        }
        (Some(name), None) => {
            let corpora = &repo.config().corpora;
            corpora.get(name).cloned().ok_or_else(|| {
                let known: Vec<&str> = corpora.keys().map(String::as_str).collect();
                let hint = if known.is_empty() {
                    "name one in .distill/config.toml: `[corpora]`, then `answers = \"main:exports/rag\"`"
                        .to_owned()
                } else {
                    format!(".distill/config.toml has `{}`", known.join("`, `"))
                };
                OpError::new(ErrorKind::Usage, format!("there is no corpus `{name}`"), hint)
            })?
        }
        (None, at) => format!("{}:{DATASET}", at.unwrap_or("HEAD")),
    };
    let spec = if spec.contains(':') { spec } else { format!("{spec}:{DATASET}") };
    let located = repo.locate(&spec)?;
    let Target::Dataset { dataset, root, prefix } = located.target else {
        return Err(not_rag(&spec));
    };
    if dataset != DATASET || !prefix.is_empty() {
        return Err(not_rag(&spec));
    }
    let rev = spec.split(':').next().unwrap_or_default().to_owned();
    let name = name.map_or_else(|| rev.clone(), ToOwned::to_owned);
    Ok(Corpus { name, rev, commit: located.commit_id, dataset, root })
}

fn not_rag(spec: &str) -> OpError {
    OpError::new(
        ErrorKind::Usage,
        format!("`{spec}` is no RAG snapshot"),
        format!("search reads `{DATASET}`: `REV:{DATASET}`"),
    )
}

/// A snapshot with its index.
pub struct Searcher {
    repo: Repo,
    corpus: Corpus,
    index: RwLock<Arc<Opened>>,
}

impl Searcher {
    /// Opens the index of `corpus`, building it where there is none.
    ///
    /// # Errors
    /// When the snapshot cannot be read or the index cannot be written.
    pub fn open(repo: &Repo, corpus: Corpus, progress: &dyn Progress) -> Result<Self, OpError> {
        let index = index::open_or_build(repo, corpus.root, progress)?;
        Ok(Self { repo: repo.clone(), corpus, index: RwLock::new(Arc::new(index)) })
    }

    /// What is searched.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// The `k` rows that answer `text` best, all of which pass `filter`. Fewer where fewer share a word with it.
    ///
    /// # Errors
    /// A question without a word, a filter that makes no sense, or rows that cannot be read.
    pub fn search(&self, text: &str, k: usize, filter: &Filter) -> Result<Vec<Hit>, OpError> {
        let mut asked = BTreeSet::new();
        token::words(text, &mut |word| {
            if !asked.contains(word) {
                asked.insert(word.to_owned());
            }
        });
        if asked.is_empty() {
            let hint = "ask with letters or digits";
            return Err(OpError::new(ErrorKind::Usage, "the question has no word to look for", hint));
        }
        if k == 0 || k > HITS_MAX {
            let message = format!("{k} hits are asked for");
            return Err(OpError::new(ErrorKind::Usage, message, format!("ask for 1 to {HITS_MAX}")));
        }
        let filter = Limits::of(filter)?;
        let ask = || -> Result<Option<Vec<Hit>>, OpError> {
            let opened = Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner));
            match caught(|| rows(&opened, &asked, k, &filter)) {
                Ok(Ok(rows)) => self.read(rows),
                _ => Ok(None),
            }
        };
        if let Some(hits) = ask()? {
            return Ok(hits);
        }
        index::discard(&self.repo, self.corpus.root);
        let built = index::open_or_build(&self.repo, self.corpus.root, &crate::ops::Silent)?;
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(built);
        ask()?.ok_or_else(|| {
            OpError::new(
                ErrorKind::Outside,
                "the search index cannot be read, though it was just built",
                "check the disk of .distill/index; what lies there is a cache and may be deleted",
            )
        })
    }

    /// Reads the rows back from the snapshot; `None` where the index names rows that it has not.
    fn read(&self, rows: Vec<(f32, u64)>) -> Result<Option<Vec<Hit>>, OpError> {
        let store = self.repo.store();
        let mut hits = Vec::with_capacity(rows.len());
        for (place, (score, row)) in rows.into_iter().enumerate() {
            let Some(entry) = tree::nth(store, self.corpus.root, row)? else { return Ok(None) };
            let row = RagSample::parse(&store.find(&entry.id)?)?;
            hits.push(Hit { rank: place + 1, score, key: entry.key, id: entry.id, row });
        }
        Ok(Some(hits))
    }
}

/// A filter that was understood.
struct Limits {
    labels: Vec<String>,
    /// Milliseconds, from and before.
    time: Option<(u64, u64)>,
}

impl Limits {
    fn of(filter: &Filter) -> Result<Self, OpError> {
        let mut labels = Vec::new();
        if let Some(stream) = &filter.stream {
            labels.push(format!("stream:{stream}"));
        }
        if let Some(tag) = &filter.tag {
            labels.push(format!("tag:{tag}"));
        }
        if let Some(category) = &filter.category {
            let known = [Category::Accepted, Category::PartiallyAccepted].map(|known| known.to_string());
            if !known.contains(category) {
                let message = format!("`{category}` is no category of a RAG row");
                return Err(OpError::new(
                    ErrorKind::Usage,
                    message,
                    format!("they are `{}`", known.join("` and `")),
                ));
            }
            labels.push(format!("category:{category}"));
        }
        let since = filter.since.as_deref().map(|text| instant(text, false)).transpose()?;
        let until = filter.until.as_deref().map(|text| instant(text, true)).transpose()?;
        // A row without a time is in no span of time.
        let time = (since.is_some() || until.is_some())
            .then(|| (since.unwrap_or(1).max(1), until.unwrap_or(u64::MAX)));
        Ok(Self { labels, time })
    }
}

/// Milliseconds since 1970; of a date its begin, or with `end` that of the next day.
fn instant(text: &str, end: bool) -> Result<u64, OpError> {
    const DAY_MS: u64 = 86_400_000;
    let parsed = crate::record::parse_time_text(text);
    let at = parsed.and_then(|at| u64::try_from(at.instant.timestamp_millis()).ok()).ok_or_else(|| {
        let hint = "write a date, `2026-01-31`, or RFC 3339, `2026-01-31T08:00:00Z`";
        OpError::new(ErrorKind::Usage, format!("`{text}` is no time"), hint)
    })?;
    Ok(if end && text.len() == "2026-01-31".len() { at + DAY_MS } else { at })
}

/// Scores and numbers of the best rows, the best first.
fn rows(
    opened: &Opened,
    asked: &BTreeSet<String>,
    k: usize,
    filter: &Limits,
) -> Result<Vec<(f32, u64)>, TantivyError> {
    let (searcher, fields) = (&opened.searcher, &opened.fields);
    let mut terms = Vec::with_capacity(asked.len());
    for word in asked {
        let term = Term::from_field_text(fields.text, word);
        match searcher.doc_freq(&term)? {
            0 => {}
            rows => terms.push((rows, term)),
        }
    }
    // Rare words tell more; among as many, the order of words.
    terms.sort_by_key(|(rows, _)| *rows);
    terms.truncate(WORDS_MAX);
    if terms.is_empty() {
        return Ok(Vec::new());
    }
    let any: Vec<Box<dyn Query>> = terms
        .into_iter()
        .map(|(_, term)| Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)) as Box<dyn Query>)
        .collect();
    let query = limited(BooleanQuery::union(any), fields, filter);
    let weight = query.weight(EnableScoring::enabled_from_searcher(searcher))?;
    let mut best: Vec<(f32, u64)> = Vec::new();
    for (number, segment) in (0..).zip(searcher.segment_readers()) {
        let collector = TopDocs::with_limit(k + SPARE).order_by_score();
        let found = collector.collect_segment(weight.as_ref(), number, segment)?;
        let numbers = segment.fast_fields().u64(index::ROW)?;
        for (score, address) in collector.merge_fruits(vec![found])? {
            let row = numbers.first(address.doc_id);
            let row = row.ok_or_else(|| TantivyError::InternalError("a document has no row".to_owned()))?;
            best.push((score, row));
        }
    }
    let step = |score: f32| (score * STEPS).round();
    best.sort_by(|a, b| step(b.0).total_cmp(&step(a.0)).then(a.1.cmp(&b.1)));
    best.truncate(k);
    Ok(best)
}

/// `any`, where all limits hold; they add nothing to scores.
fn limited(any: BooleanQuery, fields: &index::Fields, filter: &Limits) -> Box<dyn Query> {
    let mut limits: Vec<Box<dyn Query>> = Vec::new();
    for label in &filter.labels {
        let term = Term::from_field_text(fields.label, label);
        limits.push(Box::new(TermQuery::new(term, IndexRecordOption::Basic)));
    }
    if let Some((since, until)) = filter.time {
        limits.push(Box::new(RangeQuery::new(
            Bound::Included(Term::from_field_u64(fields.time, since)),
            Bound::Excluded(Term::from_field_u64(fields.time, until)),
        )));
    }
    if limits.is_empty() {
        return Box::new(any);
    }
    let without_score = |limit| (Occur::Must, Box::new(ConstScoreQuery::new(limit, 0.0)) as Box<dyn Query>);
    let mut parts: Vec<(Occur, Box<dyn Query>)> = vec![(Occur::Must, Box::new(any))];
    parts.extend(limits.into_iter().map(without_score));
    Box::new(BooleanQuery::new(parts))
}
