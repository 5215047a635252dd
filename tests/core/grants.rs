//! Nothing is granted beyond its source: every subject traces back to a live object and a user in good standing, every
//! rule to the role and the ceiling, every place to a claim. Whatever is withheld has a reason.
//!
//! This oracle reads the loose objects of the store in the plainest way; it shares no code with the core.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick::api::ApiKind;
use bailiwick::api::{self, Action, RoleKind, Scope, SiteSubjectKind, SubjectKind};
use bailiwick::core::object_ref::{ApiRef, NativeKind, NativeRef};
use bailiwick::core::own_objects::Ownership;
use bailiwick::core::rbac::{RbacSpec, Subject};
use bailiwick::core::rules::{Atom, Rule};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::cases;
use crate::fake::{Kind, Object, RELEASE, Store, slot, slot_of};
use crate::histories::{crowd, history};
use crate::shell::Shell;

struct Oracle<'a> {
    store: &'a Store,
    now: Timestamp,
}

impl<'a> Oracle<'a> {
    fn new(store: &'a Store) -> Self {
        Self { store, now: store.time() }
    }

    fn get(&self, kind: Kind, ns: &str, name: &str) -> Option<&'a Object> {
        self.store.objects.get(&slot(kind, ns, name))
    }

    fn all(&self, kind: Kind) -> impl Iterator<Item = &'a Object> {
        self.store.objects.values().filter(move |o| o.kind() == kind)
    }

    /// A user in good standing: the oldest User of that username is not suspended.
    fn good(&self, username: &str) -> bool {
        let users = self.all(Kind::User).filter_map(|o| match o {
            Object::User(u) if u.spec.username.as_ref().or(u.metadata.name.as_ref()).unwrap() == username => {
                Some((o, u))
            }
            _ => None,
        });
        let oldest = users.min_by_key(|(o, _)| (o.created(), o.slot().2));
        let fit = !username.is_empty() && !username.starts_with("system:") && !username.contains(char::is_control);
        fit && oldest.is_some_and(|(_, u)| !u.spec.suspended)
    }

    /// The organization that holds a namespace by record, and since when objects count.
    fn holder(&self, ns: &str) -> Option<(&'a api::Organization, Option<Timestamp>)> {
        let Some(Object::Namespace(meta)) = self.get(Kind::Namespace, "", ns) else { return None };
        if meta.deletion_timestamp.is_some() || !self.store.bounds.namespace_whitelist.contains(ns) {
            return None;
        }
        let name = meta.labels.as_ref()?.get("bailiwick.dev/organization")?;
        let annotation = |key: &str| meta.annotations.as_ref().and_then(|a| a.get(key));
        let Some(Object::Organization(o)) = self.get(Kind::Organization, "", name) else { return None };
        let same = annotation("bailiwick.dev/organization-uid") == o.metadata.uid.as_ref();
        let wants = o.spec.namespace.as_deref().is_none_or(|wanted| wanted == ns);
        let claimed = annotation("bailiwick.dev/claimed-at").map(|at| at.parse().unwrap());
        (same && wants).then_some((o, claimed))
    }

    fn live(&self, object: &Object, claimed: Option<Timestamp>) -> bool {
        claimed.is_none_or(|at| object.created() > at)
    }

    fn in_group(&self, ns: &str, group: &str, claimed: Option<Timestamp>) -> BTreeSet<Subject> {
        let Some(object) = self.get(Kind::Group, ns, group).filter(|o| self.live(o, claimed)) else {
            return BTreeSet::new();
        };
        let Object::Group(g) = object else { unreachable!() };
        let users = g.spec.members.iter().filter(|m| self.good(m)).map(|m| Subject::User(m.as_str().into()));
        let external = g.spec.external_groups.iter().filter(|e| !e.starts_with("system:"));
        users.chain(external.map(|e| Subject::Group(e.as_str().into()))).collect()
    }

    /// The most subjects that a RoleBinding may reach.
    fn by_binding(&self, ns: &str, name: &str) -> BTreeSet<Subject> {
        let Some((_, claimed)) = self.holder(ns) else { return BTreeSet::new() };
        let Some(object) = self.get(Kind::RoleBinding, ns, name).filter(|o| self.live(o, claimed)) else {
            return BTreeSet::new();
        };
        let Object::RoleBinding(b) = object else { unreachable!() };
        if b.spec.expires_at.as_ref().is_some_and(|end| end.0 <= self.now)
            || !self.organization_role(ns, &b.spec.role_ref)
        {
            return BTreeSet::new();
        }
        let of = |s: &api::Subject| match s.kind {
            SubjectKind::User if self.good(&s.name) => [Subject::User(s.name.as_str().into())].into(),
            SubjectKind::Group => self.in_group(ns, &s.name, claimed),
            SubjectKind::ExternalGroup if !s.name.starts_with("system:") => {
                [Subject::Group(s.name.as_str().into())].into()
            }
            SubjectKind::ServiceAccount => {
                [Subject::ServiceAccount { namespace: ns.into(), name: s.name.as_str().into() }].into()
            }
            _ => BTreeSet::new(),
        };
        b.spec.subjects.iter().flat_map(of).collect()
    }

    /// Whether a role exists and may be assigned in an organization.
    fn organization_role(&self, ns: &str, role: &api::RoleRef) -> bool {
        match role.kind {
            RoleKind::CustomRole => {
                let claimed = self.holder(ns).and_then(|(_, at)| at);
                self.get(Kind::CustomRole, ns, &role.name).is_some_and(|o| self.live(o, claimed))
            }
            RoleKind::SiteRole => {
                matches!(self.get(Kind::SiteRole, "", &role.name), Some(Object::SiteRole(r))
                    if r.spec.assignable_to.contains(&api::Place::Organization) && !r.spec.single_holder)
            }
        }
    }

    fn by_site_binding(&self, name: &str) -> BTreeSet<Subject> {
        let Some(Object::SiteRoleBinding(b)) = self.get(Kind::SiteRoleBinding, "", name) else {
            return BTreeSet::new();
        };
        let Some(Object::SiteRole(role)) = self.get(Kind::SiteRole, "", &b.spec.role_ref.name) else {
            return BTreeSet::new();
        };
        let expired = b.spec.expires_at.as_ref().is_some_and(|end| end.0 <= self.now);
        if expired || !role.spec.assignable_to.contains(&api::Place::Site) {
            return BTreeSet::new();
        }
        let of = |s: &api::SiteSubject| match s.kind {
            SiteSubjectKind::User if self.good(&s.name) => Some(Subject::User(s.name.as_str().into())),
            SiteSubjectKind::ExternalGroup if !s.name.starts_with("system:") => {
                Some(Subject::Group(s.name.as_str().into()))
            }
            SiteSubjectKind::ServiceAccount => Some(Subject::ServiceAccount {
                namespace: s.namespace.as_deref()?.into(),
                name: s.name.as_str().into(),
            }),
            _ => None,
        };
        let holder = role.status.as_ref().and_then(|s| s.holder.as_deref());
        let one = |g: &Subject| !role.spec.single_holder || matches!(g, Subject::User(name) if Some(&**name) == holder);
        b.spec.subjects.iter().filter_map(of).filter(one).collect()
    }

    /// The subjects that may hold the implicit roles of an organization: its own people; in the default one also those
    /// that no organization names.
    fn by_membership(&self, ns: &str) -> BTreeSet<Subject> {
        let Some((organization, claimed)) = self.holder(ns) else { return BTreeSet::new() };
        let mut who = BTreeSet::new();
        for (kind, place, name) in self.store.objects.keys().filter(|(_, place, _)| place == ns) {
            match kind {
                Kind::Group => who.extend(self.in_group(place, name, claimed)),
                Kind::RoleBinding => who.extend(self.by_binding(place, name)),
                _ => {}
            }
        }
        who.retain(|g| !matches!(g, Subject::ServiceAccount { .. }));
        if organization.status.as_ref().is_some_and(|s| s.default)
            && self.store.settings.users.join_default_organization
        {
            for object in self.all(Kind::User) {
                let Object::User(u) = object else { unreachable!() };
                let name = u.spec.username.as_ref().or(u.metadata.name.as_ref()).unwrap();
                if self.good(name) && !self.belongs_somewhere(name) {
                    who.insert(Subject::User(name.as_str().into()));
                }
            }
        }
        who
    }

    /// Whether a user certainly belongs to an organization: through a Group or a role that implies membership. (A role
    /// that does not imply it counts too, if it grants something. That is not judged here.)
    fn belongs_somewhere(&self, username: &str) -> bool {
        self.store.objects.iter().any(|((_, ns, name), object)| match object {
            Object::Group(g) => {
                let claimed = self.holder(ns).map(|(_, claimed)| claimed);
                let counts = claimed.is_some_and(|claimed| self.live(object, claimed));
                counts && g.spec.implies_membership && g.spec.members.iter().any(|m| m == username)
            }
            Object::RoleBinding(b) => {
                let user = |s: &api::Subject| s.kind == SubjectKind::User && s.name == username;
                let role = match b.spec.role_ref.kind {
                    RoleKind::CustomRole => self.get(Kind::CustomRole, ns, &b.spec.role_ref.name),
                    RoleKind::SiteRole => self.get(Kind::SiteRole, "", &b.spec.role_ref.name),
                };
                let implies = match role {
                    Some(Object::CustomRole(r)) => r.spec.implies_membership,
                    Some(Object::SiteRole(r)) => r.spec.implies_membership,
                    _ => false,
                };
                implies && b.spec.subjects.iter().any(user) && !self.by_binding(ns, name).is_empty()
            }
            _ => false,
        })
    }

    /// The subjects that may hold the part of a SiteRole that is granted once for all.
    fn anywhere(&self, role: &str) -> BTreeSet<Subject> {
        let mut who = BTreeSet::new();
        for object in self.store.objects.values() {
            match object {
                Object::SiteRoleBinding(b) if b.spec.role_ref.name == role => {
                    who.extend(self.by_site_binding(b.metadata.name.as_ref().unwrap()));
                }
                Object::RoleBinding(b)
                    if b.spec.role_ref.kind == RoleKind::SiteRole && b.spec.role_ref.name == role =>
                {
                    let ns = b.metadata.namespace.as_ref().unwrap();
                    who.extend(self.by_binding(ns, b.metadata.name.as_ref().unwrap()));
                }
                Object::Namespace(ns) => {
                    let ns = ns.name.as_ref().unwrap();
                    let is_member_role = self.holder(ns).is_some_and(|(o, _)| self.implicit(o).contains(role));
                    if is_member_role {
                        who.extend(self.by_membership(ns));
                    }
                }
                Object::User(u) if role == "member" => {
                    let name = u.spec.username.as_ref().or(u.metadata.name.as_ref()).unwrap();
                    who.extend(self.good(name).then(|| Subject::User(name.as_str().into())));
                }
                _ => {}
            }
        }
        who
    }

    /// The SiteRoles that an organization grants implicitly.
    fn implicit(&self, organization: &api::Organization) -> BTreeSet<String> {
        let named = api::RoleRef { kind: RoleKind::SiteRole, name: organization.spec.member_role.clone() };
        let named = self.organization_role("", &named).then_some(named.name);
        named.into_iter().chain(["member".to_owned()]).collect()
    }

    /// The subjects that an object may reach, by its source.
    fn may_reach(&self, source: &ApiRef) -> BTreeSet<Subject> {
        match source.kind {
            ApiKind::RoleBinding => self.by_binding(&source.namespace, &source.name),
            ApiKind::SiteRoleBinding => self.by_site_binding(&source.name),
            ApiKind::SiteRole => self.anywhere(&source.name),
            ApiKind::Organization => {
                let held = self.all(Kind::Namespace).map(|o| o.slot().2);
                let held = held.filter(|ns| {
                    self.holder(ns).is_some_and(|(o, _)| o.metadata.name.as_deref() == Some(&source.name))
                });
                held.flat_map(|ns| self.by_membership(&ns)).collect()
            }
            other => panic!("a binding of a {other}"),
        }
    }

    /// The rules that a role requests itself or through inheritance, in one kind of place.
    fn asked(
        &self,
        kind: RoleKind,
        ns: &str,
        name: &str,
        which: Kind,
        seen: &mut BTreeSet<(RoleKind, String)>,
    ) -> Vec<Rule> {
        if !seen.insert((kind, name.to_owned())) {
            return Vec::new();
        }
        let (permissions, mut rules, inherits) = match kind {
            RoleKind::CustomRole => {
                let Some(Object::CustomRole(r)) = self.get(Kind::CustomRole, ns, name) else { return Vec::new() };
                let rules = if which == Kind::Ceiling { r.spec.rules.iter().map(plain).collect() } else { Vec::new() };
                (
                    &r.spec.permissions,
                    rules,
                    r.spec.inherits.iter().map(|i| (i.kind, i.name.clone())).collect::<Vec<_>>(),
                )
            }
            RoleKind::SiteRole => {
                let Some(Object::SiteRole(r)) = self.get(Kind::SiteRole, "", name) else { return Vec::new() };
                let rules = match which {
                    Kind::Ceiling | Kind::CeilingHome => r.spec.rules.iter().map(plain).collect(),
                    Kind::CeilingCluster => r.spec.cluster_rules.iter().map(plain_cluster).collect(),
                    _ => Vec::new(),
                };
                let inherits = r.spec.inherits.iter().map(|i| (RoleKind::SiteRole, i.clone())).collect();
                (&r.spec.permissions, rules, inherits)
            }
        };
        rules.extend(permissions.iter().filter(|p| p.scope == Scope::All).flat_map(|p| catalog(p, which)));
        if matches!(self.store.ownership, Ownership::Enforced(_)) {
            rules.extend(permissions.iter().filter(|p| p.scope == Scope::Own).flat_map(|p| own(p, which)));
        }
        for (kind, name) in inherits {
            rules.extend(self.asked(kind, ns, &name, which, seen));
        }
        rules
    }
}

