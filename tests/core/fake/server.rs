//! The whole API server: its contents, watches, clock, and snapshots of its etcd. For its answers to the operator see
//! `requests`.

use std::time::{Duration, Instant};

use bailiwick::core::object_ref::{NativeRef, ObjectRef};
use bailiwick::core::plan::Write;
use bailiwick::core::uid::Uid;
use bailiwick::operator::engine::Now;
use bailiwick::operator::watch_event::{Item, OwnConfigMap, WatchEvent};
use bailiwick::operator::writer::Outcome;

use super::answers::Claims;
use super::{Event, Kind, Op, RELEASE, Rbac, Store, Watches, base};

pub struct ApiServer {
    pub store: Store,
    pub rbac: Rbac,
    /// The ConfigMap with the list of suspended users.
    pub suspended: OwnConfigMap,
    /// The UID of the cluster's ceiling, which decides how shards are split.
    pub seed: Uid,
    pub watches: Watches,
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
        events.iter().for_each(|event| self.watches.show(event.shown()));
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
        let shown = self.store.list().into_iter().map(|event| event.shown());
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

    pub fn relist_all(&mut self) {
        Kind::ALL.into_iter().for_each(|kind| self.relist(kind));
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
