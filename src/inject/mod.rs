//! The decision: pure, synchronous, without I/O or a clock.
//!
//! ```text
//! request + pod + what its owner may see  ->  decide  ->  Skip(reason) | Inject(plan) | Deny(reason)
//!                                                           plan  ->  patch  ->  JSON Patch
//! request + workload (new, old)           ->  stamp   ->  the owner's name on its pod templates
//! SparkApplication (new, old)             ->  spark_application  ->  what stores give to it
//! request + metadata of a Secret          ->  secret_stamp  ->  the owner's name on it
//!                                             single_key, in_use  ->  its creation or deletion is refused
//! ```
//!
//! Invariants: values of secrets are not known here; a patch only adds; a second pass over the patched pod is a skip;
//! the same input gives the same bytes.

pub mod annotations;
pub mod carried;
pub mod changes;
pub mod entrants;
mod everybody;
pub mod git_ssh;
pub mod guard;
pub mod identity;
pub mod in_use;
pub(crate) mod json_object;
pub mod kubernetes;
pub mod layout;
pub mod marks;
pub mod mount;
pub mod name;
pub mod object;
pub mod owner;
pub mod patch;
pub mod place;
pub mod pod;
pub mod proof;
pub(crate) mod quote;
mod record;
pub mod reference;
pub mod secret;
pub mod secret_stamp;
pub mod select;
pub mod settings;
pub mod single_key;
pub mod spark_application;
pub mod stamp;
pub mod store;
pub mod template;
mod text;
pub mod trust;
pub mod variable;
pub mod volumes;
pub mod warning;

use std::collections::BTreeSet;
use std::fmt;

use thiserror::Error;

use annotations::{self as names, Wishes};
use changes::{Changes, Placement, Way};
use owner::Owner;
use pod::{Metadata, Pod, Text};
use reference::{References, Referral, Refused, Resolver, Source};
use secret::Secret;
use select::{Reason, Selection, Visible};
use settings::Settings;
use template::Template;
use trust::Trusted;
use warning::Warning;

/// Who asks for a pod or workload, and where.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `request.userInfo.username`: whom the API server authenticated.
    pub requester: &'a str,
    /// Whose the object is to be, [by what persons are told apart](identity::Identity::person); nobody's with `None`.
    pub person: Option<&'a str>,
    /// `request.userInfo.groups`.
    pub groups: &'a [Text<'a>],
    /// The namespace.
    pub namespace: &'a str,
}

impl Request<'_> {
    /// What the requester is trusted with; `None` for everybody who acts for themselves.
    #[must_use]
    pub fn trusted<'s>(&self, settings: &'s Settings) -> Option<Trusted<'s>> {
        let groups = self.groups.iter().map(Text::as_str);
        settings.trust.of(self.requester, groups)
    }
}

/// What becomes of a pod.
#[derive(Debug)]
pub enum Decision<'a> {
    /// It is admitted as it is.
    Skip(Skip, Report<'a>),
    /// It gets secrets.
    Inject(Box<Plan<'a>>),
    /// It is refused.
    Deny(Denial),
}

/// Why a pod, a workload or a Secret is left as it is. A closed list: the same words stand in the log, the metrics and in
/// explanations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skip {
    /// The pod's label `keyporter.dev/inject=disabled`.
    OptedOut,
    /// A system namespace or keyporter's own.
    ExcludedNamespace,
    /// A mirror pod of a static pod: the kubelet would not see a change.
    MirrorPod,
    /// A Windows pod: paths and shell are those of Linux.
    WindowsPod,
    /// Nothing in reach.
    NoSecrets,
    /// No owner, and the project has nothing.
    NoOwner,
    /// There are secrets, but none is to come by itself, or the pod's own settings are in the way of all.
    NothingPlaced,
    /// All is there already.
    AlreadyInjected,
    /// Not an operation or kind that concerns keyporter.
    NotConcerned,
    /// An object without a pod template.
    NoPodTemplate,
    /// A controller's object: it keeps the stamp that it has.
    ControllersObject,
    /// A workload whose stamp is right already, or a Secret that names its owner.
    AlreadyStamped,
    /// A workload without the label `trainy.ai/user-id`, where that tells whose it is.
    NoUserId,
    /// An update that changes no pod template of a workload that nobody owns yet.
    TemplateUnchanged,
    /// One of Kubernetes' own controllers, which nobody hinders.
    KubernetesItself,
    /// An update of a Secret that had no owner before: nobody gets to own it by changing it.
    NeverOwned,
    /// A Secret whose archive is unpacked already.
    AlreadyExpanded,
    /// A Secret whose archive is too large to be unpacked in it.
    StaysPacked,
    /// JSON that is no such object: the API server's own validation speaks.
    Unreadable,
}

