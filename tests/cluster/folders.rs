//! Konduktor's folders: the API server stores their files beside the archive, and pods get them laid out.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::time::Duration;

use axum::http::Request;
use data_encoding::BASE64;
use k8s_openapi::api::core::v1::{Pod, Secret, SecretVolumeSource};
use kube::{Api, Client, ResourceExt};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::harness::{Cluster, Harness};
use crate::konduktor::{WORKSTATION, secret, wait_for_secrets};
use crate::project::Project;
use crate::support::{Result, wait_for};

/// Made by Python: see `make.py` beside it.
const PAYLOAD: &[u8] = include_bytes!("../fixtures/folders/payload.zip");
const OBJECT: &str = "data-bc65ee65";
const CANARY: &[u8] = b"hunter2-canary";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("folders::files_reach_the_pods", files_reach_the_pods),
        harness.trial("folders::the_client_changes_a_folder", changed),
        harness.trial("folders::a_folder_as_large_as_can_be", large),
        harness.trial("folders::hostile_archives_are_refused", hostile),
    ]
}

fn archive(files: &[(&str, &[u8])], options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    for (path, data) in files {
        writer.start_file(*path, options).expect("a file");
        writer.write_all(data).expect("its content");
    }
    writer.finish().expect("an archive").into_inner()
}

fn folder(payload: &[u8]) -> Value {
    let mut folder = secret(WORKSTATION, "default", "data");
    folder["data"]["payload.zip"] = BASE64.encode(payload).into();
    folder
}

/// What the client does: it creates, or else patches by strategic merge.
async fn send(client: &Client, namespace: &str, body: &Value) -> kube::Result<Secret> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let path = format!("/api/v1/namespaces/{namespace}/secrets");
    let request = if secrets.get_opt(OBJECT).await?.is_some() {
        Request::patch(format!("{path}/{OBJECT}"))
            .header("Content-Type", "application/strategic-merge-patch+json")
    } else {
        Request::post(path).header("Content-Type", "application/json")
    };
    let request = request.body(body.to_string().into_bytes());
    client
        .request(request.map_err(kube::Error::HttpError)?)
        .await
}

/// The volume of the folder, in a new pod of alice's that has the secret as it is now.
async fn volume(project: &Project, stored: &Secret) -> Result<SecretVolumeSource> {
    let version = stored.resource_version();
    wait_for(
        "the webhook to know the folder",
        Duration::from_secs(20),
        async || {
            let pod = wait_for_secrets(project, "alice", &[OBJECT]).await?;
            let record = pod.annotations().get("keyporter.dev/injected").cloned();
            let known = record
                .zip(version.as_ref())
                .is_some_and(|(record, version)| record.contains(version));
            Ok(known.then(|| source(&pod)).flatten())
        },
    )
    .await
}

fn source(pod: &Pod) -> Option<SecretVolumeSource> {
    let mut volumes = pod.spec.as_ref()?.volumes.iter().flatten();
    volumes.find_map(|volume| {
        volume
            .secret
            .clone()
            .filter(|source| source.secret_name.as_deref() == Some(OBJECT))
    })
}

/// What the kubelet makes of a volume: each path with its content and, if it has one, its mode.
fn tree(secret: &Secret, volume: &SecretVolumeSource) -> BTreeMap<String, (String, Option<i32>)> {
    let data = secret.data.clone().unwrap_or_default();
    let text = |key: &str| String::from_utf8_lossy(&data[key].0).into_owned();
    let items = volume.items.iter().flatten();
    items
        .map(|item| (item.path.clone(), (text(&item.key), item.mode)))
        .collect()
}

fn is_tree(secret: &Secret, volume: &SecretVolumeSource, expected: &[(&str, &str, Option<i32>)]) {
    let mut tree = tree(secret, volume);
    assert!(tree.remove("payload.zip").is_some(), "{tree:?}");
    let expected = expected
        .iter()
        .map(|(path, text, mode)| ((*path).to_owned(), ((*text).to_owned(), *mode)));
    assert_eq!(tree, expected.collect());
}

