//! What holds for references in any text: it means in the container what its author wrote.
//!
//! The test expands texts as the kubelet does, before and after. Before, a sign without a meaning to Kubernetes stands for
//! each reference, and its value is put there when all is expanded.

use std::collections::HashMap;

use keyporter::inject::Skip;
use keyporter::inject::settings::Settings;
use keyporter::inject::store::STORE;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::builders::*;
use crate::generate::*;
use crate::references::with_stores;

/// References that mean something or may mean nothing, and what surrounds them.
const FRAGMENTS: &[&str] = &[
    "${secrets.both}",
    "${secrets.finance}",
    "${secrets.general}",
    "${secrets.tls.key}",
    "${secrets.none?}",
    "$${secrets.both}",
    "${secret.x}",
    "${secrets.}",
    "$(A)",
    "$(KEYPORTER_REF_1)",
    "$(",
    "(",
    ")",
    "$",
    "$$",
    "{",
    "}",
    "secret:",
    "rets.both",
    "x",
    "é",
    " ",
];
const WHOLE: &[&str] = &[
    "secret:ref-user",
    "secret:ref-user?/K",
    "secret:ref-user?/none",
    "secret:ref-project/K1",
    "secret:none?",
    "${secrets.general}",
    "${secrets.none?}",
];
const FILES: &[&str] = &[
    "secret:ref-user:/data",
    "secret:ref-project/K1:/konduktor/default-secrets/x",
    "secret:ref-project/K2:/konduktor/default-secrets/a",
    "secret:ref-project?/K2:/konduktor/default-secrets/b/file",
    "secret:ref-user?/none:/none",
    "secret:ref-user:/run/konduktor/git-ssh-secret/gitkey",
    "secret:ref-user/K:/run/konduktor/git-ssh-work",
];

fn text() -> impl Strategy<Value = String> {
    vec(select(FRAGMENTS), 0..8).prop_map(|fragments| fragments.concat())
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![3 => text().prop_filter("a whole reference", |text| !text.starts_with("secret:")), 1 => select(WHOLE).prop_map(str::to_owned)]
}

fn env() -> impl Strategy<Value = Value> {
    vec((select(vec!["A", "B", "C", "D"]), value()), 0..5).prop_map(|variables| {
        let variable = |(name, value)| json!({"name": name, "value": value});
        variables.into_iter().map(variable).collect()
    })
}

fn texts() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        4 => vec(text(), 0..4).prop_map(Value::from),
    ]
}

fn a_container() -> impl Strategy<Value = Value> {
    (env(), texts(), texts())
        .prop_map(|(env, command, args)| json!({"env": env, "command": command, "args": args}))
}

/// Any shelves, and what the references mean.
fn shelves_with_references() -> impl Strategy<Value = Shelves> {
    some_shelves().prop_map(|mut shelves| {
        let user = user("env", "ref-user", &["K"]).on_reference();
        let project = project("default", "ref-project", &["K1", "K2"]).on_reference();
        shelves.user.secrets.push(secret(user).into());
        shelves.project.secrets.push(secret(project).into());
        with_stores(shelves)
    })
}

/// Any pod, with references in its containers and files.
fn a_pod_with_references() -> impl Strategy<Value = Value> {
    let files = proptest::sample::subsequence(FILES, 0..=FILES.len()).prop_shuffle();
    (a_pod(), vec(a_container(), 1..4), files).prop_map(|(mut pod, containers, files)| {
        for list in ["initContainers", "containers"] {
            let there = pod["spec"][list].as_array_mut().into_iter().flatten();
            for (container, with) in there.zip(containers.iter().cycle()) {
                container["command"] = with["command"].clone();
                container["args"] = with["args"].clone();
                let own = container["env"].as_array().cloned().unwrap_or_default();
                let more = with["env"].as_array().unwrap().iter().cloned();
                container["env"] = own.into_iter().chain(more).collect();
            }
        }
        if !pod["metadata"]["annotations"].is_object() {
            pod["metadata"] = json!({"annotations": {}});
        }
        pod["metadata"]["annotations"]["keyporter.dev/files"] = files.join("\n").into();
        pod
    })
}

/// The value of a key: nothing of it is to be expanded again.
fn value_of(object: &str, key: &str) -> String {
    format!("[{object}/{key} $$ $(A) ${{secrets.both}}]")
}

/// What a key is worth; `None` for one that is not there.
fn there(object: &str, key: &str) -> Option<String> {
    let keys: &[&str] = match object {
        STORE => &["both", "general", "tls.key"],
        "iomete-secret-store-finance" => &["both", "finance"],
        "ref-user" => &["K"],
        "ref-project" => &["K1", "K2"],
        _ => &[],
    };
    keys.contains(&key).then(|| value_of(object, key))
}

