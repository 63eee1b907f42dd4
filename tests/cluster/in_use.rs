//! Secrets that live pods carry are not deleted by mistake.

use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    canary,
    harness::{Cluster, Harness, WEBHOOK_LABEL},
    project::{Project, SHARED, secret_names, user_object, user_secret, wait_until},
    support::{
        Result,
        keyporter::{self, Keyporter},
        objects, wait_for,
    },
    workloads::run_once,
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_with_controllers("in_use::secrets_stay_and_their_pods_are_named", named),
        harness.trial("in_use::only_live_pods_hold_a_secret", live),
        harness.trial("in_use::all_pages_of_pods_count", pages),
        harness.trial_with_controllers("in_use::kubernetes_itself_is_not_hindered", kubernetes),
        harness.trial("in_use::nobody_knows_and_yet_nobody_is_locked_out", unknown),
    ]
}

/// A secret of alice's, and what is tried with it.
struct Trying {
    secrets: Api<Secret>,
    object: String,
    namespace: String,
}

impl Trying {
    /// Makes the secret and returns when the webhook gives it to alice's pods.
    async fn new(project: &Project) -> Result<Self> {
        let alice = project.client("alice");
        let mut secret = user_secret(&project.name, "alice", "canary");
        secret["stringData"]["TOKEN"] = canary::VALUE.into();
        objects::create(alice, secret).await?;
        let object = user_object("alice", "canary");
        wait_until("the secret to be known", async || {
            let pod = objects::as_pod(objects::dry_run(alice, project.pod("probe")).await?)?;
            Ok(secret_names(&pod).contains(&object))
        })
        .await?;
        Ok(Self {
            secrets: Api::namespaced(alice.clone(), &project.name),
            object,
            namespace: project.name.clone(),
        })
    }

    /// Returns when the API server asks about deletions; pods must carry the secret already.
    async fn wait_until_guarded(&self) -> Result<()> {
        wait_until("deletions to be reviewed", async || {
            Ok(self.deletion(true).await?.is_some())
        })
        .await
    }

    /// The sentence that alice reads who deletes it; `None` where she may.
    async fn deletion(&self, dry_run: bool) -> Result<Option<String>> {
        let parameters = DeleteParams {
            dry_run,
            ..DeleteParams::default()
        };
        refusal(self.secrets.delete(&self.object, &parameters).await)
    }

    /// What the sentence has to say of these pods.
    fn names(&self, pods: &str) -> String {
        format!(
            "secret {}/{} is in use by {pods}; delete it when they have ended, or set its annotation \
             keyporter.dev/force-delete to \"true\" first",
            self.namespace, self.object
        )
    }

    async fn force(&self) -> Result<()> {
        let force = json!({"metadata": {"annotations": {"keyporter.dev/force-delete": "true"}}});
        self.secrets
            .patch(&self.object, &PatchParams::default(), &Patch::Merge(force))
            .await?;
        Ok(())
    }
}

/// What the API server says, without a value.
fn refusal<T>(outcome: kube::Result<T>) -> Result<Option<String>> {
    match outcome {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => {
            let told = format!("{status:?}");
            assert!(!canary::is_in(&told), "{told}");
            Ok(Some(status.message.clone()))
        }
        Err(error) => Err(error.into()),
    }
}

