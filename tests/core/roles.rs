//! Roles: inheritance and its limits, the ceiling, and the boundary of a CustomRole.

use bailiwick::core::conditions::Status;
use rstest::rstest;

use crate::build::given;
use crate::fake::{Kind, Op, RELEASE};
use crate::shell::Shell;

const START: &str = "
{kind: Organization, metadata: {name: o}, spec: {namespace: n0, memberRole: ''}}
---
{kind: User, metadata: {name: ada}}
---
{kind: User, metadata: {name: bob}}
---
";

fn site_role(name: &str, places: &str, more: &str) -> String {
    format!("{{kind: SiteRole, metadata: {{name: {name}}}, spec: {{assignableTo: [{places}], {more}}}}}\n---\n")
}

fn custom_role(name: &str, more: &str) -> String {
    format!("{{kind: CustomRole, metadata: {{name: {name}, namespace: n0}}, spec: {{{more}}}}}\n---\n")
}

fn bind(name: &str, kind: &str, role: &str, user: &str) -> String {
    format!(
        "{{kind: RoleBinding, metadata: {{name: {name}, namespace: n0}}, spec: {{roleRef: {{kind: {kind}, name: {role}}}, subjects: [{{kind: User, name: {user}}}]}}}}\n---\n"
    )
}

fn bind_site(name: &str, role: &str, user: &str) -> String {
    format!(
        "{{kind: SiteRoleBinding, metadata: {{name: {name}}}, spec: {{roleRef: {{name: {role}}}, subjects: [{{kind: User, name: {user}}}]}}}}\n---\n"
    )
}

const READ: &str = "permissions: [{resource: workspaces, actions: [read]}]";
const PODS: &str = "rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]";

/// A role may inherit whatever can be assigned wherever it can be assigned itself.
#[rstest]
#[case::same("Organization", "Organization", "", true)]
#[case::more_places("Organization", "Site, Organization", "", true)]
#[case::fewer_places("Site, Organization", "Organization", "", false)]
#[case::other_place("Organization", "Site", "", false)]
#[case::nowhere("Organization", "", "", false)]
#[case::one_holder("Site", "Site", "singleHolder: true,", false)]
fn a_role_inherits_what_fits(#[case] places: &str, #[case] inherited: &str, #[case] flags: &str, #[case] fits: bool) {
    let yaml = START.to_owned()
        + &site_role("s1", inherited, &format!("{flags} {PODS}"))
        + &site_role("s0", places, "inherits: [s1]");
    let mut shell = given(&yaml);
    let bound =
        if places.contains("Organization") { bind("b", "SiteRole", "s0", "ada") } else { bind_site("b", "s0", "ada") };
    shell.apply(&bound);
    assert_eq!(shell.can("ada", "n0", "get pods"), fits);
    let said = if fits { "True Resolved" } else { "False RoleNotAssignableHere" };
    assert_eq!(shell.says(Kind::SiteRole, "s0", "InheritsResolved"), said);
}

#[test]
fn roles_that_were_always_in_a_circle_inherit_nothing_of_it() {
    let roles = site_role("a", "Organization", &format!("inherits: [b], {PODS}"))
        + &site_role(
            "b",
            "Organization",
            "inherits: [a], rules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]",
        )
        + &site_role("c", "Organization", "inherits: [a]");
    let shell =
        given(&(START.to_owned() + &roles + &bind("x", "SiteRole", "a", "ada") + &bind("y", "SiteRole", "c", "bob")));
    for role in ["a", "b"] {
        assert_eq!(shell.says(Kind::SiteRole, role, "InheritsResolved"), "False InheritanceCycle");
    }
    assert_eq!(shell.says(Kind::SiteRole, "c", "InheritsResolved"), "True Resolved");
    assert!(shell.can("ada", "n0", "get pods") && !shell.can("ada", "n0", "get configmaps"));
    assert!(shell.can("bob", "n0", "get pods") && !shell.can("bob", "n0", "get configmaps"));
}

