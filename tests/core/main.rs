//! Properties and tables of the pure core, without a cluster or a clock.
//!
//! [`fake`] is the API server of these tests, [`histories`] generates random histories for it. [`shell`] simulates the
//! operator with the core alone, one event at a time; [`engine`] tests the real engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod build;
mod fake;
#[path = "fake/tests.rs"]
mod fake_tests;
mod histories;
mod requests;
#[path = "../samples/mod.rs"]
mod samples;
mod shell;

mod catalog;
mod claims;
mod conditions;
mod engine;
mod fuzz;
mod grants;
mod holdings;
mod kept;
mod limits;
mod members;
mod membership;
mod names;
mod nulls;
mod order;
mod own_objects;
mod plan;
mod plan_steps;
mod policies;
mod purity;
mod roles;
mod rules;
mod salvage;
mod same_second;
mod suspended;
mod text;
mod users;

/// The number of cases, tuned so that the whole binary stays under a minute in the dev profile. `CASES_TIMES=20` runs
/// more.
fn cases(cases: u32) -> proptest::test_runner::Config {
    let times = std::env::var("CASES_TIMES").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    proptest::test_runner::Config { cases: cases * times, max_shrink_iters: 4_000, ..Default::default() }
}
