//! Whose pod is it.

use std::fmt;

use serde_json::Value;

use super::Request;
use super::annotations as names;
use super::identity::Identity;
use super::object::{Controller, Object};
use super::pod::{Metadata, Pod};
use super::proof::Proofs;
use super::settings::Settings;
use super::trust::Trusted;

/// The owner of a pod and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a> {
    /// The username; `None` for a pod that gets project secrets only.
    pub name: Option<&'a str>,
    /// The rule that says so.
    pub rule: Rule,
}

impl<'a> Owner<'a> {
    /// Who created the pod.
    #[must_use]
    pub fn requester(request: Request<'a>, settings: &Settings) -> Self {
        let name = request.person;
        let rule = match (settings.identity, name) {
            (Identity::Authenticated, _) => Rule::Requester,
            (Identity::Konduktor, Some(_)) => Rule::UserId,
            (Identity::Konduktor, None) => Rule::NoUserId,
        };
        Self { name, rule }
    }
}

/// The rules of ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The pod was created by its owner, whom the API server authenticated.
    Requester,
    /// The label `trainy.ai/user-id` tells the owner, where it is believed.
    UserId,
    /// There is no such label, where it tells the owner: on the pod, or on what a controller made it from.
    NoUserId,
    /// The pod names its owner, for whom its creator may act.
    ActsFor,
    /// A trusted controller created the pod from a template that carries the owner's stamp.
    Stamp,
    /// A trusted controller created the pod from a template without a stamp, for an object that carries one.
    Workload,
    /// A trusted controller created the pod from a template without a stamp.
    NoStamp,
    /// A trusted controller created the pod from a template with a stamp that nothing proves.
    Unproven,
    /// A trusted controller created the pod from something that it is not trusted to make pods from.
    OtherKind,
    /// The pod runs, and names its owner; only in explanations.
    Recorded,
    /// Nobody said who creates the pod; only in explanations.
    Unknown,
}

impl Rule {
    /// Why a controller's pod without a stamp is nobody's.
    #[must_use]
    pub const fn no_stamp(identity: Identity) -> Self {
        match identity {
            Identity::Authenticated => Self::NoStamp,
            Identity::Konduktor => Self::NoUserId,
        }
    }

    /// The word for it in logs and audit annotations: a closed list.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requester => "requester",
            Self::UserId => "user-id",
            Self::NoUserId => "no-user-id",
            Self::ActsFor => "acts-for",
            Self::Stamp => "stamp",
            Self::Workload => "workload",
            Self::NoStamp => "no-stamp",
            Self::Unproven => "unproven-stamp",
            Self::OtherKind => "other-kind",
            Self::Recorded => "recorded",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requester => "who created the pod",
            Self::UserId => "whom its label trainy.ai/user-id stands for",
            Self::NoUserId => {
                "none: there is no label trainy.ai/user-id, which tells owners apart here"
            }
            Self::ActsFor => {
                "whom the pod names (keyporter.dev/owner): who created it may act for them"
            }
            Self::Stamp => "who created the workload (keyporter.dev/owner on its pod template)",
            Self::Workload => "who created the workload (keyporter.dev/owner on it)",
            Self::NoStamp => "none: a controller created the pod and its template names no owner",
            Self::Unproven => {
                "none: a controller created the pod and nothing proves the owner that its template names; \
                 create the workload again, or restart it"
            }
            Self::OtherKind => {
                "none: the controller that created the pod is not trusted with pods of what it made it from"
            }
            Self::Recorded => "who created the pod, or for whom they acted (keyporter.dev/owner on it)",
            Self::Unknown => "none: nobody said who creates the pod",
        })
    }
}

/// What is known of a pod's owner from the pod alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership<'a> {
    /// All.
    Known(Owner<'a>),
    /// The pod names another than who creates it: theirs if its creator may act for them, and refused otherwise.
    Claimed(&'a str),
    /// The object that the pod was made from may know: see [`of_object`]. If it does not, `otherwise` is the owner.
    Follow {
        /// That object.
        controller: Controller<'a>,
        /// The answer without it.
        otherwise: Owner<'a>,
    },
}

/// A stamp: an owner's name, and its proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// The name.
    pub owner: &'a str,
    /// `keyporter.dev/owner-proof`.
    pub proof: Option<&'a str>,
}