/// An edit of one role must neither revoke what another one grants, nor grant anything to its author.
#[rstest]
#[case::directly("b")]
#[case::by_way_of_another("c")]
fn what_was_in_force_before_a_circle_was_closed_stays(#[case] closes: &str) {
    let maps = "rules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]";
    let secrets = "rules: [{apiGroups: [apps], resources: [deployments], verbs: [get]}]";
    let role = |name: &str, rules: &str, inherits: &str| {
        custom_role(name, &format!("{rules}, inherits: [{{kind: CustomRole, name: {inherits}}}]"))
    };
    let roles = custom_role("c", secrets) + &role("b", maps, "c") + &role("a", PODS, "b");
    let users = bind("x", "CustomRole", "a", "ada") + &bind("y", "CustomRole", closes, "bob");
    let mut shell = given(&(START.to_owned() + &roles + &users));
    let ada = |shell: &Shell| {
        ["get pods", "get configmaps", "get apps/deployments"].map(|right| shell.can("ada", "n0", right))
    };
    assert_eq!(ada(&shell), [true, true, true]);
    let closed = if closes == "b" {
        custom_role("b", &format!("{maps}, inherits: [{{kind: CustomRole, name: a}}, {{kind: CustomRole, name: c}}]"))
    } else {
        role("c", secrets, "a")
    };
    shell.apply(&closed);
    assert_eq!(ada(&shell), [true, true, true], "nothing is lost by it");
    assert!(!shell.can("bob", "n0", "get pods"), "nothing is granted by it");
    assert_eq!(shell.says(Kind::CustomRole, closes, "InheritsResolved"), "False InheritanceCycle");
    assert_eq!(shell.says(Kind::CustomRole, "a", "InheritsResolved"), "True Resolved");
    // Removing a rule from a role of the cycle revokes it, whatever the record says.
    shell.apply(&custom_role("a", PODS));
    assert_eq!(ada(&shell), [true, false, false]);
    assert!(shell.can("bob", "n0", "get pods"), "there is no circle any more");
}

#[test]
fn inheritance_goes_as_deep_as_it_is_written() {
    let roles = site_role("s0", "Organization", PODS)
        + &site_role("s1", "Organization", "inherits: [s0]")
        + &custom_role("c1", "inherits: [{kind: SiteRole, name: s1}]")
        + &custom_role("c0", "inherits: [{kind: CustomRole, name: c1}]");
    let mut shell = given(&(START.to_owned() + &roles + &bind("b", "CustomRole", "c0", "ada")));
    assert!(shell.can("ada", "n0", "get pods"));
    shell.delete(Kind::SiteRole, "", "s0");
    assert!(!shell.can("ada", "n0", "get pods"));
    assert_eq!(shell.says(Kind::SiteRole, "s1", "InheritsResolved"), "False RoleNotFound");
    assert_eq!(shell.says(Kind::RoleBinding, "b", "RoleResolved"), "False RoleGrantsNothing");
}

#[test]
fn a_custom_role_never_reaches_beyond_its_namespace() {
    let roles = site_role(
        "s0",
        "Organization",
        &format!(
            "{PODS}, permissions: [{{resource: users, actions: [read]}}, {{resource: templates, actions: [read]}}]"
        ),
    ) + &custom_role(
        "c0",
        "inherits: [{kind: SiteRole, name: s0}], permissions: [{resource: users, actions: [read]}, {resource: templates, actions: [read]}]",
    );
    let mut shell = given(
        &(START.to_owned() + &roles + &bind("b", "CustomRole", "c0", "ada") + &bind("c", "SiteRole", "s0", "bob")),
    );
    assert_eq!(shell.says(Kind::CustomRole, "c0", "PermissionsResolved"), "False BeyondOrganization");
    for (place, right) in
        [("", "get bailiwick.dev/users"), ("release", "get configmaps:t0"), ("release", "get templates.dev/templates")]
    {
        assert!(!shell.can("ada", place, right), "{right}");
        assert!(shell.can("bob", place, right), "{right}");
    }
    assert!(shell.can("ada", "n0", "get pods"));
    shell.delete(Kind::RoleBinding, "n0", "c");
    assert!(!shell.can("bob", "", "get bailiwick.dev/users"), "the part beyond goes with the last binding");
}

