//! The engine's time: two clocks, and timers by the time of day.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::key::ReconcileKey;

/// The longest sleep: somebody may set the time of day, or the machine may have been suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// The current time by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The time of day, as in the API.
    pub time: Timestamp,
    /// The monotonic clock, for pauses.
    pub clock: Instant,
}

impl Now {
    /// Reads both clocks.
    #[must_use]
    pub fn read() -> Self {
        Self { time: Timestamp::now(), clock: Instant::now() }
    }
}

/// Timers for keys that change with the time of day: a binding expires, or a user becomes dormant. Each key has one
/// timer.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Timestamp, ReconcileKey)>,
    by_key: BTreeMap<ReconcileKey, Timestamp>,
}

impl Timers {
    /// Sets the timer to this time, or stops it.
    pub fn set(&mut self, key: ReconcileKey, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.by_key.insert(key.clone(), at),
            None => self.by_key.remove(&key),
        };
        if let Some(before) = before {
            self.by_time.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, key));
        }
    }

    /// Sets the timer to this time, unless it fires earlier.
    pub fn set_earlier(&mut self, key: ReconcileKey, at: Timestamp) {
        if self.by_key.get(&key).is_none_or(|set| *set > at) {
            self.set(key, Some(at));
        }
    }

    /// The time of this key's timer.
    pub fn get(&self, key: &ReconcileKey) -> Option<Timestamp> {
        self.by_key.get(key).copied()
    }

    /// The next key whose timer has fired.
    pub fn pop(&mut self, now: Timestamp) -> Option<ReconcileKey> {
        let (_, key) = self.by_time.first().filter(|(at, _)| *at <= now).cloned()?;
        self.set(key.clone(), None);
        Some(key)
    }

    /// The time of the next timer.
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

/// Sleeps until a time of day.
pub(super) async fn sleep_until_time(at: Option<Timestamp>) {
    let Some(at) = at else { return std::future::pending().await };
    // A time in the past needs no wait.
    if let Ok(wait) = Duration::try_from(at.duration_since(Timestamp::now())) {
        tokio::time::sleep(wait.min(LONGEST_SLEEP)).await;
    }
}

/// Sleeps until a time of the monotonic clock.
pub(super) async fn sleep_until(at: Option<Instant>) {
    let Some(at) = at else { return std::future::pending().await };
    tokio::time::sleep_until(at.into()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_timer_and_it_fires_once() {
        let (mut timers, at) = (Timers::default(), |second| Timestamp::from_second(second).unwrap());
        let site = || ReconcileKey::Site;
        timers.set(site(), Some(at(5)));
        timers.set_earlier(site(), at(7));
        assert_eq!(timers.next(), Some(at(5)));
        timers.set_earlier(site(), at(3));
        timers.set(ReconcileKey::User("ada".into()), Some(at(4)));
        assert_eq!(timers.next(), Some(at(3)));
        assert_eq!(timers.pop(at(2)), None);
        assert_eq!([timers.pop(at(9)), timers.pop(at(9))], [Some(site()), Some(ReconcileKey::User("ada".into()))]);
        assert_eq!((timers.pop(at(9)), timers.next()), (None, None));
    }
}
