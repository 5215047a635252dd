//! Takes in records: each call updates the indexes and returns what the change may affect.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;

use super::store::Swapped;
use super::{Affected, Cache, CeilingScope, Local, Rank, Standing, folded, rank};
use crate::api::vocabulary::MEMBER_ROLE;
use crate::core::catalog::{Bounds, Settings};
use crate::core::compact_time::CompactTime;
use crate::core::names::Seed;
use crate::core::own_objects::Ownership;
use crate::core::policies::Report;
use crate::core::rbac::Subject;
use crate::core::records::{Binding, Group, Meta, Namespace, Organization, Role, SubjectRef, User};
use crate::core::rules::Ceiling;
use crate::core::shards::Shards;
use crate::core::uid::Uid;
use crate::core::{Name, claims, intern, own_objects, owned, roles, subjects};

/// Moves `value` from one key of an index to another.
fn reindex(index: &mut HashMap<Name, BTreeSet<Name>>, value: &Name, before: Option<&Name>, after: Option<&Name>) {
    if let Some(before) = before
        && let Some(values) = index.get_mut(before)
    {
        values.remove(value);
        if values.is_empty() {
            index.remove(before);
        }
    }
    if let Some(after) = after {
        index.entry(after.clone()).or_default().insert(value.clone());
    }
}

/// Whether only status or metadata changed.
fn unchanged(old: &Meta, new: &Meta) -> bool {
    old.uid == new.uid && old.generation == new.generation && new.generation != 0
}

/// An object that is no longer readable grants nothing.
fn is_as_readable(old: &Meta, new: &Meta) -> bool {
    old.unreadable.is_some() || new.unreadable.is_none()
}

fn within<T: Eq + Hash>(these: &[T], those: &[T]) -> bool {
    let those: HashSet<&T> = those.iter().collect();
    these.iter().all(|one| those.contains(one))
}

/// Whether a changed Group may grant less than before.
fn shrinks(old: &Group, new: &Group) -> bool {
    let same = old.meta.uid == new.meta.uid && old.vouched == new.vouched && is_as_readable(&old.meta, &new.meta);
    let same = same && old.implies_membership == new.implies_membership;
    !(same && within(&old.members, &new.members) && within(&old.external, &new.external))
}

/// Whether a changed binding may grant less than before.
fn lessens(old: &Binding, new: &Binding) -> bool {
    let same = old.meta.uid == new.meta.uid && old.role == new.role && old.expires_at == new.expires_at;
    let same = same && is_as_readable(&old.meta, &new.meta);
    !(same && within(&old.subjects, &new.subjects))
}

/// Whether a changed, new or deleted role may grant less than before.
fn restricts(old: Option<&Role>, new: Option<&Role>) -> bool {
    match (old, new) {
        // Most changes are statuses that the operator itself wrote.
        (Some(old), Some(new)) => !unchanged(&old.meta, &new.meta) || old.holder.is_some() || !old.in_force.is_empty(),
        // Roles that inherit a privileged one become privileged, which some of their subjects must not hold.
        (None, Some(new)) => new.privileged || !new.inherits.is_empty(),
        (old, None) => old.is_some(),
    }
}

