//! Pods that name secrets: what the API server stores, what it refuses, and what authors of workloads are told.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{Api, api::ListParams};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness},
    project::{Project, user_object, user_secret, wait_until},
    support::{Result, objects},
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("references_in_pods::every_form_is_admitted", every_form),
        harness.trial("references_in_pods::what_means_nothing_is_refused", refused),
        harness.trial(
            "references_in_pods::a_malformed_one_in_a_workload_is_refused",
            malformed,
        ),
        harness.trial_with_controllers(
            "references_in_pods::a_workload_waits_for_its_secret",
            waiting,
        ),
    ]
}

fn with_env(mut pod: Value, value: &str) -> Value {
    pod["spec"]["containers"][0]["env"] = json!([{"name": "X", "value": value}]);
    pod
}

fn key(object: &str, key: &str) -> Value {
    json!({"secretKeyRef": {"name": object, "key": key}})
}

/// Stored as the API server wants it: nothing of the references is left.
async fn every_form(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "references-every-form").await?;
    let hers = user_object("alice", "token");
    let mut pod = project.pod("refers");
    pod["metadata"]["annotations"] = json!({
        "keyporter.dev/files": "secret:token:/etc/token\nsecret:shared/REGION:/etc/region, secret:none?:/etc/none",
    });
    let main = &mut pod["spec"]["containers"][0];
    main["env"] = json!([
        {"name": "OWN", "value": "plain"},
        {"name": "ONLY_KEY", "value": "secret:token"},
        {"name": "NAMED_KEY", "value": "secret:shared/REGION"},
        {"name": "OPTIONAL", "value": "secret:none?/K"},
        {"name": "TEXT", "value": "a $(OWN) ${secrets.none?} $${secrets.none}"},
    ]);
    main["command"] = json!(["sh", "-c", "x=$(echo ${secrets.none?})"]);
    main["args"] = json!(["--flag=${secrets.none?}", "$(OWN)"]);
    let created = objects::create(project.client("alice"), pod).await?;
    let stored: Value = serde_json::to_value(&created)?;

    let main = &stored["spec"]["containers"][0];
    let mut optional = key(&user_object("alice", "none"), "K");
    optional["secretKeyRef"]["optional"] = json!(true);
    let env = json!([
        {"name": "KEYPORTER_REF_1"},
        {"name": "OWN", "value": "plain"},
        {"name": "ONLY_KEY", "valueFrom": key(&hers, "TOKEN")},
        {"name": "NAMED_KEY", "valueFrom": key("shared", "REGION")},
        {"name": "OPTIONAL", "valueFrom": optional},
        {"name": "TEXT", "value": "a $(OWN) $(KEYPORTER_REF_1) $${secrets.none}"},
    ]);
    assert_eq!(main["env"], env);
    assert_eq!(
        main["command"],
        json!(["sh", "-c", "x=$$(echo $(KEYPORTER_REF_1))"])
    );
    assert_eq!(main["args"], json!(["--flag=$(KEYPORTER_REF_1)", "$(OWN)"]));

    let mounts = main["volumeMounts"].as_array().ok_or("no mounts")?;
    for (path, file, object) in [
        ("/etc/token", "TOKEN", hers.as_str()),
        ("/etc/region", "REGION", "shared"),
    ] {
        let mount = mounts.iter().find(|mount| mount["mountPath"] == path);
        let mount = mount.ok_or_else(|| format!("nothing at {path}"))?;
        assert_eq!(mount["subPath"], file);
        assert_eq!(mount["readOnly"], true);
        let volumes = stored["spec"]["volumes"].as_array().ok_or("no volumes")?;
        let volume = volumes
            .iter()
            .find(|volume| volume["name"] == mount["name"]);
        assert_eq!(volume.ok_or("no volume")?["secret"]["secretName"], object);
    }
    assert!(mounts.iter().all(|mount| mount["mountPath"] != "/etc/none"));
    Ok(())
}

/// What alice is told of a pod that she may not create.
async fn refusal(project: &Project, pod: Value) -> Result<String> {
    match objects::dry_run(project.client("alice"), pod).await {
        Err(kube::Error::Api(status)) => Ok(status.message.clone()),
        Err(error) => Err(error.into()),
        Ok(_) => panic!("not denied"),
    }
}

