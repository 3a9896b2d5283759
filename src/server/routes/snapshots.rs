//! Snapshots: the rows of a dataset as files, by the root of its tree; and from a revision to the root.
//!
//! Rests on `ops::delivery`. Invariants: only snapshots that a ref reaches are given; what is named by a root never changes;
//! what is named by a revision says so, and sends the client to the root.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{Gives, Param, Route, always, id, now, of};
use crate::object::{CommitId, RootId};
use crate::ops::delivery::receipted::{self, Receipted};
use crate::ops::delivery::shelf::unknown_format;
use crate::ops::delivery::{Format, columns};
use crate::ops::{OpError, Silent};
use crate::server::answers::{DigestAnswer, FileLine, SnapshotAnswer};
use crate::server::app::{Shared, job};
use crate::server::body::{Source, Whole, give};
use crate::server::problem::{Named, Problem, Usable as _};
use crate::server::range::Asked;
use crate::server::tokens::Scope;
use crate::tree;

const ROOT: Param = Param {
    name: "root",
    place: "path",
    describes: "The root id of the dataset, 64 lower-case hexadecimal digits",
};
const DATASET: Param = Param {
    name: "dataset",
    place: "query",
    describes: "The dataset's full name; needed for the Parquet of an empty dataset only, whose root others share",
};

pub const ROUTES: fn() -> Vec<Route> = || {
    vec![
        Route {
            method: "get",
            path: "/v1/snapshots/{root}",
            summary: "What a snapshot is, and the files it can be had as",
            details: "",
            scope: Scope::Read,
            params: &[ROOT, DATASET],
            body: None,
            gives: Gives::Json("distill.snapshot.v1", of::<SnapshotAnswer>),
            handler: || get(snapshot),
        },
        Route {
            method: "get",
            path: "/v1/snapshots/{root}/{file}",
            summary: "The rows of a snapshot as a file",
            details: "`rows.jsonl` is each row's exact bytes and one line feed, in key order: its BLAKE3 and SHA-256 are those of \
                      the export's receipt, and stand in `Distill-BLAKE3` and `Repr-Digest`. `rows.jsonl.zst` and \
                      `rows.parquet` are made when they are first asked for, which may take a while.",
            scope: Scope::Read,
            params: &[
                ROOT,
                Param {
                    name: "file",
                    place: "path",
                    describes: "`rows.jsonl`, `rows.jsonl.zst` or `rows.parquet`",
                },
                DATASET,
                Param { name: "Range", place: "header", describes: "One range of bytes" },
            ],
            body: None,
            gives: Gives::Exact("application/x-ndjson"),
            handler: || get(file),
        },
        Route {
            method: "get",
            path: "/v1/snapshots/{root}/proof",
            summary: "Proves that a key is, or is not, in a snapshot",
            details: "The nodes on the path, whose texts hash to the ids that name them, from the root on.",
            scope: Scope::Read,
            params: &[ROOT, Param { name: "key", place: "query", describes: "The record key" }],
            body: None,
            gives: Gives::Plain("application/json"),
            handler: || get(proof),
        },
        Route {
            method: "get",
            path: "/v1/datasets/{rev}/{dataset}/{file}",
            summary: "The rows of a revision's dataset: a redirection to the file of its snapshot",
            details: "",
            scope: Scope::Read,
            params: &[
                Param { name: "rev", place: "path", describes: "A revision, percent-encoded" },
                Param { name: "dataset", place: "path", describes: "Such as `sft`, or `exports%2Fsft`" },
                Param {
                    name: "file",
                    place: "path",
                    describes: "`rows.jsonl`, `rows.jsonl.zst` or `rows.parquet`",
                },
            ],
            body: None,
            gives: Gives::Elsewhere,
            handler: || get(of_revision),
        },
        Route {
            method: "get",
            path: "/v1/digests/{digest}",
            summary: "The export whose JSONL has this digest",
            details: "",
            scope: Scope::Read,
            params: &[Param {
                name: "digest",
                place: "path",
                describes: "BLAKE3 or SHA-256, 64 lower-case hexadecimal digits",
            }],
            body: None,
            gives: Gives::Json("distill.digest.v1", of::<DigestAnswer>),
            handler: || get(by_digest),
        },
    ]
};

#[derive(Deserialize)]
struct Which {
    dataset: Option<String>,
}

/// The snapshot `root`, where a ref reaches it, and a commit that has it.
async fn find(app: &Shared, root: RootId, dataset: Option<String>) -> Result<(Receipted, CommitId), Problem> {
    let found = job(app, move |app| {
        let dataset = dataset.as_deref();
        Ok(app.with_catalog(|catalog| {
            let commit_id = catalog.place(root, dataset).map(|place| place.commit_id);
            Ok(catalog.describe(&app.repo, root, dataset)?.zip(commit_id))
        })?)
    })
    .await?;
    found.ok_or_else(|| Problem::not_found(format!("no ref reaches a dataset with the root {root}")))
}