async fn named(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "in-use-named").await?;
    let trying = Trying::new(&project).await?;
    let alice = project.client("alice");
    objects::create(alice, project.pod("plain")).await?;
    let job = project.workload(
        "batch/v1",
        "Job",
        "train",
        &json!({"template": run_once("job")}),
    );
    objects::create(alice, job).await?;
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [objects::container()]}});
    let spec = json!({"selector": {"matchLabels": {"app": "web"}}, "template": template});
    objects::create(
        alice,
        project.workload("apps/v1", "Deployment", "web", &spec),
    )
    .await?;
    let of_job = objects::wait_for_pod(&project.admin, &project.name, "job-name=train").await?;
    let of_deployment = objects::wait_for_pod(&project.admin, &project.name, "app=web").await?;
    trying.wait_until_guarded().await?;

    let pods = format!(
        "pod plain, pod {} (Job train), pod {} (Deployment web)",
        of_job.name_any(),
        of_deployment.name_any()
    );
    let expected = trying.names(&pods);
    for dry_run in [true, false] {
        let sentence = trying.deletion(dry_run).await?.ok_or("deleted")?;
        assert!(sentence.contains(&expected), "{sentence}");
    }
    // A collection has no name in its request.
    let this = ListParams::default().fields(&format!("metadata.name={}", trying.object));
    let collection = trying
        .secrets
        .delete_collection(&DeleteParams::default(), &this)
        .await;
    let sentence = refusal(collection)?.ok_or("deleted")?;
    assert!(sentence.contains(&expected), "{sentence}");
    // So does kubectl, and a project secret is held in the same way.
    let admin = cluster
        .kubectl(crate::support::control_plane::ADMIN)?
        .within(&project.name);
    let outcome = admin.run(&["delete", "secret", SHARED])?;
    let shared = format!("secret {}/{SHARED} is in use by {pods};", project.name);
    assert!(outcome.stderr.contains(&shared), "{}", outcome.stderr);
    // Nobody's pod has bob's.
    let bobs: Api<Secret> = Api::namespaced(project.client("bob").clone(), &project.name);
    bobs.delete(&user_object("bob", "token"), &DeleteParams::default())
        .await?;

    trying.force().await?;
    assert_eq!(trying.deletion(false).await?, None);
    assert!(trying.secrets.get_opt(&trying.object).await?.is_none());
    let log = cluster.keyporter().await?.log();
    assert!(log.contains("\"reason\":\"secret-in-use\""), "{log}");
    assert!(!canary::is_in(&log));
    Ok(())
}

async fn live(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "in-use-live").await?;
    let trying = Trying::new(&project).await?;
    let pods: Api<Pod> = Api::namespaced(project.admin.clone(), &project.name);
    let all = [
        "failed",
        "pending",
        "running",
        "succeeded",
        "terminating",
        "unknown",
    ];
    for name in all {
        let mut pod = project.pod(name);
        // Without a kubelet this keeps it for as long as it has to be there.
        pod["metadata"]["finalizers"] = json!(["tests.keyporter.dev/keep"]);
        objects::create(project.client("alice"), pod).await?;
    }
    trying.wait_until_guarded().await?;
    let every = all.map(|name| format!("pod {name}")).join(", ");
    let sentence = trying.deletion(false).await?.ok_or("deleted")?;
    assert!(sentence.contains(&trying.names(&every)), "{sentence}");

    for (name, phase) in [
        ("failed", "Failed"),
        ("running", "Running"),
        ("succeeded", "Succeeded"),
        ("unknown", "Unknown"),
    ] {
        set_phase(&pods, name, phase).await?;
    }
    pods.delete("terminating", &DeleteParams::default()).await?;
    let sentence = trying.deletion(false).await?.ok_or("deleted")?;
    let expected = trying.names("pod pending, pod running, pod unknown");
    assert!(sentence.contains(&expected), "{sentence}");

    pods.delete("pending", &DeleteParams::default()).await?;
    for name in ["running", "unknown"] {
        set_phase(&pods, name, "Succeeded").await?;
    }
    assert_eq!(
        pods.list(&ListParams::default()).await?.items.len(),
        all.len()
    );
    assert_eq!(trying.deletion(false).await?, None);
    Ok(())
}

async fn set_phase(pods: &Api<Pod>, name: &str, phase: &str) -> Result<()> {
    let status = Patch::Merge(json!({"status": {"phase": phase}}));
    pods.patch_status(name, &PatchParams::default(), &status)
        .await?;
    Ok(())
}