/// Not even one that shares its name with a SiteRole that does.
#[rstest]
#[case("users", "", "get bailiwick.dev/users")]
#[case("templates", RELEASE, "get configmaps:t0")]
fn each_word_of_a_custom_role_ends_at_its_namespace(#[case] word: &str, #[case] place: &str, #[case] right: &str) {
    let permissions = format!("permissions: [{{resource: {word}, actions: [read]}}]");
    let roles = site_role("s0", "Site", &permissions) + &custom_role("s0", &format!("{permissions}, {PODS}"));
    let bindings = bind("b", "CustomRole", "s0", "ada") + &bind_site("t", "s0", "bob");
    let shell = given(&(START.to_owned() + &roles + &bindings));
    assert_eq!(shell.says(Kind::CustomRole, "s0", "PermissionsResolved"), "False BeyondOrganization");
    assert!(shell.can("ada", "n0", "get pods") && !shell.can("ada", place, right));
    assert!(shell.can("bob", place, right));
}

#[test]
fn a_site_only_role_is_refused_in_an_organization() {
    let roles = site_role("s0", "Site", READ) + &site_role("s1", "Organization", READ);
    let shell =
        given(&(START.to_owned() + &roles + &bind("b", "SiteRole", "s0", "ada") + &bind_site("t", "s1", "ada")));
    assert_eq!(shell.says(Kind::RoleBinding, "b", "Ready"), "False RoleNotAssignableHere");
    assert_eq!(shell.says(Kind::SiteRoleBinding, "t", "Ready"), "False RoleNotAssignableHere");
    assert!(!shell.can("ada", "n0", "get apps/deployments"));
}

#[test]
fn a_site_binding_reaches_every_held_namespace_and_no_other() {
    let roles =
        site_role("s0", "Site", &format!("{READ}, clusterRules: [{{nonResourceURLs: [/healthz], verbs: [get]}}]"));
    let shell = given(
        &(START.to_owned()
            + "{kind: Organization, metadata: {name: p}, spec: {namespace: n1, memberRole: ''}}\n---\n"
            + &roles
            + &bind_site("t", "s0", "ada")),
    );
    assert!(shell.can("ada", "n0", "get apps/deployments") && shell.can("ada", "n1", "get apps/deployments"));
    assert!(!shell.can("ada", "n2", "get apps/deployments") && !shell.can("ada", "release", "get apps/deployments"));
    assert!(shell.can("ada", "", "get /healthz") && !shell.can("bob", "", "get /healthz"));
}

#[test]
fn what_is_beyond_the_ceiling_is_withheld_and_the_rest_is_granted() {
    let role = custom_role(
        "c0",
        "rules: [{apiGroups: [''], resources: [pods, secrets], verbs: [get]}, {apiGroups: [''], resources: [secrets], resourceNames: [one], verbs: [get]}]",
    );
    let mut shell = given(&(START.to_owned() + &role + &bind("b", "CustomRole", "c0", "ada")));
    assert!(shell.can("ada", "n0", "get pods") && !shell.can("ada", "n0", "get secrets"));
    assert_eq!(shell.says(Kind::CustomRole, "c0", "Ceiling"), "False BeyondCeiling");
    shell.play(&[Op::Ceiling(Kind::Ceiling, None)]);
    assert!(!shell.can("ada", "n0", "get pods"));
    assert_eq!(shell.says(Kind::CustomRole, "c0", "Ceiling"), "False CeilingUnknown");
    assert_eq!(shell.says(Kind::RoleBinding, "b", "RoleResolved"), "False RoleGrantsNothing");
}

