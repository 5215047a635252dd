//! Logs one line for each change that people make or wait for. Objects seen for the first time are not changes, so a
//! starting operator does not fill the log.

use super::Engine;
use super::key::ReconcileKey;
use crate::api::ApiKind;
use crate::api::RoleKind;
use crate::core::Name;
use crate::core::claims::Claim;
use crate::core::rbac::{RbacSpec, Subject};
use crate::core::records::Binding;
use crate::operator::watch_event::Item;

/// Changes of a key since it last converged.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Whether any native object changed.
    any: bool,
    /// New pairs of a subject and a native binding.
    given: usize,
    /// Removed pairs.
    taken: usize,
    /// The first object whose change caused this.
    cause: Option<String>,
}

impl Changes {
    /// Counts the change of a native object.
    pub fn note(&mut self, before: Option<&RbacSpec>, after: Option<&RbacSpec>) {
        self.any |= before != after;
        let (before, after) = (subjects(before), subjects(after));
        self.given += after.iter().filter(|subject| before.binary_search(subject).is_err()).count();
        self.taken += before.iter().filter(|subject| after.binary_search(subject).is_err()).count();
    }

    pub fn cause(&self) -> Option<&String> {
        self.cause.as_ref()
    }

    pub fn caused_by(&mut self, cause: Option<&String>) {
        if self.cause.is_none() {
            self.cause = cause.cloned();
        }
    }
}

fn subjects(content: Option<&RbacSpec>) -> &[Subject] {
    match content {
        Some(RbacSpec::Binding { subjects, .. }) => subjects,
        _ => &[],
    }
}

impl Engine {
    /// Logs what changed in a new version of an object.
    pub(super) fn log_change(&self, item: &Item) {
        let cache = &self.cache;
        match item {
            Item::User(new) => {
                let old = cache.users.get(&new.meta.name).filter(|old| old.meta.uid == new.meta.uid);
                if let Some(old) = old.filter(|old| old.meta.version < new.meta.version)
                    && old.suspended != new.suspended
                {
                    let what = if new.suspended { "a user is suspended" } else { "a user is active again" };
                    tracing::info!(user = &*new.meta.name, username = &*new.username, "{what}");
                }
            }
            Item::Organization(new) => {
                let old = cache.organizations.get(&new.meta.name);
                let was = old.is_some_and(|old| old.is_default || old.meta.version >= new.meta.version);
                if new.is_default && !was {
                    let before = cache.recorded_defaults().find(|name| **name != new.meta.name);
                    tracing::info!(
                        organization = &*new.meta.name,
                        before = before.map(|name| &**name),
                        "an organization became the default"
                    );
                }
            }
            Item::RoleBinding(new) => {
                let local = cache.local.get(&new.meta.namespace);
                log_role(local.and_then(|local| local.bindings.get(&new.meta.name)), new);
            }
            Item::SiteRoleBinding(new) => log_role(cache.site_bindings.get(&new.meta.name), new),
            _ => {}
        }
    }

    /// Logs the bindings of a key that expired since it was decided.
    pub(super) fn log_expiry(&self, key: &ReconcileKey) {
        let Some(since) = self.keys.get(key).and_then(|state| state.decision.next_change) else { return };
        let ends = |binding: &&Binding| {
            binding.expires_at.map(jiff::Timestamp::from).is_some_and(|end| end >= since && end <= self.now.time)
        };
        let log = |kind: ApiKind, binding: &Binding| {
            let binding = binding.meta.source(kind).path();
            tracing::info!(binding, "a binding has expired");
        };
        match key {
            ReconcileKey::Site => {
                self.cache
                    .site_bindings
                    .values()
                    .filter(ends)
                    .for_each(|binding| log(ApiKind::SiteRoleBinding, binding));
            }
            ReconcileKey::Namespace(name) => {
                let bindings = self.cache.local.get(name).into_iter().flat_map(|local| local.bindings.values());
                bindings.filter(ends).for_each(|binding| log(ApiKind::RoleBinding, binding));
            }
            ReconcileKey::User(_)
            | ReconcileKey::Organization(_)
            | ReconcileKey::SuspendedUsers
            | ReconcileKey::DecisionRecord => {}
        }
    }

    /// Logs how many grants of a converged key changed. Returns whether any native object did.
    pub(super) fn log_grants(&mut self, key: &ReconcileKey) -> bool {
        let Some(state) = self.keys.get_mut(key) else { return false };
        let Changes { any, given, taken, cause } = std::mem::take(&mut state.changes);
        if given + taken > 0 {
            let place = key.namespace().map_or("(site)", |name| name);
            tracing::info!(place, given, taken, cause = cause.as_deref(), "grants have changed");
        }
        any
    }
}

/// Logs a claim that was recorded.
pub(super) fn log_claim(claim: &Claim) {
    let namespace: &Name = &claim.namespace;
    match &claim.organization {
        Some(organization) if claim.vacated_at.is_none() => {
            tracing::info!(namespace = &**namespace, organization = &**organization, "a namespace is claimed");
        }
        _ => {
            let last = &*claim.last_organization.0;
            tracing::info!(
                namespace = &**namespace,
                organization = last,
                "the former organization's access is revoked"
            );
        }
    }
}

fn log_role(old: Option<&Binding>, new: &Binding) {
    let Some(old) = old.filter(|old| old.meta.uid == new.meta.uid && old.meta.version < new.meta.version) else {
        return;
    };
    if old.role != new.role {
        let kind = if new.meta.namespace.is_empty() { ApiKind::SiteRoleBinding } else { ApiKind::RoleBinding };
        let name = |(kind, name): &(RoleKind, Name)| format!("{}/{name}", kind.as_str());
        let (binding, before, now) = (new.meta.source(kind).path(), name(&old.role), name(&new.role));
        tracing::info!(binding, before, now, "a binding has a new role");
    }
}
