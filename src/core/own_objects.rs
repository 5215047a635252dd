//! Rights on own objects (`scope: Own`). Native RBAC knows no owners. Admission policies record the owner of each object.
//!
//! - Changing and deleting are rights on a whole type, together with a marker. A policy limits subjects with the marker
//!   to their own objects.
//! - What that policy cannot see (entering Pods, scaling), or cannot limit (reading), is granted by name, for the objects
//!   that [`super::owned`] knows.
//!
//! So these rights depend on the policies: see [`Ownership`].

use std::collections::BTreeSet;

use serde_json::Value;

use super::Name;
use super::cache::Cache;
use super::catalog::{self, Bounds, Entry, Target, Word};
use super::policies::{self, Policies};
use super::rules::{Atom, Ceiling, Rule, RuleSet, words};
use crate::api::conditions::Reason;
use crate::api::vocabulary::MEMBER_ROLE;
use crate::api::{Action, GROUP, Permission, Scope};

/// The policies that rights on own objects depend on. The last one protects the label by which the others select
/// namespaces.
const POLICIES: [&str; 4] =
    ["bailiwick-owner", "bailiwick-own-fence", "bailiwick-own-user", "bailiwick-namespace-claims"];
/// The policy that records owners, and the one that limits subjects to own objects.
const RECORD: (&str, &str) = ("MutatingAdmissionPolicy", "bailiwick-owner");
const FENCE: (&str, &str) = ("ValidatingAdmissionPolicy", "bailiwick-own-fence");

/// A kind of objects: API group and resource.
pub type Kind = (Name, Name);
/// Several of them.
pub type Kinds = BTreeSet<Kind>;

/// A right that is granted by name, for each object of a kind that the holder owns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByName {
    /// The kind of the owned objects.
    pub of: Kind,
    /// What the right is on: this kind, a subresource of it, or another kind with the same names.
    pub on: Kind,
    /// The verb.
    pub verb: &'static str,
}

impl ByName {
    /// Whether admission limits it to own objects too, for subjects with the marker.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.of == self.on && matches!(self.verb, "patch" | "delete")
    }

    /// The right on these objects, with the marker if admission should limit it too.
    pub fn rules(&self, names: Vec<Name>) -> impl Iterator<Item = Rule> {
        let marker = self.is_fenced().then(|| rule(GROUP, "ownobjects", Vec::new(), "own"));
        [rule(&self.on.0, &self.on.1, names, self.verb)].into_iter().chain(marker)
    }
}

/// Whether admission protects objects of other owners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// The chart does not install the policies: the cluster is too old for them, or its values disable them.
    NotInstalled,
    /// They are missing or changed, or it is unknown how they should be.
    #[default]
    NotEnforced,
    /// They are in place, for these kinds.
    Enforced(Kinds),
}

impl Ownership {
    /// `expected`: the policies of the chart. `trusted`: those last seen in place, which still hold until an upgrade has
    /// replaced each of them. `live`: those in the cluster.
    #[must_use]
    pub fn new(expected: &Policies, trusted: &Policies, live: &Policies) -> Self {
        let key = |(kind, name): (&str, &str)| (kind.to_owned(), name.to_owned());
        if !expected.contains_key(&key(RECORD)) || !expected.contains_key(&key(FENCE)) {
            return Self::NotInstalled;
        }
        let mut required = expected.iter().filter(|((_, name), _)| POLICIES.contains(&name.as_str()));
        let in_place = required.all(|(key, spec)| {
            let is = live.get(key);
            is.is_some_and(|is| {
                [Some(spec), trusted.get(key)].into_iter().flatten().any(|spec| policies::says(is, spec))
            })
        });
        match (in_place, live.get(&key(RECORD)), live.get(&key(FENCE))) {
            (true, Some(record), Some(fence)) => Self::Enforced(&kinds(record) & &kinds(fence)),
            _ => Self::NotEnforced,
        }
    }

    /// This, as far as it was so before. Returns also whether that is less.
    #[must_use]
    pub fn within(self, before: &Self) -> (Self, bool) {
        let limited = match (&self, before) {
            (Self::Enforced(kinds), Self::Enforced(before)) => Self::Enforced(kinds & before),
            (Self::Enforced(_), _) => Self::NotEnforced,
            _ => self.clone(),
        };
        let is_less = limited != self;
        (limited, is_less)
    }
}

/// The kinds that a policy matches.
fn kinds(policy: &Value) -> Kinds {
    let list = |value: &Value| -> Vec<Name> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(Name::from).collect()
    };
    let rules = policy["matchConstraints"]["resourceRules"].as_array().into_iter().flatten();
    rules
        .flat_map(|rule| {
            let resources = list(&rule["resources"]);
            list(&rule["apiGroups"])
                .into_iter()
                .flat_map(move |group| resources.clone().into_iter().map(move |resource| (group.clone(), resource)))
        })
        .collect()
}

impl Bounds {
    /// The kinds for which the chart installs the policies. The chart has the same rule in `_own-objects.tpl`.
    #[must_use]
    pub fn own_kinds(&self) -> Kinds {
        let words = self.catalog.values().filter(|word| word.target == Target::Organization);
        let entries = words.flat_map(|word| word.rules.values());
        let changeable = entries.filter(|e| e.actions.contains(&Action::Update) || e.actions.contains(&Action::Delete));
        let kinds = changeable.flat_map(Entry::kinds).filter(|(group, resource)| {
            !resource.contains('/') && *group != GROUP && (*group, *resource) != ("", "secrets")
        });
        kinds.map(|(group, resource)| (group.into(), resource.into())).collect()
    }
}

