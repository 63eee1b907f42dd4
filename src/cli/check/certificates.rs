//! Certificates: those that the API server trusts, and those that the pods show.

use std::time::Duration;

use data_encoding::BASE64;
use rustls::{
    RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use time::OffsetDateTime;

use super::{
    finding::{Finding, Subject},
    observe::Observed,
    seen::text,
    webhooks,
};

const CERTIFICATES: Subject = Subject("certificates");

/// So long before its end a CA should have been followed by another: keyporter's own is, four months before.
const CA_SOON: time::Duration = time::Duration::days(30);
/// So long before its end a serving certificate should have been renewed: cert-manager does so at 30 days by default.
const LEAF_SOON: time::Duration = time::Duration::days(7);

/// What a Secret holds for everybody to see.
#[derive(Debug, Clone)]
pub(super) struct Material {
    pub(super) secret: String,
    /// The key with the certificates.
    pub(super) key: &'static str,
    /// The certificates, PEM; `None` where the Secret or the key is not there.
    pub(super) pem: Option<Vec<u8>>,
}

/// A certificate, and until when it is valid.
struct Certificate {
    der: CertificateDer<'static>,
    not_after: OffsetDateTime,
}

pub(super) fn judge(observed: &Observed, now: OffsetDateTime) -> Vec<Finding> {
    let mut findings = bundles(observed, now);
    findings.extend(material(observed, now));
    findings
}

/// How the CA is mended.
fn mend(observed: &Observed) -> String {
    let restart = format!(
        "kubectl -n {} rollout restart deployment/{}",
        observed.namespace, observed.name
    );
    match observed.is_self_managed() {
        Some(true) => format!("keyporter writes it while it runs and may: see its pods and rights below; {restart}"),
        Some(false) => "cert-manager's injector writes it, or it is certificates.files.caBundle of the chart: see there".to_owned(),
        None => format!("see who writes it: keyporter, cert-manager, or the manifest; {restart}"),
    }
}

fn bundles(observed: &Observed, now: OffsetDateTime) -> Vec<Finding> {
    let mut findings = vec![];
    let mut earliest: Option<OffsetDateTime> = None;
    let mut count = 0;
    for (object, webhook) in webhooks::own(observed) {
        count += 1;
        let bundle = text(webhook, "/clientConfig/caBundle");
        if bundle.is_empty() {
            findings.push(CERTIFICATES.error(
                object,
                "caBundle is empty: the API server trusts nobody there",
                mend(observed),
            ));
            continue;
        }
        let pem = BASE64.decode(bundle.as_bytes()).unwrap_or_default();
        let all = read(&pem);
        let Some(last) = all.iter().map(|it| it.not_after).max() else {
            findings.push(CERTIFICATES.error(
                object,
                "caBundle holds no certificate that can be read",
                mend(observed),
            ));
            continue;
        };
        if last <= now {
            let message = format!("all of caBundle has expired, the last on {}", last.date());
            findings.push(CERTIFICATES.error(object, message, mend(observed)));
            continue;
        }
        if last - now < CA_SOON {
            let message = format!("caBundle expires on {}, and no other follows", last.date());
            findings.push(CERTIFICATES.warning(&object, message, mend(observed)));
        }
        if let Some(told) = mismatch(observed, &all) {
            findings.push(CERTIFICATES.error(object, told, mend(observed)));
            continue;
        }
        earliest = Some(earliest.map_or(last, |before| before.min(last)));
    }
    if findings.is_empty()
        && let Some(earliest) = earliest
    {
        findings.push(CERTIFICATES.ok(
            format!("caBundle of {count} webhooks"),
            format!("is there and valid until {}", earliest.date()),
        ));
    }
    findings
}

/// Whether what the API server trusts did not sign what the pods show, as far as that is seen.
fn mismatch(observed: &Observed, trusted: &[Certificate]) -> Option<String> {
    let material = observed.certificates.as_ref().ok()?.as_ref()?;
    let shown = read(material.pem.as_deref()?);
    let (first, others) = shown.split_first()?;
    let place = format!("Secret {}/{}", observed.namespace, material.secret);
    if material.key == "ca.crt" {
        let is_there = trusted.iter().any(|it| it.der == first.der);
        return (!is_there).then(|| format!("caBundle does not hold the CA of {place}"));
    }
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        let _unusable = roots.add(certificate.der.clone());
    }
    let parsed = ParsedCertificate::try_from(&first.der).ok()?;
    let others: Vec<_> = others.iter().map(|it| it.der.clone()).collect();
    // Of dates there is a line of its own.
    let moment = first.not_after - Duration::from_secs(1);
    let moment = u64::try_from(moment.unix_timestamp()).ok()?;
    let moment = UnixTime::since_unix_epoch(Duration::from_secs(moment));
    let algorithms = ring::default_provider().signature_verification_algorithms;
    let verified =
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &others, moment, algorithms.all);
    verified.is_err().then(|| {
        format!(
            "caBundle is not the CA that signed {} of {place}",
            material.key
        )
    })
}

