//! Organizations, users, groups and bindings.

use bailiwick::api::vocabulary as v;
use bailiwick::api::{self, RoleKind, RoleRef, SubjectKind};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use proptest::prelude::*;
use proptest::sample::select;

use super::roles::SITE_ROLES;
use super::{few, strings};
use crate::fake::{Object, SPACES, tick};

const USERNAMES: [&str; 4] = ["ada", "bob", "cyd", "dan"];
/// Possible usernames: known ones, an unknown one, and two that must never be granted anything.
const MENTIONS: [&str; 7] = ["ada", "bob", "cyd", "dan", "ghost", "system:masters", "tab\tname"];

pub fn metadata(ns: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: (!ns.is_empty()).then(|| ns.to_owned()),
        ..ObjectMeta::default()
    }
}

pub fn organization() -> impl Strategy<Value = Object> {
    let ns = prop_oneof![2 => Just(None), 5 => select(&SPACES[..]).prop_map(Some)];
    let role = select(&["", "organization-member", "s0", "s1", "gone"][..]);
    (select(&["o0", "o1", "o2"][..]), ns, prop::bool::weighted(0.3), role).prop_map(|(name, ns, default, role)| {
        Object::Organization(api::Organization {
            metadata: metadata("", name),
            spec: api::OrganizationSpec {
                display_name: None,
                namespace: ns.map(str::to_owned),
                default,
                member_role: role.to_owned(),
            },
            status: None,
        })
    })
}

pub fn user() -> impl Strategy<Value = Object> {
    let handle = select(&["ada", "bob", "cyd", "dan", "eve"][..]);
    let username =
        prop_oneof![4 => Just(None), 2 => select(&USERNAMES[..]).prop_map(Some), 1 => Just(Some("system:masters"))];
    let seen = prop::option::of((0i64..20).prop_map(|s| 2 * s));
    (handle, username, prop::bool::weighted(0.3), seen).prop_map(|(handle, username, suspended, seen)| {
        Object::User(api::User {
            metadata: metadata("", handle),
            spec: api::UserSpec { username: username.map(str::to_owned), suspended, ..Default::default() },
            status: seen.map(|seen| api::UserStatus {
                // Dormant after so many half seconds of the history.
                last_seen_time: Some(Time(tick(seen) - SignedDuration::from_hours(90 * 24))),
                ..Default::default()
            }),
        })
    })
}

pub fn group() -> impl Strategy<Value = Object> {
    let external = few(&["oidc:all", "oidc:few", "system:authenticated"], 2);
    (select(&SPACES[..]), select(&["g0", "g1"][..]), few(&MENTIONS, 4), external, any::<bool>(), any::<bool>())
        .prop_map(|(ns, name, members, external, implies_membership, vouched)| {
            let mut metadata = metadata(ns, name);
            metadata.annotations = vouched.then(|| [(v::VOUCHED.to_owned(), "true".to_owned())].into());
            Object::Group(api::Group {
                metadata,
                spec: api::GroupSpec {
                    display_name: None,
                    members: strings(members),
                    external_groups: strings(external),
                    implies_membership,
                },
                status: None,
            })
        })
}

fn expiry() -> BoxedStrategy<Option<Time>> {
    prop_oneof![3 => Just(None), 2 => (0i64..60).prop_map(|at| Some(Time(tick(at))))].boxed()
}

fn subject() -> impl Strategy<Value = api::Subject> {
    let of = |kind, names: &'static [&'static str]| {
        select(names).prop_map(move |name: &str| api::Subject { kind, name: name.to_owned() })
    };
    prop_oneof![
        4 => of(SubjectKind::User, &MENTIONS),
        3 => of(SubjectKind::Group, &["g0", "g1", "g2"]),
        1 => of(SubjectKind::ExternalGroup, &["oidc:all", "oidc:few", "system:masters"]),
        1 => of(SubjectKind::ServiceAccount, &["ci", "cd"]),
    ]
}

pub fn role_binding() -> impl Strategy<Value = Object> {
    let role = prop_oneof![
        select(&["c0", "c1", "c2"][..]).prop_map(|name| (RoleKind::CustomRole, name)),
        select(&SITE_ROLES[..]).prop_map(|name| (RoleKind::SiteRole, name)),
    ];
    let subjects = prop::collection::vec(subject(), 0..5);
    (select(&SPACES[..]), select(&["b0", "b1", "b2"][..]), role, subjects, expiry()).prop_map(
        |(ns, name, (kind, role), subjects, expires_at)| {
            Object::RoleBinding(api::RoleBinding {
                metadata: metadata(ns, name),
                spec: api::RoleBindingSpec { role_ref: RoleRef { kind, name: role.to_owned() }, subjects, expires_at },
                status: None,
            })
        },
    )
}

pub fn site_role_binding() -> impl Strategy<Value = Object> {
    use api::SiteSubjectKind as K;
    let of = |kind, names: &'static [&'static str], ns: Option<&'static str>| {
        select(names).prop_map(move |name: &str| api::SiteSubject {
            kind,
            name: name.to_owned(),
            namespace: ns.map(str::to_owned),
        })
    };
    let subject = prop_oneof![
        4 => of(K::User, &MENTIONS, None),
        1 => of(K::ExternalGroup, &["oidc:all", "oidc:few", "system:masters"], None),
        1 => of(K::ServiceAccount, &["ci"], Some("n0")),
        1 => of(K::ServiceAccount, &["ci"], None),
    ];
    let subjects = prop::collection::vec(subject, 0..4);
    (select(&["t0", "t1", "t2"][..]), select(&SITE_ROLES[..]), subjects, expiry()).prop_map(
        |(name, role, subjects, expires_at)| {
            Object::SiteRoleBinding(api::SiteRoleBinding {
                metadata: metadata("", name),
                spec: api::SiteRoleBindingSpec {
                    role_ref: api::SiteRoleRef { kind: Default::default(), name: role.to_owned() },
                    subjects,
                    expires_at,
                },
                status: None,
            })
        },
    )
}
