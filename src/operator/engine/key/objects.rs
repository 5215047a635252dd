//! The native objects of a key: as the watches show them, updated by the answers to our writes.
//!
//! Events can be late. A watch may show an object as it was before our last write, or one that we deleted; UIDs and
//! resource versions reveal that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::core::object_ref::{NativeKind, NativeRef};
use crate::core::plan::Present;
use crate::core::rbac::{DesiredSet, Observed, RbacSpec};
use crate::core::uid::Uid;

/// How long an API server may still authorize requests with a deleted object, because it learns of the deletion through
/// a watch.
const AUTHORIZER_LAG: Duration = Duration::from_millis(100);

/// The content of a native object before and after a change, for the log.
pub type Changed = (Option<RbacSpec>, Option<RbacSpec>);

/// The native objects of a key.
#[derive(Debug, Default)]
pub struct NativeObjects {
    present: Present,
    /// Objects that we deleted and the watch still shows, by UID.
    deleted: BTreeMap<Uid, NativeKind>,
    /// Objects whose deletion the watch showed while writes were in flight, by UID: an answer must not bring them back.
    gone: BTreeSet<Uid>,
    /// Objects that we wrote and the watch has not shown yet.
    unconfirmed: BTreeSet<NativeRef>,
    /// When the last object was first found to be gone.
    empty_since: Option<Instant>,
}

impl NativeObjects {
    /// All of them.
    pub fn present(&self) -> &Present {
        &self.present
    }

    /// One of them.
    pub fn get(&self, key: &NativeRef) -> Option<&Observed> {
        self.present.get(key).map(|observed| &**observed)
    }

    /// Takes in an object from a watch. Returns the change, and whether it is more than a new version.
    pub fn watched(&mut self, key: NativeRef, observed: Observed) -> Option<(Changed, bool)> {
        if self.deleted.contains_key(&observed.uid) {
            return None;
        }
        self.unconfirmed.remove(&key);
        let known = self.present.get(&key);
        // The last case: another object of this name that is older than the known one.
        let is_late = known.is_some_and(|known| match known.uid == observed.uid {
            true => known.version >= observed.version,
            false => known.version > observed.version,
        });
        if is_late {
            return None;
        }
        let is_news = known.is_none_or(|k| Observed { version: observed.version, ..(**k).clone() } != observed);
        Some((self.replace(key, observed), is_news))
    }

    /// A watch shows that an object is gone. Returns the change. `writing`: older answers may still arrive.
    pub fn vanished(&mut self, key: &NativeRef, uid: &Uid, writing: bool) -> Option<Changed> {
        self.deleted.remove(uid);
        if writing {
            self.gone.insert(uid.clone());
        }
        self.present.get(key).filter(|known| known.uid == *uid)?;
        self.remove(key)
    }

    /// Takes in the object that our write left or found. Returns the change, unless something newer is known.
    pub fn written(&mut self, key: NativeRef, mut observed: Observed) -> Option<Changed> {
        if self.gone.contains(&observed.uid) {
            return None;
        }
        match self.present.get(&key).filter(|known| known.uid == observed.uid) {
            Some(known) if known.version > observed.version => return None,
            Some(known) => {
                observed.must_recreate = known.must_recreate;
                // If the watch already showed this version, it will not show it again, and the object would stay
                // unconfirmed.
                if known.version < observed.version {
                    self.unconfirmed.insert(key.clone());
                }
            }
            None => drop(self.unconfirmed.insert(key.clone())),
        }
        Some(self.replace(key, observed))
    }

    /// We deleted an object, or found it deleted. Returns the change.
    pub fn was_deleted(&mut self, key: &NativeRef) -> Option<Changed> {
        let uid = self.get(key)?.uid.clone();
        self.deleted.insert(uid, key.kind);
        self.remove(key)
    }

    /// An object of this name is not ours. Returns the change.
    pub fn is_not_ours(&mut self, key: &NativeRef) -> Option<Changed> {
        self.remove(key)
    }

    /// An update was refused, so the object has to be deleted and recreated. Returns whether that is new.
    pub fn must_recreate(&mut self, key: &NativeRef) -> bool {
        let known = self.present.get_mut(key).filter(|observed| !observed.must_recreate);
        known.map(|observed| observed.must_recreate = true).is_some()
    }

