//! The native Roles with rights on own objects by name: for each subject in a namespace one, or several if there are many
//! names.
//!
//! The API server compares each name of a Role with each right of the operator when the Role is written, so writing a
//! large one takes long. Reading it costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

use super::Name;
use super::cache::Cache;
use super::names::{self, OWN_PREFIX};
use super::object_ref::{ApiRef, NativeKind, NativeRef};
use super::observed_state::ObservedState;
use super::own_objects::{ByName, Kinds};
use super::owned::Owned;
use super::rbac::{Desired, DesiredSet, RbacSpec, Subject};
use super::rules::{Atom, Rule, RuleSet};

/// About this many names are in one Role. A hash spreads the names, so a Role may have some more, but hardly ever 500.
const SIZE: usize = 384;
/// The most Roles of one subject.
const MOST_PARTS: usize = 256;

/// The subjects of a namespace with rights by name, and what these rights need.
pub(super) struct OwnRoles<'a> {
    namespace: &'a Name,
    observed: &'a dyn ObservedState,
    owned: Option<&'a Owned>,
    /// Subjects that own something, or had rights by name so far; each with the rights that roles give.
    rights: BTreeMap<Subject, BTreeSet<ByName>>,
    /// The kinds of which the owners have to be known.
    pub kinds: Kinds,
}

impl<'a> OwnRoles<'a> {
    pub fn new(cache: &'a Cache, namespace: &'a Name, observed: &'a dyn ObservedState) -> Self {
        let owned = cache.owned.get(namespace);
        let mut subjects: BTreeSet<Subject> = owned.into_iter().flat_map(Owned::owners).map(subject).collect();
        for binding in observed.bindings(namespace) {
            if let Some(RbacSpec::Binding { role, subjects: bound }) = &binding.content
                && role.starts_with(OWN_PREFIX)
            {
                subjects.extend(bound.iter().cloned());
            }
        }
        let rights = subjects.into_iter().map(|subject| (subject, BTreeSet::new())).collect();
        Self { namespace, observed, owned, rights, kinds: Kinds::new() }
    }

    /// These subjects hold a role with these rights. Who is in a group of the identity provider is unknown.
    pub fn hold(&mut self, subjects: &BTreeSet<Subject>, rights: &BTreeSet<ByName>) {
        if rights.is_empty() || subjects.iter().all(|subject| matches!(subject, Subject::Group(_))) {
            return;
        }
        self.kinds.extend(rights.iter().map(|right| right.of.clone()));
        for (subject, held) in self.rights.iter_mut().filter(|(subject, _)| subjects.contains(subject)) {
            if !matches!(subject, Subject::Group(_)) {
                held.extend(rights.iter().cloned());
            }
        }
    }

    /// Adds the native objects. `source` owns them.
    pub fn write(&self, desired: &mut DesiredSet, source: &ApiRef) {
        for (subject, rights) in self.rights.iter().filter(|(_, rights)| !rights.is_empty()) {
            let is_known = |right: &ByName| self.owned.is_some_and(|owned| owned.is_listed(&right.of));
            let parts =
                if rights.iter().all(is_known) { self.named(subject, rights) } else { self.kept(subject, rights) };
            for (name, rules) in parts {
                let key = |kind| NativeRef::new(kind, self.namespace.clone(), name.clone());
                let add = |desired: &mut DesiredSet, kind, content| {
                    desired.insert(key(kind), Desired { content, source: source.clone() });
                };
                add(desired, NativeKind::Role, RbacSpec::Rules(rules.into()));
                let content = RbacSpec::Binding { role: name.clone(), subjects: [subject.clone()].into() };
                add(desired, NativeKind::RoleBinding, content);
            }
        }
    }

    /// The rights on everything that a subject owns.
    fn named(&self, subject: &Subject, rights: &BTreeSet<ByName>) -> Vec<(Name, Vec<Rule>)> {
        let Some(owned) = self.owned else { return Vec::new() };
        let owner = owner(subject);
        let kinds: Kinds = rights.iter().map(|right| right.of.clone()).collect();
        let total: usize = kinds.iter().map(|kind| owned.of(&owner, kind).count()).sum();
        if total == 0 {
            return Vec::new();
        }
        let count = self.parts(subject, total);
        let mut parts: Vec<Vec<Rule>> = vec![Vec::new(); count];
        for right in rights {
            let mut names: Vec<Vec<Name>> = vec![Vec::new(); count];
            for name in owned.of(&owner, &right.of) {
                names[part_of(name, count)].push(name.clone());
            }
            for (part, names) in parts.iter_mut().zip(names).filter(|(_, names)| !names.is_empty()) {
                part.extend(right.rules(names));
            }
        }
        let named = parts.into_iter().enumerate().filter(|(_, rules)| !rules.is_empty());
        named
            .map(|(index, rules)| {
                (names::own(&subject.to_string(), index, count), RuleSet::from_rules(&rules).to_rules())
            })
            .collect()
    }

    /// Over how many Roles so many names are split. A name more or less does not split them again.
    fn parts(&self, subject: &Subject, total: usize) -> usize {
        let needed = total.div_ceil(SIZE).next_power_of_two().min(MOST_PARTS);
        let is_split_further = (0..2).any(|index| self.role(subject, index, 2 * needed).is_some());
        if is_split_further && 4 * total > 3 * needed * SIZE { 2 * needed } else { needed }
    }

    fn role(&self, subject: &Subject, index: usize, count: usize) -> Option<(Name, &'a [Rule])> {
        let name = names::own(&subject.to_string(), index, count);
        let key = NativeRef::new(NativeKind::Role, self.namespace.clone(), name.clone());
        match self.observed.get(&key)?.content.as_ref()? {
            RbacSpec::Rules(rules) => Some((name, rules)),
            RbacSpec::Binding { .. } => None,
        }
    }

    /// While the owners are not known (the operator has just started), subjects keep what they have, as far as their
    /// roles still give it.
    fn kept(&self, subject: &Subject, rights: &BTreeSet<ByName>) -> Vec<(Name, Vec<Rule>)> {
        let all: Vec<Rule> = rights.iter().flat_map(|right| right.rules(Vec::new())).collect();
        let all = RuleSet::from_rules(&all);
        let counts = std::iter::successors(Some(1), |count| (2 * count <= 2 * MOST_PARTS).then_some(2 * count));
        let parts = counts.flat_map(|count| (0..count).filter_map(move |index| self.role(subject, index, count)));
        let kept = parts.map(|(name, rules)| {
            let rules =
                RuleSet::from_atoms(rules.iter().flat_map(Rule::atoms).filter(|right: &Atom| all.contains(right)));
            (name, rules.to_rules())
        });
        kept.filter(|(_, rules)| !rules.is_empty()).collect()
    }
}

fn part_of(name: &str, count: usize) -> usize {
    // Not the standard hasher, which may differ between versions of Rust.
    let mut hasher = SipHasher24::new();
    hasher.write(name.as_bytes());
    usize::try_from(hasher.finish() % count as u64).unwrap_or(0)
}

/// The subject with this username.
fn subject(owner: &Name) -> Subject {
    match owner.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':')) {
        Some((namespace, name)) => Subject::ServiceAccount { namespace: namespace.into(), name: name.into() },
        None => Subject::User(owner.clone()),
    }
}

/// The username of a subject.
fn owner(subject: &Subject) -> Name {
    match subject {
        Subject::User(name) | Subject::Group(name) => name.clone(),
        Subject::ServiceAccount { namespace, name } => format!("system:serviceaccount:{namespace}:{name}").into(),
    }
}
