//! Decides the site: the cluster-scoped parts of SiteRoles, their parts in the release namespace, and the statuses of
//! SiteRoles and SiteRoleBindings.
//!
//! A SiteRole's cluster-scoped part is granted once, for all its holders together, wherever they hold it. The API
//! server scans RBAC bindings linearly on every request, so there is never a ClusterRoleBinding per user or per
//! organization.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::cache::{Cache, Held, Standing};
use super::conditions::{Status, StatusDraft};
use super::desired::{DesiredState, Place, RoleName};
use super::effect::{Effect, Grant};
use super::findings::{beyond_limit, binding_findings, count, role_findings, role_problem};
use super::observed_state::ObservedState;
use super::order;
use super::records::{Binding, Role, SubjectRef};
use super::roles::{self, Resolved};
use super::shards::Lists;
use super::subjects::{self, Subjects};
use super::withheld::{Item, Withheld};
use super::{Name, names};
use crate::api::ApiKind;
use crate::api::conditions::Reason;
use crate::api::{self, BindingStatus, RoleKind, SiteRoleStatus};

/// The desired state at the scope of the site at a time.
#[must_use]
pub fn decide(cache: &Cache, now: Timestamp, observed: &dyn ObservedState) -> DesiredState {
    let mut decision = DesiredState::default();
    let mut effects = BTreeMap::new();
    for (name, role) in cache.site_roles.iter() {
        let Some(resolved) = cache.site_role_rights(name) else { continue };
        effects.insert(name, cluster_part(cache, role, resolved, now, observed, &mut decision));
        let status = SiteRoleStatus {
            holder: desired_holder(cache, role, now).map(|n| n.to_string()),
            inherits: resolved.inherits.iter().map(|(_, name)| name.to_string()).collect(),
            withheld: count(resolved.withheld.refused()),
            ..SiteRoleStatus::default()
        };
        let findings = role_findings(resolved, observed.write_failures().first_of(&role.meta.uid));
        decision.statuses.push(StatusDraft::new(ApiKind::SiteRole, &role.meta, Status::SiteRole(status), findings));
    }
    let mut held = Holdings::default();
    for binding in cache.site_bindings.values() {
        if let Some(end) = binding.expires_at.map(Timestamp::from).filter(|end| *end > now) {
            decision.next_change = Some(decision.next_change.map_or(end, |n| n.min(end)));
        }
        let beyond = effects.get(&binding.role.1);
        decision.statuses.push(binding_status(cache, binding, now, observed, beyond, &mut held));
    }
    decision.contribution.held = held.sorted();
    for meta in cache.site_roles.excess() {
        let status = Status::SiteRole(SiteRoleStatus::default());
        decision.statuses.push(StatusDraft::new(ApiKind::SiteRole, meta, status, beyond_limit("SiteRoles")));
    }
    for meta in cache.site_bindings.excess() {
        let status = Status::Binding(BindingStatus::default());
        decision.statuses.push(StatusDraft::new(
            ApiKind::SiteRoleBinding,
            meta,
            status,
            beyond_limit("SiteRoleBindings"),
        ));
    }
    decision
}

/// Grants of SiteRoleBindings to usernames: for each, their number and the roles.
#[derive(Default)]
struct Holdings<'a>(BTreeMap<Name, (u32, BTreeSet<&'a Name>)>);

impl Holdings<'_> {
    fn sorted(self) -> Box<[(Name, Held)]> {
        let held = |(grants, roles): (u32, BTreeSet<&Name>)| {
            let site_roles = u16::try_from(roles.len()).unwrap_or(u16::MAX);
            Held { grants, site_roles, is_member: false }
        };
        self.0.into_iter().map(|(name, by)| (name, held(by))).collect()
    }
}

