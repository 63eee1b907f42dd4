//! Any bytes as a folder that Konduktor's client packed, by themselves and in a Secret.

use std::collections::HashSet;

use data_encoding::BASE64;
use keyporter::folder::archive::{MAX_ENTRIES, Unpacked, unpack};
use keyporter::folder::expand::{Outcome, expand};
use keyporter::folder::{ARCHIVE, Change, Contents, Folder, MAX_SECRET_SIZE, Present};
use keyporter::inject::name::is_data_key;
use serde_json::{Value, json};

pub(crate) fn run(bytes: &[u8]) {
    by_itself(bytes);
    in_a_secret(bytes);
}

fn by_itself(bytes: &[u8]) {
    let Ok(Unpacked::Files(files)) = unpack(bytes, MAX_SECRET_SIZE) else {
        return;
    };
    assert!(files.len() <= MAX_ENTRIES);
    let total: usize = files.iter().map(|file| file.content.as_bytes().len()).sum();
    assert!(u64::try_from(total).expect("a length") <= MAX_SECRET_SIZE);
    let paths: HashSet<_> = files.iter().map(|file| file.path.clone()).collect();
    assert_eq!(paths.len(), files.len(), "a path twice");
    for path in &paths {
        assert!(
            !path.starts_with('/') && !path.contains(['\\', '\0']),
            "{path:?}"
        );
        assert!(
            path.split('/')
                .all(|part| !part.is_empty() && part != "." && !part.starts_with("..")),
            "{path:?}"
        );
    }
    let Ok(folder) = Folder::new(files, &Present::default()) else {
        return;
    };
    let keys: HashSet<_> = folder
        .entries()
        .iter()
        .map(|entry| entry.key.as_str())
        .collect();
    assert_eq!(keys.len(), paths.len(), "a key twice");
    assert!(
        keys.iter().all(|key| is_data_key(key) && *key != ARCHIVE),
        "{keys:?}"
    );
}

fn in_a_secret(bytes: &[u8]) {
    let new = json!({
        "metadata": {"annotations": {"keyporter.dev/layout": r#"{"own": "folder/own"}"#}},
        "data": {ARCHIVE: BASE64.encode(bytes), "own": "b3du", "train.py": ""},
    });
    let Some(made) = changed(&new, None) else {
        return;
    };
    assert!(
        changed(&made, None).is_none_or(|again| again == made),
        "a second pass changes it"
    );
    assert!(
        changed(&made, Some(&made)).is_none(),
        "it changes without a cause"
    );
    for (key, value) in new["data"].as_object().expect("a map") {
        assert_eq!(&made["data"][key], value, "a key of the user's");
    }
    // Without the archive, nothing of it is left.
    let mut without = made.clone();
    without["data"]
        .as_object_mut()
        .expect("a map")
        .remove(ARCHIVE);
    let left = changed(&without, Some(&made)).unwrap_or(without);
    let mut keys: Vec<_> = left["data"].as_object().expect("a map").keys().collect();
    keys.sort();
    assert_eq!(keys, ["own", "train.py"], "{left}");
}

/// The Secret after what is done about it; `None` where that is nothing.
fn changed(new: &Value, old: Option<&Value>) -> Option<Value> {
    let texts = (new.to_string(), old.map(Value::to_string));
    let contents: Contents<'_> = serde_json::from_str(&texts.0).expect("a Secret");
    let before: Option<Contents<'_>> = texts
        .1
        .as_deref()
        .map(|text| serde_json::from_str(text).expect("a Secret"));
    let patch = match expand(&contents, before.as_ref()) {
        Outcome::Settled | Outcome::NoArchive | Outcome::Refused(_) => return None,
        Outcome::Expanded { patch, .. } | Outcome::Packed { patch, .. } => patch,
    };
    if patch.is_empty() {
        return None;
    }
    assert!(!format!("{patch:?}").contains("b3du"));
    Some(applied(new, &patch))
}

fn applied(secret: &Value, patch: &[Change]) -> Value {
    let patch = serde_json::to_value(patch).expect("JSON");
    let patch: json_patch::Patch = serde_json::from_value(patch).expect("a JSON Patch");
    let mut secret = secret.clone();
    if let Err(error) = json_patch::patch(&mut secret, &patch) {
        panic!("the patch does not apply: {error}");
    }
    secret
}
