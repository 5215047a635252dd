//! Which unit is worked on next, and how much at once: first those that may have access to take away.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Unit;
use crate::shell::writer::WHEN_REVOKING;

/// Statuses have this share of the places beside other writes, so that they hold up no grant for long, and some of them
/// are told all the same: decisions wait for what a few statuses record.
const STATUSES_BESIDE: usize = 16;

/// This share of the places has to be free before the next unit is let in.
const WORTH_DECIDING: usize = 4;

/// So long what gives access waits for an answer to anything that takes it away. A webhook that does not answer, in one
/// namespace, must not stop the operator everywhere.
const UNANSWERED: Duration = Duration::from_secs(1);

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
    revoking: usize,
    most: usize,
    /// When the last write that takes access away began or was answered.
    moved: Instant,
}

impl Writing {
    /// `most`: how many writes are carried out at once, unless they take access away.
    pub fn new(most: usize) -> Self {
        Self { giving: 0, revoking: 0, most, moved: Instant::now() }
    }

    /// How many more there may be. While access is taken away none is given: the API server would share its time.
    pub fn places(&self, revoking: bool) -> usize {
        if revoking {
            (self.most * WHEN_REVOKING).saturating_sub(self.giving + self.revoking)
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

    /// Whether access is being taken away, and that gets on.
    pub fn is_revoking(&self) -> bool {
        self.revoking > 0 && self.moved.elapsed() < UNANSWERED
    }

    /// When everything else no longer waits for what takes access away, if that is not answered before.
    pub fn stalls_at(&self) -> Option<Instant> {
        self.is_revoking().then(|| self.moved + UNANSWERED)
    }

    /// A write begins.
    pub fn begin(&mut self, revoking: bool) {
        *self.of(revoking) += 1;
    }

    /// A write is done.
    pub fn end(&mut self, revoking: bool) {
        let count = self.of(revoking);
        *count = count.saturating_sub(1);
    }

    fn of(&mut self, revoking: bool) -> &mut usize {
        if !revoking {
            return &mut self.giving;
        }
        self.moved = Instant::now();
        &mut self.revoking
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_only_gives_waits_for_a_quarter_of_the_places_and_who_takes_away_does_not() {
        for most in 1..=100 {
            let mut writing = Writing::new(most);
            let quarter = most.div_ceil(4);
            for giving in 0..=most {
                assert_eq!(writing.room().ordinary, most - giving >= quarter, "{giving} of {most}");
                assert!(writing.room().urgent);
                writing.begin(false);
            }
            for _ in 0..=most {
                writing.end(false);
            }
            assert!(writing.room().ordinary, "nothing is under way, of {most}");
        }
    }

    #[test]
    fn nothing_is_given_or_told_while_access_is_taken_away() {
        let mut writing = Writing::new(64);
        writing.begin(true);
        assert!(writing.room().urgent && !writing.room().ordinary);
        assert_eq!((writing.places(false), writing.places_for_statuses(false)), (0, 0));
        assert_eq!(writing.stalls_at(), Some(writing.moved + UNANSWERED));
        writing.end(true);
        assert!(writing.room().ordinary && writing.stalls_at().is_none());
        assert_eq!((writing.places_for_statuses(false), writing.places_for_statuses(true)), (64, 4));
    }

    #[test]
    fn what_is_not_answered_stops_nothing_else_for_long() {
        let mut writing = Writing::new(64);
        writing.begin(true);
        writing.moved -= UNANSWERED;
        assert!(writing.room().ordinary && writing.stalls_at().is_none());
        assert_eq!((writing.places(false), writing.places_for_statuses(true)), (64, 4));
        // Another one is, or begins.
        for news in [Writing::begin, Writing::end] {
            writing.moved -= UNANSWERED;
            news(&mut writing, true);
            assert_eq!((writing.places(false), writing.places_for_statuses(true)), (0, 0));
        }
    }
}
