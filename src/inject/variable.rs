//! Names of environment variables: which ones a secret may set.

/// Variables that decide which code a program loads, runs or trusts before its own first line. A secret that sets one
/// could take over every process of the pod, so none does. The policy
/// `deploy/helm/keyporter/policies/env-names.yaml` has the same list.
pub const LOADER_VARIABLES: &[&str] = &[
    "BASHOPTS",
    "BASH_ENV",
    "CDPATH",
    "CLASSPATH",
    "DOTNET_STARTUP_HOOKS",
    "ENV",
    "GCONV_PATH",
    "GIT_EXEC_PATH",
    "GLIBC_TUNABLES",
    "HOSTALIASES",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LOCPATH",
    "LUA_INIT",
    "NLSPATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "OPENSSL_CONF",
    "PATH",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PERLLIB",
    "PHPRC",
    "PROMPT_COMMAND",
    "PS4",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "RUBYLIB",
    "RUBYOPT",
    "SHELLOPTS",
    "_JAVA_OPTIONS",
];

/// Families of such variables, by prefix: the dynamic loaders of Linux and macOS, and exported shell functions.
pub const LOADER_PREFIXES: &[&str] = &["LD_", "DYLD_", "BASH_FUNC_"];

/// Why a secret may not set a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not of the form `[A-Za-z_][A-Za-z0-9_]*`.
    Invalid,
    /// It changes how programs load.
    Dangerous,
}

/// Checks the name of a variable that a secret would set.
pub fn check(name: &str) -> Result<(), Refusal> {
    let mut bytes = name.bytes();
    let head = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if !head || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(Refusal::Invalid);
    }
    let listed = LOADER_VARIABLES.contains(&name);
    if listed
        || LOADER_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
    {
        return Err(Refusal::Dangerous);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("HF_TOKEN", Ok(()))]
    #[case("_x9", Ok(()))]
    #[case("", Err(Refusal::Invalid))]
    #[case("9A", Err(Refusal::Invalid))]
    #[case("a-b", Err(Refusal::Invalid))]
    #[case("a.b", Err(Refusal::Invalid))]
    #[case("Ä", Err(Refusal::Invalid))]
    #[case("PATH", Err(Refusal::Dangerous))]
    #[case("path", Ok(()))]
    #[case("LD_PRELOAD", Err(Refusal::Dangerous))]
    #[case("LD_", Err(Refusal::Dangerous))]
    #[case("BASH_FUNC_ls", Err(Refusal::Dangerous))]
    #[case("PYTHONPATH", Err(Refusal::Dangerous))]
    fn variable_names(#[case] name: &str, #[case] expected: Result<(), Refusal>) {
        assert_eq!(check(name), expected);
    }
}
