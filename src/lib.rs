//! Bailiwick: organizations, users, groups and roles as plain YAML, enforced with native Kubernetes RBAC.
//!
//! - [`api`] is the contract: the kinds, their conditions and reasons.
//! - [`core`] decides, without any I/O.
//! - [`operator`] watches the cluster and writes to it.
//! - [`cli`] is the command line.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod api;
pub mod cli;
pub mod core;
pub mod operator;
