//! What the server shows its clients, and which clients it lets in.
//!
//! The certificate, and all that is demanded of clients, are behind atomic pointers that every handshake reads, so that
//! renewing them is a swap and connections that exist keep theirs. [`super::reload`] swaps what comes from files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Credentials, CredentialsError, PemError};

/// The certificate's file in the folder, as in a Secret of type `kubernetes.io/tls`
/// (<https://kubernetes.io/docs/concepts/configuration/secret/#tls-secrets>).
pub const CERTIFICATE_FILE: &str = "tls.crt";
/// The key's file in the folder.
pub const KEY_FILE: &str = "tls.key";

/// Reads the certificate chain and key that a folder holds, and checks that the certificate is valid now.
pub fn load(directory: &Path) -> Result<Credentials, TlsError> {
    let path = directory.join(CERTIFICATE_FILE);
    let credentials = Credentials::read(&path, &directory.join(KEY_FILE))?;
    let now = OffsetDateTime::now_utc();
    if now > credentials.not_after() {
        let at = credentials.not_after();
        return Err(TlsError::Expired { path, at });
    }
    if now < credentials.not_before() {
        let at = credentials.not_before();
        return Err(TlsError::NotYetValid { path, at });
    }
    Ok(credentials)
}

/// The configuration of a listener: TLS 1.3 and 1.2, HTTP/2 before HTTP/1.1 (ALPN, RFC 7301), the certificate that the
/// resolver has at the moment. With a `client_ca` file, only clients that prove a certificate of one of its CAs.
pub fn server_config(
    certificate: Arc<CertificateResolver>,
    client_ca: Option<&Path>,
) -> Result<Arc<ServerConfig>, TlsError> {
    config(
        certificate,
        client_ca.map(ClientCa::read).transpose()?.as_ref(),
    )
}

pub(super) fn config(
    certificate: Arc<CertificateResolver>,
    client_ca: Option<&ClientCa>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(ClientCa { path, roots }) => {
            let roots = Arc::new(roots.clone());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|source| TlsError::ClientCa {
                    path: path.clone(),
                    source,
                })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What a listener follows in each handshake. A clone shares it.
///
/// To replace it takes the sessions along that clients could resume: nobody comes back without the proof that counts now.
#[derive(Clone, Debug)]
pub struct Configuration(Arc<ArcSwap<ServerConfig>>);

impl Configuration {
    /// Uses `config` for every handshake from here on.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.0.store(config);
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load_full())
    }
}

impl From<Arc<ServerConfig>> for Configuration {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(ArcSwap::new(config)))
    }
}

/// Gives every handshake the certificate that is current. Without one, handshakes fail.
#[derive(Debug, Default)]
pub struct CertificateResolver(ArcSwapOption<Credentials>);

impl CertificateResolver {
    /// Begins with `credentials`.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self(ArcSwapOption::from_pointee(credentials))
    }

    /// Uses `credentials` for every handshake from here on.
    pub fn replace(&self, credentials: Credentials) {
        self.0.store(Some(Arc::new(credentials)));
    }

    /// What is in use, if anything is.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Credentials>> {
        self.0.load_full()
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let credentials = self.0.load();
        Some(Arc::clone(credentials.as_ref()?.certified_key()))
    }
}

/// Whose clients are let in.
#[derive(Clone, Debug)]
pub(super) struct ClientCa {
    path: PathBuf,
    roots: RootCertStore,
}

impl ClientCa {
    pub(super) fn read(path: &Path) -> Result<Self, TlsError> {
        let path = path.to_owned();
        let certificates = CertificateDer::pem_file_iter(&path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|source| TlsError::ReadClientCa {
                path: path.clone(),
                source: source.into(),
            })?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|source| TlsError::UnusableClientCa {
                    path: path.clone(),
                    source,
                })?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoClientCa { path });
        }
        Ok(Self { path, roots })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.roots.roots == other.roots.roots
    }
}

/// Why TLS cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate or key cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The certificate was valid once.
    #[error("the certificate in {} expired at {}: put a renewed one there", path.display(), date(*at))]
    Expired {
        /// The certificate's file.
        path: PathBuf,
        /// Its `notAfter`.
        at: OffsetDateTime,
    },
    /// The certificate will be valid later.
    #[error(
        "the certificate in {} is not valid before {}: check this machine's clock, or put another one there",
        path.display(), date(*at)
    )]
    NotYetValid {
        /// The certificate's file.
        path: PathBuf,
        /// Its `notBefore`.
        at: OffsetDateTime,
    },
    /// The client CA file cannot be read, or is not PEM.
    #[error("cannot read the client CA file {}", path.display())]
    ReadClientCa {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: PemError,
    },
    /// The client CA file holds none.
    #[error(
        "no certificate in the client CA file {}: it must hold PEM blocks of type CERTIFICATE",
        path.display()
    )]
    NoClientCa {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in the client CA file cannot be a trust anchor.
    #[error("the client CA file {} holds a certificate that cannot be used", path.display())]
    UnusableClientCa {
        /// The file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The client certificates' verifier was refused.
    #[error("the client CA file {} cannot be used", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// What rustls said.
        source: VerifierBuilderError,
    },
    /// The cryptography that was compiled in has no protocol version in common with us.
    #[error("TLS cannot be set up with the cryptography of this build")]
    Provider(#[source] rustls::Error),
}

pub(super) fn date(at: OffsetDateTime) -> String {
    // Only a year above 9999 has no such form, and X.509 has no such year.
    at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}
