//! Taking packs and moving refs, for whoever holds a token to write.
//!
//! Rests on `ops::receive`, which verifies and publishes. Invariants: what arrives lies in quarantine, under its hash, and is
//! no part of the store until a push names it; a pack whose bytes do not hash to its name is not kept; an upload that is too
//! slow or too long is ended.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, HttpBody as _};
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{post, put};
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::{Gives, Param, Route, id, now, of};
use crate::object::ObjectId;
use crate::ops::quarantine::{Begun, Quarantine};
use crate::ops::receive::receive;
use crate::ops::{ErrorKind, OpError};
use crate::server::answers::{Current, Push, Pushed, Quarantined};
use crate::server::app::{Shared, job};
use crate::server::problem::{Named, Problem, Usable as _};
use crate::server::tokens::Scope;

const PACK: Param = Param {
    name: "id",
    place: "path",
    describes: "BLAKE3-256 of the pack's bytes, 64 lower-case hexadecimal digits",
};

pub const ROUTES: fn() -> Vec<Route> = || {
    vec![
        Route {
            method: "put",
            path: "/v1/quarantine/{id}",
            summary: "Bring a pack, which is kept apart until a push names it",
            details: "The body is the pack's bytes. Bringing it again changes nothing.",
            scope: Scope::Write,
            params: &[PACK],
            body: None,
            gives: Gives::Json("distill.quarantined.v1", of::<Quarantined>),
            handler: || put(bring),
        },
        Route {
            method: "get",
            path: "/v1/quarantine/{id}",
            summary: "Whether a pack is in quarantine",
            details: "",
            scope: Scope::Write,
            params: &[PACK],
            body: None,
            gives: Gives::Json("distill.quarantined.v1", of::<Quarantined>),
            handler: || axum::routing::get(is_there),
        },
        Route {
            method: "post",
            path: "/v1/push",
            summary: "Verify packs in quarantine, take them into the store and move refs",
            details: "All of it or nothing. 409 where a ref is not what the push says it is, with what it is; 422 where \
                      something does not verify or is missing.",
            scope: Scope::Write,
            params: &[],
            body: Some(of::<Push>),
            gives: Gives::Json("distill.pushed.v1", of::<Pushed>),
            handler: || post(push),
        },
    ]
};

fn quarantine(app: &Shared) -> Quarantine {
    Quarantine::of(&app.repo)
}

async fn is_there(State(app): State<Shared>, Named(name): Named<String>) -> Result<Response, Problem> {
    let id = id(&name)?;
    let path = quarantine(&app).path(id);
    let bytes = tokio::task::spawn_blocking(move || path.metadata().map(|meta| meta.len())).await;
    match bytes {
        Ok(Ok(bytes)) => now("distill.quarantined.v1", &Quarantined { id, bytes }),
        _ => Err(Problem::not_found(format!("pack {id} is not in quarantine"))),
    }
}

async fn bring(
    State(app): State<Shared>,
    Named(name): Named<String>,
    body: Body,
) -> Result<Response, Problem> {
    let id = id(&name)?;
    let announced = body.size_hint().lower();
    if announced > app.limits.pack_bytes_max {
        return Err(too_long(&app));
    }
    let place = job(&app, move |app| Ok(quarantine(app).begin(id, announced)?)).await?;
    let tmp = match place {
        Begun::There(bytes) => return created(id, bytes),
        // A client that goes before its end leaves nothing.
        Begun::At(tmp) => tmp,
    };
    take(&app, tmp.path(), body).await?;
    let bytes = job(&app, move |app| Ok(quarantine(app).keep(id, &tmp)?)).await.map_err(unverified)?;
    created(id, bytes)
}

fn too_long(app: &Shared) -> Problem {
    let message = format!("a pack of more than {} bytes is not taken", app.limits.pack_bytes_max);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message, "send smaller packs")
}

fn created(id: ObjectId, bytes: u64) -> Result<Response, Problem> {
    let answer = now("distill.quarantined.v1", &Quarantined { id, bytes })?;
    Ok((StatusCode::CREATED, answer).into_response())
}

