//! Compares core and the models of its tests with an independent oracle: Kubernetes' own escalation check and RBAC
//! authorizer answer the same questions, and no answer may differ. `CASES_TIMES=50` asks a million of each kind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../core/access.rs"]
#[allow(dead_code)]
mod access;
#[path = "../core/fake/mod.rs"]
#[allow(dead_code, unused_imports)]
mod fake;
#[path = "../core/histories/mod.rs"]
#[allow(dead_code, unused_imports)]
mod histories;
mod kubernetes;
#[path = "../core/requests.rs"]
mod requests;
mod rules;
#[path = "../core/shell.rs"]
#[allow(dead_code)]
mod shell;
mod worlds;

use std::io::Write as _;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};

/// Asks about so many random cases; shrinks the first failing one.
fn run<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let times = std::env::var("CASES_TIMES").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let seeds = FileFailurePersistence::Direct("tests/proptest-regressions/oracle.txt");
    let config = Config {
        cases: cases * times,
        max_shrink_iters: 4_000,
        failure_persistence: Some(Box::new(seeds)),
        ..Config::default()
    };
    TestRunner::new(config).run(&strategy, test).unwrap_or_else(|error| panic!("{error}"));
}

/// Prints the number of questions, and asserts that neither answer is rare.
fn assert_mixed(what: &str, asked: u64, yes: u64) {
    let _ = writeln!(std::io::stderr(), "{what}: {asked} questions, {yes} answered with yes, no difference");
    assert!(yes * 10 > asked && (asked - yes) * 10 > asked, "{what}: nearly all answers are the same");
}