    fn replace(&mut self, key: NativeRef, observed: Observed) -> Changed {
        let content = observed.content.clone();
        let known = self.present.insert(key, Box::new(observed));
        (known.and_then(|known| known.content), content)
    }

    fn remove(&mut self, key: &NativeRef) -> Option<Changed> {
        self.unconfirmed.remove(key);
        self.present.remove(key).map(|known| (known.content, None))
    }

    /// All writes are answered.
    pub fn all_answered(&mut self) {
        self.gone.clear();
    }

    /// A list of all objects of this kind begins. It shows everything that we have written so far. An answer that
    /// arrives before this event, but after the list itself, is forgotten wrongly; the watch shows it soon after.
    pub fn list_begins(&mut self, kind: NativeKind) {
        self.unconfirmed.retain(|key| key.kind != kind);
        self.deleted.retain(|_, of| *of != kind);
    }

    /// The objects that the watch must have shown by now.
    pub fn confirmed(&self) -> impl Iterator<Item = (&NativeRef, &Observed)> {
        let confirmed = self.present.iter().filter(|(key, _)| !self.unconfirmed.contains(*key));
        confirmed.map(|(key, observed)| (key, &**observed))
    }

    /// When the last access through our objects here ends, if there are none.
    pub fn vacated_at(&mut self, now: Instant) -> Option<Instant> {
        self.empty_since = self.present.is_empty().then(|| self.empty_since.unwrap_or(now));
        self.empty_since.map(|since| since + AUTHORIZER_LAG)
    }

    /// Whether all access through our objects here has ended.
    pub fn is_vacated(&self, now: Instant) -> bool {
        self.present.is_empty() && self.empty_since.is_some_and(|since| since + AUTHORIZER_LAG <= now)
    }

    /// Lets objects in their desired state share memory with the decision. The site's grants to everybody are large,
    /// the cache has them too, and shared values compare at once.
    pub fn share(&mut self, desired: &DesiredSet) {
        for (key, native) in desired {
            if let Some(observed) = self.present.get_mut(key)
                && observed.content.as_ref() == Some(&native.content)
            {
                observed.content = Some(native.content.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rbac::Owner;

    fn key() -> NativeRef {
        NativeRef::new(NativeKind::Role, "alpha", "r")
    }

    fn object(uid: &str, version: u64) -> Observed {
        Observed {
            uid: uid.into(),
            version,
            content: None,
            owner: Owner::None,
            origin: None,
            labelled: true,
            must_recreate: false,
            terminating: false,
        }
    }

    fn version(objects: &NativeObjects) -> Option<u64> {
        objects.get(&key()).map(|observed| observed.version)
    }

    #[test]
    fn a_late_event_does_not_undo_an_answer() {
        let mut objects = NativeObjects::default();
        assert!(objects.written(key(), object("a", 5)).is_some());
        assert!(objects.watched(key(), object("a", 4)).is_none());
        assert_eq!(objects.watched(key(), object("a", 6)).map(|(_, is_news)| is_news), Some(false));
        assert_eq!(version(&objects), Some(6));
    }

    #[test]
    fn what_we_deleted_does_not_come_back() {
        let mut objects = NativeObjects::default();
        objects.watched(key(), object("a", 1));
        assert!(objects.was_deleted(&key()).is_some());
        assert!(objects.watched(key(), object("a", 2)).is_none());
        assert!(objects.watched(key(), object("b", 3)).is_some(), "another object of the name");
    }

    #[test]
    fn an_answer_does_not_bring_back_what_the_watch_showed_to_be_gone() {
        let mut objects = NativeObjects::default();
        objects.watched(key(), object("a", 1));
        assert!(objects.vanished(&key(), &"a".into(), true).is_some());
        assert!(objects.written(key(), object("a", 2)).is_none());
        objects.all_answered();
        assert!(objects.written(key(), object("a", 2)).is_some());
    }

    #[test]
    fn a_list_must_show_what_the_watch_has_shown() {
        let mut objects = NativeObjects::default();
        objects.written(key(), object("a", 1));
        assert_eq!(objects.confirmed().count(), 0, "the list may be older than our write");
        objects.list_begins(NativeKind::Role);
        assert_eq!(objects.confirmed().count(), 1);
    }
}
