//! Namespaces that have just joined the whitelist. Helm creates the operator's rights in them afterwards, so refusals
//! there are expected at first.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::core::Name;

/// How long a namespace counts as new: Helm needs some seconds for rights in many namespaces.
const NEW: Duration = Duration::from_secs(15);

/// When each namespace joined the whitelist.
#[derive(Debug, Default)]
pub(super) struct NewNamespaces(HashMap<Name, Instant>);

impl NewNamespaces {
    /// The whitelist changed.
    pub fn joined(&mut self, before: &BTreeSet<String>, after: &BTreeSet<String>, now: Instant) {
        self.0.retain(|_, since| now.saturating_duration_since(*since) < NEW);
        self.0.extend(after.difference(before).map(|name| (Name::from(name.as_str()), now)));
    }

    /// Whether a namespace has just joined.
    pub fn contains(&self, name: &Name, now: Instant) -> bool {
        self.0.get(name).is_some_and(|since| now.saturating_duration_since(*since) < NEW)
    }
}
