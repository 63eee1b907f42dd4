//! Logging is set up once in a process, hence processes of their own.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of tests for no tests"
)]

use std::process::Command;

use keyporter::telemetry::{self, LogFormat, TelemetryError};

fn log(format: &str, filter: &str) -> String {
    log_of("child", format, filter)
}

fn log_of(child: &str, format: &str, filter: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--ignored", "--nocapture"])
        .env("FORMAT", format)
        .env("FILTER", filter)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
#[ignore = "runs in the processes that the other tests start"]
fn child() {
    let Ok(format) = std::env::var("FORMAT") else {
        return;
    };
    let format = match format.as_str() {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => LogFormat::Auto,
    };
    let filter = std::env::var("FILTER").unwrap().parse().unwrap();
    telemetry::init(format, &filter).unwrap();
    tracing::info!(secrets = 2, "pod injected");
    tracing::debug!("details");
    tracing::warn!(target: "kube_client::client", "an answer with a canary-value");
    assert!(matches!(
        telemetry::init(format, &filter),
        Err(TelemetryError::Twice(_))
    ));
}

#[test]
#[ignore = "runs in the process that another test starts"]
fn serving_child() {
    let Ok(filter) = std::env::var("FILTER") else {
        return;
    };
    let writer = telemetry::init_for_serving(LogFormat::Json, &filter.parse().unwrap()).unwrap();
    for number in 0..1000 {
        tracing::info!(number, "served");
    }
    drop(writer);
    tracing::info!(number = 1000, "served");
}

#[test]
fn a_server_loses_no_line_at_its_end_nor_after_it() {
    let log = log_of("serving_child", "json", "info");
    let number = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["number"].clone();
    let numbers: Vec<_> = log.lines().map(number).collect();
    assert_eq!(numbers, (0..=1000).collect::<Vec<_>>());
}

#[test]
fn json_is_an_object_a_line() {
    let log = log("json", "info");
    let line: serde_json::Value = serde_json::from_str(log.trim()).unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "pod injected");
    assert_eq!(line["secrets"], 2);
    assert_eq!(line["target"], "telemetry");
}

/// kube logs answers that it cannot decode, with the values in them.
#[test]
fn answers_of_the_api_server_are_never_logged() {
    for filter in ["info", "trace", "kube_client::client=trace"] {
        assert!(!log("text", filter).contains("canary-value"));
    }
}

#[test]
fn a_pipe_gets_json_unless_told_otherwise() {
    assert!(log("auto", "info").starts_with('{'));
}

#[test]
fn text_is_a_line_without_colours_in_a_pipe() {
    let log = log("text", "info");
    assert!(
        log.trim()
            .ends_with("INFO telemetry: pod injected secrets=2"),
        "{log}"
    );
    assert!(!log.contains('\u{1b}'), "{log}");
}

#[test]
fn the_filter_decides() {
    assert!(log("json", "debug").contains("details"));
    assert!(log("json", "warn,telemetry=debug").contains("details"));
    assert_eq!(log("json", "warn"), "");
}
