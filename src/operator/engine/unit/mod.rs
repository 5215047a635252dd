//! The work on one unit.

mod outcomes;
mod state;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

pub(super) use self::state::UnitState;
use super::queue::{Urgency, lane};
use super::statuses::{meta, weight};
use super::{Engine, Timer, Unit};
use crate::core::cache::Change;
use crate::core::claims::Claim;
use crate::core::conditions::StatusDraft;
use crate::core::effect::Existing;
use crate::core::plan::{self, Step, Write};
use crate::core::rbac::{Key, Observed, Source};
use crate::core::{Name, claims, organization, site};
use crate::operator::watch::Item;
use crate::operator::writer::{Failure, WriteRequest};

/// A decision that takes longer than this is followed by a rest.
const FREE: Duration = Duration::from_millis(20);
/// How many times as long a namespace rests as its decision took.
const REST: u32 = 9;
/// How long it rests at most.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// What is there of all units.
pub(super) struct Units<'a>(pub(super) &'a HashMap<Unit, UnitState>);

impl Existing for Units<'_> {
    fn get(&self, key: &Key) -> Option<&Observed> {
        self.0.get(&Unit::of(key))?.present.get(key).map(|observed| &**observed)
    }

    fn bindings(&self, namespace: &Name) -> Vec<&Observed> {
        let units = [Unit::Site, Unit::Namespace(namespace.clone())];
        units.iter().filter_map(|unit| self.0.get(unit)).flat_map(|state| state.present.bindings(namespace)).collect()
    }
}

impl Engine {
    /// Brings a unit one step further.
    pub(super) fn work(&mut self, unit: &Unit) {
        let now = self.now;
        let Some(state) = self.units.get_mut(unit) else { return };
        if state.rests() {
            // It goes on when others have had their turn.
            state.held = true;
            return;
        }
        if state.is_writing() {
            if state.may_revoke() {
                self.take_away_beside(unit);
            }
            return;
        }
        state.revoking |= std::mem::take(&mut state.urgent);
        if state.busy_since.is_none() {
            state.revoking = false;
            // There was nothing to do when all were decided first.
            return;
        }
        if state.waits(now.clock) {
            return;
        }
        state.wait_until = None;
        if state.decision.is_none() || state.stale {
            self.decide(unit);
        }
        self.await_vacancy(unit);
        if let Some(claim) = self.first_claim(unit) {
            self.record(unit, claim);
            return;
        }
        self.forget_refusal(unit);
        let Step { writes, urgent } = self.next_step(unit);
        if writes.is_empty() {
            match self.claim_due(unit) {
                Some(claim) => {
                    self.tell(unit);
                    self.record(unit, claim);
                }
                None => self.converged(unit),
            }
            return;
        }
        let waits = !urgent && self.writing.places(false, now.clock) == 0;
        let Some(state) = self.units.get_mut(unit) else { return };
        if waits {
            // It was let in for what it might have to take away, and only has to give. It is decided anew then, too.
            state.decision = None;
            state.revoking = false;
            self.queue.push(unit.clone(), Urgency::Ordinary);
            return;
        }
        state.revoking |= urgent;
        self.begin(unit, writes, urgent);
    }

