//! Native objects of a key that cannot be written, and when to retry.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::core::object_ref::NativeRef;
use crate::core::plan::{GivenUp, Present};
use crate::core::rbac::DesiredSet;
use crate::operator::retry;

/// The longest pause of a revocation.
const LONGEST_WHEN_REVOKING: Duration = Duration::from_secs(5);
/// People have to fix the cause of a refusal, so a first retry after about a second is soon enough.
const FIRST_PAUSE: u32 = 3;

/// Something that fails repeatedly.
#[derive(Debug)]
pub struct Streak {
    times: u32,
    since: Instant,
}

impl Streak {
    /// The number of failures before it counts. A component that is being replaced recovers sooner.
    const TIMES: u32 = 3;
    const TIME: Duration = Duration::from_secs(10);

    /// A streak without failures.
    pub fn new(now: Instant) -> Self {
        Self { times: 0, since: now }
    }

    /// Counts another failure. Returns whether the streak counts now.
    pub fn goes_on(&mut self, now: Instant) -> bool {
        self.times = self.times.saturating_add(1);
        self.times >= Self::TIMES && now.saturating_duration_since(self.since) >= Self::TIME
    }
}

#[derive(Debug)]
struct Refused {
    times: u32,
    until: Instant,
    /// Whether the write was a revocation.
    revokes: bool,
}

#[derive(Debug)]
struct Erring {
    /// Whether the writes were revocations. A failure to add something does not show whether it can be removed.
    revokes: bool,
    streak: Streak,
}

/// The native objects of a key that cannot be written.
#[derive(Debug, Default)]
pub struct ObjectFailures {
    /// Those that the API server refuses.
    refused: HashMap<NativeRef, Refused>,
    /// Those whose writes fail for reasons that do not concern the object.
    erring: HashMap<NativeRef, Erring>,
}

impl ObjectFailures {
    /// The API server refuses a write. Returns when to retry, and whether it is the first time.
    pub fn refuse(&mut self, key: &NativeRef, revokes: bool, now: Instant) -> (Instant, bool) {
        let times = self.refused.get(key).map_or(0, |refused| refused.times) + 1;
        let pause = retry::delay(times.saturating_add(FIRST_PAUSE));
        let until = now + if revokes { pause.min(LONGEST_WHEN_REVOKING) } else { pause };
        self.refused.insert(key.clone(), Refused { times, until, revokes });
        (until, times == 1)
    }

    /// A write ended in an error. Returns whether the object counts as refused now.
    pub fn err(&mut self, key: &NativeRef, revokes: bool, now: Instant) -> bool {
        let new = || Erring { revokes, streak: Streak::new(now) };
        let erring = self.erring.entry(key.clone()).or_insert_with(new);
        if erring.revokes != revokes {
            *erring = new();
        }
        erring.streak.goes_on(now)
    }

    /// A write was answered, in any way.
    pub fn was_answered(&mut self, key: &NativeRef) {
        self.erring.remove(key);
    }

    /// Everything possible is done. Objects in their desired state are no longer refused. This happens only here, so
    /// that a write which succeeds and has to be undone is not retried at once.
    pub fn converged(&mut self, desired: Option<&DesiredSet>, present: &Present) {
        if let Some(desired) = desired {
            self.refused.retain(|key, _| match (desired.get(key), present.get(key)) {
                (Some(native), Some(observed)) => !observed.is_as(native),
                (desired, observed) => desired.is_some() || observed.is_some(),
            });
        }
        let refused = &self.refused;
        self.erring.retain(|key, _| refused.contains_key(key));
    }

    /// Whether a revocation is due again.
    pub fn has_due_revocation(&self, now: Instant) -> bool {
        self.refused.values().any(|refused| refused.revokes && refused.until <= now)
    }

    /// Retries everything at once; if that is too early, the next retry comes soon. Returns whether any of it revokes
    /// access.
    pub fn try_at_once(&mut self, now: Instant) -> bool {
        for refused in self.refused.values_mut() {
            (refused.times, refused.until) = (0, now);
        }
        self.refused.values().any(|refused| refused.revokes)
    }

    /// Forgets errors: another replica may have led meanwhile.
    pub fn start_over(&mut self) {
        self.erring.clear();
    }

    /// The objects that the plan leaves out for now.
    pub fn given_up(&self, now: Instant) -> GivenUp {
        let waiting = || self.refused.iter().filter(|(_, refused)| refused.until > now);
        GivenUp {
            objects: waiting().map(|(key, _)| key.clone()).collect(),
            resisting: waiting().filter(|(_, refused)| refused.revokes).map(|(key, _)| key.clone()).collect(),
        }
    }

    /// The objects that are refused.
    pub fn refused(&self) -> BTreeSet<NativeRef> {
        self.refused.keys().cloned().collect()
    }

    /// Whether no object has failed.
    pub fn is_empty(&self) -> bool {
        self.refused.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::object_ref::NativeKind;

    fn key() -> NativeRef {
        NativeRef::new(NativeKind::Role, "alpha", "r")
    }

    #[test]
    fn an_error_counts_when_it_lasts() {
        let (mut failures, now) = (ObjectFailures::default(), Instant::now());
        for (second, counts) in [(0, false), (1, false), (2, false), (11, true)] {
            assert_eq!(failures.err(&key(), false, now + Duration::from_secs(second)), counts, "after {second} s");
        }
        assert!(!failures.err(&key(), true, now + Duration::from_secs(12)), "that is another write");
        failures.was_answered(&key());
        assert!(!failures.err(&key(), true, now + Duration::from_secs(30)), "an answer ends it");
    }

    #[test]
    fn what_is_refused_is_left_out_until_it_is_due() {
        let (mut failures, now) = (ObjectFailures::default(), Instant::now());
        let (until, is_first) = failures.refuse(&key(), true, now);
        assert!(is_first && until > now && !failures.has_due_revocation(now));
        assert_eq!(failures.given_up(now).resisting, [key()].into());
        assert!(failures.has_due_revocation(until) && failures.given_up(until).objects.is_empty());
        assert!(failures.try_at_once(now) && failures.given_up(now).objects.is_empty());
    }
}
