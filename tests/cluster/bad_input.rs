//! Bad input gets an error, or a condition that names the object and the field. It grants nothing, and ends no existing
//! grant.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::manifests::{self, binding, custom_role, group, organization, site_binding, site_role, users};
use crate::support::{Cluster, Question, outcome, text, with_input};

const VALUES: &str = "
namespaceWhitelist: [alpha, beta, gamma, vacant]
defaultOrganization: {create: false}
config: {users: {joinDefaultOrganization: false}}
";

/// Grants that have to stay.
fn world() -> String {
    [
        organization("alpha", "{namespace: alpha, default: true}"),
        organization("beta", "{namespace: beta}"),
        users(&["ada", "bob", "eve"]),
        custom_role("alpha", "lead", "{permissions: [{resource: templates, actions: [read, delete]}]}"),
        custom_role(
            "alpha",
            "senior",
            "{inherits: [{kind: CustomRole, name: lead}], permissions: [{resource: provisioners, actions: [read]}]}",
        ),
        binding("alpha", "leads", "CustomRole/lead", &["ada"]),
        binding("alpha", "seniors", "CustomRole/senior", &["bob"]),
        group("beta", "team", &["bob"]),
        site_binding("auditors", "auditor", &["eve"]),
    ]
    .concat()
}

fn what_the_world_grants(cluster: &Cluster) {
    cluster.answers(&[
        (Question::of("ada@example.com", "alpha"), "delete podtemplates".into(), true),
        (Question::of("ada@example.com", "alpha"), "create pods".into(), true),
        (Question::of("bob@example.com", "alpha"), "delete podtemplates".into(), true),
        (Question::of("bob@example.com", "alpha"), "get jobs.batch".into(), true),
        (Question::of("bob@example.com", "beta"), "create pods".into(), true),
        (Question::of("eve@example.com", "beta"), "list events".into(), true),
        (Question::of("eve@example.com", "beta"), "list pods".into(), false),
        (Question::of("ada@example.com", "alpha"), "get secrets".into(), false),
    ]);
}

/// Input that requests something and does not get it.
struct Withheld {
    yaml: String,
    object: [&'static str; 4],
    condition: &'static str,
    reason: &'static str,
    /// The message has to contain these.
    names: &'static [&'static str],
}

fn withheld(
    yaml: impl Into<String>,
    object: &'static str,
    because: &'static str,
    names: &'static [&'static str],
) -> Withheld {
    let (condition, reason) = because.split_once(": ").unwrap();
    let parts: Vec<&str> = object.split('/').collect();
    let object = match parts[..] {
        [namespace, kind, name] => ["--namespace", namespace, kind, name],
        [kind, name] => ["--namespace", "default", kind, name],
        _ => panic!("{object}"),
    };
    Withheld { yaml: yaml.into(), object, condition, reason, names }
}

/// The role `r` in `alpha` and a binding, so that its rules are granted to somebody who is a member already.
fn role_and_binding(spec: &str) -> String {
    custom_role("alpha", "r", spec) + &binding("alpha", "rs", "CustomRole/r", &["ada", "ServiceAccount/ci"])
}

fn site_role_and_binding(spec: &str) -> String {
    site_role("r", spec) + &site_binding("rs", "r", &["bob", "ExternalGroup/oidc:all"])
}

