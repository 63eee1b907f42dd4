use std::io::{Cursor, Write};

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value as Json, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

/// Base64 of an archive of files whose paths say what is in them and whether they may be run.
fn archive(paths: &[&str]) -> String {
    let contents: Vec<_> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
    let files: Vec<_> = paths
        .iter()
        .zip(&contents)
        .map(|(path, data)| (*path, &**data))
        .collect();
    packed(&files)
}

fn packed(files: &[(&str, &[u8])]) -> String {
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    for (path, data) in files {
        let mode = if path.ends_with("run") { 0o755 } else { 0o644 };
        writer
            .start_file(*path, SimpleFileOptions::default().unix_permissions(mode))
            .unwrap();
        writer.write_all(data).unwrap();
    }
    BASE64.encode(&writer.finish().unwrap().into_inner())
}

fn secret(data: &Json) -> Json {
    json!({"metadata": {"name": "s"}, "data": data})
}

fn decide(new: &Json, old: Option<&Json>) -> Outcome {
    let (new, old) = (new.to_string(), old.map(Json::to_string));
    let old = old.as_ref().map(|old| serde_json::from_str(old).unwrap());
    expand(&serde_json::from_str(&new).unwrap(), old.as_ref())
}

fn patched(secret: &Json, patch: &[Change]) -> Json {
    let patch: json_patch::Patch =
        serde_json::from_value(serde_json::to_value(patch).unwrap()).unwrap();
    let mut secret = secret.clone();
    json_patch::patch(&mut secret, &patch).unwrap();
    secret
}

/// What is stored, and why it stays packed. A second pass finds nothing to do.
fn stored(new: &Json, old: Option<&Json>) -> (Json, Option<Packed>) {
    let (patch, why) = match decide(new, old) {
        Outcome::Expanded { patch, .. } => (patch, None),
        Outcome::Packed { why, patch } => (patch, Some(why)),
        Outcome::Settled | Outcome::NoArchive => (vec![], None),
        refused @ Outcome::Refused(_) => panic!("{refused:?}"),
    };
    let stored = patched(new, &patch);
    match decide(&stored, old) {
        Outcome::Expanded { patch, .. } | Outcome::Packed { patch, .. } => {
            assert!(patch.is_empty(), "{patch:?}");
        }
        Outcome::Settled | Outcome::NoArchive => {}
        refused @ Outcome::Refused(_) => panic!("{refused:?}"),
    }
    (stored, why)
}

fn expanded(new: &Json, old: Option<&Json>) -> Json {
    let (stored, why) = stored(new, old);
    assert_eq!(why, None);
    stored
}

/// Where everything but the archive lies in a pod, with what is there, and `*` for what may be run.
fn tree(secret: &Json) -> BTreeMap<String, String> {
    let annotation = |name: &str| secret["metadata"]["annotations"][name].as_str();
    let data = secret["data"].as_object().unwrap();
    let keys: Vec<_> = data
        .keys()
        .map(|key| Key {
            name: key.as_str().into(),
            length: 1,
        })
        .collect();
    let layout = Layout::read(
        annotation(names::LAYOUT),
        annotation(names::EXECUTABLE),
        &keys,
    )
    .unwrap();
    let items = layout.items().iter().filter(|item| &*item.key != ARCHIVE);
    let item = items.map(|item| {
        let value = BASE64
            .decode(data[&*item.key].as_str().unwrap().as_bytes())
            .unwrap();
        let mark = if item.executable { "*" } else { "" };
        (
            format!("{}{mark}", item.path),
            String::from_utf8(value).unwrap(),
        )
    });
    item.collect()
}

fn is_tree(secret: &Json, expected: &[(&str, &str)]) {
    let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
    assert_eq!(tree(secret), expected.iter().map(own).collect());
}

fn with(secret: &Json, key: &str, value: &str) -> Json {
    let mut secret = secret.clone();
    secret["data"][key] = value.into();
    secret
}

