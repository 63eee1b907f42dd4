//! What honest people and programs do with Secrets works as before.

use std::time::Duration;

use k8s_openapi::api::{
    admissionregistration::v1::ValidatingAdmissionPolicy, core::v1::Namespace,
    rbac::v1::ClusterRole,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::town::{
    Answer, Call, EVERYBODY, Person, Town, apply, create, delete, delete_collection, json_patch,
    konduktors, ordinary, patch, project, replace, secret, store, token,
};
use crate::{
    harness::{Cluster, Harness},
    support::{Result, objects, wait_for},
};

const OWNER: &str = "keyporter.dev/owner";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial(
            "secret_guard::the_owner_is_written_on_create",
            async |cluster| stamped(cluster, "guard-stamped", json!({})).await,
        ),
        harness.trial("secret_guard::kubectl_works_for_the_owner", kubectl),
        harness.trial("secret_guard::ordinary_secrets_are_left_alone", untouched),
        harness.trial(
            "secret_guard::who_may_impersonate_acts_for_the_owner",
            impersonation,
        ),
        harness.trial(
            "secret_guard::an_administrator_adopts_old_secrets",
            adoption,
        ),
        harness.trial_with_controllers(
            "secret_guard::a_namespace_goes_with_all_its_secrets",
            namespace,
        ),
        harness.trial_with_controllers("secret_guard::garbage_is_collected", garbage),
        harness.trial_with_controllers(
            "secret_guard::namespace_administrators_keep_project_secrets",
            aggregated,
        ),
        harness.trial_with_controllers(
            "secret_guard::the_policies_fit_the_types_of_the_api_server",
            types,
        ),
    ]
}

fn done(answer: Answer) -> Result<Value> {
    match answer {
        Answer::Done(object) => Ok(object),
        Answer::Refused(sentence) => Err(sentence.into()),
    }
}

fn owner(object: &Value) -> &Value {
    &object["metadata"]["annotations"][OWNER]
}

/// Everybody's name is on what they make, and they do with it what they like.
pub(super) async fn stamped(cluster: &Cluster, namespace: &str, labels: Value) -> Result<()> {
    let town = Town::new(cluster, namespace, labels).await?;
    let mut generated = token();
    generated["metadata"]["name"] = Value::Null;
    generated["metadata"]["generateName"] = "generated-".into();
    let mut empty = token();
    empty["metadata"]["annotations"] = json!({OWNER: ""});
    for person in EVERYBODY {
        let user = town.username(person);
        for (secret, call) in [
            (token(), create as fn(Value) -> Call),
            (token(), apply),
            (generated.clone(), create),
            (empty.clone(), create),
            (konduktors(), create),
        ] {
            let name = secret["metadata"]["name"].as_str().unwrap_or_default();
            town.ask(Person::Admin, name, &delete("")).await?;
            let made = done(town.ask(person, name, &call(secret.clone())).await?)?;
            assert_eq!(owner(&made), &user, "{made}");
            let name = made["metadata"]["name"].as_str().unwrap_or_default();
            for call in [
                patch(json!({})),
                patch(json!({"stringData": {"A": "1"}})),
                json_patch(json!([{"op": "add", "path": "/data/B", "value": ""}])),
                replace(named(secret.clone(), name)),
                apply(named(secret.clone(), name)),
                delete_collection(""),
            ] {
                let answer = done(town.ask(person, name, &call).await?)?;
                if answer["kind"] == "Secret" {
                    assert_eq!(owner(&answer), &user, "after {call:?}");
                }
            }
        }
    }
    Ok(())
}

fn named(mut secret: Value, name: &str) -> Value {
    secret["metadata"]["name"] = name.into();
    secret["metadata"]["generateName"] = Value::Null;
    secret
}

