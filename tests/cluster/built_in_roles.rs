//! The built-in roles allow exactly the rights in the table: every word of the catalog, every verb, in an
//! organization's namespace, elsewhere, on the cluster and in the release namespace, for a real holder of the role.
//!
//! The table is `tests/role-permissions.yaml`. A cell `all` (or `true`) has to be allowed. A cell `own` alone allows
//! `patch` and `delete` on types that the role may read; policies/own_objects.rs tests that they reach only own objects.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::support::{Cluster, Question, RELEASE, manifests};

/// `vacant` is available and unclaimed. Nobody joins the default organization just because they are nowhere else.
const VALUES: &str = "
namespaceWhitelist: [alpha, beta, vacant]
defaultOrganization: {create: false}
config: {users: {joinDefaultOrganization: false}}
";

/// In `beta`, membership alone grants no role, so that a role can be observed there by itself.
const ORGANIZATIONS: &str = r#"
apiVersion: bailiwick.dev/v1alpha1
kind: Organization
metadata: {name: alpha}
spec: {namespace: alpha, default: true}
---
apiVersion: bailiwick.dev/v1alpha1
kind: Organization
metadata: {name: beta}
spec: {namespace: beta, memberRole: ""}
---
apiVersion: bailiwick.dev/v1alpha1
kind: SiteRole
metadata: {name: of-the-site}
spec: {assignableTo: [Site]}
"#;

const ALPHA: &str = "alpha";
const BETA: &str = "beta";
const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
const MEMBER: &str = "member";
const ORGANIZATION_MEMBER: &str = "organization-member";
const ORGANIZATION_MANAGER: &str = "organization-manager";
/// Managers' rights beyond the table, because every team's manifests need them.
const OF_EVERY_TEAM: [&str; 7] =
    ["autoscaling", "config-maps", "disruption-budgets", "jobs", "monitoring", "networking", "service-accounts"];

#[test]
fn the_built_in_roles_allow_what_the_table_says_and_nothing_else() {
    let cluster = Cluster::with_operator(VALUES);
    let facts = Facts::read();
    let catalog = catalog(&cluster);
    let actors = actors(&facts);
    cluster.apply(&world(&actors));
    cluster.settle();

    the_chart_ships_the_roles_of_the_table(&cluster, &facts);
    the_table_and_the_catalog_use_the_same_words(&facts, &catalog);
    every_cell_is_as_in_the_table(&cluster, &facts, &catalog, &actors);
    who_may_hand_out_which_role_is_as_in_the_table(&cluster, &facts, &actors);
    who_may_suspend_is_as_in_the_table(&cluster, &facts, &actors);
    nobody_reads_secrets_or_writes_native_rbac(&cluster, &actors);
    no_native_rule_has_a_wildcard(&cluster);
    a_second_site_admin_holds_nothing(&cluster);
}

fn the_chart_ships_the_roles_of_the_table(cluster: &Cluster, facts: &Facts) {
    let shipped = cluster.get(&["siteroles.bailiwick.dev", "-l", "app.kubernetes.io/managed-by=Helm"]);
    let mut names = BTreeSet::new();
    for role in shipped["items"].as_array().unwrap() {
        let name = role["metadata"]["name"].as_str().unwrap();
        let places: BTreeSet<&str> =
            role["spec"]["assignableTo"].as_array().unwrap().iter().flat_map(|p| p.as_str()).collect();
        let table =
            facts.assignable_to.iter().filter(|(place, roles)| *place != "implicit" && roles.iter().any(|r| r == name));
        assert_eq!(places, table.map(|(place, _)| place.as_str()).collect(), "where {name} may be assigned");
        names.insert(name.to_owned());
    }
    assert_eq!(names, facts.roles());
}

/// A word in only one of the two would let cells pass without a question.
fn the_table_and_the_catalog_use_the_same_words(facts: &Facts, catalog: &Catalog) {
    let known = |word: &String| catalog.contains_key(word);
    let words: BTreeSet<&String> = facts.cells().into_values().flatten().map(|(word, _)| word).collect();
    assert!(words.iter().all(|w| known(w)), "{words:?}");
}

