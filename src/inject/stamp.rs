//! The stamp: whoever creates a workload is written into its pod templates, so that a pod that a controller makes from
//! them much later still has an owner. With it stands a [proof] that keyporter wrote it there.
//!
//! A stamp stands for the person who last decided what the pods do. So it goes to whoever changes a pod template, and
//! stays through everything else: scaling, labels, a controller's bookkeeping, an apply that drops annotations it does
//! not know. An update that leaves the templates as they are never adds a stamp to a place without one: that would roll
//! out a Deployment because somebody scaled it, and a Job would refuse it (its template is immutable).
//!
//! What a client writes there itself counts if it is their own name, or that of somebody for whom they may act. Any
//! other name is refused, unless keyporter had written it: a rollback, or a Job made by hand from another's CronJob,
//! brings it along, and runs what one person chose. It is then replaced by the name of who does that.

mod same;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::annotations as names;
use super::identity::Identity;
use super::object::{Controller, Kind, Object};
use super::owner::{self, Stamp};
use super::patch::{Operation, Parents};
use super::proof::{self, Proofs};
use super::settings::Settings;
use super::template::{self, Template};
use super::trust::Trusted;
use super::warning::Warning;
use super::{Denial, Request, Skip};

pub use same::changed;

/// A request that creates or updates a workload.
#[derive(Debug, Clone, Copy)]
pub struct WorkloadRequest<'a> {
    /// Who asks for it, and where.
    pub request: Request<'a>,
    /// What it is.
    pub object: Object<'a>,
    /// `request.object`.
    pub new: &'a Value,
    /// `request.oldObject`; `None` on create.
    pub old: Option<&'a Value>,
    /// For proofs; `None` outside of a cluster, where none are written.
    pub proofs: Option<Proofs<'a>>,
    /// What the cluster has answered so far.
    pub answers: &'a Answers,
}

/// What only a cluster can tell. Empty at first; [`stamp`] says what it needs.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// For whom the requester may act, of those that were asked about.
    pub acts_for: BTreeMap<String, bool>,
    /// Whose the object is that the controller made this one from.
    pub followed: Followed,
}

/// Whose an object is.
#[derive(Debug, Clone, Default)]
pub enum Followed {
    /// Nobody has asked.
    #[default]
    Unasked,
    /// It has no owner, or is not there.
    Nobodys,
    /// This user's.
    Owner(String),
}

impl From<Option<String>> for Followed {
    fn from(owner: Option<String>) -> Self {
        owner.map_or(Self::Nobodys, Self::Owner)
    }
}

/// What becomes of a workload.
#[derive(Debug)]
pub enum Stamping<'a> {
    /// It is admitted as it is.
    Skip(Skip),
    /// Its owner is written.
    Stamp(Written<'a>),
    /// It is refused.
    Deny(Denial),
    /// May the requester act for these users? To be asked again with the [`Answers`].
    Ask(BTreeSet<&'a str>),
    /// Whose is this object? To be asked again with the [`Answers`].
    Follow(Controller<'a>),
}

/// A name to write into a workload.
#[derive(Debug)]
pub struct Written<'a> {
    /// The owner of the pods to come; empty where a name is taken away.
    pub owner: &'a str,
    /// The patch.
    pub patch: Vec<Operation<'a>>,
    /// What the requester is to know.
    pub warnings: Vec<Warning<'a>>,
}

/// Decides about the creation or update of an object with pod templates, or of a kind that a trusted controller makes
/// pods from.
#[must_use]
pub fn stamp<'a>(workload: WorkloadRequest<'a>, settings: &'a Settings) -> Stamping<'a> {
    let WorkloadRequest {
        request, new, old, ..
    } = workload;
    if settings.excluded_namespaces.contains(request.namespace) {
        return Stamping::Skip(Skip::ExcludedNamespace);
    }
    let templates = template::find(new);
    let kind = workload.object.kind;
    let is_made_from = !kind.is_kubernetes() && settings.trust.knows(kind);
    if templates.is_empty() && !(is_made_from && template::can_be_annotated(new)) {
        return Stamping::Skip(Skip::NoPodTemplate);
    }
    let old_templates = old.map(template::find).unwrap_or_default();
    let before = same::by_pointer(&old_templates);
    if let Some(denial) = templates
        .iter()
        .find_map(|template| wrong_opt_out(template, &before))
    {
        return Stamping::Deny(denial);
    }
    let places = places(&workload, &templates, &before);
    let change = Change {
        workload,
        settings,
        changed: old.is_none_or(|old| {
            same::decides_otherwise(kind, (old, &old_templates), (new, &templates))
        }),
    };
    let targets = match request.trusted(settings) {
        Some(trusted) => change.of_controller(&places, &trusted),
        None => change.of_person(&places),
    };
    match targets {
        Ok(targets) => change.finish(&places, &targets),
        Err(instead) => instead,
    }
}

/// The highest number of a key that a proof in this object says it was written with.
#[must_use]
pub fn newest_key(object: &Value) -> Option<u32> {
    let templates = template::find(object);
    let values = templates.iter().map(|template| template.value);
    let stamps = std::iter::once(object).chain(values).filter_map(Stamp::of);
    stamps
        .filter_map(|stamp| proof::key_number(stamp.proof?))
        .max()
}

/// A place for a stamp: the object, or one of its pod templates.
struct Place<'a> {
    pointer: String,
    value: &'a Value,
    /// The stamp that the request brings.
    now: Option<Stamp<'a>>,
    /// The one that stood there.
    before: Option<Stamp<'a>>,
}

