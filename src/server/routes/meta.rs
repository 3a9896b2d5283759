//! About the server: its health, its counters, its API.
//!
//! Rests on `app`. Invariant: none of it tells anything of the data.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::{Gives, Param, Route, now, of};
use crate::record::schema_json;
use crate::server::answers::Health;
use crate::server::app::{Shared, job};
use crate::server::openapi;
use crate::server::problem::{Named, Problem};
use crate::server::tokens::Scope;

pub const ROUTES: fn() -> Vec<Route> = || {
    vec![
        Route {
            method: "get",
            path: "/healthz",
            summary: "Whether the server can read its store",
            details: "",
            scope: Scope::None,
            params: &[],
            body: None,
            gives: Gives::Json("distill.server_health.v1", of::<Health>),
            handler: || get(health),
        },
        Route {
            method: "get",
            path: "/metrics",
            summary: "Counters, as Prometheus reads them",
            details: "",
            scope: Scope::None,
            params: &[],
            body: None,
            gives: Gives::Plain("application/openmetrics-text; version=1.0.0; charset=utf-8"),
            handler: || get(metrics),
        },
        Route {
            method: "get",
            path: "/openapi.json",
            summary: "This document",
            details: "",
            scope: Scope::None,
            params: &[],
            body: None,
            gives: Gives::Plain("application/json"),
            handler: || get(document),
        },
        Route {
            method: "get",
            path: "/v1/schemas/{name}",
            summary: "The JSON Schema of a record",
            details: "",
            scope: Scope::None,
            params: &[Param {
                name: "name",
                place: "path",
                describes: "Such as `sft_sample` or `distill.sft_sample.v1`",
            }],
            body: None,
            gives: Gives::Plain("application/schema+json"),
            handler: || get(schema),
        },
    ]
};

async fn health(State(app): State<Shared>) -> Result<Response, Problem> {
    let operation =
        job(&app, |app| Ok(app.fresh()?.store().last_operation().map(|(number, _)| number))).await?;
    now("distill.server_health.v1", &Health { status: "ok", version: env!("CARGO_PKG_VERSION"), operation })
}

async fn metrics(State(app): State<Shared>) -> Response {
    // The number of the store's operation is of this moment.
    job(&app, |app| Ok(app.fresh().map(|_| ())?)).await.ok();
    typed("application/openmetrics-text; version=1.0.0; charset=utf-8", app.metrics.text())
}

async fn document() -> Response {
    typed("application/json", openapi::document().to_string())
}

async fn schema(Named(name): Named<String>) -> Result<Response, Problem> {
    let schema =
        schema_json(&name).ok_or_else(|| Problem::not_found(format!("there is no schema `{name}`")))?;
    Ok(typed("application/schema+json", schema.to_string()))
}

fn typed(media_type: &'static str, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}