impl Oracle<'_> {
    /// The actions on own workspaces that a role gives itself or through inheritance.
    fn own_actions(
        &self,
        kind: RoleKind,
        ns: &str,
        name: &str,
        seen: &mut BTreeSet<(RoleKind, String)>,
    ) -> BTreeSet<Action> {
        if !seen.insert((kind, name.to_owned())) {
            return BTreeSet::new();
        }
        let (permissions, inherits): (_, Vec<_>) = match kind {
            RoleKind::CustomRole => {
                let Some(Object::CustomRole(r)) = self.get(Kind::CustomRole, ns, name) else { return BTreeSet::new() };
                (&r.spec.permissions, r.spec.inherits.iter().map(|i| (i.kind, i.name.clone())).collect())
            }
            RoleKind::SiteRole => {
                let Some(Object::SiteRole(r)) = self.get(Kind::SiteRole, "", name) else { return BTreeSet::new() };
                (&r.spec.permissions, r.spec.inherits.iter().map(|i| (RoleKind::SiteRole, i.clone())).collect())
            }
        };
        let own =
            permissions.iter().filter(|p| p.scope == Scope::Own && p.resource == "workspaces" && p.names.is_none());
        let mut actions: BTreeSet<Action> = own.flat_map(|p| p.actions.iter().copied()).collect();
        for (kind, name) in inherits {
            actions.extend(self.own_actions(kind, ns, &name, seen));
        }
        actions
    }

    /// The actions on own workspaces that a subject has in a namespace, through any role.
    fn own_actions_of(&self, subject: &Subject, ns: &str) -> BTreeSet<Action> {
        let mut roles: Vec<(RoleKind, String)> = Vec::new();
        for ((_, place, name), object) in &self.store.objects {
            match object {
                Object::RoleBinding(b) if place == ns && self.by_binding(ns, name).contains(subject) => {
                    roles.push((b.spec.role_ref.kind, b.spec.role_ref.name.clone()));
                }
                Object::SiteRoleBinding(b) if self.by_site_binding(name).contains(subject) => {
                    roles.push((RoleKind::SiteRole, b.spec.role_ref.name.clone()));
                }
                _ => {}
            }
        }
        if let Some((organization, _)) = self.holder(ns).filter(|_| self.by_membership(ns).contains(subject)) {
            roles.extend(self.implicit(organization).into_iter().map(|role| (RoleKind::SiteRole, role)));
        }
        roles.iter().flat_map(|(kind, name)| self.own_actions(*kind, ns, name, &mut BTreeSet::new())).collect()
    }

    /// Rights by name are on Pods that the subject owns, and no more than its roles give it.
    fn assert_own(&self, key: &NativeRef, subject: &Subject, rules: &[Rule]) {
        assert!(matches!(self.store.ownership, Ownership::Enforced(_)), "{key}");
        let owner = match subject {
            Subject::User(name) => name.to_string(),
            Subject::ServiceAccount { namespace, name } => format!("system:serviceaccount:{namespace}:{name}"),
            Subject::Group(_) => panic!("{key} reaches a group"),
        };
        let actions = self.own_actions_of(subject, &key.namespace);
        for atom in rules.iter().flat_map(Rule::atoms) {
            let Atom::Resource { group, resource, name, verb } = &atom else { panic!("{key} allows {atom}") };
            let needed = match (&**group, &**resource, &**verb) {
                ("bailiwick.dev", "ownobjects", "own") => continue,
                ("", "pods/exec", "get" | "create") => Action::Use,
                ("", "pods", "get" | "list" | "watch") => Action::Read,
                ("", "pods", "patch") => Action::Update,
                ("", "pods", "delete") => Action::Delete,
                _ => panic!("{key} allows {atom}"),
            };
            let list = needed == Action::Read && actions.contains(&Action::List) && &**verb != "get";
            assert!(actions.contains(&needed) || list, "{key} allows {atom}, which no role of {subject:?} gives");
            let name = name.as_deref().unwrap_or_else(|| panic!("{key} allows {atom} on everything"));
            let owners = self.store.owners.get(&*key.namespace);
            assert_eq!(owners.and_then(|owners| owners.get(name)), Some(&owner), "{key} allows {atom}");
        }
    }
}

