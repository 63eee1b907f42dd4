//! Where the chosen secrets go in each container: what is there already, what is added, what is in the way.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::Denial;
use super::annotations::Wishes;
use super::changes::{
    Changes, ContainerChanges, Group, NewMount, NewValue, NewVariable, NewVolume, Placement, Way,
};
use super::git_ssh;
use super::mount::{Places, Relation, Room, relation};
use super::name;
use super::pod::{Container, EnvFrom, Spec, Variable, Volume};
use super::reference::{InContainer, KeyFile, References, Referral, Spot, Target, is_hidden};
use super::secret::Secret;
use super::select::{Auth, Environment, Selection};
use super::settings::Settings;
use super::variable;
use super::volumes::Volumes;
use super::warning::{Obstacle, Warning};

/// The prefix of our volumes of Secrets.
const VOLUME_PREFIX: &str = "keyporter-";

/// The prefix of our volumes of which single files are mounted.
const FILES_PREFIX: &str = "keyporter-files-";

/// The most entries that all containers of a pod get together. No API server stores a pod with more, and a small pod of
/// thousands of containers must not cost the webhook gigabytes.
const PLACES: usize = 100_000;

/// Konduktor's variable with the folder of secrets.
pub const ROOT_VARIABLE: &str = "KONDUKTOR_DEFAULT_SECRETS";
/// Konduktor's variable with the folder in which archives were unpacked: the same, as a layout needs no unpacking.
pub const EXPANDED_VARIABLE: &str = "KONDUKTOR_DEFAULT_SECRETS_EXPANDED";
/// The variable of kind `auth`.
pub const AUTH_VARIABLE: &str = "AUTH_SECRET";

/// The containers that take part.
fn chosen<'a>(
    spec: &'a Spec<'a>,
    wishes: &Wishes<'a>,
    settings: &Settings,
) -> impl Iterator<Item = (Group, usize, &'a Container<'a>)> {
    containers(spec).filter(|(_, _, container)| is_chosen(container, wishes, settings))
}

/// Whether a container takes part.
pub(super) fn is_chosen(
    container: &Container<'_>,
    wishes: &Wishes<'_>,
    settings: &Settings,
) -> bool {
    wishes.choose(&container.name) && !settings.sidecars.contains(container.name.as_str())
}

/// Looks whether a pod could hold all that its containers would get.
pub(super) fn check_size(
    spec: &Spec<'_>,
    selection: &Selection<'_>,
    references: &References<'_>,
    wishes: &Wishes<'_>,
    settings: &Settings,
) -> Result<(), Denial> {
    let containers = chosen(spec, wishes, settings).count();
    let entries = selection.size() + references.size();
    if containers.saturating_mul(entries) > PLACES {
        return Err(Denial::TooLarge {
            containers,
            entries,
        });
    }
    Ok(())
}

/// Places the selection in the pod. Without containers it is no pod yet, maybe without a `spec` to add anything to.
pub fn place<'a>(
    spec: &'a Spec<'a>,
    selection: &mut Selection<'a>,
    references: &mut References<'a>,
    wishes: &Wishes<'a>,
    settings: &'a Settings,
) -> Changes<'a> {
    let mut changes = Changes::default();
    if containers(spec).next().is_none() {
        return changes;
    }
    let mut warnings = std::mem::take(&mut selection.warnings);
    let volumes = Volumes::of(spec);
    warnings.append(&mut references.warnings);
    let directories = selection.directories.iter();
    let root = &*settings.mount_root;
    let directories: Vec<_> = directories
        .map(|secret| Directory::of(secret, root))
        .collect();
    let git_ssh = selection
        .git_ssh
        .map(|secret| (secret, volume_name(&secret.object)));
    let environments = selection.environments.iter();
    let env_objects: BTreeSet<_> = environments.map(|one| &*one.secret.object).collect();
    // No secret sets more variables by itself than two, or has more mounts.
    let most = 2 * selection.size() + references.size();
    let mut added = BTreeSet::new();
    let mut rewritten = std::mem::take(&mut references.containers)
        .into_iter()
        .peekable();
    // References count in every container: text that was meant as one would reach a program.
    for (group, index, container) in containers(spec) {
        let of_it = rewritten.next_if(|one| (one.group, one.index) == (group, index));
        let mut new = of_it
            .unwrap_or_else(|| InContainer::none(group, index))
            .changes();
        if !is_chosen(container, wishes, settings) {
            changes
                .containers
                .extend(Some(new).filter(|new| !new.is_empty()));
            continue;
        }
        new.variables.reserve(most);
        new.mounts.reserve(most);
        let mut place = Place {
            container,
            places: Places::of(container),
            volumes: &volumes,
            env_objects: &env_objects,
            added: &mut added,
            referring: referring(container, &new),
            new,
            referred: &references.variables,
            ours: vec![],
            changes: &mut changes,
            referrals: &mut references.referrals,
            warnings: &mut warnings,
        };
        for file in &references.files {
            place.file(*file);
        }
        for (name, target) in place.referred {
            place.reference(name, target);
        }
        place.directories(&directories, root);
        if let Some((secret, volume)) = &git_ssh {
            place.git_ssh(secret, volume);
        }
        if let Some(auth) = selection.auth {
            place.auth(auth);
        }
        place.environments(&selection.environments);
        let new = place.new;
        changes
            .containers
            .extend(Some(new).filter(|new| !new.is_empty()));
    }
    for secret in &selection.image_pull {
        if !spec
            .image_pull_secrets
            .iter()
            .flatten()
            .any(|own| own.name == *secret.object)
        {
            changes.image_pull_secrets.push(&secret.object);
        }
        changes.placements.push(Placement {
            secret,
            container: None,
            result: Ok(Way::ImagePull),
        });
    }
    selection.warnings = warnings;
    changes
}

