//! Stores: what `${secrets.KEY}` means follows the Secrets of the namespace and the label of its domain.

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    canary,
    harness::{Cluster, Harness},
    project::{Project, wait_until},
    support::{Result, objects},
};

const GENERAL: &str = "iomete-secret-store";
const OF_FINANCE: &str = "iomete-secret-store-finance";
const NO_STORE: &str = "the namespace has no store";
const NO_KEY: &str = "there is no such key in iomete-secret-store";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("stores::references_follow_stores_and_domains", follows)]
}

async fn follows(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "stores").await?;
    let town = Town {
        secrets: Api::namespaced(project.admin.clone(), &project.name),
        namespaces: Api::all(project.admin.clone()),
        project,
    };
    town.refuses(NO_STORE).await?;
    town.store(GENERAL, json!({"OTHER": canary::ENCODED}))
        .await?;
    town.refuses(NO_KEY).await?;
    town.store(GENERAL, json!({"TOKEN": canary::ENCODED}))
        .await?;
    town.takes(GENERAL).await?;
    // The store of a domain is that of its namespaces alone.
    town.store(OF_FINANCE, json!({"TOKEN": canary::ENCODED}))
        .await?;
    town.domain(json!("sales")).await?;
    town.takes(GENERAL).await?;
    town.domain(json!("finance")).await?;
    town.takes(OF_FINANCE).await?;
    town.store(OF_FINANCE, json!({"TOKEN": null})).await?;
    town.takes(GENERAL).await?;
    town.store(OF_FINANCE, json!({"TOKEN": canary::ENCODED}))
        .await?;
    town.takes(OF_FINANCE).await?;
    town.domain(Value::Null).await?;
    town.takes(GENERAL).await?;
    town.secrets
        .delete(GENERAL, &DeleteParams::default())
        .await?;
    town.refuses(NO_STORE).await
}

struct Town {
    project: Project,
    secrets: Api<Secret>,
    namespaces: Api<Namespace>,
}

impl Town {
    async fn store(&self, name: &str, data: Value) -> Result<()> {
        if self.secrets.get_metadata_opt(name).await?.is_none() {
            let secret = json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"namespace": self.project.name, "name": name},
            });
            objects::create(&self.project.admin, secret).await?;
        }
        let patch = json!({ "data": data });
        self.secrets
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    async fn domain(&self, domain: Value) -> Result<()> {
        let patch = json!({"metadata": {"labels": {"keyporter.dev/domain": domain}}});
        self.namespaces
            .patch(
                &self.project.name,
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await?;
        Ok(())
    }

    /// The store from which a pod has its variable, or why it is refused.
    async fn answer(&self) -> Result<std::result::Result<String, String>> {
        let mut pod = self.project.pod("refers");
        pod["spec"]["containers"][0]["env"] =
            json!([{"name": "TOKEN", "value": "${secrets.TOKEN}"}]);
        match objects::dry_run(self.project.client("alice"), pod).await {
            Ok(pod) => {
                let pod = objects::as_pod(pod)?;
                let container = pod.spec.unwrap_or_default().containers.remove(0);
                let variables = container.env.unwrap_or_default().into_iter();
                let mut variables = variables.filter(|variable| variable.name == "TOKEN");
                let from = variables.next().and_then(|variable| variable.value_from);
                let key = from.and_then(|from| from.secret_key_ref);
                Ok(Ok(key.map(|key| key.name).unwrap_or_default()))
            }
            Err(kube::Error::Api(status)) => Ok(Err(status.message.clone())),
            Err(error) => Err(error.into()),
        }
    }

    async fn takes(&self, store: &str) -> Result<()> {
        wait_until(&format!("a pod to take it from {store}"), async || {
            Ok(self.answer().await? == Ok(store.to_owned()))
        })
        .await
    }

    async fn refuses(&self, sentence: &str) -> Result<()> {
        wait_until(&format!("a pod to be refused: {sentence}"), async || {
            let answer = self.answer().await?;
            Ok(answer.is_err_and(|told| told.contains(sentence)))
        })
        .await
    }
}
