//! Claims: exclusive, recorded, kept after deletion, and limited by the whitelist.

use crate::support::manifests::{binding, custom_role, group, organization, users};
use crate::support::{Cluster, Question};

/// Without the policy that protects the default organization, to test its deletion.
const VALUES: &str = "{namespaceWhitelist: [alpha, beta], defaultOrganization: {create: false}, \
                      admissionPolicies: {defaultOrganization: {enabled: false}}}";
fn patch(cluster: &Cluster, what: &[&str], patch: &str) {
    cluster.run(&[&["patch", "--type=merge", "-p", patch], what].concat());
}

const DELETE: &[&str] = &["delete podtemplates"];
const DELETER: &str = "{permissions: [{resource: templates, actions: [delete]}]}";
const MEMBER: &[&str] = &["create deployments.apps"];

fn organization_named(name: &str) -> [&str; 2] {
    ["organizations.bailiwick.dev", name]
}

fn question(name: &str, namespace: &str) -> Question {
    Question::of(&format!("{name}@example.com"), namespace)
}

/// A role, with one holder by name and one through a group.
fn team(namespace: &str, by_name: &str, by_group: &str) -> String {
    custom_role(namespace, "deleter", DELETER)
        + &group(namespace, "crew", &[by_group])
        + &binding(namespace, "deleters", "CustomRole/deleter", &[by_name])
}

/// The record of a claim: name, UID.
fn record(cluster: &Cluster, namespace: &str) -> (String, String) {
    let metadata = cluster.get(&["namespace", namespace])["metadata"].clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    (
        text(&metadata["labels"]["bailiwick.dev/organization"]),
        text(&metadata["annotations"]["bailiwick.dev/organization-uid"]),
    )
}

