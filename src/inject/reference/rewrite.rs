//! The references of a pod, and what changes where they stand.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use super::iomete::{self, Assignment, List};
use super::text::{may_refer, write};
use super::{Entry, Malformed, Piece, Refused, Resolver, Source, Target, entries, named, pieces};
use super::{refused, spark};
use crate::inject::annotations::Wishes;
use crate::inject::changes::{ContainerChanges, Group, NewValue, NewVariable};
use crate::inject::place::containers;
use crate::inject::pod::{Container, Spec, Text};
use crate::inject::secret::Secret;
use crate::inject::settings::Settings;
use crate::inject::warning::Warning;

/// The names of hidden variables begin so; a number follows.
pub(in crate::inject) const HIDDEN: &str = "KEYPORTER_REF_";

/// The most options for Spark in all containers of a pod together.
const OPTIONS: usize = 10_000;

/// What the references of a pod mean.
#[derive(Debug, Default)]
pub struct References<'a> {
    /// What changes in containers, in the order of the pod.
    pub(in crate::inject) containers: Vec<InContainer<'a>>,
    /// Files for each chosen container.
    pub(in crate::inject) files: Vec<KeyFile<'a>>,
    /// Variables for each chosen container that does not set them itself.
    pub(in crate::inject) variables: Vec<(&'a str, Target<'a>)>,
    /// What is in effect, and where.
    pub(in crate::inject) referrals: Vec<Referral<'a>>,
    /// What the requester is to know.
    pub(in crate::inject) warnings: Vec<Warning<'a>>,
}

impl<'a> References<'a> {
    /// Adds a variable for each chosen container that does not set it itself.
    pub fn add_variable(&mut self, variable: &'a str, target: Target<'a>) {
        self.variables.push((variable, target));
    }

    /// How many entries each chosen container gets. A file counts as often as its path has parts, which is what it costs.
    pub(in crate::inject) fn size(&self) -> usize {
        let parts = |file: &KeyFile<'_>| file.path.matches('/').count();
        self.variables.len() + self.files.iter().map(parts).sum::<usize>()
    }

    /// Whether a text of the pod changes.
    pub(in crate::inject) fn rewrites(&self) -> bool {
        !self.containers.is_empty()
    }
}

/// What changes in one container.
#[derive(Debug)]
pub(in crate::inject) struct InContainer<'a> {
    pub(in crate::inject) group: Group,
    pub(in crate::inject) index: usize,
    /// New values of its own variables, by their place.
    pub(in crate::inject) values: Vec<(usize, NewValue<'a>)>,
    /// Variables for references inside other text.
    pub(in crate::inject) hidden: Vec<NewVariable<'a>>,
    pub(in crate::inject) command: Option<Vec<Cow<'a, str>>>,
    pub(in crate::inject) args: Option<Vec<Cow<'a, str>>>,
}

impl<'a> InContainer<'a> {
    pub(in crate::inject) fn none(group: Group, index: usize) -> Self {
        Self {
            group,
            index,
            values: vec![],
            hidden: vec![],
            command: None,
            args: None,
        }
    }

    /// The same as the first changes of the container.
    pub(in crate::inject) fn changes(self) -> ContainerChanges<'a> {
        let Self {
            group,
            index,
            values,
            hidden,
            command,
            args,
        } = self;
        ContainerChanges {
            group,
            index,
            values,
            command,
            args,
            variables: hidden,
            env_from: vec![],
            mounts: vec![],
        }
    }
}

/// A file from a key of a secret.
#[derive(Debug, Clone, Copy)]
pub struct KeyFile<'a> {
    /// The secret.
    pub secret: &'a Secret,
    /// The key.
    pub key: &'a str,
    /// Where the file is to lie.
    pub path: &'a str,
}

/// A reference in effect.
#[derive(Debug, Clone, Copy)]
pub struct Referral<'a> {
    /// What it names.
    pub source: Source<'a>,
    /// The container.
    pub container: &'a str,
    /// Where it stands there.
    pub spot: Spot<'a>,
}

