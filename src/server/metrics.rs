//! What a server counts of itself, for Prometheus.
//!
//! Rests on `prometheus-client`. Invariant: labels come from the program (the route's pattern, the status), never from a
//! client, so that nobody can make their number grow or read another's questions in them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// One kind of request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Request {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    answer_seconds: Family<RouteLabel, Histogram, fn() -> Histogram>,
    /// Bytes of answers that were handed to connections.
    pub sent_bytes: Counter,
    /// Connections that are open.
    pub connections: Gauge,
    /// Connections that were taken.
    pub taken: Counter,
    /// Connections that ended with an error: a client that was too slow, broke off, or spoke no HTTP.
    pub broken: Counter,
    /// Requests with a token that nobody has, or without one where one is needed.
    pub unauthorized: Counter,
    /// The last operation of the store that was seen.
    pub operation: Gauge<u64, AtomicU64>,
    answered: AtomicU64,
}

fn seconds() -> Histogram {
    Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0])
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("distill");
        let metrics = Self {
            requests: Family::default(),
            answer_seconds: Family::new_with_constructor(seconds),
            sent_bytes: Counter::default(),
            connections: Gauge::default(),
            taken: Counter::default(),
            broken: Counter::default(),
            unauthorized: Counter::default(),
            operation: Gauge::default(),
            answered: AtomicU64::new(0),
            registry: Registry::default(),
        };
        registry.register("http_requests", "Requests that were answered", metrics.requests.clone());
        registry.register_with_unit(
            "http_answer",
            "Time until an answer began",
            Unit::Seconds,
            metrics.answer_seconds.clone(),
        );
        registry.register_with_unit(
            "http_sent",
            "Bodies of answers handed to connections",
            Unit::Bytes,
            metrics.sent_bytes.clone(),
        );
        registry.register("http_connections", "Connections that are open", metrics.connections.clone());
        registry.register("http_connections_taken", "Connections that were taken", metrics.taken.clone());
        registry.register(
            "http_connections_broken",
            "Connections that ended with an error",
            metrics.broken.clone(),
        );
        registry.register(
            "http_unauthorized",
            "Requests without the token that they need",
            metrics.unauthorized.clone(),
        );
        registry.register(
            "store_operation",
            "Number of the store's last operation",
            metrics.operation.clone(),
        );
        Self { registry, ..metrics }
    }

    /// Counts a request whose answer has begun.
    pub fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        let request = Request { method: method.to_owned(), route: route.to_owned(), status };
        self.requests.get_or_create(&request).inc();
        let label = RouteLabel { route: route.to_owned() };
        self.answer_seconds.get_or_create(&label).observe(took.as_secs_f64());
    }

    /// How many requests were answered.
    pub fn requests(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into memory does not fail.
        encode(&mut text, &self.registry).ok();
        text
    }
}
