//! Following the files of the certificate and of the client CA.
//!
//! What changes is read once nothing has changed for a moment: an editor, cert-manager, and the kubelet, which exchanges
//! the link `..data`, take several steps. What cannot be used is said and counted, and what was in use stays.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use time::OffsetDateTime;
use tokio::{
    sync::Notify,
    task::spawn_blocking,
    time::{Instant, timeout},
};
use tracing::{error, info, warn};

use super::tls::{
    self, CERTIFICATE_FILE, CertificateResolver, ClientCa, Configuration, KEY_FILE, TlsError, date,
};
use crate::{admin::Condition, causes::one_line, metrics::Metrics};

/// How long nothing must change before files are read.
const QUIET: Duration = Duration::from_millis(200);
/// How long a change waits at most where there is no quiet.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often files are read without a sign of change: some file systems give none, and certificates become valid and
/// expire.
const ROUTINE: Duration = Duration::from_secs(30);

/// The certificate in `folder`; what cannot be used is an error here. What is returned beside takes changes into use for
/// as long as it runs. The condition holds while the certificate in use has not expired.
pub fn certificate(
    folder: &Path,
    metrics: &Metrics,
    condition: Condition,
) -> Result<
    (
        Arc<CertificateResolver>,
        impl Future<Output = ()> + Send + use<>,
    ),
    TlsError,
> {
    let credentials = tls::load(folder)?;
    metrics.certificate_expiry(credentials.not_after());
    let resolver = Arc::new(CertificateResolver::new(credentials));
    let files = [CERTIFICATE_FILE, KEY_FILE].map(|file| folder.join(file));
    let follower = Follower {
        part: "certificate",
        files: files.into(),
        metrics: metrics.clone(),
        told: None,
        unwatched: false,
    };
    let mut expiry = Expiry::new(Arc::clone(&resolver), condition);
    expiry.judge();
    let (folder, in_use, metrics) = (folder.to_owned(), Arc::clone(&resolver), metrics.clone());
    let following = follower.follow(
        move || tls::load(&folder),
        move |credentials| {
            let before = in_use.current();
            let is_new = before.is_none_or(|before| !before.is_same(&credentials));
            if is_new {
                let not_after = date(credentials.not_after());
                metrics.certificate_expiry(credentials.not_after());
                in_use.replace(credentials);
                info!(%not_after, "another serving certificate is used from now on");
            }
            is_new
        },
        move || expiry.judge(),
    );
    Ok((resolver, following))
}

/// What a listener follows that shows this certificate and lets in clients of the CA in this file, if there is one; what
/// cannot be used is an error here. What is returned beside takes changes of the file into use for as long as it runs.
pub fn configuration(
    certificate: Arc<CertificateResolver>,
    client_ca: Option<&Path>,
    metrics: &Metrics,
) -> Result<(Configuration, impl Future<Output = ()> + Send + use<>), TlsError> {
    let read = client_ca.map(ClientCa::read).transpose()?;
    let configuration: Configuration = tls::config(Arc::clone(&certificate), read.as_ref())?.into();
    let file = read.map(|in_use| {
        let path = in_use.path().to_owned();
        let follower = Follower {
            part: "client-ca",
            files: vec![path.clone()],
            metrics: metrics.clone(),
            told: None,
            unwatched: false,
        };
        (follower, path, in_use)
    });
    let replaced = configuration.clone();
    let following = async move {
        let Some((follower, path, mut in_use)) = file else {
            return;
        };
        let read = move || {
            let client_ca = ClientCa::read(&path)?;
            let config = tls::config(Arc::clone(&certificate), Some(&client_ca))?;
            Ok((client_ca, config))
        };
        let take = move |(client_ca, config): (ClientCa, _)| {
            let is_new = !in_use.is_same(&client_ca);
            if is_new {
                replaced.replace(config);
                in_use = client_ca;
                info!("clients of another CA are let in from now on");
            }
            is_new
        };
        follower.follow(read, take, || ()).await;
    };
    Ok((configuration, following))
}

/// Files that belong together.
struct Follower {
    /// What is made of them, for metrics and logs.
    part: &'static str,
    files: Vec<PathBuf>,
    metrics: Metrics,
    /// The error that was told last, until the files are good again.
    told: Option<String>,
    unwatched: bool,
}

