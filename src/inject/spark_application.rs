//! `SparkApplication`s of the Spark operator: what stores give to their driver, executors and Spark configuration.
//! <https://github.com/kubeflow/spark-operator/blob/master/docs/api-docs.md>
//!
//! They have no pod template that Kubernetes expands anything in, so the object itself gets it when it is made or changed:
//!
//! | what refers to a store | what comes |
//! |---|---|
//! | IOMETE's `keyporter.dev/env-secrets`, on the object, or on `spec.driver` or `spec.executor` for that one alone | variables in `env` |
//! | IOMETE's `keyporter.dev/spark-conf-secrets` on any of these | `sparkConf` |
//! | `${secrets.KEY}` in values of `env` | as in a pod |
//! | `${secrets.KEY}` in values of `sparkConf` | a reference to a hidden variable of driver and executors |
//!
//! # How Spark reads a variable
//!
//! - `${env:NAME}` is expanded by Spark where it reads a configuration that it declares itself
//!   (<https://github.com/apache/spark/blob/master/core/src/main/scala/org/apache/spark/internal/config/ConfigReader.scala>).
//!   Code that asks for the bare text, as `spark.conf.get` of a key of its own does, sees `${env:NAME}`.
//! - Keys `spark.hadoop.*` go to Hadoop as they are, which expands `${env.NAME}` from Hadoop 3.0 on
//!   (<https://issues.apache.org/jira/browse/HADOOP-9642>).
//! - Whoever submits the application has no such variables, and leaves the text as it is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use serde_json::{Map, Value, json};

use super::Denial;
use super::annotations as names;
use super::changes::NewValue;
use super::object::Kind;
use super::patch::{Operation, ValueFrom, member};
use super::reference::iomete::{self, Assignment, List};
use super::reference::{HIDDEN, Piece, Refused, Resolver, Target, entry, may_refer, pieces, write};
use super::select::Visible;
use super::settings::Settings;
use super::warning::Warning;

/// The operator's API group.
const GROUP: &str = "sparkoperator.k8s.io";
/// Configuration that Spark hands to Hadoop.
const HADOOP: &str = "spark.hadoop.";
/// The pods of an application.
const ROLES: [&str; 2] = ["driver", "executor"];

/// What an application gets.
#[derive(Debug, Default)]
pub struct Filled<'a> {
    /// How it gets it.
    pub patch: Vec<Operation<'a>>,
    /// What the requester is to know.
    pub warnings: Vec<Warning<'a>>,
    /// The stores that it has anything of.
    pub stores: BTreeSet<&'a str>,
}

/// Where an application's `spec` stands, for the kinds that have one.
fn spec_of(kind: Kind<'_>) -> Option<&'static str> {
    match (kind.group, kind.kind) {
        (GROUP, "SparkApplication") => Some("/spec"),
        (GROUP, "ScheduledSparkApplication") => Some("/spec/template"),
        _ => None,
    }
}

/// Whether objects of this kind get anything themselves.
#[must_use]
pub fn is_of_kind(kind: Kind<'_>) -> bool {
    spec_of(kind).is_some()
}

/// Fills an application that is made, or changed from `old`. Nothing is asked about its owner: stores are everybody's.
pub fn fill<'a>(
    kind: Kind<'_>,
    (new, old): (&'a Value, Option<&Value>),
    namespace: &str,
    visible: Visible<'a>,
    settings: &Settings,
) -> Result<Filled<'a>, Denial> {
    let Some(pointer) = spec_of(kind).filter(|_| settings.references) else {
        return Ok(Filled::default());
    };
    let Some(application) = Application::of(pointer, new) else {
        return Ok(Filled::default());
    };
    // What is going, or was refused nothing before, is not held up by a store that went meanwhile.
    let goes = new.pointer("/metadata/deletionTimestamp").is_some();
    let stays = old
        .and_then(|old| Application::of(pointer, old))
        .is_some_and(|old| old.refers_as(&application));
    let left_alone = goes
        || stays
        || settings.excluded_namespaces.contains(namespace)
        || new.pointer("/metadata/labels/keyporter.dev~1inject") == Some(&json!("disabled"));
    if left_alone || !application.refers() {
        return Ok(Filled::default());
    }
    let resolver = Resolver::new(visible, None, &settings.store);
    let mut work = Work {
        pointer,
        hidden: Hidden::of(&application),
        application,
        resolver: &resolver,
        filled: Filled::default(),
        refused: BTreeSet::new(),
        new: ROLES.map(|role| NewEnv::of(application.env(role))),
    };
    work.values();
    work.variables();
    let configuration = work.configuration();
    if !work.refused.is_empty() {
        let references = work.refused.into_iter().collect();
        return Err(Denial::UnresolvedReferences { references });
    }
    work.write(configuration);
    Ok(work.filled)
}

