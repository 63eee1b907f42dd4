//! Konduktor's unmodified client: its Secrets count as they are, and are those of whom the API server authenticated.
//!
//! What is sent here is what `konduktor secret create` and `konduktor launch` send: `konduktor/cli.py`,
//! `konduktor/utils/kubernetes_utils.py` and `konduktor/templates/pod.yaml.j2` in <https://github.com/Trainy-ai/konduktor>.

use std::{collections::BTreeSet, time::Duration};

use axum::http::Request;
use k8s_openapi::api::core::v1::{Container, Pod, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness},
    project::{Project, SHARED, user_object},
    support::{Result, objects, wait_for},
};

/// The hash of `alice` on a host called `workstation`: the head of the MD5 of `alice-982b`, which ends with the tail of the
/// MD5 of the host's name.
pub(crate) const WORKSTATION: &str = "bc65ee65";
/// The same on a host called `laptop`, of `alice-7994`.
pub(crate) const LAPTOP: &str = "abba3a3e";
/// The hash of `bob` on a host called `workstation`.
pub(crate) const BOBS: &str = "cb00a8bc";

/// The folder `aws` with the file `credentials`, as the client packs and encodes it.
const PAYLOAD: &str = "UEsDBBQAAAAIAOUDeF3RQWtKEAAAAA4AAAAPAAAAYXdzL2NyZWRlbnRpYWxzyyjNK0ktMtJNTsxLLKoEAFBLAQIUAxQAAAAIAOUDeF3RQ\
WtKEAAAAA4AAAAPAAAAAAAAAAAAAACkgQAAAABhd3MvY3JlZGVudGlhbHNQSwUGAAAAAAEAAQA9AAAAPQAAAAAA";
/// `printf hunter2-canary | base64`
const VALUE: &str = "aHVudGVyMi1jYW5hcnk=";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial(
            "konduktor::secrets_of_two_workstations_reach_the_pods_of_one_user",
            two_workstations,
        ),
        harness.trial(
            "konduktor::of_two_with_the_same_name_the_newer_counts",
            same_name,
        ),
        harness.trial("konduktor::a_copied_hash_opens_nothing", copied_hash),
        harness.trial("konduktor::pods_of_the_client_get_the_rest", pods),
        harness.trial(
            "konduktor::what_the_client_keeps_for_itself_is_its_owners",
            own_use,
        ),
    ]
}

/// Konduktor's client on one host, with the credentials of one user.
struct Workstation<'a> {
    client: &'a Client,
    namespace: &'a str,
    hash: &'a str,
}

/// A Secret as the client sends it, which leaves out `apiVersion` and `kind`.
pub(crate) fn secret(hash: &str, kind: &str, name: &str) -> Value {
    let data = match kind {
        // `--from-directory`
        "default" => json!({"payload.zip": PAYLOAD}),
        // `--inline`
        "env" => json!({format!("{}_TOKEN", name.to_uppercase()): VALUE}),
        // `--from-file`, whatever the file is called.
        _ => json!({"gitkey": VALUE}),
    };
    json!({
        "metadata": {
            "name": format!("{name}-{hash}"),
            "labels": {
                "parent": "konduktor",
                "trainy.ai/secret-owner": hash,
                "trainy.ai/secret-basename": name,
                "trainy.ai/secret-kind": kind,
            },
        },
        "type": "Opaque",
        "data": data,
    })
}

