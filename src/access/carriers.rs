//! Which live pods carry a secret? The API server is asked each time: an answer that is a moment old is worth nothing to
//! who deletes the secret now.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::Request;
use kube::{Client, Resource};

use super::{ANSWER_TIMEOUT, Access, AccessError};
use crate::inject::in_use::{Carrier, Page};

/// The pods that got anything from keyporter.
const LABELS: &str = "keyporter.dev/injected=true";
/// Those that are not finished. So of each only the metadata is needed, which has no phase.
const FIELDS: &str = "status.phase!=Succeeded,status.phase!=Failed";
/// How many pods come in one answer.
const PAGE: u32 = 500;

impl Access {
    /// The live pods of a namespace that carry the Secret `object`. Without a cluster there are none.
    pub async fn carriers(
        &self,
        namespace: &str,
        object: &str,
    ) -> Result<BTreeSet<Carrier>, AccessError> {
        let Some(asker) = &self.0 else {
            return Ok(BTreeSet::new());
        };
        let mut carriers = BTreeSet::new();
        let list = live_pods(&asker.client, Some(namespace), |page| {
            page.collect(object, &mut carriers);
        });
        let listed = tokio::time::timeout(ANSWER_TIMEOUT, list).await;
        listed.map_err(|_| AccessError::Slow)??;
        Ok(carriers)
    }
}

/// Lists the live pods that got anything from keyporter, in one namespace or in all, page by page.
pub async fn live_pods(
    client: &Client,
    namespace: Option<&str>,
    mut visit: impl FnMut(&Page<'_>),
) -> Result<(), AccessError> {
    let pods = Request::new(Pod::url_path(&(), namespace));
    let mut parameters = ListParams::default()
        .labels(LABELS)
        .fields(FIELDS)
        .limit(PAGE);
    loop {
        let request = pods
            .list_metadata(&parameters)
            .map_err(|error| unanswered(kube::Error::BuildRequest(error)))?;
        // As text, because kube logs the whole of an answer that it cannot read.
        let answer = client.request_text(request).await.map_err(unanswered)?;
        let page: Page<'_> = serde_json::from_str(&answer).map_err(|_| AccessError::Unreadable)?;
        visit(&page);
        match page.next() {
            Some(next) => parameters.continue_token = Some(next.to_owned()),
            None => return Ok(()),
        }
    }
}

fn unanswered(error: kube::Error) -> AccessError {
    AccessError::Unanswered(Box::new(error))
}