fn everything_that_is_withheld() -> Vec<Withheld> {
    const ROLE: &str = "alpha/customroles.bailiwick.dev/r";
    const BINDING: &str = "alpha/rolebindings.bailiwick.dev/b";
    const SITE_ROLE: &str = "siteroles.bailiwick.dev/r";
    const SITE_BINDING: &str = "siterolebindings.bailiwick.dev/b";
    let loops = |to: &str| format!("{{inherits: [{{kind: CustomRole, name: {to}}}]}}");
    // The one that closes the cycle comes last: roles that were in force before stay.
    let circle = custom_role("alpha", "r2", &loops("r3"))
        + &custom_role("alpha", "r3", &loops("r"))
        + &role_and_binding(&loops("r2"));
    let site_loop = |to: &str| format!("{{assignableTo: [Site], inherits: [{to}]}}");
    let site_circle = site_role_and_binding(&site_loop("r2")) + &site_role("r2", &site_loop("r"));
    let rules = |rule: &str| role_and_binding(&format!("{{rules: [{rule}]}}"));
    let site_rules = |rules: &str| site_role_and_binding(&format!("{{assignableTo: [Site], {rules}}}"));
    vec![
        // Unknown roles, users, groups, namespaces.
        withheld(
            binding("alpha", "b", "CustomRole/nope", &["eve"]),
            BINDING,
            "RoleResolved: RoleNotFound",
            &["CustomRole \"nope\""],
        ),
        withheld(
            binding("alpha", "b", "SiteRole/nope", &["eve"]),
            BINDING,
            "RoleResolved: RoleNotFound",
            &["SiteRole \"nope\""],
        ),
        withheld(
            binding("beta", "b", "CustomRole/lead", &["eve"]),
            "beta/rolebindings.bailiwick.dev/b",
            "RoleResolved: RoleNotFound",
            &["CustomRole \"lead\""],
        ),
        withheld(
            site_binding("b", "nope", &["bob"]),
            SITE_BINDING,
            "RoleResolved: RoleNotFound",
            &["SiteRole \"nope\""],
        ),
        withheld(
            binding("alpha", "b", "CustomRole/lead", &["ghost"]),
            BINDING,
            "SubjectsResolved: UserNotFound",
            &["subjects[0]", "ghost@example.com"],
        ),
        // A person is their username, not the name of their User object.
        withheld(
            binding("alpha", "b", "CustomRole/lead", &["User/eve"]),
            BINDING,
            "SubjectsResolved: UserNotFound",
            &["subjects[0]", "eve"],
        ),
        withheld(
            binding("alpha", "b", "CustomRole/lead", &["User/Eve@example.com"]),
            BINDING,
            "SubjectsResolved: UserNotFound",
            &["Eve@"],
        ),
        withheld(
            binding("alpha", "b", "CustomRole/lead", &["Group/ghosts"]),
            BINDING,
            "SubjectsResolved: GroupNotFound",
            &["subjects[0]", "ghosts"],
        ),
        // Another organization's Group does not exist here.
        withheld(
            binding("alpha", "b", "CustomRole/lead", &["Group/team"]),
            BINDING,
            "SubjectsResolved: GroupNotFound",
            &["subjects[0]", "team"],
        ),
        withheld(
            site_binding("b", "auditor", &["ghost"]),
            SITE_BINDING,
            "SubjectsResolved: UserNotFound",
            &["subjects[0]", "ghost@example.com"],
        ),
        withheld(
            group("alpha", "ghosts", &["ghost"]),
            "alpha/groups.bailiwick.dev/ghosts",
            "MembersKnown: UserNotFound",
            &["members[0]", "ghost@example.com"],
        ),
        withheld(
            organization("o", "{namespace: default}"),
            "organizations.bailiwick.dev/o",
            "NamespaceAssigned: NotWhitelisted",
            &["default"],
        ),
        withheld(
            organization("o", "{namespace: not-there}"),
            "organizations.bailiwick.dev/o",
            "NamespaceAssigned: NotWhitelisted",
            &["not-there"],
        ),
        withheld(
            organization("o", "{namespace: alpha}"),
            "organizations.bailiwick.dev/o",
            "NamespaceAssigned: AlreadyClaimed",
            &["alpha"],
        ),
        withheld(
            binding("vacant", "b", "SiteRole/organization-manager", &["eve"]),
            "vacant/rolebindings.bailiwick.dev/b",
            "Ready: NoOrganization",
            &["vacant"],
        ),
        withheld(
            binding("default", "b", "SiteRole/organization-manager", &["eve"]),
            "default/rolebindings.bailiwick.dev/b",
            "Ready: NoOrganization",
            &["default"],
        ),
        // Roles in the wrong place.
        withheld(
            binding("alpha", "b", "SiteRole/site-admin", &["eve"]),
            BINDING,
            "RoleResolved: RoleNotAssignableHere",
            &["site-admin"],
        ),
        withheld(
            binding("alpha", "b", "SiteRole/owner", &["eve"]),
            BINDING,
            "RoleResolved: RoleNotAssignableHere",
            &["owner"],
        ),
        withheld(
            binding("alpha", "b", "SiteRole/member", &["eve"]),
            BINDING,
            "RoleResolved: RoleNotAssignableHere",
            &["member"],
        ),
        withheld(
            site_binding("b", "organization-manager", &["eve"]),
            SITE_BINDING,
            "RoleResolved: RoleNotAssignableHere",
            &["organization-manager"],
        ),
        // Inheritance that does not resolve.
        withheld(role_and_binding(&loops("r")), ROLE, "InheritsResolved: InheritanceCycle", &["inherits"]),
        withheld(circle, ROLE, "InheritsResolved: InheritanceCycle", &["inherits"]),
        withheld(site_circle, SITE_ROLE, "InheritsResolved: InheritanceCycle", &["inherits"]),
        withheld(role_and_binding(&loops("nope")), ROLE, "InheritsResolved: RoleNotFound", &["inherits[0]", "nope"]),
        withheld(
            role_and_binding("{inherits: [{kind: SiteRole, name: site-manager}]}"),
            ROLE,
            "InheritsResolved: RoleNotAssignableHere",
            &["inherits[0]", "site-manager"],
        ),
        withheld(
            site_role_and_binding(&site_loop("site-admin")),
            SITE_ROLE,
            "InheritsResolved: RoleNotAssignableHere",
            &["inherits[0]", "site-admin"],
        ),
        withheld(
            site_role_and_binding(&site_loop("organization-manager")),
            SITE_ROLE,
            "InheritsResolved: RoleNotAssignableHere",
            &["inherits[0]"],
        ),
        // Words and rules that nobody can get.
        withheld(
            role_and_binding("{permissions: [{resource: templats, actions: [read]}]}"),
            ROLE,
            "PermissionsResolved: UnknownResource",
            &["permissions[0]", "templats"],
        ),
        withheld(
            role_and_binding("{permissions: [{resource: users, actions: [read]}]}"),
            ROLE,
            "PermissionsResolved: BeyondOrganization",
            &["permissions[0]", "users"],
        ),
        withheld(
            role_and_binding("{permissions: [{resource: events, actions: [read], scope: Own}]}"),
            ROLE,
            "PermissionsResolved: OwnScopeNotEnabled",
            &["permissions[0]", "events"],
        ),
        withheld(
            role_and_binding("{permissions: [{resource: api-keys, actions: [create]}]}"),
            ROLE,
            "PermissionsResolved: BeyondOrganization",
            &["api-keys"],
        ),
        withheld(
            rules("{apiGroups: [''], resources: [secrets], verbs: [get]}"),
            ROLE,
            "Ceiling: BeyondCeiling",
            &["secrets"],
        ),
        withheld(
            rules("{apiGroups: [apps], resources: [daemonsets], verbs: [get]}"),
            ROLE,
            "Ceiling: BeyondCeiling",
            &["daemonsets"],
        ),
        // The operator holds this right itself, so the API server would allow granting it.
        withheld(
            rules("{apiGroups: [rbac.authorization.k8s.io], resources: [rolebindings], verbs: [create]}"),
            ROLE,
            "Ceiling: BeyondCeiling",
            &["rolebindings"],
        ),
        withheld(
            rules("{apiGroups: [''], resources: [namespaces], verbs: [list]}"),
            ROLE,
            "Ceiling: BeyondCeiling",
            &["namespaces"],
        ),
        withheld(
            site_rules("clusterRules: [{apiGroups: [''], resources: [nodes], verbs: [get]}]"),
            SITE_ROLE,
            "Ceiling: BeyondCeiling",
            &["nodes"],
        ),
        withheld(
            site_rules("clusterRules: [{nonResourceURLs: ['/metrics'], verbs: [get]}]"),
            SITE_ROLE,
            "Ceiling: BeyondCeiling",
            &["/metrics"],
        ),
        withheld(
            site_rules("clusterRules: [{nonResourceURLs: ['*'], verbs: [get]}]"),
            SITE_ROLE,
            "Ceiling: BeyondCeiling",
            &["*"],
        ),
        withheld(
            site_rules("rules: [{apiGroups: [''], resources: [secrets], verbs: [list]}]"),
            SITE_ROLE,
            "Ceiling: BeyondCeiling",
            &["secrets"],
        ),
        withheld(
            site_rules("clusterRules: [{apiGroups: [''], resources: [pods], verbs: [list]}]"),
            SITE_ROLE,
            "Ceiling: BeyondCeiling",
            &["pods"],
        ),
        withheld(
            site_rules(
                "clusterRules: [{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], verbs: [create]}]",
            ),
            SITE_ROLE,
            "Ceiling: BeyondCeiling",
            &["clusterroles"],
        ),
        // Two Users with one username: the younger neither grants nor suspends.
        withheld(
            manifests::user("bob").replace("name: bob}", "name: twin}").replace("spec: {", "spec: {suspended: true, "),
            "users.bailiwick.dev/twin",
            "Ready: UsernameTaken",
            &["bob"],
        ),
    ]
}