/// The rights that a permission on own objects grants, and those that it does not.
#[derive(Debug, Default)]
pub struct OwnRights {
    /// The rights on types, with the markers of those whose holders are limited to own objects.
    pub rules: Vec<Rule>,
    /// The rights by name.
    pub by_name: BTreeSet<ByName>,
    /// Rights beyond the ceiling.
    pub beyond: Vec<Atom>,
    /// What cannot be granted, in words.
    pub lacking: Vec<String>,
}

impl OwnRights {
    /// `granted`: the other rights of the same role. A right to change objects is granted only on types that the role
    /// may read: the API server's answer to a patch that fails shows the whole object, whoever owns it.
    #[must_use]
    pub fn new(
        cache: &Cache,
        word: &Word,
        permission: &Permission,
        granted: &RuleSet,
        ceiling: Option<&Ceiling>,
    ) -> Self {
        let mut own = Self::default();
        let Ownership::Enforced(kinds) = &cache.ownership else { return own };
        let named = word.rules.values().filter_map(|entry| Some((entry, entry.names(permission)?)));
        for ((entry, names), (group, resource)) in named.flat_map(|n| n.0.kinds().map(move |kind| (n.clone(), kind))) {
            let may = |verb: &str| granted.contains(&atom(group, resource, verb));
            let is_user = word.target == Target::Cluster && (group, resource) == (GROUP, "users");
            let enforced = is_user || kinds.contains(&(group.into(), resource.into()));
            let readable = enforced && (may("get") || may("list"));
            for action in permission.actions.iter().filter(|action| entry.allows(**action)) {
                let right = |verb| rule(group, resource, names.clone(), verb);
                let marker = || rule(GROUP, if is_user { "users" } else { "ownobjects" }, Vec::new(), "own");
                let rules = match action {
                    // Whoever may list all users can read each of them anyway.
                    Action::Read if is_user && may("list") => vec![right("get")],
                    Action::Read if is_user && everybody_lists_users(cache) => continue,
                    Action::Update if readable => vec![right("patch"), marker()],
                    Action::Delete if readable && !is_user => vec![right("delete"), marker()],
                    _ => {
                        let of = owned_kind(group, resource);
                        if word.target == Target::Organization && names.is_empty() && kinds.contains(&of) {
                            own.add_by_name(&of, (group, resource), *action, ceiling);
                        } else {
                            own.lacking.push(format!("{} {resource}", action.as_str()));
                        }
                        continue;
                    }
                };
                if own.is_within(&rules, ceiling) {
                    own.rules.extend(rules);
                }
            }
        }
        own
    }

    /// Adds the rights of an action by name. Never `update` on the kind itself: to admission that shows a right on all
    /// objects.
    fn add_by_name(&mut self, of: &Kind, on: (&str, &str), action: Action, ceiling: Option<&Ceiling>) {
        let on: Kind = (on.0.into(), on.1.into());
        for verb in catalog::verbs(action, true).iter().filter(|verb| *of != on || **verb != "update") {
            let right = ByName { of: of.clone(), on: on.clone(), verb };
            // The ceiling has no names of such objects, so it covers all of them or none.
            if self.is_within(&right.rules(Vec::new()).collect::<Vec<_>>(), ceiling) {
                self.by_name.insert(right);
            }
        }
    }

    /// Whether all of a right is within the ceiling. Without its marker it must not be granted.
    fn is_within(&mut self, rules: &[Rule], ceiling: Option<&Ceiling>) -> bool {
        let beyond = rules.iter().flat_map(Rule::atoms).filter(|right| !ceiling.is_some_and(|c| c.covers(right)));
        let before = self.beyond.len();
        self.beyond.extend(beyond);
        self.beyond.len() == before
    }

    /// Why nothing is granted, if nothing of the kind is in this cluster.
    #[must_use]
    pub fn reason(cache: &Cache) -> Option<Reason> {
        match cache.ownership {
            Ownership::NotInstalled => Some(Reason::OwnScopeNotEnabled),
            Ownership::NotEnforced => Some(Reason::OwnershipNotEnforced),
            Ownership::Enforced(_) => None,
        }
    }
}

/// Whether the role that everybody holds lists all users, so that reading one's own adds nothing to other roles.
pub(super) fn everybody_lists_users(cache: &Cache) -> bool {
    let lists = |p: &Permission| {
        p.resource == "users"
            && p.scope == Scope::All
            && p.actions.iter().any(|a| matches!(a, Action::List | Action::Read))
    };
    cache.site_roles.get(MEMBER_ROLE).is_some_and(|role| role.permissions.iter().any(lists))
}

/// The kind of the objects that the names of such objects come from.
fn owned_kind(group: &str, resource: &str) -> Kind {
    match (group, resource.split_once('/')) {
        (_, Some((parent, _))) => (group.into(), parent.into()),
        // Metrics have the names of their Pods.
        ("metrics.k8s.io", None) => ("".into(), resource.into()),
        (_, None) => (group.into(), resource.into()),
    }
}

fn atom(group: &str, resource: &str, verb: &str) -> Atom {
    Atom::Resource { group: group.into(), resource: resource.into(), name: None, verb: verb.into() }
}

fn rule(group: &str, resource: &str, names: Vec<Name>, verb: &str) -> Rule {
    Rule { groups: words(&[group]), resources: words(&[resource]), names, paths: Vec::new(), verbs: words(&[verb]) }
}
