//! A suspended username writes nothing in organizations, whatever its groups. The test writes the list in place of the
//! operator.

use super::{Person, Site, pod};
use crate::support::manifests::{group, organization, user};
use crate::support::{RELEASE, outcome, with_input};

const VALUES: &str = "{namespaceWhitelist: [alpha, beta], defaultOrganization: {create: false}, \
                      admissionPolicies: {suspendedUsers: {breakGlass: [glass@example.com]}}}";
/// A group from the identity provider that Bailiwick does not know.
const DEVELOPERS: &str = "{apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'oidc:developers'}";
const MANAGED: &str = "app.kubernetes.io/managed-by=bailiwick";
const EVERYTHING: &str = r#"[{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]"#;

const LIST: &str = "bailiwick-suspended";

/// Writes one of the two texts of the list.
fn suspend(site: &Site, text: usize, names: &str) {
    let patch = serde_json::json!({"data": {format!("names-{text}"): names}}).to_string();
    // As input: a command line has less room than a list.
    let mut kubectl = site.cluster.plane.kubectl(&site.cluster.admin);
    kubectl.args(["-n", RELEASE, "patch", "configmap", LIST, "--type=merge", "--patch-file=/dev/stdin"]);
    outcome(with_input(kubectl, &patch)).unwrap();
}

fn because(username: &str) -> String {
    format!("user {username} is suspended")
}

fn config(namespace: &str) -> Vec<&str> {
    vec!["-n", namespace, "create", "configmap", "theirs", "--dry-run=server"]
}

#[test]
fn a_suspended_username_writes_nothing_in_organizations() {
    let mut site = Site::with_operator(VALUES);
    let alpha = organization("alpha", "{namespace: alpha, default: true}");
    site.cluster.apply(&(alpha + &user("zoe") + &group("alpha", "crew", &[])));
    site.cluster.await_reason(&["organizations.bailiwick.dev", "alpha"], "NamespaceAssigned", "Assigned");
    site.cluster.settle();
    // It would correct the list.
    site.cluster.stop_operator();
    let cluster = &site.cluster;
    site.give(DEVELOPERS, "", EVERYTHING);
    cluster.apply(
        &(pod("alpha", "there", "serviceAccountName: default")
            + "---\n"
            + &pod("beta", "there", "serviceAccountName: default")),
    );
    suspend(&site, 0, "\nada@example.com\nbob@example.com\n");
    suspend(&site, 1, "\ncid@example.com\n");
    let person = |name: &str| site.person_in(name, &["oidc:developers"]);
    let ada = person("ada@example.com");
    ada.soon("is suspended", || ada.tries(&config("alpha")));
    what_she_may_not(&ada);
    what_she_may(&ada);
    for name in ["bob@example.com", "cid@example.com"] {
        person(name).may_not(&config("alpha"), &because(name));
    }
    // Exactly these names, and no similar ones.
    for name in [
        "ad",
        "ada",
        "da@example.com",
        "nada@example.com",
        "ada@example.co",
        "ADA@example.com",
        "example.com",
        "*",
        ".*",
    ] {
        person(name).does(&config("alpha"));
    }
    a_long_list_and_long_names_are_no_hindrance(&site);
    the_list_is_nobody_elses(&site);
    some_are_exempt(&site);
}