/// The parts of an application that matter.
#[derive(Clone, Copy, PartialEq)]
struct Application<'a> {
    spec: &'a Map<String, Value>,
    metadata: Option<&'a Value>,
}

impl<'a> Application<'a> {
    fn of(pointer: &str, object: &'a Value) -> Option<Self> {
        let spec = object.pointer(pointer)?.as_object()?;
        let is_map = |name: &str| {
            let value = spec.get(name);
            value.is_none_or(|value| value.is_null() || value.is_object())
        };
        // Anything else is for the API server to refuse.
        let is_one = ROLES.iter().all(|role| is_map(role)) && is_map("sparkConf");
        is_one.then(|| Self {
            spec,
            metadata: object.get("metadata"),
        })
    }

    /// The annotations of the object, of its driver and of its executors.
    fn annotation(self, name: &str) -> [Option<&'a str>; 3] {
        let text = |annotations: Option<&'a Value>| annotations?.get(name)?.as_str();
        let [driver, executor] = ROLES.map(|role| text(self.spec.get(role)?.get("annotations")));
        let own = text(
            self.metadata
                .and_then(|metadata| metadata.get("annotations")),
        );
        [own, driver, executor]
    }

    fn lists(self) -> [[Option<&'a str>; 3]; 2] {
        [List::Variables, List::Configuration].map(|list| self.annotation(list.annotation()))
    }

    fn role(self, role: &str, name: &str) -> Option<&'a Value> {
        self.spec.get(role)?.get(name)
    }

    fn env(self, role: &str) -> &'a [Value] {
        let env = self.role(role, "env").and_then(Value::as_array);
        env.map(Vec::as_slice).unwrap_or_default()
    }

    fn spark_conf(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let conf = self.spec.get("sparkConf").and_then(Value::as_object);
        let entries = conf.into_iter().flatten();
        entries.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }

    fn refers(self) -> bool {
        let mut values = ROLES
            .into_iter()
            .flat_map(|role| self.env(role))
            .filter_map(|variable| variable.get("value")?.as_str())
            .chain(self.spark_conf().map(|(_, value)| value));
        self.lists().iter().flatten().any(Option::is_some) || values.any(may_refer)
    }

    fn refers_as(self, other: &Application<'_>) -> bool {
        self.spec == other.spec && self.lists() == other.lists()
    }
}

/// One application at work.
struct Work<'a, 'r> {
    pointer: &'static str,
    application: Application<'a>,
    resolver: &'r Resolver<'a, 'r>,
    hidden: Hidden,
    filled: Filled<'a>,
    refused: BTreeSet<Refused>,
    new: [NewEnv<'a>; 2],
}

/// What is new in the variables of a role.
struct NewEnv<'a> {
    /// The role's own variables, by name.
    own: HashMap<&'a str, &'a Value>,
    /// What the variables hold that are new, or have new values.
    held: HashMap<String, Value>,
    /// Variables to stand before the role's own.
    variables: Vec<Value>,
    /// New values of its own, by their place.
    values: Vec<(usize, Value)>,
}

impl<'a> NewEnv<'a> {
    fn of(env: &'a [Value]) -> Self {
        let named = |variable: &'a Value| Some((variable.get("name")?.as_str()?, variable));
        Self {
            own: env.iter().filter_map(named).collect(),
            held: HashMap::new(),
            variables: vec![],
            values: vec![],
        }
    }

    /// Adds a variable; false if it has one of that name.
    fn add(&mut self, name: &str, value: &Value) -> bool {
        if self.own.contains_key(name) || self.held.contains_key(name) {
            return false;
        }
        self.held.insert(name.to_owned(), value.clone());
        let mut variable = Map::new();
        variable.insert("name".to_owned(), name.into());
        variable.extend(value.as_object().cloned().unwrap_or_default());
        self.variables.push(Value::Object(variable));
        true
    }
}

