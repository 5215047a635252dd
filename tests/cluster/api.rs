//! The schemas of our kinds on a real API server: immutable fields, names reserved by Kubernetes, limits, and the
//! columns of kubectl.

use serde_json::{Value, json};

use crate::support::{Cluster, outcome, with_input};

const VALUES: &str = "{namespaceWhitelist: [alpha, beta], defaultOrganization: {create: false}}";

#[test]
fn fields_that_are_set_once_stay_as_they_are_on_every_write_path() {
    let cluster = Cluster::with_chart(VALUES);

    cluster.apply(
        "{apiVersion: bailiwick.dev/v1alpha1, kind: Organization, metadata: {name: acme}, spec: {namespace: alpha}}",
    );
    let acme = Fixed { cluster: &cluster, kind: "Organization", name: "acme", field: "namespace", value: "alpha" };
    acme.stays("beta", "namespace is set once");

    cluster.apply(
        "{apiVersion: bailiwick.dev/v1alpha1, kind: User, metadata: {name: ada}, spec: {username: ada@example.com}}",
    );
    let ada = Fixed { cluster: &cluster, kind: "User", name: "ada", field: "username", value: "ada@example.com" };
    ada.stays("mallory@example.com", "username is immutable");

    // An unset field can be set, once.
    cluster.apply("{apiVersion: bailiwick.dev/v1alpha1, kind: Organization, metadata: {name: later}, spec: {}}");
    cluster.run(&["patch", "organization", "later", "--type=merge", "-p", r#"{"spec":{"namespace":"beta"}}"#]);
    for other in ["alpha", ""] {
        let patch =
            json!({"spec": {"namespace": if other.is_empty() { Value::Null } else { json!(other) }}}).to_string();
        let answer = outcome(cluster.kubectl(&["patch", "organization", "later", "--type=merge", "-p", &patch]));
        assert!(answer.unwrap_err().contains("namespace is set once"), "{patch}");
    }

    // The effective username is the same, whether written or not.
    cluster.apply("{apiVersion: bailiwick.dev/v1alpha1, kind: User, metadata: {name: bob}, spec: {username: bob}}");
    let patch =
        |patch: &str| outcome(cluster.kubectl(&["patch", "users.bailiwick.dev", "bob", "--type=merge", "-p", patch]));
    patch(r#"{"spec":{"username":null}}"#).unwrap();
    assert!(patch(r#"{"spec":{"username":"mallory"}}"#).unwrap_err().contains("username is immutable"));
    patch(r#"{"spec":{"username":"bob"}}"#).unwrap();
    assert!(patch(r#"{"spec":{"username":"mallory"}}"#).unwrap_err().contains("username is immutable"));
}

/// An object with an immutable field.
struct Fixed<'a> {
    cluster: &'a Cluster,
    kind: &'a str,
    name: &'a str,
    field: &'a str,
    value: &'a str,
}

impl Fixed<'_> {
    /// Tries every way to change or remove the field.
    #[track_caller]
    fn stays(&self, other: &str, message: &str) {
        let (field, value) = (self.field, self.value);
        let path = format!("/spec/{field}");
        let merge = |patch: Value| self.patch("merge", &patch);
        let json = |patch: Value| self.patch("json", &patch);
        let refused = |way: &str, answer: Result<String, String>| match answer {
            Ok(_) => panic!("{way} is accepted"),
            // If the spec would be empty, another rule refuses it first.
            Err(error) => {
                let whys = [message, "spec: Required value", "spec in body must be of type object"];
                assert!(whys.iter().any(|why| error.contains(why)), "{way}: {error}");
            }
        };
        let spec = |name: &str, value: Value| json!({"spec": {name: value}});

        refused("a merge patch", merge(spec(field, json!(other))));
        refused("a merge patch with null", merge(spec(field, Value::Null)));
        refused("a merge patch that removes spec", merge(json!({"spec": null})));
        refused("a JSON patch that replaces", json(json!([{"op": "replace", "path": path, "value": other}])));
        refused("a JSON patch that adds over it", json(json!([{"op": "add", "path": path, "value": other}])));
        refused("a JSON patch that removes", json(json!([{"op": "remove", "path": path}])));
        let remove_and_add = json!([{"op": "remove", "path": path}, {"op": "add", "path": path, "value": other}]);
        refused("a JSON patch that removes and adds", json(remove_and_add));
        refused("a JSON patch that removes spec", json(json!([{"op": "remove", "path": "/spec"}])));
        refused("a JSON patch that empties spec", json(json!([{"op": "replace", "path": "/spec", "value": {}}])));
        let anew = json!([{"op": "remove", "path": "/spec"}, {"op": "add", "path": "/spec", "value": {field: other}}]);
        refused("a JSON patch that makes spec anew", json(anew));

        refused("PUT", self.replace(&[], json!({field: other})));
        refused("PUT without the field", self.replace(&[], json!({"displayName": "Other"})));
        refused("PUT with null", self.replace(&[], json!({field: null})));
        refused("PUT without spec", self.replace(&[], Value::Null));

        // kubectl is its field manager, so only kubectl can drop the field by leaving it out.
        refused("server-side apply without the field", self.apply("kubectl", json!({"displayName": "Other"})));
        refused("server-side apply of an empty spec", self.apply("kubectl", json!({})));
        refused("server-side apply without spec", self.apply("kubectl", Value::Null));
        refused("server-side apply by its owner", self.apply("kubectl", json!({field: other})));
        refused("forced server-side apply by another manager", self.apply("another", json!({field: other})));
        refused("kubectl apply", self.client_side_apply(&json!({field: other})));

        // Removing and adding in two steps: both steps are refused.
        refused("the first of two JSON patches", json(json!([{"op": "remove", "path": path}])));
        refused("the second of two JSON patches", json(json!([{"op": "add", "path": path, "value": other}])));

        // The status has its own subresource, which cannot write the spec.
        for (kind, patch) in [
            ("merge", spec(field, json!(other))),
            ("merge", spec(field, Value::Null)),
            ("json", json!([{"op": "replace", "path": path, "value": other}])),
            ("json", json!([{"op": "remove", "path": path}])),
        ] {
            let _ = self.patch_with(&["--subresource=status"], kind, &patch);
            self.is(value);
        }
        let _ = self.replace(&["--subresource=status"], json!({field: other}));
        self.is(value);

        // The same value again is no change.
        merge(spec(field, json!(value))).unwrap();
        self.apply("another", json!({field: value})).unwrap();
        json(json!([{"op": "remove", "path": path}, {"op": "add", "path": path, "value": value}])).unwrap();
        // Now two managers own it: one that drops it leaves it to the other, and the last one cannot drop it.
        self.apply("another", json!({"displayName": "Another"})).unwrap();
        self.is(value);
        refused("server-side apply by the last owner", self.apply("kubectl", json!({})));
        self.is(value);

        // kubectl apply that had the field and now leaves it out.
        self.client_side_apply(&json!({field: value})).unwrap();
        refused("kubectl apply without the field", self.client_side_apply(&json!({"displayName": "Other"})));
        self.is(value);
    }

    fn resource(&self) -> String {
        format!("{}s.bailiwick.dev", self.kind.to_lowercase())
    }

    #[track_caller]
    fn is(&self, value: &str) {
        assert_eq!(self.cluster.get(&[&self.resource(), self.name])["spec"][self.field], value);
    }

    fn object(&self, spec: Value) -> String {
        let mut object =
            json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": self.kind, "metadata": {"name": self.name}});
        if !spec.is_null() {
            object["spec"] = spec;
        }
        object.to_string()
    }

    fn patch(&self, kind: &str, patch: &Value) -> Result<String, String> {
        self.patch_with(&[], kind, patch)
    }

    fn patch_with(&self, more: &[&str], kind: &str, patch: &Value) -> Result<String, String> {
        let (resource, kind, patch) = (self.resource(), format!("--type={kind}"), patch.to_string());
        let words = ["patch", &resource, self.name, &kind, "-p", &patch];
        outcome(self.cluster.kubectl(&[&words, more].concat()))
    }

    fn replace(&self, more: &[&str], spec: Value) -> Result<String, String> {
        self.kubectl(&[&["replace", "--validate=false", "-f", "-"], more].concat(), &self.object(spec))
    }

    fn apply(&self, manager: &str, spec: Value) -> Result<String, String> {
        let manager = format!("--field-manager={manager}");
        self.kubectl(
            &["apply", "--server-side", "--force-conflicts", &manager, "--validate=false", "-f", "-"],
            &self.object(spec),
        )
    }

    fn client_side_apply(&self, spec: &Value) -> Result<String, String> {
        self.kubectl(&["apply", "--validate=false", "-f", "-"], &self.object(spec.clone()))
    }

    fn kubectl(&self, words: &[&str], input: &str) -> Result<String, String> {
        let mut kubectl = self.cluster.plane.kubectl(&self.cluster.admin);
        kubectl.args(words);
        outcome(with_input(kubectl, input))
    }
}

#[test]
fn the_schema_refuses_what_could_only_be_a_mistake_or_an_attack() {
    let cluster = Cluster::with_chart(VALUES);
    let refused = |object: &Value, why: &str| match cluster.try_apply(&object.to_string()) {
        Ok(_) => panic!("accepted: {object}"),
        Err(error) => assert!(error.contains(why), "{error}\n{object}"),
    };
    let accepted = |object: &Value| {
        cluster.try_apply(&object.to_string()).unwrap_or_else(|error| panic!("{error}\n{object}"));
    };

    // Names reserved by Kubernetes, unreadable names, and names that are too long, wherever a name becomes a subject.
    for (place, longest) in PLACES {
        for name in ["system:masters", "system:admin", "system:serviceaccount:kube-system:default", "system:"] {
            refused(
                &named(place, name),
                "names that begin with system: are Kubernetes' own".trim_start_matches("names "),
            );
        }
        for name in
            ["bell\u{7}", "two\nlines", "tab\t", "zero\u{200b}width", "right\u{202e}to-left", "nul\u{0}", "\u{feff}bom"]
        {
            refused(&named(place, name), "should match");
        }
        refused(&named(place, ""), "at least 1 chars long");
        refused(&named(place, &"ä".repeat(longest + 1)), "Too long");
        accepted(&named(place, &"ä".repeat(*longest)));
        accepted(&named(place, "ünïcödé 名前 🦀 \"quoted\" 'twice' {not: yaml}"));
        accepted(&named(place, "oidc:system:masters"));
    }

    // The name of a ServiceAccount must be valid in Kubernetes: otherwise RBAC would refuse the whole binding.
    for place in ["RoleBinding ServiceAccount", "SiteRoleBinding ServiceAccount"] {
        for name in ["Not A Name", "UPPER", "a_b", "-a", "a-", "a..b", "ünïcödé"] {
            refused(&named(place, name), "the name of a ServiceAccount has");
        }
        refused(&named(place, "system:serviceaccount:kube-system:default"), "use kind ServiceAccount");
        refused(&named(place, &"a".repeat(257)), "Too long");
        accepted(&named(place, "ci.of-the-team-2"));
    }

    for (object, why) in mistakes() {
        refused(&object, why);
    }
}

/// Where a name becomes a subject in RBAC, and its longest length.
const PLACES: &[(&str, usize)] = &[
    ("username", 128),
    ("member", 128),
    ("external group", 256),
    ("RoleBinding User", 256),
    ("RoleBinding Group", 256),
    ("RoleBinding ExternalGroup", 256),
    ("SiteRoleBinding User", 256),
    ("SiteRoleBinding ExternalGroup", 256),
];

/// An object with a name in a place.
fn named(place: &str, name: &str) -> Value {
    // A username is immutable, so each needs an object.
    let handle = format!("u{}", name.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())));
    match place.split_once(' ') {
        None if place == "username" => object("User", "", &handle, json!({"username": name})),
        None => object("Group", "alpha", "people", json!({"members": [name]})),
        Some(("external", _)) => object("Group", "alpha", "people", json!({"externalGroups": [name]})),
        Some(("RoleBinding", kind)) => {
            let role = json!({"kind": "CustomRole", "name": "lead"});
            object(
                "RoleBinding",
                "alpha",
                "leads",
                json!({"roleRef": role, "subjects": [{"kind": kind, "name": name}]}),
            )
        }
        Some((binding, kind)) => {
            let mut subject = json!({"kind": kind, "name": name});
            if kind == "ServiceAccount" {
                subject["namespace"] = json!("alpha");
            }
            object(binding, "", "auditors", json!({"roleRef": {"name": "auditor"}, "subjects": [subject]}))
        }
    }
}

fn object(kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    let mut metadata = json!({"name": name});
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

fn mistakes() -> Vec<(Value, &'static str)> {
    let custom = |spec| object("CustomRole", "alpha", "role", spec);
    let permission = |permission: Value| object("CustomRole", "alpha", "role", json!({"permissions": [permission]}));
    let site = |mut spec: Value| {
        spec["assignableTo"] = json!(["Site"]);
        object("SiteRole", "", "role", spec)
    };
    let rule = |groups: &str, resources: &str, verbs: &str| json!({"apiGroups": [groups], "resources": [resources], "verbs": [verbs]});
    let subject = |subject: Value| {
        object("SiteRoleBinding", "", "b", json!({"roleRef": {"name": "auditor"}, "subjects": [subject]}))
    };
    let mut mistakes = vec![
        (
            permission(json!({"resource": "templates", "actions": ["create"], "names": ["a"]})),
            "names cannot go with create",
        ),
        (
            permission(json!({"resource": "templates", "actions": ["read", "create"], "names": ["a"]})),
            "names cannot go with create",
        ),
        (
            permission(json!({"resource": "templates", "actions": ["create"], "scope": "Own"})),
            "scope Own goes with read",
        ),
        (permission(json!({"resource": "templates", "actions": ["list"], "scope": "Own"})), "scope Own goes with read"),
        (
            permission(json!({"resource": "templates", "actions": ["read"], "scope": "Everybody"})),
            "should match '^(All|Own)$'",
        ),
        (permission(json!({"resource": "templates", "actions": ["write"]})), "Unsupported value"),
        (permission(json!({"resource": "templates", "actions": []})), "should have at least 1 items"),
        (permission(json!({"resource": "templates", "actions": ["read", "read"]})), "uplicate"),
        (
            permission(json!({"resource": "templates", "actions": ["read"], "names": []})),
            "should have at least 1 items",
        ),
        (permission(json!({"resource": "Templates", "actions": ["read"]})), "should match"),
        (permission(json!({"resource": "*", "actions": ["read"]})), "should match"),
        (permission(json!({"actions": ["read"]})), "resource"),
        (custom(json!({"inherits": [{"kind": "ClusterRole", "name": "cluster-admin"}]})), "Unsupported value"),
        (custom(json!({"clusterRules": [rule("", "nodes", "get")]})), "clusterRules"),
        (custom(json!({"permission": []})), "permission"),
        (
            object("SiteRole", "", "role", json!({"assignableTo": ["Organization"], "singleHolder": true})),
            "a role with singleHolder",
        ),
        (
            object("SiteRole", "", "role", json!({"assignableTo": ["Site", "Organization"], "singleHolder": true})),
            "a role with singleHolder",
        ),
        (object("SiteRole", "", "role", json!({"assignableTo": ["Everywhere"]})), "Unsupported value"),
        (
            site(
                json!({"clusterRules": [{"nonResourceURLs": ["/healthz"], "resources": ["nodes"], "verbs": ["get"]}]}),
            ),
            "either nonResourceURLs",
        ),
        (site(json!({"clusterRules": [{"verbs": ["get"]}]})), "either nonResourceURLs"),
        (site(json!({"clusterRules": [{"apiGroups": [""], "verbs": ["get"]}]})), "either nonResourceURLs"),
        (subject(json!({"kind": "Group", "name": "people"})), "Unsupported value"),
        (subject(json!({"kind": "ServiceAccount", "name": "ci"})), "namespace goes with kind ServiceAccount"),
        (
            subject(json!({"kind": "User", "name": "ada", "namespace": "alpha"})),
            "namespace goes with kind ServiceAccount",
        ),
        (
            object("SiteRoleBinding", "", "b", json!({"roleRef": {"kind": "CustomRole", "name": "lead"}})),
            "Unsupported value",
        ),
        (
            object("RoleBinding", "alpha", "b", json!({"roleRef": {"kind": "Role", "name": "lead"}})),
            "Unsupported value",
        ),
        (
            object("RoleBinding", "alpha", "b", json!({"roleRef": {"kind": "CustomRole", "name": ""}})),
            "at least 1 chars",
        ),
        (
            object(
                "RoleBinding",
                "alpha",
                "b",
                json!({"roleRef": {"kind": "CustomRole", "name": "lead"}, "expiresAt": "tomorrow"}),
            ),
            "must be a time as in 2027-01-31T18:00:00Z",
        ),
        (object("RoleBinding", "alpha", "b", json!({"subjects": []})), "roleRef"),
        (object("Organization", "", &"o".repeat(64), json!({})), "at most 63 characters"),
        (object("Organization", "", "o", json!({"namespace": "Alpha"})), "should match"),
        (object("Organization", "", "o", json!({"namespace": ""})), "at least 1 chars"),
        (object("Organization", "", "o", json!({"namespace": "n".repeat(64)})), "Too long"),
        (object("User", "", &"u".repeat(129), json!({})), "a username has at most 128 characters"),
        (object("Group", "alpha", "g", json!({"members": ["ada", "ada"]})), "uplicate"),
    ];
    let names: Vec<String> = (0..100).map(|i| format!("n{i}")).collect();
    let long = json!({"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": names, "verbs": (0..20).map(|i| format!("v{i}")).collect::<Vec<_>>()});
    let longer = json!({"apiGroups": ["apps", ""], "resources": ["deployments"], "resourceNames": names, "verbs": long["verbs"]});
    mistakes.push((custom(json!({"rules": [longer]})), "at most 2,000 combinations"));
    mistakes.push((site(json!({"rules": [long, longer]})), "at most 2,000 combinations"));
    mistakes.push((site(json!({"clusterRules": [longer]})), "at most 2,000 combinations"));
    for wildcard in [rule("*", "pods", "get"), rule("", "*", "get"), rule("", "pods/*", "get"), rule("", "pods", "*")] {
        mistakes.push((custom(json!({"rules": [wildcard]})), "should match"));
        mistakes.push((site(json!({"rules": [wildcard]})), "should match"));
        mistakes.push((site(json!({"clusterRules": [wildcard]})), "should match"));
    }
    mistakes
}

#[test]
fn the_longest_lists_are_accepted_and_longer_ones_refused_clearly() {
    let cluster = Cluster::with_chart(VALUES);
    let create = |object: &Value| {
        let mut kubectl = cluster.plane.kubectl(&cluster.admin);
        kubectl.args(["create", "-f", "-"]);
        outcome(with_input(kubectl, &object.to_string()))
    };
    let names = |count: usize, length: usize| -> Vec<String> { (0..count).map(|i| format!("{i:0length$}")).collect() };
    let users = |count, length| -> Vec<Value> {
        names(count, length).iter().map(|name| json!({"kind": "User", "name": name})).collect()
    };
    let rules = |count: usize| -> Vec<Value> {
        let names = names(100, 100);
        (0..count).map(|_| json!({"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": names, "verbs": ["get"]})).collect()
    };
    let permissions = |count: usize| -> Vec<Value> {
        let names = names(100, 100);
        (0..count).map(|_| json!({"resource": "templates", "actions": ["read", "list", "update", "delete", "use"], "names": names})).collect()
    };
    let binding = |name, count, length| {
        let role = json!({"kind": "CustomRole", "name": "lead"});
        object("RoleBinding", "alpha", name, json!({"roleRef": role, "subjects": users(count, length)}))
    };

    create(&object("Group", "alpha", "big", json!({"members": names(10_000, 100), "externalGroups": names(100, 256)})))
        .unwrap();
    // An apply records the owner of each member, which takes as much space again.
    let group = object("Group", "alpha", "applied", json!({"members": names(10_000, 50)}));
    cluster.apply(&group.to_string());
    create(&binding("big", 1_000, 256)).unwrap();
    let subjects = users(1_000, 256);
    create(&object("SiteRoleBinding", "", "big", json!({"roleRef": {"name": "auditor"}, "subjects": subjects})))
        .unwrap();
    let spec = json!({"permissions": permissions(50), "rules": rules(50)});
    create(&object("CustomRole", "alpha", "big", spec)).unwrap();
    let spec = json!({"assignableTo": ["Site"], "permissions": permissions(40), "rules": rules(40), "clusterRules": rules(40)});
    create(&object("SiteRole", "", "big", spec)).unwrap();

    for (object, why) in [
        (object("Group", "alpha", "bigger", json!({"members": names(10_001, 10)})), "spec.members: Too many: 10001"),
        (
            object("Group", "alpha", "bigger", json!({"externalGroups": names(101, 10)})),
            "spec.externalGroups: Too many: 101",
        ),
        (binding("bigger", 1_001, 10), "spec.subjects: Too many: 1001"),
        (binding("bigger", 10_000, 10), "spec.subjects: Too many: 10000"),
        (
            object("CustomRole", "alpha", "bigger", json!({"permissions": permissions(101)})),
            "spec.permissions: Too many: 101",
        ),
    ] {
        let error = create(&object).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn kubectl_explains_lists_and_describes_our_kinds() {
    let cluster = Cluster::with_operator(VALUES);
    cluster.apply(
        "
apiVersion: bailiwick.dev/v1alpha1
kind: Organization
metadata: {name: acme}
spec: {namespace: alpha, displayName: Acme}
---
apiVersion: bailiwick.dev/v1alpha1
kind: User
metadata: {name: ada}
spec: {username: ada@example.com}
---
apiVersion: bailiwick.dev/v1alpha1
kind: Group
metadata: {name: people, namespace: alpha}
spec: {members: [ada@example.com]}
---
apiVersion: bailiwick.dev/v1alpha1
kind: CustomRole
metadata: {name: lead, namespace: alpha}
spec: {permissions: [{resource: templates, actions: [read]}]}
---
apiVersion: bailiwick.dev/v1alpha1
kind: RoleBinding
metadata: {name: leads, namespace: alpha}
spec: {roleRef: {kind: CustomRole, name: lead}, subjects: [{kind: Group, name: people}], expiresAt: '2099-01-01T00:00:00Z'}
---
apiVersion: bailiwick.dev/v1alpha1
kind: SiteRoleBinding
metadata: {name: admins}
spec: {roleRef: {name: site-admin}, subjects: [{kind: User, name: ada@example.com}]}
",
    );
    cluster.settle();
    cluster.await_reason(&["siterolebindings.bailiwick.dev", "admins"], "Ready", "Reconciled");

    let explained = cluster.run(&["explain", "organizations.bailiwick.dev.spec.namespace"]);
    // kubectl breaks the lines where it likes.
    let explained = explained.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(explained.contains("Once set it can never be changed or removed"), "{explained}");
    for kind in crate::support::KINDS {
        let explained = cluster.run(&["explain", "--recursive", kind]);
        assert!(explained.contains("spec") && explained.contains("conditions"), "{explained}");
        assert!(
            !cluster.run(&["explain", &format!("{kind}.spec")]).contains("<empty>"),
            "{kind}.spec has no description"
        );
    }

    let all = cluster.run(&["get", "bailiwick", "--all-namespaces"]);
    for name in [
        "organization.bailiwick.dev/acme",
        "user.bailiwick.dev/ada",
        "group.bailiwick.dev/people",
        "customrole.bailiwick.dev/lead",
        "rolebinding.bailiwick.dev/leads",
        "siterole.bailiwick.dev/site-admin",
        "siterolebinding.bailiwick.dev/admins",
    ] {
        assert!(all.contains(name), "{name} is not in\n{all}");
    }

    let row = |resource: &str, name: &str| {
        let table = cluster.run(&["get", resource, name, "--namespace", "alpha"]);
        let mut lines = table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        (lines.next().unwrap().join(" "), lines.next().unwrap())
    };
    for (resource, name, columns, values) in [
        ("org", "acme", "NAME NAMESPACE READY REASON AGE", vec!["acme", "alpha", "True", "Reconciled"]),
        (
            "users.bailiwick.dev",
            "ada",
            "NAME USERNAME STATE READY REASON AGE",
            vec!["ada", "ada@example.com", "Active", "True", "Reconciled"],
        ),
        ("grp", "people", "NAME MEMBERS READY REASON AGE", vec!["people", "1", "True", "Reconciled"]),
        ("crole", "lead", "NAME WITHHELD READY REASON AGE", vec!["lead", "0", "True", "Reconciled"]),
        ("brb", "leads", "NAME ROLE READY AGE", vec!["leads", "lead", "True"]),
        ("srole", "site-admin", "NAME WITHHELD READY REASON AGE", vec!["site-admin", "0", "True", "Reconciled"]),
        ("srb", "admins", "NAME ROLE READY AGE", vec!["admins", "site-admin", "True"]),
    ] {
        let (header, row) = row(resource, name);
        assert_eq!(header, columns, "{resource}");
        assert_eq!(row[..values.len()], values, "{resource}");
    }
    let all = cluster.run(&["get", "bailiwick", "--all-namespaces", "-o", "wide"]);
    assert!(!all.contains(['{', '[']), "raw JSON in\n{all}");
    // The columns after the age. ada holds `lead` through the Group, `organization-member` and `member` as a member,
    // and site-admin.
    for (resource, name, columns, values) in [
        ("org", "acme", "MEMBERS DEFAULT DISPLAY NAME", "1 true Acme"),
        ("users.bailiwick.dev", "ada", "ORGANIZATIONS SITE ROLES GRANTS LAST SEEN DISPLAY NAME EMAIL", "1 1 4"),
        ("grp", "people", "PRIVILEGED", "true"),
        ("crole", "lead", "PRIVILEGED DISPLAY NAME", "true"),
        ("brb", "leads", "REASON GRANTS WITHHELD EXPIRES", "Reconciled 1 0 2099-01-01T00:00:00Z"),
        (
            "srole",
            "site-admin",
            "PRIVILEGED SITE ORGANIZATION HOLDER DISPLAY NAME",
            "true Site ada@example.com Site admin",
        ),
        (
            "srole",
            "organization-manager",
            "PRIVILEGED SITE ORGANIZATION HOLDER DISPLAY NAME",
            "true Organization Organization manager",
        ),
        ("srb", "admins", "REASON GRANTS WITHHELD EXPIRES", "Reconciled 1 0"),
    ] {
        let wide = || {
            let table = cluster.run(&["get", resource, name, "--namespace", "alpha", "-o", "wide"]);
            let mut lines = table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
            let (header, row) = (lines.next().unwrap(), lines.next().unwrap());
            let age = header.iter().position(|column| column == "AGE").unwrap();
            (header[age + 1..].join(" "), row[age + 1..].join(" "))
        };
        let expected = (columns.to_owned(), values.to_owned());
        cluster.eventually_or(|| wide() == expected, |_| format!("{name}: {expected:?}, not {:?}", wide()));
    }
}

#[test]
fn every_line_of_the_quickstart_fits_a_hundred_columns() {
    let folder = crate::support::repository().join("examples/quickstart");
    let values = std::fs::read_to_string(folder.join("chart/values.yaml")).unwrap();
    let cluster = Cluster::with_operator(&values);
    cluster.apply_directory(folder.to_str().unwrap());
    cluster.settle();
    cluster.quiet();
    let all = cluster.run(&["get", "bailiwick", "--all-namespaces"]);
    assert!(all.lines().count() > 40, "{all}");
    for line in all.lines() {
        // An age has at most five characters: 3m20s.
        let columns = line.find("AGE").map_or(line.trim_end().chars().count(), |age| age + 5);
        assert!(columns <= 100, "{columns} columns: {line}\n{all}");
        assert!(!line.contains(['{', '[']), "raw JSON: {line}");
    }
    // The built-in roles have nothing refused: items missing in this version or cluster do not count as such.
    let roles = cluster.get(&["siteroles.bailiwick.dev"]);
    for role in roles["items"].as_array().unwrap() {
        assert_eq!(role["status"]["withheld"], json!(0), "{}: {}", role["metadata"]["name"], role["status"]);
    }
}

#[test]
fn the_api_server_filters_by_what_people_ask_for() {
    let cluster = Cluster::with_operator(VALUES);
    cluster.apply(
        "
apiVersion: bailiwick.dev/v1alpha1
kind: Organization
metadata: {name: acme}
spec: {namespace: alpha, default: true}
---
apiVersion: bailiwick.dev/v1alpha1
kind: Organization
metadata: {name: other}
spec: {namespace: beta}
---
apiVersion: bailiwick.dev/v1alpha1
kind: User
metadata: {name: ada}
spec: {username: ada@example.com}
---
apiVersion: bailiwick.dev/v1alpha1
kind: User
metadata: {name: bob}
spec: {suspended: true}
---
apiVersion: bailiwick.dev/v1alpha1
kind: Group
metadata: {name: people, namespace: alpha}
spec: {members: [ada@example.com]}
---
apiVersion: bailiwick.dev/v1alpha1
kind: Group
metadata: {name: plain, namespace: alpha}
spec: {}
---
apiVersion: bailiwick.dev/v1alpha1
kind: CustomRole
metadata: {name: lead, namespace: alpha}
spec: {permissions: [{resource: templates, actions: [read]}]}
---
apiVersion: bailiwick.dev/v1alpha1
kind: CustomRole
metadata: {name: small, namespace: alpha}
spec: {privileged: false, permissions: [{resource: templates, actions: [read]}]}
---
apiVersion: bailiwick.dev/v1alpha1
kind: RoleBinding
metadata: {name: leads, namespace: alpha}
spec: {roleRef: {kind: CustomRole, name: lead}, subjects: [{kind: Group, name: people}]}
---
apiVersion: bailiwick.dev/v1alpha1
kind: RoleBinding
metadata: {name: managers, namespace: alpha}
spec: {roleRef: {kind: SiteRole, name: organization-manager}}
---
apiVersion: bailiwick.dev/v1alpha1
kind: SiteRoleBinding
metadata: {name: admins}
spec: {roleRef: {name: site-admin}}
---
apiVersion: bailiwick.dev/v1alpha1
kind: SiteRoleBinding
metadata: {name: auditors}
spec: {roleRef: {name: auditor}}
",
    );
    cluster.settle();
    for (kind, selector, names) in [
        ("users", "spec.suspended=true", "bob"),
        ("users", "spec.suspended=false", "ada"),
        ("users", "spec.suspended!=true", "ada"),
        ("users", "spec.username=ada@example.com", "ada"),
        ("users", "status.username=bob", "bob"),
        ("users", "status.state=Active", "ada"),
        ("users", "status.state=Suspended,spec.suspended=true", "bob"),
        ("organizations", "spec.namespace=beta", "other"),
        ("organizations", "spec.default=true", "acme"),
        ("organizations", "status.namespace=alpha", "acme"),
        ("organizations", "status.default=false", "other"),
        ("groups", "status.privileged=true", "people"),
        ("customroles", "spec.privileged=false", "small"),
        ("rolebindings", "spec.roleRef.name=lead", "leads"),
        ("rolebindings", "spec.roleRef.kind=SiteRole", "managers"),
        ("siterolebindings", "spec.roleRef.name=auditor", "auditors"),
        ("siterolebindings", "spec.roleRef.kind=SiteRole", "admins auditors"),
        ("siteroles", "spec.privileged=false,metadata.name=site-admin", ""),
    ] {
        let kind = format!("{kind}.bailiwick.dev");
        let names_of = || {
            let found = cluster.get(&[&kind, "--all-namespaces", "--field-selector", selector]);
            let names =
                found["items"].as_array().unwrap().iter().map(|o| o["metadata"]["name"].as_str().unwrap().to_owned());
            names.collect::<Vec<_>>().join(" ")
        };
        cluster.eventually_or(
            || names_of() == names,
            |_| format!("{kind} with {selector}: {names:?}, not {:?}", names_of()),
        );
    }
}
