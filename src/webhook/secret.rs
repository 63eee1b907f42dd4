//! Reviews of new and changed Secrets: their owner is written where no policy does it.

use std::time::Instant;

use super::admit::{Resource, skipped};
use super::answer::{Answer, Audit};
use super::review::secret::{self, Change, Reviewed};
use super::{Fault, Webhook};
use crate::inject::Skip;
use crate::inject::secret_stamp::{SecretRequest, stamp};

impl Webhook {
    /// Answers the review in a body.
    pub(super) fn admit_secret(&self, body: &[u8], started: Instant) -> Result<Vec<u8>, Fault> {
        let Reviewed { head, change } = secret::read(body)?;
        let requester = head.requester.as_str();
        let stamped = match &change {
            Change::Created(new) => stamp(SecretRequest {
                requester,
                new,
                old: None,
            }),
            Change::Updated { new, old } => stamp(SecretRequest {
                requester,
                new,
                old: Some(old),
            }),
            Change::Deleted(_) | Change::Other => Err(Skip::NotConcerned),
            Change::Unreadable => Err(Skip::Unreadable),
        };
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
        self.finish(&head, Resource::Secret, answer, started)
    }
}
