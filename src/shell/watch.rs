//! Watches: one per kind, each object parsed into a compact record as it arrives.
//!
//! What the engine gets is [`Seen`]; that a watch broke and was made anew shows there as `Restarted … Synced`.

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::rbac::v1;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_stream};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::inbox::Sender;
use super::metrics::Metrics;
use super::retry;
use crate::api::conditions::Reason;
use crate::api::{self, vocabulary as v};
use crate::core::Name;
use crate::core::catalog::{Bounds, Settings};
use crate::core::native::{self, Key, NativeKind, Object, Observed};
use crate::core::records;
use crate::core::rules::Ceiling;
use crate::core::uid::Uid;

/// How many objects a page of a list brings, where the API server cannot stream a list (before Kubernetes 1.34, unless its
/// feature gate WatchList is on). A page is in memory as a whole, and one object may have more than 1 MiB.
const PAGE: u32 = 16;

/// How long a watch lasts before it is made anew, from where it was, in seconds. One whose connection has ended without a word
/// is deaf for five more at most; kube's own default is five minutes.
pub(super) const LIFE: u32 = 55;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Kind {
    Organization,
    User,
    Group,
    RoleBinding,
    CustomRole,
    SiteRole,
    SiteRoleBinding,
    Namespace,
    NativeRole,
    NativeRoleBinding,
    NativeClusterRole,
    NativeClusterRoleBinding,
    Ceiling,
    CeilingCluster,
    CeilingRelease,
    Bounds,
    Settings,
    /// The list of suspended users.
    Suspended,
    /// The chart's admission policies.
    Policies,
}

impl Kind {
    /// All of them: decisions wait until each has been seen once.
    pub const ALL: [Kind; 19] = [
        Kind::Organization,
        Kind::User,
        Kind::Group,
        Kind::RoleBinding,
        Kind::CustomRole,
        Kind::SiteRole,
        Kind::SiteRoleBinding,
        Kind::Namespace,
        Kind::NativeRole,
        Kind::NativeRoleBinding,
        Kind::NativeClusterRole,
        Kind::NativeClusterRoleBinding,
        Kind::Ceiling,
        Kind::CeilingCluster,
        Kind::CeilingRelease,
        Kind::Bounds,
        Kind::Settings,
        Kind::Suspended,
        Kind::Policies,
    ];
}

impl From<NativeKind> for Kind {
    fn from(kind: NativeKind) -> Self {
        match kind {
            NativeKind::Role => Self::NativeRole,
            NativeKind::RoleBinding => Self::NativeRoleBinding,
            NativeKind::ClusterRole => Self::NativeClusterRole,
            NativeKind::ClusterRoleBinding => Self::NativeClusterRoleBinding,
        }
    }
}

/// What a watch tells the engine.
#[derive(Debug)]
pub enum Seen {
    /// A list of all objects of this kind follows.
    Restarted(Kind),
    /// That list is complete: what was not in it is gone.
    Synced(Kind),
    /// An object, new or changed.
    Item(Box<Item>),
    /// An object is gone.
    Gone(Id),
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Id {
    pub kind: Kind,
    pub namespace: Name,
    pub name: Name,
    pub uid: Uid,
}

/// An object, parsed.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Item {
    Organization(records::Organization),
    User(records::User),
    Group(records::Group),
    RoleBinding(records::Binding),
    CustomRole(records::Role),
    SiteRole(records::Role),
    SiteRoleBinding(records::Binding),
    Namespace(records::Namespace),
    Native(Key, Observed),
    Ceiling(Kind, Ceiling),
    Bounds(Bounds),
    Settings(Settings),
    Suspended(SuspendedList),
    /// Admission policies that are not as they should be; `None` when nothing says how they should be.
    PolicyFaults(Option<Vec<(Reason, String)>>),
}

