//! Reading files again when they change.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf, absolute};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fs, io, mem};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tracing::{info, warn};

use super::{LoadError, Loaded, Stamp, find, load, stamps};
use crate::catalog::Catalog;
use crate::causes::one_line;

/// How long nothing must change before files are read: editors and the kubelet take several steps.
const QUIET: Duration = Duration::from_millis(200);
/// How long a change waits at most where there is no quiet.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often files are read without a sign of change: some file systems (NFS, FUSE) give none.
const ROUTINE: Duration = Duration::from_secs(30);

/// Reads files into a catalog until it is dropped.
#[derive(Debug)]
pub struct FileWatch {
    stop: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// Reads the files that [`load`] reads, whenever they change, into the catalog as [`Source::Files`](crate::catalog::Source::Files).
/// What was `loaded` of these paths is taken in first; without it, or where files have changed since, they are read at once.
///
/// A reading that fails leaves in the catalog what was read before. It is logged, once for each error, and told to
/// `outcome`, as is each reading that succeeds. Fails where no thread can be had.
pub fn watch(
    paths: &[PathBuf],
    default_namespace: &str,
    loaded: Option<Loaded>,
    catalog: Catalog,
    outcome: impl FnMut(Result<(), &LoadError>) + Send + 'static,
) -> io::Result<FileWatch> {
    let (stop, signals) = channel();
    let reader = Reader {
        // Events name files by absolute paths.
        paths: paths.iter().map(absolute).collect::<io::Result<_>>()?,
        default_namespace: default_namespace.to_owned(),
        catalog,
        outcome,
        told: None,
        watcher_failed: false,
    };
    let sender = stop.clone();
    let thread = thread::Builder::new()
        .name("secret-files".to_owned())
        .spawn(move || reader.run(loaded, &sender, &signals))?;
    Ok(FileWatch {
        stop,
        thread: Some(thread),
    })
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        // A thread that has ended already hears neither.
        let _ = self.stop.send(Signal::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

enum Signal {
    Changed(Vec<PathBuf>),
    Stop,
}

struct Reader<F> {
    paths: Vec<PathBuf>,
    default_namespace: String,
    catalog: Catalog,
    outcome: F,
    /// The error that was logged last, until a reading succeeds.
    told: Option<String>,
    watcher_failed: bool,
}

impl<F: FnMut(Result<(), &LoadError>)> Reader<F> {
    fn run(mut self, loaded: Option<Loaded>, sender: &Sender<Signal>, signals: &Receiver<Signal>) {
        let mut first = loaded.map(|loaded| self.take(loaded));
        loop {
            // The watches come first: what changes while the files are read is a reason to read them again. They are
            // made anew each time, because a folder that was replaced is another one under the same name.
            let sights = Sights::new(&self.paths, sender.clone());
            self.note_watcher(&sights);
            // What changed between the first reading and the watches shows in the stamps.
            let known = first.take();
            if known.is_none() || known != stamps(&self.paths) {
                self.read();
            }
            if !sights.wait(signals) {
                return;
            }
        }
    }

    fn read(&mut self) {
        match load(&self.paths, &self.default_namespace) {
            Ok(loaded) => {
                self.take(loaded);
                if self.told.take().is_some() {
                    info!("the secret files can be read again");
                }
            }
            Err(error) => {
                let text = one_line(&error);
                if self.told.as_ref() != Some(&text) {
                    warn!(
                        error = text,
                        "the secret files cannot be read; what was read before stays in use"
                    );
                    self.told = Some(text);
                }
                (self.outcome)(Err(&error));
            }
        }
    }

    /// Takes in what was read, and says how its files looked.
    fn take(&mut self, mut loaded: Loaded) -> Vec<Stamp> {
        let stamps = mem::take(&mut loaded.stamps);
        loaded.fill(&self.catalog);
        (self.outcome)(Ok(()));
        stamps
    }

    fn note_watcher(&mut self, sights: &Sights) {
        if let (Some(error), false) = (&sights.failure, self.watcher_failed) {
            let seconds = ROUTINE.as_secs();
            warn!(%error, "changes of secret files are not all noticed at once; they are read every {seconds} seconds");
        }
        self.watcher_failed = sights.failure.is_some();
    }
}

/// The folders in which changes are noticed.
struct Sights {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    /// Where those that were gone through really are: links may lead in a circle.
    trees: BTreeSet<PathBuf>,
    /// Where a change is a reason to read again: below such a path, or of a folder above it.
    subjects: Vec<PathBuf>,
    failure: Option<notify::Error>,
}

impl Sights {
    fn new(paths: &[PathBuf], sender: Sender<Signal>) -> Self {
        let forward = move |event: notify::Result<Event>| {
            if let Some(paths) = changed(event) {
                // The receiver is gone when nobody watches any more.
                let _ = sender.send(Signal::Changed(paths));
            }
        };
        let (watcher, failure) = match notify::recommended_watcher(forward) {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(error)),
        };
        let mut sights = Self {
            watcher,
            folders: BTreeSet::new(),
            trees: BTreeSet::new(),
            subjects: Vec::new(),
            failure,
        };
        for path in paths {
            sights.root(path);
        }
        sights
    }

    /// Waits for a change and for the quiet after it; `false`: it is time to stop.
    fn wait(&self, signals: &Receiver<Signal>) -> bool {
        let routine = Instant::now() + ROUTINE;
        let mut deadline = routine;
        let mut latest = routine;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match signals.recv_timeout(left) {
                Ok(Signal::Changed(paths)) if self.concerns(&paths) => {
                    let now = Instant::now();
                    latest = latest.min(now + PATIENCE);
                    deadline = latest.min(now + QUIET);
                }
                Ok(Signal::Changed(_)) => {}
                Err(RecvTimeoutError::Timeout) => return true,
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn concerns(&self, paths: &[PathBuf]) -> bool {
        let concerns = |path: &PathBuf| {
            let mut subjects = self.subjects.iter();
            subjects.any(|subject| path.starts_with(subject) || subject.starts_with(path))
        };
        // Without a path it says that events were lost.
        paths.is_empty() || paths.iter().any(concerns)
    }

    fn root(&mut self, path: &Path) {
        // Above a path it is noticed that it comes, goes, or is exchanged.
        let mut above = path.parent();
        while let Some(folder) = above.filter(|folder| !folder.is_dir()) {
            above = folder.parent();
        }
        if let Some(folder) = above {
            self.folder(folder);
        }
        if path.is_dir() {
            self.subjects.push(path.to_owned());
            self.tree(path);
        } else {
            // A file may be a link into a folder beside it that is exchanged as a whole.
            self.subjects.push(path.parent().unwrap_or(path).to_owned());
            self.target(path);
        }
    }

    fn tree(&mut self, folder: &Path) {
        self.target(folder);
        let Ok(real) = fs::canonicalize(folder) else {
            return;
        };
        if !self.trees.insert(real) {
            return;
        }
        self.folder(folder);
        // What cannot be listed is the error of the reading that follows.
        for path in find::visible(folder).unwrap_or_default() {
            if path.is_dir() {
                self.tree(&path);
            } else {
                self.target(&path);
            }
        }
    }

    /// Watches where a link leads.
    fn target(&mut self, path: &Path) {
        let Ok(real) = fs::canonicalize(path) else {
            return;
        };
        if let Some(folder) = real.parent().filter(|_| real != path) {
            self.folder(folder);
            self.subjects.push(real);
        }
    }

    fn folder(&mut self, folder: &Path) {
        if self.folders.insert(folder.to_owned())
            && let Some(watcher) = &mut self.watcher
            && let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive)
        {
            self.failure = Some(error);
        }
    }
}

/// What an event says has changed. That a file was read, by ourselves even, is no change.
fn changed(event: notify::Result<Event>) -> Option<Vec<PathBuf>> {
    let event = event.ok()?;
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(event.paths),
        EventKind::Access(_) => None,
        _ => Some(event.paths),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::tests::{folder, secret};
    use super::*;

    /// A catalog that follows paths, and what each reading came to.
    struct Following {
        catalog: Catalog,
        outcomes: Receiver<Result<(), String>>,
        _watch: FileWatch,
    }

    fn follow(path: &Path) -> Following {
        follow_from(path, None)
    }

    fn follow_from(path: &Path, loaded: Option<Loaded>) -> Following {
        let paths = [path.to_owned()];
        let catalog = Catalog::new();
        let (sender, outcomes) = channel();
        let outcome = move |outcome: Result<(), &LoadError>| {
            let _ = sender.send(outcome.map_err(ToString::to_string));
        };
        let watch = watch(&paths, "team", loaded, catalog.clone(), outcome).unwrap();
        Following {
            catalog,
            outcomes,
            _watch: watch,
        }
    }

    impl Following {
        fn objects(&self) -> Vec<String> {
            let shelves = self.catalog.shelves("team", None);
            let secrets = shelves.visible().project.secrets.iter();
            secrets.map(|secret| secret.object.to_string()).collect()
        }

        /// Waits until the catalog has exactly these, well before it would read as a matter of routine.
        #[track_caller]
        fn has(&self, expected: &[&str]) {
            let deadline = Instant::now() + Duration::from_secs(10);
            while self.objects() != expected {
                assert!(
                    Instant::now() < deadline,
                    "{:?}, not {expected:?}",
                    self.objects()
                );
                thread::sleep(Duration::from_millis(10));
            }
        }

        /// Waits for a reading that fails.
        #[track_caller]
        fn fails(&self) -> String {
            loop {
                let outcome = self.outcomes.recv_timeout(Duration::from_secs(10)).unwrap();
                if let Err(error) = outcome {
                    return error;
                }
            }
        }
    }

    #[test]
    fn changes_of_a_folder_are_followed() {
        let folder = folder(&[("a.yaml", &secret("a"))]);
        let following = follow(folder.path());
        following.has(&["a"]);
        fs::write(folder.path().join("b.yaml"), secret("b")).unwrap();
        following.has(&["a", "b"]);
        fs::create_dir(folder.path().join("new")).unwrap();
        fs::write(folder.path().join("new/c.yaml"), secret("c")).unwrap();
        following.has(&["a", "b", "c"]);
        fs::write(folder.path().join("new/c.yaml"), secret("d")).unwrap();
        following.has(&["a", "b", "d"]);
        fs::remove_file(folder.path().join("a.yaml")).unwrap();
        following.has(&["b", "d"]);
    }

    #[test]
    fn an_editor_that_renames_is_followed() {
        let folder = folder(&[("a.yaml", &secret("a"))]);
        let file = folder.path().join("a.yaml");
        let following = follow(&file);
        following.has(&["a"]);
        for object in ["b", "c"] {
            fs::write(folder.path().join("a.yaml.tmp"), secret(object)).unwrap();
            fs::rename(folder.path().join("a.yaml.tmp"), &file).unwrap();
            following.has(&[object]);
        }
    }

    #[test]
    fn an_exchanged_volume_of_the_kubelet_is_followed() {
        let folder = folder(&[
            ("..1/a.yaml", &secret("a")),
            ("..2/a.yaml", &secret("b")),
            ("..3/a.yaml", &secret("c")),
        ]);
        let exchange = |version: &str| {
            symlink(version, folder.path().join("..data_tmp")).unwrap();
            fs::rename(
                folder.path().join("..data_tmp"),
                folder.path().join("..data"),
            )
            .unwrap();
        };
        exchange("..1");
        symlink("..data/a.yaml", folder.path().join("a.yaml")).unwrap();
        let whole = follow(folder.path());
        let file = follow(&folder.path().join("a.yaml"));
        whole.has(&["a"]);
        file.has(&["a"]);
        for (version, object) in [("..2", "b"), ("..3", "c")] {
            exchange(version);
            whole.has(&[object]);
            file.has(&[object]);
        }
    }

    #[test]
    fn a_folder_that_is_made_anew_is_followed() {
        let above = folder(&[("secrets/a.yaml", &secret("a"))]);
        let path = above.path().join("secrets");
        let following = follow(&path);
        following.has(&["a"]);
        fs::remove_dir_all(&path).unwrap();
        assert!(following.fails().contains("secrets"));
        assert_eq!(following.objects(), ["a"], "what was read before stays");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("b.yaml"), secret("b")).unwrap();
        following.has(&["b"]);
        fs::write(path.join("c.yaml"), secret("c")).unwrap();
        following.has(&["b", "c"]);
    }

    #[test]
    fn what_was_read_stays_until_the_mistake_is_mended() {
        let folder = folder(&[("a.yaml", &secret("a"))]);
        let following = follow(folder.path());
        following.has(&["a"]);
        fs::write(folder.path().join("b.yaml"), "a: [").unwrap();
        assert!(following.fails().contains("b.yaml: document 1, line 1"));
        assert_eq!(following.objects(), ["a"]);
        fs::write(folder.path().join("b.yaml"), secret("b")).unwrap();
        following.has(&["a", "b"]);
    }

    #[test]
    fn reading_is_no_reason_to_read_again() {
        let folder = folder(&[("a.yaml", &secret("a"))]);
        let following = follow(folder.path());
        following.has(&["a"]);
        thread::sleep(3 * QUIET);
        assert_eq!(following.outcomes.try_iter().count(), 1);
    }

    #[test]
    fn what_was_loaded_is_not_read_again() {
        let folder = folder(&[("a.yaml", &secret("a"))]);
        let loaded = load(&[folder.path().to_owned()], "team").unwrap();
        let following = follow_from(folder.path(), Some(loaded));
        following.has(&["a"]);
        thread::sleep(3 * QUIET);
        assert_eq!(following.outcomes.try_iter().count(), 1);
        fs::write(folder.path().join("b.yaml"), secret("b")).unwrap();
        following.has(&["a", "b"]);
    }

    #[test]
    fn what_changes_between_loading_and_watching_is_read() {
        let folder = folder(&[("a.yaml", &secret("a"))]);
        let loaded = load(&[folder.path().to_owned()], "team").unwrap();
        fs::write(folder.path().join("a.yaml"), secret("c")).unwrap();
        fs::write(folder.path().join("b.yaml"), secret("b")).unwrap();
        let following = follow_from(folder.path(), Some(loaded));
        following.has(&["b", "c"]);
    }

    #[test]
    fn it_ends_when_dropped() {
        let folder = folder(&[("a.yaml", &secret("a"))]);
        let started = Instant::now();
        drop(follow(folder.path()));
        assert!(started.elapsed() < PATIENCE);
    }
}