impl<'a> Work<'a, '_> {
    /// IOMETE's list of variables, of the object as a whole and of each role.
    fn variables(&mut self) {
        let [all, driver, executor] = self.application.annotation(names::ENV_SECRETS);
        for (list, roles) in [(all, 0..2), (driver, 0..1), (executor, 1..2)] {
            for (name, target) in self.assignments(List::Variables, list) {
                for role in roles.clone() {
                    self.variable(role, name, &target);
                }
            }
        }
    }

    fn variable(&mut self, number: usize, name: &'a str, target: &Target<'a>) {
        let (Some(role), Some(new)) = (ROLES.get(number), self.new.get_mut(number)) else {
            return;
        };
        let value = json!({"valueFrom": source(&NewValue::of(target.clone()))});
        let own = new.held.get(name).or(new.own.get(name).copied());
        if let Some(own) = own {
            if own.get("valueFrom") != value.get("valueFrom") {
                self.own_variable(role, name);
            }
            return;
        }
        let older = |member| self.application.role(role, member)?.get(name);
        if older("envVars").is_some() || older("envSecretKeyRefs").is_some() {
            self.own_variable(role, name);
        } else if new.add(name, &value) {
            self.note(target);
        }
    }

    fn own_variable(&mut self, role: &'static str, variable: &'a str) {
        self.filled.warnings.push(Warning::OwnRoot {
            container: role,
            variable,
        });
    }

    /// References in the values of the application's own variables.
    fn values(&mut self) {
        for (number, role) in ROLES.into_iter().enumerate() {
            for (index, variable) in self.application.env(role).iter().enumerate() {
                let text = variable.get("value").and_then(Value::as_str);
                let Some(text) = text.filter(|text| may_refer(text)) else {
                    continue;
                };
                let name = variable["name"].as_str().unwrap_or_default();
                let place = format!("env {name} of spec.{role}");
                let value = match *pieces(text) {
                    [Piece::Reference(reference)] => {
                        let target = self.resolver.stored(reference);
                        let target = self.take(text, &place, target);
                        let value = target.map(|target| source(&NewValue::of(target)));
                        value.map(|source| json!({"value": "", "valueFrom": source}))
                    }
                    ref pieces => self
                        .text(pieces, number, &place)
                        .map(|text| json!({ "value": text })),
                };
                if let (Some(value), Some(new)) = (value, self.new.get_mut(number)) {
                    new.held.insert(name.to_owned(), value.clone());
                    new.values.push((index, value));
                }
            }
        }
    }

    /// A text in which variables stand for references; `None` if it has none, or none that is good.
    fn text(&mut self, pieces: &[Piece<'a>], role: usize, place: &str) -> Option<String> {
        let is_reference = |piece: &Piece<'_>| matches!(piece, Piece::Reference(_));
        if !pieces.iter().any(is_reference) {
            return None;
        }
        let refused = self.refused.len();
        let text = write(pieces, |reference| {
            let target = self.resolver.stored(reference);
            let target = self.take(&reference.to_string(), place, target);
            target.map_or_else(String::new, |target| self.hide(&target, role..role + 1))
        });
        (self.refused.len() == refused).then_some(text)
    }

    /// The new values of the Spark configuration.
    fn configuration(&mut self) -> BTreeMap<&'a str, String> {
        let mut new = BTreeMap::new();
        for (key, text) in self.application.spark_conf() {
            if may_refer(text) {
                new.extend(self.in_text(key, text).map(|text| (key, text)));
            }
        }
        for list in self.application.annotation(names::SPARK_CONF_SECRETS) {
            for (key, target) in self.assignments(List::Configuration, list) {
                // What the application can do without is left out.
                if matches!(target, Target::There { .. }) {
                    self.configure(&mut new, key, &target);
                }
            }
        }
        new
    }

    /// The value of a configuration key with variables for its references; `None` if it has none.
    fn in_text(&mut self, key: &str, text: &'a str) -> Option<String> {
        let place = format!("sparkConf {key}");
        let mut value = String::new();
        let mut refers = false;
        for piece in pieces(text) {
            match piece {
                Piece::Plain(text) | Piece::Literal(text) => value.push_str(text),
                Piece::Reference(reference) => {
                    refers = true;
                    let target = self.resolver.stored(reference);
                    let target = self.take(&reference.to_string(), &place, target);
                    // What the application can do without is empty, and keeps the texts around it apart.
                    if let Some(target) = target {
                        value.push_str(&in_configuration(key, &self.hide(&target, 0..2)));
                    }
                }
            }
        }
        refers.then_some(value)
    }

    /// What a list says of a configuration key, unless the application itself says something else.
    fn configure(
        &mut self,
        new: &mut BTreeMap<&'a str, String>,
        key: &'a str,
        target: &Target<'a>,
    ) {
        let own = self.own_configuration(key);
        let own = own.map(|own| own.as_str().unwrap_or_default());
        let Some(own) = new.get(key).map(String::as_str).or(own) else {
            let variable = self.hide(target, 0..2);
            self.note(target);
            new.insert(key, in_configuration(key, &variable));
            return;
        };
        if let Some((name, value)) = self.hidden.named(key, own, target) {
            self.add(&name, &value, 0..2);
        } else {
            let container = None;
            let warning = Warning::OwnConfiguration { container, key };
            self.filled.warnings.push(warning);
        }
    }

    fn own_configuration(&self, key: &str) -> Option<&'a Value> {
        let spec = self.application.spec;
        let own = spec.get("sparkConf").and_then(|conf| conf.get(key));
        own.or_else(|| spec.get("hadoopConf")?.get(key.strip_prefix(HADOOP)?))
    }

    /// What one of IOMETE's lists asks for.
    fn assignments(&mut self, list: List, text: Option<&'a str>) -> Vec<(&'a str, Target<'a>)> {
        let Some(text) = text else {
            return vec![];
        };
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
                    let refused = Refused::unresolved(key, entry(list, number), &why);
                    self.refused.insert(refused);
                }
            }
        }
        targets
    }

    fn take(
        &mut self,
        reference: &str,
        place: &str,
        target: Result<Target<'a>, super::reference::Unresolved>,
    ) -> Option<Target<'a>> {
        match target {
            Ok(target) => {
                self.note(&target);
                Some(target)
            }
            Err(why) => {
                let refused = Refused::unresolved(reference, place.to_owned(), &why);
                self.refused.insert(refused);
                None
            }
        }
    }

    fn note(&mut self, target: &Target<'a>) {
        if let Target::There { source, .. } = target {
            self.filled.stores.insert(source.object());
        }
    }

    /// The name of the hidden variable for a target, which these roles have then.
    fn hide(&mut self, target: &Target<'a>, roles: Range<usize>) -> String {
        let (name, value) = self.hidden.variable(target);
        self.add(&name, &value, roles);
        name
    }

    fn add(&mut self, name: &str, value: &Value, roles: Range<usize>) {
        for new in self.new.get_mut(roles).unwrap_or_default() {
            new.add(name, value);
        }
    }

    fn write(&mut self, configuration: BTreeMap<&'a str, String>) {
        let patch = &mut self.filled.patch;
        for (role, new) in ROLES.into_iter().zip(&mut self.new) {
            let NewEnv {
                variables, values, ..
            } = new;
            let pointer = format!("{}/{role}", self.pointer);
            for (index, value) in values.drain(..) {
                let Value::Object(members) = value else {
                    continue;
                };
                patch.extend(members.into_iter().map(|(name, value)| {
                    Operation::json(format!("{pointer}/env/{index}/{name}"), value)
                }));
            }
            if variables.is_empty() {
                continue;
            }
            let there = self
                .application
                .spec
                .get(role)
                .filter(|role| role.is_object());
            match (there, self.application.role(role, "env")) {
                (_, Some(Value::Array(_))) => {
                    let inserts = variables.drain(..).enumerate();
                    patch.extend(inserts.map(|(index, variable)| {
                        Operation::json(format!("{pointer}/env/{index}"), variable)
                    }));
                }
                (Some(_), _) => {
                    let env = Value::Array(std::mem::take(variables));
                    patch.push(Operation::json(format!("{pointer}/env"), env));
                }
                (None, _) => {
                    let role = json!({"env": std::mem::take(variables)});
                    patch.push(Operation::json(pointer, role));
                }
            }
        }
        let pointer = format!("{}/sparkConf", self.pointer);
        let there = self.application.spec.get("sparkConf");
        if there.is_some_and(Value::is_object) {
            patch.extend(
                configuration
                    .into_iter()
                    .map(|(key, value)| Operation::json(member(&pointer, key), value.into())),
            );
        } else if !configuration.is_empty() {
            patch.push(Operation::json(pointer, json!(configuration)));
        }
    }
}

