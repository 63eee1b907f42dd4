//! A real sshd that serves a git repository, behind a Service.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use kube::Client;
use serde_json::json;

use crate::{
    command::{output, run},
    enclosure::ADDRESS,
    images,
    support::{Result, objects, process::Process, wait_for},
};

/// The Service's address, which kube-proxy leads to the server: in the range of the API server.
pub(crate) const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 22);
/// What is in the repository.
pub(crate) const CONTENT: &str = "cloned over ssh";

const NAMESPACE: &str = "git-server";
const PORT: u16 = 22;

/// A running server; dropping it ends it.
pub(crate) struct GitServer {
    folder: PathBuf,
    _process: Process,
}

impl GitServer {
    /// Starts it and returns when it is reached by its Service.
    pub(crate) async fn start(admin: &Client, folder: &Path) -> Result<Self> {
        let folder = folder.join("git");
        fs::create_dir(&folder)?;
        for name in ["host", "another", "alice", "stranger"] {
            make_key(&folder.join(name))?;
        }
        make_repository(&folder)?;
        add_user(&folder)?;
        let mut command = Command::new(images::find("sshd")?);
        command.args(["-D", "-e", "-f"]).arg(configure(&folder)?);
        let mut process = Process::start("sshd", &mut command, &folder.join("sshd.log"))?;
        expose(admin).await?;
        let service = SocketAddr::from((SERVICE, PORT));
        let what = "sshd to be reached by its Service";
        let reached = wait_for(what, Duration::from_secs(30), async || {
            process.check()?;
            Ok(TcpStream::connect_timeout(&service, Duration::from_secs(1)).ok())
        });
        reached.await?;
        Ok(Self {
            folder,
            _process: process,
        })
    }

    /// A private key: `alice` may clone, `stranger` may not.
    pub(crate) fn private_key(&self, name: &str) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join(name))?)
    }

    /// A line of `known_hosts`: the server's key is called `host`, and there is `another`.
    pub(crate) fn known_host(&self, address: &str, key: &str) -> Result<String> {
        let key = fs::read_to_string(self.folder.join(format!("{key}.pub")))?;
        Ok(format!("{address} {key}"))
    }
}

fn make_key(path: &Path) -> Result<()> {
    let path = path.to_string_lossy();
    run(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-f", &path],
    )?;
    Ok(())
}

fn make_repository(folder: &Path) -> Result<()> {
    let work = folder.join("work");
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        // Nobody's own configuration counts.
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .args([
                "-c",
                "user.name=alice",
                "-c",
                "user.email=alice@example.com",
            ])
            .args(arguments)
            .current_dir(folder);
        output(&mut command)
    };
    git(&["init", "--quiet", "--initial-branch=main", "work"])?;
    fs::write(work.join("README"), CONTENT)?;
    git(&["-C", "work", "add", "README"])?;
    git(&["-C", "work", "commit", "--quiet", "--message=Say so"])?;
    git(&["clone", "--quiet", "--bare", "work", "project.git"])?;
    Ok(())
}

/// The user `git`, at home in the folder. The machine's own files are only seen through here: see the enclosure.
fn add_user(folder: &Path) -> Result<()> {
    let append = |file: &str, line: &str| {
        let mut file = OpenOptions::new().append(true).open(file)?;
        writeln!(file, "{line}")
    };
    append(
        "/etc/passwd",
        &format!("git:x:0:0::{}:/bin/sh", folder.display()),
    )?;
    append("/etc/shadow", "git:*:19000:0:99999:7:::")?;
    Ok(())
}

fn configure(folder: &Path) -> Result<PathBuf> {
    // Where it works without its rights.
    fs::create_dir_all("/run/sshd")?;
    let path = folder.join("sshd_config");
    let configuration = format!(
        "ListenAddress {ADDRESS}:{PORT}\n\
         HostKey {folder}/host\n\
         AuthorizedKeysFile {folder}/alice.pub\n\
         AllowUsers git\n\
         AuthenticationMethods publickey\n\
         PermitRootLogin prohibit-password\n\
         ForceCommand git shell -c \"$SSH_ORIGINAL_COMMAND\"\n\
         MaxStartups 100\n\
         PidFile none\n\
         StrictModes no\n\
         UsePAM no\n",
        folder = folder.display()
    );
    fs::write(&path, configuration)?;
    Ok(path)
}

async fn expose(admin: &Client) -> Result<()> {
    objects::create_namespace(admin, NAMESPACE, json!({}), false).await?;
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": NAMESPACE, "name": "git"},
        "spec": {"clusterIP": SERVICE, "ports": [{"name": "ssh", "port": PORT}]},
    });
    objects::create(admin, service).await?;
    let endpoints = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": NAMESPACE,
            "name": "git",
            "labels": {"kubernetes.io/service-name": "git"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "ssh", "port": PORT}],
        "endpoints": [{"addresses": [ADDRESS]}],
    });
    objects::create(admin, endpoints).await?;
    Ok(())
}
