//! What a Secret, and a pod that gets it, can hold: said before the API server or a node says it less clearly.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{registry, value::Value};
use crate::{
    folder::{TooLarge, check_size},
    inject::{
        git_ssh::{KEY_FILE, KEY_NAMES},
        name::is_data_key,
        secret::Kind,
        variable::{self, Refusal},
    },
};

/// All values of a Secret together: [`MAX_SECRET_SIZE`], to compare with lengths.
pub(super) const SECRET_BYTES: usize = 1_048_576;
/// All annotations of an object together, names and values: `TotalAnnotationSizeLimitB` of Kubernetes.
const ANNOTATION_BYTES: usize = 262_144;
/// A variable with its name, `=` and the NUL behind it: `MAX_ARG_STRLEN` of Linux. Nothing starts with a longer one.
const VARIABLE_BYTES: usize = 131_072;
/// What Konduktor's documentation recommends for values that become variables.
const RECOMMENDED_VARIABLE_BYTES: usize = 1024;

/// The variable of kind auth.
pub(super) const AUTH_SECRET: &str = "AUTH_SECRET";

/// Why these keys and values are no secret.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum LimitError {
    #[error(
        "{0:?} is no key; a key has 1 to 253 letters, digits, -, _ and ., and does not start with \"..\""
    )]
    Key(String),
    #[error(
        "{0:?} is no variable, as keys of kind env are; a variable has letters, digits and _, with no digit first"
    )]
    NoVariable(String),
    #[error(
        "no secret sets the variable {0}: it decides which code programs load; choose another name"
    )]
    Dangerous(String),
    #[error(
        "{key} has {length} bytes; with its name a variable has at most {VARIABLE_BYTES}, or no program starts; use \
         --kind default, which makes files"
    )]
    LongVariable { key: String, length: usize },
    #[error(
        "the value of {0} is not UTF-8 text without NUL, as variables are; use --kind default, which makes files"
    )]
    Binary(String),
    #[error("{0}; leave something out, or make several secrets")]
    Size(TooLarge),
    #[error("{path} has more bytes than Kubernetes stores in a Secret ({SECRET_BYTES})")]
    File { path: String },
    #[error(
        "a secret of kind auth has one key, or a key {AUTH_SECRET} beside others; this one would have {}",
        .0.join(", ")
    )]
    Auth(Vec<String>),
    #[error("a secret of kind {0} needs the key {1}")]
    Missing(Kind, &'static str),
    #[error(
        "the list of {files} files takes {bytes} bytes, and Kubernetes stores {ANNOTATION_BYTES} beside the values; \
         make several secrets, or put the files into one archive"
    )]
    Annotations { files: usize, bytes: usize },
}

/// Whether this may be a key of a Secret.
pub(super) fn check_key(key: &str) -> Result<(), LimitError> {
    if is_data_key(key) {
        Ok(())
    } else {
        Err(LimitError::Key(key.to_owned()))
    }
}

/// Whether values are good for the kind.
pub(super) fn check_values(kind: Kind, values: &BTreeMap<String, Value>) -> Result<(), LimitError> {
    for (key, value) in values {
        check_key(key)?;
        let variable = match kind {
            Kind::Env => key.as_str(),
            Kind::Auth => AUTH_SECRET,
            Kind::Default | Kind::GitSsh | Kind::ImagePull => continue,
        };
        match variable::check(variable) {
            Ok(()) => {}
            Err(Refusal::Invalid) => return Err(LimitError::NoVariable(key.clone())),
            Err(Refusal::Dangerous) => return Err(LimitError::Dangerous(key.clone())),
        }
        if value.text().is_none_or(|text| text.contains('\0')) {
            return Err(LimitError::Binary(key.clone()));
        }
        if variable.len() + value.len() + 2 > VARIABLE_BYTES {
            return Err(LimitError::LongVariable {
                key: key.clone(),
                length: value.len(),
            });
        }
    }
    Ok(())
}

/// Whether all that the secret would hold, old and new, fits into one. Sizes by key.
pub(super) fn check_together(kind: Kind, sizes: &BTreeMap<String, u64>) -> Result<(), LimitError> {
    check_size(sizes.iter().map(|(key, size)| (&**key, *size))).map_err(LimitError::Size)?;
    if kind == Kind::GitSsh && !KEY_NAMES.iter().any(|key| sizes.contains_key(*key)) {
        return Err(LimitError::Missing(kind, KEY_FILE));
    }
    if kind == Kind::ImagePull && !sizes.contains_key(registry::KEY) {
        return Err(LimitError::Missing(kind, registry::KEY));
    }
    if kind == Kind::Auth && sizes.len() > 1 && !sizes.contains_key(AUTH_SECRET) {
        return Err(LimitError::Auth(sizes.keys().cloned().collect()));
    }
    Ok(())
}

/// Whether the annotations fit beside the values. `files` is how many files they tell of.
pub(super) fn check_annotations<'a>(
    annotations: impl Iterator<Item = (&'a str, &'a str)>,
    files: usize,
) -> Result<(), LimitError> {
    let bytes = annotations
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > ANNOTATION_BYTES {
        return Err(LimitError::Annotations { files, bytes });
    }
    Ok(())
}

