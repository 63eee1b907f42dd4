//! Values of flags that several commands take.

use crate::inject::name;

/// Authenticators give names of any other shape.
pub(super) fn username(name: &str) -> Result<String, String> {
    if name.trim().is_empty() {
        Err("a username is not empty".to_owned())
    } else if name.contains(char::is_control) {
        Err("a username has no control characters, such as line breaks".to_owned())
    } else {
        Ok(name.to_owned())
    }
}

pub(super) fn namespace(namespace: &str) -> Result<String, String> {
    if name::is_label(namespace) {
        Ok(namespace.to_owned())
    } else {
        Err("a namespace has 1 to 63 characters a-z, 0-9 and -, and starts and ends with a letter or digit".to_owned())
    }
}
