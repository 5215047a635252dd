//! Cluster tests that measure times, so they run alone after the others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unused_imports, reason = "the support for all cluster tests can do more than these need")]

mod neighbors;
#[path = "../cluster/support/mod.rs"]
mod support;