/// A place in a container where a reference stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot<'a> {
    /// The value of a variable, or a part of it.
    Variable(&'a str),
    /// The command.
    Command,
    /// The arguments.
    Args,
}

impl fmt::Display for Spot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Command => f.write_str("command"),
            Self::Args => f.write_str("args"),
        }
    }
}

/// Whether a pod has anything that looks like a reference. Nearly none has.
pub(in crate::inject) fn any(spec: &Spec<'_>) -> bool {
    containers(spec).any(|(_, _, container)| {
        let mut values = container.env.iter().flatten().filter_map(own_value);
        let mut texts = (container.command.iter().flatten()).chain(container.args.iter().flatten());
        values.any(|value| named(value).is_some() || may_refer(value))
            || texts.any(|text| may_refer(text.as_str()))
    })
}

/// Resolves all references of a pod and of its annotations. Those that mean nothing come back all together, sorted.
pub(in crate::inject) fn resolve<'a>(
    spec: &'a Spec<'a>,
    wishes: &Wishes<'a>,
    settings: &Settings,
    resolver: &Resolver<'a, '_>,
) -> Result<References<'a>, Vec<Refused>> {
    let mut work = Work {
        resolver,
        references: References::default(),
        refused: vec![],
    };
    let options = work.configuration(spec, wishes, settings);
    for (group, index, container) in containers(spec) {
        let runs_spark = options.runners.contains(&(group, index));
        let of_it = options.values.as_slice();
        let of_it = if runs_spark { of_it } else { &[] };
        work.container(group, index, container, of_it);
    }
    if let Some(files) = wishes.files {
        work.files(files);
    }
    if let Some(list) = wishes.env_secrets {
        for (variable, target) in work.assignments(List::Variables, list) {
            work.references.add_variable(variable, target);
        }
    }
    let Work {
        references,
        mut refused,
        ..
    } = work;
    if refused.is_empty() {
        return Ok(references);
    }
    refused.sort();
    refused.dedup();
    Err(refused)
}

/// The references of one pod at work.
struct Work<'a, 'r> {
    resolver: &'r Resolver<'a, 'r>,
    references: References<'a>,
    refused: Vec<Refused>,
}

