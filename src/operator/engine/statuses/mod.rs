//! Writes statuses once they are true, and only if they differ from the stored ones.
//!
//! The statuses of a decision wait for the writes that they describe: those of the key itself and, for effects beyond
//! it, those of the site or of all keys. Drafts for all objects of a large site would take much memory, so they are not
//! kept, but decided again when there is a place for them.

mod queue;

use std::collections::HashMap;
use std::time::Instant;

use self::queue::Deferred;
pub(super) use self::queue::StatusQueue;
use super::key::ReconcileKey;
use super::reconcile::Observations;
use super::{Engine, KEYS_A_TURN, LONGEST_TURN};
use crate::api::ApiKind;
use crate::api::conditions::{ConditionType, Reason};
use crate::core::conditions::{Status, StatusDraft};
use crate::core::desired::Counts;
use crate::core::object_ref::{ApiRef, ObjectRef};
use crate::core::records::{Organization, digest};
use crate::core::{Name, claims, organization, organization_status, user};
use crate::operator::metrics::{Metrics, ReasonLabels};
use crate::operator::retry;
use crate::operator::watch_event::Item;
use crate::operator::writer::{Failure, News, WriteRequest};

impl Engine {
    /// Writes the statuses that are true now, as far as there are places.
    pub(super) fn write_statuses(&mut self, began: Instant) {
        for draft in self.statuses.take_due() {
            self.enqueue_status(draft);
        }
        while self.has_place_for_status()
            && let Some(draft) = self.statuses.next_queued()
        {
            self.enqueue_status(draft);
        }
        let all_converged = self.undecided.is_empty() && self.oldest_busy().is_none();
        if self.undecided.is_empty() {
            self.statuses.write_counts(self.now.clock, all_converged);
        }
        // Most of very many may be as they should be, and take no place.
        let started = Instant::now();
        while self.has_place_for_status()
            && let Some(name) = self.statuses.organizations.pop_first()
        {
            self.organization_status(&name);
            if started.elapsed() > LONGEST_TURN {
                break;
            }
        }
        while self.has_place_for_status()
            && let Some(handle) = self.statuses.users.pop_first()
        {
            self.user_status(&handle);
            if started.elapsed() > LONGEST_TURN {
                break;
            }
        }
        let ready = if self.has_place_for_status() { self.keys_with_true_statuses() } else { Vec::new() };
        let mut left = ready.len();
        for key in ready.into_iter().take(KEYS_A_TURN) {
            if !self.has_place_for_status() {
                break;
            }
            left -= 1;
            self.statuses_of(&key);
            if began.elapsed() > LONGEST_TURN {
                break;
            }
        }
        let more = left > 0 || !self.statuses.organizations.is_empty() || !self.statuses.users.is_empty();
        self.statuses.more = more && self.has_place_for_status();
    }

    /// The oldest revision since which a key has had work that waits for nothing.
    fn oldest_busy(&self) -> Option<u64> {
        let waits = |key: &ReconcileKey| {
            self.queue.rests(key) || self.keys.get(key).is_some_and(|state| state.work.is_backing_off())
        };
        self.busy.iter().find(|(_, key)| !waits(key)).map(|(revision, _)| *revision)
    }

    /// Keys whose statuses can be written: as many as a turn writes, and one more.
    fn keys_with_true_statuses(&self) -> Vec<ReconcileKey> {
        let busy_since = |key: &ReconcileKey| self.keys.get(key).and_then(|state| state.work.busy_since());
        // A key that is about to be decided again gets its statuses afterwards.
        let is_due = |key: &&ReconcileKey| busy_since(key).is_none() && !self.queue.rests(key);
        let keys = self.statuses.true_by_now(self.oldest_busy(), busy_since(&ReconcileKey::Site));
        keys.filter(is_due).take(KEYS_A_TURN + 1).cloned().collect()
    }

    fn statuses_of(&mut self, key: &ReconcileKey) {
        let began = Instant::now();
        let drafts = match (key.namespace(), self.statuses.take_deferred(key)) {
            (_, Some(Deferred::Site(drafts))) => drafts,
            (Some(name), Some(Deferred::Namespace(time))) => {
                let observed = Observations(&self.keys, &self.write_failures);
                organization::decide(&self.cache, name, time, &observed).statuses
            }
            (None, Some(Deferred::Namespace(_))) | (_, None) => return,
        };
        drafts.into_iter().for_each(|draft| self.enqueue_status(draft));
        self.charge(key, began.elapsed());
    }

