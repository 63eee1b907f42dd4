//! What holds for every pod and every set of secrets.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::core::v1::Pod;
use keyporter::inject::settings::Settings;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use crate::builders::*;
use crate::generate::*;

const OURS: &[&str] = &["keyporter.dev/injected", "keyporter.dev/owner"];
const LISTS_OF_CONTAINERS: &[&str] = &["containers", "initContainers"];

/// The requester, and the pod as that requester would send it.
fn a_request() -> impl Strategy<Value = (&'static str, Value)> {
    (select(vec!["alice", JOB_CONTROLLER]), a_pod())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn the_patch_only_adds_and_the_rest_stays((requester, pod) in a_request(), shelves in some_shelves()) {
        let outcome = inject_as(requester, &pod, &shelves);
        for operation in list(&outcome.patch) {
            prop_assert_eq!(&operation["op"], "add");
            prop_assert!(may_be_patched(operation["path"].as_str().unwrap()), "{}", operation);
        }
        if let Ok(after) = &outcome.result {
            prop_assert_eq!(includes(&pod, after, ""), Ok(()), "{:#}", after);
        }
    }

    #[test]
    fn the_result_is_a_pod_with_valid_names((requester, pod) in a_request(), shelves in some_shelves()) {
        if let Ok(after) = inject_as(requester, &pod, &shelves).result {
            let read = serde_json::from_value::<Pod>(after.clone());
            prop_assert!(read.is_ok(), "{:?}\n{:#}", read, after);
            valid_volumes(&pod, &after)?;
            let volumes = volume_names(&after["spec"]["volumes"]);
            for name in LISTS_OF_CONTAINERS {
                for (before, after) in list(&pod["spec"][name]).iter().zip(list(&after["spec"][name])) {
                    valid_mounts(before, after, &volumes)?;
                    valid_variables(before, after)?;
                }
            }
        }
    }

    #[test]
    fn the_second_pass_adds_nothing((requester, pod) in a_request(), shelves in some_shelves()) {
        let first = inject_as(requester, &pod, &shelves);
        if let Ok(after) = &first.result {
            let second = inject_as(requester, after, &shelves);
            prop_assert_eq!(second.result, Err(keyporter::inject::Skip::AlreadyInjected), "{:#}", second.patch);
            prop_assert_eq!(second.in_effect, first.in_effect);
            let known = |warning: &&String| !warning.contains("is not believed");
            let before: Vec<_> = first.warnings.iter().filter(known).collect();
            prop_assert_eq!(second.warnings.iter().collect::<Vec<_>>(), before);
        }
    }

    #[test]
    fn the_same_input_gives_the_same_bytes((requester, pod) in a_request(), shelves in some_shelves()) {
        let (one, other) = (inject_as(requester, &pod, &shelves), inject_as(requester, &pod, &shelves));
        prop_assert_eq!(one.patch.to_string(), other.patch.to_string());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn every_secret_in_reach_is_placed_passed_over_or_kept_out((requester, pod) in a_request(), shelves in some_shelves()) {
        let outcome = inject_as(requester, &pod, &shelves);
        let reach: HashSet<_> = [&shelves.project, &shelves.user]
            .into_iter()
            .flat_map(|shelf| shelf.secrets.iter().map(|secret| secret.object.to_string()))
            .collect();
        let told: HashSet<_> = outcome
            .in_effect
            .iter()
            .chain(outcome.passed_over.iter().map(|(object, _)| object))
            .chain(&outcome.kept_out)
            .cloned()
            .collect();
        prop_assert!(told.is_subset(&reach), "{:?} is not all in reach", told);
        if a_container_takes_part(&pod) {
            prop_assert_eq!(&told, &reach);
        }
        for (object, _) in &outcome.passed_over {
            prop_assert!(!outcome.in_effect.contains(object), "{} is both", object);
        }
        for broken in [&shelves.project, &shelves.user].into_iter().flat_map(|shelf| &shelf.broken) {
            prop_assert!(!refers_to(&outcome.patch, &broken.object), "{:?} is broken", broken);
        }
    }

    #[test]
    fn a_container_inserted_later_gets_what_it_would_have_had(
        requester in select(vec!["alice", JOB_CONTROLLER]),
        (pod, late) in a_pod_and_a_container(),
        shelves in some_shelves(),
        at in 0..4usize,
    ) {
        let first = inject_as(requester, &pod, &shelves);
        let between = with_container(first.result.as_ref().unwrap_or(&pod), &late, at);
        let second = inject_as(requester, &between, &shelves);
        let from_the_start = with_container(&pod, &late, at);
        let at_once = inject_as(requester, &from_the_start, &shelves);
        let in_order = |outcome: &Outcome, otherwise: &Value| {
            let mut pod = outcome.result.clone().unwrap_or_else(|_| otherwise.clone());
            if let Some(volumes) = pod["spec"]["volumes"].as_array_mut() {
                volumes.sort_by_key(|volume| volume["name"].to_string());
            }
            pod
        };
        prop_assert_eq!(in_order(&second, &between), in_order(&at_once, &from_the_start));
    }

    #[test]
    fn a_person_owns_a_pod_or_is_refused(pod in a_pod(), shelves in some_shelves(), stamp in "[a-z]{1,8}") {
        let mut forged = pod;
        if !forged["metadata"]["annotations"].is_object() {
            forged["metadata"] = serde_json::json!({"annotations": {}});
        }
        forged["metadata"]["annotations"]["keyporter.dev/owner"] = stamp.into();
        let requester = "system:serviceaccount:vision:ci";
        let refused = inject_with(requester, NAMESPACE, &forged, &shelves, &Settings::default());
        prop_assert_eq!(refused.err().map(|denial| denial.as_str()), Some("foreign-stamp"));
    }
}

/// Whether any container is no sidecar and is left by the pod's annotation.
fn a_container_takes_part(pod: &Value) -> bool {
    let chosen = pod["metadata"]["annotations"]["keyporter.dev/containers"].as_str();
    let lists = LISTS_OF_CONTAINERS
        .iter()
        .flat_map(|name| list(&pod["spec"][name]));
    let mut names = lists.filter_map(|container| container["name"].as_str());
    names.any(|name| {
        !name.starts_with("istio-")
            && chosen.is_none_or(|chosen| chosen.split(',').any(|one| one == name))
    })
}

/// Whether the text stands anywhere in a value.
fn refers_to(value: &Value, object: &str) -> bool {
    match value {
        Value::String(text) => text == object,
        Value::Array(entries) => entries.iter().any(|entry| refers_to(entry, object)),
        Value::Object(members) => members.values().any(|member| refers_to(member, object)),
        _ => false,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn may_be_patched(path: &str) -> bool {
    let parts: Vec<_> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["metadata", "labels" | "annotations", name] => {
            OURS.contains(&name.replace("~1", "/").as_str())
        }
        ["metadata"]
        | ["metadata", "labels" | "annotations"]
        | ["spec", "volumes" | "imagePullSecrets", ..]
        | [
            "spec",
            "containers" | "initContainers",
            _,
            "env" | "envFrom" | "volumeMounts",
            ..,
        ] => true,
        _ => false,
    }
}

/// That all of `before` is in `after`: members of objects, entries of lists in their order, containers one by one.
fn includes(before: &Value, after: &Value, at: &str) -> Result<(), String> {
    match (before, after) {
        (Value::Null, _) => Ok(()),
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in before {
                let at = format!("{at}/{name}");
                if OURS.contains(&name.as_str()) {
                    continue;
                }
                includes(value, after.get(name).ok_or(at.clone())?, &at)?;
            }
            Ok(())
        }
        (Value::Array(before), Value::Array(after)) => {
            let containers = LISTS_OF_CONTAINERS.iter().any(|name| at.ends_with(name));
            if containers {
                if before.len() != after.len() {
                    return Err(format!("the number of {at}"));
                }
                for (index, (before, after)) in before.iter().zip(after).enumerate() {
                    includes(before, after, &format!("{at}/{index}"))?;
                }
                return Ok(());
            }
            let mut rest = after.iter();
            for (index, entry) in before.iter().enumerate() {
                if !rest.any(|other| other == entry) {
                    return Err(format!("{at}/{index}"));
                }
            }
            Ok(())
        }
        _ if before == after => Ok(()),
        _ => Err(at.to_owned()),
    }
}

fn volume_names(volumes: &Value) -> Vec<String> {
    list(volumes)
        .iter()
        .map(|volume| volume["name"].as_str().unwrap().to_owned())
        .collect()
}

fn valid_volumes(before: &Value, after: &Value) -> Result<(), TestCaseError> {
    let names = volume_names(&after["spec"]["volumes"]);
    let unique: HashSet<_> = names.iter().collect();
    prop_assert_eq!(unique.len(), names.len(), "{:?}", names);
    let own = volume_names(&before["spec"]["volumes"]);
    for volume in list(&after["spec"]["volumes"]) {
        let name = volume["name"].as_str().unwrap();
        if own.iter().any(|own| own == name) {
            continue;
        }
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        prop_assert!(
            name.len() <= 63 && name.chars().all(label) && !name.ends_with('-'),
            "{}",
            name
        );
        for item in list(&volume["secret"]["items"]) {
            let path = item["path"].as_str().unwrap();
            let bad = path.is_empty()
                || path.starts_with('/')
                || path.split('/').any(|part| part == "..");
            prop_assert!(!bad, "{}", path);
        }
        if volume.get("secret").is_some() {
            prop_assert_eq!(&volume["secret"]["optional"], true);
        }
    }
    Ok(())
}

/// The place a mount path means: without empty parts and `.`, and back where it says so.
fn place(path: &Value) -> Vec<&str> {
    let mut place = Vec::new();
    for part in path.as_str().unwrap().split('/') {
        match part {
            "" | "." => {}
            ".." => {
                place.pop();
            }
            part => place.push(part),
        }
    }
    place
}

/// The entries of `after` that are not in `before`, as often as they are not.
fn added<'a>(before: &Value, after: &'a Value) -> Vec<&'a Value> {
    let mut own: Vec<_> = list(before).iter().collect();
    list(after)
        .iter()
        .filter(|entry| match own.iter().position(|own| own == entry) {
            Some(index) => {
                own.remove(index);
                false
            }
            None => true,
        })
        .collect()
}