/// All containers with their place in the pod.
pub fn containers<'a>(
    spec: &'a Spec<'a>,
) -> impl Iterator<Item = (Group, usize, &'a Container<'a>)> {
    let list = |group, list: &'a Option<Vec<_>>| {
        list.iter()
            .flatten()
            .enumerate()
            .map(move |(index, container)| (group, index, container))
    };
    list(Group::Init, &spec.init_containers).chain(list(Group::Main, &spec.containers))
}

/// One container at work.
struct Place<'a, 'p> {
    container: &'a Container<'a>,
    places: Places<'a>,
    /// The pod's own volumes, by name.
    volumes: &'p Volumes<'a>,
    /// The objects of the chosen secrets of kind `env`.
    env_objects: &'p BTreeSet<&'a str>,
    /// Names of the volumes that are added.
    added: &'p mut BTreeSet<String>,
    new: ContainerChanges<'a>,
    /// Variables that come by reference: automatic ones yield to them as to the container's own.
    referred: &'p [(&'a str, Target<'a>)],
    /// The container's own variables that get new values, and which of those.
    referring: BTreeMap<*const Variable<'a>, usize>,
    /// Variables of the container that are as this pass would set them.
    ours: Vec<&'a str>,
    changes: &'p mut Changes<'a>,
    referrals: &'p mut Vec<Referral<'a>>,
    warnings: &'p mut Vec<Warning<'a>>,
}

/// The variables of a container that get new values.
fn referring<'a>(
    container: &'a Container<'a>,
    new: &ContainerChanges<'a>,
) -> BTreeMap<*const Variable<'a>, usize> {
    let env = container.env.as_deref().unwrap_or_default();
    let values = new.values.iter().enumerate();
    values
        .filter_map(|(number, (place, _))| Some((std::ptr::from_ref(env.get(*place)?), number)))
        .collect()
}

