//! What can be asked: one table, from which the router and the API document are made.
//!
//! Rests on the handlers below. Invariants: a route that is not in the table does not exist; every request passes the same
//! door: the name it is asked under, the token, the wait for an answer, the counters.

mod ask;
mod data;
mod meta;
mod push;
mod snapshots;

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use schemars::{Schema, SchemaGenerator};
use tokio::time::timeout;

use super::app::Shared;
use super::body::with_room;
use super::problem::{Logged, Problem};
use super::tokens::Scope;

/// One thing that can be asked.
pub struct Route {
    /// `get`, `post`, `put`.
    pub method: &'static str,
    /// Its pattern.
    pub path: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// More about it; may be empty.
    pub details: &'static str,
    /// What a client must be allowed to.
    pub scope: Scope,
    /// What it takes besides a body.
    pub params: &'static [Param],
    /// The JSON body that it takes.
    pub body: Option<fn(&mut SchemaGenerator) -> Schema>,
    /// What it gives.
    pub gives: Gives,
    /// The handler.
    pub handler: fn() -> MethodRouter<Shared>,
}

/// A parameter.
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// `path`, `query` or `header`.
    pub place: &'static str,
    /// What it means.
    pub describes: &'static str,
}

/// What a route gives when all is well.
pub enum Gives {
    /// A JSON object of this schema.
    Json(&'static str, fn(&mut SchemaGenerator) -> Schema),
    /// Exact bytes of this media type, with ranges and a strong `ETag`.
    Exact(&'static str),
    /// Text or bytes of this media type.
    Plain(&'static str),
    /// A redirection to another route.
    Elsewhere,
}

/// The schema of a type.
pub fn of<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Every route.
pub fn table() -> Vec<Route> {
    [meta::ROUTES, data::ROUTES, snapshots::ROUTES, ask::ROUTES, push::ROUTES]
        .into_iter()
        .flat_map(|routes| routes())
        .collect()
}

/// What may take long before an answer begins: files and indexes that are made, packs that are sent and verified. Each of
/// them limits in its own way what a slow client can hold.
const SLOW: [&str; 4] =
    ["/v1/snapshots/{root}/{file}", "/v1/corpora/{name}/search", "/v1/quarantine/{id}", "/v1/push"];

/// The router of all routes.
pub fn router(app: &Shared) -> Router {
    let mut router = Router::new();
    for route in table() {
        let scope = route.scope;
        let wait = (!SLOW.contains(&route.path)).then_some(app.limits.answer_wait);
        let has_body = route.body.is_some();
        let handler = (route.handler)().layer(from_fn_with_state(
            Shared::clone(app),
            move |State(app): State<Shared>, request: Request, next: Next| async move {
                let sent = request.headers().get(header::AUTHORIZATION).cloned();
                if let Err(problem) = allowed(&app, sent.as_ref(), scope).await {
                    return problem.into_response();
                }
                let _room = if has_body {
                    let bytes_max = app.limits.body_bytes_max as u64;
                    let announced = request.body().size_hint().upper().unwrap_or(bytes_max).min(bytes_max);
                    match app.bodies.now(announced) {
                        Some(room) => Some(room),
                        None => return Problem::busy("the request's body").into_response(),
                    }
                } else {
                    None
                };
                in_time(wait, has_body, next.run(request)).await
            },
        ));
        router = router.route(route.path, handler);
    }
    router
        .fallback(|| async { Problem::not_found("there is no such address") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this address cannot be asked this way",
                "`/openapi.json` says how",
            )
        })
        .layer(DefaultBodyLimit::max(app.limits.body_bytes_max))
        .layer(from_fn_with_state(Shared::clone(app), door))
        .with_state(Shared::clone(app))
}

/// The answer, if it begins in time; a client that does not send the body it announced is waited for no longer either.
async fn in_time(wait: Option<Duration>, has_body: bool, answer: impl Future<Output = Response>) -> Response {
    let Some(wait) = wait else { return answer.await };
    timeout(wait, answer).await.unwrap_or_else(|_| {
        let message = format!("there was no answer within {} s", wait.as_secs());
        // Where there was nothing to wait for from the client, it is the server that was too slow.
        let status = if has_body { StatusCode::REQUEST_TIMEOUT } else { StatusCode::SERVICE_UNAVAILABLE };
        Problem::new(status, message, "send the request as a whole, or ask for less").into_response()
    })
}

/// What every request passes.
async fn door(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let said = hosts.next().and_then(|host| host.to_str().ok());
    // An address with a name in it goes before the header, as for a proxy.
    let host = request.uri().authority().map(Authority::as_str).or(said);
    let mut response = if hosts.next().is_some() {
        Problem::new(StatusCode::BAD_REQUEST, "the request names two hosts", "send one `Host`")
            .into_response()
    } else if app.hosts.has(host) {
        next.run(request).await
    } else {
        let hint = "ask it as localhost or 127.0.0.1, or start it with `--host NAME`";
        Problem::new(StatusCode::MISDIRECTED_REQUEST, "this server is not asked under that name", hint)
            .into_response()
    };
    if let Some(Logged(words)) = response.extensions().get::<Logged>() {
        app.note(format!("{method} {route} {words}"));
    }
    response = with_room(&app, response);
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    let known = matches!(method, Method::GET | Method::HEAD | Method::POST | Method::PUT);
    let method = if known { method.as_str() } else { "other" };
    app.metrics.answered(method, &route, response.status().as_u16(), began.elapsed());
    response
}

/// Whether the client may ask this.
async fn allowed(app: &Shared, sent: Option<&HeaderValue>, wanted: Scope) -> Result<(), Problem> {
    let has = match sent.map(HeaderValue::as_bytes) {
        None => Some(app.tokens.scope_without()),
        Some(value) => bearer(value).and_then(|token| app.tokens.scope_of(token)),
    };
    let has = match has {
        Some(has) if wanted <= has => return Ok(()),
        Some(Scope::None) | None if wanted == Scope::None => return Ok(()),
        has => has,
    };
    app.metrics.unauthorized.inc();
    // Guessing is slow.
    tokio::time::sleep(Duration::from_millis(200)).await;
    Err(match has {
        Some(Scope::Read) if sent.is_some() || !app.tokens.may_write() => Problem::new(
            StatusCode::FORBIDDEN,
            "this needs a token with the scope `write`",
            "ask whoever keeps the server for one",
        ),
        _ => Problem::new(
            StatusCode::UNAUTHORIZED,
            "this needs a token that the server knows",
            "send it as `Authorization: Bearer TOKEN`",
        ),
    })
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// `schema` and the body, as every JSON answer is.
#[derive(serde::Serialize)]
struct Answer<'a, T> {
    schema: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

/// A JSON answer of the state of this moment.
fn now<T: serde::Serialize>(schema: &str, body: &T) -> Result<Response, Problem> {
    json(schema, body, "no-cache")
}

/// A JSON answer that can be kept for ever.
fn always<T: serde::Serialize>(schema: &str, body: &T) -> Result<Response, Problem> {
    json(schema, body, "public, max-age=31536000, immutable")
}

fn json<T: serde::Serialize>(schema: &str, body: &T, cache: &'static str) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(&Answer { schema, body }).map_err(|error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the answer has no JSON form: {error}"), "")
    })?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
    ];
    Ok((headers, bytes).into_response())
}

/// An id of 64 lower-case digits; nothing else reaches the store.
fn id(text: &str) -> Result<crate::object::ObjectId, Problem> {
    text.parse().map_err(|error: crate::object::ParseIdError| {
        Problem::new(StatusCode::NOT_FOUND, error.to_string(), "write all 64 digits, in lower case")
    })
}
