//! The program, run by a person with a kubeconfig.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    canary,
    harness::Cluster,
    support::{Result, control_plane::ADMIN, objects},
};

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// It ended well and complained of nothing; gives what it printed.
    #[track_caller]
    pub(crate) fn printed(self) -> String {
        assert_eq!((self.code, &*self.stderr), (Some(0), ""), "{self:?}");
        self.stdout
    }

    /// The cells of a table, without those of the columns named.
    #[track_caller]
    pub(crate) fn table(self, without: &[&str]) -> Vec<String> {
        table(&self.printed(), without)
    }
}

/// The rows of a table, cells joined by a bar, without those of the columns named.
pub(crate) fn table(text: &str, without: &[&str]) -> Vec<String> {
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| {
            line.split('\t')
                .flat_map(|cell| cell.split("  "))
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    let header = rows.first().cloned().unwrap_or_default();
    let keep = |row: Vec<&str>| {
        let cells = row.into_iter().enumerate();
        let kept = cells.filter(|(column, _)| {
            header
                .get(*column)
                .is_none_or(|name| !without.contains(name))
        });
        kept.map(|(_, cell)| cell).collect::<Vec<_>>().join("|")
    };
    rows.into_iter().map(keep).collect()
}

/// A person and where they work.
pub(crate) struct Person {
    kubeconfig: PathBuf,
    namespace: String,
}

impl Person {
    pub(crate) fn new(cluster: &Cluster, user: &str, namespace: &str) -> Result<Self> {
        let group = (user == ADMIN).then_some("system:masters");
        Ok(Self {
            kubeconfig: cluster.kubeconfig(user, group)?,
            namespace: namespace.to_owned(),
        })
    }

    /// Runs the program in the person's namespace. No value is in what it says, however much it logs.
    pub(crate) fn run(&self, command: &[&str], arguments: &[&str]) -> Result<Run> {
        let place = ["-n", &self.namespace];
        let place = if arguments.contains(&"-A") {
            &place[..0]
        } else {
            &place
        };
        let quiet = self.start(command, &[place, arguments].concat())?;
        let verbose = ["--log-level", "trace", "--log-format", "text"];
        self.start(command, &[place, arguments, &verbose].concat())?;
        Ok(quiet)
    }

    fn start(&self, command: &[&str], arguments: &[&str]) -> Result<Run> {
        let mut program = Command::new(env!("CARGO_BIN_EXE_keyporter"));
        program
            .env_remove("KUBECONFIG")
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .env_remove("KEYPORTER_LOG")
            .args(command)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .stdin(Stdio::null());
        let output = program.output()?;
        let run = Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        };
        assert!(
            !canary::is_in(&run.stdout) && !canary::is_in(&run.stderr),
            "{run:?}"
        );
        Ok(run)
    }
}

/// Binds a cluster role to a user in a namespace, and returns when it counts.
pub(crate) async fn bind(
    cluster: &Cluster,
    namespace: &str,
    user: &str,
    role: &str,
    counts: (&str, &str, &str),
) -> Result<()> {
    let admin = cluster.admin();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"namespace": namespace, "name": format!("{user}-{role}")},
        "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [objects::subject(user)],
    });
    objects::create(&admin, binding).await?;
    objects::wait_until_allowed(&admin, namespace, user, counts).await
}

/// Makes the roles of `deploy/examples/roles.yaml`, as an administrator does.
pub(crate) fn roles(cluster: &Cluster) -> Result<()> {
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples/roles.yaml");
    cluster
        .kubectl(ADMIN)?
        .run(&["apply", "--server-side", "-f", FILE])?
        .ok()?;
    Ok(())
}

/// Makes a role for a namespace.
pub(crate) async fn role(cluster: &Cluster, name: &str, rules: Value) -> Result<()> {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": rules,
    });
    match objects::create(&cluster.admin(), role).await {
        // Another trial made it.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        outcome => {
            outcome?;
            Ok(())
        }
    }
}
