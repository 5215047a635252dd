//! Decides one namespace: its native objects, and the statuses of its Groups, RoleBindings and CustomRoles.
//!
//! The whole desired set is computed at once, so that orphans, drift and renames need no code of their own.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::budget::{self, Budget, Room};
use super::cache::{Cache, Held, Local};
use super::claims::{self, Assignment};
use super::compact_time::CompactTime;
use super::conditions::{Finding, Message, Status, StatusDraft, about, bad, good};
use super::desired::{DesiredState, Place, RoleName};
use super::effect::{Effect, Grant};
use super::findings::{beyond_limit, binding_findings, count, only_a_part, role_findings, role_problem};
use super::members::Members;
use super::object_ref::{ApiRef, NativeRef};
use super::observed_state::ObservedState;
use super::order::{self, Handover};
use super::organization_status::member_role;
use super::own_roles::OwnRoles;
use super::rbac::{Owner, RbacSpec, Subject};
use super::records::{Binding, Group, Meta, Organization, Role, SubjectRef};
use super::roles::{self, Resolved};
use super::subjects::{self, Subjects};
use super::uid::Uid;
use super::withheld::{Item, Withheld, expected};
use super::write_failures::WriteFailures;
use super::{Name, kept, names};
use crate::api::ApiKind;
use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::vocabulary::MEMBER_ROLE;
use crate::api::{self, BindingStatus, GroupStatus, RoleKind, RoleStatus};

/// The most roles that the status of a Group names.
const ROLES_NAMED: usize = 50;

/// The desired state of a namespace at a time.
#[must_use]
pub fn decide(cache: &Cache, namespace: &Name, now: Timestamp, observed: &dyn ObservedState) -> DesiredState {
    let empty = Local::default();
    let local = cache.local.get(namespace).unwrap_or(&empty);
    match claims::holder(cache, namespace) {
        Some(organization) => Namespace::new(cache, namespace, organization, local, now, observed).decide(),
        None => unheld(cache, namespace, local, observed.write_failures()),
    }
}

/// Grants nothing, and tells every object why: no organization holds the namespace.
fn unheld(cache: &Cache, namespace: &Name, local: &Local, failures: &WriteFailures) -> DesiredState {
    let wanting = claims::claimants(cache, namespace).next();
    // A pending claim resolves by itself, so its author has nothing to fix.
    let pending =
        |o: &Organization| matches!(claims::assignment(cache, o), Assignment::Not { reason: Reason::ClaimPending, .. });
    let is_refused = failures.refused_claims.contains_key(namespace);
    let is_pending = !is_refused && claims::claimants(cache, namespace).any(pending);
    let message = match wanting {
        _ if is_pending => format!("Namespace {namespace}: {}", Reason::ClaimPending.meaning()),
        Some(o) => format!(
            "Organization {0} requests namespace {namespace} but does not hold it. To see why, run \
             `kubectl describe organizations.bailiwick.dev {0}`.",
            o.meta.name
        ),
        None => format!(
            "No organization holds namespace {namespace}, so this object has no effect. Create an Organization with \
             `spec.namespace: {namespace}`, or move the object to a namespace that an organization holds."
        ),
    };
    let reason = if is_pending { Reason::ClaimPending } else { Reason::NoOrganization };
    let finding = || vec![bad(C::Ready, reason, message.clone())];
    // The organization may only have been recreated, and no other record says which objects are its own.
    let owner = |meta: &Meta| meta.belongs_to.as_ref().map(Name::to_string);
    let mut statuses = Vec::new();
    let privileged = perhaps_privileged(cache, local);
    for meta in local.groups.metas() {
        // The Group's members will get the role when an organization takes the namespace (again).
        let privileged = privileged.contains(&meta.name) || local.bindings.is_over();
        let status = GroupStatus { privileged, organization: owner(meta), ..GroupStatus::default() };
        statuses.push(StatusDraft::new(ApiKind::Group, meta, Status::Group(status), finding()));
    }
    for meta in local.bindings.metas() {
        let older =
            local.bindings.get(&meta.name).map(|binding| binding.older_groups.iter().map(Uid::to_string).collect());
        let older_groups = older.unwrap_or_default();
        let status = BindingStatus { organization: owner(meta), older_groups, ..BindingStatus::default() };
        statuses.push(StatusDraft::new(ApiKind::RoleBinding, meta, Status::Binding(status), finding()));
    }
    for meta in local.roles.metas() {
        let status = RoleStatus { organization: owner(meta), ..RoleStatus::default() };
        statuses.push(StatusDraft::new(ApiKind::CustomRole, meta, Status::Role(status), finding()));
    }
    DesiredState { statuses, ..DesiredState::default() }
}

