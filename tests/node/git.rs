//! `git clone` over ssh, with the key and the command that a pod got: whoever runs it, and whatever its shell is.

use futures::future::try_join_all;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    git_server::{CONTENT, GitServer, SERVICE},
    harness::{Cluster, Harness},
    images::{self, GIT, GIT_BUSYBOX},
    pods,
    project::{Project, Secret, restricted},
    support::Result,
};

/// The folder for private copies of the key.
const WORK: &str = "/run/konduktor/git-ssh-work";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("git::everybody_clones_from_a_known_host", known_host),
        harness.trial(
            "git::everybody_clones_from_a_host_seen_first",
            host_seen_first,
        ),
        harness.trial("git::restricted_pods_clone", restricted_pods),
        harness.trial("git::an_unknown_host_is_refused", unknown_host),
        harness.trial("git::a_changed_host_key_is_refused", changed_host_key),
        harness.trial("git::a_key_that_changed_since_is_refused", changed_since),
        harness.trial("git::a_strangers_key_opens_nothing", strangers_key),
        harness.trial("git::an_opted_out_pod_has_no_key", opted_out),
    ]
}

/// Clones, shows what came, and what is left of the key's copies.
fn clone() -> String {
    format!(
        "git clone -q --template= git@{SERVICE}:project.git /code/project && cat /code/project/README && echo && ls -A {WORK}"
    )
}

/// Tries the same; the pod ends well in any case and prints `status=` and the status.
fn try_to_clone() -> String {
    format!("git clone -q --template= git@{SERVICE}:project.git /code/project 2>&1; echo status=$?")
}

/// A pod with an empty folder to work in, whose security context is that of the pod and that of the container.
fn pod(image: &str, script: &str, of_pod: &Value, of_container: &Value) -> Value {
    let mut container = pods::container("main", image, script);
    container["securityContext"] = of_container.clone();
    container["volumeMounts"] = json!([{"name": "code", "mountPath": "/code"}]);
    let mut spec = pods::spec(&[container]);
    spec["securityContext"] = of_pod.clone();
    spec["volumes"] = json!([{"name": "code", "emptyDir": {}}]);
    spec
}

/// Names, contexts of pods and contexts of containers.
fn users() -> Vec<(&'static str, Value, Value)> {
    let root = json!({});
    let user = json!({"runAsUser": images::USER, "runAsGroup": images::USER});
    let group = json!({"fsGroup": 2000});
    let read_only = json!({"readOnlyRootFilesystem": true});
    let both = |a: &Value, b: &Value| {
        let mut both = a.clone();
        if let (Some(both), Some(b)) = (both.as_object_mut(), b.as_object()) {
            both.extend(b.clone());
        }
        both
    };
    vec![
        ("root", root.clone(), json!({})),
        ("root-with-group", group.clone(), json!({})),
        (
            "root-with-group-read-only",
            group.clone(),
            read_only.clone(),
        ),
        ("user", user.clone(), json!({})),
        ("user-with-group", both(&user, &group), json!({})),
        ("user-read-only", user.clone(), read_only.clone()),
        ("user-restricted", user, both(&restricted(), &read_only)),
    ]
}

/// Pods of all [`users`] with either image print `expected` at last.
async fn assert_all_clone(project: &Project, expected: &str) -> Result<()> {
    let users = users();
    let pods = [("debian", GIT), ("busybox", GIT_BUSYBOX)]
        .into_iter()
        .flat_map(|(shell, image)| users.iter().map(move |user| (shell, image, user)))
        .map(async |(shell, image, (user, of_pod, of_container))| {
            let spec = pod(image, &clone(), of_pod, of_container);
            let name = format!("{shell}-{user}");
            let log = project.run(&name, spec).await?.log("main").await?;
            if log.ends_with(expected) {
                return Ok(());
            }
            Err(format!("{name}: {log}").into())
        });
    try_join_all(pods).await.map(drop)
}

/// Alice's key and, if any, the hosts that she knows.
async fn project(
    cluster: &Cluster,
    name: &str,
    key: &str,
    known_hosts: Option<&str>,
) -> Result<Project> {
    let project = Project::new(cluster, name).await?;
    let mut secret = Secret::of_alice("git-ssh", "git").with("gitkey", key);
    if let Some(known_hosts) = known_hosts {
        secret = secret.with("known_hosts", known_hosts);
    }
    project.make(&[secret]).await?;
    Ok(project)
}

