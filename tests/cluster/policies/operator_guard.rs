//! The writes of the operator's ServiceAccount. Here it has every right, as after a bug in the chart, or with a right
//! that somebody gave it temporarily: only the policy stands in the way.

use super::{Person, Site, VALUES};
use crate::support::manifests::{binding, custom_role, group, organization, users};
use crate::support::{Question, RELEASE};

/// With the name, label and owner of the operator's own objects.
struct Own {
    uid: String,
}

impl Own {
    fn object(&self, kind: &str, namespace: &str, name: &str, rest: &str) -> String {
        let place = if namespace.is_empty() { String::new() } else { format!("namespace: {namespace}, ") };
        format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: {kind}, metadata: {{name: '{name}', {place}\
             labels: {{app.kubernetes.io/managed-by: bailiwick}}, {}}}, {rest}}}",
            self.owners()
        )
    }

    fn owners(&self) -> String {
        let uid = &self.uid;
        format!(
            "ownerReferences: [{{apiVersion: bailiwick.dev/v1alpha1, kind: Organization, name: alpha, uid: {uid}}}]"
        )
    }

    fn role(&self, rule: &str) -> String {
        self.object("Role", "alpha", "bailiwick:trial", &format!("rules: [{rule}]"))
    }

    fn binding(&self, kind: &str, role: &str, subject: &str) -> String {
        let reference = format!("{{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: '{role}'}}");
        self.object("RoleBinding", "alpha", "bailiwick:trial", &format!("roleRef: {reference}, subjects: [{subject}]"))
    }
}

const ADA: &str = "{apiGroup: rbac.authorization.k8s.io, kind: User, name: ada}";
const OWN_ONLY: &str = "the Bailiwick operator changes and deletes only its own RBAC objects";
const LABELLED: &str =
    "every RBAC object of the Bailiwick operator is named bailiwick:…, has its label and is owned by";

