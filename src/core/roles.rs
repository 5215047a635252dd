//! Roles: from permissions, native rules and inherited roles to what is granted, inside of the ceilings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Name;
use super::catalog::Target;
use super::records::Role;
use super::rules::{Atom, Ceiling, Rule, RuleSet};
use super::world::World;
use crate::api::conditions::Reason;
use crate::api::{Permission, Place, RoleKind, Scope};

/// What a role grants, and what it asks for but does not get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// In the namespace of an organization.
    pub namespaced: RuleSet,
    /// On cluster-scoped kinds. Always empty for a CustomRole.
    pub cluster: RuleSet,
    /// In the release namespace. Always empty for a CustomRole.
    pub release: RuleSet,
    /// The normal forms of the three, ready to be written.
    pub rules: Written,
    /// Handing it out is a matter of trust: it says so, or a role that it inherits does.
    pub privileged: bool,
    /// What is withheld.
    pub withheld: Vec<Withheld>,
}

/// Normal forms, shared by every namespace in which a role is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    #[allow(missing_docs)]
    pub namespaced: Arc<[Rule]>,
    #[allow(missing_docs)]
    pub cluster: Arc<[Rule]>,
    #[allow(missing_docs)]
    pub release: Arc<[Rule]>,
}

/// Something that was asked for and is not granted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Withheld {
    #[allow(missing_docs)]
    pub reason: Reason,
    /// What, in words of the object that asks.
    pub what: String,
}

impl Withheld {
    /// Something, and why.
    pub fn new(reason: Reason, what: impl Into<String>) -> Self {
        Self { reason, what: what.into() }
    }

    /// Whether it is as it should be: nobody has to do anything about it.
    #[must_use]
    pub fn expected(&self) -> bool {
        expected(self.reason)
    }
}

/// Whether a reason for withholding is part of normal life, so that the object counts as ready all the same.
#[must_use]
pub fn expected(reason: Reason) -> bool {
    matches!(reason, Reason::Suspended | Reason::Expired | Reason::OwnScopeNotEnabled | Reason::EmptyResource)
}

impl Resolved {
    /// Nothing in it at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.namespaced.is_empty() && self.cluster.is_empty() && self.release.is_empty()
    }

    fn own(world: &World, role: &Role) -> Self {
        let mut resolved = Resolved { privileged: role.privileged, ..Resolved::default() };
        let mut sets: BTreeMap<Target, Vec<Atom>> = BTreeMap::new();
        for (index, permission) in role.permissions.iter().enumerate() {
            resolved.permission(world, role.kind, index, permission, &mut sets);
        }
        sets.entry(Target::Organization).or_default().extend(role.rules.iter().flat_map(Rule::atoms));
        sets.entry(Target::Cluster).or_default().extend(role.cluster_rules.iter().flat_map(Rule::atoms));
        for (target, atoms) in sets {
            resolved.under_ceiling(world, target, RuleSet::from_atoms(atoms));
        }
        resolved
    }

    fn permission(
        &mut self,
        world: &World,
        kind: RoleKind,
        index: usize,
        permission: &Permission,
        sets: &mut BTreeMap<Target, Vec<Atom>>,
    ) {
        let what = || format!("permissions[{index}] ({})", permission.resource);
        let withheld = match world.bounds.atoms(permission) {
            None => Some(Reason::UnknownResource),
            Some(_) if permission.scope == Scope::Own => Some(Reason::OwnScopeNotEnabled),
            Some((target, _)) if target != Target::Organization && kind == RoleKind::CustomRole => {
                Some(Reason::BeyondOrganization)
            }
            Some((_, atoms)) if atoms.is_empty() => Some(Reason::EmptyResource),
            Some((target, atoms)) => {
                sets.entry(target).or_default().extend(atoms);
                None
            }
        };
        self.withheld.extend(withheld.map(|reason| Withheld::new(reason, what())));
    }

    fn under_ceiling(&mut self, world: &World, target: Target, asked: RuleSet) {
        if asked.is_empty() {
            return;
        }
        let (place, ceiling): (&mut RuleSet, &Option<Ceiling>) = match target {
            Target::Organization => (&mut self.namespaced, &world.ceilings.organization),
            Target::Cluster => (&mut self.cluster, &world.ceilings.cluster),
            Target::Release => (&mut self.release, &world.ceilings.release),
        };
        let Some(ceiling) = ceiling else {
            self.withheld.push(Withheld::new(Reason::CeilingUnknown, format!("{} rights", asked.len())));
            return;
        };
        let (within, beyond) = asked.split(ceiling);
        *place = within;
        self.withheld.extend(beyond.iter().map(|atom| Withheld::new(Reason::BeyondCeiling, atom.to_string())));
    }

    fn inherit(&mut self, other: &Resolved, kind: RoleKind) {
        self.namespaced = std::mem::take(&mut self.namespaced).union(&other.namespaced);
        if kind == RoleKind::SiteRole {
            self.cluster = std::mem::take(&mut self.cluster).union(&other.cluster);
            self.release = std::mem::take(&mut self.release).union(&other.release);
        }
        self.privileged |= other.privileged;
    }

    fn written(mut self) -> Self {
        self.rules = Written {
            namespaced: self.namespaced.to_rules().into(),
            cluster: self.cluster.to_rules().into(),
            release: self.release.to_rules().into(),
        };
        self
    }
}

