//! When to try again: soon at first, later and later after that, and never all at once.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

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
