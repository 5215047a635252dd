//! Watches the metadata of objects for their owners, where the engine asks for it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ApiResource};
use kube::core::DynamicResourceScope;
use kube::runtime::watcher::{self, Event};
use kube::{Client, Resource, ResourceExt, discovery};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::engine::OwnWatch;
use super::history::{self, History, LIFE};
use super::inbox::Sender;
use super::multiplexed::Clients;
use super::watch;
use super::watch_event::{OwnersSeen, WatchEvent};
use crate::api::vocabulary::OWNER;
use crate::core::Name;
use crate::core::own_objects::Kind;
use crate::core::owned::Change;

/// How long it counts whether the API server serves a kind. Its CustomResourceDefinition may come and go.
const SERVED_FOR: Duration = Duration::from_secs(30);

/// The longest owner that counts, in bytes. Usernames of Users are shorter, and so are those of ServiceAccounts.
const LONGEST: usize = 512;

/// Follows the requests until the engine is gone.
pub(super) async fn follow(
    client: Client,
    mut clients: Clients,
    mut requests: mpsc::UnboundedReceiver<OwnWatch>,
    sender: Sender,
) {
    // Not the operator's: an error about one kind (its conversion webhook fails, say) is no outage.
    let history = Arc::new(History::default());
    let served = Arc::new(Served { client: client.clone(), known: Mutex::default() });
    let mut running: HashMap<Name, (usize, JoinSet<()>)> = HashMap::new();
    while let Some(request) = requests.recv().await {
        // This ends those of before.
        if let Some((number, _)) = running.remove(&request.namespace) {
            clients.give_back(number);
        }
        if request.kinds.is_empty() {
            continue;
        }
        let (number, client) = match clients.take() {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(%error, "cannot make a client for watches of owners");
                continue;
            }
        };
        let mut watches = JoinSet::new();
        for kind in request.kinds {
            let watch = OneKind {
                client: client.clone(),
                served: served.clone(),
                sender: sender.clone(),
                history: history.clone(),
                namespace: request.namespace.clone(),
                request: request.request,
                kind,
            };
            watches.spawn(watch.run());
        }
        running.insert(request.namespace, (number, watches));
    }
}

struct OneKind {
    client: Client,
    served: Arc<Served>,
    sender: Sender,
    history: Arc<History>,
    namespace: Name,
    request: u64,
    kind: Kind,
}

impl OneKind {
    async fn run(self) {
        let mut is_told = false;
        loop {
            match self.served.get(&self.kind).await {
                Ok(Some(resource)) => {
                    is_told = false;
                    if self.watch(&resource).await.is_none() {
                        return;
                    }
                }
                Ok(None) if is_told => {}
                Ok(None) => {
                    is_told = true;
                    if self.tell(Change::List(Vec::new())).await.is_none() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(kind = ?self.kind, %error, "cannot ask whether the API server serves a kind")
                }
            }
            tokio::time::sleep(SERVED_FOR).await;
        }
    }

    /// Watches until the kind is not served any more. `None` when nobody listens any more.
    async fn watch(&self, resource: &ApiResource) -> Option<()> {
        let api: Api<Record> = Api::namespaced_with(self.client.clone(), &self.namespace, resource);
        let config = watcher::Config::default().timeout(LIFE);
        let events = |config| history::events(api.clone(), config, self.history.clone());
        let mut watched = events(config.clone().streaming_lists());
        let mut list = Vec::new();
        let mut is_broken = false;
        while let Some(event) = watched.next().await {
            let was_broken = std::mem::replace(&mut is_broken, event.is_err());
            match event {
                Ok(Event::Init) => list.clear(),
                Ok(Event::InitApply(object)) => {
                    let name = object.name_any();
                    list.extend(object.owner.map(|owner| (name.into(), owner)));
                }
                Ok(Event::InitDone) => self.tell(Change::List(std::mem::take(&mut list))).await?,
                Ok(Event::Apply(object)) => {
                    self.tell(Change::One(object.name_any().into(), object.owner)).await?;
                }
                Ok(Event::Delete(object)) => self.tell(Change::One(object.name_any().into(), None)).await?,
                Err(error) if is_not_served(&error) => {
                    self.served.forget(&self.kind);
                    return Some(());
                }
                Err(error) if watch::cannot_stream(&error) => {
                    watched = events(config.clone().page_size(watch::PAGE));
                }
                // That it goes on failing needs no more lines.
                Err(_) if was_broken => {}
                Err(error) => {
                    let (kind, namespace) = (&self.kind.1, &self.namespace);
                    tracing::warn!(%kind, %namespace, %error, "a watch of owners broke; it starts again");
                }
            }
        }
        Some(())
    }

    async fn tell(&self, change: Change) -> Option<()> {
        let (namespace, kind) = (self.namespace.clone(), self.kind.clone());
        let seen = OwnersSeen { namespace, request: self.request, kind, change };
        self.sender.send(WatchEvent::Owners(Box::new(seen))).await.ok()
    }
}

/// The part of an object's metadata that matters here. Whoever may write an object may put anything into its managed
/// fields, and that must not break the watch.
#[derive(Clone, Debug)]
struct Record {
    /// Name and version.
    metadata: ObjectMeta,
    /// One that is being deleted has none, so nobody can enter it when another one has its name.
    owner: Option<Name>,
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            name: Option<String>,
            resource_version: Option<String>,
            deletion_timestamp: Option<IgnoredAny>,
            annotations: Option<BTreeMap<String, String>>,
        }
        let Metadata { name, resource_version, deletion_timestamp, annotations } =
            Object::deserialize(deserializer)?.metadata;
        let owner = annotations.and_then(|mut annotations| annotations.remove(OWNER));
        let counts = |owner: &String| deletion_timestamp.is_none() && (1..=LONGEST).contains(&owner.len());
        let owner = owner.filter(counts).map(Name::from);
        Ok(Self { metadata: ObjectMeta { name, resource_version, ..ObjectMeta::default() }, owner })
    }
}

impl Resource for Record {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn metadata_api() -> bool {
        true
    }

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

fn is_not_served(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    let (InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error)) = error else { return false };
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// The kinds that the API server serves, as far as it was asked.
struct Served {
    client: Client,
    known: Mutex<HashMap<Kind, (Instant, Option<ApiResource>)>>,
}

impl Served {
    async fn get(&self, kind: &Kind) -> kube::Result<Option<ApiResource>> {
        let known = self.lock().get(kind).filter(|(at, _)| at.elapsed() < SERVED_FOR).cloned();
        if let Some((_, resource)) = known {
            return Ok(resource);
        }
        let resource = self.ask(kind).await?;
        self.lock().insert(kind.clone(), (Instant::now(), resource.clone()));
        Ok(resource)
    }

    async fn ask(&self, (group, plural): &Kind) -> kube::Result<Option<ApiResource>> {
        if group.is_empty() {
            let api_version = "v1".to_owned();
            let (group, kind, plural) = (String::new(), String::new(), plural.to_string());
            return Ok(Some(ApiResource { group, version: api_version.clone(), api_version, kind, plural }));
        }
        match discovery::group(&self.client, group).await {
            Ok(found) => {
                // Not all of a group's kinds are served in its preferred version.
                let resources = found.resources_by_stability().into_iter().map(|(resource, _)| resource);
                Ok(resources.into_iter().find(|resource| *resource.plural == **plural))
            }
            Err(kube::Error::Discovery(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn forget(&self, kind: &Kind) {
        self.lock().remove(kind);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Kind, (Instant, Option<ApiResource>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
