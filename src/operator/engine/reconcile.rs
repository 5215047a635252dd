//! Reconciles a key: decides, compares with the observed state, and begins the next step of writes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::key::{KeyState, ReconcileKey, Turn};
use super::{Engine, WriteRequest, work_queue};
use crate::api::ApiKind;
use crate::core::Name;
use crate::core::cache::{Change, ContributionChange};
use crate::core::conditions::StatusDraft;
use crate::core::desired::DesiredState;
use crate::core::object_ref::NativeRef;
use crate::core::observed_state::ObservedState;
use crate::core::plan::{self, Step, Write};
use crate::core::rbac::Observed;
use crate::core::write_failures::WriteFailures;
use crate::core::{claims, organization, site};

/// How long the site gathers changes after it has converged, unless they may revoke access.
const GATHERING: Duration = Duration::from_millis(250);

/// The native objects of all keys, and the refused writes.
pub(super) struct Observations<'a>(pub &'a HashMap<ReconcileKey, KeyState>, pub &'a WriteFailures);

impl ObservedState for Observations<'_> {
    fn get(&self, key: &NativeRef) -> Option<&Observed> {
        self.0.get(&ReconcileKey::of(key))?.objects.get(key)
    }

    fn bindings(&self, namespace: &Name) -> Vec<&Observed> {
        let keys = [ReconcileKey::Site, ReconcileKey::Namespace(namespace.clone())];
        let states = keys.iter().filter_map(|key| self.0.get(key));
        states.flat_map(|state| state.objects.present().bindings(namespace)).collect()
    }

    fn write_failures(&self) -> &WriteFailures {
        self.1
    }
}

impl Engine {
    /// Brings a key one step further.
    pub(super) fn reconcile(&mut self, key: &ReconcileKey) {
        match key {
            ReconcileKey::Site | ReconcileKey::Namespace(_) => {}
            ReconcileKey::SuspendedUsers => return self.write_suspended_users(),
            ReconcileKey::DecisionRecord => return self.write_record(),
            // Their statuses are computed when there is a place for one.
            ReconcileKey::User(_) | ReconcileKey::Organization(_) => return,
        }
        if self.gathers_more(key) {
            return;
        }
        let Some(state) = self.keys.get_mut(key) else { return };
        match state.work.take_turn() {
            Turn::Nothing => {}
            Turn::RevokeMeanwhile { new } => self.revoke_meanwhile(key, new),
            Turn::Reconcile => self.next_writes(key),
        }
    }

    /// Whether the site waits for more changes of the same sort. Its bindings name every holder of a SiteRole, so users
    /// that arrive one by one would cause the same objects to be written again and again. Changes that may revoke
    /// access do not wait.
    fn gathers_more(&mut self, key: &ReconcileKey) -> bool {
        let Some(state) = self.keys.get(key).filter(|_| *key == ReconcileKey::Site) else { return false };
        let until = state.converged_at.map(|at| at + GATHERING).filter(|until| *until > self.now.clock);
        let Some(until) = until.filter(|_| state.work.is_queued() && !state.work.may_revoke()) else { return false };
        self.queue.add_after(key.clone(), until);
        true
    }

    fn next_writes(&mut self, key: &ReconcileKey) {
        if self.keys.get(key).is_some_and(|state| state.decision.desired.is_none() || state.decision.is_stale) {
            self.decide(key);
        }
        self.await_vacancy(key);
        if let Some(claim) = self.first_claim(key) {
            return self.record_claim(key, claim);
        }
        self.forget_claim_refusal(key);
        let Step { writes, urgent } = self.next_step(key);
        if writes.is_empty() {
            match self.claim_due(key) {
                Some(claim) => {
                    self.report_before_claim(key);
                    self.record_claim(key, claim);
                }
                None => self.converged(key),
            }
            return;
        }
        let waits = !urgent && self.budget.places(false, self.now.clock) == 0;
        let Some(state) = self.keys.get_mut(key) else { return };
        if waits {
            // It was let in for what it might have to take away, and only gives. By its next turn it is decided again.
            state.decision.desired = None;
            state.work.only_gives();
            self.queue.add(key.clone(), false);
            return;
        }
        if urgent {
            state.work.revokes();
        }
        self.begin(key, writes, urgent);
    }

