//! The view of a GitOps tool: it finds what it applied, in any order; and the API server decides what the accounts of
//! `examples/argocd` may sync.

use std::path::{Path, PathBuf};

use rstest::rstest;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::support::{Cluster, Question, outcome, repository, with_input};

fn example(name: &str) -> PathBuf {
    repository().join("examples").join(name)
}

/// The objects of a folder, in the order of its files.
fn manifests(folder: &Path) -> Vec<Value> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    let documents = |path: &PathBuf| -> Vec<Value> {
        let text = std::fs::read_to_string(path).unwrap();
        serde_yaml::Deserializer::from_str(&text).map(|d| Value::deserialize(d).unwrap()).collect()
    };
    files.iter().flat_map(documents).collect()
}

/// Applies one object as Argo CD does with `ServerSideApply=true`: alone, and with its field manager. Returns the API
/// server's answer, with defaults. With an account, impersonates it as Argo CD does.
fn sync(cluster: &Cluster, object: &Value, account: Option<&str>) -> Result<Value, String> {
    let mut kubectl = cluster.plane.kubectl(&cluster.admin);
    kubectl.args(["apply", "--server-side", "--force-conflicts", "--field-manager", "argocd-controller", "-o", "json"]);
    if let Some(account) = account {
        kubectl.args(["--as", &format!("system:serviceaccount:{account}")]);
    }
    kubectl.args(["-f", "-"]);
    let output = with_input(kubectl, &object.to_string());
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    outcome(output).map(|_| serde_json::from_str(&answer).unwrap())
}

fn live(cluster: &Cluster, object: &Value) -> Value {
    let kind = object["kind"].as_str().unwrap().to_lowercase();
    let group = object["apiVersion"].as_str().unwrap().split_once('/').map_or("", |(group, _)| group);
    let resource = format!("{kind}.{group}");
    let metadata = &object["metadata"];
    let mut words = vec![resource.trim_end_matches('.'), metadata["name"].as_str().unwrap()];
    words.extend(metadata["namespace"].as_str().iter().flat_map(|namespace| ["--namespace", namespace]));
    cluster.get(&words)
}

/// Without fields that change with a write to the status.
fn but_for_status(mut object: Value) -> Value {
    object.as_object_mut().unwrap().remove("status");
    let metadata = object["metadata"].as_object_mut().unwrap();
    for field in ["resourceVersion", "managedFields"] {
        metadata.remove(field);
    }
    // The one label that the operator may remove; an admission policy will set it.
    if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
        labels.remove("bailiwick.dev/suspension");
    }
    object
}

/// Asserts that an applied object is complete, and has no annotations but its own and the admission policy's.
fn is_as_in_git(live: &Value, git: &Value) {
    let what = format!("{} {}", git["kind"], git["metadata"]["name"]);
    for map in ["labels", "annotations"] {
        let mut live = live["metadata"][map].as_object().cloned().unwrap_or_default();
        if git["kind"] == "Group" {
            live.remove("bailiwick.dev/vouched");
        }
        // Kubernetes sets this on every Namespace.
        live.remove("kubernetes.io/metadata.name");
        assert_eq!(live, git["metadata"][map].as_object().cloned().unwrap_or_default(), "{map} of {what}");
    }
    assert!(live["metadata"]["finalizers"].is_null() && live["metadata"]["ownerReferences"].is_null(), "{what}");
}

/// The last object first, so that every reference points to a missing object; except for Namespaces, without which
/// Kubernetes refuses their contents. Argo CD begins with those, too.
#[rstest]
fn whatever_the_order_nothing_is_refused_and_nothing_is_changed(
    #[values("quickstart", "tiered-rbac", "group-templates", "external-groups", "namespaces")] name: &str,
) {
    let values = std::fs::read_to_string(example(name).join("chart/values.yaml")).unwrap();
    let cluster = Cluster::with_operator(&values);
    let mut git = manifests(&example(name));
    git.reverse();
    git.sort_by_key(|object| object["kind"] != "Namespace");
    let sync_one = |object: &Value| {
        sync(&cluster, object, None).unwrap_or_else(|error| panic!("{} is refused: {error}", object["metadata"]))
    };
    let applied: Vec<Value> = git.iter().map(sync_one).collect();
    cluster.quiet();

    let found: Vec<Value> = git.iter().map(|object| live(&cluster, object)).collect();
    for ((git, applied), live) in git.iter().zip(&applied).zip(&found) {
        assert_eq!(but_for_status(live.clone()), but_for_status(applied.clone()));
        is_as_in_git(live, git);
    }

    // The next sync finds nothing to do either. (Some of Kubernetes' own kinds are rewritten because of their defaults:
    // a Namespace gets another resource version, and nothing else.)
    for (git, live) in git.iter().zip(&found).filter(|(git, _)| git["apiVersion"] == "bailiwick.dev/v1alpha1") {
        let again = sync_one(git);
        assert_eq!(again["metadata"]["resourceVersion"], live["metadata"]["resourceVersion"], "{}", git["metadata"]);
    }
}

