use std::error::Error;

use keyporter::server::Server;

#[tokio::test]
async fn port_zero_becomes_a_real_one() {
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    assert_ne!(server.local_addr().port(), 0);
}

#[tokio::test]
async fn an_address_in_use_is_named_with_the_way_out() {
    let first = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = first.local_addr();
    let error = Server::bind(address).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {address}, because another process does: stop it or choose another port"
        )
    );
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("in use"), "{cause}");
}

#[tokio::test]
async fn an_address_of_another_machine_is_named() {
    // TEST-NET-1 (RFC 5737) belongs to nobody.
    let error = Server::bind("192.0.2.1:0".parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "cannot listen on 192.0.2.1:0");
    assert!(error.source().is_some());
}