/// The words of `fake::bounds`, spelled out by hand.
fn catalog(p: &api::Permission, which: Kind) -> Vec<Rule> {
    let verbs: Vec<&str> = p
        .actions
        .iter()
        .filter(|a| **a != Action::Use)
        .flat_map(|a| match a {
            Action::Create => vec!["create"],
            Action::Read => vec!["get", "list", "watch"],
            Action::List => vec!["list", "watch"],
            Action::Update => vec!["update", "patch"],
            Action::Delete => vec!["delete", "deletecollection"],
            Action::Use => vec![],
        })
        .collect();
    let names: Vec<&str> = p.names.iter().flatten().map(String::as_str).collect();
    let verbs: Vec<&str> = if names.is_empty() {
        verbs
    } else {
        verbs.into_iter().filter(|v| !["create", "deletecollection"].contains(v)).collect()
    };
    let rule = |groups: &[&str], resource: &str, names: &[&str], verbs: &[&str]| Rule {
        groups: groups.iter().map(|g| (*g).into()).collect(),
        resources: vec![resource.into()],
        names: names.iter().map(|n| (*n).into()).collect(),
        paths: Vec::new(),
        verbs: verbs.iter().map(|v| (*v).into()).collect(),
    };
    match (p.resource.as_str(), which) {
        ("workspaces", Kind::Ceiling) => {
            let connect: &[&str] = if p.actions.contains(&Action::Use) { &["get", "create"] } else { &[] };
            vec![
                rule(&["apps"], "deployments", &names, &verbs),
                rule(&["", "metrics"], "pods", &names, &verbs),
                rule(&[""], "pods/exec", &names, connect),
            ]
        }
        ("templates", Kind::CeilingRelease) => {
            let both: Vec<&str> = ["t0", "t1"].into_iter().filter(|t| names.is_empty() || names.contains(t)).collect();
            let mut rules = vec![rule(&["templates.dev"], "templates", &names, &verbs)];
            if !both.is_empty() {
                let verbs: Vec<&str> =
                    verbs.into_iter().filter(|v| !["create", "deletecollection"].contains(v)).collect();
                rules.push(rule(&[""], "configmaps", &both, &verbs));
            }
            rules
        }
        ("users", Kind::CeilingCluster) => vec![rule(&["bailiwick.dev"], "users", &names, &verbs)],
        _ => Vec::new(),
    }
}

