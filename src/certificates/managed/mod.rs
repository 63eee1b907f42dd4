//! Certificates that look after themselves: a CA in a Secret, certificates of it, and their CA in webhook configurations.
//!
//! ```text
//!  Secret keyporter-ca            webhook configurations
//!        |  the CA, and the one before     |  what each webhook trusts
//!        v                                 v
//!       observe ------------------------> plan (pure) ------------------> apply
//!        ^                                                                  |
//!        '--- a change, or time --------- Secret, caBundle, own certificate '
//! ```
//!
//! **Who decides.** Nobody leads. Whoever finds no CA makes one, whoever finds one that ends makes the next; of several
//! the API server takes the first, and the others adopt that.
//!
//! **The order.** A CA is written into the Secret, then into every bundle beside those that are there, and only when a
//! replica has read it back from all of them does it show a certificate of it. The CA before goes when all had the time
//! to change.
//!
//! **The serving certificate** is each replica's own, and its key never leaves the process: nothing has to be agreed on
//! but the CA, and nobody can read the key from a Secret. It is for a week, so that a replica that sees nothing of the
//! cluster for days still serves.
//!
//! **What cannot be read** is left alone and said; what was read before still counts, and is served and renewed from
//! memory. Certificates are valid a day before they are made, so clocks may differ by as much.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use super::Credentials;
use crate::admin::Condition;
use crate::causes::one_line;
use crate::metrics::Metrics;

mod authority;
mod configurations;
mod plan;
mod secret;

pub use plan::Lifetimes;
pub use secret::AUTHORITY_SECRET;

use authority::{Authority, Certificate, LeafError, Unusable};
use configurations::{Configurations, Read};
use plan::{Facts, Plan, Serving, Sightings, Standing};
use secret::Found;

/// How often all is read without a sign of change.
const INTERVAL: Duration = Duration::from_secs(30);
/// How soon after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// How long the API server may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How many changes within a minute are followed by the next look at once: with more, somebody else is at work, too.
const CHANGES: usize = 10;
/// The part of TLS that this is, in metrics.
const PART: &str = "self-managed";

/// Whose certificates these are.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the Secret with the CA is.
    pub namespace: String,
    /// What the serving certificate is for.
    pub hosts: Vec<ServerName<'static>>,
    /// The names of mutating and validating webhook configurations, all of whose webhooks are ours.
    pub configurations: Vec<String>,
    /// How long certificates last.
    pub lifetimes: Lifetimes,
}

/// Keeps CA, bundles and serving certificate, without end; `serve` is given each new certificate to show. The condition
/// holds while that is valid and all webhooks trust it.
pub async fn keep(
    client: kube::Client,
    settings: Settings,
    serve: impl Fn(Credentials) + Send,
    metrics: Metrics,
    condition: Condition,
) {
    let changed = Arc::new(Notify::new());
    let configurations = Configurations::new(client.clone(), settings.configurations.clone());
    let watch = configurations.watch(&changed);
    condition.not_ready("there is no serving certificate yet");
    let keeper = Keeper {
        store: secret::Store::new(client, &settings.namespace),
        configurations,
        settings,
        serve,
        metrics,
        condition,
        changed,
        started: Instant::now(),
        authorities: Vec::new(),
        read: None,
        sightings: Sightings::default(),
        serving: None,
        changes: Vec::new(),
        told_absent: false,
        told: None,
    };
    futures::join!(keeper.run(), watch);
}

struct Keeper<F> {
    store: secret::Store,
    configurations: Configurations,
    settings: Settings,
    serve: F,
    metrics: Metrics,
    condition: Condition,
    changed: Arc<Notify>,
    started: Instant,
    /// Those of the Secret, as they were last read.
    authorities: Vec<Arc<Authority>>,
    /// The configurations, as they were last read.
    read: Option<Read>,
    sightings: Sightings,
    serving: Option<(Serving, Arc<Authority>)>,
    /// When something was changed, within the last minute.
    changes: Vec<Instant>,
    /// Whether it was told that there are no configurations.
    told_absent: bool,
    /// The trouble that was told last.
    told: Option<String>,
}

/// What is there after a look.
struct Look {
    /// The Secret, if it was read.
    secret: Option<Found>,
    /// Whether the configurations were read.
    is_read: bool,
    trouble: Option<ManagedError>,
}

impl<F: Fn(Credentials) + Send> Keeper<F> {
    async fn run(mut self) {
        loop {
            let pause = self.round().await;
            if timeout(pause, self.changed.notified()).await.is_ok() && self.is_contested() {
                // Two that both write a bundle would keep the API server busy.
                sleep(RETRY).await;
            }
        }
    }

