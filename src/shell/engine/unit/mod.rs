//! One unit: what is observed of it, what was decided about it, and the work on it.

mod outcomes;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{Engine, Timer, Unit, signed};
use crate::core::claims::Claim;
use crate::core::decision::{Counts, Decision};
use crate::core::native::{Desired, Key, NativeKind, Observed};
use crate::core::plan::{self, Present, Step, UnderWay, Write};
use crate::core::uid::Uid;
use crate::core::world::{Holders, HoldersChange};
use crate::core::{claims, organization, site};
use crate::shell::writer::Job;

/// The state of a unit.
#[derive(Debug, Default)]
pub(super) struct UnitState {
    /// Our native objects that are there: as the watch shows them, and newer: as our own writes left them.
    present: Present,
    /// Objects that we deleted and the watch still shows, by UID.
    deleted: BTreeSet<Uid>,
    /// Objects that the watch showed to be gone while writes were under way, by UID: an answer brings nothing back.
    gone: BTreeSet<Uid>,
    /// Objects that our own writes left as they are and that the watch has not shown yet.
    unconfirmed: BTreeSet<Key>,
    /// What should be there; `None` when nothing is to be done.
    decision: Option<Decision>,
    /// The decision does not know the newest of the world. It is kept until writes are done, or something is urgent.
    pub stale: bool,
    /// What the last decision contributed to SiteRoles' holders.
    holders: Holders,
    counts: Counts,
    /// When the last decision changes by itself.
    next_change: Option<Timestamp>,
    under_way: UnderWay,
    /// The claim on the namespace is being recorded.
    claiming: bool,
    /// Objects that could not be written, and when to try again.
    failing: HashMap<Key, Failing>,
    /// The whole unit waits: something failed that may work another time.
    pub wait_until: Option<Instant>,
    pub failures: u32,
    /// Something is new that may take access away.
    pub urgent: bool,
    /// What is under way takes access away, or has to be there before more is: it is looked at again after every answer.
    watchful: bool,
    /// The revision since which it has work to do.
    pub busy_since: Option<u64>,
    /// At which revision, and for which time, it was decided.
    decided_at: (u64, Timestamp),
}

#[derive(Debug)]
struct Failing {
    times: u32,
    until: Instant,
}

impl UnitState {
    /// Takes in an observed object; says whether that is news.
    pub fn take_in(&mut self, key: Key, observed: Observed) -> bool {
        if self.deleted.contains(&observed.uid) {
            return false;
        }
        self.unconfirmed.remove(&key);
        match self.present.get(&key) {
            Some(known) if known.uid == observed.uid && known.version >= observed.version => false,
            // Another object of this name that is older than the one we know.
            Some(known) if known.uid != observed.uid && known.version > observed.version => false,
            known => {
                let changed = known.is_none_or(|k| Observed { version: observed.version, ..(**k).clone() } != observed);
                self.present.insert(key, Box::new(observed));
                changed
            }
        }
    }

    /// Takes out an object that is gone; says whether that is news.
    pub fn take_out(&mut self, key: &Key, uid: &Uid) -> bool {
        self.deleted.remove(uid);
        if self.is_writing() {
            self.gone.insert(uid.clone());
        }
        let gone = self.present.get(key).is_some_and(|known| known.uid == *uid);
        if gone {
            self.forget(key);
        }
        gone
    }

    /// Takes in what a write of ours left, or came upon; says whether nothing newer is known.
    fn left(&mut self, key: Key, mut observed: Observed) -> bool {
        if self.gone.contains(&observed.uid) {
            return false;
        }
        match self.present.get(&key).filter(|known| known.uid == observed.uid) {
            Some(known) if known.version > observed.version => return false,
            Some(known) => {
                observed.stuck = known.stuck;
                // The watch was faster than the answer: no more will come from it, so this would stay unconfirmed.
                if known.version < observed.version {
                    self.unconfirmed.insert(key.clone());
                }
            }
            None => drop(self.unconfirmed.insert(key.clone())),
        }
        self.present.insert(key, Box::new(observed));
        true
    }

    fn forget(&mut self, key: &Key) {
        self.present.remove(key);
        self.unconfirmed.remove(key);
    }

