//! The counts in a User's status: organizations, site roles and grants, without their names.

use std::collections::BTreeSet;

use bailiwick::core::Name;
use bailiwick::core::cache::{Cache, Contribution, Held};
use bailiwick::core::conditions::Status;
use bailiwick::core::rbac::{RbacSpec, Subject};
use proptest::prelude::*;

use crate::build::given;
use crate::cases;
use crate::fake::{Kind, Op, slot};
use crate::histories::crowd;
use crate::shell::Shell;

/// Organizations, site roles, grants.
fn holds(shell: &Shell, handle: &str) -> [u32; 3] {
    let Status::User(status) = &shell.draft(Kind::User, handle).status else { panic!() };
    [status.organizations, status.site_roles, status.grants]
}

const START: &str = "
{kind: Organization, metadata: {name: home}, spec: {namespace: n1, default: true, memberRole: ''}}
---
{kind: SiteRole, metadata: {name: reader}, spec: {privileged: false, assignableTo: [Organization], rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}}
---
{kind: SiteRole, metadata: {name: auditor}, spec: {assignableTo: [Site], rules: [{apiGroups: [''], resources: [pods], verbs: [list]}]}}
---
{kind: SiteRole, metadata: {name: empty}, spec: {assignableTo: [Site]}}
---
{kind: Organization, metadata: {name: o}, spec: {namespace: n0, memberRole: reader}}
---
{kind: CustomRole, metadata: {name: c, namespace: n0}, spec: {rules: [{apiGroups: [''], resources: [pods], verbs: [delete]}]}}
---
{kind: User, metadata: {name: bob}}
---
{kind: User, metadata: {name: a}, spec: {username: ada}}
---
";

fn bind(name: &str, subject: &str, more: &str) -> String {
    format!(
        "{{kind: RoleBinding, metadata: {{name: {name}, namespace: n0}}, \
         spec: {{roleRef: {{kind: CustomRole, name: c}}, subjects: [{subject}] {more}}}}}"
    )
}

fn site_bind(name: &str, role: &str, more: &str) -> String {
    format!(
        "{{kind: SiteRoleBinding, metadata: {{name: {name}}}, \
         spec: {{roleRef: {{kind: SiteRole, name: {role}}}, subjects: [{{kind: User, name: ada}}] {more}}}}}"
    )
}

#[test]
fn a_user_says_how_much_they_hold() {
    let mut shell = given(START);
    assert_eq!(holds(&shell, "a"), [1, 0, 0], "a member of the default organization, without a member role");
    shell.apply(&bind("b", "{kind: User, name: ada}", ""));
    assert_eq!(holds(&shell, "a"), [1, 0, 2], "the role, and the member role of the other organization");
    shell.apply("{kind: Group, metadata: {name: g, namespace: n0}, spec: {members: [ada, bob]}}");
    assert_eq!([holds(&shell, "a"), holds(&shell, "bob")], [[1, 0, 2], [1, 0, 1]], "bob is a member by the Group");
    shell.apply(&bind("by-group", "{kind: Group, name: g}", ""));
    assert_eq!([holds(&shell, "a"), holds(&shell, "bob")], [[1, 0, 3], [1, 0, 2]]);
    // A site role counts once, however many organizations it reaches.
    shell.apply(&site_bind("s", "auditor", ""));
    shell.apply(&site_bind("again", "auditor", ""));
    assert_eq!(holds(&shell, "a"), [1, 1, 5]);
    shell.apply(&site_bind("nothing", "empty", ""));
    assert_eq!(holds(&shell, "a"), [1, 1, 5], "a role that grants nothing");

    shell.apply("{kind: User, metadata: {name: a}, spec: {username: ada, suspended: true}}");
    assert_eq!([holds(&shell, "a"), holds(&shell, "bob")], [[0, 0, 0], [1, 0, 2]]);
    shell.apply("{kind: User, metadata: {name: a}, spec: {username: ada}}");
    assert_eq!(holds(&shell, "a"), [1, 1, 5]);
    shell.apply("{kind: User, metadata: {name: younger}, spec: {username: ada}}");
    assert_eq!(holds(&shell, "younger"), [0, 0, 0], "it speaks for nobody");

    for (kind, namespace, name) in [(Kind::SiteRoleBinding, "", "s"), (Kind::Group, "n0", "g")] {
        shell.delete(kind, namespace, name);
    }
    assert_eq!([holds(&shell, "a"), holds(&shell, "bob")], [[1, 1, 3], [1, 0, 0]]);
    shell.delete(Kind::Organization, "", "o");
    assert_eq!(holds(&shell, "a"), [1, 1, 1], "back in the default organization");
}

