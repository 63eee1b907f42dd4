//! The cluster that a command talks to.

use std::{
    env, io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{
    Api, Client, Config,
    api::PostParams,
    client::AuthError,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
    core::request,
};
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;

use super::values::{group, namespace, timeout, username};
use crate::{access::AccessError, causes::one_line};

/// Flags of commands for people, as kubectl has them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub(super) struct ClusterArguments {
    #[command(flatten)]
    place: PlaceArguments,

    /// Act as this user, which takes the right to impersonate them
    #[arg(long = "as", value_name = "USER", value_parser = username)]
    user: Option<String>,

    /// A group to act as, beside the user; may be repeated
    #[arg(long = "as-group", value_name = "GROUP", value_parser = group, requires = "user")]
    groups: Vec<String>,
}

/// Which cluster, and where in it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub(super) struct PlaceArguments {
    /// The kubeconfig; without it that of $KUBECONFIG, ~/.kube/config, or the account of the pod that this runs in
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// A context of the kubeconfig, other than its current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// The namespace; without it that of the context
    #[arg(short, long, value_name = "NAMESPACE", value_parser = namespace)]
    namespace: Option<String>,

    /// How long to wait for the API server, such as 5s or 2m; a number alone is seconds, 0 waits for ever
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    request_timeout: Option<Duration>,
}

/// Why there is no way to a cluster.
///
/// What kube says of a kubeconfig that it cannot read is left out: it quotes the lines around the mistake, with tokens
/// and keys in them. So it does with PEM text, the output of a credential plugin and the address of a proxy.
#[derive(Debug, Error)]
pub(super) enum ClusterError {
    #[error(
        "no cluster: $KUBECONFIG and ~/.kube/config name none, and this is no pod of one; \
         name it with --kubeconfig FILE{0}"
    )]
    None(&'static str),
    #[error("cannot read the kubeconfig {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{0} is not valid; `kubectl config view` with the same file tells where")]
    Invalid(String),
    #[error("{0} has no context {1:?}; `kubectl config get-contexts` lists those it has")]
    NoContext(String, String),
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

/// Why a request came to nothing: one line, without what could be a credential.
#[derive(Debug, Error)]
pub(super) enum RequestError {
    /// In the API server's own words.
    #[error("{sentence}")]
    Refused { code: u16, sentence: String },
    #[error("the API server cannot be reached: {0}")]
    Unreached(String),
    #[error(transparent)]
    Credentials(ClusterError),
    #[error("the API server's answer is not what was asked for")]
    OddAnswer,
}

/// Whom the API server takes the caller for.
#[derive(Debug, Clone, Default)]
pub(super) struct Caller {
    pub(super) username: String,
    pub(super) groups: Vec<String>,
}

impl Caller {
    pub(super) async fn ask(client: &Client) -> Result<Self, RequestError> {
        let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
        let review = SelfSubjectReview::default();
        let review = reviews.create(&PostParams::default(), &review).await?;
        let user = review.status.and_then(|status| status.user_info);
        let user = user.ok_or(RequestError::OddAnswer)?;
        Ok(Self {
            username: user.username.ok_or(RequestError::OddAnswer)?,
            groups: user.groups.unwrap_or_default(),
        })
    }
}

impl ClusterArguments {
    /// The namespace of the flag.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.place.namespace()
    }

    /// A client for the cluster, as whom the flags say. Its default namespace is the one that is meant.
    pub(super) async fn client(&self) -> Result<Client, ClusterError> {
        let mut config = self.place.config("").await?;
        if let Some(user) = &self.user {
            // All of it, lest a group or an extra that the kubeconfig names goes with another user.
            let identity = &mut config.auth_info;
            identity.impersonate = Some(user.clone());
            identity.impersonate_uid = None;
            identity.impersonate_groups = Some(self.groups.clone());
            identity.impersonate_user_extra = None;
        }
        connect(config)
    }
}

