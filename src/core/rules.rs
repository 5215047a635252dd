//! The algebra of native policy rules: atoms, sets of them, ceilings, and a readable normal form.
//!
//! An RBAC rule is a product (groups × resources × names × verbs). Comparing products is error-prone; comparing their
//! *atoms* is not. An atom holds every dimension of a rule, and none is ever dropped (CVE-2021-25318, CVE-2023-32194).
//!
//! ```
//! use bailiwick::core::rules::{Ceiling, Rule, RuleSet, words};
//!
//! let rule = |resources: &[&str], verbs: &[&str]| Rule {
//!     groups: words(&[""]),
//!     resources: words(resources),
//!     verbs: words(verbs),
//!     ..Rule::default()
//! };
//! let ceiling = Ceiling::new(vec![rule(&["pods", "services"], &["*"])]);
//! let requested = RuleSet::from_rules([&rule(&["pods", "secrets"], &["get"])]);
//!
//! let (granted, withheld) = requested.split(&ceiling);
//! assert_eq!(granted.to_rules(), [rule(&["pods"], &["get"])]);
//! assert_eq!(withheld[0].to_string(), "get secrets");
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::Name;

/// One verb on one resource (with one name, or any), or on one non-resource path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Atom {
    /// `name: None` is every object of the resource.
    Resource {
        /// API group; empty is the core group.
        group: Name,
        /// Resource, with `/subresource` if any.
        resource: Name,
        /// One object, or all.
        name: Option<Name>,
        /// The verb.
        verb: Name,
    },
    /// A path, possibly with a trailing `*`.
    Path {
        /// The path.
        path: Name,
        /// The verb.
        verb: Name,
    },
}

/// A native rule of a Role. Lists are in the order of the native object.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// API groups.
    pub groups: Vec<Name>,
    /// Resources.
    pub resources: Vec<Name>,
    /// Object names; empty is every object.
    pub names: Vec<Name>,
    /// Paths; a rule with paths has no groups and no resources.
    pub paths: Vec<Name>,
    /// Verbs.
    pub verbs: Vec<Name>,
}

impl Rule {
    /// How many atoms it has. The size grows as a product, so check it before expanding the atoms.
    #[must_use]
    pub fn size(&self) -> usize {
        let objects = self.groups.len() * self.resources.len() * self.names.len().max(1);
        (objects + self.paths.len()).saturating_mul(self.verbs.len())
    }

    /// The atoms of this rule.
    pub fn atoms(&self) -> impl Iterator<Item = Atom> + '_ {
        let names: Vec<Option<Name>> =
            if self.names.is_empty() { vec![None] } else { self.names.iter().cloned().map(Some).collect() };
        let mut atoms = Vec::new();
        for verb in &self.verbs {
            for path in &self.paths {
                atoms.push(Atom::Path { path: path.clone(), verb: verb.clone() });
            }
            for group in &self.groups {
                for resource in &self.resources {
                    for name in &names {
                        atoms.push(Atom::Resource {
                            group: group.clone(),
                            resource: resource.clone(),
                            name: name.clone(),
                            verb: verb.clone(),
                        });
                    }
                }
            }
        }
        atoms.into_iter()
    }

    /// Whether this rule may cover rights on a resource.
    fn is_about(&self, group: &Name, resource: &Name) -> bool {
        has(&self.groups, group) && covers_resource(&self.resources, resource)
    }

    /// Whether this rule allows everything that the atom does, with the same result as the API server's escalation
    /// check (`k8s.io/component-helpers/auth/rbac/validation`).
    fn covers(&self, atom: &Atom) -> bool {
        match atom {
            Atom::Resource { group, resource, name, verb } => {
                has(&self.verbs, verb)
                    && self.is_about(group, resource)
                    && (self.names.is_empty() || name.as_ref().is_some_and(|n| self.names.contains(n)))
            }
            // That check treats a path as a resource without a name; the API server stores no rule with both anyway.
            Atom::Path { path, verb } => {
                has(&self.verbs, verb) && self.names.is_empty() && self.paths.iter().any(|p| covers_path(p, path))
            }
        }
    }
}

fn has(list: &[Name], word: &Name) -> bool {
    list.iter().any(|w| w == word || &**w == "*")
}

fn covers_resource(list: &[Name], resource: &Name) -> bool {
    let subresource = resource.split_once('/').map(|(_, sub)| sub);
    list.iter().any(|r| {
        r == resource || &**r == "*" || subresource.is_some_and(|sub| r.strip_prefix("*/").is_some_and(|s| s == sub))
    })
}

fn covers_path(owner: &str, path: &str) -> bool {
    owner == path || (owner.ends_with('*') && path.starts_with(owner.trim_end_matches('*')))
}

/// A set of atoms without redundancy: an atom for one name is dropped if the set has the same atom for every name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSet(BTreeSet<Atom>);

impl RuleSet {
    /// The set of all atoms of these rules.
    #[must_use]
    pub fn from_rules<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Self {
        Self::from_atoms(rules.into_iter().flat_map(Rule::atoms))
    }

