//! The one node of a run with its control plane and the installed chart, and how a trial gets at it.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use libtest_mimic::{Failed, Trial};
use tokio::{runtime::Runtime, sync::OnceCell};

use crate::{
    enclosure::ADDRESS,
    git_server::GitServer,
    installation::Installation,
    node::Node,
    requirements::Requirements,
    support::{
        Result,
        control_plane::{ControlPlane, Nodes},
    },
};

/// No trial may hang a run.
const TRIAL_WITHIN: Duration = Duration::from_mins(5);

/// Starts the node when the first trial asks for it and ends it when the last holder is gone.
#[derive(Clone)]
pub(crate) struct Harness {
    shared: Arc<Shared>,
}

struct Shared {
    /// Before the runtime, because its clients have tasks there.
    cluster: OnceLock<std::result::Result<Cluster, String>>,
    requirements: Option<Requirements>,
    runtime: Runtime,
}

/// What every trial is given.
pub(crate) struct Cluster {
    /// Before the control plane that they work with.
    git_server: OnceCell<std::result::Result<GitServer, String>>,
    installation: Installation,
    _node: Node,
    plane: ControlPlane,
}

impl Harness {
    /// Starts nothing.
    pub(crate) fn new(requirements: Requirements) -> Self {
        Self::with(Some(requirements))
    }

    /// For naming the trials only.
    pub(crate) fn without_node() -> Self {
        Self::with(None)
    }

    fn with(requirements: Option<Requirements>) -> Self {
        let runtime = Runtime::new().expect("threads can be started");
        Self {
            shared: Arc::new(Shared {
                cluster: OnceLock::new(),
                requirements,
                runtime,
            }),
        }
    }

    /// A trial on the node.
    pub(crate) fn trial<F>(&self, name: &str, body: F) -> Trial
    where
        F: AsyncFnOnce(&Cluster) -> Result<()> + Send + 'static,
    {
        self.trial_within(TRIAL_WITHIN, name, body)
    }

    /// The same for one that may take another time.
    pub(crate) fn trial_within<F>(&self, bound: Duration, name: &str, body: F) -> Trial
    where
        F: AsyncFnOnce(&Cluster) -> Result<()> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        Trial::test(name, move || shared.run(bound, body))
    }
}

impl Shared {
    fn run<F>(&self, bound: Duration, body: F) -> std::result::Result<(), Failed>
    where
        F: AsyncFnOnce(&Cluster) -> Result<()>,
    {
        let cluster = match self
            .cluster
            .get_or_init(|| self.start().map_err(|error| error.to_string()))
        {
            Ok(cluster) => cluster,
            Err(error) => return Err(format!("there is no node: {error}").into()),
        };
        let outcome = self
            .runtime
            .block_on(async { tokio::time::timeout(bound, body(cluster)).await });
        match outcome {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(format!("still not done after {bound:?}").into()),
        }
    }

    fn start(&self) -> Result<Cluster> {
        let requirements = self.requirements.as_ref().ok_or("it is incomplete")?;
        let begin = Instant::now();
        let cluster = self.runtime.block_on(Cluster::start(requirements))?;
        eprintln!("node ready after {:.1} s", begin.elapsed().as_secs_f64());
        Ok(cluster)
    }
}

impl Cluster {
    /// The installed chart.
    pub(crate) fn installation(&self) -> &Installation {
        &self.installation
    }

    /// The server of a git repository, started.
    pub(crate) async fn git_server(&self) -> Result<&GitServer> {
        // What failed once is not tried again: every trial reports the first failure.
        let started = self
            .git_server
            .get_or_init(async || {
                GitServer::start(&self.plane.admin(), self.plane.folder())
                    .await
                    .map_err(|error| error.to_string())
            })
            .await;
        Ok(started.as_ref().map_err(Clone::clone)?)
    }

    /// Starts everything and installs the chart.
    pub(crate) async fn start(requirements: &Requirements) -> Result<Self> {
        let binaries = requirements.binaries.clone();
        let plane = ControlPlane::start_for(binaries, Nodes::Kubelets(ADDRESS)).await?;
        let node = Node::start(&plane, requirements).await?;
        let installation = Installation::start(&plane).await?;
        Ok(Self {
            git_server: OnceCell::new(),
            installation,
            _node: node,
            plane,
        })
    }
}

impl Deref for Cluster {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        &self.plane
    }
}
