//! How much of a stranger's text a sentence quotes.

/// The beginning of a text that takes no more room than so many characters where it is shown with its escapes.
pub(crate) fn head(text: &str, room: usize) -> &str {
    let mut left = Some(room);
    let rest = text.trim_start_matches(|character: char| {
        left = left.and_then(|left| left.checked_sub(character.escape_debug().len()));
        left.is_some()
    });
    text.strip_suffix(rest).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::all_of_it("abc", "abc")]
    #[case::just_so("abcdefgh", "abcdefgh")]
    #[case::too_long("abcdefghi", "abcdefgh")]
    #[case::wide("äöüäöüäöü", "äöüäöüäö")]
    #[case::escapes("a\u{7f}b", "a\u{7f}b")]
    #[case::too_many_escapes("a\u{7f}\u{7f}b", "a\u{7f}")]
    #[case::none("\u{10ffff}", "")]
    #[case::empty("", "")]
    fn heads(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(head(text, 8), expected);
    }
}