async fn refused(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "references-refused").await?;
    let bobs = user_object("bob", "token");
    let nothing = "neither the owner nor the project has a secret of that name";
    let cases = [
        ("secret:nothing-like-it", nothing.to_owned()),
        // Whether it is there is not told.
        (&format!("secret:{bobs}"), nothing.to_owned()),
        (
            "secret:tokn",
            format!("{nothing} (did you mean \"token\"?)"),
        ),
        (
            "secret:token/KEY",
            "the secret has no such key, it has TOKEN".to_owned(),
        ),
        (
            "secret:HF_TOKEN",
            "bad name, a name has 1 to 63 characters".to_owned(),
        ),
        (
            "secret:token/",
            "bad key, a key has 1 to 253 characters".to_owned(),
        ),
        (
            "${secrets.none}",
            "the namespace has no store, which would be the Secret iomete-secret-store".to_owned(),
        ),
    ];
    for (value, why) in cases {
        let message = refusal(&project, with_env(project.pod("refused"), value)).await?;
        let sentence = format!("{value:?} (env X of container \"main\"): {why}");
        assert!(message.contains(&sentence), "{message}");
        assert!(
            message.ends_with("[rule: unresolved-references]"),
            "{message}"
        );
    }

    let mut pod = with_env(project.pod("refused"), "secret:none");
    pod["spec"]["containers"][0]["args"] = json!(["${secrets.none}"]);
    let files = "secret:token:relative\nsecret:token:/a,secret:token:/a";
    pod["metadata"]["annotations"] = json!({"keyporter.dev/files": files});
    let message = refusal(&project, pod.clone()).await?;
    for part in [
        "\"${secrets.none}\" (args of container \"main\")",
        "\"secret:none\" (env X of container \"main\")",
        "\"secret:token:/a\" (keyporter.dev/files): another entry has the same mount path",
        "\"secret:token:relative\" (keyporter.dev/files): mount path must be absolute",
    ] {
        assert!(message.contains(part), "{part} is not in {message}");
    }

    pod["metadata"]["labels"] = json!({"keyporter.dev/inject": "disabled"});
    objects::dry_run(project.client("alice"), pod).await?;
    Ok(())
}

fn job(project: &Project, value: &str) -> Value {
    let mut template = project.pod("unused");
    template = json!({"metadata": {"labels": {"app": "refers"}}, "spec": with_env(template, value)["spec"]});
    template["spec"]["restartPolicy"] = json!("Never");
    project.workload(
        "batch/v1",
        "Job",
        "refers",
        &json!({ "template": template }),
    )
}

async fn malformed(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "references-malformed").await?;
    let message = refusal(&project, job(&project, "secret:HF_TOKEN")).await?;
    assert!(
        message.contains("\"secret:HF_TOKEN\" (env X of container \"main\"): bad name"),
        "{message}"
    );
    Ok(())
}

/// The Job is admitted with a warning, its pod is refused with an event, and comes when the secret is there.
async fn waiting(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "references-waiting").await?;
    let alice = cluster.kubectl("alice")?.within(&project.name);
    let job = job(&project, "secret:later").to_string();
    let created = alice.run_with_input(&["create", "-f", "-"], &job)?;
    let warnings = created.warnings().join("\n");
    assert!(created.success, "{}", created.stderr);
    let sentence = "pods of this workload will be refused: \"secret:later\" (env X of container \"main\"): neither the owner \
                    nor the project has a secret of that name";
    assert!(warnings.contains(sentence), "{warnings}");

    let events: Api<Event> = Api::namespaced(project.admin.clone(), &project.name);
    let selector = ListParams::default().fields("reason=KeyporterDenied,involvedObject.kind=Job");
    wait_until("the Job to be told", async || {
        let told = events.list(&selector).await?;
        let note = told.items.first().and_then(|event| event.message.clone());
        Ok(note.is_some_and(|note| {
            assert!(
                note.starts_with("a pod is denied: refers to secrets that it cannot get"),
                "{note}"
            );
            note.ends_with("[rule: unresolved-references]")
        }))
    })
    .await?;

    objects::create(
        project.client("alice"),
        user_secret(&project.name, "alice", "later"),
    )
    .await?;
    let pod = objects::wait_for_pod(&project.admin, &project.name, "app=refers").await?;
    assert_refers(&pod, &user_object("alice", "later"));
    Ok(())
}

fn assert_refers(pod: &Pod, object: &str) {
    let pod = serde_json::to_value(pod).expect("a pod is JSON");
    let env = pod["spec"]["containers"][0]["env"].as_array();
    let variable = env.and_then(|env| env.iter().find(|variable| variable["name"] == "X"));
    let source = variable.map(|variable| &variable["valueFrom"]);
    assert_eq!(source, Some(&key(object, "TOKEN")));
}
