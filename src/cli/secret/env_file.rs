//! Files of variables, as kubectl and docker read them with `--from-env-file` and `--env-file`.
//!
//! A line is `KEY=VALUE`. White space before the key is skipped, lines that are empty or begin with `#` are no variables,
//! and the value is all that follows the first `=`: quotes, `#` and white space belong to it. A mark of the byte order and
//! `\r` at the end of a line are skipped. Other than there, a key without `=` is refused and not read from the environment:
//! what a shell happens to have is nobody's wish.

use thiserror::Error;

use super::{limits::check_key, value::Value};

/// Why a file of variables cannot be read. No line of it is quoted.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum EnvFileError {
    #[error("not UTF-8 text")]
    NotText,
    #[error("line {0} is not KEY=VALUE; values from the environment are not taken")]
    NoValue(usize),
    #[error("the key in line {0} is none; a key has 1 to 253 letters, digits, -, _ and .")]
    Key(usize),
    #[error("the key in line {0} stands there twice")]
    Twice(usize),
    #[error(
        "the value in line {0} has quotes that span lines; use --from-file for values of several lines"
    )]
    SeveralLines(usize),
}

/// The variables in the order of the file.
pub(super) fn read(file: &Value) -> Result<Vec<(String, Value)>, EnvFileError> {
    let text = file.text().ok_or(EnvFileError::NotText)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables: Vec<(String, Value)> = vec![];
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(EnvFileError::NoValue(number))?;
        check_key(key).map_err(|_| EnvFileError::Key(number))?;
        if variables.iter().any(|(other, _)| other == key) {
            return Err(EnvFileError::Twice(number));
        }
        // A private key in quotes, as a shell would take it: the rest would follow as broken lines.
        let open = |quote: char| value.starts_with(quote) && value.matches(quote).count() == 1;
        if value.contains("-----BEGIN") && (open('"') || open('\'')) {
            return Err(EnvFileError::SeveralLines(number));
        }
        variables.push((key.to_owned(), Value::from(value)));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// What `kubectl create secret generic --from-env-file` makes of the same lines.
    #[rstest]
    #[case::plain("A=1\nB=2\n", &[("A", "1"), ("B", "2")])]
    #[case::comments("# c\n\n  \n  # d\nA=1\n", &[("A", "1")])]
    #[case::indented("  A=1\n", &[("A", "1")])]
    #[case::as_it_stands("A= \"1\" # no comment \n", &[("A", " \"1\" # no comment ")])]
    #[case::equal_signs("A=b=c=\n", &[("A", "b=c=")])]
    #[case::empty("A=\n", &[("A", "")])]
    #[case::mark_and_windows("\u{feff}A=1\r\nB=2\r\n", &[("A", "1"), ("B", "2")])]
    #[case::no_last_newline("A=1", &[("A", "1")])]
    fn files(#[case] text: &str, #[case] expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
            .collect();
        assert_eq!(read(&Value::from(text)), Ok(expected));
    }

    #[rstest]
    #[case::not_text(b"A=\xff", EnvFileError::NotText)]
    #[case::from_the_environment(b"A=1\nPATH\n", EnvFileError::NoValue(2))]
    #[case::blank_in_key(b"A B=1", EnvFileError::Key(1))]
    #[case::shell(b"# x\nexport A=1", EnvFileError::Key(2))]
    #[case::twice(b"A=1\nA=2", EnvFileError::Twice(2))]
    #[case::lines(b"A=\"-----BEGIN X-----\nb\"", EnvFileError::SeveralLines(1))]
    fn errors_name_the_line(#[case] bytes: &[u8], #[case] expected: EnvFileError) {
        assert_eq!(read(&Value::new(bytes.to_vec())), Err(expected));
    }
}
