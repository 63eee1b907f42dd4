//! `create`: new secrets, and those that are there already.

use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry};
use kube::ResourceExt;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::workplace::{Workplace, values};
use crate::{
    canary::{ENCODED, VALUE},
    harness::{Cluster, Harness},
    project::user_object,
    support::{Result, objects, policies::allow_project_secrets},
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("secret_cli::create_merges_and_tells_what_it_did", merges),
        harness.trial("secret_cli::every_source_and_kind_reaches_pods", sources),
        harness.trial(
            "secret_cli::the_first_key_for_git_gives_its_place_up",
            second_key,
        ),
        harness.trial("secret_cli::folders_arrive_as_they_are", folders),
        harness.trial("secret_cli::manifests_become_secrets", manifests),
        harness.trial("secret_cli::what_is_not_ones_own_is_not_touched", foreign),
        harness.trial("secret_cli::project_secrets_take_their_right", project),
        harness.trial("secret_cli::errors_name_the_role_that_gives_a_right", roles),
    ]
}

/// One of the values that may not be told.
fn inline(key: &str) -> String {
    format!("{key}={VALUE}")
}

async fn merges(cluster: &Cluster) -> Result<()> {
    let place = Workplace::new(cluster, "secret-cli-merges").await?;
    let (a, b) = (inline("A"), inline("B"));
    for user in ["alice", "bob"] {
        let create = ["create", "hugging-face", "--kind", "env", "--inline", &a];
        let dry_run = [&create[..], &["--dry-run"]].concat();
        place
            .run(user, &dry_run)?
            .said("secret hugging-face created (dry run): added A");
        assert!(!place.has(&user_object(user, "hugging-face")).await?);
        place
            .run(user, &create)?
            .said("secret hugging-face created: added A");
        let secret = place.of(user, "hugging-face").await?;
        place
            .run(user, &create)?
            .said("secret hugging-face unchanged: kept A");
        assert_eq!(place.of(user, "hugging-face").await?, secret);
        assert_eq!(secret.annotations()["keyporter.dev/owner"], user);
        assert_eq!(secret.annotations()["keyporter.dev/sizes"], "{\"A\":14}");
        assert_eq!(secret.annotations()["keyporter.dev/injection"], "automatic");
        assert_eq!(secret.labels()["keyporter.dev/name"], "hugging-face");
        assert_eq!(managers(&secret), ours());
    }
    let merge = [
        "create",
        "hugging-face",
        "--kind",
        "env",
        "--inline",
        "A=other",
        "--inline",
        &b,
    ];
    place
        .run("alice", &[&merge[..], &["--dry-run"]].concat())?
        .said("secret hugging-face updated (dry run): added B, changed A");
    place
        .run("alice", &merge)?
        .said("secret hugging-face updated: added B, changed A");
    let secret = place.of("alice", "hugging-face").await?;
    let both = [("A", "other".to_owned()), ("B", VALUE.to_owned())];
    assert_eq!(values(&secret), both.into());
    assert_eq!(
        secret.annotations()["keyporter.dev/sizes"],
        "{\"A\":5,\"B\":14}"
    );
    assert_eq!(managers(&secret), ours());
    let bobs = place.of("bob", "hugging-face").await?;
    assert_eq!(values(&bobs), [("A", VALUE.to_owned())].into());

    let more = [
        "--inline",
        "C=",
        "--on-reference",
        "--use-case",
        "hUGGINGface",
    ];
    place
        .run(
            "alice",
            &[&["create", "hugging-face", "--kind", "env"], &more[..]].concat(),
        )?
        .said(
            "secret hugging-face updated: added C, now on-reference use case HuggingFace, kept A B",
        );
    place
        .run("alice", &["create", "hugging-face", "--inline", "C="])?
        .failed(
            1,
            "secret hugging-face is of kind env, and kinds do not change; say --kind env",
        );
    // What is there counts together with what comes.
    let half = "x".repeat(600_000);
    place.file("half", &half)?;
    place
        .run("alice", &["create", "large", "--from-file", "half"])?
        .said("secret large created: added half");
    place
        .run("alice", &["create", "large", "--from-file", "other=half"])?
        .failed(1, "1200000 bytes are more than the 1048576 that a Secret can hold: half 600000, other 600000;");
    // An administrator acts for bob, and it is bob's.
    let admin = cluster.kubeconfig(crate::support::control_plane::ADMIN, Some("system:masters"))?;
    let arguments = [
        "create", "acted", "--inline", &a, "--as", "bob", "-n", place.name,
    ];
    super::run::run(&admin, place.folder(), &arguments, "")?.said("secret acted created: added A");
    assert_eq!(
        place.of("bob", "acted").await?.annotations()["keyporter.dev/owner"],
        "bob"
    );
    Ok(())
}