impl<'a> Stamp<'a> {
    /// That of a pod.
    fn of_pod(metadata: &'a Metadata<'a>) -> Option<Self> {
        Self::new(
            metadata.annotations.get(names::OWNER),
            metadata.annotations.get(names::OWNER_PROOF),
        )
    }

    /// That of any object, or of a pod template.
    #[must_use]
    pub fn of(object: &'a Value) -> Option<Self> {
        let annotations = object.get("metadata")?.get("annotations")?;
        let text = |name| annotations.get(name).and_then(Value::as_str);
        Self::new(text(names::OWNER), text(names::OWNER_PROOF))
    }

    fn new(owner: Option<&'a str>, proof: Option<&'a str>) -> Option<Self> {
        let owner = owner.filter(|owner| !owner.is_empty())?;
        Some(Self { owner, proof })
    }

    /// Whether it was written on one of these objects.
    pub fn holds<'o>(
        &self,
        proofs: Option<Proofs<'_>>,
        mut objects: impl Iterator<Item = Object<'o>>,
    ) -> bool {
        let (Some(proofs), Some(proof)) = (proofs, self.proof) else {
            return false;
        };
        objects.any(|object| proofs.holds(proof, &object, self.owner))
    }
}

/// The owner of a pod that is being created, as far as the pod tells.
///
/// Whoever creates a pod owns it, but for trusted controllers: theirs belong to whom a proved stamp names.
#[must_use]
pub fn of_pod<'a>(
    request: Request<'a>,
    pod: &'a Pod<'a>,
    proofs: Option<Proofs<'_>>,
    settings: &Settings,
) -> Ownership<'a> {
    let stamp = pod.metadata.as_ref().and_then(Stamp::of_pod);
    let Some(trusted) = request.trusted(settings) else {
        return of_persons_pod(Owner::requester(request, settings), stamp);
    };
    let nobody = |rule| Owner { name: None, rule };
    let metadata = pod.metadata.as_ref();
    let controller = metadata
        .and_then(Metadata::controller)
        .filter(|controller| trusted.makes_from(controller.kind));
    let Some(controller) = controller else {
        return Ownership::Known(nobody(Rule::OtherKind));
    };
    let hash = metadata.and_then(Metadata::template_hash);
    let sources = controller.sources(hash, settings.trust.rolling());
    let otherwise = match stamp {
        Some(stamp) if stamp.holds(proofs, sources) => {
            return Ownership::Known(Owner {
                name: Some(stamp.owner),
                rule: Rule::Stamp,
            });
        }
        Some(_) => nobody(Rule::Unproven),
        None => nobody(Rule::no_stamp(settings.identity)),
    };
    follow(&trusted, controller).map_or(Ownership::Known(otherwise), |controller| {
        Ownership::Follow {
            controller,
            otherwise,
        }
    })
}

fn of_persons_pod<'a>(requester: Owner<'a>, stamp: Option<Stamp<'a>>) -> Ownership<'a> {
    match stamp {
        Some(stamp) if Some(stamp.owner) != requester.name => Ownership::Claimed(stamp.owner),
        _ => Ownership::Known(requester),
    }
}

/// The object to look at, if it may know more than the template.
pub(super) fn follow<'a>(
    trusted: &Trusted<'_>,
    controller: Controller<'a>,
) -> Option<Controller<'a>> {
    trusted.follows(controller.kind).then_some(controller)
}

/// The owner of the object that a controller made something from: `metadata` is that object's, read from the API server.
///
/// This is the only step upward. An object that was made by a trusted controller got its stamp then, by the same step; so
/// an object without a proved stamp was made by nobody knows whom, and so were its own owner references.
#[must_use]
pub fn of_object<'a>(
    object: &'a Value,
    controller: &Controller<'_>,
    proofs: Proofs<'_>,
) -> Option<&'a str> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
    // One of the same name that was made since is another.
    if text("/metadata/uid") != Some(controller.uid) {
        return None;
    }
    let itself = Object {
        kind: controller.kind,
        name: controller.name,
        generate_name: "",
    };
    let stamp = Stamp::of(object)?;
    stamp
        .holds(Some(proofs), std::iter::once(itself))
        .then_some(stamp.owner)
}