/// `printf mine | base64`
const MINE: &str = "bWluZQ==";

#[test]
fn a_new_folder() {
    let payload = archive(&["project/aws/config", "project/gcp/config", "project/run"]);
    let new = secret(&json!({"payload.zip": payload}));
    let stored = expanded(&new, None);
    assert_eq!(stored["data"]["payload.zip"], payload);
    let files = [
        ("project/aws/config", "project/aws/config"),
        ("project/gcp/config", "project/gcp/config"),
        ("project/run*", "project/run"),
    ];
    is_tree(&stored, &files);
    // printf project/gcp/config | sha256sum
    let other = "project_gcp_config-a62a1e2eea";
    assert_eq!(
        stored["metadata"]["annotations"],
        json!({
            "keyporter.dev/layout": json!({"config": "project/aws/config", other: "project/gcp/config", "run": "project/run"}).to_string(),
            "keyporter.dev/executable": r#"["run"]"#,
            "keyporter.dev/expanded": json!(["config", other, "run"]).to_string(),
        })
    );
}

#[test]
fn an_archive_in_base64_once_more() {
    let mut twice = archive(&["a/b"]);
    twice.insert(10, '\n');
    let stored = expanded(
        &secret(&json!({"payload.zip": BASE64.encode(twice.as_bytes())})),
        None,
    );
    is_tree(&stored, &[("a/b", "a/b")]);
}

#[test]
fn the_client_sends_another_folder() {
    let old = expanded(
        &secret(&json!({"payload.zip": archive(&["p/a", "p/b", "p/run"]), "own": MINE})),
        None,
    );
    let new = with(&old, ARCHIVE, &archive(&["p/b", "p/c", "q/a"]));
    let stored = expanded(&new, Some(&old));
    is_tree(
        &stored,
        &[
            ("p/b", "p/b"),
            ("p/c", "p/c"),
            ("q/a", "q/a"),
            ("own", "mine"),
        ],
    );
    assert_eq!(stored["data"]["b"], BASE64.encode(b"p/b"));
    // The key of a file that is gone is that of no other now.
    assert_eq!(stored["data"].get("a"), None);
    assert_eq!(
        stored["metadata"]["annotations"].get("keyporter.dev/executable"),
        None
    );
}

#[test]
fn what_has_not_changed_stays_as_it_is() {
    let old = expanded(
        &secret(&json!({"payload.zip": archive(&["p/a", "p/b"])})),
        None,
    );
    let mut new = with(&old, "own", MINE);
    new["data"].as_object_mut().unwrap().remove("a");
    assert!(matches!(decide(&new, Some(&old)), Outcome::Settled));
    is_tree(&new, &[("p/b", "p/b"), ("own", "mine")]);
}

#[test]
fn the_users_own_keys_are_never_touched() {
    let before = expanded(
        &secret(&json!({"payload.zip": archive(&["p/a"]), "a": MINE})),
        None,
    );
    is_tree(&before, &[("p/a", "p/a"), ("a", "mine")]);

    let old = expanded(&secret(&json!({"payload.zip": archive(&["p/a"])})), None);
    let after = expanded(&with(&old, "a", MINE), Some(&old));
    is_tree(&after, &[("p/a", "p/a"), ("a", "mine")]);

    // With another archive in the same request.
    let new = with(&with(&old, "a", MINE), ARCHIVE, &archive(&["p/a", "p/b"]));
    let after = expanded(&new, Some(&old));
    is_tree(&after, &[("p/a", "p/a"), ("p/b", "p/b"), ("a", "mine")]);

    // And an archive that goes.
    let mut new = with(&old, "a", MINE);
    new["data"].as_object_mut().unwrap().remove(ARCHIVE);
    is_tree(&expanded(&new, Some(&old)), &[("a", "mine")]);
}