/// Who wrote, and by what operation.
fn managers(secret: &Secret) -> Vec<(String, String)> {
    let fields = secret.managed_fields().iter();
    let pair = |field: &ManagedFieldsEntry| {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        (text(&field.manager), text(&field.operation))
    };
    fields.map(pair).collect()
}

fn ours() -> Vec<(String, String)> {
    vec![("keyporter".to_owned(), "Update".to_owned())]
}

/// A private key as ssh has it, as far as anybody here looks.
fn private_key(value: &str) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{value}\n-----END PRIVATE KEY-----\n")
}

/// Arguments of `create`, standard input, and which keys it has.
const SOURCES: [(&[&str], &str, &str); 7] = [
    (
        &[
            "files",
            "--from-file",
            "token",
            "--from-file",
            "again=token",
            "--inline",
            "A=b",
        ],
        "",
        "A again token",
    ),
    (
        &["variables", "--kind", "env", "--from-env-file", "variables"],
        "",
        "A B",
    ),
    (&["typed", "--from-stdin", "key"], VALUE, "key"),
    (
        &["auth", "--kind", "auth", "--from-file", "token"],
        "",
        "AUTH_SECRET",
    ),
    (
        &[
            "git",
            "--kind",
            "git-ssh",
            "--from-file",
            "id",
            "--known-hosts",
            "hosts",
        ],
        "",
        "gitkey known_hosts",
    ),
    (
        &["pull", "--kind", "image-pull", "--from-file", "config.json"],
        "",
        ".dockerconfigjson",
    ),
    (
        &[
            "login",
            "--kind",
            "image-pull",
            "--docker-server",
            "ghcr.io",
            "--docker-username",
            "a",
            "--docker-password-stdin",
        ],
        "hunter2-canary\n",
        ".dockerconfigjson",
    ),
];

async fn sources(cluster: &Cluster) -> Result<()> {
    let place = Workplace::new(cluster, "secret-cli-sources").await?;
    place.file("token", VALUE)?;
    place.file("variables", &format!("# c\nA={VALUE}\nB=\"{VALUE}\"\r\n"))?;
    place.file("id", &private_key(VALUE))?;
    place.file("hosts", "github.com ssh-ed25519 AAAA\n")?;
    place.file("config.json", r#"{"auths": {"ghcr.io": {"auth": "YTpi"}}}"#)?;
    for (arguments, input, keys) in SOURCES {
        let name = arguments[0];
        place
            .run_with("alice", &[&["create"], arguments].concat(), input)?
            .said(&format!("secret {name} created: added {keys}"));
    }
    let line = format!("{VALUE}\n");
    place
        .run_with(
            "alice",
            &["create", "lines", "--kind", "env", "--from-stdin", "A"],
            &line,
        )?
        .warned(
            "secret lines created: added A",
            "warning: A ends with a line break",
        );

    let quoted = format!("\"{VALUE}\"");
    for (name, expected) in [
        ("variables", &[("A", VALUE), ("B", &quoted)][..]),
        ("typed", &[("key", VALUE)]),
        ("auth", &[("AUTH_SECRET", VALUE)]),
        (
            "git",
            &[
                ("gitkey", &private_key(VALUE)),
                ("known_hosts", "github.com ssh-ed25519 AAAA\n"),
            ],
        ),
        ("lines", &[("A", &line)]),
    ] {
        let expected = expected
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()));
        assert_eq!(
            values(&place.of("alice", name).await?),
            expected.collect(),
            "{name}"
        );
    }
    let login = values(&place.of("alice", "login").await?)[".dockerconfigjson"].clone();
    let login: Value = serde_json::from_str(&login)?;
    assert_eq!(login["auths"]["ghcr.io"]["password"], VALUE);
    place
        .wait_for_pod("alice", |pod| {
            let text = pod.to_string();
            let has = |name: &str| text.contains(&user_object("alice", name));
            SOURCES.iter().all(|(arguments, ..)| has(arguments[0]))
                && text.contains("KONDUKTOR_DEFAULT_SECRETS")
                && text.contains("StrictHostKeyChecking=yes")
        })
        .await
}