/// Beside the operator, an organization gets less than elsewhere: through its own roles, the site's, and those that
/// inherit.
#[test]
fn in_the_release_namespace_another_ceiling_holds() {
    let pods = "rules: [{apiGroups: [''], resources: [pods, configmaps], verbs: [get, create]}]";
    let site = format!(
        "{{kind: SiteRole, metadata: {{name: s0}}, spec: {{assignableTo: [Organization, Site], {pods}}}}}\n---\n"
    );
    let mut everything = START.to_owned() + &site + &bind_site("t", "s0", "cyd");
    everything += "{kind: User, metadata: {name: cyd}, spec: {username: cyd}}\n---\n";
    everything += "{kind: Organization, metadata: {name: home}, spec: {namespace: release, memberRole: ''}}\n---\n";
    for (space, role) in [("n0", "c0"), (RELEASE, "c1")] {
        let own = custom_role(role, pods) + &custom_role(&format!("{role}b"), "inherits: [{kind: SiteRole, name: s0}]");
        let bound = bind(role, "CustomRole", role, "ada")
            + &bind(&format!("{role}b"), "CustomRole", &format!("{role}b"), "bob");
        everything += &(own + &bound).replace("namespace: n0", &format!("namespace: {space}"));
    }
    let mut shell = given(&everything);
    let can = |shell: &Shell, space| ["ada", "bob", "cyd"].map(|who| shell.can(who, space, "create configmaps"));
    // An older chart has no such ceiling.
    assert_eq!((can(&shell, "n0"), can(&shell, RELEASE)), ([true; 3], [true; 3]));
    shell.play(&[Op::Ceiling(Kind::CeilingHome, Some(true))]);
    assert_eq!((can(&shell, "n0"), can(&shell, RELEASE)), ([true; 3], [false; 3]));
    assert!(["ada", "bob", "cyd"].iter().all(|who| shell.can(who, RELEASE, "create pods")));
    assert_eq!(shell.says(Kind::CustomRole, "c1", "Ceiling"), "False BeyondCeiling");
    assert_eq!(shell.says(Kind::CustomRole, "c0", "Ceiling"), "True Within");
    assert_eq!(shell.says(Kind::SiteRole, "s0", "Ceiling"), "True Within");
    shell.play(&[Op::Ceiling(Kind::CeilingHome, Some(false))]);
    assert!(!shell.can("ada", RELEASE, "create pods") && shell.can("cyd", RELEASE, "get pods"));
}

/// Known and harmless: a right for every object that is beyond the ceiling hides the same right for one object that is
/// within it. This grants less than it could, never more.
#[test]
fn a_right_for_all_that_is_withheld_takes_the_right_for_one_with_it() {
    let one = "{apiGroups: [''], resources: [secrets], resourceNames: [one], verbs: [get]}";
    let all = "{apiGroups: [''], resources: [secrets], verbs: [get]}";
    let shell = given(
        &(START.to_owned() + &custom_role("c0", &format!("rules: [{one}]")) + &bind("b", "CustomRole", "c0", "ada")),
    );
    assert!(shell.can("ada", "n0", "get secrets:one"));
    let shell = given(
        &(START.to_owned()
            + &custom_role("c0", &format!("rules: [{one}, {all}]"))
            + &bind("b", "CustomRole", "c0", "ada")),
    );
    assert!(!shell.can("ada", "n0", "get secrets:one"));
}

#[test]
fn own_scope_without_reading_is_withheld_and_never_widened() {
    let role = custom_role("c0", "permissions: [{resource: workspaces, actions: [read, delete], scope: Own}]");
    let shell = given(&(START.to_owned() + &role + &bind("b", "CustomRole", "c0", "ada")));
    assert!(shell.all.desired().is_empty());
    assert_eq!(shell.says(Kind::CustomRole, "c0", "PermissionsResolved"), "False OwnScopeNotEnabled");
    assert_eq!(shell.says(Kind::CustomRole, "c0", "Ready"), "True Reconciled");
}