#[test]
fn the_accounts_of_the_argo_cd_example_sync_what_they_should_and_nothing_else() {
    let values = std::fs::read_to_string(example("quickstart").join("chart/values.yaml")).unwrap();
    let cluster = Cluster::with_operator(&values);
    cluster.run(&["create", "namespace", "argocd"]);
    for object in manifests(&example("argocd")).iter().filter(|o| o["apiVersion"] != "argoproj.io/v1alpha1") {
        // Of Argo CD itself, only its namespace exists.
        sync(&cluster, object, None).unwrap();
    }
    let accounts = manifests(&example("argocd/apps")).into_iter().filter(|o| o["kind"] == "ServiceAccount");
    accounts.for_each(|account| drop(sync(&cluster, &account, None).unwrap()));

    // The site: everything in its Application.
    let site = "argocd:bailiwick-site";
    let ours = |o: &Value| o["apiVersion"] == "bailiwick.dev/v1alpha1";
    let quickstart = manifests(&example("quickstart"));
    let of_the_site = quickstart.iter().filter(|o| ours(o) && o["metadata"]["namespace"].is_null());
    for object in of_the_site.cloned().chain(manifests(&example("argocd/site"))) {
        sync(&cluster, &object, Some(site)).unwrap();
    }
    let admin = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "more"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob@example.com"}],
    });
    forbidden(sync(&cluster, &admin, Some(site)));
    cluster.settle();

    // An organization: its own repository, in any order.
    let team = "data-science:argocd-deployer";
    let deployer = Question::of_service_account("data-science", "argocd-deployer", "data-science");
    cluster.eventually("the account has its rights", || cluster.allowed(&deployer, "create groups.bailiwick.dev"));
    for object in manifests(&example("argocd/data-science/access")) {
        sync(&cluster, &object, Some(team)).unwrap();
    }
    let bob = Question::of("bob@example.com", "data-science");
    cluster.eventually("what the team wrote is in effect", || cluster.allowed(&bob, "create pods/exec"));

    let object = |version: &str, kind: &str, namespace: &str, spec: Value| {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "more"}, "spec": spec});
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = Value::from(namespace);
        }
        object
    };
    let own = "bailiwick.dev/v1alpha1";
    let pod = json!({"containers": [{"name": "one", "image": "one"}]});
    let native = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "more", "namespace": "data-science"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob@example.com"}],
    });
    for object in [
        object(own, "Group", "platform", json!({"members": ["bob@example.com"]})),
        object(own, "Organization", "", json!({})),
        object(own, "User", "", json!({})),
        object(own, "SiteRoleBinding", "", json!({"roleRef": {"kind": "SiteRole", "name": "owner"}, "subjects": []})),
        object("v1", "Pod", "data-science", pod),
        native,
        admin,
    ] {
        forbidden(sync(&cluster, &object, Some(team)));
    }

    // The same account prunes objects deleted in Git, and their access with them.
    cluster.run(&[
        "delete",
        "rolebindings.bailiwick.dev",
        "on-call",
        "--namespace",
        "data-science",
        "--as",
        "system:serviceaccount:data-science:argocd-deployer",
    ]);
    cluster.eventually("what the team took away has no effect any more", || !cluster.allowed(&bob, "create pods/exec"));
}

fn forbidden(result: Result<Value, String>) {
    let error = result.expect_err("it is refused");
    assert!(error.contains("forbidden"), "{error}");
}
