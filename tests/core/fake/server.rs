//! The whole API server: its contents, watches, clock, and snapshots of its etcd. For its answers to the operator see
//! `requests`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bailiwick::core::object_ref::{NativeRef, ObjectRef};
use bailiwick::core::owned::Change;
use bailiwick::core::plan::Write;
use bailiwick::core::uid::Uid;
use bailiwick::operator::engine::{Now, OwnWatch};
use bailiwick::operator::watch_event::{Item, OwnConfigMap, OwnersSeen, WatchEvent};
use bailiwick::operator::writer::Outcome;

use super::answers::Claims;
use super::event::pods;
use super::{Event, Kind, Op, RELEASE, Rbac, Store, Watches, base};

pub struct ApiServer {
    pub store: Store,
    pub rbac: Rbac,
    /// The ConfigMap with the list of suspended users.
    pub suspended: OwnConfigMap,
    /// The UID of the cluster's ceiling, which decides how shards are split.
    pub seed: Uid,
    pub watches: Watches,
    /// Where the engine watches owners, by namespace.
    own_watches: BTreeMap<String, OwnWatch>,
    /// The fate of claims in admission, and how many there were.
    pub claims: Claims,
    pub claims_tried: usize,
    /// Which writes of native objects fail, and how.
    pub fault: fn(&Write) -> Option<Outcome>,
    /// How many statuses of Users were written.
    pub user_statuses: usize,
    /// The highest versions so far: of the store, of native objects, of the list.
    highest: [u64; 3],
    began: Instant,
}

/// Everything in an etcd snapshot.
pub struct Snapshot(Store, Rbac, OwnConfigMap);

impl ApiServer {
    /// Contains only the setup of [`Store::new`].
    pub fn new() -> Self {
        let mut server = Self {
            store: Store::new().0,
            rbac: Rbac::default(),
            suspended: OwnConfigMap { uid: "list".into(), version: 1, digest: 0 },
            seed: Uid::default(),
            own_watches: BTreeMap::new(),
            watches: Watches::default(),
            claims: Claims::Records,
            claims_tried: 0,
            fault: |_| None,
            user_statuses: 0,
            highest: [0; 3],
            began: Instant::now(),
        };
        server.relist_all();
        server
    }

    pub fn began(&self) -> Now {
        Now { time: base(), clock: self.began }
    }

    pub fn now(&self) -> Now {
        let elapsed = self.store.time().duration_since(base());
        Now { time: self.store.time(), clock: self.began + Duration::try_from(elapsed).unwrap() }
    }

    /// Performs an action of somebody, half a second after the previous one.
    pub fn act(&mut self, op: &Op) {
        self.store.now += 1;
        let gone = match op {
            Op::Delete((Kind::Namespace, _, name)) => Some(name.clone()),
            Op::Replace(object) if object.kind() == Kind::Namespace => Some(object.slot().2),
            _ => None,
        };
        if gone.as_deref() == Some(RELEASE) || matches!(op, Op::Terminate(RELEASE)) {
            // The operator's namespace would terminate, too.
            return;
        }
        if let Some(name) = gone {
            self.native_keys(&name).iter().for_each(|key| self.delete_native(key));
        }
        let events = self.store.act(op);
        self.show(events);
    }

    /// Queues events for the watches.
    pub fn show(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Owners(namespace, change) => self.show_owners(&namespace, change),
                event => event.shown().into_iter().for_each(|shown| self.watches.show(shown)),
            }
        }
    }

    fn show_owners(&mut self, namespace: &str, change: Change) {
        if let Some(watch) = self.own_watches.get(namespace).filter(|watch| watch.kinds.contains(&pods())) {
            let (namespace, request) = (watch.namespace.clone(), watch.request);
            self.watches.show_owners(OwnersSeen { namespace, request, kind: pods(), change });
        }
    }

    /// The engine asks for owners. The kinds other than Pods have no objects here.
    pub fn watch_owners(&mut self, watch: OwnWatch) {
        for kind in watch.kinds.iter().filter(|kind| **kind != pods()) {
            let (namespace, request, kind) = (watch.namespace.clone(), watch.request, kind.clone());
            self.watches.show_owners(OwnersSeen { namespace, request, kind, change: Change::List(Vec::new()) });
        }
        let namespace = watch.namespace.to_string();
        self.own_watches.insert(namespace.clone(), watch);
        self.show_owners(&namespace, self.store.owners_in(&namespace));
    }

    /// The keys of the native objects of a namespace.
    pub fn native_keys(&self, namespace: &str) -> Vec<NativeRef> {
        self.rbac.present.keys().filter(|key| *key.namespace == *namespace).cloned().collect()
    }

    pub fn show_native(&mut self, key: &NativeRef) {
        let observed = (*self.rbac.present[key]).clone();
        self.watches.show_item(key.kind.into(), Item::Native(key.clone(), observed));
    }

    pub fn delete_native(&mut self, key: &NativeRef) {
        if let Some(observed) = self.rbac.present.remove(key) {
            self.show_deleted(key, observed.uid);
        }
    }

    pub(super) fn show_deleted(&mut self, key: &NativeRef, uid: Uid) {
        let kind = Kind::from(key.kind);
        let id = ObjectRef::new(kind, key.namespace.clone(), key.name.clone()).with_uid(uid);
        self.watches.show((kind, WatchEvent::Gone(id)));
    }

    /// The version that a list of this kind has to show at least if it is requested now.
    fn floor(&mut self, kind: Kind) -> u64 {
        let now = [self.store.version(), self.rbac.version, self.suspended.version];
        self.highest = std::array::from_fn(|n| self.highest[n].max(now[n]));
        match kind {
            Kind::NativeRole | Kind::NativeRoleBinding | Kind::NativeClusterRole | Kind::NativeClusterRoleBinding => {
                self.highest[1]
            }
            Kind::Suspended => self.highest[2],
            _ => self.highest[0],
        }
    }

    /// A watch restarts with a list of the current objects.
    pub fn relist(&mut self, kind: Kind) {
        let shown = self.store.list().into_iter().filter_map(|event| event.shown());
        let mut list: Vec<WatchEvent> = shown.filter(|(of, _)| *of == kind).map(|(_, event)| event).collect();
        let natives = self.rbac.present.iter().filter(|(key, _)| Kind::from(key.kind) == kind);
        let mut items: Vec<Item> =
            natives.map(|(key, observed)| Item::Native(key.clone(), (**observed).clone())).collect();
        if kind == Kind::Suspended {
            items.push(Item::Suspended(self.suspended.clone()));
        }
        list.extend(items.into_iter().map(|item| WatchEvent::Item(Box::new(item))));
        let floor = self.floor(kind);
        self.watches.relist(kind, floor, list);
    }

    /// For an operator that has not seen anything.
    pub fn all_watches_begin_again(&mut self) {
        self.watches.lose_all();
        self.own_watches.clear();
        self.relist_all();
    }

    pub fn relist_all(&mut self) {
        Kind::ALL.into_iter().for_each(|kind| self.relist(kind));
        std::mem::take(&mut self.own_watches).into_values().for_each(|watch| self.watch_owners(watch));
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.store.clone(), self.rbac.clone(), self.suspended.clone())
    }

    /// Restores etcd: every connection ends, and nothing is listed yet. Time continues.
    pub fn restore(&mut self, snapshot: Snapshot) {
        for kind in Kind::ALL {
            self.floor(kind);
        }
        self.watches.lose_all();
        let now = self.store.now;
        Snapshot(self.store, self.rbac, self.suspended) = snapshot;
        self.store.now = now;
    }
}
