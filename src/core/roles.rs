//! Roles: from permissions, native rules and inherited roles to what is granted, inside of the ceilings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use super::Name;
use super::catalog::Target;
use super::records::{Role, by_age};
use super::rules::{Ceiling, Rule, RuleSet};
use super::world::{ByName, World};
use crate::api::conditions::Reason;
use crate::api::{Permission, Place, RoleKind, Scope};

/// How many rights (one verb on one resource, or on one object) one role may have, with what it inherits. The largest
/// built-in role has a few hundred; a role of this size is a native Role of about 100 KB.
pub const LARGEST: usize = 4_000;
/// How many CustomRoles of one organization count.
pub const MOST_CUSTOM_ROLES: usize = 200;

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
    /// The roles that it inherits in effect.
    pub inherits: Vec<(RoleKind, Name)>,
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

    /// What the role says itself.
    fn own(world: &World, role: &Role) -> Self {
        let mut resolved = Resolved { privileged: role.privileged, ..Resolved::default() };
        let mut sets: BTreeMap<Target, Vec<&Rule>> = BTreeMap::new();
        let mut room = LARGEST;
        let meant: Vec<_> = role.permissions.iter().map(|p| resolved.meaning(world, role.kind, p)).collect();
        for (index, (permission, meaning)) in role.permissions.iter().zip(&meant).enumerate() {
            let reason = match meaning {
                Ok((_, rules)) if !fits_in(&mut room, rules) => Some(Reason::TooLarge),
                Ok((target, rules)) => {
                    sets.entry(*target).or_default().extend(rules);
                    None
                }
                Err(reason) => Some(*reason),
            };
            let what = || format!("permissions[{index}] ({})", permission.resource);
            resolved.withheld.extend(reason.map(|reason| Withheld::new(reason, what())));
        }
        let native =
            [(Target::Organization, "rules", &role.rules), (Target::Cluster, "clusterRules", &role.cluster_rules)];
        for (target, field, rules) in native {
            for (index, rule) in rules.iter().enumerate() {
                if fits_in(&mut room, std::slice::from_ref(rule)) {
                    sets.entry(target).or_default().push(rule);
                } else {
                    resolved.withheld.push(Withheld::new(Reason::TooLarge, format!("{field}[{index}]")));
                }
            }
        }
        for (target, rules) in sets {
            resolved.under_ceiling(world, target, RuleSet::from_rules(rules));
        }
        resolved
    }

    fn meaning(&self, world: &World, kind: RoleKind, permission: &Permission) -> Result<(Target, Vec<Rule>), Reason> {
        match world.bounds.rules(permission) {
            None => Err(Reason::UnknownResource),
            Some(_) if permission.scope == Scope::Own => Err(Reason::OwnScopeNotEnabled),
            Some((target, _)) if target != Target::Organization && kind == RoleKind::CustomRole => {
                Err(Reason::BeyondOrganization)
            }
            Some((_, rules)) if rules.is_empty() => Err(Reason::EmptyResource),
            Some(meaning) => Ok(meaning),
        }
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

    fn inherit_all<'a>(
        &mut self,
        role: &Role,
        find: impl Fn(RoleKind, &Name) -> Result<(&'a Role, Arc<Resolved>), Reason>,
    ) {
        if role.meta.unreadable.is_some() {
            // The record of what was in force stays.
            self.inherits.clone_from(&role.in_force);
        }
        for (index, (kind, name)) in role.inherits.iter().enumerate() {
            let reason = match find(*kind, name) {
                Err(reason) => reason,
                Ok((other, _)) if other.meta.unreadable.is_some() => {
                    self.privileged = true;
                    Reason::Unreadable
                }
                Ok((other, _)) if !fits(role, other) => Reason::RoleNotAssignableHere,
                Ok((_, rights)) if self.size() + rights.size() > LARGEST => Reason::TooLarge,
                Ok((_, rights)) => {
                    self.inherit(&rights, role.kind);
                    self.inherits.push((*kind, name.clone()));
                    continue;
                }
            };
            self.withheld.push(Withheld::new(reason, format!("inherits[{index}] ({} {name:?})", kind.as_str())));
        }
    }

    fn inherit(&mut self, other: &Resolved, kind: RoleKind) {
        self.namespaced = std::mem::take(&mut self.namespaced).union(&other.namespaced);
        if kind == RoleKind::SiteRole {
            self.cluster = std::mem::take(&mut self.cluster).union(&other.cluster);
            self.release = std::mem::take(&mut self.release).union(&other.release);
        }
        self.privileged |= other.privileged;
    }

    fn size(&self) -> usize {
        self.namespaced.len() + self.cluster.len() + self.release.len()
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

/// Takes the size of these rules off the room that is left; says whether they fit.
fn fits_in(room: &mut usize, rules: &[Rule]) -> bool {
    let size = rules.iter().fold(0_usize, |sum, rule| sum.saturating_add(rule.size()));
    let fits = size <= *room;
    *room -= if fits { size } else { 0 };
    fits
}

/// Resolves every SiteRole.
#[must_use]
pub fn resolve_site_roles(world: &World) -> BTreeMap<Name, Arc<Resolved>> {
    resolve(world, world.site_roles.iter().collect(), |_| None)
}

/// Resolves the CustomRoles of a namespace for which `counts` says that they count. Of very many only the oldest do, so
/// that no organization can keep the others waiting; the rest is not in the result.
#[must_use]
pub fn resolve_custom_roles(
    world: &World,
    roles: &ByName<Role>,
    counts: impl Fn(&Role) -> bool,
) -> BTreeMap<Name, Arc<Resolved>> {
    let mut counted: Vec<(&Name, &Role)> = roles.iter().filter(|(_, role)| counts(role)).collect();
    counted.sort_by_key(|(_, role)| by_age(&role.meta));
    counted.truncate(MOST_CUSTOM_ROLES);
    resolve(world, counted.into_iter().collect(), |name| {
        Some((world.site_roles.get(name)?, world.site_role_rights(name)?.clone()))
    })
}

/// Resolves roles of one kind, each once, those first that others inherit. `outside` finds the SiteRoles that CustomRoles
/// inherit.
fn resolve<'a>(
    world: &World,
    roles: BTreeMap<&'a Name, &'a Role>,
    outside: impl Fn(&str) -> Option<(&'a Role, Arc<Resolved>)>,
) -> BTreeMap<Name, Arc<Resolved>> {
    let circles = circles(&roles);
    let graph = graph(&roles, |from, to| !circles.contains(&(from, to)));
    let mut resolved: BTreeMap<Name, Arc<Resolved>> = BTreeMap::new();
    // Without circles each component is one role, and comes after those that it inherits.
    for role in kosaraju_scc(&graph).into_iter().flatten().map(|node| graph[node]) {
        let mut rights = Resolved::own(world, role);
        rights.inherit_all(role, |kind, name| {
            if kind != role.kind {
                return outside(name).ok_or(Reason::RoleNotFound);
            }
            if circles.contains(&(&role.meta.name, name)) {
                return Err(Reason::InheritanceCycle);
            }
            roles.get(name).copied().zip(resolved.get(name).cloned()).ok_or(Reason::RoleNotFound)
        });
        resolved.insert(role.meta.name.clone(), Arc::new(rights.written()));
    }
    resolved
}

/// One role inherits another.
type Inherits<'a> = (&'a Name, &'a Name);

/// What closes a circle, so that it cannot be followed. What was in force before the circle was closed is on record in
/// the roles' statuses and goes on: an edit of one role must not take away what another one gives. Without a record, or
/// where the records themselves make a circle, nothing within it is followed.
fn circles<'a>(roles: &BTreeMap<&'a Name, &'a Role>) -> BTreeSet<Inherits<'a>> {
    let in_force = |(from, to): &Inherits| {
        let role = roles[*from];
        role.in_force.iter().any(|(kind, name)| *kind == role.kind && name == *to)
    };
    let closed = within_components(&graph(roles, |_, _| true));
    let (recorded, new): (BTreeSet<_>, BTreeSet<_>) = closed.into_iter().partition(in_force);
    let old_circles = within_components(&graph(roles, |from, to| recorded.contains(&(from, to))));
    new.into_iter().chain(old_circles).collect()
}

/// The edges that lead to where they come from.
fn within_components<'a>(graph: &DiGraph<&'a Role, ()>) -> BTreeSet<Inherits<'a>> {
    let mut component_of = vec![0; graph.node_count()];
    for (index, component) in kosaraju_scc(graph).into_iter().enumerate() {
        component.into_iter().for_each(|node| component_of[node.index()] = index);
    }
    let edges =
        graph.edge_references().filter(|e| component_of[e.source().index()] == component_of[e.target().index()]);
    edges.map(|e| (&graph[e.source()].meta.name, &graph[e.target()].meta.name)).collect()
}

/// Roles of one kind, and which of them inherits which, as far as `follow` says.
fn graph<'a>(
    roles: &BTreeMap<&'a Name, &'a Role>,
    follow: impl Fn(&'a Name, &'a Name) -> bool,
) -> DiGraph<&'a Role, ()> {
    let mut graph = DiGraph::new();
    let nodes: BTreeMap<&Name, NodeIndex> = roles.iter().map(|(name, role)| (*name, graph.add_node(*role))).collect();
    for (name, role) in roles {
        for (_, inherited) in role.inherits.iter().filter(|(kind, _)| *kind == role.kind) {
            if let Some(node) = nodes.get(inherited)
                && follow(name, inherited)
            {
                graph.add_edge(nodes[name], *node, ());
            }
        }
    }
    graph
}

/// A role may inherit what could be assigned wherever it can be itself. A role with one holder is nobody's to inherit.
fn fits(role: &Role, inherited: &Role) -> bool {
    !inherited.single_holder && role.assignable_to.iter().all(|place| inherited.assignable_to.contains(place))
}

/// Whether a role may be assigned in a place.
#[must_use]
pub fn assignable(role: &Role, place: Place) -> bool {
    role.assignable_to.contains(&place)
}
