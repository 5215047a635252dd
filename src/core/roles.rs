//! Resolves roles: from permissions, native rules and inherited roles to the rules that are granted, within the
//! ceilings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use super::Name;
use super::cache::{Cache, Store};
use super::catalog::Target;
use super::own_objects::{self, ByName, OwnRights};
use super::records::Role;
use super::rules::{Ceiling, Rule, RuleSet};
use super::uid::Uid;
use super::withheld::{Item, Withheld};
use crate::api::conditions::Reason;
use crate::api::{Action, Permission, Place, RoleKind, Scope};

/// The most rights (one verb on one resource, or on one object) of one role, including inherited ones. The largest
/// built-in role has a few hundred; this many make a native Role of about 100 KB.
pub const LARGEST: usize = 4_000;
/// The most CustomRoles of one organization that count.
pub const MOST_CUSTOM_ROLES: usize = 200;
/// The most rights of all CustomRoles of one organization together, each including inherited ones.
pub const MOST_RIGHTS: usize = 60_000;

/// The rights that a role grants, and those that it requests but does not get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// In the namespace of an organization.
    pub namespaced: RuleSet,
    /// On cluster-scoped kinds. Always empty for a CustomRole.
    pub cluster: RuleSet,
    /// In the release namespace. Always empty for a CustomRole.
    pub release: RuleSet,
    /// The normal forms of the three, ready to write.
    pub rules: Written,
    /// Assigning it requires trust: it is marked privileged, or inherits a role that is.
    pub privileged: bool,
    /// Rights in the namespace of an organization on each object that the holder owns.
    pub by_name: BTreeSet<ByName>,
    /// The roles that it effectively inherits.
    pub inherits: Vec<(RoleKind, Name)>,
    /// What is withheld.
    pub withheld: Withheld,
}

/// Normal forms, shared by every namespace that has the role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// In an organization's namespace.
    pub namespaced: Arc<[Rule]>,
    /// On the cluster.
    pub cluster: Arc<[Rule]>,
    /// In the release namespace.
    pub release: Arc<[Rule]>,
}

