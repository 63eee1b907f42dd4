//! What certificates say, whoever signs them.

use std::{net, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::{IpAddr, ServerName};
use time::OffsetDateTime;

const LEAF_NAME: &str = "keyporter";

/// From when, and until when.
pub(super) type Dates = (OffsetDateTime, OffsetDateTime);

/// A CA, with its own signature still to be made.
pub(super) fn authority(name: &str, dates: Dates) -> CertificateParams {
    let mut parameters = parameters(name, dates);
    // It signs serving certificates, not further CAs.
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

/// A serving certificate for these hosts.
pub(super) fn leaf(
    hosts: &[ServerName<'_>],
    dates: Dates,
) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = parameters(LEAF_NAME, dates);
    let names = hosts.iter().map(subject_alternative_name);
    parameters.subject_alt_names = names.collect::<Result<_, _>>()?;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}

pub(super) fn key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
}

/// The time after this duration, or the last one that a certificate can say.
pub(super) fn later(now: OffsetDateTime, duration: Duration) -> OffsetDateTime {
    // X.509 cannot say more than the year 9999, nor can this type.
    time::Duration::try_from(duration)
        .ok()
        .and_then(|duration| now.checked_add(duration))
        .unwrap_or(time::macros::datetime!(9999-12-31 23:59:59 UTC))
}

fn parameters(common_name: &str, (not_before, not_after): Dates) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters
        .distinguished_name
        .push(DnType::CommonName, common_name);
    parameters.not_before = not_before;
    parameters.not_after = not_after;
    parameters
}

fn subject_alternative_name(host: &ServerName<'_>) -> Result<SanType, rcgen::Error> {
    match host {
        ServerName::IpAddress(IpAddr::V4(address)) => {
            Ok(SanType::IpAddress(net::Ipv4Addr::from(*address).into()))
        }
        ServerName::IpAddress(IpAddr::V6(address)) => {
            Ok(SanType::IpAddress(net::Ipv6Addr::from(*address).into()))
        }
        name => name.to_str().as_ref().try_into().map(SanType::DnsName),
    }
}
