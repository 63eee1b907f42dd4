//! A steady stream of admissions, and what became of each.

use std::{
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use kube::{Client, ResourceExt};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    harness::Cluster,
    project::{Project, Secret},
    support::{Result, objects, wait_for},
};

/// How many are under way at once, each on a connection of its own.
const CONNECTIONS: u32 = 8;
/// While the API server itself is away, a request is sent again for so long.
const AWAY_AT_MOST: Duration = Duration::from_mins(2);
/// The phase in which calls end with the process that was to answer them.
pub(crate) const REPLICAS_KILLED: &str = "replicas killed";
/// The phase in which keyporter goes: from some moment on pods come without secrets.
pub(crate) const UNINSTALL: &str = "helm uninstall";
/// By then the kubelet has taken a killed replica out of the Service.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
/// No phase may last longer, however slow the machine is.
const PHASE_AT_MOST: Duration = Duration::from_mins(8);

/// Alice creates pods without end, at a steady rate. No pod is stored: they pass admission and are answered.
pub(crate) struct Admissions {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    namespace: String,
    ended: AtomicBool,
    /// Numbers the requests.
    next: AtomicU32,
    phases: Mutex<Vec<Phase>>,
}

/// What became of the requests that began in a phase.
struct Phase {
    name: &'static str,
    began: Instant,
    lasted: Duration,
    /// Answered with the secret in them.
    admitted: u32,
    /// Answered without it, where that is right.
    without: u32,
    /// Not answered because the API server was away, and sent again.
    sent_again: u32,
    /// Refused because the replica that the API server called had just been killed, and sent again.
    lost: u32,
    slowest: Duration,
    /// Those that keyporter is to blame for.
    failures: Vec<String>,
}

/// What became of one request.
enum Outcome {
    Admitted,
    /// Nobody put the secret into it, nor wrote down anything else.
    Without,
    /// It never got as far as admission.
    Away(String),
    Failed(String),
}

/// How a request ended, however often it was sent.
enum End {
    With,
    Without,
    Failed(String),
}

impl Admissions {
    /// Begins with `rate` pods a second, once alice's pods get her secret.
    pub(crate) async fn start(cluster: &Cluster, namespace: &str, rate: u32) -> Result<Self> {
        let project = Project::new(cluster, namespace).await?;
        let secret = Secret::of_alice("env", "token").with("TOKEN", "of alice");
        project.make(&[secret]).await?;
        let shared = Arc::new(Shared {
            namespace: namespace.to_owned(),
            ended: AtomicBool::new(false),
            next: AtomicU32::new(0),
            phases: Mutex::new(vec![Phase::new("undisturbed")]),
        });
        let mut tasks = JoinSet::new();
        let period = Duration::from_secs(1) * CONNECTIONS / rate;
        for number in 0..CONNECTIONS {
            let client = cluster.client("alice").await?;
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                sleep(period * number / CONNECTIONS).await;
                shared.create_pods(&client, period).await;
            });
        }
        Ok(Self { shared, tasks })
    }

    /// Does something meanwhile; returns when that is done and at least so many pods were created since it began.
    pub(crate) async fn during(
        &self,
        name: &'static str,
        at_least: u32,
        event: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        eprintln!("  {name} ...");
        self.shared.begin(name);
        event.await.map_err(|error| format!("{name}: {error}"))?;
        let what = format!("{at_least} admissions during: {name}");
        wait_for(&what, PHASE_AT_MOST, async || {
            let enough = self.shared.phase(|phase| phase.answered() >= at_least);
            Ok(enough.then_some(()))
        })
        .await
    }

    /// How many pods of this phase came with the secret, how many without, and how often one was sent again.
    pub(crate) fn counts(&self) -> (u32, u32, u32) {
        self.shared
            .phase(|phase| (phase.admitted, phase.without, phase.sent_again))
    }

    /// Ends it and prints what became of all; an error with the first failures, if there were any.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.shared.ended.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        self.shared.begin("after the end");
        let phases = self.shared.phases.lock();
        let phases = phases.unwrap_or_else(PoisonError::into_inner);
        let (_, phases) = phases.split_last().ok_or("there was no phase")?;
        eprintln!("{}", table(phases)?);
        let failures: Vec<String> = phases
            .iter()
            .flat_map(|phase| {
                phase
                    .failures
                    .iter()
                    .map(|it| format!("{}: {it}", phase.name))
            })
            .collect();
        if failures.is_empty() {
            return Ok(());
        }
        let first = failures.iter().take(20).cloned().collect::<Vec<_>>();
        Err(format!(
            "{} admissions failed:\n{}",
            failures.len(),
            first.join("\n")
        )
        .into())
    }
}

impl Shared {
    async fn create_pods(&self, client: &Client, period: Duration) {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.ended.load(Ordering::Relaxed) {
            ticks.tick().await;
            let phase = self.phase_number();
            let (sent_again, lost, took, end) = self.create_pod(client).await;
            let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
            let phase = &mut phases[phase];
            phase.sent_again += sent_again;
            phase.lost += lost;
            match end {
                End::With => phase.admitted += 1,
                End::Without => phase.without += 1,
                End::Failed(why) => phase.failures.push(why),
            }
            phase.slowest = phase.slowest.max(took);
        }
    }