/// The most that a permission on own objects grants.
fn own(p: &api::Permission, which: Kind) -> Vec<Rule> {
    let names: Vec<bailiwick::core::Name> = p.names.iter().flatten().map(|name| name.as_str().into()).collect();
    let rule = |group: &str, resource: &str, names, verbs: Vec<&str>| Rule {
        groups: vec![group.into()],
        resources: vec![resource.into()],
        names,
        paths: Vec::new(),
        verbs: verbs.into_iter().map(Into::into).collect(),
    };
    let verbs = |action: &Action| match action {
        Action::Update => vec!["patch"],
        Action::Delete => vec!["delete"],
        _ => vec![],
    };
    let changes: Vec<&str> = p.actions.iter().flat_map(verbs).collect();
    match (p.resource.as_str(), which) {
        ("workspaces", Kind::Ceiling | Kind::CeilingHome) => vec![
            rule("apps", "deployments", names.clone(), changes.clone()),
            rule("", "pods", names, changes),
            rule("bailiwick.dev", "ownobjects", Vec::new(), vec!["own"]),
        ],
        ("users", Kind::CeilingCluster) => vec![
            rule("bailiwick.dev", "users", names, vec!["get", "patch"]),
            rule("bailiwick.dev", "users", Vec::new(), vec!["own"]),
        ],
        _ => Vec::new(),
    }
}

