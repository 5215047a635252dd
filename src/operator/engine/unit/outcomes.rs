//! What becomes of a write, and of what the API server does not let be written.

use std::time::Duration;

use super::state::{Failing, Streak};
use crate::api::conditions::Reason;
use crate::core::Name;
use crate::core::claims;
use crate::core::rbac::Key;
use crate::core::write_failures::WriteFailure;
use crate::operator::engine::log::log_claim;
use crate::operator::engine::queue::lane;
use crate::operator::engine::{Engine, Unit};
use crate::operator::retry;
use crate::operator::writer::{Failure, Outcome, WriteResult};

/// The longest pause of a unit that takes access away: an API server that was gone for long may be back.
const LONGEST_WHEN_REVOKING: Duration = Duration::from_secs(5);

/// The longest message of a refusal, in bytes.
const LONGEST_MESSAGE: usize = 1024;

impl Engine {
    /// What became of a write.
    pub(in crate::operator::engine) fn done(&mut self, done: WriteResult) {
        match done {
            WriteResult::Native(key, outcome) => {
                let unit = self.unit_of(&key);
                let Some(state) = self.units.get_mut(&unit) else { return };
                let revoking = state.in_flight.end(&key);
                self.writing.end(revoking.then_some(&key), self.now.clock);
                self.wrote(&unit, key, revoking, outcome);
                self.requeue(&unit);
            }
            WriteResult::Claim(name, result) => {
                let unit = Unit::Namespace(name.clone());
                match result {
                    Ok(namespace) if self.cache.namespaces.get(&name).is_none_or(|n| n.uid != namespace.uid) => {}
                    Ok(namespace) => {
                        let affected = self.cache.namespace(&name, Some(namespace), None);
                        self.affected(affected);
                        let written = self.units.get(&unit).and_then(|state| state.claiming.as_ref());
                        let again =
                            self.claim_due(&unit).is_some_and(|due| written.is_some_and(|w| w.is_same_step(&due)));
                        if again {
                            let stripped = "Something takes the record off again.".to_owned();
                            self.claim_failed(&unit, &name, Failure::Refused(stripped));
                        } else {
                            if let Some(written) = written {
                                log_claim(written);
                            }
                            self.cache.refused_claims.remove(&name);
                        }
                    }
                    Err(error) => self.claim_failed(&unit, &name, error),
                }
                if let Some(state) = self.units.get_mut(&unit) {
                    state.claiming = None;
                    self.writing.end(None, self.now.clock);
                    self.requeue(&unit);
                }
            }
            WriteResult::Status(target, result) => self.status_done(&target, result),
            WriteResult::Read(target, result) => self.was_read(&target, result),
            WriteResult::Suspended(result) => self.list_written(result),
            WriteResult::Kept(result) => self.kept_written(result),
            WriteResult::Unlabelled(handle, result) => self.label_taken_off(&handle, result),
            WriteResult::Unread => {}
        }
    }

    /// What is there stays for a while, so that an organization that was made anew keeps what it has; not for longer if the claim
    /// cannot be recorded, because nobody holds the namespace. An API server that is out of reach says nothing about that.
    fn claim_failed(&mut self, unit: &Unit, name: &Name, failure: Failure) {
        tracing::warn!(namespace = &**name, ?failure, "a claim could not be recorded");
        let clock = self.now.clock;
        if let (Failure::Refused(message), Some(state)) = (failure, self.units.get_mut(unit))
            && state.claim_refused.get_or_insert_with(|| Streak::new(clock)).goes_on(clock)
        {
            let is_news = self.cache.refused_claims.insert(name.clone(), message).is_none();
            self.statuses.organizations.extend(claims::claimants(&self.cache, name).map(|o| o.meta.name.clone()));
            if is_news {
                // What is there is taken away at once.
                self.make_urgent(unit);
                return;
            }
        }
        self.back_off(unit);
    }

    /// Queues a unit when all its writes are done, or when it may have something to take away beside them.
    fn requeue(&mut self, unit: &Unit) {
        let Some(state) = self.units.get_mut(unit) else { return };
        let writing = state.is_writing();
        if !writing {
            state.gone.clear();
            if state.stale {
                // Its turn may come late, and then it is decided anew.
                state.decision = None;
            }
        }
        let urgent = state.may_revoke();
        if (!writing || urgent) && state.busy_since.is_some() {
            // Work that has begun is brought to its end before other work begins.
            self.queue.push_first(unit.clone(), lane(urgent, state.is_slow));
        }
    }