fn every_cell_is_as_in_the_table(cluster: &Cluster, facts: &Facts, catalog: &Catalog, actors: &[Actor]) {
    let cells = facts.cells();
    let own = if cluster.has_mutating_policies() { facts.own_cells() } else { Cells::new() };
    let mut expected = Vec::new();
    for (target, places) in [
        // Rights refused in the release namespace as well are also refused on the cluster.
        ("organization", vec![ALPHA, BETA, RELEASE]),
        ("cluster", vec![""]),
        ("release", vec![RELEASE, ALPHA]),
    ] {
        let words = catalog.values().filter(|word| word.target == target);
        let universe: BTreeSet<Atom> = words.flat_map(Word::everything).collect();
        for actor in actors {
            // ServiceAccounts are bound in alpha, or everywhere in the same way.
            for place in places.iter().filter(|place| actor.is_user || **place != BETA) {
                let granted = granted(&cells, &own, catalog, actor, place);
                for atom in &universe {
                    let unnamed = Atom { name: String::new(), ..atom.clone() };
                    let allowed = granted.contains(atom) || granted.contains(&unnamed);
                    expected.push((actor.at(place), atom.to_string(), allowed));
                }
            }
        }
    }
    // Every cell of the table with a meaning in this cluster is among the questions with the answer yes.
    let yes: BTreeSet<&String> = expected.iter().filter(|(_, _, allowed)| *allowed).map(|(_, what, _)| what).collect();
    for (word, action) in cells.values().flatten() {
        let atoms = catalog[*word].atoms(action);
        assert!(atoms.iter().all(|atom| yes.contains(&atom.to_string())), "{word} {action} is not asked for");
    }
    cluster.answers(&expected);
}

fn who_may_hand_out_which_role_is_as_in_the_table(cluster: &Cluster, facts: &Facts, actors: &[Actor]) {
    let mut names = facts.roles();
    names.insert("of-the-site".into());
    let mut expected = Vec::new();
    for actor in actors {
        for place in [ALPHA, BETA, "vacant", "", RELEASE] {
            let rows: Vec<Bind> = actor.roles().iter().filter_map(|role| facts.bind(role, actor, place)).collect();
            for name in &names {
                let may = rows.iter().any(|row| row.roles.contains(name));
                expected.push((actor.at(place), format!("bind siteroles.bailiwick.dev {name}"), may));
            }
            let any = rows.iter().any(|row| row.roles.contains("any other"));
            expected.push((actor.at(place), "bind siteroles.bailiwick.dev".into(), any));
            for what in ["bind customroles.bailiwick.dev x", "bind groups.bailiwick.dev x"] {
                expected.push((actor.at(place), what.into(), rows.iter().any(|row| row.custom_roles_and_groups)));
            }
        }
    }
    cluster.answers(&expected);
}

fn who_may_suspend_is_as_in_the_table(cluster: &Cluster, facts: &Facts, actors: &[Actor]) {
    let may: BTreeSet<&str> = facts.holders_of_row("suspend-and-activate-users").collect();
    let expected = actors.iter().map(|actor| {
        let allowed = actor.roles().iter().any(|role| may.contains(role));
        (actor.at(""), "suspend users.bailiwick.dev".to_owned(), allowed)
    });
    cluster.answers(&expected.collect::<Vec<_>>());
}

