//! Connections: taken, guarded, served, and ended in good order.
//!
//! Rests on hyper, with a timer, because without one its limit on the wait for a request's head does nothing. Invariants:
//! no more connections at once than the limit; an error of one is no error of the server; told to end, it takes no more,
//! lets what is under way finish, and cuts what does not finish in time.

use std::future::Future;
use std::io;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::Ended;
use super::app::Shared;
use super::guard::Guarded;
use super::routes;
use crate::ops::{ErrorKind, OpError};

/// When the system gives no connection (too many open files), it is asked again after this.
const NO_CONNECTION_WAIT: Duration = Duration::from_millis(50);

/// Waits until the process is told to end.
///
/// # Errors
/// When the system does not let signals be watched.
pub fn told_to_end() -> Result<impl Future<Output = ()>, OpError> {
    use tokio::signal::unix::{SignalKind, signal};
    let watch = |kind| {
        signal(kind)
            .map_err(|e| OpError::new(ErrorKind::Outside, format!("cannot watch for signals: {e}"), ""))
    };
    let (mut terminate, mut interrupt) = (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Takes connections until `stop`, then lets those that are open end.
pub async fn open(
    app: Shared,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    stop: impl Future<Output = ()>,
) -> Ended {
    let limits = app.limits;
    let room = std::sync::Arc::new(tokio::sync::Semaphore::new(limits.connections_max));
    let graceful = GracefulShutdown::new();
    let router = routes::router(&app);
    tokio::pin!(stop);
    loop {
        let taken = tokio::select! {
            () = &mut stop => break,
            taken = take(&listener, &room) => taken,
        };
        let Some((stream, permit)) = taken else {
            tokio::time::sleep(NO_CONNECTION_WAIT).await;
            continue;
        };
        app.metrics.taken.inc();
        app.metrics.connections.inc();
        let (app, router, tls) = (Shared::clone(&app), router.clone(), tls.clone());
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let outcome = match tls {
                None => serve(&app, stream, router, watcher).await,
                Some(tls) => match timeout(limits.handshake_wait, tls.accept(stream)).await {
                    Ok(Ok(stream)) => serve(&app, stream, router, watcher).await,
                    Ok(Err(_)) | Err(_) => Err(()),
                },
            };
            if outcome.is_err() {
                app.metrics.broken.inc();
            }
            app.metrics.connections.dec();
            drop(permit);
        });
    }
    drop(listener);
    let open = graceful.count();
    if open > 0 {
        app.note(format!("Ending: {open} connections may finish within {} s.", limits.grace.as_secs()));
    }
    let cut = match timeout(limits.grace, graceful.shutdown()).await {
        Ok(()) => 0,
        Err(_) => limits.connections_max - room.available_permits(),
    };
    Ended { requests: app.metrics.requests(), cut }
}

type Taken = (tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit);

/// The next connection, when there is room for one.
async fn take(listener: &TcpListener, room: &std::sync::Arc<tokio::sync::Semaphore>) -> Option<Taken> {
    let permit = std::sync::Arc::clone(room).acquire_owned().await.ok()?;
    let (stream, _) = listener.accept().await.ok()?;
    stream.set_nodelay(true).ok();
    Some((stream, permit))
}

/// Serves one connection to its end.
async fn serve<S>(
    app: &Shared,
    stream: S,
    router: axum::Router,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), ()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = app.limits;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_wait)
        .max_headers(limits.headers_max)
        .max_buf_size(limits.head_bytes_max)
        .serve_connection(TokioIo::new(Guarded::new(stream, limits)), TowerToHyperService::new(router));
    watcher.watch(connection).await.map_err(|error| {
        let slow = std::error::Error::source(&error)
            .and_then(|cause| cause.downcast_ref::<io::Error>())
            .is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut);
        if slow {
            app.note("A connection was cut: its client took too little for too long.".to_owned());
        }
    })
}
