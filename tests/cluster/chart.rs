//! The chart, with the real Helm: what it renders, and its whole life on an API server of its own.

use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    core::v1::Pod,
};
use keyporter::documents::Documents;
use kube::{Api, ResourceExt};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness},
    support::{
        Result,
        control_plane::{ADMIN, ControlPlane},
        helm::{CHART, Helm},
        keyporter::{Keyporter, USER},
        kubectl::Kubectl,
        objects, wait_for,
    },
};

pub(crate) const NAMESPACE: &str = "keyporter-system";
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
/// All objects of the chart that an API server has without further definitions, the optional ones too.
const EVERYTHING: [&str; 8] = [
    "--set=autoscaling.enabled=true",
    "--set=networkPolicy.enabled=true",
    "--set=networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus",
    "--set=metrics.dashboard.enabled=true",
    "--set=webhook.customWorkloads[0].apiGroup=ray.io",
    "--set=webhook.customWorkloads[0].resources[0]=rayjobs",
    "--set=certificates.clientCA.configMap=api-server",
    "--set=tolerations[0].operator=Exists",
];

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_with_helm("chart::says_what_the_examples_say", as_the_examples),
        harness.trial_with_helm("chart::has_the_policies_as_they_are", policies_as_they_are),
        harness.trial_with_helm("chart::gives_the_program_flags_that_it_has", flags),
        harness.trial_with_helm("chart::renders_the_same_each_time", the_same_each_time),
        harness.trial_with_helm("chart::renders_nothing_twice", nothing_twice),
        harness.trial_with_helm("chart::is_installed_changed_and_taken_away", life),
    ]
}

async fn as_the_examples(cluster: &Cluster) -> Result<()> {
    let rendered = render(cluster, &["--kube-version=1.35.0"])?;
    let mut compared = 0;
    for file in ["webhook.yaml", "webhook-before-1.36.yaml"] {
        for example in documents(&Path::new(DEPLOY).join("examples").join(file))? {
            let ours = find(&rendered, &example)?;
            assert_eq!(calls(&ours), calls(&example), "{file}");
            compared += 1;
        }
    }
    for example in documents(&Path::new(DEPLOY).join("examples/rbac.yaml"))? {
        if example["kind"] != "Namespace" {
            assert_eq!(find(&rendered, &example)?["rules"], example["rules"]);
            compared += 1;
        }
    }
    assert_eq!(compared, 5);
    Ok(())
}

/// The entries of a webhook configuration; of whom they call, the path alone.
fn calls(configuration: &Value) -> Vec<Value> {
    let mut webhooks = configuration["webhooks"].clone();
    let webhooks = webhooks.as_array_mut().expect("there are entries");
    for webhook in webhooks.iter_mut() {
        let client = &webhook["clientConfig"];
        let path = match client["url"].as_str() {
            Some(url) => json!(format!("/{}", url.rsplit('/').next().unwrap_or_default())),
            None => client["service"]["path"].clone(),
        };
        webhook["clientConfig"] = path;
    }
    webhooks.clone()
}

