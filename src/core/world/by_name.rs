//! Records of one kind, by name.

use std::borrow::Borrow;
use std::collections::{BTreeMap, btree_map};

use crate::core::Name;
use crate::core::records::{Binding, Group, Namespace, Organization, Role, User};
use crate::core::uid::Uid;

/// Records of one kind, by name. Each is boxed: a tree has places for eleven where there is one, and most organizations
/// have few of each kind.
#[derive(Debug)]
pub struct ByName<T>(BTreeMap<Name, Box<T>>);

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> ByName<T> {
    /// The one of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.get(name).map(Borrow::borrow)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &T)> {
        self.0.iter().map(|(name, record)| (name, &**record))
    }

    /// The names.
    pub fn keys(&self) -> btree_map::Keys<'_, Name, Box<T>> {
        self.0.keys()
    }

    /// The records.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values().map(Borrow::borrow)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> ByName<T> {
    /// Takes in a record, or that the one with the UID `gone` is gone, and returns what was there.
    ///
    /// # Errors
    /// When the one that is there is as new: the event is a late one, and nothing is changed.
    pub(super) fn swap(&mut self, name: &Name, new: Option<T>, gone: Option<&Uid>) -> Result<Option<Box<T>>, Late>
    where
        T: Versioned,
    {
        if let Some((old_uid, old_version)) = self.get(name).map(T::version) {
            match (new.as_ref().map(T::version), gone) {
                (Some((uid, version)), _) if uid == old_uid && version <= old_version => return Err(Late),
                // Another object of this name that is older than the one we know: the answer to a write came late.
                (Some((uid, version)), _) if uid != old_uid && version < old_version => return Err(Late),
                (None, Some(uid)) if uid != old_uid => return Err(Late),
                _ => {}
            }
        }
        Ok(match new {
            Some(new) => self.0.insert(name.clone(), Box::new(new)),
            None => self.0.remove(name),
        })
    }
}

/// An event was about an object as it was before the one that is known.
#[derive(Debug)]
pub(super) struct Late;

/// A record of something that has versions.
pub(super) trait Versioned {
    /// UID and resource version.
    fn version(&self) -> (&Uid, u64);
}

macro_rules! versioned_by_meta {
    ($($record:ty),*) => {$(
        impl Versioned for $record {
            fn version(&self) -> (&Uid, u64) {
                (&self.meta.uid, self.meta.version)
            }
        }
    )*};
}

versioned_by_meta!(Organization, User, Group, Binding, Role);

impl Versioned for Namespace {
    fn version(&self) -> (&Uid, u64) {
        (&self.uid, self.version)
    }
}