#[test]
fn what_is_unknown_impossible_or_too_much_is_withheld_and_named() {
    let cluster = Cluster::with_operator(VALUES);
    cluster.apply(&world());
    cluster.settle();
    what_the_world_grants(&cluster);
    let before = granted(&cluster);

    for input in everything_that_is_withheld() {
        cluster.apply(&input.yaml);
        let message = cluster.await_reason(&input.object, input.condition, input.reason);
        for name in input.names {
            assert!(message.contains(name), "{name:?} is not in {message:?} of\n{}", input.yaml);
        }
        let (status, ..) = cluster.condition(&input.object, input.condition).unwrap();
        assert_eq!(status, "False", "{}", input.yaml);
        cluster.settle();
        let after = granted(&cluster);
        let differs = |(name, _): &(&String, &Value)| before.get(*name) != after.get(*name);
        let differences: Vec<_> = before.iter().filter(differs).chain(after.iter().filter(differs)).collect();
        assert!(differences.is_empty(), "granted or lost: {differences:?}\nby\n{}", input.yaml);
        delete(&cluster, &input.yaml);
    }
    cluster.settle();
    assert_eq!(granted(&cluster), before);
    what_the_world_grants(&cluster);
}

#[test]
fn one_bad_subject_permission_or_member_does_not_spoil_the_others() {
    let cluster = Cluster::with_operator(VALUES);
    cluster.apply(&world());
    cluster.settle();

    // Bad subjects join an existing binding.
    let subjects = ["ada", "ghost", "Group/ghosts", "ada", "eve", "ServiceAccount/ci"];
    cluster.apply(&binding("alpha", "leads", "CustomRole/lead", &subjects));
    let leads = ["--namespace", "alpha", "rolebindings.bailiwick.dev", "leads"];
    let message = cluster.await_reason(&leads, "Ready", "PartlyWithheld")
        + &cluster.condition(&leads, "SubjectsResolved").unwrap().2;
    for name in ["subjects[1]", "subjects[2]", "subjects[3]"] {
        assert!(message.contains(name), "{message}");
    }
    let status = &cluster.get(&leads)["status"];
    assert_eq!((&status["grants"], &status["withheld"]), (&json!(3), &json!(3)));
    cluster.can(&Question::of("eve@example.com", "alpha"), &["delete podtemplates", "create pods"]);
    cluster.can(&Question::of_service_account("alpha", "ci", "alpha"), &["delete podtemplates"]);
    what_the_world_grants_but_for_eve(&cluster);

    // Bad items join an existing role, in every list.
    cluster.apply(&custom_role(
        "alpha",
        "lead",
        "{permissions: [{resource: templats, actions: [read]}, {resource: templates, actions: [read, delete]}, \
          {resource: users, actions: [read]}, {resource: workspaces, actions: [update], scope: Own}], \
          rules: [{apiGroups: ['', apps], resources: [secrets, deployments], verbs: [get]}], \
          inherits: [{kind: CustomRole, name: nope}, {kind: SiteRole, name: owner}]}",
    ));
    let lead = ["--namespace", "alpha", "customroles.bailiwick.dev", "lead"];
    let message = cluster.await_reason(&lead, "PermissionsResolved", "UnknownResource");
    assert!(message.contains("permissions[0] (templats)") && message.contains("permissions[2] (users)"), "{message}");
    cluster.await_reason(&lead, "Ceiling", "BeyondCeiling");
    cluster.await_reason(&lead, "InheritsResolved", "RoleNotFound");
    cluster.settle();
    what_the_world_grants_but_for_eve(&cluster);
    cluster.can(&Question::of_service_account("alpha", "ci", "alpha"), &["get deployments.apps"]);
    cluster
        .is_refused(&Question::of_service_account("alpha", "ci", "alpha"), &["get secrets", "update deployments.apps"]);

    // A cycle: the role's own rules stay.
    cluster.apply(&custom_role(
        "alpha",
        "lead",
        "{permissions: [{resource: templates, actions: [read, delete]}], inherits: [{kind: CustomRole, name: lead}]}",
    ));
    cluster.await_reason(&lead, "InheritsResolved", "InheritanceCycle");
    cluster.settle();
    what_the_world_grants_but_for_eve(&cluster);

    // An organization whose member role does not exist: its members hold none, and every other grant is in effect.
    cluster.apply(&(organization("gamma", "{namespace: gamma, memberRole: nope}") + &group("gamma", "team", &["ada"])));
    let message = cluster.await_reason(&["organization", "gamma"], "MemberRoleResolved", "RoleNotFound");
    assert!(message.contains("nope"), "{message}");
    cluster.apply(&binding("gamma", "managers", "SiteRole/organization-manager", &["bob"]));
    cluster.can(&Question::of("bob@example.com", "gamma"), &["delete pods"]);
    cluster.can(&Question::of("eve@example.com", "gamma"), &["list events"]);
    cluster.settle();
    cluster.is_refused(&Question::of("ada@example.com", "gamma"), &["get pods", "create pods"]);

    // A list that is too long is refused, and its earlier content stays.
    let many: Vec<String> = (0..10_000).map(|i| format!("User/u{i}")).collect();
    let many = binding("alpha", "leads", "CustomRole/lead", &many.iter().map(String::as_str).collect::<Vec<_>>());
    let error = cluster.try_apply(&many).unwrap_err();
    assert!(error.contains("spec.subjects: Too many: 10000: must have at most 1000 items"), "{error}");
    cluster.settle();
    what_the_world_grants_but_for_eve(&cluster);

    // What kubectl and the API server refuse.
    for (yaml, why) in [
        ("apiVersion: bailiwick.dev/v1alpha1\nkind: Organization\nmetadata: {name: o\n", "yaml"),
        (
            "{apiVersion: bailiwick.dev/v1alpha1, kind: Organisation, metadata: {name: o}, spec: {}}",
            "no matches for kind \"Organisation\"",
        ),
        ("{apiVersion: bailiwick.dev/v2, kind: Organization, metadata: {name: o}, spec: {}}", "no matches for kind"),
        ("{apiVersion: bailiwick.dev/v1alpha1, kind: Organization, metadata: {name: o}}", "spec: Required value"),
        (
            "{apiVersion: bailiwick.dev/v1alpha1, kind: Organization, metadata: {name: o}, spec: {namespase: alpha}}",
            "namespase",
        ),
        (
            "{apiVersion: bailiwick.dev/v1alpha1, kind: Group, metadata: {name: g, namespace: alpha}, spec: {members: ada}}",
            "members",
        ),
        (
            "{apiVersion: bailiwick.dev/v1alpha1, kind: Group, metadata: {name: g, namespace: not-there}, spec: {}}",
            "namespaces \"not-there\" not found",
        ),
        (
            "{apiVersion: bailiwick.dev/v1alpha1, kind: Group, metadata: {name: UPPER, namespace: alpha}, spec: {}}",
            "metadata.name",
        ),
    ] {
        let error = cluster.try_apply(yaml).unwrap_err();
        assert!(error.contains(why), "{error}\n{yaml}");
    }
}

