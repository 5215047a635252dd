//! Records: the parts of our objects that decisions need, parsed once at the edge and small enough to keep in memory.
//!
//! All code after this file takes records, never the loose types of [`crate::api`].

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::Serialize;

use super::Name;
use super::compact_time::CompactTime;
use super::intern;
use super::object_ref::{ApiRef, ObjectRef};
use super::rules::Rule;
use super::uid::Uid;
use crate::api::conditions::{ConditionType, Reason};
use crate::api::vocabulary::{
    CLAIMED_AT, LAST_ORGANIZATION, ORGANIZATION, ORGANIZATION_UID, SUSPENSION, VACATED_AT, VOUCHED,
};
use crate::api::{self, ApiKind, Permission, Place, RoleKind, SiteSubjectKind, SubjectKind};

/// Metadata and status, which every record has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Name.
    pub name: Name,
    /// Namespace; empty for the cluster kinds.
    pub namespace: Name,
    /// UID.
    pub uid: Uid,
    /// Resource version.
    pub version: u64,
    /// Generation.
    pub generation: i64,
    /// When it was created; `None` for manifests that no API server has seen.
    pub created: Option<CompactTime>,
    /// The status as it stands.
    pub status: ObservedStatus,
    /// The resource version of the last change to the spec, if the operator saw it; otherwise zero.
    pub written_version: u64,
    /// The organization that the status names as the object's own: see [`super::order`].
    pub belongs_to: Option<Name>,
    /// Why the object cannot be read (see [`super::salvage`]). It grants nothing, and still protects what it protected.
    pub unreadable: Option<Name>,
}

/// The parts of a status that show whether it has to be written, and with which transition times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedStatus {
    /// A digest of everything but the transition times.
    pub digest: u64,
    /// Of each condition.
    pub transitions: Box<[Transition]>,
    /// Whether the object counts, according to its status.
    pub counts: Counts,
    /// The status says that this version of the object is beyond a limit and does not count.
    pub left_out: bool,
}

/// Whether an object counts, according to its status. When an organization has more objects than the operator can
/// afford, those that counted before take precedence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counts {
    /// It counts as it is.
    Now,
    /// It counted before its spec changed.
    Before,
    /// It is new, or beyond the limit.
    #[default]
    NotYet,
}

/// The order in which objects count: less is earlier. A tie is broken by name, so that the result does not depend on
/// the order of events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(Counts, Option<CompactTime>, Name);

impl Rank {
    /// The name of the ranked object.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.2
    }
}

/// A record that a [`crate::core::cache::Store`] can hold.
pub trait Record {
    /// The most that the records of one store may weigh together: see [`Record::weight`].
    const LIMIT: usize;

    /// The metadata of an object of ours; `None` for kinds without a limit.
    fn meta(&self) -> Option<&Meta>;

    /// UID and resource version.
    fn version(&self) -> (&Uid, u64);

    /// Roughly how many bytes of memory the operator needs for it.
    fn weight(&self) -> usize;

    /// The part of this object's requests that its older state already made.
    #[must_use]
    fn part_of(&self, old: &Self) -> Self;

    /// Carries over from an older state of the same object what only events show. `meta`: all that is left of it if it
    /// did not count.
    fn continue_from(&mut self, meta: Option<&Meta>, record: Option<&Self>);
}

/// The status of a condition and the time of its last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The type of the condition.
    pub kind: ConditionType,
    /// Whether the condition is `True`.
    pub good: bool,
    /// Seconds since 1970: the API has no finer times for this.
    pub second: i64,
}

/// Oldest first; a tie is broken by name, so that the result does not depend on the order of events.
pub fn by_age(meta: &Meta) -> (Option<CompactTime>, &Name, &Uid) {
    (meta.created, &meta.name, &meta.uid)
}

