//! Certificates for development: a CA, and a serving certificate that it signed. Those of a cluster, which keyporter
//! renews itself, are in [`managed`].
//!
//! The CA is long-lived, since webhook configurations carry it as their `caBundle`; the serving certificate is renewed
//! beside it without anybody noticing.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{Issuer, KeyPair};
use rustls::{
    RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use time::OffsetDateTime;

use self::credentials::private_key;
use self::files::{Readers, replace};

pub use self::credentials::{Credentials, CredentialsError};
pub use self::pem::PemError;

mod credentials;
mod files;
mod issue;
pub mod managed;
mod pem;

/// The names that a development certificate is for unless others are asked for: this machine, and the Service that the
/// chart makes.
pub const DEFAULT_HOSTS: [&str; 4] = [
    "localhost",
    "127.0.0.1",
    "::1",
    "keyporter.keyporter-system.svc",
];

/// How long a serving certificate is valid unless another time is asked for: 365 days.
pub const DEFAULT_VALIDITY: Duration = Duration::from_hours(365 * 24);

/// 3650 days. A serving certificate never outlives it.
const AUTHORITY_VALIDITY: Duration = Duration::from_hours(10 * 365 * 24);

/// The clocks of two machines differ.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

const AUTHORITY_NAME: &str = "keyporter development CA";

/// Makes a new CA and a serving certificate for `hosts` in `directory`, whatever is there.
///
/// Writes `ca.crt`, `ca.key`, `tls.crt` and `tls.key`, all PEM, the keys ECDSA P-256 in PKCS#8 and readable by their
/// owner only. The directory is made if it is absent. Whoever trusted the previous CA has to be told the new one.
pub fn generate(
    directory: &Path,
    hosts: &[ServerName<'_>],
    validity: Duration,
) -> Result<Outcome, CertificatesError> {
    let paths = Paths::new(directory);
    create_directory(directory)?;
    let authority = new_authority(&paths)?;
    let not_after = new_leaf(&paths, &authority, hosts, validity)?;
    Ok(Outcome {
        authority: Action::Made(Reason::Asked),
        leaf: Action::Made(Reason::Asked),
        authority_certificate: paths.authority_certificate,
        leaf_certificate: paths.leaf_certificate,
        not_after,
    })
}

/// Makes what is missing or no longer valid in `directory`, and keeps the rest: the CA above all.
///
/// A new serving certificate is made when there is none, when it expired or has less than a tenth of its time left,
/// when one of `hosts` is not among its names, when its key is another's, or when the CA has not signed it. What was
/// not made here is not overwritten: files that cannot be parsed, or a serving certificate with no CA beside it.
///
/// # Example
///
/// ```
/// use keyporter::certificates::{self, Action, DEFAULT_VALIDITY};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let directory = tempfile::tempdir()?;
/// let hosts = ["localhost".try_into()?];
/// let first = certificates::ensure(directory.path(), &hosts, DEFAULT_VALIDITY)?;
/// assert_eq!(first.to_string(), "made a new CA: there was none\nmade a new serving certificate: there was none");
///
/// let second = certificates::ensure(directory.path(), &hosts, DEFAULT_VALIDITY)?;
/// assert_eq!((second.authority, second.leaf), (Action::Kept, Action::Kept));
/// # Ok(())
/// # }
/// ```
pub fn ensure(
    directory: &Path,
    hosts: &[ServerName<'_>],
    validity: Duration,
) -> Result<Outcome, CertificatesError> {
    let paths = Paths::new(directory);
    let now = OffsetDateTime::now_utc();
    create_directory(directory)?;

    let (authority, authority_action) = match existing_authority(&paths)? {
        Some(authority) if authority.not_after > now => (authority, Action::Kept),
        Some(_) => (new_authority(&paths)?, Action::Made(Reason::Expired)),
        None => (new_authority(&paths)?, Action::Made(Reason::Absent)),
    };
    let (not_after, leaf) = match leaf_state(&paths, &authority, hosts, now)? {
        LeafState::Good(not_after) => (not_after, Action::Kept),
        LeafState::Bad(reason) => (
            new_leaf(&paths, &authority, hosts, validity)?,
            Action::Made(reason),
        ),
    };
    Ok(Outcome {
        authority: authority_action,
        leaf,
        authority_certificate: paths.authority_certificate,
        leaf_certificate: paths.leaf_certificate,
        not_after,
    })
}

/// What was done. Its text is a line for the CA and one for the serving certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was done about the CA.
    pub authority: Action,
    /// What was done about the serving certificate.
    pub leaf: Action,
    /// Where the CA's certificate is.
    pub authority_certificate: PathBuf,
    /// Where the serving certificate is; its key is beside it.
    pub leaf_certificate: PathBuf,
    /// When the serving certificate expires.
    pub not_after: OffsetDateTime,
}

impl Outcome {
    /// The files that were written, certificates before keys.
    #[must_use]
    pub fn written(&self) -> Vec<PathBuf> {
        [
            (&self.authority, &self.authority_certificate),
            (&self.leaf, &self.leaf_certificate),
        ]
        .into_iter()
        .filter(|(action, _)| **action != Action::Kept)
        .flat_map(|(_, certificate)| [certificate.clone(), certificate.with_extension("key")])
        .collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.authority {
            Action::Kept => writeln!(formatter, "kept the CA")?,
            Action::Made(reason) => writeln!(formatter, "made a new CA: {reason}")?,
        }
        match &self.leaf {
            Action::Kept => write!(formatter, "kept the serving certificate"),
            Action::Made(reason) => write!(formatter, "made a new serving certificate: {reason}"),
        }
    }
}

/// What was done about a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is good for some time.
    Kept,
    /// It was made, and its key too.
    Made(Reason),
}

/// Why a certificate was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was asked for, whatever there was.
    Asked,
    /// There was none.
    Absent,
    /// The last one expired, or was about to.
    Expired,
    /// The last one was not for this host.
    Host(String),
    /// The key that was there belonged to another certificate.
    KeyMismatch,
    /// The CA that is there had not signed the last one.
    Issuer,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => formatter.write_str("it was asked for"),
            Self::Absent => formatter.write_str("there was none"),
            Self::Expired => formatter.write_str("the last one expired or was about to"),
            Self::Host(host) => write!(formatter, "the last one was not for {host}"),
            Self::KeyMismatch => formatter.write_str("the key was another certificate's"),
            Self::Issuer => formatter.write_str("the last one was not signed by this CA"),
        }
    }
}

