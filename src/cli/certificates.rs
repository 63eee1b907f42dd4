//! Where `serve` has its certificates from.

use std::{error::Error, path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, ValueEnum, value_parser};
use kube::Client;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tracing::info;

use super::certs::host;
use crate::{
    admin::Condition,
    certificates::{
        self, DEFAULT_HOSTS, DEFAULT_VALIDITY,
        managed::{self, Lifetimes, Settings},
    },
    inject::name,
    metrics::Metrics,
    server::{
        reload,
        tls::{CertificateResolver, Configuration},
    },
};

/// Where development certificates land when no folder is given.
const DEVELOPMENT_CERTIFICATES: &str = "certs";

#[derive(Debug, Args)]
#[command(next_help_heading = "Certificates")]
pub(super) struct CertificateArguments {
    /// Where the serving certificate comes from
    #[arg(
        long = "certificates",
        value_enum,
        value_name = "ORIGIN",
        default_value_t
    )]
    origin: Origin,

    /// Folder with tls.crt and tls.key, read again when they change; without it a development certificate is made in certs/
    #[arg(long, value_name = "FOLDER")]
    cert_dir: Option<PathBuf>,

    /// Accept only clients with a certificate of this CA, such as the API server; read again when it changes
    #[arg(long, value_name = "FILE")]
    client_ca_file: Option<PathBuf>,

    /// The Service by which the API server calls, if certificates are self-managed
    #[arg(long, value_name = "NAME", default_value = "keyporter", value_parser = service)]
    service: String,

    /// Another DNS name or IP address by which clients call, if certificates are self-managed. May be repeated
    #[arg(long = "host", value_name = "NAME", value_parser = host)]
    hosts: Vec<ServerName<'static>>,

    /// Mutating and validating webhook configurations whose caBundle is kept, if certificates are self-managed; all of
    /// their webhooks have to be keyporter's. May be repeated
    #[arg(
        long = "webhook-configuration",
        value_name = "NAME",
        default_values = ["keyporter", "keyporter-secret-owner-stamp"]
    )]
    configurations: Vec<String>,

    /// How long a CA lasts: years pass too slowly for tests
    #[arg(long, hide = true, value_name = "SECONDS", value_parser = value_parser!(u32).range(10..))]
    ca_seconds: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Origin {
    /// A folder: of cert-manager's Secret, for instance, or for development
    #[default]
    Files,
    /// keyporter makes and renews a CA and certificates, and writes the CA into its webhook configurations
    SelfManaged,
}

impl CertificateArguments {
    /// What the listener follows; tasks keep it up to date. Without a cluster there is no `client`.
    pub(super) fn start(
        &self,
        client: Option<&Client>,
        own_namespace: &str,
        metrics: &Metrics,
        condition: Condition,
    ) -> Result<Configuration, Box<dyn Error>> {
        let resolver = match (self.origin, client) {
            (Origin::Files, _) => self.of_files(metrics, condition)?,
            (Origin::SelfManaged, None) => {
                return Err(
                    "--certificates self-managed takes a cluster, and --secrets is without".into(),
                );
            }
            (Origin::SelfManaged, _) if self.cert_dir.is_some() => {
                return Err("--cert-dir cannot be used with --certificates self-managed".into());
            }
            (Origin::SelfManaged, Some(client)) => {
                let resolver = Arc::new(CertificateResolver::default());
                let shown = Arc::clone(&resolver);
                tokio::spawn(managed::keep(
                    client.clone(),
                    self.managed(own_namespace)?,
                    move |credentials| shown.replace(credentials),
                    metrics.clone(),
                    condition,
                ));
                resolver
            }
        };
        let client_ca = self.client_ca_file.as_deref();
        let (configuration, following) = reload::configuration(resolver, client_ca, metrics)?;
        tokio::spawn(following);
        Ok(configuration)
    }

    /// The folder's certificate, or one made for development.
    fn of_files(
        &self,
        metrics: &Metrics,
        condition: Condition,
    ) -> Result<Arc<CertificateResolver>, Box<dyn Error>> {
        let folder = match &self.cert_dir {
            Some(folder) => folder.clone(),
            None => development_certificate()?,
        };
        let (resolver, following) = reload::certificate(&folder, metrics, condition)?;
        tokio::spawn(following);
        Ok(resolver)
    }

    fn managed(&self, own_namespace: &str) -> Result<Settings, InvalidDnsNameError> {
        let service = format!("{}.{own_namespace}", self.service);
        let names = [
            format!("{service}.svc"),
            format!("{service}.svc.cluster.local"),
            service,
            "localhost".to_owned(),
        ];
        let names = names.map(ServerName::try_from).into_iter();
        let mut hosts = names.collect::<Result<Vec<_>, _>>()?;
        hosts.extend(self.hosts.iter().cloned());
        let lifetimes = self.ca_seconds.map_or_else(Lifetimes::default, |seconds| {
            let authority = Duration::from_secs(seconds.into());
            Lifetimes {
                authority,
                leaf: authority / 5,
            }
        });
        Ok(Settings {
            namespace: own_namespace.to_owned(),
            hosts,
            configurations: self.configurations.clone(),
            lifetimes,
        })
    }
}

fn development_certificate() -> Result<PathBuf, Box<dyn Error>> {
    let folder = PathBuf::from(DEVELOPMENT_CERTIFICATES);
    let hosts = DEFAULT_HOSTS
        .map(ServerName::try_from)
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let outcome = certificates::ensure(&folder, &hosts, DEFAULT_VALIDITY)?;
    let ca = outcome.authority_certificate.display();
    info!(%ca, "a development certificate is used, as there is no --cert-dir; clients trust this CA");
    Ok(folder)
}

fn service(name: &str) -> Result<String, String> {
    if name::is_label(name) {
        Ok(name.to_owned())
    } else {
        Err("a Service's name has 1 to 63 characters a-z, 0-9 and -, and starts and ends with a letter or digit".to_owned())
    }
}
