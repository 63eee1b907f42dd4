//! Changes that libFuzzer does not make by itself: of a JSON document as a tree, of an archive with the checksums that then
//! are right, and of anything to something much longer.

use serde_json::{Map, Value};

/// Names of members, and texts, that mean something somewhere.
const WORDS: &[&str] = &[
    "",
    "alice",
    "bob",
    "vision",
    "kube-system",
    "main",
    "default",
    "env",
    "git-ssh",
    "auth",
    "image-pull",
    "user",
    "project",
    "Pod",
    "Job",
    "CronJob",
    "Deployment",
    "JobSet",
    "SparkApplication",
    "Secret",
    "PodExecOptions",
    "CREATE",
    "UPDATE",
    "DELETE",
    "CONNECT",
    "batch",
    "apps",
    "jobset.x-k8s.io",
    "sparkoperator.k8s.io",
    "ephemeralcontainers",
    "scale",
    "metadata",
    "labels",
    "annotations",
    "name",
    "generateName",
    "namespace",
    "ownerReferences",
    "controller",
    "apiVersion",
    "kind",
    "uid",
    "group",
    "operation",
    "subResource",
    "userInfo",
    "username",
    "groups",
    "object",
    "oldObject",
    "dryRun",
    "spec",
    "template",
    "jobTemplate",
    "containers",
    "initContainers",
    "ephemeralContainers",
    "volumes",
    "volumeMounts",
    "mountPath",
    "subPath",
    "env",
    "envFrom",
    "value",
    "valueFrom",
    "secretKeyRef",
    "secretRef",
    "prefix",
    "command",
    "args",
    "imagePullSecrets",
    "secret",
    "secretName",
    "items",
    "path",
    "projected",
    "sources",
    "optional",
    "readOnly",
    "securityContext",
    "nodeSelector",
    "kubernetes.io/os",
    "windows",
    "kubernetes.io/config.mirror",
    "sparkConf",
    "driver",
    "executor",
    "data",
    "stringData",
    "type",
    "payload.zip",
    "gitkey",
    "known_hosts",
    "parent",
    "konduktor",
    "trainy.ai/secret-owner",
    "trainy.ai/secret-kind",
    "trainy.ai/secret-basename",
    "trainy.ai/user-id",
    "keyporter.dev/inject",
    "enabled",
    "disabled",
    "keyporter.dev/containers",
    "keyporter.dev/auth-secret",
    "keyporter.dev/files",
    "keyporter.dev/env-secrets",
    "keyporter.dev/spark-conf-secrets",
    "keyporter.dev/owner",
    "keyporter.dev/owner-proof",
    "keyporter.dev/injected",
    "keyporter.dev/kind",
    "keyporter.dev/name",
    "keyporter.dev/scope",
    "keyporter.dev/owner-id",
    "keyporter.dev/layout",
    "keyporter.dev/executable",
    "keyporter.dev/expanded",
    "keyporter.dev/injection",
    "on-reference",
    "keyporter.dev/domain",
    "secret:token",
    "secret:token/TOKEN",
    "secret:hugging-face",
    "secret:none?",
    "secret:datasets/README:/data/README",
    "secret:odd/GOOD:/a,secret:tracking/HF_TOKEN:/b",
    "${secrets.db_password}",
    "x ${secrets.none?} y",
    "$(A) ${secrets.tls.key} $$(B)",
    "$(x ${secrets.db_password})",
    "hugging-face-2bd806c9",
    "datasets-2bd806c9",
    "tracking",
    "/konduktor/default-secrets",
    "/konduktor/default-secrets/datasets",
    "/run/konduktor/git-ssh-secret",
    "KONDUKTOR_DEFAULT_SECRETS",
    "GIT_SSH_COMMAND",
    "AUTH_SECRET",
    "HF_TOKEN",
    "PATH",
    "LD_PRELOAD",
    "KEYPORTER_REF_1",
    "key",
    "secretObject",
    "storageSecret",
    "secretKey",
    "source",
    "id",
    "KUBERNETES",
    "VAULT",
    "finance",
    r#"{"a": "b/c"}"#,
    r#"["a"]"#,
    "a/b",
    "../a",
    "system:serviceaccount:kube-system:job-controller",
    r#"[{"key": "A", "secretObject": {"key": "db_password", "source": {"type": "KUBERNETES", "id": null}}}]"#,
    "true",
    "ADDED",
    "MODIFIED",
    "DELETED",
    "BOOKMARK",
    "ERROR",
    "metadata",
    "resourceVersion",
    "creationTimestamp",
];

type Native = fn(&mut [u8], usize, usize) -> usize;

/// Changes a JSON document; what is none, as libFuzzer changes it.
pub(crate) fn json(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    native: Native,
) -> usize {
    let mut random = Random::new(seed);
    if random.below(4) == 0 {
        return native(data, size, max_size);
    }
    let Ok(mut document) = serde_json::from_slice::<Value>(&data[..size]) else {
        return any(data, size, max_size, seed, native);
    };
    for _ in 0..=random.below(3) {
        tree(&mut document, &mut random, max_size, native);
    }
    put(data, document.to_string().as_bytes(), max_size)
        .unwrap_or_else(|| native(data, size, max_size))
}