/// How the value of a configuration key names a variable.
fn in_configuration(key: &str, variable: &str) -> String {
    if key.starts_with(HADOOP) {
        format!("${{env.{variable}}}")
    } else {
        format!("${{env:{variable}}}")
    }
}

/// What a hidden variable holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Held {
    /// This key of this object.
    Key(String, String),
    /// The empty text, for what is optional and not there.
    Nothing,
}

impl Held {
    fn of(target: &Target<'_>) -> Self {
        match target {
            Target::There { source, key, .. } => {
                Self::Key(source.object().to_owned(), (*key).to_owned())
            }
            Target::Absent { .. } => Self::Nothing,
        }
    }

    /// What a variable holds that is there; `None` for what no hidden variable holds.
    fn in_variable(variable: &Value) -> Option<Self> {
        let Some(source) = variable.get("valueFrom") else {
            return (variable["value"] == "").then_some(Self::Nothing);
        };
        let reference = source.get("secretKeyRef")?;
        if reference["optional"] == true {
            return None;
        }
        let text = |name: &str| Some(reference.get(name)?.as_str()?.to_owned());
        Some(Self::Key(text("name")?, text("key")?))
    }

    fn value(&self) -> Value {
        match self {
            Self::Key(object, key) => {
                json!({"valueFrom": {"secretKeyRef": {"name": object, "key": key}}})
            }
            Self::Nothing => json!({"value": ""}),
        }
    }
}

