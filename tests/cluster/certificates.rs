//! Certificates that keyporter keeps itself: from nothing, through rotations, and against what others do to them.

use std::time::Duration;

use data_encoding::BASE64;
use futures::future::try_join_all;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use libtest_mimic::Trial;
use serde_json::json;
use tokio::time::{Instant, interval};

use crate::{
    harness::{Cluster, Harness, WEBHOOK_LABEL},
    https,
    project::{Project, wait_until},
    support::{
        Result,
        keyporter::{self, Keyporter, allow_own},
        objects, wait_for,
    },
};

const SECRET: &str = "keyporter-ca";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    let from_nothing = |name: &'static str| {
        let trial = format!("certificates::three_start_from_nothing::{name}");
        harness.trial(&trial, async move |cluster: &Cluster| {
            from_nothing(cluster, &format!("certificates-{name}")).await
        })
    };
    // Twenty times together: a trial has two minutes.
    let mut trials = ["spring", "summer", "autumn", "winter"]
        .map(from_nothing)
        .into_iter()
        .collect::<Vec<_>>();
    trials.extend([
        harness.trial("certificates::rotations_are_noticed_by_nobody", rotation),
        harness.trial("certificates::meddling_is_mended", meddling),
        harness.trial("certificates::missing_rights_are_named", without_rights),
    ]);
    trials
}

/// Replicas with rights, a namespace and configurations of their own. Each replica has a configuration that calls it alone.
struct Installation {
    name: String,
    admin: Client,
    projects: Vec<Project>,
    replicas: Vec<Keyporter>,
}

impl Installation {
    /// Registered, with namespaces in which pods need the webhook; nothing runs yet.
    async fn new(cluster: &Cluster, name: &str, count: usize, flags: &[&str]) -> Result<Self> {
        let admin = cluster.admin();
        let user = format!("system:serviceaccount:{name}:keyporter");
        let names: Vec<_> = (0..count)
            .map(|number| format!("{name}-{number}"))
            .collect();
        allow_own(cluster, name, &user).await?;
        keyporter::allow(cluster, name, &user, |role| {
            for rule in role["rules"].as_array_mut().into_iter().flatten() {
                if rule["apiGroups"] == json!(["admissionregistration.k8s.io"]) {
                    rule["resourceNames"] = json!(names);
                }
            }
        })
        .await?;
        let binary = env!("CARGO_BIN_EXE_keyporter");
        let flags = [flags, &["--own-namespace", name]].concat();
        let mut installation = Self {
            name: name.to_owned(),
            admin,
            projects: Vec::new(),
            replicas: Vec::new(),
        };
        for own in &names {
            let labels = json!({"keyporter.dev/inject": "enabled", WEBHOOK_LABEL: own});
            let project = Project::without_webhook(cluster, own, labels).await?;
            installation.projects.push(project);
            let replica =
                Keyporter::self_managed(cluster, binary.as_ref(), own, &user, &names, &flags)?;
            let requirement = json!({"key": WEBHOOK_LABEL, "operator": "In", "values": [own]});
            replica
                .register(&installation.admin, own, Some(requirement))
                .await?;
            installation.replicas.push(replica);
        }
        Ok(installation)
    }

    /// As a pod of alice's is made where this replica is called.
    async fn call(&self, replica: usize) -> Result<()> {
        let project = &self.projects[replica];
        objects::dry_run(project.client("alice"), project.pod("probe")).await?;
        Ok(())
    }

