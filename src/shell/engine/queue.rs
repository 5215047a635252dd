//! Which unit is worked on next: first those that may have access to take away.

use std::collections::VecDeque;

use super::Unit;

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