fn names(list: &[String]) -> Vec<bailiwick::core::Name> {
    list.iter().map(|s| s.as_str().into()).collect()
}

fn plain(r: &api::PolicyRule) -> Rule {
    Rule {
        groups: names(&r.api_groups),
        resources: names(&r.resources),
        names: names(r.resource_names.as_deref().unwrap_or_default()),
        paths: Vec::new(),
        verbs: names(&r.verbs),
    }
}

fn plain_cluster(r: &api::ClusterPolicyRule) -> Rule {
    Rule {
        groups: names(r.api_groups.as_deref().unwrap_or_default()),
        resources: names(r.resources.as_deref().unwrap_or_default()),
        names: names(r.resource_names.as_deref().unwrap_or_default()),
        paths: names(r.non_resource_urls.as_deref().unwrap_or_default()),
        verbs: names(&r.verbs),
    }
}

/// Whether rules without wildcards contain this atom.
fn spelled(rules: &[Rule], atom: &Atom) -> bool {
    rules.iter().any(|rule| match atom {
        Atom::Resource { group, resource, name, verb } => {
            rule.groups.contains(group)
                && rule.resources.contains(resource)
                && rule.verbs.contains(verb)
                && (rule.names.is_empty() || name.as_ref().is_some_and(|n| rule.names.contains(n)))
        }
        Atom::Path { path, verb } => rule.paths.contains(path) && rule.verbs.contains(verb),
    })
}

