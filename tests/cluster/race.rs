//! A secret is written, and at once a pod is created over another connection: it has the secret. So it is when the secret is
//! changed or deleted, and when a workload follows it.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
    client::Body,
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness, WEBHOOK_LABEL},
    project::{Project, secret_names, user_object, user_secret},
    support::{
        Result,
        gate::{Gate, Lists},
        keyporter::{self, Keyporter},
        objects, wait_for,
    },
};

/// The watch of the gates' keyporters runs so far behind that no pod is ever slower.
const LATE: Duration = Duration::from_millis(300);

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("race::thousand_pods_right_after_their_secrets", thousand),
        harness.trial(
            "race::changes_and_deletions_behind_a_late_watch",
            late_watch,
        ),
        harness.trial("race::stores_behind_a_late_watch", late_stores),
        harness.trial_with_controllers("race::jobs_behind_a_late_watch", late_jobs),
        harness.trial_with_controllers(
            "race::pods_of_controllers_ask_nothing",
            controllers_ask_nothing,
        ),
        harness.trial("race::goes_on_where_nothing_is_confirmed", unconfirmed),
    ]
}

/// How long calls took.
struct Times(Vec<Duration>);

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut times = self.0.clone();
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        write!(
            f,
            "p50 {:.1?}, p99 {:.1?}, slowest {:.1?}",
            at(50),
            at(99),
            at(100)
        )
    }
}

/// The shared keyporter, its watch as fast as it is, while others write secrets.
async fn thousand(cluster: &Cluster) -> Result<()> {
    const STREETS: usize = 4;
    const ROUNDS: usize = 250;
    let mut streets = Vec::new();
    for number in 0..STREETS {
        let project = Project::new(cluster, &format!("race-{number}")).await?;
        // Each user has connections of their own, and these are others of the same user.
        let other = cluster.client("alice").await?;
        streets.push((project, other));
    }
    let stranger = Project::new(cluster, "race-strangers").await?;
    let begin = Instant::now();
    let racing = try_join_all(
        streets
            .iter()
            .map(|(project, other)| street(project, other, ROUNDS)),
    );
    let counts = tokio::select! {
        counts = racing => counts?,
        outcome = write_on(&stranger) => return Err(format!("the writers ended first: {outcome:?}").into()),
    };
    let mut times = Times(Vec::new());
    let (mut missed, mut kept) = (0, 0);
    for count in counts {
        missed += count.missed;
        kept += count.kept;
        times.0.extend(count.times);
    }
    println!(
        "pod right after its secret: {missed} of {} pods missed it, {kept} of {} had one that was deleted; creating a pod \
         took {times}; {:.0?} in all, others writing",
        STREETS * ROUNDS,
        STREETS * ROUNDS,
        begin.elapsed()
    );
    assert_eq!((missed, kept), (0, 0));
    Ok(())
}

#[derive(Default)]
struct Count {
    missed: usize,
    kept: usize,
    times: Vec<Duration>,
}

async fn street(project: &Project, other: &Client, rounds: usize) -> Result<Count> {
    let alice = project.client("alice");
    let secrets: Api<Secret> = Api::namespaced(project.admin.clone(), &project.name);
    let mut count = Count::default();
    for number in 0..rounds {
        let name = format!("fresh-{number}");
        let object = user_object("alice", &name);
        objects::create(alice, forcible(&project.name, &name)).await?;
        let begin = Instant::now();
        let pod = objects::as_pod(objects::create(other, project.pod(&name)).await?)?;
        count.times.push(begin.elapsed());
        count.missed += usize::from(!secret_names(&pod).contains(&object));
        secrets.delete(&object, &DeleteParams::default()).await?;
        let pod = objects::as_pod(objects::dry_run(other, project.pod("without")).await?)?;
        count.kept += usize::from(secret_names(&pod).contains(&object));
    }
    Ok(count)
}

/// Other people's writing, until nobody polls it any more.
async fn write_on(project: &Project) -> Result<()> {
    let bob = project.client("bob");
    let secrets: Api<Secret> = Api::namespaced(project.admin.clone(), &project.name);
    for number in 0..100_000 {
        let name = format!("noise-{}", number % 10);
        let mut secret = user_secret(&project.name, "bob", &name);
        secret["metadata"]["annotations"]["keyporter.dev/force-delete"] = json!("true");
        objects::create(bob, secret).await?;
        secrets
            .delete(&user_object("bob", &name), &DeleteParams::default())
            .await?;
    }
    Ok(())
}

