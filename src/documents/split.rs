//! Where one document ends and the next begins.

use super::json::Unambiguous;

/// The documents of a text, and what stands around them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Documents<'a> {
    documents: Vec<Document<'a>>,
    tail: &'a str,
}

/// One document that is not empty.
///
/// Deliberately without `Debug`: the text may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Document<'a> {
    /// Its number in the text, from 1. Empty documents do not count.
    pub number: usize,
    /// The line of the text at which its content begins, from 1.
    pub line: usize,
    /// What stands between the document before and this one: separators, directives, comments.
    pub lead: &'a str,
    /// The document as it stands in the text, with its comments.
    pub text: &'a str,
    /// Where `text` begins: lines, and in its first line characters, before it.
    pub(super) lines_before: usize,
    pub(super) columns_before: usize,
    /// Whether it is JSON in which no key stands twice, which is read quicker than YAML.
    pub(super) is_json: bool,
}

impl<'a> Documents<'a> {
    /// Splits a text at lines that begin with `---` or `...`, and JSON texts that follow each other.
    ///
    /// Such a line ends a document wherever it stands, also inside of a block scalar
    /// (<https://yaml.org/spec/1.2.2/#914-explicit-documents>). Documents of nothing but comments are skipped.
    #[must_use]
    pub fn split(text: &'a str) -> Self {
        let mut splitter = Splitter {
            input: text,
            documents: Vec::new(),
            lead: 0,
            open: None,
            directives: true,
        };
        let mut offset = 0;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            splitter.line(number, offset, line);
            offset += line.len();
        }
        splitter.close(text.len());
        Self {
            documents: splitter.documents,
            tail: slice(text, splitter.lead, text.len()),
        }
    }

    /// The documents, in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, Document<'a>> {
        self.documents.iter()
    }

    /// Whether there is no document.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// How many documents there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// The whole text again, with some documents replaced by other text. Without a replacement it is the same to the
    /// byte.
    #[must_use]
    pub fn print(&self, mut replacement: impl FnMut(&Document<'a>) -> Option<String>) -> String {
        let mut printed = String::new();
        let mut replaced_before = false;
        for (index, document) in self.documents.iter().enumerate() {
            let replacement = replacement(document);
            if replaced_before || replacement.is_some() {
                // JSON texts need no separator between them, YAML does. And in `--- {a: 1}` the document stands in
                // the line of its separator, but what replaces it begins its own.
                end_line(&mut printed);
                if index > 0 && !document.lead.lines().any(is_marker) {
                    printed.push_str("---\n");
                } else {
                    printed.push_str(document.lead);
                    if replacement.is_some() {
                        end_line(&mut printed);
                    }
                }
            } else {
                printed.push_str(document.lead);
            }
            printed.push_str(replacement.as_deref().unwrap_or(document.text));
            replaced_before = replacement.is_some();
        }
        if replaced_before {
            end_line(&mut printed);
        }
        printed.push_str(self.tail);
        printed
    }
}

impl<'a, 'b> IntoIterator for &'b Documents<'a> {
    type Item = &'b Document<'a>;
    type IntoIter = std::slice::Iter<'b, Document<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

struct Splitter<'a> {
    input: &'a str,
    documents: Vec<Document<'a>>,
    /// Where the text that belongs to no document yet begins.
    lead: usize,
    /// The document that the current line belongs to, if it has any content yet.
    open: Option<Open>,
    /// Whether directives may stand here: at the start and after `...`.
    directives: bool,
}

#[derive(Clone, Copy)]
struct Open {
    offset: usize,
    lines_before: usize,
    columns_before: usize,
    /// The line, from 0, of the first content.
    content: Option<usize>,
}