/// More pods than come in one answer.
async fn pages(cluster: &Cluster) -> Result<()> {
    const PODS: usize = 510;
    let project = Project::new(cluster, "in-use-pages").await?;
    let trying = Trying::new(&project).await?;
    let pod = |number| {
        objects::create(
            project.client("alice"),
            project.pod(&format!("p{number:03}")),
        )
    };
    try_join_all((0..PODS).map(pod)).await?;
    trying.wait_until_guarded().await?;
    let sentence = trying.deletion(true).await?.ok_or("deleted")?;
    let ten: Vec<_> = (0..10).map(|number| format!("pod p{number:03}")).collect();
    let expected = trying.names(&format!("{}, and 500 more", ten.join(", ")));
    assert!(sentence.contains(&expected), "{sentence}");
    Ok(())
}

/// Its own deletions do not even come to the webhook.
async fn kubernetes(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "in-use-kubernetes").await?;
    let trying = Trying::new(&project).await?;
    objects::create(project.client("alice"), project.pod("live")).await?;
    trying.wait_until_guarded().await?;
    let controllers = [
        "system:serviceaccount:kube-system:namespace-controller",
        "system:serviceaccount:kube-system:generic-garbage-collector",
        "system:kube-controller-manager",
    ];
    for controller in controllers {
        let client: Client = cluster.client(controller).await?;
        let secrets: Api<Secret> = Api::namespaced(client, &project.name);
        secrets.delete(&trying.object, &dry_run()).await?;
    }

    let namespaces: Api<Namespace> = Api::all(project.admin.clone());
    namespaces
        .delete(&project.name, &DeleteParams::default())
        .await?;
    wait_for("the namespace to go", Duration::from_mins(1), async || {
        Ok(namespaces
            .get_opt(&project.name)
            .await?
            .is_none()
            .then_some(()))
    })
    .await?;
    let log = cluster.keyporter().await?.log();
    for line in log
        .lines()
        .filter(|line| line.contains("in-use-kubernetes"))
    {
        for controller in controllers {
            let deletion = line.contains("\"kind\":\"Secret\"") && line.contains(controller);
            assert!(!deletion, "{line}");
        }
    }
    Ok(())
}

fn dry_run() -> DeleteParams {
    DeleteParams {
        dry_run: true,
        ..DeleteParams::default()
    }
}

/// With a keyporter of its own, which may not list pods and is gone in the end.
async fn unknown(cluster: &Cluster) -> Result<()> {
    const BLIND: &str = "blind";
    cluster.keyporter().await?;
    keyporter::allow(cluster, BLIND, BLIND, |role| {
        if let Some(rules) = role["rules"].as_array_mut() {
            rules.retain(|rule| rule["resources"] != json!(["pods"]));
        }
    })
    .await?;
    let binary = env!("CARGO_BIN_EXE_keyporter");
    let mut keyporter = Keyporter::start_as(cluster, binary.as_ref(), BLIND, BLIND, &[]).await?;
    let own = json!({"key": WEBHOOK_LABEL, "operator": "In", "values": [BLIND]});
    keyporter
        .register(&cluster.admin(), "keyporter-blind", Some(own))
        .await?;
    let labels = json!({"keyporter.dev/inject": "enabled", WEBHOOK_LABEL: BLIND});
    let project = Project::with_labels(cluster, "in-use-unknown", labels).await?;
    let trying = Trying::new(&project).await?;
    trying.wait_until_guarded().await?;

    let sentence = trying.deletion(false).await?.ok_or("deleted")?;
    let expected = format!(
        "whether pods use secret in-use-unknown/{} cannot be found out now",
        trying.object
    );
    assert!(
        sentence.contains(&expected) && sentence.contains("try again"),
        "{sentence}"
    );
    assert!(
        sentence.contains("keyporter.dev/force-delete"),
        "{sentence}"
    );
    let log = keyporter.log();
    assert!(log.contains("cannot list resource \\\"pods\\\""), "{log}");
    assert!(!canary::is_in(&log));

    keyporter.kill();
    let sentence = trying.deletion(false).await?.ok_or("deleted")?;
    assert!(sentence.contains("failed calling webhook"), "{sentence}");
    // A change asks nobody, and neither does what goes by force then.
    trying.force().await?;
    assert_eq!(trying.deletion(false).await?, None);
    Ok(())
}