fn places<'a>(
    workload: &WorkloadRequest<'a>,
    templates: &[Template<'a>],
    before: &HashMap<&str, &'a Value>,
) -> Vec<Place<'a>> {
    let object = Place {
        pointer: String::new(),
        value: workload.new,
        now: Stamp::of(workload.new),
        before: workload.old.and_then(Stamp::of),
    };
    let templates = templates.iter().map(|template| Place {
        pointer: template.pointer.clone(),
        value: template.value,
        now: Stamp::of(template.value),
        before: before
            .get(template.pointer.as_str())
            .and_then(|old| Stamp::of(old)),
    });
    std::iter::once(object).chain(templates).collect()
}

/// What is to stand at a place.
#[derive(Clone, Copy)]
struct Target<'a> {
    owner: &'a str,
    proof: ProofOf<'a>,
}

#[derive(Clone, Copy)]
enum ProofOf<'a> {
    /// This object's: the one that is there if it holds, else a new one.
    Object,
    /// The one that stood there, whatever it is worth.
    Before(Option<&'a str>),
}

impl<'a> Target<'a> {
    fn new(owner: &'a str) -> Self {
        let proof = ProofOf::Object;
        Self { owner, proof }
    }

    /// Takes a name away, by an empty one: a patch only adds.
    fn nobody() -> Self {
        let (owner, proof) = ("", ProofOf::Before(None));
        Self { owner, proof }
    }

    fn restored(before: Stamp<'a>) -> Self {
        let Stamp { owner, proof } = before;
        let proof = ProofOf::Before(proof);
        Self { owner, proof }
    }
}

/// What decides about every stamp of a workload.
struct Change<'a> {
    workload: WorkloadRequest<'a>,
    settings: &'a Settings,
    /// Whether what the pods do is new or other than before.
    changed: bool,
}

/// A target for each place, or what is to be answered instead.
type Targets<'a> = Result<Vec<Option<Target<'a>>>, Stamping<'a>>;

