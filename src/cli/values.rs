//! Values of flags that several commands take.

use crate::inject::name;

/// How long the name of an object may be.
const OBJECT_NAME: usize = 253;

pub(super) fn username(name: &str) -> Result<String, String> {
    named("username", name)
}

pub(super) fn group(name: &str) -> Result<String, String> {
    named("group", name)
}

pub(super) fn namespace(namespace: &str) -> Result<String, String> {
    if name::is_label(namespace) {
        Ok(namespace.to_owned())
    } else {
        Err("a namespace has 1 to 63 characters a-z, 0-9 and -, and starts and ends with a letter or digit".to_owned())
    }
}

/// The domain of a store, a part of its object's name.
pub(super) fn domain(domain: &str) -> Result<String, String> {
    object(domain).map_err(|_| {
        "a domain is the end of a store's name: a-z, 0-9, - and ., with a letter or digit at both ends".to_owned()
    })
}

/// The name of a Kubernetes object such as a Secret.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names>
pub(super) fn object(name: &str) -> Result<String, String> {
    if name.len() <= OBJECT_NAME && name.split('.').all(name::is_label) {
        Ok(name.to_owned())
    } else {
        Err("a Secret's name has 1 to 253 characters a-z, 0-9, - and ., and starts and ends with a letter or digit".to_owned())
    }
}

/// Authenticators give names of any other shape.
fn named(what: &str, name: &str) -> Result<String, String> {
    if name.trim().is_empty() {
        Err(format!("a {what} is not empty"))
    } else if name.contains(char::is_control) {
        Err(format!(
            "a {what} has no control characters, such as line breaks"
        ))
    } else {
        Ok(name.to_owned())
    }
}
