//! The next writes that lead from the observed to the desired state.
//!
//! Revocations go before grants, and subjects that keep access never lose it in between. The steps:
//!
//! 1. Roles shrink to the rules that they keep, and bindings lose the subjects that they should lose. An obsolete
//!    binding keeps only subjects whose replacement, from the same source, does not exist yet (or cannot be written but
//!    grants the same role). Once none are left, it is deleted.
//! 2. Roles are created and grow, except those that subjects are about to leave.
//! 3. Bindings are created and grow.
//! 4. Roles that no binding refers to are deleted.
//!
//! [`next`] returns one step; the caller asks again once its writes are done. So a plan is never stale, and after a
//! crash the next step cleans up everything. Revocations may also begin while other writes are in flight
//! ([`InFlight::concurrent_revocations`]): a revocation waits only for a write to its own object.
//!
//! ```
//! use bailiwick::api::ApiKind;
//! use bailiwick::core::object_ref::{NativeKind, NativeRef, ObjectRef};
//! use bailiwick::core::plan::{self, GivenUp, Present, Write};
//! use bailiwick::core::rbac::{Desired, DesiredSet, RbacSpec, Subject};
//!
//! let source = ObjectRef::new(ApiKind::RoleBinding, "data-science", "readers").with_uid("1");
//! let role = NativeRef::new(NativeKind::Role, "data-science", "bailiwick:reader");
//! let binding = NativeRef::new(NativeKind::RoleBinding, "data-science", "bailiwick:readers");
//! let subjects = [Subject::User("ada@example.com".into())].into();
//! let desired = DesiredSet::from([
//!     (role.clone(), Desired { content: RbacSpec::Rules([].into()), source: source.clone() }),
//!     (binding, Desired { content: RbacSpec::Binding { role: role.name.clone(), subjects }, source }),
//! ]);
//!
//! // Nothing exists yet. The role comes first: a binding never precedes its role.
//! let step = plan::next(&desired, &Present::new(), &GivenUp::default());
//! assert!(matches!(&step.writes[..], [Write::Create { key, .. }] if *key == role));
//! assert!(!step.urgent, "it revokes nothing");
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::Name;
use super::names::{OWN_PREFIX, RELEASE_PREFIX};
use super::object_ref::{ApiRef, NativeKind, NativeRef};
use super::rbac::{Desired, DesiredSet, Observed, Owner, RbacSpec, Subject};
use super::rules::RuleSet;
use super::uid::Uid;

/// One write to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Create an object that does not exist.
    Create {
        /// The object to create.
        key: NativeRef,
        /// Its content.
        native: Desired,
    },
    /// Change an object, if it still has this UID.
    Apply {
        /// The object to change.
        key: NativeRef,
        /// Its new content.
        native: Desired,
        /// The UID that it must have.
        uid: Uid,
        /// Whether this revokes access.
        revokes: bool,
    },
    /// Delete an object, if it still has this UID.
    Delete {
        /// The object to delete.
        key: NativeRef,
        /// The UID that it must have.
        uid: Uid,
        /// Whether this revokes access.
        revokes: bool,
    },
}

impl Write {
    /// The object to write.
    #[must_use]
    pub fn key(&self) -> &NativeRef {
        match self {
            Write::Create { key, .. } | Write::Apply { key, .. } | Write::Delete { key, .. } => key,
        }
    }

    /// Whether it revokes access, so that it must not wait for grants.
    #[must_use]
    pub fn revokes(&self) -> bool {
        match self {
            Write::Create { .. } => false,
            Write::Apply { revokes, .. } | Write::Delete { revokes, .. } => *revokes,
        }
    }
}

/// The existing native objects of one key.
pub type Present = BTreeMap<NativeRef, Box<Observed>>;

/// Writes that may all run at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Each to another object, in any order.
    pub writes: Vec<Write>,
    /// Whether they revoke access, or a subject keeps access that it should lose until they are done.
    pub urgent: bool,
}

/// Native objects that cannot currently be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// All of them. Revocations are still attempted, …
    pub objects: BTreeSet<NativeRef>,
    /// … except for these, whose revocations were refused.
    pub resisting: BTreeSet<NativeRef>,
}

impl GivenUp {
    fn lets(&self, write: &Write) -> bool {
        let tries = write.revokes() && !self.resisting.contains(write.key());
        tries || !self.objects.contains(write.key())
    }
}

