//! The folder of the serving certificate: what is accepted, and what each error says.

use std::{error::Error, fs, iter::successors, path::Path, sync::Arc};

use keyporter::server::tls::{self, CertificateResolver, TlsError};
use rcgen::{CertificateParams, KeyPair};
use rstest::rstest;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

use crate::{
    fixture::{Running, certificate_folder, generous, patiently},
    https::Client,
};

/// The error with its causes, and the folder's path replaced.
fn text(error: &TlsError, directory: &Path) -> String {
    successors(Some(error as &dyn Error), |&error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
        .replace(&directory.display().to_string(), "FOLDER")
}

fn load_error(directory: &TempDir) -> String {
    text(&tls::load(directory.path()).unwrap_err(), directory.path())
}

fn write_pair(directory: &Path, parameters: &CertificateParams) {
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    fs::write(directory.join("tls.crt"), certificate.pem()).unwrap();
    fs::write(directory.join("tls.key"), key.serialize_pem()).unwrap();
}

#[rstest]
#[case("tls.crt")]
#[case("tls.key")]
fn a_missing_file(#[case] name: &str) {
    let directory = certificate_folder();
    fs::remove_file(directory.path().join(name)).unwrap();
    assert_eq!(
        load_error(&directory),
        format!(
            "there is no FOLDER/{name}: put the file there, or make development certificates with \
             `keyporter certs generate`: No such file or directory (os error 2)"
        )
    );
}

#[test]
fn no_certificate_in_the_file() {
    let directory = certificate_folder();
    fs::copy(
        directory.path().join("tls.key"),
        directory.path().join("tls.crt"),
    )
    .unwrap();
    assert_eq!(
        load_error(&directory),
        "no certificate in FOLDER/tls.crt: it must hold PEM blocks of type CERTIFICATE, the server's own first"
    );
}

#[test]
fn no_key_in_the_file() {
    let directory = certificate_folder();
    fs::copy(
        directory.path().join("tls.crt"),
        directory.path().join("tls.key"),
    )
    .unwrap();
    assert_eq!(
        load_error(&directory),
        "no private key in FOLDER/tls.key: it must hold a PEM block of type PRIVATE KEY, EC PRIVATE KEY or \
         RSA PRIVATE KEY, not an encrypted one"
    );
}

#[test]
fn a_damaged_file() {
    let directory = certificate_folder();
    fs::write(
        directory.path().join("tls.crt"),
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let error = load_error(&directory);
    assert!(
        error.starts_with("FOLDER/tls.crt is not valid PEM (RFC 7468): "),
        "{error}"
    );
}

#[test]
fn a_damaged_certificate() {
    let directory = certificate_folder();
    fs::write(
        directory.path().join("tls.crt"),
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    assert_eq!(
        load_error(&directory),
        "the first certificate in FOLDER/tls.crt cannot be parsed as X.509 (RFC 5280)"
    );
}

#[test]
fn a_damaged_key() {
    let directory = certificate_folder();
    fs::write(
        directory.path().join("tls.key"),
        "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    let error = load_error(&directory);
    assert!(
        error.starts_with("the private key in FOLDER/tls.key cannot be used: "),
        "{error}"
    );
}

#[test]
fn the_key_of_another_certificate() {
    let directory = certificate_folder();
    let other = certificate_folder();
    fs::copy(
        other.path().join("tls.key"),
        directory.path().join("tls.key"),
    )
    .unwrap();
    assert_eq!(
        load_error(&directory),
        "the private key in FOLDER/tls.key does not belong to the first certificate in FOLDER/tls.crt: \
         replace both together"
    );
}

#[test]
fn an_expired_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.not_after = time::macros::datetime!(2020-02-29 12:00 UTC);
    write_pair(directory.path(), &parameters);
    assert_eq!(
        load_error(&directory),
        "the certificate in FOLDER/tls.crt expired at 2020-02-29T12:00:00Z: put a renewed one there"
    );
}

#[test]
fn a_certificate_of_the_future() {
    let directory = tempfile::tempdir().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.not_before = time::macros::datetime!(4000-01-01 00:00 UTC);
    write_pair(directory.path(), &parameters);
    assert_eq!(
        load_error(&directory),
        "the certificate in FOLDER/tls.crt is not valid before 4000-01-01T00:00:00Z: check this machine's clock, \
         or put another one there"
    );
}

#[test]
fn the_client_ca_file_has_errors_of_its_own() {
    let directory = certificate_folder();
    let error = |name: &str| {
        let resolver = CertificateResolver::new(tls::load(directory.path()).unwrap());
        let path = directory.path().join(name);
        let error = tls::server_config(Arc::new(resolver), Some(&path)).unwrap_err();
        text(&error, directory.path())
    };
    let missing = error("absent.crt");
    assert!(
        missing.starts_with("cannot read the client CA file FOLDER/absent.crt: "),
        "{missing}"
    );
    assert_eq!(
        error("tls.key"),
        "no certificate in the client CA file FOLDER/tls.key: it must hold PEM blocks of type CERTIFICATE"
    );
}

#[test]
fn the_dates_are_known() {
    let directory = certificate_folder();
    let credentials = tls::load(directory.path()).unwrap();
    let year = OffsetDateTime::now_utc() + Duration::days(365);
    let resolver = CertificateResolver::new(credentials);
    let not_after = resolver.current().unwrap().not_after();
    assert!((not_after - year).abs() < Duration::minutes(10));
}

#[rstest]
#[case::pkcs8("pkcs8.key", "ec.crt", "PRIVATE KEY")]
#[case::sec1("sec1.key", "ec.crt", "EC PRIVATE KEY")]
#[case::pkcs1("pkcs1.key", "rsa.crt", "RSA PRIVATE KEY")]
fn keys_in_every_form_are_read(#[case] key: &str, #[case] certificate: &str, #[case] label: &str) {
    let directory = tempfile::tempdir().unwrap();
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys");
    fs::copy(keys.join(key), directory.path().join("tls.key")).unwrap();
    fs::copy(keys.join(certificate), directory.path().join("tls.crt")).unwrap();

    let key = fs::read_to_string(directory.path().join("tls.key")).unwrap();
    assert!(key.contains(&format!("-----BEGIN {label}-----")), "{key}");
    tls::load(directory.path()).unwrap();
}

/// What a reload will do.
#[tokio::test]
async fn a_replaced_certificate_serves_new_connections_and_leaves_old_ones_alone() {
    let server = Running::start(generous()).await;
    let url = server.url("/");
    let mut old = patiently(server.client().connect(&url)).await.unwrap();
    patiently(old.get(&url)).await.unwrap();

    let renewed = certificate_folder();
    server.resolver.replace(tls::load(renewed.path()).unwrap());
    let authority = fs::read(renewed.path().join("ca.crt")).unwrap();
    patiently(Client::new(authority).get(&url)).await.unwrap();
    patiently(server.client().get(&url)).await.unwrap_err();
    patiently(old.get(&url)).await.unwrap();
}