    /// The set of these atoms.
    #[must_use]
    pub fn from_atoms(atoms: impl IntoIterator<Item = Atom>) -> Self {
        let all: BTreeSet<Atom> = atoms.into_iter().collect();
        let redundant: Vec<Atom> =
            all.iter().filter(|a| unnamed(a).is_some_and(|u| all.contains(&u))).cloned().collect();
        let mut set = all;
        for atom in &redundant {
            set.remove(atom);
        }
        Self(set)
    }

    /// Whether it has no atoms.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many atoms.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Its atoms, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Atom> {
        self.0.iter()
    }

    /// Whether this set allows an atom. Sets have no wildcards, because we write them; only ceilings have.
    #[must_use]
    pub fn contains(&self, atom: &Atom) -> bool {
        self.0.contains(atom) || unnamed(atom).is_some_and(|u| self.0.contains(&u))
    }

    /// Whether everything in `other` is in this set.
    #[must_use]
    pub fn contains_all(&self, other: &RuleSet) -> bool {
        other.0.iter().all(|atom| self.contains(atom))
    }

    /// The atoms that both sets allow.
    #[must_use]
    pub fn intersection(&self, other: &RuleSet) -> RuleSet {
        let left = self.0.iter().filter(|a| other.contains(a));
        let right = other.0.iter().filter(|a| self.contains(a));
        Self::from_atoms(left.chain(right).cloned())
    }

    /// Adds the atoms of `other`.
    #[must_use]
    pub fn union(self, other: &RuleSet) -> RuleSet {
        if other.is_empty() {
            return self;
        }
        Self::from_atoms(self.0.into_iter().chain(other.0.iter().cloned()))
    }

    /// Splits into the atoms that the ceiling covers and those that it does not.
    #[must_use]
    pub fn split(self, ceiling: &Ceiling) -> (RuleSet, Vec<Atom>) {
        // Atoms of one resource are adjacent, and few of the ceiling's rules concern it.
        let (mut about, mut rules): (Option<(Name, Name)>, Vec<&Rule>) = (None, Vec::new());
        let (within, beyond): (Vec<_>, Vec<_>) = self.0.into_iter().partition(|atom| {
            let Atom::Resource { group, resource, .. } = atom else { return ceiling.covers(atom) };
            if about.as_ref().is_none_or(|(g, r)| (g, r) != (group, resource)) {
                rules = ceiling.0.iter().filter(|rule| rule.is_about(group, resource)).collect();
                about = Some((group.clone(), resource.clone()));
            }
            rules.iter().any(|rule| rule.covers(atom))
        });
        (Self(within.into_iter().collect()), beyond)
    }

    /// The normal form: few rules, sorted, and the same for equal sets. Resources that share group, names and verbs
    /// form one rule, and so do names that share group, resource and verbs.
    #[must_use]
    pub fn to_rules(&self) -> Vec<Rule> {
        let mut by_object: BTreeMap<(&Name, &Name, Option<&Name>), BTreeSet<&Name>> = BTreeMap::new();
        let mut by_path: BTreeMap<&Name, BTreeSet<&Name>> = BTreeMap::new();
        for atom in &self.0 {
            match atom {
                Atom::Resource { group, resource, name, verb } => {
                    by_object.entry((group, resource, name.as_ref())).or_default().insert(verb);
                }
                Atom::Path { path, verb } => {
                    by_path.entry(path).or_default().insert(verb);
                }
            }
        }
        // First merge names that share everything else, then resources that do.
        let mut by_names: BTreeMap<(&Name, &Name, BTreeSet<&Name>), BTreeSet<&Name>> = BTreeMap::new();
        for ((group, resource, name), verbs) in by_object {
            let names = by_names.entry((group, resource, verbs)).or_default();
            if let Some(name) = name {
                names.insert(name);
            } else if !names.is_empty() {
                // An unnamed atom with the same verbs would have made these redundant.
                names.clear();
            }
        }
        let mut by_resources: BTreeMap<(&Name, Names<'_>, Names<'_>), Names<'_>> = BTreeMap::new();
        for ((group, resource, verbs), names) in by_names {
            by_resources.entry((group, names, verbs)).or_default().insert(resource);
        }
        let owned = |set: BTreeSet<&Name>| set.into_iter().cloned().collect::<Vec<Name>>();
        let mut rules: Vec<Rule> = by_resources
            .into_iter()
            .map(|((group, names, verbs), resources)| Rule {
                groups: vec![group.clone()],
                resources: owned(resources),
                names: owned(names),
                paths: Vec::new(),
                verbs: owned(verbs),
            })
            .collect();
        let mut by_verbs: BTreeMap<BTreeSet<&Name>, BTreeSet<&Name>> = BTreeMap::new();
        for (path, verbs) in by_path {
            by_verbs.entry(verbs).or_default().insert(path);
        }
        rules.extend(by_verbs.into_iter().map(|(verbs, paths)| Rule {
            paths: owned(paths),
            verbs: owned(verbs),
            ..Rule::default()
        }));
        rules
    }
}

