//! `keyporter serve`: the webhook.

use std::{
    error::Error,
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Args;
use kube::Client;
use time::OffsetDateTime;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::{error, info, warn};

use super::{certificates::CertificateArguments, cluster, settings::SettingsArguments};
use crate::{
    access::Access,
    admin::{self, Readiness},
    catalog::{
        self, Catalog, Source,
        confirm::Confirmations,
        files::{self, FileWatch},
        watch::{Failure, Observer},
    },
    events::Events,
    inject::{
        entrants::{Entrants, Group, Username},
        identity::Identity,
        proof::KEY_LENGTH,
        settings::Settings,
    },
    metrics::Metrics,
    ownership::{OWN_NAMESPACE, Ownership},
    server::{Limits, Server},
    webhook::{self, Webhook},
};

/// How often the secrets are counted for the metrics.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);
/// Where a pod finds the name of its namespace.
/// <https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>
const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Run the webhook
///
/// On a cluster it watches Secrets with the rights of the kubeconfig or of the pod's service account. With --secrets it
/// needs no cluster: the Secrets come from files, and are read again when they change.
///
/// SIGTERM: readiness goes, requests that run are finished, then it ends with exit code 0.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter serve --secrets deploy/examples/secrets.yaml
  keyporter serve --listen 0.0.0.0:8443 --admin-listen 0.0.0.0:8081 --cert-dir /etc/keyporter/tls
  keyporter serve --listen 0.0.0.0:8443 --admin-listen 0.0.0.0:8081 --certificates self-managed")]
pub(super) struct Serve {
    /// Run standalone: a file or folder of Secrets; may be repeated
    #[arg(long = "secrets", value_name = "PATH", conflicts_with = "kubeconfig")]
    secrets: Vec<PathBuf>,

    /// The namespace of Secrets in files that name none
    #[arg(
        long,
        value_name = "NAMESPACE",
        default_value = "default",
        requires = "secrets"
    )]
    namespace: String,

    /// The cluster; without it that of $KUBECONFIG, of ~/.kube/config, or the one that this pod runs in
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// keyporter's own namespace, where it keeps the keys of owner proofs and its CA; without it that of this
    /// pod, or keyporter-system. It is left alone
    #[arg(long, value_name = "NAMESPACE", conflicts_with = "secrets")]
    own_namespace: Option<String>,

    /// Address of the webhook (HTTPS, POST /mutate and /validate)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,

    /// Address for probes and metrics (HTTP, /livez, /readyz, /metrics)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    admin_listen: SocketAddr,

    /// Seconds between SIGTERM and the end of accepting, for load balancers to notice
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    shutdown_delay: u64,

    /// Somebody who may enter all running pods (exec, attach, port-forward, debug), also with secrets of others in them,
    /// beside their owners and who may impersonate these. May be repeated
    #[arg(long = "may-enter-user", value_name = "USERNAME")]
    may_enter_users: Vec<Username>,

    /// The same for a group, such as system:serviceaccounts:NAMESPACE; none that holds everybody. May be repeated
    #[arg(long = "may-enter-group", value_name = "GROUP")]
    may_enter_groups: Vec<Group>,

    #[command(flatten)]
    certificates: CertificateArguments,

    #[command(flatten)]
    settings: SettingsArguments,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(self.serve())
    }

    /// Everything that can be wrong with the command line is found before the first connection is taken.
    async fn serve(self) -> Result<(), Box<dyn Error>> {
        let metrics = Metrics::new();
        let readiness = Readiness::default();
        let admin = Server::bind(self.admin_listen).await?;
        let server = Server::bind(self.listen)
            .await?
            .with_metrics(metrics.clone());
        let settings = self.settings();
        if settings.identity == Identity::Konduktor {
            warn!(
                "owners are what clients write into labels (--identity konduktor): this keeps people's secrets apart and \
                 protects them from nobody"
            );
        }
        let catalog = Catalog::of(&settings);
        let filling = self.fill(&catalog, &metrics, &readiness).await?;
        let tls = self.certificates.start(
            filling.client.as_ref(),
            &self.own_namespace(),
            &metrics,
            readiness.condition("certificate"),
        )?;
        tokio::spawn(count(catalog.clone(), metrics.clone()));
        let webhook = Webhook {
            catalog,
            settings: Arc::new(settings),
            metrics: metrics.clone(),
            access: filling.access.clone(),
            ownership: filling.ownership.clone(),
            events: filling.events.clone(),
            confirmations: filling.confirmations.clone(),
            complete: Arc::clone(&filling.complete),
        };

        let (stop, stopped) = watch::channel(false);
        let until_stopped = |mut stopped: watch::Receiver<bool>| async move {
            // An error means that the sender is gone, which is an end as well.
            let _ended = stopped.wait_for(|stopped| *stopped).await;
        };
        let admin = tokio::spawn(admin.run_plain(
            admin::router(readiness.clone(), metrics),
            admin::limits(),
            until_stopped(stopped.clone()),
        ));
        let delay = Duration::from_secs(self.shutdown_delay);
        let shutdown = async move {
            terminated().await;
            readiness.drain();
            tokio::time::sleep(delay).await;
        };
        // A task, as the connections are: this one here runs on a thread of its own, and to change between two threads
        // costs for each connection that is accepted.
        let app = webhook::router(webhook);
        let drained = tokio::spawn(server.run(app, tls, Limits::default(), shutdown)).await?;
        if drained.cut_off > 0 {
            warn!(
                connections = drained.cut_off,
                "connections were cut off: their requests took too long"
            );
        }
        // Probes are answered to the end.
        stop.send_replace(true);
        let _drained = admin.await?;
        info!("ended");
        Ok(())
    }

    fn settings(&self) -> Settings {
        let mut settings = self.settings.settings();
        settings.excluded_namespaces.insert(self.own_namespace());
        settings.entrants = Entrants {
            users: self.may_enter_users.iter().cloned().collect(),
            groups: self.may_enter_groups.iter().cloned().collect(),
        };
        settings
    }

    /// Fills the catalogue and keeps it up to date; readiness follows.
    async fn fill(
        &self,
        catalog: &Catalog,
        metrics: &Metrics,
        readiness: &Readiness,
    ) -> Result<Filling, Box<dyn Error>> {
        let condition = readiness.condition("catalog");
        let complete = Arc::new(AtomicBool::new(false));
        let mut access = Access::default();
        let mut key = [0; KEY_LENGTH];
        getrandom::fill(&mut key)?;
        let mut ownership = Ownership::standalone(key);
        let mut events = Events::default();
        let mut confirmations = Confirmations::default();
        let mut of_cluster = None;
        let files = if self.secrets.is_empty() {
            condition.not_ready("the first list of Secrets is not complete");
            let observer = CatalogObserver {
                metrics: metrics.clone(),
            };
            let client = cluster::client(self.kubeconfig.as_deref()).await?;
            of_cluster = Some(client.clone());
            access = Access::new(client.clone());
            let keys = readiness.condition("owner-keys");
            let (kept, following) = Ownership::of_cluster(&client, &self.own_namespace(), keys);
            ownership = kept;
            tokio::spawn(following);
            let (reported, writing) = Events::new(client.clone(), metrics.clone());
            events = reported;
            tokio::spawn(writing);
            confirmations = Confirmations::new(client.clone(), catalog.clone(), metrics.clone());
            let (mut synced, watching) = catalog::watch::watch(client, catalog.clone(), observer);
            tokio::spawn(watching);
            let complete = Arc::clone(&complete);
            tokio::spawn(async move {
                synced.wait().await;
                complete.store(true, Ordering::Release);
                condition.ready();
                info!("the first list of Secrets is complete");
            });
            None
        } else {
            // Once here, so that what is wrong ends the program; from then on only what was known is kept.
            let loaded = files::load(&self.secrets, &self.namespace)?;
            if let Some(warning) = loaded.warning(catalog) {
                warn!("{warning}");
            }
            let complete = Arc::clone(&complete);
            let metrics = metrics.clone();
            let outcome = move |result: Result<(), &files::LoadError>| {
                if result.is_ok() {
                    metrics.catalog_last_sync(OffsetDateTime::now_utc());
                    complete.store(true, Ordering::Release);
                    condition.ready();
                }
            };
            Some(files::watch(
                &self.secrets,
                &self.namespace,
                Some(loaded),
                catalog.clone(),
                outcome,
            )?)
        };
        Ok(Filling {
            client: of_cluster,
            complete,
            access,
            ownership,
            events,
            confirmations,
            _files: files,
        })
    }

    fn own_namespace(&self) -> String {
        let of_pod = || fs::read_to_string(POD_NAMESPACE).ok();
        let own = self.own_namespace.clone().or_else(of_pod);
        own.unwrap_or_else(|| OWN_NAMESPACE.to_owned())
    }
}

