//! The native objects of a key: as the watches show them, and newer, as our own writes left them.
//!
//! Events can be late. A watch may show an object as it was before our last write, or one that we have deleted; UIDs and
//! resource versions tell.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::core::object_ref::NativeRef;
use crate::core::plan::Present;
use crate::core::rbac::{DesiredSet, NativeKind, Observed, RbacSpec};
use crate::core::uid::Uid;

/// For how long an API server may still authorize requests by an object that was deleted: it learns of that by watching.
const AUTHORIZER_LAG: Duration = Duration::from_millis(100);

/// What a native object says before and after a change, for the log.
pub type Changed = (Option<RbacSpec>, Option<RbacSpec>);

/// The native objects of a key.
#[derive(Debug, Default)]
pub struct NativeObjects {
    present: Present,
    /// Objects that we deleted and the watch still shows, by UID.
    deleted: BTreeMap<Uid, NativeKind>,
    /// Objects that the watch showed to be gone while writes were in flight, by UID: an answer brings nothing back.
    gone: BTreeSet<Uid>,
    /// Objects that our own writes left as they are and that the watch has not shown yet.
    unconfirmed: BTreeSet<NativeRef>,
    /// Since when there is none, as far as that was looked at.
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

    /// Takes in an object as a watch shows it. Returns what changed, and whether that is more than its version.
    pub fn watched(&mut self, key: NativeRef, observed: Observed) -> Option<(Changed, bool)> {
        if self.deleted.contains_key(&observed.uid) {
            return None;
        }
        self.unconfirmed.remove(&key);
        let known = self.present.get(&key);
        // The last of these: another object of this name that is older than the one we know.
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

    /// A watch shows that an object is gone. Returns what changed. `writing`: answers may come that are older than this.
    pub fn vanished(&mut self, key: &NativeRef, uid: &Uid, writing: bool) -> Option<Changed> {
        self.deleted.remove(uid);
        if writing {
            self.gone.insert(uid.clone());
        }
        self.present.get(key).filter(|known| known.uid == *uid)?;
        self.remove(key)
    }

    /// Takes in what a write of ours left, or came upon. Returns what changed, unless something newer is known.
    pub fn written(&mut self, key: NativeRef, mut observed: Observed) -> Option<Changed> {
        if self.gone.contains(&observed.uid) {
            return None;
        }
        match self.present.get(&key).filter(|known| known.uid == observed.uid) {
            Some(known) if known.version > observed.version => return None,
            Some(known) => {
                observed.must_recreate = known.must_recreate;
                // If the watch was faster than the answer, no more will come from it, and this would stay unconfirmed.
                if known.version < observed.version {
                    self.unconfirmed.insert(key.clone());
                }
            }
            None => drop(self.unconfirmed.insert(key.clone())),
        }
        Some(self.replace(key, observed))
    }

    /// We have deleted an object, or found that it is gone. Returns what changed.
    pub fn was_deleted(&mut self, key: &NativeRef) -> Option<Changed> {
        let uid = self.get(key)?.uid.clone();
        self.deleted.insert(uid, key.kind);
        self.remove(key)
    }

    /// There is an object of this name that is not ours. Returns what changed.
    pub fn is_not_ours(&mut self, key: &NativeRef) -> Option<Changed> {
        self.remove(key)
    }

    /// An update was refused, so the object has to be deleted and created again. Says whether that is news.
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

    /// A list of all objects of this kind follows: it has to show what our writes have left so far, and nothing else. An answer
    /// that came in before this event, but after the list itself, is forgotten wrongly; the watch shows it soon after.
    pub fn list_begins(&mut self, kind: NativeKind) {
        self.unconfirmed.retain(|key| key.kind != kind);
        self.deleted.retain(|_, of| *of != kind);
    }

    /// What the watch must have shown by now.
    pub fn confirmed(&self) -> impl Iterator<Item = (&NativeRef, &Observed)> {
        let confirmed = self.present.iter().filter(|(key, _)| !self.unconfirmed.contains(*key));
        confirmed.map(|(key, observed)| (key, &**observed))
    }

    /// When nobody has access here by one of our objects any more, if there is none.
    pub fn vacated_at(&mut self, now: Instant) -> Option<Instant> {
        self.empty_since = self.present.is_empty().then(|| self.empty_since.unwrap_or(now));
        self.empty_since.map(|since| since + AUTHORIZER_LAG)
    }

    /// Whether nobody has access here by one of our objects any more.
    pub fn is_vacated(&self, now: Instant) -> bool {
        self.present.is_empty() && self.empty_since.is_some_and(|since| since + AUTHORIZER_LAG <= now)
    }

    /// Lets objects that are as they should be share the memory of what was decided. What the site gives to everybody is
    /// large, the cache keeps it too, and one copy is compared with itself at a glance.
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
