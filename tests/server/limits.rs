use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use keyporter::server::Limits;
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    fixture::{PATIENCE, Running, SHORT, generous, patiently},
    https::{Answer, Client, Result},
};

/// Reads until the server ends the connection, however it does.
async fn ended(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = patiently(stream.read_to_end(&mut answer)).await;
    answer
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut_at_the_handshake_limit() {
    let server = Running::start(Limits {
        handshake_timeout: SHORT,
        ..generous()
    })
    .await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(ended(&mut silent).await, b"");
    server
        .metric(r#"keyporter_tls_handshake_failures_total{cause="timeout"} 1"#)
        .await;
}

#[rstest]
#[case::before_the_protocol_is_known(Client::http1, &b""[..])]
#[case::in_the_midst_of_http1_headers(Client::http1, b"GET / HTTP/1.1\r\nHost:")]
#[case::after_the_http2_preface(
    Client::http2,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"
)]
#[tokio::test]
async fn a_client_that_asks_nothing_is_cut_at_the_header_limit(
    #[case] offer: fn(Client) -> Client,
    #[case] beginning: &[u8],
) {
    let server = Running::start(Limits {
        header_read_timeout: SHORT,
        ..generous()
    })
    .await;
    let mut stream = patiently(offer(server.client()).handshake(&server.url("/")))
        .await
        .unwrap();
    stream.write_all(beginning).await.unwrap();
    ended(&mut stream).await;
    server.metric("keyporter_open_connections 0").await;
}

#[tokio::test]
async fn trickling_headers_do_not_prolong_the_limit() {
    let server = Running::start(Limits {
        header_read_timeout: SHORT,
        ..generous()
    })
    .await;
    let stream = patiently(server.client().http1().handshake(&server.url("/")))
        .await
        .unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let trickle = async {
        while write.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        answer = ended(&mut read) => assert_eq!(answer, b""),
        () = trickle => {}
    }
    server.metric("keyporter_open_connections 0").await;
}

