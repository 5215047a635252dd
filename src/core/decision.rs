//! What a decision is: the native objects that should be there, and what to say about it.

use jiff::Timestamp;

use super::conditions::StatusDraft;
use super::names;
use super::native::{Content, Desired, Grantee, Key, Native, NativeKind, Source};
use super::rules::Rule;
use super::shards::Lists;
use super::world::Contribution;
use super::{Name, shards};
use crate::api::RoleKind;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What follows from the world for one unit.
#[derive(Debug, Default)]
pub struct Decision {
    /// The native objects that should be there, and no others of ours.
    pub desired: Desired,
    /// The statuses of the objects that the unit is about.
    pub statuses: Vec<StatusDraft>,
    /// What it means for the rest of the site.
    pub contribution: Contribution,
    /// Counts for the organization's status.
    pub counts: Counts,
    /// When the answer changes by itself.
    pub next_change: Option<Timestamp>,
}

/// Counts for an organization's status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Users who belong to it, as far as they are known by name.
    pub members: u32,
    /// Pairs of a native subject and a native role.
    pub grants: u32,
    /// Things that were asked for and are withheld.
    pub withheld: u32,
    /// Objects that do not count, because they are beyond a limit.
    pub beyond_limits: u32,
}

/// A place for native objects: a namespace, or the cluster.
pub(super) struct Place<'a> {
    pub namespace: &'a Name,
    pub desired: &'a mut Desired,
}

/// Which role a native binding refers to, and under which name it stands in this place.
pub(super) struct RoleName<'a> {
    pub kind: RoleKind,
    pub name: &'a str,
    pub native: Name,
}

impl Place<'_> {
    fn key(&self, role: bool, name: Name) -> Key {
        let kind = match (role, self.namespace.is_empty()) {
            (true, true) => NativeKind::ClusterRole,
            (true, false) => NativeKind::Role,
            (false, true) => NativeKind::ClusterRoleBinding,
            (false, false) => NativeKind::RoleBinding,
        };
        Key { kind, namespace: self.namespace.clone(), name }
    }

    /// Wants the rules of a role to be there.
    pub fn role(&mut self, native: &Name, rules: &Arc<[Rule]>, source: Source) {
        let key = self.key(true, native.clone());
        self.desired.entry(key).or_insert_with(|| Native { content: Content::Rules(rules.clone()), source });
    }

    /// Wants these subjects to hold a role, by as many native bindings as it takes. Returns how many grants that are.
    pub fn bind(&mut self, path: &[&str], role: &RoleName<'_>, subjects: &BTreeSet<Grantee>, source: &Source) -> u32 {
        self.bind_shards(path, role, &shards::split(subjects), source);
        u32::try_from(subjects.len()).unwrap_or(u32::MAX)
    }

    /// The same for subjects who are split.
    pub fn bind_shards(&mut self, path: &[&str], role: &RoleName<'_>, lists: &Lists, source: &Source) {
        for (shard, subjects) in lists {
            let key = self.key(false, names::binding(path, (role.kind, role.name), *shard));
            let content = Content::Binding { role: role.native.clone(), subjects: subjects.clone() };
            self.desired.insert(key, Native { content, source: source.clone() });
        }
    }
}
