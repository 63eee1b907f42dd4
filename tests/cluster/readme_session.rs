//! The session in the README, line by line, as alice types it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use kube::ResourceExt;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    canary,
    command_line::{bind, role, roles},
    harness::{Cluster, Harness},
    project::wait_until,
    support::{Result, objects, terminal::at_terminal},
};

const README: &str = include_str!("../../README.md");
/// Where alice works.
const NAMESPACE: &str = "research";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial_with_controllers("readme_session::every_line_does_what_is_shown", session)]
}

/// What is typed, and what it prints.
#[derive(Debug)]
struct Step {
    line: String,
    output: Vec<String>,
}

/// The one block of the README in which somebody types.
fn steps() -> Vec<Step> {
    let block = README
        .split("```console\n")
        .nth(1)
        .expect("a session in the README");
    let block = block.split("```").next().expect("its end");
    let mut steps: Vec<Step> = vec![];
    for line in block.lines() {
        if let Some(typed) = line.strip_prefix("$ ") {
            let line = typed.to_owned();
            steps.push(Step {
                line,
                output: vec![],
            });
        } else {
            let step = steps.last_mut().expect("a prompt before what is printed");
            step.output.push(line.to_owned());
        }
    }
    steps
}

async fn session(cluster: &Cluster) -> Result<()> {
    cluster.keyporter().await?;
    let admin = cluster.admin();
    let labels = json!({"keyporter.dev/inject": "enabled"});
    objects::create_namespace(&admin, NAMESPACE, labels, true).await?;
    roles(cluster)?;
    bind(
        cluster,
        NAMESPACE,
        "alice",
        "keyporter-author",
        ("delete", "", "secrets"),
    )
    .await?;
    bind(
        cluster,
        NAMESPACE,
        "alice",
        "keyporter-viewer",
        ("list", "", "secrets"),
    )
    .await?;
    let pods = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "delete", "get", "list", "watch"]}]);
    role(cluster, "tests-pods", pods).await?;
    bind(
        cluster,
        NAMESPACE,
        "alice",
        "tests-pods",
        ("delete", "", "pods"),
    )
    .await?;

    let home = home()?;
    let kubeconfig = home.path().join("kubeconfig");
    fs::write(
        &kubeconfig,
        in_namespace(&cluster.kubeconfig("alice", None)?)?,
    )?;
    let kubectl = cluster
        .binaries()
        .find_file("kubectl")
        .ok_or("there is no kubectl")?;
    let shell = Shell {
        home: home.path().to_owned(),
        kubeconfig,
        path: [Path::new(env!("CARGO_BIN_EXE_keyporter")), &kubectl]
            .map(|program| {
                program
                    .parent()
                    .unwrap_or(Path::new("/"))
                    .display()
                    .to_string()
            })
            .join(":"),
    };

    let alice = cluster.client("alice").await?;
    let mut shown = String::new();
    let mut differs = false;
    for Step { line, output } in steps() {
        if line.starts_with("kubectl run ") {
            wait_until("the webhook to know alice's secrets", async || {
                let pod = objects::dry_run(&alice, objects::pod(NAMESPACE, "probe")).await?;
                let record = pod.annotations().get("keyporter.dev/injected").cloned();
                let record = record.unwrap_or_default();
                Ok(["aws", "wandb"].iter().all(|name| record.contains(name)))
            })
            .await?;
        }
        // Here the webhooks are called otherwise than in an installation.
        let printed = shell
            .run(&line)?
            .replace("\"keyporter.keyporter.dev\"", "\"secrets.keyporter.dev\"");
        assert!(!canary::is_in(&printed), "{line}: {printed}");
        differs |= alike(printed.lines()) != alike(output.iter().map(String::as_str));
        shown.extend(["$ ", &line, "\n", &printed]);
    }
    assert!(
        !differs,
        "the README shows something else than\n```console\n{shown}```"
    );
    Ok(())
}

/// A folder with what alice has before she begins.
fn home() -> Result<tempfile::TempDir> {
    let home = tempfile::tempdir()?;
    fs::create_dir(home.path().join(".aws"))?;
    for (file, text) in [
        (
            "wandb.env",
            format!(
                "# my own\nWANDB_API_KEY={}\nWANDB_MODE=online\n",
                canary::VALUE
            ),
        ),
        (
            ".aws/config",
            "[default]\nregion = eu-central-1\n".to_owned(),
        ),
        (
            ".aws/credentials",
            format!("[default]\naws_secret_access_key = {}\n", canary::VALUE),
        ),
    ] {
        fs::write(home.path().join(file), text)?;
    }
    Ok(home)
}

/// With the namespace as that of the context, as an administrator hands it out.
fn in_namespace(kubeconfig: &Path) -> Result<String> {
    let mut config: Value = serde_json::from_slice(&fs::read(kubeconfig)?)?;
    config["contexts"][0]["context"]["namespace"] = NAMESPACE.into();
    Ok(config.to_string())
}

struct Shell {
    home: PathBuf,
    kubeconfig: PathBuf,
    path: String,
}

impl Shell {
    /// All that a terminal shows, but its colours.
    fn run(&self, line: &str) -> Result<String> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", line])
            .current_dir(&self.home)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.path))
            .env("HOME", &self.home)
            .env("TERM", "xterm")
            .env("KUBECONFIG", &self.kubeconfig);
        let shown = at_terminal(shell, &[])?.shown;
        let shown = anstream::adapter::strip_str(&shown).to_string();
        Ok(shown.replace("\r\n", "\n"))
    }
}

/// Without what is another every time: ages, times, and the widths of their columns.
fn alike<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let word = |word: &str| {
        let number = word.trim_end_matches(['s', 'm', 'h', 'd']);
        let all_digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if number.len() + 1 == word.len() && all_digits(number) {
            "AGE".to_owned()
        } else if word.len() == "2026-01-01T00:00:00Z".len()
            && word.ends_with('Z')
            && word.starts_with("20")
        {
            "TIME".to_owned()
        } else {
            word.to_owned()
        }
    };
    lines
        .map(|line| {
            line.split_whitespace()
                .map(|one| word(one.trim_matches(['(', ')'])))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}