fn what_the_world_grants_but_for_eve(cluster: &Cluster) {
    cluster.can(&Question::of("ada@example.com", "alpha"), &["delete podtemplates", "create pods"]);
    cluster.can(&Question::of("bob@example.com", "alpha"), &["delete podtemplates", "get jobs.batch"]);
    cluster.can(&Question::of("bob@example.com", "beta"), &["create pods"]);
    cluster.can(&Question::of("eve@example.com", "beta"), &["list events"]);
}

#[test]
fn names_may_be_long_and_in_any_script() {
    let cluster = Cluster::with_operator(VALUES);
    cluster.apply(&world());
    // Names of 253 characters, and two that differ in the last one only.
    let long = |last: char| format!("{}.{}{last}", "n".repeat(200), "m".repeat(51));
    let (a, b) = (long('a'), long('b'));
    for (name, word) in [(&a, "templates"), (&b, "provisioners")] {
        assert_eq!(name.len(), 253);
        let permissions = format!("permissions: [{{resource: {word}, actions: [read]}}]");
        cluster.apply(
            &[
                custom_role("alpha", name, &format!("{{{permissions}}}")),
                group("alpha", name, &["eve"]),
                binding("alpha", name, &format!("CustomRole/{name}"), &["ServiceAccount/ci"]),
                site_role(name, &format!("{{assignableTo: [Site, Organization], {permissions}}}")),
                site_binding(name, name, &[&format!("ExternalGroup/oidc:{word}")]),
                binding("beta", name, &format!("SiteRole/{name}"), &[&format!("ExternalGroup/oidc:beta-{word}")]),
            ]
            .concat(),
        );
    }
    cluster.apply(&binding("alpha", "of-long-names", &format!("CustomRole/{a}"), &[&format!("Group/{a}")]));
    // Usernames and groups in any script, with characters that are special in YAML, JSON and shells.
    let odd = [
        "名前@例え.jp",
        "Zoë O'Hara",
        "\"quoted\"",
        "{a: b}",
        "a,b;c|d&e $(f) `g`",
        "🦀",
        "-",
        "null",
        "../..",
        "%2e%2e",
    ];
    for (index, name) in odd.iter().enumerate() {
        let object = |kind: &str, namespace: Option<&str>, name: String, spec: Value| {
            let mut object =
                json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
            if let Some(namespace) = namespace {
                object["metadata"]["namespace"] = json!(namespace);
            }
            cluster.apply(&object.to_string());
        };
        object("User", None, format!("odd-{index}"), json!({"username": name, "displayName": name, "email": name}));
        let subjects = json!([{"kind": "User", "name": name}, {"kind": "ExternalGroup", "name": format!("g{name}")}]);
        let spec = json!({"roleRef": {"kind": "CustomRole", "name": "lead"}, "subjects": subjects});
        object("RoleBinding", Some("alpha"), format!("odd-{index}"), spec);
    }
    cluster.settle();

    let ci = Question::of_service_account("alpha", "ci", "alpha");
    cluster.can(&ci, &["get podtemplates", "get jobs.batch"]);
    cluster.is_refused(&ci, &["delete podtemplates", "delete jobs.batch", "get pods"]);
    cluster.can(&Question::of("eve@example.com", "alpha"), &["get podtemplates", "create pods"]);
    let someone = |place, group: &str| Question::of("someone", place).with_groups(&[group]);
    cluster.can(&someone("beta", "oidc:templates"), &["get podtemplates"]);
    cluster.is_refused(&someone("beta", "oidc:templates"), &["get jobs.batch"]);
    cluster.can(&someone("beta", "oidc:beta-provisioners"), &["get jobs.batch"]);
    cluster.is_refused(&someone("alpha", "oidc:beta-provisioners"), &["get jobs.batch"]);
    for name in odd {
        cluster.can(&Question::of(name, "alpha"), &["delete podtemplates", "create pods"]);
        cluster.can(&someone("alpha", &format!("g{name}")), &["delete podtemplates", "create pods"]);
        cluster.is_refused(&Question::of(name, "beta"), &["get podtemplates", "get pods"]);
    }
    // Objects that refer to one of two long names change without affecting the other.
    cluster.run(&["-n", "alpha", "delete", "customroles.bailiwick.dev", &a]);
    cluster.cannot(&ci, &["get podtemplates"]);
    cluster.settle();
    cluster.can(&ci, &["get jobs.batch"]);
    what_the_world_grants_but_for_eve(&cluster);
}