/// The part of a SiteRole that is granted once, to everyone that holds it anywhere.
fn cluster_part(
    cache: &Cache,
    role: &Role,
    resolved: &Resolved,
    now: Timestamp,
    observed: &dyn ObservedState,
    decision: &mut DesiredState,
) -> Effect {
    let name = &role.meta.name;
    let source = role.meta.source(ApiKind::SiteRole);
    let mut effect = Effect::default();
    let release = Name::from(cache.bounds.release_namespace.as_str());
    let places = [
        (Name::default(), names::cluster_role(name), &resolved.rules.cluster, vec!["site-role", name]),
        (release, names::release_role(name), &resolved.rules.release, vec!["release", "site-role", name]),
    ];
    for (namespace, native, rules, path) in places {
        if rules.is_empty() {
            continue;
        }
        let mut place = Place { namespace: &namespace, desired: &mut decision.desired, observed, seed: cache.seed };
        let reference = RoleName { kind: RoleKind::SiteRole, name, native: native.clone() };
        let who = everyone_with(cache, role, now, |subjects| place.shards(&path, &reference, subjects));
        if who.is_empty() {
            break;
        }
        place.role(&native, rules, source.clone());
        place.bind_shards(&path, &reference, &who, &source);
        if !observed.write_failures().is_empty() {
            let granted = who.iter().flat_map(|(_, subjects)| subjects.iter().cloned()).collect();
            let grant = Grant { namespace: &namespace, role: &native, source: &source.uid };
            effect.and(Effect::of(observed, &grant, &decision.desired, &granted));
        }
    }
    effect
}

/// The effect of a SiteRoleBinding in organizations' namespaces with refused writes. The namespaces decide their
/// desired state themselves, so this part is computed again here.
fn effect_in_namespaces(
    cache: &Cache,
    observed: &dyn ObservedState,
    binding: &Binding,
    role: &Role,
    resolved: &Resolved,
    who: &Subjects,
) -> Effect {
    let (source, native) =
        (binding.meta.source(ApiKind::SiteRoleBinding), names::role(RoleKind::SiteRole, &role.meta.name));
    let of_binding = observed.write_failures().of(&source.uid).map(|(key, _)| &key.namespace);
    let of_role = observed
        .write_failures()
        .of(&role.meta.uid)
        .filter(|(key, _)| key.name == native)
        .map(|(key, _)| &key.namespace);
    let namespaces: BTreeSet<&Name> = of_binding.chain(of_role).filter(|namespace| !namespace.is_empty()).collect();
    let mut effect = Effect::default();
    for namespace in namespaces {
        let mut desired = BTreeMap::new();
        if !resolved.namespaced.is_empty() && !who.granted.is_empty() {
            let reference = RoleName { kind: RoleKind::SiteRole, name: &role.meta.name, native: native.clone() };
            let mut place = Place { namespace, desired: &mut desired, observed, seed: cache.seed };
            place.bind(&["site-role-binding", &binding.meta.name], &reference, &who.granted, &source);
        }
        let grant = Grant { namespace, role: &native, source: &source.uid };
        effect.and(Effect::of(observed, &grant, &desired, &who.granted));
    }
    effect
}

/// Everyone that holds a role anywhere: through organizations, as the implicit role of all users, or through a
/// SiteRoleBinding.
fn everyone_with(cache: &Cache, role: &Role, now: Timestamp, into: impl Fn(usize) -> usize) -> Lists {
    let live = |b: &&Binding| !ended(b, now) && b.role.1 == role.meta.name;
    let by_binding = cache.site_bindings.values().filter(live).flat_map(|b| holders_of(cache, b).0.granted);
    cache.holders_with(&role.meta.name, &by_binding.collect(), into)
}

/// The subjects of a SiteRoleBinding, and its role if that may be assigned to the site. Ignores expiry.
pub(super) fn holders_of(cache: &Cache, binding: &Binding) -> (Subjects, Result<Arc<Resolved>, Reason>) {
    let role = match cache.site_roles.get(&binding.role.1) {
        _ if binding.meta.unreadable.is_some() => Err(Reason::Unreadable),
        None => Err(Reason::RoleNotFound),
        Some(role) if !roles::assignable(role, api::Place::Site) => Err(Reason::RoleNotAssignableHere),
        Some(role) => Ok(role),
    };
    let resolved = role.and_then(|r| cache.site_role_rights(&r.meta.name).cloned().ok_or(Reason::RoleNotFound));
    let who = match (role, &resolved) {
        (Ok(role), Ok(_)) => {
            subjects::of_site_binding(cache, binding, |subject| is_not_the_holder(cache, role, subject))
        }
        (Err(reason), _) | (Ok(_), &Err(reason)) => nobody(binding, reason),
    };
    (who, resolved)
}

fn nobody(binding: &Binding, reason: Reason) -> Subjects {
    let subjects = binding.subjects.iter().enumerate();
    let withheld = Withheld::all(reason, subjects.map(|(index, subject)| Item::Subject(index, subject.clone())));
    Subjects { withheld, ..Subjects::default() }
}

