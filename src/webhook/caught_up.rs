//! Whether the catalogue has caught up with what the author of a pod may just have written.

use std::fmt;

use serde_json::Value;

use super::Webhook;
use super::answer::{Answer, warnings};
use super::review::Head;
use crate::catalog::confirm::Unconfirmed;
use crate::inject::stamp::{self, Stamping};
use crate::inject::{Request, Skip};

impl Webhook {
    /// Waits until the catalogue shows what was written before a pod was created by somebody directly. Whoever creates pods
    /// for others does so later: there nothing is asked, and only what runs already is waited for.
    pub(super) async fn catch_up(&self, request: Request<'_>) -> Result<(), Unconfirmed> {
        if request.trusted(&self.settings).is_some() {
            // Nobody would see the warning.
            let _logged = self.confirmations.settle(request.namespace).await;
            return Ok(());
        }
        self.confirmations.confirm(request.namespace).await
    }

    /// The pods of a workload that somebody creates, or changes the pods of, will need the catalogue soon. Nobody waits.
    pub(super) fn prepare(
        &self,
        head: &Head<'_>,
        request: Request<'_>,
        (new, old): (&Value, Option<&Value>),
        decided: &Stamping<'_>,
    ) {
        if head.dry_run || request.trusted(&self.settings).is_some() {
            return;
        }
        let pods_to_come = match decided {
            Stamping::Stamp(_) => true,
            Stamping::Skip(Skip::AlreadyStamped) => {
                old.is_none() || !stamp::changed(new, old).is_empty()
            }
            _ => false,
        };
        if pods_to_come {
            self.confirmations.begin(request.namespace);
        }
    }
}

/// The answer, with a word to its reader where something may be missing.
pub(super) fn unconfirmed(mut answer: Answer<'_>, known: Result<(), Unconfirmed>) -> Answer<'_> {
    if let Err(why) = known {
        answer.warnings.extend(warnings(&[MayBeMissing(why)]));
    }
    answer
}

/// What the author of a pod is told where nothing is confirmed.
struct MayBeMissing(Unconfirmed);

impl fmt::Display for MayBeMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = self.0;
        write!(
            f,
            "a secret that was written moments ago may be missing here, as the latest ones cannot be confirmed ({why}); if one \
             is missing, create this again"
        )
    }
}
