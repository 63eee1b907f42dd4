//! What the program and its chart say twice. That the chart's objects are those of `deploy/examples` is compared with
//! Helm, in `tests/cluster/chart.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyporter::documents::Documents;
use keyporter::metrics::Metrics;
use keyporter::server::Limits;
use serde_json::Value;
use time::OffsetDateTime;

fn chart(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/helm/keyporter")
        .join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(chart(path)).unwrap()
}

fn yaml(path: &str) -> Value {
    let text = text(path);
    let documents = Documents::split(&text);
    documents.iter().next().unwrap().value(path).unwrap()
}

#[test]
fn it_has_the_version_of_the_program() {
    let chart = yaml("Chart.yaml");
    for field in ["version", "appVersion"] {
        assert_eq!(chart[field], env!("CARGO_PKG_VERSION"), "{field}");
    }
}

/// An image of another release would be the first to use it.
#[test]
fn the_image_is_built_by_the_compiler_that_the_program_is_made_for() {
    let from = format!("FROM rust:{}", env!("CARGO_PKG_RUST_VERSION"));
    assert!(text("../../Dockerfile").contains(&from), "{from}");
}

/// Else the kubelet would kill a pod that still answers.
#[test]
fn pods_are_given_the_time_to_drain() {
    let beyond_the_delay = Duration::from_secs(30);
    assert!(
        text("templates/deployment.yaml")
            .contains("terminationGracePeriodSeconds: {{ add .Values.shutdownDelay 30 }}")
    );
    assert!(Limits::default().drain_timeout < beyond_the_delay);
}

/// A misspelt metric is no error to Prometheus: its alert is never raised.
#[test]
fn alerts_and_dashboard_know_only_metrics_that_there_are() {
    let page = every_series();
    for (file, least) in [
        ("templates/alerts.yaml", 8),
        ("dashboards/keyporter.json", 14),
    ] {
        let names = metrics_in(&text(file));
        assert!(names.len() >= least, "{file}: {names:?}");
        for name in names {
            let series = |line: &str| {
                let rest = line.strip_prefix(name.as_str());
                rest.is_some_and(|rest| rest.starts_with([' ', '{']))
            };
            assert!(
                page.lines().any(series),
                "{file}: there is no {name} in\n{page}"
            );
        }
    }
}

fn metrics_in(text: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let words = text.split(word);
    let ours = words.filter(|word| word.starts_with("keyporter_"));
    ours.map(str::to_owned).collect()
}

fn every_series() -> String {
    let metrics = Metrics::new();
    metrics.admission("pods", "inject", "injected", Duration::from_micros(80));
    metrics.injected_secret("env", "user");
    metrics.refused_request(413);
    metrics.catalog_secrets("env", "user", 3);
    metrics.catalog_ignored_secrets("owner-id", 1);
    metrics.catalog_watch_restart();
    metrics.confirmation("confirmed", Duration::from_millis(3));
    metrics.catalog_last_sync(OffsetDateTime::UNIX_EPOCH);
    metrics.tls_handshake_failure("timeout");
    metrics.event("sent");
    metrics.certificate_expiry(OffsetDateTime::UNIX_EPOCH);
    metrics.certificate_reload_failure("client-ca");
    metrics.encode()
}

#[test]
fn the_dashboard_is_one() {
    let dashboard: Value = serde_json::from_str(&text("dashboards/keyporter.json")).unwrap();
    assert_eq!(dashboard["uid"], "keyporter");
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(!panel["targets"][0]["expr"].as_str().unwrap().is_empty());
    }
}

/// A key that is let through unread is a switch that switches nothing.
#[test]
fn the_schema_refuses_unknown_keys_everywhere() {
    let schema: Value = serde_json::from_str(&text("values.schema.json")).unwrap();
    let mut open = Vec::new();
    collect_open(&schema, "", &mut open);
    assert_eq!(
        open,
        [
            // What is in these the API server checks.
            "/affinity/nodeAffinity",
            "/affinity/podAffinity",
            "/affinity/podAntiAffinity",
            // Helm gives it to every chart within another.
            "/global",
        ]
    );
}

/// Objects of a schema that take whatever comes.
fn collect_open(schema: &Value, path: &str, open: &mut Vec<String>) {
    if schema["type"] == "object" && schema["additionalProperties"].is_null() {
        open.push(path.to_owned());
    }
    let properties = schema["properties"].as_object().into_iter().flatten();
    for (name, property) in properties {
        collect_open(property, &format!("{path}/{name}"), open);
    }
    if schema["items"].is_object() {
        collect_open(&schema["items"], &format!("{path}[]"), open);
    }
}

/// Also the other way round: a key of the schema alone is a value that nobody reads of.
#[test]
fn the_schema_knows_exactly_the_values() {
    let schema: Value = serde_json::from_str(&text("values.schema.json")).unwrap();
    let mut of_schema = BTreeSet::new();
    collect_of_schema(&schema, "", &mut of_schema);
    of_schema.remove("/global");
    let mut of_values = BTreeSet::new();
    collect_of_values(&yaml("values.yaml"), "", &mut of_values);
    let differ: Vec<_> = of_schema.symmetric_difference(&of_values).collect();
    // Values that are Kubernetes' own structures, whose keys are not ours.
    let structures = ["/affinity/", "/resources/", "/metrics/dashboard/labels/"];
    for path in differ {
        assert!(
            structures
                .iter()
                .any(|structure| path.starts_with(structure)),
            "{path}"
        );
    }
}

fn collect_of_schema(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        collect_of_schema(property, &path, found);
        found.insert(path);
    }
}

fn collect_of_values(values: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, value) in values.as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        collect_of_values(value, &path, found);
        found.insert(path);
    }
}

/// helm-docs writes the table, and leaves a gap where a comment is missing.
#[test]
fn every_value_has_a_description() {
    let readme = text("README.md");
    let rows: Vec<_> = readme
        .lines()
        .skip_while(|line| *line != "## Values")
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Key "))
        .collect();
    assert!(rows.len() > 60, "{}", rows.len());
    for row in rows {
        assert!(!row.ends_with("|  |"), "{row}");
    }
}