impl<'a> Change<'a> {
    fn of_person(&self, places: &[Place<'a>]) -> Targets<'a> {
        let stamped = |place: &Place<'_>| place.now.or(place.before).is_some();
        if self.workload.request.person.is_none() && self.changed && !places.iter().any(stamped) {
            return Err(Stamping::Skip(Skip::NoUserId));
        }
        let answers = &self.workload.answers.acts_for;
        let unknown: BTreeSet<_> = places
            .iter()
            .filter_map(|place| self.claim(place))
            .map(|claim| claim.owner)
            .filter(|name| !answers.contains_key(*name))
            .collect();
        // Who may write any name into a label acts for nobody else.
        let may_act = self.settings.identity == Identity::Authenticated;
        if may_act && !unknown.is_empty() {
            return Err(Stamping::Ask(unknown));
        }
        places
            .iter()
            .map(|place| self.persons_place(place))
            .collect()
    }

    /// A name that the requester writes, other than their own and other than what stands there and stays.
    fn claim(&self, place: &Place<'a>) -> Option<Stamp<'a>> {
        let stood = |now: &Stamp<'_>| place.before.is_some_and(|before| before.owner == now.owner);
        place
            .now
            .filter(|now| Some(now.owner) != self.workload.request.person)
            .filter(|now| self.changed || !stood(now))
    }

    fn persons_place(&self, place: &Place<'a>) -> Result<Option<Target<'a>>, Stamping<'a>> {
        let person = self.workload.request.person;
        if let Some(claim) = self.claim(place) {
            if self.workload.answers.acts_for.get(claim.owner) == Some(&true) {
                return Ok(Some(Target::new(claim.owner)));
            }
            let stood = place
                .before
                .is_some_and(|before| before.owner == claim.owner);
            if !stood && !self.is_history(claim) {
                return Err(Stamping::Deny(Denial::ForeignStamp {
                    stamp: claim.owner.to_owned(),
                }));
            }
        }
        let persons = match person {
            Some(person) => Some(Target::new(person)),
            None => place.now.map(|_| Target::nobody()),
        };
        let is_persons = |stamp: Stamp<'_>| Some(stamp.owner) == person;
        let own = place.now.is_some_and(is_persons);
        if self.changed || own && !place.before.is_some_and(is_persons) {
            return Ok(persons);
        }
        let none = persons.filter(|_| place.now.is_some());
        Ok(place.before.map(Target::restored).or(none))
    }

    /// Whether keyporter wrote this stamp on the object, or on what it says that it was made from.
    fn is_history(&self, claim: Stamp<'a>) -> bool {
        let controller = Controller::of(self.workload.new);
        let objects = std::iter::once(self.workload.object);
        claim.holds(
            self.workload.proofs,
            objects.chain(
                controller
                    .into_iter()
                    .flat_map(|controller| self.sources(controller)),
            ),
        )
    }

    fn of_controller(&self, places: &[Place<'a>], trusted: &Trusted<'_>) -> Targets<'a> {
        let WorkloadRequest {
            object,
            new,
            proofs,
            ..
        } = self.workload;
        let controller =
            Controller::of(new).filter(|controller| trusted.makes_from(controller.kind));
        let sources: Vec<_> = controller
            .into_iter()
            .flat_map(|controller| self.sources(controller))
            .chain([object])
            .collect();
        let proved = |stamp: Option<Stamp<'a>>| {
            stamp.filter(|stamp| stamp.holds(proofs, sources.iter().copied()))
        };
        let first = |of: fn(&Place<'a>) -> Option<Stamp<'a>>| {
            let stamps = places.iter().filter_map(|place| proved(of(place)));
            stamps.map(|stamp| stamp.owner).next()
        };
        let mut inherited = first(|place| place.now).or_else(|| first(|place| place.before));
        if inherited.is_none() && self.changed {
            match (&self.workload.answers.followed, controller) {
                (Followed::Owner(owner), _) => inherited = Some(owner),
                (Followed::Unasked, Some(controller)) => {
                    if let Some(controller) = owner::follow(trusted, controller) {
                        return Err(Stamping::Follow(controller));
                    }
                }
                (Followed::Unasked | Followed::Nobodys, _) => {}
            }
        }
        // Who rolls ReplicaSets out compares their templates with its own, and would make another at every difference.
        // Their pods are proved by its name.
        if object.kind == Kind::REPLICA_SET && controller.is_some() {
            let skip = match inherited {
                Some(_) => Skip::AlreadyStamped,
                None => Skip::ControllersObject,
            };
            return Err(Stamping::Skip(skip));
        }
        let target = |place: &Place<'a>| {
            let now = proved(place.now).map(|now| Target::new(now.owner));
            let before = proved(place.before).map(Target::restored);
            let inherited = inherited.filter(|_| self.changed).map(Target::new);
            now.or(before).or(inherited)
        };
        Ok(places.iter().map(target).collect())
    }

    fn sources(&self, controller: Controller<'a>) -> impl Iterator<Item = Object<'a>> {
        let template_hash = template_hash(self.workload.new);
        controller.sources(template_hash, self.settings.trust.rolling())
    }

    fn finish(&self, places: &[Place<'a>], targets: &[Option<Target<'a>>]) -> Stamping<'a> {
        let mut patch = Vec::new();
        for (place, target) in places.iter().zip(targets) {
            if let Some(target) = target {
                self.write(&mut patch, place, *target);
            }
        }
        // The object's own stands first; the pods get that of a template.
        match targets.iter().rev().find_map(|target| *target) {
            Some(Target { owner, .. }) if !patch.is_empty() => Stamping::Stamp(Written {
                owner,
                patch,
                warnings: self.warnings(owner, places),
            }),
            Some(_) => Stamping::Skip(Skip::AlreadyStamped),
            None if self.changed => Stamping::Skip(Skip::ControllersObject),
            None => Stamping::Skip(Skip::TemplateUnchanged),
        }
    }

    fn write(&self, patch: &mut Vec<Operation<'a>>, place: &Place<'a>, target: Target<'a>) {
        if !template::can_be_annotated(place.value) {
            return;
        }
        let mut entries: Vec<(&'static str, std::borrow::Cow<'a, str>)> = Vec::new();
        let now = place.now.filter(|now| now.owner == target.owner);
        if now.is_none() {
            entries.push((names::OWNER, target.owner.into()));
        }
        let there = place.value.pointer("/metadata/annotations");
        let there = there.and_then(|annotations| annotations.get(names::OWNER_PROOF)?.as_str());
        match (target.proof, self.workload.proofs) {
            (ProofOf::Before(Some(proof)), _) if there != Some(proof) => {
                entries.push((names::OWNER_PROOF, proof.into()));
            }
            (ProofOf::Object, Some(proofs)) => {
                let object = self.workload.object;
                let holds = |now: Stamp<'_>| {
                    // What is rolled out anyway gets a proof of the key that signs now: others may be taken away.
                    let key = now.proof.and_then(proof::key_number);
                    let is_old = self.changed && key != proofs.keys.numbers().next();
                    !is_old && now.holds(Some(proofs), std::iter::once(object))
                };
                if !now.is_some_and(holds) {
                    let proof = proofs.write(&object, target.owner);
                    entries.push((names::OWNER_PROOF, proof.into()));
                }
            }
            _ => {}
        }
        patch.extend(Operation::annotations(
            &format!("{}/metadata", place.pointer),
            parents(place.value),
            entries,
        ));
    }

    /// Each once, however many places there are, and nothing to a controller: nobody reads it there.
    fn warnings(&self, owner: &'a str, places: &[Place<'a>]) -> Vec<Warning<'a>> {
        if self.workload.request.trusted(self.settings).is_some() {
            return vec![];
        }
        if owner.is_empty() {
            return vec![Warning::NoUserId];
        }
        let name = |stamp: Option<Stamp<'a>>| stamp.map(|stamp| stamp.owner);
        let others = |stamp: &&str| *stamp != owner;
        let claimed = places
            .iter()
            .filter(|place| name(place.now) != name(place.before))
            .filter_map(|place| name(place.now))
            .find(others)
            .map(|stamp| Warning::StampIgnored { stamp, owner });
        let previous = places
            .iter()
            .filter_map(|place| name(place.before))
            .find(others)
            .map(|before| Warning::OwnerChanged { before, owner });
        claimed.into_iter().chain(previous).collect()
    }
}