type Names<'a> = BTreeSet<&'a Name>;

/// The same atom without its name, if it has one.
fn unnamed(atom: &Atom) -> Option<Atom> {
    match atom {
        Atom::Resource { group, resource, name: Some(_), verb } => {
            Some(Atom::Resource { group: group.clone(), resource: resource.clone(), name: None, verb: verb.clone() })
        }
        _ => None,
    }
}

impl std::fmt::Display for Atom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Atom::Resource { group, resource, name, verb } => {
                write!(f, "{verb} {resource}")?;
                if !group.is_empty() {
                    write!(f, ".{group}")?;
                }
                if let Some(name) = name {
                    write!(f, "/{name}")?;
                }
                Ok(())
            }
            Atom::Path { path, verb } => write!(f, "{verb} {path}"),
        }
    }
}

/// The most that may be granted in one kind of place: the rules of a native ClusterRole that the operator holds there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ceiling(Vec<Rule>);

impl Ceiling {
    /// A ceiling of these rules, with wildcards as in the API server.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// Whether one of its rules covers the atom.
    #[must_use]
    pub fn covers(&self, atom: &Atom) -> bool {
        self.0.iter().any(|rule| rule.covers(atom))
    }
}

/// Shorthand for names in code.
#[must_use]
pub fn words(list: &[&str]) -> Vec<Name> {
    list.iter().map(|w| Name::from(*w)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(groups: &[&str], resources: &[&str], names: &[&str], verbs: &[&str]) -> Rule {
        Rule {
            groups: words(groups),
            resources: words(resources),
            names: words(names),
            paths: Vec::new(),
            verbs: words(verbs),
        }
    }

    fn covered(ceiling: &[Rule], asked: &Rule) -> bool {
        let ceiling = Ceiling::new(ceiling.to_vec());
        asked.atoms().all(|atom| ceiling.covers(&atom))
    }

    #[test]
    fn a_ceiling_covers_only_its_own_group() {
        assert!(!covered(
            &[rule(&["apps"], &["deployments"], &[], &["get"])],
            &rule(&[""], &["deployments"], &[], &["get"])
        ));
    }

    #[test]
    fn a_ceiling_on_a_resource_does_not_reach_its_subresources() {
        assert!(!covered(&[rule(&[""], &["pods"], &[], &["get"])], &rule(&[""], &["pods/exec"], &[], &["get"])));
        assert!(covered(&[rule(&[""], &["*/exec"], &[], &["get"])], &rule(&[""], &["pods/exec"], &[], &["get"])));
    }

    #[test]
    fn a_ceiling_with_names_does_not_cover_every_name() {
        let ceiling = [rule(&[""], &["configmaps"], &["a"], &["get"])];
        assert!(covered(&ceiling, &rule(&[""], &["configmaps"], &["a"], &["get"])));
        assert!(!covered(&ceiling, &rule(&[""], &["configmaps"], &[], &["get"])));
        assert!(!covered(&ceiling, &rule(&[""], &["configmaps"], &["a", "b"], &["get"])));
    }

    #[test]
    fn a_rule_may_be_covered_by_several_rules_together() {
        let ceiling = [rule(&[""], &["pods"], &[], &["get"]), rule(&[""], &["pods"], &[], &["list"])];
        assert!(covered(&ceiling, &rule(&[""], &["pods"], &[], &["get", "list"])));
    }

    #[test]
    fn paths_are_covered_by_a_trailing_wildcard() {
        let ceiling =
            Ceiling::new(vec![Rule { paths: words(&["/healthz/*"]), verbs: words(&["get"]), ..Rule::default() }]);
        let path = |p: &str| Atom::Path { path: p.into(), verb: "get".into() };
        assert!(ceiling.covers(&path("/healthz/ping")));
        assert!(!ceiling.covers(&path("/metrics")));
    }

    #[test]
    fn the_normal_form_is_short_and_loses_nothing() {
        let set = RuleSet::from_rules(&[
            rule(&["apps"], &["deployments"], &[], &["get", "list"]),
            rule(&["apps"], &["statefulsets"], &[], &["list", "get"]),
            rule(&["apps"], &["deployments"], &["one"], &["get"]),
        ]);
        let rules = set.to_rules();
        assert_eq!(rules, vec![rule(&["apps"], &["deployments", "statefulsets"], &[], &["get", "list"])]);
        assert_eq!(RuleSet::from_rules(&rules), set);
    }

    #[test]
    fn an_intersection_with_a_named_atom_keeps_the_name() {
        let all = RuleSet::from_rules(&[rule(&[""], &["pods"], &[], &["get"])]);
        let one = RuleSet::from_rules(&[rule(&[""], &["pods"], &["a"], &["get", "delete"])]);
        assert_eq!(all.intersection(&one), RuleSet::from_rules(&[rule(&[""], &["pods"], &["a"], &["get"])]));
    }
}
