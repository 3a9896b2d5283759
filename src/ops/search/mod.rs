//! `search`: the rows of a RAG snapshot that answer a question best, by BM25.
//!
//! Rests on the index, which is a cache, and on the store, from which every hit is read. Invariants: the same snapshot and question
//! give the same rows in the same order on every machine; what is returned was hashed on the way and is a row of the snapshot,
//! whatever the index says; a damaged index is built again and never an error.

mod frozen;
mod index;
mod rank;
mod recall;
mod token;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use lru::LruCache;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::panics::caught;
use crate::object::{CommitId, Find as _, ObjectId, OdbError, RootId};
use crate::ops::search::index::Opened;
use crate::ops::{ErrorKind, OpError, Progress};
use crate::record::{Category, RagSample, Record as _};
use crate::repo::{Repo, Target};
use crate::tree::{self, Entry};

pub use recall::{Recall, RecallOptions, StreamRecall, recall};

/// The dataset that is searched.
pub const DATASET: &str = "exports/rag";
/// Hits, where nobody says how many.
pub const HITS_DEFAULT: usize = 10;
/// Hits at most.
pub const HITS_MAX: usize = 1000;
/// Rows that are kept once they were read …
const KEPT_ROWS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(8191);
/// … where they are not longer than this.
const KEPT_BYTES_MAX: u64 = 16 << 10;

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
    /// Rows that were read, by number: they were hashed then, and the snapshot does not change.
    kept: Mutex<LruCache<u64, (Entry, RagSample)>>,
}

impl Searcher {
    /// Opens the index of `corpus`, building it where there is none.
    ///
    /// # Errors
    /// When the snapshot cannot be read or the index cannot be written.
    pub fn open(repo: &Repo, corpus: Corpus, progress: &dyn Progress) -> Result<Self, OpError> {
        let index = index::open_or_build(repo, corpus.root, progress)?;
        let kept = Mutex::new(LruCache::new(KEPT_ROWS));
        Ok(Self { repo: repo.clone(), corpus, index: RwLock::new(Arc::new(index)), kept })
    }

    /// What is searched.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// Whether `text` has a word that can be looked up: neither marks nor words beyond the longest are.
    pub(crate) fn has_word(text: &str) -> bool {
        let mut found = false;
        token::words(text, &mut |_| found = true);
        found
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
            match caught(|| rank::rows(&opened, &asked, k, &filter)) {
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

    /// The rows as the snapshot has them; `None` where the index names rows that it has not.
    fn read(&self, rows: Vec<(f32, u64)>) -> Result<Option<Vec<Hit>>, OpError> {
        let mut found: Vec<Option<(Entry, RagSample)>> = {
            let mut kept = self.kept();
            rows.iter().map(|(_, row)| kept.get(row).cloned()).collect()
        };
        let missing: Vec<usize> = (0..rows.len()).filter(|at| found[*at].is_none()).collect();
        let numbers: Vec<u64> = missing.iter().map(|at| rows[*at].1).collect();
        let store = self.repo.store();
        let Some(entries) = tree::nth_many(store, self.corpus.root, &numbers)? else { return Ok(None) };
        let ids: Vec<ObjectId> = entries.iter().map(|entry| entry.id).collect();
        for ((at, entry), bytes) in missing.into_iter().zip(entries).zip(store.try_find_many(&ids)?) {
            let bytes = bytes.ok_or(OdbError::NotFound { id: entry.id })?;
            let row = RagSample::parse(&bytes)?;
            if entry.bytes <= KEPT_BYTES_MAX {
                self.kept().put(rows[at].1, (entry.clone(), row.clone()));
            }
            found[at] = Some((entry, row));
        }
        let hits = rows.into_iter().zip(found).enumerate().filter_map(|(place, ((score, _), found))| {
            let (entry, row) = found?;
            Some(Hit { rank: place + 1, score, key: entry.key, id: entry.id, row })
        });
        Ok(Some(hits.collect()))
    }

    fn kept(&self) -> MutexGuard<'_, LruCache<u64, (Entry, RagSample)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