impl Follower {
    /// Reads at once and whenever something changes; `take` says whether what was read is new. After each reading comes
    /// `afterwards`.
    async fn follow<T: Send + 'static>(
        mut self,
        read: impl Fn() -> Result<T, TlsError> + Send + Sync + 'static,
        mut take: impl FnMut(T) -> bool + Send,
        mut afterwards: impl FnMut() + Send,
    ) {
        let read = Arc::new(read);
        // Somebody may be about to exchange the second of two files.
        let mut doubted = None;
        loop {
            // The watches come first: what changes while the files are read is a reason to read them again. They are made
            // anew each time, because a folder that was replaced is another one under the same name.
            let sights = Sights::new(&self.files);
            self.note_watcher(&sights);
            let read = Arc::clone(&read);
            let mut pause = ROUTINE;
            // An error here means that the program ends.
            match spawn_blocking(move || read()).await {
                Ok(Ok(value)) => {
                    doubted = None;
                    self.good(take(value));
                }
                Ok(Err(error)) => {
                    let text = one_line(&error);
                    if self.told.as_ref() == Some(&text) || doubted.as_ref() == Some(&text) {
                        self.bad(text);
                    } else {
                        doubted = Some(text);
                        pause = QUIET;
                    }
                }
                Err(_) => {}
            }
            afterwards();
            sights.changed(pause).await;
        }
    }

    fn good(&mut self, is_new: bool) {
        let part = self.part;
        if is_new {
            self.metrics.certificate_reload(part);
        }
        if self.told.take().is_some() {
            info!(part, "the files can be used again");
        }
    }

    fn bad(&mut self, error: String) {
        if self.told.as_ref() != Some(&error) {
            let part = self.part;
            warn!(
                part,
                error, "changed files cannot be used; what was in use stays"
            );
            self.metrics.certificate_reload_failure(part);
            self.told = Some(error);
        }
    }

    fn note_watcher(&mut self, sights: &Sights) {
        if let (Some(error), false) = (&sights.failure, self.unwatched) {
            let (part, seconds) = (self.part, ROUTINE.as_secs());
            warn!(part, %error, "changes of files are not noticed at once; they are read every {seconds} seconds");
        }
        self.unwatched = sights.failure.is_some();
    }
}

/// An expired certificate makes every call of the API server fail: better to be out of the Service.
struct Expiry {
    resolver: Arc<CertificateResolver>,
    condition: Condition,
    told: bool,
}

impl Expiry {
    fn new(resolver: Arc<CertificateResolver>, condition: Condition) -> Self {
        Self {
            resolver,
            condition,
            told: false,
        }
    }

    fn judge(&mut self) {
        let Some(credentials) = self.resolver.current() else {
            return;
        };
        let not_after = credentials.not_after();
        let expired = not_after <= OffsetDateTime::now_utc();
        if expired {
            self.condition
                .not_ready("the serving certificate has expired");
            if !self.told {
                let not_after = date(not_after);
                error!(%not_after, "the serving certificate has expired; put a renewed one into its folder");
            }
        } else {
            self.condition.ready();
        }
        self.told = expired;
    }
}

/// Where changes are noticed.
struct Sights {
    changes: Arc<Notify>,
    failure: Option<notify::Error>,
    /// Ends with its last holder.
    _watcher: Option<RecommendedWatcher>,
}

impl Sights {
    fn new(files: &[PathBuf]) -> Self {
        let changes = Arc::new(Notify::new());
        let noted = Arc::clone(&changes);
        let note = move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_change(event.kind)) {
                noted.notify_one();
            }
        };
        let (mut watcher, mut failure) = match notify::recommended_watcher(note) {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(error)),
        };
        for folder in folders(files) {
            if let Some(watcher) = &mut watcher
                && let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive)
            {
                failure = Some(error);
            }
        }
        Self {
            changes,
            failure,
            _watcher: watcher,
        }
    }

    /// Waits for a change and for the quiet after it, or for the end of the `pause`.
    async fn changed(&self, pause: Duration) {
        if timeout(pause, self.changes.notified()).await.is_err() {
            return;
        }
        let latest = Instant::now() + PATIENCE;
        while Instant::now() < latest && timeout(QUIET, self.changes.notified()).await.is_ok() {}
    }
}

/// The folders of files, and those to which links lead: in a volume of the kubelet `..data`, which is exchanged, is beside
/// the files.
fn folders(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for file in files {
        let real = fs::canonicalize(file).ok();
        for file in [Some(file), real.as_ref()].into_iter().flatten() {
            let mut folder = parent(file);
            // In a folder above it is noticed that one comes, or that a link leads elsewhere.
            while !folder.is_dir() && folder != parent(&folder) {
                folder = parent(&folder);
            }
            if folder.is_symlink() {
                folders.insert(parent(&folder));
            }
            folders.insert(folder);
        }
    }
    folders
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(here) if here.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => path.to_owned(),
    }
}

/// That a file was read, by ourselves even, is no change.
fn is_change(event: EventKind) -> bool {
    match event {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}
