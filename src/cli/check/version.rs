//! What the API server serves of what keyporter needs.

use serde_json::Value;

use super::{
    finding::{Finding, Subject},
    observe::Observed,
    seen::text,
};

/// The first minor version with `ValidatingAdmissionPolicies` of v1.
const OLDEST: u32 = 30;

const VERSION: Subject = Subject("version");

pub(super) fn judge(observed: &Observed) -> Vec<Finding> {
    vec![match &observed.version {
        Ok(version) => of(version),
        Err(unseen) => VERSION.unseen("the API server's version", unseen),
    }]
}

fn of(version: &Value) -> Finding {
    // Some clouds write "30+".
    let number = |pointer| -> Option<u32> {
        let digits = text(version, pointer).trim_end_matches(|c: char| !c.is_ascii_digit());
        digits.parse().ok()
    };
    let object = format!("Kubernetes {}", text(version, "/gitVersion"));
    match (number("/major"), number("/minor")) {
        (Some(major), Some(minor)) if (major, minor) >= (1, OLDEST) => {
            VERSION.ok(object, format!("1.{OLDEST} or newer, as keyporter needs it"))
        }
        (Some(_), Some(_)) => VERSION.error(
            object,
            format!("is older than 1.{OLDEST}: it has no ValidatingAdmissionPolicy of v1, so nothing guards secrets"),
            format!("update the cluster to Kubernetes 1.{OLDEST} or newer"),
        ),
        _ => VERSION.warning(
            object,
            "does not say which version it is",
            format!("see with `kubectl version` that it is 1.{OLDEST} or newer"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::{super::finding::Severity, *};

    #[rstest]
    #[case("1", "36", Severity::Ok)]
    #[case("1", "30+", Severity::Ok)]
    #[case("1", "29", Severity::Error)]
    #[case("2", "0", Severity::Ok)]
    #[case("", "", Severity::Warning)]
    fn versions(#[case] major: &str, #[case] minor: &str, #[case] expected: Severity) {
        let version = json!({"major": major, "minor": minor, "gitVersion": "v"});
        assert_eq!(of(&version).severity, expected);
    }
}