/// A digest of a status. Equal statuses have equal digests within one process; it is never stored.
#[must_use]
pub fn digest(status: &impl Serialize) -> u64 {
    let mut value = serde_json::to_value(status).unwrap_or_default();
    if let Some(conditions) = value.get_mut("conditions").and_then(|c| c.as_array_mut()) {
        for condition in conditions {
            if let Some(fields) = condition.as_object_mut() {
                fields.remove("lastTransitionTime");
            }
        }
    }
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

fn meta<S: Serialize>(metadata: &ObjectMeta, status: Option<&S>, conditions: &[Condition]) -> Meta {
    let text = |field: &Option<String>| intern::name(field.as_deref().unwrap_or_default());
    Meta {
        name: text(&metadata.name),
        namespace: text(&metadata.namespace),
        uid: metadata.uid.as_ref().into(),
        version: version(metadata),
        generation: metadata.generation.unwrap_or(0),
        created: metadata.creation_timestamp.as_ref().map(|t| t.0.into()),
        status: ObservedStatus {
            digest: status.map_or(0, digest),
            transitions: conditions
                .iter()
                .filter_map(|c| {
                    let kind = ConditionType::ALL.iter().find(|t| t.as_str() == c.type_)?;
                    let second = c.last_transition_time.0.as_second();
                    Some(Transition { kind: *kind, good: c.status == "True", second })
                })
                .collect(),
            counts: counts(metadata.generation, conditions),
            left_out: ready(conditions).is_some_and(|c| is_left_out(c) && c.observed_generation == metadata.generation),
        },
        written_version: 0,
        belongs_to: None,
        unreadable: None,
    }
}

fn ready(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == ConditionType::Ready.as_str())
}

fn is_left_out(ready: &Condition) -> bool {
    ready.reason == Reason::TooLarge.as_str()
}

fn counts(generation: Option<i64>, conditions: &[Condition]) -> Counts {
    match ready(conditions) {
        Some(ready) if is_left_out(ready) => Counts::NotYet,
        Some(ready) if ready.observed_generation == generation => Counts::Now,
        Some(_) => Counts::Before,
        None => Counts::NotYet,
    }
}

/// The resource version as a number. Kubernetes guarantees its order since 1.35.
#[must_use]
pub fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0)
}

impl Meta {
    /// Its rank when not every object can count.
    #[must_use]
    pub fn rank(&self) -> Rank {
        Rank(self.status.counts, self.created, self.name.clone())
    }

    /// Whether it is the same object with the same spec.
    #[must_use]
    pub fn is_same_spec(&self, other: &Self) -> bool {
        self.uid == other.uid && self.generation == other.generation && self.generation != 0
    }

    /// Carries over what an older state of the same object shows.
    pub(super) fn continue_from(&mut self, known: Option<&Self>) {
        match known.filter(|known| known.uid == self.uid) {
            Some(known) if known.generation == self.generation => self.written_version = known.written_version,
            Some(_) => {}
            // The first event that the operator sees of an object may be a change of its status.
            None if self.generation != 1 || self.status.digest != 0 => self.written_version = 0,
            None => {}
        }
    }

    /// This object as the source of native objects.
    #[must_use]
    pub fn source(&self, kind: ApiKind) -> ApiRef {
        ObjectRef::new(kind, self.namespace.clone(), self.name.clone()).with_uid(self.uid.clone())
    }
}

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Metadata and status.
    pub meta: Meta,
    /// `spec.namespace`.
    pub namespace: Option<Name>,
    /// `spec.default`.
    pub asks_default: bool,
    /// `status.default`: the recorded truth.
    pub is_default: bool,
    /// `spec.memberRole`, unless it is empty.
    pub member_role: Option<Name>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Metadata and status.
    pub meta: Meta,
    /// The username as the API server authenticates it.
    pub username: Name,
    /// `spec.suspended`.
    pub suspended: bool,
    /// Whether the User has the label that suspends at once. The operator removes the label once the user is on the
    /// list.
    pub suspended_now: bool,
    /// `status.lastSeenTime`.
    pub last_seen: Option<Timestamp>,
    /// The counts in its status.
    pub told: UserCounts,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Metadata and status.
    pub meta: Meta,
    /// Usernames.
    pub members: Box<[Name]>,
    /// As the identity provider asserts them.
    pub external: Box<[Name]>,
    /// `spec.impliesMembership`.
    pub implies_membership: bool,
    /// Its creator may bind it.
    pub vouched: bool,
    /// Whether its status says that it holds a privileged role, which policies read.
    pub privileged: bool,
    /// The lowest resource version at which the operator saw it.
    pub first_version: u64,
}

/// A subject of a binding, as requested.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectRef {
    /// A username.
    User(Name),
    /// A Group of the same namespace.
    Group(Name),
    /// A group as the identity provider asserts it.
    ExternalGroup(Name),
    /// A native service account.
    ServiceAccount {
        /// Its namespace.
        namespace: Name,
        /// Its name.
        name: Name,
    },
}

