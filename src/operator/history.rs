//! Detects that the cluster went back in time, because etcd was restored from an older copy while the operator runs.
//!
//! Every list here asks for the newest state, so it cannot be older than anything received before the request. A list
//! that is older proves a restore, and nothing else does. Two kinds of lists are compared: those of every watch, object
//! by object (by the engine), and one of the operator's own Lease, every few seconds (here).
//!
//! After an outage the cluster may have been restored. Until the Lease has been listed again, the engine begins no
//! write, and nobody renews the Lease, which would destroy the evidence. `docs/decisions/2026-11-30-restores.md` has
//! the reasoning.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::core::ObjectList;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_stream};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::retry;
use super::watch_event::Kind;
use crate::core::records;

/// How many seconds a watch lasts before it resumes. If its connection ended silently, it misses events for at most
/// five more; kube's own default is five minutes.
pub(super) const LIFE: u32 = 55;

/// How often the Lease is listed.
const INTERVAL: Duration = Duration::from_secs(5);
/// The time limit of that list.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest pause before the next attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// No API server can stop, get an older etcd and start again within this time.
const SHORTEST_OUTAGE: Duration = Duration::from_secs(1);

/// The cluster's history as the operator saw it. It is new whenever the operator's parts start again.
#[derive(Debug)]
pub(super) struct History {
    /// The highest version received of each kind.
    highest: BTreeMap<Kind, AtomicU64>,
    /// The highest version received of the Lease.
    lease: AtomicU64,
    state: watch::Sender<State>,
}

/// Whether the history is in doubt, and since when.
#[derive(Debug, Default)]
pub(super) struct State {
    /// When it became unknown whether the cluster is still the same.
    doubt: Option<Instant>,
    /// When the last list of the Lease that found nothing wrong began.
    checked: Option<Instant>,
    /// Proof that the cluster went back.
    evidence: Option<String>,
}

impl State {
    /// Whether writes have to wait.
    pub fn is_in_doubt(&self) -> bool {
        self.doubt.is_some() || self.evidence.is_some()
    }
}

impl Default for History {
    fn default() -> Self {
        let highest = Kind::ALL.into_iter().map(|kind| (kind, AtomicU64::new(0))).collect();
        Self { highest, lease: AtomicU64::new(0), state: watch::Sender::default() }
    }
}

impl History {
    /// Records the version of a received object of this kind.
    pub fn saw(&self, kind: Kind, version: u64) {
        if let Some(highest) = self.highest.get(&kind) {
            highest.fetch_max(version, Ordering::AcqRel);
        }
    }

    /// The version that any later list of this kind shows at least.
    pub fn floor(&self, kind: Kind) -> u64 {
        self.highest.get(&kind).map_or(0, |highest| highest.load(Ordering::Acquire))
    }

    /// Records the version of the received Lease.
    pub fn saw_lease(&self, lease: &Lease) {
        self.lease.fetch_max(records::version(&lease.metadata), Ordering::AcqRel);
    }

    /// The API server is unreachable.
    pub fn outage(&self) {
        self.state.send_if_modified(|state| {
            let is_news = state.doubt.is_none() && state.checked.is_none_or(|at| at.elapsed() > SHORTEST_OUTAGE);
            if is_news {
                state.doubt = Some(Instant::now());
            }
            is_news
        });
    }

    /// Records proof that the cluster went back.
    pub fn gone_back(&self, evidence: String) {
        self.state
            .send_if_modified(|state| state.evidence.is_none().then(|| state.evidence = Some(evidence)).is_some());
    }

    /// Records that nothing was wrong at this time.
    fn checked(&self, at: Instant) {
        self.state.send_if_modified(|state| {
            state.checked = Some(at);
            let is_over = state.doubt.is_some_and(|since| since <= at);
            if is_over {
                state.doubt = None;
            }
            is_over
        });
    }

