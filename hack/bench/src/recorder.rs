//! Records what a watching client sees: when each object changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use kube::Client;
use kube::api::{DynamicObject, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::error::Error;
use crate::site::{PATIENCE, api};

/// The native kinds that the operator writes.
pub const NATIVE: [&str; 4] = ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
/// Our own kinds.
pub const OURS: [&str; 7] =
    ["Organization", "User", "Group", "RoleBinding", "CustomRole", "SiteRole", "SiteRoleBinding"];

/// The pause before a failed watch is retried.
const AGAIN: Duration = Duration::from_millis(100);

/// Which object: kind, namespace, name.
pub type Key = (String, String, String);

/// All objects of some kinds, as their events arrive.
#[derive(Clone)]
pub struct Recorder {
    state: Arc<(Mutex<State>, Notify)>,
}

/// The recorded state.
#[derive(Default)]
pub struct State {
    /// The existing objects, and when each last changed.
    pub objects: HashMap<Key, (Instant, DynamicObject)>,
    /// The time of the last event, and the number of events.
    pub last: Option<Instant>,
    pub events: usize,
    /// How many objects name each subject, and how many objects lack a status for their newest generation. Both are
    /// counted here, because searching all objects at each event would take most of this machine's time.
    grants: HashMap<String, usize>,
    untold: usize,
}

impl State {
    /// How many native bindings name a subject.
    pub fn grants(&self, name: &str) -> usize {
        self.grants.get(name).copied().unwrap_or_default()
    }

    /// Whether every object has a status about its newest generation.
    pub fn all_told(&self) -> bool {
        self.untold == 0
    }

    fn set(&mut self, key: Key, now: Instant, object: Option<DynamicObject>) {
        self.last = Some(now);
        self.events += 1;
        if let Some(new) = &object {
            subjects(new).for_each(|name| *self.grants.entry(name.to_owned()).or_default() += 1);
            self.untold += usize::from(!told(new));
        }
        let old = match object {
            Some(object) => self.objects.insert(key, (now, object)),
            None => self.objects.remove(&key),
        };
        if let Some((_, old)) = old {
            for name in subjects(&old) {
                if let Some(count) = self.grants.get_mut(name) {
                    *count -= 1;
                }
            }
            self.untold -= usize::from(!told(&old));
        }
    }

    /// The number of existing objects over time: (second, count).
    pub fn course(&self, started: Instant) -> Vec<(f64, usize)> {
        let mut times: Vec<f64> =
            self.objects.values().map(|(at, _)| at.saturating_duration_since(started).as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        let step = (times.len() / 100).max(1);
        let point = |(n, at): (usize, &f64)| ((at * 1000.0).round() / 1000.0, n + 1);
        let last = times.len().saturating_sub(1);
        times.iter().enumerate().filter(|(n, _)| n % step == 0 || *n == last).map(point).collect()
    }
}

impl Recorder {
    /// Watches the native objects that the operator writes.
    pub fn of_native(client: &Client) -> Self {
        Self::start(client, "rbac.authorization.k8s.io/v1", &NATIVE, "app.kubernetes.io/managed-by=bailiwick")
    }

    /// Watches our own kinds.
    pub fn of_ours(client: &Client) -> Self {
        Self::start(client, "bailiwick.dev/v1alpha1", &OURS, "")
    }

    fn start(client: &Client, api_version: &str, kinds: &[&str], labels: &str) -> Self {
        let recorder = Self { state: Arc::default() };
        for kind in kinds {
            let (api, recorder) = (api(client, &json!({"apiVersion": api_version, "kind": kind})), recorder.clone());
            let (kind, parameters) = ((*kind).to_owned(), WatchParams::default().labels(labels).timeout(290));
            tokio::spawn(async move {
                // From the beginning, so that existing objects come first.
                const ALL: &str = "0";
                let mut version = ALL.to_owned();
                loop {
                    let Ok(events) = api.watch(&parameters, &version).await else {
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    };
                    let mut events = events.boxed();
                    loop {
                        match events.try_next().await {
                            Ok(Some(WatchEvent::Bookmark(mark))) => version = mark.metadata.resource_version,
                            // The version is older than the API server's history.
                            Ok(Some(WatchEvent::Error(_))) => version = ALL.to_owned(),
                            Ok(Some(event)) => version = recorder.take_in(&kind, event).unwrap_or(version),
                            Ok(None) | Err(_) => break,
                        }
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
        // Shown again after a watch restarted.
        if there && state.objects.get(&key).is_some_and(|(_, known)| known.metadata.resource_version == version) {
            return version;
        }
        state.set(key, now, there.then_some(object));
        drop(state);
        self.state.1.notify_waiters();
        version
    }

    /// Reads the recorded state.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until no event has arrived for this long.
    pub async fn quiet(&self, pause: Duration) {
        while let Some(left) = self.look(|s| s.last.and_then(|last| pause.checked_sub(last.elapsed()))) {
            tokio::time::sleep(left).await;
        }
    }

    /// Waits until the state satisfies a condition; returns when.
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

/// Whether a native binding names a user.
pub fn names(binding: &Value, username: &str) -> bool {
    binding["subjects"].as_array().is_some_and(|s| s.iter().any(|s| s["name"] == username))
}

/// The names of a binding's subjects.
pub fn subjects(object: &DynamicObject) -> impl Iterator<Item = &str> {
    object.data["subjects"].as_array().into_iter().flatten().filter_map(|subject| subject["name"].as_str())
}

fn told(object: &DynamicObject) -> bool {
    object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation
}