/// The list of suspended users, as it is.
#[derive(Clone, Debug)]
pub struct SuspendedList {
    #[allow(missing_docs)]
    pub uid: Uid,
    #[allow(missing_docs)]
    pub version: u64,
    /// Of its texts.
    pub digest: u64,
}

impl From<&ConfigMap> for SuspendedList {
    fn from(map: &ConfigMap) -> Self {
        let data = map.data.as_ref();
        let texts = v::SUSPENDED_KEYS.map(|key| data.and_then(|data| data.get(key)).map_or("", String::as_str));
        Self {
            uid: map.metadata.uid.as_ref().into(),
            version: records::version(&map.metadata),
            digest: records::digest(&texts),
        }
    }
}

/// Starts every watch.
pub(super) fn spawn_all(client: &Client, release_namespace: &str, sender: &Sender, metrics: &Arc<Metrics>) {
    let c = || client.clone();
    let start = Start { sender, metrics };
    start.ours(Kind::Organization, Api::all(c()), |o: &api::Organization| Item::Organization(o.into()));
    start.ours(Kind::User, Api::all(c()), |o: &api::User| Item::User(o.into()));
    start.ours(Kind::Group, Api::all(c()), |o: &api::Group| Item::Group(o.into()));
    start.ours(Kind::RoleBinding, Api::all(c()), |o: &api::RoleBinding| Item::RoleBinding(o.into()));
    start.ours(Kind::CustomRole, Api::all(c()), |o: &api::CustomRole| Item::CustomRole(o.into()));
    start.ours(Kind::SiteRole, Api::all(c()), |o: &api::SiteRole| Item::SiteRole(o.into()));
    start.ours(Kind::SiteRoleBinding, Api::all(c()), |o: &api::SiteRoleBinding| Item::SiteRoleBinding(o.into()));

    let all = watcher::Config::default();
    start.any(Kind::Namespace, Api::all(c()), all, |o: PartialObjectMeta<Namespace>| {
        Some(Item::Namespace((&o.metadata).into()))
    });

    // Not selected by our label: somebody could take it off while no operator runs, and what the object grants would stay
    // out of sight. What is not ours by label or owner is dropped as it arrives.
    let rbac = watcher::Config::default;
    // The label alone does not make an object ours: somebody else may write it on theirs.
    let seen = |object: Object| {
        let ours = native::is_ours(native::metadata(&object));
        ours.then(|| native::observe(&object)).flatten().map(|(key, observed)| Item::Native(key, observed))
    };
    start.any(Kind::NativeRole, Api::all(c()), rbac(), move |o: v1::Role| seen(Object::Role(o)));
    start.any(Kind::NativeRoleBinding, Api::all(c()), rbac(), move |o| seen(Object::RoleBinding(o)));
    start.any(Kind::NativeClusterRole, Api::all(c()), rbac(), move |o| seen(Object::ClusterRole(o)));
    start.any(Kind::NativeClusterRoleBinding, Api::all(c()), rbac(), move |o| seen(Object::ClusterRoleBinding(o)));

    let ceilings = [
        (Kind::Ceiling, v::CEILING),
        (Kind::CeilingCluster, v::CEILING_CLUSTER),
        (Kind::CeilingRelease, v::CEILING_RELEASE),
    ];
    for (kind, name) in ceilings {
        start.any(kind, Api::all(c()), only(name), move |o: v1::ClusterRole| {
            Some(Item::Ceiling(kind, Ceiling::new(native::from_rules(o.rules.as_deref().unwrap_or_default()))))
        });
    }

    let maps = || Api::namespaced(c(), release_namespace);
    start.any(Kind::Bounds, maps(), only(v::BOUNDS_CONFIG_MAP), |o: ConfigMap| {
        parsed(&o, v::BOUNDS_KEY, Bounds::parse).map(Item::Bounds)
    });
    start.any(Kind::Settings, maps(), only(v::SETTINGS_CONFIG_MAP), |o: ConfigMap| {
        parsed(&o, v::SETTINGS_KEY, Settings::parse).map(Item::Settings)
    });
    start
        .any(Kind::Suspended, maps(), only(v::SUSPENDED_CONFIG_MAP), |o: ConfigMap| Some(Item::Suspended((&o).into())));
}