/// The next step. It is empty once everything is as desired, except for objects that are given up. Those hold up
/// nothing else, and revocations least of all.
#[must_use]
pub fn next(desired: &DesiredSet, present: &Present, given_up: &GivenUp) -> Step {
    let plan = Plan::new(desired, present, given_up, &BTreeSet::new());
    let steps = [Plan::take_away, Plan::grow_roles, Plan::grow_bindings, Plan::clean_up];
    let mut writes = steps.into_iter().map(|step| {
        let mut writes = step(&plan);
        writes.retain(|write| given_up.lets(write));
        writes
    });
    let Some(writes) = writes.find(|writes| !writes.is_empty()) else { return Step::default() };
    let urgent = writes.iter().any(Write::revokes) || plan.somebody_waits();
    Step { writes, urgent }
}

/// The writes in flight.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    giving: BTreeSet<NativeRef>,
    revoking: BTreeSet<NativeRef>,
}

impl InFlight {
    /// Whether no write is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.giving.is_empty() && self.revoking.is_empty()
    }

    /// Whether a write to this object is in flight.
    #[must_use]
    pub fn contains(&self, key: &NativeRef) -> bool {
        self.giving.contains(key) || self.revoking.contains(key)
    }

    /// A write begins. No other write to its object is in flight.
    pub fn begin(&mut self, write: &Write) {
        let keys = if write.revokes() { &mut self.revoking } else { &mut self.giving };
        keys.insert(write.key().clone());
    }

    /// A write has ended. Returns whether it revoked access.
    pub fn end(&mut self, key: &NativeRef) -> bool {
        !self.giving.remove(key) && self.revoking.remove(key)
    }

    /// Revocations that can begin meanwhile, from objects without a write in flight. An object that is losing something
    /// does not count as another's successor until its remaining content is known.
    #[must_use]
    pub fn concurrent_revocations(&self, desired: &DesiredSet, present: &Present, given_up: &GivenUp) -> Vec<Write> {
        let plan = Plan::new(desired, present, given_up, &self.revoking);
        let mut writes = plan.take_away();
        if self.giving.iter().any(|key| !is_role(key)) {
            writes.extend(plan.delete_unbound_roles());
        }
        writes.retain(|write| !self.contains(write.key()) && given_up.lets(write));
        writes
    }
}

/// Bindings that replace each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ReplacementGroup<'a> {
    /// The bindings of one source, by its UID.
    Source(&'a Uid),
    /// The parts of SiteRoles beyond organizations' namespaces, on the cluster or in this namespace. All holders of a
    /// role share one binding there, so a subject with a new role moves between the bindings of two sources.
    Beyond(&'a Name),
    /// The rights by name of the subjects of this namespace.
    Own(&'a Name),
}

impl<'a> ReplacementGroup<'a> {
    fn of(key: &'a NativeRef, source: &'a Uid) -> Self {
        match &key.name {
            _ if Self::is_beyond(key) => Self::Beyond(&key.namespace),
            name if name.starts_with(OWN_PREFIX) => Self::Own(&key.namespace),
            _ => Self::Source(source),
        }
    }

    fn is_beyond(key: &NativeRef) -> bool {
        key.kind == NativeKind::ClusterRoleBinding || key.name.starts_with(RELEASE_PREFIX)
    }
}

/// Subjects that bindings should reach, but do not reach yet or not for certain.
#[derive(Default)]
struct Successors<'a> {
    /// The subjects still to be reached, for each replacement group.
    coming: BTreeMap<ReplacementGroup<'a>, BTreeSet<&'a Subject>>,
    /// Subjects whose replacement binding cannot currently be written. They do not keep a different role meanwhile, but
    /// keep the same role if an old binding still grants it.
    blocked: BTreeMap<(ReplacementGroup<'a>, &'a Name), BTreeSet<&'a Subject>>,
}

fn successors<'a>(
    desired: &'a DesiredSet,
    present: &Present,
    given_up: &GivenUp,
    losing: &BTreeSet<NativeRef>,
) -> Successors<'a> {
    let GivenUp { objects: given_up, resisting } = given_up;
    let mut all = Successors::default();
    for (key, native) in desired {
        let RbacSpec::Binding { role: name, subjects } = &native.content else { continue };
        let role = role_of(key, name);
        if resisting.contains(&role) || (given_up.contains(&role) && !present.contains_key(&role)) {
            continue;
        }
        let is_losing = !losing.is_empty() && (losing.contains(key) || losing.contains(&role));
        let there = match present.get(key).and_then(|o| o.content.as_ref()) {
            _ if is_losing || !present.contains_key(&role) => &[],
            // Most objects are as desired, and the largest are very large.
            Some(content) if *content == native.content => continue,
            Some(RbacSpec::Binding { subjects, .. }) => subjects.as_ref(),
            _ => &[],
        };
        let coming = subjects.iter().filter(|s| there.binary_search(s).is_err());
        let family = ReplacementGroup::of(key, &native.source.uid);
        let those = match given_up.contains(key) {
            true => all.blocked.entry((family, name)).or_default(),
            false => all.coming.entry(family).or_default(),
        };
        those.extend(coming);
    }
    all
}