impl Cache {
    /// Takes in an Organization, or its deletion (`None`, with the UID of the deleted one).
    pub fn organization(&mut self, name: &Name, new: Option<Organization>, gone: Option<&Uid>) -> Affected {
        let default_before: Vec<Name> = self.default_namespaces().collect();
        let first_before = claims::desired_default(self).map(|o| o.meta.name.clone());
        let undecided = |cache: &Self| -> Vec<Name> {
            let open = claims::desired_default(cache).is_none();
            claims::equal_candidates(cache).filter(|_| open).map(|o| o.meta.name.clone()).collect()
        };
        let undecided_before = undecided(self);
        let Ok(Swapped { old, displaced, is_old_news: false }) = self.organizations.swap(name, new, gone) else {
            return Affected::default();
        };
        for other in &displaced {
            self.index_organization(&other.meta.name, Some(other));
        }
        if !displaced.is_empty() {
            self.index_organization(name, old.as_deref());
            return self.everything();
        }
        let ranks = self.index_organization(name, old.as_deref());
        let mut affected = Affected { site: true, ..Affected::default() };
        affected.organizations.insert(name.clone());
        let new = self.organizations.get(name);
        affected.urgent = old.as_deref().is_some_and(|old| new.is_none_or(|new| !unchanged(&old.meta, &new.meta)));
        if matches!((&old, new), (Some(old), Some(new)) if unchanged(&old.meta, &new.meta) && old.is_default == new.is_default)
        {
            return Affected::default();
        }
        let namespaces = [old.as_deref(), new].into_iter().flatten().filter_map(|o| o.namespace.clone());
        affected.namespaces.extend(namespaces);
        affected.namespaces.extend(claims::recorded_on(self, name).cloned());
        for namespace in &affected.namespaces {
            affected.organizations.extend(claims::claimants(self, namespace).map(|o| o.meta.name.clone()));
        }
        // The default organization, and its namespace, may move with any Organization.
        let first = claims::desired_default(self).map(|o| &o.meta.name);
        let moves = first_before.as_ref() != first;
        affected.urgent |= first_before.is_some() && moves;
        affected.urgent |= !default_before.iter().all(|kept| self.default_namespaces().any(|name| name == *kept));
        affected.namespaces.extend(default_before);
        if moves || ranks.0 != ranks.1 {
            // The current and former default, those that request it and report who has it, and those that may request
            // its namespace.
            affected.organizations.extend(first_before);
            affected.organizations.extend(undecided_before);
            affected.organizations.extend(undecided(self));
            let asking = self.ranking.iter().enumerate().take_while(|(n, (not_asking, ..))| *n == 0 || !not_asking);
            affected.organizations.extend(asking.map(|(_, (.., name, _))| name.clone()));
            let release = self.bounds.release_namespace.as_str();
            affected.organizations.extend(claims::claimants(self, release).map(|o| o.meta.name.clone()));
        }
        self.default_may_differ(&mut affected);
        affected
    }

    /// Updates the indexes of Organizations, and returns the rank before and after.
    fn index_organization(&mut self, name: &Name, old: Option<&Organization>) -> (Option<Rank>, Option<Rank>) {
        let new = self.organizations.get(name);
        let ranks = (old.map(rank), new.map(rank));
        if let Some(rank) = &ranks.0 {
            self.ranking.remove(rank);
        }
        self.ranking.extend(ranks.1.clone());
        if new.is_some_and(|o| o.is_default) {
            self.recorded_defaults.insert(name.clone());
        } else {
            self.recorded_defaults.remove(name);
        }
        let namespace = |o: &Organization| o.namespace.clone();
        let (before, after) = (old.and_then(namespace), new.and_then(namespace));
        reindex(&mut self.named, name, before.as_ref(), after.as_ref());
        ranks
    }

    /// Takes in a User.
    pub fn user(&mut self, handle: &Name, new: Option<User>, gone: Option<&Uid>) -> Affected {
        let Ok(Swapped { old, displaced, is_old_news: false }) = self.users.swap(handle, new, gone) else {
            return Affected::default();
        };
        let mut affected = self.changed_user(handle, old);
        for other in displaced {
            affected.extend(self.changed_user(&other.meta.name.clone(), Some(other)));
        }
        affected
    }