fn nobody_reads_secrets_or_writes_native_rbac(cluster: &Cluster, actors: &[Actor]) {
    let mut what: Vec<String> = VERBS.iter().map(|verb| format!("{verb} secrets")).collect();
    for kind in ["roles", "rolebindings", "clusterroles", "clusterrolebindings"] {
        for verb in VERBS.iter().chain(&["bind", "escalate"]) {
            what.push(format!("{verb} {kind}.rbac.authorization.k8s.io"));
        }
    }
    for more in ["* *.*", "get *.*", "* pods", "* users.bailiwick.dev", "bind *.bailiwick.dev"] {
        what.push(more.into());
    }
    for more in ["users", "groups", "serviceaccounts", "userextras/scopes.authentication.k8s.io", "uids"] {
        what.push(format!("impersonate {more}"));
    }
    for more in ["create serviceaccounts/token", "update siteroles.bailiwick.dev", "get nodes", "patch namespaces"] {
        what.push(more.into());
    }
    let mut expected = Vec::new();
    for actor in actors {
        for place in [ALPHA, RELEASE] {
            expected.extend(what.iter().map(|what| (actor.at(place), what.clone(), false)));
        }
        expected.push((actor.at(RELEASE), "update configmaps bailiwick-bounds".into(), false));
        for place in [BETA, "vacant", "", "kube-system", "default"] {
            let few = ["get secrets", "list secrets", "create rolebindings.rbac.authorization.k8s.io", "* *.*"];
            expected.extend(few.map(|what| (actor.at(place), what.to_owned(), false)));
        }
        for place in ["vacant", "kube-system", "default"] {
            for kind in
                ["pods", "events", "services", "podtemplates", "groups.bailiwick.dev", "rolebindings.bailiwick.dev"]
            {
                expected.extend(VERBS.map(|verb| (actor.at(place), format!("{verb} {kind}"), false)));
            }
        }
    }
    cluster.answers(&expected);
}

fn no_native_rule_has_a_wildcard(cluster: &Cluster) {
    let native = cluster.native();
    assert!(native.iter().any(|o| o["rules"].is_array()));
    for object in native {
        let rules = object["rules"].to_string();
        for word in ["*", "\"secrets\"", "rbac.authorization.k8s.io", "impersonate", "escalate"] {
            assert!(!rules.contains(word), "{} has {word}: {rules}", object["metadata"]["name"]);
        }
    }
}

fn a_second_site_admin_holds_nothing(cluster: &Cluster) {
    cluster.apply(&(manifests::user("second") + &manifests::site_binding("second", "site-admin", &["second"])));
    let message =
        cluster.await_reason(&["siterolebindings.bailiwick.dev", "second"], "SubjectsResolved", "HeldByAnother");
    assert!(message.contains("second@example.com"), "{message}");
    cluster.cannot(&Question::of("second@example.com", ALPHA), &["get pods", "bind siteroles.bailiwick.dev auditor"]);
    cluster.can(&Question::of("site-admin@example.com", ALPHA), &["get pods", "bind siteroles.bailiwick.dev auditor"]);
}

// --- who holds what ---------------------------------------------------------------------------------------------------

/// A holder of roles.
struct Actor {
    /// The part of the username before the `@`, or the name of the ServiceAccount (in `alpha`).
    name: String,
    is_user: bool,
    /// SiteRoles from a SiteRoleBinding.
    site: Vec<String>,
    /// SiteRoles from a RoleBinding in a namespace.
    bound: Vec<(&'static str, String)>,
    /// The namespaces where they are in the Group.
    groups: Vec<&'static str>,
}

impl Actor {
    fn user(name: &str) -> Self {
        Self { name: name.into(), is_user: true, site: Vec::new(), bound: Vec::new(), groups: Vec::new() }
    }

    fn service_account(role: &str) -> Self {
        Self { is_user: false, ..Self::user(&format!("{role}-service")) }
    }

    fn with_site_role(mut self, role: &str) -> Self {
        self.site.push(role.into());
        self
    }

    fn with_role_in(mut self, namespace: &'static str, role: &str) -> Self {
        self.bound.push((namespace, role.into()));
        self
    }

    fn in_the_group_of(mut self, namespace: &'static str) -> Self {
        self.groups.push(namespace);
        self
    }

    fn at(&self, place: &str) -> Question {
        if self.is_user {
            Question::of(&format!("{}@example.com", self.name), place)
        } else {
            Question::of_service_account(ALPHA, &self.name, place)
        }
    }

    /// The roles in a namespace, implicit ones included.
    fn roles_in(&self, place: &str) -> BTreeSet<&str> {
        let mut roles: BTreeSet<&str> =
            self.bound.iter().filter(|(n, _)| *n == place).map(|(_, r)| r.as_str()).collect();
        if self.is_user && (!roles.is_empty() || self.groups.contains(&place)) {
            roles.insert(MEMBER);
            if place == ALPHA {
                roles.insert(ORGANIZATION_MEMBER);
            }
        }
        if [ALPHA, BETA].contains(&place) {
            roles.extend(self.site.iter().map(String::as_str));
        }
        roles
    }