impl Resolved {
    /// Whether it grants nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.namespaced.is_empty() && self.cluster.is_empty() && self.release.is_empty() && self.by_name.is_empty()
    }

    /// The role's own rights, without inherited ones.
    fn own(cache: &Cache, role: &Role, ceiling: Option<&Ceiling>) -> Self {
        let mut resolved = Resolved { privileged: role.privileged, ..Resolved::default() };
        let mut sets: BTreeMap<Target, Vec<&Rule>> = BTreeMap::new();
        let mut room = LARGEST;
        let meant: Vec<_> = role.permissions.iter().map(|p| meaning(cache, role.kind, p)).collect();
        for (index, (permission, meaning)) in role.permissions.iter().zip(&meant).enumerate() {
            if permission.scope == Scope::Own && meaning.is_ok() {
                continue;
            }
            let lacks = unsupported(cache, permission);
            let reason = match meaning {
                Ok((_, rules)) if !fits_in(&mut room, rules) => Some(Reason::TooLarge),
                Ok((target, rules)) => {
                    sets.entry(*target).or_default().extend(rules);
                    lacks.is_some().then_some(Reason::UnsupportedAction)
                }
                Err(reason) => Some(*reason),
            };
            if let Some(reason) = reason {
                let lacks = lacks.filter(|_| reason == Reason::UnsupportedAction);
                let item = || Item::Permission(index, permission.resource.as_str().into()).with(lacks);
                resolved.withheld.add(reason, item);
            }
        }
        let native =
            [(Target::Organization, "rules", &role.rules), (Target::Cluster, "clusterRules", &role.cluster_rules)];
        for (target, field, rules) in native {
            for (index, rule) in rules.iter().enumerate() {
                if fits_in(&mut room, std::slice::from_ref(rule)) {
                    sets.entry(target).or_default().push(rule);
                } else {
                    resolved.withheld.add(Reason::TooLarge, || Item::Rule(field, index));
                }
            }
        }
        for (target, rules) in sets {
            let ceiling = match target {
                Target::Organization => ceiling,
                Target::Cluster => cache.ceilings.cluster.as_ref(),
                Target::Release => cache.ceilings.release.as_ref(),
            };
            resolved.under_ceiling(ceiling, target, RuleSet::from_rules(rules));
        }
        resolved
    }

    /// Adds the rights on own objects, which depend on the role's other rights.
    fn add_own(&mut self, cache: &Cache, role: &Role, ceiling: Option<&Ceiling>) {
        for (index, permission) in role.permissions.iter().enumerate().filter(|(_, p)| p.scope == Scope::Own) {
            let (Ok((target, _)), Some(word)) =
                (meaning(cache, role.kind, permission), cache.bounds.catalog.get(&permission.resource))
            else {
                continue;
            };
            let item = || Item::Permission(index, permission.resource.as_str().into());
            let (granted, ceiling) = match target {
                Target::Organization => (&mut self.namespaced, ceiling),
                Target::Cluster => (&mut self.cluster, cache.ceilings.cluster.as_ref()),
                Target::Release => (&mut self.release, cache.ceilings.release.as_ref()),
            };
            let rights = OwnRights::new(cache, word, permission, granted, ceiling);
            let asked = RuleSet::from_rules(&rights.rules);
            if let Some(reason) = OwnRights::reason(cache) {
                self.withheld.add(reason, item);
                continue;
            }
            if granted.len() + asked.len() > LARGEST {
                self.withheld.add(Reason::TooLarge, item);
                continue;
            }
            *granted = std::mem::take(granted).union(&asked);
            self.by_name.extend(rights.by_name);
            self.withheld.add_many(
                Reason::BeyondCeiling,
                rights.beyond.len(),
                rights.beyond.into_iter().map(Item::Right),
            );
            if !rights.lacking.is_empty() {
                self.withheld.add(Reason::OwnScopeNotEnabled, || item().with(Some(rights.lacking.join(", "))));
            }
        }
    }

    fn under_ceiling(&mut self, ceiling: Option<&Ceiling>, target: Target, asked: RuleSet) {
        if asked.is_empty() {
            return;
        }
        let Some(ceiling) = ceiling else {
            self.withheld.add(Reason::CeilingUnknown, || Item::Rights(asked.len()));
            return;
        };
        let (within, beyond) = asked.split(ceiling);
        match target {
            Target::Organization => self.namespaced = within,
            Target::Cluster => self.cluster = within,
            Target::Release => self.release = within,
        }
        self.withheld.add_many(Reason::BeyondCeiling, beyond.len(), beyond.into_iter().map(Item::Right));
    }

    fn new(cache: &Cache, role: &Role, ceiling: Option<&Ceiling>, inherited: &[Result<Arc<Resolved>, Reason>]) -> Self {
        let mut resolved = Self::own(cache, role, ceiling);
        if role.meta.unreadable.is_some() {
            // The record of the inherited roles in force stays.
            resolved.inherits.clone_from(&role.in_force);
        }
        for (index, ((kind, name), rights)) in role.inherits.iter().zip(inherited).enumerate() {
            let reason = match rights {
                Ok(rights) if resolved.size() + rights.size() <= LARGEST => {
                    resolved.inherit(rights, role.kind);
                    resolved.inherits.push((*kind, name.clone()));
                    continue;
                }
                Ok(_) => Reason::TooLarge,
                Err(reason) => *reason,
            };
            // An unreadable role may be privileged.
            resolved.privileged |= reason == Reason::Unreadable;
            resolved.withheld.add(reason, || Item::Inherits(index, *kind, name.clone()));
        }
        resolved.add_own(cache, role, ceiling);
        resolved.written()
    }

    fn inherit(&mut self, other: &Resolved, kind: RoleKind) {
        self.namespaced = std::mem::take(&mut self.namespaced).union(&other.namespaced);
        if kind == RoleKind::SiteRole {
            self.cluster = std::mem::take(&mut self.cluster).union(&other.cluster);
            self.release = std::mem::take(&mut self.release).union(&other.release);
        }
        self.by_name.extend(other.by_name.iter().cloned());
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

/// What a permission on all objects means, and where it applies.
fn meaning(cache: &Cache, kind: RoleKind, permission: &Permission) -> Result<(Target, Vec<Rule>), Reason> {
    match cache.bounds.rules(permission) {
        None => Err(Reason::UnknownResource),
        Some((target, _)) if target != Target::Organization && kind == RoleKind::CustomRole => {
            Err(Reason::BeyondOrganization)
        }
        Some((_, rules)) if rules.is_empty() && unsupported(cache, permission).is_some() => {
            Err(Reason::UnsupportedAction)
        }
        Some((_, rules)) if rules.is_empty() => Err(Reason::EmptyResource),
        Some(meaning) => Ok(meaning),
    }
}

/// The requested actions that the word lacks, and those that it has; `None` if the word is empty here.
fn unsupported(cache: &Cache, permission: &Permission) -> Option<String> {
    let word = cache.bounds.catalog.get(&permission.resource).filter(|word| !word.rules.is_empty())?;
    let list = |actions: &mut dyn Iterator<Item = Action>| actions.map(Action::as_str).collect::<Vec<_>>().join(", ");
    let lacks = list(&mut permission.actions.iter().copied().filter(|action| !word.allows(*action)));
    let has = list(&mut Action::ALL.into_iter().filter(|action| word.allows(*action)));
    (!lacks.is_empty()).then(|| format!("no action {lacks}; its actions are {has}"))
}

/// How many rights a role requests itself, up to the most for one role.
fn own_size(cache: &Cache, role: &Role) -> usize {
    let mut room = LARGEST;
    for permission in &role.permissions {
        if let Some((_, rules)) = cache.bounds.rules(permission) {
            fits_in(&mut room, &rules);
        }
    }
    for rule in role.rules.iter().chain(&role.cluster_rules) {
        fits_in(&mut room, std::slice::from_ref(rule));
    }
    LARGEST - room
}

/// Subtracts the size of these rules from the remaining room; returns whether they fit.
fn fits_in(room: &mut usize, rules: &[Rule]) -> bool {
    let size = rules.iter().fold(0_usize, |sum, rule| sum.saturating_add(rule.size()));
    let fits = size <= *room;
    *room -= if fits { size } else { 0 };
    fits
}

/// Roles as last resolved. A role is resolved again only when something that it depends on has changed.
#[derive(Debug, Default)]
pub struct ResolvedRoles(BTreeMap<Name, Known>);

#[derive(Debug)]
struct Known {
    basis: Basis,
    /// `None` if its organization has too many roles, or too little room for its rights.
    rights: Option<Arc<Resolved>>,
    /// How many rights it requests itself, up to the most for one role.
    own_size: usize,
}

/// The inputs of a resolved role.
#[derive(Debug)]
struct Basis {
    uid: Uid,
    /// The generation or, without one, the version.
    generation: (i64, u64),
    /// [`Cache::rules_version`].
    rules: u64,
    /// [`own_objects::everybody_lists_users`].
    lists_users: bool,
    inherited: Vec<Result<Arc<Resolved>, Reason>>,
}

impl Basis {
    /// Whether the role, the catalog and the ceilings are the same.
    fn is_of(&self, cache: &Cache, role: &Role) -> bool {
        self.uid == role.meta.uid
            && self.generation == generation(role)
            && self.rules == cache.rules_version
            && self.lists_users == own_objects::everybody_lists_users(cache)
    }

    fn inherits(&self, inherited: &[Result<Arc<Resolved>, Reason>]) -> bool {
        self.inherited.len() == inherited.len()
            && self.inherited.iter().zip(inherited).all(|pair| match pair {
                (Ok(one), Ok(other)) => Arc::ptr_eq(one, other),
                (one, other) => one.as_ref().err() == other.as_ref().err(),
            })
    }
}

fn generation(role: &Role) -> (i64, u64) {
    match role.meta.generation {
        0 => (0, role.meta.version),
        generation => (generation, 0),
    }
}

impl ResolvedRoles {
    /// A role, if it is known and counts.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Resolved>> {
        self.0.get(name)?.rights.as_ref()
    }

    fn own_size(&self, cache: &Cache, role: &Role) -> usize {
        let known = self.0.get(&role.meta.name).filter(|known| known.basis.is_of(cache, role));
        known.map_or_else(|| own_size(cache, role), |known| known.own_size)
    }
}

