//! Secrets from files: the standalone twin of the watches.
//!
//! A path is a file, or a folder that is read recursively for `*.yaml`, `*.yml` and `*.json`. Hidden files and folders
//! in it are skipped; so a volume of the kubelet, where all names are links into `..data`, is read once.

mod find;
mod read;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::io;
use std::num::NonZero;
use std::os::unix::fs::MetadataExt as _;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use thiserror::Error;

use self::read::Spot;
pub use self::watch::{FileWatch, watch};

use super::decode::Flaw;
use super::index::{Catalog, Source};
use crate::documents::DocumentError;
use crate::inject::secret::Description;

/// What was read.
#[derive(Debug)]
pub struct Loaded {
    /// All Secrets, also those that are not keyporter's.
    pub secrets: Vec<Description>,
    /// The domains of namespaces, by the namespaces' names.
    pub domains: BTreeMap<String, String>,
    /// How each file looked right before it was read.
    stamps: Vec<Stamp>,
}

/// By what it is told whether a file has changed: device, inode, length, and the times, in seconds and nanoseconds, at which
/// its content and it as a whole changed last. Nothing where there is no file.
type Stamp = Option<([u64; 3], [i64; 4])>;

impl Loaded {
    /// What the caller may want to tell a person.
    #[must_use]
    pub fn warning(&self, catalog: &Catalog) -> Option<LoadWarning> {
        let ours = |secret: &Description| {
            catalog.is_store(&secret.object) || secret.clone().read().is_some()
        };
        if self.secrets.is_empty() {
            Some(LoadWarning::NoSecrets {
                files: self.stamps.len(),
            })
        } else if self.secrets.iter().any(ours) {
            None
        } else {
            let secrets = self.secrets.len();
            Some(LoadWarning::NoneOfOurs { secrets })
        }
    }

    /// Says that all namespaces that have Secrets here belong to this domain, and `namespace` too.
    pub fn set_domain(&mut self, domain: &str, namespace: &str) {
        let namespaces = self.secrets.iter().map(|secret| secret.namespace.as_str());
        let namespaces: BTreeSet<_> = namespaces.chain([namespace]).collect();
        self.domains = namespaces
            .into_iter()
            .map(|namespace| (namespace.to_owned(), domain.to_owned()))
            .collect();
    }

    /// Puts all of it into the catalog, in the place of what was read before.
    pub fn fill(self, catalog: &Catalog) {
        let mut relist = catalog.relist(Source::Files);
        for secret in self.secrets {
            relist.add(secret);
        }
        for (namespace, domain) in &self.domains {
            relist.set_domain(namespace, Some(domain));
        }
        relist.finish();
    }
}

/// Something that is no error and most likely not meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LoadWarning {
    /// No document is a Secret.
    #[error("no Secret in {files} files")]
    NoSecrets {
        /// How many files were read.
        files: usize,
    },
    /// There are Secrets, and none of them is keyporter's or a store.
    #[error("none of the {secrets} Secrets has the label keyporter.dev/kind")]
    NoneOfOurs {
        /// How many Secrets there are.
        secrets: usize,
    },
}

/// Why secrets could not be read from files.
#[derive(Debug, Error)]
pub enum LoadError {
    /// There is nothing at a path.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// A file or folder cannot be read.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file is not UTF-8.
    #[error("{} is not UTF-8 text; save it as UTF-8", .0.display())]
    NotText(PathBuf),
    /// A folder holds nothing that could be read.
    #[error("no file *.yaml, *.yml or *.json in the folder {}", .0.display())]
    EmptyFolder(PathBuf),
    /// A file is not valid YAML or JSON.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A Secret has a shape that no Secret has.
    #[error("{place}: not a Secret: {flaw}")]
    Flawed {
        /// Where it stands.
        place: Place,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// Two Secrets have one name.
    #[error("the Secret {namespace}/{object} stands in {first} and again in {second}; remove one")]
    Twice {
        /// The namespace of both.
        namespace: String,
        /// The name of both.
        object: String,
        /// Where the first stands.
        first: Box<Place>,
        /// Where the second stands.
        second: Box<Place>,
    },
}

/// A document in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The number of the document in it, from 1.
    pub document: usize,
    /// The line in which the document begins, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            document,
            line,
        } = self;
        write!(f, "{}: document {document}, line {line}", file.display())
    }
}

