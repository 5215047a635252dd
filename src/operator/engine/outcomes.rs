//! Results of writes of native objects, and failures to write them.

use super::Engine;
use super::key::ReconcileKey;
use crate::api::conditions::Reason;
use crate::core::object_ref::NativeRef;
use crate::core::rbac::Observed;
use crate::core::uid::Uid;
use crate::core::write_failures::WriteFailure;
use crate::operator::writer::{Outcome, WriteResult};

/// The longest message of a refusal, in bytes.
const LONGEST_MESSAGE: usize = 1024;

impl Engine {
    /// The result of a write.
    pub(super) fn written(&mut self, result: WriteResult) {
        match result {
            WriteResult::Native(object, outcome) => {
                let key = ReconcileKey::of(&object);
                let Some(state) = self.keys.get_mut(&key) else { return };
                let revokes = state.in_flight.end(&object);
                self.budget.end(revokes.then_some(&object), self.now.clock);
                self.native_written(&key, object, revokes, outcome);
                self.answered(&key);
            }
            WriteResult::Claim(name, result) => self.claim_written(&name, result),
            WriteResult::Status(target, result) => self.status_written(&target, result),
            WriteResult::Read(target, result) => self.was_reread(&target, result),
            WriteResult::Suspended(result) => self.suspended_users_written(result),
            WriteResult::Kept(result) => self.record_written(result),
            WriteResult::Unlabelled(handle, result) => self.label_removed(&handle, result),
            WriteResult::Unread => {}
        }
    }

    /// Queues a key once all its writes are answered, or if it may have something to revoke meanwhile.
    pub(super) fn answered(&mut self, key: &ReconcileKey) {
        let Some(state) = self.keys.get_mut(key) else { return };
        if !state.is_writing() {
            state.objects.all_answered();
            state.work.all_answered(self.now.clock);
            if state.decision.is_stale {
                // Its turn may come late, so it is decided again then.
                state.decision.desired = None;
            }
        }
        if state.work.wants_turn() {
            // Finish work in progress before other work.
            self.queue.add_first(key.clone(), state.work.may_revoke());
        }
    }

    fn native_written(&mut self, key: &ReconcileKey, object: NativeRef, revokes: bool, outcome: Outcome) {
        let is_new = key.namespace().is_some_and(|name| self.is_new(name));
        let Some(state) = self.keys.get_mut(key) else { return };
        if !matches!(outcome, Outcome::Failed { .. }) {
            state.failures.was_answered(&object);
        }
        match outcome {
            Outcome::Is(observed) => {
                if !self.take_answer(key, object, observed) {
                    // Somebody has changed it since.
                    self.make_urgent(key);
                }
            }
            Outcome::Altered(observed) => {
                let message = format!(
                    "An admission webhook or a MutatingAdmissionPolicy of this cluster changed {object} while \
                     Bailiwick wrote it. Exempt objects with the label app.kubernetes.io/managed-by=bailiwick from it."
                );
                if self.take_answer(key, object.clone(), observed) {
                    let waits = self.refused(key, object, Reason::ChangedByAdmission, message, revokes) && revokes;
                    if !waits {
                        // It may grant too much.
                        self.make_urgent(key);
                    }
                }
            }
            Outcome::Found(observed) => {
                let known = state.objects.get(&object);
                let is_news = known.is_none_or(|k| k.uid != observed.uid || k.version != observed.version);
                self.take_answer(key, object, observed);
                if is_news {
                    // Somebody has changed it.
                    self.make_urgent(key);
                } else {
                    // Whatever the conflict is, an immediate retry is no more likely to succeed.
                    self.back_off(key);
                }
            }
            Outcome::Gone(uid) => self.found_gone(key, &object, uid),
            Outcome::Taken => {
                let changed = state.objects.is_not_ours(&object);
                changed.inspect(|(before, _)| state.changes.note(before.as_ref(), None));
                let message = format!(
                    "{object} already exists and does not belong to Bailiwick. Delete it, or recreate the object that \
                     needs it under another name."
                );
                self.write_failed(key, object, Reason::NameTaken, message, false);
            }
            Outcome::Refused { .. } if !revokes && is_new => self.back_off(key),
            Outcome::Refused { message, authorized } => {
                let cannot_be_done = self.refused(key, object, Reason::RefusedByApiServer, message, revokes);
                if let (true, false, Some(name)) = (cannot_be_done, authorized, key.namespace()) {
                    self.write_failures.unauthorized.insert(name.clone());
                }
            }
            Outcome::Failed { message, answered } => {
                tracing::warn!(key = %object, error = message, "a write failed; retrying");
                // Repeated failures count as a refusal: subjects that should get this in place of something else keep
                // the old grant meanwhile, and subjects that should lose it do not keep it forever.
                if answered && state.failures.err(&object, revokes, self.now.clock) {
                    self.refused(key, object, Reason::RefusedByApiServer, message, revokes);
                } else {
                    self.back_off(key);
                }
            }
            Outcome::NotLeading => self.back_off(key),
        }
    }

