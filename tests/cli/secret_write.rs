//! `keyporter secret create` and its like, as far as they get without a cluster: command lines, sources, limits, questions.

use std::{fs, path::Path, process::Command};

use rstest::rstest;
use tempfile::TempDir;

use crate::{
    program::{Run, command, file, run, run_with},
    terminal::at_terminal,
};

/// In every value here.
const CANARY: &str = "hunter2";
/// Why a command ends whose sources are good: no cluster is there.
const NO_CLUSTER: &str = "no cluster: $KUBECONFIG and ~/.kube/config name none";

/// `keyporter secret ARGUMENTS` where no cluster is known.
fn lonely(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = command(&[&["secret"], arguments].concat());
    command.env("HOME", folder).current_dir(folder);
    command
}

fn outcome(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Fails with this code and a sentence, without a value.
#[track_caller]
fn failed(run: &Run, code: i32, sentence: &str) {
    run.failed(code, sentence);
    assert!(!run.stderr.contains(CANARY), "{}", run.stderr);
}

#[rstest]
#[case("create")]
#[case("add")]
#[case("update")]
#[case("rm")]
#[case("set-auth")]
fn help(#[case] name: &str) {
    let snapshot = format!("secret_{}.help", name.replace('-', "_"));
    insta::assert_snapshot!(snapshot, run(&["secret", name, "--help"]).printed());
}

#[rstest]
#[case::no_name(&["create"], "<NAME>")]
#[case::name_and_manifest(&["create", "a", "-f", "x.yaml"], "cannot be used with")]
#[case::manifest_and_source(&["create", "-f", "x.yaml", "--inline", "A=hunter2"], "cannot be used with")]
#[case::name(&["create", "Hugging_Face"], "the name of a secret has 1 to 63")]
#[case::long_name(&["create", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"], "the name of a secret has 1 to 63")]
#[case::kind(&["create", "a", "--kind", "file"], "[possible values: default, env, git-ssh, auth, image-pull]")]
#[case::use_case(&["create", "a", "--use-case", "x"], "known are HuggingFace, S3, Database, ImagePullSecret, Generic")]
#[case::two_inputs(&["create", "a", "--docker-server", "x", "--docker-username", "a", "--docker-password-stdin", "--from-stdin", "A"], "cannot be used with")]
#[case::time(&["create", "a", "--request-timeout", "5x", "--inline", "A=hunter2"], "a time is a whole number with s, m or h")]
#[case::automatic_on_reference(&["update", "a", "--automatic", "--on-reference"], "cannot be used with")]
#[case::nothing_to_delete(&["rm"], "<NAME>...")]
#[case::no_workload(&["set-auth", "a"], "--filename <FILE>")]
#[case::input_in_place(&["set-auth", "a", "-f", "-", "--in-place"], "--in-place writes a file")]
#[case::inline_without_key(&["create", "a", "--inline", "hunter2"], "--inline takes KEY=VALUE")]
#[case::inline_with_odd_key(&["create", "a", "--inline", "hunter2 x=y"], "--inline has a key that is none")]
#[case::inline_twice(&["create", "a", "--inline", "A=hunter2", "--inline", "A=hunter2"], "the key A is given twice")]
#[case::key_of_file(&["create", "a", "--from-file", "a b=x"], "is neither FILE nor KEY=FILE")]
#[case::nobody_to_ask(&["create", "a"], "no value is given, and nobody can be asked")]
#[case::nobody_to_prompt(&["create", "a", "--prompt", "A"], "nobody can be asked, as standard input is no terminal")]
#[case::nobody_to_add(&["add", "A"], "give the value with @FILE or -")]
#[case::files_as_variables(&["create", "a", "--kind", "env", "--from-file", "x"], "kind env takes --inline")]
#[case::folders_as_variables(&["create", "a", "--kind", "env", "--from-directory", "x"], "kind env takes --inline")]
#[case::no_key_for_git(&["create", "a", "--kind", "git-ssh"], "kind git-ssh takes one private key")]
#[case::two_keys_for_git(&["create", "a", "--kind", "git-ssh", "--from-file", "x", "--from-file", "y"], "kind git-ssh takes one private key")]
#[case::inline_for_git(&["create", "a", "--kind", "git-ssh", "--inline", "A=hunter2"], "kind git-ssh takes one private key")]
#[case::hosts_alone(&["create", "a", "--kind", "git-ssh", "--known-hosts", "x"], "kind git-ssh takes one private key")]
#[case::hosts_of_another_kind(&["create", "a", "--known-hosts", "x", "--inline", "A=hunter2"], "--known-hosts is for kind git-ssh")]
#[case::registry_of_another_kind(&["create", "a", "--docker-server", "x", "--docker-username", "y"], "--docker-server is for kind image-pull")]
#[case::inline_registry(&["create", "a", "--kind", "image-pull", "--inline", "A=hunter2"], "kind image-pull takes --from-file")]
#[case::replace_of_another_kind(&["create", "a", "--inline", "A=hunter2", "--replace"], "--replace is for kind git-ssh")]
#[case::no_name_in_key(&["add", "___", "hunter2"], "no name of a secret can be made from this key")]
fn wrong_command_lines_are_exit_code_2(#[case] arguments: &[&str], #[case] sentence: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = lonely(folder.path(), arguments);
    failed(
        &outcome(command.stdin(std::process::Stdio::null())),
        2,
        sentence,
    );
}

/// Words of a value that was not put in quotes.
#[rstest]
#[case(&["create", "a", "--inline", "A=b", "hunter2"])]
#[case(&["add", "A", "b", "hunter2"])]
#[case(&["add", "A", "b", "--hunter2"])]
#[case(&["update", "a", "--inline", "A=b", "-qhunter2"])]
#[case(&["create", "a", "--inline", "A=b", "--", "hunter2"])]
fn a_word_too_many_is_not_repeated(#[case] arguments: &[&str]) {
    let run = run(&[&["secret"], arguments].concat());
    failed(&run, 2, "unexpected argument");
}

#[test]
fn a_slip_in_a_flag_is_named() {
    let run = run(&["secret", "create", "a", "--form-file", "x"]);
    run.failed(2, "'--form-file'");
    run.failed(2, "'--from-file'");
}

/// A folder with all sorts of files.
fn files() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    file(path, "token", CANARY);
    file(path, "a b", CANARY);
    file(path, "large", &"x".repeat(1_048_577));
    file(path, "half", &"x".repeat(600_000));
    file(path, "variables", &format!("# c\nA={CANARY}\nB=\n"));
    file(path, "shell", &format!("A={CANARY}\nexport B={CANARY}\n"));
    file(path, "bare", &format!("A=1\n{CANARY}\n"));
    file(path, "long", &format!("A={}\n", CANARY.repeat(20_000)));
    file(
        path,
        "public",
        &format!("ssh-ed25519 {CANARY} alice@laptop\n"),
    );
    file(
        path,
        "pem",
        &format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"),
    );
    file(
        path,
        "locked",
        &format!(
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\n{CANARY}\n-----END ENCRYPTED PRIVATE KEY-----\n"
        ),
    );
    file(path, "hosts", "github.com ssh-ed25519 AAAA\n");
    file(
        path,
        "store.json",
        "{\"auths\": {\"ghcr.io\": {}}, \"credsStore\": \"desktop\"}",
    );
    file(
        path,
        "config.json",
        "{\"auths\": {\"ghcr.io\": {\"auth\": \"YTpodW50ZXIy\"}}}",
    );
    fs::create_dir(path.join("empty")).unwrap();
    fs::create_dir(path.join("folder")).unwrap();
    file(&path.join("folder"), "..data", CANARY);
    folder
}

