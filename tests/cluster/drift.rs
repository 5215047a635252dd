//! Changes of native objects by others are corrected, obsolete ones deleted, and foreign ones left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::Value;

use crate::support::manifests::{binding, custom_role, organization, site_binding, site_role, users};
use crate::support::{Cluster, Question, text, with_input};

const VALUES: &str = "{namespaceWhitelist: [alpha, beta], defaultOrganization: {create: false}}";
const DELETE: &[&str] = &["delete podtemplates"];
const OURS: &str = "app.kubernetes.io/managed-by: bailiwick";

/// One native object of each kind from a SiteRole and a RoleBinding.
const EACH: [[&str; 3]; 6] = [
    ["alpha", "rolebindings", "bailiwick:role-binding:deleters:"],
    ["alpha", "roles", "bailiwick:custom-role:deleter"],
    ["", "clusterrolebindings", "bailiwick:site-role:overseer:"],
    ["", "clusterroles", "bailiwick:site-role:overseer"],
    ["bailiwick-system", "rolebindings", "bailiwick:release:site-role:overseer:"],
    ["bailiwick-system", "roles", "bailiwick:release:site-role:overseer"],
];

fn world() -> String {
    let everywhere = "{assignableTo: [Site], permissions: [{resource: templates, actions: [delete]}, \
                      {resource: users, actions: [create]}, {resource: configuration, actions: [update]}]}";
    organization("alpha", "{namespace: alpha, default: true}")
        + &users(&["ada", "eve", "sam"])
        + &custom_role("alpha", "deleter", "{permissions: [{resource: templates, actions: [delete]}]}")
        + &binding("alpha", "deleters", "CustomRole/deleter", &["ada"])
        + &site_role("overseer", everywhere)
        + &site_binding("overseers", "overseer", &["sam"])
}

/// The arguments of kubectl for an object with this name prefix.
fn find(cluster: &Cluster, [namespace, kind, prefix]: [&str; 3]) -> Vec<String> {
    let of_kind = |object: &Value| format!("{}s", object["kind"].as_str().unwrap().to_lowercase()) == kind;
    let native = cluster.native();
    let found = native.iter().find(|object| {
        let metadata = &object["metadata"];
        let here = metadata["namespace"].as_str().unwrap_or_default() == namespace;
        here && of_kind(object) && metadata["name"].as_str().unwrap().starts_with(prefix)
    });
    let name = found.unwrap_or_else(|| panic!("{kind} {prefix}"))["metadata"]["name"].as_str().unwrap();
    let place: &[&str] = if namespace.is_empty() { &[] } else { &["-n", namespace] };
    let kind = format!("{kind}.rbac.authorization.k8s.io");
    place.iter().chain(&[kind.as_str(), name]).map(ToString::to_string).collect()
}

fn kubectl(cluster: &Cluster, verb: &str, object: &[String], rest: &[&str]) {
    let arguments: Vec<&str> =
        [verb].into_iter().chain(object.iter().map(String::as_str)).chain(rest.iter().copied()).collect();
    cluster.run(&arguments);
}

fn edit(cluster: &Cluster, object: &[String], json_patch: &str) {
    kubectl(cluster, "patch", object, &["--type=json", "-p", json_patch]);
}

/// Waits until the native objects are these.
#[track_caller]
fn all_right(cluster: &Cluster, right: &BTreeMap<String, Value>) {
    let wrong = |cluster: &Cluster| {
        let there = cluster.native_content();
        let names: BTreeSet<&String> = there.keys().chain(right.keys()).collect();
        names.into_iter().filter(|name| there.get(*name) != right.get(*name)).cloned().collect::<Vec<_>>()
    };
    cluster
        .eventually_or(|| wrong(cluster).is_empty(), |cluster| format!("all is as before, but {:?}", wrong(cluster)));
}