#[test]
fn the_users_own_annotations_stay() {
    let mut new = secret(&json!({"payload.zip": archive(&["p/a"]), "mine": MINE, "other": MINE}));
    new["metadata"]["annotations"] = json!({
        "keyporter.dev/layout": r#"{"mine":"deep/mine","gone":"x"}"#,
        "keyporter.dev/executable": r#"["other"]"#,
        "note": "x",
    });
    let old = expanded(&new, None);
    is_tree(
        &old,
        &[("p/a", "p/a"), ("deep/mine", "mine"), ("other*", "mine")],
    );
    let after = expanded(&with(&old, ARCHIVE, &archive(&["p/b"])), Some(&old));
    is_tree(
        &after,
        &[("p/b", "p/b"), ("deep/mine", "mine"), ("other*", "mine")],
    );
    assert_eq!(after["metadata"]["annotations"]["note"], "x");
}

/// `kubectl replace` with what the client sends.
#[test]
fn what_loses_its_annotations_gets_them_again() {
    let payload = archive(&["p/a", "q/a"]);
    let old = expanded(&secret(&json!({"payload.zip": payload})), None);
    let new = secret(&json!({"payload.zip": payload}));
    assert_eq!(expanded(&new, Some(&old)), old);
    // With the files, one of which is the user's now.
    let mut new = with(&old, "a", MINE);
    new["metadata"] = json!({"name": "s"});
    is_tree(
        &expanded(&new, Some(&old)),
        &[("p/a", "p/a"), ("q/a", "q/a"), ("a", "mine")],
    );
}

#[test]
fn an_archive_that_goes_takes_its_files_along() {
    let old = expanded(
        &secret(&json!({"payload.zip": archive(&["p/a", "p/run"]), "own": MINE})),
        None,
    );
    let mut new = old.clone();
    new["data"].as_object_mut().unwrap().remove(ARCHIVE);
    let stored = expanded(&new, Some(&old));
    assert_eq!(stored["data"], json!({"own": MINE}));
    assert_eq!(stored["metadata"]["annotations"], json!({}));
    assert!(matches!(decide(&stored, Some(&stored)), Outcome::NoArchive));
}