#[rstest]
#[case::absent(&["create", "a", "--from-file", "absent"], "cannot read absent: No such file")]
#[case::a_folder(&["create", "a", "--from-file", "folder"], "folder is a folder; --from-directory takes folders")]
#[case::large(&["create", "a", "--from-file", "large"], "large has more bytes than Kubernetes stores in a Secret (1048576)")]
#[case::together(
    &["create", "a", "--from-file", "half", "--from-file", "b=half", "--from-file", "token"],
    "1200007 bytes are more than the 1048576 that a Secret can hold: b 600000, half 600000, token 7; leave something out"
)]
#[case::shell(&["create", "a", "--kind", "env", "--from-env-file", "shell"], "shell: the key in line 2 is none")]
#[case::bare(&["create", "a", "--kind", "env", "--from-env-file", "bare"], "bare: line 2 is not KEY=VALUE")]
#[case::long(&["create", "a", "--kind", "env", "--from-env-file", "long"], "A has 140000 bytes; with its name a variable has at most 131072")]
#[case::loader(&["create", "a", "--kind", "env", "--inline", "LD_PRELOAD=hunter2"], "no secret sets the variable LD_PRELOAD")]
#[case::no_variable(&["create", "a", "--kind", "env", "--inline", "A-B=hunter2"], "\"A-B\" is no variable")]
#[case::auth(&["create", "a", "--kind", "auth", "--inline", "A=hunter2", "--inline", "B=hunter2"], "a secret of kind auth has one key")]
#[case::public(&["create", "a", "--kind", "git-ssh", "--from-file", "public"], "public is a public key; the secret needs the private key")]
#[case::locked(&["create", "a", "--kind", "git-ssh", "--from-file", "locked"], "locked is protected by a passphrase")]
#[case::no_key(&["create", "a", "--kind", "git-ssh", "--from-file", "token"], "token is no private key")]
#[case::no_hosts(&["create", "a", "--kind", "git-ssh", "--from-file", "pem", "--known-hosts", "token"], "token is no file of known hosts: line 1")]
#[case::no_config(&["create", "a", "--kind", "image-pull", "--from-file", "token"], "token is no docker config.json")]
#[case::store(&["create", "a", "--kind", "image-pull", "--from-file", "store.json"], "store.json is without a password: docker keeps them in a credential store")]
#[case::folder_of_nothing(&["create", "a", "--from-directory", "empty"], "there is no file in \"empty\"")]
#[case::name_of_the_kubelet(&["create", "a", "--from-directory", "folder"], "the path \"folder/..data\" has a part that starts with \"..\"")]
#[case::no_folder(&["create", "a", "--from-directory", "token"], "\"token\" is no folder; --from-file takes files")]
#[case::added_file(&["add", "A", "@absent"], "cannot read absent")]
#[case::no_manifest(&["create", "-f", "absent"], "cannot read absent")]
fn sources_that_are_none(#[case] arguments: &[&str], #[case] sentence: &str) {
    let folder = files();
    let run = outcome(&mut lonely(folder.path(), arguments));
    failed(&run, 1, sentence);
    let errors = run
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 1, "{}", run.stderr);
}