    /// The roles held anywhere, implicit ones included.
    fn roles(&self) -> BTreeSet<&str> {
        let mut roles = &self.roles_in(ALPHA) | &self.roles_in(BETA);
        if self.is_user {
            roles.insert(MEMBER);
        }
        roles
    }
}

/// For each role a user with it, and for each assignable one a ServiceAccount: that holds no implicit role, so it has
/// exactly the role's rights.
fn actors(facts: &Facts) -> Vec<Actor> {
    let mut actors = vec![
        Actor::user(MEMBER),
        Actor::user("member-of-beta").in_the_group_of(BETA),
        Actor::user(ORGANIZATION_MEMBER).in_the_group_of(ALPHA),
        Actor::user("assigned-member").with_role_in(BETA, ORGANIZATION_MEMBER),
        Actor::user(ORGANIZATION_MANAGER).with_role_in(ALPHA, ORGANIZATION_MANAGER),
        Actor::user("manager-of-beta").with_role_in(BETA, ORGANIZATION_MANAGER),
        // In two organizations, with different rights.
        Actor::user("manager-and-member").with_role_in(BETA, ORGANIZATION_MANAGER).in_the_group_of(ALPHA),
    ];
    for role in &facts.assignable_to["Site"] {
        actors.push(Actor::user(role).with_site_role(role));
        // Only users can hold it.
        if role != "site-admin" {
            actors.push(Actor::service_account(role).with_site_role(role));
        }
    }
    for role in &facts.assignable_to["Organization"] {
        actors.push(Actor::service_account(role).with_role_in(ALPHA, role));
    }
    actors
}

fn world(actors: &[Actor]) -> String {
    let mut world = ORGANIZATIONS.to_owned();
    for namespace in [ALPHA, BETA] {
        let members: Vec<&str> =
            actors.iter().filter(|a| a.groups.contains(&namespace)).map(|a| a.name.as_str()).collect();
        world.push_str(&manifests::group(namespace, "people", &members));
    }
    for actor in actors {
        let name = &actor.name;
        if actor.is_user {
            world.push_str(&manifests::user(name));
        }
        for role in &actor.site {
            let account = format!("ServiceAccount/{ALPHA}/{name}");
            world.push_str(&manifests::site_binding(name, role, &[if actor.is_user { name } else { &account }]));
        }
        for (namespace, role) in &actor.bound {
            let account = format!("ServiceAccount/{name}");
            let subject = if actor.is_user { name } else { &account };
            world.push_str(&manifests::binding(namespace, name, &format!("SiteRole/{role}"), &[subject]));
        }
    }
    world
}

// --- what the roles mean ----------------------------------------------------------------------------------------------

type Cells<'a> = BTreeMap<&'a str, BTreeSet<(&'a String, &'a String)>>;
type Catalog = BTreeMap<String, Word>;

/// The rights of an actor in a place, according to the table.
fn granted(cells: &Cells<'_>, own: &Cells<'_>, catalog: &Catalog, actor: &Actor, place: &str) -> BTreeSet<Atom> {
    let mut granted = BTreeSet::new();
    let none = BTreeSet::new();
    let mut give = |roles: &BTreeSet<&str>, target: &str| {
        for role in roles {
            let all = cells.get(role).unwrap_or(&none);
            let here = |(word, _): &&(&String, &String)| catalog[*word].target == target;
            granted.extend(all.iter().filter(here).flat_map(|(word, action)| catalog[*word].atoms(action)));
            let readable = |(word, _): &&(&String, &String)| {
                all.iter().any(|(w, action)| w == word && ["read", "list"].contains(&action.as_str()))
            };
            let own = own.get(role).unwrap_or(&none).iter().filter(here).filter(readable);
            granted.extend(own.flat_map(|(word, action)| catalog[*word].own_atoms(word, action)));
        }
    };
    give(&actor.roles_in(place), "organization");
    give(&actor.roles(), "cluster");
    if place == RELEASE {
        give(&actor.roles(), "release");
    }
    if actor.roles().contains(MEMBER) {
        granted.extend(catalog["site-roles"].atoms("read"));
        if place == RELEASE {
            granted.extend(catalog["catalog"].atoms("read"));
        }
    }
    if actor.roles_in(place).contains(ORGANIZATION_MANAGER) {
        let actions = ["create", "read", "update", "delete"];
        let words = OF_EVERY_TEAM.iter().flat_map(|word| actions.map(|action| (*word, action)));
        let words = words.chain([("events", "read")]);
        granted.extend(words.flat_map(|(word, action)| catalog[word].atoms(action)));
    }
    granted
}

/// One verb on one resource.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Atom {
    group: String,
    resource: String,
    name: String,
    verb: &'static str,
}

