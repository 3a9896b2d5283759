//! `serve`: a store over HTTP, to whoever may read it, and to writers who hold a token for it.
//!
//! Rests on `ops` for every answer; hyper, axum and tokio appear here and nowhere else. Invariants: nothing is decided here
//! that an operation could decide; what leaves was hashed on the way; no client, however slow or rude, holds more than one
//! connection's worth of memory, or any of it for ever; no token stands in a log, an answer or a metric.

mod answers;
mod app;
mod body;
mod door;
mod guard;
mod hosts;
mod limits;
mod metrics;
mod openapi;
mod problem;
mod range;
mod routes;
mod tls;
mod tokens;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::clock::Clock;
use crate::ops::delivery::shelf::Shelf;
use crate::ops::{ErrorKind, OpError, Progress};
use crate::repo::Repo;

/// Sentences for the log that wait to be written.
const NOTES_MAX: usize = 64;

pub use limits::Limits;
pub use openapi::document as openapi_document;
pub use tokens::Tokens;

use app::App;

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where to listen: `127.0.0.1:7474`, `[::]:80`; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Names besides the usual ones under which a server that listens on this machine alone may be asked.
    pub hosts: Vec<String>,
    /// Who may do what.
    pub tokens: Tokens,
    /// The certificate chain and the key, both PEM, for HTTPS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Where files that were made of snapshots are kept.
    pub cache: PathBuf,
    /// How many bytes of them.
    pub cache_bytes: u64,
    /// How long, how many, how much.
    pub limits: Limits,
    /// Times for what is written.
    pub clock: Clock,
}

/// Serves `repo` until the process is told to end (SIGTERM, SIGINT), then lets what is under way finish. `started` is
/// called once, with the address that was taken.
///
/// # Errors
/// An address that cannot be taken, a certificate that cannot be used.
pub fn serve(
    repo: Repo,
    options: &ServeOptions,
    progress: &dyn Progress,
    started: impl FnOnce(SocketAddr, bool),
) -> Result<Ended, OpError> {
    let tls = options.tls.as_ref().map(|(cert, key)| tls::acceptor(cert, key)).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(options.limits.jobs_max)
        .thread_name("distill-serve")
        .build()
        .map_err(|e| {
            OpError::new(ErrorKind::Outside, format!("cannot start the server's threads: {e}"), "")
        })?;
    let shelf = Shelf::new(options.cache.clone(), options.cache_bytes);
    // A log that nobody reads may block whoever writes it: that is a thread of its own, and what it cannot take is lost.
    let (notes, said) = std::sync::mpsc::sync_channel::<Option<String>>(NOTES_MAX);
    let app = Arc::new(App::new(repo, shelf, options, notes.clone())?);
    std::thread::scope(|scope| {
        scope.spawn(move || said.into_iter().map_while(|note| note).for_each(|note| progress.note(&note)));
        let ended = runtime.block_on(listen(app, options, tls, started));
        runtime.shutdown_background();
        notes.send(None).ok();
        ended
    })
}

/// Takes the address, says so, and serves until told to end.
async fn listen(
    app: app::Shared,
    options: &ServeOptions,
    tls: Option<tokio_rustls::TlsAcceptor>,
    started: impl FnOnce(SocketAddr, bool),
) -> Result<Ended, OpError> {
    let listener = tokio::net::TcpListener::bind(options.bind).await.map_err(|e| {
        let message = format!("cannot listen on {}: {e}", options.bind);
        OpError::new(ErrorKind::Outside, message, "choose another address: `--bind ADDRESS:PORT`")
    })?;
    let address = listener
        .local_addr()
        .map_err(|e| OpError::new(ErrorKind::Outside, format!("the listener has no address: {e}"), ""))?;
    let stop = door::told_to_end()?;
    started(address, tls.is_some());
    Ok(door::open(app, listener, tls, stop).await)
}

/// What a server did.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Ended {
    /// Requests that were answered.
    pub requests: u64,
    /// Connections that were cut because they did not end in time.
    pub cut: usize,
}
