//! Generated pods and shelves for the properties: names and paths near those of keyporter, and every way in which JSON
//! can leave something out.

use std::collections::HashSet;

use keyporter::inject::secret::Description;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use crate::builders::*;

const OBJECTS: &[&str] = &[
    "a",
    "b",
    "c-2bd806c9",
    "d.with.dots",
    "git-ssh-work",
    "own",
    "a-long-name-that-fills-all-of-the-63-characters-of-a-dns-label1",
    "a-long-name-that-fills-all-of-the-63-characters-of-a-dns-label2",
    "an.object-name-of-kubernetes-may-be-longer-than-a-label-as-it-is-a-subdomain.of-up-to-253-characters",
];
const NAMES: &[&str] = &[
    "a",
    "b",
    "data",
    "git-ssh-secret",
    "x",
    "a-long-name-that-fills-all-of-the-63-characters-of-a-dns-label1",
];
const KEYS: &[&str] = &[
    ".dockerconfigjson",
    "A",
    "AUTH_SECRET",
    "B",
    "GIT_SSH_COMMAND",
    "KONDUKTOR_DEFAULT_SECRETS",
    "LD_PRELOAD",
    "TOKEN",
    "gitkey",
    "known_hosts",
    "tls.crt",
];
const VARIABLES: &[&str] = &[
    "A",
    "AUTH_SECRET",
    "B",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "KONDUKTOR_DEFAULT_SECRETS",
    "KONDUKTOR_DEFAULT_SECRETS_EXPANDED",
    "OWN",
    "TOKEN",
];
const PATHS: &[&str] = &[
    "/",
    "/data",
    "/konduktor",
    "/konduktor/",
    "//konduktor/default-secrets",
    "/konduktor/default-secrets/a",
    "/konduktor/default-secrets//a/",
    "/konduktor/default-secrets/a/below",
    "/konduktor/default-secrets/../default-secrets/b",
    "/konduktor/default-secrets/bb",
    "/run",
    "/run/konduktor/git-ssh-secret",
    "/run/konduktor/git-ssh-secret/gitkey",
    "/run/konduktor/git-ssh-work/",
];
const VOLUMES: &[&str] = &[
    "data",
    "keyporter-a",
    "keyporter-b",
    "keyporter-c-2bd806c9",
    "keyporter-git-ssh-work",
    "projected",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z]{1,8}",
        Just("naïve 日本 \"quoted\" \\ \u{7} $(A) $$".to_owned()),
    ]
}

/// A member of an object: absent, null, or there.
fn maybe(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Option<Value>> {
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(Value::Null)),
        6 => value.prop_map(Some),
    ]
    .boxed()
}

fn object(members: Vec<(&'static str, Option<Value>)>) -> Value {
    let there = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect())
}