fn assert_nothing_beyond(shell: &Shell) {
    let oracle = Oracle::new(&shell.store);
    let mut reach: BTreeMap<ApiRef, BTreeSet<Subject>> = BTreeMap::new();
    let site: BTreeSet<_> = shell.all.site.desired.keys().collect();
    let all = shell.all.desired();
    for (key, native) in all.clone() {
        let source = &native.source;
        // The place.
        match key.kind {
            NativeKind::ClusterRole | NativeKind::ClusterRoleBinding => assert!(site.contains(&key)),
            _ if site.contains(&key) => assert_eq!(&*key.namespace, RELEASE),
            _ => assert!(oracle.holder(&key.namespace).is_some(), "{key} where nobody holds the namespace"),
        }
        if key.name.starts_with("bailiwick:own:") {
            if let RbacSpec::Binding { role, subjects } = &native.content {
                let [subject] = &subjects[..] else { panic!("{key} has not one subject") };
                let role = NativeRef::new(NativeKind::Role, key.namespace.clone(), role.clone());
                let RbacSpec::Rules(rules) = &all[&role].content else { panic!("{role} is no role") };
                oracle.assert_own(&key, subject, rules);
            }
            continue;
        }
        // The source exists, in the same place unless it has none.
        let object = shell.store.objects.values().find(|o| o.uid() == source.uid).expect("the source exists");
        assert_eq!(object.slot().2, *source.name);
        assert!(source.namespace.is_empty() || source.namespace == key.namespace);
        match &native.content {
            RbacSpec::Binding { role, subjects } => {
                assert!(!subjects.is_empty(), "{key} has no subjects");
                assert!(subjects.is_sorted(), "{key} is not sorted");
                let may = reach.entry(source.clone()).or_insert_with(|| oracle.may_reach(source));
                for grantee in subjects.iter() {
                    assert!(
                        may.contains(grantee),
                        "{key} reaches {grantee:?}, who has nothing to do with {}",
                        source.path()
                    );
                }
                let kind = if key.kind == NativeKind::RoleBinding { NativeKind::Role } else { NativeKind::ClusterRole };
                let role = NativeRef::new(kind, key.namespace.clone(), role.clone());
                assert!(all.contains_key(&role), "{key} refers to {role}, which nobody wants");
            }
            RbacSpec::Rules(rules) => {
                assert!(!rules.is_empty(), "{key} has no rules");
                let which = match key.kind {
                    NativeKind::ClusterRole => Kind::CeilingCluster,
                    _ if site.contains(&key) => Kind::CeilingRelease,
                    _ => Kind::Ceiling,
                };
                let kind = if source.kind == ApiKind::CustomRole { RoleKind::CustomRole } else { RoleKind::SiteRole };
                assert!(
                    [ApiKind::CustomRole, ApiKind::SiteRole].contains(&source.kind),
                    "{key} is owned by {}",
                    source.path()
                );
                let asked = oracle.asked(kind, &source.namespace, &source.name, which, &mut BTreeSet::new());
                let home = (which == Kind::Ceiling && *key.namespace == *RELEASE).then_some(&Kind::CeilingHome);
                let home = home.and_then(|home| shell.store.ceilings.get(home));
                let ceiling = home.unwrap_or_else(|| &shell.store.ceilings[&which]);
                for atom in rules.iter().flat_map(Rule::atoms) {
                    assert!(spelled(&asked, &atom), "{key} allows {atom}, which {} does not ask for", source.path());
                    assert!(ceiling.covers(&atom), "{key} allows {atom}, which the ceiling does not");
                }
            }
        }
    }
}

