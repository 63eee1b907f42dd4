//! `update`, `add` and `rm`, and two people who write at the same time.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::DeleteParams};
use libtest_mimic::Trial;
use serde_json::json;

use super::workplace::{Workplace, values};
use crate::{
    canary::VALUE,
    harness::{Cluster, Harness},
    project::user_object,
    support::{Result, objects, terminal::at_terminal},
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("secret_cli::update_changes_what_is_there", updates),
        harness.trial("secret_cli::add_takes_what_apolos_users_type", adds),
        harness.trial("secret_cli::rm_deletes_what_nobody_uses", removes),
        harness.trial("secret_cli::what_is_typed_is_stored_and_not_shown", typed),
        harness.trial("secret_cli::nothing_is_lost_where_many_write", many),
    ]
}

fn inline(key: &str) -> String {
    format!("{key}={VALUE}")
}

async fn updates(cluster: &Cluster) -> Result<()> {
    let place = Workplace::new(cluster, "secret-cli-updates").await?;
    let (a, b) = (inline("A"), inline("B"));
    place
        .run("alice", &["update", "wandb", "--inline", &a])?
        .failed(1, "there is no secret wandb of yours in namespace secret-cli-updates; `keyporter secret create` makes one");
    let create = [
        "create", "wandb", "--kind", "env", "--inline", &a, "--inline", &b,
    ];
    place
        .run("alice", &create)?
        .said("secret wandb created: added A B");
    place
        .run(
            "alice",
            &[
                "update",
                "wandb",
                "--inline",
                "B=other",
                "--remove-key",
                "A",
            ],
        )?
        .said("secret wandb updated: changed B, removed A");
    let secret = place.of("alice", "wandb").await?;
    assert_eq!(values(&secret), [("B", "other".to_owned())].into());
    assert_eq!(secret.annotations()["keyporter.dev/sizes"], "{\"B\":5}");
    for (arguments, said) in [
        (
            &["--on-reference"][..],
            "secret wandb updated: now on-reference, kept B",
        ),
        (&["--on-reference"], "secret wandb unchanged: kept B"),
        (
            &["--automatic", "--use-case", "s3"],
            "secret wandb updated: now automatic use case S3, kept B",
        ),
    ] {
        place
            .run("alice", &[&["update", "wandb"], arguments].concat())?
            .said(said);
    }
    for (arguments, code, sentence) in [
        (&["--remove-key", "A"][..], 1, "secret wandb has no key A"),
        (
            &["--remove-key", "B"],
            1,
            "secret wandb would have no key left; `keyporter secret rm wandb` deletes it",
        ),
        (
            &["--remove-key", "B", "--inline", "B=x"],
            1,
            "the key B is given and removed at once",
        ),
        (
            &["--inline", "PATH=x"],
            1,
            "no secret sets the variable PATH",
        ),
        (&["--from-file", "x"], 2, "kind env takes --inline"),
        (&[], 2, "no value is given, and nobody can be asked"),
    ] {
        place
            .run("alice", &[&["update", "wandb"], arguments].concat())?
            .failed(code, sentence);
    }
    Ok(())
}

async fn adds(cluster: &Cluster) -> Result<()> {
    let place = Workplace::new(cluster, "secret-cli-adds").await?;
    let note = "note: the secret is called hf-token, as names have a-z, 0-9 and - alone; pods refer to secret:hf-token";
    place
        .run("alice", &["add", "HF_TOKEN", VALUE])?
        .warned("secret hf-token created: added HF_TOKEN", note);
    let secret = place.of("alice", "hf-token").await?;
    assert_eq!(values(&secret), [("HF_TOKEN", VALUE.to_owned())].into());
    assert_eq!(
        secret.annotations()["keyporter.dev/injection"],
        "on-reference"
    );
    place
        .run("alice", &["add", "HF_TOKEN", "other"])?
        .warned("secret hf-token updated: changed HF_TOKEN", note);
    place.file("key.json", VALUE)?;
    place
        .run("alice", &["add", "gcp-key", "@key.json"])?
        .said("secret gcp-key created: added gcp-key");
    assert_eq!(
        values(&place.of("alice", "gcp-key").await?),
        [("gcp-key", VALUE.to_owned())].into()
    );
    place
        .run_with("alice", &["add", "typed", "-"], VALUE)?
        .said("secret typed created: added typed");
    place
        .run("alice", &["add", "dashes", "--x"])?
        .said("secret dashes created: added dashes");
    assert_eq!(
        values(&place.of("alice", "dashes").await?),
        [("dashes", "--x".to_owned())].into()
    );
    // Two keys would leave open which one `secret:hf-token` means.
    place
        .run("alice", &["add", "hf-token", VALUE])?
        .failed(1, "secret hf-token has other keys (HF_TOKEN)");
    // What a person chose since stays.
    place
        .run("alice", &["update", "gcp-key", "--automatic"])?
        .said("secret gcp-key updated: now automatic, kept gcp-key");
    place
        .run("alice", &["add", "gcp-key", "@key.json"])?
        .said("secret gcp-key unchanged: kept gcp-key");
    place
        .run("alice", &["rm", "HF_TOKEN", "-y"])?
        .warned("secret hf-token deleted", note);
    Ok(())
}

