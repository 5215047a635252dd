//! The engine: one task that owns the world, what is observed, and the queue of units that have work to do.
//!
//! A *unit* is the smallest thing that can be decided at once: one namespace, or the site. For each the engine asks core
//! what should be there, compares that with what is there, hands the next step of writes to the writer, and goes on when
//! all of them are done; what takes access away begins beside them. Nothing is remembered about a plan between two steps, so
//! every step rests on the newest state.

mod intake;
mod kept;
mod log;
mod queue;
mod statuses;
mod suspensions;
mod unit;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use self::intake::Listing;
pub(super) use self::intake::kind_and_version;
use self::kept::Keeping;
use self::queue::{Queue, Writing, lane};
use self::statuses::Statuses;
use self::suspensions::Suspensions;
use self::unit::UnitState;
use super::history::History;
use super::inbox;
use super::metrics::Metrics;
use super::watch::{Kind, WatchEvent};
use super::writer::{WriteRequest, WriteResult};
use crate::core::Name;
use crate::core::cache::{Affected, Cache};
use crate::core::names::RELEASE_PREFIX;
use crate::core::rbac::{Key, NativeKind, Source};
use crate::core::uid::Uid;

/// How many units are worked on before new events are looked at.
const UNITS_A_TURN: usize = 32;
/// How many events are taken in before units are worked on.
const EVENTS_A_TURN: usize = 1024;

/// After this time in one turn, new events are looked at, however much there is to decide.
const LONGEST_TURN: Duration = Duration::from_millis(5);

/// So long it does not look at the time of day, which somebody may set, or the machine may have slept through.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// What the objects of the API speak of.
    pub time: Timestamp,
    /// By which pauses are measured: nobody sets it.
    pub clock: Instant,
}

impl Now {
    /// Reads both clocks.
    #[must_use]
    pub fn read() -> Self {
        Self { time: Timestamp::now(), clock: Instant::now() }
    }
}

/// What is decided at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Unit {
    /// Cluster-scoped objects, and the site's objects in the release namespace.
    Site,
    /// A namespace.
    Namespace(Name),
}

impl Unit {
    /// The unit that a native object belongs to.
    fn of(key: &Key) -> Self {
        let cluster = matches!(key.kind, NativeKind::ClusterRole | NativeKind::ClusterRoleBinding);
        // By name alone: an answer that could change (with the bounds, which are seen when they are) would leave the
        // object, and a write under way, with a unit that does not expect it.
        let site = cluster || key.name.starts_with(RELEASE_PREFIX);
        if site { Unit::Site } else { Unit::Namespace(key.namespace.clone()) }
    }
}

/// What a timer is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Unit(Unit),
    User(Name),
    Organization(Name),
}

/// All state of the operator. Only [`Engine::run`] looks at a clock and does I/O: tests play with the rest as they like.
pub struct Engine {
    /// When this turn began.
    now: Now,
    cache: Cache,
    units: HashMap<Unit, UnitState>,
    queue: Queue,
    /// Units that were not looked at since this replica leads: the site last.
    undecided: Vec<Unit>,
    statuses: Statuses,
    suspensions: Suspensions,
    keeping: Keeping,
    /// ConfigMaps of the chart that cannot be read, and why not.
    unread: BTreeMap<&'static str, (Uid, String)>,
    /// Decisions and writes begin when every kind has been seen once.
    synced: HashSet<Kind>,
    /// The namespaces that joined the whitelist lately, and when.
    fresh: HashMap<Name, Instant>,
    /// What lists have shown that are not complete.
    listed: HashMap<Kind, Listing>,
    /// It is in doubt whether the cluster is still what it was.
    held: bool,
    /// What shows that the cluster has gone back: nothing that is known counts any more.
    gone_back: Option<String>,
    /// When units are to be looked at again that wait because something failed.
    pauses: BTreeSet<(Instant, Unit)>,
    /// Namespaces that took long to decide, and until when others go first.
    resting: BTreeSet<(Instant, Unit)>,
    /// Objects that are being read again.
    reading: HashSet<Source>,
    timers: BTreeSet<(Timestamp, Timer)>,
    timer_of: BTreeMap<Timer, Timestamp>,
    /// Counts what happened, to tell what a decision has taken into account.
    revision: u64,
    /// Units with work to do, by the revision since which they have it.
    busy: BTreeSet<(u64, Unit)>,
    writing: Writing,
    /// The object whose change is being taken in, for the log.
    cause: Option<String>,
    leading: bool,
    metrics: Arc<Metrics>,
    jobs: mpsc::UnboundedSender<WriteRequest>,
}

