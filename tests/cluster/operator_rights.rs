//! Requests that the API server itself refuses to the operator: sent as its ServiceAccount, with its real token and the
//! chart's rights, to simulate a bug that grants too much.

use std::path::PathBuf;

use crate::support::manifests::{self, organization, users};
use crate::support::{Cluster, Question, RELEASE, outcome, with_input};

/// The limits hold without any policy.
const VALUES: &str = "{namespaceWhitelist: [alpha, beta], admissionPolicies: {
  handingOutRoles: {enabled: false}, groupVouched: {enabled: false}, defaultOrganization: {enabled: false},
  namespaceClaims: {enabled: false}, suspending: {enabled: false}, suspendedUsers: {enabled: false},
  guardedServiceAccounts: {enabled: false}, managedObjects: {enabled: false}, operatorGuard: {enabled: false}}}";
const ALPHA: &str = "alpha";
/// Not in the whitelist.
const OUTSIDE: &str = "outside";

#[test]
fn the_api_server_holds_the_operator_to_its_bounds() {
    let site = Site::new();
    the_operator_writes_rbac_inside_of_its_bounds_and_nowhere_else(&site);
    the_operator_binds_no_role_that_is_more_than_it_holds(&site);
    the_operator_gives_cluster_scoped_rights_of_the_catalog_only(&site);
    the_operator_cannot_widen_what_it_holds(&site);
    the_operator_writes_in_the_release_namespace_what_belongs_to_the_site_only(&site);
    the_operator_is_nobody_else_and_reads_no_secrets(&site);
}

/// Otherwise the manager of an organization beside the operator could stop it, or exceed its limits. This requires no
/// policy.
#[test]
fn who_manages_the_release_namespace_reaches_nothing_that_the_operator_runs_on() {
    let values = VALUES.replace("[alpha, beta]", &format!("[alpha, {RELEASE}]"));
    let cluster = Cluster::with_operator(&values);
    cluster.apply(&users(&["ada"]));
    for namespace in [ALPHA, RELEASE] {
        cluster.apply(&organization(namespace, &format!("{{namespace: {namespace}}}")));
        cluster.apply(&manifests::binding(namespace, "m", "SiteRole/organization-manager", &["ada"]));
    }
    let kinds = [
        "configmaps",
        "networkpolicies.networking.k8s.io",
        "horizontalpodautoscalers.autoscaling",
        "verticalpodautoscalers.autoscaling.k8s.io",
        "scaledobjects.keda.sh",
    ];
    let all: Vec<String> =
        kinds.iter().flat_map(|kind| ["create", "update", "delete"].map(|verb| format!("{verb} {kind}"))).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let ada = |namespace| Question::of("ada@example.com", namespace);
    cluster.can(&ada(ALPHA), &all);
    cluster.can(&ada(RELEASE), &["create pods", "create serviceaccounts", "update deployments.apps"]);
    cluster.is_refused(&ada(RELEASE), &all);
    cluster.is_refused(&Question::of_service_account(RELEASE, "bailiwick", RELEASE), &all);
    // The binding reports why it grants less here.
    let said =
        |namespace| cluster.condition(&["-n", namespace, "rolebindings.bailiwick.dev", "m"], "RoleResolved").unwrap().2;
    assert!(said(RELEASE).contains("withholds"), "{}", said(RELEASE));
    // Its own roles do not help either, through words or native rules.
    for (name, rights) in [
        ("words", "permissions: [{resource: config-maps, actions: [update]}]"),
        ("rules", "rules: [{apiGroups: [''], resources: [configmaps], verbs: [update]}]"),
        ("inherited", "inherits: [{kind: SiteRole, name: organization-manager}]"),
    ] {
        cluster.apply(&manifests::object("CustomRole", RELEASE, name, &format!("{{privileged: true, {rights}}}")));
        cluster.apply(&manifests::binding(RELEASE, name, &format!("CustomRole/{name}"), &["ada"]));
    }
    cluster.quiet();
    cluster.is_refused(&ada(RELEASE), &all);
}

