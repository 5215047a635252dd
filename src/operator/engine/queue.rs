//! Which unit is worked on next, and how much at once: first those that may have access to take away.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::{Duration, Instant};

use super::Unit;
use crate::core::rbac::Key;

/// So many times as many writes may be under way when they take access away. The API server lets each wait for a tenth of a
/// second while it finds out what the operator may do, so the number at once is what makes a revocation everywhere fast.
const WHEN_REVOKING: usize = 4;

/// Statuses have this share of the places beside other writes, so that they hold up no grant for long, and some of them
/// are told all the same: decisions wait for what a few statuses record.
const STATUSES_BESIDE: usize = 16;

/// This share of the places has to be free before the next unit is let in.
const WORTH_DECIDING: usize = 4;

/// So long what gives access waits for the answer to a write that takes it away. A webhook that does not answer, in one
/// namespace, must not stop the operator everywhere.
const UNANSWERED: Duration = Duration::from_secs(2);

/// So long, at most, nothing is given because access is taken away all the time. What is left of it grows again while none is:
/// whoever takes away without pause in one organization halves what is given in the others, and does not end it.
const LONGEST_HOLD: Duration = Duration::from_secs(10);

/// How urgent a unit is: less goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// It may have access to take away.
    Urgent,
    /// It may have access to take away, and takes long to decide: quick ones go first, so that one large organization delays no
    /// other.
    UrgentAndSlow,
    /// It only has access to give.
    Ordinary,
}

/// The lane of a unit.
pub(super) fn lane(urgent: bool, is_slow: bool) -> Urgency {
    match (urgent, is_slow) {
        (true, false) => Urgency::Urgent,
        (true, true) => Urgency::UrgentAndSlow,
        (false, _) => Urgency::Ordinary,
    }
}

/// The units that wait for their turn, each once.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: [Lane; 3],
    /// Where each of them waits: in which lane, and under which number.
    places: HashMap<Unit, (Urgency, i64)>,
    /// How many were taken out so far.
    taken: usize,
}

/// How many units make a round. In each round every lane goes first once, so that none waits for ever.
const ROUND: usize = 8;

/// Units that are as urgent as each other, in order.
#[derive(Debug, Default)]
struct Lane {
    units: BTreeMap<i64, Unit>,
    first: i64,
    last: i64,
}

impl Lane {
    /// Before all others, or behind them; returns its number.
    fn put(&mut self, unit: Unit, first: bool) -> i64 {
        let number = if first { &mut self.first } else { &mut self.last };
        *number += if first { -1 } else { 1 };
        self.units.insert(*number, unit);
        *number
    }
}

impl Queue {
    /// To be worked on after everything that is as urgent. One that waits already stays where it is, unless it has become
    /// urgent.
    pub fn push(&mut self, unit: Unit, urgency: Urgency) {
        self.put(unit, urgency, false);
    }

    /// The same, before everything that is as urgent.
    pub fn push_first(&mut self, unit: Unit, urgency: Urgency) {
        self.put(unit, urgency, true);
    }

    fn put(&mut self, unit: Unit, urgency: Urgency, first: bool) {
        match self.places.get(&unit) {
            Some((before, _)) if *before <= urgency => return,
            Some((before, number)) => drop(self.lanes[*before as usize].units.remove(number)),
            None => {}
        }
        let number = self.lanes[urgency as usize].put(unit.clone(), first);
        self.places.insert(unit, (urgency, number));
    }

    /// The next, of those for which there is room.
    pub fn pop(&mut self, room: Room) -> Option<Unit> {
        self.taken += 1;
        let order = match self.taken % ROUND {
            4 => [2, 1, 0],
            0 => [1, 2, 0],
            _ => [0, 1, 2],
        };
        let mut order = order.into_iter().filter(|lane| room.lanes().contains(lane));
        let (_, unit) = order.find_map(|lane| self.lanes[lane].units.pop_first())?;
        self.places.remove(&unit);
        Some(unit)
    }

    /// Whether `pop` would give one.
    pub fn has_next(&self, room: Room) -> bool {
        self.lanes[room.lanes()].iter().any(|lane| !lane.units.is_empty())
    }

    /// Whether this unit waits.
    pub fn contains(&self, unit: &Unit) -> bool {
        self.places.contains_key(unit)
    }

    /// Whether no unit waits.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// What there is room for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub urgent: bool,
    pub ordinary: bool,
}

impl Room {
    /// The lanes for which there is room.
    fn lanes(self) -> Range<usize> {
        let ordinary = Urgency::Ordinary as usize;
        (if self.urgent { 0 } else { ordinary })..(if self.ordinary { ordinary + 1 } else { ordinary })
    }
}

/// Writes of native objects and of claims that are with the writer, which begins whatever it is given: this is the end to
/// their number. What waits here instead can still be decided anew, and a revocation goes before it.
#[derive(Debug)]
pub(super) struct Writing {
    giving: usize,
    /// What takes access away, and when that began.
    revoking: HashMap<Key, Instant>,
    /// Since when some are, or none is, and how much of [`LONGEST_HOLD`] was left then.
    since: Option<Instant>,
    left: Duration,
    most: usize,
}