#[test]
fn what_somebody_changes_by_hand_is_put_right() {
    let cluster = Cluster::with_operator(VALUES);
    cluster.apply(&world());
    cluster.can(&Question::of("ada@example.com", "alpha"), DELETE);
    cluster.quiet();
    let right = cluster.native_content();
    let repaired = |what: &str| {
        println!("{what}");
        all_right(&cluster, &right);
        cluster.settle();
    };
    for each in EACH {
        let object = find(&cluster, each);
        let what = |what: &str| format!("{what}: {}", object.join(" "));
        kubectl(&cluster, "delete", &object, &[]);
        repaired(&what("deleted"));
        kubectl(&cluster, "label", &object, &["app.kubernetes.io/managed-by-"]);
        repaired(&what("stripped of its label"));
        kubectl(&cluster, "annotate", &object, &["bailiwick.dev/source-"]);
        repaired(&what("stripped of its source"));
        edit(&cluster, &object, r#"[{"op":"remove","path":"/metadata/ownerReferences"}]"#);
        repaired(&what("stripped of its owner"));
        // A second owner would keep it alive when the first is deleted.
        let system = cluster.get(&["namespace", "kube-system"])["metadata"]["uid"].as_str().unwrap().to_owned();
        let owner = format!(r#"{{"apiVersion":"v1","kind":"Namespace","name":"kube-system","uid":"{system}"}}"#);
        edit(&cluster, &object, &format!(r#"[{{"op":"add","path":"/metadata/ownerReferences/-","value":{owner}}}]"#));
        repaired(&what("given a second owner"));
        if each[1].ends_with("bindings") {
            let eve = r#"{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"eve@example.com"}"#;
            edit(&cluster, &object, &format!(r#"[{{"op":"add","path":"/subjects/-","value":{eve}}}]"#));
            repaired(&what("given a subject"));
            edit(&cluster, &object, r#"[{"op":"remove","path":"/subjects"}]"#);
            repaired(&what("robbed of its subjects"));
        } else {
            let secrets = r#"{"apiGroups":[""],"resources":["secrets"],"verbs":["get"]}"#;
            edit(&cluster, &object, &format!(r#"[{{"op":"add","path":"/rules/-","value":{secrets}}}]"#));
            repaired(&what("given a rule"));
            edit(&cluster, &object, r#"[{"op":"replace","path":"/rules","value":[]}]"#);
            repaired(&what("robbed of its rules"));
        }
    }
    cluster.can(&Question::of("ada@example.com", "alpha"), DELETE);
    cluster.is_refused(&Question::of("eve@example.com", "alpha"), DELETE);
    cluster.is_refused(&Question::of("ada@example.com", "alpha"), &["get secrets"]);

    // Replaced by another of the same name with another role.
    let object = find(&cluster, EACH[0]);
    kubectl(&cluster, "delete", &object, &["--wait=false"]);
    let name = &object[3];
    cluster.kubectl(&["-n", "alpha", "delete", "rolebindings.rbac.authorization.k8s.io", name]);
    let other = format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {{name: {name:?}, namespace: alpha, \
         labels: {{{OURS}}}}}, roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}, \
         subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: eve@example.com}}]}}"
    );
    // The operator may be faster than we are: then the role of the existing one cannot be changed.
    let _ = cluster.try_apply(&other);
    repaired("replaced");
    cluster.cannot(&Question::of("eve@example.com", "alpha"), &["get secrets", "delete podtemplates"]);
}

/// A binding in its place that grants eve everything.
fn to_eve(namespace: &str, name: &str, labels: &str) -> String {
    let kind = if namespace.is_empty() { "ClusterRoleBinding" } else { "RoleBinding" };
    let namespace = if namespace.is_empty() { String::new() } else { format!(", namespace: {namespace}") };
    format!(
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name:?}{namespace}, labels: {{{labels}}}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}}\n\
         subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: eve@example.com}}]\n"
    )
}

#[test]
fn an_orphan_goes_and_what_is_not_ours_stays() {
    let mut cluster = Cluster::with_operator(VALUES);
    cluster.apply(&world());
    cluster.quiet();
    let right = cluster.native_content();
    let there = |namespace: &str, name: &str| {
        let kind = if namespace.is_empty() { "clusterrolebindings" } else { "rolebindings" };
        cluster.exists(&["-n", namespace, &format!("{kind}.rbac.authorization.k8s.io"), name])
    };
    let places = ["alpha", "beta", "default", "bailiwick-system", ""];
    // An object with only our label or only our name prefix is not ours. A later object in the same watch shows that it
    // was seen.
    for place in places {
        cluster.apply(&to_eve(place, "foreign", OURS));
        cluster.apply(&to_eve(place, "bailiwick:foreign", ""));
        cluster.apply(&to_eve(place, "bailiwick:orphan", OURS));
        cluster.apply(&to_eve(place, "bailiwick:release:orphan", OURS));
        cluster.eventually("the orphan goes", || {
            !there(place, "bailiwick:orphan") && !there(place, "bailiwick:release:orphan")
        });
        cluster.settle();
        assert!(there(place, "foreign"), "{place:?}: {}", cluster.operator_log());
        assert!(there(place, "bailiwick:foreign"), "{place:?}");
    }
    // The same after a restart with them present.
    cluster.stop_operator();
    for place in places {
        cluster.apply(&to_eve(place, "bailiwick:orphan", OURS));
    }
    cluster.start_operator();
    let there = |namespace: &str, name: &str| {
        let kind = if namespace.is_empty() { "clusterrolebindings" } else { "rolebindings" };
        cluster.exists(&["-n", namespace, &format!("{kind}.rbac.authorization.k8s.io"), name])
    };
    for place in places {
        cluster.eventually("the orphan goes", || !there(place, "bailiwick:orphan"));
        assert!(there(place, "foreign") && there(place, "bailiwick:foreign"), "{place:?}");
    }
    let mut left = cluster.native_content();
    left.retain(|name, _| !name.ends_with("/foreign"));
    assert_eq!(left, right);
}