/// Reasons in a Ready condition that require no action.
const FINE: [&str; 4] = ["Reconciled", "Suspended", "Expired", "NotSet"];

fn assert_said(shell: &Shell) {
    use bailiwick::api::conditions::ConditionType as C;
    use bailiwick::core::conditions::Status;
    let mut seen = BTreeSet::new();
    for draft in shell.all.statuses() {
        let slot = slot_of(&draft.target);
        assert!(seen.insert(slot.clone()), "two statuses for {slot:?}");
        let object = &shell.store.objects[&slot];
        assert_eq!(object.uid(), draft.target.uid);
        assert_eq!(object.meta().generation, Some(draft.generation));
        let kinds: BTreeSet<C> = draft.findings.iter().map(|f| f.kind).collect();
        assert_eq!(kinds.len(), draft.findings.len(), "a condition stands twice: {draft:?}");
        for finding in &draft.findings {
            let message = finding.message.to_string();
            assert!(!finding.reason.meaning().is_empty() && !message.is_empty(), "{finding:?}");
            assert!(message.len() <= 32_768);
        }
        let ready = draft.ready().expect("every object has a Ready condition");
        let withheld = match &draft.status {
            Status::Group(s) => s.withheld,
            Status::Binding(s) => s.withheld,
            Status::Role(s) => s.withheld,
            Status::SiteRole(s) => s.withheld,
            Status::Organization(_) | Status::User(_) => 0,
        };
        let bad: Vec<_> = draft.findings.iter().filter(|f| f.status() == "False" && f.kind != C::Ready).collect();
        if withheld > 0 {
            assert!(!bad.is_empty(), "something is withheld and no condition says what: {draft:?}");
        }
        if ready.good {
            assert!(FINE.contains(&ready.reason.as_str()), "{ready:?}");
            let fault = |f: &&&bailiwick::core::conditions::Finding| {
                let neutral = f.kind == C::Default || (f.kind == C::NamespaceAssigned && f.reason.as_str() == "NotSet");
                let inert = ready.reason.as_str() == "NotSet" && f.kind == C::MemberRoleResolved;
                // Whether an expired one resolves does not matter.
                let over = ready.reason.as_str() == "Expired";
                !neutral && !inert && !over && !bailiwick::core::withheld::expected(f.reason)
            };
            assert!(!bad.iter().any(|f| fault(&f)), "Ready, and yet: {draft:?}");
        } else if matches!(draft.status, Status::Binding(_) | Status::Role(_) | Status::SiteRole(_)) {
            assert!(
                !bad.is_empty()
                    || ready.reason.as_str() == "NoOrganization"
                    || ready.reason.as_str() == "FromFormerOrganization",
                "not Ready, and nothing says why: {draft:?}"
            );
        }
    }
    let objects = shell.store.objects.keys().filter(|(kind, ..)| *kind != Kind::Namespace).count();
    assert_eq!(seen.len(), objects, "an object without a status");
}