impl std::fmt::Display for SubjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SubjectRef::User(name) => write!(f, "User {name:?}"),
            SubjectRef::Group(name) => write!(f, "Group {name:?}"),
            SubjectRef::ExternalGroup(name) => write!(f, "ExternalGroup {name:?}"),
            SubjectRef::ServiceAccount { namespace, name } => write!(f, "ServiceAccount {namespace}/{name}"),
        }
    }
}

/// A RoleBinding or a SiteRoleBinding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Metadata and status.
    pub meta: Meta,
    /// `spec.roleRef`.
    pub role: (RoleKind, Name),
    /// `spec.subjects`.
    pub subjects: Box<[SubjectRef]>,
    /// `spec.expiresAt`.
    pub expires_at: Option<CompactTime>,
    /// When its spec was last written.
    pub written: Option<CompactTime>,
    /// How many subjects hold the role through it, according to its status.
    pub granted: u32,
    /// Groups that the status records as older than the binding: see [`super::order`].
    pub older_groups: Box<[Uid]>,
}

impl Binding {
    /// Whether it was in effect at some time, as far as `expiresAt` is concerned.
    #[must_use]
    pub fn took_effect(&self) -> bool {
        match (self.written, self.expires_at) {
            (Some(written), Some(end)) => written < end,
            _ => true,
        }
    }
}

/// A CustomRole or a SiteRole.
#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    /// Metadata and status.
    pub meta: Meta,
    /// CustomRole or SiteRole.
    pub kind: RoleKind,
    /// `spec.permissions`.
    pub permissions: Vec<Permission>,
    /// Rules in the namespace.
    pub rules: Vec<Rule>,
    /// Rules for the cluster scope.
    pub cluster_rules: Vec<Rule>,
    /// `spec.inherits`.
    pub inherits: Vec<(RoleKind, Name)>,
    /// `status.inherits`: the inherited roles that were in force, as recorded.
    pub in_force: Vec<(RoleKind, Name)>,
    /// Where a SiteRole may be assigned. A CustomRole can be assigned in its organization.
    pub assignable_to: Vec<Place>,
    /// `spec.singleHolder`.
    pub single_holder: bool,
    /// `spec.privileged`.
    pub privileged: bool,
    /// `spec.impliesMembership`.
    pub implies_membership: bool,
    /// `status.holder`: the recorded truth.
    pub holder: Option<Name>,
}

/// A native namespace, with the recorded claim if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// The name.
    pub name: Name,
    /// The UID.
    pub uid: Uid,
    /// The resource version.
    pub version: u64,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// The organization that holds it, by name.
    pub organization: Option<Name>,
    /// The UID of that organization, or of the last one.
    pub organization_uid: Option<Uid>,
    /// The organization that held it last, by name.
    pub last_organization: Option<Name>,
    /// When it changed hands.
    pub claimed_at: Option<Timestamp>,
    /// When the last grant of its last organization was revoked.
    pub vacated_at: Option<Timestamp>,
    /// A resource version at which it was vacant; zero if unknown.
    pub vacated_version: u64,
}

impl From<&api::Organization> for Organization {
    fn from(o: &api::Organization) -> Self {
        Self {
            meta: meta(&o.metadata, o.status.as_ref(), o.status.as_ref().map_or(&[], |s| &s.conditions)),
            namespace: o.spec.namespace.as_deref().map(intern::name),
            asks_default: o.spec.default,
            is_default: o.status.as_ref().is_some_and(|s| s.default),
            member_role: (!o.spec.member_role.is_empty()).then(|| intern::name(&o.spec.member_role)),
        }
    }
}

impl From<&api::User> for User {
    fn from(u: &api::User) -> Self {
        let meta = meta(&u.metadata, u.status.as_ref(), u.status.as_ref().map_or(&[], |s| &s.conditions));
        Self {
            username: u.spec.username.as_deref().map_or_else(|| meta.name.clone(), intern::name),
            suspended: u.spec.suspended,
            suspended_now: u.metadata.labels.as_ref().is_some_and(|l| l.contains_key(SUSPENSION)),
            last_seen: u.status.as_ref().and_then(|s| s.last_seen_time.as_ref()).map(|t| t.0),
            told: u.status.as_ref().map(told).unwrap_or_default(),
            meta,
        }
    }
}

