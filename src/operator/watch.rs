//! Watches: one per kind, each object parsed into a compact record as it arrives.
//!
//! The engine gets [`WatchEvent`]s; after an error, a watch sends `Restarted … Synced`.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::rbac::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::comparison;
use super::configuration::{self, News};
use super::guarded::Guarded;
use super::history::{self, History};
use super::inbox::{Inbox, Sender};
use super::metrics::Metrics;
use super::watch_event::{Item, Kind, OwnConfigMap, WatchEvent, WatchedRef};
use crate::api::{self, vocabulary as v};
use crate::core::cache::CeilingScope;
use crate::core::kept::Kept;
use crate::core::object_ref::ObjectRef;
use crate::core::rbac::{self, Object};
use crate::core::records::{self};
use crate::core::rules::Ceiling;
use crate::core::salvage::Withhold;

/// The number of objects on a page of a list, where the API server cannot stream lists (before Kubernetes 1.34, unless
/// its feature gate WatchList is on). A whole page is in memory, and one object may exceed 1 MiB.
pub(super) const PAGE: u32 = 16;

/// Starts every watch.
pub(super) fn spawn_all(
    tasks: &mut JoinSet<()>,
    client: &Client,
    release_namespace: &str,
    inbox: &mut Inbox,
    metrics: &Arc<Metrics>,
    history: &Arc<History>,
    comparisons: Duration,
) {
    let c = || client.clone();
    let mut start = Start { tasks, inbox, metrics, history, comparisons };
    start.ours::<api::Organization, _>(Kind::Organization, Api::all(c()), Item::Organization);
    start.ours::<api::User, _>(Kind::User, Api::all(c()), Item::User);
    start.ours::<api::Group, _>(Kind::Group, Api::all(c()), Item::Group);
    start.ours::<api::RoleBinding, _>(Kind::RoleBinding, Api::all(c()), Item::RoleBinding);
    start.ours::<api::CustomRole, _>(Kind::CustomRole, Api::all(c()), Item::CustomRole);
    start.ours::<api::SiteRole, _>(Kind::SiteRole, Api::all(c()), Item::SiteRole);
    start.ours::<api::SiteRoleBinding, _>(Kind::SiteRoleBinding, Api::all(c()), Item::SiteRoleBinding);

    let namespaces: Api<Guarded<PartialObjectMeta<Namespace>>> = Api::all(c());
    start.compared(Kind::Namespace, namespaces, |_| true, |o| o.whole().map(|o| Item::Namespace((&o.metadata).into())));

    // Not selected by our label: somebody could take it off while no operator runs, and what the object grants would
    // stay out of sight. What is not ours by label or owner is dropped as it arrives.
    start.native(Kind::NativeRole, Api::all(c()), Object::Role);
    start.native(Kind::NativeRoleBinding, Api::all(c()), Object::RoleBinding);
    start.native(Kind::NativeClusterRole, Api::all(c()), Object::ClusterRole);
    start.native(Kind::NativeClusterRoleBinding, Api::all(c()), Object::ClusterRoleBinding);

    let ceilings = [
        (CeilingScope::Organization, v::CEILING),
        (CeilingScope::Home, v::CEILING_HOME),
        (CeilingScope::Cluster, v::CEILING_CLUSTER),
        (CeilingScope::Release, v::CEILING_RELEASE),
    ];
    for (scope, name) in ceilings {
        start.any(scope.into(), Api::all(c()), only(name), move |o: Guarded<v1::ClusterRole>| {
            let role = o.whole()?;
            let ceiling = Ceiling::new(rbac::from_rules(&role.rules.unwrap_or_default()));
            Some(Item::Ceiling(scope, ceiling, role.metadata.uid.as_ref().into()))
        });
    }

    for source in [configuration::BOUNDS, configuration::SETTINGS] {
        let (sender, metrics) = (start.inbox.sender(), metrics.clone());
        let events = configuration::watch(client, release_namespace, source.map, history.clone());
        start.tasks.spawn(configuration::follow(events, source, metrics, async move |news: News<Item>| {
            let items = [Some(news.report()), news.read.ok()];
            for item in items.into_iter().flatten() {
                if sender.send(WatchEvent::Item(Box::new(item))).await.is_err() {
                    return false;
                }
            }
            true
        }));
    }
    let lists: Api<Guarded<ConfigMap>> = Api::namespaced(c(), release_namespace);
    let only_list = only(v::SUSPENDED_CONFIG_MAP);
    start.any(Kind::Suspended, lists, only_list, |o| {
        o.whole().map(|o| Item::Suspended(OwnConfigMap::of(&o, v::SUSPENDED_KEYS)))
    });
    let records: Api<Guarded<ConfigMap>> = Api::namespaced(c(), release_namespace);
    start.any(Kind::Kept, records, only(v::DECISIONS_CONFIG_MAP), |o| o.whole().map(|o| kept(&o)));
}