fn the_operator_writes_rbac_inside_of_its_bounds_and_nowhere_else(site: &Site) {
    // Inside: the ceiling, in the namespaces of the whitelist.
    site.creates(&role(
        ALPHA,
        "inside",
        &[r#"{apiGroups: [apps], resources: [deployments], verbs: [get, list, create, delete]}"#],
    ));
    site.creates(&role(ALPHA, "use", &[r#"{apiGroups: [""], resources: [pods/exec], verbs: [get, create]}"#]));
    site.creates(&role(
        ALPHA,
        "hand-out",
        &["{apiGroups: [bailiwick.dev], resources: [siteroles], resourceNames: [organization-manager], verbs: [bind]}"],
    ));
    site.creates(&binding(ALPHA, "inside", "Role", "inside"));
    site.creates(&role("beta", "inside", &[r#"{apiGroups: [""], resources: [pods], verbs: [get]}"#]));
    site.does(&["-n", ALPHA, "delete", "rolebinding.rbac.authorization.k8s.io", "inside"]);

    // The same rules outside the whitelist; even an empty Role.
    for namespace in [OUTSIDE, "kube-system", "default"] {
        site.may_not_create(&role(
            namespace,
            "outside",
            &["{apiGroups: [apps], resources: [deployments], verbs: [get]}"],
        ));
        site.may_not_create(&role(namespace, "outside", &[]));
        site.may_not_create(&binding(namespace, "outside", "ClusterRole", "bailiwick-grantable"));
        site.may_not_create(&binding(namespace, "outside", "ClusterRole", "view"));
        site.may_not_create(&binding(namespace, "outside", "ClusterRole", "cluster-admin"));
    }

    // Beyond the ceiling, in a namespace of the whitelist.
    for rule in [
        r#"{apiGroups: [""], resources: [secrets], verbs: [get]}"#,
        r#"{apiGroups: [""], resources: [resourcequotas], verbs: [update]}"#,
        r#"{apiGroups: [""], resources: [serviceaccounts/token], verbs: [create]}"#,
        r#"{apiGroups: [""], resources: [serviceaccounts], verbs: [impersonate]}"#,
        r#"{apiGroups: [apps], resources: [replicasets], verbs: [delete]}"#,
        r#"{apiGroups: [apps], resources: [daemonsets], verbs: [get]}"#,
        r#"{apiGroups: [apps], resources: [deployments], verbs: ["*"]}"#,
        r#"{apiGroups: [apps], resources: ["*"], verbs: [get]}"#,
        r#"{apiGroups: ["*"], resources: [deployments], verbs: [get]}"#,
        r#"{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}"#,
        "{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [bind]}",
        "{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [escalate]}",
        // It holds `create` itself, so the API server would allow granting it; core withholds that (bad_input.rs).
        "{apiGroups: [rbac.authorization.k8s.io], resources: [rolebindings], verbs: [update]}",
    ] {
        site.may_not_create(&role(ALPHA, "beyond", &[rule]));
        // A rule within the ceiling does not help another one.
        site.may_not_create(&role(
            ALPHA,
            "beyond",
            &["{apiGroups: [apps], resources: [deployments], verbs: [get]}", rule],
        ));
    }
    site.may_not(
        "a Role cannot be widened beyond the ceiling",
        &[
            "-n",
            ALPHA,
            "patch",
            "role.rbac.authorization.k8s.io",
            "inside",
            "--type=json",
            "-p",
            r#"[{"op":"add","path":"/rules/-","value":{"apiGroups":[""],"resources":["secrets"],"verbs":["get"]}}]"#,
        ],
    );
}

fn the_operator_binds_no_role_that_is_more_than_it_holds(site: &Site) {
    for role in ["cluster-admin", "admin", "edit", "view", "system:node", "system:kube-controller-manager"] {
        site.may_not_create(&binding(ALPHA, "more", "ClusterRole", role));
        site.may_not_create(&cluster_binding("more", role));
    }
    // Neither to others nor to itself.
    let own = format!("[{{kind: ServiceAccount, name: bailiwick, namespace: {RELEASE}}}]");
    site.may_not_create(&cluster_binding("more", "cluster-admin").replace(SUBJECTS, &own));
    // A missing role could become anything.
    let answer = site.create(&cluster_binding("more", "not-there-yet")).unwrap_err();
    assert!(answer.contains("not found"), "{answer}");
    // It cannot grant everywhere what it holds only in the whitelist.
    site.may_not_create(&cluster_binding("more", "bailiwick-grantable"));
    site.may_not_create(&cluster_binding("more", "bailiwick-grantable-release"));
    site.may_not_create(&cluster_binding("more", "bailiwick-projector"));
}

fn the_operator_gives_cluster_scoped_rights_of_the_catalog_only(site: &Site) {
    site.creates(&cluster_role(
        "site",
        &["{apiGroups: [bailiwick.dev], resources: [users], verbs: [get, list, suspend]}"],
    ));
    site.creates(&cluster_role(
        "hand-out",
        &["{apiGroups: [bailiwick.dev], resources: [siteroles], resourceNames: [auditor], verbs: [bind]}"],
    ));
    site.creates(&cluster_binding("site", "site"));
    for rule in [
        r#"{apiGroups: [""], resources: [pods], verbs: [get]}"#,
        r#"{apiGroups: [""], resources: [pods/exec], verbs: [create]}"#,
        r#"{apiGroups: [""], resources: [secrets], verbs: [list]}"#,
        r#"{apiGroups: [""], resources: [nodes], verbs: [get]}"#,
        r#"{apiGroups: [""], resources: [namespaces], verbs: [delete]}"#,
        r#"{apiGroups: [""], resources: [users, groups], verbs: [impersonate]}"#,
        "{apiGroups: [bailiwick.dev], resources: [siteroles], verbs: [bind, escalate]}",
        "{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], verbs: [bind]}",
        "{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], verbs: [update]}",
        "{apiGroups: [admissionregistration.k8s.io], resources: [mutatingadmissionpolicies], verbs: [delete]}",
        r#"{nonResourceURLs: ["*"], verbs: [get]}"#,
    ] {
        site.may_not_create(&cluster_role("beyond", &[rule]));
    }
}

fn the_operator_cannot_widen_what_it_holds(site: &Site) {
    let add = r#"[{"op":"add","path":"/rules/-","value":{"apiGroups":[""],"resources":["secrets"],"verbs":["get"]}}]"#;
    for own in [
        "bailiwick-operator",
        "bailiwick-projector",
        "bailiwick-catalog",
        "bailiwick-catalog-cluster",
        "bailiwick-catalog-release",
    ] {
        site.may_not(&format!("{own} cannot be widened"), &["patch", "clusterrole", own, "--type=json", "-p", add]);
    }
    // The ceilings collect ClusterRoles with a label, so writing those means writing the ceiling.
    for label in ["", "-elsewhere", "-cluster", "-release"] {
        let role = cluster_role("wider", &[r#"{apiGroups: [""], resources: [secrets], verbs: [get]}"#]);
        let labels = format!("name: wider, labels: {{bailiwick.dev/aggregate-to-grantable{label}: \"true\"}}");
        site.may_not_create(&role.replace("name: wider", &labels));
    }
    site.may_not_create(
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: wider}, \
          aggregationRule: {clusterRoleSelectors: [{matchLabels: {kubernetes.io/bootstrapping: rbac-defaults}}]}}",
    );
    let change = r#"{"data":{"bounds.yaml":"namespaceWhitelist: [kube-system]"}}"#;
    site.may_not(
        "its bounds are not its own to set",
        &["-n", RELEASE, "patch", "configmap", "bailiwick-bounds", "-p", change],
    );
}

fn the_operator_is_nobody_else_and_reads_no_secrets(site: &Site) {
    site.cluster.run(&["-n", ALPHA, "create", "secret", "generic", "password", "--from-literal=a=b"]);
    for words in [
        vec!["get", "secrets", "--all-namespaces"],
        vec!["-n", ALPHA, "get", "secret", "password"],
        vec!["-n", ALPHA, "get", "secrets"],
        vec!["-n", RELEASE, "get", "secrets"],
        vec!["-n", RELEASE, "get", "configmaps"],
        vec!["-n", RELEASE, "create", "token", "bailiwick"],
        vec!["-n", "kube-system", "create", "token", "clusterrole-aggregation-controller"],
        vec!["--as", "admin", "get", "organizations.bailiwick.dev"],
        vec!["--as", "admin", "--as-group", "system:masters", "get", "secrets"],
        vec!["--as", "system:serviceaccount:kube-system:namespace-controller", "get", "namespaces"],
        vec!["get", "nodes"],
        vec!["delete", "namespace", ALPHA],
        vec!["create", "namespace", "more"],
        vec!["label", "namespace", OUTSIDE, "bailiwick.dev/organization=default"],
        vec!["-n", OUTSIDE, "get", "pods"],
        vec!["-n", RELEASE, "get", "pods"],
        vec!["-n", RELEASE, "scale", "deployment", "bailiwick", "--replicas=0"],
        vec!["delete", "crd", "users.bailiwick.dev"],
        vec!["delete", "mutatingadmissionpolicy", "bailiwick-group-vouched"],
    ] {
        site.may_not("is none of its business", &words);
    }
    // Its daily work. (It has to hold the catalog's rights to grant them, even on our own kinds; that it writes only
    // their status is its own rule, see writer.rs, which RBAC cannot enforce.)
    site.does(&["label", "namespace", ALPHA, "bailiwick.dev/organization=default"]);
    site.does(&["get", "organizations.bailiwick.dev,users.bailiwick.dev"]);
    site.does(&["get", "groups.bailiwick.dev", "--all-namespaces"]);
}

fn the_operator_writes_in_the_release_namespace_what_belongs_to_the_site_only(site: &Site) {
    let config =
        r#"{apiGroups: [""], resources: [configmaps], resourceNames: [bailiwick-config], verbs: [get, update]}"#;
    site.creates(&role(RELEASE, "config", &[config]));
    for rule in [
        r#"{apiGroups: [""], resources: [configmaps], resourceNames: [bailiwick-bounds], verbs: [update]}"#,
        r#"{apiGroups: [""], resources: [configmaps], verbs: [update]}"#,
        r#"{apiGroups: [""], resources: [pods/exec], verbs: [create]}"#,
        r#"{apiGroups: [""], resources: [secrets], verbs: [get]}"#,
        r#"{apiGroups: [""], resources: [serviceaccounts/token], verbs: [create]}"#,
        // Workspaces belong to organizations, and the release namespace is not in the whitelist.
        "{apiGroups: [apps], resources: [deployments], verbs: [get]}",
        "{apiGroups: [apps], resources: [deployments], resourceNames: [bailiwick], verbs: [update]}",
    ] {
        site.may_not_create(&role(RELEASE, "beyond", &[rule]));
    }
}

const SUBJECTS: &str = "[{kind: User, apiGroup: rbac.authorization.k8s.io, name: ada}]";

fn role(namespace: &str, name: &str, rules: &[&str]) -> String {
    let rules = rules.join(", ");
    format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {{name: {name}, namespace: {namespace}}}, \
          rules: [{rules}]}}"
    )
}

fn cluster_role(name: &str, rules: &[&str]) -> String {
    let rules = rules.join(", ");
    format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: {name}}}, rules: [{rules}]}}"
    )
}

