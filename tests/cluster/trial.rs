//! `keyporter trial run`: up to the pod, which no node runs here; what a node would tell of it is written by hand. tests/node
//! has the rest.

use std::{process::Stdio, time::Duration};

use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use keyporter::documents::Documents;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    time::sleep,
};

use crate::{
    command_line::Run,
    harness::{Cluster, Harness},
    support::{Result, control_plane::ADMIN, helm::Helm, objects, wait_for},
};

const ACCOUNT: &str = "system:serviceaccount:keyporter-system:keyporter-trial";
const NAMESPACE: &str = "keyporter-trial";
const IMAGE: &str = "--image=registry.invalid/keyporter:1";
/// As the chart's hook has it.
const POD_SPEC: &str = r#"--pod-spec={"nodeSelector":{"disk":"fast"},"securityContext":{"runAsGroup":65532,"runAsUser":65532},"tolerations":[]}"#;

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_with_helm("trial::the_account_of_the_hook_has_all_rights", of_the_hook),
        harness.trial_with_controllers("trial::makes_a_namespace_of_its_own", of_a_person),
    ]
}

async fn of_the_hook(cluster: &Cluster) -> Result<()> {
    cluster.keyporter().await?;
    hook_objects(cluster).await?;
    let secrets = ("create", "", "secrets");
    objects::wait_until_allowed(&cluster.admin(), NAMESPACE, ACCOUNT, secrets).await?;
    let run = |more: &[&str]| start(cluster, ACCOUNT, &[&["-n", NAMESPACE], more].concat());

    // Nobody runs it, and it says so.
    let late = ended(run(&["--timeout=8s"])?).await?;
    let sentence = "error: the pod got both secrets from keyporter, but after 8s it has not ended: no scheduler has looked \
        at it\n";
    assert_eq!((late.code, &*late.stderr), (Some(1), sentence), "{late:?}");
    assert_nothing_is_left(cluster).await?;

    for (status, code, words) in [
        (json!({"phase": "Succeeded"}), 0, ""),
        (
            terminated("error: the file /a/trial-file/value is not there"),
            1,
            "but its container found: error: the file /a/trial-file/value is not there",
        ),
        (
            waiting("ImagePullBackOff", "Back-off pulling image"),
            1,
            "but cannot start: ImagePullBackOff: Back-off pulling image; Failed: no such image",
        ),
    ] {
        let child = run(&["--timeout=60s"])?;
        let pod = pod_of_trial(cluster, NAMESPACE).await?;
        assert_eq!(pod.annotations()["keyporter.dev/owner"], ACCOUNT);
        let spec = json!(pod.spec);
        assert_eq!(spec["nodeSelector"], json!({"disk": "fast"}));
        assert_eq!(spec["securityContext"]["runAsGroup"], 65532);
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
        if words.contains("no such image") {
            event(cluster, &pod, "no such image").await?;
        }
        set_status(cluster, &pod, status).await?;
        let run = ended(child).await?;
        assert_eq!(run.code, Some(code), "{run:?}");
        assert!(run.stderr.contains(words), "{run:?}");
        let last = "the pod has the variable and the file, byte for byte\n";
        assert_eq!(run.stdout.ends_with(last), code == 0, "{run:?}");
        assert_nothing_is_left(cluster).await?;
    }

    // Somebody stops it: a kubelet, or whoever waits no longer. The answer to a creation may be on its way then.
    for late in [0, 2, 5, 10, 20, 50, 100] {
        let child = run(&["--timeout=60s"])?;
        pod_of_trial(cluster, NAMESPACE).await?;
        sleep(Duration::from_millis(late)).await;
        let id = child.id().ok_or("it has ended")?;
        Command::new("kill").arg(id.to_string()).status().await?;
        let stopped = ended(child).await?;
        assert_eq!(stopped.stderr, "error: interrupted\n", "{stopped:?}");
        assert_nothing_is_left(cluster).await?;
    }

    // Elsewhere it may do nothing.
    let elsewhere = ended(start(cluster, ACCOUNT, &["-n", "default"])?).await?;
    assert!(
        elsewhere.stderr.contains("cannot be made in default"),
        "{elsewhere:?}"
    );
    let no_namespace = ended(start(cluster, ACCOUNT, &[])?).await?;
    assert!(
        no_namespace
            .stderr
            .contains("no scratch namespace can be made"),
        "{no_namespace:?}"
    );

    // The namespace is no more opted in.
    let label = ["label", "namespace", NAMESPACE, "keyporter.dev/inject-"];
    cluster.kubectl(ADMIN)?.run(&label)?.ok()?;
    let out = ended(run(&[])?).await?;
    let words = "kubectl label namespace keyporter-trial keyporter.dev/inject=enabled";
    assert!(out.stderr.contains(words), "{out:?}");
    Ok(())
}

