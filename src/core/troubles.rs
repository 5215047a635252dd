//! Writes that the API server refuses for now, indexed by the native object and by the object that asked for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::native::Key;
use super::uid::Uid;
use crate::api::conditions::Reason;

/// Why a native object is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The UID of the object that asked for it.
    pub source: Uid,
    #[allow(missing_docs)]
    pub reason: Reason,
    /// What the API server said.
    pub message: String,
}

impl Trouble {
    /// Whether it is the same trouble. What the API server says often has a number in it that is another one each time, a port
    /// or a time.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        let [said, says] = [self, other].map(|trouble| trouble.message.bytes().filter(|byte| !byte.is_ascii_digit()));
        self.source == other.source && self.reason == other.reason && said.eq(says)
    }
}

/// Every native object that is not as it should be.
#[derive(Debug, Default)]
pub struct Troubles {
    by_key: BTreeMap<Key, Trouble>,
    by_source: HashMap<Uid, BTreeSet<Key>>,
}

impl Troubles {
    /// What is wrong with a native object.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Trouble> {
        self.by_key.get(key)
    }

    /// What is wrong with native objects that one object asked for.
    pub fn of(&self, source: &Uid) -> impl Iterator<Item = (&Key, &Trouble)> {
        let keys = self.by_source.get(source).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.by_key.get(key)?)))
    }

    /// The first of those.
    #[must_use]
    pub fn first_of(&self, source: &Uid) -> Option<(Reason, String)> {
        self.of(source).next().map(|(_, trouble)| (trouble.reason, trouble.message.clone()))
    }

    /// Notes that something is wrong.
    pub fn insert(&mut self, key: Key, trouble: Trouble) {
        self.remove(&key);
        self.by_source.entry(trouble.source.clone()).or_default().insert(key.clone());
        self.by_key.insert(key, trouble);
    }

    /// Notes that nothing is wrong any more.
    pub fn remove(&mut self, key: &Key) {
        let Some(trouble) = self.by_key.remove(key) else { return };
        if let Some(keys) = self.by_source.get_mut(&trouble.source) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_source.remove(&trouble.source);
            }
        }
    }

    /// The native objects with which something is wrong.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.by_key.keys()
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}
