//! Leadership: one replica writes.
//!
//! kube-lease-manager takes and renews the Lease. That alone is not enough: a leader that is cut off from the API server
//! learns late that it has lost the Lease. So every write asks the [`Gate`], which is open only until the time that the
//! Lease itself names, by this machine's own clock, which wrote it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1 as coordination;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use kube_lease_manager::{LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Error, Options};

/// The name of the Lease.
const NAME: &str = "bailiwick";

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
    manager: JoinHandle<kube_lease_manager::Result<kube_lease_manager::LeaseManager>>,
    watcher: JoinHandle<()>,
}

impl Lease {
    /// Starts to try for the Lease.
    ///
    /// # Errors
    /// When the Lease cannot be read or created.
    pub async fn start(client: Client, options: &Options) -> Result<Self, Error> {
        let error = |e: LeaseManagerError| Error::Lease(Box::new(e));
        // Two replicas of one name would both believe that they lead.
        let identity = format!("{}-{}", options.identity, std::process::id());
        let manager = LeaseManagerBuilder::new(client.clone(), NAME)
            .with_namespace(&options.namespace)
            .with_identity(&identity)
            .with_duration(options.lease_seconds)
            .with_grace((options.lease_seconds / 3).max(1))
            .build()
            .await
            .map_err(error)?;
        let (held, manager) = manager.watch().await;
        let gate = Gate::default();
        let (leading_in, leading) = watch::channel(false);
        let api = Api::namespaced(client, &options.namespace);
        let watcher = tokio::spawn(follow(api, identity, gate.clone(), leading_in, held));
        Ok(Self { gate, leading, manager, watcher })
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
    pub async fn release(self) {
        self.gate.open_until(0);
        // The manager releases when nobody listens to it any more.
        self.watcher.abort();
        if let Ok(Err(error)) = self.manager.await {
            tracing::warn!(%error, "the lease could not be released; it runs out by itself");
        }
    }
}

/// Opens the gate for as long as the Lease says, whenever the Lease is seen to be ours.
async fn follow(
    api: Api<coordination::Lease>,
    identity: String,
    gate: Gate,
    leading: watch::Sender<bool>,
    held: watch::Receiver<bool>,
) {
    let config = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
    let mut leases = watcher(api, config).backoff(super::retry::OfWatch::default()).touched_objects().boxed();
    while let Some(lease) = leases.next().await {
        let Ok(lease) = lease else { continue };
        let until = lease.spec.as_ref().and_then(|spec| {
            let ours = spec.holder_identity.as_deref() == Some(&identity);
            let seconds = i64::from(spec.lease_duration_seconds?);
            ours.then(|| spec.renew_time.as_ref().map(|t| t.0.as_millisecond() + seconds * 1000)).flatten()
        });
        gate.open_until(until.unwrap_or(0));
        leading.send_if_modified(|l| {
            let changed = *l != until.is_some();
            *l = until.is_some();
            changed
        });
    }
    drop(held);
}