async fn second_key(cluster: &Cluster) -> Result<()> {
    let place = Workplace::new(cluster, "secret-cli-second-key").await?;
    place.file("id", &private_key(VALUE))?;
    place.file("other", &private_key("hunter2-other"))?;
    place.file("hosts", "github.com ssh-ed25519 AAAA\n")?;
    let first = [
        "create",
        "git",
        "--kind",
        "git-ssh",
        "--from-file",
        "id",
        "--known-hosts",
        "hosts",
    ];
    place
        .run("alice", &first)?
        .said("secret git created: added gitkey known_hosts");
    let object = user_object("alice", "git");
    place
        .wait_for_pod("alice", |pod| pod.to_string().contains(&object))
        .await?;

    let second = [
        "create",
        "gitlab",
        "--kind",
        "git-ssh",
        "--from-file",
        "other",
    ];
    place.run("alice", &second)?.failed(
        1,
        "or say --replace, and this key takes the place of that one",
    );
    let replace = [&second[..], &["--replace"]].concat();
    place
        .run("alice", &[&replace[..], &["--dry-run"]].concat())?
        .said("secret git updated (dry run): changed gitkey, kept known_hosts");
    assert_eq!(
        values(&place.object(&object).await?)["gitkey"],
        private_key(VALUE)
    );
    place
        .run("alice", &replace)?
        .said("secret git updated: changed gitkey, kept known_hosts");
    assert_eq!(
        values(&place.object(&object).await?)["gitkey"],
        private_key("hunter2-other")
    );
    assert!(!place.has(&user_object("alice", "gitlab")).await?);
    place
        .run("bob", &replace)?
        .said("secret gitlab created: added gitkey");
    place
        .run("alice", &["update", "git", "--remove-key", "gitkey"])?
        .failed(1, "a secret of kind git-ssh needs the key gitkey");
    place
        .run("alice", &["update", "git", "--known-hosts", "hosts"])?
        .said("secret git unchanged: kept gitkey known_hosts");
    Ok(())
}

async fn folders(cluster: &Cluster) -> Result<()> {
    let place = Workplace::new(cluster, "secret-cli-folders").await?;
    for file in ["aws/config", "aws/credentials", "aws/sso/config", "aws/run"] {
        place.file(file, VALUE)?;
    }
    let run = place.folder().join("aws/run");
    std::fs::set_permissions(&run, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    std::fs::create_dir(place.folder().join("aws/empty"))?;
    let create = ["create", "aws", "--from-directory", "aws"];
    let created = place.run("alice", &create)?;
    assert!(
        created
            .stdout
            .starts_with("secret aws created: added aws_sso_config-"),
        "{created:?}"
    );
    assert!(
        created.stderr.contains("\"aws/empty\" is empty"),
        "{created:?}"
    );
    let secret = place.of("alice", "aws").await?;
    let layout: Value = serde_json::from_str(&secret.annotations()["keyporter.dev/layout"])?;
    let paths: std::collections::BTreeSet<_> = layout
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, path)| path.as_str())
        .collect();
    assert_eq!(
        paths,
        ["aws/config", "aws/credentials", "aws/run", "aws/sso/config"].into()
    );
    assert_eq!(
        secret.annotations()["keyporter.dev/executable"],
        "[\"run\"]"
    );
    place
        .wait_for_pod("alice", |pod| pod.to_string().contains("aws/sso/config"))
        .await?;

    let again = place.run("alice", &create)?;
    assert!(
        again.stdout.starts_with("secret aws unchanged: kept "),
        "{again:?}"
    );
    // A new file, one that changed, and one that is no program any more.
    place.file("aws/credentials", "hunter2-other")?;
    place.file("aws/sso/token", VALUE)?;
    std::fs::set_permissions(&run, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let merged = place.run("alice", &create)?;
    assert!(
        merged.stdout.starts_with("secret aws updated: added token, changed credentials, now which files may be run, kept "),
        "{merged:?}"
    );
    let secret = place.of("alice", "aws").await?;
    assert!(secret.annotations()["keyporter.dev/layout"].contains("\"token\":\"aws/sso/token\""));
    assert_eq!(secret.annotations().get("keyporter.dev/executable"), None);
    let removed = place.run("alice", &["update", "aws", "--remove-key", "token"])?;
    assert!(
        removed
            .stdout
            .starts_with("secret aws updated: removed token, kept "),
        "{removed:?}"
    );
    let secret = place.of("alice", "aws").await?;
    assert!(!secret.annotations()["keyporter.dev/layout"].contains("token"));
    assert!(!secret.annotations()["keyporter.dev/sizes"].contains("token"));
    Ok(())
}

