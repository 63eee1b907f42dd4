//! The files of `deploy/examples`, applied by alice with kubectl as they are.

use k8s_openapi::api::core::v1::{Pod, PodSpec, Secret};
use kube::{Api, ResourceExt};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness},
    project::{Project, wait_until},
    support::{Result, control_plane::ADMIN, objects, policies},
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples");

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_with_controllers("examples::give_alices_pods_every_kind", every_kind),
        harness.trial(
            "examples::secrets_of_konduktor_count_as_they_are",
            konduktor,
        ),
    ]
}

/// Also: what `inject` prints from the same files is what the API server stores.
async fn every_kind(cluster: &Cluster) -> Result<()> {
    cluster.keyporter().await?;
    let file = |name: &str| format!("{FOLDER}/{name}");
    cluster
        .kubectl(ADMIN)?
        .run(&["apply", "-f", &file("namespace.yaml")])?
        .ok()?;
    let admin = cluster.admin();
    objects::allow_edit(&admin, "vision", "alice").await?;
    policies::allow_project_secrets(&admin, "vision", "alice").await?;
    let alice = cluster.kubectl("alice")?.within("vision");
    alice.run(&["apply", "-f", &file("secrets.yaml")])?.ok()?;

    let dry_run = |input: &str| -> Result<Pod> {
        let arguments = ["create", "--dry-run=server", "--output=json", "-f", "-"];
        Ok(serde_json::from_str(
            &alice.run_with_input(&arguments, input)?.ok()?,
        )?)
    };
    let pod = std::fs::read_to_string(file("pod.yaml"))?;
    wait_until("keyporter to know all secrets", async || {
        Ok(names(&dry_run(&pod)?).len() == 7)
    })
    .await?;
    let from_webhook = dry_run(&pod)?;
    assert_eq!(
        names(&from_webhook),
        [
            "certificates",
            "datasets",
            "git",
            "platform",
            "tracking",
            "hugging-face",
            "registry"
        ]
    );

    let printed = inject(&[
        "-f",
        &file("pod.yaml"),
        "--secrets",
        &file("secrets.yaml"),
        "--as",
        "alice",
    ])?;
    let from_file = dry_run(&printed)?;
    assert_eq!(
        without_token(from_file.spec),
        without_token(from_webhook.spec)
    );

    alice.run(&["apply", "-f", &file("job.yaml")])?.ok()?;
    let pod = objects::wait_for_pod(&admin, "vision", "batch.kubernetes.io/job-name=train").await?;
    assert_eq!(names(&pod).len(), 7);

    // The webhook's own log says the same, and has no value.
    let log = cluster.keyporter().await?.log();
    assert!(
        log.contains("\"owner\":\"alice\"") && log.contains("\"decision\":\"inject\""),
        "{log}"
    );
    for value in ["hf_example", "example-auth-secret", "EXAMPLEKEYID"] {
        assert!(!log.contains(value), "{value} is in the log");
    }
    Ok(())
}

/// The program's output.
fn inject(arguments: &[&str]) -> Result<String> {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_keyporter"))
        .arg("inject")
        .args(arguments)
        .output()?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// The names in a pod's record.
fn names(pod: &Pod) -> Vec<String> {
    let record = pod
        .annotations()
        .get("keyporter.dev/injected")
        .map_or("[]", String::as_str);
    let record: Vec<Value> = serde_json::from_str(record).unwrap_or_default();
    record
        .iter()
        .filter_map(|entry| entry["name"].as_str().map(str::to_owned))
        .collect()
}

/// The volume of the service account's token has a random name, and its place depends on who comes first.
fn without_token(spec: Option<PodSpec>) -> Option<PodSpec> {
    let mut spec = spec?;
    let is_token = |name: &str| name.starts_with("kube-api-access-");
    spec.volumes
        .iter_mut()
        .for_each(|volumes| volumes.retain(|volume| !is_token(&volume.name)));
    for container in &mut spec.containers {
        container
            .volume_mounts
            .iter_mut()
            .for_each(|mounts| mounts.retain(|mount| !is_token(&mount.name)));
    }
    Some(spec)
}

/// As the unmodified client makes them; admission writes the owner.
async fn konduktor(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "examples-konduktor").await?;
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "dotfiles-0a1b2c3d",
            "namespace": project.name,
            "labels": {
                "parent": "konduktor",
                "trainy.ai/secret-owner": "0a1b2c3d",
                "trainy.ai/secret-basename": "dotfiles",
                "trainy.ai/secret-kind": "default",
            },
        },
        "type": "Opaque",
        "data": {"payload.zip": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="},
    });
    objects::create(project.client("alice"), secret).await?;
    let pod = async |owner: &str| -> Result<Pod> {
        objects::as_pod(objects::dry_run(project.client(owner), project.pod("probe")).await?)
    };
    wait_until("keyporter to know the secret", async || {
        Ok(names(&pod("alice").await?).contains(&"dotfiles".to_owned()))
    })
    .await?;
    let alices = json!(pod("alice").await?.spec);
    let mounts = alices["containers"][0]["volumeMounts"]
        .as_array()
        .ok_or("no mounts")?;
    assert!(
        mounts
            .iter()
            .any(|mount| mount["mountPath"] == "/konduktor/default-secrets/dotfiles"),
        "{mounts:?}"
    );
    assert!(!names(&pod("bob").await?).contains(&"dotfiles".to_owned()));

    // Labels may come and go: with our kind it is another watch's, and stays the same secret.
    let secrets: Api<Secret> = Api::namespaced(project.admin.clone(), &project.name);
    let patch = json!({"metadata": {"labels": {"keyporter.dev/kind": "default", "keyporter.dev/name": "renamed"}}});
    let parameters = kube::api::PatchParams::default();
    secrets
        .patch(
            "dotfiles-0a1b2c3d",
            &parameters,
            &kube::api::Patch::Merge(patch),
        )
        .await?;
    wait_until("keyporter to see the new name", async || {
        let names = names(&pod("alice").await?);
        Ok(names.contains(&"renamed".to_owned()) && !names.contains(&"dotfiles".to_owned()))
    })
    .await
}
