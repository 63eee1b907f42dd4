//! `keyporter serve --secrets`: the whole webhook without a cluster.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    https::Client,
    program::{command, file, run},
};

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);

struct Standalone {
    child: Child,
    port: u16,
    admin_port: u16,
    authority: Vec<u8>,
}

impl Standalone {
    /// Starts in `folder`, so that the development certificates land there.
    async fn start(folder: &Path, secrets: &str) -> Self {
        let mut standalone = Self::launch(folder, &["--secrets", secrets]);
        standalone
            .until(async |this| {
                this.get("readyz")
                    .await
                    .is_some_and(|(status, _)| status == 200)
            })
            .await;
        standalone.authority = fs::read(folder.join("certs/ca.crt")).unwrap();
        standalone
    }

    fn launch(folder: &Path, source: &[&str]) -> Self {
        let [port, admin_port] = free_ports();
        let (listen, admin_listen) = (
            format!("127.0.0.1:{port}"),
            format!("127.0.0.1:{admin_port}"),
        );
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut arguments = vec![
            "serve",
            "--listen",
            &listen,
            "--admin-listen",
            &admin_listen,
        ];
        arguments.extend(source);
        let child = command(&arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            child,
            port,
            admin_port,
            authority: vec![],
        }
    }

    async fn until(&mut self, condition: impl AsyncFn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self).await {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended");
            assert!(start.elapsed() < PATIENCE, "it did not happen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn get(&self, path: &str) -> Option<(StatusCode, String)> {
        let address = ([127, 0, 0, 1], self.admin_port).into();
        let mut connection = crate::https::Connection::plain(address).await.ok()?;
        let url = format!("http://localhost:{}/{path}", self.admin_port);
        let (status, _, body) = connection.get(&url).await.ok()?;
        Some((status, String::from_utf8(body.to_vec()).unwrap()))
    }

    /// The objects of env secrets that a pod of alice's gets.
    async fn env_objects(&self) -> Vec<String> {
        let review = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
            "uid": "1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": "vision", "operation": "CREATE",
            "userInfo": {"username": "alice"}, "object": {"metadata": {}, "spec": {"containers": [{"name": "c"}]}},
        }});
        let client = Client::new(&self.authority);
        let url = format!("https://localhost:{}/mutate", self.port);
        let (status, _, body) = client
            .post(&url, "application/json", review.to_string())
            .await
            .unwrap();
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let Some(patch) = answer["response"]["patch"].as_str() else {
            return vec![];
        };
        let patch: Value =
            serde_json::from_slice(&data_encoding::BASE64.decode(patch.as_bytes()).unwrap())
                .unwrap();
        let of_env = |operation: &&Value| operation["path"] == "/spec/containers/0/envFrom";
        let sources = patch
            .as_array()
            .unwrap()
            .iter()
            .find(of_env)
            .map(|operation| operation["value"].clone());
        let name = |source: &Value| source["secretRef"]["name"].as_str().unwrap().to_owned();
        sources
            .map(|sources| sources.as_array().unwrap().iter().map(name).collect())
            .unwrap_or_default()
    }

    /// Asks it to end, as a kubelet does.
    fn terminate(mut self) -> std::process::ExitStatus {
        let kill = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(kill.success());
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it did not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn free_ports() -> [u16; 2] {
    let listeners = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn secret(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: vision\n  labels: {{keyporter.dev/kind: env}}\n  \
         annotations: {{keyporter.dev/owner: alice}}\nstringData: {{TOKEN: canary-value}}\n"
    )
}

#[tokio::test]
async fn it_serves_from_files_and_reads_them_again_when_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    file(&secrets, "one.yaml", &secret("one"));
    let mut standalone = Standalone::start(folder.path(), secrets.to_str().unwrap()).await;
    assert_eq!(standalone.env_objects().await, ["one"]);

    file(&secrets, "two.yaml", &secret("two"));
    standalone
        .until(async |this| this.env_objects().await.len() == 2)
        .await;

    // A file with an error keeps what was known.
    file(&secrets, "two.yaml", "kind: [");
    standalone
        .until(async |_| {
            fs::read_to_string(folder.path().join("log"))
                .unwrap()
                .contains("two.yaml: document 1")
        })
        .await;
    assert_eq!(standalone.env_objects().await.len(), 2);

    fs::remove_file(secrets.join("two.yaml")).unwrap();
    standalone
        .until(async |this| this.env_objects().await == ["one"])
        .await;

    let counted = r#"keyporter_catalog_secrets{kind="env",scope="user"} 1"#;
    standalone
        .until(async |this| {
            this.get("metrics")
                .await
                .is_some_and(|(_, page)| page.contains(counted))
        })
        .await;
    file(
        &secrets,
        "odd.yaml",
        &secret("odd").replace(": env", ": magic"),
    );
    let ignored = r#"keyporter_catalog_ignored_secrets{problem="unknown-kind"} 1"#;
    standalone
        .until(async |this| {
            this.get("metrics")
                .await
                .is_some_and(|(_, page)| page.contains(ignored))
        })
        .await;
    assert_eq!(standalone.terminate().code(), Some(0));
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    let line = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["message"] == "admission")
        .unwrap();
    let told = json!({"uid": "1", "namespace": "vision", "kind": "Pod", "requester": "alice", "owner": "alice",
                      "decision": "inject", "reason": "injected", "injected": "1", "warnings": 0});
    for (name, value) in told.as_object().unwrap() {
        assert_eq!(&line[name], value, "{name} in {line}");
    }
    assert!(line["duration_us"].is_u64(), "{line}");
    assert!(!log.contains("canary-value"), "{log}");
}

