//! `keyporter secret adopt`: secrets that are older than the installation get their owner.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness},
    konduktor::{BOBS, LAPTOP, WORKSTATION, a_second_later, secret, wait_for_secrets},
    project::{Project, SHARED, user_object},
    support::{
        Result,
        control_plane::ADMIN,
        objects, wait_for,
        webhook::{Behaviour, Webhook},
    },
};

/// Kubernetes' own controllers pass the policies: so a Secret can be as old as the installation is not.
const BEFORE_INSTALLATION: &str = "system:kube-controller-manager";

/// What is in the values of every secret here, and in what `kubectl apply` leaves on it.
const CANARY: &str = "hunter2-canary";
/// [`CANARY`] in base64.
const ENCODED: &str = "aHVudGVyMi1jYW5hcnk=";

/// Says nothing.
const NOTHING: [&str; 0] = [];
/// Logs all that there is.
const VERBOSE: [&str; 4] = ["--log-level", "trace", "--log-format", "text"];

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("adopt::the_overview_shows_what_has_no_owner", overview),
        harness.trial(
            "adopt::an_administrator_gives_old_secrets_to_their_owner",
            administrator,
        ),
        harness.trial(
            "adopt::it_takes_the_right_to_impersonate_every_user",
            rights,
        ),
        harness.trial("adopt::every_secret_is_judged_on_its_own", judgements),
        harness.trial("adopt::a_name_written_meanwhile_stays", race),
        harness.trial(
            "adopt::a_hash_may_have_secrets_in_all_namespaces",
            namespaces,
        ),
    ]
}

/// What a run left behind.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    /// Ended with this code, and said just these lines.
    #[track_caller]
    fn said(&self, code: i32, stdout: &[impl AsRef<str>], stderr: &[impl AsRef<str>]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for (said, expected) in [(&self.stdout, texts(stdout)), (&self.stderr, texts(stderr))] {
            assert_eq!(said.lines().collect::<Vec<_>>(), expected);
        }
    }
}

fn texts(lines: &[impl AsRef<str>]) -> Vec<&str> {
    lines.iter().map(AsRef::as_ref).collect()
}

/// The same of each of these Secrets.
fn lines(namespace: &str, objects: &[&str], fate: &str) -> Vec<String> {
    let line = |object: &&str| format!("secret {namespace}/{object}: {fate}");
    objects.iter().map(line).collect()
}

/// `keyporter secret adopt` in a namespace with secrets from before.
struct Adoption<'a> {
    kubeconfig: PathBuf,
    namespace: &'a str,
}

impl<'a> Adoption<'a> {
    /// By an administrator of the cluster.
    fn new(cluster: &Cluster, namespace: &'a str) -> Result<Self> {
        Ok(Self {
            kubeconfig: cluster.kubeconfig(ADMIN, Some("system:masters"))?,
            namespace,
        })
    }

    fn run(&self, arguments: &[&str]) -> Result<Run> {
        run(command(
            &self.kubeconfig,
            &["-n", self.namespace],
            arguments,
        ))
    }
}

fn command(kubeconfig: &Path, place: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyporter"));
    command
        .env_remove("KUBECONFIG")
        .env_remove("HTTPS_PROXY")
        .env_remove("https_proxy")
        .env_remove("KEYPORTER_LOG")
        .args(["secret", "adopt", "--kubeconfig"])
        .arg(kubeconfig)
        .args(place)
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// No value is in what it says, however much it logs.
fn run(mut command: Command) -> Result<Run> {
    let output = command.output()?;
    let run = Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    };
    for value in [CANARY, ENCODED, "payload.zip"] {
        assert!(
            !run.stdout.contains(value) && !run.stderr.contains(value),
            "{value} is in {run:?}"
        );
    }
    Ok(run)
}

/// Makes the Secret as it was before there were policies.
async fn made_before(cluster: &Cluster, namespace: &str, mut secret: Value) -> Result<()> {
    secret["apiVersion"] = "v1".into();
    secret["kind"] = "Secret".into();
    secret["metadata"]["namespace"] = namespace.into();
    let maker = cluster.client(BEFORE_INSTALLATION).await?;
    objects::create(&maker, secret).await?;
    Ok(())
}

