//! Is an answer right?

use std::collections::BTreeSet;

use data_encoding::BASE64;
use serde_json::Value;

/// Checks the answer of keyporter to the review in a body: it is admitted, and the patch can be applied and does what it
/// shall. An answer that was checked once is compared byte by byte from then on: the same input gives the same bytes.
pub fn check(body: &[u8], answer: &[u8], own: usize) -> Result<(), String> {
    let review: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let answer: Value = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    let response = &answer["response"];
    if response["uid"] != review["request"]["uid"] || response["allowed"] != true {
        return Err(format!("not admitted: {answer}"));
    }
    let patch = response["patch"].as_str().ok_or("no patch")?;
    let patch = BASE64
        .decode(patch.as_bytes())
        .map_err(|error| error.to_string())?;
    let patch: json_patch::Patch =
        serde_json::from_slice(&patch).map_err(|error| error.to_string())?;
    let mut object = review["request"]["object"].clone();
    json_patch::patch(&mut object, &patch).map_err(|error| error.to_string())?;
    if review["request"]["kind"]["kind"] == "Pod" {
        check_pod(&object, own)
    } else {
        let owner = &object["spec"]["template"]["metadata"]["annotations"]["keyporter.dev/owner"];
        (owner == "alice")
            .then_some(())
            .ok_or_else(|| format!("the owner is {owner}"))
    }
}

fn check_pod(pod: &Value, own: usize) -> Result<(), String> {
    let record = pod["metadata"]["annotations"]["keyporter.dev/injected"].as_str();
    let record: Vec<Value> = record
        .and_then(|record| serde_json::from_str(record).ok())
        .ok_or("no record")?;
    if record.len() != own {
        return Err(format!("{} secrets instead of {own}", record.len()));
    }
    for container in pod["spec"]["containers"]
        .as_array()
        .ok_or("no containers")?
    {
        let variables = container["env"].as_array().ok_or("no variables")?;
        let names: BTreeSet<_> = variables
            .iter()
            .filter_map(|one| one["name"].as_str())
            .collect();
        for name in [
            "AUTH_SECRET",
            "GIT_SSH_COMMAND",
            "KONDUKTOR_DEFAULT_SECRETS",
        ] {
            if !names.contains(name) {
                return Err(format!("{name} is missing in {}", container["name"]));
            }
        }
    }
    Ok(())
}
