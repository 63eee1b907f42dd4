//! `create`: new secrets, and those that are there already.

use kube::ResourceExt;
use libtest_mimic::Trial;

use super::workplace::{Workplace, values};
use crate::{
    canary::VALUE,
    harness::{Cluster, Harness},
    project::user_object,
    support::Result,
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("secret_cli::create_merges_and_tells_what_it_did", merges)]
}

async fn merges(cluster: &Cluster) -> Result<()> {
    let place = Workplace::new(cluster, "secret-cli-merges").await?;
    let inline = |key: &str, value: &str| format!("{key}={value}");
    let (a, b) = (inline("A", VALUE), inline("B", VALUE));
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
        place
            .run(user, &create)?
            .said("secret hugging-face unchanged: kept A");
        let secret = place.of(user, "hugging-face").await?;
        assert_eq!(secret.annotations()["keyporter.dev/owner"], user);
        assert_eq!(secret.annotations()["keyporter.dev/sizes"], "{\"A\":14}");
        assert_eq!(secret.labels()["keyporter.dev/name"], "hugging-face");
        let managers: Vec<_> = secret
            .managed_fields()
            .iter()
            .map(|field| (field.manager.as_deref(), field.operation.as_deref()))
            .collect();
        assert!(
            managers.contains(&(Some("keyporter"), Some("Update"))),
            "{managers:?}"
        );
    }
    let other = inline("A", "other");
    let merge = [
        "create",
        "hugging-face",
        "--kind",
        "env",
        "--inline",
        &other,
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
    assert_eq!(
        values(&secret),
        [("A", "other".to_owned()), ("B", VALUE.to_owned())].into()
    );
    assert_eq!(
        secret.annotations()["keyporter.dev/sizes"],
        "{\"A\":5,\"B\":14}"
    );
    assert_eq!(
        values(&place.of("bob", "hugging-face").await?),
        [("A", VALUE.to_owned())].into()
    );

    place
        .run(
            "alice",
            &[
                "create",
                "hugging-face",
                "--kind",
                "env",
                "--inline",
                "C=",
                "--on-reference",
                "--use-case",
                "hUGGINGface",
            ],
        )?
        .said(
            "secret hugging-face updated: added C, now on-reference use case HuggingFace, kept A B",
        );
    place
        .run("alice", &["create", "hugging-face", "--inline", "C="])?
        .failed(
            1,
            "secret hugging-face is of kind env, and kinds do not change",
        );
    Ok(())
}