    /// Revokes what it can while other writes are in flight: a slow API server or webhook must not hold up a
    /// revocation. An object with a write in flight waits for its answer.
    fn revoke_meanwhile(&mut self, key: &ReconcileKey, new: bool) {
        let decision = self.keys.get(key).map(|state| &state.decision);
        // What else is new can wait until the writes are done: for the site there often is, and much to decide.
        if decision.is_some_and(|decision| decision.desired.is_none() || (new && decision.is_stale)) {
            self.decide(key);
        }
        let Some(state) = self.keys.get(key) else { return };
        // A claim is recorded first, and while no other write is in flight.
        if state.claiming.is_some() || self.first_claim(key).is_some() || self.namespace_is_gone(key) {
            return;
        }
        let Some(decided) = &state.decision.desired else { return };
        let given_up = state.failures.given_up(self.now.clock);
        let writes = state.in_flight.concurrent_revocations(&decided.desired, state.objects.present(), &given_up);
        self.begin(key, writes, true);
    }

    /// Begins as many writes as there are places for. A revocation waits for the next place, not for an answer.
    fn begin(&mut self, key: &ReconcileKey, mut writes: Vec<Write>, urgent: bool) {
        let clock = self.now.clock;
        let places = self.budget.places(urgent, clock);
        let Some(state) = self.keys.get_mut(key) else { return };
        let more = urgent && writes.len() > places;
        writes.truncate(places);
        for write in writes {
            state.work.begin_writing();
            state.in_flight.begin(&write);
            self.budget.begin(write.revokes().then_some(write.key()), clock);
            let _ = self.writer.send(WriteRequest::Native(write));
        }
        if more {
            self.queue.add(key.clone(), true);
        }
    }

    /// Decides a key after this replica began to lead. Every key is decided before anything is written, the site last:
    /// without every namespace's SiteRole holders it would revoke their cluster-scoped rights, and all pending
    /// revocations must be known so that they can go first.
    pub(super) fn decide_first(&mut self, key: &ReconcileKey) {
        self.decide(key);
        self.await_vacancy(key);
        let step = self.next_step(key);
        let Some(state) = self.keys.get(key) else { return };
        let waits = state.is_writing() || state.work.is_backing_off() || self.claim_due(key).is_some();
        if step.writes.is_empty() && !waits {
            return self.converged(key);
        }
        let Some(state) = self.keys.get_mut(key) else { return };
        // Its turn may come late, and what a large site decides is large: it is decided again then.
        state.decision.desired = None;
        if step.urgent {
            self.enqueue(key.clone(), true);
        }
    }

    fn decide(&mut self, key: &ReconcileKey) {
        let (now, started) = (self.now.time, Instant::now());
        let observed = Observations(&self.keys, &self.write_failures);
        let decided = match key {
            ReconcileKey::Namespace(name) => organization::decide(&self.cache, name, now, &observed),
            ReconcileKey::Site => site::decide(&self.cache, now, &observed),
            ReconcileKey::User(_)
            | ReconcileKey::Organization(_)
            | ReconcileKey::SuspendedUsers
            | ReconcileKey::DecisionRecord => return,
        };
        if let Some(name) = key.namespace()
            && self.own_watches.need(name, &decided.owned_kinds)
        {
            // What the watches of before have shown says nothing about what comes.
            self.cache.owned.remove(name);
        }
        let spent = started.elapsed();
        self.metrics.decide_seconds.observe(spent.as_secs_f64());
        self.charge(key, spent);
        if let Some(at) = decided.next_change {
            // Writes may be in flight for longer.
            self.timers.set_earlier(key.clone(), at);
        }
        let Some(change) = self.take_decision(key, decided) else { return };
        // What follows elsewhere has the same cause.
        self.cause = self.keys.get(key).and_then(|state| state.changes.cause().cloned());
        self.pass_on(key, change);
        self.cause = None;
        self.reread_due(key);
    }

    /// Keeps a decision, and returns its effects elsewhere.
    fn take_decision(&mut self, key: &ReconcileKey, mut decided: DesiredState) -> Option<ContributionChange> {
        let organization = self.holder(key);
        let decision = &mut self.keys.get_mut(key)?.decision;
        if std::mem::replace(&mut decision.counts, decided.counts) != decided.counts {
            self.statuses.organizations.extend(organization);
        }
        let contribution = std::mem::take(&mut decided.contribution);
        let before = std::mem::replace(&mut decision.contribution, contribution);
        let change = self.cache.set_contribution(&before, &decision.contribution);
        decision.made_at = (self.revision, self.now.time);
        decision.is_stale = false;
        decision.next_change = decided.next_change;
        decision.desired = Some(decided);
        Some(change)
    }

