//! The one control plane of a run, and how a trial gets at it.

use std::{
    ops::Deref,
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use libtest_mimic::{Failed, Trial};
use serde_json::json;
use tokio::{runtime::Runtime, sync::OnceCell};

use crate::support::{
    Result, cert_manager,
    control_plane::{Binaries, ControlPlane},
    helm,
    jobset::{self, JobSetController},
    keyporter::{self, Keyporter},
    policies,
};

/// No trial may hang a run.
const TRIAL_WITHIN: Duration = Duration::from_mins(5);

/// Starts the cluster when the first trial asks for it and ends it when the last holder is gone.
#[derive(Clone)]
pub(crate) struct Harness {
    shared: Arc<Shared>,
}

struct Shared {
    /// Before the runtime, because its clients have tasks there.
    cluster: OnceLock<std::result::Result<Cluster, String>>,
    binaries: std::result::Result<Binaries, String>,
    runtime: Runtime,
}

/// A namespace with this label is served by a keyporter that a trial started for itself.
pub(crate) const WEBHOOK_LABEL: &str = "tests.keyporter.dev/webhook";

/// For where the JobSet controller is not built: every field is kept as it is.
const JOB_SET_DEFINITION: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/jobset-crd.yaml"
);

/// What every trial is given.
pub(crate) struct Cluster {
    /// Before the control plane that it works on.
    job_sets: OnceCell<std::result::Result<Option<JobSetController>, String>>,
    /// Before the control plane that it watches.
    keyporter: OnceCell<std::result::Result<Keyporter, String>>,
    plane: ControlPlane,
}

impl Cluster {
    /// The webhook that most trials share: started, and called by the API server.
    pub(crate) async fn keyporter(&self) -> Result<&Keyporter> {
        // What failed once is not tried again: every trial reports the first failure.
        let started = self
            .keyporter
            .get_or_init(async || {
                self.start_keyporter()
                    .await
                    .map_err(|error| error.to_string())
            })
            .await;
        Ok(started.as_ref().map_err(Clone::clone)?)
    }

    /// The JobSet controller, started; `None` where it is not built, and JobSets are only defined.
    pub(crate) async fn job_set_controller(&self) -> Result<Option<&JobSetController>> {
        let started = self
            .job_sets
            .get_or_init(async || {
                self.start_job_sets()
                    .await
                    .map_err(|error| error.to_string())
            })
            .await;
        Ok(started.as_ref().map_err(Clone::clone)?.as_ref())
    }

    async fn start_job_sets(&self) -> Result<Option<JobSetController>> {
        let controller = JobSetController::start(&self.plane).await?;
        if controller.is_none() {
            jobset::define(&self.plane, Path::new(JOB_SET_DEFINITION)).await?;
        }
        Ok(controller)
    }

    async fn start_keyporter(&self) -> Result<Keyporter> {
        keyporter::prepare(&self.plane).await?;
        let binary = env!("CARGO_BIN_EXE_keyporter");
        let keyporter = Keyporter::start(&self.plane, binary.as_ref(), "keyporter").await?;
        let others = json!({"key": WEBHOOK_LABEL, "operator": "DoesNotExist"});
        keyporter
            .register(&self.plane.admin(), "keyporter", Some(others))
            .await?;
        keyporter.register_before_1_36(&self.plane.admin()).await?;
        Ok(keyporter)
    }
}

impl Harness {
    /// Looks for the programs and starts nothing.
    pub(crate) fn new() -> Self {
        let runtime = Runtime::new().expect("threads can be started");
        let binaries = Binaries::find().map_err(|error| error.to_string());
        Self {
            shared: Arc::new(Shared {
                cluster: OnceLock::new(),
                binaries,
                runtime,
            }),
        }
    }

    /// A trial that needs the API server alone.
    pub(crate) fn trial<F>(&self, name: &str, body: F) -> Trial
    where
        F: AsyncFnOnce(&Cluster) -> Result<()> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        Trial::test(name, move || shared.run(body)).with_ignored_flag(self.shared.binaries.is_err())
    }

    /// A trial that needs the workload controllers too.
    pub(crate) fn trial_with_controllers<F>(&self, name: &str, body: F) -> Trial
    where
        F: AsyncFnOnce(&Cluster) -> Result<()> + Send + 'static,
    {
        let controllers = self
            .shared
            .binaries
            .as_ref()
            .is_ok_and(Binaries::has_controllers);
        self.trial(name, body).with_ignored_flag(!controllers)
    }

    /// A trial that needs Helm, the API server and the controllers.
    pub(crate) fn trial_with_helm<F>(&self, name: &str, body: F) -> Trial
    where
        F: AsyncFnOnce(&Cluster) -> Result<()> + Send + 'static,
    {
        let trial = self.trial_with_controllers(name, body);
        let left_out = trial.has_ignored_flag() || helm::find().is_err();
        trial.with_ignored_flag(left_out)
    }

    /// A trial that needs all of this and cert-manager.
    pub(crate) fn trial_with_cert_manager<F>(&self, name: &str, body: F) -> Trial
    where
        F: AsyncFnOnce(&Cluster) -> Result<()> + Send + 'static,
    {
        let trial = self.trial_with_helm(name, body);
        let left_out = trial.has_ignored_flag() || cert_manager::find().is_err();
        trial.with_ignored_flag(left_out)
    }

    /// Why trials are left out, and what to do about it.
    pub(crate) fn what_is_missing(&self) -> String {
        let missing = match &self.shared.binaries {
            Ok(binaries) if binaries.has_controllers() => "Helm or cert-manager is missing",
            Ok(_) => "KUBEBUILDER_ASSETS has no kube-controller-manager",
            Err(error) => error,
        };
        format!(
            "{missing}: `make test` builds the programs of the control plane, Helm and cert-manager, and runs everything"
        )
    }
}

impl Shared {
    fn run<F>(&self, body: F) -> std::result::Result<(), Failed>
    where
        F: AsyncFnOnce(&Cluster) -> Result<()>,
    {
        let cluster = match self
            .cluster
            .get_or_init(|| self.start().map_err(|error| error.to_string()))
        {
            Ok(cluster) => cluster,
            Err(error) => return Err(format!("there is no cluster: {error}").into()),
        };
        let outcome = self
            .runtime
            .block_on(async { tokio::time::timeout(TRIAL_WITHIN, body(cluster)).await });
        match outcome {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(format!("still not done after {TRIAL_WITHIN:?}").into()),
        }
    }

    fn start(&self) -> Result<Cluster> {
        let begin = Instant::now();
        let plane = self
            .runtime
            .block_on(ControlPlane::start(self.binaries.clone()?))?;
        eprintln!(
            "control plane ready after {:.1} s",
            begin.elapsed().as_secs_f64()
        );
        // They hold for every trial, as in an installation.
        self.runtime.block_on(policies::apply(&plane))?;
        Ok(Cluster {
            job_sets: OnceCell::new(),
            keyporter: OnceCell::new(),
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
