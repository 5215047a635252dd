//! Leadership: one replica writes.
//!
//! kube-lease-manager takes and renews the Lease. That alone is not enough: a leader that is cut off from the API server
//! learns late that it has lost the Lease. So every write asks the [`Gate`], which is open only until the time that the
//! Lease itself names, by this machine's own clock, which wrote it.
//!
//! The manager's own loop is not used: after an error it waits up to 30 seconds, longer after every error of its life, so
//! that one answer of 503 costs an old leader its Lease; and it never recreates a Lease that somebody deleted. A replica that
//! stands by sleeps in it for as long as the Lease said when it last looked, also when the leader has given it up since: so
//! who sees that in the watch is woken.

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

use super::history::{self, History};
use super::watch::LIFE;
use super::{Options, retry};

/// The name of the Lease.
const NAME: &str = "bailiwick";
/// As after so many failures in a row the Lease is tried again: within a second, whatever went wrong before.
const PAUSE: u32 = 4;

/// Whether this replica may start a write now.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<AtomicI64>);

impl Gate {
    /// Whether the Lease is this replica's at this moment.
    #[must_use]
    pub fn is_open(&self) -> bool {
        Timestamp::now().as_millisecond() < self.0.load(Ordering::Acquire)
    }

    fn open_until(&self, millisecond: i64) {
        self.0.store(millisecond, Ordering::Release);
    }
}

/// Taking part in leader election.
pub struct Lease {
    gate: Gate,
    leading: watch::Receiver<bool>,
    stop: Option<oneshot::Sender<()>>,
    keeper: JoinHandle<()>,
    /// Follow the Lease, and compare it with what it was.
    watchers: JoinSet<()>,
}

impl Lease {
    /// Starts to try for the Lease, and never stops trying.
    #[must_use]
    pub(super) fn start(client: Client, options: &Options, history: &Arc<History>) -> Self {
        // Two replicas of one name would both believe that they lead.
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

    /// Asked before every write.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// Changes when leadership does.
    #[must_use]
    pub fn leading(&self) -> watch::Receiver<bool> {
        self.leading.clone()
    }

    /// Gives the Lease back, so that another replica need not wait for it to run out.
    pub async fn release(mut self) {
        self.gate.open_until(0);
        self.watchers.abort_all();
        self.stop = None;
        if let Err(error) = (&mut self.keeper).await {
            tracing::warn!(%error, "the lease could not be released; it runs out by itself");
        }
    }
}

impl Drop for Lease {
    /// Stops without giving the Lease back.
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Takes the Lease and renews it, until it is told to stop. Then it gives the Lease back.
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
            // The Lease as it is tells whether the cluster has gone back, so it is looked at before it is renewed.
            () = history.doubted() => tokio::select! {
                _ = &mut stopped => break,
                () = history.certain() => {}
            },
            () = try_for(&builder, &mut manager) => {}
        }
    }
    let Some(manager) = manager else { return };
    if let Err(error) = manager.release().await {
        tracing::warn!(%error, "the lease could not be released; it runs out by itself");
    }
}

/// Returns when leadership has changed, or when something went wrong and it is time to try again.
async fn try_for(builder: &impl Fn() -> LeaseManagerBuilder, manager: &mut Option<LeaseManager>) {
    let result = match manager {
        Some(manager) => manager.changed().await.map(drop),
        None => builder().build().await.map(|made| *manager = Some(made)),
    };
    let Err(error) = result else { return };
    tracing::warn!(%error, "the lease could not be taken or renewed; it is tried again");
    if matches!(error, LeaseManagerError::NonexistentLease(_)) {
        // Somebody deleted it. Only a new manager recreates it.
        *manager = None;
    }
    tokio::time::sleep(retry::delay(PAUSE)).await;
}

/// Opens the gate for as long as the Lease says, whenever the Lease is seen to be ours.
/// Wakes the keeper when the Lease is nobody's.
async fn follow(
    api: Api<coordination::Lease>,
    identity: String,
    seconds: u64,
    gate: Gate,
    leading: watch::Sender<bool>,
    free: Arc<Notify>,
    history: Arc<History>,
) {
    // A watch whose connection has ended without a word keeps the gate shut while the manager goes on renewing.
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