/// A secret of alice's that goes while its pod is there.
fn forcible(namespace: &str, name: &str) -> Value {
    let mut secret = user_secret(namespace, "alice", name);
    secret["metadata"]["annotations"]["keyporter.dev/force-delete"] = json!("true");
    secret
}

/// A keyporter of a trial's own behind a gate, and a namespace that it serves.
struct Behind {
    project: Project,
    gate: Gate,
    keyporter: Keyporter,
    other: Client,
}

impl Behind {
    async fn new(cluster: &Cluster, name: &str, late: Duration) -> Result<Self> {
        cluster.keyporter().await?;
        let client = cluster.client(keyporter::USER).await?;
        let gate = Gate::open(client, cluster.folder(), late).await?;
        let binary = env!("CARGO_BIN_EXE_keyporter");
        let keyporter =
            Keyporter::start_through(cluster, binary.as_ref(), name, gate.kubeconfig()).await?;
        let own = json!({"key": WEBHOOK_LABEL, "operator": "In", "values": [name]});
        let configuration = format!("keyporter-{name}");
        keyporter
            .register(&cluster.admin(), &configuration, Some(own))
            .await?;
        let labels = json!({"keyporter.dev/inject": "enabled", WEBHOOK_LABEL: name});
        let project = Project::with_labels(cluster, name, labels).await?;
        let other = cluster.client("alice").await?;
        Ok(Self {
            project,
            gate,
            keyporter,
            other,
        })
    }

    /// A pod of alice's that is not kept, and what she is told with it.
    async fn pod(&self) -> Result<(Pod, String)> {
        create_and_hear(&self.other, &self.project.name, &self.project.pod("probe")).await
    }