    /// Looks, does what is to be done, and says when to look again at the latest.
    async fn round(&mut self) -> Duration {
        let Look {
            secret,
            is_read,
            mut trouble,
        } = self.look().await;
        let plan = self.plan(secret.is_some(), is_read);
        let mut has_changed = false;
        if let Some(authority) = &plan.sign
            && let Err(error) = self.sign(authority)
        {
            trouble = Some(error);
        }
        match self.store(plan.store, secret).await {
            Ok(changed) => has_changed |= changed,
            Err(error) => trouble = Some(error),
        }
        if is_read {
            match self.publish(&plan).await {
                Ok(changed) => has_changed |= changed,
                Err(error) => trouble = Some(error),
            }
        }
        if has_changed {
            self.changes.push(Instant::now());
            if !self.is_contested() {
                return Duration::ZERO;
            }
            trouble.get_or_insert(ManagedError::Contested);
        }
        let again = if trouble.is_some() { RETRY } else { INTERVAL };
        self.report(plan.standing, trouble);
        let again = again.min(self.settings.lifetimes.leaf / 8);
        plan.again.map_or(again, |sooner| again.min(sooner))
    }

    fn is_contested(&mut self) -> bool {
        let minute = Duration::from_mins(1);
        self.changes.retain(|at| at.elapsed() < minute);
        self.changes.len() > CHANGES
    }

    async fn look(&mut self) -> Look {
        let mut trouble = None;
        let secret = match self.store.read().await {
            Ok((secret, authorities)) => {
                self.take(authorities);
                Some(secret)
            }
            Err(error) => {
                trouble = Some(error);
                None
            }
        };
        let is_read = match self.configurations.read().await {
            Ok(read) => {
                let known: Vec<_> = self.known().map(|it| it.certificate.clone()).collect();
                self.sightings
                    .note(&read.bundles, &known, self.started.elapsed());
                let is_absent = read.configurations.is_empty();
                if is_absent && !self.told_absent {
                    let names = self.settings.configurations.join(" or ");
                    warn!(
                        "there is no webhook configuration {names} yet; its caBundle is written as soon as there is"
                    );
                }
                self.told_absent = is_absent;
                self.read = Some(read);
                true
            }
            Err(error) => {
                trouble = Some(error);
                false
            }
        };
        Look {
            secret,
            is_read,
            trouble,
        }
    }

    fn take(&mut self, authorities: Vec<Authority>) {
        if let Some(not_after) = secret::expiry(&authorities) {
            self.metrics.certificate_authority_expiry(not_after);
        }
        self.authorities = authorities.into_iter().map(Arc::new).collect();
    }

    /// All CAs whose keys are at hand.
    fn known(&self) -> impl Iterator<Item = &Arc<Authority>> {
        let shown = self.serving.iter().map(|(_, authority)| authority);
        self.authorities.iter().chain(shown)
    }

    fn plan(&self, is_fresh: bool, are_seen: bool) -> Plan {
        let authorities = self.authorities.iter().map(|it| it.certificate.clone());
        let facts = Facts {
            now: OffsetDateTime::now_utc(),
            authorities: &authorities.collect::<Vec<_>>(),
            is_fresh,
            bundles: self.read.as_ref().map(|read| read.bundles.as_slice()),
            are_seen,
            serving: self.serving.as_ref().map(|(serving, _)| serving),
            sightings: &self.sightings,
            uptime: self.started.elapsed(),
        };
        facts.plan(self.settings.lifetimes)
    }

    fn sign(&mut self, certificate: &Certificate) -> Result<(), ManagedError> {
        let authority = self.known().find(|it| it.certificate == *certificate);
        let Some(authority) = authority.cloned() else {
            return Ok(());
        };
        let Settings {
            hosts, lifetimes, ..
        } = &self.settings;
        let credentials = authority.leaf(hosts, OffsetDateTime::now_utc(), lifetimes.leaf)?;
        let not_after = credentials.not_after();
        (self.serve)(credentials);
        self.metrics.certificate_expiry(not_after);
        self.metrics.certificate_reload(PART);
        let of_ca_until = date(certificate.not_after);
        info!(
            not_after = date(not_after),
            of_ca_until, "another serving certificate is used from now on"
        );
        let serving = Serving {
            authority: certificate.clone(),
            not_after,
        };
        self.serving = Some((serving, authority));
        Ok(())
    }