#[test]
fn a_foreign_object_of_the_name_that_ours_would_have_is_said_and_left_alone() {
    let mut cluster = Cluster::with_operator(VALUES);
    cluster.apply(&world());
    cluster.can(&Question::of("ada@example.com", "alpha"), DELETE);
    cluster.quiet();
    let right = cluster.native_content();
    let object = find(&cluster, EACH[0]);
    cluster.stop_operator();
    kubectl(&cluster, "delete", &object, &[]);
    cluster.apply(&to_eve("alpha", &object[3], ""));
    cluster.start_operator();
    let deleters = ["-n", "alpha", "rolebindings.bailiwick.dev", "deleters"];
    let message = cluster.await_reason(&deleters, "Ready", "NameTaken");
    assert!(message.contains(&object[3]) && message.contains("alpha"), "{message}");
    let words: Vec<&str> = object.iter().map(String::as_str).collect();
    assert_eq!(cluster.get(&words)["subjects"][0]["name"], "eve@example.com");
    // It holds up nothing else.
    cluster.apply(&binding("alpha", "more", "CustomRole/deleter", &["sam"]));
    cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", "more"]);
    kubectl(&cluster, "delete", &object, &[]);
    cluster.can(&Question::of("ada@example.com", "alpha"), DELETE);
    cluster.await_reason(&deleters, "Ready", "Reconciled");
    all_right(&cluster, &right);
}

#[test]
fn drift_is_repaired_after_the_api_server_restarted_and_after_the_operator_did() {
    let mut cluster = Cluster::with_operator(VALUES);
    cluster.apply(&world());
    cluster.quiet();
    let right = cluster.native_content();
    let damage = |cluster: &Cluster| {
        for (index, each) in EACH.into_iter().enumerate() {
            let object = find(cluster, each);
            match index % 3 {
                0 => kubectl(cluster, "delete", &object, &[]),
                1 => kubectl(cluster, "label", &object, &["app.kubernetes.io/managed-by-"]),
                _ if each[1] == "roles" => edit(cluster, &object, r#"[{"op":"remove","path":"/rules"}]"#),
                _ => {
                    edit(cluster, &object, r#"[{"op":"replace","path":"/subjects/0/name","value":"eve@example.com"}]"#)
                }
            }
        }
    };
    cluster.plane.restart_api_server().unwrap();
    damage(&cluster);
    all_right(&cluster, &right);

    // While the API server was down, a watch sees nothing; and while no operator runs, nobody does.
    cluster.plane.kill_api_server().unwrap();
    cluster.plane.start_api_server().unwrap();
    damage(&cluster);
    all_right(&cluster, &right);

    cluster.stop_operator();
    damage(&cluster);
    assert_ne!(cluster.native_content(), right);
    cluster.start_operator();
    all_right(&cluster, &right);
    cluster.settle();
    cluster.is_refused(&Question::of("eve@example.com", ""), &["create users.bailiwick.dev"]);
}

#[test]
fn a_binding_that_is_edited_when_its_role_is_gone_is_not_lost_sight_of() {
    let mut cluster = Cluster::with_operator(VALUES);
    cluster.apply(&world());
    cluster.quiet();
    let right = cluster.native_content();
    let eve = r#"[{"op":"add","path":"/subjects/-","value":{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"eve@example.com"}}]"#;
    // The API server answers a change of such a binding with "not found", and means the role.
    for pair in EACH.chunks(2) {
        let (bound, role) = (find(&cluster, pair[0]), find(&cluster, pair[1]));
        cluster.stop_operator();
        kubectl(&cluster, "delete", &role, &[]);
        edit(&cluster, &bound, eve);
        cluster.start_operator();
        all_right(&cluster, &right);
        edit(&cluster, &bound, eve);
        all_right(&cluster, &right);
    }
}

/// A policy of the cluster's own that does this to every binding of alpha with a subject.
fn tamper(patch: &str) -> String {
    format!(
        r#"
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {{name: tamper}}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: alpha}}}}
    resourceRules:
      - {{apiGroups: [rbac.authorization.k8s.io], apiVersions: [v1], resources: [rolebindings], operations: [CREATE, UPDATE]}}
  matchConditions:
    - {{name: binds-somebody, expression: "has(object.subjects) && object.subjects.size() > 0"}}
    - {{name: not-yet, expression: "!object.subjects.exists(s, s.name == 'eve@example.com')"}}
  mutations:
    - patchType: JSONPatch
      jsonPatch:
        expression: >-
          [JSONPatch{{{patch}}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {{name: tamper}}
spec: {{policyName: tamper}}
"#
    )
}

