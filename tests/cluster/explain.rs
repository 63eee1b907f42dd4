//! `keyporter explain`: what pods got, what has changed since, and why they got nothing.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    canary,
    command_line::{Person, bind, roles, table},
    harness::{Cluster, Harness, WEBHOOK_LABEL},
    konduktor::a_second_later,
    project::{Project, SHARED, user_object, wait_until},
    support::{Result, control_plane::ADMIN, objects},
    workloads::run_once,
};

const EXPLAIN: [&str; 1] = ["explain"];

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_with_controllers("explain::a_pod_that_runs_is_compared_with_now", running),
        harness.trial("explain::a_pod_without_secrets_is_told_why", reasons),
        harness.trial("explain::a_new_pod_and_a_file_are_explained", hypothetical),
        harness.trial("explain::references_are_explained", references),
        harness.trial("explain::the_role_that_is_missing_is_named", rights),
    ]
}

/// Somebody who may see, and no more.
async fn viewer(cluster: &Cluster, namespace: &str) -> Result<Person> {
    roles(cluster)?;
    let user = format!("{namespace}-viewer");
    let counts = ("list", "", "secrets");
    bind(cluster, namespace, &user, "keyporter-viewer", counts).await?;
    Person::new(cluster, &user, namespace)
}

async fn secret(project: &Project, name: &str, kind: &str, key: &str) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"namespace": project.name, "name": name, "labels": {"keyporter.dev/kind": kind}},
        "stringData": {key: canary::VALUE},
    });
    objects::create(project.client("alice"), secret).await?;
    Ok(())
}

/// What is said of each secret.
fn rows(explained: &str) -> BTreeMap<String, String> {
    let all = explained
        .lines()
        .skip_while(|line| !line.starts_with("SECRET"));
    let all: Vec<_> = all.take_while(|line| !line.is_empty()).collect();
    let row = |row: &String| {
        let (name, rest) = row.split_once('|')?;
        Some((name.to_owned(), rest.rsplit('|').next()?.to_owned()))
    };
    table(&all.join("\n"), &[])
        .iter()
        .skip(1)
        .filter_map(row)
        .collect()
}

#[track_caller]
fn assert_rows(explained: &str, expected: &[(&str, &str)]) {
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(name, how)| ((*name).to_owned(), (*how).to_owned()))
        .collect();
    assert_eq!(rows(explained), expected, "{explained}");
}

