//! The result of a decision: the native objects that should exist, and the statuses of ours.

use jiff::Timestamp;

use super::cache::Contribution;
use super::conditions::StatusDraft;
use super::names::{self, Seed, Shard};
use super::object_ref::{ApiRef, NativeKind, NativeRef};
use super::observed_state::ObservedState;
use super::own_objects::Kinds;
use super::rbac::{Desired, DesiredSet, RbacSpec, Subject};
use super::rules::Rule;
use super::shards::Lists;
use super::{Name, shards};
use crate::api::RoleKind;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The result of deciding one key.
#[derive(Debug, Default)]
pub struct DesiredState {
    /// Our native objects that should exist; any others are deleted.
    pub desired: DesiredSet,
    /// The statuses of the objects that the decision covers.
    pub statuses: Vec<StatusDraft>,
    /// The effects on the rest of the site.
    pub contribution: Contribution,
    /// Counts for the organization's status.
    pub counts: Counts,
    /// When the result changes without any event.
    pub next_change: Option<Timestamp>,
    /// The kinds of objects whose owners have to be known here.
    pub owned_kinds: Kinds,
}

/// Counts for an organization's status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Users that belong to it, as far as they are known by name.
    pub members: u32,
    /// Pairs of a native subject and a native role.
    pub grants: u32,
    /// Requests that are withheld.
    pub withheld: u32,
    /// Objects that do not count, because they are beyond a limit.
    pub beyond_limits: u32,
}

/// A scope for native objects: a namespace, or the cluster.
pub(super) struct Place<'a> {
    pub namespace: &'a Name,
    pub desired: &'a mut DesiredSet,
    /// Read only to keep a grant in its current number of shards: one subject more or less would rewrite all of them.
    pub observed: &'a dyn ObservedState,
    /// Decides how lists of subjects are split.
    pub seed: Seed,
}

/// The role that a native binding refers to, and the name of its native object in this scope.
pub(super) struct RoleName<'a> {
    pub kind: RoleKind,
    pub name: &'a str,
    pub native: Name,
}

impl Place<'_> {
    fn key(&self, role: bool, name: Name) -> NativeRef {
        let kind = match (role, self.namespace.is_empty()) {
            (true, true) => NativeKind::ClusterRole,
            (true, false) => NativeKind::Role,
            (false, true) => NativeKind::ClusterRoleBinding,
            (false, false) => NativeKind::RoleBinding,
        };
        NativeRef::new(kind, self.namespace.clone(), name)
    }

    /// Adds a role with these rules to the desired state.
    pub fn role(&mut self, native: &Name, rules: &Arc<[Rule]>, source: ApiRef) {
        let key = self.key(true, native.clone());
        self.desired.entry(key).or_insert_with(|| Desired { content: RbacSpec::Rules(rules.clone()), source });
    }

    /// Adds native bindings that grant a role to these subjects, split over as many as necessary.
    pub fn bind(&mut self, path: &[&str], role: &RoleName<'_>, subjects: &BTreeSet<Subject>, source: &ApiRef) {
        let lists = shards::split(subjects, self.shards(path, role, subjects.len()), self.seed);
        self.bind_shards(path, role, &lists, source);
    }

    /// The number of shards for so many subjects. If they nearly need twice as many shards and are split that way, they
    /// stay so.
    pub fn shards(&self, path: &[&str], role: &RoleName<'_>, subjects: usize) -> usize {
        let needed = shards::needed(subjects);
        let count = u32::try_from(2 * needed).unwrap_or(u32::MAX);
        let is_there = |index| {
            let shard = Shard { index, count, seed: self.seed };
            let key = self.key(false, names::binding(path, (role.kind, role.name), shard));
            self.observed.get(&key).is_some()
        };
        // One of the shards may be empty.
        let keeps = shards::nearly_need_more(subjects) && (0..2).any(is_there);
        if keeps { 2 * needed } else { needed }
    }

    /// Adds native bindings for subjects that are already split.
    pub fn bind_shards(&mut self, path: &[&str], role: &RoleName<'_>, lists: &Lists, source: &ApiRef) {
        for (shard, subjects) in lists {
            let key = self.key(false, names::binding(path, (role.kind, role.name), *shard));
            let content = RbacSpec::Binding { role: role.native.clone(), subjects: subjects.clone() };
            self.desired.insert(key, Desired { content, source: source.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::plan::Present;
    use crate::core::rbac::{Observed, Owner};
    use crate::core::uid::Uid;

    #[test]
    fn one_subject_more_or_less_does_not_split_again() {
        let role = RoleName { kind: RoleKind::SiteRole, name: "r", native: "r".into() };
        let seed = Seed::default();
        let count = |subjects, there: u32| {
            let names: Vec<Name> = (0..there)
                .map(|index| names::binding(&["a"], (role.kind, role.name), Shard { index, count: there, seed }))
                .collect();
            let (namespace, mut desired) = (Name::default(), DesiredSet::new());
            let key = |name| NativeRef::new(NativeKind::ClusterRoleBinding, Name::default(), name);
            let observed = || Observed {
                uid: Uid::default(),
                version: 1,
                content: None,
                owner: Owner::None,
                origin: None,
                labelled: true,
                must_recreate: false,
                terminating: false,
            };
            let observed: Present = names.into_iter().map(|name| (key(name), Box::new(observed()))).collect();
            Place { namespace: &namespace, desired: &mut desired, observed: &observed, seed }.shards(
                &["a"],
                &role,
                subjects,
            )
        };
        assert_eq!((count(8192, 0), count(8193, 0)), (64, 128));
        assert_eq!((count(8192, 64), count(8193, 64)), (64, 128));
        assert_eq!((count(8193, 128), count(8192, 128), count(6145, 128), count(6144, 128)), (128, 128, 128, 64));
        assert_eq!((count(128, 2), count(96, 2), count(1, 2)), (2, 1, 1));
    }
}