/// A pod with this label would be denied where its author does not see it, so the workload is. Not where it stands there
/// already: whoever scales or deletes the workload is not to blame.
fn wrong_opt_out(template: &Template<'_>, old: &HashMap<&str, &Value>) -> Option<Denial> {
    let value = opt_out(template.value)?;
    let before = old.get(template.pointer.as_str());
    let known = before.and_then(|old| opt_out(old)) == Some(value);
    if known || value == "enabled" || value == "disabled" {
        return None;
    }
    Some(Denial::InvalidOptOut {
        value: value.to_owned(),
    })
}

fn opt_out(template: &Value) -> Option<&str> {
    let labels = template.get("metadata")?.get("labels")?;
    labels.get(names::INJECT)?.as_str()
}

/// The hash of the template that a ReplicaSet was rolled out with.
fn template_hash(object: &Value) -> Option<&str> {
    let labels = object.get("metadata")?.get("labels")?;
    let mut names = names::TEMPLATE_HASHES.iter();
    names.find_map(|name| labels.get(*name)?.as_str())
}

fn parents(object: &Value) -> Parents {
    match object.get("metadata") {
        None | Some(Value::Null) => Parents::NoMetadata,
        Some(metadata) if !metadata.get("annotations").is_some_and(Value::is_object) => {
            Parents::NoAnnotations
        }
        Some(_) => Parents::Annotations,
    }
}
