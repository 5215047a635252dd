//! The engine: a loop that does no I/O. It takes in events and answers, decides what follows, and sends writes to the
//! writer.
//!
//! One task owns all state, in parts:
//!
//! | part | what it holds |
//! |---|---|
//! | [`Cache`] | our objects and the chart's configuration, as records with indexes; says what a change affects |
//! | [`WriteFailures`] | what the API server refuses: an input to decisions, beside the cache |
//! | [`KeyState`] | of the site and of each namespace: its native objects, the last decision, and where the work on it is |
//! | [`WorkQueue`] | which key is next |
//! | [`WriteBudget`] | how many writes may be in flight |
//! | [`StatusQueue`] | statuses that wait until what they say is true, or for a place |
//! | [`SuspendedUsers`], [`DecisionRecord`] | the two ConfigMaps that the operator writes |
//! | [`Listings`], [`Timers`] | which kinds were seen; what changes by itself |
//!
//! For each key the engine asks core what should be there, compares that with what is there, sends the next step of
//! writes to the writer, and goes on when all of them are answered; revocations begin beside them. It remembers nothing
//! about a plan between two steps, so every step rests on the newest state. `docs/life-of-an-event.md` follows one
//! change through all of it.

mod claiming;
mod clock;
mod decision_record;
mod intake;
mod key;
mod listings;
mod log;
mod new_namespaces;
mod outcomes;
mod own_watches;
mod reconcile;
mod reread;
mod resync;
mod statuses;
mod suspended_users;
mod work_queue;
mod write_budget;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::FutureExt;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

pub use self::clock::Now;
use self::clock::{Timers, sleep_until, sleep_until_time};
use self::decision_record::DecisionRecord;
use self::key::{KeyState, ReconcileKey};
use self::listings::Listings;
use self::new_namespaces::NewNamespaces;
pub use self::own_watches::OwnWatch;
use self::own_watches::OwnWatches;
use self::resync::Resync;
use self::statuses::{NotReady, StatusQueue};
use self::suspended_users::SuspendedUsers;
use self::work_queue::{Priority, WorkQueue};
use self::write_budget::WriteBudget;
use super::history::History;
use super::inbox::Inbox;
use super::metrics::Metrics;
use super::watch_event::WatchEvent;
use super::writer::{WriteRequest, WriteResult};
use crate::core::cache::{Affected, Cache};
use crate::core::object_ref::ApiRef;
use crate::core::uid::Uid;
use crate::core::write_failures::WriteFailures;

/// How many keys are reconciled before new events are looked at.
const KEYS_A_TURN: usize = 32;
/// How many results of writes are taken in before keys are reconciled.
const RESULTS_A_TURN: usize = 1024;
/// After this time in one turn, the other of the two goes on, however many events there are to take in, or keys to decide.
const LONGEST_TURN: Duration = Duration::from_millis(5);

/// All state of the operator. Only [`Engine::run`] reads a clock and does I/O, so tests can simulate everything else.
pub struct Engine {
    /// When this turn began.
    now: Now,
    cache: Cache,
    write_failures: WriteFailures,
    keys: HashMap<ReconcileKey, KeyState>,
    queue: WorkQueue,
    /// Keys that were not decided since this replica leads: the site last.
    undecided: Vec<ReconcileKey>,
    budget: WriteBudget,
    statuses: StatusQueue,
    not_ready: NotReady,
    suspended: SuspendedUsers,
    record: DecisionRecord,
    listings: Listings,
    timers: Timers,
    new_namespaces: NewNamespaces,
    own_watches: OwnWatches,
    resync: Resync,
    /// ConfigMaps of the chart that cannot be read, and why not.
    unread: BTreeMap<&'static str, (Uid, String)>,
    /// Objects that are being read again.
    rereading: HashSet<ApiRef>,
    /// Counts changes, to tell which of them a decision has taken into account.
    revision: u64,
    /// Keys with work to do, by the revision since which they have it.
    busy: BTreeSet<(u64, ReconcileKey)>,
    /// The object whose change is being taken in, for the log.
    cause: Option<String>,
    /// It is in doubt whether the cluster is still what it was.
    held: bool,
    leading: bool,
    metrics: Arc<Metrics>,
    writer: mpsc::UnboundedSender<WriteRequest>,
}