/// The hidden variables of driver and executors: one name means the same in both.
struct Hidden {
    /// Names of those that are there, and of new ones.
    names: HashMap<Held, BTreeSet<String>>,
    /// Numbers that stand anywhere in the application.
    taken: HashSet<u64>,
    last: u64,
}

impl Hidden {
    fn of(application: &Application<'_>) -> Self {
        // A name that means two things is none of ours.
        let mut there: BTreeMap<&str, Option<Held>> = BTreeMap::new();
        let mut texts: Vec<&str> = application.spark_conf().map(|(_, text)| text).collect();
        for variable in ROLES.into_iter().flat_map(|role| application.env(role)) {
            let name = variable["name"].as_str().unwrap_or_default();
            texts.extend([name, variable["value"].as_str().unwrap_or_default()]);
            if !name.starts_with(HIDDEN) {
                continue;
            }
            let held = Held::in_variable(variable);
            let known = there.entry(name).or_insert_with(|| held.clone());
            if *known != held {
                *known = None;
            }
        }
        let numbers = texts
            .into_iter()
            .flat_map(|text| text.split(HIDDEN).skip(1))
            .filter_map(|rest| {
                let end = rest.bytes().position(|byte| !byte.is_ascii_digit());
                rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
            });
        let taken = numbers.collect();
        let mut names: HashMap<_, BTreeSet<_>> = HashMap::new();
        for (name, held) in there {
            if let Some(held) = held {
                names.entry(held).or_default().insert(name.to_owned());
            }
        }
        Self {
            names,
            taken,
            last: 0,
        }
    }

    /// The name of the variable for this, and its value. It is never optional: its name would stay in the text.
    fn variable(&mut self, target: &Target<'_>) -> (String, Value) {
        let held = Held::of(target);
        let value = held.value();
        let known = self.names.get(&held).and_then(BTreeSet::first).cloned();
        let name = known.unwrap_or_else(|| self.next());
        self.names.entry(held).or_default().insert(name.clone());
        (name, value)
    }

    fn next(&mut self) -> String {
        self.last += 1;
        while self.taken.contains(&self.last) {
            self.last += 1;
        }
        format!("{HIDDEN}{}", self.last)
    }

    /// The variable that the value of a configuration key names, if that holds what the target is.
    fn named(&self, key: &str, own: &str, target: &Target<'_>) -> Option<(String, Value)> {
        let held = Held::of(target);
        let mut names = self.names.get(&held)?.iter();
        let name = names.find(|name| own == in_configuration(key, name))?;
        Some((name.clone(), held.value()))
    }
}

/// `valueFrom` of a variable.
fn source(value: &NewValue<'_>) -> Value {
    // Texts and a flag cannot fail to serialize.
    serde_json::to_value(ValueFrom::of(value)).unwrap_or_default()
}
