//! The uids of namespaces, followed by a watch. A proof is for one namespace: one that is deleted and made again is
//! another.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client};
use tracing::{info, warn};

use super::{OwnershipError, in_time};

type Ids = HashMap<String, Arc<str>>;

pub(super) struct Namespaces {
    namespaces: Api<PartialObjectMeta<Namespace>>,
    ids: RwLock<Ids>,
}

impl Namespaces {
    pub(super) fn new(client: Client) -> Self {
        Self {
            namespaces: Api::all(client),
            ids: RwLock::default(),
        }
    }

    /// The uid of a namespace. Only one of which the watch has not told yet is asked for.
    pub(super) async fn id(&self, name: &str) -> Result<Arc<str>, OwnershipError> {
        if let Some(id) = self.read().get(name) {
            return Ok(Arc::clone(id));
        }
        let unknown = || OwnershipError::UnknownNamespace(name.to_owned());
        let namespace = in_time(Box::pin(self.namespaces.get_opt(name))).await?;
        let (_, id) = namespace.and_then(entry).ok_or_else(unknown)?;
        Ok(id)
    }

    pub(super) async fn watch(&self) {
        let events = watcher(self.namespaces.clone(), Config::default());
        let mut events = pin!(events.default_backoff());
        let mut list = Ids::default();
        let mut complained = false;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    self.take(event, &mut list);
                    if std::mem::take(&mut complained) {
                        info!("the watch of namespaces works again");
                    }
                }
                Err(_) if complained => {}
                Err(error) => {
                    complained = true;
                    warn!(%error, "namespaces cannot be watched; each is asked for when it is needed");
                }
            }
        }
    }

    fn take(&self, event: Event<PartialObjectMeta<Namespace>>, list: &mut Ids) {
        match event {
            Event::Init => list.clear(),
            Event::InitApply(namespace) => list.extend(entry(namespace)),
            Event::InitDone => *self.write() = std::mem::take(list),
            Event::Apply(namespace) => self.write().extend(entry(namespace)),
            Event::Delete(namespace) => {
                if let Some((name, id)) = entry(namespace) {
                    let mut ids = self.write();
                    if ids.get(&name) == Some(&id) {
                        ids.remove(&name);
                    }
                }
            }
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Ids> {
        self.ids.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Ids> {
        self.ids.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(namespace: PartialObjectMeta<Namespace>) -> Option<(String, Arc<str>)> {
    let metadata = namespace.metadata;
    Some((metadata.name?, metadata.uid?.into()))
}