impl Engine {
    /// `writes_at_once`: how many writes that grant access may be in flight at once.
    #[must_use]
    pub fn new(
        metrics: Arc<Metrics>,
        writer: mpsc::UnboundedSender<WriteRequest>,
        writes_at_once: usize,
        now: Now,
    ) -> Self {
        Self {
            now,
            cache: Cache::default(),
            write_failures: WriteFailures::default(),
            keys: HashMap::new(),
            queue: WorkQueue::default(),
            undecided: Vec::new(),
            budget: WriteBudget::new(writes_at_once),
            statuses: StatusQueue::default(),
            not_ready: NotReady::default(),
            suspended: SuspendedUsers::default(),
            record: DecisionRecord::default(),
            listings: Listings::default(),
            timers: Timers::default(),
            new_namespaces: NewNamespaces::default(),
            own_watches: OwnWatches::default(),
            resync: Resync::new(now.clock),
            unread: BTreeMap::new(),
            rereading: HashSet::new(),
            revision: 0,
            busy: BTreeSet::new(),
            cause: None,
            held: false,
            leading: false,
            metrics,
            writer,
        }
    }

    /// `out` gets requests to watch the owners of objects.
    #[must_use]
    pub fn with_own_watches(self, out: mpsc::UnboundedSender<OwnWatch>) -> Self {
        Self { own_watches: OwnWatches::new(out), ..self }
    }

    /// Runs until the watches and the writer are gone.
    pub(super) async fn run(
        mut self,
        mut inbox: Inbox,
        mut results_in: mpsc::UnboundedReceiver<WriteResult>,
        mut leading: watch::Receiver<bool>,
        history: Arc<History>,
    ) {
        let mut results = Vec::new();
        let mut state = history.state();
        loop {
            let (time, clock) = self.wakes_at();
            let clock = [clock, self.resyncs_at()].into_iter().flatten().min();
            let mut event = None;
            tokio::select! {
                biased;
                changed = leading.changed() => {
                    if changed.is_err() { return; }
                    let leads = *leading.borrow_and_update();
                    self.lead(leads);
                }
                _ = state.changed() => {}
                n = results_in.recv_many(&mut results, RESULTS_A_TURN) => if n == 0 { return },
                seen = inbox.next() => {
                    event = seen;
                    if event.is_none() { return; }
                }
                () = sleep_until_time(time), if time.is_some() => {}
                () = sleep_until(clock), if clock.is_some() => {}
                () = std::future::ready(()), if self.has_work() => {}
            }
            // Both are looked at in every turn, so that neither starves the other.
            while results.len() < RESULTS_A_TURN && results_in.try_recv().map(|r| results.push(r)).is_ok() {}
            let began = Instant::now();
            let more = || {
                let is_time = began.elapsed() < LONGEST_TURN;
                if is_time { inbox.next().now_or_never().flatten() } else { None }
            };
            self.hold(state.borrow_and_update().is_in_doubt());
            self.turn(Now::read(), results.drain(..), event.into_iter().chain(std::iter::from_fn(more)));
            if let Some(evidence) = self.gone_back() {
                history.gone_back(evidence.to_owned());
            }
        }
    }

    /// Whether it begins nothing new, because the cluster may have gone back in time.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// The evidence that the cluster went back in time, if there is any.
    #[must_use]
    pub fn gone_back(&self) -> Option<&str> {
        self.listings.gone_back()
    }