impl<'a> Work<'a, '_> {
    fn container(
        &mut self,
        group: Group,
        index: usize,
        container: &'a Container<'a>,
        options: &[(&'a str, Target<'a>)],
    ) {
        let mut hidden = Hidden::new(container);
        let mut values = Vec::new();
        for (place, variable) in container.env.iter().flatten().enumerate() {
            let Some(value) = own_value(variable) else {
                continue;
            };
            let at = At {
                container: container.name.as_str(),
                spot: Spot::Variable(variable.name.as_str()),
            };
            let new = self.value(value, at, &mut hidden);
            values.extend(new.map(|value| (place, value)));
        }
        let mut list = |list: &'a Option<Vec<Text<'a>>>, spot| {
            let at = At {
                container: container.name.as_str(),
                spot,
            };
            self.list(list.as_deref().unwrap_or_default(), at, &mut hidden)
        };
        let mut command = list(&container.command, Spot::Command);
        let mut args = list(&container.args, Spot::Args);
        if !options.is_empty() {
            self.options(container, options, &mut hidden, [&mut command, &mut args]);
        }
        if !values.is_empty() || command.is_some() || args.is_some() {
            self.references.containers.push(InContainer {
                group,
                index,
                values,
                hidden: hidden.new,
                command,
                args,
            });
        }
    }

    /// What comes in the place of an env value, if anything.
    fn value(
        &mut self,
        value: &'a str,
        at: At<'a>,
        hidden: &mut Hidden<'a>,
    ) -> Option<NewValue<'a>> {
        if let Some(reference) = named(value) {
            let target = match reference {
                Ok(reference) => self.resolver.named(reference),
                Err(why) => {
                    let refused = Refused::malformed(value, at.to_string(), why);
                    self.refused.push(refused);
                    return None;
                }
            };
            let target = target.map_err(|why| Refused::unresolved(value, at.to_string(), &why));
            return self.take(target, at).map(NewValue::of);
        }
        if !may_refer(value) {
            return None;
        }
        let pieces = pieces(value);
        if let [Piece::Reference(reference)] = *pieces {
            let target = self.resolver.stored(reference);
            let target = target.map_err(|why| Refused::unresolved(value, at.to_string(), &why));
            return self.take(target, at).map(NewValue::of);
        }
        self.text(&pieces, at, hidden)
            .map(|text| NewValue::Plain(text.into()))
    }

    /// A whole command or all arguments, if a reference is among them.
    fn list(
        &mut self,
        texts: &'a [Text<'a>],
        at: At<'a>,
        hidden: &mut Hidden<'a>,
    ) -> Option<Vec<Cow<'a, str>>> {
        if !texts.iter().any(|text| may_refer(text.as_str())) {
            return None;
        }
        let mut changed = false;
        let list = texts.iter().map(Text::as_str).map(|text| {
            let new = Some(text)
                .filter(|text| may_refer(text))
                .and_then(|text| self.text(&pieces(text), at, hidden));
            changed |= new.is_some();
            new.map_or(Cow::Borrowed(text), Cow::Owned)
        });
        let list: Vec<_> = list.collect();
        changed.then_some(list)
    }

    /// A text in which variables stand for the references; `None` if it has none, or none that is good.
    fn text(
        &mut self,
        pieces: &[Piece<'a>],
        at: At<'a>,
        hidden: &mut Hidden<'a>,
    ) -> Option<String> {
        let is_reference = |piece: &Piece<'_>| matches!(piece, Piece::Reference(_));
        if !pieces.iter().any(is_reference) {
            return None;
        }
        let refused = self.refused.len();
        let text = write(pieces, |reference| {
            let target = self
                .resolver
                .stored(reference)
                .map_err(|why| Refused::unresolved(&reference.to_string(), at.to_string(), &why));
            let target = self.take(target, at);
            target.map_or_else(String::new, |target| hidden.variable(&target))
        });
        (self.refused.len() == refused).then_some(text)
    }

    /// Notes what is in effect, and what is refused.
    fn take(&mut self, target: Result<Target<'a>, Refused>, at: At<'a>) -> Option<Target<'a>> {
        match target {
            Ok(target) => {
                if let Target::There { source, .. } = target {
                    self.references.referrals.push(Referral {
                        source,
                        container: at.container,
                        spot: at.spot,
                    });
                }
                Some(target)
            }
            Err(refused) => {
                self.refused.push(refused);
                None
            }
        }
    }

    /// What one of IOMETE's lists asks for.
    fn assignments(&mut self, list: List, text: &'a str) -> Vec<(&'a str, Target<'a>)> {
        let (assignments, mistakes) = iomete::read(list, text);
        let misread = mistakes
            .iter()
            .map(|mistake| Refused::misread(list, mistake));
        self.refused.extend(misread);
        let mut targets = Vec::new();
        for Assignment {
            number,
            key,
            secret,
        } in assignments
        {
            match self.resolver.object(secret) {
                Ok(target) => targets.push((key, target)),
                Err(why) => {
                    let place = refused::entry(list, number);
                    self.refused.push(Refused::unresolved(key, place, &why));
                }
            }
        }
        targets
    }

    /// The options for Spark, and the containers that run it.
    fn configuration(
        &mut self,
        spec: &'a Spec<'a>,
        wishes: &Wishes<'a>,
        settings: &Settings,
    ) -> Options<'a> {
        const PLACE: &str = "annotation of the pod";
        let mut options = Options::default();
        let Some(list) = wishes.spark_conf_secrets else {
            return options;
        };
        let refused = self.refused.len();
        options.values = self.assignments(List::Configuration, list);
        if options.values.is_empty() && self.refused.len() == refused {
            return options;
        }
        // What the pod can do without is left out: an empty value is one as well.
        let is_there = |target: &Target<'_>| matches!(target, Target::There { .. });
        options.values.retain(|(_, target)| is_there(target));
        let annotation = List::Configuration.annotation();
        let why = match spark::runners(spec, wishes, settings) {
            Some(runners) if runners.len().saturating_mul(options.values.len()) > OPTIONS => {
                "that many options in that many containers are more than a pod can hold"
            }
            Some(runners) => {
                options.runners = runners;
                return options;
            }
            None => {
                "which container runs Spark is not known; name it in the annotation keyporter.dev/containers"
            }
        };
        let refused = Refused::homeless(annotation, PLACE.to_owned(), why);
        self.refused.push(refused);
        options
    }

    /// Puts Spark's options into the command or the arguments of a container.
    fn options(
        &mut self,
        container: &'a Container<'a>,
        options: &[(&'a str, Target<'a>)],
        hidden: &mut Hidden<'a>,
        [command, args]: [&mut Option<Vec<Cow<'a, str>>>; 2],
    ) {
        let name = container.name.as_str();
        let Some(place) = spark::place(container) else {
            let annotation = List::Configuration.annotation();
            let place = format!("annotation of the pod, for container {name:?}");
            let why = "a shell starts the container; write ${secrets.KEY} into what it runs";
            let refused = Refused::homeless(annotation, place, why);
            self.refused.push(refused);
            return;
        };
        let (list, own, at, spot) = match place {
            spark::Place::Command(at) => (command, &container.command, at, Spot::Command),
            spark::Place::Args(at) => (args, &container.args, at, Spot::Args),
        };
        let mut new = Vec::new();
        for (key, target) in options {
            match spark::own_value(container, key) {
                Some(value) if is_variable(container, value, target) => {}
                Some(_) => {
                    let container = Some(name);
                    let warning = Warning::OwnConfiguration { container, key };
                    self.references.warnings.push(warning);
                }
                None => {
                    let variable = hidden.variable(target);
                    let [option, _] = spark::OPTIONS;
                    new.push(option.into());
                    new.push(format!("{key}=$({variable})").into());
                    let at = At {
                        container: name,
                        spot,
                    };
                    self.take(Ok(target.clone()), at);
                }
            }
        }
        if !new.is_empty() {
            let own = own.iter().flatten();
            let own = || own.map(|text| Cow::Borrowed(text.as_str())).collect();
            spark::insert(list.get_or_insert_with(own), at, new);
        }
    }

    fn files(&mut self, list: &'a str) {
        const PLACE: &str = "keyporter.dev/files";
        for (text, entry) in apart(list) {
            let Entry { secret, path } = match entry {
                Ok(entry) => entry,
                Err(why) => {
                    let refused = Refused::malformed(text, PLACE.to_owned(), why);
                    self.refused.push(refused);
                    continue;
                }
            };
            match self.resolver.named(secret) {
                Ok(Target::There {
                    source: Source::Secret(secret),
                    key,
                    ..
                }) => self.references.files.push(KeyFile { secret, key, path }),
                Ok(_) => {
                    let name = secret.name;
                    let warning = Warning::FileLeftOut { name, path };
                    self.references.warnings.push(warning);
                }
                Err(why) => {
                    let refused = Refused::unresolved(text, PLACE.to_owned(), &why);
                    self.refused.push(refused);
                }
            }
        }
    }
}