impl Engine {
    /// `writes_at_once`: how many the writer carries out, unless they take access away.
    #[must_use]
    pub fn new(
        metrics: Arc<Metrics>,
        jobs: mpsc::UnboundedSender<WriteRequest>,
        writes_at_once: usize,
        now: Now,
    ) -> Self {
        Self {
            now,
            cache: Cache::default(),
            units: HashMap::new(),
            queue: Queue::default(),
            undecided: Vec::new(),
            statuses: Statuses::default(),
            suspensions: Suspensions::default(),
            keeping: Keeping::default(),
            unread: BTreeMap::new(),
            synced: HashSet::new(),
            listed: HashMap::new(),
            held: false,
            gone_back: None,
            pauses: BTreeSet::new(),
            resting: BTreeSet::new(),
            reading: HashSet::new(),
            timers: BTreeSet::new(),
            timer_of: BTreeMap::new(),
            revision: 0,
            busy: BTreeSet::new(),
            writing: Writing::new(writes_at_once),
            fresh: HashMap::new(),
            cause: None,
            leading: false,
            metrics,
            jobs,
        }
    }

    /// Runs until the watches and the writer are gone.
    pub(super) async fn run(
        mut self,
        mut seen: inbox::Receiver,
        mut done: mpsc::UnboundedReceiver<WriteResult>,
        mut leading: watch::Receiver<bool>,
        history: Arc<History>,
    ) {
        let (mut events, mut outcomes) = (Vec::new(), Vec::new());
        let mut state = history.state();
        loop {
            let (time, clock) = self.wakes_at();
            tokio::select! {
                biased;
                changed = leading.changed() => {
                    if changed.is_err() { return; }
                    let leads = *leading.borrow_and_update();
                    self.lead(leads);
                }
                _ = state.changed() => {}
                n = done.recv_many(&mut outcomes, EVENTS_A_TURN) => if n == 0 { return },
                n = seen.recv_many(&mut events, EVENTS_A_TURN) => if n == 0 { return },
                () = until(time), if time.is_some() => {}
                () = sleep_until(clock), if clock.is_some() => {}
                () = std::future::ready(()), if self.has_work() => {}
            }
            // Both are looked at in every turn, so that neither starves the other.
            while outcomes.len() < EVENTS_A_TURN && done.try_recv().map(|d| outcomes.push(d)).is_ok() {}
            while events.len() < EVENTS_A_TURN && seen.try_recv().map(|s| events.push(s)).is_ok() {}
            self.hold(state.borrow_and_update().is_in_doubt());
            self.turn(Now::read(), outcomes.drain(..), events.drain(..).map(|letter| letter.seen));
            if let Some(evidence) = &self.gone_back {
                history.gone_back(evidence.clone());
            }
        }
    }

    /// Whether it begins nothing new, because it is in doubt whether the cluster is still what it was.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// What shows that the cluster has gone back, if anything does.
    #[must_use]
    pub fn gone_back(&self) -> Option<&str> {
        self.gone_back.as_deref()
    }

    /// Takes in what became of writes, and what was seen, and goes on with the work.
    pub fn turn(
        &mut self,
        now: Now,
        outcomes: impl Iterator<Item = WriteResult>,
        events: impl Iterator<Item = WatchEvent>,
    ) {
        self.now = now;
        for outcome in outcomes {
            self.done(outcome);
        }
        for event in events {
            self.seen(event);
        }
        self.fire_timers();
        self.end_rests();
        if self.may_begin() {
            let began = Instant::now();
            self.keep_suspensions();
            self.read_due_of_site();
            for _ in 0..UNITS_A_TURN {
                if let Some(unit) = self.undecided.pop() {
                    self.decide_first(&unit);
                } else if let Some(unit) = self.queue.pop(self.writing.room(now.clock)) {
                    self.work(&unit);
                } else {
                    break;
                }
                if began.elapsed() > LONGEST_TURN {
                    break;
                }
            }
            self.settle_statuses(began);
            self.keep();
        }
        self.count_busy();
    }

