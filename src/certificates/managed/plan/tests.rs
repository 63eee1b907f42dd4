use proptest::prelude::*;
use time::macros::datetime;

use super::*;

const START: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

fn made(number: u32, at: OffsetDateTime, lifetimes: Lifetimes) -> Certificate {
    Certificate {
        der: number.to_be_bytes().to_vec().into(),
        made: at,
        not_after: at + lifetimes.authority,
    }
}

fn trusting(certificates: &[Certificate]) -> Bundle {
    Bundle {
        certificates: certificates.to_vec(),
        garbage: false,
    }
}

/// One replica's sight of things at one time.
struct Scene {
    now: OffsetDateTime,
    authorities: Vec<Certificate>,
    is_fresh: bool,
    bundles: Option<Vec<Bundle>>,
    serving: Option<Serving>,
    sightings: Sightings,
    uptime: Duration,
}

impl Scene {
    /// A CA of this age that everybody has trusted for a long time, and that nobody serves.
    fn new(age: Duration) -> Self {
        let authority = made(1, START - age, Lifetimes::default());
        let mut scene = Self {
            now: START,
            bundles: Some(vec![trusting(std::slice::from_ref(&authority)); 2]),
            authorities: vec![authority],
            is_fresh: true,
            serving: None,
            sightings: Sightings::default(),
            uptime: Duration::ZERO,
        };
        scene.see();
        scene.uptime = 24 * HOUR;
        scene
    }

    fn see(&mut self) {
        let bundles = self.bundles.clone().unwrap_or_default();
        self.sightings
            .note(&bundles, &self.authorities, self.uptime);
    }

    fn serving(mut self, remaining: Duration) -> Self {
        self.serving = Some(Serving {
            authority: self.authorities[0].clone(),
            not_after: START + remaining,
        });
        self
    }

    /// A CA follows that was made a while ago, and is in the bundles if that is `published`.
    fn followed(mut self, ago: Duration, published: bool) -> Self {
        let next = made(2, START - ago, Lifetimes::default());
        self.authorities.insert(0, next.clone());
        if published {
            for bundle in self.bundles.iter_mut().flatten() {
                bundle.certificates.push(next.clone());
            }
            self.uptime -= ago;
            self.see();
            self.uptime += ago;
        }
        self
    }

    fn plan(&self) -> Plan {
        let facts = Facts {
            now: self.now,
            authorities: &self.authorities,
            is_fresh: self.is_fresh,
            bundles: self.bundles.as_deref(),
            are_seen: self.bundles.is_some(),
            serving: self.serving.as_ref(),
            sightings: &self.sightings,
            uptime: self.uptime,
        };
        facts.plan(Lifetimes::default())
    }
}

const WEEK: Duration = Duration::from_hours(7 * 24);

#[test]
fn nothing_at_all_takes_a_ca() {
    let mut scene = Scene::new(HOUR);
    scene.authorities.clear();
    scene.bundles = Some(vec![Bundle::default()]);
    let plan = scene.plan();
    assert_eq!((plan.store, plan.sign), (Some(Store::Make), None));
    assert_eq!((plan.publish, plan.standing), (vec![], Standing::None));
    scene.is_fresh = false;
    assert_eq!(
        scene.plan(),
        Plan::default(),
        "a Secret that was not read is not written"
    );
}

#[test]
fn a_ca_is_published_before_it_serves() {
    let mut scene = Scene::new(HOUR);
    scene.bundles = Some(vec![trusting(&scene.authorities), Bundle::default()]);
    let plan = scene.plan();
    assert_eq!(plan.publish, [(1, scene.authorities.clone())]);
    assert_eq!((plan.sign, plan.standing), (None, Standing::None));
    scene.bundles = None;
    assert_eq!(scene.plan(), Plan::default());
}