/// One of ours, as `kubectl apply` makes it.
fn ours(name: &str, labels: &Value, owner: &str) -> Value {
    let applied = format!("{{\"stringData\":{{\"TOKEN\":\"{CANARY}\"}}}}");
    json!({
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {
                "keyporter.dev/owner": owner,
                "kubectl.kubernetes.io/last-applied-configuration": applied,
            },
        },
        "data": {"TOKEN": ENCODED},
    })
}

/// The version and the owner of every Secret.
async fn stored(cluster: &Cluster, namespace: &str) -> Result<BTreeMap<String, (String, String)>> {
    let api: Api<Secret> = Api::namespaced(cluster.admin(), namespace);
    let all = api.list(&ListParams::default()).await?;
    let entry = |secret: Secret| {
        let owner = secret.annotations().get("keyporter.dev/owner").cloned();
        let version = secret.resource_version().unwrap_or_default();
        (secret.name_any(), (version, owner.unwrap_or_default()))
    };
    Ok(all.items.into_iter().map(entry).collect())
}

async fn owner(cluster: &Cluster, namespace: &str, object: &str) -> Result<String> {
    let (_, owner) = stored(cluster, namespace)
        .await?
        .remove(object)
        .ok_or("it is gone")?;
    Ok(owner)
}

/// Of two workstations of alice's, the laptop's newer; one of bob's; and one that Konduktor has nothing to do with.
async fn old_secrets(cluster: &Cluster, name: &str) -> Result<Project> {
    let project = Project::new(cluster, name).await?;
    for (kind, basename) in [("default", "aws"), ("env", "wandb"), ("git-ssh", "github")] {
        made_before(cluster, name, secret(WORKSTATION, kind, basename)).await?;
    }
    a_second_later(&project).await?;
    for (hash, kind, basename) in [
        (LAPTOP, "env", "wandb"),
        (LAPTOP, "git-ssh", "gitlab"),
        (BOBS, "env", "wandb"),
    ] {
        made_before(cluster, name, secret(hash, kind, basename)).await?;
    }
    let labels = json!({"keyporter.dev/kind": "env", "keyporter.dev/name": "registry"});
    made_before(cluster, name, ours("registry-old", &labels, "")).await?;
    Ok(project)
}

/// Those of the two hashes of alice's, in the order in which they are spoken of.
const ALICES: [&str; 5] = [
    "aws-bc65ee65",
    "github-bc65ee65",
    "gitlab-abba3a3e",
    "wandb-abba3a3e",
    "wandb-bc65ee65",
];

async fn overview(cluster: &Cluster) -> Result<()> {
    let project = old_secrets(cluster, "adopt-overview").await?;
    let before = stored(cluster, &project.name).await?;
    let run = Adoption::new(cluster, &project.name)?.run(&VERBOSE)?;
    assert_eq!(run.code, Some(0));
    // The last one is the age.
    let cells = |line: &str| {
        let mut cells: Vec<_> = line.split_whitespace().map(ToOwned::to_owned).collect();
        cells.pop();
        cells.join(" ")
    };
    assert_eq!(
        run.stdout.lines().map(cells).collect::<Vec<_>>(),
        [
            "HASH NAMESPACE OBJECT NAME KIND",
            "abba3a3e adopt-overview gitlab-abba3a3e gitlab git-ssh",
            "abba3a3e adopt-overview wandb-abba3a3e wandb env",
            "bc65ee65 adopt-overview aws-bc65ee65 aws default",
            "bc65ee65 adopt-overview github-bc65ee65 github git-ssh",
            "bc65ee65 adopt-overview wandb-bc65ee65 wandb env",
            "cb00a8bc adopt-overview wandb-cb00a8bc wandb env",
            "- adopt-overview registry-old registry env",
        ]
    );
    assert!(run.stderr.contains("note: no pod gets any of these"));
    wait_for_secrets(&project, "alice", &[]).await?;
    assert_eq!(stored(cluster, &project.name).await?, before);
    Ok(())
}

