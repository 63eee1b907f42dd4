//! Secrets from files: the standalone twin of the watches.
//!
//! A path is a file, or a folder that is read recursively for `*.yaml`, `*.yml` and `*.json`. Hidden files and folders
//! in it are skipped; so a volume of the kubelet, where all names are links into `..data`, is read once.

mod find;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str;

use kube::Resource;
use thiserror::Error;
use zeroize::Zeroizing;

pub use self::watch::{FileWatch, watch};

use super::decode::{Flaw, NamespaceHead, Object, WatchedSecret};
use super::index::{Catalog, Source};
use crate::documents::{Document, DocumentError, Documents};
use crate::inject::secret::Description;

/// What was read.
#[derive(Debug)]
pub struct Loaded {
    /// All Secrets, also those that are not keyporter's.
    pub secrets: Vec<WatchedSecret>,
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
        let ours = |secret: &WatchedSecret| {
            catalog.is_store(secret.object()) || Description::from(secret.clone()).read().is_some()
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
        let namespaces = self.secrets.iter().map(WatchedSecret::namespace);
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
    let mut reader = Reader {
        default_namespace,
        secrets: Vec::new(),
        domains: BTreeMap::new(),
        places: HashMap::new(),
    };
    let mut stamps = Vec::with_capacity(files.len());
    for file in &files {
        stamps.push(stamp(file));
        reader.file(file)?;
    }
    Ok(Loaded {
        secrets: reader.secrets,
        domains: reader.domains,
        stamps,
    })
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

struct Reader<'a> {
    default_namespace: &'a str,
    secrets: Vec<WatchedSecret>,
    domains: BTreeMap<String, String>,
    /// Where the Secret of a namespace and name stands.
    places: HashMap<(String, String), Place>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path) -> Result<(), LoadError> {
        let bytes = Zeroizing::new(fs::read(path).map_err(|source| unreadable(path, source))?);
        let text = str::from_utf8(&bytes).map_err(|_| LoadError::NotText(path.to_owned()))?;
        for document in &Documents::split(text) {
            let object = document.read(&path.display().to_string())?;
            self.object(object, path, document)?;
        }
        Ok(())
    }

    fn object(
        &mut self,
        object: Object,
        path: &Path,
        document: &Document<'_>,
    ) -> Result<(), LoadError> {
        match (object.api_version.as_str(), object.kind.as_str()) {
            ("v1", "Secret") => self.secret(object.secret, path, document),
            ("v1", "Namespace") => {
                self.namespace(&NamespaceHead::of(object));
                Ok(())
            }
            // The items of a typed list do not name their kind.
            ("v1", "SecretList") => {
                let mut secrets = object.items.into_iter().map(|item| item.secret);
                secrets.try_for_each(|secret| self.secret(secret, path, document))
            }
            ("v1", "NamespaceList") => {
                let items = object.items.into_iter().map(NamespaceHead::of);
                items.for_each(|namespace| self.namespace(&namespace));
                Ok(())
            }
            ("v1", "List") => {
                let mut items = object.items.into_iter();
                items.try_for_each(|item| self.object(item, path, document))
            }
            _ => Ok(()),
        }
    }

    fn namespace(&mut self, namespace: &NamespaceHead) {
        if let Some(domain) = namespace.domain() {
            let name = namespace.name().to_owned();
            self.domains.insert(name, domain.to_owned());
        }
    }

    fn secret(
        &mut self,
        mut secret: WatchedSecret,
        path: &Path,
        document: &Document<'_>,
    ) -> Result<(), LoadError> {
        let place = Place {
            file: path.to_owned(),
            document: document.number,
            line: document.line,
        };
        if let Some(flaw) = secret.flaw() {
            return Err(LoadError::Flawed { place, flaw });
        }
        if secret.namespace().is_empty() {
            secret.meta_mut().namespace = Some(self.default_namespace.to_owned());
        }
        let name = (secret.namespace().to_owned(), secret.object().to_owned());
        if let Some(first) = self.places.insert(name.clone(), place.clone()) {
            let (namespace, object) = name;
            return Err(LoadError::Twice {
                namespace,
                object,
                first: Box::new(first),
                second: Box::new(place),
            });
        }
        self.secrets.push(secret);
        Ok(())
    }
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
        let name = |secret: &WatchedSecret| format!("{}/{}", secret.namespace(), secret.object());
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