    /// Queues the keys that a decision affects.
    fn pass_on(&mut self, key: &ReconcileKey, change: ContributionChange) {
        // Other Users with the same username hold nothing.
        let users = change.counted.iter().filter_map(|username| self.cache.canonical_user(username));
        let handles: Vec<Name> = users.map(|user| user.meta.name.clone()).collect();
        self.statuses.count_again(handles, self.now.clock);
        if change.doubts {
            self.record.changed(self.now.clock);
        }
        if change.holders != Change::None {
            self.enqueue_changed(ReconcileKey::Site, change.holders == Change::Loses);
        }
        if change.default_members != Change::None {
            for name in self.cache.default_namespaces().collect::<Vec<_>>() {
                match ReconcileKey::Namespace(name) {
                    // What it contributes does not rest on who belongs nowhere, so this ends.
                    default if default == *key => self.decide(key),
                    default => self.enqueue_changed(default, change.default_members == Change::Loses),
                }
            }
        }
    }

    /// Charges a namespace for the time of its decision. The site belongs to no one in particular.
    pub(super) fn charge(&mut self, key: &ReconcileKey, spent: Duration) {
        let Some(name) = key.namespace() else { return };
        let is_default = self.cache.default_namespaces().any(|default| default == *name);
        let rest = if is_default { work_queue::REST_OF_DEFAULT } else { work_queue::REST };
        self.queue.charge(key, spent, rest, self.now.clock);
    }

    fn next_step(&self, key: &ReconcileKey) -> Step {
        let Some(state) = self.keys.get(key) else { return Step::default() };
        let Some(decided) = &state.decision.desired else { return Step::default() };
        if self.namespace_is_gone(key) {
            return Step::default();
        }
        plan::next(&decided.desired, state.objects.present(), &state.failures.given_up(self.now.clock))
    }

    /// Whether a namespace is gone, and with it our objects in it. A terminating one is not: it may still have Pods,
    /// and Kubernetes keeps RBAC until they are gone.
    pub(super) fn namespace_is_gone(&self, key: &ReconcileKey) -> bool {
        key.namespace().is_some_and(|name| self.cache.namespaces.get(name).is_none())
    }

    /// The organization that holds a namespace.
    fn holder(&self, key: &ReconcileKey) -> Option<Name> {
        claims::holder(&self.cache, key.namespace()?).map(|organization| organization.meta.name.clone())
    }

    /// Handles a key that has nothing left to write.
    fn converged(&mut self, key: &ReconcileKey) {
        let now = self.now;
        let Some(state) = self.keys.get_mut(key) else { return };
        let decided = state.decision.desired.take();
        state.failures.converged(decided.as_ref().map(|decided| &decided.desired), state.objects.present());
        if let (ReconcileKey::Site, Some(decided)) = (key, &decided) {
            state.objects.share(&decided.desired);
        }
        state.converged_at = Some(now.clock);
        if let Some(since) = state.work.converged() {
            self.busy.remove(&(since, key.clone()));
        }
        let (made_at, next_change) = (state.decision.made_at, state.decision.next_change);
        self.timers.set(key.clone(), next_change);
        if let Some(decided) = decided {
            // The holder of a role is recorded in its status, and grants wait for the record. And a policy asks whether
            // a Group is privileged.
            let waits_for_none = |s: &StatusDraft| s.target.kind == ApiKind::SiteRole || self.makes_privileged(s);
            let (first, others) = decided.statuses.into_iter().partition(waits_for_none);
            self.statuses.write_now(first);
            self.statuses.defer(key, made_at, others, now.clock);
        }
        let has_changed = self.log_grants(key);
        self.forget_write_failures(key, has_changed);
        let organization = self.holder(key);
        if organization.is_none() && self.is_unused(key) {
            self.keys.remove(key);
            self.queue.forget(key);
        }
        self.statuses.organizations.extend(organization);
    }

    /// Whether a namespace that no organization holds has no state left.
    fn is_unused(&self, key: &ReconcileKey) -> bool {
        let (Some(name), Some(state)) = (key.namespace(), self.keys.get(key)) else { return false };
        let is_known = claims::claim(&self.cache, name, self.now.time, true).is_some();
        let is_empty = state.objects.present().is_empty() && state.failures.is_empty();
        let is_idle = state.work.busy_since().is_none() && state.decision.next_change.is_none();
        is_empty && is_idle && !is_known && !self.cache.local.contains_key(name)
    }
}