async fn snapshot(
    State(app): State<Shared>,
    Named(root): Named<String>,
    query: Result<Query<Which>, QueryRejection>,
) -> Result<Response, Problem> {
    let Which { dataset } = query.usable()?;
    let root = RootId::new(id(&root)?);
    let (snapshot, commit_id) = find(&app, root, dataset).await?;
    let has_columns = columns::columns(&snapshot.dataset).is_some();
    let files = (Format::ALL.into_iter())
        .filter(|format| *format != Format::Parquet || has_columns)
        .map(|format| FileLine {
            format,
            writer: format.writer(),
            path: path_of(root, &snapshot, format),
            digests: if format == Format::Jsonl { snapshot.jsonl.clone() } else { None },
        })
        .collect();
    now("distill.snapshot.v1", &SnapshotAnswer { snapshot, commit_id, files })
}

fn path_of(root: RootId, snapshot: &Receipted, format: Format) -> String {
    let mut path = format!("/v1/snapshots/{root}/rows.{}", format.ending());
    if snapshot.rows == 0 {
        path.push_str(&format!("?dataset={}", utf8_percent_encode(&snapshot.dataset, NON_ALPHANUMERIC)));
    }
    path
}

fn format_of(file: &str) -> Result<Format, Problem> {
    let ending = file.strip_prefix("rows.").unwrap_or(file);
    let format = file.strip_prefix("rows.").and_then(Format::of_ending);
    format.ok_or_else(|| Problem::from(unknown_format(ending)).of_a_name())
}

async fn file(
    State(app): State<Shared>,
    Named((root, file)): Named<(String, String)>,
    query: Result<Query<Which>, QueryRejection>,
    asked: Asked,
) -> Result<Response, Problem> {
    let Which { dataset } = query.usable()?;
    let root = RootId::new(id(&root)?);
    let format = format_of(&file)?;
    let (snapshot, _) = find(&app, root, dataset).await?;
    let short = snapshot.dataset.rsplit('/').next().unwrap_or("rows").to_owned();
    let mut whole = Whole {
        etag: format!("\"{root}-{}-{}\"", format.ending(), format.writer()),
        bytes: snapshot.jsonl_bytes,
        media_type: format.media_type(),
        blake3: snapshot.jsonl.as_ref().map(|digests| digests.blake3.to_string()),
        sha256: snapshot.jsonl.as_ref().map(|digests| digests.sha256.clone()),
        root: Some(root),
        file_name: Some(format!("{short}-{}.{}", root.object().short(12), format.ending())),
    };
    if format == Format::Jsonl {
        return give(&app, &asked, whole, Source::Rows(root)).await;
    }
    let dataset = snapshot.dataset;
    let shelved = {
        let _one = app.makers.acquire().await;
        job(&app, move |app| Ok(app.shelf.file(app.repo.store(), root, &dataset, format, &Silent)?)).await?
    };
    whole.bytes = shelved.digests.bytes;
    whole.blake3 = Some(shelved.digests.blake3.to_string());
    whole.sha256 = Some(shelved.digests.sha256);
    // Two datasets with one root are both empty, and their Parquet differs: so does its name.
    whole.etag = format!("\"{root}-{}-{}-{short}\"", format.ending(), format.writer());
    give(&app, &asked, whole, Source::File(shelved.path)).await
}

#[derive(serde::Serialize)]
struct Nodes {
    nodes: Vec<String>,
}

#[derive(Deserialize)]
struct OfKey {
    key: String,
}

async fn proof(
    State(app): State<Shared>,
    Named(root): Named<String>,
    query: Result<Query<OfKey>, QueryRejection>,
) -> Result<Response, Problem> {
    let OfKey { key } = query.usable()?;
    let root = RootId::new(id(&root)?);
    find(&app, root, None).await?;
    let proof =
        job(&app, move |app| Ok(tree::prove(app.repo.store(), root, &key).map_err(OpError::from)?)).await?;
    always(tree::Proof::SCHEMA, &Nodes { nodes: proof.nodes })
}

async fn of_revision(
    State(app): State<Shared>,
    Named((rev, dataset, file)): Named<(String, String, String)>,
) -> Result<Response, Problem> {
    let format = format_of(&file)?;
    let found = job(&app, move |app| {
        let repo = app.fresh()?;
        let commit_id = repo.resolve(&rev).map_err(OpError::from)?;
        let commit = repo.commit(commit_id).map_err(OpError::from)?;
        Ok(receipted::dataset(repo.store(), commit_id, &commit, &dataset)?)
    })
    .await
    .map_err(Problem::of_a_name)?;
    let target = path_of(found.root, &found, format);
    let location = HeaderValue::from_str(&target).unwrap_or(HeaderValue::from_static("/"));
    let headers =
        [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    Ok((axum::http::StatusCode::TEMPORARY_REDIRECT, headers).into_response())
}

async fn by_digest(State(app): State<Shared>, Named(digest): Named<String>) -> Result<Response, Problem> {
    let digest = id(&digest)?.to_string();
    let asked = digest.clone();
    let root =
        job(&app, move |app| Ok(app.with_catalog(|catalog| catalog.by_digest(&app.repo, &asked))?)).await?;
    let root = root
        .ok_or_else(|| Problem::not_found(format!("no export that a ref reaches has the digest {digest}")))?;
    now("distill.digest.v1", &DigestAnswer { digest, root })
}
