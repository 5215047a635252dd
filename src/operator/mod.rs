//! Watches the cluster, asks [`crate::core`] what should exist, and writes it.
//!
//! ```text
//! watch ──▶ engine (cache, observed objects, work queue) ──▶ writer ──▶ API server
//!               ▲                                               │
//!               └────────────── results of writes ◀─────────────┘
//! ```
//! The engine is one task, on a thread of its own, and owns all state; watches and the writer only send it values. No
//! rule about access belongs here.

pub mod comparison;
mod configuration;
pub mod engine;
mod guarded;
mod history;
mod http;
mod inbox;
mod lease;
pub mod metrics;
mod multiplexed;
mod owned;
mod policies;
mod retry;
mod stop;
mod watch;
pub mod watch_event;
pub mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tower::util::MapRequestLayer;

use self::engine::{Engine, Now};
use self::history::History;
use self::inbox::Inbox;
use self::lease::Lease;
use self::metrics::Metrics;
use self::writer::Applier;

/// How long releasing the Lease may take when this replica stops. The process ends at most a second later.
const PATIENCE: Duration = Duration::from_secs(3);

/// Options of the operator.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The release namespace, with the configuration and the Lease.
    #[arg(long, env = "BAILIWICK_NAMESPACE")]
    pub namespace: String,
    /// The name of this replica in the Lease.
    #[arg(long, env = "POD_NAME", default_value = "bailiwick")]
    pub identity: String,
    /// The address that serves /healthz, /readyz and /metrics.
    #[arg(long, env = "BAILIWICK_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// How many writes that grant access may be in flight at once, and up to eight times as many that revoke it.
    #[arg(long, env = "BAILIWICK_WRITES_IN_FLIGHT", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub writes_in_flight: u16,
    /// After how many seconds without a renewal another replica takes over.
    #[arg(long, env = "BAILIWICK_LEASE_SECONDS", default_value_t = 15)]
    pub lease_seconds: u64,
    /// The period in seconds in which the idle operator checks every namespace again.
    #[arg(long, env = "BAILIWICK_RESYNC_SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub resync_seconds: u32,
    /// What to log, in the syntax of Rust's `tracing` (`debug`, or `info,bailiwick::operator::writer=debug`).
    #[arg(long, env = "RUST_LOG", default_value = "info,kube_client=off,kube_runtime=off,kube_lease_manager=off")]
    pub log: String,
    /// The format of the log: `json` writes one object a line.
    #[arg(long, env = "BAILIWICK_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines of text.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why the operator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No configuration for a cluster.
    #[error("cannot find out how to reach the cluster: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// No client.
    #[error("cannot make a client: {0}")]
    Client(#[source] Box<kube::Error>),
    /// The port is taken, for example.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address to listen on.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// Without the thread, nothing would receive a signal.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// One of the tasks ended.
    #[error("a part of the operator ended: {0}")]
    Ended(String),
}

/// Runs the operator until a signal stops it.
///
/// # Errors
/// When it cannot start, or a part of it ends.
pub async fn run(options: Options) -> Result<(), Error> {
    let stop = stop::signals().map_err(Error::Thread)?;
    let config = config().await?;
    let client = client(config.clone())?;
    let metrics = Arc::new(Metrics::default());
    let listener = tokio::net::TcpListener::bind(options.listen)
        .await
        .map_err(|source| Error::Listen { address: options.listen, source })?;
    // The port may have been left to the system.
    let address = listener.local_addr().map_or(options.listen, |address| address);
    tracing::info!(%address, namespace = options.namespace, "started");

    let mut http = tokio::spawn(http::serve(listener, metrics.clone()));
    let mut pauses = retry::OfWatch::default();
    tokio::pin!(stop);
    loop {
        let mut parts = Parts::start(&client, config.clone(), &options, &metrics)?;
        let history = parts.history.clone();
        let ended = tokio::select! {
            ended = parts.ended() => Err(ended),
            result = &mut http => Err(Error::Ended(format!("http: {result:?}"))),
            _ = &mut stop => {
                tracing::info!("stopping: the lease is released");
                Ok(())
            }
            evidence = history.ended() => {
                tracing::error!(evidence, "the cluster has gone back to an older state: everything is read again");
                metrics.start_over(evidence);
                parts.abort().await;
                // API servers of which some are still to be restarted may show this again and again.
                tokio::time::sleep(pauses.next().unwrap_or_default()).await;
                continue;
            }
        };
        // Another replica need not wait for its end, whatever it was that ended.
        if tokio::time::timeout(PATIENCE, parts.lease.release()).await.is_err() {
            tracing::warn!("the lease could not be released in time; it runs out by itself");
        }
        return ended;
    }
}

