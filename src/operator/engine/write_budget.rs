//! Limits the writes in flight: revocations go first, without stopping grants.

use crate::core::object_ref::NativeRef;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The factor for writes in flight while revoking. The API server delays each by a tenth of a second to find out the
/// operator's rights, so only parallel writes make a revocation everywhere fast.
const WHEN_REVOKING: usize = 4;

/// The divisor for statuses beside other writes: few, so that they hold up no grant for long, but some, because
/// decisions wait for what a few statuses record.
const STATUSES_BESIDE: usize = 16;

/// The share of the places that has to be free before another key with only grants is admitted.
const WORTH_DECIDING: usize = 4;

/// How long grants wait for the answer to a revocation. A webhook that does not answer in one namespace must not stop
/// the operator everywhere.
const UNANSWERED: Duration = Duration::from_secs(2);

/// Maximum time for which revocations may hold back grants. It refills while none are in flight, so a tenant that
/// revokes continuously can halve the rate of others' grants, and never stop them.
const LONGEST_HOLD: Duration = Duration::from_secs(10);

/// The keys that may be taken now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub urgent: bool,
    pub ordinary: bool,
}

/// The writes of native objects and claims in flight. The writer begins every request at once. A write that waits here
/// instead can still be decided again, and revocations overtake it.
#[derive(Debug)]
pub(super) struct WriteBudget {
    granting: usize,
    /// Revocations in flight, and when each began.
    revoking: HashMap<NativeRef, Instant>,
    /// When the current phase (with or without revocations) began, and how much of [`LONGEST_HOLD`] was left then.
    since: Option<Instant>,
    left: Duration,
    most: usize,
}

impl WriteBudget {
    /// `most`: the writes in flight at once while nothing is revoked.
    pub fn new(most: usize) -> Self {
        Self { granting: 0, revoking: HashMap::new(), since: None, left: LONGEST_HOLD, most }
    }

    /// How many more writes may begin. No grant begins during a revocation, because the two would share the API
    /// server's time. Unanswered writes take no places from others, but their number is limited.
    pub fn places(&self, revoking: bool, now: Instant) -> usize {
        if revoking {
            let places = self.most * WHEN_REVOKING;
            let free = places.saturating_sub(self.granting + self.recent(now).count());
            free.min((2 * places).saturating_sub(self.granting + self.revoking.len()))
        } else if self.is_revoking(now) {
            0
        } else {
            self.most.saturating_sub(self.granting)
        }
    }

    /// A key with only grants is not admitted for each free place: it would be decided for each of its writes, and as
    /// many keys would be at work as there are places.
    pub fn room(&self, now: Instant) -> Room {
        Room {
            urgent: self.places(true, now) > 0,
            ordinary: self.places(false, now) >= self.most.div_ceil(WORTH_DECIDING),
        }
    }

    /// How many statuses may be in flight. None during a revocation: the API server checks the rest of a binding
    /// against role bindings as new as the newest write of any object, and waits up to 100 ms for them.
    pub fn places_for_statuses(&self, keys_wait: bool, now: Instant) -> usize {
        if self.is_revoking(now) {
            0
        } else if keys_wait || self.granting > 0 {
            self.most.div_ceil(STATUSES_BESIDE)
        } else {
            self.most
        }
    }

    /// Whether a revocation is in flight that grants wait for.
    fn is_revoking(&self, now: Instant) -> bool {
        self.recent(now).next().is_some() && self.since.is_none_or(|since| now < since + self.left)
    }

    /// When the next unanswered revocation stops holding back others.
    pub fn stalls_at(&self, now: Instant) -> Option<Instant> {
        let stalls = self.recent(now).min().map(|began| began + UNANSWERED)?;
        let over = self.since.map(|since| since + self.left).filter(|over| *over > now);
        Some(over.map_or(stalls, |over| over.min(stalls)))
    }