/// With manifests that have no word of owners, as from a repository.
async fn kubectl(cluster: &Cluster) -> Result<()> {
    let town = Town::new(cluster, "guard-kubectl", json!({})).await?;
    let alice = cluster.kubectl("alice")?.within(&town.name);
    let bob = cluster.kubectl("bob")?.within(&town.name);
    let manifest = konduktors().to_string();
    for arguments in [
        &["apply", "-f", "-"][..],
        &["apply", "-f", "-"],
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
        &["apply", "--server-side", "-f", "-"],
        &["replace", "-f", "-"],
        &["replace", "--force", "-f", "-"],
        &["label", "-f", "-", "team=vision"],
        &["annotate", "-f", "-", "keyporter.dev/use-case=Generic"],
    ] {
        alice.run_with_input(arguments, &manifest)?.ok()?;
        let stored = town.stored("wandb-0a1b2c3d").await?.ok_or("it is gone")?;
        assert_eq!(owner(&stored), "alice", "after {arguments:?}");
    }
    for arguments in [
        &["apply", "-f", "-"][..],
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
        &[
            "apply",
            "--server-side",
            "--dry-run=server",
            "--force-conflicts",
            "-o",
            "yaml",
            "-f",
            "-",
        ],
        &["replace", "-f", "-"],
        &["replace", "--force", "-f", "-"],
        &["label", "-f", "-", "--overwrite", "team=robots"],
        &[
            "annotate",
            "-f",
            "-",
            "--overwrite",
            "keyporter.dev/owner=bob",
        ],
        &["delete", "-f", "-"],
        &["delete", "secrets", "--all"],
        &[
            "delete",
            "secrets",
            "-l",
            "parent=konduktor",
            "--dry-run=server",
        ],
    ] {
        let outcome = bob.run_with_input(arguments, &manifest)?;
        assert!(!outcome.success, "{arguments:?}: {outcome:?}");
        assert!(
            outcome.stderr.contains("belongs to another user"),
            "{arguments:?}: {outcome:?}"
        );
    }
    alice.run(&["delete", "secrets", "--all"])?.ok()?;
    assert_eq!(town.stored("wandb-0a1b2c3d").await?, None);
    Ok(())
}

