//! Tracks which kinds have been listed, and the lists in progress.

use std::collections::{HashMap, HashSet};

use crate::operator::watch_event::{Kind, WatchedRef};

/// A list that is being read.
#[derive(Debug)]
struct Listing {
    /// The list shows everything up to this version at least.
    floor: u64,
    seen: HashSet<WatchedRef>,
}

/// The lists of all kinds.
#[derive(Debug, Default)]
pub(super) struct Listings {
    in_progress: HashMap<Kind, Listing>,
    complete: HashSet<Kind>,
    gone_back: Option<String>,
}

impl Listings {
    /// A list of all objects of a kind begins, which shows everything up to this version at least.
    pub fn begins(&mut self, kind: Kind, floor: u64) {
        self.in_progress.insert(kind, Listing { floor, seen: HashSet::new() });
    }

    /// A list is complete. Returns its objects.
    pub fn ends(&mut self, kind: Kind) -> Option<HashSet<WatchedRef>> {
        self.in_progress.remove(&kind).map(|list| list.seen)
    }

    /// Compares an object at this version, if it belongs to a list in progress, with the version known before. If it is
    /// older than anything known before the request, the cluster has gone back in time. A newer version may already be
    /// known, for example from the answer to a write.
    pub fn shows(&mut self, id: WatchedRef, version: Option<u64>, known: Option<u64>) {
        let Some(list) = self.in_progress.get_mut(&id.kind) else { return };
        if let (Some(new), Some(known)) = (version, known)
            && known <= list.floor
            && (1..known).contains(&new)
        {
            let path = [&*format!("{:?}", id.kind), &*id.namespace, &*id.name].join(" ");
            let words = path.split_whitespace().collect::<Vec<_>>().join(" ");
            self.gone_back.get_or_insert(format!("{words} is listed at resource version {new} after {known} was seen"));
        }
        list.seen.insert(id);
    }

    /// A kind has been listed. Returns whether it was the last required one.
    pub fn is_complete(&mut self, kind: Kind) -> bool {
        self.complete.insert(kind) && self.all_complete()
    }

    /// Whether a kind has been listed once.
    pub fn has_shown(&self, kind: Kind) -> bool {
        self.complete.contains(&kind)
    }

    /// Whether every required kind has been listed once.
    pub fn all_complete(&self) -> bool {
        self.complete.len() == Kind::ALL.len()
    }

    /// The evidence that the cluster went back, if there is any: then no earlier state counts.
    pub fn gone_back(&self) -> Option<&str> {
        self.gone_back.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::object_ref::ObjectRef;

    fn id(kind: Kind, name: &str) -> WatchedRef {
        ObjectRef::new(kind, "", name).with_uid("u")
    }

    #[test]
    fn an_older_version_than_was_known_before_the_list_is_evidence() {
        let mut listings = Listings::default();
        listings.begins(Kind::User, 7);
        listings.shows(id(Kind::User, "ada"), Some(5), Some(8));
        listings.shows(id(Kind::User, "bob"), Some(7), Some(7));
        assert_eq!(listings.gone_back(), None);
        listings.shows(id(Kind::User, "eve"), Some(5), Some(7));
        assert_eq!(listings.gone_back(), Some("User eve is listed at resource version 5 after 7 was seen"));
        assert_eq!(listings.ends(Kind::User).map(|seen| seen.len()), Some(3));
    }

    #[test]
    fn everything_is_seen_when_the_last_kind_is() {
        let mut listings = Listings::default();
        let last: Vec<bool> = Kind::ALL.iter().map(|kind| listings.is_complete(*kind)).collect();
        assert_eq!(last.iter().filter(|is_last| **is_last).count(), 1);
        assert!(last.last() == Some(&true) && listings.all_complete() && !listings.is_complete(Kind::User));
    }
}