/// A subject is granted or withheld, and withheld once.
fn assert_counted(shell: &Shell) {
    use bailiwick::core::conditions::Status;
    for draft in shell.all.statuses() {
        let Status::Binding(status) = &draft.status else { continue };
        let (subjects, groups) = match &shell.store.objects[&slot_of(&draft.target)] {
            Object::RoleBinding(b) => {
                (b.spec.subjects.len(), b.spec.subjects.iter().any(|s| s.kind == SubjectKind::Group))
            }
            Object::SiteRoleBinding(b) => (b.spec.subjects.len(), false),
            _ => unreachable!(),
        };
        assert!(status.withheld as usize <= subjects, "more is withheld than asked for: {draft:?}");
        let reason = draft.ready().unwrap().reason.as_str();
        // Nobody holds a role that grants nothing.
        if !groups && !["NoOrganization", "RoleGrantsNothing"].contains(&reason) {
            assert_eq!((status.withheld + status.grants) as usize, subjects, "{draft:?}");
        }
    }
}

proptest! {
    #![proptest_config(cases(120))]

    #[test]
    fn nothing_is_granted_beyond_its_source(start in crowd(), ops in history(10)) {
        let mut shell = Shell::new();
        shell.play(&start);
        assert_nothing_beyond(&shell);
        shell.play(&ops);
        assert_nothing_beyond(&shell);
    }

    #[test]
    fn every_object_has_one_status_and_what_is_withheld_has_a_reason(start in crowd()) {
        let mut shell = Shell::new();
        shell.play(&start);
        assert_said(&shell);
    }

    #[test]
    fn a_subject_is_granted_or_withheld_once(start in crowd()) {
        let mut shell = Shell::new();
        shell.play(&start);
        assert_counted(&shell);
    }
}
