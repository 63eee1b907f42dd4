//! Reviews of new and changed Secrets: their owner is written where no policy does it, and a folder that Konduktor's client
//! packed is unpacked.

use std::time::Instant;

use axum::body::Bytes;

use super::admit::{Resource, denied, skipped};
use super::answer::{Answer, Audit, warnings};
use super::review::Body;
use super::review::secret::{self, Change, Reviewed};
use super::{Fault, Webhook};
use crate::folder::expand::{Outcome, expand};
use crate::inject::secret_stamp::{SecretRequest, stamp};
use crate::inject::{Denial, Skip};

impl Webhook {
    /// Answers the review in a body.
    pub(super) async fn admit_secret(
        &self,
        body: &Bytes,
        sent: Body<'_>,
        started: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let Reviewed { head, change } = secret::read(sent)?;
        let requester = head.requester.as_str();
        let (new, old) = match &change {
            Change::Created(new) => (new, None),
            Change::Updated { new, old } => (new, Some(old)),
            Change::Deleted(_) | Change::Other => {
                return self.finish(
                    &head,
                    Resource::Secret,
                    skipped(Skip::NotConcerned),
                    started,
                );
            }
            Change::Unreadable => {
                return self.finish(&head, Resource::Secret, skipped(Skip::Unreadable), started);
            }
        };
        let stamped = stamp(SecretRequest {
            requester,
            new,
            old,
        });
        let answer = match stamped {
            Err(skip) => skipped(skip),
            Ok(stamp) => Answer {
                patch: stamp.patch,
                audit: Audit {
                    decision: "stamp",
                    reason: "stamped",
                    owner: Some(stamp.owner),
                    ..Audit::default()
                },
                ..Answer::default()
            },
        };
        let answer = if new.is_konduktors_folder() && self.left_alone(&head).is_none() {
            let annotated = !answer.patch.is_empty();
            match expanded(body.clone(), annotated).await? {
                Some(outcome) => with_files(answer, outcome),
                None => answer,
            }
        } else {
            answer
        };
        self.finish(&head, Resource::Secret, answer, started)
    }
}

/// Unpacks the folder, if there is one. Whatever is in an archive, other reviews do not wait for it, and a defect in reading
/// it ends with this one. `annotated`: the answer makes room for annotations already.
async fn expanded(body: Bytes, annotated: bool) -> Result<Option<Outcome>, Fault> {
    let unpack = move || {
        let (new, old) = secret::contents((&*body).into())?;
        let new = if annotated { new.annotated() } else { new };
        Some(expand(&new, old.as_ref()))
    };
    tokio::task::spawn_blocking(unpack)
        .await
        .map_err(|_| Fault::Panicked)
}

/// The answer with what comes of an archive.
fn with_files(mut answer: Answer<'_>, outcome: Outcome) -> Answer<'_> {
    let (patch, reason) = match outcome {
        Outcome::NoArchive => return answer,
        Outcome::Refused(refused) => {
            let why = refused.to_string();
            return denied(&Denial::BadArchive { why });
        }
        Outcome::Settled => (vec![], Skip::AlreadyExpanded.as_str()),
        Outcome::Expanded { patch, .. } if patch.is_empty() => {
            (patch, Skip::AlreadyExpanded.as_str())
        }
        Outcome::Expanded { files, patch } => {
            answer.audit.files = Some(files.to_string());
            (patch, "expanded")
        }
        Outcome::Packed { why, patch } => {
            answer.warnings = warnings(&[why]);
            (patch, Skip::StaysPacked.as_str())
        }
    };
    // What is written besides is told all the same.
    if !patch.is_empty() {
        answer.audit.decision = "expand";
        answer.audit.reason = reason;
    } else if answer.patch.is_empty() {
        answer.audit.reason = reason;
    }
    answer.files = patch;
    answer
}