/// The Secret that the pods have their certificate, or their CA, from.
fn material(observed: &Observed, now: OffsetDateTime) -> Vec<Finding> {
    let found = match &observed.certificates {
        Ok(Some(found)) => found,
        Ok(None) if observed.is_self_managed() == Some(true) => {
            return vec![CERTIFICATES.error(
                format!("Secret {}/keyporter-ca", observed.namespace),
                "is not there, and keyporter, which makes it, has not done so",
                mend(observed),
            )];
        }
        Ok(None) => return vec![],
        Err(unseen) => {
            return vec![CERTIFICATES.unseen("the Secret with keyporter's certificates", unseen)];
        }
    };
    let object = format!("Secret {}/{}", observed.namespace, found.secret);
    let key = found.key;
    let is_ca = key == "ca.crt";
    let renew = if is_ca {
        format!(
            "kubectl -n {} delete secret {}    # keyporter makes another CA, without a failed call",
            observed.namespace, found.secret
        )
    } else {
        format!(
            "renew it: with cert-manager `cmctl renew {} -n {}`, else put another pair into the Secret",
            observed.name, observed.namespace
        )
    };
    let Some(pem) = &found.pem else {
        let message = format!("is not there, or has no {key}: pods cannot start, or not serve");
        return vec![CERTIFICATES.error(object, message, renew)];
    };
    let all = read(pem);
    let Some(first) = all.first() else {
        return vec![CERTIFICATES.error(
            object,
            format!("{key} is no certificate that can be read"),
            renew,
        )];
    };
    let end = first.not_after;
    let mut findings = vec![];
    if end <= now {
        let message = format!("{key} has expired on {}", end.date());
        findings.push(CERTIFICATES.error(&object, message, &renew));
    } else if end - now < if is_ca { CA_SOON } else { LEAF_SOON } {
        let message = format!("{key} expires on {} and was not renewed", end.date());
        findings.push(CERTIFICATES.warning(&object, message, &renew));
    }
    let service = format!("{}.{}.svc", observed.name, observed.namespace);
    if !is_ca && !is_for(&first.der, &service) {
        let message = format!("{key} is not for the name {service}, by which the API server calls");
        findings.push(CERTIFICATES.error(&object, message, &renew));
    }
    if findings.is_empty() {
        findings.push(CERTIFICATES.ok(object, format!("{key} is valid until {}", end.date())));
    }
    findings
}

fn is_for(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let parsed = ParsedCertificate::try_from(certificate);
    let host = ServerName::try_from(host);
    matches!((parsed, host), (Ok(parsed), Ok(host)) if verify_server_name(&parsed, &host).is_ok())
}

