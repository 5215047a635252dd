//! Taking in records: each keeps the indexes right and says what it may affect.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Affected, Ceilings, Standing, World};
use crate::api::conditions::Reason;
use crate::core::catalog::{Bounds, Settings};
use crate::core::records::{Binding, Group, Meta, Namespace, Organization, Role, Subject, User};
use crate::core::rules::Ceiling;
use crate::core::{Name, claims, roles};

/// Swaps a record in a map. `Err` when the one that is there is as new, so the event is a late one.
fn swap<T>(
    map: &mut BTreeMap<Name, T>,
    name: &Name,
    new: Option<T>,
    meta: impl Fn(&T) -> (&Name, u64),
    gone: Option<&Name>,
) -> Result<Option<T>, ()> {
    if let Some(old) = map.get(name) {
        match (&new, gone) {
            (Some(new), _) if meta(new).0 == meta(old).0 && meta(new).1 <= meta(old).1 => return Err(()),
            // Another object of this name that is older than the one we know: the answer to a write came late.
            (Some(new), _) if meta(new).0 != meta(old).0 && meta(new).1 < meta(old).1 => return Err(()),
            (None, Some(uid)) if meta(old).0 != uid => return Err(()),
            _ => {}
        }
    }
    Ok(match new {
        Some(new) => map.insert(name.clone(), new),
        None => map.remove(name),
    })
}

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

/// Whether nobody has written anything but status or metadata.
fn unchanged(old: &Meta, new: &Meta) -> bool {
    old.uid == new.uid && old.generation == new.generation && new.generation != 0
}

fn of_meta(meta: &Meta) -> (&Name, u64) {
    (&meta.uid, meta.version)
}

impl World {
    /// Takes in an Organization, or its deletion (`None`, with the UID that is gone).
    pub fn organization(&mut self, name: &Name, new: Option<Organization>, gone: Option<&Name>) -> Affected {
        let default_before: Vec<Name> = self.default_namespaces().collect();
        let Ok(old) = swap(&mut self.organizations, name, new, |o| of_meta(&o.meta), gone) else {
            return Affected::default();
        };
        let mut affected = Affected { site: true, ..Affected::default() };
        affected.organizations.insert(name.clone());
        let new = self.organizations.get(name);
        reindex(
            &mut self.named,
            name,
            old.as_ref().and_then(|o| o.namespace.as_ref()),
            new.and_then(|o| o.namespace.as_ref()),
        );
        if matches!((&old, new), (Some(old), Some(new)) if unchanged(&old.meta, &new.meta) && old.is_default == new.is_default)
        {
            return Affected::default();
        }
        let namespaces = [old.as_ref(), new].into_iter().flatten().filter_map(|o| o.namespace.clone());
        affected.namespaces.extend(namespaces);
        affected.namespaces.extend(claims::recorded_on(self, name).cloned());
        for namespace in &affected.namespaces {
            affected.organizations.extend(claims::claimants(self, namespace).map(|o| o.meta.name.clone()));
        }
        // The default, and what it holds, may move with any of them.
        affected.namespaces.extend(default_before);
        let flags = |o: &Organization| (o.meta.uid.clone(), o.is_default, o.asks_default);
        if old.as_ref().map(flags) != new.map(flags) {
            affected.organizations.extend(self.organizations.keys().cloned());
        }
        self.default_may_differ(&mut affected);
        affected
    }

    /// Takes in a User.
    pub fn user(&mut self, handle: &Name, new: Option<User>, gone: Option<&Name>) -> Affected {
        let Ok(old) = swap(&mut self.users, handle, new, |u| of_meta(&u.meta), gone) else {
            return Affected::default();
        };
        let mut affected = Affected::default();
        let new = self.users.get(handle);
        let changed = match (&old, new) {
            // Of several Users with one username the age decides, and another object has another age.
            (Some(old), Some(new)) => {
                old.meta.uid != new.meta.uid || old.username != new.username || old.suspended != new.suspended
            }
            _ => true,
        };
        affected.users.insert(handle.clone());
        if !changed {
            // Its status may have been edited, or be about another generation.
            return if matches!((&old, new), (Some(o), Some(n)) if unchanged(&o.meta, &n.meta) && o.last_seen == n.last_seen)
            {
                Affected::default()
            } else {
                affected
            };
        }
        affected.site = true;
        affected.urgent = new.is_none_or(|u| u.suspended);
        let usernames: BTreeSet<Name> = [old.as_ref(), new].into_iter().flatten().map(|u| u.username.clone()).collect();
        if let Some(old) = &old
            && let Some(handles) = self.handles.get_mut(&old.username)
        {
            handles.remove(handle);
        }
        if let Some(new) = self.users.get(handle) {
            self.handles.entry(new.username.clone()).or_default().insert(handle.clone());
        }
        for username in &usernames {
            self.touch_user(username, &mut affected);
            affected.suspended |= self.note_suspension(username);
        }
        for username in &usernames {
            if self.handles.get(username).is_some_and(BTreeSet::is_empty) {
                self.handles.remove(username);
            }
        }
        affected
    }

