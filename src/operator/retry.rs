//! Retries with back-off and jitter: soon at first, then less and less often.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use kube::runtime::utils::Backoff;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

/// The pause after so many failures in a row: it doubles, with jitter of a half.
#[must_use]
pub fn delay(failures: u32) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16))).min(LONGEST);
    // The standard library's only source of randomness; jitter needs no better one.
    let jitter = RandomState::new().hash_one(failures) % 1000;
    doubled / 2 + doubled.mul_f64(jitter as f64 / 2000.0)
}

/// The longest pause of a watch, during which nobody learns of a revocation.
const LONGEST_OF_WATCH: Duration = Duration::from_secs(5);
/// A watch that lived this long ends a series of failures.
const LIFE: Duration = Duration::from_secs(30);

/// The back-off of a watch. kube's default waits up to a minute after an API server has restarted twice, and that would
/// be the slowest part of the recovery.
#[derive(Debug, Default)]
pub struct OfWatch {
    failures: u32,
    last: Option<Instant>,
}

impl Iterator for OfWatch {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.last.is_none_or(|last| last.elapsed() > LIFE) {
            self.failures = 0;
        }
        self.failures += 1;
        self.last = Some(Instant::now());
        Some(delay(self.failures).min(LONGEST_OF_WATCH))
    }
}

impl Backoff for OfWatch {
    // kube calls this after every event, and even a failing list begins with one. So the lifetime decides instead.
    fn reset(&mut self) {}
}