fn uid(cluster: &Cluster, organization: &str) -> String {
    cluster.get(&organization_named(organization))["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn native_in(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let native = cluster.native();
    let there = native.iter().filter(|o| o["metadata"]["namespace"] == namespace);
    there.map(|o| o["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_claim_is_exclusive_recorded_and_kept_until_an_administrator_releases_it() {
    let cluster = Cluster::with_operator(VALUES);
    let (ada, bob) = (question("ada", "alpha"), question("bob", "alpha"));
    // Users without an organization are members of this one, which has no namespace.
    cluster.apply(&organization("home", "{default: true}"));
    cluster.apply(&(users(&["ada", "bob", "eve"]) + &organization("first", "{namespace: alpha}")));
    cluster.await_reason(&organization_named("first"), "NamespaceAssigned", "Assigned");
    assert_eq!(record(&cluster, "alpha"), ("first".to_owned(), uid(&cluster, "first")));
    cluster.apply(&team("alpha", "ada", "bob"));
    cluster.can(&ada, &[DELETE, MEMBER].concat());
    cluster.can(&bob, MEMBER);
    cluster.settle();

    // First come, first served: the second gets nothing, and the first is unaffected.
    let before = native_in(&cluster, "alpha");
    cluster.apply(&organization("second", "{namespace: alpha}"));
    let second = organization_named("second");
    let message = cluster.await_reason(&second, "NamespaceAssigned", "AlreadyClaimed");
    assert!(message.contains("namespace alpha") && message.contains("Organization first"), "{message}");
    cluster.await_reason(&second, "Ready", "AlreadyClaimed");
    cluster.settle();
    assert_eq!(cluster.get(&second)["status"]["namespace"], serde_json::Value::Null);
    assert_eq!(cluster.get(&second)["status"]["grants"], 0);
    assert_eq!(record(&cluster, "alpha"), ("first".to_owned(), uid(&cluster, "first")));
    assert_eq!(native_in(&cluster, "alpha"), before);

    // Deleting an organization removes its grants, never its namespace; no other organization inherits it.
    cluster.run(&["delete", "organizations.bailiwick.dev", "first"]);
    cluster.cannot(&ada, &[DELETE, MEMBER].concat());
    cluster.cannot(&bob, MEMBER);
    let message = cluster.await_reason(&second, "NamespaceAssigned", "ReservedFor");
    assert!(message.contains("Namespace alpha") && message.contains("Organization first"), "{message}");
    cluster.await_reason(&["-n", "alpha", "groups.bailiwick.dev", "crew"], "Ready", "NoOrganization");
    cluster.settle();
    assert_eq!(native_in(&cluster, "alpha"), [""; 0]);
    assert!(cluster.exists(&["-n", "alpha", "rolebindings.bailiwick.dev", "deleters"]));
    assert_eq!(record(&cluster, "alpha").0, "first");

    // Deleting and recreating does not make `spec.namespace` mutable.
    cluster.apply(&organization("first", "{namespace: beta}"));
    let first = organization_named("first");
    let message = cluster.await_reason(&first, "NamespaceAssigned", "ReservedElsewhere");
    assert!(message.contains("namespace beta") && message.contains("namespace alpha"), "{message}");
    cluster.settle();
    assert_eq!(record(&cluster, "beta"), (String::new(), String::new()));
    assert_eq!(native_in(&cluster, "beta"), [""; 0]);

    // A recreated organization of the same name gets its namespace back, and its objects count again.
    cluster.run(&["delete", "organizations.bailiwick.dev", "first"]);
    cluster.apply(&organization("first", "{namespace: alpha}"));
    cluster.await_reason(&first, "NamespaceAssigned", "Assigned");
    assert_eq!(record(&cluster, "alpha"), ("first".to_owned(), uid(&cluster, "first")));
    cluster.can(&ada, &[DELETE, MEMBER].concat());
    cluster.can(&bob, MEMBER);

    // An administrator removes the label: the namespace goes to the next organization, without the former one's grants.
    cluster.run(&["delete", "organizations.bailiwick.dev", "first"]);
    cluster.await_reason(&second, "NamespaceAssigned", "ReservedFor");
    cluster.run(&["label", "namespace", "alpha", "bailiwick.dev/organization-"]);
    cluster.await_reason(&second, "NamespaceAssigned", "Assigned");
    assert_eq!(record(&cluster, "alpha"), ("second".to_owned(), uid(&cluster, "second")));
    for (kind, name) in [("groups", "crew"), ("rolebindings", "deleters"), ("customroles", "deleter")] {
        let object = ["-n", "alpha", &format!("{kind}.bailiwick.dev"), name];
        cluster.await_reason(&object, "Ready", "FromFormerOrganization");
    }
    cluster.settle();
    cluster.is_refused(&ada, &[DELETE, MEMBER].concat());
    cluster.is_refused(&bob, MEMBER);
    // A label makes none of them younger. Writing the spec of one vouches for that object, not for the role that it
    // names.
    cluster.run(&["-n", "alpha", "label", "customroles.bailiwick.dev", "deleter", "seen=yes"]);
    cluster.apply(&binding("alpha", "deleters", "CustomRole/deleter", &["ada", "bob"]));
    let deleters = ["-n", "alpha", "rolebindings.bailiwick.dev", "deleters"];
    cluster.await_reason(&deleters, "RoleResolved", "FromFormerOrganization");
    cluster.settle();
    cluster.is_refused(&ada, DELETE);
    cluster.is_refused(&bob, DELETE);
    patch(&cluster, &["-n", "alpha", "customroles.bailiwick.dev", "deleter"], r#"{"spec":{"displayName":"Deleters"}}"#);
    cluster.can(&ada, DELETE);
    cluster.can(&bob, DELETE);
    cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", "deleters"]);
    cluster.cannot(&ada, DELETE);
    cluster.cannot(&bob, DELETE);
    // New objects of the new organization count; times are whole seconds.
    let claimed = cluster.get(&["namespace", "alpha"])["metadata"]["annotations"]["bailiwick.dev/claimed-at"].clone();
    let claimed: jiff::Timestamp = claimed.as_str().unwrap().parse().unwrap();
    cluster.eventually("another second", || jiff::Timestamp::now().as_second() > claimed.as_second());
    cluster.apply(&custom_role("alpha", "new", DELETER));
    cluster.apply(&binding("alpha", "new", "CustomRole/new", &["eve", "Group/crew"]));
    cluster.can(&question("eve", "alpha"), &[DELETE, MEMBER].concat());
    let new = ["-n", "alpha", "rolebindings.bailiwick.dev", "new"];
    let message = cluster.await_reason(&new, "SubjectsResolved", "FromFormerOrganization");
    assert!(message.contains(r#"subjects[1] (Group "crew")"#), "{message}");
    cluster.is_refused(&bob, DELETE);

    // The released organization can take another namespace now.
    cluster.apply(&organization("first", "{namespace: beta}"));
    cluster.await_reason(&first, "NamespaceAssigned", "Assigned");
}

#[test]
fn two_that_ask_before_any_operator_runs_are_served_by_age() {
    let mut cluster = Cluster::with_chart(VALUES);
    cluster.apply(&organization("zeta", "{namespace: alpha}"));
    let created = cluster.get(&organization_named("zeta"))["metadata"]["creationTimestamp"].clone();
    let created: jiff::Timestamp = created.as_str().unwrap().parse().unwrap();
    cluster.eventually("another second", || jiff::Timestamp::now().as_second() > created.as_second());
    cluster.apply(&organization("eta", "{namespace: alpha}"));
    cluster.apply(&(organization("inert", "{displayName: No namespace}") + &users(&["ada"])));
    cluster.start_operator();
    cluster.await_reason(&organization_named("zeta"), "NamespaceAssigned", "Assigned");
    cluster.await_reason(&organization_named("eta"), "NamespaceAssigned", "AlreadyClaimed");
    // An organization without a namespace is legal, and has no effect.
    let inert = organization_named("inert");
    cluster.await_reason(&inert, "NamespaceAssigned", "NotSet");
    assert_eq!(cluster.condition(&inert, "Ready").unwrap().0, "True");
    // It gets a namespace once its spec names one, and that is final.
    let set = |namespace: &str| {
        let patch = format!(r#"{{"spec":{{"namespace":{namespace}}}}}"#);
        cluster
            .kubectl(&["patch", "organizations.bailiwick.dev", "inert", "--type=merge", "-p", &patch])
            .status
            .success()
    };
    assert!(set(r#""beta""#));
    cluster.await_reason(&inert, "NamespaceAssigned", "Assigned");
    assert!(!set(r#""alpha""#) && !set("null"), "set once");
    // A release gives a namespace to nobody while its organization still requests it.
    cluster.run(&["label", "namespace", "alpha", "bailiwick.dev/organization-"]);
    cluster.eventually("the record is written again", || record(&cluster, "alpha").0 == "zeta");
    cluster.settle();
    cluster.await_reason(&organization_named("eta"), "NamespaceAssigned", "AlreadyClaimed");
}

#[test]
fn a_namespace_that_leaves_the_whitelist_holds_no_grants_and_one_that_joins_it_works_at_once() {
    let cluster = Cluster::with_operator(VALUES);
    cluster.apply(&(users(&["ada", "bob"]) + &organization("first", "{namespace: alpha}")));
    cluster.apply(&organization("third", "{namespace: gamma}"));
    cluster.apply(&team("alpha", "ada", "bob"));
    let ada = question("ada", "alpha");
    cluster.can(&ada, &[DELETE, MEMBER].concat());
    let (first, third) = (organization_named("first"), organization_named("third"));
    let message = cluster.await_reason(&third, "NamespaceAssigned", "NotWhitelisted");
    assert!(message.contains("gamma") && message.contains("namespaceWhitelist"), "{message}");

    let upgrade = |list: &str| {
        let values = format!("{{namespaceWhitelist: [{list}], defaultOrganization: {{create: false}}}}");
        let output = cluster.helm_upgrade(&values);
        assert!(output.status.success(), "{output:?}");
    };
    upgrade("beta, gamma");
    cluster.cannot(&ada, &[DELETE, MEMBER].concat());
    cluster.await_reason(&first, "NamespaceAssigned", "NotWhitelisted");
    cluster.await_reason(&["-n", "alpha", "rolebindings.bailiwick.dev", "deleters"], "Ready", "NoOrganization");
    cluster.eventually("no grant is left in alpha", || native_in(&cluster, "alpha").is_empty());
    assert!(cluster.exists(&["namespace", "alpha"]), "the namespace stays");
    // The operator may no longer write there, and does not need to.
    let operator = Question::of_service_account("bailiwick-system", "bailiwick", "alpha");
    cluster.is_refused(&operator, &["create rolebindings.rbac.authorization.k8s.io"]);

    cluster.await_reason(&third, "NamespaceAssigned", "Assigned");
    cluster.apply(&team("gamma", "ada", "bob"));
    cluster.can(&question("ada", "gamma"), &[DELETE, MEMBER].concat());
    cluster.can(&question("bob", "gamma"), MEMBER);
    cluster.settle();
    cluster.is_refused(&ada, &[DELETE, MEMBER].concat());

    // And back: the record still stands.
    upgrade("alpha, gamma");
    cluster.await_reason(&first, "NamespaceAssigned", "Assigned");
    cluster.can(&ada, &[DELETE, MEMBER].concat());
}

#[test]
fn a_namespace_that_shrank_away_while_no_operator_ran_is_cleared_at_the_takeover() {
    let mut cluster = Cluster::with_operator(VALUES);
    cluster.apply(&(users(&["ada", "bob"]) + &organization("first", "{namespace: alpha}")));
    cluster.apply(&team("alpha", "ada", "bob"));
    let ada = question("ada", "alpha");
    cluster.can(&ada, &[DELETE, MEMBER].concat());
    cluster.settle();
    cluster.stop_operator();
    assert!(
        cluster.helm_upgrade("{namespaceWhitelist: [beta], defaultOrganization: {create: false}}").status.success()
    );
    assert!(cluster.allowed(&ada, DELETE[0]));
    cluster.start_operator();
    cluster.cannot(&ada, &[DELETE, MEMBER].concat());
    cluster.eventually("no grant is left in alpha", || native_in(&cluster, "alpha").is_empty());
}

#[test]
fn a_namespace_that_is_missing_goes_or_comes_back_without_the_chart_is_said_and_mended() {
    let cluster = Cluster::with_operator(VALUES);
    let beta = organization_named("beta");
    cluster.run(&["delete", "namespace", "beta"]);
    cluster.apply(&(users(&["ada", "bob"]) + &organization("beta", "{namespace: beta}")));
    cluster.apply(&organization("alpha", "{namespace: alpha}"));
    let message = cluster.await_reason(&beta, "NamespaceAssigned", "NamespaceNotFound");
    assert!(message.contains("Namespace beta") && message.contains("`helm upgrade`"), "{message}");
    let ada = question("ada", "beta");

    // Created manually, it lacks the chart's RoleBindings for the operator. The claim stands, grants wait.
    cluster.run(&["create", "namespace", "beta"]);
    cluster.apply(&team("beta", "ada", "bob"));
    let message = cluster.await_reason(&beta, "NamespaceAssigned", "OperatorNotAuthorized");
    assert!(message.contains("Upgrade the release: the chart gives them back"), "{message}");
    cluster.await_reason(&beta, "Ready", "OperatorNotAuthorized");
    cluster.is_refused(&ada, &[DELETE, MEMBER].concat());
    // This does not delay the others.
    cluster.apply(&team("alpha", "ada", "bob"));
    cluster.can(&question("ada", "alpha"), &[DELETE, MEMBER].concat());
    assert!(cluster.helm_upgrade(VALUES).status.success());
    cluster.can(&ada, &[DELETE, MEMBER].concat());
    cluster.await_reason(&beta, "NamespaceAssigned", "Assigned");
    cluster.await_reason(&beta, "Ready", "Reconciled");
    assert_eq!(record(&cluster, "beta"), ("beta".to_owned(), uid(&cluster, "beta")));

    // Terminating, with a Pod left, for which Kubernetes keeps RBAC too.
    cluster.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: last, namespace: beta, finalizers: [example.com/wait]},
          spec: {containers: [{name: main, image: none}]}}",
    );
    cluster.run(&["delete", "namespace", "beta", "--wait=false"]);
    let message = cluster.await_reason(&beta, "NamespaceAssigned", "NamespaceTerminating");
    assert!(message.contains("Namespace beta"), "{message}");
    cluster.cannot(&ada, &[DELETE, MEMBER].concat());
    cluster.run(&["-n", "beta", "patch", "pod", "last", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    cluster.await_reason(&beta, "NamespaceAssigned", "NamespaceNotFound");

    // Recreated while the operator runs.
    cluster.run(&["create", "namespace", "beta"]);
    cluster.apply(&team("beta", "ada", "bob"));
    cluster.await_reason(&beta, "NamespaceAssigned", "OperatorNotAuthorized");
    cluster.is_refused(&ada, &[DELETE, MEMBER].concat());
    assert!(cluster.helm_upgrade(VALUES).status.success());
    cluster.can(&ada, &[DELETE, MEMBER].concat());
    cluster.can(&question("bob", "beta"), MEMBER);
    cluster.await_reason(&beta, "Ready", "Reconciled");
    assert_eq!(record(&cluster, "beta"), ("beta".to_owned(), uid(&cluster, "beta")));
}
