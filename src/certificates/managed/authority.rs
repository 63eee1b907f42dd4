//! A CA that keyporter made for itself.

use std::time::Duration;

use data_encoding::BASE64;
use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use thiserror::Error;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use zeroize::Zeroizing;

use crate::certificates::{Credentials, issue};

/// How much earlier than they are made certificates become valid: clocks differ.
const BACKDATED: Duration = Duration::from_hours(24);
/// What our CAs are called, before the date.
const NAME: &str = "keyporter CA";
/// The characters in a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// What everybody may know of a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) der: CertificateDer<'static>,
    pub(super) made: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
}

impl Certificate {
    /// `None`: it is no CA.
    pub(super) fn read(der: CertificateDer<'static>) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
        certificate.is_ca().then_some(())?;
        let validity = certificate.validity();
        let made = validity.not_before.to_datetime().checked_add(backdated())?;
        let not_after = validity.not_after.to_datetime();
        Some(Self {
            der,
            made,
            not_after,
        })
    }

    pub(super) fn is_valid(&self, now: OffsetDateTime) -> bool {
        self.made - BACKDATED <= now && now < self.not_after
    }

    pub(super) fn pem(&self) -> String {
        let base64 = BASE64.encode(&self.der);
        let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
        let mut rest = base64.as_str();
        while let Some((line, after)) = rest.split_at_checked(PEM_LINE) {
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        if !rest.is_empty() {
            pem.push_str(rest);
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }
}

fn backdated() -> time::Duration {
    time::Duration::try_from(BACKDATED).unwrap_or_default()
}

/// A CA with its key.
pub(super) struct Authority {
    pub(super) certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
    key: Zeroizing<String>,
}

/// What is wrong with a CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Unusable {
    #[error("is missing")]
    Absent,
    #[error("is no certificate of a CA in PEM form")]
    Certificate,
    #[error("is no private key in PEM form (PKCS#8)")]
    Key,
    #[error("is not the key of the certificate beside it")]
    Mismatch,
}

impl Authority {
    /// A new one.
    pub(super) fn make(now: OffsetDateTime, validity: Duration) -> Result<Self, rcgen::Error> {
        let date = now.replace_nanosecond(0).unwrap_or(now);
        // Two of the same name could not be told apart in a bundle.
        let name = format!("{NAME} {}", date.format(&Rfc3339).unwrap_or_default());
        let dates = (now - BACKDATED, issue::later(now, validity));
        let key = issue::key()?;
        let parameters = issue::authority(&name, dates);
        let certificate = parameters.self_signed(&key)?;
        let pem = Zeroizing::new(key.serialize_pem());
        let unreadable = |_| rcgen::Error::CouldNotParseCertificate;
        Self::read(certificate.pem().as_bytes(), pem.as_bytes()).map_err(unreadable)
    }

    pub(super) fn read(certificate: &[u8], key: &[u8]) -> Result<Self, Unusable> {
        let certificate = CertificateDer::from_pem_slice(certificate).ok();
        let certificate = certificate.and_then(Certificate::read);
        let certificate = certificate.ok_or(Unusable::Certificate)?;
        let text = std::str::from_utf8(key).map_err(|_| Unusable::Key)?;
        let pair = KeyPair::from_pem(text).map_err(|_| Unusable::Key)?;
        if !is_pair(&certificate.der, &pair) {
            return Err(Unusable::Mismatch);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate.der, pair);
        Ok(Self {
            issuer: issuer.map_err(|_| Unusable::Certificate)?,
            certificate,
            key: Zeroizing::new(text.to_owned()),
        })
    }

