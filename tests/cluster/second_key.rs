//! One secret of kind git-ssh for each owner.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    canary::{self, ENCODED},
    harness::{Cluster, Harness},
    project::{Project, user_object, wait_until},
    support::{Result, objects},
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("second_key::is_denied_and_the_first_is_named", ours),
        harness.trial("second_key::konduktors_count_as_they_are", konduktors),
    ]
}

fn git(namespace: &str, owner: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "namespace": namespace,
            "name": user_object(owner, name),
            "labels": {"keyporter.dev/kind": "git-ssh", "keyporter.dev/name": name},
        },
        "data": {"gitkey": ENCODED},
    })
}

fn konduktors_git(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "namespace": namespace,
            "name": format!("{name}-0a1b2c3d"),
            "labels": {
                "parent": "konduktor",
                "trainy.ai/secret-owner": "0a1b2c3d",
                "trainy.ai/secret-basename": name,
                "trainy.ai/secret-kind": "git-ssh",
            },
        },
        "type": "Opaque",
        "data": {"gitkey": ENCODED},
    })
}

/// The sentence of a dry run, which has no value; `None` where it passes.
async fn refusal(client: &Client, secret: Value) -> Result<Option<String>> {
    match objects::dry_run(client, secret).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => {
            let told = format!("{status:?}");
            assert!(!canary::is_in(&told), "{told}");
            Ok(Some(status.message.clone()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns when a second one is refused: the catalog follows a moment later.
async fn wait_until_refused(client: &Client, secret: &Value) -> Result<()> {
    wait_until("the first to be known", async || {
        Ok(refusal(client, secret.clone()).await?.is_some())
    })
    .await
}

async fn ours(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "second-key-ours").await?;
    let (alice, bob) = (project.client("alice"), project.client("bob"));
    let namespace = project.name.as_str();
    let first = git(namespace, "alice", "git");
    objects::create(alice, first.clone()).await?;
    let second = git(namespace, "alice", "other");
    wait_until_refused(alice, &second).await?;

    let named = format!(
        "pods of its owner use \"git\" (secret {namespace}/{}) already",
        user_object("alice", "git")
    );
    let mut generated = second.clone();
    generated["metadata"]["name"] = Value::Null;
    generated["metadata"]["generateName"] = "generated-".into();
    let mut for_alice = git(namespace, "alice", "other");
    for_alice["metadata"]["annotations"] = json!({"keyporter.dev/owner": "alice"});
    for (client, secret) in [
        (alice, second.clone()),
        (alice, generated),
        (alice, konduktors_git(namespace, "other")),
        (&project.admin, for_alice),
    ] {
        let sentence = refusal(client, secret.clone())
            .await?
            .ok_or("not refused")?;
        assert!(sentence.contains(&named), "{secret}: {sentence}");
        assert!(
            sentence.contains("delete that one first, or replace the key in it"),
            "{sentence}"
        );
    }
    let secrets: Api<Secret> = Api::namespaced(alice.clone(), namespace);
    let applied = secrets
        .patch(
            &user_object("alice", "other"),
            &PatchParams::apply("test"),
            &Patch::Apply(&second),
        )
        .await;
    assert!(
        matches!(&applied, Err(kube::Error::Api(status)) if status.message.contains(&named)),
        "{applied:?}"
    );

    // Others', the project's, and other kinds.
    let mut projects = git(namespace, "alice", "projects");
    projects["metadata"]["labels"]["keyporter.dev/scope"] = json!("project");
    let mut files = git(namespace, "alice", "files");
    files["metadata"]["labels"]["keyporter.dev/kind"] = json!("default");
    for (client, secret) in [
        (bob, git(namespace, "bob", "git")),
        (&project.admin, git(namespace, "admin", "git")),
        (&project.admin, projects),
        (alice, files),
    ] {
        assert_eq!(refusal(client, secret).await?, None);
    }

    // Both ways out.
    let manifest = first.to_string();
    let kubectl = cluster.kubectl("alice")?.within(namespace);
    for arguments in [
        &["apply", "-f", "-"][..],
        &["replace", "-f", "-"],
        &["replace", "--force", "-f", "-"],
    ] {
        kubectl.run_with_input(arguments, &manifest)?.ok()?;
    }
    secrets
        .delete(&user_object("alice", "git"), &DeleteParams::default())
        .await?;
    wait_until("the first to be forgotten", async || {
        Ok(refusal(alice, second.clone()).await?.is_none())
    })
    .await?;
    objects::create(alice, second).await?;

    let log = cluster.keyporter().await?.log();
    assert!(log.contains("\"reason\":\"second-git-ssh\""), "{log}");
    assert!(!canary::is_in(&log));
    // Secrets of other kinds stay in the API server.
    assert!(!log.contains(&user_object("alice", "files")), "{log}");
    Ok(())
}

async fn konduktors(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "second-key-konduktors").await?;
    let alice = project.client("alice");
    let namespace = project.name.as_str();
    objects::create(alice, konduktors_git(namespace, "github")).await?;
    let second = git(namespace, "alice", "git");
    wait_until_refused(alice, &second).await?;
    let named = format!("\"github\" (secret {namespace}/github-0a1b2c3d)");
    for second in [second, konduktors_git(namespace, "gitlab")] {
        let sentence = refusal(alice, second).await?.ok_or("not refused")?;
        assert!(sentence.contains(&named), "{sentence}");
    }
    assert_eq!(
        refusal(project.client("bob"), konduktors_git(namespace, "bobs")).await?,
        None
    );
    Ok(())
}