#[tokio::test]
async fn headers_of_a_later_request_have_the_same_limit() {
    let server = Running::start(Limits {
        header_read_timeout: SHORT,
        ..generous()
    })
    .await;
    let mut stream = patiently(server.client().http1().handshake(&server.url("/")))
        .await
        .unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    patiently(stream.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    sleep(SHORT * 3).await;
    stream.write_all(b"GET / HT").await.unwrap();
    let rest = ended(&mut stream).await;
    assert!(!rest.windows(8).any(|bytes| bytes == b"HTTP/1.1"));
}

#[rstest]
#[case(Client::http1)]
#[case(Client::http2)]
#[tokio::test]
async fn a_pause_between_requests_may_be_longer_than_headers(#[case] offer: fn(Client) -> Client) {
    let server = Running::start(Limits {
        header_read_timeout: SHORT,
        ..generous()
    })
    .await;
    let url = server.url("/");
    let mut connection = patiently(offer(server.client()).connect(&url))
        .await
        .unwrap();
    patiently(connection.get(&url)).await.unwrap();
    sleep(SHORT * 4).await;
    let (status, _, _) = patiently(connection.get(&url)).await.unwrap();
    assert_eq!(status, 200);
}

#[rstest]
#[case(Client::http1)]
#[case(Client::http2)]
#[tokio::test]
async fn an_idle_connection_is_closed(#[case] offer: fn(Client) -> Client) {
    let server = Running::start(Limits {
        idle_timeout: SHORT,
        ..generous()
    })
    .await;
    let url = server.url("/");
    let mut connection = patiently(offer(server.client()).connect(&url))
        .await
        .unwrap();
    patiently(connection.get(&url)).await.unwrap();
    patiently(connection.ended()).await;
    server.metric("keyporter_open_connections 0").await;
}

#[rstest]
#[case(Client::http1)]
#[case(Client::http2)]
#[tokio::test]
async fn a_request_that_runs_is_not_idle(#[case] offer: fn(Client) -> Client) {
    let server = Running::start(Limits {
        header_read_timeout: SHORT,
        idle_timeout: SHORT,
        ..generous()
    })
    .await;
    let url = server.url("/slow");
    let mut connection = patiently(offer(server.client()).connect(&url))
        .await
        .unwrap();
    let (answer, ()) = tokio::join!(patiently(connection.get(&url)), async {
        server.slow.begun(1).await;
        sleep(SHORT * 4).await;
        server.slow.let_go(1);
    });
    assert_eq!(&answer.unwrap().2[..], b"done");
}

#[rstest]
#[case::http1_counts_in_whole_reads(Client::http1, 64 * 1024)]
#[case::http2_counts_exactly(Client::http2, 17 * 1024)]
#[tokio::test]
async fn too_many_headers_are_refused(
    #[case] offer: fn(Client) -> Client,
    #[case] too_many: usize,
) {
    let server = Running::start(Limits {
        max_header_size: 16 * 1024,
        ..generous()
    })
    .await;
    let url = server.url("/");
    let mut connection = patiently(offer(server.client()).connect(&url))
        .await
        .unwrap();
    let request = |size: usize| {
        Request::get(&url)
            .header("x-padding", "x".repeat(size))
            .body(Full::<Bytes>::default())
            .unwrap()
    };
    let (status, _, _) = patiently(connection.send(request(4 * 1024))).await.unwrap();
    assert_eq!(status, 200);
    let (status, _, _) = patiently(connection.send(request(too_many))).await.unwrap();
    assert_eq!(status, 431);
}

/// A server that holds so many connections.
async fn with_room_for(max_connections: u32) -> Running {
    Running::start(Limits {
        max_connections,
        ..generous()
    })
    .await
}

/// Asks on a connection of its own, while the test goes on.
fn another(client: &Client, url: &str) -> JoinHandle<Result<Answer>> {
    let (client, url) = (client.clone(), url.to_owned());
    tokio::spawn(async move { client.get(&url).await })
}

#[tokio::test]
async fn connections_above_the_maximum_wait_their_turn() {
    let server = with_room_for(2).await;
    let url = server.url("/");
    let client = server.client();
    let mut first = patiently(client.connect(&url)).await.unwrap();
    let _second = patiently(client.connect(&url)).await.unwrap();
    patiently(first.get(&url)).await.unwrap();

    let mut third = another(&client, &url);
    assert!(timeout(SHORT, &mut third).await.is_err(), "it did not wait");

    drop(first);
    let (status, _, _) = patiently(third).await.unwrap().unwrap();
    assert_eq!(status, 200);
}

#[tokio::test]
async fn silent_connections_make_room() {
    let server = with_room_for(2).await;
    let url = server.url("/");
    let client = server.client();
    let mut silent = patiently(client.connect(&url)).await.unwrap();
    patiently(silent.get(&url)).await.unwrap();
    // It has not even begun with TLS.
    let mut mute = TcpStream::connect(server.address).await.unwrap();

    for _ in 0..2 {
        let (status, _, _) = patiently(client.get(&url)).await.unwrap();
        assert_eq!(status, 200);
        // The place of the last one is free; it is taken before the next.
        let _kept = patiently(client.connect(&url)).await.unwrap();
    }
    assert_eq!(ended(&mut mute).await, b"");
    patiently(silent.ended()).await;
}

#[tokio::test]
async fn who_asks_keeps_its_place() {
    let server = with_room_for(1).await;
    let url = server.url("/");
    let client = server.client();
    let mut busy = patiently(client.connect(&url)).await.unwrap();
    patiently(busy.get(&url)).await.unwrap();
    let other = another(&client, &url);
    for _ in 0..20 {
        sleep(Duration::from_millis(100)).await;
        let (status, _, _) = patiently(busy.get(&url)).await.unwrap();
        assert_eq!(status, 200);
    }
    assert!(!other.is_finished());
    // From here on it is silent.
    let (status, _, _) = patiently(other).await.unwrap().unwrap();
    assert_eq!(status, 200);
}

#[tokio::test]
async fn requests_at_once_in_one_connection_are_limited() {
    let server = Running::start(Limits {
        max_concurrent_streams: 2,
        ..generous()
    })
    .await;
    let url = server.url("/slow");
    let mut connection = patiently(server.client().http2().connect(&server.url("/")))
        .await
        .unwrap();
    // The first answer proves that the client has read the server's settings.
    patiently(connection.get(&server.url("/"))).await.unwrap();
    let requests: Vec<_> = (0..3)
        .map(|_| {
            let mut sender = connection.another().unwrap();
            let request = Request::get(&url).body(Full::default()).unwrap();
            tokio::spawn(async move { sender.send_request(request).await })
        })
        .collect();

    server.slow.begun(2).await;
    sleep(SHORT).await;
    server.slow.begun(2).await;
    server.slow.let_go(3);
    for request in requests {
        assert_eq!(patiently(request).await.unwrap().unwrap().status(), 200);
    }
    server.slow.begun(3).await;
}

/// The default has to be longer than kube-apiserver keeps an idle connection (90 s).
#[test]
fn the_defaults_are_in_order() {
    let limits = Limits::default();
    assert!(limits.idle_timeout > Duration::from_secs(90));
    assert!(limits.drain_timeout < Duration::from_secs(30));
    assert!(limits.header_read_timeout < PATIENCE);
}