/// What a person may not expect of values that are good.
pub(super) fn warnings(kind: Kind, values: &BTreeMap<String, Value>) -> Vec<String> {
    let mut warnings = vec![];
    if !matches!(kind, Kind::Env | Kind::Auth) {
        return warnings;
    }
    for (key, value) in values {
        if value.len() > RECOMMENDED_VARIABLE_BYTES {
            warnings.push(format!(
                "{key} has {} bytes; above {RECOMMENDED_VARIABLE_BYTES} a file is better than a variable: --kind default",
                value.len()
            ));
        }
        if value.bytes().ends_with(b"\n") {
            warnings.push(format!(
                "{key} ends with a line break, and so will the variable; printf '%s' writes none, echo does"
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::folder::MAX_SECRET_SIZE;

    fn values(entries: &[(&str, &str)]) -> BTreeMap<String, Value> {
        let entries = entries.iter();
        entries
            .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
            .collect()
    }

    #[rstest]
    #[case::good(Kind::Env, "HF_TOKEN", "x", "")]
    #[case::empty(Kind::Env, "HF_TOKEN", "", "")]
    #[case::dots(Kind::Env, "a.b", "x", "\"a.b\" is no variable")]
    #[case::loader(Kind::Env, "LD_PRELOAD", "x", "no secret sets the variable LD_PRELOAD")]
    #[case::nul(Kind::Env, "A", "x\0", "the value of A is not UTF-8")]
    #[case::auth_nul(Kind::Auth, "a.b", "x\0", "the value of a.b is not UTF-8")]
    #[case::auth_key(Kind::Auth, "a.b", "x", "")]
    #[case::a_file(Kind::Default, "LD_PRELOAD", "x\0", "")]
    fn values_of_kinds(
        #[case] kind: Kind,
        #[case] key: &str,
        #[case] value: &str,
        #[case] sentence: &str,
    ) {
        match check_values(kind, &values(&[(key, value)])) {
            Ok(()) => assert_eq!(sentence, ""),
            Err(error) => assert!(
                error.to_string().starts_with(sentence) && !sentence.is_empty(),
                "{error}"
            ),
        }
    }

    #[test]
    fn a_variable_fits_to_the_byte() {
        // execve takes `A=...\0` of this length and refuses one byte more.
        for (length, fits) in [(131_072 - 3, true), (131_072 - 2, false)] {
            let value = "x".repeat(length);
            let outcome = check_values(Kind::Env, &values(&[("A", &value)]));
            assert_eq!(outcome.is_ok(), fits, "{length}");
        }
    }

    #[test]
    fn what_is_too_much_is_named_with_its_size() {
        assert_eq!(SECRET_BYTES as u64, MAX_SECRET_SIZE);
        let mut sizes = BTreeMap::from([("a".to_owned(), 48_576), ("b".to_owned(), 1_000_000)]);
        assert_eq!(check_together(Kind::Default, &sizes), Ok(()));
        sizes.insert("c".to_owned(), 1);
        assert_eq!(
            check_together(Kind::Default, &sizes)
                .unwrap_err()
                .to_string(),
            "1048577 bytes are more than the 1048576 that a Secret can hold: b 1000000, a 48576, c 1; leave something \
             out, or make several secrets"
        );
    }

    #[test]
    fn auth_has_one_key_or_the_key() {
        let sizes = |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), 1)).collect();
        assert!(check_together(Kind::Auth, &sizes(&["a"])).is_ok());
        assert!(check_together(Kind::Auth, &sizes(&["AUTH_SECRET", "a"])).is_ok());
        assert_eq!(
            check_together(Kind::Auth, &sizes(&["a", "b"])),
            Err(LimitError::Auth(vec!["a".to_owned(), "b".to_owned()]))
        );
        assert!(check_together(Kind::Env, &sizes(&["a", "b"])).is_ok());
    }

    #[test]
    fn kinds_keep_the_key_that_they_are_for() {
        let sizes = |key: &str| BTreeMap::from([(key.to_owned(), 1)]);
        for (kind, key) in [
            (Kind::GitSsh, "gitkey"),
            (Kind::GitSsh, "ssh-privatekey"),
            (Kind::ImagePull, ".dockerconfigjson"),
        ] {
            assert_eq!(check_together(kind, &sizes(key)), Ok(()));
            assert!(matches!(
                check_together(kind, &sizes("known_hosts")),
                Err(LimitError::Missing(..))
            ));
        }
    }

    #[test]
    fn what_may_surprise_is_said_of_variables_alone() {
        let long = "x".repeat(1025);
        let values = values(&[("A", &long), ("B", "x\n"), ("C", "x")]);
        let told = warnings(Kind::Env, &values);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("A has 1025 bytes;") && told[1].starts_with("B ends with"));
        assert_eq!(warnings(Kind::Default, &values), Vec::<String>::new());
    }
}
