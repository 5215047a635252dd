//! Which unit is worked on next, and how much at once: first those that may have access to take away.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::Unit;
use crate::core::native::Key;

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

/// Where a unit waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Urgent,
    Ordinary,
}

impl Lane {
    pub fn of(urgent: bool) -> Self {
        if urgent { Self::Urgent } else { Self::Ordinary }
    }
}

/// The units that wait for their turn, each once.
#[derive(Debug, Default)]
pub(super) struct Queue {
    urgent: VecDeque<Unit>,
    ordinary: VecDeque<Unit>,
}

impl Queue {
    /// To be worked on after everything that is as urgent.
    pub fn push(&mut self, unit: Unit, urgent: bool) {
        self.lane(urgent).push_back(unit);
    }

    /// To be worked on before everything that is as urgent.
    pub fn push_first(&mut self, unit: Unit, urgent: bool) {
        self.lane(urgent).push_front(unit);
    }

    /// Takes out a unit that has become urgent.
    pub fn remove_ordinary(&mut self, unit: &Unit) {
        self.ordinary.retain(|u| u != unit);
    }

    /// The next, of those for which there is room.
    pub fn pop(&mut self, room: Room) -> Option<Unit> {
        let urgent = if room.urgent { self.urgent.pop_front() } else { None };
        urgent.or_else(|| if room.ordinary { self.ordinary.pop_front() } else { None })
    }

    /// Whether `pop` would give one.
    pub fn has_next(&self, room: Room) -> bool {
        (room.urgent && !self.urgent.is_empty()) || (room.ordinary && !self.ordinary.is_empty())
    }

    /// Whether no unit waits.
    pub fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.ordinary.is_empty()
    }

    fn lane(&mut self, urgent: bool) -> &mut VecDeque<Unit> {
        if urgent { &mut self.urgent } else { &mut self.ordinary }
    }
}

/// What there is room for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub urgent: bool,
    pub ordinary: bool,
}

/// Writes of native objects and of claims that are with the writer: no more than it carries out at once. What waits here
/// instead can still be decided anew, and a revocation goes before it.
#[derive(Debug)]
pub(super) struct Writing {
    giving: usize,
    /// What takes access away, and when that began.
    revoking: HashMap<Key, Instant>,
    most: usize,
}

impl Writing {
    /// `most`: how many writes are carried out at once, unless they take access away.
    pub fn new(most: usize) -> Self {
        Self { giving: 0, revoking: HashMap::new(), most }
    }

    /// How many more there may be. While access is taken away none is given: the API server would share its time. What is
    /// not answered takes no other's place, but for an end to their number.
    pub fn places(&self, revoking: bool) -> usize {
        if revoking {
            let places = self.most * WHEN_REVOKING;
            let free = places.saturating_sub(self.giving + self.recent().count());
            free.min((2 * places).saturating_sub(self.giving + self.revoking.len()))
        } else if self.is_revoking() {
            0
        } else {
            self.most.saturating_sub(self.giving)
        }
    }

    /// A unit that only has to give is not let in for each place that becomes free: it would be decided for each of its
    /// writes, and as many would be at work as there are places.
    pub fn room(&self) -> Room {
        Room { urgent: self.places(true) > 0, ordinary: self.places(false) >= self.most.div_ceil(WORTH_DECIDING) }
    }

    /// How many statuses there may be beside. None while access is taken away: the API server checks what is left of a binding
    /// against role bindings as new as the newest write of anything, and waits up to 100 ms for them.
    pub fn places_for_statuses(&self, units_wait: bool) -> usize {
        if self.is_revoking() {
            0
        } else if units_wait || self.giving > 0 {
            self.most.div_ceil(STATUSES_BESIDE)
        } else {
            self.most
        }
    }

    /// Whether access is being taken away, and that may get on.
    pub fn is_revoking(&self) -> bool {
        self.recent().next().is_some()
    }

    /// When the next of what takes access away has not been answered for so long that nothing waits for it.
    pub fn stalls_at(&self) -> Option<Instant> {
        self.recent().min().map(|began| began + UNANSWERED)
    }

    /// A write begins: of this object, if it takes access away.
    pub fn begin(&mut self, revoking: Option<&Key>) {
        match revoking {
            Some(key) => drop(self.revoking.insert(key.clone(), Instant::now())),
            None => self.giving += 1,
        }
    }

    /// A write is done.
    pub fn end(&mut self, revoking: Option<&Key>) {
        match revoking {
            Some(key) => drop(self.revoking.remove(key)),
            None => self.giving = self.giving.saturating_sub(1),
        }
    }

    fn recent(&self) -> impl Iterator<Item = Instant> {
        let now = Instant::now();
        self.revoking.values().copied().filter(move |began| now.saturating_duration_since(*began) < UNANSWERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::native::NativeKind;

    fn key(n: usize) -> Key {
        Key { kind: NativeKind::RoleBinding, namespace: "alpha".into(), name: format!("b{n}").into() }
    }

    /// As if all that is under way had begun so much earlier.
    fn later(writing: &mut Writing) {
        writing.revoking.values_mut().for_each(|began| *began -= UNANSWERED);
    }

    #[test]
    fn who_only_gives_waits_for_a_quarter_of_the_places_and_who_takes_away_does_not() {
        for most in 1..=100 {
            let mut writing = Writing::new(most);
            let quarter = most.div_ceil(4);
            for giving in 0..=most {
                assert_eq!(writing.room().ordinary, most - giving >= quarter, "{giving} of {most}");
                assert!(writing.room().urgent);
                writing.begin(None);
            }
            for _ in 0..=most {
                writing.end(None);
            }
            assert!(writing.room().ordinary, "nothing is under way, of {most}");
        }
    }

    #[test]
    fn nothing_is_given_or_told_while_access_is_taken_away() {
        let mut writing = Writing::new(64);
        writing.begin(Some(&key(0)));
        assert!(writing.room().urgent && !writing.room().ordinary);
        assert_eq!((writing.places(false), writing.places_for_statuses(false)), (0, 0));
        assert!(writing.stalls_at().is_some());
        writing.end(Some(&key(0)));
        assert!(writing.room().ordinary && writing.stalls_at().is_none());
        assert_eq!((writing.places_for_statuses(false), writing.places_for_statuses(true)), (64, 4));
    }

    #[test]
    fn what_is_not_answered_stops_nothing_else_for_long() {
        let mut writing = Writing::new(64);
        (0..256).for_each(|n| writing.begin(Some(&key(n))));
        assert!(!writing.room().urgent);
        later(&mut writing);
        assert!(writing.room().ordinary && writing.stalls_at().is_none());
        assert_eq!((writing.places(false), writing.places(true), writing.places_for_statuses(true)), (64, 256, 4));
        // Another one begins, and ends.
        writing.begin(Some(&key(256)));
        assert_eq!((writing.places(false), writing.places(true), writing.places_for_statuses(true)), (0, 255, 0));
        writing.end(Some(&key(256)));
        assert_eq!(writing.places(false), 64);
        // There is an end to it.
        (256..512).for_each(|n| writing.begin(Some(&key(n))));
        later(&mut writing);
        assert_eq!((writing.places(true), writing.room().ordinary), (0, true));
    }
}