async fn administrator(cluster: &Cluster) -> Result<()> {
    let project = old_secrets(cluster, "adopt-admin").await?;
    let name = &*project.name;
    let adoption = Adoption::new(cluster, name)?;
    let hers = ["--owner", "alice", "--konduktor-owner", WORKSTATION];
    let hers = [&hers[..], &["--konduktor-owner", LAPTOP]].concat();
    let warnings = |has: &str| {
        [
            format!(
                "warning: \"alice\" {has} 2 secrets of kind env called wandb in namespace adopt-admin: wandb-bc65ee65, \
                 wandb-abba3a3e; where they set the same variable, that of the newest, wandb-abba3a3e, counts; delete \
                 those that are not needed"
            ),
            format!(
                "warning: \"alice\" {has} 2 secrets of kind git-ssh in namespace adopt-admin: github-bc65ee65, \
                 gitlab-abba3a3e; only the newest, gitlab-abba3a3e, is used; delete those that are not needed"
            ),
        ]
    };

    let before = stored(cluster, name).await?;
    let would = lines(name, &ALICES, "would belong to \"alice\" (dry run)");
    let dry_run = [&hers[..], &["--dry-run"]].concat();
    let dry_run = adoption.run(&dry_run)?;
    dry_run.said(0, &would, &warnings("would have"));
    assert_eq!(stored(cluster, name).await?, before);

    let now = lines(name, &ALICES, "belongs to \"alice\" now");
    adoption.run(&hers)?.said(0, &now, &warnings("now has"));
    let [aws, _, gitlab, newer, older] = ALICES;
    let in_her_pods = [aws, gitlab, newer, older];
    wait_for_secrets(&project, "alice", &in_her_pods).await?;
    wait_for_secrets(&project, "bob", &[]).await?;

    let adopted = stored(cluster, name).await?;
    let already = lines(name, &ALICES, "belongs to \"alice\" already");
    adoption.run(&hers)?.said(0, &already, &NOTHING);
    assert_eq!(stored(cluster, name).await?, adopted);

    let rest = ["registry-old", "wandb-cb00a8bc"];
    let all = ["--owner", "bob", "--all"];
    let run = adoption.run(&[&all[..], &VERBOSE].concat())?;
    let now = lines(name, &rest, "belongs to \"bob\" now");
    assert_eq!(run.stdout.lines().collect::<Vec<_>>(), now);
    wait_for_secrets(&project, "bob", &rest).await?;
    wait_for_secrets(&project, "alice", &in_her_pods).await?;
    for arguments in [&[][..], &all] {
        let note = "note: there is no secret without an owner in namespace adopt-admin";
        adoption.run(arguments)?.said(0, &NOTHING, &[note]);
    }
    Ok(())
}

/// An administrator of a namespace has it for nobody.
async fn rights(cluster: &Cluster) -> Result<()> {
    let namespace = "adopt-rights";
    let admin = cluster.admin();
    objects::create_namespace(&admin, namespace, json!({}), false).await?;
    objects::allow_edit(&admin, namespace, "carol").await?;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"namespace": namespace, "name": "carol-admin"},
        "roleRef": {"kind": "ClusterRole", "name": "system:aggregate-to-admin", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [objects::subject("carol")],
    });
    objects::create(&admin, role).await?;
    let roles = ("create", "rbac.authorization.k8s.io", "roles");
    objects::wait_until_allowed(&admin, namespace, "carol", roles).await?;
    for name in ["wandb", "openai"] {
        made_before(cluster, namespace, secret(WORKSTATION, "env", name)).await?;
    }
    let before = stored(cluster, namespace).await?;

    // The namespace is that of a context; and with other rights than those of the kubeconfig, the rights decide.
    let with_context = |kubeconfig: &Path| -> Result<PathBuf> {
        let mut config: Value = serde_json::from_slice(&fs::read(kubeconfig)?)?;
        let mut context = config["contexts"][0].clone();
        context["name"] = "rights".into();
        context["context"]["namespace"] = namespace.into();
        config["contexts"]
            .as_array_mut()
            .ok_or("no contexts")?
            .push(context);
        let path = kubeconfig.with_file_name("kubeconfig-rights");
        fs::write(&path, config.to_string())?;
        Ok(path)
    };
    let carol = with_context(&cluster.kubeconfig("carol", None)?)?;
    let root = with_context(&cluster.kubeconfig(ADMIN, Some("system:masters"))?)?;
    let mine = ["--owner", "carol", "--all"];
    for (kubeconfig, more) in [
        (&carol, &[][..]),
        (&carol, &["--dry-run"]),
        (&root, &["--as", "carol"]),
    ] {
        let arguments = [&mine[..], more].concat();
        let refused = run(command(kubeconfig, &["--context", "rights"], &arguments))?;
        assert_eq!(
            (refused.code, &*refused.stdout),
            (Some(1), ""),
            "{refused:?}"
        );
        let lines: Vec<_> = refused.stderr.lines().collect();
        for (line, object) in lines.iter().zip(["openai-bc65ee65", "wandb-bc65ee65"]) {
            let sentence = format!(
                "secret {namespace}/{object} is older than keyporter and has no owner; delete it and create it again, or \
                 ask an administrator to adopt it"
            );
            assert!(
                line.starts_with(&format!("error: secret {namespace}/{object}: "))
                    && line.ends_with(&sentence),
                "{line}"
            );
        }
        assert_eq!(lines.last(), Some(&"error: 2 of 2 could not be adopted"));
        assert_eq!(lines.len(), 3);
    }
    assert_eq!(stored(cluster, namespace).await?, before);

    // Without any right in the namespace.
    let stranger = cluster.kubeconfig("stranger", None)?;
    let refused = run(command(&stranger, &["-n", namespace], &[]))?;
    let sentence = "error: secrets is forbidden: User \"stranger\" cannot list resource \"secrets\" in API group \"\" in \
                    the namespace \"adopt-rights\"";
    refused.said(1, &NOTHING, &[sentence]);

    // With the group that may do everything.
    let more = ["--as", "carol", "--as-group", "system:masters"];
    let arguments = [&mine[..], &more].concat();
    run(command(&root, &["--context", "rights"], &arguments))?.said(
        0,
        &[
            "secret adopt-rights/openai-bc65ee65: belongs to \"carol\" now",
            "secret adopt-rights/wandb-bc65ee65: belongs to \"carol\" now",
        ],
        &NOTHING,
    );
    Ok(())
}