/// As the kubelet expands a text.
/// <https://github.com/kubernetes/kubernetes/blob/master/third_party/forked/golang/expansion/expand.go>
fn expanded(text: &str, variables: &HashMap<String, Vec<u8>>) -> Vec<u8> {
    let text = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at] != b'$' || at + 1 == text.len() {
            out.push(text[at]);
            at += 1;
            continue;
        }
        let rest = &text[at + 1..];
        let (read, advance) = match rest[0] {
            b'$' => (b"$".to_vec(), 1),
            b'(' => match rest.iter().position(|byte| *byte == b')') {
                Some(end) => {
                    let name = String::from_utf8_lossy(&rest[1..end]).into_owned();
                    let itself = || [b"$", &rest[..=end]].concat();
                    (
                        variables.get(&name).cloned().unwrap_or_else(itself),
                        end + 1,
                    )
                }
                None => (b"$(".to_vec(), 1),
            },
            // It takes a byte for a character.
            other => (format!("${}", char::from(other)).into_bytes(), 1),
        };
        out.extend(read);
        at += 1 + advance;
    }
    out
}

/// What the kubelet starts a container with: its variables by name, its command and its arguments.
type Started = (HashMap<String, Vec<u8>>, Vec<Vec<u8>>, Vec<Vec<u8>>);

fn started(
    container: &Value,
    of_variable: impl Fn(&Value, &HashMap<String, Vec<u8>>) -> Option<Vec<u8>>,
    of_text: impl Fn(&str, &HashMap<String, Vec<u8>>) -> Vec<u8>,
) -> Started {
    let mut variables = HashMap::new();
    for variable in container["env"].as_array().into_iter().flatten() {
        if let Some(value) = of_variable(variable, &variables) {
            variables.insert(variable["name"].as_str().unwrap().to_owned(), value);
        }
    }
    let texts = |list: &Value| {
        let texts = list.as_array().into_iter().flatten();
        texts
            .map(|text| of_text(text.as_str().unwrap(), &variables))
            .collect()
    };
    let (command, args) = (texts(&container["command"]), texts(&container["args"]));
    (variables, command, args)
}

/// What its author means.
fn meant(container: &Value) -> Started {
    let of_text = |text: &str, variables: &HashMap<_, _>| {
        let (signs, values) = with_signs(text);
        let mut bytes = expanded(&signs, variables);
        for (sign, value) in values {
            bytes = replaced(&bytes, sign.to_string().as_bytes(), value.as_bytes());
        }
        bytes
    };
    let of_variable = |variable: &Value, variables: &HashMap<_, _>| {
        let object_and_key = match variable["value"].as_str() {
            Some("secret:ref-user" | "secret:ref-user?/K") => ("ref-user", "K"),
            Some("secret:ref-project/K1") => ("ref-project", "K1"),
            Some("secret:ref-user?/none" | "secret:none?" | "${secrets.none?}") => ("", ""),
            _ => return of_source_or_text(variable, |text| of_text(text, variables)),
        };
        there(object_and_key.0, object_and_key.1).map(String::into_bytes)
    };
    started(container, of_variable, of_text)
}

/// What comes of it.
fn got(container: &Value) -> Started {
    let of_variable = |variable: &Value, variables: &HashMap<_, _>| {
        of_source_or_text(variable, |text| expanded(text, variables))
    };
    started(container, of_variable, expanded)
}

fn of_source_or_text(variable: &Value, of_text: impl Fn(&str) -> Vec<u8>) -> Option<Vec<u8>> {
    let text = variable["value"].as_str().unwrap_or_default();
    let source = &variable["valueFrom"]["secretKeyRef"];
    if !text.is_empty() || !source.is_object() {
        return Some(of_text(text));
    }
    let found = there(source["name"].as_str()?, source["key"].as_str()?);
    found.map(String::into_bytes)
}

/// The text with a sign for each reference, and what the signs stand for. An odd number of dollars before the brace makes a
/// reference: two are one that is escaped.
fn with_signs(text: &str) -> (String, Vec<(char, String)>) {
    const REFERENCES: &[(&str, &str)] = &[
        ("{secrets.both}", "iomete-secret-store-finance/both"),
        ("{secrets.finance}", "iomete-secret-store-finance/finance"),
        ("{secrets.general}", "iomete-secret-store/general"),
        ("{secrets.tls.key}", "iomete-secret-store/tls.key"),
        ("{secrets.none?}", ""),
    ];
    let (mut signs, mut values) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let dollars = signs.len() - signs.trim_end_matches('$').len();
        let reference = REFERENCES.iter().find(|(form, _)| rest.starts_with(form));
        if let Some((form, target)) = reference.filter(|_| dollars % 2 == 1) {
            let sign = char::from_u32(0xE000 + u32::try_from(values.len()).unwrap()).unwrap();
            let value = target.split_once('/');
            let value = value.map(|(object, key)| value_of(object, key));
            signs.pop();
            signs.push(sign);
            values.push((sign, value.unwrap_or_default()));
            rest = rest.strip_prefix(form).unwrap();
        } else {
            signs.push(first);
            rest = rest.strip_prefix(first).unwrap();
        }
    }
    (signs, values)
}