async fn running(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "explain-running").await?;
    let namespace = &*project.name;
    let alice = project.client("alice");
    secret(&project, "folder", "default", "file").await?;
    wait_until("the secret to be known", async || {
        let pod = objects::dry_run(alice, project.pod("probe")).await?;
        let record = pod.annotations().get("keyporter.dev/injected").cloned();
        Ok(record.is_some_and(|record| record.contains("folder")))
    })
    .await?;
    objects::create(alice, project.pod("notebook")).await?;
    let spec = json!({"template": run_once("train")});
    objects::create(alice, project.workload("batch/v1", "Job", "train", &spec)).await?;
    let of_job = objects::wait_for_pod(&project.admin, namespace, "job-name=train").await?;
    let vera = viewer(cluster, namespace).await?;

    let fresh = vera.run(&EXPLAIN, &["notebook"])?.printed();
    let unchanged = [
        ("folder", "files in /konduktor/default-secrets/folder"),
        (SHARED, "variables REGION"),
        ("token", "variables TOKEN"),
    ];
    assert_rows(&fresh, &unchanged);
    let owner = "owner: alice (owner id 2bd806c97f0e00af1a1fc3328fa763a9): who created the pod, or for whom they \
                 acted (keyporter.dev/owner on it)";
    assert!(
        fresh.starts_with(&format!("Pod {namespace}/notebook\n{owner}\nmade: 2")),
        "{fresh}"
    );
    let job = vera.run(&EXPLAIN, &["pod", &of_job.name_any()])?.printed();
    assert_rows(&job, &unchanged);
    assert!(
        job.contains(": who created the workload (keyporter.dev/owner on its pod template)\n"),
        "{job}"
    );
    assert!(job.contains("Z by Job train\n"), "{job}");

    a_second_later(&project).await?;
    secret(&project, "late", "env", "LATE").await?;
    let secrets: Api<Secret> = Api::namespaced(project.admin.clone(), namespace);
    let change = |object: &str, change: Value| {
        let (secrets, object) = (secrets.clone(), object.to_owned());
        async move {
            let parameters = PatchParams::default();
            secrets
                .patch(&object, &parameters, &Patch::Merge(change))
                .await
        }
    };
    change(SHARED, json!({"stringData": {"REGION": "elsewhere"}})).await?;
    change(
        "folder",
        json!({"metadata": {"annotations": {"keyporter.dev/injection": "on-reference"}}}),
    )
    .await?;
    let token = user_object("alice", "token");
    change(
        &token,
        json!({"metadata": {"annotations": {"keyporter.dev/force-delete": "true"}}}),
    )
    .await?;
    secrets.delete(&token, &DeleteParams::default()).await?;
    let since = [
        (
            "folder",
            "carried; a new pod does not get it: comes only where a reference names it (on-reference)",
        ),
        ("late", "not: made after the pod"),
        (
            SHARED,
            "variables REGION; changed since: a container sees that when it starts again",
        ),
        ("token", "carried; deleted since"),
    ];
    for arguments in [&["pod/notebook"][..], &["pods", "notebook"]] {
        assert_rows(&vera.run(&EXPLAIN, arguments)?.printed(), &since);
    }
    let json = vera.run(&EXPLAIN, &["notebook", "-o", "json"])?.printed();
    let json: Value = serde_json::from_str(&json)?;
    assert_eq!(json["kind"], "ExplanationList");
    let item = &json["items"][0];
    assert_eq!(
        (&item["fate"], &item["owner"]),
        (&json!("injected"), &json!("alice"))
    );
    let late = item["secrets"].as_array().and_then(|secrets| {
        secrets
            .iter()
            .find(|secret| secret["name"] == "late")
            .cloned()
    });
    assert_eq!(late.ok_or("it is not there")?["injected"], false);

    nothing_to_explain(&vera)
}

/// Names that are of no pod.
fn nothing_to_explain(vera: &Person) -> Result<()> {
    let absent = vera.run(&EXPLAIN, &["absent"])?;
    assert_eq!(absent.code, Some(1));
    assert_eq!(
        absent.stderr,
        "error: there is no pod absent in namespace explain-running\n"
    );
    let deployment = vera.run(&EXPLAIN, &["deployment", "web"])?;
    assert_eq!(deployment.code, Some(2), "{deployment:?}");
    Ok(())
}