    /// Changes whenever a doubt begins or ends.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Returns, with the evidence, once the cluster has gone back.
    pub async fn ended(&self) -> String {
        let mut state = self.state();
        match state.wait_for(|state| state.evidence.is_some()).await {
            Ok(state) => state.evidence.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Returns once an outage has lasted so long that the cluster may have gone back.
    pub async fn doubted(&self) {
        let mut state = self.state();
        loop {
            let since = state.wait_for(State::is_in_doubt).await.map_or(None, |state| state.doubt);
            tokio::time::sleep(SHORTEST_OUTAGE).await;
            let state = state.borrow_and_update();
            if state.is_in_doubt() && state.doubt == since {
                return;
            }
        }
    }

    /// Returns once there is no doubt.
    pub async fn certain(&self) {
        let mut state = self.state();
        if state.wait_for(|state| !state.is_in_doubt()).await.is_err() {
            std::future::pending().await
        }
    }
}

/// The events of a watch, with a new list after every error. A watch that continued from a version which a restored
/// cluster has not reached yet would see nothing until then.
pub(super) fn events<K>(
    api: Api<K>,
    config: watcher::Config,
    history: Arc<History>,
) -> BoxStream<'static, watcher::Result<Event<K>>>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let start = move || watch_stream(api.clone(), config.clone()).boxed();
    let first = start();
    let events = futures::stream::unfold((start, first, history), async |(start, mut events, history)| {
        let event = events.next().await?;
        if let Err(error) = &event {
            events = start();
            if is_outage(error) {
                history.outage();
            }
        }
        Some((event, (start, events, history)))
    });
    events.backoff(retry::OfWatch::default()).boxed()
}

/// Whether the API server may be stopping. One that answers with an error of its own is running.
fn is_outage(error: &watcher::Error) -> bool {
    let code = match error {
        watcher::Error::WatchError(status) => status.code,
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => status.code,
        _ => return true,
    };
    code == 410 || code >= 500
}

/// Lists the Lease periodically, and at once after every outage, until it proves that the cluster went back.
pub(super) async fn look_at_lease(api: Api<Lease>, name: &str, history: Arc<History>) {
    let params = ListParams::default().fields(&format!("metadata.name={name}"));
    let mut state = history.state();
    let (mut seen, mut failures) = (0, 0);
    loop {
        let (began, lease) = (Instant::now(), history.lease.load(Ordering::Acquire));
        match tokio::time::timeout(PATIENCE, api.list(&params)).await {
            Ok(Ok(list)) => {
                failures = 0;
                if let Some(evidence) = goes_back(&list, seen, lease) {
                    history.gone_back(evidence);
                    return;
                }
                seen = seen.max(version(&list));
                list.items.iter().for_each(|lease| history.saw_lease(lease));
                history.checked(began);
                tokio::select! {
                    () = tokio::time::sleep(INTERVAL) => {}
                    _ = state.wait_for(State::is_in_doubt) => {}
                }
            }
            result => {
                failures += 1;
                if !matches!(result, Ok(Err(kube::Error::Api(status))) if status.code < 500) {
                    history.outage();
                }
                tokio::time::sleep(retry::delay(failures).min(LONGEST_PAUSE)).await;
            }
        }
    }
}

fn version<T: Clone>(list: &ObjectList<T>) -> u64 {
    list.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// Evidence that this list is older than what was received before: the version of another list, or of the Lease.
fn goes_back(list: &ObjectList<Lease>, seen: u64, lease: u64) -> Option<String> {
    let now = version(list);
    let highest = seen.max(lease);
    // An API server without a version proves nothing.
    if (1..highest).contains(&now) {
        return Some(format!("Leases are listed at resource version {now} after {highest} was seen"));
    }
    let older = list.items.iter().find(|item| (1..lease).contains(&records::version(&item.metadata)))?;
    let (name, version) = (older.name_any(), records::version(&older.metadata));
    Some(format!("the Lease {name} has the resource version {version} after {lease} was seen"))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::TryStreamExt;
    use http::{Request, Response};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Client;
    use kube::client::Body;
    use kube::core::{ListMeta, ObjectMeta};

    use super::*;

    fn in_doubt(history: &History) -> bool {
        history.state.borrow().is_in_doubt()
    }

    #[test]
    fn a_doubt_ends_with_a_look_that_began_after_it() {
        let history = History::default();
        let before = Instant::now();
        history.outage();
        assert!(in_doubt(&history));
        history.checked(before);
        assert!(in_doubt(&history), "the list may have been on its way before the outage");
        history.checked(Instant::now());
        assert!(!in_doubt(&history));
        history.outage();
        assert!(!in_doubt(&history), "no cluster goes back within a second, and watches may break all the time");
        history.gone_back("first".to_owned());
        history.gone_back("second".to_owned());
        assert!(in_doubt(&history));
        assert_eq!(history.state.borrow().evidence.as_deref(), Some("first"));
        history.checked(Instant::now());
        assert!(in_doubt(&history));
    }

    fn list(version: &str, lease: &str) -> ObjectList<Lease> {
        let some = |version: &str| Some(version.to_owned()).filter(|version| !version.is_empty());
        let metadata = ObjectMeta { resource_version: some(lease), ..ObjectMeta::default() };
        let items = if lease == "none" { Vec::new() } else { vec![Lease { metadata, spec: None }] };
        let metadata = ListMeta { resource_version: some(version), ..ListMeta::default() };
        ObjectList { types: kube::core::TypeMeta::list::<Lease>(), metadata, items }
    }

    #[test]
    fn only_what_is_older_shows_that_the_cluster_has_gone_back() {
        let is_back = |version, lease, seen, known| goes_back(&list(version, lease), seen, known).is_some();
        assert!(is_back("90", "none", 100, 0), "an older list");
        assert!(is_back("90", "80", 0, 95), "a list older than the Lease");
        assert!(is_back("200", "80", 100, 95), "an older Lease in a newer list");
        assert!(!is_back("100", "95", 100, 95), "the same");
        assert!(!is_back("101", "101", 100, 95), "a renewed Lease");
        assert!(!is_back("101", "none", 100, 95), "a deleted Lease");
        assert!(!is_back("", "", 100, 95), "no versions");
        assert!(!is_back("5", "5", 0, 0), "the first look");
    }

    #[test]
    fn an_api_server_that_refuses_is_no_outage() {
        let refused = |code| {
            let status = kube::core::Status { code, ..kube::core::Status::default() };
            is_outage(&watcher::Error::WatchStartFailed(kube::Error::Api(status.boxed())))
        };
        assert!([403, 404, 422, 429].into_iter().all(|code| !refused(code)));
        assert!([410, 500, 503].into_iter().all(refused));
        assert!(is_outage(&watcher::Error::WatchFailed(kube::Error::LinesCodecMaxLineLengthExceeded)));
    }

    /// An API server that answers this one list and disconnects every watch.
    fn client(asked: Arc<Mutex<Vec<String>>>) -> Client {
        let answer = move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let watches = query.contains("watch=true");
            asked.lock().unwrap().push(query);
            async move {
                if watches {
                    return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
                }
                let list = serde_json::json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "500"},
                    "items": []});
                Ok(Response::new(Body::from(list.to_string().into_bytes())))
            }
        };
        Client::new(tower::service_fn(answer), "default")
    }

    /// A watch that continued would see nothing until a restored cluster reaches its version again.
    #[tokio::test]
    async fn after_an_outage_everything_is_listed_and_no_watch_goes_on_where_it_was() {
        let (asked, history) = (Arc::default(), Arc::new(History::default()));
        let api: Api<ConfigMap> = Api::default_namespaced(client(Arc::clone(&asked)));
        let mut events = events(api, watcher::Config::default(), history.clone());
        for _ in 0..2 {
            assert!(matches!(events.try_next().await, Ok(Some(Event::Init))));
            assert!(matches!(events.try_next().await, Ok(Some(Event::InitDone))));
            assert!(matches!(events.try_next().await, Err(watcher::Error::WatchStartFailed(_))));
        }
        assert!(in_doubt(&history));
        let asked = asked.lock().unwrap();
        let watched = |query: &String| query.contains("watch=true") && query.contains("resourceVersion=500");
        assert!(
            matches!(asked.as_slice(), [list, watch, again, _]
            if !list.contains("watch") && watched(watch) && list == again && !again.contains("resourceVersion")),
            "{asked:?}"
        );
    }
}