    /// A new connection by who trusts what the replica's configurations say.
    async fn connect(&self, number: usize, replica: &Keyporter) -> Result<()> {
        loop {
            let bundles = self.bundles(number).await?;
            let bundle = bundles.first().ok_or("no webhook")?;
            let client = https::Client::new(bundle);
            let Err(error) = client.handshake(&replica.address()).await else {
                return Ok(());
            };
            // On a busy machine the bundle may be an old one by now.
            if self.bundles(number).await? == bundles {
                return Err(format!("replica {number}: {error}\n{}", replica.log()).into());
            }
        }
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.admin.clone(), &self.name)
    }

    /// The certificate of the CA in the Secret, if there is one.
    async fn authority(&self) -> Result<Option<String>> {
        let secret = self.secrets().get_opt(SECRET).await?;
        let data = secret.and_then(|secret| secret.data?.remove("ca.crt"));
        Ok(data.map(|it| String::from_utf8(it.0)).transpose()?)
    }

    /// What each webhook trusts, those of one replica's configurations.
    async fn bundles(&self, replica: usize) -> Result<Vec<String>> {
        let name = &self.projects[replica].name;
        let mutating: Api<MutatingWebhookConfiguration> = Api::all(self.admin.clone());
        let validating: Api<ValidatingWebhookConfiguration> = Api::all(self.admin.clone());
        let mutating = mutating.get(name).await?.webhooks.unwrap_or_default();
        let validating = validating.get(name).await?.webhooks.unwrap_or_default();
        let mutating = mutating.into_iter().map(|it| it.client_config.ca_bundle);
        let validating = validating.into_iter().map(|it| it.client_config.ca_bundle);
        let bundles = mutating.chain(validating).map(Option::unwrap_or_default);
        let texts = bundles.map(|ByteString(bytes)| String::from_utf8(bytes));
        Ok(texts.collect::<std::result::Result<_, _>>()?)
    }

    /// Writes this into every bundle of a replica's configurations, as somebody else would.
    async fn overwrite(&self, replica: usize, bundle: &str) -> Result<()> {
        let name = &self.projects[replica].name;
        let mutating: Api<MutatingWebhookConfiguration> = Api::all(self.admin.clone());
        let validating: Api<ValidatingWebhookConfiguration> = Api::all(self.admin.clone());
        let patch = |count: usize| {
            let operation = |place| {
                json!({
                    "op": "add",
                    "path": format!("/webhooks/{place}/clientConfig/caBundle"),
                    "value": BASE64.encode(bundle.as_bytes()),
                })
            };
            let operations: Vec<_> = (0..count).map(operation).collect();
            serde_json::from_value(json!(operations)).map(Patch::<()>::Json)
        };
        let parameters = PatchParams::default();
        let count = mutating
            .get(name)
            .await?
            .webhooks
            .map_or(0, |all| all.len());
        mutating.patch(name, &parameters, &patch(count)?).await?;
        let count = validating
            .get(name)
            .await?
            .webhooks
            .map_or(0, |all| all.len());
        validating.patch(name, &parameters, &patch(count)?).await?;
        Ok(())
    }
}

/// From the first moment on in which a replica is ready, no call of it fails.
async fn ready_and_called(
    installation: &Installation,
    number: usize,
    replica: &mut Keyporter,
) -> Result<()> {
    const CALLS: usize = 5;
    replica.wait_until_ready().await?;
    for _ in 0..CALLS {
        let called = installation.call(number).await;
        called.map_err(|error| format!("replica {number}: {error}"))?;
    }
    Ok(())
}

/// Also with a required webhook of which no replica is left: none stands in its own way.
async fn from_nothing(cluster: &Cluster, name: &str) -> Result<()> {
    const ROUNDS: usize = 5;
    let mut installation = Installation::new(cluster, name, 3, &[]).await?;
    for round in 0..ROUNDS {
        installation
            .replicas
            .iter_mut()
            .try_for_each(Keyporter::launch)?;
        let mut replicas = std::mem::take(&mut installation.replicas);
        let begun = replicas
            .iter_mut()
            .enumerate()
            .map(|(number, replica)| ready_and_called(&installation, number, replica));
        let begun = try_join_all(begun).await;
        begun.map_err(|error| format!("round {round}: {error}"))?;
        let authority = installation.authority().await?.ok_or("there is no CA")?;
        for number in 0..replicas.len() {
            for bundle in installation.bundles(number).await? {
                assert_eq!(bundle, authority, "round {round}, {number}");
            }
        }
        let made = "a new CA is in Secret";
        let logs = replicas.iter().map(Keyporter::log);
        let made = logs.map(|log| log.matches(made).count()).sum::<usize>();
        assert_eq!(made, round + 1, "one makes the CA, the others adopt it");

        replicas.iter_mut().for_each(Keyporter::kill);
        installation.replicas = replicas;
        let parameters = DeleteParams::default();
        installation.secrets().delete(SECRET, &parameters).await?;
        for number in 0..installation.replicas.len() {
            installation.overwrite(number, "").await?;
            installation.call(number).await.unwrap_err();
        }
    }
    Ok(())
}