#[test]
fn a_group_of_ten_thousand_is_given_its_role_in_pieces() {
    const MEMBERS: usize = 10_000;
    let mut cluster = Cluster::with_chart(VALUES);
    cluster.apply(&world());
    let names: Vec<String> = (0..MEMBERS).map(|i| format!("m{i}")).collect();
    let user = |name: &String| {
        let spec = json!({"username": format!("{name}@example.com")});
        json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": "User", "metadata": {"name": name}, "spec": spec})
    };
    cluster.create_all(names.iter().map(user));
    let members: Vec<&str> = names.iter().map(String::as_str).collect();
    cluster.apply(&(group("alpha", "all", &members) + &binding("alpha", "all", "CustomRole/lead", &["Group/all"])));
    cluster.start_operator();
    let shards = |cluster: &Cluster| -> BTreeMap<String, Value> {
        granted(cluster)
            .into_iter()
            .filter(|(name, _)| name.contains("RoleBinding/alpha/bailiwick:role-binding:all:"))
            .collect()
    };
    let size = |shards: &BTreeMap<String, Value>| -> usize {
        shards.values().map(|shard| shard["subjects"].as_array().unwrap().len()).sum()
    };
    patiently("everybody in the group has the role", || size(&shards(&cluster)) == MEMBERS);
    let before = shards(&cluster);
    assert!(before.values().all(|shard| shard["subjects"].as_array().unwrap().len() <= 500));
    let ask =
        |name: &String| (Question::of(&format!("{name}@example.com"), "alpha"), "delete podtemplates".to_owned(), true);
    cluster.answers(&names.iter().step_by(97).chain(names.last()).map(ask).collect::<Vec<_>>());

    // Removing one rewrites one shard of each list that it was in.
    cluster.apply(&group("alpha", "all", &members[1..]));
    cluster.cannot(&Question::of("m0@example.com", "alpha"), &["delete podtemplates"]);
    let after = shards(&cluster);
    assert_eq!(after.iter().filter(|(name, shard)| before.get(*name) != Some(*shard)).count(), 1);
    assert_eq!(after.len(), before.len());
    what_the_world_grants(&cluster);
    let status = |kind: &str| cluster.get(&["--namespace", "alpha", kind, "all"])["status"].clone();
    patiently("the binding counts its grants", || status("rolebindings.bailiwick.dev")["grants"] == json!(MEMBERS - 1));
    patiently("the group counts its members", || status("groups.bailiwick.dev")["members"] == json!(MEMBERS - 1));
}