async fn known_host(cluster: &Cluster) -> Result<()> {
    let server = cluster.git_server().await?;
    let host = server.known_host(&SERVICE.to_string(), "host")?;
    let project = project(
        cluster,
        "git-known-host",
        &server.private_key("alice")?,
        Some(&host),
    )
    .await?;
    // Nothing is left of the copies.
    let expected = format!("{CONTENT}\n");
    assert_all_clone(&project, &expected).await
}

async fn host_seen_first(cluster: &Cluster) -> Result<()> {
    let server = cluster.git_server().await?;
    let key = server.private_key("alice")?;
    // As it arrives when somebody pastes it.
    let project = project(cluster, "git-host-seen-first", key.trim_end(), None).await?;
    let expected = format!("{CONTENT}\nknown_hosts\n");
    assert_all_clone(&project, &expected).await
}

async fn restricted_pods(cluster: &Cluster) -> Result<()> {
    let server = cluster.git_server().await?;
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let project = Project::with_labels(cluster, "git-restricted", &labels).await?;
    let key = server.private_key("alice")?;
    project
        .make(&[Secret::of_alice("git-ssh", "git").with("gitkey", key)])
        .await?;
    let of_pod = json!({"runAsUser": images::USER});
    let ended = project
        .run("restricted", pod(GIT, &clone(), &of_pod, &restricted()))
        .await?;
    let log = ended.log("main").await?;
    let expected = format!("{CONTENT}\nknown_hosts\n");
    assert!(log.ends_with(&expected), "{log}");
    Ok(())
}

/// A pod as root and one as another user are refused, and ssh says `why`.
async fn assert_refused(project: &Project, before: &str, why: &str) -> Result<()> {
    let script = format!("{before}{}", try_to_clone());
    let user = json!({"runAsUser": images::USER});
    let pods = [("root", GIT, json!({})), ("user", GIT_BUSYBOX, user)];
    let pods = pods.iter().map(async |(name, image, of_pod)| {
        let spec = pod(image, &script, of_pod, &json!({}));
        project.run(name, spec).await?.log("main").await
    });
    for log in try_join_all(pods).await? {
        assert!(log.contains(why) && log.ends_with("status=128\n"), "{log}");
    }
    Ok(())
}

async fn unknown_host(cluster: &Cluster) -> Result<()> {
    let server = cluster.git_server().await?;
    let another = server.known_host("git.example.com", "host")?;
    let project = project(
        cluster,
        "git-unknown-host",
        &server.private_key("alice")?,
        Some(&another),
    )
    .await?;
    assert_refused(&project, "", "Host key verification failed").await
}

async fn changed_host_key(cluster: &Cluster) -> Result<()> {
    let server = cluster.git_server().await?;
    let another = server.known_host(&SERVICE.to_string(), "another")?;
    let project = project(
        cluster,
        "git-changed-host-key",
        &server.private_key("alice")?,
        Some(&another),
    )
    .await?;
    assert_refused(&project, "", "REMOTE HOST IDENTIFICATION HAS CHANGED").await
}

/// What an earlier call of ssh in the same pod would have written down.
async fn changed_since(cluster: &Cluster) -> Result<()> {
    let server = cluster.git_server().await?;
    let another = server.known_host(&SERVICE.to_string(), "another")?;
    let project = project(
        cluster,
        "git-changed-since",
        &server.private_key("alice")?,
        None,
    )
    .await?;
    let before = format!("echo '{}' >{WORK}/known_hosts; ", another.trim_end());
    assert_refused(&project, &before, "REMOTE HOST IDENTIFICATION HAS CHANGED").await
}

async fn strangers_key(cluster: &Cluster) -> Result<()> {
    let server = cluster.git_server().await?;
    let project = project(
        cluster,
        "git-stranger",
        &server.private_key("stranger")?,
        None,
    )
    .await?;
    assert_refused(&project, "", "Permission denied (publickey)").await
}

/// The images have no way in of their own.
async fn opted_out(cluster: &Cluster) -> Result<()> {
    let server: &GitServer = cluster.git_server().await?;
    let project = project(
        cluster,
        "git-opted-out",
        &server.private_key("alice")?,
        None,
    )
    .await?;
    let script = format!(
        "export GIT_SSH_COMMAND='ssh -o StrictHostKeyChecking=no'; {}",
        try_to_clone()
    );
    let spec = pod(GIT, &script, &json!({}), &json!({}));
    project.create_opted_out("opted-out", spec).await?;
    let ended = project.ended("opted-out").await?;
    let log = ended.log("main").await?;
    assert!(log.contains("Permission denied (publickey)"), "{log}");
    Ok(())
}