    /// Takes away what it can while something is being written: what the API server, or somebody's webhook, takes its time
    /// over must not hold up a revocation. What is being written itself is left until it is; its answer says what is there.
    fn take_away_beside(&mut self, unit: &Unit) {
        let clock = self.now.clock;
        let Some(state) = self.units.get_mut(unit) else { return };
        if state.waits(clock) {
            return;
        }
        let is_new = std::mem::take(&mut state.urgent);
        state.revoking = true;
        // What else is new can wait until the writes are done: of the site there often is, and much to decide.
        if state.decision.is_none() || (is_new && state.stale) {
            self.decide(unit);
        }
        let Some(state) = self.units.get(unit) else { return };
        // A claim is recorded first, and when nothing else is under way.
        if state.claiming.is_some() || self.first_claim(unit).is_some() || self.is_gone(unit) {
            return;
        }
        let Some(decision) = &state.decision else { return };
        let writes = state.in_flight.concurrent_revocations(&decision.desired, &state.present, &state.given_up(clock));
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
            state.in_flight.begin(&write);
            self.writing.begin(write.revokes().then_some(write.key()), clock);
            let _ = self.jobs.send(WriteRequest::Native(write));
        }
        if more {
            self.queue.push(unit.clone(), Urgency::Urgent);
        }
    }

    /// Decides a unit for the first time. That is done for all of them before anything is written, and for the site last: only
    /// then is it known who holds SiteRoles in a namespace, without which the site would take the cluster-scoped part of those
    /// roles away, and where there is access to take away, which goes before everything else.
    pub(super) fn decide_first(&mut self, unit: &Unit) {
        self.decide(unit);
        self.await_vacancy(unit);
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
            Unit::Site => site::decide(&self.cache, now, &Units(&self.units)),
            Unit::Namespace(name) => organization::decide(&self.cache, name, now, &Units(&self.units)),
        };
        let spent = started.elapsed();
        self.metrics.decide_seconds.observe(spent.as_secs_f64());
        self.charge(unit, spent);
        let Some(state) = self.units.get_mut(unit) else { return };
        state.decided_at = (self.revision, now);
        state.stale = false;
        let counts_changed = state.counts != decision.counts;
        state.counts = decision.counts;
        state.next_change = decision.next_change;
        let next_change = state.next_change;
        let before = std::mem::replace(&mut state.contribution, std::mem::take(&mut decision.contribution));
        let change = self.cache.set_contribution(&before, &state.contribution);
        state.decision = Some(decision);
        let handles: Vec<Name> =
            change.counted.iter().flat_map(|username| self.cache.handles_of(username)).cloned().collect();
        self.statuses.count_again(handles, self.now.clock);
        if change.doubts {
            self.keeping.look_again();
        }
        if let Some(at) = next_change {
            // Writes may be under way for longer.
            self.arm(Timer::Unit(unit.clone()), at);
        }
        // What follows elsewhere has the same cause.
        self.cause = self.units.get(unit).and_then(|state| state.changes.cause().cloned());
        if change.holders != Change::None {
            self.enqueue_changed(Unit::Site, change.holders == Change::Loses);
        }
        if change.default_members != Change::None {
            for name in self.cache.default_namespaces().collect::<Vec<_>>() {
                match Unit::Namespace(name) {
                    // What it says of itself does not rest on who belongs nowhere, so this ends.
                    default if default == *unit => return self.decide(unit),
                    default => self.enqueue_changed(default, change.default_members == Change::Loses),
                }
            }
        }
        self.cause = None;
        self.read_due(unit);
        if let (true, Unit::Namespace(name)) = (counts_changed, unit)
            && let Some(organization) = claims::holder(&self.cache, name)
        {
            self.statuses.organizations.insert(organization.meta.name.clone());
        }
    }

    /// A namespace that takes long to decide, time after time, rests afterwards, so that it leaves most of the time to the
    /// others. Once may be the machine's fault. The site is nobody's in particular, and whatever others do may concern
    /// the default organization.
    pub(super) fn charge(&mut self, unit: &Unit, spent: Duration) {
        let Unit::Namespace(name) = unit else { return };
        let is_default = self.cache.default_namespaces().any(|default| default == *name);
        if let Some(state) = self.units.get_mut(unit).filter(|_| !is_default) {
            let was_slow = std::mem::replace(&mut state.was_slow, spent > FREE);
            state.is_slow = was_slow && state.was_slow;
            if state.is_slow {
                let until = self.now.clock + spent + (spent * REST).min(LONGEST_REST);
                state.rest_until = Some(until);
                self.resting.insert((until, unit.clone()));
            }
        }
    }

    /// Ends the rest of units whose time has come.
    pub(super) fn end_rests(&mut self) {
        while self.resting.first().is_some_and(|(at, _)| *at <= self.now.clock)
            && let Some((at, unit)) = self.resting.pop_first()
        {
            let Some(state) = self.units.get_mut(&unit).filter(|state| state.rest_until == Some(at)) else { continue };
            state.rest_until = None;
            let lane = lane(state.may_revoke(), state.is_slow);
            if std::mem::take(&mut state.held) {
                self.queue.push(unit, lane);
            }
        }
    }

    /// Asks for the objects of a namespace for which there is room again.
    fn read_due(&mut self, unit: &Unit) {
        let Unit::Namespace(name) = unit else { return };
        let Some(local) = self.cache.local.get(name).filter(|local| local.is_over()) else { return };
        let due = local.groups.due().map(|meta| meta.source("Group"));
        let due = due.chain(local.bindings.due().map(|meta| meta.source("RoleBinding")));
        let due: Vec<Source> = due.chain(local.roles.due().map(|meta| meta.source("CustomRole"))).collect();
        self.read(due);
    }

    /// Asks for the cluster-scoped objects for which there is room again.
    pub(super) fn read_due_of_site(&mut self) {
        let cache = &self.cache;
        let due = cache.users.due().map(|meta| meta.source("User"));
        let due = due.chain(cache.organizations.due().map(|meta| meta.source("Organization")));
        let due = due.chain(cache.site_roles.due().map(|meta| meta.source("SiteRole")));
        let due = due.chain(cache.site_bindings.due().map(|meta| meta.source("SiteRoleBinding"))).collect();
        self.read(due);
    }

    fn read(&mut self, due: Vec<Source>) {
        for target in due {
            if self.reading.insert(target.clone()) {
                let weight = weight(&self.cache, &target);
                let _ = self.jobs.send(WriteRequest::Read { target, weight });
            }
        }
    }

    /// An object was read again, or could not be.
    pub(super) fn was_read(&mut self, target: &Source, result: Result<Box<Item>, Failure>) {
        match result {
            // The watch may have shown by now that the object is gone: an answer brings nothing back.
            Ok(item) if meta(&self.cache, target).is_some() => self.item(*item),
            // The watch will say so. Until then it is not asked for again.
            Ok(_) | Err(Failure::Gone) => return,
            // It is still due.
            Err(_) => self.requeue_status(target),
        }
        self.reading.remove(target);
    }

    fn next_step(&self, unit: &Unit) -> Step {
        let Some(state) = self.units.get(unit) else { return Step::default() };
        let Some(decision) = &state.decision else { return Step::default() };
        if self.is_gone(unit) {
            return Step::default();
        }
        plan::next(&decision.desired, &state.present, &state.given_up(self.now.clock))
    }

    /// With a namespace, everything of ours in it is gone. Not before: as long as it terminates there are Pods in it, perhaps, and
    /// Kubernetes leaves RBAC until they are gone.
    fn is_gone(&self, unit: &Unit) -> bool {
        matches!(unit, Unit::Namespace(name) if self.cache.namespaces.get(name).is_none())
    }

    /// The claim on a namespace that is to be recorded before anything else is written there. One that is refused is tried
    /// when everything is gone that was there.
    fn first_claim(&self, unit: &Unit) -> Option<Claim> {
        self.claim_due(unit).filter(|claim| !self.cache.refused_claims.contains_key(&claim.namespace))
    }

    /// The claim on a namespace that is not recorded yet.
    fn claim_due(&self, unit: &Unit) -> Option<Claim> {
        let (Unit::Namespace(name), Some(state)) = (unit, self.units.get(unit)) else { return None };
        claims::claim(&self.cache, name, self.now.time, state.is_vacated(self.now.clock))
    }

    /// Has a namespace looked at again when its former organization has no access any more, if a claim waits for that.
    fn await_vacancy(&mut self, unit: &Unit) {
        let clock = self.now.clock;
        let (Unit::Namespace(name), Some(state)) = (unit, self.units.get_mut(unit)) else { return };
        if let Some(at) = state.vacated(clock).filter(|at| *at > clock)
            && claims::claim(&self.cache, name, self.now.time, false).is_none()
            && claims::claim(&self.cache, name, self.now.time, true).is_some()
        {
            self.pauses.insert((at, unit.clone()));
        }
    }

    /// A claim that is not due is not refused.
    fn forget_refusal(&mut self, unit: &Unit) {
        if let (Unit::Namespace(name), None) = (unit, self.claim_due(unit)) {
            self.cache.refused_claims.remove(name);
            if let Some(state) = self.units.get_mut(unit) {
                state.claim_refused = None;
            }
        }
    }

    /// Says what was decided about a namespace of which nothing more comes for now.
    fn tell(&mut self, unit: &Unit) {
        let Some(state) = self.units.get_mut(unit) else { return };
        state.revoking = false;
        if let Some(decision) = state.decision.take() {
            self.statuses.say_now(decision.statuses);
        }
    }

    fn record(&mut self, unit: &Unit, claim: Claim) {
        let Some(state) = self.units.get_mut(unit) else { return };
        state.claiming = Some(claim.clone());
        self.writing.begin(None, self.now.clock);
        let _ = self.jobs.send(WriteRequest::Claim(claim));
    }

    fn converged(&mut self, unit: &Unit) {
        let now = self.now;
        let Some(state) = self.units.get_mut(unit) else { return };
        state.failures = 0;
        state.revoking = false;
        if let Some(decision) = &state.decision {
            // Only here: what was written well, and has to be undone at once, must not be tried again at once.
            let present = &state.present;
            state.failing.retain(|key, _| match (decision.desired.get(key), present.get(key)) {
                (Some(native), Some(observed)) => !observed.is_as(native),
                (desired, observed) => desired.is_some() || observed.is_some(),
            });
        }
        // What is tried again now and then does not hold up the rest once more, each time.
        let failing = &state.failing;
        state.erring.retain(|key, _| failing.contains_key(key));
        let next_change = state.next_change;
        let decision = state.decision.take();
        if let (Unit::Site, Some(decision)) = (unit, &decision) {
            state.share(&decision.desired);
        }
        if let Some(since) = state.busy_since.take() {
            self.busy.remove(&(since, unit.clone()));
        }
        let decided_at = state.decided_at;
        let idle = state.present.is_empty() && state.failing.is_empty() && *unit != Unit::Site;
        self.set_timer(Timer::Unit(unit.clone()), next_change);
        if let Some(decision) = decision {
            // The holder of a role is recorded in its status, and grants wait for the record. And a policy asks whether a Group
            // is privileged.
            let waits_for_none = |s: &StatusDraft| s.target.kind == "SiteRole" || self.makes_privileged(s);
            let (first, others) = decision.statuses.into_iter().partition(waits_for_none);
            self.statuses.say_now(first);
            self.statuses.defer(unit, decided_at, others, now.clock);
        }
        self.log_grants(unit);
        self.forget_write_failures(unit);
        if let Unit::Namespace(name) = unit {
            let organization = claims::holder(&self.cache, name).map(|o| o.meta.name.clone());
            let rests = self.units.get(unit).is_some_and(|state| state.busy_since.is_none());
            let is_claimed = claims::claim(&self.cache, name, now.time, true).is_some();
            let of_use = organization.is_some() || is_claimed || self.cache.local.contains_key(name);
            if idle && rests && next_change.is_none() && !of_use {
                self.units.remove(unit);
            }
            self.statuses.organizations.extend(organization);
        }
    }

    /// What is not failing any more is no trouble any more.
    fn forget_write_failures(&mut self, unit: &Unit) {
        if self.cache.write_failures.is_empty() && self.cache.unauthorized.is_empty() {
            return;
        }
        let Some(state) = self.units.get(unit) else { return };
        let failing: BTreeSet<Key> = state.failing.keys().cloned().collect();
        let over: Vec<Key> = self
            .cache
            .write_failures
            .keys()
            .filter(|key| self.unit_of(key) == *unit && !failing.contains(*key))
            .cloned()
            .collect();
        let mut news = !over.is_empty();
        for key in over {
            self.cache.write_failures.remove(&key);
        }
        if let Unit::Namespace(name) = unit
            && failing.is_empty()
        {
            news |= self.cache.unauthorized.remove(name);
        }
        self.metrics.refused.set(i64::try_from(self.cache.write_failures.len()).unwrap_or(i64::MAX));
        if news {
            self.revision += 1;
            self.mark(unit.clone(), false);
            self.mark(Unit::Site, false);
        }
    }
}