/// The Groups that a binding names.
pub(super) fn named_groups<'a>(local: &'a Local, binding: &'a Binding) -> impl Iterator<Item = &'a Group> {
    binding.subjects.iter().filter_map(|subject| match subject {
        SubjectRef::Group(name) => local.groups.get(name),
        _ => None,
    })
}

/// A binding with unreadable subjects may be the one that made a Group privileged.
fn stays_privileged(local: &Local, group: &Group) -> bool {
    group.privileged && local.bindings.values().any(|binding| binding.meta.unreadable.is_some())
}

/// The Groups that a binding may give a privileged role, as far as that is known without resolved roles.
fn perhaps_privileged<'a>(cache: &Cache, local: &'a Local) -> BTreeSet<&'a Name> {
    let perhaps = |binding: &&Binding| match &binding.role {
        _ if binding.meta.unreadable.is_some() => true,
        (RoleKind::SiteRole, role) => cache.site_role_rights(role).is_none_or(|role| role.privileged),
        (RoleKind::CustomRole, role) => {
            local.roles.get(role).is_none_or(|role| role.privileged || !role.inherits.is_empty())
        }
    };
    let subjects = local.bindings.values().filter(perhaps).flat_map(|binding| &binding.subjects);
    let groups = subjects.filter_map(|subject| match subject {
        SubjectRef::Group(name) => Some(name),
        _ => None,
    });
    groups.collect()
}

/// The roles that bindings grant to a Group.
#[derive(Default)]
struct GroupRoles<'a> {
    roles: BTreeSet<&'a (RoleKind, Name)>,
    /// Whether one of them is privileged.
    privileged: bool,
}

struct Namespace<'a> {
    cache: &'a Cache,
    name: &'a Name,
    organization: &'a Organization,
    local: &'a Local,
    now: Timestamp,
    observed: &'a dyn ObservedState,
    handover: Option<Handover>,
    custom_roles: BTreeMap<Name, Arc<Resolved>>,
    /// The members of each Group, computed once because many bindings may name it.
    groups: BTreeMap<Name, Subjects>,
    /// The Groups of each subject, if needed.
    groups_of: OnceCell<HashMap<Subject, Vec<Name>>>,
    budget: Budget<'a>,
    members: Members<'a>,
    /// The roles that bindings grant to each Group.
    group_roles: BTreeMap<&'a Name, GroupRoles<'a>>,
    holders: BTreeSet<(Name, Subject)>,
    own: OwnRoles<'a>,
    /// Counts of what each username holds here.
    held: HashMap<Name, Held>,
    /// Whether anything here is withheld because of its age.
    has_doubts: bool,
    decision: DesiredState,
}

impl<'a> Namespace<'a> {
    fn new(
        cache: &'a Cache,
        name: &'a Name,
        organization: &'a Organization,
        local: &'a Local,
        now: Timestamp,
        observed: &'a dyn ObservedState,
    ) -> Self {
        let handover = Handover::of(cache, name);
        let counts =
            |role: &Role| order::predates_claim(cache, ApiKind::CustomRole, &role.meta, handover.as_ref()).is_none();
        let resolved = roles::resolve_custom_roles(cache, name, local.resolved.take(), &local.roles, counts);
        let custom_roles = local.roles.keys().filter_map(|name| Some((name.clone(), resolved.get(name)?.clone())));
        let custom_roles = custom_roles.collect();
        local.resolved.replace(resolved);
        Self {
            cache,
            name,
            organization,
            local,
            now,
            observed,
            handover,
            custom_roles,
            groups: local.groups.iter().map(|(name, group)| (name.clone(), subjects::members(cache, group))).collect(),
            groups_of: OnceCell::new(),
            budget: Budget::new(),
            members: Members::default(),
            group_roles: BTreeMap::new(),
            holders: BTreeSet::new(),
            own: OwnRoles::new(cache, name, observed),
            held: HashMap::new(),
            has_doubts: false,
            decision: DesiredState::default(),
        }
    }

