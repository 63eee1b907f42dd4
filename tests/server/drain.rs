use keyporter::server::Limits;
use rstest::rstest;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    fixture::{Running, SHORT, eventually, generous, patiently},
    https::Client,
};

#[rstest]
#[case(Client::http1)]
#[case(Client::http2)]
#[tokio::test]
async fn a_running_request_finishes_and_new_ones_are_refused(#[case] offer: fn(Client) -> Client) {
    let server = Running::start(generous()).await;
    let (address, slow) = (server.address, server.slow.clone());
    let client = offer(server.client());
    let url = server.url("/slow");
    let request = tokio::spawn({
        let (client, url) = (client.clone(), url.clone());
        async move { client.get(&url).await }
    });
    slow.begun(1).await;

    let drained = server.stop();
    patiently(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    client.get(&url).await.unwrap_err();
    assert!(!drained.is_finished());

    slow.let_go(1);
    let (status, _, body) = patiently(request).await.unwrap().unwrap();
    assert_eq!((status.as_u16(), &body[..]), (200, &b"done"[..]));
    assert_eq!(patiently(drained).await.unwrap().cut_off, 0);
}

#[tokio::test]
async fn an_http1_answer_during_the_drain_says_that_it_is_the_last() {
    let server = Running::start(generous()).await;
    let (address, slow) = (server.address, server.slow.clone());
    let url = server.url("/slow");
    let client = server.client().http1();
    let request = tokio::spawn(async move { client.get(&url).await });
    slow.begun(1).await;

    let drained = server.stop();
    patiently(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    // The listener closes before the connections are told; they are told within the same poll.
    tokio::time::sleep(SHORT).await;
    slow.let_go(1);
    let (_, headers, _) = patiently(request).await.unwrap().unwrap();
    assert_eq!(headers["connection"], "close");
    assert_eq!(patiently(drained).await.unwrap().cut_off, 0);
}

#[rstest]
#[case(Client::http1)]
#[case(Client::http2)]
#[tokio::test]
async fn an_idle_connection_does_not_hold_up(#[case] offer: fn(Client) -> Client) {
    let server = Running::start(generous()).await;
    let url = server.url("/");
    let client = offer(server.client());
    let mut used = patiently(client.connect(&url)).await.unwrap();
    patiently(used.get(&url)).await.unwrap();
    let unused = patiently(client.connect(&url)).await.unwrap();

    let drained = patiently(server.stop()).await.unwrap();
    assert_eq!(drained.cut_off, 0);
    patiently(used.ended()).await;
    patiently(unused.ended()).await;
}

#[tokio::test]
async fn a_handshake_does_not_hold_up() {
    let server = Running::start(generous()).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    server.metric("keyporter_open_connections 1").await;
    let drained = patiently(server.stop()).await.unwrap();
    assert_eq!(drained.cut_off, 0);
}

#[tokio::test]
async fn a_slow_header_sender_holds_up_no_longer_than_its_limit() {
    let server = Running::start(Limits {
        header_read_timeout: SHORT * 3,
        ..generous()
    })
    .await;
    let mut stream = patiently(server.client().http1().handshake(&server.url("/")))
        .await
        .unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    tokio::time::sleep(SHORT).await;
    let drained = patiently(server.stop()).await.unwrap();
    assert_eq!(drained.cut_off, 0);
}

#[rstest]
#[case(Client::http1)]
#[case(Client::http2)]
#[tokio::test]
async fn what_does_not_finish_is_cut_off_and_counted(#[case] offer: fn(Client) -> Client) {
    let server = Running::start(Limits {
        drain_timeout: SHORT,
        ..generous()
    })
    .await;
    let metrics = server.metrics.clone();
    let slow = server.slow.clone();
    let url = server.url("/slow");
    let client = offer(server.client());
    let request = tokio::spawn(async move { client.get(&url).await });
    slow.begun(1).await;

    let drained = patiently(server.stop()).await.unwrap();
    assert_eq!(drained.cut_off, 1);
    patiently(request).await.unwrap().unwrap_err();
    eventually(|| metrics.encode().contains("keyporter_open_connections 0")).await;
}
