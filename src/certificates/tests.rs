use std::{collections::BTreeSet, sync::Arc};

use rstest::rstest;
use rustls::{ClientConfig, ServerConfig, pki_types::pem::PemObject};
use tempfile::TempDir;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::prelude::*;

use super::*;

const DAY: Duration = Duration::from_hours(24);

fn hosts(names: &[&str]) -> Vec<ServerName<'static>> {
    names
        .iter()
        .map(|name| ServerName::try_from((*name).to_owned()).unwrap())
        .collect()
}

fn default_hosts() -> Vec<ServerName<'static>> {
    hosts(&DEFAULT_HOSTS)
}

fn generated() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    generate(directory.path(), &default_hosts(), DEFAULT_VALIDITY).unwrap();
    directory
}

fn der(directory: &TempDir, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(directory.path().join(name)).unwrap()
}

fn bytes(directory: &TempDir) -> Vec<Vec<u8>> {
    ["ca.crt", "ca.key", "tls.crt", "tls.key"]
        .map(|name| fs::read(directory.path().join(name)).unwrap())
        .into()
}

#[test]
fn the_authority_may_sign_certificates_but_not_authorities() {
    let directory = generated();
    let der = der(&directory, "ca.crt");
    let (_, authority) = parse_x509_certificate(&der).unwrap();
    let constraints = authority.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical);
    assert!(constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    assert!(
        authority
            .key_usage()
            .unwrap()
            .unwrap()
            .value
            .key_cert_sign()
    );
    assert_eq!(
        authority.subject().to_string(),
        "CN=keyporter development CA"
    );
}

#[test]
fn the_leaf_is_a_serving_certificate_for_its_hosts_and_a_year() {
    let directory = generated();
    let der = der(&directory, "tls.crt");
    let (_, leaf) = parse_x509_certificate(&der).unwrap();
    assert!(!leaf.is_ca());
    assert!(
        leaf.extended_key_usage()
            .unwrap()
            .unwrap()
            .value
            .server_auth
    );

    let names: BTreeSet<String> = leaf
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        names,
        [
            "DNSName(keyporter.keyporter-system.svc)",
            "DNSName(localhost)",
            "IPAddress(00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:01)",
            "IPAddress(7f:00:00:01)",
        ]
        .map(str::to_owned)
        .into()
    );
    let validity = leaf.validity();
    let days = (validity.not_after.timestamp() - validity.not_before.timestamp()) / (24 * 60 * 60);
    assert_eq!(days, 365);
}

#[cfg(unix)]
#[test]
fn keys_are_their_owners_only() {
    use std::os::unix::fs::PermissionsExt;

    let directory = generated();
    let modes = ["ca.key", "tls.key", "ca.crt", "tls.crt"].map(|name| {
        let path = directory.path().join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    });
    assert_eq!(&modes[..2], [0o600, 0o600]);
    assert!(modes[2..].iter().all(|mode| mode & 0o600 == 0o600));
}

#[test]
fn nothing_but_the_four_files_stays() {
    let directory = generated();
    let names: BTreeSet<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        names,
        ["ca.crt", "ca.key", "tls.crt", "tls.key"]
            .map(str::to_owned)
            .into()
    );
}

#[rstest]
#[case("localhost")]
#[case("127.0.0.1")]
#[case("::1")]
#[case("keyporter.keyporter-system.svc")]
#[tokio::test]
async fn a_client_that_trusts_the_authority_alone_connects(#[case] host: &str) {
    let directory = generated();
    handshake(&directory, host).await.unwrap();
}

