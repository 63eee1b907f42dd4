//! What was made while no webhook looked: before an opt-in, and before the webhook was registered.

use futures::try_join;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::table::workload;
use crate::{
    harness::{Cluster, Harness, WEBHOOK_LABEL},
    project::{OWNERS, Project, SHARED, assert_injected, secret_names, wait_until},
    support::{Result, objects},
};

const KINDS: [(&str, &str); 5] = [
    ("Deployment", "apps/v1"),
    ("StatefulSet", "apps/v1"),
    ("ReplicaSet", "apps/v1"),
    ("ReplicationController", "v1"),
    ("Job", "batch/v1"),
];

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_with_controllers("attacks::planted_before_an_opt_in", async |cluster| {
            let before = json!({"keyporter.dev/inject": null});
            planted(cluster, "attacks-before-opt-in", before, true).await
        }),
        harness.trial_with_controllers("attacks::planted_before_the_webhook", async |cluster| {
            let before = json!({"keyporter.dev/inject": "enabled", WEBHOOK_LABEL: "none"});
            planted(cluster, "attacks-before-webhook", before, false).await
        }),
    ]
}

/// A pod that copies alice's stamp, or makes one up.
fn template(annotations: &Value) -> Value {
    let metadata = json!({"labels": {}, "annotations": annotations});
    json!({"metadata": metadata, "spec": {"containers": [objects::container()]}})
}

/// A proof is looked at wherever a webhook is, so that only names can be planted before an opt-in.
async fn planted(cluster: &Cluster, name: &str, before: Value, proofs_seen: bool) -> Result<()> {
    let hows: &[&str] = if proofs_seen {
        &["named"]
    } else {
        &["named", "copied", "forged"]
    };
    let other = format!("{name}-other");
    let mut labels = before;
    labels
        .as_object_mut()
        .ok_or("no labels")?
        .retain(|_, value| !value.is_null());
    let (project, other) = try_join!(
        Project::without_webhook(cluster, name, labels),
        Project::new(cluster, &other)
    )?;
    let bob = project.client("bob");
    for (kind, version) in KINDS {
        let own = |project: &Project, name: &str, annotations: &Value, runs| {
            let mut object = workload(kind, name, template(annotations), runs);
            object["apiVersion"] = version.into();
            object["kind"] = kind.into();
            object["metadata"]["namespace"] = project.name.as_str().into();
            object
        };
        let copied = format!("{}-copied", kind.to_lowercase());
        let alices = own(&other, &copied, &json!({}), false);
        let alices = objects::create(other.client("alice"), alices).await?;
        let stamp = alices.data["spec"]["template"]["metadata"]["annotations"].clone();
        assert_eq!(stamp["keyporter.dev/owner"], "alice");
        let named = json!({"keyporter.dev/owner": "alice"});
        let made_up =
            json!({"keyporter.dev/owner": "alice", "keyporter.dev/owner-proof": "v1.1.AAAA"});
        for (how, annotations) in [("named", &named), ("copied", &stamp), ("forged", &made_up)] {
            let name = format!("{}-{how}", kind.to_lowercase());
            let outcome = objects::create(bob, own(&project, &name, annotations, false)).await;
            assert_eq!(outcome.is_ok(), hows.contains(&how), "{name}: {outcome:?}");
        }
        let old = format!("{}-old", kind.to_lowercase());
        if kind == "Deployment" {
            let old = own(&project, &old, &json!({}), true);
            objects::create(project.client("alice"), old).await?;
        }
    }
    let namespaces: Api<Namespace> = Api::all(project.admin.clone());
    let opted_in =
        json!({"metadata": {"labels": {"keyporter.dev/inject": "enabled", WEBHOOK_LABEL: null}}});
    let opted_in = Patch::Merge(opted_in);
    namespaces
        .patch(name, &PatchParams::default(), &opted_in)
        .await?;
    for owner in OWNERS {
        project.wait_until_injected(owner).await?;
    }
    let kubectl = cluster.kubectl("bob")?.within(name);
    for (kind, _) in KINDS {
        for how in hows {
            let object = format!("{}/{}-{how}", kind.to_lowercase(), kind.to_lowercase());
            if kind == "Job" {
                let run = r#"{"spec": {"suspend": false}}"#;
                kubectl
                    .run(&["patch", &object, "--type=merge", "-p", run])?
                    .ok()?;
            } else {
                kubectl.run(&["scale", &object, "--replicas=1"])?.ok()?;
            }
        }
    }
    for (kind, _) in KINDS {
        for how in hows {
            let selector = format!("app={}-{how}", kind.to_lowercase());
            let pod = objects::wait_for_pod(&project.admin, name, &selector).await?;
            assert_eq!(secret_names(&pod), [SHARED], "{selector}");
        }
    }
    // What alice made honestly then runs on, with what the project has, and is hers when she restarts it.
    let pod = project.new_pod("deployment-old").await?;
    assert_eq!(secret_names(&pod), [SHARED]);
    let alice = cluster.kubectl("alice")?.within(name);
    alice
        .run(&["rollout", "restart", "deployment/deployment-old"])?
        .ok()?;
    wait_until("what was restarted to be alice's", async || {
        let pods = objects::pods(&project.admin, name, "app=deployment-old").await?;
        let hers = pods.into_iter().find(|pod| secret_names(pod).len() == 2);
        if let Some(pod) = &hers {
            assert_injected(pod, "alice");
        }
        Ok(hers.is_some())
    })
    .await
}
