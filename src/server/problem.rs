//! A failure as an HTTP answer.
//!
//! Rests on [`OpError`], which carries the words. Invariant: what tells of this machine (paths of files, what is damaged
//! where) goes to the server's own log and not to the client.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ops::{ErrorKind, OpError};

/// A failure on its way to a client.
#[derive(Debug)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// What happened and what to do.
    pub error: OpError,
    /// More members of the answer.
    pub more: Option<serde_json::Value>,
}

/// The body of a failure, the same as the command line's with `--json`.
#[derive(Serialize, JsonSchema)]
pub struct ProblemAnswer {
    /// Always `distill.error.v1`.
    pub schema: &'static str,
    /// `usage`, `refused`, `outside` or `damaged`.
    pub kind: &'static str,
    /// What happened, to what, and why.
    pub message: String,
    /// What to do next; may be empty.
    pub hint: String,
}

impl Problem {
    /// A failure that the server itself finds.
    pub fn new(status: StatusCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let kind = match status {
            StatusCode::CONFLICT => ErrorKind::Refused,
            status if status.is_server_error() => ErrorKind::Outside,
            _ => ErrorKind::Usage,
        };
        Self { status, error: OpError::new(kind, message, hint), more: None }
    }

    /// There is no room in memory for it now.
    pub fn busy(what: &str) -> Self {
        let message = format!("{what} takes more memory than is free now");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message, "try again in a moment")
    }

    /// Nothing is called like this.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            message,
            "`/v1/refs` lists what there is, `/openapi.json` what can be asked",
        )
    }

    /// The same failure where what was asked for is named by the address: a name that means nothing is not found.
    #[must_use]
    pub fn of_a_name(mut self) -> Self {
        if self.status == StatusCode::BAD_REQUEST {
            self.status = StatusCode::NOT_FOUND;
        }
        self
    }
}

/// What an extractor found in a request, where it could not be used a failure like all others.
pub trait Usable<T> {
    /// The value.
    ///
    /// # Errors
    /// What is wrong with the request.
    fn usable(self) -> Result<T, Problem>;
}

fn unusable(status: StatusCode, words: String) -> Problem {
    Problem::new(status, words, "`/openapi.json` says what is taken")
}

impl<T> Usable<T> for Result<Json<T>, JsonRejection> {
    fn usable(self) -> Result<T, Problem> {
        self.map(|Json(body)| body).map_err(|no| unusable(no.status(), no.body_text()))
    }
}

impl<T> Usable<T> for Result<Query<T>, QueryRejection> {
    fn usable(self) -> Result<T, Problem> {
        self.map(|Query(query)| query).map_err(|no| unusable(no.status(), no.body_text()))
    }
}

/// The parts of an address that name something; where they cannot be read, nothing is called like this.
pub struct Named<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(no) => Err(unusable(StatusCode::NOT_FOUND, no.body_text())),
        }
    }
}

impl From<OpError> for Problem {
    fn from(error: OpError) -> Self {
        let status = match error.kind {
            ErrorKind::Usage => StatusCode::BAD_REQUEST,
            ErrorKind::Refused => StatusCode::CONFLICT,
            ErrorKind::Outside => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Damaged => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, error, more: None }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let private = self.status.is_server_error();
        let (message, hint) = match self.error.kind {
            ErrorKind::Damaged if private => (
                "stored data is damaged or missing".to_owned(),
                "ask whoever keeps the server to look at its log and to run `distill verify`".to_owned(),
            ),
            ErrorKind::Outside if private => {
                ("the server could not do it".to_owned(), "try again; the server's log says why".to_owned())
            }
            _ => (self.error.message.clone(), self.error.hint.clone()),
        };
        let answer =
            ProblemAnswer { schema: "distill.error.v1", kind: self.error.kind.as_str(), message, hint };
        let mut body = serde_json::to_value(&answer).unwrap_or_default();
        if let (Some(body), Some(serde_json::Value::Object(more))) = (body.as_object_mut(), self.more) {
            body.extend(more);
        }
        let mut response = (self.status, Json(body)).into_response();
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(header::CACHE_CONTROL, no_store);
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer realm=\"distill\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if private {
            // For the middleware, which logs it.
            response.extensions_mut().insert(Logged(format!(
                "{}: {}",
                self.status.as_u16(),
                self.error.message
            )));
        }
        response
    }
}

/// What the server's log says of a failure.
#[derive(Clone, Debug)]
pub struct Logged(pub String);