impl std::fmt::Display for Atom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Word {
    #[serde(default = "organization")]
    target: String,
    rules: BTreeMap<String, Entry>,
}

fn organization() -> String {
    "organization".into()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    api_groups: Vec<String>,
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
    actions: Option<Vec<String>>,
}

impl Word {
    /// The rights of an action.
    fn atoms(&self, action: &str) -> BTreeSet<Atom> {
        let mut atoms = BTreeSet::new();
        for entry in self.rules.values() {
            let named = !entry.resource_names.is_empty();
            let verbs: &[&str] = match action {
                _ if !entry.answers(action) => &[],
                "create" if named => &[],
                "create" => &["create"],
                "read" => &["get", "list", "watch"],
                "list" => &["list", "watch"],
                "update" => &["update", "patch"],
                "delete" if named => &["delete"],
                "delete" => &["delete", "deletecollection"],
                "use" => &["get", "create"],
                other => panic!("the table has an action {other}"),
            };
            atoms.extend(entry.atoms(verbs));
        }
        atoms
    }

    /// The rights of an action on own objects, for a role that may read all of them.
    fn own_atoms(&self, word: &str, action: &str) -> BTreeSet<Atom> {
        let verbs: &[&str] = match (word, action) {
            // Everybody may list all users.
            ("users", "read") => &["get"],
            (_, "update") => &["patch"],
            (_, "delete") => &["delete"],
            _ => &[],
        };
        let entries = self.rules.values().filter(|entry| entry.answers(action));
        entries.flat_map(|entry| entry.atoms(verbs)).filter(|atom| !atom.resource.contains('/')).collect()
    }

    /// Every verb on everything, by name and without.
    fn everything(&self) -> BTreeSet<Atom> {
        let named = self.rules.values().flat_map(|entry| entry.atoms(&VERBS));
        named.flat_map(|atom| [Atom { name: String::new(), ..atom.clone() }, atom]).collect()
    }
}

impl Entry {
    fn answers(&self, action: &str) -> bool {
        let asked = if action == "list" { "read" } else { action };
        match &self.actions {
            Some(actions) => actions.iter().any(|a| a == action || a == asked),
            None => asked != "use",
        }
    }

    fn atoms(&self, verbs: &[&str]) -> BTreeSet<Atom> {
        let mut atoms = BTreeSet::new();
        let names = if self.resource_names.is_empty() { vec![String::new()] } else { self.resource_names.clone() };
        for group in &self.api_groups {
            for resource in &self.resources {
                for name in &names {
                    for verb in VERBS.iter().filter(|verb| verbs.contains(verb)) {
                        let (group, resource, name) = (group.clone(), resource.clone(), name.clone());
                        atoms.insert(Atom { group, resource, name, verb });
                    }
                }
            }
        }
        atoms
    }
}

/// The catalog, as it is in the cluster.
fn catalog(cluster: &Cluster) -> Catalog {
    #[derive(Deserialize)]
    struct Bounds {
        catalog: Catalog,
    }
    let bounds = cluster.get(&["configmap", "bailiwick-bounds", "--namespace", RELEASE]);
    serde_yaml::from_str::<Bounds>(bounds["data"]["bounds.yaml"].as_str().unwrap()).unwrap().catalog
}

// --- the table --------------------------------------------------------------------------------------------------------

