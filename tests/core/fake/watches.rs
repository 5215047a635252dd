//! The watches of the API server: one queue for each kind, because events of one kind arrive in order, and those of
//! different kinds in any order, as late as a test likes.

use std::collections::{BTreeMap, VecDeque};

use bailiwick::operator::watch_event::{Item, OwnersSeen, WatchEvent};

use super::Kind;

/// Events that the watches have yet to deliver.
#[derive(Default)]
pub struct Watches(BTreeMap<Option<Kind>, VecDeque<WatchEvent>>);

impl Watches {
    pub fn show(&mut self, (kind, event): (Kind, WatchEvent)) {
        self.0.entry(Some(kind)).or_default().push_back(event);
    }

    /// Of a watch of owners.
    pub fn show_owners(&mut self, seen: OwnersSeen) {
        self.0.entry(None).or_default().push_back(WatchEvent::Owners(Box::new(seen)));
    }

    pub fn show_item(&mut self, kind: Kind, item: Item) {
        self.show((kind, WatchEvent::Item(Box::new(item))));
    }

    /// A watch restarts: a list of the current objects, no older than version `floor`, replaces the undelivered events.
    pub fn relist(&mut self, kind: Kind, floor: u64, items: impl IntoIterator<Item = WatchEvent>) {
        let begin = WatchEvent::Restarted(kind, floor);
        self.0.insert(Some(kind), [begin].into_iter().chain(items).chain([WatchEvent::Synced(kind)]).collect());
    }

    /// The next event of a watch that has any: `choose` picks one out of so many.
    pub fn deliver_one(&mut self, choose: impl FnOnce(usize) -> usize) -> Option<WatchEvent> {
        let mut waiting: Vec<_> = self.0.values_mut().filter(|queue| !queue.is_empty()).collect();
        if waiting.is_empty() {
            return None;
        }
        let which = choose(waiting.len());
        waiting[which].pop_front()
    }

    pub fn deliver_all(&mut self) -> Vec<WatchEvent> {
        std::mem::take(&mut self.0).into_values().flatten().collect()
    }

    /// The connections end; undelivered events are lost.
    pub fn lose_all(&mut self) {
        self.0.clear();
    }
}