    fn wrote(&mut self, unit: &Unit, key: Key, revokes: bool, outcome: Outcome) {
        let (clock, is_fresh) = (self.now.clock, self.is_fresh(unit));
        let Some(state) = self.units.get_mut(unit) else { return };
        if !matches!(outcome, Outcome::Failed { .. }) {
            state.erring.remove(&key);
        }
        match outcome {
            Outcome::Is(observed) => {
                if !state.left(key, observed) {
                    // Somebody has changed it since.
                    self.make_urgent(unit);
                }
            }
            Outcome::Altered(observed) => {
                let message = format!(
                    "The API server stored {key} otherwise than it was written: an admission webhook or a \
                     MutatingAdmissionPolicy of this cluster changes it. Exempt objects with the label \
                     app.kubernetes.io/managed-by=bailiwick from it."
                );
                if state.left(key.clone(), observed) {
                    let waits = self.resisted(unit, key, Reason::ChangedByAdmission, message, revokes) && revokes;
                    if !waits {
                        // It may give more than it should.
                        self.make_urgent(unit);
                    }
                }
            }
            Outcome::Found(observed) => {
                let known = state.present.get(&key);
                let is_news = known.is_none_or(|k| k.uid != observed.uid || k.version != observed.version);
                state.left(key, observed);
                if is_news {
                    // Somebody has changed it.
                    self.make_urgent(unit);
                } else {
                    // Whatever the conflict is, the next try has no better reason to work.
                    self.back_off(unit);
                }
            }
            Outcome::Gone(uid) => match state.present.get(&key).map(|known| known.uid.clone()) {
                // A create in conflict with nothing that there is.
                None if uid.is_none() => self.back_off(unit),
                Some(known) if uid.is_none_or(|uid| uid == known) => {
                    state.forget(&key);
                    state.deleted.insert(known, key.kind);
                }
                _ => {}
            },
            Outcome::Taken => {
                state.forget(&key);
                let message = format!(
                    "{key} exists and is not Bailiwick's. Delete it, or recreate what asks for it under another name."
                );
                self.write_failure(unit, key, Reason::NameTaken, message, false);
            }
            Outcome::Refused { .. } if !revokes && is_fresh => self.back_off(unit),
            Outcome::Refused { message, authorized } => {
                let is_trouble = self.resisted(unit, key, Reason::RefusedByApiServer, message, revokes);
                if is_trouble
                    && !authorized
                    && let Unit::Namespace(name) = unit
                {
                    self.cache.unauthorized.insert(name.clone());
                }
            }
            Outcome::Failed { message, answered } => {
                tracing::warn!(%key, message, "a write failed; it is tried again");
                // What fails for long is as good as refused: whoever shall have this instead of something else keeps that
                // meanwhile, and whoever shall lose it has it, but not for ever.
                if answered && state.errs(&key, revokes, clock) {
                    self.resisted(unit, key, Reason::RefusedByApiServer, message, revokes);
                } else {
                    self.back_off(unit);
                }
            }
            Outcome::NotLeading => self.back_off(unit),
        }
    }

    /// The API server does not let something become what it should be. Says whether nothing else can be tried at once.
    fn resisted(&mut self, unit: &Unit, key: Key, reason: Reason, message: String, revokes: bool) -> bool {
        let known = self.units.get_mut(unit).and_then(|state| state.present.get_mut(&key));
        if let Some(observed) = known.filter(|observed| revokes && !observed.must_recreate) {
            // A binding is checked against the ceiling at every update, even one that only takes away. Deleting is not: what
            // it may still grant is made anew.
            observed.must_recreate = true;
            return false;
        }
        self.write_failure(unit, key, reason, message, revokes);
        true
    }

    /// Something cannot be written for now: it is tried again, holds up nothing else, and is said.
    fn write_failure(&mut self, unit: &Unit, key: Key, reason: Reason, message: String, resists: bool) {
        let clock = self.now.clock;
        let Some(state) = self.units.get_mut(unit) else { return };
        // An answer may quote what was written, which may be large.
        let message = message[..message.floor_char_boundary(LONGEST_MESSAGE)].to_owned();
        let times = state.failing.get(&key).map_or(0, |f| f.times) + 1;
        // A refusal has a cause that people mend: a second is soon enough for the first try.
        let pause = retry::delay(times.saturating_add(3));
        let until = clock + if resists { pause.min(LONGEST_WHEN_REVOKING) } else { pause };
        state.failing.insert(key.clone(), Failing { times, until, resists });
        self.pauses.insert((until, unit.clone()));
        let wanted = state.decision.as_ref().and_then(|d| d.desired.get(&key)).map(|n| n.source.uid.clone());
        // What is not wanted any more, and stays, is the affair of the object that asked for it.
        let there = || state.present.get(&key).and_then(|observed| observed.source()).map(|source| source.uid);
        let source = wanted.or_else(there);
        let is_news = times == 1;
        if is_news {
            tracing::warn!(%key, %reason, message, "a native object is refused; it is tried again");
        }
        let write_failure = WriteFailure { source: source.unwrap_or_default(), reason, message };
        if !self.cache.write_failures.get(&key).is_some_and(|known| known.is_as(&write_failure)) {
            self.cache.write_failures.insert(key, write_failure);
            self.revision += 1;
            self.mark(unit.clone(), false);
            self.mark(Unit::Site, false);
        }
        self.metrics.refused.set(i64::try_from(self.cache.write_failures.len()).unwrap_or(i64::MAX));
    }

    /// The whole unit waits a little. What nobody has looked at yet, and may take access away, is looked at before that.
    fn back_off(&mut self, unit: &Unit) {
        let clock = self.now.clock;
        let Some(state) = self.units.get_mut(unit) else { return };
        if state.wait_until.is_none() {
            state.failures += 1;
            if state.urgent {
                return;
            }
            let wait = retry::delay(state.failures);
            let wait = if state.revoking { wait.min(LONGEST_WHEN_REVOKING) } else { wait };
            state.wait_until = Some(clock + wait);
            self.pauses.insert((clock + wait, unit.clone()));
        }
    }
}
