//! Bailiwick: organizations, users, groups and roles as plain YAML, enforced with native Kubernetes RBAC.
pub mod api;
pub mod core;