/// The record of decisions. An unreadable one counts as empty, and is written again.
fn kept(map: &ConfigMap) -> Item {
    let text = map.data.as_ref().and_then(|data| data.get(v::DECISIONS_KEY)).map_or("{}", String::as_str);
    let kept = serde_json::from_str(text).unwrap_or_else(|error| {
        tracing::warn!(%error, "the record of decisions (ConfigMap {}) cannot be read", v::DECISIONS_CONFIG_MAP);
        Kept::default()
    });
    Item::Kept(OwnConfigMap::of(map, [v::DECISIONS_KEY]), kept)
}

fn only(name: &str) -> watcher::Config {
    watcher::Config::default().fields(&format!("metadata.name={name}"))
}

struct Start<'a> {
    tasks: &'a mut JoinSet<()>,
    inbox: &'a mut Inbox,
    metrics: &'a Arc<Metrics>,
    history: &'a Arc<History>,
    /// The time between two comparisons of a kind.
    comparisons: Duration,
}

impl Start<'_> {
    /// Watches one of our kinds. An unreadable object (written under another schema) grants nothing, and does not
    /// affect others.
    fn ours<K, R>(&mut self, kind: Kind, api: Api<Guarded<K>>, item: fn(R) -> Item)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
        R: for<'a> From<&'a K> + Withhold<K> + 'static,
    {
        let lives = |metadata: &ObjectMeta| metadata.deletion_timestamp.is_none();
        self.compared(kind, api, lives, move |object: Guarded<K>| {
            // What is being deleted grants nothing any more, however long a finalizer keeps it.
            let lives = object.meta().deletion_timestamp.is_none();
            object.record().filter(|_| lives).map(item)
        });
    }

    /// Watches a kind of native RBAC.
    fn native<K>(&mut self, kind: Kind, api: Api<Guarded<K>>, object: fn(K) -> Object)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        self.compared(kind, api, rbac::is_ours, move |guarded: Guarded<K>| {
            let object = object(guarded.whole()?);
            // The label alone does not make an object ours: somebody else may write it on theirs.
            let ours = rbac::is_ours(rbac::metadata(&object));
            ours.then(|| rbac::observe(&object)).flatten().map(|(key, observed)| Item::Native(key, observed))
        });
    }

    /// Watches all objects of a kind, which are compared with a list from time to time.
    fn compared<K>(
        &mut self,
        kind: Kind,
        api: Api<K>,
        is_known: fn(&ObjectMeta) -> bool,
        item: impl Fn(K) -> Option<Item> + Send + Sync + 'static,
    ) where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let (sender, relist) = self.any(kind, api.clone(), watcher::Config::default(), item);
        let metrics = self.metrics.clone();
        self.tasks.spawn(comparison::run(kind, api, is_known, self.comparisons, sender, metrics, relist));
    }

    /// Returns the queue of the events, and a handle that lists everything again.
    fn any<K>(
        &mut self,
        kind: Kind,
        api: Api<K>,
        config: watcher::Config,
        item: impl Fn(K) -> Option<Item> + Send + Sync + 'static,
    ) -> (Sender, Arc<Notify>)
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let (sender, metrics, history) = (self.inbox.sender(), self.metrics.clone(), self.history.clone());
        let relist = Arc::new(Notify::new());
        let others = (sender.clone(), relist.clone());
        self.tasks.spawn(async move {
            let config = config.timeout(history::LIFE);
            let watch = |config| history::events(api.clone(), config, history.clone());
            // Read before a list is asked for: only what was received by then has to be in it.
            let mut floor = history.floor(kind);
            let mut events = watch(config.clone().streaming_lists());
            // A streamed list that does not end while the watch lives begins again, and would for ever.
            let (mut streams, mut begun) = (true, 0);
            loop {
                let event = tokio::select! {
                    event = events.next() => event,
                    () = relist.notified() => {
                        floor = history.floor(kind);
                        let config = config.clone();
                        events = watch(if streams { config.streaming_lists() } else { config.page_size(PAGE) });
                        continue;
                    }
                };
                let Some(event) = event else { return };
                begun = match &event {
                    Ok(Event::Init) => begun + 1,
                    Ok(Event::InitDone) => 0,
                    _ => begun,
                };
                if streams && (begun > 2 || matches!(&event, Err(error) if cannot_stream(error))) {
                    streams = false;
                    events = watch(config.clone().page_size(PAGE));
                    continue;
                }
                // That a list begins is said before anybody has answered.
                if matches!(&event, Ok(event) if !matches!(event, Event::Init)) {
                    metrics.watch_works(kind);
                }
                if let Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) = &event {
                    history.saw(kind, records::version(object.meta()));
                }
                let seen = match event {
                    Ok(Event::Init) => WatchEvent::Restarted(kind, floor),
                    Ok(Event::InitDone) => WatchEvent::Synced(kind),
                    Ok(Event::InitApply(object)) => {
                        let id = id(kind, &object);
                        item(object).map_or(WatchEvent::Gone(id), |item| WatchEvent::Item(Box::new(item)))
                    }
                    Ok(Event::Apply(object)) => {
                        let id = id(kind, &object);
                        item(object).map_or(WatchEvent::Gone(id), |mut item| {
                            item.is_event();
                            WatchEvent::Item(Box::new(item))
                        })
                    }
                    Ok(Event::Delete(object)) => WatchEvent::Gone(id(kind, &object)),
                    // The chart of before gives no right to it: then there is no record.
                    Err(error) if kind == Kind::Kept && is_forbidden(&error) => {
                        floor = history.floor(kind);
                        WatchEvent::Synced(kind)
                    }
                    Err(error) => {
                        floor = history.floor(kind);
                        metrics.watch_broke(kind);
                        tracing::warn!(?kind, %error, "a watch broke; it starts again");
                        continue;
                    }
                };
                if sender.send(seen).await.is_err() {
                    return;
                }
            }
        });
        others
    }
}

/// Whether the operator may not watch this.
fn is_forbidden(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    let (InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error)) = error else { return false };
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// Whether the API server cannot stream lists.
pub(super) fn cannot_stream(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 422)
}

/// Requests the newest state for a streamed list. kube accepts any state in the API server's memory, which may be older
/// than what another replica has acted on.
pub(super) fn consistent<B>(mut request: http::Request<B>) -> http::Request<B> {
    let uri = request.uri();
    if let Some(query) = uri.query().filter(|query| query.contains("sendInitialEvents=true")) {
        let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("resourceVersion=")).collect();
        let path = format!("{}?{}", uri.path(), pairs.join("&"));
        let mut parts = uri.clone().into_parts();
        // What does not parse is left as it is.
        parts.path_and_query = path.parse().ok().or(parts.path_and_query);
        if let Ok(uri) = http::Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

fn id(kind: Kind, object: &impl ResourceExt) -> WatchedRef {
    ObjectRef::new(kind, object.namespace().unwrap_or_default(), object.name_any()).with_uid(object.meta().uid.as_ref())
}