    /// How many statuses (and labels) may be in flight.
    pub(super) fn places_for_statuses(&self) -> usize {
        self.budget.places_for_statuses(!self.queue.is_empty(), self.now.clock)
    }

    fn has_place_for_status(&self) -> bool {
        self.statuses.in_flight() < self.places_for_statuses()
    }

    fn user_status(&mut self, handle: &Name) {
        let Some(user) = self.cache.users.get(handle) else {
            if self.cache.users.is_excess(handle)
                && let Some(meta) = self.cache.users.meta(handle)
            {
                self.enqueue_status(user::beyond_limit(meta));
            }
            return;
        };
        let is_counted = self.statuses.is_counted_later(handle);
        let counts = if is_counted { user.told } else { self.cache.holds(user) };
        let (draft, next) = user::status(&self.cache, user, counts, self.now.time);
        self.timers.set(ReconcileKey::User(handle.clone()), next);
        self.enqueue_status(draft);
    }

    fn organization_status(&mut self, name: &Name) {
        let Some(organization) = self.cache.organizations.get(name) else {
            if self.cache.organizations.is_excess(name)
                && let Some(meta) = self.cache.organizations.meta(name)
            {
                self.enqueue_status(organization_status::beyond_limit(meta));
            }
            return;
        };
        // Otherwise it is written once the namespace has converged.
        if let Some(counts) = self.counts_of(organization) {
            let draft = organization_status::status(&self.cache, &self.write_failures, organization, counts);
            self.enqueue_status(draft);
        }
    }

    /// The counts of an organization's namespace, unless it has pending work.
    pub(super) fn counts_of(&self, organization: &Organization) -> Option<Counts> {
        let state = match claims::assignment(&self.cache, organization) {
            claims::Assignment::Holds(namespace) => self.keys.get(&ReconcileKey::Namespace(namespace)),
            claims::Assignment::Not { .. } => None,
        };
        match state {
            Some(state) if state.work.busy_since().is_some() => None,
            state => Some(state.map(|state| state.decision.counts).unwrap_or_default()),
        }
    }

    /// Writes a status if it differs from the stored one, now or when there is a place.
    fn enqueue_status(&mut self, draft: StatusDraft) {
        let at_once = self.makes_privileged(&draft);
        let Some(draft) = self.statuses.replace(draft, at_once) else { return };
        let Some(meta) = self.cache.meta(&draft.target) else { return };
        let document = draft.document(meta, self.now.time);
        let was_ready = meta.status.transitions.iter().find(|t| t.kind == ConditionType::Ready).map(|t| t.good);
        self.not_ready.note(&draft, &self.metrics);
        let Some(document) = document else { return };
        if !at_once && !self.has_place_for_status() {
            // Decisions wait for records in these: the default organization, and the holder of a role.
            let first = matches!(draft.target.kind, ApiKind::Organization | ApiKind::SiteRole);
            self.statuses.wait_for_place(draft, first);
            return;
        }
        self.statuses.begin(draft.target.clone(), digest(&document["status"]));
        let weight = self.cache.weight(&draft.target);
        let news = news(&draft, was_ready);
        let _ = self.writer.send(WriteRequest::Status { target: draft.target, document, news, weight });
    }

    /// Whether policies will refuse requests because of this status. Such a status must be written even if continuous
    /// revocations leave no place for statuses.
    pub(super) fn makes_privileged(&self, draft: &StatusDraft) -> bool {
        let Status::Group(status) = &draft.status else { return false };
        let Some(local) = self.cache.local.get(&draft.target.namespace) else { return false };
        let known = local.groups.get(&draft.target.name);
        // Where bindings are left out, every Group becomes privileged, which may be thousands.
        status.privileged && known.is_some_and(|group| !group.privileged) && !local.bindings.is_over()
    }

    /// Forgets the status of a deleted object.
    pub(super) fn forget_status(&mut self, target: &ApiRef) {
        self.rereading.remove(target);
        self.statuses.forget(target);
        // Another object of this name may exist by now.
        if self.cache.meta(target).is_some() {
            self.not_ready.forget(target, &self.metrics);
        }
    }