struct Plan<'a> {
    desired: &'a DesiredSet,
    present: &'a Present,
    given_up: &'a GivenUp,
    successors: Successors<'a>,
}

fn is_role(key: &NativeRef) -> bool {
    matches!(key.kind, NativeKind::Role | NativeKind::ClusterRole)
}

fn delete(key: &NativeRef, observed: &Observed, revokes: bool) -> Write {
    Write::Delete { key: key.clone(), uid: observed.uid.clone(), revokes }
}

fn apply(key: &NativeRef, native: Desired, observed: &Observed, revokes: bool) -> Write {
    Write::Apply { key: key.clone(), native, uid: observed.uid.clone(), revokes }
}

impl<'a> Plan<'a> {
    fn new(desired: &'a DesiredSet, present: &'a Present, given_up: &'a GivenUp, losing: &BTreeSet<NativeRef>) -> Self {
        Self { desired, present, given_up, successors: successors(desired, present, given_up, losing) }
    }

    fn wanted(&self, roles: bool) -> impl Iterator<Item = (&'a NativeRef, &'a Desired, Option<&'a Observed>)> {
        let present = self.present;
        self.desired
            .iter()
            .filter(move |(key, _)| is_role(key) == roles)
            .map(move |(k, n)| (k, n, present.get(k).map(|o| &**o)))
    }

    fn unwanted(&self, roles: bool) -> impl Iterator<Item = (&'a NativeRef, &'a Observed)> {
        let desired = self.desired;
        let unwanted = self.present.iter().filter(move |(key, _)| is_role(key) == roles && !desired.contains_key(key));
        unwanted.map(|(key, observed)| (key, &**observed))
    }

    /// Obsolete roles that no known binding refers to. A binding that is being written may refer to them.
    fn delete_unbound_roles(&self) -> impl Iterator<Item = Write> {
        let bound = self.present.iter().filter_map(|(key, observed)| match &observed.content {
            Some(RbacSpec::Binding { role, .. }) => Some(role_of(key, role)),
            Some(RbacSpec::Rules(_)) | None => None,
        });
        let bound: BTreeSet<NativeRef> = bound.collect();
        let unbound = self.unwanted(true).filter(move |(key, observed)| !bound.contains(key) && !observed.terminating);
        unbound.map(|(key, observed)| delete(key, observed, true))
    }

    fn take_away(&self) -> Vec<Write> {
        let mut writes = self.shrink_roles();
        writes.extend(self.revoke());
        writes
    }

    fn shrink_roles(&self) -> Vec<Write> {
        let mut writes = Vec::new();
        for (key, native, observed) in self.wanted(true) {
            let Some(observed) = observed else { continue };
            let RbacSpec::Rules(want) = &native.content else { continue };
            match &observed.content {
                // Content that we never write, such as an aggregated role. Nothing can repair it in place, and deleting
                // it once is all that can be done.
                None | Some(RbacSpec::Binding { .. }) if observed.terminating => {}
                None | Some(RbacSpec::Binding { .. }) => writes.push(delete(key, observed, true)),
                _ if observed.must_recreate && !observed.terminating => writes.push(delete(key, observed, true)),
                Some(RbacSpec::Rules(have)) if have == want => {}
                Some(RbacSpec::Rules(have)) => {
                    let (have, want) = (RuleSet::from_rules(have.iter()), RuleSet::from_rules(want.iter()));
                    if want.contains_all(&have) {
                        continue;
                    }
                    let kept = have.intersection(&want);
                    let shrunk = Desired { content: RbacSpec::Rules(kept.to_rules().into()), ..native.clone() };
                    writes.push(apply(key, shrunk, observed, true));
                }
            }
        }
        writes
    }