impl Skip {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OptedOut => "opted-out",
            Self::ExcludedNamespace => "excluded-namespace",
            Self::MirrorPod => "mirror-pod",
            Self::WindowsPod => "windows-pod",
            Self::NoSecrets => "no-secrets",
            Self::NoOwner => "no-owner",
            Self::NothingPlaced => "nothing-placed",
            Self::AlreadyInjected => "already-injected",
            Self::NotConcerned => "not-concerned",
            Self::NoPodTemplate => "no-pod-template",
            Self::ControllersObject => "controllers-object",
            Self::AlreadyStamped => "already-stamped",
            Self::NoUserId => "no-user-id",
            Self::TemplateUnchanged => "template-unchanged",
            Self::KubernetesItself => "kubernetes-itself",
            Self::NeverOwned => "never-owned",
            Self::AlreadyExpanded => "already-expanded",
            Self::StaysPacked => "stays-packed",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a pod, a workload or a change of a Secret is refused, as a sentence for its author.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denial {
    /// The opt-out label has a value that is not known.
    #[error(
        "label keyporter.dev/inject of the pod is {value:?}; set it to \"disabled\" to opt the pod out, or remove it"
    )]
    InvalidOptOut {
        /// The value.
        value: String,
    },
    /// The name of another user where an owner is written.
    #[error(
        "the annotation keyporter.dev/owner names {stamp:?}; leave it out, or ask for the right to impersonate that user"
    )]
    ForeignStamp {
        /// The name.
        stamp: String,
    },
    /// The same, and nobody knows at the moment whether it is allowed.
    #[error(
        "the annotation keyporter.dev/owner names {stamp:?}; whether you may act for that user cannot be asked now ({why}), try again"
    )]
    StampUnknown {
        /// The name.
        stamp: String,
        /// Why it cannot be asked.
        why: String,
    },
    /// Nobody knows at the moment whose the object is that a controller made this one from.
    #[error("the owner of {object} cannot be found out now ({why}), try again")]
    OwnerUnknown {
        /// That object.
        object: String,
        /// Why.
        why: String,
    },
    /// References to Secrets of another user.
    #[error(
        "refers to secrets of another user: {}; use secrets of your own or of the project, or ask for the right to impersonate that user",
        listed(.references)
    )]
    ForeignSecrets {
        /// The references.
        references: Vec<guard::Foreign>,
    },
    /// References to Secrets of another user, and nobody knows at the moment whether they are allowed.
    #[error(
        "refers to secrets of another user: {}; whether you may act for that user cannot be asked now ({why}), try again",
        listed(.references)
    )]
    ImpersonationUnknown {
        /// The references.
        references: Vec<guard::Foreign>,
        /// Why it cannot be asked.
        why: String,
    },
    /// Somebody else's running pod, with secrets in it.
    #[error(
        "the pod carries secrets of its owner: only they may enter it (exec, attach, port-forward, debug), or who has the \
         right to impersonate them"
    )]
    ForeignPod,
    /// The same, and nobody knows at the moment whose pod it is or who may act for its owner.
    #[error("whether you may enter the pod cannot be found out now ({why}), try again")]
    EntryUnknown {
        /// Why it cannot be found out.
        why: String,
    },
    /// References that mean nothing.
    #[error(
        "refers to secrets that it cannot get: {}; correct the reference or create the secret, or put a ? behind the name if \
         the pod can do without",
        refused(.references)
    )]
    UnresolvedReferences {
        /// The references, sorted.
        references: Vec<Refused>,
    },
    /// More secrets in more containers than a pod can hold.
    #[error(
        "{entries} variables and folders in each of the pod's {containers} containers are more than a pod can hold; \
         name fewer containers in the annotation keyporter.dev/containers, or keep fewer secrets"
    )]
    TooLarge {
        /// How many containers take part.
        containers: usize,
        /// How many entries each would get.
        entries: usize,
    },
    /// A second git-ssh secret of an owner.
    #[error(
        "a second secret of kind git-ssh: pods of its owner use {name:?} (secret {object}) already; delete that one first, \
         or replace the key in it"
    )]
    SecondGitSsh {
        /// What the user calls the first one.
        name: String,
        /// Namespace and name of its object.
        object: String,
    },
    /// A secret that live pods carry is deleted.
    #[error(
        "secret {object} is in use by {}; delete it when they have ended, or set its annotation \
         keyporter.dev/force-delete to \"true\" first, as somebody who may delete it",
        listed(.carriers)
    )]
    SecretInUse {
        /// Namespace and name of the object.
        object: String,
        /// The pods, sorted.
        carriers: Vec<in_use::Carrier>,
    },
    /// A secret is deleted, and nobody knows at the moment whether pods carry it.
    #[error(
        "whether pods use secret {object} cannot be found out now ({why}), try again, or set its annotation \
         keyporter.dev/force-delete to \"true\" first, as somebody who may delete it"
    )]
    UseUnknown {
        /// Namespace and name of the object.
        object: String,
        /// Why it cannot be found out.
        why: String,
    },
    /// A folder in an archive that nobody should unpack.
    #[error(
        "payload.zip is not taken: {why}; pack the folder again with Konduktor's client, of ordinary files alone"
    )]
    BadArchive {
        /// What is wrong with it.
        why: String,
    },
}