impl Workstation<'_> {
    /// `konduktor secret create --kind KIND NAME`
    async fn create(&self, kind: &str, name: &str) -> kube::Result<Secret> {
        if kind == "git-ssh" {
            let others = self.list().await?;
            let old = others
                .iter()
                .find(|secret| secret.labels()["trainy.ai/secret-kind"] == kind);
            if let Some(old) = old {
                let parameters = DeleteParams::default();
                self.secrets().delete(&old.name_any(), &parameters).await?;
            }
        }
        let body = secret(self.hash, kind, name);
        let object = format!("{name}-{}", self.hash);
        let path = format!("/api/v1/namespaces/{}/secrets", self.namespace);
        let request = if self.secrets().get_opt(&object).await?.is_some() {
            Request::patch(format!("{path}/{object}"))
                .header("Content-Type", "application/strategic-merge-patch+json")
        } else {
            Request::post(path).header("Content-Type", "application/json")
        };
        let request = request.body(body.to_string().into_bytes());
        self.client
            .request(request.map_err(kube::Error::HttpError)?)
            .await
    }

    /// What `konduktor secret list` shows: the client asks for all of the namespace and chooses itself.
    async fn list(&self) -> kube::Result<Vec<Secret>> {
        let all = self.secrets().list(&ListParams::default()).await?;
        let own = |secret: &Secret| {
            let hash = secret.labels().get("trainy.ai/secret-owner");
            hash.is_some_and(|hash| hash == self.hash)
        };
        Ok(all.items.into_iter().filter(own).collect())
    }

    /// The pod of `konduktor launch`, with all that the client itself puts in of its user's secrets.
    async fn pod(&self, name: &str) -> Result<Value> {
        let mut pod = objects::pod(self.namespace, name);
        let (mut env, mut mounts, mut volumes) = (vec![], vec![], vec![]);
        for secret in self.list().await? {
            let object = secret.name_any();
            let basename = &secret.labels()["trainy.ai/secret-basename"];
            match &*secret.labels()["trainy.ai/secret-kind"] {
                "env" => env.extend(secret.data.iter().flatten().map(
                    |(key, _)| json!({"name": key, "valueFrom": {"secretKeyRef": {"name": object, "key": key}}}),
                )),
                "git-ssh" => {
                    env.push(json!({
                        "name": "GIT_SSH_COMMAND",
                        "value": "ssh -i /run/konduktor/git-ssh-secret/gitkey -o StrictHostKeyChecking=no",
                    }));
                    mounts.push(json!({
                        "name": "git-ssh-secret",
                        "mountPath": "/run/konduktor/git-ssh-secret",
                    }));
                    volumes.push(json!({
                        "name": "git-ssh-secret",
                        "secret": {"secretName": object, "defaultMode": 384},
                    }));
                }
                _ => {
                    let volume = format!("default-secret-{basename}");
                    mounts.push(json!({
                        "name": volume,
                        "mountPath": format!("/konduktor/default-secrets/{basename}"),
                    }));
                    volumes.push(json!({"name": volume, "secret": {"secretName": object}}));
                }
            }
        }
        let expanded = "/run/konduktor/expanded-default-secrets";
        env.extend([
            json!({"name": "KONDUKTOR_DEFAULT_SECRETS", "value": "/konduktor/default-secrets"}),
            json!({"name": "KONDUKTOR_DEFAULT_SECRETS_EXPANDED", "value": expanded}),
        ]);
        mounts.push(json!({"name": "default-secrets-expanded", "mountPath": expanded}));
        volumes.push(json!({"name": "default-secrets-expanded", "emptyDir": {}}));
        pod["spec"]["volumes"] = volumes.into();
        pod["spec"]["containers"][0]["env"] = env.into();
        pod["spec"]["containers"][0]["volumeMounts"] = mounts.into();
        Ok(pod)
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), self.namespace)
    }
}

/// All Secrets that a pod of one container has anything of, but those that every pod of `user` has in a [`Project`].
pub(crate) fn secrets_of(pod: &Pod, user: &str) -> BTreeSet<String> {
    let spec = pod.spec.as_ref().expect("a pod has a spec");
    let mut found = BTreeSet::new();
    for container in &spec.containers {
        let sources = container.env_from.iter().flatten();
        found.extend(sources.filter_map(|from| Some(from.secret_ref.as_ref()?.name.clone())));
        found.extend(container.env.iter().flatten().filter_map(|variable| {
            let from = variable.value_from.as_ref()?;
            Some(from.secret_key_ref.as_ref()?.name.clone())
        }));
    }
    let volumes = spec.volumes.iter().flatten();
    found.extend(volumes.filter_map(|volume| volume.secret.as_ref()?.secret_name.clone()));
    found.remove(SHARED);
    found.remove(&user_object(user, "token"));
    found
}

