//! What a person needs to see secrets, and who gives it.

use crate::{
    cli::cluster::{Caller, RequestError},
    inject::name::owner_id,
};

/// What lets a person list secrets, pods and workloads: `deploy/examples/roles.yaml`.
const VIEWER: &str = "keyporter-viewer";

/// Why something could not be listed, and the way out.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListError {
    #[error(
        "you may not list {what} {place}: the role {VIEWER} allows it, and an administrator gives it by `{command}`"
    )]
    Forbidden {
        what: &'static str,
        place: String,
        command: String,
    },
    #[error(transparent)]
    Other(RequestError),
}

/// `None` stands for all namespaces.
pub(super) fn explained(
    error: RequestError,
    what: &'static str,
    caller: &Caller,
    namespace: Option<&str>,
) -> ListError {
    if !error.is_forbidden() {
        return ListError::Other(error);
    }
    let name = &caller.username;
    let subject = match service_account(name) {
        Some((namespace, name)) => format!("--serviceaccount={namespace}:{name}"),
        None => format!("--user={}", quoted(name)),
    };
    let id = short_owner_id(name);
    let (place, command) = match namespace {
        Some(namespace) => (
            format!("in namespace {namespace}"),
            format!(
                "kubectl create rolebinding {VIEWER}-{id} -n {namespace} --clusterrole={VIEWER} {subject}"
            ),
        ),
        None => (
            "in all namespaces".to_owned(),
            format!(
                "kubectl create clusterrolebinding {VIEWER}-{id} --clusterrole={VIEWER} {subject}"
            ),
        ),
    };
    ListError::Forbidden {
        what,
        place,
        command,
    }
}

/// As users' secrets have it in their names.
fn short_owner_id(name: &str) -> String {
    let mut id = owner_id(name);
    id.truncate(8);
    id
}

fn service_account(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("system:serviceaccount:")?.split_once(':')
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:@/".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::user("alice", "--user=alice`")]
    #[case::mail("alice@example.com", "--user=alice@example.com`")]
    #[case::odd("o'neil; rm", "--user='o'\\''neil; rm'`")]
    #[case::account("system:serviceaccount:vision:ci", "--serviceaccount=vision:ci`")]
    fn the_way_out_is_a_command(#[case] username: &str, #[case] subject: &str) {
        let caller = Caller {
            username: username.to_owned(),
            groups: vec![],
        };
        let refused = |code| RequestError::Refused {
            code,
            sentence: "no".to_owned(),
        };
        for (namespace, binding) in [
            (Some("vision"), "rolebinding"),
            (None, "clusterrolebinding"),
        ] {
            let told = explained(refused(403), "secrets", &caller, namespace).to_string();
            assert!(told.ends_with(subject), "{told}");
            assert!(
                told.contains(&format!("kubectl create {binding} ")),
                "{told}"
            );
        }
        assert_eq!(
            explained(refused(500), "secrets", &caller, None).to_string(),
            "no"
        );
    }
}