/// A cluster that does not answer: alive, not ready, and no word about pods.
#[tokio::test]
async fn before_the_first_complete_list_it_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = nobody.local_addr().unwrap();
    drop(nobody);
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: 'http://{server}'}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    );
    let kubeconfig = file(folder.path(), "kubeconfig", &kubeconfig);
    let flags = [
        "--kubeconfig",
        &kubeconfig,
        "--certificates",
        "self-managed",
    ];
    let mut standalone = Standalone::launch(folder.path(), &flags);
    standalone
        .until(async |this| {
            this.get("livez")
                .await
                .is_some_and(|(status, _)| status == 200)
        })
        .await;
    let reason = "[-]certificate failed: there is no serving certificate yet: ";
    standalone
        .until(async |this| {
            let readiness = this.get("readyz").await;
            readiness.is_some_and(|(_, text)| {
                text.contains(reason) && text.contains("cannot be read or written: the API server")
            })
        })
        .await;
    let (status, conditions) = standalone.get("readyz").await.unwrap();
    assert_eq!(status, 503);
    assert!(
        conditions.contains("[-]catalog failed: the first list"),
        "{conditions}"
    );
}

#[test]
fn what_is_wrong_is_said_before_anything_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().to_str().unwrap();
    let examples = "deploy/examples/secrets.yaml";
    let any = "127.0.0.1:0";
    let serve = |arguments: &[&str]| {
        let mut all = vec!["serve", "--listen", any, "--admin-listen", any];
        all.extend(arguments);
        run(&all)
    };
    serve(&["--secrets", examples, "--cert-dir", empty]).failed(1, "tls.crt");
    serve(&["--secrets", "absent"]).failed(1, "absent does not exist");
    let managed = ["--certificates", "self-managed", "--secrets", examples];
    serve(&managed).failed(1, "--certificates self-managed takes a cluster");
    serve(&["--secrets", examples, "--kubeconfig", "x"]).failed(2, "--kubeconfig");
    run(&["serve", "--secrets", examples, "--listen", "here"]).failed(2, "--listen");
    let may_enter = |flag: &str, name: &str| run(&["serve", "--secrets", examples, flag, name]);
    let everybody = "the group system:authenticated holds everybody";
    may_enter("--may-enter-group", "system:authenticated").failed(2, everybody);
    may_enter("--may-enter-group", "").failed(2, "--may-enter-group");
    may_enter("--may-enter-user", "").failed(2, "a name is not empty");

    let certificates = folder.path().join("certs");
    let certificates = certificates.to_str().unwrap();
    run(&["certs", "generate", "--directory", certificates]).printed();
    let with_kubeconfig =
        |kubeconfig: &str| serve(&["--cert-dir", certificates, "--kubeconfig", kubeconfig]);
    with_kubeconfig("absent").failed(1, "cannot read the kubeconfig absent");
    let text = "users:\n- user:\n    token: \"hunter2\n";
    let damaged = with_kubeconfig(&file(folder.path(), "kubeconfig", text));
    damaged.failed(1, "kubeconfig is not valid; `kubectl config view`");
    let plugin = "clusters: [{name: c, cluster: {server: 'https://192.0.2.1'}}]\nusers: [{name: u, user: {exec: {apiVersion: \
                  client.authentication.k8s.io/v1, interactiveMode: Never, command: sh, args: ['-c', 'echo hunter2; exit \
                  3']}}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n";
    let refused = with_kubeconfig(&file(folder.path(), "kubeconfig", plugin));
    refused.failed(1, "the credential plugin ended with exit status: 3");
    for run in [damaged, refused] {
        assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    }

    let taken = TcpListener::bind(any).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let listen = [
        "--secrets",
        examples,
        "--admin-listen",
        any,
        "--listen",
        &address,
    ];
    run(&[&["serve"], &listen[..]].concat()).failed(1, &address);
}
