//! The cluster that `serve` watches.

use std::{
    error::Error as _,
    io,
    path::{Path, PathBuf},
};

use kube::{
    Client, Config,
    config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use thiserror::Error;

/// Why there is no way to a cluster.
///
/// What kube says of a kubeconfig that it cannot read is left out: it quotes the lines around the mistake, with tokens
/// and keys in them.
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
    #[error("{0} cannot be used")]
    Unusable(String, #[source] KubeconfigError),
    #[error("no client for the cluster can be made")]
    Client(#[source] kube::Error),
}

/// A client for the cluster of this kubeconfig; without one for that of $KUBECONFIG, of ~/.kube/config, or the one that
/// this pod runs in.
pub(super) async fn client(kubeconfig: Option<&Path>) -> Result<Client, ClusterError> {
    let config = match kubeconfig {
        None => Config::infer().await.map_err(|error| inferred(&error))?,
        Some(file) => from_file(file).await.map_err(|error| {
            ClusterError::of(format!("the kubeconfig {}", file.display()), error)
        })?,
    };
    Client::try_from(config).map_err(ClusterError::Client)
}

async fn from_file(file: &Path) -> Result<Config, KubeconfigError> {
    let kubeconfig = Kubeconfig::read_from(file)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await
}

/// Neither a kubeconfig nor a pod's own credentials. A kubeconfig that is there was meant.
fn inferred(error: &InferConfigError) -> ClusterError {
    match error.source().and_then(|error| error.downcast_ref()) {
        Some(KubeconfigError::Parse(_)) => {
            ClusterError::Invalid("the kubeconfig of $KUBECONFIG or ~/.kube/config".to_owned())
        }
        _ => ClusterError::None,
    }
}

impl ClusterError {
    fn of(kubeconfig: String, error: KubeconfigError) -> Self {
        match error {
            KubeconfigError::ReadConfig(source, path) => Self::Unreadable { path, source },
            KubeconfigError::Parse(_) => Self::Invalid(kubeconfig),
            other => Self::Unusable(kubeconfig, other),
        }
    }
}
