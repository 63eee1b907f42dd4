//! Where values come from: files, folders, variables, standard input, and a person who types.

use std::{
    collections::BTreeMap,
    error::Error,
    ffi::OsString,
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use clap::{
    Args,
    builder::{StringValueParser, TypedValueParser},
};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    draft::Draft,
    env_file::{self, EnvFileError},
    git_key::{self, GitKeyError, KnownHostsError},
    limits::{self, AUTH_SECRET, LimitError},
    prompt,
    registry::{self, RegistryError},
    tree::{self, TreeError},
    value::Value,
};
use crate::{
    cli::UsageError,
    folder::File as FolderFile,
    inject::{
        git_ssh::{KEY_FILE, KNOWN_HOSTS},
        secret::Kind,
    },
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Values")]
pub(super) struct SourceArguments {
    /// A file; its key is its name, or KEY. May be repeated
    #[arg(long, value_name = "[KEY=]FILE")]
    from_file: Vec<OsString>,

    /// A folder with all that is in it: pods find it below its own name, as it is. May be repeated
    ///
    /// Folders in it and the right to run files are kept, links are followed within it, and empty folders are left out.
    /// What was in it before and is gone stays in the secret until `update --remove-key` takes it out.
    #[arg(long, value_name = "FOLDER")]
    from_directory: Vec<PathBuf>,

    /// A value as it stands here, where other users see it in the list of processes, and later readers in the history of
    /// the shell; better are a file, standard input, or to be asked. May be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = StringValueParser::new().map(Inline::new))]
    inline: Vec<Inline>,

    /// A file of lines KEY=VALUE and comments (#), as kubectl reads it: quotes belong to the value. May be repeated
    #[arg(long, value_name = "FILE")]
    from_env_file: Vec<PathBuf>,

    /// Standard input, to its end, is the value of this key
    #[arg(long, value_name = "KEY")]
    from_stdin: Option<String>,

    /// Ask for the value of this key, and do not show what is typed; may be repeated
    #[arg(long, value_name = "KEY")]
    prompt: Vec<String>,

    /// Only the keys of these hosts are trusted (kind git-ssh), as `ssh-keyscan` prints them
    #[arg(long, value_name = "FILE")]
    known_hosts: Option<PathBuf>,

    /// The registry (kind image-pull), such as ghcr.io; its password is asked for
    #[arg(long, value_name = "HOST", requires = "docker_username")]
    docker_server: Option<String>,

    /// Who pulls from the registry
    #[arg(long, value_name = "USER", requires = "docker_server")]
    docker_username: Option<String>,

    /// The password for the registry is in standard input
    #[arg(long, requires = "docker_server", conflicts_with = "from_stdin")]
    docker_password_stdin: bool,
}

const ONE_KEY: &str = "kind git-ssh takes one private key: --from-file FILE";

/// `KEY=VALUE` of the command line: never shown, not even where it is a mistake.
#[derive(Clone)]
struct Inline(Zeroizing<String>);

impl fmt::Debug for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inline")
    }
}

