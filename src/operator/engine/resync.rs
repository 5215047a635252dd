//! The slow resync: a safety net for changes whose effects were missed.
//!
//! It decides every key again in turn when there is no other work. Any difference that it finds is a bug in the
//! operator, and is corrected, counted and logged. Tests, storms and benchmarks end with the count at zero.

use std::time::{Duration, Instant};

use super::Engine;
use super::key::ReconcileKey;
use super::reconcile::Observations;
use crate::core::conditions::StatusDraft;
use crate::core::desired::DesiredState;
use crate::core::{organization, organization_status, plan, site, user};
use crate::operator::metrics::KindLabels;
use crate::operator::watch_event::{Comparison, Kind, Versions, WatchedRef};

/// The default period in which every key is decided again.
const PERIOD: Duration = Duration::from_mins(10);
/// How often it checks whether keys are due.
const TICK: Duration = Duration::from_secs(1);

/// Which keys are due to be decided again.
#[derive(Debug)]
pub(super) struct Resync {
    pub period: Duration,
    began: Instant,
    /// The number of keys in this round, and those that are left.
    total: usize,
    left: Vec<ReconcileKey>,
    next_look: Instant,
}

impl Resync {
    pub fn new(now: Instant) -> Self {
        Self { period: PERIOD, began: now, total: 0, left: Vec::new(), next_look: now + TICK }
    }

    /// Whether it is time to check, once a tick.
    pub fn looks(&mut self, now: Instant) -> bool {
        let is_time = self.next_look <= now;
        if is_time {
            self.next_look = now + TICK.min(self.period);
        }
        is_time
    }

    /// Whether a round is over, and the next begins.
    fn is_over(&self, now: Instant) -> bool {
        self.left.is_empty() && now >= self.began + self.period
    }

    fn begin(&mut self, keys: Vec<ReconcileKey>, now: Instant) {
        (self.began, self.total, self.left) = (now, keys.len(), keys);
    }

    /// The next key that is due.
    fn next(&mut self, now: Instant) -> Option<ReconcileKey> {
        let done = self.total - self.left.len();
        let share = now.saturating_duration_since(self.began).div_duration_f64(self.period);
        // The next one is due once this share of the period is over.
        let is_due = share * self.total as f64 > done as f64;
        if is_due { self.left.pop() } else { None }
    }
}

/// A difference between the actual and the desired state.
struct Fault {
    kind: &'static str,
    object: String,
    /// The desired state.
    should: String,
}

/// The longest description of a fault, in bytes.
const LONGEST_DESCRIPTION: usize = 1024;

impl Fault {
    fn new(kind: &'static str, object: String, mut should: String) -> Self {
        should.truncate(should.floor_char_boundary(LONGEST_DESCRIPTION));
        Self { kind, object, should }
    }
}

impl Engine {
    /// Sets the period in which every key is decided again.
    #[must_use]
    pub fn with_resync(mut self, period: Duration) -> Self {
        self.resync.period = period;
        self
    }

    /// When it next checks for due keys.
    #[must_use]
    pub fn resyncs_at(&self) -> Option<Instant> {
        Some(self.resync.next_look).filter(|_| self.may_begin())
    }

    /// Decides due keys again: one if there is other work.
    pub(super) fn resync(&mut self, turn_began: Instant) {
        let now = self.now.clock;
        if !self.undecided.is_empty() || !self.resync.looks(now) {
            return;
        }
        if self.resync.is_over(now) {
            let users = self.cache.users.names().into_iter().map(ReconcileKey::User);
            let organizations = self.cache.organizations.names().into_iter().map(ReconcileKey::Organization);
            let keys = self.keys.keys().cloned().chain(users).chain(organizations).collect();
            self.resync.begin(keys, now);
        }
        while let Some(key) = self.resync.next(now) {
            if let Some(Fault { kind, object, should }) = self.fault_of(&key) {
                tracing::error!(
                    kind,
                    object,
                    should,
                    "the resync corrects something that an event should have: please report this bug"
                );
                self.metrics.resync_corrections.get_or_create(&KindLabels { kind }).inc();
                self.enqueue_again(key);
            }
            if !self.queue.is_empty() || turn_began.elapsed() > super::LONGEST_TURN {
                break;
            }
        }
    }