/// Where everything is in a directory.
struct Paths {
    authority_certificate: PathBuf,
    authority_key: PathBuf,
    leaf_certificate: PathBuf,
    leaf_key: PathBuf,
}

impl Paths {
    fn new(directory: &Path) -> Self {
        Self {
            authority_certificate: directory.join("ca.crt"),
            authority_key: directory.join("ca.key"),
            leaf_certificate: directory.join("tls.crt"),
            leaf_key: directory.join("tls.key"),
        }
    }
}

/// A CA that can sign.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    not_after: OffsetDateTime,
}

/// None if neither of its files exists.
fn existing_authority(paths: &Paths) -> Result<Option<Authority>, CertificatesError> {
    let (certificate, key) = (&paths.authority_certificate, &paths.authority_key);
    if !certificate.exists() && !key.exists() {
        return if paths.leaf_certificate.exists() || paths.leaf_key.exists() {
            Err(CertificatesError::Foreign(paths.leaf_certificate.clone()))
        } else {
            Ok(None)
        };
    }
    let credentials = Credentials::read(certificate, key).map_err(CertificatesError::Existing)?;
    let not_after = credentials.not_after();
    let certificate = first(&credentials, certificate)?;
    // What makes certificates reads PEM otherwise than TLS, and quotes what it stumbles over.
    let key = private_key(key).map_err(CertificatesError::Existing)?;
    let issuer = KeyPair::try_from(&key)
        .and_then(|key| Issuer::from_ca_cert_der(&certificate, key))
        .map_err(CertificatesError::Make)?;
    Ok(Some(Authority {
        certificate,
        issuer,
        not_after,
    }))
}

fn new_authority(paths: &Paths) -> Result<Authority, CertificatesError> {
    let parameters = issue::authority(AUTHORITY_NAME, dates(AUTHORITY_VALIDITY));
    let not_after = parameters.not_after;

    let key = issue::key().map_err(CertificatesError::Make)?;
    let certificate = parameters
        .self_signed(&key)
        .map_err(CertificatesError::Make)?;
    write(&paths.authority_key, &key.serialize_pem(), Readers::Owner)?;
    write(
        &paths.authority_certificate,
        &certificate.pem(),
        Readers::All,
    )?;
    Ok(Authority {
        certificate: certificate.der().clone(),
        issuer: Issuer::new(parameters, key),
        not_after,
    })
}

enum LeafState {
    Good(OffsetDateTime),
    Bad(Reason),
}