    fn decide(mut self) -> DesiredState {
        self.decision.contribution.doubts = self.doubts();
        self.has_doubts = !self.decision.contribution.doubts.is_empty();
        let bindings = self.local.bindings.values().map(|binding| (binding, self.assignable(&binding.role)));
        let mut bindings: Vec<_> = bindings.collect();
        bindings.sort_by_cached_key(|(binding, role)| {
            let privileged = role.as_ref().is_ok_and(|role| role.resolved.privileged);
            budget::precedence(binding, privileged, subjects::size(binding, &self.groups))
        });
        for (binding, role) in &bindings {
            if self.refused(binding, role).is_none() {
                self.budget.reserve(binding, subjects::size(binding, &self.groups));
            }
        }
        for (binding, role) in bindings {
            self.binding(binding, role);
        }
        self.decision.statuses.sort_by(|one, other| one.target.name.cmp(&other.target.name));
        for binding in self.cache.site_bindings.values() {
            self.site_binding(binding);
        }
        for group in self.local.groups.values() {
            self.group(group);
        }
        for role in self.local.roles.values() {
            self.custom_role(role);
        }
        self.beyond_limits();
        self.implicit();
        self.own.write(&mut self.decision.desired, &self.organization.meta.source(ApiKind::Organization));
        self.decision.owned_kinds = std::mem::take(&mut self.own.kinds);
        let belong = std::mem::take(&mut self.members).belong(self.local);
        for name in belong.iter().filter(|name| subjects::user(self.cache, name).is_ok()) {
            self.held.entry(name.clone()).or_default().is_member = true;
        }
        self.decision.counts.members = count(self.held.values().filter(|held| held.is_member).count());
        self.decision.contribution.belong = belong;
        let mut held: Vec<_> = self.held.into_iter().collect();
        held.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        self.decision.contribution.held = held.into();
        self.decision.contribution.holders = self.holders.into_iter().collect();
        self.decision
    }

    /// Objects of which only the name is kept. There may be very many, so a status that already says so is not written
    /// again.
    fn beyond_limits(&mut self) {
        let local = self.local;
        // The record of doubts still needs these.
        let has_doubts = self.has_doubts;
        let is_told = |meta: &&Meta| meta.status.left_out && (meta.belongs_to.is_some() || !has_doubts);
        for meta in local.groups.excess() {
            let privileged = self.group_roles.remove(&meta.name).is_some_and(|held| held.privileged);
            let privileged = privileged || local.bindings.is_over();
            if privileged || !is_told(&meta) {
                let organization = self.belongs_to(ApiKind::Group, meta);
                let status = GroupStatus { privileged, organization, ..GroupStatus::default() };
                self.status(ApiKind::Group, meta, Status::Group(status), beyond_limit("Groups"));
            }
        }
        for meta in local.bindings.excess().filter(|meta| !is_told(meta)) {
            let organization = self.belongs_to(ApiKind::RoleBinding, meta);
            let status = BindingStatus { organization, ..BindingStatus::default() };
            self.status(ApiKind::RoleBinding, meta, Status::Binding(status), beyond_limit("RoleBindings"));
        }
        for meta in local.roles.excess().filter(|meta| !is_told(meta)) {
            let organization = self.belongs_to(ApiKind::CustomRole, meta);
            let status = RoleStatus { organization, ..RoleStatus::default() };
            self.status(ApiKind::CustomRole, meta, Status::Role(status), beyond_limit("CustomRoles"));
        }
        self.decision.counts.beyond_limits += count(local.excess().count());
    }