fn variable() -> impl Strategy<Value = Value> {
    let plain = option::of(word()).prop_map(|value| json!({"value": value}));
    let key = (select(OBJECTS), select(KEYS), any::<Option<bool>>()).prop_map(
        |(name, key, optional)| json!({"valueFrom": {"secretKeyRef": {"name": name, "key": key, "optional": optional}}}),
    );
    let other = Just(json!({"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}));
    (select(VARIABLES), prop_oneof![plain, key, other]).prop_map(|(name, mut variable)| {
        variable["name"] = json!(name);
        variable
    })
}

fn source() -> impl Strategy<Value = Value> {
    let secret = (
        select(OBJECTS),
        option::of(prop_oneof![Just(""), Just("P_")]),
    )
        .prop_map(|(name, prefix)| match prefix {
            Some(prefix) => json!({"prefix": prefix, "secretRef": {"name": name}}),
            None => json!({"secretRef": {"name": name, "optional": true}}),
        });
    prop_oneof![secret, Just(json!({"configMapRef": {"name": "own"}}))]
}

fn mount() -> impl Strategy<Value = Value> {
    (
        select(VOLUMES),
        select(PATHS),
        maybe(any::<bool>().prop_map(Value::Bool)),
    )
        .prop_map(|(name, path, read_only)| {
            object(vec![
                ("name", Some(json!(name))),
                ("mountPath", Some(json!(path))),
                ("readOnly", read_only),
            ])
        })
}

fn volume(name: &'static str) -> impl Strategy<Value = Value> {
    let secret = select(OBJECTS).prop_map(|object| json!({"secret": {"secretName": object}}));
    let other = select(vec![
        json!({"emptyDir": {}}),
        json!({"configMap": {"name": "c"}}),
        json!({"projected": {"sources": []}}),
        json!({"hostPath": {"path": "/x"}}),
        json!({"persistentVolumeClaim": {"claimName": "c", "readOnly": true}}),
        json!({"secret": null, "emptyDir": {"medium": "Memory"}}),
    ]);
    prop_oneof![secret, other].prop_map(move |mut volume| {
        volume["name"] = json!(name);
        volume
    })
}

fn a_container(name: String) -> impl Strategy<Value = Value> {
    (
        maybe(vec(variable(), 0..5).prop_map(Value::Array)),
        maybe(vec(source(), 0..4).prop_map(Value::Array)),
        maybe(vec(mount(), 0..4).prop_map(Value::Array)),
    )
        .prop_map(move |(env, env_from, mounts)| {
            object(vec![
                ("name", Some(json!(name))),
                ("image", Some(json!("busybox"))),
                ("env", env),
                ("envFrom", env_from),
                ("volumeMounts", mounts),
            ])
        })
}

fn containers(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    subsequence(names, 0..=names.len())
        .prop_flat_map(|names| {
            names
                .into_iter()
                .map(|name| a_container(name.to_owned()))
                .collect::<Vec<_>>()
        })
        .prop_map(Value::Array)
}

fn volumes() -> impl Strategy<Value = Value> {
    subsequence(VOLUMES, 0..=VOLUMES.len())
        .prop_flat_map(|names| names.into_iter().map(volume).collect::<Vec<_>>())
        .prop_map(Value::Array)
}

fn entries(choices: Vec<(&'static str, &'static [&'static str])>) -> impl Strategy<Value = Value> {
    let count = choices.len();
    subsequence(choices, 0..=count)
        .prop_flat_map(|chosen| {
            chosen
                .into_iter()
                .map(|(name, values)| select(values).prop_map(move |value| (name, value)))
                .collect::<Vec<_>>()
        })
        .prop_map(|entries| {
            let entries = entries
                .into_iter()
                .map(|(name, value)| (name.to_owned(), json!(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        })
}

fn metadata() -> impl Strategy<Value = Value> {
    let labels = entries(vec![
        ("app", &["train", ""]),
        ("keyporter.dev/inject", &["enabled"]),
        ("keyporter.dev/injected", &["true", "false", ""]),
    ]);
    let annotations = entries(vec![
        ("note", &["", "日本 \"x\""]),
        ("keyporter.dev/owner", &["alice", ""]),
        ("keyporter.dev/injected", &["[]", "forged", ""]),
        (
            "keyporter.dev/containers",
            &["main", "main,setup", "nobody"],
        ),
        ("keyporter.dev/auth-secret", &["a", "b", "nothing", ""]),
    ]);
    (maybe(labels), maybe(annotations)).prop_map(|(labels, annotations)| {
        object(vec![
            ("name", Some(json!("train"))),
            ("labels", labels),
            ("annotations", annotations),
        ])
    })
}

/// Takes off mounts of volumes that the pod does not have: the API server refuses those.
fn without_dangling_mounts(mut pod: Value) -> Value {
    let volumes = pod["spec"]["volumes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let there = |mount: &Value| volumes.iter().any(|volume| volume["name"] == mount["name"]);
    for list in ["containers", "initContainers"] {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if let Some(mounts) = container
                .get_mut("volumeMounts")
                .and_then(Value::as_array_mut)
            {
                mounts.retain(there);
            }
        }
    }
    pod
}

/// The pod with one more container.
pub(crate) fn with_container(pod: &Value, container: &Value, at: usize) -> Value {
    let mut pod = pod.clone();
    let containers = pod["spec"]["containers"].as_array_mut().expect("a list");
    containers.insert(at.min(containers.len()), container.clone());
    pod
}

/// A pod, and a container that could be one more of it.
pub(crate) fn a_pod_and_a_container() -> impl Strategy<Value = (Value, Value)> {
    (a_pod(), a_container("late".to_owned())).prop_map(|(pod, late)| {
        let whole = without_dangling_mounts(with_container(&pod, &late, 0));
        (pod, whole["spec"]["containers"][0].clone())
    })
}

pub(crate) fn a_pod() -> impl Strategy<Value = Value> {
    let pull = vec(select(OBJECTS).prop_map(|name| json!({"name": name})), 0..3);
    let spec = (
        containers(&["main", "second", "istio-proxy"]),
        maybe(containers(&["istio-init", "setup"])),
        maybe(volumes()),
        maybe(pull.prop_map(Value::Array)),
        maybe(Just(json!({"kubernetes.io/os": "linux"}))),
    )
        .prop_map(|(containers, init, volumes, pull, selector)| {
            object(vec![
                ("containers", Some(containers)),
                ("initContainers", init),
                ("volumes", volumes),
                ("imagePullSecrets", pull),
                ("nodeSelector", selector),
                ("restartPolicy", Some(json!("Never"))),
            ])
        });
    (maybe(metadata()), spec)
        .prop_map(|(metadata, spec)| {
            object(vec![
                ("apiVersion", Some(json!("v1"))),
                ("kind", Some(json!("Pod"))),
                ("metadata", metadata),
                ("spec", Some(spec)),
            ])
        })
        .prop_map(without_dangling_mounts)
}

fn a_secret() -> impl Strategy<Value = Description> {
    (
        select(vec![
            "default",
            "env",
            "env",
            "git-ssh",
            "auth",
            "image-pull",
        ]),
        select(NAMES),
        select(OBJECTS),
        any::<bool>(),
        0..4u32,
        subsequence(KEYS, 0..=KEYS.len()),
        select(vec![
            None,
            None,
            Some(json!({"A": "deep/er/a"})),
            Some(json!({"A": "B"})),
        ]),
        proptest::bool::weighted(0.1),
    )
        .prop_map(
            |(kind, name, object, of_user, minute, keys, layout, on_reference)| {
                let make = if of_user { user } else { project };
                let mut description = make(kind, name, &keys).object(object).made(minute);
                if let Some(layout) = layout {
                    description = description.layout(&layout);
                }
                if on_reference {
                    description = description.on_reference();
                }
                description
            },
        )
}

pub(crate) fn some_shelves() -> impl Strategy<Value = Shelves> {
    vec(a_secret(), 0..9).prop_map(|mut secrets| {
        let mut objects = HashSet::new();
        secrets.retain(|secret| objects.insert(secret.object.clone()));
        shelves(secrets)
    })
}
