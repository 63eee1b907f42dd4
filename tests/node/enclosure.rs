//! The machine within the machine: namespaces of its own for processes, mounts and network.
//!
//! A node starts processes that outlive what started them, mounts, makes links and packet filter rules. All of that is gone
//! when the first process of its process namespace is, however that ended. So the test program runs itself again inside.
//! What such namespaces do not hold, cgroups and a folder for files, is removed from outside, and then checked.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, Read},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{self, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use crate::{command::run, requirements, support::Result};

/// The address of the machine within, on a bridge of its own. That network is kept free for documentation.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

/// Names the folder of the run, where the program runs inside.
const FOLDER: &str = "KEYPORTER_TEST_ENCLOSURE";
/// Where the program inside writes down its namespaces.
const NAMESPACES: &str = "namespaces";
/// Where it has its temporary files.
const FILES: &str = "tmp";
/// The kinds of namespaces that are its own.
const KINDS: [&str; 3] = ["mnt", "net", "pid"];
/// What `unshare` has to do: the end of the one that runs outside is that of all inside.
const NAMESPACE_FLAGS: [&str; 6] = [
    "--mount",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];
/// What a kubelet sets for the whole machine, and does not set where it finds it so.
const SETTINGS: [(&str, &str); 6] = [
    ("kernel/keys/root_maxbytes", "25000000"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
];
/// The end of many processes takes a moment.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// The inside.
pub(crate) struct Enclosure {
    folder: PathBuf,
}

impl Enclosure {
    /// The enclosure that this process runs in.
    pub(crate) fn entered() -> Option<Self> {
        let folder = env::var_os(FOLDER)?.into();
        Some(Self { folder })
    }

    /// Makes of the namespaces something that a node can live in.
    pub(crate) fn prepare(&self) -> Result<()> {
        // Standard input is a pipe from the outside, which closes however that ends.
        thread::spawn(|| {
            let _ = io::stdin().read_to_end(&mut Vec::new());
            process::exit(1);
        });
        let namespaces: Vec<String> = KINDS
            .iter()
            .map(|kind| namespace(Path::new("/proc/self"), kind))
            .collect::<Option<_>>()
            .ok_or("/proc tells no namespaces")?;
        fs::write(self.folder.join(NAMESPACES), namespaces.join("\n"))?;
        // What follows is in memory, and overlays work on that wherever the folder is.
        let folder = self.folder.to_string_lossy();
        run("mount", &["-t", "tmpfs", "tmpfs", &folder])?;
        self.make_folder(FILES)?;
        self.mount()?;
        run("ip", &["link", "set", "lo", "up"])?;
        run("ip", &["link", "add", "outside", "type", "bridge"])?;
        let address = format!("{ADDRESS}/24");
        run("ip", &["address", "add", &address, "dev", "outside"])?;
        run("ip", &["link", "set", "outside", "up"])?;
        // Addresses of Services are nowhere: packets to them need a way to go until kube-proxy's rules change it.
        run("ip", &["route", "add", "default", "dev", "outside"])?;
        Ok(())
    }

    /// Whatever a node writes at its usual places lands in the folder of the run.
    fn mount(&self) -> Result<()> {
        for place in ["/etc", "/var/lib", "/var/log"] {
            let name = place.replace('/', "_");
            let (upper, work) = (
                self.make_folder(&format!("upper{name}"))?,
                self.make_folder(&format!("work{name}"))?,
            );
            let options = format!(
                "lowerdir={place},upperdir={},workdir={}",
                upper.display(),
                work.display()
            );
            run(
                "mount",
                &["-t", "overlay", "-o", &options, "overlay", place],
            )?;
        }
        run("mount", &["-t", "tmpfs", "tmpfs", "/run"])?;
        let settings = self.make_folder("settings")?;
        for (name, value) in SETTINGS {
            let file = settings.join(name.replace('/', "_"));
            fs::write(&file, format!("{value}\n"))?;
            let place = format!("/proc/sys/{name}");
            if Path::new(&place).exists() {
                run("mount", &["--bind", &file.to_string_lossy(), &place])?;
            }
        }
        Ok(())
    }

    fn make_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir(&folder)?;
        Ok(folder)
    }
}

/// The cgroup that the pods' cgroups are below, by the name it has in every hierarchy.
pub(crate) fn cgroup() -> Result<String> {
    let enclosure = Enclosure::entered().ok_or("this runs outside")?;
    let name = enclosure.folder.file_name().ok_or("no folder")?;
    Ok(format!("/{}", name.to_string_lossy()))
}

/// Whether this machine lets us make one.
pub(crate) fn is_possible() -> Result<()> {
    let mut arguments = NAMESPACE_FLAGS.to_vec();
    arguments.push("true");
    run("unshare", &arguments)?;
    let (folder, cgroups) = make()?;
    clean_up(folder, &cgroups)
}

/// Runs this program inside, waits for its end, cleans up and checks that nothing is left.
pub(crate) fn run_again_inside() -> Result<ExitCode> {
    let (folder, cgroups) = make()?;
    let outcome = run_inside(folder.path());
    clean_up(folder, &cgroups)?;
    outcome
}

