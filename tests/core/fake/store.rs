//! Actions of people and the platform, and a store for their objects that behaves like an API server: with UIDs,
//! resource versions, generations and creation times.

use std::collections::BTreeMap;

use bailiwick::api::vocabulary as v;
use bailiwick::core::cache::Cache;
use bailiwick::core::catalog::{Bounds, Settings};
use bailiwick::core::claims::Claim;
use bailiwick::core::own_objects::Ownership;
use bailiwick::core::owned::Change;
use bailiwick::core::rules::Ceiling;
use bailiwick::core::uid::Uid;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, ObjectMeta, Time};

use super::platform::{RELEASE, SPACES, bounds, ceiling, namespace};
use super::update::keep;
use super::{Event, Kind, Object, Slot, slot};

/// The time at which every store begins.
pub fn base() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// The time after so many half seconds: creation times are whole seconds, so neighbors often share one.
pub fn tick(halves: i64) -> Timestamp {
    base() + SignedDuration::from_millis(halves * 500)
}

/// An action of somebody.
#[derive(Clone, Debug)]
pub enum Op {
    /// Create, or update.
    Put(Box<Object>),
    /// Delete, if it exists.
    Delete(Slot),
    /// Delete and create at once: a disconnected watch shows only the new object.
    Replace(Box<Object>),
    /// An administrator releases a namespace.
    Release(&'static str),
    /// A namespace starts to terminate.
    Terminate(&'static str),
    /// The whitelist, and whether an admission policy vouches for Groups.
    Bounds(Vec<&'static str>, bool),
    /// Whether users who belong nowhere join the default organization.
    Join(bool),
    /// Whether the policies about own objects are in place.
    Ownership(bool),
    /// A Pod (namespace, name) gets another owner, or none.
    Own(&'static str, &'static str, Option<&'static str>),
    /// A ceiling of this kind: none, one that lacks rules (`false`), or the full one.
    Ceiling(Kind, Option<bool>),
    /// Lets so many half seconds pass.
    Wait(i64),
}

/// Objects as an API server keeps them.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// In half seconds since [`base`].
    pub now: i64,
    version: u64,
    /// How many were assigned.
    pub uids: u64,
    pub bounds: Bounds,
    pub settings: Settings,
    pub ownership: Ownership,
    /// The owners of Pods, by namespace and name.
    pub owners: BTreeMap<String, BTreeMap<String, String>>,
    pub ceilings: BTreeMap<Kind, Ceiling>,
    pub objects: BTreeMap<Slot, Object>,
}

impl Store {
    /// A store with the usual whitelist, catalog, ceilings and namespaces, and the events for them.
    pub fn new() -> (Self, Vec<Event>) {
        let mut store = Self::default();
        let mut events = Vec::new();
        let mut ops = vec![Op::Bounds(vec!["n0", "n1", RELEASE], false), Op::Ownership(true)];
        for which in [Kind::Ceiling, Kind::CeilingCluster, Kind::CeilingRelease] {
            ops.push(Op::Ceiling(which, Some(true)));
        }
        ops.extend(SPACES.map(|name| Op::Put(Box::new(namespace(name)))));
        for op in ops {
            events.extend(store.act(&op));
        }
        events.extend(SPACES.map(|namespace| Event::Owners(namespace.to_owned(), store.owners_in(namespace))));
        store.now = 2;
        (store, events)
    }

    pub fn time(&self) -> Timestamp {
        tick(self.now)
    }

    /// The newest version of anything.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Performs an action; returns the events of a watch.
    pub fn act(&mut self, op: &Op) -> Vec<Event> {
        match op {
            Op::Put(object) => self.put((**object).clone(), false),
            Op::Replace(object) => self.put((**object).clone(), true),
            Op::Delete(slot) => match self.objects.remove(slot) {
                Some(object) => {
                    self.version += 1;
                    vec![Event::Gone(slot.clone(), object.uid())]
                }
                None => Vec::new(),
            },
            Op::Release(name) => {
                self.edit_namespace(name, |m| drop(m.labels.as_mut().map(|l| l.remove(v::ORGANIZATION))))
            }
            Op::Terminate(name) => self.edit_namespace(name, |m| m.deletion_timestamp = Some(Time(base()))),
            Op::Bounds(whitelist, vouched) => {
                self.bounds = bounds(whitelist, *vouched);
                vec![Event::Bounds(self.bounds.clone())]
            }
            Op::Join(join) => {
                self.settings.users.join_default_organization = *join;
                vec![Event::Settings(self.settings.clone())]
            }
            Op::Ownership(enforced) => {
                let kinds = [("apps", "deployments"), ("", "pods")].map(|(g, r)| (g.into(), r.into())).into();
                self.ownership = if *enforced { Ownership::Enforced(kinds) } else { Ownership::NotEnforced };
                vec![Event::Policies(self.ownership.clone())]
            }
            Op::Own(namespace, name, owner) => {
                let owners = self.owners.entry((*namespace).to_owned()).or_default();
                match owner {
                    Some(owner) => drop(owners.insert((*name).to_owned(), (*owner).to_owned())),
                    None => drop(owners.remove(*name)),
                }
                vec![Event::Owners((*namespace).to_owned(), Change::One((*name).into(), owner.map(Into::into)))]
            }
            Op::Ceiling(kind, full) => {
                let ceiling = full.map(|full| ceiling(*kind, full));
                match &ceiling {
                    Some(ceiling) => drop(self.ceilings.insert(*kind, ceiling.clone())),
                    None => drop(self.ceilings.remove(kind)),
                }
                vec![Event::Ceiling(*kind, ceiling)]
            }
            Op::Wait(halves) => {
                self.now += halves;
                Vec::new()
            }
        }
    }

    pub fn edit_namespace(&mut self, name: &str, edit: impl FnOnce(&mut ObjectMeta)) -> Vec<Event> {
        let slot = slot(Kind::Namespace, "", name);
        let Some(Object::Namespace(meta)) = self.objects.get_mut(&slot) else { return Vec::new() };
        self.version += 1;
        meta.resource_version = Some(self.version.to_string());
        edit(meta);
        vec![Event::Is(Box::new(self.objects[&slot].clone()))]
    }

    /// Writes the record of a claim, as the operator's writer does.
    pub fn record_claim(&mut self, claim: &Claim) -> Vec<Event> {
        self.edit_namespace(&claim.namespace, |m| {
            let labels = m.labels.get_or_insert_default();
            match &claim.organization {
                Some(name) => drop(labels.insert(v::ORGANIZATION.to_owned(), name.to_string())),
                None => drop(labels.remove(v::ORGANIZATION)),
            }
            let (last, uid) = &claim.last_organization;
            let annotations = m.annotations.get_or_insert_default();
            let values = [
                (v::LAST_ORGANIZATION, Some(last.to_string())),
                (v::ORGANIZATION_UID, uid.as_ref().map(ToString::to_string)),
                (v::CLAIMED_AT, claim.claimed_at.map(|at| at.to_string())),
                (v::VACATED_AT, claim.vacated_at.map(|at| at.to_string())),
            ];
            for (key, value) in values {
                match value {
                    Some(value) => drop(annotations.insert(key.to_owned(), value)),
                    None => drop(annotations.remove(key)),
                }
            }
        })
    }

    /// Writes a status, as the operator does.
    pub fn write_status(&mut self, slot: &Slot, uid: &Uid, status: &serde_json::Value) -> Vec<Event> {
        let Some(object) = self.objects.get_mut(slot).filter(|o| o.uid() == *uid) else { return Vec::new() };
        self.version += 1;
        object.meta_mut().resource_version = Some(self.version.to_string());
        object.set_status(status);
        vec![Event::Is(Box::new(object.clone()))]
    }

    fn put(&mut self, mut new: Object, replace: bool) -> Vec<Event> {
        let slot = new.slot();
        let second = Timestamp::from_second(self.time().as_second()).unwrap();
        self.version += 1;
        let old = if replace { None } else { self.objects.get(&slot).cloned() };
        if let Some(old) = &old {
            if !keep(old, &mut new) {
                return Vec::new();
            }
            let generation =
                old.meta().generation.unwrap() + i64::from(old.spec() != new.spec() || old.odd() != new.odd());
            let meta = new.meta_mut();
            meta.uid = old.meta().uid.clone();
            meta.creation_timestamp = old.meta().creation_timestamp.clone();
            meta.generation = Some(generation);
        } else {
            self.uids += 1;
            let meta = new.meta_mut();
            // In both forms that records know.
            let uuid = |n: u64| format!("00000000-0000-4000-8000-{n:012x}");
            meta.uid = Some(if self.uids.is_multiple_of(2) { uuid(self.uids) } else { format!("uid-{}", self.uids) });
            meta.creation_timestamp = Some(Time(second));
            meta.generation = Some(1);
        }
        let meta = new.meta_mut();
        meta.resource_version = Some(self.version.to_string());
        meta.managed_fields = Some(vec![ManagedFieldsEntry {
            fields_v1: Some(FieldsV1(serde_json::json!({"f:spec": {}}))),
            time: Some(Time(second)),
            ..Default::default()
        }]);
        self.objects.insert(slot, new.clone());
        vec![Event::Is(Box::new(new))]
    }

    /// The newest version of every object, as a list shows it.
    pub fn list(&self) -> Vec<Event> {
        let mut events = vec![
            Event::Bounds(self.bounds.clone()),
            Event::Settings(self.settings.clone()),
            Event::Policies(self.ownership.clone()),
        ];
        events.extend(self.ceilings.iter().map(|(kind, c)| Event::Ceiling(*kind, Some(c.clone()))));
        events.extend(self.objects.values().map(|o| Event::Is(Box::new(o.clone()))));
        events.extend(SPACES.map(|namespace| Event::Owners(namespace.to_owned(), self.owners_in(namespace))));
        events
    }

    /// The list of Pods with owners.
    pub fn owners_in(&self, namespace: &str) -> Change {
        let owners = self.owners.get(namespace).into_iter().flatten();
        Change::List(owners.map(|(name, owner)| (name.as_str().into(), owner.as_str().into())).collect())
    }

    /// A cache that has seen exactly these objects.
    pub fn cache(&self) -> Cache {
        let mut cache = Cache::default();
        for event in self.list() {
            event.feed(&mut cache);
        }
        cache
    }
}