/// What keeps the catalogue full.
struct Filling {
    /// The cluster, if there is one.
    client: Option<Client>,
    /// Whether it was complete once.
    complete: Arc<AtomicBool>,
    /// Who is asked about rights.
    access: Access,
    /// What proves whose a workload is.
    ownership: Ownership,
    /// Who is told what becomes of pods.
    events: Events,
    /// Who makes sure that it has caught up.
    confirmations: Confirmations,
    /// Ends when it is dropped.
    _files: Option<FileWatch>,
}

/// Tells the metrics how the watches fare.
struct CatalogObserver {
    metrics: Metrics,
}

impl Observer for CatalogObserver {
    fn listed(&self, _: Source) {
        self.metrics.catalog_last_sync(OffsetDateTime::now_utc());
    }

    fn failed(&self, _: Source, _: Failure) {
        self.metrics.catalog_watch_restart();
    }
}

/// Keeps the numbers of the catalogue in the metrics.
async fn count(catalog: Catalog, metrics: Metrics) {
    let mut interval = tokio::time::interval(COUNT_INTERVAL);
    loop {
        interval.tick().await;
        let counts = catalog.counts();
        let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        for (kind, scope, count) in counts.usable() {
            metrics.catalog_secrets(kind.as_str(), scope.as_str(), number(count));
        }
        for (problem, count) in counts.broken() {
            metrics.catalog_ignored_secrets(problem, number(count));
        }
    }
}

/// Completes at SIGTERM, as the kubelet sends it, or at SIGINT, as a terminal does.
async fn terminated() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        error!("signals cannot be received: only SIGKILL ends this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: ending"),
        _ = interrupt.recv() => info!("SIGINT: ending"),
    }
}
