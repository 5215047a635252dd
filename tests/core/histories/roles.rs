//! CustomRoles and SiteRoles.

use bailiwick::api::{self, Action, Permission, Place, PolicyRule, RoleKind, RoleRef, Scope};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::objects::metadata;
use super::{few, strings};
use crate::fake::{Object, SPACES};

pub const SITE_ROLES: [&str; 5] = ["member", "organization-member", "s0", "s1", "s2"];
const ACTIONS: [Action; 6] = [Action::Create, Action::Read, Action::List, Action::Update, Action::Delete, Action::Use];

pub fn permission() -> impl Strategy<Value = Permission> {
    let word = select(&["workspaces", "workspaces", "templates", "users", "nothing", "unheard-of"][..]);
    let names = prop_oneof![3 => Just(None), 1 => few(&["t0", "one", "two"], 2).prop_map(|n| (!n.is_empty()).then(|| strings(n)))];
    (word, subsequence(&ACTIONS[..], 1..4), prop::bool::weighted(0.3), names).prop_map(|(word, actions, own, names)| {
        Permission { resource: word.to_owned(), actions, scope: if own { Scope::Own } else { Scope::All }, names }
    })
}

fn policy_rule() -> impl Strategy<Value = PolicyRule> {
    let groups = subsequence(&["", "apps"][..], 1..=2);
    let resources = subsequence(&["pods", "deployments", "pods/exec", "secrets"][..], 1..3);
    let verbs = subsequence(&["get", "list", "delete", "create", "escalate"][..], 1..4);
    let names = prop_oneof![2 => Just(None), 1 => Just(Some(vec!["one".to_owned()]))];
    (groups, resources, verbs, names).prop_map(|(groups, resources, verbs, resource_names)| PolicyRule {
        api_groups: strings(groups),
        resources: strings(resources),
        resource_names,
        verbs: strings(verbs),
    })
}

fn cluster_rule() -> impl Strategy<Value = api::ClusterPolicyRule> {
    let nothing = || api::ClusterPolicyRule {
        api_groups: None,
        resources: None,
        resource_names: None,
        non_resource_urls: None,
        verbs: Vec::new(),
    };
    let paths =
        subsequence(&["/healthz", "/healthz/ping", "/healthz/*", "/metrics"][..], 1..3).prop_map(move |paths| {
            api::ClusterPolicyRule {
                non_resource_urls: Some(strings(paths)),
                verbs: vec!["get".to_owned()],
                ..nothing()
            }
        });
    let kinds = subsequence(&["users", "organizations", "nodes"][..], 1..3);
    let kinds = (kinds, subsequence(&["get", "list", "bind"][..], 1..3)).prop_map(move |(kinds, verbs)| {
        api::ClusterPolicyRule {
            api_groups: Some(vec!["bailiwick.dev".to_owned()]),
            resources: Some(strings(kinds)),
            verbs: strings(verbs),
            ..nothing()
        }
    });
    prop_oneof![paths, kinds]
}

pub fn custom_role() -> impl Strategy<Value = Object> {
    let custom = subsequence(&["c0", "c1", "c2"][..], 0..=2);
    let site = subsequence(&SITE_ROLES[..], 0..=1);
    let inherits = (custom, site).prop_map(|(custom, site)| {
        let of = |kind, names: Vec<&str>| {
            names.into_iter().map(move |n| RoleRef { kind, name: n.to_owned() }).collect::<Vec<_>>()
        };
        [of(RoleKind::CustomRole, custom), of(RoleKind::SiteRole, site)].concat()
    });
    let inherits = prop_oneof![2 => Just(Vec::new()), 1 => inherits];
    let name = select(&["c0", "c1", "c2"][..]);
    let rules = (prop::collection::vec(permission(), 0..3), prop::collection::vec(policy_rule(), 0..2));
    (select(&SPACES[..]), name, rules, inherits, any::<bool>(), any::<bool>()).prop_map(
        |(ns, name, (permissions, rules), inherits, privileged, implies_membership)| {
            Object::CustomRole(api::CustomRole {
                metadata: metadata(ns, name),
                spec: api::CustomRoleSpec {
                    permissions,
                    rules,
                    inherits,
                    privileged,
                    implies_membership,
                    ..Default::default()
                },
                status: None,
            })
        },
    )
}

pub fn site_role() -> impl Strategy<Value = Object> {
    let places = prop_oneof![
        1 => Just(vec![]),
        2 => Just(vec![Place::Site]),
        3 => Just(vec![Place::Organization]),
        3 => Just(vec![Place::Site, Place::Organization]),
    ];
    let rules = (
        prop::collection::vec(permission(), 0..3),
        prop::collection::vec(policy_rule(), 0..2),
        prop::collection::vec(cluster_rule(), 0..2),
    );
    let inherits = prop_oneof![2 => Just(Vec::new()), 1 => subsequence(&SITE_ROLES[..], 0..=2)];
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    (select(&SITE_ROLES[..]), places, rules, inherits, flags).prop_map(
        |(name, assignable_to, (permissions, rules, cluster_rules), inherits, (privileged, implies, single_holder))| {
            Object::SiteRole(api::SiteRole {
                metadata: metadata("", name),
                spec: api::SiteRoleSpec {
                    assignable_to,
                    single_holder: single_holder && name.starts_with('s'),
                    permissions,
                    rules,
                    cluster_rules,
                    inherits: strings(inherits),
                    privileged,
                    implies_membership: implies,
                    ..Default::default()
                },
                status: None,
            })
        },
    )
}