    /// Takes in results of writes and events of watches, and continues the work.
    pub fn turn(
        &mut self,
        now: Now,
        results: impl Iterator<Item = WriteResult>,
        events: impl Iterator<Item = WatchEvent>,
    ) {
        self.now = now;
        results.for_each(|result| self.written(result));
        events.for_each(|event| self.watched(event));
        self.end_pauses();
        if self.may_begin() {
            self.work();
        }
        self.count_busy();
    }

    fn work(&mut self) {
        let began = Instant::now();
        self.reconcile(&ReconcileKey::SuspendedUsers);
        if self.record.is_due(self.now.clock, self.busy.is_empty()) {
            self.queue.add_with(ReconcileKey::DecisionRecord, Priority::Last);
        }
        self.reread_due_of_site();
        for _ in 0..KEYS_A_TURN {
            if let Some(key) = self.undecided.pop() {
                self.decide_first(&key);
            } else if let Some(key) = self.queue.take(self.budget.room(self.now.clock)) {
                self.reconcile(&key);
            } else {
                break;
            }
            if began.elapsed() > LONGEST_TURN {
                break;
            }
        }
        self.write_statuses(began);
        self.resync(began);
    }

    /// Queues keys whose pauses have ended.
    fn end_pauses(&mut self) {
        while let Some(key) = self.queue.due(self.now.clock) {
            self.on_pause_over(key);
        }
        while let Some(key) = self.timers.pop(self.now.time) {
            self.on_timer(key);
        }
        self.queue.end_rests(self.now.clock);
    }

    fn count_busy(&self) {
        self.metrics.units_busy.set(i64::try_from(self.busy.len()).unwrap_or(i64::MAX));
    }

    /// When it needs its next turn if nothing happens before, by either clock.
    #[must_use]
    pub fn wakes_at(&self) -> (Option<Timestamp>, Option<Instant>) {
        let clocks = [self.queue.next_at(), self.budget.stalls_at(self.now.clock)];
        (self.timers.next(), clocks.into_iter().flatten().min())
    }

    /// Whether it may decide: this replica leads, and every watch has listed its objects once.
    fn may_act(&self) -> bool {
        self.leading && self.listings.all_complete()
    }

    fn may_begin(&self) -> bool {
        self.may_act() && !self.held && self.gone_back().is_none()
    }