#[test]
fn the_first_certificate_waits_until_the_api_server_knows_its_ca() {
    let mut scene = Scene::new(HOUR);
    scene.uptime = Duration::from_secs(1);
    let plan = scene.plan();
    assert_eq!(
        (plan.sign, plan.again),
        (None, Some(Duration::from_secs(1)))
    );
    scene.uptime = Duration::from_secs(2);
    let plan = scene.plan();
    assert_eq!(plan.sign.as_ref(), Some(&scene.authorities[0]));
    assert_eq!(plan.standing, Standing::Good);
}

#[test]
fn without_a_configuration_nobody_can_be_refused() {
    let mut scene = Scene::new(HOUR);
    scene.bundles = Some(Vec::new());
    scene.uptime = Duration::ZERO;
    scene.sightings = Sightings::default();
    scene.see();
    scene.uptime = MINUTE;
    assert_eq!(scene.plan().sign.as_ref(), Some(&scene.authorities[0]));
}

#[test]
fn what_lasts_is_left_alone() {
    assert_eq!(
        Scene::new(100 * 24 * HOUR).serving(WEEK * 3 / 4).plan(),
        Plan {
            standing: Standing::Good,
            ..Plan::default()
        }
    );
}

#[test]
fn a_certificate_is_renewed_early_also_from_memory() {
    let mut scene = Scene::new(HOUR).serving(WEEK * 3 / 5);
    let own = scene.authorities[0].clone();
    assert_eq!(scene.plan().sign.as_ref(), Some(&own));
    scene.is_fresh = false;
    scene.authorities.clear();
    scene.bundles = None;
    assert_eq!(scene.plan().sign.as_ref(), Some(&own));
}

#[test]
fn a_ca_is_followed_when_a_third_is_left() {
    let year = Lifetimes::default().authority;
    let store = |age| Scene::new(age).serving(WEEK).plan().store;
    assert_eq!(store(year * 13 / 20), None);
    assert_eq!(store(year * 14 / 20), Some(Store::Make));
    let mut scene = Scene::new(year * 14 / 20);
    scene.bundles = Some(vec![Bundle::default()]);
    assert_eq!(
        scene.plan().store,
        None,
        "another would push out the one that serves"
    );
    scene.now += year;
    assert_eq!(
        scene.plan().store,
        Some(Store::Make),
        "what has expired serves nobody"
    );
}

#[test]
fn the_next_ca_serves_once_it_was_seen_for_a_minute() {
    let after = |ago, published| {
        let scene = Scene::new(10 * WEEK).serving(WEEK).followed(ago, published);
        let plan = scene.plan();
        (plan.sign, plan.publish.len(), plan.standing)
    };
    let next = made(2, START - MINUTE, Lifetimes::default());
    assert_eq!(after(MINUTE, false), (None, 2, Standing::Good));
    assert_eq!(after(MINUTE / 2, true), (None, 0, Standing::Good));
    assert_eq!(after(MINUTE, true), (Some(next), 0, Standing::Good));
}

#[test]
fn a_certificate_that_nobody_trusts_is_left_at_once() {
    let mut scene = Scene::new(10 * WEEK)
        .serving(WEEK)
        .followed(Duration::from_secs(1), true);
    let next = scene.authorities[0].clone();
    scene.bundles = Some(vec![trusting(std::slice::from_ref(&next))]);
    let plan = scene.plan();
    assert_eq!(plan.sign, Some(next));
    assert_eq!(plan.publish, [(0, scene.authorities.clone())]);
}

