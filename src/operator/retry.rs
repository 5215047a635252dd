//! When to try again: soon at first, later and later after that, and never all at once.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use kube::runtime::utils::Backoff;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

/// How long to wait after so many failures in a row: doubling, with jitter of a half.
#[must_use]
pub fn delay(failures: u32) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16))).min(LONGEST);
    // The standard library's only source of randomness; jitter needs no better one.
    let jitter = RandomState::new().hash_one(failures) % 1000;
    doubled / 2 + doubled.mul_f64(jitter as f64 / 2000.0)
}

/// The longest wait of a watch: as long as it waits, nobody hears of a revocation.
const LONGEST_OF_WATCH: Duration = Duration::from_secs(5);
/// A watch that has lived for so long did not fail in a row with the one before.
const LIFE: Duration = Duration::from_secs(30);

/// When to watch again. kube's default waits up to a minute after an API server has restarted twice, and deaf watches
/// must not be the slowest part of that.
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
    // Asked for after every event, of which a list that fails has one at its beginning. Time decides instead.
    fn reset(&mut self) {}
}