    fn binding(&mut self, binding: &'a Binding, role: Result<Assigned, Reason>) {
        self.note_groups(binding, role.as_ref().ok());
        let refused = self.refused(binding, &role);
        let room = match refused {
            None => self.budget.take(binding, subjects::size(binding, &self.groups)),
            Some(_) => Room::None,
        };
        if refused.is_none() && room != Room::All {
            self.decision.counts.beyond_limits += 1;
        }
        let refused = refused.or_else(|| (room == Room::None).then_some(Reason::TooLarge));
        // Nobody joins the default organization because a grant ended, or because others exceeded a limit.
        let still_belong = match refused {
            None => true,
            Some(Reason::Expired) => binding.took_effect(),
            Some(Reason::TooLarge) => binding.granted > 0,
            Some(_) => false,
        };
        let mut who = Subjects::default();
        let (cache, local, handover) = (self.cache, self.local, self.handover.as_ref());
        if let Ok(role) = &role
            && still_belong
        {
            let privileged = role.resolved.privileged;
            if role.implies_membership || !role.resolved.is_empty() || self.is_unreadable(&binding.role) {
                let groups = subjects::groups_of_binding(cache, local, binding, privileged, handover);
                self.members.belong_by(binding, &groups);
            }
            if refused.is_none() {
                who = match room {
                    Room::Holders => self.holders_of(binding, role),
                    _ => subjects::of_binding(cache, local, &self.groups, binding, privileged, handover),
                };
                self.members.hold(&who.granted, role.implies_membership);
            }
        }
        if binding.meta.unreadable.is_some() {
            // Nobody joins the default organization because an object cannot be read.
            let groups = subjects::groups_of_binding(cache, local, binding, true, handover);
            self.members.belong_by(binding, &groups);
        }
        if let Some(reason) = refused {
            let subjects = binding.subjects.iter().enumerate();
            who.withheld =
                Withheld::all(reason, subjects.map(|(index, subject)| Item::Subject(index, subject.clone())));
        }
        let mut effect = Effect::default();
        if let Ok(role) = &role {
            let source = binding.meta.source(ApiKind::RoleBinding);
            effect = self.grant(&["role-binding", &binding.meta.name], role, &who, &source);
        }
        self.decision.counts.withheld += count(who.withheld.len());
        let gives = role.as_ref().is_ok_and(|role| !role.resolved.is_empty());
        let findings = binding_findings(
            role.as_ref().map(|r| &*r.resolved).map_err(|reason| (*reason, role_problem(self.cache, binding, *reason))),
            &who,
            &effect,
            refused,
            self.write_failure(&binding.meta)
                .or_else(|| role.as_ref().ok().and_then(|role| self.write_failure_of_role(role))),
            binding,
        );
        let status = BindingStatus {
            grants: count(effect.count(if gives { who.granted.len() } else { 0 })),
            withheld: count(who.withheld.len()),
            organization: self.belongs_to(ApiKind::RoleBinding, &binding.meta),
            older_groups: self.older_groups(binding, role.as_ref().ok()),
            ..BindingStatus::default()
        };
        self.status(ApiKind::RoleBinding, &binding.meta, Status::Binding(status), findings);
    }

    /// Why a binding grants nothing, apart from its size.
    fn refused(&mut self, binding: &Binding, role: &Result<Assigned, Reason>) -> Option<Reason> {
        let expired = self.expired(binding.expires_at);
        let former = self.predates_claim(ApiKind::RoleBinding, &binding.meta);
        match role {
            _ if binding.meta.unreadable.is_some() => Some(Reason::Unreadable),
            _ if former.is_some() => former,
            Err(reason) => Some(*reason),
            Ok(_) if expired => Some(Reason::Expired),
            Ok(_) => None,
        }
    }

    /// The subjects of a binding that hold its role already. There is no room in the budget for the others.
    fn holders_of(&self, binding: &Binding, role: &Assigned) -> Subjects {
        let native = names::role(role.id.0, &role.id.1);
        let mut holders = BTreeSet::new();
        for observed in self.observed.bindings(self.name) {
            match &observed.content {
                Some(RbacSpec::Binding { role, subjects })
                    if *role == native && observed.owner == Owner::One(binding.meta.uid.clone()) =>
                {
                    holders.extend(subjects.iter());
                }
                _ => {}
            }
        }
        let groups_of = self.groups_of.get_or_init(|| {
            let members = |(name, members): (&Name, &Subjects)| {
                members.granted.iter().map(|subject| (subject.clone(), name.clone())).collect::<Vec<_>>()
            };
            let mut groups_of: HashMap<Subject, Vec<Name>> = HashMap::new();
            for (subject, name) in self.groups.iter().flat_map(members) {
                groups_of.entry(subject).or_default().push(name);
            }
            groups_of
        });
        let (cache, local, handover) = (self.cache, self.local, self.handover.as_ref());
        let groups = subjects::groups_of_binding(cache, local, binding, role.resolved.privileged, handover);
        let named: HashSet<&SubjectRef> = binding.subjects.iter().collect();
        let is_requested = |subject: &Subject| {
            let through = groups_of.get(subject).into_iter().flatten().find(|name| groups.contains(*name));
            through.is_some() || subjects::named(cache, &named, subject)
        };
        holders.retain(|subject| is_requested(subject));
        let granted: BTreeSet<Subject> = holders.into_iter().cloned().collect();
        let without = subjects::size(binding, &self.groups).saturating_sub(granted.len());
        let mut withheld = Withheld::default();
        let items =
            binding.subjects.iter().enumerate().filter(|(_, subject)| {
                matches!(subject, SubjectRef::Group(_)) || !subjects::is_one_of(subject, &granted)
            });
        withheld.add_many(Reason::TooLarge, without, items.map(|(n, subject)| Item::Subject(n, subject.clone())));
        Subjects { granted, groups, withheld }
    }