impl Writing {
    /// `most`: how many writes are carried out at once, unless they take access away.
    pub fn new(most: usize) -> Self {
        Self { giving: 0, revoking: HashMap::new(), since: None, left: LONGEST_HOLD, most }
    }

    /// How many more there may be. While access is taken away none is given: the API server would share its time. What is
    /// not answered takes no other's place, but for an end to their number.
    pub fn places(&self, revoking: bool, now: Instant) -> usize {
        if revoking {
            let places = self.most * WHEN_REVOKING;
            let free = places.saturating_sub(self.giving + self.recent(now).count());
            free.min((2 * places).saturating_sub(self.giving + self.revoking.len()))
        } else if self.is_revoking(now) {
            0
        } else {
            self.most.saturating_sub(self.giving)
        }
    }

    /// A unit that only has to give is not let in for each place that becomes free: it would be decided for each of its
    /// writes, and as many would be at work as there are places.
    pub fn room(&self, now: Instant) -> Room {
        Room {
            urgent: self.places(true, now) > 0,
            ordinary: self.places(false, now) >= self.most.div_ceil(WORTH_DECIDING),
        }
    }

    /// How many statuses there may be beside. None while access is taken away: the API server checks what is left of a binding
    /// against role bindings as new as the newest write of anything, and waits up to 100 ms for them.
    pub fn places_for_statuses(&self, units_wait: bool, now: Instant) -> usize {
        if self.is_revoking(now) {
            0
        } else if units_wait || self.giving > 0 {
            self.most.div_ceil(STATUSES_BESIDE)
        } else {
            self.most
        }
    }

    /// Whether access is being taken away, and what gives it waits for that.
    fn is_revoking(&self, now: Instant) -> bool {
        self.recent(now).next().is_some() && self.since.is_none_or(|since| now < since + self.left)
    }

    /// When next something that takes access away has not been answered for so long that nothing waits for it.
    pub fn stalls_at(&self, now: Instant) -> Option<Instant> {
        let stalls = self.recent(now).min().map(|began| began + UNANSWERED)?;
        let over = self.since.map(|since| since + self.left).filter(|over| *over > now);
        Some(over.map_or(stalls, |over| over.min(stalls)))
    }

    /// A write begins: of this object, if it takes access away.
    pub fn begin(&mut self, revoking: Option<&Key>, now: Instant) {
        let Some(key) = revoking else {
            self.giving += 1;
            return;
        };
        if self.revoking.is_empty() {
            let rested = self.since.map_or(LONGEST_HOLD, |since| now.saturating_duration_since(since));
            self.left = (self.left + rested).min(LONGEST_HOLD);
            self.since = Some(now);
        }
        self.revoking.insert(key.clone(), now);
    }

    /// A write is done.
    pub fn end(&mut self, revoking: Option<&Key>, now: Instant) {
        let Some(key) = revoking else {
            self.giving = self.giving.saturating_sub(1);
            return;
        };
        if self.revoking.remove(key).is_some() && self.revoking.is_empty() {
            let held = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            self.left = self.left.saturating_sub(held);
            self.since = Some(now);
        }
    }

