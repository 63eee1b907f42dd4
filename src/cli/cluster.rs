//! The cluster that a command talks to.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use kube::{
    Client, Config,
    client::AuthError,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use thiserror::Error;

/// Why there is no way to a cluster.
///
/// What kube says of a kubeconfig that it cannot read is left out: it quotes the lines around the mistake, with tokens
/// and keys in them. So it does with PEM text, the output of a credential plugin and the address of a proxy.
#[derive(Debug, Error)]
pub(super) enum ClusterError {
    #[error(
        "no cluster: $KUBECONFIG and ~/.kube/config name none, and this is no pod of one; \
         name it with --kubeconfig FILE, or serve files with --secrets PATH"
    )]
    None,
    #[error("cannot read the kubeconfig {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{0} is not valid; `kubectl config view` with the same file tells where")]
    Invalid(String),
    #[error("{0} cannot be used: {1}")]
    Unusable(String, String),
    #[error(
        "the credentials for the cluster cannot be used: {0}; `kubectl auth whoami` tells more"
    )]
    Credentials(String),
    #[error(
        "a proxy is set, by proxy-url in the kubeconfig or by $HTTPS_PROXY, and keyporter can use none; unset it"
    )]
    Proxy,
    #[error("no client for the cluster can be made: {0}")]
    Client(kube::Error),
}

/// A client for the cluster of this kubeconfig; without one for that of $KUBECONFIG, of ~/.kube/config, or the one that
/// this pod runs in.
pub(super) async fn client(kubeconfig: Option<&Path>) -> Result<Client, ClusterError> {
    connect(config(kubeconfig).await?)
}

async fn config(file: Option<&Path>) -> Result<Config, ClusterError> {
    let options = KubeConfigOptions::default();
    if let Some(file) = file {
        let title = || format!("the kubeconfig {}", file.display());
        let kubeconfig =
            Kubeconfig::read_from(file).map_err(|error| ClusterError::of(title(), error))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        return config.map_err(|error| ClusterError::of(title(), error));
    }
    let error = match Config::from_kubeconfig(&options).await {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    if let Ok(config) = Config::incluster() {
        return Ok(config);
    }
    let asked_for = env::var_os("KUBECONFIG").is_some_and(|files| !files.is_empty());
    Err(match error {
        KubeconfigError::FindPath => ClusterError::None,
        KubeconfigError::ReadConfig(error, _)
            if !asked_for && error.kind() == io::ErrorKind::NotFound =>
        {
            ClusterError::None
        }
        other => ClusterError::of(
            "the kubeconfig of $KUBECONFIG or ~/.kube/config".to_owned(),
            other,
        ),
    })
}

fn connect(config: Config) -> Result<Client, ClusterError> {
    Client::try_from(config).map_err(|error| match error {
        kube::Error::Auth(error) => ClusterError::credentials(&error),
        kube::Error::ProxyProtocolDisabled { .. }
        | kube::Error::ProxyProtocolUnsupported { .. } => ClusterError::Proxy,
        other => ClusterError::Client(other),
    })
}

impl ClusterError {
    fn of(kubeconfig: String, error: KubeconfigError) -> Self {
        match error {
            KubeconfigError::ReadConfig(source, path) => Self::Unreadable { path, source },
            KubeconfigError::Parse(_) => Self::Invalid(kubeconfig),
            KubeconfigError::ParseProxyUrl(_) => Self::Proxy,
            KubeconfigError::ParseCertificates(_) => {
                let reason = "its certificate authority is not in PEM form";
                Self::Unusable(kubeconfig, reason.to_owned())
            }
            other => Self::Unusable(kubeconfig, other.to_string()),
        }
    }

    fn credentials(error: &AuthError) -> Self {
        Self::Credentials(match error {
            AuthError::AuthExecStart(error) => {
                format!("cannot start the credential plugin: {error}")
            }
            AuthError::AuthExecRun { out, .. } => {
                format!("the credential plugin ended with {}", out.status)
            }
            AuthError::ReadTokenFile(error, path) => {
                format!("cannot read the token file {}: {error}", path.display())
            }
            _ => "the kubeconfig or its credential plugin gives none that are valid".to_owned(),
        })
    }
}
