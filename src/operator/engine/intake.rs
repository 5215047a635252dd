//! Taking in: what the watches saw goes into the world, or into what is observed of a unit.
//!
//! Events can be late: the watch may show an object as it was before our own last write, or one that we have deleted.
//! Versions tell (Kubernetes has them ordered since 1.35), and UIDs.

use std::collections::HashSet;
use std::time::Duration;

use super::statuses::{meta, meta_of_name};
use super::{Engine, Unit};
use crate::api::vocabulary as v;
use crate::core::Name;
use crate::core::cache::Affected;
use crate::core::rbac::{Key, NativeKind, Observed, Source};
use crate::core::records::Meta;
use crate::core::uid::Uid;
use crate::operator::watch::{Id, Item, Kind, WatchEvent};
use crate::operator::writer::WriteRequest;

/// How long a namespace is fresh: Helm needs some seconds for the rights in many.
const FRESH: Duration = Duration::from_secs(15);

/// A list that is being read.
#[derive(Debug)]
pub(super) struct Listing {
    /// It shows everything up to this version at least.
    floor: u64,
    seen: HashSet<Id>,
}

impl Engine {
    pub(super) fn seen(&mut self, seen: WatchEvent) {
        match seen {
            WatchEvent::Restarted(kind, floor) => {
                self.listed.insert(kind, Listing { floor, seen: HashSet::new() });
                if let Some(kind) = of_native(kind) {
                    self.units.values_mut().for_each(|state| state.list_begins(kind));
                }
            }
            WatchEvent::Synced(kind) => self.listing_complete(kind),
            WatchEvent::Item(item) => {
                if let Some(id) = id(&item) {
                    self.note_listed(id, &item);
                }
                let edited = self.edited_status(&item);
                self.item(*item);
                if let Some(target) = edited {
                    // Not at once: whoever does that may do it again.
                    self.requeue_status(&target);
                }
            }
            WatchEvent::Gone(id) => self.gone(&id),
        }
    }

    /// An object of a list, perhaps. One that is older than what was known before the list was asked for proves that the
    /// cluster has gone back. What is newer than that may have been known first: from the answer to a write, say.
    fn note_listed(&mut self, id: Id, item: &Item) {
        let Some(floor) = self.listed.get(&id.kind).map(|list| list.floor) else { return };
        if let (Some(new), Some(known)) = (version_of(item), self.known_version(item))
            && known <= floor
            && (1..known).contains(&new)
        {
            let path = [&*format!("{:?}", id.kind), &*id.namespace, &*id.name].join(" ");
            let words = path.split_whitespace().collect::<Vec<_>>().join(" ");
            self.gone_back.get_or_insert(format!("{words} is listed at resource version {new} after {known} was seen"));
        }
        if let Some(list) = self.listed.get_mut(&id.kind) {
            list.seen.insert(id);
        }
    }

    /// The newest version of the object of this name that is known.
    fn known_version(&self, item: &Item) -> Option<u64> {
        match item {
            Item::Namespace(n) => self.cache.namespaces.get(&n.name).map(|known| known.version),
            Item::Native(key, _) => self.units.get(&self.unit_of(key))?.version(key),
            Item::Suspended(_) => self.suspensions.version(),
            _ => {
                let (kind, new) = object_of(item)?;
                meta_of_name(&self.cache, &new.source(kind)).map(|known| known.version)
            }
        }
    }

    /// Whose status is another one than before, though no write of ours is under way: somebody has edited it, or our write was
    /// carried out and its answer was lost. What is said since then was compared with the status before it.
    fn edited_status(&self, item: &Item) -> Option<Source> {
        let (kind, new) = object_of(item)?;
        let target = new.source(kind);
        let edited = is_edited(meta(&self.cache, &target)?, new);
        (edited && self.may_act() && !self.statuses.is_writing(&target)).then_some(target)
    }

    /// Whether somebody has edited a status since we wrote it so.
    pub(super) fn edited_since(&self, written: &Item) -> bool {
        let Some((kind, written)) = object_of(written) else { return false };
        meta(&self.cache, &written.source(kind)).is_some_and(|known| is_edited(written, known))
    }