    /// A list of all objects of this kind follows: what our writes have left so far, it has to show. An answer that came
    /// in before this news of the list, but after the list itself, is forgotten wrongly; the watch shows it soon after.
    pub fn list_begins(&mut self, kind: NativeKind) {
        self.unconfirmed.retain(|key| key.kind != kind);
    }

    /// What the watch must have shown by now.
    pub fn settled(&self) -> impl Iterator<Item = (&Key, &Observed)> {
        let settled = self.present.iter().filter(|(key, _)| !self.unconfirmed.contains(*key));
        settled.map(|(key, observed)| (key, &**observed))
    }

    /// Whether writes to it are under way.
    pub fn is_writing(&self) -> bool {
        self.claiming || !self.under_way.is_empty()
    }

    /// Whether it goes before those that only give: after a pause too, but not for each piece of news while it is writing.
    pub fn is_urgent(&self) -> bool {
        self.urgent || (self.watchful && !self.is_writing())
    }

    /// Whether this object is being written.
    pub fn writes(&self, key: &Key) -> bool {
        self.under_way.contains(key)
    }

    /// Counts of the last decision.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Waits no longer, if the time has come. Says whether it has, for what takes access away.
    pub fn try_again(&mut self, now: Instant) -> bool {
        let over = self.wait_until.is_some_and(|until| until <= now);
        if over {
            self.wait_until = None;
        }
        over && self.watchful
    }

    /// Whether the time of something that was decided is over.
    pub fn ends_by(&self, now: Timestamp) -> bool {
        self.next_change.is_some_and(|at| at <= now)
    }

    /// What is there as it should be is said by one copy: what the site gives to everybody is large, the world keeps it too,
    /// and one copy is compared with itself at a glance.
    fn share(&mut self, desired: &Desired) {
        for (key, native) in desired {
            if let Some(observed) = self.present.get_mut(key)
                && observed.content.as_ref() == Some(&native.content)
            {
                observed.content = Some(native.content.clone());
            }
        }
    }

    fn given_up(&self, now: Instant) -> BTreeSet<Key> {
        self.failing.iter().filter(|(_, f)| f.until > now).map(|(key, _)| key.clone()).collect()
    }

    fn next_try(&self, now: Instant) -> Option<Instant> {
        self.failing.values().map(|f| f.until).filter(|until| *until > now).min()
    }
}

impl Engine {
    /// Brings a unit one step further.
    pub(super) fn work(&mut self, unit: &Unit) {
        let now = self.now;
        let Some(state) = self.units.get_mut(unit) else { return };
        if state.is_writing() {
            if state.urgent || state.watchful {
                self.take_away_beside(unit);
            }
            return;
        }
        state.watchful |= std::mem::take(&mut state.urgent);
        if state.busy_since.is_none() {
            state.watchful = false;
            // There was nothing to do when all were decided first.
            return;
        }
        if let Some(until) = state.wait_until.filter(|until| *until > now.clock) {
            self.wait(unit, until - now.clock);
            return;
        }
        state.wait_until = None;
        if state.decision.is_none() || state.stale {
            self.decide(unit);
        }
        if let Some(claim) = self.claim_due(unit) {
            self.record(unit, claim);
            return;
        }
        let Step { writes, urgent } = self.next_step(unit);
        if writes.is_empty() {
            self.converged(unit);
            return;
        }
        let waits = !urgent && self.writing.places(false, now.clock) == 0;
        let Some(state) = self.units.get_mut(unit) else { return };
        if waits {
            // It was let in for what it might have to take away, and only has to give. It is decided anew then, too.
            state.decision = None;
            state.watchful = false;
            self.queue.push(unit.clone(), false);
            return;
        }
        state.watchful |= urgent;
        self.begin(unit, writes, urgent);
    }