    /// The part of a SiteRoleBinding in this namespace. The site reports its status.
    fn site_binding(&mut self, binding: &Binding) {
        if self.expired(binding.expires_at) {
            return;
        }
        let (who, role) = super::site::holders_of(self.cache, binding);
        let (Ok(_), Some(resolved)) = (role, self.site_role_rights(&binding.role.1)) else { return };
        let source = binding.meta.source(ApiKind::SiteRoleBinding);
        let role = self.role((RoleKind::SiteRole, binding.role.1.clone()), resolved, false);
        self.grant(&["site-role-binding", &binding.meta.name], &role, &who, &source);
    }

    /// The organization's member role, and the namespaced part of `member`.
    fn implicit(&mut self) {
        for name in self.members.add_those_who_belong_nowhere(self.cache, self.name) {
            self.held.entry(name).or_default().is_member = true;
        }
        if self.organization.meta.unreadable.is_some() {
            return;
        }
        let who = Subjects { granted: self.members.holders(), ..Subjects::default() };
        let source = self.organization.meta.source(ApiKind::Organization);
        let implicit = [member_role(self.cache, self.organization).ok().flatten(), Some(Name::from(MEMBER_ROLE))];
        for name in implicit.into_iter().flatten() {
            if let Some(resolved) = self.site_role_rights(&name) {
                let role = self.role((RoleKind::SiteRole, name), resolved, true);
                self.grant(&["organization", &self.organization.meta.name], &role, &who, &source);
            }
        }
    }

    fn group(&mut self, group: &'a Group) {
        let former = self.predates_claim(ApiKind::Group, &group.meta);
        let mut who = self.groups.remove(&group.meta.name).unwrap_or_default();
        if let Some(reason) = former {
            let members = group.members.iter().enumerate();
            let members = members.map(|(index, name)| Item::Member(index, name.clone()));
            who = Subjects { withheld: Withheld::all(reason, members), ..Subjects::default() };
        } else if group.implies_membership {
            self.members.hold(&who.granted, true);
            self.members.belong_by_group(&group.meta.name);
        }
        let GroupRoles { roles, privileged } = self.group_roles.remove(&group.meta.name).unwrap_or_default();
        let privileged = privileged || stays_privileged(self.local, group);
        let mut findings =
            vec![about(C::MembersKnown, (Reason::Resolved, "Every member is known."), who.withheld.clone())];
        let ready = match (former, who.withheld.faults()) {
            (Some(reason), _) => bad(C::Ready, reason, reason.meaning()),
            (None, 0) if exceeds_an_annotation(group) => good(
                C::Ready,
                Reason::Reconciled,
                "The group is in effect. It is too large for plain `kubectl apply`, which keeps a copy in an \
                 annotation: use `kubectl apply --server-side`.",
            ),
            (None, 0) => good(C::Ready, Reason::Reconciled, "The group is in effect."),
            (None, _) => {
                bad(C::Ready, Reason::PartlyWithheld, Message::Withheld(who.withheld.only(|reason| !expected(reason))))
            }
        };
        findings.insert(0, ready);
        self.decision.counts.withheld += count(who.withheld.len());
        let named = roles.iter().take(ROLES_NAMED).map(|(kind, name)| format!("{}/{name}", kind.as_str()));
        let more = roles.len().saturating_sub(ROLES_NAMED);
        let status = GroupStatus {
            members: count(who.granted.iter().filter(|g| matches!(g, Subject::User(_))).count()),
            roles: named.chain((more > 0).then(|| format!("and {more} more"))).collect(),
            // A binding of which only the name is kept may refer to any Group.
            privileged: privileged || self.local.bindings.is_over(),
            withheld: count(who.withheld.len()),
            organization: self.belongs_to(ApiKind::Group, &group.meta),
            ..GroupStatus::default()
        };
        self.status(ApiKind::Group, &group.meta, Status::Group(status), findings);
    }

