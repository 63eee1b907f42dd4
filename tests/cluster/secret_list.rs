//! `keyporter secret list` and `show`: everything about secrets but their values.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    canary,
    command_line::{Person, bind, role, table},
    harness::{Cluster, Harness},
    konduktor::{LAPTOP, secret},
    project::{Project, SHARED, user_object, wait_until},
    support::{Result, control_plane::ADMIN, objects},
    workloads::run_once,
};

const LIST: [&str; 2] = ["secret", "list"];
const SHOW: [&str; 2] = ["secret", "show"];

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial(
            "secret_list::everybody_sees_their_own_and_the_projects",
            own,
        ),
        harness.trial("secret_list::keys_and_sizes_are_known_without_values", keys),
        harness.trial_with_controllers("secret_list::who_uses_a_secret_is_shown", used_by),
        harness.trial(
            "secret_list::rights_are_named_where_they_are_missing",
            rights,
        ),
        harness.trial("secret_list::filters_narrow_the_list", filters),
    ]
}

/// Secrets of alice's with the canary in them, broken ones among them, and one that Konduktor's client made.
async fn populated(cluster: &Cluster, name: &str) -> Result<Project> {
    let project = Project::without_webhook(cluster, name, json!({})).await?;
    let applied = format!("{{\"stringData\":{{\"A\":\"{}\"}}}}", canary::VALUE);
    for (object, labels, annotations, keys) in [
        (
            "hugging-face",
            json!({"keyporter.dev/kind": "env"}),
            json!({"keyporter.dev/use-case": "HuggingFace", "app": canary::VALUE}),
            vec!["HF_HOME", "HF_TOKEN"],
        ),
        (
            "odd",
            json!({"keyporter.dev/kind": "git-ssh"}),
            json!({"kubectl.kubernetes.io/last-applied-configuration": applied}),
            vec!["token"],
        ),
    ] {
        let data: serde_json::Map<_, _> = keys
            .into_iter()
            .map(|key| (key.to_owned(), canary::VALUE.into()))
            .collect();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"namespace": name, "name": object, "labels": labels, "annotations": annotations},
            "stringData": data,
        });
        objects::create(project.client("alice"), secret).await?;
    }
    let mut konduktors = secret(LAPTOP, "env", "wandb");
    konduktors["apiVersion"] = "v1".into();
    konduktors["kind"] = "Secret".into();
    konduktors["metadata"]["namespace"] = name.into();
    objects::create(project.client("alice"), konduktors).await?;
    Ok(project)
}

async fn own(cluster: &Cluster) -> Result<()> {
    let name = "list-own";
    populated(cluster, name).await?;
    let alice = Person::new(cluster, "alice", name)?;
    let bob = Person::new(cluster, "bob", name)?;

    let problem = "no private key; kind git-ssh needs the key gitkey or ssh-privatekey";
    let header = "NAME|KIND|SCOPE|USE CASE|KEYS|SIZE|USED BY|PROBLEM";
    let hers = [
        header.to_owned(),
        "hugging-face|env|user|HuggingFace|HF_HOME, HF_TOKEN|-|-|-".to_owned(),
        format!("odd|git-ssh|user|-|token|-|-|{problem}"),
        "shared|env|project|-|REGION|-|-|-".to_owned(),
        "token|env|user|-|TOKEN|-|-|-".to_owned(),
        "wandb|env|user|-|WANDB_TOKEN|-|-|-".to_owned(),
    ];
    assert_eq!(alice.run(&LIST, &[])?.table(&["AGE"]), hers);
    assert_eq!(alice.run(&["secret", "ls"], &[])?.table(&["AGE"]), hers);
    assert_eq!(
        bob.run(&LIST, &[])?.table(&["AGE", "USE CASE"]),
        [
            "NAME|KIND|SCOPE|KEYS|SIZE|USED BY",
            "shared|env|project|REGION|-|-",
            "token|env|user|TOKEN|-|-",
        ]
    );
    let all = bob.run(&LIST, &["--all-users"])?;
    assert_eq!(
        all.table(&["AGE", "USE CASE", "PROBLEM", "SIZE", "KEYS", "USED BY"]),
        [
            "NAME|KIND|SCOPE|OWNER",
            "hugging-face|env|user|alice",
            "odd|git-ssh|user|alice",
            "shared|env|project|-",
            "token|env|user|alice",
            "token|env|user|bob",
            "wandb|env|user|alice",
        ]
    );
    let names = |arguments: &[&str]| -> Result<Vec<String>> {
        let run = alice.run(&LIST, &[arguments, &["-o", "name"]].concat())?;
        Ok(run.printed().lines().map(str::to_owned).collect())
    };
    let token = format!("secret/{}", user_object("alice", "token"));
    let laptop = format!("secret/wandb-{LAPTOP}");
    assert_eq!(
        names(&[])?,
        [
            "secret/hugging-face",
            "secret/odd",
            "secret/shared",
            &token,
            &laptop
        ]
    );
    assert_eq!(names(&["--project"])?, [format!("secret/{SHARED}")]);
    let wide = alice.run(&LIST, &["wandb", "-o", "wide"])?;
    assert_eq!(
        wide.table(&["AGE"]),
        [
            "NAME|KIND|SCOPE|OWNER|USE CASE|KEYS|SIZE|OBJECT|INJECTION|HASH|USED BY".to_owned(),
            format!("wandb|env|user|alice|-|WANDB_TOKEN|-|wandb-{LAPTOP}|automatic|{LAPTOP}|-"),
        ]
    );
    for format in ["json", "yaml"] {
        let text = alice.run(&LIST, &["-o", format])?.printed();
        let documents = keyporter::documents::Documents::split(&text);
        let list = documents.iter().next().ok_or("nothing")?.value("list")?;
        assert_eq!(list["apiVersion"], "keyporter.dev/v1", "{format}");
        assert_eq!(list["kind"], "SecretSummaryList");
        let one = &list["items"][0];
        assert_eq!(one["object"], "hugging-face");
        assert_eq!(one["useCase"], "HuggingFace");
        assert_eq!(
            one["keys"],
            json!([{"name": "HF_HOME"}, {"name": "HF_TOKEN"}])
        );
        assert_eq!(one["usedBy"], json!([]));
        assert_eq!(list["items"][1]["problem"]["reason"], "no-git-key");
    }
    // Nobody else's by name, anybody's by object.
    let shown = bob.run(&SHOW, &["hugging-face"])?.printed();
    assert!(shown.contains("Owner:            alice\n"), "{shown}");
    let none = bob.run(&SHOW, &["wandb"])?;
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("--all-users"), "{none:?}");
    let both = bob
        .run(&SHOW, &["token", "--all-users", "-o", "json"])?
        .printed();
    let both: Value = serde_json::from_str(&both)?;
    assert_eq!(both["items"].as_array().map(Vec::len), Some(2));
    let nothing = bob.run(&LIST, &["nothing"])?;
    assert_eq!((nothing.code, &*nothing.stdout), (Some(0), ""));
    assert_eq!(
        nothing.stderr,
        "note: no such secret in namespace list-own; --all-users shows those of others\n"
    );
    Ok(())
}

