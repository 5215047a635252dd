//! The writes that the API server currently refuses: an input to every decision, beside the cache.

use std::collections::{BTreeMap, BTreeSet};

use super::Name;
use super::object_ref::NativeRef;
use super::uid::Uid;
use crate::api::conditions::Reason;

/// Why a native object is not as desired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteFailure {
    /// The UID of the object that requests it.
    pub source: Uid,
    /// The reason for the condition.
    pub reason: Reason,
    /// The API server's message.
    pub message: String,
}

impl WriteFailure {
    /// Whether it is the same failure. Messages of the API server often contain a number that changes each time, such
    /// as a port or a time.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        let [said, says] =
            [self, other].map(|write_failure| write_failure.message.bytes().filter(|byte| !byte.is_ascii_digit()));
        self.source == other.source && self.reason == other.reason && said.eq(says)
    }
}

/// All refused writes.
#[derive(Debug, Default)]
pub struct WriteFailures {
    /// Failures of native objects.
    by_key: BTreeMap<NativeRef, WriteFailure>,
    /// The same, by the object of ours that requests them.
    by_source: BTreeMap<Uid, BTreeSet<NativeRef>>,
    /// Namespaces without rights for the operator. Grants there stay until the operator may change them again.
    pub unauthorized: BTreeSet<Name>,
    /// Namespaces whose claim cannot be recorded, with the API server's message.
    pub refused_claims: BTreeMap<Name, String>,
}

impl WriteFailures {
    /// Without failures.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            by_key: BTreeMap::new(),
            by_source: BTreeMap::new(),
            unauthorized: BTreeSet::new(),
            refused_claims: BTreeMap::new(),
        }
    }

    /// The failure of a native object.
    #[must_use]
    pub fn get(&self, key: &NativeRef) -> Option<&WriteFailure> {
        self.by_key.get(key)
    }

    /// The failures of native objects that one object requests.
    pub fn of(&self, source: &Uid) -> impl Iterator<Item = (&NativeRef, &WriteFailure)> {
        let keys = self.by_source.get(source).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.by_key.get(key)?)))
    }

    /// The first of those.
    #[must_use]
    pub fn first_of(&self, source: &Uid) -> Option<(Reason, String)> {
        self.of(source).next().map(|(_, write_failure)| (write_failure.reason, write_failure.message.clone()))
    }

    /// Records a failure.
    pub fn insert(&mut self, key: NativeRef, write_failure: WriteFailure) {
        self.remove(&key);
        self.by_source.entry(write_failure.source.clone()).or_default().insert(key.clone());
        self.by_key.insert(key, write_failure);
    }

    /// Removes a failure.
    pub fn remove(&mut self, key: &NativeRef) {
        let Some(write_failure) = self.by_key.remove(key) else { return };
        if let Some(keys) = self.by_source.get_mut(&write_failure.source) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_source.remove(&write_failure.source);
            }
        }
    }

    /// The native objects with failures.
    pub fn keys(&self) -> impl Iterator<Item = &NativeRef> {
        self.by_key.keys()
    }

    /// The number of native objects with failures.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}
