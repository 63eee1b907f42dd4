//! Every metric of the program, in one place.
//!
//! Labels come from closed lists only, so the number of series has an upper bound that no user can move: never an
//! object's name, never a person's, never an error's text. The types say so: a label is `&'static str` or a number.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, text},
    metrics::{
        MetricType,
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
        info::Info,
    },
    registry::{Registry, Unit},
};
use time::OffsetDateTime;

/// The content type of [`Metrics::encode`]
/// (<https://prometheus.io/docs/specs/om/open_metrics_spec/#overall-structure>).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// From a decision that finds nothing to do up to the shortest timeout that a webhook configuration can have (1 s).
const DURATION_BUCKETS: [f64; 14] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0,
];

/// From a list of an idle API server up to twice the time that it is given.
const CONFIRMATION_BUCKETS: [f64; 10] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
];

/// The metrics and the registry that holds them. A clone records into the same series.
///
/// # Example
///
/// ```
/// use std::time::Duration;
///
/// let metrics = keyporter::metrics::Metrics::new();
/// metrics.admission("pods", "inject", "injected", Duration::from_micros(80));
/// assert!(metrics.encode().contains(
///     r#"keyporter_admissions_total{resource="pods",decision="inject",reason="injected"} 1"#
/// ));
/// ```
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    admissions: Family<Admission, Counter>,
    admission_duration: Family<Resource, Histogram>,
    injected_secrets: Family<Secret, Counter>,
    refused_requests: Family<Status, Counter>,
    catalog_secrets: Family<Secret, Gauge>,
    catalog_ignored_secrets: Family<Problem, Gauge>,
    catalog_watch_restarts: Counter,
    catalog_last_sync: Timestamp,
    confirmations: Family<Outcome, Counter>,
    confirmation_duration: Histogram,
    open_connections: Gauge,
    tls_handshake_failures: Family<Cause, Counter>,
    events: Family<Outcome, Counter>,
    certificate_expiry: Timestamp,
    certificate_authority_expiry: Timestamp,
    certificate_reloads: Family<Part, Counter>,
    certificate_reload_failures: Family<Part, Counter>,
    certificate_authority_rotations: Counter,
}