/// The entries of the annotation, of which no two may lie in each other's way.
fn apart(list: &str) -> Vec<(&str, Result<Entry<'_>, Malformed>)> {
    let mut all: Vec<_> = entries(list).collect();
    let places = all.iter().enumerate().filter_map(|(index, (_, entry))| {
        let path = entry.as_ref().ok()?.path;
        Some((path.split('/').collect::<Vec<_>>(), index))
    });
    let mut places: Vec<_> = places.collect();
    // What lies below a path follows it at once.
    places.sort();
    let mut outer: Option<Vec<&str>> = None;
    for (place, index) in places {
        let problem = match &outer {
            Some(outer) if *outer == place => Malformed::PathTwice,
            Some(outer) if place.starts_with(outer) => Malformed::BelowFile,
            _ => {
                outer = Some(place);
                continue;
            }
        };
        if let Some((_, entry)) = all.get_mut(index) {
            *entry = Err(problem);
        }
    }
    all
}

/// Options for Spark.
#[derive(Default)]
struct Options<'a> {
    values: Vec<(&'a str, Target<'a>)>,
    /// The containers that run it.
    runners: Vec<(Group, usize)>,
}

/// Whether a value is the hidden variable of a container for this target.
fn is_variable(container: &Container<'_>, value: &str, target: &Target<'_>) -> bool {
    let name = value
        .strip_prefix("$(")
        .and_then(|rest| rest.strip_suffix(')'));
    let Some(name) = name.filter(|name| name.starts_with(HIDDEN)) else {
        return false;
    };
    let Target::There { source, key, .. } = target else {
        return false;
    };
    let reference = container
        .variable(name)
        .and_then(|variable| variable.value_from.as_ref()?.secret_key_ref.as_ref());
    reference.is_some_and(|own| own.name == *source.object() && own.key == **key)
}

