//! Takes in events of the watches: our objects go into the cache, native ones into the state of their key.
//!
//! Events can be late: a watch may show an object as it was before our last write, or one that we deleted. UIDs and
//! resource versions (ordered since Kubernetes 1.35) reveal that.

use super::Engine;
use super::key::ReconcileKey;
use crate::api::ApiKind;
use crate::api::vocabulary as v;
use crate::core::Name;
use crate::core::cache::CeilingScope;
use crate::core::object_ref::{ApiRef, NativeRef, ObjectRef};
use crate::core::owned::Change;
use crate::core::rbac::Observed;
use crate::core::records::Meta;
use crate::core::uid::Uid;
use crate::operator::watch_event::{Class, Item, Kind, OwnersSeen, WatchEvent, WatchedRef};
use crate::operator::writer::WriteRequest;

impl Engine {
    /// Takes in an event.
    pub(super) fn watched(&mut self, event: WatchEvent) {
        match event {
            WatchEvent::Restarted(kind, floor) => {
                self.listings.begins(kind, floor);
                if let Class::Native(kind) = kind.class() {
                    self.keys.values_mut().for_each(|state| state.objects.list_begins(kind));
                }
            }
            WatchEvent::Synced(kind) => self.listing_complete(kind),
            WatchEvent::Item(item) => {
                if let Some(id) = item.id() {
                    let known = self.known_by_name(&id).map(|(_, version)| version);
                    self.listings.shows(id, item.version(), known);
                }
                let edited = self.edited_status(&item);
                self.item(*item);
                if let Some(target) = edited {
                    // After a pause, because the editor may do it again.
                    self.requeue_status(&target);
                }
            }
            WatchEvent::Gone(id) => self.gone(&id),
            WatchEvent::Compared(comparison) => self.compare(comparison),
            WatchEvent::Owners(seen) => self.owners(*seen),
        }
    }

    fn owners(&mut self, OwnersSeen { namespace, request, kind, change }: OwnersSeen) {
        if !self.own_watches.is_current(&namespace, request) {
            return;
        }
        if let Change::One(name, _) = &change {
            self.cause = Some(format!("{}/{namespace}/{name}", kind.1));
        }
        let affected = self.cache.set_owned(&namespace, &kind, change);
        self.affected(affected);
        self.cause = None;
    }

    /// The known object of this name: its UID and version.
    pub(super) fn known_by_name(&self, id: &WatchedRef) -> Option<(Uid, u64)> {
        match id.kind.class() {
            Class::Api(kind) => {
                let meta = self.cache.meta_of_name(&id.clone().with_kind(kind))?;
                Some((meta.uid.clone(), meta.version))
            }
            Class::Native(kind) => {
                let object = id.by_name().with_kind(kind);
                let known = self.keys.get(&ReconcileKey::of(&object))?.objects.get(&object)?;
                Some((known.uid.clone(), known.version))
            }
            Class::Namespace => {
                let known = self.cache.namespaces.get(&id.name)?;
                Some((known.uid.clone(), known.version))
            }
            Class::Configuration if id.kind == Kind::Suspended => {
                Some((self.suspended.uid()?, self.suspended.version()?))
            }
            Class::Ceiling(_) | Class::Configuration => None,
        }
    }

    /// The object, if its status changed without a write of ours in flight: somebody edited it, or the answer to our
    /// write was lost. Drafts since then were compared with the earlier status.
    fn edited_status(&self, item: &Item) -> Option<ApiRef> {
        let (kind, new) = item.meta()?;
        let target = new.source(kind);
        let edited = is_edited(self.cache.meta(&target)?, new);
        (edited && self.may_act() && !self.statuses.is_writing(&target)).then_some(target)
    }

    /// Whether somebody has edited a status since we wrote it.
    pub(super) fn edited_since(&self, written: &Item) -> bool {
        let Some((kind, written)) = written.meta() else { return false };
        self.cache.meta(&written.source(kind)).is_some_and(|known| is_edited(written, known))
    }

    /// An object, from a watch or from the answer to one of our writes.
    pub(super) fn item(&mut self, item: Item) {
        if self.may_act() {
            self.log_change(&item);
            self.cause = match &item {
                Item::Bounds(_) => Some(format!("ConfigMap/{}", v::BOUNDS_CONFIG_MAP)),
                Item::Settings(_) => Some(format!("ConfigMap/{}", v::SETTINGS_CONFIG_MAP)),
                item => item.meta().map(|(kind, meta)| meta.source(kind).path()),
            };
        }
        self.take_in(item);
        self.cause = None;
    }