    /// In the form in which it is stored.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// A serving certificate with a key that nobody else has.
    pub(super) fn leaf(
        &self,
        hosts: &[ServerName<'_>],
        now: OffsetDateTime,
        validity: Duration,
    ) -> Result<Credentials, LeafError> {
        let authority = &self.certificate;
        let dates = (
            (now - BACKDATED).max(authority.made - BACKDATED),
            issue::later(now, validity).min(authority.not_after),
        );
        let key = issue::key()?;
        let leaf = issue::leaf(hosts, dates)?.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| LeafError::Unusable)?;
        Credentials::new(vec![leaf.der().clone()], key).ok_or(LeafError::Unusable)
    }
}

fn is_pair(certificate: &CertificateDer<'_>, key: &KeyPair) -> bool {
    let parsed = x509_parser::parse_x509_certificate(certificate);
    parsed
        .is_ok_and(|(_, certificate)| certificate.public_key().raw == key.subject_public_key_info())
}

/// Why no serving certificate can be made.
#[derive(Debug, Error)]
pub(super) enum LeafError {
    #[error("no serving certificate can be made")]
    Make(#[from] rcgen::Error),
    #[error("no serving certificate can be made that TLS takes")]
    Unusable,
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
    use rustls::crypto::ring;
    use rustls::pki_types::UnixTime;
    use rustls::server::ParsedCertificate;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn make() -> Authority {
        Authority::make(OffsetDateTime::now_utc(), 100 * DAY).unwrap()
    }

    fn leaf(authority: &Authority, validity: Duration) -> Credentials {
        let hosts = ["keyporter.system.svc", "127.0.0.1"].map(|it| it.try_into().unwrap());
        let now = OffsetDateTime::now_utc();
        authority.leaf(&hosts, now, validity).unwrap()
    }

    /// As a client does that trusts this CA alone, whose clock is ahead by so many days.
    fn is_trusted(credentials: &Credentials, authority: &Authority, host: &str, days: i64) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.der.clone()).unwrap();
        let parsed = ParsedCertificate::try_from(&credentials.certified_key().cert[0]).unwrap();
        let now = OffsetDateTime::now_utc().unix_timestamp() + days * 24 * 60 * 60;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.try_into().unwrap()));
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let verified =
            verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, algorithms.all);
        let host = ServerName::try_from(host).unwrap();
        verified.is_ok() && verify_server_name(&parsed, &host).is_ok()
    }

    #[test]
    fn a_certificate_is_for_its_hosts_and_of_its_ca() {
        let (authority, other) = (make(), make());
        let leaf = leaf(&authority, 7 * DAY);
        assert!(is_trusted(&leaf, &authority, "keyporter.system.svc", 0));
        assert!(is_trusted(&leaf, &authority, "127.0.0.1", 0));
        assert!(!is_trusted(&leaf, &authority, "keyporter.other.svc", 0));
        assert!(!is_trusted(&leaf, &other, "keyporter.system.svc", 0));
    }

    #[test]
    fn clocks_may_differ_by_a_day() {
        let authority = make();
        let leaf = leaf(&authority, 7 * DAY);
        let trusted = [-2, -1, 6, 8].map(|days| {
            // A moment passes between making and checking.
            is_trusted(&leaf, &authority, "127.0.0.1", days)
        });
        assert_eq!(trusted, [false, true, true, false]);
        assert!(
            authority
                .certificate
                .is_valid(OffsetDateTime::now_utc() - DAY / 2)
        );
    }

    #[test]
    fn a_certificate_does_not_outlive_its_ca() {
        let authority = make();
        let end = leaf(&authority, 200 * DAY).not_after();
        assert_eq!(end, authority.certificate.not_after);
    }

    #[test]
    fn what_is_written_as_pem_is_read() {
        let certificate = make().certificate;
        let pem = certificate.pem();
        assert!(pem.lines().all(|line| line.len() <= PEM_LINE), "{pem}");
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert_eq!(Certificate::read(der), Some(certificate));
    }

    #[test]
    fn a_serving_certificate_is_no_ca() {
        let leaf = leaf(&make(), DAY);
        let der = leaf.certified_key().cert[0].clone();
        assert_eq!(Certificate::read(der), None);
    }
}