/// Resolves every SiteRole.
#[must_use]
pub fn resolve_site_roles(world: &World) -> BTreeMap<Name, Arc<Resolved>> {
    let lookup = |kind, name: &str| (kind == RoleKind::SiteRole).then(|| world.site_roles.get(name)).flatten();
    let resolved = |role| Arc::new(resolve(world, role, &lookup).written());
    world.site_roles.iter().map(|(name, role)| (name.clone(), resolved(role))).collect()
}

/// Resolves the CustomRoles of a namespace for which `counts` says that they count.
#[must_use]
pub fn resolve_custom_roles(
    world: &World,
    roles: &BTreeMap<Name, Role>,
    counts: impl Fn(&Role) -> bool,
) -> BTreeMap<Name, Arc<Resolved>> {
    let lookup = |kind, name: &str| match kind {
        RoleKind::SiteRole => world.site_roles.get(name),
        RoleKind::CustomRole => roles.get(name).filter(|role| counts(role)),
    };
    let counted = roles.iter().filter(|(_, role)| counts(role));
    counted.map(|(name, role)| (name.clone(), Arc::new(resolve(world, role, &lookup).written()))).collect()
}

/// Finds a role by kind and name.
trait Lookup<'a>: Fn(RoleKind, &str) -> Option<&'a Role> {}
impl<'a, F: Fn(RoleKind, &str) -> Option<&'a Role>> Lookup<'a> for F {}

fn resolve<'a>(world: &World, role: &'a Role, lookup: &impl Lookup<'a>) -> Resolved {
    let mut resolved = Resolved::own(world, role);
    if role.inherits.is_empty() {
        return resolved;
    }
    if inherits_itself(role, lookup) {
        resolved.withheld.push(Withheld::new(Reason::InheritanceCycle, "inherits"));
        return resolved;
    }
    for (index, (kind, name)) in role.inherits.iter().enumerate() {
        let what = || format!("inherits[{index}] ({} {name:?})", kind.as_str());
        match lookup(*kind, name) {
            None => resolved.withheld.push(Withheld::new(Reason::RoleNotFound, what())),
            Some(other) if !fits(role, other) => {
                resolved.withheld.push(Withheld::new(Reason::RoleNotAssignableHere, what()));
            }
            // No cycle leads back to `role`, and roles in another cycle inherit nothing: this ends.
            Some(other) => resolved.inherit(&resolve(world, other, lookup), role.kind),
        }
    }
    resolved
}

/// A role may inherit what could be assigned wherever it can be itself. A role with one holder is nobody's to inherit.
fn fits(role: &Role, inherited: &Role) -> bool {
    !inherited.single_holder && role.assignable_to.iter().all(|place| inherited.assignable_to.contains(place))
}

fn inherits_itself<'a>(role: &'a Role, lookup: &impl Lookup<'a>) -> bool {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&(RoleKind, Name)> = role.inherits.iter().collect();
    while let Some(next) = open.pop() {
        if next.0 == role.kind && next.1 == role.meta.name {
            return true;
        }
        if seen.insert(next) {
            open.extend(lookup(next.0, &next.1).into_iter().flat_map(|r| r.inherits.iter()));
        }
    }
    false
}

/// Whether a role may be assigned in a place.
#[must_use]
pub fn assignable(role: &Role, place: Place) -> bool {
    role.assignable_to.contains(&place)
}