/// Only the recorded holder gets a role with `singleHolder`.
fn is_not_the_holder(cache: &Cache, role: &Role, subject: &SubjectRef) -> Option<Reason> {
    match subject {
        _ if !role.single_holder => None,
        SubjectRef::User(name) if role.holder.as_ref() == Some(name) => None,
        SubjectRef::User(_) if role.holder.is_none() => {
            let is_open = desired_holder(cache, role, Timestamp::MIN).is_none();
            Some(if is_open { Reason::Undecided } else { Reason::HolderPending })
        }
        SubjectRef::User(_) => Some(Reason::HeldByAnother),
        _ => Some(Reason::OnlyUsers),
    }
}

/// The user that should hold a role with `singleHolder`: the recorded holder, while a binding assigns it to them and
/// they may hold it; otherwise the first user of the oldest binding that may.
fn desired_holder(cache: &Cache, role: &Role, now: Timestamp) -> Option<Name> {
    if role.meta.unreadable.is_some() {
        return role.holder.clone();
    }
    if !role.single_holder || !roles::assignable(role, api::Place::Site) {
        return None;
    }
    let live = |b: &&Binding| b.role.1 == role.meta.name && !ended(b, now);
    let bindings = || cache.site_bindings.values().filter(live);
    // An unreadable binding or User neither assigns the role nor revokes it.
    let keeps = |holder: &Name| {
        let may_hold = matches!(cache.standing(holder), Standing::Good | Standing::Unreadable);
        may_hold && subjects::valid_name(holder) && bindings().any(|b| users_of(b).any(|name| name == holder))
    };
    // A restored role has no status.
    let kept = || cache.kept.holders.get(&*role.meta.name).filter(|_| role.meta.status.digest == 0);
    let kept = || kept().map(|holder| Name::from(holder.as_str()));
    if let Some(holder) = role.holder.clone().or_else(kept).filter(keeps) {
        return Some(holder);
    }
    let first_user = |binding: &&Binding| {
        let mut users = users_of(binding).filter(|name| subjects::user(cache, name).is_ok());
        users.next().filter(|_| binding.meta.unreadable.is_none()).cloned()
    };
    let giving = bindings().filter(|binding| first_user(binding).is_some());
    order::first(giving, |binding| &binding.meta).known().and_then(|binding| first_user(&binding))
}

fn users_of(binding: &Binding) -> impl Iterator<Item = &Name> {
    binding.subjects.iter().filter_map(|subject| match subject {
        SubjectRef::User(name) => Some(name),
        _ => None,
    })
}

fn ended(binding: &Binding, now: Timestamp) -> bool {
    binding.expires_at.is_some_and(|end| Timestamp::from(end) <= now)
}

fn binding_status<'a>(
    cache: &Cache,
    binding: &'a Binding,
    now: Timestamp,
    observed: &dyn ObservedState,
    beyond: Option<&Effect>,
    held: &mut Holdings<'a>,
) -> StatusDraft {
    let (mut who, role) = holders_of(cache, binding);
    let expired = ended(binding, now);
    let nothing = if expired { Some(Reason::Expired) } else { role.as_ref().err().copied() };
    if expired {
        who = nobody(binding, Reason::Expired);
    }
    let mut effect = Effect::default();
    if let (false, Some(site_role), Ok(resolved)) =
        (observed.write_failures().is_empty(), cache.site_roles.get(&binding.role.1), &role)
    {
        effect = effect_in_namespaces(cache, observed, binding, site_role, resolved, &who);
        if let Some(beyond) = beyond {
            effect.missing.extend(beyond.missing.intersection(&who.granted).cloned());
            effect.because = effect.because.take().or_else(|| beyond.because.clone());
        }
    }
    let gives = role.as_ref().is_ok_and(|role| !role.is_empty());
    for username in effect.usernames(who.granted.iter().filter(|_| gives)) {
        let (grants, roles) = held.0.entry(username.clone()).or_default();
        *grants += 1;
        roles.insert(&binding.role.1);
    }
    let write_failure = observed.write_failures().first_of(&binding.meta.uid).or_else(|| effect.because.clone());
    let role = role.as_deref().map_err(|reason| (*reason, role_problem(cache, binding, *reason)));
    let findings = binding_findings(role, &who, &effect, nothing, write_failure, binding);
    let status = BindingStatus {
        grants: count(effect.count(if gives { who.granted.len() } else { 0 })),
        withheld: count(who.withheld.len()),
        ..BindingStatus::default()
    };
    StatusDraft::new(ApiKind::SiteRoleBinding, &binding.meta, Status::Binding(status), findings)
}