    async fn patch(&self, object: &str, patch: &Value) -> Result<()> {
        let secrets: Api<Secret> =
            Api::namespaced(self.project.client("alice").clone(), &self.project.name);
        let patch = Patch::Merge(patch);
        secrets
            .patch(object, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }
}

/// Creates a pod as a dry run; returns it with the warnings.
async fn create_and_hear(client: &Client, namespace: &str, pod: &Value) -> Result<(Pod, String)> {
    let request =
        axum::http::Request::post(format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"))
            .header("Content-Type", "application/json")
            .body(Body::from(serde_json::to_vec(pod)?))?;
    let answer = client.send(request).await?;
    let warnings = answer.headers().get_all("Warning").iter();
    let warnings: Vec<_> = warnings.filter_map(|value| value.to_str().ok()).collect();
    let warnings = warnings.join("\n");
    let status = answer.status();
    let body = answer.into_body().collect_bytes().await?;
    if !status.is_success() {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
    }
    Ok((serde_json::from_slice(&body)?, warnings))
}

/// Without the confirmation every one of these would be wrong: see [`unconfirmed`].
async fn late_watch(cluster: &Cluster) -> Result<()> {
    const ROUNDS: usize = 25;
    let behind = Behind::new(cluster, "race-late", LATE).await?;
    let alice = behind.project.client("alice");
    let secrets: Api<Secret> = Api::namespaced(alice.clone(), &behind.project.name);
    let (name, object) = ("fresh", user_object("alice", "fresh"));
    let mut wrong = Vec::new();
    for round in 0..ROUNDS {
        let mut check = async |step: &str, want: bool| -> Result<()> {
            let (pod, _) = behind.pod().await?;
            if secret_names(&pod).contains(&object) != want {
                wrong.push(format!("{round} {step}"));
            }
            Ok(())
        };
        objects::create(alice, forcible(&behind.project.name, name)).await?;
        check("created", true).await?;
        let on_reference =
            json!({"metadata": {"annotations": {"keyporter.dev/injection": "on-reference"}}});
        behind.patch(&object, &on_reference).await?;
        check("on reference", false).await?;
        behind
            .patch(
                &object,
                &json!({"metadata": {"annotations": {"keyporter.dev/injection": null}}}),
            )
            .await?;
        check("automatic again", true).await?;
        // Gone, and there again.
        secrets.delete(&object, &DeleteParams::default()).await?;
        let mut again = forcible(&behind.project.name, name);
        again["metadata"]["annotations"]["keyporter.dev/injection"] = json!("on-reference");
        objects::create(alice, again).await?;
        check("made anew", false).await?;
        behind
            .patch(
                &object,
                &json!({"metadata": {"annotations": {"keyporter.dev/injection": null}}}),
            )
            .await?;
        check("automatic", true).await?;
        secrets.delete(&object, &DeleteParams::default()).await?;
        check("deleted", false).await?;
    }
    let laid_out = layouts(&behind, ROUNDS).await?;
    println!(
        "behind a watch that is {LATE:?} late: {} of {} pods wrong after a change, {laid_out} of {ROUNDS} with a layout of before",
        wrong.len(),
        ROUNDS * 6
    );
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(laid_out, 0);
    Ok(())
}

/// How many pods have a file where it lay before.
async fn layouts(behind: &Behind, rounds: usize) -> Result<usize> {
    let object = user_object("alice", "folder");
    let mut secret = forcible(&behind.project.name, "folder");
    secret["metadata"]["labels"]["keyporter.dev/kind"] = json!("default");
    objects::create(behind.project.client("alice"), secret).await?;
    let mut wrong = 0;
    for round in 0..rounds {
        let path = format!("at/{round}");
        let layout = json!({"TOKEN": path}).to_string();
        behind
            .patch(
                &object,
                &json!({"metadata": {"annotations": {"keyporter.dev/layout": layout}}}),
            )
            .await?;
        let (pod, _) = behind.pod().await?;
        let volumes = pod
            .spec
            .iter()
            .flat_map(|spec| spec.volumes.iter().flatten());
        let items = volumes
            .filter_map(|volume| volume.secret.as_ref())
            .flat_map(|secret| secret.items.iter().flatten());
        wrong += usize::from(!items.into_iter().any(|item| item.path == path));
    }
    Ok(wrong)
}

/// A pod that refers to a store, or to a key of it, that was just made is not refused.
async fn late_stores(cluster: &Cluster) -> Result<()> {
    const ROUNDS: usize = 15;
    let behind = Behind::new(cluster, "race-stores", LATE).await?;
    let stores: Api<Secret> = Api::namespaced(behind.project.admin.clone(), &behind.project.name);
    let mut pod = behind.project.pod("probe");
    let value = |key: &str| json!([{"name": "DATABASE", "value": format!("${{secrets.{key}}}")}]);
    let mut refused = Vec::new();
    for round in 0..ROUNDS {
        let store = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"namespace": behind.project.name, "name": "iomete-secret-store"},
            "stringData": {"first": "1"},
        });
        let mut check = async |key: &str, want: bool| -> Result<()> {
            pod["spec"]["containers"][0]["env"] = value(key);
            let outcome = create_and_hear(&behind.other, &behind.project.name, &pod).await;
            if outcome.is_ok() != want {
                refused.push(format!("{round} {key}: {:?}", outcome.map(|_| ())));
            }
            Ok(())
        };
        objects::create(&behind.project.admin, store).await?;
        check("first", true).await?;
        let second = json!({"stringData": {"second": "2"}});
        let merge = Patch::Merge(&second);
        stores
            .patch("iomete-secret-store", &PatchParams::default(), &merge)
            .await?;
        check("second", true).await?;
        stores
            .delete("iomete-secret-store", &DeleteParams::default())
            .await?;
        check("first", false).await?;
    }
    println!(
        "behind a late watch: {} of {} pods wrong after a change of a store",
        refused.len(),
        ROUNDS * 3
    );
    assert!(refused.is_empty(), "{refused:?}");
    Ok(())
}

async fn late_jobs(cluster: &Cluster) -> Result<()> {
    const ROUNDS: usize = 20;
    let behind = Behind::new(cluster, "race-jobs", LATE).await?;
    let mut missed = 0;
    for round in 0..ROUNDS {
        let name = format!("job-{round}");
        let object = user_object("alice", &name);
        objects::create(
            behind.project.client("alice"),
            forcible(&behind.project.name, &name),
        )
        .await?;
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"namespace": behind.project.name, "name": name},
            "spec": {"template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"restartPolicy": "Never", "containers": [objects::container()]},
            }},
        });
        objects::create(&behind.other, job).await?;
        let pod = objects::wait_for_pod(
            &behind.project.admin,
            &behind.project.name,
            &format!("app={name}"),
        )
        .await?;
        missed += usize::from(!secret_names(&pod).contains(&object));
    }
    println!(
        "Job right after its secret, behind a late watch: {missed} of {ROUNDS} pods missed it"
    );
    assert_eq!(missed, 0);
    Ok(())
}