#[test]
fn the_operator_writes_its_own_work_and_nothing_else_whatever_it_could() {
    let site = Site::with_chart(VALUES);
    let operator = site.the_operator();
    operator.holds("", r#"[{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]"#);
    site.cluster.apply(&(organization("alpha", "{namespace: alpha, default: true}") + &users(&["ada"])));
    let alpha = site.cluster.get(&["organizations.bailiwick.dev", "alpha"]);
    let own = Own { uid: alpha["metadata"]["uid"].as_str().unwrap().to_owned() };
    operator.soon_may_not(
        &["-n", "alpha", "create", "configmap", "trial"],
        "the Bailiwick operator never writes /configmaps (CREATE)",
    );
    it_writes_rbac_that_is_its_own_only(&operator, &own);
    it_gives_no_right_that_is_every_right(&operator, &own);
    it_gives_nothing_to_the_system_and_binds_no_foreign_role(&operator, &own);
    it_runs_nothing(&operator);
    nobody_acts_in_its_name(&operator, &own);
    of_other_objects_it_writes_what_is_its_own(&operator);
    its_events_are_events_and_nothing_else(&operator);
    large_objects_are_no_hindrance(&operator, &own);
}

fn it_writes_rbac_that_is_its_own_only(operator: &Person, own: &Own) {
    let cluster = &operator.site.cluster;
    operator.creates(&own.role("{apiGroups: [apps], resources: [deployments], verbs: [get]}"));
    let role = "role.rbac.authorization.k8s.io";
    operator.does(&["-n", "alpha", "annotate", role, "bailiwick:trial", "a=b"]);
    it_puts_no_finalizer_on_its_rbac(operator, own);
    // Somebody removed the label: its owner still identifies it, and an apply repairs it.
    cluster.run(&["-n", "alpha", "label", role, "bailiwick:trial", "app.kubernetes.io/managed-by-"]);
    operator.may_not(&["-n", "alpha", "annotate", role, "bailiwick:trial", "c=d"], LABELLED);
    let apply = ["apply", "--server-side", "--force-conflicts"];
    operator.does_with(&apply, &own.role("{apiGroups: [apps], resources: [deployments], verbs: [get, list]}"));
    // Somebody removed the owner: its label still identifies it.
    cluster.run(&[
        "-n",
        "alpha",
        "patch",
        role,
        "bailiwick:trial",
        "--type=json",
        "-p",
        r#"[{"op":"remove","path":"/metadata/ownerReferences"}]"#,
    ]);
    operator.does(&["-n", "alpha", "delete", role, "bailiwick:trial"]);

    let wrong = own.role("").replace("bailiwick:trial", "trial");
    operator.may_not_create(&wrong, LABELLED);
    operator.may_not_create(&own.role("").replace("managed-by: bailiwick", "managed-by: helm"), LABELLED);
    operator.may_not_create(&own.role("").replace(&own.owners(), ""), LABELLED);
    operator.may_not_create(&own.role("").replace("bailiwick.dev/v1alpha1", "apps/v1"), LABELLED);
    operator.may_not_create(&own.role("").replace("name: 'bailiwick:trial'", "generateName: 'x-'"), LABELLED);

    // Foreign in one way or another.
    cluster.run(&["-n", "alpha", "create", "role", "foreign", "--verb=get", "--resource=pods"]);
    cluster.run(&["-n", "alpha", "create", "role", "bailiwick:foreign", "--verb=get", "--resource=pods"]);
    cluster.run(&["create", "clusterrole", "labelled", "--verb=get", "--resource=pods"]);
    cluster.run(&["label", "clusterrole", "labelled", "app.kubernetes.io/managed-by=bailiwick"]);
    for name in ["foreign", "bailiwick:foreign"] {
        operator.may_not(&["-n", "alpha", "delete", role, name], OWN_ONLY);
        operator.may_not(&["-n", "alpha", "label", role, name, "app.kubernetes.io/managed-by=bailiwick"], OWN_ONLY);
    }
    operator.may_not(&["delete", "clusterrole", "labelled"], OWN_ONLY);
    operator.may_not(&["delete", "clusterrole", "bailiwick-operator"], OWN_ONLY);
    operator.may_not(&["delete", "clusterrolebinding", "cluster-admin"], OWN_ONLY);
    operator.may_not(&["delete", "--raw", "/apis/rbac.authorization.k8s.io/v1/namespaces/alpha/roles"], OWN_ONLY);
    operator.may_not(&["delete", "--raw", "/apis/rbac.authorization.k8s.io/v1/clusterroles"], OWN_ONLY);
    assert!(cluster.exists(&["-n", "alpha", role, "foreign"]));
    assert!(cluster.exists(&["clusterrole", "edit"]));
}

/// With the operator's token, this could delete an object, or keep it.
const FINALIZER: &str = r#"{"metadata":{"finalizers":["a.example/b"]}}"#;
const OWNED: &str = r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"00000000-0000-0000-0000-000000000000"}]}}"#;
/// And these it never needs.
const LABELLED_OR_ANNOTATED: [&str; 2] =
    [r#"{"metadata":{"labels":{"a":"b"}}}"#, r#"{"metadata":{"annotations":{"a":"b"}}}"#];

fn it_puts_no_finalizer_on_its_rbac(operator: &Person, own: &Own) {
    let refused = "the Bailiwick operator never changes the finalizers of RBAC objects";
    let role = ["-n", "alpha", "patch", "role.rbac.authorization.k8s.io", "bailiwick:trial", "--type=merge", "-p"];
    operator.may_not(&[&role[..], &[FINALIZER]].concat(), refused);
    let more = own.role("").replace("trial'", "more'");
    operator.may_not_create(&more.replace("labels: {", "finalizers: [a.example/b], labels: {"), refused);
    // A finalizer from somebody else does not keep it from its work.
    operator.site.cluster.run(&[&role[..], &[FINALIZER]].concat());
    let apply = ["apply", "--server-side", "--force-conflicts"];
    operator.does_with(&apply, &own.role("{apiGroups: [apps], resources: [deployments], verbs: [list]}"));
    operator.site.cluster.run(&[&role[..], &[r#"{"metadata":{"finalizers":null}}"#]].concat());
}

fn it_gives_no_right_that_is_every_right(operator: &Person, own: &Own) {
    for rule in [
        r#"{apiGroups: [apps], resources: [deployments], verbs: ["*"]}"#,
        r#"{apiGroups: [apps], resources: ["*"], verbs: [get]}"#,
        r#"{apiGroups: ["*"], resources: [deployments], verbs: [get]}"#,
        "{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [escalate]}",
        "{apiGroups: [bailiwick.dev], resources: [siteroles], verbs: [escalate]}",
        r#"{apiGroups: [""], resources: [serviceaccounts], verbs: [impersonate]}"#,
        r#"{apiGroups: [authentication.k8s.io], resources: [users], verbs: ["impersonate:user-info"]}"#,
        // Hidden behind a harmless one.
        r#"{apiGroups: [apps], resources: [deployments], verbs: [get]}, {apiGroups: [""], resources: [users], verbs: [impersonate]}"#,
    ] {
        operator.may_not_create(&own.role(rule), "never grants wildcards, escalate or impersonate");
    }
    let cluster_role = |rule: &str| own.object("ClusterRole", "", "bailiwick:trial", &format!("rules: [{rule}]"));
    for path in ["*", "/*"] {
        let rule = format!("{{nonResourceURLs: ['{path}'], verbs: [get]}}");
        operator.may_not_create(&cluster_role(&rule), "never grants wildcards, escalate or impersonate");
    }
    operator.creates(&cluster_role("{nonResourceURLs: [/metrics], verbs: [get]}"));
    operator.does(&["delete", "clusterrole", "bailiwick:trial"]);
    for rule in [
        "{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [bind]}",
        r#"{apiGroups: [bailiwick.dev, ""], resources: [siteroles], verbs: [bind]}"#,
        "{apiGroups: [rbac.authorization.k8s.io], resources: [rolebindings], verbs: [create]}",
        "{apiGroups: [apps, rbac.authorization.k8s.io], resources: [rolebindings], verbs: [get, patch]}",
        "{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], verbs: [deletecollection]}",
    ] {
        operator.may_not_create(&own.role(rule), "never grants the right to write native RBAC");
    }
    // Rights for its own work.
    for rule in [
        r#"{apiGroups: [""], resources: [namespaces], resourceNames: [alpha], verbs: [get, patch]}"#,
        r#"{apiGroups: [""], resources: [pods, namespaces/finalize], verbs: [update]}"#,
        "{apiGroups: [bailiwick.dev], resources: [users, users/status], verbs: [patch]}",
        r#"{apiGroups: ["", bailiwick.dev], resources: [groups/status], verbs: [get, patch]}"#,
        r#"{apiGroups: [""], resources: [configmaps], resourceNames: [bailiwick-suspended], verbs: [patch]}"#,
        r#"{apiGroups: [""], resources: [configmaps], resourceNames: [bailiwick-decisions], verbs: [get, update]}"#,
        "{apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [other, bailiwick], verbs: [patch]}",
    ] {
        operator.may_not_create(&own.role(rule), "never grants the right to write statuses of its kinds, Namespaces");
    }
    operator.creates(&own.role(
        "{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [get, list, watch]}, \
         {apiGroups: [bailiwick.dev], resources: [groups/status], verbs: [get]}, \
         {apiGroups: ['', apps], resources: [namespaces, deployments/status], verbs: [get, list, watch]}, \
         {apiGroups: [apps], resources: [deployments, deployments/status], verbs: [update, patch]}, \
         {apiGroups: [''], resources: [configmaps], resourceNames: [bailiwick-config], verbs: [get, update, patch]}, \
         {apiGroups: [bailiwick.dev], resources: [siteroles, groups], verbs: [bind]}",
    ));
    let widen =
        r#"[{"op":"add","path":"/rules/-","value":{"apiGroups":[""],"resources":["users"],"verbs":["impersonate"]}}]"#;
    operator.may_not(
        &["-n", "alpha", "patch", "role.rbac.authorization.k8s.io", "bailiwick:trial", "--type=json", "-p", widen],
        "never grants wildcards, escalate or impersonate",
    );
    operator.does(&["-n", "alpha", "delete", "role.rbac.authorization.k8s.io", "bailiwick:trial"]);
    // Rules that come through another role, or from others.
    let selector = "aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}";
    let collecting = own.object("ClusterRole", "", "bailiwick:trial", selector);
    operator.may_not_create(&collecting, "the Bailiwick operator never aggregates roles");
    for label in ["rbac.authorization.k8s.io/aggregate-to-view", "bailiwick.dev/aggregate-to-grantable"] {
        let lent = cluster_role("").replace("labels: {", &format!("labels: {{{label}: 'true', "));
        operator.may_not_create(&lent, "the Bailiwick operator never aggregates roles");
    }
}

fn it_gives_nothing_to_the_system_and_binds_no_foreign_role(operator: &Person, own: &Own) {
    let refused = "the Bailiwick operator never grants anything to system: users and groups";
    for (kind, name) in [
        ("User", "system:anonymous"),
        ("User", "system:serviceaccount:kube-system:default"),
        ("Group", "system:authenticated"),
        ("Group", "system:masters"),
    ] {
        let subject = format!("{ADA}, {{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: '{name}'}}");
        operator.may_not_create(&own.binding("Role", "bailiwick:trial", &subject), refused);
    }
    for (kind, role) in [("ClusterRole", "cluster-admin"), ("ClusterRole", "bailiwick-grantable"), ("Role", "theirs")] {
        operator.may_not_create(&own.binding(kind, role, ADA), "the Bailiwick operator binds only its own roles");
    }
    operator.creates(&own.role(""));
    let account = "{kind: ServiceAccount, name: default, namespace: kube-system}";
    let group = "{apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'oidc:team'}";
    operator.creates(&own.binding("Role", "bailiwick:trial", &format!("{ADA}, {account}, {group}")));
    operator.may_not(
        &[
            "-n",
            "alpha",
            "patch",
            "rolebinding.rbac.authorization.k8s.io",
            "bailiwick:trial",
            "--type=json",
            "-p",
            r#"[{"op":"replace","path":"/subjects/0/name","value":"system:admin"}]"#,
        ],
        refused,
    );
    operator.does(&["-n", "alpha", "delete", "rolebinding.rbac.authorization.k8s.io", "bailiwick:trial"]);
    // A binding without subjects counts, too.
    operator.creates(&own.binding("Role", "bailiwick:trial", ""));
    let both = "roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io";
    operator.does(&["-n", "alpha", "delete", both, "bailiwick:trial"]);
}

fn it_runs_nothing(operator: &Person) {
    let cluster = &operator.site.cluster;
    cluster.apply(&super::pod("alpha", "there", "serviceAccountName: default"));
    operator.may_not_create(&super::pod("alpha", "own", "serviceAccountName: default"), "never writes /pods (CREATE)");
    for (subresource, operation) in [("exec?command=ls", "exec"), ("attach", "attach"), ("portforward", "portforward")]
    {
        super::refused(
            operator.connects("alpha", "there", subresource),
            &format!("never writes /pods/{operation} (CONNECT)"),
            subresource,
        );
    }
    for (words, what) in [
        (vec!["create", "deployment", "own", "--image=example"], "never writes apps/deployments (CREATE)"),
        (vec!["create", "token", "default"], "never writes /serviceaccounts/token (CREATE)"),
        (vec!["create", "secret", "generic", "own"], "never writes /secrets (CREATE)"),
        (vec!["delete", "pod", "there"], "never writes /pods (DELETE)"),
    ] {
        operator.may_not(&[vec!["-n", "alpha"], words].concat(), what);
    }
}

/// Kubernetes' own role `edit` allows `impersonate` on the ServiceAccounts of a namespace: in the release namespace
/// that would be every right that the operator can grant.
fn nobody_acts_in_its_name(operator: &Person, own: &Own) {
    let site = operator.site;
    site.cluster.run(&["-n", RELEASE, "create", "rolebinding", "ed", "--clusterrole=edit", "--user=ed"]);
    let ed = site.person("ed");
    let refused = "the Bailiwick operator uses only its own token, and nobody else may act in its name";
    let as_operator = ["--as", "system:serviceaccount:bailiwick-system:bailiwick"];
    ed.may_not_with(&[&as_operator[..], &["create", "--validate=false"]].concat(), &own.role(""), refused);
    let status = ["patch", "users.bailiwick.dev", "ada", "--subresource=status", "--type=merge", "-p", "{}"];
    ed.may_not(&[&as_operator[..], &status].concat(), refused);
    // Not by claiming to have a token either.
    claiming_a_token(&ed).may_not_create(&own.role(""), "cannot impersonate resource \"userextras");
    // Asking for its rights is harmless.
    ed.does(&[&as_operator[..], &["auth", "can-i", "get", "users.bailiwick.dev"]].concat());
}

/// The same person, impersonating the operator and claiming that it has a token. (Older kubectls have no flag for
/// that.)
fn claiming_a_token<'a>(person: &Person<'a>) -> Person<'a> {
    let text = std::fs::read_to_string(&person.kubeconfig).unwrap();
    let mut config: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    let user = config["users"][0]["user"].as_object_mut().unwrap();
    user.insert("as".to_owned(), "system:serviceaccount:bailiwick-system:bailiwick".into());
    let extra = serde_json::json!({"authentication.kubernetes.io/credential-id": ["JTI=x"]});
    user.insert("as-user-extra".to_owned(), extra);
    let kubeconfig = person.kubeconfig.with_extension("impersonating");
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    Person { site: person.site, name: person.name.clone(), kubeconfig }
}

fn of_other_objects_it_writes_what_is_its_own(operator: &Person) {
    let cluster = &operator.site.cluster;
    let merge = |kind: &'static str, name: &'static str, patch: &'static str| {
        ["patch", kind, name, "--type=merge", "-p", patch]
    };
    // Our own kinds: the status, and one label of a User.
    for (kind, patch) in [
        ("organizations.bailiwick.dev", r#"{"spec":{"displayName":"x"}}"#),
        ("organizations.bailiwick.dev", r#"{"metadata":{"annotations":{"a":"b"}}}"#),
    ] {
        operator.may_not(&merge(kind, "alpha", patch), "never writes bailiwick.dev/organizations (UPDATE)");
    }
    operator.may_not(
        &["label", "siteroles.bailiwick.dev", "auditor", "a=b"],
        "never writes bailiwick.dev/siteroles (UPDATE)",
    );
    operator.may_not(&["delete", "users.bailiwick.dev", "ada"], "never writes bailiwick.dev/users (DELETE)");
    operator.may_not(&["delete", "--raw", "/apis/bailiwick.dev/v1alpha1/users"], "never writes bailiwick.dev/users");
    // Applying a missing object would create it.
    operator.may_not_with(&["apply", "--server-side"], &users(&["eve"]), "never writes bailiwick.dev/users (CREATE)");
    let user = "in a User, the Bailiwick operator changes only the status, and removes the label";
    for patch in [
        r#"{"spec":{"suspended":true}}"#,
        r#"{"spec":{"email":"a@b"}}"#,
        r#"{"metadata":{"labels":{"bailiwick.dev/suspension":"now"}}}"#,
        r#"{"metadata":{"labels":{"team":null}}}"#,
        r#"{"metadata":{"annotations":{"a":"b"}}}"#,
        r#"{"metadata":{"finalizers":["a.example/b"]}}"#,
    ] {
        cluster.run(&["label", "users.bailiwick.dev", "ada", "team=a", "--overwrite"]);
        operator.may_not(&merge("users.bailiwick.dev", "ada", patch), user);
    }
    cluster.run(&["label", "users.bailiwick.dev", "ada", "bailiwick.dev/suspension=now"]);
    operator.does(&["label", "users.bailiwick.dev", "ada", "bailiwick.dev/suspension-"]);
    let status = ["--subresource=status", "--type=merge", "-p", r#"{"status":{"observedGeneration":1}}"#];
    operator.does(&[&["patch", "users.bailiwick.dev", "ada"][..], &status].concat());
    operator.does(&[&["patch", "organizations.bailiwick.dev", "alpha"][..], &status].concat());
    // A status write carries no metadata.
    let metadata = || {
        let mut metadata = cluster.get(&["organizations.bailiwick.dev", "alpha"])["metadata"].clone();
        // Some versions of Kubernetes count such a write.
        metadata.as_object_mut().unwrap().remove("resourceVersion");
        metadata
    };
    let before = metadata();
    for patch in LABELLED_OR_ANNOTATED.into_iter().chain([FINALIZER, OWNED]) {
        let status = ["--subresource=status", "--type=merge", "-p", patch];
        let _ = operator.tries(&[&["patch", "organizations.bailiwick.dev", "alpha"][..], &status].concat());
    }
    assert_eq!(metadata(), before);

    // Namespaces: the record.
    let record = "in a Namespace, the Bailiwick operator changes only the record of the claim";
    for patch in [
        r#"{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}"#,
        r#"{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":null}}}"#,
        r#"{"metadata":{"annotations":{"scheduler.alpha.kubernetes.io/node-selector":"a=b"}}}"#,
        r#"{"metadata":{"annotations":{"bailiwick.dev/other":"a"}}}"#,
        r#"{"metadata":{"finalizers":["a.example/b"]}}"#,
        r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Namespace","name":"x","uid":"y"}]}}"#,
    ] {
        operator.may_not(&merge("namespace", "alpha", patch), record);
    }
    operator.does(&merge(
        "namespace",
        "alpha",
        r#"{"metadata":{"labels":{"bailiwick.dev/organization":"alpha"},"annotations":{"bailiwick.dev/claimed-at":"x"}}}"#,
    ));
    operator.does(&["label", "namespace", "alpha", "bailiwick.dev/organization-"]);
    operator.may_not(&["delete", "namespace", "beta"], "never writes /namespaces (DELETE)");
    operator.may_not(&["create", "namespace", "gamma"], "never writes /namespaces (CREATE)");
    let status = ["patch", "namespace", "alpha", "--subresource=status", "--type=merge", "-p"];
    let label = r#"{"metadata":{"labels":{"a":"b"}}}"#;
    operator.may_not(&[&status[..], &[label]].concat(), "never writes /namespaces/status (UPDATE)");

    // Its Lease and its lists in the release namespace.
    let lease = "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: trial}}";
    operator.may_not_with(&["-n", "alpha", "create"], lease, "never writes coordination.k8s.io/leases (CREATE)");
    let leases = "the Bailiwick operator writes only the Lease bailiwick, without owners or finalizers";
    operator.may_not_with(&["-n", RELEASE, "create"], lease, leases);
    let lease = lease.replace("trial", "bailiwick");
    let kept = lease.replace("name: bailiwick", "name: bailiwick, finalizers: [a.example/b]");
    operator.may_not_with(&["-n", RELEASE, "create"], &kept, leases);
    operator.does_with(&["-n", RELEASE, "create"], &lease);
    let held = r#"{"spec":{"holderIdentity":"one"}}"#;
    operator.does(&["-n", RELEASE, "patch", "lease", "bailiwick", "--type=merge", "-p", held]);
    for patch in [FINALIZER, OWNED] {
        operator.may_not(&["-n", RELEASE, "patch", "lease", "bailiwick", "--type=merge", "-p", patch], leases);
    }
    operator.may_not(&["-n", RELEASE, "delete", "lease", "bailiwick"], leases);
    let names = ["--type=merge", "-p", r#"{"data":{"names-0":"\nx\n"}}"#];
    let at_home = |name: &'static str| [&["-n", RELEASE, "patch", "configmap", name][..], &names].concat();
    operator.does(&at_home("bailiwick-suspended"));
    operator.may_not(&at_home("bailiwick-decisions"), "changes only its own keys");
    let decisions = r#"{"data":{"decisions.json":"{}"}}"#;
    operator.does(&["-n", RELEASE, "patch", "configmap", "bailiwick-decisions", "--type=merge", "-p", decisions]);
    let list = |patch| ["-n", RELEASE, "patch", "configmap", "bailiwick-suspended", "--type=merge", "-p", patch];
    let rest = [r#"{"immutable":true}"#, r#"{"binaryData":{"a":"eA=="}}"#, r#"{"data":{"a":"b"}}"#];
    let unlabelled = r#"{"metadata":{"labels":{"app.kubernetes.io/part-of":null}}}"#;
    for patch in LABELLED_OR_ANNOTATED.into_iter().chain(rest).chain([FINALIZER, OWNED, unlabelled]) {
        operator.may_not(
            &list(patch),
            "in the ConfigMaps bailiwick-suspended and bailiwick-decisions, the Bailiwick operator changes only its own keys",
        );
    }
    for name in ["bailiwick-bounds", "bailiwick-config"] {
        operator.may_not(&at_home(name), "never writes /configmaps (UPDATE)");
    }
    operator
        .may_not(&["-n", RELEASE, "delete", "configmap", "bailiwick-suspended"], "never writes /configmaps (DELETE)");
    operator.may_not(
        &["-n", RELEASE, "create", "configmap", "bailiwick-suspended-more"],
        "never writes /configmaps (CREATE)",
    );
    operator.may_not(
        &["-n", RELEASE, "scale", "deployment", "bailiwick", "--replicas=0"],
        "never writes apps/deployments/scale",
    );
}

/// An Event with a finalizer would keep its namespace from being deleted.
fn its_events_are_events_and_nothing_else(operator: &Person) {
    let event = |metadata: &str| {
        format!(
            "{{apiVersion: events.k8s.io/v1, kind: Event, metadata: {{name: trial, namespace: alpha{metadata}}}, \
             eventTime: '2026-01-01T00:00:00.000000Z', reportingController: bailiwick, reportingInstance: one, action: Reconcile, \
             reason: Trial, type: Warning, regarding: {{apiVersion: bailiwick.dev/v1alpha1, kind: Group, name: g, namespace: alpha}}}}"
        )
    };
    let refused = "the Bailiwick operator never deletes Events, and never adds owners or finalizers to them";
    operator.may_not_create(&event(", finalizers: [a.example/b]"), refused);
    operator.creates(&event(""));
    let patch = |patch| ["-n", "alpha", "patch", "events.events.k8s.io", "trial", "--type=merge", "-p", patch];
    for metadata in [FINALIZER, OWNED] {
        operator.may_not(&patch(metadata), refused);
    }
    operator.does(&patch(r#"{"series":{"count":2,"lastObservedTime":"2026-01-01T00:00:01.000000Z"}}"#));
    operator.may_not(&["-n", "alpha", "delete", "events.events.k8s.io", "trial"], refused);
}

fn large_objects_are_no_hindrance(operator: &Person, own: &Own) {
    let names: Vec<String> = (0..100).map(|n| format!("name-{n}")).collect();
    let rule = format!(
        "{{apiGroups: [apps], resources: [deployments, statefulsets], resourceNames: [{}], \
         verbs: [get, list, watch, create, update, patch, delete, deletecollection]}}",
        names.join(", ")
    );
    operator.creates(&own.role(&vec![rule.as_str(); 100].join(", ")));
    operator.does(&["-n", "alpha", "delete", "role.rbac.authorization.k8s.io", "bailiwick:trial"]);
    let small = "{apiGroups: [apps], resources: [deployments], verbs: [get]}";
    operator.creates(&own.role(&vec![small; 4_000].join(", ")));
    let subjects: Vec<String> = (0..1_000).map(|n| ADA.replace("ada", &format!("user-{n}@example.com"))).collect();
    operator.creates(&own.binding("Role", "bailiwick:trial", &subjects.join(", ")));
    // Even with a refused item at the very end.
    let last = format!("{}, {}", subjects.join(", "), ADA.replace("ada", "system:admin"));
    operator.may_not_create(&own.binding("Role", "bailiwick:trial", &last), "never grants anything to system:");
}

#[test]
fn the_operators_normal_work_goes_on_under_its_guard() {
    let site = Site::with_operator(VALUES);
    let cluster = &site.cluster;
    let role = "{permissions: [{resource: templates, actions: [delete]}], \
                rules: [{apiGroups: [bailiwick.dev], resources: [siteroles], resourceNames: [organization-member], verbs: [bind]}]}";
    cluster.apply(
        &(organization("alpha", "{namespace: alpha, default: true}")
            + &organization("beta", "{namespace: beta}")
            + &users(&["ada", "bob"])
            + &custom_role("alpha", "deleter", role)
            + &group("alpha", "crew", &["bob"])
            + &binding("alpha", "deleters", "CustomRole/deleter", &["ada", "Group/crew", "ServiceAccount/ci"])
            + &binding("beta", "managers", "SiteRole/organization-manager", &["ada", "ExternalGroup/leads"])),
    );
    let ada = Question::of("ada@example.com", "alpha");
    let bob = Question::of("bob@example.com", "alpha");
    cluster.can(&ada, &["delete podtemplates"]);
    cluster.can(&bob, &["delete podtemplates"]);
    let suspend = |suspended: bool| {
        let patch = format!("{{\"spec\":{{\"suspended\":{suspended}}}}}");
        cluster.run(&["patch", "users.bailiwick.dev", "bob", "--type=merge", "-p", &patch]);
    };
    suspend(true);
    cluster.cannot(&bob, &["delete podtemplates"]);
    suspend(false);
    cluster.can(&bob, &["delete podtemplates"]);
    cluster.settle();
    // Drift, in the ways that the guard has to distinguish.
    let roles = cluster.native().into_iter().filter(|o| o["kind"] == "Role" && o["metadata"]["namespace"] == "alpha");
    for role in roles.collect::<Vec<_>>() {
        let name = role["metadata"]["name"].as_str().unwrap();
        let object = ["-n", "alpha", "role.rbac.authorization.k8s.io", name];
        for patch in [
            r#"[{"op":"remove","path":"/metadata/labels/app.kubernetes.io~1managed-by"}]"#,
            r#"[{"op":"remove","path":"/metadata/ownerReferences"}]"#,
            r#"[{"op":"replace","path":"/rules","value":[]}]"#,
        ] {
            let [n, namespace, kind, name] = object;
            cluster.run(&[n, namespace, "patch", kind, name, "--type=json", "-p", patch]);
            cluster.eventually("the operator repairs it", || {
                let now = cluster.get(&object);
                now["rules"] == role["rules"]
                    && now["metadata"]["labels"] == role["metadata"]["labels"]
                    && now["metadata"]["ownerReferences"] == role["metadata"]["ownerReferences"]
            });
        }
    }
    // Another role in the binding, then everything is deleted.
    cluster.apply(&binding("alpha", "deleters", "SiteRole/organization-manager", &["ada"]));
    cluster.can(&ada, &["create services"]);
    cluster.run(&["delete", "organizations.bailiwick.dev", "beta"]);
    cluster.cannot(&Question::of("ada@example.com", "beta"), &["create services"]);
    cluster.settle();
    let log = cluster.operator_log();
    assert!(!log.contains("ValidatingAdmissionPolicy"), "{log}");
}