fn what_she_may_not(ada: &Person) {
    let refused = because("ada@example.com");
    for words in [
        vec!["-n", "alpha", "create", "deployment", "hers", "--image=example"],
        vec!["-n", "alpha", "label", "pod", "there", "a=b"],
        vec!["-n", "alpha", "delete", "pod", "there"],
        vec!["-n", "alpha", "create", "token", "default"],
        vec!["-n", "alpha", "create", "rolebinding", "hers", "--clusterrole=view", "--user=ada@example.com"],
        vec!["-n", "alpha", "delete", "groups.bailiwick.dev", "crew"],
        vec!["delete", "--raw", "/api/v1/namespaces/alpha/pods"],
        vec!["patch", "users.bailiwick.dev", "zoe", "--type=merge", "-p", r#"{"spec":{"email":"a@b"}}"#],
        vec!["delete", "organizations.bailiwick.dev", "alpha"],
        vec!["label", "namespace", "alpha", "a=b"],
        vec!["label", "namespace", "alpha", "bailiwick.dev/organization-"],
        vec!["delete", "namespace", "alpha"],
    ] {
        ada.may_not(&words, &refused);
    }
    ada.may_not_create(&user("new"), &refused);
    ada.may_not_create(
        &pod("alpha", "x", "serviceAccountName: default").replace("name: x", "generateName: x-"),
        &refused,
    );
    ada.may_not_with(&["apply", "--server-side"], &group("alpha", "new", &[]), &refused);
    for subresource in ["exec?command=ls", "attach", "portforward", "eviction"] {
        let body = r#"{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"there","namespace":"alpha"}}"#;
        let path = format!("/api/v1/namespaces/alpha/pods/there/{subresource}");
        ada.may_not_with(&["create", "--raw", &path], body, &refused);
    }
    for path in ["pods/there/proxy/", "services/x/proxy/"] {
        ada.may_not(&["get", "--raw", &format!("/api/v1/namespaces/alpha/{path}")], &refused);
    }
}

fn what_she_may(ada: &Person) {
    ada.does(&["-n", "alpha", "get", "pods,groups.bailiwick.dev"]);
    ada.does(&["get", "users.bailiwick.dev"]);
    ada.does(&["auth", "can-i", "create", "pods", "-n", "alpha"]);
    // Without an organization, this is not Bailiwick's business.
    ada.does(&config("default"));
    ada.does(&config("beta"));
    ada.does(&["create", "namespace", "hers", "--dry-run=server"]);
    let answer = ada.connects("beta", "there", "exec?command=ls").unwrap_err();
    assert!(!answer.contains("suspended"), "{answer}");
}

/// The API server refuses everybody's writes if an expression costs too much, as it did for long names in long lists.
fn a_long_list_and_long_names_are_no_hindrance(site: &Site) {
    let long = |length: usize| format!("{}@example.com", "x".repeat(length - "@example.com".len()));
    let many: String = (0..14_000).map(|n| format!("user-{n:08}@long.list.example.com\n")).collect();
    for text in 0..2 {
        suspend(site, text, &format!("\nada@example.com\nbob@example.com\n{many}{}\n", long(127 - text)));
    }
    let person = |name: &str| site.person_in(name, &["oidc:developers"]);
    for length in [126, 127] {
        let last = person(&long(length));
        last.soon("is suspended", || last.tries(&config("alpha")));
        // A Namespace without an organization: the policy also checks the operator's own rights here.
        last.may_not(&["label", "namespace", "beta", "a=b"], "is suspended");
    }
    person("user-00013999@long.list.example.com").may_not(&config("alpha"), "is suspended");
    for length in [40, 128, 129, 1_000] {
        person(&long(length)).does(&config("alpha"));
        person(&long(length)).does(&["label", "namespace", "beta", &format!("a={length}"), "--overwrite"]);
    }
}

/// A user that could write it could lock everybody out, or let everybody in.
fn the_list_is_nobody_elses(site: &Site) {
    let eve = site.person("eve@example.com");
    eve.holds(
        "",
        "[{apiGroups: [''], resources: [configmaps], verbs: [get, create, update, patch, delete, deletecollection]}]",
    );
    // With that name elsewhere, and with another name there.
    for (name, namespace) in [(LIST, "alpha"), ("bailiwick-suspended-0", RELEASE)] {
        eve.does_with(
            &["create"],
            &format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {namespace}}}, data: {{names-0: \"\\nzoe@example.com\\n\"}}}}"),
        );
    }
    // Now the API server has seen this one, and so the earlier ones.
    suspend(site, 1, "\nyan@example.com\n");
    let yan = site.person_in("yan@example.com", &["oidc:developers"]);
    yan.soon("is suspended", || yan.tries(&config("alpha")));
    site.person_in("zoe@example.com", &["oidc:developers"]).does(&config("alpha"));
    for words in [
        vec!["label", "configmap", LIST, "app.kubernetes.io/part-of-"],
        vec!["patch", "configmap", LIST, "--type=merge", "-p", r#"{"data":{"names-0":""}}"#],
        vec!["delete", "configmap", LIST],
    ] {
        eve.may_not(
            &[vec!["-n", RELEASE], words].concat(),
            "bailiwick-suspended belongs to the Bailiwick installation",
        );
    }
}

fn some_are_exempt(site: &Site) {
    suspend(site, 1, "\nglass@example.com\nroot@example.com\nadmin\nyves@example.com\n");
    let yves = site.person_in("yves@example.com", &["oidc:developers"]);
    yves.soon("is suspended", || yves.tries(&config("alpha")));
    site.person_in("glass@example.com", &["oidc:developers"]).does(&config("alpha"));
    site.person_in("root@example.com", &["system:masters"]).does(&config("alpha"));
    site.cluster.run(&config("alpha"));
    // A missing list suspends nobody, and stops nobody.
    site.cluster.run(&["-n", RELEASE, "delete", "configmap", LIST]);
    site.cluster.eventually("nobody is suspended any more", || yves.tries(&config("alpha")).is_ok());
}

#[test]
fn a_suspension_acts_at_once_with_no_operator_running() {
    let mut site = Site::with_operator(VALUES);
    let named = |name: &str, username: &str| {
        format!(
            "---\n{{apiVersion: bailiwick.dev/v1alpha1, kind: User, metadata: {{name: {name}}}, spec: {{username: {username}@example.com}}}}\n"
        )
    };
    site.cluster.apply(
        &(organization("alpha", "{namespace: alpha, default: true}") + &user("ada") + &user("bob") + &user("dan")),
    );
    site.cluster.await_reason(&["organizations.bailiwick.dev", "alpha"], "NamespaceAssigned", "Assigned");
    site.cluster.await_reason(&["users.bailiwick.dev", "dan"], "Ready", "Reconciled");
    site.cluster.await_reason(&["users.bailiwick.dev", "bob"], "Ready", "Reconciled");
    // Another person's User with Bob's name.
    site.cluster.apply(&named("not-bob", "bob"));
    site.cluster.await_reason(&["users.bailiwick.dev", "not-bob"], "Ready", "UsernameTaken");
    site.cluster.settle();
    site.cluster.stop_operator();
    site.give(DEVELOPERS, "", EVERYTHING);
    site.cluster.run(&["-n", "alpha", "create", "role", "theirs", "--verb=get", "--resource=pods"]);
    // New ones that the operator has not seen yet.
    site.cluster.apply(&named("new", "cid"));
    let suspend = |name: &str| {
        site.cluster.run(&[
            "patch",
            "users.bailiwick.dev",
            name,
            "--type=merge",
            "-p",
            r#"{"spec":{"suspended":true}}"#,
        ]);
    };
    if !site.cluster.has_mutating_policies() {
        return without_a_label_it_waits_for_the_list(site);
    }
    let person = |name: &str| site.person_in(&format!("{name}@example.com"), &["oidc:developers"]);
    let (ada, bob, cid) = (person("ada"), person("bob"), person("cid"));
    ada.does(&config("alpha"));
    suspend("not-bob");
    suspend("new");
    suspend("ada");
    let start = std::time::Instant::now();
    ada.soon("user ada@example.com is suspended", || ada.tries(&config("alpha")));
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "it took {:?}", start.elapsed());
    // A second User with somebody's username locks nobody out.
    bob.does(&config("alpha"));
    cid.does(&config("alpha"));
    // She cannot lift it herself, with any rights.
    let because = "user ada@example.com is suspended";
    for words in [
        vec!["label", "users.bailiwick.dev", "ada", "bailiwick.dev/suspension-"],
        vec!["patch", "users.bailiwick.dev", "ada", "--type=merge", "-p", r#"{"spec":{"suspended":false}}"#],
        vec!["delete", "users.bailiwick.dev", "ada"],
        vec!["label", "namespace", "alpha", "bailiwick.dev/organization-"],
        vec!["-n", "alpha", "create", "role", "hers", "--verb=get", "--resource=pods"],
        vec!["-n", "alpha", "label", "role.rbac.authorization.k8s.io", "theirs", MANAGED],
    ] {
        ada.may_not(&words, because);
    }
    let status = |name: &'static str| {
        let patch = r#"{"status":{"conditions":[]}}"#;
        ["patch", "users.bailiwick.dev", name, "--subresource=status", "--type=merge", "-p", patch]
    };
    ada.may_not(&status("ada"), "nobody else may write the status");
    super::refused(ada.connects("alpha", "none", "exec?command=ls"), because, "exec");
    ada.does(&config("beta"));
    // Objects with the operator's labels are exempt: writing those requires more than rights in a namespace.
    suspend("dan");
    let dan = site.person_in("dan@example.com", &["oidc:team"]);
    site.give("{apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'oidc:team'}", "alpha", EVERYTHING);
    dan.soon("user dan@example.com is suspended", || dan.tries(&config("alpha")));
    dan.may_not_create(
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, rules: [], metadata: {name: hers, namespace: alpha, \
         labels: {app.kubernetes.io/managed-by: bailiwick}}}",
        "only the Bailiwick operator creates RBAC objects",
    );
    // Somebody else activates her again.
    site.cluster.run(&["patch", "users.bailiwick.dev", "ada", "--type=merge", "-p", r#"{"spec":{"suspended":false}}"#]);
    site.cluster.eventually("ada is active", || ada.tries(&config("alpha")).is_ok());
}

/// The behavior that docs/reference/kubernetes-versions.md describes for versions without MutatingAdmissionPolicies.
fn without_a_label_it_waits_for_the_list(mut site: Site) {
    site.cluster.run(&["patch", "users.bailiwick.dev", "ada", "--type=merge", "-p", r#"{"spec":{"suspended":true}}"#]);
    let developer = |site: &Site, words: &[&str]| {
        site.person_in("ada@example.com", &["oidc:developers"])
            .tries(words)
            .map_err(|error| error.contains("is suspended"))
    };
    developer(&site, &config("alpha")).unwrap();
    site.cluster.start_operator();
    site.cluster.eventually("ada writes nothing", || developer(&site, &config("alpha")) == Err(true));
}