/// Resolves every SiteRole. `known`: the previous result. `ceiling`: that of organizations' namespaces.
#[must_use]
pub fn resolve_site_roles(cache: &Cache, known: ResolvedRoles, ceiling: Option<&Ceiling>) -> ResolvedRoles {
    resolve(cache, known, ceiling, &cache.site_roles.iter().collect(), |_| true, |_, _| true, |_| None)
}

/// Resolves the CustomRoles of a namespace that count according to `counts`. `known`: the previous result. The oldest
/// come first, up to [`MOST_CUSTOM_ROLES`] and [`MOST_RIGHTS`]; bindings to the others grant nothing.
#[must_use]
pub fn resolve_custom_roles(
    cache: &Cache,
    namespace: &str,
    known: ResolvedRoles,
    roles: &Store<Role>,
    counts: impl Fn(&Role) -> bool,
) -> ResolvedRoles {
    let mut counted: Vec<(&Name, &Role)> = roles.iter().filter(|(_, role)| counts(role)).collect();
    counted.sort_by_cached_key(|(_, role)| role.meta.rank());
    counted.truncate(MOST_CUSTOM_ROLES);
    let order: Vec<&Role> = counted.iter().map(|(_, role)| *role).collect();
    let roles = counted.into_iter().collect();
    let fitting = within_most_rights(cache, &known, &order, &roles);
    resolve(
        cache,
        known,
        cache.ceiling_in(namespace),
        &roles,
        |role| fitting.roles.contains(&role.meta.name),
        |role, index| fitting.inherits.contains(&(&role.meta.name, index)),
        |name| Some((cache.site_roles.get(name)?, cache.site_role_rights_in(namespace, name)?.clone())),
    )
}