fn told(status: &api::UserStatus) -> UserCounts {
    UserCounts { organizations: status.organizations, site_roles: status.site_roles, grants: status.grants }
}

impl From<&api::Group> for Group {
    fn from(g: &api::Group) -> Self {
        let names = |list: &[String]| list.iter().map(|n| intern::name(n)).collect();
        let mut meta = meta(&g.metadata, g.status.as_ref(), g.status.as_ref().map_or(&[], |s| &s.conditions));
        meta.belongs_to = g.status.as_ref().and_then(|s| s.organization.as_deref()).map(intern::name);
        Self {
            first_version: meta.version,
            meta,
            members: names(&g.spec.members),
            external: names(&g.spec.external_groups),
            implies_membership: g.spec.implies_membership,
            vouched: g.metadata.annotations.as_ref().and_then(|a| a.get(VOUCHED)).is_some_and(|v| v == "true"),
            privileged: g.status.as_ref().is_some_and(|s| s.privileged),
        }
    }
}

impl From<&api::RoleBinding> for Binding {
    fn from(b: &api::RoleBinding) -> Self {
        let mut meta = meta(&b.metadata, b.status.as_ref(), b.status.as_ref().map_or(&[], |s| &s.conditions));
        meta.belongs_to = b.status.as_ref().and_then(|s| s.organization.as_deref()).map(intern::name);
        let older_groups = b.status.iter().flat_map(|s| &s.older_groups).map(|uid| uid.as_str().into()).collect();
        let subject = |s: &api::Subject| {
            let name = intern::name(&s.name);
            match s.kind {
                SubjectKind::User => SubjectRef::User(name),
                SubjectKind::Group => SubjectRef::Group(name),
                SubjectKind::ExternalGroup => SubjectRef::ExternalGroup(name),
                SubjectKind::ServiceAccount => SubjectRef::ServiceAccount { namespace: meta.namespace.clone(), name },
            }
        };
        Self {
            role: (b.spec.role_ref.kind, intern::name(&b.spec.role_ref.name)),
            subjects: b.spec.subjects.iter().map(subject).collect(),
            expires_at: b.spec.expires_at.as_ref().map(|t| t.0.into()),
            written: written(&b.metadata),
            granted: b.status.as_ref().map_or(0, |status| status.grants),
            older_groups,
            meta,
        }
    }
}

impl From<&api::SiteRoleBinding> for Binding {
    fn from(b: &api::SiteRoleBinding) -> Self {
        let subject = |s: &api::SiteSubject| {
            let name = intern::name(&s.name);
            match s.kind {
                SiteSubjectKind::User => SubjectRef::User(name),
                SiteSubjectKind::ExternalGroup => SubjectRef::ExternalGroup(name),
                SiteSubjectKind::ServiceAccount => SubjectRef::ServiceAccount {
                    namespace: intern::name(s.namespace.as_deref().unwrap_or_default()),
                    name,
                },
            }
        };
        Self {
            meta: meta(&b.metadata, b.status.as_ref(), b.status.as_ref().map_or(&[], |s| &s.conditions)),
            role: (RoleKind::SiteRole, intern::name(&b.spec.role_ref.name)),
            subjects: b.spec.subjects.iter().map(subject).collect(),
            expires_at: b.spec.expires_at.as_ref().map(|t| t.0.into()),
            written: written(&b.metadata),
            granted: b.status.as_ref().map_or(0, |status| status.grants),
            older_groups: Box::default(),
        }
    }
}

impl From<&api::CustomRole> for Role {
    fn from(r: &api::CustomRole) -> Self {
        let mut meta = meta(&r.metadata, r.status.as_ref(), r.status.as_ref().map_or(&[], |s| &s.conditions));
        meta.belongs_to = r.status.as_ref().and_then(|s| s.organization.as_deref()).map(intern::name);
        Self {
            meta,
            kind: RoleKind::CustomRole,
            permissions: r.spec.permissions.clone(),
            rules: r.spec.rules.iter().map(namespaced_rule).collect(),
            cluster_rules: Vec::new(),
            inherits: role_refs(&r.spec.inherits),
            in_force: r.status.as_ref().map(|s| role_refs(&s.inherits)).unwrap_or_default(),
            assignable_to: vec![Place::Organization],
            single_holder: false,
            privileged: r.spec.privileged,
            implies_membership: r.spec.implies_membership,
            holder: None,
        }
    }
}