    /// An object, from a watch or from the answer to one of our writes.
    pub(super) fn item(&mut self, item: Item) {
        if self.may_act() {
            self.log_change(&item);
            self.cause = match &item {
                Item::Bounds(_) => Some(format!("ConfigMap/{}", v::BOUNDS_CONFIG_MAP)),
                Item::Settings(_) => Some(format!("ConfigMap/{}", v::SETTINGS_CONFIG_MAP)),
                item => object_of(item).map(|(kind, meta)| meta.source(kind).path()),
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
                self.suspensions.note_user(&handle, cache.users.get(&handle));
                affected
            }
            Item::Group(g) => cache.group(&g.meta.namespace.clone(), &g.meta.name.clone(), Some(g), None),
            Item::RoleBinding(b) => cache.binding(&b.meta.namespace.clone(), &b.meta.name.clone(), Some(b), None),
            Item::CustomRole(r) => cache.custom_role(&r.meta.namespace.clone(), &r.meta.name.clone(), Some(r), None),
            Item::SiteRole(r) => cache.site_role(&r.meta.name.clone(), Some(r), None),
            Item::SiteRoleBinding(b) => cache.site_binding(&b.meta.name.clone(), Some(b), None),
            Item::Namespace(n) => cache.namespace(&n.name.clone(), Some(n), None),
            Item::Native(key, observed) => return self.observe(key, observed),
            Item::Suspended(list) => return self.suspensions.take_in(list),
            Item::Kept(map, kept) => return self.see_kept(map, kept),
            Item::PolicyFaults(faults) => {
                let affected = cache.set_policy_faults(faults);
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
            Item::Ceiling(kind, ceiling, uid) => {
                // No role of ours lets anybody read a ClusterRole. While it is gone, the last one stays in effect.
                if kind == Kind::CeilingCluster {
                    let affected = cache.set_seed(&uid);
                    self.affected(affected);
                }
                self.ceiling(kind, Some(ceiling))
            }
            Item::Bounds(bounds) => {
                let (old, new) = (&cache.bounds.namespace_whitelist, &bounds.namespace_whitelist);
                if self.synced.contains(&Kind::Bounds) {
                    let now = self.now.clock;
                    self.fresh.retain(|_, since| now.saturating_duration_since(*since) < FRESH);
                    self.fresh.extend(new.difference(old).map(|name| (Name::from(name.as_str()), now)));
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

    /// Reports a ConfigMap that cannot be read, where who has written it looks first.
    pub(super) fn report_unread(&self, map: &'static str) {
        if let Some((uid, why)) = self.unread.get(map).filter(|(uid, _)| self.leading && *uid != Uid::default()) {
            let _ = self.jobs.send(WriteRequest::Unread { map, uid: uid.clone(), why: why.clone() });
        }
    }

    fn ceiling(&mut self, kind: Kind, ceiling: Option<crate::core::rules::Ceiling>) -> Affected {
        match kind {
            Kind::CeilingHome => self.cache.set_ceiling(|c| &mut c.home, ceiling),
            Kind::CeilingCluster => self.cache.set_ceiling(|c| &mut c.cluster, ceiling),
            Kind::CeilingRelease => self.cache.set_ceiling(|c| &mut c.release, ceiling),
            _ => self.cache.set_ceiling(|c| &mut c.organization, ceiling),
        }
    }

    fn gone(&mut self, id: &Id) {
        self.rights_may_be_back(id);
        if self.may_act()
            && let Some(kind) = kind_of_ours(id.kind)
        {
            let target = Source { kind, namespace: id.namespace.clone(), name: id.name.clone(), uid: id.uid.clone() };
            self.cause = Some(target.path());
        }
        self.take_out(id);
        self.cause = None;
    }

    /// The chart's own RBAC is not ours to keep, so it arrives as something that is gone. Where the operator has no rights, it
    /// may have them again.
    fn rights_may_be_back(&mut self, id: &Id) {
        let is_of_chart = [v::OPERATOR_ROLE, v::PROJECTOR_ROLE, v::CEILING, v::CEILING_HOME].contains(&&*id.name);
        let namespaces: Vec<Name> = match id.kind {
            Kind::NativeRoleBinding if is_of_chart => vec![id.namespace.clone()],
            Kind::NativeClusterRole | Kind::NativeClusterRoleBinding if is_of_chart => {
                self.cache.unauthorized.iter().cloned().collect()
            }
            _ => return,
        };
        for name in namespaces {
            let is_told = self.cache.unauthorized.contains(&name);
            let unit = Unit::Namespace(name);
            let waits = is_told || self.is_fresh(&unit);
            if let Some(state) = self.units.get_mut(&unit).filter(|_| waits) {
                state.try_at_once(self.now.clock);
                self.revision += 1;
                self.mark(unit, false);
            }
        }
    }

    /// Whether a namespace has just joined the whitelist: Helm applies that before the operator's rights there, so what is refused
    /// is no news.
    pub(super) fn is_fresh(&self, unit: &Unit) -> bool {
        let Unit::Namespace(name) = unit else { return false };
        self.fresh.get(name).is_some_and(|since| self.now.clock.saturating_duration_since(*since) < FRESH)
    }

    fn take_out(&mut self, id: &Id) {
        self.forget_status(id);
        let (cache, ns, name, uid) = (&mut self.cache, &id.namespace, &id.name, Some(&id.uid));
        let affected = match id.kind {
            Kind::Organization => cache.organization(name, None, uid),
            Kind::User => {
                self.set_timer(super::Timer::User(name.clone()), None);
                let affected = self.cache.user(name, None, uid);
                self.suspensions.note_user(name, self.cache.users.get(name));
                affected
            }
            Kind::Group => cache.group(ns, name, None, uid),
            Kind::RoleBinding => cache.binding(ns, name, None, uid),
            Kind::CustomRole => cache.custom_role(ns, name, None, uid),
            Kind::SiteRole => cache.site_role(name, None, uid),
            Kind::SiteRoleBinding => cache.site_binding(name, None, uid),
            Kind::Namespace => cache.namespace(name, None, uid),
            Kind::Ceiling | Kind::CeilingHome | Kind::CeilingCluster | Kind::CeilingRelease => {
                self.ceiling(id.kind, None)
            }
            // What was understood last stays in force.
            Kind::Bounds | Kind::Settings | Kind::Policies => return,
            Kind::Suspended => return self.suspensions.take_out(&id.uid),
            Kind::Kept => return self.keeping.take_out(&id.uid),
            Kind::NativeRole | Kind::NativeRoleBinding | Kind::NativeClusterRole | Kind::NativeClusterRoleBinding => {
                return self.vanished(id);
            }
        };
        self.affected(affected);
    }

    /// Which unit a native object belongs to.
    pub(super) fn unit_of(&self, key: &Key) -> Unit {
        Unit::of(key)
    }

    fn observe(&mut self, key: Key, observed: Observed) {
        let unit = self.unit_of(&key);
        let state = self.units.entry(unit.clone()).or_default();
        // What is being written is looked at when that is answered.
        let is_ours = state.writes(&key);
        if state.take_in(key, observed) && !is_ours {
            self.drifted(unit);
        }
    }

    fn vanished(&mut self, id: &Id) {
        let Some(kind) = of_native(id.kind) else { return };
        let key = Key { kind, namespace: id.namespace.clone(), name: id.name.clone() };
        let unit = self.unit_of(&key);
        if let Some(state) = self.units.get_mut(&unit)
            && state.take_out(&key, &id.uid)
            && !state.writes(&key)
        {
            self.drifted(unit);
        }
    }

    /// What others changed may give access to somebody.
    fn drifted(&mut self, unit: Unit) {
        self.revision += 1;
        if self.may_act() {
            self.mark(unit, true);
        }
    }

    /// A list is complete: what it did not show is gone, unless we wrote it after the list began.
    fn listing_complete(&mut self, kind: Kind) {
        if let Some(listed) = self.listed.remove(&kind) {
            let missing: Vec<Id> = self.known(kind).into_iter().filter(|id| !listed.seen.contains(id)).collect();
            for id in missing {
                self.gone(&id);
            }
        }
        // Without configuration that was understood once, nothing would be whitelisted, and everything be taken away.
        if !matches!(kind, Kind::Bounds | Kind::Settings) {
            self.synced_with(kind);
        }
    }

    fn synced_with(&mut self, kind: Kind) {
        if self.synced.insert(kind) && self.synced.len() == Kind::ALL.len() {
            self.all_synced();
        }
    }

    fn known(&self, kind: Kind) -> Vec<Id> {
        let cache = &self.cache;
        let of = |meta: &Meta| Id {
            kind,
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
        };
        match kind {
            Kind::Organization => cache.organizations.metas().map(of).collect(),
            Kind::User => cache.users.metas().map(of).collect(),
            Kind::Group => cache.local.values().flat_map(|l| l.groups.metas()).map(of).collect(),
            Kind::RoleBinding => cache.local.values().flat_map(|l| l.bindings.metas()).map(of).collect(),
            Kind::CustomRole => cache.local.values().flat_map(|l| l.roles.metas()).map(of).collect(),
            Kind::SiteRole => cache.site_roles.metas().map(of).collect(),
            Kind::SiteRoleBinding => cache.site_bindings.metas().map(of).collect(),
            Kind::Namespace => {
                let id = |n: &crate::core::records::Namespace| Id {
                    kind,
                    namespace: Name::default(),
                    name: n.name.clone(),
                    uid: n.uid.clone(),
                };
                cache.namespaces.values().map(id).collect()
            }
            Kind::Ceiling | Kind::CeilingHome | Kind::CeilingCluster | Kind::CeilingRelease => {
                vec![Id { kind, namespace: Name::default(), name: Name::default(), uid: Uid::default() }]
            }
            Kind::Bounds | Kind::Settings | Kind::Policies => Vec::new(),
            Kind::Suspended => {
                let id = |uid| Id { kind, namespace: Name::default(), name: Name::default(), uid };
                self.suspensions.uid().map(id).into_iter().collect()
            }
            Kind::Kept => {
                let id = |uid| Id { kind, namespace: Name::default(), name: Name::default(), uid };
                self.keeping.uid().map(id).into_iter().collect()
            }
            Kind::NativeRole | Kind::NativeRoleBinding | Kind::NativeClusterRole | Kind::NativeClusterRoleBinding => {
                self.known_native(kind)
            }
        }
    }

    fn known_native(&self, kind: Kind) -> Vec<Id> {
        let present = self.units.values().flat_map(|u| u.settled());
        let id = |(key, observed): (&Key, &Observed)| Id {
            kind,
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: observed.uid.clone(),
        };
        present.filter(|(key, _)| Kind::from(key.kind) == kind).map(id).collect()
    }
}

fn of_native(kind: Kind) -> Option<NativeKind> {
    Some(match kind {
        Kind::NativeRole => NativeKind::Role,
        Kind::NativeRoleBinding => NativeKind::RoleBinding,
        Kind::NativeClusterRole => NativeKind::ClusterRole,
        Kind::NativeClusterRoleBinding => NativeKind::ClusterRoleBinding,
        _ => return None,
    })
}

fn id(item: &Item) -> Option<Id> {
    let of = |kind, meta: &Meta| Id {
        kind,
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
    };
    Some(match item {
        Item::Organization(o) => of(Kind::Organization, &o.meta),
        Item::User(u) => of(Kind::User, &u.meta),
        Item::Group(g) => of(Kind::Group, &g.meta),
        Item::RoleBinding(b) => of(Kind::RoleBinding, &b.meta),
        Item::CustomRole(r) => of(Kind::CustomRole, &r.meta),
        Item::SiteRole(r) => of(Kind::SiteRole, &r.meta),
        Item::SiteRoleBinding(b) => of(Kind::SiteRoleBinding, &b.meta),
        Item::Namespace(n) => {
            Id { kind: Kind::Namespace, namespace: Name::default(), name: n.name.clone(), uid: n.uid.clone() }
        }
        Item::Native(key, observed) => Id {
            kind: Kind::from(key.kind),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: observed.uid.clone(),
        },
        Item::Ceiling(kind, ..) => {
            Id { kind: *kind, namespace: Name::default(), name: Name::default(), uid: Uid::default() }
        }
        Item::Suspended(list) => {
            Id { kind: Kind::Suspended, namespace: Name::default(), name: Name::default(), uid: list.uid.clone() }
        }
        Item::Kept(map, _) => {
            Id { kind: Kind::Kept, namespace: Name::default(), name: Name::default(), uid: map.uid.clone() }
        }
        Item::Bounds(_) | Item::Settings(_) | Item::Configuration { .. } | Item::PolicyFaults(_) => return None,
    })
}

/// What an object is, and at which resource version; `None` for what is taken in whatever its version.
pub(in crate::operator) fn kind_and_version(item: &Item) -> Option<(Kind, u64)> {
    Some((id(item)?.kind, version_of(item)?))
}

fn version_of(item: &Item) -> Option<u64> {
    match item {
        Item::Namespace(n) => Some(n.version),
        Item::Native(_, observed) => Some(observed.version),
        Item::Suspended(list) => Some(list.version),
        _ => object_of(item).map(|(_, meta)| meta.version),
    }
}

/// Of our kinds, its name in the API.
pub(super) fn kind_of_ours(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Organization => "Organization",
        Kind::User => "User",
        Kind::Group => "Group",
        Kind::RoleBinding => "RoleBinding",
        Kind::CustomRole => "CustomRole",
        Kind::SiteRole => "SiteRole",
        Kind::SiteRoleBinding => "SiteRoleBinding",
        _ => return None,
    })
}

/// Of our kinds, which one it is, and of what.
fn object_of(item: &Item) -> Option<(&'static str, &Meta)> {
    Some(match item {
        Item::Organization(o) => ("Organization", &o.meta),
        Item::User(u) => ("User", &u.meta),
        Item::Group(g) => ("Group", &g.meta),
        Item::RoleBinding(b) => ("RoleBinding", &b.meta),
        Item::CustomRole(r) => ("CustomRole", &r.meta),
        Item::SiteRole(r) => ("SiteRole", &r.meta),
        Item::SiteRoleBinding(b) => ("SiteRoleBinding", &b.meta),
        _ => return None,
    })
}

/// Whether the newer one of these two says something else in its status.
fn is_edited(old: &Meta, new: &Meta) -> bool {
    old.version < new.version && old.status.digest != new.status.digest
}
