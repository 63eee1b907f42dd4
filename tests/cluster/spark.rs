//! IOMETE's lists of secrets: in pods that run Spark, and in `SparkApplication`s.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    canary,
    harness::{Cluster, Harness},
    project::{Project, wait_until},
    support::{Result, objects},
};

const VERSION: &str = "sparkoperator.k8s.io/v1beta2";
const STORE: &str = "iomete-secret-store-finance";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("spark::iomete_lists_reach_pods_and_applications", lists)]
}

/// A small one: the operator's own has thousands of lines that nothing here reads.
async fn define(cluster: &Cluster) -> Result<()> {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "sparkapplications.sparkoperator.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": "sparkoperator.k8s.io",
            "names": {"kind": "SparkApplication", "plural": "sparkapplications"},
            "scope": "Namespaced",
            "versions": [{"name": "v1beta2", "served": true, "storage": true, "schema": {"openAPIV3Schema": any}}],
        },
    });
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "sparkapplications"},
        "rules": [{"apiGroups": ["sparkoperator.k8s.io"], "resources": ["sparkapplications"], "verbs": ["*"]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "sparkapplications"},
        "roleRef": {"kind": "ClusterRole", "name": "sparkapplications", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [objects::subject("alice")],
    });
    for object in [definition, role, binding] {
        objects::create(&cluster.admin(), object).await?;
    }
    Ok(())
}

fn annotations(source: &Value) -> Value {
    let list = |key: &str| {
        let secret = json!({"key": "db_password", "source": source});
        json!([{"key": key, "secretObject": secret}]).to_string()
    };
    json!({
        "keyporter.dev/env-secrets": list("DB_PASSWORD"),
        "keyporter.dev/spark-conf-secrets": list("spark.hadoop.fs.s3a.secret.key"),
    })
}

fn application(project: &Project, name: &str, source: &Value) -> Value {
    let spec = json!({
        "driver": {"cores": 1},
        "executor": {"cores": 1, "env": []},
        "sparkConf": {"spark.ssl.keyPassword": "${secrets.db_password}"},
    });
    let mut application = project.workload(VERSION, "SparkApplication", name, &spec);
    application["metadata"]["annotations"] = annotations(source);
    application
}

fn from_store() -> Value {
    json!({"secretKeyRef": {"name": STORE, "key": "db_password"}})
}

async fn lists(cluster: &Cluster) -> Result<()> {
    define(cluster).await?;
    let project = Project::new(cluster, "spark").await?;
    let alice = project.client("alice");
    let store = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": project.name, "name": STORE},
        "data": {"db_password": canary::ENCODED},
    });
    objects::create(&project.admin, store).await?;
    let namespace = json!({"metadata": {"labels": {"keyporter.dev/domain": "finance"}}});
    Api::<Namespace>::all(project.admin.clone())
        .patch(
            &project.name,
            &PatchParams::default(),
            &Patch::Merge(namespace),
        )
        .await?;
    let finance = json!({"type": "KUBERNETES", "id": "finance"});
    wait_until("the store and the kind to be known", async || {
        let probe = application(&project, "probe", &finance);
        Ok(objects::dry_run(alice, probe).await.is_ok())
    })
    .await?;

    let made = objects::create(alice, application(&project, "pi", &finance)).await?;
    let spec = &made.data["spec"];
    let expected = json!({
        "spark.ssl.keyPassword": "${env:KEYPORTER_REF_1}",
        "spark.hadoop.fs.s3a.secret.key": "${env.KEYPORTER_REF_1}",
    });
    assert_eq!(spec["sparkConf"], expected);
    for role in ["driver", "executor"] {
        let variables = json!([
            {"name": "DB_PASSWORD", "valueFrom": from_store()},
            {"name": "KEYPORTER_REF_1", "valueFrom": from_store()},
        ]);
        assert_eq!(spec[role]["env"], variables, "{role}");
    }
    unchanged_by_an_update(&project, &made).await?;

    let vault = json!({"type": "VAULT", "id": "vault-config-id"});
    let refused = objects::create(alice, application(&project, "vault", &vault)).await;
    let sentence = refused.expect_err("a denial").to_string();
    assert!(
        sentence.contains("no Vault source vault-config-id is configured"),
        "{sentence}"
    );

    pods(&project, &finance).await
}

async fn unchanged_by_an_update(project: &Project, made: &DynamicObject) -> Result<()> {
    let kind = GroupVersionKind::gvk("sparkoperator.k8s.io", "v1beta2", "SparkApplication");
    let kind = ApiResource::from_gvk(&kind);
    let applications: Api<DynamicObject> =
        Api::namespaced_with(project.client("alice").clone(), &project.name, &kind);
    let patch = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"mode": "cluster"}});
    let mut after = applications
        .patch(
            &made.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await?;
    assert_eq!(after.data["spec"]["mode"], "cluster");
    after.data["spec"]
        .as_object_mut()
        .expect("an object")
        .remove("mode");
    assert_eq!(after.data["spec"], made.data["spec"]);
    Ok(())
}

/// With both lists, as Spark's image is started.
async fn pods(project: &Project, source: &Value) -> Result<()> {
    let mut pod = project.pod("driver");
    pod["metadata"]["annotations"] = annotations(source);
    pod["spec"]["containers"][0]["args"] = json!(["driver", "--class", "Pi", "local:///pi.jar"]);
    let pod = objects::dry_run(project.client("alice"), pod).await?;
    let pod: Pod = objects::as_pod(pod)?;
    assert!(pod.annotations().contains_key("keyporter.dev/injected"));
    let container = pod.spec.unwrap_or_default().containers.remove(0);
    let option = "spark.hadoop.fs.s3a.secret.key=$(KEYPORTER_REF_1)";
    let args = [
        "driver",
        "--conf",
        option,
        "--class",
        "Pi",
        "local:///pi.jar",
    ];
    assert_eq!(container.args.unwrap_or_default(), args);
    let env = container.env.unwrap_or_default();
    for name in ["KEYPORTER_REF_1", "DB_PASSWORD"] {
        let variable = env.iter().find(|variable| variable.name == name);
        let from = serde_json::to_value(variable.and_then(|one| one.value_from.as_ref()))?;
        assert_eq!(from, from_store(), "{name}");
    }
    Ok(())
}
