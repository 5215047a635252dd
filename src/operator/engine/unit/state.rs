//! What the engine knows of a unit: what is there, what was decided, what is under way and what goes wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::core::cache::Contribution;
use crate::core::claims::Claim;
use crate::core::desired::{Counts, DesiredState};
use crate::core::plan::{GivenUp, InFlight, Present};
use crate::core::rbac::{DesiredSet, Key, NativeKind, Observed};
use crate::core::uid::Uid;
use crate::operator::engine::log::Changes;

/// For how long an API server may still authorize requests by an object that was deleted: it learns of that by watching.
const AUTHORIZER_LAG: Duration = Duration::from_millis(100);

/// The state of a unit.
#[derive(Debug, Default)]
pub(in crate::operator::engine) struct UnitState {
    /// Our native objects that are there: as the watch shows them, and newer: as our own writes left them.
    pub(super) present: Present,
    /// Objects that we deleted and the watch still shows, by UID.
    pub(super) deleted: BTreeMap<Uid, NativeKind>,
    /// Objects that the watch showed to be gone while writes were under way, by UID: an answer brings nothing back.
    pub(super) gone: BTreeSet<Uid>,
    /// Objects that our own writes left as they are and that the watch has not shown yet.
    unconfirmed: BTreeSet<Key>,
    /// What should be there; `None` when nothing is to be done.
    pub(super) decision: Option<DesiredState>,
    /// The decision does not know the newest of the world. It is kept until writes are done, or something is urgent.
    pub stale: bool,
    /// What the last decision means for the rest of the site.
    pub(super) contribution: Contribution,
    /// The last decision took long.
    pub(super) was_slow: bool,
    /// So did the one before.
    pub is_slow: bool,
    /// Until when others go first for that.
    pub(super) rest_until: Option<Instant>,
    /// It was to be worked on while it rested.
    pub(super) held: bool,
    pub(super) counts: Counts,
    /// For the log.
    pub changes: Changes,
    /// When the last decision changes by itself.
    pub next_change: Option<Timestamp>,
    pub(super) in_flight: InFlight,
    /// The claim on the namespace that is being recorded.
    pub(super) claiming: Option<Claim>,
    /// Since when none of our objects is there, as far as that was looked at.
    empty_since: Option<Instant>,
    /// Since when, and how often, the API server has not let that be done.
    pub(super) claim_refused: Option<Streak>,
    /// Objects that could not be written, and when to try again.
    pub(super) failing: HashMap<Key, Failing>,
    /// Objects whose writes end in an error that says nothing about them.
    pub(super) erring: HashMap<Key, Erring>,
    /// The whole unit waits: something failed that may work another time.
    pub wait_until: Option<Instant>,
    pub failures: u32,
    /// Something is new that may take access away.
    pub urgent: bool,
    /// What is under way takes access away, or has to be there before more is: it is looked at again after every answer.
    pub(super) revoking: bool,
    /// The revision since which it has work to do.
    pub busy_since: Option<u64>,
    /// At which revision, and for which time, it was decided.
    pub(super) decided_at: (u64, Timestamp),
}

#[derive(Debug)]
pub(super) struct Failing {
    pub(super) times: u32,
    pub(super) until: Instant,
    /// What was refused was to take access away.
    pub(super) resists: bool,
}

/// Writes of an object that end in errors.
#[derive(Debug)]
pub(super) struct Erring {
    /// What they were to do. That others could not be added says nothing about whether these can be taken out.
    revokes: bool,
    streak: Streak,
}

/// Something that goes wrong again and again.
#[derive(Debug)]
pub(super) struct Streak {
    times: u32,
    since: Instant,
}

impl Streak {
    /// So often, and for so long, before it counts: what is being replaced is over sooner.
    const TIMES: u32 = 3;
    const TIME: Duration = Duration::from_secs(10);

    pub(super) fn new(now: Instant) -> Self {
        Self { times: 0, since: now }
    }

    /// Once more. Says whether it counts by now.
    pub(super) fn goes_on(&mut self, now: Instant) -> bool {
        self.times = self.times.saturating_add(1);
        self.times >= Self::TIMES && now.saturating_duration_since(self.since) >= Self::TIME
    }
}

