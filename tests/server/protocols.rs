use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    fixture::{Running, generous, patiently},
    https::Client,
};

#[rstest]
#[case::the_server_prefers_http2(|client: Client| client, "HTTP/2.0")]
#[case::http2(Client::http2, "HTTP/2.0")]
#[case::http1(Client::http1, "HTTP/1.1")]
#[case::no_alpn_means_http1(Client::without_alpn, "HTTP/1.1")]
#[tokio::test]
async fn alpn_decides(#[case] offer: impl FnOnce(Client) -> Client, #[case] version: &str) {
    let server = Running::start(generous()).await;
    let client = offer(server.client());
    let (status, _, body) = patiently(client.get(&server.url("/version")))
        .await
        .unwrap();
    assert_eq!((status.as_u16(), &body[..]), (200, version.as_bytes()));
}

#[rstest]
#[tokio::test]
async fn both_tls_versions_serve_both_protocols(
    #[values(&rustls::version::TLS12, &rustls::version::TLS13)]
    version: &'static rustls::SupportedProtocolVersion,
    #[values(Client::http1, Client::http2)] offer: fn(Client) -> Client,
) {
    let server = Running::start(generous()).await;
    let client = offer(server.client().tls(version));
    let (status, _, body) = patiently(client.post(&server.url("/echo"), "text/plain", "a body"))
        .await
        .unwrap();
    assert_eq!((status.as_u16(), &body[..]), (200, &b"a body"[..]));
}

#[rstest]
#[case(Client::http1)]
#[case(Client::http2)]
#[tokio::test]
async fn a_connection_serves_many_requests(#[case] offer: fn(Client) -> Client) {
    let server = Running::start(generous()).await;
    let url = server.url("/echo");
    let mut connection = patiently(offer(server.client()).connect(&url))
        .await
        .unwrap();
    let body = "x".repeat(200_000);
    for _ in 0..20 {
        let (status, _, echoed) = patiently(connection.post(&url, "text/plain", body.clone()))
            .await
            .unwrap();
        assert_eq!((status.as_u16(), echoed.len()), (200, body.len()));
    }
    server.metric("keyporter_open_connections 1").await;
    drop(connection);
    server.metric("keyporter_open_connections 0").await;
}

#[tokio::test]
async fn plain_http_is_turned_away_and_disturbs_nobody() {
    let server = Running::start(generous()).await;
    let mut connection = patiently(server.client().connect(&server.url("/")))
        .await
        .unwrap();

    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // The end may be a reset; what counts is that there is one, and no page.
    let _ = patiently(plain.read_to_end(&mut answer)).await;
    assert!(!answer.windows(5).any(|bytes| bytes == b"hello"));
    server
        .metric(r#"keyporter_tls_handshake_failures_total{cause="not_tls"} 1"#)
        .await;

    let (status, _, _) = patiently(connection.get(&server.url("/"))).await.unwrap();
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_client_that_distrusts_us_is_counted_as_such() {
    let server = Running::start(generous()).await;
    let stranger = Running::start(generous()).await;
    let error = patiently(stranger.client().get(&server.url("/")))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("invalid peer certificate"),
        "{error}"
    );
    server
        .metric(r#"keyporter_tls_handshake_failures_total{cause="rejected_by_client"} 1"#)
        .await;
}

#[tokio::test]
async fn a_health_check_by_tcp_is_a_disconnection() {
    let server = Running::start(generous()).await;
    drop(TcpStream::connect(server.address).await.unwrap());
    server
        .metric(r#"keyporter_tls_handshake_failures_total{cause="disconnected"} 1"#)
        .await;
}