const EVE: &str = "Object.subjects{apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'eve@example.com'}";
const OWNER: &str = "op: 'add', path: '/metadata/ownerReferences/-', value: Object.metadata.ownerReferences{\
                     apiVersion: 'v1', kind: 'Namespace', name: 'alpha', uid: 'UID'}";
const SOURCE: &str = "op: 'add', path: '/metadata/annotations/bailiwick.dev~1source', value: 'Group/alpha/somebody'";

/// The last of these affects nobody's access, so it is only reported.
#[rstest]
#[case::adds_a_subject(&format!("op: 'add', path: '/subjects/-', value: {EVE}"), false)]
#[case::puts_another_in_their_place(&format!("op: 'replace', path: '/subjects/0', value: {EVE}"), false)]
#[case::adds_an_owner(OWNER, false)]
#[case::changes_the_source(SOURCE, true)]
fn what_the_clusters_own_admission_changes_is_said_is_withheld_and_is_not_written_without_a_pause(
    #[case] patch: &str,
    #[case] granted: bool,
) {
    let mut cluster = Cluster::with_chart(VALUES);
    let before: BTreeSet<String> = cluster.rbac().into_keys().collect();
    cluster.start_operator();
    let namespace = cluster.get(&["namespace", "alpha"]);
    cluster.apply(&tamper(&patch.replace("UID", namespace["metadata"]["uid"].as_str().unwrap())));
    // With everything that the cases change.
    let described =
        "annotations: {a: b}, ownerReferences: [{apiVersion: v1, kind: Node, name: node, uid: none}], labels:";
    let trial = to_eve("alpha", "trial", OURS).replace("eve@example.com", "ada@example.com");
    let trial = trial.replace("labels:", described);
    let stored = || {
        let mut kubectl = cluster.plane.kubectl(&cluster.plane.admin_kubeconfig());
        kubectl.args(["create", "--dry-run=server", "-o", "yaml", "-f", "-"]);
        text(&with_input(kubectl, &trial))
    };
    cluster.eventually_or(
        || ["eve@example.com", "kind: Namespace", "Group/alpha/somebody"].iter().any(|mark| stored().contains(mark)),
        |_| format!("the cluster tampers with bindings: {}", stored()),
    );
    cluster.apply(&world());
    let deleters = ["-n", "alpha", "rolebindings.bailiwick.dev", "deleters"];
    let message = cluster.await_reason(&deleters, "Ready", "ChangedByAdmission");
    assert!(message.contains("bailiwick:role-binding:deleters:") && message.contains("admission"), "{message}");

    // Two bindings, each altered once or twice at each attempt; the pauses between attempts grow.
    let operator = cluster.operator.as_ref().unwrap();
    let altered = || -> f64 {
        let lines = operator.lines("writes");
        let counted = lines.lines().filter(|line| line.contains("result=\"altered\""));
        counted.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let (so_far, start) = (altered(), Instant::now());
    cluster.eventually("it is tried again", || altered() >= so_far + 8.0);
    assert!(start.elapsed() > Duration::from_millis(500), "{:?}", start.elapsed());

    // A binding that cannot exist without eve does not exist, and that holds up nothing elsewhere.
    if granted {
        cluster.can(&Question::of("ada@example.com", "alpha"), DELETE);
    } else {
        cluster.cannot(&Question::of("ada@example.com", "alpha"), DELETE);
    }
    cluster.cannot(&Question::of("eve@example.com", "alpha"), DELETE);
    cluster.can(&Question::of("sam@example.com", ""), &["create users.bailiwick.dev"]);

    cluster.run(&["delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", "tamper"]);
    cluster.await_reason(&deleters, "Ready", "Reconciled");
    cluster.await_reason(&["siterolebindings.bailiwick.dev", "overseers"], "Ready", "Reconciled");
    cluster.can(&Question::of("ada@example.com", "alpha"), DELETE);
    cluster.cannot(&Question::of("eve@example.com", "alpha"), DELETE);
    cluster.is_as_desired(&before);
}
