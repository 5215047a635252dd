//! The cache: every record seen so far, with indexes that keep the cost of one change independent of the size of the
//! rest.
//!
//! Applying a record returns what it may affect ([`Affected`]); other modules decide. The result never depends on the
//! order in which records arrive.

mod by_kind;
mod events;
mod store;

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::ApiKind;
use crate::api::conditions::Reason;
use crate::core::catalog::{Bounds, Settings};
use crate::core::compact_time::CompactTime;
use crate::core::kept::Kept;
use crate::core::names::Seed;
use crate::core::order::{self, First};
use crate::core::own_objects::Ownership;
use crate::core::owned::Owned;
use crate::core::rbac::Subject;
use crate::core::records::{Binding, Group, Meta, Namespace, Organization, Role, SubjectRef, User, UserCounts, by_age};
use crate::core::roles::{self, Resolved};
use crate::core::rules::Ceiling;
use crate::core::shards::{self, Lists, Shards};
use crate::core::uid::Uid;
use crate::core::{Name, claims};

pub use self::store::Store;

/// Everything that decisions read.
#[derive(Debug, Default)]
pub struct Cache {
    /// Whitelist, catalog, release namespace.
    pub bounds: Bounds,
    /// Settings that site managers may tune.
    pub settings: Settings,
    /// The most that may be granted.
    pub ceilings: Ceilings,
    /// By name.
    pub organizations: Store<Organization>,
    /// By handle, which is not the username.
    pub users: Store<User>,
    /// By name.
    pub namespaces: Store<Namespace>,
    /// By name.
    pub site_roles: Store<Role>,
    /// By name.
    pub site_bindings: Store<Binding>,
    /// Our objects in each namespace.
    pub local: BTreeMap<Name, Local>,
    /// Admission policies that differ from the chart's. `None` when the expected policies are unknown.
    pub policy_faults: Option<Vec<(Reason, String)>>,
    /// Whether admission protects objects of other owners.
    pub ownership: Ownership,
    /// The owners of objects in each namespace, where a right depends on them.
    pub owned: HashMap<Name, Owned>,
    /// The chart's unreadable ConfigMaps, by name, each with the error.
    pub unread: BTreeMap<&'static str, String>,
    /// The record of earlier decisions in the release namespace.
    pub kept: Kept,
    /// Objects withheld because of their age: see [`Kept`].
    pub(super) doubts: BTreeMap<Name, Uid>,
    /// The namespaces whose record names an organization.
    pub(super) recorded: HashMap<Name, BTreeSet<Name>>,
    /// The organizations whose spec names a namespace.
    pub(super) named: HashMap<Name, BTreeSet<Name>>,
    /// The usernames of all suspended users.
    pub suspended: BTreeSet<Name>,
    /// Every organization, ranked: the first is the default one.
    pub(super) ranking: BTreeSet<Rank>,
    /// The names of the recorded default organizations: two for a moment while the default moves.
    pub(super) recorded_defaults: BTreeSet<Name>,
    /// Usernames, each with the creation time and the handle of a User that has it: the oldest User comes first.
    handles: BTreeSet<(Name, Option<CompactTime>, Name)>,
    /// How often a namespace mentions a [`folded`] username, for suggestions in messages.
    mentions: BTreeMap<(Name, Name), u32>,
    /// In how many of the decided organizations a username has a role or is a member.
    belonging: HashMap<Name, u32>,
    site_mentions: HashMap<Name, u32>,
    /// The same usernames, as [`folded`].
    site_folded: HashSet<Name>,
    /// Usernames that differ from their [`folded`] form, by that form.
    unfolded: BTreeSet<(Name, Name)>,
    /// Every username that may hold grants.
    active: BTreeSet<Name>,
    /// For each SiteRole, its holders through organizations, or because every user holds it.
    holders: BTreeMap<Name, Shards>,
    /// Counts of what each username holds everywhere, as far as decided.
    holdings: HashMap<Name, UserCounts>,
    /// Decides how lists of subjects are split over native bindings.
    pub(super) seed: Seed,
    resolved_site_roles: roles::ResolvedRoles,
    /// Resolved roles in the release namespace, if another ceiling applies there.
    resolved_at_home: roles::ResolvedRoles,
    /// Counts changes of the catalog, the ceilings and [`Cache::ownership`], on which every resolved role depends.
    pub(crate) rules_version: u64,
}

