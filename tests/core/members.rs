//! Membership: implicit roles, belonging, and the default organization.

use bailiwick::core::conditions::Status;
use rstest::rstest;

use crate::build::given;
use crate::fake::{Kind, Op};
use crate::shell::Shell;

/// Two organizations; members of both may `get pods`, holders of `lead` may `get configmaps`.
const START: &str = "
{kind: SiteRole, metadata: {name: organization-member}, spec: {privileged: false, assignableTo: [Organization], rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}}
---
{kind: SiteRole, metadata: {name: member}, spec: {privileged: false, assignableTo: [], rules: [{apiGroups: [''], resources: [pods], verbs: [list]}], permissions: [{resource: users, actions: [list]}]}}
---
{kind: Organization, metadata: {name: default}, spec: {namespace: release, default: true, memberRole: organization-member}}
---
{kind: Organization, metadata: {name: o}, spec: {namespace: n0, memberRole: organization-member}}
---
{kind: CustomRole, metadata: {name: lead, namespace: n0}, spec: {rules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]}}
---
{kind: CustomRole, metadata: {name: guest, namespace: n0}, spec: {impliesMembership: false, rules: [{apiGroups: [''], resources: [configmaps], verbs: [list]}]}}
---
{kind: CustomRole, metadata: {name: empty, namespace: n0}, spec: {impliesMembership: false}}
---
{kind: User, metadata: {name: ada}}
---
";

fn bind(role: &str, subject: &str, more: &str) -> String {
    format!(
        "{{kind: RoleBinding, metadata: {{name: b, namespace: n0}}, spec: {{roleRef: {{kind: CustomRole, name: {role}}}, subjects: [{{{subject}}}] {more}}}}}\n---\n"
    )
}

fn group(members: &str, more: &str) -> String {
    format!("{{kind: Group, metadata: {{name: g, namespace: n0}}, spec: {{members: [{members}] {more}}}}}\n---\n")
}

fn members(shell: &Shell, organization: &str) -> u32 {
    let Status::Organization(status) = &shell.draft(Kind::Organization, organization).status else { panic!() };
    status.members
}

/// Columns: whether the user has `get pods` through the member role in n0, then through the default organization, then
/// how many belong to o.
#[rstest]
#[case::nobody("", false, true, 0)]
#[case::in_a_group(&group("ada", ""), true, false, 1)]
#[case::in_a_group_without_membership(&group("ada", ", impliesMembership: false"), false, true, 0)]
#[case::with_a_role(&bind("lead", "kind: User, name: ada", ""), true, false, 1)]
#[case::with_a_role_without_membership(&bind("guest", "kind: User, name: ada", ""), false, false, 1)]
#[case::both(&(group("ada", "") + &bind("guest", "kind: Group, name: g", "")), true, false, 1)]
#[case::group_and_role_without_membership(&(group("ada", ", impliesMembership: false") + &bind("guest", "kind: Group, name: g", "")), false, false, 1)]
#[case::a_role_that_is_not_there(&bind("nothing", "kind: User, name: ada", ""), false, true, 0)]
#[case::a_role_that_grants_nothing(&bind("empty", "kind: User, name: ada", ""), false, true, 0)]
#[case::a_role_that_never_took_effect(&bind("lead", "kind: User, name: ada", ", expiresAt: '2020-01-01T00:00:00Z'"), false, true, 0)]
#[case::somebody_else(&bind("lead", "kind: ServiceAccount, name: ci", ""), false, true, 0)]
fn implicit_roles(#[case] yaml: &str, #[case] member: bool, #[case] by_default: bool, #[case] belong: u32) {
    let shell = given(&(START.to_owned() + yaml));
    assert_eq!(shell.can("ada", "n0", "get pods"), member);
    assert_eq!(shell.can("ada", "n0", "list pods"), member, "the namespaced part of `member`");
    assert_eq!(shell.can("ada", "release", "get pods"), by_default);
    assert_eq!(members(&shell, "o"), belong);
    assert!(shell.can("ada", "", "list bailiwick.dev/users"), "everywhere, for everybody");
    assert!(!shell.can("sa:n0/ci", "n0", "get pods"), "a service account is no member");
}

#[test]
fn an_external_group_is_a_member_and_counts_for_nothing() {
    let shell = given(&(START.to_owned() + &group("", ", externalGroups: ['oidc:few']")));
    assert!(shell.can("group:oidc:few", "n0", "get pods"));
    assert!(shell.can("group:oidc:few", "", "list bailiwick.dev/users"));
    assert_eq!(members(&shell, "o"), 0);
}