/// What fits into the limit on the rights of one organization's roles.
struct Fitting<'a> {
    roles: BTreeSet<&'a Name>,
    /// Of these, which roles are inherited: the heir, and the index in its `inherits`.
    inherits: BTreeSet<(&'a Name, usize)>,
}

/// The oldest roles come first (`order`). What a role requests itself comes before everything that is inherited: a role
/// that grows takes nothing from its heirs but what they have from it.
fn within_most_rights<'a>(
    cache: &Cache,
    known: &ResolvedRoles,
    order: &[&'a Role],
    roles: &BTreeMap<&'a Name, &'a Role>,
) -> Fitting<'a> {
    let mut sizes: BTreeMap<&Name, usize> = BTreeMap::new();
    let size_of = |sizes: &BTreeMap<&Name, usize>, (kind, name): &(RoleKind, Name)| match kind {
        RoleKind::CustomRole => sizes.get(name).copied().unwrap_or_default(),
        RoleKind::SiteRole => cache.site_role_rights(name).map_or(0, |rights| rights.size()),
    };
    for role in inherited_first(roles, &BTreeSet::new()) {
        let inherited: usize = role.inherits.iter().map(|inherited| size_of(&sizes, inherited)).sum();
        sizes.insert(&role.meta.name, (known.own_size(cache, role) + inherited).min(LARGEST));
    }
    let mut room = MOST_RIGHTS;
    let mut fits = |size: usize| {
        let fits = size <= room;
        room -= if fits { size } else { 0 };
        fits
    };
    let own = order.iter().copied().filter(|role| fits(known.own_size(cache, role)));
    let roles: Vec<&Role> = own.collect();
    let inherits =
        roles.iter().flat_map(|role| role.inherits.iter().enumerate().map(move |edge| (&role.meta.name, edge)));
    let inherits = inherits.filter(|(_, (_, inherited))| fits(size_of(&sizes, inherited)));
    let inherits = inherits.map(|(name, (index, _))| (name, index)).collect();
    Fitting { roles: roles.iter().map(|role| &role.meta.name).collect(), inherits }
}