async fn files_reach_the_pods(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "folders-pods").await?;
    let made = send(project.client("alice"), &project.name, &folder(PAYLOAD)).await?;
    assert_eq!(made.annotations()["keyporter.dev/owner"], "alice");
    let data = made.data.as_ref().expect("data");
    assert_eq!(data["payload.zip"].0, PAYLOAD);
    let volume = volume(&project, &made).await?;
    is_tree(
        &made,
        &volume,
        &[
            ("project/README", "hello\n", None),
            (
                "project/aws/config",
                "[default]\nregion = eu-central-1\n",
                None,
            ),
            ("project/bin/run.sh", "#!/bin/sh\necho run\n", Some(0o755)),
            ("project/gcp/config", "[core]\n", None),
            ("project/notes/übung 1.txt", "ü\n", None),
        ],
    );
    let pod = wait_for_secrets(&project, "alice", &[OBJECT]).await?;
    let mounts = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.containers.first()?.volume_mounts.clone());
    let mounts = mounts.unwrap_or_default();
    assert!(
        mounts
            .iter()
            .any(|mount| mount.mount_path == "/konduktor/default-secrets/data"),
        "{mounts:?}"
    );

    let log = cluster.keyporter().await?.log();
    assert!(
        log.contains("\"reason\":\"expanded\"") && log.contains("\"files\":\"5\""),
        "{log}"
    );
    for value in [
        "eu-central-1",
        &BASE64.encode(b"hello\n"),
        &BASE64.encode(&PAYLOAD[..30]),
    ] {
        assert!(!log.contains(value), "{value} is in the log");
    }
    Ok(())
}

async fn changed(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "folders-changed").await?;
    let (alice, namespace) = (project.client("alice"), &project.name);
    let options = SimpleFileOptions::default();
    let first = archive(&[("p/a", b"1"), ("p/b", b"2"), ("q/a", b"3")], options);
    send(alice, namespace, &folder(&first)).await?;

    // `--inline`, which comes to the same object, with a name that a file has.
    let mut inline = folder(&first);
    inline["data"] = json!({"a": BASE64.encode(b"mine"), "extra": BASE64.encode(b"more")});
    let merged = send(alice, namespace, &inline).await?;
    let volume_then = volume(&project, &merged).await?;
    let expected = [
        ("p/a", "1", None),
        ("p/b", "2", None),
        ("q/a", "3", None),
        ("a", "mine", None),
        ("extra", "more", None),
    ];
    is_tree(&merged, &volume_then, &expected);

    // The same folder again changes nothing.
    let again = send(alice, namespace, &folder(&first)).await?;
    assert_eq!(again.resource_version(), merged.resource_version());

    let second = archive(&[("p/b", b"two"), ("r/c", b"4")], options);
    let changed = send(alice, namespace, &folder(&second)).await?;
    let volume_now = volume(&project, &changed).await?;
    let expected = [
        ("p/b", "two", None),
        ("r/c", "4", None),
        ("a", "mine", None),
        ("extra", "more", None),
    ];
    is_tree(&changed, &volume_now, &expected);
    let keys: Vec<_> = changed
        .data
        .as_ref()
        .expect("data")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(keys, ["a", "b", "c", "extra", "payload.zip"]);

    // Without the archive nothing of it is left.
    let gone = send(alice, namespace, &json!({"data": {"payload.zip": null}})).await?;
    let keys: Vec<_> = gone
        .data
        .as_ref()
        .expect("data")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(keys, ["a", "extra"]);
    assert!(
        !gone.annotations().contains_key("keyporter.dev/layout"),
        "{:?}",
        gone.annotations()
    );
    Ok(())
}