async fn keys(cluster: &Cluster) -> Result<()> {
    let name = "list-keys";
    Project::without_webhook(cluster, name, json!({})).await?;
    let alice = Person::new(cluster, "alice", name)?;
    let kubectl = cluster.kubectl("alice")?.within(name);
    let manifest = |object: &str, sizes: &str, data: Value| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": object, "labels": {"keyporter.dev/kind": "env"}, "annotations": {"keyporter.dev/sizes": sizes}},
            "stringData": data,
        })
        .to_string()
    };
    let value = canary::VALUE;
    let sized = manifest(
        "sized",
        r#"{"A": 14, "B": 1024}"#,
        json!({"A": value, "B": "x".repeat(1024)}),
    );
    let create = ["create", "-f", "-", "--field-manager=keyporter"];
    kubectl.run_with_input(&create, &sized)?.ok()?;
    let applied = manifest("applied", "{}", json!({"A": value}));
    let apply = ["apply", "--server-side", "-f", "-"];
    kubectl.run_with_input(&apply, &applied)?.ok()?;
    let client = ["apply", "-f", "-"];
    kubectl
        .run_with_input(
            &client,
            &manifest(
                "client-side",
                r#"{"A": 5}"#,
                json!({"A": value, "B": value}),
            ),
        )?
        .ok()?;
    let cells = || -> Result<Vec<String>> {
        let run = alice.run(&LIST, &["--name", "*e*d*"])?;
        Ok(run.table(&["AGE", "KIND", "SCOPE", "USE CASE", "USED BY"]))
    };
    assert_eq!(
        cells()?,
        [
            "NAME|KEYS|SIZE",
            "applied|A|-",
            "client-side|A, B|>=5B",
            "shared|REGION|-",
            "sized|A, B|1.0KiB"
        ]
    );

    // Somebody writes another value by other means, takes a key away, and adds one.
    let patch = json!({"stringData": {"B": "hunter2-canary-2", "C": "c"}}).to_string();
    kubectl
        .run(&["patch", "secret", "sized", "-p", &patch])?
        .ok()?;
    let patch = json!({"data": {"A": null}}).to_string();
    kubectl
        .run(&["patch", "secret", "client-side", "-p", &patch])?
        .ok()?;
    assert_eq!(
        cells()?,
        [
            "NAME|KEYS|SIZE",
            "applied|A|-",
            "client-side|B|-",
            "shared|REGION|-",
            "sized|A, B, C|>=14B"
        ]
    );
    let shown = alice.run(&SHOW, &["sized"])?.printed();
    assert!(shown.contains("  A  14B\n  B  -\n  C  -\n"), "{shown}");
    assert!(shown.contains(" ago) by kubectl-patch\n"), "{shown}");

    // The account can be closed.
    let admin = cluster.kubectl(ADMIN)?.within(name);
    let patch =
        json!([{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]).to_string();
    admin
        .run(&["patch", "secret", "sized", "--type=json", "-p", &patch])?
        .ok()?;
    assert_eq!(
        cells()?,
        [
            "NAME|KEYS|SIZE",
            "applied|A|-",
            "client-side|B|-",
            "shared|REGION|-",
            "sized|-|-"
        ]
    );
    Ok(())
}