/// The entries, or as many of them as a person reads.
fn listed<T: fmt::Display>(entries: &[T]) -> String {
    const LISTED: usize = 10;
    let mut names: Vec<_> = entries
        .iter()
        .take(LISTED)
        .map(ToString::to_string)
        .collect();
    if let Some(more) = entries.len().checked_sub(LISTED).filter(|more| *more > 0) {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

/// All of them, as the author is to mend all at once; but no answer is endless.
fn refused(references: &[Refused]) -> String {
    const LISTED: usize = 100;
    let mut sentences: Vec<_> = references
        .iter()
        .take(LISTED)
        .map(ToString::to_string)
        .collect();
    if let Some(more) = references
        .len()
        .checked_sub(LISTED)
        .filter(|more| *more > 0)
    {
        sentences.push(format!("and {more} more"));
    }
    sentences.join("; ")
}

impl Denial {
    /// The word for it in logs and metrics: a closed list.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::InvalidOptOut { .. } => "invalid-opt-out",
            Self::ForeignStamp { .. } => "foreign-stamp",
            Self::StampUnknown { .. } => "stamp-unknown",
            Self::OwnerUnknown { .. } => "owner-unknown",
            Self::ForeignSecrets { .. } => "foreign-secrets",
            Self::ImpersonationUnknown { .. } => "impersonation-unknown",
            Self::ForeignPod => "foreign-pod",
            Self::EntryUnknown { .. } => "entry-unknown",
            Self::UnresolvedReferences { .. } => "unresolved-references",
            Self::TooLarge { .. } => "too-large",
            Self::SecondGitSsh { .. } => "second-git-ssh",
            Self::SecretInUse { .. } => "secret-in-use",
            Self::UseUnknown { .. } => "use-unknown",
            Self::BadArchive { .. } => "bad-archive",
        }
    }

    /// The sentence and the rule that spoke, as the author of what is refused reads it.
    #[must_use]
    pub fn message(&self) -> String {
        self.ruled(&self.to_string())
    }

    /// A sentence, such as a shorter one than that of the denial, with the rule behind it.
    pub(crate) fn ruled(&self, sentence: &str) -> String {
        format!("{sentence} [rule: {}]", self.as_str())
    }
}

/// What was found on the way to a decision.
#[derive(Debug, Default)]
pub struct Report<'a> {
    /// Whose pod it is; `None` where that was not asked.
    pub owner: Option<Owner<'a>>,
    /// Each chosen secret in each container.
    pub placements: Vec<Placement<'a>>,
    /// References in effect, and where they stand.
    pub referrals: Vec<Referral<'a>>,
    /// Secrets in reach that were not chosen.
    pub passed_over: Vec<(&'a Secret, Reason<'a>)>,
    /// What the requester is to know.
    pub warnings: Vec<Warning<'a>>,
    /// The secrets and stores of which the pod has anything, each once.
    pub in_effect: Vec<Source<'a>>,
}

impl<'a> Report<'a> {
    fn find_in_effect(&self) -> Vec<Source<'a>> {
        let mut seen = BTreeSet::new();
        let placed = self
            .placements
            .iter()
            .filter(|placement| placement.result.is_ok())
            .map(|placement| Source::Secret(placement.secret));
        // A second pass finds them in another order.
        let mut referred: Vec<_> = self.referrals.iter().map(|one| one.source).collect();
        referred.sort_by_key(|source| source.object());
        placed
            .chain(referred)
            .filter(move |source| seen.insert(source.object()))
            .collect()
    }
}

