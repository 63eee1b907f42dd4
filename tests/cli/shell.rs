//! Completions and the manual, in the programs that read them.

use std::{
    env,
    io::{self, Write},
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use crate::program::run;

/// Runs a shell's program; `None` where it is not installed, which is said past the capture of the test harness, and is a
/// failure with `CI` set.
fn shell(program: &str, arguments: &[&str]) -> Option<Output> {
    let output = Command::new(program).args(arguments).output().ok();
    if output.is_none() {
        let left_out = format!("left out: {program} is not installed\n");
        assert!(env::var_os("CI").is_none(), "{left_out}");
        io::stderr().write_all(left_out.as_bytes()).unwrap();
    }
    output
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr, "");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn script(folder: &Path, shell: &str) -> String {
    let script = run(&["completion", shell]).printed();
    crate::program::file(folder, shell, &script)
}

#[test]
fn bash_completes_commands_and_flags() {
    let folder = tempfile::tempdir().unwrap();
    let path = script(folder.path(), "bash");
    let Some(checked) = shell("bash", &["-n", &path]) else {
        return;
    };
    succeeded(&checked);
    let complete = |words: &str| {
        let words: Vec<_> = words.split(' ').collect();
        let last = words.len() - 1;
        let typed: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
        // As bash does it when the tab key is pressed, by the function that is registered.
        let code = format!(
            "source '{path}'; f=$(complete -p keyporter | sed 's/.*-F \\([^ ]*\\).*/\\1/'); COMP_WORDS=({}); \
             COMP_CWORD={last}; $f keyporter '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            typed.join(" "),
            words[last],
            words[last - 1],
        );
        let output = shell("bash", &["--norc", "-c", &code]).unwrap();
        let printed = succeeded(&output);
        printed.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("keyporter sec"), ["secret"]);
    assert_eq!(complete("keyporter secret sho"), ["show"]);
    assert_eq!(complete("keyporter secret list --all-u"), ["--all-users"]);
    assert_eq!(complete("keyporter secret list -o w"), ["wide"]);
    assert_eq!(complete("keyporter completion f"), ["fish"]);
}

#[test]
fn zsh_and_fish_take_their_scripts() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["zsh", "fish"] {
        let path = script(folder.path(), name);
        let arguments: &[&str] = match name {
            "zsh" => &["-n", &path],
            _ => &["--no-execute", &path],
        };
        if let Some(checked) = shell(name, arguments) {
            succeeded(&checked);
        }
    }
}

#[test]
fn the_manual_is_set_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    run(&["man", pages.to_str().unwrap()]).printed();
    let mut names: Vec<_> = std::fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for expected in [
        "keyporter.1",
        "keyporter-secret-list.1",
        "keyporter-explain.1",
        "keyporter-keys-rotate.1",
    ] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
    let alone = std::fs::read_to_string(pages.join("keyporter.1")).unwrap();
    assert_eq!(run(&["man"]).printed(), alone);
    for name in &names {
        let page = pages.join(name);
        let Some(set) = shell(
            "groff",
            &["-man", "-ww", "-Tutf8", "-Z", page.to_str().unwrap()],
        ) else {
            return;
        };
        let stderr = String::from_utf8_lossy(&set.stderr);
        assert!(
            set.status.success() && stderr.is_empty(),
            "{name}: {stderr}"
        );
    }
    let list = pages.join("keyporter-secret-list.1");
    if let Some(page) = shell("man", &["-l", list.to_str().unwrap()]) {
        let page = String::from_utf8_lossy(&page.stdout).into_owned();
        assert!(page.contains("List your secrets"), "{page}");
    }
}

#[test]
fn a_plugin_of_kubectl_shows_how_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let called = |name: &str, arguments: &[&str]| {
        let path = folder.path().join(name);
        if !path.exists() {
            symlink(env!("CARGO_BIN_EXE_keyporter"), &path).unwrap();
        }
        Command::new(&path).args(arguments).output().unwrap()
    };
    let help = succeeded(&called("kubectl-keyporter", &["secret", "--help"]));
    assert!(help.contains("Usage: kubectl keyporter secret "), "{help}");
    let wrong = called("kubectl-keyporter", &["secret", "lits"]);
    let stderr = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        stderr.contains("a similar subcommand exists: 'list'"),
        "{stderr}"
    );
    assert!(
        stderr.contains("Usage: kubectl keyporter secret"),
        "{stderr}"
    );
    let completed = succeeded(&called("kubectl_complete-keyporter", &["secret", "sho"]));
    assert_eq!(
        completed,
        "show\tShow everything about a secret but its values\n:4\n"
    );
    let script = succeeded(&called("kubectl-keyporter", &["completion", "bash"]));
    assert!(script.contains("kubectl-keyporter"));
}

#[test]
fn help_names_the_exit_codes() {
    insta::assert_snapshot!("keyporter.help", run(&["--help"]).printed());
    insta::assert_snapshot!("explain.help", run(&["explain", "--help"]).printed());
    insta::assert_snapshot!(
        "secret_list.help",
        run(&["secret", "list", "--help"]).printed()
    );
    insta::assert_snapshot!(
        "secret_show.help",
        run(&["secret", "show", "--help"]).printed()
    );
}