    /// Takes away what it can while something is being written: what the API server, or somebody's webhook, takes its time
    /// over must not hold up a revocation. What is being written itself is left until it is; its answer says what is there.
    fn take_away_beside(&mut self, unit: &Unit) {
        let clock = self.now.clock;
        let Some(state) = self.units.get_mut(unit) else { return };
        if let Some(until) = state.wait_until.filter(|until| *until > clock) {
            self.wait(unit, until - clock);
            return;
        }
        let is_new = std::mem::take(&mut state.urgent);
        state.watchful = true;
        // What else is new can wait until the writes are done: of the site there often is, and much to decide.
        if state.decision.is_none() || (is_new && state.stale) {
            self.decide(unit);
        }
        let Some(state) = self.units.get(unit) else { return };
        // A claim is recorded first, and when nothing else is under way.
        if state.claiming || self.claim_due(unit).is_some() || self.is_going(unit) {
            return;
        }
        let Some(decision) = &state.decision else { return };
        let writes = state.under_way.beside(&decision.desired, &state.present, &state.given_up(clock));
        self.begin(unit, writes, true);
    }

    /// Begins as many as there are places for. What takes access away waits for the next place and not for an answer.
    fn begin(&mut self, unit: &Unit, mut writes: Vec<Write>, urgent: bool) {
        let clock = self.now.clock;
        let places = self.writing.places(urgent, clock);
        let Some(state) = self.units.get_mut(unit) else { return };
        let more = urgent && writes.len() > places;
        writes.truncate(places);
        for write in writes {
            state.under_way.begin(&write);
            self.writing.begin(write.revokes().then_some(write.key()), clock);
            let _ = self.jobs.send(Job::Native(write));
        }
        if more {
            self.queue.push(unit.clone(), true);
        }
    }

    /// Decides a unit for the first time. That is done for all of them before anything is written, and for the site last: only
    /// then is it known who holds SiteRoles in a namespace, without which the site would take the cluster-scoped part of those
    /// roles away, and where there is access to take away, which goes before everything else.
    pub(super) fn decide_first(&mut self, unit: &Unit) {
        self.decide(unit);
        let step = self.next_step(unit);
        let Some(state) = self.units.get(unit) else { return };
        let waits = state.is_writing() || state.wait_until.is_some() || self.claim_due(unit).is_some();
        if step.writes.is_empty() && !waits {
            self.converged(unit);
            return;
        }
        let Some(state) = self.units.get_mut(unit) else { return };
        // Its turn may come late, and what a large site decides is large: it is decided anew then.
        state.decision = None;
        if step.urgent {
            self.mark(unit.clone(), true);
        }
    }

    fn decide(&mut self, unit: &Unit) {
        let now = self.now.time;
        let started = Instant::now();
        let mut decision = match unit {
            Unit::Site => site::decide(&self.world, now),
            Unit::Namespace(name) => organization::decide(&self.world, name, now),
        };
        self.metrics.decide_seconds.observe(started.elapsed().as_secs_f64());
        let Some(state) = self.units.get_mut(unit) else { return };
        state.decided_at = (self.revision, now);
        state.stale = false;
        let counts_changed = state.counts != decision.counts;
        state.counts = decision.counts;
        state.next_change = decision.next_change;
        let next_change = state.next_change;
        let holders = std::mem::replace(&mut state.holders, std::mem::take(&mut decision.holders));
        let change = self.world.set_holders(&holders, &state.holders);
        state.decision = Some(decision);
        if let Some(at) = next_change {
            // Writes may be under way for longer.
            self.arm(Timer::Unit(unit.clone()), at);
        }
        if change != HoldersChange::None {
            self.news_for(Unit::Site, change == HoldersChange::Loses);
        }
        if let (true, Unit::Namespace(name)) = (counts_changed, unit)
            && let Some(organization) = claims::holder(&self.world, name)
        {
            self.statuses.organizations.insert(organization.meta.name.clone());
        }
    }

    fn next_step(&self, unit: &Unit) -> Step {
        let Some(state) = self.units.get(unit) else { return Step::default() };
        let Some(decision) = &state.decision else { return Step::default() };
        if self.is_going(unit) {
            return Step::default();
        }
        plan::next(&decision.desired, &state.present, &state.given_up(self.now.clock))
    }

    /// In a namespace that goes, everything of ours goes with it.
    fn is_going(&self, unit: &Unit) -> bool {
        matches!(unit, Unit::Namespace(name) if self.world.namespaces.get(name).is_none_or(|n| n.terminating))
    }