async fn used_by(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "list-used").await?;
    let alice = project.client("alice");
    objects::create(alice, project.pod("notebook")).await?;
    objects::create(project.client("bob"), project.pod("bobs")).await?;
    let mut template = run_once("train");
    template["metadata"]["annotations"] = json!({"keyporter.dev/auth-secret": "platform"});
    let spec = json!({"parallelism": 2, "completions": 2, "template": template});
    // It may not start before there is what it requires, so its pods carry only the others.
    objects::create(alice, project.workload("batch/v1", "Job", "train", &spec)).await?;
    wait_until("the pods of the Job", async || {
        let pods = objects::pods(&project.admin, &project.name, "job-name=train").await?;
        Ok(pods.len() == 2)
    })
    .await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"namespace": project.name, "name": "platform", "labels": {"keyporter.dev/kind": "auth"}},
        "stringData": {"AUTH_SECRET": canary::VALUE},
    });
    objects::create(alice, secret).await?;

    let person = Person::new(cluster, "alice", &project.name)?;
    let rows = person
        .run(&LIST, &[])?
        .table(&["AGE", "KIND", "SCOPE", "USE CASE", "KEYS", "SIZE"]);
    assert_eq!(
        rows,
        [
            "NAME|USED BY",
            "platform|Job/train",
            "shared|Job/train, Pod/bobs, Pod/notebook",
            "token|Job/train, Pod/notebook",
        ]
    );
    let shown = person.run(&SHOW, &["token"])?.printed();
    assert!(
        shown.contains("Used by:          Job/train (2 pods), Pod/notebook\n"),
        "{shown}"
    );
    let shown = person.run(&SHOW, &["platform"])?.printed();
    assert!(
        shown.contains("Used by:          Job/train (chooses it)\n"),
        "{shown}"
    );
    let json = person.run(&SHOW, &["token", "-o", "json"])?.printed();
    let json: Value = serde_json::from_str(&json)?;
    assert_eq!(
        json["items"][0]["usedBy"],
        json!([{"kind": "Job", "name": "train", "pods": 2}, {"kind": "Pod", "name": "notebook", "pods": 1}])
    );
    Ok(())
}

async fn rights(cluster: &Cluster) -> Result<()> {
    let project = Project::without_webhook(cluster, "list-rights", json!({})).await?;
    let (namespace, user) = (&*project.name, "vera");
    let vera = Person::new(cluster, user, namespace)?;
    for (command, arguments) in [(LIST, &[][..]), (LIST, &["-A"]), (SHOW, &["token"])] {
        let refused = vera.run(&command, arguments)?;
        assert_eq!(
            (refused.code, &*refused.stdout),
            (Some(1), ""),
            "{refused:?}"
        );
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
        for part in [
            "error: you may not list secrets in ",
            "keyporter-viewer",
            "--user=vera`",
        ] {
            assert!(refused.stderr.contains(part), "{refused:?}");
        }
    }

    // Secrets alone.
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]);
    role(cluster, "tests-secrets-only", rules).await?;
    bind(
        cluster,
        namespace,
        user,
        "tests-secrets-only",
        ("list", "", "secrets"),
    )
    .await?;
    let listed = vera.run(&LIST, &[])?;
    assert_eq!(listed.code, Some(0));
    assert_eq!(
        listed.stderr,
        "note: who uses the secrets is not all known, because you may not list pods; the role keyporter-viewer allows it\n"
    );
    assert_eq!(
        table(&listed.stdout, &["AGE"])[1],
        "shared|env|project|-|REGION|-|?"
    );
    let json = vera.run(&LIST, &["-o", "json"])?;
    let json: Value = serde_json::from_str(&json.stdout)?;
    assert_eq!(json["items"][0]["usedByComplete"], false);
    Ok(())
}

async fn filters(cluster: &Cluster) -> Result<()> {
    let name = "list-filters";
    populated(cluster, name).await?;
    let alice = Person::new(cluster, "alice", name)?;
    let token = user_object("alice", "token");
    let laptop = format!("wandb-{LAPTOP}");
    for (arguments, expected) in [
        (
            &["TOKEN"][..],
            &["hugging-face", "odd", &*token, &laptop][..],
        ),
        (&["huggingf"], &["hugging-face"]),
        (&["region"], &["shared"]),
        (&["--kind", "git-ssh"], &["odd"]),
        (
            &["--kind", "git-ssh", "--kind", "env", "--name", "*o*"],
            &["odd", &token],
        ),
        (&["--name", "wand?"], &[&laptop]),
        (&["wandb_", "--kind", "env", "--name", "w*"], &[&laptop]),
    ] {
        let run = alice.run(&LIST, &[arguments, &["-o", "name"]].concat())?;
        let names: Vec<_> = run
            .stdout
            .lines()
            .map(|line| line.trim_start_matches("secret/"))
            .collect();
        assert_eq!(names, expected, "{arguments:?}");
    }
    Ok(())
}