#[tokio::test]
async fn a_client_that_asks_for_another_host_does_not() {
    let directory = generated();
    let error = handshake(&directory, "example.org").await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[test]
fn what_is_good_is_kept() {
    let directory = generated();
    let before = bytes(&directory);
    let outcome = ensure(directory.path(), &default_hosts(), DEFAULT_VALIDITY).unwrap();
    assert_eq!(
        outcome.to_string(),
        "kept the CA\nkept the serving certificate"
    );
    assert_eq!(outcome.written(), Vec::<PathBuf>::new());
    assert_eq!(bytes(&directory), before);
}

#[test]
fn generate_makes_everything_anew() {
    let directory = generated();
    let before = bytes(&directory);
    generate(directory.path(), &default_hosts(), DEFAULT_VALIDITY).unwrap();
    for (before, after) in before.iter().zip(bytes(&directory)) {
        assert_ne!(*before, after);
    }
}

#[tokio::test]
async fn a_missing_name_renews_the_leaf_under_the_same_authority() {
    let directory = generated();
    let before = bytes(&directory);
    let outcome = ensure(
        directory.path(),
        &hosts(&["localhost", "webhook.example"]),
        DEFAULT_VALIDITY,
    )
    .unwrap();
    assert_eq!(
        outcome.to_string(),
        "kept the CA\nmade a new serving certificate: the last one was not for webhook.example"
    );
    assert_eq!(
        outcome.written(),
        ["tls.crt", "tls.key"].map(|name| directory.path().join(name))
    );
    assert_eq!(bytes(&directory)[..2], before[..2]);
    handshake(&directory, "webhook.example").await.unwrap();
}

#[test]
fn an_expired_leaf_is_renewed() {
    let directory = generated();
    // Its first five minutes lie in the past, so it has less than a tenth of its time left.
    ensure_short_lived(&directory);
    let outcome = ensure(directory.path(), &default_hosts(), DEFAULT_VALIDITY).unwrap();
    assert_eq!(outcome.authority, Action::Kept);
    assert_eq!(outcome.leaf, Action::Made(Reason::Expired));
    assert!(outcome.not_after > OffsetDateTime::now_utc() + DAY * 364);
}

#[test]
fn a_leaf_of_another_authority_is_renewed() {
    let directory = generated();
    let other = generated();
    for name in ["ca.crt", "ca.key"] {
        fs::copy(other.path().join(name), directory.path().join(name)).unwrap();
    }
    let outcome = ensure(directory.path(), &default_hosts(), DEFAULT_VALIDITY).unwrap();
    assert_eq!(outcome.leaf, Action::Made(Reason::Issuer));
}

#[test]
fn a_leaf_without_its_key_is_renewed() {
    let directory = generated();
    let other = generated();
    fs::copy(
        other.path().join("tls.key"),
        directory.path().join("tls.key"),
    )
    .unwrap();
    let outcome = ensure(directory.path(), &default_hosts(), DEFAULT_VALIDITY).unwrap();
    assert_eq!(outcome.leaf, Action::Made(Reason::KeyMismatch));
}

#[test]
fn a_leaf_does_not_outlive_its_authority() {
    let directory = tempfile::tempdir().unwrap();
    let outcome = generate(
        directory.path(),
        &default_hosts(),
        AUTHORITY_VALIDITY + DAY * 100,
    )
    .unwrap();
    assert!(outcome.not_after <= OffsetDateTime::now_utc() + AUTHORITY_VALIDITY);
}

#[rstest]
#[case("ca.crt")]
#[case("ca.key")]
#[case("tls.crt")]
#[case("tls.key")]
fn what_cannot_be_parsed_is_not_overwritten(#[case] name: &str) {
    let directory = generated();
    let path = directory.path().join(name);
    fs::write(&path, "a note of mine").unwrap();
    let error = ensure(directory.path(), &default_hosts(), DEFAULT_VALIDITY).unwrap_err();
    assert!(matches!(error, CertificatesError::Existing(_)), "{error:?}");
    assert!(error.to_string().contains("--force"));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains(&path.display().to_string()), "{cause}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a note of mine");
}

/// A reader of PEM that takes what stands before the empty line for headers would quote it.
#[test]
fn an_empty_line_in_the_authoritys_key_is_nothing() {
    let directory = generated();
    let path = directory.path().join("ca.key");
    let key = fs::read_to_string(&path).unwrap();
    let end = key.find("\n-----END").unwrap();
    let (before, after) = key.split_at(end - 8);
    let key = [before, "\n\n", after].concat();
    fs::write(&path, &key).unwrap();
    fs::remove_file(directory.path().join("tls.crt")).unwrap();
    let outcome = ensure(directory.path(), &default_hosts(), DEFAULT_VALIDITY).unwrap();
    assert_eq!(outcome.authority, Action::Kept);
    assert_eq!(outcome.leaf, Action::Made(Reason::Absent));
    assert_eq!(fs::read_to_string(&path).unwrap(), key);
}

#[test]
fn a_certificate_from_elsewhere_is_not_overwritten() {
    let directory = generated();
    for name in ["ca.crt", "ca.key"] {
        fs::remove_file(directory.path().join(name)).unwrap();
    }
    let error = ensure(directory.path(), &default_hosts(), DEFAULT_VALIDITY).unwrap_err();
    assert!(matches!(error, CertificatesError::Foreign(_)), "{error:?}");
}

fn ensure_short_lived(directory: &TempDir) {
    let paths = Paths::new(directory.path());
    let authority = existing_authority(&paths).unwrap().unwrap();
    new_leaf(
        &paths,
        &authority,
        &default_hosts(),
        Duration::from_secs(10),
    )
    .unwrap();
}

/// A real handshake in memory. Its error is the client's.
async fn handshake(directory: &TempDir, host: &str) -> io::Result<()> {
    let provider = Arc::new(ring::default_provider());
    let credentials = Credentials::read(
        &directory.path().join("tls.crt"),
        &directory.path().join("tls.key"),
    )
    .unwrap();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
            credentials.certified_key().clone(),
        )));
    let mut roots = RootCertStore::empty();
    roots.add(der(directory, "ca.crt")).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let (near, far) = tokio::io::duplex(16 * 1024);
    let accept = TlsAcceptor::from(Arc::new(server)).accept(far);
    let connect = TlsConnector::from(Arc::new(client))
        .connect(ServerName::try_from(host.to_owned()).unwrap(), near);
    let (_, connected) = tokio::join!(accept, connect);
    connected.map(drop)
}