/// Reads all Secrets from files and folders, and of Namespaces the domains that they belong to. Objects of other kinds are
/// passed over, lists are taken apart, and Secrets without a namespace get the default one.
pub fn load(paths: &[PathBuf], default_namespace: &str) -> Result<Loaded, LoadError> {
    let files = find::files(paths)?;
    let read: Vec<Result<_, LoadError>> = side_by_side(&files, |file| {
        let stamp = stamp(file);
        Ok((stamp, read::file(file, default_namespace)?))
    });
    let mut loaded = Loaded {
        secrets: Vec::new(),
        domains: BTreeMap::new(),
        stamps: Vec::with_capacity(files.len()),
    };
    let mut spots = Vec::new();
    for (file, one) in files.iter().zip(read) {
        let (stamp, found) = one?;
        loaded.stamps.push(stamp);
        loaded.domains.extend(found.domains);
        for (secret, spot) in found.secrets {
            loaded.secrets.push(secret);
            spots.push((file.as_path(), spot));
        }
    }
    twice(&loaded.secrets, &spots).map_or(Ok(loaded), Err)
}

/// That two Secrets have one name, if it is so.
fn twice(secrets: &[Description], spots: &[(&Path, Spot)]) -> Option<LoadError> {
    let mut seen = HashMap::with_capacity(secrets.len());
    for (secret, second) in secrets.iter().zip(spots) {
        let name = (secret.namespace.as_str(), secret.object.as_str());
        if let Some(first) = seen.insert(name, second) {
            let place = |(file, spot): &(&Path, Spot)| Box::new(spot.place(file));
            return Some(LoadError::Twice {
                namespace: secret.namespace.clone(),
                object: secret.object.clone(),
                first: place(first),
                second: place(second),
            });
        }
    }
    None
}

/// Reads files on all cores, as nothing else begins before they are read. The results are in the order of the files.
fn side_by_side<T: Send>(files: &[PathBuf], read: impl Fn(&Path) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    if threads.min(files.len()) <= 1 {
        return files.iter().map(|file| read(file)).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let take = || files.get(next.fetch_add(1, Ordering::Relaxed));
        let mut done = Vec::new();
        while let Some(file) = take() {
            done.push((file, read(file)));
        }
        done
    };
    let mut done: HashMap<&PathBuf, T> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(files.len()))
            .map(|_| scope.spawn(work))
            .collect();
        let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
        let done = joined.map(|done| done.unwrap_or_else(|panic| resume_unwind(panic)));
        done.flatten().collect()
    });
    files.iter().filter_map(|file| done.remove(file)).collect()
}

/// How the files look that [`load`] would read; nothing where it would fail.
fn stamps(paths: &[PathBuf]) -> Option<Vec<Stamp>> {
    let files = find::files(paths).ok()?;
    Some(files.iter().map(|file| stamp(file)).collect())
}

fn stamp(file: &Path) -> Stamp {
    let seen = fs::metadata(file).ok()?;
    Some((
        [seen.dev(), seen.ino(), seen.size()],
        [
            seen.mtime(),
            seen.mtime_nsec(),
            seen.ctime(),
            seen.ctime_nsec(),
        ],
    ))
}

