//! Leader election: one replica writes.
//!
//! kube-lease-manager acquires and renews the Lease. That is not enough: a leader that is cut off from the API server
//! learns late that it has lost the Lease. So every write checks the [`Gate`], which is open only until the time in the
//! Lease, by the clock of this machine, which wrote that time.
//!
//! The manager's own loop is not used. After an error it waits up to 30 seconds, and longer after each further error,
//! so a single 503 would cost the leader its Lease. It also never recreates a deleted Lease. And a standby sleeps in it
//! until the Lease that it last saw expires, even if the leader releases the Lease earlier; so a watch wakes the
//! standby.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1 as coordination;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::history::LIFE;
use super::history::{self, History};
use super::{Options, retry};

/// The name of the Lease.
const NAME: &str = "bailiwick";
/// The failure count that determines every pause before the Lease is tried again: within a second.
const PAUSE: u32 = 4;

/// Whether this replica may start a write now.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<AtomicI64>);

impl Gate {
    /// Whether this replica holds the Lease now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        Timestamp::now().as_millisecond() < self.0.load(Ordering::Acquire)
    }

    fn open_until(&self, millisecond: i64) {
        self.0.store(millisecond, Ordering::Release);
    }
}

/// Participation in leader election.
pub struct Lease {
    gate: Gate,
    leading: watch::Receiver<bool>,
    stop: Option<oneshot::Sender<()>>,
    keeper: JoinHandle<()>,
    /// Follow the Lease, and check its history.
    watchers: JoinSet<()>,
}

impl Lease {
    /// Starts to try for the Lease, and never stops.
    #[must_use]
    pub(super) fn start(client: Client, options: &Options, history: &Arc<History>) -> Self {
        // Two replicas with one name would both believe that they lead.
        let identity = format!("{}-{}", options.identity, std::process::id());
        let (namespace, seconds, name) = (options.namespace.clone(), options.lease_seconds, identity.clone());
        let of_manager = client.clone();
        let builder = move || {
            LeaseManagerBuilder::new(of_manager.clone(), NAME)
                .with_namespace(&namespace)
                .with_identity(&name)
                .with_duration(seconds)
                .with_grace((seconds / 3).max(1))
        };
        let (stop, stopped) = oneshot::channel();
        let free = Arc::new(Notify::new());
        let keeper = tokio::spawn(keep(builder, stopped, free.clone(), history.clone()));
        let gate = Gate::default();
        let (leading_in, leading) = watch::channel(false);
        let api: Api<coordination::Lease> = Api::namespaced(client, &options.namespace);
        let mut watchers = JoinSet::new();
        watchers.spawn(history::look_at_lease(api.clone(), NAME, history.clone()));
        watchers.spawn(follow(api, identity, seconds, gate.clone(), leading_in, free, history.clone()));
        Self { gate, leading, stop: Some(stop), keeper, watchers }
    }

    /// Has to be open for every write.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// Changes when leadership does.
    #[must_use]
    pub fn leading(&self) -> watch::Receiver<bool> {
        self.leading.clone()
    }

    /// Releases the Lease, so that another replica need not wait until it expires.
    pub async fn release(mut self) {
        self.gate.open_until(0);
        self.watchers.abort_all();
        self.stop = None;
        if let Err(error) = (&mut self.keeper).await {
            tracing::warn!(%error, "cannot release the Lease; it expires by itself");
        }
    }
}

impl Drop for Lease {
    /// Stops without releasing the Lease.
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Acquires and renews the Lease until it has to stop, then releases it.
async fn keep(
    builder: impl Fn() -> LeaseManagerBuilder,
    mut stopped: oneshot::Receiver<()>,
    free: Arc<Notify>,
    history: Arc<History>,
) {
    let mut manager = None;
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            // Only a new manager looks at the Lease at once.
            () = free.notified() => manager = None,
            // The old Lease shows whether the cluster went back, so it is checked before it is renewed.
            () = history.doubted() => tokio::select! {
                _ = &mut stopped => break,
                () = history.certain() => {}
            },
            () = try_for(&builder, &mut manager) => {}
        }
    }
    let Some(manager) = manager else { return };
    if let Err(error) = manager.release().await {
        tracing::warn!(%error, "cannot release the Lease; it expires by itself");
    }
}

/// Returns when leadership has changed, or after an error and a pause.
async fn try_for(builder: &impl Fn() -> LeaseManagerBuilder, manager: &mut Option<LeaseManager>) {
    let result = match manager {
        Some(manager) => manager.changed().await.map(drop),
        None => builder().build().await.map(|made| *manager = Some(made)),
    };
    let Err(error) = result else { return };
    tracing::warn!(%error, "cannot acquire or renew the Lease; retrying");
    if matches!(error, LeaseManagerError::NonexistentLease(_)) {
        // Somebody deleted it, and only a new manager recreates it.
        *manager = None;
    }
    tokio::time::sleep(retry::delay(PAUSE)).await;
}

/// Opens the gate until the Lease expires, whenever the watch shows that this replica holds it. Wakes the keeper when
/// nobody holds it.
async fn follow(
    api: Api<coordination::Lease>,
    identity: String,
    seconds: u64,
    gate: Gate,
    leading: watch::Sender<bool>,
    free: Arc<Notify>,
    history: Arc<History>,
) {
    // If the connection of a watch ended silently, the gate stays shut while the manager goes on renewing.
    let life = u32::try_from(seconds).unwrap_or(LIFE).min(LIFE);
    let config = watcher::Config::default().fields(&format!("metadata.name={NAME}")).timeout(life);
    let mut leases = history::events(api, config, history.clone()).touched_objects().boxed();
    while let Some(lease) = leases.next().await {
        let Ok(lease) = lease else { continue };
        history.saw_lease(&lease);
        let until = lease.spec.as_ref().and_then(|spec| {
            let ours = spec.holder_identity.as_deref() == Some(&identity);
            let seconds = i64::from(spec.lease_duration_seconds?);
            ours.then(|| spec.renew_time.as_ref().map(|t| t.0.as_millisecond() + seconds * 1000)).flatten()
        });
        gate.open_until(until.unwrap_or(0));
        if lease.spec.as_ref().is_none_or(|spec| spec.holder_identity.is_none()) {
            free.notify_one();
        }
        leading.send_if_modified(|l| {
            let changed = *l != until.is_some();
            *l = until.is_some();
            changed
        });
    }
}