    fn take_in(&mut self, item: Item) {
        let cache = &mut self.cache;
        let affected = match item {
            Item::Organization(o) => cache.organization(&o.meta.name.clone(), Some(o), None),
            Item::User(u) => {
                let handle = u.meta.name.clone();
                let affected = cache.user(&handle, Some(u), None);
                self.suspended.note_user(&handle, cache.users.get(&handle));
                affected
            }
            Item::Group(g) => cache.group(&g.meta.namespace.clone(), &g.meta.name.clone(), Some(g), None),
            Item::RoleBinding(b) => cache.binding(&b.meta.namespace.clone(), &b.meta.name.clone(), Some(b), None),
            Item::CustomRole(r) => cache.custom_role(&r.meta.namespace.clone(), &r.meta.name.clone(), Some(r), None),
            Item::SiteRole(r) => cache.site_role(&r.meta.name.clone(), Some(r), None),
            Item::SiteRoleBinding(b) => cache.site_binding(&b.meta.name.clone(), Some(b), None),
            Item::Namespace(n) => cache.namespace(&n.name.clone(), Some(n), None),
            Item::Native(key, observed) => return self.observe(key, observed),
            Item::Suspended(list) => return self.suspended.take_in(list),
            Item::Kept(map, kept) => return self.see_record(map, kept),
            Item::Policies(report) => {
                let affected = cache.set_policies(report);
                self.synced_with(Kind::Policies);
                affected
            }
            Item::Configuration { map, uid, fault } => {
                let affected = cache.set_unread(map, fault.clone());
                match fault {
                    Some(why) => {
                        self.unread.insert(map, (uid, why));
                        self.report_unread(map);
                    }
                    None => drop(self.unread.remove(map)),
                }
                affected
            }
            Item::Ceiling(scope, ceiling, uid) => {
                let affected = cache.set_ceiling(scope, Some(ceiling));
                // None of our roles allows reading a ClusterRole. While it is missing, the last one stays in effect.
                if scope == CeilingScope::Cluster {
                    let seeded = cache.set_seed(&uid);
                    self.affected(seeded);
                }
                affected
            }
            Item::Bounds(bounds) => {
                if self.listings.has_shown(Kind::Bounds) {
                    let (old, new) = (&cache.bounds.namespace_whitelist, &bounds.namespace_whitelist);
                    self.new_namespaces.joined(old, new, self.now.clock);
                }
                let affected = cache.set_bounds(bounds);
                self.synced_with(Kind::Bounds);
                affected
            }
            Item::Settings(settings) => {
                let affected = cache.set_settings(settings);
                self.synced_with(Kind::Settings);
                affected
            }
        };
        self.affected(affected);
    }

    /// Sends an Event about an unreadable ConfigMap, which is where its author looks first.
    pub(super) fn report_unread(&self, map: &'static str) {
        if let Some((uid, why)) = self.unread.get(map).filter(|(uid, _)| self.leading && *uid != Uid::default()) {
            let _ = self.writer.send(WriteRequest::Unread { map, uid: uid.clone(), why: why.clone() });
        }
    }

    fn gone(&mut self, id: &WatchedRef) {
        self.rights_may_be_back(id);
        let affected = match id.kind.class() {
            Class::Api(kind) => return self.api_object_gone(&id.clone().with_kind(kind)),
            Class::Native(kind) => return self.vanished(&id.by_name().with_kind(kind), &id.uid),
            Class::Namespace => self.cache.namespace(&id.name, None, Some(&id.uid)),
            Class::Ceiling(scope) => self.cache.set_ceiling(scope, None),
            Class::Configuration => {
                self.suspended.take_out(&id.uid);
                // For the others, the last readable version stays in effect.
                return self.record.take_out(&id.uid);
            }
        };
        self.affected(affected);
    }

    fn api_object_gone(&mut self, object: &ApiRef) {
        if self.may_act() {
            self.cause = Some(object.path());
        }
        self.forget_status(object);
        let affected = self.cache.delete(&object.by_name(), &object.uid);
        if object.kind == ApiKind::User {
            self.timers.set(ReconcileKey::User(object.name.clone()), None);
            self.suspended.note_user(&object.name, self.cache.users.get(&object.name));
        }
        self.affected(affected);
        self.cause = None;
    }

