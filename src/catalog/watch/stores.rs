//! Stores of a cluster: found by name among the metadata of all Secrets, and then read one by one.
//!
//! A store has nothing but its name, and a watch cannot ask for names: label selectors know labels only, and field
//! selectors know whole names and no beginnings of them, while a pod may refer to the store of any domain. So:
//!
//! - One watch of all Secrets asks for metadata only. No value is on the wire or in the API server's answer, and of each
//!   Secret that is no store nothing is kept: with 100,000 Secrets a list takes the memory of one page.
//! - The names of a store's keys are not in its metadata. `managedFields` would tell them, and anybody who may write a
//!   Secret may empty those. So each store is read when the watch tells of it, by a list of its namespace for its name:
//!   the API server answers that from one key of its storage, and whoever may list Secrets needs no other right for it.
//!
//! A watch for each store's name would save that reading, at the price of a connection for each domain there is.

use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use kube::api::ListParams;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, Client};

use crate::catalog::decode::{SecretHead, WatchedSecret};
use crate::catalog::index::{Catalog, Source};

/// How many Secrets come in one answer to a list, without their values.
const PAGE: u32 = 500;

/// What happens to stores, their keys with them. One that cannot be read is an error, and is read again at the next poll:
/// pauses are the caller's.
pub(super) fn events(
    client: Client,
    catalog: Catalog,
) -> impl Stream<Item = watcher::Result<Event<WatchedSecret>>> + Send {
    let heads = Api::<SecretHead>::all(client.clone());
    let reader = Reader {
        heads: watcher(heads, Config::default().page_size(PAGE)).boxed(),
        client,
        catalog,
        unread: None,
        told: None,
    };
    stream::unfold(reader, |mut reader| async {
        let event = reader.next().await?;
        Some((event, reader))
    })
}

struct Reader {
    client: Client,
    /// Knows what a store is called.
    catalog: Catalog,
    heads: BoxStream<'static, watcher::Result<Event<SecretHead>>>,
    /// What the watch told of a store that could not be read.
    unread: Option<Event<SecretHead>>,
    /// The version of what the watch told last.
    told: Option<String>,
}

impl Reader {
    async fn next(&mut self) -> Option<watcher::Result<Event<WatchedSecret>>> {
        loop {
            // Whoever asks for the next event has taken in the one before.
            if self.unread.is_none()
                && let Some(version) = self.told.take()
            {
                self.catalog.reach(Source::Stores, &version);
            }
            let event = match self.unread.take() {
                Some(event) => event,
                None => match self.heads.next().await? {
                    Ok(event) => event,
                    Err(error) => return Some(Err(error)),
                },
            };
            if let Event::Apply(head) | Event::Delete(head) = &event {
                self.told = Some(head.version().to_owned());
            }
            let read = match &event {
                Event::Init => return Some(Ok(Event::Init)),
                Event::InitDone => return Some(Ok(Event::InitDone)),
                Event::Apply(head) | Event::InitApply(head) | Event::Delete(head)
                    if !self.catalog.is_store(head.object()) =>
                {
                    continue;
                }
                Event::Delete(head) => {
                    return Some(Ok(Event::Delete(head.clone().into_secret())));
                }
                Event::Apply(head) => read(&self.client, head)
                    .await
                    .map(|read| read.map(Event::Apply)),
                Event::InitApply(head) => {
                    let read = read(&self.client, head).await;
                    read.map(|read| read.map(Event::InitApply))
                }
            };
            match read {
                Ok(Some(read)) => return Some(Ok(read)),
                // It is gone already, and the watch is about to say so.
                Ok(None) => {}
                Err(error) => {
                    self.unread = Some(event);
                    return Some(Err(watcher::Error::WatchFailed(error)));
                }
            }
        }
    }
}

/// The store as it is now, which may be newer than what the watch told.
async fn read(client: &Client, head: &SecretHead) -> kube::Result<Option<WatchedSecret>> {
    let secrets = Api::<WatchedSecret>::namespaced(client.clone(), head.namespace());
    let name = format!("metadata.name={}", head.object());
    let list = secrets.list(&ListParams::default().fields(&name)).await?;
    Ok(list.items.into_iter().next())
}