fn noise(length: usize) -> Vec<u8> {
    let mut state: u32 = 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn what_does_not_fit_stays_packed() {
    let small = expanded(
        &secret(&json!({"payload.zip": archive(&["p/a"]), "own": MINE})),
        None,
    );
    let large = packed(&[("p/b", &noise(600_000))]);
    let larger = packed(&[("p/b", &noise(400_000)), ("p/c", &vec![0; 800_000])]);
    for (payload, expected) in [
        (
            &large,
            "bytes are more than the 1048576 that a Secret can hold: payload.zip ",
        ),
        (
            &larger,
            "its files have 1200000 bytes, more than the 1048576",
        ),
    ] {
        let alone = secret(&json!({"payload.zip": payload, "own": MINE}));
        let (left, why) = stored(&alone, None);
        assert_eq!(left, alone);
        let why = why.unwrap().to_string();
        assert!(
            why.starts_with("payload.zip stays packed: ") && why.contains(expected),
            "{why}"
        );

        // Nothing is left of a former archive.
        let (left, _) = stored(&with(&small, ARCHIVE, payload), Some(&small));
        assert_eq!(left["data"], alone["data"]);
        assert_eq!(left["metadata"]["annotations"], json!({}));
    }
}

/// As large as can be, twice: the files of before do not count.
#[test]
fn nearly_too_large() {
    let files = |data: &[u8]| packed(&[("p/a", data), ("p/b", b"x")]);
    let room = |payload: &str| usize::try_from(MAX_SECRET_SIZE - decoded_length(payload)).unwrap();
    let mut data = noise(500_000);
    data.extend(vec![b'z'; 40_000]);
    let fill = room(&files(&data)) - data.len() - 1;
    let own = BASE64.encode(&vec![b'o'; fill]);
    let old = expanded(
        &secret(&json!({"payload.zip": files(&data), "own": own})),
        None,
    );
    data[0] ^= 1;
    let new = with(&old, ARCHIVE, &files(&data));
    let spare =
        i64::try_from(room(&files(&data))).unwrap() - i64::try_from(data.len() + 1 + fill).unwrap();
    assert_eq!(spare, 0);
    expanded(&new, Some(&old));
    let (_, why) = stored(&with(&new, "more", MINE), Some(&old));
    assert!(matches!(why, Some(Packed::TooLarge(_))), "{why:?}");
}

#[rstest]
#[case::a_key_called_like_the_folder(json!({"p": MINE}), "beside the other keys, the path \"p/a\" lies below \"p\", which is a file")]
#[case::an_archive_without_a_folder(json!({"payload.zip": archive(&["payload.zip"])}), "two files lie at the path \"payload.zip\"")]
fn what_cannot_lie_together_stays_packed(#[case] more: Json, #[case] expected: &str) {
    let mut new = secret(&json!({"payload.zip": archive(&["p/a"])}));
    for (key, value) in more.as_object().unwrap() {
        new["data"][key] = value.clone();
    }
    let (stored, why) = stored(&new, None);
    assert_eq!(stored, new);
    assert!(why.unwrap().to_string().contains(expected));
}

#[rstest]
#[case("keyporter.dev/layout", "{")]
#[case("keyporter.dev/executable", "{}")]
fn annotations_that_nobody_can_read_stay(#[case] name: &str, #[case] text: &str) {
    let mut new = secret(&json!({"payload.zip": archive(&["p/a"])}));
    new["metadata"]["annotations"] = json!({name: text});
    let (left, why) = stored(&new, None);
    assert_eq!(left, new);
    assert!(matches!(why, Some(Packed::Layout(_))), "{why:?}");

    // Nor are the files of before with a new archive.
    let old = expanded(&secret(&json!({"payload.zip": archive(&["p/run"])})), None);
    let mut new = with(&old, ARCHIVE, &archive(&["p/a"]));
    new["metadata"]["annotations"][name] = text.into();
    let (left, _) = stored(&new, Some(&old));
    assert_eq!(left["data"].as_object().unwrap().len(), 1);
    let annotations = left["metadata"]["annotations"].as_object().unwrap();
    assert_eq!(annotations[name], text);
    assert!(
        !annotations.contains_key(names::EXPANDED),
        "{annotations:?}"
    );
}

/// As the client makes it of a folder with nothing but `.DS_Store`.
#[test]
fn an_archive_without_files() {
    let new = secret(&json!({"payload.zip": packed(&[]), "own": MINE}));
    let (left, why) = stored(&new, None);
    assert_eq!((left, why), (new, Some(Packed::Empty)));
}

#[test]
fn names_longer_than_annotations() {
    let folder = "x".repeat(250);
    let paths: Vec<_> = (0..400)
        .map(|number| format!("{folder}/{folder}/{number}"))
        .collect();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    let mut new = secret(&json!({"payload.zip": archive(&paths[..300])}));
    expanded(&new, None);
    new["metadata"]["annotations"] = json!({"note": "x".repeat(120_000)});
    assert_eq!(stored(&new, None).1, Some(Packed::Names));
}

#[rstest]
#[case::no_archive(json!({"payload.zip": BASE64.encode(b"hunter2-canary")}), "it is no zip archive")]
#[case::no_base64(json!({"payload.zip": "hunter2-canary"}), "it is not base64")]
#[case::empty_value(json!({"payload.zip": ""}), "it is no zip archive")]
#[case::null(json!({"payload.zip": null}), "it is no zip archive")]
#[case::upwards(json!({"payload.zip": packed(&[("../a", b"hunter2-canary")])}), "its entry \"../a\" has a path with a part that starts with \"..\"")]
#[case::below_a_file(json!({"payload.zip": archive(&["a/b", "a"])}), "the path \"a/b\" lies below \"a\", which is a file")]
fn refused(#[case] data: Json, #[case] expected: &str) {
    let new = secret(&data);
    let Outcome::Refused(refused) = decide(&new, None) else {
        panic!("taken")
    };
    assert_eq!(refused.to_string(), expected);
    // One that is there already is in nobody's way.
    let (stored, why) = stored(&new, Some(&new));
    assert_eq!(stored, new);
    assert_eq!(why, Some(Packed::Refused(refused)));
    // But nobody puts it in the place of another.
    let old = expanded(&secret(&json!({"payload.zip": archive(&["p/a"])})), None);
    let mut changed = old.clone();
    changed["data"]["payload.zip"] = new["data"]["payload.zip"].clone();
    assert!(matches!(decide(&changed, Some(&old)), Outcome::Refused(_)));
}

#[test]
fn without_an_archive_there_is_nothing_to_do() {
    for data in [json!({"a": MINE}), json!({}), Json::Null] {
        assert!(matches!(decide(&secret(&data), None), Outcome::NoArchive));
    }
    assert!(matches!(decide(&json!({}), None), Outcome::NoArchive));
}

#[test]
fn values_are_not_shown() {
    let new = secret(&json!({"payload.zip": packed(&[("p/a", b"hunter2-canary")]), "own": MINE}));
    let text = new.to_string();
    let contents: Contents<'_> = serde_json::from_str(&text).unwrap();
    let outcome = expand(&contents, None);
    let shown = format!("{contents:?} {outcome:?}");
    let payload = new["data"]["payload.zip"].as_str().unwrap();
    for value in [payload, MINE, "hunter2", &BASE64.encode(b"hunter2-canary")] {
        assert!(!shown.contains(value), "{shown}");
    }
}

/// What somebody does to the Secret.
#[derive(Debug, Clone)]
enum Act {
    /// The client sends a folder.
    Send(BTreeSet<String>),
    /// The user writes a key.
    Write(String, u8),
    /// The user takes the archive away.
    Drop,
    /// Somebody writes the object anew, without annotations.
    Replace,
}

fn act() -> impl Strategy<Value = Act> {
    let path =
        ("[de]", "[abé]", "(run)?").prop_map(|(folder, name, run)| format!("{folder}/{name}{run}"));
    prop_oneof![
        3 => prop::collection::btree_set(path, 1..6).prop_map(Act::Send),
        3 => ("[abx]|arun", any::<u8>()).prop_map(|(key, value)| Act::Write(key, value)),
        1 => Just(Act::Drop),
        1 => Just(Act::Replace),
    ]
}

proptest! {
    #[test]
    fn files_and_own_keys_are_all_there_is(acts in prop::collection::vec(act(), 1..8)) {
        let mut secret = secret(&json!({}));
        let (mut files, mut own) = (BTreeSet::new(), BTreeMap::new());
        let mut made = false;
        for act in acts {
            let old = secret.clone();
            match act {
                Act::Send(paths) => {
                    let list: Vec<_> = paths.iter().map(String::as_str).collect();
                    secret["data"][ARCHIVE] = archive(&list).into();
                    files = paths;
                }
                Act::Write(key, value) => {
                    secret["data"][&key] = BASE64.encode(format!("mine {value}").as_bytes()).into();
                    own.insert(key, format!("mine {value}"));
                }
                Act::Drop => {
                    secret["data"].as_object_mut().unwrap().remove(ARCHIVE);
                    files.clear();
                }
                Act::Replace => drop(secret["metadata"].as_object_mut().unwrap().remove("annotations")),
            }
            secret = expanded(&secret, made.then_some(&old));
            made = true;
            let mark = |path: &String| if path.ends_with("run") { format!("{path}*") } else { path.clone() };
            let mut expected: BTreeMap<_, _> = files.iter().map(|path| (mark(path), path.clone())).collect();
            expected.extend(own.clone());
            prop_assert_eq!(tree(&secret), expected);
        }
    }
}