impl<'a> Place<'a, '_> {
    /// A file that a reference asks for.
    fn file(&mut self, KeyFile { secret, key, path }: KeyFile<'a>) {
        let result = self.try_file(secret, key, path);
        self.note(secret, result.map(|()| Way::KeyFile(path)));
    }

    fn try_file(
        &mut self,
        secret: &'a Secret,
        key: &'a str,
        path: &'a str,
    ) -> Result<(), Obstacle<'a>> {
        // Never the name of a folder's volume, as those are shortened only with a hash of their own object's name.
        let name = name::shortened(FILES_PREFIX, &secret.object);
        match self.places.room_at(path, self.volumes) {
            Room::Mounted(mount) if mount.is_file(&name, key) => return Ok(()),
            Room::Mounted(mount) => return Err(Obstacle::Mount(mount.path)),
            Room::Blocked(obstacle) => return Err(obstacle),
            Room::Free => {}
        }
        match self.volumes.get(&name) {
            Some(own) if !is_of(own, secret) => return Err(Obstacle::VolumeName),
            Some(_) => {}
            None => self.add_volume(&name, |name| NewVolume::Files {
                name,
                object: &secret.object,
            }),
        }
        self.new.mounts.push(NewMount {
            volume: name,
            file: Some(key),
            path: path.to_owned(),
            read_only: true,
        });
        self.places.take(path);
        Ok(())
    }

    /// A variable that a reference asks for.
    fn reference(&mut self, variable: &'a str, target: &Target<'a>) {
        let container = self.container.name.as_str();
        let value = NewValue::of(target.clone());
        let NewValue::Key {
            object,
            key,
            optional,
        } = value
        else {
            return;
        };
        if !self.key_variable(variable, object, key, optional) {
            self.warnings.push(Warning::OwnRoot {
                container,
                variable,
            });
            return;
        }
        if let Target::There { source, .. } = *target {
            self.referrals.push(Referral {
                source,
                container,
                spot: Spot::Variable(variable),
            });
        }
    }

    fn directories(&mut self, directories: &[Directory<'a>], root: &'a str) {
        if directories.is_empty() {
            return;
        }
        for name in [ROOT_VARIABLE, EXPANDED_VARIABLE] {
            if !self.plain_variable(name, root) {
                let container = self.container.name.as_str();
                self.warnings.push(Warning::OwnRoot {
                    container,
                    variable: name,
                });
            }
        }
        for Directory {
            secret,
            path,
            volume,
        } in directories
        {
            let secret = *secret;
            let new = |name| NewVolume::Directory { name, secret };
            let result = self.secret_mount(path, secret, volume, new);
            self.note(secret, result.map(|()| Way::Files(path.clone())));
        }
    }

    fn git_ssh(&mut self, secret: &'a Secret, volume: &str) {
        let result = self.try_git_ssh(secret, volume).map(|()| Way::GitSsh);
        self.note(secret, result);
    }

    /// All of it or nothing: a command without its key would break a git that works today.
    fn try_git_ssh(&mut self, secret: &'a Secret, volume: &str) -> Result<(), Obstacle<'a>> {
        let command = git_ssh::command(secret);
        if self.sets(git_ssh::PROGRAM_VARIABLE) {
            return Err(Obstacle::Variable(git_ssh::PROGRAM_VARIABLE));
        }
        let own = self.container.variable(git_ssh::COMMAND_VARIABLE);
        let same = own.is_some_and(|own| has_value(own, command));
        if self.sets(git_ssh::COMMAND_VARIABLE) && !same {
            return Err(Obstacle::Variable(git_ssh::COMMAND_VARIABLE));
        }
        let takes_work_room = self.work_room()?;
        self.own_room(git_ssh::KEY_FOLDER)?;
        let new = |name| NewVolume::GitKey { name, secret };
        self.secret_mount(git_ssh::KEY_FOLDER, secret, volume, new)?;
        if takes_work_room {
            self.work_mount();
        }
        self.plain_variable(git_ssh::COMMAND_VARIABLE, command);
        if !self.plain_variable(git_ssh::VARIANT_VARIABLE, git_ssh::VARIANT) {
            self.warnings.push(Warning::OwnVariable {
                secret,
                container: self.container.name.as_str(),
                variable: git_ssh::VARIANT_VARIABLE,
            });
        }
        Ok(())
    }

    /// Whether the folder for private copies is to be mounted; there may be one.
    fn work_room(&self) -> Result<bool, Obstacle<'a>> {
        let there = self.volumes.get(git_ssh::WORK_VOLUME);
        if there.is_some_and(|volume| volume.empty_dir.is_none()) {
            return Err(Obstacle::VolumeName);
        }
        self.own_room(git_ssh::WORK_FOLDER)?;
        match self.places.room_at(git_ssh::WORK_FOLDER, self.volumes) {
            Room::Mounted(mount) if mount.whole() == Some(git_ssh::WORK_VOLUME) => Ok(false),
            Room::Mounted(_) => Err(Obstacle::Mount(git_ssh::WORK_FOLDER)),
            Room::Blocked(obstacle) => Err(obstacle),
            Room::Free => Ok(true),
        }
    }

    fn work_mount(&mut self) {
        if self.volumes.get(git_ssh::WORK_VOLUME).is_none() {
            self.add_volume(git_ssh::WORK_VOLUME, |_| NewVolume::GitWork);
        }
        self.new.mounts.push(NewMount {
            volume: git_ssh::WORK_VOLUME.to_owned(),
            file: None,
            path: git_ssh::WORK_FOLDER.to_owned(),
            read_only: false,
        });
    }

    /// That no folder of a secret lies where git's are to be: the mount root is a setting.
    fn own_room(&self, path: &'static str) -> Result<(), Obstacle<'a>> {
        let near = |mount: &NewMount<'_>| {
            mount.file.is_none() && relation(&mount.path, path) != Relation::Apart
        };
        if self.new.mounts.iter().any(near) {
            return Err(Obstacle::Mount(path));
        }
        Ok(())
    }

    fn auth(
        &mut self,
        Auth {
            secret,
            key,
            required,
        }: Auth<'a>,
    ) {
        let placed = self.key_variable(AUTH_VARIABLE, &*secret.object, key, !required);
        self.note(
            secret,
            if placed {
                Ok(Way::Auth)
            } else {
                Err(Obstacle::Variable(AUTH_VARIABLE))
            },
        );
    }

    fn environments(&mut self, rising: &[Environment<'a>]) {
        self.whole_environments(rising);
        let own_env_from = (self.container.env_from.iter().flatten()).any(|source| {
            !whole_secret(source).is_some_and(|object| self.env_objects.contains(object))
        });
        let results: Vec<_> = rising
            .iter()
            .map(|environment| match &environment.variables {
                None => Ok(Way::Variables),
                Some(names) => self.some_variables(environment.secret, names, own_env_from),
            })
            .collect();
        // Only now is it known which of the container's variables are ours, from an earlier pass.
        for (Environment { secret, .. }, result) in rising.iter().zip(results) {
            self.warn_of_own_variables(secret);
            self.note(secret, result);
        }
    }

    /// Sets variables one by one. They would win over the container's own `envFrom`: where it has one, only those stay
    /// that are there already, from before another webhook added it.
    fn some_variables(
        &mut self,
        secret: &'a Secret,
        names: &[&'a str],
        own_env_from: bool,
    ) -> Result<Way<'a>, Obstacle<'a>> {
        let mut placed = names.to_vec();
        placed.retain(|name| {
            (!own_env_from || self.container.variable(name).is_some())
                && self.key_variable(name, &*secret.object, name, true)
        });
        match (placed.is_empty(), own_env_from) {
            (false, _) => Ok(Way::SomeVariables(placed)),
            (true, true) => Err(Obstacle::EnvFrom),
            (true, false) => Err(Obstacle::AllSet),
        }
    }

    /// Inserts what is missing so that the order of rising precedence holds with what an earlier pass put there.
    /// Ours is the run at the head of the list; the container's own entries come after it and win.
    fn whole_environments(&mut self, rising: &[Environment<'a>]) {
        let own = self.container.env_from.as_deref().unwrap_or_default();
        let whole: Vec<&'a str> = rising
            .iter()
            .filter(|one| one.variables.is_none())
            .map(|one| &*one.secret.object)
            .collect();
        if own.is_empty() {
            self.new.env_from.extend(whole.into_iter().enumerate());
            return;
        }
        let ours: BTreeSet<_> = whole.iter().copied().collect();
        let is_ours = |source: &&EnvFrom<'a>| {
            whole_secret(source).is_some_and(|object| ours.contains(object))
        };
        let head = own.iter().take_while(is_ours).count();
        let mut there = BTreeMap::new();
        for (index, source) in own.iter().enumerate() {
            if let Some(object) = whole_secret(source) {
                there.entry(object).or_insert(index);
            }
        }
        let mut next = 0;
        for object in whole {
            match there.get(object) {
                Some(index) if *index < head => next = index + 1 + self.new.env_from.len(),
                Some(_) => {}
                None => {
                    self.new.env_from.push((next, object));
                    next += 1;
                }
            }
        }
    }

    fn warn_of_own_variables(&mut self, secret: &'a Secret) {
        let container = self.container.name.as_str();
        // First what rules out nearly all: every secret is held against every variable.
        let is_meant =
            |variable: &str| secret.has_key(variable) && variable::check(variable).is_ok();
        let mut own = Vec::new();
        for (variable, target) in self.referred {
            // A later pass finds it in the container.
            let is_new = self.container.variable(variable).is_none();
            if is_new && is_meant(variable) && !target.is_key(&secret.object, variable) {
                own.push(*variable);
            }
        }
        for variable in self.container.env.iter().flatten() {
            let name = variable.name.as_str();
            if is_meant(name)
                && !is_hidden(name)
                && !self.ours.contains(&name)
                && !self.is_key(variable, &secret.object, name)
            {
                own.push(name);
            }
        }
        let warning = |variable| Warning::OwnVariable {
            secret,
            container,
            variable,
        };
        self.warnings.extend(own.into_iter().map(warning));
    }

    /// Mounts a Secret at a path. The volume is shared by all containers; one of the pod's own that is the same Secret
    /// and mounted there already serves as well.
    fn secret_mount(
        &mut self,
        path: &str,
        secret: &'a Secret,
        name: &str,
        new: impl FnOnce(String) -> NewVolume<'a>,
    ) -> Result<(), Obstacle<'a>> {
        let is_it = |name| {
            let own = self.volumes.get(name);
            own.is_some_and(|own| is_of(own, secret))
        };
        match self.places.room_at(path, self.volumes) {
            Room::Mounted(mount) if mount.whole().is_some_and(is_it) => return Ok(()),
            Room::Mounted(mount) => return Err(Obstacle::Mount(mount.path)),
            Room::Blocked(obstacle) => return Err(obstacle),
            Room::Free => {}
        }
        match self.volumes.get(name) {
            Some(own) if !is_of(own, secret) => return Err(Obstacle::VolumeName),
            Some(_) => {}
            None => self.add_volume(name, new),
        }
        self.new.mounts.push(NewMount {
            volume: name.to_owned(),
            file: None,
            path: path.to_owned(),
            read_only: true,
        });
        Ok(())
    }

    /// Adds a volume to the pod, once.
    fn add_volume(&mut self, name: &str, new: impl FnOnce(String) -> NewVolume<'a>) {
        if !self.added.contains(name) {
            self.added.insert(name.to_owned());
            self.changes.volumes.push(new(name.to_owned()));
        }
    }

    /// Whether the container has this variable, or gets it by reference.
    fn sets(&self, name: &str) -> bool {
        let by_reference = |(variable, _): &(&str, Target<'_>)| *variable == name;
        self.container.variable(name).is_some() || self.referred.iter().any(by_reference)
    }

    /// Adds a plain variable; false if the container sets it to something else.
    fn plain_variable(&mut self, name: &'static str, value: &'a str) -> bool {
        if let Some(own) = self.container.variable(name) {
            let same = has_value(own, value);
            self.ours.extend(Some(name).filter(|_| same));
            return same;
        }
        if self.sets(name) {
            return false;
        }
        self.new.variables.push(NewVariable {
            name: name.into(),
            value: NewValue::Plain(value.into()),
        });
        true
    }

    /// Adds a variable from a key; false if the container, or something chosen before, sets it to something else.
    fn key_variable(
        &mut self,
        name: &'a str,
        object: impl Into<Cow<'a, str>>,
        key: &'a str,
        optional: bool,
    ) -> bool {
        let object = object.into();
        if let Some(own) = self.container.variable(name) {
            let same = self.is_key(own, &object, key);
            self.ours.extend(Some(name).filter(|_| same));
            return same;
        }
        if self
            .new
            .variables
            .iter()
            .any(|variable| variable.name == name)
        {
            return false;
        }
        self.new.variables.push(NewVariable {
            name: name.into(),
            value: NewValue::Key {
                object,
                key,
                optional,
            },
        });
        true
    }

    /// Whether a variable of the container is this key, or will be.
    fn is_key(&self, own: &Variable<'a>, object: &str, key: &str) -> bool {
        let Some(number) = self.referring.get(&std::ptr::from_ref(own)) else {
            return is_key(own, object, key);
        };
        let value = self.new.values.get(*number);
        value.is_some_and(|(_, value)| {
            matches!(value, NewValue::Key { object: other, key: own, .. } if *other == object && *own == key)
        })
    }

    fn note(&mut self, secret: &'a Secret, result: Result<Way<'a>, Obstacle<'a>>) {
        let container = self.container.name.as_str();
        if let Err(obstacle) = result {
            self.warnings.push(Warning::Kept {
                secret,
                container,
                obstacle,
            });
        }
        self.changes.placements.push(Placement {
            secret,
            container: Some(container),
            result,
        });
    }
}

/// A secret that is to come as a folder, with what is the same in all containers.
struct Directory<'a> {
    secret: &'a Secret,
    path: String,
    volume: String,
}

impl<'a> Directory<'a> {
    fn of(secret: &'a Secret, root: &str) -> Self {
        Self {
            secret,
            path: [root, "/", &secret.name].concat(),
            volume: volume_name(&secret.object),
        }
    }
}

/// The name of the volume of a Secret, which is that of no other volume of ours.
fn volume_name(object: &str) -> String {
    let name = name::label(VOLUME_PREFIX, object);
    if name == git_ssh::WORK_VOLUME {
        return name::shortened(VOLUME_PREFIX, object);
    }
    name
}

/// Whether a volume is this Secret.
fn is_of(volume: &Volume<'_>, secret: &Secret) -> bool {
    let source = volume
        .secret
        .as_ref()
        .and_then(|source| source.secret_name.as_ref());
    source.is_some_and(|object| *object == *secret.object)
}

/// The Secret of which a source takes all keys by their own names.
fn whole_secret<'a>(source: &'a EnvFrom<'a>) -> Option<&'a str> {
    let named = source.prefix.as_ref().is_none_or(|prefix| *prefix == *"");
    let reference = source.secret_ref.as_ref().filter(|_| named)?;
    Some(reference.name.as_str())
}

fn has_value(variable: &Variable<'_>, value: &str) -> bool {
    variable.value.as_ref().is_some_and(|own| *own == *value)
}

fn is_key(variable: &Variable<'_>, object: &str, key: &str) -> bool {
    let reference = variable
        .value_from
        .as_ref()
        .and_then(|from| from.secret_key_ref.as_ref());
    reference.is_some_and(|own| own.name == *object && own.key == *key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::inject::reference::Resolver;
    use crate::inject::secret::Key;
    use crate::inject::select::{Shelf, Visible};
    use crate::inject::store::{Store, Stores};

    /// What comes of a variable `TOKEN` by reference in each container: the container, its variables and the warnings.
    fn with_token(containers: &serde_json::Value) -> (Vec<(usize, Vec<String>)>, Vec<String>) {
        let key = |name: &str| Key {
            name: name.into(),
            length: 1,
        };
        let store = Store {
            object: "store".into(),
            resource_version: "1".into(),
            keys: [key("k")].into(),
        };
        let stores = Stores {
            domain: None,
            stores: vec![store.into()],
        };
        let nothing = Shelf::default();
        let visible = Visible {
            project: &nothing,
            user: &nothing,
            stores: &stores,
        };
        let resolver = Resolver::new(visible, None, "store");
        let mut references = References::default();
        references.add_variable("TOKEN", resolver.of_store("store", "k").unwrap());
        let text = json!({ "containers": containers }).to_string();
        let spec: Spec<'_> = serde_json::from_str(&text).unwrap();
        let mut selection = Selection::default();
        let wishes = Wishes {
            containers: Some(vec!["main", "second"]),
            ..Wishes::default()
        };
        let settings = Settings::default();
        let changes = place(&spec, &mut selection, &mut references, &wishes, &settings);
        let names = |one: &ContainerChanges<'_>| {
            let names = one
                .variables
                .iter()
                .map(|variable| variable.name.to_string());
            (one.index, names.collect())
        };
        let variables = changes.containers.iter().map(names).collect();
        let warnings = selection.warnings.iter().map(ToString::to_string);
        (variables, warnings.collect())
    }

    #[test]
    fn a_variable_comes_to_the_chosen_containers() {
        let (changed, warnings) = with_token(&json!([{"name": "main"}, {"name": "other"}]));
        assert_eq!(changed, [(0, vec!["TOKEN".to_owned()])]);
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn the_containers_own_variable_stays() {
        let own = json!([{"name": "TOKEN", "value": "own"}]);
        let (changed, warnings) = with_token(&json!([{"name": "main", "env": own}]));
        assert_eq!(changed, []);
        let kept = "container \"main\" sets TOKEN itself; its value is kept";
        assert_eq!(warnings, [kept]);
    }

    #[test]
    fn what_an_earlier_pass_put_there_is_ours() {
        let ours = json!([{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "store", "key": "k"}}}]);
        let (changed, warnings) = with_token(&json!([{"name": "main", "env": ours}]));
        assert_eq!((changed, warnings), (vec![], vec![]));
    }
}