    fn changed_user(&mut self, handle: &Name, old: Option<Box<User>>) -> Affected {
        let mut affected = Affected::default();
        let new = self.users.get(handle);
        let changed = match (&old, new) {
            // If several Users share a username, the oldest counts, and a recreated object has another age.
            (Some(old), Some(new)) => {
                let readable = [&old.meta, &new.meta].map(|meta| meta.unreadable.is_none());
                let same = old.username == new.username && old.suspended == new.suspended && readable[0] == readable[1];
                old.meta.uid != new.meta.uid || !same
            }
            _ => true,
        };
        affected.users.insert(handle.clone());
        if !changed {
            // Its status may have been edited, or may refer to another generation.
            return if matches!((&old, new), (Some(o), Some(n)) if unchanged(&o.meta, &n.meta) && o.last_seen == n.last_seen)
            {
                Affected::default()
            } else {
                affected
            };
        }
        affected.site = true;
        let is_another = |old: &User, new: &User| old.username != new.username || old.meta.uid != new.meta.uid;
        let is_lost = |new: &User| new.suspended || new.meta.unreadable.is_some();
        affected.urgent = new.is_none_or(|new| is_lost(new) || old.as_deref().is_some_and(|old| is_another(old, new)));
        let ages = [old.as_deref(), new].into_iter().flatten().map(|user| (user.username.clone(), user.meta.created));
        // The older of the two, if both have the same username.
        let ages: BTreeMap<Name, Option<CompactTime>> = ages.collect::<BTreeSet<_>>().into_iter().rev().collect();
        if let Some(old) = &old {
            self.handles.remove(&(old.username.clone(), old.meta.created, handle.clone()));
        }
        if let Some(new) = self.users.get(handle) {
            self.handles.insert((new.username.clone(), new.meta.created, handle.clone()));
        }
        // A message may suggest this User.
        affected.namespaces.extend(self.mentioned_in(handle).cloned());
        affected.all |= self.site_mentions.contains_key(handle);
        for (username, created) in &ages {
            self.note_unfolded(username);
            if self.may_count(username, *created, handle) {
                self.touch_user(username, &mut affected);
            }
            affected.suspended |= self.note_suspension(username);
            self.note_activity(username);
        }
        affected
    }

    /// Whether a User of this age may be, or have been, the one that counts for a username. Nothing rests on the others
    /// but their own status, and there may be thousands.
    fn may_count(&self, username: &Name, created: Option<CompactTime>, handle: &Name) -> bool {
        let oldest = self.handles_of(username).next().and_then(|handle| self.users.get(handle));
        oldest.is_none_or(|oldest| created <= oldest.meta.created)
            || self.kept.usernames.get(&**username).is_some_and(|kept| **kept == **handle)
            // The record says which of several counts.
            || self.handles_of(username).nth(2).is_none()
    }

    fn note_unfolded(&mut self, username: &Name) {
        let folded = folded(username);
        if folded == *username {
            return;
        }
        let entry = (folded, username.clone());
        if self.handles_of(username).next().is_some() {
            self.unfolded.insert(entry);
        } else {
            self.unfolded.remove(&entry);
        }
    }

    /// Updates the set of suspended users; returns whether it changed.
    fn note_suspension(&mut self, username: &Name) -> bool {
        match self.standing(username) {
            Standing::Suspended => self.suspended.insert(username.clone()),
            Standing::Good | Standing::Unknown | Standing::Unreadable => self.suspended.remove(username),
        }
    }

    /// Updates the set of usernames that may hold grants: all of them hold one SiteRole.
    fn note_activity(&mut self, username: &Name) {
        let grantee = subjects::user(self, username);
        let holders = self.holders.entry(intern::name(MEMBER_ROLE)).or_insert_with(|| Shards::new(self.seed));
        match grantee {
            Ok(grantee) => {
                if self.active.insert(username.clone()) {
                    holders.add(&grantee);
                }
            }
            Err(_) => {
                if self.active.remove(username) {
                    holders.remove(&Subject::User(username.clone()));
                }
            }
        }
    }

    fn touch_user(&self, username: &Name, affected: &mut Affected) {
        affected.users.extend(self.handles_of(username).cloned());
        if self.site_folded.contains(&folded(username)) {
            affected.all = true;
        }
        affected.namespaces.extend(self.mentioned_in(username).cloned());
        if !self.belongs_somewhere(username) {
            affected.namespaces.extend(self.default_namespaces());
        }
    }

    /// Takes in a Group.
    pub fn group(&mut self, namespace: &Name, name: &Name, new: Option<Group>, gone: Option<&Uid>) -> Affected {
        self.in_namespace(namespace, |cache| cache.swap_group(namespace, name, new, gone))
    }

    /// Changes the contents of a namespace, and forgets the namespace if nothing is left in it.
    fn in_namespace(&mut self, namespace: &Name, change: impl FnOnce(&mut Self) -> Affected) -> Affected {
        let affected = change(self);
        if self.local.get(namespace).is_some_and(Local::is_empty) {
            self.local.remove(namespace);
        }
        affected
    }