    /// Compares a list with the known objects. A difference that two lists show is one that the watch missed.
    pub(super) fn compare(&mut self, comparison: Comparison) {
        let Comparison { kind, listed, before, answer } = comparison;
        let gone = self.known(kind).into_iter().filter(|id| !listed.contains_key(id)).map(|id| (id, 0));
        let mut differs: Versions = gone.collect();
        let is_newer = |(id, version): &(WatchedRef, u64)| self.version_of(id).is_none_or(|known| known < *version);
        differs.extend(listed.into_iter().filter(is_newer));
        if let Some(before) = before {
            differs.retain(|id, version| before.get(id) == Some(version));
            for id in differs.keys() {
                let (kind, object) = (kind.as_str(), id.path());
                tracing::error!(
                    kind,
                    object,
                    "a watch has missed a change, so it lists everything again: please report this bug"
                );
                self.metrics.resync_corrections.get_or_create(&KindLabels { kind }).inc();
            }
        }
        let _ = answer.send(differs);
    }

    fn version_of(&self, id: &WatchedRef) -> Option<u64> {
        self.known_by_name(id).filter(|(uid, _)| *uid == id.uid).map(|(_, version)| version)
    }

    fn enqueue_again(&mut self, key: ReconcileKey) {
        self.revision += 1;
        match key {
            ReconcileKey::Site | ReconcileKey::Namespace(_) => self.enqueue_changed(key, true),
            ReconcileKey::User(_)
            | ReconcileKey::Organization(_)
            | ReconcileKey::SuspendedUsers
            | ReconcileKey::DecisionRecord => self.on_timer(key),
        }
    }

    /// The difference in a key without pending work.
    fn fault_of(&self, key: &ReconcileKey) -> Option<Fault> {
        let observed = Observations(&self.keys, &self.write_failures);
        match key {
            ReconcileKey::Site => self.fault_in(key, &site::decide(&self.cache, self.now.time, &observed)),
            ReconcileKey::Namespace(name) => {
                self.fault_in(key, &organization::decide(&self.cache, name, self.now.time, &observed))
            }
            ReconcileKey::User(handle) => {
                let user = self.cache.users.get(handle)?;
                let (draft, _) = user::status(&self.cache, user, self.cache.holds(user), self.now.time);
                self.fault_of_status(&draft)
            }
            ReconcileKey::Organization(name) => {
                let organization = self.cache.organizations.get(name)?;
                let counts = self.counts_of(organization)?;
                let draft = organization_status::status(&self.cache, &self.write_failures, organization, counts);
                self.fault_of_status(&draft)
            }
            ReconcileKey::SuspendedUsers | ReconcileKey::DecisionRecord => None,
        }
    }

    fn fault_in(&self, key: &ReconcileKey, decided: &DesiredState) -> Option<Fault> {
        let state = self.keys.get(key).filter(|state| state.work.busy_since().is_none())?;
        if self.namespace_is_gone(key) || self.claim_due(key).is_some() {
            return None;
        }
        let given_up = state.failures.given_up(self.now.clock);
        let step = plan::next(&decided.desired, state.objects.present(), &given_up);
        if let Some(write) = step.writes.first() {
            let kind = Kind::from(write.key().kind).as_str();
            return Some(Fault::new(kind, write.key().to_string(), format!("{write:?}")));
        }
        let decision = &state.decision;
        let (was, is) = (&decision.contribution, &decided.contribution);
        if was != is || decision.next_change != decided.next_change {
            let place = key.namespace().map_or("(site)", |name| name);
            let parts = [
                ("holders", was.holders != is.holders),
                ("belong", was.belong != is.belong),
                ("held", was.held != is.held),
                ("doubts", was.doubts != is.doubts),
                ("next change", decision.next_change != decided.next_change),
            ];
            let other: Vec<&str> = parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect();
            return Some(Fault::new("Namespace", place.to_owned(), format!("other {}", other.join(", "))));
        }
        decided.statuses.iter().find_map(|draft| self.fault_of_status(draft))
    }

