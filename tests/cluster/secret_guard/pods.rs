//! What keyporter wrote on a pod stays as it is.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness},
    project::{Project, assert_injected},
    support::{Result, objects, wait_for},
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("secret_guard::marks_on_pods_stay", marks)]
}

const SENTENCE: &str = "the labels and annotations that keyporter wrote on pod guard-pods/";

async fn marks(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "guard-pods").await?;
    let alice = project.client("alice");
    let pod = objects::as_pod(objects::create(alice, project.pod("mine")).await?)?;
    assert_injected(&pod, "alice");

    let annotation = |name: &str, value: Value| json!({"metadata": {"annotations": {name: value}}});
    let label = |name: &str, value: Value| json!({"metadata": {"labels": {name: value}}});
    for client in [alice, project.client("bob"), &project.admin] {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &project.name);
        let change = async |body: &Value| {
            pods.patch("mine", &PatchParams::default(), &Patch::Merge(body))
                .await
        };
        wait_for(
            "the policy to be in force",
            Duration::from_mins(1),
            async || {
                let body = annotation("keyporter.dev/owner-proof", "probe".into());
                let dry = PatchParams {
                    dry_run: true,
                    ..PatchParams::default()
                };
                let outcome = pods.patch("mine", &dry, &Patch::Merge(&body)).await;
                Ok(outcome.is_err().then_some(()))
            },
        )
        .await?;
        for body in [
            annotation("keyporter.dev/owner", "bob".into()),
            annotation("keyporter.dev/owner", "".into()),
            annotation("keyporter.dev/injected", "[]".into()),
            annotation("keyporter.dev/injected", Value::Null),
            annotation("keyporter.dev/owner-proof", "forged".into()),
            label("keyporter.dev/injected", "false".into()),
            label("keyporter.dev/injected", Value::Null),
        ] {
            match change(&body).await {
                Err(kube::Error::Api(status)) => {
                    assert!(status.message.contains(SENTENCE), "{body}: {status:?}");
                }
                other => panic!("{body}: {other:?}"),
            }
        }
        for body in [
            json!({}),
            annotation("example.com/note", "seen".into()),
            label("team", "vision".into()),
            json!({"spec": {"activeDeadlineSeconds": 3600}}),
        ] {
            change(&body).await?;
        }
    }

    // Through the status too, which only the kubelet and administrators write.
    let pods: Api<Pod> = Api::namespaced(project.admin.clone(), &project.name);
    let status = async |body: Value| {
        pods.patch_status("mine", &PatchParams::default(), &Patch::Merge(body))
            .await
    };
    status(json!({"status": {"phase": "Running"}})).await?;
    let forged = status(annotation("keyporter.dev/owner", "bob".into())).await;
    assert!(
        matches!(&forged, Err(kube::Error::Api(refusal)) if refusal.message.contains(SENTENCE)),
        "{forged:?}"
    );
    pods.delete("mine", &DeleteParams::default().grace_period(0))
        .await?;

    // And by a binding, which hands its annotations to the pod.
    objects::create(alice, project.pod("bound")).await?;
    let bind = async |annotations: Value| {
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "bound", "annotations": annotations},
            "target": {"kind": "Node", "name": "nowhere"},
        });
        let request = axum::http::Request::post("/api/v1/namespaces/guard-pods/pods/bound/binding")
            .header("Content-Type", "application/json")
            .body(binding.to_string().into_bytes());
        Ok::<_, crate::support::Error>(project.admin.request_text(request?).await)
    };
    let forged = bind(json!({"keyporter.dev/owner": "bob"})).await?;
    assert!(
        matches!(&forged, Err(kube::Error::Api(refusal)) if refusal.message.contains(SENTENCE)),
        "{forged:?}"
    );
    bind(json!({"example.com/scheduler": "test"})).await??;
    Ok(())
}