/// Writes a body to a file, as long as it keeps coming.
async fn take(app: &Shared, tmp: &Path, body: Body) -> Result<(), Problem> {
    let cannot = |e: &std::io::Error| Problem::from(OpError::io("write", tmp, e));
    let mut file = tokio::fs::File::create(tmp).await.map_err(|e| cannot(&e))?;
    let mut pieces = body.into_data_stream();
    let limits = app.limits;
    let (mut total, mut in_window) = (0_u64, 0_u64);
    let mut window = tokio::time::Instant::now() + limits.window;
    loop {
        let next = timeout(limits.window, pieces.next()).await;
        let slow = || Problem::new(StatusCode::REQUEST_TIMEOUT, "the pack came too slowly", "bring it again");
        match next.map_err(|_| slow())? {
            None => break,
            Some(Err(error)) => {
                let message = format!("the pack did not arrive whole: {error}");
                return Err(Problem::new(StatusCode::BAD_REQUEST, message, "bring it again"));
            }
            Some(Ok(piece)) => {
                total += piece.len() as u64;
                in_window += piece.len() as u64;
                if total > limits.pack_bytes_max {
                    return Err(too_long(app));
                }
                file.write_all(&piece).await.map_err(|e| cannot(&e))?;
            }
        }
        if tokio::time::Instant::now() >= window {
            if in_window < limits.window_bytes {
                return Err(slow());
            }
            in_window = 0;
            window = tokio::time::Instant::now() + limits.window;
        }
    }
    file.sync_all().await.map_err(|e| cannot(&e))
}

/// What does not verify is the client's to answer for, and is named to it.
fn unverified(mut problem: Problem) -> Problem {
    if problem.error.kind == ErrorKind::Damaged {
        problem.status = StatusCode::UNPROCESSABLE_ENTITY;
    }
    problem
}

async fn push(
    State(app): State<Shared>,
    push: Result<Json<Push>, JsonRejection>,
) -> Result<Response, Problem> {
    let push = push.usable()?;
    if push.schema != "distill.push.v1" {
        let message = format!("`{}` is not distill.push.v1", push.schema);
        return Err(Problem::new(StatusCode::BAD_REQUEST, message, "`/openapi.json` describes the body"));
    }
    let names: Vec<String> = push.ref_changes.iter().map(|change| change.name.clone()).collect();
    let outcome = job(&app, move |app| {
        let repo = app.fresh()?;
        let quarantine = quarantine(app);
        let (mut lent, mut seen) = (Vec::new(), BTreeSet::new());
        for id in push.packs.iter().filter(|id| seen.insert(**id)) {
            match quarantine.lend(*id)? {
                Some(pack) => lent.push(pack),
                // Another push has brought it meanwhile.
                None if repo.store().holds_pack(id) => {}
                None => {
                    let message = format!("pack {id} is not in quarantine");
                    return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, message, "bring it first"));
                }
            }
        }
        let packs: Vec<PathBuf> = lent.iter().map(|pack| pack.path().to_owned()).collect();
        let received = receive(repo, &packs, &push.ref_changes, push.message, &app.clock).map_err(|no| {
            let problem = Problem::from(no.error);
            if no.is_senders { unverified(problem) } else { problem }
        })?;
        quarantine.drop_packs(&push.packs);
        Ok(Pushed { operation: received.operation, objects: received.objects })
    })
    .await;
    match outcome {
        Ok(pushed) => now("distill.pushed.v1", &pushed),
        Err(mut problem) => {
            if problem.error.kind == ErrorKind::Refused {
                let current = current(&app, names).await?;
                problem.more = Some(serde_json::json!({ "refs": current }));
            }
            Err(problem)
        }
    }
}

/// What refs of these names are now.
async fn current(app: &Shared, names: Vec<String>) -> Result<Current, Problem> {
    job(&Arc::clone(app), move |app| {
        let store = app.fresh()?.store();
        Ok(names.into_iter().map(|name| (name.clone(), store.get_ref(&name))).collect())
    })
    .await
}