async fn policies_as_they_are(cluster: &Cluster) -> Result<()> {
    let mut files: Vec<_> = fs::read_dir(Path::new(CHART).join("policies"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    assert!(files.len() > 5, "{files:?}");
    for (version, with_stamp) in [("1.35.9", false), ("1.36.0", true)] {
        let rendered = render(cluster, &[&format!("--kube-version={version}")])?;
        for file in &files {
            let expected = !file.ends_with("secret-owner-stamp.yaml") || with_stamp;
            for document in documents(file)? {
                let Ok(mut ours) = find(&rendered, &document) else {
                    assert!(!expected, "{} is missing", file.display());
                    continue;
                };
                assert!(expected, "{} needs Kubernetes 1.36", file.display());
                take_chart_labels(&mut ours);
                assert_eq!(ours, document, "{}", file.display());
            }
        }
    }
    Ok(())
}

fn take_chart_labels(object: &mut Value) {
    let metadata = object["metadata"].as_object_mut().expect("metadata");
    let labels = metadata["labels"].as_object_mut().expect("labels");
    let before = labels.len();
    labels.retain(|name, _| !name.starts_with("app.kubernetes.io/") && name != "helm.sh/chart");
    assert_eq!(before - labels.len(), 5);
    if labels.is_empty() {
        metadata.remove("labels");
    }
}

/// An unknown flag would only be found by a pod that does not start.
async fn flags(cluster: &Cluster) -> Result<()> {
    let all = [
        "--set=certificates.mode=cert-manager",
        "--set=certificates.clientCA.configMap=api-server",
        "--set=identity=konduktor",
        "--set=features.references=false",
        "--set=webhook.excludedNamespaces={operations}",
        "--set=skipContainers={proxy}",
        "--set=trustedControllers[0].user=system:serviceaccount:ray:operator",
        "--set=trustedControllers[0].kinds={RayJob.ray.io,RayCluster.ray.io}",
        "--set=trustedControllers[1].group=system:serviceaccounts:training",
        "--set=trustedControllers[1].kinds={Training.example.com}",
        "--set=mayEnter.users={root}",
        "--set=mayEnter.groups={on-call}",
        "--set=log.level=info\\,keyporter::server=debug",
    ];
    for values in [&[][..], &all[..1], &all[..]] {
        let rendered = render(cluster, values)?;
        let deployment = of_kind(&rendered, "Deployment");
        let arguments: Vec<String> = serde_json::from_value(
            deployment["spec"]["template"]["spec"]["containers"][0]["args"].clone(),
        )?;
        assert!(arguments.len() > 7, "{arguments:?}");
        let output = Command::new(env!("CARGO_BIN_EXE_keyporter"))
            .args(&arguments)
            .arg("--help")
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
    Ok(())
}

/// As Argo CD and Flux need it.
async fn the_same_each_time(cluster: &Cluster) -> Result<()> {
    for mode in ["self-managed", "cert-manager"] {
        let mode = format!("--set=certificates.mode={mode}");
        let helm = renderer(cluster)?;
        let first = helm.template(&[&mode])?;
        assert_eq!(first, helm.template(&[&mode])?);
        assert!(!first.contains("caBundle:"), "{mode}");
        assert!(!first.contains("kind: Secret\n"), "{mode}");
    }
    Ok(())
}

/// Whoever applies what is rendered, knowing the cluster's kinds as Argo CD does, has one object of each name.
async fn nothing_twice(cluster: &Cluster) -> Result<()> {
    let rendered = render(cluster, &["--api-versions=apps/v1/Deployment"])?;
    let mut names = BTreeSet::new();
    for object in &rendered {
        let metadata = &object["metadata"];
        let name = [&object["kind"], &metadata["namespace"], &metadata["name"]];
        assert!(
            names.insert(json!(name).to_string()),
            "{name:?} is there twice"
        );
    }
    assert!(names.len() > 20, "{names:?}");
    Ok(())
}

/// On a control plane of its own: policies and webhooks hold for a whole cluster.
async fn life(cluster: &Cluster) -> Result<()> {
    let plane = ControlPlane::start(cluster.binaries().clone()).await?;
    let kubectl = plane.kubectl(ADMIN)?;
    let helm = Helm::of_admin(&plane, NAMESPACE)?;
    helm.run(&["lint", "--strict", CHART])?.ok()?;
    kubectl.run(&["create", "namespace", NAMESPACE])?.ok()?;
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    kubectl
        .run(&["label", "namespace", NAMESPACE, restricted])?
        .ok()?;

    refuses_wrong_values(&helm)?;
    helm.run(&["install", "keyporter", CHART])?.ok()?;
    let fresh = installed(&kubectl)?;
    for object in [
        "mutatingadmissionpolicies.admissionregistration.k8s.io/keyporter-secret-owner-stamp",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io/keyporter",
        "validatingwebhookconfigurations.admissionregistration.k8s.io/keyporter",
        "validatingadmissionpolicies.admissionregistration.k8s.io/keyporter-secret-owner",
        "deployments.apps/keyporter",
    ] {
        assert!(fresh.iter().any(|found| found == object), "{fresh:?}");
    }
    makes_pods_under_the_restricted_standard(&plane).await?;

    let keyporter = start(&plane).await?;
    keeps_the_authority(&plane, &helm, &kubectl, &fresh).await?;
    let everything = helm.template(&[&EVERYTHING[..], &["--skip-tests"]].concat())?;
    let dry_run = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "-f",
        "-",
    ];
    kubectl.run_with_input(&dry_run, &everything)?.ok()?;

    // There is no network of pods here: by its address instead of its Service.
    keyporter.call_directly(&plane.admin(), "keyporter").await?;
    serves(&plane, &kubectl).await?;
    drop(keyporter);
    goes(&plane, &helm, &kubectl)
}

fn refuses_wrong_values(helm: &Helm) -> Result<()> {
    for (value, words) in [
        ("replica=3", "additional properties 'replica' not allowed"),
        ("image.tga=1", "additional properties 'tga' not allowed"),
        ("replicas=many", "got string, want integer"),
        ("webhook.failurePolicy=Perhaps", "must be one of"),
    ] {
        let outcome = helm.run(&["install", "keyporter", CHART, "--set", value])?;
        assert!(
            !outcome.success && outcome.stderr.contains(words),
            "{value}: {}",
            outcome.stderr
        );
    }
    Ok(())
}

/// The objects of the release that are there, as kubectl names them.
fn installed(kubectl: &Kubectl) -> Result<Vec<String>> {
    let kinds = "deployments,services,serviceaccounts,poddisruptionbudgets,networkpolicies,configmaps,\
        horizontalpodautoscalers,roles,rolebindings,clusterroles,clusterrolebindings,\
        mutatingwebhookconfigurations,validatingwebhookconfigurations,\
        validatingadmissionpolicies,validatingadmissionpolicybindings,\
        mutatingadmissionpolicies,mutatingadmissionpolicybindings";
    let label = "app.kubernetes.io/instance=keyporter";
    let found = kubectl
        .within(NAMESPACE)
        .run(&["get", kinds, "-l", label, "-o", "name"])?
        .ok()?;
    let singular = [
        ("mutatingadmissionpolicy.", "mutatingadmissionpolicies."),
        ("validatingadmissionpolicy.", "validatingadmissionpolicies."),
        (
            "mutatingwebhookconfiguration.",
            "mutatingwebhookconfigurations.",
        ),
        (
            "validatingwebhookconfiguration.",
            "validatingwebhookconfigurations.",
        ),
        ("deployment.", "deployments."),
    ];
    let mut names: Vec<String> = found
        .lines()
        .map(|name| {
            let plural = singular
                .iter()
                .find_map(|(one, many)| Some(format!("{many}{}", name.strip_prefix(one)?)));
            plural.unwrap_or_else(|| name.to_owned())
        })
        .collect();
    names.sort();
    Ok(names)
}

/// The namespace enforces it, so a pod that breaks it is not there.
async fn makes_pods_under_the_restricted_standard(plane: &ControlPlane) -> Result<()> {
    let selector = "app.kubernetes.io/name=keyporter";
    wait_for("two pods", Duration::from_secs(30), async || {
        let pods = objects::pods(&plane.admin(), NAMESPACE, selector).await?;
        Ok((pods.len() == 2).then_some(()))
    })
    .await
}

/// keyporter itself, with the rights of the chart's account alone. It is ready when it has made its CA, and written it into
/// the chart's webhook configurations.
pub(crate) async fn start(plane: &ControlPlane) -> Result<Keyporter> {
    let names = ["keyporter", "keyporter-secret-owner-stamp"].map(str::to_owned);
    let binary = env!("CARGO_BIN_EXE_keyporter");
    let mut keyporter =
        Keyporter::self_managed(plane, binary.as_ref(), "chart", USER, &names, &[])?;
    keyporter.start_again().await?;
    Ok(keyporter)
}

/// The CA stays in the webhook configurations: over an update, on the way back, and when somebody applies what the chart
/// renders, as Argo CD and Flux do. Nor do these see a difference then. A configuration that an update adds gets it.
async fn keeps_the_authority(
    plane: &ControlPlane,
    helm: &Helm,
    kubectl: &Kubectl,
    fresh: &[String],
) -> Result<()> {
    let made = authorities(plane, "keyporter").await?;
    assert!(made.len() == 4 && !made[0].is_empty(), "{made:?}");

    let changes = [
        "--set=webhook.timeoutSeconds=7",
        "--set=features.ownerStamp=webhook",
    ];
    helm.run(&[&["upgrade", "keyporter", CHART], &changes[..]].concat())?
        .ok()?;
    let updated = installed(kubectl)?;
    let stamp = |object: &&String| object.contains("keyporter-secret-owner-stamp");
    let stamped_by: Vec<_> = updated.iter().filter(stamp).collect();
    assert_eq!(
        stamped_by,
        ["mutatingwebhookconfigurations.admissionregistration.k8s.io/keyporter-secret-owner-stamp"]
    );
    assert_eq!(authorities(plane, "keyporter").await?, made);
    assert_eq!(timeouts(plane).await?, [7; 4]);
    let added = "keyporter-secret-owner-stamp";
    wait_for("the CA there", Duration::from_secs(30), async || {
        Ok((authorities(plane, added).await? == made[..1]).then_some(()))
    })
    .await?;

    helm.run(&["rollback", "keyporter", "1"])?.ok()?;
    assert_eq!(installed(kubectl)?, fresh);
    assert_eq!(authorities(plane, "keyporter").await?, made);
    assert_eq!(timeouts(plane).await?, [5; 4]);

    let rendered = helm.template(&["--skip-tests"])?;
    let by_server = [
        "--server-side",
        "--force-conflicts",
        "--field-manager=gitops",
        "-f",
        "-",
    ];
    for verb in ["diff", "apply", "diff"] {
        let outcome = kubectl.run_with_input(&[&[verb], &by_server[..]].concat(), &rendered)?;
        assert!(outcome.success, "{verb}: {outcome:?}");
        assert!(verb == "apply" || outcome.stdout.is_empty(), "{outcome:?}");
    }
    assert_eq!(authorities(plane, "keyporter").await?, made);
    Ok(())
}

/// The CA of every webhook in the configurations of this name.
pub(crate) async fn authorities(plane: &ControlPlane, name: &str) -> Result<Vec<String>> {
    let entries = entries(plane, name).await?;
    let ca = |entry: &Value| {
        entry["clientConfig"]["caBundle"]
            .as_str()
            .map(str::to_owned)
    };
    Ok(entries.iter().filter_map(ca).collect())
}

pub(crate) async fn timeouts(plane: &ControlPlane) -> Result<Vec<u64>> {
    let entries = entries(plane, "keyporter").await?;
    let timeout = |entry: &Value| entry["timeoutSeconds"].as_u64();
    Ok(entries.iter().filter_map(timeout).collect())
}

/// The entries of the configurations of this name.
async fn entries(plane: &ControlPlane, name: &str) -> Result<Vec<Value>> {
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(plane.admin());
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(plane.admin());
    let mut entries = Vec::new();
    for configuration in [
        json!(mutating.get_opt(name).await?),
        json!(validating.get_opt(name).await?),
    ] {
        let webhooks = configuration["webhooks"].as_array();
        entries.extend(webhooks.into_iter().flatten().cloned());
    }
    Ok(entries)
}

/// The chart's webhooks call keyporter. In the end alice has her secrets and a pod that gets them.
pub(crate) async fn serves(plane: &ControlPlane, kubectl: &Kubectl) -> Result<()> {
    let file = |name: &str| format!("{DEPLOY}/examples/{name}");
    kubectl
        .run(&["apply", "-f", &file("namespace.yaml")])?
        .ok()?;
    for (user, role) in [
        ("alice", "admin"),
        ("bob", "admin"),
        ("carol", "keyporter-author"),
    ] {
        let role = format!("--clusterrole={role}");
        let user = [format!("{user}-works"), format!("--user={user}")];
        let arguments = ["create", "rolebinding", &user[0], &user[1], &role];
        kubectl.within("vision").run(&arguments)?.ok()?;
    }
    let [alice, bob, carol] = ["alice", "bob", "carol"]
        .map(|user| plane.kubectl(user).map(|kubectl| kubectl.within("vision")));
    let (alice, bob, carol) = (alice?, bob?, carol?);

    // With a project secret among them, which the role admin may make as soon as it is put together.
    let secrets = file("secrets.yaml");
    let apply = ["apply", "-f", &secrets];
    let within = Duration::from_secs(30);
    wait_for("alice's rights", within, async || {
        Ok(alice.run(&apply)?.success.then_some(()))
    })
    .await?;
    let pod = fs::read_to_string(file("pod.yaml"))?;
    let dry_run = ["create", "--dry-run=server", "--output=json", "-f", "-"];
    wait_for("all secrets in alice's pod", within, async || {
        let pod: Pod = serde_json::from_str(&alice.run_with_input(&dry_run, &pod)?.ok()?)?;
        let record = pod.annotations().get("keyporter.dev/injected");
        let injected: Vec<Value> = serde_json::from_str(record.map_or("[]", String::as_str))?;
        Ok((injected.len() == 7).then_some(()))
    })
    .await?;

    let refused = bob.run(&["delete", "secret", "hugging-face-2bd806c9"])?;
    assert!(
        refused.stderr.contains("belongs to another user"),
        "{refused:?}"
    );
    let written = ["create", "secret", "generic", "hers", "--from-literal=a=b"];
    carol.run(&written)?.ok()?;
    for reads in [["get", "secrets"], ["get", "secret/hers"]] {
        let refused = carol.run(&reads)?;
        assert!(refused.stderr.contains("Forbidden"), "{refused:?}");
    }
    Ok(())
}

/// Nothing that is left refuses a pod; what was proved stays provable.
fn goes(plane: &ControlPlane, helm: &Helm, kubectl: &Kubectl) -> Result<()> {
    // keyporter has ended by now, and its webhooks are required.
    let alice = plane.kubectl("alice")?.within("vision");
    let pod = format!("{DEPLOY}/examples/pod.yaml");
    let refused = alice.run(&["create", "-f", &pod])?;
    assert!(
        refused.stderr.contains("inject.keyporter.dev"),
        "{refused:?}"
    );

    let outcome = helm.run(&["uninstall", "keyporter", "--debug"])?;
    assert!(outcome.success, "{outcome:?}");
    let kinds: Vec<&str> = outcome
        .stderr
        .lines()
        .filter_map(|line| {
            line.split_once("Starting delete for ")?
                .1
                .rsplit(' ')
                .next()
        })
        .collect();
    // By itself Helm takes them away last.
    let order = |kind: &str| kinds.iter().position(|found| *found == kind);
    for kind in [
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    ] {
        assert!(order(kind).is_some(), "{}", outcome.stderr);
        assert!(order(kind) < order("Service"), "{kinds:?}");
    }
    assert_eq!(installed(kubectl)?, Vec::<String>::new());
    alice.run(&["create", "-f", &pod])?.ok()?;
    let keys = ["get", "secrets", "keyporter-owner-keys", "keyporter-ca"];
    kubectl.within(NAMESPACE).run(&keys)?.ok()?;

    helm.run(&["install", "keyporter", CHART])?.ok()?;
    Ok(())
}

/// Renders without asking any cluster.
fn renderer(cluster: &Cluster) -> Result<Helm> {
    Helm::new(&cluster.folder().join("helm"), None, NAMESPACE)
}

fn render(cluster: &Cluster, arguments: &[&str]) -> Result<Vec<Value>> {
    read(&renderer(cluster)?.template(arguments)?, "the chart")
}

fn documents(file: &Path) -> Result<Vec<Value>> {
    read(&fs::read_to_string(file)?, &file.display().to_string())
}

fn read(text: &str, name: &str) -> Result<Vec<Value>> {
    let documents = Documents::split(text);
    let values = documents.iter().map(|document| document.value(name));
    Ok(values.collect::<std::result::Result<_, _>>()?)
}

/// The object of the same kind and name as `like`.
fn find(objects: &[Value], like: &Value) -> Result<Value> {
    let same = |object: &&Value| {
        object["kind"] == like["kind"] && object["metadata"]["name"] == like["metadata"]["name"]
    };
    let found = objects.iter().find(same);
    Ok(found
        .ok_or_else(|| format!("no {} {}", like["kind"], like["metadata"]["name"]))?
        .clone())
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind}"))
}