    fn count_busy(&self) {
        self.metrics.units_busy.set(i64::try_from(self.busy.len()).unwrap_or(i64::MAX));
    }

    /// When it wants its next turn, if nothing happens before: by either clock.
    #[must_use]
    pub fn wakes_at(&self) -> (Option<Timestamp>, Option<Instant>) {
        let pause = self.pauses.first().map(|(at, _)| *at);
        let suspensions = self.suspensions.waits_until().filter(|_| self.may_begin());
        let rest = self.resting.first().map(|(at, _)| *at);
        let keeping = self.keeping.waits_until().filter(|_| self.may_begin());
        let clocks = [pause, rest, self.writing.stalls_at(self.now.clock), suspensions, keeping];
        (self.timers.first().map(|(at, _)| *at), clocks.into_iter().flatten().min())
    }

    fn may_act(&self) -> bool {
        self.leading && self.has_synced()
    }

    /// Whether everything that is watched has been seen once.
    fn has_synced(&self) -> bool {
        self.synced.len() == Kind::ALL.len()
    }

    fn may_begin(&self) -> bool {
        self.may_act() && !self.held && self.gone_back.is_none()
    }

    /// Whether it wants its next turn at once.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let room = self.writing.room(self.now.clock);
        let waits = !self.undecided.is_empty() || self.queue.has_next(room) || self.statuses.more;
        self.may_begin() && waits
    }

    /// Whether this replica leads, from now on.
    pub fn lead(&mut self, leading: bool) {
        if leading != self.leading {
            tracing::info!(leading, "leadership");
        }
        self.leading = leading;
        if leading {
            self.unread.keys().for_each(|map| self.report_unread(map));
            // Another replica may have led meanwhile.
            self.cache.refused_claims.clear();
            self.units.values_mut().for_each(UnitState::start_over);
            // What was there before is no news.
            self.units.values_mut().for_each(|state| state.changes = Default::default());
            self.suspensions.start_over();
            self.affected(Affected {
                users: self.cache.users.names(),
                organizations: self.cache.organizations.names(),
                ..Affected::everything()
            });
            // Only then is it known what they hold.
            self.statuses.count_again(self.cache.users.names(), self.now.clock);
            // From the end: the site rests on every namespace, and the default organization on who belongs to another.
            let defaults: Vec<Unit> = self.cache.default_namespaces().map(Unit::Namespace).collect();
            let others = self.units.keys().filter(|unit| **unit != Unit::Site && !defaults.contains(unit)).cloned();
            self.undecided = [Unit::Site].into_iter().chain(defaults.clone()).chain(others).collect();
        } else {
            self.undecided.clear();
            self.statuses.forget_pending();
        }
        // Whoever asks whether it leads and is idle must not take what comes before its first look for idleness.
        self.count_busy();
        self.metrics.leading.set(i64::from(leading));
    }

    fn all_synced(&mut self) {
        tracing::info!(
            organizations = self.cache.organizations.len(),
            users = self.cache.users.len(),
            "everything that is watched has been seen"
        );
        self.lead_again();
        self.metrics.synced.store(true, Ordering::Release);
    }

    /// What was decided before everything was seen does not count.
    fn lead_again(&mut self) {
        if self.leading {
            self.lead(true);
        }
    }

    /// Queues what a change may affect.
    fn affected(&mut self, affected: Affected) {
        self.revision += 1;
        if affected.suspended {
            self.suspensions.look_now();
        }
        if !self.may_act() {
            // Everything is looked at when this replica leads.
            return;
        }
        if affected.all {
            let known: Vec<Unit> = self.units.keys().filter(|u| **u != Unit::Site).cloned().collect();
            for unit in self.cache.units().into_iter().map(Unit::Namespace).chain(known) {
                self.enqueue_changed(unit, affected.urgent);
            }
        }
        for name in affected.namespaces {
            self.enqueue_changed(Unit::Namespace(name), affected.urgent);
        }
        if affected.site {
            self.enqueue_changed(Unit::Site, affected.urgent);
        }
        if affected.site || !affected.organizations.is_empty() || !affected.users.is_empty() {
            self.keeping.look_again();
        }
        self.statuses.users.extend(affected.users);
        self.statuses.organizations.extend(affected.organizations);
    }

    /// Queues a unit because somebody changed something.
    fn enqueue_changed(&mut self, unit: Unit, urgent: bool) {
        self.mark(unit.clone(), urgent);
        if urgent && let Some(state) = self.units.get_mut(&unit) {
            // What failed before says nothing about what is to be taken away now.
            state.failures = 0;
        }
    }

    fn mark(&mut self, unit: Unit, urgent: bool) {
        let revision = self.revision;
        let state = self.units.entry(unit.clone()).or_default();
        state.stale = true;
        state.changes.caused_by(self.cause.as_ref());
        if state.busy_since.is_none() {
            state.busy_since = Some(revision);
            self.busy.insert((revision, unit.clone()));
        }
        if urgent {
            // What takes access away does not wait for the end of a pause that something else brought about.
            state.wait_until = None;
        }
        state.urgent |= urgent;
        self.enqueue(unit);
    }

    fn enqueue(&mut self, unit: Unit) {
        let Some(state) = self.units.get(&unit) else { return };
        self.queue.push(unit, lane(state.is_urgent(), state.is_slow));
    }

    /// Without new work: what has to be done may take access away.
    fn make_urgent(&mut self, unit: &Unit) {
        let Some(state) = self.units.get_mut(unit).filter(|state| !state.urgent) else { return };
        state.urgent = true;
        if self.queue.contains(unit) {
            self.enqueue(unit.clone());
        }
    }

    /// Rings at this time, or before it.
    fn arm(&mut self, timer: Timer, at: Timestamp) {
        if self.timer_of.get(&timer).is_none_or(|set| *set > at) {
            self.set_timer(timer, Some(at));
        }
    }

    fn set_timer(&mut self, timer: Timer, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.timer_of.insert(timer.clone(), at),
            None => self.timer_of.remove(&timer),
        };
        if let Some(before) = before {
            self.timers.remove(&(before, timer.clone()));
        }
        if let Some(at) = at {
            self.timers.insert((at, timer));
        }
    }

    /// Queues what is due.
    fn fire_timers(&mut self) {
        let now = self.now;
        while self.pauses.first().is_some_and(|(at, _)| *at <= now.clock)
            && let Some((_, unit)) = self.pauses.pop_first()
        {
            self.end_pause(unit);
        }
        while let Some((at, timer)) = self.timers.first().cloned() {
            if at > now.time {
                return;
            }
            self.set_timer(timer.clone(), None);
            self.on_timer(timer);
        }
    }

    /// Queues what this is about.
    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Unit(unit) => {
                let ends = self.units.get(&unit).is_some_and(|state| state.ends_by(self.now.time));
                self.revision += 1;
                if ends && self.may_act() {
                    self.log_expiry(&unit);
                    self.cause = Some("expiresAt".to_owned());
                }
                self.mark(unit, ends);
                self.cause = None;
            }
            Timer::User(handle) => drop(self.statuses.users.insert(handle)),
            Timer::Organization(name) => drop(self.statuses.organizations.insert(name)),
        }
    }

    /// A unit may have waited for long enough.
    fn end_pause(&mut self, unit: Unit) {
        let Some(state) = self.units.get_mut(&unit) else { return };
        let (revoking, is_slow) = (state.try_again(self.now.clock), state.is_slow);
        self.revision += 1;
        self.mark(unit.clone(), false);
        if revoking {
            self.queue.push(unit, lane(true, is_slow));
        }
    }
}

async fn until(at: Option<Timestamp>) {
    let Some(at) = at else { return std::future::pending().await };
    // A time that is over is no duration, and not waited for.
    if let Ok(wait) = Duration::try_from(at.duration_since(Timestamp::now())) {
        tokio::time::sleep(wait.min(LONGEST_SLEEP)).await;
    }
}

async fn sleep_until(at: Option<Instant>) {
    let Some(at) = at else { return std::future::pending().await };
    tokio::time::sleep_until(at.into()).await;
}
