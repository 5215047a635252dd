//! Rights on own objects: `patch` and `delete` on the type together with the marker, and only while admission policies
//! limit holders of the marker to their own objects.

use bailiwick::core::own_objects::Ownership;
use bailiwick::core::policies::{Policies, parse};
use rstest::rstest;

use crate::build::given;
use crate::fake::{Kind, Op};
use crate::shell::Shell;

const START: &str = "
{kind: Organization, metadata: {name: o}, spec: {namespace: n0, memberRole: ''}}
---
{kind: User, metadata: {name: ada}}
";

/// Ada holds a role with these permissions in namespace n0.
fn ada_holds(permissions: &str) -> Shell {
    given(&format!(
        "{START}---
{{kind: CustomRole, metadata: {{name: c0, namespace: n0}}, spec: {{permissions: [{permissions}]}}}}
---
{{kind: RoleBinding, metadata: {{name: b, namespace: n0}}, spec: {{roleRef: {{kind: CustomRole, name: c0}}, subjects: [{{kind: User, name: ada}}]}}}}"
    ))
}

const READ: &str = "{resource: workspaces, actions: [read]}";
const OWN: &str = "{resource: workspaces, actions: [update, delete, use], scope: Own}";
const MARKER: &str = "own bailiwick.dev/ownobjects";

#[test]
fn own_rights_are_patch_and_delete_with_the_marker() {
    let shell = ada_holds(&format!("{READ}, {OWN}"));
    for what in ["patch apps/deployments", "delete apps/deployments", "patch pods", "delete pods", MARKER] {
        assert!(shell.can("ada", "n0", what), "{what}");
    }
    for what in [
        "update apps/deployments",
        "deletecollection apps/deployments",
        "create apps/deployments",
        "create pods/exec",
        "transfer bailiwick.dev/ownobjects",
    ] {
        assert!(!shell.can("ada", "n0", what), "{what}");
    }
    assert!(!shell.can("ada", "n1", MARKER));
}

/// The answer to a patch that fails shows the object to somebody who may not read it.
#[test]
fn nothing_is_granted_on_types_that_the_role_may_not_read() {
    let shell = ada_holds(OWN);
    assert!(!shell.can("ada", "n0", "patch pods"));
    assert!(!shell.can("ada", "n0", MARKER));
    assert_eq!(shell.says(Kind::CustomRole, "c0", "PermissionsResolved"), "False OwnScopeNotEnabled");
}

#[test]
fn what_is_missing_is_named() {
    // The API group metrics is no kind of objects that people create.
    let shell = ada_holds("{resource: workspaces, actions: [read], scope: Own}");
    let message = shell.condition(Kind::CustomRole, "c0", "PermissionsResolved").message.to_string();
    assert!(message.contains("permissions[0] (workspaces) [read pods]"), "{message}");
}

/// Admission cannot see who owns the Pod that somebody enters.
#[test]
fn entering_is_granted_by_name() {
    let mut shell = ada_holds(&format!("{READ}, {OWN}"));
    shell.play(&[Op::Own("n0", "p0", Some("ada")), Op::Own("n0", "p1", Some("bob")), Op::Own("n1", "p2", Some("ada"))]);
    shell.check();
    for what in ["get pods/exec:p0", "create pods/exec:p0"] {
        assert!(shell.can("ada", "n0", what), "{what}");
    }
    for what in ["create pods/exec:p1", "create pods/exec", "create pods/exec:p2"] {
        assert!(!shell.can("ada", "n0", what), "{what}");
    }
    assert!(!shell.can("ada", "n1", "create pods/exec:p2"), "no role there");
    assert!(!shell.can("bob", "n0", "create pods/exec:p1"), "an owner without a role");
    // It changes hands, or is gone.
    shell.play(&[Op::Own("n0", "p0", Some("bob")), Op::Own("n0", "p1", None)]);
    shell.check();
    assert!(!shell.can("ada", "n0", "create pods/exec:p0"));
    assert!(shell.all.desired().keys().all(|key| !key.name.starts_with("bailiwick:own:")));
}

#[test]
fn where_reading_is_own_changing_is_by_name_too() {
    let mut shell = ada_holds("{resource: workspaces, actions: [read, update, delete], scope: Own}");
    shell.play(&[Op::Own("n0", "p0", Some("ada"))]);
    shell.check();
    for what in ["get pods:p0", "list pods:p0", "patch pods:p0", "delete pods:p0", MARKER] {
        assert!(shell.can("ada", "n0", what), "{what}");
    }
    // A right to `update` would show admission a right on all objects.
    for what in ["update pods:p0", "patch pods", "get pods:p1"] {
        assert!(!shell.can("ada", "n0", what), "{what}");
    }
}