async fn manifests(cluster: &Cluster) -> Result<()> {
    let place = Workplace::new(cluster, "secret-cli-manifests").await?;
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "wandb",
            "labels": {"keyporter.dev/kind": "env", "team": "vision"},
            "annotations": {
                "keyporter.dev/injection": "on-reference",
                "keyporter.dev/use-case": "generic",
                "keyporter.dev/layout": "{\"A\": \"top/a\", \"gone\": \"x\"}",
                "keyporter.dev/executable": "[\"A\"]",
                "kubectl.kubernetes.io/last-applied-configuration": VALUE,
            },
        },
        "data": {"A": ENCODED},
        "stringData": {"B": VALUE},
    });
    let text = manifest.to_string();
    place
        .run_with("alice", &["create", "-f", "-"], &text)?
        .said("secret wandb created: added A B");
    let secret = place.of("alice", "wandb").await?;
    assert_eq!(
        values(&secret),
        [("A", VALUE.to_owned()), ("B", VALUE.to_owned())].into()
    );
    assert_eq!(secret.labels()["team"], "vision");
    assert_eq!(
        secret.annotations()["keyporter.dev/injection"],
        "on-reference"
    );
    assert_eq!(secret.annotations()["keyporter.dev/use-case"], "Generic");
    assert_eq!(
        secret.annotations()["keyporter.dev/layout"],
        "{\"A\":\"top/a\"}"
    );
    assert_eq!(secret.annotations()["keyporter.dev/executable"], "[\"A\"]");
    assert!(!serde_json::to_string(secret.annotations())?.contains(VALUE));

    // The namespace of a manifest counts as kubectl has it.
    let elsewhere = text.replacen(
        "\"metadata\":{",
        "\"metadata\":{\"namespace\":\"elsewhere\",",
        1,
    );
    place
        .run_with("alice", &["create", "-f", "-"], &elsewhere)?
        .failed(2, "the manifest is for namespace \"elsewhere\"");
    let here = text.replacen(
        "\"metadata\":{",
        &format!("\"metadata\":{{\"namespace\":{:?},", place.name),
        1,
    );
    let here = here.replace("wandb", "openai");
    place.file("here.yaml", &here)?;
    let alice = place.kubeconfig("alice")?;
    super::run::run(&alice, place.folder(), &["create", "-f", "here.yaml"], "")?
        .said("secret openai created: added A B");
    assert!(place.has(&user_object("alice", "openai")).await?);
    Ok(())
}