/// Everything with state about the cluster. If the cluster goes back to an older state, all of it starts again.
struct Parts {
    history: Arc<History>,
    lease: Lease,
    watches: JoinSet<()>,
    engine: oneshot::Receiver<()>,
    writer: JoinHandle<()>,
}

impl Parts {
    fn start(client: &Client, config: Config, options: &Options, metrics: &Arc<Metrics>) -> Result<Self, Error> {
        let history = Arc::new(History::default());
        let lease = Lease::start(client.clone(), options, &history);
        let mut inbox = Inbox::default();
        let (jobs, jobs_out) = mpsc::unbounded_channel();
        let (done_in, done) = mpsc::unbounded_channel();
        let mut watches = JoinSet::new();
        let namespace = &options.namespace;
        let resync = Duration::from_secs(options.resync_seconds.into());
        watch::spawn_all(&mut watches, client, namespace, &mut inbox, metrics, &history, resync * comparison::PERIODS);
        let policies =
            policies::follow(client.clone(), namespace.clone(), inbox.sender(), metrics.clone(), history.clone());
        watches.spawn(policies);
        let in_flight = usize::from(options.writes_in_flight);
        let (own_watches, requests) = mpsc::unbounded_channel();
        let clients = multiplexed::Clients::new(config);
        watches.spawn(owned::follow(client.clone(), clients, requests, inbox.sender()));
        let engine = Engine::new(metrics.clone(), jobs, in_flight, Now::read());
        let engine = engine.with_resync(resync).with_own_watches(own_watches);
        let engine = on_a_thread("engine", engine.run(inbox, done, lease.leading(), history.clone()))?;
        let applier = Applier::new(client.clone(), namespace.clone(), lease.gate(), metrics.clone());
        let writer = tokio::spawn(writer::run(applier, in_flight, jobs_out, done_in, history.clone()));
        Ok(Self { history, lease, watches, engine, writer })
    }

    /// Returns when a part has ended, which none should.
    async fn ended(&mut self) -> Error {
        tokio::select! {
            result = &mut self.engine => Error::Ended(format!("engine: {result:?}")),
            result = &mut self.writer => Error::Ended(format!("writer: {result:?}")),
        }
    }

    /// Aborts all parts, and returns when none is left. Does not release the Lease.
    async fn abort(mut self) {
        self.writer.abort();
        self.watches.shutdown().await;
        drop(self.lease);
        // It ends when nobody is left to send it anything.
        let _ = self.engine.await;
    }
}

async fn config() -> Result<Config, Error> {
    let mut config = Config::infer().await?;
    // The engine repeats what fails, with the newest knowledge. A retry below it would hold a place in the writer for
    // minutes, and might write what is no longer wanted.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.write_timeout = Some(Duration::from_secs(30));
    // A connection may end without a word. A watch that lives says something before that, or is ended by the API
    // server. It is an error before kube's own end of a watch, five seconds after its life, which is none: everything
    // is listed again.
    config.read_timeout = Some(Duration::from_secs(u64::from(history::LIFE) + 3));
    config.reset_reader_on_write = true;
    Ok(config)
}

fn client(config: Config) -> Result<Client, Error> {
    let builder = ClientBuilder::try_from(config).map_err(|e| Error::Client(Box::new(e)))?;
    Ok(builder.with_layer(&MapRequestLayer::new(watch::consistent)).build())
}

/// Runs a task on a thread of its own, and reports its end. On the shared runtime, tasks woken by the engine queue on
/// its worker thread until it yields, so writes would leave only after all pending decisions.
fn on_a_thread(name: &str, task: impl Future<Output = ()> + Send + 'static) -> Result<oneshot::Receiver<()>, Error> {
    let (ended_in, ended) = oneshot::channel();
    let runtime = Handle::current();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        runtime.block_on(task);
        let _ = ended_in.send(());
    });
    thread.map(|_| ended).map_err(Error::Thread)
}