    /// Keeps the list of suspended users right; says whether it changed.
    fn note_suspension(&mut self, username: &Name) -> bool {
        match self.standing(username) {
            Standing::Suspended => self.suspended.insert(username.clone()),
            Standing::Good | Standing::Unknown => self.suspended.remove(username),
        }
    }

    fn touch_user(&self, username: &Name, affected: &mut Affected) {
        affected.users.extend(self.handles.get(username).into_iter().flatten().cloned());
        if self.site_mentions.contains_key(username) {
            affected.all = true;
        }
        affected.namespaces.extend(self.mentions.get(username).into_iter().flat_map(|m| m.keys().cloned()));
        if !self.belongs_somewhere(username) {
            affected.namespaces.extend(self.default_namespaces());
        }
    }

    /// Takes in a Group.
    pub fn group(&mut self, namespace: &Name, name: &Name, new: Option<Group>, gone: Option<&Name>) -> Affected {
        let local = self.local.entry(namespace.clone()).or_default();
        let Ok(old) = swap(&mut local.groups, name, new, |g| of_meta(&g.meta), gone) else {
            return Affected::default();
        };
        let new = local.groups.get(name);
        if matches!((&old, new), (Some(old), Some(new)) if unchanged(&old.meta, &new.meta) && old.vouched == new.vouched)
        {
            return Affected::default();
        }
        let (before, after) =
            (old.map(|g| g.members).unwrap_or_default(), new.map(|g| g.members.clone()).unwrap_or_default());
        self.mention(namespace, &before, &after)
    }

    /// Takes in a RoleBinding.
    pub fn binding(&mut self, namespace: &Name, name: &Name, new: Option<Binding>, gone: Option<&Name>) -> Affected {
        let local = self.local.entry(namespace.clone()).or_default();
        let Ok(old) = swap(&mut local.bindings, name, new, |b| of_meta(&b.meta), gone) else {
            return Affected::default();
        };
        let new = local.bindings.get(name);
        if matches!((&old, new), (Some(old), Some(new)) if unchanged(&old.meta, &new.meta) && old.written == new.written)
        {
            return Affected::default();
        }
        let (before, after) = (old.as_ref().map(users_of).unwrap_or_default(), new.map(users_of).unwrap_or_default());
        self.mention(namespace, &before, &after)
    }

    /// Takes in a CustomRole.
    pub fn custom_role(&mut self, namespace: &Name, name: &Name, new: Option<Role>, gone: Option<&Name>) -> Affected {
        let local = self.local.entry(namespace.clone()).or_default();
        let Ok(old) = swap(&mut local.roles, name, new, |r| of_meta(&r.meta), gone) else {
            return Affected::default();
        };
        match (old, local.roles.get(name)) {
            (Some(old), Some(new)) if unchanged(&old.meta, &new.meta) && old.in_force == new.in_force => {
                Affected::default()
            }
            _ => Affected::default().namespace(namespace),
        }
    }

    /// Takes in a SiteRole.
    pub fn site_role(&mut self, name: &Name, new: Option<Role>, gone: Option<&Name>) -> Affected {
        let Ok(old) = swap(&mut self.site_roles, name, new, |r| of_meta(&r.meta), gone) else {
            return Affected::default();
        };
        let new = self.site_roles.get(name);
        let status_only = matches!((&old, new), (Some(old), Some(new))
            if unchanged(&old.meta, &new.meta) && old.holder == new.holder && old.in_force == new.in_force);
        if status_only {
            return Affected::default();
        }
        self.resolved_site_roles = roles::resolve_site_roles(self);
        // Whether users hold a privileged role may differ, and it may be the member role of organizations that hold nothing.
        let mentioned = self.site_mentions.keys().filter_map(|username| self.handles.get(username));
        Affected {
            users: mentioned.flatten().cloned().collect(),
            organizations: self.organizations.keys().cloned().collect(),
            ..Affected::everything()
        }
    }

    /// Takes in a SiteRoleBinding.
    pub fn site_binding(&mut self, name: &Name, new: Option<Binding>, gone: Option<&Name>) -> Affected {
        let Ok(old) = swap(&mut self.site_bindings, name, new, |b| of_meta(&b.meta), gone) else {
            return Affected::default();
        };
        let new = self.site_bindings.get(name);
        if matches!((&old, new), (Some(old), Some(new)) if unchanged(&old.meta, &new.meta)) {
            return Affected::default();
        }
        for username in old.iter().flat_map(users_of) {
            if let Some(count) = self.site_mentions.get_mut(&username) {
                *count -= 1;
            }
        }
        for username in new.into_iter().flat_map(users_of) {
            *self.site_mentions.entry(username).or_default() += 1;
        }
        self.site_mentions.retain(|_, count| *count > 0);
        let users = old.iter().chain(self.site_bindings.get(name)).flat_map(users_of);
        let users = users.filter_map(|username| self.handles.get(&username)).flatten().cloned().collect();
        Affected { users, ..Affected::everything() }
    }