/// Changes bytes as libFuzzer does, and at times repeats some of them many times.
pub(crate) fn any(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    native: Native,
) -> usize {
    let mut random = Random::new(seed);
    if size == 0 || random.below(32) != 0 {
        return native(data, size, max_size);
    }
    let from = random.below(size);
    let to = from + 1 + random.below(size - from);
    let room = max_size.saturating_sub(size) / (to - from);
    let times = random.below(room + 1);
    let repeated = data[from..to].repeat(times);
    let longer = [&data[..to], &repeated, &data[to..size]].concat();
    put(data, &longer, max_size).unwrap_or(size)
}

/// Changes an archive as libFuzzer does, and then says what its entries now are.
pub(crate) fn archive(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    native: Native,
) -> usize {
    let size = any(data, size, max_size, seed, native);
    if seed % 4 != 0 {
        repair(&mut data[..size]);
    }
    size
}

fn put(data: &mut [u8], bytes: &[u8], max_size: usize) -> Option<usize> {
    if bytes.len() > max_size {
        return None;
    }
    data[..bytes.len()].copy_from_slice(bytes);
    Some(bytes.len())
}

fn tree(document: &mut Value, random: &mut Random, max_size: usize, native: Native) {
    let count = count(document);
    let copy = node(document, &mut random.below(count))
        .map(|value| value.clone())
        .unwrap_or_default();
    let Some(here) = node(document, &mut random.below(count)) else {
        return;
    };
    match (random.below(8), here) {
        (0, here) => *here = copy,
        (1, here) => *here = leaf(random),
        (2, Value::Object(members)) => {
            let name = members
                .keys()
                .nth(random.below(members.len().max(1)))
                .cloned();
            name.map(|name| members.shift_remove(&name));
        }
        (2 | 3, Value::Array(items)) if !items.is_empty() => {
            drop(items.remove(random.below(items.len())))
        }
        (4, Value::Array(items)) => {
            // One in a while very many.
            let times = if random.below(8) == 0 {
                1 << random.below(12)
            } else {
                1
            };
            let value = items
                .get(random.below(items.len().max(1)))
                .unwrap_or(&copy)
                .clone();
            let times = times.min(max_size / (value.to_string().len() + 1));
            items.extend(std::iter::repeat_n(value, times));
        }
        (_, Value::Array(items)) => items.push(if random.below(2) == 0 {
            copy
        } else {
            leaf(random)
        }),
        (_, Value::Object(members)) => {
            let value = match random.below(4) {
                0 => Value::Object(Map::new()),
                1 => Value::Array(vec![leaf(random)]),
                2 => copy,
                _ => leaf(random),
            };
            members.insert(random.word().to_owned(), value);
        }
        (2, Value::String(text)) => text.push_str(random.word()),
        (_, Value::String(text)) => {
            let mut bytes = text.clone().into_bytes();
            let size = bytes.len();
            bytes.resize(size + 64, 0);
            let room = bytes.len();
            let size = native(&mut bytes, size, room);
            *text = String::from_utf8_lossy(&bytes[..size]).into_owned();
        }
        (_, here) => *here = leaf(random),
    }
}

fn leaf(random: &mut Random) -> Value {
    match random.below(12) {
        0 => Value::Null,
        1 => Value::Bool(random.below(2) == 0),
        2 => Value::from(random.below(5)),
        3 => Value::from(u64::MAX),
        4 => Value::Object(Map::new()),
        5 => Value::Array(vec![]),
        _ => Value::from(random.word()),
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// The node with this number, counted from above.
fn node<'v>(value: &'v mut Value, number: &mut usize) -> Option<&'v mut Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| node(item, number)),
        Value::Object(members) => members.values_mut().find_map(|item| node(item, number)),
        _ => None,
    }
}

/// Writes the checksums of all entries that are stored as they are, into the directory and before the data.
fn repair(bytes: &mut [u8]) {
    let number = |bytes: &[u8], at: usize, length: usize| {
        let digits = bytes.get(at..at + length)?;
        Some(
            digits
                .iter()
                .rev()
                .fold(0, |number, digit| number << 8 | usize::from(*digit)),
        )
    };
    let mut at = 0;
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| rest.windows(4).position(|window| window == b"PK\x01\x02"))
    {
        let entry = at + found;
        at = entry + 4;
        let Some(local) = number(bytes, entry + 42, 4) else {
            return;
        };
        let is_local = bytes
            .get(local..)
            .is_some_and(|rest| rest.starts_with(b"PK\x03\x04"));
        let stored = number(bytes, entry + 10, 2) == Some(0);
        let (Some(name), Some(extra), Some(size), true, true) = (
            number(bytes, local.saturating_add(26), 2),
            number(bytes, local.saturating_add(28), 2),
            number(bytes, entry + 20, 4),
            is_local,
            stored,
        ) else {
            continue;
        };
        let start = local + 30 + name + extra;
        let Some(content) = bytes.get(start..start.saturating_add(size)) else {
            continue;
        };
        let checksum = crc32fast::hash(content).to_le_bytes();
        bytes[entry + 16..entry + 20].copy_from_slice(&checksum);
        bytes[local + 14..local + 18].copy_from_slice(&checksum);
    }
}

/// Numbers that a seed decides (SplitMix64).
struct Random(u64);

impl Random {
    fn new(seed: u32) -> Self {
        Self(u64::from(seed))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^= number >> 31;
        usize::try_from(number % u64::try_from(end.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len())]
    }
}
