//! What to do next about the CA and the serving certificate, from what there is. Pure: no clock, no cluster, no keys.
//!
//! Each replica plans for itself, and none is the leader: writes carry the version that was read, so that of two at once
//! one is refused and looks again.

use std::time::Duration;

use time::OffsetDateTime;

use super::authority::Certificate;

/// How long certificates last. All other times follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of the CA, which is followed by another when a third of it is left.
    pub authority: Duration,
    /// Of a serving certificate, which is renewed when two thirds of it are left. It is also how long a CA stays trusted
    /// after another followed it.
    pub leaf: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            authority: Duration::from_hours(365 * 24),
            leaf: Duration::from_hours(7 * 24),
        }
    }
}

impl Lifetimes {
    /// The API server must have read a bundle that was published. Before the first certificate is shown, nobody calls.
    fn before_first(self) -> Duration {
        Duration::from_secs(2).min(self.leaf / 8)
    }

    /// The same for a CA that follows one which still serves: there is no hurry.
    fn before_next(self) -> Duration {
        Duration::from_mins(1).min(self.leaf / 8)
    }

    /// All replicas must have changed to a CA before the one it followed goes. One that has seen nothing of the cluster
    /// meanwhile is left `leaf`.
    fn before_forgetting(self) -> Duration {
        Duration::from_hours(1).min(self.leaf / 2)
    }
}

/// What a webhook trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bundle {
    pub(super) certificates: Vec<Certificate>,
    /// It also holds what is no CA.
    pub(super) garbage: bool,
}

impl Bundle {
    fn has(&self, certificate: &Certificate) -> bool {
        self.certificates.contains(certificate)
    }
}

/// The certificate that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Serving {
    pub(super) authority: Certificate,
    pub(super) not_after: OffsetDateTime,
}

/// What there is, as it was last seen.
pub(super) struct Facts<'a> {
    pub(super) now: OffsetDateTime,
    /// The CAs in the Secret: the one that signs, and the one before it. None where there is no Secret, or an empty one.
    pub(super) authorities: &'a [Certificate],
    /// Whether the Secret was read just now.
    pub(super) is_fresh: bool,
    /// What each webhook of each configuration trusts; `None` if that was never read.
    pub(super) bundles: Option<&'a [Bundle]>,
    /// Whether they were read just now.
    pub(super) are_seen: bool,
    pub(super) serving: Option<&'a Serving>,
    pub(super) sightings: &'a Sightings,
    /// How long this replica runs.
    pub(super) uptime: Duration,
}

/// What to do. All of it may be done at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Show a new certificate of this CA.
    pub(super) sign: Option<Certificate>,
    pub(super) store: Option<Store>,
    /// The bundles to be written, by their place among the facts.
    pub(super) publish: Vec<(usize, Vec<Certificate>)>,
    /// How the certificate that is shown stands then.
    pub(super) standing: Standing,
    /// When it is time to look again, if nothing happens before.
    pub(super) again: Option<Duration>,
}

/// What to write into the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    /// A new CA, with the one that signed so far beside it.
    Make,
    /// Without the CA before the one that signs.
    Forget,
}

/// How the certificate that is shown stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is none.
    #[default]
    None,
    Expired,
    /// Not every webhook trusts its CA.
    Distrusted,
    Good,
}

/// Since when every webhook trusts a CA.
#[derive(Clone, Debug, Default)]
pub(super) struct Sightings(Vec<(Certificate, Duration)>);

impl Sightings {
    /// Notes what the bundles hold. Without a webhook everything is trusted, of what is `known`.
    pub(super) fn note(&mut self, bundles: &[Bundle], known: &[Certificate], uptime: Duration) {
        let candidates = match bundles.first() {
            Some(bundle) => &bundle.certificates,
            None => known,
        };
        let trusted = |certificate: &Certificate| bundles.iter().all(|it| it.has(certificate));
        self.0.retain(|(certificate, _)| trusted(certificate));
        for certificate in candidates {
            if trusted(certificate) && self.since(certificate).is_none() {
                self.0.push((certificate.clone(), uptime));
            }
        }
    }

    fn since(&self, certificate: &Certificate) -> Option<Duration> {
        let found = self.0.iter().find(|(seen, _)| seen == certificate);
        found.map(|(_, since)| *since)
    }
}