    /// How often it had to be sent again because the API server was away, how often because a replica was killed, how long
    /// the last try took, and what was wrong.
    async fn create_pod(&self, client: &Client) -> (u32, u32, Duration, End) {
        let name = format!("pod-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let first = Instant::now();
        let (mut sent_again, mut lost) = (0, 0);
        loop {
            let start = Instant::now();
            let pod = objects::pod(&self.namespace, &name);
            let outcome = judge(objects::dry_run(client, pod).await);
            let took = start.elapsed();
            let why = match outcome {
                Outcome::Admitted => return (sent_again, lost, took, End::With),
                Outcome::Without if self.phase(|phase| phase.name == UNINSTALL) => {
                    return (sent_again, lost, took, End::Without);
                }
                Outcome::Without => {
                    let why = "a pod that keyporter was not asked about".to_owned();
                    return (sent_again, lost, took, End::Failed(why));
                }
                Outcome::Failed(why)
                    if self.phase(|phase| phase.name == REPLICAS_KILLED)
                        && is_of_a_killed_replica(&why)
                        && first.elapsed() < NOTICED_WITHIN =>
                {
                    lost += 1;
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
                Outcome::Failed(why) => return (sent_again, lost, took, End::Failed(why)),
                Outcome::Away(why) => why,
            };
            if first.elapsed() > AWAY_AT_MOST {
                let why = format!("the API server was away for {AWAY_AT_MOST:?}: {why}");
                return (sent_again, lost, took, End::Failed(why));
            }
            sent_again += 1;
            until_ready(client).await;
        }
    }

    fn begin(&self, name: &'static str) {
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = phases.last_mut() {
            last.lasted = last.began.elapsed();
        }
        phases.push(Phase::new(name));
    }

    fn phase<T>(&self, read: impl Fn(&Phase) -> T) -> T {
        let phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        read(&phases[phases.len() - 1])
    }

    fn phase_number(&self) -> usize {
        let phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        phases.len() - 1
    }
}

impl Phase {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            began: Instant::now(),
            lasted: Duration::ZERO,
            admitted: 0,
            without: 0,
            sent_again: 0,
            lost: 0,
            slowest: Duration::ZERO,
            failures: Vec::new(),
        }
    }

    fn answered(&self) -> u32 {
        self.admitted + self.without + u32::try_from(self.failures.len()).unwrap_or(u32::MAX)
    }
}

fn judge(answer: kube::Result<kube::api::DynamicObject>) -> Outcome {
    match answer {
        Ok(pod) => match pod.annotations().get("keyporter.dev/injected") {
            Some(record) if record.contains(r#""secret":"token""#) => Outcome::Admitted,
            Some(record) => Outcome::Failed(format!("a pod without its secret: {record:?}")),
            None => Outcome::Without,
        },
        Err(kube::Error::Api(status)) => {
            // What the API server says when a webhook fails, and when it refuses.
            if status.message.contains("webhook") || status.code < 500 && !is_away(&status.message)
            {
                Outcome::Failed(format!("{} {}", status.code, status.message))
            } else {
                Outcome::Away(status.message.clone())
            }
        }
        // It was not there, or went away.
        Err(error) => Outcome::Away(error.to_string()),
    }
}

/// Nobody can answer for a process that is gone: its connections break, and until the kubelet has seen its end the API server
/// goes on picking its address. It does not try another one itself.
fn is_of_a_killed_replica(why: &str) -> bool {
    let ends = ["connection refused", "connection reset by peer", "EOF"];
    ends.iter().any(|end| why.ends_with(end))
}

/// What the API server answers with other numbers than 5xx while it starts or is busy.
fn is_away(message: &str) -> bool {
    [
        "not yet ready to handle request",
        "too many requests",
        "try again",
    ]
    .iter()
    .any(|words| message.to_lowercase().contains(words))
}

/// As a load balancer before the API server does: nothing is sent to one that does not say it is ready.
async fn until_ready(client: &Client) {
    let start = Instant::now();
    while start.elapsed() < AWAY_AT_MOST {
        sleep(Duration::from_millis(50)).await;
        if let Ok(request) = axum::http::Request::get("/readyz").body(Vec::new())
            && client.request_text(request).await.is_ok()
        {
            return;
        }
    }
}

fn table(phases: &[Phase]) -> Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "{:<22}{:>10}{:>12}{:>10}{:>10}{:>10}{:>12}{:>12}",
        "", "seconds", "admissions", "without", "failed", "lost", "sent again", "slowest ms"
    )?;
    for phase in phases {
        writeln!(
            text,
            "{:<22}{:>10.1}{:>12}{:>10}{:>10}{:>10}{:>12}{:>12}",
            phase.name,
            phase.lasted.as_secs_f64(),
            phase.answered(),
            phase.without,
            phase.failures.len(),
            phase.lost,
            phase.sent_again,
            phase.slowest.as_millis()
        )?;
    }
    let sum = |count: fn(&Phase) -> u32| phases.iter().map(count).sum::<u32>();
    let failed = phases
        .iter()
        .map(|phase| phase.failures.len())
        .sum::<usize>();
    writeln!(
        text,
        "{:<22}{:>10}{:>12}{:>10}{:>10}{:>10}{:>12}\n\
         without: without secrets, as keyporter is no more; lost: with a replica that was killed, and sent again; sent again: the API server itself was away",
        "all",
        "",
        sum(Phase::answered),
        sum(|phase| phase.without),
        failed,
        sum(|phase| phase.lost),
        sum(|phase| phase.sent_again)
    )?;
    Ok(text)
}