    /// Whether a status should differ, while no status is about to be written.
    fn fault_of_status(&self, draft: &StatusDraft) -> Option<Fault> {
        let meta = self.cache.meta(&draft.target).filter(|_| self.statuses.is_idle() && self.busy.is_empty())?;
        // An older CRD may lack fields, and a deleted object has no status.
        let waits = self.is_status_requeued(&draft.target) || self.statuses.is_stored_otherwise(&draft.target);
        let document = draft.document(meta, self.now.time).filter(|_| !waits);
        document.map(|status| Fault::new(draft.target.kind.as_str(), draft.target.path(), status["status"].to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::*;
    use crate::api;
    use crate::operator::engine::Now;
    use crate::operator::watch_event::{Item, Kind, WatchEvent};
    use crate::operator::writer::{WriteRequest, WriteResult};

    #[test]
    fn every_key_has_its_turn_within_a_period() {
        let start = Instant::now();
        let mut resync = Resync::new(start);
        assert!(!resync.is_over(start) && resync.next(start).is_none());
        let begin = start + PERIOD;
        assert!(resync.is_over(begin));
        resync.begin((0..1200).map(|n| ReconcileKey::User(format!("u{n}").into())).collect(), begin);
        let mut done = 0;
        for second in 1..=600 {
            let now = begin + Duration::from_secs(second);
            assert!(resync.looks(now) && !resync.looks(now));
            let of_this_tick = std::iter::from_fn(|| resync.next(now)).count();
            assert!((1..=3).contains(&of_this_tick), "{of_this_tick} in second {second}");
            done += of_this_tick;
        }
        assert_eq!(done, 1200);
        assert!(resync.is_over(begin + PERIOD));
    }

    /// An engine that leads and has seen this User, and its write requests.
    fn engine(user: &api::User) -> (Engine, mpsc::UnboundedReceiver<WriteRequest>) {
        let (writer, requests) = mpsc::unbounded_channel();
        let mut engine = Engine::new(Arc::default(), writer, 64, Now::read());
        engine.lead(true);
        let user = WatchEvent::Item(Box::new(Item::User(user.into())));
        let synced = Kind::ALL.iter().map(|kind| WatchEvent::Synced(*kind));
        // The configuration has to be read before the engine acts.
        let configured = [Item::Bounds(Default::default()), Item::Settings(Default::default())];
        let configured = configured.into_iter().chain([Item::Policies(None)]).map(Box::new).map(WatchEvent::Item);
        engine.turn(Now::read(), std::iter::empty(), [user].into_iter().chain(configured).chain(synced));
        (engine, requests)
    }

    /// Performs the writes of statuses. Returns the user states in them.
    fn answer(
        engine: &mut Engine,
        requests: &mut mpsc::UnboundedReceiver<WriteRequest>,
        user: &mut api::User,
    ) -> String {
        while let Ok(request) = requests.try_recv() {
            let WriteRequest::Status { target, document, .. } = request else { continue };
            user.status = serde_json::from_value(document["status"].clone()).unwrap();
            let version = user.metadata.resource_version.as_ref().map_or(0, |version| version.parse().unwrap()) + 1;
            user.metadata.resource_version = Some(format!("{version}"));
            let written = WriteResult::Status(target, Ok(Box::new(Item::User((&*user).into()))));
            engine.turn(engine.now, std::iter::once(written), std::iter::empty());
        }
        format!("{:?}", user.status.as_ref().and_then(|status| status.state))
    }

    #[test]
    fn a_change_whose_effect_was_missed_is_corrected_and_counted() {
        let mut user: api::User = serde_json::from_value(serde_json::json!({
            "apiVersion": "bailiwick.dev/v1alpha1", "kind": "User", "spec": {},
            "metadata": {"name": "ada", "uid": "u", "resourceVersion": "1", "generation": 1},
        }))
        .unwrap();
        let (mut engine, mut requests) = engine(&user);
        assert_eq!(answer(&mut engine, &mut requests, &mut user), "Some(Active)");
        let wait = |engine: &mut Engine, periods: u32| {
            let clock = engine.now.clock + periods * PERIOD;
            engine.turn(Now { clock, ..engine.now }, std::iter::empty(), std::iter::empty());
        };
        let corrections =
            |engine: &Engine| engine.metrics.resync_corrections.get_or_create(&KindLabels { kind: "User" }).get();
        (0..3).for_each(|_| wait(&mut engine, 1));
        assert_eq!((corrections(&engine), requests.try_recv().is_err()), (0, true), "nothing is to be corrected");

        // The cache takes in a change, and nobody acts on its effects.
        user.spec.suspended = true;
        user.metadata.resource_version = Some("9".to_owned());
        let _missed = engine.cache.user(&"ada".into(), Some((&user).into()), None);
        (0..3).for_each(|_| wait(&mut engine, 1));
        assert_eq!(answer(&mut engine, &mut requests, &mut user), "Some(Suspended)");
        assert_eq!(corrections(&engine), 1);
        (0..3).for_each(|_| wait(&mut engine, 1));
        assert_eq!(corrections(&engine), 1, "once is enough");
    }
}