/// Returns when a new pod of `user` has just these, and gives that pod, which is stored nowhere.
pub(crate) async fn wait_for_secrets(
    project: &Project,
    user: &str,
    expected: &[&str],
) -> Result<Pod> {
    let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
    let mut last = BTreeSet::new();
    let waited = wait_for("the webhook", Duration::from_secs(20), async || {
        let pod = objects::dry_run(project.client(user), project.pod("probe")).await?;
        let pod = objects::as_pod(pod)?;
        last = secrets_of(&pod, user);
        Ok((last == expected).then_some(pod))
    });
    waited.await.map_err(|error| {
        format!("{error} to give {user} {expected:?}; last it gave {last:?}").into()
    })
}

/// Returns when what is made then is newer than all that there is: the API server keeps whole seconds.
pub(crate) async fn a_second_later(project: &Project) -> Result<()> {
    let clock = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": project.name, "name": "clock"},
    });
    let now = async || {
        let made = objects::dry_run(&project.admin, clock.clone()).await?;
        Result::Ok(made.creation_timestamp())
    };
    let before = now().await?;
    wait_for("the next second", Duration::from_secs(20), async || {
        Ok((now().await? > before).then_some(()))
    })
    .await
}

fn container(pod: &Pod) -> &Container {
    &pod.spec.as_ref().expect("a pod has a spec").containers[0]
}

/// The Secret at each path.
fn mounted(pod: &Pod) -> Vec<(&str, &str)> {
    let spec = pod.spec.as_ref().expect("a pod has a spec");
    let secret = |volume: &str| {
        let mut volumes = spec.volumes.iter().flatten();
        let volume = volumes.find(|one| one.name == volume)?;
        volume.secret.as_ref()?.secret_name.as_deref()
    };
    let mounts = container(pod).volume_mounts.iter().flatten();
    mounts
        .filter_map(|mount| Some((&*mount.mount_path, secret(&mount.name)?)))
        .collect()
}

/// The keys with which the client comes into its pods, and the credentials for its stores: Secrets that no pod is given.
async fn own_use(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "konduktor-own-use").await?;
    for (object, kind) in [
        ("konduktor-ssh-keys-bc65ee65", None),
        ("awscredentials-alice-982b", Some("S3")),
        ("gcpcredentials-alice-982b", Some("GCS")),
    ] {
        let mut secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "namespace": project.name, "name": object, "labels": {"parent": "konduktor"},
            },
            "data": {"PRIVKEY": VALUE},
        });
        if let Some(kind) = kind {
            secret["metadata"]["labels"]["trainy.ai/secret-kind"] = kind.into();
        }
        let made = objects::create(project.client("alice"), secret).await?;
        assert_eq!(made.annotations()["keyporter.dev/owner"], "alice");

        let mut pod = project.pod("launched");
        pod["spec"]["volumes"] = json!([{"name": "keys", "secret": {"secretName": object}}]);
        let sentence = wait_for("a refusal", Duration::from_secs(20), async || {
            let outcome = objects::dry_run(project.client("bob"), pod.clone()).await;
            Ok(outcome.is_err().then_some(outcome))
        });
        let sentence = refused(sentence.await?)?;
        let expected = format!("refers to secrets of another user: \"{object}\" (volume \"keys\")");
        assert!(sentence.contains(&expected), "{sentence}");

        let kubectl = cluster.kubectl("alice")?.within(&project.name);
        let create = ["create", "--dry-run=server", "-f", "-"];
        let outcome = kubectl.run_with_input(&create, &pod.to_string())?;
        assert!(outcome.warnings().is_empty(), "{outcome:?}");
        outcome.ok()?;
    }
    wait_for_secrets(&project, "alice", &[]).await?;
    Ok(())
}