type Table<T> = BTreeMap<String, BTreeMap<String, T>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    site_roles: BTreeMap<String, Table<Cell>>,
    organization_roles: BTreeMap<String, Table<Cell>>,
    site_roles_second_generation: SecondGeneration,
    bind: BTreeMap<String, Text>,
    assignable_to: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct SecondGeneration {
    rows: BTreeMap<String, Vec<String>>,
    means: Table<Meaning>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Cell {
    Always(bool),
    Scopes(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Meaning {
    Cells(BTreeMap<String, Cell>),
    /// `bind: every-role`; the section `bind` says it in full.
    Bind(#[allow(dead_code)] String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Sentence(String),
    List(Vec<String>),
}

/// The roles that a holder may assign.
struct Bind {
    roles: BTreeSet<String>,
    custom_roles_and_groups: bool,
}

impl Cell {
    fn all(&self) -> bool {
        match self {
            Cell::Always(yes) => *yes,
            Cell::Scopes(scopes) => scopes.iter().any(|s| s == "all"),
        }
    }
}

impl Facts {
    /// For each role, the words and actions that it allows on own objects alone.
    fn own_cells(&self) -> Cells<'_> {
        let mut cells = Cells::new();
        for (role, words) in self.site_roles.iter().chain(&self.organization_roles) {
            for (word, actions) in words {
                let own = actions.iter().filter(|(_, cell)| matches!(cell, Cell::Scopes(_)) && !cell.all());
                cells.entry(role).or_default().extend(own.map(|(action, _)| (word, action)));
            }
        }
        cells
    }

    fn read() -> Self {
        serde_yaml::from_str(include_str!("../role-permissions.yaml")).unwrap()
    }

    /// The names of the built-in roles.
    fn roles(&self) -> BTreeSet<String> {
        self.assignable_to.values().flatten().cloned().collect()
    }

    /// The holders of a row of the second generation; site-admin holds all of them too.
    fn holders_of_row<'a>(&'a self, row: &str) -> impl Iterator<Item = &'a str> {
        self.site_roles_second_generation.rows[row].iter().map(String::as_str).chain(["site-admin"])
    }

    /// For each role, the words and actions that it allows on all objects.
    fn cells(&self) -> Cells<'_> {
        let mut cells = Cells::new();
        let tables = self.site_roles.iter().chain(&self.organization_roles);
        for (role, words) in tables {
            for (word, actions) in words {
                let all = actions.iter().filter(|(_, cell)| cell.all()).map(|(action, _)| (word, action));
                cells.entry(role).or_default().extend(all);
            }
        }
        for row in self.site_roles_second_generation.rows.keys() {
            for (word, meaning) in &self.site_roles_second_generation.means[row] {
                let Meaning::Cells(actions) = meaning else { continue };
                for (action, _) in actions.iter().filter(|(action, cell)| cell.all() && *action != "suspend") {
                    for role in self.holders_of_row(row) {
                        cells.entry(role).or_default().insert((word, action));
                    }
                }
            }
        }
        cells
    }

    /// The roles that a role lets an actor assign in a place.
    fn bind(&self, role: &str, actor: &Actor, place: &str) -> Option<Bind> {
        let own = "custom roles and groups of the organization";
        match self.bind.get(role)? {
            Text::Sentence(text) => {
                let mut roles = self.roles();
                if let Some(other) = text.strip_prefix("every role but ") {
                    assert!(roles.remove(other), "{text}");
                } else {
                    assert!(text.starts_with("every role ("), "{text}");
                    // Including those that the site adds.
                    roles.extend(["of-the-site".into(), "any other".into()]);
                }
                Some(Bind { roles, custom_roles_and_groups: true })
            }
            Text::List(names) => {
                // An organization's manager has the right in that organization only.
                let here = !self.assignable_to["Organization"].iter().any(|r| r == role)
                    || actor.roles_in(place).contains(role);
                let roles = names.iter().filter(|n| here && *n != own).cloned().collect();
                Some(Bind { roles, custom_roles_and_groups: here && names.iter().any(|n| n == own) })
            }
        }
    }
}
