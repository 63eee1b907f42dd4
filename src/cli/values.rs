//! Values of flags that several commands take.

use crate::inject::name;

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