#[test]
fn what_ends_by_itself_is_counted_until_then() {
    let ends = ", expiresAt: '2026-01-01T00:01:00Z'";
    let mut shell = given(START);
    shell.apply(&bind("b", "{kind: User, name: ada}", ends));
    shell.apply(&site_bind("s", "auditor", ends));
    assert_eq!(holds(&shell, "a"), [1, 1, 3]);
    shell.play(&[Op::Wait(120 - shell.store.now)]);
    shell.check();
    assert_eq!(holds(&shell, "a"), [1, 0, 0]);
}

#[test]
fn a_user_of_whom_nothing_reports_when_they_were_seen_is_active() {
    let shell = given("{kind: User, metadata: {name: ada}}");
    assert_eq!(shell.says(Kind::User, "ada", "LastSeen"), "Unknown NotReported");
    assert_eq!(shell.says(Kind::User, "ada", "Ready"), "True Reconciled");
    let object = &shell.store.objects[&slot(Kind::User, "", "ada")];
    let status = object.status().unwrap();
    let seen = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "LastSeen").unwrap();
    assert_eq!((&status["state"], &seen["status"]), (&"Active".into(), &"Unknown".into()));
    assert_eq!(status.get("lastSeenTime"), None);
}

/// A site of 10,000 users and 1,000 organizations has a hundred thousand of these, and a change in one organization
/// must not cost as much as all of them.
#[test]
fn what_is_held_is_small_and_only_those_are_counted_again_who_hold_more_or_less() {
    assert_eq!(size_of::<(Name, Held)>(), 16);
    let held = |names: &[(&str, u32)]| Contribution {
        held: names
            .iter()
            .map(|(name, grants)| (Name::from(*name), Held { grants: *grants, ..Held::default() }))
            .collect(),
        ..Contribution::default()
    };
    let mut cache = Cache::default();
    let mut counted = |before: &Contribution, after: &Contribution| cache.set_contribution(before, after).counted;
    let (first, second) = (held(&[("ada", 1), ("bob", 1), ("cyd", 1)]), held(&[("ada", 1), ("bob", 2), ("dan", 1)]));
    assert_eq!(counted(&Contribution::default(), &first), ["ada", "bob", "cyd"]);
    assert_eq!(counted(&first, &second), ["bob", "cyd", "dan"]);
    assert_eq!(counted(&second, &second), Vec::<Name>::new());
}

proptest! {
    #![proptest_config(cases(60))]

    /// Computed independently: from the members of Organizations, and the subjects of native bindings.
    #[test]
    fn counts_agree_with_what_there_is(start in crowd()) {
        let mut shell = Shell::new();
        shell.play(&start);
        let members = shell.all.organizations.values().map(|draft| match &draft.status {
            Status::Organization(status) => status.members,
            other => panic!("{other:?}"),
        });
        let organizations: u32 = shell.cache.users.keys().map(|handle| holds(&shell, handle)[0]).sum();
        prop_assert_eq!(members.sum::<u32>(), organizations);
        // A SiteRole's grants beyond the namespace are counted separately; every other grant of a user counts here.
        let desired = shell.all.desired();
        let natives = |username: &Name, kinds: &[&str]| {
            let grantee = Subject::User(username.clone());
            let names = desired.values().filter(|native| kinds.contains(&native.source.kind.as_str()));
            let names = names.filter(|native| matches!(&native.content, RbacSpec::Binding { subjects, .. } if subjects.contains(&grantee)));
            let sources = names.map(|native| &native.source.uid);
            (sources.clone().count(), sources.collect::<BTreeSet<_>>().len())
        };
        for (handle, user) in shell.cache.users.iter() {
            let [_, site_roles, grants] = holds(&shell, handle);
            if shell.cache.canonical_user(&user.username).is_none_or(|canonical_user| canonical_user.meta.uid != user.meta.uid) {
                prop_assert_eq!([site_roles, grants], [0, 0]);
                continue;
            }
            let (in_organizations, _) = natives(&user.username, &["RoleBinding", "Organization"]);
            let (_, at_site) = natives(&user.username, &["SiteRoleBinding"]);
            prop_assert!(grants as usize >= in_organizations + at_site, "{handle:?}");
            prop_assert!(at_site == 0 || site_roles > 0, "{handle:?}");
            let named = desired.values().any(|native| matches!(&native.content, RbacSpec::Binding { subjects, .. }
                if subjects.contains(&Subject::User(user.username.clone()))));
            // A SiteRoleBinding grants its role even without any organization.
            prop_assert!(grants == 0 || site_roles > 0 || named, "{handle:?} holds nothing");
        }
    }
}
