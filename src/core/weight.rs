//! The weight of records, in bytes of the operator's memory, and the limit for each kind.
//!
//! The weights are estimates from measurements of objects that are watched, decided and projected. Longer texts cost
//! more, and so does every list entry, however short.

use std::collections::HashSet;
use std::hash::Hash;

use super::Name;
use super::records::{Binding, Group, Meta, Namespace, Organization, Record, Role, SubjectRef, User};
use super::rules::Rule;
use super::uid::Uid;
use crate::api::Permission;

const MIB: usize = 1 << 20;

/// A namespaced object, without its lists.
const OBJECT: usize = 1024;
/// A User or an Organization.
const SMALL: usize = 512;
/// One entry of a list, without its text.
const ENTRY: usize = 48;
/// One right of a role.
const RIGHT: usize = 16;

fn texts(names: &[Name]) -> usize {
    names.iter().map(|name| name.len() + ENTRY).sum()
}

fn subject(subject: &SubjectRef) -> usize {
    ENTRY
        + match subject {
            SubjectRef::User(name) | SubjectRef::Group(name) | SubjectRef::ExternalGroup(name) => name.len(),
            SubjectRef::ServiceAccount { namespace, name } => namespace.len() + name.len(),
        }
}

fn rule(rule: &Rule) -> usize {
    let lists = [&rule.groups, &rule.resources, &rule.names, &rule.paths, &rule.verbs];
    lists.into_iter().map(|list| texts(list)).sum::<usize>() + rule.size().saturating_mul(RIGHT)
}

fn permission(permission: &Permission) -> usize {
    let names = permission.names.as_deref().unwrap_or_default();
    let rights = permission.actions.len() * names.len().max(1);
    names.iter().map(|name| name.len() + ENTRY).sum::<usize>() + ENTRY + permission.resource.len() + rights * RIGHT
}

/// The items of a list that another list has too.
fn common<T: Clone + Eq + Hash>(new: &[T], old: &[T]) -> Vec<T> {
    let old: HashSet<&T> = old.iter().collect();
    new.iter().filter(|item| old.contains(item)).cloned().collect()
}

macro_rules! record {
    ($record:ty, $limit:expr, |$it:ident| $weight:expr, |$new:ident, $old:ident| $part:expr) => {
        record!($record, $limit, |$it| $weight, |$new, $old| $part, |_new, _known| ());
    };
    ($record:ty, $limit:expr, |$it:ident| $weight:expr, |$new:ident, $old:ident| $part:expr,
     |$next:ident, $known:ident| $continue:expr) => {
        impl Record for $record {
            const LIMIT: usize = $limit;

            fn meta(&self) -> Option<&Meta> {
                Some(&self.meta)
            }

            fn version(&self) -> (&Uid, u64) {
                (&self.meta.uid, self.meta.version)
            }

            fn weight(&self) -> usize {
                let $it = self;
                $weight
            }

            fn part_of(&self, $old: &Self) -> Self {
                let $new = self.clone();
                $part
            }

            fn continue_from(&mut self, meta: Option<&Meta>, record: Option<&Self>) {
                self.meta.continue_from(meta);
                if let Some($known) = record.filter(|record| record.meta.uid == self.meta.uid) {
                    let $next = self;
                    $continue
                }
            }
        }
    };
}

record!(Organization, 8 * MIB, |it| SMALL + it.meta.name.len(), |new, _old| new);
record!(User, 64 * MIB, |it| SMALL + it.meta.name.len() + it.username.len(), |new, _old| new);
record!(
    Group,
    8 * MIB,
    |it| OBJECT + texts(&it.members) + texts(&it.external),
    |new, old| Self {
        members: common(&new.members, &old.members).into(),
        external: common(&new.external, &old.external).into(),
        ..new
    },
    |next, known| next.first_version = next.first_version.min(known.first_version)
);
record!(
    Binding,
    8 * MIB,
    // Without the role's name: changing that must not make a binding too large.
    |it| OBJECT + it.subjects.iter().map(subject).sum::<usize>(),
    |new, old| Self { subjects: common(&new.subjects, &old.subjects).into(), ..new }
);
record!(
    Role,
    8 * MIB,
    |it| {
        let inherits: usize = it.inherits.iter().map(|(_, name)| name.len() + ENTRY).sum();
        let rules: usize = it.rules.iter().chain(&it.cluster_rules).map(rule).sum();
        OBJECT + inherits + rules + it.permissions.iter().map(permission).sum::<usize>()
    },
    |new, old| Self {
        permissions: new.permissions.iter().filter(|one| old.permissions.contains(one)).cloned().collect(),
        rules: common(&new.rules, &old.rules),
        cluster_rules: common(&new.cluster_rules, &old.cluster_rules),
        inherits: common(&new.inherits, &old.inherits),
        ..new
    }
);

/// Tenants do not create Namespaces, and little is kept of each.
impl Record for Namespace {
    const LIMIT: usize = usize::MAX;

    fn meta(&self) -> Option<&Meta> {
        None
    }

    fn version(&self) -> (&Uid, u64) {
        (&self.uid, self.version)
    }

    fn weight(&self) -> usize {
        0
    }

    fn part_of(&self, _old: &Self) -> Self {
        self.clone()
    }

    fn continue_from(&mut self, _meta: Option<&Meta>, known: Option<&Self>) {
        if let Some(known) = known.filter(|known| known.uid == self.uid) {
            // The next organization's claim keeps the time at which the last one's access ended.
            let is_same = match self.vacated_at {
                Some(at) => known.vacated_at == Some(at),
                None => self.claimed_at.is_some() && [known.vacated_at, known.claimed_at].contains(&self.claimed_at),
            };
            self.vacated_version = if is_same { known.vacated_version } else { self.vacated_version };
        }
    }
}
