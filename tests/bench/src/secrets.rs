//! Catalogues: Secrets as files hold them, and as a watch tells of them.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::json;

/// Whose the pods are.
pub const OWNER: &str = "alice";
/// Where they are created.
pub const NAMESPACE: &str = "vision";
/// How many secrets that owner has, where nothing else is said: one of each kind.
pub const OWN: usize = 5;

/// How many namespaces and other owners a large catalogue has.
const NAMESPACES: usize = 1000;
const OWNERS: usize = 5000;

const KINDS: [(&str, &[&str]); 5] = [
    ("default", &["credentials", "config", "README"]),
    ("env", &["HF_TOKEN", "HF_HOME"]),
    ("git-ssh", &["gitkey", "known_hosts"]),
    ("auth", &["AUTH_SECRET"]),
    ("image-pull", &[".dockerconfigjson"]),
];

/// A secret of a catalogue.
struct Secret {
    number: usize,
    namespace: String,
    owner: String,
    kind: &'static str,
    keys: Vec<String>,
}

impl Secret {
    /// The first `own` are those of [`OWNER`]: one of each kind, then folders and variables.
    fn new(number: usize, own: usize) -> Self {
        if number < own {
            let (kind, keys) = KINDS[if number < OWN { number } else { number % 2 }];
            let suffix = if number < OWN {
                String::new()
            } else {
                format!("_{number}")
            };
            return Self {
                number,
                namespace: NAMESPACE.to_owned(),
                owner: OWNER.to_owned(),
                kind,
                keys: keys.iter().map(|key| format!("{key}{suffix}")).collect(),
            };
        }
        let (kind, keys) = KINDS[number / OWNERS % 2];
        Self {
            number,
            namespace: format!("team-{:04}", number % NAMESPACES),
            owner: format!("user-{}@example.com", number % OWNERS),
            kind,
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    fn yaml(&self, text: &mut String) {
        let Self {
            number,
            namespace,
            owner,
            kind,
            keys,
        } = self;
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: secret-{number}\n  namespace: {namespace}\n  \
             resourceVersion: \"{number}\"\n  creationTimestamp: \"2026-01-01T12:00:00Z\"\n  labels:\n    \
             keyporter.dev/kind: {kind}\n    keyporter.dev/name: secret-{number}\n  annotations:\n    \
             keyporter.dev/owner: {owner}\ntype: Opaque\ndata:\n"
        );
        for key in keys {
            let _ = writeln!(text, "  {key}: ZXhhbXBsZQ==");
        }
    }
}

/// Writes `count` Secrets into files, one file a namespace, of which `own` are those of [`OWNER`].
pub fn write(folder: &Path, count: usize, own: usize) -> io::Result<()> {
    let mut files = std::collections::BTreeMap::<String, String>::new();
    for number in 0..count {
        let secret = Secret::new(number, own);
        secret.yaml(files.entry(secret.namespace.clone()).or_default());
    }
    for (namespace, text) in files {
        fs::write(folder.join(format!("{namespace}.yaml")), text)?;
    }
    Ok(())
}

/// Writes the same as JSON, one list a namespace, as kubectl prints them.
pub fn write_json(folder: &Path, count: usize, own: usize) -> io::Result<()> {
    let mut lists = std::collections::BTreeMap::<String, Vec<String>>::new();
    for number in 0..count {
        let secret = Secret::new(number, own);
        let text = String::from_utf8(json(number, own, number)).map_err(io::Error::other)?;
        lists.entry(secret.namespace).or_default().push(text);
    }
    for (namespace, items) in lists {
        let list = format!(
            r#"{{"apiVersion":"v1","kind":"List","items":[{}]}}"#,
            items.join(",")
        );
        fs::write(folder.join(format!("{namespace}.json")), list)?;
    }
    Ok(())
}

/// One of them as the API server writes it, with another resource version.
#[must_use]
pub fn json(number: usize, own: usize, version: usize) -> Vec<u8> {
    let Secret {
        number,
        namespace,
        owner,
        kind,
        keys,
    } = Secret::new(number, own);
    let name = format!("secret-{number}");
    let data: serde_json::Map<_, _> = keys
        .into_iter()
        .map(|key| (key, json!("ZXhhbXBsZQ==")))
        .collect();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data,
        "metadata": {
            "name": name, "namespace": namespace, "resourceVersion": version.to_string(),
            "creationTimestamp": "2026-01-01T12:00:00Z",
            "labels": {"keyporter.dev/kind": kind, "keyporter.dev/name": name},
            "annotations": {"keyporter.dev/owner": owner},
        },
    });
    secret.to_string().into_bytes()
}
