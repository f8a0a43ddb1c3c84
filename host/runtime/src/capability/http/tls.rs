//! TLS as an endpoint's settings say: its roots instead of the system's, the certificate we present, the name we verify.

use std::sync::{Arc, OnceLock};

use postern_core::egress::TlsSettings;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// Why TLS material is unusable; never shows the material.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the CA given for {0} holds no certificate in PEM form")]
    Ca(String),
    #[error("the client certificate given for {0} cannot be used: {1}")]
    Client(String, String),
    #[error("the server name given for {0} is not a valid name")]
    ServerName(String),
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// The settings as rustls wants them. `origin` is for messages.
pub fn config(settings: &TlsSettings, origin: &str) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match &settings.ca_pem {
        Some(pem) => own_roots(pem.expose(), origin)?,
        None => system_roots(),
    };
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| TlsError::Setup(e.to_string()))?
            .with_root_certificates(roots);
    let mut config = match &settings.client_pem {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let bad = |what: String| TlsError::Client(origin.to_owned(), what);
            let chain = certificates(chain.expose())
                .ok_or_else(|| bad("it holds no certificate in PEM form".into()))?;
            let key = PrivateKeyDer::from_pem_slice(key.expose())
                .map_err(|_| bad("its key is no PEM key".into()))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|e| bad(e.to_string()))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The name to verify.
pub fn server_name(
    settings: &TlsSettings,
    host: &str,
    origin: &str,
) -> Result<ServerName<'static>, TlsError> {
    let name = settings.server_name.as_deref().unwrap_or(host).to_owned();
    ServerName::try_from(name).map_err(|_| TlsError::ServerName(origin.to_owned()))
}

fn own_roots(pem: &[u8], origin: &str) -> Result<Arc<RootCertStore>, TlsError> {
    let bad = || TlsError::Ca(origin.to_owned());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem).ok_or_else(bad)? {
        roots.add(certificate).map_err(|_| bad())?;
    }
    Ok(Arc::new(roots))
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|certificates| !certificates.is_empty())
}

/// The system's roots, read once; where an image has none, Mozilla's as built in.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(roots)
    };
    ROOTS.get_or_init(read).clone()
}