    fn swap_group(&mut self, namespace: &Name, name: &Name, new: Option<Group>, gone: Option<&Uid>) -> Affected {
        let local = self.local.entry(namespace.clone()).or_default();
        let was_part = local.groups.is_excess(name);
        let Ok(Swapped { old, displaced, is_old_news: false }) = local.groups.swap(name, new, gone) else {
            return Affected::default();
        };
        let new = local.groups.get(name);
        if matches!((&old, new), (Some(old), Some(new)) if unchanged(&old.meta, &new.meta) && old.vouched == new.vouched && !was_part)
        {
            return Affected::default();
        }
        let urgent = old.as_deref().is_some_and(|old| new.is_none_or(|new| shrinks(old, new)));
        let after = new.map(|g| g.members.to_vec()).unwrap_or_default();
        self.mention(namespace, &old.map(|g| g.members).unwrap_or_default(), &after);
        displaced.iter().for_each(|other| self.mention(namespace, &other.members, &[]));
        Affected { urgent, ..Affected::default() }.namespace(namespace)
    }

    /// Takes in a RoleBinding.
    pub fn binding(&mut self, namespace: &Name, name: &Name, new: Option<Binding>, gone: Option<&Uid>) -> Affected {
        self.in_namespace(namespace, |cache| cache.swap_binding(namespace, name, new, gone))
    }

    fn swap_binding(&mut self, namespace: &Name, name: &Name, new: Option<Binding>, gone: Option<&Uid>) -> Affected {
        let local = self.local.entry(namespace.clone()).or_default();
        let was_part = local.bindings.is_excess(name);
        let Ok(Swapped { old, displaced, is_old_news: false }) = local.bindings.swap(name, new, gone) else {
            return Affected::default();
        };
        let new = local.bindings.get(name);
        if matches!((&old, new), (Some(old), Some(new)) if unchanged(&old.meta, &new.meta) && old.written == new.written && !was_part)
        {
            return Affected::default();
        }
        let urgent = old.as_deref().is_some_and(|old| new.is_none_or(|new| lessens(old, new)));
        let after: Vec<Name> = new.into_iter().flat_map(users_of).collect();
        self.mention(namespace, &old.as_deref().map(users_of).unwrap_or_default(), &after);
        displaced.iter().for_each(|other| self.mention(namespace, &users_of(other), &[]));
        Affected { urgent, ..Affected::default() }.namespace(namespace)
    }

    /// Takes in a CustomRole.
    pub fn custom_role(&mut self, namespace: &Name, name: &Name, new: Option<Role>, gone: Option<&Uid>) -> Affected {
        self.in_namespace(namespace, |cache| cache.swap_custom_role(namespace, name, new, gone))
    }

    fn swap_custom_role(&mut self, namespace: &Name, name: &Name, new: Option<Role>, gone: Option<&Uid>) -> Affected {
        let local = self.local.entry(namespace.clone()).or_default();
        let was_part = local.roles.is_excess(name);
        let Ok(Swapped { old, is_old_news: false, .. }) = local.roles.swap(name, new, gone) else {
            return Affected::default();
        };
        match (old, local.roles.get(name)) {
            (Some(old), Some(new)) if unchanged(&old.meta, &new.meta) && old.in_force == new.in_force && !was_part => {
                Affected::default()
            }
            (old, new) => {
                let urgent = restricts(old.as_deref(), new);
                Affected { urgent, ..Affected::default() }.namespace(namespace)
            }
        }
    }

    /// Takes in a SiteRole.
    pub fn site_role(&mut self, name: &Name, new: Option<Role>, gone: Option<&Uid>) -> Affected {
        let was_part = self.site_roles.is_excess(name);
        let Ok(Swapped { old, displaced, is_old_news: false }) = self.site_roles.swap(name, new, gone) else {
            return Affected::default();
        };
        let new = self.site_roles.get(name);
        let status_only = matches!((&old, new), (Some(old), Some(new))
            if unchanged(&old.meta, &new.meta) && old.holder == new.holder && old.in_force == new.in_force
                && displaced.is_empty() && !was_part);
        if status_only {
            return Affected::default();
        }
        let urgent = restricts(old.as_deref(), new);
        self.resolve_site_roles();
        // Users' privileges may change, and the role may be the member role of organizations that hold nothing.
        let mentioned = self.site_mentions.keys().flat_map(|username| self.handles_of(username));
        Affected {
            users: mentioned.cloned().collect(),
            organizations: self.organizations.names(),
            urgent,
            ..Affected::everything()
        }
    }

