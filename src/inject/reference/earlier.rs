//! What an earlier pass put in the place of references: they are gone then, and what the pod got must not be forgotten.

use std::collections::HashMap;

use serde::Deserialize;

use super::Source;
use super::rewrite::{Referral, Spot};
use crate::inject::place::containers;
use crate::inject::pod::{Spec, Text};
use crate::inject::select::Visible;

/// The variables of a pod that come from what its own record names. Whoever writes such a record themselves only says
/// what is true: the variables are there, and what is not in reach is not looked at.
pub(in crate::inject) fn earlier<'a>(
    spec: &'a Spec<'a>,
    record: &str,
    visible: Visible<'a>,
) -> Vec<Referral<'a>> {
    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(borrow)]
        secret: Text<'a>,
    }
    let Ok(entries) = serde_json::from_str::<Vec<Entry<'_>>>(record) else {
        return vec![];
    };
    let mut sources: HashMap<&str, Option<Source<'a>>> = entries
        .iter()
        .map(|entry| {
            let store = visible.stores.named(entry.secret.as_str());
            (entry.secret.as_str(), store.map(Source::Store))
        })
        .collect();
    for secret in visible.secrets() {
        if let Some(source) = sources.get_mut(&*secret.object) {
            *source = Some(Source::Secret(secret));
        }
    }
    let mut found = Vec::new();
    for (_, _, container) in containers(spec) {
        for variable in container.env.iter().flatten() {
            let reference = variable
                .value_from
                .as_ref()
                .and_then(|from| from.secret_key_ref.as_ref());
            let source = reference.and_then(|reference| *sources.get(reference.name.as_str())?);
            found.extend(source.map(|source| Referral {
                source,
                container: container.name.as_str(),
                spot: Spot::Variable(variable.name.as_str()),
            }));
        }
    }
    found
}