fn replaced(bytes: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(what) {
            out.extend(with);
            at += what.len();
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

fn without_hidden(mut started: Started, own: &Started) -> Started {
    started
        .0
        .retain(|name, _| own.0.contains_key(name) || !name.starts_with("KEYPORTER_REF_"));
    started
}

#[test]
fn texts_expand_as_in_kubernetes() {
    let variables = HashMap::from([("A".to_owned(), b"a".to_vec())]);
    let cases = [
        ("$(A)$(B)", "a$(B)"),
        ("$$(A)$$$(A)", "$(A)$a"),
        ("$(A", "$(A"),
        ("$x$", "$x$"),
        ("$($(A)", "$($(A)"),
    ];
    for (text, expected) in cases {
        assert_eq!(expanded(text, &variables), expected.as_bytes(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn containers_start_with_what_their_author_means(
        container in a_container(),
    ) {
        let mut main = container;
        main["name"] = json!("main");
        let shelves = with_stores(shelves([
            user("env", "ref-user", &["K"]).on_reference(),
            project("default", "ref-project", &["K1", "K2"]).on_reference(),
        ]));
        let pod = pod_of([main.clone()]);
        let meant = meant(&main);
        let outcome = inject(&pod, &shelves);
        let after = outcome.result.as_ref().unwrap_or(&pod);
        let got = without_hidden(got(&after["spec"]["containers"][0]), &meant);
        prop_assert_eq!(&got, &meant, "{:#}\n{:#}", pod, after);
    }

    #[test]
    fn the_patch_only_adds_and_a_second_pass_nothing(
        pod in a_pod_with_references(),
        shelves in shelves_with_references(),
    ) {
        let first = inject(&pod, &shelves);
        for operation in first.patch.as_array().unwrap() {
            prop_assert_eq!(&operation["op"], "add");
        }
        if let Ok(after) = &first.result {
            let second = inject(after, &shelves);
            prop_assert!(second.result.is_err(), "{:#}\n{:#}", after, second.patch);
            prop_assert_eq!(&second.in_effect, &first.in_effect);
            prop_assert_eq!(&second.warnings, &first.warnings);
            if !first.in_effect.is_empty() {
                prop_assert_eq!(second.skip(), Skip::AlreadyInjected);
            }
        }
    }

    #[test]
    fn mounts_do_not_meet(pod in a_pod_with_references(), shelves in shelves_with_references()) {
        let outcome = inject(&pod, &shelves);
        let after = outcome.result.as_ref().unwrap_or(&pod);
        for list in ["initContainers", "containers"] {
            let before = pod["spec"][list].as_array().into_iter().flatten();
            for (before, after) in before.zip(after["spec"][list].as_array().into_iter().flatten()) {
                let own = before["volumeMounts"].as_array().map_or(0, Vec::len);
                let mounts = after["volumeMounts"].as_array().cloned().unwrap_or_default();
                for new in mounts.iter().skip(own) {
                    let path = new["mountPath"].as_str().unwrap();
                    let inside = format!("{path}/");
                    let meets = |other: &&Value| {
                        let other = other["mountPath"].as_str().unwrap();
                        other == path || new["readOnly"] == true && other.starts_with(&inside)
                    };
                    prop_assert_eq!(mounts.iter().filter(meets).count(), 1, "{} in {:#}", path, after);
                }
            }
        }
    }

    #[test]
    fn text_without_a_reference_stays(text in prop_oneof![any::<String>(), text()]) {
        let is_text = !text.starts_with("secret:") && with_signs(&text).1.is_empty();
        prop_assume!(is_text);
        let env = json!([{"name": "X", "value": text}]);
        let pod = pod(json!({"env": env, "command": [text], "args": [text]}));
        let shelves = with_stores(Shelves::default());
        let outcome = inject_with("alice", NAMESPACE, &pod, &shelves, &Settings::default());
        let refused = outcome.as_ref().err().map(ToString::to_string);
        prop_assert!(outcome.is_ok_and(|outcome| outcome.result.is_err()), "{:?}", refused);
    }

    #[test]
    fn any_text_is_decided_on(text in prop_oneof![any::<String>(), text(), "secret:[-a-z?/:.,\n]{0,20}"]) {
        let env = json!([{"name": "X", "value": text}]);
        let pod = pod(json!({"env": env, "command": [text], "args": [text]}));
        let pod = annotated(pod, "keyporter.dev/files", &text);
        let shelves = with_stores(Shelves::default());
        let _ = inject_with("alice", NAMESPACE, &pod, &shelves, &Settings::default());
    }
}
