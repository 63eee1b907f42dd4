//! References inside other text, and how the text means the same when Kubernetes has expanded it.
//!
//! Kubernetes reads env values, commands and arguments from the left: `$$` is a `$`, `$(VAR)` up to the next `)` a
//! variable, or itself if there is none; any other `$` stands with what follows it for itself.
//! <https://github.com/kubernetes/kubernetes/blob/master/third_party/forked/golang/expansion/expand.go>
//!
//! In the place of a reference comes a `$(VAR)`. A `$(` before it would then end at that `)`, as in
//! `sh -c 'x=$(curl -H "Key: ${secrets.KEY}")'`; so where one has a reference before its own `)`, all of it stands for
//! itself, and its dollars are doubled.

use super::grammar::{STORE, Stored};

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text that Kubernetes reads as ever.
    Plain(&'a str),
    /// Text of which every character stands for itself.
    Literal(&'a str),
    /// A reference.
    Reference(Stored<'a>),
}

/// Whether a text may hold a reference. Cheap: nearly none does.
pub(in crate::inject) fn may_refer(text: &str) -> bool {
    text.as_bytes().contains(&b'$') && text.contains(STORE)
}

/// The parts of a text, in their order.
#[must_use]
pub fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    // What is read already and not put down yet is the difference of both.
    let (mut begin, mut rest) = (text, text);
    // Looked for once, or a text of nothing but `$(` would take as long as its square.
    let mut closes = true;
    while let Some(tail) = next_dollar(rest) {
        if let Some((reference, after)) = Stored::at_head(tail) {
            put(&mut pieces, Piece::Plain(between(begin, tail)));
            pieces.push(Piece::Reference(reference));
            (begin, rest) = (after, after);
        } else if let Some(inner) = tail.strip_prefix("$(") {
            let end = if closes { inner.find(')') } else { None };
            closes = end.is_some();
            let Some(end) = end else {
                put(&mut pieces, Piece::Plain(between(begin, tail)));
                pieces.push(Piece::Literal("$("));
                (begin, rest) = (inner, inner);
                continue;
            };
            let after = inner.get(end + 1..).unwrap_or_default();
            let group = literal(between(tail, after));
            rest = after;
            if group.len() > 1 {
                put(&mut pieces, Piece::Plain(between(begin, tail)));
                pieces.extend(group);
                begin = after;
            }
        } else {
            rest = after_unit(tail);
        }
    }
    put(&mut pieces, Piece::Plain(begin));
    pieces
}

/// The parts of a text that stands for itself, but for references. There is more than one part if it has any.
fn literal(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut begin, mut rest) = (text, text);
    while let Some(tail) = next_dollar(rest) {
        if let Some((reference, after)) = Stored::at_head(tail) {
            put(&mut pieces, Piece::Literal(between(begin, tail)));
            pieces.push(Piece::Reference(reference));
            (begin, rest) = (after, after);
        } else if let Some(after) = tail.strip_prefix("$$") {
            rest = after;
        } else {
            rest = tail.strip_prefix('$').unwrap_or_default();
        }
    }
    put(&mut pieces, Piece::Literal(begin));
    pieces
}

fn put<'a>(pieces: &mut Vec<Piece<'a>>, piece: Piece<'a>) {
    let (Piece::Plain(text) | Piece::Literal(text)) = piece else {
        return;
    };
    if !text.is_empty() {
        pieces.push(piece);
    }
}

fn next_dollar(text: &str) -> Option<&str> {
    text.get(text.find('$')?..)
}

/// What of a text stands before its tail.
fn between<'a>(text: &'a str, tail: &str) -> &'a str {
    text.get(..text.len().saturating_sub(tail.len()))
        .unwrap_or_default()
}

/// What follows a `$` and the character after it.
fn after_unit(tail: &str) -> &str {
    let mut characters = tail.chars();
    characters.nth(1);
    characters.as_str()
}

/// The text that Kubernetes expands to what the parts say, with a variable for each reference.
pub(in crate::inject) fn write<'a>(
    pieces: &[Piece<'a>],
    mut variable: impl FnMut(Stored<'a>) -> String,
) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Plain(plain) => text.push_str(plain),
            Piece::Literal(literal) => text.push_str(&literal.replace('$', "$$")),
            Piece::Reference(reference) => {
                text.push_str("$(");
                text.push_str(&variable(*reference));
                text.push(')');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn written(text: &str) -> String {
        write(&pieces(text), |Stored { key, .. }| key.to_lowercase())
    }

    #[rstest]
    #[case::whole("${secrets.A}", "$(a)")]
    #[case::inside("x${secrets.A}y${secrets.B?}z", "x$(a)y$(b)z")]
    #[case::side_by_side("${secrets.A}${secrets.B}", "$(a)$(b)")]
    #[case::behind_an_escape("$$${secrets.A}", "$$$(a)")]
    #[case::behind_a_variable("$(X)${secrets.A}", "$(X)$(a)")]
    #[case::behind_a_dollar("$x${secrets.A}$", "$x$(a)$")]
    #[case::before_text_of_a_variable("${secrets.A}(X)", "$(a)(X)")]
    #[case::in_a_command("$(curl ${secrets.A})", "$$(curl $(a))")]
    #[case::in_a_command_with_dollars("$(echo $$ $x ${secrets.A})", "$$(echo $$$$ $$x $(a))")]
    #[case::in_the_second("$(a)$(b ${secrets.A}) $(c)", "$(a)$$(b $(a)) $(c)")]
    #[case::behind_an_open_one("$(x ${secrets.A}", "$$(x $(a)")]
    #[case::behind_many_open_ones("$($($$${secrets.A}", "$$($$($$$(a)")]
    #[case::escaped_beside_one("$(a $${secrets.A} ${secrets.B})", "$$(a $$$${secrets.A} $(b))")]
    fn rewritten(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(written(text), expected);
    }

    #[rstest]
    #[case::escaped("$${secrets.A}")]
    #[case::escaped_twice("$$$${secrets.A}")]
    #[case::another_word("${secret.A} ${secrets.} ${secrets.A B} $secrets.A")]
    #[case::escaped_in_a_command("$(x $${secrets.A})")]
    #[case::behind_a_dollar("$é${x}")]
    fn left_as_it_is(#[case] text: &str) {
        assert_eq!(pieces(text), [Piece::Plain(text)]);
    }

    #[test]
    fn a_text_of_nothing_but_openings_takes_no_time_to_speak_of() {
        let text = "$(".repeat(1_000_000) + "${secrets.A}";
        assert_eq!(pieces(&text).len(), 1_000_001);
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_text(text in r"([$(){}ax é]|\$\{secrets\.|\$\(|A\}){0,12}") {
            let written: String = pieces(&text)
                .into_iter()
                .map(|piece| match piece {
                    Piece::Plain(text) | Piece::Literal(text) => text.to_owned(),
                    Piece::Reference(Stored { key, optional: false }) => format!("{STORE}{key}}}"),
                    Piece::Reference(Stored { key, optional: true }) => format!("{STORE}{key}?}}"),
                })
                .collect();
            prop_assert_eq!(written, text);
        }

        #[test]
        fn nothing_is_left_to_rewrite(text in r"([$(){}ax é]|\$\{secrets\.|\$\(|A\}){0,12}") {
            let once = written(&text);
            let again = pieces(&once);
            prop_assert!(!again.iter().any(|piece| matches!(piece, Piece::Reference(_))), "{} {:?}", once, again);
        }
    }
}
