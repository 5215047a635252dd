//! Metrics, for Prometheus.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::watch_event::Kind;
use crate::api::vocabulary as v;

/// A broken watch fails again within this time: its longest pause, plus the time to detect that nobody answers. A watch
/// without failures for that time works. A single failure may just have been early: the API server serves a new kind a
/// moment after its definition.
const BROKEN: Duration = Duration::from_secs(15);

/// Failures of one watch since its last success, and the time of the last one.
#[derive(Debug)]
struct Failures {
    times: u32,
    last: Instant,
}

/// The kind of a write and its result.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WriteLabels {
    /// `create`, `apply`, `delete`, `claim`, `status`, `suspended` (the list of suspended users) or `unlabel`.
    pub verb: &'static str,
    /// `ok`, `altered`, `conflict`, `refused` or `failed` (including no answer).
    pub result: &'static str,
}

/// The state of policies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabels {
    /// `InPlace`, or a reason of the condition `PoliciesInPlace`.
    pub state: &'static str,
}

/// A ConfigMap of the chart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MapLabels {
    /// Its name.
    pub config_map: &'static str,
}

/// Why something is withheld.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    /// A reason of our conditions.
    pub reason: &'static str,
}

/// A kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// A kind that is watched.
    pub kind: &'static str,
}

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Writes to the API server.
    pub writes: Family<WriteLabels, Counter>,
    /// Duration of a write, in seconds.
    pub write_seconds: Histogram,
    /// Duration of a decision, in seconds.
    pub decide_seconds: Histogram,
    /// Namespaces (and the site) that wait for a decision or a write.
    pub units_busy: Gauge,
    /// Native objects that the API server currently refuses.
    pub refused: Gauge,
    /// Objects that are not ready, by reason.
    pub not_ready: Family<ReasonLabels, Gauge>,
    /// Corrections by the resync, by kind of the wrong object: each is a bug in the operator.
    pub resync_corrections: Family<KindLabels, Counter>,
    /// Failures of watches.
    pub watch_errors: Counter,
    /// Watches that last reported an error, and when. A watch that resumes is silent until something changes.
    broken: Mutex<BTreeMap<Kind, Failures>>,
    /// The number of broken watches.
    watches_broken: Gauge,
    /// Admission policies (and bindings) of the chart, by whether they are as installed.
    pub policies: Family<StateLabels, Gauge>,
    /// Whether the chart's list of suspended users is missing, which an admission policy needs.
    pub suspended_list_missing: Gauge,
    /// Suspended users that do not fit into the list.
    pub suspended_left_out: Gauge,
    /// 1 for each ConfigMap of the chart that cannot be read.
    pub configuration_unreadable: Family<MapLabels, Gauge>,
    /// 1 in the replica that writes.
    pub leading: Gauge,
    /// Times that the cluster went back to an older state.
    restores: Counter,
    /// The evidence of the last time.
    evidence: Mutex<Option<String>>,
    /// Every watch has listed its objects once.
    pub synced: AtomicBool,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("bailiwick");
        let seconds = || Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        let metrics = Self {
            registry: Registry::default(),
            writes: Family::default(),
            write_seconds: seconds(),
            decide_seconds: seconds(),
            units_busy: Gauge::default(),
            refused: Gauge::default(),
            not_ready: Family::default(),
            resync_corrections: Family::default(),
            watch_errors: Counter::default(),
            broken: Mutex::default(),
            watches_broken: Gauge::default(),
            policies: Family::default(),
            suspended_list_missing: Gauge::default(),
            suspended_left_out: Gauge::default(),
            configuration_unreadable: Family::default(),
            leading: Gauge::default(),
            restores: Counter::default(),
            evidence: Mutex::default(),
            synced: AtomicBool::new(false),
        };
        registry.register("writes", "Writes to the API server", metrics.writes.clone());
        registry.register("write_seconds", "Duration of a write", metrics.write_seconds.clone());
        registry.register("decide_seconds", "Duration of a decision", metrics.decide_seconds.clone());
        registry.register("units_busy", "Namespaces, and the site, with work to do", metrics.units_busy.clone());
        registry.register("refused_objects", "Native objects that the API server refuses", metrics.refused.clone());
        registry.register("not_ready_objects", "Objects that are not ready, by reason", metrics.not_ready.clone());
        let corrections = "Corrections by the resync, by kind: each is a bug in the operator";
        // Creates every series at once: a counter that appears with its first count shows no increase.
        for kind in Kind::ALL.map(Kind::as_str) {
            drop(metrics.resync_corrections.get_or_create(&KindLabels { kind }));
        }
        registry.register("resync_corrections", corrections, metrics.resync_corrections.clone());
        registry.register("watch_errors", "Failures of watches", metrics.watch_errors.clone());
        registry.register("watches_broken", "Watches that are failing now", metrics.watches_broken.clone());
        registry.register("policies", "Admission policies of the chart, by state", metrics.policies.clone());
        let list = metrics.suspended_list_missing.clone();
        registry.register("suspended_list_missing", "1 while the ConfigMap of suspended users is missing", list);
        let left_out = metrics.suspended_left_out.clone();
        registry.register("suspended_left_out", "Suspended users that do not fit into the ConfigMap", left_out);
        let unreadable = metrics.configuration_unreadable.clone();
        registry.register("configuration_unreadable", "1 while a ConfigMap of the chart cannot be read", unreadable);
        let restores = "Times that the cluster went back to an older state (etcd was restored)";
        registry.register("cluster_restores", restores, metrics.restores.clone());
        registry.register("leading", "1 in the replica that writes", metrics.leading.clone());
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// Counts a failure of a watch.
    pub fn watch_broke(&self, kind: Kind) {
        self.watch_errors.inc();
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        let times = broken.get(&kind).filter(|f| f.last.elapsed() < BROKEN).map_or(0, |f| f.times) + 1;
        broken.insert(kind, Failures { times, last: Instant::now() });
    }

    /// Notes that a watch works.
    pub fn watch_works(&self, kind: Kind) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).remove(&kind);
    }

    /// The watches that are broken now.
    #[must_use]
    pub fn broken_watches(&self) -> Vec<Kind> {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.retain(|_, failures| failures.last.elapsed() < BROKEN);
        broken.iter().filter(|(_, failures)| failures.times > 1).map(|(kind, _)| *kind).collect()
    }

    /// The cluster went back to an older state, as `evidence` shows: no earlier state counts.
    pub fn start_over(&self, evidence: String) {
        self.restores.inc();
        *self.evidence.lock().unwrap_or_else(PoisonError::into_inner) = Some(evidence);
        self.synced.store(false, Ordering::Release);
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.not_ready.clear();
        for gauge in [&self.leading, &self.units_busy, &self.refused] {
            gauge.set(0);
        }
    }

    /// The evidence that the cluster went back, if it ever did.
    #[must_use]
    pub fn evidence(&self) -> Option<String> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The ConfigMaps of the chart that cannot be read now.
    #[must_use]
    pub fn unreadable_configuration(&self) -> Vec<&'static str> {
        let mut maps = vec![v::BOUNDS_CONFIG_MAP, v::SETTINGS_CONFIG_MAP, v::POLICIES_CONFIG_MAP];
        maps.retain(|map| {
            self.configuration_unreadable.get(&MapLabels { config_map: map }).is_some_and(|g| g.get() > 0)
        });
        maps
    }

    /// All metrics in the text format of OpenMetrics.
    #[must_use]
    pub fn text(&self) -> String {
        self.watches_broken.set(i64::try_from(self.broken_watches().len()).unwrap_or(i64::MAX));
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# {error}\n"),
        }
    }
}