    async fn store(
        &self,
        what: Option<plan::Store>,
        secret: Option<Found>,
    ) -> Result<bool, ManagedError> {
        let (Some(what), Some(secret)) = (what, secret) else {
            return Ok(false);
        };
        let current = self.authorities.first().map(Arc::as_ref);
        match what {
            plan::Store::Make => {
                let validity = self.settings.lifetimes.authority;
                let authority = Authority::make(OffsetDateTime::now_utc(), validity)
                    .map_err(LeafError::Make)?;
                if self.store.write(secret, &authority, current).await? {
                    self.metrics.certificate_authority_rotation();
                    let not_after = date(authority.certificate.not_after);
                    info!(
                        not_after,
                        "a new CA is in Secret {}/{AUTHORITY_SECRET}", self.settings.namespace
                    );
                }
            }
            plan::Store::Forget => {
                let Some(current) = current else {
                    return Ok(false);
                };
                if self.store.write(secret, current, None).await? {
                    info!("the CA before the one that signs is forgotten");
                }
            }
        }
        // Somebody else may have been faster, which is as good.
        Ok(true)
    }

    async fn publish(&self, plan: &Plan) -> Result<bool, ManagedError> {
        let mut has_changed = false;
        let mut trouble = None;
        let read = self.read.iter();
        for (configuration, bundles) in read.flat_map(|read| read.by_configuration(&plan.publish)) {
            match self.configurations.publish(configuration, &bundles).await {
                Ok(true) => {
                    info!(
                        "{configuration}: caBundle of {} webhooks is written",
                        bundles.len()
                    );
                    has_changed = true;
                }
                Ok(false) => has_changed = true,
                // The others are written all the same.
                Err(error) => trouble = Some(error),
            }
        }
        trouble.map_or(Ok(has_changed), Err)
    }

    fn report(&mut self, standing: Standing, trouble: Option<ManagedError>) {
        let trouble = trouble.map(|trouble| one_line(&trouble));
        let because = || {
            trouble
                .as_ref()
                .map(|text| format!(": {text}"))
                .unwrap_or_default()
        };
        match standing {
            Standing::Good => self.condition.ready(),
            bad => self
                .condition
                .not_ready(format!("{}{}", describe(bad), because())),
        }
        if trouble != self.told {
            if let Some(text) = &trouble {
                error!("{text}");
                self.metrics.certificate_reload_failure(PART);
            } else {
                info!("CA and webhook configurations can be read and written again");
            }
            self.told = trouble;
        }
    }
}

const fn describe(standing: Standing) -> &'static str {
    match standing {
        Standing::None => "there is no serving certificate yet",
        Standing::Expired => "the serving certificate has expired",
        Standing::Distrusted => "a webhook configuration lacks the CA of the serving certificate",
        Standing::Good => "",
    }
}

fn date(at: OffsetDateTime) -> String {
    // Only a year above 9999 has no such form, and X.509 has no such year.
    at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}

/// What stands in the way.
#[derive(Debug, Error)]
enum ManagedError {
    #[error(
        "Secret {namespace}/{AUTHORITY_SECRET}: {entry} {problem}; delete the Secret, and keyporter makes another CA"
    )]
    Unusable {
        namespace: String,
        entry: &'static str,
        problem: Unusable,
    },
    #[error(
        "Secret {namespace}/{AUTHORITY_SECRET} cannot be read or written{}",
        way_out(source)
    )]
    Secret {
        namespace: String,
        source: RequestError,
    },
    #[error("{configuration} cannot be read or written{}", way_out(source))]
    Configuration {
        configuration: String,
        source: RequestError,
    },
    #[error(
        "the CA or a caBundle was written {CHANGES} times within a minute; does something else, such as cert-manager's \
         annotation cert-manager.io/inject-ca-from, write caBundle too?"
    )]
    Contested,
    #[error(transparent)]
    Certificate(#[from] LeafError),
}

fn way_out(error: &RequestError) -> &'static str {
    if error.is(403) {
        "; deploy/examples/rbac.yaml has the rights that it takes"
    } else {
        ""
    }
}

/// Why the API server did not do it.
#[derive(Debug, Error)]
enum RequestError {
    #[error("{}", .0.message)]
    Refused(Box<kube::core::Status>),
    #[error("the API server does not answer in time")]
    Slow,
    #[error("the API server does not answer")]
    Unanswered(#[source] Box<kube::Error>),
    /// What it was may quote what was found.
    #[error("the API server's answer is not what was asked for")]
    Odd,
}

impl RequestError {
    fn is(&self, code: u16) -> bool {
        matches!(self, Self::Refused(status) if status.code == code)
    }
}

/// An answer of the API server, or why there is none.
async fn in_time<T>(
    answer: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, RequestError> {
    let answer = timeout(ANSWER_TIMEOUT, answer).await;
    answer
        .map_err(|_| RequestError::Slow)?
        .map_err(|error| match error {
            kube::Error::Api(status) => RequestError::Refused(status),
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => RequestError::Odd,
            other => RequestError::Unanswered(Box::new(other)),
        })
}