async fn judgements(cluster: &Cluster) -> Result<()> {
    let namespace = "adopt-judgements";
    let project = Project::without_webhook(cluster, namespace, json!({})).await?;
    let account = format!("system:serviceaccount:{namespace}:ci");
    made_before(cluster, namespace, secret(WORKSTATION, "env", "wandb")).await?;
    // Konduktor's own key of a workstation has no kind.
    let mut key = secret(WORKSTATION, "default", "konduktor-ssh-keys");
    key["metadata"]["labels"]
        .as_object_mut()
        .ok_or("no labels")?
        .remove("trainy.ai/secret-kind");
    made_before(cluster, namespace, key).await?;
    let labels = json!({
        "keyporter.dev/kind": "env",
        "keyporter.dev/owner-id": "2bd806c97f0e00af1a1fc3328fa763a9",
    });
    made_before(cluster, namespace, ours("labelled", &labels, "")).await?;
    let ordinary = ours("ordinary", &json!({"app": "database"}), "");
    made_before(cluster, namespace, ordinary).await?;
    let alices = user_object("alice", "token");

    let adoption = Adoption::new(cluster, namespace)?;
    let objects = [
        "wandb-bc65ee65",
        "wandb-bc65ee65",
        "konduktor-ssh-keys-bc65ee65",
        "labelled",
        "ordinary",
        "missing",
        SHARED,
        &alices,
    ];
    let run = adoption.run(&[&["--owner", &account], &objects[..]].concat())?;
    run.said(
        1,
        &[
            &format!("secret {namespace}/konduktor-ssh-keys-bc65ee65: belongs to {account:?} now"),
            &format!("secret {namespace}/wandb-bc65ee65: belongs to {account:?} now"),
        ],
        &[
            "error: secrets \"missing\" not found",
            &format!(
                "error: secret {namespace}/labelled: keyporter ignores it, because its label keyporter.dev/owner-id is not \
                 that of {account:?}; remove the label with `kubectl label secret labelled -n {namespace} \
                 keyporter.dev/owner-id-`, and adopt it then, if it is theirs"
            ),
            &format!(
                "error: secret {namespace}/ordinary: keyporter has nothing to do with it: it has neither the label \
                 keyporter.dev/kind nor parent=konduktor"
            ),
            &format!(
                "error: secret {namespace}/shared: its label keyporter.dev/scope makes it a project secret, which needs no \
                 owner"
            ),
            &format!(
                "error: secret {namespace}/{alices}: it belongs to \"alice\", and the owner of a secret cannot change; \
                 create it again as the user who shall own it"
            ),
            "error: 5 of 7 could not be adopted",
        ],
    );
    assert_eq!(owner(cluster, namespace, "wandb-bc65ee65").await?, account);
    for (object, expected) in [("labelled", ""), ("ordinary", ""), (&*alices, "alice")] {
        assert_eq!(
            owner(cluster, namespace, object).await?,
            expected,
            "{object}"
        );
    }

    // The label is right for alice; once it is wrong, she is told so.
    adoption.run(&["--owner", "alice", "labelled"])?.said(
        0,
        &[&format!(
            "secret {namespace}/labelled: belongs to \"alice\" now"
        )],
        &NOTHING,
    );
    let api: Api<Secret> = Api::namespaced(project.admin.clone(), namespace);
    let wrong = json!({"metadata": {"labels": {"keyporter.dev/owner-id": "0"}}});
    api.patch("labelled", &PatchParams::default(), &Patch::Merge(wrong))
        .await?;
    adoption.run(&["--owner", "alice", "labelled"])?.said(
        0,
        &[&format!("secret {namespace}/labelled: belongs to \"alice\" already")],
        &[&format!(
            "warning: secret {namespace}/labelled: keyporter ignores it, because its label keyporter.dev/owner-id is not \
             that of \"alice\"; remove the label with `kubectl label secret labelled -n {namespace} \
             keyporter.dev/owner-id-`"
        )],
    );

    let unknown = ["--owner", "alice", "--konduktor-owner", "0a1b2c3d"];
    adoption.run(&unknown)?.said(
        1,
        &NOTHING,
        &[
            &format!(
                "error: no secret in namespace {namespace} has the label trainy.ai/secret-owner=0a1b2c3d"
            ),
            "error: 1 of 1 could not be adopted",
        ],
    );
    Ok(())
}