impl Splitter<'_> {
    fn line(&mut self, number: usize, offset: usize, line: &str) {
        if is_marker(line) {
            self.close(offset);
            self.directives = line.starts_with("...");
            // `--- {a: 1}` and `--- # comment`: the three bytes are ASCII.
            let rest = line.get(3..).unwrap_or_default();
            let rest = rest.trim_start_matches([' ', '\t']);
            let columns_before = line.len() - rest.len();
            self.open = Some(if is_blank(rest) {
                Open::at(offset + line.len(), number + 1)
            } else {
                Open {
                    columns_before,
                    content: Some(number),
                    ..Open::at(offset + columns_before, number)
                }
            });
            return;
        }
        let without_mark = line.strip_prefix('\u{feff}').filter(|_| offset == 0);
        let mark = line.len() - without_mark.unwrap_or(line).len();
        let line = without_mark.unwrap_or(line);
        let open = self
            .open
            .get_or_insert_with(|| Open::at(offset + mark, number));
        if self.directives && line.starts_with('%') {
            *open = Open::at(offset + mark + line.len(), number + 1);
        } else if open.content.is_none() && !is_blank(line) {
            open.content = Some(number);
            self.directives = false;
        }
    }

    /// Ends the open document, if it has content, before `end`.
    fn close(&mut self, end: usize) {
        let Some(open) = self.open.take() else { return };
        let Some(content) = open.content else { return };
        let document = Document {
            number: self.documents.len() + 1,
            line: content + 1,
            lead: slice(self.input, self.lead, open.offset),
            text: slice(self.input, open.offset, end),
            lines_before: open.lines_before,
            columns_before: open.columns_before,
            is_json: false,
        };
        self.lead = end;
        split_json(document, &mut self.documents);
    }
}

impl Open {
    fn at(offset: usize, lines_before: usize) -> Self {
        Self {
            offset,
            lines_before,
            columns_before: 0,
            content: None,
        }
    }
}

/// Takes apart JSON texts that follow each other without separators, as jq writes them and kubectl reads them.
fn split_json<'a>(mut whole: Document<'a>, documents: &mut Vec<Document<'a>>) {
    let texts = json_texts(whole.text);
    let Some((last, others)) = texts.split_last().filter(|(_, others)| !others.is_empty()) else {
        whole.is_json = texts.iter().any(|text| text.is_unambiguous);
        documents.push(whole);
        return;
    };
    let mut start = 0;
    let mut lines_before = whole.lines_before;
    for one in others.iter().chain([last]) {
        let is_last = one.end == last.end;
        let end = if is_last { whole.text.len() } else { one.end };
        let piece = slice(whole.text, start, end);
        let text = piece.trim_start();
        let lead = slice(piece, 0, piece.len() - text.len());
        let lines = |text: &str| text.matches('\n').count();
        lines_before += lines(lead);
        documents.push(Document {
            number: documents.len() + 1,
            line: lines_before + 1,
            lead: if start == 0 { whole.lead } else { lead },
            text: if start == 0 { piece } else { text },
            lines_before: if start == 0 {
                whole.lines_before
            } else {
                lines_before
            },
            columns_before: if start == 0 { whole.columns_before } else { 0 },
            is_json: one.is_unambiguous,
        });
        lines_before += lines(text);
        start = end;
    }
}

/// One of several JSON texts.
struct JsonText {
    end: usize,
    is_unambiguous: bool,
}

/// The JSON texts that follow each other; nothing where the text is something else.
fn json_texts(text: &str) -> Vec<JsonText> {
    if !text.trim_start().starts_with('{') {
        return Vec::new();
    }
    let mut texts = serde_json::Deserializer::from_str(text).into_iter();
    let mut found = Vec::new();
    while let Some(one) = texts.next() {
        let Ok(Unambiguous(is_unambiguous)) = one else {
            return Vec::new();
        };
        found.push(JsonText {
            end: texts.byte_offset(),
            is_unambiguous,
        });
    }
    found
}