    /// Takes in a SiteRoleBinding.
    pub fn site_binding(&mut self, name: &Name, new: Option<Binding>, gone: Option<&Uid>) -> Affected {
        let was_part = self.site_bindings.is_excess(name);
        let Ok(Swapped { old, displaced, is_old_news: false }) = self.site_bindings.swap(name, new, gone) else {
            return Affected::default();
        };
        let new = self.site_bindings.get(name);
        if matches!((&old, new), (Some(old), Some(new)) if unchanged(&old.meta, &new.meta) && !was_part) {
            return Affected::default();
        }
        let urgent = old.as_deref().is_some_and(|old| new.is_none_or(|new| lessens(old, new)));
        let before: Vec<Name> = old.iter().chain(&displaced).flat_map(|binding| users_of(binding)).collect();
        for username in &before {
            if let Some(count) = self.site_mentions.get_mut(username) {
                *count -= 1;
            }
        }
        for username in new.into_iter().flat_map(users_of) {
            *self.site_mentions.entry(username).or_default() += 1;
        }
        self.site_mentions.retain(|_, count| *count > 0);
        self.site_folded = self.site_mentions.keys().map(folded).collect();
        let after = self.site_bindings.get(name).into_iter().flat_map(users_of);
        let users = before
            .into_iter()
            .chain(after)
            .flat_map(|username| self.handles_of(&username).cloned().collect::<Vec<_>>());
        let users = users.collect();
        Affected { users, urgent, ..Affected::everything() }
    }

    /// Takes in a native Namespace.
    pub fn namespace(&mut self, name: &Name, new: Option<Namespace>, gone: Option<&Uid>) -> Affected {
        let Ok(Swapped { old, .. }) = self.namespaces.swap(name, new, gone) else {
            return Affected::default();
        };
        let new = self.namespaces.get(name);
        let organizations =
            (old.as_ref().and_then(|n| n.organization.as_ref()), new.and_then(|n| n.organization.as_ref()));
        reindex(&mut self.recorded, name, organizations.0, organizations.1);
        if matches!((&old, new), (Some(old), Some(new)) if Namespace { version: new.version, ..(**old).clone() } == *new)
        {
            return Affected::default();
        }
        let is_left = |old: &Namespace| {
            organizations.0.is_some() && organizations.0 != organizations.1
                || new.is_none_or(|new| new.uid != old.uid || new.terminating && !old.terminating)
        };
        if !self.is_of_use(name) && organizations == (None, None) {
            // Clusters have many namespaces that come and go.
            return Affected::default().namespace(name);
        }
        let urgent = old.as_deref().is_some_and(is_left);
        let mut affected = Affected { site: true, urgent, ..Affected::default() }.namespace(name);
        let named = [old.as_deref(), new].into_iter().flatten().filter_map(|n| n.organization.clone());
        affected.organizations.extend(named);
        // An organization may be able to claim another namespace only once no record reserves this one for it.
        for name in organizations.0.into_iter().chain(organizations.1) {
            affected.namespaces.extend(self.organizations.get(name).and_then(|o| o.namespace.clone()));
            affected.namespaces.extend(claims::recorded_on(self, name).cloned());
        }
        for namespace in &affected.namespaces {
            affected.organizations.extend(claims::claimants(self, namespace).map(|o| o.meta.name.clone()));
        }
        self.default_may_differ(&mut affected);
        affected
    }

    /// Whether an organization could hold or requests this namespace, or an object of ours is in it.
    fn is_of_use(&self, name: &Name) -> bool {
        self.bounds.namespace_whitelist.contains(&**name)
            || *self.bounds.release_namespace == **name
            || self.named.contains_key(name)
            || self.local.contains_key(name)
    }

    /// Belonging depends on which namespaces are held, and the default organization's claim on the release namespace on
    /// who else requests it.
    fn default_may_differ(&self, affected: &mut Affected) {
        affected.namespaces.extend(self.default_namespaces());
        affected.namespaces.insert(self.bounds.release_namespace.as_str().into());
        affected.organizations.extend(claims::default_organization(self).map(|o| o.meta.name.clone()));
    }