async fn removes(cluster: &Cluster) -> Result<()> {
    let place = Workplace::new(cluster, "secret-cli-removes").await?;
    let a = inline("A");
    for (user, name) in [("alice", "used"), ("alice", "idle"), ("bob", "used")] {
        let create = ["create", name, "--kind", "env", "--inline", &a];
        place
            .run(user, &create)?
            .said(&format!("secret {name} created: added A"));
    }
    let object = user_object("alice", "used");
    place
        .wait_for_pod("alice", |pod| pod.to_string().contains(&object))
        .await?;
    let alice = cluster.client("alice").await?;
    objects::create(&alice, objects::pod(place.name, "train")).await?;
    // It has the other one, too; a pod that goes leaves both.
    place
        .run("alice", &["rm", "idle"])?
        .failed(2, "nothing was deleted: nobody can be asked");
    let in_use = place.run("alice", &["rm", "used", "--yes"])?;
    in_use.failed(1, "is in use by pod train;");
    place
        .run("alice", &["rm", "used", "--yes"])?
        .failed(1, "; or say --force");
    place
        .run("alice", &["rm", "used", "--yes", "--force", "--dry-run"])?
        .said("secret used deleted (dry run)");
    assert!(place.has(&object).await?);
    place
        .run("alice", &["rm", "used", "--yes", "--force"])?
        .said("secret used deleted");
    assert!(!place.has(&object).await?);
    assert!(place.has(&user_object("bob", "used")).await?);

    let pods: Api<Pod> = Api::namespaced(place.admin.clone(), place.name);
    pods.delete("train", &DeleteParams::default().grace_period(0))
        .await?;
    let several = place.run("alice", &["delete", "idle", "absent", "idle", "--yes"])?;
    assert_eq!(
        (several.code, &*several.stdout),
        (Some(1), "secret idle deleted\n"),
        "{several:?}"
    );
    assert_eq!(
        several.stderr,
        "error: secret absent: there is no secret absent of yours in namespace secret-cli-removes; `keyporter secret \
         create` makes one\nerror: 1 of 2 could not be deleted\n"
    );
    Ok(())
}

async fn typed(cluster: &Cluster) -> Result<()> {
    let place = Workplace::new(cluster, "secret-cli-typed").await?;
    // Longer than a terminal's line.
    let long = VALUE.repeat(400);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_keyporter"));
    command.env("KUBECONFIG", place.kubeconfig("alice")?).args([
        "secret", "create", "typed", "--kind", "env", "-n", place.name,
    ]);
    let session = at_terminal(
        command,
        &[
            ("Key, the name of the variable: ", "TOKEN\n"),
            ("Value of TOKEN (is not shown): ", &format!("{long}\n")),
        ],
    )?;
    assert_eq!(session.code, Some(0), "{session:?}");
    assert!(
        session.shown.contains("secret typed created: added TOKEN") && session.restored,
        "{session:?}"
    );
    assert!(!session.shown.contains("hunter2"), "{session:?}");
    assert_eq!(
        values(&place.of("alice", "typed").await?),
        [("TOKEN", long)].into()
    );
    Ok(())
}

/// Each adds a key of its own to the same secret, which one of them makes.
async fn many(cluster: &Cluster) -> Result<()> {
    let place = Workplace::new(cluster, "secret-cli-many").await?;
    let runs = std::thread::scope(|scope| {
        let run = |number: usize| {
            let place = &place;
            move || {
                let value = inline(&format!("K{number}"));
                let arguments = ["create", "many", "--inline", &value];
                place
                    .run("alice", &arguments)
                    .map_err(|error| error.to_string())
            }
        };
        let threads: Vec<_> = (0..4).map(|number| scope.spawn(run(number))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    for run in runs {
        assert_eq!(run?.code, Some(0));
    }
    let secret = place.of("alice", "many").await?;
    let keys: Vec<_> = values(&secret).into_keys().collect();
    assert_eq!(keys, ["K0", "K1", "K2", "K3"]);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&secret.annotations()["keyporter.dev/sizes"])?,
        json!({"K0": 14, "K1": 14, "K2": 14, "K3": 14})
    );
    Ok(())
}