/// Our objects in one namespace.
#[derive(Debug, Default)]
pub struct Local {
    /// By name.
    pub groups: Store<Group>,
    /// By name.
    pub bindings: Store<Binding>,
    /// By name.
    pub roles: Store<Role>,
    /// The CustomRoles as last resolved.
    pub(crate) resolved: RefCell<roles::ResolvedRoles>,
}

impl Local {
    /// Whether anything is beyond the limits of an organization.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.groups.is_over() || self.bindings.is_over() || self.roles.is_over()
    }

    /// The objects beyond the limits of an organization, with their kinds.
    pub fn excess(&self) -> impl Iterator<Item = (ApiKind, &Meta)> {
        let groups = self.groups.excess().map(|meta| (ApiKind::Group, meta));
        let bindings = self.bindings.excess().map(|meta| (ApiKind::RoleBinding, meta));
        groups.chain(bindings).chain(self.roles.excess().map(|meta| (ApiKind::CustomRole, meta)))
    }

    /// When the newest object here was created.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        let (groups, bindings, roles) = (self.groups.metas(), self.bindings.metas(), self.roles.metas());
        groups.chain(bindings).chain(roles).filter_map(|meta| meta.created).max().map(Timestamp::from)
    }

    fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.bindings.is_empty() && self.roles.is_empty()
    }
}

/// The ceilings. `None`: the ClusterRole does not exist, so nothing may be granted.
#[derive(Debug, Default)]
pub struct Ceilings {
    /// In organizations' namespaces.
    pub organization: Option<Ceiling>,
    /// For an organization that holds the release namespace. Older charts have none; `organization` applies then.
    pub home: Option<Ceiling>,
    /// On the cluster.
    pub cluster: Option<Ceiling>,
    /// In the release namespace, for the site.
    pub release: Option<Ceiling>,
}

/// Where a ceiling applies: the fields of [`Ceilings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CeilingScope {
    Organization,
    Home,
    Cluster,
    Release,
}

impl Ceilings {
    /// The ceiling of this scope.
    pub fn get_mut(&mut self, scope: CeilingScope) -> &mut Option<Ceiling> {
        match scope {
            CeilingScope::Organization => &mut self.organization,
            CeilingScope::Home => &mut self.home,
            CeilingScope::Cluster => &mut self.cluster,
            CeilingScope::Release => &mut self.release,
        }
    }
}

/// The keys that a change may affect.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// Every namespace.
    pub all: bool,
    /// Some namespaces.
    pub namespaces: BTreeSet<Name>,
    /// The cluster-scoped part, claims, the default organization.
    pub site: bool,
    /// Users, by handle, whose status may change.
    pub users: BTreeSet<Name>,
    /// Organizations whose status may change.
    pub organizations: BTreeSet<Name>,
    /// The change may revoke access, which must not wait.
    pub urgent: bool,
    /// The list of suspended users.
    pub suspended: bool,
}

impl Affected {
    /// The whole site.
    #[must_use]
    pub fn everything() -> Self {
        Self { all: true, site: true, ..Self::default() }
    }

    /// Adds the effects of another change.
    fn extend(&mut self, other: Self) {
        self.all |= other.all;
        self.site |= other.site;
        self.urgent |= other.urgent;
        self.suspended |= other.suspended;
        self.namespaces.extend(other.namespaces);
        self.users.extend(other.users);
        self.organizations.extend(other.organizations);
    }

    fn namespace(mut self, name: &Name) -> Self {
        self.namespaces.insert(name.clone());
        self
    }
}

/// Whether a user exists and may hold grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no such User.
    Unknown,
    /// Suspended.
    Suspended,
    /// The User cannot be read.
    Unreadable,
    /// May hold grants (active or dormant).
    Good,
}

impl Cache {
    /// Whether a user has a role or is a member in some organization: see [`crate::core::members`].
    #[must_use]
    pub fn belongs_somewhere(&self, username: &Name) -> bool {
        self.belonging.contains_key(username)
    }