    pub(super) fn status_written(&mut self, target: &ApiRef, result: Result<Box<Item>, Failure>) {
        let stored = result.as_ref().ok().and_then(|item| item.status_digest());
        let next = self.statuses.end(target, stored);
        match result {
            // If the watch showed the deletion meanwhile, the answer must not bring the object back.
            Ok(item) if self.cache.meta(target).is_some() => {
                let edited = self.edited_since(&item);
                self.item(*item);
                if edited {
                    self.requeue_status(target);
                }
            }
            Ok(_) => {}
            Err(Failure::Gone) => self.statuses.was_not_stored(target),
            Err(failure) => {
                let error = match failure {
                    Failure::Failed(error) | Failure::Refused(error) | Failure::Conflict(error) => error,
                    Failure::NotLeading | Failure::Gone => "not leading".to_owned(),
                };
                tracing::warn!(object = target.path(), error, "cannot write a status; retrying");
                self.requeue_status(target);
            }
        }
        let Some(draft) = next else { return };
        match target.kind {
            // These depend on their recorded status, which has just arrived.
            ApiKind::User | ApiKind::Organization | ApiKind::SiteRole | ApiKind::CustomRole => {
                self.on_timer(key_of_status(target));
            }
            ApiKind::Group | ApiKind::RoleBinding | ApiKind::SiteRoleBinding => self.enqueue_status(draft),
        }
    }

    /// Decides the status of this object again after a pause.
    pub(super) fn requeue_status(&mut self, target: &ApiRef) {
        self.timers.set_earlier(key_of_status(target), self.now.time + retry_soon());
    }
}

/// The longest delay before an edited status is written again.
const REQUEUED: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

impl Engine {
    /// Whether the status of this object will soon be decided again.
    pub(super) fn is_status_requeued(&self, target: &ApiRef) -> bool {
        self.timers.get(&key_of_status(target)).is_some_and(|at| at <= self.now.time + REQUEUED)
    }
}

/// The key that decides the status of this object.
fn key_of_status(target: &ApiRef) -> ReconcileKey {
    match target.kind {
        ApiKind::User => ReconcileKey::User(target.name.clone()),
        ApiKind::Organization => ReconcileKey::Organization(target.name.clone()),
        ApiKind::SiteRole | ApiKind::SiteRoleBinding => ReconcileKey::Site,
        ApiKind::Group | ApiKind::RoleBinding | ApiKind::CustomRole => {
            ReconcileKey::Namespace(target.namespace.clone())
        }
    }
}

/// A status grants no access, so it can wait longer than a grant.
fn retry_soon() -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(retry::delay(5)).unwrap_or(jiff::SignedDuration::from_secs(2))
}

/// News for people in a status. An object that is ready from the beginning is none; nor is a pending one, which nobody
/// has to fix.
fn news(draft: &StatusDraft, was_ready: Option<bool>) -> Option<News> {
    let ready = draft.ready()?;
    let faulty = !ready.good && !matches!(ready.reason, Reason::ClaimPending | Reason::HolderPending);
    let changes = was_ready.map_or(faulty, |was| was != ready.good);
    let event = if ready.good { changes } else { faulty };
    (event || changes).then(|| News {
        good: ready.good,
        reason: ready.reason.as_str(),
        message: ready.message.to_string(),
        changes,
        event,
    })
}

/// Objects that are not ready, for the metric.
#[derive(Debug, Default)]
pub(super) struct NotReady(HashMap<ObjectRef<ApiKind>, &'static str>);

impl NotReady {
    fn note(&mut self, draft: &StatusDraft, metrics: &Metrics) {
        let reason = draft.ready().filter(|ready| !ready.good).map(|ready| ready.reason.as_str());
        if self.0.get(&draft.target.by_name()).copied() == reason {
            return;
        }
        self.forget(&draft.target, metrics);
        if let Some(reason) = reason {
            self.0.insert(draft.target.by_name(), reason);
            metrics.not_ready.get_or_create(&ReasonLabels { reason }).inc();
        }
    }

    fn forget(&mut self, target: &ApiRef, metrics: &Metrics) {
        if let Some(reason) = self.0.remove(&target.by_name()) {
            metrics.not_ready.get_or_create(&ReasonLabels { reason }).dec();
        }
    }
}