impl Inline {
    /// Of every text: what clap refuses, it quotes.
    fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// Why a source gives nothing.
#[derive(Debug, Error)]
pub(super) enum SourceError {
    #[error("cannot read {path}")]
    Unreadable { path: String, source: io::Error },
    #[error("cannot read standard input")]
    NoInput(#[source] io::Error),
    #[error("{0} is a folder; --from-directory takes folders")]
    Folder(String),
    #[error(transparent)]
    Limit(#[from] LimitError),
    #[error("{path}: {reason}")]
    EnvFile { path: String, reason: EnvFileError },
    #[error("{path} is {reason}")]
    GitKey { path: String, reason: GitKeyError },
    #[error("{path} is no file of known hosts: {reason}")]
    KnownHosts {
        path: String,
        reason: KnownHostsError,
    },
    #[error("{path} is {reason}")]
    Registry { path: String, reason: RegistryError },
    #[error("a password is UTF-8 text")]
    Password,
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// What was given, until it is known what it is for.
#[derive(Default)]
struct Given {
    values: BTreeMap<String, Value>,
    files: Vec<FolderFile<Value>>,
}

impl SourceArguments {
    /// Whether any value is given, or asked for.
    pub(super) fn any(&self) -> bool {
        !self.from_file.is_empty()
            || !self.from_directory.is_empty()
            || !self.inline.is_empty()
            || !self.from_env_file.is_empty()
            || self.from_stdin.is_some()
            || !self.prompt.is_empty()
            || self.known_hosts.is_some()
            || self.docker_server.is_some()
    }

    /// Reads everything, asks for the rest, and puts it into the draft of a secret. Without a source, a person at the
    /// terminal is asked for a key and its value.
    pub(super) fn read_into(&self, draft: &mut Draft) -> Result<(), Box<dyn Error>> {
        if draft.kind == Kind::GitSsh && self.from_file.is_empty() {
            return Err(UsageError(ONE_KEY.to_owned()).into());
        }
        self.read_part_into(draft)?;
        draft.check()?;
        Ok(())
    }

    /// The same for a secret that has the rest already. What it becomes is looked at together with that.
    pub(super) fn read_part_into(&self, draft: &mut Draft) -> Result<(), Box<dyn Error>> {
        self.check_kind(draft.kind)?;
        let given = match draft.kind {
            Kind::GitSsh => self.git_key()?,
            Kind::ImagePull => self.registry()?,
            Kind::Default | Kind::Env | Kind::Auth => self.all(draft.kind)?,
        };
        draft.values = given.values;
        draft.files = given.files;
        Ok(())
    }

    /// Konduktor's rules, and those of the kinds that it does not have.
    fn check_kind(&self, kind: Kind) -> Result<(), UsageError> {
        let (files, folders) = (!self.from_file.is_empty(), !self.from_directory.is_empty());
        let lines = !self.inline.is_empty() || !self.from_env_file.is_empty();
        let asked = self.from_stdin.is_some() || !self.prompt.is_empty();
        let sentence = match kind {
            Kind::Default => None,
            Kind::Env => (files || folders).then_some(
                "kind env takes --inline, --from-env-file, --from-stdin and --prompt; files become files with kind default",
            ),
            Kind::GitSsh => {
                let key = self.from_file.len() == 1 || !files && self.known_hosts.is_some();
                (folders || lines || asked || !key).then_some(ONE_KEY)
            }
            Kind::Auth => (folders || !self.from_env_file.is_empty()).then_some(
                "kind auth takes one value: --from-file, --inline, --from-stdin or --prompt",
            ),
            Kind::ImagePull => {
                let login = self.docker_server.is_some();
                (folders || lines || asked || self.from_file.len() != usize::from(!login)).then_some(
                    "kind image-pull takes --from-file with docker's config.json, or --docker-server and --docker-username",
                )
            }
        };
        if let Some(sentence) = sentence {
            return Err(UsageError(sentence.to_owned()));
        }
        for (flag, given, of) in [
            ("--known-hosts", self.known_hosts.is_some(), Kind::GitSsh),
            (
                "--docker-server",
                self.docker_server.is_some(),
                Kind::ImagePull,
            ),
        ] {
            if given && kind != of {
                return Err(UsageError(format!(
                    "{flag} is for kind {of}; this is kind {kind}"
                )));
            }
        }
        Ok(())
    }

    fn git_key(&self) -> Result<Given, Box<dyn Error>> {
        let mut given = Given::default();
        for source in &self.from_file {
            let (key, path) = key_and_path(source)?;
            if key.is_some_and(|key| key != KEY_FILE) {
                let sentence = format!("the key for git is called {KEY_FILE}; leave KEY= out");
                return Err(UsageError(sentence).into());
            }
            let value = read_file(&path)?;
            let path = path.display().to_string();
            git_key::check(&value).map_err(|reason| SourceError::GitKey { path, reason })?;
            given.values.insert(KEY_FILE.to_owned(), value);
        }
        if let Some(path) = &self.known_hosts {
            let value = read_file(path)?;
            let path = path.display().to_string();
            git_key::check_known_hosts(&value)
                .map_err(|reason| SourceError::KnownHosts { path, reason })?;
            given.values.insert(KNOWN_HOSTS.to_owned(), value);
        }
        Ok(given)
    }

    fn registry(&self) -> Result<Given, Box<dyn Error>> {
        let mut given = Given::default();
        for source in &self.from_file {
            let (key, path) = key_and_path(source)?;
            if key.is_some_and(|key| key != registry::KEY) {
                let sentence = format!(
                    "the key of kind image-pull is called {}; leave KEY= out",
                    registry::KEY
                );
                return Err(UsageError(sentence).into());
            }
            let value = read_file(&path)?;
            let path = path.display().to_string();
            registry::check(&value).map_err(|reason| SourceError::Registry { path, reason })?;
            given.values.insert(registry::KEY.to_owned(), value);
        }
        if let (Some(server), Some(username)) = (&self.docker_server, &self.docker_username) {
            let password = if self.docker_password_stdin {
                let mut password = typed_or_piped("the password")?;
                password.trim_line_end();
                password
            } else {
                ask(
                    &format!("Password of {username:?} at {server:?}: "),
                    "--docker-password-stdin",
                )?
            };
            let file = registry::write(server, username, &password).ok_or(SourceError::Password)?;
            given.values.insert(registry::KEY.to_owned(), file);
        }
        Ok(given)
    }

    fn all(&self, kind: Kind) -> Result<Given, Box<dyn Error>> {
        let mut given = Given::default();
        for folder in &self.from_directory {
            let tree = tree::read(folder).map_err(SourceError::from)?;
            for warning in &tree.warnings {
                eprintln!("warning: {warning}");
            }
            given.files.extend(tree.files);
        }
        for source in &self.from_file {
            let (key, path) = key_and_path(source)?;
            let key = match key {
                Some(key) => key,
                None if kind == Kind::Auth => AUTH_SECRET.to_owned(),
                None => file_name(&path)?,
            };
            given.add(key, read_file(&path)?)?;
        }
        for path in &self.from_env_file {
            let file = read_file(path)?;
            let path = path.display().to_string();
            let variables =
                env_file::read(&file).map_err(|reason| SourceError::EnvFile { path, reason })?;
            for (key, value) in variables {
                given.add(key, value)?;
            }
        }
        for Inline(text) in &self.inline {
            let Some((key, value)) = text.split_once('=') else {
                // The word may be the value itself.
                let sentence = "--inline takes KEY=VALUE, and there is one without \"=\"";
                return Err(UsageError(sentence.to_owned()).into());
            };
            if limits::check_key(key).is_err() {
                let sentence = "--inline has a key that is none; a key has 1 to 253 letters, digits, -, _ and .";
                return Err(UsageError(sentence.to_owned()).into());
            }
            given.add(key.to_owned(), Value::from(value))?;
        }
        if let Some(key) = &self.from_stdin {
            limits::check_key(key)?;
            given.add(key.clone(), typed_or_piped(key)?)?;
        }
        for key in &self.prompt {
            limits::check_key(key)?;
            given.add(
                key.clone(),
                ask(&format!("Value of {key}: "), "--from-stdin")?,
            )?;
        }
        if !self.any() {
            let (key, value) = ask_for_all(kind)?;
            given.add(key, value)?;
        }
        Ok(given)
    }
}

impl Given {
    fn add(&mut self, key: String, value: Value) -> Result<(), Box<dyn Error>> {
        limits::check_key(&key)?;
        if self.values.contains_key(&key) {
            return Err(UsageError(format!("the key {key} is given twice")).into());
        }
        self.values.insert(key, value);
        Ok(())
    }
}

/// Asks for a value that is not shown. `instead` is how it can be given where nobody is there to answer.
pub(super) fn ask(question: &str, instead: &str) -> Result<Value, Box<dyn Error>> {
    if !prompt::is_possible() {
        let sentence = format!(
            "nobody can be asked, as standard input is no terminal; give the value with {instead}"
        );
        return Err(UsageError(sentence).into());
    }
    Ok(prompt::value(question)?)
}

fn ask_for_all(kind: Kind) -> Result<(String, Value), Box<dyn Error>> {
    if !prompt::is_possible() {
        let sentence = "no value is given, and nobody can be asked, as standard input is no terminal; the sources of \
                        values are in --help";
        return Err(UsageError(sentence.to_owned()).into());
    }
    let key = match kind {
        Kind::Auth => AUTH_SECRET.to_owned(),
        Kind::Env => prompt::line("Key, the name of the variable: ")?,
        Kind::Default | Kind::GitSsh | Kind::ImagePull => {
            prompt::line("Key, the name of the file: ")?
        }
    };
    limits::check_key(&key)?;
    let value = prompt::value(&format!("Value of {key} (is not shown): "))?;
    Ok((key, value))
}

/// `KEY=FILE` or `FILE`.
fn key_and_path(source: &OsString) -> Result<(Option<String>, PathBuf), UsageError> {
    let Some(text) = source.to_str() else {
        return Ok((None, PathBuf::from(source)));
    };
    match text.split_once('=') {
        None => Ok((None, PathBuf::from(text))),
        Some((key, path)) if limits::check_key(key).is_ok() && !path.is_empty() => {
            Ok((Some(key.to_owned()), PathBuf::from(path)))
        }
        Some(_) => Err(UsageError(format!(
            "--from-file {text:?} is neither FILE nor KEY=FILE; a key has 1 to 253 letters, digits, -, _ and ."
        ))),
    }
}

fn file_name(path: &Path) -> Result<String, UsageError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.filter(|name| limits::check_key(name).is_ok());
    name.map(str::to_owned).ok_or_else(|| {
        let path = path.display();
        UsageError(format!(
            "the name of \"{path}\" is no key; choose one: --from-file KEY=FILE"
        ))
    })
}

/// A file, or what a shell gives for `<(command)`.
pub(super) fn read_file(path: &Path) -> Result<Value, SourceError> {
    let title = || path.display().to_string();
    let unreadable = |source| SourceError::Unreadable {
        path: title(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(SourceError::Folder(title()));
    }
    let value = Value::read(file).map_err(unreadable)?;
    value.ok_or_else(|| LimitError::File { path: title() }.into())
}

/// Standard input. At a terminal, what is typed is not shown.
pub(super) fn typed_or_piped(key: &str) -> Result<Value, Box<dyn Error>> {
    if prompt::is_possible() {
        return Ok(prompt::value(&format!("Value of {key}: "))?);
    }
    Ok(read_stdin()?)
}

pub(super) fn read_stdin() -> Result<Value, SourceError> {
    let value = prompt::unbuffered_stdin()
        .and_then(Value::read)
        .map_err(SourceError::NoInput)?;
    value.ok_or_else(|| {
        LimitError::File {
            path: "standard input".to_owned(),
        }
        .into()
    })
}
