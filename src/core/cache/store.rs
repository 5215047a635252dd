//! Records of one kind, by name, with a limit on their total weight.
//!
//! One organization must not fill the operator's memory, so each kind in a namespace has a limit, and so have the
//! cluster-scoped kinds. The oldest objects count first, and an object that does not fit never displaces one that
//! counted before. For an object beyond the limit only a [`Stub`] is kept: enough to write its status, and to read it
//! again once there is room. An object that counted and grows beyond the limit keeps its earlier requests.

use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map};

use crate::core::Name;
use crate::core::records::{Meta, Rank, Record};
use crate::core::uid::Uid;

/// How many objects beyond the limit to try when room becomes free.
const LOOKED_AT: usize = 64;

/// Records of one kind, by name. Each is boxed: a tree node reserves space for eleven, and most organizations have few
/// of each kind.
#[derive(Debug)]
pub struct Store<T> {
    records: BTreeMap<Name, Box<T>>,
    /// Total weight of the records, and of the stubs that are due.
    weight: usize,
    /// Present only while something is beyond the limit.
    excess: Option<Box<Excess>>,
}

/// An object that does not count.
#[derive(Debug)]
struct Stub {
    meta: Meta,
    weight: usize,
    /// There is room for it now: it counts as soon as it has been read again.
    due: bool,
}

#[derive(Debug, Default)]
struct Excess {
    stubs: BTreeMap<Rank, Stub>,
    rank_of: HashMap<Name, Rank>,
    /// The ranks of the records.
    counted: BTreeSet<Rank>,
}

/// The effects of a change of one object.
#[derive(Debug)]
pub(super) struct Swapped<T> {
    /// The previous record.
    pub old: Option<Box<T>>,
    /// Records that made room for an older object and no longer count.
    pub displaced: Vec<Box<T>>,
    /// An object beyond the limit came again with the same requests, for example because its status was written.
    pub is_old_news: bool,
}

/// An event shows an older state of the object than the known one.
#[derive(Debug)]
pub(super) struct Late;

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { records: BTreeMap::new(), weight: 0, excess: None }
    }
}

impl<T> Store<T> {
    /// The record of this name, if it counts.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.records.get(name).map(AsRef::as_ref)
    }

    /// Every record, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &T)> {
        self.records.iter().map(|(name, record)| (name, &**record))
    }

    /// The names of the records.
    pub fn keys(&self) -> btree_map::Keys<'_, Name, Box<T>> {
        self.records.keys()
    }

    /// Every record.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.records.values().map(AsRef::as_ref)
    }

    /// The names of all objects, including those beyond the limit.
    #[must_use]
    pub fn names(&self) -> BTreeSet<Name> {
        self.records.keys().cloned().chain(self.excess().map(|meta| meta.name.clone())).collect()
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no object at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.excess.is_none()
    }

    /// The objects of which nothing counts, because they are beyond the limit; the oldest first.
    pub fn excess(&self) -> impl Iterator<Item = &Meta> {
        self.stubs().map(|stub| &stub.meta).filter(|meta| !self.records.contains_key(&meta.name))
    }

    /// Whether anything is beyond the limit.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.excess.is_some()
    }

    /// Whether the object of this name is beyond the limit, wholly or in part.
    #[must_use]
    pub fn is_excess(&self, name: &str) -> bool {
        self.excess.as_ref().is_some_and(|excess| excess.rank_of.contains_key(name))
    }

    /// The objects for which there is room again, which have to be read again.
    pub fn due(&self) -> impl Iterator<Item = &Meta> {
        self.stubs().filter(|stub| stub.due).map(|stub| &stub.meta)
    }

    fn stubs(&self) -> impl Iterator<Item = &Stub> {
        self.excess.iter().flat_map(|excess| excess.stubs.values())
    }

    fn stub(&self, name: &str) -> Option<&Stub> {
        let excess = self.excess.as_ref()?;
        excess.stubs.get(excess.rank_of.get(name)?)
    }
}

impl<T: Record> Store<T> {
    /// The metadata of the object of this name, whether it counts or not.
    #[must_use]
    pub fn meta(&self, name: &str) -> Option<&Meta> {
        self.get(name).and_then(T::meta).or_else(|| self.stub(name).map(|stub| &stub.meta))
    }

    /// The metadata of every object, whether it counts or not.
    pub fn metas(&self) -> impl Iterator<Item = &Meta> {
        self.values().filter_map(T::meta).chain(self.excess())
    }

    /// The weight of an object: see [`Record::weight`].
    #[must_use]
    pub fn weight_of(&self, name: &str) -> usize {
        self.get(name).map(T::weight).or_else(|| self.stub(name).map(|stub| stub.weight)).unwrap_or_default()
    }