#[test]
fn the_ca_before_goes_after_a_week() {
    let plan = |ago| {
        let mut scene = Scene::new(20 * WEEK).followed(ago, true);
        scene.serving = Some(Serving {
            authority: scene.authorities[0].clone(),
            not_after: START + WEEK,
        });
        scene.plan()
    };
    assert_eq!(plan(23 * HOUR).store, None);
    let mut scene = Scene::new(20 * WEEK).followed(23 * HOUR, true);
    scene.authorities[0].made -= WEEK;
    let old = scene.authorities[0].clone();
    for bundle in scene.bundles.iter_mut().flatten() {
        bundle.certificates[1] = old.clone();
    }
    scene.uptime = Duration::ZERO;
    scene.sightings = Sightings::default();
    scene.see();
    assert_eq!(
        scene.plan().store,
        None,
        "seen only now: others may not have changed"
    );
    scene.uptime = HOUR;
    assert_eq!(scene.plan().store, Some(Store::Forget));
    scene.authorities.pop();
    let plan = scene.plan();
    assert_eq!(plan.publish, [(0, vec![old.clone()]), (1, vec![old])]);
}

#[test]
fn a_deleted_secret_takes_nothing_out_of_the_bundles() {
    let mut scene = Scene::new(20 * WEEK).serving(WEEK);
    let before = scene.authorities[0].clone();
    let next = made(2, START, Lifetimes::default());
    scene.authorities = vec![next.clone()];
    let plan = scene.plan();
    assert_eq!(plan.publish[0].1, [next, before]);
    assert_eq!((plan.sign, plan.standing), (None, Standing::Good));
}

#[test]
fn what_others_write_is_mended() {
    let mut scene = Scene::new(20 * WEEK).serving(WEEK);
    let stranger = made(9, START - 2 * WEEK, Lifetimes::default());
    let own = scene.authorities.clone();
    scene.bundles = Some(vec![
        trusting(&[]),
        trusting(std::slice::from_ref(&stranger)),
        Bundle {
            garbage: true,
            ..trusting(&own)
        },
        trusting(&own),
    ]);
    let plan = scene.plan();
    let with_stranger = vec![own[0].clone(), stranger];
    // Who trusts a stranger is served by ours first, and told to forget the stranger then.
    assert_eq!(
        plan.publish,
        [(0, own.clone()), (1, with_stranger), (2, own)]
    );
    assert_eq!(plan.standing, Standing::Distrusted);
}

/// A cluster with replicas that read, plan and write in any order.
#[derive(Debug)]
struct World {
    now: OffsetDateTime,
    lifetimes: Lifetimes,
    number: u32,
    version: u64,
    secret: (u64, Option<Vec<Certificate>>),
    /// Configurations with two webhooks each.
    configurations: Vec<(u64, Vec<Bundle>)>,
    replicas: Vec<Replica>,
    /// Somebody else wrote a bundle, and nobody has mended it yet.
    is_disturbed: bool,
}

#[derive(Debug, Default)]
struct Replica {
    /// How much its clock is ahead, in seconds.
    ahead: i64,
    started: Option<OffsetDateTime>,
    /// How many rounds it sees nothing of the cluster.
    cut_off: u32,
    authorities: Vec<Certificate>,
    secret_version: Option<u64>,
    bundles: Option<Vec<Bundle>>,
    versions: Vec<u64>,
    serving: Option<Serving>,
    sightings: Sightings,
}

#[derive(Clone, Debug)]
enum Event {
    Minutes(u64),
    Hours(u64),
    Read(usize),
    Act(usize),
    /// A look that fails at the Secret.
    ReadConfigurations(usize),
    Restart(usize),
    CutOff(usize, u32),
    DeleteSecret,
    Overwrite(usize, bool),
}

const REPLICAS: usize = 3;

fn event() -> impl Strategy<Value = Event> {
    let replica = 0..REPLICAS;
    prop_oneof![
        4 => (1..30_u64).prop_map(Event::Minutes),
        2 => (1..24_u64).prop_map(Event::Hours),
        6 => replica.clone().prop_map(Event::Read),
        6 => replica.clone().prop_map(Event::Act),
        1 => replica.clone().prop_map(Event::ReadConfigurations),
        1 => replica.clone().prop_map(Event::Restart),
        1 => (replica, 1..12_u32).prop_map(|(replica, rounds)| Event::CutOff(replica, rounds)),
        1 => Just(Event::DeleteSecret),
        1 => (0..2_usize, any::<bool>()).prop_map(|(place, garbage)| Event::Overwrite(place, garbage)),
    ]
}