#[test]
fn a_file_whose_name_is_no_key_gets_one() {
    let folder = files();
    let create = |source: &str| {
        outcome(&mut lonely(
            folder.path(),
            &["create", "a", "--from-file", source],
        ))
    };
    failed(
        &create("a b"),
        2,
        "the name of \"a b\" is no key; choose one: --from-file KEY=FILE",
    );
    failed(&create("ab=a b"), 1, NO_CLUSTER);
}

#[rstest]
#[case::file(&["create", "a", "--from-file", "token", "--from-file", "b=token"])]
#[case::variables(&["create", "a", "--kind", "env", "--from-env-file", "variables"])]
#[case::git(&["create", "a", "--kind", "git-ssh", "--from-file", "pem", "--known-hosts", "hosts"])]
#[case::git_with_its_key(&["create", "a", "--kind", "git-ssh", "--from-file", "gitkey=pem"])]
#[case::registry(&["create", "a", "--kind", "image-pull", "--from-file", "config.json"])]
#[case::added_at_home(&["add", "A", "@~/token"])]
#[case::added_dashes(&["add", "A", "-----hunter2"])]
fn good_sources_need_a_cluster(#[case] arguments: &[&str]) {
    let folder = files();
    failed(
        &outcome(&mut lonely(folder.path(), arguments)),
        1,
        NO_CLUSTER,
    );
}

#[rstest]
#[case::two(
    "kind: Secret\n---\nkind: Secret\n",
    "standard input has 2 documents; one Secret is created at a time"
)]
#[case::none("", "standard input has 0 documents")]
#[case::no_secret(
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {A: hunter2}\n",
    "standard input is no Secret of apiVersion v1"
)]
#[case::no_name(
    "apiVersion: v1\nkind: Secret\nstringData: {A: hunter2}\n",
    "standard input has no metadata.name"
)]
#[case::name(
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a.b}\nstringData: {A: hunter2}\n",
    "\"a.b\" is no name of a secret"
)]
#[case::nothing(
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n",
    "standard input has neither data nor stringData"
)]
#[case::base64(
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {A: hunter2}\n",
    "data of the key A is not base64"
)]
#[case::broken(
    "apiVersion: v1\nkind: Secret\nstringData: {A: hunter2\n",
    "standard input: document 1, line 3"
)]
#[case::odd(
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {A: [hunter2]}\n",
    "standard input: document 1, line 4"
)]
#[case::kind(
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a, labels: {keyporter.dev/kind: x}}\nstringData: {A: hunter2}\n",
    "the label keyporter.dev/kind is \"x\""
)]
#[case::owner(
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a, annotations: {keyporter.dev/owner: bob}}\nstringData: {A: hunter2}\n",
    "standard input names an owner"
)]
#[case::layout(
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a, annotations: {keyporter.dev/layout: '{\"A\": \"/x\"}'}}\nstringData: {A: hunter2}\n",
    "the annotations of its files cannot be used: the path \"/x\" is absolute"
)]
#[case::variable(
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a, labels: {keyporter.dev/kind: env}}\nstringData: {A-B: hunter2}\n",
    "\"A-B\" is no variable"
)]
#[case::git(
    "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/ssh-auth\nmetadata: {name: a}\nstringData: {ssh-privatekey: hunter2}\n",
    "ssh-privatekey is no private key"
)]
#[case::registry(
    "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/dockerconfigjson\nmetadata: {name: a}\nstringData: {A: hunter2}\n",
    "a secret of kind image-pull has the key .dockerconfigjson"
)]
#[case::good(
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata:\n  A: |\n    aHVu\n    dGVyMg==\nstringData: {B: hunter2}\n",
    ""
)]
fn manifests(#[case] text: &str, #[case] sentence: &str) {
    let home = tempfile::tempdir().unwrap();
    let kubeconfig = home.path().join("absent");
    let kubeconfig = kubeconfig.to_str().unwrap();
    let run = run_with(
        &["secret", "create", "-f", "-", "--kubeconfig", kubeconfig],
        text,
    );
    let expected = if sentence.is_empty() {
        "cannot read the kubeconfig"
    } else {
        sentence
    };
    failed(&run, 1, expected);
}