impl From<&api::SiteRole> for Role {
    fn from(r: &api::SiteRole) -> Self {
        Self {
            meta: meta(&r.metadata, r.status.as_ref(), r.status.as_ref().map_or(&[], |s| &s.conditions)),
            kind: RoleKind::SiteRole,
            permissions: r.spec.permissions.clone(),
            rules: r.spec.rules.iter().map(namespaced_rule).collect(),
            cluster_rules: r.spec.cluster_rules.iter().map(cluster_rule).collect(),
            inherits: site_roles(&r.spec.inherits),
            in_force: r.status.as_ref().map(|s| site_roles(&s.inherits)).unwrap_or_default(),
            assignable_to: r.spec.assignable_to.clone(),
            single_holder: r.spec.single_holder,
            privileged: r.spec.privileged,
            implies_membership: r.spec.implies_membership,
            holder: r.status.as_ref().and_then(|s| s.holder.as_deref()).map(intern::name),
        }
    }
}

impl From<&ObjectMeta> for Namespace {
    fn from(m: &ObjectMeta) -> Self {
        let annotation = |key: &str| m.annotations.as_ref().and_then(|a| a.get(key)).map(|v| intern::name(v));
        let text = |field: &Option<String>| intern::name(field.as_deref().unwrap_or_default());
        // An unreadable time could be any time, so everything counts as older.
        let time = |key| annotation(key).map(|t| t.parse().unwrap_or(Timestamp::MAX));
        let vacated_at = time(VACATED_AT);
        Self {
            name: text(&m.name),
            uid: m.uid.as_ref().into(),
            version: version(m),
            terminating: m.deletion_timestamp.is_some(),
            organization: m.labels.as_ref().and_then(|l| l.get(ORGANIZATION)).map(|v| intern::name(v)),
            organization_uid: annotation(ORGANIZATION_UID).map(|uid| (&*uid).into()),
            last_organization: annotation(LAST_ORGANIZATION),
            claimed_at: time(CLAIMED_AT),
            vacated_at,
            vacated_version: if vacated_at.is_some() { version(m) } else { 0 },
        }
    }
}

fn role_refs(list: &[api::RoleRef]) -> Vec<(RoleKind, Name)> {
    list.iter().map(|role| (role.kind, intern::name(&role.name))).collect()
}

fn site_roles(list: &[String]) -> Vec<(RoleKind, Name)> {
    list.iter().map(|name| (RoleKind::SiteRole, intern::name(name))).collect()
}

fn strings(list: &[String]) -> Vec<Name> {
    list.iter().map(|s| intern::name(s)).collect()
}

fn namespaced_rule(rule: &api::PolicyRule) -> Rule {
    Rule {
        groups: strings(&rule.api_groups),
        resources: strings(&rule.resources),
        names: strings(rule.resource_names.as_deref().unwrap_or_default()),
        paths: Vec::new(),
        verbs: strings(&rule.verbs),
    }
}

fn cluster_rule(rule: &api::ClusterPolicyRule) -> Rule {
    Rule {
        groups: strings(rule.api_groups.as_deref().unwrap_or_default()),
        resources: strings(rule.resources.as_deref().unwrap_or_default()),
        names: strings(rule.resource_names.as_deref().unwrap_or_default()),
        paths: strings(rule.non_resource_urls.as_deref().unwrap_or_default()),
        verbs: strings(&rule.verbs),
    }
}

/// The newest time at which somebody wrote the spec; labels do not affect who gets a role. Kubernetes keeps this in
/// managed fields only, which are dropped afterwards.
fn written(metadata: &ObjectMeta) -> Option<CompactTime> {
    let fields = metadata.managed_fields.iter().flatten();
    let spec = fields.filter(|f| f.fields_v1.as_ref().is_some_and(|v1| v1.0.get("f:spec").is_some()));
    let newest = spec.filter_map(|f| f.time.as_ref()).map(|t| t.0).max();
    newest.max(metadata.creation_timestamp.as_ref().map(|t| t.0)).map(CompactTime::from)
}

/// Counts for one username everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserCounts {
    /// Organizations that the user is a member of.
    pub organizations: u32,
    /// SiteRoles that SiteRoleBindings grant to the user by name.
    pub site_roles: u32,
    /// Roles granted to the user by name: one for each granting object in each organization, and one for each
    /// SiteRoleBinding.
    pub grants: u32,
}