impl World {
    fn new(ahead: [i64; REPLICAS]) -> Self {
        Self {
            now: START,
            lifetimes: Lifetimes {
                authority: 5 * 24 * HOUR,
                leaf: 12 * HOUR,
            },
            number: 0,
            version: 1,
            secret: (0, None),
            configurations: vec![(0, vec![Bundle::default(); 2]); 2],
            replicas: ahead
                .map(|ahead| Replica {
                    ahead,
                    started: Some(START),
                    ..Replica::default()
                })
                .into(),
            is_disturbed: false,
        }
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Minutes(minutes) => self.pass(MINUTE * u32::try_from(minutes).unwrap()),
            Event::Hours(hours) => (0..hours * 4).for_each(|_| self.pass(15 * MINUTE)),
            Event::Read(replica) => self.read(replica, true),
            Event::Act(replica) => {
                self.act(replica);
            }
            Event::ReadConfigurations(replica) => self.read(replica, false),
            Event::Restart(replica) => {
                self.replicas[replica] = Replica {
                    ahead: self.replicas[replica].ahead,
                    started: Some(self.now),
                    ..Replica::default()
                }
            }
            Event::CutOff(replica, rounds) => {
                if self.replicas.iter().all(|replica| replica.cut_off == 0) {
                    self.replicas[replica].cut_off = rounds;
                }
            }
            Event::DeleteSecret => self.secret = (self.next_version(), None),
            Event::Overwrite(place, garbage) => {
                let version = self.next_version();
                let bundle = Bundle {
                    certificates: Vec::new(),
                    garbage,
                };
                self.configurations[place] = (version, vec![bundle, Bundle::default()]);
                self.is_disturbed = true;
            }
        }
        self.check();
    }

    /// Time goes by, and each replica that can looks and acts.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        for replica in 0..REPLICAS {
            if self.replicas[replica].cut_off > 0 {
                self.replicas[replica].secret_version = None;
                self.act(replica);
                self.replicas[replica].cut_off -= 1;
            } else {
                self.settle(replica);
            }
            self.check();
        }
    }

    /// Looks and acts until nothing is to be done.
    fn settle(&mut self, replica: usize) {
        for _ in 0..10 {
            self.read(replica, true);
            let is_at_rest = !self.act(replica);
            self.check();
            if is_at_rest {
                return;
            }
        }
        panic!("replica {replica} does not come to rest: {self:#?}");
    }

    fn read(&mut self, number: usize, secret: bool) {
        let replica = &mut self.replicas[number];
        replica.secret_version = None;
        if secret {
            let (version, authorities) = &self.secret;
            replica.authorities = authorities.clone().unwrap_or_default();
            replica.secret_version = Some(*version);
        }
        let bundles: Vec<_> = self
            .configurations
            .iter()
            .flat_map(|(_, it)| it.clone())
            .collect();
        replica.versions = self
            .configurations
            .iter()
            .map(|(version, _)| *version)
            .collect();
        let known: Vec<_> = replica.authorities.clone();
        let uptime = uptime(replica, self.now);
        replica.sightings.note(&bundles, &known, uptime);
        replica.bundles = Some(bundles);
    }

    /// Whether there was something to write.
    fn act(&mut self, number: usize) -> bool {
        let replica = &self.replicas[number];
        let now = self.now + time::Duration::seconds(replica.ahead);
        let facts = Facts {
            now,
            authorities: &replica.authorities,
            is_fresh: replica.secret_version.is_some(),
            bundles: replica.bundles.as_deref(),
            are_seen: replica.cut_off == 0,
            serving: replica.serving.as_ref(),
            sightings: &replica.sightings,
            uptime: uptime(replica, self.now),
        };
        let plan = facts.plan(self.lifetimes);
        if let Some(authority) = &plan.sign {
            let is_renewal = replica
                .serving
                .as_ref()
                .is_some_and(|it| it.authority == *authority);
            assert!(
                is_renewal || facts.trusts(authority),
                "a certificate of a CA that was not seen: {self:#?}"
            );
            let not_after = facts.end_of_leaf(authority, self.lifetimes);
            self.replicas[number].serving = Some(Serving {
                authority: authority.clone(),
                not_after,
            });
        }
        let replica = &self.replicas[number];
        let authorities = replica.authorities.clone();
        if let (Some(store), Some(version)) = (plan.store, replica.secret_version)
            && version == self.secret.0
        {
            self.secret = (
                self.next_version(),
                Some(self.stored(store, &authorities, now)),
            );
        }
        if self.replicas[number].cut_off == 0 {
            let versions = self.replicas[number].versions.clone();
            for (place, version) in versions.into_iter().enumerate() {
                let of_place = |it: &&(usize, Vec<Certificate>)| it.0 / 2 == place;
                let changes: Vec<_> = plan.publish.iter().filter(of_place).collect();
                if !changes.is_empty() && version == self.configurations[place].0 {
                    self.configurations[place].0 = self.next_version();
                    for (bundle, certificates) in changes {
                        self.configurations[place].1[bundle % 2] = trusting(certificates);
                    }
                }
            }
        }
        plan.store.is_some() || !plan.publish.is_empty()
    }

    fn stored(
        &mut self,
        store: Store,
        before: &[Certificate],
        now: OffsetDateTime,
    ) -> Vec<Certificate> {
        let current = before.first().cloned().into_iter();
        match store {
            Store::Forget => current.collect(),
            Store::Make => {
                self.number += 1;
                let next = made(self.number, now, self.lifetimes);
                std::iter::once(next).chain(current).collect()
            }
        }
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn is_trusted(&self, authority: &Certificate) -> bool {
        let mut bundles = self.configurations.iter().flat_map(|(_, bundles)| bundles);
        bundles.all(|bundle| bundle.has(authority))
    }

    /// No call fails: what is shown is valid, and everybody trusts it.
    fn check(&mut self) {
        let shown: Vec<_> = self
            .replicas
            .iter()
            .filter_map(|it| it.serving.clone())
            .collect();
        let is_trusted = shown.iter().all(|shown| self.is_trusted(&shown.authority));
        assert!(is_trusted || self.is_disturbed, "a call fails: {self:#?}");
        self.is_disturbed &= !is_trusted;
        for shown in shown {
            assert!(self.now < shown.not_after, "expired: {self:#?}");
        }
    }

    /// In the end all show certificates of the Secret's CA, and nothing else is trusted.
    fn check_rest(&mut self) {
        let current = self.secret.1.clone().unwrap();
        for replica in &self.replicas {
            let shown = replica.serving.as_ref().unwrap();
            assert!(current.contains(&shown.authority), "{self:#?}");
        }
        for bundle in self.configurations.iter().flat_map(|(_, bundles)| bundles) {
            assert_eq!(bundle.certificates.len(), current.len(), "{self:#?}");
            assert!(current.iter().all(|it| bundle.has(it)), "{self:#?}");
        }
    }
}

fn uptime(replica: &Replica, now: OffsetDateTime) -> Duration {
    (now - replica.started.unwrap()).unsigned_abs()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

    #[test]
    fn no_call_fails_whatever_happens(
        ahead in prop::array::uniform3(-1200..1200_i64),
        events in prop::collection::vec(event(), 1..100),
    ) {
        let mut world = World::new(ahead);
        for event in &events {
            world.happen(event);
        }
        world.happen(&Event::Hours(30));
        world.check_rest();
    }
}

/// Several rotations, of which nobody notices anything.
#[test]
fn a_month_goes_by() {
    let mut world = World::new([0, 600, -600]);
    world.happen(&Event::Hours(30 * 24));
    assert!(world.number >= 8, "{}", world.number);
    world.check_rest();
}