/// `---` or `...` at the start of a line, alone or followed by a blank.
fn is_marker(line: &str) -> bool {
    let rest = line
        .strip_prefix("---")
        .or_else(|| line.strip_prefix("..."));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Nothing but white space or a comment.
fn is_blank(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

fn end_line(printed: &mut String) {
    if !printed.is_empty() && !printed.ends_with('\n') {
        printed.truncate(printed.trim_end_matches([' ', '\t']).len());
        printed.push('\n');
    }
}

fn slice(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn seen(text: &str) -> Vec<(usize, usize, &str)> {
        let documents = Documents::split(text);
        documents
            .iter()
            .map(|one| (one.number, one.line, one.text))
            .collect()
    }

    #[rstest]
    #[case::nothing("", &[])]
    #[case::blank("\n  \n", &[])]
    #[case::comments("# a\n---\n# b\n...\n", &[])]
    #[case::one("a: 1\n", &[(1, 1, "a: 1\n")])]
    #[case::no_newline("a: 1", &[(1, 1, "a: 1")])]
    #[case::two("a: 1\n---\nb: 2\n", &[(1, 1, "a: 1\n"), (2, 3, "b: 2\n")])]
    #[case::leading_separator("---\na: 1\n", &[(1, 2, "a: 1\n")])]
    #[case::separator_with_comment("a: 1\n--- # next\nb: 2\n", &[(1, 1, "a: 1\n"), (2, 3, "b: 2\n")])]
    #[case::separator_with_blanks("a: 1\n---  \nb: 2\n", &[(1, 1, "a: 1\n"), (2, 3, "b: 2\n")])]
    #[case::content_after_separator("--- {a: 1}\n--- [b]\n", &[(1, 1, "{a: 1}\n"), (2, 2, "[b]\n")])]
    #[case::empty_ones("---\n---\n\n---\n# c\n---\na: 1\n---\n", &[(1, 7, "a: 1\n")])]
    #[case::comment_before("# c\n\na: 1\n", &[(1, 3, "# c\n\na: 1\n")])]
    #[case::end_marker("a: 1\n...\n# c\n---\nb: 2\n...\n", &[(1, 1, "a: 1\n"), (2, 5, "b: 2\n")])]
    #[case::directives("%YAML 1.1\n---\na: 1\n...\n%YAML 1.2\n---\nb: 2\n", &[(1, 3, "a: 1\n"), (2, 7, "b: 2\n")])]
    #[case::percent_inside("a: |\n  x\n%b: 2\n", &[(1, 1, "a: |\n  x\n%b: 2\n")])]
    #[case::crlf("a: 1\r\n---\r\nb: 2\r\n", &[(1, 1, "a: 1\r\n"), (2, 3, "b: 2\r\n")])]
    #[case::byte_order_mark("\u{feff}a: 1\n", &[(1, 1, "a: 1\n")])]
    #[case::mark_then_separator("\u{feff}# c\n---\na: 1\n", &[(1, 3, "a: 1\n")])]
    #[case::longer_dashes("a: |\n  x\n----\nb: 1\n", &[(1, 1, "a: |\n  x\n----\nb: 1\n")])]
    #[case::indented_dashes("a: |\n  ---\n  x\n", &[(1, 1, "a: |\n  ---\n  x\n")])]
    #[case::json("{\"a\": 1}\n", &[(1, 1, "{\"a\": 1}\n")])]
    #[case::json_stream("{\"a\": 1}\n{\n\"b\": 2}\n\n{}\n", &[(1, 1, "{\"a\": 1}"), (2, 2, "{\n\"b\": 2}"), (3, 5, "{}\n")])]
    #[case::flow_yaml("{a: 1}\n", &[(1, 1, "{a: 1}\n")])]
    fn documents(#[case] text: &str, #[case] expected: &[(usize, usize, &str)]) {
        assert_eq!(seen(text), expected);
    }

    #[rstest]
    #[case::middle("a: 1\n---\nb: 2\n---\nc: 3\n", 2, "a: 1\n---\nx: 0\n---\nc: 3\n")]
    #[case::one_line("--- {a: 1}\n--- {b: 2}\n", 1, "---\nx: 0\n--- {b: 2}\n")]
    #[case::last_without_newline("a: 1\n---\nb: 2", 2, "a: 1\n---\nx: 0\n")]
    #[case::json_stream("{}\n{}\n{}\n", 2, "{}\n---\nx: 0\n---\n{}\n")]
    #[case::head_and_tail(
        "# head\n---\na: 1\n---\n# tail\n",
        1,
        "# head\n---\nx: 0\n---\n# tail\n"
    )]
    fn replaced(#[case] text: &str, #[case] number: usize, #[case] expected: &str) {
        let documents = Documents::split(text);
        let printed = documents.print(|one| (one.number == number).then(|| "x: 0\n".to_owned()));
        assert_eq!(printed, expected);
    }

    proptest! {
        #[test]
        fn printed_unchanged_it_is_the_same_to_the_byte(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    "---", "...", "\n", "\r\n", " ", "# c", "a: 1", "%YAML 1.2", "{\"a\": 1}", "{}", "\u{feff}", "ä", "\t", "|",
                ]),
                0..24,
            )
        ) {
            let text = parts.concat();
            let documents = Documents::split(&text);
            prop_assert_eq!(documents.print(|_| None), text.clone());
            for one in &documents {
                prop_assert!(!is_blank(text.lines().nth(one.line - 1).unwrap()));
            }
        }
    }
}
