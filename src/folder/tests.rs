use std::collections::HashSet;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::inject::name::is_data_key;

fn file(path: &str) -> File<()> {
    File {
        path: path.to_owned(),
        executable: false,
        content: (),
    }
}

fn files(paths: &[&str]) -> Vec<File<()>> {
    paths.iter().map(|path| file(path)).collect()
}

fn keys<C>(folder: &Folder<C>) -> Vec<(&str, &str)> {
    let entries = folder.entries().iter();
    entries
        .map(|entry| (entry.key.as_str(), entry.file.path.as_str()))
        .collect()
}

fn folder(paths: &[&str]) -> Folder<()> {
    Folder::new(files(paths), &Present::default()).unwrap()
}

#[test]
fn a_file_has_its_own_name_where_that_is_a_key_and_free() {
    let folder = folder(&[
        "kube/config",
        "aws/credentials",
        "aws/config",
        "aws/übung 1.txt",
        "aws/payload.zip",
    ]);
    assert_eq!(
        keys(&folder),
        [
            ("config", "aws/config"),
            ("credentials", "aws/credentials"),
            // printf aws/payload.zip | sha256sum
            ("aws_payload.zip-164fb843b5", "aws/payload.zip"),
            ("aws__bung_1.txt-1a27520321", "aws/übung 1.txt"),
            ("kube_config-7da8438ff3", "kube/config"),
        ]
    );
}

#[test]
fn the_annotations_say_what_the_keys_do_not() {
    let mut files = files(&["readme", "bin/run", "bin/deep/run", "bin/data"]);
    files[1].executable = true;
    files[2].executable = true;
    let folder = Folder::new(files, &Present::default()).unwrap();
    let layout = serde_json::to_string(&folder.layout()).unwrap();
    let derived = keys(&folder)[2].0;
    assert_eq!(keys(&folder)[1], ("run", "bin/deep/run"));
    assert_eq!(
        layout,
        format!(r#"{{"{derived}":"bin/run","data":"bin/data","run":"bin/deep/run"}}"#)
    );
    assert_eq!(folder.executables(), [derived, "run"].into());
}

#[test]
fn what_the_secret_has_already_is_not_overwritten() {
    let present = Present {
        taken: ["config"].into(),
        ..Present::default()
    };
    let folder = Folder::new(files(&["aws/config"]), &present).unwrap();
    assert!(keys(&folder)[0].0.starts_with("aws_config-"));
}

/// A pod that runs has the file of before at the path of before.
#[test]
fn no_key_changes_its_meaning() {
    let present = Present {
        taken: ["own"].into(),
        before: [
            ("config", "kube/config"),
            ("gone", "x/gone"),
            ("own", "y/own"),
            ("payload.zip", "z/file"),
            ("../x", "z/bad"),
        ]
        .into(),
    };
    let paths = [
        "aws/config",
        "kube/config",
        "y/gone",
        "y/own",
        "z/file",
        "z/bad",
    ];
    let folder = Folder::new(files(&paths), &present).unwrap();
    let keys: BTreeMap<_, _> = keys(&folder)
        .into_iter()
        .map(|(key, path)| (path, key))
        .collect();
    assert_eq!(keys["kube/config"], "config");
    assert!(keys["aws/config"].starts_with("aws_config-"));
    assert!(keys["y/gone"].starts_with("y_gone-"));
    assert!(keys["y/own"].starts_with("y_own-"));
    assert_eq!((keys["z/file"], keys["z/bad"]), ("file", "bad"));
}

#[rstest]
#[case::none(&[], FolderError::Empty)]
#[case::twice(&["a/b", "a/b"], LayoutError::PathTwice("a/b".into()).into())]
#[case::below_a_file(&["a/b/c", "a/b", "a/b-c"], LayoutError::BelowFile { outer: "a/b".into(), inner: "a/b/c".into() }.into())]
#[case::absolute(&["/a"], LayoutError::Absolute("/a".into()).into())]
#[case::upwards(&["a/../b"], LayoutError::Parent("a/../b".into()).into())]
#[case::of_the_kubelet(&["a/..data"], LayoutError::Parent("a/..data".into()).into())]
#[case::empty_part(&["a//b"], LayoutError::EmptyPart("a//b".into()).into())]
#[case::empty(&[""], LayoutError::EmptyPart(String::new()).into())]
#[case::nul(&["a\0"], LayoutError::Unusable("a\0".into()).into())]
#[case::long_part(&[&*"x".repeat(256)], LayoutError::Unusable("x".repeat(256)).into())]
#[case::long_path(&[&*"x/".repeat(2049)], LayoutError::Unusable("x/".repeat(2049)).into())]
fn bad_paths(#[case] paths: &[&str], #[case] expected: FolderError) {
    let error = Folder::new(files(paths), &Present::default()).unwrap_err();
    assert_eq!(error, expected);
}

#[rstest]
#[case("a", true)]
#[case(".bashrc", true)]
#[case("A-z_0.9", true)]
#[case(".", false)]
#[case("..", false)]
#[case("..data", false)]
#[case("", false)]
#[case("a b", false)]
#[case("ä", false)]
#[case(&"x".repeat(253), true)]
#[case(&"x".repeat(254), false)]
fn data_keys(#[case] key: &str, #[case] valid: bool) {
    assert_eq!(is_data_key(key), valid);
}

#[test]
fn a_size_names_its_keys() {
    assert_eq!(
        check_size([("a", MAX_SECRET_SIZE), ("b", 0)]),
        Ok(MAX_SECRET_SIZE)
    );
    let error = check_size([("a", 1), ("b", MAX_SECRET_SIZE), ("c", 7)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "1048584 bytes are more than the 1048576 that a Secret can hold: b 1048576, c 7, a 1"
    );
    let many: Vec<String> = (0..12).map(|number| format!("k{number:02}")).collect();
    let error = check_size(many.iter().map(|key| (key.as_str(), u64::MAX))).unwrap_err();
    assert!(error.to_string().ends_with(", and 2 more"), "{error}");
}

#[test]
fn contents_are_not_shown() {
    let secret = File {
        path: "a".to_owned(),
        executable: false,
        content: "hunter2",
    };
    let folder = Folder::new(vec![secret], &Present::default()).unwrap();
    assert!(!format!("{folder:?}").contains("hunter2"));
}

/// Names that come close to each other, and to the keys that are made from them.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab]{1,2}",
        "[a_.é]{1,3}",
        Just("payload.zip".to_owned()),
        "[ab]{240,255}",
        // printf a/b | sha256sum
        Just("a_b-c14cddc033".to_owned()),
    ]
}

