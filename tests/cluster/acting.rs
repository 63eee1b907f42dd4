//! Acting for another takes a question to the API server; where it cannot be asked, it is refused for the moment, and what
//! asks nothing goes on.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness, WEBHOOK_LABEL},
    project::{Project, assert_injected, user_object},
    support::{
        Result,
        keyporter::{self, Keyporter},
        objects,
    },
    workloads::run_once,
};

const DEAF: &str = "deaf";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("acting::is_refused_while_nobody_can_be_asked", unasked)]
}

/// With a keyporter of its own, which may not ask for rights.
async fn unasked(cluster: &Cluster) -> Result<()> {
    cluster.keyporter().await?;
    keyporter::allow(cluster, DEAF, DEAF, |role| {
        if let Some(rules) = role["rules"].as_array_mut() {
            rules.retain(|rule| rule["resources"] != json!(["subjectaccessreviews"]));
        }
    })
    .await?;
    let binary = env!("CARGO_BIN_EXE_keyporter");
    let keyporter = Keyporter::start_as(cluster, binary.as_ref(), DEAF, DEAF, &[]).await?;
    let own = json!({"key": WEBHOOK_LABEL, "operator": "In", "values": [DEAF]});
    keyporter
        .register(&cluster.admin(), "keyporter-deaf", Some(own))
        .await?;
    let labels = json!({"keyporter.dev/inject": "enabled", WEBHOOK_LABEL: DEAF});
    // Its pods ask nothing.
    let project = Project::with_labels(cluster, "acting-unasked", labels).await?;

    let stamp = json!({"keyporter.dev/owner": "alice"});
    let mut pod = project.pod("acts");
    pod["metadata"]["annotations"] = stamp.clone();
    let mut template = run_once("acts");
    template["metadata"]["annotations"] = stamp;
    let job = project.workload("batch/v1", "Job", "acts", &json!({"template": template}));
    let mut refers = project.pod("refers");
    refers["spec"]["containers"][0]["envFrom"] =
        json!([{"secretRef": {"name": user_object("alice", "token")}}]);
    for object in [pod, job, refers] {
        // Who may impersonate everybody.
        let sentence = refused(&project, object.clone()).await?;
        assert!(sentence.contains("cannot be asked now"), "{sentence}");
        assert!(sentence.contains("try again"), "{sentence}");
        // Whose it is needs no asking.
        objects::dry_run(project.client("alice"), object).await?;
    }
    let pod = objects::dry_run(project.client("bob"), project.pod("ordinary")).await?;
    assert_injected(&objects::as_pod(pod)?, "bob");
    Ok(())
}

async fn refused(project: &Project, object: Value) -> Result<String> {
    match objects::dry_run(&project.admin, object).await {
        Err(kube::Error::Api(status)) => Ok(status.message),
        other => Err(format!("not refused: {other:?}").into()),
    }
}