/// Waits longer than a test usually does: ten thousand users have as many statuses.
#[track_caller]
fn patiently(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(600), "{what}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn a_foreign_object_that_has_one_of_our_names_is_said_and_left_alone() {
    let cluster = Cluster::with_operator(VALUES);
    cluster.apply(&world());
    cluster.settle();
    // At the names that ours need. The name of a binding does not depend on its content.
    cluster.apply(&binding("alpha", "taken", "CustomRole/lead", &["eve"]));
    cluster.can(&Question::of("eve@example.com", "alpha"), &["delete podtemplates"]);
    cluster.settle();
    let native = granted(&cluster).into_keys().find(|name| name.contains("bailiwick:role-binding:taken:")).unwrap();
    let native = native.rsplit('/').next().unwrap().to_owned();
    cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", "taken"]);
    cluster.cannot(&Question::of("eve@example.com", "alpha"), &["delete podtemplates"]);
    cluster.eventually("the garbage collector has removed the native binding", || {
        !cluster.exists(&["-n", "alpha", "rolebindings.rbac.authorization.k8s.io", &native])
    });
    cluster.settle();
    let before = granted(&cluster);
    let foreign = format!(
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: '{native}', namespace: alpha}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}}
subjects: [{{kind: User, apiGroup: rbac.authorization.k8s.io, name: stranger}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: 'bailiwick:custom-role:taken', namespace: alpha}}
rules: [{{apiGroups: [''], resources: [secrets], verbs: [get]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: 'bailiwick:site-role:taken'}}
rules: [{{apiGroups: [''], resources: [secrets], verbs: [get]}}]
"
    );
    cluster.apply(&foreign);
    let versions = |cluster: &Cluster| -> Vec<Value> {
        let role = cluster.get(&["-n", "alpha", "role.rbac.authorization.k8s.io", "bailiwick:custom-role:taken"]);
        let cluster_role = cluster.get(&["clusterrole", "bailiwick:site-role:taken"]);
        let binding = cluster.get(&["-n", "alpha", "rolebinding.rbac.authorization.k8s.io", &native]);
        [role, cluster_role, binding].map(|object| object["metadata"]["resourceVersion"].clone()).into()
    };
    let untouched = versions(&cluster);

    cluster.apply(
        &[
            binding("alpha", "taken", "CustomRole/lead", &["eve"]),
            custom_role("alpha", "taken", "{permissions: [{resource: templates, actions: [read]}]}"),
            binding("alpha", "of-taken", "CustomRole/taken", &["eve"]),
            site_role("taken", "{assignableTo: [Site], permissions: [{resource: organizations, actions: [delete]}]}"),
            site_binding("of-taken", "taken", &["eve"]),
        ]
        .concat(),
    );
    for (object, name) in [
        (["-n", "alpha", "rolebindings.bailiwick.dev", "taken"], native.as_str()),
        (["-n", "alpha", "customroles.bailiwick.dev", "taken"], "bailiwick:custom-role:taken"),
        (["-n", "alpha", "siteroles.bailiwick.dev", "taken"], "bailiwick:site-role:taken"),
    ] {
        let message = cluster.await_reason(&object, "Ready", "NameTaken");
        assert!(message.contains(name), "{message}");
    }
    let eve = Question::of("eve@example.com", "alpha");
    cluster.is_refused(&eve, &["get secrets", "delete podtemplates"]);
    cluster.is_refused(&Question::of("eve@example.com", ""), &["get secrets", "delete organizations.bailiwick.dev"]);
    assert_eq!(versions(&cluster), untouched);
    // No binding of ours refers to a role that is not ours.
    for (name, object) in granted(&cluster) {
        if !before.contains_key(&name) {
            let role = object["roleRef"]["name"].as_str().unwrap_or_default();
            assert!(!role.ends_with(":taken"), "{name} gives {role}");
        }
    }
    what_the_world_grants(&cluster);

    // Once the foreign ones are deleted, ours are created.
    let mut kubectl = cluster.plane.kubectl(&cluster.admin);
    kubectl.args(["delete", "-f", "-"]);
    outcome(with_input(kubectl, &foreign)).unwrap();
    cluster.can(&eve, &["delete podtemplates"]);
    cluster.can(&Question::of("eve@example.com", ""), &["delete organizations.bailiwick.dev"]);
    cluster.await_reason(&["-n", "alpha", "customroles.bailiwick.dev", "taken"], "Ready", "Reconciled");
}

