//! Who the API server takes a client for, and what it lets them do.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{Api, api::PostParams};
use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    harness::{Cluster, Harness},
    support::{Result, control_plane::ADMIN, objects},
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial(
            "identity::server_and_kubectl_are_of_the_same_version",
            versions,
        ),
        harness.trial("identity::client_certificate_authenticates_alice", alice),
        harness.trial("identity::rbac_keeps_alice_in_her_namespace", rbac),
    ]
}

async fn versions(cluster: &Cluster) -> Result<()> {
    let version = cluster.admin().apiserver_version().await?;
    assert_eq!(version.git_version, "v1.36.3");

    let printed = cluster.kubectl(ADMIN)?.run(&["version"])?.ok()?;
    assert!(printed.contains("Client Version: v1.36.3"), "{printed}");
    assert!(printed.contains("Server Version: v1.36.3"), "{printed}");
    Ok(())
}

async fn alice(cluster: &Cluster) -> Result<()> {
    let reviews: Api<SelfSubjectReview> = Api::all(cluster.client("alice").await?);
    let review = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await?;
    let user = review
        .status
        .and_then(|status| status.user_info)
        .ok_or("no status")?;
    assert_eq!(user.username.as_deref(), Some("alice"));
    assert_eq!(user.groups, Some(vec!["system:authenticated".to_owned()]));
    Ok(())
}

async fn rbac(cluster: &Cluster) -> Result<()> {
    let admin = cluster.admin();
    for name in ["rbac-alice", "rbac-bob"] {
        objects::create_namespace(&admin, name, json!({}), cluster.has_controllers()).await?;
    }
    objects::allow_edit(&admin, "rbac-alice", "alice").await?;

    let alice = cluster.client("alice").await?;
    objects::create(&alice, objects::pod("rbac-alice", "mine")).await?;
    match objects::create(&alice, objects::pod("rbac-bob", "not-mine")).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 403, "{status:?}"),
        other => panic!("expected a refusal, got {other:?}"),
    }

    let bob = cluster
        .kubectl("bob")?
        .within("rbac-alice")
        .run(&["get", "pods"])?;
    assert!(!bob.success);
    assert!(
        bob.stderr
            .contains(r#"User "bob" cannot list resource "pods""#),
        "{}",
        bob.stderr
    );
    Ok(())
}