async fn reasons(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "explain-reasons").await?;
    let namespace = &*project.name;
    let alice = project.client("alice");
    let mut opted_out = project.pod("opted-out");
    opted_out["metadata"]["labels"] = json!({"keyporter.dev/inject": "disabled"});
    let mut windows = project.pod("windows");
    windows["spec"]["os"] = json!({"name": "windows"});
    let mut mirror = project.pod("mirror");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    mirror["spec"]["nodeName"] = "node".into();
    for pod in [opted_out, windows, mirror] {
        objects::create(alice, pod).await?;
    }
    let vera = viewer(cluster, namespace).await?;
    for (pod, reason) in [
        ("opted-out", "opted-out"),
        ("windows", "windows-pod"),
        ("mirror", "mirror-pod"),
    ] {
        let told = vera.run(&EXPLAIN, &[pod])?.printed();
        assert!(
            told.contains(&format!("\nnothing added: {reason}\n")),
            "{told}"
        );
    }
    let excluded = ["--as", "alice", "--exclude-namespace", namespace];
    let told = vera.run(&EXPLAIN, &excluded)?.printed();
    assert!(
        told.contains("\nnothing added: excluded-namespace\n"),
        "{told}"
    );

    // Not opted in, then opted in too late.
    let project = Project::without_webhook(cluster, "explain-outside", json!({})).await?;
    let namespace = &*project.name;
    objects::create(project.client("alice"), project.pod("early")).await?;
    let vera = viewer(cluster, namespace).await?;
    let told = vera.run(&EXPLAIN, &["early", "--as", "alice"])?.printed();
    assert!(
        told.contains("\nnothing added: namespace-not-opted-in\n"),
        "{told}"
    );
    let way_out = "`kubectl label namespace explain-outside keyporter.dev/inject=enabled` does it";
    assert!(told.contains(way_out), "{told}");
    let told = vera.run(&EXPLAIN, &["--as", "alice"])?.printed();
    assert_rows(
        &told,
        &[
            (SHARED, "not: namespace-not-opted-in"),
            ("token", "not: namespace-not-opted-in"),
        ],
    );
    // Nothing says whose it was.
    let told = vera.run(&EXPLAIN, &["early"])?.printed();
    assert!(
        told.contains("owner: none: nobody said who creates the pod\n"),
        "{told}"
    );
    assert!(told.contains("with --as USER it is taken"), "{told}");
    a_second_later(&project).await?;
    let namespaces: Api<Namespace> = Api::all(project.admin.clone());
    let labels = json!({"metadata": {"labels": {"keyporter.dev/inject": "enabled", WEBHOOK_LABEL: "nobody"}}});
    namespaces
        .patch(namespace, &PatchParams::default(), &Patch::Merge(labels))
        .await?;
    let told = vera.run(&EXPLAIN, &["early", "--as", "alice"])?.printed();
    assert!(
        told.contains("was opted in after the pod was made"),
        "{told}"
    );

    // Opted in, and no webhook is called.
    a_second_later(&project).await?;
    objects::create(project.client("alice"), project.pod("unseen")).await?;
    let told = vera.run(&EXPLAIN, &["unseen", "--as", "alice"])?.printed();
    assert!(told.contains("\nnothing added: not-seen\n"), "{told}");
    let admin = Person::new(cluster, ADMIN, namespace)?;
    for arguments in [&["unseen", "--as", "alice"][..], &["--as", "alice"]] {
        let told = admin.run(&EXPLAIN, arguments)?.printed();
        assert!(told.contains("\nnothing added: no-webhook\n"), "{told}");
    }
    let pods: Api<Pod> = Api::namespaced(project.admin.clone(), namespace);
    assert!(
        !pods
            .get("unseen")
            .await?
            .labels()
            .contains_key("keyporter.dev/injected")
    );
    Ok(())
}

async fn hypothetical(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "explain-new").await?;
    let namespace = &*project.name;
    secret(&project, "odd", "image-pull", "token").await?;
    let vera = viewer(cluster, namespace).await?;
    let told = vera.run(&EXPLAIN, &["--as", "alice"])?.printed();
    assert!(
        told.starts_with("A new pod of alice in explain-new\nowner: alice ("),
        "{told}"
    );
    assert_rows(
        &told,
        &[
            (
                "odd",
                "not: no registry credentials; kind image-pull needs the key .dockerconfigjson or .dockercfg",
            ),
            (SHARED, "variables REGION"),
            ("token", "variables TOKEN"),
        ],
    );
    assert_rows(
        &vera.run(&EXPLAIN, &["--as", "carol"])?.printed(),
        &[(SHARED, "variables REGION")],
    );

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("job.yaml");
    std::fs::write(
        &file,
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {template: {spec: {containers: [{name: c, env: [{name: TOKEN, value: own}]}]}}}\n",
    )?;
    let file = file.to_str().ok_or("not UTF-8")?;
    // Whose the file is, who is asked about in the API server.
    let alice = Person::new(cluster, "alice", namespace)?;
    let told = alice.run(&EXPLAIN, &["-f", file])?.printed();
    assert!(
        told.starts_with("Job explain-new/j\nowner: alice ("),
        "{told}"
    );
    assert_rows(
        &told,
        &[
            (
                "odd",
                "not: no registry credentials; kind image-pull needs the key .dockerconfigjson or .dockercfg",
            ),
            (SHARED, "variables REGION"),
            ("token", "variables TOKEN (that of the container counts)"),
        ],
    );
    let told = alice.run(&EXPLAIN, &["-f", file, "--as", "bob"])?.printed();
    assert!(
        told.starts_with("Job explain-new/j\nowner: bob ("),
        "{told}"
    );
    Ok(())
}

