//! The state of a key from a change to its last write.

use std::time::{Duration, Instant};

use crate::operator::retry;

/// The longest back-off of a key that revokes access: an API server may be back after a long outage.
const LONGEST_WHEN_REVOKING: Duration = Duration::from_secs(5);

/// The current activity of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// There is nothing to do.
    #[default]
    Idle,
    /// It waits for its turn.
    Queued,
    /// Writes are in flight. If one has failed, the key backs off once all are answered.
    Writing {
        /// The end of the back-off.
        back_off: Option<Instant>,
    },
    /// A write failed that may succeed later.
    BackingOff {
        /// The end of the back-off.
        until: Instant,
    },
}

/// Whether the work may revoke access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Revocation {
    /// It only grants.
    #[default]
    None,
    /// It revokes access, or has to finish before more is revoked.
    Begun,
    /// A new change may revoke access, and has not been looked at.
    New,
}

/// What a key may do in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing: it is idle, backs off, or waits for answers.
    Nothing,
    /// Revoke while other writes are in flight. `new`: there was a change since the last look.
    RevokeMeanwhile {
        /// Whether there was a change since the last look.
        new: bool,
    },
    /// Everything.
    Reconcile,
}

/// The state of a key.
#[derive(Debug, Default)]
pub struct Work {
    phase: Phase,
    revocation: Revocation,
    /// The revision since which there is work.
    since: Option<u64>,
    failures: u32,
}

impl Work {
    /// Something changed. `revokes`: it may revoke access, which does not wait for the end of a pause.
    pub fn changed(&mut self, revision: u64, revokes: bool) {
        self.since.get_or_insert(revision);
        if revokes {
            self.revocation = Revocation::New;
        }
        self.phase = match self.phase {
            Phase::Idle => Phase::Queued,
            Phase::BackingOff { .. } if revokes => Phase::Queued,
            Phase::Writing { .. } if revokes => Phase::Writing { back_off: None },
            phase => phase,
        };
    }

    /// The pending work may revoke access.
    pub fn may_turn_out_to_revoke(&mut self) {
        self.revocation = Revocation::New;
    }

    /// A step of it revokes access.
    pub fn revokes(&mut self) {
        self.revocation = self.revocation.max(Revocation::Begun);
    }

    /// It turned out to grant only.
    pub fn only_gives(&mut self) {
        self.revocation = Revocation::None;
    }

    /// Its turn has come.
    pub fn take_turn(&mut self) -> Turn {
        let new = self.revocation == Revocation::New;
        match self.phase {
            Phase::Writing { back_off: None } if self.may_revoke() => {
                self.revocation = Revocation::Begun;
                Turn::RevokeMeanwhile { new }
            }
            Phase::Idle | Phase::BackingOff { .. } | Phase::Writing { .. } => Turn::Nothing,
            Phase::Queued => {
                if new {
                    self.revocation = Revocation::Begun;
                }
                Turn::Reconcile
            }
        }
    }

    /// Writes are in flight.
    pub fn begin_writing(&mut self) {
        if !matches!(self.phase, Phase::Writing { .. }) {
            self.phase = Phase::Writing { back_off: None };
        }
    }

    /// A write failed that may succeed later. Returns when to retry, unless a new change may revoke access, which does
    /// not wait for any pause.
    pub fn back_off(&mut self, now: Instant) -> Option<Instant> {
        if let Phase::Writing { back_off: Some(_) } | Phase::BackingOff { .. } = self.phase {
            return None;
        }
        self.failures += 1;
        if self.revocation == Revocation::New {
            return None;
        }
        let pause = retry::delay(self.failures);
        let until = now + if self.may_revoke() { pause.min(LONGEST_WHEN_REVOKING) } else { pause };
        self.phase = match self.phase {
            Phase::Writing { .. } => Phase::Writing { back_off: Some(until) },
            Phase::Idle | Phase::Queued | Phase::BackingOff { .. } => Phase::BackingOff { until },
        };
        Some(until)
    }

    /// All writes are answered. Returns whether it continues at once.
    pub fn all_answered(&mut self, now: Instant) -> bool {
        self.phase = match self.phase {
            Phase::Writing { back_off: Some(until) } if until > now => Phase::BackingOff { until },
            Phase::Writing { .. } => Phase::Queued,
            phase => phase,
        };
        self.phase == Phase::Queued
    }

    /// A pause is over, possibly of another object. `revokes`: the revocation of an object is due again. Returns
    /// whether the key may revoke access now.
    pub fn pause_is_over(&mut self, now: Instant, revokes: bool) -> bool {
        let over = match self.phase {
            Phase::BackingOff { until } if until <= now => {
                self.phase = Phase::Queued;
                true
            }
            Phase::Writing { back_off: Some(until) } if until <= now => {
                self.phase = Phase::Writing { back_off: None };
                true
            }
            _ => false,
        };
        let revokes = revokes || (over && self.revocation >= Revocation::Begun);
        if revokes {
            self.revokes();
        }
        revokes
    }

    /// Earlier failures no longer matter.
    pub fn forget_failures(&mut self) {
        self.failures = 0;
    }