impl PlaceArguments {
    /// The namespace of the flag.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// A client for the cluster. Its default namespace is the one that is meant; `otherwise` is what can be done without.
    pub(super) async fn client(&self, otherwise: &'static str) -> Result<Client, ClusterError> {
        connect(self.config(otherwise).await?)
    }

    async fn config(&self, otherwise: &'static str) -> Result<Config, ClusterError> {
        let mut config = config(
            self.kubeconfig.as_deref(),
            self.context.as_deref(),
            otherwise,
        )
        .await?;
        if let Some(namespace) = &self.namespace {
            config.default_namespace.clone_from(namespace);
        }
        if let Some(timeout) = self.request_timeout {
            let timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
            config.connect_timeout = timeout;
            config.read_timeout = timeout;
            config.write_timeout = timeout;
        }
        Ok(config)
    }
}

/// A client for the cluster of this kubeconfig; without one for that of $KUBECONFIG, of ~/.kube/config, or the one that
/// this pod runs in.
pub(super) async fn client(kubeconfig: Option<&Path>) -> Result<Client, ClusterError> {
    connect(config(kubeconfig, None, ", or serve files with --secrets PATH").await?)
}

/// `otherwise` is what can be done without a cluster.
async fn config(
    file: Option<&Path>,
    context: Option<&str>,
    otherwise: &'static str,
) -> Result<Config, ClusterError> {
    let options = KubeConfigOptions {
        context: context.map(ToOwned::to_owned),
        ..KubeConfigOptions::default()
    };
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
    // Only a kubeconfig has contexts.
    if context.is_none()
        && let Ok(config) = Config::incluster()
    {
        return Ok(config);
    }
    let asked_for = env::var_os("KUBECONFIG").is_some_and(|files| !files.is_empty());
    Err(match error {
        KubeconfigError::FindPath => ClusterError::None(otherwise),
        KubeconfigError::ReadConfig(error, _)
            if !asked_for && error.kind() == io::ErrorKind::NotFound =>
        {
            ClusterError::None(otherwise)
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
            KubeconfigError::LoadContext(name) => Self::NoContext(kubeconfig, name),
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

/// Not by way of kube's own decoding, which logs what it cannot read.
pub(super) async fn ask<T: DeserializeOwned>(
    client: &Client,
    request: Result<axum::http::Request<Vec<u8>>, request::Error>,
) -> Result<T, RequestError> {
    let request = request.map_err(kube::Error::BuildRequest)?;
    let text = client.request_text(request).await?;
    serde_json::from_str(&text).map_err(|_| RequestError::OddAnswer)
}

impl RequestError {
    /// What an answer that is no success says.
    pub(super) fn refused(code: u16, answer: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Status {
            message: String,
        }
        // A proxy on the way answers in forms of its own.
        let sentence = match serde_json::from_slice(answer) {
            Ok(Status { message }) => in_one_line(&message),
            Err(_) => {
                format!("the API server, or a proxy on the way to it, answers with code {code}")
            }
        };
        Self::Refused { code, sentence }
    }

    /// The code of a refusal.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether it takes a right that the caller has not.
    pub(super) fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }
}

impl From<AccessError> for RequestError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Unanswered(error) => (*error).into(),
            error @ AccessError::Slow => Self::Unreached(error.to_string()),
            AccessError::Unreadable => Self::OddAnswer,
        }
    }
}

/// Webhooks of others may say something of several lines.
fn in_one_line(sentence: &str) -> String {
    sentence.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl From<kube::Error> for RequestError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused {
                code: status.code,
                sentence: in_one_line(&status.message),
            },
            // Credentials that expire are fetched anew with a request.
            kube::Error::Service(error) => match error.downcast_ref() {
                Some(error) => Self::Credentials(ClusterError::credentials(error)),
                None => Self::Unreached(one_line(&*error)),
            },
            kube::Error::HyperError(error) => Self::Unreached(one_line(&error)),
            _ => Self::OddAnswer,
        }
    }
}
