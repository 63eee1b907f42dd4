//! The keys of proofs are exchanged: honest stamps stay, until what proved them is taken away.

use std::process::Command;

use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    harness::{Cluster, Harness, WEBHOOK_LABEL},
    project::{Project, SHARED, assert_injected, secret_names, wait_until},
    support::{
        Result,
        control_plane::ADMIN,
        keyporter::{Keyporter, USER, allow_own},
        objects,
    },
};

/// Also the namespace of its keys.
const OWN: &str = "keyporter-keys";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial_with_controllers("keys::honest_stamps_outlive_a_rotation", rotation)]
}

async fn rotation(cluster: &Cluster) -> Result<()> {
    cluster.keyporter().await?;
    allow_own(cluster, OWN, USER).await?;
    let binary = env!("CARGO_BIN_EXE_keyporter");
    let flags = ["--own-namespace", OWN];
    let mut keyporter = Keyporter::start_with(cluster, binary.as_ref(), OWN, &flags).await?;
    let requirement = json!({"key": WEBHOOK_LABEL, "operator": "In", "values": [OWN]});
    let admin = cluster.admin();
    keyporter.register(&admin, OWN, Some(requirement)).await?;
    let labels = json!({"keyporter.dev/inject": "enabled", WEBHOOK_LABEL: OWN});
    let project = Project::with_labels(cluster, "keys", labels).await?;
    let rotate = |more: &[&str]| -> Result<String> {
        let output = Command::new(binary)
            .args(["keys", "rotate", "--namespace", OWN])
            .args(more)
            .arg("--kubeconfig")
            .arg(cluster.kubeconfig(ADMIN, Some("system:masters"))?)
            .output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        Ok(String::from_utf8(output.stdout)?)
    };

    for (name, number) in [("first", 1), ("second", 2)] {
        let template = json!({
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [objects::container()]},
        });
        let spec = json!({
            "replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template,
        });
        let deployment = project.workload("apps/v1", "Deployment", name, &spec);
        let made = objects::create(project.client("alice"), deployment).await?;
        let annotations = made.metadata.annotations.unwrap_or_default();
        let proof = &annotations["keyporter.dev/owner-proof"];
        assert!(proof.starts_with(&format!("v1.{number}.")), "{proof}");
        if number == 1 {
            assert_eq!(rotate(&[])?, "key 2 signs from now on\n");
            keyporter.stop()?;
            keyporter.start_again().await?;
        }
    }
    let alice = cluster.kubectl("alice")?.within(&project.name);
    let scale = |name: &str, replicas: &str| -> Result<()> {
        alice.run(&["scale", "deployment", name, replicas])?.ok()?;
        Ok(())
    };
    for name in ["first", "second"] {
        scale(name, "--replicas=1")?;
        let selector = format!("app={name}");
        let pod = objects::wait_for_pod(&admin, &project.name, &selector).await?;
        assert_injected(&pod, "alice");
    }

    // As after a leak of the first.
    assert_eq!(
        rotate(&["--keep", "1"])?,
        "key 3 signs from now on\nkey 1 counts no more\n"
    );
    keyporter.stop()?;
    keyporter.start_again().await?;
    scale("first", "--replicas=2")?;
    wait_until("a pod that is nobody's", async || {
        let pods = objects::pods(&admin, &project.name, "app=first").await?;
        Ok(pods.len() == 2 && pods.iter().any(|pod| secret_names(pod) == [SHARED]))
    })
    .await?;
    scale("second", "--replicas=2")?;
    wait_until("two pods of alice's", async || {
        let pods = objects::pods(&admin, &project.name, "app=second").await?;
        if pods.len() == 2 {
            for pod in &pods {
                assert_injected(pod, "alice");
            }
        }
        Ok(pods.len() == 2)
    })
    .await
}