    /// The namespaces that mention a user by name.
    fn mentioned_in(&self, username: &Name) -> impl Iterator<Item = &Name> {
        let username = folded(username);
        let places = self.mentions.range((username.clone(), Name::default())..).map(|(key, _)| key);
        places.take_while(move |(name, _)| *name == username).map(|(_, namespace)| namespace)
    }

    /// The handles of all Users with a username.
    pub fn handles_of(&self, username: &Name) -> impl Iterator<Item = &Name> {
        let users = self.handles.range((username.clone(), None, Name::default())..);
        users.take_while(move |(name, ..)| name == username).map(|(.., handle)| handle)
    }

    /// The username of a User that differs from this one only in case or spaces.
    #[must_use]
    pub fn alike(&self, username: &Name) -> Option<&Name> {
        let folded = folded(username);
        let is = |other: &&Name| *other != username;
        let same = self.handles.range((folded.clone(), None, Name::default())..).map(|(name, ..)| name).next();
        let same = same.filter(|name| **name == folded).filter(is);
        let others = self.unfolded.range((folded.clone(), Name::default())..);
        same.or_else(|| others.take_while(|(name, _)| *name == folded).map(|(_, name)| name).find(is))
    }

    /// Whether a username may hold grants. If several Users share a username, the oldest counts.
    #[must_use]
    pub fn standing(&self, username: &Name) -> Standing {
        match self.canonical_user(username) {
            None => Standing::Unknown,
            Some(user) if user.suspended => Standing::Suspended,
            Some(user) if user.meta.unreadable.is_some() => Standing::Unreadable,
            Some(_) => Standing::Good,
        }
    }

    /// The User that counts for a username.
    #[must_use]
    pub fn canonical_user(&self, username: &Name) -> Option<&User> {
        let users = || self.handles_of(username).filter_map(|handle| self.users.get(handle));
        let kept = || self.users.get(self.kept.usernames.get(&**username)?);
        let kept = || kept().filter(|user| user.username == *username);
        if let Some(kept) = users().nth(1).and_then(|_| kept()) {
            return Some(kept);
        }
        // Somebody may write thousands of Users with one username. Only the oldest matter.
        let created = users().next()?.meta.created;
        let oldest = || users().take_while(|user| user.meta.created == created);
        match order::first(oldest(), |user| &user.meta) {
            First::Known(first) => first,
            // While it is unclear which of them counts, nobody regains access.
            First::Open(first) => oldest().find(|user| user.suspended).or(Some(first)),
        }
    }

    /// The usernames that several Users share.
    pub fn contested_usernames(&self) -> impl Iterator<Item = &Name> {
        let usernames = self.handles.iter().map(|(username, ..)| username);
        let mut pairs = usernames.clone().zip(usernames.skip(1)).filter(|(one, next)| one == next).peekable();
        std::iter::from_fn(move || {
            let (username, _) = pairs.next()?;
            while pairs.next_if(|(other, _)| *other == username).is_some() {}
            Some(username)
        })
    }

    /// For each username, in order, the User that counts for it.
    pub fn speakers(&self) -> impl Iterator<Item = &User> {
        let mut usernames = self.handles.iter().map(|(username, ..)| username).peekable();
        std::iter::from_fn(move || {
            loop {
                let username = usernames.next()?;
                while usernames.next_if(|other| *other == username).is_some() {}
                if let Some(canonical_user) = self.canonical_user(username) {
                    return Some(canonical_user);
                }
            }
        })
    }

    /// Whether a SiteRoleBinding grants a privileged role to a username. Expired bindings count too: callers only use
    /// this to be more careful.
    #[must_use]
    pub fn holds_privileged_site_role(&self, username: &Name) -> bool {
        let names = |binding: &Binding| {
            binding.subjects.iter().any(|s| matches!(s, SubjectRef::User(name) if name == username))
        };
        // Most users are named by none, and need no lookup.
        self.site_mentions.contains_key(username)
            && self.site_bindings.values().any(|b| {
                // A missing role may turn out to be privileged.
                let role = self.site_role_rights(&b.role.1);
                names(b) && (b.meta.unreadable.is_some() || role.is_none_or(|role| role.privileged))
            })
    }