fn leaf_state(
    paths: &Paths,
    authority: &Authority,
    hosts: &[ServerName<'_>],
    now: OffsetDateTime,
) -> Result<LeafState, CertificatesError> {
    let credentials = match Credentials::read(&paths.leaf_certificate, &paths.leaf_key) {
        Ok(credentials) => credentials,
        Err(CredentialsError::Missing { .. }) => return Ok(LeafState::Bad(Reason::Absent)),
        // A run that was killed between the two files leaves it so.
        Err(CredentialsError::KeyMismatch { .. }) => {
            return Ok(LeafState::Bad(Reason::KeyMismatch));
        }
        Err(error) => return Err(CertificatesError::Existing(error)),
    };
    let not_after = credentials.not_after();
    if not_after - now < (not_after - credentials.not_before()) / 10 {
        return Ok(LeafState::Bad(Reason::Expired));
    }

    let certificate = first(&credentials, &paths.leaf_certificate)?;
    let invalid = |_| {
        CertificatesError::Existing(CredentialsError::InvalidCertificate(
            paths.leaf_certificate.clone(),
        ))
    };
    let certificate = ParsedCertificate::try_from(&certificate).map_err(invalid)?;
    if !signed_by(&certificate, authority) {
        return Ok(LeafState::Bad(Reason::Issuer));
    }
    let missing = hosts
        .iter()
        .find(|host| verify_server_name(&certificate, host).is_err());
    Ok(match missing {
        Some(host) => LeafState::Bad(Reason::Host(host.to_str().into_owned())),
        None => LeafState::Good(not_after),
    })
}

/// Checks as a client would that has this CA as its only root.
fn signed_by(certificate: &ParsedCertificate<'_>, authority: &Authority) -> bool {
    let mut roots = RootCertStore::empty();
    let algorithms = ring::default_provider().signature_verification_algorithms;
    roots.add(authority.certificate.clone()).is_ok()
        && verify_server_cert_signed_by_trust_anchor(
            certificate,
            &roots,
            &[],
            UnixTime::now(),
            algorithms.all,
        )
        .is_ok()
}

/// Returns when it expires.
fn new_leaf(
    paths: &Paths,
    authority: &Authority,
    hosts: &[ServerName<'_>],
    validity: Duration,
) -> Result<OffsetDateTime, CertificatesError> {
    let (not_before, not_after) = dates(validity);
    let dates = (not_before, not_after.min(authority.not_after));
    let parameters = issue::leaf(hosts, dates).map_err(CertificatesError::Make)?;
    let key = issue::key().map_err(CertificatesError::Make)?;
    let certificate = parameters
        .signed_by(&key, &authority.issuer)
        .map_err(CertificatesError::Make)?;
    write(&paths.leaf_key, &key.serialize_pem(), Readers::Owner)?;
    write(&paths.leaf_certificate, &certificate.pem(), Readers::All)?;
    Ok(parameters.not_after)
}

fn dates(validity: Duration) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    (now - CLOCK_SKEW, issue::later(now, validity))
}

fn first(
    credentials: &Credentials,
    path: &Path,
) -> Result<CertificateDer<'static>, CertificatesError> {
    credentials
        .certified_key()
        .cert
        .first()
        .cloned()
        .ok_or_else(|| {
            CertificatesError::Existing(CredentialsError::NoCertificate(path.to_owned()))
        })
}

fn create_directory(directory: &Path) -> Result<(), CertificatesError> {
    fs::create_dir_all(directory).map_err(|source| CertificatesError::write(directory, source))
}

fn write(path: &Path, content: &str, readers: Readers) -> Result<(), CertificatesError> {
    replace(path, content.as_bytes(), readers)
        .map_err(|source| CertificatesError::write(path, source))
}

/// Why certificates could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// What is there is not ours, or damaged.
    #[error("not overwriting certificates that cannot be used; remove them, or say --force")]
    Existing(#[source] CredentialsError),
    /// A serving certificate without a CA comes from elsewhere.
    #[error(
        "not overwriting {}, which was not made here, as there is no ca.crt beside it; \
         choose another directory, or say --force",
        .0.display()
    )]
    Foreign(PathBuf),
    /// A file or the directory cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate or key could not be made.
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
}

impl CertificatesError {
    fn write(path: &Path, source: io::Error) -> Self {
        Self::Write {
            path: path.to_owned(),
            source,
        }
    }
}

#[cfg(test)]
mod tests;