/// Secrets that are none of keyporter's are changed and deleted as RBAC says, and nothing is written on them.
async fn untouched(cluster: &Cluster) -> Result<()> {
    let town = Town::new(cluster, "guard-untouched", json!({})).await?;
    let typed = |kind: &str, keys: &[&str]| {
        let mut typed = ordinary();
        typed["type"] = kind.into();
        typed["data"] = keys
            .iter()
            .map(|key| ((*key).to_owned(), json!("e30=")))
            .collect();
        typed
    };
    let annotated = secret(
        "database",
        &json!({"parent": "helm"}),
        &json!({"example.com/owner": "bob"}),
    );
    for object in [
        ordinary(),
        annotated,
        typed("Opaque", &["PATH", "LD_PRELOAD", "9A"]),
        typed("kubernetes.io/tls", &["tls.crt", "tls.key"]),
        typed("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
        typed("helm.sh/release.v1", &["release"]),
        typed("bootstrap.kubernetes.io/token", &["token-id"]),
    ] {
        for person in EVERYBODY {
            let name = town.make(Some(Person::Alice), &object).await?;
            for call in [
                patch(json!({})),
                patch(json!({"metadata": {"labels": {"status": "superseded"}}})),
                replace(object.clone()),
                delete(""),
            ] {
                let answer = done(town.ask(person, &name, &call).await?)?;
                assert!(!answer.to_string().contains("keyporter.dev/"), "{answer}");
            }
        }
    }
    // The token of a service account is written by the tokens controller.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": town.name, "name": "ci"}});
    objects::create(&town.admin, account).await?;
    let mut credentials = secret(
        "ci-token",
        &json!({}),
        &json!({"kubernetes.io/service-account.name": "ci"}),
    );
    credentials["type"] = "kubernetes.io/service-account-token".into();
    let object = town.make(Some(Person::Carol), &credentials).await?;
    done(town.ask(Person::Carol, &object, &delete("")).await?)?;
    Ok(())
}

/// By the right that Kubernetes has for it, and for whom it names.
async fn impersonation(cluster: &Cluster) -> Result<()> {
    let town = Town::new(cluster, "guard-impersonation", json!({})).await?;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "guard-acts-for-alice"},
        "rules": [{"apiGroups": [""], "resources": ["users"], "resourceNames": ["alice"], "verbs": ["impersonate"]}],
    });
    objects::create(&town.admin, role).await?;
    let deputy = format!("system:serviceaccount:{}:deputy", town.name);
    objects::allow_edit(&town.admin, &town.name, &deputy).await?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "guard-acts-for-alice"},
        "roleRef": {"kind": "ClusterRole", "name": "guard-acts-for-alice", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [objects::subject(&deputy)],
    });
    objects::create(&town.admin, binding).await?;
    let for_user = |user: &str| {
        let mut secret = token();
        secret["metadata"]["annotations"] = json!({OWNER: user});
        create(secret)
    };
    let name = token()["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let as_deputy = async |call: &Call| town.ask_as(Some(&deputy), &name, call).await;
    wait_for(
        "the binding to count",
        Duration::from_secs(20),
        async || {
            let answer = as_deputy(&super::town::dry_run(for_user("alice"))).await?;
            Ok(matches!(answer, Answer::Done(_)).then_some(()))
        },
    )
    .await?;
    assert_eq!(owner(&done(as_deputy(&for_user("alice")).await?)?), "alice");
    done(as_deputy(&patch(json!({"stringData": {"A": "1"}}))).await?)?;
    done(town.ask(Person::Alice, &name, &patch(json!({}))).await?)?;
    done(as_deputy(&delete("")).await?)?;
    assert!(matches!(
        as_deputy(&for_user("bob")).await?,
        Answer::Refused(_)
    ));
    // Not for an old one, which may be anybody's.
    let old = town.make(None, &token()).await?;
    let claim = patch(json!({"metadata": {"annotations": {OWNER: "alice"}}}));
    assert!(matches!(
        town.ask_as(Some(&deputy), &old, &claim).await?,
        Answer::Refused(_)
    ));

    // The role `edit` lets its holders act for the accounts of their namespace, and of no other.
    for (namespace, refused) in [(town.name.as_str(), false), ("kube-system", true)] {
        let account = format!("system:serviceaccount:{namespace}:ci");
        town.ask(Person::Admin, &name, &delete("")).await?;
        let made = town.ask(Person::Bob, &name, &for_user(&account)).await?;
        assert_eq!(
            matches!(made, Answer::Refused(_)),
            refused,
            "{account}: {made:?}"
        );
    }
    for (namespace, refused) in [(town.name.as_str(), false), ("kube-system", true)] {
        let account = format!("system:serviceaccount:{namespace}:ci");
        town.ask(Person::Admin, &name, &delete("")).await?;
        done(town.ask(Person::Admin, &name, &for_user(&account)).await?)?;
        let changed = town.ask(Person::Bob, &name, &patch(json!({}))).await?;
        assert_eq!(
            matches!(changed, Answer::Refused(_)),
            refused,
            "{account}: {changed:?}"
        );
    }
    town.ask(Person::Admin, &name, &delete("")).await?;
    // What looks like an account's name and is none is a user's.
    let made = town
        .ask(Person::Bob, &name, &for_user("system:serviceaccount:ci"))
        .await?;
    assert!(matches!(made, Answer::Refused(_)), "{made:?}");
    Ok(())
}