impl Facts<'_> {
    pub(super) fn plan(&self, lifetimes: Lifetimes) -> Plan {
        let (sign, again) = self.sign(lifetimes);
        let serving = match &sign {
            Some(authority) => Some(Serving {
                authority: authority.clone(),
                not_after: self.end_of_leaf(authority, lifetimes),
            }),
            None => self.serving.cloned(),
        };
        Plan {
            store: self.store(lifetimes),
            publish: self.publish(serving.as_ref(), lifetimes),
            standing: self.standing(serving.as_ref()),
            sign,
            again,
        }
    }

    /// The newest CA that all trust is the one to sign; what is shown is left early enough, and for good reason only.
    fn sign(&self, lifetimes: Lifetimes) -> (Option<Certificate>, Option<Duration>) {
        let usable = |authority: &&Certificate| {
            self.are_seen && authority.is_valid(self.now) && self.trusts(authority)
        };
        let best = self.authorities.iter().find(usable);
        let Some(serving) = self.serving else {
            return self.when_seen(best, lifetimes.before_first());
        };
        if self.standing(Some(serving)) != Standing::Good {
            // Nothing is lost by changing at once.
            let instead =
                best.filter(|best| serving.not_after <= self.now || **best != serving.authority);
            if let Some(best) = instead {
                return (Some(best.clone()), None);
            }
        } else if let Some(best) = best.filter(|best| self.follows(best, &serving.authority)) {
            let (sign, again) = self.when_seen(Some(best), lifetimes.before_next());
            if sign.is_some() {
                return (sign, again);
            }
            return (self.renewed(serving, lifetimes), again);
        }
        (self.renewed(serving, lifetimes), None)
    }

    fn when_seen(
        &self,
        authority: Option<&Certificate>,
        patience: Duration,
    ) -> (Option<Certificate>, Option<Duration>) {
        let Some(authority) = authority else {
            return (None, None);
        };
        let seen = self.seen(authority);
        if seen >= patience {
            (Some(authority.clone()), None)
        } else {
            (None, Some(patience.saturating_sub(seen)))
        }
    }

    /// Of the same CA, also if nothing else is known any more: an expired certificate helps nobody.
    fn renewed(&self, serving: &Serving, lifetimes: Lifetimes) -> Option<Certificate> {
        let authority = &serving.authority;
        let is_due = serving.not_after - self.now < lifetimes.leaf * 2 / 3;
        let gain = self.end_of_leaf(authority, lifetimes) - serving.not_after;
        (is_due && authority.is_valid(self.now) && gain > lifetimes.leaf / 10)
            .then(|| authority.clone())
    }

    fn end_of_leaf(&self, authority: &Certificate, lifetimes: Lifetimes) -> OffsetDateTime {
        (self.now + lifetimes.leaf).min(authority.not_after)
    }

    fn store(&self, lifetimes: Lifetimes) -> Option<Store> {
        if !self.is_fresh {
            return None;
        }
        let Some((current, before)) = self.authorities.split_first() else {
            return Some(Store::Make);
        };
        // One that was never published would push the one that serves out of the Secret.
        let is_due = current.not_after - self.now < lifetimes.authority / 3;
        if is_due && (self.trusts(current) || current.not_after <= self.now) {
            return Some(Store::Make);
        }
        let forget = |before| self.may_forget(before, lifetimes);
        before.iter().any(forget).then_some(Store::Forget)
    }

    fn publish(
        &self,
        serving: Option<&Serving>,
        lifetimes: Lifetimes,
    ) -> Vec<(usize, Vec<Certificate>)> {
        if self.authorities.is_empty() && serving.is_none() {
            return Vec::new();
        }
        let bundles = self.bundles.unwrap_or_default().iter().enumerate();
        let changed = bundles.filter_map(|(place, bundle)| {
            let wanted = self.wanted(bundle, serving, lifetimes);
            let is_same = wanted.len() == bundle.certificates.len()
                && wanted.iter().all(|certificate| bundle.has(certificate));
            (bundle.garbage || !is_same).then_some((place, wanted))
        });
        changed.collect()
    }

    /// What a webhook has to trust: the CAs of the Secret, and those of which somebody may show a certificate still. A
    /// Secret that was deleted takes no CA out of the bundles, nor does the change from certificates of another origin.
    fn wanted(
        &self,
        bundle: &Bundle,
        serving: Option<&Serving>,
        lifetimes: Lifetimes,
    ) -> Vec<Certificate> {
        let mut wanted = self.authorities.to_vec();
        let shown = serving.map(|serving| &serving.authority);
        for certificate in shown.into_iter().chain(&bundle.certificates) {
            if !wanted.contains(certificate) && !self.may_forget(certificate, lifetimes) {
                wanted.push(certificate.clone());
            }
        }
        wanted
    }

    /// Whether nobody shows a certificate of this CA any more, because everybody had the time to change to the one that
    /// signs now. Both dates count: what is younger than the one in the Secret follows it, as far as we know.
    fn may_forget(&self, authority: &Certificate, lifetimes: Lifetimes) -> bool {
        if authority.not_after <= self.now {
            return true;
        }
        let is_old = |authority: &Certificate| authority.made + lifetimes.leaf < self.now;
        let Some(current) = self.authorities.first() else {
            return false;
        };
        self.is_fresh
            && is_old(current)
            && is_old(authority)
            && self.trusts(current)
            && self.seen(current) >= lifetimes.before_forgetting()
    }

    fn standing(&self, serving: Option<&Serving>) -> Standing {
        match serving {
            None => Standing::None,
            Some(serving) if serving.not_after <= self.now => Standing::Expired,
            Some(serving) if !self.trusts(&serving.authority) => Standing::Distrusted,
            Some(_) => Standing::Good,
        }
    }

    /// Whether one CA comes after another. One that is no longer in the Secret is behind all that are.
    fn follows(&self, next: &Certificate, before: &Certificate) -> bool {
        let mut authorities = self.authorities.iter();
        next != before && authorities.find(|it| *it == next || *it == before) == Some(next)
    }

    fn trusts(&self, authority: &Certificate) -> bool {
        let has = |bundles: &[Bundle]| bundles.iter().all(|bundle| bundle.has(authority));
        self.bundles.is_some_and(has)
    }

    fn seen(&self, authority: &Certificate) -> Duration {
        let since = self.sightings.since(authority);
        since.map_or(Duration::ZERO, |since| self.uptime.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests;