/// Resolves roles of one kind, each once, inherited ones first. `counts`: the others are not resolved. `inherits`: which
/// of the roles that a role inherits fit. `outside` finds the SiteRoles that CustomRoles inherit.
fn resolve<'a>(
    cache: &Cache,
    mut known: ResolvedRoles,
    ceiling: Option<&Ceiling>,
    roles: &BTreeMap<&'a Name, &'a Role>,
    counts: impl Fn(&Role) -> bool,
    inherits: impl Fn(&Role, usize) -> bool,
    outside: impl Fn(&str) -> Option<(&'a Role, Arc<Resolved>)>,
) -> ResolvedRoles {
    let circles = circles(roles);
    let mut resolved = ResolvedRoles::default();
    for role in inherited_first(roles, &circles) {
        let find = |(index, (kind, name)): (usize, &(RoleKind, Name))| {
            let (other, rights) = if *kind != role.kind {
                outside(name).ok_or(Reason::RoleNotFound)?
            } else if circles.contains(&(&role.meta.name, name)) {
                return Err(Reason::InheritanceCycle);
            } else {
                let other = roles.get(name).copied().ok_or(Reason::RoleNotFound)?;
                (other, resolved.get(name).cloned().ok_or(Reason::TooLarge)?)
            };
            if other.meta.unreadable.is_some() {
                Err(Reason::Unreadable)
            } else if counts(role) && !inherits(role, index) {
                Err(Reason::TooLarge)
            } else if fits(role, other) {
                Ok(rights)
            } else {
                Err(Reason::RoleNotAssignableHere)
            }
        };
        let inherited: Vec<_> = role.inherits.iter().enumerate().map(find).collect();
        let known = known.0.remove(&role.meta.name).filter(|known| known.basis.is_of(cache, role));
        let own_size = known.as_ref().map_or_else(|| own_size(cache, role), |known| known.own_size);
        let rights = if counts(role) {
            let rights = known.filter(|known| known.basis.inherits(&inherited)).and_then(|known| known.rights);
            Some(rights.unwrap_or_else(|| Arc::new(Resolved::new(cache, role, ceiling, &inherited))))
        } else {
            None
        };
        let basis = Basis {
            uid: role.meta.uid.clone(),
            generation: generation(role),
            rules: cache.rules_version,
            lists_users: own_objects::everybody_lists_users(cache),
            inherited,
        };
        resolved.0.insert(role.meta.name.clone(), Known { basis, rights, own_size });
    }
    resolved
}

/// The roles, each after those that it inherits. Edges in `circles` are not followed.
fn inherited_first<'a>(roles: &BTreeMap<&'a Name, &'a Role>, circles: &BTreeSet<Inherits<'a>>) -> Vec<&'a Role> {
    let graph = graph(roles, |from, to| !circles.contains(&(from, to)));
    kosaraju_scc(&graph).into_iter().flatten().map(|node| graph[node]).collect()
}

/// One role inherits another.
type Inherits<'a> = (&'a Name, &'a Name);

/// Edges that close a cycle, and must not be followed. Edges that were in force before are on record in the roles'
/// statuses, and stay in force: an edit of one role must not revoke what another one grants. Without a record, or if
/// the records form a cycle themselves, no edge within it is followed.
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

/// The edges within a strongly connected component.
fn within_components<'a>(graph: &DiGraph<&'a Role, ()>) -> BTreeSet<Inherits<'a>> {
    let mut component_of = vec![0; graph.node_count()];
    for (index, component) in kosaraju_scc(graph).into_iter().enumerate() {
        component.into_iter().for_each(|node| component_of[node.index()] = index);
    }
    let edges =
        graph.edge_references().filter(|e| component_of[e.source().index()] == component_of[e.target().index()]);
    edges.map(|e| (&graph[e.source()].meta.name, &graph[e.target()].meta.name)).collect()
}

/// The graph of roles of one kind, with the inheritance edges that `follow` accepts.
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

/// A role may inherit any role that could be assigned wherever it can be assigned itself, except one with
/// `singleHolder`.
fn fits(role: &Role, inherited: &Role) -> bool {
    !inherited.single_holder && role.assignable_to.iter().all(|place| inherited.assignable_to.contains(place))
}

/// Whether a role may be assigned at this kind of place.
#[must_use]
pub fn assignable(role: &Role, place: Place) -> bool {
    role.assignable_to.contains(&place)
}
