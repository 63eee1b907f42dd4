//! The webhook while its secrets change: with changes as a watch brings them, at a rate that no files do.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keyporter::catalog::{Catalog, Source, WatchedSecret, files};
use keyporter::inject::settings::Settings;
use keyporter::server::tls::{self, CertificateResolver};
use keyporter::server::{Limits, Server};
use keyporter::telemetry::{self, LogFilter, LogFormat};

use crate::admission::router;
use crate::secrets;

/// How many changes come together: a watch reads what is there.
const BATCH: u32 = 10;

/// Serves until it is killed.
#[derive(Debug, clap::Args)]
pub struct Churn {
    /// Where it listens
    listen: SocketAddr,
    /// A folder with tls.crt and tls.key
    certificates: PathBuf,
    /// A folder with Secrets
    secrets: PathBuf,
    /// How many of how many secrets change in a second
    rate: u32,
    /// How many secrets there are
    count: usize,
}

impl Churn {
    /// Serves.
    pub fn run(self) {
        telemetry::init(LogFormat::Json, &LogFilter::INFO).expect("a log");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            tokio::spawn(self.serve()).await.expect("no panic");
        });
    }

    async fn serve(self) {
        let settings = Settings::default();
        let catalog = Catalog::of(&settings);
        let loaded = files::load(&[self.secrets], "default").expect("Secrets");
        // As if a watch had told of them, which changes them from then on.
        catalog.replace(Source::OurLabel, loaded.secrets);
        if self.rate > 0 {
            tokio::spawn(change(catalog.clone(), self.rate, self.count));
        }
        let credentials = tls::load(&self.certificates).expect("a certificate");
        let config = tls::server_config(Arc::new(CertificateResolver::new(credentials)), None);
        let server = Server::bind(self.listen).await.expect("an address");
        let never = std::future::pending();
        let app = router(catalog, settings);
        let _drained = server
            .run(app, config.expect("TLS"), Limits::default(), never)
            .await;
    }
}

async fn change(catalog: Catalog, rate: u32, count: usize) {
    let mut interval = tokio::time::interval(Duration::from_secs(1) * BATCH / rate);
    let mut version = count;
    loop {
        interval.tick().await;
        for _ in 0..BATCH {
            version += 1;
            // In an order that jumps from namespace to namespace. Those of the pods' owner stay as they are, for answers to
            // be compared: they name the version of each secret.
            let number = secrets::OWN + version.wrapping_mul(7919) % (count - secrets::OWN);
            let json = secrets::json(number, secrets::OWN, version);
            let secret: WatchedSecret = serde_json::from_slice(&json).expect("a Secret");
            catalog.apply(Source::OurLabel, secret);
        }
    }
}
