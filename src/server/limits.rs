//! How long, how many, how much: what no client gets beyond.
//!
//! Rests on nothing. Invariant: every wait of the server has an end.

use std::time::Duration;

/// The limits of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; the next ones wait in the system's queue.
    pub connections_max: usize,
    /// Pieces of work on the store at once.
    pub jobs_max: usize,
    /// From the first wait for a request to the end of its head; so also how long a connection may be idle.
    pub head_wait: Duration,
    /// For a TLS handshake.
    pub handshake_wait: Duration,
    /// While a client is slower than the server, it must take or send [`Self::window_bytes`] in this time.
    pub window: Duration,
    /// See [`Self::window`].
    pub window_bytes: u64,
    /// For an answer to begin, the request's body included; what is made or verified first is excepted.
    pub answer_wait: Duration,
    /// For an answer to end.
    pub transfer_max: Duration,
    /// For transfers under way when the server is told to end.
    pub grace: Duration,
    /// Length of a request body, packs excepted.
    pub body_bytes_max: usize,
    /// Length of a pack that is sent.
    pub pack_bytes_max: u64,
    /// Memory for answers that lie in it as a whole and are longer than [`Self::held_bytes`], all together.
    pub answers_bytes_max: usize,
    /// An answer of this length is held for any client.
    pub held_bytes: u64,
    /// Memory for the request bodies that are being read, all together; packs lie in files.
    pub bodies_bytes_max: usize,
    /// Number of headers.
    pub headers_max: usize,
    /// Length of a request's head.
    pub head_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 800,
            jobs_max: 24,
            head_wait: Duration::from_secs(10),
            handshake_wait: Duration::from_secs(10),
            window: Duration::from_secs(20),
            window_bytes: 16 << 10,
            answer_wait: Duration::from_secs(30),
            transfer_max: Duration::from_hours(6),
            grace: Duration::from_secs(30),
            body_bytes_max: 1 << 20,
            pack_bytes_max: 2 << 30,
            answers_bytes_max: 96 << 20,
            held_bytes: 128 << 10,
            bodies_bytes_max: 32 << 20,
            headers_max: 64,
            head_bytes_max: 32 << 10,
        }
    }
}