fn unreadable(path: &Path, source: io::Error) -> LoadError {
    if source.kind() == io::ErrorKind::NotFound {
        return LoadError::Missing(path.to_owned());
    }
    LoadError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::os::unix::fs::symlink;

    use rstest::rstest;
    use tempfile::TempDir;

    use super::*;

    const CANARY: &str = "hunter2-canary";

    /// A folder with these files.
    pub(super) fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    pub(super) fn secret(object: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {object}\n  labels: {{keyporter.dev/kind: env, keyporter.dev/scope: project}}\nstringData: {{TOKEN: {CANARY}}}\n"
        )
    }

    fn names(loaded: &Loaded) -> Vec<String> {
        let name = |secret: &Description| format!("{}/{}", secret.namespace, secret.object);
        loaded.secrets.iter().map(name).collect()
    }

    fn load_one(folder: &TempDir) -> Result<Loaded, LoadError> {
        load(&[folder.path().to_owned()], "team")
    }

    #[test]
    fn folders_are_read_recursively_and_hidden_ones_skipped() {
        let folder = folder(&[
            ("b.yaml", &secret("b")),
            ("a/deep/a.yml", &secret("a")),
            (
                "c.json",
                r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "c", "namespace": "own"}}"#,
            ),
            (".hidden.yaml", &secret("x")),
            (".git/y.yaml", &secret("y")),
            ("notes.txt", "not: [yaml"),
        ]);
        symlink("nowhere", folder.path().join("dangling.yaml")).unwrap();
        symlink(".", folder.path().join("circle")).unwrap();
        let loaded = load_one(&folder).unwrap();
        assert_eq!(names(&loaded), ["team/a", "team/b", "own/c"]);
        assert_eq!(loaded.warning(&Catalog::new()), None);
        assert!(!format!("{loaded:?}").contains("hunter2"));
    }

    #[test]
    fn a_volume_of_the_kubelet_is_read_once() {
        let folder = folder(&[("..2026_01_01/a.yaml", &secret("a"))]);
        symlink("..2026_01_01", folder.path().join("..data")).unwrap();
        symlink("..data/a.yaml", folder.path().join("a.yaml")).unwrap();
        assert_eq!(names(&load_one(&folder).unwrap()), ["team/a"]);
    }

    #[test]
    fn a_file_that_is_named_twice_is_read_once() {
        let folder = folder(&[("a.yaml", &secret("a"))]);
        let paths = [folder.path().join("a.yaml"), folder.path().to_owned()];
        assert_eq!(names(&load(&paths, "team").unwrap()), ["team/a"]);
    }

    #[test]
    fn a_file_may_have_any_name() {
        let folder = folder(&[(".env-secrets", &secret("a"))]);
        let loaded = load(&[folder.path().join(".env-secrets")], "team").unwrap();
        assert_eq!(names(&loaded), ["team/a"]);
    }

    #[test]
    fn lists_are_taken_apart_and_other_kinds_passed_over() {
        let text = format!(
            "apiVersion: v1\nkind: List\nitems:\n- {}- apiVersion: v1\n  kind: ConfigMap\n  data: {{a: 5}}\n  metadata: 7\n---\n\
             apiVersion: v1\nkind: SecretList\nitems:\n- metadata: {{name: b}}\n---\n\
             kind: Secret\napiVersion: example.com/v1\nmetadata: {{name: other}}\n---\n- 5\n---\ntext\n",
            secret("a").replace('\n', "\n  ").trim_end_matches(' ')
        );
        let folder = folder(&[("all.yaml", &text)]);
        assert_eq!(names(&load_one(&folder).unwrap()), ["team/a", "team/b"]);
    }

    #[test]
    fn stores_and_domains_are_read() {
        let text = "\
            {apiVersion: v1, kind: Secret, metadata: {name: iomete-secret-store}, stringData: {A: CANARY}}\n---\n\
            {apiVersion: v1, kind: Namespace, metadata: {name: team, labels: {keyporter.dev/domain: finance}}}\n---\n\
            {apiVersion: v1, kind: NamespaceList, items: [{metadata: {name: other, labels: {keyporter.dev/domain: sales}}}]}\n---\n\
            {apiVersion: v1, kind: Namespace, metadata: {name: none}}\n";
        let folder = folder(&[("all.yaml", text)]);
        let catalog = Catalog::new();
        let loaded = load_one(&folder).unwrap();
        assert_eq!(loaded.warning(&catalog), None);
        loaded.fill(&catalog);
        let domain = |catalog: &Catalog, namespace: &str| {
            let shelves = catalog.shelves(namespace, None);
            shelves.visible().stores.domain.clone()
        };
        assert_eq!(domain(&catalog, "team").as_deref(), Some("finance"));
        assert_eq!(domain(&catalog, "other").as_deref(), Some("sales"));
        assert_eq!(domain(&catalog, "none"), None);
        let shelves = catalog.shelves("team", None);
        let store = shelves
            .visible()
            .stores
            .named("iomete-secret-store")
            .unwrap();
        assert!(store.has_key("A"));

        // What is said for all counts for all that have Secrets.
        let mut loaded = load_one(&folder).unwrap();
        loaded.set_domain("robots", "none");
        loaded.fill(&catalog);
        assert_eq!(domain(&catalog, "team").as_deref(), Some("robots"));
        assert_eq!(domain(&catalog, "none").as_deref(), Some("robots"));
        assert_eq!(domain(&catalog, "other"), None);
    }

    #[rstest]
    #[case::nothing("kind: Pod\n", Some(LoadWarning::NoSecrets { files: 1 }))]
    #[case::empty("# nothing\n", Some(LoadWarning::NoSecrets { files: 1 }))]
    #[case::foreign("{apiVersion: v1, kind: Secret, metadata: {name: a}}", Some(LoadWarning::NoneOfOurs { secrets: 1 }))]
    fn warnings(#[case] text: &str, #[case] warning: Option<LoadWarning>) {
        let folder = folder(&[("a.yaml", text)]);
        let loaded = load_one(&folder).unwrap();
        assert_eq!(loaded.warning(&Catalog::new()), warning);
    }

    #[rstest]
    #[case::yaml(&[("a.yaml", "a: 1\n---\nb: [CANARY\n")], "DIR/a.yaml: document 2, line 3, column 4: unclosed bracket '['")]
    #[case::flaw(&[("a.yaml", "# c\napiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {CANARY: 5}")], "DIR/a.yaml: document 1, line 2: not a Secret: value 1 of data is not text; put it in quotes")]
    #[case::no_name(&[("a.yaml", "apiVersion: v1\nkind: Secret\ndata: {a: CANARY}")], "DIR/a.yaml: document 1, line 1: not a Secret: metadata.name is missing or not text")]
    #[case::twice(
        &[("a.yaml", "{apiVersion: v1, kind: Secret, metadata: {name: a}}"), ("b.yaml", "---\n{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: team}}")],
        "the Secret team/a stands in DIR/a.yaml: document 1, line 1 and again in DIR/b.yaml: document 1, line 2; remove one",
    )]
    #[case::empty(&[("a.txt", "")], "no file *.yaml, *.yml or *.json in the folder DIR")]
    fn errors(#[case] files: &[(&str, &str)], #[case] expected: &str) {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, text.replace("CANARY", CANARY)))
            .collect();
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, text.as_str()))
            .collect();
        let folder = folder(&files);
        let error = load_one(&folder).unwrap_err();
        let told = error
            .to_string()
            .replace(folder.path().to_str().unwrap(), "DIR");
        assert_eq!(told, expected);
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let folder = folder(&[]);
        let missing = folder.path().join("no.yaml");
        let error = load(std::slice::from_ref(&missing), "team").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{} does not exist", missing.display())
        );

        let binary = folder.path().join("latin.yaml");
        fs::write(&binary, b"a: \xe4\n").unwrap();
        let error = load_one(&folder).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{} is not UTF-8 text; save it as UTF-8", binary.display())
        );

        let odd = folder.path().join("latin.yaml").join("below");
        let error = load(std::slice::from_ref(&odd), "team").unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read {}", odd.display()));
        assert!(error.source().is_some());
    }
}