fn read(pem: &[u8]) -> Vec<Certificate> {
    let all = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    let read = |der: CertificateDer<'static>| {
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).ok()?;
        let not_after = parsed.validity().not_after.to_datetime();
        Some(Certificate { der, not_after })
    };
    all.filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rstest::rstest;
    use serde_json::json;

    use super::{
        super::{finding::Severity, testing::healthy},
        *,
    };

    const DAY: time::Duration = time::Duration::days(1);

    fn authority(days: i64) -> CertifiedIssuer<'static, KeyPair> {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.not_before = OffsetDateTime::now_utc() - 1000 * DAY;
        parameters.not_after = OffsetDateTime::now_utc() + i32::try_from(days).unwrap() * DAY;
        CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
    }

    fn leaf(authority: &CertifiedIssuer<'static, KeyPair>, host: &str, days: i32) -> Material {
        let mut parameters = CertificateParams::new(vec![host.to_owned()]).unwrap();
        parameters.not_before = OffsetDateTime::now_utc() - 900 * DAY;
        parameters.not_after = OffsetDateTime::now_utc() + days * DAY;
        let key = KeyPair::generate().unwrap();
        let pem = parameters
            .signed_by(&key, authority)
            .unwrap()
            .pem()
            .into_bytes();
        Material {
            secret: "keyporter-tls".to_owned(),
            key: "tls.crt",
            pem: Some(pem),
        }
    }

    fn trust(observed: &mut Observed, pem: &str) {
        let bundle = json!(BASE64.encode(pem.as_bytes()));
        for all in [&mut observed.mutating, &mut observed.validating] {
            for configuration in all.as_mut().unwrap() {
                for webhook in configuration["webhooks"].as_array_mut().unwrap() {
                    webhook["clientConfig"]["caBundle"] = bundle.clone();
                }
            }
        }
    }

    fn now() -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    const HOST: &str = "keyporter.keyporter-system.svc";

    #[rstest]
    #[case::good(HOST, 90, None)]
    #[case::soon(HOST, 3, Some((Severity::Warning, "was not renewed")))]
    #[case::expired(HOST, -1, Some((Severity::Error, "has expired on")))]
    #[case::another_name("keyporter.other.svc", 90, Some((Severity::Error, "is not for the name")))]
    fn serving_certificates(
        #[case] host: &str,
        #[case] days: i32,
        #[case] expected: Option<(Severity, &str)>,
    ) {
        let authority = authority(400);
        let mut observed = healthy();
        trust(&mut observed, &authority.pem());
        observed.certificates = Ok(Some(leaf(&authority, host, days)));
        let findings = judge(&observed, now());
        match expected {
            None => assert!(
                findings.iter().all(|it| it.severity == Severity::Ok),
                "{findings:?}"
            ),
            Some((severity, words)) => {
                let found = findings.iter().find(|it| it.message.contains(words));
                assert_eq!(found.map(|it| it.severity), Some(severity), "{findings:?}");
            }
        }
    }

    #[rstest]
    #[case::expired(authority(-1).pem(), Severity::Error, "has expired")]
    #[case::soon(authority(10).pem(), Severity::Warning, "no other follows")]
    #[case::unreadable("hunter2".to_owned(), Severity::Error, "no certificate that can be read")]
    #[case::empty(String::new(), Severity::Error, "caBundle is empty")]
    fn what_is_trusted(#[case] pem: String, #[case] severity: Severity, #[case] words: &str) {
        let mut observed = healthy();
        observed.certificates = Ok(None);
        trust(&mut observed, &pem);
        let findings = judge(&observed, now());
        assert_eq!(findings[0].severity, severity, "{findings:?}");
        assert!(findings[0].message.contains(words), "{findings:?}");
        assert!(!format!("{findings:?}").contains("hunter2"));
    }

    #[test]
    fn another_ca_is_noticed() {
        let (ours, other) = (authority(400), authority(400));
        let mut observed = healthy();
        trust(&mut observed, &other.pem());
        observed.certificates = Ok(Some(leaf(&ours, HOST, 90)));
        let findings = judge(&observed, now());
        assert!(
            findings[0].message.contains("is not the CA that signed"),
            "{findings:?}"
        );
        let pem = Some(ours.pem().into_bytes());
        let managed = Material {
            secret: "keyporter-ca".to_owned(),
            key: "ca.crt",
            pem,
        };
        observed.certificates = Ok(Some(managed));
        let findings = judge(&observed, now());
        assert!(
            findings[0].message.contains("does not hold the CA of"),
            "{findings:?}"
        );
        trust(&mut observed, &format!("{}{}", other.pem(), ours.pem()));
        let findings = judge(&observed, now());
        assert!(
            findings.iter().all(|it| it.severity == Severity::Ok),
            "{findings:?}"
        );
    }
}