#[test]
fn settings_that_cannot_be_read_change_nothing() {
    let mut cluster = Cluster::with_operator(VALUES);
    cluster.apply(&world());
    cluster.settle();
    let before = granted(&cluster);
    let config = |cluster: &Cluster, name: &str, key: &str, text: &str| {
        let patch = json!({"data": {key: text}}).to_string();
        cluster.run(&["-n", crate::support::RELEASE, "patch", "configmap", name, "--type=merge", "-p", &patch]);
    };
    let read = |name: &str, key: &str| {
        let object = cluster.get(&["-n", crate::support::RELEASE, "configmap", name]);
        object["data"][key].as_str().unwrap().to_owned()
    };
    let (bounds, settings) = (read("bailiwick-bounds", "bounds.yaml"), read("bailiwick-config", "config.yaml"));
    for (name, key, text) in [
        ("bailiwick-config", "config.yaml", "users: {dormantAfterDay: 1}"),
        ("bailiwick-config", "config.yaml", "users: ["),
        ("bailiwick-bounds", "bounds.yaml", "namespaceWhitelst: []"),
        ("bailiwick-bounds", "bounds.yaml", "}"),
        ("bailiwick-bounds", "other.yaml", ""),
    ] {
        config(&cluster, name, key, text);
        // A later change is taken in, with the previous settings.
        cluster.apply(&binding("alpha", "later", "CustomRole/lead", &["eve"]));
        cluster.can(&Question::of("eve@example.com", "alpha"), &["delete podtemplates"]);
        cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", "later"]);
        cluster.cannot(&Question::of("eve@example.com", "alpha"), &["delete podtemplates"]);
        cluster.settle();
        cluster.eventually("what was granted is granted", || granted(&cluster) == before);
        what_the_world_grants(&cluster);
        assert!(cluster.operator_log().contains(name), "{}", cluster.operator_log());
        config(&cluster, "bailiwick-bounds", "bounds.yaml", &bounds);
        config(&cluster, "bailiwick-config", "config.yaml", &settings);
    }
    // An operator that starts with them does nothing until they are repaired.
    config(&cluster, "bailiwick-config", "config.yaml", "users: [");
    cluster.stop_operator();
    let writes = cluster.writes();
    let operator = cluster.spawn_operator("later");
    cluster.eventually("it says why", || {
        let says = |text: &str| operator.log().contains(text);
        says("cannot read a ConfigMap") && says("leadership leading=true")
    });
    assert_eq!(operator.readiness().map(|(code, _)| code), Some(503));
    assert_eq!((granted(&cluster), cluster.writes()), (before, writes));
    config(&cluster, "bailiwick-config", "config.yaml", &settings);
    cluster.eventually("it is ready", || operator.is_ready());
    cluster.operator = Some(operator);
    cluster.settle();
    what_the_world_grants(&cluster);
}

