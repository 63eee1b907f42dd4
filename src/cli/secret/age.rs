//! How long ago something was.

use k8s_openapi::jiff::Timestamp;

/// In the largest unit that there is a whole one of.
pub(super) fn age(created: &str, now: Timestamp) -> String {
    let Ok(created) = created.parse::<Timestamp>() else {
        return "-".to_owned();
    };
    // The clocks of two machines differ.
    let seconds = (now.as_second() - created.as_second()).max(0);
    let (length, unit) = match seconds {
        86400.. => (86400, 'd'),
        3600.. => (3600, 'h'),
        60.. => (60, 'm'),
        _ => (1, 's'),
    };
    format!("{}{unit}", seconds / length)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::seconds("2026-01-01T11:59:01Z", "59s")]
    #[case::minutes("2026-01-01T11:59:00Z", "1m")]
    #[case::hours("2026-01-01T10:00:01Z", "1h")]
    #[case::days("2025-01-01T12:00:00Z", "365d")]
    #[case::of_another_clock("2026-01-01T12:00:01Z", "0s")]
    #[case::unknown("", "-")]
    fn ages(#[case] created: &str, #[case] expected: &str) {
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        assert_eq!(age(created, now), expected);
    }
}
