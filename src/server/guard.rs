//! A connection that a client cannot hold by reading slowly.
//!
//! Rests on tokio's timer. Invariant: while the client is waited for, fewer than so many bytes in a window of time end the
//! connection. The wait for a request's head is the HTTP library's to limit, that for its body is the handler's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::limits::Limits;

/// A stream and a watch over what the client takes from it.
#[derive(Debug)]
pub struct Guarded<S> {
    stream: S,
    limits: Limits,
    /// Runs while the client is waited for.
    window: Option<Pin<Box<Sleep>>>,
    /// What it has taken in this window.
    bytes: u64,
}

impl<S> Guarded<S> {
    /// Guards a stream.
    pub fn new(stream: S, limits: Limits) -> Self {
        Self { stream, limits, window: None, bytes: 0 }
    }

    /// Judges the outcome of a write.
    fn after(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(taken)) => {
                if self.window.is_some() {
                    self.bytes += taken as u64;
                    if self.bytes >= self.limits.window_bytes {
                        self.window = None;
                    }
                }
                Poll::Ready(Ok(taken))
            }
            Poll::Pending => self.wait(cx),
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let length = self.limits.window;
        let bytes = &mut self.bytes;
        let window = self.window.get_or_insert_with(|| {
            *bytes = 0;
            Box::pin(sleep(length))
        });
        while window.as_mut().poll(cx).is_ready() {
            if *bytes < self.limits.window_bytes {
                let what = format!("the client took {bytes} bytes in {} s", length.as_secs());
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)));
            }
            *bytes = 0;
            window.as_mut().reset(Instant::now() + length);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.after(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.after(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn limits() -> Limits {
        Limits { window: Duration::from_millis(80), window_bytes: 1000, ..Limits::default() }
    }

    /// Writes 100 kB to a client that takes `bytes` every 20 ms.
    fn outcome(bytes: usize) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let (server, mut client) = tokio::io::duplex(64);
            let mut guarded = Guarded::new(server, limits());
            let reader = async {
                let mut buffer = vec![0; bytes];
                loop {
                    sleep(Duration::from_millis(20)).await;
                    let mut left = bytes;
                    while left > 0 {
                        match client.read(&mut buffer[..left]).await {
                            Ok(taken) if taken > 0 => left -= taken,
                            _ => return,
                        }
                    }
                }
            };
            let data = vec![7; 100_000];
            tokio::select! {
                written = guarded.write_all(&data) => written,
                () = reader => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        })
    }

    #[test]
    fn a_slow_client_is_cut_and_a_steady_one_is_not() {
        assert_eq!(outcome(4).expect_err("too slow").kind(), io::ErrorKind::TimedOut);
        outcome(5000).expect("fast enough");
    }
}