    fn custom_role(&mut self, role: &Role) {
        let write_failure = self.write_failure(&role.meta);
        let (status, findings) = match self.custom_roles.get(&role.meta.name) {
            Some(resolved) => {
                let withheld = count(resolved.withheld.refused());
                self.decision.counts.withheld += withheld;
                let inherits = resolved.inherits.iter();
                let inherits =
                    inherits.map(|(kind, name)| api::RoleRef { kind: *kind, name: name.to_string() }).collect();
                let organization = self.belongs_to(ApiKind::CustomRole, &role.meta);
                (
                    RoleStatus { inherits, withheld, organization, ..RoleStatus::default() },
                    role_findings(resolved, write_failure),
                )
            }
            None => {
                if let Some(reason) = self.predates_claim(ApiKind::CustomRole, &role.meta) {
                    (RoleStatus::default(), vec![bad(C::Ready, reason, reason.meaning())])
                } else {
                    self.decision.counts.beyond_limits += 1;
                    (RoleStatus::default(), beyond_limit("CustomRoles"))
                }
            }
        };
        self.status(ApiKind::CustomRole, &role.meta, Status::Role(status), findings);
    }

    fn status(&mut self, kind: ApiKind, meta: &Meta, status: Status, mut findings: Vec<Finding>) {
        let (local, name) = (self.local, &meta.name);
        let is_part = match kind {
            ApiKind::Group => local.groups.get(name).is_some() && local.groups.is_excess(name),
            ApiKind::RoleBinding => local.bindings.get(name).is_some() && local.bindings.is_excess(name),
            ApiKind::CustomRole => local.roles.get(name).is_some() && local.roles.is_excess(name),
            ApiKind::Organization | ApiKind::User | ApiKind::SiteRole | ApiKind::SiteRoleBinding => false,
        };
        if is_part {
            self.decision.counts.beyond_limits += 1;
            findings[0] = only_a_part();
        }
        self.decision.statuses.push(StatusDraft::new(kind, meta, status, findings));
    }

    /// Adds a role and its holders to the desired state of the namespace, and remembers the holders for the role's part
    /// beyond it. Returns how much of that is in effect.
    fn grant(&mut self, path: &[&str], role: &Assigned, who: &Subjects, source: &ApiRef) -> Effect {
        let native = names::role(role.id.0, &role.id.1);
        let grant = Grant { namespace: self.name, role: &native, source: &source.uid };
        if who.granted.is_empty() {
            let effect = Effect::of(self.observed, &grant, &self.decision.desired, &who.granted);
            self.decision.counts.grants += count(effect.count(0));
            self.hold(role, who, &effect, source);
            return effect;
        }
        let mut effect = Effect::default();
        if !role.resolved.namespaced.is_empty() {
            let mut place = Place {
                namespace: self.name,
                desired: &mut self.decision.desired,
                observed: self.observed,
                seed: self.cache.seed,
            };
            place.role(&native, &role.resolved.rules.namespaced, role.source.clone());
            let reference = RoleName { kind: role.id.0, name: &role.id.1, native: native.clone() };
            place.bind(path, &reference, &who.granted, source);
            effect = Effect::of(self.observed, &grant, &self.decision.desired, &who.granted);
            self.decision.counts.grants += count(effect.count(who.granted.len()));
        }
        self.own.hold(&who.granted, &role.resolved.by_name);
        let beyond = !role.resolved.cluster.is_empty() || !role.resolved.release.is_empty();
        if beyond && source.kind != ApiKind::SiteRoleBinding {
            self.holders.extend(who.granted.iter().map(|grantee| (role.id.1.clone(), grantee.clone())));
        }
        self.hold(role, who, &effect, source);
        effect
    }