/// The folder of a run, and its cgroups.
fn make() -> Result<(TempDir, Vec<PathBuf>)> {
    let folder = tempfile::Builder::new()
        .prefix("keyporter-node-")
        .tempdir()?;
    let name = folder.path().file_name().unwrap_or_default();
    let hierarchies = hierarchies()?;
    if let [hierarchy] = &*hierarchies {
        pass_on_controllers(hierarchy);
    }
    let cgroups: Vec<PathBuf> = hierarchies.iter().map(|place| place.join(name)).collect();
    for cgroup in &cgroups {
        if let Err(error) = fs::create_dir(cgroup) {
            clean_up(folder, &cgroups)?;
            return Err(format!("{}: {error}", cgroup.display()).into());
        }
    }
    Ok((folder, cgroups))
}

/// The one hierarchy of version 2, where a cgroup has the controllers that the one above it passes on. A kubelet whose
/// cgroups are not below another has them passed on itself, and so it stays; where that cannot be, the kubelet says so.
fn pass_on_controllers(hierarchy: &Path) {
    let controllers = fs::read_to_string(hierarchy.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        let passed_on = hierarchy.join("cgroup.subtree_control");
        let _ = fs::write(passed_on, format!("+{controller}"));
    }
}

fn run_inside(folder: &Path) -> Result<ExitCode> {
    let mut command = tokio::process::Command::new("unshare");
    command
        .args(NAMESPACE_FLAGS)
        // A shell is the first process, because it waits for orphans too. It must not replace itself by the program.
        .args(["sh", "-c", "\"$0\" \"$@\"; exit $?"])
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(FOLDER, folder)
        .env("TMPDIR", folder.join(FILES))
        .env("PATH", env::join_paths(requirements::folders())?)
        .stdin(Stdio::piped());
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut signals = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ];
        let [interrupt, terminate, hangup] = &mut signals;
        let mut child = command.spawn()?;
        let pipe = child.stdin.take();
        let status = tokio::select! {
            status = child.wait() => status?,
            _ = interrupt.recv() => stop(&mut child).await?,
            _ = terminate.recv() => stop(&mut child).await?,
            _ = hangup.recv() => stop(&mut child).await?,
        };
        drop(pipe);
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    })
}

async fn stop(child: &mut tokio::process::Child) -> io::Result<process::ExitStatus> {
    eprintln!("stops the node");
    child.kill().await?;
    child.wait().await
}

/// Removes what can be removed; the error names all that is left.
fn clean_up(folder: TempDir, cgroups: &[PathBuf]) -> Result<()> {
    let path = folder.path().to_owned();
    let namespaces = fs::read_to_string(path.join(NAMESPACES)).unwrap_or_default();
    let namespaces: BTreeSet<&str> = namespaces.lines().collect();
    let mut outcomes = vec![eventually(|| nothing_runs_in(&namespaces))];
    outcomes.extend(
        cgroups
            .iter()
            .map(|cgroup| eventually(|| remove_cgroup(cgroup))),
    );
    let removed = folder.close();
    outcomes.push(removed.map_err(|error| format!("{}: {error}", path.display()).into()));
    outcomes.push(nothing_is_mounted_in(&path));
    let left: Vec<String> = outcomes
        .into_iter()
        .filter_map(Result::err)
        .map(|error| error.to_string())
        .collect();
    if left.is_empty() {
        return Ok(());
    }
    Err(format!("left behind: {}", left.join(", ")).into())
}

fn eventually(attempt: impl Fn() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < GONE_WITHIN => thread::sleep(Duration::from_millis(50)),
            outcome => return outcome,
        }
    }
}

/// A network namespace, with its links and packet filter, lives as long as a process or a mount of it.
fn nothing_runs_in(namespaces: &BTreeSet<&str>) -> Result<()> {
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let own = |kind: &&str| {
            namespace(&path, kind).is_some_and(|name| namespaces.contains(name.as_str()))
        };
        if KINDS.iter().any(own) {
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            return Err(format!("the process {} {}", path.display(), name.trim()).into());
        }
    }
    Ok(())
}

fn nothing_is_mounted_in(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    if mounts.contains(&*folder.to_string_lossy()) {
        return Err(format!("mounts of {}", folder.display()).into());
    }
    Ok(())
}

/// `None` also for a process that ended meanwhile.
fn namespace(process: &Path, kind: &str) -> Option<String> {
    let link = fs::read_link(process.join("ns").join(kind)).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// Where cgroups are mounted.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    Ok(mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let place = fields.next()?;
            let kind = fields.next()?;
            ["cgroup", "cgroup2"]
                .contains(&kind)
                .then(|| PathBuf::from(place))
        })
        .collect())
}

/// Its files are the kernel's; only folders are removed, the innermost first.
fn remove_cgroup(cgroup: &Path) -> Result<()> {
    if !cgroup.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_cgroup(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup).map_err(|error| format!("{}: {error}", cgroup.display()).into())
}
