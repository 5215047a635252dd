//! What the API server refuses to have written, for now: an input to every decision, beside the cache.

use std::collections::{BTreeMap, BTreeSet};

use super::Name;
use super::object_ref::NativeRef;
use super::uid::Uid;
use crate::api::conditions::Reason;

/// Why a native object is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteFailure {
    /// The UID of the object that asked for it.
    pub source: Uid,
    #[allow(missing_docs)]
    pub reason: Reason,
    /// What the API server said.
    pub message: String,
}

impl WriteFailure {
    /// Whether it is the same trouble. What the API server says often has a number in it that is another one each time, a port
    /// or a time.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        let [said, says] =
            [self, other].map(|write_failure| write_failure.message.bytes().filter(|byte| !byte.is_ascii_digit()));
        self.source == other.source && self.reason == other.reason && said.eq(says)
    }
}

/// Every write that is refused.
#[derive(Debug, Default)]
pub struct WriteFailures {
    /// Of native objects.
    by_key: BTreeMap<NativeRef, WriteFailure>,
    /// The same, by the object of ours that asked for them.
    by_source: BTreeMap<Uid, BTreeSet<NativeRef>>,
    /// Namespaces in which the operator has no rights. What was granted there stays, until it may be changed again.
    pub unauthorized: BTreeSet<Name>,
    /// Namespaces on which the claim that is due cannot be recorded, and what the API server says.
    pub refused_claims: BTreeMap<Name, String>,
}

impl WriteFailures {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            by_key: BTreeMap::new(),
            by_source: BTreeMap::new(),
            unauthorized: BTreeSet::new(),
            refused_claims: BTreeMap::new(),
        }
    }

    /// What is wrong with a native object.
    #[must_use]
    pub fn get(&self, key: &NativeRef) -> Option<&WriteFailure> {
        self.by_key.get(key)
    }

    /// What is wrong with native objects that one object asked for.
    pub fn of(&self, source: &Uid) -> impl Iterator<Item = (&NativeRef, &WriteFailure)> {
        let keys = self.by_source.get(source).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.by_key.get(key)?)))
    }

    /// The first of those.
    #[must_use]
    pub fn first_of(&self, source: &Uid) -> Option<(Reason, String)> {
        self.of(source).next().map(|(_, write_failure)| (write_failure.reason, write_failure.message.clone()))
    }

    /// Notes that something is wrong.
    pub fn insert(&mut self, key: NativeRef, write_failure: WriteFailure) {
        self.remove(&key);
        self.by_source.entry(write_failure.source.clone()).or_default().insert(key.clone());
        self.by_key.insert(key, write_failure);
    }

    /// Notes that nothing is wrong any more.
    pub fn remove(&mut self, key: &NativeRef) {
        let Some(write_failure) = self.by_key.remove(key) else { return };
        if let Some(keys) = self.by_source.get_mut(&write_failure.source) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_source.remove(&write_failure.source);
            }
        }
    }

    /// The native objects with which something is wrong.
    pub fn keys(&self) -> impl Iterator<Item = &NativeRef> {
        self.by_key.keys()
    }

    /// How many native objects they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no native object is among them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}
