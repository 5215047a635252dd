//! The status queue: statuses that wait until they are true, for a place, or for an earlier write.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::core::Name;
use crate::core::conditions::StatusDraft;
use crate::core::object_ref::ApiRef;
use crate::operator::engine::key::ReconcileKey;

/// The longest time that the counts of users wait for everything to converge.
const LONGEST_UNCOUNTED: Duration = Duration::from_secs(10);

/// The longest time that continuous writes can delay the statuses of a key.
const LONGEST_DEFERRED: Duration = Duration::from_secs(1);

/// A key whose statuses have not been written since its decision.
#[derive(Debug)]
struct Waiting {
    /// The revision of its last decision.
    decided_at: u64,
    /// When it last had a status written.
    since: Instant,
    what: Deferred,
}

/// The deferred statuses of a key.
#[derive(Debug)]
pub enum Deferred {
    /// The site's drafts. It has few, and is slow to decide.
    Site(Vec<StatusDraft>),
    /// A namespace's statuses are decided again, for this time.
    Namespace(Timestamp),
}

/// Statuses to write.
#[derive(Debug, Default)]
pub struct StatusQueue {
    /// Users whose status has to be computed.
    pub users: BTreeSet<Name>,
    /// Organizations whose status has to be computed.
    pub organizations: BTreeSet<Name>,
    /// Users whose counts changed: written once everything has converged.
    counted: BTreeSet<Name>,
    /// When the first of them began to wait.
    counted_since: Option<Instant>,
    /// Statuses that wait for nothing.
    due: Vec<StatusDraft>,
    /// Keys whose statuses have not been written since their decision.
    deferred: BTreeMap<ReconcileKey, Waiting>,
    /// The same keys, by the revision of their last decision.
    by_revision: BTreeSet<(u64, ReconcileKey)>,
    /// Some could be written now, and there is a place.
    pub more: bool,
    /// By target: the digest of the write in flight, and the newest draft that waits for it.
    in_flight: HashMap<ApiRef, (u64, Option<StatusDraft>)>,
    /// Objects whose status the API server stored differently: their CRD is of an earlier version, or they are deleted
    /// and the watch is late.
    stored_otherwise: HashSet<ApiRef>,
    /// Drafts that wait for a place, in order.
    order: VecDeque<ApiRef>,
    queued: HashMap<ApiRef, StatusDraft>,
}

impl StatusQueue {
    /// Defers the statuses of a key until they are true.
    pub fn defer(&mut self, key: &ReconcileKey, made_at: (u64, Timestamp), drafts: Vec<StatusDraft>, now: Instant) {
        let (decided_at, time) = made_at;
        // A newer decision replaces all of them.
        let since = self.take_waiting(key).map_or(now, |waiting| waiting.since);
        if now.saturating_duration_since(since) > LONGEST_DEFERRED {
            // They are true about the key itself. The rest follows in a quiet moment.
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

    /// Takes the deferred statuses of a key.
    pub fn take_deferred(&mut self, key: &ReconcileKey) -> Option<Deferred> {
        self.take_waiting(key).map(|waiting| waiting.what)
    }

    /// Keys whose statuses are true now, because all work from before their decision is done. `oldest`: the revision
    /// since which any key has had work that waits for nothing. `site`: the same for the site.
    pub fn true_by_now(&self, oldest: Option<u64>, site: Option<u64>) -> impl Iterator<Item = &ReconcileKey> {
        // Statuses of the site describe every namespace.
        let is_true = move |waiting: &&Waiting| oldest.is_none_or(|since| since > waiting.decided_at);
        let of_site = self.deferred.get(&ReconcileKey::Site).filter(is_true).map(|_| &ReconcileKey::Site);
        // Statuses of a namespace describe the site's part of it too.
        let before = (site.unwrap_or(u64::MAX), ReconcileKey::Site);
        let namespaces = self.by_revision.range(..before).map(|(_, key)| key);
        of_site.into_iter().chain(namespaces.filter(|key| **key != ReconcileKey::Site))
    }

    /// Writes these drafts at the end of this turn.
    pub fn write_now(&mut self, drafts: Vec<StatusDraft>) {
        self.due.extend(drafts);
    }

    /// Takes the drafts that wait for nothing.
    pub fn take_due(&mut self) -> Vec<StatusDraft> {
        std::mem::take(&mut self.due)
    }

    /// Lets a draft wait for a place: before others if decisions wait for its record.
    pub fn wait_for_place(&mut self, draft: StatusDraft, first: bool) {
        let target = draft.target.clone();
        if first {
            self.order.push_front(target.clone());
        } else {
            self.order.push_back(target.clone());
        }
        self.queued.insert(target, draft);
    }

    /// The next draft that waits for a place.
    pub fn next_queued(&mut self) -> Option<StatusDraft> {
        while let Some(target) = self.order.pop_front() {
            if let Some(draft) = self.queued.remove(&target) {
                return Some(draft);
            }
        }
        None
    }

    /// Replaces the draft that waits for the write in flight, or for a place. `at_once`: it waits for no place. Returns
    /// the draft if there was none to replace.
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

    /// A write of a status with this digest begins.
    pub fn begin(&mut self, target: ApiRef, digest: u64) {
        self.in_flight.insert(target, (digest, None));
    }

    /// A status was written. `stored`: the digest of the stored status. Returns the draft that waited for the write.
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

    /// Whether the API server stored a status differently.
    pub fn is_stored_otherwise(&self, target: &ApiRef) -> bool {
        self.stored_otherwise.contains(target)
    }

    /// Forgets a deleted object.
    pub fn forget(&mut self, target: &ApiRef) {
        self.stored_otherwise.remove(target);
    }

    /// Whether a write of this object's status is in flight.
    pub fn is_writing(&self, target: &ApiRef) -> bool {
        self.in_flight.contains_key(target)
    }

    /// The number of writes in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The counts of these users changed.
    pub fn count_again(&mut self, handles: impl IntoIterator<Item = Name>, now: Instant) {
        self.counted.extend(handles);
        if !self.counted.is_empty() {
            self.counted_since.get_or_insert(now);
        }
    }

    /// Whether the counts of this user have not been written yet.
    pub fn is_counted_later(&self, handle: &Name) -> bool {
        self.counted.contains(handle)
    }

    /// Writes the counts of users, once for all changes until everything has converged: a status for each grant would
    /// double the writes. Continuous changes do not delay them for long.
    pub fn write_counts(&mut self, now: Instant, all_converged: bool) {
        let is_late = |since| now.saturating_duration_since(since) > LONGEST_UNCOUNTED;
        if self.counted_since.is_some_and(|since| all_converged || is_late(since)) {
            self.counted_since = None;
            self.users.append(&mut self.counted);
        }
    }

    /// Whether there is no status to write.
    pub fn is_idle(&self) -> bool {
        let is_empty = self.users.is_empty() && self.organizations.is_empty() && self.counted.is_empty();
        is_empty
            && self.due.is_empty()
            && self.deferred.is_empty()
            && self.in_flight.is_empty()
            && self.queued.is_empty()
    }

    /// Forgets all drafts: a replica that does not lead writes nothing.
    pub fn forget_pending(&mut self) {
        let in_flight = std::mem::take(&mut self.in_flight);
        *self = Self { in_flight, ..Self::default() };
    }
}
