//! Records an organization's claim on its namespace.

use super::key::{ReconcileKey, Streak};
use super::log::log_claim;
use super::{Engine, WriteRequest};
use crate::core::Name;
use crate::core::claims::{self, Claim};
use crate::core::records::Namespace;
use crate::operator::writer::Failure;

impl Engine {
    /// A claim that has to be recorded before any other write in the namespace. A refused one is retried once the
    /// existing grants are gone.
    pub(super) fn first_claim(&self, key: &ReconcileKey) -> Option<Claim> {
        self.claim_due(key).filter(|claim| !self.write_failures.refused_claims.contains_key(&claim.namespace))
    }

    /// The claim on a namespace that has not been recorded yet.
    pub(super) fn claim_due(&self, key: &ReconcileKey) -> Option<Claim> {
        let (name, state) = (key.namespace()?, self.keys.get(key)?);
        claims::claim(&self.cache, name, self.now.time, state.objects.is_vacated(self.now.clock))
    }

    /// If a claim waits until the former organization's access is revoked, reconciles the namespace again then.
    pub(super) fn await_vacancy(&mut self, key: &ReconcileKey) {
        let clock = self.now.clock;
        let (Some(name), Some(state)) = (key.namespace(), self.keys.get_mut(key)) else { return };
        if let Some(at) = state.objects.vacated_at(clock).filter(|at| *at > clock)
            && claims::claim(&self.cache, name, self.now.time, false).is_none()
            && claims::claim(&self.cache, name, self.now.time, true).is_some()
        {
            self.queue.add_after(key.clone(), at);
        }
    }

    /// A claim that is not due is not refused.
    pub(super) fn forget_claim_refusal(&mut self, key: &ReconcileKey) {
        if let (Some(name), None) = (key.namespace(), self.claim_due(key)) {
            self.write_failures.refused_claims.remove(name);
            if let Some(state) = self.keys.get_mut(key) {
                state.claim_refused = None;
            }
        }
    }

    /// Writes the statuses of a namespace before its claim is recorded.
    pub(super) fn report_before_claim(&mut self, key: &ReconcileKey) {
        let Some(state) = self.keys.get_mut(key) else { return };
        state.work.only_gives();
        if let Some(decided) = state.decision.desired.take() {
            self.statuses.write_now(decided.statuses);
        }
    }

    pub(super) fn record_claim(&mut self, key: &ReconcileKey, claim: Claim) {
        let Some(state) = self.keys.get_mut(key) else { return };
        state.claiming = Some(claim.clone());
        state.work.begin_writing();
        self.budget.begin(None, self.now.clock);
        let _ = self.writer.send(WriteRequest::Claim(claim));
    }

    /// The result of recording a claim.
    pub(super) fn claim_written(&mut self, name: &Name, result: Result<Namespace, Failure>) {
        let key = ReconcileKey::Namespace(name.clone());
        match result {
            Ok(namespace) if self.cache.namespaces.get(name).is_none_or(|known| known.uid != namespace.uid) => {}
            Ok(namespace) => {
                let affected = self.cache.namespace(name, Some(namespace), None);
                self.affected(affected);
                let written = self.keys.get(&key).and_then(|state| state.claiming.clone());
                let is_due_again = |written: &Claim| self.claim_due(&key).is_some_and(|due| written.is_same_step(&due));
                if written.as_ref().is_some_and(is_due_again) {
                    self.claim_failed(&key, name, Failure::Refused("Something removes the record again.".to_owned()));
                } else {
                    written.as_ref().inspect(|written| log_claim(written));
                    self.write_failures.refused_claims.remove(name);
                }
            }
            Err(failure) => self.claim_failed(&key, name, failure),
        }
        if let Some(state) = self.keys.get_mut(&key) {
            state.claiming = None;
            self.budget.end(None, self.now.clock);
            self.answered(&key);
        }
    }

    /// Existing grants stay briefly, so that recreating an Organization causes no gap. If the claim keeps being
    /// refused, they are revoked: nobody holds the namespace. Connection errors are not refusals.
    fn claim_failed(&mut self, key: &ReconcileKey, name: &Name, failure: Failure) {
        tracing::warn!(namespace = &**name, ?failure, "cannot record a claim; retrying");
        let clock = self.now.clock;
        if let (Failure::Refused(message), Some(state)) = (failure, self.keys.get_mut(key))
            && state.claim_refused.get_or_insert_with(|| Streak::new(clock)).goes_on(clock)
        {
            let is_news = self.write_failures.refused_claims.insert(name.clone(), message).is_none();
            self.statuses.organizations.extend(claims::claimants(&self.cache, name).map(|o| o.meta.name.clone()));
            if is_news {
                return self.make_urgent(key);
            }
        }
        self.back_off(key);
    }
}