async fn foreign(cluster: &Cluster) -> Result<()> {
    let place = Workplace::new(cluster, "secret-cli-foreign").await?;
    let object = user_object("alice", "taken");
    let secret = |name: &str, labels: Value| {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"namespace": place.name, "name": name, "labels": labels},
            "data": {"A": ENCODED},
        })
    };
    let a = inline("A");
    let create = ["create", "taken", "--inline", &a];
    objects::create(&place.admin, secret(&object, json!({}))).await?;
    let before = place.object(&object).await?;
    let none_of_ours = format!("Secret {object} is none of keyporter's");
    place.run("alice", &create)?.failed(1, &none_of_ours);
    place
        .run("alice", &["update", "taken", "--inline", &a])?
        .failed(1, &none_of_ours);
    place
        .run("alice", &["rm", "taken", "--yes"])?
        .failed(1, &none_of_ours);
    assert_eq!(place.object(&object).await?, before);

    // bob has made one that is called as alice's would be.
    let stolen = user_object("alice", "stolen");
    let labels = json!({"keyporter.dev/kind": "default", "keyporter.dev/name": "stolen"});
    let bob = cluster.client("bob").await?;
    objects::create(&bob, secret(&stolen, labels)).await?;
    for arguments in [
        &["create", "stolen", "--inline", "A=b"][..],
        &["rm", "stolen", "--yes"],
    ] {
        place
            .run("alice", arguments)?
            .failed(1, "belongs to another user");
    }
    // One of alice's with another name.
    let other = user_object("alice", "other");
    let labels = json!({"keyporter.dev/kind": "default", "keyporter.dev/name": "another"});
    objects::create(&cluster.client("alice").await?, secret(&other, labels)).await?;
    place
        .run("alice", &["create", "other", "--inline", "A=b"])?
        .failed(
            1,
            &format!("Secret {other} is that of a secret called another"),
        );
    // One that cannot change.
    let fixed = user_object("alice", "fixed");
    let labels = json!({"keyporter.dev/kind": "default", "keyporter.dev/name": "fixed"});
    let mut immutable = secret(&fixed, labels);
    immutable["immutable"] = json!(true);
    objects::create(&cluster.client("alice").await?, immutable).await?;
    place
        .run("alice", &["create", "fixed", "--inline", "B=b"])?
        .failed(
            1,
            "secret fixed is immutable; delete it with `keyporter secret rm fixed`",
        );
    Ok(())
}

async fn project(cluster: &Cluster) -> Result<()> {
    let place = Workplace::new(cluster, "secret-cli-project").await?;
    let a = inline("A");
    let create = [
        "create",
        "shared",
        "--project",
        "--kind",
        "env",
        "--inline",
        &a,
    ];
    place.run("alice", &create)?.failed(
        1,
        "is a project secret, which needs the right to create projectsecrets.keyporter.dev",
    );
    allow_project_secrets(&place.admin, place.name, "alice").await?;
    place
        .run("alice", &create)?
        .said("secret shared created: added A");
    let secret = place.object("shared").await?;
    assert_eq!(secret.labels()["keyporter.dev/scope"], "project");
    assert_eq!(secret.labels().get("keyporter.dev/owner-id"), None);
    place
        .wait_for_pod("bob", |pod| pod.to_string().contains("\"shared\""))
        .await?;
    place
        .run("bob", &["rm", "shared", "--project", "--yes"])?
        .failed(1, "needs the right to");
    place.run("bob", &["rm", "shared", "--yes"])?.failed(
        1,
        "there is no secret shared of yours in namespace secret-cli-project",
    );
    place
        .run("alice", &["rm", "shared", "--project", "--yes"])?
        .said("secret shared deleted");
    Ok(())
}

async fn roles(cluster: &Cluster) -> Result<()> {
    let place = Workplace::new(cluster, "secret-cli-roles").await?;
    let a = inline("A");
    for arguments in [
        &["create", "a", "--inline", &a][..],
        &["add", "a", VALUE],
        &["update", "a", "--inline", &a],
        &["rm", "a", "--yes"],
    ] {
        place
            .run("carol", arguments)?
            .failed(1, "the role keyporter-author gives that right");
    }
    // Nothing here takes more than the role gives.
    let kubectl = cluster.kubectl("alice")?.within(place.name);
    for verb in ["get", "list", "watch", "update", "deletecollection"] {
        assert!(
            !kubectl.run(&["auth", "can-i", verb, "secrets"])?.success,
            "{verb}"
        );
    }
    Ok(())
}
