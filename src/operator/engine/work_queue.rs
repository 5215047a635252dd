//! The work queue: decides which key is reconciled next. Keys that may revoke access go first.
//!
//! As in client-go, a key waits only once however often it is added, may be added after a pause, and is not taken while
//! its writes are in flight, except to revoke meanwhile (see [`super::key::Work`]). In addition, the queue has lanes,
//! and keeps a namespace that is slow to decide from delaying the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::key::ReconcileKey;
use super::write_budget::Room;

/// A decision that takes longer than this is slow.
const FREE: Duration = Duration::from_millis(20);
/// How many times the duration of its decision a namespace rests.
pub(super) const REST: u32 = 9;
/// The same for the default organization, which all others may affect: it gets at most half of the time.
pub(super) const REST_OF_DEFAULT: u32 = 1;
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// The number of keys in a round. In each round every lane goes first once, so that none starves.
const ROUND: usize = 8;

/// The urgency of a key: the lowest goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    /// It may revoke access.
    Urgent,
    /// It may revoke access but is slow to decide: quick ones go first, so that a large organization delays no other.
    UrgentAndSlow,
    /// It only grants access.
    Ordinary,
    /// No one waits for it.
    Last,
}

/// Keys of the same priority, in order.
#[derive(Debug, Default)]
struct Lane {
    keys: BTreeMap<i64, ReconcileKey>,
    first: i64,
    last: i64,
}

impl Lane {
    /// Adds a key at the front or the back; returns its number.
    fn put(&mut self, key: ReconcileKey, first: bool) -> i64 {
        let number = if first { &mut self.first } else { &mut self.last };
        *number += if first { -1 } else { 1 };
        self.keys.insert(*number, key);
        *number
    }
}

/// A key that is slow to decide.
#[derive(Debug, Default)]
struct Slow {
    /// Twice in a row: once may be the machine's fault.
    again: bool,
    /// Other keys go first until then.
    rests_until: Option<Instant>,
    /// Its turn came while it rested, and whether it was urgent.
    missed_turn: Option<bool>,
}

/// The keys that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct WorkQueue {
    lanes: [Lane; 4],
    /// Where each key waits: its lane and number.
    places: HashMap<ReconcileKey, (Priority, i64)>,
    /// How many keys have been taken.
    taken: usize,
    /// Keys to look at later.
    delayed: BTreeSet<(Instant, ReconcileKey)>,
    slow: HashMap<ReconcileKey, Slow>,
    resting: BTreeSet<(Instant, ReconcileKey)>,
}

impl WorkQueue {
    /// Adds a key behind all of its priority. A key that already waits stays in place, unless it is more urgent now.
    pub fn add(&mut self, key: ReconcileKey, urgent: bool) {
        self.put(key, urgent, false);
    }

    /// Adds a key before all of its priority.
    pub fn add_first(&mut self, key: ReconcileKey, urgent: bool) {
        self.put(key, urgent, true);
    }

    /// Adds a key with this priority.
    pub fn add_with(&mut self, key: ReconcileKey, priority: Priority) {
        self.put_in(key, priority, false);
    }

    fn put(&mut self, key: ReconcileKey, urgent: bool, first: bool) {
        let is_slow = self.slow.get(&key).is_some_and(|slow| slow.again);
        let priority = match (urgent, is_slow) {
            (true, false) => Priority::Urgent,
            (true, true) => Priority::UrgentAndSlow,
            (false, _) => Priority::Ordinary,
        };
        self.put_in(key, priority, first);
    }

    fn put_in(&mut self, key: ReconcileKey, priority: Priority, first: bool) {
        match self.places.get(&key) {
            Some((before, _)) if *before <= priority => return,
            Some((before, number)) => drop(self.lanes[*before as usize].keys.remove(number)),
            None => {}
        }
        let number = self.lanes[priority as usize].put(key.clone(), first);
        self.places.insert(key, (priority, number));
    }

