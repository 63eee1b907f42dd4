//! Keys are added and taken away: an old one counts for as long as it is there.

use data_encoding::BASE64;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness, WEBHOOK_LABEL},
    project::{Project, SHARED, assert_injected, secret_names, wait_until},
    support::{
        Result,
        keyporter::{Keyporter, USER},
        objects,
    },
};

const NAME: &str = "attacks-keys";
/// Where this keyporter alone keeps its keys.
const OWN: &str = "attacks-keys-system";
const SECRET: &str = "keyporter-owner-keys";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial_with_controllers("attacks::keys_that_are_added_and_taken_away", keys)]
}

async fn keys(cluster: &Cluster) -> Result<()> {
    // Its rights.
    cluster.keyporter().await?;
    let admin = cluster.admin();
    objects::create_namespace(&admin, OWN, json!({}), false).await?;
    for object in rights() {
        objects::create(&admin, object).await?;
    }
    let mut keyporter = Keyporter::start_with(
        cluster,
        env!("CARGO_BIN_EXE_keyporter").as_ref(),
        NAME,
        &["--own-namespace", OWN],
    )
    .await?;
    let own = json!({"key": WEBHOOK_LABEL, "operator": "In", "values": [NAME]});
    keyporter.register(&admin, NAME, Some(own)).await?;
    let labels = json!({"keyporter.dev/inject": "enabled", WEBHOOK_LABEL: NAME});
    let project = Project::with_labels(cluster, NAME, labels).await?;

    for name in ["before", "restarted"] {
        let template = json!({
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [objects::container()]},
        });
        let spec = json!({
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"app": name}},
            "template": template,
        });
        let deployment = project.workload("apps/v1", "Deployment", name, &spec);
        objects::create(project.client("alice"), deployment).await?;
    }
    assert_injected(&project.new_pod("before").await?, "alice");

    // A second key signs, and the first still counts.
    let secrets: Api<Secret> = Api::namespaced(admin, OWN);
    let change = async |data: Value| {
        let data = Patch::Merge(json!({"data": data}));
        secrets.patch(SECRET, &PatchParams::default(), &data).await
    };
    change(json!({"key-2": BASE64.encode(&[7; 32])})).await?;
    keyporter.kill();
    keyporter.start_again().await?;
    assert_injected(&project.new_pod("before").await?, "alice");
    let alice = cluster.kubectl("alice")?.within(NAME);
    alice
        .run(&["rollout", "restart", "deployment/restarted"])?
        .ok()?;

    // Without the first key nobody owns what was signed with it; what was restarted since has its owner.
    change(json!({"key-1": null})).await?;
    keyporter.kill();
    keyporter.start_again().await?;
    for owner in ["alice", "bob"] {
        project.wait_until_injected(owner).await?;
    }
    assert_eq!(
        secret_names(&project.new_pod("before").await?),
        [SHARED],
        "its proof is worth nothing now"
    );
    assert_injected(&project.new_pod("restarted").await?, "alice");
    alice
        .run(&["rollout", "restart", "deployment/before"])?
        .ok()?;
    wait_until("the restarted workload to be alice's again", async || {
        let pods = objects::pods(&project.admin, NAME, "app=before").await?;
        Ok(pods.iter().any(|pod| secret_names(pod).len() == 2))
    })
    .await
}

/// What it may do with its keys, as in `deploy/examples/rbac.yaml`.
fn rights() -> [Value; 2] {
    let group = "rbac.authorization.k8s.io";
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"namespace": OWN, "name": "keyporter"},
        "rules": [
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": ["get"]},
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"namespace": OWN, "name": "keyporter"},
        "roleRef": {"kind": "Role", "name": "keyporter", "apiGroup": group},
        "subjects": [objects::subject(USER)],
    });
    [role, binding]
}

impl Project {
    /// Deletes the pods of a workload; returns the one that its controller makes then.
    pub(super) async fn new_pod(&self, app: &str) -> Result<Pod> {
        let selector = format!("app={app}");
        let pods: Api<Pod> = Api::namespaced(self.admin.clone(), &self.name);
        objects::wait_for_pod(&self.admin, &self.name, &selector).await?;
        let before = objects::pods(&self.admin, &self.name, &selector).await?;
        for pod in &before {
            let now = DeleteParams::default().grace_period(0);
            // A rollout may have been faster.
            let _ = pods.delete(&pod.name_any(), &now).await;
        }
        let is_new = |pod: &Pod| before.iter().all(|before| before.uid() != pod.uid());
        crate::support::wait_for(
            "the pod that takes its place",
            std::time::Duration::from_secs(20),
            async || {
                let pods = objects::pods(&self.admin, &self.name, &selector).await?;
                Ok(pods.into_iter().find(is_new))
            },
        )
        .await
    }
}