/// A pod every 50 ms, as by a busy cluster; and a new connection to each replica by who trusts what its configurations say,
/// as the API server makes one whenever they change.
async fn rotation(cluster: &Cluster) -> Result<()> {
    const CALL_EVERY: Duration = Duration::from_millis(50);
    // A certificate lasts 12 s then, a CA is followed after 40 s.
    let flags = ["--ca-seconds", "60"];
    let mut installation = Installation::new(cluster, "certificates-rotation", 2, &flags).await?;
    installation
        .replicas
        .iter_mut()
        .try_for_each(Keyporter::launch)?;
    let mut replicas = std::mem::take(&mut installation.replicas);
    for replica in &mut replicas {
        replica.wait_until_ready().await?;
    }

    let mut calls = 0;
    let mut authorities = Vec::new();
    let mut deleted = false;
    let mut ticks = interval(CALL_EVERY);
    let deadline = Instant::now() + Duration::from_secs(100);
    loop {
        ticks.tick().await;
        for (number, replica) in replicas.iter().enumerate() {
            let called = installation.call(number).await;
            called.map_err(|error| format!("after {calls} calls: {error}\n{}", replica.log()))?;
            installation.connect(number, replica).await?;
            calls += 1;
        }
        if let Some(authority) = installation.authority().await?
            && !authorities.contains(&authority)
        {
            authorities.push(authority);
        }
        // The first rotation is by force, the second by time.
        if authorities.len() == 1 && !deleted && calls >= 20 {
            let parameters = DeleteParams::default();
            installation.secrets().delete(SECRET, &parameters).await?;
            deleted = true;
        }
        // In the end only the last is left, everywhere.
        let newest = authorities.last().filter(|_| authorities.len() == 3);
        if let Some(newest) = newest {
            let bundles =
                try_join_all((0..replicas.len()).map(|it| installation.bundles(it))).await?;
            if bundles.iter().flatten().all(|bundle| bundle == newest) {
                break;
            }
        }
        if Instant::now() > deadline {
            let logs: String = replicas.iter().map(Keyporter::log).collect();
            return Err(format!("{} CAs after {calls} calls\n{logs}", authorities.len()).into());
        }
    }
    println!("{calls} calls through two rotations, none failed");
    Ok(())
}