    /// Schedules a key for this time: see [`Self::due`].
    pub fn add_after(&mut self, key: ReconcileKey, at: Instant) {
        self.delayed.insert((at, key));
    }

    /// A key that is scheduled for this time or earlier.
    pub fn due(&mut self, now: Instant) -> Option<ReconcileKey> {
        self.delayed.first().filter(|(at, _)| *at <= now)?;
        self.delayed.pop_first().map(|(_, key)| key)
    }

    /// The next key that there is room for.
    pub fn take(&mut self, room: Room) -> Option<ReconcileKey> {
        loop {
            self.taken += 1;
            let lane = self.order(room).find(|lane| !self.lanes[*lane as usize].keys.is_empty())?;
            let (_, key) = self.lanes[lane as usize].keys.pop_first()?;
            self.places.remove(&key);
            match self.slow.get_mut(&key).filter(|slow| slow.rests_until.is_some()) {
                Some(slow) => slow.missed_turn = Some(slow.missed_turn == Some(true) || lane < Priority::Ordinary),
                None => return Some(key),
            }
        }
    }

    /// Whether a key waits that there is room for.
    pub fn has_next(&self, room: Room) -> bool {
        self.order(room).any(|lane| !self.lanes[lane as usize].keys.is_empty())
    }

    fn order(&self, room: Room) -> impl Iterator<Item = Priority> + use<> {
        use Priority::{Last, Ordinary, Urgent, UrgentAndSlow};
        let order = match self.taken % ROUND {
            4 => [Ordinary, UrgentAndSlow, Urgent, Last],
            0 => [UrgentAndSlow, Ordinary, Urgent, Last],
            _ => [Urgent, UrgentAndSlow, Ordinary, Last],
        };
        order.into_iter().filter(move |lane| match lane {
            Urgent | UrgentAndSlow => room.urgent,
            Ordinary | Last => room.ordinary,
        })
    }

    /// Whether this key waits.
    pub fn contains(&self, key: &ReconcileKey) -> bool {
        self.places.contains_key(key)
    }

    /// Whether no key waits, except with the lowest priority.
    pub fn is_empty(&self) -> bool {
        self.lanes[..Priority::Last as usize].iter().all(|lane| lane.keys.is_empty())
    }

    /// Charges a key for the time of its decision. A key that is slow repeatedly rests for `rest` times that, so that it leaves
    /// time to the others.
    pub fn charge(&mut self, key: &ReconcileKey, spent: Duration, rest: u32, now: Instant) {
        if spent <= FREE {
            match self.slow.get_mut(key) {
                Some(slow) if slow.rests_until.is_some() => slow.again = false,
                Some(_) => drop(self.slow.remove(key)),
                None => {}
            }
        } else if let Some(slow) = self.slow.get_mut(key) {
            let until = now + spent + (spent * rest).min(LONGEST_REST);
            (slow.again, slow.rests_until) = (true, Some(until));
            self.resting.insert((until, key.clone()));
        } else {
            self.slow.insert(key.clone(), Slow::default());
        }
    }

    /// Whether others go first for now.
    pub fn rests(&self, key: &ReconcileKey) -> bool {
        self.slow.get(key).is_some_and(|slow| slow.rests_until.is_some())
    }

    /// Ends the rests that are over.
    pub fn end_rests(&mut self, now: Instant) {
        while self.resting.first().is_some_and(|(at, _)| *at <= now)
            && let Some((at, key)) = self.resting.pop_first()
        {
            let Some(slow) = self.slow.get_mut(&key).filter(|slow| slow.rests_until == Some(at)) else { continue };
            slow.rests_until = None;
            if let Some(urgent) = slow.missed_turn.take() {
                self.add(key, urgent);
            }
        }
    }

    /// Forgets a deleted key.
    pub fn forget(&mut self, key: &ReconcileKey) {
        self.slow.remove(key);
    }