    /// Takes in the bounds that the platform team sets.
    pub fn set_bounds(&mut self, bounds: Bounds) -> Affected {
        if bounds == self.bounds {
            return Affected::default();
        }
        self.bounds = bounds;
        self.rules_changed()
    }

    /// Takes in the settings that site managers may tune.
    pub fn set_settings(&mut self, settings: Settings) -> Affected {
        if settings == self.settings {
            return Affected::default();
        }
        self.settings = settings;
        self.everything()
    }

    /// Takes in the state of the admission policies; `None` when the expected policies are unknown.
    pub fn set_policies(&mut self, report: Option<Report>) -> Affected {
        let (faults, ownership) = match report {
            Some(report) => (Some(report.faults), report.ownership),
            None => (None, Ownership::default()),
        };
        let have_changed = faults != self.policy_faults;
        self.policy_faults = faults;
        if ownership != self.ownership {
            self.ownership = ownership;
            return self.rules_changed();
        }
        if !have_changed {
            return Affected::default();
        }
        let default = claims::default_organization(self).map(|o| o.meta.name.clone());
        Affected { organizations: default.into_iter().collect(), ..Affected::default() }
    }

    /// Takes in owners of objects.
    pub fn set_owned(&mut self, namespace: &Name, kind: &own_objects::Kind, change: owned::Change) -> Affected {
        match self.owned.entry(namespace.clone()).or_default().set(kind, change) {
            Some(urgent) => Affected { namespaces: [namespace.clone()].into(), urgent, ..Affected::default() },
            None => Affected::default(),
        }
    }

    /// Takes in why one of the chart's ConfigMaps cannot be read, or that it can.
    pub fn set_unread(&mut self, map: &'static str, why: Option<String>) -> Affected {
        let before = match why.clone() {
            Some(why) => self.unread.insert(map, why),
            None => self.unread.remove(map),
        };
        let default = claims::default_organization(self).filter(|_| before != why).map(|o| o.meta.name.clone());
        Affected { organizations: default.into_iter().collect(), ..Affected::default() }
    }

    /// Takes in a ceiling.
    pub fn set_ceiling(&mut self, scope: CeilingScope, ceiling: Option<Ceiling>) -> Affected {
        let place = self.ceilings.get_mut(scope);
        if *place == ceiling {
            return Affected::default();
        }
        *place = ceiling;
        self.rules_changed()
    }

    /// Takes in the secret that decides how lists of subjects are split over native bindings: see [`Seed`].
    pub fn set_seed(&mut self, secret: &Uid) -> Affected {
        let seed = Seed::from(secret);
        if seed == self.seed {
            return Affected::default();
        }
        self.seed = seed;
        self.holders.values_mut().for_each(|holders| holders.reseed(seed));
        Affected::everything()
    }

    fn rules_changed(&mut self) -> Affected {
        self.rules_version += 1;
        self.resolve_site_roles();
        self.everything()
    }

    fn resolve_site_roles(&mut self) {
        let known = std::mem::take(&mut self.resolved_site_roles);
        self.resolved_site_roles = roles::resolve_site_roles(self, known, self.ceilings.organization.as_ref());
        let known = std::mem::take(&mut self.resolved_at_home);
        if let Some(home) = &self.ceilings.home {
            self.resolved_at_home = roles::resolve_site_roles(self, known, Some(home));
        }
    }

    fn everything(&self) -> Affected {
        Affected {
            users: self.users.names(),
            organizations: self.organizations.names(),
            urgent: true,
            ..Affected::everything()
        }
    }

    /// Counts the objects in a namespace that mention a username: a change of that User affects the namespace.
    fn mention(&mut self, namespace: &Name, before: &[Name], after: &[Name]) {
        let (before, after): (HashSet<&Name>, HashSet<&Name>) = (before.iter().collect(), after.iter().collect());
        let place = |username: &Name| (folded(username), namespace.clone());
        for username in after.difference(&before) {
            *self.mentions.entry(place(username)).or_default() += 1;
        }
        for username in before.difference(&after) {
            if let Entry::Occupied(mut count) = self.mentions.entry(place(username)) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }
}

fn users_of(binding: &Binding) -> Vec<Name> {
    let users = binding.subjects.iter().filter_map(|s| match s {
        SubjectRef::User(name) => Some(name.clone()),
        _ => None,
    });
    users.collect()
}