/// A Deployment is created, which begins one list; then a hundred pods of it are made, and nothing is asked for them.
async fn controllers_ask_nothing(cluster: &Cluster) -> Result<()> {
    const PODS: usize = 100;
    let behind = Behind::new(cluster, "race-ordinary", Duration::ZERO).await?;
    let namespace = behind.project.name.clone();
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": "many"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "many"}},
            "template": {
                "metadata": {"labels": {"app": "many"}},
                "spec": {"containers": [objects::container()]},
            },
        },
    });
    behind.gate.take();
    objects::create(&behind.other, deployment).await?;
    objects::wait_for_pod(&behind.project.admin, &namespace, "app=many").await?;
    let lists = || of_namespace(&behind.gate.take(), &namespace);
    let asked = lists();
    assert_eq!(asked.len(), 1, "for the Deployment: {asked:?}");

    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> =
        Api::namespaced(behind.project.admin.clone(), &namespace);
    let scale = json!({"spec": {"replicas": PODS}});
    deployments
        .patch_scale("many", &PatchParams::default(), &Patch::Merge(&scale))
        .await?;
    let pods = wait_for("all pods", Duration::from_mins(1), async || {
        let pods = objects::pods(&behind.project.admin, &namespace, "app=many").await?;
        Ok(Some(pods).filter(|pods| pods.len() == PODS))
    })
    .await?;
    let without = pods
        .iter()
        .filter(|pod| secret_names(pod).len() != 2)
        .count();
    let requests = behind.gate.take();
    let asked = of_namespace(&requests, &namespace);
    println!(
        "{} pods of a controller: {} calls about their namespace ({} in all)",
        PODS - 1,
        asked.len(),
        requests.len()
    );
    assert_eq!(without, 0, "pods without their secrets");
    assert!(asked.is_empty(), "{asked:?}");

    // One that a person creates does ask.
    behind.pod().await?;
    assert_eq!(lists().len(), 1);
    Ok(())
}

/// What an admission in the namespace might ask: the requests that name it, and all but watches that name none.
fn of_namespace(requests: &[String], namespace: &str) -> Vec<String> {
    let asked = requests.iter().filter(|request| {
        request.contains(namespace)
            || !request.contains("/namespaces/") && !request.contains("watch=true")
    });
    asked.cloned().collect()
}

/// Nobody is refused, everybody is told, and all is well again afterwards. That these pods miss their secrets shows what
/// the confirmation does in the other trials.
async fn unconfirmed(cluster: &Cluster) -> Result<()> {
    let behind = Behind::new(cluster, "race-refused", Duration::from_secs(3)).await?;
    let mut missed = 0;
    for (lists, word, why) in [
        (Lists::Forbid, "forbidden", "keyporter may not list them"),
        (
            Lists::Hold,
            "slow",
            "the API server does not list them in time",
        ),
        // The list comes, and the watch does not.
        (Lists::Pass, "behind", "the API server's watch runs behind"),
    ] {
        behind.gate.set(lists);
        let object = user_object("alice", word);
        objects::create(
            behind.project.client("alice"),
            forcible(&behind.project.name, word),
        )
        .await?;
        let begin = Instant::now();
        let (pod, warnings) = behind.pod().await?;
        println!(
            "{word}: admitted after {:.1?}, told: {warnings}",
            begin.elapsed()
        );
        missed += usize::from(!secret_names(&pod).contains(&object));
        assert!(
            warnings.contains("may be missing here"),
            "{word}: {warnings}"
        );
        // Who waited for as long as they may did not see the end.
        if lists == Lists::Forbid {
            assert!(warnings.contains(why), "{warnings}");
        }
        wait_for("the count", Duration::from_secs(10), async || {
            let line = format!("keyporter_confirmations_total{{outcome=\"{word}\"}}");
            Ok(behind.keyporter.metrics()?.contains(&line).then_some(()))
        })
        .await?;
        assert!(
            behind.keyporter.log().contains(&format!("\"{word}\"")),
            "the log"
        );
    }
    println!("where nothing is confirmed: {missed} of 3 pods missed their secret");
    assert_eq!(missed, 3);

    let recovered = wait_for("confirmations", Duration::from_secs(10), async || {
        let (pod, warnings) = behind.pod().await?;
        Ok((!warnings.contains("may be missing here")).then_some(pod))
    })
    .await?;
    for word in ["forbidden", "slow", "behind"] {
        assert!(
            secret_names(&recovered).contains(&user_object("alice", word)),
            "{}",
            recovered.name_any()
        );
    }
    Ok(())
}