/// All that is to be added to a pod. [`patch::write`] makes a JSON Patch of it.
#[derive(Debug)]
pub struct Plan<'a> {
    /// What was found on the way.
    pub report: Report<'a>,
    changes: Changes<'a>,
    marks: Marks<'a>,
    spec: &'a pod::Spec<'a>,
    metadata: Option<&'a Metadata<'a>>,
}

/// Labels and annotations to write on the pod.
#[derive(Debug, Default)]
struct Marks<'a> {
    label: bool,
    owner: Option<&'a str>,
    record: Option<String>,
}

/// Decides about the creation of a pod, or about a pod template taken for one. `owner` is [whose it is](owner::of_pod),
/// and `visible` what that owner may see in the pod's namespace.
#[must_use]
pub fn decide<'a>(
    request: Request<'a>,
    pod: &'a Pod<'a>,
    owner: Owner<'a>,
    visible: Visible<'a>,
    settings: &'a Settings,
) -> Decision<'a> {
    let metadata = pod.metadata.as_ref();
    // Before any refusal: a system pod that cannot start may keep the whole cluster from starting.
    if let Some(skip) = left_alone(request, pod, settings) {
        return Decision::Skip(skip, Report::default());
    }
    let wishes = match metadata.map_or_else(|| Ok(Wishes::default()), Wishes::of) {
        Ok(wishes) if wishes.opted_out => {
            return Decision::Skip(Skip::OptedOut, Report::default());
        }
        Ok(wishes) => wishes,
        Err(denial) => return Decision::Deny(denial),
    };
    let mut references = match resolve(pod, &wishes, owner.name, visible, settings) {
        Ok(references) => references,
        Err(references) => return Decision::Deny(Denial::UnresolvedReferences { references }),
    };
    // Of optional references to nothing texts change, and the pod has no secret.
    let rewritten = references.rewrites();
    let mut selection = select::select(visible, &wishes);
    warn_of_pod(&mut selection, pod, &wishes);
    if let Err(denial) = place::check_size(&pod.spec, &selection, &references, &wishes, settings) {
        return Decision::Deny(denial);
    }
    let changes = place::place(
        &pod.spec,
        &mut selection,
        &mut references,
        &wishes,
        settings,
    );
    let chosen = !selection.is_empty();
    let mut plan = Plan {
        report: Report {
            owner: Some(owner),
            placements: vec![],
            referrals: references.referrals,
            passed_over: selection.passed_over,
            warnings: selection.warnings,
            in_effect: vec![],
        },
        changes,
        marks: Marks::default(),
        spec: &pod.spec,
        metadata,
    };
    plan.report.placements = std::mem::take(&mut plan.changes.placements);
    plan.report.remember(pod, visible);
    let placed = !plan.report.in_effect.is_empty();
    if placed {
        plan.mark();
    }
    if (placed || rewritten) && !plan.is_empty() {
        return Decision::Inject(Box::new(plan));
    }
    let skip = match (placed, chosen, owner.name) {
        (true, ..) => Skip::AlreadyInjected,
        (false, false, None) if visible.is_empty() => Skip::NoOwner,
        (false, false, Some(_)) if visible.is_empty() => Skip::NoSecrets,
        (false, ..) => Skip::NothingPlaced,
    };
    Decision::Skip(skip, plan.report)
}

/// Looks for which references the pods of these templates would be refused now. What a secret that comes later can mend
/// is given back; where anything is malformed the workload is denied, as its author would not see it of the pods.
/// `visible` is what `owner` may see, whose the pods will be.
pub fn foresee(
    request: Request<'_>,
    templates: &[Template<'_>],
    owner: Option<&str>,
    visible: Visible<'_>,
    settings: &Settings,
) -> Result<Vec<Refused>, Denial> {
    let references: BTreeSet<_> = templates
        .iter()
        .filter_map(|template| Pod::read(template.value).ok())
        .flat_map(|pod| foresee_pod(request, &pod, owner, visible, settings))
        .collect();
    let references: Vec<_> = references.into_iter().collect();
    if references.iter().any(|reference| reference.malformed) {
        return Err(Denial::UnresolvedReferences { references });
    }
    Ok(references)
}

fn foresee_pod(
    request: Request<'_>,
    pod: &Pod<'_>,
    owner: Option<&str>,
    visible: Visible<'_>,
    settings: &Settings,
) -> Vec<Refused> {
    if left_alone(request, pod, settings).is_some() {
        return vec![];
    }
    let metadata = pod.metadata.as_ref();
    match metadata.map_or_else(|| Ok(Wishes::default()), Wishes::of) {
        Ok(wishes) if !wishes.opted_out => {
            let resolved = resolve(pod, &wishes, owner, visible, settings);
            resolved.err().unwrap_or_default()
        }
        // Nothing is injected, or the pod is refused for something else.
        _ => vec![],
    }
}

fn resolve<'a>(
    pod: &'a Pod<'a>,
    wishes: &Wishes<'a>,
    owner: Option<&str>,
    visible: Visible<'a>,
    settings: &Settings,
) -> Result<References<'a>, Vec<Refused>> {
    if !settings.references || (!wishes.refer() && !reference::any(&pod.spec)) {
        return Ok(References::default());
    }
    let resolver = Resolver::new(visible, owner, &settings.store);
    reference::resolve(&pod.spec, wishes, settings, &resolver)
}

