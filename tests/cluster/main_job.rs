//! The main job: organizations, users, groups and roles become access, and stop being access.

use crate::support::{Cluster, Question};

const VALUES: &str = "{namespaceWhitelist: [alpha, beta], defaultOrganization: {create: false}}";

const WORLD: &str = r#"
apiVersion: bailiwick.dev/v1alpha1
kind: Organization
metadata: {name: alpha}
spec: {namespace: alpha, default: true}
---
apiVersion: bailiwick.dev/v1alpha1
kind: User
metadata: {name: ada}
spec: {username: ada@example.com}
---
apiVersion: bailiwick.dev/v1alpha1
kind: User
metadata: {name: bob}
spec: {username: bob@example.com}
---
apiVersion: bailiwick.dev/v1alpha1
kind: CustomRole
metadata: {name: lead, namespace: alpha}
spec:
  permissions:
  - {resource: templates, actions: [read, delete]}
---
apiVersion: bailiwick.dev/v1alpha1
kind: RoleBinding
metadata: {name: leads, namespace: alpha}
spec:
  roleRef: {kind: CustomRole, name: lead}
  subjects:
  - {kind: User, name: ada@example.com}
"#;

#[test]
fn a_role_binding_becomes_access_and_its_end_takes_it_away() {
    let cluster = Cluster::with_operator(VALUES);
    let ada = Question::of("ada@example.com", "alpha");
    let bob = Question::of("bob@example.com", "alpha");
    cluster.apply(WORLD);
    cluster.settle();
    cluster.can(&ada, &["get podtemplates", "delete podtemplates", "create deployments.apps"]);
    cluster.cannot(&ada, &["get secrets", "create podtemplates", "create rolebindings.rbac.authorization.k8s.io"]);
    cluster.cannot(&Question::of("ada@example.com", "beta"), &["get podtemplates", "get pods"]);
    // No organization names him, so he belongs to the default one.
    cluster.can(&bob, &["create deployments.apps"]);
    cluster.cannot(&bob, &["get podtemplates"]);

    cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", "leads"]);
    cluster.cannot(&ada, &["get podtemplates"]);
}

#[test]
fn a_suspended_user_holds_nothing_and_gets_it_back_when_activated() {
    let cluster = Cluster::with_operator(VALUES);
    let ada = Question::of("ada@example.com", "alpha");
    cluster.apply(WORLD);
    cluster.can(&ada, &["get podtemplates", "create deployments.apps"]);
    cluster.run(&["patch", "users.bailiwick.dev", "ada", "--type=merge", "-p", r#"{"spec":{"suspended":true}}"#]);
    cluster.cannot(&ada, &["get podtemplates", "create deployments.apps"]);
    cluster.cannot(&Question::of("ada@example.com", ""), &["list users.bailiwick.dev"]);
    cluster.settle();
    let native = serde_json::to_string(&cluster.native()).unwrap();
    assert!(!native.contains("ada@example.com"), "{native}");
    cluster.run(&["patch", "users.bailiwick.dev", "ada", "--type=merge", "-p", r#"{"spec":{"suspended":false}}"#]);
    cluster.can(&ada, &["get podtemplates", "create deployments.apps"]);
}