/// Bytes that no method packs.
fn noise(length: usize) -> Vec<u8> {
    let mut state: u32 = 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

async fn large(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "folders-large").await?;
    let (alice, namespace) = (project.client("alice"), &project.name);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut content = noise(520_000);
    let packed = archive(&[("p/large", &content), ("p/small", b"x")], options);
    let mut new = folder(&packed);
    let rest = 1_048_576 - packed.len() - content.len() - 1;
    new["data"]["own"] = BASE64.encode(&vec![7; rest]).into();
    new["metadata"]["annotations"] = json!({"note": "x".repeat(200_000)});
    let made = send(alice, namespace, &new).await?;
    assert_eq!(made.data.as_ref().expect("data").len(), 4);
    content[0] ^= 1;
    let packed = archive(&[("p/large", &content), ("p/small", b"x")], options);
    let changed = send(alice, namespace, &folder(&packed)).await?;
    let data = changed.data.as_ref().expect("data");
    assert!(data.len() == 4 && data["large"].0 == content);

    // The API server compares the values before it asks for anything.
    let noted = json!({"metadata": {"annotations": {"note": "y".repeat(200_000)}}});
    let noted = send(alice, namespace, &noted).await?;
    assert_eq!(noted.data, changed.data);

    // One byte more stays packed, and who sent it hears why.
    let kubectl = cluster.kubectl("alice")?.within(namespace);
    let mut new = new.clone();
    new["apiVersion"] = json!("v1");
    new["kind"] = json!("Secret");
    new["metadata"]["name"] = json!("other-bc65ee65");
    new["data"]["own"] = BASE64.encode(&vec![7; rest + 1]).into();
    let outcome = kubectl.run_with_input(&["create", "-f", "-"], &new.to_string())?;
    let warnings = outcome.warnings().join("\n");
    assert!(
        warnings.contains(
            "keyporter: payload.zip stays packed: with its files, 1048577 bytes are more"
        ),
        "{warnings}"
    );
    outcome.ok()?;
    let secrets: Api<Secret> = Api::namespaced(alice.clone(), namespace);
    let stored = secrets.get("other-bc65ee65").await?;
    assert_eq!(stored.data.as_ref().expect("data").len(), 2);
    Ok(())
}

async fn hostile(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "folders-hostile").await?;
    let (alice, namespace) = (project.client("alice"), &project.name);
    let options = SimpleFileOptions::default();
    let mut link = ZipWriter::new(Cursor::new(vec![]));
    link.add_symlink("p/link", "/etc/passwd", options)?;
    let bomb = vec![0; 4 * 1024 * 1024];
    let cases: [(Vec<u8>, &str); 5] = [
        (
            archive(&[("p/../../x", CANARY)], options),
            "its entry \"p/../../x\" has a path with a part that starts with \"..\"",
        ),
        (
            link.finish()?.into_inner(),
            "its entry \"p/link\" is a symbolic link",
        ),
        (
            archive(&[("p/zeros", &bomb)], options),
            "its entry \"p/zeros\" unpacks to more than 200 times its size",
        ),
        (PAYLOAD[..PAYLOAD.len() - 100].to_vec(), "it is cut off"),
        (CANARY.to_vec(), "it is no zip archive"),
    ];
    for (payload, expected) in &cases {
        let sentence = refused(send(alice, namespace, &folder(payload)).await)?;
        assert!(
            sentence.contains(expected) && sentence.contains("[rule: bad-archive]"),
            "{sentence}"
        );
    }
    // Nor do they come in the place of a good one.
    let made = send(alice, namespace, &folder(PAYLOAD)).await?;
    for (payload, _) in &cases {
        let sentence = refused(send(alice, namespace, &folder(payload)).await)?;
        assert!(!sentence.contains("hunter2"), "{sentence}");
    }
    let secrets: Api<Secret> = Api::namespaced(alice.clone(), namespace);
    assert_eq!(
        secrets.get(OBJECT).await?.resource_version(),
        made.resource_version()
    );
    Ok(())
}

fn refused(outcome: kube::Result<Secret>) -> Result<String> {
    match outcome {
        Err(kube::Error::Api(status)) => Ok(status.message.clone()),
        other => Err(format!("not refused: {:?}", other.map(|secret| secret.name_any())).into()),
    }
}