    /// Takes in an object, or the deletion of the one with the UID `gone`.
    ///
    /// # Errors
    /// When the known object is at least as new: the event is late, and nothing changes.
    pub(super) fn swap(&mut self, name: &Name, new: Option<T>, gone: Option<&Uid>) -> Result<Swapped<T>, Late> {
        let stub = self.stub(name);
        let known = self.get(name).map(T::version).or_else(|| stub.map(|stub| (&stub.meta.uid, stub.meta.version)));
        let due = stub.is_some_and(|stub| stub.due);
        if let Some((old_uid, old_version)) = known {
            match (new.as_ref().map(T::version), gone) {
                // A stub that is due waits for exactly the known object.
                (Some((uid, version)), _)
                    if uid == old_uid && (version < old_version || version == old_version && !due) =>
                {
                    return Err(Late);
                }
                // Another object of this name, older than the known one: a late answer to a write.
                (Some((uid, version)), _) if uid != old_uid && version < old_version => return Err(Late),
                (None, Some(uid)) if uid != old_uid => return Err(Late),
                _ => {}
            }
        }
        let mut new = new;
        if let Some(new) = &mut new {
            new.continue_from(self.meta(name), self.get(name));
        }
        // Whether an object counts was decided when it was first seen; growing must not cost others their place.
        let is_first = known.is_none();
        let before = stub.filter(|stub| !stub.due).map(|stub| stub.meta.clone());
        let old = self.take(name);
        let displaced = new.map_or_else(Vec::new, |new| self.put(name, new, is_first, old.as_deref()));
        let after = self.stub(name).map(|stub| &stub.meta);
        let is_old_news = before.as_ref().zip(after).is_some_and(|(before, after)| before.is_same_spec(after));
        self.fill();
        Ok(Swapped { old, displaced, is_old_news })
    }

    fn take(&mut self, name: &Name) -> Option<Box<T>> {
        let record = self.records.remove(name);
        self.weight -= record.as_deref().map_or(0, T::weight);
        let Some(excess) = &mut self.excess else { return record };
        if let Some(rank) = record.as_deref().and_then(T::meta).map(Meta::rank) {
            excess.counted.remove(&rank);
        }
        if let Some(stub) = excess.rank_of.remove(name).and_then(|rank| excess.stubs.remove(&rank)) {
            self.weight -= if stub.due { stub.weight } else { 0 };
        }
        record
    }

    /// Inserts a new record, and returns those that it displaces: younger ones, if a list shows it after them. `old`:
    /// the previous record.
    fn put(&mut self, name: &Name, new: T, may_displace: bool, old: Option<&T>) -> Vec<Box<T>> {
        let (Some(rank), weight) = (new.meta().map(Meta::rank), new.weight()) else {
            self.records.insert(name.clone(), Box::new(new));
            return Vec::new();
        };
        let mut displaced = Vec::new();
        if self.weight + weight > T::LIMIT {
            let counted = || self.records.values().filter_map(|record| record.meta()).map(Meta::rank).collect();
            let excess =
                self.excess.get_or_insert_with(|| Box::new(Excess { counted: counted(), ..Excess::default() }));
            let of = |rank: &Rank| self.records.get(rank.name()).map_or(0, |record| record.weight());
            let mut room = T::LIMIT.saturating_sub(self.weight);
            let younger = excess.counted.range(&rank..).rev().filter(|_| may_displace).take_while(|rank| {
                let needed = room < weight;
                room += if needed { of(rank) } else { 0 };
                needed
            });
            let younger: Vec<Rank> = younger.cloned().collect();
            if room < weight {
                self.leave_out(name.clone(), &new);
                let part = old.map(|old| new.part_of(old)).filter(|part| self.weight + part.weight() <= T::LIMIT);
                if let Some(part) = part {
                    self.insert(name, rank, part);
                }
                return displaced;
            }
            for rank in younger {
                let Some(record) = self.take(rank.name()) else { continue };
                self.leave_out(rank.name().clone(), &record);
                displaced.push(record);
            }
        }
        self.insert(name, rank, new);
        displaced
    }

    fn insert(&mut self, name: &Name, rank: Rank, record: T) {
        self.weight += record.weight();
        if let Some(excess) = &mut self.excess {
            excess.counted.insert(rank);
        }
        self.records.insert(name.clone(), Box::new(record));
    }

    fn leave_out(&mut self, name: Name, record: &T) {
        if let (Some(excess), Some(meta)) = (&mut self.excess, record.meta()) {
            let stub = Stub { meta: meta.clone(), weight: record.weight(), due: false };
            excess.rank_of.insert(name, meta.rank());
            excess.stubs.insert(meta.rank(), stub);
        }
    }

    /// Gives free room to the oldest objects beyond the limit that fit.
    fn fill(&mut self) {
        let Some(excess) = &mut self.excess else { return };
        for stub in excess.stubs.values_mut().filter(|stub| !stub.due).take(LOOKED_AT) {
            if self.weight + stub.weight <= T::LIMIT {
                self.weight += stub.weight;
                stub.due = true;
            }
        }
        if excess.stubs.is_empty() {
            self.excess = None;
        }
    }
}
