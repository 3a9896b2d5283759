//! A certificate and its key, for HTTPS.
//!
//! Rests on rustls, with TLS 1.2 as the oldest. Invariant: what cannot be used stops the server at its start.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::ops::{ErrorKind, OpError};

/// What takes TLS connections with this certificate chain and key, both PEM.
///
/// # Errors
/// Files that cannot be read or do not belong together.
pub fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, OpError> {
    crate::base::tls::install_provider();
    let unusable = |path: &Path, why: String| {
        let message = format!("{} cannot be used for HTTPS: {why}", path.display());
        OpError::new(ErrorKind::Usage, message, "give the certificate chain and its private key as PEM files")
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(cert, error.to_string()))?;
    if chain.is_empty() {
        return Err(unusable(cert, "it holds no certificate".to_owned()));
    }
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error.to_string()))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .map_err(|error| unusable(key, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