/// Where a reference stands.
#[derive(Clone, Copy)]
struct At<'a> {
    container: &'a str,
    spot: Spot<'a>,
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let container = self.container;
        match self.spot {
            Spot::Variable(name) => write!(f, "env {name} of container {container:?}"),
            spot => write!(f, "{spot} of container {container:?}"),
        }
    }
}

/// The variables that stand for references inside text, one for each key of an object.
struct Hidden<'a> {
    container: &'a Container<'a>,
    /// Numbers that the container has, be it in a text alone; `None` before anybody asked.
    taken: Option<HashSet<u64>>,
    last: u64,
    names: HashMap<(&'a str, &'a str), String>,
    new: Vec<NewVariable<'a>>,
}

impl<'a> Hidden<'a> {
    fn new(container: &'a Container<'a>) -> Self {
        Self {
            container,
            taken: None,
            last: 0,
            names: HashMap::new(),
            new: vec![],
        }
    }

    /// The name of the variable for this. It is never optional: Kubernetes would leave its name in the text. For what is
    /// not there it is empty, so that the texts on both sides do not become one, which may be a reference.
    fn variable(&mut self, target: &Target<'a>) -> String {
        let (object, key, value) = match target {
            Target::There { source, key, .. } => {
                let object = source.object();
                let value = NewValue::Key {
                    object: object.into(),
                    key,
                    optional: false,
                };
                (object, *key, value)
            }
            Target::Absent { .. } => ("", "", NewValue::Plain("".into())),
        };
        if let Some(name) = self.names.get(&(object, key)) {
            return name.clone();
        }
        let name = self.next();
        self.names.insert((object, key), name.clone());
        self.new.push(NewVariable {
            name: name.clone().into(),
            value,
        });
        name
    }

    fn next(&mut self) -> String {
        let taken = self.taken.get_or_insert_with(|| numbers(self.container));
        self.last += 1;
        while taken.contains(&self.last) {
            self.last += 1;
        }
        format!("{HIDDEN}{}", self.last)
    }
}

/// Whether a variable is one of ours for references inside text, and no business of anybody's.
pub(in crate::inject) fn is_hidden(variable: &str) -> bool {
    variable.starts_with(HIDDEN)
}

/// The numbers of hidden variables that an earlier pass made or that stand anywhere in a container's text.
fn numbers(container: &Container<'_>) -> HashSet<u64> {
    let variables = container.env.iter().flatten();
    let names_and_values =
        variables.flat_map(|variable| [Some(&variable.name), variable.value.as_ref()]);
    let texts = (container.command.iter().flatten()).chain(container.args.iter().flatten());
    names_and_values
        .flatten()
        .chain(texts)
        .flat_map(|text| text.as_str().split(HIDDEN).skip(1))
        .filter_map(|rest| {
            let end = rest.bytes().position(|byte| !byte.is_ascii_digit());
            rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
        })
        .collect()
}

/// The value that a variable has of its own.
fn own_value<'a>(variable: &'a crate::inject::pod::Variable<'_>) -> Option<&'a str> {
    let value = variable.value.as_ref()?.as_str();
    variable.value_from.is_none().then_some(value)
}