    fn revoke(&self) -> Vec<Write> {
        let mut writes = Vec::new();
        for (key, native, observed) in self.wanted(false) {
            let (Some(observed), RbacSpec::Binding { role, subjects }) = (observed, &native.content) else { continue };
            match &observed.content {
                // The role of this name is somebody else's while ours is refused, so it may have any rules.
                _ if self.is_foreign(&role_of(key, role)) => writes.extend(end(key, observed)),
                Some(content) if *content == native.content && !observed.must_recreate => {}
                Some(RbacSpec::Binding { role: bound, subjects: have }) if bound == role && !observed.must_recreate => {
                    let staying = self.staying(key, native, observed);
                    let stays = |g: &&Subject| subjects.binary_search(*g).is_ok() || staying.contains(*g);
                    let kept: Vec<Subject> = have.iter().filter(stays).cloned().collect();
                    // Only revoke: additions may be refused, and must not hold this up.
                    if kept.len() < have.len() {
                        let content = RbacSpec::Binding { role: role.clone(), subjects: kept.into() };
                        writes.push(apply(key, Desired { content, source: native.source.clone() }, observed, true));
                    }
                }
                // A roleRef cannot be changed. After a refusal, the object is deleted, which is never refused.
                _ => writes.extend(end(key, observed)),
            }
        }
        for (key, observed) in self.unwanted(false) {
            let kept = self.kept(key, observed);
            match (&observed.content, self.source_of(observed)) {
                (Some(RbacSpec::Binding { role, subjects }), Some(source))
                    if !kept.is_empty() && !observed.must_recreate =>
                {
                    if kept.len() < subjects.len() {
                        let content =
                            RbacSpec::Binding { role: role.clone(), subjects: kept.into_iter().cloned().collect() };
                        writes.push(apply(key, Desired { content, source }, observed, true));
                    }
                }
                _ => writes.extend(end(key, observed)),
            }
        }
        writes
    }

    /// Whether our role cannot be written and does not exist.
    fn is_foreign(&self, key: &NativeRef) -> bool {
        self.given_up.objects.contains(key) && !self.present.contains_key(key)
    }

