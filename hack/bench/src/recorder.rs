//! What a client sees that watches: when which native object came to say what.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::{StreamExt, TryStreamExt};
use kube::Client;
use kube::api::{DynamicObject, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::error::Error;
use crate::site::{PATIENCE, api};

/// Which object: kind, namespace, name.
pub type Key = (String, String, String);

/// All objects of some kinds, as they come.
#[derive(Clone)]
pub struct Recorder {
    state: Arc<(Mutex<State>, Notify)>,
}

/// What has been seen.
#[derive(Default)]
pub struct State {
    /// What is there, and since when it says what it says.
    pub objects: HashMap<Key, (Instant, DynamicObject)>,
    /// When the last event came.
    pub last: Option<Instant>,
    /// How many events there were.
    pub events: u64,
}

impl Recorder {
    /// Watches the native objects that the operator writes.
    pub fn of_native(client: &Client) -> Self {
        let kinds = ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
        Self::start(client, "rbac.authorization.k8s.io/v1", &kinds, "app.kubernetes.io/managed-by=bailiwick")
    }

    /// Watches our own kinds.
    pub fn of_ours(client: &Client) -> Self {
        let kinds = ["Organization", "User", "Group", "RoleBinding", "CustomRole", "SiteRole", "SiteRoleBinding"];
        Self::start(client, "bailiwick.dev/v1alpha1", &kinds, "")
    }

    fn start(client: &Client, api_version: &str, kinds: &[&str], labels: &str) -> Self {
        let recorder = Self { state: Arc::default() };
        for kind in kinds {
            let (api, recorder) = (api(client, &json!({"apiVersion": api_version, "kind": kind})), recorder.clone());
            let (kind, parameters) = ((*kind).to_owned(), WatchParams::default().labels(labels).timeout(290));
            tokio::spawn(async move {
                let mut version = "0".to_owned();
                loop {
                    let Ok(events) = api.watch(&parameters, &version).await else { continue };
                    let mut events = events.boxed();
                    while let Ok(Some(event)) = events.try_next().await {
                        version = recorder.take_in(&kind, event).unwrap_or(version);
                    }
                }
            });
        }
        recorder
    }

    fn take_in(&self, kind: &str, event: WatchEvent<DynamicObject>) -> Option<String> {
        let (object, there) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, true),
            WatchEvent::Deleted(object) => (object, false),
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => return None,
        };
        let now = Instant::now();
        let version = object.metadata.resource_version.clone();
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        let key = (kind.to_owned(), name(&object.metadata.namespace), name(&object.metadata.name));
        let mut state = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        if there {
            state.objects.insert(key, (now, object));
        } else {
            state.objects.remove(&key);
        }
        state.last = Some(now);
        state.events += 1;
        drop(state);
        self.state.1.notify_waiters();
        version
    }

    /// Looks at what has been seen.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something has been seen; says when.
    pub async fn until<T>(&self, seen: impl Fn(&State) -> Option<T>) -> Result<(Instant, T), Error> {
        let started = Instant::now();
        loop {
            let news = self.state.1.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(value) = self.look(&seen) {
                return Ok((Instant::now(), value));
            }
            if tokio::time::timeout(PATIENCE.saturating_sub(started.elapsed()), news).await.is_err() {
                return Err(Error::Late("a watch does not show what is waited for".to_owned()));
            }
        }
    }
}

/// How many native bindings name a user.
pub fn grants(state: &State, username: &str) -> usize {
    let names = |object: &DynamicObject| {
        let subjects = object.data["subjects"].as_array();
        subjects.is_some_and(|s| s.iter().any(|s: &Value| s["name"] == username))
    };
    state.objects.values().filter(|(_, object)| names(object)).count()
}