    /// Whether it needs its next turn at once.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let room = self.budget.room(self.now.clock);
        let waits = !self.undecided.is_empty() || self.queue.has_next(room) || self.statuses.more;
        self.may_begin() && waits
    }

    /// Starts or stops leading.
    pub fn lead(&mut self, leading: bool) {
        if leading != self.leading {
            tracing::info!(leading, "leadership");
        }
        self.leading = leading;
        self.undecided.clear();
        if leading {
            self.start_over();
        } else {
            self.statuses.forget_pending();
        }
        // Whoever asks whether it leads and is idle must not take what comes before its first look for idleness.
        self.count_busy();
        // It leads and is idle only when it has seen everything.
        self.metrics.leading.set(i64::from(self.may_act()));
    }

    /// Queues everything: another replica may have led meanwhile.
    fn start_over(&mut self) {
        self.unread.keys().for_each(|map| self.report_unread(map));
        self.write_failures.refused_claims.clear();
        self.keys.values_mut().for_each(KeyState::start_over);
        self.suspended.start_over();
        self.affected(Affected {
            users: self.cache.users.names(),
            organizations: self.cache.organizations.names(),
            ..Affected::everything()
        });
        // Only when all is decided is it known what they hold.
        self.statuses.count_again(self.cache.users.names(), self.now.clock);
        // From the end. The site rests on every namespace, and the default organization on who belongs to another.
        let defaults: Vec<_> = self.cache.default_namespaces().map(ReconcileKey::Namespace).collect();
        let others = self.keys.keys().filter(|key| **key != ReconcileKey::Site && !defaults.contains(key)).cloned();
        self.undecided = [ReconcileKey::Site].into_iter().chain(defaults.clone()).chain(others).collect();
    }

    fn all_seen(&mut self) {
        let (organizations, users) = (self.cache.organizations.len(), self.cache.users.len());
        tracing::info!(organizations, users, "everything that is watched has been seen");
        if self.leading {
            // What was decided before does not count.
            self.lead(true);
        }
        self.metrics.synced.store(true, Ordering::Release);
    }

    /// Queues the keys that a change may affect.
    fn affected(&mut self, affected: Affected) {
        self.revision += 1;
        if affected.suspended {
            self.suspended.changed(true);
        }
        if !self.may_act() {
            // Everything is queued when this replica leads.
            return;
        }
        if affected.all {
            let known = self.keys.keys().filter(|key| **key != ReconcileKey::Site).cloned();
            let namespaces = self.cache.units().into_iter().map(ReconcileKey::Namespace);
            let all: BTreeSet<ReconcileKey> = known.chain(namespaces).collect();
            all.into_iter().for_each(|key| self.enqueue_changed(key, affected.urgent));
        }
        for name in affected.namespaces {
            self.enqueue_changed(ReconcileKey::Namespace(name), affected.urgent);
        }
        if affected.site {
            self.enqueue_changed(ReconcileKey::Site, affected.urgent);
        }
        if affected.site || !affected.organizations.is_empty() || !affected.users.is_empty() {
            self.record.changed(self.now.clock);
        }
        self.statuses.users.extend(affected.users);
        self.statuses.organizations.extend(affected.organizations);
    }

    /// Queues a key because somebody changed something.
    fn enqueue_changed(&mut self, key: ReconcileKey, urgent: bool) {
        self.enqueue(key.clone(), urgent);
        if urgent && let Some(state) = self.keys.get_mut(&key) {
            // What failed before says nothing about what is to be taken away now.
            state.work.forget_failures();
        }
    }

    /// Queues a key with new work. `urgent`: it may revoke access.
    fn enqueue(&mut self, key: ReconcileKey, urgent: bool) {
        let state = self.keys.entry(key.clone()).or_default();
        state.decision.is_stale = true;
        state.changes.caused_by(self.cause.as_ref());
        if state.work.busy_since().is_none() {
            self.busy.insert((self.revision, key.clone()));
        }
        state.work.changed(self.revision, urgent);
        if state.work.wants_turn() {
            self.queue.add(key, state.work.is_urgent());
        }
    }

    /// Moves a key with pending work to the front: it may revoke access.
    fn make_urgent(&mut self, key: &ReconcileKey) {
        let Some(state) = self.keys.get_mut(key) else { return };
        state.work.may_turn_out_to_revoke();
        if self.queue.contains(key) {
            self.queue.add(key.clone(), state.work.is_urgent());
        }
    }

    /// A key's timer has fired.
    fn on_timer(&mut self, key: ReconcileKey) {
        match key {
            ReconcileKey::User(handle) => drop(self.statuses.users.insert(handle)),
            ReconcileKey::Organization(name) => drop(self.statuses.organizations.insert(name)),
            ReconcileKey::Site | ReconcileKey::Namespace(_) => {
                let ends = self.keys.get(&key).is_some_and(|state| state.ends_by(self.now.time));
                self.revision += 1;
                if ends && self.may_act() {
                    self.log_expiry(&key);
                    self.cause = Some("expiresAt".to_owned());
                }
                self.enqueue(key, ends);
                self.cause = None;
            }
            ReconcileKey::SuspendedUsers | ReconcileKey::DecisionRecord => {}
        }
    }

    /// A key's pause is over.
    fn on_pause_over(&mut self, key: ReconcileKey) {
        let now = self.now.clock;
        self.revision += 1;
        if key == ReconcileKey::SuspendedUsers {
            self.suspended.pause_is_over(now);
        }
        let Some(state) = self.keys.get_mut(&key) else { return };
        let revokes = state.failures.has_due_revocation(now);
        let revokes = state.work.pause_is_over(now, revokes);
        self.enqueue(key.clone(), false);
        if revokes {
            // Also beside what is being written.
            self.queue.add(key, true);
        }
    }
}