/// One that others meddle with.
async fn meddling(cluster: &Cluster) -> Result<()> {
    const CANARY: &str = "hunter2-canary";
    let name = "certificates-meddling";
    let mut installation = Installation::new(cluster, name, 1, &[]).await?;
    let mut keyporter = installation.replicas.pop().ok_or("no replica")?;
    keyporter.start_again().await?;
    let authority = installation.authority().await?.ok_or("there is no CA")?;
    let mended = async || {
        wait_until("the bundle to be mended", async || {
            let bundles = installation.bundles(0).await?;
            Ok(bundles.iter().all(|bundle| *bundle == authority))
        })
        .await?;
        wait_until("calls to go", async || {
            Ok(installation.call(0).await.is_ok())
        })
        .await
    };

    // By nothing, and by something that is no certificate, which the API server takes.
    for bundle in ["", "not PEM"] {
        installation.overwrite(0, bundle).await?;
        mended().await?;
    }
    // Who has just come from certificates of another CA may have replicas with these.
    let stranger = cluster.authority().certificate();
    installation.overwrite(0, &stranger).await?;
    wait_until("the CA to stand beside another", async || {
        let bundles = installation.bundles(0).await?;
        Ok(bundles
            .iter()
            .all(|bundle| *bundle == format!("{authority}{stranger}")))
    })
    .await?;
    installation.overwrite(0, "").await?;
    mended().await?;

    let garbage = json!({"data": {"ca.key": BASE64.encode(CANARY.as_bytes())}});
    let secrets = installation.secrets();
    let parameters = PatchParams::default();
    secrets
        .patch(SECRET, &parameters, &Patch::Merge(&garbage))
        .await?;
    let complaint = format!(
        "Secret {name}/{SECRET}: ca.key is no private key in PEM form (PKCS#8); delete the Secret, and keyporter makes \
         another CA"
    );
    wait_until_patiently("the garbage to be noticed", async || {
        Ok(keyporter.log().contains(&complaint))
    })
    .await?;
    // The last good ones stay, and are looked after.
    assert!(keyporter.readiness()?.starts_with("HTTP/1.1 200"));
    installation.overwrite(0, "").await?;
    mended().await?;

    // Who starts now has none, and says why.
    keyporter.kill();
    keyporter.launch()?;
    wait_until("the reason to be told", async || {
        let readiness = keyporter.readiness().unwrap_or_default();
        Ok(readiness.starts_with("HTTP/1.1 503") && readiness.contains(&complaint))
    })
    .await?;
    secrets.delete(SECRET, &DeleteParams::default()).await?;
    keyporter.wait_until_ready().await?;
    let other = installation.authority().await?.ok_or("there is no CA")?;
    assert_ne!(other, authority);
    // What was shown until just now is trusted for another week.
    for bundle in installation.bundles(0).await? {
        assert_eq!(bundle, format!("{other}{authority}"));
    }
    installation.call(0).await?;

    // Who does it again and again is named, and mended all the same.
    let fight = "was written 10 times within a minute; does something else";
    wait_until_patiently("the fight to be noticed", async || {
        installation.overwrite(0, "").await?;
        wait_until("calls to go", async || {
            Ok(installation.call(0).await.is_ok())
        })
        .await?;
        Ok(keyporter.log().contains(fight))
    })
    .await?;
    assert!(!keyporter.log().contains(CANARY), "a value is in the log");
    Ok(())
}

/// Without rights nothing is broken, and the way out is said.
async fn without_rights(cluster: &Cluster) -> Result<()> {
    let name = "certificates-without-rights";
    let mut installation = Installation::new(cluster, name, 1, &[]).await?;
    let mut keyporter = installation.replicas.pop().ok_or("no replica")?;
    let roles: Api<ClusterRole> = Api::all(installation.admin.clone());
    let role = roles.get(name).await?;
    let mut less = role.clone();
    less.metadata.managed_fields = None;
    let is_other = |rule: &PolicyRule| rule.resource_names.is_none();
    less.rules.get_or_insert_default().retain(is_other);
    roles.replace(name, &PostParams::default(), &less).await?;
    keyporter.launch()?;
    wait_until("the reason to be told", async || {
        let readiness = keyporter.readiness().unwrap_or_default();
        Ok(
            readiness.contains("deploy/examples/rbac.yaml has the rights that it takes")
                && readiness.contains("Configuration certificates-without-rights-0"),
        )
    })
    .await?;
    let mut again = roles.get(name).await?;
    again.rules = role.rules;
    roles.replace(name, &PostParams::default(), &again).await?;
    keyporter.wait_until_ready().await?;
    installation.call(0).await
}

/// A Secret without a sign of change is read every half minute.
async fn wait_until_patiently(what: &str, done: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let probe = async || Ok(done().await?.then_some(()));
    wait_for(what, Duration::from_mins(1), probe).await
}