    /// The subjects of a binding whose replacement does not exist yet.
    fn kept(&self, key: &'a NativeRef, observed: &'a Observed) -> BTreeSet<&'a Subject> {
        let blocked = self.blocked(key, observed);
        let mut kept = self.moving(key, observed);
        if let Some(RbacSpec::Binding { subjects, .. }) = &observed.content {
            kept.extend(subjects.iter().filter(|s| blocked.is_some_and(|all| all.contains(s))));
        }
        kept
    }

    /// The subjects that leave its role once they have another one.
    fn moving(&self, key: &'a NativeRef, observed: &'a Observed) -> BTreeSet<&'a Subject> {
        let Some(RbacSpec::Binding { subjects, .. }) = &observed.content else { return BTreeSet::new() };
        let Owner::One(owner) = &observed.owner else { return BTreeSet::new() };
        let Some(coming) = self.successors.coming.get(&ReplacementGroup::of(key, owner)) else {
            return BTreeSet::new();
        };
        subjects.iter().filter(|s| coming.contains(s)).collect()
    }

    /// The subjects that should have its role through a binding that is given up.
    fn blocked(&self, key: &'a NativeRef, observed: &'a Observed) -> Option<&BTreeSet<&'a Subject>> {
        let (Some(RbacSpec::Binding { role, .. }), Owner::One(owner)) = (&observed.content, &observed.owner) else {
            return None;
        };
        self.successors.blocked.get(&(ReplacementGroup::of(key, owner), role))
    }

    /// Whether it gives its subjects nothing but what they should have anyway.
    fn is_left_by_nobody(&self, key: &'a NativeRef, observed: &'a Observed) -> bool {
        let Some(RbacSpec::Binding { subjects, .. }) = &observed.content else { return false };
        self.blocked(key, observed).is_some_and(|all| subjects.iter().all(|s| all.contains(s)))
    }

    /// The subjects that leave a binding which stays, once they have arrived in another one.
    fn staying(&self, key: &'a NativeRef, native: &Desired, observed: &'a Observed) -> BTreeSet<&'a Subject> {
        let RbacSpec::Binding { subjects, .. } = &native.content else { return BTreeSet::new() };
        if !ReplacementGroup::is_beyond(key) || observed.content.as_ref() == Some(&native.content) {
            return BTreeSet::new();
        }
        // No subject here can be blocked: when the shard count changes, every shard of the role gets a new name, so a
        // surviving shard is never replaced by another shard of its own role.
        let mut moving = self.moving(key, observed);
        moving.retain(|grantee| subjects.binary_search(grantee).is_err());
        moving
    }

    /// Whether a subject keeps access that it should lose until its replacement exists.
    fn somebody_waits(&self) -> bool {
        self.unwanted(false).any(|(key, observed)| !self.moving(key, observed).is_empty())
            || self.left_by_some().next().is_some()
    }

    /// Bindings that stay while some of their subjects leave.
    fn left_by_some(&self) -> impl Iterator<Item = (&'a NativeRef, &'a Observed)> {
        self.wanted(false).filter_map(|(key, native, observed)| {
            observed.filter(|o| !self.staying(key, native, o).is_empty()).map(|o| (key, o))
        })
    }

    fn source_of(&self, observed: &Observed) -> Option<ApiRef> {
        let Owner::One(owner) = &observed.owner else { return None };
        let wanted = self.desired.values().map(|n| &n.source).find(|s| s.uid == *owner);
        wanted.cloned().or_else(|| observed.source())
    }

    fn grow_roles(&self) -> Vec<Write> {
        // Subjects that wait in an old binding for their new one must not get the additions to its role, so that role
        // grows after they have left. The same applies to subjects that the API server does not let us remove.
        let present = self.present;
        let resisting = self.given_up.resisting.iter().filter_map(|key| Some((key, &**present.get(key)?)));
        let being_left: BTreeSet<(&Name, &Name)> = self
            .unwanted(false)
            .filter(|(key, observed)| !self.is_left_by_nobody(key, observed))
            .chain(self.left_by_some())
            .chain(resisting)
            .filter_map(|(key, observed)| match &observed.content {
                Some(RbacSpec::Binding { role, .. }) => Some((&key.namespace, role)),
                _ => None,
            })
            .collect();
        let may_grow = |key: &NativeRef, there: bool| !there || !being_left.contains(&(&key.namespace, &key.name));
        self.wanted(true)
            .filter(|(key, _, observed)| may_grow(key, observed.is_some()))
            .filter_map(|(key, native, observed)| grow(key, native, observed))
            .collect()
    }

    fn grow_bindings(&self) -> Vec<Write> {
        // Never bind a role that is not ours: a binding that precedes its role would grant whatever has that name. Nor
        // a role that grants too much and cannot be changed.
        let bound_to_ours = |key: &NativeRef, native: &Desired| match &native.content {
            RbacSpec::Binding { role, .. } => {
                let role = role_of(key, role);
                self.present.contains_key(&role) && !self.given_up.resisting.contains(&role)
            }
            RbacSpec::Rules(_) => false,
        };
        self.wanted(false)
            .filter(|(key, native, _)| bound_to_ours(key, native))
            .filter_map(|(key, native, observed)| {
                let staying = observed.map(|o| self.staying(key, native, o)).unwrap_or_default();
                match &native.content {
                    RbacSpec::Binding { role, subjects } if !staying.is_empty() => {
                        let subjects: BTreeSet<&Subject> = subjects.iter().chain(staying).collect();
                        let subjects = subjects.into_iter().cloned().collect();
                        let content = RbacSpec::Binding { role: role.clone(), subjects };
                        grow(key, &Desired { content, source: native.source.clone() }, observed)
                    }
                    _ => grow(key, native, observed),
                }
            })
            .collect()
    }

    fn clean_up(&self) -> Vec<Write> {
        let gone = self.unwanted(true).filter(|(_, observed)| !observed.terminating);
        gone.map(|(key, observed)| delete(key, observed, false)).collect()
    }
}

/// The role that a binding with this key refers to.
fn role_of(binding: &NativeRef, role: &Name) -> NativeRef {
    let kind = match binding.kind {
        NativeKind::ClusterRole | NativeKind::ClusterRoleBinding => NativeKind::ClusterRole,
        NativeKind::Role | NativeKind::RoleBinding => NativeKind::Role,
    };
    NativeRef::new(kind, binding.namespace.clone(), role.clone())
}

/// Ends a binding. One that is being deleted, but has somebody's finalizer, still grants, so it is emptied.
fn end(key: &NativeRef, observed: &Observed) -> Option<Write> {
    if !observed.terminating {
        return Some(delete(key, observed, true));
    }
    let Some(RbacSpec::Binding { role, subjects }) = &observed.content else { return None };
    let source = observed.source().filter(|_| !subjects.is_empty())?;
    let content = RbacSpec::Binding { role: role.clone(), subjects: Vec::new().into() };
    Some(apply(key, Desired { content, source }, observed, true))
}

fn grow(key: &NativeRef, native: &Desired, observed: Option<&Observed>) -> Option<Write> {
    match observed {
        None => Some(Write::Create { key: key.clone(), native: native.clone() }),
        Some(o) if o.content.as_ref() == Some(&native.content) && o.described_as(&native.source) => None,
        // An owner that is not ours would keep the object alive, and an apply cannot remove it.
        Some(o) if o.must_recreate || o.owner == Owner::Several => end(key, o),
        Some(o) => Some(apply(key, native.clone(), o, false)),
    }
}