fn only(name: &str) -> watcher::Config {
    watcher::Config::default().fields(&format!("metadata.name={name}"))
}

/// Configuration that cannot be understood changes nothing: what was understood last stays in force.
fn parsed<T>(map: &ConfigMap, key: &str, parse: impl Fn(&str) -> Result<T, serde_yaml::Error>) -> Option<T> {
    let name = map.name_any();
    let Some(text) = map.data.as_ref().and_then(|data| data.get(key)) else {
        tracing::error!(config_map = name, key, "the configuration has no such key; the last one stays in force");
        return None;
    };
    match parse(text) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(config_map = name, key, %error, "the configuration is not valid; the last one stays in force");
            None
        }
    }
}

struct Start<'a> {
    sender: &'a Sender,
    metrics: &'a Arc<Metrics>,
}

impl Start<'_> {
    /// One of our kinds. An object that does not parse (written under another schema) is treated as if it were not there,
    /// and stops no other.
    fn ours<K>(&self, kind: Kind, api: Api<DeserializeGuard<K>>, record: fn(&K) -> Item)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        self.any(kind, api, watcher::Config::default(), move |guard: DeserializeGuard<K>| match guard.0 {
            // What is being deleted grants nothing any more, however long a finalizer keeps it.
            Ok(object) if object.meta().deletion_timestamp.is_some() => None,
            Ok(object) => Some(record(&object)),
            Err(error) => {
                tracing::error!(?kind, %error, "an object cannot be read: it grants nothing");
                None
            }
        });
    }

    fn any<K>(
        &self,
        kind: Kind,
        api: Api<K>,
        config: watcher::Config,
        item: impl Fn(K) -> Option<Item> + Send + Sync + 'static,
    ) where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let (sender, metrics) = (self.sender.clone(), self.metrics.clone());
        tokio::spawn(async move {
            let config = config.timeout(LIFE);
            let watch = |config| watch_stream(api.clone(), config).backoff(retry::OfWatch::default()).boxed();
            let mut events = watch(config.clone().streaming_lists());
            while let Some(event) = events.next().await {
                if matches!(&event, Err(error) if cannot_stream(error)) {
                    events = watch(config.clone().page_size(PAGE));
                    continue;
                }
                // That a list begins is said before anybody has answered.
                if matches!(&event, Ok(event) if !matches!(event, Event::Init)) {
                    metrics.watch_works(kind);
                }
                let seen = match event {
                    Ok(Event::Init) => Seen::Restarted(kind),
                    Ok(Event::InitDone) => Seen::Synced(kind),
                    Ok(Event::Apply(object) | Event::InitApply(object)) => {
                        let id = id(kind, &object);
                        // Of the configuration what was understood last stays; of anything else nothing does.
                        match (item(object), kind) {
                            (Some(item), _) => Seen::Item(Box::new(item)),
                            (None, Kind::Bounds | Kind::Settings) => continue,
                            (None, _) => Seen::Gone(id),
                        }
                    }
                    Ok(Event::Delete(object)) => Seen::Gone(id(kind, &object)),
                    Err(error) => {
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
    }
}

/// Whether the API server does not know how to stream a list.
fn cannot_stream(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 422)
}

/// Asks for the newest state where a list is streamed. kube asks for anything that the API server has in memory, which may be
/// older than what another replica of the operator has acted on.
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

fn id(kind: Kind, object: &impl ResourceExt) -> Id {
    Id {
        kind,
        namespace: object.namespace().unwrap_or_default().into(),
        name: object.name_any().into(),
        uid: object.meta().uid.as_ref().into(),
    }
}
