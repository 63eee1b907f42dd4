//! Files that change while the server runs: what is good is used, what is not changes nothing.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, path::Path};

use keyporter::{
    admin::Readiness,
    certificates::{self, DEFAULT_HOSTS, DEFAULT_VALIDITY},
    metrics::Metrics,
    server::{Server, reload},
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    fixture::{certificate_folder, eventually, generous, hello, patiently},
    https::Client,
};

const RELOADS: &str = r#"keyporter_certificate_reloads_total{part="certificate"}"#;
const FAILURES: &str = r#"keyporter_certificate_reload_failures_total{part="certificate"}"#;
const EXPIRY: &str = "keyporter_certificate_expiry_timestamp_seconds";

/// A server that follows its files until it is dropped.
struct Following {
    address: SocketAddr,
    metrics: Metrics,
    readiness: Readiness,
    _tasks: JoinSet<()>,
}

impl Following {
    async fn start(folder: &Path, client_ca: Option<&Path>) -> Self {
        let (metrics, readiness) = (Metrics::new(), Readiness::default());
        let condition = readiness.condition("certificate");
        let (resolver, certificate) = reload::certificate(folder, &metrics, condition).unwrap();
        let (configuration, clients) =
            reload::configuration(resolver, client_ca, &metrics).unwrap();
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = server.local_addr();
        let mut tasks = JoinSet::new();
        tasks.spawn(certificate);
        tasks.spawn(clients);
        tasks.spawn(async {
            let run = server.run(hello(), configuration, generous(), std::future::pending());
            let _drained = run.await;
        });
        Self {
            address,
            metrics,
            readiness,
            _tasks: tasks,
        }
    }

    fn url(&self) -> String {
        format!("https://{}/", self.address)
    }

    /// Whether a new connection is shown a certificate of this folder's CA.
    async fn shows(&self, folder: &Path) -> bool {
        let client = Client::new(fs::read(folder.join("ca.crt")).unwrap());
        patiently(client.get(&self.url())).await.is_ok()
    }

    /// Waits until the series has this value.
    async fn counts(&self, series: &str, value: i64) {
        eventually(|| self.value(series) == Some(value)).await;
    }

    fn value(&self, series: &str) -> Option<i64> {
        let page = self.metrics.encode();
        let value = |line: &str| line.strip_prefix(series)?.trim().parse().ok();
        page.lines().find_map(value)
    }
}