#[rstest]
#[case::own_rights("permissions: [{resource: workspaces, actions: [read], scope: Own}]", "OwnScopeNotEnabled", 0)]
#[case::a_word_without_a_rule("permissions: [{resource: nothing, actions: [read]}]", "EmptyResource", 0)]
#[case::no_such_word("permissions: [{resource: workspace, actions: [read]}]", "UnknownResource", 1)]
fn what_does_not_exist_here_is_named_and_not_counted(#[case] spec: &str, #[case] reason: &str, #[case] withheld: u32) {
    let role = |kind: &str, more: &str| {
        format!("{{kind: {kind}, metadata: {{{more}}}, spec: {{assignableTo: [Site], {spec}}}}}")
    };
    let yaml = [START, &role("SiteRole", "name: s"), "---\n", &custom_role("c0", spec)].join("\n");
    let shell = given(&yaml);
    for (kind, name) in [(Kind::SiteRole, "s"), (Kind::CustomRole, "c0")] {
        assert_eq!(shell.says(kind, name, "PermissionsResolved"), format!("False {reason}"));
        let message = shell.condition(kind, name, "PermissionsResolved").message.to_string();
        assert!(message.contains("permissions[0] ("), "{message}");
        let counted = match &shell.draft(kind, name).status {
            Status::SiteRole(status) => status.withheld,
            Status::Role(status) => status.withheld,
            other => panic!("{other:?}"),
        };
        assert_eq!(counted, withheld, "{name}");
    }
    let Status::Organization(status) = &shell.draft(Kind::Organization, "o").status else { panic!() };
    assert_eq!(status.withheld, withheld);
}

/// A role is privileged when one that it inherits is.
#[rstest]
#[case::says_so("privileged: true", "privileged: false", true)]
#[case::inherits_one_that_says_so("privileged: false", "privileged: true", true)]
#[case::neither("privileged: false", "privileged: false", false)]
fn privilege_is_inherited(#[case] own: &str, #[case] inherited: &str, #[case] privileged: bool) {
    let roles = custom_role("c1", &format!("{inherited}, {PODS}"))
        + &custom_role("c0", &format!("{own}, {PODS}, inherits: [{{kind: CustomRole, name: c1}}]"));
    let group = "{kind: Group, metadata: {name: g, namespace: n0}, spec: {members: [ada]}}\n---\n";
    let binding = "{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: CustomRole, name: c0}, subjects: [{kind: Group, name: g}]}}";
    let shell = given(&(START.to_owned() + &roles + group + binding));
    let bailiwick::core::conditions::Status::Group(status) = &shell.draft(Kind::Group, "g").status else { panic!() };
    assert_eq!((status.privileged, status.roles.as_slice()), (privileged, &["CustomRole/c0".to_owned()][..]));
    // A privileged binding that is older than its Group does not count, unless it is written again.
    let mut shell = given(&(START.to_owned() + &roles + binding));
    shell.apply(group);
    assert_eq!(shell.can("ada", "n0", "get pods"), !privileged);
    let said = if privileged { "False GroupNotVouched" } else { "True Resolved" };
    assert_eq!(shell.says(Kind::RoleBinding, "b", "SubjectsResolved"), said);
    shell.apply(&binding.replace("subjects: [", "subjects: [{kind: User, name: bob}, "));
    assert!(shell.can("ada", "n0", "get pods"));
}

