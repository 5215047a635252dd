//! Decides. Pure: no I/O, no client, no async, no clock; time is a parameter.
//!
//! The operator fills a [`cache::Cache`] from its watches. [`organization::decide`] (one namespace) and
//! [`site::decide`] (the site) compute the native objects that should exist, the statuses of our objects, and when the
//! result changes by itself. [`plan::next`] compares that with the observed state. The operator, `render` and the tests
//! all call the same functions.

pub mod budget;
pub mod cache;
pub mod catalog;
pub mod claims;
pub mod compact_time;
pub mod conditions;
pub mod desired;
pub mod effect;
mod findings;
pub mod fixpoint;
pub mod intern;
pub mod kept;
pub mod members;
pub mod names;
pub mod object_ref;
pub mod observed_state;
pub mod order;
pub mod organization;
pub mod organization_status;
pub mod own_objects;
pub mod own_roles;
pub mod owned;
pub mod plan;
pub mod policies;
pub mod rbac;
pub mod records;
pub mod roles;
pub mod rules;
pub mod salvage;
pub mod shards;
pub mod site;
pub mod subjects;
pub mod suspended;
pub mod text;
pub mod uid;
pub mod user;
mod weight;
pub mod withheld;
pub mod write_failures;

/// Any string that is shared and never changed: names, verbs, API groups.
pub type Name = arcstr::ArcStr;