impl UnitState {
    /// Takes in an observed object; says whether that is news.
    pub fn take_in(&mut self, key: Key, observed: Observed) -> bool {
        if self.deleted.contains_key(&observed.uid) {
            return false;
        }
        self.unconfirmed.remove(&key);
        match self.present.get(&key) {
            Some(known) if known.uid == observed.uid && known.version >= observed.version => false,
            // Another object of this name that is older than the one we know.
            Some(known) if known.uid != observed.uid && known.version > observed.version => false,
            known => {
                let changed = known.is_none_or(|k| Observed { version: observed.version, ..(**k).clone() } != observed);
                let before = known.and_then(|known| known.content.as_ref());
                self.changes.note(before, observed.content.as_ref());
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
    pub(super) fn left(&mut self, key: Key, mut observed: Observed) -> bool {
        if self.gone.contains(&observed.uid) {
            return false;
        }
        match self.present.get(&key).filter(|known| known.uid == observed.uid) {
            Some(known) if known.version > observed.version => return false,
            Some(known) => {
                observed.must_recreate = known.must_recreate;
                // The watch was faster than the answer: no more will come from it, so this would stay unconfirmed.
                if known.version < observed.version {
                    self.unconfirmed.insert(key.clone());
                }
            }
            None => drop(self.unconfirmed.insert(key.clone())),
        }
        let content = observed.content.clone();
        let known = self.present.insert(key, Box::new(observed));
        self.changes.note(known.and_then(|known| known.content).as_ref(), content.as_ref());
        true
    }

    pub(super) fn forget(&mut self, key: &Key) {
        if let Some(known) = self.present.remove(key) {
            self.changes.note(known.content.as_ref(), None);
        }
        self.unconfirmed.remove(key);
    }

    /// A list of all objects of this kind follows: what our writes have left so far, it has to show, and nothing else. An
    /// answer that came in before this news of the list, but after the list itself, is forgotten wrongly; the watch shows it soon after.
    pub fn list_begins(&mut self, kind: NativeKind) {
        self.unconfirmed.retain(|key| key.kind != kind);
        self.deleted.retain(|_, of| *of != kind);
    }

    /// What the watch must have shown by now.
    pub fn settled(&self) -> impl Iterator<Item = (&Key, &Observed)> {
        let settled = self.present.iter().filter(|(key, _)| !self.unconfirmed.contains(*key));
        settled.map(|(key, observed)| (key, &**observed))
    }

    /// Which version of the object of this name is known.
    pub fn version(&self, key: &Key) -> Option<u64> {
        self.present.get(key).map(|known| known.version)
    }

    /// Whether writes to it are under way.
    pub fn is_writing(&self) -> bool {
        self.claiming.is_some() || !self.in_flight.is_empty()
    }

    /// Whether what it does, or has to do, may take access away.
    pub(super) fn may_revoke(&self) -> bool {
        self.urgent || self.revoking
    }

    /// Whether it goes before those that only give: after a pause too, but not for each piece of news while it is writing.
    pub fn is_urgent(&self) -> bool {
        self.urgent || (self.revoking && !self.is_writing())
    }

    /// Whether this object is being written.
    pub fn writes(&self, key: &Key) -> bool {
        self.in_flight.contains(key)
    }

    /// Counts of the last decision.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether others go first.
    pub fn rests(&self) -> bool {
        self.rest_until.is_some()
    }

    /// Whether the whole of it waits.
    pub(super) fn waits(&self, now: Instant) -> bool {
        self.wait_until.is_some_and(|until| until > now)
    }

    /// When nobody has access here by one of our objects any more, if that is so.
    pub(super) fn vacated(&mut self, now: Instant) -> Option<Instant> {
        self.empty_since = self.present.is_empty().then(|| self.empty_since.unwrap_or(now));
        self.empty_since.map(|since| since + AUTHORIZER_LAG)
    }

    /// Whether nobody has access here by one of our objects any more.
    pub(super) fn is_vacated(&self, now: Instant) -> bool {
        self.present.is_empty() && self.empty_since.is_some_and(|since| since + AUTHORIZER_LAG <= now)
    }

    /// Tries at once what was refused. If that was too early, the next try comes soon.
    pub fn try_at_once(&mut self, now: Instant) {
        for failing in self.failing.values_mut() {
            (failing.times, failing.until) = (0, now);
            self.revoking |= failing.resists;
        }
        self.wait_until = None;
        self.failures = 0;
    }

    /// Forgets what went wrong again and again: another replica may have led since.
    pub fn start_over(&mut self) {
        self.claim_refused = None;
        self.erring.clear();
    }

    /// A write ended in an error. Says whether that counts by now.
    pub(super) fn errs(&mut self, key: &Key, revokes: bool, now: Instant) -> bool {
        let new = || Erring { revokes, streak: Streak::new(now) };
        let erring = self.erring.entry(key.clone()).or_insert_with(new);
        if erring.revokes != revokes {
            *erring = new();
        }
        erring.streak.goes_on(now)
    }

    /// Waits no longer, if the time has come. Says whether it has, for what takes access away.
    pub fn try_again(&mut self, now: Instant) -> bool {
        let over = self.wait_until.is_some_and(|until| until <= now);
        if over {
            self.wait_until = None;
        }
        let revokes = (over && self.revoking) || self.failing.values().any(|f| f.resists && f.until <= now);
        // Also beside what is being written.
        self.revoking |= revokes;
        revokes
    }

    /// Whether the time of something that was decided is over.
    pub fn ends_by(&self, now: Timestamp) -> bool {
        self.next_change.is_some_and(|at| at <= now)
    }

    /// What is there as it should be is said by one copy: what the site gives to everybody is large, the world keeps it too,
    /// and one copy is compared with itself at a glance.
    pub(super) fn share(&mut self, desired: &DesiredSet) {
        for (key, native) in desired {
            if let Some(observed) = self.present.get_mut(key)
                && observed.content.as_ref() == Some(&native.content)
            {
                observed.content = Some(native.content.clone());
            }
        }
    }

    pub(super) fn given_up(&self, now: Instant) -> GivenUp {
        let failing = || self.failing.iter().filter(|(_, f)| f.until > now);
        GivenUp {
            objects: failing().map(|(key, _)| key.clone()).collect(),
            resisting: failing().filter(|(_, f)| f.resists).map(|(key, _)| key.clone()).collect(),
        }
    }
}