    /// Counts of what a User holds, as far as decided. A User that does not count for its username holds nothing.
    #[must_use]
    pub fn holds(&self, user: &User) -> UserCounts {
        let speaks =
            self.canonical_user(&user.username).is_some_and(|canonical_user| canonical_user.meta.uid == user.meta.uid);
        self.holdings.get(&user.username).copied().filter(|_| speaks).unwrap_or_default()
    }

    /// The organizations recorded as the default one.
    pub fn recorded_defaults(&self) -> impl Iterator<Item = &Name> {
        self.recorded_defaults.iter()
    }

    /// The namespace of the default organization, if it holds one.
    pub fn default_namespaces(&self) -> impl Iterator<Item = Name> + '_ {
        let default = claims::default_organization(self);
        default.into_iter().flat_map(|o| claims::recorded_on(self, &o.meta.name).cloned().collect::<Vec<_>>())
    }

    /// The rights of a SiteRole; for those in a namespace see [`site_role_rights_in`](Self::site_role_rights_in).
    #[must_use]
    pub fn site_role_rights(&self, name: &str) -> Option<&Arc<Resolved>> {
        self.resolved_site_roles.get(name)
    }

    /// The rights of a SiteRole in an organization's namespace.
    #[must_use]
    pub fn site_role_rights_in(&self, namespace: &str, name: &str) -> Option<&Arc<Resolved>> {
        if self.has_own_ceiling(namespace) { self.resolved_at_home.get(name) } else { self.site_role_rights(name) }
    }

    /// The ceiling in an organization's namespace.
    pub(super) fn ceiling_in(&self, namespace: &str) -> Option<&Ceiling> {
        let home = self.ceilings.home.as_ref().filter(|_| self.has_own_ceiling(namespace));
        home.or(self.ceilings.organization.as_ref())
    }

    /// Whether a namespace has another ceiling than those of other organizations.
    fn has_own_ceiling(&self, namespace: &str) -> bool {
        self.ceilings.home.is_some() && namespace == self.bounds.release_namespace
    }

    /// The subjects of a SiteRole's cluster-scoped part: everybody who holds it through an organization or because
    /// every user does, and `more`. `into`: into how many shards to split a number of subjects.
    #[must_use]
    pub fn holders_with(&self, role: &str, more: &BTreeSet<Subject>, into: impl Fn(usize) -> usize) -> Lists {
        match self.holders.get(role) {
            Some(holders) => holders.with(more, into),
            None => shards::split(more, into(more.len()), self.seed),
        }
    }

    /// Replaces the effects of one namespace's decision on the rest of the site.
    pub fn set_contribution(&mut self, before: &Contribution, after: &Contribution) -> ContributionChange {
        let doubts = before.doubts != after.doubts;
        if doubts {
            before.doubts.iter().for_each(|(doubt, _)| drop(self.doubts.remove(doubt)));
            self.doubts.extend(after.doubts.iter().cloned());
        }
        ContributionChange {
            doubts,
            holders: self.set_holders(&before.holders, &after.holders),
            default_members: self.set_belonging(&before.belong, &after.belong),
            counted: self.set_holdings(&before.held, &after.held),
        }
    }

    /// Returns the usernames whose counts changed. Both lists are sorted.
    fn set_holdings(&mut self, before: &[(Name, Held)], after: &[(Name, Held)]) -> Vec<Name> {
        let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
        let mut counted = Vec::new();
        while let Some(username) = before.peek().into_iter().chain(after.peek()).map(|(name, _)| name).min() {
            let is = |entry: &&(Name, Held)| entry.0 == *username;
            let old = before.next_if(is).map_or(Held::default(), |(_, held)| *held);
            let new = after.next_if(is).map_or(Held::default(), |(_, held)| *held);
            if old == new {
                continue;
            }
            let total = self.holdings.entry(username.clone()).or_default();
            total.replace(old, new);
            if *total == UserCounts::default() {
                self.holdings.remove(username);
            }
            counted.push(username.clone());
        }
        counted
    }

    fn set_holders(&mut self, before: &[(Name, Subject)], after: &[(Name, Subject)]) -> Change {
        if before == after {
            return Change::None;
        }
        let mut change = Change::MayGain;
        for (role, grantee) in after {
            self.holders.entry(role.clone()).or_insert_with(|| Shards::new(self.seed)).add(grantee);
        }
        for (role, grantee) in before {
            if self.holders.get_mut(role).is_some_and(|holders| holders.remove(grantee)) {
                change = Change::Loses;
            }
        }
        change
    }

    /// A user with a first organization leaves the default one; a user without any joins it.
    fn set_belonging(&mut self, before: &[Name], after: &[Name]) -> Change {
        if before == after {
            return Change::None;
        }
        let mut change = Change::None;
        for username in after {
            let organizations = self.belonging.entry(username.clone()).or_default();
            *organizations += 1;
            // The user may be among those below, who stay: then nothing changes.
            change = if *organizations == 1 { Change::Loses } else { change };
        }
        for username in before {
            if let Entry::Occupied(mut organizations) = self.belonging.entry(username.clone()) {
                *organizations.get_mut() -= 1;
                if *organizations.get() == 0 {
                    organizations.remove();
                    change = if change == Change::None { Change::MayGain } else { change };
                }
            }
        }
        change
    }

    /// Every namespace to decide: those that have, or may have, objects of ours.
    #[must_use]
    pub fn units(&self) -> BTreeSet<Name> {
        // A namespace that was held may have to be recorded as vacated.
        let held = self.namespaces.values().filter(|n| n.organization.is_some() || n.last_organization.is_some());
        let held = held.map(|n| n.name.clone());
        let release = Name::from(self.bounds.release_namespace.as_str());
        held.chain(self.local.keys().cloned()).chain(self.named.keys().cloned()).chain([release]).collect()
    }
}

