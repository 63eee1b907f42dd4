use rstest::rstest;

use crate::{
    fixture::{Running, certificate_folder, generous, patiently},
    https::Client,
};

/// A CA of client certificates, and one of its certificates as a client presents it.
struct ClientCa {
    directory: tempfile::TempDir,
    certificate: String,
    key: String,
}

impl ClientCa {
    fn new() -> Self {
        let directory = certificate_folder();
        let authority = std::fs::read_to_string(directory.path().join("ca.crt")).unwrap();
        let key = std::fs::read_to_string(directory.path().join("ca.key")).unwrap();
        let issuer =
            rcgen::Issuer::from_ca_cert_pem(&authority, rcgen::KeyPair::from_pem(&key).unwrap())
                .unwrap();

        let mut parameters = rcgen::CertificateParams::default();
        parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &issuer).unwrap().pem();
        Self {
            directory,
            certificate,
            key: key.serialize_pem(),
        }
    }

    async fn server(&self) -> Running {
        Running::start_with(generous(), Some(&self.directory.path().join("ca.crt"))).await
    }

    fn prove(&self, client: Client) -> Client {
        client.identity(self.certificate.clone(), self.key.clone())
    }
}

#[rstest]
#[tokio::test]
async fn a_client_of_the_ca_is_let_in(
    #[values(&rustls::version::TLS12, &rustls::version::TLS13)]
    version: &'static rustls::SupportedProtocolVersion,
) {
    let ca = ClientCa::new();
    let server = ca.server().await;
    let client = ca.prove(server.client().tls(version));
    let (status, _, _) = patiently(client.get(&server.url("/"))).await.unwrap();
    assert_eq!(status, 200);
}

#[rstest]
#[tokio::test]
async fn a_client_without_certificate_is_not(
    #[values(&rustls::version::TLS12, &rustls::version::TLS13)]
    version: &'static rustls::SupportedProtocolVersion,
) {
    let server = ClientCa::new().server().await;
    patiently(server.client().tls(version).get(&server.url("/")))
        .await
        .unwrap_err();
    server
        .metric(r#"keyporter_tls_handshake_failures_total{cause="client_certificate"} 1"#)
        .await;
}

#[tokio::test]
async fn a_client_of_another_ca_is_not() {
    let server = ClientCa::new().server().await;
    let client = ClientCa::new().prove(server.client());
    patiently(client.get(&server.url("/"))).await.unwrap_err();
    server
        .metric(r#"keyporter_tls_handshake_failures_total{cause="client_certificate"} 1"#)
        .await;
}