    /// Counts the grants of usernames. A SiteRoleBinding that grants in every namespace counts once, at the site.
    fn hold(&mut self, role: &Assigned, who: &Subjects, effect: &Effect, source: &ApiRef) {
        if source.kind == ApiKind::SiteRoleBinding {
            return;
        }
        for username in effect.usernames(who.granted.iter().filter(|_| !role.resolved.is_empty())) {
            self.held.entry(username.clone()).or_default().grants += 1;
        }
    }

    /// The role of a RoleBinding, if it may be assigned in an organization.
    fn assignable(&self, id: &(RoleKind, Name)) -> Result<Assigned, Reason> {
        match id.0 {
            RoleKind::CustomRole => {
                let Some(resolved) = self.custom_roles.get(&id.1) else {
                    let Some(role) = self.local.roles.meta(&id.1) else { return Err(Reason::RoleNotFound) };
                    // The status of the role gives the reason otherwise.
                    return Err(self.predates_claim(ApiKind::CustomRole, role).unwrap_or(Reason::RoleGrantsNothing));
                };
                let implies = self.local.roles.get(&id.1).is_some_and(|r| r.implies_membership);
                Ok(self.role(id.clone(), resolved.clone(), implies))
            }
            RoleKind::SiteRole => {
                let role = self.cache.site_roles.get(&id.1).ok_or(Reason::RoleNotFound)?;
                let resolved = self.site_role_rights(&id.1).ok_or(Reason::RoleNotFound)?;
                if !roles::assignable(role, api::Place::Organization) || role.single_holder {
                    return Err(Reason::RoleNotAssignableHere);
                }
                Ok(self.role(id.clone(), resolved, role.implies_membership))
            }
        }
    }

    fn site_role_rights(&self, name: &str) -> Option<Arc<Resolved>> {
        self.cache.site_role_rights_in(self.name, name).cloned()
    }

    fn role(&self, id: (RoleKind, Name), resolved: Arc<Resolved>, implies_membership: bool) -> Assigned {
        let source = match id.0 {
            RoleKind::CustomRole => self.local.roles.get(&id.1).map(|r| r.meta.source(ApiKind::CustomRole)),
            RoleKind::SiteRole => self.cache.site_roles.get(&id.1).map(|r| r.meta.source(ApiKind::SiteRole)),
        };
        // A resolved role exists. Without a source, nothing would own the native objects, so nothing is granted.
        let (source, resolved) = match source {
            Some(source) => (source, resolved),
            None => (self.organization.meta.source(ApiKind::Organization), Arc::default()),
        };
        Assigned { id, resolved, implies_membership, source }
    }

    /// The reason for ignoring an object that may predate the namespace's change of hands.
    fn predates_claim(&self, kind: ApiKind, meta: &Meta) -> Option<Reason> {
        order::predates_claim(self.cache, kind, meta, self.handover.as_ref())
    }

    /// Objects withheld because of their age, for [`Kept`](super::kept::Kept).
    fn doubts(&self) -> Box<[(Name, Uid)]> {
        let local = self.local;
        let metas = (local.groups.values().map(|group| (ApiKind::Group, &group.meta)))
            .chain(local.bindings.values().map(|binding| (ApiKind::RoleBinding, &binding.meta)))
            .chain(local.roles.values().map(|role| (ApiKind::CustomRole, &role.meta)));
        let former = metas
            .filter(|(kind, meta)| self.predates_claim(*kind, meta).is_some())
            .map(|(kind, meta)| (kept::former(kind, meta), &meta.uid));
        let is_privileged =
            |binding: &&Binding| self.assignable(&binding.role).is_ok_and(|role| role.resolved.privileged);
        let waiting = local.bindings.values().filter(is_privileged).flat_map(|binding| {
            let groups = named_groups(local, binding);
            let waits = |group: &&Group| order::may_have_waited(self.cache, binding, group);
            groups.filter(waits).map(|group| (kept::waiting(binding, &group.meta), &binding.meta.uid))
        });
        // The contents of objects beyond the limit are unknown.
        let unknown = local.is_over() && (local.bindings.is_over() || self.handover.is_some());
        let unknown = unknown.then(|| (Name::from(kept::anything(self.name)), Uid::default()));
        let mut doubts: BTreeMap<Name, Uid> = unknown.into_iter().collect();
        for (doubt, uid) in former.chain(waiting) {
            // With one more than the record can hold, the whole namespace is in doubt. There may be very many.
            if doubts.len() > kept::MOST_DOUBTS {
                break;
            }
            doubts.insert(Name::from(doubt), uid.clone());
        }
        doubts.into_iter().collect()
    }