/// A username without spaces and capital letters, which are the usual typing errors.
fn folded(username: &Name) -> Name {
    if !username.chars().any(|c| c.is_whitespace() || c.is_uppercase()) {
        return username.clone();
    }
    username.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect::<String>().into()
}

/// The effects of a decision on one namespace, or on the site, elsewhere. All lists are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contribution {
    /// The holders of each SiteRole there, for the parts of the role beyond the namespace.
    pub holders: Box<[(Name, Subject)]>,
    /// The users that belong to the organization.
    pub belong: Box<[Name]>,
    /// Counts of what usernames hold there.
    pub held: Box<[(Name, Held)]>,
    /// Objects withheld there because of their age: see [`Kept`].
    pub doubts: Box<[(Name, Uid)]>,
}

/// Counts for one username in one place. Small, because a site may have hundreds of thousands of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Grants by name.
    pub grants: u32,
    /// SiteRoles from SiteRoleBindings.
    pub site_roles: u16,
    /// Whether it is a member of the organization, and not suspended.
    pub is_member: bool,
}

impl UserCounts {
    fn replace(&mut self, old: Held, new: Held) {
        let replace = |count: &mut u32, old: u32, new: u32| *count = count.saturating_sub(old) + new;
        replace(&mut self.organizations, old.is_member.into(), new.is_member.into());
        replace(&mut self.site_roles, old.site_roles.into(), new.site_roles.into());
        replace(&mut self.grants, old.grants, new.grants);
    }
}

/// The effects of a new contribution elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContributionChange {
    /// At the scope of the site.
    pub holders: Change,
    /// In the default organization.
    pub default_members: Change,
    /// The usernames whose counts changed.
    pub counted: Vec<Name>,
    /// Whether the doubts changed.
    pub doubts: bool,
}

/// How access changes somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Not at all.
    None,
    /// Nobody loses access; somebody may gain some.
    MayGain,
    /// Somebody loses access, which must not wait.
    Loses,
}

/// An organization's rank for being the default: the lowest is. Those that request it come first, of these the recorded
/// one, then the oldest.
pub(in crate::core) type Rank = (bool, bool, Option<CompactTime>, Name, Uid);

/// The rank of an organization.
fn rank(organization: &Organization) -> Rank {
    let (created, name, uid) = by_age(&organization.meta);
    (!organization.asks_default, !organization.is_default, created, name.clone(), uid.clone())
}
