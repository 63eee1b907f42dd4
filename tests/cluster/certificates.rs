//! Certificates that keyporter keeps itself: from nothing, through rotations, and against what others do to them.

use data_encoding::BASE64;
use futures::future::try_join_all;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    harness::{Cluster, Harness, WEBHOOK_LABEL},
    project::Project,
    support::{
        Result,
        keyporter::{self, Keyporter, allow_own},
        objects,
    },
};

const SECRET: &str = "keyporter-ca";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    let from_nothing = |name: &'static str| {
        let trial = format!("certificates::three_start_from_nothing_in_{name}");
        harness.trial(&trial, async move |cluster: &Cluster| {
            from_nothing(cluster, name).await
        })
    };
    vec![
        // Twenty times: a trial has two minutes.
        from_nothing("certificates-first"),
        from_nothing("certificates-second"),
    ]
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
        mutating.patch(name, &parameters, &patch(2)?).await?;
        validating.patch(name, &parameters, &patch(1)?).await?;
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
async fn from_nothing(cluster: &Cluster, name: &'static str) -> Result<()> {
    const ROUNDS: usize = 10;
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