#[test]
fn set_auth_writes_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let pod = "# head\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n---\nkind: Service # c\n";
    let path = file(folder.path(), "pod.yaml", pod);
    let expected = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations:\n    keyporter.dev/auth-secret: web\n\
                    spec:\n  containers: []\n---\nkind: Service # c\n";
    let printed = run(&["secret", "set-auth", "web", "-f", &path]).printed();
    assert_eq!(printed, expected);
    assert_eq!(
        run_with(&["secret", "set-auth", "web", "-f", "-"], pod).printed(),
        expected
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), pod);
    assert_eq!(
        run(&["secret", "set-auth", "web", "-f", &path, "--in-place"]).printed(),
        ""
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    run_with(&["secret", "set-auth", "web", "-f", "-"], "kind: Service\n")
        .failed(1, "standard input has no pod and no pod template");
}

#[test]
fn rm_asks_before_it_deletes() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = file(
        folder.path(),
        "kubeconfig",
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n\
         contexts: [{name: one, context: {cluster: c, user: u, namespace: vision}}]\ncurrent-context: one\n",
    );
    let remove = || {
        lonely(
            folder.path(),
            &["rm", "a", "b", "--kubeconfig", &kubeconfig],
        )
    };
    failed(
        &outcome(remove().stdin(std::process::Stdio::null())),
        2,
        "nothing was deleted: nobody can be asked",
    );
    let question = "Delete your secrets a, b in namespace vision? [y/N] ";
    for answer in ["n\n", "\n", "yess\n"] {
        let session = at_terminal(remove(), &[(question, answer)]).unwrap();
        assert_eq!(session.code, Some(1), "{session:?}");
        assert!(
            session.shown.contains("error: nothing was deleted"),
            "{session:?}"
        );
    }
    let session = at_terminal(remove(), &[(question, "Y\n")]).unwrap();
    assert!(
        session
            .shown
            .contains("error: the API server cannot be reached"),
        "{session:?}"
    );
}

#[rstest]
#[case::add(&["add", "A"], &[("Value of A: ", "hunter2\r")], NO_CLUSTER)]
#[case::edited(&["add", "A"], &[("Value of A: ", "hunter2\u{15}hunter2\u{7f}\n")], NO_CLUSTER)]
#[case::prompts(
    &["create", "a", "--prompt", "A", "--prompt", "B"],
    &[("Value of A: ", "hunter2\n"), ("Value of B: ", "hunter2\n")],
    NO_CLUSTER
)]
#[case::all(&["create", "a"], &[("the name of the file: ", "token\n"), ("Value of token (is not shown): ", "hunter2\n")], NO_CLUSTER)]
#[case::password(
    &["create", "a", "--kind", "image-pull", "--docker-server", "ghcr.io", "--docker-username", "alice"],
    &[("Password of \"alice\" at \"ghcr.io\": ", "hunter2\n")],
    NO_CLUSTER
)]
#[case::standard_input(&["create", "a", "--from-stdin", "A"], &[("Value of A: ", "hunter2\n")], NO_CLUSTER)]
#[case::interrupted(&["add", "A"], &[("Value of A: ", "hunter2\u{3}")], "nothing was done: interrupted")]
#[case::nothing(&["add", "A"], &[("Value of A: ", "\n")], "nothing was done: no answer was given")]
#[case::pasted(&["add", "A"], &[("Value of A: ", "hunter2\nhunter2\n")], "nothing was done: the answer has more than one line")]
fn what_is_typed_is_not_shown(
    #[case] arguments: &[&str],
    #[case] typed: &[(&str, &str)],
    #[case] sentence: &str,
) {
    let folder = tempfile::tempdir().unwrap();
    let session = at_terminal(lonely(folder.path(), arguments), typed).unwrap();
    assert_eq!(session.code, Some(1), "{session:?}");
    assert!(
        session.shown.contains(sentence) && session.restored,
        "{session:?}"
    );
    assert!(!session.shown.contains(CANARY), "{session:?}");
}
