//! The status queue: statuses that wait until what they say is true, for a place, or for the write before them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::core::Name;
use crate::core::conditions::StatusDraft;
use crate::core::object_ref::ApiRef;
use crate::operator::engine::key::ReconcileKey;

/// How long the counts of users wait for everything to converge.
const LONGEST_UNCOUNTED: Duration = Duration::from_secs(10);

/// How long somebody who writes all the time may keep the statuses of a key from being written.
const LONGEST_DEFERRED: Duration = Duration::from_secs(1);

/// A key whose statuses were not written since it was decided.
#[derive(Debug)]
struct Waiting {
    /// At which revision it was decided last.
    decided_at: u64,
    /// Since when no status was written.
    since: Instant,
    what: Deferred,
}

/// The statuses of a key, later.
#[derive(Debug)]
pub enum Deferred {
    /// Of the site: these. It has few, and is decided slowly.
    Site(Vec<StatusDraft>),
    /// Of a namespace: those that follow from the cache at the time for which it was decided.
    Namespace(Timestamp),
}

/// Statuses that are to be written.
#[derive(Debug, Default)]
pub struct StatusQueue {
    /// Users whose status is to be computed.
    pub users: BTreeSet<Name>,
    /// Organizations whose status is to be computed.
    pub organizations: BTreeSet<Name>,
    /// Users who hold more or less than before: written when everything has converged.
    counted: BTreeSet<Name>,
    /// Since when the first of them waits.
    counted_since: Option<Instant>,
    /// Statuses that wait for nothing.
    due: Vec<StatusDraft>,
    /// Keys whose statuses were not written since they were decided.
    deferred: BTreeMap<ReconcileKey, Waiting>,
    /// The same, by the revision at which they were decided last.
    by_revision: BTreeSet<(u64, ReconcileKey)>,
    /// Some of them could be written now, and there is a place.
    pub more: bool,
    /// By target: the digest of what is being written, and the newest draft that waits for that.
    in_flight: HashMap<ApiRef, (u64, Option<StatusDraft>)>,
    /// Objects whose status the API server did not store as it was written: their CRD is of an earlier version, or they are
    /// gone, and the watch is late.
    stored_otherwise: HashSet<ApiRef>,
    /// What waits for a place, in order.
    order: VecDeque<ApiRef>,
    queued: HashMap<ApiRef, StatusDraft>,
}

impl StatusQueue {
    /// Keeps the statuses of a key until what they say is true.
    pub fn defer(&mut self, key: &ReconcileKey, made_at: (u64, Timestamp), drafts: Vec<StatusDraft>, now: Instant) {
        let (decided_at, time) = made_at;
        // A newer decision replaces all of them.
        let since = self.take_waiting(key).map_or(now, |waiting| waiting.since);
        if now.saturating_duration_since(since) > LONGEST_DEFERRED {
            // What they say about the key itself is true. The rest follows as soon as there is a moment of rest.
            self.due.extend(drafts);
            return;
        }
        let what = match key.namespace() {
            None => Deferred::Site(drafts),
            Some(_) => Deferred::Namespace(time),
        };
        self.deferred.insert(key.clone(), Waiting { decided_at, since, what });
        self.by_revision.insert((decided_at, key.clone()));
    }

    fn take_waiting(&mut self, key: &ReconcileKey) -> Option<Waiting> {
        let waiting = self.deferred.remove(key)?;
        self.by_revision.remove(&(waiting.decided_at, key.clone()));
        Some(waiting)
    }

    /// The statuses of a key that were deferred.
    pub fn take_deferred(&mut self, key: &ReconcileKey) -> Option<Deferred> {
        self.take_waiting(key).map(|waiting| waiting.what)
    }

    /// Keys whose statuses are true by now, because all work from before their decision is done. `oldest`: since which
    /// revision a key has work to do that waits for nothing. `site`: the same of the site.
    pub fn true_by_now(&self, oldest: Option<u64>, site: Option<u64>) -> impl Iterator<Item = &ReconcileKey> {
        // What is said of the site is about every namespace.
        let is_true = move |waiting: &&Waiting| oldest.is_none_or(|since| since > waiting.decided_at);
        let of_site = self.deferred.get(&ReconcileKey::Site).filter(is_true).map(|_| &ReconcileKey::Site);
        // What is said of a namespace is about the site's part of it, too.
        let before = (site.unwrap_or(u64::MAX), ReconcileKey::Site);
        let namespaces = self.by_revision.range(..before).map(|(_, key)| key);
        of_site.into_iter().chain(namespaces.filter(|key| **key != ReconcileKey::Site))
    }