impl Metrics {
    /// Makes an empty set, which shares nothing with others.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("keyporter");
        registry.register(
            "build",
            "The version that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let admission_duration: Family<Resource, Histogram> =
            Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS));
        registry.register_with_unit(
            "admission_duration",
            "From the complete request to the response, both excluded",
            Unit::Seconds,
            admission_duration.clone(),
        );
        Self(Arc::new(Inner {
            admissions: register(&mut registry, "admissions", "Admission reviews answered"),
            admission_duration,
            injected_secrets: register(
                &mut registry,
                "injected_secrets",
                "Secrets put into admitted pods",
            ),
            refused_requests: register(
                &mut registry,
                "refused_requests",
                "Requests answered with an HTTP error instead of a review",
            ),
            catalog_secrets: register(
                &mut registry,
                "catalog_secrets",
                "Secrets in the catalog that can be injected",
            ),
            catalog_ignored_secrets: register(
                &mut registry,
                "catalog_ignored_secrets",
                "Secrets that look like ours but are ignored",
            ),
            catalog_watch_restarts: register(
                &mut registry,
                "catalog_watch_restarts",
                "Lists and watches of Secrets that failed and were tried again",
            ),
            catalog_last_sync: register(
                &mut registry,
                "catalog_last_sync_timestamp_seconds",
                "When a complete list of Secrets last came in, in Unix time",
            ),
            certificate_expiry: register(
                &mut registry,
                "certificate_expiry_timestamp_seconds",
                "When the serving certificate expires, in Unix time",
            ),
            certificate_authority_expiry: register(
                &mut registry,
                "certificate_authority_expiry_timestamp_seconds",
                "When the CA that keyporter keeps itself expires, in Unix time",
            ),
            certificate_reloads: register(
                &mut registry,
                "certificate_reloads",
                "New certificates and CAs taken into use while running",
            ),
            certificate_reload_failures: register(
                &mut registry,
                "certificate_reload_failures",
                "New certificates and CAs that cannot be used; the last good ones stay",
            ),
            certificate_authority_rotations: register(
                &mut registry,
                "certificate_authority_rotations",
                "CAs made to follow another, or as the first",
            ),
            confirmations: register(
                &mut registry,
                "confirmations",
                "Confirmations that the catalog has caught up with a namespace, by what became of them",
            ),
            confirmation_duration: confirmation_duration(&mut registry),
            open_connections: register(
                &mut registry,
                "open_connections",
                "Connections to the webhook port",
            ),
            tls_handshake_failures: register(
                &mut registry,
                "tls_handshake_failures",
                "TLS handshakes that failed",
            ),
            events: register(
                &mut registry,
                "events",
                "Reports about the pods of controllers, by what became of them",
            ),
            registry,
        }))
    }

    /// Counts an answered review of a `resource` (plural, such as `pods`) with its `decision`, the `reason` for it, and
    /// the time that it took.
    pub fn admission(
        &self,
        resource: &'static str,
        decision: &'static str,
        reason: &'static str,
        duration: Duration,
    ) {
        // Both look a series up under a shared lock, without allocating: a tenth of a microsecond.
        let admission = Admission {
            resource,
            decision,
            reason,
        };
        self.0.admissions.get_or_create(&admission).inc();
        self.0
            .admission_duration
            .get_or_create(&Resource { resource })
            .observe(duration.as_secs_f64());
    }

    /// Counts one secret put into a pod.
    pub fn injected_secret(&self, kind: &'static str, scope: &'static str) {
        self.0
            .injected_secrets
            .get_or_create(&Secret { kind, scope })
            .inc();
    }

    /// Counts a request that was answered with the HTTP `status` of an error.
    pub fn refused_request(&self, status: u16) {
        self.0
            .refused_requests
            .get_or_create(&Status { status })
            .inc();
    }

    /// Sets how many secrets of a kind and scope the catalog holds. A combination that vanishes has to be set to 0.
    pub fn catalog_secrets(&self, kind: &'static str, scope: &'static str, count: usize) {
        self.0
            .catalog_secrets
            .get_or_create(&Secret { kind, scope })
            .set(integer(count));
    }

    /// Sets how many secrets the catalog ignores for a `problem`. A problem that vanishes has to be set to 0.
    pub fn catalog_ignored_secrets(&self, problem: &'static str, count: usize) {
        self.0
            .catalog_ignored_secrets
            .get_or_create(&Problem { problem })
            .set(integer(count));
    }

    /// Counts a list or watch that failed and is tried again.
    pub fn catalog_watch_restart(&self) {
        self.0.catalog_watch_restarts.inc();
    }

    /// Sets when a complete list of Secrets last came in.
    pub fn catalog_last_sync(&self, at: OffsetDateTime) {
        self.0.catalog_last_sync.set(at);
    }

    /// Counts a confirmation that the catalog has caught up, with its `outcome` and the time that it took.
    pub fn confirmation(&self, outcome: &'static str, duration: Duration) {
        self.0
            .confirmations
            .get_or_create(&Outcome { outcome })
            .inc();
        self.0.confirmation_duration.observe(duration.as_secs_f64());
    }

    /// Counts a connection as open until the returned value is dropped.
    #[must_use]
    pub fn connection_opened(&self) -> OpenConnection {
        self.0.open_connections.inc();
        OpenConnection(self.0.open_connections.clone())
    }

    /// Counts a failed TLS handshake.
    pub fn tls_handshake_failure(&self, cause: &'static str) {
        self.0
            .tls_handshake_failures
            .get_or_create(&Cause { cause })
            .inc();
    }

    /// Counts a report about a controller's pod with its `outcome`.
    pub fn event(&self, outcome: &'static str) {
        self.0.events.get_or_create(&Outcome { outcome }).inc();
    }

    /// Sets when the serving certificate expires.
    pub fn certificate_expiry(&self, at: OffsetDateTime) {
        self.0.certificate_expiry.set(at);
    }

    /// Sets when the CA that keyporter keeps itself expires.
    pub fn certificate_authority_expiry(&self, at: OffsetDateTime) {
        self.0.certificate_authority_expiry.set(at);
    }

    /// Counts a new `part` of what TLS is made of as in use.
    pub fn certificate_reload(&self, part: &'static str) {
        self.0
            .certificate_reloads
            .get_or_create(&Part { part })
            .inc();
    }

    /// Counts a new `part` of what TLS is made of that cannot be used.
    pub fn certificate_reload_failure(&self, part: &'static str) {
        self.0
            .certificate_reload_failures
            .get_or_create(&Part { part })
            .inc();
    }

    /// Counts a CA that this replica made.
    pub fn certificate_authority_rotation(&self) {
        self.0.certificate_authority_rotations.inc();
    }

    /// Writes everything in the text format of OpenMetrics; [`CONTENT_TYPE`] names it.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut page = String::new();
        // Writing into a string fails only if a metric refuses to be written, and none of ours does.
        match text::encode(&mut page, &self.0.registry) {
            Ok(()) => page,
            Err(fmt::Error) => "# EOF\n".to_owned(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// A connection that counts as open as long as this lives.
#[derive(Debug)]
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn register<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: prometheus_client::registry::Metric + Clone + Default,
{
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn confirmation_duration(registry: &mut Registry) -> Histogram {
    let duration = Histogram::new(CONFIRMATION_BUCKETS);
    registry.register_with_unit(
        "confirmation_duration",
        "What a confirmation takes that the catalog has caught up with a namespace",
        Unit::Seconds,
        duration.clone(),
    );
    duration
}

fn integer(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A gauge that is absent until it is known: a 0 would be a date in 1970, and an alert.
#[derive(Clone, Debug)]
struct Timestamp(Arc<AtomicI64>);

/// No date: a year that the type of dates cannot say.
const UNKNOWN: i64 = i64::MIN;

impl Timestamp {
    fn set(&self, at: OffsetDateTime) {
        self.0.store(at.unix_timestamp(), Ordering::Relaxed);
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl EncodeMetric for Timestamp {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        ConstGauge::new(self.0.load(Ordering::Relaxed)).encode(encoder)
    }

    fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == UNKNOWN
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Admission {
    resource: &'static str,
    decision: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Resource {
    resource: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Secret {
    kind: &'static str,
    scope: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Problem {
    problem: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Part {
    part: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names are what dashboards and alerts are written against.
    #[test]
    fn every_series_has_its_documented_name() {
        let metrics = Metrics::new();
        metrics.admission("pods", "inject", "injected", Duration::from_micros(80));
        metrics.injected_secret("env", "user");
        metrics.refused_request(413);
        metrics.catalog_secrets("env", "user", 3);
        metrics.catalog_ignored_secrets("owner-id", 1);
        metrics.catalog_watch_restart();
        metrics.catalog_last_sync(OffsetDateTime::UNIX_EPOCH);
        metrics.confirmation("confirmed", Duration::from_millis(3));
        metrics.tls_handshake_failure("timeout");
        metrics.event("sent");
        metrics.certificate_expiry(OffsetDateTime::UNIX_EPOCH);
        metrics.certificate_authority_expiry(OffsetDateTime::UNIX_EPOCH);
        metrics.certificate_reload("certificate");
        metrics.certificate_reload_failure("client-ca");
        metrics.certificate_authority_rotation();
        let _open = metrics.connection_opened();

        let page = metrics.encode();
        for line in [
            r#"keyporter_admissions_total{resource="pods",decision="inject",reason="injected"} 1"#,
            r#"keyporter_admission_duration_seconds_count{resource="pods"} 1"#,
            r#"keyporter_admission_duration_seconds_bucket{le="0.00005",resource="pods"} 0"#,
            r#"keyporter_admission_duration_seconds_bucket{le="0.0001",resource="pods"} 1"#,
            r#"keyporter_injected_secrets_total{kind="env",scope="user"} 1"#,
            r#"keyporter_refused_requests_total{status="413"} 1"#,
            r#"keyporter_catalog_secrets{kind="env",scope="user"} 3"#,
            r#"keyporter_catalog_ignored_secrets{problem="owner-id"} 1"#,
            "keyporter_catalog_watch_restarts_total 1",
            "keyporter_catalog_last_sync_timestamp_seconds 0",
            r#"keyporter_confirmations_total{outcome="confirmed"} 1"#,
            r#"keyporter_confirmation_duration_seconds_bucket{le="0.0025"} 0"#,
            r#"keyporter_confirmation_duration_seconds_bucket{le="0.005"} 1"#,
            "keyporter_open_connections 1",
            r#"keyporter_tls_handshake_failures_total{cause="timeout"} 1"#,
            r#"keyporter_events_total{outcome="sent"} 1"#,
            "keyporter_certificate_expiry_timestamp_seconds 0",
            "keyporter_certificate_authority_expiry_timestamp_seconds 0",
            r#"keyporter_certificate_reloads_total{part="certificate"} 1"#,
            r#"keyporter_certificate_reload_failures_total{part="client-ca"} 1"#,
            "keyporter_certificate_authority_rotations_total 1",
            concat!(
                r#"keyporter_build_info{version=""#,
                env!("CARGO_PKG_VERSION"),
                r#""} 1"#
            ),
            "# EOF",
        ] {
            assert!(
                page.lines().any(|found| found == line),
                "no {line} in\n{page}"
            );
        }
    }

    #[test]
    fn dates_are_absent_until_they_are_known() {
        let page = Metrics::new().encode();
        assert!(!page.contains("timestamp"), "{page}");
    }

    #[test]
    fn a_connection_counts_while_it_lives() {
        let metrics = Metrics::new();
        let open = metrics.connection_opened();
        assert!(metrics.encode().contains("keyporter_open_connections 1"));
        drop(open);
        assert!(metrics.encode().contains("keyporter_open_connections 0"));
    }
}
