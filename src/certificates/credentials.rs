//! A certificate chain with its key, mostly as two PEM files hold them.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    InconsistentKeys,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};
use time::OffsetDateTime;

use super::pem::PemError;

/// A certificate chain, the private key that belongs to its first certificate, and that one's dates.
#[derive(Clone)]
pub struct Credentials {
    key: Arc<CertifiedKey>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
}

impl Credentials {
    /// Reads both files: the certificate's own first in `certificate`, then those of intermediate CAs; the key as
    /// PKCS#8, SEC1 or PKCS#1. The dates are read, not judged.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, CredentialsError> {
        let chain = chain(certificate)?;
        let leaf = chain
            .first()
            .ok_or_else(|| CredentialsError::NoCertificate(certificate.to_owned()))?;
        let (not_before, not_after) = dates(leaf)
            .ok_or_else(|| CredentialsError::InvalidCertificate(certificate.to_owned()))?;
        let key_path = key;
        let key = private_key(key_path)?;
        let key =
            CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|source| {
                match source {
                    rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                        CredentialsError::KeyMismatch {
                            key: key_path.to_owned(),
                            certificate: certificate.to_owned(),
                        }
                    }
                    rustls::Error::InvalidCertificate(_) => {
                        CredentialsError::InvalidCertificate(certificate.to_owned())
                    }
                    source => CredentialsError::UnusableKey {
                        path: key_path.to_owned(),
                        source,
                    },
                }
            })?;
        Ok(Self {
            key: Arc::new(key),
            not_before,
            not_after,
        })
    }

    /// What was made in memory; `None` where the two are no pair, or nothing that TLS takes.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Option<Self> {
        let (not_before, not_after) = dates(chain.first()?)?;
        let key = CertifiedKey::from_der(chain, key, &ring::default_provider()).ok()?;
        Some(Self {
            key: Arc::new(key),
            not_before,
            not_after,
        })
    }

    /// The chain and key as rustls takes them.
    #[must_use]
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// Whether these are the same certificates. Then the keys are the same too.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }

    /// When the certificate becomes valid (`notBefore`, RFC 5280 section 4.1.2.5).
    #[must_use]
    pub fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    /// When the certificate expires (`notAfter`, RFC 5280 section 4.1.2.5).
    #[must_use]
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }
}

/// Shows the dates only: the key is behind a type that shows nothing, and the chain would fill a screen.
impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|source| invalid_pem(path, source))
}

/// The key of a file.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CredentialsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|source| match source {
        pem::Error::NoItemsFound => CredentialsError::NoKey(path.to_owned()),
        source => invalid_pem(path, source),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CredentialsError::Missing {
            path: path.to_owned(),
            source,
        },
        _ => CredentialsError::Read {
            path: path.to_owned(),
            source,
        },
    })
}

fn invalid_pem(path: &Path, source: impl Into<PemError>) -> CredentialsError {
    CredentialsError::InvalidPem {
        path: path.to_owned(),
        source: source.into(),
    }
}

fn dates(certificate: &CertificateDer<'_>) -> Option<(OffsetDateTime, OffsetDateTime)> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let validity = certificate.validity();
    Some((
        validity.not_before.to_datetime(),
        validity.not_after.to_datetime(),
    ))
}

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// One of the files is not there.
    #[error(
        "there is no {}: put the file there, or make development certificates with `keyporter certs generate`",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// One of the files cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// One of the files is damaged.
    #[error("{} is not valid PEM (RFC 7468)", path.display())]
    InvalidPem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PemError,
    },
    /// The certificate's file holds other things.
    #[error(
        "no certificate in {}: it must hold PEM blocks of type CERTIFICATE, the server's own first",
        .0.display()
    )]
    NoCertificate(PathBuf),
    /// The first certificate is damaged.
    #[error("the first certificate in {} cannot be parsed as X.509 (RFC 5280)", .0.display())]
    InvalidCertificate(PathBuf),
    /// The key's file holds other things.
    #[error(
        "no private key in {}: it must hold a PEM block of type PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY, \
         not an encrypted one",
        .0.display()
    )]
    NoKey(PathBuf),
    /// The key is damaged, or of a kind that is not supported.
    #[error("the private key in {} cannot be used: ECDSA P-256 or P-384, Ed25519 or RSA will do", path.display())]
    UnusableKey {
        /// The key's file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The two files are not a pair.
    #[error(
        "the private key in {} does not belong to the first certificate in {}: replace both together",
        key.display(), certificate.display()
    )]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
}