    fn recent(&self, now: Instant) -> impl Iterator<Item = Instant> {
        self.revoking.values().copied().filter(move |began| now.saturating_duration_since(*began) < UNANSWERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rbac::NativeKind;

    #[test]
    fn a_unit_waits_once_and_goes_ahead_when_it_becomes_urgent() {
        let (mut queue, unit) = (Queue::default(), |name: &str| Unit::Namespace(name.into()));
        for name in ["a", "b", "c", "a"] {
            queue.push(unit(name), Urgency::Ordinary);
        }
        queue.push_first(unit("d"), Urgency::Ordinary);
        queue.push(unit("c"), Urgency::Urgent);
        queue.push_first(unit("b"), Urgency::Urgent);
        queue.push(unit("b"), Urgency::Ordinary);
        queue.push(unit("slow"), Urgency::UrgentAndSlow);
        assert!(queue.contains(&unit("b")) && !queue.contains(&Unit::Site));
        let room = |ordinary| Room { urgent: true, ordinary };
        let mut order = Vec::new();
        while let Some(unit) = queue.pop(room(order.len() >= 2)) {
            order.push(unit);
        }
        // The fourth of them comes from the last lane.
        assert_eq!(order, ["b", "c", "slow", "d", "a"].map(unit));
        assert!(queue.is_empty() && !queue.has_next(room(true)));
    }

    #[test]
    fn no_lane_waits_for_ever_while_urgent_units_keep_coming() {
        let unit = |name: &str, n: usize| Unit::Namespace(format!("{name}{n}").into());
        let room = Room { urgent: true, ordinary: true };
        for others in [vec!["ordinary"], vec!["slow"], vec!["ordinary", "slow"]] {
            let mut queue = Queue::default();
            let mut taken = Vec::new();
            for n in 0..10 * ROUND {
                queue.push(unit("urgent", n), Urgency::Urgent);
                for name in &others {
                    let lane = if *name == "slow" { Urgency::UrgentAndSlow } else { Urgency::Ordinary };
                    queue.push(unit(name, n), lane);
                }
                taken.push(queue.pop(room).unwrap());
            }
            for name in &others {
                let of_lane = |unit: &&Unit| matches!(unit, Unit::Namespace(n) if n.starts_with(name));
                assert!(taken.iter().filter(of_lane).count() >= 10, "{name}, of {others:?}: {taken:?}");
            }
            let urgent = taken.iter().filter(|unit| matches!(unit, Unit::Namespace(n) if n.starts_with("urgent")));
            assert!(urgent.count() >= 60, "{others:?}: {taken:?}");
        }
    }

    fn key(n: usize) -> Key {
        Key { kind: NativeKind::RoleBinding, namespace: "alpha".into(), name: format!("b{n}").into() }
    }

    #[test]
    fn who_only_gives_waits_for_a_quarter_of_the_places_and_who_takes_away_does_not() {
        let now = Instant::now();
        for most in 1..=100 {
            let mut writing = Writing::new(most);
            let quarter = most.div_ceil(4);
            for giving in 0..=most {
                assert_eq!(writing.room(now).ordinary, most - giving >= quarter, "{giving} of {most}");
                assert!(writing.room(now).urgent);
                writing.begin(None, now);
            }
            for _ in 0..=most {
                writing.end(None, now);
            }
            assert!(writing.room(now).ordinary, "nothing is under way, of {most}");
        }
    }

    #[test]
    fn nothing_is_given_or_told_while_access_is_taken_away() {
        let (mut writing, now) = (Writing::new(64), Instant::now());
        writing.begin(Some(&key(0)), now);
        assert!(writing.room(now).urgent && !writing.room(now).ordinary);
        assert_eq!((writing.places(false, now), writing.places_for_statuses(false, now)), (0, 0));
        assert!(writing.stalls_at(now).is_some());
        writing.end(Some(&key(0)), now);
        assert!(writing.room(now).ordinary && writing.stalls_at(now).is_none());
        assert_eq!((writing.places_for_statuses(false, now), writing.places_for_statuses(true, now)), (64, 4));
    }

    #[test]
    fn what_is_not_answered_stops_nothing_else_for_long() {
        let (mut writing, now) = (Writing::new(64), Instant::now());
        (0..256).for_each(|n| writing.begin(Some(&key(n)), now));
        assert!(!writing.room(now).urgent);
        let now = now + UNANSWERED;
        assert!(writing.room(now).ordinary && writing.stalls_at(now).is_none());
        assert_eq!(
            (writing.places(false, now), writing.places(true, now), writing.places_for_statuses(true, now)),
            (64, 256, 4)
        );
        // Another one begins, and ends.
        writing.begin(Some(&key(256)), now);
        assert_eq!(
            (writing.places(false, now), writing.places(true, now), writing.places_for_statuses(true, now)),
            (0, 255, 0)
        );
        writing.end(Some(&key(256)), now);
        assert_eq!(writing.places(false, now), 64);
        // There is an end to it.
        (256..512).for_each(|n| writing.begin(Some(&key(n)), now));
        let now = now + UNANSWERED;
        assert_eq!((writing.places(true, now), writing.room(now).ordinary), (0, true));
    }

    #[test]
    fn who_takes_away_without_pause_does_not_keep_others_from_being_given() {
        let (mut writing, mut now) = (Writing::new(64), Instant::now());
        let step = Duration::from_millis(100);
        let (mut held, mut all) = (Duration::ZERO, Duration::ZERO);
        // Each begins before the last one is done.
        writing.begin(Some(&key(0)), now);
        for n in 1..600 {
            now += step;
            all += step;
            held += if writing.room(now).ordinary { Duration::ZERO } else { step };
            assert!(writing.stalls_at(now).is_none_or(|at| at > now), "it would wake up at once for nothing");
            writing.begin(Some(&key(n)), now);
            writing.end(Some(&key(n - 1)), now);
            assert!(writing.room(now).urgent);
        }
        assert_eq!(held + step, LONGEST_HOLD, "it is the one hold of {all:?}");
        // With pauses in between no more than half of the time is held.
        let (mut held, mut all) = (Duration::ZERO, Duration::ZERO);
        for n in 600..6000 {
            now += step / 2;
            held += if writing.room(now).ordinary { Duration::ZERO } else { step };
            now += step / 2;
            writing.end(Some(&key(n - 1)), now);
            now += step;
            writing.begin(Some(&key(n)), now);
            all += 2 * step;
        }
        assert!(held > Duration::ZERO && held <= all / 2, "{held:?} of {all:?}");
        // Whoever did nothing of that sort has all of it again.
        writing.end(Some(&key(5999)), now);
        now += LONGEST_HOLD;
        writing.begin(Some(&key(0)), now);
        assert_eq!(writing.left, LONGEST_HOLD);
        assert!(!writing.room(now).ordinary);
    }
}
