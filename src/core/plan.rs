//! From what is there to what should be there: the next writes.
//!
//! What takes access away goes before what gives it, and nobody who keeps access is without it for a moment. The steps:
//!
//! 1. Roles shrink to what they keep, and bindings lose the subjects that they should lose. An obsolete binding keeps only
//!    subjects whose replacement, from the same source, does not exist yet (or cannot be written but grants the same role).
//!    Once none are left, it is deleted.
//! 2. Roles are created and grow, except those that somebody is about to leave.
//! 3. Bindings are created and grow.
//! 4. Roles that nothing refers to are deleted.
//!
//! [`next`] returns one step only; when its writes are done it is asked again. So a plan is never stale, and after a crash
//! nothing has to be cleaned up but what the next answer names anyway. Revocations may also begin while other writes are in
//! flight ([`InFlight::concurrent_revocations`]): a revocation waits for no write but one of its own object.

use std::collections::{BTreeMap, BTreeSet};

use super::Name;
use super::names::RELEASE_PREFIX;
use super::object_ref::{ApiRef, NativeRef};
use super::rbac::{Desired, DesiredSet, NativeKind, Observed, Owner, RbacSpec, Subject};
use super::rules::RuleSet;
use super::uid::Uid;

/// One write to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Create what is not there.
    Create {
        #[allow(missing_docs)]
        key: NativeRef,
        #[allow(missing_docs)]
        native: Desired,
    },
    /// Change what is there, if it still is the object of this UID.
    Apply {
        #[allow(missing_docs)]
        key: NativeRef,
        #[allow(missing_docs)]
        native: Desired,
        #[allow(missing_docs)]
        uid: Uid,
        /// Whether this takes something away.
        revokes: bool,
    },
    /// Delete what is there, if it still is the object of this UID.
    Delete {
        #[allow(missing_docs)]
        key: NativeRef,
        #[allow(missing_docs)]
        uid: Uid,
        /// Whether this takes something away from anyone.
        revokes: bool,
    },
}

impl Write {
    /// What it is about.
    #[must_use]
    pub fn key(&self) -> &NativeRef {
        match self {
            Write::Create { key, .. } | Write::Apply { key, .. } | Write::Delete { key, .. } => key,
        }
    }

    /// Whether it takes access away, so that it must not wait for what gives access.
    #[must_use]
    pub fn revokes(&self) -> bool {
        match self {
            Write::Create { .. } => false,
            Write::Apply { revokes, .. } | Write::Delete { revokes, .. } => *revokes,
        }
    }
}

/// What is there, in one unit.
pub type Present = BTreeMap<NativeRef, Box<Observed>>;

/// What is to be written at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Of different objects, in any order.
    pub writes: Vec<Write>,
    /// Whether they take access away, or somebody keeps what they should lose until they are done.
    pub urgent: bool,
}

/// What the API server refuses to have written, for now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// All of it. What takes access away is tried all the same, …
    pub objects: BTreeSet<NativeRef>,
    /// … but from these of them: it was what was refused.
    pub resisting: BTreeSet<NativeRef>,
}

impl GivenUp {
    fn lets(&self, write: &Write) -> bool {
        let tries = write.revokes() && !self.resisting.contains(write.key());
        tries || !self.objects.contains(write.key())
    }
}

/// The next step. Empty when everything is as it should be, but for what is given up, which holds up nothing else, least of all
/// what takes access away.
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

/// What is being written.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    giving: BTreeSet<NativeRef>,
    revoking: BTreeSet<NativeRef>,
}

impl InFlight {
    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.giving.is_empty() && self.revoking.is_empty()
    }

    /// Whether this object is being written.
    #[must_use]
    pub fn contains(&self, key: &NativeRef) -> bool {
        self.giving.contains(key) || self.revoking.contains(key)
    }

    /// A write begins. No other of its object is under way.
    pub fn begin(&mut self, write: &Write) {
        let keys = if write.revokes() { &mut self.revoking } else { &mut self.giving };
        keys.insert(write.key().clone());
    }

    /// A write is done. Says whether it was one that takes access away.
    pub fn end(&mut self, key: &NativeRef) -> bool {
        !self.giving.remove(key) && self.revoking.remove(key)
    }

    /// What can be taken away meanwhile: from objects that are not being written. One that is losing something does not
    /// count as another's successor before it is known what it has left.
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

