//! The work queue: which key is reconciled next. Keys that may have access to take away go first.
//!
//! As in client-go, a key waits once however often it is added, may be added after a pause, and the engine takes no key whose
//! writes are in flight but to take access away meanwhile (see [`super::key::Work`]). Beyond that it has lanes, and keeps a
//! namespace that is slow to decide from delaying the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::key::ReconcileKey;
use super::write_budget::Room;

/// A decision that takes longer than this is slow.
const FREE: Duration = Duration::from_millis(20);
/// How many times as long a namespace rests as its decision took.
pub(super) const REST: u32 = 9;
/// The same for the default organization: what others do may concern it, so it takes half of the time, and no more.
pub(super) const REST_OF_DEFAULT: u32 = 1;
/// How long it rests at most.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// How many keys make a round. In each round every lane goes first once, so that none waits forever.
const ROUND: usize = 8;

/// How urgent a key is: less goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    /// It may have access to take away.
    Urgent,
    /// The same, and it is slow to decide: quick ones go first, so that one large organization delays no other.
    UrgentAndSlow,
    /// It only has access to give.
    Ordinary,
    /// Nobody waits for it.
    Last,
}

/// Keys that are as urgent as each other, in order.
#[derive(Debug, Default)]
struct Lane {
    keys: BTreeMap<i64, ReconcileKey>,
    first: i64,
    last: i64,
}

impl Lane {
    /// Before all others, or behind them; returns its number.
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
    /// Others go first until then.
    rests_until: Option<Instant>,
    /// Its turn came while it rested, and whether it was urgent.
    missed_turn: Option<bool>,
}

/// The keys that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct WorkQueue {
    lanes: [Lane; 4],
    /// Where each key waits: in which lane, and under which number.
    places: HashMap<ReconcileKey, (Priority, i64)>,
    /// How many were taken out so far.
    taken: usize,
    /// Keys that are to be looked at later.
    delayed: BTreeSet<(Instant, ReconcileKey)>,
    slow: HashMap<ReconcileKey, Slow>,
    resting: BTreeSet<(Instant, ReconcileKey)>,
}

impl WorkQueue {
    /// Adds a key behind everything that is as urgent. One that waits already stays where it is, unless it is more urgent now.
    pub fn add(&mut self, key: ReconcileKey, urgent: bool) {
        self.put(key, urgent, false);
    }

    /// Adds a key before everything that is as urgent.
    pub fn add_first(&mut self, key: ReconcileKey, urgent: bool) {
        self.put(key, urgent, true);
    }

    /// Adds a key with the priority of what is nobody's in particular.
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

    /// Has a key looked at again at this time: see [`Self::due`].
    pub fn add_after(&mut self, key: ReconcileKey, at: Instant) {
        self.delayed.insert((at, key));
    }

    /// A key that was to be looked at by now.
    pub fn due(&mut self, now: Instant) -> Option<ReconcileKey> {
        self.delayed.first().filter(|(at, _)| *at <= now)?;
        self.delayed.pop_first().map(|(_, key)| key)
    }

    /// The next key, of those for which there is room.
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

    /// Whether a key waits for which there is room.
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

    /// Whether no key waits that somebody waits for.
    pub fn is_empty(&self) -> bool {
        self.lanes[..Priority::Last as usize].iter().all(|lane| lane.keys.is_empty())
    }

    /// A key was decided in this time. If that is slow, time after time, it rests (so many times as long), so that it leaves time
    /// to the others.
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

    /// Ends the rest of keys whose time has come.
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

    /// A key is gone.
    pub fn forget(&mut self, key: &ReconcileKey) {
        self.slow.remove(key);
    }

    /// When a pause or a rest ends next.
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