/// Another administrator is a moment faster: between the list and the patch, and so between the API server's admission of
/// the patch and its storing it.
async fn race(cluster: &Cluster) -> Result<()> {
    let namespace = "adopt-race";
    let admin = cluster.admin();
    objects::create_namespace(&admin, namespace, json!({}), false).await?;
    made_before(cluster, namespace, secret(WORKSTATION, "env", "wandb")).await?;
    let webhook = Webhook::start(cluster.authority(), Behaviour::Record).await?;
    webhook
        .register_for_secrets(&admin, "adopt-race", namespace)
        .await?;
    webhook.hold_next();
    let adoption = Adoption::new(cluster, namespace)?;
    let arguments = ["--owner", "alice", "--all"];
    let command = command(&adoption.kubeconfig, &["-n", namespace], &arguments);
    let slow = tokio::task::spawn_blocking(move || run(command).map_err(|error| error.to_string()));
    wait_for("the patch", Duration::from_secs(20), async || {
        Ok((!webhook.requests().is_empty()).then_some(()))
    })
    .await?;

    adoption.run(&["--owner", "bob", "--all"])?.said(
        0,
        &["secret adopt-race/wandb-bc65ee65: belongs to \"bob\" now"],
        &NOTHING,
    );
    webhook.release();
    slow.await??.said(
        1,
        &NOTHING,
        &[
            "error: secret adopt-race/wandb-bc65ee65: it belongs to \"bob\", and the owner of a secret cannot change; \
             create it again as the user who shall own it",
            "error: 1 of 1 could not be adopted",
        ],
    );
    assert_eq!(owner(cluster, namespace, "wandb-bc65ee65").await?, "bob");
    Ok(())
}

async fn namespaces(cluster: &Cluster) -> Result<()> {
    let (one, other, hash) = ("adopt-one", "adopt-other", "5eaf00d5");
    for namespace in [one, other] {
        objects::create_namespace(&cluster.admin(), namespace, json!({}), false).await?;
        made_before(cluster, namespace, secret(hash, "env", "wandb")).await?;
    }
    let root = cluster.kubeconfig(ADMIN, Some("system:masters"))?;
    let overview = run(command(&root, &["-A"], &[]))?;
    for namespace in [one, other] {
        let row = overview
            .stdout
            .lines()
            .find(|line| line.contains(namespace));
        assert!(row.is_some_and(|row| row.starts_with(hash)), "{overview:?}");
    }
    let arguments = ["--owner", "dora", "--konduktor-owner", hash];
    run(command(&root, &["-A"], &arguments))?.said(
        0,
        &[
            "secret adopt-one/wandb-5eaf00d5: belongs to \"dora\" now",
            "secret adopt-other/wandb-5eaf00d5: belongs to \"dora\" now",
        ],
        &NOTHING,
    );
    Ok(())
}