/// What a pod refers to: a key of its domain's store, of the namespace's own, and a secret of its owner as a file.
async fn references(cluster: &Cluster) -> Result<()> {
    const STORES: [(&str, &str); 2] = [
        ("iomete-secret-store", "GENERAL"),
        ("iomete-secret-store-finance", "FINANCE"),
    ];
    let project = Project::new(cluster, "explain-references").await?;
    let namespace = &*project.name;
    let domain = json!({"metadata": {"labels": {"keyporter.dev/domain": "finance"}}});
    Api::<Namespace>::all(project.admin.clone())
        .patch(namespace, &PatchParams::default(), &Patch::Merge(domain))
        .await?;
    for (name, key) in STORES {
        let store = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"namespace": namespace, "name": name}, "stringData": {key: canary::VALUE},
        });
        objects::create(&project.admin, store).await?;
    }
    let mut pod = project.pod("notebook");
    pod["metadata"]["annotations"] = json!({"keyporter.dev/files": "secret:token:/etc/token"});
    pod["spec"]["containers"][0]["env"] = json!([
        {"name": "ONE", "value": "${secrets.GENERAL}"},
        {"name": "TWO", "value": "is ${secrets.FINANCE}"},
    ]);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("pod.json");
    std::fs::write(&file, pod.to_string())?;
    let file = file.to_str().ok_or("not UTF-8")?;
    let vera = viewer(cluster, namespace).await?;
    let mut expected = [
        (STORES[0].0, "variable ONE, by reference"),
        (STORES[1].0, "variable TWO, by reference"),
        (SHARED, "variables REGION"),
        // After the row of its file.
        ("token", "variables TOKEN"),
    ];
    let is_file = |told: &str| told.contains("  file /etc/token, by reference\n");
    let of_file = vera
        .run(&EXPLAIN, &["-f", file, "--as", "alice"])?
        .printed();
    assert_rows(&of_file, &expected);
    assert!(is_file(&of_file), "{of_file}");

    let alice = project.client("alice");
    wait_until("the stores to be known", async || {
        Ok(objects::dry_run(alice, pod.clone()).await.is_ok())
    })
    .await?;
    objects::create(alice, pod.clone()).await?;
    let running = vera.run(&EXPLAIN, &["notebook"])?.printed();
    // The text around it is the pod's own now.
    expected[1].1 = "variable KEYPORTER_REF_1, by reference";
    assert_rows(&running, &expected);
    assert!(is_file(&running), "{running}");
    let secrets: Api<Secret> = Api::namespaced(project.admin.clone(), namespace);
    let (store, _) = STORES[0];
    let changed = json!({"stringData": {"MORE": canary::VALUE}});
    secrets
        .patch(store, &PatchParams::default(), &Patch::Merge(changed))
        .await?;
    let told = rows(&vera.run(&EXPLAIN, &["notebook"])?.printed());
    assert_eq!(
        told.get(store).map(String::as_str),
        Some(
            "variable ONE, by reference; changed since: a container sees that when it starts again"
        )
    );
    Ok(())
}

async fn rights(cluster: &Cluster) -> Result<()> {
    let namespace = "explain-rights";
    objects::create_namespace(&cluster.admin(), namespace, json!({}), false).await?;
    let stranger = Person::new(cluster, "stranger", namespace)?;
    for (arguments, what) in [(&["--as", "alice"][..], "secrets"), (&["notebook"], "pods")] {
        let refused = stranger.run(&EXPLAIN, arguments)?;
        assert_eq!(
            (refused.code, &*refused.stdout),
            (Some(1), ""),
            "{refused:?}"
        );
        let sentence = format!(
            "error: you may not list {what} in namespace explain-rights: the role keyporter-viewer allows it, and an \
             administrator gives it by `kubectl create rolebinding keyporter-viewer-"
        );
        assert!(refused.stderr.starts_with(&sentence), "{refused:?}");
        assert!(
            refused
                .stderr
                .ends_with(" --clusterrole=keyporter-viewer --user=stranger`\n"),
            "{refused:?}"
        );
    }
    Ok(())
}