/// Then it is the owner's as any other.
async fn adoption(cluster: &Cluster) -> Result<()> {
    let town = Town::new(cluster, "guard-adoption", json!({})).await?;
    let object = town.make(None, &konduktors()).await?;
    assert_eq!(
        owner(&town.stored(&object).await?.ok_or("it is gone")?),
        &Value::Null
    );
    let adopt = patch(json!({"metadata": {"annotations": {OWNER: "alice"}}}));
    done(town.ask(Person::Admin, &object, &adopt).await?)?;
    let change = patch(json!({"stringData": {"A": "1"}}));
    assert_eq!(
        owner(&done(town.ask(Person::Alice, &object, &change).await?)?),
        "alice"
    );
    assert!(matches!(
        town.ask(Person::Bob, &object, &change).await?,
        Answer::Refused(_)
    ));
    Ok(())
}

/// One of each sort, none in the namespace controller's way.
async fn namespace(cluster: &Cluster) -> Result<()> {
    let town = Town::new(cluster, "guard-goes", json!({})).await?;
    town.make(Some(Person::Alice), &token()).await?;
    town.make(Some(Person::Carol), &project()).await?;
    town.make(Some(Person::Carol), &store()).await?;
    town.make(None, &konduktors()).await?;
    let api: Api<Namespace> = Api::all(town.admin.clone());
    api.delete(&town.name, &DeleteParams::default()).await?;
    wait_for("the namespace to go", Duration::from_mins(1), async || {
        Ok(api.get_opt(&town.name).await?.is_none().then_some(()))
    })
    .await
}

async fn garbage(cluster: &Cluster) -> Result<()> {
    let town = Town::new(cluster, "guard-garbage", json!({})).await?;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": town.name, "name": "app"}});
    let map = objects::create(&town.admin, map).await?;
    let reference =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "app", "uid": map.uid()}]);
    for (person, mut secret) in [
        (Person::Alice, token()),
        (Person::Carol, project()),
        (Person::Carol, store()),
    ] {
        secret["metadata"]["ownerReferences"] = reference.clone();
        town.make(Some(person), &secret).await?;
    }
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> =
        Api::namespaced(town.admin.clone(), &town.name);
    maps.delete("app", &DeleteParams::default()).await?;
    for secret in [token(), project(), store()] {
        let name = secret["metadata"]["name"].as_str().unwrap_or_default();
        wait_for(
            "the garbage to be collected",
            Duration::from_secs(40),
            async || Ok(town.stored(name).await?.is_none().then_some(())),
        )
        .await?;
    }
    Ok(())
}

/// The right is in the role `admin`, and not in `edit`.
async fn aggregated(cluster: &Cluster) -> Result<()> {
    let api: Api<ClusterRole> = Api::all(cluster.admin());
    let has = async |role: &str| -> Result<bool> {
        let rules = api.get(role).await?.rules.unwrap_or_default();
        let names = |rule: &k8s_openapi::api::rbac::v1::PolicyRule| {
            rule.resources
                .iter()
                .flatten()
                .any(|resource| resource == "projectsecrets")
        };
        Ok(rules.iter().any(names))
    };
    wait_for(
        "the role to be aggregated",
        Duration::from_secs(20),
        async || Ok(has("admin").await?.then_some(())),
    )
    .await?;
    assert!(!has("edit").await? && !has("view").await?);
    Ok(())
}

/// kube-controller-manager checks each expression against the types and says what cannot be right.
async fn types(cluster: &Cluster) -> Result<()> {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(cluster.admin());
    wait_for(
        "the policies to be checked",
        Duration::from_secs(40),
        async || {
            let policies = policies.list(&ListParams::default()).await?;
            for policy in &policies {
                let status = policy.status.clone().unwrap_or_default();
                let Some(checked) = status.type_checking else {
                    return Ok(None);
                };
                let warnings = checked.expression_warnings.unwrap_or_default();
                assert!(warnings.is_empty(), "{}: {warnings:?}", policy.name_any());
            }
            assert!(!policies.items.is_empty());
            Ok(Some(()))
        },
    )
    .await
}