fn refused<T: std::fmt::Debug>(outcome: kube::Result<T>) -> Result<String> {
    match outcome {
        Err(kube::Error::Api(status)) => Ok(status.message.clone()),
        other => Err(format!("not refused: {other:?}").into()),
    }
}

async fn two_workstations(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "konduktor-two").await?;
    let at = |user, hash| Workstation {
        client: project.client(user),
        namespace: &project.name,
        hash,
    };
    let (workstation, laptop) = (at("alice", WORKSTATION), at("alice", LAPTOP));
    for (host, kind, name) in [
        (&workstation, "default", "aws"),
        (&workstation, "env", "wandb"),
        (&workstation, "git-ssh", "github"),
        (&laptop, "default", "data"),
        (&laptop, "env", "openai"),
        (&at("bob", BOBS), "env", "wandb"),
    ] {
        let made = host.create(kind, name).await?;
        let owner = if host.hash == BOBS { "bob" } else { "alice" };
        assert_eq!(made.annotations()["keyporter.dev/owner"], owner);
    }
    let hers = [
        "aws-bc65ee65",
        "wandb-bc65ee65",
        "github-bc65ee65",
        "data-abba3a3e",
        "openai-abba3a3e",
    ];
    let pod = wait_for_secrets(&project, "alice", &hers).await?;
    assert_eq!(
        mounted(&pod),
        [
            ("/konduktor/default-secrets/aws", "aws-bc65ee65"),
            ("/konduktor/default-secrets/data", "data-abba3a3e"),
            ("/run/konduktor/git-ssh-secret", "github-bc65ee65"),
        ]
    );
    let variables = container(&pod).env.iter().flatten();
    let variables: Vec<_> = variables.map(|variable| &*variable.name).collect();
    assert!(
        variables.contains(&"KONDUKTOR_DEFAULT_SECRETS") && variables.contains(&"GIT_SSH_COMMAND"),
        "{variables:?}"
    );
    wait_for_secrets(&project, "bob", &["wandb-cb00a8bc"]).await?;

    // The client changes what is there, and takes another git key for the one before.
    let changed = workstation.create("env", "wandb").await?;
    assert_eq!(changed.annotations()["keyporter.dev/owner"], "alice");
    workstation.create("git-ssh", "gitlab").await?;
    let hers = hers.map(|object| object.replace("github", "gitlab"));
    wait_for_secrets(&project, "alice", &hers.each_ref().map(|object| &**object)).await?;
    Ok(())
}

/// The names of the objects would have it the other way round.
async fn same_name(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "konduktor-same-name").await?;
    let at = |hash| Workstation {
        client: project.client("alice"),
        namespace: &project.name,
        hash,
    };
    for (kind, name) in [("default", "data"), ("env", "wandb"), ("git-ssh", "git")] {
        at(WORKSTATION).create(kind, name).await?;
    }
    a_second_later(&project).await?;
    // There is one git key for each owner, on however many hosts.
    let sentence = refused(at(LAPTOP).create("git-ssh", "git").await)?;
    assert!(sentence.contains("git-bc65ee65"), "{sentence}");
    for (kind, name) in [("default", "data"), ("env", "wandb")] {
        at(LAPTOP).create(kind, name).await?;
    }
    let used = [
        "data-abba3a3e",
        "git-bc65ee65",
        "wandb-bc65ee65",
        "wandb-abba3a3e",
    ];
    let pod = wait_for_secrets(&project, "alice", &used).await?;
    assert_eq!(
        mounted(&pod),
        [
            ("/konduktor/default-secrets/data", "data-abba3a3e"),
            ("/run/konduktor/git-ssh-secret", "git-bc65ee65"),
        ]
    );
    // The last one counts.
    let sources = container(&pod).env_from.iter().flatten();
    let mut sources = sources.filter_map(|from| Some(&*from.secret_ref.as_ref()?.name));
    assert_eq!(sources.next_back(), Some("wandb-abba3a3e"));

    let kubectl = cluster.kubectl("alice")?.within(&project.name);
    let pod = project.pod("warned").to_string();
    let outcome = kubectl.run_with_input(&["create", "-f", "-"], &pod)?;
    for expected in [
        "keyporter: secrets \"data\" (user, object data-bc65ee65) and \"data\" (user, object data-abba3a3e) are both for the same \
         folder; the newer, data-abba3a3e, is used",
        "keyporter: secrets \"wandb\" (user, object wandb-bc65ee65) and \"wandb\" (user, object wandb-abba3a3e) both set \
         WANDB_TOKEN; the newer, wandb-abba3a3e, counts",
    ] {
        let warnings = outcome.warnings();
        assert!(warnings.contains(&expected), "{expected}\n{outcome:?}");
    }
    Ok(())
}