    /// A write begins. `revoking`: its object, if it revokes access.
    pub fn begin(&mut self, revoking: Option<&NativeRef>, now: Instant) {
        let Some(key) = revoking else {
            self.granting += 1;
            return;
        };
        if self.revoking.is_empty() {
            let rested = self.since.map_or(LONGEST_HOLD, |since| now.saturating_duration_since(since));
            self.left = (self.left + rested).min(LONGEST_HOLD);
            self.since = Some(now);
        }
        self.revoking.insert(key.clone(), now);
    }

    /// A write has ended.
    pub fn end(&mut self, revoking: Option<&NativeRef>, now: Instant) {
        let Some(key) = revoking else {
            self.granting = self.granting.saturating_sub(1);
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
    use crate::core::object_ref::NativeKind;

    fn key(n: usize) -> NativeRef {
        NativeRef::new(NativeKind::RoleBinding, "alpha", format!("b{n}"))
    }

    #[test]
    fn grants_wait_for_a_quarter_of_the_places_and_revocations_do_not() {
        let now = Instant::now();
        for most in 1..=100 {
            let mut writing = WriteBudget::new(most);
            let quarter = most.div_ceil(4);
            for granting in 0..=most {
                assert_eq!(writing.room(now).ordinary, most - granting >= quarter, "{granting} of {most}");
                assert!(writing.room(now).urgent);
                writing.begin(None, now);
            }
            for _ in 0..=most {
                writing.end(None, now);
            }
            assert!(writing.room(now).ordinary, "nothing is in flight, of {most}");
        }
    }

    #[test]
    fn grants_and_statuses_wait_while_access_is_taken_away() {
        let (mut writing, now) = (WriteBudget::new(64), Instant::now());
        writing.begin(Some(&key(0)), now);
        assert!(writing.room(now).urgent && !writing.room(now).ordinary);
        assert_eq!((writing.places(false, now), writing.places_for_statuses(false, now)), (0, 0));
        assert!(writing.stalls_at(now).is_some());
        writing.end(Some(&key(0)), now);
        assert!(writing.room(now).ordinary && writing.stalls_at(now).is_none());
        assert_eq!((writing.places_for_statuses(false, now), writing.places_for_statuses(true, now)), (64, 4));
    }

    #[test]
    fn a_write_without_an_answer_stops_nothing_else_for_long() {
        let (mut writing, now) = (WriteBudget::new(64), Instant::now());
        (0..256).for_each(|n| writing.begin(Some(&key(n)), now));
        assert!(!writing.room(now).urgent);
        let now = now + UNANSWERED;
        assert!(writing.room(now).ordinary && writing.stalls_at(now).is_none());
        assert_eq!(
            (writing.places(false, now), writing.places(true, now), writing.places_for_statuses(true, now)),
            (64, 256, 4)
        );
        // Another one begins and ends.
        writing.begin(Some(&key(256)), now);
        assert_eq!(
            (writing.places(false, now), writing.places(true, now), writing.places_for_statuses(true, now)),
            (0, 255, 0)
        );
        writing.end(Some(&key(256)), now);
        assert_eq!(writing.places(false, now), 64);
        // The number is limited.
        (256..512).for_each(|n| writing.begin(Some(&key(n)), now));
        let now = now + UNANSWERED;
        assert_eq!((writing.places(true, now), writing.room(now).ordinary), (0, true));
    }

    #[test]
    fn revocations_without_pause_do_not_stop_grants() {
        let (mut writing, mut now) = (WriteBudget::new(64), Instant::now());
        let step = Duration::from_millis(100);
        let (mut held, mut all) = (Duration::ZERO, Duration::ZERO);
        // Each begins before the last one has ended.
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
        // With pauses, at most half of the time is held.
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
        // After a quiet time, the whole budget is available again.
        writing.end(Some(&key(5999)), now);
        now += LONGEST_HOLD;
        writing.begin(Some(&key(0)), now);
        assert_eq!(writing.left, LONGEST_HOLD);
        assert!(!writing.room(now).ordinary);
    }
}