async fn of_a_person(cluster: &Cluster) -> Result<()> {
    cluster.keyporter().await?;
    let child = start(cluster, ADMIN, &["--timeout=60s"])?;
    let namespaces: Api<Namespace> = Api::all(cluster.admin());
    let namespace = wait_for("the namespace", Duration::from_secs(30), async || {
        let all = namespaces.list(&ListParams::default()).await?;
        let names = all.items.iter().map(ResourceExt::name_any);
        let mut ours = names.filter(|name| name.starts_with("keyporter-trial-"));
        Ok(ours.next())
    })
    .await?;
    let pod = pod_of_trial(cluster, &namespace).await?;
    set_status(cluster, &pod, json!({"phase": "Succeeded"})).await?;
    let run = ended(child).await?;
    assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{run:?}");
    wait_for("it to go", Duration::from_mins(1), async || {
        Ok(namespaces
            .get_opt(&namespace)
            .await?
            .is_none()
            .then_some(()))
    })
    .await
}

/// All that the chart's hook has, but the pod.
async fn hook_objects(cluster: &Cluster) -> Result<()> {
    let helm = Helm::new(&cluster.folder().join("helm"), None, "keyporter-system")?;
    let hook = helm.template(&["--show-only=templates/tests/trial.yaml"])?;
    let mut made = 0;
    for document in &Documents::split(&hook) {
        let object: Value = document.value("the chart")?;
        if object["kind"] != "Pod" {
            objects::create(&cluster.admin(), object).await?;
            made += 1;
        }
    }
    assert_eq!(made, 4);
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(cluster.admin(), NAMESPACE);
    wait_for("the account", Duration::from_secs(20), async || {
        Ok(accounts.get_opt("default").await?.map(drop))
    })
    .await
}

fn start(cluster: &Cluster, user: &str, arguments: &[&str]) -> Result<Child> {
    let group = (user == ADMIN).then_some("system:masters");
    let child = Command::new(env!("CARGO_BIN_EXE_keyporter"))
        .env("KUBECONFIG", cluster.kubeconfig(user, group)?)
        .env_remove("KEYPORTER_LOG")
        .args(["trial", "run", IMAGE, POD_SPEC])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

async fn ended(child: Child) -> Result<Run> {
    let output = child.wait_with_output().await?;
    Ok(Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

async fn pod_of_trial(cluster: &Cluster, namespace: &str) -> Result<Pod> {
    wait_for("the pod", Duration::from_secs(30), async || {
        let pods = objects::pods(&cluster.admin(), namespace, "").await?;
        Ok(pods.into_iter().next())
    })
    .await
}

async fn set_status(cluster: &Cluster, pod: &Pod, status: Value) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(cluster.admin(), &pod.namespace().unwrap_or_default());
    let patch = Patch::Merge(json!({"status": status}));
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

fn terminated(message: &str) -> Value {
    let state = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": message}});
    json!({"phase": "Failed", "containerStatuses": [container(&state)]})
}

fn waiting(reason: &str, message: &str) -> Value {
    let state = json!({"waiting": {"reason": reason, "message": message}});
    json!({"phase": "Pending", "containerStatuses": [container(&state)]})
}

fn container(state: &Value) -> Value {
    json!({
        "name": "look", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state,
    })
}

async fn event(cluster: &Cluster, pod: &Pod, message: &str) -> Result<()> {
    let (namespace, name) = (pod.namespace(), pod.name_any());
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {"kind": "Pod", "name": name, "namespace": namespace},
        "type": "Warning",
        "reason": "Failed",
        "message": message,
    });
    objects::create(&cluster.admin(), event).await?;
    Ok(())
}

async fn assert_nothing_is_left(cluster: &Cluster) -> Result<()> {
    let pods = objects::pods(&cluster.admin(), NAMESPACE, "").await?;
    assert!(pods.is_empty(), "{pods:?}");
    let secrets: Api<Secret> = Api::namespaced(cluster.admin(), NAMESPACE);
    let secrets = secrets.list(&ListParams::default()).await?;
    let names: Vec<_> = secrets.items.iter().map(ResourceExt::name_any).collect();
    assert!(names.is_empty(), "{names:?}");
    Ok(())
}
