//! The garbage collector deletes an object when the owner that somebody once gave it is gone. Nothing checks whether
//! that user may delete what the object has become since.

use super::{Site, VALUES, pod};
use crate::support::manifests::{binding, group, organization, site_binding, users};
use crate::support::{Question, RELEASE};

const TENANT: &str =
    "[{apiGroups: [''], resources: [configmaps, serviceaccounts], verbs: [get, create, update, patch, delete]}]";

/// An owner reference to an existing object that is deleted later.
fn owned_by(site: &Site, kind: &str, arguments: &[&str]) -> String {
    let owner = site.cluster.get(arguments);
    let version = owner["apiVersion"].clone();
    serde_json::json!({"metadata": {"ownerReferences": [{
        "apiVersion": version, "kind": kind, "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
    }]}})
    .to_string()
}

/// The number of refusals by a policy.
fn refusals(site: &Site, policy: &str) -> u64 {
    let metrics = site.cluster.run(&["get", "--raw", "/metrics"]);
    let of_policy = metrics.lines().filter(|line| {
        line.starts_with("apiserver_validating_admission_policy_check_total{")
            && line.contains(&format!("policy=\"{policy}\""))
            && line.contains("enforcement_action=\"deny\"")
    });
    of_policy.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

/// Deletes an owner, and waits until the garbage collector has tried to delete its dependents.
fn refuses_the_garbage_collector(site: &Site, policy: &str, owner: &[&str], deletes: impl Fn(&[&str])) {
    let before = refusals(site, policy);
    deletes(&[&["delete"], owner].concat());
    site.cluster.eventually(&format!("{policy} refuses the garbage collector"), || refusals(site, policy) > before);
}

#[test]
fn an_owner_from_before_the_privilege_is_no_way_to_delete_a_privileged_group() {
    let site = Site::with_operator(VALUES);
    let cluster = &site.cluster;
    let names = ["uma", "zoe", "ned"];
    cluster.apply(
        &(users(&names)
            + &organization("alpha", "{namespace: alpha, default: true}")
            + &organization("beta", "{namespace: beta}")
            + &site_binding("user-admins", "user-admin", &["uma"])
            + &group("alpha", "crew", &["zoe"])
            + &group("alpha", "plain", &["zoe"])
            + &group("beta", "crew", &["zoe"])),
    );
    cluster.can(&Question::of("uma@example.com", "alpha"), &["update groups.bailiwick.dev"]);
    let uma = site.person("uma@example.com");
    for namespace in ["alpha", "beta"] {
        uma.holds(namespace, TENANT);
        uma.does(&["-n", namespace, "create", "configmap", "leash"]);
    }
    let leash = owned_by(&site, "ConfigMap", &["-n", "alpha", "configmap", "leash"]);
    let beta = owned_by(&site, "ConfigMap", &["-n", "beta", "configmap", "leash"]);
    for (namespace, name, leash) in [("alpha", "crew", &leash), ("alpha", "plain", &leash), ("beta", "crew", &beta)] {
        uma.does(&["-n", namespace, "patch", "groups.bailiwick.dev", name, "--type=merge", "-p", leash]);
    }
    for namespace in ["alpha", "beta"] {
        cluster.apply(&binding(namespace, "crew", "SiteRole/organization-manager", &["Group/crew"]));
        cluster.eventually("the Group is privileged", || {
            cluster.get(&["-n", namespace, "groups.bailiwick.dev", "crew"])["status"]["privileged"] == true
        });
    }
    let manager = Question::of("zoe@example.com", "alpha");
    cluster.can(&manager, &["create services"]);
    let policy = "bailiwick-privileged-groups";
    refuses_the_garbage_collector(&site, policy, &["-n", "alpha", "configmap", "leash"], |words| uma.does(words));
    cluster.eventually("the garbage collector takes the other one", || {
        !cluster.exists(&["-n", "alpha", "groups.bailiwick.dev", "plain"])
    });
    assert!(cluster.exists(&["-n", "alpha", "groups.bailiwick.dev", "crew"]));
    cluster.settle();
    assert!(cluster.allowed(&manager, "create services"));
    // Other controllers of kube-system are not exempt either.
    let controller = site.service_account("kube-system", "default");
    controller
        .holds("alpha", "[{apiGroups: [bailiwick.dev], resources: [groups], verbs: [get, update, patch, delete]}]");
    let refused = "Group crew holds privileged roles";
    controller.may_not(&["-n", "alpha", "delete", "groups.bailiwick.dev", "crew"], refused);
    let members = r#"{"spec":{"members":["ned@example.com"]}}"#;
    controller
        .may_not(&["-n", "alpha", "patch", "groups.bailiwick.dev", "crew", "--type=merge", "-p", members], refused);
    // It may remove references to deleted owners, and add none.
    controller.may_not(&["-n", "alpha", "patch", "groups.bailiwick.dev", "crew", "--type=merge", "-p", &beta], refused);
    let none = r#"{"metadata":{"ownerReferences":null}}"#;
    uma.may_not(&["-n", "alpha", "patch", "groups.bailiwick.dev", "crew", "--type=merge", "-p", none], refused);
    controller.does(&["-n", "alpha", "patch", "groups.bailiwick.dev", "crew", "--type=merge", "-p", none]);
    // A namespace is still deleted with its contents.
    cluster.run(&["delete", "namespace", "beta", "--timeout=60s"]);
}

#[test]
fn an_owner_from_before_the_guard_is_no_way_to_delete_what_is_guarded() {
    let site = Site::with_chart(VALUES);
    let cluster = &site.cluster;
    let eve = site.person("eve");
    eve.holds("alpha", TENANT).holds(RELEASE, TENANT);
    eve.soon_may_not(
        &["-n", RELEASE, "delete", "configmap", "bailiwick-bounds"],
        "belongs to the Bailiwick installation",
    );

    // A guarded ServiceAccount: recreated without its label, anybody could use its rights.
    for name in ["leash", "theirs"] {
        eve.does(&["-n", "alpha", "create", "configmap", name]);
    }
    let leash = owned_by(&site, "ConfigMap", &["-n", "alpha", "configmap", "leash"]);
    eve.does(&["-n", "alpha", "create", "serviceaccount", "deployer"]);
    eve.does(&["-n", "alpha", "patch", "serviceaccount", "deployer", "--type=merge", "-p", &leash]);
    cluster.run(&["-n", "alpha", "label", "serviceaccount", "deployer", "bailiwick.dev/guarded=true"]);
    // An object that the chart took over; those that it creates are guarded from the beginning.
    eve.does(&["-n", "alpha", "patch", "configmap", "theirs", "--type=merge", "-p", &leash]);
    cluster.run(&["-n", "alpha", "label", "configmap", "theirs", "app.kubernetes.io/part-of=bailiwick"]);
    // Objects that the control plane derives from it have its labels too, and come and go.
    let labelled = "labels: {app.kubernetes.io/part-of: bailiwick}, name: ";
    cluster.apply(&pod("alpha", "copy", "serviceAccountName: default").replacen("name: ", labelled, 1));
    cluster.run(&["-n", "alpha", "patch", "pod", "copy", "--type=merge", "-p", &leash]);
    eve.soon("is guarded", || eve.tries(&["-n", "alpha", "delete", "serviceaccount", "deployer", "--dry-run=server"]));
    let installed = refusals(&site, "bailiwick-installed");
    let guarded = "bailiwick-guarded-serviceaccounts";
    refuses_the_garbage_collector(&site, guarded, &["-n", "alpha", "configmap", "leash"], |words| eve.does(words));
    cluster.eventually("it is refused both", || refusals(&site, "bailiwick-installed") > installed);
    cluster.eventually("it takes the Pod", || !cluster.exists(&["-n", "alpha", "pod", "copy"]));
    for kind in ["serviceaccount/deployer", "configmap/theirs"] {
        assert!(cluster.exists(&["-n", "alpha", kind]), "{kind}");
    }

    // Cluster-scoped objects: the release namespace from before the installation, a definition, and a part of a
    // ceiling.
    let label = "bailiwick.dev/aggregate-to-grantable=true";
    cluster.run(&["create", "clusterrole", "part", "--verb=get", "--resource=pods"]);
    for (kind, name, policy) in [
        ("namespace", RELEASE, "bailiwick-operator-pods"),
        ("crd", "users.bailiwick.dev", "bailiwick-definitions"),
        ("clusterrole", "part", "bailiwick-ceilings"),
    ] {
        cluster.run(&["create", "clusterrole", "leash", "--verb=get", "--resource=pods"]);
        let leash = owned_by(&site, "ClusterRole", &["clusterrole", "leash"]);
        cluster.run(&["patch", kind, name, "--type=merge", "-p", &leash]);
        if kind == "clusterrole" {
            cluster.run(&["label", kind, name, label]);
        }
        let delete = |words: &[&str]| drop(cluster.run(words));
        refuses_the_garbage_collector(&site, policy, &["clusterrole", "leash"], delete);
        assert!(cluster.get(&[kind, name])["metadata"]["deletionTimestamp"].is_null(), "{kind}/{name}");
    }
    // A namespace with guarded objects can be deleted.
    cluster.run(&["delete", "namespace", "alpha", "--timeout=60s"]);
}

/// While no operator runs, a finalizer on the binding does not let a manager keep access.
#[test]
fn no_finalizer_keeps_the_garbage_collector_from_taking_access_away() {
    let mut site = Site::with_operator(VALUES);
    site.cluster.apply(
        &(users(&["zoe"])
            + &organization("alpha", "{namespace: alpha, default: true}")
            + &binding("alpha", "managers", "SiteRole/organization-manager", &["zoe"])),
    );
    let manager = Question::of("zoe@example.com", "alpha");
    site.cluster.can(&manager, &["update customroles.bailiwick.dev"]);
    site.cluster.stop_operator();
    let cluster = &site.cluster;
    let zoe = site.person("zoe@example.com");
    let refused = "a finalizer would keep the grants of this object after it is deleted: to add one, zoe@example.com needs the verb \"override\" on it";
    let binding = ["-n", "alpha", "patch", "rolebindings.bailiwick.dev", "managers", "-p"];
    for finalizer in ["orphan", "foregroundDeletion", "example.com/keep"] {
        let patch = format!(r#"{{"metadata":{{"finalizers":["{finalizer}"]}}}}"#);
        zoe.may_not(&[&binding[..], &[&patch, "--type=merge"]].concat(), refused);
        zoe.may_not_create(
            &format!(
                "{{apiVersion: bailiwick.dev/v1alpha1, kind: CustomRole, metadata: {{generateName: kept-, namespace: alpha, finalizers: [{finalizer}]}}, spec: {{}}}}"
            ),
            refused,
        );
    }
    // An existing one from an authorized user may stay or go, and does not allow another one.
    let patch = |list: &str| format!(r#"{{"metadata":{{"finalizers":{list},"labels":{{"a":"b"}}}}}}"#);
    cluster.run(&[&binding[..], &[&patch(r#"["example.com/theirs"]"#), "--type=merge"]].concat());
    zoe.does(&[&binding[..], &[r#"{"metadata":{"labels":{"c":"d"}}}"#, "--type=merge"]].concat());
    zoe.may_not(&[&binding[..], &[&patch(r#"["example.com/theirs","orphan"]"#), "--type=merge"]].concat(), refused);
    zoe.does(&[&binding[..], &[&patch("null"), "--type=merge"]].concat());
    // A client that does not mention dependents.
    cluster.run(&["delete", "--raw", "/apis/bailiwick.dev/v1alpha1/namespaces/alpha/rolebindings/managers"]);
    cluster.cannot(&manager, &["update customroles.bailiwick.dev"]);
}