/// It stands in a file, and in the labels of what everybody in the namespace may list.
async fn copied_hash(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "konduktor-copied").await?;
    let at = |user| Workstation {
        client: project.client(user),
        namespace: &project.name,
        hash: WORKSTATION,
    };
    for (kind, name) in [("default", "data"), ("env", "wandb"), ("git-ssh", "git")] {
        at("alice").create(kind, name).await?;
    }
    let hers = ["data-bc65ee65", "wandb-bc65ee65", "git-bc65ee65"];
    wait_for_secrets(&project, "alice", &hers).await?;

    let bob = at("bob");
    for (kind, name) in [("env", "wandb"), ("default", "data"), ("git-ssh", "git")] {
        let sentence = refused(bob.create(kind, name).await)?;
        assert!(sentence.contains("belongs to another user"), "{sentence}");
    }
    let own = bob.create("env", "openai").await?;
    assert_eq!(own.annotations()["keyporter.dev/owner"], "bob");
    wait_for_secrets(&project, "bob", &["openai-bc65ee65"]).await?;
    wait_for_secrets(&project, "alice", &hers).await?;

    // His client takes hers for his, and puts them into his pod.
    let pod = bob.pod("launched").await?;
    let sentence = refused(objects::create(bob.client, pod).await)?;
    assert!(
        sentence.contains("refers to secrets of another user"),
        "{sentence}"
    );
    Ok(())
}

/// They have the secrets of the workstation that launched them already, and keep them as they are.
async fn pods(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "konduktor-pods").await?;
    let at = |hash| Workstation {
        client: project.client("alice"),
        namespace: &project.name,
        hash,
    };
    for (kind, name) in [("default", "data"), ("env", "wandb"), ("git-ssh", "git")] {
        at(LAPTOP).create(kind, name).await?;
    }
    for (kind, name) in [("default", "aws"), ("env", "openai")] {
        at(WORKSTATION).create(kind, name).await?;
    }
    let launched = at(LAPTOP).pod("launched").await?;
    let created = wait_for(
        "the webhook to know the secrets",
        Duration::from_secs(20),
        async || {
            let pod = objects::dry_run(project.client("alice"), launched.clone()).await?;
            let pod = objects::as_pod(pod)?;
            let complete = secrets_of(&pod, "alice").contains("openai-bc65ee65");
            Ok((complete && mounted(&pod).len() == 3).then_some(pod))
        },
    )
    .await?;
    assert_eq!(
        mounted(&created),
        [
            ("/konduktor/default-secrets/data", "data-abba3a3e"),
            ("/run/konduktor/git-ssh-secret", "git-abba3a3e"),
            ("/konduktor/default-secrets/aws", "aws-bc65ee65"),
        ]
    );
    for variable in launched["spec"]["containers"][0]["env"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let kept = container(&created).env.iter().flatten();
        let kept = serde_json::to_value(kept.collect::<Vec<_>>())?;
        let kept = kept.as_array().is_some_and(|kept| kept.contains(variable));
        assert!(kept, "{variable} is not as it was");
    }
    Ok(())
}
