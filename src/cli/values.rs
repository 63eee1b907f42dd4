//! Values of flags that several commands take.

use std::time::Duration;

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

pub(super) fn secret_name(name: &str) -> Result<String, String> {
    if name::is_label(name) {
        Ok(name.to_owned())
    } else {
        Err("the name of a secret has 1 to 63 characters a-z, 0-9 and -, and starts and ends with a letter or digit".to_owned())
    }
}

/// A time as kubectl takes it, in one unit.
pub(super) fn timeout(time: &str) -> Result<Duration, String> {
    let number = time.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = time.strip_prefix(number).unwrap_or_default();
    let seconds = match unit {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let number: Option<u64> = number.parse().ok();
    let seconds = seconds.and_then(|unit| number?.checked_mul(unit));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "a time is a whole number with s, m or h, such as 30s".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_kubectl() {
        for (text, seconds) in [("0", 0), ("5", 5), ("5s", 5), ("2m", 120), ("1h", 3600)] {
            assert_eq!(timeout(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "s",
            "5x",
            "-1s",
            "1.5s",
            "1m30s",
            "99999999999999999999h",
        ] {
            assert!(timeout(text).is_err(), "{text}");
        }
    }
}