    /// Takes in a native Namespace.
    pub fn namespace(&mut self, name: &Name, new: Option<Namespace>, gone: Option<&Name>) -> Affected {
        let Ok(old) = swap(&mut self.namespaces, name, new, |n| (&n.uid, n.version), gone) else {
            return Affected::default();
        };
        let new = self.namespaces.get(name);
        let organizations =
            (old.as_ref().and_then(|n| n.organization.as_ref()), new.and_then(|n| n.organization.as_ref()));
        reindex(&mut self.recorded, name, organizations.0, organizations.1);
        if matches!((&old, new), (Some(old), Some(new)) if Namespace { version: new.version, ..old.clone() } == *new) {
            return Affected::default();
        }
        let mut affected = Affected { site: true, ..Affected::default() }.namespace(name);
        let named = [old.as_ref(), new].into_iter().flatten().filter_map(|n| n.organization.clone());
        affected.organizations.extend(named);
        // An organization may only claim another namespace when no record keeps this one for it.
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

    /// Who belongs somewhere depends on which namespaces are held, and whether the release namespace is free for the
    /// default organization on who else wants it.
    fn default_may_differ(&self, affected: &mut Affected) {
        affected.namespaces.extend(self.default_namespaces());
        affected.namespaces.insert(self.bounds.release_namespace.as_str().into());
        affected.organizations.extend(claims::default_organization(self).map(|o| o.meta.name.clone()));
    }

    /// Takes in what the platform team bounds.
    pub fn set_bounds(&mut self, bounds: Bounds) -> Affected {
        if bounds == self.bounds {
            return Affected::default();
        }
        self.bounds = bounds;
        self.everything_anew()
    }

    /// Takes in what site managers may tune.
    pub fn set_settings(&mut self, settings: Settings) -> Affected {
        if settings == self.settings {
            return Affected::default();
        }
        self.settings = settings;
        self.everything_anew()
    }

    /// Takes in which admission policies are not as they should be.
    pub fn set_policy_faults(&mut self, faults: Option<Vec<(Reason, String)>>) -> Affected {
        if faults == self.policy_faults {
            return Affected::default();
        }
        self.policy_faults = faults;
        let default = claims::default_organization(self).map(|o| o.meta.name.clone());
        Affected { organizations: default.into_iter().collect(), ..Affected::default() }
    }

    /// Takes in a ceiling, chosen by `which`.
    pub fn set_ceiling(
        &mut self,
        which: impl Fn(&mut Ceilings) -> &mut Option<Ceiling>,
        ceiling: Option<Ceiling>,
    ) -> Affected {
        let place = which(&mut self.ceilings);
        if *place == ceiling {
            return Affected::default();
        }
        *place = ceiling;
        self.everything_anew()
    }

    fn everything_anew(&mut self) -> Affected {
        self.resolved_site_roles = roles::resolve_site_roles(self);
        Affected {
            users: self.users.keys().cloned().collect(),
            organizations: self.organizations.keys().cloned().collect(),
            ..Affected::everything()
        }
    }

    /// Counts who is mentioned by name in a namespace: being mentioned in an organization is belonging to it.
    fn mention(&mut self, namespace: &Name, before: &[Name], after: &[Name]) -> Affected {
        let mut affected = Affected::default().namespace(namespace);
        if before == after {
            return affected;
        }
        let touched: BTreeSet<&Name> = before.iter().chain(after).collect();
        let belonged: Vec<bool> = touched.iter().map(|u| self.belongs_somewhere(u)).collect();
        for username in after {
            *self.mentions.entry(username.clone()).or_default().entry(namespace.clone()).or_default() += 1;
        }
        for username in before {
            if let Some(places) = self.mentions.get_mut(username) {
                if let Some(count) = places.get_mut(namespace) {
                    *count -= 1;
                }
                places.retain(|_, count| *count > 0);
            }
        }
        for username in before {
            if self.mentions.get(username).is_some_and(BTreeMap::is_empty) {
                self.mentions.remove(username);
            }
        }
        if touched.iter().zip(belonged).any(|(username, before)| self.belongs_somewhere(username) != before) {
            affected.namespaces.extend(self.default_namespaces());
        }
        affected
    }
}

fn users_of(binding: &Binding) -> Vec<Name> {
    let users = binding.subjects.iter().filter_map(|s| match s {
        Subject::User(name) => Some(name.clone()),
        _ => None,
    });
    users.collect()
}
