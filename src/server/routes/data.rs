//! The store's own things: refs, objects, packs, operations.
//!
//! Rests on the store. Invariants: an object is hashed on its way out; an address that is not 64 lower-case digits reaches no
//! file; what names itself by its hash may be kept for ever.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use super::{Gives, Param, Route, id, now, of};
use crate::object::{CommitId, Exists as _, Find as _, ObjectId};
use crate::ops::OpError;
use crate::ops::delivery::Digester;
use crate::repo::Repo;
use crate::server::answers::{Ids, LastOperation, MissingAnswer, PackLine, PackList, RefLine, RefList};
use crate::server::app::{Shared, job};
use crate::server::body::{HasRoom, Source, Whole, frames, give, held};
use crate::server::problem::{Named, Problem, Usable as _};
use crate::server::range::Asked;
use crate::server::tokens::Scope;
use crate::store::{Head, Operation};

/// How many ids may be asked about at once.
const MISSING_MAX: usize = 10_000;
/// How many objects may be asked for at once.
const BATCH_MAX: usize = 4096;

const OBJECT: Param = Param {
    name: "id",
    place: "path",
    describes: "BLAKE3-256 of the bytes, 64 lower-case hexadecimal digits",
};

pub const ROUTES: fn() -> Vec<Route> = || {
    vec![
        Route {
            method: "get",
            path: "/v1/refs",
            summary: "Branches, tags and runs, and where HEAD points",
            details: "",
            scope: Scope::Read,
            params: &[],
            body: None,
            gives: Gives::Json("distill.refs.v1", of::<RefList>),
            handler: || get(refs),
        },
        Route {
            method: "get",
            path: "/v1/objects/{id}",
            summary: "The exact bytes of an object",
            details: "`curl … | b3sum` prints the id.",
            scope: Scope::Read,
            params: &[OBJECT],
            body: None,
            gives: Gives::Exact("application/octet-stream"),
            handler: || get(object),
        },
        Route {
            method: "post",
            path: "/v1/objects/missing",
            summary: "Which of these objects the store has not",
            details: "At most 10,000 ids.",
            scope: Scope::Read,
            params: &[],
            body: Some(of::<Ids>),
            gives: Gives::Json("distill.missing.v1", of::<MissingAnswer>),
            handler: || post(missing),
        },
        Route {
            method: "post",
            path: "/v1/objects/batch",
            summary: "The exact bytes of several objects",
            details: "At most 4,096 ids. The answer is one frame for each, in their order: a byte (0 data, 1 tree node, 255 \
                      absent), the length as 8 bytes little-endian, the bytes. What fails on the way breaks the connection \
                      off.",
            scope: Scope::Read,
            params: &[],
            body: Some(of::<Ids>),
            gives: Gives::Plain("application/octet-stream"),
            handler: || post(batch),
        },
        Route {
            method: "get",
            path: "/v1/packs",
            summary: "The packs that the store consists of",
            details: "",
            scope: Scope::Read,
            params: &[],
            body: None,
            gives: Gives::Json("distill.packs.v1", of::<PackList>),
            handler: || get(packs),
        },
        Route {
            method: "get",
            path: "/v1/packs/{id}",
            summary: "A pack, byte for byte",
            details: "Packs are merged now and then: one that is gone (404) is in another of the list.",
            scope: Scope::Read,
            params: &[OBJECT],
            body: None,
            gives: Gives::Exact("application/octet-stream"),
            handler: || get(pack),
        },
        Route {
            method: "get",
            path: "/v1/ops/{number}",
            summary: "An entry of the operation log, byte for byte",
            details: "",
            scope: Scope::Read,
            params: &[Param { name: "number", place: "path", describes: "From 1" }],
            body: None,
            gives: Gives::Exact("application/json"),
            handler: || get(operation),
        },
    ]
};

fn last(repo: &Repo) -> Option<LastOperation> {
    repo.store().last_operation().map(|(number, id)| LastOperation { number, id })
}

async fn refs(State(app): State<Shared>) -> Result<Response, Problem> {
    let list = job(&app, |app| {
        let repo = app.fresh()?;
        let mut refs = Vec::new();
        for (name, id) in repo.store().refs() {
            let commit_id = if name.starts_with("tags/") {
                repo.tag(&id).map_err(OpError::from)?.target
            } else {
                CommitId::new(id)
            };
            refs.push(RefLine { name, id, commit_id });
        }
        let head = match repo.store().head() {
            Head::Branch(name) => Some(name),
            Head::Detached(_) => None,
        };
        Ok(RefList { head, head_commit: repo.head_commit(), operation: last(repo), refs })
    })
    .await?;
    now("distill.refs.v1", &list)
}