/// Its members get the role when the organization returns, so changing them still requires `bind`.
#[rstest]
#[case::a_privileged_site_role("SiteRole", "s0", true)]
#[case::another_site_role("SiteRole", "s1", false)]
#[case::a_privileged_custom_role("CustomRole", "c0", true)]
#[case::one_that_inherits("CustomRole", "c1", true)]
#[case::another_custom_role("CustomRole", "c2", false)]
#[case::one_that_is_not_there("CustomRole", "c3", true)]
fn a_group_stays_privileged_while_no_organization_holds_the_namespace(
    #[case] kind: &str,
    #[case] role: &str,
    #[case] privileged: bool,
) {
    let cache = START.to_owned()
        + &site_role("s0", "Organization", &format!("privileged: true, {PODS}"))
        + &site_role("s1", "Organization", &format!("privileged: false, {PODS}"))
        + &custom_role("c0", &format!("privileged: true, {PODS}"))
        + &custom_role("c1", &format!("privileged: false, {PODS}, inherits: [{{kind: CustomRole, name: c0}}]"))
        + &custom_role("c2", &format!("privileged: false, {PODS}"))
        + "{kind: Group, metadata: {name: g, namespace: n0}, spec: {members: [ada]}}\n---\n"
        + &format!(
            "{{kind: RoleBinding, metadata: {{name: b, namespace: n0}}, spec: {{roleRef: {{kind: {kind}, name: {role}}}, subjects: [{{kind: Group, name: g}}]}}}}"
        );
    let mut shell = given(&cache);
    let says = |shell: &Shell| match &shell.draft(Kind::Group, "g").status {
        bailiwick::core::conditions::Status::Group(status) => status.privileged,
        _ => panic!(),
    };
    assert_eq!(says(&shell), privileged);
    shell.play(&[Op::Bounds(vec![RELEASE], false)]);
    assert_eq!(shell.says(Kind::Group, "g", "Ready"), "False NoOrganization");
    assert_eq!(says(&shell), privileged);
}

/// A note on the Group counts only if a policy protects it.
#[rstest]
#[case(true, true)]
#[case(false, false)]
fn a_vouched_group_counts_where_groups_are_vouched_for(#[case] policy: bool, #[case] counts: bool) {
    let binding = "{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: CustomRole, name: c0}, subjects: [{kind: Group, name: g}]}}\n---\n";
    let group = "{kind: Group, metadata: {name: g, namespace: n0, annotations: {bailiwick.dev/vouched: 'true'}}, spec: {members: [ada]}}";
    let mut shell = Shell::new();
    shell.play(&[Op::Bounds(vec!["n0"], policy)]);
    shell.apply(&(START.to_owned() + &custom_role("c0", PODS) + binding + group));
    assert_eq!(shell.can("ada", "n0", "get pods"), counts);
}

#[test]
fn a_role_with_one_holder_goes_to_the_oldest_binding_and_stays_with_its_holder() {
    let role =
        site_role("s0", "Site", "singleHolder: true, clusterRules: [{nonResourceURLs: [/healthz], verbs: [get]}]");
    let mut shell = given(&(START.to_owned() + &role + &bind_site("t1", "s0", "ada") + &bind_site("t0", "s0", "bob")));
    let holds = |shell: &Shell| (shell.can("ada", "", "get /healthz"), shell.can("bob", "", "get /healthz"));
    assert_eq!(holds(&shell), (true, false));
    assert_eq!(shell.says(Kind::SiteRoleBinding, "t0", "SubjectsResolved"), "False HeldByAnother");
    // A suspended holder loses the role, and does not get it back from its next holder.
    shell.apply("{kind: User, metadata: {name: ada}, spec: {suspended: true}}");
    assert_eq!(holds(&shell), (false, true));
    shell.apply("{kind: User, metadata: {name: ada}, spec: {suspended: false}}");
    assert_eq!(holds(&shell), (false, true));
    shell.delete(Kind::SiteRoleBinding, "", "t0");
    assert_eq!(holds(&shell), (true, false));
}

/// Each organization would have its own holder.
#[test]
fn a_role_with_one_holder_is_the_sites_to_assign() {
    let role = site_role("s0", "Site, Organization", &format!("singleHolder: true, {PODS}"));
    let mut shell = given(&(START.to_owned() + &role + &bind("b", "SiteRole", "s0", "ada")));
    assert!(!shell.can("ada", "n0", "get pods"));
    assert_eq!(shell.says(Kind::RoleBinding, "b", "RoleResolved"), "False RoleNotAssignableHere");
    shell.apply(&bind_site("t", "s0", "ada"));
    assert!(shell.can("ada", "n0", "get pods"));
}

