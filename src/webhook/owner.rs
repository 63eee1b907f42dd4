//! Whose pod or workload it is: the facts that the rules want, and the API server's answers.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use tracing::warn;

use super::review::{self, Head};
use super::{Fault, Webhook};
use crate::access::User;
use crate::causes::one_line;
use crate::inject::annotations as names;
use crate::inject::identity::Identity;
use crate::inject::object::Controller;
use crate::inject::owner::{self, Owner, Ownership, Rule};
use crate::inject::pod::Pod;
use crate::inject::proof;
use crate::inject::stamp::Answers;
use crate::inject::{Denial, Request};
use crate::ownership::Ground;

/// The most users for whom one request may need the right to act.
pub(super) const OWNERS: usize = 8;

impl Webhook {
    /// The owner of a pod that is being created, or why the pod is refused. A name that comes from another object is put
    /// into `followed`.
    pub(super) async fn owner_of_pod<'a>(
        &self,
        body: &[u8],
        head: &Head<'_>,
        request: Request<'a>,
        pod: &'a Pod<'a>,
        followed: &'a OnceLock<String>,
    ) -> Result<Result<Owner<'a>, Denial>, Fault> {
        // What a person creates is theirs: nothing has to be proved.
        let ground = match request.trusted(&self.settings) {
            Some(_) => Some(self.ground(head, key_number(pod)).await?),
            None => None,
        };
        let proofs = ground.as_ref().map(Ground::proofs);
        let ownership = owner::of_pod(request, pod, proofs, &self.settings);
        Ok(match (ownership, &ground) {
            (Ownership::Known(owner), _) => Ok(owner),
            (Ownership::Claimed(name), _) => self.claimed(body, name).await,
            (Ownership::Follow { otherwise, .. }, None) => Ok(otherwise),
            (
                Ownership::Follow {
                    controller,
                    otherwise,
                },
                Some(ground),
            ) => {
                let owner = self.owner_of(head, &controller, ground).await;
                owner.map(|owner| {
                    owner.map_or(otherwise, |owner| Owner {
                        name: Some(followed.get_or_init(|| owner)),
                        rule: Rule::Workload,
                    })
                })
            }
        })
    }

    /// A pod that names another than who creates it.
    async fn claimed<'a>(&self, body: &[u8], name: &'a str) -> Result<Owner<'a>, Denial> {
        let answer = match self.settings.identity {
            Identity::Authenticated => self.may_act_for(&review::user(body), name).await,
            // Who may write any name into a label acts for nobody else.
            Identity::Konduktor => Ok(false),
        };
        match answer {
            Ok(true) => Ok(Owner {
                name: Some(name),
                rule: Rule::ActsFor,
            }),
            Ok(false) => Err(Denial::ForeignStamp {
                stamp: name.to_owned(),
            }),
            Err(why) => Err(Denial::StampUnknown {
                stamp: name.to_owned(),
                why,
            }),
        }
    }

    /// Asks for whom of these the requester may act. Nobody's workload is worth more than a few questions.
    pub(super) async fn ask(
        &self,
        body: &[u8],
        names: BTreeSet<String>,
        answers: &mut Answers,
    ) -> Result<(), Denial> {
        let user = review::user(body);
        for (number, name) in names.into_iter().enumerate() {
            let answer = if number < OWNERS {
                self.may_act_for(&user, &name).await
            } else {
                Ok(false)
            };
            match answer {
                Ok(answer) => answers.acts_for.insert(name, answer),
                Err(why) => return Err(Denial::StampUnknown { stamp: name, why }),
            };
        }
        Ok(())
    }

    /// Whose the object is that a controller made something from.
    pub(super) async fn owner_of(
        &self,
        head: &Head<'_>,
        controller: &Controller<'_>,
        ground: &Ground,
    ) -> Result<Option<String>, Denial> {
        let namespace = head.namespace.as_str();
        let owner = self.ownership.owner_of(namespace, controller, ground).await;
        owner.map_err(|error| {
            let object = format!("{} {namespace}/{}", controller.kind.kind, controller.name);
            let why = one_line(&error);
            warn!(object, "the owner of an object is not known: {why}");
            Denial::OwnerUnknown { object, why }
        })
    }

    /// What proofs in the review's namespace are checked with.
    pub(super) async fn ground(
        &self,
        head: &Head<'_>,
        newest: Option<u32>,
    ) -> Result<Ground, Fault> {
        let ground = self.ownership.ground(head.namespace.as_str(), newest).await;
        Ok(ground?)
    }

    /// Whether the user may act for this owner, or why nobody knows.
    pub(super) async fn may_act_for(&self, user: &User, owner: &str) -> Result<bool, String> {
        if self.settings.identity.is_hash(owner) {
            return Ok(false);
        }
        let answer = self.access.may_impersonate(user, owner).await;
        answer.map_err(|error| {
            warn!(
                user = user.username,
                owner, "a right cannot be asked for: {error}"
            );
            error.to_string()
        })
    }
}

fn key_number(pod: &Pod<'_>) -> Option<u32> {
    let annotations = &pod.metadata.as_ref()?.annotations;
    proof::key_number(annotations.get(names::OWNER_PROOF)?)
}