async fn object(
    State(app): State<Shared>,
    Named(name): Named<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    let id = id(&name)?;
    let len = job(&app, move |app| Ok(app.fresh()?.store().object_len(&id).map_err(OpError::from)?)).await?;
    // A long one waits until there is room for it.
    let room = match len {
        Some(len) if len > app.limits.held_bytes => app.answers.soon(len).await,
        _ => None,
    };
    let found = job(&app, move |app| {
        let bytes = app.repo.store().try_find(&id).map_err(OpError::from)?;
        Ok(bytes.map(|bytes| {
            let mut digester = Digester::default();
            digester.update(&bytes);
            (bytes, digester.finish())
        }))
    })
    .await?;
    let (bytes, digests) =
        found.ok_or_else(|| Problem::not_found(format!("object {id} is not in the store")))?;
    let whole = Whole {
        etag: format!("\"{id}\""),
        bytes: digests.bytes,
        media_type: "application/octet-stream",
        blake3: Some(id.to_string()),
        sha256: Some(digests.sha256),
        root: None,
        file_name: None,
    };
    // A short one is copied out of the block it shares with others, a long one has its block to itself.
    let bytes = if room.is_some() { held(bytes, room) } else { Bytes::copy_from_slice(&bytes) };
    let mut response = give(&app, &asked, whole, Source::Memory(bytes)).await?;
    response.extensions_mut().insert(HasRoom);
    Ok(response)
}

fn at_most(ids: &[ObjectId], max: usize) -> Result<(), Problem> {
    if ids.len() > max {
        let message = format!("{} ids are too many at once", ids.len());
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message, format!("ask for {max} at most")));
    }
    Ok(())
}

async fn missing(
    State(app): State<Shared>,
    ids: Result<Json<Ids>, JsonRejection>,
) -> Result<Response, Problem> {
    let Ids { ids } = ids.usable()?;
    at_most(&ids, MISSING_MAX)?;
    let missing = job(&app, move |app| {
        let store = app.fresh()?.store();
        let mut missing = Vec::new();
        for id in ids {
            if !store.exists(&id).map_err(OpError::from)? {
                missing.push(id);
            }
        }
        Ok(missing)
    })
    .await?;
    now("distill.missing.v1", &MissingAnswer { missing })
}

async fn batch(
    State(app): State<Shared>,
    ids: Result<Json<Ids>, JsonRejection>,
) -> Result<Response, Problem> {
    let Ids { ids } = ids.usable()?;
    at_most(&ids, BATCH_MAX)?;
    let frames = frames(&app, ids).await?;
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, frames).into_response())
}

async fn packs(State(app): State<Shared>) -> Result<Response, Problem> {
    let list = job(&app, |app| {
        let repo = app.fresh()?;
        let packs = (repo.store().packs().into_iter())
            .map(|pack| PackLine {
                id: pack.id,
                bytes: pack.bytes,
                objects: pack.objects,
                operation: pack.operation,
            })
            .collect();
        Ok(PackList { operation: last(repo), packs })
    })
    .await?;
    now("distill.packs.v1", &list)
}

async fn pack(
    State(app): State<Shared>,
    Named(name): Named<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    let id = id(&name)?;
    let found =
        job(&app, move |app| Ok(app.fresh()?.store().packs().into_iter().find(|pack| pack.id == id))).await?;
    let gone = || Problem::not_found(format!("there is no pack {id}"));
    let pack = found.ok_or_else(gone)?;
    if !pack.path.exists() {
        // Merged away between the look and now.
        return Err(gone());
    }
    let whole = Whole {
        etag: format!("\"{id}\""),
        bytes: pack.bytes,
        media_type: "application/octet-stream",
        blake3: Some(id.to_string()),
        sha256: None,
        root: None,
        file_name: Some(format!("{id}.pack")),
    };
    give(&app, &asked, whole, Source::File(pack.path)).await
}

async fn operation(
    State(app): State<Shared>,
    Named(number): Named<u64>,
    asked: Asked,
) -> Result<Response, Problem> {
    let found = job(&app, move |app| {
        let store = app.fresh()?.store();
        let confirmed = store.last_operation().is_some_and(|(last, _)| number <= last);
        if number == 0 || !confirmed {
            return Ok(None);
        }
        let path = store.dir().join("ops").join(Operation::file_name(number));
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpError::io("read", &path, &error).into()),
        }
    })
    .await?;
    let bytes = found.ok_or_else(|| Problem::not_found(format!("there is no operation {number}")))?;
    let id = ObjectId::of(&bytes);
    let whole = Whole {
        etag: format!("\"{id}\""),
        bytes: bytes.len() as u64,
        media_type: "application/json",
        blake3: Some(id.to_string()),
        sha256: None,
        root: None,
        file_name: None,
    };
    give(&app, &asked, whole, Source::Memory(Bytes::from(bytes))).await
}