#[test]
fn many_names_are_split_and_stay_so() {
    let mut shell = ada_holds(&format!("{READ}, {OWN}"));
    let pods: Vec<&'static str> = (0..400).map(|n| &*Box::leak(format!("p{n}").into_boxed_str())).collect();
    shell.play(&pods.iter().map(|pod| Op::Own("n0", pod, Some("ada"))).collect::<Vec<_>>());
    shell.check();
    let roles = |shell: &Shell| shell.all.desired().keys().filter(|k| k.name.starts_with("bailiwick:own:")).count() / 2;
    assert_eq!(roles(&shell), 2);
    assert!(pods.iter().all(|pod| shell.can("ada", "n0", &format!("create pods/exec:{pod}"))));
}

#[test]
fn own_rights_end_when_a_policy_is_missing_and_return_with_it() {
    let mut shell = ada_holds(&format!("{READ}, {OWN}"));
    shell.play(&[Op::Own("n0", "p0", Some("ada")), Op::Ownership(false)]);
    shell.check();
    for what in ["patch pods", "delete apps/deployments", "create pods/exec:p0", MARKER] {
        assert!(!shell.can("ada", "n0", what), "{what}");
    }
    assert!(shell.can("ada", "n0", "get pods"), "other rights stay");
    assert_eq!(shell.says(Kind::CustomRole, "c0", "PermissionsResolved"), "False OwnershipNotEnforced");
    assert_eq!(shell.says(Kind::CustomRole, "c0", "Ready"), "False PartlyWithheld");
    shell.play(&[Op::Ownership(true)]);
    shell.check();
    assert!(shell.can("ada", "n0", "patch pods"));
}

/// A chart of an earlier version has no marker in its ceiling. Without it, the rights would reach all objects.
#[test]
fn without_the_marker_nothing_is_granted() {
    let mut shell = ada_holds(&format!("{READ}, {OWN}"));
    shell.play(&[Op::Ceiling(Kind::Ceiling, Some(false))]);
    shell.check();
    assert!(!shell.can("ada", "n0", "patch pods"));
    assert_eq!(shell.says(Kind::CustomRole, "c0", "Ceiling"), "False BeyondCeiling");
}

#[test]
fn a_role_inherits_own_rights_with_their_marker() {
    let mut shell = ada_holds(&format!("{READ}, {OWN}"));
    shell.apply(
        "{kind: CustomRole, metadata: {name: c1, namespace: n0}, spec: {inherits: [{kind: CustomRole, name: c0}]}}
---
{kind: User, metadata: {name: bob}}
---
{kind: RoleBinding, metadata: {name: b1, namespace: n0}, spec: {roleRef: {kind: CustomRole, name: c1}, subjects: [{kind: User, name: bob}]}}",
    );
    assert!(shell.can("bob", "n0", "patch pods"));
    assert!(shell.can("bob", "n0", MARKER));
}

#[test]
fn names_limit_own_rights_too() {
    let own = "{resource: workspaces, actions: [update], scope: Own, names: [web]}";
    let shell = ada_holds(&format!("{READ}, {own}"));
    assert!(shell.can("ada", "n0", "patch pods:web"));
    assert!(!shell.can("ada", "n0", "patch pods"));
}

/// Whoever may list all users sees each of them whole, so `get` adds nothing.
#[rstest]
#[case::with_list("{resource: users, actions: [list]}, {resource: users, actions: [read, update], scope: Own}", true)]
#[case::without("{resource: users, actions: [read, update], scope: Own}", false)]
fn people_may_change_their_own_user_where_they_may_list_users(#[case] permissions: &str, #[case] granted: bool) {
    let shell = given(&format!(
        "{START}---
{{kind: SiteRole, metadata: {{name: s}}, spec: {{assignableTo: [Site], permissions: [{permissions}]}}}}
---
{{kind: SiteRoleBinding, metadata: {{name: b}}, spec: {{roleRef: {{name: s}}, subjects: [{{kind: User, name: ada}}]}}}}"
    ));
    for what in ["get bailiwick.dev/users", "patch bailiwick.dev/users", "own bailiwick.dev/users"] {
        assert_eq!(shell.can("ada", "", what), granted, "{what}");
    }
    for what in ["update bailiwick.dev/users", "delete bailiwick.dev/users"] {
        assert!(!shell.can("ada", "", what), "{what}");
    }
}

