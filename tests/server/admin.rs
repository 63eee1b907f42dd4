use std::{net::SocketAddr, time::Duration};

use keyporter::{
    admin::{self, Readiness},
    metrics::Metrics,
    server::{Drained, Server},
};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    fixture::patiently,
    https::{Answer, Connection},
};

struct Admin {
    address: SocketAddr,
    readiness: Readiness,
    metrics: Metrics,
    stop: oneshot::Sender<()>,
    drained: JoinHandle<Drained>,
}

impl Admin {
    async fn start() -> Self {
        let (readiness, metrics) = (Readiness::default(), Metrics::new());
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = server.local_addr();
        let router = admin::router(readiness.clone(), metrics.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let drained = tokio::spawn(server.run_plain(router, admin::limits(), async {
            let _ = stopped.await;
        }));
        Self {
            address,
            readiness,
            metrics,
            stop,
            drained,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        let mut connection = Connection::plain(self.address).await.unwrap();
        let url = format!("http://{}{path}", self.address);
        patiently(connection.get(&url)).await.unwrap()
    }

    async fn text(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.get(path).await;
        (status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn alive_while_it_runs() {
    let admin = Admin::start().await;
    admin.readiness.drain();
    assert_eq!(admin.text("/livez").await, (200, "ok\n".to_owned()));
}

#[tokio::test]
async fn ready_when_every_condition_holds() {
    let admin = Admin::start().await;
    let catalog = admin.readiness.condition("catalog");
    let certificate = admin.readiness.condition("certificate");
    certificate.ready();
    catalog.not_ready("first list not complete");
    assert_eq!(
        admin.text("/readyz").await,
        (
            503,
            "[-]catalog failed: first list not complete\n[+]certificate ok\nreadyz check failed\n"
                .to_owned()
        )
    );

    catalog.ready();
    assert_eq!(
        admin.text("/readyz").await,
        (
            200,
            "[+]catalog ok\n[+]certificate ok\nreadyz check passed\n".to_owned()
        )
    );

    admin.readiness.drain();
    let (status, report) = admin.text("/readyz").await;
    assert_eq!(status, 503);
    assert!(
        report.contains("[-]shutdown failed: draining\n"),
        "{report}"
    );
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let admin = Admin::start().await;
    admin
        .metrics
        .admission("pods", "inject", "injected", Duration::from_micros(80));
    let (status, headers, body) = admin.get("/metrics").await;
    assert_eq!(status, 200);
    assert_eq!(
        headers["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let page = std::str::from_utf8(&body).unwrap();
    assert!(page.ends_with("# EOF\n"), "{page}");
    assert!(
        page.contains(
            r#"keyporter_admissions_total{resource="pods",decision="inject",reason="injected"} 1"#
        ),
        "{page}"
    );
}

#[tokio::test]
async fn elsewhere_the_paths_are_named() {
    let admin = Admin::start().await;
    assert_eq!(
        admin.text("/healthz").await,
        (
            404,
            "there are /livez, /readyz and /metrics here\n".to_owned()
        )
    );
}

#[tokio::test]
async fn it_stops_when_told() {
    let admin = Admin::start().await;
    let mut connection = Connection::plain(admin.address).await.unwrap();
    patiently(connection.get("http://localhost/livez"))
        .await
        .unwrap();
    admin.stop.send(()).unwrap();
    assert_eq!(patiently(admin.drained).await.unwrap().cut_off, 0);
    patiently(connection.ended()).await;
}