    /// The organization to record in an object's status, so that neither a restart nor a full record of doubts brings a
    /// doubt back.
    fn belongs_to(&self, kind: ApiKind, meta: &Meta) -> Option<String> {
        let by_time = || order::belongs_to(meta, self.handover.as_ref()).is_some();
        let clear = || self.has_doubts && self.predates_claim(kind, meta).is_none();
        let holder = &self.organization.meta.name;
        (meta.belongs_to.as_ref() == Some(holder) || by_time() || clear()).then(|| holder.to_string())
    }

    /// The Groups to record as older than a binding, so that no doubt about them arises again: those to which it grants
    /// a privileged role, and all of them in a namespace with doubts.
    fn older_groups(&self, binding: &Binding, role: Option<&Assigned>) -> Vec<String> {
        let privileged = role.is_some_and(|role| role.resolved.privileged);
        let vouched = |group: &Group| group.vouched && self.cache.bounds.groups_are_vouched;
        let older = named_groups(self.local, binding).filter(|group| {
            let by_time = || privileged && !vouched(group) && order::older_group(binding, group).is_some();
            let clear = || self.has_doubts && !order::may_have_waited(self.cache, binding, group);
            binding.older_groups.contains(&group.meta.uid) || by_time() || clear()
        });
        let older: BTreeSet<_> = older.map(|group| group.meta.uid.to_string()).collect();
        older.into_iter().collect()
    }

    fn is_unreadable(&self, (kind, name): &(RoleKind, Name)) -> bool {
        let role = match kind {
            RoleKind::CustomRole => self.local.roles.get(name),
            RoleKind::SiteRole => self.cache.site_roles.get(name),
        };
        role.is_some_and(|role| role.meta.unreadable.is_some())
    }

    fn note_groups(&mut self, binding: &'a Binding, role: Option<&Assigned>) {
        for subject in &binding.subjects {
            if let SubjectRef::Group(name) = subject {
                let held = self.group_roles.entry(name).or_default();
                held.roles.insert(&binding.role);
                // A missing role may turn out to be privileged, and unreadable content may say anything.
                held.privileged |= binding.meta.unreadable.is_some() || role.is_none_or(|r| r.resolved.privileged);
            }
        }
    }

    fn expired(&mut self, expires_at: Option<CompactTime>) -> bool {
        match expires_at.map(Timestamp::from) {
            Some(end) if end <= self.now => true,
            Some(end) => {
                let next = &mut self.decision.next_change;
                *next = Some(next.map_or(end, |n| n.min(end)));
                false
            }
            None => false,
        }
    }

    /// The failure to write a role here, because of which its bindings grant nothing either.
    fn write_failure_of_role(&self, role: &Assigned) -> Option<(Reason, String)> {
        // The site owns its grants in the release namespace.
        let here = |key: &NativeRef| key.namespace == *self.name && !key.name.starts_with(names::RELEASE_PREFIX);
        let mut of_role = self.observed.write_failures().of(&role.source.uid).filter(|(key, _)| here(key));
        of_role.next().map(|(_, write_failure)| (write_failure.reason, write_failure.message.clone()))
    }

    fn write_failure(&self, meta: &Meta) -> Option<(Reason, String)> {
        self.observed.write_failures().first_of(&meta.uid)
    }
}

/// Whether a Group, as JSON, exceeds the 256 KiB that all annotations of an object may have together.
fn exceeds_an_annotation(group: &Group) -> bool {
    // Each name also takes two quotes and a comma.
    let size: usize = group.members.iter().chain(&*group.external).map(|name| name.len() + 3).sum();
    size > 256 * 1024 - 512
}

/// A role as it applies in this namespace.
struct Assigned {
    id: (RoleKind, Name),
    resolved: Arc<Resolved>,
    implies_membership: bool,
    source: ApiRef,
}