fn binding(namespace: &str, name: &str, kind: &str, role: &str) -> String {
    format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {{name: {name}, namespace: {namespace}}}, \
          roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: '{role}'}}, subjects: {SUBJECTS}}}"
    )
}

fn cluster_binding(name: &str, role: &str) -> String {
    format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {{name: {name}}}, \
          roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: '{role}'}}, subjects: {SUBJECTS}}}"
    )
}

/// A cluster with the chart, and the operator's own credentials.
struct Site {
    cluster: Cluster,
    operator: PathBuf,
}

impl Site {
    fn new() -> Self {
        let cluster = Cluster::with_chart(VALUES);
        cluster.run(&["create", "namespace", OUTSIDE]);
        let token = cluster.run(&["-n", RELEASE, "create", "token", "bailiwick"]);
        let operator = cluster.plane.token_kubeconfig("the-operator", token.trim()).unwrap();
        for ceiling in ["bailiwick-grantable", "bailiwick-grantable-cluster", "bailiwick-grantable-release"] {
            cluster.eventually("the API server has collected the ceiling", || {
                !cluster.run(&["get", "clusterrole", ceiling, "-o", "jsonpath={.rules}"]).is_empty()
            });
        }
        Self { cluster, operator }
    }

    fn create(&self, yaml: &str) -> Result<String, String> {
        let mut kubectl = self.cluster.plane.kubectl(&self.operator);
        kubectl.args(["create", "--validate=false", "-f", "-"]);
        outcome(with_input(kubectl, yaml))
    }

    #[track_caller]
    fn creates(&self, yaml: &str) {
        self.create(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    }

    #[track_caller]
    fn may_not_create(&self, yaml: &str) {
        match self.create(yaml) {
            Ok(_) => panic!("the operator can create {yaml}"),
            Err(error) => assert!(error.contains("forbidden"), "{error}\n{yaml}"),
        }
    }

    #[track_caller]
    fn does(&self, arguments: &[&str]) {
        outcome(self.cluster.kubectl_as(&self.operator, arguments))
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
    }

    #[track_caller]
    fn may_not(&self, what: &str, arguments: &[&str]) {
        match outcome(self.cluster.kubectl_as(&self.operator, arguments)) {
            Ok(_) => panic!("{what}, but it can: {arguments:?}"),
            Err(error) => assert!(error.to_lowercase().contains("forbidden"), "{arguments:?}: {error}"),
        }
    }
}
