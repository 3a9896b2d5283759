//! Questions about history and rows, answered as the command line answers them with `--json`.
//!
//! Rests on `ops`. Invariant: nothing is computed here.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use super::{Gives, Param, Route, now, of};
use crate::ops::delivery::receipted;
use crate::ops::diff::{DiffReport, diff, pair};
use crate::ops::header::CommitHeader;
use crate::ops::log::{LogOptions, log};
use crate::ops::search::{Filter, Found, HITS_DEFAULT, Searcher, corpus};
use crate::ops::trace::{Trace, trace};
use crate::ops::{OpError, Silent};
use crate::server::answers::{CommitAnswer, CorpusLine, CorpusList, LogAnswer};
use crate::server::app::{Shared, job};
use crate::server::problem::{Named, Problem, Usable as _};
use crate::server::tokens::Scope;

/// How many commits a log gives where it is not said.
const LOG_USUAL: usize = 50;
/// How many it gives at most.
const LOG_MAX: usize = 1000;

pub const ROUTES: fn() -> Vec<Route> = || {
    vec![
        Route {
            method: "get",
            path: "/v1/commits/{rev}",
            summary: "A commit, its datasets, and the digests of its exports",
            details: "",
            scope: Scope::Read,
            params: &[Param {
                name: "rev",
                place: "path",
                describes: "A tag, branch, run, id, `HEAD`, `main~2` …, percent-encoded (`%2F` for `/`)",
            }],
            body: None,
            gives: Gives::Json("distill.commit_answer.v1", of::<CommitAnswer>),
            handler: || get(commit),
        },
        Route {
            method: "get",
            path: "/v1/log",
            summary: "The history behind a revision, the latest first",
            details: "As `distill log --json`.",
            scope: Scope::Read,
            params: &[
                Param {
                    name: "rev",
                    place: "query",
                    describes: "A revision or a range `A..B`; HEAD when left out",
                },
                Param {
                    name: "limit",
                    place: "query",
                    describes: "At most so many; 50 when left out, 1000 at most",
                },
            ],
            body: None,
            gives: Gives::Json("distill.log.v1", of::<LogAnswer>),
            handler: || get(history),
        },
        Route {
            method: "get",
            path: "/v1/diff",
            summary: "What is different between two commits",
            details: "As `distill diff A B --json`.",
            scope: Scope::Read,
            params: &[
                Param { name: "a", place: "query", describes: "A revision; HEAD when left out" },
                Param {
                    name: "b",
                    place: "query",
                    describes: "The later revision; when left out, `a` is compared with its first parent",
                },
                Param { name: "dataset", place: "query", describes: "Look at this dataset alone" },
            ],
            body: None,
            gives: Gives::Json("distill.diff.v1", of::<DiffReport>),
            handler: || get(difference),
        },
        Route {
            method: "get",
            path: "/v1/trace",
            summary: "Follow a row to the line that it was made from",
            details: "As `distill trace --json`: every hash on the way is computed again.",
            scope: Scope::Read,
            params: &[
                Param { name: "row", place: "query", describes: "The id of a row, or `REV:DATASET/KEY`" },
                Param {
                    name: "at",
                    place: "query",
                    describes: "The commit in which an id is looked up; HEAD when left out",
                },
            ],
            body: None,
            gives: Gives::Json("distill.trace.v1", of::<Trace>),
            handler: || get(follow),
        },
        Route {
            method: "get",
            path: "/v1/corpora",
            summary: "The corpora that the configuration names",
            details: "",
            scope: Scope::Read,
            params: &[],
            body: None,
            gives: Gives::Json("distill.corpora.v1", of::<CorpusList>),
            handler: || get(corpora),
        },
        Route {
            method: "get",
            path: "/v1/corpora/{name}/search",
            summary: "The rows of a RAG corpus that answer a question best",
            details: "As `distill search --json`: BM25. The first question of a snapshot builds its index.",
            scope: Scope::Read,
            params: &[
                Param {
                    name: "name",
                    place: "path",
                    describes: "A corpus of the configuration, or a revision such as `HEAD`",
                },
                Param { name: "q", place: "query", describes: "The question" },
                Param { name: "k", place: "query", describes: "How many rows; 10 when left out" },
                Param { name: "stream", place: "query", describes: "Rows of this stream only" },
                Param { name: "tag", place: "query", describes: "Rows with this tag only" },
                Param { name: "category", place: "query", describes: "`accepted` or `partially_accepted`" },
                Param {
                    name: "since",
                    place: "query",
                    describes: "Recorded then or later: a date or RFC 3339",
                },
                Param { name: "until", place: "query", describes: "Recorded before, or on this day" },
            ],
            body: None,
            gives: Gives::Json("distill.search.v1", of::<Found>),
            handler: || get(find_rows),
        },
    ]
};