    /// The claim on a namespace that is to be recorded before anything else is written there.
    fn claim_due(&self, unit: &Unit) -> Option<Claim> {
        let (Unit::Namespace(name), Some(state)) = (unit, self.units.get(unit)) else { return None };
        claims::claim(&self.world, name, self.now.time, state.present.is_empty())
    }

    fn record(&mut self, unit: &Unit, claim: Claim) {
        let Some(state) = self.units.get_mut(unit) else { return };
        state.claiming = true;
        self.writing.begin(None, self.now.clock);
        let _ = self.jobs.send(Job::Claim(claim));
    }

    fn converged(&mut self, unit: &Unit) {
        let now = self.now;
        let Some(state) = self.units.get_mut(unit) else { return };
        state.failures = 0;
        state.watchful = false;
        if let Some(decision) = &state.decision {
            // Only here: what was written well, and has to be undone at once, must not be tried again at once.
            let present = &state.present;
            state.failing.retain(|key, _| match (decision.desired.get(key), present.get(key)) {
                (Some(native), Some(observed)) => !observed.is_as(native),
                (desired, observed) => desired.is_some() || observed.is_some(),
            });
        }
        let failing = state.next_try(now.clock);
        let at =
            [failing.map(|until| now.time + signed(until.saturating_duration_since(now.clock))), state.next_change];
        let at = at.into_iter().flatten().min();
        let decision = state.decision.take();
        if let (Unit::Site, Some(decision)) = (unit, &decision) {
            state.share(&decision.desired);
        }
        if let Some(since) = state.busy_since.take() {
            self.busy.remove(&(since, unit.clone()));
        }
        let decided_at = state.decided_at;
        let idle = state.present.is_empty() && state.failing.is_empty() && *unit != Unit::Site;
        self.set_timer(Timer::Unit(unit.clone()), at);
        if let Some(decision) = decision {
            // The holder of a role is recorded in its status, and grants wait for the record.
            let (roles, others) = decision.statuses.into_iter().partition(|s| s.target.kind == "SiteRole");
            self.statuses.say_now(roles);
            self.statuses.defer(unit, decided_at, others, now.clock);
        }
        self.forget_troubles(unit);
        if let Unit::Namespace(name) = unit {
            let organization = claims::holder(&self.world, name).map(|o| o.meta.name.clone());
            let rests = self.units.get(unit).is_some_and(|state| state.busy_since.is_none());
            if organization.is_none() && idle && rests && at.is_none() && !self.world.local.contains_key(name) {
                self.units.remove(unit);
            }
            self.statuses.organizations.extend(organization);
        }
    }

    /// What is not failing any more is no trouble any more.
    fn forget_troubles(&mut self, unit: &Unit) {
        if self.world.troubles.is_empty() && self.world.unauthorized.is_empty() {
            return;
        }
        let Some(state) = self.units.get(unit) else { return };
        let failing: BTreeSet<Key> = state.failing.keys().cloned().collect();
        let over: Vec<Key> = self
            .world
            .troubles
            .keys()
            .filter(|key| self.unit_of(key) == *unit && !failing.contains(*key))
            .cloned()
            .collect();
        let mut news = !over.is_empty();
        for key in over {
            self.world.troubles.remove(&key);
        }
        if let Unit::Namespace(name) = unit
            && failing.is_empty()
        {
            news |= self.world.unauthorized.remove(name);
        }
        self.metrics.refused.set(i64::try_from(self.world.troubles.len()).unwrap_or(i64::MAX));
        if news {
            self.revision += 1;
            self.mark(unit.clone(), false);
            self.mark(Unit::Site, false);
        }
    }

    /// Wakes the unit up after a pause, or before that when somebody's time is over: an end is not late because something
    /// else could not be written.
    fn wait(&mut self, unit: &Unit, pause: Duration) {
        let end = self.units.get(unit).and_then(|state| state.next_change);
        let at = self.now.time + signed(pause);
        self.set_timer(Timer::Unit(unit.clone()), Some(end.map_or(at, |end| end.min(at))));
    }
}