/// Bindings that take each other's place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ReplacementGroup<'a> {
    /// Those of one source, by its UID.
    Source(&'a Uid),
    /// What SiteRoles give beyond the namespaces of organizations, on the cluster or in this namespace: one binding for
    /// all holders of a role, so that who is moved from one role to another is moved between bindings of two sources.
    Beyond(&'a Name),
}

impl<'a> ReplacementGroup<'a> {
    fn of(key: &'a NativeRef, source: &'a Uid) -> Self {
        if Self::is_beyond(key) { Self::Beyond(&key.namespace) } else { Self::Source(source) }
    }

    fn is_beyond(key: &NativeRef) -> bool {
        key.kind == NativeKind::ClusterRoleBinding || key.name.starts_with(RELEASE_PREFIX)
    }
}

/// Everyone whom bindings shall reach and do not reach yet, or not for sure.
#[derive(Default)]
struct Successors<'a> {
    /// Those who are to come, of each replacement group.
    coming: BTreeMap<ReplacementGroup<'a>, BTreeSet<&'a Subject>>,
    /// Subjects whose replacement binding cannot currently be written. They do not keep a different role meanwhile, but keep the
    /// same role if an old binding still grants it.
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
            _ if is_losing => &[],
            // Most are as they should be, and the largest are very large.
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

    /// Roles that nobody should have, and that no known binding gives: one that is being written may.
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
                // Something that we never write: an aggregated role, say. It cannot be mended in place, and deleting it once
                // is all that can be done.
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
                // The role of this name is somebody else's, as long as ours is refused: it may say anything.
                _ if self.is_foreign(&role_of(key, role)) => writes.extend(end(key, observed)),
                Some(content) if *content == native.content && !observed.must_recreate => {}
                Some(RbacSpec::Binding { role: bound, subjects: have }) if bound == role && !observed.must_recreate => {
                    let staying = self.staying(key, native, observed);
                    let stays = |g: &&Subject| subjects.binary_search(*g).is_ok() || staying.contains(*g);
                    let kept: Vec<Subject> = have.iter().filter(stays).cloned().collect();
                    // Only taking away: what is to be added may be refused, and must not hold this up.
                    if kept.len() < have.len() {
                        let content = RbacSpec::Binding { role: role.clone(), subjects: kept.into() };
                        writes.push(apply(key, Desired { content, source: native.source.clone() }, observed, true));
                    }
                }
                // A roleRef cannot be changed, and what was refused once is done by deleting, which is never refused.
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

    /// Whether ours cannot be written, and is not there.
    fn is_foreign(&self, key: &NativeRef) -> bool {
        self.given_up.objects.contains(key) && !self.present.contains_key(key)
    }

    /// The subjects of a binding for whom another one is wanted and is not there yet.
    fn kept(&self, key: &'a NativeRef, observed: &'a Observed) -> BTreeSet<&'a Subject> {
        let blocked = self.blocked(key, observed);
        let mut kept = self.moving(key, observed);
        if let Some(RbacSpec::Binding { subjects, .. }) = &observed.content {
            kept.extend(subjects.iter().filter(|s| blocked.is_some_and(|all| all.contains(s))));
        }
        kept
    }

    /// Those of them who leave what it gives as soon as they have something else.
    fn moving(&self, key: &'a NativeRef, observed: &'a Observed) -> BTreeSet<&'a Subject> {
        let Some(RbacSpec::Binding { subjects, .. }) = &observed.content else { return BTreeSet::new() };
        let Owner::One(owner) = &observed.owner else { return BTreeSet::new() };
        let Some(coming) = self.successors.coming.get(&ReplacementGroup::of(key, owner)) else {
            return BTreeSet::new();
        };
        subjects.iter().filter(|s| coming.contains(s)).collect()
    }

    /// Everybody who shall have what this gives, by a binding that is given up.
    fn blocked(&self, key: &'a NativeRef, observed: &'a Observed) -> Option<&BTreeSet<&'a Subject>> {
        let (Some(RbacSpec::Binding { role, .. }), Owner::One(owner)) = (&observed.content, &observed.owner) else {
            return None;
        };
        self.successors.blocked.get(&(ReplacementGroup::of(key, owner), role))
    }

    /// Whether this is nothing to anybody but what they shall have anyway.
    fn is_left_by_nobody(&self, key: &'a NativeRef, observed: &'a Observed) -> bool {
        let Some(RbacSpec::Binding { subjects, .. }) = &observed.content else { return false };
        self.blocked(key, observed).is_some_and(|all| subjects.iter().all(|s| all.contains(s)))
    }

    /// Those who shall leave a binding that stays, as soon as they have arrived in another one.
    fn staying(&self, key: &'a NativeRef, native: &Desired, observed: &'a Observed) -> BTreeSet<&'a Subject> {
        let RbacSpec::Binding { subjects, .. } = &native.content else { return BTreeSet::new() };
        if !ReplacementGroup::is_beyond(key) || observed.content.as_ref() == Some(&native.content) {
            return BTreeSet::new();
        }
        // No subject here can be blocked: when the shard count changes, every shard of the role gets a new name, so a surviving
        // shard is never replaced by another shard of its own role.
        let mut moving = self.moving(key, observed);
        moving.retain(|grantee| subjects.binary_search(grantee).is_err());
        moving
    }

    /// Whether somebody has what they should lose until they have something else.
    fn somebody_waits(&self) -> bool {
        self.unwanted(false).any(|(key, observed)| !self.moving(key, observed).is_empty())
            || self.left_by_some().next().is_some()
    }

    /// Bindings that stay and that somebody shall leave.
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
        // Those who wait in an old binding for their new one must not get what its role gains: that grows when they are gone. Nor
        // must those whom the API server does not let be taken out of a binding.
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
        // Never to a role that is not ours: a binding that comes before its role would give whatever stands under the name. Nor to
        // one that gives more than it should, and cannot be changed.
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

/// The role to which a binding of this key refers.
fn role_of(binding: &NativeRef, role: &Name) -> NativeRef {
    let kind = match binding.kind {
        NativeKind::ClusterRoleBinding => NativeKind::ClusterRole,
        _ => NativeKind::Role,
    };
    NativeRef::new(kind, binding.namespace.clone(), role.clone())
}

/// Ends a binding. One that is being deleted and kept by somebody's finalizer goes on granting, so it is emptied.
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
        // An owner that is not ours would keep the object alive, and cannot be taken away by an apply.
        Some(o) if o.must_recreate || o.owner == Owner::Several => end(key, o),
        Some(o) => Some(apply(key, native.clone(), o, false)),
    }
}
