//! One provider of cryptography for everything that speaks TLS: clients, buckets, the server.
//!
//! Rests on rustls and ring. Invariant: whoever is about to make a client or a server calls this first; calling it again
//! changes nothing, and one that was chosen before stays.

/// Makes rustls use ring.
pub fn install_provider() {
    rustls::crypto::ring::default_provider().install_default().ok();
}