/// The two central policies, for these resources of the group apps; `spec` also has this note.
fn policies(resources: &str, note: &str) -> Policies {
    let policy = |kind: &str, name: &str| {
        format!(
            "apiVersion: admissionregistration.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}}}\n\
             spec: {{note: {note}, matchConstraints: {{resourceRules: [{{apiGroups: [apps], resources: [{resources}]}}]}}}}\n---\n"
        )
    };
    let all = [
        ("MutatingAdmissionPolicy", "bailiwick-owner"),
        ("ValidatingAdmissionPolicy", "bailiwick-own-fence"),
        ("ValidatingAdmissionPolicyBinding", "bailiwick-own-fence"),
        ("ValidatingAdmissionPolicy", "bailiwick-namespace-claims"),
        ("ValidatingAdmissionPolicy", "bailiwick-suspending"),
    ];
    parse(&all.map(|(kind, name)| policy(kind, name)).concat()).unwrap()
}

fn enforced(resources: &[&str]) -> Ownership {
    Ownership::Enforced(resources.iter().map(|resource| ("apps".into(), (*resource).into())).collect())
}

/// Takes a policy of this name out.
fn without(mut policies: Policies, kind: &str, name: &str) -> Policies {
    assert!(policies.remove(&(kind.to_owned(), name.to_owned())).is_some());
    policies
}

#[rstest]
#[case::the_fence("ValidatingAdmissionPolicy", "bailiwick-own-fence", false)]
#[case::its_binding("ValidatingAdmissionPolicyBinding", "bailiwick-own-fence", false)]
#[case::the_record_of_owners("MutatingAdmissionPolicy", "bailiwick-owner", false)]
#[case::what_protects_the_label_of_namespaces("ValidatingAdmissionPolicy", "bailiwick-namespace-claims", false)]
#[case::another_policy("ValidatingAdmissionPolicy", "bailiwick-suspending", true)]
fn ownership_depends_on_each_policy_about_it(#[case] kind: &str, #[case] name: &str, #[case] is_enforced: bool) {
    let expected = policies("deployments, statefulsets", "a");
    let all = Ownership::new(&expected, &Policies::new(), &expected);
    assert_eq!(all, enforced(&["deployments", "statefulsets"]));
    let live = without(expected.clone(), kind, name);
    let without_one = Ownership::new(&expected, &expected, &live);
    assert_eq!(without_one, if is_enforced { all } else { Ownership::NotEnforced });
}

#[test]
fn a_changed_policy_does_not_enforce_ownership() {
    let (expected, changed) = (policies("deployments", "a"), policies("deployments", "b"));
    assert_eq!(Ownership::new(&expected, &expected, &changed), Ownership::NotEnforced);
}

/// Helm replaces the policies one after the other, after it has changed what the operator expects.
#[test]
fn during_an_upgrade_what_both_policies_cover_stays_enforced() {
    let (old, new) = (policies("deployments", "a"), policies("deployments, jobs", "b"));
    assert_eq!(Ownership::new(&new, &old, &old), enforced(&["deployments"]));
    let mut half = old.clone();
    let fence = ("ValidatingAdmissionPolicy".to_owned(), "bailiwick-own-fence".to_owned());
    half.insert(fence.clone(), new[&fence].clone());
    assert_eq!(Ownership::new(&new, &old, &half), enforced(&["deployments"]));
    assert_eq!(Ownership::new(&new, &old, &new), enforced(&["deployments", "jobs"]));
    // Nothing is known of before this process.
    assert_eq!(Ownership::new(&new, &Policies::new(), &half), Ownership::NotEnforced);
}

/// API servers evaluate a policy some time after it is there.
#[test]
fn ownership_grows_only_to_what_it_was() {
    let all = enforced(&["deployments", "jobs"]);
    let less = enforced(&["deployments"]);
    assert_eq!(all.clone().within(&less), (less.clone(), true));
    assert_eq!(all.clone().within(&Ownership::NotEnforced), (Ownership::NotEnforced, true));
    assert_eq!(less.clone().within(&all), (less, false));
    assert_eq!(Ownership::NotEnforced.within(&all), (Ownership::NotEnforced, false));
    assert_eq!(Ownership::NotInstalled.within(&all), (Ownership::NotInstalled, false));
}

#[test]
fn without_the_policies_in_the_chart_nothing_is_enforced() {
    let expected = without(policies("deployments", "a"), "MutatingAdmissionPolicy", "bailiwick-owner");
    assert_eq!(Ownership::new(&expected, &expected, &expected), Ownership::NotInstalled);
}