fn tree() -> impl Strategy<Value = Vec<File<()>>> {
    let path = prop::collection::vec(part(), 1..4).prop_map(|parts| parts.join("/"));
    prop::collection::vec((path, any::<bool>()), 1..20).prop_map(|files| {
        let file = |(path, executable)| File {
            path,
            executable,
            content: (),
        };
        files.into_iter().map(file).collect()
    })
}

proptest! {
    #[test]
    fn every_tree_gets_keys_or_the_reason(files in tree()) {
        let count = files.len();
        let Ok(folder) = Folder::new(files.clone(), &Present::default()) else { return Ok(()) };
        let keys: HashSet<_> = folder.entries().iter().map(|entry| entry.key.as_str()).collect();
        prop_assert_eq!(keys.len(), count);
        for key in &keys {
            prop_assert!(is_data_key(key) && *key != ARCHIVE, "{}", key);
        }

        let mut backwards = files;
        backwards.reverse();
        let again = Folder::new(backwards, &Present::default()).unwrap();
        prop_assert!(again == folder);

        let names = folder.entries().iter().map(|entry| crate::inject::secret::Key { name: entry.key.as_str().into(), length: 1 });
        let names: Vec<_> = names.collect();
        let json = serde_json::to_string(&folder.layout()).unwrap();
        let layout = layout::Layout::read(Some(&json), None, &names).unwrap();
        let read: BTreeMap<_, _> = layout.items().iter().map(|item| (&*item.key, &*item.path)).collect();
        let given: BTreeMap<_, _> = folder.entries().iter().map(|entry| (&*entry.key, &*entry.file.path)).collect();
        prop_assert_eq!(read, given);
    }

    #[test]
    fn files_keep_their_keys_when_others_come_and_go(files in tree(), kept in prop::collection::vec(any::<bool>(), 20)) {
        let some: Vec<_> = files.iter().zip(kept).filter(|(_, kept)| *kept).map(|(file, _)| file.clone()).collect();
        let (Ok(all), Ok(some)) = (Folder::new(files, &Present::default()), Folder::new(some, &Present::default())) else {
            return Ok(());
        };
        for (before, after) in [(&all, &some), (&some, &all)] {
            let files = after.entries().iter().map(|entry| entry.file.clone()).collect();
            let pairs: BTreeMap<_, _> = keys(before).into_iter().collect();
            let after = Folder::new(files, &Present { taken: BTreeSet::new(), before: pairs.clone() }).unwrap();
            let paths: BTreeMap<_, _> = pairs.iter().map(|(key, path)| (*path, *key)).collect();
            for (key, path) in keys(&after) {
                prop_assert_eq!(pairs.get(key).copied().unwrap_or(path), path);
                prop_assert_eq!(paths.get(path).copied().unwrap_or(key), key);
            }
        }
    }
}