    /// The cause of a failure may be gone.
    pub fn end_pause(&mut self) {
        self.failures = 0;
        self.phase = match self.phase {
            Phase::BackingOff { .. } => Phase::Queued,
            Phase::Writing { .. } => Phase::Writing { back_off: None },
            phase => phase,
        };
    }

    /// There is nothing left to do. Returns the revision since which there was work.
    pub fn converged(&mut self) -> Option<u64> {
        self.phase = Phase::Idle;
        self.revocation = Revocation::None;
        self.failures = 0;
        self.since.take()
    }

    /// The revision since which there is work.
    pub fn busy_since(&self) -> Option<u64> {
        self.since
    }

    /// Whether it may revoke access.
    pub fn may_revoke(&self) -> bool {
        self.revocation != Revocation::None
    }

    /// Whether a change that may revoke access has not been looked at.
    pub fn has_new_revocation(&self) -> bool {
        self.revocation == Revocation::New
    }

    /// Whether it belongs in the work queue: with writes in flight, only to revoke meanwhile.
    pub fn wants_turn(&self) -> bool {
        match self.phase {
            Phase::Queued => true,
            Phase::Writing { back_off: None } => self.may_revoke(),
            Phase::Idle | Phase::Writing { .. } | Phase::BackingOff { .. } => false,
        }
    }

    /// Whether it waits for its turn with nothing in flight.
    pub fn is_queued(&self) -> bool {
        self.phase == Phase::Queued
    }

    /// Whether it goes before keys that only grant; while writing, once for several changes.
    pub fn is_urgent(&self) -> bool {
        match self.phase {
            Phase::Writing { .. } => self.has_new_revocation(),
            Phase::Idle | Phase::Queued | Phase::BackingOff { .. } => self.may_revoke(),
        }
    }

    /// Whether it waits because of a failure.
    pub fn is_backing_off(&self) -> bool {
        matches!(self.phase, Phase::BackingOff { .. } | Phase::Writing { back_off: Some(_) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(revokes: bool) -> Work {
        let mut work = Work::default();
        work.changed(1, revokes);
        work
    }

    #[test]
    fn a_change_is_carried_out_and_the_key_is_idle_again() {
        let (mut work, now) = (queued(false), Instant::now());
        assert_eq!((work.phase, work.busy_since(), work.is_urgent()), (Phase::Queued, Some(1), false));
        assert_eq!(work.take_turn(), Turn::Reconcile);
        work.begin_writing();
        assert_eq!((work.take_turn(), work.wants_turn()), (Turn::Nothing, false));
        assert!(work.all_answered(now));
        assert_eq!(work.take_turn(), Turn::Reconcile);
        assert_eq!((work.converged(), work.phase, work.take_turn()), (Some(1), Phase::Idle, Turn::Nothing));
    }

    #[test]
    fn a_revocation_does_not_wait_for_writes_in_flight() {
        let mut work = queued(false);
        work.take_turn();
        work.begin_writing();
        work.changed(2, true);
        assert!(work.wants_turn() && work.is_urgent());
        assert_eq!(work.take_turn(), Turn::RevokeMeanwhile { new: true });
        assert!(!work.is_urgent(), "not for each answer");
        assert_eq!(work.take_turn(), Turn::RevokeMeanwhile { new: false });
    }

    #[test]
    fn a_key_backs_off_when_all_its_writes_are_answered() {
        let (mut work, now) = (queued(false), Instant::now());
        work.take_turn();
        work.begin_writing();
        let until = work.back_off(now).unwrap();
        assert_eq!(work.back_off(now), None, "one pause for all writes of a step");
        assert!(!work.all_answered(now) && work.is_backing_off());
        work.changed(2, false);
        assert_eq!((work.phase, work.take_turn()), (Phase::BackingOff { until }, Turn::Nothing));
        assert!(!work.pause_is_over(until, false) && work.wants_turn());
    }

    #[test]
    fn a_revocation_ends_a_pause_and_is_looked_at_before_another() {
        let (mut work, now) = (queued(false), Instant::now());
        work.take_turn();
        work.begin_writing();
        work.back_off(now);
        work.changed(2, true);
        assert!(work.all_answered(now), "nothing waits");
        work.take_turn();
        work.begin_writing();
        work.may_turn_out_to_revoke();
        assert_eq!((work.back_off(now), work.all_answered(now)), (None, true));
    }

    #[test]
    fn a_pause_grows_and_is_short_when_access_is_taken_away() {
        let now = Instant::now();
        for revokes in [false, true] {
            let mut work = queued(revokes);
            let mut longest = Duration::ZERO;
            for _ in 0..20 {
                assert_eq!(work.take_turn(), Turn::Reconcile);
                work.begin_writing();
                let until = work.back_off(now).unwrap();
                longest = longest.max(until - now);
                assert!(!work.all_answered(now));
                assert_eq!(work.pause_is_over(until, false), revokes);
            }
            assert_eq!(longest <= LONGEST_WHEN_REVOKING, revokes, "{longest:?}");
        }
    }
}