/// Exchanges both files one after the other, as a person does.
fn copy_pair(from: &Path, to: &Path) {
    for file in ["tls.crt", "tls.key"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

/// A folder as the kubelet makes one of a Secret, and the way in which it exchanges the content.
struct Volume(TempDir);

impl Volume {
    fn new(content: &Path) -> Self {
        let volume = Self(tempfile::tempdir().unwrap());
        volume.exchange(content, "1");
        for file in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{file}"), volume.path().join(file)).unwrap();
        }
        volume
    }

    fn exchange(&self, content: &Path, version: &str) {
        let path = |name: &str| self.path().join(name);
        let before = fs::read_link(path("..data")).ok();
        let version = format!("..2026_{version}");
        fs::create_dir(path(&version)).unwrap();
        copy_pair(content, &path(&version));
        symlink(&version, path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
        if let Some(before) = before {
            fs::remove_dir_all(self.path().join(before)).unwrap();
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

#[tokio::test]
async fn renewed_files_are_shown_to_new_connections_and_old_ones_go_on() {
    let (folder, renewed) = (certificate_folder(), certificate_folder());
    let hosts = DEFAULT_HOSTS.map(|host| ServerName::try_from(host).unwrap());
    certificates::generate(renewed.path(), &hosts, DEFAULT_VALIDITY / 2).unwrap();
    let authority = fs::read(folder.path().join("ca.crt")).unwrap();
    let server = Following::start(folder.path(), None).await;
    let mut old = patiently(Client::new(&authority).connect(&server.url()))
        .await
        .unwrap();
    patiently(old.get(&server.url())).await.unwrap();
    let expiry = server.value(EXPIRY).unwrap();

    copy_pair(renewed.path(), folder.path());
    server.counts(RELOADS, 1).await;
    assert!(server.shows(renewed.path()).await);
    let client = Client::new(&authority);
    patiently(client.get(&server.url())).await.unwrap_err();
    patiently(old.get(&server.url())).await.unwrap();
    assert!(server.value(EXPIRY).unwrap() < expiry);
    assert_eq!(server.value(FAILURES), None, "half of a pair is no failure");
}

#[tokio::test]
async fn a_volume_that_the_kubelet_exchanges_is_followed() {
    let contents = [(); 3].map(|()| certificate_folder());
    let volume = Volume::new(contents[0].path());
    let server = Following::start(volume.path(), None).await;
    let authority = fs::read(contents[0].path().join("ca.crt")).unwrap();
    let mut old = patiently(Client::new(authority).connect(&server.url()))
        .await
        .unwrap();
    for (number, content) in (1..).zip(&contents[1..]) {
        volume.exchange(content.path(), &format!("{}", number + 1));
        server.counts(RELOADS, number).await;
        assert!(server.shows(content.path()).await);
        patiently(old.get(&server.url())).await.unwrap();
    }
    assert_eq!(server.value(FAILURES), None);
}

#[tokio::test]
async fn what_cannot_be_used_changes_nothing_and_is_counted_once() {
    let (folder, other) = (certificate_folder(), certificate_folder());
    let in_use = tempfile::tempdir().unwrap();
    fs::copy(folder.path().join("ca.crt"), in_use.path().join("ca.crt")).unwrap();
    let server = Following::start(folder.path(), None).await;

    let pair = |parameters: CertificateParams| {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    let mut expired = CertificateParams::default();
    expired.not_after = time::macros::datetime!(2020-02-29 12:00 UTC);
    let mut future = CertificateParams::default();
    future.not_before = time::macros::datetime!(4000-01-01 00:00 UTC);
    let (good, _) = pair(CertificateParams::default());
    let broken = [
        ("not PEM".to_owned(), "not PEM".to_owned()),
        (
            good,
            fs::read_to_string(other.path().join("tls.key")).unwrap(),
        ),
        pair(expired),
        pair(future),
    ];
    for (count, (certificate, key)) in (1..).zip(broken) {
        fs::write(folder.path().join("tls.crt"), certificate).unwrap();
        fs::write(folder.path().join("tls.key"), key).unwrap();
        server.counts(FAILURES, count).await;
        assert!(server.shows(in_use.path()).await);
        assert!(server.readiness.is_ready());
    }
    // What is told is not told again.
    fs::write(folder.path().join("note"), "a reason to look").unwrap();
    copy_pair(other.path(), folder.path());
    server.counts(RELOADS, 1).await;
    assert!(server.shows(other.path()).await);
    assert_eq!(server.value(FAILURES), Some(4));
}

#[tokio::test]
async fn a_folder_that_is_made_anew_is_followed() {
    let (first, second) = (certificate_folder(), certificate_folder());
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("tls");
    fs::create_dir(&folder).unwrap();
    copy_pair(first.path(), &folder);
    let server = Following::start(&folder, None).await;
    fs::remove_dir_all(&folder).unwrap();
    server.counts(FAILURES, 1).await;
    assert!(server.shows(first.path()).await);
    fs::create_dir(&folder).unwrap();
    copy_pair(second.path(), &folder);
    server.counts(RELOADS, 1).await;
    assert!(server.shows(second.path()).await);
}

#[tokio::test]
async fn an_expired_certificate_is_not_ready_until_a_renewed_one_comes() {
    let (folder, renewed) = (certificate_folder(), certificate_folder());
    let mut parameters = CertificateParams::new(["localhost".to_owned()]).unwrap();
    // X.509 knows whole seconds.
    parameters.not_after = time::OffsetDateTime::now_utc() + time::Duration::seconds(2);
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    fs::write(folder.path().join("tls.crt"), certificate.pem()).unwrap();
    fs::write(folder.path().join("tls.key"), key.serialize_pem()).unwrap();
    let server = Following::start(folder.path(), None).await;
    // Anything that changes is a reason to look at the date.
    eventually(|| {
        fs::write(folder.path().join("note"), "").unwrap();
        !server.readiness.is_ready()
    })
    .await;
    copy_pair(renewed.path(), folder.path());
    eventually(|| server.readiness.is_ready()).await;
    assert!(server.shows(renewed.path()).await);
}

/// A CA of client certificates, and a client that has one.
fn client_of(client: Client, folder: &Path) -> Client {
    let authority = fs::read_to_string(folder.join("ca.crt")).unwrap();
    let key = fs::read_to_string(folder.join("ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&authority, KeyPair::from_pem(&key).unwrap()).unwrap();
    let mut parameters = CertificateParams::default();
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.signed_by(&key, &issuer).unwrap();
    client.identity(certificate.pem(), key.serialize_pem())
}

#[tokio::test]
async fn another_client_ca_lets_in_its_clients_and_leaves_connections_alone() {
    const RELOADS: &str = r#"keyporter_certificate_reloads_total{part="client-ca"}"#;
    const FAILURES: &str = r#"keyporter_certificate_reload_failures_total{part="client-ca"}"#;
    let (folder, first, second) = (
        certificate_folder(),
        certificate_folder(),
        certificate_folder(),
    );
    let file = first.path().join("clients.crt");
    fs::copy(first.path().join("ca.crt"), &file).unwrap();
    let server = Following::start(folder.path(), Some(&file)).await;
    let client = Client::new(fs::read(folder.path().join("ca.crt")).unwrap());
    let of_first = client_of(client.clone(), first.path());
    let of_second = client_of(client, second.path());
    let mut old = patiently(of_first.connect(&server.url())).await.unwrap();
    patiently(old.get(&server.url())).await.unwrap();
    patiently(of_second.get(&server.url())).await.unwrap_err();

    fs::write(&file, "not PEM").unwrap();
    server.counts(FAILURES, 1).await;
    patiently(of_first.get(&server.url())).await.unwrap();

    fs::copy(second.path().join("ca.crt"), &file).unwrap();
    server.counts(RELOADS, 1).await;
    patiently(of_second.get(&server.url())).await.unwrap();
    patiently(of_first.get(&server.url())).await.unwrap_err();
    patiently(old.get(&server.url())).await.unwrap();
}
