//! Access through native objects alone: bindings × rules, added up as RBAC does.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick::core::Name;
use bailiwick::core::object_ref::{NativeKind, NativeRef};
use bailiwick::core::plan::Present;
use bailiwick::core::rbac::{DesiredSet, Owner, RbacSpec, Subject};
use bailiwick::core::rules::{Atom, RuleSet};
use bailiwick::core::uid::Uid;

/// The grant of one binding: where, to which subject, and from which source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    pub place: Name,
    pub grantee: Subject,
    pub source: Uid,
    pub role: NativeRef,
}

/// The grants of a state, and what their roles allow.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub grants: BTreeSet<Grant>,
    pub roles: BTreeMap<NativeRef, RuleSet>,
}

/// One right of one subject in one place.
pub type Right = (Name, Subject, Atom);

/// The role to which a binding of this key refers.
pub fn role_key(binding: &NativeRef, role: &Name) -> NativeRef {
    let kind = if binding.kind == NativeKind::ClusterRoleBinding { NativeKind::ClusterRole } else { NativeKind::Role };
    NativeRef::new(kind, binding.namespace.clone(), role.clone())
}

impl Access {
    fn add(&mut self, key: &NativeRef, content: &RbacSpec, source: Uid) {
        match content {
            RbacSpec::Rules(rules) => drop(self.roles.insert(key.clone(), RuleSet::from_rules(rules.iter()))),
            RbacSpec::Binding { role, subjects } => {
                for grantee in subjects.iter() {
                    self.grants.insert(Grant {
                        place: key.namespace.clone(),
                        grantee: grantee.clone(),
                        source: source.clone(),
                        role: role_key(key, role),
                    });
                }
            }
        }
    }

    pub fn desired(desired: &DesiredSet) -> Self {
        let mut access = Self::default();
        for (key, native) in desired {
            access.add(key, &native.content, native.source.uid.clone());
        }
        access
    }

    pub fn present(present: &Present) -> Self {
        let mut access = Self::default();
        for (key, observed) in present {
            let source = match &observed.owner {
                Owner::One(uid) => uid.clone(),
                _ => Uid::default(),
            };
            if let Some(content) = &observed.content {
                access.add(key, content, source);
            }
        }
        access
    }

    pub fn allows(&self, grant: &Grant, atom: &Atom) -> bool {
        self.roles.get(&grant.role).is_some_and(|set| set.contains(atom))
    }

    /// Whether a subject has a right, from any source.
    pub fn has(&self, (place, grantee, atom): &Right) -> bool {
        let mut grants = self.grants.iter().filter(|g| g.place == *place && g.grantee == *grantee);
        grants.any(|grant| self.allows(grant, atom))
    }

    /// Every right, as the roles spell them.
    pub fn rights(&self) -> BTreeSet<Right> {
        let of = |grant: &Grant| {
            let atoms: Vec<Atom> = self.roles.get(&grant.role).into_iter().flat_map(RuleSet::iter).cloned().collect();
            let (place, grantee) = (grant.place.clone(), grant.grantee.clone());
            atoms.into_iter().map(move |atom| (place.clone(), grantee.clone(), atom)).collect::<Vec<_>>()
        };
        self.grants.iter().flat_map(of).collect()
    }

    /// The rights that are not among another's.
    pub fn beyond(&self, others: &[&Access]) -> Vec<Right> {
        self.rights().into_iter().filter(|right| !others.iter().any(|o| o.has(right))).collect()
    }
}