async fn commit(State(app): State<Shared>, Named(rev): Named<String>) -> Result<Response, Problem> {
    let answer = job(&app, move |app| {
        let repo = app.fresh()?;
        let commit_id = repo.resolve(&rev).map_err(OpError::from)?;
        let commit = repo.commit(commit_id).map_err(OpError::from)?;
        let refs = repo.refs_at(commit_id).map_err(OpError::from)?;
        Ok(CommitAnswer {
            header: CommitHeader::new(commit_id, &commit, refs),
            metrics: repo.metrics(&commit).map_err(OpError::from)?,
            datasets: receipted::datasets(repo.store(), &commit)?,
        })
    })
    .await
    .map_err(Problem::of_a_name)?;
    now("distill.commit_answer.v1", &answer)
}

#[derive(Deserialize)]
struct LogQuery {
    rev: Option<String>,
    limit: Option<usize>,
}

async fn history(
    State(app): State<Shared>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let query = query.usable()?;
    let limit = query.limit.unwrap_or(LOG_USUAL).min(LOG_MAX);
    let options = LogOptions { rev: query.rev, limit: Some(limit), ..LogOptions::default() };
    let items = job(&app, move |app| Ok(log(app.fresh()?, &options)?)).await.map_err(Problem::of_a_name)?;
    now("distill.log.v1", &LogAnswer { items })
}

#[derive(Deserialize)]
struct DiffQuery {
    a: Option<String>,
    b: Option<String>,
    dataset: Option<String>,
}

async fn difference(
    State(app): State<Shared>,
    query: Result<Query<DiffQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let query = query.usable()?;
    let report = job(&app, move |app| {
        let repo = app.fresh()?;
        let DiffQuery { a, b, dataset } = query;
        let first = a.or_else(|| b.is_some().then(|| "HEAD".to_owned()));
        let pair = pair(repo, first.as_deref(), b.as_deref(), dataset.as_deref())?;
        Ok(diff(repo, &pair)?)
    })
    .await
    .map_err(Problem::of_a_name)?;
    now("distill.diff.v1", &report)
}

#[derive(Deserialize)]
struct TraceQuery {
    row: String,
    at: Option<String>,
}

async fn follow(
    State(app): State<Shared>,
    query: Result<Query<TraceQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let query = query.usable()?;
    let told = job(&app, move |app| Ok(trace(app.fresh()?, &query.row, query.at.as_deref())?))
        .await
        .map_err(Problem::of_a_name)?;
    now("distill.trace.v1", &told)
}

async fn corpora(State(app): State<Shared>) -> Result<Response, Problem> {
    let items = (app.repo.config().corpora.iter())
        .map(|(name, rev)| CorpusLine { name: name.clone(), rev: rev.clone() })
        .collect();
    now("distill.corpora.v1", &CorpusList { items })
}

#[derive(Deserialize)]
struct SearchQuery {
    q: String,
    k: Option<usize>,
    stream: Option<String>,
    tag: Option<String>,
    category: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

async fn find_rows(
    State(app): State<Shared>,
    Named(name): Named<String>,
    query: Result<Query<SearchQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let query = query.usable()?;
    let corpus = job(&app, move |app| {
        let repo = app.fresh()?;
        let is_configured = repo.config().corpora.contains_key(&name);
        let (name, at) =
            if is_configured { (Some(name.as_str()), None) } else { (None, Some(name.as_str())) };
        Ok(corpus(repo, name, at)?)
    })
    .await
    .map_err(Problem::of_a_name)?;
    let known = app.searchers.get(&corpus);
    let searcher = match known {
        Some(searcher) => searcher,
        None => {
            // An index is built by one at a time.
            let _one = app.makers.acquire().await;
            job(&app, move |app| {
                if let Some(searcher) = app.searchers.get(&corpus) {
                    return Ok(searcher);
                }
                let searcher = Arc::new(Searcher::open(&app.repo, corpus, &Silent)?);
                app.searchers.put(Arc::clone(&searcher));
                Ok(searcher)
            })
            .await?
        }
    };
    let found = job(&app, move |_| {
        let SearchQuery { q, k, stream, tag, category, since, until } = query;
        let filter = Filter { stream, tag, category, since, until };
        let items = searcher.search(&q, k.unwrap_or(HITS_DEFAULT), &filter)?;
        Ok(Found { corpus: searcher.corpus().clone(), query: q, items })
    })
    .await?;
    now("distill.search.v1", &found)
}