fn valid_mounts(before: &Value, after: &Value, volumes: &[String]) -> Result<(), TestCaseError> {
    let mounts = list(&after["volumeMounts"]);
    for new in added(&before["volumeMounts"], &after["volumeMounts"]) {
        let here = place(&new["mountPath"]);
        let same = mounts
            .iter()
            .filter(|mount| place(&mount["mountPath"]) == here);
        prop_assert_eq!(same.count(), 1, "{} in {:#}", new, after);
        prop_assert!(
            volumes.iter().any(|name| new["name"] == name.as_str()),
            "{} has no volume",
            new
        );
        let inside = mounts.iter().filter(|mount| {
            let other = place(&mount["mountPath"]);
            new["readOnly"] == true && other.len() > here.len() && other.starts_with(&here)
        });
        prop_assert_eq!(inside.count(), 0, "something inside {}", new);
    }
    Ok(())
}

fn valid_variables(before: &Value, after: &Value) -> Result<(), TestCaseError> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for variable in list(&after["env"]) {
        *counts
            .entry(variable["name"].as_str().unwrap())
            .or_default() += 1;
    }
    for new in added(&before["env"], &after["env"]) {
        let name = new["name"].as_str().unwrap();
        prop_assert_eq!(counts.get(name), Some(&1), "{} twice in {:#}", name, after);
        prop_assert!(keyporter::inject::variable::check(name).is_ok(), "{}", name);
    }
    let sources = added(&before["envFrom"], &after["envFrom"]);
    let names: HashSet<_> = sources.iter().map(ToString::to_string).collect();
    prop_assert_eq!(names.len(), sources.len(), "{:?}", sources);
    Ok(())
}