    /// Writes these at the end of this turn.
    pub fn write_now(&mut self, drafts: Vec<StatusDraft>) {
        self.due.extend(drafts);
    }

    /// What waits for nothing.
    pub fn take_due(&mut self) -> Vec<StatusDraft> {
        std::mem::take(&mut self.due)
    }

    /// Has a draft wait for a place: before others if decisions wait for what it records.
    pub fn wait_for_place(&mut self, draft: StatusDraft, first: bool) {
        let target = draft.target.clone();
        if first {
            self.order.push_front(target.clone());
        } else {
            self.order.push_back(target.clone());
        }
        self.queued.insert(target, draft);
    }

    /// The next draft that has waited for a place.
    pub fn next_queued(&mut self) -> Option<StatusDraft> {
        while let Some(target) = self.order.pop_front() {
            if let Some(draft) = self.queued.remove(&target) {
                return Some(draft);
            }
        }
        None
    }

    /// Replaces the draft that waits for the write in flight, or for a place. `at_once`: it waits for no place. Returns the
    /// draft if none was replaced.
    pub fn replace(&mut self, draft: StatusDraft, at_once: bool) -> Option<StatusDraft> {
        if let Some((_, next)) = self.in_flight.get_mut(&draft.target) {
            *next = Some(draft);
            return None;
        }
        if at_once {
            self.queued.remove(&draft.target);
        } else if let Some(queued) = self.queued.get_mut(&draft.target) {
            *queued = draft;
            return None;
        }
        Some(draft)
    }

    /// A status with this digest is being written.
    pub fn begin(&mut self, target: ApiRef, digest: u64) {
        self.in_flight.insert(target, (digest, None));
    }

    /// A status was written. `stored`: the digest of what is there now. Returns the draft that has waited for that.
    pub fn end(&mut self, target: &ApiRef, stored: Option<u64>) -> Option<StatusDraft> {
        let (written, next) = self.in_flight.remove(target)?;
        if stored.is_some_and(|stored| stored != written) {
            self.stored_otherwise.insert(target.clone());
        } else {
            self.stored_otherwise.remove(target);
        }
        next
    }

    /// The object is gone.
    pub fn was_not_stored(&mut self, target: &ApiRef) {
        self.stored_otherwise.insert(target.clone());
    }

    /// Whether the API server did not store a status as it was written.
    pub fn is_stored_otherwise(&self, target: &ApiRef) -> bool {
        self.stored_otherwise.contains(target)
    }

    /// An object is gone.
    pub fn forget(&mut self, target: &ApiRef) {
        self.stored_otherwise.remove(target);
    }

    /// Whether this object's status is being written.
    pub fn is_writing(&self, target: &ApiRef) -> bool {
        self.in_flight.contains_key(target)
    }

    /// How many are being written.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// These users hold more or less than before.
    pub fn count_again(&mut self, handles: impl IntoIterator<Item = Name>, now: Instant) {
        self.counted.extend(handles);
        if !self.counted.is_empty() {
            self.counted_since.get_or_insert(now);
        }
    }

    /// Whether the counts of this user are not written yet.
    pub fn is_counted_later(&self, handle: &Name) -> bool {
        self.counted.contains(handle)
    }

    /// Has the counts of users written, once for all that changes while anything is written: a status for each grant would be as
    /// many writes again. Somebody who changes something all the time does not delay them for long.
    pub fn write_counts(&mut self, now: Instant, all_converged: bool) {
        let is_late = |since| now.saturating_duration_since(since) > LONGEST_UNCOUNTED;
        if self.counted_since.is_some_and(|since| all_converged || is_late(since)) {
            self.counted_since = None;
            self.users.append(&mut self.counted);
        }
    }

    /// Whether no status is to be written.
    pub fn is_idle(&self) -> bool {
        let is_empty = self.users.is_empty() && self.organizations.is_empty() && self.counted.is_empty();
        is_empty
            && self.due.is_empty()
            && self.deferred.is_empty()
            && self.in_flight.is_empty()
            && self.queued.is_empty()
    }

    /// A replica that does not lead writes nothing.
    pub fn forget_pending(&mut self) {
        let in_flight = std::mem::take(&mut self.in_flight);
        *self = Self { in_flight, ..Self::default() };
    }
}