    /// The chart's own RBAC is not ours, so it arrives as a deletion. The operator may have regained rights that it
    /// lacked.
    fn rights_may_be_back(&mut self, id: &WatchedRef) {
        let is_of_chart = [v::OPERATOR_ROLE, v::PROJECTOR_ROLE, v::CEILING, v::CEILING_HOME].contains(&&*id.name);
        let namespaces: Vec<Name> = match id.kind {
            Kind::NativeRoleBinding if is_of_chart => vec![id.namespace.clone()],
            Kind::NativeClusterRole | Kind::NativeClusterRoleBinding if is_of_chart => {
                self.write_failures.unauthorized.iter().cloned().collect()
            }
            _ => return,
        };
        for name in namespaces {
            let waits = self.write_failures.unauthorized.contains(&name) || self.is_new(&name);
            let key = ReconcileKey::Namespace(name);
            if let Some(state) = self.keys.get_mut(&key).filter(|_| waits) {
                state.work.end_pause();
                if state.failures.try_at_once(self.now.clock) {
                    state.work.revokes();
                }
                self.revision += 1;
                self.enqueue(key, false);
            }
        }
    }

    /// Whether a namespace has just joined the whitelist.
    pub(super) fn is_new(&self, name: &Name) -> bool {
        self.new_namespaces.contains(name, self.now.clock)
    }

    fn observe(&mut self, object: NativeRef, observed: Observed) {
        let key = ReconcileKey::of(&object);
        let state = self.keys.entry(key.clone()).or_default();
        // An object that is being written is checked when the write is answered.
        let is_ours = state.in_flight.contains(&object);
        let Some((changed, is_news)) = state.objects.watched(object, observed) else { return };
        state.changes.note(changed.0.as_ref(), changed.1.as_ref());
        if is_news && !is_ours {
            self.drifted(key);
        }
    }

    fn vanished(&mut self, object: &NativeRef, uid: &Uid) {
        let key = ReconcileKey::of(object);
        let Some(state) = self.keys.get_mut(&key) else { return };
        let writing = state.is_writing();
        let Some(changed) = state.objects.vanished(object, uid, writing) else { return };
        state.changes.note(changed.0.as_ref(), None);
        if !state.in_flight.contains(object) {
            self.drifted(key);
        }
    }

    /// Somebody else's change may grant access.
    fn drifted(&mut self, key: ReconcileKey) {
        self.revision += 1;
        if self.may_act() {
            self.enqueue(key, true);
        }
    }

    /// A list is complete: objects that it lacks are gone, unless we wrote them after it began.
    fn listing_complete(&mut self, kind: Kind) {
        if let Some(seen) = self.listings.ends(kind) {
            let missing: Vec<WatchedRef> = self.known(kind).into_iter().filter(|id| !seen.contains(id)).collect();
            for id in missing {
                self.gone(&id);
            }
        }
        // Without any readable configuration, the whitelist would be empty and everything would be revoked.
        if !matches!(kind, Kind::Bounds | Kind::Settings) {
            self.synced_with(kind);
        }
    }

    fn synced_with(&mut self, kind: Kind) {
        if self.listings.is_complete(kind) {
            self.all_seen();
        }
    }

    /// The known objects of a kind.
    pub(super) fn known(&self, kind: Kind) -> Vec<WatchedRef> {
        let cluster = |name: Name, uid: Uid| ObjectRef::new(kind, Name::default(), name).with_uid(uid);
        match kind.class() {
            Class::Api(api) => self.cache.metas(api).map(|meta| meta.source(api).with_kind(kind)).collect(),
            Class::Native(native) => {
                let all = self.keys.values().flat_map(|state| state.objects.confirmed());
                let of_kind = all.filter(|(object, _)| object.kind == native);
                of_kind.map(|(object, known)| object.clone().with_kind(kind).with_uid(known.uid.clone())).collect()
            }
            Class::Namespace => {
                self.cache.namespaces.values().map(|known| cluster(known.name.clone(), known.uid.clone())).collect()
            }
            Class::Ceiling(_) => vec![cluster(Name::default(), Uid::default())],
            Class::Configuration => {
                let uid = match kind {
                    Kind::Suspended => self.suspended.uid(),
                    Kind::Kept => self.record.uid(),
                    // For these, the last readable version stays in effect.
                    _ => None,
                };
                uid.map(|uid| cluster(Name::default(), uid)).into_iter().collect()
            }
        }
    }
}

/// Whether the newer of the two has another status.
fn is_edited(old: &Meta, new: &Meta) -> bool {
    old.version < new.version && old.status.digest != new.status.digest
}
