//! The bodies: reviews as an API server sends them, made larger from those that one sent.

use serde_json::{Value, json};

const POD: &str = include_str!("../../fixtures/reviews/pod-create-by-alice.json");
const DEPLOYMENT: &str = include_str!("../../fixtures/reviews/deployment-create-by-alice.json");

/// How large an object is, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Size {
    /// The pod of `kubectl run`: one container, 2.6 KB.
    Small,
    /// A pod of three containers, 12 KB: what a Helm chart makes.
    Medium,
    /// A pod of three containers, 60 KB.
    Large,
    /// A Deployment of 300 KB, whose pod template gets its owner.
    Workload,
    /// A pod of 200 containers.
    Containers200,
}

impl Size {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small pod",
            Self::Medium => "12 KB pod",
            Self::Large => "60 KB pod",
            Self::Workload => "300 KB Deployment",
            Self::Containers200 => "pod of 200 containers",
        }
    }

    /// The body of a review. Another number makes another object of the same size.
    #[must_use]
    pub fn body(self, number: usize) -> Vec<u8> {
        let (review, bytes, containers) = match self {
            Self::Small => (POD, 0, 1),
            Self::Medium => (POD, 12_000, 3),
            Self::Large => (POD, 60_000, 3),
            Self::Workload => (DEPLOYMENT, 300_000, 10),
            Self::Containers200 => (POD, 0, 200),
        };
        let mut review: Value = serde_json::from_str(review).expect("a fixture");
        let request = &mut review["request"];
        request["uid"] = json!(format!("0e0ef361-65f4-4d62-9700-{number:012x}"));
        request["name"] = json!(format!("train-{number}"));
        request["object"]["metadata"]["name"] = json!(format!("train-{number}"));
        let spec = match self {
            Self::Workload => "/request/object/spec/template/spec/containers",
            _ => "/request/object/spec/containers",
        };
        multiply(&mut review, spec, containers);
        grow(&mut review, spec, containers, bytes);
        let mut body = as_go_writes_it(&review);
        body.push(b'\n');
        body
    }
}

fn multiply(review: &mut Value, pointer: &str, containers: usize) {
    let list = review.pointer_mut(pointer).and_then(Value::as_array_mut);
    let list = list.expect("containers");
    let first = list.first().expect("a container").clone();
    for number in 1..containers {
        let mut container = first.clone();
        container["name"] = json!(format!("container-{number}"));
        list.push(container);
    }
}

/// Adds what charts put into containers, each in its turn, and the record of who wrote it, until the body is as long as it
/// shall be.
fn grow(review: &mut Value, pointer: &str, containers: usize, bytes: usize) {
    let mut length = as_go_writes_it(review).len();
    let mut number = 0;
    while length < bytes {
        let container = number % containers;
        let (member, field, value) = part(number / containers);
        length += value.to_string().len()
            + field.len()
            + ",\"\":{\".\":{},\"f:name\":{},\"f:value\":{}}".len();
        let there = review.pointer_mut(&format!("{pointer}/{container}"));
        let there = there.expect("a container");
        let name = there["name"].as_str().expect("a name").to_owned();
        match there[member].as_array_mut() {
            Some(list) => list.push(value),
            None => there[member] = json!([value]),
        }
        let fields = "/request/object/metadata/managedFields/0/fieldsV1";
        let path = if pointer.contains("template") {
            format!("{fields}/f:spec/f:template/f:spec/f:containers")
        } else {
            format!("{fields}/f:spec/f:containers")
        };
        let record = review.pointer_mut(&path).expect("managed fields");
        record[format!("k:{{\"name\":\"{name}\"}}")][format!("f:{member}")][field] =
            json!({".": {}, "f:name": {}, "f:value": {}});
        number += 1;
    }
}

fn part(number: usize) -> (&'static str, String, Value) {
    match number % 6 {
        0 => {
            let port = 8000 + number;
            let value =
                json!({"name": format!("port-{number}"), "containerPort": port, "protocol": "TCP"});
            (
                "ports",
                format!("k:{{\"containerPort\":{port},\"protocol\":\"TCP\"}}"),
                value,
            )
        }
        1 => {
            let path = format!("/var/lib/application/part-{number}");
            let value =
                json!({"name": "kube-api-access-dp7j8", "mountPath": path, "subPath": "token"});
            (
                "volumeMounts",
                format!("k:{{\"mountPath\":\"{path}\"}}"),
                value,
            )
        }
        2 => variable(
            number,
            json!({"valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}),
        ),
        3 => variable(
            number,
            json!({"value": format!("https://service-{number}.example.com:8443/v1?a=1&b=<2>")}),
        ),
        _ => variable(
            number,
            json!({"value": format!("/opt/application/configuration/part-{number}.json")}),
        ),
    }
}

fn variable(number: usize, mut value: Value) -> (&'static str, String, Value) {
    let name = format!("APPLICATION_SETTING_{number}");
    value["name"] = json!(name);
    ("env", format!("k:{{\"name\":\"{name}\"}}"), value)
}

/// Go's `encoding/json` escapes what could end a script in HTML.
fn as_go_writes_it(value: &Value) -> Vec<u8> {
    let json = value.to_string();
    json.replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .into_bytes()
}