/// Reasons that leave the pod no say.
#[must_use]
pub fn left_alone(request: Request<'_>, pod: &Pod<'_>, settings: &Settings) -> Option<Skip> {
    let annotations = pod.metadata.as_ref().map(|metadata| &metadata.annotations);
    let windows = pod.spec.os.as_ref().is_some_and(|os| os.name == *"windows")
        || pod.spec.node_selector.get(names::OPERATING_SYSTEM) == Some("windows");
    if settings.excluded_namespaces.contains(request.namespace) {
        Some(Skip::ExcludedNamespace)
    } else if annotations.is_some_and(|annotations| annotations.get(names::MIRROR).is_some()) {
        Some(Skip::MirrorPod)
    } else if windows {
        Some(Skip::WindowsPod)
    } else {
        None
    }
}

fn warn_of_pod<'a>(selection: &mut Selection<'a>, pod: &'a Pod<'a>, wishes: &Wishes<'a>) {
    let absent = |name: &&str| {
        !place::containers(&pod.spec).any(|(_, _, container)| container.name == **name)
    };
    let unknown: Vec<_> = wishes
        .containers
        .iter()
        .flatten()
        .copied()
        .filter(absent)
        .collect();
    if !unknown.is_empty() {
        selection.warnings.push(Warning::UnknownContainers(unknown));
    }
}

impl<'a> Report<'a> {
    /// Finds what is in effect, also of what an earlier pass put in the place of references, and takes what came by reference
    /// from what did not come.
    fn remember(&mut self, pod: &'a Pod<'a>, visible: Visible<'a>) {
        let metadata = pod.metadata.as_ref();
        let record = metadata.and_then(|metadata| metadata.annotations.get(names::INJECTED));
        let earlier = record.map(|record| reference::earlier(&pod.spec, record, visible));
        let is_file = |placement: &Placement<'_>| matches!(placement.result, Ok(Way::KeyFile(_)));
        self.in_effect = self.find_in_effect();
        if earlier.is_none() && self.referrals.is_empty() && !self.placements.iter().any(is_file) {
            return;
        }
        let in_effect = self.in_effect.iter().copied();
        let mut come: BTreeSet<_> = in_effect.map(Source::object).collect();
        let mut earlier = earlier.unwrap_or_default();
        earlier.retain(|one| !come.contains(one.source.object()));
        come.extend(earlier.iter().map(|one| one.source.object()));
        self.referrals.append(&mut earlier);
        self.passed_over
            .retain(|(secret, _)| !come.contains(&*secret.object));
        self.in_effect = self.find_in_effect();
    }
}

impl Plan<'_> {
    /// Decides on the pod's own labels and annotations: only what is not there as it should be.
    fn mark(&mut self) {
        let nothing = Metadata::default();
        let metadata = self.metadata.unwrap_or(&nothing);
        let owner = self.report.owner.and_then(|owner| owner.name);
        let record = record::write(&self.report.in_effect, metadata, owner);
        if record.omitted > 0 {
            let warning = Warning::RecordShortened(record.omitted);
            self.report.warnings.push(warning);
        }
        self.marks = Marks {
            label: metadata.labels.get(names::INJECTED) != Some("true"),
            owner: owner
                .filter(|_| record.owner_fits)
                .filter(|owner| metadata.annotations.get(names::OWNER) != Some(owner)),
            record: record
                .list
                .filter(|list| metadata.annotations.get(names::INJECTED) != Some(list)),
        };
    }

    fn is_empty(&self) -> bool {
        let Changes {
            volumes,
            image_pull_secrets,
            containers,
            placements: _,
        } = &self.changes;
        let Marks {
            label,
            owner,
            record,
        } = &self.marks;
        volumes.is_empty()
            && image_pull_secrets.is_empty()
            && containers.is_empty()
            && !label
            && owner.is_none()
            && record.is_none()
    }
}
