//! Tests on a real cluster: etcd, kube-apiserver and kube-controller-manager, the chart installed by helm, and the
//! operator with the ServiceAccount and the rights from the chart. Questions about access go to the API server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attacks;
#[path = "../samples/mod.rs"]
mod samples;
mod support;

mod api;
mod backups;
mod bad_input;
mod built_in_roles;
mod claims;
mod configuration;
mod crds_of_the_chart;
mod default_organization;
mod drift;
mod examples;
mod first_hour;
mod gitops;
mod lifecycle_of_the_chart;
mod main_job;
mod messages;
mod namespaces_of_the_chart;
mod no_gap;
mod nulls;
mod operator_rights;
mod policies;
mod restarts;
mod restores;
mod revocation;
mod same_second;
mod storms;
mod suspensions;
mod unreadable;
mod what_render_reads;