#[test]
fn an_installation_that_cannot_work_says_so() {
    let cluster = Cluster::bare();
    for (values, named) in [
        ("{namespaceWhitelst: [alpha]}", "namespaceWhitelst"),
        ("{catalog: {workspaces: {rules: {more: {apiGroup: [x.io], resources: [things]}}}}}", "apiGroup"),
        ("{catalog: {workspaces: {rules: {more: {apiGroups: ['*'], resources: [things]}}}}}", "apiGroups"),
        ("{config: {users: {dormantAfterDay: 3}}}", "dormantAfterDay"),
        ("{createNamespaces: 'yes'}", "createNamespaces"),
        ("{namespaceWhitelist: [kube-system]}", "kube-"),
        ("namespaceWhitelist: [", "values.yaml"),
    ] {
        let output = cluster.helm_install(values);
        assert!(!output.status.success(), "{values}");
        assert!(text(&output).contains(named), "{values}: {}", text(&output));
    }
    // (Helm has installed the CRDs before it looks at the values.)
    assert!(!cluster.exists(&["clusterrole", "bailiwick-operator"]), "nothing is installed by a typo");
}

/// Every native object of ours, with its relevant fields.
fn granted(cluster: &Cluster) -> BTreeMap<String, Value> {
    let of = |object: Value| {
        let word = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        let name = format!("{}/{}/{}", object["kind"].as_str().unwrap(), word("namespace"), word("name"));
        let mut subjects = object["subjects"].as_array().cloned().unwrap_or_default();
        subjects.sort_by_key(Value::to_string);
        (name, json!({"rules": object["rules"], "roleRef": object["roleRef"], "subjects": subjects}))
    };
    cluster.native().into_iter().map(of).collect()
}

fn delete(cluster: &Cluster, yaml: &str) {
    let mut kubectl = cluster.plane.kubectl(&cluster.admin);
    kubectl.args(["delete", "-f", "-"]);
    outcome(with_input(kubectl, yaml)).unwrap();
}