    /// When the next pause or rest ends.
    pub fn next_at(&self) -> Option<Instant> {
        let first = |set: &BTreeSet<(Instant, ReconcileKey)>| set.first().map(|(at, _)| *at);
        [first(&self.delayed), first(&self.resting)].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { urgent: true, ordinary: true };

    fn key(name: &str) -> ReconcileKey {
        ReconcileKey::Namespace(name.into())
    }

    fn slow(name: &str) -> WorkQueue {
        let mut queue = WorkQueue::default();
        queue.slow.insert(key(name), Slow { again: true, ..Slow::default() });
        queue
    }

    #[test]
    fn a_key_waits_once_and_goes_ahead_when_it_becomes_urgent() {
        let mut queue = slow("slow");
        for name in ["a", "b", "c", "a"] {
            queue.add(key(name), false);
        }
        queue.add_first(key("d"), false);
        queue.add(key("c"), true);
        queue.add_first(key("b"), true);
        queue.add(key("b"), false);
        queue.add(key("slow"), true);
        queue.add_with(ReconcileKey::DecisionRecord, Priority::Last);
        assert!(queue.contains(&key("b")) && !queue.contains(&ReconcileKey::Site));
        assert_eq!(queue.take(Room { urgent: false, ordinary: false }), None);
        let mut order = Vec::new();
        while let Some(key) = queue.take(Room { urgent: true, ordinary: order.len() >= 2 }) {
            order.push(key);
        }
        // The fourth that is taken comes from the lane of those that only give.
        let expected = [key("b"), key("c"), key("d"), key("slow"), key("a"), ReconcileKey::DecisionRecord];
        assert_eq!(order, expected);
        assert!(queue.is_empty() && !queue.has_next(ROOM));
    }

    #[test]
    fn no_lane_waits_forever_while_urgent_keys_keep_coming() {
        for others in [vec!["ordinary"], vec!["slow"], vec!["ordinary", "slow"]] {
            let mut queue = WorkQueue::default();
            let mut taken = Vec::new();
            for n in 0..10 * ROUND {
                queue.add(key(&format!("urgent{n}")), true);
                for name in &others {
                    let priority = if *name == "slow" { Priority::UrgentAndSlow } else { Priority::Ordinary };
                    queue.add_with(key(&format!("{name}{n}")), priority);
                }
                taken.push(queue.take(ROOM).unwrap());
            }
            let count = |name: &str| taken.iter().filter(|key| key.namespace().unwrap().starts_with(name)).count();
            for name in &others {
                assert!(count(name) >= 10, "{name}, of {others:?}: {taken:?}");
            }
            assert!(count("urgent") >= 60, "{others:?}: {taken:?}");
        }
    }

    #[test]
    fn a_key_that_is_slow_time_after_time_rests_and_misses_no_turn() {
        let (mut queue, now, long) = (WorkQueue::default(), Instant::now(), 2 * FREE);
        queue.charge(&key("a"), long, REST, now);
        assert!(!queue.rests(&key("a")), "once may be the machine's fault");
        queue.charge(&key("a"), long, REST, now);
        assert!(queue.rests(&key("a")));
        queue.add(key("a"), true);
        assert_eq!(queue.take(ROOM), None);
        let until = queue.next_at().unwrap();
        queue.end_rests(until);
        assert_eq!((queue.take(ROOM), queue.next_at()), (Some(key("a")), None));
        queue.charge(&key("a"), FREE, REST, now);
        queue.charge(&key("a"), long, REST, now);
        assert!(!queue.rests(&key("a")), "it was quick in between");
    }

    #[test]
    fn a_pause_ends_once() {
        let (mut queue, now) = (WorkQueue::default(), Instant::now());
        queue.add_after(key("a"), now + FREE);
        assert_eq!((queue.due(now), queue.next_at()), (None, Some(now + FREE)));
        assert_eq!([queue.due(now + FREE), queue.due(now + FREE)], [Some(key("a")), None]);
    }
}