#[test]
fn a_suspended_member_is_none_and_an_unknown_one_is_not_yet() {
    let mut shell = given(&(START.to_owned() + &group("ada, bob", "")));
    assert_eq!(shell.says(Kind::Group, "g", "MembersKnown"), "False UserNotFound");
    assert!(!shell.can("bob", "n0", "get pods"));
    shell.apply("{kind: User, metadata: {name: robert}, spec: {username: bob}}");
    assert!(shell.can("bob", "n0", "get pods"), "by username, not by name");
    shell.apply("{kind: User, metadata: {name: robert}, spec: {username: bob, suspended: true}}");
    assert!(!shell.can("bob", "n0", "get pods") && !shell.can("bob", "", "list bailiwick.dev/users"));
    assert_eq!(
        (shell.says(Kind::Group, "g", "MembersKnown"), shell.says(Kind::Group, "g", "Ready")),
        ("False Suspended".to_owned(), "True Reconciled".to_owned())
    );
}

#[test]
fn deleting_the_only_mention_of_a_user_brings_them_into_the_default_organization_and_expiry_does_not() {
    let mut shell =
        given(&(START.to_owned() + &bind("lead", "kind: User, name: ada", ", expiresAt: '2026-01-01T00:01:00Z'")));
    shell.play(&[Op::Wait(1000)]);
    shell.check();
    assert!(!shell.can("ada", "n0", "get pods") && !shell.can("ada", "release", "get pods"));
    shell.delete(Kind::RoleBinding, "n0", "b");
    assert!(shell.can("ada", "release", "get pods"));
}

#[test]
fn nobody_joins_the_default_organization_where_a_value_says_so() {
    let mut shell = given(START);
    assert!(shell.can("ada", "release", "get pods"));
    shell.play(&[Op::Join(false)]);
    shell.check();
    assert!(!shell.can("ada", "release", "get pods"));
}

/// A suspension does not end belonging either: a reactivated user is back where they were, and nowhere else meanwhile.
#[test]
fn a_user_who_is_active_again_was_never_in_the_default_organization() {
    let mut shell = given(&(START.to_owned() + &group("ada", "")));
    let user = |suspended| format!("{{kind: User, metadata: {{name: ada}}, spec: {{suspended: {suspended}}}}}");
    shell.apply(&user(true));
    shell.urgent();
    let events = shell.store.act(&Op::Put(Box::new(crate::build::objects(&user(false)).remove(0))));
    shell.take_in(events);
    shell.decide();
    assert!(shell.can("ada", "n0", "get pods") && !shell.can("ada", "release", "get pods"));
    assert!(!shell.urgent().contains("release"), "nothing had to be taken away there");
}

/// A mention counts only while an organization holds the namespace.
#[test]
fn a_mention_counts_while_the_namespace_is_held() {
    let mut shell = given(&(START.to_owned() + &group("ada", "")));
    assert!(!shell.can("ada", "release", "get pods"));
    shell.play(&[Op::Bounds(vec!["release"], false)]);
    shell.check();
    assert!(shell.can("ada", "release", "get pods") && !shell.can("ada", "n0", "get pods"));
}

/// The member role of an organization: none, a missing one, one that cannot be assigned here, a privileged one.
#[rstest]
#[case("''", "True NotConfigured", false)]
#[case("gone", "False RoleNotFound", false)]
#[case("member", "False RoleNotAssignableHere", false)]
#[case("organization-member", "True Resolved", true)]
#[case("chief", "False PrivilegedMemberRole", false)]
fn the_member_role(#[case] role: &str, #[case] said: &str, #[case] gets: bool) {
    let chief = "{kind: SiteRole, metadata: {name: chief}, spec: {assignableTo: [Organization], rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}}\n---\n";
    let organization =
        format!("{{kind: Organization, metadata: {{name: p}}, spec: {{namespace: n1, memberRole: {role}}}}}\n---\n");
    let group = "{kind: Group, metadata: {name: h, namespace: n1}, spec: {members: [ada]}}";
    let shell = given(&(START.to_owned() + chief + &organization + group));
    assert_eq!(shell.says(Kind::Organization, "p", "MemberRoleResolved"), said);
    assert_eq!(shell.can("ada", "n1", "get pods"), gets);
    assert!(shell.can("ada", "n1", "list pods"), "`member` is everybody's");
}