/// Found by `a_subject_is_granted_or_withheld_once`.
#[test]
fn a_subject_of_a_role_with_one_holder_is_withheld_for_one_reason() {
    let role = site_role("s0", "Site", &format!("singleHolder: true, {READ}"));
    let binding = "{kind: SiteRoleBinding, metadata: {name: t}, spec: {roleRef: {name: s0}, subjects: [{kind: ServiceAccount, name: ci}, {kind: User, name: ada}, {kind: User, name: ada}, {kind: User, name: ghost}, {kind: ExternalGroup, name: 'oidc:all'}]}}";
    let shell = given(&(START.to_owned() + &role + binding));
    let bailiwick::core::conditions::Status::Binding(status) = &shell.draft(Kind::SiteRoleBinding, "t").status else {
        panic!()
    };
    assert_eq!((status.grants, status.withheld), (1, 4));
}

/// Found by `nothing_is_missed_by_deciding_only_what_is_affected`.
#[test]
fn an_organization_that_holds_nothing_learns_that_its_member_role_is_there() {
    let mut shell = given("{kind: Organization, metadata: {name: o}, spec: {namespace: n2, memberRole: s0}}");
    assert_eq!(shell.says(Kind::Organization, "o", "MemberRoleResolved"), "False RoleNotFound");
    shell.apply(&site_role("s0", "Organization", &format!("privileged: false, {READ}")));
    assert_eq!(shell.says(Kind::Organization, "o", "MemberRoleResolved"), "True Resolved");
}

/// A known word without an action names the actions that it has; the other requested actions count.
#[rstest]
#[case::only_that(&["use"], false)]
#[case::among_others(&["read", "use"], true)]
fn an_action_that_a_word_does_not_have_is_named(#[case] actions: &[&str], #[case] can: bool) {
    let role = |kind: &str, more: &str| {
        let actions = actions.join(", ");
        format!(
            "{{kind: {kind}, metadata: {{{more}}}, spec: {{assignableTo: [Site], permissions: [{{resource: users, actions: [{actions}]}}]}}}}\n---\n"
        )
    };
    let shell = given(&(START.to_owned() + &role("SiteRole", "name: s") + &bind_site("b", "s", "ada")));
    assert_eq!(shell.can("ada", "", "get bailiwick.dev/users"), can);
    assert_eq!(shell.says(Kind::SiteRole, "s", "PermissionsResolved"), "False UnsupportedAction");
    let message = shell.condition(Kind::SiteRole, "s", "PermissionsResolved").message.to_string();
    let named = "permissions[0] (users) [no action use; its actions are create, read, list, update, delete]";
    assert!(message.contains(named), "{message}");
}

/// Nobody holds a role that grants nothing.
#[test]
fn a_binding_to_a_role_that_grants_nothing_counts_no_grants() {
    let nothing = "permissions: [{resource: nothing, actions: [read]}]";
    let yaml = START.to_owned()
        + &site_role("s", "Site, Organization", nothing)
        + &custom_role("c", nothing)
        + &bind_site("site", "s", "ada")
        + &bind("of-site", "SiteRole", "s", "ada")
        + &bind("custom", "CustomRole", "c", "ada");
    let shell = given(&yaml);
    for (kind, name) in [(Kind::SiteRoleBinding, "site"), (Kind::RoleBinding, "of-site"), (Kind::RoleBinding, "custom")]
    {
        let Status::Binding(status) = &shell.draft(kind, name).status else { panic!() };
        assert_eq!(status.grants, 0, "{name}");
        assert_eq!(shell.says(kind, name, "Ready"), "False RoleGrantsNothing", "{name}");
    }
}
