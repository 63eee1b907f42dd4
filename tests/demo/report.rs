//! What a pod has that the template it was made from has not.

use std::{collections::BTreeMap, fmt::Write as _};

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Container, EnvFromSource, EnvVar, Pod, PodSpec, Volume, VolumeMount},
};
use kube::ResourceExt;
use serde_json::Value;

use crate::support::Result;

/// The additions to `pod`, one a line, for a person.
pub(crate) fn describe(job: &Job, pod: &Pod) -> Result<String> {
    let nothing = PodSpec::default();
    let before = job
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref())
        .unwrap_or(&nothing);
    let after = pod.spec.as_ref().unwrap_or(&nothing);

    let mut text = String::new();
    writeln!(
        text,
        "Job {} brought pod {}. What it has on top of the Job's template:",
        job.name_any(),
        pod.name_any()
    )?;
    for (key, value) in pod.annotations() {
        match key.as_str() {
            "keyporter.dev/injected" => describe_record(&mut text, value)?,
            _ if key.starts_with("keyporter.dev/") => {
                writeln!(text, "  annotation {key}: {value}")?;
            }
            _ => {}
        }
    }
    for volume in added(before.volumes.as_ref(), after.volumes.as_ref()) {
        describe_volume(&mut text, volume)?;
    }
    for pull_secret in added(
        before.image_pull_secrets.as_ref(),
        after.image_pull_secrets.as_ref(),
    ) {
        writeln!(text, "  image pull secret {}", pull_secret.name)?;
    }
    let all = |spec: &PodSpec| -> Vec<Container> {
        spec.init_containers
            .iter()
            .flatten()
            .chain(&spec.containers)
            .cloned()
            .collect()
    };
    for container in all(after) {
        let before = all(before)
            .into_iter()
            .find(|other| other.name == container.name);
        describe_container(&mut text, &before.unwrap_or_default(), &container)?;
    }
    Ok(text)
}

/// The record of what was injected: a list of objects with these fields.
fn describe_record(text: &mut String, record: &str) -> Result<()> {
    let entries: Vec<BTreeMap<String, Value>> = serde_json::from_str(record)?;
    for entry in entries {
        let field = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or("?");
        writeln!(
            text,
            "  secret {}: {}, kind {}, scope {}",
            field("secret"),
            field("name"),
            field("kind"),
            field("scope")
        )?;
    }
    Ok(())
}

fn describe_container(text: &mut String, before: &Container, after: &Container) -> Result<()> {
    writeln!(text, "  container {}", after.name)?;
    for source in added(before.env_from.as_ref(), after.env_from.as_ref()) {
        describe_source(text, source)?;
    }
    for variable in added(before.env.as_ref(), after.env.as_ref()) {
        describe_variable(text, variable)?;
    }
    for mount in added(before.volume_mounts.as_ref(), after.volume_mounts.as_ref()) {
        describe_mount(text, mount)?;
    }
    Ok(())
}

fn describe_source(text: &mut String, source: &EnvFromSource) -> Result<()> {
    if let Some(secret) = &source.secret_ref {
        let optional = if secret.optional == Some(true) {
            ", optional"
        } else {
            ""
        };
        writeln!(
            text,
            "    environment from secret {}{optional}",
            secret.name
        )?;
    }
    Ok(())
}

fn describe_variable(text: &mut String, variable: &EnvVar) -> Result<()> {
    let secret = variable
        .value_from
        .as_ref()
        .and_then(|source| source.secret_key_ref.as_ref());
    match secret {
        Some(secret) => {
            writeln!(
                text,
                "    {} from key {} of secret {}",
                variable.name, secret.key, secret.name
            )?;
        }
        None => writeln!(
            text,
            "    {}={}",
            variable.name,
            variable.value.as_deref().unwrap_or_default()
        )?,
    }
    Ok(())
}

fn describe_mount(text: &mut String, mount: &VolumeMount) -> Result<()> {
    if !is_service_account(&mount.name) {
        let mode = if mount.read_only == Some(true) {
            ", read-only"
        } else {
            ""
        };
        writeln!(
            text,
            "    {} from volume {}{mode}",
            mount.mount_path, mount.name
        )?;
    }
    Ok(())
}

fn describe_volume(text: &mut String, volume: &Volume) -> Result<()> {
    match &volume.secret {
        _ if is_service_account(&volume.name) => {}
        Some(secret) => {
            let secret = secret.secret_name.as_deref().unwrap_or_default();
            writeln!(text, "  volume {} of secret {secret}", volume.name)?;
        }
        None => writeln!(text, "  volume {}", volume.name)?,
    }
    Ok(())
}

/// The API server itself adds the token of the service account.
fn is_service_account(volume: &str) -> bool {
    volume.starts_with("kube-api-access-")
}

fn added<'a, T: PartialEq>(
    before: Option<&'a Vec<T>>,
    after: Option<&'a Vec<T>>,
) -> impl Iterator<Item = &'a T> {
    after
        .into_iter()
        .flatten()
        .filter(move |item| !before.is_some_and(|before| before.contains(item)))
}