    /// Takes in the object that a write left or found. Returns whether nothing newer is known.
    fn take_answer(&mut self, key: &ReconcileKey, object: NativeRef, observed: Observed) -> bool {
        let Some(state) = self.keys.get_mut(key) else { return false };
        let changed = state.objects.written(object, observed);
        changed.inspect(|(before, after)| state.changes.note(before.as_ref(), after.as_ref())).is_some()
    }

    /// The object to write does not exist. `uid`: the target of the write, if any.
    fn found_gone(&mut self, key: &ReconcileKey, object: &NativeRef, uid: Option<Uid>) {
        let Some(state) = self.keys.get_mut(key) else { return };
        match state.objects.get(object) {
            // A create in conflict with no existing object.
            None if uid.is_none() => self.back_off(key),
            Some(known) if uid.is_none_or(|uid| uid == known.uid) => {
                let changed = state.objects.was_deleted(object);
                changed.inspect(|(before, _)| state.changes.note(before.as_ref(), None));
            }
            _ => {}
        }
    }

    /// The API server refuses a write. Returns whether nothing else can be tried at once.
    fn refused(
        &mut self,
        key: &ReconcileKey,
        object: NativeRef,
        reason: Reason,
        message: String,
        revokes: bool,
    ) -> bool {
        // Every update of a binding is checked against the ceiling, even a revocation. Deleting is not, so the object
        // is deleted, and the rest of its grants recreated.
        if revokes && self.keys.get_mut(key).is_some_and(|state| state.objects.must_recreate(&object)) {
            return false;
        }
        self.write_failed(key, object, reason, message, revokes);
        true
    }

    /// Reports an object that cannot currently be written, and schedules a retry. It holds up nothing else.
    fn write_failed(&mut self, key: &ReconcileKey, object: NativeRef, reason: Reason, message: String, revokes: bool) {
        let Some(state) = self.keys.get_mut(key) else { return };
        // The message may quote the whole object, which may be large.
        let message = message[..message.floor_char_boundary(LONGEST_MESSAGE)].to_owned();
        let (until, is_first) = state.failures.refuse(&object, revokes, self.now.clock);
        self.queue.add_after(key.clone(), until);
        let desired = state.decision.desired.as_ref().and_then(|decided| decided.desired.get(&object));
        let desired = desired.map(|native| native.source.uid.clone());
        // The failure to delete an obsolete object is reported on the object that requested it.
        let there = || state.objects.get(&object).and_then(Observed::source).map(|source| source.uid);
        let source = desired.or_else(there).unwrap_or_default();
        if is_first {
            tracing::warn!(key = %object, %reason, error = message, "the API server refuses or changes an object; retrying");
        }
        let failure = WriteFailure { source, reason, message };
        if !self.write_failures.get(&object).is_some_and(|known| known.is_as(&failure)) {
            self.write_failures.insert(object, failure);
            self.enqueue_after_failure(key);
        }
        self.count_refused();
    }

    /// Forgets the write failures of a converged key, except for objects that are still refused. `has_changed`: its
    /// native objects changed.
    pub(super) fn forget_write_failures(&mut self, key: &ReconcileKey, has_changed: bool) {
        let Some(state) = self.keys.get(key) else { return };
        if self.write_failures.is_empty() && self.write_failures.unauthorized.is_empty() {
            return;
        }
        let refused = state.failures.refused();
        let is_over = |object: &&NativeRef| ReconcileKey::of(object) == *key && !refused.contains(*object);
        let over: Vec<NativeRef> = self.write_failures.keys().filter(is_over).cloned().collect();
        over.iter().for_each(|object| self.write_failures.remove(object));
        let authorized_again = |name| refused.is_empty() && self.write_failures.unauthorized.remove(name);
        let is_authorized = key.namespace().is_some_and(authorized_again);
        self.count_refused();
        // While writes are refused, the effective grants depend on the existing native objects.
        if is_authorized || !over.is_empty() || (has_changed && !refused.is_empty()) {
            self.enqueue_after_failure(key);
        }
    }

    /// Statuses of this key and of the site report refused writes.
    fn enqueue_after_failure(&mut self, key: &ReconcileKey) {
        self.revision += 1;
        self.enqueue(key.clone(), false);
        self.enqueue(ReconcileKey::Site, false);
    }

    fn count_refused(&self) {
        self.metrics.refused.set(i64::try_from(self.write_failures.len()).unwrap_or(i64::MAX));
    }

    /// Backs off the whole key.
    pub(super) fn back_off(&mut self, key: &ReconcileKey) {
        let Some(state) = self.keys.get_mut(key) else { return };
        if let Some(until) = state.work.back_off(self.now.clock) {
            self.queue.add_after(key.clone(), until);
        }
    }
}
